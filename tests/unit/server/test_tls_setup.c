/* SPDX-License-Identifier: MIT
 * test_tls_setup.c - what a server is made from: certificates and keys, good and bad, read again
 * while it runs; addresses with http:// and https://; sockets that listen already. */
#include "tlsfix.h"
#include "failnth.h"
#include "server/tls.h"

#include <fcntl.h>
#include <stddef.h>
#include <sys/un.h>

/* ---- files --------------------------------------------------------------------------------------- */

typedef struct files {
    tmp_folder t;
    char cert[400], key[400];
} files;

static void files_make(files *f)
{
    tmp_folder_make(&f->t);
    write_pair(&f->t, "one");
    tmp_path(&f->t, "cert.pem", f->cert);
    tmp_path(&f->t, "key.pem", f->key);
}

/* The message names the file and holds the words. */
static void refused(const char *cert, const char *key, glim_err code, const char *file,
                    const char *words)
{
    char warning[1024];
    glim_error e = {0};
    glim_tls *t = NULL;
    assert_int_equal(glim_tls_new(cert, key, warning, sizeof warning, &t, &e), code);
    assert_null(t);
    assert_int_equal(e.code, code);
    if (!strstr(e.msg, file) || !strstr(e.msg, words)) fail_msg("%s\nlacks %s", e.msg, words);
    assert_int_equal(ERR_peek_error(), 0);
}

static void accepted(const char *cert, const char *key, const char *warns)
{
    char warning[1024];
    glim_error e = {0};
    glim_tls *t = NULL;
    if (glim_tls_new(cert, key, warning, sizeof warning, &t, &e)) fail_msg("%s", e.msg);
    if (warns[0] ? !strstr(warning, warns) : warning[0] != 0) fail_msg("warning: %s", warning);
    glim_tls_free(t);
    assert_int_equal(ERR_peek_error(), 0);
}

static void wrong_files(void **state)
{
    (void)state;
    files f;
    char a[400], b[400];
    files_make(&f);
    accepted(f.cert, f.key, "");
    refused(tmp_path(&f.t, "none.pem", a), f.key, GLIM_E_NOTFOUND, a,
            "give the path of the certificate");
    refused(f.cert, a, GLIM_E_NOTFOUND, a, "give the path of the private key");
    refused(f.t.path, f.key, GLIM_E_IO, f.t.path, "not a file");
    refused("-", f.key, GLIM_E_INPUT, "certificate", "must be a file");
    refused(f.key, f.cert, GLIM_E_INPUT, f.key, "were the two files swapped?");
    refused(f.cert, f.cert, GLIM_E_INPUT, f.cert, "were the two files swapped?");
    tmp_text(&f.t, "text.pem", "hello\n");
    tmp_text(&f.t, "empty.pem", "");
    refused(tmp_path(&f.t, "text.pem", a), f.key, GLIM_E_INPUT, a, "no certificate in PEM form");
    refused(f.cert, a, GLIM_E_INPUT, a, "no private key in PEM form");
    refused(tmp_path(&f.t, "empty.pem", a), f.key, GLIM_E_INPUT, a, "no certificate in PEM form");
    refused(f.cert, a, GLIM_E_INPUT, a, "no private key in PEM form");
    /* Another pair's key; one with a passphrase. */
    EVP_PKEY *other = key_new();
    write_key(&f.t, "other.pem", other, NULL);
    write_key(&f.t, "locked.pem", other, "secret");
    refused(f.cert, tmp_path(&f.t, "other.pem", b), GLIM_E_INPUT, b, "does not belong");
    refused(f.cert, b, GLIM_E_INPUT, f.cert, "does not belong");
    refused(f.cert, tmp_path(&f.t, "locked.pem", b), GLIM_E_INPUT, b, "encrypted");
    EVP_PKEY_free(other);
    static char large[(1 << 20) + 1];
    tmp_write(&f.t, "large.pem", large, sizeof large);
    refused(tmp_path(&f.t, "large.pem", a), f.key, GLIM_E_LIMIT, a, "certificate");
    tmp_folder_end(&f.t);
}

