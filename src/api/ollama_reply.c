/* SPDX-License-Identifier: MIT
 * ollama_reply.c - events to Ollama's replies: one JSON object, or one a line (NDJSON), for
 * /api/generate and /api/chat; the rows of both.
 * Owns:   the lines, and what stands in the last one.
 * Not here: memory and ids of a reply (reply.c), probabilities (logprobs.c), requests
 *           (ollama_request.c).
 * Layout: {"model","created_at", what is said, "done", and with done true the counts}; what is said
 *         stands in "message" (chat) or in "response" and its neighbours (generate).
 * Thread: one at a time for a reply.
 * Fails:  NOMEM, LIMIT, STATE (a choice that does not exist); out then ends where it ended before.
 * See:    tests/unit/api/test_ollama_reply.c */
#include "api/ollama_priv.h"
#include "api/reply_priv.h"

#include <inttypes.h>

/* Objects of their own making; which of the two it is tells the routes apart. */
static const glim_reply_style style_chat = {.object = NULL}, style_generate = {.object = NULL};

/* ---- parts of an object ---------------------------------------------------------------------- */

typedef struct said {
    glim_str text, thought;
    glim_str calls; /* elements of tool_calls, JSON */
} said;

/* The time of each object: the reply's second, and what went by since. */
static void put_head(const glim_reply_info *info, glim_buf *out)
{
    uint64_t past = info->t0_ns ? glim_now_ns() - info->t0_ns : 0;
    int64_t s = info->created_s + (int64_t)(past / 1000000000u);
    char text[GLIM_OLLAMA_TIME_BYTES];
    glim_buf_adds(out, "{\"model\":");
    glim_json_quote(out, info->model);
    glim_buf_addf(out, ",\"created_at\":\"%s\"",
                  glim_ollama_time(s, (uint32_t)(past % 1000000000u), text));
}

/* Clients read the text unguarded: it is there even when it is empty. */
static void put_said(bool chat, const said *s, glim_buf *out)
{
    glim_buf_adds(out,
                  chat ? ",\"message\":{\"role\":\"assistant\",\"content\":" : ",\"response\":");
    glim_json_quote(out, s->text);
    if (s->thought.n) {
        glim_buf_adds(out, ",\"thinking\":");
        glim_json_quote(out, s->thought);
    }
    if (s->calls.n) {
        glim_buf_adds(out, ",\"tool_calls\":[");
        glim_buf_addv(out, s->calls);
        glim_buf_addc(out, ']');
    }
    if (chat) glim_buf_addc(out, '}');
}

/* The probabilities that have gathered; thought and answer share one list. */
static void put_logprobs(glim_choice *c, glim_buf *out)
{
    if (c->lp[0].n == 0) return;
    glim_buf_adds(out, ",\"logprobs\":[");
    glim_buf_addv(out, glim_buf_view(&c->lp[0]));
    glim_buf_addc(out, ']');
    glim_buf_cut(&c->lp[0], 0);
}

static bool is_chat(const glim_reply *r)
{
    return r->style == &style_chat;
}

static void send(glim_reply *r, glim_choice *c, const said *s, glim_buf *out)
{
    put_head(r->info, out);
    put_said(is_chat(r), s, out);
    glim_buf_adds(out, ",\"done\":false");
    put_logprobs(c, out);
    glim_buf_adds(out, "}\n");
}

/* ---- text and calls -------------------------------------------------------------------------- */

static void say(glim_reply *r, glim_choice *c, glim_str text, bool thought, glim_buf *out)
{
    const glim_lp_entry *e;
    const char *begin;
    glim_str rest = text;
    if (text.n == 0) return;
    while (r->rq->logprobs && (e = glim_lp_take(&c->queue, thought, &rest, &begin)) != NULL) {
        if (c->lp[0].n) glim_buf_addc(&c->lp[0], ',');
        glim_buf_addv(&c->lp[0], glim_lp_json(&c->queue, e));
    }
    if (!r->rq->stream)
        glim_buf_addv(thought ? &c->reasoning : &c->content, text);
    else if (thought)
        send(r, c, &(said){.thought = text}, out);
    else
        send(r, c, &(said){.text = text}, out);
}

/* One JSON value without anything that a reader takes for the end of a line. Line ends of ASCII
 * stand only between the value's parts, those of Unicode only inside strings. */
