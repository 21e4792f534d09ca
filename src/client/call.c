/* SPDX-License-Identifier: MIT
 * call.c - one call: head and key, redirects, what an answer's status means, tries and the waits between them.
 * Owns:   the rules of where a key may go: to the origin of the base URL and nowhere else.
 * Not here: bytes on the wire (transport.c), what a good body means (whoever asks).
 * Thread: any; callbacks come on the caller's thread, without a lock.
 * Fails:  as client.h says of all calls. No message and no log line holds a key.   See: tests/client */
#include "client/client_priv.h"

#include <math.h>
#include <stdio.h>
#include <time.h>

enum {
    REDIRECTS_MAX = 5,
    ERROR_BODY_MAX = 64 << 10,
    TOKEN_LIFE_MS = 180000 /* a token is good for 30 s more than it is used */
};

/* ---- names -------------------------------------------------------------------------------------- */

static const char *const fault_names[] = {[GLIM_FAULT_NONE] = "none",
                                          [GLIM_FAULT_REQUEST] = "request",
                                          [GLIM_FAULT_AUTH] = "auth",
                                          [GLIM_FAULT_LIMIT] = "limit",
                                          [GLIM_FAULT_INTERNAL] = "internal",
                                          [GLIM_FAULT_OVERLOADED] = "overloaded",
                                          [GLIM_FAULT_STATUS] = "status",
                                          [GLIM_FAULT_TIMEOUT] = "timeout",
                                          [GLIM_FAULT_CONNECTION] = "connection",
                                          [GLIM_FAULT_STREAM] = "stream",
                                          [GLIM_FAULT_SHAPE] = "shape",
                                          [GLIM_FAULT_LOCAL] = "local"};

const char *glim_fault_name(glim_fault f)
{
    return (size_t)f < GLIM_COUNT(fault_names) ? fault_names[f] : "unknown";
}

static glim_fault fault_of_status(int status)
{
    switch (status) {
    case 400:
        return GLIM_FAULT_REQUEST;
    case 401:
        return GLIM_FAULT_AUTH;
    case 429:
        return GLIM_FAULT_LIMIT;
    case 500:
        return GLIM_FAULT_INTERNAL;
    case 503:
        return GLIM_FAULT_OVERLOADED;
    default:
        return GLIM_FAULT_STATUS;
    }
}

static glim_fault fault_of_error(glim_err rc)
{
    switch (rc) {
    case GLIM_E_NETWORK:
        return GLIM_FAULT_CONNECTION;
    case GLIM_E_TIMEOUT:
        return GLIM_FAULT_TIMEOUT;
    case GLIM_E_REMOTE:
        return GLIM_FAULT_STREAM;
    case GLIM_E_FORMAT:
    case GLIM_E_LIMIT:
        return GLIM_FAULT_SHAPE;
    default:
        return GLIM_FAULT_LOCAL;
    }
}

/* Cut to fit, at the end of a character. */
static void keep_message(glim_client_report *r, const char *text)
{
    glim_str s = {text, GLIM_MIN(strlen(text), sizeof r->message - 1)};
    s.n -= glim_utf8_partial(s);
    memcpy(r->message, s.p, s.n);
    r->message[s.n] = '\0';
}

/* ---- begin and end of a public call -------------------------------------------------------------- */

glim_error *glim_answer_begin(const glim_call *call, glim_error *e, glim_error *own)
{
    if (call && call->report) *call->report = (glim_client_report){.retry_after_ms = -1};
    *own = (glim_error){0};
    return e ? e : own;
}

glim_err glim_answer_end(const glim_call *call, glim_err rc, const glim_error *e)
{
    glim_client_report *r = call ? call->report : NULL;
    if (!r) return rc;
    if (!rc) {
        r->fault = GLIM_FAULT_NONE;
    } else if (r->fault == GLIM_FAULT_NONE) {
        r->fault = fault_of_error(rc);
        keep_message(r, e->msg);
    }
    return rc;
}

/* ---- the head of a request -------------------------------------------------------------------------- */

