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
        "'modalities':['text'],'echo':false,'ignore_eos':false,'separate_reasoning':true,"
        "'stream_reasoning':true,'skip_special_tokens':true,'no_stop_trim':false,'min_tokens':0",
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

#define ONE_TOOL "'tools':[{'type':'function','function':{'name':'f'}}],"

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
        {"'n':0", GLIM_E_INPUT, "n: 0 is below 1"},
        {"'n':129", GLIM_E_INPUT, "n: 129 is above 128"},
        {"'n':'1'", GLIM_E_INPUT, "n: expected an integer"},
        {"'best_of':2", GLIM_E_UNSUPPORTED, "best_of: only 1 is supported"},
        {"'best_of':'2'", GLIM_E_INPUT, "best_of: expected a number"},
        {"'logprobs':5", GLIM_E_INPUT, "logprobs: expected true or false"},
        {"'top_logprobs':5", GLIM_E_INPUT, "top_logprobs: needs"},
        {"'top_logprobs':5,'logprobs':false", GLIM_E_INPUT, "top_logprobs: needs"},
        {"'top_logprobs':21,'logprobs':true", GLIM_E_INPUT, "top_logprobs: 21 is above 20"},
        {"'top_logprobs':-1,'logprobs':true", GLIM_E_INPUT, "top_logprobs: -1 is below 0"},
        {"'logit_bias':[[1,5]]", GLIM_E_INPUT, "logit_bias: expected an object"},
        {"'logit_bias':{'a':5}", GLIM_E_INPUT, "logit_bias: the key \"a\" is no token id"},
        {"'logit_bias':{'-1':5}", GLIM_E_INPUT, "logit_bias: the key"},
        {"'logit_bias':{'2147483648':5}", GLIM_E_INPUT, "logit_bias: the key"},
        {"'logit_bias':{'1':'5'}", GLIM_E_INPUT, "logit_bias: token 1: expected a number"},
        {"'logit_bias':{'1':101}", GLIM_E_INPUT, "logit_bias: token 1: a bias lies"},
        {"'presence_penalty':2.5", GLIM_E_INPUT, "presence_penalty: 2.5 is above 2"},
        {"'frequency_penalty':-2.5", GLIM_E_INPUT, "frequency_penalty: -2.5 is below -2"},
        {"'repetition_penalty':0", GLIM_E_INPUT, "repetition_penalty: 0 is out of range"},
        {"'repeat_penalty':10.5", GLIM_E_INPUT, "repeat_penalty: 10.5 is out of range"},
        {"'repetition_penalty':true", GLIM_E_INPUT, "repetition_penalty: expected a number"},
        {"'min_tokens':-1", GLIM_E_INPUT, "min_tokens: -1 is below 0"},
        {"'dry_base':0.5", GLIM_E_INPUT, "dry_base: 0.5 is below 1"},
        {"'stop_token_ids':5", GLIM_E_INPUT, "stop_token_ids: expected a list"},
        {"'stop_token_ids':[1,'2']", GLIM_E_INPUT, "stop_token_ids[1]: expected a token id"},
        {"'stop_token_ids':[-1]", GLIM_E_INPUT, "stop_token_ids[0]: -1 is no token id"},
        {"'stop_token_ids':[1.5]", GLIM_E_INPUT, "stop_token_ids[0]: 1.5 is no token id"},
        {"'ignore_eos':1", GLIM_E_INPUT, "ignore_eos: expected true or false"},
        {"'parallel_tool_calls':0", GLIM_E_INPUT, "parallel_tool_calls: expected true"},
        {"'stream_options':true", GLIM_E_INPUT, "stream_options: expected an object"},
        {"'stream_options':{'include_usage':1}", GLIM_E_INPUT, "stream_options.include_usage: ex"},
        {"'request_id':[]", GLIM_E_INPUT, "request_id: expected a string"},
        {"'user_id':5", GLIM_E_INPUT, "user_id: expected a string"},
        {"'meta':'x'", GLIM_E_INPUT, "meta: expected an object"},
        {"'extra':{'target':{}}", GLIM_E_UNSUPPORTED, "extra: not supported"},
        {"'reasoning_format':'odd'", GLIM_E_INPUT, "reasoning_format: \"odd\" is unknown"},
        {"'continue_final_message':true", GLIM_E_UNSUPPORTED, "continue_final_message: only false"},
        {"'response_format':{'type':'json_schema','json_schema':{}}", GLIM_E_UNSUPPORTED,
         "response_format.type: \"json_schema\""},
        {"'response_format':{'type':'structural_tag'}", GLIM_E_UNSUPPORTED, "response_format.type"},
        {"'regex':'a'", GLIM_E_UNSUPPORTED, "regex: not supported"},
        {"'ebnf':'a'", GLIM_E_UNSUPPORTED, "ebnf: not supported"},
        {"'guided_json':{}", GLIM_E_UNSUPPORTED, "guided_json: not supported"},
        {"'structured_outputs':{}", GLIM_E_UNSUPPORTED, "structured_outputs: not supported"},
        {"'response_format':{'type':'json_object'}", GLIM_E_UNSUPPORTED,
         "response_format.type: \"json_object\" is not supported"},
        {"'response_format':{}", GLIM_E_INPUT, "response_format.type: missing"},
        {"'response_format':'text'", GLIM_E_INPUT, "response_format: expected an object"},
        {"'modalities':['text','audio']", GLIM_E_UNSUPPORTED, "modalities: the model is text-only"},
        {"'audio':{}", GLIM_E_UNSUPPORTED, "audio: not supported"},
        {"'grammar':'x'", GLIM_E_UNSUPPORTED, "grammar: not supported"},
        {"'tool_choice':'required'", GLIM_E_INPUT, "tool_choice: a call is asked for, but no"},
        {"'tools':[],'tool_choice':'required'", GLIM_E_INPUT, "tool_choice: a call is asked"},
        {"'tools':[{'type':'web_search'}],'tool_choice':'required'", GLIM_E_INPUT,
         "tool_choice: a call is asked"},
        {"'tool_choice':{'type':'function','function':{'name':'f'}}", GLIM_E_INPUT,
         "tool_choice: a call is asked"},
        {ONE_TOOL "'tool_choice':{'type':'function','function':{'name':'g'}}", GLIM_E_INPUT,
         "tool_choice.function.name: no tool of the name \"g\" was sent"},
        {ONE_TOOL "'tool_choice':{'name':'g'}", GLIM_E_INPUT, "tool_choice.name: no tool"},
        {ONE_TOOL "'tool_choice':{'type':'function'}", GLIM_E_INPUT, "tool_choice.name: missing"},
        {ONE_TOOL "'tool_choice':{'type':'function','function':'f'}", GLIM_E_INPUT,
         "tool_choice.function: expected an object"},
        {ONE_TOOL "'tool_choice':'function'", GLIM_E_INPUT, "tool_choice: \"function\" is unknown"},
        {ONE_TOOL "'tool_choice':{}", GLIM_E_INPUT, "tool_choice.type: missing"},
        {ONE_TOOL "'tool_choice':{'type':'allowed_tools'}", GLIM_E_INPUT,
         "tool_choice.tools: missing"},
        {ONE_TOOL "'tool_choice':{'type':'allowed_tools','allowed_tools':{'tools':[]}}",
         GLIM_E_INPUT, "tool_choice.allowed_tools.tools: 0 entries"},
        {ONE_TOOL "'tool_choice':{'type':'allowed_tools','mode':'often','tools':[]}", GLIM_E_INPUT,
         "tool_choice.mode: \"often\" is unknown"},
        {ONE_TOOL "'tool_choice':{'type':'allowed_tools','tools':[{'name':'g'}]}", GLIM_E_INPUT,
         "tool_choice.tools[0].name: no tool"},
        {ONE_TOOL "'tool_choice':{'type':'allowed_tools','tools':['f']}", GLIM_E_INPUT,
         "tool_choice.tools[0]: expected a tool object"},
        {ONE_TOOL "'tool_choice':{'type':'custom'}", GLIM_E_UNSUPPORTED, "tool_choice: custom"},
        {ONE_TOOL "'tool_choice':'auto','function_call':{'name':'g'}", GLIM_E_INPUT,
         "function_call.name: no tool"},
        {"'tool_choice':'often'", GLIM_E_INPUT, "tool_choice: \"often\" is unknown"},
        {"'tool_choice':7", GLIM_E_INPUT, "tool_choice: expected a string or an object"},
        {"'function_call':{'name':'f'}", GLIM_E_INPUT, "function_call: a call is asked"},
        {"'tools':[{'type':'web_search','web_search':{'enable':true}}]", GLIM_E_UNSUPPORTED,
         "tools[0]: web_search needs"},
        {"'tools':[{'type':'web_search','web_search':{'enable':'True'}}]", GLIM_E_UNSUPPORTED,
         "tools[0]: web_search needs"},
        {"'tools':[{'type':'retrieval','retrieval':{'knowledge_id':'1'}}]", GLIM_E_UNSUPPORTED,
         "tools[0]: tools of type \"retrieval\""},
        {"'tools':[{'type':'mcp','mcp':{}}]", GLIM_E_UNSUPPORTED,
         "tools[0]: tools of type \"mcp\""},
        {"'tools':[{'type':'custom'}]", GLIM_E_UNSUPPORTED, "tools[0]: tools of type"},
        {"'tools':{}", GLIM_E_INPUT, "tools: expected a list"},
        {"'functions':1", GLIM_E_INPUT, "functions: expected a list"},
        {"'functions':[{}]", GLIM_E_INPUT, "functions[0].name: missing"},
        {"'tools':[{'name':'f'}],'functions':[{'name':'f'}]", GLIM_E_INPUT, "functions: given"},
        {"'thinking':true", GLIM_E_INPUT, "thinking: expected an object, found true"},
        {"'thinking':{'type':'on'}", GLIM_E_INPUT, "thinking.type: \"on\" is unknown"},
        {"'thinking':{'type':1}", GLIM_E_INPUT, "thinking.type: expected a string"},
        {"'thinking':{'clear_thinking':0}", GLIM_E_INPUT, "thinking.clear_thinking: expected true"},
        {"'thinking':{'budget_tokens':0}", GLIM_E_INPUT, "thinking.budget_tokens: 0 is out"},
        {"'thinking':{'budget_tokens':'9'}", GLIM_E_INPUT, "thinking.budget_tokens: expected an"},
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
        {"'extra_body':{'n':0}", GLIM_E_INPUT, "extra_body: n: 0 is below 1"},
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

