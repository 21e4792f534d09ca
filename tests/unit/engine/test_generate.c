/* SPDX-License-Identifier: MIT
 * test_generate.c - the event stream of the bundled model: order, stop reasons, stop strings, calls, caching, cancelling. */
#include "engine/engine_int.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "demo.h"

static glim_model *model;

static int open_demo(void **state)
{
    (void)state;
    glim_model_opts o;
    glim_model_opts_init(&o);
    o.n_ctx = 1024;
    OPEN_MODEL(DEMO_GGUF, &o, &model);
    return 0;
}

static int close_demo(void **state)
{
    (void)state;
    glim_model_close(model);
    return 0;
}

/* Watches the rules of the stream while collecting. */
typedef struct watcher {
    glim_collector *c;
    bool stopped, begun;
    int n_event, cancel_after; /* 0: never */
} watcher;

static bool watch(void *user, const glim_event *ev)
{
    watcher *w = user;
    assert_false(w->stopped); /* nothing follows STOP */
    if (ev->kind == GLIM_EV_PROGRESS) {
        assert_false(w->begun);
        assert_true(ev->n_done <= ev->n_total);
    } else {
        w->begun = true;
    }
    if (ev->kind == GLIM_EV_CONTENT || ev->kind == GLIM_EV_REASONING) {
        assert_true(ev->text.n > 0);
        assert_true(glim_utf8_valid(ev->text, NULL)); /* whole characters only */
    }
    if (ev->kind == GLIM_EV_CALL_BEGIN)
        assert_true(glim_str_starts(ev->id, S("call_")) && ev->id.n == 29);
    w->stopped = ev->kind == GLIM_EV_STOP;
    if (w->stopped) assert_non_null(ev->usage);
    assert_true(glim_collector_event(w->c, ev));
    return !w->cancel_after || ++w->n_event < w->cancel_after;
}

static const glim_answer *ask(glim_session *s, const glim_chat *chat, const glim_gen_opts *o,
                              watcher *w)
{
    glim_error e = {0};
    glim_collector_free(w->c);
    w->c = glim_collector_new();
    w->stopped = w->begun = false;
    w->n_event = 0;
    if (glim_generate(s, chat, o, watch, w, &e)) fail_msg("%s", e.msg);
    assert_true(w->stopped);
    return glim_collector_answer(w->c);
}

static glim_session *new_session(void)
{
    glim_session *s;
    assert_int_equal(glim_session_new(model, &s, NULL), GLIM_OK);
    return s;
}

static void greedy(glim_gen_opts *o)
{
    glim_gen_opts_init(o);
    o->temperature = 0;
}

static const char question[] = "How do I get the real model?";
static const char answer[] = "Get the weights of GLM-4.7-Flash, for example as a GGUF file, and "
                             "start `glim serve --model FILE`.";

static void test_answer(void **state)
{
    (void)state;
    glim_session *s = new_session();
    const glim_message msg = {.role = GLIM_ROLE_USER, .content = S(question)};
    const glim_chat chat = {
        .messages = &msg, .n_message = 1, .think = GLIM_OFF, .keep_old = GLIM_UNSET};
    watcher w = {0};
    glim_gen_opts o;
    greedy(&o);
    const glim_answer *a = ask(s, &chat, &o, &w);
    assert_true(glim_str_is(a->content, answer)); /* the reference implementation's words */
    assert_int_equal(a->reason, GLIM_STOP_END);
    assert_int_equal(a->usage.n_prompt, 13);
    assert_int_equal(a->usage.n_completion, 34);
    assert_int_equal(a->usage.n_cached, 0);
    a = ask(s, &chat, &o, &w); /* again: all but the last token is there already */
    assert_true(glim_str_is(a->content, answer));
    assert_int_equal(a->usage.n_cached, 12);
    glim_collector_free(w.c);
    glim_session_free(s);
}

