/* SPDX-License-Identifier: MIT
 * vec_avx512.h - sixteen floats at a time: the names that elem.inc, attn.inc and dot_float.inc
 * are written in.
 * Owns: everything here is static, so that no wide instruction leaves this level's library.
 * Layout: vf_load_n and vf_store_n touch only the first k elements (0 <= k <= VF_N), the rest
 * reads as 0. */
#ifndef GLIM_KERNELS_VEC_AVX512_H
#define GLIM_KERNELS_VEC_AVX512_H

#include "kernels/kernels_priv.h"
#include "quant/blocks.h"
#include "kernels/x86/vec_common.h"

#include <immintrin.h>

#define GLIM_K(name) glim_##name##_avx512v
#define VF_N 16
typedef __m512 vf;

VEC_FN vf vf_zero(void)
{
    return _mm512_setzero_ps();
}
VEC_FN vf vf_set1(float a)
{
    return _mm512_set1_ps(a);
}
VEC_FN vf vf_add(vf a, vf b)
{
    return _mm512_add_ps(a, b);
}
VEC_FN vf vf_sub(vf a, vf b)
{
    return _mm512_sub_ps(a, b);
}
VEC_FN vf vf_mul(vf a, vf b)
{
    return _mm512_mul_ps(a, b);
}
VEC_FN vf vf_div(vf a, vf b)
{
    return _mm512_div_ps(a, b);
}
VEC_FN vf vf_fma(vf a, vf b, vf c)
{
    return _mm512_fmadd_ps(a, b, c);
} /* a * b + c */
VEC_FN vf vf_fnma(vf a, vf b, vf c)
{
    return _mm512_fnmadd_ps(a, b, c);
} /* c - a * b */
/* Both give b where either is NaN. */
VEC_FN vf vf_max(vf a, vf b)
{
    return _mm512_max_ps(a, b);
}
VEC_FN vf vf_min(vf a, vf b)
{
    return _mm512_min_ps(a, b);
}
/* a where x is not below limit (NaN is not), else 0. */
VEC_FN vf vf_unless_below(vf x, float limit, vf a)
{
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, vf_set1(limit), _CMP_NLT_UQ), a);
}
VEC_FN vf vf_abs(vf a)
{
    return _mm512_abs_ps(a);
}
VEC_FN vf vf_fms(vf a, vf b, vf c)
{
    return _mm512_fmsub_ps(a, b, c);
} /* a * b - c */

VEC_FN __mmask16 vf_mask(int64_t k)
{
    return (__mmask16)((1u << k) - 1u);
}

VEC_FN vf vf_load(const void *p)
{
    return _mm512_loadu_ps(p);
}
VEC_FN vf vf_load_n(const void *p, int64_t k)
{
    return _mm512_maskz_loadu_ps(vf_mask(k), p);
}
VEC_FN void vf_store(float *p, vf a)
{
    _mm512_storeu_ps(p, a);
}
VEC_FN void vf_store_n(float *p, vf a, int64_t k)
{
    _mm512_mask_storeu_ps(p, vf_mask(k), a);
}

VEC_FN __m256i vec_load16(const void *p)
{
    return _mm256_loadu_si256((const __m256i *)p);
}
VEC_FN __m256i vec_load16_n(const void *p, int64_t k)
{
    return _mm256_maskz_loadu_epi16(vf_mask(k), p);
}
VEC_FN vf vf_from_f16(__m256i h)
{
    return _mm512_cvtph_ps(h);
}
VEC_FN vf vf_from_bf16(__m256i h)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}
VEC_FN vf vf_load_f16(const void *p)
{
    return vf_from_f16(vec_load16(p));
}
VEC_FN vf vf_load_f16_n(const void *p, int64_t k)
{
    return vf_from_f16(vec_load16_n(p, k));
}
VEC_FN vf vf_load_bf16(const void *p)
{
    return vf_from_bf16(vec_load16(p));
}
VEC_FN vf vf_load_bf16_n(const void *p, int64_t k)
{
    return vf_from_bf16(vec_load16_n(p, k));
}

VEC_FN __m256i vec_to_f16(vf a)
{
    return _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
/* Nearest even in integers, NaN made quiet: bit for bit as glim_f32_to_bf16(). The conversion
 * instruction of the BF16 extension takes subnormals for zero, so it is no use here. */
VEC_FN __m256i vec_to_bf16(vf a)
{
    __m512i u = _mm512_castps_si512(a);
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
    __m512i r = _mm512_add_epi32(u, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    __mmask16 nan = _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q);
    r = _mm512_mask_or_epi32(r, nan, u, _mm512_set1_epi32(0x400000));
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(r, 16));
}
VEC_FN void vf_store_f16(void *p, vf a)
{
    _mm256_storeu_si256((__m256i *)p, vec_to_f16(a));
}
VEC_FN void vf_store_f16_n(void *p, vf a, int64_t k)
{
    _mm256_mask_storeu_epi16(p, vf_mask(k), vec_to_f16(a));
}
VEC_FN void vf_store_bf16(void *p, vf a)
{
    _mm256_storeu_si256((__m256i *)p, vec_to_bf16(a));
}
VEC_FN void vf_store_bf16_n(void *p, vf a, int64_t k)
{
    _mm256_mask_storeu_epi16(p, vf_mask(k), vec_to_bf16(a));
}

VEC_FN vf vf_even(vf a)
{
    return _mm512_moveldup_ps(a);
} /* 0 0 2 2 ... */
VEC_FN vf vf_odd(vf a)
{
    return _mm512_movehdup_ps(a);
} /* 1 1 3 3 ... */
VEC_FN vf vf_swap(vf a)
{
    return _mm512_permute_ps(a, 0xb1);
}
VEC_FN vf vf_fmaddsub(vf a, vf b, vf c)
{
    return _mm512_fmaddsub_ps(a, b, c);
} /* even: -, odd: + */

