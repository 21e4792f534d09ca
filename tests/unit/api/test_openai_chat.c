/* SPDX-License-Identifier: MIT
 * test_openai_chat.c - the fields of a chat request: sampling, thinking, tool choice, refusals by
 * name. */
#include "api/api.h"
#include "failnth.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static glim_arena *arena;
static char text[4096]; /* of the last request: decoded strings may point into it */

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

/* A request of one message with the members given, in which ' stands for ". */
static glim_err decode(const char *members, glim_chat_request *rq, glim_error *e)
{
    int n = snprintf(text, sizeof text, "{'messages':[{'role':'user','content':'hi'}]%s%s}",
                     members[0] ? "," : "", members);
    assert_true(n > 0 && (size_t)n < sizeof text);
    for (char *p = text; *p; p++)
        if (*p == '\'') *p = '"';
    return glim_openai_chat_decode(arena, glim_str_of(text), rq, e);
}

static glim_chat_request accept(const char *members)
{
    glim_chat_request rq;
    glim_error e = {0};
    glim_err rc = decode(members, &rq, &e);
    if (rc) print_error("%s: %s\n", members, e.msg);
    assert_int_equal(rc, GLIM_OK);
    assert_int_equal(rq.chat.n_message, 1);
    return rq;
}

static void defaults(void **state)
{
    (void)state;
    static const char *const same[] = {
        "",
        "'model':'glm-4.7-flash','stream':true,'stream_options':{'include_usage':true},'user':'u'",
        "'temperature':null,'top_p':null,'max_tokens':null,'stop':null,'seed':null,'tools':null,"
        "'tool_choice':null,'thinking':null,'response_format':null,'logit_bias':null,'n':null,"
        "'do_sample':null,'reasoning':null,'chat_template_kwargs':null,'audio':null,"
        "'functions':null,'extra_body':null,'add_generation_prompt':null",
        "'n':1,'presence_penalty':0,'frequency_penalty':0.0,'repetition_penalty':1.0,"
        "'repeat_penalty':1,'logprobs':false,'top_logprobs':0,'logit_bias':{},"
        "'response_format':{'type':'text'},'parallel_tool_calls':true,'stop_token_ids':[],"
        "'modalities':['text'],'echo':false,'ignore_eos':false,'separate_reasoning':true",
        "'stop':[],'tools':[],'tool_choice':'auto','functions':[],'function_call':'auto',"
        "'thinking':{},'reasoning':{},'chat_template_kwargs':{},'do_sample':true,"
        "'add_generation_prompt':true,'extra_body':{}",
    };
    for (size_t i = 0; i < GLIM_COUNT(same); i++) {
        glim_chat_request rq = accept(same[i]);
        assert_true(isnan(rq.gen.temperature) && isnan(rq.gen.top_p) && isnan(rq.gen.min_p));
        assert_int_equal(rq.gen.top_k, -1);
        assert_int_equal(rq.gen.n_max, -1);
        assert_false(rq.gen.has_seed);
        assert_int_equal(rq.gen.n_stop, 0);
        assert_int_equal(rq.chat.n_tool, 0);
        assert_int_equal(rq.chat.think, GLIM_UNSET);
        assert_int_equal(rq.chat.keep_old, GLIM_UNSET);
        assert_false(rq.chat.no_generation_prompt);
        assert_int_equal(rq.n_unknown, 0);
    }
}

