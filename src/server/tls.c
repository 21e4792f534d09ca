/* SPDX-License-Identifier: MIT
 * tls.c - a certificate and its private key out of two PEM files, and the settings that TLS is spoken with.
 * Owns:   what is read from the files; counted, because open links outlive a reload.
 * Not here: sockets (tls_link.c).
 * Fails:  as tls.h says; nothing of OpenSSL's stays in its queue of errors.   See: tests/unit/server/test_tls.c */
#include "server/tls.h"
#include "crypto/crypto.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <sys/stat.h>

#define FILE_MAX ((size_t)1 << 20)

void glim_tls_free(glim_tls *t)
{
    if (!t || --t->n_owner) return;
    SSL_CTX_free(t->ctx);
    BIO_meth_free(t->method);
    glim_free(t);
}

/* OpenSSL's own words for the first thing that went wrong; empties its queue. */
static const char *reason(void)
{
    const char *text = ERR_reason_error_string(ERR_peek_error());
    ERR_clear_error();
    return text ? text : "no reason given";
}

/* ---- settings ----------------------------------------------------------------------------------- */

/* HTTP/1.1 is what is spoken; who wants something else alone is told so (RFC 7301). */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *n_out,
                           const unsigned char *in, unsigned n_in, void *arg)
{
    static const unsigned char http11[] = "http/1.1";
    (void)ssl;
    (void)arg;
    for (unsigned i = 0; i < n_in; i += 1u + in[i]) {
        unsigned n = in[i];
        if (n > n_in - i - 1) break;
        if (n != sizeof http11 - 1 || memcmp(in + i + 1, http11, n) != 0) continue;
        *out = in + i + 1;
        *n_out = (unsigned char)n;
        return SSL_TLSEXT_ERR_OK;
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static SSL_CTX *context_new(void)
{
    static const unsigned char name[] = "glim";
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (!ctx) return NULL;
    /* A missing goodbye is an ordinary end: HTTP says itself where a message is whole. */
    SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                 SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    /* One call of the system for a request instead of two; what lies in the buffers then is tls_link.c's affair. */
    SSL_CTX_set_read_ahead(ctx, 1);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); /* tickets need none */
    SSL_CTX_set_alpn_select_cb(ctx, choose_protocol, NULL);
    if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 &&
        SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20") == 1 &&
        SSL_CTX_set_session_id_context(ctx, name, sizeof name - 1) == 1)
        return ctx;
    SSL_CTX_free(ctx);
    return NULL;
}

/* ---- files -------------------------------------------------------------------------------------- */

/* Only regular files: a pipe could make the caller wait, and a reload reads again. */
static glim_err read_pem(const char *path, const char *what, glim_buf *text, glim_error *e)
{
    struct stat st;
    glim_buf_init(text, FILE_MAX);
    if (strcmp(path, "-") == 0)
        return glim_fail(e, GLIM_E_INPUT, "the %s must be a file, not standard input", what);
    if (stat(path, &st) != 0) {
        int err = errno;
        return glim_fail(e, err == ENOENT || err == ENOTDIR ? GLIM_E_NOTFOUND : GLIM_E_IO,
                         "%s: %s; give the path of the %s, a PEM file", path, strerror(err), what);
    }
    if (!S_ISREG(st.st_mode))
        return glim_fail(e, GLIM_E_IO, "%s: not a file; give the path of the %s, a PEM file", path,
                         what);
    glim_err rc = glim_read_file(path, text, e);
    return rc ? glim_error_prefix(e, "the %s cannot be read", what) : GLIM_OK;
}

static bool holds(const glim_buf *text, const char *words)
{
    return glim_str_find(glim_buf_view(text), glim_str_of(words)) != SIZE_MAX;
}

static BIO *bio_of(const glim_buf *text)
{
    return BIO_new_mem_buf(text->n ? text->p : "", (int)text->n); /* at most FILE_MAX */
}

