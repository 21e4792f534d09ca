/* SPDX-License-Identifier: MIT
 * small.c - calls that need little: counting tokens, searching, reading a page, names of models, any other path.
 * Thread: any.   Fails: as client.h says.   See: api.md 4.2 */
#include "client/client_priv.h"

#define BODY_MAX ((size_t)512 << 20)
#define NAMES_MAX 10000

/* ---- counting ------------------------------------------------------------------------------------- */

/* Of a chat's request, what the counting path takes. */
static glim_err counting_body(glim_str chat, glim_buf *out, glim_error *e)
{
    static const char *const members[] = {"model",    "messages",   "tools",
                                          "thinking", "request_id", "user_id"};
    glim_json *v = NULL;
    glim_jw w;
    glim_arena *a = glim_arena_new(SIZE_MAX / 2);
    if (!a) return glim_fail(e, GLIM_E_NOMEM, "a request");
    glim_err rc = glim_json_parse(a, chat, &v, e);
    if (!rc) {
        glim_jw_init(&w, out);
        glim_jw_object(&w);
        for (size_t i = 0; i < GLIM_COUNT(members); i++) {
            const glim_json *m = glim_json_get(v, members[i]);
            if (!m) continue;
            glim_jw_key(&w, members[i]);
            if (m->type == GLIM_JSON_STRING)
                glim_jw_str(&w, m->text);
            else
                glim_jw_raw(&w, m->text);
        }
        glim_jw_object_end(&w);
        if (out->err) rc = glim_fail(e, out->err, "the request: %s", glim_strerror(out->err));
    }
    glim_arena_free(a);
    return rc;
}

glim_err glim_client_count(glim_client *c, const glim_client_ask *ask, const glim_call *call,
                           int64_t *n_token, glim_error *e)
{
    glim_error own;
    glim_buf chat = {0}, body;
    glim_doc d = {.arena = NULL};
    glim_exchange x = {.method = "POST", .has_body = true};
    e = glim_answer_begin(call, e, &own);
    *n_token = 0;
    glim_buf_init(&body, BODY_MAX);
    glim_err rc = glim_op_path(c, GLIM_OP_COUNT_TOKENS, "counting of tokens", &x.path, e);
    if (!rc) rc = glim_chat_body(c, ask, GLIM_OP_COUNT_TOKENS, false, call, &chat, e);
    if (!rc) rc = counting_body(glim_buf_view(&chat), &body, e);
    x.body = glim_buf_view(&body);
    if (!rc) rc = glim_doc_get(c, &x, call, &d, e);
    if (!rc) {
        const glim_json *usage = glim_json_get(d.root, "usage");
        if (!glim_json_i64(glim_json_get(usage, "prompt_tokens"), n_token) || *n_token < 0) {
            *n_token = 0;
            rc = glim_fail(e, GLIM_E_FORMAT, "the answer has no usage.prompt_tokens");
        }
    }
    glim_doc_free(&d);
    glim_buf_deinit(&chat);
    glim_buf_deinit(&body);
    return glim_answer_end(call, rc, e);
}

/* ---- searching, reading ---------------------------------------------------------------------------------- */

static glim_err post_small(glim_client *c, glim_op op, const char *name, glim_buf *body,
                           const glim_call *call, glim_client_reply *out, glim_error *e)
{
    glim_exchange x = {.method = "POST", .has_body = true, .body = glim_buf_view(body)};
    glim_err rc = glim_op_path(c, op, name, &x.path, e);
    if (!rc && body->err) rc = glim_fail(e, body->err, "the request: %s", glim_strerror(body->err));
    if (!rc) rc = glim_reply_get(c, &x, true, call, out, e);
    glim_buf_deinit(body);
    return rc;
}

glim_err glim_client_search(glim_client *c, const char *engine, glim_str query, int64_t count,
                            const glim_call *call, glim_client_reply *out, glim_error *e)
{
    glim_error own;
    glim_buf body;
    glim_jw w;
    e = glim_answer_begin(call, e, &own);
    *out = (glim_client_reply){0};
    if (query.n == 0 || !glim_utf8_valid(query, NULL))
        return glim_answer_end(call, glim_fail(e, GLIM_E_INPUT, "query: empty, or no UTF-8"), e);
    glim_buf_init(&body, 1 << 20);
    glim_jw_init(&w, &body);
    glim_jw_object(&w);
    glim_jw_key(&w, "search_engine");
    glim_jw_str(&w, glim_str_of(engine ? engine : "search_std"));
    glim_jw_key(&w, "search_query");
    glim_jw_str(&w, query);
    if (count > 0) {
        glim_jw_key(&w, "count");
        glim_jw_i64(&w, count);
    }
    glim_jw_object_end(&w);
    return glim_answer_end(call, post_small(c, GLIM_OP_SEARCH, "search", &body, call, out, e), e);
}

