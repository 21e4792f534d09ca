/* SPDX-License-Identifier: MIT
 * llama_reply.c - events to llama-server's completion objects, whole or piece by piece.
 * Owns:   that a stream ends with an object of everything and without [DONE]; that several answers
 *         are a list, or told apart by index; response_fields.
 * Not here: the request (llama_completion.c), usage and choices (reply.c).
 * Thread: one at a time for a reply.
 * Fails:  NOMEM, LIMIT, STATE (a choice that does not exist); out then ends where it ended before.
 * See:    tests/unit/api/test_llama.c */
#include "api/llama_priv.h"

#include <math.h>

static const glim_reply_style style = {.object = NULL};

glim_reply *glim_llama_reply_new(const glim_request *rq, const glim_reply_info *info)
{
    return glim_reply_new(&style, rq, info);
}

static const glim_llama_own *own_of(const glim_reply *r)
{
    static const glim_llama_own none = {.n_probs = 0};
    return r->rq->own ? r->rq->own : &none;
}

static size_t index_of(const glim_reply *r, const glim_choice *c)
{
    return (size_t)(c - r->choices);
}

/* ---- members --------------------------------------------------------------------------------- */

/* Writes the key where the request wants the member. */
static bool wants(glim_jw *w, const glim_reply *r, const char *key)
{
    const glim_llama_own *own = own_of(r);
    bool wanted = own->n_response_field == 0;
    for (size_t i = 0; i < own->n_response_field && !wanted; i++)
        wanted = glim_str_is(own->response_fields[i], key);
    if (wanted) glim_jw_key(w, key);
    return wanted;
}

static void put_i64(glim_jw *w, const glim_reply *r, const char *key, int64_t v)
{
    if (wants(w, r, key)) glim_jw_i64(w, v);
}

static void put_str(glim_jw *w, const glim_reply *r, const char *key, glim_str v)
{
    if (wants(w, r, key)) glim_jw_str(w, v);
}

static void put_bool(glim_jw *w, const glim_reply *r, const char *key, bool v)
{
    if (wants(w, r, key)) glim_jw_bool(w, v);
}

static const char *stop_type(glim_stop_reason reason)
{
    switch (reason) {
    case GLIM_STOP_END:
        return "eos";
    case GLIM_STOP_STRING:
        return "word";
    case GLIM_STOP_LENGTH:
    case GLIM_STOP_CONTEXT:
    case GLIM_STOP_LOOP:
        return "limit";
    case GLIM_STOP_NONE:
    case GLIM_STOP_CANCEL:
        break;
    }
    return "none";
}

static void put_stop(glim_jw *w, const glim_reply *r, const glim_choice *c)
{
    bool word = c->reason == GLIM_STOP_STRING;
    put_bool(w, r, "truncated", c->reason == GLIM_STOP_CONTEXT);
    put_str(w, r, "stop_type", glim_str_of(stop_type(c->reason)));
    put_str(w, r, "stopping_word", word ? glim_buf_view(&c->stop_text) : GLIM_STR(""));
    if (c->reason == GLIM_STOP_LOOP) put_str(w, r, "stop_reason", GLIM_STR("loop"));
}

static double per(double x, double y)
{
    return y > 0 ? x / y : 0;
}

static void put_timings(glim_jw *w, const glim_usage *u)
{
    double n_read = (double)(u->n_prompt - u->n_cached), n_made = (double)u->n_completion;
    const struct {
        const char *key;
        double v;
    } rows[] = {
        {"cache_n", (double)u->n_cached},
        {"prompt_n", n_read},
        {"prompt_ms", u->prompt_ms},
        {"prompt_per_token_ms", per(u->prompt_ms, n_read)},
        {"prompt_per_second", per(n_read * 1e3, u->prompt_ms)},
        {"predicted_n", n_made},
        {"predicted_ms", u->completion_ms},
        {"predicted_per_token_ms", per(u->completion_ms, n_made)},
        {"predicted_per_second", per(n_made * 1e3, u->completion_ms)},
    };
    glim_jw_object(w);
    for (size_t i = 0; i < GLIM_COUNT(rows); i++) {
        glim_jw_key(w, rows[i].key);
        glim_jw_f64(w, rows[i].v);
    }
    glim_jw_object_end(w);
}

/* ---- what was used --------------------------------------------------------------------------- */

