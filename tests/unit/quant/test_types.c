/* SPDX-License-Identifier: MIT
 * test_types.c - the table of types: ids, names, sizes. */
#include "golden.h"

#include "quant/quant.h"

static void every_row_is_whole(void **state)
{
    (void)state;
    for (int t = 0; t < GLIM_TYPE_COUNT; t++) {
        const glim_type_traits *r = glim_type_get((glim_type)t);
        assert_non_null(r->name);
        assert_non_null(r->decode);
        assert_true(r->n_block > 0 && r->block_bytes > 0);

        glim_type back;
        assert_true(glim_type_from_name(glim_str_of(r->name), &back));
        assert_int_equal(back, t);
        if (r->ggml_id >= 0) {
            const char *name;
            assert_true(glim_type_from_ggml(r->ggml_id, &back, &name));
            assert_int_equal(back, t);
            assert_string_equal(name, r->name);
        }
    }
}

static void lookups(void **state)
{
    (void)state;
    static const struct {
        int32_t id;
        const char *name; /* as ggml has it; NULL: no such type */
        bool known;
    } cases[] = {{0, "F32", true},     {12, "Q4_K", true},       {39, "MXFP4", true},
                 {9, "Q8_1", false},   {15, "Q8_K", false},      {16, "IQ2_XXS", false},
                 {40, "NVFP4", false}, {4, NULL, false},         {41, NULL, false},
                 {-1, NULL, false},    {INT32_MAX, NULL, false}, {INT32_MIN, NULL, false}};
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        glim_type t;
        const char *name = "unset";
        assert_int_equal(glim_type_from_ggml(cases[i].id, &t, &name), cases[i].known);
        if (cases[i].name)
            assert_string_equal(name, cases[i].name);
        else
            assert_null(name);
        assert_int_equal(glim_type_from_ggml(cases[i].id, &t, NULL), cases[i].known);
    }
    glim_type t;
    assert_true(glim_type_from_name(GLIM_STR("q4_k"), &t));
    assert_int_equal(t, GLIM_Q4_K);
    assert_false(glim_type_from_name(GLIM_STR("q4"), &t));
    assert_false(glim_type_from_name(GLIM_STR(""), &t));
}

static void sizes(void **state)
{
    (void)state;
    static const struct {
        glim_type type;
        int64_t n;
        bool ok;
        size_t bytes;
    } cases[] = {{GLIM_F32, 3, true, 12},
                 {GLIM_F32, 0, true, 0},
                 {GLIM_F32, -4, false, 0},
                 {GLIM_Q4_K, 512, true, 288},
                 {GLIM_Q4_K, 255, false, 0},
                 {GLIM_Q8_0, 32, true, 34},
                 {GLIM_F32, INT64_MAX, false, 0},
                 {GLIM_MXFP4, INT64_MAX - 31, true, (size_t)(INT64_MAX / 32) * 17},
                 {GLIM_Q8_K, INT64_MAX - 255, true, (size_t)(INT64_MAX / 256) * 292},
                 {GLIM_BF16X3, 64, true, 384},
                 {GLIM_TYPE_COUNT, 32, false, 0}};
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        size_t bytes = 0;
        assert_int_equal(glim_type_bytes(cases[i].type, cases[i].n, &bytes), cases[i].ok);
        if (cases[i].ok) assert_int_equal(bytes, cases[i].bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_is_whole),
        cmocka_unit_test(lookups),
        cmocka_unit_test(sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
