/* SPDX-License-Identifier: MIT
 * asks.h - chats as a client asks them, and the checks that every wire's requests share. */
#ifndef GLIM_TESTS_API_ASKS_H
#define GLIM_TESTS_API_ASKS_H

#include "script.h"

#include "failnth.h"

#define TEXT(s)                                                                                    \
    {                                                                                              \
        (s), sizeof(s) - 1                                                                         \
    }
#define NO_TEXT                                                                                    \
    {                                                                                              \
        "", 0                                                                                      \
    }
#define MESSAGE(role_, text)                                                                       \
    {                                                                                              \
        .role = GLIM_ROLE_##role_, .content = TEXT(text), .reasoning = NO_TEXT,                    \
        .tool_call_id = NO_TEXT                                                                    \
    }

static const glim_message ask_hello[] = {MESSAGE(USER, "Hi")};

static inline glim_gen_opts ask_gen(void)
{
    glim_gen_opts g;
    glim_gen_opts_init(&g);
    return g;
}

static inline glim_chat ask_chat(const glim_message *m, size_t n)
{
    return (glim_chat){.messages = m, .n_message = n, .think = GLIM_UNSET, .keep_old = GLIM_UNSET};
}

static inline glim_ask ask_of(const glim_chat *c, const glim_gen_opts *g)
{
    return (glim_ask){.model = TEXT("m"), .chat = c, .gen = g};
}

/* The body of an ask that is fine. */
static inline void ask_check(const glim_wire_dialect *d, const glim_ask *a, const char *want)
{
    glim_buf b;
    glim_error e = {0};
    glim_arena *arena = glim_arena_new(16 << 20);
    glim_json *v;
    glim_buf_init(&b, 16 << 20);
    glim_err rc = d->ask(a, &b, &e);
    if (rc) print_error("%s\n", e.msg);
    assert_int_equal(rc, GLIM_OK);
    script_check(&b, want);
    assert_int_equal(glim_json_parse(arena, glim_buf_view(&b), &v, &e), GLIM_OK);
    glim_arena_free(arena);
    glim_buf_deinit(&b);
}

/* One that is refused: its message begins with the field's name, and nothing was written. */
static inline void ask_refused(const glim_wire_dialect *d, const glim_ask *a, const char *begin)
{
    glim_buf b;
    glim_error e = {0};
    glim_buf_init(&b, 16 << 20);
    glim_buf_adds(&b, "before");
    glim_err rc = d->ask(a, &b, &e);
    if (rc != GLIM_E_INPUT || strncmp(e.msg, begin, strlen(begin)) != 0)
        print_error("%s, want %s: %d %s\n", d->name, begin, rc, e.msg);
    assert_int_equal(rc, GLIM_E_INPUT);
    assert_int_equal(strncmp(e.msg, begin, strlen(begin)), 0);
    assert_string_equal(b.p, "before");
    glim_buf_deinit(&b);
}

/* Every allocation fails in turn, and every size of the body is too large in turn. */
static inline void ask_fails(const glim_wire_dialect *d, const glim_ask *a)
{
    size_t n_body = 0;
    for (int64_t n = 0;; n++) {
        glim_buf b;
        fail_nth fail;
        glim_error e = {0};
        glim_buf_init(&b, 16 << 20);
        fail_nth_begin(&fail, n);
        glim_err rc = d->ask(a, &b, &e);
        fail_nth_end();
        n_body = b.n;
        glim_buf_deinit(&b);
        if (!fail_nth_hit(&fail)) {
            assert_int_equal(rc, GLIM_OK);
            break;
        }
        assert_int_equal(rc, GLIM_E_NOMEM);
        assert_int_equal(n_body, 0);
        assert_true(n < 1000);
    }
    for (size_t max = 0; max < n_body; max++) {
        glim_buf b;
        glim_error e = {0};
        glim_buf_init(&b, max);
        assert_int_equal(d->ask(a, &b, &e), GLIM_E_LIMIT);
        assert_int_equal(b.n, 0);
        glim_buf_deinit(&b);
    }
}

