/* SPDX-License-Identifier: MIT
 * test_tokenizer_json.c - what of tokenizer.json is read, what is refused and by which name. */
#include "golden.h"

#include "failnth.h"
#include "text/text.h"
#include "tiny_tok.h"

/* The parts of a file; a case replaces some of them. */
typedef struct parts {
    const char *added, *normalizer, *pre, *post, *decoder, *settings, *merges, *vocab_more, *more;
} parts;

static const parts plain = {
    .added = "[{\"id\":258,\"content\":\"<|x|>\",\"single_word\":false,\"lstrip\":false,"
             "\"rstrip\":false,\"normalized\":false,\"special\":false},"
             "{\"id\":260,\"content\":\"<t>\",\"special\":false},"
             "{\"id\":261,\"content\":\"[M]\",\"special\":true}]",
    .normalizer = "null",
    .pre = "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":"
           "\"\\\\p{L}+\"},\"behavior\":\"Isolated\",\"invert\":false},{\"type\":\"ByteLevel\","
           "\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":false}]}",
    .post = "null",
    .decoder = "{\"type\":\"ByteLevel\"}",
    .settings = "\"type\":\"BPE\",\"dropout\":null,\"unk_token\":null,\"ignore_merges\":false",
    .merges = "[[\"h\",\"e\"],\"he y\"]",
    .vocab_more = ",\"he\":256,\"hey\":257",
    .more = "",
};

static void write_json(glim_buf *b, const parts *p)
{
    glim_buf_addf(b,
                  "{\"version\":\"1.0\",\"truncation\":null,\"added_tokens\":%s,"
                  "\"normalizer\":%s,\"pre_tokenizer\":%s,\"post_processor\":%s,\"decoder\":%s,"
                  "\"model\":{%s,\"vocab\":{",
                  p->added, p->normalizer, p->pre, p->post, p->decoder, p->settings);
    for (unsigned i = 0; i < 256; i++) {
        char letter[4];
        size_t n = tiny_letter(i, letter);
        if (i) glim_buf_addc(b, ',');
        glim_json_quote(b, (glim_str){letter, n});
        glim_buf_addf(b, ":%u", i);
    }
    glim_buf_addf(b, "%s},\"merges\":%s}%s}", p->vocab_more, p->merges, p->more);
    assert_int_equal(b->err, GLIM_OK);
}

static glim_err load(glim_str json, glim_tokenizer **t, glim_error *e)
{
    glim_tokenizer_spec s;
    glim_arena *a = glim_arena_new((size_t)64 << 20);
    if (!a) return glim_fail(e, GLIM_E_NOMEM, "arena");
    glim_err rc = glim_tokenizer_json_read(a, json, &s, e);
    if (!rc) rc = glim_tokenizer_new(&s, t, e);
    glim_arena_free(a);
    return rc;
}

static void check_ids(const glim_tokenizer *t, const char *text, const int *want, size_t n)
{
    glim_ids ids;
    glim_error e = {0};
    glim_ids_init(&ids, 100);
    assert_int_equal(glim_tokenize_spans(t, glim_str_of(text), NULL, 0, false, &ids, &e), GLIM_OK);
    assert_int_equal(ids.n, n);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(ids.p[i], want[i]);
    glim_ids_deinit(&ids);
}

static void reading(void **state)
{
    glim_buf b;
    glim_tokenizer *t;
    glim_error e = {0};
    (void)state;
    glim_buf_init(&b, 1 << 20);
    write_json(&b, &plain);
    if (load(glim_buf_view(&b), &t, &e)) fail_msg("%s", e.msg);
    glim_buf_deinit(&b);
    assert_int_equal(glim_tokenizer_n_token(t), 262);
    assert_null(glim_token_bytes(t, 259).p);                           /* a hole */
    assert_int_equal(glim_token_get_attr(t, 258), GLIM_TOKEN_CONTROL); /* by its shape */
    assert_int_equal(glim_token_get_attr(t, 260), GLIM_TOKEN_USER);
    assert_int_equal(glim_token_get_attr(t, 261), GLIM_TOKEN_CONTROL);
    assert_true(glim_str_is(glim_token_bytes(t, 257), "hey"));
    check_ids(t, "hey<|x|>h\nhe<t>", (const int[]){257, 258, 'h', '\n', 256, 260}, 6);
    glim_tokenizer_free(t);
}

