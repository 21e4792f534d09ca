/* SPDX-License-Identifier: MIT
 * test_ollama.c - bodies of Ollama's /api/generate and /api/chat: every field and option, refusals
 * by name, messages and tools, and when nothing is to be generated. */
#include "script.h"

#include <math.h>

#define CHAT (&glim_dialect_ollama_chat)
#define GENERATE (&glim_dialect_ollama_generate)

static glim_arena *arena;
static char text[8192];

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

/* Single quotes stand for double ones. */
static glim_err decode(const glim_dialect *d, const char *json, glim_request *rq, glim_problem *p)
{
    snprintf(text, sizeof text, "%s", json);
    for (char *c = text; *c; c++)
        if (*c == '\'') *c = '"';
    return d->decode(arena, glim_str_of(text), rq, p);
}

static glim_request accept(const glim_dialect *d, const char *json)
{
    glim_request rq;
    glim_problem p = {0};
    glim_err rc = decode(d, json, &rq, &p);
    if (rc) print_error("%s: %s\n", json, p.msg);
    assert_int_equal(rc, GLIM_OK);
    assert_int_equal(rq.n, 1);
    return rq;
}

static void assert_str(glim_str got, const char *want)
{
    if (!glim_str_is(got, want)) print_error("got %.*s, want %s\n", GLIM_STR_ARG(got), want);
    assert_true(glim_str_is(got, want));
}

static bool noted(const glim_request *rq, const char *name)
{
    for (size_t i = 0; i < rq->n_note; i++)
        if (glim_str_is(rq->notes[i], name)) return true;
    return false;
}

/* ---- generate -------------------------------------------------------------------------------- */

static void prompts(void **state)
{
    (void)state;
    glim_request rq = accept(GENERATE, "{'model':'glm:8b','prompt':'hi'}");
    assert_str(rq.model, "glm:8b");
    assert_true(rq.stream && rq.want_ids);
    assert_false(rq.raw || rq.instead || rq.logprobs);
    assert_int_equal(rq.chat.n_message, 1);
    assert_int_equal(rq.chat.messages[0].role, GLIM_ROLE_USER);
    assert_str(rq.chat.messages[0].content, "hi");
    assert_false(rq.chat.messages[0].has_reasoning);
    assert_int_equal(rq.chat.think, GLIM_UNSET);
    assert_int_equal(rq.chat.keep_old, GLIM_ON);
    assert_int_equal(rq.context.n, 0);
    assert_int_equal(rq.n_note + rq.n_unknown, 0);

    rq = accept(GENERATE, "{'model':'','prompt':'hi','system':'be brief','context':[1,2,3],"
                          "'stream':false,'x':1}");
    assert_str(rq.model, "");
    assert_false(rq.stream);
    assert_int_equal(rq.n_unknown, 1);
    assert_int_equal(rq.chat.n_message, 2);
    assert_int_equal(rq.chat.messages[0].role, GLIM_ROLE_SYSTEM);
    assert_str(rq.chat.messages[0].content, "be brief");
    assert_str(rq.chat.messages[1].content, "hi");
    assert_int_equal(rq.context.n, 3);
    assert_int_equal(rq.context.ids[2], 3);

    rq = accept(GENERATE, "{'model':'m','prompt':'<|user|>hi','raw':true,'think':true}");
    assert_true(rq.raw);
    assert_false(rq.want_ids);
    assert_int_equal(rq.n_prompt, 1);
    assert_str(rq.prompts[0].text, "<|user|>hi");
    assert_int_equal(rq.chat.n_message, 0);
    assert_true(noted(&rq, "think"));
}

