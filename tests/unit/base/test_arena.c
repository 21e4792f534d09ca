/* SPDX-License-Identifier: MIT
 * test_arena.c - alignment, the maximum, marks, and nothing overlapping. */
#include "base/base.h"

#include <setjmp.h>

#include <cmocka.h>

static bool never(void *user, size_t n)
{
    (void)user;
    (void)n;
    return false;
}

static void alignment(void **state)
{
    (void)state;
    glim_arena *a = glim_arena_new(SIZE_MAX);
    assert_non_null(a);
    for (size_t n = 0; n < 300; n++) {
        uint8_t *p = glim_arena_alloc(a, n);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % (n >= 64 ? 64 : 16), 0);
        memset(p, 0xff, n);
    }
    glim_arena_free(a);
    glim_arena_free(NULL);
}

enum { N_PIECE = 4000 };

/* Every piece keeps what was written to it while others come and blocks are added. */
static void pieces_do_not_overlap(void **state)
{
    (void)state;
    static uint8_t *p[N_PIECE];
    static size_t n[N_PIECE];
    glim_arena *a = glim_arena_new((size_t)64 << 20);
    glim_rng r;
    glim_rng_seed(&r, 7);
    size_t total = 0;
    for (int i = 0; i < N_PIECE; i++) {
        n[i] = glim_rng_u64(&r) % (i % 100 == 0 ? 20000 : 200);
        p[i] = i % 2 ? glim_arena_alloc0(a, n[i]) : glim_arena_alloc(a, n[i]);
        assert_non_null(p[i]);
        if (i % 2)
            for (size_t k = 0; k < n[i]; k++)
                assert_int_equal(p[i][k], 0);
        memset(p[i], i & 0xff, n[i]);
        total += n[i];
    }
    assert_true(glim_arena_used(a) >= total);
    for (int i = 0; i < N_PIECE; i++)
        for (size_t k = 0; k < n[i]; k++)
            assert_int_equal(p[i][k], i & 0xff);
    glim_arena_free(a);
}

static void maximum(void **state)
{
    (void)state;
    static const size_t max[] = {0, 1, 15, 16, 100, 4095, 4096, 4097, 100000};
    for (size_t i = 0; i < GLIM_COUNT(max); i++) {
        glim_arena *a = glim_arena_new(max[i]);
        size_t taken = 0;
        assert_null(glim_arena_alloc(a, max[i] + 1));
        while (glim_arena_alloc(a, 16))
            taken += 16;
        assert_true(taken <= max[i]);
        assert_true(glim_arena_used(a) <= max[i]);
        assert_null(glim_arena_alloc(a, SIZE_MAX));
        assert_null(glim_arena_alloc(a, SIZE_MAX - 63));
        assert_null(glim_arena_array(a, SIZE_MAX, 8));
        assert_null(glim_arena_array(a, SIZE_MAX / 8 + 1, 8));
        glim_arena_free(a);
        /* The whole of it in one piece is possible. */
        a = glim_arena_new(max[i]);
        if (max[i]) assert_non_null(glim_arena_alloc(a, max[i]));
        assert_null(glim_arena_alloc(a, 1));
        glim_arena_free(a);
    }
}

static void fixed(void **state)
{
    (void)state;
    glim_arena *a = glim_arena_new_fixed(1024);
    assert_non_null(a);
    uint64_t before = glim_alloc_count();
    for (int round = 0; round < 3; round++) {
        assert_non_null(glim_arena_alloc(a, 512));
        assert_non_null(glim_arena_alloc(a, 512));
        assert_null(glim_arena_alloc(a, 1));
        glim_arena_reset(a);
    }
    assert_null(glim_arena_alloc(a, 1025));
    assert_non_null(glim_arena_alloc(a, 1024));
    assert_int_equal(glim_alloc_count(), before); /* a decode step relies on it */
    glim_arena_free(a);
    assert_null(glim_arena_new_fixed(SIZE_MAX));
    a = glim_arena_new_fixed(0);
    assert_non_null(a);
    assert_null(glim_arena_alloc(a, 1));
    glim_arena_free(a);
}

