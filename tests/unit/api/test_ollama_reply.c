/* SPDX-License-Identifier: MIT
 * test_ollama_reply.c - Ollama's replies: whole bodies and lines byte for byte, that lines join to
 * the body, calls, probabilities, keep-alives, and nothing in a line that ends one. */
#include "script.h"

#define CHAT (&glim_dialect_ollama_chat)
#define GENERATE (&glim_dialect_ollama_generate)
#define HEAD "{\"model\":\"glm-4.7-flash\",\"created_at\":\"2023-11-14T22:13:20.000000000Z\","
#define MESSAGE(members) HEAD "\"message\":{\"role\":\"assistant\"," members "}"
#define GOING ",\"done\":false}\n"
#define COUNTS                                                                                     \
    ",\"total_duration\":0,\"load_duration\":0,\"prompt_eval_count\":10,"                          \
    "\"prompt_eval_duration\":1500000,\"eval_count\":7,\"eval_duration\":2250000"
#define DONE(reason) ",\"done\":true,\"done_reason\":\"" reason "\"" COUNTS

static const glim_usage usage = {
    .n_prompt = 10, .n_completion = 7, .prompt_ms = 1.5, .completion_ms = 2.25};
static const int32_t prompt_ids[] = {151331, 5}, answer_ids[] = {7, 0, 151336};
static const glim_id_list prompts[] = {{prompt_ids, 2}};

static glim_event stop(glim_stop_reason why)
{
    return (glim_event){
        .kind = GLIM_EV_STOP, .reason = why, .usage = &usage, .ids = answer_ids, .n_id = 3};
}

static glim_reply_info with_ids(void)
{
    glim_reply_info info = script_info;
    info.prompt_ids = prompts;
    return info;
}

/* ---- a client -------------------------------------------------------------------------------- */

typedef struct seen {
    char text[4096], thinking[4096], calls[4096], logprobs[8192], reason[64], context[256];
    size_t n_line, n_empty;
} seen;

static void take_object(seen *s, const glim_json *v, bool chat, bool last)
{
    bool done = !last;
    const glim_json *m = glim_json_get(v, "message");
    assert_int_equal(v->type, GLIM_JSON_OBJECT);
    assert_int_equal(m != NULL, chat);
    assert_int_equal(glim_json_get(v, "response") == NULL, chat);
    assert_true(glim_json_bool(glim_json_get(v, "done"), &done));
    assert_int_equal(done, last);
    assert_true(glim_json_is(glim_json_get(v, "model"), GLIM_JSON_STRING));
    assert_true(glim_json_is(glim_json_get(v, "created_at"), GLIM_JSON_STRING));
    if (chat) assert_true(glim_str_is(glim_json_get(m, "role")->text, "assistant"));
    const glim_json *text = chat ? glim_json_get(m, "content") : glim_json_get(v, "response");
    const glim_json *from = chat ? m : v;
    assert_true(glim_json_is(text, GLIM_JSON_STRING));
    JOIN(s->text, text);
    JOIN(s->thinking, glim_json_get(from, "thinking"));
    JOIN(s->reason, glim_json_get(v, "done_reason"));
    assert_int_equal(glim_json_get(v, "done_reason") != NULL, last);
    GLIM_JSON_EACH(c, glim_json_get(from, "tool_calls"))
    {
        assert_true(glim_json_is(glim_json_path(c, "function.arguments"), GLIM_JSON_OBJECT));
        join_add(s->calls, sizeof s->calls, c->text);
    }
    GLIM_JSON_EACH(p, glim_json_get(v, "logprobs"))
    join_add(s->logprobs, sizeof s->logprobs, p->text);
    if (glim_json_get(v, "context"))
        join_add(s->context, sizeof s->context, glim_json_get(v, "context")->text);
    s->n_empty += !last && text->text.n == 0 && !glim_json_get(from, "thinking") &&
                  !glim_json_get(from, "tool_calls");
    s->n_line++;
}

