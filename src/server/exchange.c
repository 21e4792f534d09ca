/* SPDX-License-Identifier: MIT
 * exchange.c - one request and its answer, between the socket, the workers and the engine.
 * Owns:   the request's memory, from the head to the last byte, whoever still works on it.
 * Layout: the engine's events are copied into notes; the I/O thread takes them, lets the dialect write bytes, sends.
 *         One post wakes it for any number of notes. What a slow reader does not take pauses the jobs.
 * Thread: a reference each for the I/O thread, a worker, and every job; lock guards what two of them touch.
 * Fails:  a client that goes away cancels its jobs; their last events free the exchange. */
#include "server/server_priv.h"

#include <ctype.h>
#include <stdio.h>
#include <time.h>

#define ARENA_MAX ((size_t)512 << 20)
#define OUT_MAX ((size_t)256 << 20)
#define PAUSE_BYTES ((size_t)1 << 20) /* of notes that wait: then the jobs do too */
#define RESUME_BYTES ((size_t)256 << 10)
#define KEEPALIVE_NS 5000000000u

struct glim_note {
    glim_note *next;
    size_t i_choice, bytes;
    glim_event ev;
    glim_usage usage;
    glim_token_logprobs logprobs;
    bool done, failed; /* the job is over */
    glim_error e;
    /* ids, text, key, id, name and the alternatives' bytes follow */
};

/* ---- life ------------------------------------------------------------------------------------ */

glim_str glim_exchange_keep(glim_exchange *x, glim_str s)
{
    char *p = glim_arena_alloc(x->arena, s.n + 1);
    if (!p) return (glim_str){"", 0};
    if (s.n) memcpy(p, s.p, s.n);
    p[s.n] = 0;
    return (glim_str){p, s.n};
}

/* 24 hexadecimal digits and a NUL. */
static void random_id(char out[25])
{
    uint64_t a = glim_entropy(), b = glim_entropy();
    snprintf(out, 25, "%016llx%08lx", (unsigned long long)a, (unsigned long)(b & 0xffffffffu));
}

/* A caller's own id goes back only when it cannot break a header or a log line. */
static void take_request_id(glim_exchange *x, glim_str given)
{
    bool fine = given.n > 0 && given.n <= 128;
    for (size_t i = 0; fine && i < given.n; i++)
        fine = given.p[i] > ' ' && given.p[i] < 127;
    if (fine) {
        x->request_id = glim_exchange_keep(x, given);
        return;
    }
    memcpy(x->request_id_made, "req_", 4);
    random_id(x->request_id_made + 4);
    x->request_id = glim_str_of(x->request_id_made);
}

glim_exchange *glim_exchange_new(glim_server *s, glim_http_req *rq, const glim_route *r,
                                 glim_str rest)
{
    glim_exchange *x = glim_new0(glim_exchange);
    if (x) x->arena = glim_arena_new(ARENA_MAX);
    if (!x || !x->arena) {
        glim_free(x);
        return NULL;
    }
    x->s = s;
    x->route = r;
    x->shape = r->shape;
    x->rq = rq;
    x->t0_ns = rq->t_head_ns;
    x->is_async = r->handler == glim_h_async;
    x->last = &x->first;
    atomic_init(&x->n_ref, 1);
    pthread_mutex_init(&x->lock, NULL);
    glim_buf_init(&x->out, OUT_MAX);
    glim_buf_init(&x->ack, 65536);
    x->rest = glim_exchange_keep(x, rest);
    x->query = glim_exchange_keep(x, rq->query);
    x->peer = glim_exchange_keep(x, rq->peer);
    x->origin = glim_http_header_get(rq, "origin");
    if (x->origin.p) x->origin = glim_exchange_keep(x, x->origin);
    if (!glim_trace_parse(glim_http_header_get(rq, "traceparent"), x->trace_id, x->span_id))
        x->trace_id[0] = 0;
    x->limit = (glim_limit){-1, -1};
    x->zhipu_client =
        glim_http_header_get(rq, "zai-sdk-ver").p || glim_http_header_get(rq, "zhipuai-sdk-ver").p;
    take_request_id(x, glim_http_header_get(rq, "x-request-id"));
    random_id(x->id);
    return x;
}

