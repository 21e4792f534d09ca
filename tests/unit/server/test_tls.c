/* SPDX-License-Identifier: MIT
 * test_tls.c - messages over TLS: both versions, large and small, with sockets that take little,
 * clients that go, are slow, speak something else or talk nonsense. */
#include "tlsfix.h"
#include "server/conn_priv.h"

static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
static const char both[] = "\x02h2\x08http/1.1", h2[] = "\x02h2";

/* The bytes that a client begins with. */
static size_t hello(const tls_want *w, char *out, size_t n_out)
{
    SSL *ssl = client_ssl(w);
    BIO *in = BIO_new(BIO_s_mem()), *to = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl, in, to);
    assert_int_not_equal(SSL_connect(ssl), 1);
    int n = BIO_read(to, out, (int)n_out);
    assert_true(n > 100 && (size_t)n < n_out);
    SSL_free(ssl);
    ERR_clear_error();
    return (size_t)n;
}

static void speaks(void **state)
{
    (void)state;
    tls_fixture t;
    tls_prepare(&t);
    tls_start(&t);
    assert_true(glim_http_is_tls(t.f.http, 0));
    assert_false(glim_http_is_tls(t.f.http, 1));
    assert_memory_equal(glim_http_address(t.f.http, 0), "127.0.0.1:", 10);
    for (size_t v = 0; v < GLIM_COUNT(versions); v++) {
        const unsigned char *chosen = NULL;
        unsigned n_chosen = 0;
        char name[64];
        const tls_want w = {.version = versions[v], .alpn = both};
        client *c = tls_dial_as(&t, &w);
        const SSL *ssl = side(c)->ssl;
        const SSL_CIPHER *cipher = SSL_get_current_cipher(ssl);
        assert_int_equal(SSL_version(ssl), versions[v]);
        assert_string_equal(peer_name(c, name), "first");
        SSL_get0_alpn_selected(ssl, &chosen, &n_chosen);
        assert_int_equal(n_chosen, 8);
        assert_memory_equal(chosen, "http/1.1", 8);
        assert_int_equal(SSL_CIPHER_is_aead(cipher), 1);
        if (v == 0) assert_int_equal(SSL_CIPHER_get_kx_nid(cipher), NID_kx_ecdhe);
        assert_null(SSL_get_current_compression(ssl));
        for (int i = 0; i < 3; i++) {
            say(c, GET("/how"));
            assert_int_equal(hear(c), 200);
            assert_string_equal(c->body, "tls");
        }
        say(c, GET("/chunks") "GET / HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
        assert_int_equal(hear(c), 200);
        assert_string_equal(c->body, "one,two");
        assert_int_equal(hear(c), 200);
        assert_true(ended(c) && side(c)->bye);
        tls_hang_up(c, true);
    }
    tls_stop(&t, "hrdhrdhrdhrdhrdhrdhrdhrdhrdhrd");
}

static void refuses_the_old(void **state)
{
    (void)state;
    tls_fixture t;
    int rc;
    tls_prepare(&t);
    tls_start(&t);
    for (int old = TLS1_VERSION; old < TLS1_2_VERSION; old++) {
        const tls_want w = {.version = old};
        client *c = tls_over(dial(&t.f), &w, &rc);
        assert_int_not_equal(rc, 1);
        assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_R_TLSV1_ALERT_PROTOCOL_VERSION);
        tls_hang_up(c, false);
    }
    /* A protocol that is not spoken here is refused with the alert that says so. */
    for (size_t v = 0; v < GLIM_COUNT(versions); v++) {
        const tls_want w = {.version = versions[v], .alpn = h2};
        client *c = tls_over(dial(&t.f), &w, &rc);
        if (rc == 1) {
            assert_true(ended(c)); /* the alert comes after what the client sent */
            assert_true(side(c)->cut);
        }
        assert_int_equal(ERR_GET_REASON(ERR_peek_error()),
                         SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL);
        tls_hang_up(c, false);
    }
    /* It can be read even if the client talks on. */
    char bytes[4096];
    static char much[60000]; /* more than OpenSSL reads at a time */
    const tls_want other = {.alpn = h2};
    size_t n = hello(&other, bytes, sizeof bytes), n_alert = 0;
    client *c = dial(&t.f);
    memcpy(much, bytes, n);
    say_n(c, much, sizeof much);
    for (ssize_t k; (k = recv(c->fd, bytes, sizeof bytes, 0)) != 0; n_alert += (size_t)k) {
        assert_true(k > 0);
        shutdown(c->fd, SHUT_WR);
    }
    assert_int_equal(n_alert, 7);
    hang_up(c);
    /* A second handshake on the same connection, which 1.2 still knows. */
    const tls_want w = {.version = TLS1_2_VERSION};
    c = tls_dial_as(&t, &w);
    assert_int_equal(SSL_renegotiate(side(c)->ssl), 1);
    assert_int_not_equal(SSL_do_handshake(side(c)->ssl), 1);
    assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_R_NO_RENEGOTIATION);
    tls_hang_up(c, false);
    c = tls_dial(&t);
    say(c, GET("/"));
    assert_int_equal(hear(c), 200);
    tls_hang_up(c, true);
    tls_stop(&t, "hrd");
}

