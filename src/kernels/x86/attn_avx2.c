/* SPDX-License-Identifier: MIT
 * attn_avx2.c - attention at this level; the bodies are in attn.inc. */
#include "kernels/x86/vec_avx2.h"

/* 8 of 16 registers are sums, 4 or 5 hold keys and a query. */
#define N_QTILE 2
#include "kernels/x86/attn.inc"