/* The lines of a stream, or a whole body. */
static seen read_all(const glim_buf *b, bool chat, bool stream)
{
    seen s = {0};
    glim_str left = glim_buf_view(b);
    glim_arena *a = glim_arena_new((size_t)16 << 20);
    assert_non_null(a);
    while (left.n) {
        glim_json *v;
        glim_error e = {0};
        size_t end = stream ? glim_str_find(left, GLIM_STR("\n")) : left.n;
        assert_int_not_equal(end, SIZE_MAX);
        glim_str line = glim_str_sub(left, 0, end);
        left = glim_str_sub(left, end + stream, left.n);
        assert_int_equal(glim_str_find(line, GLIM_STR("\n")), SIZE_MAX);
        assert_int_equal(glim_str_find(line, GLIM_STR("\r")), SIZE_MAX);
        assert_int_equal(glim_str_find(line, GLIM_STR("\xC2\x85")), SIZE_MAX);
        assert_int_equal(glim_str_find(line, GLIM_STR("\xE2\x80\xA8")), SIZE_MAX);
        assert_int_equal(glim_str_find(line, GLIM_STR("\xE2\x80\xA9")), SIZE_MAX);
        if (glim_json_parse(a, line, &v, &e)) print_error("%.*s\n", GLIM_STR_ARG(line));
        assert_int_equal(e.code, GLIM_OK);
        take_object(&s, v, chat, left.n == 0);
    }
    glim_arena_free(a);
    return s;
}

static seen run(bool chat, glim_request *rq, bool stream, const glim_event *ev, size_t n)
{
    const glim_reply_info info = with_ids();
    rq->stream = stream;
    glim_buf out = script_run(chat ? CHAT : GENERATE, rq, &info, ev, n);
    seen s = read_all(&out, chat, stream);
    glim_buf_deinit(&out);
    return s;
}

static void assert_same(const seen *a, const seen *b)
{
    assert_string_equal(a->text, b->text);
    assert_string_equal(a->thinking, b->thinking);
    assert_string_equal(a->calls, b->calls);
    assert_string_equal(a->logprobs, b->logprobs);
    assert_string_equal(a->reason, b->reason);
    assert_string_equal(a->context, b->context);
}

/* ---- bytes ----------------------------------------------------------------------------------- */

static void chat(void **state)
{
    (void)state;
    const glim_event ev[] = {R("hm\n"),
                             C(""),
                             C("Hi"),
                             CALL(0, "f"),
                             ARG(0, "b", "1.50"),
                             END(0, "{\"b\":1.50,\"a\":[]}"),
                             stop(GLIM_STOP_END)};
#define A_CALL                                                                                     \
    "\"tool_calls\":[{\"id\":\"call_0123456789abcdef00000000\",\"function\":{\"index\":0,"         \
    "\"name\":\"f\",\"arguments\":{\"b\":1.50,\"a\":[]}}}]"
    glim_request rq = script_request(false);
    glim_buf out = script_run(CHAT, &rq, &script_info, ev, GLIM_COUNT(ev));
    script_check(&out,
                 MESSAGE("\"content\":\"Hi\",\"thinking\":\"hm\\n\"," A_CALL) DONE("stop") "}");
    glim_buf_deinit(&out);
    rq.stream = true;
    out = script_run(CHAT, &rq, &script_info, ev, GLIM_COUNT(ev));
    script_check(&out,
                 MESSAGE("\"content\":\"\",\"thinking\":\"hm\\n\"")
                     GOING MESSAGE("\"content\":\"Hi\"") GOING MESSAGE("\"content\":\"\"," A_CALL)
                         GOING MESSAGE("\"content\":\"\"") DONE("stop") "}\n");
    glim_buf_deinit(&out);
}

static void generate(void **state)
{
    (void)state;
    const glim_event ev[] = {R("hm"), C("Hi"), stop(GLIM_STOP_LENGTH)};
    const glim_reply_info info = with_ids();
    glim_request rq = script_request(false);
    rq.want_ids = true;
#define CONTEXT ",\"context\":[151331,5,7,0,151336]"
#define LENGTH ",\"done\":true,\"done_reason\":\"length\""
    glim_buf out = script_run(GENERATE, &rq, &info, ev, GLIM_COUNT(ev));
    script_check(&out, HEAD "\"response\":\"Hi\",\"thinking\":\"hm\"" LENGTH CONTEXT COUNTS "}");
    glim_buf_deinit(&out);
    rq.stream = true;
    out = script_run(GENERATE, &rq, &info, ev, GLIM_COUNT(ev));
    script_check(&out, HEAD "\"response\":\"\",\"thinking\":\"hm\"" GOING HEAD
                            "\"response\":\"Hi\"" GOING HEAD
                            "\"response\":\"\"" LENGTH CONTEXT COUNTS "}\n");
    glim_buf_deinit(&out);
    /* raw: no conversation that could go on */
    static const glim_raw_prompt prompt = {.text = {"p", 1}};
    rq = script_request(false);
    rq.raw = true;
    rq.prompts = &prompt;
    rq.n_prompt = 1;
    out = script_run(GENERATE, &rq, &info, ev + 1, 2);
    script_check(&out, HEAD "\"response\":\"Hi\"" LENGTH COUNTS "}");
    glim_buf_deinit(&out);
    /* an answer of nothing */
    rq = script_request(true);
    out = script_run(GENERATE, &rq, &script_info, ev + 2, 1);
    script_check(&out, HEAD "\"response\":\"\"" LENGTH COUNTS "}\n");
    glim_buf_deinit(&out);
}

