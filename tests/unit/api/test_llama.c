/* SPDX-License-Identifier: MIT
 * test_llama.c - llama-server's /completion: forms of a prompt, every class of field, objects whole
 * and in pieces. */
#include "objects.h"

#define D (&glim_dialect_llama_completion)

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
    /* Results point into the body: each has its own. */
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
    assert_true(rq.raw);
    return rq;
}

/* ---- requests -------------------------------------------------------------------------------- */

static size_t say(char *out, size_t n_out, const glim_raw_prompt *p)
{
    size_t n = 0;
    if (p->text.p) return (size_t)snprintf(out, n_out, "'%.*s'", GLIM_STR_ARG(p->text));
    n += (size_t)snprintf(out, n_out, p->n_part ? "(" : "<");
    for (size_t i = 0; i < p->n_id; i++)
        n += (size_t)snprintf(out + n, n_out - n, "%d ", (int)p->ids[i]);
    for (size_t i = 0; i < p->n_part; i++)
        n += say(out + n, n_out - n, &p->parts[i]);
    return n + (size_t)snprintf(out + n, n_out - n, p->n_part ? ")" : ">");
}

static void prompts(void **state)
{
    (void)state;
    static const struct {
        const char *json, *prompts; /* ids as <1 2 >, mixed ones as ('a'<1 >) */
    } cases[] = {
        {"'a b'", "'a b'"},
        {"[1,2,3]", "<1 2 3 >"},
        {"[12,34,'x','y',56,78]", "(<12 34 >'x''y'<56 78 >)"},
        {"['x',1]", "('x'<1 >)"},
        {"['',1,'']", "<1 >"},
        {"['x','y']", "'x''y'"},
        {"['x',[1,2],['y',3],{'prompt_string':'z'}]", "'x'<1 2 >('y'<3 >)'z'"},
        {"{'prompt_string':'z','multimodal_data':[]}", "'z'"},
    };
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        char json[256], got[256] = "";
        size_t n = 0;
        snprintf(json, sizeof json, "{'prompt':%s}", cases[i].json);
        glim_request rq = accept(json);
        for (size_t k = 0; k < rq.n_prompt; k++)
            n += say(got + n, sizeof got - n, &rq.prompts[k]);
        assert_string_equal(got, cases[i].prompts);
    }
}

static void defaults(void **state)
{
    (void)state;
    glim_request rq = accept("{'prompt':'a'}");
    assert_true(isnan(rq.gen.temperature) && isnan(rq.gen.top_p) && isnan(rq.gen.min_p));
    assert_int_equal(rq.gen.top_k, -1);
    assert_int_equal(rq.gen.n_max, -1);
    assert_int_equal(rq.gen.n_logprob, -1);
    assert_int_equal(rq.n, 1);
    assert_false(rq.stream || rq.logprobs || rq.want_ids || rq.gen.has_seed || rq.gen.ignore_eos);
    assert_int_equal(rq.n_note + rq.n_unknown, 0);
}

static void used(void **state)
{
    (void)state;
    glim_request rq =
        accept("{'model':'m','prompt':'a','stream':true,'n_predict':7,'n_cmpl':3,'temperature':0.5,"
               "'top_k':40,'top_p':0.5,'min_p':0.25,'repeat_penalty':1.5,'presence_penalty':1,"
               "'frequency_penalty':-1,'dry_multiplier':0.5,'dry_base':2,'dry_allowed_length':3,"
               "'dry_penalty_last_n':64,'seed':42,'stop':['x','y'],'ignore_eos':true,'n_probs':3,"
               "'return_tokens':true,'response_fields':['content'],'what':1}");
    const glim_gen_opts *g = &rq.gen;
    assert_true(rq.stream && rq.logprobs && rq.want_ids && g->has_seed && g->ignore_eos);
    assert_true(glim_str_is(rq.model, "m"));
    assert_int_equal(rq.n, 3);
    assert_int_equal(g->n_max, 7);
    assert_int_equal(g->top_k, 40);
    assert_true(g->temperature == 0.5f && g->top_p == 0.5f && g->min_p == 0.25f);
    assert_true(g->repetition_penalty == 1.5f && g->presence_penalty == 1);
    assert_true(g->frequency_penalty == -1 && g->dry_multiplier == 0.5f && g->dry_base == 2);
    assert_int_equal(g->dry_allowed_length, 3);
    assert_int_equal(g->dry_range, 64);
    assert_int_equal(g->seed, 42);
    assert_int_equal(g->n_stop, 2);
    assert_int_equal(g->n_logprob, 3);
    assert_int_equal(rq.n_unknown, 1);
}