static void test_thinking(void **state)
{
    (void)state;
    glim_session *s = new_session();
    const glim_message msg = {.role = GLIM_ROLE_USER, .content = S("What is 12 + 30?")};
    const glim_chat chat = {
        .messages = &msg, .n_message = 1, .think = GLIM_ON, .keep_old = GLIM_UNSET};
    watcher w = {0};
    glim_gen_opts o;
    greedy(&o);
    const glim_answer *a = ask(s, &chat, &o, &w);
    assert_true(a->reasoning.n > 0);
    assert_true(glim_str_find(a->content, S("42")) != SIZE_MAX);
    assert_true(glim_str_find(a->content, S("think>")) == SIZE_MAX);
    assert_true(a->usage.n_reasoning > 0 && a->usage.n_reasoning < a->usage.n_completion);
    glim_collector_free(w.c);
    glim_session_free(s);
}

static void test_lengths(void **state)
{
    (void)state;
    glim_session *s = new_session();
    const glim_message msg = {.role = GLIM_ROLE_USER, .content = S(question)};
    const glim_chat chat = {
        .messages = &msg, .n_message = 1, .think = GLIM_OFF, .keep_old = GLIM_UNSET};
    watcher w = {0};
    glim_gen_opts o;
    greedy(&o);
    o.n_max = 5;
    const glim_answer *a = ask(s, &chat, &o, &w);
    assert_int_equal(a->reason, GLIM_STOP_LENGTH);
    assert_int_equal(a->usage.n_completion, 5);
    assert_true(a->content.n > 0 && glim_str_starts(S(answer), a->content));
    glim_collector_free(w.c);
    glim_session_free(s);
}

static void test_stop_strings(void **state)
{
    (void)state;
    glim_session *s = new_session();
    const glim_message msg = {.role = GLIM_ROLE_USER, .content = S(question)};
    const glim_chat chat = {
        .messages = &msg, .n_message = 1, .think = GLIM_OFF, .keep_old = GLIM_UNSET};
    watcher w = {0};
    glim_gen_opts o;
    const glim_str stops[] = {S("never said"), S(" a GGUF f"), S("4.7-Flash, fox")};
    greedy(&o);
    o.stops = stops;
    o.n_stop = GLIM_COUNT(stops);
    const glim_answer *a = ask(s, &chat, &o, &w);
    assert_int_equal(a->reason, GLIM_STOP_STRING);
    /* Cut before the string, wherever tokens were cut; what only began like one comes out. */
    assert_true(glim_str_is(a->content, "Get the weights of GLM-4.7-Flash, for example as"));
    o.stops = &stops[2];
    o.n_stop = 1;
    a = ask(s, &chat, &o, &w);
    assert_true(glim_str_is(a->content, answer));
    assert_int_equal(a->reason, GLIM_STOP_END);
    glim_collector_free(w.c);
    glim_session_free(s);
}

static void test_context_full(void **state)
{
    (void)state;
    glim_model_opts o;
    glim_model *m;
    glim_session *s;
    glim_model_opts_init(&o);
    o.n_ctx = 20;
    OPEN_MODEL(DEMO_GGUF, &o, &m);
    assert_int_equal(glim_session_new(m, &s, NULL), GLIM_OK);
    const glim_message msg = {.role = GLIM_ROLE_USER, .content = S(question)};
    glim_chat chat = {.messages = &msg, .n_message = 1, .think = GLIM_OFF, .keep_old = GLIM_UNSET};
    watcher w = {0};
    glim_gen_opts g;
    greedy(&g);
    const glim_answer *a = ask(s, &chat, &g, &w);
    assert_int_equal(
        a->reason,
        GLIM_STOP_CONTEXT); /* 13 of the prompt, 7 computed, and one more that was only sampled */
    assert_int_equal(a->usage.n_completion, 8);

    const glim_message longer = {.role = GLIM_ROLE_USER,
                                 .content = S("one two three four five six seven eight nine ten")};
    glim_error e = {0};
    chat.messages = &longer;
    glim_collector_free(w.c);
    w = (watcher){.c = glim_collector_new()};
    assert_int_equal(glim_generate(s, &chat, &g, watch, &w, &e), GLIM_E_CONTEXT);
    assert_non_null(strstr(e.msg, "20")); /* both counts are named */
    assert_false(w.begun);
    glim_collector_free(w.c);
    glim_session_free(s);
    glim_model_close(m);
}