/* The end of the handshake and a request in one packet: the request is read with it, and the socket
 * has no more to say. */
static void request_with_the_handshake(void **state)
{
    (void)state;
    tls_fixture t;
    char bytes[16384];
    tls_prepare(&t);
    tls_start(&t);
    const tls_want w = {.version = TLS1_3_VERSION};
    client *c = dial(&t.f);
    SSL *ssl = client_ssl(&w);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl, in, out);
    while (SSL_connect(ssl) != 1) {
        int n = BIO_read(out, bytes, sizeof bytes);
        if (n > 0) say_n(c, bytes, (size_t)n);
        ssize_t k = recv(c->fd, bytes, sizeof bytes, 0);
        assert_true(k > 0);
        BIO_write(in, bytes, (int)k);
    }
    assert_true(SSL_write(ssl, GET("/"), (int)strlen(GET("/"))) > 0);
    int n = BIO_read(out, bytes, sizeof bytes);
    assert_true(n > 100);
    say_n(c, bytes, (size_t)n);
    wait_events(&t.f, "hrd");
    SSL_free(ssl);
    hang_up(c);
    tls_stop(&t, "hrd");
}

static void resumes(void **state)
{
    (void)state;
    tls_fixture t;
    tls_prepare(&t);
    tls_start(&t);
    for (size_t v = 0; v < GLIM_COUNT(versions); v++) {
        tls_want w = {.version = versions[v]};
        client *c = tls_dial_as(&t, &w);
        say(c, GET("/"));
        assert_int_equal(hear(c), 200); /* the tickets of 1.3 come before it */
        w.session = SSL_get1_session(side(c)->ssl);
        assert_int_equal(SSL_SESSION_is_resumable(w.session), 1);
        tls_hang_up(c, true);
        c = tls_dial_as(&t, &w);
        assert_int_equal(SSL_session_reused(side(c)->ssl), 1);
        say(c, GET("/"));
        assert_int_equal(hear(c), 200);
        tls_hang_up(c, true);
        SSL_SESSION_free(w.session);
    }
    tls_stop(&t, "hrdhrdhrdhrd");
}

/* ---- much ---------------------------------------------------------------------------------------- */

enum { N_LARGE = 5 << 20 };

static char *noise(size_t n)
{
    glim_rng r;
    char *p = malloc(n);
    assert_non_null(p);
    glim_rng_seed(&r, n);
    for (size_t i = 0; i < n; i++)
        p[i] = (char)glim_rng_u64(&r);
    return p;
}

/* The reply's body, of any length, piece by piece. */
static void hear_large(client *c, const char *want, size_t n)
{
    char line[1024];
    assert_true(take_line(c, line, sizeof line) > 2);
    assert_string_equal(line, "HTTP/1.1 200 OK");
    while (take_line(c, line, sizeof line) > 2)
        ;
    for (size_t at = 0; at < n;) {
        if (c->n == c->at) assert_true(more(c));
        size_t k = GLIM_MIN(c->n - c->at, n - at);
        assert_memory_equal(c->buf + c->at, want + at, k);
        c->at += k;
        at += k;
    }
}