/* Numbers that mean something else than their size. */
static void ends_of_ranges(void **state)
{
    (void)state;
    static const struct {
        const char *field;
        int64_t n_max;
    } limits[] = {{"'n_predict':-1", -1},
                  {"'n_predict':-2", -1},
                  {"'n_predict':0", 1},
                  {"'max_tokens':5", 5},
                  {"'max_tokens':5,'n_predict':6", 6}};
    char json[256];
    for (size_t i = 0; i < GLIM_COUNT(limits); i++) {
        snprintf(json, sizeof json, "{'prompt':'a',%s}", limits[i].field);
        assert_int_equal(accept(json).gen.n_max, limits[i].n_max);
    }
    assert_int_equal(accept("{'prompt':'a','top_k':0}").gen.top_k, 0);
    assert_int_equal(accept("{'prompt':'a','top_k':-5}").gen.top_k, 0);
    assert_true(accept("{'prompt':'a','temperature':-1}").gen.temperature == 0);
    assert_false(accept("{'prompt':'a','seed':-1}").gen.has_seed);
    assert_false(accept("{'prompt':'a','seed':4294967295}").gen.has_seed);
    glim_request rq = accept("{'prompt':'a','repeat_last_n':0,'repeat_penalty':2,"
                             "'presence_penalty':1,'frequency_penalty':1}");
    assert_true(rq.gen.repetition_penalty == 1 && rq.gen.presence_penalty == 0);
    assert_true(rq.gen.frequency_penalty == 0);
    rq = accept("{'prompt':'a','repeat_last_n':64,'repeat_penalty':2}");
    assert_true(rq.gen.repetition_penalty == 2);
    assert_int_equal(rq.n_note, 1);
}

static void biases(void **state)
{
    (void)state;
    static const char *const forms[] = {"[[7,1.5],[8,false]]", "{'7':1.5,'8':false}"};
    char json[256];
    for (size_t i = 0; i < GLIM_COUNT(forms); i++) {
        snprintf(json, sizeof json, "{'prompt':'a','logit_bias':%s}", forms[i]);
        glim_request rq = accept(json);
        assert_int_equal(rq.gen.n_bias, 2);
        assert_int_equal(rq.gen.biases[0].id, 7);
        assert_true(rq.gen.biases[0].bias == 1.5f && rq.gen.biases[1].bias == -100);
        assert_int_equal(rq.gen.biases[1].id, 8);
    }
    assert_int_equal(accept("{'prompt':'a','logit_bias':[]}").gen.n_bias, 0);
}

/* What all clients of llama-server send along, at the values that change nothing. */
static void neutral_and_noted(void **state)
{
    (void)state;
    glim_request rq =
        accept("{'prompt':'a','grammar':'','grammar_lazy':false,'grammar_triggers':[],"
               "'json_schema':null,'lora':[],'image_data':[],'n_indent':0,"
               "'t_max_predict_ms':-1,'t_max_prompt_ms':0,'post_sampling_probs':false}");
    assert_int_equal(rq.n_note + rq.n_unknown, 0);
    rq = accept("{'prompt':'a','typical_p':1,'mirostat':0,'mirostat_tau':5,'mirostat_eta':0.1,"
                "'xtc_probability':0,'xtc_threshold':0.1,'dynatemp_range':0,"
                "'dynatemp_exponent':1,'top_n_sigma':-1,'dry_sequence_breakers':[],"
                "'samplers':['top_k'],'min_keep':0,'n_keep':0,'n_discard':0,'n_cache_reuse':0,"
                "'cache_prompt':false,'id_slot':-1,'return_progress':true,"
                "'timings_per_token':true,'sse_ping_interval':1,'speculative.n_max':1,"
                "'speculative.n_min':1,'speculative.p_min':1}");
    assert_int_equal(rq.n_note, 23);
    assert_int_equal(rq.n_unknown, 0);
}

