/* SPDX-License-Identifier: MIT
 * test_write.c - the writer: nesting, escapes, numbers that read back the same. */
#include "json/json.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void nesting(void **state)
{
    (void)state;
    glim_buf b;
    glim_jw w;
    glim_buf_init(&b, 4096);
    glim_jw_init(&w, &b);
    glim_jw_object(&w);
    glim_jw_key(&w, "a");
    glim_jw_array(&w);
    glim_jw_i64(&w, INT64_MIN);
    glim_jw_u64(&w, UINT64_MAX);
    glim_jw_array(&w);
    glim_jw_array_end(&w);
    glim_jw_object(&w);
    glim_jw_object_end(&w);
    glim_jw_null(&w);
    glim_jw_array_end(&w);
    glim_jw_keyv(&w, GLIM_STR("b\"\0c"));
    glim_jw_bool(&w, true);
    glim_jw_key(&w, "d");
    glim_jw_raw(&w, GLIM_STR("{\"x\": 1.50}"));
    glim_jw_key(&w, "e");
    glim_jw_str(&w, GLIM_STR(""));
    glim_jw_key(&w, "f");
    glim_jw_bool(&w, false);
    glim_jw_object_end(&w);
    assert_int_equal(b.err, GLIM_OK);
    assert_string_equal(b.p, "{\"a\":[-9223372036854775808,18446744073709551615,[],{},null],"
                             "\"b\\\"\\u0000c\":true,\"d\":{\"x\": 1.50},\"e\":\"\",\"f\":false}");
    glim_buf_deinit(&b);
}

static void misuse(void **state)
{
    (void)state;
    glim_buf b;
    glim_jw w;
    glim_buf_init(&b, 4096);
    glim_jw_init(&w, &b);
    glim_jw_array_end(&w);
    assert_int_equal(b.err, GLIM_E_STATE);
    glim_buf_clear(&b);
    glim_jw_init(&w, &b);
    for (int i = 0; i < 63; i++)
        glim_jw_array(&w);
    assert_int_equal(b.err, GLIM_OK);
    glim_jw_array(&w);
    assert_int_equal(b.err, GLIM_E_LIMIT);
    for (int i = 0; i < 100; i++)
        glim_jw_object_end(&w);
    assert_int_equal(b.err, GLIM_E_LIMIT);
    glim_buf_deinit(&b);
    glim_buf_init(&b, 8);
    glim_jw_init(&w, &b);
    glim_jw_str(&w, GLIM_STR("0123456789\x01\x02"));
    assert_int_equal(b.err, GLIM_E_LIMIT);
    assert_true(b.n <= 8);
    glim_buf_deinit(&b);
}

static void escapes(void **state)
{
    (void)state;
    static const struct {
        const char *src, *want;
    } cases[] = {
        {"plain", "\"plain\""},
        {"\"\\/", "\"\\\"\\\\/\""},
        {"\b\f\n\r\t\x01\x1F\x7F", "\"\\b\\f\\n\\r\\t\\u0001\\u001f\x7F\""},
        {"\xC3\xA9\xF0\x9F\x98\x80", "\"\xC3\xA9\xF0\x9F\x98\x80\""},
        {"a\xE2\x80\xA8"
         "b\xE2\x80\xA9"
         "c\xC2\x85"
         "d",
         "\"a\\u2028b\\u2029c\\u0085d\""},
        {"\xC2\x84\xE2\x80\xA7", "\"\xC2\x84\xE2\x80\xA7\""},
        {"a\xFFz", "\"a\xEF\xBF\xBDz\""},
        {"\xE2\x82", "\"\xEF\xBF\xBD\xEF\xBF\xBD\""},
        {"\xED\xA0\x80", "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""},
    };
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        glim_buf b;
        glim_buf_init(&b, 256);
        glim_json_quote(&b, glim_str_of(cases[i].src));
        assert_string_equal(b.p, cases[i].want);
        glim_buf_deinit(&b);
    }
}

static const char *f64_text(glim_buf *b, double v)
{
    glim_jw w;
    glim_buf_clear(b);
    glim_jw_init(&w, b);
    glim_jw_f64(&w, v);
    return b->p;
}

static const char *f32_text(glim_buf *b, float v)
{
    glim_jw w;
    glim_buf_clear(b);
    glim_jw_init(&w, b);
    glim_jw_f32(&w, v);
    return b->p;
}

