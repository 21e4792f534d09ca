/* SPDX-License-Identifier: MIT
 * act.c - plain elementwise slots: silu_mul, gelu, add, axpy, max.
 * Thread: any, pure.   See: kernels.h */
#include "kernels/kernels_priv.h"

#include <math.h>

void glim_silu_mul_ref(const float *gate, const float *up, int64_t n, float *y)
{
    for (int64_t i = 0; i < n; i++) {
        double g = (double)gate[i];
        y[i] = (float)(g / (1.0 + exp(-g)) * (double)up[i]);
    }
}

void glim_gelu_ref(const float *x, int64_t n, float *y)
{
    for (int64_t i = 0; i < n; i++) {
        double v = (double)x[i];
        y[i] = (float)(v * 0.5 * erfc(-v * 0.70710678118654752440)); /* 1 / sqrt(2) */
    }
}

void glim_add_ref(float *y, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] += x[i];
}

void glim_axpy_ref(float *y, float a, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] += a * x[i];
}

float glim_max_ref(const float *x, int64_t n)
{
    float m = -INFINITY;
    for (int64_t i = 0; i < n; i++) {
        if (x[i] > m) m = x[i]; /* false for NaN */
    }
    return m;
}