/* Every cut of the files is an error with a message, or the whole. */
static void damaged_files(void **state)
{
    (void)state;
    files f;
    glim_buf cert, key;
    char a[400];
    files_make(&f);
    glim_buf_init(&cert, 1 << 16);
    glim_buf_init(&key, 1 << 16);
    assert_int_equal(glim_read_file(f.cert, &cert, NULL), GLIM_OK);
    assert_int_equal(glim_read_file(f.key, &key, NULL), GLIM_OK);
    for (int which = 0; which < 2; which++) {
        const glim_buf *whole = which ? &key : &cert;
        for (size_t n = 0; n + 2 < whole->n; n += 7) {
            glim_error e = {0};
            glim_tls *t = NULL;
            tmp_write(&f.t, "cut.pem", whole->p, n);
            tmp_path(&f.t, "cut.pem", a);
            glim_err rc = glim_tls_new(which ? f.cert : a, which ? a : f.key, NULL, 0, &t, &e);
            assert_int_equal(rc, GLIM_E_INPUT);
            assert_non_null(strstr(e.msg, a));
        }
    }
    /* A second certificate that is damaged does not go unseen. */
    tmp_write(&f.t, "cut.pem", cert.p, cert.n);
    FILE *more_of_it = fopen(a, "ab");
    assert_non_null(more_of_it);
    fwrite(cert.p, 1, cert.n / 2, more_of_it);
    fputs("!!\n-----END CERTIFICATE-----\n", more_of_it);
    fclose(more_of_it);
    refused(a, f.key, GLIM_E_INPUT, a, "certificate 2 in it is damaged");
    glim_buf_deinit(&cert);
    glim_buf_deinit(&key);
    tmp_folder_end(&f.t);
}

static void chains(void **state)
{
    (void)state;
    files f;
    char a[400], b[400];
    files_make(&f);
    EVP_PKEY *ca_key = key_new(), *key = key_new(), *weak = EVP_RSA_gen(512);
    X509 *ca = cert_new("issuer", ca_key, NULL, NULL, -10, 3600);
    X509 *x = cert_new("server", key, ca, ca_key, -10, 3600);
    X509 *y = cert_new("weak", weak, NULL, NULL, -10, 3600);
    write_key(&f.t, "k.pem", key, NULL);
    write_certs(&f.t, "chain.pem", x, ca);
    write_certs(&f.t, "turned.pem", ca, x);
    tmp_path(&f.t, "k.pem", b);
    accepted(tmp_path(&f.t, "chain.pem", a), b, "");
    refused(tmp_path(&f.t, "turned.pem", a), b, GLIM_E_INPUT, a, "must come first");
    write_key(&f.t, "weak-key.pem", weak, NULL);
    write_certs(&f.t, "weak.pem", y, NULL);
    refused(tmp_path(&f.t, "weak.pem", a), tmp_path(&f.t, "weak-key.pem", b), GLIM_E_INPUT, a,
            "too small");
    /* Both in one file, in either order. */
    for (int key_first = 0; key_first < 2; key_first++) {
        BIO *bio = BIO_new(BIO_s_mem());
        if (key_first) PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
        PEM_write_bio_X509(bio, x);
        PEM_write_bio_X509(bio, ca);
        if (!key_first) PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
        write_bio(&f.t, "all.pem", bio);
        tmp_path(&f.t, "all.pem", a);
        accepted(a, a, "");
    }
    X509_free(x);
    X509_free(y);
    X509_free(ca);
    EVP_PKEY_free(key);
    EVP_PKEY_free(ca_key);
    EVP_PKEY_free(weak);
    tmp_folder_end(&f.t);
}

static char logged[2048];

static void keep_log(void *user, glim_log_level level, const char *area, const char *event,
                     const char *pairs)
{
    (void)user;
    if (level == GLIM_LOG_WARN) snprintf(logged, sizeof logged, "%s %s %s", area, event, pairs);
}