void glim_exchange_take_body(glim_exchange *x, const glim_http_req *rq)
{
    if (rq->body.n == 0) return;
    x->body = glim_exchange_keep(x, rq->body);
    if (x->body.n != rq->body.n)
        glim_exchange_fail(x, GLIM_PROBLEM_MEMORY, NULL, "out of memory; try again later");
}

void glim_exchange_ref(glim_exchange *x)
{
    atomic_fetch_add(&x->n_ref, 1);
}

static void free_notes(glim_note *n)
{
    while (n) {
        glim_note *next = n->next;
        glim_free(n);
        n = next;
    }
}

void glim_exchange_unref(glim_exchange *x)
{
    if (atomic_fetch_sub(&x->n_ref, 1) != 1) return;
    if (x->reply) x->route->dialect->reply_free(x->reply);
    for (size_t i = 0; i < x->n_choice; i++) {
        glim_job_release(x->choices[i].job);
        free_notes(x->choices[i].end);
    }
    free_notes(x->first);
    if (x->host) glim_hub_release(x->s->hub, x->host); /* after its jobs */
    glim_buf_deinit(&x->out);
    glim_buf_deinit(&x->ack);
    pthread_mutex_destroy(&x->lock);
    glim_arena_free(x->arena);
    glim_free(x);
}

/* ---- answers without the engine --------------------------------------------------------------- */

void glim_exchange_fail(glim_exchange *x, glim_problem_kind kind, const char *param,
                        const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    glim_problem_set(&x->problem, kind, param, "%s", text);
    x->has_problem = true;
}

bool glim_exchange_refuse(glim_exchange *x, const glim_error *e)
{
    glim_problem_from(e, &x->problem);
    x->has_problem = true;
    return false;
}

/* ---- the model --------------------------------------------------------------------------------- */

/* What a client is told when the hub says no. */
static void refuse_model(glim_exchange *x, const glim_error *e)
{
    switch (e->code) {
    case GLIM_E_NOTFOUND:
        glim_exchange_fail(x, GLIM_PROBLEM_MODEL, "model", "%s", e->msg);
        break;
    case GLIM_E_UNSUPPORTED:
        glim_exchange_fail(x, GLIM_PROBLEM_KIND, "model", "%s", e->msg);
        break;
    case GLIM_E_STATE:
        glim_exchange_fail(x, GLIM_PROBLEM_DRAINING, NULL, "%s", e->msg);
        x->problem.retry_after_s = 10;
        break;
    case GLIM_E_FULL:
        glim_exchange_fail(x, GLIM_PROBLEM_BUSY, NULL, "%s", e->msg);
        x->problem.retry_after_s = 10;
        break;
    case GLIM_E_LIMIT:
        glim_exchange_fail(x, GLIM_PROBLEM_NO_ROOM, "model", "%s", e->msg);
        break;
    default:
        (void)glim_exchange_refuse(x, e);
        break;
    }
}

/* On the hub's thread. A file that was refused is no fault of the client's: why stands in the log. */
static void model_ready(void *user, glim_host *host, const glim_error *e)
{
    glim_exchange *x = user;
    x->host = host;
    if (!e) {
        glim_prep_push(x->s->prep, x);
    } else {
        if (e->code == GLIM_E_FULL || e->code == GLIM_E_STATE || e->code == GLIM_E_NOMEM ||
            e->code == GLIM_E_LIMIT || e->code == GLIM_E_CANCELLED)
            refuse_model(x, e);
        else
            glim_exchange_fail(x, GLIM_PROBLEM_INTERNAL, "model",
                               "the model cannot be loaded; the server's log says why");
        glim_exchange_answer(x);
    }
    glim_exchange_unref(x);
}

bool glim_exchange_take_model(glim_exchange *x, glim_str name, glim_model_kind kind)
{
    glim_error e = {0};
    glim_host *host;
    if (x->host) return true; /* it was waited for */
    x->wait = (glim_hub_wait){.ready = model_ready, .user = x};
    glim_exchange_ref(x); /* of whoever calls ready, from the moment that the hub knows of it */
    if (glim_hub_take(x->s->hub, name, kind, &x->wait, &host, &e)) {
        refuse_model(x, &e);
        glim_exchange_answer(x);
    } else if (!host) {
        return false;
    } else {
        x->host = host;
    }
    glim_exchange_unref(x);
    return !x->has_problem;
}

