/* SPDX-License-Identifier: MIT
 * test_http.c - the server over real loopback sockets: what clients see, and which callbacks come in
 * which order, whatever the client does. */
#include "server/http.h"
#include "failnth.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { N_FLOOD = 24 << 20, N_PIECE = 10000 };

/* ---- a server with a small handler ------------------------------------------------------------- */

typedef struct fixture {
    glim_http *http;
    glim_http_opts o;
    pthread_t thread;
    pthread_mutex_t lock; /* guards events */
    char events[4096];    /* h head, r request, f fault, g gone, d done, o room */
    size_t n_event;
    atomic_int n_done, n_tick;
    atomic_size_t peak;
    /* I/O thread */
    glim_http_req *parked;
    glim_http_req *flood;
    size_t n_flood;
    bool hold;
} fixture;

static void note(fixture *f, char c)
{
    pthread_mutex_lock(&f->lock);
    if (f->n_event + 1 < sizeof f->events) f->events[f->n_event++] = c;
    pthread_mutex_unlock(&f->lock);
}

static bool on_head(void *user, glim_http_req *rq)
{
    note(user, 'h');
    if (!glim_str_is(rq->path, "/deny")) return true;
    glim_http_reply(rq, 401, "text/plain", GLIM_STR("X-Why: key\r\n"), GLIM_STR("no"));
    return false;
}

static void flood_on(fixture *f)
{
    static const char piece[N_PIECE] = {0};
    while (f->flood && f->n_flood < N_FLOOD && glim_http_unsent(f->flood) <= GLIM_HTTP_HIGH) {
        size_t n = GLIM_MIN((size_t)N_PIECE, N_FLOOD - f->n_flood);
        glim_http_stream_write(f->flood, (glim_str){piece, n});
        f->n_flood += n;
        size_t unsent = glim_http_unsent(f->flood);
        if (unsent > atomic_load(&f->peak)) atomic_store(&f->peak, unsent);
    }
    if (f->flood && f->n_flood == N_FLOOD) {
        glim_http_req *rq = f->flood;
        f->flood = NULL;
        glim_http_stream_end(rq);
    }
}

static void on_request(void *user, glim_http_req *rq)
{
    fixture *f = user;
    note(f, 'r');
    glim_str none = GLIM_STR("");
    if (glim_str_is(rq->path, "/echo")) {
        glim_http_reply(rq, 200, "text/plain", none, rq->body);
    } else if (glim_str_is(rq->path, "/query")) {
        glim_http_reply(rq, 200, "text/plain", none, rq->query);
    } else if (glim_str_is(rq->path, "/empty")) {
        glim_http_reply(rq, 204, NULL, none, none);
    } else if (glim_str_is(rq->path, "/park") || glim_str_is(rq->path, "/park-held")) {
        f->parked = rq;
        if (rq->path.n > 5) glim_http_hold(rq);
    } else if (glim_str_is(rq->path, "/hang")) {
        f->parked = rq;
        glim_http_stream_begin(rq, 200, "text/event-stream", none);
        glim_http_stream_write(rq, GLIM_STR("data: 1\n\n"));
    } else if (glim_str_is(rq->path, "/abort")) {
        glim_http_stream_begin(rq, 200, NULL, none);
        glim_http_stream_write(rq, GLIM_STR("half"));
        glim_http_stream_abort(rq);
    } else if (glim_str_is(rq->path, "/chunks")) {
        glim_http_stream_begin(rq, 200, "text/plain", none);
        glim_http_stream_write(rq, GLIM_STR("one,"));
        glim_http_stream_write(rq, none);
        glim_http_stream_write(rq, GLIM_STR("two"));
        glim_http_stream_end(rq);
    } else if (glim_str_is(rq->path, "/flood")) {
        f->flood = rq;
        f->n_flood = 0;
        glim_http_stream_begin(rq, 200, "application/octet-stream", none);
        flood_on(f);
    } else {
        glim_http_reply(rq, 200, "text/plain", none, GLIM_STR("hello"));
    }
}

static void on_fault(void *user, glim_http_req *rq)
{
    note(user, 'f');
    glim_http_reply(rq, glim_http_fault_status(rq->fault), "text/plain", GLIM_STR(""),
                    glim_str_of(rq->fault_text));
}

static void forget(fixture *f, const glim_http_req *rq)
{
    if (f->parked == rq) f->parked = NULL;
    if (f->flood == rq) f->flood = NULL;
}

