/* SPDX-License-Identifier: MIT
 * iq4_nl.c - IQ4_NL: 32 nibbles that index a fixed table of 16 uneven steps, under one scale.
 * Thread: any, pure.
 * See: blocks.h */
#include "quant/quant_priv.h"

const int8_t glim_iq4_nl_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                       1,    13,   25,  38,  53,  69,  89,  113};

void glim_iq4_nl_decode(const void *src, float *dst, int64_t n)
{
    const glim_block_iq4_nl *b = src;
    for (int64_t i = 0; i < n / GLIM_QK; i++, b++, dst += GLIM_QK) {
        const float d = glim_f16_to_f32(b->d);
        for (int j = 0; j < 16; j++) {
            dst[j] = d * (float)glim_iq4_nl_values[b->qs[j] & 15];
            dst[j + 16] = d * (float)glim_iq4_nl_values[b->qs[j] >> 4];
        }
    }
}
