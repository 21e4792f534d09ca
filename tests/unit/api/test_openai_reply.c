/* SPDX-License-Identifier: MIT
 * test_openai_reply.c - scripted events to OpenAI's chat replies: exact bytes, and streams joined
 * as clients join them. */
#include "script.h"

#include "failnth.h"

#define D (&glim_dialect_openai_chat)
#define USAGE_JSON                                                                                 \
    "\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":7,\"total_tokens\":17,"                 \
    "\"prompt_tokens_details\":{\"cached_tokens\":4},"                                             \
    "\"completion_tokens_details\":{\"reasoning_tokens\":3},\"reasoning_tokens\":3}"
#define CHUNK(choice) "data: " SCRIPT_HEAD("chatcmpl-", "chat.completion.chunk") choice "]}\n\n"
#define CHUNK_NO_USAGE(choice)                                                                     \
    "data: " SCRIPT_HEAD("chatcmpl-", "chat.completion.chunk") choice "],\"usage\":null}\n\n"
#define GOING ",\"logprobs\":null,\"finish_reason\":null}"
#define ROLE                                                                                       \
    "{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\",\"reasoning_content\":"       \
    "null}" GOING

static const glim_usage usage = {
    .n_prompt = 10, .n_cached = 4, .n_completion = 7, .n_reasoning = 3};

static const glim_event answer[] = {
    {.kind = GLIM_EV_PROGRESS, .n_done = 5, .n_total = 10},
    R("hm\n"),
    R("so"),
    C("a\"b"),
    C("\xE2\x80\xA8\xF0\x9F\x98\x80"),
    STOP_AT(GLIM_STOP_END, &usage, "<|user|>"),
};

static void whole(void **state)
{
    (void)state;
    glim_request rq = script_request(false);
    glim_buf out = script_run(D, &rq, &script_info, answer, GLIM_COUNT(answer));
    script_check(&out,
                 SCRIPT_HEAD("chatcmpl-",
                             "chat.completion") "{\"index\":0,\"message\":{\"role\":\"assistant\","
                                                "\"content\":\"a\\\"b\\u2028\xF0\x9F\x98\x80\","
                                                "\"refusal\":null,\"reasoning_content\":"
                                                "\"hm\\nso\"},\"logprobs\":null,"
                                                "\"finish_reason\":\"stop\",\"matched_stop\":\"<|"
                                                "user|>\"}]," USAGE_JSON "}");
    glim_buf_deinit(&out);
}

/* clang-format off: a chunk a line */
static const char stream_want[] = CHUNK(ROLE) CHUNK(
    "{\"index\":0,\"delta\":{\"reasoning_content\":\"hm\\n\"}" GOING)
    CHUNK("{\"index\":0,\"delta\":{\"reasoning_content\":\"so\"}" GOING) CHUNK(
        "{\"index\":0,\"delta\":{\"content\":\"a\\\"b\",\"reasoning_content\":null}" GOING)
        CHUNK("{\"index\":0,\"delta\":{\"content\":\"\\u2028"
              "\xF0\x9F\x98\x80\","
              "\"reasoning_content\":null}" GOING)
            CHUNK("{\"index\":0,\"delta\":{\"reasoning_content\":null},\"logprobs\":null,"
                  "\"finish_reason\":\"stop\",\"matched_stop\":\"<|user|>\"}") "data: [DONE]\n\n";
/* clang-format on */

static void stream(void **state)
{
    (void)state;
    glim_request rq = script_request(true);
    glim_buf out = script_run(D, &rq, &script_info, answer, GLIM_COUNT(answer));
    script_check(&out, stream_want);
    glim_buf_deinit(&out);
}

static const glim_event with_calls[] = {
    R("think"),
    C("text"),
    CALL(0, "f"),
    ARG(0, "a", "1"),
    ARG(0, "b\"", "\"x\\ny\""),
    END(0, "{\"a\":1,\"b\\\"\":\"x\\ny\"}"),
    CALL(1, "g"),
    END(1, "{}"),
    STOP_AT(GLIM_STOP_END, &usage, "<|observation|>"),
};

