/* SPDX-License-Identifier: MIT
 * elem_avx2.c - the elementwise kernels at this level; their bodies are in elem.inc. */
#include "kernels/x86/vec_avx2.h"

#include "kernels/x86/elem.inc"
