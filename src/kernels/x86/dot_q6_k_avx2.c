/* SPDX-License-Identifier: MIT
 * dot_q6_k_avx2.c - Q6_K weights times Q8_K activations.
 * Layout: 32 elements a vector, one 8-bit scale a 128-bit lane. Weights stay 0..63; the offset of
 * 32 leaves as 32 * scale * sum of 16 activations, in integers.
 * Thread: any, pure.   See: gemm.inc */
#include "kernels/x86/vec_int_avx2.h"

/* Scales 2j and 2j + 1, each in the 16-bit lanes of one half: the byte goes to the upper half of a
 * lane and is shifted down with its sign. */
VEC_FN __m256i scale_lanes(__m256i scales, int j)
{
    __m256i from = _mm256_inserti128_si256(_mm256_set1_epi16((short)((2 * j) << 8 | 0x80)),
                                           _mm_set1_epi16((short)((2 * j + 1) << 8 | 0x80)), 1);
    return _mm256_srai_epi16(_mm256_shuffle_epi8(scales, from), 8);
}

VEC_FN void tile_q6_k(const uint8_t *w, size_t w_stride, const uint8_t *x, size_t x_stride,
                      int64_t n, int nr, int nc, vf *acc)
{
    const __m256i low = _mm256_set1_epi8(15), two = _mm256_set1_epi8(0x30);
    (void)w_stride, (void)nr;
    VEC_UNROLL for (int c = 0; c < nc; c++) acc[c] = vf_zero();
    for (int64_t i = 0; i < n; i += GLIM_QK_K) {
        const glim_block_q6_k *b = (const void *)w;
        VEC_PREFETCH(nc, w, sizeof(*b));
        __m128i sc8 = _mm_loadu_si128((const __m128i *)(const void *)b->scales);
        __m256i scales = vi_twice(sc8), sc = _mm256_cvtepi8_epi16(sc8);
        vf d = vf_set1(vi_f16(b->d));
        __m256i sum[4];
        VEC_UNROLL for (int c = 0; c < nc; c++) sum[c] = _mm256_setzero_si256();
        VEC_UNROLL for (int h = 0; h < 2; h++)
        {
            __m256i l0 = vi_load(b->ql + 64 * h), l1 = vi_load(b->ql + 64 * h + 32),
                    qh = vi_load(b->qh + 32 * h);
            VEC_UNROLL for (int k = 0; k < 4; k++)
            {
                __m256i l = k & 1 ? l1 : l0;
                __m256i q = _mm256_and_si256(k < 2 ? l : _mm256_srli_epi16(l, 4), low);
                __m256i top = k == 0   ? _mm256_slli_epi16(qh, 4)
                              : k == 1 ? _mm256_slli_epi16(qh, 2)
                              : k == 2 ? qh
                                       : _mm256_srli_epi16(qh, 2);
                q = _mm256_or_si256(q, _mm256_and_si256(top, two));
                __m256i s = scale_lanes(scales, 4 * h + k);
                VEC_UNROLL for (int c = 0; c < nc; c++)
                {
                    const glim_block_q8_k *a = (const void *)(x + (size_t)c * x_stride);
                    __m256i p = _mm256_maddubs_epi16(q, vi_load(a->qs + 128 * h + 32 * k));
                    sum[c] = _mm256_add_epi32(sum[c], _mm256_madd_epi16(p, s));
                }
            }
        }
        VEC_UNROLL for (int c = 0; c < nc; c++)
        {
            const glim_block_q8_k *a = (const void *)(x + (size_t)c * x_stride);
            __m256i off = _mm256_madd_epi16(vi_load((const void *)a->bsums), sc);
            __m256i s = _mm256_sub_epi32(sum[c], _mm256_slli_epi32(off, 5));
            acc[c] = vf_fma(_mm256_cvtepi32_ps(s), vf_mul(d, vf_set1(a->d)), acc[c]);
        }
        w += sizeof(*b);
        x += sizeof(glim_block_q8_k);
    }
}

#define GEMM_TYPE q6_k
#define GEMM_MR 1
#define GEMM_NC 4
#define GEMM_TILE tile_q6_k
#include "kernels/x86/gemm.inc"
