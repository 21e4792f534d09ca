/* SPDX-License-Identifier: MIT
 * dot_iq4_xs_avx2.c - IQ4_XS weights times Q8_K activations.
 * Layout: one run of 32 elements a vector. Pairs of products (127 * 127 * 2) just fit 16 bits
 * signed; the multiply-add that widens them applies the signed 6-bit scale.
 * Thread: any, pure.   See: gemm.inc */
#include "kernels/x86/vec_int_avx2.h"

VEC_FN void tile_iq4_xs(const uint8_t *w, size_t w_stride, const uint8_t *x, size_t x_stride,
                        int64_t n, int nr, int nc, vf *acc)
{
    const __m256i table =
        vi_twice(_mm_loadu_si128((const __m128i *)(const void *)glim_iq4_nl_values));
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
        /* In both 16-bit halves of a lane. */
        __m256i pairs = _mm256_or_si256(_mm256_and_si256(ls, _mm256_set1_epi32(0xffff)),
                                        _mm256_slli_epi32(ls, 16));
        vf d = vf_set1(vi_f16(b->d));
        __m256i sum[4];
        VEC_UNROLL for (int c = 0; c < nc; c++) sum[c] = _mm256_setzero_si256();
        VEC_UNROLL for (int k = 0; k < 8; k++)
        {
            __m256i q = _mm256_shuffle_epi8(table, vi_nibbles16(b->qs + 16 * k));
            __m256i s = _mm256_permutevar8x32_epi32(pairs, _mm256_set1_epi32(k));
            VEC_UNROLL for (int c = 0; c < nc; c++)
            {
                const glim_block_q8_k *a = (const void *)(x + (size_t)c * x_stride);
                __m256i p = vi_pairs_signed(q, vi_load(a->qs + 32 * k));
                sum[c] = _mm256_add_epi32(sum[c], _mm256_madd_epi16(p, s));
            }
        }
        VEC_UNROLL for (int c = 0; c < nc; c++)
        {
            const glim_block_q8_k *a = (const void *)(x + (size_t)c * x_stride);
            acc[c] = vf_fma(_mm256_cvtepi32_ps(sum[c]), vf_mul(d, vf_set1(a->d)), acc[c]);
        }
        w += sizeof(*b);
        x += sizeof(glim_block_q8_k);
    }
}

#define GEMM_TYPE iq4_xs
#define GEMM_MR 1
#define GEMM_NC 4
#define GEMM_TILE tile_iq4_xs
#include "kernels/x86/gemm.inc"