static void test_cancel(void **state)
{
    (void)state;
    glim_session *s = new_session();
    const glim_message msg = {.role = GLIM_ROLE_USER, .content = S(question)};
    const glim_chat chat = {
        .messages = &msg, .n_message = 1, .think = GLIM_OFF, .keep_old = GLIM_UNSET};
    glim_gen_opts o;
    greedy(&o);
    for (int after = 1; after < 6; after++) {
        watcher w = {.cancel_after = after};
        const glim_answer *a = ask(s, &chat, &o, &w);
        assert_int_equal(a->reason, GLIM_STOP_CANCEL);
        glim_collector_free(w.c);
    }
    watcher w = {0}; /* and the session is as good as before */
    assert_true(glim_str_is(ask(s, &chat, &o, &w)->content, answer));
    glim_collector_free(w.c);
    glim_session_free(s);
}

static void test_tool_call(void **state)
{
    (void)state;
    glim_session *s = new_session();
    static const char json[] = "{\"type\":\"function\",\"function\":{\"name\":\"get_weather\","
                               "\"description\":\"Get the weather of a city\","
                               "\"parameters\":{\"type\":\"object\",\"properties\":{\"city\":{"
                               "\"type\":\"string\"}},\"required\":[\"city\"]}}}";
    const glim_tool tool = {S("get_weather"), S(json)};
    const glim_message msg = {.role = GLIM_ROLE_USER,
                              .content = S("What is the weather in Paris?")};
    const glim_chat chat = {.messages = &msg,
                            .n_message = 1,
                            .tools = &tool,
                            .n_tool = 1,
                            .think = GLIM_OFF,
                            .keep_old = GLIM_UNSET};
    watcher w = {0};
    glim_gen_opts o;
    greedy(&o);
    const glim_answer *a = ask(s, &chat, &o, &w);
    assert_int_equal(a->n_call, 1);
    assert_true(glim_str_is(a->calls[0].name, "get_weather"));
    assert_true(glim_str_find(a->calls[0].arguments, S("Paris")) != SIZE_MAX);
    assert_true(glim_str_find(a->content, S("<tool_call>")) == SIZE_MAX);
    glim_collector_free(w.c);
    glim_session_free(s);
}

static void test_special_text_stays_text(void **state)
{
    (void)state;
    const glim_message msg = {.role = GLIM_ROLE_USER, .content = S("a <|assistant|> b <|user|>")};
    const glim_chat chat = {
        .messages = &msg, .n_message = 1, .think = GLIM_OFF, .keep_old = GLIM_UNSET};
    glim_rendered r;
    int n_role = 0;
    assert_int_equal(glim_render(glim_model_vocab(model), NULL, &chat, &r, NULL), GLIM_OK);
    for (size_t i = 0; i < r.tokens.n; i++)
        n_role += r.tokens.ids[i] == 5091 || r.tokens.ids[i] == 5092;
    assert_int_equal(n_role, 2); /* the template's own, not the user's */
    glim_rendered_free(&r);
}

static void test_raw(void **state)
{
    (void)state;
    glim_session *s = new_session();
    watcher w = {.c = glim_collector_new()};
    glim_gen_opts o;
    glim_error e = {0};
    greedy(&o);
    assert_int_equal(glim_generate_raw(
                         s,
                         S("[gMASK]<sop><|user|>How do I get the real model?<|assistant|></think>"),
                         &o, watch, &w, &e),
                     GLIM_OK);
    assert_true(glim_str_is(glim_collector_answer(w.c)->content, answer));
    glim_collector_free(w.c);
    w = (watcher){.c = glim_collector_new()};
    assert_int_equal(glim_generate_raw(s, S(""), &o, watch, &w, &e), GLIM_E_INPUT);
    assert_int_equal(glim_generate_raw(s, S("\xff"), &o, watch, &w, &e), GLIM_E_INPUT);
    glim_collector_free(w.c);
    glim_session_free(s);
}

