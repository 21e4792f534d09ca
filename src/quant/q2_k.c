/* SPDX-License-Identifier: MIT
 * q2_k.c - Q2_K: 256 two-bit numbers, a 4-bit scale and minimum for each 16.
 * Layout: two halves of 128; a half's 32 bytes hold four groups of 32, group g in bits 2g and 2g +
 *         1.
 * Thread: any, pure.
 * See: blocks.h */
#include "quant/quant_priv.h"

void glim_q2_k_decode(const void *src, float *dst, int64_t n)
{
    const glim_block_q2_k *b = src;
    for (int64_t i = 0; i < n / GLIM_QK_K; i++, b++) {
        const float d = glim_f16_to_f32(b->d);
        const float dmin = glim_f16_to_f32(b->dmin);
        for (int s = 0; s < 16; s++) { /* 16 elements a scale */
            const uint8_t *q = b->qs + 32 * (s / 8) + 16 * (s % 2);
            const int shift = 2 * (s / 2 % 4);
            const float dl = d * (float)(b->scales[s] & 15);
            const float ml = dmin * (float)(b->scales[s] >> 4);
            for (int l = 0; l < 16; l++)
                *dst++ = dl * (float)(q[l] >> shift & 3) - ml;
        }
    }
}
