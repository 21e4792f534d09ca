/* SPDX-License-Identifier: MIT
 * dot_q4_k_avx512.c - Q4_K and Q5_K weights times Q8_K activations.
 * Layout: 64 elements a vector, in the order of the activations: the lower half has scale 2k, the
 * upper 2k + 1. A lane of four products (at most 31 * 127 * 4) fits 16 bits, so one multiply-add
 * of 16-bit pairs applies the 6-bit scale exactly; floats begin once a block.
 * Thread: any, pure.   See: gemm.inc */
#include "kernels/x86/vec_int_avx512.h"

/* 6-bit scales of vector k as 32-bit lanes with a zero upper half. */
VEC_FN __m512i scale_lanes(__m512i scales, int k)
{
    __m512i from =
        _mm512_inserti64x4(_mm512_set1_epi32((int)(0x80808000u | (unsigned)(2 * k))),
                           _mm256_set1_epi32((int)(0x80808000u | (unsigned)(2 * k + 1))), 1);
    return _mm512_shuffle_epi8(scales, from);
}

/* One block of either type; qh is NULL for Q4_K. */
VEC_FN void block_dot(const uint8_t *head, const uint8_t *qh, const uint8_t *qs, const uint8_t *x,
                      size_t x_stride, int nc, vf *acc)
{
    __m128i h = _mm_loadu_si128((const __m128i *)head);
    __m128i sm = vi_q4k_scales(h);
    __m512i scales = _mm512_broadcast_i32x4(sm);
    /* Each minimum twice: the sums of activations are of 16, the minimums of 32 elements. */
    __m128i twice = _mm_shuffle_epi8(
        sm, _mm_setr_epi8(8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13, 14, 14, 15, 15));
    __m256i mins = _mm256_cvtepu8_epi16(twice);
    __m128 d = _mm_cvtph_ps(h);
    vf vd_ = _mm512_broadcastss_ps(d);
    vf vm = _mm512_broadcastss_ps(_mm_movehdup_ps(d));
    __m512i high = qh ? vi_twice32(qh) : _mm512_setzero_si512();
    __m512i sum[8];
    VEC_UNROLL for (int c = 0; c < nc; c++) sum[c] = _mm512_setzero_si512();
    VEC_UNROLL for (int k = 0; k < 4; k++)
    {
        __m512i q = vi_nibbles32(qs + 32 * k);
        if (qh) {
            __mmask64 five = _mm512_test_epi8_mask(high, vi_halves8(1 << 2 * k, 2 << 2 * k));
            q = _mm512_mask_add_epi8(q, five, q, _mm512_set1_epi8(16));
        }
        __m512i s = scale_lanes(scales, k);
        VEC_UNROLL for (int c = 0; c < nc; c++)
        {
            const glim_block_q8_k *b = (const void *)(x + (size_t)c * x_stride);
            __m512i p = _mm512_dpbusd_epi32(_mm512_setzero_si512(), q, vi_load(b->qs + 64 * k));
            sum[c] = _mm512_dpwssd_epi32(sum[c], p, s);
        }
    }
    VEC_UNROLL for (int c = 0; c < nc; c++)
    {
        const glim_block_q8_k *b = (const void *)(x + (size_t)c * x_stride);
        vf dx = vf_set1(b->d);
        __m256i bs = _mm256_loadu_si256((const __m256i *)(const void *)b->bsums);
        __m512i m = _mm512_zextsi256_si512(_mm256_madd_epi16(bs, mins));
        acc[c] = vf_fma(_mm512_cvtepi32_ps(sum[c]), vf_mul(vd_, dx), acc[c]);
        acc[c] = vf_fnma(_mm512_cvtepi32_ps(m), vf_mul(vm, dx), acc[c]);
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
#define GEMM_NC 8
#define GEMM_TILE tile_q4_k
#include "kernels/x86/gemm.inc"

#define GEMM_TYPE q5_k
#define GEMM_MR 1
#define GEMM_NC 8
#define GEMM_TILE tile_q5_k
#include "kernels/x86/gemm.inc"
