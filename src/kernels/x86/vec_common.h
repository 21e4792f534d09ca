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

/* With one column every weight comes from memory, once: the tile asks for the lines of the block
 * that stands VEC_AHEAD bytes on. The memory's own prefetcher keeps some 20 lines in flight, which
 * is half of what a core can have (measured on a Xeon: one thread 9 -> 14 GB/s at 4 KiB, 13 at 2
 * KiB). Addresses behind the last row are harmless. */
#define VEC_AHEAD 4096
#define VEC_PREFETCH(nc, w, bytes)                                                                 \
    do {                                                                                           \
        if ((nc) == 1) {                                                                           \
            VEC_UNROLL for (size_t ahead_ = 0; ahead_ < (bytes); ahead_ += 64)                     \
                _mm_prefetch((const char *)(w) + VEC_AHEAD + ahead_, _MM_HINT_T0);                 \
        }                                                                                          \
    } while (0)

#define GEMM_PANEL 16 /* rows of gemm.inc that stay in the first-level cache */

#endif