/* ---- what no wire or only some can say -------------------------------------------------------- */

typedef struct ask_option {
    const char *name;
    void (*set)(glim_gen_opts *g, glim_chat *c, glim_ask *a);
    bool openai, zhipu, ollama; /* who can */
} ask_option;

static const glim_logit_bias ask_bias[] = {{7, -100}, {1234567, 1.5f}};
static const int32_t ask_stop_ids[] = {3, 151336};
static const glim_str ask_stops[] = {TEXT("END"), TEXT("\n\n")};
static const glim_tool ask_tools[] = {
    {TEXT("f"),
     TEXT("{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{\"b\":1.50,"
          "\"a\":{}}}}")},
    {TEXT("g"), TEXT(" {\"name\": \"g\"}\n")},
};

#define SETTER(name)                                                                               \
    static void set_##name(glim_gen_opts *g, glim_chat *c, glim_ask *a)                            \
    {                                                                                              \
        (void)g, (void)c, (void)a;
#define SET(name, what)                                                                            \
    SETTER(name) what;                                                                             \
    }
SET(temperature, g->temperature = 0.5f)
SET(top_p, g->top_p = 0.9f)
SET(top_k, g->top_k = 40)
SET(min_p, g->min_p = 0.05f)
SET(seed, g->has_seed = true; g->seed = 42)
SET(n_max, g->n_max = 100)
SET(stops, g->stops = ask_stops; g->n_stop = 2)
SET(repetition, g->repetition_penalty = 1.1f)
SET(presence, g->presence_penalty = 0.5f)
SET(frequency, g->frequency_penalty = -0.5f)
SET(biases, g->biases = ask_bias; g->n_bias = 2)
SET(n_logprob, g->n_logprob = 3)
SET(n_min, g->n_min = 5)
SET(ignore_eos, g->ignore_eos = true)
SET(think_budget, g->think_budget = 9)
SET(loop_stop, g->loop_stop = GLIM_ON)
SET(dry, g->dry_multiplier = 0.8f)
SET(stop_ids, g->stop_ids = ask_stop_ids; g->n_stop_id = 2)
SET(keep_stop, g->keep_stop = true)
SET(keep_special, g->keep_special = true)
SET(one_call, g->one_call = true)
SET(required, g->call_required = true; c->tools = ask_tools; c->n_tool = 2)
SET(prefill, c->no_generation_prompt = true)
SET(meta, a->meta = GLIM_STR("{\"bot_name\":\"x\"}"))
SET(user, a->user_id = GLIM_STR("user-1"))
SET(json, a->json_object = true)
SET(think, c->think = GLIM_OFF)
SET(keep_old, c->keep_old = GLIM_ON)

static const ask_option ask_options[] = {
    {"temperature", set_temperature, true, true, true},
    {"top_p", set_top_p, true, true, true},
    {"top_k", set_top_k, true, false, true},
    {"min_p", set_min_p, true, false, true},
    {"seed", set_seed, true, true, true},
    {"max_tokens", set_n_max, true, true, true},
    {"stop", set_stops, true, true, true},
    {"repetition_penalty", set_repetition, true, false, true},
    {"presence_penalty", set_presence, true, false, true},
    {"frequency_penalty", set_frequency, true, false, true},
    {"logit_bias", set_biases, true, false, false},
    {"logprobs", set_n_logprob, true, false, true},
    {"min_tokens", set_n_min, true, false, false},
    {"ignore_eos", set_ignore_eos, true, false, false},
    {"think_budget", set_think_budget, false, false, false},
    {"loop_stop", set_loop_stop, false, false, false},
    {"dry_multiplier", set_dry, false, false, false},
    {"stop_token_ids", set_stop_ids, true, false, false},
    {"keep_stop", set_keep_stop, false, false, false},
    {"skip_special_tokens", set_keep_special, true, false, false},
    {"parallel_tool_calls", set_one_call, true, false, false},
    {"tool_choice", set_required, true, false, false},
    {"no_generation_prompt", set_prefill, false, false, false},
    {"meta", set_meta, false, true, false},
    {"user_id", set_user, true, true, false},
    {"response_format", set_json, true, true, true},
    {"thinking", set_think, true, true, true},
    {"clear_thinking", set_keep_old, true, true, true},
};

