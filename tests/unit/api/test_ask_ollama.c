/* SPDX-License-Identifier: MIT
 * test_ask_ollama.c - requests to Ollama: bodies byte for byte, images, results that find their
 * tool, options and those of the caller, what it refuses, that our own server reads it back. */
#include "asks.h"

#define L (&glim_wire_ollama)
#define HELLO "\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]"

static void smallest(void **state)
{
    (void)state;
    const glim_chat c = ask_chat(ask_hello, 1);
    glim_ask a = ask_of(&c, NULL);
    a.request_id = GLIM_STR("not in the body");
    ask_check(L, &a, "{\"model\":\"m\"," HELLO ",\"options\":{},\"stream\":false}");
    a.stream = true;
    ask_check(L, &a, "{\"model\":\"m\"," HELLO ",\"options\":{},\"stream\":true}");
    a.model.n = 0;
    ask_refused(L, &a, "model: missing");
}

static void everything(void **state)
{
    (void)state;
    glim_gen_opts g = ask_gen();
    glim_chat c = ask_chat(ask_hello, 1);
    glim_ask a = ask_of(&c, &g);
    for (size_t i = 0; i < GLIM_COUNT(ask_options); i++)
        if (ask_options[i].ollama) ask_options[i].set(&g, &c, &a);
    c.tools = ask_tools;
    c.n_tool = 2;
    a.extra = GLIM_STR("{\"keep_alive\":\"5m\",\"options\":{\"num_ctx\":8192,\"x\":null}}");
    ask_check(
        L, &a,
        "{\"model\":\"m\"," HELLO ",\"options\":{\"temperature\":0.5,\"top_p\":0.9,"
        "\"min_p\":0.05,\"presence_penalty\":0.5,\"frequency_penalty\":-0.5,\"top_k\":40,"
        "\"repeat_penalty\":1.1,\"num_predict\":100,\"seed\":42,\"stop\":[\"END\",\"\\n\\n\"],"
        "\"num_ctx\":8192,\"x\":null},\"tools\":[{\"type\":\"function\",\"function\":{\"name\":"
        "\"f\",\"parameters\":{\"b\":1.50,\"a\":{}}}},{\"type\":\"function\",\"function\":"
        "{\"name\": \"g\"}}],\"think\":false,\"format\":\"json\",\"logprobs\":true,"
        "\"top_logprobs\":3,\"stream\":false,\"keep_alive\":\"5m\"}");
    ask_fails(L, &a);
}

static void options(void **state)
{
    (void)state;
    ask_each_option(L);
}

static const glim_tool_call calls[] = {{TEXT("c1"), TEXT("f"), TEXT(" {\"b\": 1.50}\n")},
                                       {NO_TEXT, TEXT("g"), NO_TEXT}};
static const glim_str results[] = {TEXT("{\"x\":1}"), TEXT("{\"y\":2}")};
static const glim_str parts[] = {
    TEXT("{\"type\":\"text\",\"text\":\"what \"}"), TEXT("\"is it?\""),
    TEXT("{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,AAAA\"}}"),
    TEXT("{\"type\":\"image_url\",\"image_url\":\"data:image/webp;base64,BB==\"}")};

static size_t conversation(glim_message *m)
{
    size_t n = 0;
    m[n] = (glim_message)MESSAGE(USER, "");
    m[n].parts = parts;
    m[n++].n_part = 4;
    m[n] = (glim_message)MESSAGE(ASSISTANT, "");
    m[n].has_reasoning = true;
    m[n].reasoning = GLIM_STR("hm");
    m[n].calls = calls;
    m[n++].n_call = 2;
    m[n] = (glim_message)MESSAGE(TOOL, "r1");
    m[n++].tool_call_id = GLIM_STR("c1");
    m[n] = (glim_message)MESSAGE(TOOL, "");
    m[n].parts = results;
    m[n++].n_part = 2;
    m[n++] = (glim_message)MESSAGE(USER, "go on");
    m[n] = (glim_message)MESSAGE(ASSISTANT, "done");
    m[n].has_reasoning = true;
    m[n++].reasoning = GLIM_STR("last");
    return n;
}

#define CONVERSATION(thinking)                                                                     \
    "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"what is it?\",\"images\":"    \
    "[\"AAAA\",\"BB==\"]},{\"role\":\"assistant\",\"content\":\"\"," thinking                      \
    "\"tool_calls\":[{\"id\":\"c1\",\"function\":{\"index\":0,\"name\":\"f\",\"arguments\":"       \
    "{\"b\": 1.50}}},{\"function\":{\"index\":1,\"name\":\"g\",\"arguments\":{}}}]},"              \
    "{\"role\":\"tool\",\"content\":\"r1\",\"tool_name\":\"f\",\"tool_call_id\":\"c1\"},"          \
    "{\"role\":\"tool\",\"content\":\"[{\\\"x\\\":1},{\\\"y\\\":2}]\",\"tool_name\":\"g\"},"       \
    "{\"role\":\"user\",\"content\":\"go on\"},{\"role\":\"assistant\",\"content\":\"done\","      \
    "\"thinking\":\"last\"}],\"options\":{},\"stream\":false}"

static void messages(void **state)
{
    (void)state;
    glim_message m[8];
    glim_chat c = ask_chat(m, conversation(m));
    const glim_ask a = ask_of(&c, NULL);
    ask_check(L, &a, CONVERSATION("\"thinking\":\"hm\","));
    ask_fails(L, &a);
    /* Old thoughts are dropped by not being sent. */
    c.keep_old = GLIM_OFF;
    ask_check(L, &a, CONVERSATION(""));
}

