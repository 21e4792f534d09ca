/* SPDX-License-Identifier: MIT
 * test_encode.c - the encoders: round trips, ggml's own Q8_0 blocks, and inputs that are no
 * numbers. */
#include "golden.h"

#include <float.h>
#include <math.h>

#include "quant/blocks.h"
#include "quant/quant.h"

static void fill(float *x, int n, uint64_t seed, float scale)
{
    glim_rng r;
    glim_rng_seed(&r, seed);
    for (int i = 0; i < n; i++)
        x[i] = (glim_rng_f32(&r) * 2 - 1) * scale;
}

/* Each element within half a step of the scale, at every magnitude a float has. */
static void round_trip(void **state)
{
    (void)state;
    static const glim_type types[] = {GLIM_Q8_0, GLIM_Q8_K};
    for (size_t k = 0; k < GLIM_COUNT(types); k++) {
        const glim_type_traits *t = glim_type_get(types[k]);
        for (int e = -149; e <= 127; e++) {
            float x[256], y[256];
            uint8_t blocks[8 * 34 + 20];
            fill(x, 256, (uint64_t)(e + 200), ldexpf(1, e));
            t->encode(x, blocks, 256);
            t->decode(blocks, y, 256);
            for (int b = 0; b < 256; b += (int)t->n_block) {
                float amax = 0;
                for (int i = b; i < b + t->n_block; i++)
                    amax = fmaxf(amax, fabsf(x[i]));
                const bool over = types[k] == GLIM_Q8_0 && amax / 127 >= 65520;
                /* binary16 adds 2^-11 of the value, or half its smallest step */
                double slack = types[k] == GLIM_Q8_0 ? amax * 0x1p-11 + 127 * 0x1p-25 : 0;
                double tiny = types[k] == GLIM_Q8_0 ? 0 : 0x1p-119;
                for (int i = b; i < b + t->n_block; i++) {
                    if (over)
                        assert_true(isnan(y[i]));
                    else
                        assert_true(fabs((double)x[i] - (double)y[i]) <=
                                    amax / 254.0 * 1.001 + slack + tiny);
                }
            }
        }
    }
}

/* Three parts give back every f32 of ordinary size bit for bit; only what falls below the smallest
 * subnormal of a part may be lost. */
static void bf16x3_is_exact(void **state)
{
    (void)state;
    const glim_type_traits *t = glim_type_get(GLIM_BF16X3);
    for (int e = -149; e <= 127; e++) {
        float x[64], y[64];
        glim_block_bf16x3 b[2];
        fill(x, 64, (uint64_t)(e + 200), ldexpf(1.999f, e));
        x[3] = ldexpf(0x1.fffffep0f, e); /* rounds up to the next power in fewer bits */
        x[4] = -0.0f;
        t->encode(x, b, 64);
        t->decode(b, y, 64);
        for (int i = 0; i < 64; i++)
            assert_true(fabs((double)x[i] - (double)y[i]) < 0x1p-133);
        if (e > -100) assert_memory_equal(x, y, 4 * sizeof x[0]);
    }
}

static void bf16x3_ends(void **state)
{
    (void)state;
    const glim_type_traits *t = glim_type_get(GLIM_BF16X3);
    float x[40] = {FLT_MAX, -FLT_MAX, INFINITY, -INFINITY, NAN}, y[40];
    glim_block_bf16x3 b[3], zero = {{{0}}};
    uint32_t low_nan = 0x7f800001; /* cut off it would be an infinity */
    memcpy(x + 5, &low_nan, sizeof low_nan);
    for (int i = 6; i < 40; i++)
        x[i] = 0.1f * (float)i;
    memset(b, 0xa5, sizeof b);
    t->encode(x, b, 40);
    t->decode(b, y, 40);
    assert_true(y[0] == FLT_MAX && y[1] == -FLT_MAX && y[2] == INFINITY && y[3] == -INFINITY);
    assert_true(isnan(y[4]) && isnan(y[5]));
    assert_memory_equal(x + 6, y + 6, 34 * sizeof x[0]);
    /* The second block is filled up, the third is not touched. */
    for (int p = 0; p < 3; p++)
        assert_memory_equal(b[1].part[p] + 8, zero.part[p] + 8, 24 * sizeof zero.part[0][0]);
    assert_int_equal(b[2].part[0][0], 0xa5a5);
}

