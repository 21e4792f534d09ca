/* SPDX-License-Identifier: MIT
 * test_ask_openai.c - requests to OpenAI's relatives and the Zhipu platform: bodies byte for byte,
 * what each refuses, that our own server reads back what was asked, failing allocations. */
#include "asks.h"

#include <math.h>

#define O (&glim_wire_openai)
#define Z (&glim_wire_zhipu)
#define HELLO "\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]"

static void smallest(void **state)
{
    (void)state;
    const glim_chat c = ask_chat(ask_hello, 1);
    glim_ask a = ask_of(&c, NULL);
    ask_check(O, &a, "{\"model\":\"m\"," HELLO ",\"stream\":false}");
    ask_check(Z, &a, "{\"model\":\"m\"," HELLO ",\"stream\":false}");
    a.stream = true;
    a.request_id = GLIM_STR("req-1");
    ask_check(O, &a,
              "{\"model\":\"m\"," HELLO
              ",\"stream\":true,\"stream_options\":{\"include_usage\":true}}");
    ask_check(Z, &a, "{\"model\":\"m\"," HELLO ",\"stream\":true,\"request_id\":\"req-1\"}");
    a.model.n = 0;
    a.stream = false;
    ask_check(O, &a, "{" HELLO ",\"stream\":false}");
    ask_refused(Z, &a, "model: missing");
}

static void everything(void **state)
{
    (void)state;
    glim_gen_opts g = ask_gen();
    glim_chat c = ask_chat(ask_hello, 1);
    glim_ask a = ask_of(&c, &g);
    for (size_t i = 0; i < GLIM_COUNT(ask_options); i++)
        if (ask_options[i].openai) ask_options[i].set(&g, &c, &a);
    a.extra = GLIM_STR("{\"x\": [1.50, null],\"n\":1,\"y\":null,\"z\":true,\"s\":\"\\u00e9\"}");
#define TOOLS                                                                                      \
    "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{\"b\":1.50,"   \
    "\"a\":{}}}},{\"type\":\"function\",\"function\":{\"name\": \"g\"}}]"
    ask_check(O, &a,
              "{\"model\":\"m\"," HELLO
              ",\"temperature\":0.5,\"top_p\":0.9,\"top_k\":40,\"min_p\":0.05,"
              "\"presence_penalty\":0.5,\"frequency_penalty\":-0.5,\"repetition_penalty\":1.1,"
              "\"seed\":42,\"max_tokens\":100,\"min_tokens\":5,\"ignore_eos\":true,"
              "\"skip_special_tokens\":false,\"parallel_tool_calls\":false,\"logprobs\":true,"
              "\"top_logprobs\":3,\"stop_token_ids\":[3,151336],"
              "\"logit_bias\":{\"7\":-100,\"1234567\":1.5},\"stop\":[\"END\",\"\\n\\n\"]," TOOLS
              ",\"tool_choice\":\"required\","
              "\"chat_template_kwargs\":{\"enable_thinking\":false,\"clear_thinking\":false},"
              "\"response_format\":{\"type\":\"json_object\"},\"stream\":false,\"user\":\"user-1\","
              "\"x\":[1.50, null],\"n\":1,\"y\":null,\"z\":true,\"s\":\"\xC3\xA9\"}");
    ask_fails(O, &a);

    g = ask_gen();
    c = ask_chat(ask_hello, 1);
    a = ask_of(&c, &g);
    for (size_t i = 0; i < GLIM_COUNT(ask_options); i++)
        if (ask_options[i].zhipu) ask_options[i].set(&g, &c, &a);
    c.tools = ask_tools;
    c.n_tool = 2;
    a.extra = GLIM_STR("{\"tool_choice\":\"auto\",\"tool_stream\":true}");
    ask_check(Z, &a,
              "{\"model\":\"m\"," HELLO ",\"temperature\":0.5,\"top_p\":0.9,\"seed\":42,"
              "\"max_tokens\":100,\"stop\":[\"END\",\"\\n\\n\"]," TOOLS
              ",\"thinking\":{\"type\":\"disabled\",\"clear_thinking\":false},"
              "\"response_format\":{\"type\":\"json_object\"},\"stream\":false,"
              "\"meta\":{\"bot_name\":\"x\"},\"user_id\":\"user-1\",\"tool_choice\":\"auto\","
              "\"tool_stream\":true}");
    ask_fails(Z, &a);
}

