/* SPDX-License-Identifier: MIT
 * vec_int_avx2.h - integer helpers of the quantised dots at this level. */
#ifndef GLIM_KERNELS_VEC_INT_AVX2_H
#define GLIM_KERNELS_VEC_INT_AVX2_H

#include "kernels/x86/vec_avx2.h"

VEC_FN __m256i vi_load(const void *p)
{
    return _mm256_loadu_si256((const __m256i *)p);
}
VEC_FN __m256i vi_twice(__m128i a)
{
    return _mm256_inserti128_si256(_mm256_castsi128_si256(a), a, 1);
}
VEC_FN float vi_f16(uint16_t h)
{
    return _cvtsh_ss(h);
}
/* Low nibbles of 16 bytes, then the high ones. */
VEC_FN __m256i vi_nibbles16(const void *p)
{
    __m128i a = _mm_loadu_si128((const __m128i *)p);
    __m256i b = _mm256_inserti128_si256(_mm256_castsi128_si256(a), _mm_srli_epi16(a, 4), 1);
    return _mm256_and_si256(b, _mm256_set1_epi8(15));
}
/* Sums of adjacent pairs of products; |w| is the unsigned operand and its sign goes to x. |w| <=
 * 128 and |x| <= 127, so a pair never saturates. */
VEC_FN __m256i vi_pairs_signed(__m256i w, __m256i x)
{
    return _mm256_maddubs_epi16(_mm256_sign_epi8(w, w), _mm256_sign_epi8(x, w));
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