static void refusals(void **state)
{
    (void)state;
    static const struct {
        const char *fields, *param, *begins;
        glim_problem_kind kind;
    } cases[] = {
        {"'stream':true", "prompt", "prompt: missing", GLIM_PROBLEM_MISSING},
        {"'prompt':null", "prompt", "prompt: missing", GLIM_PROBLEM_MISSING},
        {"'prompt':''", "prompt", "prompt: empty", GLIM_PROBLEM_BAD},
        {"'prompt':[]", "prompt", "prompt: empty", GLIM_PROBLEM_BAD},
        {"'prompt':['a','']", "prompt[1]", "prompt[1]: empty", GLIM_PROBLEM_BAD},
        {"'prompt':['a',[]]", "prompt[1]", "prompt[1]: empty", GLIM_PROBLEM_BAD},
        {"'prompt':['a',['']]", "prompt[1]", "prompt[1]: empty", GLIM_PROBLEM_BAD},
        {"'prompt':5", "prompt", "prompt: expected a string or", GLIM_PROBLEM_BAD},
        {"'prompt':[1,2,-3]", "prompt[2]", "prompt[2]: -3 is no token id", GLIM_PROBLEM_BAD},
        {"'prompt':['a',1,2.5]", "prompt[2]", "prompt[2]: 2.5 is no token", GLIM_PROBLEM_BAD},
        {"'prompt':['a',1,true]", "prompt[2]", "prompt[2]: expected a string", GLIM_PROBLEM_BAD},
        {"'prompt':['a',['b',[1]]]", "prompt[1][1]", "prompt[1][1]: expected", GLIM_PROBLEM_BAD},
        {"'prompt':{'prompt_string':''}", "prompt.prompt_string", "prompt.prompt_string: empty",
         GLIM_PROBLEM_BAD},
        {"'prompt':{}", "prompt.prompt_string", "prompt.prompt_string: missing",
         GLIM_PROBLEM_MISSING},
        {"'prompt':{'prompt_string':'a','multimodal_data':['x']}", "prompt.multimodal_data",
         "prompt.multimodal_data: the model is text-only", GLIM_PROBLEM_UNSUPPORTED},
        {"'prompt':'a','n_predict':-3", "n_predict", "n_predict: -3 is below", GLIM_PROBLEM_BAD},
        {"'prompt':'a','n_cmpl':129", "n_cmpl", "n_cmpl: 129 is above", GLIM_PROBLEM_BAD},
        {"'prompt':'a','n_probs':21", "n_probs", "n_probs: 21 is above 20", GLIM_PROBLEM_BAD},
        {"'prompt':'a','grammar':'root'", "grammar", "grammar: not", GLIM_PROBLEM_UNSUPPORTED},
        {"'prompt':'a','json_schema':{}", "json_schema", "json_schema: not",
         GLIM_PROBLEM_UNSUPPORTED},
        {"'prompt':'a','lora':[{'id':0}]", "lora", "lora: not", GLIM_PROBLEM_UNSUPPORTED},
        {"'prompt':'a','image_data':[1]", "image_data", "image_data: not",
         GLIM_PROBLEM_UNSUPPORTED},
        {"'prompt':'a','n_indent':2", "n_indent", "n_indent: only 0", GLIM_PROBLEM_UNSUPPORTED},
        {"'prompt':'a','t_max_predict_ms':5", "t_max_predict_ms", "t_max_predict_ms: only",
         GLIM_PROBLEM_UNSUPPORTED},
        {"'prompt':'a','post_sampling_probs':true", "post_sampling_probs",
         "post_sampling_probs: only", GLIM_PROBLEM_UNSUPPORTED},
        {"'prompt':'a','response_fields':['a','b/c']", "response_fields[1]",
         "response_fields[1]: parts", GLIM_PROBLEM_UNSUPPORTED},
        {"'prompt':'a','response_fields':'a'", "response_fields", "response_fields: expected",
         GLIM_PROBLEM_BAD},
        {"'prompt':'a','logit_bias':[['x',1]]", "logit_bias[0]", "logit_bias[0]: text is not",
         GLIM_PROBLEM_UNSUPPORTED},
        {"'prompt':'a','logit_bias':[[1,1],[2]]", "logit_bias[1]", "logit_bias[1]: expected a pair",
         GLIM_PROBLEM_BAD},
        {"'prompt':'a','logit_bias':[[1,true]]", "logit_bias", "logit_bias: token 1: expected",
         GLIM_PROBLEM_BAD},
        {"'prompt':'a','logit_bias':[[1,101]]", "logit_bias", "logit_bias: token 1: a bias lies",
         GLIM_PROBLEM_BAD},
        {"'prompt':'a','logit_bias':5", "logit_bias", "logit_bias: expected a list",
         GLIM_PROBLEM_BAD},
        {"'prompt':'a','prompt':'b'", "prompt", "prompt: ", GLIM_PROBLEM_BAD},
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
    assert_int_not_equal(decode("{'prompt':'a'}x", &rq, &p), GLIM_OK);
}

/* ---- replies --------------------------------------------------------------------------------- */

static const glim_usage usage = {.n_prompt = 10,
                                 .n_cached = 6,
                                 .n_completion = 5,
                                 .prompt_ms = 8,
                                 .completion_ms = 50},
                        so_far = {.n_prompt = 10, .n_completion = 2};

static glim_reply_info info_of(void)
{
    glim_reply_info info = script_info;
    info.temperature = 1;
    info.top_p = 0.95f;
    info.min_p = 0;
    info.top_k = 50;
    info.n_ctx = 4096;
    return info;
}

static glim_buf run(const char *json, const glim_event *ev, size_t n)
{
    glim_request rq = accept(json);
    glim_reply_info info = info_of();
    return script_run(D, &rq, &info, ev, n);
}

static void whole(void **state)
{
    (void)state;
    const glim_event ev[] = {C("a\n"), C("\xC3\xA9"), STOP_AT(GLIM_STOP_STRING, &usage, "END")};
    glim_buf out = run("{'prompt':'p','stop':['END'],'seed':3,'logit_bias':[[5,false]]}", ev, 3);
    const glim_json *v = read_body(arena, &out);
    is_num(v, "index", 0);
    is_str(v, "content", "a\n\xC3\xA9");
    is_raw(v, "tokens", "[]");
    is_num(v, "id_slot", -1);
    assert_int_equal(glim_json_get(v, "stop")->type, GLIM_JSON_TRUE);
    assert_int_equal(glim_json_get(v, "has_new_line")->type, GLIM_JSON_TRUE);
    assert_int_equal(glim_json_get(v, "truncated")->type, GLIM_JSON_FALSE);
    is_str(v, "model", "glm-4.7-flash");
    is_str(v, "prompt", "p");
    is_str(v, "stop_type", "word");
    is_str(v, "stopping_word", "END");
    is_num(v, "tokens_predicted", 5);
    is_num(v, "tokens_evaluated", 10);
    is_num(v, "tokens_cached", 6);
    is_num(v, "timings.cache_n", 6);
    is_num(v, "timings.prompt_n", 4);
    is_num(v, "timings.prompt_ms", 8);
    is_num(v, "timings.prompt_per_token_ms", 2);
    is_num(v, "timings.prompt_per_second", 500);
    is_num(v, "timings.predicted_n", 5);
    is_num(v, "timings.predicted_ms", 50);
    is_num(v, "timings.predicted_per_token_ms", 10);
    is_num(v, "timings.predicted_per_second", 100);
    is_num(v, "generation_settings.seed", 3);
    is_num(v, "generation_settings.temperature", 1); /* the model's */
    is_num(v, "generation_settings.top_p", 0.95);
    is_num(v, "generation_settings.top_k", 50);
    is_num(v, "generation_settings.n_predict", -1);
    is_num(v, "generation_settings.n_ctx", 4096);
    is_raw(v, "generation_settings.stop", "[\"END\"]");
    is_raw(v, "generation_settings.logit_bias", "[{\"token\":5,\"bias\":-100}]");
    assert_null(glim_json_get(v, "completion_probabilities"));
    glim_buf_deinit(&out);
    /* what was asked for beats the model */
    out = run("{'prompt':[1,'x'],'temperature':0,'top_p':0.5,'top_k':0,'n_predict':9}", ev, 3);
    v = read_body(arena, &out);
    is_num(v, "generation_settings.temperature", 0);
    is_num(v, "generation_settings.top_p", 0.5);
    is_num(v, "generation_settings.top_k", 0);
    is_num(v, "generation_settings.n_predict", 9);
    is_num(v, "generation_settings.seed", -1);
    assert_null(glim_json_get(v, "prompt")); /* it was no text */
    glim_buf_deinit(&out);
}

static void stop_types(void **state)
{
    (void)state;
    static const struct {
        glim_stop_reason why;
        const char *type;
        bool truncated;
    } cases[] = {{GLIM_STOP_END, "eos", false},      {GLIM_STOP_STRING, "word", false},
                 {GLIM_STOP_LENGTH, "limit", false}, {GLIM_STOP_CONTEXT, "limit", true},
                 {GLIM_STOP_LOOP, "limit", false},   {GLIM_STOP_CANCEL, "none", false}};
    static const glim_usage nothing = {.n_prompt = 0};
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        const glim_event ev[] = {STOP_AT(cases[i].why, &nothing, "w")};
        glim_buf out = run("{'prompt':'p'}", ev, 1);
        const glim_json *v = read_body(arena, &out);
        is_str(v, "stop_type", cases[i].type);
        is_str(v, "stopping_word", cases[i].why == GLIM_STOP_STRING ? "w" : "");
        assert_int_equal(glim_json_get(v, "truncated")->type,
                         cases[i].truncated ? GLIM_JSON_TRUE : GLIM_JSON_FALSE);
        assert_int_equal(glim_json_get(v, "stop_reason") != NULL, cases[i].why == GLIM_STOP_LOOP);
        assert_int_equal(glim_json_get(v, "has_new_line")->type, GLIM_JSON_FALSE);
        /* nothing divided by nothing */
        is_num(v, "timings.prompt_per_token_ms", 0);
        is_num(v, "timings.prompt_per_second", 0);
        is_num(v, "timings.predicted_per_token_ms", 0);
        is_num(v, "timings.predicted_per_second", 0);
        glim_buf_deinit(&out);
    }
}

