/* SPDX-License-Identifier: MIT
 * test_parser.c - output to thought, answer and calls: the goldens at every cut, what the goldens
 * do not say, the order of events, types by schema, limits, hostile outputs, allocations that fail.
 */
#include "golden.h"

#include <time.h>

#include "failnth.h"
#include "text/text.h"

#define MAX ((size_t)64 << 20)

static glim_arena *arena;

static int setup(void **state)
{
    (void)state;
    arena = glim_arena_new((size_t)512 << 20);
    return arena ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    glim_arena_free(arena);
    return 0;
}

static glim_json *parse_json(glim_str src)
{
    glim_error e = {0};
    glim_json *v = NULL;
    if (glim_json_parse(arena, src, &v, &e)) fail_msg("%s in %.*s", e.msg, (int)src.n, src.p);
    return v;
}

/* ---- the result as one line, with the events checked on the way ------------------------------ */

typedef struct watch {
    glim_parsed parsed;
    size_t n_begin;
    bool open; /* a call is announced and neither whole nor broken */
    size_t i_open;
    glim_buf args; /* as a reader of deltas would build them */
} watch;

static bool on_event(void *user, const glim_event *ev)
{
    watch *w = user;
    assert_true(glim_utf8_valid(ev->text, NULL));
    switch (ev->kind) {
    case GLIM_EV_REASONING:
    case GLIM_EV_CONTENT:
        assert_true(ev->text.n > 0);
        assert_false(w->open);
        break;
    case GLIM_EV_CALL_BEGIN:
        assert_false(w->open);
        assert_true(ev->name.n > 0 && ev->i_call == w->n_begin);
        w->open = true;
        w->i_open = w->n_begin++;
        break;
    case GLIM_EV_CALL_ARG: {
        glim_json *v;
        assert_true(w->open && ev->i_call == w->i_open);
        assert_int_equal(glim_json_parse(arena, ev->text, &v, NULL), GLIM_OK);
        break;
    }
    case GLIM_EV_CALL_END: {
        glim_json *v;
        assert_true(w->open && ev->i_call == w->i_open);
        assert_int_equal(glim_json_parse(arena, ev->text, &v, NULL), GLIM_OK);
        assert_int_equal(v->type, GLIM_JSON_OBJECT);
        w->open = false;
        break;
    }
    case GLIM_EV_CALL_BROKEN:
        assert_true(w->open && ev->i_call == w->i_open && ev->text.n > 0);
        w->open = false;
        break;
    case GLIM_EV_PROGRESS:
    case GLIM_EV_LOGPROBS:
    case GLIM_EV_STOP:
        fail();
    }
    return glim_parsed_event(&w->parsed, ev);
}

/* {"reasoning":..,"content":..,"tool_calls":[{"name":..,"arguments":..}]} of a finished parse. */
static void write_result(const glim_parsed *r, glim_buf *b)
{
    glim_jw w;
    glim_jw_init(&w, b);
    glim_jw_object(&w);
    glim_jw_key(&w, "reasoning");
    glim_jw_str(&w, glim_buf_view(&r->reasoning));
    glim_jw_key(&w, "content");
    glim_jw_str(&w, glim_buf_view(&r->content));
    glim_jw_key(&w, "tool_calls");
    glim_jw_array(&w);
    for (size_t i = 0; i < r->n_call; i++) {
        glim_jw_object(&w);
        glim_jw_key(&w, "name");
        glim_jw_str(&w, glim_buf_view(&r->calls[i].name));
        glim_jw_key(&w, "arguments");
        glim_jw_raw(&w, glim_buf_view(&r->calls[i].arguments));
        glim_jw_object_end(&w);
    }
    glim_jw_array_end(&w);
    glim_jw_object_end(&w);
    assert_int_equal(b->err, GLIM_OK);
}

typedef struct job {
    glim_parse_start start;
    const glim_tool *tools;
    size_t n_tool, max_bytes;
    glim_str raw;
} job;

