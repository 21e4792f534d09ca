/* SPDX-License-Identifier: MIT
 * http.c - the server of connections: its loop, accepting, calls from other threads, its end.
 * Owns:   the event base, the listening sockets, the queue of posted calls.
 * Not here: what happens on a connection (conn.c), addresses (listen.c), the grammar (reader.c).
 * Thread: I/O, but for post and stop. The loop is woken by a byte in a pipe, which a signal handler may write too; no
 * lock of libevent is used or needed.
 * Fails:  as http.h says.   See: tests/unit/server/test_http.c */
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* accept4 */
#endif
#include "server/conn_priv.h"

#include <errno.h>
#include <unistd.h>

#define MS 1000000u
#define RETRY_MS 250 /* after running out of descriptors */
#define N_ACCEPT 64  /* at a time, before connections have their turn */

typedef struct glim_http_every {
    struct glim_http_every *next;
    glim_http *http;
    struct event ev;
    void (*fn)(void *arg);
    void *arg;
} every;

void glim_http_opts_init(glim_http_opts *o)
{
    *o = (glim_http_opts){.head_max = (size_t)64 << 10,
                          .body_max = (size_t)32 << 20,
                          .head_ms = 20000,
                          .body_ms = 20000,
                          .idle_ms = 75000,
                          .write_ms = 60000,
                          .n_conn_max = 4096};
}

/* ---- libevent, once a process ------------------------------------------------------------------- */

static void on_event_log(int severity, const char *msg)
{
    if (severity >= EVENT_LOG_WARN) GLIM_WARN("server", "libevent", "%s", msg);
}

static void set_up_libevent(void)
{
    event_set_mem_functions(glim_alloc, glim_realloc, glim_free);
    event_set_log_callback(on_event_log);
}

static struct event_base *base_new(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, set_up_libevent);
    struct event_config *cfg = event_config_new();
    if (!cfg) return NULL;
    event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_IGNORE_ENV);
    struct event_base *base = event_base_new_with_config(cfg);
    event_config_free(cfg);
    return base;
}

/* ---- accepting ---------------------------------------------------------------------------------- */

static void stop_listening(glim_http *h)
{
    for (size_t i = 0; h->listening && i < h->n_listener; i++)
        event_del(&h->listeners[i].ev);
    h->listening = false;
}

void glim_http_accept_again(glim_http *h)
{
    if (h->listening || h->draining || !h->running || h->n_conn >= h->o.n_conn_max) return;
    h->listening = true;
    for (size_t i = 0; i < h->n_listener; i++)
        event_add(&h->listeners[i].ev, NULL);
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    glim_http_accept_again(arg);
}

/* Connections wait in the backlog until one of ours closes, or until the descriptors that somebody else has taken may
 * be free again. */
static void out_of_descriptors(glim_http *h, int err)
{
    struct timeval tv = {.tv_usec = RETRY_MS * 1000};
    if (!h->t_warned || h->now - h->t_warned > 10000ull * MS) {
        h->t_warned = h->now;
        GLIM_WARN("server", "accept", "connections=%zu: %s; new ones wait", h->n_conn,
                  strerror(err));
    }
    stop_listening(h);
    event_add(&h->ev_retry, &tv);
}

