/* SPDX-License-Identifier: MIT
 * test_remote.c - what servers say went wrong: every shape, what is none, texts made safe, and the
 * error bodies of our own dialects. */
#include "script.h"

typedef struct row {
    const char *body;
    bool is;
    const char *code, *message, *request_id;
} row;

static const row rows[] = {
    /* Zhipu, OpenAI and their kin */
    {"{\"error\":{\"code\":\"1214\",\"message\":\"bad\"},\"request_id\":\"r1\"}", true, "1214",
     "bad", "r1"},
    {"{\"error\":{\"message\":\"m\",\"type\":\"invalid_request_error\",\"param\":null,\"code\":"
     "null}}",
     true, "invalid_request_error", "m", ""},
    {"{\"error\":{\"message\":\"m\",\"type\":\"t\",\"code\":\"model_not_found\"}}", true,
     "model_not_found", "m", ""},
    {"{\"error\":{\"code\":503,\"message\":\"Loading model\",\"type\":\"unavailable_error\"}}",
     true, "503", "Loading model", ""},
    {"{\"error\":{\"msg\":\"m\",\"request_id\":\"in\"},\"request_id\":\"out\",\"code\":7}", true,
     "7", "m", "in"},
    {"{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}",
     true, "overloaded_error", "Overloaded", ""},
    {"{\"error\":{\"code\":\"1302\"}}", true, "1302", "{\"code\":\"1302\"}", ""},
    {"{\"error\":{\"message\":7,\"code\":[1]}}", true, "", "7", ""},
    {"{\"id\":\"x\",\"choices\":[],\"error\":{\"code\":\"1\",\"message\":\"m\"}}", true, "1", "m",
     ""},
    /* Ollama */
    {"{\"error\":\"model 'x' not found\"}", true, "", "model 'x' not found", ""},
    {"{\"error\":\"Not Found\",\"status\":404,\"message\":\"no route\",\"path\":\"/x\"}", true,
     "404", "no route", ""},
    {"{\"error\":\"invalid_key\",\"message\":\"no such key\"}", true, "invalid_key", "no such key",
     ""},
    {"{\"error\":true,\"message\":\"m\",\"code\":9}", true, "9", "m", ""},
    {"{\"error\":[\"a\"]}", true, "", "[\"a\"]", ""},
    /* flat */
    {"{\"code\":500,\"msg\":\"404 NOT_FOUND\",\"success\":false}", true, "500", "404 NOT_FOUND",
     ""},
    {"{\"code\":\"1001\",\"message\":\"no head\"}", true, "1001", "no head", ""},
    {"{\"object\":\"error\",\"message\":\"m\",\"type\":\"BadRequestError\",\"param\":null,\"code\":"
     "400}",
     true, "400", "m", ""},
    {"{\"object\":\"error\"}", true, "", "{\"object\":\"error\"}", ""},
    {"{\"message\":\"no Route matched\"}", true, "", "no Route matched", ""},
    /* FastAPI */
    {"{\"detail\":\"Not Found\"}", true, "", "Not Found", ""},
    {"{\"detail\":[{\"loc\":[\"body\",\"messages\",0],\"msg\":\"field required\",\"type\":\"x\"}]}",
     true, "", "body.messages.0: field required", ""},
    {"{\"detail\":[{\"msg\":\"field required\"}]}", true, "", "field required", ""},
    {"{\"detail\":[1]}", true, "", "[1]", ""},
    {"{\"detail\":{\"message\":\"m\"}}", true, "", "m", ""},
    {"{\"detail\":{\"a\":1}}", true, "", "{\"a\":1}", ""},
    {"{\"success\":false,\"detail\":\"npu\"}", true, "", "npu", ""},
    /* nothing of the kind */
    {"", false, "", "", ""},
    {"<html>", false, "", "", ""},
    {"[]", false, "", "", ""},
    {"null", false, "", "", ""},
    {"\"error\"", false, "", "", ""},
    {"{}", false, "", "", ""},
    {"{\"error\":null}", false, "", "", ""},
    {"{\"error\":\"\"}", false, "", "", ""},
    {"{\"error\":{}}", false, "", "", ""},
    {"{\"error\":0}", false, "", "", ""},
    {"{\"error\":false,\"choices\":[]}", false, "", "", ""},
    {"{\"choices\":[{}],\"message\":\"x\"}", false, "", "", ""},
    {"{\"message\":{\"role\":\"assistant\"},\"detail\":\"x\"}", false, "", "", ""},
    {"{\"code\":200,\"msg\":\"ok\",\"data\":[]}", false, "", "", ""},
    {"{\"code\":\"0\",\"msg\":\"ok\"}", false, "", "", ""},
    {"{\"success\":true,\"msg\":\"ok\"}", false, "", "", ""},
    {"{\"code\":500}", false, "", "", ""},
    {"{\"detail\":[]}", false, "", "", ""},
    {"{\"error\":{\"message\":\"cut", false, "", "", ""},
    /* texts */
    {"{\"error\":\"a\\nb\\u001b[31m\\u0007\\u202e\\u2028\\u0085z\"}", true, "", "a b?[31m????z",
     ""},
    {"{\"error\":{\"code\":\"\\u0000x\",\"message\":\"\\u00e9\\ud83d\\ude00\"}}", true, "?x",
     "\xC3\xA9\xF0\x9F\x98\x80", ""},
};

