/* SPDX-License-Identifier: MIT
 * q8_0.c - Q8_0: 32 signed bytes under one binary16 scale. Weights, and activations of kernels. The
 * encoder is exact under vectorisation: integer maximum of magnitudes, one division each for d and
 * its inverse, one multiplication and rounding to nearest even per element (ggml's scalar code
 * rounds halves away from zero; its vector code as here).
 * Thread: any, pure.
 * See: tests/unit/quant/test_encode.c */
#include "quant/quant_priv.h"

#include <math.h>

void glim_q8_0_decode(const void *src, float *dst, int64_t n)
{
    const glim_block_q8_0 *b = src;
    for (int64_t i = 0; i < n / GLIM_QK; i++, b++, dst += GLIM_QK) {
        const float d = glim_f16_to_f32(b->d);
        for (int j = 0; j < GLIM_QK; j++)
            dst[j] = d * (float)b->qs[j];
    }
}

/* A block with an infinity, a NaN, or a scale beyond binary16 becomes NaN as a whole: visible at
 * once where a clamped one would spoil an answer in silence. */
void glim_q8_0_encode(const float *src, void *dst, int64_t n)
{
    glim_block_q8_0 *b = dst;
    for (int64_t i = 0; i < n / GLIM_QK; i++, b++, src += GLIM_QK) {
        const uint32_t amax = quant_amax_bits(src, GLIM_QK);
        const float d = quant_float_of(amax) / 127.0f;
        memset(b, 0, sizeof *b);
        if (amax < QUANT_BITS_TINY) continue;
        if (amax >= QUANT_BITS_INF || d >= 65520.0f) {
            b->d = QUANT_F16_NAN;
            continue;
        }
        const float id = 1.0f / d;
        b->d = glim_f32_to_f16(d);
        for (int j = 0; j < GLIM_QK; j++)
            b->qs[j] = (int8_t)lrintf(src[j] * id);
    }
}
