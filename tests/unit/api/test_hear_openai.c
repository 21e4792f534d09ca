/* SPDX-License-Identifier: MIT
 * test_hear_openai.c - answers of OpenAI's relatives and the Zhipu platform: streams cut at every
 * byte, whole bodies, servers with habits, hostile ones, reports of failure, and our own server's
 * replies back to the events they were made of. */
#include "hearing.h"

#define O (&glim_wire_openai)
#define Z (&glim_wire_zhipu)

static const glim_str stops[] = {{"END", 3}};
static glim_gen_opts gen;
static const glim_chat no_chat = {.n_message = 0};
static const glim_ask plain = {.chat = &no_chat}, with_gen = {.chat = &no_chat, .gen = &gen};

static int setup(void **state)
{
    (void)state;
    glim_gen_opts_init(&gen);
    gen.stops = stops;
    gen.n_stop = 1;
    gen.n_logprob = 2;
    return 0;
}

#define D(json) "data: " json "\n\n"
#define CHUNK(members) D("{\"id\":\"x\",\"choices\":[{\"index\":0," members "}]}")
#define DELTA(members) CHUNK("\"delta\":{" members "},\"finish_reason\":null")
#define TOOL(members) DELTA("\"tool_calls\":[{" members "}]")
#define BEGIN(i, id, name)                                                                         \
    TOOL("\"index\":" #i ",\"id\":\"" id "\",\"function\":{\"name\":\"" name                       \
         "\",\"arguments\":\"\"}")
#define ARGS(i, text) TOOL("\"index\":" #i ",\"function\":{\"arguments\":\"" text "\"}")
#define FINISH(reason) CHUNK("\"delta\":{},\"finish_reason\":\"" reason "\"")
#define DONE D("[DONE]")

