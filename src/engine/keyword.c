/* SPDX-License-Identifier: MIT
 * keyword.c - keywords of a text: cosines, and the choice among words by their vectors.
 * Owns:   the three ways to choose: plain, maximal marginal relevance, max-sum.
 * Not here: vectors (an encoder's), which words there are (room text, words.c and wordfind.c).
 * Sums are made in double and in one fixed order, and ties go to the earlier word, so that the
 * choice does not depend on the compiler. A product of two floats is exact in double.
 * Thread: any, pure.
 * Fails:  INPUT naming the option and its range; NOMEM.   See: tests/unit/engine/test_keyword.c */
#include "engine/engine_int.h"

#include <math.h>
#include <stdlib.h>

/* ---- cosines --------------------------------------------------------------------------------- */

/* Four partial sums: element i belongs to sum i % 4. A single one would wait for itself. */
static double dot(const float *a, const float *b, size_t n)
{
    double s[4] = {0, 0, 0, 0};
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        s[0] += (double)a[i] * (double)b[i];
        s[1] += (double)a[i + 1] * (double)b[i + 1];
        s[2] += (double)a[i + 2] * (double)b[i + 2];
        s[3] += (double)a[i + 3] * (double)b[i + 3];
    }
    for (; i < n; i++)
        s[i % 4] += (double)a[i] * (double)b[i];
    return (s[0] + s[1]) + (s[2] + s[3]);
}

/* From a product of two vectors and their squared lengths. The squares of floats are far from the
 * ends of double's range, so the product of two sums of them neither overflows nor vanishes. */
static double cosine_of(double ab, double aa, double bb)
{
    double scale = sqrt(aa * bb);
    if (!(scale > 0) || !isfinite(scale) || !isfinite(ab)) return 0;
    double c = ab / scale;
    return c > 1 ? 1 : c < -1 ? -1 : c;
}

double glim_cosine(const float *a, const float *b, size_t n_dim)
{
    return cosine_of(dot(a, b, n_dim), dot(a, a, n_dim), dot(b, b, n_dim));
}

/* The words' vectors and what is known of them. */
typedef struct pick {
    const float *words;
    size_t n_word, n_dim;
    double *square;     /* [n_word] squared lengths */
    glim_keyword *near; /* [n_word] all words, the most similar first */
} pick;

static double alike(const pick *p, size_t i, size_t j)
{
    const float *a = p->words + i * p->n_dim, *b = p->words + j * p->n_dim;
    return cosine_of(dot(a, b, p->n_dim), p->square[i], p->square[j]);
}

static int by_similarity(const void *a, const void *b)
{
    const glim_keyword *x = a, *y = b;
    if (x->similarity != y->similarity) return x->similarity < y->similarity ? 1 : -1;
    return (x->i_word > y->i_word) - (x->i_word < y->i_word);
}

static void measure(pick *p, const float *doc)
{
    double doc_square = dot(doc, doc, p->n_dim);
    for (size_t i = 0; i < p->n_word; i++) {
        const float *w = p->words + i * p->n_dim;
        p->square[i] = dot(w, w, p->n_dim);
        p->near[i].i_word = i;
        p->near[i].similarity = cosine_of(dot(doc, w, p->n_dim), doc_square, p->square[i]);
    }
    qsort(p->near, p->n_word, sizeof *p->near, by_similarity);
}

/* ---- maximal marginal relevance -------------------------------------------------------------- */

/* Adds, one after the other, the word with the best (1 - diversity) * similarity - diversity * its
 * likeness to the nearest word chosen so far. p->near[0 .. n) are the chosen ones at the end. */
static glim_err choose_mmr(pick *p, size_t n, double diversity, glim_error *e)
{
    double *nearest = glim_alloc_array(p->n_word, sizeof *nearest);
    if (!nearest)
        return glim_fail(e, GLIM_E_NOMEM, "likeness of %zu keyword candidates", p->n_word);
    for (size_t n_done = 1; n_done < n; n_done++) {
        const glim_keyword *last = &p->near[n_done - 1];
        size_t best = n_done;
        double best_score = -INFINITY;
        for (size_t k = n_done; k < p->n_word; k++) {
            const glim_keyword *w = &p->near[k];
            double c = alike(p, last->i_word, w->i_word), *most = &nearest[w->i_word];
            if (n_done == 1 || c > *most) *most = c;
            double score = (1 - diversity) * w->similarity - diversity * *most;
            if (score > best_score || (score == best_score && w->i_word < p->near[best].i_word)) {
                best = k;
                best_score = score;
            }
        }
        glim_keyword chosen = p->near[best];
        p->near[best] = p->near[n_done];
        p->near[n_done] = chosen;
    }
    glim_free(nearest);
    return GLIM_OK;
}

/* ---- max-sum --------------------------------------------------------------------------------- */

enum { MAX = GLIM_MAXSUM_CANDIDATES };

typedef struct subsets {
    size_t n, n_pick;
    double pair[MAX][MAX];
    /* [depth][i]: likeness of candidate i to the depth candidates chosen so far, summed. */
    double sum[MAX + 1][MAX];
    uint8_t now[MAX], best[MAX];
    double best_sum;
} subsets;

/* Every subset that goes on from `depth` candidates, the next one being `from` or later. Each step
 * adds one row to the sums, so that a subset costs one addition and not one a pair; subsets come in
 * lexicographic order, and of equal ones the first stays. */
