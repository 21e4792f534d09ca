/* SPDX-License-Identifier: MIT
 * q3_k.c - Q3_K: 256 three-bit numbers around 4, a signed 6-bit scale for each 16.
 * Layout: low two bits as in Q2_K; the third bit of group g in half h is bit 4h + g of hmask.
 * Thread: any, pure.
 * See: blocks.h */
#include "quant/quant_priv.h"

void glim_q3_k_decode(const void *src, float *dst, int64_t n)
{
    const glim_block_q3_k *b = src;
    for (int64_t i = 0; i < n / GLIM_QK_K; i++, b++) {
        const float d = glim_f16_to_f32(b->d);
        for (int s = 0; s < 16; s++) {
            const uint8_t *q = b->qs + 32 * (s / 8) + 16 * (s % 2);
            const uint8_t *h = b->hmask + 16 * (s % 2);
            const int shift = 2 * (s / 2 % 4);
            const int bit = s / 2;
            const float dl = d * (float)glim_q3_k_scale(b->scales, s);
            for (int l = 0; l < 16; l++)
                *dst++ = dl * (float)((q[l] >> shift & 3) - (h[l] >> bit & 1 ? 0 : 4));
        }
    }
}