/* ---- the whole request ----------------------------------------------------------------------- */

static glim_request accept_on(const glim_dialect *d, const char *members)
{
    glim_request rq;
    glim_problem p = {0};
    int n = snprintf(text, sizeof text, "{'messages':[{'role':'user','content':'hi'}]%s%s}",
                     members[0] ? "," : "", members);
    assert_true(n > 0 && (size_t)n < sizeof text);
    for (char *c = text; *c; c++)
        if (*c == '\'') *c = '"';
    glim_err rc = d->decode(arena, glim_str_of(text), &rq, &p);
    if (rc) print_error("%s: %s\n", members, p.msg);
    assert_int_equal(rc, GLIM_OK);
    assert_false(rq.raw);
    return rq;
}

static glim_request request(const char *members)
{
    return accept_on(&glim_dialect_openai_chat, members);
}

static void check_str(glim_str got, const char *want)
{
    if (!glim_str_is(got, want)) print_error("\"%.*s\" is not %s\n", GLIM_STR_ARG(got), want);
    assert_true(glim_str_is(got, want));
}

static void request_defaults(void **state)
{
    (void)state;
    glim_request rq = request("");
    check_str(rq.model, "");
    check_str(rq.request_id, "");
    check_str(rq.user_id, "");
    assert_int_equal(rq.n, 1);
    assert_false(rq.stream || rq.include_usage || rq.continuous_usage || rq.inline_reasoning);
    assert_false(rq.hold_reasoning || rq.echo || rq.logprobs);
    assert_true(rq.tool_stream);
    assert_int_equal(rq.n_note, 0);
    assert_int_equal(rq.gen.n_logprob, -1);
    assert_int_equal(rq.gen.think_budget, -1);
    assert_false(rq.gen.call_required || rq.gen.one_call || rq.gen.keep_stop);
    assert_false(rq.gen.keep_special || rq.gen.ignore_eos);
    assert_true(rq.gen.repetition_penalty == 1.0f);
    assert_true(rq.gen.presence_penalty == 0.0f && rq.gen.frequency_penalty == 0.0f);
}

