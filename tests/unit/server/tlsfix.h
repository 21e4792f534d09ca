/* SPDX-License-Identifier: MIT
 * tlsfix.h - keys and certificates that are made when a test runs, a server that uses them, and a
 * client of OpenSSL's; on top of httpfix.h. */
#ifndef GLIM_TESTS_TLSFIX_H
#define GLIM_TESTS_TLSFIX_H

#include "httpfix.h"
#include "tmpfolder.h"

#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <sys/stat.h>

/* ---- keys and certificates --------------------------------------------------------------------- */

static inline EVP_PKEY *key_new(void)
{
    EVP_PKEY *k = EVP_EC_gen("P-256");
    assert_non_null(k);
    return k;
}

/* Signed by itself, or by an issuer. Valid from from_s to to_s, counted from now. */
static inline X509 *cert_new(const char *name, EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key,
                             long from_s, long to_s)
{
    X509 *x = X509_new();
    X509_NAME *n = X509_NAME_new();
    assert_true(x && n);
    assert_int_equal(X509_set_version(x, 2), 1);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1 + (long)(glim_entropy() & 0xffffff));
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(x), from_s));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(x), to_s));
    X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    assert_int_equal(X509_set_subject_name(x, n), 1);
    assert_int_equal(X509_set_issuer_name(x, issuer ? X509_get_subject_name(issuer) : n), 1);
    assert_int_equal(X509_set_pubkey(x, key), 1);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, "CA:TRUE");
    assert_int_equal(X509_add_ext(x, ext, -1), 1);
    X509_EXTENSION_free(ext);
    assert_true(X509_sign(x, issuer_key ? issuer_key : key, EVP_sha256()) > 0);
    X509_NAME_free(n);
    return x;
}

static inline void write_bio(const tmp_folder *t, const char *name, BIO *bio)
{
    char path[400], *p;
    long n = BIO_get_mem_data(bio, &p);
    tmp_write(t, name, p, (size_t)n);
    chmod(tmp_path(t, name, path), 0600);
    BIO_free(bio);
}

static inline void write_certs(const tmp_folder *t, const char *name, X509 *a, X509 *b)
{
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(bio, a);
    if (b) PEM_write_bio_X509(bio, b);
    write_bio(t, name, bio);
}

static inline void write_key(const tmp_folder *t, const char *name, EVP_PKEY *k, const char *phrase)
{
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PKCS8PrivateKey(bio, k, phrase ? EVP_aes_128_cbc() : NULL, phrase,
                                  phrase ? (int)strlen(phrase) : 0, NULL, NULL);
    write_bio(t, name, bio);
}

/* "cert.pem" and "key.pem" that go together. */
static inline void write_pair(const tmp_folder *t, const char *name)
{
    EVP_PKEY *k = key_new();
    X509 *x = cert_new(name, k, NULL, NULL, -3600, 3600);
    write_certs(t, "cert.pem", x, NULL);
    write_key(t, "key.pem", k, NULL);
    X509_free(x);
    EVP_PKEY_free(k);
}

/* ---- the server -------------------------------------------------------------------------------- */

typedef struct tls_fixture {
    fixture f;
    tmp_folder folder;
    char cert[400], key[400];
    int small_fd;
} tls_fixture;

static inline void tls_prepare(tls_fixture *t)
{
    prepare(&t->f);
    tmp_folder_make(&t->folder);
    write_pair(&t->folder, "first");
    t->f.o.tls_cert = tmp_path(&t->folder, "cert.pem", t->cert);
    t->f.o.tls_key = tmp_path(&t->folder, "key.pem", t->key);
    t->small_fd = -1;
}

static inline int listening(int domain, const struct sockaddr *sa, socklen_t n, int buffer)
{
    int fd = socket(domain, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    if (buffer) setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer);
    if (buffer) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
    /* With loopback's large segments a small window would wait for timers of the system. */
    int segment = 1000;
    if (buffer) setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof segment);
    assert_int_equal(bind(fd, sa, n), 0);
    assert_int_equal(listen(fd, 64), 0);
    return fd;
}

static inline int listening_v4(int buffer)
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return listening(AF_INET, (struct sockaddr *)&a, sizeof a, buffer);
}

/* Connections get buffers so small that a record does not fit. */
static inline void tiny_buffers(tls_fixture *t)
{
    t->small_fd = listening_v4(2048);
    t->f.o.fds = &t->small_fd;
    t->f.o.n_fd = 1;
}

