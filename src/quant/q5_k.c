/* SPDX-License-Identifier: MIT
 * q5_k.c - Q5_K: 256 five-bit numbers, a 6-bit scale and minimum for each 32.
 * Layout: low nibbles as in Q4_K; the fifth bit of run s (32 elements) is bit s of qh.
 * Thread: any, pure.
 * See: blocks.h */
#include "quant/quant_priv.h"

void glim_q5_k_decode(const void *src, float *dst, int64_t n)
{
    const glim_block_q5_k *b = src;
    for (int64_t i = 0; i < n / GLIM_QK_K; i++, b++) {
        const float d = glim_f16_to_f32(b->d);
        const float dmin = glim_f16_to_f32(b->dmin);
        for (int s = 0; s < 8; s++) {
            const uint8_t *q = b->qs + 32 * (s / 2);
            const int shift = 4 * (s % 2);
            uint8_t sc, mn;
            glim_q4_k_scale(b->scales, s, &sc, &mn);
            const float dl = d * (float)sc;
            const float ml = dmin * (float)mn;
            for (int l = 0; l < 32; l++)
                *dst++ = dl * (float)((q[l] >> shift & 15) | (b->qh[l] >> s & 1) << 4) - ml;
        }
    }
}
