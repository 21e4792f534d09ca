/* SPDX-License-Identifier: MIT
 * test_wordpiece.c - BERT's rules one by one, both forms of its vocabulary, its files and
 * what is refused. */
#include "golden.h"

#include "failnth.h"
#include "text/text.h"

#define MARK "\xE2\x96\x81"

static const char *const words[] = {
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]", /* 0 */
    "un",
    "##aff",
    "##able",
    "##a",
    "a", /* 5 */
    "\xE4\xBD\xA0",
    "!",
    "i",
    "##\xCC\x87",
    "\xC3\xA9", /* 10 */
    "e",
    "##\xCF\x83",
    "\xCF\x83",
    "##e",
    ";", /* 15 */
    "##1",
    "\xE1\x84\x80",
    "##\xE1\x85\xA1", /* 20; jamo */
};

static glim_enctok_spec spec_of(glim_str text[GLIM_COUNT(words)])
{
    glim_enctok_spec s;
    glim_enctok_spec_init(&s, GLIM_ENCTOK_WORDPIECE);
    for (size_t i = 0; i < GLIM_COUNT(words); i++)
        text[i] = glim_str_of(words[i]);
    s.n_token = GLIM_COUNT(words);
    s.text = text;
    s.pad = 0;
    s.unk = 1;
    s.cls = 2;
    s.sep = 3;
    s.mask = 4;
    return s;
}

static glim_enctok *make(const glim_enctok_spec *s)
{
    glim_enctok *t = NULL;
    glim_error e = {0};
    if (glim_enctok_new(s, &t, &e)) fail_msg("%s", e.msg);
    return t;
}

static void check(const glim_enctok *t, const char *text, bool special, const int *want, size_t n)
{
    glim_ids ids;
    glim_error e = {0};
    glim_ids_init(&ids, 1000);
    if (glim_enctok_encode(t, glim_str_of(text), special, &ids, &e))
        fail_msg("%s: %s", text, e.msg);
    for (size_t i = 0; i < GLIM_MIN(n, ids.n); i++)
        if (ids.p[i] != want[i]) fail_msg("%s: id %zu is %d, not %d", text, i, ids.p[i], want[i]);
    if (ids.n != n) fail_msg("%s: %zu ids, not %zu", text, ids.n, n);
    glim_ids_deinit(&ids);
}
#define IDS(...) (const int[]){__VA_ARGS__}, sizeof((const int[]){__VA_ARGS__}) / sizeof(int)

static void uncased(void **state)
{
    glim_str text[GLIM_COUNT(words)];
    glim_enctok_spec s = spec_of(text);
    glim_enctok *t = make(&s);
    (void)state;
    check(t, "UNaffable", false, IDS(5, 6, 7));
    check(t, "", false, NULL, 0);
    check(t, " \t\r\n\xE3\x80\x80 ", false, NULL, 0);
    check(t, "unaffx", false, IDS(1));     /* one part fails: all of the word */
    check(t, "a!a", false, IDS(9, 11, 9)); /* punctuation stands alone */
    check(t,
          "a\xE4\xBD\xA0"
          "a",
          false, IDS(9, 10, 9));                      /* so do ideographs */
    check(t, "A\xCC\x80", false, IDS(9));             /* accents go ... */
    check(t, "\xC3\x89", false, IDS(15));             /* ... also out of one character */
    check(t, "\xC4\xB0", false, IDS(12));             /* I with a dot */
    check(t, "a\xCE\xA3", false, IDS(9, 16));         /* also at the end of a word */
    check(t, "\xCE\xA3\xCE\xA3", false, IDS(17, 16)); /* and no other */
    check(t,
          "a\xC2\xAD\x01\xEF\xBF\xBD\xEE\x80\x80"
          "a",
          false, IDS(9, 8)); /* dropped */
    check(t,
          "a\x0B"
          "a",
          false, IDS(9, 8)); /* a control first, a blank second */
    check(t,
          "a\xC2\xA0"
          "a",
          false, IDS(9, 9));
    check(t, "\xCD\xBE", false, IDS(19));         /* a semicolon once decomposed */
    check(t, "\xEA\xB0\x80", false, IDS(21, 22)); /* Hangul comes apart */
    check(t, "##a", false, IDS(1, 1, 9));
    glim_enctok_free(t);
}

