/* SPDX-License-Identifier: MIT
 * reply.c - the frame around the choices of a reply: ids, usage, finish reasons, server-sent
 * events.
 * Owns:   the memory of a reply; when usage is written and what it counts.
 * Not here: what a choice holds (openai_reply.c, openai_completions.c).
 * Thread: one at a time for a reply.
 * Fails:  NOMEM, LIMIT stay in the buffers and are looked at once an event.
 * See:    tests/unit/api/test_openai_reply.c */
#include "api/reply_priv.h"

#include <inttypes.h>

#define CHOICE_MAX_BYTES ((size_t)256 << 20)

/* ---- memory ---------------------------------------------------------------------------------- */

/* Every buffer of a choice. */
#define CHOICE_BUFS(c)                                                                             \
    {                                                                                              \
        &(c)->content, &(c)->reasoning, &(c)->calls, &(c)->call_id, &(c)->call_name, &(c)->args,   \
            &(c)->keys, &(c)->stop_text, &(c)->ids, &(c)->lp[0], &(c)->lp[1], &(c)->lp[2],         \
            &(c)->lp[3]                                                                            \
    }

static void init_choice(glim_choice *c)
{
    glim_buf *const bufs[] = CHOICE_BUFS(c);
    for (size_t i = 0; i < GLIM_COUNT(bufs); i++)
        glim_buf_init(bufs[i], CHOICE_MAX_BYTES);
    glim_lp_init(&c->queue, CHOICE_MAX_BYTES);
}

static void deinit_choice(glim_choice *c)
{
    glim_buf *const bufs[] = CHOICE_BUFS(c);
    for (size_t i = 0; i < GLIM_COUNT(bufs); i++)
        glim_buf_deinit(bufs[i]);
    glim_lp_deinit(&c->queue);
}

static void make_head(glim_reply *r)
{
    const glim_reply_info *info = r->info;
    const glim_reply_style *s = r->style;
    glim_jw w;
    if (!s->object) return;
    glim_jw_init(&w, &r->head);
    glim_jw_object(&w);
    glim_jw_key(&w, "id");
    glim_buf_addf(&r->scratch, "%s", s->id_prefix);
    glim_buf_addv(&r->scratch, info->id);
    glim_jw_str(&w, glim_buf_view(&r->scratch));
    glim_buf_cut(&r->scratch, 0);
    if (s->zhipu) {
        glim_jw_key(&w, "request_id");
        glim_jw_str(&w, info->request_id);
    }
    glim_jw_key(&w, "object");
    glim_jw_str(&w, glim_str_of(r->rq->stream ? s->chunk_object : s->object));
    glim_jw_key(&w, "created");
    glim_jw_i64(&w, info->created_s);
    glim_jw_key(&w, "model");
    glim_jw_str(&w, info->model);
    if (!s->zhipu && !glim_reply_is_lean(r)) {
        glim_jw_key(&w, "system_fingerprint");
        if (info->fingerprint.n)
            glim_jw_str(&w, info->fingerprint);
        else
            glim_jw_null(&w);
    }
    glim_buf_adds(&r->head, ",\"choices\":[");
}

glim_reply *glim_reply_new(const glim_reply_style *style, const glim_request *rq,
                           const glim_reply_info *info)
{
    glim_reply *r = glim_new0(glim_reply);
    if (!r) return NULL;
    r->rq = rq;
    r->info = info;
    r->style = style;
    r->finish_usage = style->zhipu || info->zhipu_usage;
    glim_buf_init(&r->head, CHOICE_MAX_BYTES);
    glim_buf_init(&r->scratch, CHOICE_MAX_BYTES);
    r->n_choice = (size_t)rq->n * (rq->raw ? rq->n_prompt : 1);
    r->choices = glim_alloc_array(r->n_choice, sizeof *r->choices);
    make_head(r);
    if (!r->choices || r->head.err || r->scratch.err) {
        glim_reply_free(r);
        return NULL;
    }
    for (size_t i = 0; i < r->n_choice; i++)
        init_choice(&r->choices[i]);
    return r;
}

void glim_reply_free(glim_reply *r)
{
    if (!r) return;
    for (size_t i = 0; r->choices && i < r->n_choice; i++)
        deinit_choice(&r->choices[i]);
    glim_free(r->choices);
    glim_buf_deinit(&r->head);
    glim_buf_deinit(&r->scratch);
    glim_free(r);
}