glim_err glim_client_read_page(glim_client *c, const char *url, const glim_call *call,
                               glim_client_reply *out, glim_error *e)
{
    glim_error own;
    glim_url u;
    glim_buf body;
    glim_jw w;
    e = glim_answer_begin(call, e, &own);
    *out = (glim_client_reply){0};
    glim_err rc = glim_url_read("url", glim_str_of(url), &u, e);
    if (rc) return glim_answer_end(call, rc, e);
    glim_buf_init(&body, 65536);
    glim_jw_init(&w, &body);
    glim_jw_object(&w);
    glim_jw_key(&w, "url");
    glim_jw_str(&w, glim_str_of(url));
    glim_jw_object_end(&w);
    return glim_answer_end(call, post_small(c, GLIM_OP_READER, "reader", &body, call, out, e), e);
}

/* ---- models -------------------------------------------------------------------------------------------------- */

void glim_names_free(glim_names *v)
{
    if (!v) return;
    for (size_t i = 0; i < v->n; i++)
        glim_free((char *)(uintptr_t)v->p[i].p);
    glim_free(v->p);
    *v = (glim_names){0};
}

static glim_err take_names(const glim_provider *p, const glim_json *root, glim_names *out,
                           glim_error *e)
{
    const glim_json *list = glim_json_get(root, p->list_members[0]);
    if (glim_json_is(list, GLIM_JSON_NULL)) return GLIM_OK; /* Ollama without a model */
    if (!glim_json_is(list, GLIM_JSON_ARRAY) || list->n_child > NAMES_MAX)
        return glim_fail(e, GLIM_E_FORMAT, "the answer has no list \"%s\" of up to %d models",
                         p->list_members[0], NAMES_MAX);
    out->p = glim_alloc_array(list->n_child, sizeof *out->p);
    if (!out->p) return glim_fail(e, GLIM_E_NOMEM, "names of models");
    GLIM_JSON_EACH(m, list)
    {
        glim_str name = glim_member_str(m, p->list_members[1]);
        if (name.n == 0)
            return glim_fail(e, GLIM_E_FORMAT, "the answer's model %zu has no \"%s\"", out->n,
                             p->list_members[1]);
        out->p[out->n] = glim_str_keep(name);
        if (!out->p[out->n].p) return glim_fail(e, GLIM_E_NOMEM, "names of models");
        out->n++;
    }
    return GLIM_OK;
}

glim_err glim_client_models(glim_client *c, const glim_call *call, glim_names *out, glim_error *e)
{
    glim_error own;
    glim_doc d = {.arena = NULL};
    glim_exchange x = {.method = "GET"};
    e = glim_answer_begin(call, e, &own);
    *out = (glim_names){0};
    glim_err rc = glim_op_path(c, GLIM_OP_MODELS, "list of models", &x.path, e);
    if (!rc) rc = glim_doc_get(c, &x, call, &d, e);
    if (!rc) rc = take_names(c->p, d.root, out, e);
    glim_doc_free(&d);
    if (rc) glim_names_free(out);
    return glim_answer_end(call, rc, e);
}

/* ---- any other path ------------------------------------------------------------------------------------------- */

typedef struct raw_stream {
    const glim_client_raw *r;
    const glim_client *c;
    glim_frames *frames;
    bool lines, delivered, over, stopped;
    int status;
    char type[128];
} raw_stream;

static bool on_frame(void *user, glim_str name, glim_str data)
{
    raw_stream *s = user;
    (void)name;
    if (s->over) return true;
    if (!s->lines && glim_str_is(data, "[DONE]")) return s->over = true;
    s->delivered = true;
    s->stopped = !s->r->event(s->r->user, data);
    return !s->stopped;
}

