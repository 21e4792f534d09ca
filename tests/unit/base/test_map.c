/* SPDX-License-Identifier: MIT
 * test_map.c - the string map: many keys, odd keys, failures that change nothing. */
#include "base/base.h"

#include <setjmp.h>
#include <stdio.h>

#include <cmocka.h>

enum { N_KEY = 100000, KEY_BYTES = 24 };

static char keys[N_KEY][KEY_BYTES];

/* Lengths 1 to 23, with long common beginnings: what a vocabulary looks like at its worst. */
static glim_str key(uint32_t i)
{
    size_t n = 8 + i % 16;
    int head = snprintf(keys[i], KEY_BYTES, "%x", i);
    for (size_t k = (size_t)head; k < n; k++)
        keys[i][k] = k % 3 ? 'z' : '\0';
    return (glim_str){keys[i], n};
}

static void many(void **state)
{
    (void)state;
    static const size_t expected[] = {0, 1, N_KEY};
    for (size_t e = 0; e < GLIM_COUNT(expected); e++) {
        glim_map *m = glim_map_new(expected[e]);
        assert_non_null(m);
        uint64_t begin = glim_now_ns();
        for (uint32_t i = 0; i < N_KEY; i++)
            assert_int_equal(glim_map_put(m, key(i), i ^ 0x80000000u), GLIM_OK);
        assert_int_equal(glim_map_count(m), N_KEY);
        for (uint32_t i = 0; i < N_KEY; i++) {
            uint32_t v = 0;
            assert_true(glim_map_get(m, key(i), &v));
            assert_int_equal(v, i ^ 0x80000000u);
        }
        for (uint32_t i = 0; i < N_KEY; i += 97) {
            uint32_t v = 1;
            assert_int_equal(glim_map_put(m, key(i), 5), GLIM_E_STATE);
            assert_true(glim_map_get(m, key(i), &v));
            assert_int_equal(v, i ^ 0x80000000u);
            char other[KEY_BYTES + 1];
            glim_str k = key(i);
            memcpy(other, k.p, k.n);
            other[k.n] = 'z';
            assert_false(glim_map_get(m, (glim_str){other, k.n + 1}, NULL));
            other[0] ^= 0x40;
            assert_false(glim_map_get(m, (glim_str){other, k.n}, NULL));
        }
        assert_int_equal(glim_map_count(m), N_KEY);
        /* Far from quadratic: a clustering hash would take minutes here. */
        assert_true(glim_now_ns() - begin < UINT64_C(20000000000));
        glim_map_free(m);
    }
}

static void odd_keys(void **state)
{
    (void)state;
    glim_map *m = glim_map_new(0);
    uint32_t v;
    assert_false(glim_map_get(m, GLIM_STR(""), NULL));
    assert_int_equal(glim_map_put(m, (glim_str){NULL, 0}, 1), GLIM_OK);
    assert_int_equal(glim_map_put(m, GLIM_STR(""), 2), GLIM_E_STATE);
    assert_true(glim_map_get(m, GLIM_STR(""), &v) && v == 1);
    assert_true(glim_map_get(m, (glim_str){NULL, 0}, &v) && v == 1);
    /* NUL bytes count, and a length is not a prefix. */
    static const char zeros[40] = {0};
    for (size_t n = 1; n <= sizeof zeros; n++)
        assert_int_equal(glim_map_put(m, (glim_str){zeros, n}, (uint32_t)n), GLIM_OK);
    for (size_t n = 1; n <= sizeof zeros; n++)
        assert_true(glim_map_get(m, (glim_str){zeros, n}, &v) && v == n);
    assert_int_equal(glim_map_count(m), sizeof zeros + 1);
    /* Keys that differ in one bit of any byte of a long key. */
    static char bits[8 * 32][32];
    for (size_t i = 0; i < GLIM_COUNT(bits); i++) {
        memset(bits[i], 0x55, 32);
        bits[i][i / 8] = (char)(bits[i][i / 8] ^ (1 << i % 8));
        assert_int_equal(glim_map_put(m, (glim_str){bits[i], 32}, (uint32_t)i), GLIM_OK);
    }
    for (size_t i = 0; i < GLIM_COUNT(bits); i++)
        assert_true(glim_map_get(m, (glim_str){bits[i], 32}, &v) && v == i);
    glim_map_free(m);
    glim_map_free(NULL);
}

typedef struct gate {
    int n_left;
} gate;

static bool pass(void *user, size_t n)
{
    (void)n;
    return ((gate *)user)->n_left-- > 0;
}

static void no_memory(void **state)
{
    (void)state;
    for (int n = 0; n < 2; n++) {
        gate g = {n};
        glim_alloc_set_hook(pass, &g);
        glim_map *none = glim_map_new(10);
        glim_alloc_set_hook(NULL, NULL);
        assert_null(none);
    }
    assert_null(glim_map_new(SIZE_MAX));
    glim_map *m = glim_map_new(0);
    gate g = {0};
    uint32_t i = 0;
    glim_err rc = GLIM_OK;
    glim_alloc_set_hook(pass, &g);
    while (i < N_KEY && !(rc = glim_map_put(m, key(i), i)))
        i++;
    glim_alloc_set_hook(NULL, NULL);
    assert_int_equal(rc, GLIM_E_NOMEM);
    assert_int_equal(glim_map_count(m), i);
    assert_false(glim_map_get(m, key(i), NULL));
    for (uint32_t k = 0; k < i; k++)
        assert_true(glim_map_get(m, key(k), NULL));
    assert_int_equal(glim_map_put(m, key(i), i), GLIM_OK);
    glim_map_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many),
        cmocka_unit_test(odd_keys),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
