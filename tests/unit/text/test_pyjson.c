/* SPDX-License-Identifier: MIT
 * test_pyjson.c - json.dumps and str() as Python 3.11 printed them, and the classes of characters.
 */
#include "golden.h"

#include <float.h>
#include <locale.h>

#include "text/text.h"
#include "text/uniclass_priv.h"

typedef struct row {
    const char *json, *dumps, *str; /* str NULL: the same as dumps */
} row;

static const row rows[] = {
    {"null", "null", "None"},
    {"true", "true", "True"},
    {"false", "false", "False"},
    {"{}", "{}", NULL},
    {"[]", "[]", NULL},
    {"[ 1 ,2,[ ] ]", "[1, 2, []]", NULL},
    {"{\"b\":1,\"a\":{\"c\":[null,true]}}", "{\"b\": 1, \"a\": {\"c\": [null, true]}}",
     "{'b': 1, 'a': {'c': [None, True]}}"},
    /* Integers are exact, and know no negative zero. */
    {"0", "0", NULL},
    {"-0", "0", NULL},
    {"-12", "-12", NULL},
    {"123456789012345678901234567890", "123456789012345678901234567890", NULL},
    /* Floats: the shortest digits that read back. */
    {"1e3", "1000.0", NULL},
    {"1e-7", "1e-07", NULL},
    {"1.10", "1.1", NULL},
    {"-0.0", "-0.0", NULL},
    {"0e5", "0.0", NULL},
    {"-0E-9", "-0.0", NULL},
    {"1e15", "1000000000000000.0", NULL},
    {"1e16", "1e+16", NULL},
    {"9999999999999998.0", "9999999999999998.0", NULL},
    {"12345678901234567.0", "1.2345678901234568e+16", NULL},
    {"123456789.5", "123456789.5", NULL},
    {"0.0001", "0.0001", NULL},
    {"0.00012345", "0.00012345", NULL},
    {"0.00001", "1e-05", NULL},
    {"1.5e-7", "1.5e-07", NULL},
    {"1e22", "1e+22", NULL},
    {"1e100", "1e+100", NULL},
    {"100e-2", "1.0", NULL},
    {"0.1", "0.1", NULL},
    {"0.30000000000000004", "0.30000000000000004", NULL},
    {"5e-324", "5e-324", NULL},
    {"4.9406564584124654e-324", "5e-324", NULL},
    {"2.2250738585072014e-308", "2.2250738585072014e-308", NULL},
    {"1.7976931348623157e308", "1.7976931348623157e+308", NULL},
    {"5.684341886080801e-14", "5.684341886080801e-14", NULL},
    {"5.684341886080801486968994140625e-14", "5.684341886080802e-14", NULL},
    {"1e400", "Infinity", "inf"},
    {"-1e400", "-Infinity", "-inf"},
    {"1e-400", "0.0", NULL},
    {"0."
     "100000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
     "0"
     "00000000000000000000000000000000000000000000000000000000000000000000000000000000001",
     "0.1", NULL},
    /* Strings. */
    {"\"a\\u0000\\u001f\\b\\f\\n\\r\\t\\\"\\\\\\/\\u007f\"",
     "\"a\\u0000\\u001f\\b\\f\\n\\r\\t\\\"\\\\/\x7f\"", ""},
    {"\"\\u2028\\ud83d\\ude00\\u00e9\"", "\"\xe2\x80\xa8\xf0\x9f\x98\x80\xc3\xa9\"",
     "\xe2\x80\xa8\xf0\x9f\x98\x80\xc3\xa9"},
    {"{\"\\n\":\"<b>&'\"}", "{\"\\n\": \"<b>&'\"}", "{'\\n': \"<b>&'\"}"},
    {"[\"it's\",\"a\\\"b\",\"'\\\"\"]", "[\"it's\", \"a\\\"b\", \"'\\\"\"]",
     "[\"it's\", 'a\"b', '\\'\"']"},
    {"[\"\\u0000\\t\\r\\n\\\\\\u001b\\u007f\\u0080\\u00a0\\u00ad\\u0378\\u200b\\u3000\\ue000\"]",
     "", "['\\x00\\t\\r\\n\\\\\\x1b\\x7f\\x80\\xa0\\xad\\u0378\\u200b\\u3000\\ue000']"},
    {"[\"\\udb40\\udc01\\u0301\\u5929\\ud83d\\ude00\"]", "",
     "['\\U000e0001\xcc\x81\xe5\xa4\xa9\xf0\x9f\x98\x80']"},
};

