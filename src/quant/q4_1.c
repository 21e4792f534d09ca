/* SPDX-License-Identifier: MIT
 * q4_1.c - Q4_1: 32 nibbles with a scale and a minimum.
 * Thread: any, pure.
 * See: blocks.h */
#include "quant/quant_priv.h"

void glim_q4_1_decode(const void *src, float *dst, int64_t n)
{
    const glim_block_q4_1 *b = src;
    for (int64_t i = 0; i < n / GLIM_QK; i++, b++, dst += GLIM_QK) {
        const float d = glim_f16_to_f32(b->d);
        const float m = glim_f16_to_f32(b->m);
        for (int j = 0; j < 16; j++) {
            dst[j] = d * (float)(b->qs[j] & 15) + m;
            dst[j + 16] = d * (float)(b->qs[j] >> 4) + m;
        }
    }
}
