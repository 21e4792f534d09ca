/* SPDX-License-Identifier: MIT
 * openai_reply.c - events to chat completions, whole or chunk by chunk; OpenAI's, Zhipu's and the
 * FastAPI server's mounts share it.
 * Owns:   the order of a stream (role; thought; answer; calls; reason), where a thought goes, and
 *         that what a stream says joins to what a whole body says.
 * Not here: ids, usage and frames (reply.c), probabilities (logprobs.c).
 * Thread: one at a time for a reply.
 * Fails:  NOMEM, LIMIT, STATE (a choice that does not exist); out then ends where it ended before.
 * See:    tests/unit/api/test_openai_reply.c */
#include "api/reply_priv.h"

#include <inttypes.h>

const glim_reply_style glim_style_openai_chat = {
    .object = "chat.completion", .chunk_object = "chat.completion.chunk", .id_prefix = "chatcmpl-"};
/* Zhipu's ids have no prefix; an asynchronous answer is asked for by the same id. */
const glim_reply_style glim_style_zhipu_chat = {.object = "chat.completion",
                                                .chunk_object = "chat.completion.chunk",
                                                .id_prefix = "",
                                                .zhipu = true};
const glim_reply_style glim_style_legacy_chat = {.object = "chat.completion",
                                                 .chunk_object = "chat.completion.chunk",
                                                 .id_prefix = "chatcmpl-",
                                                 .legacy = true};

/* ---- probabilities --------------------------------------------------------------------------- */

enum { LP_CONTENT, LP_REASONING };

/* Entries whose text is in text, appended to one of the choice's lists. An inline thought is
 * content. */
static void take_logprobs(glim_reply *r, glim_choice *c, glim_str text, bool thought)
{
    if (!r->rq->logprobs) return;
    glim_buf *list = &c->lp[thought && !r->rq->inline_reasoning ? LP_REASONING : LP_CONTENT];
    const glim_lp_entry *e;
    const char *begin;
    while ((e = glim_lp_take(&c->queue, thought, &text, &begin)) != NULL) {
        if (list->n) glim_buf_addc(list, ',');
        glim_buf_addv(list, glim_lp_json(&c->queue, e));
    }
}

/* ,"logprobs": what the choice's lists hold. */
static void put_logprobs(glim_reply *r, glim_choice *c, bool any, glim_buf *out)
{
    if (!r->rq->logprobs || !any) {
        if (!r->style->zhipu && !glim_reply_is_lean(r)) glim_buf_adds(out, ",\"logprobs\":null");
        return;
    }
    glim_buf_adds(out, ",\"logprobs\":{\"content\":[");
    glim_buf_addv(out, glim_buf_view(&c->lp[LP_CONTENT]));
    glim_buf_adds(out, "],\"refusal\":null");
    if (c->lp[LP_REASONING].n) {
        glim_buf_adds(out, ",\"reasoning_content\":[");
        glim_buf_addv(out, glim_buf_view(&c->lp[LP_REASONING]));
        glim_buf_addc(out, ']');
    }
    glim_buf_addc(out, '}');
    glim_buf_cut(&c->lp[LP_CONTENT], 0);
    glim_buf_cut(&c->lp[LP_REASONING], 0);
}

/* ---- chunks ---------------------------------------------------------------------------------- */

static size_t index_of(const glim_reply *r, const glim_choice *c)
{
    return (size_t)(c - r->choices);
}

/* Up to the delta's first member. The FastAPI server's readers take content and function_call out of
 * every delta without looking. */
static void begin_delta(glim_reply *r, const glim_choice *c, bool content, glim_buf *out)
{
    glim_reply_chunk(r, index_of(r, c), out);
    glim_buf_adds(out, ",\"delta\":{");
    if (r->style->legacy) glim_buf_adds(out, "\"function_call\":null,");
    if (r->style->legacy && !content) glim_buf_adds(out, "\"content\":\"\",");
}

static void end_delta(glim_reply *r, glim_choice *c, bool logprobs, glim_buf *out)
{
    glim_buf_addc(out, '}');
    put_logprobs(r, c, logprobs, out);
    glim_reply_finish(r, NULL, out);
    glim_reply_chunk_end(r, false, out);
}

