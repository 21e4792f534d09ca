/* SPDX-License-Identifier: MIT
 * replies.c - fuzz target: bytes as events. Every chunk of a stream is JSON on a line of its own,
 * and the stream joins to what the whole body says. */
#include "api/api.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { EVENT_MAX = 64, CALL_MAX = 32 };

static void must(bool x)
{
    if (!x) abort();
}

/* ---- events ---------------------------------------------------------------------------------- */

typedef struct script {
    glim_event ev[EVENT_MAX + 2];
    size_t n;
    char text[EVENT_MAX][96];  /* each event's own */
    char json[CALL_MAX][2048]; /* of the calls */
    bool repeated, broken;
} script;

/* A byte is a piece of text: escapes, line ends of Unicode, characters of every length. */
static glim_str piece(uint8_t byte)
{
    static const char *const pieces[] = {
        "a", "\"", "\\", "\n", "\xC2\x85", "\xE2\x80\xA8", "\xF0\x9F\x98\x80", "\xC3\xA9",
        "<", " ",  "}",  ":",  "\x01",     "</think>",     "data: ",           "0"};
    return glim_str_of(pieces[byte % GLIM_COUNT(pieces)]);
}

/* One text from up to 8 bytes. */
static glim_str text_of(char *out, size_t n_out, const uint8_t **p, const uint8_t *end)
{
    size_t n = 0, left = *p < end ? *(*p)++ % 9u : 0;
    for (; left && *p < end; left--) {
        glim_str s = piece(*(*p)++);
        if (n + s.n > n_out) break;
        memcpy(out + n, s.p, s.n);
        n += s.n;
    }
    return (glim_str){out, n};
}

static void add(script *s, glim_event ev)
{
    s->ev[s->n++] = ev;
}

/* A call as the parser reports it: begin, arguments, and its end or none. */
static void add_call(script *s, size_t i_call, const uint8_t **p, const uint8_t *end)
{
    static const char *const keys[] = {"k", "key", "a\"b", "\xC3\xA9"};
    static const char *const values[] = {"1", "\"x\"", "{\"a\":[null]}", "\"\xE2\x80\xA8\"",
                                         "true"};
    bool seen[GLIM_COUNT(keys)] = {false};
    size_t n_arg = *p < end ? *(*p)++ % 6u : 0;
    bool broken = *p < end && *(*p)++ % 4 == 0;
    glim_buf json;
    glim_buf_init(&json, sizeof s->json[0] - 1);
    glim_buf_addc(&json, '{');
    add(s, (glim_event){.kind = GLIM_EV_CALL_BEGIN, .i_call = i_call, .name = GLIM_STR("f")});
    for (size_t i = 0; i < n_arg && *p < end && s->n < EVENT_MAX - 2; i++) {
        size_t k = **p % GLIM_COUNT(keys), v = *(*p)++ / 16 % GLIM_COUNT(values);
        s->repeated = s->repeated || seen[k];
        add(s, (glim_event){.kind = GLIM_EV_CALL_ARG,
                            .i_call = i_call,
                            .key = glim_str_of(keys[k]),
                            .text = glim_str_of(values[v])});
        if (seen[k]) continue;
        seen[k] = true;
        if (json.n > 1) glim_buf_addc(&json, ',');
        glim_json_quote(&json, glim_str_of(keys[k]));
        glim_buf_addc(&json, ':');
        glim_buf_adds(&json, values[v]);
    }
    glim_buf_addc(&json, '}');
    must(!json.err);
    memcpy(s->json[i_call], json.p, json.n);
    glim_str text = {s->json[i_call], json.n};
    add(s, (glim_event){.kind = broken ? GLIM_EV_CALL_BROKEN : GLIM_EV_CALL_END,
                        .i_call = i_call,
                        .text = text});
    s->broken = s->broken || broken;
    glim_buf_deinit(&json);
}

static void make_script(script *s, const uint8_t *p, const uint8_t *end)
{
    static const glim_usage usage = {.n_prompt = 3, .n_completion = 2, .n_reasoning = 1};
    static const int32_t ids[] = {7, 8};
    size_t i_call = 0;
    while (p < end && s->n < EVENT_MAX - 10) {
        uint8_t kind = *p++ % 4;
        char *room = s->text[s->n];
        if (kind == 3 && i_call < CALL_MAX) {
            add_call(s, i_call++, &p, end);
            continue;
        }
        add(s, (glim_event){.kind = kind == 0 ? GLIM_EV_REASONING : GLIM_EV_CONTENT,
                            .text = text_of(room, sizeof s->text[0], &p, end)});
    }
    add(s, (glim_event){.kind = GLIM_EV_STOP,
                        .reason = (glim_stop_reason)(1 + (size_t)s->n % GLIM_STOP_LOOP),
                        .usage = &usage,
                        .ids = ids,
                        .n_id = 2});
}