static void large_bodies(void **state)
{
    (void)state;
    static const size_t records[] = {0, 512, 5000};
    char *body = noise(N_LARGE), head[200];
    for (int tiny = 0; tiny < 2; tiny++) {
        tls_fixture t;
        tls_prepare(&t);
        if (tiny) tiny_buffers(&t);
        tls_start(&t);
        for (size_t v = 0; v < GLIM_COUNT(versions); v++) {
            const tls_want w = {.version = versions[v], .record = records[(v + (size_t)tiny) % 3]};
            size_t n = tiny ? N_LARGE / 4 : N_LARGE;
            client *c = tls_dial_as(&t, &w);
            snprintf(head, sizeof head,
                     "POST /echo HTTP/1.1\r\n" HOST "Content-Length: %zu\r\n\r\n", n);
            for (int i = 0; i < 2; i++) {
                say(c, head);
                say_n(c, body, n);
                hear_large(c, body, n);
            }
            tls_hang_up(c, true);
        }
        tls_stop(&t, "hrdhrdhrdhrd");
    }
    free(body);
}

static atomic_size_t n_ahead;

static void look_ahead(void *arg)
{
    const fixture *f = arg;
    const glim_http_conn *c = f->parked ? f->parked->conn : NULL;
    if (c) atomic_store(&n_ahead, c->in.n - c->in_at);
}

/* The server has read n bytes behind the request that it is at. */
static void wait_ahead(fixture *f, size_t n)
{
    for (int i = 0; i < 5000 && atomic_load(&n_ahead) < n; i++) {
        assert_int_equal(glim_http_post(f->http, look_ahead, f), GLIM_OK);
        nap(1);
    }
    assert_int_equal(atomic_load(&n_ahead), n);
    atomic_store(&n_ahead, 0);
}

/* More than is read ahead while a reply is awaited, cut into records of many sizes: nothing may be
 * left lying in TLS's buffers when the socket has no more to say. */
static void read_ahead(void **state)
{
    (void)state;
    /* Bytes behind the first request. */
    static const size_t extra[] = {65400, 65540, 65600, 66000, 67000, 70000, 80000, 150000};
    static const size_t records[] = {0, 512, 4096, 9999};
    tls_fixture t;
    glim_buf all;
    tls_prepare(&t);
    tls_start(&t);
    glim_buf_init(&all, 1 << 20);
    for (size_t i = 0; i < GLIM_COUNT(extra) * GLIM_COUNT(records); i++) {
        const tls_want w = {.version = versions[(i + i / GLIM_COUNT(records)) & 1],
                            .record = records[i % GLIM_COUNT(records)]};
        client *c = tls_dial_as(&t, &w);
        int n = 0;
        glim_buf_clear(&all);
        glim_buf_adds(&all, GET("/park"));
        size_t n_first = all.n, end = n_first + extra[i / GLIM_COUNT(records)];
        while (all.n + 1100 < end)
            glim_buf_addf(&all, "GET /query?%d HTTP/1.1\r\n" HOST "X: %0*d\r\n\r\n", n++, 900, 0);
        glim_buf_addf(&all, "GET /query?%d HTTP/1.1\r\n" HOST "X: ", n++);
        glim_buf_addf(&all, "%0*d\r\n\r\n", (int)(end - all.n) - 4, 0);
        assert_int_equal(all.n, end);
        say_n(c, all.p, all.n);
        wait_ahead(&t.f, GLIM_MIN(all.n - n_first, GLIM_HTTP_IN));
        assert_int_equal(glim_http_post(t.f.http, answer, &t.f), GLIM_OK);
        assert_int_equal(hear(c), 200);
        for (int k = 0; k < n; k++) {
            char text[16];
            snprintf(text, sizeof text, "%d", k);
            assert_int_equal(hear(c), 200);
            assert_string_equal(c->body, text);
        }
        tls_hang_up(c, true);
    }
    glim_buf_deinit(&all);
    tls_stop(&t, NULL);
}

/* Reads a flood to its end; returns its length. */
static size_t drink(client *c, bool slowly)
{
    size_t got = 0;
    char line[1024];
    while (take_line(c, line, sizeof line) > 2)
        ;
    for (int i = 0;; i++) {
        assert_true(take_line(c, line, sizeof line) > 2);
        size_t n = strtoul(line, NULL, 16);
        need(c, n + 2);
        c->at += n + 2;
        got += n;
        if (n == 0) return got;
        if (slowly && i % 500 == 0) nap(2);
    }
}

