/* SPDX-License-Identifier: MIT
 * test_legacy.c - the FastAPI server's /chat, POST /api/npu/infer, and the bodies beside them. */
#include "objects.h"

#define CHAT (&glim_dialect_legacy_chat)
#define NPU (&glim_dialect_npu_infer)

static glim_arena *arena;
static char text[4096];

static int setup(void **state)
{
    (void)state;
    arena = glim_arena_new((size_t)64 << 20);
    return arena ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    glim_arena_free(arena);
    return 0;
}

static glim_str quoted(const char *json)
{
    snprintf(text, sizeof text, "%s", json);
    for (char *c = text; *c; c++)
        if (*c == '\'') *c = '"';
    return glim_arena_str(arena, glim_str_of(text));
}

static glim_request accept(const glim_dialect *d, const char *json)
{
    glim_request rq;
    glim_problem p = {0};
    glim_err rc = d->decode(arena, quoted(json), &rq, &p);
    if (rc) print_error("%s: %s\n", json, p.msg);
    assert_int_equal(rc, GLIM_OK);
    assert_false(rq.raw);
    return rq;
}

static void refuse(const glim_dialect *d, const char *json, const char *param, const char *begins,
                   glim_problem_kind kind)
{
    glim_request rq;
    glim_problem p = {0};
    assert_int_not_equal(d->decode(arena, quoted(json), &rq, &p), GLIM_OK);
    if (strncmp(p.msg, begins, strlen(begins)) != 0) print_error("%s: %s\n", json, p.msg);
    assert_memory_equal(p.msg, begins, strlen(begins));
    assert_string_equal(p.param, param);
    assert_int_equal(p.kind, kind);
}

static const glim_usage usage = {.n_prompt = 10, .n_completion = 7};

/* ---- /chat ----------------------------------------------------------------------------------- */

static void chat_request(void **state)
{
    (void)state;
    /* the body that the server's own document shows */
    glim_request rq =
        accept(CHAT, "{'model':'glm-4-9b-chat','stream':true,'top_p':1,'temperature':0.7,"
                     "'max_tokens':4096,'messages':[{'role':'system','content':'You are a helpful "
                     "assistant.'},{'role':'user','content':'Hello!'}]}");
    assert_true(rq.stream && glim_str_is(rq.model, "glm-4-9b-chat"));
    assert_int_equal(rq.chat.n_message, 2);
    assert_int_equal(rq.gen.n_max, 4096);
    assert_int_equal(rq.n_note + rq.n_unknown, 0);
    refuse(CHAT, "{'messages':[{'role':'user'}],'max_tokens':0}", "max_tokens", "max_tokens: 0",
           GLIM_PROBLEM_BAD);
    refuse(CHAT, "{}", "messages", "messages: missing", GLIM_PROBLEM_MISSING);
    glim_problem p;
    glim_buf b;
    glim_buf_init(&b, 4096);
    glim_problem_set(&p, GLIM_PROBLEM_CONTEXT, "messages", "too long");
    assert_int_equal(CHAT->problem(&p, GLIM_STR("r"), &b), GLIM_OK);
    assert_int_equal(CHAT->status(&p), 400);
    assert_non_null(strstr(b.p, "\"context_length_exceeded\""));
    assert_null(strstr(b.p, "detail"));
    glim_buf_deinit(&b);
}

#define CHUNK(delta, finish)                                                                       \
    "data: {\"id\":\"chatcmpl-0123456789abcdef01234567\",\"object\":\"chat.completion.chunk\","    \
    "\"created\":1700000000,\"model\":\"glm-4.7-flash\",\"choices\":[{\"index\":0,\"delta\":{"     \
    "\"function_call\":null," delta "},\"finish_reason\":" finish "}]}\n\n"

static void chat_stream(void **state)
{
    (void)state;
    const glim_event ev[] = {R("hm"), C("a"), C("\xC3\xA9"), STOP_AT(GLIM_STOP_LENGTH, &usage, "")};
    glim_request rq = script_request(true);
    glim_buf out = script_run(CHAT, &rq, &script_info, ev, GLIM_COUNT(ev));
    script_check(&out, CHUNK("\"role\":\"assistant\",\"content\":\"\",\"reasoning_content\":null",
                             "null") CHUNK("\"content\":\"\",\"reasoning_content\":\"hm\"", "null")
                           CHUNK("\"content\":\"a\",\"reasoning_content\":null", "null")
                               CHUNK("\"content\":\"\xC3\xA9\",\"reasoning_content\":null", "null")
                                   CHUNK("\"content\":\"\",\"reasoning_content\":null",
                                         "\"length\"") "data: [DONE]\n\n");
    glim_buf_deinit(&out);
}

