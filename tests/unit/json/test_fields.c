/* SPDX-License-Identifier: MIT
 * test_fields.c - the table reader: types, ranges, second names, messages. */
#include "json/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

typedef struct target {
    glim_str model;
    bool stream, has_stream;
    int64_t n_max;
    float temperature;
    const glim_json *any;
    size_t n_stop;
} target;

static glim_err parse_stop(glim_arena *a, const glim_json *v, void *dst, glim_error *e)
{
    (void)a;
    if (!glim_json_is(v, GLIM_JSON_ARRAY))
        return glim_fail_off(e, GLIM_E_INPUT, v->offset, "expected a list");
    if (v->n_child == 0) return glim_fail_off(e, GLIM_E_INPUT, v->offset, "stop[0]: missing");
    *(size_t *)dst = v->n_child;
    return GLIM_OK;
}

static const glim_field fields[] = {
    {.name = "model",
     .type = GLIM_FIELD_STR,
     .offset = offsetof(target, model),
     .offset_has = SIZE_MAX,
     .required = true},
    {.name = "stream",
     .type = GLIM_FIELD_BOOL,
     .offset = offsetof(target, stream),
     .offset_has = offsetof(target, has_stream)},
    {.name = "n_max",
     .also = "max_tokens",
     .type = GLIM_FIELD_I64,
     .offset = offsetof(target, n_max),
     .offset_has = SIZE_MAX,
     .min = 1,
     .max = 1e6},
    {.name = "temperature",
     .type = GLIM_FIELD_F32,
     .offset = offsetof(target, temperature),
     .offset_has = SIZE_MAX,
     .min = 0,
     .max = 2},
    {.name = "any",
     .type = GLIM_FIELD_JSON,
     .offset = offsetof(target, any),
     .offset_has = SIZE_MAX},
    {.name = "stop",
     .type = GLIM_FIELD_SUB,
     .offset = offsetof(target, n_stop),
     .offset_has = SIZE_MAX,
     .parse = parse_stop},
    {.name = "voice", .offset_has = SIZE_MAX, .unsupported = "send text only"},
};

static glim_err read_fields(glim_arena *a, const char *src, target *t, size_t *n_unknown,
                            glim_error *e)
{
    glim_json *v;
    assert_int_equal(glim_json_parse(a, glim_str_of(src), &v, e), GLIM_OK);
    *t = (target){.n_max = -1, .temperature = 0.5f};
    return glim_fields_read(a, v, fields, GLIM_COUNT(fields), t, n_unknown, e);
}

static void reads(void **state)
{
    (void)state;
    glim_arena *a = glim_arena_new(1 << 20);
    glim_error e = {0};
    target t;
    size_t n = 99;
    const char *all = "{\"x\":1,\"model\":\"m\",\"stream\":true,\"max_tokens\":7.0,"
                      "\"temperature\":2,\"any\":[0],\"stop\":[1,2],\"y\":null,\"voice\":null}";
    assert_int_equal(read_fields(a, all, &t, &n, &e), GLIM_OK);
    assert_true(glim_str_is(t.model, "m"));
    assert_true(t.stream && t.has_stream);
    assert_int_equal(t.n_max, 7);
    assert_true(t.temperature == 2.0f);
    assert_int_equal(t.any->n_child, 1);
    assert_int_equal(t.n_stop, 2);
    assert_int_equal(n, 2);

    assert_int_equal(read_fields(a,
                                 "{\"model\":\"\",\"stream\":null,\"n_max\":null,"
                                 "\"max_tokens\":3}",
                                 &t, NULL, &e),
                     GLIM_OK);
    assert_false(t.has_stream);
    assert_int_equal(t.n_max, 3);
    assert_true(t.temperature == 0.5f);
    assert_int_equal(read_fields(a, "{\"model\":\"\",\"max_tokens\":3,\"n_max\":4}", &t, NULL, &e),
                     GLIM_OK);
    assert_int_equal(t.n_max, 4);
    glim_arena_free(a);
}

static void refusals(void **state)
{
    (void)state;
    static const struct {
        const char *src;
        glim_err rc;
        const char *msg;
    } cases[] = {
        {"[]", GLIM_E_INPUT, "expected an object, found an array"},
        {"{}", GLIM_E_INPUT, "model: missing"},
        {"{\"model\":null}", GLIM_E_INPUT, "model: missing"},
        {"{\"model\":1}", GLIM_E_INPUT, "model: expected a string, found a number"},
        {"{\"model\":\"\",\"stream\":1}", GLIM_E_INPUT,
         "stream: expected true or false, found a number"},
        {"{\"model\":\"\",\"max_tokens\":\"1\"}", GLIM_E_INPUT,
         "max_tokens: expected an integer, found a string"},
        {"{\"model\":\"\",\"max_tokens\":1.5}", GLIM_E_INPUT,
         "max_tokens: 1.5 is no integer of 64 bits"},
        {"{\"model\":\"\",\"n_max\":0}", GLIM_E_INPUT, "n_max: 0 is below 1"},
        {"{\"model\":\"\",\"n_max\":1000001}", GLIM_E_INPUT, "n_max: 1000001 is above 1000000"},
        {"{\"model\":\"\",\"temperature\":3}", GLIM_E_INPUT, "temperature: 3 is above 2"},
        {"{\"model\":\"\",\"temperature\":-0.1}", GLIM_E_INPUT, "temperature: -0.1 is below 0"},
        {"{\"model\":\"\",\"temperature\":1e99}", GLIM_E_INPUT, "temperature: 1e99 is too large"},
        {"{\"model\":\"\",\"temperature\":[]}", GLIM_E_INPUT,
         "temperature: expected a number, found an array"},
        {"{\"model\":\"\",\"stop\":{}}", GLIM_E_INPUT, "stop: expected a list"},
        {"{\"model\":\"\",\"stop\":[]}", GLIM_E_INPUT, "stop[0]: missing"},
        {"{\"model\":\"\",\"voice\":0}", GLIM_E_UNSUPPORTED,
         "voice: not supported; send text only"},
    };
    glim_arena *a = glim_arena_new(1 << 20);
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        glim_error e = {0};
        target t;
        assert_int_equal(read_fields(a, cases[i].src, &t, NULL, &e), cases[i].rc);
        assert_string_equal(e.msg, cases[i].msg);
        assert_int_equal(read_fields(a, cases[i].src, &t, NULL, NULL), cases[i].rc);
    }
    glim_arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests_name("json/fields", tests, NULL, NULL);
}