/* What the Python client sends of itself, and null for everything that may be left out. */
static void neutral(void **state)
{
    (void)state;
    glim_request rq = accept(
        GENERATE, "{'model':'m','prompt':'hi','suffix':'','system':'','template':'','context':[],"
                  "'raw':false,'images':[],'format':'','stream':true,'_debug_render_only':false}");
    assert_int_equal(rq.chat.n_message, 1);
    assert_int_equal(rq.n_note + rq.n_unknown, 0);
    rq = accept(GENERATE,
                "{'model':'m','prompt':'hi','suffix':null,'system':null,'template':null,"
                "'context':null,'raw':null,'images':null,'format':null,'stream':null,'think':null,"
                "'keep_alive':null,'options':null,'logprobs':null,'top_logprobs':null,"
                "'truncate':null,'shift':null,'width':null,'height':null,'steps':null}");
    assert_true(rq.stream);
    assert_int_equal(rq.n_note + rq.n_unknown, 0);
    assert_int_equal(rq.gen.n_logprob, -1);
    rq = accept(CHAT, "{'model':'m','messages':[{'role':'user','content':'u','thinking':null,"
                      "'images':null,'tool_calls':null,'tool_name':null}],'tools':[],"
                      "'options':{'seed':null,'stop':null,'num_ctx':null}}");
    assert_int_equal(rq.n_note + rq.n_unknown, 0);
    assert_false(rq.gen.has_seed);
    assert_int_equal(rq.chat.n_tool, 0);
    assert_false(rq.want_ids);
}

static void options(void **state)
{
    (void)state;
    glim_request rq = accept(GENERATE, "{'model':'m','prompt':'x','options':{}}");
    assert_true(isnan(rq.gen.temperature) && isnan(rq.gen.top_p) && isnan(rq.gen.min_p));
    assert_int_equal(rq.gen.top_k, -1);
    assert_int_equal(rq.gen.n_max, -1);
    assert_int_equal(rq.gen.n_stop, 0);
    assert_true(rq.gen.repetition_penalty == 1);
    rq =
        accept(GENERATE,
               "{'model':'m','prompt':'x','options':{'num_predict':20,'temperature':0.5,'top_k':40,"
               "'top_p':0.25,'min_p':0.125,'repeat_penalty':1.5,'presence_penalty':-1,"
               "'frequency_penalty':0.5,'seed':42,'stop':['a','b']}}");
    assert_int_equal(rq.gen.n_max, 20);
    assert_true(rq.gen.temperature == 0.5f && rq.gen.top_p == 0.25f && rq.gen.min_p == 0.125f);
    assert_int_equal(rq.gen.top_k, 40);
    assert_true(rq.gen.repetition_penalty == 1.5f && rq.gen.presence_penalty == -1 &&
                rq.gen.frequency_penalty == 0.5f);
    assert_true(rq.gen.has_seed);
    assert_int_equal(rq.gen.seed, 42);
    assert_int_equal(rq.gen.n_stop, 2);
    assert_str(rq.gen.stops[1], "b");
    assert_int_equal(rq.n_note + rq.n_unknown, 0);
    assert_str(accept(CHAT, "{'model':'m','options':{'stop':'x'}}").gen.stops[0], "x");
    assert_false(accept(CHAT, "{'model':'m','options':{'seed':-1}}").gen.has_seed);
    assert_true(accept(CHAT, "{'model':'m','options':{'seed':0}}").gen.has_seed);
    static const char *const unlimited[] = {"-1", "-2", "0"};
    for (size_t i = 0; i < GLIM_COUNT(unlimited); i++) {
        char json[128];
        snprintf(json, sizeof json, "{'model':'m','options':{'num_predict':%s}}", unlimited[i]);
        assert_int_equal(accept(CHAT, json).gen.n_max, -1);
    }
    assert_int_equal(accept(CHAT, "{'model':'m','options':{'top_k':0}}").gen.top_k, 0);
    assert_int_equal(accept(CHAT, "{'model':'m','options':{'top_k':-1}}").gen.top_k, 0);
    /* the request's own level knows none of them */
    rq = accept(CHAT, "{'model':'m','temperature':9,'options':{'model':'x','other':1}}");
    assert_int_equal(rq.n_unknown, 3);
    assert_str(rq.model, "m");
}