/* The stream joins to the whole body, which is OpenAI's. */
static void chat_joins(void **state)
{
    (void)state;
    static joined parts, whole;
    const glim_event ev[] = {R("hm"),
                             C("a"),
                             CALL(0, "f"),
                             ARG(0, "k", "1"),
                             END(0, "{\"k\":1}"),
                             STOP(GLIM_STOP_END, &usage)};
    glim_request rq = script_request(true);
    glim_buf out = script_run(CHAT, &rq, &script_info, ev, GLIM_COUNT(ev));
    for (glim_str s = glim_buf_view(&out); s.n;) {
        size_t end = glim_str_find(s, GLIM_STR("\n\n"));
        glim_str frame = glim_str_sub(s, 0, end);
        s = glim_str_sub(s, end + 2, s.n);
        if (glim_str_is(frame, "data: [DONE]")) break;
        /* readers take both from every delta */
        assert_int_not_equal(glim_str_find(frame, GLIM_STR("\"content\":\"")), SIZE_MAX);
        assert_int_not_equal(glim_str_find(frame, GLIM_STR("\"function_call\":null")), SIZE_MAX);
    }
    join_stream(glim_buf_view(&out), 0, &parts);
    glim_buf_deinit(&out);
    rq.stream = false;
    out = script_run(CHAT, &rq, &script_info, ev, GLIM_COUNT(ev));
    join_body(glim_buf_view(&out), 0, &whole);
    glim_buf openai = script_run(&glim_dialect_openai_chat, &rq, &script_info, ev, GLIM_COUNT(ev));
    script_check(&out, openai.p);
    glim_buf_deinit(&openai);
    glim_buf_deinit(&out);
    assert_string_equal(parts.role, "assistant");
    assert_string_equal(parts.content, whole.content);
    assert_string_equal(parts.reasoning, whole.reasoning);
    assert_string_equal(parts.finish, "tool_calls");
    assert_string_equal(parts.finish, whole.finish);
    assert_string_equal(parts.calls[0].args, whole.calls[0].args);
    assert_string_equal(parts.calls[0].name, "f");
    assert_true(parts.done);
    assert_int_equal(parts.n_usage + parts.n_null_usage, 0);
}

/* ---- /api/npu/infer -------------------------------------------------------------------------- */

static void npu_request(void **state)
{
    (void)state;
    glim_request rq = accept(NPU, "{'prompt':'hi'}");
    assert_int_equal(rq.chat.n_message, 1);
    assert_int_equal(rq.chat.messages[0].role, GLIM_ROLE_USER);
    assert_true(glim_str_is(rq.chat.messages[0].content, "hi"));
    assert_int_equal(rq.gen.n_max, 2048);
    assert_true(rq.gen.temperature == 0.7f);
    assert_int_equal(rq.chat.think, GLIM_OFF);
    assert_int_equal(rq.n, 1);
    assert_false(rq.stream);
    rq = accept(NPU, "{'prompt':'hi','max_tokens':5,'temperature':0,'model':'m','thinking':true,"
                     "'stream':false,'system':'be brief','what':1,'ever':2}");
    assert_int_equal(rq.chat.n_message, 2);
    assert_int_equal(rq.chat.messages[0].role, GLIM_ROLE_SYSTEM);
    assert_true(glim_str_is(rq.chat.messages[0].content, "be brief"));
    assert_int_equal(rq.chat.think, GLIM_ON);
    assert_int_equal(rq.gen.n_max, 5);
    assert_true(rq.gen.temperature == 0 && glim_str_is(rq.model, "m"));
    assert_int_equal(rq.n_unknown, 2);
    rq = accept(NPU, "{'prompt':'hi','max_tokens':null,'temperature':null,'thinking':null}");
    assert_int_equal(rq.gen.n_max, 2048);
    refuse(NPU, "{}", "prompt", "prompt: missing", GLIM_PROBLEM_MISSING);
    refuse(NPU, "{'prompt':''}", "prompt", "prompt: empty", GLIM_PROBLEM_BAD);
    refuse(NPU, "{'prompt':['a']}", "prompt", "prompt: expected a string", GLIM_PROBLEM_BAD);
    refuse(NPU, "{'prompt':'a','stream':true}", "stream", "stream: only false",
           GLIM_PROBLEM_UNSUPPORTED);
    refuse(NPU, "{'prompt':'a','max_tokens':0}", "max_tokens", "max_tokens: 0", GLIM_PROBLEM_BAD);
    refuse(NPU, "{'prompt':'a','temperature':3}", "temperature", "temperature: 3",
           GLIM_PROBLEM_BAD);
    refuse(NPU, "{'prompt':'a','system':1}", "system", "system: expected", GLIM_PROBLEM_BAD);
    refuse(NPU, "[]", "", "expected a request object", GLIM_PROBLEM_BAD);
}

