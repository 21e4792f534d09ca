/* SPDX-License-Identifier: MIT
 * test_http.c - messages over real loopback sockets: what clients see of replies, refusals, limits
 * of time and back-pressure. */
#include "httpfix.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(keep_alive), T(bodies), T(pipelining),  T(continues),
        T(denied),     T(faults), T(time_limits), T(back_pressure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
