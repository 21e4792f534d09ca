/* SPDX-License-Identifier: MIT
 * chat.c - a conversation asked of another server: request, stream or whole answer, the engine's events.
 * Not here: the JSON of either side (api: ask_*.c, hear_*.c), frames of a stream (api: frames.c).
 * Thread: any; events come on the caller's thread.
 * Fails:  as client.h says. Once an event was delivered nothing is tried again.   See: tests/client */
#include "client/client_priv.h"

#define BODY_MAX ((size_t)512 << 20)

void glim_client_ask_init(glim_client_ask *a)
{
    *a = (glim_client_ask){.size = sizeof *a};
    a->chat.think = GLIM_UNSET;
    a->chat.keep_old = GLIM_UNSET;
    glim_gen_opts_init(&a->gen);
}

/* ---- the request ---------------------------------------------------------------------------------- */

static glim_err check_object(const char *what, glim_str json, glim_error *e)
{
    if (json.n == 0) return GLIM_OK;
    glim_json *v = NULL;
    glim_arena *a = glim_arena_new(SIZE_MAX / 2);
    if (!a) return glim_fail(e, GLIM_E_NOMEM, "%s", what);
    glim_err rc = glim_json_parse(a, json, &v, e);
    if (rc)
        glim_error_prefix(e, "%s", what);
    else if (v->type != GLIM_JSON_OBJECT)
        rc = glim_fail(e, GLIM_E_INPUT, "%s: %s and not an object", what,
                       glim_json_type_name(v->type));
    glim_arena_free(a);
    return rc;
}

/* What the caller gave as JSON text stands in the body as it is: the whole must be JSON, or nothing is sent. */
static glim_err check_body(glim_str body, glim_error *e)
{
    glim_json_reader r;
    glim_json_tok tok = GLIM_JT_NULL;
    glim_str text;
    glim_err rc = GLIM_OK;
    glim_json_reader_init(&r, body);
    while (!rc && tok != GLIM_JT_END)
        rc = glim_json_next(&r, &tok, &text, e);
    glim_json_reader_deinit(&r);
    if (rc) glim_error_prefix(e, "the request would be no JSON; is every part and tool?");
    return rc;
}

glim_err glim_chat_body(const glim_client *c, const glim_client_ask *given, glim_op op, bool stream,
                        const glim_call *call, glim_buf *out, glim_error *e)
{
    glim_client_ask a;
    glim_ask ask = {.stream = stream};
    glim_client_ask_init(&a);
    memcpy(&a, given, GLIM_MIN(given->size, sizeof a));
    if (a.chat.n_message == 0)
        return glim_fail(e, GLIM_E_INPUT, "messages: none; a chat needs at least one");
    glim_err rc = glim_op_model(c, op, a.model, &ask.model, e);
    if (!rc) rc = check_object("meta", a.meta, e);
    if (!rc) rc = check_object("extra", a.extra, e);
    if (rc) return rc;
    ask.chat = &a.chat;
    ask.gen = &a.gen;
    ask.json_object = a.json_object;
    ask.meta = a.meta;
    ask.extra = a.extra;
    ask.user_id = glim_str_of(a.user_id);
    ask.request_id = glim_str_of(call ? call->request_id : NULL);
    glim_buf_init(out, BODY_MAX);
    rc = c->p->wire->ask(&ask, out, e);
    if (!rc && out->err) rc = glim_fail(e, out->err, "the request: %s", glim_strerror(out->err));
    if (!rc) rc = check_body(glim_buf_view(out), e);
    if (rc) glim_buf_deinit(out);
    return rc;
}

/* ---- the answer -------------------------------------------------------------------------------------- */

typedef struct talk {
    const glim_client *c;
    glim_ask ask; /* what hear reads of it */
    glim_event_fn fn;
    void *user;
    bool delivered, over;
    bool whole; /* the answer comes in one piece */
    glim_hear *hear;
    glim_frames *frames;
    glim_buf body;
    glim_err rc; /* of a frame; then e is filled */
    glim_error *e;
    glim_remote remote;
} talk;

static bool on_event(void *user, const glim_event *ev)
{
    talk *t = user;
    t->delivered = true;
    return t->fn ? t->fn(t->user, ev) : true;
}

static bool on_frame(void *user, glim_str name, glim_str data)
{
    talk *t = user;
    (void)name; /* what an error event says is in its data */
    if (t->over) return true;
    t->rc = t->c->p->wire->hear(t->hear, data, false, &t->over, &t->remote, t->e);
    return t->rc == GLIM_OK;
}

static bool streams(const glim_wire_dialect *w, const char *type)
{
    return strcmp(type, w->lines ? "application/x-ndjson" : "text/event-stream") == 0;
}

