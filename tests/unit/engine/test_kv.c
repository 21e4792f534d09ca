/* SPDX-License-Identifier: MIT
 * test_kv.c - the page pool: counts, exhaustion, reuse, impossible sizes. */
#include "engine/engine_int.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void test_pages(void **state)
{
    (void)state;
    glim_kv_pool p;
    uint8_t *page[3];
    assert_int_equal(glim_kv_pool_init(&p, GLIM_F16, 576, 47, 130, NULL), GLIM_OK);
    assert_int_equal(p.n_page, 3); /* 130 positions need three pages of 64 */
    assert_int_equal(p.page_bytes, 64u * 54144u);
    for (int i = 0; i < 3; i++) {
        page[i] = glim_kv_page_take(&p);
        assert_non_null(page[i]);
        memset(page[i], i, p.page_bytes); /* all of it is ours */
    }
    assert_null(glim_kv_page_take(&p));
    for (int i = 0; i < 3; i++)
        assert_int_equal(page[i][p.page_bytes - 1], i);
    glim_kv_page_give(&p, page[1]);
    assert_ptr_equal(glim_kv_page_take(&p), page[1]);
    glim_kv_pool_deinit(&p);
}

static void test_impossible(void **state)
{
    (void)state;
    glim_kv_pool p;
    glim_error e = {0};
    assert_int_equal(glim_kv_pool_init(&p, GLIM_F32, 576, 47, INT64_MAX / 2, &e), GLIM_E_CONTEXT);
    assert_null(p.base);
    assert_int_not_equal(glim_kv_pool_init(&p, GLIM_F32, 65536, 1024, (int64_t)1 << 30, &e),
                         GLIM_OK);
    assert_null(p.base);
    glim_kv_pool_deinit(&p);
}

static void test_bytes_per_token(void **state)
{
    (void)state;
    assert_int_equal(glim_kv_bytes_per_token(GLIM_F16, 576, 47), 54144);
    assert_int_equal(glim_kv_bytes_per_token(GLIM_F32, 576, 47), 108288);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pages),
        cmocka_unit_test(test_impossible),
        cmocka_unit_test(test_bytes_per_token),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
