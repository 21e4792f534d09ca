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
    glim_free(s);
}

int64_t glim_session_n_token(const glim_session *s)
{
    return s->n_token;
}

void glim_session_truncate(glim_session *s, int64_t n)
{
    n = GLIM_MAX(n, 0);
    if (n >= s->n_token) return;
    s->n_token = n;
    int64_t keep = (n + GLIM_KV_PAGE - 1) / GLIM_KV_PAGE;
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

/* Logits of n_want final states, handed to fn one by one. first_pos: position of the first of them.
 */
static glim_err emit_logits(glim_session *s, const float *hidden, int64_t n_want, int64_t first_pos,
                            glim_logits_fn fn, void *user, glim_error *e)
{
    glim_model *m = s->m;
    const glim_core *c = m->core;
    glim_err rc = c->arch->head(c, &m->ops, hidden, n_want, m->logits, e);
    if (!rc) rc = glim_modelfile_check(m->file, e); /* nobody sees logits of missing weights */
    for (int64_t i = 0; !rc && i < n_want; i++)
        if (!fn(user, first_pos + i, m->logits + i * c->n_vocab, (size_t)c->n_vocab))
            rc = glim_fail(e, GLIM_E_CANCELLED, "cancelled by the caller");
    return rc;
}

/* One chunk. Logits are made GLIM_HEAD_ROWS rows at a time: a row of a real vocabulary is 620 kB.
 */
static glim_err eval_chunk(glim_session *s, const int32_t *tokens, int64_t n, bool all, bool last,
                           glim_logits_fn fn, void *user, glim_error *e)
{
    glim_model *m = s->m;
    const glim_core *c = m->core;
    int64_t n_want = !fn ? 0 : all ? n : last ? 1 : 0;
    glim_err rc = reserve_pages(s, s->n_token + n, e);
    if (rc) return rc;
    glim_mark mark = glim_arena_mark(m->ops.step);
    int64_t *want = GLIM_ARENA_ARRAY(m->ops.step, int64_t, GLIM_MAX(n_want, 1));
    float *hidden = GLIM_ARENA_ARRAY(m->ops.step, float, GLIM_MAX(n_want, 1) * c->n_embd);
    if (!want || !hidden)
        return glim_fail(e, GLIM_E_INTERNAL, "the scratch plan was too small; please report this");
    for (int64_t i = 0; i < n_want; i++)
        want[i] = n - n_want + i;

    const glim_kv_view kv = {m->kv.type, m->kv.width, m->kv.row_bytes, 0, s->page};
    const glim_run run = {&kv, s->n_token, n};
    const glim_batch batch = {.tokens = tokens,
                              .n_tok = n,
                              .runs = &run,
                              .n_run = 1,
                              .layer_bytes = m->kv.layer_bytes,
                              .form = m->form,
                              .want = want,
                              .n_want = n_want,
                              .hidden = hidden,
                              .cancelled = session_cancelled,
                              .user = s};
    rc = c->arch->forward(c, &m->ops, &batch, e);
    if (!rc) {
        memcpy(s->tokens + s->n_token, tokens, (size_t)n * sizeof *tokens);
        s->n_token += n;
    }
    for (int64_t i = 0; !rc && i < n_want; i += GLIM_HEAD_ROWS) {
        int64_t rows = GLIM_MIN(GLIM_HEAD_ROWS, n_want - i);
        rc = emit_logits(s, hidden + i * c->n_embd, rows, s->n_token - n_want + i, fn, user, e);
    }
    if (!rc && n_want == 0) rc = glim_modelfile_check(m->file, e);
    glim_arena_rewind(m->ops.step, mark);
    return rc;
}

glim_err glim_session_eval_progress(glim_session *s, const int32_t *tokens, size_t n, bool all,
                                    glim_logits_fn fn, void *user, glim_eval_progress progress,
                                    void *progress_user, glim_error *e)
{
    int64_t before = s->n_token, total = (int64_t)n;
    glim_err rc = check_tokens(s, tokens, n, e);
    if (rc) return rc;
    atomic_store_explicit(&s->cancel, false, memory_order_relaxed);
    for (int64_t done = 0; !rc && done < total;) {
        int64_t chunk = GLIM_MIN(s->m->n_chunk, total - done);
        rc = eval_chunk(s, tokens + done, chunk, all, done + chunk == total, fn, user, e);
        done += chunk;
        if (!rc && progress && !progress(progress_user, done, total))
            rc = glim_fail(e, GLIM_E_CANCELLED, "cancelled by the caller");
    }
    if (rc) glim_session_truncate(s, before);
    return rc;
}

glim_err glim_session_eval(glim_session *s, const int32_t *tokens, size_t n, bool all,
                           glim_logits_fn fn, void *user, glim_error *e)
{
    return glim_session_eval_progress(s, tokens, n, all, fn, user, NULL, NULL, e);
}