bool glim_exchange_hold_first(glim_exchange *x, glim_model_kind kind)
{
    if (!x->host) x->host = glim_hub_hold_first(x->s->hub, kind);
    if (x->host) return true;
    if (!glim_hub_serves(x->s->hub, kind)) {
        glim_exchange_fail(x, GLIM_PROBLEM_KIND, NULL, "no %s model is served here",
                           glim_model_kind_name(kind));
        return false;
    }
    glim_exchange_fail(x, GLIM_PROBLEM_NO_SLOT, NULL,
                       "no %s model is in memory now; a request to one brings it",
                       glim_model_kind_name(kind));
    x->problem.retry_after_s = 1;
    return false;
}

bool glim_exchange_entry(glim_exchange *x, glim_str name, glim_api_model *out)
{
    glim_error e = {0};
    if (!glim_hub_entry(x->s->hub, name, x->arena, out, &e)) return true;
    refuse_model(x, &e);
    return false;
}

/* ---- headers and bodies ------------------------------------------------------------------------- */

void glim_exchange_headers(const glim_exchange *x, const glim_problem *p, glim_buf *out)
{
    (void)glim_buf_addf(out, "x-request-id: ");
    (void)glim_buf_addv(out, x->request_id);
    (void)glim_buf_addf(out, "\r\n");
    glim_cors_headers(x->s, x->origin, out);
    if (x->preflight) glim_cors_preflight(x->s, x->rq, out);
    if (x->allowed) {
        (void)glim_buf_addf(out, "Allow: ");
        glim_route_methods(x->allowed, out);
        (void)glim_buf_addf(out, "\r\n");
    }
    if (x->n_cut) (void)glim_buf_addf(out, "x-glim-truncated: %zu\r\n", x->n_cut);
    if (!p) return;
    if (!glim_problem_retry(p)) (void)glim_buf_addf(out, "x-should-retry: false\r\n");
    if (p->retry_after_s > 0)
        (void)glim_buf_addf(out, "Retry-After: %lld\r\n", (long long)p->retry_after_s);
    if (glim_problem_status(p) == 401) (void)glim_buf_addf(out, "WWW-Authenticate: Bearer\r\n");
}

/* The id that bodies carry: the client's own, where it gave one. */
static glim_str body_id(const glim_exchange *x)
{
    return x->info.request_id.n ? x->info.request_id : x->request_id;
}

static void send_problem(glim_exchange *x)
{
    glim_buf head, body;
    glim_buf_init(&head, 4096);
    glim_buf_init(&body, 65536);
    glim_exchange_headers(x, &x->problem, &head);
    if (x->shape(&x->problem, body_id(x), &body)) glim_buf_clear(&body);
    x->status_sent = glim_problem_status_of(x->shape, &x->problem);
    if (x->rq)
        glim_http_reply(x->rq, x->status_sent, "application/json; charset=utf-8",
                        glim_buf_view(&head), glim_buf_view(&body));
    glim_buf_deinit(&head);
    glim_buf_deinit(&body);
}

void glim_exchange_send(glim_exchange *x)
{
    if (x->finished) return;
    x->finished = true;
    if (!x->has_problem && x->out.err)
        glim_exchange_fail(x, GLIM_PROBLEM_MEMORY, NULL,
                           "the answer is too large for the memory left");
    if (x->has_problem) {
        send_problem(x);
        return;
    }
    glim_buf head;
    glim_buf_init(&head, 4096);
    glim_exchange_headers(x, NULL, &head);
    x->status_sent = x->status ? x->status : 200;
    if (x->rq)
        glim_http_reply(x->rq, x->status_sent,
                        x->type ? x->type : "application/json; charset=utf-8", glim_buf_view(&head),
                        glim_buf_view(&x->out));
    glim_buf_deinit(&head);
}

