/* SPDX-License-Identifier: MIT
 * ops.h - the one header of room ops: tensor operations of a layer, split over the thread pool,
 * with a kernel chosen by type. Ops know shapes and types; they know no model, no session.
 *
 * Scratch comes from one fixed arena (the step arena), sized at load; an op takes what it needs and
 * gives it back. When that arena is too small an op returns GLIM_E_INTERNAL: the plan was wrong,
 * never the input. Results depend neither on the number of threads nor, for one level, on how
 * tokens are grouped into chunks (expanded attention excepted: its choice depends on the chunk).
 * Thread: one caller at a time (the engine). */
#ifndef GLIM_OPS_H
#define GLIM_OPS_H

#include "kernels/kernels.h"

/* A weight matrix as it lies in the file: n_row outputs of n_col inputs each. Borrows data. */
typedef struct glim_mat {
    glim_type type;
    int64_t n_row, n_col;
    size_t row_bytes;
    const uint8_t *data;
} glim_mat;

/* Many matrices of one shape and type (heads, experts): part[i] points to matrix i. Borrows all. */
typedef struct glim_mats {
    glim_mat shape; /* data unused */
    int64_t n;
    const uint8_t *const *part;
} glim_mats;

typedef struct glim_ops {
    glim_pool *pool;
    const glim_kernels *k;
    glim_arena *step; /* fixed; marks and rewinds nest */
} glim_ops;

/* y[j] = w x_j for each of n_mat matrices on the same inputs, which are packed once.
 * Shape: x [n_tok][n_col] stride x_stride; y[m] [n_tok][w[m]->n_row] stride y_stride[m]; strides in
 * floats. Errors: INTERNAL (step arena). */
typedef struct glim_matmul {
    const glim_mat *w;
    float *y;
    int64_t y_stride;
} glim_matmul;
GLIM_MUST_USE glim_err glim_op_matmul(glim_ops *o, const glim_matmul *mm, size_t n_mat,
                                      const float *x, int64_t x_stride, int64_t n_tok);

/* A matrix of its own for each head: y[t][h] = w_h x[t][h].
 * Shape: x [n_tok][w->n] rows of n_col, strides between tokens and between heads in floats; y
 * likewise, n_row each. */
GLIM_MUST_USE glim_err glim_op_matmul_heads(glim_ops *o, const glim_mats *w, const float *x,
                                            int64_t x_tok_stride, int64_t x_head_stride,
                                            int64_t n_tok, float *y, int64_t y_tok_stride,
                                            int64_t y_head_stride);
size_t glim_op_matmul_scratch(int64_t n_col_max,
                              int64_t n_tok); /* step bytes both of the above need at most */

/* Rows of an embedding matrix to f32. Shape: y [n_tok][n_col] dense. ids must be in range. */
void glim_op_embed(glim_ops *o, const glim_mat *table, const int32_t *ids, int64_t n_tok, float *y);

/* y = rms(x) * w, row by row; see kernels.h. */
void glim_op_rmsnorm(glim_ops *o, const float *x, int64_t x_stride, const float *w, int64_t n_tok,
                     int64_t n, float eps, float *y, int64_t y_stride);
/* y = (x - mean) / sqrt(variance + eps) * w + b, row by row; y may be x. See kernels.h. */
void glim_op_layernorm(glim_ops *o, const float *x, int64_t x_stride, const float *w,
                       const float *b, int64_t n_tok, int64_t n, float eps, float *y,
                       int64_t y_stride);
/* y += b, row by row. Shape: y [n_tok][n] stride y_stride, b [n]. */
void glim_op_add_bias(glim_ops *o, float *y, int64_t y_stride, const float *b, int64_t n_tok,
                      int64_t n);
void glim_op_gelu(glim_ops *o, const float *x, int64_t n, float *y); /* exact; y may be x */
/* The same in one pass over memory as add_bias and what follows it, with the same bits:
 * y = gelu(y + b), row by row; y dense. */
void glim_op_bias_gelu(glim_ops *o, float *y, const float *b, int64_t n_tok, int64_t n);
/* y = layernorm(y + (x + bias)), row by row; all dense. x is overwritten. */
void glim_op_bias_add_layernorm(glim_ops *o, float *y, float *x, const float *bias, const float *w,
                                const float *b, int64_t n_tok, int64_t n, float eps);
void glim_op_add(glim_ops *o, float *y, const float *x, int64_t n); /* y += x */
void glim_op_silu_mul(glim_ops *o, const float *gate, const float *up, int64_t n,
                      float *y); /* y may be gate */

/* ---- rope ------------------------------------------------------------------------------------ */

/* Fills cs [n_tok][n_rot] with cos, sin of pos*inv_freq[j], times magnitude. inv_freq [n_rot/2],
 * radians a position. */
void glim_op_rope_table(const double *inv_freq, int64_t n_rot, double magnitude, int64_t pos0,
                        int64_t n_tok, float *cs);
/* Rotates n_head rows of n_rot floats a token in place. */
void glim_op_rope(glim_ops *o, float *x, int64_t tok_stride, int64_t head_stride, int64_t n_tok,
                  int64_t n_head, int64_t n_rot, const float *cs);

/* ---- latent attention (MLA) ------------------------------------------------------------------ */

#define GLIM_KV_PAGE 64 /* positions a page */