#define BYTE_LEVEL(prefix, regex)                                                                  \
    "{\"type\":\"ByteLevel\",\"add_prefix_space\":" prefix ",\"use_regex\":" regex "}"
#define SPLIT(pattern, behavior, invert)                                                           \
    "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":" pattern           \
    ",\"behavior\":\"" behavior "\",\"invert\":" invert "}," BYTE_LEVEL("false", "false") "]}"
#define ADDED(flags) "[{\"id\":258,\"content\":\"<t>\"," flags "\"special\":false}]"

/* name: what of the struct is replaced, in the order of its members. */
static const struct variant {
    const char *what;
    parts p; /* NULL: as in plain */
    glim_err rc;
    const char *message;
} variants[] = {
    {"no added tokens", {.added = "null"}, GLIM_OK, NULL},
    {"empty added tokens", {.added = "[]"}, GLIM_OK, NULL},
    {"lstrip",
     {.added = ADDED("\"lstrip\":true,")},
     GLIM_E_UNSUPPORTED,
     "lstrip on the added token \"<t>\""},
    {"rstrip", {.added = ADDED("\"rstrip\":true,")}, GLIM_E_UNSUPPORTED, "rstrip"},
    {"single word", {.added = ADDED("\"single_word\":true,")}, GLIM_E_UNSUPPORTED, "single_word"},
    {"normalized, but nothing normalizes", {.added = ADDED("\"normalized\":true,")}, GLIM_OK, NULL},
    {"normalized",
     {.added = ADDED("\"normalized\":true,"), .normalizer = "{\"type\":\"NFC\"}"},
     GLIM_E_UNSUPPORTED,
     "normalized on the added token \"<t>\""},
    {"flag of another type", {.added = ADDED("\"lstrip\":1,")}, GLIM_E_FORMAT, "flag"},
    {"added without id", {.added = "[{\"content\":\"x\"}]"}, GLIM_E_FORMAT, "without id"},
    {"added without content", {.added = "[{\"id\":258}]"}, GLIM_E_FORMAT, "without id or content"},
    {"added id of a token",
     {.added = "[{\"id\":65,\"content\":\"x\"}]"},
     GLIM_E_FORMAT,
     "has id 65"},
    {"added text of a token",
     {.added = "[{\"id\":65,\"content\":\"A\"}]"},
     GLIM_E_FORMAT,
     "byte 0x41"},
    {"added id too big",
     {.added = "[{\"id\":2000000000,\"content\":\"x\"}]"},
     GLIM_E_FORMAT,
     "token id"},
    {"added id negative",
     {.added = "[{\"id\":-1,\"content\":\"x\"}]"},
     GLIM_E_FORMAT,
     "without id"},
    {"added object", {.added = "{}"}, GLIM_E_FORMAT, "list"},
    {"added number", {.added = "[1]"}, GLIM_E_FORMAT, "object"},
    {"empty normalizer",
     {.normalizer = "{\"type\":\"Sequence\",\"normalizers\":[]}"},
     GLIM_OK,
     NULL},
    {"NFC", {.normalizer = "{\"type\":\"NFC\"}"}, GLIM_E_UNSUPPORTED, "NFC"},
    {"NFC in a list",
     {.normalizer = "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"}]}"},
     GLIM_E_UNSUPPORTED,
     "NFC"},
    {"lower case", {.normalizer = "{\"type\":\"Lowercase\"}"}, GLIM_E_UNSUPPORTED, "Lowercase"},
    {"normalizer list", {.normalizer = "[]"}, GLIM_E_FORMAT, "object or null"},
    {"no pre-tokenizer", {.pre = "null"}, GLIM_E_UNSUPPORTED, "null"},
    {"byte level alone", {.pre = BYTE_LEVEL("false", "true")}, GLIM_OK, NULL},
    {"prefix space", {.pre = BYTE_LEVEL("true", "true")}, GLIM_E_UNSUPPORTED, "add_prefix_space"},
    {"no byte level", {.pre = "{\"type\":\"Whitespace\"}"}, GLIM_E_UNSUPPORTED, "Whitespace"},
    {"metaspace", {.pre = "{\"type\":\"Metaspace\"}"}, GLIM_E_UNSUPPORTED, "Metaspace"},
    {"digits",
     {.pre = "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\",\"individual_digits\":"
             "true}," BYTE_LEVEL("false", "true") "]}"},
     GLIM_OK,
     NULL},
    {"behind byte level",
     {.pre = "{\"type\":\"Sequence\",\"pretokenizers\":[" BYTE_LEVEL(
          "false", "true") ",{\"type\":\"Digits\"}]}"},
     GLIM_E_UNSUPPORTED,
     "behind ByteLevel"},
    {"empty sequence",
     {.pre = "{\"type\":\"Sequence\",\"pretokenizers\":[]}"},
     GLIM_E_UNSUPPORTED,
     "without ByteLevel"},
    {"string pattern", {.pre = SPLIT("{\"String\":\"a.(é\"}", "Isolated", "false")}, GLIM_OK, NULL},
    {"removed",
     {.pre = SPLIT("{\"Regex\":\"a\"}", "Removed", "false")},
     GLIM_E_UNSUPPORTED,
     "Removed"},
    {"invert",
     {.pre = SPLIT("{\"Regex\":\"a\"}", "Isolated", "true")},
     GLIM_E_UNSUPPORTED,
     "invert"},
    {"pattern", {.pre = SPLIT("{}", "Isolated", "false")}, GLIM_E_FORMAT, "without a pattern"},
    {"regex",
     {.pre = SPLIT("{\"Regex\":\"\\\\w\"}", "Isolated", "false")},
     GLIM_E_UNSUPPORTED,
     "\\w"},
    {"template", {.post = "{\"type\":\"TemplateProcessing\",\"single\":[]}"}, GLIM_OK, NULL},
    {"post sequence",
     {.post = "{\"type\":\"Sequence\",\"processors\":[{\"type\":\"ByteLevel\"},{\"type\":"
              "\"TemplateProcessing\"}]}"},
     GLIM_OK,
     NULL},
    {"bert post",
     {.post = "{\"type\":\"BertProcessing\"}"},
     GLIM_E_UNSUPPORTED,
     "post-processor \"BertProcessing\""},
    {"decoder",
     {.decoder = "{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"ByteFallback\"}]}"},
     GLIM_E_UNSUPPORTED,
     "decoder \"ByteFallback\""},
    {"model", {.settings = "\"type\":\"WordPiece\""}, GLIM_E_UNSUPPORTED, "\"WordPiece\""},
    {"model number", {.settings = "\"type\":3"}, GLIM_E_UNSUPPORTED, "model type"},
    {"dropout", {.settings = "\"type\":\"BPE\",\"dropout\":0.1"}, GLIM_E_UNSUPPORTED, "dropout"},
    {"no dropout", {.settings = "\"type\":\"BPE\",\"dropout\":0.0"}, GLIM_OK, NULL},
    {"unknown token",
     {.settings = "\"type\":\"BPE\",\"unk_token\":\"<unk>\",\"fuse_unk\":true"},
     GLIM_OK,
     NULL},
    {"byte fallback", {.settings = "\"byte_fallback\":true"}, GLIM_E_UNSUPPORTED, "byte_fallback"},
    {"prefix",
     {.settings = "\"continuing_subword_prefix\":\"##\""},
     GLIM_E_UNSUPPORTED,
     "continuing_subword_prefix"},
    {"no suffix", {.settings = "\"end_of_word_suffix\":\"\""}, GLIM_OK, NULL},
    {"ignore", {.settings = "\"ignore_merges\":true"}, GLIM_OK, NULL},
    {"ignore what", {.settings = "\"ignore_merges\":3"}, GLIM_E_FORMAT, "ignore_merges"},
    {"merge of one", {.merges = "[[\"h\"]]"}, GLIM_E_FORMAT, "two strings"},
    {"merge of three", {.merges = "[[\"h\",\"e\",\"y\"]]"}, GLIM_E_FORMAT, "two strings"},
    {"merge of numbers", {.merges = "[[1,2]]"}, GLIM_E_FORMAT, "two strings"},
    {"merge without space", {.merges = "[\"he\"]"}, GLIM_E_FORMAT, "two strings"},
    {"merge with two spaces", {.merges = "[\"h e y\"]"}, GLIM_E_FORMAT, "two strings"},
    {"merge of nothing", {.merges = "[\" \"]"}, GLIM_E_FORMAT, "merge 0 joins"},
    {"merges null", {.merges = "null"}, GLIM_E_FORMAT, "list"},
    {"unknown merge", {.merges = "[\"h x\"]"}, GLIM_E_FORMAT, "merge 0 makes"},
    {"same id", {.vocab_more = ",\"he\":65,\"hey\":257"}, GLIM_E_FORMAT, "two tokens have this id"},
    {"same text",
     {.vocab_more = ",\"he\":256,\"hey\":257,\"he\":259"},
     GLIM_E_FORMAT,
     "same text \"he\""},
    {"fraction", {.vocab_more = ",\"he\":256.5"}, GLIM_E_FORMAT, "integer"},
    {"text as id", {.vocab_more = ",\"he\":\"256\""}, GLIM_E_FORMAT, "integer"},
    {"huge id", {.vocab_more = ",\"he\":99999999"}, GLIM_E_FORMAT, "token id"},
    {"unknown keys", {.more = ",\"x\":{\"y\":[1,2]}", .settings = "\"z\":[{}]"}, GLIM_OK, NULL},
    {"model twice", {.more = ",\"model\":{}"}, GLIM_E_FORMAT, "twice"},
    {"vocab twice", {.settings = "\"vocab\":{}"}, GLIM_E_FORMAT, "twice"},
    {"merges twice", {.settings = "\"merges\":[]"}, GLIM_E_FORMAT, "twice"},
    {"key twice in a part",
     {.decoder = "{\"type\":\"ByteLevel\",\"type\":1}"},
     GLIM_E_INPUT,
     "in the part at byte"},
    {"bytes behind", {.more = "} "}, GLIM_E_INPUT, "byte"},
};

