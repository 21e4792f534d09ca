/* SPDX-License-Identifier: MIT
 * test_read.c - the tree: shapes, lookups, exact integers, duplicates, limits, paths in errors. */
#include "json/json.h"
#include "failnth.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static glim_arena *arena;

static int setup(void **state)
{
    (void)state;
    arena = glim_arena_new((size_t)256 << 20);
    return arena ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    glim_arena_free(arena);
    return 0;
}

static glim_json *parse(glim_str src)
{
    glim_error e = {0};
    glim_json *v;
    glim_err rc = glim_json_parse(arena, src, &v, &e);
    if (rc) print_error("%s\n", e.msg);
    assert_int_equal(rc, GLIM_OK);
    return v;
}

static void shapes(void **state)
{
    (void)state;
    glim_str src = GLIM_STR(" {\"a\": [1, 2.50, {\"x\\n\": null}], \"b\":\"t\\u0041\", \"\":true,"
                            "\"c\":{\"d\":{\"e\":false}}} ");
    const glim_json *v = parse(src);
    assert_int_equal(v->type, GLIM_JSON_OBJECT);
    assert_int_equal(v->n_child, 4);
    assert_int_equal(v->offset, 1);
    assert_null(v->key.p);
    assert_true(glim_str_eq(v->text, glim_str_trim(src, " ")));

    const glim_json *a = glim_json_get(v, "a");
    assert_true(glim_json_is(a, GLIM_JSON_ARRAY));
    assert_int_equal(a->n_child, 3);
    assert_true(glim_str_is(a->text, "[1, 2.50, {\"x\\n\": null}]"));
    assert_true(glim_str_is(glim_json_at(a, 1)->text, "2.50"));
    assert_int_equal(glim_json_at(a, 1)->offset, 11);
    assert_true(glim_str_is(glim_json_at(a, 2)->child->key, "x\n"));
    assert_null(glim_json_at(a, 3));
    assert_null(glim_json_at(NULL, 0));

    assert_true(glim_str_is(glim_json_get(v, "b")->text, "tA"));
    assert_int_equal(glim_json_get(v, "")->type, GLIM_JSON_TRUE);
    assert_non_null(glim_json_get(v, "")->key.p);
    assert_null(glim_json_get(v, "none"));
    assert_null(glim_json_get(a, "a"));
    assert_null(glim_json_get(NULL, "a"));
    assert_int_equal(glim_json_path(v, "c.d.e")->type, GLIM_JSON_FALSE);
    assert_null(glim_json_path(v, "c.x.e"));
    assert_null(glim_json_path(v, "a.x"));
    assert_null(glim_json_path(NULL, "a"));

    size_t n = 0;
    GLIM_JSON_EACH(m, v)
    n += m->key.n;
    assert_int_equal(n, 3);

    bool b = false;
    assert_true(glim_json_bool(glim_json_get(v, ""), &b) && b);
    assert_true(glim_json_bool(glim_json_path(v, "c.d.e"), &b) && !b);
    assert_false(glim_json_bool(a, &b));
    assert_false(glim_json_bool(NULL, &b));
    assert_string_equal(glim_json_type_name(GLIM_JSON_ARRAY), "an array");
    assert_string_equal(glim_json_type_name(GLIM_JSON_NULL), "null");
}