static void request_fields(void **state)
{
    (void)state;
    glim_request rq = request(
        "'model':'zai-org/GLM-4.7-Flash','n':3,'stream':true,'presence_penalty':0.5,"
        "'frequency_penalty':-0.5,'repetition_penalty':1.1,'min_tokens':4,'ignore_eos':true,"
        "'stop_token_ids':[7,8],'no_stop_trim':true,'skip_special_tokens':false,'logprobs':true,"
        "'top_logprobs':5,'logit_bias':{'50':-100,'7':1.5},'request_id':'req-1','user_id':'u-1',"
        "'user':'other','parallel_tool_calls':false,'separate_reasoning':false,"
        "'stream_reasoning':false,'thinking':{'type':'enabled','budget_tokens':99},"
        "'dry_multiplier':0.8,'dry_base':2,'dry_allowed_length':3,'dry_penalty_last_n':64,"
        "'stream_options':{'include_usage':true,'continuous_usage_stats':true}");
    const glim_gen_opts *g = &rq.gen;
    check_str(rq.model, "zai-org/GLM-4.7-Flash");
    check_str(rq.request_id, "req-1");
    check_str(rq.user_id, "u-1");
    assert_int_equal(rq.n, 3);
    assert_true(rq.stream && rq.include_usage && rq.continuous_usage && rq.logprobs);
    assert_true(rq.inline_reasoning && rq.hold_reasoning);
    assert_true(g->presence_penalty == 0.5f && g->frequency_penalty == -0.5f);
    assert_true(g->repetition_penalty == 1.1f);
    assert_int_equal(g->n_min, 4);
    assert_true(g->ignore_eos && g->keep_stop && g->keep_special && g->one_call);
    assert_int_equal(g->n_stop_id, 2);
    assert_int_equal(g->stop_ids[1], 8);
    assert_int_equal(g->n_logprob, 5);
    assert_int_equal(g->n_bias, 2);
    assert_int_equal(g->biases[0].id, 50);
    assert_true(g->biases[0].bias == -100.0f && g->biases[1].bias == 1.5f);
    assert_int_equal(g->think_budget, 99);
    assert_true(g->dry_multiplier == 0.8f && g->dry_base == 2.0f);
    assert_int_equal(g->dry_allowed_length, 3);
    assert_int_equal(g->dry_range, 64);

    assert_int_equal(request("'logprobs':true").gen.n_logprob, 0);
    check_str(request("'request_id':12.50").request_id, "12.50"); /* the SDK's tests send a float */
    check_str(request("'rid':'r'").request_id, "r");
    check_str(request("'user':'u'").user_id, "u");
    assert_true(request("'repeat_penalty':1.5").gen.repetition_penalty == 1.5f);
    assert_false(request("'stream_options':{'continuous_usage_stats':true}").continuous_usage);
    assert_true(request("'reasoning_format':'none'").inline_reasoning);
    assert_false(request("'reasoning_format':'deepseek'").inline_reasoning);
    /* the reading of other people's Python */
    rq = request("'extra_body':{'thinking':{'type':'disabled'},'n':2,'model':'inner'},'model':'m'");
    assert_int_equal(rq.chat.think, GLIM_OFF);
    assert_int_equal(rq.n, 2);
    check_str(rq.model, "m");
}