static void notes(void **state)
{
    (void)state;
    static const char *const ints[] = {"num_ctx",   "num_keep", "repeat_last_n", "mirostat",
                                       "num_batch", "num_gpu",  "main_gpu",      "num_thread"};
    static const char *const numbers[] = {"typical_p", "tfs_z", "mirostat_tau", "mirostat_eta"};
    static const char *const bools[] = {"penalize_newline", "numa",       "low_vram",
                                        "f16_kv",           "logits_all", "vocab_only",
                                        "use_mmap",         "use_mlock",  "embedding_only"};
    static const struct {
        const char *const *names;
        size_t n;
        const char *good, *bad;
    } groups[] = {{ints, GLIM_COUNT(ints), "4096", "'4096'"},
                  {ints, GLIM_COUNT(ints), "-1", "1.5"},
                  {numbers, GLIM_COUNT(numbers), "0.5", "true"},
                  {bools, GLIM_COUNT(bools), "true", "1"}};
    for (size_t g = 0; g < GLIM_COUNT(groups); g++) {
        for (size_t i = 0; i < groups[g].n; i++) {
            char json[128], path[64];
            glim_problem p = {0};
            const char *name = groups[g].names[i];
            snprintf(json, sizeof json, "{'model':'m','options':{'%s':%s}}", name, groups[g].good);
            glim_request rq = accept(CHAT, json);
            assert_true(noted(&rq, name) && rq.n_note == 1 && rq.n_unknown == 0);
            snprintf(json, sizeof json, "{'model':'m','options':{'%s':%s}}", name, groups[g].bad);
            assert_int_equal(decode(CHAT, json, &rq, &p), GLIM_E_INPUT);
            snprintf(path, sizeof path, "options.%s", name);
            assert_string_equal(p.param, path);
        }
    }
    glim_request rq = accept(GENERATE, "{'model':'m','prompt':'x','truncate':false,'shift':true,"
                                       "'keep_alive':'5m','top_logprobs':3,'width':1}");
    assert_true(noted(&rq, "truncate") && noted(&rq, "shift") && noted(&rq, "keep_alive"));
    assert_true(noted(&rq, "top_logprobs") && noted(&rq, "width"));
    assert_int_equal(rq.n_note, 5);
    assert_false(rq.logprobs || rq.gen.n_logprob >= 0);
    rq = accept(GENERATE, "{'model':'m','prompt':'x','logprobs':true,'top_logprobs':20}");
    assert_true(rq.logprobs);
    assert_int_equal(rq.gen.n_logprob, 20);
    assert_int_equal(accept(CHAT, "{'model':'m','logprobs':true}").gen.n_logprob, 0);
}

static void thinking(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        glim_tristate think;
    } cases[] = {{"true", GLIM_ON},  {"false", GLIM_OFF},   {"null", GLIM_UNSET},
                 {"'low'", GLIM_ON}, {"'medium'", GLIM_ON}, {"'high'", GLIM_ON},
                 {"'max'", GLIM_ON}};
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        char json[128];
        snprintf(json, sizeof json, "{'model':'m','prompt':'x','think':%s}", cases[i].value);
        assert_int_equal(accept(GENERATE, json).chat.think, cases[i].think);
        snprintf(json, sizeof json, "{'model':'m','think':%s}", cases[i].value);
        assert_int_equal(accept(CHAT, json).chat.think, cases[i].think);
    }
}

/* ---- nothing to generate --------------------------------------------------------------------- */