static void marks(void **state)
{
    (void)state;
    glim_arena *a = glim_arena_new(SIZE_MAX);
    glim_mark empty = glim_arena_mark(a);
    char *keep = glim_arena_alloc(a, 100);
    memset(keep, 'k', 100);
    size_t used = glim_arena_used(a);
    for (int i = 0; i < 50; i++) {
        glim_mark m = glim_arena_mark(a);
        for (int k = 0; k < 20; k++)
            assert_non_null(glim_arena_alloc0(a, (size_t)(i * 37 + k * 501)));
        glim_mark inner = glim_arena_mark(a);
        assert_non_null(glim_arena_alloc(a, 100000));
        glim_arena_rewind(a, inner);
        glim_arena_rewind(a, m);
        assert_int_equal(glim_arena_used(a), used);
    }
    for (int i = 0; i < 100; i++)
        assert_int_equal(keep[i], 'k');
    glim_arena_rewind(a, empty);
    assert_int_equal(glim_arena_used(a), 0);
    assert_non_null(glim_arena_alloc(a, 10));
    glim_arena_reset(a);
    assert_int_equal(glim_arena_used(a), 0);
    glim_arena_reset(a);
    glim_arena_free(a);
    a = glim_arena_new(100);
    glim_arena_reset(a);
    glim_arena_rewind(a, glim_arena_mark(a));
    glim_arena_free(a);
}

static void strings(void **state)
{
    (void)state;
    glim_arena *a = glim_arena_new(1000);
    glim_str s = glim_arena_str(a, GLIM_STR("a\0b"));
    assert_int_equal(s.n, 3);
    assert_memory_equal(s.p, "a\0b", 4);
    s = glim_arena_str(a, (glim_str){NULL, 0});
    assert_non_null(s.p);
    assert_int_equal(s.p[0], 0);
    s = glim_arena_str(a, (glim_str){"x", SIZE_MAX});
    assert_null(s.p);
    assert_int_equal(s.n, 0);
    int32_t *ids = GLIM_ARENA_ARRAY(a, int32_t, 10);
    assert_non_null(ids);
    glim_error *e = GLIM_ARENA_NEW0(a, glim_error);
    assert_true(e && e->code == GLIM_OK && e->msg[0] == 0);
    glim_arena_free(a);
}

/* Small blocks grow by doubling: many small pieces cost few allocations. */
static void few_blocks(void **state)
{
    (void)state;
    glim_arena *a = glim_arena_new(SIZE_MAX);
    uint64_t before = glim_alloc_count();
    for (int i = 0; i < 100000; i++)
        assert_non_null(glim_arena_alloc(a, 16));
    assert_true(glim_alloc_count() - before < 16);
    glim_arena_free(a);
}

static void no_memory(void **state)
{
    (void)state;
    glim_arena *a = glim_arena_new(SIZE_MAX);
    char *p = glim_arena_alloc(a, 10);
    glim_alloc_set_hook(never, NULL);
    glim_arena *none = glim_arena_new(100), *none_fixed = glim_arena_new_fixed(100);
    void *big = glim_arena_alloc(a, 100000);
    char *small = glim_arena_alloc(a, 10); /* fits what is there */
    glim_str s = glim_arena_str(a, (glim_str){p, 10});
    glim_alloc_set_hook(NULL, NULL);
    assert_null(none);
    assert_null(none_fixed);
    assert_null(big);
    assert_non_null(small);
    assert_non_null(s.p);
    assert_non_null(glim_arena_alloc(a, 100000));
    glim_arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alignment),  cmocka_unit_test(pieces_do_not_overlap),
        cmocka_unit_test(maximum),    cmocka_unit_test(fixed),
        cmocka_unit_test(marks),      cmocka_unit_test(strings),
        cmocka_unit_test(few_blocks), cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