static void sampling(void **state)
{
    (void)state;
    glim_chat_request rq = accept("'temperature':0.7,'top_p':0.5,'top_k':40,'min_p':0.25,"
                                  "'seed':-1,'max_tokens':100,'max_completion_tokens':5e1,"
                                  "'stop':['a','b\\n'],'odd':1,'odder':{}");
    assert_true(rq.gen.temperature == 0.7f);
    assert_true(rq.gen.top_p == 0.5f);
    assert_true(rq.gen.min_p == 0.25f);
    assert_int_equal(rq.gen.top_k, 40);
    assert_true(rq.gen.has_seed && rq.gen.seed == UINT64_MAX);
    assert_int_equal(rq.gen.n_max, 50);
    assert_int_equal(rq.gen.n_stop, 2);
    assert_int_equal(rq.gen.stops[1].n, 2);
    assert_memory_equal(rq.gen.stops[1].p, "b\n", 2);
    assert_int_equal(rq.n_unknown, 2);

    assert_int_equal(accept("'max_completion_tokens':7").gen.n_max, 7);
    assert_int_equal(accept("'max_tokens':7.0").gen.n_max, 7);
    assert_int_equal(accept("'stop':'x'").gen.n_stop, 1);
    assert_int_equal(accept("'top_k':-1").gen.top_k, 0);
    assert_int_equal(accept("'top_k':0").gen.top_k, 0);
    rq = accept("'do_sample':false,'temperature':0.01,'top_p':0.9");
    assert_true(rq.gen.temperature == 0);
    assert_true(accept("'temperature':2").gen.temperature == 2.0f);
    assert_true(accept("'temperature':0").gen.temperature == 0.0f);
    rq = accept("'top_p':0,'min_p':1");
    assert_true(rq.gen.top_p > 0 && rq.gen.top_p < 1e-30f);
    assert_true(rq.gen.min_p < 1 && rq.gen.min_p > 0.99f);
    assert_true(accept("'add_generation_prompt':false").chat.no_generation_prompt);
    rq = accept("'temperature':0.5,'extra_body':{'temperature':1.5,'top_k':3,'odd':0}");
    assert_true(rq.gen.temperature == 0.5f);
    assert_int_equal(rq.gen.top_k, 3);
    assert_int_equal(rq.n_unknown, 1);
}

static void thinking(void **state)
{
    (void)state;
    static const struct {
        const char *members;
        glim_tristate think, keep_old;
    } cases[] = {
        {"'thinking':{'type':'enabled'}", GLIM_ON, GLIM_UNSET},
        {"'thinking':{'type':'disabled'}", GLIM_OFF, GLIM_UNSET},
        {"'thinking':{'type':null,'clear_thinking':null}", GLIM_UNSET, GLIM_UNSET},
        {"'thinking':{'clear_thinking':false}", GLIM_UNSET, GLIM_ON},
        {"'thinking':{'clear_thinking':true}", GLIM_UNSET, GLIM_OFF},
        {"'thinking':{'type':'disabled','clear_thinking':false}", GLIM_OFF, GLIM_ON},
        {"'chat_template_kwargs':{'enable_thinking':false,'clear_thinking':false}", GLIM_OFF,
         GLIM_ON},
        {"'chat_template_kwargs':{'enable_thinking':true}", GLIM_ON, GLIM_UNSET},
        {"'chat_template_kwargs':{'thinking':false}", GLIM_OFF, GLIM_UNSET},
        {"'chat_template_kwargs':{'thinking':false,'enable_thinking':true}", GLIM_ON, GLIM_UNSET},
        {"'enable_thinking':false", GLIM_OFF, GLIM_UNSET},
        {"'reasoning':{'enabled':false}", GLIM_OFF, GLIM_UNSET},
        {"'reasoning':{'effort':'none'}", GLIM_OFF, GLIM_UNSET},
        {"'reasoning':{'effort':'none','enabled':true}", GLIM_ON, GLIM_UNSET},
        {"'reasoning_effort':'none'", GLIM_OFF, GLIM_UNSET},
        {"'reasoning_effort':'minimal'", GLIM_OFF, GLIM_UNSET},
        {"'reasoning_effort':'low'", GLIM_ON, GLIM_UNSET},
        {"'reasoning_effort':'max'", GLIM_ON, GLIM_UNSET},
        {"'reasoning_effort':0", GLIM_OFF, GLIM_UNSET},
        {"'reasoning_effort':0.5", GLIM_ON, GLIM_UNSET},
        {"'reasoning_effort':'high','reasoning':{'enabled':false}", GLIM_OFF, GLIM_UNSET},
        {"'reasoning':{'enabled':false},'chat_template_kwargs':{'enable_thinking':true}", GLIM_ON,
         GLIM_UNSET},
        {"'chat_template_kwargs':{'enable_thinking':true},'thinking':{'type':'disabled'}", GLIM_OFF,
         GLIM_UNSET},
        {"'chat_template_kwargs':{'clear_thinking':true},'thinking':{'clear_thinking':false}",
         GLIM_UNSET, GLIM_ON},
        {"'thinking':{'type':'enabled'},'reasoning_effort':'none'", GLIM_ON, GLIM_UNSET},
        {"'extra_body':{'thinking':{'type':'disabled'}}", GLIM_OFF, GLIM_UNSET},
    };
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        glim_chat_request rq = accept(cases[i].members);
        if (rq.chat.think != cases[i].think || rq.chat.keep_old != cases[i].keep_old)
            print_error("%s\n", cases[i].members);
        assert_int_equal(rq.chat.think, cases[i].think);
        assert_int_equal(rq.chat.keep_old, cases[i].keep_old);
    }
}

