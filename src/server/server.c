/* SPDX-License-Identifier: MIT
 * server.c - from open listeners to the last answer: loading beside serving, who may come in, draining.
 * Owns:   the parts and the order in which they live and die.
 * Thread: glim_server_run() is the I/O thread; the model is loaded on one of its own, so that /health can say so. */
#include "server/server_priv.h"

#include <stdio.h>
#include <time.h>

#define TICK_MS 100

void glim_server_opts_init(glim_server_opts *o)
{
    *o = (glim_server_opts){
        .n_slot = 8, .n_queue = 256, .drain_s = 30, .body_max = (size_t)32 << 20};
    glim_model_opts_init(&o->model);
}

/* ---- models ----------------------------------------------------------------------------------- */

static bool is_stopping(void *user)
{
    glim_server *s = user;
    return atomic_load(&s->ending) || (atomic_load(&s->n_stop) > 0 && !atomic_load(&s->opened));
}

static void count_model(void *user, bool came)
{
    const glim_server *s = user;
    glim_metric_add(s->metrics, came ? GLIM_METRIC_MODEL_LOADS : GLIM_METRIC_MODEL_UNLOADS, 1);
}

static void *serve_models(void *arg)
{
    glim_server *s = arg;
    s->load_rc = glim_hub_open(s->hub, &s->load_error);
    if (s->load_rc) {
        glim_http_stop(s->http);
        return NULL;
    }
    atomic_store(&s->opened, true);
    int loading = GLIM_LOADING;
    atomic_compare_exchange_strong(&s->phase, &loading, GLIM_SERVING);
    if (s->o.on_ready) s->o.on_ready(s->o.user, s);
    glim_notify("READY=1\nSTATUS=serving");
    glim_hub_work(s->hub);
    return NULL;
}

static glim_err make_hub(glim_server *s, glim_error *e)
{
    const glim_hub_opts ho = {.models = s->o.models,
                              .n_model = s->o.n_model,
                              .aliases = s->o.aliases,
                              .n_alias = s->o.n_alias,
                              .model = s->o.model,
                              .n_slot = s->o.n_slot,
                              .n_queue = s->o.n_queue,
                              .memory_max = s->o.model_memory,
                              .n_loaded_max = s->o.n_loaded_max,
                              .stopping = is_stopping,
                              .changed = count_model,
                              .user = s};
    return glim_hub_new(&ho, &s->hub, e);
}

/* ---- requests ----------------------------------------------------------------------------------- */

/* Who asks, and whether now is the time. Fills x's problem; the key is judged before the body comes. */
static bool may_enter(glim_exchange *x, glim_http_req *rq)
{
    glim_server *s = x->s;
    glim_auth_verdict v;
    const glim_auth_given given = {glim_http_header_get(rq, "authorization"),
                                   glim_http_header_count(rq, "authorization"),
                                   glim_http_header_get(rq, "x-api-key")};
    if (!glim_host_ok(glim_http_header_get(rq, "host"), rq->loopback_listener)) {
        glim_exchange_fail(
            x, GLIM_PROBLEM_HOST, NULL,
            "this address answers only to localhost; use http://127.0.0.1 or http://localhost");
        return false;
    }
    bool needs_key = x->route->handler == NULL || (x->route->flags & GLIM_ROUTE_KEY);
    if (needs_key && rq->method != GLIM_OPTIONS &&
        !glim_auth_check(s->auth, &given, (int64_t)time(NULL), &v)) {
        glim_exchange_fail(x, v.kind, NULL, "%s", v.text);
        return false;
    }
    if (needs_key && rq->method != GLIM_OPTIONS) {
        memcpy(x->key_id, v.key_id, sizeof x->key_id);
        x->limit = v.limit;
    }
    return true;
}

/* What makes work counts; looking at lists, health and counters does not. */
static bool is_within_limits(glim_exchange *x, const glim_http_req *rq)
{
    const glim_server_opts *o = &x->s->o;
    if (x->route->where != GLIM_ON_PREP) return true;
    const glim_limit limit = glim_limit_or(x->limit, (glim_limit){o->key_rate, o->key_concurrent});
    bool by_rate = false;
    int64_t wait_s = 1;
    x->limited =
        glim_limits_enter(x->s->limits, x->key_id, &limit, rq->t_head_ns, &wait_s, &by_rate);
    if (x->limited) return true;
    glim_metric_add(x->s->metrics, GLIM_METRIC_RATE_LIMITED, 1);
    if (by_rate)
        glim_exchange_fail(x, GLIM_PROBLEM_RATE, NULL,
                           "more than %lld requests a minute; the next one may come in %lld s",
                           (long long)limit.per_minute, (long long)wait_s);
    else
        glim_exchange_fail(x, GLIM_PROBLEM_RATE, NULL,
                           "%lld requests of this key are being answered already, no more are "
                           "allowed at once; try again in about %lld s",
                           (long long)limit.concurrent, (long long)wait_s);
    x->problem.retry_after_s = wait_s;
    return false;
}

