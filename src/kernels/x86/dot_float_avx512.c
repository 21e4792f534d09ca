/* SPDX-License-Identifier: MIT
 * dot_float_avx512.c - F32, F16 and BF16 weights times f32 activations: weights are widened,
 * nothing is rounded but the sums.
 * Thread: any, pure.   See: dot_float.inc */
#include "kernels/x86/vec_avx512.h"

#define DF_N VF_N
#define DF_VEC vf
#define DF_XBYTES 4
#define DF_LOADX(p) vf_load(p)
#define DF_LOADX_N(p, k) vf_load_n(p, k)
#define DF_MADD(acc, w, x) vf_fma(w, x, acc)

#define GEMM_TYPE f32
#define GEMM_MR 2
#define GEMM_NC 4
#define DF_WBYTES 4
#define DF_LOADW(p) vf_load(p)
#define DF_LOADW_N(p, k) vf_load_n(p, k)
#include "kernels/x86/dot_float.inc"

#define GEMM_TYPE f16
#define GEMM_MR 2
#define GEMM_NC 4
#define DF_WBYTES 2
#define DF_LOADW(p) vf_load_f16(p)
#define DF_LOADW_N(p, k) vf_load_f16_n(p, k)
#include "kernels/x86/dot_float.inc"

#define GEMM_TYPE bf16
#define GEMM_MR 2
#define GEMM_NC 4
#define DF_WBYTES 2
#define DF_LOADW(p) vf_load_bf16(p)
#define DF_LOADW_N(p, k) vf_load_bf16_n(p, k)
#include "kernels/x86/dot_float.inc"
