/* SPDX-License-Identifier: MIT
 * test_completions.c - /v1/completions: forms of a prompt, refusals by name, replies whole and in
 * chunks. */
#include "script.h"

#define D (&glim_dialect_openai_completions)
#define USAGE_JSON                                                                                 \
    "\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":7,\"total_tokens\":17,"                 \
    "\"prompt_tokens_details\":{\"cached_tokens\":0},"                                             \
    "\"completion_tokens_details\":{\"reasoning_tokens\":0},\"reasoning_tokens\":0}"

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

static glim_err decode(const char *json, glim_request *rq, glim_problem *p)
{
    snprintf(text, sizeof text, "%s", json);
    for (char *c = text; *c; c++)
        if (*c == '\'') *c = '"';
    return D->decode(arena, glim_str_of(text), rq, p);
}

static glim_request accept(const char *json)
{
    glim_request rq;
    glim_problem p = {0};
    glim_err rc = decode(json, &rq, &p);
    if (rc) print_error("%s: %s\n", json, p.msg);
    assert_int_equal(rc, GLIM_OK);
    assert_true(rq.raw);
    return rq;
}

static void prompts(void **state)
{
    (void)state;
    static const struct {
        const char *json, *prompts; /* ids as <1 2> */
    } cases[] = {
        {"{'prompt':'a b'}", "'a b'"},
        {"{'prompt':['a','b']}", "'a''b'"},
        {"{'prompt':[1,2,3]}", "<1 2 3 >"},
        {"{'prompt':[[1],[2,3]]}", "<1 ><2 3 >"},
        {"{'prompt':['\\u00e9']}", "'\xC3\xA9'"},
    };
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        char got[256] = "";
        glim_request rq = accept(cases[i].json);
        for (size_t k = 0; k < rq.n_prompt; k++) {
            const glim_raw_prompt *pr = &rq.prompts[k];
            size_t at = strlen(got);
            at += (size_t)snprintf(got + at, sizeof got - at, pr->text.p ? "'%.*s'" : "<",
                                   GLIM_STR_ARG(pr->text));
            for (size_t m = 0; m < pr->n_id; m++)
                at += (size_t)snprintf(got + at, sizeof got - at, "%d ", (int)pr->ids[m]);
            if (!pr->text.p) snprintf(got + at, sizeof got - at, ">");
        }
        assert_string_equal(got, cases[i].prompts);
    }
}

static void fields(void **state)
{
    (void)state;
    glim_request rq = accept("{'prompt':'a'}");
    assert_int_equal(rq.gen.n_max, 16);
    assert_int_equal(rq.n, 1);
    assert_false(rq.stream || rq.echo || rq.logprobs);
    assert_int_equal(rq.gen.n_logprob, -1);
    rq = accept("{'model':'m','prompt':'a','max_tokens':5,'temperature':0.5,'top_p':0.5,'stop':'x',"
                "'seed':1,'presence_penalty':1,'logit_bias':{'1':1},'user':'u','n':4,'stream':true,"
                "'stream_options':{'include_usage':true},'logprobs':0,'best_of':1,'suffix':'',"
                "'echo':false}");
    assert_int_equal(rq.gen.n_max, 5);
    assert_int_equal(rq.gen.n_logprob, 0);
    assert_true(rq.logprobs && rq.stream && rq.include_usage);
    assert_int_equal(rq.n, 4);
    assert_int_equal(rq.gen.n_stop, 1);
    assert_int_equal(rq.gen.n_bias, 1);
    assert_int_equal(rq.n_unknown, 0);
    assert_true(accept("{'prompt':'a','echo':true,'logprobs':null}").echo);
    assert_int_equal(accept("{'prompt':'a','logprobs':5}").gen.n_logprob, 5);
    assert_int_equal(accept("{'prompt':'a','max_tokens':null,'suffix':null}").gen.n_max, 16);
    rq = accept("{'prompt':'a','thinking':{'type':'enabled'}}");
    assert_int_equal(rq.n_note, 1);
}

