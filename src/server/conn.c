/* SPDX-License-Identifier: MIT
 * conn.c - one connection: bytes in, messages one after the other, bytes out, time limits, the end.
 * Owns:   the socket, what was read and not taken, what was written and not sent, and the exchange that it is in.
 * Layout: HELLO (TLS only) -> IDLE -> HEAD -> BODY -> RUN -> IDLE ..., or SKIP for a body nobody wants, or LINGER at the end. The next
 * message is looked at when the reply to the last one has left: a client that does not read is not served ahead.
 * Thread: I/O. Handlers may do anything in their callbacks, also to other connections: every change only marks a
 * connection, and glim_http_settle(), at the end of each callback of the loop, sends, goes on and closes.
 * Fails:  without memory for a connection, that connection is closed.   See: tests/unit/server/test_http.c */
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* POLLRDHUP */
#endif
#include "server/conn_priv.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <unistd.h>

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0 /* SO_NOSIGPIPE is set instead */
#endif
#ifndef POLLRDHUP
#define POLLRDHUP 0
#endif

#define MS 1000000u
#define LINGER_NS (1000u * MS)       /* without a byte */
#define LINGER_ALL_NS (5000ull * MS) /* in all: a large body may still be on its way */
#define LOOK_NS (200u * MS)
#define SKIP_BYTES ((uint64_t)64 << 10)
#define N_SPARE 64
#define N_TURN 32                 /* messages of one connection before others have their turn */
#define KEEP_IN ((size_t)4 << 10) /* memory of idle connections */
#define KEEP_OUT ((size_t)16 << 10)
#define OUT_MAX ((size_t)1 << 30)
#define KEEP_ARENA ((size_t)256 << 10)

/* ---- exchanges --------------------------------------------------------------------------------- */

static glim_http_exchange *exchange_new(glim_http *h)
{
    glim_http_exchange *x = h->spare;
    if (x) {
        h->spare = x->next;
        h->n_spare--;
        x->next = NULL;
        return x;
    }
    x = glim_new0(glim_http_exchange);
    if (!x) return NULL;
    /* A JSON tree may need some 32 times its text. */
    x->rq.arena = glim_arena_new(GLIM_MAX((size_t)64 << 20, h->o.body_max * 40));
    if (!x->rq.arena) {
        glim_free(x);
        return NULL;
    }
    glim_http_reader_init(&x->r, h->o.head_max, h->o.body_max);
    return x;
}

void glim_http_exchange_free(glim_http_exchange *x)
{
    glim_http_reader_deinit(&x->r);
    glim_arena_free(x->rq.arena);
    glim_free(x);
}

/* Nobody needs it any more. */
static void recycle(glim_http *h, glim_http_exchange *x)
{
    if (h->n_spare == N_SPARE || glim_arena_used(x->rq.arena) > KEEP_ARENA) {
        glim_http_exchange_free(x);
        return;
    }
    glim_arena *arena = x->rq.arena;
    glim_arena_reset(arena);
    glim_http_reader_reset(&x->r);
    x->rq = (glim_http_req){.arena = arena};
    x->attached = x->told = x->begun = x->whole = x->over = x->done = false;
    x->stream = x->chunked = x->bodiless = x->aborted = x->wants_room = false;
    x->next = h->spare;
    x->prev = NULL;
    h->spare = x;
    h->n_spare++;
}

/* The request as far as it was read. */
static void fill(glim_http_conn *c, glim_http_exchange *x)
{
    glim_http_req *rq = &x->rq;
    const glim_http_reader *r = &x->r;
    rq->http = c->http;
    rq->conn = c;
    rq->method = r->method;
    rq->method_text = r->method_text;
    rq->target = r->target;
    rq->path = r->path;
    rq->query = r->query;
    rq->headers = r->headers;
    rq->n_header = r->n_header;
    rq->http10 = r->http10;
    rq->loopback_listener = c->loopback;
    rq->tls = c->tls != NULL;
    rq->t_head_ns = c->http->now;
    memcpy(x->peer, c->peer, sizeof x->peer);
    rq->peer = glim_str_of(x->peer);
}

static void tell(glim_http *h, glim_http_exchange *x)
{
    x->told = true;
    x->next = h->open;
    x->prev = NULL;
    if (h->open) h->open->prev = x;
    h->open = x;
    h->n_open++;
}