static void reasons(void **state)
{
    (void)state;
    static const struct {
        glim_stop_reason why;
        const char *name;
    } cases[] = {{GLIM_STOP_END, "stop"},      {GLIM_STOP_STRING, "stop"},
                 {GLIM_STOP_LENGTH, "length"}, {GLIM_STOP_CONTEXT, "length"},
                 {GLIM_STOP_LOOP, "length"},   {GLIM_STOP_CANCEL, "stop"}};
    for (size_t i = 0; i < GLIM_COUNT(cases) * 4; i++) {
        bool is_chat = i & 1, stream = i & 2;
        const glim_event ev[] = {CALL(0, "f"), END(0, "{}"), stop(cases[i / 4].why)};
        glim_request rq = script_request(stream);
        seen s = run(is_chat, &rq, stream, ev, GLIM_COUNT(ev));
        assert_string_equal(s.reason, cases[i / 4].name);
    }
}

/* The clock runs on from the second in which the reply began. */
static void times(void **state)
{
    (void)state;
    const glim_event ev[] = {C("a"), stop(GLIM_STOP_END)};
    glim_reply_info info = script_info;
    info.t0_ns = glim_now_ns() - 3000000005u;
    glim_request rq = script_request(false);
    glim_buf out = script_run(CHAT, &rq, &info, ev, GLIM_COUNT(ev));
    glim_arena *a = glim_arena_new(1 << 20);
    glim_json *v;
    int64_t total;
    assert_int_equal(glim_json_parse(a, glim_buf_view(&out), &v, NULL), GLIM_OK);
    assert_true(glim_json_i64(glim_json_get(v, "total_duration"), &total));
    assert_true(total >= 3000000005 && total < 600000000000);
    glim_str created = glim_json_get(v, "created_at")->text;
    assert_int_equal(created.n, 30);
    assert_true(memcmp(created.p, "2023-11-14T22:13:23.000000005Z", 30) >= 0);
    glim_arena_free(a);
    glim_buf_deinit(&out);
}

/* ---- joins ----------------------------------------------------------------------------------- */

static void joins(void **state)
{
    (void)state;
#define UGLY "\"\\\n\r\t\x01\xC2\x85\xE2\x80\xA8\xE2\x80\xA9\xF0\x9F\x98\x80</think>"
    const glim_event ev[] = {
        R(UGLY),
        R("b"),
        C(UGLY),
        CALL(0, "f\xE2\x80\xA8"),
        END(0, "{\"k\xC2\x85\":\n[\"\xE2\x80\xA8\xE2\x80\xA9\",\r\n\"\xE2\x80\xA6\xC2\xA0\"]\n}"),
        CALL(1, "g"),
        BROKEN(1, "<tool_call>g\n"),
        {.kind = GLIM_EV_CALL_BROKEN, .text = {" lost", 5}, .in_reasoning = true},
        {.kind = GLIM_EV_CALL_BEGIN, .i_call = 2, .name = {"h", 1}},
        END(2, "{}"),
        C("end"),
        {.kind = GLIM_EV_PROGRESS, .n_done = 1, .n_total = 2},
        stop(GLIM_STOP_END),
        C("after the end"),
    };
    for (int is_chat = 0; is_chat < 2; is_chat++) {
        glim_request rq = script_request(false);
        rq.want_ids = true;
        seen whole = run(is_chat, &rq, false, ev, GLIM_COUNT(ev));
        seen lines = run(is_chat, &rq, true, ev, GLIM_COUNT(ev));
        assert_same(&whole, &lines);
        assert_string_equal(whole.text, UGLY "<tool_call>g\nend");
        assert_string_equal(whole.thinking, UGLY "b lost");
        assert_string_equal(
            whole.calls,
            "{\"id\":\"call_0123456789abcdef00000000\",\"function\":{\"index\":0,"
            "\"name\":\"f\\u2028\",\"arguments\":{\"k\\u0085\": [\"\\u2028\\u2029\",  "
            "\"\xE2\x80\xA6\xC2\xA0\"] }}}"
            "{\"id\":\"call_0123456789abcdef00000002\",\"function\":{\"index\":1,\"name\":\"h\","
            "\"arguments\":{}}}");
        assert_string_equal(whole.context, is_chat ? "" : "[151331,5,7,0,151336]");
        assert_int_equal(lines.n_empty, 0);
        assert_int_equal(lines.n_line, 9);
    }
}