static void switches(void **state)
{
    glim_str text[GLIM_COUNT(words)];
    glim_enctok_spec s = spec_of(text);
    (void)state;
    s.strip_accents = false;
    glim_enctok *t = make(&s);
    check(t, "\xC3\x89", false, IDS(14));
    check(t, "\xC4\xB0", false, IDS(12, 13)); /* two characters in lower case */
    glim_enctok_free(t);
    s.lower = false;
    t = make(&s);
    check(t, "UN", false, IDS(1));
    check(t, "un", false, IDS(5));
    glim_enctok_free(t);
    s.chinese = false;
    t = make(&s);
    check(t,
          "a\xE4\xBD\xA0"
          "a",
          false, IDS(1));
    glim_enctok_free(t);
    s.clean = false;
    t = make(&s);
    check(t,
          "a\x01"
          "a",
          false, IDS(1));
    check(t,
          "a\x1C"
          "a",
          false, IDS(1)); /* no blank here */
    check(t,
          "a\xC2\x85"
          "a",
          false, IDS(9, 9));
    glim_enctok_free(t);
}

static void special_text(void **state)
{
    glim_str text[GLIM_COUNT(words)];
    glim_enctok_spec s = spec_of(text);
    glim_enctok *t = make(&s);
    (void)state;
    check(t, "un[SEP]able a", true, IDS(5, 3, 1, 9)); /* what follows begins a word */
    check(t, "a [MASK] [UNK]", true, IDS(9, 4, 1));
    check(t, "[CLS]", false, IDS(1, 1, 1));
    check(t, "[cls]", true, IDS(1, 1, 1)); /* in the text as it is, not as it becomes */
    glim_enctok_free(t);
}

static void long_words(void **state)
{
    glim_str text[GLIM_COUNT(words)];
    glim_enctok_spec s = spec_of(text);
    glim_enctok *t = make(&s);
    glim_ids ids;
    glim_error e = {0};
    char w[400];
    (void)state;
    memset(w, 'a', sizeof w);
    glim_ids_init(&ids, 1000);
    assert_int_equal(glim_enctok_encode(t, (glim_str){w, 100}, false, &ids, &e), GLIM_OK);
    assert_int_equal(ids.n, 100);
    assert_int_equal(glim_enctok_encode(t, (glim_str){w, 101}, false, &ids, &e), GLIM_OK);
    assert_int_equal(ids.n, 101);
    assert_int_equal(ids.p[100], 1);
    glim_ids_deinit(&ids);
    glim_ids_init(&ids, 99);
    assert_int_equal(glim_enctok_encode(t, (glim_str){w, 100}, false, &ids, &e), GLIM_E_LIMIT);
    assert_non_null(strstr(e.msg, "99"));
    assert_int_equal(ids.n, 0);
    assert_int_equal(glim_enctok_encode(t, GLIM_STR("a\xFF"), false, &ids, &e), GLIM_E_INPUT);
    assert_int_equal(e.offset, 1);
    glim_ids_deinit(&ids);
    glim_enctok_free(t);
}

/* Two marks that stay, given in the wrong order: their order is that of their classes. */
static void order_of_marks(void **state)
{
    static const char *const v[] = {"[UNK]", "[CLS]", "[SEP]", "a\xF0\x9D\x85\xA5\xF0\x9D\x85\xAD"};
    glim_str text[GLIM_COUNT(v)];
    glim_enctok_spec s;
    (void)state;
    glim_enctok_spec_init(&s, GLIM_ENCTOK_WORDPIECE);
    for (size_t i = 0; i < GLIM_COUNT(v); i++)
        text[i] = glim_str_of(v[i]);
    s.n_token = GLIM_COUNT(v);
    s.text = text;
    s.unk = 0;
    s.cls = 1;
    s.sep = 2;
    glim_enctok *t = make(&s);
    check(t, "a\xF0\x9D\x85\xA5\xF0\x9D\x85\xAD", false, IDS(3)); /* classes 216, 226 */
    check(t, "a\xF0\x9D\x85\xAD\xF0\x9D\x85\xA5", false, IDS(3));
    glim_enctok_free(t);
    s.strip_accents = false;
    t = make(&s);
    check(t, "a\xF0\x9D\x85\xAD\xF0\x9D\x85\xA5", false, IDS(0));
    glim_enctok_free(t);
}

