/* SPDX-License-Identifier: MIT
 * dot_q4_k_avx2.c - Q4_K and Q5_K weights times Q8_K activations.
 * Layout: 32 elements a vector under one scale. Pairs of products (at most 31 * 127 * 2) fit 16
 * bits; the multiply-add that widens them applies the 6-bit scale; floats begin once a block.
 * Thread: any, pure.   See: gemm.inc */
#include "kernels/x86/vec_int_avx2.h"

/* 6-bit scale j in every 16-bit lane. */
VEC_FN __m256i scale_lanes(__m256i scales, int j)
{
    return _mm256_shuffle_epi8(scales, _mm256_set1_epi16((short)(0x8000 | j)));
}

/* One block of either type; qh is NULL for Q4_K. */
VEC_FN void block_dot(const uint8_t *head, const uint8_t *qh, const uint8_t *qs, const uint8_t *x,
                      size_t x_stride, int nc, vf *acc)
{
    const __m256i low = _mm256_set1_epi8(15), bit = _mm256_set1_epi8(16);
    __m128i h = _mm_loadu_si128((const __m128i *)head);
    __m128i sm = vi_q4k_scales(h);
    __m256i scales = vi_twice(sm);
    /* Each minimum twice: the sums of activations are of 16, the minimums of 32 elements. */
    __m128i twice = _mm_shuffle_epi8(
        sm, _mm_setr_epi8(8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13, 14, 14, 15, 15));
    __m256i mins = _mm256_cvtepu8_epi16(twice);
    __m128 d = _mm_cvtph_ps(h);
    vf vd_ = _mm256_broadcastss_ps(d);
    vf vm = _mm256_broadcastss_ps(_mm_movehdup_ps(d));
    __m256i sum[4];
    VEC_UNROLL for (int c = 0; c < nc; c++) sum[c] = _mm256_setzero_si256();
    VEC_UNROLL for (int k = 0; k < 4; k++)
    {
        __m256i q = vi_load(qs + 32 * k);
        __m256i q0 = _mm256_and_si256(q, low);
        __m256i q1 = _mm256_and_si256(_mm256_srli_epi16(q, 4), low);
        if (qh) {
            __m256i five = _mm256_srli_epi16(vi_load(qh), 2 * k);
            q0 = _mm256_or_si256(q0, _mm256_and_si256(_mm256_slli_epi16(five, 4), bit));
            q1 = _mm256_or_si256(q1, _mm256_and_si256(_mm256_slli_epi16(five, 3), bit));
        }
        __m256i s0 = scale_lanes(scales, 2 * k), s1 = scale_lanes(scales, 2 * k + 1);
        VEC_UNROLL for (int c = 0; c < nc; c++)
        {
            const glim_block_q8_k *b = (const void *)(x + (size_t)c * x_stride);
            __m256i p0 = _mm256_madd_epi16(_mm256_maddubs_epi16(q0, vi_load(b->qs + 64 * k)), s0);
            __m256i p1 =
                _mm256_madd_epi16(_mm256_maddubs_epi16(q1, vi_load(b->qs + 64 * k + 32)), s1);
            sum[c] = _mm256_add_epi32(sum[c], _mm256_add_epi32(p0, p1));
        }
    }
    VEC_UNROLL for (int c = 0; c < nc; c++)
    {
        const glim_block_q8_k *b = (const void *)(x + (size_t)c * x_stride);
        vf dx = vf_set1(b->d);
        __m256i m = _mm256_madd_epi16(vi_load((const void *)b->bsums), mins);
        acc[c] = vf_fma(_mm256_cvtepi32_ps(sum[c]), vf_mul(vd_, dx), acc[c]);
        acc[c] = vf_fnma(_mm256_cvtepi32_ps(m), vf_mul(vm, dx), acc[c]);
    }
}

VEC_FN void tile_q4_k(const uint8_t *w, size_t w_stride, const uint8_t *x, size_t x_stride,
                      int64_t n, int nr, int nc, vf *acc)
{
    (void)w_stride, (void)nr;
    VEC_UNROLL for (int c = 0; c < nc; c++) acc[c] = vf_zero();
    for (int64_t i = 0; i < n; i += GLIM_QK_K) {
        const glim_block_q4_k *b = (const void *)w;
        VEC_PREFETCH(nc, w, sizeof(*b));
        block_dot(w, NULL, b->qs, x, x_stride, nc, acc);
        w += sizeof(*b);
        x += sizeof(glim_block_q8_k);
    }
}

VEC_FN void tile_q5_k(const uint8_t *w, size_t w_stride, const uint8_t *x, size_t x_stride,
                      int64_t n, int nr, int nc, vf *acc)
{
    (void)w_stride, (void)nr;
    VEC_UNROLL for (int c = 0; c < nc; c++) acc[c] = vf_zero();
    for (int64_t i = 0; i < n; i += GLIM_QK_K) {
        const glim_block_q5_k *b = (const void *)w;
        VEC_PREFETCH(nc, w, sizeof(*b));
        block_dot(w, b->qh, b->qs, x, x_stride, nc, acc);
        w += sizeof(*b);
        x += sizeof(glim_block_q8_k);
    }
}

#define GEMM_TYPE q4_k
#define GEMM_MR 1
#define GEMM_NC 4
#define GEMM_TILE tile_q4_k
#include "kernels/x86/gemm.inc"

#define GEMM_TYPE q5_k
#define GEMM_MR 1
#define GEMM_NC 4
#define GEMM_TILE tile_q5_k
#include "kernels/x86/gemm.inc"
