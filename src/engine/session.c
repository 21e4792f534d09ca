/* SPDX-License-Identifier: MIT
 * session.c - one timeline of tokens: its pages, and the chunked evaluation of new tokens.
 * Owns:   the session's token list and its pages of the model's pool.
 * Thread: engine; glim_session_cancel() any.
 * Fails:  an evaluation that fails leaves the timeline as it was before. */
#include "engine/engine_int.h"

glim_err glim_session_new(glim_model *m, glim_session **out, glim_error *e)
{
    glim_session *s = glim_new0(glim_session);
    int64_t n_page = (m->n_ctx + GLIM_KV_PAGE - 1) / GLIM_KV_PAGE;
    if (s) {
        s->m = m;
        s->tokens = glim_alloc_array((size_t)m->n_ctx, sizeof *s->tokens);
        s->page = glim_alloc_array((size_t)n_page, sizeof *s->page);
    }
    if (!s || !s->tokens || !s->page) {
        glim_session_free(s);
        return glim_fail(e, GLIM_E_NOMEM, "session of %lld tokens", (long long)m->n_ctx);
    }
    *out = s;
    return GLIM_OK;
}

void glim_session_free(glim_session *s)
{
    if (!s) return;
    if (s->page)
        while (s->n_page)
            glim_kv_page_give(&s->m->kv, s->page[--s->n_page]);
    glim_free(s->page);
    glim_free(s->tokens);
    glim_free(s->script);
    glim_free(s);
}

int64_t glim_session_n_token(const glim_session *s)
{
    return s->n_token;
}

void glim_session_truncate(glim_session *s, int64_t n)
{
    s->n_token = GLIM_MIN(s->n_token, GLIM_MAX(n, 0));
    int64_t keep = (s->n_token + GLIM_KV_PAGE - 1) / GLIM_KV_PAGE;
    while (s->n_page > keep)
        glim_kv_page_give(&s->m->kv, s->page[--s->n_page]);
}

void glim_session_cancel(glim_session *s)
{
    atomic_store_explicit(&s->cancel, true, memory_order_relaxed);
}

static bool session_cancelled(void *user)
{
    glim_session *s = user;
    atomic_store_explicit(&s->m->beat_ns, glim_now_ns(), memory_order_relaxed);
    return atomic_load_explicit(&s->cancel, memory_order_relaxed);
}

static glim_err reserve_pages(glim_session *s, int64_t n_token, glim_error *e)
{
    int64_t need = (n_token + GLIM_KV_PAGE - 1) / GLIM_KV_PAGE;
    while (s->n_page < need) {
        uint8_t *page = glim_kv_page_take(&s->m->kv);
        if (!page)
            return glim_fail(e, GLIM_E_FULL,
                             "no cache page is free for %lld tokens; use a larger --ctx",
                             (long long)n_token);
        s->page[s->n_page++] = page;
    }
    return GLIM_OK;
}

static glim_err check_tokens(const glim_session *s, const int32_t *tokens, size_t n, glim_error *e)
{
    const glim_model *m = s->m;
    if (n > (size_t)(m->n_ctx - s->n_token))
        return glim_fail(
            e, GLIM_E_CONTEXT,
            "%zu tokens do not fit: the context holds %lld and %lld are taken; use a larger --ctx",
            n, (long long)m->n_ctx, (long long)s->n_token);
    for (size_t i = 0; i < n; i++)
        if (tokens[i] < 0 || tokens[i] >= m->core->n_vocab)
            return glim_fail(
                e, GLIM_E_INPUT,
                "token id %d at position %zu is out of range: the vocabulary has ids 0 to %lld",
                (int)tokens[i], i, (long long)m->core->n_vocab - 1);
    return GLIM_OK;
}

glim_err glim_session_fill_noise(glim_session *s, int64_t n, uint64_t seed, glim_error *e)
{
    const glim_kv_pool *pool = &s->m->kv;
    int64_t before = s->n_token, room = s->m->n_ctx - before;
    if (n < 0 || n > room)
        return glim_fail(e, GLIM_E_CONTEXT,
                         "%lld tokens of noise do not fit: there is room for %lld", (long long)n,
                         (long long)room);
    /* Speed does not depend on the numbers: one page of them serves for all layers and positions. */
    uint8_t *rows = glim_alloc(pool->layer_bytes);
    float *row = glim_alloc_array((size_t)pool->width, sizeof *row);
    glim_err rc = rows && row ? reserve_pages(s, before + n, e)
                              : glim_fail(e, GLIM_E_NOMEM, "a page of noise");
    glim_rng rng;
    glim_rng_seed(&rng, seed);
    for (int64_t i = 0; !rc && i < GLIM_KV_PAGE; i++) {
        for (int64_t k = 0; k < pool->width; k++)
            row[k] = (float)(glim_rng_f64(&rng) * 2 - 1);
        s->m->ops.k->pack[pool->type](row, rows + (size_t)i * pool->row_bytes, pool->width);
    }
    for (int64_t at = before; !rc && at < before + n;) {
        int64_t i = at % GLIM_KV_PAGE, k = GLIM_MIN(GLIM_KV_PAGE - i, before + n - at);
        for (int64_t l = 0; l < pool->n_layer; l++)
            memcpy(s->page[at / GLIM_KV_PAGE] + (size_t)l * pool->layer_bytes +
                       (size_t)i * pool->row_bytes,
                   rows + (size_t)i * pool->row_bytes, (size_t)k * pool->row_bytes);
        memset(s->tokens + at, 0, (size_t)k * sizeof *s->tokens);
        at += k;
    }
    if (!rc) s->n_token = before + n;
    glim_free(rows);
    glim_free(row);
    return rc;
}

