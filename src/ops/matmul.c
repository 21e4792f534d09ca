/* SPDX-License-Identifier: MIT
 * matmul.c - weights times activations: pack the inputs once into what the kernel wants, split rows
 * over the pool.
 * Thread: the engine. A row's sum is computed by one thread in one order. */
#include "ops/ops_priv.h"

size_t glim_op_matmul_scratch(int64_t n_col_max, int64_t n_tok)
{
    /* All activation types may be asked for at once; F32 is used in place. */
    static const glim_type acts[] = {GLIM_BF16, GLIM_Q8_0, GLIM_Q8_K, GLIM_BF16X3};
    size_t row = 0;
    for (size_t i = 0; i < GLIM_COUNT(acts); i++)
        row += glim_packed_bytes(acts[i], n_col_max);
    return row * (size_t)n_tok + 4 * GLIM_CACHE_LINE;
}

typedef struct pack_job {
    const glim_ops *o;
    glim_type act;
    const float *x;
    int64_t x_tok_stride, x_head_stride, n_head, n_col;
    uint8_t *packed;
    size_t row_bytes;
} pack_job;

/* Item i is token i / n_head, head i % n_head; packed rows lie in the same order. */
static void pack_rows(void *arg, int64_t begin, int64_t end, int i_thread)
{
    const pack_job *j = arg;
    (void)i_thread;
    for (int64_t i = begin; i < end; i++)
        j->o->k->pack[j->act](j->x + i / j->n_head * j->x_tok_stride +
                                  i % j->n_head * j->x_head_stride,
                              j->packed + (size_t)i * j->row_bytes, j->n_col);
}

/* Packs n_tok x n_head rows; NULL when the step arena is too small. */
static uint8_t *pack_inputs(glim_ops *o, glim_type act, const float *x, int64_t x_tok_stride,
                            int64_t x_head_stride, int64_t n_tok, int64_t n_head, int64_t n_col,
                            size_t *row_bytes)
{
    pack_job j = {
        o, act, x, x_tok_stride, x_head_stride, n_head, n_col, NULL, glim_packed_bytes(act, n_col)};
    j.packed = glim_arena_array(o->step, (size_t)(n_tok * n_head), j.row_bytes);
    if (!j.packed) return NULL;
    *row_bytes = j.row_bytes;
    glim_pool_run(o->pool, n_tok * n_head, glim_piece_pack(n_col), pack_rows, &j);
    return j.packed;
}

#define MATS_MAX 4

typedef struct matmul_job {
    const glim_ops *o;
    const glim_matmul *mm;
    size_t n_mat;
    const uint8_t *x[MATS_MAX];
    size_t x_bytes[MATS_MAX];
    int64_t rows[MATS_MAX], first_piece[MATS_MAX + 1];
    int64_t n_tok;
} matmul_job;

static void matmul_pieces(void *arg, int64_t begin, int64_t end, int i_thread)
{
    const matmul_job *j = arg;
    (void)i_thread;
    for (int64_t piece = begin; piece < end; piece++) {
        size_t m = 0;
        while (piece >= j->first_piece[m + 1])
            m++;
        const glim_mat *w = j->mm[m].w;
        int64_t row = (piece - j->first_piece[m]) * j->rows[m],
                n_row = GLIM_MIN(j->rows[m], w->n_row - row);
        j->o->k->gemm[w->type](w->data + (size_t)row * w->row_bytes, w->row_bytes, n_row, j->x[m],
                               j->x_bytes[m], j->n_tok, w->n_col, j->mm[m].y + row,
                               j->mm[m].y_stride);
    }
}

