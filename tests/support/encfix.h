/* SPDX-License-Identifier: MIT
 * encfix.h - an encoder with everything a forward pass needs, for tests: file, pool, kernels, a step
 * arena of exactly the planned size. Include after cmocka.h. */
#ifndef GLIM_TESTS_ENCFIX_H
#define GLIM_TESTS_ENCFIX_H

#include "models/models.h"

#include <math.h>

typedef struct encfix {
    glim_modelfile *f;
    glim_enc_core *m;
    glim_kernels k;
    glim_ops o;
} encfix;

static inline void encfix_open(encfix *x, const char *path, glim_cpu_level level, int n_thread,
                               int64_t n_tok_max)
{
    glim_error e = {0};
    const glim_load_opts opts = {0};
    *x = (encfix){0};
    if (glim_modelfile_open(path, 0, &x->f, &e) || glim_enc_load(x->f, &opts, &x->m, &e) ||
        glim_pool_new(n_thread, &x->o.pool, &e))
        fail_msg("%s: %s", path, e.msg);
    glim_kernels_get(level, &x->k);
    x->o.k = &x->k;
    x->o.step = glim_arena_new_fixed(glim_enc_scratch_bytes(x->m, n_tok_max, n_thread));
    assert_non_null(x->o.step);
}

static inline void encfix_close(encfix *x)
{
    glim_arena_free(x->o.step);
    glim_pool_free(x->o.pool);
    glim_enc_free(x->m);
    glim_modelfile_close(x->f);
}

/* Runs a batch that must succeed, allocate nothing and leave the step arena empty. */
static inline void encfix_run(encfix *x, const glim_enc_batch *b)
{
    glim_error e = {0};
    uint64_t before = glim_alloc_count();
    if (glim_enc_forward(x->m, &x->o, b, &e)) fail_msg("%s", e.msg);
    assert_int_equal(glim_alloc_count(), before);
    assert_int_equal(glim_arena_used(x->o.step), 0);
}

/* 1 - cosine. */
static inline double encfix_distance(const float *a, const float *b, int64_t n)
{
    double ab = 0, aa = 0, bb = 0;
    for (int64_t i = 0; i < n; i++) {
        ab += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    return 1 - ab / sqrt(aa * bb);
}

static inline double encfix_difference(const float *a, const float *b, int64_t n)
{
    double worst = 0;
    for (int64_t i = 0; i < n; i++)
        worst = fmax(worst, fabs((double)a[i] - (double)b[i]));
    return isfinite(worst) ? worst : INFINITY;
}

#endif
