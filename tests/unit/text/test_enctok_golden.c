/* SPDX-License-Identifier: MIT
 * test_enctok_golden.c - encoder tokenizers: ids of the reference libraries for every case,
 * from each file that the folder has; the model's own tokens around them; vectors' ids of the
 * encoders. */
#include "golden.h"

#include "text/text.h"

static void *read_named(const char *folder, const char *file, size_t *n)
{
    char name[128], path[1024];
    (void)snprintf(name, sizeof name, "%s/%s", folder, file);
    return golden_find(name, path, sizeof path) ? golden_read(path, n) : NULL;
}

static glim_enctok *load(const char *folder, const char *file)
{
    size_t n;
    glim_enctok *t = NULL;
    glim_error e = {0};
    glim_err rc;
    void *p = read_named(folder, file, &n);
    if (!p) return NULL;
    glim_str s = {p, n};
    if (strstr(file, ".json"))
        rc = glim_enctok_from_json(s, &t, &e);
    else if (strstr(file, ".txt"))
        rc = glim_enctok_from_vocab_txt(s, !strstr(folder, "-cased") && !strstr(folder, "ernie"),
                                        &t, &e);
    else
        rc = glim_enctok_from_spm(s, true, &t, &e);
    if (rc) fail_msg("%s/%s: %s", folder, file, e.msg);
    free(p); /* nothing is borrowed */
    return t;
}

static bool same(const glim_json *want, const glim_ids *ids)
{
    size_t i = 0;
    GLIM_JSON_EACH(it, want)
    {
        int64_t id;
        assert_true(glim_json_i64(it, &id));
        if (i >= ids->n || ids->p[i] != id) return false;
        i++;
    }
    return i == ids->n;
}

static void fail_ids(const char *what, size_t line, const char *key, const glim_ids *ids)
{
    char text[400] = "";
    for (size_t i = 0, n = 0; i < ids->n && n < sizeof text - 12; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, " %d", (int)ids->p[i]);
    fail_msg("%s line %zu: %s should not be%s", what, line, key, text);
}

static void check_case(const glim_enctok *t, const char *what, size_t line, const glim_json *v)
{
    const glim_json *text = glim_json_get(v, "text"), *fast = glim_json_get(v, "fast_ids");
    const glim_json *model = glim_json_get(v, "model_ids");
    glim_ids ids, all;
    glim_error e = {0};
    /* Of WordPiece only the fast library was asked, and that knows no text in which "[SEP]" is plain. */
    bool special = strstr(what, "wordpiece") != NULL;
    glim_ids_init(&ids, 1 << 16);
    glim_ids_init(&all, 1 << 16);
    assert_true(glim_json_is(text, GLIM_JSON_STRING));
    if (glim_enctok_encode(t, text->text, special, &ids, &e))
        fail_msg("%s line %zu: %s", what, line, e.msg);
    if (glim_enctok_wrap(t, ids.p, ids.n, &all, &e)) fail_msg("%s line %zu: %s", what, line, e.msg);
    bool as_fast = fast && same(fast, &ids);
    if (!as_fast && !same(glim_json_get(v, "ids"), &ids)) fail_ids(what, line, "ids", &ids);
    if (!as_fast && !same(model, &all)) fail_ids(what, line, "model_ids", &all);
    ids.n = 0;
    assert_int_equal(glim_enctok_encode(t, text->text, false, &ids, &e), GLIM_OK);
    for (size_t i = 0; i < ids.n; i++)
        assert_int_not_equal(glim_enctok_attr(t, ids.p[i]), GLIM_TOKEN_CONTROL);
    glim_ids_deinit(&ids);
    glim_ids_deinit(&all);
}

/* One line of JSON a case; returns how many. */
static size_t walk(const char *folder, const char *file, const glim_enctok *t, const char *what,
                   void (*fn)(const glim_enctok *, const char *, size_t, const glim_json *))
{
    size_t n, line = 0;
    char *p = read_named(folder, file, &n);
    assert_non_null(p);
    glim_arena *a = glim_arena_new((size_t)64 << 20);
    for (size_t at = 0; at < n;) {
        char *end = memchr(p + at, '\n', n - at);
        size_t len = end ? (size_t)(end - p) - at : n - at;
        glim_error e = {0};
        glim_json *v;
        glim_arena_reset(a);
        if (glim_json_parse(a, (glim_str){p + at, len}, &v, &e)) fail_msg("%s: %s", what, e.msg);
        at += len + 1;
        fn(t, what, ++line, v);
    }
    glim_arena_free(a);
    free(p);
    return line;
}

static void cases(void **state)
{
    static const struct {
        const char *folder, *file;
        size_t n_case;
    } of[] = {{"tokenizer/wordpiece-cased", "tokenizer.json", 240},
              {"tokenizer/wordpiece-cased", "vocab.txt", 240},
              {"tokenizer/wordpiece-uncased", "tokenizer.json", 240},
              {"tokenizer/wordpiece-uncased", "vocab.txt", 240},
              {"tokenizer/sp-unigram-xlmr", "tokenizer.json", 239},
              {"tokenizer/sp-unigram-xlmr", "sentencepiece.bpe.model", 239}};
    (void)state;
    for (size_t i = 0; i < GLIM_COUNT(of); i++) {
        char what[128];
        glim_enctok *t = load(of[i].folder, of[i].file);
        if (!t) fail_msg("%s/%s is missing", of[i].folder, of[i].file);
        (void)snprintf(what, sizeof what, "%s/%s", of[i].folder, of[i].file);
        assert_int_equal(walk(of[i].folder, "cases.jsonl", t, what, check_case), of[i].n_case);
        glim_enctok_free(t);
    }
}

