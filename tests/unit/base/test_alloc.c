/* SPDX-License-Identifier: MIT
 * test_alloc.c - allocation: the hook, the count, sizes that cannot be. */
#include "base/base.h"

#include <setjmp.h>

#include <cmocka.h>

typedef struct gate {
    int n_left;    /* allocations still allowed */
    size_t n_last; /* size of the last request seen */
    int n_seen;
} gate;

static bool pass(void *user, size_t n)
{
    gate *g = user;
    g->n_seen++;
    g->n_last = n;
    return g->n_left-- > 0;
}

static void hook(void **state)
{
    (void)state;
    gate g = {.n_left = 0};
    void *kept = glim_alloc(8);
    assert_non_null(kept);
    glim_alloc_set_hook(pass, &g);
    assert_null(glim_alloc(10));
    assert_int_equal(g.n_last, 10);
    assert_null(glim_alloc0(11));
    assert_int_equal(g.n_last, 11);
    assert_null(glim_alloc_array(3, 4));
    assert_int_equal(g.n_last, 12);
    assert_null(glim_realloc(kept, 13)); /* kept stays valid */
    assert_int_equal(g.n_last, 13);
    assert_null(glim_alloc_aligned(64, 14));
    assert_int_equal(g.n_last, 14);
    assert_int_equal(g.n_seen, 5);
    g.n_left = 1;
    void *p = glim_alloc(1);
    assert_non_null(p);
    assert_null(glim_alloc(1));
    glim_alloc_set_hook(NULL, NULL);
    glim_free(p);
    glim_free(kept);
    p = glim_alloc(1);
    assert_non_null(p);
    glim_free(p);
}

static void count(void **state)
{
    (void)state;
    uint64_t before = glim_alloc_count();
    void *a = glim_alloc(1), *b = glim_alloc0(1), *c = glim_alloc_array(1, 1),
         *d = glim_alloc_aligned(16, 1);
    a = glim_realloc(a, 100);
    assert_int_equal(glim_alloc_count() - before, 5);
    glim_free(a);
    glim_free(b);
    glim_free(c);
    glim_free(d);
    glim_free(NULL);
    assert_int_equal(glim_alloc_count() - before, 5);
}

static void sizes(void **state)
{
    (void)state;
    static const size_t odd[] = {0, 1, 63, 64, 65, 4096, 100000};
    for (size_t i = 0; i < GLIM_COUNT(odd); i++) {
        uint8_t *p = glim_alloc0(odd[i]);
        assert_non_null(p);
        for (size_t k = 0; k < odd[i]; k++)
            assert_int_equal(p[k], 0);
        glim_free(p);
        p = glim_alloc_array(odd[i], 3);
        assert_non_null(p);
        for (size_t k = 0; k < odd[i] * 3; k++)
            assert_int_equal(p[k], 0);
        p = glim_realloc(p, odd[i] * 5);
        assert_non_null(p);
        glim_free(p);
        for (size_t align = 1; align <= 4096; align *= 2) {
            p = glim_alloc_aligned(align, odd[i]);
            assert_non_null(p);
            assert_int_equal((uintptr_t)p % align, 0);
            if (odd[i]) memset(p, 1, odd[i]);
            glim_free(p);
        }
    }
}

/* Sizes from a hostile file: refused, never wrapped around to something small. */
static void impossible(void **state)
{
    (void)state;
    static const size_t n[] = {SIZE_MAX, SIZE_MAX - 7, (size_t)PTRDIFF_MAX + 1};
    for (size_t i = 0; i < GLIM_COUNT(n); i++) {
        assert_null(glim_alloc(n[i]));
        assert_null(glim_alloc0(n[i]));
        assert_null(glim_realloc(NULL, n[i]));
        assert_null(glim_alloc_aligned(64, n[i]));
        assert_null(glim_alloc_array(n[i], 1));
        assert_null(glim_alloc_array(n[i], 3));
        assert_null(glim_alloc_array(n[i] / 2 + 1, 2));
    }
    assert_null(glim_alloc_array((size_t)1 << 32, (size_t)1 << 32));
    assert_null(glim_alloc_array(((size_t)1 << 32) + 1, (size_t)1 << 32));
}

static void checked_arithmetic(void **state)
{
    (void)state;
    size_t r;
    assert_true(glim_add_size(SIZE_MAX - 1, 1, &r) && r == SIZE_MAX);
    assert_false(glim_add_size(SIZE_MAX, 1, &r));
    assert_false(glim_add_size(1, SIZE_MAX, &r));
    assert_true(glim_mul_size(0, SIZE_MAX, &r) && r == 0);
    assert_true(glim_mul_size(SIZE_MAX, 1, &r) && r == SIZE_MAX);
    assert_false(glim_mul_size(SIZE_MAX / 2 + 1, 2, &r));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hook),
        cmocka_unit_test(count),
        cmocka_unit_test(sizes),
        cmocka_unit_test(impossible),
        cmocka_unit_test(checked_arithmetic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
