/* SPDX-License-Identifier: MIT
 * pack.c - activations by room quant's scalar encoders.
 * Thread: any, pure.   See: kernels.h */
#include "kernels/kernels_priv.h"

void glim_pack_f32_ref(const float *x, void *y, int64_t n)
{
    if (n > 0) memcpy(y, x, (size_t)n * sizeof(*x));
}

void glim_pack_f16_ref(const float *x, void *y, int64_t n)
{
    glim_type_get(GLIM_F16)->encode(x, y, n);
}

void glim_pack_bf16_ref(const float *x, void *y, int64_t n)
{
    glim_type_get(GLIM_BF16)->encode(x, y, n);
}

void glim_pack_q8_0_ref(const float *x, void *y, int64_t n)
{
    glim_type_get(GLIM_Q8_0)->encode(x, y, n);
}

void glim_pack_q8_k_ref(const float *x, void *y, int64_t n)
{
    glim_type_get(GLIM_Q8_K)->encode(x, y, n);
}

void glim_pack_bf16x3_ref(const float *x, void *y, int64_t n)
{
    glim_type_get(GLIM_BF16X3)->encode(x, y, n);
}
