/* SPDX-License-Identifier: MIT
 * mxfp4.c - MXFP4: 32 E2M1 numbers under a shared power of two. The table holds the doubled values,
 * which are integers; the scale is halved to match.
 * Thread: any, pure.
 * Source: OCP Microscaling Formats 1.0.
 * See: blocks.h */
#include "quant/quant_priv.h"

const int8_t glim_mxfp4_values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

void glim_mxfp4_decode(const void *src, float *dst, int64_t n)
{
    const glim_block_mxfp4 *b = src;
    for (int64_t i = 0; i < n / GLIM_QK; i++, b++, dst += GLIM_QK) {
        const float d = glim_mxfp4_scale(b->e);
        for (int j = 0; j < 16; j++) {
            dst[j] = d * (float)glim_mxfp4_values[b->qs[j] & 15];
            dst[j + 16] = d * (float)glim_mxfp4_values[b->qs[j] >> 4];
        }
    }
}