/* Feeds raw in pieces: the first of `first` bytes, then `chunk` at a time. */
static void run(const job *j, size_t first, size_t chunk, glim_buf *result)
{
    watch w = {.open = false};
    glim_parser *p;
    glim_error e = {0};
    size_t at = 0, n = first;
    glim_parsed_init(&w.parsed, SIZE_MAX);
    if (glim_parser_new(j->start, j->tools, j->n_tool, j->max_bytes, on_event, &w, &p, &e))
        fail_msg("%s", e.msg);
    while (at < j->raw.n) {
        n = GLIM_MIN(n, j->raw.n - at);
        if (glim_parser_feed(p, glim_str_sub(j->raw, at, at + n), &e)) fail_msg("%s", e.msg);
        at += n;
        n = chunk;
    }
    if (glim_parser_finish(p, &e)) fail_msg("%s", e.msg);
    assert_false(w.open);
    assert_int_equal(glim_parser_n_call(p), w.parsed.n_call);
    glim_parser_free(p);
    glim_buf_clear(result);
    write_result(&w.parsed, result);
    glim_parsed_deinit(&w.parsed);
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* All cuts must agree; the whole result is left in `result`. */
static void run_all_cuts(const job *j, glim_buf *result)
{
    glim_buf other;
    glim_buf_init(&other, SIZE_MAX);
    run(j, SIZE_MAX, SIZE_MAX, result);
    for (size_t chunk = 1; chunk <= 8; chunk++) {
        run(j, chunk, chunk, &other);
        assert_string_equal(other.p, result->p);
    }
    for (size_t cut = 1; cut < j->raw.n; cut++) {
        run(j, cut, SIZE_MAX, &other);
        assert_string_equal(other.p, result->p);
    }
    glim_buf_deinit(&other);
}

static bool same_json(const glim_json *a, const glim_json *b)
{
    double x, y;
    if (a->type != b->type || a->n_child != b->n_child) return false;
    if (a->type == GLIM_JSON_NUMBER)
        return glim_str_eq(a->text, b->text) ||
               (!memchr(a->text.p, 'e', a->text.n) == !!memchr(b->text.p, 'e', b->text.n) &&
                glim_json_f64(a, &x) && glim_json_f64(b, &y) && x == y);
    if (a->type == GLIM_JSON_STRING) return glim_str_eq(a->text, b->text);
    for (a = a->child, b = b->child; a; a = a->next, b = b->next) {
        if (!glim_str_eq(a->key, b->key) || !same_json(a, b)) return false;
    }
    return true;
}

static glim_tool *tools_of(const glim_json *list)
{
    size_t n = 0;
    glim_tool *t = glim_arena_alloc0(arena, (list->n_child + 1) * sizeof *t);
    assert_non_null(t);
    GLIM_JSON_EACH(it, list)
    t[n++].json = it->text;
    return t;
}

static void goldens(void **state)
{
    (void)state;
    char path[512];
    size_t n, count = 0;
    if (!golden_find("parser/cases.jsonl", path, sizeof path)) skip();
    char *text = golden_read(path, &n);
    glim_buf got;
    glim_buf_init(&got, SIZE_MAX);
    for (size_t at = 0; at < n;) {
        const char *end = memchr(text + at, '\n', n - at);
        size_t len = end ? (size_t)(end - (text + at)) : n - at;
        glim_mark mark = glim_arena_mark(arena);
        glim_json *c = parse_json((glim_str){text + at, len});
        const glim_json *tools = glim_json_get(c, "tools");
        glim_str start = glim_json_get(c, "start")->text;
        job j = {GLIM_PARSE_REASONING, tools_of(tools), tools->n_child, MAX,
                 glim_json_get(c, "raw")->text};
        if (glim_str_is(start, "content")) j.start = GLIM_PARSE_CONTENT;
        if (glim_str_is(start, "auto")) j.start = GLIM_PARSE_AUTO;
        run_all_cuts(&j, &got);
        const glim_json *have = parse_json(glim_buf_view(&got));
        static const char *const parts[] = {"reasoning", "content", "tool_calls"};
        for (size_t i = 0; i < GLIM_COUNT(parts); i++) {
            const glim_json *want = glim_json_get(c, parts[i]);
            if (!same_json(want, glim_json_get(have, parts[i])))
                fail_msg("case %zu: %.*s\ngot %s", count, (int)len, text + at, got.p);
        }
        glim_arena_rewind(arena, mark);
        at += len + 1;
        count++;
    }
    free(text);
    glim_buf_deinit(&got);
    assert_true(count >= 81);
}

/* ---- what the goldens leave open ------------------------------------------------------------- */

static const char tools_text[] =
    "[{\"type\":\"function\",\"function\":{\"name\":\"now\",\"parameters\":{\"type\":\"object\","
    "\"properties\":{}}}},{\"name\":\"set\",\"parameters\":{\"type\":\"object\",\"properties\":{"
    "\"n\":{\"type\":\"integer\"},\"x\":{\"type\":\"number\"},\"s\":{\"type\":\"string\"}}}}]";

typedef struct row {
    glim_parse_start start;
    const char *raw, *reasoning, *content, *calls;
} row;

#define R GLIM_PARSE_REASONING
#define C GLIM_PARSE_CONTENT
#define A GLIM_PARSE_AUTO
#define NOW "<tool_call>now</tool_call>"
#define NOW_CALL "{\"name\":\"now\",\"arguments\":{}}"
#define K(k) "<arg_key>" k "</arg_key>"
#define V(v) "<arg_value>" v "</arg_value>"

static const row rows[] = {
    {R, "", "", "", ""},
    {C, " \n ", "", " \n ", ""},
    {A, " \n ", "", "", ""},
    {A, "\t\r\n <thin", "", "<thin", ""},
    {A, "<think>\n\n a", " a", "", ""},
    {A, "</think>\nB", "", "B", ""},
    {A, " " NOW, "", "", NOW_CALL},
    {R, "\n\n<think>\n\n<think>x", "<think>x", "", ""},
    {R, " <think>x \n", " <think>x", "", ""},
    {R, "a</think>\n</think>\n\nb", "a", "b", ""},
    {C, "a \n</think>\n" NOW, "", "a", NOW_CALL},
    {R, "a\r\n \t</think>b", "a", "b", ""},
    /* Blanks after the last call belong to the answer when more of it comes, or nothing does. */
    {C, NOW "\n\nDone", "", "\n\nDone", NOW_CALL},
    {C, NOW " \t\r\n" NOW, "", "", NOW_CALL "," NOW_CALL},
    {C, "a \n" NOW " b \n" NOW, "", "a b", NOW_CALL "," NOW_CALL},
    /* Names. */
    {C, "<tool_call>\xe5\xa4\xa9\xe6\xb0\x94.a-B_9</tool_call>", "", "",
     "{\"name\":\"\xe5\xa4\xa9\xe6\xb0\x94.a-B_9\",\"arguments\":{}}"},
    {C, "<tool_call>a b</tool_call>", "", "<tool_call>a b</tool_call>", ""},
    {C, "<tool_call>a\xf0\x9f\x98\x80</tool_call>", "", "<tool_call>a\xf0\x9f\x98\x80</tool_call>",
     ""},
    {C, "<tool_call>f()</tool_call>", "", "<tool_call>f()</tool_call>", ""},
    {C, "<tool_call> \n</tool_call>", "", "<tool_call> \n</tool_call>", ""},
    {C, "<tool_call><tool_call>" NOW, "", "<tool_call><tool_call>", NOW_CALL},
    {R, "a <tool_call>b</think>c", "a <tool_call>b", "c", ""},
    {C, "<tool_call>now</think>", "", "<tool_call>now", ""},
    /* Closed by the end, or not. */
    {C, "<tool_call>now</tool_c", "", "", NOW_CALL},
    {C, "<tool_call>now<", "", "<tool_call>now<", ""},
    {C, "<tool_call>now</t ", "", "<tool_call>now</t ", ""},
    {C, "<tool_call>set" K("n") V("1") "\n</tool", "", "",
     "{\"name\":\"set\",\"arguments\":{\"n\":1}}"},
    {C, "<tool_call>set" K("n") V("1") "<arg", "", "<tool_call>set" K("n") V("1") "<arg", ""},
    {C, "x\n<tool_call>set" K("n") "<arg_value>1</arg_valu", "",
     "x\n<tool_call>set" K("n") "<arg_value>1</arg_valu", ""},
    /* Nothing inside of a broken call is looked at again ... */
    {C, "<tool_call>set" K("s") "<arg_value>" NOW "</think>\nx", "",
     "<tool_call>set" K("s") "<arg_value>" NOW "</think>\nx", ""},
    {R, "t <tool_call>set" K("s") "<arg_value>" NOW, "t <tool_call>set" K("s") "<arg_value>" NOW,
     "", ""},
    /* ... but the thought ends where it says so. */
    {R, "t <tool_call>set" K("s") "<arg_value>v \n</think>\nThe answer " NOW,
     "t <tool_call>set" K("s") "<arg_value>v", "The answer " NOW, ""},
    /* A tag at the wrong place outside of values ends the attempt. */
    {C, "<tool_call>set<arg_key>n" NOW, "", "<tool_call>set<arg_key>n", NOW_CALL},
    {R, "<tool_call>set<arg_key>n</think>x", "<tool_call>set<arg_key>n", "x", ""},
    {C, "<tool_call>set" K("n") "</tool_call>" NOW, "", "<tool_call>set" K("n") "</tool_call>",
     NOW_CALL},
    {C, "<tool_call>set" K("n") " " NOW, "", "<tool_call>set" K("n"), NOW_CALL},
    {C, "a <tool_call>set" K("s") V(NOW) "<arg_key>n</tool_call> b", "",
     "a <tool_call>set" K("s") V(NOW) "<arg_key>n</tool_call> b", ""},
    /* Values. */
    {C, "<tool_call>set" K("s") "\n</arg_value></arg_value></tool_call>", "", "",
     "{\"name\":\"set\",\"arguments\":{\"s\":\"\\n</arg_value>\"}}"},
    {C, "<tool_call>set" K("s") "</arg_value></tool_call>", "", "",
     "{\"name\":\"set\",\"arguments\":{\"s\":\"\"}}"},
    {C, "<tool_call>set" K("s") V("a</arg_value></tool_b></arg_value> </") "</tool_call>x", "", "x",
     "{\"name\":\"set\",\"arguments\":{\"s\":\"a</arg_value></tool_b></arg_value> </\"}}"},
    {C, "<tool_call>set" K("s") V("a") K("x") V("1") K("s") V("b") "</tool_call>", "", "",
     "{\"name\":\"set\",\"arguments\":{\"s\":\"b\",\"x\":1}}"},
    {C, "<tool_call>set" K("n") V("3.0") K("x") V("1E400") "</tool_call>", "", "",
     "{\"name\":\"set\",\"arguments\":{\"n\":3.0,\"x\":1E400}}"},
    {C, "<tool_call>set" K("n") V("+5") K("x") V("NaN") "</tool_call>", "", "",
     "{\"name\":\"set\",\"arguments\":{\"n\":\"+5\",\"x\":\"NaN\"}}"},
    {C,
     "<tool_call>f" K("") V("\"q\"") K("\"") V(" { \"a b\" : [ 1 , \"\\\" ]\" ] } ") "</tool_call>",
     "", "", "{\"name\":\"f\",\"arguments\":{\"\":\"q\",\"\\\"\":{\"a b\":[1,\"\\\" ]\"]}}}"},
    {C, "<tool_call>f" K("o") V("{\"a\":1,\"a\":2}") "</tool_call>", "", "",
     "{\"name\":\"f\",\"arguments\":{\"o\":\"{\\\"a\\\":1,\\\"a\\\":2}\"}}"},
    /* A whole call in the thought. */
    {R, "t\n" NOW "\n</think>\n\nx", "t", "\nx", NOW_CALL},
    {R, "\n<tool_call>set" K("n") V("1") "</tool_call>", "", "",
     "{\"name\":\"set\",\"arguments\":{\"n\":1}}"},
    /* Bytes that are no UTF-8. */
    {R, "a\xff</think>b\xe5\xa4", "a\xef\xbf\xbd", NULL, ""},
};

static void own_rows(void **state)
{
    (void)state;
    const glim_json *list = parse_json(glim_str_of(tools_text));
    glim_buf got, want;
    glim_buf_init(&got, SIZE_MAX);
    glim_buf_init(&want, SIZE_MAX);
    for (size_t i = 0; i < GLIM_COUNT(rows); i++) {
        const row *r = &rows[i];
        job j = {r->start, tools_of(list), list->n_child, MAX, glim_str_of(r->raw)};
        run_all_cuts(&j, &got);
        if (!r->content) continue; /* only that all cuts agree, and that it is text */
        glim_buf_clear(&want);
        glim_buf_adds(&want, "{\"reasoning\":");
        glim_json_quote(&want, glim_str_of(r->reasoning));
        glim_buf_adds(&want, ",\"content\":");
        glim_json_quote(&want, glim_str_of(r->content));
        glim_buf_addf(&want, ",\"tool_calls\":[%s]}", r->calls);
        assert_string_equal(got.p, want.p);
    }
    glim_buf_deinit(&got);
    glim_buf_deinit(&want);
}

static void name_lengths(void **state)
{
    (void)state;
    const glim_tool tool = {.name = GLIM_STR("f"), .json = GLIM_STR("{\"name\":\"f\"}")};
    glim_buf raw, got;
    glim_buf_init(&raw, SIZE_MAX);
    glim_buf_init(&got, SIZE_MAX);
    for (int n = 127; n <= 130; n++) {
        glim_buf_clear(&raw);
        glim_buf_adds(&raw, "<tool_call>");
        for (int i = 0; i < n; i++)
            glim_buf_adds(&raw, "\xe5\xa4\xa9");
        glim_buf_adds(&raw, "</tool_call>");
        job j = {C, &tool, 1, MAX, glim_buf_view(&raw)};
        run(&j, 1, 1, &got);
        assert_int_equal(strstr(got.p, "\"tool_calls\":[]") == NULL, n <= 128);
    }
    glim_buf_deinit(&raw);
    glim_buf_deinit(&got);
}

/* ---- events ---------------------------------------------------------------------------------- */

typedef struct trace {
    glim_buf text;
    int stop_after;
} trace;

static bool note_event(void *user, const glim_event *ev)
{
    static const char *const names[] = {"?", "R", "C", "BEGIN", "ARG", "END", "BROKEN", "?"};
    trace *t = user;
    glim_buf_addf(&t->text, "%s", names[ev->kind]);
    if (ev->kind >= GLIM_EV_CALL_BEGIN) glim_buf_addf(&t->text, "%zu", ev->i_call);
    if (ev->kind == GLIM_EV_CALL_BEGIN) glim_buf_addv(&t->text, ev->name);
    if (ev->key.n) glim_buf_addf(&t->text, "(%.*s)", GLIM_STR_ARG(ev->key));
    glim_buf_addf(&t->text, "[%.*s] ", GLIM_STR_ARG(ev->text));
    return t->stop_after-- != 0;
}

/* One character at a time: what is out after each piece is as early as it is safe. */
static void early(void **state)
{
    (void)state;
    static const struct {
        glim_parse_start start;
        const char *piece, *events;
    } steps[] = {
        {R, "ab ", "R[ab] "},
        {R, "\n", ""},
        {R, "c<", "R[ \nc] "},
        {R, "/thin", ""},
        {R, "x", "R[</thinx] "},
        {R, "</think>\n", ""},
        {C, "Hi ", "C[Hi] "},
        {C, "<tool_call>se", ""},
        {C, "t<arg_key>", "BEGIN0set[] "},
        {C, "s</arg_key><arg_value>1</arg_value>", ""},
        {C, "\n<arg_key>", "ARG0(s)[\"1\"] "},
        {C, "n</arg_key><arg_value>2</arg_value></tool_call", ""},
        {C, ">", "ARG0(n)[2] END0[{\"s\":\"1\",\"n\":2}] "},
        {C, "\n<tool_call>set<arg_key>", "BEGIN1set[] "},
        {C, "s</arg_key> v", ""},
    };
    const glim_json *list = parse_json(glim_str_of(tools_text));
    trace t = {.stop_after = -1};
    glim_parser *p;
    glim_buf_init(&t.text, SIZE_MAX);
    assert_int_equal(glim_parser_new(R, tools_of(list), 2, MAX, note_event, &t, &p, NULL), GLIM_OK);
    for (size_t i = 0; i < GLIM_COUNT(steps); i++) {
        assert_int_equal(glim_parser_in_reasoning(p), steps[i].start == R);
        glim_buf_clear(&t.text);
        assert_int_equal(glim_parser_feed(p, glim_str_of(steps[i].piece), NULL), GLIM_OK);
        assert_string_equal(t.text.p ? t.text.p : "", steps[i].events);
    }
    glim_buf_clear(&t.text);
    assert_int_equal(glim_parser_finish(p, NULL), GLIM_OK);
    assert_string_equal(t.text.p, "BROKEN1[\n<tool_call>set<arg_key>s</arg_key> v] ");
    assert_int_equal(glim_parser_n_call(p), 1);
    assert_int_equal(glim_parser_feed(p, GLIM_STR("x"), NULL), GLIM_E_STATE);
    assert_int_equal(glim_parser_finish(p, NULL), GLIM_E_STATE);
    glim_parser_free(p);
    glim_buf_deinit(&t.text);
}

static void thought_is_held(void **state)
{
    (void)state;
    const glim_json *list = parse_json(glim_str_of(tools_text));
    trace t = {.stop_after = -1};
    glim_parser *p;
    glim_buf_init(&t.text, SIZE_MAX);
    assert_int_equal(glim_parser_new(R, tools_of(list), 2, MAX, note_event, &t, &p, NULL), GLIM_OK);
    glim_str all = GLIM_STR("t \n<tool_call>set" K("s") V("a") K("s") V("b") "</tool_call");
    assert_int_equal(glim_parser_feed(p, all, NULL), GLIM_OK);
    assert_string_equal(t.text.p, "R[t] ");
    assert_true(glim_parser_in_reasoning(p));
    assert_int_equal(glim_parser_feed(p, GLIM_STR(">"), NULL), GLIM_OK);
    assert_string_equal(t.text.p,
                        "R[t] BEGIN0set[] ARG0(s)[\"a\"] ARG0(s)[\"b\"] END0[{\"s\":\"b\"}] ");
    assert_false(glim_parser_in_reasoning(p));
    glim_parser_free(p);
    glim_buf_deinit(&t.text);
}

static void cancel(void **state)
{
    (void)state;
    const glim_json *list = parse_json(glim_str_of(tools_text));
    for (int stop = 0; stop < 5; stop++) {
        trace t = {.stop_after = stop};
        glim_parser *p;
        glim_error e = {0};
        glim_buf_init(&t.text, SIZE_MAX);
        assert_int_equal(glim_parser_new(R, tools_of(list), 2, MAX, note_event, &t, &p, &e),
                         GLIM_OK);
        glim_str all = GLIM_STR("t</think>a<tool_call>set" K("s") V("a") "</tool_call>b");
        assert_int_equal(glim_parser_feed(p, all, &e), GLIM_E_CANCELLED);
        assert_int_equal(glim_parser_feed(p, all, &e), GLIM_E_CANCELLED);
        assert_int_equal(glim_parser_finish(p, &e), GLIM_E_CANCELLED);
        glim_parser_free(p);
        glim_buf_deinit(&t.text);
    }
}

/* ---- schemas --------------------------------------------------------------------------------- */

static const char schema_text[] =
    "{\"name\":\"f\",\"parameters\":{\"allOf\":[{\"$ref\":\"#/$defs/base\"}],"
    "\"additionalProperties\":{\"type\":\"string\"},\"properties\":{"
    "\"loop\":{\"$ref\":\"#/$defs/A\"},\"self\":{\"$ref\":\"#/properties/self\"},"
    "\"esc\":{\"$ref\":\"#/$defs/a~1b%20c\"},\"gone\":{\"$ref\":\"#/$defs/none\"},"
    "\"far\":{\"$ref\":\"https://example.org/"
    "x\"},\"all\":{\"allOf\":[{\"type\":[\"string\",\"integer\"]},"
    "{\"type\":[\"integer\",\"null\"]}]},\"odd\":{\"type\":\"thing\"},\"yes\":true,"
    "\"null\":{\"type\":\"string\",\"nullable\":true},\"mix\":{\"enum\":[\"1\",2,null,[3]]},"
    "\"one\":{\"oneOf\":[{\"type\":\"object\"},{\"const\":\"x\"}]},\"clash\":{\"allOf\":["
    "{\"type\":\"string\"},{\"type\":\"integer\"}]},\"by\":{\"$ref\":\"#/allOf/0/$ref\"},"
    "\"at\":{\"$ref\":\"#/$defs/list/1\"},\"str\":{\"type\":\"string\",\"enum\":[\"1\",\"2\"]}},"
    "\"$defs\":{\"A\":{\"$ref\":\"#/$defs/B\"},\"B\":{\"anyOf\":[{\"$ref\":\"#/$defs/A\"},"
    "{\"$ref\":\"#/$defs/A\"}]},\"a/b c\":{\"type\":\"string\"},\"list\":[{\"type\":\"integer\"},"
    "{\"type\":\"string\"}],\"base\":{\"properties\":{\"inner\":{\"type\":\"string\"}}}}}}";

static void schemas(void **state)
{
    (void)state;
    static const struct {
        const char *key, *raw, *want;
    } values[] = {
        {"loop", "5", "5"},          {"self", "5", "5"},
        {"esc", "5", "\"5\""},       {"gone", "5", "5"},
        {"far", "5", "5"},           {"all", "5", "5"},
        {"all", "null", "\"null\""}, {"all", "x", "\"x\""},
        {"odd", "5", "5"},           {"yes", "5", "5"},
        {"null", "null", "null"},    {"null", "5", "\"5\""},
        {"mix", "1", "\"1\""},       {"mix", "2", "2"},
        {"mix", "null", "null"},     {"mix", "[3]", "[3]"},
        {"mix", "true", "\"true\""}, {"one", "{}", "{}"},
        {"one", "x", "\"x\""},       {"one", "[1]", "\"[1]\""},
        {"clash", "5", "5"},         {"by", "5", "5"},
        {"at", "5", "\"5\""},        {"inner", "5", "\"5\""},
        {"unknown", "5", "\"5\""},   {"str", "1", "\"1\""},
        {"str", "7", "\"7\""},       {"yes", "[\n1,\t{} ]", "[1,{}]"},
        {"yes", "", "\"\""},         {"yes", " ", "\" \""},
    };
    const glim_tool tool = {.name = GLIM_STR("f"), .json = glim_str_of(schema_text)};
    glim_buf raw, got, want;
    glim_buf_init(&raw, SIZE_MAX);
    glim_buf_init(&got, SIZE_MAX);
    glim_buf_init(&want, SIZE_MAX);
    for (size_t i = 0; i < GLIM_COUNT(values); i++) {
        glim_buf_clear(&raw);
        glim_buf_clear(&want);
        glim_buf_addf(&raw, "<tool_call>f" K("%s") V("%s") "</tool_call>", values[i].key,
                      values[i].raw);
        glim_buf_addf(&want, "\"arguments\":{\"%s\":%s}}", values[i].key, values[i].want);
        job j = {C, &tool, 1, MAX, glim_buf_view(&raw)};
        run(&j, 3, 3, &got);
        if (!strstr(got.p, want.p)) fail_msg("want %s\n got %s", want.p, got.p);
    }
    glim_buf_deinit(&raw);
    glim_buf_deinit(&got);
    glim_buf_deinit(&want);
}

/* References that double at each step: 2^30 ways through without a limit. */
static void schema_bomb(void **state)
{
    (void)state;
    glim_buf s, got;
    glim_buf_init(&s, SIZE_MAX);
    glim_buf_init(&got, SIZE_MAX);
    glim_buf_adds(
        &s, "{\"name\":\"f\",\"parameters\":{\"properties\":{\"k\":{\"$ref\":\"#/d/0\"}},\"d\":{");
    for (int i = 0; i < 30; i++)
        glim_buf_addf(&s, "%s\"%d\":{\"anyOf\":[{\"$ref\":\"#/d/%d\"},{\"$ref\":\"#/d/%d\"}]}",
                      i ? "," : "", i, i + 1, i + 1);
    glim_buf_adds(&s, "}}}");
    const glim_tool tool = {.name = GLIM_STR("f"), .json = glim_buf_view(&s)};
    job j = {C, &tool, 1, MAX, GLIM_STR("<tool_call>f" K("k") V("5") "</tool_call>")};
    double from = seconds();
    run(&j, SIZE_MAX, SIZE_MAX, &got);
    assert_true(seconds() - from < 1);
    assert_non_null(strstr(got.p, "{\"k\":5}"));
    glim_buf_deinit(&s);
    glim_buf_deinit(&got);
}

static void bad_tools(void **state)
{
    (void)state;
    const glim_tool tools[] = {{.name = GLIM_STR("f"), .json = GLIM_STR("{\"name\":\"f\"}")},
                               {.name = GLIM_STR("g"), .json = GLIM_STR("{\"name\":")}};
    glim_parser *p;
    glim_error e = {0};
    trace t = {.stop_after = -1};
    assert_int_equal(glim_parser_new(C, tools, 2, MAX, note_event, &t, &p, &e), GLIM_E_INPUT);
    assert_null(p);
    assert_non_null(strstr(e.msg, "tools[1]"));
    glim_parser_free(NULL);
}

/* ---- limits and hostile outputs -------------------------------------------------------------- */

static void limits(void **state)
{
    (void)state;
    static const struct {
        glim_parse_start start;
        size_t max;
        const char *raw, *reasoning, *content;
    } cases[] = {
        {C, 0, "a " NOW, "", "a " NOW},
        {C, 40, "x <tool_call>set" K("s") V("a</think>" NOW) "</tool_call></think>", "",
         "x <tool_call>set" K("s") V("a</think>" NOW) "</tool_call></think>"},
        {R, 40, "x <tool_call>set" K("s") V("aaaaaaaaaaaaa" NOW) "</think>\nb</think>" NOW,
         "x <tool_call>set" K("s") V("aaaaaaaaaaaaa" NOW), "b</think>" NOW},
        {R, 4, "x        \n</think>b", "x        \n", "b"},
    };
    const glim_json *list = parse_json(glim_str_of(tools_text));
    glim_buf got;
    glim_buf_init(&got, SIZE_MAX);
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        job j = {cases[i].start, tools_of(list), 2, cases[i].max, glim_str_of(cases[i].raw)};
        run_all_cuts(&j, &got);
        const glim_json *v = parse_json(glim_buf_view(&got));
        glim_str reasoning = glim_json_get(v, "reasoning")->text;
        if (i != 3) assert_true(glim_str_is(reasoning, cases[i].reasoning));
        assert_true(glim_str_is(glim_json_get(v, "content")->text, cases[i].content));
        assert_int_equal(glim_json_get(v, "tool_calls")->n_child, 0);
    }
    glim_buf_deinit(&got);
}

