/* SPDX-License-Identifier: MIT
 * vec_avx2.h - eight floats at a time: the names that elem.inc, attn.inc and dot_float.inc are
 * written in.
 * Owns: everything here is static, so that no wide instruction leaves this level's library.
 * Layout: vf_load_n and vf_store_n touch only the first k elements (0 <= k <= VF_N), the rest
 * reads as 0. */
#ifndef GLIM_KERNELS_VEC_AVX2_H
#define GLIM_KERNELS_VEC_AVX2_H

#include "kernels/kernels_priv.h"
#include "quant/blocks.h"
#include "kernels/x86/vec_common.h"

#include <immintrin.h>

#define GLIM_K(name) glim_##name##_avx2
#define VF_N 8
typedef __m256 vf;

VEC_FN vf vf_zero(void)
{
    return _mm256_setzero_ps();
}
VEC_FN vf vf_set1(float a)
{
    return _mm256_set1_ps(a);
}
VEC_FN vf vf_add(vf a, vf b)
{
    return _mm256_add_ps(a, b);
}
VEC_FN vf vf_sub(vf a, vf b)
{
    return _mm256_sub_ps(a, b);
}
VEC_FN vf vf_mul(vf a, vf b)
{
    return _mm256_mul_ps(a, b);
}
VEC_FN vf vf_div(vf a, vf b)
{
    return _mm256_div_ps(a, b);
}
VEC_FN vf vf_fma(vf a, vf b, vf c)
{
    return _mm256_fmadd_ps(a, b, c);
} /* a * b + c */
VEC_FN vf vf_fnma(vf a, vf b, vf c)
{
    return _mm256_fnmadd_ps(a, b, c);
} /* c - a * b */
/* Both give b where either is NaN. */
VEC_FN vf vf_max(vf a, vf b)
{
    return _mm256_max_ps(a, b);
}
VEC_FN vf vf_min(vf a, vf b)
{
    return _mm256_min_ps(a, b);
}
/* a where x is not below limit (NaN is not), else 0. */
VEC_FN vf vf_unless_below(vf x, float limit, vf a)
{
    return _mm256_and_ps(_mm256_cmp_ps(x, vf_set1(limit), _CMP_NLT_UQ), a);
}
VEC_FN vf vf_abs(vf a)
{
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a);
}
VEC_FN vf vf_fms(vf a, vf b, vf c)
{
    return _mm256_fmsub_ps(a, b, c);
} /* a * b - c */

/* Sliding window: k ones, then zeros. */
static const int32_t vec_mask[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
VEC_FN __m256i vf_mask(int64_t k)
{
    return _mm256_loadu_si256((const __m256i *)(vec_mask + 8 - k));
}

VEC_FN vf vf_load(const void *p)
{
    return _mm256_loadu_ps((const float *)p);
}
VEC_FN vf vf_load_n(const void *p, int64_t k)
{
    return _mm256_maskload_ps((const float *)p, vf_mask(k));
}
VEC_FN void vf_store(float *p, vf a)
{
    _mm256_storeu_ps(p, a);
}
VEC_FN void vf_store_n(float *p, vf a, int64_t k)
{
    _mm256_maskstore_ps(p, vf_mask(k), a);
}

/* Sixteen-bit halves have no masked load here: the tail goes through the stack. */
VEC_FN __m128i vec_load16_n(const void *p, int64_t k)
{
    uint16_t tmp[8] = {0};
    memcpy(tmp, p, (size_t)k * sizeof(*tmp));
    return _mm_loadu_si128((const __m128i *)tmp);
}
VEC_FN void vec_store16_n(void *p, __m128i a, int64_t k)
{
    uint16_t tmp[8];
    _mm_storeu_si128((__m128i *)tmp, a);
    memcpy(p, tmp, (size_t)k * sizeof(*tmp));
}

VEC_FN vf vf_from_f16(__m128i h)
{
    return _mm256_cvtph_ps(h);
}
VEC_FN vf vf_from_bf16(__m128i h)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}
VEC_FN vf vf_load_f16(const void *p)
{
    return vf_from_f16(_mm_loadu_si128((const __m128i *)p));
}
VEC_FN vf vf_load_f16_n(const void *p, int64_t k)
{
    return vf_from_f16(vec_load16_n(p, k));
}
VEC_FN vf vf_load_bf16(const void *p)
{
    return vf_from_bf16(_mm_loadu_si128((const __m128i *)p));
}
VEC_FN vf vf_load_bf16_n(const void *p, int64_t k)
{
    return vf_from_bf16(vec_load16_n(p, k));
}

