/* SPDX-License-Identifier: MIT
 * gen.c - one generation as a machine that goes on by steps: prefill in pieces, then token by token.
 * Layout: token -> bytes -> whole characters (detok) -> thought, answer, calls (parser) -> stop strings -> the
 *         caller's callback.
 * Not here: choosing a token (sample.c), settings (gen_opts.c), repetition (loop.c), forced calls
 *         (force.c), who goes on next (sched.c).
 * Thread: engine, but for new and free: any. The callback runs on the engine's.
 * Fails:  errors before the first token leave the session with the prompt's cached prefix; the STOP event is the
 *         last one of every stream that began. */
#include "engine/engine_int.h"

#include <math.h>
#include <stdio.h>

/* ---- one generation -------------------------------------------------------------------------- */

struct glim_gen {
    glim_model *m;
    glim_session *s; /* NULL while it waits for one */
    glim_gen_opts o;
    glim_event_fn fn;
    void *user;
    const glim_tool *tools;
    size_t n_tool;
    glim_start start;
    bool raw; /* everything is content */

    glim_ids ids;  /* the prompt, then what was taken of the answer: what the session shall hold */
    bool has_next; /* the token that follows ids is known */
    int32_t next;  /* it */
    int32_t think_end; /* id of the closing tag, -1: none */
    int64_t n_limit;   /* completion tokens there can be: n_max or the rest of the context */
    uint64_t t_begin, t_first;
    glim_usage usage;

    bool begun;
    glim_sampler sampler;
    glim_parser *parser; /* NULL: raw */
    glim_force *force;   /* NULL: no call is demanded */
    glim_detok detok;
    glim_buf bytes; /* whole characters of the token at hand */
    glim_buf held;  /* content that may be the beginning of a stop string */
    bool stop_hit, cancelled, call_done, thought_closed;
    glim_str stop_text;
    glim_rng id_rng;
    char call_id[32];
    glim_loop loop;
    glim_token_logprobs logprobs;
    glim_logprob top[GLIM_LOGPROBS_MAX];
};
typedef glim_gen gen;

static bool emit(gen *g, const glim_event *ev)
{
    glim_event out = *ev;
    out.usage = &g->usage; /* so far: some streams count in every chunk */
    if (!g->cancelled && !g->fn(g->user, &out)) g->cancelled = true;
    return !g->cancelled;
}

static bool emit_content(gen *g, glim_str text)
{
    const glim_event ev = {.kind = GLIM_EV_CONTENT, .text = text};
    return text.n == 0 || emit(g, &ev);
}

/* Where the first stop string begins in s, or SIZE_MAX; of several at one place the longest. */
static size_t find_stop(const gen *g, glim_str s, glim_str *which)
{
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < g->o.n_stop; i++) {
        size_t at = glim_str_find(s, g->o.stops[i]);
        if (at == SIZE_MAX || at > best || (at == best && g->o.stops[i].n <= which->n)) continue;
        best = at;
        *which = g->o.stops[i];
    }
    return best;
}

/* Length of the longest end of s that a stop string could continue. */
static size_t held_length(const gen *g, glim_str s)
{
    size_t longest = 0;
    for (size_t i = 0; i < g->o.n_stop; i++)
        for (size_t n = GLIM_MIN(g->o.stops[i].n - 1, s.n); n > longest; n--)
            if (glim_str_starts(g->o.stops[i], glim_str_sub(s, s.n - n, s.n))) longest = n;
    return longest;
}

/* Content on its way out: cut at a stop string, held back where one may begin. */
static bool content(gen *g, glim_str text)
{
    if (g->stop_hit) return true;
    if (g->o.n_stop == 0) return emit_content(g, text);
    if (glim_buf_addv(&g->held, text)) return false;
    size_t at = find_stop(g, glim_buf_view(&g->held), &g->stop_text);
    if (at != SIZE_MAX) {
        g->stop_hit = true;
        glim_buf_cut(&g->held, at + (g->o.keep_stop ? g->stop_text.n : 0));
        bool go_on = emit_content(g, glim_buf_view(&g->held));
        glim_buf_clear(&g->held);
        return go_on;
    }
    /* Whole characters only: a held end always begins where a stop string begins, which is a
     * character's first byte. */
    size_t out = g->held.n - held_length(g, glim_buf_view(&g->held));
    bool go_on = emit_content(g, glim_str_sub(glim_buf_view(&g->held), 0, out));
    glim_buf_drop(&g->held, out);
    return go_on;
}

