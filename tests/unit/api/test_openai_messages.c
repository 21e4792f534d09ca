/* SPDX-License-Identifier: MIT
 * test_openai_messages.c - messages and tools: clean-ups, refusals with their paths, goldens'
 * requests. */
#include "api/api.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static glim_arena *arena;

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

static glim_err decode(const char *json, glim_chat *c, glim_error *e)
{
    glim_json *v;
    *c = (glim_chat){0};
    assert_int_equal(glim_json_parse(arena, glim_str_of(json), &v, e), GLIM_OK);
    return glim_openai_messages_decode(arena, v, c, e);
}

static glim_err decode_tools(const char *json, glim_chat *c, glim_error *e)
{
    glim_json *v;
    *c = (glim_chat){0};
    assert_int_equal(glim_json_parse(arena, glim_str_of(json), &v, e), GLIM_OK);
    return glim_openai_tools_decode(arena, v, c, e);
}

#define assert_str(s, lit)                                                                         \
    do {                                                                                           \
        assert_int_equal((s).n, strlen(lit));                                                      \
        assert_memory_equal((s).p, (lit), (s).n);                                                  \
    } while (0)

static void contents(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        glim_role role;
        const char *content;
    } cases[] = {
        {"{'role':'user','content':'hi'}", GLIM_ROLE_USER, "hi"},
        {"{'role':'user','content':null}", GLIM_ROLE_USER, ""},
        {"{'role':'user'}", GLIM_ROLE_USER, ""},
        {"{'role':'system','content':' s '}", GLIM_ROLE_SYSTEM, " s "},
        {"{'role':'developer','content':'d'}", GLIM_ROLE_SYSTEM, "d"},
        {"{'role':'tool','content':'t'}", GLIM_ROLE_TOOL, "t"},
        {"{'role':'function','name':'f','content':'t'}", GLIM_ROLE_TOOL, "t"},
        {"{'role':'user','content':[]}", GLIM_ROLE_USER, ""},
        {"{'role':'tool','content':[]}", GLIM_ROLE_TOOL, ""},
        {"{'role':'user','content':['a']}", GLIM_ROLE_USER, "a"},
        {"{'role':'user','content':['a','b\\n',{'type':'text','text':'c'},{'text':'d'}]}",
         GLIM_ROLE_USER, "ab\ncd"},
        {"{'role':'user','content':[{'type':'input_text','text':''},{'type':'text','text':''}]}",
         GLIM_ROLE_USER, ""},
        {"{'role':'assistant','content':[{'type':'output_text','text':'x'},"
         "{'type':'refusal','refusal':'y'}]}",
         GLIM_ROLE_ASSISTANT, "xy"},
        {"{'role':'tool','content':[{'type':'text','text':'one'},{'type':'text','text':'two'}]}",
         GLIM_ROLE_TOOL, "onetwo"},
        {"{'role':'tool','content':['one','two']}", GLIM_ROLE_TOOL, "onetwo"},
    };
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        char json[512];
        snprintf(json, sizeof json, "[%s]", cases[i].json);
        for (char *p = json; *p; p++)
            if (*p == '\'') *p = '"';
        glim_chat c;
        glim_error e = {0};
        glim_err rc = decode(json, &c, &e);
        if (rc) print_error("%s: %s\n", json, e.msg);
        assert_int_equal(rc, GLIM_OK);
        assert_int_equal(c.n_message, 1);
        assert_int_equal(c.messages[0].role, cases[i].role);
        assert_str(c.messages[0].content, cases[i].content);
        assert_non_null(c.messages[0].content.p);
        assert_int_equal(c.messages[0].n_part, 0);
        assert_false(c.messages[0].has_reasoning);
    }
}