/* OpenSSL's words for a certificate it does not take, with what can be done about it. */
static glim_err refused(const char *path, glim_error *e)
{
    return glim_fail(e, GLIM_E_INPUT,
                     "%s: the certificate is refused: %s; have a new one made (RSA keys need 2048 "
                     "bits, signatures SHA-256)",
                     path, reason());
}

/* The first certificate is the server's own, the rest are its issuers. */
static glim_err use_chain(glim_tls *t, const char *path, const glim_buf *text, glim_error *e)
{
    glim_err rc = GLIM_OK;
    int n = 0;
    BIO *bio = bio_of(text);
    if (!bio) return glim_fail(e, GLIM_E_NOMEM, "no memory for the certificate");
    for (; !rc; n++) {
        X509 *x = PEM_read_bio_X509(bio, NULL, NULL, NULL);
        if (!x) break;
        int ok = n == 0 ? SSL_CTX_use_certificate(t->ctx, x) : SSL_CTX_add1_chain_cert(t->ctx, x);
        X509_free(x);
        if (ok != 1) rc = refused(path, e);
    }
    BIO_free(bio);
    unsigned long err = ERR_peek_last_error();
    if (!rc && n == 0)
        rc = glim_fail(e, GLIM_E_INPUT, "%s: %s", path,
                       holds(text, "PRIVATE KEY-----")
                           ? "a private key and no certificate; were the two files swapped?"
                       : holds(text, "-----BEGIN CERTIFICATE-----")
                           ? "the certificate in it is damaged; copy the file anew"
                           : "no certificate in PEM form (a text with the line -----BEGIN "
                             "CERTIFICATE-----); openssl x509 -inform DER converts others");
    else if (!rc && ERR_GET_REASON(err) != PEM_R_NO_START_LINE)
        rc = glim_fail(e, GLIM_E_INPUT, "%s: certificate %d in it is damaged (%s); copy it anew",
                       path, n + 1, reason());
    ERR_clear_error();
    return rc;
}

/* Called when the key is encrypted. Nobody is asked. */
static int no_passphrase(char *out, int n_out, int for_writing, void *arg)
{
    (void)out;
    (void)n_out;
    (void)for_writing;
    *(bool *)arg = true;
    return -1;
}

static glim_err no_key(const char *path, const glim_buf *text, bool encrypted, glim_error *e)
{
    if (encrypted)
        return glim_fail(e, GLIM_E_INPUT,
                         "%s: the private key is encrypted, and no passphrase is ever asked for; "
                         "openssl pkey -in FILE -out NEW writes it without one",
                         path);
    if (holds(text, "PRIVATE KEY-----"))
        return glim_fail(e, GLIM_E_INPUT, "%s: the private key in it is damaged (%s); copy it anew",
                         path, reason());
    return glim_fail(e, GLIM_E_INPUT, "%s: %s", path,
                     holds(text, "-----BEGIN CERTIFICATE-----")
                         ? "a certificate and no private key; were the two files swapped?"
                         : "no private key in PEM form (a text with the line -----BEGIN PRIVATE "
                           "KEY-----); openssl pkey -inform DER converts others");
}

/* A certificate behind the first that the key belongs to: then only the order is wrong. */
static bool belongs_to_issuer(SSL_CTX *ctx, EVP_PKEY *key)
{
    STACK_OF(X509) *chain = NULL;
    SSL_CTX_get0_chain_certs(ctx, &chain);
    for (int i = 0; i < sk_X509_num(chain); i++)
        if (X509_check_private_key(sk_X509_value(chain, i), key) == 1) return true;
    return false;
}