static bool flush_held(gen *g)
{
    bool go_on = g->stop_hit || emit_content(g, glim_buf_view(&g->held));
    glim_buf_clear(&g->held);
    return go_on;
}

/* Events of the output parser, on their way to the caller. */
static bool on_parsed(void *user, const glim_event *ev)
{
    gen *g = user;
    if (ev->kind == GLIM_EV_CONTENT) return content(g, ev->text);
    if (g->stop_hit) return true; /* what follows a stop string was never said */
    /* What a stop string could have continued is whole once something else follows. */
    if (ev->kind != GLIM_EV_REASONING && !flush_held(g)) return false;
    glim_event out = *ev;
    if (ev->kind == GLIM_EV_CALL_END && g->o.one_call) g->call_done = true;
    if (ev->kind == GLIM_EV_CALL_BEGIN) {
        snprintf(g->call_id, sizeof g->call_id, "call_%016llx%08llx",
                 (unsigned long long)glim_rng_u64(&g->id_rng),
                 (unsigned long long)(glim_rng_u64(&g->id_rng) >> 32));
        out.id = glim_str_of(g->call_id);
    }
    return emit(g, &out);
}

static glim_err feed(gen *g, glim_str bytes, glim_error *e)
{
    if (bytes.n == 0) return GLIM_OK;
    if (!g->parser) {
        if (content(g, bytes)) return GLIM_OK;
        return g->held.err ? glim_fail(e, g->held.err, "held text")
                           : glim_fail(e, GLIM_E_CANCELLED, "cancelled by the caller");
    }
    return glim_parser_feed(g->parser, bytes, e);
}

/* A sampled token's text goes through the machine. Control tokens have no text of their own. */
static glim_err take_token(gen *g, int32_t id, glim_error *e)
{
    const glim_tokenizer *tok = g->m->vocab->tok;
    glim_token_attr attr = glim_token_get_attr(tok, id);
    if (g->parser && glim_parser_in_reasoning(g->parser)) g->usage.n_reasoning++;
    if (attr == GLIM_TOKEN_UNUSED) return GLIM_OK;
    if (attr == GLIM_TOKEN_CONTROL && !g->o.keep_special) return GLIM_OK;
    glim_buf_clear(&g->bytes);
    glim_err rc = glim_detok_push(&g->detok, glim_token_bytes(tok, id), &g->bytes);
    if (rc) return glim_fail(e, rc, "text of token %d", (int)id);
    return feed(g, glim_buf_view(&g->bytes), e);
}

typedef struct sample_call {
    gen *g;
    glim_err rc;
    glim_error e; /* its own: the evaluation reports the stop as a cancel and would overwrite it */
} sample_call;

/* The answer must have room, and a thought its limit: api clients get text, not an endless thought that ate
 * max_tokens. Small limits are left alone; there the caller asked for no more than a look. */
static bool must_close_thought(const gen *g)
{
    enum { LIMIT_MIN = 512, RESERVE_MAX = 1024 };
    if (!g->parser || g->thought_closed || g->think_end < 0 || !glim_parser_in_reasoning(g->parser))
        return false;
    if (g->o.think_budget >= 0 && g->usage.n_reasoning >= g->o.think_budget) return true;
    int64_t left = g->n_limit - g->usage.n_completion;
    return g->n_limit >= LIMIT_MIN && left <= GLIM_MIN(g->n_limit / 4, RESERVE_MAX);
}

static void note_logprobs(gen *g, const float *logits, size_t n_vocab)
{
    const glim_tokenizer *tok = g->m->vocab->tok;
    glim_token_logprobs *lp = &g->logprobs;
    size_t n = (size_t)g->o.n_logprob;
    glim_top_logprobs(logits, n_vocab, g->next, g->top, n, &lp->chosen);
    while (n && g->top[n - 1].id < 0)
        n--;
    for (size_t i = 0; i < n; i++)
        g->top[i].bytes = glim_token_bytes(tok, g->top[i].id);
    lp->chosen.bytes = glim_token_bytes(tok, g->next);
    lp->top = g->top;
    lp->n_top = n;
}

