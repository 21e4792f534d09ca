/* SPDX-License-Identifier: MIT
 * dot_q8_0_avx512.c - weights in blocks of 32 (Q8_0, Q5_0, Q4_0, IQ4_NL) times Q8_0 activations.
 * Layout: two blocks a vector, the lower half under the first scale. The unsigned operand is |w|;
 * its sign goes to the activations. An odd last block fills half a vector, the rest is zero.
 * Thread: any, pure.   See: gemm.inc */
#include "kernels/x86/vec_int_avx512.h"

/* Scales of two blocks, eight lanes each. */
VEC_FN vf scale_pair(const uint8_t *b0, const uint8_t *b1)
{
    uint16_t h0, h1 = 0;
    memcpy(&h0, b0, sizeof(h0));
    if (b1) memcpy(&h1, b1, sizeof(h1));
    __m256i h = _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_set1_epi16((short)h0)),
                                        _mm_set1_epi16((short)h1), 1);
    return _mm512_cvtph_ps(h);
}
VEC_FN __m256i two16(const uint8_t *p0, const uint8_t *p1)
{
    __m128i lo = _mm_loadu_si128((const __m128i *)p0);
    __m128i hi = p1 ? _mm_loadu_si128((const __m128i *)p1) : _mm_setzero_si128();
    return _mm256_inserti128_si256(_mm256_castsi128_si256(lo), hi, 1);
}

/* Signed bytes of blocks b0 and b1 (NULL: anything, its activations and scale are zero). */
VEC_FN __m512i pair_q8_0(const uint8_t *b0, const uint8_t *b1)
{
    __m256i lo = _mm256_loadu_si256((const __m256i *)(b0 + 2));
    __m256i hi = b1 ? _mm256_loadu_si256((const __m256i *)(b1 + 2)) : _mm256_setzero_si256();
    return _mm512_inserti64x4(_mm512_castsi256_si512(lo), hi, 1);
}
VEC_FN __m512i pair_q4_0(const uint8_t *b0, const uint8_t *b1)
{
    return _mm512_sub_epi8(vi_nibbles16(two16(b0 + 2, b1 ? b1 + 2 : NULL)), _mm512_set1_epi8(8));
}
VEC_FN __m512i pair_q5_0(const uint8_t *b0, const uint8_t *b1)
{
    uint32_t f0, f1 = 0;
    memcpy(&f0, b0 + 2, sizeof(f0));
    if (b1) memcpy(&f1, b1 + 2, sizeof(f1));
    __m512i q = vi_nibbles16(two16(b0 + 6, b1 ? b1 + 6 : NULL));
    /* q + 16 * bit - 16: the mask is the field itself. */
    return _mm512_mask_sub_epi8(q, ~((uint64_t)f1 << 32 | f0), q, _mm512_set1_epi8(16));
}
VEC_FN __m512i pair_iq4_nl(const uint8_t *b0, const uint8_t *b1)
{
    const __m128i values = _mm_loadu_si128((const __m128i *)(const void *)glim_iq4_nl_values);
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(values),
                               vi_nibbles16(two16(b0 + 2, b1 ? b1 + 2 : NULL)));
}

#define N_X sizeof(glim_block_q8_0)

#define SMALL_STEP(type, b1, x1)                                                                   \
    do {                                                                                           \
        __m512i v = pair_##type(w, b1);                                                            \
        __m512i u = _mm512_abs_epi8(v);                                                            \
        __mmask64 neg = _mm512_movepi8_mask(v);                                                    \
        vf dw = scale_pair(w, b1);                                                                 \
        VEC_UNROLL for (int c = 0; c < nc; c++)                                                    \
        {                                                                                          \
            const uint8_t *a = x + (size_t)c * x_stride;                                           \
            __m512i s = pair_q8_0(a, x1);                                                          \
            s = _mm512_mask_sub_epi8(s, neg, _mm512_setzero_si512(), s);                           \
            vf p = _mm512_cvtepi32_ps(_mm512_dpbusd_epi32(_mm512_setzero_si512(), u, s));          \
            acc[c] = vf_fma(p, vf_mul(dw, scale_pair(a, x1)), acc[c]);                             \
        }                                                                                          \
    } while (0)

#define SMALL(type)                                                                                \
    VEC_FN void tile_##type(const uint8_t *w, size_t w_stride, const uint8_t *x, size_t x_stride,  \
                            int64_t n, int nr, int nc, vf *acc)                                    \
    {                                                                                              \
        (void)w_stride, (void)nr;                                                                  \
        VEC_UNROLL for (int c = 0; c < nc; c++) acc[c] = vf_zero();                                \
        for (; n >= 2 * GLIM_QK; n -= 2 * GLIM_QK) {                                               \
            VEC_PREFETCH(nc, w, 64);                                                               \
            SMALL_STEP(type, w + sizeof(glim_block_##type), a + N_X);                              \
            w += 2 * sizeof(glim_block_##type);                                                    \
            x += 2 * N_X;                                                                          \
        }                                                                                          \
        if (n > 0) SMALL_STEP(type, NULL, NULL);                                                   \
    }

SMALL(q8_0)
SMALL(q4_0)
SMALL(q5_0)
SMALL(iq4_nl)

#define GEMM_TYPE q8_0
#define GEMM_MR 1
#define GEMM_NC 8
#define GEMM_TILE tile_q8_0
#include "kernels/x86/gemm.inc"

#define GEMM_TYPE q4_0
#define GEMM_MR 1
#define GEMM_NC 8
#define GEMM_TILE tile_q4_0
#include "kernels/x86/gemm.inc"

#define GEMM_TYPE q5_0
#define GEMM_MR 1
#define GEMM_NC 8
#define GEMM_TILE tile_q5_0
#include "kernels/x86/gemm.inc"

#define GEMM_TYPE iq4_nl
#define GEMM_MR 1
#define GEMM_NC 8
#define GEMM_TILE tile_iq4_nl
#include "kernels/x86/gemm.inc"