static void bad_part(const char *json, const char *begin)
{
    const glim_str part[] = {TEXT("\"a\""), glim_str_of(json)};
    glim_message m = MESSAGE(USER, "");
    m.parts = part;
    m.n_part = 2;
    ask_bad_message(L, m, begin);
}

static void refusals(void **state)
{
    (void)state;
    ask_common_refusals(L);
    bad_part("7", "messages[1].parts[1]: expected a text or a part");
    bad_part("{\"type\":\"input_audio\"}", "messages[1].parts[1]: Ollama has no parts of type");
    bad_part("{\"type\":7}", "messages[1].parts[1].type: expected a string");
    bad_part("{\"type\":\"text\",\"text\":[]}", "messages[1].parts[1].text: expected a string");
    bad_part("{\"type\":\"image_url\",\"image_url\":{\"url\":\"https://example.com/a.png\"}}",
             "messages[1].parts[1]: Ollama takes images only as data");
    bad_part("{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:text/html;base64,AA\"}}",
             "messages[1].parts[1]: Ollama takes images only as data");
    bad_part("{\"type\":\"image_url\"}", "messages[1].parts[1]: Ollama takes images only as data");
    bad_part("{\"type\":\"image_url\",\"image_url\":{\"url\":7}}",
             "messages[1].parts[1]: Ollama takes images only as data");

    glim_message result = MESSAGE(TOOL, "r");
    ask_bad_message(L, result, "messages[1].tool_call_id: \"\" is no call");
    result.tool_call_id = GLIM_STR("c9");
    ask_bad_message(L, result, "messages[1].tool_call_id: \"c9\" is no call");
    result.content.n = 0;
    static const glim_str cut[] = {TEXT("{\"a\":1}"), TEXT("{")};
    result.parts = cut;
    result.n_part = 2;
    ask_bad_message(L, result, "messages[1].parts[1]: the JSON here");

    ask_bad_tool(L, "{\"type\":\"web_search\",\"web_search\":{}}",
                 "tools[1]: Ollama has no tools of type \"web_search\"");
    ask_bad_extra(L, "{\"options\":[]}", "extra.options: expected an object");
    ask_bad_extra(L, "{\"options\":{\"num_ctx\":1,\"temperature\":1}}",
                  "extra.options: \"temperature\" is set already");
}

/* More results than calls: the last ones are for none. */
static void too_many_results(void **state)
{
    (void)state;
    glim_message m[6] = {MESSAGE(USER, "x"), MESSAGE(ASSISTANT, ""), MESSAGE(TOOL, "a"),
                         MESSAGE(TOOL, "b"), MESSAGE(TOOL, "c")};
    m[1].calls = calls;
    m[1].n_call = 2;
    const glim_chat c = ask_chat(m, 5);
    const glim_ask a = ask_of(&c, NULL);
    ask_refused(L, &a, "messages[4].tool_call_id: \"\" is no call");
}

static void own_server(void **state)
{
    (void)state;
    glim_message m[8];
    size_t n = conversation(m);
    m[0] = (glim_message)MESSAGE(USER, "no images here");
    glim_gen_opts g = ask_gen();
    glim_chat c = ask_chat(m, n);
    glim_ask a = ask_of(&c, &g);
    for (size_t i = 0; i < GLIM_COUNT(ask_options); i++)
        if (ask_options[i].ollama && ask_options[i].set != set_json) ask_options[i].set(&g, &c, &a);
    c.tools = ask_tools;
    c.n_tool = 2;
    a.stream = true;
    glim_buf b;
    glim_problem p = {.kind = GLIM_PROBLEM_BAD};
    glim_request rq;
    glim_arena *arena = glim_arena_new(16 << 20);
    glim_buf_init(&b, 1 << 20);
    assert_int_equal(L->ask(&a, &b, NULL), GLIM_OK);
    if (glim_dialect_ollama_chat.decode(arena, glim_buf_view(&b), &rq, &p))
        print_error("%s\n%s\n", p.msg, b.p);
    assert_string_equal(p.msg, "");
    assert_int_equal(rq.n_unknown, 0);
    assert_true(rq.stream);
    assert_int_equal(rq.chat.n_message, n);
    assert_int_equal(rq.chat.n_tool, 2);
    assert_int_equal(rq.chat.think, GLIM_OFF);
    assert_true(glim_str_is(rq.chat.messages[1].calls[0].arguments, "{\"b\": 1.50}"));
    assert_true(glim_str_is(rq.chat.messages[1].reasoning, "hm"));
    assert_true(glim_str_is(rq.chat.messages[2].tool_call_id, "c1"));
    assert_true(rq.gen.temperature == g.temperature && rq.gen.top_p == g.top_p);
    assert_true(rq.gen.min_p == g.min_p && rq.gen.top_k == g.top_k && rq.gen.n_max == g.n_max);
    assert_true(rq.gen.repetition_penalty == g.repetition_penalty && rq.gen.seed == g.seed);
    assert_int_equal(rq.gen.n_stop, g.n_stop);
    assert_int_equal(rq.gen.n_logprob, g.n_logprob);
    glim_buf_deinit(&b);
    glim_arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(smallest),   cmocka_unit_test(everything),
        cmocka_unit_test(options),    cmocka_unit_test(messages),
        cmocka_unit_test(refusals),   cmocka_unit_test(too_many_results),
        cmocka_unit_test(own_server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
