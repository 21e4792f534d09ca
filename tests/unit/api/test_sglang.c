/* SPDX-License-Identifier: MIT
 * test_sglang.c - SGLang's /generate: prompts, both tables, objects whole and in pieces; and
 * /health_generate. */
#include "objects.h"

#define D (&glim_dialect_sglang_generate)

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
    return D->decode(arena, glim_arena_str(arena, glim_str_of(text)), rq, p);
}

static glim_request accept(const char *json)
{
    glim_request rq;
    glim_problem p = {0};
    glim_err rc = decode(json, &rq, &p);
    if (rc) print_error("%s: %s\n", json, p.msg);
    assert_int_equal(rc, GLIM_OK);
    assert_true(rq.raw && rq.want_ids);
    return rq;
}

/* ---- requests -------------------------------------------------------------------------------- */

static void prompts(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        size_t n_prompt, n_id; /* of the last */
        const char *last;
    } cases[] = {{"{'text':'a'}", 1, 0, "a"},
                 {"{'text':['a','b']}", 2, 0, "b"},
                 {"{'text':['a']}", 1, 0, "a"},
                 {"{'input_ids':[1,2,3]}", 1, 3, NULL},
                 {"{'input_ids':[[1],[2,3]]}", 2, 2, NULL},
                 {"{'text':null,'input_ids':[1]}", 1, 1, NULL}};
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        glim_request rq = accept(cases[i].json);
        assert_int_equal(rq.n_prompt, cases[i].n_prompt);
        const glim_raw_prompt *p = &rq.prompts[rq.n_prompt - 1];
        assert_int_equal(p->n_id, cases[i].n_id);
        if (cases[i].last)
            assert_true(glim_str_is(p->text, cases[i].last));
        else
            assert_null(p->text.p);
    }
}

static void fields(void **state)
{
    (void)state;
    glim_request rq = accept("{'text':'a'}");
    assert_int_equal(rq.gen.n_max, 128);
    assert_true(isnan(rq.gen.temperature) && isnan(rq.gen.top_p));
    assert_int_equal(rq.gen.top_k, -1);
    assert_int_equal(rq.n, 1);
    assert_false(rq.stream || rq.logprobs);
    assert_int_equal(rq.gen.n_logprob, -1);
    rq = accept("{'model':'m','text':'a','stream':true,'rid':'r-1','return_logprob':true,"
                "'top_logprobs_num':4,'logprob_start_len':-1,'return_text_in_logprobs':true,"
                "'return_hidden_states':false,'image_data':null,'what':1,'priority':1,"
                "'sampling_params':{'max_new_tokens':7,'min_new_tokens':2,'n':3,'temperature':0,"
                "'top_p':0.5,'top_k':-1,'min_p':0.25,'frequency_penalty':1,'presence_penalty':-1,"
                "'repetition_penalty':1.5,'sampling_seed':9,'logit_bias':{'5':2},'stop':'x',"
                "'stop_token_ids':[1,2],'ignore_eos':true,'no_stop_trim':true,"
                "'skip_special_tokens':false,'spaces_between_special_tokens':true,"
                "'custom_params':{},'regex':null,'else':1}}");
    const glim_gen_opts *g = &rq.gen;
    assert_true(rq.stream && rq.logprobs && g->has_seed && g->ignore_eos && g->keep_stop);
    assert_true(g->keep_special && glim_str_is(rq.model, "m") && glim_str_is(rq.request_id, "r-1"));
    assert_int_equal(g->n_max, 7);
    assert_int_equal(g->n_min, 2);
    assert_int_equal(rq.n, 3);
    assert_true(g->temperature == 0 && g->top_p == 0.5f && g->min_p == 0.25f);
    assert_int_equal(g->top_k, 0);
    assert_true(g->frequency_penalty == 1 && g->presence_penalty == -1);
    assert_true(g->repetition_penalty == 1.5f);
    assert_int_equal(g->seed, 9);
    assert_int_equal(g->n_bias, 1);
    assert_int_equal(g->n_stop, 1);
    assert_int_equal(g->n_stop_id, 2);
    assert_int_equal(g->n_logprob, 4);
    assert_int_equal(rq.n_unknown, 2);
    assert_int_equal(rq.n_note, 3); /* priority, spaces_between_special_tokens, custom_params */
    /* a list of equal parameters is one of them */
    rq = accept("{'text':['a','b'],'sampling_params':[{'max_new_tokens':5},{'max_new_tokens':5}],"
                "'rid':['x','y'],'top_logprobs_num':2}");
    assert_int_equal(rq.gen.n_max, 5);
    assert_int_equal(rq.n_note, 1); /* top_logprobs_num without return_logprob */
    assert_int_equal(rq.gen.n_logprob, -1);
    assert_true(accept("{'input_ids':[1,2],'return_logprob':true,'logprob_start_len':2}").logprobs);
}

