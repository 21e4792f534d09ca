/* SPDX-License-Identifier: MIT
 * rope_priv.h - frequencies of rotary positions, plain and stretched. */
#ifndef GLIM_MODELS_ROPE_PRIV_H
#define GLIM_MODELS_ROPE_PRIV_H

#include "base/base.h"

/* YaRN as DeepSeek has it. factor <= 1: none. */
typedef struct glim_yarn {
    double factor;
    double n_orig;               /* positions before stretching */
    double beta_fast, beta_slow; /* turns within n_orig: more are kept, fewer are stretched */
    double mscale, mscale_all;   /* 0: not given */
} glim_yarn;

typedef struct glim_rope_scale {
    double magnitude; /* of cosine and sine */
    double score;     /* factor of the attention's scale */
} glim_rope_scale;

/* Fills inv_freq [n_rot / 2], radians a position. Source: Su et al. 2021, eq. 15; YaRN: Peng et al.
 * 2023, section 3.2, with DeepSeek-V2's scale. Thread: any, pure. */
glim_rope_scale glim_rope_freqs(double base, int64_t n_rot, const glim_yarn *y, double *inv_freq);

#endif