static void result_lists(void **state)
{
    (void)state;
    glim_chat c;
    glim_error e = {0};
    assert_int_equal(decode("[{\"role\":\"tool\",\"content\":[{\"output\":\"a\\n\"},"
                            "{\"output\":{\"x\": 1.0}},{\"b\":2},{\"output\":null}]}]",
                            &c, &e),
                     GLIM_OK);
    const glim_message *m = c.messages;
    assert_int_equal(m->n_part, 4);
    assert_str(m->content, "");
    assert_str(m->parts[0], "{\"output\":\"a\\n\"}");
    assert_str(m->parts[1], "{\"output\":{\"x\": 1.0}}");
    assert_str(m->parts[2], "{\"b\":2}");
    assert_str(m->parts[3], "{\"output\":null}");
    /* Only of tools: elsewhere such a part is an error. */
    assert_int_equal(decode("[{\"role\":\"user\",\"content\":[{\"output\":\"a\"}]}]", &c, &e),
                     GLIM_E_INPUT);
}

static void calls(void **state)
{
    (void)state;
    glim_chat c;
    glim_error e = {0};
    const char *json =
        "[{\"role\":\"assistant\",\"content\":null,\"reasoning_content\":\" r \",\"tool_calls\":["
        "{\"id\":\"c1\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":"
        "\" {\\\"b\\\": 1.0, \\\"a\\\": [2]} \"}},"
        "{\"name\":\"g\",\"arguments\":{\"z\": 1e3, \"y\":{}}},"
        "{\"id\":null,\"function\":{\"name\":\"h\",\"arguments\":\"\"}},"
        "{\"id\":\"c4\",\"function\":{\"name\":\"i\",\"arguments\":null}},"
        "{\"id\":\"c5\",\"function\":{\"name\":\"j\"}}]},"
        "{\"role\":\"tool\",\"tool_call_id\":\"c1\",\"content\":\"ok\"},"
        "{\"role\":\"tool\",\"tool_call_id\":\"\",\"content\":\"ok\"},"
        "{\"role\":\"tool\",\"tool_call_id\":null,\"content\":\"ok\"},"
        "{\"role\":\"assistant\",\"reasoning\":\"\",\"tool_calls\":[]},"
        "{\"role\":\"assistant\",\"reasoning\":null,\"reasoning_content\":null,"
        "\"tool_calls\":null,\"function_call\":{\"name\":\"old\",\"arguments\":\"{}\"}},"
        "{\"role\":\"tool\",\"tool_call_id\":\"c5\"}]";
    glim_err rc = decode(json, &c, &e);
    if (rc) print_error("%s\n", e.msg);
    assert_int_equal(rc, GLIM_OK);
    assert_int_equal(c.n_message, 7);
    const glim_message *m = &c.messages[0];
    assert_true(m->has_reasoning);
    assert_str(m->reasoning, " r ");
    assert_int_equal(m->n_call, 5);
    assert_str(m->calls[0].id, "c1");
    assert_str(m->calls[0].name, "f");
    assert_str(m->calls[0].arguments, "{\"b\": 1.0, \"a\": [2]}");
    assert_str(m->calls[1].id, "");
    assert_str(m->calls[1].arguments, "{\"z\": 1e3, \"y\":{}}");
    for (int i = 2; i < 5; i++)
        assert_str(m->calls[i].arguments, "{}");
    assert_str(c.messages[1].tool_call_id, "c1");
    assert_true(c.messages[4].has_reasoning);
    assert_int_equal(c.messages[4].n_call, 0);
    assert_false(c.messages[5].has_reasoning);
    assert_int_equal(c.messages[5].n_call, 1);
    assert_str(c.messages[5].calls[0].name, "old");
    assert_str(c.messages[6].tool_call_id, "c5");
}