VEC_FN __m128i vec_to_f16(vf a)
{
    return _mm256_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
/* Nearest even in integers, NaN made quiet: bit for bit as glim_f32_to_bf16(). */
VEC_FN __m128i vec_to_bf16(vf a)
{
    __m256i u = _mm256_castps_si256(a);
    __m256i odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
    __m256i r = _mm256_add_epi32(u, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(a, a, _CMP_UNORD_Q));
    r = _mm256_blendv_epi8(r, _mm256_or_si256(u, _mm256_set1_epi32(0x400000)), nan);
    r = _mm256_srli_epi32(r, 16);
    return _mm_packus_epi32(_mm256_castsi256_si128(r), _mm256_extracti128_si256(r, 1));
}
VEC_FN void vf_store_f16(void *p, vf a)
{
    _mm_storeu_si128((__m128i *)p, vec_to_f16(a));
}
VEC_FN void vf_store_f16_n(void *p, vf a, int64_t k)
{
    vec_store16_n(p, vec_to_f16(a), k);
}
VEC_FN void vf_store_bf16(void *p, vf a)
{
    _mm_storeu_si128((__m128i *)p, vec_to_bf16(a));
}
VEC_FN void vf_store_bf16_n(void *p, vf a, int64_t k)
{
    vec_store16_n(p, vec_to_bf16(a), k);
}

VEC_FN vf vf_even(vf a)
{
    return _mm256_moveldup_ps(a);
} /* 0 0 2 2 ... */
VEC_FN vf vf_odd(vf a)
{
    return _mm256_movehdup_ps(a);
} /* 1 1 3 3 ... */
VEC_FN vf vf_swap(vf a)
{
    return _mm256_permute_ps(a, 0xb1);
}
VEC_FN vf vf_fmaddsub(vf a, vf b, vf c)
{
    return _mm256_fmaddsub_ps(a, b, c);
} /* even: -, odd: + */

VEC_FN __m128 vf_low(vf a)
{
    return _mm256_castps256_ps128(a);
}
/* Sums of four vectors at once, each by the same fixed tree. */
VEC_FN __m128 vf_sum4(vf a, vf b, vf c, vf d)
{
    __m128 a4 = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    __m128 b4 = _mm_add_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
    __m128 c4 = _mm_add_ps(_mm256_castps256_ps128(c), _mm256_extractf128_ps(c, 1));
    __m128 d4 = _mm_add_ps(_mm256_castps256_ps128(d), _mm256_extractf128_ps(d, 1));
    __m128 ab = _mm_add_ps(_mm_unpacklo_ps(a4, b4), _mm_unpackhi_ps(a4, b4));
    __m128 cd = _mm_add_ps(_mm_unpacklo_ps(c4, d4), _mm_unpackhi_ps(c4, d4));
    return _mm_add_ps(_mm_movelh_ps(ab, cd), _mm_movehl_ps(cd, ab));
}
/* NaN never enters: callers keep it out by the order of vf_max's operands. */
VEC_FN float vf_hmax(vf a)
{
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    m = _mm_max_ss(m, _mm_shuffle_ps(m, m, 1));
    return _mm_cvtss_f32(m);
}
/* y[k][i] = in[i][k]: 8 rows to columns, `stride` floats between rows of y. */
VEC_FN void vf_transpose(const vf in[8], float *y, int64_t stride)
{
    vf a[8], b[8];
    VEC_UNROLL for (int i = 0; i < 8; i += 2)
    {
        a[i] = _mm256_unpacklo_ps(in[i], in[i + 1]);
        a[i + 1] = _mm256_unpackhi_ps(in[i], in[i + 1]);
    }
    VEC_UNROLL for (int i = 0; i < 8; i += 4)
    {
        VEC_UNROLL for (int k = 0; k < 2; k++)
        {
            __m256d lo = _mm256_castps_pd(a[i + k]), hi = _mm256_castps_pd(a[i + 2 + k]);
            b[i + 2 * k] = _mm256_castpd_ps(_mm256_unpacklo_pd(lo, hi));
            b[i + 2 * k + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(lo, hi));
        }
    }
    /* b[4g + c]: in each half h, column 4h + c of rows 4g .. 4g + 3. */
    VEC_UNROLL for (int c = 0; c < 4; c++)
    {
        vf_store(y + c * stride, _mm256_permute2f128_ps(b[c], b[4 + c], 0x20));
        vf_store(y + (4 + c) * stride, _mm256_permute2f128_ps(b[c], b[4 + c], 0x31));
    }
}
typedef __m256d vd;
VEC_FN vd vd_zero(void)
{
    return _mm256_setzero_pd();
}
VEC_FN vd vd_set1(double a)
{
    return _mm256_set1_pd(a);
}
VEC_FN vd vd_add(vd a, vd b)
{
    return _mm256_add_pd(a, b);
}
VEC_FN vd vd_sub(vd a, vd b)
{
    return _mm256_sub_pd(a, b);
}
VEC_FN vd vd_mul(vd a, vd b)
{
    return _mm256_mul_pd(a, b);
}
VEC_FN vd vd_fma(vd a, vd b, vd c)
{
    return _mm256_fmadd_pd(a, b, c);
} /* a * b + c */
/* The two halves of a in double, and back. */
VEC_FN vd vd_low(vf a)
{
    return _mm256_cvtps_pd(_mm256_castps256_ps128(a));
}
VEC_FN vd vd_high(vf a)
{
    return _mm256_cvtps_pd(_mm256_extractf128_ps(a, 1));
}
VEC_FN vf vf_of_vd(vd low, vd high)
{
    return _mm256_set_m128(_mm256_cvtpd_ps(high), _mm256_cvtpd_ps(low));
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
    __m256d s = _mm256_add_pd(acc[0], acc[1]);
    __m128d t = _mm_add_pd(_mm256_castpd256_pd128(s), _mm256_extractf128_pd(s, 1));
    return _mm_cvtsd_f64(t) + _mm_cvtsd_f64(_mm_unpackhi_pd(t, t));
}

/* a * 2^n for whole n in [-300, 300], in two steps so that subnormals and infinity come out right.
 */
VEC_FN vf vf_scale2(vf a, vf n)
{
    __m256i i = _mm256_cvtps_epi32(n);
    __m256i h = _mm256_srai_epi32(i, 1);
    __m256i bias = _mm256_set1_epi32(127);
    __m256i lo = _mm256_slli_epi32(_mm256_add_epi32(h, bias), 23);
    __m256i hi = _mm256_slli_epi32(_mm256_add_epi32(_mm256_sub_epi32(i, h), bias), 23);
    return _mm256_mul_ps(_mm256_mul_ps(a, _mm256_castsi256_ps(lo)), _mm256_castsi256_ps(hi));
}
VEC_FN vf vf_round(vf a)
{
    return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

#include "kernels/x86/vec_exp.h"

#endif