void glim_http_exchange_done(glim_http *h, glim_http_exchange *x)
{
    if (x->prev)
        x->prev->next = x->next;
    else
        h->open = x->next;
    if (x->next) x->next->prev = x->prev;
    x->prev = x->next = NULL;
    h->n_open--;
    x->done = true;
    if (h->o.on_done) h->o.on_done(h->o.user, &x->rq);
    if (!x->attached) recycle(h, x);
}

/* The reply is out or the client is gone. */
static void over(glim_http *h, glim_http_exchange *x)
{
    x->over = true;
    x->rq.conn = NULL;
    if (x->n_hold == 0) glim_http_exchange_done(h, x);
}

static void detach(glim_http *h, glim_http_exchange *x)
{
    x->attached = false;
    if (!x->told || x->done) recycle(h, x);
}

void glim_http_hold(glim_http_req *rq)
{
    ((glim_http_exchange *)(void *)rq)->n_hold++;
}

void glim_http_release(glim_http_req *rq)
{
    glim_http_exchange *x = (glim_http_exchange *)(void *)rq;
    if (GLIM_NEVER(x->n_hold == 0)) return;
    if (--x->n_hold == 0 && x->over) glim_http_exchange_done(rq->http, x);
}

/* ---- bytes ------------------------------------------------------------------------------------- */

void glim_http_conn_mark(glim_http_conn *c)
{
    glim_http *h = c->http;
    if (c->dirty) return;
    c->dirty = true;
    c->prev_dirty = NULL;
    c->next_dirty = h->dirty;
    if (h->dirty) h->dirty->prev_dirty = c;
    h->dirty = c;
}

static void unmark(glim_http_conn *c)
{
    if (!c->dirty) return;
    if (c->prev_dirty)
        c->prev_dirty->next_dirty = c->next_dirty;
    else
        c->http->dirty = c->next_dirty;
    if (c->next_dirty) c->next_dirty->prev_dirty = c->prev_dirty;
    c->dirty = false;
}

static size_t n_waiting(const glim_http_conn *c)
{
    return c->in.n - c->in_at;
}

static void empty(glim_buf *b, size_t *at, size_t keep)
{
    size_t max = b->max;
    *at = 0;
    if (b->cap > keep) {
        glim_buf_deinit(b);
        glim_buf_init(b, max);
    } else {
        glim_buf_clear(b);
    }
}

static ssize_t put_bytes(glim_http_conn *c, const char *p, size_t n)
{
    if (!c->tls) return send(c->fd, p, n, MSG_NOSIGNAL);
    ssize_t put = glim_tls_write(c->tls, p, n);
    int saved = errno;
    if (c->tls->moved) c->t_sent = c->http->now; /* a part of a record is progress too */
    c->tls->moved = false;
    errno = saved;
    return put;
}

/* What comes when we have said goodbye is thrown away as it is. */
static ssize_t get_bytes(glim_http_conn *c, char *p, size_t n)
{
    if (!c->tls || c->phase == GLIM_CONN_LINGER) return recv(c->fd, p, n, 0);
    return glim_tls_read(c->tls, p, n);
}

static void tell_tls_error(const glim_http_conn *c)
{
    if (c->tls && c->tls->dead)
        GLIM_DEBUG("server", "tls", "peer=%s handshake=%d error=%s", c->peer, c->tls->up,
                   GLIM_QUOTE(glim_str_of(c->tls->why)));
}

static void send_out(glim_http_conn *c)
{
    while (glim_http_conn_unsent(c)) {
        ssize_t n = put_bytes(c, c->out.p + c->out_at, glim_http_conn_unsent(c));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
        if (n <= 0) {
            tell_tls_error(c);
            c->doomed = true;
            return;
        }
        c->out_at += (size_t)n;
        c->t_sent = c->http->now;
    }
    if (glim_http_conn_unsent(c) == 0) {
        if (c->out.n) empty(&c->out, &c->out_at, KEEP_OUT);
    } else if (c->out_at > c->out.n / 2) {
        glim_buf_drop(&c->out, c->out_at);
        c->out_at = 0;
    }
}

/* A client that shuts its side is taken for gone: those that merely say that they have no more to send are no HTTP
 * clients. Only a reply that is made already may still leave. */
static void see_eof(glim_http_conn *c)
{
    c->eof = c->close_after = true;
    if (c->phase != GLIM_CONN_RUN || !c->x || !c->x->whole) c->doomed = true;
}

