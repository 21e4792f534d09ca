/* SPDX-License-Identifier: MIT
 * test_rope.c - frequencies of rotary positions against values worked out by hand. */
#include "models/rope_priv.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void near(double got, double want)
{
    if (!(fabs(got - want) <= 1e-12 * fmax(fabs(want), 1))) fail_msg("%.17g, not %.17g", got, want);
}

static void test_plain(void **state)
{
    (void)state;
    const glim_yarn none = {0};
    double f[4];
    glim_rope_scale s = glim_rope_freqs(1e4, 8, &none, f);
    near(f[0], 1);
    near(f[1], 0.1);
    near(f[2], 0.01);
    near(f[3], 0.001);
    near(s.magnitude, 1);
    near(s.score, 1);
    /* a factor of one or less stretches nothing, whatever else is given */
    const glim_yarn one = {1, 4096, 32, 1, 0.707, 0.707};
    s = glim_rope_freqs(1e4, 8, &one, f);
    near(f[3], 0.001);
    near(s.magnitude, 1);
    near(s.score, 1);
}

/* DeepSeek-V2-Lite. 64 ln(4096 / (32 * 2 pi)) / (2 ln 1e4) = 10.47, with 1 for 32: 22.51; so pairs
 * to 10 are kept, pairs from 23 divided by 40, and pair 16 is 6/13 of the way. */
static void test_deepseek(void **state)
{
    (void)state;
    const glim_yarn y = {40, 4096, 32, 1, 0.707, 0.707};
    double f[32];
    glim_rope_scale s = glim_rope_freqs(1e4, 64, &y, f);
    for (int i = 0; i <= 10; i++)
        near(f[i], pow(10, -i / 8.0));
    near(f[16], 0.01 * (7.0 / 13 + 6.0 / 13 / 40));
    near(f[11], pow(10, -11 / 8.0) * (12.0 / 13 + 1.0 / 13 / 40));
    near(f[22], pow(10, -22 / 8.0) * (1.0 / 13 + 12.0 / 13 / 40));
    for (int i = 23; i < 32; i++)
        near(f[i], pow(10, -i / 8.0) / 40);
    near(s.magnitude, 1);
    /* (0.1 * 0.707 * ln 40 + 1)^2, ln 40 = 3.6888794541139363 */
    near(s.score, 1.2608037774058553 * 1.2608037774058553);
}

/* An original context so short that both ends lie outside: lo = floor(-0.99), clamped to 0,
 * hi = ceil(2.016) = 3 with 16 dimensions and base 1e4, 64 positions. */
static void test_clamped(void **state)
{
    (void)state;
    const glim_yarn y = {40, 64, 32, 1, 0, 0};
    double f[8];
    glim_rope_scale s = glim_rope_freqs(1e4, 16, &y, f);
    for (int i = 0; i < 8; i++) {
        double ramp = i < 3 ? i / 3.0 : 1;
        near(f[i], pow(10, -i / 2.0) * (1 - ramp + ramp / 40));
    }
    /* without the two scales the magnitude is that of scale 1, and scores are left alone */
    near(s.magnitude, 1.3688879454113936);
    near(s.score, 1);
    /* two different scales: their quotient; scores take the second */
    const glim_yarn two = {40, 64, 32, 1, 1, 0.5};
    s = glim_rope_freqs(1e4, 16, &two, f);
    near(s.magnitude, 1.3688879454113936 / 1.1844439727056968);
    near(s.score, 1.1844439727056968 * 1.1844439727056968);
}

/* Both ends at the same pair: a step instead of a division by zero. */
static void test_step(void **state)
{
    (void)state;
    const glim_yarn y = {4, 6, 1000, 900, 0, 0}; /* both far below pair 0, hi = ceil(-2.x) */
    double f[4];
    glim_rope_freqs(1e4, 8, &y, f);
    for (int i = 0; i < 4; i++)
        assert_true(isfinite(f[i]) && f[i] > 0 && f[i] <= pow(10, -i));
    const glim_yarn same = {4, 1e8, 1, 1, 0, 0}; /* lo = 7.2 -> 7, hi = 8 -> dim - 1 = 7 */
    glim_rope_freqs(1e4, 8, &same, f);
    for (int i = 0; i < 4; i++)
        near(f[i], pow(10, -i));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_deepseek),
        cmocka_unit_test(test_clamped),
        cmocka_unit_test(test_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