static void keepalives(void **state)
{
    (void)state;
    const glim_event c = C("a"), last = stop(GLIM_STOP_END);
    for (int is_chat = 0; is_chat < 2; is_chat++) {
        const glim_dialect *d = is_chat ? CHAT : GENERATE;
        glim_request rq = script_request(true);
        glim_buf out;
        glim_buf_init(&out, 1 << 20);
        glim_reply *r = d->reply_new(&rq, &script_info);
        assert_non_null(r);
        assert_int_equal(d->keepalive(r, &out), GLIM_OK);
        script_check(&out,
                     is_chat ? MESSAGE("\"content\":\"\"") GOING : HEAD "\"response\":\"\"" GOING);
        assert_int_equal(d->event(r, 0, &c, &out), GLIM_OK);
        assert_int_equal(d->keepalive(r, &out), GLIM_OK);
        assert_int_equal(d->event(r, 1, &c, &out), GLIM_E_STATE);
        assert_int_equal(d->event(r, 0, &last, &out), GLIM_OK);
        assert_int_equal(d->keepalive(r, &out), GLIM_OK);
        assert_int_equal(d->end(r, &out), GLIM_OK);
        seen s = read_all(&out, is_chat, true);
        assert_int_equal(s.n_line, 5);
        assert_int_equal(s.n_empty, 3);
        assert_string_equal(s.text, "a");
        d->reply_free(r);
        glim_buf_deinit(&out);
    }
}

/* A buffer that is full in the middle of a line gets none of it. */
static void whole_lines_or_nothing(void **state)
{
    (void)state;
    const glim_event c = C("some text"), last = stop(GLIM_STOP_END);
    glim_request rq = script_request(true);
    glim_problem p;
    glim_problem_set(&p, GLIM_PROBLEM_INTERNAL, "", "the engine died");
    for (size_t max = 1; max < 400; max += 3) {
        for (int what = 0; what < 4; what++) {
            glim_buf out;
            glim_buf_init(&out, max);
            glim_reply *r = CHAT->reply_new(&rq, &script_info);
            assert_non_null(r);
            assert_int_equal(CHAT->event(r, 0, &last, &out), GLIM_OK);
            CHAT->reply_free(r);
            r = CHAT->reply_new(&rq, &script_info);
            glim_err rc = what == 0   ? CHAT->event(r, 0, &c, &out)
                          : what == 1 ? CHAT->keepalive(r, &out)
                          : what == 2 ? CHAT->end(r, &out)
                                      : CHAT->stream_problem(&p, GLIM_STR("r"), &out);
            if (rc)
                assert_int_equal(out.n, 0);
            else
                assert_true(out.n > 1 && out.p[out.n - 1] == '\n');
            assert_int_equal(rc, out.err);
            CHAT->reply_free(r);
            glim_buf_deinit(&out);
        }
    }
}