/* clang-format off: a chunk a line */
#define TOOL(x)                                                                                    \
    CHUNK_NO_USAGE("{\"index\":0,\"delta\":{\"reasoning_content\":null,\"tool_calls\":[" x         \
                   "]}" GOING)
static const char calls_want[] =
    CHUNK_NO_USAGE(ROLE)
        TOOL("{\"index\":0,\"id\":\"call_0123456789abcdef00000000\",\"type\":\"function\","
             "\"function\":{\"name\":\"f\",\"arguments\":\"\"}}")
            TOOL("{\"index\":0,\"function\":{\"arguments\":\"{\\\"a\\\":1\"}}")
                TOOL("{\"index\":0,\"function\":{\"arguments\":\",\\\"b\\\\\\\"\\\":"
                     "\\\"x\\\\ny\\\"\"}}")
                    TOOL("{\"index\":0,\"function\":{\"arguments\":\"}\"}}")
                        TOOL("{\"index\":1,\"id\":\"call_0123456789abcdef00000001\",\"type\":"
                             "\"function\","
                             "\"function\":{\"name\":\"g\",\"arguments\":\"\"}}")
                            TOOL("{\"index\":1,\"function\":{\"arguments\":\"{}\"}}")
                                CHUNK_NO_USAGE("{\"index\":0,\"delta\":{\"reasoning_content\":null}"
                                               ",\"logprobs\":null,"
                                               "\"finish_reason\":\"tool_calls\",\"matched_stop\":"
                                               "null}") "data: " SCRIPT_HEAD("chatcmpl-",
                                                                             "chat.completion."
                                                                             "chunk") "]"
                                                                                      "," USAGE_JSON
                                                                                      "}\n\n"
                                                                                      "data: "
                                                                                      "[DONE]\n\n";
/* clang-format on */

static void calls(void **state)
{
    (void)state;
    glim_request rq = script_request(true);
    rq.include_usage = true;
    glim_buf out = script_run(D, &rq, &script_info, with_calls + 2, GLIM_COUNT(with_calls) - 2);
    script_check(&out, calls_want);
    glim_buf_deinit(&out);

    rq = script_request(false);
    out = script_run(D, &rq, &script_info, with_calls + 2, GLIM_COUNT(with_calls) - 2);
    script_check(
        &out,
        SCRIPT_HEAD("chatcmpl-",
                    "chat.completion") "{\"index\":0,\"message\":{\"role\":\"assistant\","
                                       "\"content\":null,\"refusal\":null,"
                                       "\"reasoning_content\":null,\"tool_calls\":["
                                       "{\"index\":0,\"id\":\"call_0123456789abcdef00000000\","
                                       "\"type\":\"function\",\"function\":"
                                       "{\"name\":\"f\",\"arguments\":\"{\\\"a\\\":1,"
                                       "\\\"b\\\\\\\"\\\":\\\"x\\\\ny\\\"}\"}},"
                                       "{\"index\":1,\"id\":\"call_0123456789abcdef00000001\","
                                       "\"type\":\"function\",\"function\":"
                                       "{\"name\":\"g\",\"arguments\":\"{}\"}}]},\"logprobs\":null,"
                                       "\"finish_reason\":\"tool_calls\",\"matched_stop\":null}]"
                                       "," USAGE_JSON "}");
    glim_buf_deinit(&out);
}

/* ---- what a stream joins to is what a whole body says ---------------------------------------- */

