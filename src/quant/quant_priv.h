/* SPDX-License-Identifier: MIT
 * quant_priv.h - what the files of room quant share: decoder and encoder prototypes. */
#ifndef GLIM_QUANT_PRIV_H
#define GLIM_QUANT_PRIV_H

#include "quant/blocks.h"
#include "quant/quant.h"

/* Every row of types.def has a decoder; its prototype follows from the row. */
#define TYPE(id, name, ggml_id, block, bytes, dec, enc)                                            \
    void dec(const void *src, float *dst, int64_t n);
#include "quant/types.def"
#undef TYPE

void glim_f32_encode(const float *src, void *dst, int64_t n);
void glim_f16_encode(const float *src, void *dst, int64_t n);
void glim_bf16_encode(const float *src, void *dst, int64_t n);
void glim_bf16x3_encode(const float *src, void *dst, int64_t n);
void glim_q8_0_encode(const float *src, void *dst, int64_t n);
void glim_q8_k_encode(const float *src, void *dst, int64_t n);

/* Largest magnitude of n floats as bits: an integer maximum has the order of the floats, puts
 * infinities and NaN above every number, and gives the same answer in any grouping, so vector code
 * can equal it exactly. */
static inline uint32_t quant_amax_bits(const float *x, int n)
{
    uint32_t most = 0;
    for (int i = 0; i < n; i++) {
        uint32_t u;
        memcpy(&u, x + i, sizeof u);
        u &= 0x7fffffffu;
        if (u > most) most = u;
    }
    return most;
}

static inline float quant_float_of(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

#define QUANT_BITS_INF 0x7f800000u /* from here on: infinity or NaN */
#define QUANT_BITS_TINY                                                                            \
    0x04000000u /* 2^-119: below it amax / 127 would be subnormal and its inverse infinite */
#define QUANT_F16_NAN 0x7e00u

#endif