#define LP(s, id_, p)                                                                              \
    {                                                                                              \
        .kind = GLIM_EV_LOGPROBS, .logprobs = &(const glim_token_logprobs)                         \
        {                                                                                          \
            .chosen = {.id = (id_), .logprob = (p), .bytes = {(s), sizeof(s) - 1}}, .top = tops,   \
            .n_top = 1                                                                             \
        }                                                                                          \
    }
static const glim_logprob tops[] = {{.id = 77, .logprob = -0.5f, .bytes = {"t", 1}}};
static const int32_t answer[] = {11, 12, 13, 14, 2};

static glim_event stop_with_ids(void)
{
    glim_event ev = STOP_AT(GLIM_STOP_END, &usage, "");
    ev.ids = answer;
    ev.n_id = 5;
    return ev;
}

static void stream(void **state)
{
    (void)state;
    glim_event ev[] = {
        LP("\xC3", 11, -1), LP("\xA9", 12, -1), C("\xC3\xA9"), LP("b", 13, -2), C("b"), C(""),
        LP("<x>", 14, -3),  stop_with_ids()};
    ev[2].usage = &so_far;
    glim_buf out = run("{'prompt':'p','stream':true,'return_tokens':true}", ev, GLIM_COUNT(ev));
    pieces p = read_stream(arena, &out);
    assert_int_equal(p.n, 3);
    is_str(p.v[0], "content", "\xC3\xA9");
    is_raw(p.v[0], "tokens", "[11,12]");
    is_num(p.v[0], "tokens_predicted", 2);
    is_num(p.v[0], "tokens_evaluated", 10);
    is_num(p.v[0], "index", 0);
    is_num(p.v[0], "id_slot", -1);
    assert_int_equal(glim_json_get(p.v[0], "stop")->type, GLIM_JSON_FALSE);
    assert_null(glim_json_get(p.v[0], "completion_probabilities"));
    is_str(p.v[1], "content", "b");
    is_raw(p.v[1], "tokens", "[13]");
    /* the last one: everything, and the tokens that made no text */
    is_str(p.v[2], "content", "");
    is_raw(p.v[2], "tokens", "[14,2]");
    is_str(p.v[2], "stop_type", "eos");
    is_num(p.v[2], "tokens_predicted", 5);
    is_num(p.v[2], "timings.predicted_n", 5);
    assert_int_equal(glim_json_get(p.v[2], "stop")->type, GLIM_JSON_TRUE);
    glim_buf_deinit(&out);
    /* the same, whole */
    out = run("{'prompt':'p','return_tokens':true}", ev, GLIM_COUNT(ev));
    const glim_json *v = read_body(arena, &out);
    is_str(v, "content",
           "\xC3\xA9"
           "b");
    is_raw(v, "tokens", "[11,12,13,14,2]");
    glim_buf_deinit(&out);
    /* nobody asked for tokens */
    out = run("{'prompt':'p','stream':true}", ev, GLIM_COUNT(ev));
    p = read_stream(arena, &out);
    assert_int_equal(p.n, 3);
    is_raw(p.v[0], "tokens", "[]");
    is_raw(p.v[2], "tokens", "[]");
    assert_null(strstr(out.p, "[DONE]"));
    glim_buf_deinit(&out);
}