static const hear_row streams[] = {
    {"text",
     DELTA("\"role\":\"assistant\",\"content\":\"\"") DELTA("\"content\":\"a\\u00e9\"")
         DELTA("\"content\":\"b\"") FINISH("stop") DONE,
     "C a\xC3\xA9"
     "b\nS 1 0/0/0/0 ",
     GLIM_OK, NULL},
    {"thought",
     DELTA("\"reasoning_content\":\"r\",\"content\":null")
         DELTA("\"reasoning_content\":null,\"content\":\"c\"") FINISH("stop") DONE,
     "R r\nC c\nS 1 0/0/0/0 ", GLIM_OK, NULL},
    {"thought by its other name",
     DELTA("\"reasoning\":\"r\",\"content\":\"\"") DELTA("\"content\":\"c\"") FINISH("stop") DONE,
     "R r\nC c\nS 1 0/0/0/0 ", GLIM_OK, NULL},
    {"thought under both names",
     DELTA("\"reasoning\":\"r\",\"reasoning_content\":\"r\"") FINISH("stop") DONE,
     "R r\nS 1 0/0/0/0 ", GLIM_OK, NULL},
    {"thought and text at once",
     DELTA("\"content\":\"c\",\"reasoning_content\":\"r\"") FINISH("stop") DONE,
     "R r\nC c\nS 1 0/0/0/0 ", GLIM_OK, NULL},
    {"refusal", DELTA("\"content\":null,\"refusal\":\"no\"") FINISH("stop") DONE,
     "C no\nS 1 0/0/0/0 ", GLIM_OK, NULL},
    {"nothing said", DELTA("") FINISH("stop") DONE, "S 1 0/0/0/0 ", GLIM_OK, NULL},
    {"all null",
     D("{\"id\":null,\"usage\":null,\"error\":null,\"choices\":null}")
         CHUNK("\"delta\":null,\"finish_reason\":null,\"logprobs\":null,\"usage\":null")
             DELTA("\"role\":null,\"content\":null,\"reasoning\":null,\"refusal\":null,\"tool_"
                   "calls\":null,\"function_call\":null") FINISH("stop") DONE,
     "S 1 0/0/0/0 ", GLIM_OK, NULL},
    {"keep-alives and pings",
     ": ping\n\n" D("{\"type\":\"ping\"}") "event: ping\ndata: {}\n\n" DELTA("\"content\":\"a\"")
         FINISH("stop") DONE,
     "C a\nS 1 0/0/0/0 ", GLIM_OK, NULL},

    /* usage */
    {"usage in a chunk of its own",
     DELTA("\"content\":\"a\"") FINISH("stop")
         D("{\"choices\":[],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":7,\"total_"
           "tokens\":17,\"prompt_tokens_details\":{\"cached_tokens\":4},\"completion_tokens_"
           "details\":{\"reasoning_tokens\":3}}}") DONE,
     "C a\nS 1 10/4/7/3 ", GLIM_OK, NULL},
    {"usage with the reason",
     DELTA("\"content\":\"a\"")
         D("{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\"},\"finish_reason\":\"length\"}],"
           "\"usage\":{\"prompt_tokens\":10.0,\"completion_tokens\":7e0,\"reasoning_tokens\":2}}")
             DONE,
     "C a\nS 3 10/0/7/2 ", GLIM_OK, NULL},
    {"usage in every chunk, the last counts",
     D("{\"choices\":[{\"delta\":{\"content\":\"a\"},\"usage\":{\"prompt_tokens\":10,\"completion_"
       "tokens\":1}}]}") D("{\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\",\"usage\":{"
                           "\"completion_tokens\":2,\"prompt_tokens_details\":null}}]}") DONE,
     "C a\nS 1 10/0/2/0 ", GLIM_OK, NULL},

    /* reasons */
    {"tool_calls", BEGIN(0, "c", "f") FINISH("tool_calls") DONE, "B 0 c f\nE 0 {}\nS 1 0/0/0/0 ",
     GLIM_OK, NULL},
    {"context", DELTA("\"content\":\"a\"") FINISH("model_context_window_exceeded") DONE,
     "C a\nS 4 0/0/0/0 ", GLIM_OK, NULL},
    {"unknown reason", DELTA("\"content\":\"a\"") FINISH("because") DONE, "C a\nS 1 0/0/0/0 ",
     GLIM_OK, NULL},
    {"empty reason",
     CHUNK("\"delta\":{\"content\":\"a\"},\"finish_reason\":\"\"") FINISH("length") DONE,
     "C a\nS 3 0/0/0/0 ", GLIM_OK, NULL},
    {"no reason but an end", DELTA("\"content\":\"a\"") DONE, "C a\nS 1 0/0/0/0 ", GLIM_OK, NULL},
    {"a reason but no end", DELTA("\"content\":\"a\"") FINISH("length"), "C a\nS 3 0/0/0/0 ",
     GLIM_OK, NULL},
    {"end without a blank line", DELTA("\"content\":\"a\"") FINISH("stop") "data: [DONE]",
     "C a\nS 1 0/0/0/0 ", GLIM_OK, NULL},
    {"text behind the reason", FINISH("length") DELTA("\"content\":\"a\"") DONE,
     "C a\nS 3 0/0/0/0 ", GLIM_OK, NULL},
    {"data behind the end",
     DELTA("\"content\":\"a\"") FINISH("stop") DONE DELTA("\"content\":\"b\"") D("{nonsense") DONE,
     "C a\nS 1 0/0/0/0 ", GLIM_OK, NULL},
    {"filter",
     DELTA("\"content\":\"a\"")
         CHUNK("\"delta\":{\"content\":\"b\"},\"finish_reason\":\"sensitive\""),
     "C ab", GLIM_E_REMOTE, "sensitive|its content filter ended the answer"},
    {"OpenAI's filter", FINISH("content_filter"), "", GLIM_E_REMOTE,
     "content_filter|its content filter ended the answer"},
    {"network", FINISH("network_error") DONE, "", GLIM_E_REMOTE,
     "network_error|its network failed in the middle of the answer"},
    {"abort", FINISH("abort") DONE, "", GLIM_E_REMOTE, "abort|it gave the answer up"},
    {"loop",
     CHUNK("\"delta\":{\"content\":\"a\"},\"finish_reason\":\"length\",\"stop_reason\":\"loop\"")
         DONE,
     "C a\nS 6 0/0/0/0 ", GLIM_OK, NULL},
    {"matched stop", CHUNK("\"delta\":{},\"finish_reason\":\"stop\",\"matched_stop\":\"END\"") DONE,
     "S 2 0/0/0/0 END", GLIM_OK, NULL},
    {"stop by vLLM's name",
     CHUNK("\"delta\":{},\"finish_reason\":\"stop\",\"stop_reason\":\"END\"") DONE,
     "S 2 0/0/0/0 END", GLIM_OK, NULL},
    {"stop token",
     CHUNK("\"delta\":{},\"finish_reason\":\"stop\",\"matched_stop\":\"<|user|>\",\"stop_reason\":"
           "151336") DONE,
     "S 1 0/0/0/0 <|user|>", GLIM_OK, NULL},

    /* the platform's other members */
    {"passed over",
     D("{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}],\"web_search\":[{\"title\":1}],"
       "\"content_filter\":[{\"role\":\"user\",\"level\":3}],\"video_result\":{}}")
         D("{\"web_search\":[]}") FINISH("stop") DONE,
     "C a\nS 1 0/0/0/0 ", GLIM_OK, NULL},

    /* calls */
    {"a call in pieces",
     BEGIN(0, "c1", "f") ARGS(0, "{\\\"a\\\":") ARGS(0, "1.50}") FINISH("tool_calls") DONE,
     "B 0 c1 f\nE 0 {\"a\":1.50}\nS 1 0/0/0/0 ", GLIM_OK, NULL},
    {"a call at once",
     TOOL("\"index\":0,\"id\":\"c1\",\"type\":\"function\",\"function\":{\"name\":\"f\","
          "\"arguments\":\" {\\\"a\\\": {}}\\n\"}") FINISH("tool_calls") DONE,
     "B 0 c1 f\nE 0 {\"a\": {}}\nS 1 0/0/0/0 ", GLIM_OK, NULL},
    {"two calls",
     DELTA("\"content\":\"ok\"") BEGIN(0, "c1", "f") ARGS(0, "{}") BEGIN(1, "c2", "g")
         ARGS(1, "{\\\"x\\\":\\\"}\\\"}") FINISH("tool_calls") DONE,
     "C ok\nB 0 c1 f\nE 0 {}\nB 1 c2 g\nE 1 {\"x\":\"}\"}\nS 1 0/0/0/0 ", GLIM_OK, NULL},
    {"two calls in one delta",
     DELTA(
         "\"tool_calls\":[{\"index\":0,\"id\":\"c1\",\"function\":{\"name\":\"f\",\"arguments\":\"{"
         "}\"}},{\"index\":1,\"id\":\"c2\",\"function\":{\"name\":\"g\",\"arguments\":\"{}\"}}]")
         FINISH("tool_calls") DONE,
     "B 0 c1 f\nE 0 {}\nB 1 c2 g\nE 1 {}\nS 1 0/0/0/0 ", GLIM_OK, NULL},
    {"interleaved",
     BEGIN(0, "c1", "f") BEGIN(1, "c2", "g") ARGS(1, "{\\\"b\\\"") ARGS(0, "{\\\"a\\\":")
         ARGS(1, ":2}") ARGS(0, "1}") FINISH("tool_calls") DONE,
     "B 0 c1 f\nE 0 {\"a\":1}\nB 1 c2 g\nE 1 {\"b\":2}\nS 1 0/0/0/0 ", GLIM_OK, NULL},
    {"backwards",
     BEGIN(1, "c2", "g") ARGS(1, "{}") BEGIN(0, "c1", "f") ARGS(0, "{}") FINISH("tool_calls") DONE,
     "B 0 c2 g\nE 0 {}\nB 1 c1 f\nE 1 {}\nS 1 0/0/0/0 ", GLIM_OK, NULL},
    {"huge index",
     BEGIN(9223372036854775807, "c1", "f") ARGS(9223372036854775807, "{}") FINISH("tool_calls")
         DONE,
     "B 0 c1 f\nE 0 {}\nS 1 0/0/0/0 ", GLIM_OK, NULL},
    {"one index, two ids",
     BEGIN(0, "c1", "f") ARGS(0, "{}") BEGIN(0, "c2", "g") ARGS(0, "{\\\"a\\\":1}")
         FINISH("tool_calls") DONE,
     "B 0 c1 f\nE 0 {}\nB 1 c2 g\nE 1 {\"a\":1}\nS 1 0/0/0/0 ", GLIM_OK, NULL},
    {"id and name in every piece",
     TOOL("\"index\":0,\"id\":\"c1\",\"function\":{\"name\":\"f\",\"arguments\":\"{\"}")
         TOOL("\"index\":0,\"id\":\"c1\",\"function\":{\"name\":\"f\",\"arguments\":\"}\"}")
             FINISH("tool_calls") DONE,
     "B 0 c1 f\nE 0 {}\nS 1 0/0/0/0 ", GLIM_OK, NULL},
    {"no index",
     TOOL("\"id\":\"c1\",\"function\":{\"name\":\"f\",\"arguments\":\"{\"}")
         TOOL("\"function\":{\"arguments\":\"}\"}")
             TOOL("\"id\":\"c2\",\"function\":{\"name\":\"g\",\"arguments\":\"\"}") TOOL(
                 "\"id\":\"c2\",\"function\":{\"arguments\":\"{}\"}") FINISH("tool_calls") DONE,
     "B 0 c1 f\nE 0 {}\nB 1 c2 g\nE 1 {}\nS 1 0/0/0/0 ", GLIM_OK, NULL},
    {"no index, no id",
     TOOL("\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}")
         TOOL("\"function\":{\"name\":\"g\",\"arguments\":\"{}\"}") FINISH("tool_calls") DONE,
     "B 0  f\nE 0 {}\nB 1  g\nE 1 {}\nS 1 0/0/0/0 ", GLIM_OK, NULL},
    {"name late",
     TOOL("\"index\":0,\"id\":\"c1\"") TOOL("\"index\":0,\"function\":{\"arguments\":\"{\"}") TOOL(
         "\"index\":0,\"function\":{\"name\":\"f\",\"arguments\":\"}\"}") FINISH("tool_calls") DONE,
     "B 0 c1 f\nE 0 {}\nS 1 0/0/0/0 ", GLIM_OK, NULL},
    {"arguments null",
     TOOL("\"index\":0,\"id\":\"c1\",\"function\":{\"name\":\"f\",\"arguments\":null}")
         FINISH("tool_calls") DONE,
     "B 0 c1 f\nE 0 {}\nS 1 0/0/0/0 ", GLIM_OK, NULL},
    {"arguments an object",
     TOOL("\"index\":0,\"id\":\"c1\",\"function\":{\"name\":\"f\",\"arguments\":{\"a\": 1}}")
         FINISH("tool_calls") DONE,
     "B 0 c1 f\nE 0 {\"a\": 1}\nS 1 0/0/0/0 ", GLIM_OK, NULL},
    {"text behind a call",
     BEGIN(0, "c1", "f") ARGS(0, "{}") DELTA("\"content\":\"z\"") FINISH("stop") DONE,
     "B 0 c1 f\nE 0 {}\nC z\nS 1 0/0/0/0 ", GLIM_OK, NULL},
    {"text in a call",
     BEGIN(0, "c1", "f") ARGS(0, "{") DELTA("\"content\":\"z\"") ARGS(0, "}") FINISH("stop") DONE,
     "B 0 c1 f\nC z\nE 0 {}\nS 1 0/0/0/0 ", GLIM_OK, NULL},
    {"blanks behind a call",
     BEGIN(0, "c1", "f") ARGS(0, "{}") BEGIN(1, "c2", "g") ARGS(0, " \\n") ARGS(0, "")
         FINISH("stop") DONE,
     "B 0 c1 f\nE 0 {}\nB 1 c2 g\nE 1 {}\nS 1 0/0/0/0 ", GLIM_OK, NULL},
    {"braces in strings",
     BEGIN(0, "c1", "f") ARGS(0, "{\\\"a\\\":\\\"}\\\\\\\"{\\\"") BEGIN(1, "c2", "g") ARGS(0, "}")
         FINISH("stop") DONE,
     "B 0 c1 f\nE 0 {\"a\":\"}\\\"{\"}\nB 1 c2 g\nE 1 {}\nS 1 0/0/0/0 ", GLIM_OK, NULL},
    {"a quote in a string",
     BEGIN(0, "c1", "f") ARGS(0, "{\\\"a\\\":\\\"\\\\\\\"}") BEGIN(1, "c2", "g") ARGS(0, "\\\"}")
         FINISH("stop") DONE,
     "B 0 c1 f\nE 0 {\"a\":\"\\\"}\"}\nB 1 c2 g\nE 1 {}\nS 1 0/0/0/0 ", GLIM_OK, NULL},
    {"the old way",
     DELTA("\"function_call\":{\"name\":\"f\",\"arguments\":\"{\\\"a\\\"\"}")
         DELTA("\"function_call\":{\"arguments\":\":1}\"}") FINISH("function_call") DONE,
     "B 0  f\nE 0 {\"a\":1}\nS 1 0/0/0/0 ", GLIM_OK, NULL},

    /* calls that broke */
    {"cut off by the length", BEGIN(0, "c1", "f") ARGS(0, "{\\\"a\\\":") FINISH("length") DONE,
     "B 0 c1 f\nX 0 {\"a\":\nS 3 0/0/0/0 ", GLIM_OK, NULL},
    {"broken, then another",
     BEGIN(0, "c1", "f") ARGS(0, "{") BEGIN(1, "c2", "g") ARGS(1, "{}") FINISH("tool_calls") DONE,
     "B 0 c1 f\nX 0 {\nB 1 c2 g\nE 1 {}\nS 1 0/0/0/0 ", GLIM_OK, NULL},
    {"no object", BEGIN(0, "c1", "f") ARGS(0, "[1]") FINISH("tool_calls") DONE,
     "B 0 c1 f\nX 0 [1]\nS 1 0/0/0/0 ", GLIM_OK, NULL},
    {"two objects",
     BEGIN(0, "c1", "f") ARGS(0, "{}") ARGS(0, "{\\\"a\\\":1}") FINISH("tool_calls") DONE,
     "B 0 c1 f\nX 0 {}{\"a\":1}\nS 1 0/0/0/0 ", GLIM_OK, NULL},
    {"braces but no JSON",
     BEGIN(0, "c1", "f") ARGS(0, "{a}") BEGIN(1, "c2", "g") ARGS(1, "{\\\"a\\\":1,\\\"a\\\":2}")
         FINISH("tool_calls") DONE,
     "B 0 c1 f\nX 0 {a}\nB 1 c2 g\nX 1 {\"a\":1,\"a\":2}\nS 1 0/0/0/0 ", GLIM_OK, NULL},
    {"more for a complete call", BEGIN(0, "c1", "f") ARGS(0, "{}") BEGIN(1, "c2", "g") ARGS(0, "x"),
     "B 0 c1 f\nE 0 {}\nB 1 c2 g", GLIM_E_FORMAT,
     "choices[0].delta.tool_calls[0]: more arguments for a call that was complete"},
    {"no name", TOOL("\"index\":0,\"id\":\"c1\"") FINISH("tool_calls") DONE, "", GLIM_E_FORMAT,
     "the answer's tool call 0 names no function"},

    /* cut off */
    {"nothing", "", "", GLIM_E_FORMAT, "the server closed without an answer"},
    {"only a ping", ": x\n\n" D("{}"), "", GLIM_E_FORMAT, "the server closed without an answer"},
    {"only the end", DONE, "", GLIM_E_FORMAT, "the server closed without an answer"},
    {"in the middle", DELTA("\"content\":\"a\""), "C a", GLIM_E_FORMAT,
     "the answer ended in its middle"},
    {"in a call", BEGIN(0, "c1", "f") ARGS(0, "{"), "B 0 c1 f", GLIM_E_FORMAT,
     "the answer ended in its middle"},

    /* failures */
    {"error as an event",
     DELTA("\"content\":\"a\"") "event: error\n" D(
         "{\"error\":{\"code\":\"1302\",\"message\":\"busy\"}}") DELTA("\"content\":\"b\"") DONE,
     "C a", GLIM_E_REMOTE, "1302|busy"},
    {"error as data", D("{\"error\":\"no\",\"choices\":[]}"), "", GLIM_E_REMOTE, "|no"},
    {"flat error", D("{\"code\":500,\"msg\":\"no\",\"success\":false}"), "", GLIM_E_REMOTE,
     "500|no"},
    {"error of vLLM's", D("{\"object\":\"error\",\"message\":\"no\",\"type\":\"T\",\"code\":400}"),
     "", GLIM_E_REMOTE, "400|no"},

    /* wrong bytes */
    {"no JSON", D("{\"choices\":["), "", GLIM_E_FORMAT, "the JSON of the answer"},
    {"text", D("hello"), "", GLIM_E_FORMAT, "the JSON of the answer"},
    {"half a surrogate", DELTA("\"content\":\"\\ud83d\""), "", GLIM_E_FORMAT,
     "the JSON of the answer"},
    {"a list", D("[]"), "", GLIM_E_FORMAT, "expected the answer to be an object, found an array"},
    {"choices", D("{\"choices\":{}}"), "", GLIM_E_FORMAT, "choices: expected a list"},
    {"choice", D("{\"choices\":[1]}"), "", GLIM_E_FORMAT, "choices[0]: expected an object"},
    {"index", D("{\"choices\":[{\"index\":-1}]}"), "", GLIM_E_FORMAT,
     "choices[0].index: -1 is no count"},
    {"second answer", D("{\"choices\":[{\"index\":1,\"delta\":{\"content\":\"a\"}}]}"), "",
     GLIM_E_FORMAT, "choices[0].index: a second answer"},
    {"delta", D("{\"choices\":[{\"delta\":\"a\"}]}"), "", GLIM_E_FORMAT,
     "choices[0].delta: expected an object"},
    {"content", DELTA("\"content\":7"), "", GLIM_E_FORMAT,
     "choices[0].delta.content: expected a string, found a number"},
    {"reasoning", DELTA("\"reasoning_content\":[]"), "", GLIM_E_FORMAT,
     "choices[0].delta.reasoning_content: expected a string"},
    {"calls", DELTA("\"tool_calls\":{}"), "", GLIM_E_FORMAT,
     "choices[0].delta.tool_calls: expected a list"},
    {"call", DELTA("\"tool_calls\":[[]]"), "", GLIM_E_FORMAT,
     "choices[0].delta.tool_calls[0]: expected an object"},
    {"call index", TOOL("\"index\":\"0\""), "", GLIM_E_FORMAT,
     "choices[0].delta.tool_calls[0].index: expected a number"},
    {"call index beyond numbers", TOOL("\"index\":1e30"), "", GLIM_E_FORMAT,
     "choices[0].delta.tool_calls[0].index: 1e30 is no count"},
    {"call id", TOOL("\"id\":1"), "", GLIM_E_FORMAT,
     "choices[0].delta.tool_calls[0].id: expected a string"},
    {"function", TOOL("\"function\":\"f\""), "", GLIM_E_FORMAT,
     "choices[0].delta.tool_calls[0].function: expected an object"},
    {"name", TOOL("\"function\":{\"name\":{}}"), "", GLIM_E_FORMAT,
     "choices[0].delta.tool_calls[0].function.name: expected a string"},
    {"arguments", TOOL("\"function\":{\"name\":\"f\",\"arguments\":[1]}"), "", GLIM_E_FORMAT,
     "choices[0].delta.tool_calls[0].function.arguments: expected"},
    {"old call", DELTA("\"function_call\":1"), "", GLIM_E_FORMAT,
     "choices[0].delta.function_call: expected an object"},
    {"reason", CHUNK("\"finish_reason\":1"), "", GLIM_E_FORMAT,
     "choices[0].finish_reason: expected a string"},
    {"usage", D("{\"usage\":[]}"), "", GLIM_E_FORMAT, "usage: expected an object"},
    {"count", D("{\"usage\":{\"prompt_tokens\":\"7\"}}"), "", GLIM_E_FORMAT,
     "usage.prompt_tokens: expected a number"},
    {"negative count", D("{\"usage\":{\"completion_tokens\":-7}}"), "", GLIM_E_FORMAT,
     "usage.completion_tokens: -7 is no count"},
    {"half a token", D("{\"usage\":{\"completion_tokens\":0.5}}"), "", GLIM_E_FORMAT,
     "usage.completion_tokens: 0.5 is no count"},
    {"details", D("{\"usage\":{\"prompt_tokens_details\":1}}"), "", GLIM_E_FORMAT,
     "usage.prompt_tokens_details: expected an object"},
    {"cached", D("{\"usage\":{\"prompt_tokens_details\":{\"cached_tokens\":true}}}"), "",
     GLIM_E_FORMAT, "usage.prompt_tokens_details.cached_tokens: expected a number"},
    {"logprobs", CHUNK("\"delta\":{},\"logprobs\":[]"), "", GLIM_E_FORMAT,
     "choices[0].logprobs: expected an object"},
    {"logprob list", CHUNK("\"delta\":{},\"logprobs\":{\"content\":{}}"), "", GLIM_E_FORMAT,
     "choices[0].logprobs.content: expected a list"},
    {"logprob entry", CHUNK("\"delta\":{},\"logprobs\":{\"content\":[1]}"), "", GLIM_E_FORMAT,
     "choices[0].logprobs.content[0]: expected an object"},
    {"logprob number",
     CHUNK("\"delta\":{},\"logprobs\":{\"content\":[{\"token\":\"a\",\"logprob\":null}]}"), "",
     GLIM_E_FORMAT, "choices[0].logprobs.content[0].logprob: expected a number"},
    {"logprob bytes",
     CHUNK("\"delta\":{},\"logprobs\":{\"content\":[{\"logprob\":-1,\"bytes\":[1,256]}]}"), "",
     GLIM_E_FORMAT, "choices[0].logprobs.content[0].bytes[1]: no byte"},
    {"logprob others",
     CHUNK("\"delta\":{},\"logprobs\":{\"content\":[{\"logprob\":-1,\"top_logprobs\":[7]}]}"), "",
     GLIM_E_FORMAT, "choices[0].logprobs.content[0].top_logprobs[0]: expected an object"},
    {"logprobs that are fine",
     CHUNK("\"delta\":{\"content\":\"ab\"},\"logprobs\":{\"content\":[{\"token\":\"a\",\"logprob\":"
           "-0.5,\"bytes\":[97],\"top_logprobs\":[{\"token\":\"a\",\"logprob\":-0.5},{\"token\":"
           "\"x\",\"logprob\":-1,\"bytes\":null}]},{\"token\":\"b\",\"logprob\":-2}],\"reasoning_"
           "content\":[]}") FINISH("stop") DONE,
     "L a -0.5 2\nL b -2 0\nC ab\nS 1 0/0/0/0 ", GLIM_OK, NULL},
    {"logprobs of a thought",
     CHUNK("\"delta\":{\"reasoning_content\":\"r\"},\"logprobs\":{\"reasoning_content\":[{"
           "\"token\":\"r\",\"logprob\":-0.5}]}") FINISH("stop") DONE,
     "Lr r -0.5 0\nR r\nS 1 0/0/0/0 ", GLIM_OK, NULL},
};

