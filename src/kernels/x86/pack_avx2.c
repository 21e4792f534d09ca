/* SPDX-License-Identifier: MIT
 * pack_avx2.c - f32 to Q8_0 and Q8_K, and Q8_0 back; used at all higher levels too, being a small
 * part of any product.
 * Owns: nothing but speed: bytes equal those of room quant's encoders, special blocks (tiny,
 * infinite, NaN) included.
 * Thread: any, pure.   See: quant/q8_0.c, quant/q8_k.c, tests/kernels/checkkern.c */
#include "kernels/x86/vec_int_avx2.h"

/* Room quant's own bounds (quant_priv.h), said again here because a level's file reads block
 * layouts only; a difference shows in checkkern. */
#define BITS_INF 0x7f800000u
#define BITS_TINY 0x04000000u
#define BITS_NAN 0x7fc00000u
#define F16_NAN 0x7e00u

VEC_FN float float_of(uint32_t bits)
{
    return _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128((int)bits)));
}

/* Largest magnitude as bits, an integer maximum as in room quant. */
VEC_FN uint32_t amax_bits(const float *x, int n)
{
    const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
    __m256i m = _mm256_setzero_si256();
    for (int j = 0; j < n; j += 8)
        m = _mm256_max_epu32(m, _mm256_and_si256(vi_load(x + j), magnitude));
    __m128i s = _mm_max_epu32(_mm256_castsi256_si128(m), _mm256_extracti128_si256(m, 1));
    s = _mm_max_epu32(s, _mm_shuffle_epi32(s, 0x4e));
    s = _mm_max_epu32(s, _mm_shuffle_epi32(s, 0xb1));
    return (uint32_t)_mm_cvtsi128_si32(s);
}

/* 32 floats times id, rounded to nearest even, as bytes in order; sums[4] gets them as 32-bit lanes
 * of 8. */
VEC_FN __m256i quantise32(const float *x, vf id, __m256i sums[4])
{
    VEC_UNROLL for (int j = 0; j < 4; j++) sums[j] =
        _mm256_cvtps_epi32(vf_mul(vf_load(x + 8 * j), id));
    __m256i a = _mm256_packs_epi32(sums[0], sums[1]), b = _mm256_packs_epi32(sums[2], sums[3]);
    return _mm256_permutevar8x32_epi32(_mm256_packs_epi16(a, b),
                                       _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

void glim_pack_q8_0_avx2(const float *x, void *y, int64_t n)
{
    glim_block_q8_0 *b = y;
    for (; n >= GLIM_QK; n -= GLIM_QK, b++, x += GLIM_QK) {
        uint32_t amax = amax_bits(x, GLIM_QK);
        float d = float_of(amax) / 127.0f;
        if (amax < BITS_TINY || amax >= BITS_INF || d >= 65520.0f) {
            memset(b, 0, sizeof(*b));
            if (amax >= BITS_TINY) b->d = F16_NAN;
            continue;
        }
        __m256i sums[4];
        b->d = (uint16_t)_cvtss_sh(d, _MM_FROUND_TO_NEAREST_INT);
        _mm256_storeu_si256((__m256i *)(void *)b->qs, quantise32(x, vf_set1(1.0f / d), sums));
    }
}

void glim_pack_q8_k_avx2(const float *x, void *y, int64_t n)
{
    glim_block_q8_k *b = y;
    for (; n >= GLIM_QK_K; n -= GLIM_QK_K, b++, x += GLIM_QK_K) {
        uint32_t amax = amax_bits(x, GLIM_QK_K);
        if (amax < BITS_TINY || amax >= BITS_INF) {
            memset(b, 0, sizeof(*b));
            if (amax >= BITS_INF) b->d = float_of(BITS_NAN);
            continue;
        }
        float d = float_of(amax) / 127.0f;
        vf id = vf_set1(1.0f / d);
        b->d = d;
        for (int j = 0; j < GLIM_QK_K; j += 32) {
            __m256i s[4];
            _mm256_storeu_si256((__m256i *)(void *)(b->qs + j), quantise32(x + j, id, s));
            /* Two sums of 16 as 32 bits, low 16 bits of each kept. */
            __m256i t =
                _mm256_hadd_epi32(_mm256_add_epi32(s[0], s[1]), _mm256_add_epi32(s[2], s[3]));
            t = _mm256_hadd_epi32(t, t);
            __m128i u = _mm_add_epi32(_mm256_castsi256_si128(t), _mm256_extracti128_si256(t, 1));
            int32_t pair = _mm_cvtsi128_si32(_mm_packs_epi32(u, u));
            memcpy(b->bsums + j / 16, &pair, sizeof(pair));
        }
    }
}

void glim_unpack_q8_0_avx2(const void *x, float *y, int64_t n)
{
    const glim_block_q8_0 *b = x;
    for (; n >= GLIM_QK; n -= GLIM_QK, b++, y += GLIM_QK) {
        vf d = vf_set1(vi_f16(b->d));
        VEC_UNROLL for (int j = 0; j < 4; j++)
        {
            __m128i q = _mm_loadl_epi64((const __m128i *)(const void *)(b->qs + 8 * j));
            vf_store(y + 8 * j, vf_mul(d, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(q))));
        }
    }
}