static bool is_time(glim_exchange *x)
{
    glim_phase phase = (glim_phase)atomic_load(&x->s->phase);
    if (!(x->route->flags & GLIM_ROUTE_READY) || phase == GLIM_SERVING) return true;
    if (phase == GLIM_LOADING)
        glim_exchange_fail(x, GLIM_PROBLEM_LOADING, NULL,
                           "the model is still loading; try again in some seconds");
    else
        glim_exchange_fail(x, GLIM_PROBLEM_DRAINING, NULL,
                           "the server is going down; try again later");
    x->problem.retry_after_s = phase == GLIM_LOADING ? 2 : 10;
    return false;
}

static void answer_options(glim_exchange *x, unsigned allowed)
{
    x->allowed = allowed;
    x->preflight = true;
    x->status = 204;
    glim_exchange_send(x);
}

static bool on_head(void *user, glim_http_req *rq)
{
    glim_server *s = user;
    glim_str rest;
    unsigned allowed;
    glim_problem_fn shape;
    const glim_route *r = glim_route_find(rq->method, rq->path, &rest, &allowed, &shape);
    glim_exchange *x = glim_exchange_new(s, rq, r ? r : glim_route_none(shape), rest);
    if (!x) {
        glim_http_reply(rq, 503, "text/plain", GLIM_STR("Retry-After: 2\r\n"),
                        GLIM_STR("out of memory\n"));
        return false;
    }
    rq->user = x;
    bool fine = may_enter(x, rq);
    if (fine && rq->method == GLIM_OPTIONS && allowed) {
        answer_options(x, allowed);
        return false;
    }
    if (fine && !r) {
        if (allowed)
            glim_exchange_fail(x, GLIM_PROBLEM_METHOD, NULL, "%s is not possible here",
                               GLIM_QUOTE(rq->method_text));
        else
            glim_exchange_fail(x, GLIM_PROBLEM_NO_PATH, NULL, "there is nothing at %s",
                               GLIM_QUOTE(rq->path));
        fine = false;
    }
    if (fine) fine = is_time(x) && is_within_limits(x, rq);
    if (!fine) {
        x->allowed = r ? 0 : allowed;
        glim_exchange_send(x);
    }
    return fine;
}

static void on_request(void *user, glim_http_req *rq)
{
    glim_server *s = user;
    glim_exchange *x = rq->user;
    glim_exchange_take_body(x, rq);
    if (x->has_problem)
        glim_exchange_send(x);
    else if (x->route->where == GLIM_ON_IO)
        x->route->handler(x);
    else {
        x->working = true;
        glim_prep_push(s->prep, x);
    }
}

/* The reader refused what came: answered in the shape of the path, as far as it is known. */
static void on_fault(void *user, glim_http_req *rq)
{
    static const glim_problem_kind kinds[] = {
        [GLIM_HTTP_OK] = GLIM_PROBLEM_BAD,
        [GLIM_HTTP_MALFORMED] = GLIM_PROBLEM_BAD,
        [GLIM_HTTP_HEAD_TOO_LARGE] = GLIM_PROBLEM_HEAD_TOO_LARGE,
        [GLIM_HTTP_BODY_TOO_LARGE] = GLIM_PROBLEM_TOO_LARGE,
        [GLIM_HTTP_ENCODED_BODY] = GLIM_PROBLEM_ENCODING,
        [GLIM_HTTP_TIMEOUT] = GLIM_PROBLEM_TIMEOUT,
        [GLIM_HTTP_VERSION] = GLIM_PROBLEM_VERSION,
        [GLIM_HTTP_EXPECTATION] = GLIM_PROBLEM_EXPECTATION,
        [GLIM_HTTP_NOMEM] = GLIM_PROBLEM_MEMORY,
    };
    glim_str rest;
    unsigned allowed;
    glim_problem_fn shape = glim_problem_openai;
    if (rq->path.n) (void)glim_route_find(rq->method, rq->path, &rest, &allowed, &shape);
    glim_exchange *x = rq->user;
    if (!x) {
        x = glim_exchange_new(user, rq, glim_route_none(shape), (glim_str){"", 0});
        rq->user = x;
    }
    if (!x) {
        glim_http_reply(rq, 400, "text/plain", (glim_str){"", 0}, GLIM_STR("bad request\n"));
        return;
    }
    glim_exchange_fail(x, kinds[rq->fault], NULL, "%s",
                       rq->fault_text ? rq->fault_text : "bad request");
    glim_exchange_send(x);
}