static bool sample_logits(void *user, int64_t pos, const float *logits, size_t n_vocab)
{
    sample_call *c = user;
    gen *g = c->g;
    const glim_vocab *v = g->m->vocab;
    bool no_end = g->o.ignore_eos || g->usage.n_completion < g->o.n_min;
    (void)pos;
    if (must_close_thought(g)) {
        g->next = g->think_end;
        g->thought_closed = true;
    } else {
        bool in_thought = g->parser && glim_parser_in_reasoning(g->parser);
        const float *from = logits;
        if (g->force && !in_thought) c->rc = glim_force_mask(g->force, logits, &from, &c->e);
        /* A mask may leave only what ends a turn out: no token is banned twice. */
        if (!c->rc)
            c->rc = glim_sample(&g->sampler, from, n_vocab, v->stops,
                                no_end && from == logits ? v->n_stop : 0, &g->next, &c->e);
        if (!c->rc && g->force && !in_thought) c->rc = glim_force_take(g->force, g->next, &c->e);
    }
    if (!c->rc && g->o.n_logprob >= 0) note_logprobs(g, logits, n_vocab);
    g->has_next = c->rc == GLIM_OK;
    return c->rc == GLIM_OK;
}

static bool emit_logprobs(gen *g)
{
    const glim_event ev = {.kind = GLIM_EV_LOGPROBS,
                           .logprobs = &g->logprobs,
                           .in_reasoning = g->parser && glim_parser_in_reasoning(g->parser)};
    return emit(g, &ev);
}

static glim_err was_cancelled(glim_error *e)
{
    return glim_fail(e, GLIM_E_CANCELLED, "cancelled by the caller");
}

/* Computes the ids [begin, end), all or the next part of what the session lacks; samples behind the
 * last one unless the next token is known already (a generation that lost its cache). */
static glim_err compute(gen *g, size_t begin, size_t end, glim_error *e)
{
    sample_call c = {.g = g};
    bool want = end == g->ids.n && !g->has_next;
    glim_err rc =
        glim_session_step(g->s, g->ids.p + begin, end - begin, want ? sample_logits : NULL, &c, e);
    if (c.rc && e) *e = c.e;
    return c.rc ? c.rc : rc;
}

/* ---- life ------------------------------------------------------------------------------------ */

#define HELD_MAX ((size_t)64 << 20)

static glim_err check_prompt(const glim_model *m, const int32_t *ids, size_t n, glim_error *e)
{
    if (n == 0)
        return glim_fail(e, GLIM_E_INPUT, "the prompt is empty: there is nothing to continue");
    if ((int64_t)n >= m->n_ctx)
        return glim_fail(e, GLIM_E_CONTEXT,
                         "the prompt has %zu tokens and the context holds %lld, with at least one "
                         "for the answer: shorten it or raise --ctx",
                         n, (long long)m->n_ctx);
    for (size_t i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= m->core->n_vocab)
            return glim_fail(
                e, GLIM_E_INPUT,
                "token id %d at position %zu is out of range: the vocabulary has ids 0 "
                "to %lld",
                (int)ids[i], i, (long long)m->core->n_vocab - 1);
    return GLIM_OK;
}

glim_err glim_gen_new(glim_model *m, const glim_gen_input *in, glim_event_fn fn, void *user,
                      glim_gen **out, glim_error *e)
{
    glim_err rc = check_prompt(m, in->ids, in->n_id, e);
    if (rc) return rc;
    gen *g = glim_new0(gen);
    if (!g) return glim_fail(e, GLIM_E_NOMEM, "generation");
    g->m = m;
    g->fn = fn;
    g->user = user;
    g->tools = in->tools;
    g->n_tool = in->n_tool;
    g->start = in->start;
    g->raw = in->raw;
    glim_buf_init(&g->bytes, HELD_MAX);
    glim_buf_init(&g->held, HELD_MAX);
    glim_ids_init(&g->ids, (size_t)m->n_ctx + 1);
    rc = glim_gen_resolve(m, in->opts, &g->o, e);
    for (size_t i = 0; !rc && i < in->n_id; i++)
        if ((rc = glim_ids_add(&g->ids, in->ids[i]))) rc = glim_fail(e, rc, "prompt");
    if (rc) {
        glim_gen_free(g);
        return rc;
    }
    glim_detok_init(&g->detok);
    glim_loop_init(&g->loop);
    g->think_end = glim_token_special(m->vocab->tok, GLIM_STR("</think>"));
    g->usage.n_prompt = (int64_t)in->n_id;
    /* The last token sampled is not computed: one more than there are places. */
    g->n_limit = m->n_ctx - g->usage.n_prompt + 1;
    if (g->o.n_max > 0) g->n_limit = GLIM_MIN(g->n_limit, g->o.n_max);
    *out = g;
    return GLIM_OK;
}

