/* SPDX-License-Identifier: MIT
 * test_f16.c - binary16 and bfloat16 against their definition: all 65536 values, and every boundary
 * of rounding. */
#include "golden.h"

#include <math.h>

#include "quant/quant.h"

static uint32_t bits(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

static void every_half(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 0x10000; h++) {
        const float f = glim_f16_to_f32((uint16_t)h);
        const int expo = (int)(h >> 10 & 31), mant = (int)(h & 1023);
        assert_int_equal(bits(f) >> 31, h >> 15);
        if (expo == 31 && mant) {
            assert_true(isnan(f));
            assert_int_equal(bits(f), (h & 0x8000u) << 16 | 0x7fc00000u | (uint32_t)mant << 13);
            assert_int_equal(glim_f32_to_f16(f), h | 0x200u); /* quiet, payload kept */
            continue;
        }
        const double want = expo == 31  ? (double)INFINITY
                            : expo == 0 ? ldexp(mant, -24)
                                        : ldexp(1024 + mant, expo - 25);
        assert_true(fabs((double)f) == want);
        assert_int_equal(glim_f32_to_f16(f), h);
    }
}

/* Between two neighbours: just below the middle, the middle, just above. */
static void half_rounding(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 0x7bff; h++) {
        const float lo = glim_f16_to_f32((uint16_t)h), hi = glim_f16_to_f32((uint16_t)(h + 1));
        const float mid = (lo + hi) * 0.5f; /* exact */
        const uint32_t even = h & 1 ? h + 1 : h;
        assert_int_equal(glim_f32_to_f16(mid), even);
        assert_int_equal(glim_f32_to_f16(nextafterf(mid, 0)), h);
        assert_int_equal(glim_f32_to_f16(nextafterf(mid, INFINITY)), h + 1);
        assert_int_equal(glim_f32_to_f16(-mid), 0x8000u | even);
    }
    static const struct {
        float f;
        uint16_t h;
    } cases[] = {{65519.996f, 0x7bff}, {65520, 0x7c00},    {1e30f, 0x7c00},
                 {-65520, 0xfc00},     {INFINITY, 0x7c00}, {0x1p-25f, 0},
                 {0x1p-149f, 0},       {-0.0f, 0x8000},    {1.0f, 0x3c00}};
    for (size_t i = 0; i < GLIM_COUNT(cases); i++)
        assert_int_equal(glim_f32_to_f16(cases[i].f), cases[i].h);
    assert_int_equal(glim_f32_to_f16(NAN) & 0x7e00, 0x7e00);
}

static void bf16(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 0x10000; h++) {
        const float f = glim_bf16_to_f32((uint16_t)h);
        assert_int_equal(bits(f), h << 16);
        if (isnan(f)) {
            assert_int_equal(glim_f32_to_bf16(f), h | 0x40u);
            continue;
        }
        assert_int_equal(glim_f32_to_bf16(f), h);
        if ((h & 0x7fff) >= 0x7f80) continue; /* infinities have no neighbour */
        float x;
        const uint32_t below = h << 16 | 0x7fff, mid = h << 16 | 0x8000, above = h << 16 | 0x8001;
        memcpy(&x, &below, sizeof x);
        assert_int_equal(glim_f32_to_bf16(x), h);
        memcpy(&x, &mid, sizeof x);
        assert_int_equal(glim_f32_to_bf16(x), h & 1 ? h + 1 : h);
        memcpy(&x, &above, sizeof x);
        assert_int_equal(glim_f32_to_bf16(x), h + 1);
    }
    const uint32_t quiet_low =
        0x7f800001; /* a NaN whose payload is lost must not become infinity */
    float x;
    memcpy(&x, &quiet_low, sizeof x);
    assert_int_equal(glim_f32_to_bf16(x), 0x7fc0);
}

static void rows(void **state)
{
    (void)state;
    static const glim_type types[] = {GLIM_F32, GLIM_F16, GLIM_BF16};
    const float x[5] = {1, -2.5f, 0, 0.15625f, 1024};
    for (size_t k = 0; k < GLIM_COUNT(types); k++) {
        const glim_type_traits *t = glim_type_get(types[k]);
        uint8_t raw[21];
        float y[5];
        t->encode(x, raw + 1, 5);
        t->decode(raw + 1, y, 5);
        assert_memory_equal(x, y, sizeof x);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_half),
        cmocka_unit_test(half_rounding),
        cmocka_unit_test(bf16),
        cmocka_unit_test(rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