static void put_numbers(glim_jw *w, const glim_reply *r)
{
    const glim_gen_opts *g = &r->rq->gen;
    const glim_reply_info *info = r->info;
    const struct {
        const char *key;
        float v;
    } floats[] = {
        {"temperature", isnan(g->temperature) ? info->temperature : g->temperature},
        {"top_p", isnan(g->top_p) ? info->top_p : g->top_p},
        {"min_p", isnan(g->min_p) ? info->min_p : g->min_p},
        {"repeat_penalty", g->repetition_penalty},
        {"presence_penalty", g->presence_penalty},
        {"frequency_penalty", g->frequency_penalty},
        {"dry_multiplier", g->dry_multiplier},
        {"dry_base", g->dry_base},
    };
    const struct {
        const char *key;
        int64_t v;
    } integers[] = {
        {"top_k", g->top_k < 0 ? info->top_k : g->top_k},
        {"repeat_last_n", -1},
        {"dry_allowed_length", g->dry_allowed_length},
        {"dry_penalty_last_n", g->dry_range},
        {"n_predict", own_of(r)->no_text ? 0 : g->n_max},
        {"max_tokens", own_of(r)->no_text ? 0 : g->n_max},
        {"n_probs", own_of(r)->n_probs},
        {"n_ctx", info->n_ctx},
    };
    for (size_t i = 0; i < GLIM_COUNT(floats); i++) {
        glim_jw_key(w, floats[i].key);
        glim_jw_f32(w, floats[i].v);
    }
    for (size_t i = 0; i < GLIM_COUNT(integers); i++) {
        glim_jw_key(w, integers[i].key);
        glim_jw_i64(w, integers[i].v);
    }
}

static void put_settings(glim_jw *w, const glim_reply *r)
{
    const glim_gen_opts *g = &r->rq->gen;
    glim_jw_object(w);
    glim_jw_key(w, "seed");
    if (g->has_seed)
        glim_jw_u64(w, g->seed);
    else
        glim_jw_i64(w, -1);
    put_numbers(w, r);
    glim_jw_key(w, "ignore_eos");
    glim_jw_bool(w, g->ignore_eos);
    glim_jw_key(w, "stream");
    glim_jw_bool(w, r->rq->stream);
    glim_jw_key(w, "stop");
    glim_jw_array(w);
    for (size_t i = 0; i < g->n_stop; i++)
        glim_jw_str(w, g->stops[i]);
    glim_jw_array_end(w);
    glim_jw_key(w, "logit_bias");
    glim_jw_array(w);
    for (size_t i = 0; i < g->n_bias; i++) {
        glim_jw_object(w);
        glim_jw_key(w, "token");
        glim_jw_i64(w, g->biases[i].id);
        glim_jw_key(w, "bias");
        glim_jw_f32(w, g->biases[i].bias);
        glim_jw_object_end(w);
    }
    glim_jw_array_end(w);
    glim_jw_object_end(w);
}

/* ---- probabilities and tokens ---------------------------------------------------------------- */

static void take_logprobs(glim_choice *c, glim_str text)
{
    const char *begin;
    const glim_lp_entry *e;
    glim_buf *list = &c->lp[0];
    while ((e = glim_lp_take(&c->queue, false, &text, &begin)) != NULL) {
        if (list->n) glim_buf_addc(list, ',');
        glim_buf_addv(list, glim_lp_json(&c->queue, e));
    }
}

/* What the choice's list holds. */
static void put_logprobs(glim_jw *w, glim_choice *c)
{
    glim_jw_array(w);
    glim_buf_addv(w->b, glim_buf_view(&c->lp[0]));
    glim_jw_array_end(w);
    glim_buf_cut(&c->lp[0], 0);
}

static void put_tokens(glim_jw *w, const glim_reply *r, glim_choice *c)
{
    if (own_of(r)->no_text) glim_buf_cut(&c->ids, 0);
    glim_reply_put_ids(c, w);
}

/* ---- objects --------------------------------------------------------------------------------- */