static void test_settings(void **state)
{
    (void)state;
    glim_gen_opts o, r;
    glim_error e = {0};
    glim_gen_opts_init(&o);
    assert_int_equal(glim_gen_resolve(model, &o, &r, &e), GLIM_OK);
    assert_true(r.temperature == 1 && r.top_p == 0.95f && r.top_k == 0 && r.min_p == 0);
    o.temperature = -1;
    assert_int_equal(glim_gen_resolve(model, &o, &r, &e), GLIM_E_INPUT);
    assert_non_null(strstr(e.msg, "temperature"));
    glim_gen_opts_init(&o);
    o.top_p = 1.5f;
    assert_int_equal(glim_gen_resolve(model, &o, &r, &e), GLIM_E_INPUT);
    glim_gen_opts_init(&o);
    o.n_max = 0;
    assert_int_equal(glim_gen_resolve(model, &o, &r, &e), GLIM_E_INPUT);
    const glim_str empty = S("");
    glim_gen_opts_init(&o);
    o.stops = &empty;
    o.n_stop = 1;
    assert_int_equal(glim_gen_resolve(model, &o, &r, &e), GLIM_E_INPUT);
}

static void test_seed(void **state)
{
    (void)state;
    const glim_message msg = {.role = GLIM_ROLE_USER, .content = S("Tell me a story.")};
    const glim_chat chat = {
        .messages = &msg, .n_message = 1, .think = GLIM_OFF, .keep_old = GLIM_UNSET};
    glim_gen_opts o;
    char first[4096] = {0};
    glim_gen_opts_init(&o);
    o.has_seed = true;
    o.seed = 5;
    o.n_max = 60;
    for (int run = 0; run < 2; run++) {
        glim_session *s = new_session();
        watcher w = {0};
        const glim_answer *a = ask(s, &chat, &o, &w);
        assert_true(a->content.n < sizeof first);
        if (run == 0)
            memcpy(first, a->content.p, a->content.n);
        else
            assert_string_equal(first, a->content.p);
        glim_collector_free(w.c);
        glim_session_free(s);
    }
}

static void test_think_budget(void **state)
{
    (void)state;
    glim_session *s = new_session();
    const glim_message msg = {.role = GLIM_ROLE_USER, .content = S("What is 12 + 30?")};
    const glim_chat chat = {
        .messages = &msg, .n_message = 1, .think = GLIM_ON, .keep_old = GLIM_UNSET};
    watcher w = {0};
    glim_gen_opts o;
    greedy(&o);
    for (int budget = 0; budget <= 5; budget += 5) {
        o.think_budget = budget;
        const glim_answer *a = ask(s, &chat, &o, &w);
        /* The closing tag is a token of the thought as well. */
        assert_int_equal(a->usage.n_reasoning, budget + 1);
        assert_true(a->content.n > 0);
        assert_true(glim_str_find(a->content, S("think")) == SIZE_MAX);
        if (budget == 0) assert_int_equal(a->reasoning.n, 0);
    }
    glim_collector_free(w.c);
    glim_session_free(s);
}

static void test_answer_reserve(void **state)
{
    (void)state;
    glim_session *s = new_session();
    const glim_message msg = {.role = GLIM_ROLE_USER, .content = S("What is 12 + 30?")};
    const glim_chat chat = {
        .messages = &msg, .n_message = 1, .think = GLIM_ON, .keep_old = GLIM_UNSET};
    const glim_logit_bias never_close = {5106, -100};
    watcher w = {0};
    glim_gen_opts o;
    greedy(&o);
    o.biases = &never_close;
    o.n_bias = 1;
    o.n_max = 512;
    o.ignore_eos = true; /* and so no loop stop: this model thinks until it is stopped */
    const glim_answer *a = ask(s, &chat, &o, &w);
    assert_int_equal(a->usage.n_completion, 512);
    assert_int_equal(a->usage.n_reasoning, 512 - 128 + 1); /* a quarter is left for the answer */
    assert_true(a->content.n > 0);
    assert_int_equal(a->reason, GLIM_STOP_LENGTH);
    o.n_max = 100; /* below 512 the limit is the caller's own affair */
    a = ask(s, &chat, &o, &w);
    assert_int_equal(a->usage.n_reasoning, 100);
    assert_int_equal(a->content.n, 0);
    glim_collector_free(w.c);
    glim_session_free(s);
}