static void choices(void **state)
{
    (void)state;
#define TWO_TOOLS "'tools':[{'type':'function','function':{'name':'f'}},{'name':'g'}],"
    static const struct {
        const char *members;
        size_t n_tool;
        bool required;
        const char *names; /* joined by spaces */
    } cases[] = {
        {TWO_TOOLS "'tool_choice':'auto'", 2, false, ""},
        {TWO_TOOLS "'tool_choice':null", 2, false, ""},
        {TWO_TOOLS "'tool_choice':{'type':'auto'}", 2, false, ""},
        {TWO_TOOLS "'tool_choice':'none'", 0, false, ""},
        {TWO_TOOLS "'tool_choice':'required'", 2, true, ""},
        {TWO_TOOLS "'tool_choice':'any'", 2, true, ""},
        {TWO_TOOLS "'tool_choice':{'type':'function','function':{'name':'g'}}", 2, true, "g "},
        {TWO_TOOLS "'tool_choice':{'type':'function','name':'g'}", 2, true, "g "},
        {TWO_TOOLS "'tool_choice':{'function':{'name':'f'}}", 2, true, "f "},
        {TWO_TOOLS "'tool_choice':{'type':'allowed_tools','allowed_tools':{'mode':'required',"
                   "'tools':[{'type':'function','function':{'name':'g'}},{'name':'f'}]}}",
         2, true, "g f "},
        {TWO_TOOLS "'tool_choice':{'type':'allowed_tools','allowed_tools':{'mode':'auto',"
                   "'tools':[{'type':'function','function':{'name':'g'}}]}}",
         1, false, ""},
        {TWO_TOOLS "'tool_choice':{'type':'allowed_tools','mode':'auto','tools':[{'name':'g'}]}", 1,
         false, ""},
        {TWO_TOOLS "'tool_choice':'none','function_call':{'name':'f'}", 0, false, ""},
        {TWO_TOOLS "'tool_choice':'auto','function_call':'none'", 2, false, ""},
        {"'functions':[{'name':'f'}],'function_call':{'name':'f'}", 1, true, "f "},
        {"'functions':[{'name':'f'}],'function_call':'auto'", 1, false, ""},
        {"'tool_choice':'none'", 0, false, ""},
    };
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        char names[64] = "";
        glim_request rq = request(cases[i].members);
        for (size_t k = 0; k < rq.gen.n_call_name; k++)
            snprintf(names + strlen(names), sizeof names - strlen(names), "%.*s ",
                     GLIM_STR_ARG(rq.gen.call_names[k]));
        if (rq.chat.n_tool != cases[i].n_tool || rq.gen.call_required != cases[i].required)
            print_error("%s\n", cases[i].members);
        assert_int_equal(rq.chat.n_tool, cases[i].n_tool);
        assert_int_equal(rq.gen.call_required, cases[i].required);
        assert_string_equal(names, cases[i].names);
    }
}

