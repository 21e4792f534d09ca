/* SPDX-License-Identifier: MIT
 * test_hear_ollama.c - Ollama's answers: lines cut at every byte, whole bodies, hostile servers,
 * and our own server's replies back to the events they were made of. */
#include "hearing.h"

#define L (&glim_wire_ollama)

static glim_gen_opts gen;
static const glim_chat no_chat = {.n_message = 0};
static const glim_ask plain = {.chat = &no_chat}, with_gen = {.chat = &no_chat, .gen = &gen};

static int setup(void **state)
{
    (void)state;
    glim_gen_opts_init(&gen);
    gen.n_logprob = 2;
    return 0;
}

#define LINE(members) "{\"model\":\"m\"," members "}\n"
#define SAYS(members) LINE("\"message\":{\"role\":\"assistant\"," members "},\"done\":false")
#define DONE(members)                                                                              \
    LINE("\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done\":true" members)
#define COUNTS                                                                                     \
    ",\"done_reason\":\"stop\",\"prompt_eval_count\":10,\"eval_count\":7,\"prompt_eval_"           \
    "duration\":1500000,\"eval_duration\":2250000"
#define CALL_OF(members) SAYS("\"content\":\"\",\"tool_calls\":[{" members "}]")

static const hear_row streams[] = {
    {"text", SAYS("\"content\":\"a\"") SAYS("\"content\":\"b\"") DONE(COUNTS),
     "C ab\nS 1 10/0/7/0 ", GLIM_OK, NULL},
    {"thought", SAYS("\"content\":\"\",\"thinking\":\"r\"") SAYS("\"content\":\"a\"") DONE(""),
     "R r\nC a\nS 1 0/0/0/0 ", GLIM_OK, NULL},
    {"length", SAYS("\"content\":\"a\"") DONE(",\"done_reason\":\"length\""), "C a\nS 3 0/0/0/0 ",
     GLIM_OK, NULL},
    {"nothing said", DONE(",\"done_reason\":\"load\""), "S 1 0/0/0/0 ", GLIM_OK, NULL},
    {"text in the last line", LINE("\"message\":{\"content\":\"a\"},\"done\":true"),
     "C a\nS 1 0/0/0/0 ", GLIM_OK, NULL},
    {"no last line end", SAYS("\"content\":\"a\"") "{\"done\":true}", "C a\nS 1 0/0/0/0 ", GLIM_OK,
     NULL},
    {"all null",
     LINE("\"message\":null,\"done\":false")
         SAYS("\"content\":null,\"thinking\":null,\"tool_calls\":null,\"images\":null")
             DONE(",\"done_reason\":null,\"eval_count\":null,\"eval_duration\":null"),
     "S 1 0/0/0/0 ", GLIM_OK, NULL},
    {"calls",
     CALL_OF("\"id\":\"c1\",\"function\":{\"index\":0,\"name\":\"f\",\"arguments\":{\"b\": "
             "1.50,\"a\":\"\\u00e9\"}}") CALL_OF("\"function\":{\"name\":\"f\",\"arguments\":{}}")
         DONE(COUNTS),
     "B 0 c1 f\nE 0 {\"b\": 1.50,\"a\":\"\\u00e9\"}\nB 1  f\nE 1 {}\nS 1 10/0/7/0 ", GLIM_OK, NULL},
    {"calls with one id",
     CALL_OF("\"id\":\"c1\",\"function\":{\"name\":\"f\",\"arguments\":{}}")
         CALL_OF("\"id\":\"c1\",\"function\":{\"name\":\"f\",\"arguments\":{}}") DONE(""),
     "B 0 c1 f\nE 0 {}\nB 1 c1 f\nE 1 {}\nS 1 0/0/0/0 ", GLIM_OK, NULL},
    {"text behind a call",
     CALL_OF("\"function\":{\"name\":\"f\",\"arguments\":{}}") SAYS("\"content\":\"a\"") DONE(""),
     "B 0  f\nE 0 {}\nC a\nS 1 0/0/0/0 ", GLIM_OK, NULL},
    {"arguments null", CALL_OF("\"function\":{\"name\":\"f\",\"arguments\":null}") DONE(""),
     "B 0  f\nE 0 {}\nS 1 0/0/0/0 ", GLIM_OK, NULL},
    {"arguments as text",
     CALL_OF("\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\\\":1}\"}") DONE(""),
     "B 0  f\nE 0 {\"a\":1}\nS 1 0/0/0/0 ", GLIM_OK, NULL},
    {"arguments as other text",
     CALL_OF("\"function\":{\"name\":\"f\",\"arguments\":\"a\"}") DONE(""),
     "B 0  f\nX 0 a\nS 1 0/0/0/0 ", GLIM_OK, NULL},
    {"data behind the end",
     SAYS("\"content\":\"a\"") DONE("") SAYS("\"content\":\"b\"") "nonsense\n", "C a\nS 1 0/0/0/0 ",
     GLIM_OK, NULL},
    {"logprobs",
     LINE("\"message\":{\"content\":\"a\"},\"done\":false,\"logprobs\":[{\"token\":\"a\","
          "\"logprob\":-0.5,\"bytes\":[97],\"top_logprobs\":[{\"token\":\"a\",\"logprob\":-0.5}]}]")
         DONE(""),
     "L a -0.5 1\nC a\nS 1 0/0/0/0 ", GLIM_OK, NULL},

    {"nothing", "", "", GLIM_E_FORMAT, "the server closed without an answer"},
    {"in the middle", SAYS("\"content\":\"a\""), "C a", GLIM_E_FORMAT,
     "the answer ended in its middle"},
    {"in a line", SAYS("\"content\":\"a\"") "{\"done\":tr", "C a", GLIM_E_FORMAT,
     "the JSON of the answer"},
    {"error", SAYS("\"content\":\"a\"") "{\"error\":\"out of memory\"}\n", "C a", GLIM_E_REMOTE,
     "|out of memory"},
    {"no answer", "{\"status\":\"pulling\"}\n", "", GLIM_E_FORMAT, "message: missing"},
    {"no JSON", "hello\n", "", GLIM_E_FORMAT, "the JSON of the answer"},
    {"a list", "[]\n", "", GLIM_E_FORMAT, "expected the answer to be an object"},
    {"done", LINE("\"done\":\"yes\""), "", GLIM_E_FORMAT, "done: expected true or false"},
    {"message", LINE("\"message\":[],\"done\":false"), "", GLIM_E_FORMAT,
     "message: expected an object"},
    {"message a text", LINE("\"message\":\"hi\",\"done\":false"), "", GLIM_E_REMOTE, "|hi"},
    {"content", SAYS("\"content\":7"), "", GLIM_E_FORMAT, "message.content: expected a string"},
    {"thinking", SAYS("\"thinking\":true"), "", GLIM_E_FORMAT,
     "message.thinking: expected a string"},
    {"calls no list", SAYS("\"tool_calls\":{}"), "", GLIM_E_FORMAT,
     "message.tool_calls: expected a list"},
    {"call", SAYS("\"tool_calls\":[7]"), "", GLIM_E_FORMAT,
     "message.tool_calls[0]: expected an object"},
    {"call id", CALL_OF("\"id\":7"), "", GLIM_E_FORMAT,
     "message.tool_calls[0].id: expected a string"},
    {"no function", CALL_OF("\"id\":\"c\""), "", GLIM_E_FORMAT,
     "message.tool_calls[0].function: missing"},
    {"function", CALL_OF("\"function\":[]"), "", GLIM_E_FORMAT,
     "message.tool_calls[0].function: expected an object"},
    {"no name", CALL_OF("\"function\":{\"arguments\":{}}"), "", GLIM_E_FORMAT,
     "message.tool_calls[0].function.name: missing"},
    {"arguments", CALL_OF("\"function\":{\"name\":\"f\",\"arguments\":[]}"), "", GLIM_E_FORMAT,
     "message.tool_calls[0].function.arguments: expected"},
    {"reason", DONE(",\"done_reason\":1"), "", GLIM_E_FORMAT, "done_reason: expected a string"},
    {"count", DONE(",\"eval_count\":-1"), "", GLIM_E_FORMAT, "eval_count: -1 is no count"},
    {"duration", DONE(",\"eval_duration\":\"1s\""), "", GLIM_E_FORMAT,
     "eval_duration: expected a number"},
    {"logprobs no list", LINE("\"message\":{},\"done\":false,\"logprobs\":{}"), "", GLIM_E_FORMAT,
     "logprobs: expected a list"},
};