/* The server's thread keeps SIGPIPE as it is, so that one would end the test; here, where OpenSSL's
 * own sockets raise it, it is blocked. */
static inline void tls_start(tls_fixture *t)
{
    sigset_t s;
    sigemptyset(&s);
    sigaddset(&s, SIGPIPE);
    pthread_sigmask(SIG_UNBLOCK, &s, NULL);
    start(&t->f);
    pthread_sigmask(SIG_BLOCK, &s, NULL);
}

static inline void tls_stop(tls_fixture *t, const char *events)
{
    stop(&t->f, events);
    tmp_folder_end(&t->folder);
}

/* ---- a client ---------------------------------------------------------------------------------- */

typedef struct tls_side {
    SSL *ssl;
    bool bye; /* the server said that no more comes */
    bool cut; /* it ended without that */
} tls_side;

static inline tls_side *side(client *c)
{
    return c->tls;
}

static inline ssize_t tls_get(client *c, char *p, size_t n)
{
    tls_side *s = c->tls;
    size_t got = 0;
    ERR_clear_error();
    errno = 0;
    int rc = SSL_read_ex(s->ssl, p, n, &got);
    if (rc == 1) return (ssize_t)got;
    int kind = SSL_get_error(s->ssl, rc);
    s->bye |= kind == SSL_ERROR_ZERO_RETURN;
    s->cut |= kind == SSL_ERROR_SSL || kind == SSL_ERROR_SYSCALL;
    if (s->bye) return 0;
    if (s->cut) errno = ECONNRESET;
    return -1;
}

static inline ssize_t tls_put(client *c, const char *p, size_t n)
{
    size_t put = 0;
    ERR_clear_error();
    return SSL_write_ex(side(c)->ssl, p, n, &put) == 1 ? (ssize_t)put : -1;
}

typedef struct tls_want {
    int version;          /* TLS1_2_VERSION ...; 0: any */
    const char *alpn;     /* with lengths before the names; NULL: none */
    SSL_SESSION *session; /* to resume */
    size_t record;        /* largest one to send; 0: as it comes */
} tls_want;

static inline SSL *client_ssl(const tls_want *w)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    assert_non_null(ctx);
    SSL_CTX_set_security_level(ctx, 0); /* old versions may be asked for */
    SSL_CTX_set_cipher_list(ctx, "ALL:@SECLEVEL=0");
    SSL_CTX_set_min_proto_version(ctx, w->version);
    SSL_CTX_set_max_proto_version(ctx, w->version);
    if (w->record) SSL_CTX_set_max_send_fragment(ctx, (long)w->record);
    SSL *ssl = SSL_new(ctx);
    SSL_CTX_free(ctx);
    assert_non_null(ssl);
    if (w->alpn)
        SSL_set_alpn_protos(ssl, (const unsigned char *)w->alpn, (unsigned)strlen(w->alpn));
    if (w->session) SSL_set_session(ssl, w->session);
    return ssl;
}

/* Over a connected socket; the handshake may fail: look at *rc, or give NULL. */
static inline client *tls_over(client *c, const tls_want *w, int *rc)
{
    tls_side *s = calloc(1, sizeof *s);
    assert_non_null(s);
    s->ssl = client_ssl(w);
    c->tls = s;
    c->get = tls_get;
    c->put = tls_put;
    SSL_set_fd(s->ssl, c->fd);
    ERR_clear_error();
    int got = SSL_connect(s->ssl);
    if (rc)
        *rc = got;
    else if (got != 1)
        fail_msg("handshake: %s", ERR_reason_error_string(ERR_peek_error()));
    return c;
}

static inline client *tls_dial_as(tls_fixture *t, const tls_want *w)
{
    return tls_over(dial(&t->f), w, NULL);
}

static inline client *tls_dial(tls_fixture *t)
{
    const tls_want w = {0};
    return tls_dial_as(t, &w);
}

static inline void tls_hang_up(client *c, bool politely)
{
    if (politely) SSL_shutdown(side(c)->ssl);
    SSL_free(side(c)->ssl);
    free(c->tls);
    hang_up(c);
    ERR_clear_error();
}

/* The name in the server's certificate. */
static inline const char *peer_name(client *c, char out[64])
{
    X509 *x = SSL_get1_peer_certificate(side(c)->ssl);
    assert_non_null(x);
    X509_NAME_get_text_by_NID(X509_get_subject_name(x), NID_commonName, out, 64);
    X509_free(x);
    return out;
}

#endif
