/* SPDX-License-Identifier: MIT
 * test_bpe.c - merging against a naive twin, special tokens and plain spans, damaged vocabularies.
 */
#include "golden.h"

#include "failnth.h"
#include "text/tok_priv.h"
#include "tiny_tok.h"

static const char *const merges[] = {"h e", "l l", "he ll",   "hell o", "a a", "aa a", "b a",
                                     "x y", "y x", "Ġ hello", "Ġ Ġ",    "1 2", "ä ½",  "ä½ ł"};
static const char *const specials[] = {"C<|user|>", "C<|us",     "U<think>",       "U</think>",
                                       "C[gMASK]",  "U/nothink", "C<|user|><|x|>", "Cü"};

static glim_tokenizer *make(bool ignore_merges)
{
    glim_arena *a = glim_arena_new(1 << 20);
    glim_tokenizer_spec s;
    glim_tokenizer *t;
    glim_error e = {0};
    assert_true(tiny_spec(a, merges, GLIM_COUNT(merges), specials, GLIM_COUNT(specials), &s));
    s.ignore_merges = ignore_merges;
    if (glim_tokenizer_new(&s, &t, &e)) fail_msg("%s", e.msg);
    glim_arena_free(a);
    return t;
}

/* The tokens' bytes joined with '|'; special ones in braces. */
static void expect(const glim_tokenizer *t, const char *text, const glim_span *plain,
                   size_t n_plain, bool all_plain, const char *want)
{
    glim_ids ids;
    glim_buf b;
    glim_error e = {0};
    glim_ids_init(&ids, 10000);
    glim_buf_init(&b, 1 << 16);
    if (glim_tokenize_spans(t, glim_str_of(text), plain, n_plain, all_plain, &ids, &e))
        fail_msg("%s: %s", text, e.msg);
    for (size_t i = 0; i < ids.n; i++) {
        bool special = glim_token_get_attr(t, ids.p[i]) != GLIM_TOKEN_NORMAL;
        if (i) glim_buf_addc(&b, '|');
        if (special) glim_buf_addc(&b, '{');
        glim_buf_addv(&b, glim_token_bytes(t, ids.p[i]));
        if (special) glim_buf_addc(&b, '}');
    }
    if (!glim_str_is(glim_buf_view(&b), want))
        fail_msg("%s gives %s, should be %s", text, b.p ? b.p : "", want);
    glim_buf_deinit(&b);
    glim_ids_deinit(&ids);
}

static void merging(void **state)
{
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"", ""},
        {"h", "h"},
        {"hello", "hello"},
        {"hello hello", "hello| hello"},
        {"hell", "hell"},
        {"hel", "he|l"},
        {"helllo", "hell|l|o"}, /* ties: the leftmost pair */
        {"aaaaa", "aa|aaa"},
        {"baa", "b|aa"}, /* the lower rank wins, not the left one */
        {"xyx", "xy|x"},
        {"12", "12"},
        {"   a", "  | |a"},
        {"你", "你"},
        {"好", "\xE5|\xA5|\xBD"},
    };
    (void)state;
    glim_tokenizer *t = make(false);
    for (size_t i = 0; i < GLIM_COUNT(cases); i++)
        expect(t, cases[i].text, NULL, 0, true, cases[i].want);
    glim_tokenizer_free(t);
}

/* "ello" is in the vocabulary, but no merges lead there from its bytes. */
static void ignoring_merges(void **state)
{
    glim_arena *a = glim_arena_new(1 << 20);
    glim_tokenizer_spec s;
    (void)state;
    assert_true(tiny_spec(a, merges, GLIM_COUNT(merges), specials, GLIM_COUNT(specials), &s));
    s.text[s.n_token - 1] = GLIM_STR("ello"); /* in place of the last special token */
    s.attr[s.n_token - 1] = GLIM_TOKEN_NORMAL;
    for (int ignore = 0; ignore < 2; ignore++) {
        glim_tokenizer *t;
        glim_error e = {0};
        s.ignore_merges = ignore;
        if (glim_tokenizer_new(&s, &t, &e)) fail_msg("%s", e.msg);
        expect(t, "ello", NULL, 0, true, ignore ? "ello" : "e|ll|o");
        expect(t, "hello", NULL, 0, true, "hello");
        /* A special token's text is no word of the vocabulary, whatever the rule. */
        expect(t, "/nothink", NULL, 0, true, "/|n|o|t|h|i|n|k");
        glim_tokenizer_free(t);
    }
    glim_arena_free(a);
}

