/* SPDX-License-Identifier: MIT
 * rope.c - plain rotation of adjacent pairs.
 * Thread: any, pure.   See: kernels.h */
#include "kernels/kernels_priv.h"

void glim_rope_ref(float *x, int64_t x_stride, int64_t n_row, int64_t n_rot, const float *cs)
{
    for (int64_t r = 0; r < n_row; r++) {
        float *p = x + r * x_stride;
        for (int64_t i = 0; i + 1 < n_rot; i += 2) {
            float a = p[i], b = p[i + 1];
            p[i] = a * cs[i] - b * cs[i + 1];
            p[i + 1] = a * cs[i + 1] + b * cs[i];
        }
    }
}