/* The first answer of an asynchronous task, whose own may be there before. */
static void ack_posted(void *arg)
{
    glim_exchange *x = arg;
    glim_buf head;
    glim_buf_init(&head, 4096);
    glim_exchange_headers(x, NULL, &head);
    x->status_sent = 200;
    if (x->rq)
        glim_http_reply(x->rq, 200, "application/json; charset=utf-8", glim_buf_view(&head),
                        glim_buf_view(&x->ack));
    glim_buf_deinit(&head);
    glim_exchange_unref(x);
}

void glim_exchange_ack(glim_exchange *x)
{
    glim_exchange_ref(x);
    if (glim_http_post(x->s->http, ack_posted, x)) glim_exchange_unref(x);
}

static void log_when_over(glim_exchange *x);

/* From here on the I/O thread may read what the worker wrote. */
static void worker_left(glim_exchange *x)
{
    x->working = false;
    log_when_over(x);
}

static void send_posted(void *arg)
{
    glim_exchange *x = arg;
    glim_exchange_send(x);
    worker_left(x);
    glim_exchange_unref(x);
}

void glim_exchange_answer(glim_exchange *x)
{
    glim_exchange_ref(x);
    if (glim_http_post(x->s->http, send_posted, x)) glim_exchange_unref(x);
}

/* ---- notes: engine thread to I/O thread -------------------------------------------------------- */

static void drain_posted(void *arg);

/* Under the lock. */
static bool want_post(glim_exchange *x)
{
    if (x->posted) return false;
    x->posted = true;
    return true;
}

static void post_drain(glim_exchange *x)
{
    glim_exchange_ref(x);
    if (glim_http_post(x->s->http, drain_posted, x)) glim_exchange_unref(x);
}

static glim_str put(char **at, glim_str s)
{
    char *p = *at;
    if (s.n) memcpy(p, s.p, s.n);
    *at += s.n;
    return (glim_str){p, s.n};
}

static glim_note *copy_event(size_t i_choice, const glim_event *ev, bool want_ids)
{
    const glim_token_logprobs *lp = ev->logprobs;
    size_t n_top = lp ? lp->n_top : 0;
    size_t bytes = ev->text.n + ev->id.n + ev->name.n + ev->key.n + ev->stop_text.n;
    if (lp) bytes += lp->chosen.bytes.n;
    for (size_t i = 0; i < n_top; i++)
        bytes += lp->top[i].bytes.n;
    size_t n_id = want_ids ? ev->n_id : 0;
    bytes += n_id * sizeof(int32_t);
    glim_note *n = glim_alloc(sizeof *n + n_top * sizeof(glim_logprob) + bytes);
    if (!n) return NULL;
    glim_logprob *top = (glim_logprob *)(n + 1);
    int32_t *ids = (int32_t *)(top + n_top);
    char *at = (char *)(ids + n_id);
    *n = (glim_note){.i_choice = i_choice, .bytes = sizeof *n + bytes, .ev = *ev};
    if (n_id) memcpy(ids, ev->ids, n_id * sizeof *ids);
    n->ev.ids = ids;
    n->ev.n_id = n_id;
    n->ev.text = put(&at, ev->text);
    n->ev.id = put(&at, ev->id);
    n->ev.name = put(&at, ev->name);
    n->ev.key = put(&at, ev->key);
    n->ev.stop_text = put(&at, ev->stop_text);
    if (ev->usage) {
        n->usage = *ev->usage;
        n->ev.usage = &n->usage;
    }
    if (lp) {
        n->logprobs = *lp;
        n->logprobs.chosen.bytes = put(&at, lp->chosen.bytes);
        for (size_t i = 0; i < n_top; i++) {
            top[i] = lp->top[i];
            top[i].bytes = put(&at, lp->top[i].bytes);
        }
        n->logprobs.top = top;
        n->ev.logprobs = &n->logprobs;
    }
    return n;
}

/* The jobs of x wait, or go on. Not under x's lock: the scheduler has one of its own. */
static void pause_jobs(glim_exchange *x, bool pause)
{
    for (size_t i = 0; i < x->n_choice; i++)
        if (x->choices[i].job) glim_job_pause(x->choices[i].job, pause);
}