static void notes(void **state)
{
    (void)state;
    static const struct {
        const char *members, *notes;
    } cases[] = {
        {"'metadata':{},'store':true,'user':'u'", "metadata store "},
        {"'metadata':null", ""},
        {"'extra_body':{'typical_p':0.5,'metadata':{}}", "metadata typical_p extra_body "},
        {"'tools':[{'type':'web_search','web_search':{'search_query':'q'}}]", "tools.web_search "},
        {"'tools':[{'type':'web_search','web_search':{'enable':'False'}}]", "tools.web_search "},
        {"'tools':[{'type':'function','function':{'name':'f','strict':true}}]",
         "tools.function.strict "},
        {"'tools':[{'type':'function','function':{'name':'f','strict':false}}]", ""},
        {"'meta':{'user_info':'a','bot_info':'b','bot_name':'c','user_name':'d'}", "meta "},
        {"'stream_options':{'include_obfuscation':false}", "stream_options.include_obfuscation "},
        {"'mirostat':2,'xtc_threshold':0.1,'dry_sequence_breakers':[]",
         "mirostat dry_sequence_breakers xtc_threshold "},
    };
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        char joined[256] = "";
        glim_request rq = request(cases[i].members);
        for (size_t k = 0; k < rq.n_note; k++)
            snprintf(joined + strlen(joined), sizeof joined - strlen(joined), "%.*s ",
                     GLIM_STR_ARG(rq.notes[k]));
        assert_string_equal(joined, cases[i].notes);
        assert_int_equal(rq.n_unknown, 0);
    }
}