static void q8_k_sums(void **state)
{
    (void)state;
    float x[512];
    glim_block_q8_k b[2];
    fill(x, 512, 7, 3);
    x[100] = 3.5f;
    glim_type_get(GLIM_Q8_K)->encode(x, b, 512);
    assert_int_equal(b[0].qs[100], 127);
    for (int k = 0; k < 2; k++) {
        for (int g = 0; g < 16; g++) {
            int sum = 0;
            for (int j = 0; j < 16; j++)
                sum += b[k].qs[16 * g + j];
            assert_int_equal(b[k].bsums[g], sum);
        }
    }
}

/* Halves go to the even neighbour, the extremes are symmetric. */
static void rounding(void **state)
{
    (void)state;
    float x[256] = {127, -127, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -2.5f, 0.49999997f, 126.5f};
    static const int8_t want[] = {127, -127, 0, 2, 2, 0, -2, -2, 0, 126};
    glim_block_q8_0 b0[8];
    glim_block_q8_k bk;
    glim_type_get(GLIM_Q8_0)->encode(x, b0, 256);
    glim_type_get(GLIM_Q8_K)->encode(x, &bk, 256);
    assert_int_equal(b0[0].d, 0x3c00);
    assert_true(bk.d == 1.0f);
    for (size_t i = 0; i < GLIM_COUNT(want); i++) {
        assert_int_equal(b0[0].qs[i], want[i]);
        assert_int_equal(bk.qs[i], want[i]);
    }
}

static void not_numbers(void **state)
{
    (void)state;
    static const float bad[] = {INFINITY, -INFINITY, NAN};
    for (size_t k = 0; k < GLIM_COUNT(bad); k++) {
        float x[256], y[256];
        fill(x, 256, k, 1);
        x[40] = bad[k];
        glim_block_q8_0 b0[8];
        glim_type_get(GLIM_Q8_0)->encode(x, b0, 256);
        glim_type_get(GLIM_Q8_0)->decode(b0, y, 256);
        for (int i = 0; i < 256; i++) /* only the block that holds it */
            assert_int_equal(isnan(y[i]) != 0, i / 32 == 1);
        glim_block_q8_k bk;
        glim_type_get(GLIM_Q8_K)->encode(x, &bk, 256);
        glim_type_get(GLIM_Q8_K)->decode(&bk, y, 256);
        for (int i = 0; i < 256; i++)
            assert_true(isnan(y[i]));
        for (int g = 0; g < 16; g++)
            assert_int_equal(bk.bsums[g], 0);
    }
    float zero[256] = {0}, y[256];
    zero[3] = -0.0f;
    glim_block_q8_k bk;
    glim_type_get(GLIM_Q8_K)->encode(zero, &bk, 256);
    glim_type_get(GLIM_Q8_K)->decode(&bk, y, 256);
    for (int i = 0; i < 256; i++)
        assert_true(y[i] == 0);
    zero[5] = FLT_MAX;
    glim_type_get(GLIM_Q8_K)->encode(zero, &bk, 256);
    assert_int_equal(bk.qs[5], 127);
}

/* ggml rounds halves away from zero, we to even: blocks differ in such places only, and by one. */
static void q8_0_as_ggml(void **state)
{
    (void)state;
    char path[600];
    if (!golden_find("quant/input.f32", path, sizeof path)) skip();
    size_t n_x, n_want;
    float *x = golden_read(path, &n_x);
    assert_true(golden_find("quant/q8_0.blocks", path, sizeof path));
    glim_block_q8_0 *want = golden_read(path, &n_want);
    const int64_t n = (int64_t)(n_x / sizeof(float));
    glim_block_q8_0 *got = malloc(n_want);
    assert_non_null(got);
    glim_type_get(GLIM_Q8_0)->encode(x, got, n);
    for (int64_t b = 0; b < n / 32; b++) {
        assert_int_equal(got[b].d, want[b].d);
        float amax = 0;
        for (int j = 0; j < 32; j++)
            amax = fmaxf(amax, fabsf(x[32 * b + j]));
        for (int j = 0; j < 32; j++) {
            if (got[b].qs[j] == want[b].qs[j]) continue;
            const double q = (double)x[32 * b + j] * 127 / (double)amax;
            assert_true(fabs(fabs(q - trunc(q)) - 0.5) < 1e-4);
            assert_int_equal(abs(got[b].qs[j] - want[b].qs[j]), 1);
        }
    }
    free(got);
    free(want);
    free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),   cmocka_unit_test(bf16x3_is_exact),
        cmocka_unit_test(bf16x3_ends),  cmocka_unit_test(q8_k_sums),
        cmocka_unit_test(rounding),     cmocka_unit_test(not_numbers),
        cmocka_unit_test(q8_0_as_ggml),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