/* One layer's view of a sequence's cache: position p lies at page[p / 64] + layer_offset + (p % 64)
 * * row_bytes. A row is [latent | rotated key], width elements of type F32, F16 or BF16. Pages
 * never move while it is used. */
typedef struct glim_kv_view {
    glim_type type;
    int64_t width;
    size_t row_bytes;
    size_t layer_offset;
    uint8_t *const *page;
} glim_kv_view;

static inline uint8_t *glim_kv_row(const glim_kv_view *kv, int64_t pos)
{
    return kv->page[pos / GLIM_KV_PAGE] + kv->layer_offset +
           (size_t)(pos % GLIM_KV_PAGE) * kv->row_bytes;
}

/* Writes rows [n_tok][width] f32 (stride in floats) at positions pos0.. of the cache. */
void glim_op_kv_store(glim_ops *o, const glim_kv_view *kv, int64_t pos0, int64_t n_tok,
                      const float *rows, int64_t stride);

typedef struct glim_mla {
    int64_t n_head, n_nope, n_rot, n_v, n_latent;
    float scale;
    glim_mats k_b; /* a head: [n_latent][n_nope], nope query -> latent */
    glim_mats v_b; /* a head: [n_v][n_latent], latent -> value */
    glim_mats u_k; /* a head: [n_nope][n_latent], latent -> key; n 0 where the file has only k_b */
} glim_mla;

/* Attention of the n_tok queries at positions pos0.. over everything cached up to each one's own
 * position. Shape: q [n_tok][n_head][n_nope + n_rot] dense, rotated; out [n_tok][n_head][n_v]
 * dense. The keys of these positions are in the cache already.  Source: DeepSeek-V2 2024,
 * section 2.1. */
GLIM_MUST_USE glim_err glim_op_mla_absorbed(glim_ops *o, const glim_mla *a, const glim_kv_view *kv,
                                            const float *q, int64_t pos0, int64_t n_tok,
                                            float *out);
GLIM_MUST_USE glim_err glim_op_mla_expanded(glim_ops *o, const glim_mla *a, const glim_kv_view *kv,
                                            const float *q, int64_t pos0, int64_t n_tok,
                                            float *out);
/* Chunks that begin below this position are always read in the absorbed form. */
#define GLIM_MLA_ABSORBED_BELOW 128
/* True when expanding keys and values costs fewer multiplications than absorbing (models:
 * performance notes in doc/ARCHITECTURE.md). */
bool glim_op_mla_prefers_expanded(const glim_mla *a, int64_t pos0, int64_t n_tok);
size_t glim_op_mla_scratch(const glim_mla *a, int64_t n_tok, int n_thread);

/* ---- attention without a cache (encoders) ---------------------------------------------------- */

typedef struct glim_mha {
    int64_t n_head, n_dim; /* n_dim: of one head */
    float scale;
} glim_mha;

/* Attention of every token over all tokens of its own sequence, itself and later ones included.
 * Sequence i is the tokens [offset[i], offset[i + 1]); lengths may be 0.
 * Shape: q, k, v, out [n_tok][n_head][n_dim] dense; offset [n_seq + 1], ascending from 0 to n_tok.
 * Alias: out may be q. Errors: INTERNAL (step arena).  Source: Vaswani et al. 2017, section 3.2. */
GLIM_MUST_USE glim_err glim_op_attn_full(glim_ops *o, const glim_mha *a, const int64_t *offset,
                                         int64_t n_seq, const float *q, const float *k,
                                         const float *v, float *out);
size_t glim_op_attn_full_scratch(const glim_mha *a, int64_t n_seq, int n_thread);

/* ---- mixture of experts ---------------------------------------------------------------------- */

typedef enum glim_gating {
    GLIM_GATING_SOFTMAX = 1,
    GLIM_GATING_SIGMOID = 2
} glim_gating; /* numbers as in GGUF */

typedef struct glim_router {
    glim_mat w;        /* [n_expert][n_embd], F32: inputs are never rounded here */
    const float *bias; /* selection only, [n_expert]; NULL: none */
    glim_gating gating;
    int64_t n_used, n_group, n_group_used;
    bool norm; /* weights of the chosen add up to 1 before scale */
    float scale;
} glim_router;

/* Chooses n_used experts a token. Shape: x [n_tok][n_embd] dense; ids, weights [n_tok][n_used],
 * best first. Ties go to the lower id. A token whose scores are NaN gets ids 0.. and NaN weights.
 * Source: DeepSeek-V3 2024, eq. 12-16. */
GLIM_MUST_USE glim_err glim_op_route(glim_ops *o, const glim_router *r, const float *x,
                                     int64_t n_tok, int32_t *ids, float *weights);

typedef struct glim_experts {
    glim_mats gate, up, down; /* [n_ff][n_embd] twice, [n_embd][n_ff] */
} glim_experts;

/* y += sum over a token's experts of weight * down(silu(gate x) * up x), added in the order of ids.
 * Shape: x, y [n_tok][n_embd] dense. Tokens are grouped by expert, each expert's weights are read
 * once a chunk. */
GLIM_MUST_USE glim_err glim_op_moe(glim_ops *o, const glim_experts *w, const float *x,
                                   int64_t n_tok, const int32_t *ids, const float *weights,
                                   int64_t n_used, float *y);
size_t glim_op_moe_scratch(int64_t n_embd, int64_t n_ff, int64_t n_expert, int64_t n_used,
                           int64_t n_tok);

#endif