static void send_role(glim_reply *r, glim_choice *c, glim_buf *out)
{
    if (c->begun) return;
    c->begun = true;
    begin_delta(r, c, true, out);
    glim_buf_adds(out, "\"role\":\"assistant\",\"content\":\"\",\"reasoning_content\":null");
    end_delta(r, c, false, out);
}

static void send_text(glim_reply *r, glim_choice *c, glim_str text, bool reasoning, glim_buf *out)
{
    begin_delta(r, c, !reasoning, out);
    glim_buf_adds(out, reasoning ? "\"reasoning_content\":" : "\"content\":");
    glim_json_quote(out, text);
    /* The key is always there: clients ask for the attribute without looking. */
    if (!reasoning) glim_buf_adds(out, ",\"reasoning_content\":null");
    end_delta(r, c, true, out);
}

/* One element of tool_calls. */
static void put_call(glim_choice *c, size_t i_call, glim_str arguments, glim_buf *out)
{
    glim_buf_addf(out, "{\"index\":%zu,\"id\":", i_call);
    glim_json_quote(out, glim_buf_view(&c->call_id));
    glim_buf_adds(out, ",\"type\":\"function\",\"function\":{\"name\":");
    glim_json_quote(out, glim_buf_view(&c->call_name));
    glim_buf_adds(out, ",\"arguments\":");
    glim_json_quote(out, arguments);
    glim_buf_adds(out, "}}");
}

static void send_call(glim_reply *r, glim_choice *c, glim_str arguments, glim_buf *out)
{
    begin_delta(r, c, false, out);
    glim_buf_adds(out, "\"reasoning_content\":null,\"tool_calls\":[");
    put_call(c, c->n_call++, arguments, out);
    glim_buf_addc(out, ']');
    end_delta(r, c, false, out);
}

static void send_arguments(glim_reply *r, glim_choice *c, glim_str piece, glim_buf *out)
{
    begin_delta(r, c, false, out);
    glim_buf_addf(out,
                  "\"reasoning_content\":null,\"tool_calls\":[{\"index\":%zu,\"function\":"
                  "{\"arguments\":",
                  c->n_call - 1);
    glim_json_quote(out, piece);
    glim_buf_adds(out, "}}]");
    end_delta(r, c, false, out);
}

/* ---- text ------------------------------------------------------------------------------------ */

/* Text that goes to the content or, of a thought that stands apart, to its own field. */
static void say(glim_reply *r, glim_choice *c, glim_str text, bool thought, glim_buf *out)
{
    bool apart = thought && !r->rq->inline_reasoning;
    if (text.n == 0) return;
    take_logprobs(r, c, text, thought);
    if (r->rq->stream)
        send_text(r, c, text, apart, out);
    else
        glim_buf_addv(apart ? &c->reasoning : &c->content, text);
}

static void say_tag(glim_reply *r, glim_choice *c, glim_str tag, glim_buf *out)
{
    if (r->rq->stream)
        send_text(r, c, tag, false, out);
    else
        glim_buf_addv(&c->content, tag);
}

static void think(glim_reply *r, glim_choice *c, glim_str text, glim_buf *out)
{
    if (text.n && r->rq->inline_reasoning && !c->tag_open) {
        c->tag_open = true;
        say_tag(r, c, GLIM_STR("<think>"), out);
    }
    say(r, c, text, true, out);
}

/* What was held back of a thought goes out in one piece. */
static void release_thought(glim_reply *r, glim_choice *c, glim_buf *out)
{
    if (!r->rq->stream || c->reasoning.n == 0) return;
    think(r, c, glim_buf_view(&c->reasoning), out);
    glim_buf_cut(&c->reasoning, 0);
}

static void on_reasoning(glim_reply *r, glim_choice *c, glim_str text, glim_buf *out)
{
    if (r->rq->stream && r->rq->hold_reasoning)
        glim_buf_addv(&c->reasoning, text);
    else
        think(r, c, text, out);
}