static void put_one_line(glim_buf *out, glim_str json)
{
    size_t done = 0;
    for (size_t i = 0; i < json.n; i++) {
        glim_str rest = glim_str_sub(json, i, json.n);
        const char *instead = NULL;
        size_t n = 1;
        if (json.p[i] == '\n' || json.p[i] == '\r') {
            instead = " ";
        } else if (glim_str_starts(rest, GLIM_STR("\xC2\x85"))) {
            instead = "\\u0085";
            n = 2;
        } else if (glim_str_starts(rest, GLIM_STR("\xE2\x80\xA8")) ||
                   glim_str_starts(rest, GLIM_STR("\xE2\x80\xA9"))) {
            instead = (unsigned char)rest.p[2] == 0xA8 ? "\\u2028" : "\\u2029";
            n = 3;
        }
        if (!instead) continue;
        glim_buf_addv(out, glim_str_sub(json, done, i));
        glim_buf_adds(out, instead);
        done = i + n;
        i = done - 1;
    }
    glim_buf_addv(out, glim_str_sub(json, done, json.n));
}

static void on_call_end(glim_reply *r, glim_choice *c, const glim_event *ev, glim_buf *out)
{
    glim_lp_clear(&c->queue); /* a call's tokens are no content */
    if (c->calls.n) glim_buf_addc(&c->calls, ',');
    glim_buf_adds(&c->calls, "{\"id\":");
    glim_json_quote(&c->calls, glim_buf_view(&c->call_id));
    glim_buf_addf(&c->calls, ",\"function\":{\"index\":%zu,\"name\":", c->n_call++);
    glim_json_quote(&c->calls, glim_buf_view(&c->call_name));
    glim_buf_adds(&c->calls, ",\"arguments\":");
    put_one_line(&c->calls, ev->text);
    glim_buf_adds(&c->calls, "}}");
    c->n_whole++;
    if (!r->rq->stream) return;
    send(r, c, &(said){.calls = glim_buf_view(&c->calls)}, out);
    glim_buf_cut(&c->calls, 0);
}

/* ---- the end --------------------------------------------------------------------------------- */

static int64_t ns_of(double ms)
{
    const double ns = ms * 1e6;
    return ns > 0 && ns < 9e18 ? (int64_t)ns : 0;
}

static void put_ids(const int32_t *ids, size_t n, bool *any, glim_buf *out)
{
    for (size_t i = 0; i < n; i++) {
        glim_buf_addf(out, *any ? ",%" PRId32 : "%" PRId32, ids[i]);
        *any = true;
    }
}

/* What follows the text in the last object, made while the answer's tokens are there. */
static void put_done(glim_reply *r, const glim_choice *c, const glim_event *ev, glim_buf *out)
{
    const glim_usage *u = &c->usage;
    const glim_reply_info *info = r->info;
    glim_buf_addf(out, ",\"done\":true,\"done_reason\":\"%s\"",
                  glim_finish_name(c->reason, false, false));
    if (!is_chat(r) && r->rq->want_ids && info->prompt_ids) {
        bool any = false;
        glim_buf_adds(out, ",\"context\":[");
        put_ids(info->prompt_ids[0].ids, info->prompt_ids[0].n, &any, out);
        if (ev) put_ids(ev->ids, ev->n_id, &any, out);
        glim_buf_addc(out, ']');
    }
    glim_buf_addf(out,
                  ",\"total_duration\":%" PRIu64
                  ",\"load_duration\":0,\"prompt_eval_count\":%" PRId64
                  ",\"prompt_eval_duration\":%" PRId64 ",\"eval_count\":%" PRId64
                  ",\"eval_duration\":%" PRId64,
                  info->t0_ns ? glim_now_ns() - info->t0_ns : 0, u->n_prompt, ns_of(u->prompt_ms),
                  u->n_completion, ns_of(u->completion_ms));
}

static void on_stop(glim_reply *r, glim_choice *c, const glim_event *ev)
{
    glim_lp_clear(&c->queue);
    glim_reply_stop(r, c, ev);
    put_done(r, c, ev, &r->scratch);
}

