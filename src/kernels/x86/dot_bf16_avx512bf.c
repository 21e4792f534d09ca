/* SPDX-License-Identifier: MIT
 * dot_bf16_avx512bf.c - BF16 weights times BF16 activations, 32 products an instruction. The
 * instruction takes subnormals for zero and adds pairs without a rounding in between; its result
 * is fixed by the architecture, so dot and gemm still agree.
 * Thread: any, pure.   See: dot_float.inc */
#include "kernels/x86/vec_avx512.h"

#undef GLIM_K
#define GLIM_K(name) glim_##name##_avx512bf

VEC_FN __m512i load_bf(const void *p)
{
    return _mm512_loadu_si512(p);
}
VEC_FN __m512i load_bf_n(const void *p, int64_t k)
{
    return _mm512_maskz_loadu_epi16((__mmask32)((1u << k) - 1u), p);
}
VEC_FN vf madd_bf(vf acc, __m512i w, __m512i x)
{
    return _mm512_dpbf16_ps(acc, (__m512bh)w, (__m512bh)x);
}

#define DF_N 32
#define DF_VEC __m512i
#define DF_XBYTES 2
#define DF_LOADX(p) load_bf(p)
#define DF_LOADX_N(p, k) load_bf_n(p, k)
#define DF_MADD(acc, w, x) madd_bf(acc, w, x)

#define GEMM_TYPE bf16
#define GEMM_MR 2
#define GEMM_NC 4
#define DF_WBYTES 2
#define DF_LOADW(p) load_bf(p)
#define DF_LOADW_N(p, k) load_bf_n(p, k)
#include "kernels/x86/dot_float.inc"