static void add_note(glim_exchange *x, glim_note *n)
{
    pthread_mutex_lock(&x->lock);
    *x->last = n;
    x->last = &n->next;
    x->waiting_bytes += n->bytes;
    bool post = want_post(x);
    bool pause = x->waiting_bytes > PAUSE_BYTES && !x->paused && x->submitted && !n->done;
    if (pause) x->paused = true;
    pthread_mutex_unlock(&x->lock);
    if (pause) pause_jobs(x, true);
    if (post) post_drain(x);
}

static void note_time(glim_choice *c, const glim_event *ev)
{
    if (ev->kind != GLIM_EV_CONTENT && ev->kind != GLIM_EV_REASONING) return;
    uint64_t now = glim_now_ns();
    if (c->t_last_ns)
        glim_metric_observe(c->x->s->metrics, GLIM_METRIC_INTER_TOKEN, now - c->t_last_ns);
    c->t_last_ns = now;
}

/* An event of the engine, on its thread. */
static bool on_event(void *user, const glim_event *ev)
{
    glim_choice *c = user;
    glim_exchange *x = c->x;
    note_time(c, ev);
    /* The first word of progress says that the prefill begins; the rest is nobody's business. */
    if (ev->kind == GLIM_EV_PROGRESS && c->begun) return true;
    c->begun = true;
    glim_note *n = copy_event(c->i, ev, x->req.want_ids);
    if (!n) return false; /* no memory: the answer ends here, as cancelled */
    add_note(x, n);
    return true;
}

static void on_done(void *user, const glim_error *e)
{
    glim_choice *c = user;
    glim_exchange *x = c->x;
    glim_note *n = c->end;
    c->end = NULL;
    n->i_choice = c->i;
    n->done = true;
    n->failed = e != NULL;
    if (e) n->e = *e;
    add_note(x, n);
    glim_exchange_unref(x);
}

/* ---- submission (worker) ----------------------------------------------------------------------- */

static void submit_failed(glim_exchange *x, const glim_job_input *in, size_t n, const glim_error *e)
{
    glim_sched_stat st;
    glim_problem_from(e, &x->problem);
    x->has_problem = true;
    if (e->code == GLIM_E_FULL) {
        glim_sched_get_stat(glim_host_sched(x->host), &st);
        x->problem.retry_after_s = (int64_t)GLIM_MIN(GLIM_MAX(st.wait_s + 0.999, 1), 120);
    } else if (e->code == GLIM_E_STATE) {
        glim_exchange_fail(x, GLIM_PROBLEM_DRAINING, NULL,
                           "the server is going down; try again later");
        x->problem.retry_after_s = 10;
    } else if (e->code == GLIM_E_CONTEXT) {
        snprintf(x->problem.param, sizeof x->problem.param, "%s",
                 x->req.raw ? "prompt" : "messages");
        x->problem.n_ctx = x->info.n_ctx;
        for (size_t i = 0; i < n; i++) /* the first that is too long is the one that was refused */
            if (x->problem.n_prompt < x->info.n_ctx) x->problem.n_prompt = (int64_t)in[i].n_id;
    }
    for (size_t i = 0; i < x->n_choice; i++)
        free_notes(x->choices[i].end);
    x->n_choice = 0; /* nothing will be over */
    glim_exchange_answer(x);
}

static void begin_posted(void *arg);

void glim_exchange_submit(glim_exchange *x, glim_job_input *in, size_t n)
{
    glim_error e = {0};
    glim_choice *c = glim_arena_alloc0(x->arena, n * sizeof *c);
    glim_job **jobs = glim_arena_alloc0(x->arena, n * sizeof(glim_job *));
    x->reply = c && jobs ? x->route->dialect->reply_new(&x->req, &x->info) : NULL;
    bool room = x->reply != NULL;
    x->choices = c;
    x->n_choice = c ? n : 0;
    for (size_t i = 0; room && i < n; i++) {
        c[i] = (glim_choice){.x = x, .i = i, .end = glim_new0(glim_note)};
        room = c[i].end != NULL;
    }
    if (!room) {
        glim_exchange_fail(x, GLIM_PROBLEM_MEMORY, NULL, "out of memory; try again later");
        glim_exchange_answer(x);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        in[i].fn = on_event;
        in[i].done = on_done;
        in[i].user = &c[i];
        glim_exchange_ref(x);
    }
    glim_err rc = glim_sched_submit(glim_host_sched(x->host), in, n, jobs, &e);
    if (rc) {
        for (size_t i = 0; i < n; i++)
            glim_exchange_unref(x);
        submit_failed(x, in, n, &e);
        return;
    }
    pthread_mutex_lock(&x->lock);
    for (size_t i = 0; i < n; i++)
        c[i].job = jobs[i];
    x->submitted = true;
    bool gone = x->gone;
    pthread_mutex_unlock(&x->lock);
    for (size_t i = 0; gone && i < n; i++)
        glim_job_cancel(jobs[i]);
    glim_exchange_ref(x);
    if (glim_http_post(x->s->http, begin_posted, x)) glim_exchange_unref(x);
}