/* A megabyte of each must pass in a moment, however it is cut: time grows with the length only. */
static void hostile(void **state)
{
    (void)state;
    static const struct {
        const char *head, *unit;
    } cases[] = {
        {"", "<tool_call>"},
        {"", "<tool_call>f<arg_key>"},
        {"", "<tool_call>f" K("k") "<arg_value>"},
        {"<tool_call>f" K("k"), "</arg_value>x"},
        {"<tool_call>f" K("k"), "</arg_value> <"},
        {"<tool_call>f" K("k"), "</arg_value></arg_value>"},
        {"<tool_call>f", K("k") V("v")},
        {"<tool_call>f", K("k") "<arg_value>{</arg_value>"},
        {"<tool_call>f" K("k") "<arg_value>", "["},
        {"<tool_call>", " "},
        {"<tool_call>f<arg_key>", " "},
        {"", "</think>"},
        {"", "<"},
        {"", "</"},
        {"", "\n"},
        {"", "<think>"},
        {"", NOW},
        {"", "<tool_call>f" K("k") V("[1,2]") "</tool_call>"},
    };
    const glim_tool tool = {.name = GLIM_STR("f"), .json = GLIM_STR("{\"name\":\"f\"}")};
    glim_buf raw, got, other;
    glim_buf_init(&raw, SIZE_MAX);
    glim_buf_init(&got, SIZE_MAX);
    glim_buf_init(&other, SIZE_MAX);
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        glim_buf_clear(&raw);
        glim_buf_adds(&raw, cases[i].head);
        while (raw.n < 1 << 20)
            glim_buf_adds(&raw, cases[i].unit);
        glim_mark mark = glim_arena_mark(arena);
        job j = {(glim_parse_start)(i % 3), &tool, 1, MAX, glim_buf_view(&raw)};
        double from = seconds();
        run(&j, SIZE_MAX, SIZE_MAX, &got);
        run(&j, 777, 777, &other);
        double took = seconds() - from;
        if (took > 6) fail_msg("case %zu: %.1f s", i, took);
        assert_true(glim_str_eq(glim_buf_view(&got), glim_buf_view(&other)));
        glim_arena_rewind(arena, mark);
    }
    glim_buf_deinit(&raw);
    glim_buf_deinit(&got);
    glim_buf_deinit(&other);
}

