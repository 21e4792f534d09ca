/* SPDX-License-Identifier: MIT
 * q8_k.c - Q8_K: 256 signed bytes under one f32 scale, with sums of 16. Activations only, never in
 * a file. Symmetric: d = max|x| / 127, q = x * (1 / d) rounded to nearest even, -127..127. The sums
 * of 16 turn the minimum term of Q4_K and its kin into one short dot product. Exact under
 * vectorisation, as in q8_0.c.
 * Thread: any, pure.
 * See: tests/unit/quant/test_encode.c */
#include "quant/quant_priv.h"

#include <math.h>

void glim_q8_k_decode(const void *src, float *dst, int64_t n)
{
    const glim_block_q8_k *b = src;
    for (int64_t i = 0; i < n / GLIM_QK_K; i++, b++, dst += GLIM_QK_K) {
        const float d = b->d;
        for (int j = 0; j < GLIM_QK_K; j++)
            dst[j] = d * (float)b->qs[j];
    }
}

/* A block with an infinity or a NaN becomes NaN as a whole (d is NaN, qs are 0). */
void glim_q8_k_encode(const float *src, void *dst, int64_t n)
{
    glim_block_q8_k *b = dst;
    for (int64_t i = 0; i < n / GLIM_QK_K; i++, b++, src += GLIM_QK_K) {
        const uint32_t amax = quant_amax_bits(src, GLIM_QK_K);
        memset(b, 0, sizeof *b);
        if (amax < QUANT_BITS_TINY) continue;
        if (amax >= QUANT_BITS_INF) {
            b->d = quant_float_of(0x7fc00000u);
            continue;
        }
        const float d = quant_float_of(amax) / 127.0f;
        const float id = 1.0f / d;
        b->d = d;
        for (int g = 0; g < 16; g++) {
            int sum = 0;
            for (int j = 16 * g; j < 16 * g + 16; j++) {
                b->qs[j] = (int8_t)lrintf(src[j] * id);
                sum += b->qs[j];
            }
            b->bsums[g] = (int16_t)sum;
        }
    }
}
