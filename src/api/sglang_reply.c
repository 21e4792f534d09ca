/* SPDX-License-Identifier: MIT
 * sglang_reply.c - events to SGLang's objects, whole or piece by piece.
 * Owns:   that every piece holds the whole text so far, as its clients want it (a long answer costs
 *         the square of its length), and what meta_info says.
 * Not here: the requests (sglang_generate.c), usage and choices (reply.c).
 * Thread: one at a time for a reply.
 * Fails:  NOMEM, LIMIT, STATE (a choice that does not exist); out then ends where it ended before.
 * See:    tests/unit/api/test_sglang.c */
#include "api/sglang_priv.h"

#include <inttypes.h>

static const glim_reply_style style = {.object = NULL};

glim_reply *glim_sglang_reply_new(const glim_request *rq, const glim_reply_info *info)
{
    return glim_reply_new(&style, rq, info);
}

static const glim_sglang_own *own_of(const glim_reply *r)
{
    static const glim_sglang_own none = {.rids = NULL};
    return r->rq->own ? r->rq->own : &none;
}

static size_t index_of(const glim_reply *r, const glim_choice *c)
{
    return (size_t)(c - r->choices);
}

static bool is_list(const glim_reply *r)
{
    return own_of(r)->is_list || r->n_choice > 1;
}

/* ---- probabilities --------------------------------------------------------------------------- */

enum { LP_CHOSEN, LP_TOP };

/* [logarithm, id, text or null] */
static void put_token(glim_buf *b, const glim_logprob *lp, bool with_text)
{
    glim_buf_addc(b, '[');
    glim_lp_put_number(b, lp->logprob);
    glim_buf_addf(b, ",%" PRId32 ",", lp->id);
    if (with_text)
        glim_json_quote(b, lp->bytes);
    else
        glim_buf_adds(b, "null");
    glim_buf_addc(b, ']');
}

/* Each token has its entry, as output_ids has: also those whose text is cut off. Only the token that
 * ends an answer has none. */
static void take_logprobs(const glim_reply *r, glim_choice *c, const glim_token_logprobs *lp)
{
    const glim_sglang_own *own = own_of(r);
    if (!own->logprobs || !lp) return;
    for (size_t i = 0; i < 2 && c->lp[LP_CHOSEN].n; i++)
        glim_buf_addc(&c->lp[i], ',');
    put_token(&c->lp[LP_CHOSEN], &lp->chosen, own->with_text);
    glim_buf_addc(&c->lp[LP_TOP], '[');
    for (size_t i = 0; i < lp->n_top; i++) {
        if (i) glim_buf_addc(&c->lp[LP_TOP], ',');
        put_token(&c->lp[LP_TOP], &lp->top[i], own->with_text);
    }
    glim_buf_addc(&c->lp[LP_TOP], ']');
}

static void put_logprobs(glim_jw *w, const glim_reply *r, const glim_choice *c)
{
    static const char *const input[] = {"input_token_logprobs", "input_top_logprobs"};
    static const char *const output[] = {"output_token_logprobs", "output_top_logprobs"};
    const glim_sglang_own *own = own_of(r);
    size_t n = !own->logprobs ? 0 : own->n_top ? 2 : 1;
    for (size_t i = 0; i < n; i++) {
        glim_jw_key(w, input[i]);
        glim_jw_array(w);
        glim_jw_array_end(w);
        glim_jw_key(w, output[i]);
        glim_jw_array(w);
        glim_buf_addv(w->b, glim_buf_view(&c->lp[i]));
        glim_jw_array_end(w);
    }
}

/* ---- meta_info ------------------------------------------------------------------------------- */

/* The client's name for the prompt, else ours; answers of one request are told apart by number. */
static void put_id(glim_jw *w, glim_reply *r, size_t i)
{
    const glim_sglang_own *own = own_of(r);
    const glim_request *rq = r->rq;
    glim_str id = rq->request_id.n ? rq->request_id : r->info->id;
    bool named = own->rids != NULL;
    if (named) id = own->rids[i / (size_t)rq->n];
    glim_buf_addv(&r->scratch, id);
    if (named ? rq->n > 1 : r->n_choice > 1)
        glim_buf_addf(&r->scratch, "-%zu", named ? i % (size_t)rq->n : i);
    glim_jw_key(w, "id");
    glim_jw_str(w, glim_buf_view(&r->scratch));
    glim_buf_cut(&r->scratch, 0);
}

/* A stop token by its id, where the answer's tokens are all there; a stop string by itself. */
static void put_matched(glim_jw *w, const glim_choice *c)
{
    size_t n = c->ids.n / sizeof(int32_t);
    glim_jw_key(w, "matched");
    if (c->reason == GLIM_STOP_END && n && (int64_t)n == c->usage.n_completion) {
        int32_t id;
        memcpy(&id, c->ids.p + (n - 1) * sizeof id, sizeof id);
        glim_jw_i64(w, id);
    } else {
        glim_jw_str(w, glim_buf_view(&c->stop_text));
    }
}