static void take_bytes(glim_http_conn *c)
{
    glim_http *h = c->http;
    glim_buf_drop(&c->in, c->in_at);
    c->in_at = 0;
    bool lingers = c->phase == GLIM_CONN_LINGER;
    size_t room = GLIM_MIN(lingers ? sizeof h->scratch : c->in.max - c->in.n, sizeof h->scratch);
    if (room == 0) return;
    ssize_t n = get_bytes(c, h->scratch, room);
    if (n > 0) {
        c->t_byte = h->now;
        if (!lingers && glim_buf_add(&c->in, h->scratch, (size_t)n)) c->doomed = true;
    } else if (n == 0) {
        see_eof(c);
    } else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
        tell_tls_error(c);
        c->doomed = true;
    }
}

/* As much was read ahead of the message being answered as is ever kept. */
static bool is_full(const glim_http_conn *c)
{
    return c->phase == GLIM_CONN_RUN && n_waiting(c) >= c->in.max;
}

/* What was read lies within TLS, and no event will tell. */
static bool has_unseen(const glim_http_conn *c)
{
    return c->tls && c->tls->more && !c->eof && c->phase != GLIM_CONN_LINGER && !is_full(c);
}

/* ---- messages ---------------------------------------------------------------------------------- */

static void set_phase(glim_http_conn *c, glim_http_phase phase)
{
    c->phase = phase;
    c->t_since = c->http->now;
}

static bool begin_message(glim_http_conn *c)
{
    c->x = exchange_new(c->http);
    if (!c->x) {
        c->doomed = true;
        return false;
    }
    c->x->attached = true;
    set_phase(c, GLIM_CONN_HEAD);
    return true;
}

bool glim_http_conn_skips(const glim_http_conn *c)
{
    const glim_http_reader *r = &c->x->r;
    /* Who waits for "100 Continue" may send the body or may not: nobody knows what comes next. */
    return r->has_body && !r->chunked && !r->expects_continue && r->n_length <= SKIP_BYTES;
}

static void head_is_in(glim_http_conn *c)
{
    glim_http *h = c->http;
    glim_http_exchange *x = c->x;
    fill(c, x);
    tell(h, x);
    bool go_on = !h->o.on_head || h->o.on_head(h->o.user, &x->rq);
    if (go_on && !x->begun) {
        set_phase(c, GLIM_CONN_BODY);
        c->t_byte = h->now;
        if (!x->r.expects_continue || n_waiting(c)) return;
        if (glim_http_conn_unsent(c) == 0) c->t_sent = h->now;
        if (glim_buf_addv(&c->out, GLIM_STR("HTTP/1.1 100 Continue\r\n\r\n"))) c->doomed = true;
        return;
    }
    x->r.discard = true;
    if (x->r.has_body && !glim_http_conn_skips(c)) c->close_after = true;
    set_phase(c, glim_http_conn_skips(c) ? GLIM_CONN_SKIP : GLIM_CONN_RUN);
    c->t_byte = h->now;
}

static void message_is_in(glim_http_conn *c)
{
    glim_http *h = c->http;
    bool wanted = c->phase != GLIM_CONN_SKIP;
    set_phase(c, GLIM_CONN_RUN);
    if (!wanted) return;
    c->x->rq.body = glim_buf_view(&c->x->r.body);
    h->o.on_request(h->o.user, &c->x->rq);
}

static void message_is_refused(glim_http_conn *c)
{
    glim_http *h = c->http;
    glim_http_exchange *x = c->x;
    bool answered = c->phase == GLIM_CONN_SKIP;
    set_phase(c, GLIM_CONN_RUN);
    c->close_after = true;
    if (answered) return;
    if (!x->told) {
        fill(c, x);
        tell(h, x);
    }
    x->rq.fault = x->r.fault;
    x->rq.fault_text = x->r.fault_text;
    if (h->o.on_fault)
        h->o.on_fault(h->o.user, &x->rq);
    else
        glim_http_reply(&x->rq, glim_http_fault_status(x->rq.fault), NULL, GLIM_STR(""),
                        GLIM_STR(""));
}