static void check_rows(void)
{
    glim_arena *a = glim_arena_new(1 << 20);
    assert_non_null(a);
    for (size_t i = 0; i < GLIM_COUNT(rows); i++) {
        glim_json *v;
        glim_buf b;
        assert_int_equal(glim_json_parse(a, glim_str_of(rows[i].json), &v, NULL), GLIM_OK);
        glim_buf_init(&b, SIZE_MAX);
        assert_int_equal(glim_pyjson(&b, v), GLIM_OK);
        if (rows[i].dumps[0]) assert_string_equal(b.p, rows[i].dumps);
        glim_buf_clear(&b);
        assert_int_equal(glim_pyrepr(&b, v), GLIM_OK);
        const char *want = rows[i].str ? rows[i].str : rows[i].dumps;
        if (want[0]) assert_string_equal(b.p, want);
        glim_buf_deinit(&b);
    }
    glim_arena_free(a);
}

static void values(void **state)
{
    (void)state;
    check_rows();
}

/* A program that embeds glim may have chosen a locale with a decimal comma. */
static void comma_locale(void **state)
{
    (void)state;
    static const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "ru_RU.UTF-8"};
    bool have = false;
    for (size_t i = 0; i < GLIM_COUNT(names) && !have; i++)
        have = setlocale(LC_ALL, names[i]) != NULL;
    if (!have) skip();
    check_rows();
    setlocale(LC_ALL, "C");
}

/* Random doubles read back as themselves, and one digit less does not. */
static void shortest_digits(void **state)
{
    (void)state;
    glim_rng rng;
    glim_rng_seed(&rng, 7);
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = glim_rng_u64(&rng);
        double d, back;
        char text[40];
        glim_buf b;
        if (i % 4 == 0) bits &= (uint64_t)0x7ff << 52; /* powers of two */
        memcpy(&d, &bits, sizeof d);
        if (!(d == d) || d - d != 0) continue;
        int n = snprintf(text, sizeof text, "%.17e", d);
        glim_json v = {.type = GLIM_JSON_NUMBER, .text = {text, (size_t)n}};
        glim_buf_init(&b, SIZE_MAX);
        assert_int_equal(glim_pyjson(&b, &v), GLIM_OK);
        assert_true(glim_parse_f64(glim_buf_view(&b), &back));
        assert_memory_equal(&back, &d, sizeof d);
        glim_buf_deinit(&b);
    }
}

static void classes(void **state)
{
    (void)state;
    static const struct {
        uint32_t cp;
        glim_uniclass want;
    } some[] = {
        {0, GLIM_UNI_HIDDEN},        {0x1f, GLIM_UNI_HIDDEN},       {' ', GLIM_UNI_PRINTABLE},
        {'@', GLIM_UNI_PRINTABLE},   {'A', GLIM_UNI_LETTER},        {'Z', GLIM_UNI_LETTER},
        {'[', GLIM_UNI_PRINTABLE},   {'a', GLIM_UNI_LETTER},        {'z', GLIM_UNI_LETTER},
        {'0', GLIM_UNI_PRINTABLE},   {0x7f, GLIM_UNI_HIDDEN},       {0xa0, GLIM_UNI_HIDDEN},
        {0xaa, GLIM_UNI_LETTER},     {0xad, GLIM_UNI_HIDDEN},       {0x301, GLIM_UNI_LETTER},
        {0x378, GLIM_UNI_HIDDEN},    {0x5929, GLIM_UNI_LETTER},     {0xd800, GLIM_UNI_HIDDEN},
        {0xe000, GLIM_UNI_HIDDEN},   {0x1f600, GLIM_UNI_PRINTABLE}, {0x20000, GLIM_UNI_LETTER},
        {0x10ffff, GLIM_UNI_HIDDEN}, {0xe0100, GLIM_UNI_LETTER},
    };
    for (size_t i = 0; i < GLIM_COUNT(some); i++)
        assert_int_equal(glim_uniclass_of(some[i].cp), some[i].want);
    size_t n_space = 0;
    for (uint32_t cp = 0; cp <= 0x10ffff; cp++)
        n_space += glim_uni_space(cp);
    assert_int_equal(n_space, 29); /* as many as str.isspace() finds */
}

static void full_buffer(void **state)
{
    (void)state;
    glim_arena *a = glim_arena_new(1 << 20);
    glim_json *v;
    glim_buf b;
    assert_non_null(a);
    assert_int_equal(glim_json_parse(a, GLIM_STR("{\"key\":[1,2.5,\"text\"]}"), &v, NULL), GLIM_OK);
    for (size_t max = 0; max < 24; max++) {
        glim_buf_init(&b, max);
        assert_int_equal(glim_pyjson(&b, v), GLIM_E_LIMIT);
        assert_true(b.n <= max);
        glim_buf_deinit(&b);
    }
    glim_arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values),          cmocka_unit_test(comma_locale),
        cmocka_unit_test(shortest_digits), cmocka_unit_test(classes),
        cmocka_unit_test(full_buffer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