static void integers(void **state)
{
    (void)state;
    static const struct {
        const char *src;
        bool ok;
        int64_t want;
    } cases[] = {
        {"0", true, 0},
        {"-0", true, 0},
        {"7", true, 7},
        {"-7", true, -7},
        {"100", true, 100},
        {"1001", true, 1001},
        {"3.0", true, 3},
        {"3e0", true, 3},
        {"3E+0", true, 3},
        {"30e-1", true, 3},
        {"0.3e1", true, 3},
        {"10.50e2", true, 1050},
        {"0.000", true, 0},
        {"0e999999999999999999999", true, 0},
        {"-0.0e-99999999999999999999", true, 0},
        {"9007199254740993", true, 9007199254740993},
        {"9007199254740993.000e0", true, 9007199254740993},
        {"9223372036854775807", true, INT64_MAX},
        {"9223372036854775807.0", true, INT64_MAX},
        {"92233720368547758070e-1", true, INT64_MAX},
        {"-9223372036854775808", true, INT64_MIN},
        {"-9.223372036854775808e18", true, INT64_MIN},
        {"1e18", true, 1000000000000000000},
        {"1000000000000000000000e-3", true, 1000000000000000000},
        {"9223372036854775808", false, 0},
        {"-9223372036854775809", false, 0},
        {"18446744073709551616", false, 0},
        {"1e19", false, 0},
        {"1e99999999999999999999", false, 0},
        {"1e-99999999999999999999", false, 0},
        {"3.5", false, 0},
        {"3.0000000000000000000000001", false, 0},
        {"1e-1", false, 0},
        {"12345678901234567890123", false, 0},
        {"\"3\"", false, 0},
        {"null", false, 0},
        {"[3]", false, 0},
    };
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        int64_t got = 42;
        bool ok = glim_json_i64(parse(glim_str_of(cases[i].src)), &got);
        if (ok != cases[i].ok || got != (ok ? cases[i].want : 42))
            print_error("%s: %d %lld\n", cases[i].src, ok, (long long)got);
        assert_int_equal(ok, cases[i].ok);
        assert_true(got == (ok ? cases[i].want : 42));
    }
    int64_t got;
    double x;
    assert_false(glim_json_i64(NULL, &got));
    assert_false(glim_json_f64(NULL, &x));
    assert_true(glim_json_f64(parse(GLIM_STR("-2.5e-1")), &x) && x == -0.25);
    assert_false(glim_json_f64(parse(GLIM_STR("1e400")), &x));
    assert_false(glim_json_f64(parse(GLIM_STR("true")), &x));
}

static void paths(void **state)
{
    (void)state;
    static const struct {
        const char *src;
        glim_err rc;
        size_t at;
        const char *begins, *says;
    } cases[] = {
        {"{\"messages\":[{},{\"content\":tru}]}", GLIM_E_INPUT, 30, "messages[1].content: ", "'}'"},
        {"[1,[2,\"\xFF\"]]", GLIM_E_INPUT, 7, "[1][1]: ", "UTF-8"},
        {"{\"a\":1,\"b\":2,\"a\":3}", GLIM_E_INPUT, 17, "a: ", "twice"},
        {"{\"x\":{\"\":1,\"\":3}}", GLIM_E_INPUT, 14, "x[\"\"]: ", "twice"},
        {"{\"k\\u0061\":1,\"ka\":2}", GLIM_E_INPUT, 18, "ka: ", "twice"},
        {"{\"o p\":x}", GLIM_E_INPUT, 7, "[\"o p\"]: ", "'x'"},
        {"{\"a\\n\":x}", GLIM_E_INPUT, 7, "[\"a\\x0a\"]: ", "'x'"},
        {"[[[[[[[[[x", GLIM_E_INPUT, 9, "...[0][0][0][0][0][0]: ", "'x'"},
        {"x", GLIM_E_INPUT, 0, "at byte 0", "'x'"},
    };
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        glim_error e = {0};
        glim_json *v;
        glim_err rc = glim_json_parse(arena, glim_str_of(cases[i].src), &v, &e);
        if (rc != cases[i].rc || strncmp(e.msg, cases[i].begins, strlen(cases[i].begins)) ||
            !strstr(e.msg, cases[i].says) || e.offset != cases[i].at)
            print_error("%s: %s (%llu)\n", cases[i].src, e.msg, (unsigned long long)e.offset);
        assert_int_equal(rc, cases[i].rc);
        assert_int_equal(e.offset, cases[i].at);
        assert_memory_equal(e.msg, cases[i].begins, strlen(cases[i].begins));
        assert_non_null(strstr(e.msg, cases[i].says));
        assert_null(v);
        assert_int_equal(glim_json_parse(arena, glim_str_of(cases[i].src), &v, NULL), rc);
    }
}