static void stream(void **state)
{
    (void)state;
    hearing_rows(O, &with_gen, false, streams, GLIM_COUNT(streams));
}

#define BODY(members)                                                                              \
    "{\"id\":\"x\",\"choices\":[{\"index\":0," members                                             \
    "}],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}"
#define SAID(members)                                                                              \
    BODY("\"message\":{\"role\":\"assistant\"," members "},\"finish_reason\":\"stop\"")

static const hear_row bodies[] = {
    {"text", SAID("\"content\":\"a\""), "C a\nS 1 3/0/2/0 ", GLIM_OK, NULL},
    {"thought", SAID("\"content\":\"a\",\"reasoning_content\":\"r\""), "R r\nC a\nS 1 3/0/2/0 ",
     GLIM_OK, NULL},
    {"nothing", SAID("\"content\":null"), "S 1 3/0/2/0 ", GLIM_OK, NULL},
    {"calls",
     SAID("\"content\":null,\"tool_calls\":[{\"id\":\"c1\",\"type\":\"function\",\"function\":{"
          "\"name\":\"f\",\"arguments\":\"{}\"}},{\"id\":\"c2\",\"function\":{\"name\":\"f\","
          "\"arguments\":\"{\"}}]"),
     "B 0 c1 f\nE 0 {}\nB 1 c2 f\nX 1 {\nS 1 3/0/2/0 ", GLIM_OK, NULL},
    {"calls with one index and no id",
     SAID("\"tool_calls\":[{\"index\":0,\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}},{"
          "\"index\":0,\"function\":{\"name\":\"f\",\"arguments\":\"\"}}]"),
     "B 0  f\nE 0 {}\nB 1  f\nE 1 {}\nS 1 3/0/2/0 ", GLIM_OK, NULL},
    {"old call", SAID("\"content\":null,\"function_call\":{\"name\":\"f\",\"arguments\":\"{}\"}"),
     "B 0  f\nE 0 {}\nS 1 3/0/2/0 ", GLIM_OK, NULL},
    {"no reason", "{\"choices\":[{\"message\":{\"content\":\"a\"}}]}", "C a\nS 1 0/0/0/0 ", GLIM_OK,
     NULL},
    {"filter", BODY("\"message\":{\"content\":\"a\"},\"finish_reason\":\"content_filter\""), "C a",
     GLIM_E_REMOTE, "content_filter|its content filter ended the answer"},
    {"a delta", BODY("\"delta\":{\"content\":\"a\"}"), "", GLIM_E_FORMAT,
     "choices[0].message: missing"},
    {"two",
     "{\"choices\":[{\"index\":0,\"message\":{\"content\":\"a\"}},{\"index\":1,\"message\":{}}]}",
     "C a", GLIM_E_FORMAT, "choices[1].index: a second answer"},
    {"no choices", "{\"id\":\"x\",\"task_status\":\"PROCESSING\"}", "", GLIM_E_FORMAT,
     "choices: missing or empty"},
    {"empty choices", "{\"choices\":[]}", "", GLIM_E_FORMAT, "choices: missing or empty"},
    {"error", "{\"error\":{\"code\":\"1211\",\"message\":\"no model\"}}", "", GLIM_E_REMOTE,
     "1211|no model"},
    {"detail", "{\"detail\":\"Not Found\"}", "", GLIM_E_REMOTE, "|Not Found"},
    {"the end of a stream", "[DONE]", "", GLIM_E_FORMAT, "the JSON of the answer"},
    {"empty", "", "", GLIM_E_FORMAT, "the JSON of the answer"},
    {"html", "<html>", "", GLIM_E_FORMAT, "the JSON of the answer"},
    {"content list", SAID("\"content\":[{\"type\":\"text\",\"text\":\"a\"}]"), "", GLIM_E_FORMAT,
     "choices[0].message.content: expected a string, found an array"},
};