static void compare(const glim_dialect *d, glim_request rq, const glim_event *ev, size_t n)
{
    static joined a, b;
    rq.stream = false;
    glim_buf body = script_run(d, &rq, &script_info, ev, n);
    join_body(glim_buf_view(&body), 0, &a);
    rq.stream = true;
    glim_buf chunks = script_run(d, &rq, &script_info, ev, n);
    join_stream(glim_buf_view(&chunks), 0, &b);
    assert_string_equal(b.role, "assistant");
    assert_string_equal(a.content, b.content);
    assert_string_equal(a.reasoning, b.reasoning);
    assert_string_equal(a.finish, b.finish);
    assert_int_equal(a.n_call, b.n_call);
    for (size_t i = 0; i < a.n_call; i++) {
        assert_string_equal(a.calls[i].id, b.calls[i].id);
        assert_string_equal(a.calls[i].name, b.calls[i].name);
        assert_string_equal(a.calls[i].args, b.calls[i].args);
        assert_int_equal(b.calls[i].n_id, 1);
    }
    assert_int_equal(b.n_finish, 1);
    assert_true(b.done);
    glim_buf_deinit(&body);
    glim_buf_deinit(&chunks);
}

static void joins(void **state)
{
    (void)state;
    const glim_dialect *const both[] = {D, &glim_dialect_zhipu_chat};
    for (unsigned bits = 0; bits < 32; bits++) {
        glim_request rq = script_request(false);
        rq.inline_reasoning = bits & 1;
        rq.hold_reasoning = bits & 2;
        rq.tool_stream = bits & 4;
        rq.include_usage = bits & 8;
        const glim_dialect *d = both[bits >> 4];
        compare(d, rq, answer, GLIM_COUNT(answer));
        compare(d, rq, with_calls, GLIM_COUNT(with_calls));
        for (size_t n = 1; n < GLIM_COUNT(with_calls); n++) { /* ended after any event */
            glim_event ev[GLIM_COUNT(with_calls)];
            bool inside = n > 2 && n < 6;
            memcpy(ev, with_calls, sizeof ev);
            ev[n] = (glim_event)STOP(GLIM_STOP_LENGTH, &usage);
            if (!inside && n != 7) compare(d, rq, ev, n + 1);
        }
    }
}

static void usage_chunks(void **state)
{
    (void)state;
    static joined j;
    struct {
        bool include, continuous, zhipu_sdk;
        size_t n_usage, n_null, n_empty;
        bool last, on_finish;
    } cases[] = {
        {false, false, false, 0, 0, 0, false, false}, {true, false, false, 1, 6, 1, true, false},
        {true, true, false, 2, 5, 1, true, true},     {false, false, true, 1, 0, 0, true, true},
        {true, false, true, 1, 0, 0, true, true},
    };
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        glim_request rq = script_request(true);
        glim_reply_info info = script_info;
        rq.include_usage = cases[i].include;
        rq.continuous_usage = cases[i].continuous;
        info.zhipu_usage = cases[i].zhipu_sdk;
        glim_buf out = script_run(D, &rq, &info, answer, GLIM_COUNT(answer));
        join_stream(glim_buf_view(&out), 0, &j);
        assert_int_equal(j.n_usage, cases[i].n_usage);
        assert_int_equal(j.n_null_usage, cases[i].n_null);
        assert_int_equal(j.n_empty, cases[i].n_empty);
        assert_int_equal(j.usage_last, cases[i].last);
        assert_int_equal(j.usage_on_finish, cases[i].on_finish);
        if (j.n_usage) assert_int_equal(j.n_completion, 7);
        glim_buf_deinit(&out);
    }
}

