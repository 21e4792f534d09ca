/* SPDX-License-Identifier: MIT
 * generate.c - a prompt becomes a stream of events: prefill, then token by token.
 * Layout: token -> bytes -> whole characters (detok) -> thought, answer, calls (parser) -> stop strings -> the
 *         caller's callback.
 * Not here: choosing a token (sample.c), settings (gen_opts.c), repetition (loop.c).
 * Thread: engine; the callback runs on it.
 * Fails:  errors before the first token leave the session with the prompt's cached prefix; the STOP event is the
 *         last one of every stream that began. */
#include "engine/engine_int.h"

#include <math.h>
#include <stdio.h>

/* ---- one generation -------------------------------------------------------------------------- */

typedef struct gen {
    glim_session *s;
    glim_gen_opts o;
    glim_event_fn fn;
    void *user;
    glim_sampler sampler;
    glim_parser *parser; /* NULL: raw completion, everything is content */
    glim_detok detok;
    glim_buf bytes; /* whole characters of the token at hand */
    glim_buf held;  /* content that may be the beginning of a stop string */
    bool stop_hit;
    glim_str stop_text;
    bool cancelled; /* the callback said so */
    glim_rng id_rng;
    char call_id[32];
    glim_usage usage;
    glim_loop loop;
    int64_t n_limit;   /* completion tokens there can be: n_max or the rest of the context */
    int32_t think_end; /* id of the closing tag, -1: none */
    bool thought_closed;
    glim_token_logprobs logprobs;
    glim_logprob top[GLIM_LOGPROBS_MAX];
    int32_t next; /* sampled, not yet computed */
} gen;

static bool emit(gen *g, const glim_event *ev)
{
    if (!g->cancelled && !g->fn(g->user, ev)) g->cancelled = true;
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
        glim_buf_cut(&g->held, at);
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
    const glim_tokenizer *tok = g->s->m->vocab->tok;
    glim_token_attr attr = glim_token_get_attr(tok, id);
    if (g->parser && glim_parser_in_reasoning(g->parser)) g->usage.n_reasoning++;
    if (attr == GLIM_TOKEN_CONTROL || attr == GLIM_TOKEN_UNUSED) return GLIM_OK;
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
    const glim_tokenizer *tok = g->s->m->vocab->tok;
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
    const glim_vocab *v = g->s->m->vocab;
    bool no_end = g->o.ignore_eos || g->usage.n_completion < g->o.n_min;
    (void)pos;
    if (must_close_thought(g)) {
        g->next = g->think_end;
        g->thought_closed = true;
    } else {
        c->rc = glim_sample(&g->sampler, logits, n_vocab, v->stops, no_end ? v->n_stop : 0,
                            &g->next, &c->e);
    }
    if (!c->rc && g->o.n_logprob >= 0) note_logprobs(g, logits, n_vocab);
    return c->rc == GLIM_OK;
}

static bool on_prefill(void *user, int64_t done, int64_t total)
{
    gen *g = user;
    const glim_event ev = {.kind = GLIM_EV_PROGRESS,
                           .n_done = g->usage.n_cached + done,
                           .n_total = g->usage.n_cached + total};
    return emit(g, &ev);
}

/* Computes tokens and samples the one that follows into g->next. */
static glim_err step(gen *g, const int32_t *tokens, size_t n, bool prefill, glim_error *e)
{
    sample_call c = {.g = g};
    glim_err rc = glim_session_eval_progress(g->s, tokens, n, false, sample_logits, &c,
                                             prefill ? on_prefill : NULL, g, e);
    if (c.rc && e) *e = c.e;
    return c.rc ? c.rc : rc;
}

