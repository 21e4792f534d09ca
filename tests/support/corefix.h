/* SPDX-License-Identifier: MIT
 * corefix.h - a model core with everything a forward pass needs, for tests of room models: file,
 * pool, kernels, a step arena of exactly the planned size, cache pages. Include after cmocka.h. */
#ifndef GLIM_TESTS_COREFIX_H
#define GLIM_TESTS_COREFIX_H

#include "models/models.h"

#include <math.h>

typedef struct corefix {
    glim_modelfile *f;
    glim_core *c;
    glim_kernels k;
    glim_ops o;
    int64_t n_tok_max; /* tokens of a batch */
} corefix;

static inline glim_load_opts corefix_opts(void)
{
    return (glim_load_opts){.rank_norm_eps = NAN};
}

static inline void corefix_open(corefix *x, const char *path, glim_cpu_level level, int n_thread,
                                int64_t n_tok_max)
{
    glim_error e = {0};
    glim_load_opts opts = corefix_opts();
    *x = (corefix){.n_tok_max = n_tok_max};
    if (glim_modelfile_open(path, 0, &x->f, &e) || glim_core_load(x->f, &opts, &x->c, &e) ||
        glim_pool_new(n_thread, &x->o.pool, &e))
        fail_msg("%s: %s", path, e.msg);
    glim_kernels_get(level, &x->k);
    x->o.k = &x->k;
    x->o.step = glim_arena_new_fixed(x->c->arch->scratch_bytes(x->c, n_tok_max, n_thread));
    assert_non_null(x->o.step);
}

static inline void corefix_close(corefix *x)
{
    glim_arena_free(x->o.step);
    glim_pool_free(x->o.pool);
    glim_core_free(x->c);
    glim_modelfile_close(x->f);
}

/* The cache of one sequence. */
typedef struct corefix_kv {
    glim_kv_view view;
    uint8_t **page;
    int64_t n_page;
    size_t layer_bytes;
} corefix_kv;

static inline void corefix_kv_open(corefix_kv *kv, const corefix *x, glim_type type, int64_t n_pos)
{
    int64_t n_layer = x->c->n_layer + x->c->n_predict;
    size_t row = (size_t)x->c->kv_width * glim_type_get(type)->block_bytes;
    *kv = (corefix_kv){.n_page = (n_pos + GLIM_KV_PAGE - 1) / GLIM_KV_PAGE,
                       .layer_bytes = row * GLIM_KV_PAGE};
    kv->page = glim_alloc_array((size_t)kv->n_page, sizeof *kv->page);
    for (int64_t i = 0; i < kv->n_page; i++) {
        kv->page[i] = glim_alloc(kv->layer_bytes * (size_t)n_layer);
        /* what was there before must never be read: NaN in every type */
        memset(kv->page[i], 0xff, kv->layer_bytes * (size_t)n_layer);
    }
    kv->view = (glim_kv_view){type, x->c->kv_width, row, 0, kv->page};
}

static inline void corefix_kv_close(corefix_kv *kv)
{
    for (int64_t i = 0; i < kv->n_page; i++)
        glim_free(kv->page[i]);
    glim_free(kv->page);
}

/* How a sequence is computed. */
typedef struct corefix_way {
    glim_type kv;
    glim_mla_form form;
    int64_t n_chunk;
} corefix_way;

/* Logits of all positions, [n][n_vocab]; glim_free() them. */
static inline float *corefix_logits(corefix *x, corefix_way way, const int32_t *tokens, int64_t n)
{
    const glim_core *c = x->c;
    corefix_kv kv;
    glim_error e = {0};
    float *hidden = glim_alloc_array((size_t)(n * c->n_embd), sizeof *hidden),
          *logits = glim_alloc_array((size_t)(n * c->n_vocab), sizeof *logits);
    int64_t *want = glim_alloc_array((size_t)n, sizeof *want);
    corefix_kv_open(&kv, x, way.kv, n);
    for (int64_t i = 0; i < n; i++)
        want[i] = i;
    for (int64_t at = 0; at < n; at += way.n_chunk) {
        int64_t m = GLIM_MIN(way.n_chunk, n - at);
        const glim_run run = {&kv.view, at, m};
        const glim_batch b = {.tokens = tokens + at,
                              .n_tok = m,
                              .runs = &run,
                              .n_run = 1,
                              .layer_bytes = kv.layer_bytes,
                              .form = way.form,
                              .want = want,
                              .n_want = m,
                              .hidden = hidden + at * c->n_embd};
        uint64_t before = glim_alloc_count();
        if (c->arch->forward(c, &x->o, &b, &e) ||
            c->arch->head(c, &x->o, b.hidden, m, logits + at * c->n_vocab, &e))
            fail_msg("%s", e.msg);
        assert_int_equal(glim_alloc_count(), before); /* nothing is allocated in a step */
    }
    assert_int_equal(glim_arena_used(x->o.step), 0);
    for (int64_t i = 0; i < n * c->n_vocab; i++)
        if (!isfinite(logits[i])) fail_msg("logit %lld is %g", (long long)i, (double)logits[i]);
    corefix_kv_close(&kv);
    glim_free(hidden);
    glim_free(want);
    return logits;
}

static inline void corefix_same(const char *what, const float *a, const float *b, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (memcmp(&a[i], &b[i], sizeof *a) != 0)
            fail_msg("%s: value %lld of %lld: %.9g and %.9g", what, (long long)i, (long long)n,
                     (double)a[i], (double)b[i]);
}

/* Largest difference of a row over the largest value of the truth. */
static inline double corefix_row_error(const float *got, const float *want, int64_t n)
{
    double worst = 0, top = 0;
    for (int64_t i = 0; i < n; i++) {
        worst = fmax(worst, fabs((double)got[i] - (double)want[i]));
        top = fmax(top, fabs((double)want[i]));
    }
    return worst / top;
}

static inline int corefix_compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Of n_row rows: the middle and the largest error. */
static inline double corefix_error(const float *got, const float *want, int64_t n_row, int64_t n,
                                   double *worst)
{
    double *err = glim_alloc_array((size_t)n_row, sizeof *err);
    for (int64_t r = 0; r < n_row; r++)
        err[r] = corefix_row_error(got + r * n, want + r * n, n);
    qsort(err, (size_t)n_row, sizeof *err, corefix_compare);
    double middle = err[n_row / 2];
    if (worst) *worst = err[n_row - 1];
    glim_free(err);
    return middle;
}

#endif