static void inline_thought(void **state)
{
    (void)state;
    static joined j;
    static const glim_event cut[] = {R("half a th"), STOP(GLIM_STOP_LENGTH, &usage)};
    glim_request rq = script_request(true);
    rq.inline_reasoning = true;
    glim_buf out = script_run(D, &rq, &script_info, answer, GLIM_COUNT(answer));
    join_stream(glim_buf_view(&out), 0, &j);
    assert_string_equal(j.content, "<think>hm\nso</think>a\"b\xE2\x80\xA8\xF0\x9F\x98\x80");
    assert_string_equal(j.reasoning, "");
    glim_buf_deinit(&out);
    out = script_run(D, &rq, &script_info, cut, GLIM_COUNT(cut));
    join_stream(glim_buf_view(&out), 0, &j);
    assert_string_equal(j.content, "<think>half a th");
    assert_string_equal(j.finish, "length");
    glim_buf_deinit(&out);
    rq.inline_reasoning = false;
    rq.hold_reasoning = true;
    out = script_run(D, &rq, &script_info, answer, GLIM_COUNT(answer));
    /* one delta, before the answer */
    assert_non_null(strstr(out.p, "\"reasoning_content\":\"hm\\nso\""));
    assert_true(strstr(out.p, "hm\\nso") < strstr(out.p, "a\\\"b"));
    glim_buf_deinit(&out);
    out = script_run(D, &rq, &script_info, cut, GLIM_COUNT(cut));
    assert_non_null(strstr(out.p, "\"reasoning_content\":\"half a th\""));
    glim_buf_deinit(&out);
}

static void broken_calls(void **state)
{
    (void)state;
    static joined j;
    static const glim_event ev[] = {
        C("so: "),
        CALL(0, "f"),
        ARG(0, "a", "1"),
        BROKEN(0, "<tool_call>f<arg_key>a</arg_key><arg_value>1</arg_value><arg_key>"),
        STOP(GLIM_STOP_LENGTH, &usage),
    };
    static const char raw[] =
        "so: <tool_call>f<arg_key>a</arg_key><arg_value>1</arg_value><arg_key>";
    glim_request rq = script_request(true);
    glim_buf out = script_run(D, &rq, &script_info, ev, GLIM_COUNT(ev));
    join_stream(glim_buf_view(&out), 0, &j);
    assert_string_equal(j.content, "so: ");
    assert_int_equal(j.n_call, 1);
    assert_string_equal(j.calls[0].args, "{\"a\":1"); /* never closed */
    assert_string_equal(j.finish, "length");
    glim_buf_deinit(&out);
    rq.tool_stream = false; /* never announced: text */
    out = script_run(&glim_dialect_zhipu_chat, &rq, &script_info, ev, GLIM_COUNT(ev));
    join_stream(glim_buf_view(&out), 0, &j);
    assert_string_equal(j.content, raw);
    assert_int_equal(j.n_call, 0);
    glim_buf_deinit(&out);
    rq.stream = false;
    out = script_run(D, &rq, &script_info, ev, GLIM_COUNT(ev));
    join_body(glim_buf_view(&out), 0, &j);
    assert_string_equal(j.content, raw);
    assert_string_equal(j.finish, "length");
    glim_buf_deinit(&out);
    /* a malformed call behind a whole one: still no tool_calls; and the next one has an index of
     * its own */
    static const glim_event later[] = {
        CALL(0, "f"),
        END(0, "{}"),
        CALL(1, "g"),
        BROKEN(1, "<tool_call>g<arg_key>x"),
        C("!"),
        CALL(2, "h"),
        ARG(2, "k", "[]"),
        END(2, "{\"k\":[]}"),
        STOP(GLIM_STOP_END, &usage),
    };
    for (int streaming = 0; streaming < 2; streaming++) {
        rq = script_request(streaming);
        out = script_run(D, &rq, &script_info, later, GLIM_COUNT(later));
        (streaming ? join_stream : join_body)(glim_buf_view(&out), 0, &j);
        assert_string_equal(j.finish, "stop");
        assert_int_equal(j.n_call, streaming ? 3 : 2);
        assert_string_equal(j.calls[streaming ? 2 : 1].name, "h");
        assert_string_equal(j.calls[streaming ? 2 : 1].args, "{\"k\":[]}");
        glim_buf_deinit(&out);
    }
}