static void mounts(void **state)
{
    (void)state;
    assert_false(accept_on(&glim_dialect_zhipu_chat, "").tool_stream);
    assert_true(accept_on(&glim_dialect_zhipu_chat, "'tool_stream':true").tool_stream);
    assert_true(accept_on(&glim_dialect_openai_chat, "'tool_stream':false").tool_stream);
    /* what zai-sdk sends when nothing was set; then temperature 0 as it arrives */
    glim_request rq = accept_on(
        &glim_dialect_zhipu_chat,
        "'model':'glm-4.7','request_id':null,'temperature':0.01,'top_p':null,'max_tokens':null,"
        "'seed':null,'stop':null,'sensitive_word_check':null,'stream':false,'tools':null,"
        "'tool_choice':null,'meta':null,'extra':null,'response_format':null,'thinking':null,"
        "'watermark_enabled':null,'tool_stream':null,'do_sample':false,'reasoning_effort':null");
    assert_true(rq.gen.temperature == 0.0f);
    assert_int_equal(rq.n_unknown, 0);
    assert_int_equal(rq.chat.think, GLIM_UNSET);

    static const struct {
        const glim_dialect *d;
        const char *json;
        glim_problem_kind kind;
        const char *param;
    } cases[] = {
        {&glim_dialect_zhipu_chat, "{'messages':[{'role':'system','content':'a'}]}",
         GLIM_PROBLEM_BAD, "messages"},
        {&glim_dialect_zhipu_chat, "{'messages':null}", GLIM_PROBLEM_MISSING, "messages"},
        {&glim_dialect_zhipu_chat, "{'messages':[]}", GLIM_PROBLEM_BAD, "messages"},
        {&glim_dialect_zhipu_chat, "{'messages':'x'}", GLIM_PROBLEM_BAD, "messages"},
        {&glim_dialect_openai_chat, "{}", GLIM_PROBLEM_MISSING, "messages"},
        {&glim_dialect_openai_chat, "{", GLIM_PROBLEM_BAD, ""},
        {&glim_dialect_openai_chat,
         "{'messages':[{'role':'tool','tool_call_id':'c','content':'x'}]}", GLIM_PROBLEM_BAD,
         "messages"},
        {&glim_dialect_openai_chat,
         "{'messages':[{'role':'user','content':[{'type':'image_url'}]}]}",
         GLIM_PROBLEM_UNSUPPORTED, "messages[0].content[0]"},
        {&glim_dialect_openai_chat,
         "{'messages':[{'role':'user'}],'tools':[{'name':'f'}],'functions':[{'name':'f'}]}",
         GLIM_PROBLEM_EXCLUSIVE, "functions"},
        {&glim_dialect_openai_chat, "{'messages':[{'role':'user'}],'max_tokens':-1}",
         GLIM_PROBLEM_BAD, "max_tokens"},
    };
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        glim_problem p = {0};
        snprintf(text, sizeof text, "%s", cases[i].json);
        for (char *c = text; *c; c++)
            if (*c == '\'') *c = '"';
        assert_int_not_equal(cases[i].d->decode(arena, glim_str_of(text), &rq, &p), GLIM_OK);
        if (p.kind != cases[i].kind) print_error("%s: %s\n", cases[i].json, p.msg);
        assert_int_equal(p.kind, cases[i].kind);
        assert_string_equal(p.param, cases[i].param);
        assert_true(p.msg[0]);
    }
    /* a system message alone is a question elsewhere */
    snprintf(text, sizeof text, "{\"messages\":[{\"role\":\"developer\",\"content\":\"a\"}]}");
    glim_problem p;
    assert_int_equal(glim_dialect_openai_chat.decode(arena, glim_str_of(text), &rq, &p), GLIM_OK);
}