static void instead(void **state)
{
    (void)state;
    static const struct {
        const char *keep, *reason;
    } cases[] = {
        {"null", "load"},    {"0", "unload"},          {"0.0", "unload"},   {"'0'", "unload"},
        {"'0s'", "unload"},  {"'0h0m0.0s'", "unload"}, {"-1", "load"},      {"'-1'", "load"},
        {"'5m'", "load"},    {"'1h30m'", "load"},      {"'-1.5h'", "load"}, {"300", "load"},
        {"'100ms'", "load"}, {"'3\\u00b5s'", "load"},  {"'.5s'", "load"},   {"'+2us10ns'", "load"}};
    static const struct {
        const glim_dialect *d;
        const char *rest, *said;
    } forms[] = {
        {CHAT, "", "\"message\":{\"role\":\"assistant\",\"content\":\"\"}"},
        {CHAT, ",'messages':[]", "\"message\":{\"role\":\"assistant\",\"content\":\"\"}"},
        {GENERATE, "", "\"response\":\"\""},
        {GENERATE, ",'prompt':'','system':'s','context':[1]", "\"response\":\"\""},
        {GENERATE, ",'prompt':null,'raw':true", "\"response\":\"\""},
    };
    for (size_t i = 0; i < GLIM_COUNT(cases) * GLIM_COUNT(forms); i++) {
        size_t k = i % GLIM_COUNT(cases), f = i / GLIM_COUNT(cases);
        char json[256], want[512];
        snprintf(json, sizeof json, "{'model':'m','keep_alive':%s%s,'stream':%s}", cases[k].keep,
                 forms[f].rest, k % 2 ? "true" : "false");
        glim_request rq = accept(forms[f].d, json);
        assert_true(rq.instead && rq.own);
        assert_false(rq.raw || rq.want_ids);
        assert_int_equal(rq.chat.n_message, 0);
        bool unload = strcmp(cases[k].reason, "unload") == 0;
        assert_int_equal(rq.unload, unload);
        assert_int_equal(noted(&rq, "keep_alive"), k != 0 && !unload);
        glim_buf b;
        glim_buf_init(&b, 4096);
        assert_int_equal(forms[f].d->instead(&rq, &script_info, &b), GLIM_OK);
        snprintf(
            want, sizeof want,
            "{\"model\":\"glm-4.7-flash\",\"created_at\":\"2023-11-14T22:13:20.000000000Z\",%s,"
            "\"done\":true,\"done_reason\":\"%s\"}%s",
            forms[f].said, cases[k].reason, k % 2 ? "\n" : "");
        script_check(&b, want);
        glim_buf_deinit(&b);
    }
    /* a body with something to answer is answered, whatever is said of the model's stay */
    glim_request rq = accept(GENERATE, "{'model':'m','prompt':'x','keep_alive':0}");
    assert_true(rq.unload && !rq.instead);
}

/* ---- chat ------------------------------------------------------------------------------------ */

static void messages(void **state)
{
    (void)state;
    glim_request rq = accept(
        CHAT,
        "{'model':'m','messages':[{'role':'system','content':'s'},{'role':'user','content':'u'},"
        "{'role':'assistant','thinking':'t','tool_calls':["
        "{'id':'c1','type':'function','function':{'index':0,'name':'f','arguments':{'b':1.50,"
        "'a':[ "
        "]}}},{'function':{'name':'g'}},{'id':'c3','function':{'name':'f','arguments':null}}]},"
        "{'role':'tool','tool_name':'g','content':'of g'},{'role':'tool','content':'first'},"
        "{'role':'tool','tool_call_id':'strange','content':'x'},"
        "{'role':'tool','content':'one too many'},{'role':'assistant','content':'a','thinking':''},"
        "{'role':'user','content':null,'thinking':'not mine'}]}");
    const glim_message *m = rq.chat.messages;
    assert_int_equal(rq.chat.n_message, 9);
    assert_str(m[0].content, "s");
    assert_true(m[2].has_reasoning);
    assert_str(m[2].reasoning, "t");
    assert_str(m[2].content, "");
    assert_int_equal(m[2].n_call, 3);
    assert_str(m[2].calls[0].id, "c1");
    assert_str(m[2].calls[0].name, "f");
    assert_str(m[2].calls[0].arguments, "{\"b\":1.50,\"a\":[ ]}");
    assert_str(m[2].calls[1].id, "");
    assert_str(m[2].calls[1].arguments, "{}");
    assert_str(m[2].calls[2].arguments, "{}");
    assert_str(m[3].tool_call_id, ""); /* g's call has none */
    assert_str(m[4].tool_call_id, "c1");
    assert_str(m[5].tool_call_id, "strange");
    assert_str(m[6].tool_call_id, "");
    assert_true(m[7].has_reasoning);
    assert_str(m[7].reasoning, "");
    assert_false(m[8].has_reasoning);
    assert_str(m[8].content, "");
}