static void refusals(void **state)
{
    (void)state;
    static const struct {
        const char *json, *param, *begins;
        glim_problem_kind kind;
    } cases[] = {
        {"{}", "prompt", "prompt: missing", GLIM_PROBLEM_MISSING},
        {"{'prompt':null}", "prompt", "prompt: missing", GLIM_PROBLEM_MISSING},
        {"{'prompt':''}", "prompt", "prompt: empty", GLIM_PROBLEM_BAD},
        {"{'prompt':[]}", "prompt", "prompt: empty", GLIM_PROBLEM_BAD},
        {"{'prompt':['a','']}", "prompt[1]", "prompt[1]: empty", GLIM_PROBLEM_BAD},
        {"{'prompt':[[]]}", "prompt[0]", "prompt[0]: empty", GLIM_PROBLEM_BAD},
        {"{'prompt':{}}", "prompt", "prompt: expected a string or", GLIM_PROBLEM_BAD},
        {"{'prompt':[1,'a']}", "prompt[1]", "prompt[1]: expected a token id", GLIM_PROBLEM_BAD},
        {"{'prompt':['a',[1]]}", "prompt[1]", "prompt[1]: strings and lists", GLIM_PROBLEM_BAD},
        {"{'prompt':['a',1]}", "prompt[1]", "prompt[1]: expected a string or", GLIM_PROBLEM_BAD},
        {"{'prompt':[-1]}", "prompt[0]", "prompt[0]: -1 is no token id", GLIM_PROBLEM_BAD},
        {"{'prompt':'a','max_tokens':0}", "max_tokens", "max_tokens: 0 is below", GLIM_PROBLEM_BAD},
        {"{'prompt':'a','logprobs':6}", "logprobs", "logprobs: 6 is above 5", GLIM_PROBLEM_BAD},
        {"{'prompt':'a','logprobs':true}", "logprobs", "logprobs: expected an", GLIM_PROBLEM_BAD},
        {"{'prompt':'a','echo':true,'logprobs':1}", "echo", "echo: not supported beside",
         GLIM_PROBLEM_UNSUPPORTED},
        {"{'prompt':'a','best_of':2}", "best_of", "best_of: only 1", GLIM_PROBLEM_UNSUPPORTED},
        {"{'prompt':'a','suffix':'b'}", "suffix", "suffix: not supported",
         GLIM_PROBLEM_UNSUPPORTED},
        {"{'prompt':'a','regex':'b'}", "regex", "regex: not supported", GLIM_PROBLEM_UNSUPPORTED},
        {"{'prompt':'a','response_format':{'type':'json_object'}}", "response_format.type",
         "response_format.type: ", GLIM_PROBLEM_UNSUPPORTED},
        {"[]", "", "expected a request object", GLIM_PROBLEM_BAD},
        {"{'prompt':'a'}x", "", "at byte", GLIM_PROBLEM_BAD},
        {"{'prompt':'a','prompt':'b'}", "prompt", "prompt: ", GLIM_PROBLEM_BAD},
    };
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        glim_request rq;
        glim_problem p = {0};
        assert_int_not_equal(decode(cases[i].json, &rq, &p), GLIM_OK);
        if (strncmp(p.msg, cases[i].begins, strlen(cases[i].begins)) != 0 ||
            p.kind != cases[i].kind)
            print_error("%s: %s\n", cases[i].json, p.msg);
        assert_memory_equal(p.msg, cases[i].begins, strlen(cases[i].begins));
        assert_int_equal(p.kind, cases[i].kind);
        assert_string_equal(p.param, cases[i].param);
    }
    /* prompts times choices have a limit */
    glim_buf b;
    glim_request rq;
    glim_problem p;
    for (int n = 16; n <= 17; n++) {
        glim_buf_init(&b, 1 << 20);
        glim_buf_addf(&b, "{\"n\":128,\"prompt\":[");
        for (int i = 0; i < n; i++)
            glim_buf_adds(&b, i ? ",\"a\"" : "\"a\"");
        glim_buf_adds(&b, "]}");
        assert_int_equal(D->decode(arena, glim_buf_view(&b), &rq, &p),
                         n == 16 ? GLIM_OK : GLIM_E_INPUT);
        glim_buf_deinit(&b);
    }
}

/* ---- replies --------------------------------------------------------------------------------- */

static const glim_usage usage = {.n_prompt = 10, .n_completion = 7};
static const glim_event events[] = {C("a\n"), C("b"), STOP_AT(GLIM_STOP_LENGTH, &usage, "")};

static glim_request raw_request(bool stream, const glim_raw_prompt *prompts_, size_t n)
{
    glim_request rq = script_request(stream);
    rq.raw = true;
    rq.prompts = prompts_;
    rq.n_prompt = n;
    return rq;
}

static const glim_raw_prompt one[] = {{.text = {"p ", 2}}},
                         two[] = {{.text = {"p", 1}}, {.text = {"q", 1}}};

static void replies(void **state)
{
    (void)state;
    glim_request rq = raw_request(false, one, 1);
    glim_buf out = script_run(D, &rq, &script_info, events, GLIM_COUNT(events));
    script_check(
        &out,
        SCRIPT_HEAD("cmpl-", "text_completion") "{\"index\":0,\"text\":\"a\\nb\",\"logprobs\":null,"
                                                "\"finish_reason\":\"length\","
                                                "\"matched_stop\":null}]," USAGE_JSON "}");
    glim_buf_deinit(&out);
    rq = raw_request(true, one, 1);
    rq.include_usage = rq.echo = true;
    out = script_run(D, &rq, &script_info, events, GLIM_COUNT(events));
#define CHUNK(choice)                                                                              \
    "data: " SCRIPT_HEAD("cmpl-", "text_completion") choice "],\"usage\":null}\n\n"
#define TEXT(s) CHUNK("{\"index\":0,\"text\":\"" s "\",\"logprobs\":null,\"finish_reason\":null}")
    script_check(
        &out,
        TEXT("p ") TEXT("a\\n") TEXT("b") CHUNK(
            "{\"index\":0,\"text\":\"\",\"logprobs\":null,\"finish_reason\":\"length\","
            "\"matched_stop\":null}") "data: " SCRIPT_HEAD("cmpl-",
                                                           "text_completion") "]," USAGE_JSON
                                                                              "}\n\n"
                                                                              "data: [DONE]\n\n");
    glim_buf_deinit(&out);
}

