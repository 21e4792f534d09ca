/* SPDX-License-Identifier: MIT
 * tls.h - TLS 1.2 and 1.3 for the server: a certificate with its key, and the talk on one non-blocking socket.
 * Not here: when to read or write, time limits, HTTP (conn.c).
 * Thread: one at a time; links of one glim_tls belong to the same thread. */
#ifndef GLIM_SERVER_TLS_H
#define GLIM_SERVER_TLS_H

#include "base/base.h"

#include <sys/types.h>

/* ---- tls.c: certificates ---------------------------------------------------------------------------------------- */

/* Private to the two files. */
typedef struct glim_tls {
    struct ssl_ctx_st *ctx;
    struct bio_method_st *method; /* how OpenSSL reaches a socket */
    size_t n_owner;               /* the maker, and each link */
} glim_tls;

/* Reads two PEM files: the certificate, its issuers behind it if there are any, and the private key; both may be in one
 * file. warning: a line for the log (others may read the key; a certificate whose time is over or has not come), else "".
 * Never asks for a passphrase. Errors: NOTFOUND, IO, LIMIT (1 MiB), INPUT (no PEM, an encrypted key, a key that does not
 * belong to the certificate, one too weak), NOMEM; all name the file and the cure. */
GLIM_MUST_USE glim_err glim_tls_new(const char *cert_path, const char *key_path, char *warning, size_t n_warning,
                                    glim_tls **out, glim_error *e);
/* Links that are open go on with what they have. NULL is fine. */
void glim_tls_free(glim_tls *t);

/* ---- tls_link.c: one connection --------------------------------------------------------------------------------- */

/* Read by the owner, changed here. */
typedef struct glim_tls_link {
    glim_tls *tls;
    struct ssl_st *ssl;
    int fd;
    bool up;               /* the handshake is done */
    bool ended;            /* the client has sent all it wanted to */
    bool dead;             /* an error: nothing goes in or out any more */
    bool said_bye;
    bool hears_eof;        /* the socket's end was seen */
    /* What the last call waits for when it is not the obvious; the handshake sets all it waits for. */
    bool read_needs_write, write_needs_read;
    bool more;             /* reading has something to say that no event of the socket will announce */
    bool moved;            /* bytes went to the socket; the owner clears it */
    char why[96];          /* dead: what went wrong, one line */
} glim_tls_link;

/* Borrows fd until glim_tls_link_free(). NULL without memory. */
glim_tls_link *glim_tls_link_new(glim_tls *t, int fd);
void glim_tls_link_free(glim_tls_link *l); /* NULL is fine; the socket stays open */
/* Goes on with the handshake. True: it is done, or the link is dead. */
bool glim_tls_shake(glim_tls_link *l);
/* As recv() and send() do on a non-blocking socket: bytes, 0 for the end, -1 with errno (EAGAIN: see read_needs_write and
 * write_needs_read). After EAGAIN the next write begins with the same bytes, wherever they lie now. */
ssize_t glim_tls_read(glim_tls_link *l, char *p, size_t n);
ssize_t glim_tls_write(glim_tls_link *l, const char *p, size_t n);
/* Says that no more will come. False: the socket has no room, call again when it has. Once said, or with a dead link,
 * nothing. */
bool glim_tls_bye(glim_tls_link *l);

/* Between the two files: the way to the socket; NULL without memory. */
struct bio_method_st *glim_tls_method_new(void);

#endif