/* ---- I/O thread -------------------------------------------------------------------------------- */

static void list_stream(glim_exchange *x)
{
    if (x->listed) return;
    x->listed = true;
    x->next_stream = x->s->streams;
    x->at_stream = &x->s->streams;
    if (x->next_stream) x->next_stream->at_stream = &x->next_stream;
    x->s->streams = x;
}

static void unlist_stream(glim_exchange *x)
{
    if (!x->listed) return;
    x->listed = false;
    *x->at_stream = x->next_stream;
    if (x->next_stream) x->next_stream->at_stream = x->at_stream;
}

/* The head of a stream goes out when the prefill begins: what can be refused was refused by then. */
static void begin_stream(glim_exchange *x)
{
    if (x->begun || !x->rq) return;
    glim_buf head;
    glim_buf_init(&head, 4096);
    glim_exchange_headers(x, NULL, &head);
    (void)glim_buf_addf(&head, "Cache-Control: no-cache\r\nX-Accel-Buffering: no\r\n");
    glim_http_stream_begin(x->rq, 200, x->route->dialect->stream_type, glim_buf_view(&head));
    glim_buf_deinit(&head);
    x->begun = true;
    x->status_sent = 200;
}

static void write_out(glim_exchange *x)
{
    if (!x->out.n || !x->rq) return;
    begin_stream(x);
    glim_http_stream_write(x->rq, glim_buf_view(&x->out));
    glim_buf_clear(&x->out);
    x->t_sent_ns = glim_now_ns();
}

static void begin_posted(void *arg)
{
    glim_exchange *x = arg;
    if (x->rq && x->req.stream && !x->finished) {
        list_stream(x);
        x->t_sent_ns = glim_now_ns();
    }
    worker_left(x);
    glim_exchange_unref(x);
}

static void cancel_all(glim_exchange *x)
{
    pthread_mutex_lock(&x->lock);
    bool submitted = x->submitted;
    x->gone = true;
    pthread_mutex_unlock(&x->lock);
    for (size_t i = 0; submitted && i < x->n_choice; i++)
        glim_job_cancel(x->choices[i].job);
}

/* The engine failed in the middle: the client learns it in the stream, or as the answer. */
static void fail_now(glim_exchange *x, const glim_error *e)
{
    if (x->finished) return;
    glim_problem_from(e, &x->problem);
    if (e->code == GLIM_E_FULL) /* the cache, not the queue: nothing the client did */
        x->problem.kind = GLIM_PROBLEM_MEMORY;
    GLIM_ERROR("server", "engine", "request=%.*s error=\"%s\"", (int)x->request_id.n,
               x->request_id.p, e->msg);
    if (x->is_async) {
        x->finished = true;
        glim_buf_clear(&x->out);
        (void)x->shape(&x->problem, body_id(x), &x->out);
        glim_async_end(x->s->async, glim_str_of(x->id), false, glim_buf_view(&x->out));
    } else if (!x->begun) {
        x->has_problem = true;
        glim_buf_clear(&x->out);
        glim_exchange_send(x);
    } else {
        x->finished = true;
        (void)x->route->dialect->stream_problem(&x->problem, body_id(x), &x->out);
        write_out(x);
        if (x->rq) glim_http_stream_end(x->rq);
    }
    cancel_all(x);
}