static void back_pressure(void **state)
{
    (void)state;
    for (size_t v = 0; v < GLIM_COUNT(versions); v++) {
        tls_fixture t;
        tls_prepare(&t);
        const tls_want w = {.version = versions[v]};
        tls_start(&t);
        client *c = tls_dial_as(&t, &w);
        say(c, GET("/flood"));
        nap(200);
        assert_int_equal(atomic_load(&t.f.n_done), 0);
        client *other = tls_dial(&t);
        say(other, GET("/"));
        assert_int_equal(hear(other), 200);
        tls_hang_up(other, true);
        assert_int_equal(drink(c, v == 0), N_FLOOD);
        assert_true(atomic_load(&t.f.peak) > GLIM_HTTP_HIGH);
        assert_true(atomic_load(&t.f.peak) <= GLIM_HTTP_HIGH + N_PIECE + 64);
        say(c, GET("/"));
        assert_int_equal(hear(c), 200);
        tls_hang_up(c, true);
        tls_stop(&t, NULL);
    }
    /* One that never reads is given up. */
    tls_fixture t;
    tls_prepare(&t);
    t.f.o.write_ms = 200;
    tls_start(&t);
    client *c = tls_dial(&t);
    say(c, GET("/flood"));
    for (int i = 0; i < 1000 && atomic_load(&t.f.n_done) == 0; i++)
        nap(5);
    assert_int_equal(atomic_load(&t.f.n_done), 1);
    tls_hang_up(c, false);
    tls_stop(&t, NULL);
    assert_non_null(strstr(t.f.events, "gd"));
}

/* Less than a record within the time for sending is progress too. */
static void sip(void **state)
{
    (void)state;
    tls_fixture t;
    char drop[1500];
    int small = 4096;
    tls_prepare(&t);
    tiny_buffers(&t);
    t.f.o.write_ms = 400;
    tls_start(&t);
    /* The window must be small from the beginning. */
    client *c = dial(&t.f);
    struct sockaddr_in at;
    socklen_t n_at = sizeof at;
    assert_int_equal(getpeername(c->fd, (struct sockaddr *)&at, &n_at), 0);
    close(c->fd);
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    assert_int_equal(connect(c->fd, (struct sockaddr *)&at, n_at), 0);
    const tls_want w = {0};
    tls_over(c, &w, NULL);
    say(c, GET("/flood"));
    for (int i = 0; i < 40; i++) {
        assert_true(recv(c->fd, drop, sizeof drop, 0) > 0);
        nap(50);
    }
    assert_int_equal(atomic_load(&t.f.n_done), 0);
    tls_hang_up(c, false);
    tls_stop(&t, NULL);
}

/* New keys in 1.3: the server must answer each request for them, also when its own way is blocked. */
static void new_keys(void **state)
{
    (void)state;
    tls_fixture t;
    const tls_want w = {.version = TLS1_3_VERSION};
    tls_prepare(&t);
    tiny_buffers(&t);
    tls_start(&t);
    client *c = tls_dial_as(&t, &w);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(SSL_key_update(side(c)->ssl, SSL_KEY_UPDATE_REQUESTED), 1);
        say(c, GET("/how"));
        assert_int_equal(hear(c), 200);
        assert_string_equal(c->body, "tls");
    }
    /* One at a time: OpenSSL 3.0 ends a connection that gets a second request while its answer to
     * the first one waits behind data. */
    for (int i = 0; i < 2; i++) {
        say(c, GET("/flood"));
        nap(50);
        assert_int_equal(SSL_key_update(side(c)->ssl, SSL_KEY_UPDATE_REQUESTED), 1);
        say(c, GET("/"));
        assert_int_equal(drink(c, false), N_FLOOD);
        assert_int_equal(hear(c), 200);
        assert_string_equal(c->body, "hello");
    }
    tls_hang_up(c, true);
    tls_stop(&t, NULL);
}

/* ---- ends ---------------------------------------------------------------------------------------- */