/* Results find their calls by id, by the tool's name, by order; of the last turn with calls. */
static void results(void **state)
{
    (void)state;
#define TURN                                                                                       \
    "{'role':'assistant','tool_calls':[{'id':'c0','function':{'name':'a'}},"                       \
    "{'id':'c1','function':{'name':'b'}},{'id':'c2','function':{'name':'a'}}]}"
    static const struct {
        const char *results, *ids[3];
    } cases[] = {
        {"{'role':'tool'},{'role':'tool'},{'role':'tool'}", {"c0", "c1", "c2"}},
        {"{'role':'tool','tool_name':'b'},{'role':'tool','tool_name':'a'},"
         "{'role':'tool','tool_name':'a'}",
         {"c1", "c0", "c2"}},
        {"{'role':'tool','tool_call_id':'c2'},{'role':'tool','tool_name':'a'},{'role':'tool'}",
         {"c2", "c0", "c1"}},
        {"{'role':'tool','tool_name':'none'},{'role':'tool','tool_call_id':'c0'},{'role':'tool'}",
         {"c0", "c0", "c2"}},
    };
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        char json[1024];
        snprintf(json, sizeof json,
                 "{'model':'m','messages':[{'role':'assistant','tool_calls':[{'id':'old',"
                 "'function':{'name':'a'}}]}," TURN ",%s]}",
                 cases[i].results);
        glim_request rq = accept(CHAT, json);
        for (size_t k = 0; k < 3; k++)
            assert_str(rq.chat.messages[2 + k].tool_call_id, cases[i].ids[k]);
    }
}

/* More calls than the window that is searched: by order they still find each other. */
static void many_results(void **state)
{
    (void)state;
    enum { N = 200 };
    glim_buf b;
    glim_buf_init(&b, 1 << 20);
    glim_buf_adds(&b, "{\"model\":\"m\",\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[");
    for (int i = 0; i < N; i++)
        glim_buf_addf(&b, "%s{\"id\":\"c%d\",\"function\":{\"name\":\"f%d\"}}", i ? "," : "", i, i);
    glim_buf_adds(&b, "]}");
    for (int i = 0; i < N; i++)
        glim_buf_adds(&b, ",{\"role\":\"tool\",\"content\":\"r\"}");
    glim_buf_adds(&b, "]}");
    glim_request rq;
    glim_problem p = {0};
    assert_int_equal(CHAT->decode(arena, glim_buf_view(&b), &rq, &p), GLIM_OK);
    for (int i = 0; i < N; i++) {
        char want[16];
        snprintf(want, sizeof want, "c%d", i);
        assert_str(rq.chat.messages[1 + i].tool_call_id, want);
    }
    glim_buf_deinit(&b);
}

static void tools(void **state)
{
    (void)state;
    glim_request rq = accept(
        CHAT,
        "{'model':'m','messages':[{'role':'user','content':'u'}],'tools':[{'type':'function',"
        "'function':{'name':'f','strict':true,'parameters':{'type':'object','properties':{}}}}"
        ",{'type':'web_search','web_search':{'enable':false}}]}");
    assert_int_equal(rq.chat.n_tool, 1);
    assert_str(rq.chat.tools[0].name, "f");
    assert_true(noted(&rq, "tools.function.strict") && noted(&rq, "tools.web_search"));
}

/* ---- refusals -------------------------------------------------------------------------------- */

typedef struct refusal {
    const char *json, *param, *msg; /* msg: how it begins, without the path */
    glim_problem_kind kind;
} refusal;