/* Both files of a folder say the same of every token. */
static void same_tokens(void **state)
{
    static const char *const pair[][3] = {
        {"tokenizer/wordpiece-uncased", "tokenizer.json", "vocab.txt"},
        {"tokenizer/sp-unigram-xlmr", "tokenizer.json", "sentencepiece.bpe.model"}};
    (void)state;
    for (size_t k = 0; k < GLIM_COUNT(pair); k++) {
        glim_enctok *a = load(pair[k][0], pair[k][1]), *b = load(pair[k][0], pair[k][2]);
        assert_true(a && b);
        assert_int_equal(glim_enctok_n_token(a), glim_enctok_n_token(b));
        for (int32_t i = 0; (size_t)i < glim_enctok_n_token(a); i++) {
            assert_true(glim_str_eq(glim_enctok_text(a, i), glim_enctok_text(b, i)));
            assert_int_equal(glim_enctok_attr(a, i), glim_enctok_attr(b, i));
        }
        for (int r = 0; r < GLIM_ENCTOK_N_ROLE; r++)
            assert_int_equal(glim_enctok_id(a, (glim_enctok_role)r),
                             glim_enctok_id(b, (glim_enctok_role)r));
        glim_enctok_free(a);
        glim_enctok_free(b);
    }
}

static void check_pair(const glim_enctok *t, const char *what, size_t line, const glim_json *v)
{
    const glim_json *q = glim_json_get(v, "query"), *d = glim_json_get(v, "document");
    glim_ids a, b, all;
    glim_error e = {0};
    glim_ids_init(&a, 1 << 16);
    glim_ids_init(&b, 1 << 16);
    glim_ids_init(&all, 1 << 16);
    assert_true(glim_json_is(q, GLIM_JSON_STRING) && glim_json_is(d, GLIM_JSON_STRING));
    assert_int_equal(glim_enctok_encode(t, q->text, false, &a, &e), GLIM_OK);
    assert_int_equal(glim_enctok_encode(t, d->text, false, &b, &e), GLIM_OK);
    assert_int_equal(glim_enctok_pair(t, a.p, a.n, b.p, b.n, &all, NULL, &e), GLIM_OK);
    if (!same(glim_json_get(v, "ids"), &all)) fail_ids(what, line, "ids", &all);
    glim_ids_deinit(&a);
    glim_ids_deinit(&b);
    glim_ids_deinit(&all);
}

static void check_vector(const glim_enctok *t, const char *what, size_t line, const glim_json *v)
{
    const glim_json *text = glim_json_get(v, "text");
    glim_ids ids, all;
    glim_error e = {0};
    glim_ids_init(&ids, 1 << 16);
    glim_ids_init(&all, 1 << 16);
    if (!glim_json_is(text, GLIM_JSON_STRING)) return;
    assert_int_equal(glim_enctok_encode(t, text->text, false, &ids, &e), GLIM_OK);
    assert_int_equal(glim_enctok_wrap(t, ids.p, ids.n, &all, &e), GLIM_OK);
    if (!same(glim_json_get(v, "ids"), &all)) fail_ids(what, line, "ids", &all);
    glim_ids_deinit(&ids);
    glim_ids_deinit(&all);
}

/* The ids that the reference's vectors were made of; only where the folder is. */
static void encoders(void **state)
{
    static const struct {
        const char *folder, *file, *lines;
    } of[] = {{"encoders/bert", "tokenizer.json", "vectors.jsonl"},
              {"encoders/bert", "vocab.txt", "vectors.jsonl"},
              {"encoders/ernie", "tokenizer.json", "vectors.jsonl"},
              {"encoders/ernie", "vocab.txt", "vectors.jsonl"},
              {"encoders/bert-unigram", "tokenizer.json", "vectors.jsonl"},
              {"encoders/bert-unigram", "sentencepiece.bpe.model", "vectors.jsonl"},
              {"encoders/xlm-roberta", "tokenizer.json", "vectors.jsonl"},
              {"encoders/xlm-roberta", "sentencepiece.bpe.model", "vectors.jsonl"},
              {"encoders/xlm-roberta-reranker", "tokenizer.json", "pairs.jsonl"},
              {"encoders/xlm-roberta-reranker", "sentencepiece.bpe.model", "pairs.jsonl"}};
    size_t n = 0;
    (void)state;
    for (size_t i = 0; i < GLIM_COUNT(of); i++) {
        glim_enctok *t = load(of[i].folder, of[i].file);
        if (!t) continue;
        n += walk(of[i].folder, of[i].lines, t, of[i].folder,
                  strstr(of[i].lines, "pairs") ? check_pair : check_vector);
        glim_enctok_free(t);
    }
    if (n == 0) skip();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cases),
        cmocka_unit_test(same_tokens),
        cmocka_unit_test(encoders),
    };
    return cmocka_run_group_tests_name("text/enctok_golden", tests, NULL, NULL);
}