static glim_err event(glim_reply *r, size_t i_choice, const glim_event *ev, glim_buf *out)
{
    glim_err rc;
    size_t n_before = out->n;
    glim_choice *c = glim_reply_choice(r, i_choice, ev, &rc);
    if (!c) return rc;
    switch (ev->kind) {
    case GLIM_EV_LOGPROBS:
        glim_lp_push(&c->queue, ev, false);
        break;
    case GLIM_EV_REASONING:
    case GLIM_EV_CONTENT:
        say(r, c, ev->text, ev->kind == GLIM_EV_REASONING, out);
        break;
    case GLIM_EV_CALL_BEGIN:
        glim_reply_call(r, c, ev);
        break;
    case GLIM_EV_CALL_END:
        on_call_end(r, c, ev, out);
        break;
    case GLIM_EV_CALL_BROKEN: /* nothing of it was announced: it is text as any other */
        say(r, c, ev->text, ev->in_reasoning, out);
        break;
    case GLIM_EV_STOP:
        on_stop(r, c, ev);
        break;
    case GLIM_EV_PROGRESS:
    case GLIM_EV_CALL_ARG:
        break;
    }
    rc = glim_reply_err(r, c, out);
    if (rc) glim_buf_cut(out, n_before); /* no half of a line */
    return rc;
}

static glim_err end(glim_reply *r, glim_buf *out)
{
    glim_choice *c = &r->choices[0];
    size_t n_before = out->n;
    said s = {.text = glim_buf_view(&c->content),
              .thought = glim_buf_view(&c->reasoning),
              .calls = glim_buf_view(&c->calls)}; /* of a stream all empty */
    if (!c->stopped) put_done(r, c, NULL, &r->scratch);
    put_head(r->info, out);
    put_said(is_chat(r), &s, out);
    glim_buf_addv(out, glim_buf_view(&r->scratch));
    put_logprobs(c, out);
    glim_buf_adds(out, r->rq->stream ? "}\n" : "}");
    glim_err rc = glim_reply_err(r, c, out);
    if (rc) glim_buf_cut(out, n_before);
    return rc;
}

/* A whole object that says nothing: clients parse every line, and a blank one ends them. */
static glim_err keepalive(glim_reply *r, glim_buf *out)
{
    size_t n_before = out->n;
    put_head(r->info, out);
    put_said(is_chat(r), &(said){0}, out);
    glim_buf_adds(out, ",\"done\":false}\n");
    if (out->err) glim_buf_cut(out, n_before);
    return out->err;
}

static glim_err put_instead(bool chat, const glim_request *rq, const glim_reply_info *info,
                            glim_buf *out)
{
    const glim_ollama_own *own = rq->own;
    put_head(info, out);
    put_said(chat, &(said){0}, out);
    glim_buf_addf(out, ",\"done\":true,\"done_reason\":\"%s\"}%s", own->unload ? "unload" : "load",
                  rq->stream ? "\n" : "");
    return out->err;
}

static glim_err stream_problem(const glim_problem *p, glim_str request_id, glim_buf *out)
{
    size_t n_before = out->n;
    glim_err rc = glim_problem_ollama(p, request_id, out);
    if (!rc) rc = glim_buf_addc(out, '\n');
    if (rc) glim_buf_cut(out, n_before);
    return rc;
}

/* ---- the rows -------------------------------------------------------------------------------- */

static glim_reply *chat_new(const glim_request *rq, const glim_reply_info *info)
{
    return glim_reply_new(&style_chat, rq, info);
}

static glim_reply *generate_new(const glim_request *rq, const glim_reply_info *info)
{
    return glim_reply_new(&style_generate, rq, info);
}

static glim_err chat_instead(const glim_request *rq, const glim_reply_info *info, glim_buf *out)
{
    return put_instead(true, rq, info, out);
}

static glim_err generate_instead(const glim_request *rq, const glim_reply_info *info, glim_buf *out)
{
    return put_instead(false, rq, info, out);
}

const glim_dialect glim_dialect_ollama_chat = {.name = "ollama_chat",
                                               .stream_type = "application/x-ndjson",
                                               .decode = glim_ollama_decode_chat,
                                               .reply_new = chat_new,
                                               .reply_free = glim_reply_free,
                                               .event = event,
                                               .keepalive = keepalive,
                                               .instead = chat_instead,
                                               .end = end,
                                               .problem = glim_problem_ollama,
                                               .stream_problem = stream_problem,
                                               .status = glim_problem_status};

const glim_dialect glim_dialect_ollama_generate = {.name = "ollama_generate",
                                                   .stream_type = "application/x-ndjson",
                                                   .decode = glim_ollama_decode_generate,
                                                   .reply_new = generate_new,
                                                   .reply_free = glim_reply_free,
                                                   .event = event,
                                                   .keepalive = keepalive,
                                                   .instead = generate_instead,
                                                   .end = end,
                                                   .problem = glim_problem_ollama,
                                                   .stream_problem = stream_problem,
                                                   .status = glim_problem_status};
