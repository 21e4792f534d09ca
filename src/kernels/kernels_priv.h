/* SPDX-License-Identifier: MIT
 * kernels_priv.h - prototypes of every kernel function, made from the .def files, so that a
 * slot's type in kernels.h is the only place that says what a function looks like. */
#ifndef GLIM_KERNELS_PRIV_H
#define GLIM_KERNELS_PRIV_H

#include "kernels/kernels.h"

/* Set by CMakeLists.txt where it builds the x86 levels. */
#ifndef GLIM_KERNELS_X86
#define GLIM_KERNELS_X86 0
#endif

/* Declares fn with the function type that the slot points to. */
#define KERN(slot, needs, fn) extern __typeof__(*((const glim_kernels *)0)->slot) fn;
#define ACT(type, needs, act_type)
#define ACT_WIDE(type, needs, act_type)
#include "kernels/ref/ref.def"
#if GLIM_KERNELS_X86
#include "kernels/x86/x86.def"
#endif
#undef ACT
#undef ACT_WIDE
#undef KERN

#endif