static void stream(void **state)
{
    (void)state;
    hearing_rows(L, &with_gen, false, streams, GLIM_COUNT(streams));
}

static const hear_row bodies[] = {
    {"text", LINE("\"message\":{\"content\":\"a\",\"thinking\":\"r\"},\"done\":true" COUNTS),
     "R r\nC a\nS 1 10/0/7/0 ", GLIM_OK, NULL},
    {"no done", LINE("\"message\":{\"content\":\"a\"}"), "C a\nS 1 0/0/0/0 ", GLIM_OK, NULL},
    {"not done", LINE("\"message\":{\"content\":\"a\"},\"done\":false"), "", GLIM_E_FORMAT,
     "done: false"},
    {"calls",
     LINE("\"message\":{\"content\":\"\",\"tool_calls\":[{\"function\":{\"name\":\"f\","
          "\"arguments\":{}}},{\"function\":{\"name\":\"f\",\"arguments\":{\"a\":1}}}]},\"done\":"
          "true"),
     "B 0  f\nE 0 {}\nB 1  f\nE 1 {\"a\":1}\nS 1 0/0/0/0 ", GLIM_OK, NULL},
    {"error", "{\"error\":\"model 'x' not found\"}", "", GLIM_E_REMOTE, "|model 'x' not found"},
    {"lines", SAYS("\"content\":\"a\"") DONE(""), "", GLIM_E_FORMAT, "the JSON of the answer"},
};