static void special_tokens(void **state)
{
    (void)state;
    glim_tokenizer *t = make(false);
    expect(t, "<|user|>hello", NULL, 0, false, "{<|user|>}|hello");
    expect(t, "<|user|><|x|>a", NULL, 0, false, "{<|user|><|x|>}|a"); /* the longest */
    expect(t, "<|user|><|x", NULL, 0, false, "{<|user|>}|<|||x");
    expect(t, "<|usx", NULL, 0, false, "{<|us}|x");
    expect(t, "<|u", NULL, 0, false, "<|||u");
    expect(t, "a/nothinkü", NULL, 0, false, "a|{/nothink}|{ü}");
    expect(t, "<<think></think>", NULL, 0, false, "<|{<think>}|{</think>}");
    expect(t, "[gMASK]", NULL, 0, true, "[|g|M|A|S|K|]");
    /* Splitting begins anew behind a special token, and a plain span is no border for it. */
    glim_span one = {8, 13};
    expect(t, "<|user|>hello", &one, 1, false, "{<|user|>}|hello");
    glim_span half = {2, 4};
    expect(t, "hello", &half, 1, false, "hello");
    glim_tokenizer_free(t);
}

static void plain_spans(void **state)
{
    static const char text[] = "<think><think><think>";
    (void)state;
    glim_tokenizer *t = make(false);
    glim_span middle = {7, 14};
    expect(t, text, &middle, 1, false, "{<think>}|<|t|h|i|n|k|>|{<think>}");
    /* One byte of a match in a span is enough, at either end. */
    for (size_t i = 0; i < 21; i++) {
        glim_span byte = {i, i + 1};
        const char *want[] = {"<|t|h|i|n|k|>|{<think>}|{<think>}",
                              "{<think>}|<|t|h|i|n|k|>|{<think>}",
                              "{<think>}|{<think>}|<|t|h|i|n|k|>"};
        expect(t, text, &byte, 1, false, want[i / 7]);
    }
    /* Where the longest touches a span, a shorter one may still stand. */
    glim_span tail = {8, 13};
    expect(t, "<|user|><|x|>", &tail, 1, false, "{<|user|>}|<|||x|||>");
    glim_span tail2 = {5, 6};
    expect(t, "<|user|>", &tail2, 1, false, "{<|us}|e|r|||>");
    /* Empty spans keep a match from being made of two parts, and matter nowhere else. */
    glim_span empty[] = {{0, 0}, {7, 7}, {10, 10}, {21, 21}};
    expect(t, text, empty, 4, false, "{<think>}|<|t|h|i|n|k|>|{<think>}");
    glim_span two[] = {{0, 7}, {7, 14}};
    expect(t, text, two, 2, false, "<|t|h|i|n|k|>|<|t|h|i|n|k|>|{<think>}");
    glim_span beyond = {14, 1000};
    expect(t, text, &beyond, 1, false, "{<think>}|{<think>}|<|t|h|i|n|k|>");
    glim_tokenizer_free(t);
}

/* ---- against a naive twin -------------------------------------------------------------------- */

typedef struct naive {
    int32_t id[400];
    size_t n;
} naive;

static void naive_merge(const glim_tokenizer *t, naive *v)
{
    for (;;) {
        size_t best = v->n;
        const struct glim_mergeslot *m = NULL;
        for (size_t i = 0; i + 1 < v->n; i++) {
            const struct glim_mergeslot *k = glim_mergemap_get(&t->merge, v->id[i], v->id[i + 1]);
            if (k && (!m || k->rank < m->rank)) {
                m = k;
                best = i;
            }
        }
        if (!m) return;
        v->id[best] = m->id;
        memmove(v->id + best + 1, v->id + best + 2, (v->n - best - 2) * sizeof v->id[0]);
        v->n--;
    }
}