/* A model that gives a key twice: what is streamed stays an object that a strict reader takes. */
static void repeated_keys(void **state)
{
    (void)state;
    static joined j;
    static const struct {
        glim_event ev[7];
        const char *want;
    } cases[] = {
        {{CALL(0, "f"), ARG(0, "a", "1"), ARG(0, "a", "1"), ARG(0, "b", "2"),
          END(0, "{\"a\":1,\"b\":2}"), STOP(GLIM_STOP_END, &usage)},
         "{\"a\":1,\"b\":2}"},
        {{CALL(0, "f"), ARG(0, "a", "1"), ARG(0, "b", "2"), ARG(0, "a", "3"),
          END(0, "{\"a\":3,\"b\":2}"), STOP(GLIM_STOP_END, &usage)},
         "{\"a\":1,\"b\":2}"},
        {{CALL(0, "f"), ARG(0, "a", "1"), ARG(0, "ab", "2"), ARG(0, "a\"", "3"),
          END(0, "{\"a\":1,\"ab\":2,\"a\\\"\":3}"), STOP(GLIM_STOP_END, &usage)},
         "{\"a\":1,\"ab\":2,\"a\\\"\":3}"},
    };
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        glim_request rq = script_request(true);
        glim_buf out = script_run(D, &rq, &script_info, cases[i].ev, 6);
        join_stream(glim_buf_view(&out), 0, &j);
        assert_string_equal(j.calls[0].args, cases[i].want);
        glim_buf_deinit(&out);
    }
}

static void reasons(void **state)
{
    (void)state;
    static const struct {
        glim_stop_reason why;
        bool called;
        const char *openai, *zhipu;
    } cases[] = {
        {GLIM_STOP_END, false, "stop", "stop"},
        {GLIM_STOP_END, true, "tool_calls", "tool_calls"},
        {GLIM_STOP_STRING, false, "stop", "stop"},
        {GLIM_STOP_LENGTH, false, "length", "length"},
        {GLIM_STOP_LENGTH, true, "length", "length"},
        {GLIM_STOP_LOOP, false, "length", "length"},
        {GLIM_STOP_CONTEXT, false, "length", "model_context_window_exceeded"},
        {GLIM_STOP_CANCEL, true, "stop", "stop"},
    };
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        assert_string_equal(glim_finish_name(cases[i].why, cases[i].called, false),
                            cases[i].openai);
        assert_string_equal(glim_finish_name(cases[i].why, cases[i].called, true), cases[i].zhipu);
    }
    static const struct {
        glim_event stop;
        const char *has;
    } ends[] = {
        {STOP_AT(GLIM_STOP_STRING, &usage, "END"),
         "\"finish_reason\":\"stop\",\"matched_stop\":\"END\"}"},
        {STOP_AT(GLIM_STOP_LENGTH, &usage, ""),
         "\"finish_reason\":\"length\",\"matched_stop\":null}"},
        {STOP_AT(GLIM_STOP_LOOP, &usage, ""),
         "\"finish_reason\":\"length\",\"matched_stop\":null,\"stop_reason\":\"loop\"}"},
    };
    for (size_t i = 0; i < GLIM_COUNT(ends); i++) {
        for (int streaming = 0; streaming < 2; streaming++) {
            glim_request rq = script_request(streaming);
            glim_buf out = script_run(D, &rq, &script_info, &ends[i].stop, 1);
            assert_non_null(strstr(out.p, ends[i].has));
            glim_buf_deinit(&out);
        }
    }
}

