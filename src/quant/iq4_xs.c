/* SPDX-License-Identifier: MIT
 * iq4_xs.c - IQ4_XS: eight runs of 32 as in IQ4_NL, each with a signed 6-bit scale.
 * Thread: any, pure.
 * See: blocks.h */
#include "quant/quant_priv.h"

void glim_iq4_xs_decode(const void *src, float *dst, int64_t n)
{
    const glim_block_iq4_xs *b = src;
    for (int64_t i = 0; i < n / GLIM_QK_K; i++, b++) {
        const float d = glim_f16_to_f32(b->d);
        for (int s = 0; s < 8; s++, dst += GLIM_QK) {
            const uint8_t *q = b->qs + 16 * s;
            const float dl = d * (float)glim_iq4_xs_scale(b, s);
            for (int j = 0; j < 16; j++) {
                dst[j] = dl * (float)glim_iq4_nl_values[q[j] & 15];
                dst[j + 16] = dl * (float)glim_iq4_nl_values[q[j] >> 4];
            }
        }
    }
}