static void inverted(void **state)
{
    static const char *const v[] = {"[PAD]",   "[UNK]", "[CLS]",    "[SEP]",
                                    MARK "un", "aff",   MARK "aff", MARK "!"};
    static const uint8_t attr[] = {3, 2, 3, 3, 1, 1, 1, 1};
    glim_str text[GLIM_COUNT(v)];
    glim_enctok_spec s;
    (void)state;
    glim_enctok_spec_init(&s, GLIM_ENCTOK_WORDPIECE);
    for (size_t i = 0; i < GLIM_COUNT(v); i++)
        text[i] = glim_str_of(v[i]);
    s.n_token = GLIM_COUNT(v);
    s.text = text;
    s.attr = attr;
    s.inverted = true;
    s.unk = 1;
    s.cls = 2;
    s.sep = 3;
    glim_enctok *t = make(&s);
    check(t, "unaff aff! [SEP]", true, IDS(4, 5, 6, 7, 3));
    check(t, MARK "un", false, IDS(1)); /* the sign in a text is no mark */
    assert_true(glim_str_is(glim_enctok_text(t, 4), MARK "un"));
    glim_enctok_free(t);
}

static void wrapping(void **state)
{
    glim_str text[GLIM_COUNT(words)];
    glim_enctok_spec s = spec_of(text);
    glim_enctok *t = make(&s);
    static const int32_t a[] = {9, 9}, b[] = {5};
    static const int32_t want[] = {2, 9, 9, 3, 2, 9, 9, 3, 5, 3};
    glim_ids ids;
    glim_error e = {0};
    size_t n_first = 0;
    (void)state;
    glim_ids_init(&ids, 10);
    assert_int_equal(glim_enctok_wrap(t, a, 2, &ids, &e), GLIM_OK);
    assert_int_equal(glim_enctok_pair(t, a, 2, b, 1, &ids, &n_first, &e), GLIM_OK);
    assert_int_equal(ids.n, 10);
    assert_memory_equal(ids.p, want, sizeof want);
    assert_int_equal(n_first, 4);
    assert_int_equal(glim_enctok_n_added(t, false), 2);
    assert_int_equal(glim_enctok_n_added(t, true), 3);
    assert_int_equal(glim_enctok_pair(t, a, 2, b, 1, &ids, NULL, &e), GLIM_E_LIMIT);
    assert_int_equal(ids.n, 10);
    assert_int_equal(glim_enctok_id(t, GLIM_ENCTOK_MASK), 4);
    assert_int_equal(glim_enctok_id(t, (glim_enctok_role)9), -1);
    assert_null(glim_enctok_text(t, -1).p);
    assert_null(glim_enctok_text(t, 1000).p);
    assert_int_equal(glim_enctok_attr(t, 1000), GLIM_TOKEN_UNUSED);
    glim_ids_deinit(&ids);
    glim_enctok_free(t);
}

static void refused(const glim_enctok_spec *s, glim_err rc, const char *what)
{
    glim_enctok *t = NULL;
    glim_error e = {0};
    assert_int_equal(glim_enctok_new(s, &t, &e), rc);
    if (!strstr(e.msg, what)) fail_msg("%s should be in: %s", what, e.msg);
    assert_null(t);
}

static void broken_specs(void **state)
{
    static char big[513];
    uint8_t attr[GLIM_COUNT(words)];
    glim_str text[GLIM_COUNT(words)];
    glim_enctok_spec s = spec_of(text);
    (void)state;
    memset(big, 'x', sizeof big);
    memset(attr, GLIM_TOKEN_NORMAL, sizeof attr);
    s.attr = attr;
    text[9] = glim_str_of("un");
    refused(&s, GLIM_E_FORMAT, "5 and 9 are both \"un\"");
    text[9] = (glim_str){big, 513};
    refused(&s, GLIM_E_LIMIT, "token 9 has 513 bytes");
    text[9] = glim_str_of("\xFF");
    refused(&s, GLIM_E_FORMAT, "token 9");
    text[9] = (glim_str){0};
    s.mask = 9;
    refused(&s, GLIM_E_FORMAT, "mask token is 9");
    s.mask = -1;
    s.unk = -1;
    refused(&s, GLIM_E_FORMAT, "no unknown token");
    s.unk = 1;
    attr[7] = GLIM_TOKEN_BYTE;
    refused(&s, GLIM_E_UNSUPPORTED, "token 7 is a byte token");
    attr[7] = 9;
    refused(&s, GLIM_E_FORMAT, "kind 9");
    s.n_token = 0;
    refused(&s, GLIM_E_FORMAT, "0 tokens");
}

