/* SPDX-License-Identifier: MIT
 * test_buf.c - growth, the maximum, the remembered error, cutting both ends. */
#include "base/base.h"

#include <setjmp.h>

#include <cmocka.h>

static bool never(void *user, size_t n)
{
    (void)user;
    (void)n;
    return false;
}

static void grows(void **state)
{
    (void)state;
    glim_buf b;
    glim_buf_init(&b, 1 << 20);
    assert_null(b.p);
    assert_int_equal(glim_buf_view(&b).n, 0);
    uint64_t before = glim_alloc_count();
    for (int i = 0; i < 100000; i++) {
        assert_int_equal(glim_buf_addc(&b, (char)('a' + i % 26)), GLIM_OK);
        assert_int_equal(b.p[b.n], 0);
    }
    assert_true(glim_alloc_count() - before < 40);
    assert_int_equal(b.n, 100000);
    for (int i = 0; i < 100000; i++)
        assert_int_equal(b.p[i], 'a' + i % 26);
    glim_buf_deinit(&b);
    glim_buf_deinit(&b); /* twice is fine */
    assert_null(b.p);
}

static void appends(void **state)
{
    (void)state;
    glim_buf b;
    glim_buf_init(&b, 100);
    assert_int_equal(glim_buf_add(&b, "x\0y", 3), GLIM_OK);
    assert_int_equal(glim_buf_add(&b, NULL, 0), GLIM_OK);
    assert_int_equal(glim_buf_adds(&b, "-str-"), GLIM_OK);
    assert_int_equal(glim_buf_addv(&b, GLIM_STR("view")), GLIM_OK);
    assert_int_equal(glim_buf_addv(&b, (glim_str){NULL, 0}), GLIM_OK);
    assert_int_equal(glim_buf_addc(&b, '!'), GLIM_OK);
    assert_int_equal(glim_buf_addf(&b, "%d %s", 42, "f"), GLIM_OK);
    assert_int_equal(glim_buf_addf(&b, "%s", ""), GLIM_OK);
    assert_true(glim_str_eq(glim_buf_view(&b), GLIM_STR("x\0y-str-view!42 f")));
    glim_buf_deinit(&b);
}

static void maximum(void **state)
{
    (void)state;
    for (size_t max = 0; max < 200; max++) {
        glim_buf b;
        glim_buf_init(&b, max);
        for (size_t i = 0; i < max; i++)
            assert_int_equal(glim_buf_addc(&b, 'x'), GLIM_OK);
        assert_int_equal(glim_buf_add(&b, NULL, 0), GLIM_OK);
        assert_int_equal(glim_buf_addc(&b, 'y'), GLIM_E_LIMIT);
        assert_int_equal(b.n, max);
        assert_int_equal(b.err, GLIM_E_LIMIT);
        glim_buf_cut(&b, 0);
        assert_int_equal(glim_buf_addc(&b, 'z'), GLIM_E_LIMIT); /* remembered */
        assert_int_equal(glim_buf_addf(&b, "%d", 1), GLIM_E_LIMIT);
        assert_int_equal(b.n, 0);
        glim_buf_clear(&b);
        assert_int_equal(b.err, GLIM_OK);
        assert_int_equal(glim_buf_addc(&b, 'z'), max ? GLIM_OK : GLIM_E_LIMIT);
        glim_buf_deinit(&b);
    }
    glim_buf b;
    glim_buf_init(&b, 10);
    assert_int_equal(glim_buf_adds(&b, "12345"), GLIM_OK);
    assert_int_equal(glim_buf_addf(&b, "%s", "678901"), GLIM_E_LIMIT); /* all or nothing */
    assert_string_equal(b.p, "12345");
    glim_buf_deinit(&b);
    /* Lengths that would wrap around. */
    glim_buf_init(&b, SIZE_MAX);
    assert_int_equal(glim_buf_adds(&b, "abc"), GLIM_OK);
    assert_int_equal(glim_buf_add(&b, "", SIZE_MAX - 1), GLIM_E_LIMIT);
    glim_buf_clear(&b);
    assert_int_equal(glim_buf_adds(&b, "abc"), GLIM_OK);
    assert_int_equal(glim_buf_add(&b, "", SIZE_MAX - 3), GLIM_E_LIMIT);
    glim_buf_clear(&b);
    assert_int_equal(glim_buf_add(&b, "", SIZE_MAX - 4), GLIM_E_NOMEM);
    glim_buf_deinit(&b);
}

static void drop_and_cut(void **state)
{
    (void)state;
    for (size_t drop = 0; drop <= 12; drop++)
        for (size_t cut = 0; cut <= 12; cut++) {
            glim_buf b;
            glim_buf_init(&b, 100);
            glim_buf_drop(&b, drop);
            glim_buf_cut(&b, cut);
            assert_int_equal(glim_buf_adds(&b, "0123456789"), GLIM_OK);
            glim_buf_drop(&b, drop);
            size_t begin = GLIM_MIN(drop, 10);
            assert_true(
                glim_str_eq(glim_buf_view(&b), glim_str_sub(GLIM_STR("0123456789"), begin, 10)));
            glim_buf_cut(&b, cut);
            assert_int_equal(b.n, GLIM_MIN(cut, 10 - begin));
            assert_int_equal(b.p[b.n], 0);
            assert_int_equal(glim_buf_adds(&b, "end"), GLIM_OK);
            assert_true(glim_str_ends(glim_buf_view(&b), GLIM_STR("end")));
            glim_buf_deinit(&b);
        }
}

static void no_memory(void **state)
{
    (void)state;
    glim_buf b;
    glim_buf_init(&b, SIZE_MAX);
    assert_int_equal(glim_buf_adds(&b, "kept"), GLIM_OK);
    static char big[1000];
    glim_alloc_set_hook(never, NULL);
    glim_err rc = glim_buf_add(&b, big, sizeof big), again = glim_buf_addc(&b, '!');
    glim_alloc_set_hook(NULL, NULL);
    assert_int_equal(rc, GLIM_E_NOMEM);
    assert_int_equal(again, GLIM_E_NOMEM);
    assert_string_equal(b.p, "kept");
    glim_buf_clear(&b);
    assert_int_equal(glim_buf_add(&b, big, sizeof big), GLIM_OK);
    glim_buf_deinit(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grows),        cmocka_unit_test(appends),   cmocka_unit_test(maximum),
        cmocka_unit_test(drop_and_cut), cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