static void refusals(void **state)
{
    (void)state;
    static const struct {
        const char *fields, *param, *begins;
        glim_problem_kind kind;
    } cases[] = {
        {"'stream':true", "text", "text: missing", GLIM_PROBLEM_MISSING},
        {"'text':'a','input_ids':[1]", "text", "text: given beside", GLIM_PROBLEM_EXCLUSIVE},
        {"'text':''", "text", "text: empty", GLIM_PROBLEM_BAD},
        {"'text':[]", "text", "text: empty", GLIM_PROBLEM_BAD},
        {"'text':['a','']", "text[1]", "text[1]: empty", GLIM_PROBLEM_BAD},
        {"'text':['a',1]", "text[1]", "text[1]: expected a string", GLIM_PROBLEM_BAD},
        {"'text':5", "text", "text: expected a string", GLIM_PROBLEM_BAD},
        {"'input_ids':[]", "input_ids", "input_ids: empty", GLIM_PROBLEM_BAD},
        {"'input_ids':[[1],[]]", "input_ids[1]", "input_ids[1]: empty", GLIM_PROBLEM_BAD},
        {"'input_ids':[[1],[2,-1]]", "input_ids[1][1]", "input_ids[1][1]: -1", GLIM_PROBLEM_BAD},
        {"'input_ids':[1,'a']", "input_ids[1]", "input_ids[1]: expected", GLIM_PROBLEM_BAD},
        {"'input_ids':'a'", "input_ids", "input_ids: expected a list", GLIM_PROBLEM_BAD},
#define T "'text':'a',"
        {T "'image_data':'x'", "image_data", "image_data: not", GLIM_PROBLEM_UNSUPPORTED},
        {T "'audio_data':['x']", "audio_data", "audio_data: not", GLIM_PROBLEM_UNSUPPORTED},
        {T "'video_data':['x']", "video_data", "video_data: not", GLIM_PROBLEM_UNSUPPORTED},
        {T "'lora_path':'x'", "lora_path", "lora_path: not", GLIM_PROBLEM_UNSUPPORTED},
        {T "'session_params':{}", "session_params", "session_params", GLIM_PROBLEM_UNSUPPORTED},
        {T "'input_embeds':[]", "input_embeds", "input_embeds: not", GLIM_PROBLEM_UNSUPPORTED},
        {T "'bootstrap_room':1", "bootstrap_room", "bootstrap_room", GLIM_PROBLEM_UNSUPPORTED},
        {T "'return_hidden_states':true", "return_hidden_states", "return_hidden_states: only",
         GLIM_PROBLEM_UNSUPPORTED},
        {T "'return_logprob':true,'logprob_start_len':0", "logprob_start_len",
         "logprob_start_len: probabilities of the prompt", GLIM_PROBLEM_UNSUPPORTED},
        {T "'return_logprob':true,'logprob_start_len':99", "logprob_start_len",
         "logprob_start_len: probabilities", GLIM_PROBLEM_UNSUPPORTED},
        {T "'top_logprobs_num':21", "top_logprobs_num", "top_logprobs_num: 21", GLIM_PROBLEM_BAD},
        {T "'return_logprob':[true]", "return_logprob", "return_logprob: exp", GLIM_PROBLEM_BAD},
        {T "'rid':['a']", "rid", "rid: 1 names for 1 prompts", GLIM_PROBLEM_BAD},
        {T "'rid':{}", "rid", "rid: expected", GLIM_PROBLEM_BAD},
        {"'text':['a','b'],'rid':['a']", "rid", "rid: 1 names for 2", GLIM_PROBLEM_BAD},
        {"'text':['a','b'],'rid':['a',1]", "rid[1]", "rid[1]: expected", GLIM_PROBLEM_BAD},
        {T "'sampling_params':5", "sampling_params", "sampling_params: expected an object",
         GLIM_PROBLEM_BAD},
        {T "'sampling_params':[{}]", "sampling_params", "sampling_params: 1 objects for 0",
         GLIM_PROBLEM_BAD},
        {"'text':['a','b'],'sampling_params':[{'top_k':1},{'top_k':2}]", "sampling_params[1]",
         "sampling_params[1]: differs from the first", GLIM_PROBLEM_UNSUPPORTED},
        {T "'sampling_params':{'max_new_tokens':0}", "sampling_params.max_new_tokens",
         "sampling_params.max_new_tokens: 0 is below 1", GLIM_PROBLEM_BAD},
        {T "'sampling_params':{'stop':['a','']}", "sampling_params.stop[1]",
         "sampling_params.stop[1]: an empty string", GLIM_PROBLEM_BAD},
        {T "'sampling_params':{'n':0}", "sampling_params.n", "sampling_params.n: 0 is below",
         GLIM_PROBLEM_BAD},
        {T "'sampling_params':{'regex':'a'}", "sampling_params.regex",
         "sampling_params.regex: not supported", GLIM_PROBLEM_UNSUPPORTED},
        {T "'sampling_params':{'json_schema':'a'}", "sampling_params.json_schema",
         "sampling_params.json_schema: not", GLIM_PROBLEM_UNSUPPORTED},
        {T "'sampling_params':{'ebnf':'a'}", "sampling_params.ebnf", "sampling_params.ebnf: not",
         GLIM_PROBLEM_UNSUPPORTED},
        {T "'sampling_params':{'structural_tag':'a'}", "sampling_params.structural_tag",
         "sampling_params.structural_tag: not", GLIM_PROBLEM_UNSUPPORTED},
        {T "'sampling_params':{'stop_regex':'a'}", "sampling_params.stop_regex",
         "sampling_params.stop_regex: not", GLIM_PROBLEM_UNSUPPORTED},
    };
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        glim_request rq;
        glim_problem p = {0};
        char json[256];
        snprintf(json, sizeof json, "{%s}", cases[i].fields);
        assert_int_not_equal(decode(json, &rq, &p), GLIM_OK);
        if (strncmp(p.msg, cases[i].begins, strlen(cases[i].begins)) != 0 ||
            p.kind != cases[i].kind)
            print_error("%s: %s\n", json, p.msg);
        assert_memory_equal(p.msg, cases[i].begins, strlen(cases[i].begins));
        assert_int_equal(p.kind, cases[i].kind);
        assert_string_equal(p.param, cases[i].param);
    }
    glim_request rq;
    glim_problem p;
    assert_int_not_equal(decode("[]", &rq, &p), GLIM_OK);
    assert_int_not_equal(decode("{'text':'a'}x", &rq, &p), GLIM_OK);
    /* what is wrong with the object itself is said of it */
    glim_buf b;
    glim_buf_init(&b, 1 << 20);
    glim_buf_adds(&b, "{\"text\":\"a\",\"sampling_params\":{\"a\":0");
    for (int i = 0; i < 1024; i++)
        glim_buf_addf(&b, ",\"a%d\":0", i);
    glim_buf_adds(&b, "}}");
    assert_int_equal(D->decode(arena, glim_buf_view(&b), &rq, &p), GLIM_E_INPUT);
    assert_string_equal(p.param, "sampling_params");
    glim_buf_deinit(&b);
    /* prompts times choices have a limit */
    for (int n = 16; n <= 17; n++) {
        glim_buf_init(&b, 1 << 20);
        glim_buf_addf(&b, "{\"sampling_params\":{\"n\":128},\"text\":[");
        for (int i = 0; i < n; i++)
            glim_buf_adds(&b, i ? ",\"a\"" : "\"a\"");
        glim_buf_adds(&b, "]}");
        assert_int_equal(D->decode(arena, glim_buf_view(&b), &rq, &p),
                         n == 16 ? GLIM_OK : GLIM_E_INPUT);
        glim_buf_deinit(&b);
    }
}