static parts merged(const parts *p)
{
    return (parts){.added = p->added ? p->added : plain.added,
                   .normalizer = p->normalizer ? p->normalizer : plain.normalizer,
                   .pre = p->pre ? p->pre : plain.pre,
                   .post = p->post ? p->post : plain.post,
                   .decoder = p->decoder ? p->decoder : plain.decoder,
                   .settings = p->settings ? p->settings : plain.settings,
                   .merges = p->merges ? p->merges : plain.merges,
                   .vocab_more = p->vocab_more ? p->vocab_more : plain.vocab_more,
                   .more = p->more ? p->more : plain.more};
}

static void all_variants(void **state)
{
    (void)state;
    for (size_t i = 0; i < GLIM_COUNT(variants); i++) {
        const struct variant *v = &variants[i];
        parts p = merged(&v->p);
        glim_buf b;
        glim_tokenizer *t = NULL;
        glim_error e = {0};
        glim_buf_init(&b, 1 << 20);
        write_json(&b, &p);
        glim_err rc = load(glim_buf_view(&b), &t, &e);
        if (rc != v->rc || (rc && !strstr(e.msg, v->message)))
            fail_msg("%s: %d \"%s\"", v->what, (int)rc, e.msg);
        glim_tokenizer_free(t);
        glim_buf_deinit(&b);
    }
}