void glim_gen_free(glim_gen *g)
{
    if (!g) return;
    glim_gen_detach(g);
    glim_parser_free(g->parser);
    glim_force_free(g->force);
    if (g->begun) glim_sampler_deinit(&g->sampler);
    glim_buf_deinit(&g->bytes);
    glim_buf_deinit(&g->held);
    glim_ids_deinit(&g->ids);
    glim_free(g);
}

/* What only a running generation needs: some megabytes with a real vocabulary. */
static glim_err begin(gen *g, glim_error *e)
{
    static const glim_parse_start starts[] = {GLIM_PARSE_REASONING, GLIM_PARSE_CONTENT,
                                              GLIM_PARSE_AUTO};
    size_t n_vocab = (size_t)g->m->core->n_vocab;
    glim_err rc = glim_sampler_init(&g->sampler, &g->o, n_vocab, e);
    if (rc) return rc;
    g->begun = true;
    g->t_begin = glim_now_ns();
    /* A seeded run names its calls the same way each time; the session's count keeps two turns
     * apart. */
    glim_rng_seed(&g->id_rng, g->o.has_seed ? g->o.seed ^ (++g->s->n_call << 32) : glim_entropy());
    if (!g->raw)
        rc = glim_parser_new(starts[g->start], g->tools, g->n_tool, HELD_MAX, on_parsed, g,
                             &g->parser, e);
    if (!rc && g->o.call_required)
        rc = glim_force_new(g->m, g->tools, g->n_tool, &g->o, &g->force, e);
    for (size_t i = 0; !rc && i < g->ids.n; i++)
        rc = glim_sampler_see(&g->sampler, g->ids.p[i], false, e);
    return rc;
}

/* The longest beginning of the wanted ids that the session holds. The last id is always computed
 * when a token is to be sampled behind it. */
size_t glim_gen_shared(const glim_gen *g, const glim_session *s)
{
    size_t n = 0, max = g->has_next ? g->ids.n : g->ids.n - 1;
    max = GLIM_MIN(max, (size_t)s->n_token);
    while (n < max && s->tokens[n] == g->ids.p[n])
        n++;
    return n;
}

glim_err glim_gen_attach(glim_gen *g, glim_session *s, glim_error *e)
{
    bool first = !g->begun;
    g->s = s;
    glim_err rc = first ? begin(g, e) : GLIM_OK;
    size_t same = glim_gen_shared(g, s);
    glim_session_truncate(s, (int64_t)same);
    if (first) g->usage.n_cached = (int64_t)same;
    if (!rc && first) {
        const glim_event ev = {
            .kind = GLIM_EV_PROGRESS, .n_done = (int64_t)same, .n_total = g->usage.n_prompt};
        if (!emit(g, &ev)) rc = was_cancelled(e);
    }
    if (rc) g->s = NULL;
    return rc;
}

void glim_gen_detach(glim_gen *g)
{
    g->s = NULL;
}

int64_t glim_gen_n_missing(const glim_gen *g)
{
    return (int64_t)g->ids.n - g->s->n_token;
}

const glim_usage *glim_gen_usage(const glim_gen *g)
{
    return &g->usage;
}

int64_t glim_gen_piece(const glim_gen *g, bool others_wait)
{
    return glim_session_piece(g->s, glim_gen_n_missing(g), others_wait);
}

glim_err glim_gen_prefill(glim_gen *g, int64_t n_max, glim_error *e)
{
    size_t at = (size_t)g->s->n_token, end = g->ids.n;
    if (n_max > 0 && end - at > (size_t)n_max) end = at + (size_t)n_max;
    glim_err rc = compute(g, at, end, e);
    if (g->usage.n_completion == 0) {
        g->t_first = glim_now_ns();
        g->usage.prompt_ms = (double)(g->t_first - g->t_begin) / 1e6;
    }
    if (rc) return rc;
    /* A second prefill, after the cache was taken away, is nobody's business. */
    if (g->usage.n_completion > 0) return GLIM_OK;
    const glim_event ev = {
        .kind = GLIM_EV_PROGRESS, .n_done = (int64_t)end, .n_total = g->usage.n_prompt};
    return emit(g, &ev) ? GLIM_OK : was_cancelled(e);
}