static void vocab_txt(void **state)
{
    glim_enctok *t = NULL;
    glim_error e = {0};
    (void)state;
    assert_int_equal(glim_enctok_from_vocab_txt(GLIM_STR("[UNK]\r\n[CLS]\r\n\r\n[SEP]\r\nA\r\na"),
                                                false, &t, &e),
                     GLIM_OK);
    assert_int_equal(glim_enctok_n_token(t), 6);
    assert_null(glim_enctok_text(t, 2).p);
    assert_int_equal(glim_enctok_id(t, GLIM_ENCTOK_SEP), 3);
    assert_int_equal(glim_enctok_id(t, GLIM_ENCTOK_PAD), -1);
    check(t, "A a \xC3\xA0", false, IDS(4, 5, 0));
    glim_enctok_free(t);
    assert_int_equal(glim_enctok_from_vocab_txt(GLIM_STR("[UNK]\n[CLS]\n[SEP]\na\n"), true, &t, &e),
                     GLIM_OK);
    check(t, "A a \xC3\xA0", false, IDS(3, 3, 3));
    glim_enctok_free(t);
    assert_int_equal(glim_enctok_from_vocab_txt(GLIM_STR(""), true, &t, &e), GLIM_E_FORMAT);
    assert_int_equal(glim_enctok_from_vocab_txt(GLIM_STR("a\n[UNK]\n[SEP]\n"), true, &t, &e),
                     GLIM_E_FORMAT);
    assert_non_null(strstr(e.msg, "first (cls)"));
    assert_int_equal(glim_enctok_from_vocab_txt(GLIM_STR("a\nb\xC3\n"), true, &t, &e),
                     GLIM_E_FORMAT);
    assert_non_null(strstr(e.msg, "line 2"));
    assert_int_equal(e.offset, 3);
}

/* ---- tokenizer.json -------------------------------------------------------------------------- */

#define BERT                                                                                       \
    "{\"type\":\"BertNormalizer\",\"clean_text\":true,\"handle_chinese_chars\":true,\"strip_"      \
    "accents\":null,\"lowercase\":true}"
#define TOP(norm, pre, post, added, settings, vocab)                                               \
    "{\"added_tokens\":" added ",\"normalizer\":" norm ",\"pre_tokenizer\":" pre                   \
    ",\"post_processor\":" post ",\"model\":{" settings "\"vocab\":" vocab "}}"
#define PRE "{\"type\":\"BertPreTokenizer\"}"
#define SET                                                                                        \
    "\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\",\"continuing_subword_prefix\":\"##\",\"max_"   \
    "input_chars_per_word\":100,"
#define VOCAB "{\"[UNK]\":1,\"[CLS]\":2,\"[SEP]\":0,\"a\":4,\"##b\":5}"
#define PIECE(id, type) "{\"SpecialToken\":{\"id\":\"" id "\",\"type_id\":" type "}}"
#define SEQ(id, type) "{\"Sequence\":{\"id\":\"" id "\",\"type_id\":" type "}}"
#define TEMPLATE(last)                                                                               \
    "{\"type\":\"TemplateProcessing\",\"single\":[" PIECE("[CLS]", "0") "," SEQ("A", "0") "," PIECE( \
        "[SEP]",                                                                                     \
        "0") "],\"pair\":[" PIECE("[CLS]",                                                           \
                                  "0") "," SEQ("A",                                                  \
                                               "0") "," PIECE("[SEP]",                               \
                                                              "0") "," SEQ("B",                      \
                                                                           "1") "," PIECE(last,      \
                                                                                          "1") "]"   \
                                                                                               "}"

