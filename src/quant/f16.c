/* SPDX-License-Identifier: MIT
 * f16.c - the unblocked types F32, F16 and BF16: exact conversions in integer arithmetic. Rounds to
 * nearest even; a NaN stays one, made quiet, with the upper bits of its payload: what the x86
 * conversion instructions do, so that vector kernels can be compared bit by bit.
 * Thread: any, pure.
 * See: tests/unit/quant/test_f16.c */
#include "quant/quant_priv.h"

float glim_f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16;
    uint32_t expo = h >> 10 & 31u;
    uint32_t mant = h & 0x3ffu;
    if (expo == 0) {
        float f = (float)mant * 0x1p-24f; /* exact: subnormals of binary16 are normal in f32 */
        return sign ? -f : f;
    }
    if (expo == 31) return quant_float_of(sign | 0x7f800000u | mant << 13 | (mant ? 0x400000u : 0));
    return quant_float_of(sign | (expo + 112) << 23 | mant << 13);
}

uint16_t glim_f32_to_f16(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    uint32_t sign = u >> 16 & 0x8000u;
    u &= 0x7fffffffu;
    if (u > 0x7f800000u) return (uint16_t)(sign | 0x7e00u | (u >> 13 & 0x3ffu));
    if (u >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u); /* 65520 and more round to infinity */
    if (u >= 0x38800000u) {                                  /* normal: from 2^-14 */
        u -= 112u << 23;
        return (uint16_t)(sign | (u + 0xfffu + (u >> 13 & 1u)) >> 13);
    }
    if (u <= 0x33000000u) return (uint16_t)sign; /* up to 2^-25, the tie with zero included */
    uint32_t mant = (u & 0x7fffffu) | 0x800000u;
    uint32_t drop = 126u - (u >> 23); /* 14..24 bits below the subnormal's last place */
    uint32_t half = 1u << (drop - 1);
    return (uint16_t)(sign | (mant + half - 1u + (mant >> drop & 1u)) >> drop);
}

uint16_t glim_f32_to_bf16(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    if ((u & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(u >> 16 | 0x40u);
    return (uint16_t)((u + 0x7fffu + (u >> 16 & 1u)) >> 16);
}

void glim_f32_decode(const void *src, float *dst, int64_t n)
{
    memcpy(dst, src, (size_t)n * sizeof *dst);
}

void glim_f32_encode(const float *src, void *dst, int64_t n)
{
    memcpy(dst, src, (size_t)n * sizeof *src);
}

void glim_f16_decode(const void *src, float *dst, int64_t n)
{
    const uint8_t *p = src;
    for (int64_t i = 0; i < n; i++) {
        uint16_t h;
        memcpy(&h, p + 2 * i, sizeof h);
        dst[i] = glim_f16_to_f32(h);
    }
}

void glim_f16_encode(const float *src, void *dst, int64_t n)
{
    uint8_t *p = dst;
    for (int64_t i = 0; i < n; i++) {
        uint16_t h = glim_f32_to_f16(src[i]);
        memcpy(p + 2 * i, &h, sizeof h);
    }
}

void glim_bf16_decode(const void *src, float *dst, int64_t n)
{
    const uint8_t *p = src;
    for (int64_t i = 0; i < n; i++) {
        uint16_t h;
        memcpy(&h, p + 2 * i, sizeof h);
        dst[i] = glim_bf16_to_f32(h);
    }
}

void glim_bf16_encode(const float *src, void *dst, int64_t n)
{
    uint8_t *p = dst;
    for (int64_t i = 0; i < n; i++) {
        uint16_t h = glim_f32_to_bf16(src[i]);
        memcpy(p + 2 * i, &h, sizeof h);
    }
}