/* ---- replies --------------------------------------------------------------------------------- */

#define LP(s, id_, p)                                                                              \
    {                                                                                              \
        .kind = GLIM_EV_LOGPROBS, .logprobs = &(const glim_token_logprobs)                         \
        {                                                                                          \
            .chosen = {.id = (id_), .logprob = (p), .bytes = {(s), sizeof(s) - 1}}, .top = tops,   \
            .n_top = 1                                                                             \
        }                                                                                          \
    }
static const glim_logprob tops[] = {{.id = 77, .logprob = -0.5f, .bytes = {"t", 1}}};
static const glim_usage usage = {.n_prompt = 10, .n_cached = 6, .n_completion = 3},
                        so_far = {.n_prompt = 10, .n_completion = 1};
static const int32_t answer[] = {11, 12, 2};

static glim_event stop_with_ids(glim_stop_reason why, glim_str stop_text)
{
    return (glim_event){.kind = GLIM_EV_STOP,
                        .reason = why,
                        .usage = &usage,
                        .stop_text = stop_text,
                        .ids = answer,
                        .n_id = 3};
}

static glim_buf run(const char *json, const glim_event *ev, size_t n)
{
    glim_request rq = accept(json);
    return script_run(D, &rq, &script_info, ev, n);
}

#define HEAD "\"meta_info\":{\"id\":\"0123456789abcdef01234567\",\"finish_reason\":"
#define COUNTS(n, cached)                                                                          \
    ",\"prompt_tokens\":10,\"completion_tokens\":" n ",\"cached_tokens\":" cached                  \
    ",\"weight_version\":\"default\""