static void whole(void **state)
{
    (void)state;
    hearing_rows(O, &plain, true, bodies, GLIM_COUNT(bodies));
    hearing_rows(Z, &with_gen, true, bodies, GLIM_COUNT(bodies));
}

/* ---- our own server -------------------------------------------------------------------------- */

static const glim_usage usage = {
    .n_prompt = 10, .n_cached = 4, .n_completion = 7, .n_reasoning = 3};
static const glim_event conversation[] = {
    R("hm\n"),
    R("\xE4\xBD\xA0\xE2\x80\xA8\xF0\x9F\x98\x80"),
    C(""),
    C("Hi \"there\"\\"),
    C("\xC3\xA9"),
    CALL(0, "f"),
    ARG(0, "b", "1.50"),
    ARG(0, "a", "\"x}\\n\""),
    END(0, "{\"b\":1.50,\"a\":\"x}\\n\"}"),
    CALL(1, "g"),
    END(1, "{}"),
    CALL(2, "f"),
    ARG(2, "b", "[]"),
    END(2, "{\"b\":[]}"),
};
enum { N_CONVERSATION = sizeof conversation / sizeof conversation[0] };

static void rounds(const glim_wire_dialect *d, const glim_dialect *server)
{
    static const struct {
        glim_stop_reason reason;
        const char *text;
    } ends[] = {{GLIM_STOP_END, ""},  {GLIM_STOP_LENGTH, ""},    {GLIM_STOP_CONTEXT, ""},
                {GLIM_STOP_LOOP, ""}, {GLIM_STOP_STRING, "END"}, {GLIM_STOP_END, "<|user|>"}};
    for (size_t i = 0; i < GLIM_COUNT(ends); i++) {
        glim_event ev[N_CONVERSATION + 1];
        bool openai = d == O, text_only = i > 0;
        size_t n = text_only ? 5 : N_CONVERSATION;
        if (!openai && ends[i].text[0]) continue; /* the platform does not tell what stopped it */
        if (openai && ends[i].reason == GLIM_STOP_CONTEXT) continue; /* "length" there */
        memcpy(ev, conversation, n * sizeof *ev);
        ev[n] = (glim_event){.kind = GLIM_EV_STOP,
                             .reason = ends[i].reason,
                             .usage = &usage,
                             .stop_text = glim_str_of(ends[i].text)};
        for (int bits = 0; bits < 4; bits++) {
            glim_request rq = script_request(true);
            rq.tool_stream = bits & 1;
            rq.hold_reasoning = bits & 2;
            rq.include_usage = openai;
            hearing_round(d, server, &rq, &with_gen, ev, n + 1);
        }
    }
}

