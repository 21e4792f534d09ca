/* SPDX-License-Identifier: MIT
 * attn_avx512.c - attention at this level; the bodies are in attn.inc. */
#include "kernels/x86/vec_avx512.h"

/* 16 of 32 registers are sums, 5 hold keys and a query. */
#define N_QTILE 4
#include "kernels/x86/attn.inc"
