/* SPDX-License-Identifier: MIT
 * elem_avx512.c - the elementwise kernels at this level; their bodies are in elem.inc. */
#include "kernels/x86/vec_avx512.h"

#include "kernels/x86/elem.inc"