/* Reads on in what has come. False: there is nothing to do before something happens. */
static bool read_on(glim_http_conn *c)
{
    if (c->phase == GLIM_CONN_RUN || c->phase == GLIM_CONN_LINGER || c->phase == GLIM_CONN_HELLO)
        return false;
    if (c->phase == GLIM_CONN_IDLE) {
        if (n_waiting(c) == 0) return false;
        if (!begin_message(c)) return true;
    }
    glim_str view = glim_str_sub(glim_buf_view(&c->in), c->in_at, c->in.n);
    glim_http_step step = glim_http_reader_feed(&c->x->r, &view);
    c->in_at = c->in.n - view.n;
    switch (step) {
    case GLIM_HTTP_MORE:
        return false;
    case GLIM_HTTP_HEAD:
        head_is_in(c);
        break;
    case GLIM_HTTP_WHOLE:
        message_is_in(c);
        break;
    case GLIM_HTTP_REFUSED:
        message_is_refused(c);
        break;
    }
    return true;
}

/* Shuts our side; under TLS behind its goodbye, which may have to wait for room. False: the client is gone. */
static bool shut(glim_http_conn *c)
{
    c->bye_waits = c->tls && !glim_tls_bye(c->tls);
    return c->bye_waits || shutdown(c->fd, SHUT_WR) == 0;
}

/* Closing at once would make the system throw away what the client has not read yet if it still sends: shut our side,
 * read on for a while. A stream that broke off and has no other way to show it (HTTP/1.0) is reset. */