static void on_gone(void *user, glim_http_req *rq)
{
    note(user, 'g');
    /* Replies to nobody do nothing. */
    glim_http_stream_write(rq, GLIM_STR("x"));
    glim_http_reply(rq, 200, NULL, GLIM_STR(""), GLIM_STR("x"));
}

static void on_room(void *user, glim_http_req *rq)
{
    (void)rq;
    note(user, 'o');
    flood_on(user);
}

static void on_done(void *user, glim_http_req *rq)
{
    fixture *f = user;
    note(f, 'd');
    forget(f, rq);
    atomic_fetch_add(&f->n_done, 1);
}

static void *run(void *arg)
{
    fixture *f = arg;
    glim_error e;
    /* cmocka's assertions belong to the main thread. */
    if (glim_http_run(f->http, &e)) note(f, '!');
    return NULL;
}

static const char *const any[] = {"127.0.0.1:0"};

/* Limits of the tests are set in f->o between prepare and start. */
static void prepare(fixture *f)
{
    memset(f, 0, sizeof *f);
    pthread_mutex_init(&f->lock, NULL);
    glim_http_opts_init(&f->o);
    f->o.listen = any;
    f->o.n_listen = 1;
    f->o.on_head = on_head;
    f->o.on_request = on_request;
    f->o.on_fault = on_fault;
    f->o.on_gone = on_gone;
    f->o.on_room = on_room;
    f->o.on_done = on_done;
    f->o.user = f;
}

static void start(fixture *f)
{
    glim_error e;
    if (glim_http_new(&f->o, &f->http, &e)) fail_msg("%s", e.msg);
    assert_int_equal(pthread_create(&f->thread, NULL, run, f), 0);
}

/* What happened, in order, after the end; also a check that everything ended. */
static void stop(fixture *f, const char *events)
{
    glim_http_stop(f->http);
    pthread_join(f->thread, NULL);
    assert_int_equal(glim_http_post(f->http, NULL, NULL), GLIM_E_STATE);
    glim_http_free(f->http);
    pthread_mutex_destroy(&f->lock);
    if (events) assert_string_equal(f->events, events);
}

static void nap(int ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000L};
    nanosleep(&t, NULL);
}

static void wait_events(fixture *f, const char *want)
{
    bool same = false;
    for (int i = 0; i < 2000 && !same; i++) {
        if (i) nap(5);
        pthread_mutex_lock(&f->lock);
        same = strcmp(f->events, want) == 0;
        pthread_mutex_unlock(&f->lock);
    }
    if (!same) fail_msg("events %s, not %s", f->events, want);
}

/* ---- a client ---------------------------------------------------------------------------------- */

typedef struct client {
    int fd;
    size_t n, at;
    char buf[1 << 18];
    int status;
    char head[4096];
    char body[1 << 17];
    size_t n_body;
} client;

static client *dial_text(const char *address)
{
    client *c = calloc(1, sizeof *c);
    struct sockaddr_in a = {.sin_family = AF_INET};
    const char *colon = strrchr(address, ':');
    struct timeval tv = {.tv_sec = 10};
    assert_non_null(c);
    a.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(c->fd >= 0);
    setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
    setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv);
    if (connect(c->fd, (struct sockaddr *)&a, sizeof a) != 0) {
        close(c->fd);
        free(c);
        return NULL;
    }
    return c;
}

static client *dial(fixture *f)
{
    client *c = dial_text(glim_http_address(f->http, 0));
    assert_non_null(c);
    return c;
}

static void hang_up(client *c)
{
    close(c->fd);
    free(c);
}

static void reset(client *c)
{
    struct linger now = {.l_onoff = 1};
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    hang_up(c);
}

static void say_n(client *c, const char *p, size_t n)
{
    while (n) {
        ssize_t k = send(c->fd, p, n, MSG_NOSIGNAL);
        if (k <= 0) fail_msg("send: %s", strerror(errno));
        p += k;
        n -= (size_t)k;
    }
}

static void say(client *c, const char *s)
{
    say_n(c, s, strlen(s));
}

/* More bytes; false at the end of the connection. */
static bool more(client *c)
{
    if (c->at) {
        memmove(c->buf, c->buf + c->at, c->n - c->at);
        c->n -= c->at;
        c->at = 0;
    }
    assert_true(c->n + 1 < sizeof c->buf);
    ssize_t k = recv(c->fd, c->buf + c->n, sizeof c->buf - 1 - c->n, 0);
    if (k < 0 && errno != ECONNRESET) fail_msg("recv: %s", strerror(errno));
    if (k <= 0) return false;
    c->n += (size_t)k;
    c->buf[c->n] = 0;
    return true;
}