static void try_subsets(subsets *s, size_t depth, size_t from, double total)
{
    const double *sum = s->sum[depth];
    for (size_t i = from; i + (s->n_pick - depth) <= s->n; i++) {
        s->now[depth] = (uint8_t)i;
        double with = total + sum[i];
        if (depth + 1 < s->n_pick) {
            for (size_t j = i + 1; j < s->n; j++)
                s->sum[depth + 1][j] = sum[j] + s->pair[i][j];
            try_subsets(s, depth + 1, i + 1, with);
        } else if (with < s->best_sum) {
            s->best_sum = with;
            memcpy(s->best, s->now, s->n_pick);
        }
    }
}

static int by_distance(const void *a, const void *b)
{
    const glim_keyword *x = a, *y = b;
    if (x->similarity != y->similarity) return x->similarity < y->similarity ? -1 : 1;
    return (x->i_word > y->i_word) - (x->i_word < y->i_word);
}

/* Subsets of the candidates, the least similar first: KeyBERT's order, which decides between equal
 * sums. For a single word all sums are equal, so that it is the last of the candidates. */
static void choose_maxsum(pick *p, size_t n)
{
    subsets s = {.n = GLIM_MIN(p->n_word, (size_t)MAX), .n_pick = n, .best_sum = INFINITY};
    glim_keyword candidates[MAX];
    memcpy(candidates, p->near, s.n * sizeof *candidates);
    qsort(candidates, s.n, sizeof *candidates, by_distance);
    for (size_t i = 0; i < s.n; i++)
        for (size_t j = i + 1; j < s.n; j++)
            s.pair[i][j] = alike(p, candidates[i].i_word, candidates[j].i_word);
    try_subsets(&s, 0, 0, 0);
    for (size_t k = 0; k < n; k++)
        p->near[k] = candidates[s.best[k]];
}

/* ---- the choice ------------------------------------------------------------------------------ */

void glim_keyword_opts_init(glim_keyword_opts *o)
{
    *o = (glim_keyword_opts){.size = sizeof *o, .top = 10, .diversity = 0.3};
}

static glim_err resolve(const glim_keyword_opts *given, glim_keyword_opts *o, glim_error *e)
{
    glim_keyword_opts_init(o);
    if (given) memcpy(o, given, GLIM_MIN(given->size, sizeof *o));
    if (o->top < 1)
        return glim_fail(e, GLIM_E_INPUT, "top: %lld keywords; ask for at least 1",
                         (long long)o->top);
    if (!(o->diversity >= 0 && o->diversity <= 1))
        return glim_fail(e, GLIM_E_INPUT, "diversity: %g is beyond 0 to 1", o->diversity);
    return GLIM_OK;
}

glim_err glim_keyword_check(const glim_keyword_opts *opts, glim_error *e)
{
    glim_keyword_opts o;
    return resolve(opts, &o, e);
}

static glim_err choose(pick *p, const glim_keyword_opts *o, size_t *n_out, glim_error *e)
{
    size_t n = (uint64_t)o->top < p->n_word ? (size_t)o->top : p->n_word;
    if (!o->mmr && o->maxsum) n = GLIM_MIN(n, (size_t)MAX);
    *n_out = n;
    if (n == p->n_word) return GLIM_OK; /* nothing to choose */
    if (o->mmr) return choose_mmr(p, n, o->diversity, e);
    if (o->maxsum) choose_maxsum(p, n);
    return GLIM_OK;
}

glim_err glim_keyword_select(const float *doc, const float *words, size_t n_word, size_t n_dim,
                             const glim_keyword_opts *opts, glim_keyword *out, size_t *n_out,
                             glim_error *e)
{
    glim_keyword_opts o;
    *n_out = 0;
    glim_err rc = resolve(opts, &o, e);
    if (rc) return rc;
    if (n_dim == 0) return glim_fail(e, GLIM_E_INPUT, "vectors of keywords without any element");
    if (n_word == 0) return GLIM_OK;
    pick p = {.words = words, .n_word = n_word, .n_dim = n_dim};
    p.square = glim_alloc_array(n_word, sizeof *p.square);
    p.near = glim_alloc_array(n_word, sizeof *p.near);
    if (!p.square || !p.near) {
        rc = glim_fail(e, GLIM_E_NOMEM, "similarities of %zu keyword candidates", n_word);
    } else {
        measure(&p, doc);
        rc = choose(&p, &o, n_out, e);
    }
    if (!rc) {
        qsort(p.near, *n_out, sizeof *p.near, by_similarity);
        memcpy(out, p.near, *n_out * sizeof *out);
    } else {
        *n_out = 0;
    }
    glim_free(p.square);
    glim_free(p.near);
    return rc;
}

/* ---- candidates ------------------------------------------------------------------------------ */

void glim_words_free(glim_words *w)
{
    glim_free(w->p);
    *w = (glim_words){0};
}

glim_err glim_keyword_candidates(glim_str text, const glim_str *vocab, size_t n_vocab,
                                 glim_words *out, glim_error *e)
{
    glim_word_list found = {0};
    glim_err rc = n_vocab ? glim_words_find(text, vocab, n_vocab, &found, e)
                          : glim_words_frequent(text, GLIM_KEYWORD_WORDS, &found, e);
    *out = (glim_words){found.p, found.n};
    return rc;
}