static void options(void **state)
{
    (void)state;
    ask_each_option(O);
    ask_each_option(Z);
}

static const glim_tool_call calls[] = {
    {TEXT("c1"), TEXT("f"), TEXT(" {\"b\": 1.50, \"a\":\"\\n\"}\n")},
    {TEXT("c2"), TEXT("g"), NO_TEXT}};
static const glim_str results[] = {TEXT("{\"x\":1}"), TEXT("{\"output\":\"y\"}")};
static const glim_str parts[] = {
    TEXT("{\"type\":\"text\",\"text\":\"what?\"}"),
    TEXT("{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,AAAA\","
         "\"detail\":\"low\"}}"),
    TEXT("{\"type\":\"image_url\",\"image_url\":{\"url\":\"https://example.com/a.png\"}}")};

static size_t conversation(glim_message *m)
{
    size_t n = 0;
    m[n++] = (glim_message)MESSAGE(SYSTEM, "Be \"brief\".");
    m[n] = (glim_message)MESSAGE(USER, "");
    m[n].parts = parts;
    m[n++].n_part = 3;
    m[n] = (glim_message)MESSAGE(ASSISTANT, "");
    m[n].has_reasoning = true;
    m[n].reasoning = GLIM_STR("hm");
    m[n].calls = calls;
    m[n++].n_call = 2;
    m[n] = (glim_message)MESSAGE(TOOL, "r1");
    m[n++].tool_call_id = GLIM_STR("c1");
    m[n] = (glim_message)MESSAGE(TOOL, "");
    m[n].parts = results;
    m[n].n_part = 2;
    m[n++].tool_call_id = GLIM_STR("c2");
    m[n] = (glim_message)MESSAGE(ASSISTANT, "");
    m[n++].has_reasoning = true;
    m[n++] = (glim_message)MESSAGE(USER, "\xF0\x9F\x98\x80\xE2\x80\xA8");
    return n;
}

#define CONVERSATION(image)                                                                        \
    "\"messages\":[{\"role\":\"system\",\"content\":\"Be \\\"brief\\\".\"},"                       \
    "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"what?\"}," image                \
    ",{\"type\":\"image_url\",\"image_url\":{\"url\":\"https://example.com/a.png\"}}]},"           \
    "{\"role\":\"assistant\",\"content\":null,\"reasoning_content\":\"hm\",\"tool_calls\":["       \
    "{\"id\":\"c1\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":"             \
    "\"{\\\"b\\\": 1.50, \\\"a\\\":\\\"\\\\n\\\"}\"}},"                                            \
    "{\"id\":\"c2\",\"type\":\"function\",\"function\":{\"name\":\"g\",\"arguments\":\"{}\"}}]},"  \
    "{\"role\":\"tool\",\"content\":\"r1\",\"tool_call_id\":\"c1\"},"                              \
    "{\"role\":\"tool\",\"content\":[{\"x\":1},{\"output\":\"y\"}],\"tool_call_id\":\"c2\"},"      \
    "{\"role\":\"assistant\",\"content\":\"\",\"reasoning_content\":\"\"},"                        \
    "{\"role\":\"user\",\"content\":\"\xF0\x9F\x98\x80\\u2028\"}],"