static void tool_fields(void **state)
{
    (void)state;
    static const char one[] = "'tools':[{'type':'function','function':{'name':'f'}}]";
    char members[512];
    assert_int_equal(accept(one).chat.n_tool, 1);
    snprintf(members, sizeof members, "%s,'tool_choice':'none'", one);
    assert_int_equal(accept(members).chat.n_tool, 0);
    snprintf(members, sizeof members, "%s,'tool_choice':{'type':'none'}", one);
    assert_int_equal(accept(members).chat.n_tool, 0);
    snprintf(members, sizeof members, "%s,'tool_choice':'auto'", one);
    assert_int_equal(accept(members).chat.n_tool, 1);
    snprintf(members, sizeof members, "%s,'functions':[]", one);
    assert_int_equal(accept(members).chat.n_tool, 1);
    assert_int_equal(accept("'functions':[{'name':'f'}],'function_call':'none'").chat.n_tool, 0);

    glim_chat_request rq = accept("'functions':[{'name':'f'},{'name':'g', 'parameters':{}}]");
    static const char want[] =
        "{\"type\": \"function\", \"function\": {\"name\":\"g\", \"parameters\":{}}}";
    assert_int_equal(rq.chat.n_tool, 2);
    assert_int_equal(rq.chat.tools[1].json.n, sizeof want - 1);
    assert_memory_equal(rq.chat.tools[1].json.p, want, sizeof want - 1);
    assert_int_equal(rq.chat.tools[1].name.n, 1);
}