static void says_goodbye(void **state)
{
    (void)state;
    tls_fixture t;
    tls_prepare(&t);
    t.f.o.idle_ms = 200;
    tls_start(&t);
    /* Idle ones hear that it is over. */
    client *c = tls_dial(&t);
    say(c, GET("/"));
    assert_int_equal(hear(c), 200);
    assert_true(ended(c) && side(c)->bye && !side(c)->cut);
    tls_hang_up(c, true);
    /* Without chunks the goodbye is what tells a whole stream from a broken one. */
    c = tls_dial(&t);
    say(c, "GET /chunks HTTP/1.0\r\n\r\n");
    assert_int_equal(hear(c), 200);
    assert_string_equal(c->body, "one,two");
    assert_true(side(c)->bye && !side(c)->cut);
    tls_hang_up(c, true);
    c = tls_dial(&t);
    say(c, "GET /abort HTTP/1.0\r\n\r\n");
    while (more(c))
        ;
    assert_true(side(c)->cut && !side(c)->bye);
    tls_hang_up(c, false);
    c = tls_dial(&t);
    say(c, GET("/abort"));
    while (more(c))
        ;
    assert_non_null(strstr(c->buf, "4\r\nhalf\r\n"));
    assert_null(strstr(c->buf, "\r\n0\r\n"));
    tls_hang_up(c, false);
    tls_stop(&t, "hrdhrdhrdhrd");
}

/* There is no room for the goodbye when the reply is out: it waits. */
static void waits_to_say_goodbye(void **state)
{
    (void)state;
    char *body = noise(60000);
    for (size_t n = 1000; n <= 60000; n += 1000) {
        tls_fixture t;
        char head[200];
        tls_prepare(&t);
        tiny_buffers(&t);
        tls_start(&t);
        client *c = tls_dial(&t);
        snprintf(head, sizeof head,
                 "POST /echo HTTP/1.1\r\n" HOST "Connection: close\r\nContent-Length: %zu\r\n\r\n",
                 n);
        say(c, head);
        say_n(c, body, n);
        nap(5);
        hear_large(c, body, n);
        assert_true(ended(c) && side(c)->bye);
        tls_hang_up(c, true);
        tls_stop(&t, "hrd");
    }
    free(body);
}

static void client_gone(void **state)
{
    (void)state;
    enum { CLOSE, POLITE, HALF, RESET, AHEAD, IN_FLOOD, N_WAY };
    char *ahead = noise(300000);
    memset(ahead, 'x', 300000);
    for (int way = 0; way < N_WAY; way++) {
        tls_fixture t;
        const tls_want w = {.version = versions[way & 1]};
        tls_prepare(&t);
        tls_start(&t);
        client *c = tls_dial_as(&t, &w);
        say(c, way == IN_FLOOD ? GET("/flood") : GET("/hang"));
        if (way != IN_FLOOD) wait_events(&t.f, "hr");
        if (way == AHEAD) say_n(c, ahead, 300000); /* the server has stopped reading */
        if (way == AHEAD || way == IN_FLOOD) nap(50);
        if (way == HALF) { /* "no more to send" is taken for gone */
            SSL_shutdown(side(c)->ssl);
            wait_events(&t.f, "hrgd");
        }
        if (way == RESET) {
            struct linger now = {.l_onoff = 1};
            setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        }
        tls_hang_up(c, way == POLITE);
        if (way == IN_FLOOD) {
            for (int i = 0; i < 2000 && atomic_load(&t.f.n_done) == 0; i++)
                nap(5);
            assert_int_equal(atomic_load(&t.f.n_done), 1);
            tls_stop(&t, NULL);
            assert_non_null(strstr(t.f.events, "gd"));
        } else {
            wait_events(&t.f, "hrgd");
            tls_stop(&t, "hrgd");
        }
    }
    free(ahead);
}

/* Raw bytes until the end; how many. */
static size_t drain_raw(client *c)
{
    char drop[4096];
    size_t all = 0;
    ssize_t n;
    while ((n = recv(c->fd, drop, sizeof drop, 0)) > 0)
        all += (size_t)n;
    assert_true(n == 0 || errno == ECONNRESET);
    return all;
}