VEC_FN __m128 vf_low(vf a)
{
    return _mm512_castps512_ps128(a);
}
/* Sums of four vectors at once, each by the same fixed tree. */
VEC_FN __m128 vf_sum4(vf a, vf b, vf c, vf d)
{
    /* 128-bit lanes first: a0+a2 a1+a3 b0+b2 b1+b3, then all four vectors in one register. */
    vf ab = vf_add(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
    vf cd = vf_add(_mm512_shuffle_f32x4(c, d, 0x44), _mm512_shuffle_f32x4(c, d, 0xee));
    vf s = vf_add(_mm512_shuffle_f32x4(ab, cd, 0x88), _mm512_shuffle_f32x4(ab, cd, 0xdd));
    s = vf_add(s, _mm512_permute_ps(s, 0x4e));
    s = vf_add(s, _mm512_permute_ps(s, 0xb1));
    return _mm512_castps512_ps128(_mm512_maskz_permutexvar_ps(
        0xf, _mm512_setr_epi32(0, 4, 8, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), s));
}
/* NaN never enters: callers keep it out by the order of vf_max's operands. */
VEC_FN float vf_hmax(vf a)
{
    vf m = vf_max(a, _mm512_shuffle_f32x4(a, a, 0x4e));
    m = vf_max(m, _mm512_shuffle_f32x4(m, m, 0xb1));
    m = vf_max(m, _mm512_permute_ps(m, 0x4e));
    m = vf_max(m, _mm512_permute_ps(m, 0xb1));
    return _mm512_cvtss_f32(m);
}
/* y[k][i] = in[i][k]: 16 rows to columns, `stride` floats between rows of y. */
VEC_FN void vf_transpose(const vf in[16], float *y, int64_t stride)
{
    vf a[16], b[16];
    VEC_UNROLL for (int i = 0; i < 16; i += 2)
    {
        a[i] = _mm512_unpacklo_ps(in[i], in[i + 1]);
        a[i + 1] = _mm512_unpackhi_ps(in[i], in[i + 1]);
    }
    VEC_UNROLL for (int i = 0; i < 16; i += 4)
    {
        VEC_UNROLL for (int k = 0; k < 2; k++)
        {
            __m512d lo = _mm512_castps_pd(a[i + k]), hi = _mm512_castps_pd(a[i + 2 + k]);
            b[i + 2 * k] = _mm512_castpd_ps(_mm512_unpacklo_pd(lo, hi));
            b[i + 2 * k + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(lo, hi));
        }
    }
    /* b[4g + c]: in each quarter q of the vector, column 4q + c of rows 4g .. 4g + 3. */
    VEC_UNROLL for (int c = 0; c < 4; c++)
    {
        vf even0 = _mm512_shuffle_f32x4(b[c], b[4 + c], 0x88),
           odd0 = _mm512_shuffle_f32x4(b[c], b[4 + c], 0xdd),
           even1 = _mm512_shuffle_f32x4(b[8 + c], b[12 + c], 0x88),
           odd1 = _mm512_shuffle_f32x4(b[8 + c], b[12 + c], 0xdd);
        vf_store(y + c * stride, _mm512_shuffle_f32x4(even0, even1, 0x88));
        vf_store(y + (8 + c) * stride, _mm512_shuffle_f32x4(even0, even1, 0xdd));
        vf_store(y + (4 + c) * stride, _mm512_shuffle_f32x4(odd0, odd1, 0x88));
        vf_store(y + (12 + c) * stride, _mm512_shuffle_f32x4(odd0, odd1, 0xdd));
    }
}
typedef __m512d vd;
VEC_FN vd vd_zero(void)
{
    return _mm512_setzero_pd();
}
VEC_FN vd vd_set1(double a)
{
    return _mm512_set1_pd(a);
}
VEC_FN vd vd_add(vd a, vd b)
{
    return _mm512_add_pd(a, b);
}
VEC_FN vd vd_sub(vd a, vd b)
{
    return _mm512_sub_pd(a, b);
}
VEC_FN vd vd_mul(vd a, vd b)
{
    return _mm512_mul_pd(a, b);
}
VEC_FN vd vd_fma(vd a, vd b, vd c)
{
    return _mm512_fmadd_pd(a, b, c);
} /* a * b + c */
/* The two halves of a in double, and back. */
VEC_FN vd vd_low(vf a)
{
    return _mm512_cvtps_pd(_mm512_castps512_ps256(a));
}
VEC_FN vd vd_high(vf a)
{
    return _mm512_cvtps_pd(_mm512_extractf32x8_ps(a, 1));
}
VEC_FN vf vf_of_vd(vd low, vd high)
{
    return _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(low)), _mm512_cvtpd_ps(high),
                              1);
}
/* acc[0..1] += the squares of a, in double. */
VEC_FN void vf_sumsq(vf a, vd acc[2])
{
    vd lo = vd_low(a), hi = vd_high(a);
    acc[0] = vd_fma(lo, lo, acc[0]);
    acc[1] = vd_fma(hi, hi, acc[1]);
}
VEC_FN double vd_sum2(const vd acc[2])
{
    return _mm512_reduce_add_pd(_mm512_add_pd(acc[0], acc[1]));
}

VEC_FN vf vf_scale2(vf a, vf n)
{
    return _mm512_scalef_ps(a, n);
} /* a * 2^n */
VEC_FN vf vf_round(vf a)
{
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

#include "kernels/x86/vec_exp.h"

#endif