static void talk_clear(talk *t)
{
    if (t->hear) t->c->p->wire->hear_free(t->hear);
    glim_frames_free(t->frames);
    t->hear = NULL;
    t->frames = NULL;
    glim_buf_clear(&t->body);
    t->over = false;
    t->rc = GLIM_OK;
}

static glim_err talk_begin(void *user, const glim_got *got, glim_error *e)
{
    talk *t = user;
    const glim_wire_dialect *wire = t->c->p->wire;
    talk_clear(t);
    t->e = e;
    /* Some servers answer in one piece whatever was asked for. */
    t->whole = !t->ask.stream || (!streams(wire, got->type) && glim_type_is_json(got->type));
    if (!(t->whole ? glim_type_is_json(got->type) : streams(wire, got->type)))
        return glim_fail(e, GLIM_E_FORMAT, "the answer is %s and not %s; is the base URL right?",
                         got->type[0] ? GLIM_QUOTE(glim_str_of(got->type)) : "of no type",
                         !t->ask.stream ? "application/json"
                         : wire->lines  ? "application/x-ndjson"
                                        : "text/event-stream");
    t->hear = wire->hear_new(&t->ask, on_event, t);
    if (t->hear && !t->whole) t->frames = glim_frames_new(wire->lines, t->body.max, on_frame, t);
    if (!t->hear || (!t->whole && !t->frames)) return glim_fail(e, GLIM_E_NOMEM, "an answer");
    return GLIM_OK;
}

static glim_err talk_data(void *user, glim_str bytes, bool *enough, glim_error *e)
{
    talk *t = user;
    if (t->whole) {
        glim_err rc = glim_buf_addv(&t->body, bytes);
        if (rc == GLIM_E_LIMIT)
            return glim_fail(e, rc, "the answer has more than %zu bytes", t->body.max);
        return rc ? glim_fail(e, rc, "the answer") : GLIM_OK;
    }
    glim_error frame = {0};
    glim_err rc = glim_frames_feed(t->frames, bytes, &frame);
    if (t->rc) return t->rc; /* of the frame itself: e is filled */
    if (rc) *e = frame;
    /* A failure that the server reports ends the stream; the rest does not count, and the connection may live. */
    *enough = t->over;
    return rc;
}

static glim_err talk_end(void *user, glim_error *e)
{
    talk *t = user;
    const glim_wire_dialect *wire = t->c->p->wire;
    bool cut = false;
    glim_err rc = GLIM_OK;
    t->e = e;
    if (t->whole) {
        glim_str body = t->body.p ? glim_buf_view(&t->body) : GLIM_STR("");
        rc = wire->hear(t->hear, body, true, &t->over, &t->remote, e);
    } else if (!t->over) {
        glim_error frame = {0};
        rc = glim_frames_end(t->frames, &cut, &frame);
        if (t->rc) return t->rc;
        if (rc) *e = frame;
    }
    if (!rc) rc = wire->hear_end(t->hear, e);
    if (rc == GLIM_E_FORMAT && cut) glim_error_prefix(e, "the last event was not whole");
    return rc;
}

glim_err glim_client_chat(glim_client *c, const glim_client_ask *ask, glim_event_fn fn, void *user,
                          const glim_call *call, glim_error *e)
{
    glim_error own;
    glim_buf body = {0};
    glim_exchange x = {.method = "POST", .has_body = true, .between = !ask->whole};
    talk t = {.c = c, .fn = fn, .user = user, .ask = {.stream = !ask->whole}};
    e = glim_answer_begin(call, e, &own);
    glim_err rc = glim_op_path(c, GLIM_OP_CHAT, "chat", &x.path, e);
    if (!rc) rc = glim_op_model(c, GLIM_OP_CHAT, ask->model, &t.ask.model, e);
    if (!rc) rc = glim_chat_body(c, ask, GLIM_OP_CHAT, !ask->whole, call, &body, e);
    if (rc) return glim_answer_end(call, rc, e);
    glim_buf_init(&t.body, (size_t)GLIM_MIN(c->reply_max, (uint64_t)SIZE_MAX / 2));
    t.ask.chat = &ask->chat;
    t.ask.gen = &ask->gen;
    x.body = glim_buf_view(&body);
    x.accept = ask->whole          ? "application/json"
               : c->p->wire->lines ? "application/x-ndjson, application/json"
                                   : "text/event-stream, application/json";
    x.begin = talk_begin;
    x.data = talk_data;
    x.end = talk_end;
    x.user = &t;
    x.delivered = &t.delivered;
    x.remote = &t.remote;
    rc = glim_exchange_run(c, &x, call, e);
    talk_clear(&t);
    glim_buf_deinit(&t.body);
    glim_buf_deinit(&body);
    return glim_answer_end(call, rc, e);
}