static void end_thought(glim_reply *r, glim_choice *c, glim_buf *out)
{
    release_thought(r, c, out);
    if (!c->tag_open) return;
    c->tag_open = false;
    say_tag(r, c, GLIM_STR("</think>"), out);
}

/* ---- calls ----------------------------------------------------------------------------------- */

static bool announces(const glim_reply *r)
{
    return r->rq->stream && r->rq->tool_stream;
}

static void on_call_begin(glim_reply *r, glim_choice *c, const glim_event *ev, glim_buf *out)
{
    end_thought(r, c, out);
    glim_buf_cut(&c->args, 0);
    glim_buf_cut(&c->keys, 0);
    glim_reply_call(r, c, ev);
    c->call_open = announces(r);
    if (c->call_open) send_call(r, c, GLIM_STR(""), out);
}

/* Is the quoted key at the end of args, from at on, one that was sent before? */
static bool key_is_out(const glim_choice *c, size_t at)
{
    const size_t *span = (const size_t *)(const void *)c->keys.p;
    for (size_t i = 0; i + 1 < c->keys.n / sizeof *span; i += 2)
        if (span[i + 1] == c->args.n - at &&
            memcmp(c->args.p + span[i], c->args.p + at, span[i + 1]) == 0)
            return true;
    return false;
}

/* A key given twice is sent once: JSON with a key twice is none that every reader takes, and the
 * first value is out already. */
static void on_call_arg(glim_reply *r, glim_choice *c, const glim_event *ev, glim_buf *out)
{
    if (!c->call_open) return;
    size_t begin = c->args.n;
    glim_buf_addc(&c->args, begin ? ',' : '{');
    size_t span[2] = {c->args.n, 0};
    glim_json_quote(&c->args, ev->key);
    if (c->args.err) return;
    if (key_is_out(c, span[0])) {
        glim_buf_cut(&c->args, begin);
        return;
    }
    span[1] = c->args.n - span[0];
    glim_buf_add(&c->keys, span, sizeof span);
    glim_buf_addc(&c->args, ':');
    glim_buf_addv(&c->args, ev->text);
    if (!c->args.err)
        send_arguments(r, c, glim_str_sub(glim_buf_view(&c->args), begin, c->args.n), out);
}

static void on_call_end(glim_reply *r, glim_choice *c, const glim_event *ev, glim_buf *out)
{
    c->n_whole++;
    glim_lp_clear(&c->queue); /* a call's tokens are no content */
    if (c->call_open) {
        glim_str rest = ev->text;
        if (glim_str_starts(ev->text, glim_buf_view(&c->args)))
            rest = glim_str_sub(ev->text, c->args.n, ev->text.n);
        else
            rest = c->args.n ? GLIM_STR("}") : rest;
        if (rest.n) send_arguments(r, c, rest, out);
        c->call_open = false;
    } else if (r->rq->stream) {
        send_call(r, c, ev->text, out);
    } else {
        if (c->calls.n) glim_buf_addc(&c->calls, ',');
        put_call(c, c->n_call++, ev->text, &c->calls);
    }
}

/* What was announced in a stream stays as it is, incomplete; elsewhere the text is shown as what it
 * is. */
static void on_call_broken(glim_reply *r, glim_choice *c, const glim_event *ev, glim_buf *out)
{
    c->broken = true;
    if (c->call_open) {
        c->call_open = false;
        glim_lp_clear(&c->queue);
    } else if (ev->in_reasoning) {
        think(r, c, ev->text, out);
    } else {
        say(r, c, ev->text, false, out);
    }
}

/* ---- the end --------------------------------------------------------------------------------- */

static void on_stop(glim_reply *r, glim_choice *c, const glim_event *ev, glim_buf *out)
{
    release_thought(r, c, out);
    glim_lp_clear(&c->queue);
    glim_reply_stop(r, c, ev);
    if (!r->rq->stream) return;
    begin_delta(r, c, r->style->zhipu, out);
    glim_buf_adds(out, r->style->zhipu ? "\"content\":\"\",\"reasoning_content\":null}"
                                       : "\"reasoning_content\":null}");
    put_logprobs(r, c, false, out);
    glim_reply_finish(r, c, out);
    glim_reply_chunk_end(r, r->n_stopped == r->n_choice, out);
}

