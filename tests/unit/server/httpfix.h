/* SPDX-License-Identifier: MIT
 * httpfix.h - a server with a small handler that notes every callback, and a client that reads
 * replies strictly. */
#ifndef GLIM_TESTS_HTTPFIX_H
#define GLIM_TESTS_HTTPFIX_H

#include "server/http.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
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

static inline void note(fixture *f, char c)
{
    pthread_mutex_lock(&f->lock);
    if (f->n_event + 1 < sizeof f->events) f->events[f->n_event++] = c;
    pthread_mutex_unlock(&f->lock);
}

static inline bool on_head(void *user, glim_http_req *rq)
{
    note(user, 'h');
    if (!glim_str_is(rq->path, "/deny")) return true;
    glim_http_reply(rq, 401, "text/plain", GLIM_STR("X-Why: key\r\n"), GLIM_STR("no"));
    return false;
}

static inline void flood_on(fixture *f)
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

static inline void serve(fixture *f, glim_http_req *rq)
{
    glim_str none = GLIM_STR("");
    if (glim_str_is(rq->path, "/echo")) {
        glim_http_reply(rq, 200, "text/plain", none, rq->body);
    } else if (glim_str_is(rq->path, "/query")) {
        glim_http_reply(rq, 200, "text/plain", none, rq->query);
    } else if (glim_str_is(rq->path, "/how")) {
        glim_http_reply(rq, 200, "text/plain", none, rq->tls ? GLIM_STR("tls") : GLIM_STR("plain"));
    } else if (glim_str_is(rq->path, "/where")) {
        glim_http_reply(rq, 200, rq->loopback_listener ? "loopback" : "open", none, rq->peer);
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

static inline void on_request(void *user, glim_http_req *rq)
{
    serve(user, rq);
    note(user, 'r'); /* last: who waits for it may look at what serve() left */
}

static inline void on_fault(void *user, glim_http_req *rq)
{
    note(user, 'f');
    glim_http_reply(rq, glim_http_fault_status(rq->fault), "text/plain", GLIM_STR(""),
                    glim_str_of(rq->fault_text));
}

static inline void forget(fixture *f, const glim_http_req *rq)
{
    if (f->parked == rq) f->parked = NULL;
    if (f->flood == rq) f->flood = NULL;
}

static inline void on_gone(void *user, glim_http_req *rq)
{
    note(user, 'g');
    /* Replies to nobody do nothing. */
    glim_http_stream_write(rq, GLIM_STR("x"));
    glim_http_reply(rq, 200, NULL, GLIM_STR(""), GLIM_STR("x"));
}

static inline void on_room(void *user, glim_http_req *rq)
{
    (void)rq;
    note(user, 'o');
    flood_on(user);
}

static inline void on_done(void *user, glim_http_req *rq)
{
    fixture *f = user;
    note(f, 'd');
    forget(f, rq);
    atomic_fetch_add(&f->n_done, 1);
}

static inline void *run(void *arg)
{
    fixture *f = arg;
    glim_error e;
    /* cmocka's assertions belong to the main thread. */
    if (glim_http_run(f->http, &e)) note(f, '!');
    return NULL;
}

static const char *const any[] = {"127.0.0.1:0"};

/* Limits of the tests are set in f->o between prepare and start. */
static inline void prepare(fixture *f)
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

static inline void start(fixture *f)
{
    glim_error e;
    if (glim_http_new(&f->o, &f->http, &e)) fail_msg("%s", e.msg);
    assert_int_equal(pthread_create(&f->thread, NULL, run, f), 0);
}

/* What happened, in order, after the end; also a check that everything ended. */
static inline void stop(fixture *f, const char *events)
{
    glim_http_stop(f->http);
    pthread_join(f->thread, NULL);
    assert_int_equal(glim_http_post(f->http, NULL, NULL), GLIM_E_STATE);
    glim_http_free(f->http);
    pthread_mutex_destroy(&f->lock);
    if (events) assert_string_equal(f->events, events);
}

static inline void nap(int ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000L};
    nanosleep(&t, NULL);
}

static inline void wait_events(fixture *f, const char *want)
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
    /* As recv() and send(); NULL: those themselves. */
    ssize_t (*get)(struct client *c, char *p, size_t n);
    ssize_t (*put)(struct client *c, const char *p, size_t n);
    void *tls;
    size_t n, at;
    char buf[1 << 18];
    int status;
    char head[4096];
    char body[1 << 17];
    size_t n_body;
} client;