static glim_err use_key(glim_tls *t, const char *cert_path, const char *path, const glim_buf *text,
                        glim_error *e)
{
    bool encrypted = false;
    BIO *bio = bio_of(text);
    if (!bio) return glim_fail(e, GLIM_E_NOMEM, "no memory for the private key");
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, &encrypted);
    BIO_free(bio);
    glim_err rc = key ? GLIM_OK : no_key(path, text, encrypted, e);
    if (!rc && X509_check_private_key(SSL_CTX_get0_certificate(t->ctx), key) != 1)
        rc = belongs_to_issuer(t->ctx, key)
                 ? glim_fail(e, GLIM_E_INPUT,
                             "%s: the certificate that the private key belongs to must come first, "
                             "its issuers behind it",
                             cert_path)
                 : glim_fail(e, GLIM_E_INPUT,
                             "%s: this private key does not belong to the certificate in %s; give "
                             "the pair that was made together",
                             path, cert_path);
    if (!rc && SSL_CTX_use_PrivateKey(t->ctx, key) != 1)
        rc = glim_fail(e, GLIM_E_INPUT, "%s: the private key is refused: %s; have a new pair made",
                       path, reason());
    EVP_PKEY_free(key);
    ERR_clear_error();
    return rc;
}

/* ---- warnings ----------------------------------------------------------------------------------- */

/* "Nov 21 12:00:00 2026 GMT" into out. */
static const char *time_text(const ASN1_TIME *at, char out[40])
{
    BIO *bio = BIO_new(BIO_s_mem());
    int n = bio && ASN1_TIME_print(bio, at) == 1 ? BIO_read(bio, out, 39) : 0;
    BIO_free(bio);
    out[GLIM_MAX(n, 0)] = 0;
    return out;
}

static void warn(const glim_tls *t, const char *cert_path, const char *key_path, char *out,
                 size_t n_out)
{
    struct stat st;
    char when[40];
    const X509 *x = SSL_CTX_get0_certificate(t->ctx);
    const ASN1_TIME *from = X509_get0_notBefore(x), *to = X509_get0_notAfter(x);
    const bool over = (X509_cmp_current_time(to) < 0);
    const bool early = (X509_cmp_current_time(from) > 0);
    int n = 0;
    if (n_out == 0) return;
    out[0] = 0;
    if (over || early)
        n = snprintf(out, n_out, "%s: the certificate %s %s; clients will refuse it", cert_path,
                     over ? "ended on" : "begins on", time_text(over ? to : from, when));
    if (n < 0 || (size_t)n >= n_out) return;
    if (stat(key_path, &st) == 0 && (st.st_mode & (S_IROTH | S_IWOTH)))
        snprintf(out + n, n_out - (size_t)n,
                 "%s%s: other users may %s this private key; chmod 600 cures that", n ? "; " : "",
                 key_path, st.st_mode & S_IWOTH ? "change" : "read");
}

glim_err glim_tls_new(const char *cert_path, const char *key_path, char *warning, size_t n_warning,
                      glim_tls **out, glim_error *e)
{
    glim_buf text;
    if (n_warning) warning[0] = 0;
    glim_tls *t = glim_new0(glim_tls);
    if (!t) return glim_fail(e, GLIM_E_NOMEM, "no memory for TLS");
    t->n_owner = 1;
    ERR_clear_error();
    t->method = glim_tls_method_new();
    t->ctx = t->method ? context_new() : NULL;
    if (!t->ctx) {
        glim_tls_free(t);
        return glim_fail(e, GLIM_E_INTERNAL,
                         "OpenSSL refuses the settings for TLS: %s; is its "
                         "own configuration (openssl.cnf) sound?",
                         reason());
    }
    glim_err rc = read_pem(cert_path, "certificate", &text, e);
    if (!rc) rc = use_chain(t, cert_path, &text, e);
    glim_buf_deinit(&text);
    if (!rc) {
        rc = read_pem(key_path, "private key", &text, e);
        if (!rc) rc = use_key(t, cert_path, key_path, &text, e);
        if (text.p) glim_wipe(text.p, text.cap);
        glim_buf_deinit(&text);
    }
    if (rc) {
        glim_tls_free(t);
        return rc;
    }
    warn(t, cert_path, key_path, warning, n_warning);
    *out = t;
    return GLIM_OK;
}
