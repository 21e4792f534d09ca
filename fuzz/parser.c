/* SPDX-License-Identifier: MIT
 * parser.c - fuzz target: model output fed whole and cut at places that the data choose must give
 * the same thought, answer and calls; all texts are UTF-8, all arguments JSON objects. Layout: byte
 * 0 start state and tools, byte 1 the limit of what is held, byte 2 the cuts, output. */
#include "text/text.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const glim_tool tools[] = {
    {{"now", 3}, {"{\"name\":\"now\"}", 14}},
    {{"set", 3},
     GLIM_STR(
         "{\"type\":\"function\",\"function\":{\"name\":\"set\",\"parameters\":{\"properties\":{"
         "\"n\":{\"type\":\"integer\"},\"s\":{\"type\":\"string\"},\"o\":{\"$ref\":\"#/$defs/o\"},"
         "\"e\":{\"enum\":[\"1\",2,null]},\"u\":{\"anyOf\":[{\"type\":\"number\"},"
         "{\"$ref\":\"#/properties/"
         "u\"}]}},\"$defs\":{\"o\":{\"type\":[\"object\",\"array\"]}}}}}")},
};

static void must(bool x)
{
    if (!x) abort();
}

typedef struct watch {
    glim_parsed parsed;
    bool open;
    size_t i_call;
} watch;

static bool on_event(void *user, const glim_event *ev)
{
    watch *w = user;
    must(glim_utf8_valid(ev->text, NULL) && glim_utf8_valid(ev->name, NULL) &&
         glim_utf8_valid(ev->key, NULL));
    bool begin = ev->kind == GLIM_EV_CALL_BEGIN;
    bool text = ev->kind == GLIM_EV_REASONING || ev->kind == GLIM_EV_CONTENT;
    must(w->open != (begin || text));
    must(text || ev->i_call == w->i_call);
    must(!text || ev->text.n > 0);
    if (begin) w->open = true;
    if (ev->kind == GLIM_EV_CALL_END || ev->kind == GLIM_EV_CALL_BROKEN) {
        w->open = false;
        w->i_call++;
    }
    return glim_parsed_event(&w->parsed, ev);
}

static void run(const uint8_t *head, glim_str raw, size_t chunk, watch *w)
{
    static const size_t limits[] = {SIZE_MAX, 0, 16, 100};
    size_t n_tool = head[0] >> 2 & 1 ? 0 : GLIM_COUNT(tools);
    glim_parser *p;
    memset(w, 0, sizeof *w);
    glim_parsed_init(&w->parsed, SIZE_MAX);
    must(glim_parser_new((glim_parse_start)((head[0] & 3) % 3), tools, n_tool, limits[head[1] % 4],
                         on_event, w, &p, NULL) == GLIM_OK);
    for (size_t at = 0; at < raw.n;) {
        size_t n = GLIM_MIN(chunk, raw.n - at);
        must(glim_parser_feed(p, glim_str_sub(raw, at, at + n), NULL) == GLIM_OK);
        at += n;
        if (chunk != SIZE_MAX) chunk = 1 + (chunk * 5 + head[2]) % 13;
    }
    must(glim_parser_finish(p, NULL) == GLIM_OK && !w->open);
    must(glim_parser_n_call(p) == w->parsed.n_call && (n_tool || !w->parsed.n_call));
    glim_parser_free(p);
}

static bool same(const glim_buf *a, const glim_buf *b)
{
    return glim_str_eq(glim_buf_view(a), glim_buf_view(b));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    watch whole, cut;
    if (size < 3) return 0;
    glim_str raw = {(const char *)data + 3, size - 3};
    run(data, raw, SIZE_MAX, &whole);
    run(data, raw, 1 + data[2] % 7u, &cut);
    must(same(&whole.parsed.reasoning, &cut.parsed.reasoning));
    must(same(&whole.parsed.content, &cut.parsed.content));
    must(whole.parsed.n_call == cut.parsed.n_call);
    for (size_t i = 0; i < cut.parsed.n_call; i++) {
        const glim_parsed_call *a = &whole.parsed.calls[i], *b = &cut.parsed.calls[i];
        glim_arena *arena = glim_arena_new(SIZE_MAX / 2);
        glim_json *v;
        must(a->i_call == b->i_call && same(&a->name, &b->name) &&
             same(&a->arguments, &b->arguments));
        if (arena)
            must(glim_json_parse(arena, glim_buf_view(&a->arguments), &v, NULL) == GLIM_OK &&
                 v->type == GLIM_JSON_OBJECT);
        glim_arena_free(arena);
    }
    glim_parsed_deinit(&whole.parsed);
    glim_parsed_deinit(&cut.parsed);
    return 0;
}