static void end_all(glim_exchange *x)
{
    if (x->finished) return;
    glim_err rc = x->route->dialect->end(x->reply, &x->out);
    if (rc || x->out.err) {
        glim_error e = {0};
        (void)!glim_fail(&e, rc ? rc : x->out.err, "the answer is too large for the memory left");
        fail_now(x, &e);
        return;
    }
    if (x->is_async) {
        glim_buf whole;
        glim_buf_init(&whole, OUT_MAX);
        rc = glim_async_encode(&x->info, "SUCCESS", glim_buf_view(&x->out), &whole);
        x->finished = true;
        glim_async_end(x->s->async, glim_str_of(x->id), !rc, glim_buf_view(&whole));
        glim_buf_deinit(&whole);
    } else if (x->req.stream) {
        write_out(x);
        x->finished = true;
        if (x->rq) glim_http_stream_end(x->rq);
    } else {
        glim_exchange_send(x);
    }
}

static void count_stop(glim_exchange *x, const glim_note *n)
{
    glim_choice *c = &x->choices[n->i_choice];
    glim_metrics *m = x->s->metrics;
    c->usage = n->usage;
    c->reason = n->ev.reason;
    glim_metric_add(m, GLIM_METRIC_PROMPT_TOKENS, (uint64_t)c->usage.n_prompt);
    glim_metric_add(m, GLIM_METRIC_CACHED_TOKENS, (uint64_t)c->usage.n_cached);
    glim_metric_add(m, GLIM_METRIC_TOKENS_PREDICTED, (uint64_t)c->usage.n_completion);
    glim_metric_add(m, GLIM_METRIC_PROMPT_TOKENS_COMPUTED,
                    (uint64_t)(c->usage.n_prompt - c->usage.n_cached));
    glim_metric_add(m, GLIM_METRIC_PROMPT_SECONDS, (uint64_t)(c->usage.prompt_ms * 1e6));
    glim_metric_add(m, GLIM_METRIC_PREDICTED_SECONDS, (uint64_t)(c->usage.completion_ms * 1e6));
    glim_metric_raise(m, GLIM_METRIC_TOKENS_MAX, c->usage.n_prompt + c->usage.n_completion);
    if (!x->t_first_ns || n->i_choice > 0) return;
    uint64_t ttft = x->t_first_ns - x->t0_ns, prefill = (uint64_t)(c->usage.prompt_ms * 1e6);
    glim_metric_observe(m, GLIM_METRIC_TIME_TO_FIRST_TOKEN, ttft);
    glim_metric_observe(m, GLIM_METRIC_QUEUE, ttft - GLIM_MIN(ttft, prefill));
}

/* Once, when the socket is done with and the engine too: its last counts belong into the line. */
static void log_when_over(glim_exchange *x)
{
    if (x->rq || x->working || x->logged || x->n_over < x->n_choice) return;
    x->logged = true;
    if (x->limited) glim_limits_leave(x->s->limits, x->key_id);
    glim_usage u = {.n_prompt = x->n_encoded};
    const char *finish = "-";
    for (size_t i = 0; i < x->n_choice; i++) {
        const glim_choice *c = &x->choices[i];
        u.n_prompt += c->usage.n_prompt;
        u.n_cached += c->usage.n_cached;
        u.n_completion += c->usage.n_completion;
        u.n_reasoning += c->usage.n_reasoning;
        if (c->reason) finish = glim_finish_name(c->reason, c->called, false);
    }
    uint64_t now = glim_now_ns();
    GLIM_INFO("server", "request",
              "id=%.*s route=%s status=%d key=%s peer=%.*s stream=%d choices=%zu prompt=%lld "
              "cached=%lld completion=%lld reasoning=%lld finish=%s ttft_ms=%.1f ms=%.1f%s%s%s%s",
              (int)x->request_id.n, x->request_id.p, x->route->pattern, x->status_sent,
              x->key_id[0] ? x->key_id : "-", (int)x->peer.n, x->peer.p, x->req.stream, x->n_choice,
              (long long)u.n_prompt, (long long)u.n_cached, (long long)u.n_completion,
              (long long)u.n_reasoning, finish,
              x->t_first_ns ? (double)(x->t_first_ns - x->t0_ns) / 1e6 : 0.0,
              (double)(now - x->t0_ns) / 1e6, x->trace_id[0] ? " trace=" : "", x->trace_id,
              x->trace_id[0] ? " span=" : "", x->trace_id[0] ? x->span_id : "");
}