static void refusals(void **state)
{
    (void)state;
    static const struct {
        const char *members;
        glim_err rc;
        const char *begins;
    } cases[] = {
        {"'model':1", GLIM_E_INPUT, "model: expected a string"},
        {"'temperature':2.1", GLIM_E_INPUT, "temperature: 2.1 is above 2"},
        {"'temperature':-1", GLIM_E_INPUT, "temperature: -1 is below 0"},
        {"'temperature':'1'", GLIM_E_INPUT, "temperature: expected a number, found a string"},
        {"'top_p':1.01", GLIM_E_INPUT, "top_p: 1.01 is above 1"},
        {"'top_k':-2", GLIM_E_INPUT, "top_k: -2 is below -1"},
        {"'top_k':1.5", GLIM_E_INPUT, "top_k: 1.5 is no integer"},
        {"'min_p':-0.1", GLIM_E_INPUT, "min_p: -0.1 is below 0"},
        {"'seed':1e30", GLIM_E_INPUT, "seed: 1e30 is no integer"},
        {"'seed':true", GLIM_E_INPUT, "seed: expected an integer"},
        {"'max_tokens':0", GLIM_E_INPUT, "max_tokens: 0 is below 1"},
        {"'max_tokens':-1", GLIM_E_INPUT, "max_tokens: -1 is below 1"},
        {"'max_completion_tokens':0", GLIM_E_INPUT, "max_completion_tokens: 0 is below 1"},
        {"'do_sample':0", GLIM_E_INPUT, "do_sample: expected true or false"},
        {"'stream':'yes'", GLIM_E_INPUT, "stream: expected true or false"},
        {"'add_generation_prompt':1", GLIM_E_INPUT, "add_generation_prompt: expected true"},
        {"'stop':1", GLIM_E_INPUT, "stop: expected a string or a list"},
        {"'stop':['a',2]", GLIM_E_INPUT, "stop[1]: expected a string"},
        {"'stop':['']", GLIM_E_INPUT, "stop[0]: an empty string"},
        {"'stop':''", GLIM_E_INPUT, "stop: an empty string"},
        {"'stop':['1','2','3','4','5','6','7','8','9','a','b','c','d','e','f','g','h']",
         GLIM_E_INPUT, "stop: 17 strings; at most 16"},
        {"'n':2", GLIM_E_UNSUPPORTED, "n: only 1 is supported"},
        {"'n':'1'", GLIM_E_INPUT, "n: expected a number"},
        {"'logprobs':true", GLIM_E_UNSUPPORTED, "logprobs: only false"},
        {"'top_logprobs':5", GLIM_E_UNSUPPORTED, "top_logprobs: only 0"},
        {"'logit_bias':{'1':5}", GLIM_E_UNSUPPORTED, "logit_bias: not supported"},
        {"'presence_penalty':0.5", GLIM_E_UNSUPPORTED, "presence_penalty: only 0"},
        {"'frequency_penalty':-0.5", GLIM_E_UNSUPPORTED, "frequency_penalty: only 0"},
        {"'repetition_penalty':1.1", GLIM_E_UNSUPPORTED, "repetition_penalty: only 1"},
        {"'parallel_tool_calls':false", GLIM_E_UNSUPPORTED, "parallel_tool_calls: only true"},
        {"'response_format':{'type':'json_object'}", GLIM_E_UNSUPPORTED,
         "response_format.type: \"json_object\" is not supported"},
        {"'response_format':{}", GLIM_E_INPUT, "response_format.type: missing"},
        {"'response_format':'text'", GLIM_E_INPUT, "response_format: expected an object"},
        {"'modalities':['text','audio']", GLIM_E_UNSUPPORTED, "modalities: the model is text-only"},
        {"'audio':{}", GLIM_E_UNSUPPORTED, "audio: not supported"},
        {"'grammar':'x'", GLIM_E_UNSUPPORTED, "grammar: not supported"},
        {"'tool_choice':'required'", GLIM_E_UNSUPPORTED, "tool_choice: forcing a call (required)"},
        {"'tool_choice':{'type':'function','function':{'name':'f'}}", GLIM_E_UNSUPPORTED,
         "tool_choice: forcing a call (function)"},
        {"'tool_choice':{'type':'allowed_tools'}", GLIM_E_UNSUPPORTED, "tool_choice: forcing"},
        {"'tool_choice':'often'", GLIM_E_INPUT, "tool_choice: \"often\" is unknown"},
        {"'tool_choice':7", GLIM_E_INPUT, "tool_choice: expected a string or an object"},
        {"'function_call':{'name':'f'}", GLIM_E_UNSUPPORTED, "function_call: forcing"},
        {"'tools':{}", GLIM_E_INPUT, "tools: expected a list"},
        {"'functions':1", GLIM_E_INPUT, "functions: expected a list"},
        {"'functions':[{}]", GLIM_E_INPUT, "functions[0].name: missing"},
        {"'tools':[{'name':'f'}],'functions':[{'name':'f'}]", GLIM_E_INPUT, "functions: given"},
        {"'thinking':true", GLIM_E_INPUT, "thinking: expected an object, found true"},
        {"'thinking':{'type':'on'}", GLIM_E_INPUT, "thinking.type: \"on\" is unknown"},
        {"'thinking':{'type':1}", GLIM_E_INPUT, "thinking.type: expected a string"},
        {"'thinking':{'clear_thinking':0}", GLIM_E_INPUT, "thinking.clear_thinking: expected true"},
        {"'thinking':{'budget_tokens':1024}", GLIM_E_UNSUPPORTED, "thinking.budget_tokens: not"},
        {"'chat_template_kwargs':[]", GLIM_E_INPUT, "chat_template_kwargs: expected an object"},
        {"'chat_template_kwargs':{'enable_thinking':'false'}", GLIM_E_INPUT,
         "chat_template_kwargs.enable_thinking: expected true or false"},
        {"'enable_thinking':1", GLIM_E_INPUT, "enable_thinking: expected true or false"},
        {"'reasoning':'high'", GLIM_E_INPUT, "reasoning: expected an object"},
        {"'reasoning':{'effort':'all'}", GLIM_E_INPUT, "reasoning.effort: \"all\" is unknown"},
        {"'reasoning_effort':'all'", GLIM_E_INPUT, "reasoning_effort: \"all\" is unknown"},
        {"'reasoning_effort':2", GLIM_E_INPUT, "reasoning_effort: a number here"},
        {"'reasoning_effort':[]", GLIM_E_INPUT, "reasoning_effort: expected a string"},
        /* a spelling that loses is checked all the same */
        {"'thinking':{'type':'enabled'},'reasoning_effort':'all'", GLIM_E_INPUT,
         "reasoning_effort: "},
        {"'extra_body':1", GLIM_E_INPUT, "extra_body: expected an object"},
        {"'extra_body':{'n':3}", GLIM_E_UNSUPPORTED, "extra_body: n: only 1"},
        {"'messages':[]", GLIM_E_INPUT, "messages: at byte"}, /* the second key of that name */
    };
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        glim_chat_request rq;
        glim_error e = {0};
        glim_err rc = decode(cases[i].members, &rq, &e);
        if (rc != cases[i].rc || strncmp(e.msg, cases[i].begins, strlen(cases[i].begins)) != 0)
            print_error("%s: %d %s\n", cases[i].members, (int)rc, e.msg);
        assert_int_equal(rc, cases[i].rc);
        assert_int_equal(e.code, rc);
        assert_memory_equal(e.msg, cases[i].begins, strlen(cases[i].begins));
        assert_int_equal(decode(cases[i].members, &rq, NULL), rc);
    }
}