static void handshake_cut(void **state)
{
    (void)state;
    tls_fixture t;
    char bytes[4096];
    const tls_want ordinary = {.alpn = both};
    size_t n = hello(&ordinary, bytes, sizeof bytes);
    tls_prepare(&t);
    tls_start(&t);
    for (size_t k = 0; k <= n; k += 1 + n / 20) {
        client *c = dial(&t.f);
        say_n(c, bytes, k);
        if (k & 1) nap(1);
        if (k % 3 == 0) shutdown(c->fd, SHUT_WR);
        k % 3 == 0 ? (void)drain_raw(c) : (void)0;
        k % 3 == 1 ? reset(c) : hang_up(c);
    }
    client *c = tls_dial(&t);
    say(c, GET("/"));
    assert_int_equal(hear(c), 200);
    tls_hang_up(c, true);
    tls_stop(&t, "hrd");
}

static void slow(void **state)
{
    (void)state;
    tls_fixture t;
    char bytes[4096];
    const tls_want ordinary = {.alpn = both};
    size_t n = hello(&ordinary, bytes, sizeof bytes);
    tls_prepare(&t);
    t.f.o.head_ms = 200;
    tls_start(&t);
    /* Silence, a half hello, a hello by the byte, a whole one and then nothing. */
    for (int way = 0; way < 4; way++) {
        client *c = dial(&t.f);
        uint64_t from = glim_now_ns();
        if (way == 1) say_n(c, bytes, n / 2);
        if (way == 3) say_n(c, bytes, n);
        for (int i = 0; way == 2 && i < 15; i++) {
            say_n(c, bytes + i, 1);
            nap(10);
        }
        size_t got = drain_raw(c);
        assert_true((got > 0) == (way == 3));
        assert_true(seconds_since(from) > 0.15 && seconds_since(from) < 3);
        hang_up(c);
    }
    /* Behind the handshake the limits are those of any connection. */
    client *c = tls_dial(&t);
    uint64_t from = glim_now_ns();
    say(c, "GET / HTTP/1.1\r\n");
    assert_int_equal(hear(c), 408);
    assert_true(seconds_since(from) > 0.15 && seconds_since(from) < 3);
    assert_true(ended(c) && side(c)->bye);
    tls_hang_up(c, true);
    tls_stop(&t, "fd");
}

static void plain_on_tls_port(void **state)
{
    (void)state;
    static const char *const requests[] = {
        GET("/"), "G", "post /v1/chat/completions HTTP/1.1\r\nContent-Length: 100000\r\n\r\n{"};
    tls_fixture t;
    tls_prepare(&t);
    tls_start(&t);
    for (size_t i = 0; i < GLIM_COUNT(requests); i++) {
        client *c = dial(&t.f);
        say(c, requests[i]);
        assert_int_equal(hear(c), 400);
        assert_non_null(strstr(c->body, "this port speaks HTTPS"));
        assert_true(has(c, "Connection: close\n"));
        assert_true(ended(c));
        hang_up(c);
    }
    tls_stop(&t, "fdfdfd");
}

static void nonsense(void **state)
{
    (void)state;
    tls_fixture t;
    glim_rng r;
    char bytes[4096], junk[4096];
    const tls_want ordinary = {.alpn = both};
    size_t n = hello(&ordinary, bytes, sizeof bytes);
    tls_prepare(&t);
    t.f.o.head_ms = 100;
    tls_start(&t);
    glim_rng_seed(&r, 7);
    for (int i = 0; i < 200; i++) {
        client *c = dial(&t.f);
        size_t k = n;
        memcpy(junk, bytes, n);
        if (i % 4 == 0) { /* no hello at all; a letter would be plain HTTP */
            k = 1 + glim_rng_u64(&r) % sizeof junk;
            for (size_t j = 0; j < k; j++)
                junk[j] = (char)glim_rng_u64(&r);
            junk[0] = (char)(i & 8 ? 0x16 : 0x80 + i % 64);
        }
        for (int j = 0; i % 4 && j < i % 4; j++)
            junk[1 + glim_rng_u64(&r) % (n - 1)] ^= (char)(1 + glim_rng_u64(&r) % 255);
        say_n(c, junk, k);
        if (i % 2) shutdown(c->fd, SHUT_WR);
        (void)drain_raw(c);
        hang_up(c);
    }
    /* Behind a handshake and behind a request. */
    client *c = tls_dial(&t);
    assert_true(send(c->fd, junk, sizeof junk, MSG_NOSIGNAL) > 0);
    assert_true(ended(c) && side(c)->cut);
    tls_hang_up(c, false);
    c = tls_dial(&t);
    say(c, GET("/hang"));
    wait_events(&t.f, "hr");
    assert_true(send(c->fd, junk, sizeof junk, MSG_NOSIGNAL) > 0);
    wait_events(&t.f, "hrgd");
    tls_hang_up(c, false);
    c = tls_dial(&t);
    say(c, GET("/"));
    assert_int_equal(hear(c), 200);
    tls_hang_up(c, true);
    tls_stop(&t, "hrgdhrd");
}

