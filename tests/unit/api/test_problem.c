/* SPDX-License-Identifier: MIT
 * test_problem.c - errors to problems, and problems to the error bodies of three dialects. */
#include "script.h"

static void from_errors(void **state)
{
    (void)state;
    static const struct {
        glim_err code;
        const char *msg;
        glim_problem_kind kind;
        int status;
        const char *param;
        bool retry;
    } cases[] = {
        {GLIM_E_INPUT, "temperature: 3 is above 2", GLIM_PROBLEM_BAD, 400, "temperature", false},
        {GLIM_E_INPUT, "messages[2].content: expected a string", GLIM_PROBLEM_BAD, 400,
         "messages[2].content", false},
        {GLIM_E_INPUT, "messages: missing; send a list", GLIM_PROBLEM_MISSING, 400, "messages",
         false},
        {GLIM_E_INPUT, "functions: given beside tools", GLIM_PROBLEM_EXCLUSIVE, 400, "functions",
         false},
        {GLIM_E_INPUT, "at byte 3: odd", GLIM_PROBLEM_BAD, 400, "", false},
        {GLIM_E_INPUT, "", GLIM_PROBLEM_BAD, 400, "", false},
        {GLIM_E_LIMIT, "too deep", GLIM_PROBLEM_BAD, 400, "", false},
        {GLIM_E_UNSUPPORTED, "regex: not supported", GLIM_PROBLEM_UNSUPPORTED, 400, "regex", false},
        {GLIM_E_CONTEXT, "the prompt has 5 tokens: shorten it", GLIM_PROBLEM_CONTEXT, 400,
         "messages", false},
        {GLIM_E_NOTFOUND, "x", GLIM_PROBLEM_NOT_FOUND, 404, "", false},
        {GLIM_E_STATE, "x", GLIM_PROBLEM_CONFLICT, 409, "", false},
        {GLIM_E_FULL, "x", GLIM_PROBLEM_BUSY, 429, "", true},
        {GLIM_E_NOMEM, "x", GLIM_PROBLEM_MEMORY, 503, "", true},
        {GLIM_E_CANCELLED, "x", GLIM_PROBLEM_DRAINING, 503, "", true},
        {GLIM_E_IO, "x", GLIM_PROBLEM_INTERNAL, 500, "", true},
        {GLIM_E_INTERNAL, "x", GLIM_PROBLEM_INTERNAL, 500, "", true},
    };
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        glim_error e = {.code = cases[i].code};
        glim_problem p;
        snprintf(e.msg, sizeof e.msg, "%s", cases[i].msg);
        glim_problem_from(&e, &p);
        assert_int_equal(p.kind, cases[i].kind);
        assert_int_equal(glim_problem_status(&p), cases[i].status);
        assert_string_equal(p.param, cases[i].param);
        assert_int_equal(glim_problem_retry(&p), cases[i].retry);
        assert_true(p.msg[0]);
        bool waits = p.kind == GLIM_PROBLEM_BUSY || p.kind == GLIM_PROBLEM_MEMORY ||
                     p.kind == GLIM_PROBLEM_DRAINING;
        assert_int_equal(p.retry_after_s, waits);
    }
    /* a path longer than the field, and a message of the greatest length */
    glim_error e = {.code = GLIM_E_INPUT};
    glim_problem p;
    memset(e.msg, 'a', sizeof e.msg - 1);
    memcpy(e.msg + 200, ": x", 3);
    glim_problem_from(&e, &p);
    assert_string_equal(p.param, "");
    assert_int_equal(strlen(p.msg), sizeof e.msg - 1);
}