static inline client *dial_text(const char *address)
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

static inline client *dial(fixture *f)
{
    client *c = dial_text(glim_http_address(f->http, 0));
    assert_non_null(c);
    return c;
}

static inline void hang_up(client *c)
{
    close(c->fd);
    free(c);
}

static inline void reset(client *c)
{
    struct linger now = {.l_onoff = 1};
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    hang_up(c);
}

static inline void say_n(client *c, const char *p, size_t n)
{
    while (n) {
        ssize_t k = c->put ? c->put(c, p, n) : send(c->fd, p, n, MSG_NOSIGNAL);
        if (k <= 0) fail_msg("send: %s", strerror(errno));
        p += k;
        n -= (size_t)k;
    }
}

static inline void say(client *c, const char *s)
{
    say_n(c, s, strlen(s));
}

/* More bytes; false at the end of the connection. */
static inline bool more(client *c)
{
    if (c->at) {
        memmove(c->buf, c->buf + c->at, c->n - c->at);
        c->n -= c->at;
        c->at = 0;
    }
    assert_true(c->n + 1 < sizeof c->buf);
    size_t room = sizeof c->buf - 1 - c->n;
    ssize_t k = c->get ? c->get(c, c->buf + c->n, room) : recv(c->fd, c->buf + c->n, room, 0);
    if (k < 0 && errno != ECONNRESET) fail_msg("recv: %s", strerror(errno));
    if (k <= 0) return false;
    c->n += (size_t)k;
    c->buf[c->n] = 0;
    return true;
}

static inline void need(client *c, size_t n)
{
    while (c->n - c->at < n)
        if (!more(c)) fail_msg("the connection ended %zu bytes early", n - (c->n - c->at));
}

static inline void take_body(client *c, size_t n)
{
    need(c, n);
    assert_true(c->n_body + n < sizeof c->body);
    memcpy(c->body + c->n_body, c->buf + c->at, n);
    c->n_body += n;
    c->body[c->n_body] = 0;
    c->at += n;
}

static inline size_t take_line(client *c, char *out, size_t n_out)
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
static inline int hear_kind(client *c, bool to_head)
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

static inline int hear(client *c)
{
    return hear_kind(c, false);
}

static inline bool has(const client *c, const char *line)
{
    return strstr(c->head, line) != NULL;
}

static inline bool ended(client *c)
{
    return c->n == c->at && !more(c);
}

#define HOST "Host: localhost\r\n"
#define GET(path) "GET " path " HTTP/1.1\r\n" HOST "\r\n"

static inline double seconds_since(uint64_t t)
{
    return (double)(glim_now_ns() - t) * 1e-9;
}

static inline void answer(void *arg)
{
    fixture *f = arg;
    glim_http_req *rq = f->parked;
    if (!rq) return;
    glim_http_reply(rq, 200, "text/plain", GLIM_STR(""), rq->peer);
    f->parked = NULL;
}

static inline size_t n_fd(void)
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

static inline int count_fds(void **state)
{
    (void)state;
    n_fd_before = n_fd();
    return 0;
}

static inline int no_fd_left(void **state)
{
    (void)state;
    size_t n = n_fd();
    if (n != n_fd_before) print_error("%zu descriptors, %zu before\n", n, n_fd_before);
    return n != n_fd_before;
}

#define T(name) cmocka_unit_test_setup_teardown(name, count_fds, no_fd_left)

#endif