static void refusals(void **state)
{
    (void)state;
#define CALL(x) "[{'role':'assistant','tool_calls':[" x "]}]"
    static const struct {
        const char *json;
        glim_err rc;
        const char *begins, *says;
    } cases[] = {
        {"null", GLIM_E_INPUT, "messages: ", "missing"},
        {"{}", GLIM_E_INPUT, "messages: ", "found an object"},
        {"[]", GLIM_E_INPUT, "messages: ", "empty"},
        {"['hi']", GLIM_E_INPUT, "messages[0]: ", "found a string"},
        {"[null]", GLIM_E_INPUT, "messages[0]: ", "found null"},
        {"[{}]", GLIM_E_INPUT, "messages[0].role: ", "missing"},
        {"[{'role':1}]", GLIM_E_INPUT, "messages[0].role: ", "found a number"},
        {"[{'role':'user'},{'role':'bot'}]", GLIM_E_INPUT, "messages[1].role: ", "\"bot\""},
        {"[{'role':'user','content':1}]", GLIM_E_INPUT, "messages[0].content: ", "found a number"},
        {"[{'role':'user','content':{}}]", GLIM_E_INPUT, "messages[0].content: ", "an object"},
        {"[{'role':'user','content':['a',1]}]", GLIM_E_INPUT,
         "messages[0].content[1]: ", "found a number"},
        {"[{'role':'user','content':['a',{'type':'image_url','image_url':{'url':'x'}}]}]",
         GLIM_E_UNSUPPORTED, "messages[0].content[1]: ", "the model is text-only"},
        {"[{'role':'tool','content':[{'type':'input_audio'}]}]", GLIM_E_UNSUPPORTED,
         "messages[0].content[0]: ", "input_audio"},
        {"[{'role':'user','content':[{'type':'video_url'}]}]", GLIM_E_UNSUPPORTED,
         "messages[0].content[0]: ", "text-only"},
        {"[{'role':'user','content':[{'type':'file'}]}]", GLIM_E_UNSUPPORTED,
         "messages[0].content[0]: ", "text-only"},
        {"[{'role':'user','content':[{'type':'poem','text':''}]}]", GLIM_E_INPUT,
         "messages[0].content[0]: ", "\"poem\""},
        {"[{'role':'user','content':[{'type':'text'}]}]", GLIM_E_INPUT,
         "messages[0].content[0].text: ", "missing"},
        {"[{'role':'user','content':[{'type':'text','text':[]}]}]", GLIM_E_INPUT,
         "messages[0].content[0].text: ", "found an array"},
        {"[{'role':'assistant','reasoning_content':1}]", GLIM_E_INPUT,
         "messages[0].reasoning_content: ", "found a number"},
        {"[{'role':'assistant','reasoning':[]}]", GLIM_E_INPUT,
         "messages[0].reasoning: ", "found an array"},
        {"[{'role':'assistant','tool_calls':{}}]", GLIM_E_INPUT,
         "messages[0].tool_calls: ", "found an object"},
        {"[{'role':'assistant','function_call':'f'}]", GLIM_E_INPUT,
         "messages[0].function_call: ", "found a string"},
        {"[{'role':'user','tool_calls':[{'name':'f'}]}]", GLIM_E_INPUT,
         "messages[0].tool_calls: ", "role assistant"},
        {CALL("1"), GLIM_E_INPUT, "messages[0].tool_calls[0]: ", "found a number"},
        {CALL("{'name':'a'},{}"), GLIM_E_INPUT, "messages[0].tool_calls[1].name: ", "missing"},
        {CALL("{'function':{'name':''}}"), GLIM_E_INPUT,
         "messages[0].tool_calls[0].function.name: ", "empty"},
        {CALL("{'function':1}"), GLIM_E_INPUT, "messages[0].tool_calls[0].function: ", "a number"},
        {CALL("{'id':1,'name':'f'}"), GLIM_E_INPUT, "messages[0].tool_calls[0].id: ", "a number"},
        {CALL("{'type':'custom','name':'f'}"), GLIM_E_UNSUPPORTED,
         "messages[0].tool_calls[0]: ", "\"custom\""},
        {CALL("{'function':{'name':'f','arguments':[]}}"), GLIM_E_INPUT,
         "messages[0].tool_calls[0].function.arguments: ", "found an array"},
        {CALL("{'function':{'name':'f','arguments':'[1]'}}"), GLIM_E_INPUT,
         "messages[0].tool_calls[0].function.arguments: ", "is an array, not an object"},
        {CALL("{'function':{'name':'f','arguments':'{x'}}"), GLIM_E_INPUT,
         "messages[0].tool_calls[0].function.arguments: ", "at byte 1: 'x'"},
        {"[{'role':'tool','tool_call_id':5}]", GLIM_E_INPUT,
         "messages[0].tool_call_id: ", "a number"},
        {"[{'role':'tool','tool_call_id':'c9'}]", GLIM_E_INPUT,
         "messages: ", "\"c9\" of message 0"},
    };
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        char json[512];
        snprintf(json, sizeof json, "%s", cases[i].json);
        for (char *p = json; *p; p++)
            if (*p == '\'') *p = '"';
        glim_chat c;
        glim_error e = {0};
        glim_err rc = decode(json, &c, &e);
        if (rc != cases[i].rc || strncmp(e.msg, cases[i].begins, strlen(cases[i].begins)) ||
            !strstr(e.msg, cases[i].says))
            print_error("%s: %d %s\n", json, (int)rc, e.msg);
        assert_int_equal(rc, cases[i].rc);
        assert_int_equal(e.code, rc);
        assert_memory_equal(e.msg, cases[i].begins, strlen(cases[i].begins));
        assert_non_null(strstr(e.msg, cases[i].says));
        assert_true(e.offset < strlen(json));
        assert_int_equal(decode(json, &c, &(glim_error){0}), rc);
        assert_null(c.messages);
    }
}