static glim_err prefill(gen *g, const glim_tokens *prompt, glim_error *e)
{
    glim_session *s = g->s;
    int64_t n = (int64_t)prompt->n, n_ctx = s->m->n_ctx, same = 0;
    if (n == 0)
        return glim_fail(e, GLIM_E_INPUT, "the prompt is empty: there is nothing to continue");
    if (n >= n_ctx)
        return glim_fail(e, GLIM_E_CONTEXT,
                         "the prompt has %lld tokens and the context holds %lld, with at least one "
                         "for the answer: shorten it or raise --ctx",
                         (long long)n, (long long)n_ctx);
    for (int64_t i = 0; i < n; i++)
        if (prompt->ids[i] >= s->m->core->n_vocab)
            return glim_fail(e, GLIM_E_INTERNAL, "token %d is not in the model",
                             (int)prompt->ids[i]);
    /* The last token is always computed: its logits are what is wanted. */
    while (same < n - 1 && same < s->n_token && s->tokens[same] == prompt->ids[same])
        same++;
    glim_session_truncate(s, same);
    g->usage.n_prompt = n;
    g->usage.n_cached = same;
    /* The last token sampled is not computed: one more than there are places. */
    g->n_limit = n_ctx - n + 1;
    if (g->o.n_max > 0) g->n_limit = GLIM_MIN(g->n_limit, g->o.n_max);
    for (int64_t i = 0; i < n; i++) {
        glim_err rc = glim_sampler_see(&g->sampler, prompt->ids[i], false, e);
        if (rc) return rc;
    }
    return step(g, prompt->ids + same, (size_t)(n - same), true, e);
}

static bool emit_logprobs(gen *g)
{
    const glim_event ev = {.kind = GLIM_EV_LOGPROBS,
                           .logprobs = &g->logprobs,
                           .in_reasoning = g->parser && glim_parser_in_reasoning(g->parser)};
    return emit(g, &ev);
}

/* Decodes until something ends it; *why says what. */
static glim_err decode(gen *g, glim_stop_reason *why, glim_error *e)
{
    glim_session *s = g->s;
    for (;;) {
        int32_t id = g->next;
        g->usage.n_completion++;
        if (glim_token_is_stop(s->m->vocab, id)) {
            g->stop_text = glim_token_bytes(s->m->vocab->tok, id);
            *why = GLIM_STOP_END;
            return GLIM_OK;
        }
        glim_err rc = glim_sampler_see(&g->sampler, id, true, e);
        if (!rc && g->o.n_logprob >= 0 && !emit_logprobs(g))
            rc = glim_fail(e, GLIM_E_CANCELLED, "cancelled by the caller");
        if (!rc) rc = take_token(g, id, e);
        if (rc) return rc;
        bool looping = glim_loop_push(&g->loop, id) && g->o.loop_stop == GLIM_ON;
        *why = g->stop_hit                                             ? GLIM_STOP_STRING
               : looping                                               ? GLIM_STOP_LOOP
               : g->o.n_max > 0 && g->usage.n_completion >= g->o.n_max ? GLIM_STOP_LENGTH
               : s->n_token >= s->m->n_ctx                             ? GLIM_STOP_CONTEXT
                                                                       : GLIM_STOP_NONE;
        if (*why) return GLIM_OK;
        if ((rc = step(g, &id, 1, false, e))) return rc;
    }
}

/* Ends the stream: what is held goes out, then the one STOP event. */
static glim_err finish(gen *g, glim_stop_reason why, glim_error *e)
{
    glim_err rc = GLIM_OK;
    if (!g->stop_hit && why != GLIM_STOP_CANCEL) {
        glim_buf_clear(&g->bytes);
        rc = glim_detok_finish(&g->detok, &g->bytes);
        if (rc) rc = glim_fail(e, rc, "end of the text");
        if (!rc) rc = feed(g, glim_buf_view(&g->bytes), e);
        if (!rc && g->parser) rc = glim_parser_finish(g->parser, e);
        if (!rc && !flush_held(g)) rc = glim_fail(e, GLIM_E_CANCELLED, "cancelled by the caller");
        if (!rc && g->stop_hit) why = GLIM_STOP_STRING;
    }
    if (rc == GLIM_E_CANCELLED) {
        why = GLIM_STOP_CANCEL;
        rc = GLIM_OK;
    }
    if (rc) return rc;
    const glim_event ev = {
        .kind = GLIM_EV_STOP, .reason = why, .usage = &g->usage, .stop_text = g->stop_text};
    (void)g->fn(g->user, &ev); /* also to a callback that cancelled: it learns what was counted */
    return GLIM_OK;
}