static void whole(void **state)
{
    (void)state;
    const glim_event ev[] = {C("a"), C("\xC3\xA9"), stop_with_ids(GLIM_STOP_END, GLIM_STR("<e>"))};
    glim_buf out = run("{'text':'p'}", ev, 3);
    script_check(&out, "{\"text\":\"a\xC3\xA9\"," HEAD "{\"type\":\"stop\",\"matched\":2}" COUNTS(
                           "3", "6") ",\"e2e_latency\":0},\"output_ids\":[11,12,2]}");
    glim_buf_deinit(&out);
    /* a list of one stays a list; the client's id comes back */
    out = run("{'text':['p'],'rid':['r']}", ev, 3);
    const glim_json *v = read_body(arena, &out);
    assert_int_equal(v->type, GLIM_JSON_ARRAY);
    is_str(v->child, "meta_info.id", "r");
    assert_null(glim_json_get(v->child, "index"));
    glim_buf_deinit(&out);
    out = run("{'text':'p','rid':'mine'}", ev, 3);
    is_str(read_body(arena, &out), "meta_info.id", "mine");
    glim_buf_deinit(&out);
    /* time passes */
    glim_request rq = accept("{'text':'p'}");
    glim_reply_info info = script_info;
    info.t0_ns = glim_now_ns() - 2500000000u;
    out = script_run(D, &rq, &info, ev, 3);
    double s = 0;
    assert_true(glim_json_f64(glim_json_path(read_body(arena, &out), "meta_info.e2e_latency"), &s));
    assert_true(s >= 2.5 && s < 60);
    glim_buf_deinit(&out);
}