glim_err glim_reply_err(const glim_reply *r, const glim_choice *c, const glim_buf *out)
{
    if (out->err) return out->err;
    if (r->scratch.err) return r->scratch.err;
    if (!c) return GLIM_OK;
    const glim_buf *const bufs[] = CHOICE_BUFS(c);
    for (size_t i = 0; i < GLIM_COUNT(bufs); i++)
        if (bufs[i]->err) return bufs[i]->err;
    return c->queue.data.err ? c->queue.data.err : c->queue.entries.err;
}

/* ---- usage ----------------------------------------------------------------------------------- */

/* The choices of one prompt share it: it is counted once. */
static glim_usage sum_usage(const glim_reply *r)
{
    glim_usage sum = {0};
    for (size_t i = 0; i < r->n_choice; i++) {
        const glim_usage *u = &r->choices[i].usage;
        if (i % (size_t)r->rq->n == 0) {
            sum.n_prompt += u->n_prompt;
            sum.n_cached += u->n_cached;
        }
        sum.n_completion += u->n_completion;
        sum.n_reasoning += u->n_reasoning;
    }
    return sum;
}

static void put_usage(const glim_reply *r, glim_buf *out)
{
    glim_usage u = sum_usage(r);
    glim_buf_addf(out,
                  ",\"usage\":{\"prompt_tokens\":%" PRId64 ",\"completion_tokens\":%" PRId64
                  ",\"total_tokens\":%" PRId64 ",\"prompt_tokens_details\":{\"cached_tokens\":"
                  "%" PRId64 "},\"completion_tokens_details\":{\"reasoning_tokens\":%" PRId64 "}",
                  u.n_prompt, u.n_completion, u.n_prompt + u.n_completion, u.n_cached,
                  u.n_reasoning);
    if (!r->style->zhipu) glim_buf_addf(out, ",\"reasoning_tokens\":%" PRId64, u.n_reasoning);
    glim_buf_addc(out, '}');
}

/* ---- events and reasons ---------------------------------------------------------------------- */

glim_choice *glim_reply_choice(glim_reply *r, size_t i_choice, const glim_event *ev, glim_err *rc)
{
    *rc = i_choice < r->n_choice ? GLIM_OK : GLIM_E_STATE;
    if (*rc || ev->kind == GLIM_EV_PROGRESS) return NULL;
    glim_choice *c = &r->choices[i_choice];
    if (c->stopped) return NULL;
    if (ev->usage) {
        c->usage = *ev->usage;
        c->has_usage = true;
    }
    return c;
}

const char *glim_finish_name(glim_stop_reason reason, bool called, bool zhipu)
{
    switch (reason) {
    case GLIM_STOP_CONTEXT:
        return zhipu ? "model_context_window_exceeded" : "length";
    case GLIM_STOP_LENGTH:
    case GLIM_STOP_LOOP:
        return "length";
    case GLIM_STOP_NONE:
    case GLIM_STOP_END:
    case GLIM_STOP_STRING:
    case GLIM_STOP_CANCEL:
        break;
    }
    return called && reason != GLIM_STOP_CANCEL ? "tool_calls" : "stop";
}

void glim_reply_call(glim_reply *r, glim_choice *c, const glim_event *ev)
{
    glim_buf_cut(&c->call_id, 0);
    glim_buf_cut(&c->call_name, 0);
    glim_buf_addv(&c->call_name, ev->name);
    if (ev->id.n)
        glim_buf_addv(&c->call_id, ev->id);
    else /* two calls of one reply must not share an id, and a result must find its call */
        glim_buf_addf(&c->call_id, "call_%.16s%04zx%04zx",
                      r->info->id.n >= 16 ? r->info->id.p : "0", (size_t)(c - r->choices) & 0xffff,
                      ev->i_call & 0xffff);
}

void glim_reply_stop(glim_reply *r, glim_choice *c, const glim_event *ev)
{
    c->stopped = true;
    c->reason = ev->reason;
    glim_buf_addv(&c->stop_text, ev->stop_text);
    r->n_stopped++;
}