static void problems(void **state)
{
    (void)state;
    glim_problem p;
    glim_buf b;
    glim_problem_set(&p, GLIM_PROBLEM_MODEL, "model", "model 'x\xE2\x80\xA8' not found");
    for (int is_chat = 0; is_chat < 2; is_chat++) {
        const glim_dialect *d = is_chat ? CHAT : GENERATE;
        glim_buf_init(&b, 4096);
        assert_int_equal(d->status(&p), 404);
        assert_int_equal(d->problem(&p, GLIM_STR("r"), &b), GLIM_OK);
        script_check(&b, "{\"error\":\"model 'x\\u2028' not found\"}");
        glim_buf_clear(&b);
        assert_int_equal(d->stream_problem(&p, GLIM_STR("r"), &b), GLIM_OK);
        script_check(&b, "{\"error\":\"model 'x\\u2028' not found\"}\n");
        glim_buf_deinit(&b);
        assert_string_equal(d->stream_type, "application/x-ndjson");
    }
}

/* ---- probabilities --------------------------------------------------------------------------- */

static void probabilities(void **state)
{
    (void)state;
    static const glim_logprob tops[] = {{.id = 1, .logprob = -0.5f, .bytes = {"Hi", 2}},
                                        {.id = 2, .logprob = -1.25f, .bytes = {"\xE4", 1}}};
#define LP(s, p, thought)                                                                          \
    {                                                                                              \
        .kind = GLIM_EV_LOGPROBS, .in_reasoning = (thought),                                       \
        .logprobs = &(const glim_token_logprobs)                                                   \
        {                                                                                          \
            .chosen = {.id = 1, .logprob = (p), .bytes = {(s), sizeof(s) - 1}}, .top = tops,       \
            .n_top = sizeof(s) == 3 ? 2 : 0                                                        \
        }                                                                                          \
    }
    const glim_event ev[] = {
        LP("hmm", -0.125f, true),
        R("hmm"),
        LP("</think>", -0.25f, true),
        LP("Hi", -0.5f, false),
        C("Hi"),
        LP("<tool_call>", -1, false),
        CALL(0, "f"),
        END(0, "{}"),
        LP("\xE4\xBD", -1, false),
        LP("\xA0", -2, false),
        C("\xE4\xBD\xA0"),
        LP("STOP", -3, false), /* held, then cut */
        stop(GLIM_STOP_STRING),
    };
#define HMM "{\"token\":\"hmm\",\"logprob\":-0.125,\"bytes\":[104,109,109],\"top_logprobs\":[]}"
#define HI                                                                                         \
    "{\"token\":\"Hi\",\"logprob\":-0.5,\"bytes\":[72,105],\"top_logprobs\":["                     \
    "{\"token\":\"Hi\",\"logprob\":-0.5,\"bytes\":[72,105]},"                                      \
    "{\"token\":\"\xEF\xBF\xBD\",\"logprob\":-1.25,\"bytes\":[228]}]}"
    for (int is_chat = 0; is_chat < 2; is_chat++) {
        glim_request rq = script_request(false);
        rq.logprobs = true;
        seen whole = run(is_chat, &rq, false, ev, GLIM_COUNT(ev));
        seen lines = run(is_chat, &rq, true, ev, GLIM_COUNT(ev));
        assert_same(&whole, &lines);
        assert_memory_equal(whole.logprobs, HMM HI, sizeof(HMM HI) - 1);
        assert_non_null(strstr(whole.logprobs, "\"bytes\":[228,189]"));
        assert_non_null(strstr(whole.logprobs, "\"bytes\":[160]"));
        assert_null(strstr(whole.logprobs, "STOP"));
        assert_null(strstr(whole.logprobs, "tool_call"));
        rq.logprobs = false;
        whole = run(is_chat, &rq, false, ev, GLIM_COUNT(ev));
        assert_string_equal(whole.logprobs, "");
    }
    /* beside the text they belong to */
    glim_request rq = script_request(true);
    rq.logprobs = true;
    glim_buf out = script_run(GENERATE, &rq, &script_info, ev, GLIM_COUNT(ev));
    const char *want = HEAD "\"response\":\"Hi\",\"done\":false,\"logprobs\":[" HI "]}\n";
    if (!strstr(out.p, want)) print_error("%s\n", out.p);
    assert_non_null(strstr(out.p, want));
    glim_buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chat),
        cmocka_unit_test(generate),
        cmocka_unit_test(reasons),
        cmocka_unit_test(times),
        cmocka_unit_test(joins),
        cmocka_unit_test(keepalives),
        cmocka_unit_test(whole_lines_or_nothing),
        cmocka_unit_test(problems),
        cmocka_unit_test(probabilities),
    };
    return cmocka_run_group_tests_name("api/ollama_reply", tests, NULL, NULL);
}