static void put_finish(glim_jw *w, const glim_choice *c)
{
    glim_jw_key(w, "finish_reason");
    if (!c->stopped) {
        glim_jw_null(w);
        return;
    }
    bool stop = c->reason == GLIM_STOP_END || c->reason == GLIM_STOP_STRING;
    bool abort = c->reason == GLIM_STOP_NONE || c->reason == GLIM_STOP_CANCEL;
    glim_jw_object(w);
    glim_jw_key(w, "type");
    glim_jw_str(w, stop ? GLIM_STR("stop") : abort ? GLIM_STR("abort") : GLIM_STR("length"));
    if (stop) {
        put_matched(w, c);
    } else if (abort) {
        glim_jw_key(w, "message");
        glim_jw_str(w, GLIM_STR("the answer was cut off"));
    } else {
        glim_jw_key(w, "length");
        glim_jw_i64(w, c->usage.n_completion);
    }
    if (c->reason == GLIM_STOP_LOOP) {
        glim_jw_key(w, "stop_reason");
        glim_jw_str(w, GLIM_STR("loop"));
    }
    glim_jw_object_end(w);
}

static void put_meta(glim_jw *w, glim_reply *r, const glim_choice *c)
{
    size_t i = index_of(r, c);
    glim_jw_key(w, "meta_info");
    glim_jw_object(w);
    put_id(w, r, i);
    put_finish(w, c);
    glim_jw_key(w, "prompt_tokens");
    glim_jw_i64(w, glim_reply_n_prompt(r, i));
    glim_jw_key(w, "completion_tokens");
    glim_jw_i64(w, glim_reply_n_completion(c));
    glim_jw_key(w, "cached_tokens");
    glim_jw_i64(w, c->usage.n_cached);
    glim_jw_key(w, "weight_version");
    glim_jw_str(w, GLIM_STR("default"));
    put_logprobs(w, r, c);
    if (c->stopped) {
        uint64_t t0 = r->info->t0_ns, now = t0 ? glim_now_ns() : 0;
        glim_jw_key(w, "e2e_latency");
        glim_jw_f64(w, now > t0 ? (double)(now - t0) / 1e9 : 0);
    }
    glim_jw_object_end(w);
}

/* ---- objects --------------------------------------------------------------------------------- */

/* The tokens are known when the choice has ended. */
static void put_answer(glim_reply *r, glim_choice *c, glim_buf *out)
{
    glim_jw w;
    glim_jw_init(&w, out);
    glim_jw_object(&w);
    if (r->rq->stream && is_list(r)) {
        glim_jw_key(&w, "index");
        glim_jw_i64(&w, (int64_t)index_of(r, c));
    }
    glim_jw_key(&w, "text");
    glim_jw_str(&w, glim_buf_view(&c->content));
    put_meta(&w, r, c);
    if (c->stopped) {
        glim_jw_key(&w, "output_ids");
        glim_reply_put_ids(c, &w);
    }
    glim_jw_object_end(&w);
}

static void send(glim_reply *r, glim_choice *c, glim_buf *out)
{
    glim_buf_adds(out, "data: ");
    put_answer(r, c, out);
    glim_buf_adds(out, "\n\n");
}

glim_err glim_sglang_reply_event(glim_reply *r, size_t i_choice, const glim_event *ev,
                                 glim_buf *out)
{
    glim_err rc;
    size_t n_before = out->n;
    glim_choice *c = glim_reply_choice(r, i_choice, ev, &rc);
    if (!c) return rc;
    glim_reply_take_ids(r, c, ev);
    /* Raw output is content; nothing may get lost. */
    bool text = ev->kind == GLIM_EV_CONTENT || ev->kind == GLIM_EV_REASONING;
    if (ev->kind == GLIM_EV_LOGPROBS) take_logprobs(r, c, ev->logprobs);
    if (ev->kind == GLIM_EV_STOP) glim_reply_stop(r, c, ev);
    if (text) glim_buf_addv(&c->content, ev->text);
    if (r->rq->stream && (c->stopped || (text && ev->text.n))) send(r, c, out);
    rc = glim_reply_err(r, c, out);
    if (rc) glim_buf_cut(out, n_before); /* no half of a frame */
    return rc;
}

glim_err glim_sglang_reply_end(glim_reply *r, glim_buf *out)
{
    if (r->rq->stream) return glim_buf_adds(out, "data: [DONE]\n\n");
    if (is_list(r)) glim_buf_addc(out, '[');
    for (size_t i = 0; i < r->n_choice; i++) {
        if (i) glim_buf_addc(out, ',');
        put_answer(r, &r->choices[i], out);
    }
    if (is_list(r)) glim_buf_addc(out, ']');
    return out->err;
}

/* ---- health ---------------------------------------------------------------------------------- */

glim_err glim_sglang_health_event(glim_reply *r, size_t i_choice, const glim_event *ev,
                                  glim_buf *out)
{
    glim_err rc;
    glim_choice *c = glim_reply_choice(r, i_choice, ev, &rc);
    (void)out;
    if (c && ev->kind == GLIM_EV_STOP) glim_reply_stop(r, c, ev);
    return rc;
}

glim_err glim_sglang_health_end(glim_reply *r, glim_buf *out)
{
    (void)r;
    return glim_buf_adds(out, "{\"status\":\"ok\"}");
}