/* Many different keys in one call, many functions, many properties. */
static void crowds(void **state)
{
    (void)state;
    glim_buf raw, schema, got;
    glim_buf_init(&raw, SIZE_MAX);
    glim_buf_init(&schema, SIZE_MAX);
    glim_buf_init(&got, SIZE_MAX);
    enum { N = 20000 };
    glim_buf_adds(&schema, "{\"name\":\"f\",\"parameters\":{\"properties\":{");
    glim_buf_adds(&raw, "<tool_call>f");
    for (int i = 0; i < N; i++) {
        glim_buf_addf(&schema, "%s\"k%d\":{\"type\":\"string\"}", i ? "," : "", i);
        glim_buf_addf(&raw, K("k%d") V("1"), i);
    }
    glim_buf_adds(&schema, "}}}");
    glim_buf_adds(&raw, K("k0") V("2") "</tool_call>");
    const glim_tool tool = {.name = GLIM_STR("f"), .json = glim_buf_view(&schema)};
    job j = {C, &tool, 1, MAX, glim_buf_view(&raw)};
    double from = seconds();
    run(&j, SIZE_MAX, SIZE_MAX, &got);
    assert_true(seconds() - from < 6);
    assert_non_null(strstr(got.p, "{\"k0\":\"2\",\"k1\":\"1\","));
    glim_buf_deinit(&raw);
    glim_buf_deinit(&schema);
    glim_buf_deinit(&got);
}