/* Random merges over three letters, pieces from one byte to beyond the border of the two ways. */
static void random_merges(void **state)
{
    glim_rng rng;
    (void)state;
    glim_rng_seed(&rng, 99);
    for (int round = 0; round < 60; round++) {
        char text[40][64];
        const char *list[40];
        char words[43][64] = {"a", "b", "c"};
        size_t n_word = 3, n_merge = 0;
        while (n_merge < 40) {
            const char *x = words[glim_rng_u64(&rng) % n_word],
                       *y = words[glim_rng_u64(&rng) % n_word];
            char product[64];
            (void)snprintf(product, sizeof product, "%s%s", x, y);
            if (strlen(product) > 12) continue;
            (void)snprintf(text[n_merge], sizeof text[0], "%s %s", x, y);
            list[n_merge] = text[n_merge];
            n_merge++;
            bool known = false;
            for (size_t i = 0; i < n_word; i++)
                known = known || strcmp(words[i], product) == 0;
            if (!known) (void)snprintf(words[n_word++], sizeof words[0], "%s", product);
        }
        glim_arena *a = glim_arena_new(1 << 20);
        glim_tokenizer_spec s;
        glim_tokenizer *t;
        glim_error e = {0};
        assert_true(tiny_spec(a, list, n_merge, NULL, 0, &s));
        if (glim_tokenizer_new(&s, &t, &e)) fail_msg("%s", e.msg);
        for (int k = 0; k < 60; k++) {
            char in[400];
            naive v = {.n = k < 40 ? 1 + glim_rng_u64(&rng) % 70 : 300 + glim_rng_u64(&rng) % 100};
            for (size_t i = 0; i < v.n; i++) {
                in[i] = "abc"[glim_rng_u64(&rng) % 3];
                v.id[i] = t->byte_id[(unsigned char)in[i]];
            }
            glim_ids ids;
            glim_ids_init(&ids, 1000);
            assert_int_equal(glim_tokenize_spans(t, (glim_str){in, v.n}, NULL, 0, true, &ids, &e),
                             GLIM_OK);
            naive_merge(t, &v);
            assert_int_equal(ids.n, v.n);
            assert_memory_equal(ids.p, v.id, v.n * sizeof v.id[0]);
            glim_ids_deinit(&ids);
        }
        glim_tokenizer_free(t);
        glim_arena_free(a);
    }
}

/* One word of a megabyte: n log n, or the test takes hours. */
static void long_words(void **state)
{
    static const char *const units[] = {"a", "hello", " ", "你", "xy"};
    (void)state;
    glim_tokenizer *t = make(false);
    for (size_t k = 0; k < GLIM_COUNT(units); k++) {
        size_t n = 0, n_unit = strlen(units[k]);
        char *text = malloc((1 << 20) + 8);
        assert_non_null(text);
        for (; n < 1 << 20; n += n_unit)
            memcpy(text + n, units[k], n_unit);
        glim_ids ids;
        glim_error e = {0};
        glim_ids_init(&ids, 1 << 20);
        assert_int_equal(glim_tokenize_spans(t, (glim_str){text, n}, NULL, 0, false, &ids, &e), 0);
        size_t sum = 0;
        for (size_t i = 0; i < ids.n; i++)
            sum += glim_token_bytes(t, ids.p[i]).n;
        assert_int_equal(sum, n);
        glim_ids_deinit(&ids);
        free(text);
    }
    glim_tokenizer_free(t);
}

/* ---- errors ---------------------------------------------------------------------------------- */

static void wrong_text(void **state)
{
    (void)state;
    glim_tokenizer *t = make(false);
    glim_ids ids;
    glim_error e = {0};
    glim_ids_init(&ids, 5);
    assert_int_equal(glim_tokenize_spans(t, GLIM_STR("hel"), NULL, 0, false, &ids, &e), GLIM_OK);
    assert_int_equal(ids.n, 2);
    assert_int_equal(glim_tokenize_spans(t, GLIM_STR("ab\xFFz"), NULL, 0, false, &ids, &e),
                     GLIM_E_INPUT);
    assert_int_equal(e.offset, 2);
    assert_int_equal(glim_tokenize_spans(t, GLIM_STR("a b c d"), NULL, 0, false, &ids, &e),
                     GLIM_E_LIMIT);
    assert_non_null(strstr(e.msg, "5 tokens"));
    assert_int_equal(ids.n, 2); /* as before */
    assert_int_equal(glim_tokenize_spans(t, GLIM_STR("abc"), NULL, 0, false, &ids, &e), GLIM_OK);
    assert_int_equal(ids.n, 5);
    assert_int_equal(glim_tokenize_spans(t, GLIM_STR(""), NULL, 0, false, &ids, &e), GLIM_OK);
    glim_ids_deinit(&ids);
    glim_tokenizer_free(t);
}

typedef struct damage {
    const char *what;
    void (*apply)(glim_tokenizer_spec *s);
    glim_err rc;
    const char *message;
} damage;