static void on_gone(void *user, glim_http_req *rq)
{
    (void)user;
    if (rq->user) glim_exchange_gone(rq->user);
}

static void on_room(void *user, glim_http_req *rq)
{
    (void)user;
    if (rq->user) glim_exchange_room(rq->user);
}

static void on_done(void *user, glim_http_req *rq)
{
    (void)user;
    if (rq->user) glim_exchange_done(rq->user);
    rq->user = NULL;
}

/* ---- life --------------------------------------------------------------------------------------- */

void glim_server_stop(glim_server *s)
{
    atomic_fetch_add(&s->n_stop, 1);
}

/* Without a key only addresses that other machines do not reach may be open; sockets that were opened for us count as
 * ours, those in the file system do not. */
static glim_err check_open(const glim_server *s, bool have_keys, glim_error *e)
{
    if (!s->inherited)
        return glim_bind_check(s->o.listen, s->o.n_listen, have_keys, s->o.insecure, e);
    for (size_t i = 0; s->http && glim_http_address(s->http, i)[0]; i++) {
        const char *address = glim_http_address(s->http, i);
        if (address[0] == '/' || address[0] == '@') continue;
        glim_err rc = glim_bind_check(&address, 1, have_keys, s->o.insecure, e);
        if (rc) return rc;
    }
    return GLIM_OK;
}

/* The caller owns *out. */
static glim_err read_keys(glim_server *s, glim_auth **out, glim_error *e)
{
    char warning[512] = "";
    glim_auth *a = glim_auth_new();
    if (!a) return glim_fail(e, GLIM_E_NOMEM, "keys");
    glim_err rc = GLIM_OK;
    for (size_t i = 0; !rc && i < s->o.n_key; i++)
        rc = glim_auth_add(a, glim_str_of(s->o.keys[i]), e);
    if (!rc && s->o.key_file) rc = glim_auth_add_file(a, s->o.key_file, warning, sizeof warning, e);
    if (warning[0]) GLIM_WARN("server", "keys", "%s", warning);
    if (!rc) rc = check_open(s, glim_auth_count(a) > 0, e);
    if (rc)
        glim_auth_free(a);
    else
        *out = a;
    return rc;
}

void glim_server_reload(glim_server *s)
{
    atomic_fetch_add(&s->n_reload, 1);
}

/* Keys and certificates are read again. What is wrong with one of them leaves it as it was: a slip in a file must neither
 * open the server nor close it. */
static void reload(glim_server *s)
{
    glim_error e = {0};
    char text[96], warning[512] = "";
    glim_auth *auth = NULL;
    snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%llu",
             (unsigned long long)(glim_now_ns() / 1000));
    glim_notify(text);
    bool keys = read_keys(s, &auth, &e) == GLIM_OK;
    if (keys) {
        glim_auth_free(s->auth);
        s->auth = auth;
    } else {
        GLIM_ERROR("server", "reload", "keys=unchanged error=\"%s\"", e.msg);
    }
    e = (glim_error){0};
    bool tls = !s->o.tls_cert || glim_http_reload(s->http, warning, sizeof warning, &e) == GLIM_OK;
    if (warning[0]) GLIM_WARN("server", "tls", "%s", warning);
    if (!tls) GLIM_ERROR("server", "reload", "certificates=unchanged error=\"%s\"", e.msg);
    if (keys && tls) GLIM_INFO("server", "reload", "keys=%zu", glim_auth_count(s->auth));
    glim_metric_add(s->metrics, keys && tls ? GLIM_METRIC_RELOADS : GLIM_METRIC_RELOADS_FAILED, 1);
    if (atomic_load(&s->phase) == GLIM_SERVING) glim_notify("READY=1");
}

/* Word to the service manager, twice within its patience, as long as the engine does its work. */
static void watchdog(glim_server *s)
{
    glim_sched_stat st = {.healthy = true};
    uint64_t now = glim_now_ns();
    if (!s->watchdog_ns || now - s->t_watchdog_ns < s->watchdog_ns / 2) return;
    if (atomic_load(&s->phase) != GLIM_LOADING) glim_hub_get_stat(s->hub, &st);
    if (st.healthy) glim_notify("WATCHDOG=1");
    s->t_watchdog_ns = now;
}