static void deep(void **state)
{
    (void)state;
    enum { N = 10000 };
    static const char *const open[] = {"[", "{\"a\":"};
    for (size_t k = 0; k < GLIM_COUNT(open); k++) {
        glim_buf b;
        glim_buf_init(&b, 1 << 20);
        for (int i = 0; i < N; i++)
            glim_buf_adds(&b, open[k]);
        glim_error e = {0};
        glim_json *v;
        assert_int_equal(glim_json_parse(arena, glim_buf_view(&b), &v, &e), GLIM_E_LIMIT);
        assert_non_null(strstr(e.msg, "limit of 512"));
        glim_buf_deinit(&b);
    }
}

/* 100,000 keys: quick, and the one duplicate among them is found, wherever it stands. */
static void many_keys(void **state)
{
    (void)state;
    enum { N = 100000 };
    for (int dup = -1; dup < N; dup += N / 4) {
        glim_buf b;
        glim_buf_init(&b, (size_t)8 << 20);
        glim_buf_addc(&b, '{');
        for (int i = 0; i < N; i++)
            glim_buf_addf(&b, "\"key%d\":%d,", i * 7919 % N, i);
        glim_buf_addf(&b, "\"key%d\":0}", dup < 0 ? N : dup);
        assert_int_equal(b.err, GLIM_OK);
        glim_error e = {0};
        glim_json *v;
        glim_mark m = glim_arena_mark(arena);
        glim_err rc = glim_json_parse(arena, glim_buf_view(&b), &v, &e);
        assert_int_equal(rc, dup < 0 ? GLIM_OK : GLIM_E_INPUT);
        if (!rc)
            assert_int_equal(v->n_child, N + 1);
        else
            assert_int_equal(e.offset, b.n - 2);
        glim_arena_rewind(arena, m);
        glim_buf_deinit(&b);
    }
    /* Every number of members around the change of method, with the duplicate at each place. */
    for (int n = 2; n < 20; n++) {
        for (int i = 0; i < n; i++) {
            char src[512];
            size_t at = 0;
            for (int k = 0; k < n; k++)
                at += (size_t)snprintf(src + at, sizeof src - at, "%c\"%d\":0", k ? ',' : '{',
                                       k == i ? (i + 1) % n : k);
            snprintf(src + at, sizeof src - at, "}");
            glim_json *v;
            assert_int_equal(glim_json_parse(arena, glim_str_of(src), &v, NULL), GLIM_E_INPUT);
        }
    }
}

static void small_arena(void **state)
{
    (void)state;
    glim_arena *a = glim_arena_new_fixed(256);
    glim_error e = {0};
    glim_json *v;
    assert_int_equal(glim_json_parse(a, GLIM_STR("[1,2,3,4,5,6,7,8]"), &v, &e), GLIM_E_NOMEM);
    assert_memory_equal(e.msg, "[3]: ", 5);
    glim_arena_free(a);
}

static void no_memory(void **state)
{
    (void)state;
    glim_str src = GLIM_STR("{\"a\\n\":1,\"b\":\"\\t\",\"c\":[],\"d\":{},\"e\":2,\"f\":3,\"g\":4,"
                            "\"h\":5,\"i\":6,\"j\":7,\"k\":8,\"l\":9,\"m\":10,\"n\":11}");
    glim_err rc = GLIM_E_NOMEM;
    int i = 0;
    for (; rc && i < 100; i++) {
        fail_nth hook;
        glim_error e = {0};
        glim_json *v = NULL;
        glim_arena *a = glim_arena_new(1 << 20);
        fail_nth_begin(&hook, i);
        rc = glim_json_parse(a, src, &v, &e);
        fail_nth_end();
        assert_int_equal(e.code, rc);
        assert_true(rc == GLIM_OK || rc == GLIM_E_NOMEM);
        assert_true((v != NULL) == (rc == GLIM_OK));
        glim_arena_free(a);
    }
    assert_int_equal(rc, GLIM_OK);
    assert_true(i > 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes),    cmocka_unit_test(integers),  cmocka_unit_test(paths),
        cmocka_unit_test(deep),      cmocka_unit_test(many_keys), cmocka_unit_test(small_arena),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests_name("json/read", tests, setup, teardown);
}
