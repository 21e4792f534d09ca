/* SPDX-License-Identifier: MIT
 * dot_iq4_xs_avx512.c - IQ4_XS weights times Q8_K activations.
 * Layout: 64 elements (two runs) a vector. The table is stored +128 so that it is the unsigned
 * operand; the offset leaves as 128 * scale * sum of the run's activations, in integers. Sums of
 * four products need more than 16 bits here, so scales are multiplied in 32.
 * Thread: any, pure.   See: gemm.inc */
#include "kernels/x86/vec_int_avx512.h"

VEC_FN void tile_iq4_xs(const uint8_t *w, size_t w_stride, const uint8_t *x, size_t x_stride,
                        int64_t n, int nr, int nc, vf *acc)
{
    const __m128i values = _mm_loadu_si128((const __m128i *)(const void *)glim_iq4_nl_values);
    const __m512i table = _mm512_broadcast_i32x4(_mm_xor_si128(values, _mm_set1_epi8((char)0x80)));
    (void)w_stride, (void)nr;
    VEC_UNROLL for (int c = 0; c < nc; c++) acc[c] = vf_zero();
    for (int64_t i = 0; i < n; i += GLIM_QK_K) {
        const glim_block_iq4_xs *b = (const void *)w;
        VEC_PREFETCH(nc, w, sizeof(*b));
        int32_t low;
        memcpy(&low, b->scales_l, sizeof(low));
        __m256i l4 = _mm256_srlv_epi32(_mm256_set1_epi32(low),
                                       _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28));
        __m256i h2 = _mm256_srlv_epi32(_mm256_set1_epi32(b->scales_h),
                                       _mm256_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14));
        __m256i ls =
            _mm256_or_si256(_mm256_and_si256(l4, _mm256_set1_epi32(15)),
                            _mm256_slli_epi32(_mm256_and_si256(h2, _mm256_set1_epi32(3)), 4));
        ls = _mm256_sub_epi32(ls, _mm256_set1_epi32(32));
        __m512i scales = _mm512_castsi256_si512(ls);
        /* Both 16-bit halves: a run has two sums of activations. */
        __m256i pairs = _mm256_or_si256(_mm256_and_si256(ls, _mm256_set1_epi32(0xffff)),
                                        _mm256_slli_epi32(ls, 16));
        vf d = vf_set1(vi_f16(b->d));
        __m512i sum[8];
        VEC_UNROLL for (int c = 0; c < nc; c++) sum[c] = _mm512_setzero_si512();
        VEC_UNROLL for (int k = 0; k < 4; k++)
        {
            __m256i two = _mm256_loadu_si256((const __m256i *)(const void *)(b->qs + 32 * k));
            __m512i q = _mm512_shuffle_epi8(table, vi_nibbles16(two));
            __m512i s = _mm512_permutexvar_epi32(
                _mm512_inserti64x4(_mm512_set1_epi32(2 * k), _mm256_set1_epi32(2 * k + 1), 1),
                scales);
            VEC_UNROLL for (int c = 0; c < nc; c++)
            {
                const glim_block_q8_k *a = (const void *)(x + (size_t)c * x_stride);
                __m512i p = _mm512_dpbusd_epi32(_mm512_setzero_si512(), q, vi_load(a->qs + 64 * k));
                sum[c] = _mm512_add_epi32(sum[c], _mm512_mullo_epi32(p, s));
            }
        }
        VEC_UNROLL for (int c = 0; c < nc; c++)
        {
            const glim_block_q8_k *a = (const void *)(x + (size_t)c * x_stride);
            __m256i off = _mm256_madd_epi16(
                _mm256_loadu_si256((const __m256i *)(const void *)a->bsums), pairs);
            __m512i s = _mm512_sub_epi32(sum[c], _mm512_zextsi256_si512(_mm256_slli_epi32(off, 7)));
            acc[c] = vf_fma(_mm512_cvtepi32_ps(s), vf_mul(d, vf_set1(a->d)), acc[c]);
        }
        w += sizeof(*b);
        x += sizeof(glim_block_q8_k);
    }
}

#define GEMM_TYPE iq4_xs
#define GEMM_MR 1
#define GEMM_NC 8
#define GEMM_TILE tile_iq4_xs
#include "kernels/x86/gemm.inc"