static void bodies(void **state)
{
    (void)state;
    static const struct {
        glim_problem_kind kind;
        const char *param;
        const char *openai, *zhipu, *llama;
        int status, status_zhipu;
    } cases[] = {
        {GLIM_PROBLEM_BAD, "temperature",
         "{\"error\":{\"message\":\"no \\\"x\\\"\",\"type\":\"invalid_request_error\",\"param\":"
         "\"temperature\",\"code\":null}}",
         "{\"error\":{\"code\":\"1214\",\"message\":\"no \\\"x\\\"\"},\"request_id\":\"r\"}",
         "{\"error\":{\"code\":400,\"message\":\"no "
         "\\\"x\\\"\",\"type\":\"invalid_request_error\"}}",
         400, 400},
        {GLIM_PROBLEM_MODEL, "model",
         "{\"error\":{\"message\":\"no \\\"x\\\"\",\"type\":\"invalid_request_error\",\"param\":"
         "\"model\",\"code\":\"model_not_found\"}}",
         "{\"error\":{\"code\":\"1211\",\"message\":\"no \\\"x\\\"\"},\"request_id\":\"r\"}",
         "{\"error\":{\"code\":404,\"message\":\"no \\\"x\\\"\",\"type\":\"not_found_error\"}}",
         404, 400},
        {GLIM_PROBLEM_NO_PATH, "",
         "{\"error\":{\"message\":\"no \\\"x\\\"\",\"type\":\"not_found_error\",\"param\":null,"
         "\"code\":\"unsupported_endpoint\"}}",
         "{\"error\":{\"code\":\"1222\",\"message\":\"no \\\"x\\\"\"},\"request_id\":\"r\"}",
         "{\"error\":{\"code\":404,\"message\":\"no \\\"x\\\"\",\"type\":\"not_found_error\"}}",
         404, 404},
        {GLIM_PROBLEM_CONTEXT, "messages",
         "{\"error\":{\"message\":\"no \\\"x\\\"\",\"type\":\"invalid_request_error\",\"param\":"
         "\"messages\",\"code\":\"context_length_exceeded\"}}",
         "{\"error\":{\"code\":\"1261\",\"message\":\"no \\\"x\\\"\"},\"request_id\":\"r\"}",
         "{\"error\":{\"code\":400,\"message\":\"no "
         "\\\"x\\\"\",\"type\":\"exceed_context_size_error\","
         "\"n_prompt_tokens\":9,\"n_ctx\":8}}",
         400, 400},
        {GLIM_PROBLEM_LOADING, "",
         "{\"error\":{\"message\":\"no \\\"x\\\"\",\"type\":\"server_error\",\"param\":null,"
         "\"code\":\"loading\"}}",
         "{\"error\":{\"code\":\"1305\",\"message\":\"no \\\"x\\\"\"},\"request_id\":\"r\"}",
         "{\"error\":{\"code\":503,\"message\":\"no \\\"x\\\"\",\"type\":\"unavailable_error\"}}",
         503, 503},
    };
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        glim_problem p;
        glim_buf b;
        glim_buf_init(&b, 4096);
        glim_problem_set(&p, cases[i].kind, cases[i].param, "no %s", "\"x\"");
        p.n_prompt = 9;
        p.n_ctx = 8;
        assert_int_equal(glim_problem_status(&p), cases[i].status);
        assert_int_equal(glim_problem_status_zhipu(&p), cases[i].status_zhipu);
        assert_int_equal(glim_dialect_zhipu_chat.status(&p), cases[i].status_zhipu);
        assert_int_equal(glim_problem_openai(&p, GLIM_STR("r"), &b), GLIM_OK);
        script_check(&b, cases[i].openai);
        glim_buf_clear(&b);
        assert_int_equal(glim_problem_zhipu(&p, GLIM_STR("r"), &b), GLIM_OK);
        script_check(&b, cases[i].zhipu);
        glim_buf_clear(&b);
        assert_int_equal(glim_problem_llama(&p, GLIM_STR("r"), &b), GLIM_OK);
        script_check(&b, cases[i].llama);
        glim_buf_deinit(&b);
    }
    glim_problem p;
    glim_buf b;
    glim_buf_init(&b, 4096);
    glim_problem_set(&p, GLIM_PROBLEM_INTERNAL, NULL, "the engine\nfailed");
    const glim_dialect *d = &glim_dialect_openai_chat;
    assert_int_equal(d->stream_problem(&p, GLIM_STR("r"), &b), GLIM_OK);
    script_check(&b, "event: error\ndata: {\"error\":{\"message\":\"the engine\\nfailed\",\"type\":"
                     "\"server_error\",\"param\":null,\"code\":null}}\n\n");
    glim_buf_clear(&b);
    assert_int_equal(glim_dialect_zhipu_chat.stream_problem(&p, GLIM_STR("r"), &b), GLIM_OK);
    script_check(
        &b, "event: error\ndata: {\"error\":{\"code\":\"500\",\"message\":\"the engine\\nfailed\"},"
            "\"request_id\":\"r\"}\n\n");
    /* every row has what a body needs, also where nobody wrote a message */
    for (int k = 0; k < GLIM_PROBLEM_COUNT; k++) {
        glim_problem_set(&p, (glim_problem_kind)k, "", "%s", "");
        glim_buf_clear(&b);
        assert_int_equal(glim_problem_openai(&p, GLIM_STR("r"), &b), GLIM_OK);
        assert_null(strstr(b.p, "\"message\":\"\""));
        assert_null(strstr(b.p, "\"type\":null"));
        int status = glim_problem_status(&p);
        assert_true(status >= 400 && status < 600);
        assert_int_equal(p.retry_after_s > 0,
                         status == 429 || (status == 503 && k != GLIM_PROBLEM_NO_ROOM));
    }
    glim_buf_deinit(&b);
    glim_buf_init(&b, 10);
    assert_int_equal(glim_problem_openai(&p, GLIM_STR("r"), &b), GLIM_E_LIMIT);
    glim_buf_deinit(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(from_errors),
        cmocka_unit_test(bodies),
    };
    return cmocka_run_group_tests_name("api/problem", tests, NULL, NULL);
}