static void own_openai(void **state)
{
    (void)state;
    rounds(O, &glim_dialect_openai_chat);
}

static void own_zhipu(void **state)
{
    (void)state;
    rounds(Z, &glim_dialect_zhipu_chat);
}

/* A call that was announced and broke off. */
static void own_broken(void **state)
{
    (void)state;
    const glim_event ev[] = {C("a"), CALL(0, "f"), ARG(0, "k", "1"), BROKEN(0, "<tool_call>f"),
                             STOP(GLIM_STOP_LENGTH, &usage)};
    const hear_row row = {"broken", NULL,
                          "C a\nB 0 call_0123456789abcdef00000000 f\nX 0 {\"k\":1\nS 3 10/4/7/3 ",
                          GLIM_OK, NULL};
    glim_request rq = script_request(true);
    hearing k;
    rq.include_usage = true;
    glim_buf out = script_run(&glim_dialect_openai_chat, &rq, &script_info, ev, GLIM_COUNT(ev));
    hearing_init(&k, O);
    hearing_stream(&k, &plain, glim_buf_view(&out), 0, 1);
    hearing_check(&row, &k);
    glim_buf_deinit(&out);
}

/* Probabilities, with bytes that are half a character. */
static void own_logprobs(void **state)
{
    (void)state;
    static const glim_logprob top[] = {{5, -0.25f, {"\xC3", 1}}, {6, -3, {"b", 1}}};
    static const glim_token_logprobs first = {{5, -0.25f, {"\xC3", 1}}, top, 2},
                                     second = {{7, -1, {"\xA9", 1}}, top, 2};
    const glim_event ev[] = {{.kind = GLIM_EV_LOGPROBS, .logprobs = &first},
                             {.kind = GLIM_EV_LOGPROBS, .logprobs = &second},
                             C("\xC3\xA9"),
                             STOP(GLIM_STOP_END, &usage)};
    const hear_row row = {"logprobs", NULL,
                          "L \xC3 -0.25 2\nL \xA9 -1 2\nC \xC3\xA9\nS 1 10/4/7/3 ", GLIM_OK, NULL};
    for (int whole_body = 0; whole_body < 2; whole_body++) {
        glim_request rq = script_request(!whole_body);
        hearing k;
        rq.logprobs = rq.include_usage = true;
        glim_buf out = script_run(&glim_dialect_openai_chat, &rq, &script_info, ev, GLIM_COUNT(ev));
        hearing_init(&k, O);
        if (whole_body)
            hearing_whole(&k, &with_gen, glim_buf_view(&out));
        else
            hearing_stream(&k, &with_gen, glim_buf_view(&out), 0, 1);
        hearing_check(&row, &k);
        glim_buf_deinit(&out);
    }
}