static void test_loop_stop(void **state)
{
    (void)state;
    glim_session *s = new_session();
    const glim_message msg = {.role = GLIM_ROLE_USER, .content = S(question)};
    const glim_chat chat = {
        .messages = &msg, .n_message = 1, .think = GLIM_OFF, .keep_old = GLIM_UNSET};
    const glim_logit_bias only = {500, 100};
    watcher w = {0};
    glim_gen_opts o;
    greedy(&o);
    o.biases = &only;
    o.n_bias = 1;
    o.n_max = 270;
    const glim_answer *a = ask(s, &chat, &o, &w);
    assert_int_equal(a->reason, GLIM_STOP_LOOP);
    assert_int_equal(a->usage.n_completion, 256);
    o.loop_stop = GLIM_OFF;
    a = ask(s, &chat, &o, &w);
    assert_int_equal(a->reason, GLIM_STOP_LENGTH);
    glim_collector_free(w.c);
    glim_session_free(s);
}

static void test_min_tokens(void **state)
{
    (void)state;
    glim_session *s = new_session();
    const glim_message msg = {.role = GLIM_ROLE_USER, .content = S(question)};
    const glim_chat chat = {
        .messages = &msg, .n_message = 1, .think = GLIM_OFF, .keep_old = GLIM_UNSET};
    watcher w = {0};
    glim_gen_opts o;
    greedy(&o);
    o.n_min = 50; /* the answer has 34 */
    o.n_max = 120;
    const glim_answer *a = ask(s, &chat, &o, &w);
    assert_true(a->usage.n_completion > 50);
    glim_collector_free(w.c);
    glim_session_free(s);
}

typedef struct lp_check {
    int n;
    bool text_after;
} lp_check;

static bool check_logprobs(void *user, const glim_event *ev)
{
    lp_check *c = user;
    if (ev->kind != GLIM_EV_LOGPROBS) return true;
    const glim_token_logprobs *lp = ev->logprobs;
    assert_int_equal(lp->n_top, 3);
    assert_int_equal(lp->top[0].id, lp->chosen.id); /* greedy */
    assert_true(lp->chosen.logprob <= 0 && lp->top[0].logprob >= lp->top[1].logprob);
    assert_true(lp->chosen.bytes.n > 0);
    c->n++;
    return true;
}

static void test_logprob_events(void **state)
{
    (void)state;
    glim_session *s = new_session();
    const glim_message msg = {.role = GLIM_ROLE_USER, .content = S(question)};
    const glim_chat chat = {
        .messages = &msg, .n_message = 1, .think = GLIM_OFF, .keep_old = GLIM_UNSET};
    lp_check c = {0};
    glim_gen_opts o;
    greedy(&o);
    o.n_logprob = 3;
    assert_int_equal(glim_generate(s, &chat, &o, check_logprobs, &c, NULL), GLIM_OK);
    assert_int_equal(c.n, 33); /* every token but the one that ended the turn */
    glim_session_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answer),
        cmocka_unit_test(test_thinking),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_stop_strings),
        cmocka_unit_test(test_context_full),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_tool_call),
        cmocka_unit_test(test_special_text_stays_text),
        cmocka_unit_test(test_raw),
        cmocka_unit_test(test_settings),
        cmocka_unit_test(test_seed),
        cmocka_unit_test(test_think_budget),
        cmocka_unit_test(test_answer_reserve),
        cmocka_unit_test(test_loop_stop),
        cmocka_unit_test(test_min_tokens),
        cmocka_unit_test(test_logprob_events),
    };
    return cmocka_run_group_tests(tests, open_demo, close_demo);
}
