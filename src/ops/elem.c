/* SPDX-License-Identifier: MIT
 * elem.c - row-wise operations: embedding, norms, rope, activation, sums.
 * Thread: the engine; work is split by rows when there is enough of it. */
#include "ops/ops.h"

#include <math.h>

/* Below this many floats a job costs less than waking the workers. */
#define GRAIN_FLOATS 16384
/* The same where a float takes an erf: 4096 are 2 us with vectors. */
#define GRAIN_GELU 4096

static int64_t rows_grain(int64_t n_col)
{
    return GLIM_MAX(GRAIN_FLOATS / GLIM_MAX(n_col, 1), 1);
}

typedef struct embed_job {
    const glim_ops *o;
    const glim_mat *table;
    const int32_t *ids;
    float *y;
} embed_job;

static void embed_rows(void *arg, int64_t begin, int64_t end, int i_thread)
{
    const embed_job *j = arg;
    (void)i_thread;
    for (int64_t i = begin; i < end; i++)
        j->o->k->unpack[j->table->type](j->table->data + (size_t)j->ids[i] * j->table->row_bytes,
                                        j->y + i * j->table->n_col, j->table->n_col);
}

void glim_op_embed(glim_ops *o, const glim_mat *table, const int32_t *ids, int64_t n_tok, float *y)
{
    embed_job j = {o, table, ids, y};
    glim_pool_run(o->pool, n_tok, rows_grain(table->n_col), embed_rows, &j);
}

typedef struct norm_job {
    const glim_ops *o;
    const float *x, *w;
    float *y;
    int64_t x_stride, y_stride, n;
    float eps;
} norm_job;

static void norm_rows(void *arg, int64_t begin, int64_t end, int i_thread)
{
    const norm_job *j = arg;
    (void)i_thread;
    j->o->k->rmsnorm(j->x + begin * j->x_stride, j->x_stride, j->w, end - begin, j->n, j->eps,
                     j->y + begin * j->y_stride, j->y_stride);
}

void glim_op_rmsnorm(glim_ops *o, const float *x, int64_t x_stride, const float *w, int64_t n_tok,
                     int64_t n, float eps, float *y, int64_t y_stride)
{
    norm_job j = {o, x, w, y, x_stride, y_stride, n, eps};
    glim_pool_run(o->pool, n_tok, rows_grain(n), norm_rows, &j);
}

/* Layer norms, and sums with a bias, which is a part of one. */
typedef struct layernorm_job {
    const glim_ops *o;
    const float *x, *w, *b;
    float *y;
    int64_t x_stride, y_stride, n;
    float eps;
} layernorm_job;

static void layernorm_rows(void *arg, int64_t begin, int64_t end, int i_thread)
{
    const layernorm_job *j = arg;
    (void)i_thread;
    j->o->k->layernorm(j->x + begin * j->x_stride, j->x_stride, j->w, j->b, end - begin, j->n,
                       j->eps, j->y + begin * j->y_stride, j->y_stride);
}

void glim_op_layernorm(glim_ops *o, const float *x, int64_t x_stride, const float *w,
                       const float *b, int64_t n_tok, int64_t n, float eps, float *y,
                       int64_t y_stride)
{
    layernorm_job j = {o, x, w, b, y, x_stride, y_stride, n, eps};
    glim_pool_run(o->pool, n_tok, rows_grain(n), layernorm_rows, &j);
}

static void bias_rows(void *arg, int64_t begin, int64_t end, int i_thread)
{
    const layernorm_job *j = arg;
    (void)i_thread;
    for (int64_t i = begin; i < end; i++)
        j->o->k->add(j->y + i * j->y_stride, j->b, j->n);
}

void glim_op_add_bias(glim_ops *o, float *y, int64_t y_stride, const float *b, int64_t n_tok,
                      int64_t n)
{
    layernorm_job j = {.o = o, .b = b, .y = y, .y_stride = y_stride, .n = n};
    glim_pool_run(o->pool, n_tok, rows_grain(n), bias_rows, &j);
}

typedef struct flat_job {
    const glim_ops *o;
    const float *a, *b;
    float *y;
} flat_job;

static void add_range(void *arg, int64_t begin, int64_t end, int i_thread)
{
    const flat_job *j = arg;
    (void)i_thread;
    j->o->k->add(j->y + begin, j->a + begin, end - begin);
}

static void silu_range(void *arg, int64_t begin, int64_t end, int i_thread)
{
    const flat_job *j = arg;
    (void)i_thread;
    j->o->k->silu_mul(j->a + begin, j->b + begin, end - begin, j->y + begin);
}

void glim_op_add(glim_ops *o, float *y, const float *x, int64_t n)
{
    flat_job j = {.o = o, .a = x, .y = y};
    glim_pool_run(o->pool, n, GRAIN_FLOATS, add_range, &j);
}

