/* SPDX-License-Identifier: MIT
 * test_template.c - prompts against the models' own templates, spans of user text, recognition of
 * templates, errors, and allocations that fail. */
#include "chat_case.h"

#include "failnth.h"
#include "text/template_priv.h"

static glim_arena *arena;

static int setup(void **state)
{
    (void)state;
    arena = glim_arena_new((size_t)256 << 20);
    return arena ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    glim_arena_free(arena);
    return 0;
}

static glim_json *parse(glim_str src)
{
    glim_error e = {0};
    glim_json *v = NULL;
    if (glim_json_parse(arena, src, &v, &e)) fail_msg("%s", e.msg);
    return v;
}

/* Spans are sorted, not empty, apart from each other, inside the text and on character bounds; no
 * tag that the template writes is in one unless a user wrote it. */
static void check_spans(const glim_prompt *p)
{
    size_t at = 0;
    for (size_t i = 0; i < p->n_plain; i++) {
        glim_span s = p->plain[i];
        assert_true(s.begin < s.end && s.end <= p->text.n);
        assert_true(i == 0 || s.begin > at);
        assert_true(glim_utf8_valid(glim_str_sub(glim_buf_view(&p->text), s.begin, s.end), NULL));
        at = s.end;
    }
}

static size_t walk_goldens(const char *folder, const char *name)
{
    char file[256], path[512];
    snprintf(file, sizeof file, "template/%s/cases.jsonl", folder);
    if (!golden_find(file, path, sizeof path)) skip();
    const glim_template *t = glim_template_find(glim_str_of(name));
    assert_non_null(t);
    size_t n, count = 0, bad = 0;
    char *text = golden_read(path, &n);
    for (size_t at = 0; at < n;) {
        const char *end = memchr(text + at, '\n', n - at);
        size_t len = end ? (size_t)(end - (text + at)) : n - at;
        glim_json *c = parse((glim_str){text + at, len});
        glim_chat chat = case_chat(arena, glim_json_get(c, "request"));
        const glim_json *want = glim_json_get(c, "prompt");
        glim_prompt p;
        glim_error e = {0};
        glim_prompt_init(&p, SIZE_MAX);
        if (t->render(&chat, &p, &e)) fail_msg("case %zu: %s", count, e.msg);
        check_spans(&p);
        if (!glim_str_eq(glim_buf_view(&p.text), want->text)) {
            print_error("%s case %zu:\n got %s\nwant %.*s\n", name, count, p.text.p,
                        (int)want->text.n, want->text.p);
            bad++;
        }
        bool off = chat.think == GLIM_OFF,
             v47 = glim_str_starts(glim_str_of(name), GLIM_STR("glm-4.7"));
        assert_int_equal(p.starts_reasoning, v47 && !off);
        assert_int_equal(p.starts_auto, !v47);
        glim_prompt_deinit(&p);
        at += len + 1;
        count++;
    }
    free(text);
    assert_int_equal(bad, 0);
    return count;
}

static void goldens_47(void **state)
{
    (void)state;
    assert_true(walk_goldens("GLM-4.7-Flash", "glm-4.7-flash") >= 100);
}

static void goldens_46(void **state)
{
    (void)state;
    assert_true(walk_goldens("GLM-4.6", "glm-4.6") >= 100);
}

/* ---- cases of our own, printed by the models' templates under jinja2 3.1 --------------------- */

typedef struct row {
    const char *request, *want_47, *want_46; /* behind "[gMASK]<sop>" */
} row;

#define U(s) "{\"role\":\"user\",\"content\":\"" s "\"}"
#define A(s) "{\"role\":\"assistant\",\"content\":\"" s "\"}"
#define KEEP ",\"thinking\":{\"clear_thinking\":false}"
#define OFF ",\"thinking\":{\"type\":\"disabled\"}"