void glim_reply_finish(const glim_reply *r, const glim_choice *c, glim_buf *out)
{
    if (!c) {
        glim_buf_adds(out, ",\"finish_reason\":null");
        return;
    }
    bool called = c->n_whole > 0 && !c->broken;
    const char *name = glim_finish_name(c->reason, called, r->style->zhipu);
    glim_buf_addf(out, ",\"finish_reason\":\"%s\"", name);
    if (!r->style->zhipu && !glim_reply_is_lean(r)) {
        bool matched = c->reason == GLIM_STOP_STRING || (c->reason == GLIM_STOP_END && !called);
        glim_buf_adds(out, ",\"matched_stop\":");
        if (matched && c->stop_text.n)
            glim_json_quote(out, glim_buf_view(&c->stop_text));
        else
            glim_buf_adds(out, "null");
    }
    if (c->reason == GLIM_STOP_LOOP) glim_buf_adds(out, ",\"stop_reason\":\"loop\"");
}

/* ---- tokens ---------------------------------------------------------------------------------- */

void glim_reply_take_ids(const glim_reply *r, glim_choice *c, const glim_event *ev)
{
    const int32_t *ids = ev->ids;
    size_t n = ev->n_id;
    if (!r->rq->want_ids) return;
    if (ev->kind == GLIM_EV_LOGPROBS && ev->logprobs) {
        c->n_token++;
        if (r->rq->stream) glim_buf_add(&c->ids, &ev->logprobs->chosen.id, sizeof *ids);
    } else if (ev->kind == GLIM_EV_STOP && ids) {
        size_t n_out = r->rq->stream ? GLIM_MIN(c->n_token, n) : 0;
        glim_buf_add(&c->ids, ids + n_out, (n - n_out) * sizeof *ids);
    }
}

void glim_reply_put_ids(glim_choice *c, glim_jw *w)
{
    glim_jw_array(w);
    for (size_t i = 0; i < c->ids.n / sizeof(int32_t); i++) {
        int32_t id;
        memcpy(&id, c->ids.p + i * sizeof id, sizeof id);
        glim_jw_i64(w, id);
    }
    glim_jw_array_end(w);
    glim_buf_cut(&c->ids, 0);
}

int64_t glim_reply_n_completion(const glim_choice *c)
{
    return c->has_usage ? c->usage.n_completion : (int64_t)c->n_token;
}

int64_t glim_reply_n_prompt(const glim_reply *r, size_t i_choice)
{
    const glim_choice *c = &r->choices[i_choice];
    if (c->has_usage) return c->usage.n_prompt;
    return r->info->prompt_ids ? (int64_t)r->info->prompt_ids[i_choice / (size_t)r->rq->n].n : 0;
}

/* ---- frames ---------------------------------------------------------------------------------- */

void glim_reply_chunk(glim_reply *r, size_t i_choice, glim_buf *out)
{
    glim_buf_adds(out, "data: ");
    glim_buf_addv(out, glim_buf_view(&r->head));
    glim_buf_addf(out, "{\"index\":%zu", i_choice);
}

void glim_reply_chunk_end(glim_reply *r, bool last, glim_buf *out)
{
    glim_buf_adds(out, "}]");
    if (r->finish_usage) {
        if (last) put_usage(r, out);
    } else if (r->rq->include_usage) {
        bool known = false;
        for (size_t i = 0; r->rq->continuous_usage && i < r->n_choice && !known; i++)
            known = r->choices[i].has_usage;
        if (known)
            put_usage(r, out);
        else
            glim_buf_adds(out, ",\"usage\":null");
    }
    glim_buf_adds(out, "}\n\n");
}

glim_err glim_reply_done(glim_reply *r, glim_buf *out)
{
    if (r->rq->include_usage && !r->finish_usage) {
        glim_buf_adds(out, "data: ");
        glim_buf_addv(out, glim_buf_view(&r->head));
        glim_buf_addc(out, ']');
        put_usage(r, out);
        glim_buf_adds(out, "}\n\n");
    }
    glim_buf_adds(out, "data: [DONE]\n\n");
    return out->err;
}

void glim_reply_body(glim_reply *r, glim_buf *out)
{
    glim_buf_addv(out, glim_buf_view(&r->head));
}

void glim_reply_body_end(glim_reply *r, glim_buf *out)
{
    glim_buf_addc(out, ']');
    put_usage(r, out);
    glim_buf_addc(out, '}');
}

/* A comment with a blank line behind it: without one, readers that split at blank lines would take
 * the next event for part of the comment. */
glim_err glim_sse_keepalive(glim_reply *r, glim_buf *out)
{
    (void)r;
    return glim_buf_adds(out, ": keep-alive\n\n");
}