static void messages(void **state)
{
    (void)state;
    glim_message m[8];
    const glim_chat c = ask_chat(m, conversation(m));
    const glim_ask a = ask_of(&c, NULL);
    ask_check(O, &a,
              "{\"model\":\"m\"," CONVERSATION(
                  "{\"type\":\"image_url\",\"image_url\":{\"url\":"
                  "\"data:image/png;base64,AAAA\",\"detail\":\"low\"}}") "\"stream\":false}");
    /* The platform's clients take the head of an image's data away. */
    ask_check(
        Z, &a,
        "{\"model\":\"m\"," CONVERSATION("{\"type\":\"image_url\",\"image_url\":{\"url\":\"AAAA\","
                                         "\"detail\":\"low\"}}") "\"stream\":false}");
    ask_fails(O, &a);
    ask_fails(Z, &a);
}

static void other_tools(void **state)
{
    (void)state;
    static const glim_tool tools[] = {
        {NO_TEXT, TEXT("{\"type\":\"web_search\",\"web_search\":{\"enable\":\"True\"}}")},
        {NO_TEXT, TEXT("{\"type\":\"retrieval\",\"retrieval\":{\"knowledge_id\":\"1\"}}")}};
    glim_chat c = ask_chat(ask_hello, 1);
    const glim_ask a = ask_of(&c, NULL);
    c.tools = tools;
    c.n_tool = 2;
    ask_check(Z, &a,
              "{\"model\":\"m\"," HELLO ",\"tools\":[{\"type\":\"web_search\",\"web_search\":"
              "{\"enable\":\"True\"}},{\"type\":\"retrieval\",\"retrieval\":{\"knowledge_id\":"
              "\"1\"}}],\"stream\":false}");
}

static void choices(void **state)
{
    (void)state;
    static const glim_str names[] = {TEXT("f"), TEXT("g")};
    glim_gen_opts g = ask_gen();
    glim_chat c = ask_chat(ask_hello, 1);
    const glim_ask a = ask_of(&c, &g);
    g.call_required = true;
    ask_refused(O, &a, "tool_choice: a call is asked for, but there are no tools");
    c.tools = ask_tools + 1;
    c.n_tool = 1;
    g.call_names = names;
    g.n_call_name = 1;
#define CHOICE(json)                                                                               \
    "{\"model\":\"m\"," HELLO ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\": "        \
    "\"g\"}}],\"tool_choice\":" json ",\"stream\":false}"
    ask_check(O, &a, CHOICE("{\"type\":\"function\",\"function\":{\"name\":\"f\"}}"));
    g.n_call_name = 2;
    ask_check(O, &a,
              CHOICE("{\"type\":\"allowed_tools\",\"allowed_tools\":{\"mode\":\"required\","
                     "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}},"
                     "{\"type\":\"function\",\"function\":{\"name\":\"g\"}}]}}"));
}

static void spellings(void **state)
{
    (void)state;
    glim_gen_opts g = ask_gen();
    glim_chat c = ask_chat(ask_hello, 1);
    const glim_ask a = ask_of(&c, &g);
    g.temperature = 0;
    g.top_k = 0;
    ask_check(O, &a, "{\"model\":\"m\"," HELLO ",\"temperature\":0,\"top_k\":-1,\"stream\":false}");
    g.top_k = -1;
    ask_check(Z, &a, "{\"model\":\"m\"," HELLO ",\"do_sample\":false,\"stream\":false}");
    g.temperature = NAN;
    c.think = GLIM_ON;
    ask_check(O, &a,
              "{\"model\":\"m\"," HELLO
              ",\"chat_template_kwargs\":{\"enable_thinking\":true},\"stream\":false}");
    ask_check(Z, &a,
              "{\"model\":\"m\"," HELLO ",\"thinking\":{\"type\":\"enabled\"},\"stream\":false}");
    c.think = GLIM_UNSET;
    c.keep_old = GLIM_OFF;
    ask_check(Z, &a,
              "{\"model\":\"m\"," HELLO
              ",\"thinking\":{\"clear_thinking\":true},\"stream\":false}");
    c.keep_old = GLIM_UNSET;
    g.n_logprob = 0;
    ask_check(O, &a, "{\"model\":\"m\"," HELLO ",\"logprobs\":true,\"stream\":false}");
}