static void refuse(const glim_dialect *d, const refusal *r, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        glim_request rq;
        glim_problem p = {0};
        char want[256];
        assert_int_not_equal(decode(d, r[i].json, &rq, &p), GLIM_OK);
        snprintf(want, sizeof want, "%s%s%s", r[i].param, r[i].param[0] ? ": " : "", r[i].msg);
        if (strncmp(p.msg, want, strlen(want)) != 0 || p.kind != r[i].kind)
            print_error("%s: %s\n", r[i].json, p.msg);
        assert_memory_equal(p.msg, want, strlen(want));
        assert_int_equal(p.kind, r[i].kind);
        assert_string_equal(p.param, r[i].param);
        assert_int_equal(d->status(&p), 400);
        glim_buf b;
        glim_buf_init(&b, 4096);
        assert_int_equal(d->problem(&p, GLIM_STR("r"), &b), GLIM_OK);
        assert_memory_equal(b.p, "{\"error\":\"", 10);
        glim_buf_deinit(&b);
    }
}

static void refusals(void **state)
{
    (void)state;
    static const refusal both[] = {
        {"{}", "model", "missing", GLIM_PROBLEM_MISSING},
        {"{'model':null}", "model", "missing", GLIM_PROBLEM_MISSING},
        {"{'model':1}", "model", "expected a string", GLIM_PROBLEM_BAD},
        {"[]", "", "expected a request object", GLIM_PROBLEM_BAD},
        {"{'model':'m'}x", "", "at byte", GLIM_PROBLEM_BAD},
        {"{'model':'m','model':'n'}", "model", "", GLIM_PROBLEM_BAD},
        {"{'model':'m','stream':'no'}", "stream", "expected true", GLIM_PROBLEM_BAD},
        {"{'model':'m','think':1}", "think", "expected true, false", GLIM_PROBLEM_BAD},
        {"{'model':'m','think':'some'}", "think", "\"some\" is unknown", GLIM_PROBLEM_BAD},
        {"{'model':'m','think':''}", "think", "\"\" is unknown", GLIM_PROBLEM_BAD},
        {"{'model':'m','format':'json'}", "format", "structured", GLIM_PROBLEM_UNSUPPORTED},
        {"{'model':'m','format':{}}", "format", "structured", GLIM_PROBLEM_UNSUPPORTED},
        {"{'model':'m','format':'xml'}", "format", "\"xml\" is unknown", GLIM_PROBLEM_BAD},
        {"{'model':'m','format':true}", "format", "expected \"json\"", GLIM_PROBLEM_BAD},
        {"{'model':'m','format':[]}", "format", "expected \"json\"", GLIM_PROBLEM_BAD},
        {"{'model':'m','keep_alive':true}", "keep_alive", "expected a number", GLIM_PROBLEM_BAD},
        {"{'model':'m','keep_alive':'5 m'}", "keep_alive", "\"5 m\" is no", GLIM_PROBLEM_BAD},
        {"{'model':'m','keep_alive':''}", "keep_alive", "\"\" is no", GLIM_PROBLEM_BAD},
        {"{'model':'m','keep_alive':'-'}", "keep_alive", "\"-\" is no", GLIM_PROBLEM_BAD},
        {"{'model':'m','keep_alive':'5m3'}", "keep_alive", "\"5m3\" is no", GLIM_PROBLEM_BAD},
        {"{'model':'m','keep_alive':'.m'}", "keep_alive", "\".m\" is no", GLIM_PROBLEM_BAD},
        {"{'model':'m','keep_alive':'1.2.3s'}", "keep_alive", "\"1.2", GLIM_PROBLEM_BAD},
        {"{'model':'m','keep_alive':'1d'}", "keep_alive", "\"1d\" is no", GLIM_PROBLEM_BAD},
        {"{'model':'m','truncate':1}", "truncate", "expected true", GLIM_PROBLEM_BAD},
        {"{'model':'m','shift':'x'}", "shift", "expected true", GLIM_PROBLEM_BAD},
        {"{'model':'m','logprobs':2}", "logprobs", "expected true", GLIM_PROBLEM_BAD},
        {"{'model':'m','top_logprobs':21}", "top_logprobs", "21 is above", GLIM_PROBLEM_BAD},
        {"{'model':'m','top_logprobs':-1}", "top_logprobs", "-1 is below", GLIM_PROBLEM_BAD},
        {"{'model':'m','_debug_render_only':true}", "_debug_render_only", "only false",
         GLIM_PROBLEM_UNSUPPORTED},
        {"{'model':'m','options':[]}", "options", "expected an object", GLIM_PROBLEM_BAD},
        {"{'model':'m','options':{'temperature':3}}", "options.temperature", "3 is above 2",
         GLIM_PROBLEM_BAD},
        {"{'model':'m','options':{'temperature':'hot'}}", "options.temperature", "expected a num",
         GLIM_PROBLEM_BAD},
        {"{'model':'m','options':{'top_p':1.5}}", "options.top_p", "1.5 is above",
         GLIM_PROBLEM_BAD},
        {"{'model':'m','options':{'min_p':-1}}", "options.min_p", "-1 is below", GLIM_PROBLEM_BAD},
        {"{'model':'m','options':{'top_k':1.5}}", "options.top_k", "1.5 is no int",
         GLIM_PROBLEM_BAD},
        {"{'model':'m','options':{'top_k':-2}}", "options.top_k", "-2 is below", GLIM_PROBLEM_BAD},
        {"{'model':'m','options':{'num_predict':'9'}}", "options.num_predict", "expected an int",
         GLIM_PROBLEM_BAD},
        {"{'model':'m','options':{'repeat_penalty':0}}", "options.repeat_penalty", "0 is out of",
         GLIM_PROBLEM_BAD},
        {"{'model':'m','options':{'presence_penalty':3}}", "options.presence_penalty",
         "3 is above 2", GLIM_PROBLEM_BAD},
        {"{'model':'m','options':{'frequency_penalty':-3}}", "options.frequency_penalty",
         "-3 is below -2", GLIM_PROBLEM_BAD},
        {"{'model':'m','options':{'seed':'x'}}", "options.seed", "expected an", GLIM_PROBLEM_BAD},
        {"{'model':'m','options':{'stop':1}}", "options.stop", "expected a", GLIM_PROBLEM_BAD},
        {"{'model':'m','options':{'stop':['a',1]}}", "options.stop[1]", "expected a",
         GLIM_PROBLEM_BAD},
        {"{'model':'m','options':{'stop':['']}}", "options.stop[0]", "an empty", GLIM_PROBLEM_BAD},
    };
    static const refusal generate[] = {
        {"{'model':'m','prompt':['a']}", "prompt", "expected a string", GLIM_PROBLEM_BAD},
        {"{'model':'m','system':1}", "system", "expected a string", GLIM_PROBLEM_BAD},
        {"{'model':'m','prompt':'x','suffix':'y'}", "suffix", "not supp", GLIM_PROBLEM_UNSUPPORTED},
        {"{'model':'m','prompt':'x','template':'{{.Prompt}}'}", "template", "not supported",
         GLIM_PROBLEM_UNSUPPORTED},
        {"{'model':'m','template':1}", "template", "expected a string", GLIM_PROBLEM_BAD},
        {"{'model':'m','images':['aGk=']}", "images", "the model is", GLIM_PROBLEM_UNSUPPORTED},
        {"{'model':'m','images':'aGk='}", "images", "expected a list", GLIM_PROBLEM_BAD},
        {"{'model':'m','context':'x'}", "context", "expected a list", GLIM_PROBLEM_BAD},
        {"{'model':'m','context':[1,-2]}", "context[1]", "-2 is no token", GLIM_PROBLEM_BAD},
        {"{'model':'m','context':['a']}", "context[0]", "expected a token", GLIM_PROBLEM_BAD},
        {"{'model':'m','raw':1}", "raw", "expected true", GLIM_PROBLEM_BAD},
        {"{'model':'m','prompt':'x','raw':true,'system':'s'}", "system", "given beside raw",
         GLIM_PROBLEM_EXCLUSIVE},
        {"{'model':'m','prompt':'x','raw':true,'context':[1]}", "context", "given beside raw",
         GLIM_PROBLEM_EXCLUSIVE},
        {"{'model':'m','width':'wide'}", "width", "expected an integer", GLIM_PROBLEM_BAD},
    };
    refuse(CHAT, both, GLIM_COUNT(both));
    refuse(GENERATE, both, GLIM_COUNT(both));
    refuse(GENERATE, generate, GLIM_COUNT(generate));
}