static void several(void **state)
{
    (void)state;
    static joined j;
    const glim_event c1 = C("one"), c0 = C("zero"), stop = STOP(GLIM_STOP_END, &usage);
    for (int zhipu = 0; zhipu < 2; zhipu++) {
        for (int streaming = 0; streaming < 2; streaming++) {
            const glim_dialect *d = zhipu ? &glim_dialect_zhipu_chat : D;
            glim_request rq = script_request(streaming);
            rq.n = 3;
            rq.include_usage = true;
            glim_buf out;
            glim_buf_init(&out, 1 << 20);
            glim_reply *r = d->reply_new(&rq, &script_info);
            assert_int_equal(d->event(r, 1, &c1, &out), GLIM_OK); /* not the first to speak */
            assert_int_equal(d->event(r, 1, &stop, &out), GLIM_OK);
            assert_int_equal(d->event(r, 1, &c1, &out), GLIM_OK); /* too late, and harmless */
            assert_int_equal(d->event(r, 0, &c0, &out), GLIM_OK);
            assert_int_equal(d->event(r, 2, &stop, &out), GLIM_OK);
            assert_int_equal(d->event(r, 3, &stop, &out), GLIM_E_STATE);
            assert_int_equal(d->event(r, 0, &stop, &out), GLIM_OK);
            assert_int_equal(d->end(r, &out), GLIM_OK);
            static const char *const want[] = {"zero", "one", ""};
            for (int64_t i = 0; i < 3; i++) {
                (streaming ? join_stream : join_body)(glim_buf_view(&out), i, &j);
                assert_string_equal(j.role, "assistant");
                assert_string_equal(j.content, want[i]);
                assert_string_equal(j.finish, "stop");
                assert_int_equal(j.n_prompt, 10); /* shared: counted once */
                assert_int_equal(j.n_completion, 21);
                if (streaming) assert_int_equal(j.n_usage, 1);
                if (streaming && zhipu) assert_int_equal(j.n_empty, 0);
            }
            d->reply_free(r);
            glim_buf_deinit(&out);
        }
    }
}

/* ---- probabilities --------------------------------------------------------------------------- */

#define LP(s, p, thought)                                                                          \
    {                                                                                              \
        .kind = GLIM_EV_LOGPROBS, .in_reasoning = (thought),                                       \
        .logprobs = &(const glim_token_logprobs)                                                   \
        {                                                                                          \
            .chosen = {.id = 1, .logprob = (p), .bytes = {(s), sizeof(s) - 1}}, .top = tops,       \
            .n_top = 2                                                                             \
        }                                                                                          \
    }

static void probabilities(void **state)
{
    (void)state;
    static const glim_logprob tops[] = {{.id = 1, .logprob = -0.5f, .bytes = {"a", 1}},
                                        {.id = 2, .logprob = -1.25f, .bytes = {"\xE4", 1}}};
    const glim_event ev[] = {
        LP("hm", -0.125f, true),
        R("hm"),
        LP("</think>", -0.25f, true),
        LP("\n", -0.25f, false),
        LP("Hi", -0.5f, false),
        C("Hi"),
        LP("\xE4\xBD", -1, false),
        LP("\xA0", -2, false),
        C("\xE4\xBD\xA0"),
        LP("ST", -3, false), /* held, then the stop string is whole */
        LP("OP", -3, false),
        STOP_AT(GLIM_STOP_STRING, &usage, "STOP"),
    };
    static const char content[] =
        "{\"token\":\"Hi\",\"logprob\":-0.5,\"bytes\":[72,105],\"top_logprobs\":["
        "{\"token\":\"a\",\"logprob\":-0.5,\"bytes\":[97]},"
        "{\"token\":\"\xEF\xBF\xBD\",\"logprob\":-1.25,\"bytes\":[228]}]}";
    glim_request rq = script_request(false);
    rq.logprobs = true;
    glim_buf out = script_run(D, &rq, &script_info, ev, GLIM_COUNT(ev));
    assert_non_null(strstr(out.p, content));
    assert_non_null(strstr(out.p, "\"bytes\":[228,189]"));
    assert_non_null(strstr(out.p, "\"bytes\":[160]"));
    assert_non_null(strstr(out.p, "\"reasoning_content\":[{\"token\":\"hm\",\"logprob\":-0.125"));
    assert_null(strstr(out.p, "</think>"));
    assert_null(strstr(out.p, "\"token\":\"ST\""));
    assert_null(strstr(out.p, "\"token\":\"\\n\""));
    glim_arena *a = glim_arena_new(1 << 20);
    glim_json *v;
    assert_int_equal(glim_json_parse(a, glim_buf_view(&out), &v, NULL), GLIM_OK);
    glim_arena_free(a);
    glim_buf_deinit(&out);

    rq.stream = true;
    out = script_run(D, &rq, &script_info, ev, GLIM_COUNT(ev));
    static joined j;
    join_stream(glim_buf_view(&out), 0, &j);
    assert_string_equal(j.content, "Hi\xE4\xBD\xA0");
    char want[1024];
    snprintf(want, sizeof want,
             "{\"index\":0,\"delta\":{\"content\":\"Hi\",\"reasoning_content\":null},\"logprobs\":{"
             "\"content\":[%s],\"refusal\":null},\"finish_reason\":null}",
             content);
    assert_non_null(strstr(out.p, want));
    assert_non_null(strstr(out.p, "{\"content\":[],\"refusal\":null,\"reasoning_content\":[{"));
    glim_buf_deinit(&out);
}