typedef glim_err (*head_fn)(const glim_core *c, glim_ops *o, const float *states, int64_t n,
                            float *logits, glim_error *e);

/* Logits of n final states of positions pos.., handed to fn one by one. A row of a real vocabulary is
 * 620 kB, so they are made GLIM_HEAD_ROWS at a time. */
static glim_err emit_logits(glim_session *s, head_fn head, const float *states, int64_t n,
                            int64_t pos, glim_logits_fn fn, void *user, glim_error *e)
{
    glim_model *m = s->m;
    const glim_core *c = m->core;
    glim_err rc = GLIM_OK;
    for (int64_t i = 0; !rc && i < n; i += GLIM_HEAD_ROWS) {
        int64_t rows = GLIM_MIN(GLIM_HEAD_ROWS, n - i);
        rc = head(c, &m->ops, states + i * c->n_embd, rows, m->logits, e);
        if (!rc) rc = glim_modelfile_check(m->file, e); /* nobody sees logits of missing weights */
        for (int64_t r = 0; !rc && r < rows; r++)
            if (!fn(user, pos + i + r, m->logits + r * c->n_vocab, (size_t)c->n_vocab))
                rc = glim_fail(e, GLIM_E_CANCELLED, "cancelled by the caller");
    }
    return rc;
}

/* A batch of this session alone, at positions pos0... */
static glim_batch batch_of(glim_session *s, const int32_t *tokens, const glim_run *run)
{
    return (glim_batch){.tokens = tokens,
                        .n_tok = run->n_tok,
                        .runs = run,
                        .n_run = 1,
                        .layer_bytes = s->m->kv.layer_bytes,
                        .form = s->m->form,
                        .cancelled = session_cancelled,
                        .user = s};
}

static glim_kv_view view_of(const glim_session *s)
{
    const glim_kv_pool *p = &s->m->kv;
    return (glim_kv_view){p->type, p->width, p->row_bytes, 0, s->page};
}

/* Room in the step arena for n_want states and their row numbers. */
typedef struct wanted {
    int64_t *rows;
    float *states;
} wanted;

static glim_err take_wanted(glim_session *s, int64_t n_want, wanted *w, glim_error *e)
{
    glim_arena *a = s->m->ops.step;
    w->rows = GLIM_ARENA_ARRAY(a, int64_t, GLIM_MAX(n_want, 1));
    w->states = GLIM_ARENA_ARRAY(a, float, GLIM_MAX(n_want, 1) * s->m->core->n_embd);
    if (w->rows && w->states) return GLIM_OK;
    return glim_fail(e, GLIM_E_INTERNAL, "the scratch plan was too small; please report this");
}

/* Computes n tokens through the trunk and takes them into the timeline; the final states of the last
 * n_want of them are left in w. */
static glim_err run_trunk(glim_session *s, const int32_t *tokens, int64_t n, int64_t n_want,
                          const wanted *w, glim_error *e)
{
    const glim_core *c = s->m->core;
    glim_err rc = reserve_pages(s, s->n_token + n, e);
    if (rc) return rc;
    for (int64_t i = 0; i < n_want; i++)
        w->rows[i] = n - n_want + i;
    const glim_kv_view kv = view_of(s);
    const glim_run run = {&kv, s->n_token, n};
    glim_batch batch = batch_of(s, tokens, &run);
    batch.want = w->rows;
    batch.n_want = n_want;
    batch.hidden = w->states;
    rc = c->arch->forward(c, &s->m->ops, &batch, e);
    if (!rc) rc = glim_modelfile_check(s->m->file, e);
    if (rc) return rc;
    memcpy(s->tokens + s->n_token, tokens, (size_t)n * sizeof *tokens);
    s->n_token += n;
    return GLIM_OK;
}

static glim_err eval_chunk(glim_session *s, const int32_t *tokens, int64_t n, bool all, bool last,
                           glim_logits_fn fn, void *user, glim_error *e)
{
    int64_t n_want = !fn ? 0 : all ? n : last ? 1 : 0;
    glim_mark mark = glim_arena_mark(s->m->ops.step);
    wanted w;
    glim_err rc = take_wanted(s, n_want, &w, e);
    if (!rc) rc = run_trunk(s, tokens, n, n_want, &w, e);
    if (!rc)
        rc = emit_logits(s, s->m->core->arch->head, w.states, n_want, s->n_token - n_want, fn, user,
                         e);
    glim_arena_rewind(s->m->ops.step, mark);
    return rc;
}