static void shapes(void **state)
{
    (void)state;
    for (size_t i = 0; i < GLIM_COUNT(rows); i++) {
        glim_remote r;
        memset(&r, 0x55, sizeof r);
        bool is = glim_remote_read(glim_str_of(rows[i].body), &r);
        if (is != rows[i].is || strcmp(r.message, rows[i].message) != 0)
            print_error("%s: %d %s\n", rows[i].body, is, r.message);
        assert_int_equal(is, rows[i].is);
        assert_string_equal(r.code, rows[i].code);
        assert_string_equal(r.message, rows[i].message);
        assert_string_equal(r.request_id, rows[i].request_id);
    }
}

/* Characters of every length at every distance from the end of the room. */
static void long_texts(void **state)
{
    (void)state;
    static const char *const units[] = {"x", "\xC3\xA9", "\xE4\xBD\xA0", "\xF0\x9F\x98\x80"};
    for (size_t u = 0; u < GLIM_COUNT(units); u++) {
        for (size_t before = 0; before < 5; before++) {
            for (size_t n = 90; n < 420; n++) {
                glim_buf b;
                glim_remote r;
                glim_buf_init(&b, 1 << 20);
                glim_buf_adds(&b, "{\"error\":\"");
                for (size_t i = 0; i < before; i++)
                    glim_buf_addc(&b, 'a');
                for (size_t i = 0; i < n; i++)
                    glim_buf_adds(&b, units[u]);
                glim_buf_adds(&b, "\"}");
                assert_int_equal(b.err, GLIM_OK);
                assert_true(glim_remote_read(glim_buf_view(&b), &r));
                size_t total = before + n * strlen(units[u]), len = strlen(r.message);
                assert_true(glim_utf8_valid(glim_str_of(r.message), NULL));
                assert_int_equal(memcmp(r.message, b.p + 10, len - 3), 0);
                if (total < sizeof r.message) {
                    assert_int_equal(len, total);
                } else {
                    assert_true(len + 4 >= sizeof r.message - 4);
                    assert_string_equal(r.message + len - 3, "...");
                }
                glim_buf_deinit(&b);
            }
        }
    }
}

static void long_detail(void **state)
{
    (void)state;
    glim_buf b;
    glim_remote r;
    glim_buf_init(&b, 1 << 20);
    glim_buf_adds(&b, "{\"detail\":[{\"loc\":[");
    for (size_t i = 0; i < 500; i++)
        glim_buf_addf(&b, "%s\"a-rather-long-name-%zu\"", i ? "," : "", i);
    glim_buf_adds(&b, "],\"msg\":\"");
    for (size_t i = 0; i < 500; i++)
        glim_buf_adds(&b, "word ");
    glim_buf_adds(&b, "\"}]}");
    assert_true(glim_remote_read(glim_buf_view(&b), &r));
    assert_true(strlen(r.message) < sizeof r.message);
    assert_int_equal(strncmp(r.message, "a-rather-long-name-0.a-rather", 29), 0);
    glim_buf_deinit(&b);
}

/* What our own server says is understood by our own client. */
static void own_shapes(void **state)
{
    (void)state;
    static const glim_problem_fn fns[] = {glim_problem_openai, glim_problem_zhipu,
                                          glim_problem_llama, glim_problem_ollama,
                                          glim_problem_npu};
    for (size_t i = 0; i < GLIM_COUNT(fns); i++) {
        for (int k = 0; k < GLIM_PROBLEM_COUNT; k++) {
            glim_problem p;
            glim_remote r;
            glim_buf b;
            glim_buf_init(&b, 1 << 16);
            glim_problem_set(&p, (glim_problem_kind)k, "messages", "what, where, cure");
            assert_int_equal(fns[i](&p, GLIM_STR("req-1"), &b), GLIM_OK);
            assert_true(glim_remote_read(glim_buf_view(&b), &r));
            assert_string_equal(r.message, "what, where, cure");
            if (fns[i] == glim_problem_zhipu) {
                assert_string_equal(r.request_id, "req-1");
                assert_true(r.code[0] != '\0');
            }
            glim_buf_deinit(&b);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes),
        cmocka_unit_test(long_texts),
        cmocka_unit_test(long_detail),
        cmocka_unit_test(own_shapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
