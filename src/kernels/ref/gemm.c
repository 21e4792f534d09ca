/* SPDX-License-Identifier: MIT
 * gemm.c - many rows times many columns as a loop over dot: the truth is one sum at a time.
 * Thread: any, pure.   See: dot.c, tests/kernels/checkkern.c */
#include "kernels/kernels_priv.h"

static void gemm_by_dot(glim_dot_fn dot, const uint8_t *w, size_t w_stride, int64_t n_row,
                        const uint8_t *x, size_t x_stride, int64_t n_col, int64_t n, float *y,
                        int64_t y_stride)
{
    for (int64_t r = 0; r < n_row; r++) {
        for (int64_t c = 0; c < n_col; c++) {
            y[c * y_stride + r] = dot(w + (size_t)r * w_stride, x + (size_t)c * x_stride, n);
        }
    }
}

#define TYPE(id, name, ggml_id, block, bytes, decode, encode)                                      \
    void glim_gemm_##id##_ref(const void *w, size_t w_stride, int64_t n_row, const void *x,        \
                              size_t x_stride, int64_t n_col, int64_t n, float *y,                 \
                              int64_t y_stride)                                                    \
    {                                                                                              \
        gemm_by_dot(glim_dot_##id##_ref, w, w_stride, n_row, x, x_stride, n_col, n, y, y_stride);  \
    }
#include "quant/types.def"
#undef TYPE
