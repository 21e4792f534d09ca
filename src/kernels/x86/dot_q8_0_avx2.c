/* SPDX-License-Identifier: MIT
 * dot_q8_0_avx2.c - weights in blocks of 32 (Q8_0, Q5_0, Q4_0, IQ4_NL) times Q8_0 activations.
 * Layout: one block a vector.
 * Thread: any, pure.   See: gemm.inc */
#include "kernels/x86/vec_int_avx2.h"

VEC_FN __m256i bytes_q8_0(const glim_block_q8_0 *b)
{
    return vi_load(b->qs);
}
VEC_FN __m256i bytes_q4_0(const glim_block_q4_0 *b)
{
    return _mm256_sub_epi8(vi_nibbles16(b->qs), _mm256_set1_epi8(8));
}
VEC_FN __m256i bytes_q5_0(const glim_block_q5_0 *b)
{
    /* Byte j of the vector gets byte j / 8 of the field, then looks at bit j % 8. */
    int32_t field;
    memcpy(&field, b->qh, sizeof(field));
    __m256i spread =
        _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    __m256i bits = _mm256_set1_epi64x((long long)0x8040201008040201);
    __m256i h = _mm256_and_si256(_mm256_shuffle_epi8(_mm256_set1_epi32(field), spread), bits);
    __m256i clear = _mm256_cmpeq_epi8(h, _mm256_setzero_si256());
    /* q - 16 where the bit is clear, for q below 16: the upper four bits set. */
    return _mm256_or_si256(vi_nibbles16(b->qs),
                           _mm256_and_si256(clear, _mm256_set1_epi8((char)0xf0)));
}
VEC_FN __m256i bytes_iq4_nl(const glim_block_iq4_nl *b)
{
    const __m256i table =
        vi_twice(_mm_loadu_si128((const __m128i *)(const void *)glim_iq4_nl_values));
    return _mm256_shuffle_epi8(table, vi_nibbles16(b->qs));
}

#define SMALL(type)                                                                                \
    VEC_FN void tile_##type(const uint8_t *w, size_t w_stride, const uint8_t *x, size_t x_stride,  \
                            int64_t n, int nr, int nc, vf *acc)                                    \
    {                                                                                              \
        const glim_block_##type *b = (const void *)w;                                              \
        (void)w_stride, (void)nr;                                                                  \
        VEC_UNROLL for (int c = 0; c < nc; c++) acc[c] = vf_zero();                                \
        for (int64_t i = 0; i < n; i += GLIM_QK, b++) {                                            \
            VEC_PREFETCH(nc, b, 1);                                                                \
            __m256i q = bytes_##type(b);                                                           \
            float d = vi_f16(b->d);                                                                \
            VEC_UNROLL for (int c = 0; c < nc; c++)                                                \
            {                                                                                      \
                const glim_block_q8_0 *a = (const void *)(x + (size_t)c * x_stride);               \
                __m256i p =                                                                        \
                    _mm256_madd_epi16(vi_pairs_signed(q, vi_load(a->qs)), _mm256_set1_epi16(1));   \
                acc[c] = vf_fma(_mm256_cvtepi32_ps(p), vf_set1(d * vi_f16(a->d)), acc[c]);         \
            }                                                                                      \
            x += sizeof(glim_block_q8_0);                                                          \
        }                                                                                          \
    }

SMALL(q8_0)
SMALL(q4_0)
SMALL(q5_0)
SMALL(iq4_nl)

#define GEMM_TYPE q8_0
#define GEMM_MR 1
#define GEMM_NC 4
#define GEMM_TILE tile_q8_0
#include "kernels/x86/gemm.inc"

#define GEMM_TYPE q4_0
#define GEMM_MR 1
#define GEMM_NC 4
#define GEMM_TILE tile_q4_0
#include "kernels/x86/gemm.inc"

#define GEMM_TYPE q5_0
#define GEMM_MR 1
#define GEMM_NC 4
#define GEMM_TILE tile_q5_0
#include "kernels/x86/gemm.inc"

#define GEMM_TYPE iq4_nl
#define GEMM_MR 1
#define GEMM_NC 4
#define GEMM_TILE tile_iq4_nl
#include "kernels/x86/gemm.inc"