static void tick(void *arg)
{
    glim_server *s = arg;
    glim_exchange_tick(s);
    watchdog(s);
    if (atomic_exchange(&s->n_reload, 0)) reload(s);
    int stops = atomic_load(&s->n_stop);
    if (stops == 0) return;
    uint64_t now = glim_now_ns();
    if (s->drain_from_ns == 0) {
        s->drain_from_ns = now;
        atomic_store(&s->phase, GLIM_DRAINING);
        glim_http_stop_accepting(s->http);
        glim_notify("STOPPING=1");
        GLIM_INFO("server", "drain", "open=%zu", glim_http_n_open(s->http));
    }
    bool late = now - s->drain_from_ns > (uint64_t)s->o.drain_s * 1000000000u;
    if (glim_http_n_open(s->http) == 0 || stops > 1 || late) {
        if (glim_http_n_open(s->http))
            GLIM_WARN("server", "drain", "cut_off=%zu", glim_http_n_open(s->http));
        glim_http_stop(s->http);
    }
}

static glim_err make_parts(glim_server *s, glim_error *e)
{
    size_t n_route;
    const char *const *patterns = glim_route_patterns(&n_route);
    glim_http_opts ho;
    glim_err rc = GLIM_OK;
    const int *fds;
    size_t n_fd = glim_notify_fds(&fds);
    s->inherited = n_fd > 0;
    for (size_t i = 0; !rc && i < s->o.n_listen; i++)
        rc = glim_http_check_address(s->o.listen[i], e);
    if (!rc) rc = read_keys(s, &s->auth, e);
    if (!rc) rc = make_hub(s, e);
    if (rc) return rc;
    s->async = glim_async_new();
    s->metrics = glim_metrics_new(glim_version(), patterns, n_route);
    s->limits = glim_limits_new();
    if (!s->async || !s->metrics || !s->limits) return glim_fail(e, GLIM_E_NOMEM, "server");
    if ((rc = glim_prep_new(2, &s->prep, e))) return rc;
    if ((rc = glim_encode_queue_new(s->o.n_queue, &s->encode, e))) return rc;
    glim_http_opts_init(&ho);
    ho.listen = s->o.listen;
    ho.n_listen = s->o.n_listen;
    ho.body_max = s->o.body_max;
    ho.tls_cert = s->o.tls_cert;
    ho.tls_key = s->o.tls_key;
    ho.fds = fds;
    ho.n_fd = n_fd;
    ho.on_head = on_head;
    ho.on_request = on_request;
    ho.on_fault = on_fault;
    ho.on_gone = on_gone;
    ho.on_room = on_room;
    ho.on_done = on_done;
    ho.user = s;
    rc = glim_http_new(&ho, &s->http, e);
    if (!rc) rc = check_open(s, glim_auth_count(s->auth) > 0, e);
    return rc ? rc : glim_http_every(s->http, TICK_MS, tick, s);
}

glim_err glim_server_new(const glim_server_opts *o, glim_server **out, glim_error *e)
{
    glim_server *s = glim_new0(glim_server);
    if (!s) return glim_fail(e, GLIM_E_NOMEM, "server");
    s->o = *o;
    atomic_init(&s->phase, GLIM_LOADING);
    snprintf(s->fingerprint, sizeof s->fingerprint, "glim-%s", glim_version());
    glim_err rc = make_parts(s, e);
    if (rc) {
        glim_server_free(s);
        return rc;
    }
    *out = s;
    return GLIM_OK;
}

glim_err glim_server_run(glim_server *s, glim_error *e)
{
    if (s->o.on_listen) s->o.on_listen(s->o.user, s);
    glim_notify("STATUS=loading the model");
    s->watchdog_ns = glim_notify_watchdog_ns();
    int err = pthread_create(&s->loader, NULL, serve_models, s);
    if (err)
        return glim_fail(e, GLIM_E_FULL, "cannot start a thread to load the model: %s",
                         strerror(err));
    glim_err rc = glim_http_run(s->http, e);
    atomic_store(&s->ending, true);
    glim_hub_end(s->hub);
    pthread_join(s->loader, NULL);
    if (s->load_rc && !atomic_load(&s->n_stop)) {
        if (e) *e = s->load_error;
        rc = s->load_rc;
    }
    return rc;
}

void glim_server_free(glim_server *s)
{
    if (!s) return;
    /* Nobody computes or works, then no engine event any more; then the sockets let go of what is left, which cancels jobs
     * that are over and so needs the schedulers a last time. */
    glim_encode_queue_stop(s->encode);
    glim_prep_free(s->prep);
    glim_encode_queue_free(s->encode);
    glim_hub_stop_jobs(s->hub);
    glim_http_free(s->http);
    glim_hub_free(s->hub);
    glim_async_free(s->async);
    glim_metrics_free(s->metrics);
    glim_limits_free(s->limits);
    glim_auth_free(s->auth);
    glim_free(s);
}

const char *glim_server_address(const glim_server *s, size_t i)
{
    return glim_http_address(s->http, i);
}

bool glim_server_is_tls(const glim_server *s, size_t i)
{
    return glim_http_is_tls(s->http, i);
}