glim_err glim_op_matmul(glim_ops *o, const glim_matmul *mm, size_t n_mat, const float *x,
                        int64_t x_stride, int64_t n_tok)
{
    if (GLIM_NEVER(n_mat > MATS_MAX)) return GLIM_E_INTERNAL;
    glim_mark mark = glim_arena_mark(o->step);
    matmul_job j = {.o = o, .mm = mm, .n_mat = n_mat, .n_tok = n_tok};
    for (size_t m = 0; m < n_mat; m++) {
        const glim_mat *w = mm[m].w;
        glim_type act = o->k->act[w->type];
        for (size_t i = 0; i < m && !j.x[m]; i++) /* packed already for an earlier matrix? */
            if (o->k->act[mm[i].w->type] == act) j.x[m] = j.x[i], j.x_bytes[m] = j.x_bytes[i];
        if (!j.x[m] && act == GLIM_F32) {
            j.x[m] = (const uint8_t *)x;
            j.x_bytes[m] = (size_t)x_stride * sizeof(float);
        } else if (!j.x[m]) {
            j.x[m] = pack_inputs(o, act, x, x_stride, 0, n_tok, 1, w->n_col, &j.x_bytes[m]);
            if (!j.x[m]) return GLIM_E_INTERNAL;
        }
        j.rows[m] = glim_piece_rows(w, n_tok);
        j.first_piece[m + 1] = j.first_piece[m] + (w->n_row + j.rows[m] - 1) / j.rows[m];
    }
    glim_pool_run(o->pool, j.first_piece[n_mat], 1, matmul_pieces, &j);
    glim_arena_rewind(o->step, mark);
    return GLIM_OK;
}

typedef struct heads_job {
    const glim_ops *o;
    const glim_mats *w;
    const uint8_t *x;
    size_t x_tok_bytes, x_head_bytes;
    int64_t n_tok, rows, n_piece;
    float *y;
    int64_t y_tok_stride, y_head_stride;
} heads_job;

static void heads_pieces(void *arg, int64_t begin, int64_t end, int i_thread)
{
    const heads_job *j = arg;
    const glim_mat *w = &j->w->shape;
    (void)i_thread;
    for (int64_t i = begin; i < end; i++) {
        int64_t head = i / j->n_piece, row = i % j->n_piece * j->rows,
                n_row = GLIM_MIN(j->rows, w->n_row - row);
        j->o->k->gemm[w->type](j->w->part[head] + (size_t)row * w->row_bytes, w->row_bytes, n_row,
                               j->x + (size_t)head * j->x_head_bytes, j->x_tok_bytes, j->n_tok,
                               w->n_col, j->y + head * j->y_head_stride + row, j->y_tok_stride);
    }
}

glim_err glim_op_matmul_heads(glim_ops *o, const glim_mats *w, const float *x, int64_t x_tok_stride,
                              int64_t x_head_stride, int64_t n_tok, float *y, int64_t y_tok_stride,
                              int64_t y_head_stride)
{
    glim_mark mark = glim_arena_mark(o->step);
    glim_type act = o->k->act[w->shape.type];
    heads_job j = {.o = o,
                   .w = w,
                   .n_tok = n_tok,
                   .y = y,
                   .y_tok_stride = y_tok_stride,
                   .y_head_stride = y_head_stride};
    if (act == GLIM_F32) {
        j.x = (const uint8_t *)x;
        j.x_tok_bytes = (size_t)x_tok_stride * sizeof(float);
        j.x_head_bytes = (size_t)x_head_stride * sizeof(float);
    } else {
        j.x = pack_inputs(o, act, x, x_tok_stride, x_head_stride, n_tok, w->n, w->shape.n_col,
                          &j.x_head_bytes);
        if (!j.x) return GLIM_E_INTERNAL;
        j.x_tok_bytes = j.x_head_bytes * (size_t)w->n;
    }
    j.rows = glim_piece_rows(&w->shape, n_tok);
    j.n_piece = (w->shape.n_row + j.rows - 1) / j.rows;
    glim_pool_run(o->pool, w->n * j.n_piece, 1, heads_pieces, &j);
    glim_arena_rewind(o->step, mark);
    return GLIM_OK;
}