static void deep_arguments(void **state)
{
    (void)state;
    glim_buf b;
    glim_buf_init(&b, 1 << 20);
    glim_buf_adds(&b, "[{\"role\":\"assistant\",\"tool_calls\":[{\"name\":\"f\",\"arguments\":\"");
    for (int i = 0; i < 10000; i++)
        glim_buf_adds(&b, "[");
    glim_buf_adds(&b, "\"}]}]");
    glim_chat c;
    glim_error e = {0};
    assert_int_equal(decode(b.p, &c, &e), GLIM_E_LIMIT);
    assert_non_null(strstr(e.msg, "messages[0].tool_calls[0].arguments: "));
    assert_non_null(strstr(e.msg, "limit"));
    glim_buf_deinit(&b);
}

static void tools(void **state)
{
    (void)state;
    glim_chat c;
    glim_error e = {0};
    assert_int_equal(decode_tools("null", &c, &e), GLIM_OK);
    assert_int_equal(c.n_tool, 0);
    assert_int_equal(decode_tools("[]", &c, &e), GLIM_OK);
    assert_null(c.tools);
    assert_int_equal(
        decode_tools("[{\"type\":\"function\", \"function\":{\"name\":\"a\",\"x\":1.0}},"
                     "{\"name\":\"b\",\"parameters\":{}},"
                     "{\"type\":\"web_search\",\"web_search\":{\"enable\":\"False\"}},"
                     "{\"type\":\"web_search\",\"web_search\":{\"search_query\":\"q\"}},"
                     "{\"function\":{\"name\":\"c\\u0064\",\"description\":null,"
                     "\"parameters\":null}}]",
                     &c, &e),
        GLIM_OK);
    assert_int_equal(c.n_tool, 3);
    assert_str(c.tools[0].name, "a");
    assert_str(c.tools[0].json, "{\"type\":\"function\", \"function\":{\"name\":\"a\",\"x\":1.0}}");
    assert_str(c.tools[1].name, "b");
    assert_str(c.tools[2].name, "cd");

    static const struct {
        const char *json;
        glim_err rc;
        const char *begins, *says;
    } bad[] = {
        {"{}", GLIM_E_INPUT, "tools: ", "found an object"},
        {"[1]", GLIM_E_INPUT, "tools[0]: ", "found a number"},
        {"[{}]", GLIM_E_INPUT, "tools[0].name: ", "missing"},
        {"[{'type':'function','function':{}}]", GLIM_E_INPUT,
         "tools[0].function.name: ", "missing"},
        {"[{'type':'function','function':{'name':''}}]", GLIM_E_INPUT,
         "tools[0].function.name: ", "empty"},
        {"[{'name':'a'},{'function':{'name':7}}]", GLIM_E_INPUT,
         "tools[1].function.name: ", "found a number"},
        {"[{'function':'f'}]", GLIM_E_INPUT, "tools[0].function: ", "found a string"},
        {"[{'name':'f','description':1}]", GLIM_E_INPUT, "tools[0].description: ", "a number"},
        {"[{'function':{'name':'f','parameters':'{}'}}]", GLIM_E_INPUT,
         "tools[0].function.parameters: ", "found a string"},
        {"[{'type':'custom','name':'f'}]", GLIM_E_UNSUPPORTED, "tools[0]: ", "\"custom\""},
        {"[{'type':'retrieval'}]", GLIM_E_UNSUPPORTED, "tools[0]: ", "\"retrieval\""},
        {"[{'type':'web_search','web_search':{'enable':true}}]", GLIM_E_UNSUPPORTED,
         "tools[0]: ", "web_search"},
        {"[{'type':'web_search','web_search':{'enable':'True'}}]", GLIM_E_UNSUPPORTED,
         "tools[0]: ", "web_search"},
        {"[{'type':5,'name':'f'}]", GLIM_E_INPUT, "tools[0].type: ", "found a number"},
    };
    for (size_t i = 0; i < GLIM_COUNT(bad); i++) {
        char json[256];
        snprintf(json, sizeof json, "%s", bad[i].json);
        for (char *p = json; *p; p++)
            if (*p == '\'') *p = '"';
        glim_err rc = decode_tools(json, &c, &e);
        if (rc != bad[i].rc || strncmp(e.msg, bad[i].begins, strlen(bad[i].begins)))
            print_error("%s: %d %s\n", json, (int)rc, e.msg);
        assert_int_equal(rc, bad[i].rc);
        assert_memory_equal(e.msg, bad[i].begins, strlen(bad[i].begins));
        assert_non_null(strstr(e.msg, bad[i].says));
        assert_int_equal(c.n_tool, 0);
    }
    for (int n = 128; n <= 129; n++) {
        glim_buf b;
        glim_buf_init(&b, 1 << 20);
        for (int i = 0; i < n; i++)
            glim_buf_addf(&b, "%c{\"name\":\"f%d\"}", i ? ',' : '[', i);
        glim_buf_adds(&b, "]");
        assert_int_equal(decode_tools(b.p, &c, &e), n > 128 ? GLIM_E_INPUT : GLIM_OK);
        glim_buf_deinit(&b);
    }
    assert_non_null(strstr(e.msg, "tools: 129 entries; at most 128"));
}