static void take_note(glim_exchange *x, const glim_note *n)
{
    if (n->done) {
        if (n->failed) fail_now(x, &n->e);
        if (!x->choices[n->i_choice].over) {
            x->choices[n->i_choice].over = true;
            if (++x->n_over == x->n_choice) end_all(x);
        }
        return;
    }
    if (n->ev.kind == GLIM_EV_STOP && n->ev.reason == GLIM_STOP_CANCEL && !x->gone) {
        /* Nobody asked for it: an event could not be kept. A cut answer must not look like a whole one. */
        glim_error e = {0};
        (void)!glim_fail(&e, GLIM_E_NOMEM, "out of memory; try again later");
        fail_now(x, &e);
    }
    if (n->ev.kind == GLIM_EV_STOP)
        count_stop(x, n);
    else if (n->ev.kind != GLIM_EV_PROGRESS && !x->t_first_ns)
        x->t_first_ns = glim_now_ns();
    if (n->ev.kind == GLIM_EV_PROGRESS && x->req.stream && !x->finished) begin_stream(x);
    if (n->ev.kind == GLIM_EV_CALL_END) x->choices[n->i_choice].called = true;
    if (x->finished) return;
    glim_err rc = x->route->dialect->event(x->reply, n->i_choice, &n->ev, &x->out);
    if (rc) {
        glim_error e = {0};
        (void)!glim_fail(&e, rc, "the answer is too large for the memory left");
        fail_now(x, &e);
    }
}

static glim_note *take_notes(glim_exchange *x)
{
    pthread_mutex_lock(&x->lock);
    glim_note *n = x->first;
    x->first = NULL;
    x->last = &x->first;
    x->waiting_bytes = 0;
    x->posted = false;
    bool resume = x->paused;
    x->paused = false;
    pthread_mutex_unlock(&x->lock);
    if (resume) pause_jobs(x, false);
    return n;
}

static void drain(glim_exchange *x)
{
    /* With a full socket the notes stay where they are; room brings us back. */
    if (x->rq && x->begun && glim_http_unsent(x->rq) > GLIM_HTTP_HIGH) {
        x->blocked = true;
        return;
    }
    x->blocked = false;
    for (glim_note *n = take_notes(x), *next; n; n = next) {
        next = n->next;
        take_note(x, n);
        glim_free(n);
    }
    if (x->req.stream && !x->finished) write_out(x);
    log_when_over(x);
}

static void drain_posted(void *arg)
{
    glim_exchange *x = arg;
    drain(x);
    glim_exchange_unref(x);
}

void glim_exchange_room(glim_exchange *x)
{
    if (x->blocked) drain(x);
}

void glim_exchange_gone(glim_exchange *x)
{
    if (x->is_async) return; /* the task goes on */
    x->finished = true;
    glim_metric_add(x->s->metrics, GLIM_METRIC_CLIENTS_GONE, 1);
    if (x->status_sent == 0 || x->begun) x->status_sent = 499;
    cancel_all(x);
}

void glim_exchange_done(glim_exchange *x)
{
    x->rq = NULL;
    x->finished = x->finished || !x->is_async;
    unlist_stream(x);
    glim_metric_request(x->s->metrics, glim_route_index(x->route), x->status_sent);
    glim_metric_observe(x->s->metrics, GLIM_METRIC_REQUEST, glim_now_ns() - x->t0_ns);
    if (x->blocked)
        drain(x);
    else
        log_when_over(x);
    glim_exchange_unref(x);
}

void glim_exchange_tick(glim_server *s)
{
    uint64_t now = glim_now_ns();
    for (glim_exchange *x = s->streams; x; x = x->next_stream) {
        if (!x->rq || x->finished || x->blocked || now - x->t_sent_ns < KEEPALIVE_NS) continue;
        (void)x->route->dialect->keepalive(x->reply, &x->out);
        write_out(x);
    }
}