static void probabilities(void **state)
{
    (void)state;
    const glim_event ev[] = {LP("a", 11, -0.25f), LP("\xC3", 12, -1), C("a"),
                             LP("\xA9", 13, -1),  C("\xC3\xA9"),      LP("END", 14, -2),
                             stop_with_ids()};
    static const char a[] =
        "{\"id\":11,\"token\":\"a\",\"logprob\":-0.25,\"bytes\":[97],\"top_logprobs\":[{\"id\":77,"
        "\"token\":\"t\",\"logprob\":-0.5,\"bytes\":[116]}]}";
    glim_buf out = run("{'prompt':'p','n_probs':1}", ev, GLIM_COUNT(ev));
    const glim_json *list = glim_json_get(read_body(arena, &out), "completion_probabilities");
    assert_int_equal(list->n_child, 3); /* the stop string's is in none */
    assert_true(glim_str_is(glim_json_at(list, 0)->text, a));
    is_num(glim_json_at(list, 1), "id", 12);
    is_raw(glim_json_at(list, 1), "bytes", "[195]");
    glim_buf_deinit(&out);
    out = run("{'prompt':'p','n_probs':1,'stream':true}", ev, GLIM_COUNT(ev));
    pieces p = read_stream(arena, &out);
    assert_int_equal(p.n, 3);
    list = glim_json_get(p.v[0], "completion_probabilities");
    assert_int_equal(list->n_child, 1);
    assert_true(glim_str_is(list->child->text, a));
    assert_int_equal(glim_json_get(p.v[1], "completion_probabilities")->n_child, 2);
    assert_int_equal(glim_json_get(p.v[2], "completion_probabilities")->n_child, 0);
    glim_buf_deinit(&out);
}