static const row rows[] = {
    {"{\"messages\":[]}", "<|assistant|><think>", "<|assistant|>"},
    {"{\"messages\":[" U("hi") "],\"add_generation_prompt\":false}", "<|user|>hi", "<|user|>\nhi"},
    {"{\"messages\":[" U("a /nothink") "," U("b") "]" OFF "}",
     "<|user|>a /nothink<|user|>b<|assistant|></think>",
     "<|user|>\na /nothink<|user|>\nb/nothink<|assistant|>\n<think></think>"},
    /* Every blank that str.strip() knows, and U+200B, which it does not. */
    {"{\"messages\":[" A("\\u001c\\u001f\\t\\u000b\\f\\r\\n\\u0085\\u00a0\\u1680\\u2000\\u200a"
                         "\\u2028\\u2029\\u202f\\u205f\\u3000x\\u200b\\u3000 ") "]}",
     "<|assistant|></think>x\xe2\x80\x8b<|assistant|><think>",
     "<|assistant|>\n<think></think>\nx\xe2\x80\x8b<|assistant|>"},
    /* Two thoughts in one content: first closing tag, last opening before it, last closing tag. */
    {"{\"messages\":[" A("a<think>b<think>\\nc\\n\\n</think>d</think>\\n e<think>f") "]}",
     "<|assistant|><think>c</think>e<think>f<|assistant|><think>",
     "<|assistant|>\n<think>c</think>\ne<think>f<|assistant|>"},
    /* A thought of blanks is a thought. */
    {"{\"messages\":[{\"role\":\"assistant\",\"reasoning_content\":\" "
     "\\n\",\"content\":\"</think>\"}]}",
     "<|assistant|><think></think></think><|assistant|><think>",
     "<|assistant|>\n<think></think>\n</think><|assistant|>"},
    {"{\"messages\":[" A("<think>\\n\\n</think>x") "," U("q") "]" KEEP "}",
     "<|assistant|></think>x<|user|>q<|assistant|><think>",
     "<|assistant|>\n<think></think>\nx<|user|>\nq<|assistant|>"},
    {"{\"messages\":[{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"function\":{"
     "\"name\":\"f\","
     "\"arguments\":{\"a\":1e400,\"b\":-0,\"c\":-0.0,\"d\":123456789012345678901234567890,\"e\":"
     "1e16,"
     "\"f\":\"<|user|>\",\"g\":{\"\\u007f\\u0001\":[\"\\u2028\",1e22,0.1,5e-324,1E5]}}}}]}]}",
     "<|assistant|></think><tool_call>f<arg_key>a</arg_key><arg_value>Infinity</arg_value>"
     "<arg_key>b</arg_key><arg_value>0</arg_value><arg_key>c</arg_key><arg_value>-0.0</arg_value>"
     "<arg_key>d</arg_key><arg_value>123456789012345678901234567890</arg_value>"
     "<arg_key>e</arg_key><arg_value>1e+16</arg_value>"
     "<arg_key>f</arg_key><arg_value><|user|></arg_value>"
     "<arg_key>g</arg_key><arg_value>{\"\x7f\\u0001\": [\"\xe2\x80\xa8\", 1e+22, 0.1, 5e-324, "
     "100000.0]}</arg_value></tool_call><|assistant|><think>",
     NULL},
    {"{\"messages\":[{\"role\":\"tool\",\"content\":\"a\"},{\"role\":\"tool\",\"content\":[{"
     "\"output\":"
     "{\"k\":null}},{\"x\":\"it's\"},\"s\",3.0]},{\"role\":\"tool\",\"content\":\"b\"}]}",
     "<|observation|><tool_response>a</tool_response>"
     "<|observation|><tool_response>{'k': None}</tool_response><tool_response>{'x': \"it's\"}"
     "</tool_response><tool_response>s</tool_response><tool_response>3.0</tool_response>"
     "<tool_response>b</tool_response><|assistant|><think>",
     "<|observation|>\n<tool_response>\na\n</tool_response>"
     "<|observation|>\n<tool_response>\n{'k': None}\n</tool_response>\n<tool_response>\n{'x': "
     "\"it's\"}"
     "\n</tool_response>\n<tool_response>\ns\n</tool_response>\n<tool_response>\n3.0\n</"
     "tool_response>"
     "\n<tool_response>\nb\n</tool_response><|assistant|>"},
};