/* ---- faults ---------------------------------------------------------------------------------- */

static void no_memory(void **state)
{
    (void)state;
    for (int streaming = 0; streaming < 2; streaming++) {
        glim_request rq = script_request(streaming);
        rq.hold_reasoning = rq.logprobs = true;
        glim_err rc = GLIM_E_NOMEM;
        int i = 0;
        for (; rc && i < 500; i++) {
            fail_nth hook;
            glim_buf out;
            glim_buf_init(&out, 1 << 20);
            fail_nth_begin(&hook, i);
            glim_reply *r = D->reply_new(&rq, &script_info);
            rc = r ? GLIM_OK : GLIM_E_NOMEM;
            for (size_t k = 0; k < GLIM_COUNT(with_calls) && !rc; k++) {
                size_t before = out.n;
                rc = D->event(r, 0, &with_calls[k], &out);
                if (rc) assert_int_equal(out.n, before); /* no half of a frame */
            }
            if (!rc) rc = D->end(r, &out);
            fail_nth_end();
            assert_true(rc == GLIM_OK || rc == GLIM_E_NOMEM);
            D->reply_free(r);
            glim_buf_deinit(&out);
        }
        assert_int_equal(rc, GLIM_OK);
        assert_true(i > 5);
    }
    /* a body that is full says so */
    glim_buf out;
    glim_buf_init(&out, 100);
    glim_request rq = script_request(true);
    glim_reply *r = D->reply_new(&rq, &script_info);
    assert_int_equal(D->event(r, 0, &answer[1], &out), GLIM_E_LIMIT);
    assert_int_equal(out.n, 0);
    D->reply_free(r);
    glim_buf_deinit(&out);
}

/* Once the buffers have their size, a token costs no allocation. */
static void no_allocation(void **state)
{
    (void)state;
    const glim_event ev = C("some text of a token");
    glim_request rq = script_request(true);
    glim_buf out;
    glim_buf_init(&out, 1 << 20);
    glim_reply *r = D->reply_new(&rq, &script_info);
    uint64_t before = 0;
    for (int i = 0; i < 100; i++) {
        if (i == 2) before = glim_alloc_count();
        glim_buf_clear(&out);
        assert_int_equal(D->event(r, 0, &ev, &out), GLIM_OK);
    }
    assert_int_equal(glim_alloc_count(), before);
    D->reply_free(r);
    glim_buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole),         cmocka_unit_test(stream),
        cmocka_unit_test(calls),         cmocka_unit_test(joins),
        cmocka_unit_test(usage_chunks),  cmocka_unit_test(inline_thought),
        cmocka_unit_test(broken_calls),  cmocka_unit_test(repeated_keys),
        cmocka_unit_test(reasons),       cmocka_unit_test(several),
        cmocka_unit_test(probabilities), cmocka_unit_test(no_memory),
        cmocka_unit_test(no_allocation),
    };
    return cmocka_run_group_tests_name("api/openai_reply", tests, NULL, NULL);
}