/* Objects on lines, none of them blank, or server-sent events. */
static bool has_lines(const glim_dialect *d)
{
    return strcmp(d->stream_type, "application/x-ndjson") == 0;
}

static void run(const glim_dialect *d, const glim_request *rq, const script *s, glim_buf *out)
{
    static const int32_t prompt[] = {5, 6};
    static const glim_id_list prompts[] = {{prompt, 2}};
    static const glim_reply_info info = {.id = {"0123456789abcdef01234567", 24},
                                         .request_id = {"r", 1},
                                         .model = {"m\n", 2},
                                         .prompt_ids = prompts};
    glim_buf_init(out, (size_t)16 << 20);
    glim_reply *r = d->reply_new(rq, &info);
    must(r != NULL);
    for (size_t i = 0; i < s->n; i++) {
        must(d->event(r, 0, &s->ev[i], out) == GLIM_OK);
        if (rq->stream && has_lines(d)) must(d->keepalive(r, out) == GLIM_OK);
    }
    must(d->end(r, out) == GLIM_OK);
    d->reply_free(r);
}

/* ---- a client -------------------------------------------------------------------------------- */

typedef struct joined {
    glim_buf content, reasoning, finish, args[CALL_MAX];
} joined;

static void join(glim_buf *b, const glim_json *v)
{
    if (glim_json_is(v, GLIM_JSON_STRING)) glim_buf_addv(b, v->text);
}

/* Of Ollama's objects: a line, or the whole body. Returns whether it is the last. */
static bool join_object(joined *j, const glim_json *v)
{
    const glim_json *m = glim_json_get(v, "message");
    bool done;
    must(v->type == GLIM_JSON_OBJECT && glim_json_bool(glim_json_get(v, "done"), &done));
    must(m ? glim_json_is(glim_json_get(m, "content"), GLIM_JSON_STRING)
           : glim_json_is(glim_json_get(v, "response"), GLIM_JSON_STRING));
    if (!m) m = v;
    join(&j->content, glim_json_get(m, m == v ? "response" : "content"));
    join(&j->reasoning, glim_json_get(m, "thinking"));
    join(&j->finish, glim_json_get(v, "done_reason"));
    GLIM_JSON_EACH(call, glim_json_get(m, "tool_calls"))
    {
        int64_t i;
        const glim_json *args = glim_json_path(call, "function.arguments");
        must(glim_json_i64(glim_json_path(call, "function.index"), &i) && i >= 0 && i < CALL_MAX);
        must(glim_json_is(args, GLIM_JSON_OBJECT));
        glim_buf_addv(&j->args[i], args->text);
    }
    return done;
}

static void join_lines(joined *j, glim_str s, glim_arena *a)
{
    bool done = false;
    while (s.n) {
        glim_json *v;
        size_t end = glim_str_find(s, GLIM_STR("\n"));
        must(!done && end != SIZE_MAX);
        glim_str line = glim_str_sub(s, 0, end);
        s = glim_str_sub(s, end + 1, s.n);
        must(glim_str_find(line, GLIM_STR("\r")) == SIZE_MAX);
        must(glim_str_find(line, GLIM_STR("\xE2\x80\xA8")) == SIZE_MAX);
        must(glim_str_find(line, GLIM_STR("\xC2\x85")) == SIZE_MAX);
        must(glim_json_parse(a, line, &v, NULL) == GLIM_OK);
        done = join_object(j, v);
    }
    must(done);
}

/* Of llama-server's objects, whose text goes on, or SGLang's, each of which has all of it. */
static void join_piece(joined *j, const glim_json *v)
{
    const glim_json *text = glim_json_get(v, "text");
    must(glim_json_is(text ? text : glim_json_get(v, "content"), GLIM_JSON_STRING));
    if (text) {
        must(glim_str_starts(text->text, glim_buf_view(&j->content)));
        glim_buf_cut(&j->content, 0);
    }
    join(&j->content, text ? text : glim_json_get(v, "content"));
    join(&j->finish, glim_json_get(v, "stop_type"));
    join(&j->finish, glim_json_path(v, "meta_info.finish_reason.type"));
}

/* m: a message or a delta; c: the choice. */
static void join_choice(joined *j, const glim_json *c, const glim_json *m)
{
    join(&j->content, glim_json_get(m, "content"));
    join(&j->content, glim_json_get(c, "text"));
    join(&j->reasoning, glim_json_get(m, "reasoning_content"));
    join(&j->finish, glim_json_get(c, "finish_reason"));
    GLIM_JSON_EACH(call, glim_json_get(m, "tool_calls"))
    {
        int64_t i;
        must(glim_json_i64(glim_json_get(call, "index"), &i) && i >= 0 && i < CALL_MAX);
        join(&j->args[i], glim_json_path(call, "function.arguments"));
    }
}

