/* SPDX-License-Identifier: MIT
 * tls_link.c - TLS on one non-blocking socket: handshake, reading, writing, goodbye.
 * Owns:   the state of OpenSSL for the connection. The socket is the caller's.
 * Layout: OpenSSL reaches the socket through functions of our own, because its own write() raises SIGPIPE in whatever
 * program this code is part of. It reads ahead, so bytes may wait in it of which the socket says nothing: `more`.
 * Thread: one at a time. The queue of errors is the thread's, and others use it too: empty before and after each call.
 * Fails:  a link that has failed is dead and stays so.   See: tests/unit/server/test_tls.c, doc of SSL_get_error(3) */
#include "server/tls.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <sys/socket.h>

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0 /* SO_NOSIGPIPE is set instead */
#endif
#define WRITE_MAX ((size_t)1 << 20) /* at a time; a record has 16 KiB anyway */

/* ---- the socket, as OpenSSL sees it --------------------------------------------------------------- */

static bool is_again(int err)
{
    return err == EAGAIN || err == EWOULDBLOCK;
}

static int socket_read(BIO *bio, char *p, size_t n, size_t *n_out)
{
    glim_tls_link *l = BIO_get_data(bio);
    ssize_t got;
    *n_out = 0;
    BIO_clear_retry_flags(bio);
    do
        got = recv(l->fd, p, n, 0);
    while (got < 0 && errno == EINTR);
    if (got < 0 && is_again(errno)) BIO_set_retry_read(bio);
    if (got == 0 && n) l->hears_eof = true;
    if (got > 0) *n_out = (size_t)got;
    return got > 0;
}

static int socket_write(BIO *bio, const char *p, size_t n, size_t *n_out)
{
    glim_tls_link *l = BIO_get_data(bio);
    ssize_t put;
    *n_out = 0;
    BIO_clear_retry_flags(bio);
    do
        put = send(l->fd, p, n, MSG_NOSIGNAL);
    while (put < 0 && errno == EINTR);
    if (put < 0 && is_again(errno)) BIO_set_retry_write(bio);
    if (put <= 0) return 0;
    *n_out = (size_t)put;
    l->moved = true;
    return 1;
}

static long socket_ctrl(BIO *bio, int cmd, long arg, void *p)
{
    const glim_tls_link *l = BIO_get_data(bio);
    (void)arg;
    (void)p;
    if (cmd == BIO_CTRL_FLUSH) return 1; /* nothing is kept back */
    if (cmd == BIO_CTRL_EOF) return l->hears_eof;
    return 0;
}

BIO_METHOD *glim_tls_method_new(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "glim socket");
    if (m && BIO_meth_set_read_ex(m, socket_read) == 1 &&
        BIO_meth_set_write_ex(m, socket_write) == 1 && BIO_meth_set_ctrl(m, socket_ctrl) == 1)
        return m;
    BIO_meth_free(m);
    return NULL;
}

/* ---- life ----------------------------------------------------------------------------------------- */

glim_tls_link *glim_tls_link_new(glim_tls *t, int fd)
{
    glim_tls_link *l = glim_new0(glim_tls_link);
    if (!l) return NULL;
    ERR_clear_error();
    l->tls = t;
    t->n_owner++;
    l->fd = fd;
    l->ssl = SSL_new(t->ctx);
    BIO *bio = l->ssl ? BIO_new(t->method) : NULL;
    if (!bio) {
        glim_tls_link_free(l);
        ERR_clear_error();
        return NULL;
    }
    BIO_set_data(bio, l);
    BIO_set_init(bio, 1);
    SSL_set_bio(l->ssl, bio, bio); /* owns it now */
    SSL_set_accept_state(l->ssl);
    return l;
}

void glim_tls_link_free(glim_tls_link *l)
{
    if (!l) return;
    SSL_free(l->ssl);
    glim_tls_free(l->tls);
    glim_free(l);
}

/* ---- talking -------------------------------------------------------------------------------------- */

static void die(glim_tls_link *l, int kind)
{
    const char *text = NULL;
    if (kind == SSL_ERROR_SSL) text = ERR_reason_error_string(ERR_peek_error());
    if (!text && l->hears_eof) text = "the client left";
    if (!text && errno) text = strerror(errno);
    snprintf(l->why, sizeof l->why, "%s", text ? text : "it failed");
    l->dead = true;
}

/* What a call of OpenSSL that did not succeed says; *waits_other: it waits for the direction that is not its own. */
static void see(glim_tls_link *l, int rc, int own, bool *waits_other)
{
    int kind = SSL_get_error(l->ssl, rc);
    if (kind == SSL_ERROR_ZERO_RETURN)
        l->ended = true;
    else if (kind == SSL_ERROR_WANT_READ || kind == SSL_ERROR_WANT_WRITE)
        *waits_other = kind != own;
    else
        die(l, kind);
    ERR_clear_error();
}

bool glim_tls_shake(glim_tls_link *l)
{
    l->read_needs_write = false;
    if (l->up || l->dead) return true;
    ERR_clear_error();
    errno = 0;
    int rc = SSL_do_handshake(l->ssl);
    if (rc == 1) {
        l->up = true;
        return true;
    }
    see(l, rc, SSL_ERROR_WANT_READ, &l->read_needs_write);
    if (l->ended) die(l, SSL_ERROR_SYSCALL); /* left in the middle of it */
    return l->dead;
}

ssize_t glim_tls_read(glim_tls_link *l, char *p, size_t n)
{
    size_t total = 0;
    l->more = l->read_needs_write = false;
    while (total < n && !l->ended && !l->dead) {
        size_t got = 0;
        ERR_clear_error();
        errno = 0;
        int rc = SSL_read_ex(l->ssl, p + total, n - total, &got);
        if (rc != 1) {
            see(l, rc, SSL_ERROR_WANT_READ, &l->read_needs_write);
            if (!l->ended && !l->dead) break;
        }
        total += got;
        if (!SSL_has_pending(l->ssl)) break;
    }
    if (total) {
        l->more = l->ended || l->dead || (total == n && SSL_has_pending(l->ssl));
        return (ssize_t)total;
    }
    if (l->ended) return 0;
    errno = l->dead ? EPROTO : EAGAIN;
    return -1;
}

ssize_t glim_tls_write(glim_tls_link *l, const char *p, size_t n)
{
    size_t put = 0;
    l->write_needs_read = false;
    if (!l->dead) {
        ERR_clear_error();
        errno = 0;
        int rc = SSL_write_ex(l->ssl, p, GLIM_MIN(n, WRITE_MAX), &put);
        if (rc == 1) return (ssize_t)put;
        see(l, rc, SSL_ERROR_WANT_WRITE, &l->write_needs_read);
        if (l->ended && !l->dead) die(l, SSL_ERROR_SYSCALL);
    }
    errno = l->dead ? EPROTO : EAGAIN;
    return -1;
}

bool glim_tls_bye(glim_tls_link *l)
{
    bool waits_read = false;
    if (!l->up || l->dead || l->said_bye) return true;
    ERR_clear_error();
    errno = 0;
    int rc = SSL_shutdown(l->ssl);
    l->said_bye = rc >= 0;
    if (rc >= 0) return true;
    see(l, rc, SSL_ERROR_WANT_WRITE, &waits_read);
    return l->dead || l->ended || waits_read;
}