static void linger(glim_http_conn *c, bool reset)
{
    struct linger now = {.l_onoff = 1};
    if (reset) (void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    if (reset && c->tls) c->tls->dead = true; /* a goodbye would say that the reply is whole */
    if (reset || c->eof || !shut(c)) {
        c->doomed = true;
        return;
    }
    set_phase(c, GLIM_CONN_LINGER);
    c->t_byte = c->http->now;
    empty(&c->in, &c->in_at, 0);
}

static void end_message(glim_http_conn *c)
{
    glim_http_exchange *x = c->x;
    bool reset = x->aborted && !x->chunked;
    c->x = NULL;
    detach(c->http, x);
    if (c->close_after) {
        linger(c, reset);
    } else if (c->http->draining) {
        c->doomed = true;
    } else {
        set_phase(c, GLIM_CONN_IDLE);
        if (n_waiting(c) == 0) empty(&c->in, &c->in_at, KEEP_IN);
    }
}

/* ---- the beginning of TLS ---------------------------------------------------------------------- */

/* Plain HTTP on a TLS port is told so in plain, where a browser shows it. */
static void refuse_plain(glim_http_conn *c)
{
    glim_tls_link_free(c->tls);
    c->tls = NULL;
    if (!begin_message(c)) return;
    glim_http_reader_refuse(&c->x->r, GLIM_HTTP_MALFORMED,
                            "this port speaks HTTPS; begin the address with https://");
    message_is_refused(c);
}

/* A handshake begins with a byte that no method begins with. False: not TLS, or nothing there. */
static bool begins_tls(glim_http_conn *c)
{
    unsigned char first = 0;
    ssize_t n = recv(c->fd, &first, 1, MSG_PEEK);
    c->first_seen = n == 1;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return false;
    bool letter = (first >= 'A' && first <= 'Z') || (first >= 'a' && first <= 'z');
    if (n != 1)
        c->doomed = true;
    else if (letter)
        refuse_plain(c);
    return n == 1 && !letter;
}

/* Goes on with the handshake. What the client said behind it may have been read already. */
static void greet(glim_http_conn *c)
{
    if (!c->first_seen && !begins_tls(c)) return;
    if (!glim_tls_shake(c->tls)) return;
    if (c->tls->up) {
        set_phase(c, GLIM_CONN_IDLE);
        take_bytes(c);
    } else {
        tell_tls_error(c);
        linger(c, false); /* the client can read the alert */
    }
}

/* ---- time -------------------------------------------------------------------------------------- */

static uint64_t after(uint64_t t, int64_t ms)
{
    return t + (uint64_t)ms * MS;
}

/* When something must be done though nothing happens; UINT64_MAX: never. */
static uint64_t due(const glim_http_conn *c)
{
    const glim_http_opts *o = &c->http->o;
    uint64_t t = UINT64_MAX, all;
    switch (c->phase) {
    case GLIM_CONN_IDLE:
        t = after(c->t_since, o->idle_ms);
        break;
    case GLIM_CONN_HELLO:
    case GLIM_CONN_HEAD:
        t = after(c->t_since, o->head_ms);
        break;
    case GLIM_CONN_BODY:
    case GLIM_CONN_SKIP:
        all = after(c->t_since, 3 * o->body_ms) + c->x->r.n_body / (100 << 10) * 1000 * MS;
        t = GLIM_MIN(after(c->t_byte, o->body_ms), all);
        break;
    case GLIM_CONN_LINGER:
        t = GLIM_MIN(c->t_byte + LINGER_NS, c->t_since + LINGER_ALL_NS);
        break;
    case GLIM_CONN_RUN:
        if (!c->reading && !c->eof) t = c->t_look;
        break;
    }
    if (glim_http_conn_unsent(c)) t = GLIM_MIN(t, after(c->t_sent, o->write_ms));
    return t;
}

/* The timer is set again only when it would fire too late; too early costs one look. */
static void set_timer(glim_http_conn *c, uint64_t t)
{
    if (t == UINT64_MAX || (c->t_timer && c->t_timer <= t)) return;
    uint64_t us = t > c->http->now ? (t - c->http->now + 999) / 1000 : 0;
    struct timeval tv = {.tv_sec = (time_t)(us / 1000000), .tv_usec = (suseconds_t)(us % 1000000)};
    if (event_add(&c->timer, &tv) == 0)
        c->t_timer = t;
    else
        c->doomed = true;
}

/* Sees a client go that we do not read from, because it has sent enough ahead. Asking now and then is cheap, the case
 * is rare, and EV_CLOSED of libevent 2.1 is no help: epoll reports a reset as an error, which it hands only to events
 * that wait for reading or writing. */
static void look(glim_http_conn *c)
{
    struct pollfd p = {.fd = c->fd, .events = POLLRDHUP};
    c->t_look = c->http->now + LOOK_NS;
    if (poll(&p, 1, 0) > 0 && p.revents) see_eof(c);
}

static void expire(glim_http_conn *c)
{
    static const char slow_head[] = "the head of the request did not come in time",
                      slow_body[] = "the body of the request did not come in time";
    if (glim_http_conn_unsent(c) && c->http->now >= after(c->t_sent, c->http->o.write_ms)) {
        c->doomed = true;
        return;
    }
    switch (c->phase) {
    case GLIM_CONN_HELLO:
    case GLIM_CONN_IDLE:
    case GLIM_CONN_LINGER:
        c->doomed = true;
        break;
    case GLIM_CONN_HEAD:
    case GLIM_CONN_BODY:
    case GLIM_CONN_SKIP:
        glim_http_reader_refuse(&c->x->r, GLIM_HTTP_TIMEOUT,
                                c->phase == GLIM_CONN_HEAD ? slow_head : slow_body);
        message_is_refused(c);
        break;
    case GLIM_CONN_RUN:
        look(c);
        break;
    }
}

/* ---- the life of a connection ------------------------------------------------------------------- */

static void drop(glim_http_conn *c)
{
    glim_http *h = c->http;
    glim_http_exchange *x = c->x;
    unmark(c);
    if (c->prev)
        c->prev->next = c->next;
    else
        h->conns = c->next;
    if (c->next) c->next->prev = c->prev;
    event_del(&c->ev_read);
    event_del(&c->ev_write);
    event_del(&c->timer);
    if (c->tls) {
        /* Not in the middle of a message: it would say that what came is all. */
        if (!x && glim_http_conn_unsent(c) == 0) (void)glim_tls_bye(c->tls);
        glim_tls_link_free(c->tls);
    }
    close(c->fd);
    glim_buf_deinit(&c->in);
    glim_buf_deinit(&c->out);
    glim_free(c);
    h->n_conn--;
    glim_http_accept_again(h);
    if (!x) return;
    if (x->told && !x->over) {
        x->rq.conn = NULL;
        if (h->o.on_gone) h->o.on_gone(h->o.user, &x->rq);
        over(h, x);
    }
    detach(h, x);
}

static void want(struct event *ev, bool *added, bool wanted, bool *failed)
{
    if (*added == wanted) return;
    if (wanted)
        *failed |= event_add(ev, NULL) != 0;
    else
        event_del(ev);
    *added = wanted;
}

/* TLS may have to send before it can read, and the other way round; an event that it has no use for would come again
 * and again. */
static void tls_needs(const glim_http_conn *c, bool *reads, bool *writes)
{
    const glim_tls_link *l = c->tls;
    bool talks = c->phase != GLIM_CONN_LINGER;
    bool read_waits = talks && *reads && l->read_needs_write;
    bool write_waits = talks && *writes && l->write_needs_read;
    *reads = (*reads && !read_waits) || write_waits;
    *writes = (*writes && !write_waits) || read_waits || c->bye_waits;
}

static void watch(glim_http_conn *c)
{
    bool reads = !c->eof && !is_full(c), writes = glim_http_conn_unsent(c) > 0;
    bool was = c->reading;
    if (c->tls) tls_needs(c, &reads, &writes);
    want(&c->ev_read, &c->reading, reads, &c->doomed);
    want(&c->ev_write, &c->writing, writes, &c->doomed);
    if (was && !c->reading) c->t_look = c->http->now + LOOK_NS;
    set_timer(c, due(c));
}

static void pump(glim_http_conn *c)
{
    glim_http *h = c->http;
    int n_message = 0;
    while (!c->doomed) {
        send_out(c);
        if (c->doomed) break;
        glim_http_exchange *x = c->x;
        size_t n = glim_http_conn_unsent(c);
        if (x && x->wants_room && n <= GLIM_HTTP_LOW) {
            x->wants_room = false;
            if (h->o.on_room) h->o.on_room(h->o.user, &x->rq);
        } else if (x && x->whole && !x->over && n == 0) {
            over(h, x);
        } else if (x && x->over && c->phase == GLIM_CONN_RUN) {
            end_message(c);
            n_message++;
        } else if (n_message >= N_TURN && n_waiting(c)) {
            set_timer(c, h->now); /* goes on when the others had their turn */
            break;
        } else if (!read_on(c)) {
            if (has_unseen(c)) set_timer(c, h->now);
            break;
        }
    }
    if (!c->doomed) watch(c);
    if (c->doomed) drop(c);
}

void glim_http_settle(glim_http *h)
{
    while (h->dirty) {
        glim_http_conn *c = h->dirty;
        unmark(c);
        pump(c);
    }
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    glim_http_conn *c = arg;
    (void)fd;
    (void)what;
    c->http->now = glim_now_ns();
    if (c->phase == GLIM_CONN_HELLO)
        greet(c);
    else
        take_bytes(c);
    glim_http_conn_mark(c);
    glim_http_settle(c->http);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    glim_http_conn *c = arg;
    (void)fd;
    (void)what;
    c->http->now = glim_now_ns();
    if (c->bye_waits && !shut(c)) c->doomed = true;
    if (c->tls && c->tls->read_needs_write) {
        if (c->phase == GLIM_CONN_HELLO)
            greet(c);
        else
            take_bytes(c);
    }
    glim_http_conn_mark(c);
    glim_http_settle(c->http);
}

static void on_time(evutil_socket_t fd, short what, void *arg)
{
    glim_http_conn *c = arg;
    (void)fd;
    (void)what;
    c->http->now = glim_now_ns();
    c->t_timer = 0;
    if (c->http->now >= due(c)) expire(c);
    if (has_unseen(c)) take_bytes(c);
    glim_http_conn_mark(c);
    glim_http_settle(c->http);
}

void glim_http_conn_open(const glim_http_listener *l, int fd, const struct sockaddr *peer)
{
    glim_http *h = l->http;
    int on = 1;
    glim_http_conn *c = glim_new0(glim_http_conn);
    if (!c) {
        close(fd);
        return;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
#ifdef SO_NOSIGPIPE
    (void)setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on);
#endif
    if (l->tls && !(c->tls = glim_tls_link_new(h->tls, fd))) {
        glim_free(c);
        close(fd);
        return;
    }
    c->http = h;
    c->fd = fd;
    c->loopback = l->loopback;
    glim_buf_init(&c->in, GLIM_HTTP_IN);
    glim_buf_init(&c->out, OUT_MAX);
    glim_http_address_text(peer, c->peer);
    event_assign(&c->ev_read, h->base, fd, EV_READ | EV_PERSIST, on_readable, c);
    event_assign(&c->ev_write, h->base, fd, EV_WRITE | EV_PERSIST, on_writable, c);
    event_assign(&c->timer, h->base, -1, 0, on_time, c);
    c->next = h->conns;
    if (h->conns) h->conns->prev = c;
    h->conns = c;
    h->n_conn++;
    set_phase(c, c->tls ? GLIM_CONN_HELLO : GLIM_CONN_IDLE);
    c->t_byte = h->now;
    glim_http_conn_mark(c);
}