static void refused_messages(void **state)
{
    (void)state;
#define M(m) "{'model':'m','messages':[{'role':'user','content':'u'}," m "]}"
#define A(calls) M("{'role':'assistant','tool_calls':" calls "}")
#define AT "messages[1]"
    static const refusal chat[] = {
        {"{'model':'m','messages':{}}", "messages", "expected a list", GLIM_PROBLEM_BAD},
        {M("1"), AT, "expected a message object", GLIM_PROBLEM_BAD},
        {M("{}"), AT ".role", "missing", GLIM_PROBLEM_MISSING},
        {M("{'role':1}"), AT ".role", "expected a string", GLIM_PROBLEM_BAD},
        {M("{'role':'tutor'}"), AT ".role", "unknown role \"tutor\"", GLIM_PROBLEM_BAD},
        {M("{'role':'user','content':[{'type':'text','text':'x'}]}"), AT ".content",
         "expected a string", GLIM_PROBLEM_BAD},
        {M("{'role':'user','images':['x']}"), AT ".images", "the model is text-only",
         GLIM_PROBLEM_UNSUPPORTED},
        {M("{'role':'user','images':1}"), AT ".images", "expected a list", GLIM_PROBLEM_BAD},
        {M("{'role':'assistant','thinking':1}"), AT ".thinking", "expected a s", GLIM_PROBLEM_BAD},
        {M("{'role':'tool','tool_name':1}"), AT ".tool_name", "expected a string",
         GLIM_PROBLEM_BAD},
        {M("{'role':'tool','tool_call_id':1}"), AT ".tool_call_id", "expected a string",
         GLIM_PROBLEM_BAD},
        {M("{'role':'user','tool_calls':[{'function':{'name':'f'}}]}"), AT ".tool_calls", "only a",
         GLIM_PROBLEM_BAD},
        {A("{}"), AT ".tool_calls", "expected a list", GLIM_PROBLEM_BAD},
        {A("[1]"), AT ".tool_calls[0]", "expected an object", GLIM_PROBLEM_BAD},
        {A("[{}]"), AT ".tool_calls[0].function", "missing", GLIM_PROBLEM_MISSING},
        {A("[{'function':[]}]"), AT ".tool_calls[0].function", "expected an o", GLIM_PROBLEM_BAD},
        {A("[{'id':1}]"), AT ".tool_calls[0].id", "expected a string", GLIM_PROBLEM_BAD},
        {A("[{'function':{}}]"), AT ".tool_calls[0].function.name", "missing",
         GLIM_PROBLEM_MISSING},
        {A("[{'function':{'name':'f','arguments':'{}'}}]"), AT ".tool_calls[0].function.arguments",
         "expected an object", GLIM_PROBLEM_BAD},
        {A("[{'function':{'name':'f','index':'0'}}]"), AT ".tool_calls[0].function.index",
         "expected an integer", GLIM_PROBLEM_BAD},
        {"{'model':'m','tools':{}}", "tools", "expected a list", GLIM_PROBLEM_BAD},
        {"{'model':'m','tools':[{'type':'function','function':{}}]}", "tools[0].function.name",
         "missing", GLIM_PROBLEM_MISSING},
    };
    refuse(CHAT, chat, GLIM_COUNT(chat));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prompts),  cmocka_unit_test(neutral),  cmocka_unit_test(options),
        cmocka_unit_test(notes),    cmocka_unit_test(thinking), cmocka_unit_test(instead),
        cmocka_unit_test(messages), cmocka_unit_test(results),  cmocka_unit_test(many_results),
        cmocka_unit_test(tools),    cmocka_unit_test(refusals), cmocka_unit_test(refused_messages),
    };
    return cmocka_run_group_tests_name("api/ollama", tests, setup, teardown);
}
