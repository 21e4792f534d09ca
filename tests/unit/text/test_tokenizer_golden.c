/* SPDX-License-Identifier: MIT
 * test_tokenizer_golden.c - ids of the reference library for every case, also when the plain and
 * the special way meet in one text; decoding gives the text back. */
#include "golden.h"

#include "text/text.h"

static glim_tokenizer *load(const char *name, char *path, size_t n_path)
{
    if (!golden_find(name, path, n_path)) return NULL;
    size_t n;
    void *p = golden_read(path, &n);
    glim_arena *a = glim_arena_new((size_t)64 << 20);
    glim_tokenizer_spec spec;
    glim_tokenizer *t = NULL;
    glim_error e = {0};
    glim_err rc = glim_tokenizer_json_read(a, (glim_str){p, n}, &spec, &e);
    free(p); /* the spec lives in the arena alone */
    if (!rc) rc = glim_tokenizer_new(&spec, &t, &e);
    if (rc) fail_msg("%s: %s", path, e.msg);
    glim_arena_free(a);
    return t;
}

static void check_ids(const char *path, size_t line, const glim_json *want, const glim_ids *ids)
{
    size_t i = 0;
    GLIM_JSON_EACH(it, want)
    {
        int64_t id;
        assert_true(glim_json_i64(it, &id));
        if (i >= ids->n || ids->p[i] != id)
            fail_msg("%s line %zu: id %zu is %d, should be %d", path, line, i,
                     i < ids->n ? (int)ids->p[i] : -1, (int)id);
        i++;
    }
    if (i != ids->n) fail_msg("%s line %zu: %zu ids, should be %zu", path, line, ids->n, i);
}

/* The ids' bytes are the text, cut into tokens anywhere. */
static void check_bytes(const glim_tokenizer *t, glim_str text, const glim_ids *ids)
{
    glim_buf b;
    glim_detok d;
    glim_buf_init(&b, 1 << 20);
    glim_detok_init(&d);
    for (size_t i = 0; i < ids->n; i++)
        assert_int_equal(glim_detok_push(&d, glim_token_bytes(t, ids->p[i]), &b), GLIM_OK);
    assert_int_equal(glim_detok_finish(&d, &b), GLIM_OK);
    assert_true(glim_str_eq(glim_buf_view(&b), text));
    glim_buf_deinit(&b);
}

/* Walks lines of {"text"|"prompt", "ids"|"prompt_ids", "special"}; returns how many. */
static size_t walk(const glim_tokenizer *t, const char *path, const char *text_key,
                   const char *ids_key, bool all_special)
{
    size_t n, line = 0;
    char *p = golden_read(path, &n);
    glim_arena *a = glim_arena_new((size_t)64 << 20);
    for (size_t at = 0; at < n;) {
        char *end = memchr(p + at, '\n', n - at);
        size_t len = end ? (size_t)(end - p) - at : n - at;
        glim_error e = {0};
        glim_json *v;
        glim_arena_reset(a);
        if (glim_json_parse(a, (glim_str){p + at, len}, &v, &e)) fail_msg("%s: %s", path, e.msg);
        at += len + 1;
        line++;
        bool special = all_special;
        (void)glim_json_bool(glim_json_get(v, "special"), &special);
        const glim_json *text = glim_json_get(v, text_key);
        assert_true(glim_json_is(text, GLIM_JSON_STRING));
        glim_ids ids;
        glim_ids_init(&ids, 1 << 20);
        if (glim_tokenize_spans(t, text->text, NULL, 0, !special, &ids, &e))
            fail_msg("%s line %zu: %s", path, line, e.msg);
        check_ids(path, line, glim_json_get(v, ids_key), &ids);
        check_bytes(t, text->text, &ids);
        if (!special) {
            /* One plain span over everything is the same thing. */
            glim_span all = {0, text->text.n};
            glim_ids again;
            glim_ids_init(&again, 1 << 20);
            assert_int_equal(glim_tokenize_spans(t, text->text, &all, 1, false, &again, &e),
                             GLIM_OK);
            check_ids(path, line, glim_json_get(v, ids_key), &again);
            glim_ids_deinit(&again);
        }
        glim_ids_deinit(&ids);
    }
    glim_arena_free(a);
    free(p);
    return line;
}