static void shapes(void **state)
{
    (void)state;
    static const struct {
        const char *json, *begins;
    } cases[] = {
        {"", "at byte 0"},
        {"[]", "expected a request object, found an array"},
        {"null", "expected a request object, found null"},
        {"{}", "messages: missing"},
        {"{\"messages\":null}", "messages: missing"},
        {"{\"messages\":[]}", "messages: the list is empty"},
        {"{\"messages\":{}}", "messages: expected a list"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"\xFF\"}]}",
         "messages[0].content: at byte"},
    };
    glim_chat_request rq;
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        glim_error e = {0};
        assert_int_equal(glim_openai_chat_decode(arena, glim_str_of(cases[i].json), &rq, &e),
                         GLIM_E_INPUT);
        if (strncmp(e.msg, cases[i].begins, strlen(cases[i].begins)) != 0)
            print_error("%s: %s\n", cases[i].json, e.msg);
        assert_memory_equal(e.msg, cases[i].begins, strlen(cases[i].begins));
    }
    /* Members without end are refused before every row of the table looks at them. */
    glim_buf b;
    glim_buf_init(&b, 1 << 20);
    for (int i = 0; i < 2000; i++)
        glim_buf_addf(&b, "%c\"k%d\":0", i ? ',' : '{', i);
    glim_buf_adds(&b, "}");
    glim_error e = {0};
    assert_int_equal(glim_openai_chat_decode(arena, glim_buf_view(&b), &rq, &e), GLIM_E_INPUT);
    assert_non_null(strstr(e.msg, "2000 members"));
    glim_buf_deinit(&b);
}

static const char full[] =
    "{\"messages\":[{\"role\":\"user\",\"content\":[\"a\\n\",\"b\"]},"
    "{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"c\",\"function\":{\"name\":\"f\","
    "\"arguments\":\"{\\\"a\\\":1}\"}}]},"
    "{\"role\":\"tool\",\"tool_call_id\":\"c\",\"content\":[{\"output\":1}]}],"
    "\"functions\":[{\"name\":\"f\"}],\"stop\":[\"x\",\"y\"],\"thinking\":{\"type\":\"enabled\"}}";

static void no_memory(void **state)
{
    (void)state;
    glim_err rc = GLIM_E_NOMEM;
    int i = 0;
    for (; rc && i < 200; i++) {
        fail_nth hook;
        glim_error e = {0};
        glim_chat_request rq;
        glim_arena *a = glim_arena_new(1 << 20);
        fail_nth_begin(&hook, i);
        rc = glim_openai_chat_decode(a, glim_str_of(full), &rq, &e);
        fail_nth_end();
        assert_true(rc == GLIM_OK || rc == GLIM_E_NOMEM);
        assert_int_equal(e.code, rc);
        glim_arena_free(a);
    }
    assert_int_equal(rc, GLIM_OK);
    assert_true(i > 3);
    /* The arena's own maximum, at every size. */
    rc = GLIM_E_NOMEM;
    for (size_t n = 64; rc && n < 65536; n += 16) {
        glim_error e = {0};
        glim_chat_request rq;
        glim_arena *a = glim_arena_new_fixed(n);
        rc = glim_openai_chat_decode(a, glim_str_of(full), &rq, &e);
        assert_true(rc == GLIM_OK || rc == GLIM_E_NOMEM);
        assert_int_equal(e.code, rc);
        glim_arena_free(a);
    }
    assert_int_equal(rc, GLIM_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),    cmocka_unit_test(sampling), cmocka_unit_test(thinking),
        cmocka_unit_test(tool_fields), cmocka_unit_test(refusals), cmocka_unit_test(shapes),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests_name("api/openai_chat", tests, setup, teardown);
}