static void doubtful_files(void **state)
{
    (void)state;
    files f;
    files_make(&f);
    EVP_PKEY *key = key_new();
    write_key(&f.t, "key.pem", key, NULL);
    const struct {
        long from, to;
        const char *says;
    } rows[] = {{-7200, -3600, "ended on"}, {3600, 7200, "begins on"}, {-10, 3600, ""}};
    for (size_t i = 0; i < GLIM_COUNT(rows); i++) {
        X509 *x = cert_new("late", key, NULL, NULL, rows[i].from, rows[i].to);
        write_certs(&f.t, "cert.pem", x, NULL);
        X509_free(x);
        accepted(f.cert, f.key, rows[i].says);
        assert_int_equal(chmod(f.key, 0644), 0);
        accepted(f.cert, f.key, rows[i].says[0] ? rows[i].says : "other users may read");
        accepted(f.cert, f.key, "chmod 600");
        assert_int_equal(chmod(f.key, 0602), 0);
        accepted(f.cert, f.key, "other users may change");
        assert_int_equal(chmod(f.key, 0640), 0); /* a group is somebody's decision */
        accepted(f.cert, f.key, rows[i].says);
    }
    EVP_PKEY_free(key);
    /* The server says it in its log. */
    fixture s;
    glim_error e;
    prepare(&s);
    s.o.tls_cert = f.cert;
    s.o.tls_key = f.key;
    assert_int_equal(chmod(f.key, 0604), 0);
    glim_log_set(keep_log, NULL, GLIM_LOG_WARN);
    assert_int_equal(glim_http_new(&s.o, &s.http, &e), GLIM_OK);
    glim_log_set(NULL, NULL, GLIM_LOG_WARN);
    assert_non_null(strstr(logged, "server tls "));
    assert_non_null(strstr(logged, "other users may read"));
    glim_http_free(s.http);
    /* One without the other. */
    s.o.tls_key = NULL;
    assert_int_equal(glim_http_new(&s.o, &s.http, &e), GLIM_E_INPUT);
    assert_true(strstr(e.msg, f.cert) && strstr(e.msg, "private key"));
    s.o.tls_key = f.key;
    s.o.tls_cert = NULL;
    assert_int_equal(glim_http_new(&s.o, &s.http, &e), GLIM_E_INPUT);
    assert_true(strstr(e.msg, f.key) && strstr(e.msg, "certificate"));
    tmp_folder_end(&f.t);
}

/* ---- reading again ------------------------------------------------------------------------------- */

typedef struct again {
    glim_http *http;
    glim_err rc;
    glim_error e;
    char warning[512];
    atomic_bool done;
} again;

static void read_again(void *arg)
{
    again *a = arg;
    a->rc = glim_http_reload(a->http, a->warning, sizeof a->warning, &a->e);
    atomic_store(&a->done, true);
}

static glim_err reload(tls_fixture *t, again *a)
{
    memset(a, 0, sizeof *a);
    a->http = t->f.http;
    assert_int_equal(glim_http_post(t->f.http, read_again, a), GLIM_OK);
    for (int i = 0; i < 2000 && !atomic_load(&a->done); i++)
        nap(2);
    assert_true(atomic_load(&a->done));
    return a->rc;
}

static void expect_name(tls_fixture *t, const char *want)
{
    char name[64];
    client *c = tls_dial(t);
    assert_string_equal(peer_name(c, name), want);
    say(c, GET("/"));
    assert_int_equal(hear(c), 200);
    tls_hang_up(c, true);
}

static void reloads(void **state)
{
    (void)state;
    tls_fixture t;
    again a;
    char name[64];
    tls_prepare(&t);
    tls_start(&t);
    client *old = tls_dial(&t);
    say(old, GET("/flood"));
    nap(20);
    write_pair(&t.folder, "second");
    assert_int_equal(reload(&t, &a), GLIM_OK);
    assert_string_equal(a.warning, "");
    expect_name(&t, "second");
    /* The stream that was open goes on, and so does its connection. */
    char line[1024];
    size_t got = 0, n = 1;
    while (take_line(old, line, sizeof line) > 2)
        ;
    for (; n; got += n) {
        assert_true(take_line(old, line, sizeof line) > 2);
        n = strtoul(line, NULL, 16);
        need(old, n + 2);
        old->at += n + 2;
    }
    assert_int_equal(got, N_FLOOD);
    say(old, GET("/how"));
    assert_int_equal(hear(old), 200);
    assert_string_equal(old->body, "tls");
    assert_string_equal(peer_name(old, name), "first");
    /* Half of a new pair, a broken file, none at all: everything stays. */
    EVP_PKEY *other = key_new();
    write_key(&t.folder, "key.pem", other, NULL);
    EVP_PKEY_free(other);
    assert_int_equal(reload(&t, &a), GLIM_E_INPUT);
    assert_non_null(strstr(a.e.msg, "does not belong"));
    expect_name(&t, "second");
    tmp_text(&t.folder, "cert.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n");
    assert_int_equal(reload(&t, &a), GLIM_E_INPUT);
    expect_name(&t, "second");
    tmp_remove(&t.folder, "cert.pem");
    assert_int_equal(reload(&t, &a), GLIM_E_NOTFOUND);
    assert_non_null(strstr(a.e.msg, t.cert));
    expect_name(&t, "second");
    write_pair(&t.folder, "third");
    assert_int_equal(chmod(t.key, 0644), 0);
    assert_int_equal(reload(&t, &a), GLIM_OK);
    assert_non_null(strstr(a.warning, "chmod 600"));
    expect_name(&t, "third");
    tls_hang_up(old, true);
    tls_stop(&t, NULL);
    /* There is nothing to read again without a certificate. */
    tls_prepare(&t);
    t.f.o.tls_cert = t.f.o.tls_key = NULL;
    tls_start(&t);
    assert_int_equal(reload(&t, &a), GLIM_E_STATE);
    tls_stop(&t, "");
}