/* Choice i*n+j belongs to prompt i. */
static void batches(void **state)
{
    (void)state;
    static joined j;
    for (int streaming = 0; streaming < 2; streaming++) {
        glim_request rq = raw_request(streaming, two, 2);
        rq.n = 2;
        rq.echo = rq.include_usage = true;
        glim_buf out;
        glim_buf_init(&out, 1 << 20);
        glim_reply *r = D->reply_new(&rq, &script_info);
        for (size_t i = 0; i < 4; i++) {
            char mark[2] = {(char)('0' + i), 0};
            const glim_event c = {.kind = GLIM_EV_CONTENT, .text = {mark, 1}};
            assert_int_equal(D->event(r, i, &c, &out), GLIM_OK);
            assert_int_equal(D->event(r, i, &events[2], &out), GLIM_OK);
        }
        assert_int_equal(D->event(r, 4, &events[2], &out), GLIM_E_STATE);
        assert_int_equal(D->end(r, &out), GLIM_OK);
        static const char *const want[] = {"p0", "p1", "q2", "q3"};
        for (int64_t i = 0; i < 4; i++) {
            (streaming ? join_stream : join_body)(glim_buf_view(&out), i, &j);
            assert_string_equal(j.text, want[i]);
            assert_string_equal(j.finish, "length");
            assert_int_equal(j.n_prompt, 20);
            assert_int_equal(j.n_completion, 28);
        }
        D->reply_free(r);
        glim_buf_deinit(&out);
    }
    /* ids are echoed as the text that the server says they are */
    static const int32_t ids[] = {1, 2};
    static const glim_raw_prompt by_id[] = {{.ids = ids, .n_id = 2}};
    static const glim_str texts[] = {{"one two", 7}};
    glim_request rq = raw_request(false, by_id, 1);
    glim_reply_info info = script_info;
    rq.echo = true;
    info.prompt_texts = texts;
    glim_buf out = script_run(D, &rq, &info, events, GLIM_COUNT(events));
    join_body(glim_buf_view(&out), 0, &j);
    assert_string_equal(j.text, "one twoa\nb");
    glim_buf_deinit(&out);
}

static void probabilities(void **state)
{
    (void)state;
    static const glim_logprob tops[] = {{.logprob = -0.5f, .bytes = {"\xC3", 1}},
                                        {.logprob = -1, .bytes = {"\xA9", 1}}};
#define LP(s, p, n)                                                                                \
    {                                                                                              \
        .kind = GLIM_EV_LOGPROBS, .logprobs = &(const glim_token_logprobs)                         \
        {                                                                                          \
            .chosen = {.logprob = (p), .bytes = {(s), sizeof(s) - 1}}, .top = tops, .n_top = (n)   \
        }                                                                                          \
    }
    const glim_event ev[] = {
        LP("\xC3", -0.5f, 2),        LP("\xA9", -0.25f, 0), C("\xC3\xA9"), LP("b", -3, 0), C("b"),
        STOP(GLIM_STOP_END, &usage),
    };
    static const char want[] =
        "\"logprobs\":{\"tokens\":[\"\xEF\xBF\xBD\",\"\xEF\xBF\xBD\",\"b\"],"
        "\"token_logprobs\":[-0.5,-0.25,-3],"
        "\"top_logprobs\":[{\"\xEF\xBF\xBD\":-0.5},{\"\xEF\xBF\xBD\":-0.25},{\"b\":-3}],"
        "\"text_offset\":[0,0,1]}";
    glim_request rq = raw_request(false, one, 1);
    rq.logprobs = true;
    glim_buf out = script_run(D, &rq, &script_info, ev, GLIM_COUNT(ev));
    if (!strstr(out.p, want)) print_error("%s\n", out.p);
    assert_non_null(strstr(out.p, want));
    glim_buf_deinit(&out);
    rq.stream = true;
    out = script_run(D, &rq, &script_info, ev, GLIM_COUNT(ev));
    assert_non_null(
        strstr(out.p, "\"text\":\"b\",\"logprobs\":{\"tokens\":[\"b\"],\"token_logprobs\":[-3],"
                      "\"top_logprobs\":[{\"b\":-3}],\"text_offset\":[1]}"));
    glim_buf_deinit(&out);
}

static void problems(void **state)
{
    (void)state;
    glim_problem p;
    glim_buf b;
    glim_buf_init(&b, 4096);
    glim_problem_set(&p, GLIM_PROBLEM_CONTEXT, "messages", "too long");
    assert_int_equal(D->problem(&p, GLIM_STR("r"), &b), GLIM_OK);
    assert_non_null(strstr(b.p, "\"param\":\"prompt\""));
    glim_buf_deinit(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prompts),  cmocka_unit_test(fields),  cmocka_unit_test(refusals),
        cmocka_unit_test(replies),  cmocka_unit_test(batches), cmocka_unit_test(probabilities),
        cmocka_unit_test(problems),
    };
    return cmocka_run_group_tests_name("api/completions", tests, setup, teardown);
}
