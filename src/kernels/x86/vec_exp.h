/* SPDX-License-Identifier: MIT
 * vec_exp.h - e^x over whichever shim includes it; 1 ulp in the normal range.
 * Source: argument reduction by multiples of ln 2 in two parts (Cody & Waite 1980), then the
 * Taylor series: |r| <= ln(2)/2 leaves 5e-9 after the seventh power, a tenth of an ulp. */

/* 0 for -inf and below -87, +inf above 88.7, NaN for NaN. What would be subnormal is 0: making one
 * takes the processor some hundred cycles, and attention asks for e^-inf all the time. */
VEC_FN vf vf_exp(vf given)
{
    /* NaN passes both, being the second operand. */
    vf x = vf_max(vf_set1(-87.0f), given);
    x = vf_min(vf_set1(120.0f), x);
    vf n = vf_round(vf_mul(x, vf_set1(0x1.715476p+0f)));
    /* The first part of ln 2 has 12 trailing zero bits, so n times it is exact. */
    vf r = vf_fnma(n, vf_set1(0x1.62ep-1f), x);
    r = vf_fnma(n, vf_set1(0x1.0bfbe8p-15f), r);
    vf p = vf_set1(1.0f / 5040.0f);
    p = vf_fma(p, r, vf_set1(1.0f / 720.0f));
    p = vf_fma(p, r, vf_set1(1.0f / 120.0f));
    p = vf_fma(p, r, vf_set1(1.0f / 24.0f));
    p = vf_fma(p, r, vf_set1(1.0f / 6.0f));
    p = vf_fma(p, r, vf_set1(0.5f));
    p = vf_fma(p, r, vf_set1(1.0f));
    p = vf_fma(p, r, vf_set1(1.0f));
    return vf_unless_below(given, -87.0f, vf_scale2(p, n));
}