/* ---- addresses ----------------------------------------------------------------------------------- */

static void schemes(void **state)
{
    (void)state;
    static const char *const list[] = {"http://127.0.0.1:0", "https://127.0.0.1:0", "127.0.0.1:0",
                                       "HTTPS://127.0.0.1:0"};
    static const bool tls[] = {false, true, true, true};
    tls_fixture t;
    tls_prepare(&t);
    t.f.o.listen = list;
    t.f.o.n_listen = GLIM_COUNT(list);
    tls_start(&t);
    for (size_t i = 0; i < GLIM_COUNT(list); i++) {
        const tls_want w = {0};
        const char *at = glim_http_address(t.f.http, i);
        assert_memory_equal(at, "127.0.0.1:", 10);
        assert_int_equal(glim_http_is_tls(t.f.http, i), tls[i]);
        client *c = dial_text(at);
        assert_non_null(c);
        if (tls[i]) tls_over(c, &w, NULL);
        say(c, GET("/how"));
        assert_int_equal(hear(c), 200);
        assert_string_equal(c->body, tls[i] ? "tls" : "plain");
        tls[i] ? tls_hang_up(c, true) : hang_up(c);
    }
    tls_stop(&t, "hrdhrdhrdhrd");
    /* Without a certificate. */
    glim_error e;
    fixture f;
    prepare(&f);
    f.o.listen = list;
    f.o.n_listen = 1;
    start(&f);
    assert_false(glim_http_is_tls(f.http, 0));
    stop(&f, "");
    f.o.n_listen = 2;
    assert_int_equal(glim_http_new(&f.o, &f.http, &e), GLIM_E_INPUT);
    assert_non_null(strstr(e.msg, "https://127.0.0.1:0: HTTPS needs a certificate"));
    for (size_t i = 0; i < GLIM_COUNT(list); i++) {
        assert_int_equal(glim_http_check_address(list[i], &e), GLIM_OK);
        assert_string_equal(glim_http_bare_address(list[i]), "127.0.0.1:0");
    }
    static const char *const bad[] = {
        "http://",           "https://",           "ftp://127.0.0.1:1",
        "http:/127.0.0.1:1", "https://http://a:1", "https://a:1/"};
    for (size_t i = 0; i < GLIM_COUNT(bad); i++)
        assert_int_equal(glim_http_check_address(bad[i], &e), GLIM_E_INPUT);
}

/* ---- sockets that listen already ----------------------------------------------------------------- */

static socklen_t unix_address(struct sockaddr_un *a, const char *path)
{
    size_t n = strlen(path);
    *a = (struct sockaddr_un){.sun_family = AF_UNIX};
    assert_true(n < sizeof a->sun_path);
    memcpy(a->sun_path, path, n);
    if (path[0] == '@') a->sun_path[0] = 0;
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
}

static client *dial_unix(const char *path)
{
    struct sockaddr_un a;
    socklen_t n = unix_address(&a, path);
    client *c = calloc(1, sizeof *c);
    assert_non_null(c);
    c->fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(connect(c->fd, (struct sockaddr *)&a, n), 0);
    return c;
}