static void join_stream(joined *j, glim_str s, bool by_piece, glim_arena *a)
{
    size_t n_chunk = 0;
    while (s.n) {
        glim_json *v;
        must(glim_str_starts(s, GLIM_STR("data: ")));
        size_t end = glim_str_find(s, GLIM_STR("\n\n"));
        must(end != SIZE_MAX);
        glim_str data = glim_str_sub(s, 6, end);
        s = glim_str_sub(s, end + 2, s.n);
        must(glim_str_find(data, GLIM_STR("\n")) == SIZE_MAX);
        must(glim_str_find(data, GLIM_STR("\xE2\x80\xA8")) == SIZE_MAX);
        must(glim_str_find(data, GLIM_STR("\xC2\x85")) == SIZE_MAX);
        if (glim_str_is(data, "[DONE]")) break;
        must(glim_json_parse(a, data, &v, NULL) == GLIM_OK);
        if (by_piece) join_piece(j, v);
        GLIM_JSON_EACH(c, glim_json_get(v, "choices"))
        join_choice(j, c, glim_json_get(c, "delta"));
        n_chunk++;
    }
    must(s.n == 0 && n_chunk > 0);
}

static void join_body(joined *j, glim_str s, bool by_piece, glim_arena *a)
{
    glim_json *v;
    must(glim_json_parse(a, s, &v, NULL) == GLIM_OK);
    if (by_piece)
        join_piece(j, v);
    else if (!glim_json_get(v, "choices"))
        must(join_object(j, v));
    GLIM_JSON_EACH(c, glim_json_get(v, "choices"))
    join_choice(j, c, glim_json_get(c, "message"));
}

static void same(const glim_buf *a, const glim_buf *b)
{
    must(glim_str_eq(glim_buf_view(a), glim_buf_view(b)));
}

static void init_joined(joined *j)
{
    glim_buf *fixed[] = {&j->content, &j->reasoning, &j->finish};
    for (size_t i = 0; i < GLIM_COUNT(fixed); i++)
        glim_buf_init(fixed[i], (size_t)16 << 20);
    for (size_t i = 0; i < CALL_MAX; i++)
        glim_buf_init(&j->args[i], 1 << 20);
}

static void deinit_joined(joined *j)
{
    glim_buf *fixed[] = {&j->content, &j->reasoning, &j->finish};
    for (size_t i = 0; i < GLIM_COUNT(fixed); i++)
        glim_buf_deinit(fixed[i]);
    for (size_t i = 0; i < CALL_MAX; i++)
        glim_buf_deinit(&j->args[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const glim_dialect *const dialects[] = {
        &glim_dialect_openai_chat,        &glim_dialect_zhipu_chat,
        &glim_dialect_openai_completions, &glim_dialect_ollama_chat,
        &glim_dialect_ollama_generate,    &glim_dialect_legacy_chat,
        &glim_dialect_llama_completion,   &glim_dialect_sglang_generate};
    static script s;
    static joined whole, parts;
    static const glim_raw_prompt prompt = {.text = {"p", 1}};
    if (size < 2) return 0;
    const glim_dialect *d = dialects[data[0] % GLIM_COUNT(dialects)];
    bool by_piece = d == &glim_dialect_llama_completion || d == &glim_dialect_sglang_generate;
    bool raw = by_piece || d == &glim_dialect_openai_completions;
    glim_request rq = {.n = 1,
                       .raw = raw,
                       .prompts = raw ? &prompt : NULL,
                       .n_prompt = raw,
                       .echo = raw && data[1] & 1,
                       .inline_reasoning = data[1] & 1,
                       .hold_reasoning = data[1] & 2,
                       .tool_stream = data[1] & 4,
                       .include_usage = data[1] & 8,
                       .continuous_usage = data[1] & 16,
                       .want_ids = data[1] & 32};
    memset(&s, 0, sizeof s);
    make_script(&s, data + 2, data + size);
    glim_arena *a = glim_arena_new((size_t)64 << 20);
    glim_buf body, stream;
    must(a != NULL);
    init_joined(&whole);
    init_joined(&parts);
    run(d, &rq, &s, &body);
    join_body(&whole, glim_buf_view(&body), by_piece, a);
    rq.stream = true;
    run(d, &rq, &s, &stream);
    if (has_lines(d))
        join_lines(&parts, glim_buf_view(&stream), a);
    else
        join_stream(&parts, glim_buf_view(&stream), by_piece, a);
    same(&whole.reasoning, &parts.reasoning);
    same(&whole.finish, &parts.finish);
    must(whole.finish.n > 0);
    /* A call that broke off is text in a body, and an incomplete call in a stream that announced
     * it. */
    if (!s.broken || !rq.tool_stream || has_lines(d)) {
        same(&whole.content, &parts.content);
        for (size_t i = 0; i < CALL_MAX && !s.repeated; i++)
            same(&whole.args[i], &parts.args[i]);
    }
    deinit_joined(&whole);
    deinit_joined(&parts);
    glim_buf_deinit(&body);
    glim_buf_deinit(&stream);
    glim_arena_free(a);
    return 0;
}