static const struct variant {
    const char *json;
    glim_err rc;
    const char *message;
} variants[] = {
    {TOP(BERT, PRE, "null", "[]", SET, VOCAB), GLIM_OK, NULL},
    {TOP(BERT, PRE, "null", "null", "", VOCAB), GLIM_OK, NULL},
    {TOP(BERT, PRE, TEMPLATE("[SEP]"), "[]", SET, VOCAB), GLIM_OK, NULL},
    {TOP(BERT, PRE, TEMPLATE("[CLS]"), "[]", SET, VOCAB), GLIM_E_UNSUPPORTED, "template"},
    {TOP(BERT, PRE, "{\"type\":\"BertProcessing\",\"sep\":[\"[SEP]\",0],\"cls\":[\"[CLS]\",2]}",
         "[]", SET, VOCAB),
     GLIM_OK, NULL},
    {TOP(BERT, PRE, "{\"type\":\"BertProcessing\"}", "[]", SET, VOCAB), GLIM_E_FORMAT,
     "without cls"},
    {TOP(BERT, PRE, "{\"type\":\"ByteLevel\"}", "[]", SET, VOCAB), GLIM_E_UNSUPPORTED,
     "\"ByteLevel\""},
    {TOP("{\"type\":\"NFD\"}", PRE, "null", "[]", SET, VOCAB), GLIM_E_UNSUPPORTED, "\"NFD\""},
    {TOP("null", PRE, "null", "[]", SET, VOCAB), GLIM_E_UNSUPPORTED, "BertNormalizer"},
    {TOP("{\"type\":\"Sequence\",\"normalizers\":[" BERT ",{\"type\":\"Strip\"}]}", PRE, "null",
         "[]", SET, VOCAB),
     GLIM_E_UNSUPPORTED, "behind BertNormalizer"},
    {TOP("{\"type\":\"BertNormalizer\",\"lowercase\":1}", PRE, "null", "[]", SET, VOCAB),
     GLIM_E_FORMAT, "true or false"},
    {TOP(BERT, "{\"type\":\"Whitespace\"}", "null", "[]", SET, VOCAB), GLIM_E_UNSUPPORTED,
     "\"Whitespace\""},
    {TOP(BERT, "null", "null", "[]", SET, VOCAB), GLIM_E_UNSUPPORTED, "BertPreTokenizer"},
    {TOP(BERT, PRE, "null", "[]", "\"type\":\"BPE\",", VOCAB), GLIM_E_UNSUPPORTED, "\"BPE\""},
    {TOP(BERT, PRE, "null", "[]", "\"merges\":[],", VOCAB), GLIM_E_UNSUPPORTED, "\"merges\""},
    {TOP(BERT, PRE, "null", "[]", "\"max_input_chars_per_word\":200,", VOCAB), GLIM_E_UNSUPPORTED,
     "other than 100"},
    {TOP(BERT, PRE, "null", "[]", "\"continuing_subword_prefix\":\"@@\",", VOCAB),
     GLIM_E_UNSUPPORTED, "prefix"},
    {TOP(BERT, PRE, "null", "[]", "\"unk_token\":\"<unk>\",", VOCAB), GLIM_E_FORMAT,
     "no unknown token"},
    {TOP(BERT, PRE, "null", "[{\"id\":6,\"content\":\"x\",\"single_word\":true}]", SET, VOCAB),
     GLIM_E_UNSUPPORTED, "single_word"},
    {TOP(BERT, PRE, "null", "[{\"id\":6,\"content\":\"x\",\"normalized\":true}]", SET, VOCAB),
     GLIM_E_UNSUPPORTED, "normalized on the added token \"x\""},
    {TOP(BERT, PRE, "null", "[{\"id\":6,\"content\":\"x\",\"lstrip\":true,\"special\":true}]", SET,
         VOCAB),
     GLIM_OK, NULL},
    {TOP(BERT, PRE, "null", "[{\"id\":4,\"content\":\"x\"}]", SET, VOCAB), GLIM_E_FORMAT,
     "id of another"},
    {TOP(BERT, PRE, "null", "[{\"content\":\"x\"}]", SET, VOCAB), GLIM_E_FORMAT, "without id"},
    {TOP(BERT, PRE, "null", "[]", SET, "{\"a\":0,\"b\":0}"), GLIM_E_FORMAT,
     "two tokens have this id"},
    {TOP(BERT, PRE, "null", "[]", SET, "{\"a\":99999999}"), GLIM_E_FORMAT,
     "no vocabulary of this size"},
    {TOP(BERT, PRE, "null", "[]", SET, "{\"a\":-1}"), GLIM_E_FORMAT, "no vocabulary of this size"},
    {TOP(BERT, PRE, "null", "[]", SET, "{\"a\":\"b\"}"), GLIM_E_FORMAT, "an integer"},
    {TOP(BERT, PRE, "null", "[]", SET, "1"), GLIM_E_FORMAT, "object or a list"},
    {TOP(BERT, PRE, "null", "[]", SET "\"vocab\":{},", VOCAB), GLIM_E_FORMAT, "twice"},
    {"{\"model\":{},\"model\":{}}", GLIM_E_FORMAT, "twice"},
    {"{}", GLIM_E_FORMAT, "no model.vocab"},
    {"[]", GLIM_E_FORMAT, "an object"},
    {"{", GLIM_E_INPUT, ""},
    {"{} x", GLIM_E_INPUT, ""},
    {"{\"normalizer\":{\"a\":1,\"a\":2}}", GLIM_E_INPUT, "in the part at byte 14"},
};