static void inherited(void **state)
{
    (void)state;
    tls_fixture t;
    struct sockaddr_un a;
    struct sockaddr_in open_to_all = {.sin_family = AF_INET};
    char path[400], abstract[64];
    int fds[4];
    tls_prepare(&t);
    tmp_path(&t.folder, "glim.sock", path);
    snprintf(abstract, sizeof abstract, "@glim-test-%ld", (long)getpid());
    fds[0] = listening_v4(0);
    fds[1] = listening(AF_UNIX, (struct sockaddr *)&a, unix_address(&a, path), 0);
    fds[2] = listening(AF_UNIX, (struct sockaddr *)&a, unix_address(&a, abstract), 0);
    fds[3] = listening(AF_INET, (struct sockaddr *)&open_to_all, sizeof open_to_all, 0);
    t.f.o.listen = NULL;
    t.f.o.fds = fds;
    t.f.o.n_fd = 4;
    tls_start(&t);
    static const bool tls[] = {true, false, false, true};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(glim_http_is_tls(t.f.http, (size_t)i), tls[i]);
        assert_int_not_equal(fcntl(fds[i], F_GETFL) & O_NONBLOCK, 0);
        assert_int_equal(fcntl(fds[i], F_GETFD), FD_CLOEXEC);
    }
    assert_memory_equal(glim_http_address(t.f.http, 0), "127.0.0.1:", 10);
    assert_string_equal(glim_http_address(t.f.http, 1), path);
    assert_string_equal(glim_http_address(t.f.http, 2), abstract);
    assert_memory_equal(glim_http_address(t.f.http, 3), "0.0.0.0:", 8);
    for (int i = 0; i < 4; i++) {
        const tls_want w = {0};
        client *c = tls[i] ? tls_over(dial_text(glim_http_address(t.f.http, (size_t)i)), &w, NULL)
                           : dial_unix(i == 1 ? path : abstract);
        say(c, GET("/where") GET("/how"));
        assert_int_equal(hear(c), 200);
        assert_true(has(c, i < 3 ? "Content-Type: loopback\n" : "Content-Type: open\n"));
        if (tls[i])
            assert_memory_equal(c->body, "127.0.0.1:", 10);
        else
            assert_string_equal(c->body, "unix:0");
        assert_int_equal(hear(c), 200);
        assert_string_equal(c->body, tls[i] ? "tls" : "plain");
        tls[i] ? tls_hang_up(c, true) : hang_up(c);
    }
    tls_stop(&t, "hrdhrdhrdhrdhrdhrdhrdhrd"); /* and with it the sockets: no descriptor is left */
}

static void inherited_wrongly(void **state)
{
    (void)state;
    int pipes[2], pair[2];
    assert_int_equal(pipe(pipes), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    int good = listening_v4(0), udp = socket(AF_INET, SOCK_DGRAM, 0),
        mute = socket(AF_INET, SOCK_STREAM, 0);
    const struct {
        int fd;
        const char *says;
    } rows[] = {{pipes[0], "no socket"},      {pair[0], "does not listen"},
                {udp, "not a stream socket"}, {mute, "does not listen"},
                {900, "Bad file descriptor"}, {-1, "Bad file descriptor"},
                {good, "named twice"}};
    for (size_t i = 0; i < GLIM_COUNT(rows); i++) {
        fixture f;
        glim_error e;
        char number[32];
        const int fds[] = {good, rows[i].fd};
        prepare(&f);
        f.o.fds = fds;
        f.o.n_fd = 2;
        assert_int_equal(glim_http_new(&f.o, &f.http, &e), GLIM_E_INPUT);
        snprintf(number, sizeof number, "descriptor %d ", rows[i].fd);
        if (!strstr(e.msg, rows[i].says) || !strstr(e.msg, number)) fail_msg("%s", e.msg);
        assert_true(fcntl(good, F_GETFD) >= 0); /* still the caller's */
    }
    close(good);
    close(udp);
    close(mute);
    for (int i = 0; i < 2; i++) {
        close(pipes[i]);
        close(pair[i]);
    }
}

/* Whichever allocation fails: an error or a server, and no socket lost or closed twice. */
static void without_memory(void **state)
{
    (void)state;
    tls_fixture t;
    tls_prepare(&t);
    for (int kind = 0; kind < 2; kind++) {
        for (int64_t i = 0;; i++) {
            fail_nth n;
            glim_error e = {0};
            int fd = kind ? listening_v4(0) : -1;
            t.f.o.fds = &fd;
            t.f.o.n_fd = kind ? 1 : 0;
            fail_nth_begin(&n, i);
            glim_err rc = glim_http_new(&t.f.o, &t.f.http, &e);
            if (!rc) rc = glim_http_reload(t.f.http, NULL, 0, &e);
            fail_nth_end();
            bool hit = fail_nth_hit(&n);
            if (t.f.http)
                glim_http_free(t.f.http);
            else if (kind)
                assert_int_equal(close(fd), 0);
            t.f.http = NULL;
            if (rc) assert_true(rc == e.code && e.msg[0]);
            if (!hit) break;
            assert_true(i < 1000);
        }
    }
    tmp_folder_end(&t.folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(wrong_files),    T(damaged_files),     T(chains),
        T(doubtful_files), T(reloads),           T(schemes),
        T(inherited),      T(inherited_wrongly), T(without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