static void check_row(const char *request, const char *want, const glim_template *t)
{
    if (!want) return;
    glim_chat chat = case_chat(arena, parse(glim_str_of(request)));
    glim_prompt p;
    glim_error e = {0};
    glim_prompt_init(&p, 1 << 20);
    assert_int_equal(t->render(&chat, &p, &e), GLIM_OK);
    assert_true(glim_str_starts(glim_buf_view(&p.text), GLIM_STR("[gMASK]<sop>")));
    assert_string_equal(p.text.p + strlen("[gMASK]<sop>"), want);
    check_spans(&p);
    glim_prompt_deinit(&p);
}

static void own_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < GLIM_COUNT(rows); i++) {
        check_row(rows[i].request, rows[i].want_47, &glim_template_glm47);
        check_row(rows[i].request, rows[i].want_46, &glim_template_glm46);
    }
}

/* What is outside of the spans is what the template wrote, and nothing else. */
static void spans(void **state)
{
    (void)state;
    const char *request =
        "{\"messages\":[{\"role\":\"system\",\"content\":\"<|user|>\"},"
        "{\"role\":\"user\",\"content\":\"\"},"
        "{\"role\":\"assistant\",\"reasoning_content\":\" </think> \",\"content\":\"X\","
        "\"tool_calls\":[{\"function\":{\"name\":\"N\",\"arguments\":{\"K\":\"V\",\"L\":[1]}}}]},"
        "{\"role\":\"tool\",\"content\":\"</tool_response>\"}],"
        "\"tools\":[{\"name\":\"<sop>\"}]}";
    static const char *const own[] = {"[gMASK]<sop>", "<|system|>\n# Tools\n\nYou may call", NULL};
    static const char *const user[] = {
        "{\"name\": \"<sop>\"}", "<|user|>", "</think>", "X", "N", "K", "V", "L", "[1]",
        "</tool_response>"};
    const glim_template *both[] = {&glim_template_glm47, &glim_template_glm46};
    for (size_t k = 0; k < 2; k++) {
        glim_chat chat = case_chat(arena, parse(glim_str_of(request)));
        glim_prompt p;
        glim_prompt_init(&p, 1 << 20);
        assert_int_equal(both[k]->render(&chat, &p, NULL), GLIM_OK);
        check_spans(&p);
        assert_int_equal(p.n_plain, GLIM_COUNT(user));
        for (size_t i = 0; i < p.n_plain; i++) {
            glim_str s = glim_str_sub(glim_buf_view(&p.text), p.plain[i].begin, p.plain[i].end);
            assert_true(glim_str_is(s, user[i]));
        }
        assert_true(
            glim_str_has_all(glim_str_sub(glim_buf_view(&p.text), 0, p.plain[0].begin), own));
        glim_prompt_deinit(&p);
    }
}

static void names(void **state)
{
    (void)state;
    assert_string_equal(glim_template_names(), "glm-4.7-flash, glm-4.6");
    assert_ptr_equal(glim_template_find(GLIM_STR("GLM-4.7-Flash")), &glim_template_glm47);
    assert_ptr_equal(glim_template_find(GLIM_STR("glm-4.7")), &glim_template_glm47);
    assert_ptr_equal(glim_template_find(GLIM_STR("GLM-4.5-Air")), &glim_template_glm46);
    assert_null(glim_template_find(GLIM_STR("glm-9")));
    assert_null(glim_template_find(GLIM_STR("")));
}

