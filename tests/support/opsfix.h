/* SPDX-License-Identifier: MIT
 * opsfix.h - a pool, kernels and a step arena for tests of ops, and seeded numbers. */
#ifndef GLIM_TEST_OPSFIX_H
#define GLIM_TEST_OPSFIX_H

#include "ops/ops.h"

typedef struct opsfix {
    glim_kernels k;
    glim_ops o;
} opsfix;

static inline void opsfix_open(opsfix *f, glim_cpu_level level, int n_thread, size_t step_bytes)
{
    glim_kernels_get(level, &f->k);
    f->o = (glim_ops){NULL, &f->k, glim_arena_new_fixed(step_bytes)};
    if (glim_pool_new(n_thread, &f->o.pool, NULL)) f->o.pool = NULL;
}

static inline void opsfix_close(opsfix *f)
{
    glim_pool_free(f->o.pool);
    glim_arena_free(f->o.step);
}

/* n values in [-1, 1), the same for a seed everywhere; glim_free() them. */
static inline float *opsfix_floats(uint64_t seed, int64_t n)
{
    glim_rng r;
    float *p = glim_alloc_array((size_t)n, sizeof *p);
    glim_rng_seed(&r, seed);
    for (int64_t i = 0; i < n; i++)
        p[i] = glim_rng_f32(&r) * 2 - 1;
    return p;
}

static inline glim_mat opsfix_mat(const float *p, int64_t n_row, int64_t n_col)
{
    return (glim_mat){GLIM_F32, n_row, n_col, (size_t)n_col * sizeof(float), (const uint8_t *)p};
}

#endif