static void reasons(void **state)
{
    (void)state;
    static const struct {
        glim_stop_reason why;
        const char *reason;
    } cases[] = {
        {GLIM_STOP_END, "{\"type\":\"stop\",\"matched\":2}"},
        {GLIM_STOP_STRING, "{\"type\":\"stop\",\"matched\":\"w\"}"},
        {GLIM_STOP_LENGTH, "{\"type\":\"length\",\"length\":3}"},
        {GLIM_STOP_CONTEXT, "{\"type\":\"length\",\"length\":3}"},
        {GLIM_STOP_LOOP, "{\"type\":\"length\",\"length\":3,\"stop_reason\":\"loop\"}"},
        {GLIM_STOP_CANCEL, "{\"type\":\"abort\",\"message\":\"the answer was cut off\"}"},
    };
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        const glim_event ev[] = {stop_with_ids(cases[i].why, GLIM_STR("w"))};
        glim_buf out = run("{'text':'p'}", ev, 1);
        is_raw(read_body(arena, &out), "meta_info.finish_reason", cases[i].reason);
        glim_buf_deinit(&out);
    }
    /* the id of a stop token that nobody told is not guessed */
    const glim_event ev[] = {STOP_AT(GLIM_STOP_END, &usage, "<e>")};
    glim_buf out = run("{'text':'p'}", ev, 1);
    is_raw(read_body(arena, &out), "meta_info.finish_reason",
           "{\"type\":\"stop\",\"matched\":\"<e>\"}");
    is_raw(read_body(arena, &out), "output_ids", "[]");
    glim_buf_deinit(&out);
}

/* Every piece holds all the text so far. */
static void stream(void **state)
{
    (void)state;
    glim_event ev[] = {C("a"), C(""), C("\xF0\x9F\x98\x80"),
                       stop_with_ids(GLIM_STOP_LENGTH, GLIM_STR(""))};
    ev[0].usage = &so_far;
    glim_buf out = run("{'text':'p','stream':true}", ev, 4);
    script_check(
        &out,
        "data: {\"text\":\"a\"," HEAD "null" COUNTS(
            "1", "0") "}}\n\n"
                      "data: {\"text\":\"a\xF0\x9F\x98\x80\"," HEAD "null" COUNTS(
                          "1", "0") "}}\n\n"
                                    "data: {\"text\":\"a\xF0\x9F\x98\x80\"," HEAD
                                    "{\"type\":\"length\",\"length\":3}" COUNTS(
                                        "3",
                                        "6") ",\"e2e_latency\":0},\"output_ids\":[11,12,2]}\n\n"
                                             "data: [DONE]\n\n");
    glim_buf_deinit(&out);
}

static void several(void **state)
{
    (void)state;
    static const char *const ids[] = {"x-0", "x-1", "y-0", "y-1"};
    for (int streaming = 0; streaming < 2; streaming++) {
        char json[256];
        snprintf(json, sizeof json,
                 "{'text':['p','q'],'rid':['x','y'],'sampling_params':{'n':2},'stream':%s}",
                 streaming ? "true" : "false");
        glim_request rq = accept(json);
        const glim_event stop = stop_with_ids(GLIM_STOP_END, GLIM_STR(""));
        glim_buf out;
        glim_buf_init(&out, 1 << 20);
        glim_reply *r = D->reply_new(&rq, &script_info);
        for (size_t i = 0; i < 4; i++) {
            char mark[2] = {(char)('0' + i), 0};
            const glim_event c = {.kind = GLIM_EV_CONTENT, .text = {mark, 1}};
            assert_int_equal(D->event(r, i, &c, &out), GLIM_OK);
            assert_int_equal(D->event(r, i, &stop, &out), GLIM_OK);
        }
        assert_int_equal(D->event(r, 4, &stop, &out), GLIM_E_STATE);
        assert_int_equal(D->end(r, &out), GLIM_OK);
        pieces p = {.n = 0};
        if (streaming) p = read_stream(arena, &out);
        const glim_json *list = streaming ? NULL : read_body(arena, &out);
        assert_int_equal(streaming ? p.n : list->n_child, streaming ? 8 : 4);
        for (size_t i = 0; i < 4; i++) {
            char mark[2] = {(char)('0' + i), 0};
            const glim_json *v = streaming ? p.v[2 * i + 1] : glim_json_at(list, i);
            is_str(v, "text", mark);
            is_str(v, "meta_info.id", ids[i]);
            is_num(v, "meta_info.prompt_tokens", 10);
            if (streaming) is_num(v, "index", (double)i);
        }
        assert_int_equal(p.done, streaming);
        D->reply_free(r);
        glim_buf_deinit(&out);
    }
}

