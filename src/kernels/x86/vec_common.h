/* SPDX-License-Identifier: MIT
 * vec_common.h - what every level's shim starts from. */
#ifndef GLIM_KERNELS_VEC_COMMON_H
#define GLIM_KERNELS_VEC_COMMON_H

#define VEC_FN static inline __attribute__((always_inline, unused))

/* Loops over accumulators must vanish, else the array lives in memory instead of registers. */
#if defined(__clang__)
#define VEC_UNROLL _Pragma("clang loop unroll(full)")
#else
#define VEC_UNROLL _Pragma("GCC unroll 32")
#endif

#define GEMM_PANEL 16 /* rows of gemm.inc that stay in the first-level cache */

#endif