/* Pieces at random: every cut gives the same, and text outside of calls is not lost. */
static void random_outputs(void **state)
{
    (void)state;
    static const char *const units[] = {"<tool_call>",
                                        "</tool_call>",
                                        "<arg_key>",
                                        "</arg_key>",
                                        "<arg_value>",
                                        "</arg_value>",
                                        "<think>",
                                        "</think>",
                                        "now",
                                        "set",
                                        "n",
                                        "s",
                                        "1",
                                        " ",
                                        "\n",
                                        "<",
                                        "</",
                                        "<tool",
                                        "\xe5\xa4\xa9",
                                        "</arg_",
                                        "{\"a\": 1}",
                                        K("n") V("1"),
                                        NOW,
                                        "<tool_call>set",
                                        "\xf0\x9f\x98",
                                        "x"};
    const glim_json *list = parse_json(glim_str_of(tools_text));
    const glim_tool *tools = tools_of(list);
    glim_rng rng;
    glim_buf raw, got, other;
    glim_rng_seed(&rng, 20240711);
    glim_buf_init(&raw, SIZE_MAX);
    glim_buf_init(&got, SIZE_MAX);
    glim_buf_init(&other, SIZE_MAX);
    for (int round = 0; round < 4000; round++) {
        glim_mark mark = glim_arena_mark(arena);
        size_t n = 1 + glim_rng_u64(&rng) % 14;
        glim_buf_clear(&raw);
        for (size_t i = 0; i < n; i++)
            glim_buf_adds(&raw, units[glim_rng_u64(&rng) % GLIM_COUNT(units)]);
        job j = {(glim_parse_start)(glim_rng_u64(&rng) % 3), tools, 2,
                 glim_rng_u64(&rng) % 8 ? MAX : glim_rng_u64(&rng) % 60, glim_buf_view(&raw)};
        run(&j, SIZE_MAX, SIZE_MAX, &got);
        run(&j, 1, 1, &other);
        assert_string_equal(other.p, got.p);
        size_t cut = glim_rng_u64(&rng) % (raw.n + 1), chunk = 1 + glim_rng_u64(&rng) % 9;
        run(&j, cut ? cut : 1, chunk, &other);
        assert_string_equal(other.p, got.p);
        glim_arena_rewind(arena, mark);
    }
    glim_buf_deinit(&raw);
    glim_buf_deinit(&got);
    glim_buf_deinit(&other);
}