/* The last object of a choice: all that is known. */
static void put_all(glim_reply *r, glim_choice *c, glim_buf *out)
{
    const glim_llama_own *own = own_of(r);
    size_t i = index_of(r, c);
    const glim_raw_prompt *prompt = &r->rq->prompts[i / (size_t)r->rq->n];
    glim_usage u = c->usage;
    glim_jw w;
    if (own->no_text) {
        u.n_completion = 0;
        u.completion_ms = 0;
    }
    glim_jw_init(&w, out);
    glim_jw_object(&w);
    put_i64(&w, r, "index", (int64_t)i);
    put_str(&w, r, "content", glim_buf_view(&c->content));
    if (wants(&w, r, "tokens")) put_tokens(&w, r, c);
    put_i64(&w, r, "id_slot", -1);
    put_bool(&w, r, "stop", true);
    put_str(&w, r, "model", r->info->model);
    put_i64(&w, r, "tokens_predicted", u.n_completion);
    put_i64(&w, r, "tokens_evaluated", u.n_prompt);
    put_i64(&w, r, "tokens_cached", u.n_cached);
    if (wants(&w, r, "generation_settings")) put_settings(&w, r);
    if (prompt->text.p) put_str(&w, r, "prompt", prompt->text);
    put_bool(&w, r, "has_new_line", c->has_new_line);
    put_stop(&w, r, c);
    if (wants(&w, r, "timings")) put_timings(&w, &u);
    if (own->n_probs && wants(&w, r, "completion_probabilities")) put_logprobs(&w, c);
    glim_jw_object_end(&w);
}

static void put_piece(glim_reply *r, glim_choice *c, glim_str text, glim_buf *out)
{
    size_t i = index_of(r, c);
    glim_jw w;
    glim_jw_init(&w, out);
    glim_jw_object(&w);
    glim_jw_key(&w, "index");
    glim_jw_i64(&w, (int64_t)i);
    glim_jw_key(&w, "content");
    glim_jw_str(&w, text);
    glim_jw_key(&w, "tokens");
    put_tokens(&w, r, c);
    glim_jw_key(&w, "stop");
    glim_jw_bool(&w, false);
    glim_jw_key(&w, "id_slot");
    glim_jw_i64(&w, -1);
    glim_jw_key(&w, "tokens_predicted");
    glim_jw_i64(&w, glim_reply_n_completion(c));
    glim_jw_key(&w, "tokens_evaluated");
    glim_jw_i64(&w, glim_reply_n_prompt(r, i));
    if (own_of(r)->n_probs) {
        glim_jw_key(&w, "completion_probabilities");
        put_logprobs(&w, c);
    }
    glim_jw_object_end(&w);
}

/* ---- events ---------------------------------------------------------------------------------- */

static void say(glim_reply *r, glim_choice *c, glim_str text, glim_buf *out)
{
    if (text.n == 0 || own_of(r)->no_text) return;
    if (memchr(text.p, '\n', text.n)) c->has_new_line = true;
    take_logprobs(c, text);
    if (!r->rq->stream) {
        glim_buf_addv(&c->content, text);
        return;
    }
    glim_buf_adds(out, "data: ");
    put_piece(r, c, text, out);
    glim_buf_adds(out, "\n\n");
}

static void on_stop(glim_reply *r, glim_choice *c, const glim_event *ev, glim_buf *out)
{
    glim_lp_clear(&c->queue);
    glim_reply_stop(r, c, ev);
    if (!r->rq->stream) return;
    glim_buf_adds(out, "data: ");
    put_all(r, c, out);
    glim_buf_adds(out, "\n\n");
}

glim_err glim_llama_reply_event(glim_reply *r, size_t i_choice, const glim_event *ev, glim_buf *out)
{
    glim_err rc;
    size_t n_before = out->n;
    glim_choice *c = glim_reply_choice(r, i_choice, ev, &rc);
    if (!c) return rc;
    glim_reply_take_ids(r, c, ev);
    if (ev->kind == GLIM_EV_LOGPROBS && own_of(r)->n_probs)
        glim_lp_push(&c->queue, ev, GLIM_LP_LLAMA);
    else if (ev->kind == GLIM_EV_STOP)
        on_stop(r, c, ev, out);
    else if (ev->kind == GLIM_EV_CONTENT || ev->kind == GLIM_EV_REASONING)
        say(r, c, ev->text, out); /* raw output is content; nothing may get lost */
    rc = glim_reply_err(r, c, out);
    if (rc) glim_buf_cut(out, n_before); /* no half of a frame */
    return rc;
}

glim_err glim_llama_reply_end(glim_reply *r, glim_buf *out)
{
    if (r->rq->stream) return out->err;
    bool list = r->n_choice > 1;
    if (list) glim_buf_addc(out, '[');
    for (size_t i = 0; i < r->n_choice; i++) {
        if (i) glim_buf_addc(out, ',');
        put_all(r, &r->choices[i], out);
    }
    if (list) glim_buf_addc(out, ']');
    return out->err;
}