/* A string pattern is taken literally, GPT-2's rule comes with ByteLevel, Digits isolates them. */
static void split_kinds(void **state)
{
    static const struct {
        const char *pre, *text;
        int want[8];
        size_t n;
    } cases[] = {
        {SPLIT("{\"String\":\"h.e\"}", "Isolated", "false"), "hehe.", {256, 256, '.'}, 3},
        {SPLIT("{\"String\":\"e\"}", "Isolated", "false"), "hehe", {'h', 'e', 'h', 'e'}, 4},
        {BYTE_LEVEL("false", "true"), "he'hey", {256, '\'', 257}, 3},
        {"{\"type\":\"ByteLevel\",\"add_prefix_space\":false}", "h e", {'h', ' ', 'e'}, 3},
        {SPLIT("{\"Regex\":\"h(?=e)\"}", "Isolated", "false"), "hey", {'h', 'e', 'y'}, 3},
    };
    (void)state;
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        parts p = plain;
        p.pre = cases[i].pre;
        glim_buf b;
        glim_tokenizer *t = NULL;
        glim_error e = {0};
        glim_buf_init(&b, 1 << 20);
        write_json(&b, &p);
        if (load(glim_buf_view(&b), &t, &e)) fail_msg("%s: %s", cases[i].pre, e.msg);
        check_ids(t, cases[i].text, cases[i].want, cases[i].n);
        glim_tokenizer_free(t);
        glim_buf_deinit(&b);
    }
}