/* Our server's failure in the middle of a stream. */
static void own_problem(void **state)
{
    (void)state;
    const glim_dialect *const servers[] = {&glim_dialect_openai_chat, &glim_dialect_zhipu_chat};
    for (size_t i = 0; i < 2; i++) {
        const glim_event ev[] = {C("a")};
        glim_request rq = script_request(true);
        glim_problem p;
        hearing k;
        glim_buf out;
        glim_buf_init(&out, 1 << 20);
        glim_reply *r = servers[i]->reply_new(&rq, &script_info);
        assert_int_equal(servers[i]->event(r, 0, ev, &out), GLIM_OK);
        servers[i]->reply_free(r);
        glim_problem_set(&p, GLIM_PROBLEM_INTERNAL, "", "it broke");
        assert_int_equal(servers[i]->stream_problem(&p, GLIM_STR("r"), &out), GLIM_OK);
        hearing_init(&k, i ? Z : O);
        hearing_stream(&k, &plain, glim_buf_view(&out), 0, 3);
        assert_int_equal(k.err, GLIM_E_REMOTE);
        assert_string_equal(k.said.message, "it broke");
        assert_string_equal(k.log.p, "C a");
        glim_buf_deinit(&k.log);
        glim_buf_deinit(&out);
    }
}

/* ---- limits ---------------------------------------------------------------------------------- */