static void same_text(glim_tokenizer_spec *s)
{
    s->text[260] = s->text[65];
}
static void same_special(glim_tokenizer_spec *s)
{
    s->text[s->n_token - 1] = s->text[s->n_token - 2];
}
static void no_byte(glim_tokenizer_spec *s)
{
    s->text[0x41].p = NULL;
    s->text[0x41].n = 0;
}
static void no_rare_byte(glim_tokenizer_spec *s)
{
    s->text[0xC0].p = NULL;
    s->text[0xC0].n = 0;
}
static void no_side(glim_tokenizer_spec *s)
{
    s->merges[3].b = GLIM_STR("oops");
}
static void raw_side(glim_tokenizer_spec *s)
{
    s->merges[3].b = GLIM_STR("\xE4\xBD\xA0");
}
static void no_product(glim_tokenizer_spec *s)
{
    s->merges[5].b = GLIM_STR("z");
}
static void special_product(glim_tokenizer_spec *s)
{
    s->attr[256] = GLIM_TOKEN_USER;
}
static void no_tokens(glim_tokenizer_spec *s)
{
    s->n_token = 0;
}
static void odd_type(glim_tokenizer_spec *s)
{
    s->attr[7] = 9;
}
static void bad_special(glim_tokenizer_spec *s)
{
    s->text[s->n_token - 1] = GLIM_STR("\xFF");
}
static void nfc(glim_tokenizer_spec *s)
{
    s->nfc = true;
}
static void split(glim_tokenizer_spec *s)
{
    s->split[0] = GLIM_STR("\\w+");
}
static void hole(glim_tokenizer_spec *s)
{
    s->text[s->n_token - 1] = (glim_str){NULL, 0};
}
static void empty_special(glim_tokenizer_spec *s)
{
    s->text[s->n_token - 1] = GLIM_STR("");
}
static void raw_normal(glim_tokenizer_spec *s)
{
    s->text[s->n_token - 1] = GLIM_STR("\xE4\xBD\xA0");
    s->attr[s->n_token - 1] = GLIM_TOKEN_NORMAL;
}

static void damaged(void **state)
{
    static const damage cases[] = {
        {"same text", same_text, GLIM_E_FORMAT, "tokens 65 and 260 have the same text"},
        {"same special", same_special, GLIM_E_FORMAT, "have the same text"},
        {"no byte", no_byte, GLIM_E_FORMAT, "byte 0x41"},
        {"a byte UTF-8 never has", no_rare_byte, GLIM_OK, NULL},
        {"side", no_side, GLIM_E_FORMAT, "merge 3 joins \"oops\""},
        {"side outside the alphabet", raw_side, GLIM_E_FORMAT, "merge 3 joins"},
        {"product", no_product, GLIM_E_FORMAT, "merge 5 makes"},
        {"special product", special_product, GLIM_E_FORMAT, "merge 0 makes"},
        {"no tokens", no_tokens, GLIM_E_FORMAT, "no tokens"},
        {"type", odd_type, GLIM_E_FORMAT, "unknown type 9"},
        {"bad special", bad_special, GLIM_E_FORMAT, "not valid UTF-8"},
        {"nfc", nfc, GLIM_E_UNSUPPORTED, "NFC"},
        {"split", split, GLIM_E_UNSUPPORTED, "\\w"},
        {"hole", hole, GLIM_OK, NULL},
        {"empty special", empty_special, GLIM_OK, NULL},
        {"raw normal", raw_normal, GLIM_OK, NULL},
    };
    (void)state;
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        glim_arena *a = glim_arena_new(1 << 20);
        glim_tokenizer_spec s;
        glim_tokenizer *t = NULL;
        glim_error e = {0};
        assert_true(tiny_spec(a, merges, GLIM_COUNT(merges), specials, GLIM_COUNT(specials), &s));
        cases[i].apply(&s);
        glim_err rc = glim_tokenizer_new(&s, &t, &e);
        if (rc != cases[i].rc || (rc && !strstr(e.msg, cases[i].message)))
            fail_msg("%s: %d \"%s\"", cases[i].what, (int)rc, e.msg);
        /* What plain text gives does not depend on tokens outside of the alphabet. */
        if (!rc) expect(t, "hello 你", NULL, 0, false, "hello| |你");
        glim_tokenizer_free(t);
        glim_arena_free(a);
    }
}