static void need(client *c, size_t n)
{
    while (c->n - c->at < n)
        if (!more(c)) fail_msg("the connection ended %zu bytes early", n - (c->n - c->at));
}

static void take_body(client *c, size_t n)
{
    need(c, n);
    assert_true(c->n_body + n < sizeof c->body);
    memcpy(c->body + c->n_body, c->buf + c->at, n);
    c->n_body += n;
    c->body[c->n_body] = 0;
    c->at += n;
}

static size_t take_line(client *c, char *out, size_t n_out)
{
    size_t n;
    for (;;) {
        char *p = c->n > c->at ? memchr(c->buf + c->at, '\n', c->n - c->at) : NULL;
        if (p) {
            n = (size_t)(p - c->buf) + 1 - c->at;
            break;
        }
        if (!more(c)) return 0;
    }
    assert_true(n >= 2 && n < n_out);
    memcpy(out, c->buf + c->at, n - 2);
    out[n - 2] = 0;
    c->at += n;
    return n;
}

/* One reply with its body; 0 when the connection ended instead. to_head: a reply to HEAD. */
static int hear_kind(client *c, bool to_head)
{
    char line[1024];
    size_t n_head = 0, n_length = 0;
    bool chunked = false, has_length = false;
    c->n_body = 0;
    c->head[0] = c->body[0] = 0;
    if (!take_line(c, line, sizeof line)) return 0;
    assert_memory_equal(line, "HTTP/1.1 ", 9);
    c->status = (int)strtol(line + 9, NULL, 10);
    while (take_line(c, line, sizeof line) > 2) {
        n_head += (size_t)snprintf(c->head + n_head, sizeof c->head - n_head, "%s\n", line);
        if (strncmp(line, "Content-Length: ", 16) == 0) {
            n_length = strtoul(line + 16, NULL, 10);
            has_length = true;
        }
        chunked |= strcmp(line, "Transfer-Encoding: chunked") == 0;
    }
    if (to_head || c->status == 100 || c->status == 204) return c->status;
    assert_true(has_length != chunked || strstr(c->head, "Connection: close"));
    if (has_length) take_body(c, n_length);
    while (chunked) {
        assert_true(take_line(c, line, sizeof line) > 2);
        size_t n = strtoul(line, NULL, 16);
        take_body(c, n);
        assert_int_equal(take_line(c, line, sizeof line), 2);
        if (n == 0) break;
    }
    if (!has_length && !chunked) {
        while (more(c))
            ;
        take_body(c, c->n - c->at);
    }
    return c->status;
}

static int hear(client *c)
{
    return hear_kind(c, false);
}

static bool has(const client *c, const char *line)
{
    return strstr(c->head, line) != NULL;
}

static bool ended(client *c)
{
    return c->n == c->at && !more(c);
}

#define HOST "Host: localhost\r\n"
#define GET(path) "GET " path " HTTP/1.1\r\n" HOST "\r\n"

/* ---- tests ------------------------------------------------------------------------------------- */