static void response_fields(void **state)
{
    (void)state;
    const glim_event ev[] = {C("a"), STOP(GLIM_STOP_END, &usage)};
    glim_buf out =
        run("{'prompt':'p','response_fields':['tokens_predicted','content','nothing']}", ev, 2);
    script_check(&out, "{\"content\":\"a\",\"tokens_predicted\":5}");
    glim_buf_deinit(&out);
    out = run("{'prompt':'p','stream':true,'response_fields':['stop']}", ev, 2);
    pieces p = read_stream(arena, &out);
    is_str(p.v[0], "content", "a"); /* pieces are whole */
    assert_int_equal(p.v[1]->n_child, 1);
    glim_buf_deinit(&out);
}

/* Only the prompt is read: the one token behind it is nobody's. */
static void no_text(void **state)
{
    (void)state;
    for (int streaming = 0; streaming < 2; streaming++) {
        const glim_event ev[] = {LP("a", 11, -1), C("a"), stop_with_ids()};
        glim_buf out = run(streaming ? "{'prompt':'p','n_predict':0,'return_tokens':true,"
                                       "'stream':true}"
                                     : "{'prompt':'p','n_predict':0,'return_tokens':true}",
                           ev, 3);
        pieces p = {.n = 1};
        if (streaming)
            p = read_stream(arena, &out);
        else
            p.v[0] = read_body(arena, &out);
        assert_int_equal(p.n, 1);
        is_str(p.v[0], "content", "");
        is_raw(p.v[0], "tokens", "[]");
        is_num(p.v[0], "tokens_predicted", 0);
        is_num(p.v[0], "tokens_evaluated", 10);
        is_num(p.v[0], "timings.predicted_ms", 0);
        is_num(p.v[0], "generation_settings.n_predict", 0);
        glim_buf_deinit(&out);
    }
}

