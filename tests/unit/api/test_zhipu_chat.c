/* SPDX-License-Identifier: MIT
 * test_zhipu_chat.c - what the Zhipu mount does differently: usage on the finish chunk, one delta a
 * call, no empty choices, and the asynchronous chat. */
#include "script.h"

#define D (&glim_dialect_zhipu_chat)
#define USAGE_JSON                                                                                 \
    "\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":7,\"total_tokens\":17,"                 \
    "\"prompt_tokens_details\":{\"cached_tokens\":4},"                                             \
    "\"completion_tokens_details\":{\"reasoning_tokens\":3}}"
#define CHUNK(choice) "data: " SCRIPT_ZHIPU("chat.completion.chunk") choice "]}\n\n"
#define DELTA(members) CHUNK("{\"index\":0,\"delta\":{" members "},\"finish_reason\":null}")

static const glim_usage usage = {
    .n_prompt = 10, .n_cached = 4, .n_completion = 7, .n_reasoning = 3};

static const glim_event events[] = {
    R("hm"),
    C("text"),
    CALL(0, "f"),
    ARG(0, "a", "1"),
    ARG(0, "b", "true"),
    END(0, "{\"a\":1,\"b\":true}"),
    STOP_AT(GLIM_STOP_END, &usage, "<|observation|>"),
};

static void whole(void **state)
{
    (void)state;
    glim_request rq = script_request(false);
    glim_buf out = script_run(D, &rq, &script_info, events, GLIM_COUNT(events));
    script_check(
        &out,
        SCRIPT_ZHIPU("chat.completion") "{\"index\":0,\"message\":{\"role\":\"assistant\","
                                        "\"content\":\"text\","
                                        "\"reasoning_content\":\"hm\",\"tool_calls\":[{\"index\":0,"
                                        "\"id\":\"call_0123456789abcdef00000000\",\"type\":"
                                        "\"function\",\"function\":{\"name\":\"f\","
                                        "\"arguments\":\"{\\\"a\\\":1,\\\"b\\\":true}\"}}]},"
                                        "\"finish_reason\":\"tool_calls\"}]," USAGE_JSON "}");
    glim_buf_deinit(&out);
}

static void stream(void **state)
{
    (void)state;
    static const char head[] =
        DELTA("\"role\":\"assistant\",\"content\":\"\",\"reasoning_content\":null")
            DELTA("\"reasoning_content\":\"hm\"")
                DELTA("\"content\":\"text\",\"reasoning_content\":null");
    static const char tail[] = "data: " SCRIPT_ZHIPU(
        "chat.completion.chunk") "{\"index\":0,\"delta\":{\"content\":\"\",\"reasoning_content\":"
                                 "null},\"finish_reason\":\"tool_calls\"}]," USAGE_JSON
                                 "}\n\ndata: [DONE]\n\n";
    static const char call[] = DELTA("\"reasoning_content\":null,\"tool_calls\":[{\"index\":0,"
                                     "\"id\":\"call_0123456789abcdef00000000\",\"type\":"
                                     "\"function\",\"function\":{\"name\":\"f\","
                                     "\"arguments\":\"{\\\"a\\\":1,\\\"b\\\":true}\"}}]");
    char want[8192];
    glim_request rq = script_request(true);
    rq.tool_stream = false;
    rq.include_usage = true; /* asks for what comes anyway, where this mount puts it */
    glim_buf out = script_run(D, &rq, &script_info, events, GLIM_COUNT(events));
    snprintf(want, sizeof want, "%s%s%s", head, call, tail);
    script_check(&out, want);
    glim_buf_deinit(&out);

    static joined j;
    rq.tool_stream = true;
    out = script_run(D, &rq, &script_info, events, GLIM_COUNT(events));
    join_stream(glim_buf_view(&out), 0, &j);
    assert_int_equal(j.n_delta_of_call, 4);
    assert_string_equal(j.calls[0].args, "{\"a\":1,\"b\":true}");
    assert_int_equal(j.n_empty, 0);
    assert_int_equal(j.n_usage, 1);
    assert_true(j.usage_on_finish && j.usage_last);
    assert_null(strstr(out.p, "\"arguments\":null"));
    assert_null(strstr(out.p, "\"choices\":[]"));
    glim_buf_deinit(&out);
}

static void context_is_full(void **state)
{
    (void)state;
    static joined j;
    static const glim_event ev[] = {C("x"), STOP(GLIM_STOP_CONTEXT, &usage)};
    glim_request rq = script_request(true);
    glim_buf out = script_run(D, &rq, &script_info, ev, GLIM_COUNT(ev));
    join_stream(glim_buf_view(&out), 0, &j);
    assert_string_equal(j.finish, "model_context_window_exceeded");
    glim_buf_deinit(&out);
}

static void asynchronous(void **state)
{
    (void)state;
    static const glim_event ev[] = {C("x"), STOP(GLIM_STOP_END, &usage)};
    glim_request rq = script_request(false);
    glim_buf chat = script_run(D, &rq, &script_info, ev, GLIM_COUNT(ev)), out;
    glim_buf_init(&out, 4096);
#define TASK(status)                                                                               \
    "{\"id\":\"0123456789abcdef01234567\",\"request_id\":\"req-7\",\"model\":\"glm-4.7-flash\","   \
    "\"task_status\":\"" status "\""
    assert_int_equal(glim_async_encode(&script_info, "PROCESSING", GLIM_STR(""), &out), GLIM_OK);
    script_check(&out, TASK("PROCESSING") "}");
    glim_buf_clear(&out);
    assert_int_equal(
        glim_async_encode(&script_info, "FAIL", GLIM_STR("{\"error\":{\"code\":\"500\"}}"), &out),
        GLIM_OK);
    script_check(&out, TASK("FAIL") ",\"error\":{\"code\":\"500\"}}");
    glim_buf_clear(&out);
    assert_int_equal(glim_async_encode(&script_info, "FAIL", GLIM_STR("odd"), &out), GLIM_OK);
    script_check(&out, TASK("FAIL") "}");
    glim_buf_clear(&out);
    assert_int_equal(glim_async_encode(&script_info, "SUCCESS", glim_buf_view(&chat), &out),
                     GLIM_OK);
    glim_arena *a = glim_arena_new(1 << 20);
    glim_json *v; /* refuses a key given twice */
    assert_int_equal(glim_json_parse(a, glim_buf_view(&out), &v, NULL), GLIM_OK);
    assert_true(glim_str_is(glim_json_get(v, "task_status")->text, "SUCCESS"));
    assert_true(glim_str_is(glim_json_get(v, "id")->text, "0123456789abcdef01234567"));
    assert_true(glim_str_is(
        glim_json_path(glim_json_at(glim_json_get(v, "choices"), 0), "message.content")->text,
        "x"));
    glim_arena_free(a);
    glim_buf_deinit(&out);
    glim_buf_deinit(&chat);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole),
        cmocka_unit_test(stream),
        cmocka_unit_test(context_is_full),
        cmocka_unit_test(asynchronous),
    };
    return cmocka_run_group_tests_name("api/zhipu_chat", tests, NULL, NULL);
}