static inline bool ask_can(const ask_option *o, const glim_wire_dialect *d)
{
    return d == &glim_wire_openai ? o->openai : d == &glim_wire_zhipu ? o->zhipu : o->ollama;
}

/* Each option alone: sent, or refused by its name; never passed over. */
static inline void ask_each_option(const glim_wire_dialect *d)
{
    glim_buf plain, b;
    const glim_chat hello = ask_chat(ask_hello, 1);
    const glim_gen_opts none = ask_gen();
    const glim_ask nothing = ask_of(&hello, &none);
    glim_buf_init(&plain, 1 << 20);
    glim_buf_init(&b, 1 << 20);
    assert_int_equal(d->ask(&nothing, &plain, NULL), GLIM_OK);
    for (size_t i = 0; i < GLIM_COUNT(ask_options); i++) {
        const ask_option *o = &ask_options[i];
        glim_gen_opts g = none;
        glim_chat c = hello;
        glim_ask a = ask_of(&c, &g);
        o->set(&g, &c, &a);
        if (!ask_can(o, d)) {
            ask_refused(d, &a, o->name);
            continue;
        }
        glim_error e = {0};
        glim_buf_clear(&b);
        if (d->ask(&a, &b, &e)) print_error("%s: %s\n", o->name, e.msg);
        assert_int_equal(e.code, GLIM_OK);
        if (d == &glim_wire_ollama && o->set == set_keep_old) continue; /* it keeps them anyway */
        if (strcmp(b.p, plain.p) == 0) print_error("%s is passed over\n", o->name);
        assert_string_not_equal(b.p, plain.p);
    }
    glim_buf_deinit(&plain);
    glim_buf_deinit(&b);
}

/* ---- what every wire refuses ------------------------------------------------------------------ */

/* message, or the one before it and a call of it, refused with a message that begins so */
static inline void ask_bad_message(const glim_wire_dialect *d, glim_message m, const char *begin)
{
    const glim_message list[] = {MESSAGE(USER, "Hi"), m};
    const glim_chat c = ask_chat(list, 2);
    const glim_ask a = ask_of(&c, NULL);
    ask_refused(d, &a, begin);
}

static inline void ask_bad_option(const glim_wire_dialect *d, glim_gen_opts g, const char *begin)
{
    const glim_chat c = ask_chat(ask_hello, 1);
    const glim_ask a = ask_of(&c, &g);
    ask_refused(d, &a, begin);
}

static inline void ask_bad_extra(const glim_wire_dialect *d, const char *extra, const char *begin)
{
    glim_gen_opts g = ask_gen();
    const glim_chat c = ask_chat(ask_hello, 1);
    glim_ask a = ask_of(&c, &g);
    g.temperature = 0.5f;
    a.extra = glim_str_of(extra);
    ask_refused(d, &a, begin);
}

static inline void ask_bad_tool(const glim_wire_dialect *d, const char *json, const char *begin)
{
    const glim_tool tools[] = {ask_tools[0], {NO_TEXT, glim_str_of(json)}};
    glim_chat c = ask_chat(ask_hello, 1);
    const glim_ask a = ask_of(&c, NULL);
    c.tools = tools;
    c.n_tool = 2;
    ask_refused(d, &a, begin);
}