static void probabilities(void **state)
{
    (void)state;
    const glim_event ev[] = {LP("a", 11, -0.25f), C("a"), LP("\xC3", 12, -1),
                             stop_with_ids(GLIM_STOP_END, GLIM_STR(""))};
    glim_buf out = run("{'text':'p','return_logprob':true}", ev, 4);
    const glim_json *v = read_body(arena, &out);
    is_raw(v, "meta_info.output_token_logprobs", "[[-0.25,11,null],[-1,12,null]]");
    is_raw(v, "meta_info.input_token_logprobs", "[]");
    assert_null(glim_json_path(v, "meta_info.output_top_logprobs"));
    glim_buf_deinit(&out);
    out = run("{'text':'p','return_logprob':true,'top_logprobs_num':1,"
              "'return_text_in_logprobs':true,'stream':true}",
              ev, 4);
    pieces p = read_stream(arena, &out);
    assert_int_equal(p.n, 2);
    is_raw(p.v[0], "meta_info.output_token_logprobs", "[[-0.25,11,\"a\"]]");
    is_raw(p.v[0], "meta_info.output_top_logprobs", "[[[-0.5,77,\"t\"]]]");
    is_num(p.v[0], "meta_info.completion_tokens", 1);
    is_raw(p.v[1], "meta_info.output_token_logprobs",
           "[[-0.25,11,\"a\"],[-1,12,\"\xEF\xBF\xBD\"]]");
    is_raw(p.v[1], "meta_info.output_top_logprobs", "[[[-0.5,77,\"t\"]],[[-0.5,77,\"t\"]]]");
    is_raw(p.v[1], "output_ids", "[11,12,2]");
    glim_buf_deinit(&out);
}

static void health(void **state)
{
    (void)state;
    const glim_dialect *d = &glim_dialect_sglang_health;
    glim_request rq;
    glim_problem p;
    assert_int_equal(d->decode(arena, GLIM_STR("no JSON"), &rq, &p), GLIM_OK);
    assert_true(rq.raw && !rq.stream && rq.gen.temperature == 0);
    assert_int_equal(rq.gen.n_max, 1);
    assert_int_equal(rq.n_prompt * (size_t)rq.n, 1);
    const glim_event ev[] = {C("a"), STOP(GLIM_STOP_LENGTH, &usage)};
    glim_buf out = script_run(d, &rq, &script_info, ev, 2);
    script_check(&out, "{\"status\":\"ok\"}");
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
    script_check(&b, "{\"error\":{\"message\":\"too long\",\"type\":\"invalid_request_error\","
                     "\"param\":\"text\",\"code\":\"context_length_exceeded\"}}");
    glim_buf_clear(&b);
    assert_int_equal(D->stream_problem(&p, GLIM_STR("r"), &b), GLIM_OK);
    assert_true(glim_str_starts(glim_buf_view(&b), GLIM_STR("event: error\ndata: {\"error\":")));
    glim_buf_deinit(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prompts),  cmocka_unit_test(fields),        cmocka_unit_test(refusals),
        cmocka_unit_test(whole),    cmocka_unit_test(reasons),       cmocka_unit_test(stream),
        cmocka_unit_test(several),  cmocka_unit_test(probabilities), cmocka_unit_test(health),
        cmocka_unit_test(problems),
    };
    return cmocka_run_group_tests_name("api/sglang", tests, setup, teardown);
}