glim_err glim_chat_reply_event(glim_reply *r, size_t i_choice, const glim_event *ev, glim_buf *out)
{
    glim_err rc;
    size_t n_before = out->n;
    glim_choice *c = glim_reply_choice(r, i_choice, ev, &rc);
    if (!c) return rc;
    if (ev->kind == GLIM_EV_LOGPROBS) {
        glim_lp_push(&c->queue, ev, GLIM_LP_CHAT);
        return glim_reply_err(r, c, out);
    }
    if (r->rq->stream) {
        send_role(r, &r->choices[0], out); /* clients take the first chunk for choice 0 */
        send_role(r, c, out);
    }
    switch (ev->kind) {
    case GLIM_EV_REASONING:
        on_reasoning(r, c, ev->text, out);
        break;
    case GLIM_EV_CONTENT:
        if (ev->text.n) end_thought(r, c, out);
        say(r, c, ev->text, false, out);
        break;
    case GLIM_EV_CALL_BEGIN:
        on_call_begin(r, c, ev, out);
        break;
    case GLIM_EV_CALL_ARG:
        on_call_arg(r, c, ev, out);
        break;
    case GLIM_EV_CALL_END:
        on_call_end(r, c, ev, out);
        break;
    case GLIM_EV_CALL_BROKEN:
        on_call_broken(r, c, ev, out);
        break;
    case GLIM_EV_STOP:
        on_stop(r, c, ev, out);
        break;
    case GLIM_EV_PROGRESS:
    case GLIM_EV_LOGPROBS:
        break;
    }
    rc = glim_reply_err(r, c, out);
    if (rc) glim_buf_cut(out, n_before); /* no half of a frame */
    return rc;
}

static void put_message(const glim_reply *r, const glim_choice *c, glim_buf *out)
{
    glim_buf_adds(out, ",\"message\":{\"role\":\"assistant\",\"content\":");
    if (c->content.n == 0 && c->n_call)
        glim_buf_adds(out, "null");
    else
        glim_json_quote(out, glim_buf_view(&c->content));
    if (!r->style->zhipu) glim_buf_adds(out, ",\"refusal\":null");
    glim_buf_adds(out, ",\"reasoning_content\":");
    if (c->reasoning.n)
        glim_json_quote(out, glim_buf_view(&c->reasoning));
    else
        glim_buf_adds(out, "null");
    if (c->n_call) {
        glim_buf_adds(out, ",\"tool_calls\":[");
        glim_buf_addv(out, glim_buf_view(&c->calls));
        glim_buf_addc(out, ']');
    }
    glim_buf_addc(out, '}');
}

glim_err glim_chat_reply_end(glim_reply *r, glim_buf *out)
{
    if (r->rq->stream) return glim_reply_done(r, out);
    glim_reply_body(r, out);
    for (size_t i = 0; i < r->n_choice; i++) {
        glim_choice *c = &r->choices[i];
        glim_buf_addf(out, "%s{\"index\":%zu", i ? "," : "", i);
        put_message(r, c, out);
        put_logprobs(r, c, true, out);
        glim_reply_finish(r, c, out);
        glim_buf_addc(out, '}');
    }
    glim_reply_body_end(r, out);
    return out->err;
}

/* ---- OpenAI's row ---------------------------------------------------------------------------- */

static glim_reply *reply_new(const glim_request *rq, const glim_reply_info *info)
{
    return glim_reply_new(&glim_style_openai_chat, rq, info);
}

const glim_dialect glim_dialect_openai_chat = {.name = "openai_chat",
                                               .stream_type = GLIM_SSE_TYPE,
                                               .keepalive = glim_sse_keepalive,
                                               .decode = glim_openai_chat_decode_body,
                                               .reply_new = reply_new,
                                               .reply_free = glim_reply_free,
                                               .event = glim_chat_reply_event,
                                               .end = glim_chat_reply_end,
                                               .problem = glim_problem_openai,
                                               .stream_problem = glim_api_stream_problem_openai,
                                               .status = glim_problem_status};
