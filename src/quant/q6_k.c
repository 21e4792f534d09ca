/* SPDX-License-Identifier: MIT
 * q6_k.c - Q6_K: 256 six-bit numbers around 32, a signed 8-bit scale for each 16.
 * Layout: two halves of 128 from 64 bytes of ql and 32 of qh; group g of 32 takes bytes 32(g % 2)
 *         of ql, low nibbles for g < 2, high for the others, and bits 2g and 2g + 1 of qh.
 * Thread: any, pure.
 * See: blocks.h */
#include "quant/quant_priv.h"

void glim_q6_k_decode(const void *src, float *dst, int64_t n)
{
    const glim_block_q6_k *b = src;
    for (int64_t i = 0; i < n / GLIM_QK_K; i++, b++) {
        const float d = glim_f16_to_f32(b->d);
        for (int s = 0; s < 16; s++) {
            const int half = s / 8, g = s / 2 % 4, first = 16 * (s % 2);
            const uint8_t *ql = b->ql + 64 * half + 32 * (g % 2) + first;
            const uint8_t *qh = b->qh + 32 * half + first;
            const float dl = d * (float)b->scales[s];
            for (int l = 0; l < 16; l++) {
                const int q = (ql[l] >> 4 * (g / 2) & 15) | (qh[l] >> 2 * g & 3) << 4;
                *dst++ = dl * (float)(q - 32);
            }
        }
    }
}
