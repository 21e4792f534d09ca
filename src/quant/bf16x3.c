/* SPDX-License-Identifier: MIT
 * bf16x3.c - BF16X3: an f32 as the exact sum of three bf16, so that units which multiply bf16 can
 * work on f32. Activations only, never in a file.
 * Layout: 32 first parts, 32 second, 32 third. Of a last block that is not full the rest is zero.
 * How: the first part is the f32 cut off, which cannot overflow as rounding could; the second is
 *      what remains, rounded; the third is what then remains, at most 8 bits. Exact but for
 *      remainders below the smallest subnormal; an infinity or a NaN stands in the first part alone.
 *      The vector versions must give the same bits.
 * Thread: any, pure.   See: tests/unit/quant/test_encode.c */
#include "quant/quant_priv.h"

#define N 32

void glim_bf16x3_decode(const void *src, float *dst, int64_t n)
{
    const glim_block_bf16x3 *b = src;
    for (int64_t i = 0; i < n; i++) {
        const glim_block_bf16x3 *at = b + i / N;
        dst[i] = glim_bf16_to_f32(at->part[0][i % N]) +
                 (glim_bf16_to_f32(at->part[1][i % N]) + glim_bf16_to_f32(at->part[2][i % N]));
    }
}

static void split(float x, uint16_t part[3])
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    part[0] = (uint16_t)(u >> 16);
    part[1] = part[2] = 0;
    if ((u & 0x7fffffffu) >= QUANT_BITS_INF) {
        if ((u & 0x7fffffffu) > QUANT_BITS_INF) part[0] |= 0x40; /* its NaN bits may be cut off */
        return;
    }
    float rest = x - glim_bf16_to_f32(part[0]);
    part[1] = glim_f32_to_bf16(rest);
    rest -= glim_bf16_to_f32(part[1]);
    memcpy(&u, &rest, sizeof u);
    part[2] = (uint16_t)(u >> 16);
}

void glim_bf16x3_encode(const float *src, void *dst, int64_t n)
{
    glim_block_bf16x3 *b = dst;
    if (n % N) memset(b + n / N, 0, sizeof *b);
    for (int64_t i = 0; i < n; i++) {
        uint16_t part[3];
        split(src[i], part);
        for (int p = 0; p < 3; p++)
            b[i / N].part[p][i % N] = part[p];
    }
}