static void npu_reply(void **state)
{
    (void)state;
    const glim_event ev[] = {R("hm"), C("a\n"), C("b"), BROKEN(0, "<x"),
                             STOP(GLIM_STOP_END, &usage)};
    glim_request rq = accept(NPU, "{'prompt':'hi'}");
    glim_buf out = script_run(NPU, &rq, &script_info, ev, GLIM_COUNT(ev));
    script_check(&out, "{\"success\":true,\"result\":\"a\\nb<x\",\"model\":\"glm-4.7-flash\"}");
    glim_buf_deinit(&out);
    rq = accept(NPU, "{'prompt':'hi','thinking':true}");
    out = script_run(NPU, &rq, &script_info, ev, GLIM_COUNT(ev));
    script_check(&out, "{\"success\":true,\"result\":\"a\\nb<x\",\"model\":\"glm-4.7-flash\","
                       "\"reasoning\":\"hm\"}");
    glim_buf_deinit(&out);
    /* nothing was said */
    out = script_run(NPU, &rq, &script_info, &ev[4], 1);
    script_check(&out, "{\"success\":true,\"result\":\"\",\"model\":\"glm-4.7-flash\"}");
    glim_buf_deinit(&out);
    glim_problem p;
    glim_buf_init(&out, 4096);
    glim_problem_set(&p, GLIM_PROBLEM_BAD, "prompt", "prompt: empty");
    assert_int_equal(NPU->problem(&p, GLIM_STR("r"), &out), GLIM_OK);
    script_check(&out, "{\"success\":false,\"detail\":\"prompt: empty\"}");
    assert_int_equal(NPU->status(&p), 400);
    glim_buf_deinit(&out);
}

/* ---- beside them ----------------------------------------------------------------------------- */

static void models(void **state)
{
    (void)state;
    static const glim_model_facts facts = {
        .path = {"/m/x.gguf", 9}, .temperature = 1, .top_p = 0.95f, .min_p = NAN, .top_k = 0};
    glim_api_model m[] = {{.id = {"a", 1}, .created_s = 1702538805},
                          {.id = {"b", 1}, .kind = GLIM_API_EMBEDDING, .facts = &facts},
                          {.id = {"c", 1}, .kind = GLIM_API_RERANK}};
    glim_buf out;
    glim_buf_init(&out, 4096);
#define LEGACY(id, object, created)                                                                \
    "{\"id\":\"" id "\",\"object\":\"" object "\",\"created\":" created ","                        \
    "\"owned_by\":\"owner\",\"root\":null,\"parent\":null,\"permission\":null}"
    assert_int_equal(glim_legacy_models_encode(m, 3, &out), GLIM_OK);
    script_check(
        &out,
        "{\"object\":\"list\",\"data\":[" LEGACY("a", "chat.completion", "1702538805") "," LEGACY(
            "b", "embedding", "0") "," LEGACY("c", "rerank", "0") "]}");
    glim_buf_clear(&out);
    assert_int_equal(glim_legacy_models_encode(m, 0, &out), GLIM_OK);
    script_check(&out, "{\"object\":\"list\",\"data\":[]}");
    glim_buf_clear(&out);
#define INFO(path, generates, preferred)                                                           \
    "{\"model_path\":\"" path "\",\"tokenizer_path\":\"" path "\",\"is_generation\":" generates    \
    ","                                                                                            \
    "\"preferred_sampling_params\":" preferred ",\"weight_version\":\"default\","                  \
    "\"has_image_understanding\":false,\"has_audio_understanding\":false}"
    assert_int_equal(glim_sglang_model_info_encode(&m[0], &out), GLIM_OK);
    script_check(&out, INFO("a", "true", "null"));
    glim_buf_clear(&out);
    m[0].facts = &facts;
    assert_int_equal(glim_sglang_model_info_encode(&m[0], &out), GLIM_OK);
    script_check(&out,
                 INFO("/m/x.gguf", "true", "{\"temperature\":1,\"top_p\":0.95,\"top_k\":-1}"));
    glim_buf_clear(&out);
    assert_int_equal(glim_sglang_model_info_encode(&m[1], &out), GLIM_OK);
    script_check(&out, INFO("/m/x.gguf", "false", "null")); /* samples nothing */
    glim_buf_deinit(&out);
}

static void embeddings(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        bool llama;
    } cases[] = {{"{'content':'a'}", true},
                 {"{'input':['a']}", true},
                 {"{'model':'m','prompt':['a']}", false},
                 {"{'content':'a','prompt':['a']}", false},
                 {"{'content':null}", false},
                 {"{}", false},
                 {"['content']", false},
                 {"{'content':", false}};
    for (size_t i = 0; i < GLIM_COUNT(cases); i++)
        assert_int_equal(glim_embedding_is_llama(arena, quoted(cases[i].json)), cases[i].llama);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chat_request), cmocka_unit_test(chat_stream), cmocka_unit_test(chat_joins),
        cmocka_unit_test(npu_request),  cmocka_unit_test(npu_reply),   cmocka_unit_test(models),
        cmocka_unit_test(embeddings),
    };
    return cmocka_run_group_tests_name("api/legacy", tests, setup, teardown);
}
