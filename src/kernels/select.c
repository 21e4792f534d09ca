/* SPDX-License-Identifier: MIT
 * select.c - rows of the .def files -> slot table for a level.
 * Owns: which row wins.
 * Not here: which level a machine has (base/cpu.c), which shape class an operation uses (ops).
 * Thread: any, no state.   See: tests/kernels/checkkern.c */
#include "kernels/kernels_priv.h"

void glim_kernels_get(glim_cpu_level level, glim_kernels *out)
{
    memset(out, 0, sizeof(*out));
    /* Without a fast dot a weight type takes f32 activations; GLIM_F32 is 0, but that is not to be
     * relied on. */
    for (int t = 0; t < GLIM_TYPE_COUNT; t++)
        out->act[t] = GLIM_F32;
        /* The level that is reported is the best one that has a say: the level asked for. */
#define KERN(slot, needs, fn)                                                                      \
    if (level >= (needs)) out->slot = fn;
#define ACT(type, needs, act_type)                                                                 \
    if (level >= (needs)) out->act[type] = act_type;
#define ACT_WIDE(type, needs, act_type)                                                            \
    if (level >= (needs)) out->act_wide[type] = act_type;
#include "kernels/ref/ref.def"
#if GLIM_KERNELS_X86
#include "kernels/x86/x86.def"
#endif
#undef ACT
#undef ACT_WIDE
#undef KERN
    for (int t = 0; t < GLIM_TYPE_COUNT; t++) {
        if (out->gemm_wide[t]) continue;
        out->gemm_wide[t] = out->gemm[t];
        out->act_wide[t] = out->act[t];
    }
    out->level = level;
}

static const glim_kernel_row rows[] = {
#define KERN(slot, needs, fn) {#slot, #fn, needs},
#define ACT(type, needs, act_type)
#define ACT_WIDE(type, needs, act_type)
#if GLIM_KERNELS_X86
#include "kernels/x86/x86.def"
#endif
#undef ACT
#undef ACT_WIDE
#undef KERN
    {NULL, NULL, GLIM_CPU_REF}};

const glim_kernel_row *glim_kernels_rows(size_t *n)
{
    *n = GLIM_COUNT(rows) - 1; /* the last row only keeps the array from being empty */
    return rows;
}
