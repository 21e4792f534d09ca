/* SPDX-License-Identifier: MIT
 * ops_priv.h - what matmul.c and moe.c share. */
#ifndef GLIM_OPS_PRIV_H
#define GLIM_OPS_PRIV_H

#include "ops/ops.h"

/* Bytes of one packed activation row, padded so that rows start on a cache line. */
static inline size_t glim_packed_bytes(glim_type act, int64_t n_col)
{
    const glim_type_traits *t = glim_type_get(act);
    size_t n = (size_t)((n_col + t->n_block - 1) / t->n_block) * t->block_bytes;
    return (n + GLIM_CACHE_LINE - 1) & ~(size_t)(GLIM_CACHE_LINE - 1);
}

/* The same of the widest activation type: where room is planned before the type is known. */
static inline size_t glim_packed_bytes_max(int64_t n_col)
{
    return GLIM_MAX(glim_packed_bytes(GLIM_F32, n_col), glim_packed_bytes(GLIM_BF16X3, n_col));
}

/* Rows of a matrix to hand to a thread at once: 16 KiB of weights is about 2 us of reading at 10
 * GB/s; at most 64, so that they stay in the first-level cache while many columns pass. Where columns
 * outweigh reading, and for types without blocks, whole panels of 32: kernels on tiles take these at
 * the cost of one row, others lose nothing. */
static inline int64_t glim_piece_rows(const glim_mat *w, int64_t n_tok)
{
    int64_t rows = (int64_t)(16384 / GLIM_MAX(w->row_bytes, (size_t)1));
    if (n_tok >= 16 || glim_type_get(w->type)->n_block == 1) return rows >= 64 ? 64 : 32;
    return GLIM_MIN(GLIM_MAX(rows, 4), 64);
}

/* Rows of n floats to hand to a thread at once when they are only copied or rounded. */
static inline int64_t glim_piece_pack(int64_t n)
{
    return GLIM_MAX(16384 / GLIM_MAX(n, 1), 1);
}

#endif