static bool count_event(void *user, const glim_event *ev)
{
    *(size_t *)user += ev->text.n;
    return true;
}

static void no_memory(void **state)
{
    (void)state;
    const glim_json *list = parse_json(glim_str_of(tools_text));
    const glim_tool *tools = tools_of(list);
    glim_str raw = GLIM_STR("t\n</think>a \n<tool_call>set" K("s") V("a") K("n") V("[1, 2]") K("s")
                                V("b") "</tool_call> x" NOW "<tool_call>set<arg_key>n\xff");
    int i = 0;
    for (glim_err rc = GLIM_E_NOMEM; rc; i++) {
        fail_nth f;
        glim_parser *p = NULL;
        glim_error e = {0};
        size_t seen = 0;
        fail_nth_begin(&f, i);
        rc = glim_parser_new(R, tools, 2, MAX, count_event, &seen, &p, &e);
        for (size_t at = 0; at < raw.n && !rc; at += 7)
            rc = glim_parser_feed(p, glim_str_sub(raw, at, GLIM_MIN(at + 7, raw.n)), &e);
        if (!rc) rc = glim_parser_finish(p, &e);
        fail_nth_end();
        glim_parser_free(p);
        if (rc) assert_int_equal(rc, GLIM_E_NOMEM);
        if (rc) assert_int_equal(e.code, GLIM_E_NOMEM);
        assert_true(i < 2000);
    }
    assert_true(i > 10);
    for (i = 0;; i++) {
        fail_nth f;
        glim_parsed r;
        glim_event ev = {.kind = GLIM_EV_CALL_BEGIN, .name = GLIM_STR("f")};
        bool ok = true;
        glim_parsed_init(&r, MAX);
        fail_nth_begin(&f, i);
        for (ev.i_call = 0; ev.i_call < 9 && ok; ev.i_call++)
            ok = glim_parsed_event(&r, &ev);
        fail_nth_end();
        assert_int_equal(r.err, ok ? GLIM_OK : GLIM_E_NOMEM);
        glim_parsed_deinit(&r);
        if (ok) break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(goldens),         cmocka_unit_test(own_rows),
        cmocka_unit_test(name_lengths),    cmocka_unit_test(early),
        cmocka_unit_test(thought_is_held), cmocka_unit_test(cancel),
        cmocka_unit_test(schemas),         cmocka_unit_test(schema_bomb),
        cmocka_unit_test(bad_tools),       cmocka_unit_test(limits),
        cmocka_unit_test(hostile),         cmocka_unit_test(crowds),
        cmocka_unit_test(random_outputs),  cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