void glim_headers_add(glim_headers *h, const char *name, glim_str value)
{
    if (GLIM_NEVER(h->n == GLIM_HEADERS_MAX)) return;
    h->v[h->n++] = (glim_header){name, value};
}

/* One call on its way. */
typedef struct run {
    glim_client *c;
    const glim_exchange *x;
    const glim_call *call;
    glim_error *e;
    glim_client_report rep;
    glim_url origin; /* that this call began with */
    char id[65];     /* of a request that the caller gave none */
    glim_str request_id;
    glim_buf url, bearer, bad; /* bad: the body of a refusal */
    glim_got got;
    glim_err begun; /* what begin() said of this try */
} run;

static int64_t unix_ms(void)
{
    struct timespec ts = {0};
    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* The value of Authorization into w->bearer; n 0: no key. A signed token is used for three minutes. */
static glim_err take_bearer(run *w)
{
    glim_client *c = w->c;
    glim_err rc = GLIM_OK;
    if (!c->jwt) return GLIM_OK;
    int64_t now = (int64_t)(glim_now_ns() / 1000000u);
    pthread_mutex_lock(&c->lock);
    if (c->token.n == 0 || now - c->token_ms >= TOKEN_LIFE_MS) {
        if (c->token.p) glim_wipe(c->token.p, c->token.n);
        glim_buf_clear(&c->token);
        rc = glim_jwt_bearer(glim_str_of(c->key), unix_ms(), &c->token, w->e);
        c->token_ms = now;
    }
    glim_buf_clear(&w->bearer);
    if (!rc && glim_buf_addv(&w->bearer, glim_buf_view(&c->token)))
        rc = glim_fail(w->e, GLIM_E_NOMEM, "a signed token");
    pthread_mutex_unlock(&c->lock);
    return rc;
}

static glim_err make_head(run *w, bool keyed, glim_headers *h)
{
    const glim_client *c = w->c;
    const glim_exchange *x = w->x;
    *h = (glim_headers){.n = 0};
    glim_headers_add(h, "User-Agent", GLIM_STR("glim"));
    glim_headers_add(h, "Accept", glim_str_of(x->accept ? x->accept : "application/json"));
    if (x->has_body)
        glim_headers_add(h, "Content-Type", GLIM_STR("application/json; charset=UTF-8"));
    if (!keyed) return GLIM_OK;
    glim_headers_add(h, "x-request-id", w->request_id);
    if (c->p->headers) c->p->headers(c, h);
    glim_err rc = take_bearer(w);
    if (rc) return rc;
    glim_str bearer = c->jwt ? glim_buf_view(&w->bearer) : glim_str_of(c->bearer);
    if (bearer.n) glim_headers_add(h, "Authorization", bearer);
    return GLIM_OK;
}

/* ---- an answer as it comes ------------------------------------------------------------------------------ */

static bool is_good(const glim_got *got)
{
    return got->status >= 200 && got->status < 300;
}

static glim_err on_head(void *user, const glim_got *got, glim_error *e)
{
    run *w = user;
    if (got->encoded)
        return glim_fail(e, GLIM_E_FORMAT,
                         "the answer is compressed, which was not asked for (status %d)",
                         got->status);
    if (!is_good(got)) return GLIM_OK;
    return w->x->begin ? w->x->begin(w->x->user, got, e) : GLIM_OK;
}

static glim_err on_data(void *user, glim_str bytes, bool *enough, glim_error *e)
{
    run *w = user;
    if (is_good(&w->got)) return w->x->data ? w->x->data(w->x->user, bytes, enough, e) : GLIM_OK;
    size_t room = w->bad.max - w->bad.n;
    *enough = bytes.n >= room; /* the rest of a refusal that long says nothing more */
    if (glim_buf_add(&w->bad, bytes.p, GLIM_MIN(bytes.n, room)))
        return glim_fail(e, GLIM_E_NOMEM, "the text of a refusal");
    return GLIM_OK;
}

/* ---- redirects --------------------------------------------------------------------------------------------- */

/* Whether the request goes on at got.redirect, which is put into w->url then. */
static glim_err follow(run *w, int n_hop)
{
    glim_url to, from;
    glim_error *e = w->e;
    const char *url = w->got.redirect;
    int status = w->got.status;
    const char *method = w->x->method;
    bool keyed = w->x->path.p != NULL, reads = strcmp(method, "GET") == 0;
    if (!url)
        return glim_fail(e, GLIM_E_REMOTE, "%s: status %d, and no address to go on to",
                         w->c->p->name, status);
    if (n_hop == REDIRECTS_MAX)
        return glim_fail(e, GLIM_E_REMOTE, "%s: redirected more than %d times", w->c->p->name,
                         REDIRECTS_MAX);
    glim_err rc = glim_url_read("redirect", glim_str_of(url), &to, e);
    if (rc) return GLIM_E_REMOTE;
    if (keyed && !glim_url_same_origin(&w->origin, &to))
        return glim_fail(e, GLIM_E_REMOTE,
                         "%s: redirected to %s, another server, which must not get the key and is "
                         "not asked; if it is right, make it the base URL",
                         w->c->p->name, GLIM_QUOTE(glim_str_of(url)));
    rc = glim_url_read("url", glim_buf_view(&w->url), &from, e);
    if (rc) return rc;
    if (from.tls && !to.tls)
        return glim_fail(e, GLIM_E_REMOTE, "%s: redirected from https to http, which is not taken",
                         GLIM_QUOTE(glim_str_of(url)));
    if (status != 307 && status != 308 && !reads)
        return glim_fail(e, GLIM_E_REMOTE,
                         "%s: status %d would turn %s into GET; is the base URL right? it leads to "
                         "%s",
                         w->c->p->name, status, method, GLIM_QUOTE(glim_str_of(url)));
    glim_buf_clear(&w->url);
    return glim_buf_adds(&w->url, url) ? glim_fail(e, GLIM_E_NOMEM, "an address") : GLIM_OK;
}

/* ---- refusals ----------------------------------------------------------------------------------------------- */

/* One line: who said no, with what, to which request. */
static glim_err refuse(run *w, glim_err code)
{
    glim_client_report *r = &w->rep;
    char status[24] = "";
    if (r->status) snprintf(status, sizeof status, " status %d", r->status);
    return glim_fail(w->e, code, "%s:%s%s%s%s: %s (request %s%s)", w->c->p->name, status,
                     r->code[0] ? " code " : "", r->code,
                     r->fault == GLIM_FAULT_STREAM ? " in the stream" : "", r->message,
                     r->request_id, r->n_try > 1 ? ", after several tries" : "");
}

static void keep_remote(run *w, const glim_remote *m)
{
    glim_client_report *r = &w->rep;
    snprintf(r->code, sizeof r->code, "%s", m->code);
    snprintf(r->message, sizeof r->message, "%s", m->message);
    if (m->request_id[0]) snprintf(r->request_id, sizeof r->request_id, "%s", m->request_id);
}

/* What a status that is no success and no redirect says. */
static glim_err refused(run *w)
{
    glim_remote m = {.code = ""};
    glim_str body = glim_buf_view(&w->bad);
    w->rep.fault = fault_of_status(w->got.status);
    if (!glim_remote_read(body, &m)) {
        m = (glim_remote){.code = ""};
        body = glim_str_trim(body, " \t\r\n");
        if (body.n && body.p[0] != '<')
            glim_quote(body, m.message, 200); /* a page says nothing */
        else
            snprintf(m.message, sizeof m.message, "the server gives no reason");
    }
    keep_remote(w, &m);
    return refuse(w, GLIM_E_REMOTE);
}

/* ---- tries ----------------------------------------------------------------------------------------------------- */

static glim_err start_url(run *w)
{
    glim_buf_clear(&w->url);
    if (w->x->url) {
        glim_buf_adds(&w->url, w->x->url);
    } else {
        glim_buf_adds(&w->url, w->c->base_url);
        glim_buf_addv(&w->url, w->x->path);
    }
    if (w->url.err) return glim_fail(w->e, w->url.err, "the address to ask is too long");
    return glim_url_read("url", glim_buf_view(&w->url), &w->origin, w->e);
}

/* One request as the address stands. */
static glim_err send_once(run *w)
{
    const glim_exchange *x = w->x;
    glim_headers h;
    glim_err rc = make_head(w, x->path.p != NULL, &h);
    if (rc) return rc;
    double timeout = w->call && w->call->timeout_s > 0 ? w->call->timeout_s : w->c->timeout_s;
    glim_send s = {.method = x->method,
                   .url = w->url.p,
                   .headers = h.v,
                   .n_header = h.n,
                   .has_body = x->has_body,
                   .body = x->body,
                   .form = x->form,
                   .n_form = x->n_form,
                   .timeout_s = timeout,
                   .between = x->between,
                   .cancel = w->call ? w->call->cancel : NULL,
                   .head = on_head,
                   .data = on_data,
                   .user = w};
    glim_buf_clear(&w->bad);
    w->rep.n_try++;
    return glim_transport_send(&w->c->transport, &s, &w->got, w->e);
}

/* One try: the request, where it is sent on to, and what came of it. *heals: another try may do better. */
static glim_err try_once(run *w, bool *heals)
{
    const glim_exchange *x = w->x;
    glim_client_report *r = &w->rep;
    *r = (glim_client_report){.n_try = r->n_try, .retry_after_ms = -1};
    snprintf(r->request_id, sizeof r->request_id, "%.*s", (int)GLIM_MIN(w->request_id.n, 128),
             w->request_id.p);
    *heals = false;
    glim_err rc = start_url(w);
    for (int n_hop = 0; !rc; n_hop++) {
        rc = send_once(w);
        if (rc || w->got.status < 300 || w->got.status >= 400) break;
        rc = follow(w, n_hop);
        if (rc) {
            r->status = w->got.status;
            r->fault = GLIM_FAULT_STATUS;
            keep_message(r, w->e->msg);
            return rc;
        }
    }
    r->status = w->got.status;
    r->retry_after_ms = w->got.retry_after_ms;
    if (w->got.request_id[0])
        snprintf(r->request_id, sizeof r->request_id, "%s", w->got.request_id);
    if (!rc && !is_good(&w->got)) {
        rc = refused(w);
        if (rc == GLIM_E_REMOTE)
            *heals = glim_retry_status(r->status, r->code, w->got.should_retry);
        return rc;
    }
    if (!rc && x->end) rc = x->end(x->user, w->e);
    if (!rc) return GLIM_OK;
    if (rc == GLIM_E_REMOTE && x->remote) {
        keep_remote(w, x->remote);
        r->fault = GLIM_FAULT_STREAM;
        return refuse(w, rc);
    }
    r->fault = fault_of_error(rc);
    keep_message(r, w->e->msg);
    *heals = (rc == GLIM_E_NETWORK || rc == GLIM_E_TIMEOUT) && w->got.may_heal;
    return rc;
}

static double chance(glim_client *c)
{
    pthread_mutex_lock(&c->lock);
    double v = glim_rng_f64(&c->rng);
    pthread_mutex_unlock(&c->lock);
    return v;
}

/* Waits before try i + 1; false: that is not to be. An error is a cancelled wait. */
static bool wait_for_next(run *w, int i, glim_err *rc)
{
    glim_client *c = w->c;
    const glim_client_report *r = &w->rep;
    if (i >= c->n_retry || (w->x->delivered && *w->x->delivered)) return false;
    if (r->retry_after_ms > c->retry_wait_max_ms) return false;
    int64_t wait = glim_retry_wait(c->p->wait_ms, i, chance(c), r->retry_after_ms);
    GLIM_DEBUG("client", "retry", "provider=%s fault=%s status=%d try=%d wait_ms=%lld", c->p->name,
               glim_fault_name(r->fault), r->status, r->n_try, (long long)wait);
    if (c->on_retry && !c->on_retry(c->user, r, wait)) return false;
    glim_err cancelled = glim_cancel_wait(w->call ? w->call->cancel : NULL, wait, w->e);
    if (cancelled) {
        w->rep.fault = GLIM_FAULT_LOCAL;
        *rc = cancelled;
    }
    return !cancelled;
}

/* The id of a request: the caller's, within what the provider takes; else one of our own. */
static glim_err choose_id(run *w)
{
    const char *given = w->call ? w->call->request_id : NULL;
    const glim_provider *p = w->c->p;
    if (!given) {
        uint8_t bytes[12];
        glim_err rc = glim_random(bytes, sizeof bytes, w->e);
        if (rc) return rc;
        memcpy(w->id, "glim-", 5);
        glim_hex(bytes, sizeof bytes, w->id + 5);
        w->request_id = glim_str_of(w->id);
        return GLIM_OK;
    }
    glim_str s = glim_str_of(given);
    bool ok = s.n >= p->id_min && s.n <= p->id_max;
    for (size_t i = 0; ok && i < s.n; i++)
        ok = s.p[i] >= 0x21 && s.p[i] <= 0x7e;
    if (!ok)
        return glim_fail(w->e, GLIM_E_INPUT,
                         "request_id: %s: %s takes %zu to %zu visible ASCII characters",
                         GLIM_QUOTE(s), p->name, p->id_min, p->id_max);
    w->request_id = s;
    return GLIM_OK;
}

glim_err glim_exchange_run(glim_client *c, const glim_exchange *x, const glim_call *call,
                           glim_error *e)
{
    run w = {.c = c, .x = x, .call = call, .e = e};
    int n_before = call && call->report ? call->report->n_try : 0;
    if (call && !(call->timeout_s >= 0 && call->timeout_s <= 1e7))
        return glim_fail(e, GLIM_E_INPUT, "timeout_s: %g; 0 (the client's) to 1e7",
                         call->timeout_s);
    if (call && glim_cancel_is(call->cancel)) return glim_fail(e, GLIM_E_CANCELLED, "cancelled");
    glim_buf_init(&w.url, 16384);
    glim_buf_init(&w.bearer, GLIM_JWT_MAX);
    glim_buf_init(&w.bad, ERROR_BODY_MAX);
    glim_err rc = choose_id(&w);
    bool heals = false;
    for (int i = 0; !rc; i++) {
        rc = try_once(&w, &heals);
        if (!rc || !heals || !wait_for_next(&w, i, &rc)) break;
        rc = GLIM_OK;
    }
    if (call && call->report) {
        *call->report = w.rep;
        call->report->n_try += n_before;
        if (rc && w.rep.fault == GLIM_FAULT_LOCAL) keep_message(call->report, e->msg);
    }
    glim_free(w.got.redirect);
    glim_buf_deinit(&w.url);
    if (w.bearer.p) glim_wipe(w.bearer.p, w.bearer.n);
    glim_buf_deinit(&w.bearer);
    glim_buf_deinit(&w.bad);
    return rc;
}

/* ---- what a provider has ------------------------------------------------------------------------------------------ */

glim_err glim_op_path(const glim_client *c, glim_op op, const char *name, glim_str *out,
                      glim_error *e)
{
    if (!c->p->path[op]) return glim_fail(e, GLIM_E_UNSUPPORTED, "%s has no %s", c->p->name, name);
    *out = glim_str_of(c->p->path[op]);
    return GLIM_OK;
}

glim_err glim_op_model(const glim_client *c, glim_op op, const char *given, glim_str *out,
                       glim_error *e)
{
    bool chats = op == GLIM_OP_CHAT || op == GLIM_OP_CHAT_LATER || op == GLIM_OP_COUNT_TOKENS;
    const char *name = given ? given : chats && c->model ? c->model : c->p->model[op];
    if (!name && c->model) name = c->model;
    if (!name)
        return glim_fail(e, GLIM_E_INPUT, "model: %s has none of its own for this; name one",
                         c->p->name);
    *out = glim_str_of(name);
    if (!glim_utf8_valid(*out, NULL))
        return glim_fail(e, GLIM_E_INPUT, "model: %s is no UTF-8", GLIM_QUOTE(*out));
    return GLIM_OK;
}