static void whole(void **state)
{
    (void)state;
    hearing_rows(L, &plain, true, bodies, GLIM_COUNT(bodies));
}

static void durations(void **state)
{
    (void)state;
    hearing k;
    hearing_init(&k, L);
    k.h = L->hear_new(&plain, hearing_event, &k);
    assert_int_equal(L->hear(k.h, GLIM_STR(DONE(COUNTS)), true, &k.over, &k.said, NULL), GLIM_OK);
    assert_true(k.over);
    assert_int_equal(L->hear_end(k.h, NULL), GLIM_OK);
    assert_true(k.prompt_ms == 1.5 && k.completion_ms == 2.25);
    L->hear_free(k.h);
    glim_buf_deinit(&k.log);
}

static const glim_usage usage = {.n_prompt = 10, .n_completion = 7};

static void own_server(void **state)
{
    (void)state;
    static const glim_stop_reason ends[] = {GLIM_STOP_END, GLIM_STOP_LENGTH};
    for (size_t i = 0; i < GLIM_COUNT(ends); i++) {
        const glim_event ev[] = {R("hm\n"),
                                 R("\xE4\xBD\xA0\xE2\x80\xA8"),
                                 C(""),
                                 C("Hi \"there\"\\"),
                                 C("\xF0\x9F\x98\x80"),
                                 CALL(0, "f"),
                                 ARG(0, "b", "1.50"),
                                 END(0, "{\"b\":1.50,\"a\":\"x}\"}"),
                                 CALL(1, "g"),
                                 END(1, "{}"),
                                 STOP(ends[i], &usage)};
        const glim_request rq = script_request(true);
        hearing_round(L, &glim_dialect_ollama_chat, &rq, &plain, ev, GLIM_COUNT(ev));
    }
}

/* Our server's keep-alives say nothing, its failure does. */
static void own_problem(void **state)
{
    (void)state;
    const glim_event ev[] = {C("a")};
    const glim_request rq = script_request(true);
    glim_problem p;
    hearing k;
    glim_buf out;
    glim_buf_init(&out, 1 << 20);
    glim_reply *r = glim_dialect_ollama_chat.reply_new(&rq, &script_info);
    assert_int_equal(glim_dialect_ollama_chat.keepalive(r, &out), GLIM_OK);
    assert_int_equal(glim_dialect_ollama_chat.event(r, 0, ev, &out), GLIM_OK);
    assert_int_equal(glim_dialect_ollama_chat.keepalive(r, &out), GLIM_OK);
    glim_dialect_ollama_chat.reply_free(r);
    glim_problem_set(&p, GLIM_PROBLEM_INTERNAL, "", "it broke");
    assert_int_equal(glim_dialect_ollama_chat.stream_problem(&p, GLIM_STR("r"), &out), GLIM_OK);
    hearing_init(&k, L);
    hearing_stream(&k, &plain, glim_buf_view(&out), 0, 3);
    assert_int_equal(k.err, GLIM_E_REMOTE);
    assert_string_equal(k.said.message, "it broke");
    assert_string_equal(k.log.p, "C a");
    glim_buf_deinit(&k.log);
    glim_buf_deinit(&out);
}

#define LONG                                                                                       \
    SAYS("\"content\":\"\",\"thinking\":\"r\"")                                                    \
    SAYS("\"content\":\"a\"")                                                                      \
    CALL_OF("\"id\":\"c1\",\"function\":{\"name\":\"f\",\"arguments\":{\"a\":1}}")                 \
    CALL_OF("\"id\":\"c2\",\"function\":{\"name\":\"f\",\"arguments\":{\"a\":2}}") DONE(COUNTS)

static void failing_memory(void **state)
{
    (void)state;
    hearing_fails(L, &with_gen, LONG, false);
}

static void cancelled(void **state)
{
    (void)state;
    hearing_cancels(L, &with_gen, LONG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stream),      cmocka_unit_test(whole),
        cmocka_unit_test(durations),   cmocka_unit_test(own_server),
        cmocka_unit_test(own_problem), cmocka_unit_test(failing_memory),
        cmocka_unit_test(cancelled),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