void glim_op_silu_mul(glim_ops *o, const float *gate, const float *up, int64_t n, float *y)
{
    flat_job j = {.o = o, .a = gate, .b = up, .y = y};
    /* Pieces keep the vector width's alignment, so a value never depends on where a piece began. */
    glim_pool_run(o->pool, n, GRAIN_FLOATS, silu_range, &j);
}

static void gelu_range(void *arg, int64_t begin, int64_t end, int i_thread)
{
    const flat_job *j = arg;
    (void)i_thread;
    j->o->k->gelu(j->a + begin, end - begin, j->y + begin);
}

void glim_op_gelu(glim_ops *o, const float *x, int64_t n, float *y)
{
    flat_job j = {.o = o, .a = x, .y = y};
    glim_pool_run(o->pool, n, GRAIN_GELU, gelu_range, &j);
}

/* Rows are short enough to stay in the first-level cache from one kernel to the next. */
typedef struct fused_job {
    const glim_ops *o;
    float *y, *x;
    const float *bias, *w, *b;
    int64_t n;
    float eps;
} fused_job;

static void bias_gelu_rows(void *arg, int64_t begin, int64_t end, int i_thread)
{
    const fused_job *j = arg;
    (void)i_thread;
    for (int64_t i = begin; i < end; i++) {
        float *y = j->y + i * j->n;
        j->o->k->add(y, j->bias, j->n);
        j->o->k->gelu(y, j->n, y);
    }
}

void glim_op_bias_gelu(glim_ops *o, float *y, const float *b, int64_t n_tok, int64_t n)
{
    fused_job j = {.o = o, .y = y, .bias = b, .n = n};
    glim_pool_run(o->pool, n_tok, GLIM_MAX(GRAIN_GELU / GLIM_MAX(n, 1), 1), bias_gelu_rows, &j);
}

static void bias_norm_rows(void *arg, int64_t begin, int64_t end, int i_thread)
{
    const fused_job *j = arg;
    (void)i_thread;
    for (int64_t i = begin; i < end; i++) {
        float *y = j->y + i * j->n, *x = j->x + i * j->n;
        j->o->k->add(x, j->bias, j->n);
        j->o->k->add(y, x, j->n);
        j->o->k->layernorm(y, j->n, j->w, j->b, 1, j->n, j->eps, y, j->n);
    }
}

void glim_op_bias_add_layernorm(glim_ops *o, float *y, float *x, const float *bias, const float *w,
                                const float *b, int64_t n_tok, int64_t n, float eps)
{
    fused_job j = {o, y, x, bias, w, b, n, eps};
    glim_pool_run(o->pool, n_tok, rows_grain(n), bias_norm_rows, &j);
}

void glim_op_rope_table(const double *inv_freq, int64_t n_rot, double magnitude, int64_t pos0,
                        int64_t n_tok, float *cs)
{
    /* Angles in double: at position 200,000 an f32 angle is already off by 0.01 rad. */
    for (int64_t t = 0; t < n_tok; t++)
        for (int64_t i = 0; i < n_rot / 2; i++) {
            double angle = (double)(pos0 + t) * inv_freq[i];
            cs[t * n_rot + 2 * i] = (float)(cos(angle) * magnitude);
            cs[t * n_rot + 2 * i + 1] = (float)(sin(angle) * magnitude);
        }
}

typedef struct rope_job {
    const glim_ops *o;
    float *x;
    const float *cs;
    int64_t tok_stride, head_stride, n_head, n_rot;
} rope_job;

static void rope_tokens(void *arg, int64_t begin, int64_t end, int i_thread)
{
    const rope_job *j = arg;
    (void)i_thread;
    for (int64_t t = begin; t < end; t++)
        j->o->k->rope(j->x + t * j->tok_stride, j->head_stride, j->n_head, j->n_rot,
                      j->cs + t * j->n_rot);
}

void glim_op_rope(glim_ops *o, float *x, int64_t tok_stride, int64_t head_stride, int64_t n_tok,
                  int64_t n_head, int64_t n_rot, const float *cs)
{
    rope_job j = {o, x, cs, tok_stride, head_stride, n_head, n_rot};
    glim_pool_run(o->pool, n_tok, rows_grain(n_head * n_rot), rope_tokens, &j);
}

typedef struct store_job {
    const glim_ops *o;
    const glim_kv_view *kv;
    int64_t pos0, stride;
    const float *rows;
} store_job;

static void store_rows(void *arg, int64_t begin, int64_t end, int i_thread)
{
    const store_job *j = arg;
    (void)i_thread;
    for (int64_t t = begin; t < end; t++)
        j->o->k->pack[j->kv->type](j->rows + t * j->stride, glim_kv_row(j->kv, j->pos0 + t),
                                   j->kv->width);
}

void glim_op_kv_store(glim_ops *o, const glim_kv_view *kv, int64_t pos0, int64_t n_tok,
                      const float *rows, int64_t stride)
{
    store_job j = {o, kv, pos0, stride, rows};
    glim_pool_run(o->pool, n_tok, rows_grain(kv->width), store_rows, &j);
}