/* ---- the requests of the template goldens ---------------------------------------------------- */

static void check_content(const glim_json *v, glim_str got)
{
    size_t at = 0;
    if (!v || v->type == GLIM_JSON_NULL) {
        assert_int_equal(got.n, 0);
    } else if (v->type == GLIM_JSON_STRING) {
        assert_true(glim_str_eq(v->text, got));
    } else {
        GLIM_JSON_EACH(part, v)
        {
            glim_str text = glim_json_get(part, "text")->text;
            assert_true(at + text.n <= got.n);
            assert_memory_equal(got.p + at, text.p, text.n);
            at += text.n;
        }
        assert_int_equal(at, got.n);
    }
}

static void check_request(const glim_json *request)
{
    glim_chat_request rq;
    glim_error e = {0};
    glim_err rc = glim_openai_chat_decode(arena, request->text, &rq, &e);
    if (rc) print_error("%s\n", e.msg);
    assert_int_equal(rc, GLIM_OK);
    assert_int_equal(rq.n_unknown, 0);
    const glim_json *messages = glim_json_get(request, "messages");
    assert_int_equal(rq.chat.n_message, messages->n_child);
    const glim_message *m = rq.chat.messages;
    GLIM_JSON_EACH(v, messages)
    {
        check_content(glim_json_get(v, "content"), m->content);
        const glim_json *reasoning = glim_json_get(v, "reasoning_content");
        assert_int_equal(m->has_reasoning, reasoning != NULL);
        if (reasoning) assert_true(glim_str_eq(reasoning->text, m->reasoning));
        const glim_json *list = glim_json_get(v, "tool_calls");
        assert_int_equal(m->n_call, list ? list->n_child : 0);
        size_t i = 0;
        GLIM_JSON_EACH(call, list)
        {
            glim_str args = glim_json_path(call, "function.arguments")->text;
            assert_true(glim_str_eq(m->calls[i].name, glim_json_path(call, "function.name")->text));
            assert_true(glim_str_eq(m->calls[i].arguments, args.n ? args : GLIM_STR("{}")));
            i++;
        }
        m++;
    }
    const glim_json *list = glim_json_get(request, "tools");
    assert_int_equal(rq.chat.n_tool, list ? list->n_child : 0);
    size_t i = 0;
    GLIM_JSON_EACH(tool, list)
    {
        assert_true(glim_str_eq(rq.chat.tools[i].json, tool->text));
        assert_true(rq.chat.tools[i].name.n > 0);
        i++;
    }
    const glim_json *type = glim_json_path(request, "thinking.type");
    bool clear;
    glim_tristate think = !type                                ? GLIM_UNSET
                          : glim_str_is(type->text, "enabled") ? GLIM_ON
                                                               : GLIM_OFF;
    assert_int_equal(rq.chat.think, think);
    bool has = glim_json_bool(glim_json_path(request, "thinking.clear_thinking"), &clear);
    assert_int_equal(rq.chat.keep_old, !has ? GLIM_UNSET : clear ? GLIM_OFF : GLIM_ON);
}