static void floats(void **state)
{
    (void)state;
    glim_buf b;
    glim_buf_init(&b, 256);
    assert_string_equal(f64_text(&b, 0.1), "0.1");
    assert_string_equal(f64_text(&b, 0.0), "0");
    assert_string_equal(f64_text(&b, -0.0), "-0");
    assert_string_equal(f64_text(&b, 3), "3");
    assert_string_equal(f64_text(&b, 0.1 + 0.2), "0.30000000000000004");
    assert_string_equal(f64_text(&b, 1e300), "1e+300");
    assert_string_equal(f64_text(&b, 5e-324), "5e-324");
    assert_string_equal(f64_text(&b, (double)NAN), "null");
    assert_string_equal(f64_text(&b, (double)INFINITY), "null");
    assert_string_equal(f64_text(&b, (double)-INFINITY), "null");
    assert_string_equal(f32_text(&b, 0.1f), "0.1");
    assert_string_equal(f32_text(&b, 0.7f), "0.7");
    assert_string_equal(f32_text(&b, 16777216.0f), "16777216");
    assert_string_equal(f32_text(&b, FLT_MAX), "3.4028235e+38");
    assert_string_equal(f32_text(&b, 1e-45f), "1e-45");
    assert_string_equal(f32_text(&b, NAN), "null");

    glim_rng rng;
    glim_rng_seed(&rng, 1);
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = glim_rng_u64(&rng);
        uint32_t bits32 = (uint32_t)bits;
        double d, back;
        float f;
        memcpy(&d, &bits, sizeof d);
        memcpy(&f, &bits32, sizeof f);
        if (isfinite(d)) {
            assert_true(glim_parse_f64(glim_str_of(f64_text(&b, d)), &back));
            assert_memory_equal(&back, &d, sizeof d);
        }
        if (isfinite(f)) {
            assert_true(glim_parse_f64(glim_str_of(f32_text(&b, f)), &back));
            assert_true((float)back == f);
            assert_true(b.n <= 15);
        }
    }
    glim_buf_deinit(&b);
}

/* Floats of everyday size have a way of their own, which must find what the search finds. */
static void everyday_floats(void **state)
{
    (void)state;
    static const float edges[] = {1e-4f,       1.0001e-4f,  9.9999997e-5f, 0.001f,    0.09999999f,
                                  0.99999994f, 1,           1.0000001f,    9.999999f, 10,
                                  0.5f,        0.03125f,    1048575.9f,    999999,    999999.9f,
                                  1e6f,        16777215,    0.0123f,       100.25f,   123456.7f,
                                  0.00012345f, 0.12345679f, 8388607.5f,    1e5f,      99999.99f};
    glim_buf b;
    glim_rng rng;
    glim_buf_init(&b, 256);
    glim_rng_seed(&rng, 2);
    for (int i = 0; i < 50000; i++) {
        float v = edges[i % (int)GLIM_COUNT(edges)];
        if (i >= 2 * (int)GLIM_COUNT(edges)) {
            /* exponents from 2 to the -15 to 2 to the 21: the way's ends and a bit beyond */
            uint64_t r = glim_rng_u64(&rng);
            uint32_t bits = (uint32_t)(r & 0x7fffff) | (uint32_t)(112 + (r >> 32) % 37) << 23;
            memcpy(&v, &bits, sizeof v);
        }
        if (i % 2) v = -v;
        char want[40];
        int digits = 6;
        do
            snprintf(want, sizeof want, "%.*g", digits, (double)v);
        while (digits++ < 9 && strtof(want, NULL) != v);
        assert_string_equal(f32_text(&b, v), want);
    }
    assert_string_equal(f32_text(&b, 0.0f), "0");
    assert_string_equal(f32_text(&b, -0.0f), "-0");
    assert_string_equal(f32_text(&b, -0.25f), "-0.25");
    /* in a list, and where there is no room */
    glim_jw w;
    glim_buf_clear(&b);
    glim_jw_init(&w, &b);
    glim_jw_array(&w);
    glim_jw_f32(&w, 0.5f);
    glim_jw_f32(&w, -20);
    glim_jw_array_end(&w);
    assert_string_equal(b.p, "[0.5,-20]");
    glim_buf_deinit(&b);
    glim_buf_init(&b, 3);
    glim_jw_init(&w, &b);
    glim_jw_f32(&w, 0.25f);
    assert_int_equal(b.err, GLIM_E_LIMIT);
    glim_buf_deinit(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nesting), cmocka_unit_test(misuse),          cmocka_unit_test(escapes),
        cmocka_unit_test(floats),  cmocka_unit_test(everyday_floats),
    };
    return cmocka_run_group_tests_name("json/write", tests, NULL, NULL);
}