static glim_err raw_begin(void *user, const glim_got *got, glim_error *e)
{
    raw_stream *s = user;
    glim_frames_free(s->frames);
    s->over = false;
    s->status = got->status;
    memcpy(s->type, got->type, sizeof s->type);
    s->lines = strcmp(got->type, "application/x-ndjson") == 0 || glim_type_is_json(got->type);
    s->frames = NULL;
    if (!s->lines && strcmp(got->type, "text/event-stream") != 0)
        return glim_fail(e, GLIM_E_FORMAT, "the answer is %s and no stream",
                         got->type[0] ? GLIM_QUOTE(glim_str_of(got->type)) : "of no type");
    s->frames = glim_frames_new(s->lines, (size_t)s->c->reply_max, on_frame, s);
    return s->frames ? GLIM_OK : glim_fail(e, GLIM_E_NOMEM, "an answer");
}

static glim_err raw_data(void *user, glim_str bytes, bool *enough, glim_error *e)
{
    raw_stream *s = user;
    glim_err rc = glim_frames_feed(s->frames, bytes, e);
    if (rc && s->stopped) return glim_fail(e, GLIM_E_CANCELLED, "cancelled");
    *enough = s->over;
    return rc;
}

static glim_err raw_end(void *user, glim_error *e)
{
    raw_stream *s = user;
    bool cut = false;
    if (s->over) return GLIM_OK;
    glim_err rc = glim_frames_end(s->frames, &cut, e);
    if (rc && s->stopped) return glim_fail(e, GLIM_E_CANCELLED, "cancelled");
    if (!rc && cut) rc = glim_fail(e, GLIM_E_FORMAT, "the stream ends in the middle of an event");
    return rc;
}

static glim_err check_raw(const glim_client_raw *r, glim_error *e)
{
    static const char *const methods[] = {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"};
    bool known = false;
    for (size_t i = 0; r->method && i < GLIM_COUNT(methods); i++)
        known = known || strcmp(r->method, methods[i]) == 0;
    if (!known)
        return glim_fail(e, GLIM_E_INPUT,
                         "method: %s is none of GET, POST, PUT, PATCH, DELETE, HEAD",
                         GLIM_QUOTE(glim_str_of(r->method)));
    if (r->body.n && r->n_form)
        return glim_fail(e, GLIM_E_INPUT, "body and form: only one of them can be sent");
    if (r->n_form && strcmp(r->method, "POST") != 0)
        return glim_fail(e, GLIM_E_INPUT, "form: only POST sends one");
    if (r->body.n && (strcmp(r->method, "GET") == 0 || strcmp(r->method, "HEAD") == 0))
        return glim_fail(e, GLIM_E_INPUT, "body: %s sends none", r->method);
    for (size_t i = 0; i < r->n_form; i++) {
        glim_str name = glim_str_of(r->form[i].name);
        bool ok = name.n > 0;
        for (size_t k = 0; ok && k < name.n; k++)
            ok = name.p[k] >= 0x20 && name.p[k] < 0x7f && name.p[k] != '"';
        if (!ok)
            return glim_fail(e, GLIM_E_INPUT, "form: %s is no name of a part", GLIM_QUOTE(name));
    }
    return glim_url_check_path(r->path, e);
}

glim_err glim_client_call(glim_client *c, const glim_client_raw *r, const glim_call *call,
                          glim_client_reply *out, glim_error *e)
{
    glim_error own;
    e = glim_answer_begin(call, e, &own);
    *out = (glim_client_reply){0};
    glim_err rc = check_raw(r, e);
    if (rc) return glim_answer_end(call, rc, e);
    glim_exchange x = {.method = r->method,
                       .path = glim_str_of(r->path),
                       .has_body = r->body.n > 0,
                       .body = r->body,
                       .form = r->form,
                       .n_form = r->n_form,
                       .between = r->event || r->n_form,
                       .accept = r->event ? "text/event-stream, application/json" : "*/*"};
    if (!r->event) return glim_answer_end(call, glim_reply_get(c, &x, false, call, out, e), e);
    raw_stream s = {.r = r, .c = c};
    x.begin = raw_begin;
    x.data = raw_data;
    x.end = raw_end;
    x.user = &s;
    x.delivered = &s.delivered;
    rc = glim_exchange_run(c, &x, call, e);
    glim_frames_free(s.frames);
    if (!rc) {
        out->status = s.status;
        out->body = glim_str_keep(GLIM_STR(""));
        out->type = glim_str_keep(glim_str_of(s.type));
        if (!out->body.p || !out->type.p) {
            glim_client_reply_free(out);
            rc = glim_fail(e, GLIM_E_NOMEM, "an answer");
        }
    }
    return glim_answer_end(call, rc, e);
}