static void asking(void **state)
{
    glim_arena *a = glim_arena_new(1 << 20);
    glim_tokenizer_spec s;
    glim_tokenizer *t;
    glim_error e = {0};
    (void)state;
    assert_true(tiny_spec(a, merges, GLIM_COUNT(merges), specials, GLIM_COUNT(specials), &s));
    int32_t n = (int32_t)s.n_token;
    s.attr[n - 2] = GLIM_TOKEN_UNUSED;
    s.text[n - 3] = (glim_str){NULL, 0};
    if (glim_tokenizer_new(&s, &t, &e)) fail_msg("%s", e.msg);
    glim_arena_free(a); /* nothing is borrowed */
    assert_int_equal(glim_tokenizer_n_token(t), n);
    assert_true(glim_str_is(glim_token_bytes(t, 0x20), " "));
    assert_int_equal(glim_token_bytes(t, 0).n, 1);
    assert_int_equal(glim_token_bytes(t, 0).p[0], 0);
    assert_true(glim_str_is(glim_token_bytes(t, n - 1), "ü"));
    int32_t odd[] = {-1, n, INT32_MAX, INT32_MIN, n - 3};
    for (size_t i = 0; i < GLIM_COUNT(odd); i++) {
        assert_null(glim_token_bytes(t, odd[i]).p);
        assert_int_equal(glim_token_bytes(t, odd[i]).n, 0);
        assert_int_equal(glim_token_get_attr(t, odd[i]), GLIM_TOKEN_UNUSED);
    }
    assert_int_equal(glim_token_get_attr(t, 65), GLIM_TOKEN_NORMAL);
    assert_int_equal(glim_token_get_attr(t, n - 1), GLIM_TOKEN_CONTROL);
    assert_int_equal(glim_token_special(t, GLIM_STR("ü")), n - 1);
    assert_int_equal(glim_token_special(t, GLIM_STR("hello")), 259);
    assert_int_equal(glim_token_special(t, GLIM_STR(" ")), 0x20);
    assert_int_equal(glim_token_special(t, GLIM_STR("nothing")), -1);
    assert_int_equal(glim_token_special(t, GLIM_STR("")), -1);
    expect(t, "<|user|><|x|>", NULL, 0, false, "{<|user|>}|<|||x|||>"); /* an unused one is none */
    glim_tokenizer_free(t);
    glim_tokenizer_free(NULL);
}

static void lists(void **state)
{
    (void)state;
    glim_ids v;
    glim_ids_init(&v, 70);
    for (int32_t i = 0; i < 70; i++)
        assert_int_equal(glim_ids_add(&v, i), GLIM_OK);
    assert_int_equal(glim_ids_add(&v, 70), GLIM_E_LIMIT);
    assert_int_equal(v.n, 70);
    for (int32_t i = 0; i < 70; i++)
        assert_int_equal(v.p[i], i);
    glim_ids_deinit(&v);
    assert_int_equal(v.n, 0);
    glim_ids_init(&v, 0);
    assert_int_equal(glim_ids_add(&v, 0), GLIM_E_LIMIT);
    glim_ids_deinit(&v);
}

static void no_memory(void **state)
{
    glim_arena *a = glim_arena_new(1 << 20);
    glim_tokenizer_spec s;
    glim_tokenizer *t = NULL;
    char text[300];
    (void)state;
    assert_true(tiny_spec(a, merges, GLIM_COUNT(merges), specials, GLIM_COUNT(specials), &s));
    glim_err rc = GLIM_E_NOMEM;
    for (int i = 0; rc && i < 300; i++) {
        fail_nth f;
        glim_error e = {0};
        fail_nth_begin(&f, i);
        rc = glim_tokenizer_new(&s, &t, &e);
        fail_nth_end();
        if (rc) assert_int_equal(rc, GLIM_E_NOMEM);
        if (rc) assert_int_equal(e.code, GLIM_E_NOMEM);
    }
    assert_int_equal(rc, GLIM_OK);
    memset(text, 'z', sizeof text);
    glim_ids ids;
    glim_ids_init(&ids, 1000);
    rc = GLIM_E_NOMEM;
    for (int i = 0; rc && i < 100; i++) {
        fail_nth f;
        glim_error e = {0};
        fail_nth_begin(&f, i);
        rc = glim_tokenize_spans(t, (glim_str){text, sizeof text}, NULL, 0, false, &ids, &e);
        fail_nth_end();
        assert_int_equal(ids.n, rc ? 0 : 300);
        if (rc) assert_int_equal(e.code, GLIM_E_NOMEM);
    }
    assert_int_equal(rc, GLIM_OK);
    glim_ids_deinit(&ids);
    glim_tokenizer_free(t);
    glim_arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merging),        cmocka_unit_test(ignoring_merges),
        cmocka_unit_test(special_tokens), cmocka_unit_test(plain_spans),
        cmocka_unit_test(random_merges),  cmocka_unit_test(long_words),
        cmocka_unit_test(wrong_text),     cmocka_unit_test(damaged),
        cmocka_unit_test(asking),         cmocka_unit_test(lists),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests_name("text/bpe", tests, NULL, NULL);
}
