/* SPDX-License-Identifier: MIT
 * rope.c - frequencies of rotary positions, plain and stretched by YaRN.
 * Thread: any, pure.   See: tests/unit/models/test_rope.c */
#include "models/rope_priv.h"

#include <math.h>

#define TURN (2 * 3.14159265358979323846)

static double yarn_m(double factor, double mscale)
{
    return factor <= 1 ? 1 : 0.1 * mscale * log(factor) + 1;
}

/* Slow pairs are stretched, fast ones kept, those between blended. */
static void stretch(double base, int64_t n_rot, const glim_yarn *y, double *inv_freq)
{
    double dim = (double)n_rot, two_log = 2 * log(base);
    double lo = floor(dim * log(y->n_orig / (y->beta_fast * TURN)) / two_log);
    double hi = ceil(dim * log(y->n_orig / (y->beta_slow * TURN)) / two_log);
    lo = fmax(lo, 0);
    hi = fmin(hi, dim - 1);
    if (lo == hi) hi += 0.001;
    for (int64_t i = 0; i < n_rot / 2; i++) {
        double ramp = fmin(fmax(((double)i - lo) / (hi - lo), 0), 1);
        inv_freq[i] *= 1 - ramp + ramp / y->factor;
    }
}

glim_rope_scale glim_rope_freqs(double base, int64_t n_rot, const glim_yarn *y, double *inv_freq)
{
    glim_rope_scale s = {1, 1};
    for (int64_t i = 0; i < n_rot / 2; i++)
        inv_freq[i] = pow(base, -2.0 * (double)i / (double)n_rot);
    if (!(y->factor > 1)) return s;
    stretch(base, n_rot, y, inv_freq);
    double all = yarn_m(y->factor, y->mscale_all);
    s.magnitude = y->mscale == 0 || y->mscale_all == 0 ? yarn_m(y->factor, 1)
                                                       : yarn_m(y->factor, y->mscale) / all;
    if (y->mscale_all > 0) s.score = all * all;
    return s;
}
