/* SPDX-License-Identifier: MIT
 * norm.c - plain root-mean-square norm and layer norm.
 * Thread: any, pure.   See: kernels.h */
#include "kernels/kernels_priv.h"

#include <math.h>

void glim_rmsnorm_ref(const float *x, int64_t x_stride, const float *w, int64_t n_row,
                      int64_t n_col, float eps, float *y, int64_t y_stride)
{
    for (int64_t r = 0; r < n_row; r++) {
        const float *px = x + r * x_stride;
        float *py = y + r * y_stride;
        double sum = 0;
        for (int64_t i = 0; i < n_col; i++)
            sum += (double)px[i] * (double)px[i];
        float scale = (float)(1.0 / sqrt(sum / (double)n_col + (double)eps));
        for (int64_t i = 0; i < n_col; i++)
            py[i] = px[i] * scale * w[i];
    }
}

void glim_layernorm_ref(const float *x, int64_t x_stride, const float *w, const float *b,
                        int64_t n_row, int64_t n_col, float eps, float *y, int64_t y_stride)
{
    for (int64_t r = 0; r < n_row; r++) {
        const float *px = x + r * x_stride;
        float *py = y + r * y_stride;
        double sum = 0, square = 0;
        for (int64_t i = 0; i < n_col; i++)
            sum += (double)px[i];
        const double mean = sum / (double)n_col;
        for (int64_t i = 0; i < n_col; i++)
            square += ((double)px[i] - mean) * ((double)px[i] - mean);
        const double scale = 1.0 / sqrt(square / (double)n_col + (double)eps);
        for (int64_t i = 0; i < n_col; i++)
            py[i] = (float)(((double)px[i] - mean) * scale * (double)w[i] + (double)b[i]);
    }
}
