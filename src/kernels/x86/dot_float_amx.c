/* SPDX-License-Identifier: MIT
 * dot_float_amx.c - BF16, F16 and F32 weights on tiles, and activations as three bf16.
 * BF16 takes BF16 activations: one product. An F16 is the sum of two bf16, an f32 of three (see
 * quant/bf16x3.c), and so are their activations: of the products of parts those count that reach
 * 2^-23 of the whole, 5 of 6 and 6 of 9. That is f32 arithmetic at several times the speed of f32
 * instructions.
 * Thread: any, pure.   See: gemm_amx.inc */
#include "kernels/x86/vec_amx.h"

/* The upper 16 bits of each of 32 words, in order. */
VEC_FN __m512i upper_halves(__m512i a, __m512i b)
{
    const __m512i odd =
        _mm512_set_epi16(63, 61, 59, 57, 55, 53, 51, 49, 47, 45, 43, 41, 39, 37, 35, 33, 31, 29, 27,
                         25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
    return _mm512_permutex2var_epi16(a, odd, b);
}
/* As words whose lower half is to be ignored: x as the sum of three, bit for bit what
 * glim_bf16x3_encode() gives. */
VEC_FN void split3(__m512 x, __m512i part[3])
{
    const __m512i upper = _mm512_set1_epi32((int)0xffff0000u);
    __m512i u = _mm512_castps_si512(x);
    __mmask16 special = _mm512_fpclass_ps_mask(x, 0x99); /* NaN of both kinds, infinities */
    __mmask16 nan = _mm512_fpclass_ps_mask(x, 0x81);
    __m512 rest = _mm512_maskz_sub_ps((__mmask16)~special, x,
                                      _mm512_castsi512_ps(_mm512_and_si512(u, upper)));
    __m512i v = _mm512_castps_si512(rest);
    __m512i even = _mm512_and_si512(_mm512_srli_epi32(v, 16), _mm512_set1_epi32(1));
    v = _mm512_add_epi32(v, _mm512_add_epi32(even, _mm512_set1_epi32(0x7fff)));
    part[0] = _mm512_mask_or_epi32(u, nan, u, _mm512_set1_epi32(0x400000));
    part[1] = v;
    part[2] =
        _mm512_castps_si512(_mm512_sub_ps(rest, _mm512_castsi512_ps(_mm512_and_si512(v, upper))));
}

VEC_FN void split3_pair(__m512 a, __m512 b, __m512i part[3])
{
    __m512i lo[3], hi[3];
    split3(a, lo);
    split3(b, hi);
    VEC_UNROLL for (int p = 0; p < 3; p++) part[p] = upper_halves(lo[p], hi[p]);
}

VEC_FN void load_f32(const uint8_t *p, int64_t k, __m512i part[3])
{
    if (k == 32)
        split3_pair(vf_load(p), vf_load(p + 64), part);
    else
        split3_pair(vf_load_n(p, GLIM_MIN(k, 16)), k > 16 ? vf_load_n(p + 64, k - 16) : vf_zero(),
                    part);
}

/* An f16 cut off at 8 bits leaves 3: the rest is exact, and nothing overflows. */
VEC_FN void split2_pair(__m512 a, __m512 b, __m512i part[2])
{
    const __m512i upper = _mm512_set1_epi32((int)0xffff0000u);
    __m512i ua = _mm512_castps_si512(a), ub = _mm512_castps_si512(b);
    __m512 ra = _mm512_maskz_sub_ps((__mmask16)~_mm512_fpclass_ps_mask(a, 0x99), a,
                                    _mm512_castsi512_ps(_mm512_and_si512(ua, upper)));
    __m512 rb = _mm512_maskz_sub_ps((__mmask16)~_mm512_fpclass_ps_mask(b, 0x99), b,
                                    _mm512_castsi512_ps(_mm512_and_si512(ub, upper)));
    /* The conversion from f16 makes NaN quiet: the bit that says so is in the upper half. */
    part[0] = upper_halves(ua, ub);
    part[1] = upper_halves(_mm512_castps_si512(ra), _mm512_castps_si512(rb));
}

VEC_FN void load_f16(const uint8_t *p, int64_t k, __m512i part[2])
{
    if (k == 32)
        split2_pair(vf_load_f16(p), vf_load_f16(p + 32), part);
    else
        split2_pair(vf_load_f16_n(p, GLIM_MIN(k, 16)),
                    k > 16 ? vf_load_f16_n(p + 32, k - 16) : vf_zero(), part);
}

VEC_FN void load_bf16(const uint8_t *p, int64_t k, __m512i part[1])
{
    part[0] =
        k == 32 ? _mm512_loadu_si512(p) : _mm512_maskz_loadu_epi16((__mmask32)((1u << k) - 1u), p);
}

void GLIM_K(pack_bf16x3)(const float *x, void *y, int64_t n)
{
    uint8_t *to = y;
    for (int64_t i = 0; i < n; i += 32, to += sizeof(glim_block_bf16x3)) {
        __m512i part[3];
        load_f32((const uint8_t *)(x + i), GLIM_MIN(n - i, 32), part);
        VEC_UNROLL for (int p = 0; p < 3; p++) _mm512_storeu_si512(to + 64 * p, part[p]);
    }
}

#define GEMM_TYPE bf16
#define AMX_WBYTES 2
#define AMX_WPARTS 1
#define AMX_XBLOCK 64
#define AMX_XTAIL 1
#define AMX_WSPLIT(p, k, part) load_bf16(p, k, part)
#define AMX_SMALL(LX, LW, MUL) (void)0
#define AMX_MAIN(LX, LW, MUL)                                                                      \
    do {                                                                                           \
        LX(0);                                                                                     \
        LW(0);                                                                                     \
        MUL;                                                                                       \
    } while (0)
#include "kernels/x86/gemm_amx.inc"

/* Left out: second part times third. */
#define GEMM_TYPE f16
#define AMX_WBYTES 2
#define AMX_WPARTS 2
#define AMX_XBLOCK 192
#define AMX_XTAIL 0
#define AMX_WSPLIT(p, k, part) load_f16(p, k, part)
#define AMX_SMALL(LX, LW, MUL)                                                                     \
    do {                                                                                           \
        LX(2);                                                                                     \
        LW(0);                                                                                     \
        MUL;                                                                                       \
        LX(1);                                                                                     \
        MUL;                                                                                       \
        LW(1);                                                                                     \
        MUL;                                                                                       \
        LX(0);                                                                                     \
        MUL;                                                                                       \
    } while (0)
#define AMX_MAIN(LX, LW, MUL)                                                                      \
    do {                                                                                           \
        LX(0);                                                                                     \
        LW(0);                                                                                     \
        MUL;                                                                                       \
    } while (0)
#include "kernels/x86/gemm_amx.inc"

/* Left out: second part times third and third times third. */
#define GEMM_TYPE f32
#define AMX_WBYTES 4
#define AMX_WPARTS 3
#define AMX_XBLOCK 192
#define AMX_XTAIL 0
#define AMX_WSPLIT(p, k, part) load_f32(p, k, part)
#define AMX_SMALL(LX, LW, MUL)                                                                     \
    do {                                                                                           \
        LX(2);                                                                                     \
        LW(0);                                                                                     \
        MUL;                                                                                       \
        LX(1);                                                                                     \
        MUL;                                                                                       \
        LW(1);                                                                                     \
        MUL;                                                                                       \
        LX(0);                                                                                     \
        MUL;                                                                                       \
        LW(2);                                                                                     \
        MUL;                                                                                       \
    } while (0)
#define AMX_MAIN(LX, LW, MUL)                                                                      \
    do {                                                                                           \
        LX(0);                                                                                     \
        LW(0);                                                                                     \
        MUL;                                                                                       \
    } while (0)
#include "kernels/x86/gemm_amx.inc"