#define LONG                                                                                       \
    DELTA("\"reasoning_content\":\"r\"")                                                           \
    DELTA("\"content\":\"a\"")                                                                     \
    BEGIN(0, "c1", "f")                                                                            \
    ARGS(0, "{\\\"a\\\":[1,2]}")                                                                   \
    BEGIN(1, "c2", "g")                                                                            \
    ARGS(1, "{") ARGS(1, "}")                                                                      \
        CHUNK("\"delta\":{},\"finish_reason\":\"stop\",\"matched_stop\":\"END\"") DONE

static void failing_memory(void **state)
{
    (void)state;
    hearing_fails(O, &with_gen, LONG, false);
    hearing_fails(O, &with_gen,
                  SAID("\"content\":\"a\",\"tool_calls\":[{\"id\":\"c\",\"function\":{\"name\":"
                       "\"f\",\"arguments\":\"{}\"}}]"),
                  true);
}

static void cancelled(void **state)
{
    (void)state;
    hearing_cancels(O, &with_gen, LONG);
}

/* A server that never stops opening calls. */
static void many_calls(void **state)
{
    (void)state;
    hearing k;
    glim_buf b;
    glim_buf_init(&b, 1 << 24);
    for (int i = 0; i < 1025; i++)
        glim_buf_addf(&b,
                      "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":%d,"
                      "\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]}}]}\n\n",
                      i);
    hearing_init(&k, O);
    hearing_stream(&k, &plain, glim_buf_view(&b), 0, 1000);
    assert_int_equal(k.err, GLIM_E_FORMAT);
    assert_non_null(strstr(k.e.msg, "more than 1024 calls"));
    glim_buf_deinit(&k.log);
    glim_buf_deinit(&b);
}