/* The two ends without a server between: what reading says when more lies behind it, and that a
 * socket nobody listens to any more is an error and no signal. */
static void link_alone(void **state)
{
    (void)state;
    tls_fixture t;
    int pair[2];
    char buf[1000];
    const tls_want w = {0};
    glim_tls *tls = NULL;
    sigset_t s;
    tls_prepare(&t);
    sigemptyset(&s);
    sigaddset(&s, SIGPIPE);
    assert_int_equal(glim_tls_new(t.cert, t.key, NULL, 0, &tls, NULL), GLIM_OK);
    for (int way = 0; way < 2; way++) {
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
        glim_tls_link *l = glim_tls_link_new(tls, pair[0]);
        SSL *ssl = client_ssl(&w);
        SSL_set_fd(ssl, pair[1]);
        while (SSL_connect(ssl) != 1)
            assert_true(!glim_tls_shake(l) || l->up);
        assert_true(glim_tls_shake(l) && l->up);
        assert_true(glim_tls_read(l, buf, sizeof buf) < 0 && errno == EAGAIN && !l->more);
        assert_int_equal(SSL_write(ssl, "abc", 3), 3);
        assert_int_equal(SSL_shutdown(ssl), 0);
        if (way == 0) {
            /* The end is not announced by the socket a second time. */
            assert_int_equal(glim_tls_read(l, buf, 1), 1);
            assert_true(l->more);
            assert_int_equal(glim_tls_read(l, buf + 1, sizeof buf - 1), 2);
            assert_memory_equal(buf, "abc", 3);
            assert_true(l->more);
            assert_int_equal(glim_tls_read(l, buf, sizeof buf), 0);
        }
        SSL_free(ssl);
        close(pair[1]);
        pthread_sigmask(SIG_UNBLOCK, &s, NULL);
        if (way == 0) assert_true(glim_tls_write(l, "x", 1) < 0 && errno == EPROTO && l->dead);
        assert_true(glim_tls_bye(l)); /* way 1: the first to find out */
        assert_true(l->dead && l->why[0]);
        assert_true(glim_tls_write(l, "x", 1) < 0 && glim_tls_bye(l));
        glim_tls_link_free(l);
        close(pair[0]);
    }
    glim_tls_free(tls);
    tmp_folder_end(&t.folder);
}

static void stop_now(void *arg)
{
    glim_http_stop_accepting(((fixture *)arg)->http);
}

static void draining(void **state)
{
    (void)state;
    tls_fixture t;
    tls_prepare(&t);
    tls_start(&t);
    client *idle = tls_dial(&t), *busy = tls_dial(&t), *new = dial(&t.f);
    say(idle, GET("/"));
    assert_int_equal(hear(idle), 200);
    say(busy, GET("/park"));
    wait_events(&t.f, "hrdhr");
    assert_int_equal(glim_http_post(t.f.http, stop_now, &t.f), GLIM_OK);
    assert_true(ended(idle) && side(idle)->bye);
    assert_true(ended(new));
    assert_int_equal(glim_http_post(t.f.http, answer, &t.f), GLIM_OK);
    assert_int_equal(hear(busy), 200);
    assert_true(has(busy, "Connection: close\n"));
    assert_true(ended(busy) && side(busy)->bye);
    tls_hang_up(idle, true);
    tls_hang_up(busy, true);
    hang_up(new);
    tls_stop(&t, "hrdhrd");
}

int main(int argc, char **argv)
{
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        T(speaks),
        T(refuses_the_old),
        T(resumes),
        T(large_bodies),
        T(read_ahead),
        T(back_pressure),
        T(new_keys),
        T(says_goodbye),
        T(waits_to_say_goodbye),
        T(client_gone),
        T(handshake_cut),
        T(slow),
        T(plain_on_tls_port),
        T(nonsense),
        T(draining),
        T(link_alone),
        T(sip),
        T(request_with_the_handshake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
