/* SPDX-License-Identifier: MIT
 * q5_1.c - Q5_1: 32 five-bit numbers with a scale and a minimum.
 * Thread: any, pure.
 * See: blocks.h */
#include "quant/quant_priv.h"

void glim_q5_1_decode(const void *src, float *dst, int64_t n)
{
    const glim_block_q5_1 *b = src;
    for (int64_t i = 0; i < n / GLIM_QK; i++, b++, dst += GLIM_QK) {
        const float d = glim_f16_to_f32(b->d);
        const float m = glim_f16_to_f32(b->m);
        uint32_t qh;
        memcpy(&qh, b->qh, sizeof qh);
        for (int j = 0; j < 16; j++) {
            const int lo = (b->qs[j] & 15) | (int)(qh >> j & 1) << 4;
            const int hi = b->qs[j] >> 4 | (int)(qh >> (j + 16) & 1) << 4;
            dst[j] = d * (float)lo + m;
            dst[j + 16] = d * (float)hi + m;
        }
    }
}