static void keep_alive(void **state)
{
    (void)state;
    fixture f;
    prepare(&f);
    start(&f);
    client *c = dial(&f);
    for (int i = 0; i < 3; i++) {
        say(c, GET("/"));
        assert_int_equal(hear(c), 200);
        assert_string_equal(c->body, "hello");
        assert_true(has(c, "Date: ") && has(c, " GMT\n") && has(c, "Content-Type: text/plain\n"));
        assert_false(has(c, "Connection:"));
    }
    say(c, "GET / HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
    assert_int_equal(hear(c), 200);
    assert_true(has(c, "Connection: close\n"));
    assert_true(ended(c));
    hang_up(c);
    c = dial(&f);
    say(c, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /chunks HTTP/1.0\r\n\r\n");
    assert_int_equal(hear(c), 200);
    assert_true(has(c, "Connection: keep-alive\n"));
    assert_int_equal(hear(c), 200);
    assert_string_equal(c->body, "one,two");
    assert_false(has(c, "Transfer-Encoding"));
    assert_true(ended(c));
    hang_up(c);
    stop(&f, "hrdhrdhrdhrdhrdhrd");
}

static void bodies(void **state)
{
    (void)state;
    fixture f;
    prepare(&f);
    start(&f);
    client *c = dial(&f);
    say(c, "HEAD / HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(hear_kind(c, true), 200);
    assert_true(has(c, "Content-Length: 5\n"));
    say(c, "HEAD /chunks HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(hear_kind(c, true), 200);
    say(c, GET("/empty"));
    assert_int_equal(hear(c), 204);
    assert_false(has(c, "Content-Length"));
    say(c, GET("/chunks"));
    assert_int_equal(hear(c), 200);
    assert_string_equal(c->body, "one,two");
    say(c, "OPTIONS * HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(hear(c), 200);
    static const char chunked[] =
        "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
        "5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nTrailer: x\r\n\r\n";
    for (size_t i = 0; chunked[i]; i++) {
        say_n(c, chunked + i, 1);
        if (i % 16 == 0) nap(1);
    }
    assert_int_equal(hear(c), 200);
    assert_string_equal(c->body, "hello!");
    /* A body of some size, and what it is, byte by byte. */
    size_t n = 100000;
    char *big = malloc(n + 200);
    int n_head =
        snprintf(big, 200, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: %zu\r\n\r\n", n);
    for (size_t i = 0; i < n; i++)
        big[(size_t)n_head + i] = (char)('a' + i % 23);
    say_n(c, big, (size_t)n_head + n);
    assert_int_equal(hear(c), 200);
    assert_int_equal(c->n_body, n);
    assert_memory_equal(c->body, big + n_head, n);
    free(big);
    hang_up(c);
    stop(&f, NULL);
}

static void pipelining(void **state)
{
    (void)state;
    enum { N = 500 };
    fixture f;
    prepare(&f);
    start(&f);
    client *c = dial(&f);
    static char all[N * 100];
    size_t n = 0;
    for (int i = 0; i < N; i++)
        n += (size_t)snprintf(all + n, sizeof all - n,
                              i % 3 ? "GET /query?%d HTTP/1.1\r\n" HOST "\r\n"
                                    : "POST /query?%d HTTP/1.1\r\n" HOST
                                      "Content-Length: 2\r\n\r\nhi",
                              i);
    say_n(c, all, n);
    for (int i = 0; i < N; i++) {
        char want[16];
        snprintf(want, sizeof want, "%d", i);
        assert_int_equal(hear(c), 200);
        assert_string_equal(c->body, want);
    }
    hang_up(c);
    stop(&f, NULL);
}

static void continues(void **state)
{
    (void)state;
    fixture f;
    prepare(&f);
    start(&f);
    client *c = dial(&f);
    say(c, "POST /echo HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    assert_int_equal(hear(c), 100);
    say(c, "hi");
    assert_int_equal(hear(c), 200);
    assert_string_equal(c->body, "hi");
    say(c, "POST /deny HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    assert_int_equal(hear(c), 401);
    assert_true(has(c, "Connection: close\n") && has(c, "X-Why: key\n"));
    assert_true(ended(c));
    hang_up(c);
    stop(&f, "hrdhd");
}

/* The refusal at the head: a short body is read over, else the connection ends. */
static void denied(void **state)
{
    (void)state;
    fixture f;
    prepare(&f);
    start(&f);
    client *c = dial(&f);
    say(c, "POST /deny HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhel");
    assert_int_equal(hear(c), 401);
    assert_false(has(c, "Connection:"));
    say(c, "lo" GET("/deny") GET("/"));
    assert_int_equal(hear(c), 401);
    assert_int_equal(hear(c), 200);
    say(c, "POST /deny HTTP/1.1\r\n" HOST "Content-Length: 1000000\r\n\r\nhel");
    assert_int_equal(hear(c), 401);
    assert_true(has(c, "Connection: close\n"));
    assert_true(ended(c));
    hang_up(c);
    stop(&f, "hdhdhrdhd");
}

static void faults(void **state)
{
    (void)state;
    static const struct {
        const char *src;
        int status;
    } cases[] = {
        {"GET / HTTP/1.1\r\n\r\n", 400},
        {"GET / HTTP/1.1\n" HOST "\n", 400},
        {"\x16\x03\x01", 400},
        {"GET / HTTP/3.0\r\n", 505},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: 1001\r\n\r\n", 413},
        {"POST / HTTP/1.1\r\n" HOST "Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\n", 415},
        {"POST / HTTP/1.1\r\n" HOST "Expect: miracle\r\n\r\n", 417},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3e9\r\n", 413},
    };
    fixture f;
    prepare(&f);
    f.o.body_max = 1000;
    start(&f);
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        client *c = dial(&f);
        say(c, cases[i].src);
        assert_int_equal(hear(c), cases[i].status);
        assert_true(has(c, "Connection: close\n"));
        assert_true(c->n_body > 0);
        assert_true(ended(c));
        hang_up(c);
    }
    /* A client that sends its body without looking can still read why it was not wanted. */
    client *c = dial(&f);
    static char junk[4 << 20];
    say(c, "POST / HTTP/1.1\r\n" HOST "Content-Length: 4194304\r\n\r\n");
    say_n(c, junk, sizeof junk);
    assert_int_equal(hear(c), 413);
    hang_up(c);
    stop(&f, "fdfdfdfdfdfdfdhfdhfdfd");
}

static double seconds_since(uint64_t t)
{
    return (double)(glim_now_ns() - t) * 1e-9;
}

static void time_limits(void **state)
{
    (void)state;
    fixture f;
    prepare(&f);
    f.o.head_ms = 200;
    f.o.body_ms = 150;
    f.o.idle_ms = 300;
    start(&f);
    /* Neither silence nor a byte now and then makes a head last longer. */
    for (int trickle = 0; trickle < 2; trickle++) {
        client *c = dial(&f);
        uint64_t t = glim_now_ns();
        say(c, "GET / HTTP/1.1\r\n");
        for (int i = 0; trickle && i < 15; i++) {
            nap(10);
            say(c, "x");
        }
        assert_int_equal(hear(c), 408);
        assert_true(seconds_since(t) > 0.15 && seconds_since(t) < 3);
        assert_true(ended(c));
        hang_up(c);
    }
    wait_events(&f, "fdfd");
    /* A body: silence, then bytes that come too slowly in all (three times 150 ms). */
    for (int trickle = 0; trickle < 2; trickle++) {
        client *c = dial(&f);
        uint64_t t = glim_now_ns();
        say(c, "POST / HTTP/1.1\r\n" HOST "Content-Length: 1000\r\n\r\n");
        for (int i = 0; trickle && i < 8; i++) {
            nap(50);
            say(c, "x");
        }
        assert_int_equal(hear(c), 408);
        assert_true(seconds_since(t) > (trickle ? 0.4 : 0.1) && seconds_since(t) < 3);
        hang_up(c);
    }
    wait_events(&f, "fdfdhfdhfd");
    /* Idle ones are closed without a word, new or used. */
    for (int used = 0; used < 2; used++) {
        client *c = dial(&f);
        uint64_t t = glim_now_ns();
        if (used) say(c, GET("/"));
        if (used) assert_int_equal(hear(c), 200);
        assert_true(ended(c));
        assert_true(seconds_since(t) > 0.25 && seconds_since(t) < 3);
        hang_up(c);
    }
    /* A handler may take its time. */
    client *c = dial(&f);
    say(c, GET("/hang"));
    nap(500);
    wait_events(&f, "fdfdhfdhfdhrdhr");
    hang_up(c);
    wait_events(&f, "fdfdhfdhfdhrdhrgd");
    stop(&f, NULL);
}

/* However a client goes, and whatever it sent before: gone, done, once. */
static void client_gone(void **state)
{
    (void)state;
    enum { CLOSE, RESET, AHEAD_CLOSE, AHEAD_RESET, HALF, N_WAY };
    static char ahead[300000];
    memset(ahead, 'x', sizeof ahead);
    for (int way = 0; way < N_WAY; way++) {
        fixture f;
        prepare(&f);
        start(&f);
        client *c = dial(&f);
        say(c, GET("/hang"));
        wait_events(&f, "hr");
        if (way == AHEAD_CLOSE || way == AHEAD_RESET) {
            /* More than the server reads ahead, so that it has stopped reading. */
            say_n(c, ahead, sizeof ahead);
            nap(50);
        }
        if (way == HALF)
            shutdown(c->fd, SHUT_WR);
        else if (way == RESET || way == AHEAD_RESET)
            reset(c);
        else
            hang_up(c);
        wait_events(&f, "hrgd");
        if (way == HALF) hang_up(c);
        stop(&f, "hrgd");
    }
    /* In the body, and before any reply. */
    fixture f;
    prepare(&f);
    start(&f);
    client *c = dial(&f);
    say(c, "POST / HTTP/1.1\r\n" HOST "Content-Length: 10\r\n\r\nx");
    wait_events(&f, "h");
    hang_up(c);
    wait_events(&f, "hgd");
    c = dial(&f);
    say(c, GET("/park"));
    wait_events(&f, "hgdhr");
    hang_up(c);
    wait_events(&f, "hgdhrgd");
    /* A head that is not whole is nobody's business. */
    c = dial(&f);
    say(c, "GET / HT");
    nap(20);
    hang_up(c);
    nap(20);
    /* The end of the server ends what is open. */
    c = dial(&f);
    say(c, GET("/hang"));
    wait_events(&f, "hgdhrgdhr");
    stop(&f, "hgdhrgdhrgd");
    hang_up(c);
}

static void aborted(void **state)
{
    (void)state;
    fixture f;
    prepare(&f);
    start(&f);
    client *c = dial(&f);
    say(c, GET("/abort"));
    while (more(c))
        ;
    assert_non_null(strstr(c->buf, "4\r\nhalf\r\n"));
    assert_null(strstr(c->buf, "\r\n0\r\n"));
    hang_up(c);
    wait_events(&f, "hrd");
    /* HTTP/1.0 has only the reset to tell a broken stream from a whole one. */
    c = dial(&f);
    say(c, "GET /abort HTTP/1.0\r\n\r\n");
    ssize_t n;
    while ((n = recv(c->fd, c->buf, sizeof c->buf, 0)) > 0)
        ;
    assert_true(n < 0 && errno == ECONNRESET);
    hang_up(c);
    stop(&f, "hrdhrd");
}

static void back_pressure(void **state)
{
    (void)state;
    fixture f;
    prepare(&f);
    start(&f);
    client *c = dial(&f);
    int small = 16384;
    setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    say(c, GET("/flood"));
    nap(200);
    assert_int_equal(atomic_load(&f.n_done), 0);
    /* Others are served meanwhile. */
    client *other = dial(&f);
    say(other, GET("/"));
    assert_int_equal(hear(other), 200);
    hang_up(other);
    size_t got = 0;
    char line[1024];
    while (take_line(c, line, sizeof line) > 2)
        ;
    for (;;) {
        assert_true(take_line(c, line, sizeof line) > 2);
        size_t n = strtoul(line, NULL, 16);
        need(c, n + 2);
        c->at += n + 2;
        got += n;
        if (n == 0) break;
    }
    assert_int_equal(got, N_FLOOD);
    assert_true(atomic_load(&f.peak) > GLIM_HTTP_HIGH);
    assert_true(atomic_load(&f.peak) <= GLIM_HTTP_HIGH + N_PIECE + 64);
    say(c, GET("/"));
    assert_int_equal(hear(c), 200);
    hang_up(c);
    stop(&f, NULL);
    /* One that never reads is given up. */
    prepare(&f);
    f.o.write_ms = 200;
    start(&f);
    c = dial(&f);
    say(c, GET("/flood"));
    for (int i = 0; i < 1000 && atomic_load(&f.n_done) == 0; i++)
        nap(5);
    assert_int_equal(atomic_load(&f.n_done), 1);
    hang_up(c);
    stop(&f, NULL);
    assert_non_null(strstr(f.events, "gd"));
}

/* ---- threads ----------------------------------------------------------------------------------- */

enum { N_THREAD = 4, N_POST = 5000 };
typedef struct poster {
    fixture *f;
    pthread_t thread;
    int next, bad; /* I/O thread */
    struct {
        struct poster *p;
        int i;
    } posts[N_POST];
} poster;

static void on_post(void *arg)
{
    int *i = &((__typeof__(((poster *)0)->posts[0]) *)arg)->i;
    poster *p = ((__typeof__(((poster *)0)->posts[0]) *)arg)->p;
    if (*i != p->next) p->bad++;
    p->next = *i + 1;
}

static void *post_all(void *arg)
{
    poster *p = arg;
    for (int i = 0; i < N_POST; i++) {
        p->posts[i].p = p;
        p->posts[i].i = i;
        if (glim_http_post(p->f->http, on_post, &p->posts[i])) return p;
    }
    return NULL;
}

static void answer(void *arg)
{
    fixture *f = arg;
    glim_http_req *rq = f->parked;
    if (!rq) return;
    glim_http_reply(rq, 200, "text/plain", GLIM_STR(""), rq->peer);
    f->parked = NULL;
}

static void tick(void *arg)
{
    atomic_fetch_add(&((fixture *)arg)->n_tick, 1);
}

static void posts(void **state)
{
    (void)state;
    fixture f;
    glim_error e;
    static poster p[N_THREAD];
    memset(p, 0, sizeof p);
    prepare(&f);
    if (glim_http_new(&f.o, &f.http, &e)) fail_msg("%s", e.msg);
    assert_int_equal(glim_http_every(f.http, 10, tick, &f), GLIM_OK);
    assert_int_equal(pthread_create(&f.thread, NULL, run, &f), 0);
    for (int i = 0; i < N_THREAD; i++) {
        p[i].f = &f;
        assert_int_equal(pthread_create(&p[i].thread, NULL, post_all, &p[i]), 0);
    }
    client *c = dial(&f);
    say(c, GET("/park") GET("/"));
    wait_events(&f, "hr");
    assert_int_equal(glim_http_post(f.http, answer, &f), GLIM_OK);
    assert_int_equal(hear(c), 200);
    assert_memory_equal(c->body, "127.0.0.1:", 10);
    assert_int_equal(hear(c), 200);
    hang_up(c);
    for (int i = 0; i < N_THREAD; i++) {
        void *failed;
        pthread_join(p[i].thread, &failed);
        assert_null(failed);
    }
    for (int i = 0; i < 1000 && atomic_load(&f.n_tick) < 3; i++)
        nap(5);
    assert_true(atomic_load(&f.n_tick) >= 3);
    /* What was accepted has been run when the loop has ended. */
    stop(&f, "hrdhrd");
    for (int i = 0; i < N_THREAD; i++) {
        assert_int_equal(p[i].next, N_POST);
        assert_int_equal(p[i].bad, 0);
    }
}

static void let_go(void *arg)
{
    glim_http_req *rq = arg;
    glim_http_stream_write(rq, GLIM_STR("nobody reads this"));
    glim_http_release(rq);
}

/* Memory that another thread reads stays until it is released. */
static void held(void **state)
{
    (void)state;
    fixture f;
    prepare(&f);
    start(&f);
    client *c = dial(&f);
    say(c, "POST /park-held HTTP/1.1\r\n" HOST "Content-Length: 4\r\n\r\nkeep");
    wait_events(&f, "hr");
    glim_http_req *rq = f.parked; /* nothing changes it now */
    hang_up(c);
    wait_events(&f, "hrg");
    c = dial(&f);
    say(c, GET("/"));
    assert_int_equal(hear(c), 200);
    assert_true(glim_str_is(rq->body, "keep"));
    assert_int_equal(glim_http_post(f.http, let_go, rq), GLIM_OK);
    wait_events(&f, "hrghrdd");
    /* A reply that is out before the release: the connection goes on. */
    say(c, GET("/park-held"));
    wait_events(&f, "hrghrddhr");
    rq = f.parked;
    assert_int_equal(glim_http_post(f.http, answer, &f), GLIM_OK);
    assert_int_equal(hear(c), 200);
    say(c, GET("/"));
    assert_int_equal(hear(c), 200);
    wait_events(&f, "hrghrddhrhrd");
    assert_int_equal(glim_http_post(f.http, let_go, rq), GLIM_OK);
    wait_events(&f, "hrghrddhrhrdd");
    /* Forgotten ones end with the server. */
    say(c, GET("/park-held"));
    wait_events(&f, "hrghrddhrhrddhr");
    stop(&f, "hrghrddhrhrddhrgd");
    hang_up(c);
}

static void drain(void *arg)
{
    fixture *f = arg;
    glim_http_stop_accepting(f->http);
    note(f, 's');
}

static void draining(void **state)
{
    (void)state;
    fixture f;
    prepare(&f);
    start(&f);
    char address[64];
    snprintf(address, sizeof address, "%s", glim_http_address(f.http, 0));
    client *idle = dial(&f), *busy = dial(&f), *half = dial(&f), *new;
    say(busy, GET("/park"));
    wait_events(&f, "hr");
    say(half, "GET / HTTP/1.1\r\n");
    say(idle, GET("/"));
    assert_int_equal(hear(idle), 200);
    assert_int_equal(glim_http_post(f.http, drain, &f), GLIM_OK);
    assert_true(ended(idle));
    wait_events(&f, "hrhrds");
    new = dial_text(address);
    assert_null(new);
    say(half, HOST "\r\n");
    assert_int_equal(hear(half), 200);
    assert_true(has(half, "Connection: close\n"));
    assert_int_equal(glim_http_post(f.http, answer, &f), GLIM_OK);
    assert_int_equal(hear(busy), 200);
    assert_true(has(busy, "Connection: close\n"));
    assert_true(ended(busy) && ended(half));
    hang_up(idle);
    hang_up(busy);
    hang_up(half);
    stop(&f, "hrhrdshrdd");
}

static void many_connections(void **state)
{
    (void)state;
    enum { N = 300 };
    fixture f;
    prepare(&f);
    start(&f);
    static client *idle[N];
    for (int i = 0; i < N; i++) {
        idle[i] = dial(&f);
        if (i % 2) say(idle[i], "GET / HTTP/1.1\r\n");
    }
    client *c = dial(&f);
    uint64_t t = glim_now_ns();
    for (int i = 0; i < 100; i++) {
        say(c, GET("/"));
        assert_int_equal(hear(c), 200);
    }
    assert_true(seconds_since(t) < 5);
    hang_up(c);
    for (int i = 0; i < N; i++)
        hang_up(idle[i]);
    stop(&f, NULL);
    /* Beyond the maximum a connection waits until another one ends. */
    prepare(&f);
    f.o.n_conn_max = 2;
    start(&f);
    client *a = dial(&f), *b = dial(&f);
    say(a, GET("/"));
    assert_int_equal(hear(a), 200);
    say(b, GET("/"));
    assert_int_equal(hear(b), 200);
    c = dial(&f);
    say(c, GET("/"));
    nap(100);
    wait_events(&f, "hrdhrd");
    hang_up(a);
    assert_int_equal(hear(c), 200);
    hang_up(b);
    hang_up(c);
    stop(&f, NULL);
}

/* ---- listening --------------------------------------------------------------------------------- */

static void addresses(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "8000",
                                      ":8000",
                                      "127.0.0.1",
                                      "a:b",
                                      "a:65536",
                                      "::1:8000",
                                      "[::1]",
                                      "[::1:80",
                                      "[]:80",
                                      "127.0.0.1:80x",
                                      "127.0.0.1:-1",
                                      "[::1]x:80",
                                      "no.such.name.invalid:80"};
    fixture f;
    glim_error e;
    prepare(&f);
    for (size_t i = 0; i < GLIM_COUNT(bad); i++) {
        f.o.listen = &bad[i];
        assert_int_equal(glim_http_new(&f.o, &f.http, &e), GLIM_E_INPUT);
        assert_non_null(strstr(e.msg, "127.0.0.1:"));
    }
    f.o.n_listen = 0;
    assert_int_equal(glim_http_new(&f.o, &f.http, &e), GLIM_E_INPUT);
    const char *two[] = {"127.0.0.1:0", "localhost:0"};
    f.o.listen = two;
    f.o.n_listen = 2;
    start(&f);
    const char *taken = glim_http_address(f.http, 0);
    assert_string_equal(glim_http_address(f.http, 2), "");
    assert_string_not_equal(glim_http_address(f.http, 1), "");
    glim_http *second;
    f.o.listen = &taken;
    f.o.n_listen = 1;
    assert_int_equal(glim_http_new(&f.o, &second, &e), GLIM_E_IO);
    assert_non_null(strstr(e.msg, taken));
    assert_non_null(strstr(e.msg, "choose another port"));
    stop(&f, "");
    static const char *const v6[] = {"[::1]:0"};
    prepare(&f);
    f.o.listen = v6;
    if (glim_http_new(&f.o, &f.http, &e) == GLIM_OK) {
        assert_memory_equal(glim_http_address(f.http, 0), "[::1]:", 6);
        glim_http_free(f.http);
    } else {
        print_message("no IPv6 here: %s\n", e.msg);
    }
}

static void new_without_memory(void **state)
{
    (void)state;
    fixture f;
    prepare(&f);
    for (int64_t i = 0;; i++) {
        fail_nth n;
        glim_error e = {0};
        fail_nth_begin(&n, i);
        glim_err rc = glim_http_new(&f.o, &f.http, &e);
        fail_nth_end();
        if (rc == GLIM_OK)
            glim_http_free(f.http);
        else
            assert_true(rc == e.code && e.msg[0]);
        if (!fail_nth_hit(&n)) break;
        assert_true(i < 1000);
    }
}

static size_t n_fd(void)
{
    size_t n = 0;
    DIR *d = opendir("/proc/self/fd");
    if (!d) return 0;
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static size_t n_fd_before;

static int count_fds(void **state)
{
    (void)state;
    n_fd_before = n_fd();
    return 0;
}

static int no_fd_left(void **state)
{
    (void)state;
    size_t n = n_fd();
    if (n != n_fd_before) print_error("%zu descriptors, %zu before\n", n, n_fd_before);
    return n != n_fd_before;
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, count_fds, no_fd_left)
    const struct CMUnitTest tests[] = {
        T(keep_alive), T(bodies),           T(pipelining),  T(continues),
        T(denied),     T(faults),           T(time_limits), T(client_gone),
        T(aborted),    T(back_pressure),    T(posts),       T(held),
        T(draining),   T(many_connections), T(addresses),   T(new_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