static void json(void **state)
{
    (void)state;
    for (size_t i = 0; i < GLIM_COUNT(variants); i++) {
        glim_enctok *t = NULL;
        glim_error e = {0};
        glim_err rc = glim_enctok_from_json(glim_str_of(variants[i].json), &t, &e);
        if (rc != variants[i].rc) fail_msg("variant %zu: %d %s", i, rc, e.msg);
        if (rc && !strstr(e.msg, variants[i].message)) fail_msg("variant %zu: %s", i, e.msg);
        if (!rc) check(t, "AB", false, IDS(4, 5));
        if (!rc) assert_int_equal(glim_enctok_id(t, GLIM_ENCTOK_CLS), 2);
        glim_enctok_free(t);
    }
}

static void no_memory(void **state)
{
    glim_err rc = GLIM_E_NOMEM;
    glim_enctok *t = NULL;
    int i;
    (void)state;
    for (i = 0; rc && i < 300; i++) {
        fail_nth f;
        glim_error e = {0};
        fail_nth_begin(&f, i);
        rc = glim_enctok_from_json(glim_str_of(variants[2].json), &t, &e);
        fail_nth_end();
        if (rc) assert_int_equal(rc, GLIM_E_NOMEM);
        if (rc) assert_int_equal(e.code, GLIM_E_NOMEM);
    }
    assert_int_equal(rc, GLIM_OK);
    assert_true(i > 10);
    rc = GLIM_E_NOMEM;
    for (i = 0; rc && i < 300; i++) {
        fail_nth f;
        glim_error e = {0};
        glim_ids ids;
        glim_ids_init(&ids, 100);
        fail_nth_begin(&f, i);
        rc = glim_enctok_encode(t, GLIM_STR("ab"), false, &ids, &e);
        fail_nth_end();
        assert_int_equal(e.code, rc);
        glim_ids_deinit(&ids);
    }
    assert_int_equal(rc, GLIM_OK);
    assert_int_equal(i, 2);
    glim_enctok_free(t);
}

/* Whose tokenizer.json it is. */
static void whose_json(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        bool encoder;
    } rows[] = {
        {"{\"model\":{\"type\":\"WordPiece\",\"vocab\":{}}}", true},
        {"{\"version\":\"1.0\",\"added_tokens\":[{\"id\":1}],\"model\":{\"type\":\"Unigram\"}}",
         true},
        {"{\"model\":{\"vocab\":{\"type\":1},\"type\":\"WordPiece\"}}", true},
        {"{\"model\":{\"unk_token\":\"[UNK]\",\"max_input_chars_per_word\":100,\"vocab\":{}}}",
         true},
        {"{\"model\":{\"unk_id\":3,\"vocab\":[]}}", true},
        {"{\"model\":{\"type\":\"BPE\",\"unk_id\":3}}", false},
        {"{\"model\":{\"type\":5}}", false},
        {"{\"model\":{\"vocab\":{},\"merges\":[]}}", false},
        {"{\"model\":null}", false},
        {"{\"other\":{\"type\":\"WordPiece\"}}", false},
        {"[]", false},
        {"{", false},
        {"", false},
    };
    for (size_t i = 0; i < GLIM_COUNT(rows); i++)
        if (glim_enctok_is_json(glim_str_of(rows[i].json)) != rows[i].encoder)
            fail_msg("%s", rows[i].json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(uncased),        cmocka_unit_test(switches),
        cmocka_unit_test(special_text),   cmocka_unit_test(long_words),
        cmocka_unit_test(order_of_marks), cmocka_unit_test(inverted),
        cmocka_unit_test(wrapping),       cmocka_unit_test(broken_specs),
        cmocka_unit_test(vocab_txt),      cmocka_unit_test(json),
        cmocka_unit_test(no_memory),      cmocka_unit_test(whose_json),
    };
    return cmocka_run_group_tests_name("text/wordpiece", tests, NULL, NULL);
}