static void goldens(void **state)
{
    (void)state;
    static const char *const roots[] = {GLIM_SOURCE_DIR "/../shared/golden",
                                        GLIM_SOURCE_DIR "/tests/golden"};
    static const char *const folders[] = {"GLM-4.7-Flash", "GLM-4.6", "GLM-4-9b-chat",
                                          "DeepSeek-V2-Lite-Chat", "DeepSeek-R1-Distill-Qwen"};
    int n_case = 0;
    for (size_t k = 0; k < GLIM_COUNT(folders); k++) {
        glim_buf b;
        glim_buf_init(&b, (size_t)16 << 20);
        glim_err rc = GLIM_E_NOTFOUND;
        for (size_t r = 0; rc && r < GLIM_COUNT(roots); r++) {
            char path[1024];
            snprintf(path, sizeof path, "%s/template/%s/cases.jsonl", roots[r], folders[k]);
            rc = glim_read_file(path, &b, NULL);
        }
        glim_str rest = glim_buf_view(&b);
        while (!rc && rest.n) {
            size_t end = GLIM_MIN(glim_str_find(rest, GLIM_STR("\n")), rest.n);
            glim_json *v;
            glim_error e = {0};
            glim_str line = glim_str_sub(rest, 0, end);
            rest = glim_str_sub(rest, GLIM_MIN(end + 1, rest.n), rest.n);
            if (line.n == 0) continue;
            glim_mark mark = glim_arena_mark(arena);
            assert_int_equal(glim_json_parse(arena, line, &v, &e), GLIM_OK);
            check_request(glim_json_get(v, "request"));
            glim_arena_rewind(arena, mark);
            n_case++;
        }
        glim_buf_deinit(&b);
    }
    if (n_case == 0) skip();
    print_message("%d requests\n", n_case);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(contents), cmocka_unit_test(result_lists),   cmocka_unit_test(calls),
        cmocka_unit_test(refusals), cmocka_unit_test(deep_arguments), cmocka_unit_test(tools),
        cmocka_unit_test(goldens),
    };
    return cmocka_run_group_tests_name("api/openai_messages", tests, setup, teardown);
}
