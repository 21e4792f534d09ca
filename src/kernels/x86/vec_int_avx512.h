/* SPDX-License-Identifier: MIT
 * vec_int_avx512.h - integer helpers of the quantised dots at this level. */
#ifndef GLIM_KERNELS_VEC_INT_AVX512_H
#define GLIM_KERNELS_VEC_INT_AVX512_H

#include "kernels/x86/vec_avx512.h"

/* 32 bytes in both halves. */
VEC_FN __m512i vi_twice32(const void *p)
{
    return _mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)p));
}
/* Two vectors of 32 bytes that differ by a constant in the upper half. */
VEC_FN __m512i vi_halves16(int lo, int hi)
{
    return _mm512_inserti64x4(_mm512_set1_epi16((short)lo), _mm256_set1_epi16((short)hi), 1);
}
VEC_FN __m512i vi_halves8(int lo, int hi)
{
    return _mm512_inserti64x4(_mm512_set1_epi8((char)lo), _mm256_set1_epi8((char)hi), 1);
}
/* Nibbles of 64 elements that stand as lo(32 bytes), hi(the same 32 bytes). */
VEC_FN __m512i vi_nibbles32(const void *p)
{
    return _mm512_and_si512(_mm512_srlv_epi16(vi_twice32(p), vi_halves16(0, 4)),
                            _mm512_set1_epi8(15));
}
/* Nibbles of two runs of 32 that stand as lo(16 bytes), hi(the same 16 bytes) each. */
VEC_FN __m512i vi_nibbles16(__m256i two)
{
    __m512i b = _mm512_castsi256_si512(two);
    b = _mm512_shuffle_i32x4(b, b, 0x50);
    __m512i shift = _mm512_set_epi64(0x0004000400040004, 0x0004000400040004, 0, 0,
                                     0x0004000400040004, 0x0004000400040004, 0, 0);
    return _mm512_and_si512(_mm512_srlv_epi16(b, shift), _mm512_set1_epi8(15));
}
VEC_FN __m512i vi_load(const void *p)
{
    return _mm512_loadu_si512(p);
}
VEC_FN float vi_f16(uint16_t h)
{
    return _cvtsh_ss(h);
}

/* Scales and minimums of Q4_K and Q5_K from the first 16 bytes of a block (d, dmin, scales): bytes
 * sc0..7 mn0..7. All in registers: writing the 12 bytes out and reading them back as a vector waits
 * for the store. */
VEC_FN __m128i vi_q4k_scales(__m128i head)
{
    const __m128i from = _mm_setr_epi8(4, 5, 6, 7, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m128i top = _mm_setr_epi8(-1, -1, -1, -1, 4, 5, 6, 7, -1, -1, -1, -1, 8, 9, 10, 11);
    __m128i lo = _mm_srlv_epi32(_mm_shuffle_epi8(head, from), _mm_setr_epi32(0, 0, 0, 4));
    lo = _mm_and_si128(lo, _mm_setr_epi32(0x3f3f3f3f, 0x0f0f0f0f, 0x3f3f3f3f, 0x0f0f0f0f));
    __m128i hi = _mm_srli_epi16(_mm_shuffle_epi8(head, top), 2);
    return _mm_or_si128(lo, _mm_and_si128(hi, _mm_set1_epi8(0x30)));
}

#endif