static int accept_one(int fd, struct sockaddr_storage *peer)
{
    socklen_t n = sizeof *peer;
    struct sockaddr *sa = (struct sockaddr *)peer;
#if defined(__linux__)
    return accept4(fd, sa, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
#else
    int got = accept(fd, sa, &n);
    if (got >= 0) {
        evutil_make_socket_nonblocking(got);
        evutil_make_socket_closeonexec(got);
    }
    return got;
#endif
}

static void on_accept(evutil_socket_t fd, short what, void *arg)
{
    glim_http_listener *l = arg;
    glim_http *h = l->http;
    (void)what;
    h->now = glim_now_ns();
    for (int i = 0; i < N_ACCEPT; i++) {
        struct sockaddr_storage peer = {0};
        if (h->n_conn >= h->o.n_conn_max) {
            stop_listening(h);
            break;
        }
        int got = accept_one((int)fd, &peer);
        if (got >= 0) {
            glim_http_conn_open(l, got, (struct sockaddr *)&peer);
            continue;
        }
        if (errno == EINTR || errno == ECONNABORTED) continue;
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            out_of_descriptors(h, errno);
        break;
    }
    glim_http_settle(h);
}

void glim_http_stop_accepting(glim_http *h)
{
    if (h->draining) return;
    stop_listening(h);
    h->draining = true;
    for (size_t i = 0; i < h->n_listener; i++) {
        close(h->listeners[i].fd);
        h->listeners[i].fd = -1;
    }
    for (glim_http_conn *c = h->conns; c; c = c->next) {
        if (c->phase != GLIM_CONN_IDLE && c->phase != GLIM_CONN_HELLO) continue;
        c->doomed = true;
        glim_http_conn_mark(c);
    }
}

/* ---- calls from other threads ------------------------------------------------------------------- */

static void wake(glim_http *h)
{
    /* A full pipe is a loop that will wake anyway. */
    ssize_t n = write(h->wake[1], "", 1);
    (void)n;
}

glim_err glim_http_post(glim_http *h, void (*fn)(void *arg), void *arg)
{
    glim_err rc = GLIM_OK;
    pthread_mutex_lock(&h->lock);
    glim_http_posts *q = &h->posts;
    bool first = q->n == 0;
    if (h->closed) {
        rc = GLIM_E_STATE;
    } else if (q->n == q->cap) {
        size_t cap = q->cap ? q->cap * 2 : 64, size;
        glim_http_posted *p =
            glim_mul_size(cap, sizeof *p, &size) ? glim_realloc(q->p, size) : NULL;
        if (p) {
            q->p = p;
            q->cap = cap;
        } else {
            rc = GLIM_E_NOMEM;
        }
    }
    if (!rc) q->p[q->n++] = (glim_http_posted){fn, arg};
    pthread_mutex_unlock(&h->lock);
    if (!rc && first) wake(h);
    return rc;
}

/* True when there was something to run. */
static bool run_posts(glim_http *h, bool close_too)
{
    pthread_mutex_lock(&h->lock);
    glim_http_posts full = h->posts;
    h->posts = h->taken;
    h->posts.n = 0;
    h->taken = (glim_http_posts){0};
    h->closed |= close_too;
    pthread_mutex_unlock(&h->lock);
    for (size_t i = 0; i < full.n; i++)
        full.p[i].fn(full.p[i].arg);
    h->taken = full;
    return full.n > 0;
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    glim_http *h = arg;
    char drop[256];
    (void)what;
    h->now = glim_now_ns();
    while (read((int)fd, drop, sizeof drop) == (ssize_t)sizeof drop)
        ;
    if (atomic_load(&h->stop)) event_base_loopbreak(h->base);
    run_posts(h, false);
    glim_http_settle(h);
}

void glim_http_stop(glim_http *h)
{
    int saved = errno; /* a signal handler must not change it */
    atomic_store(&h->stop, true);
    wake(h);
    errno = saved;
}

static void on_every(evutil_socket_t fd, short what, void *arg)
{
    every *ev = arg;
    (void)fd;
    (void)what;
    ev->http->now = glim_now_ns();
    ev->fn(ev->arg);
    glim_http_settle(ev->http);
}

glim_err glim_http_every(glim_http *h, int64_t ms, void (*fn)(void *arg), void *arg)
{
    every *ev = glim_new0(every);
    if (!ev) return GLIM_E_NOMEM;
    ms = GLIM_MAX(ms, 1);
    struct timeval tv = {.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
    ev->http = h;
    ev->fn = fn;
    ev->arg = arg;
    event_assign(&ev->ev, h->base, -1, EV_PERSIST, on_every, ev);
    if (event_add(&ev->ev, &tv) != 0) {
        glim_free(ev);
        return GLIM_E_NOMEM;
    }
    ev->next = h->everys;
    h->everys = ev;
    return GLIM_OK;
}

/* ---- life --------------------------------------------------------------------------------------- */

static glim_err open_loop(glim_http *h, glim_error *e)
{
    h->base = base_new();
    if (!h->base) return glim_fail(e, GLIM_E_NOMEM, "no event loop to be had");
    if (pipe(h->wake) != 0) {
        h->wake[0] = h->wake[1] = -1;
        return glim_fail(e, GLIM_E_IO, "pipe of the event loop: %s; raise the limit on open files",
                         strerror(errno));
    }
    for (int i = 0; i < 2; i++) {
        evutil_make_socket_nonblocking(h->wake[i]);
        evutil_make_socket_closeonexec(h->wake[i]);
    }
    event_assign(&h->ev_wake, h->base, h->wake[0], EV_READ | EV_PERSIST, on_wake, h);
    event_assign(&h->ev_retry, h->base, -1, 0, on_retry, h);
    if (event_add(&h->ev_wake, NULL) != 0)
        return glim_fail(e, GLIM_E_NOMEM, "no memory for the event loop");
    return GLIM_OK;
}

/* Of a path that must outlive the caller's. */
static char *copy_text(const char *s)
{
    size_t n = strlen(s) + 1;
    char *p = glim_alloc(n);
    if (p) memcpy(p, s, n);
    return p;
}

static glim_err open_tls(glim_http *h, const char *cert, const char *key, glim_error *e)
{
    char warning[1024];
    if (!cert && !key) return GLIM_OK;
    if (!cert || !key)
        return glim_fail(e, GLIM_E_INPUT, "%s: give the %s too; TLS needs both", cert ? cert : key,
                         cert ? "private key of this certificate" : "certificate of this key");
    h->tls_cert = copy_text(cert);
    h->tls_key = copy_text(key);
    if (!h->tls_cert || !h->tls_key) return glim_fail(e, GLIM_E_NOMEM, "no memory for paths");
    glim_err rc = glim_tls_new(cert, key, warning, sizeof warning, &h->tls, e);
    if (!rc && warning[0]) GLIM_WARN("server", "tls", "%s", warning);
    return rc;
}

glim_err glim_http_reload(glim_http *h, char *warning, size_t n_warning, glim_error *e)
{
    glim_tls *fresh;
    if (n_warning) warning[0] = 0;
    if (!h->tls)
        return glim_fail(e, GLIM_E_STATE,
                         "there is no certificate to read again: the server was "
                         "started without one");
    glim_err rc = glim_tls_new(h->tls_cert, h->tls_key, warning, n_warning, &fresh, e);
    if (rc) return rc;
    glim_tls_free(h->tls);
    h->tls = fresh;
    return GLIM_OK;
}

/* Sockets that were handed over stay the caller's when the server does not come to be. */
static void give_back_inherited(glim_http *h)
{
    for (size_t i = 0; i < h->n_listener; i++)
        if (h->listeners[i].inherited) h->listeners[i].fd = -1;
}

glim_err glim_http_new(const glim_http_opts *o, glim_http **out, glim_error *e)
{
    glim_http *h = glim_new0(glim_http);
    if (!h) return glim_fail(e, GLIM_E_NOMEM, "no memory for the server");
    h->o = *o;
    h->o.listen = NULL;
    h->o.fds = NULL;
    h->o.tls_cert = h->o.tls_key = NULL;
    h->wake[0] = h->wake[1] = -1;
    atomic_init(&h->stop, false);
    pthread_mutex_init(&h->lock, NULL);
    h->now = glim_now_ns();
    glim_err rc = open_loop(h, e);
    if (!rc) rc = open_tls(h, o->tls_cert, o->tls_key, e);
    if (!rc)
        rc = o->n_fd ? glim_http_inherit(h, o->fds, o->n_fd, e)
                     : glim_http_listen(h, o->listen, o->n_listen, e);
    if (rc) {
        give_back_inherited(h);
        glim_http_free(h);
        return rc;
    }
    for (size_t i = 0; i < h->n_listener; i++) {
        glim_http_listener *l = &h->listeners[i];
        event_assign(&l->ev, h->base, l->fd, EV_READ | EV_PERSIST, on_accept, l);
    }
    *out = h;
    return GLIM_OK;
}

glim_err glim_http_run(glim_http *h, glim_error *e)
{
    h->running = true;
    h->now = glim_now_ns();
    glim_http_accept_again(h);
    int rc = event_base_dispatch(h->base);
    h->now = glim_now_ns();
    run_posts(h, true);
    while (run_posts(h, true)) /* what ran before the queue was closed may have posted */
        ;
    glim_http_settle(h);
    stop_listening(h);
    h->running = false;
    return rc < 0 ? glim_fail(e, GLIM_E_IO, "the event loop failed: %s", strerror(errno)) : GLIM_OK;
}

static void close_all(glim_http *h)
{
    for (glim_http_conn *c = h->conns; c; c = c->next) {
        c->doomed = true;
        glim_http_conn_mark(c);
    }
    glim_http_settle(h);
    while (h->open) {
        h->open->n_hold = 0;
        glim_http_exchange_done(h, h->open);
    }
    while (h->spare) {
        glim_http_exchange *x = h->spare;
        h->spare = x->next;
        glim_http_exchange_free(x);
    }
}

void glim_http_free(glim_http *h)
{
    if (!h) return;
    h->draining = true;
    close_all(h);
    while (h->everys) {
        every *ev = h->everys;
        h->everys = ev->next;
        event_del(&ev->ev);
        glim_free(ev);
    }
    for (size_t i = 0; i < h->n_listener; i++)
        if (h->listeners[i].fd >= 0) close(h->listeners[i].fd);
    if (h->wake[0] >= 0) {
        event_del(&h->ev_wake);
        event_del(&h->ev_retry);
        close(h->wake[0]);
        close(h->wake[1]);
    }
    if (h->base) event_base_free(h->base);
    pthread_mutex_destroy(&h->lock);
    glim_free(h->listeners);
    glim_tls_free(h->tls);
    glim_free(h->tls_cert);
    glim_free(h->tls_key);
    glim_free(h->places);
    glim_free(h->posts.p);
    glim_free(h->taken.p);
    glim_free(h);
}

const char *glim_http_address(const glim_http *h, size_t i)
{
    return i < h->n_place ? h->places[i].text : "";
}

bool glim_http_is_tls(const glim_http *h, size_t i)
{
    return i < h->n_place && h->places[i].tls;
}

size_t glim_http_n_conn(const glim_http *h)
{
    return h->n_conn;
}

size_t glim_http_n_open(const glim_http *h)
{
    return h->n_open;
}
