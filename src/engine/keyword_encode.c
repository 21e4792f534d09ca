/* SPDX-License-Identifier: MIT
 * keyword_encode.c - keywords of a text with an encoder: candidates, their vectors, the choice.
 * Not here: candidates and choice themselves (keyword.c).
 * Thread: one call at a time a model.
 * Fails:  as those two and glim_embed(). */
#include "engine/engine_int.h"

void glim_keywords_free(glim_keywords *k)
{
    glim_free(k->p);
    *k = (glim_keywords){0};
}

/* What is held while keywords are looked for. */
typedef struct work {
    glim_encoder *m;
    glim_words words;
    glim_encoded *texts; /* [1 + words.n]: the text itself, then the words */
    float *vectors;      /* [1 + words.n][n_embd] */
    glim_keyword *chosen;
    size_t n_chosen;
} work;

static glim_err encode_all(work *w, glim_str text, glim_keywords *out, glim_error *e)
{
    const size_t n_max = (size_t)w->m->info.n_max, n = w->words.n;
    w->texts = glim_alloc_array(n + 1, sizeof *w->texts);
    if (!w->texts) return glim_fail(e, GLIM_E_NOMEM, "no memory for %zu keyword candidates", n);
    for (size_t i = 0; i <= n; i++) {
        glim_encoded *t = &w->texts[i];
        glim_err rc = glim_encode(w->m, i ? w->words.p[i - 1] : text, NULL, n_max, t, e);
        if (rc) return rc;
        out->n_token += t->n;
    }
    out->cut = w->texts[0].n < w->texts[0].n_full;
    return GLIM_OK;
}

static glim_err embed_all(work *w, bool (*cancelled)(void *user), void *user, glim_error *e)
{
    size_t n = w->words.n + 1, n_embd = (size_t)w->m->info.n_embd, row;
    glim_embed_opts o;
    glim_embed_opts_init(&o);
    o.cancelled = cancelled;
    o.user = user;
    w->vectors = glim_mul_size(n_embd, sizeof(float), &row) ? glim_alloc_array(n, row) : NULL;
    if (!w->vectors)
        return glim_fail(e, GLIM_E_NOMEM, "no memory for the vectors of %zu keyword candidates",
                         w->words.n);
    return glim_embed(w->m, w->texts, n, &o, w->vectors, e);
}

static glim_err select_words(work *w, const glim_keyword_opts *opts, glim_error *e)
{
    const size_t n = w->words.n, n_embd = (size_t)w->m->info.n_embd;
    w->chosen = glim_alloc_array(n, sizeof *w->chosen);
    if (!w->chosen) return glim_fail(e, GLIM_E_NOMEM, "no memory for %zu keyword candidates", n);
    return glim_keyword_select(w->vectors, w->vectors + n_embd, n, n_embd, opts, w->chosen,
                               &w->n_chosen, e);
}

static glim_err hand_over(work *w, glim_keywords *out, glim_error *e)
{
    out->p = glim_alloc_array(w->n_chosen, sizeof *out->p);
    if (!out->p) return glim_fail(e, GLIM_E_NOMEM, "no memory for %zu keywords", w->n_chosen);
    for (size_t i = 0; i < w->n_chosen; i++)
        out->p[i] = (glim_found_keyword){w->words.p[w->chosen[i].i_word], w->chosen[i].similarity};
    out->n = w->n_chosen;
    return GLIM_OK;
}

glim_err glim_keywords_of(glim_encoder *m, glim_str text, const glim_str *vocab, size_t n_vocab,
                          const glim_keyword_opts *opts, bool (*cancelled)(void *user), void *user,
                          glim_keywords *out, glim_error *e)
{
    work w = {.m = m};
    *out = (glim_keywords){0};
    glim_err rc = glim_keyword_check(opts, e); /* before the work, not behind it */
    if (!rc) rc = glim_keyword_candidates(text, vocab, n_vocab, &w.words, e);
    if (!rc && w.words.n) {
        rc = encode_all(&w, text, out, e);
        if (!rc) rc = embed_all(&w, cancelled, user, e);
        if (!rc) rc = select_words(&w, opts, e);
        if (!rc) rc = hand_over(&w, out, e);
    }
    for (size_t i = 0; w.texts && i <= w.words.n; i++)
        glim_encoded_free(&w.texts[i]);
    glim_free(w.texts);
    glim_free(w.vectors);
    glim_free(w.chosen);
    glim_words_free(&w.words);
    if (rc) glim_keywords_free(out);
    return rc;
}
