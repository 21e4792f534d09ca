/* SPDX-License-Identifier: MIT
 * test_rng.c - known answers of splitmix64 and xoshiro256++, ranges, a rough look at uniformity. */
#include "base/base.h"

#include <setjmp.h>

#include <cmocka.h>

/* The published test vector of splitmix64 for the seed 1234567. */
static void seeding(void **state)
{
    (void)state;
    static const uint64_t want[4] = {UINT64_C(6457827717110365317), UINT64_C(3203168211198807973),
                                     UINT64_C(9817491932198370423), UINT64_C(4593380528125082431)};
    glim_rng r;
    glim_rng_seed(&r, 1234567);
    for (int i = 0; i < 4; i++)
        assert_true(r.s[i] == want[i]);
}

/* The reference generator started from the state 1, 2, 3, 4. */
static void generator(void **state)
{
    (void)state;
    static const uint64_t want[] = {
        UINT64_C(41943041),
        UINT64_C(58720359),
        UINT64_C(3588806011781223),
        UINT64_C(3591011842654386),
        UINT64_C(9228616714210784205),
        UINT64_C(9973669472204895162),
        UINT64_C(14011001112246962877),
        UINT64_C(12406186145184390807),
        UINT64_C(15849039046786891736),
        UINT64_C(10450023813501588000),
    };
    glim_rng r = {{1, 2, 3, 4}};
    for (size_t i = 0; i < GLIM_COUNT(want); i++)
        assert_true(glim_rng_u64(&r) == want[i]);
}

static void repeats(void **state)
{
    (void)state;
    glim_rng a, b, c;
    glim_rng_seed(&a, 42);
    glim_rng_seed(&b, 42);
    glim_rng_seed(&c, 43);
    int n_same = 0;
    for (int i = 0; i < 1000; i++) {
        uint64_t v = glim_rng_u64(&a);
        assert_true(v == glim_rng_u64(&b));
        n_same += v == glim_rng_u64(&c);
    }
    assert_int_equal(n_same, 0);
    glim_rng_seed(&a, 0); /* the all-zero state would never leave it */
    assert_true(a.s[0] | a.s[1] | a.s[2] | a.s[3]);
}

static void floats(void **state)
{
    (void)state;
    enum { N = 200000, N_BIN = 20 };
    glim_rng r;
    glim_rng_seed(&r, 1);
    int bin32[N_BIN] = {0}, bin64[N_BIN] = {0};
    for (int i = 0; i < N; i++) {
        float f = glim_rng_f32(&r);
        double d = glim_rng_f64(&r);
        assert_true(f >= 0 && f < 1);
        assert_true(d >= 0 && d < 1);
        bin32[(int)(f * N_BIN)]++;
        bin64[(int)(d * N_BIN)]++;
    }
    /* 10,000 a bin, standard deviation 97: seven of them never happen by chance. */
    for (int i = 0; i < N_BIN; i++) {
        assert_in_range(bin32[i], N / N_BIN - 700, N / N_BIN + 700);
        assert_in_range(bin64[i], N / N_BIN - 700, N / N_BIN + 700);
    }
    /* The largest possible value stays below 1. */
    assert_true((float)(UINT64_MAX >> 40) * 0x1p-24f < 1.0f);
}

static void entropy(void **state)
{
    (void)state;
    assert_true(glim_entropy() != glim_entropy());
}

static void clock_moves(void **state)
{
    (void)state;
    uint64_t a = glim_now_ns(), b = a;
    for (int i = 0; i < 1000; i++) {
        uint64_t c = glim_now_ns();
        assert_true(c >= b);
        b = c;
    }
    while (b == a)
        b = glim_now_ns();
    assert_true(b - a < UINT64_C(10000000000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seeding), cmocka_unit_test(generator), cmocka_unit_test(repeats),
        cmocka_unit_test(floats),  cmocka_unit_test(entropy),   cmocka_unit_test(clock_moves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