static bool ends_answer(const gen *g, int32_t id)
{
    for (size_t i = 0; i < g->o.n_stop_id; i++)
        if (g->o.stop_ids[i] == id) return true;
    return glim_token_is_stop(g->m->vocab, id);
}

/* The text of a token that ends the answer is no part of it, unless it was asked for. */
static glim_err take_end(gen *g, int32_t id, glim_error *e)
{
    glim_str text = glim_token_bytes(g->m->vocab->tok, id);
    g->stop_text = text;
    if (!g->o.keep_stop && !g->o.keep_special) return GLIM_OK;
    glim_buf_clear(&g->bytes);
    glim_err rc = glim_detok_push(&g->detok, text, &g->bytes);
    if (rc) return glim_fail(e, rc, "text of token %d", (int)id);
    return feed(g, glim_buf_view(&g->bytes), e);
}

glim_err glim_gen_take(glim_gen *g, glim_stop_reason *why, glim_error *e)
{
    int32_t id = g->next;
    *why = GLIM_STOP_NONE;
    g->has_next = false;
    g->usage.n_completion++;
    g->usage.completion_ms = (double)(glim_now_ns() - g->t_first) / 1e6;
    if (ends_answer(g, id) && !(g->o.ignore_eos && glim_token_is_stop(g->m->vocab, id))) {
        *why = GLIM_STOP_END;
        return take_end(g, id, e);
    }
    glim_err rc = glim_sampler_see(&g->sampler, id, true, e);
    if (!rc && g->o.n_logprob >= 0 && !emit_logprobs(g)) rc = was_cancelled(e);
    if (!rc) rc = take_token(g, id, e);
    if (rc) return rc;
    bool looping = glim_loop_push(&g->loop, id) && g->o.loop_stop == GLIM_ON;
    *why = g->stop_hit                                             ? GLIM_STOP_STRING
           : g->call_done                                          ? GLIM_STOP_END
           : looping                                               ? GLIM_STOP_LOOP
           : g->o.n_max > 0 && g->usage.n_completion >= g->o.n_max ? GLIM_STOP_LENGTH
           : (int64_t)g->ids.n >= g->m->n_ctx                      ? GLIM_STOP_CONTEXT
                                                                   : GLIM_STOP_NONE;
    if (*why) return GLIM_OK;
    rc = glim_ids_add(&g->ids, id);
    return rc ? glim_fail(e, rc, "answer") : GLIM_OK;
}

glim_err glim_gen_finish(glim_gen *g, glim_stop_reason why, glim_error *e)
{
    glim_err rc = GLIM_OK;
    if (!g->stop_hit && why != GLIM_STOP_CANCEL) {
        glim_buf_clear(&g->bytes);
        rc = glim_detok_finish(&g->detok, &g->bytes);
        if (rc) rc = glim_fail(e, rc, "end of the text");
        if (!rc) rc = feed(g, glim_buf_view(&g->bytes), e);
        if (!rc && g->parser) rc = glim_parser_finish(g->parser, e);
        if (!rc && !flush_held(g)) rc = was_cancelled(e);
        if (!rc && g->stop_hit) why = GLIM_STOP_STRING;
    }
    if (rc == GLIM_E_CANCELLED) {
        why = GLIM_STOP_CANCEL;
        rc = GLIM_OK;
    }
    /* The token that ended the answer is nowhere yet: it is never computed. */
    const size_t n_answer = (size_t)g->usage.n_completion, n_prompt = (size_t)g->usage.n_prompt;
    if (!rc && n_answer && g->ids.n < n_prompt + n_answer && (rc = glim_ids_add(&g->ids, g->next)))
        rc = glim_fail(e, rc, "answer");
    if (rc) return rc;
    const glim_event ev = {.kind = GLIM_EV_STOP,
                           .reason = why,
                           .usage = &g->usage,
                           .stop_text = g->stop_text,
                           .ids = g->ids.p + n_prompt,
                           .n_id = g->ids.n - n_prompt};
    (void)g->fn(g->user, &ev); /* also to a callback that cancelled: it learns what was counted */
    return GLIM_OK;
}
