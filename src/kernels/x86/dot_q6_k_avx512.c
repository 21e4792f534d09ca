/* SPDX-License-Identifier: MIT
 * dot_q6_k_avx512.c - Q6_K weights times Q8_K activations.
 * Layout: 64 elements a vector in the order of the activations; each 128-bit lane has its own
 * 8-bit scale. Weights stay 0..63 (63 * 127 * 4 fits 16 bits); the offset of 32 leaves as 32 *
 * scale * sum of 16 activations, in integers.
 * Thread: any, pure.   See: gemm.inc */
#include "kernels/x86/vec_int_avx512.h"

/* 16-bit scales 4k..4k+3, each in the lower halves of one 128-bit lane, upper halves zero. */
VEC_FN __m512i scale_lanes(__m512i scales, int k)
{
    __m512i from =
        _mm512_add_epi32(_mm512_set1_epi32(4 * k),
                         _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3));
    return _mm512_maskz_permutexvar_epi16(0x55555555u, from, scales);
}

VEC_FN void tile_q6_k(const uint8_t *w, size_t w_stride, const uint8_t *x, size_t x_stride,
                      int64_t n, int nr, int nc, vf *acc)
{
    const __m512i low = _mm512_set1_epi8(15), two = _mm512_set1_epi8(0x30);
    (void)w_stride, (void)nr;
    VEC_UNROLL for (int c = 0; c < nc; c++) acc[c] = vf_zero();
    for (int64_t i = 0; i < n; i += GLIM_QK_K) {
        const glim_block_q6_k *b = (const void *)w;
        VEC_PREFETCH(nc, w, sizeof(*b));
        __m256i sc =
            _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)b->scales));
        __m512i scales = _mm512_castsi256_si512(sc);
        vf d = vf_set1(vi_f16(b->d));
        __m512i sum[8];
        VEC_UNROLL for (int c = 0; c < nc; c++) sum[c] = _mm512_setzero_si512();
        VEC_UNROLL for (int h = 0; h < 2; h++)
        {
            __m512i ql = vi_load(b->ql + 64 * h), qh = vi_twice32(b->qh + 32 * h), q[2];
            q[0] = _mm512_or_si512(_mm512_and_si512(ql, low),
                                   _mm512_and_si512(_mm512_sllv_epi16(qh, vi_halves16(4, 2)), two));
            q[1] = _mm512_or_si512(_mm512_and_si512(_mm512_srli_epi16(ql, 4), low),
                                   _mm512_and_si512(_mm512_srlv_epi16(qh, vi_halves16(0, 2)), two));
            VEC_UNROLL for (int k = 0; k < 2; k++)
            {
                __m512i s = scale_lanes(scales, 2 * h + k);
                VEC_UNROLL for (int c = 0; c < nc; c++)
                {
                    const glim_block_q8_k *a = (const void *)(x + (size_t)c * x_stride);
                    __m512i p = _mm512_dpbusd_epi32(_mm512_setzero_si512(), q[k],
                                                    vi_load(a->qs + 128 * h + 64 * k));
                    sum[c] = _mm512_dpwssd_epi32(sum[c], p, s);
                }
            }
        }
        VEC_UNROLL for (int c = 0; c < nc; c++)
        {
            const glim_block_q8_k *a = (const void *)(x + (size_t)c * x_stride);
            __m256i off =
                _mm256_madd_epi16(_mm256_loadu_si256((const __m256i *)(const void *)a->bsums), sc);
            __m512i s = _mm512_sub_epi32(sum[c], _mm512_zextsi256_si512(_mm256_slli_epi32(off, 5)));
            acc[c] = vf_fma(_mm512_cvtepi32_ps(s), vf_mul(d, vf_set1(a->d)), acc[c]);
        }
        w += sizeof(*b);
        x += sizeof(glim_block_q8_k);
    }
}

#define GEMM_TYPE q6_k
#define GEMM_MR 1
#define GEMM_NC 8
#define GEMM_TILE tile_q6_k
#include "kernels/x86/gemm.inc"