static void refusals(void **state)
{
    (void)state;
    static const glim_tool_call no_id = {NO_TEXT, TEXT("f"), TEXT("{}")};
    glim_message helper = MESSAGE(ASSISTANT, "");
    helper.calls = &no_id;
    helper.n_call = 1;
    for (size_t i = 0; i < 2; i++) {
        const glim_wire_dialect *d = i ? Z : O;
        ask_common_refusals(d);
        ask_bad_message(d, helper, "messages[1].calls[0].id: empty");
        ask_bad_message(d, (glim_message)MESSAGE(TOOL, "r"), "messages[1].tool_call_id: empty");
        ask_bad_extra(d, "{\"temperature\":1}", "extra: \"temperature\" is set already");
    }
    ask_bad_extra(Z, "{\"tool_choice\":\"required\"}",
                  "extra.tool_choice: the Zhipu platform knows");
    ask_bad_extra(Z, "{\"tool_choice\":{\"type\":\"auto\"}}", "extra.tool_choice: the Zhipu");
    ask_bad_extra(Z, "{\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{}}}",
                  "extra.response_format: the Zhipu platform has no json_schema");
    glim_gen_opts g = ask_gen();
    g.temperature = 1.5f;
    ask_bad_option(Z, g, "temperature: 1.5 is beyond 0 to 1");
    g = ask_gen();
    g.top_p = 0.001f;
    ask_bad_option(Z, g, "top_p: ");
    g = ask_gen();
    g.n_logprob = 21;
    ask_bad_option(O, g, "top_logprobs: at most 20");
    static const glim_str five[] = {TEXT("a"), TEXT("b"), TEXT("c"), TEXT("d"), TEXT("e")};
    g = ask_gen();
    g.stops = five;
    g.n_stop = 5;
    ask_bad_option(Z, g, "stop: 5 strings");
    const glim_chat c = ask_chat(ask_hello, 1);
    glim_ask a = ask_of(&c, NULL);
    a.meta = GLIM_STR("[]");
    ask_refused(Z, &a, "meta: expected an object");
    a.meta = GLIM_STR("{");
    ask_refused(Z, &a, "meta: the JSON here");
    a = ask_of(&c, NULL);
    a.user_id = GLIM_STR("\xFF");
    ask_refused(Z, &a, "user_id: not valid UTF-8");
    a = ask_of(&c, NULL);
    a.model = GLIM_STR("\xFF");
    ask_refused(O, &a, "model: not valid UTF-8");
}

/* ---- read back by our own server ------------------------------------------------------------- */

static void same_message(const glim_message *a, const glim_message *b)
{
    assert_int_equal(a->role, b->role);
    assert_true(glim_str_eq(a->content, b->content));
    assert_int_equal(a->has_reasoning, b->has_reasoning);
    assert_true(glim_str_eq(a->reasoning, b->reasoning));
    assert_true(glim_str_eq(a->tool_call_id, b->tool_call_id));
    assert_int_equal(a->n_call, b->n_call);
    for (size_t i = 0; i < a->n_call; i++) {
        glim_str args = glim_str_trim(a->calls[i].arguments, " \t\r\n");
        assert_true(glim_str_eq(a->calls[i].id, b->calls[i].id));
        assert_true(glim_str_eq(a->calls[i].name, b->calls[i].name));
        assert_true(glim_str_eq(args.n ? args : GLIM_STR("{}"), b->calls[i].arguments));
    }
    assert_int_equal(a->n_part, b->n_part);
    for (size_t i = 0; i < a->n_part; i++)
        assert_true(glim_str_eq(a->parts[i], b->parts[i]));
}