static void recognition(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        const glim_template *want;
    } files[] = {{"template/GLM-4.7-Flash.jinja", &glim_template_glm47},
                 {"template/GLM-4.6.jinja", &glim_template_glm46},
                 {"template/GLM-4-9b-chat.jinja", NULL},
                 {"template/DeepSeek-R1-Distill-Qwen.jinja", NULL},
                 {"template/DeepSeek-V2-Lite-Chat.jinja", NULL}};
    assert_null(glim_template_match(GLIM_STR("")));
    assert_null(glim_template_match(GLIM_STR("[gMASK]<sop>{{ messages }}")));
    for (size_t i = 0; i < GLIM_COUNT(files); i++) {
        char path[512];
        size_t n;
        if (!golden_find(files[i].file, path, sizeof path)) continue;
        char *text = golden_read(path, &n);
        assert_ptr_equal(glim_template_match((glim_str){text, n}), files[i].want);
        free(text);
    }
}

static void errors(void **state)
{
    (void)state;
    glim_tool_call call = {.name = GLIM_STR("f"), .arguments = GLIM_STR("[1]")};
    glim_message m = {.role = GLIM_ROLE_ASSISTANT, .calls = &call, .n_call = 1};
    glim_tool tool = {.json = GLIM_STR("{\"a\":1,}")};
    glim_chat chat = {.messages = &m, .n_message = 1};
    glim_prompt p;
    glim_error e = {0};
    glim_prompt_init(&p, 1 << 20);
    assert_int_equal(glim_template_glm47.render(&chat, &p, &e), GLIM_E_INPUT);
    assert_non_null(strstr(e.msg, "messages[0].tool_calls[0].arguments: must be a JSON object"));
    call.arguments = GLIM_STR("{");
    assert_int_equal(glim_template_glm46.render(&chat, &p, &e), GLIM_E_INPUT);
    call.arguments = GLIM_STR("");
    assert_int_equal(glim_template_glm46.render(&chat, &p, &e), GLIM_OK);
    chat.tools = &tool;
    chat.n_tool = 1;
    assert_int_equal(glim_template_glm47.render(&chat, &p, &e), GLIM_E_INPUT);
    assert_non_null(strstr(e.msg, "tools[0]"));
    glim_prompt_deinit(&p);
    chat.n_tool = 0;
    m.content = GLIM_STR("a long answer that does not fit");
    glim_prompt_init(&p, 30);
    assert_int_equal(glim_template_glm47.render(&chat, &p, &e), GLIM_E_LIMIT);
    assert_non_null(strstr(e.msg, "30 bytes"));
    glim_prompt_deinit(&p);
}

static void no_memory(void **state)
{
    (void)state;
    const char *request = "{\"messages\":[{\"role\":\"user\",\"content\":\"q\"},{\"role\":"
                          "\"assistant\",\"content\":\"\","
                          "\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":{\"a\":0.1,"
                          "\"b\":0.10000000000000000"
                          "000000000000000000000000000000000000000000000000000000000000000000000000"
                          "0000000000000000001,"
                          "\"c\":1,\"d\":2}}}]},{\"role\":\"tool\",\"content\":[{\"output\":1}]}],"
                          "\"tools\":[{\"name\":\"f\"}]}";
    glim_chat chat = case_chat(arena, parse(glim_str_of(request)));
    for (int i = 0;; i++) {
        fail_nth f;
        glim_prompt p;
        glim_error e = {0};
        glim_prompt_init(&p, 1 << 20);
        fail_nth_begin(&f, i);
        glim_err rc = glim_template_glm47.render(&chat, &p, &e);
        fail_nth_end();
        glim_prompt_deinit(&p);
        if (!rc) break;
        assert_int_equal(rc, GLIM_E_NOMEM);
        assert_int_equal(e.code, GLIM_E_NOMEM);
        assert_true(i < 1000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(goldens_47), cmocka_unit_test(goldens_46), cmocka_unit_test(own_rows),
        cmocka_unit_test(spans),      cmocka_unit_test(names),      cmocka_unit_test(recognition),
        cmocka_unit_test(errors),     cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
