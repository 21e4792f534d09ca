/* SPDX-License-Identifier: MIT
 * test_http_life.c - beginnings and ends: clients that go, threads that post and hold, draining, many
 * connections, addresses; every exchange ends once and no descriptor is left. */
#include "httpfix.h"
#include "failnth.h"

#include <sys/resource.h>

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

/* Without descriptors a connection waits until there are some, also when none of ours closes. */
static void out_of_descriptors(void **state)
{
    (void)state;
    fixture f;
    struct rlimit was, few;
    prepare(&f);
    start(&f);
    client *a = dial(&f);
    say(a, GET("/"));
    assert_int_equal(hear(a), 200);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
    int next = dup(0);
    close(next);
    few = was;
    few.rlim_cur = (rlim_t)next + 1; /* the client's end still fits */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    client *b = dial(&f);
    say(b, GET("/"));
    nap(100);
    wait_events(&f, "hrd");
    say(a, GET("/"));
    int status = hear(a);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
    assert_int_equal(status, 200);
    assert_int_equal(hear(b), 200);
    hang_up(a);
    hang_up(b);
    stop(&f, "hrdhrdhrd");
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(client_gone),
        T(aborted),
        T(posts),
        T(held),
        T(draining),
        T(many_connections),
        T(out_of_descriptors),
        T(addresses),
        T(new_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