/* Answer i*n+k belongs to prompt i. */
static void several(void **state)
{
    (void)state;
    static const char *const prompt_of[] = {"p", "p", "q", "q"};
    for (int streaming = 0; streaming < 2; streaming++) {
        glim_request rq = accept(streaming ? "{'prompt':['p','q'],'n_cmpl':2,'stream':true}"
                                           : "{'prompt':['p','q'],'n_cmpl':2}");
        const glim_event stop = STOP(GLIM_STOP_END, &usage);
        glim_buf out;
        glim_buf_init(&out, 1 << 20);
        glim_reply *r = D->reply_new(&rq, &script_info);
        for (size_t i = 4; i-- > 0;) {
            char mark[2] = {(char)('0' + i), 0};
            const glim_event c = {.kind = GLIM_EV_CONTENT, .text = {mark, 1}};
            assert_int_equal(D->event(r, i, &c, &out), GLIM_OK);
            assert_int_equal(D->event(r, i, &stop, &out), GLIM_OK);
            assert_int_equal(D->event(r, i, &c, &out), GLIM_OK); /* behind the end: nothing */
        }
        assert_int_equal(D->event(r, 4, &stop, &out), GLIM_E_STATE);
        assert_int_equal(D->end(r, &out), GLIM_OK);
        pieces p = {.n = 0};
        if (streaming) p = read_stream(arena, &out);
        const glim_json *list = streaming ? NULL : read_body(arena, &out);
        if (streaming)
            assert_int_equal(p.n, 8);
        else
            assert_int_equal(list->n_child, 4);
        for (size_t i = 0; i < 4; i++) {
            char mark[2] = {(char)('0' + i), 0};
            const glim_json *v = streaming ? p.v[2 * (3 - i)] : glim_json_at(list, i);
            is_str(v, "content", mark);
            is_num(v, "index", (double)i);
            is_str(streaming ? p.v[2 * (3 - i) + 1] : v, "prompt", prompt_of[i]);
        }
        D->reply_free(r);
        glim_buf_deinit(&out);
    }
}

static void problems(void **state)
{
    (void)state;
    glim_problem p;
    glim_buf b;
    glim_buf_init(&b, 4096);
    glim_problem_set(&p, GLIM_PROBLEM_CONTEXT, "messages", "too long");
    p.n_prompt = 9;
    p.n_ctx = 8;
    static const char body[] =
        "{\"error\":{\"code\":400,\"message\":\"too long\",\"type\":\"exceed_context_size_error\","
        "\"n_prompt_tokens\":9,\"n_ctx\":8}}";
    assert_int_equal(D->problem(&p, GLIM_STR("r"), &b), GLIM_OK);
    script_check(&b, body);
    glim_buf_clear(&b);
    assert_int_equal(D->stream_problem(&p, GLIM_STR("r"), &b), GLIM_OK);
    assert_true(glim_str_starts(glim_buf_view(&b), GLIM_STR("event: error\ndata: {\"error\":")));
    assert_true(glim_str_ends(glim_buf_view(&b), GLIM_STR("}\n\n")));
    assert_int_equal(D->status(&p), 400);
    glim_buf_deinit(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prompts),       cmocka_unit_test(defaults),
        cmocka_unit_test(used),          cmocka_unit_test(ends_of_ranges),
        cmocka_unit_test(biases),        cmocka_unit_test(neutral_and_noted),
        cmocka_unit_test(refusals),      cmocka_unit_test(whole),
        cmocka_unit_test(stop_types),    cmocka_unit_test(stream),
        cmocka_unit_test(probabilities), cmocka_unit_test(response_fields),
        cmocka_unit_test(no_text),       cmocka_unit_test(several),
        cmocka_unit_test(problems),
    };
    return cmocka_run_group_tests_name("api/llama", tests, setup, teardown);
}