static void read_back(const glim_wire_dialect *d, const glim_dialect *server)
{
    glim_message m[8];
    size_t n = conversation(m);
    m[1] = (glim_message)MESSAGE(USER, "no images here");
    glim_gen_opts g = ask_gen();
    glim_chat c = ask_chat(m, n);
    glim_ask a = ask_of(&c, &g);
    for (size_t i = 0; i < GLIM_COUNT(ask_options); i++)
        if (ask_can(&ask_options[i], d) && ask_options[i].set != set_json)
            ask_options[i].set(&g, &c, &a);
    a.stream = true;
    a.request_id = GLIM_STR("req-1");
    glim_buf b;
    glim_error e = {0};
    glim_problem p = {.kind = GLIM_PROBLEM_BAD};
    glim_request rq;
    glim_arena *arena = glim_arena_new(16 << 20);
    glim_buf_init(&b, 1 << 20);
    assert_int_equal(d->ask(&a, &b, &e), GLIM_OK);
    if (server->decode(arena, glim_buf_view(&b), &rq, &p)) print_error("%s\n%s\n", p.msg, b.p);
    assert_string_equal(p.msg, "");
    assert_int_equal(rq.n_unknown, 0);
    assert_true(rq.stream);
    assert_true(glim_str_is(rq.model, "m"));
    assert_true(glim_str_is(rq.user_id, "user-1"));
    assert_int_equal(rq.chat.n_message, n);
    for (size_t i = 0; i < n; i++)
        same_message(&m[i], &rq.chat.messages[i]);
    assert_int_equal(rq.chat.n_tool, c.n_tool);
    assert_int_equal(rq.chat.think, c.think);
    assert_int_equal(rq.chat.keep_old, c.keep_old);
    assert_true(rq.gen.temperature == g.temperature && rq.gen.top_p == g.top_p);
    assert_true(rq.gen.top_k == g.top_k && rq.gen.n_max == g.n_max && rq.gen.n_min == g.n_min);
    assert_true(rq.gen.seed == g.seed && rq.gen.has_seed == g.has_seed);
    assert_true(rq.gen.repetition_penalty == g.repetition_penalty);
    assert_true(rq.gen.presence_penalty == g.presence_penalty);
    assert_true(rq.gen.frequency_penalty == g.frequency_penalty);
    assert_int_equal(rq.gen.n_stop, g.n_stop);
    for (size_t i = 0; i < g.n_stop; i++)
        assert_true(glim_str_eq(rq.gen.stops[i], g.stops[i]));
    assert_int_equal(rq.gen.n_bias, g.n_bias);
    for (size_t i = 0; i < g.n_bias; i++)
        assert_true(rq.gen.biases[i].id == g.biases[i].id &&
                    rq.gen.biases[i].bias == g.biases[i].bias);
    assert_int_equal(rq.gen.n_stop_id, g.n_stop_id);
    assert_int_equal(rq.gen.n_logprob, g.n_logprob);
    assert_int_equal(rq.gen.ignore_eos, g.ignore_eos);
    assert_int_equal(rq.gen.keep_special, g.keep_special);
    assert_int_equal(rq.gen.one_call, g.one_call);
    assert_int_equal(rq.gen.call_required, g.call_required);
    if (d == O) assert_true(rq.include_usage && rq.gen.min_p == g.min_p);
    if (d == Z) assert_true(glim_str_is(rq.request_id, "req-1"));
    glim_buf_deinit(&b);
    glim_arena_free(arena);
}

static void own_server(void **state)
{
    (void)state;
    read_back(O, &glim_dialect_openai_chat);
    read_back(Z, &glim_dialect_zhipu_chat);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(smallest),  cmocka_unit_test(everything),  cmocka_unit_test(options),
        cmocka_unit_test(messages),  cmocka_unit_test(other_tools), cmocka_unit_test(choices),
        cmocka_unit_test(spellings), cmocka_unit_test(refusals),    cmocka_unit_test(own_server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