/* Requests as documents of the clients show them. */
static void documents(void **state)
{
    (void)state;
    static const struct {
        const glim_dialect *d;
        const char *json;
        glim_tristate think;
        size_t n_tool, n_note;
        int64_t n_max;
    } cases[] = {
        /* model guide, zai-sdk */
        {&glim_dialect_zhipu_chat,
         "{'model':'glm-4.7-flash','messages':[{'role':'user','content':'hi'}],'thinking':{'type':"
         "'enabled'},'stream':true,'max_tokens':65536,'temperature':0.99,'top_p':null,'tools':null,"
         "'response_format':null}",
         GLIM_ON, 0, 0, 65536},
        /* SDK readme: character play, web search without enable, a literal extra_body */
        {&glim_dialect_zhipu_chat,
         "{'model':'charglm-3','messages':[{'role':'user','content':'Hello'}],'meta':{'user_info':"
         "'a','bot_info':'b','bot_name':'Xiaoya','user_name':'Director'}}",
         GLIM_UNSET, 0, 1, -1},
        {&glim_dialect_zhipu_chat,
         "{'model':'glm-4','messages':[{'role':'user','content':'news'}],'tools':[{'type':"
         "'web_search','web_search':{'search_query':'Search the Zhipu','search_result':true}}]}",
         GLIM_UNSET, 0, 1, -1},
        {&glim_dialect_zhipu_chat,
         "{'model':'glm-4','messages':[{'role':'user','content':'q'}],'extra_body':{'temperature':"
         "0.7,'max_tokens':1000}}",
         GLIM_UNSET, 0, 1, 1000},
        /* tutorial with the openai client: tools, and an answer of theirs dumped back whole */
        {&glim_dialect_openai_chat,
         "{'model':'zai-org/GLM-4.7-Flash','messages':[{'role':'user','content':'weather?'},"
         "{'content':null,'refusal':null,'role':'assistant','annotations':null,'audio':null,"
         "'function_call':null,'tool_calls':[{'id':'call_17571cbf9fde423cbae5e73d','function':{"
         "'arguments':'{}','name':'get_weather'},'type':'function','index':0}],"
         "'reasoning_content':'The user asks'},{'role':'tool','tool_call_id':"
         "'call_17571cbf9fde423cbae5e73d','content':'22'}],'tools':[{'type':'function','function':{"
         "'name':'get_weather','parameters':{'type':'object','properties':{}}}}],'tool_choice':"
         "'auto','temperature':1.0,'top_p':0.95}",
         GLIM_UNSET, 1, 0, -1},
        /* the legacy route's body */
        {&glim_dialect_openai_chat,
         "{'model':'chatglm3-6b','stream':true,'top_p':1,'temperature':0.7,'max_tokens':256,"
         "'messages':[{'role':'user','content':'hi'}]}",
         GLIM_UNSET, 0, 0, 256},
    };
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        glim_request rq;
        glim_problem p = {0};
        snprintf(text, sizeof text, "%s", cases[i].json);
        for (char *c = text; *c; c++)
            if (*c == '\'') *c = '"';
        glim_err rc = cases[i].d->decode(arena, glim_str_of(text), &rq, &p);
        if (rc) print_error("%zu: %s\n", i, p.msg);
        assert_int_equal(rc, GLIM_OK);
        assert_int_equal(rq.chat.think, cases[i].think);
        assert_int_equal(rq.chat.n_tool, cases[i].n_tool);
        assert_int_equal(rq.n_note, cases[i].n_note);
        assert_int_equal(rq.gen.n_max, cases[i].n_max);
        assert_int_equal(rq.n_unknown, 0);
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
    "\"functions\":[{\"name\":\"f\"}],\"stop\":[\"x\",\"y\"],\"thinking\":{\"type\":\"enabled\"},"
    "\"metadata\":{},\"logit_bias\":{\"1\":2},\"stop_token_ids\":[1],\"tool_choice\":{\"name\":"
    "\"f\"}}";

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
        cmocka_unit_test(defaults),       cmocka_unit_test(sampling),
        cmocka_unit_test(thinking),       cmocka_unit_test(tool_fields),
        cmocka_unit_test(refusals),       cmocka_unit_test(shapes),
        cmocka_unit_test(no_memory),      cmocka_unit_test(request_defaults),
        cmocka_unit_test(request_fields), cmocka_unit_test(choices),
        cmocka_unit_test(notes),          cmocka_unit_test(mounts),
        cmocka_unit_test(documents),
    };
    return cmocka_run_group_tests_name("api/openai_chat", tests, setup, teardown);
}