static glim_err run(gen *g, const glim_tokens *prompt, glim_error *e)
{
    glim_stop_reason why = GLIM_STOP_NONE;
    uint64_t t0 = glim_now_ns();
    glim_err rc = prefill(g, prompt, e);
    uint64_t t1 = glim_now_ns();
    g->usage.prompt_ms = (double)(t1 - t0) / 1e6;
    if (!rc) rc = decode(g, &why, e);
    if (rc == GLIM_E_CANCELLED) {
        why = GLIM_STOP_CANCEL;
        rc = GLIM_OK;
    }
    g->usage.completion_ms = (double)(glim_now_ns() - t1) / 1e6;
    return rc ? rc : finish(g, why, e);
}

#define HELD_MAX ((size_t)64 << 20)

/* chat NULL: raw. */
static glim_err generate(glim_session *s, const glim_tokens *prompt, const glim_chat *chat,
                         glim_start start, const glim_gen_opts *opts, glim_event_fn fn, void *user,
                         glim_error *e)
{
    static const glim_parse_start starts[] = {GLIM_PARSE_REASONING, GLIM_PARSE_CONTENT,
                                              GLIM_PARSE_AUTO};
    gen g = {.s = s, .fn = fn, .user = user};
    glim_err rc = glim_gen_resolve(s->m, opts, &g.o, e);
    if (rc) return rc;
    glim_buf_init(&g.bytes, HELD_MAX);
    glim_buf_init(&g.held, HELD_MAX);
    glim_detok_init(&g.detok);
    glim_loop_init(&g.loop);
    g.think_end = glim_token_special(s->m->vocab->tok, GLIM_STR("</think>"));
    /* A seeded run names its calls the same way each time; the session's count keeps two turns
     * apart. */
    glim_rng_seed(&g.id_rng, g.o.has_seed ? g.o.seed ^ (++s->n_call << 32) : glim_entropy());
    rc = glim_sampler_init(&g.sampler, &g.o, (size_t)s->m->core->n_vocab, e);
    if (!rc && chat)
        rc = glim_parser_new(starts[start], chat->tools, chat->n_tool, HELD_MAX, on_parsed, &g,
                             &g.parser, e);
    if (!rc) rc = run(&g, prompt, e);
    glim_parser_free(g.parser);
    glim_sampler_deinit(&g.sampler);
    glim_buf_deinit(&g.bytes);
    glim_buf_deinit(&g.held);
    return rc;
}

glim_err glim_generate(glim_session *s, const glim_chat *chat, const glim_gen_opts *gen_opts,
                       glim_event_fn fn, void *user, glim_error *e)
{
    glim_rendered r;
    glim_err rc = glim_render(s->m->vocab, NULL, chat, &r, e);
    if (rc) return rc;
    rc = generate(s, &r.tokens, chat, r.start, gen_opts, fn, user, e);
    glim_rendered_free(&r);
    return rc;
}

glim_err glim_generate_raw(glim_session *s, glim_str text, const glim_gen_opts *gen_opts,
                           glim_event_fn fn, void *user, glim_error *e)
{
    glim_tokens t;
    glim_err rc = glim_tokenize(s->m->vocab, text, true, &t, e);
    if (rc) return rc;
    rc = generate(s, &t, NULL, GLIM_START_CONTENT, gen_opts, fn, user, e);
    glim_tokens_free(&t);
    return rc;
}