/* Trunk and prediction layer over one chunk of an evaluation that began with an empty session. The last
 * token of all has no successor, so no row. fn gets the rows from first_row on. */
static glim_err predict_chunk(glim_session *s, const int32_t *tokens, int64_t n, int64_t n_total,
                              int64_t first_row, glim_logits_fn fn, void *user, glim_error *e)
{
    const glim_core *c = s->m->core;
    int64_t pos0 = s->n_token, n_row = GLIM_MIN(n, n_total - 1 - pos0),
            skip = GLIM_MAX(first_row - pos0, 0);
    glim_mark mark = glim_arena_mark(s->m->ops.step);
    wanted w;
    glim_err rc = take_wanted(s, n, &w, e);
    if (!rc) rc = run_trunk(s, tokens, n, n, &w, e);
    if (!rc && n_row > 0) {
        const glim_kv_view kv = view_of(s);
        const glim_run run = {&kv, pos0, n_row};
        const glim_batch batch = batch_of(s, tokens + 1, &run);
        rc = c->arch->predict(c, &s->m->ops, &batch, w.states, w.states, e);
    }
    if (!rc && fn && skip < n_row)
        rc = emit_logits(s, c->arch->predict_head, w.states + skip * c->n_embd, n_row - skip,
                         pos0 + skip, fn, user, e);
    glim_arena_rewind(s->m->ops.step, mark);
    return rc;
}

int64_t glim_session_piece(const glim_session *s, int64_t n, bool short_piece)
{
    enum { SHORT = 64 };
    int64_t at = s->n_token, chunk = s->m->n_chunk, end = (at / chunk + 1) * chunk;
    if (at < GLIM_MLA_ABSORBED_BELOW)
        end = GLIM_MIN(at + GLIM_MIN(chunk, short_piece ? SHORT : chunk), GLIM_MLA_ABSORBED_BELOW);
    return GLIM_MIN(end - at, n);
}

glim_err glim_session_eval(glim_session *s, const int32_t *tokens, size_t n, bool all,
                           glim_logits_fn fn, void *user, glim_error *e)
{
    int64_t before = s->n_token, total = (int64_t)n;
    glim_err rc = check_tokens(s, tokens, n, e);
    if (rc) return rc;
    glim_session_uncancel(s);
    for (int64_t done = 0; !rc && done < total;) {
        int64_t chunk = glim_session_piece(s, total - done, false);
        rc = eval_chunk(s, tokens + done, chunk, all, done + chunk == total, fn, user, e);
        done += chunk;
    }
    if (rc) glim_session_truncate(s, before);
    return rc;
}

void glim_session_uncancel(glim_session *s)
{
    atomic_store_explicit(&s->cancel, false, memory_order_relaxed);
}

glim_err glim_session_step(glim_session *s, const int32_t *tokens, size_t n, glim_logits_fn fn,
                           void *user, glim_error *e)
{
    int64_t before = s->n_token;
    if (s->m->stepper) return s->m->stepper->step(s, tokens, n, fn, user, e);
    glim_err rc = check_tokens(s, tokens, n, e);
    if (rc) return rc;
    if (GLIM_NEVER((int64_t)n > s->m->n_chunk))
        return glim_fail(e, GLIM_E_INTERNAL, "a step of %zu tokens; please report this", n);
    rc = eval_chunk(s, tokens, (int64_t)n, false, true, fn, user, e);
    if (rc) glim_session_truncate(s, before);
    return rc;
}

glim_err glim_session_predict(glim_session *s, const int32_t *tokens, size_t n, bool all,
                              glim_logits_fn fn, void *user, glim_error *e)
{
    int64_t total = (int64_t)n;
    if (!s->m->core->n_predict)
        return glim_fail(e, GLIM_E_UNSUPPORTED, "%s: no prediction layer (MTP) in this file",
                         glim_modelfile_path(s->m->file));
    if (!s->m->predict || s->n_token > 0)
        return glim_fail(e, GLIM_E_STATE, "%s",
                         s->n_token > 0 ? "predictions begin with an empty session"
                                        : "the model was opened without opts.predict");
    if (n < 2)
        return glim_fail(e, GLIM_E_INPUT, "a prediction needs two tokens at least; there are %zu",
                         n);
    glim_err rc = check_tokens(s, tokens, n, e);
    if (rc) return rc;
    atomic_store_explicit(&s->cancel, false, memory_order_relaxed);
    for (int64_t done = 0; !rc && done < total;) {
        int64_t chunk = GLIM_MIN(s->m->n_chunk, total - done);
        rc = predict_chunk(s, tokens + done, chunk, total, all ? 0 : total - 2, fn, user, e);
        done += chunk;
    }
    if (rc) glim_session_truncate(s, 0);
    return rc;
}