/* No prefix of a file is a file, and each is refused with a place. */
static void every_prefix(void **state)
{
    glim_buf b;
    (void)state;
    glim_buf_init(&b, 1 << 20);
    write_json(&b, &plain);
    for (size_t n = 0; n < b.n; n++) {
        glim_tokenizer *t = NULL;
        glim_error e = {0};
        glim_err rc = load((glim_str){b.p, n}, &t, &e);
        /* A number that was cut may be another token's id. */
        if (rc != GLIM_E_INPUT && !(rc == GLIM_E_FORMAT && strstr(e.msg, "this id")))
            fail_msg("%zu bytes: %d \"%s\"", n, (int)rc, e.msg);
        assert_true(e.offset <= n);
    }
    glim_buf_deinit(&b);
    static const char *const wrong[] = {
        "[]", "null", "3", "{}", "{\"model\":{}}", "{\"model\":[]}", "{\"model\":{\"vocab\":[]}}"};
    for (size_t i = 0; i < GLIM_COUNT(wrong); i++) {
        glim_tokenizer *t = NULL;
        glim_error e = {0};
        assert_int_not_equal(load(glim_str_of(wrong[i]), &t, &e), GLIM_OK);
        assert_true(e.msg[0]);
    }
}

static void no_memory(void **state)
{
    glim_buf b;
    glim_tokenizer *t = NULL;
    glim_err rc = GLIM_E_NOMEM;
    (void)state;
    glim_buf_init(&b, 1 << 20);
    write_json(&b, &plain);
    for (int i = 0; rc && i < 300; i++) {
        fail_nth f;
        glim_error e = {0};
        fail_nth_begin(&f, i);
        rc = load(glim_buf_view(&b), &t, &e);
        fail_nth_end();
        if (rc) assert_int_equal(rc, GLIM_E_NOMEM);
        if (rc) assert_int_equal(e.code, GLIM_E_NOMEM);
    }
    assert_int_equal(rc, GLIM_OK);
    glim_tokenizer_free(t);
    /* An arena with a small maximum is the same. */
    glim_arena *a = glim_arena_new(4096);
    glim_tokenizer_spec s;
    glim_error e = {0};
    assert_int_equal(glim_tokenizer_json_read(a, glim_buf_view(&b), &s, &e), GLIM_E_NOMEM);
    glim_arena_free(a);
    glim_buf_deinit(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reading),     cmocka_unit_test(all_variants),
        cmocka_unit_test(split_kinds), cmocka_unit_test(every_prefix),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests_name("text/tokenizer_json", tests, NULL, NULL);
}