static inline void ask_common_refusals(const glim_wire_dialect *d)
{
    static const glim_tool_call call = {TEXT("c1"), TEXT("f"), TEXT("{}")};
    static const glim_tool_call cut = {TEXT("c1"), TEXT("f"), TEXT("{\"a\":")};
    static const glim_tool_call list = {TEXT("c1"), TEXT("f"), TEXT("[1]")};
    static const glim_tool_call twice = {TEXT("c1"), TEXT("f"), TEXT("{\"a\":1,\"a\":2}")};
    static const glim_tool_call bytes = {TEXT("c1"), TEXT("\xFF"), TEXT("{}")};
    static const glim_str part[] = {TEXT("\"a\""), TEXT("{\"type\":")};
    glim_message user = MESSAGE(USER, "x"), helper = MESSAGE(ASSISTANT, "x");

    ask_bad_message(d, (glim_message)MESSAGE(USER, "a\xC3("),
                    "messages[1].content: not valid UTF-8");
    helper.has_reasoning = true;
    helper.reasoning = GLIM_STR("\x80");
    ask_bad_message(d, helper, "messages[1].reasoning: not valid UTF-8");
    helper.has_reasoning = false;
    helper.n_call = 1;
    helper.calls = &cut;
    ask_bad_message(d, helper, "messages[1].calls[0].arguments: the JSON here");
    helper.calls = &list;
    ask_bad_message(d, helper, "messages[1].calls[0].arguments: expected an object");
    helper.calls = &twice;
    ask_bad_message(d, helper, "messages[1].calls[0].arguments: the JSON here");
    helper.calls = &bytes;
    ask_bad_message(d, helper, "messages[1].calls[0].name: not valid UTF-8");
    user.n_call = 1;
    user.calls = &call;
    ask_bad_message(d, user, "messages[1].calls: only a message of the assistant");
    user.n_call = 0;
    user.parts = part;
    user.n_part = 1;
    ask_bad_message(d, user, "messages[1].parts: given beside content");
    user.content.n = 0;
    user.n_part = 2;
    ask_bad_message(d, user, "messages[1].parts[1]: the JSON here");
    user.role = GLIM_ROLE_SYSTEM;
    ask_bad_message(d, user, "messages[1].parts: only messages of the user and of tools");

    glim_gen_opts g = ask_gen();
    g.temperature = -0.1f;
    ask_bad_option(d, g, "temperature: ");
    g.temperature = (float)1e39; /* infinite */
    ask_bad_option(d, g, "temperature: ");
    g = ask_gen();
    g.top_p = 1.5f;
    ask_bad_option(d, g, "top_p: ");
    g = ask_gen();
    g.n_max = 0;
    ask_bad_option(d, g, "max_tokens: ");
    g.n_max = -5;
    ask_bad_option(d, g, "max_tokens: ");
    g = ask_gen();
    g.has_seed = true;
    g.seed = (uint64_t)1 << 63;
    ask_bad_option(d, g, "seed: ");
    static const glim_str empty[] = {TEXT("a"), NO_TEXT}, no_text[] = {TEXT("\xFE")};
    g = ask_gen();
    g.stops = empty;
    g.n_stop = 2;
    ask_bad_option(d, g, "stop[1]: ");
    g.stops = no_text;
    g.n_stop = 1;
    ask_bad_option(d, g, "stop[0]: ");

    ask_bad_extra(d, "{", "extra: the JSON here");
    ask_bad_extra(d, "[]", "extra: expected an object");
    ask_bad_extra(d, "{\"a\":1,\"a\":1}", "extra: the JSON here");
    ask_bad_extra(d, "{\"a\":1,\"stream\":true}", "extra: \"stream\" is set already");
    ask_bad_extra(d, "{\"model\":\"x\"}", "extra: \"model\" is set already");
    ask_bad_extra(d, "{\"messages\":null}", "extra: \"messages\" is set already");
    ask_bad_extra(d, "{\"n\":2}", "extra.n: only 1");

    ask_bad_tool(d, "{", "tools[1]: the JSON here");
    ask_bad_tool(d, "\"f\"", "tools[1]: expected an object");
    ask_bad_tool(d, "{\"type\":7}", "tools[1].type: expected a string");

    glim_chat c = ask_chat(ask_hello, 0);
    const glim_ask a = ask_of(&c, NULL);
    ask_refused(d, &a, "messages: the list is empty");
}

#endif