/* What failed stays failed, and hearing on is no harm. */
static void stays_failed(void **state)
{
    (void)state;
    hearing k;
    hearing_init(&k, O);
    bool over = true;
    k.h = O->hear_new(&plain, hearing_event, &k);
    assert_int_equal(O->hear(k.h, GLIM_STR("{\"choices\":7}"), false, &over, &k.said, &k.e),
                     GLIM_E_FORMAT);
    assert_false(over);
    assert_int_equal(O->hear(k.h, GLIM_STR("{\"choices\":[]}"), false, &over, &k.said, NULL),
                     GLIM_E_FORMAT);
    assert_int_equal(O->hear(k.h, GLIM_STR("[DONE]"), false, &over, &k.said, NULL), GLIM_E_FORMAT);
    assert_int_equal(O->hear_end(k.h, NULL), GLIM_E_FORMAT);
    O->hear_free(k.h);
    O->hear_free(NULL);

    k.h = O->hear_new(&plain, hearing_event, &k);
    assert_int_equal(O->hear(k.h, GLIM_STR(SAID("\"content\":\"a\"")), true, &over, &k.said, NULL),
                     GLIM_OK);
    assert_true(over);
    assert_int_equal(O->hear_end(k.h, NULL), GLIM_OK);
    assert_int_equal(O->hear_end(k.h, NULL), GLIM_OK); /* STOP comes once */
    assert_string_equal(k.log.p, "C a\nS 1 3/0/2/0 ");
    O->hear_free(k.h);
    glim_buf_deinit(&k.log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stream),       cmocka_unit_test(whole),
        cmocka_unit_test(own_openai),   cmocka_unit_test(own_zhipu),
        cmocka_unit_test(own_broken),   cmocka_unit_test(own_logprobs),
        cmocka_unit_test(own_problem),  cmocka_unit_test(failing_memory),
        cmocka_unit_test(cancelled),    cmocka_unit_test(many_calls),
        cmocka_unit_test(stays_failed),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