static void golden(void **state)
{
    static const char *const names[] = {"glm4", "glm4-ignore-merges", "qwen2", "deepseek-v3"};
    size_t n_case = 0;
    (void)state;
    for (size_t i = 0; i < GLIM_COUNT(names); i++) {
        char name[64], path[1024];
        (void)snprintf(name, sizeof name, "tokenizer/%s/tokenizer.json", names[i]);
        glim_tokenizer *t = load(name, path, sizeof path);
        if (!t) continue;
        (void)snprintf(name, sizeof name, "tokenizer/%s/cases.jsonl", names[i]);
        assert_true(golden_find(name, path, sizeof path));
        n_case += walk(t, path, "text", "ids", false);
        glim_tokenizer_free(t);
    }
    if (n_case == 0) skip();
    assert_true(n_case >= 246);
}

static void demo_model(void **state)
{
    char path[1024];
    (void)state;
    glim_tokenizer *t = load("../demo-model/hf/tokenizer.json", path, sizeof path);
    if (!t) skip();
    assert_int_equal(glim_tokenizer_n_token(t), 5120);
    assert_int_equal(glim_token_special(t, GLIM_STR("[gMASK]")), 5086);
    assert_int_equal(glim_token_get_attr(t, 5091), GLIM_TOKEN_CONTROL);
    assert_int_equal(glim_token_get_attr(t, 5102), GLIM_TOKEN_CONTROL); /* <|code_prefix|> */
    assert_int_equal(glim_token_get_attr(t, 5105), GLIM_TOKEN_USER);    /* <think> */
    assert_true(golden_find("../demo-model/greedy.jsonl", path, sizeof path));
    assert_true(walk(t, path, "prompt", "prompt_ids", true) > 0);
    glim_tokenizer_free(t);
}

static void tiny_models(void **state)
{
    static const char *const names[] = {"glm-lite-small",   "glm-lite-odd", "glm-lite-flash",
                                        "glm-lite-groups",  "glm4-0414",    "glm4-9b",
                                        "glm4-9b-chatglm",  "glm4-moe",     "qwen2",
                                        "deepseek-v2-lite", "deepseek-v3"};
    size_t n = 0;
    (void)state;
    for (size_t i = 0; i < GLIM_COUNT(names); i++) {
        char name[64], path[1024];
        (void)snprintf(name, sizeof name, "models/%s/tokenizer.json", names[i]);
        glim_tokenizer *t = load(name, path, sizeof path);
        if (!t) continue;
        n++;
        assert_true(glim_tokenizer_n_token(t) > 256);
        glim_tokenizer_free(t);
    }
    if (n == 0) skip();
}

/* The rule that a GGUF names is the one that tokenizer.json spells out. */
static void named_rules(void **state)
{
    static const struct {
        const char *golden, *pre;
    } cases[] = {{"glm4", "glm4"},
                 {"glm4", "chatglm-bpe"},
                 {"glm4", "llama-bpe"},
                 {"glm4", "llama3"},
                 {"qwen2", "qwen2"},
                 {"qwen2", "deepseek-r1-qwen"},
                 {"deepseek-v3", "deepseek-v3"}};
    size_t n_case = 0;
    (void)state;
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        char name[64], path[1024];
        (void)snprintf(name, sizeof name, "tokenizer/%s/tokenizer.json", cases[i].golden);
        if (!golden_find(name, path, sizeof path)) continue;
        size_t n;
        void *p = golden_read(path, &n);
        glim_arena *a = glim_arena_new((size_t)64 << 20);
        glim_tokenizer_spec spec;
        glim_tokenizer *t = NULL;
        glim_error e = {0};
        assert_int_equal(glim_tokenizer_json_read(a, (glim_str){p, n}, &spec, &e), GLIM_OK);
        assert_int_equal(glim_pretok_named(glim_str_of(cases[i].pre), &spec, &e), GLIM_OK);
        spec.ignore_merges = false; /* as the golden file has it */
        assert_int_equal(glim_tokenizer_new(&spec, &t, &e), GLIM_OK);
        (void)snprintf(name, sizeof name, "tokenizer/%s/cases.jsonl", cases[i].golden);
        assert_true(golden_find(name, path, sizeof path));
        n_case += walk(t, path, "text", "ids", false);
        glim_tokenizer_free(t);
        glim_arena_free(a);
        free(p);
    }
    if (n_case == 0) skip();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden),
        cmocka_unit_test(demo_model),
        cmocka_unit_test(tiny_models),
        cmocka_unit_test(named_rules),
    };
    return cmocka_run_group_tests_name("text/tokenizer_golden", tests, NULL, NULL);
}
