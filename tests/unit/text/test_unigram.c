/* SPDX-License-Identifier: MIT
 * test_unigram.c - the best path, blanks, the character map, SentencePiece's file and the
 * unigram kind of tokenizer.json: rules, limits, damage. */
#include "golden.h"

#include "failnth.h"
#include "text/enctok_priv.h"

#define B GLIM_ENCTOK_BLANK

typedef struct piece {
    const char *text;
    float score;
    uint8_t attr;
} piece;

/* A vocabulary in XLM-R's order. */
static const piece pieces[] = {
    {"<s>", 0, 3},  {"<pad>", 0, 3}, {"</s>", 0, 3},   {"<unk>", 0, 2}, /* 0 */
    {B, -3, 1},     {"a", -2, 1},    {"b", -2, 1},     {"ab", -5, 1},   /* 4 */
    {B "a", -4, 1}, {"aa", -4, 1},   {"bb", -3, 1},    {"c", -6, 1},    /* 8 */
    {"zz", -1, 5},  {"xyz", -9, 4},  {"<mask>", 0, 3},                  /* 12 */
};

static const size_t n_piece = GLIM_COUNT(pieces);

typedef struct parts {
    glim_str text[GLIM_COUNT(pieces)];
    float score[GLIM_COUNT(pieces)];
    uint8_t attr[GLIM_COUNT(pieces)];
    glim_enctok_spec s;
} parts;

static void fill(parts *p)
{
    glim_enctok_spec_init(&p->s, GLIM_ENCTOK_UNIGRAM);
    for (size_t i = 0; i < n_piece; i++) {
        p->text[i] = glim_str_of(pieces[i].text);
        p->score[i] = pieces[i].score;
        p->attr[i] = pieces[i].attr;
    }
    p->s.n_token = n_piece;
    p->s.text = p->text;
    p->s.score = p->score;
    p->s.attr = p->attr;
    p->s.cls = 0;
    p->s.pad = 1;
    p->s.sep = 2;
    p->s.unk = 3;
    p->s.mask = 14;
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

static void best_path(void **state)
{
    parts p;
    (void)state;
    fill(&p);
    glim_enctok *t = make(&p.s);
    check(t, "b", false, IDS(4, 6));
    check(t, "a", false, IDS(8));            /* -4 is better than -3 and -2 */
    check(t, "bb", false, IDS(4, 10));       /* -3 is better than twice -2 */
    check(t, "bab", false, IDS(4, 6, 5, 6)); /* -4 is better than -5 */
    check(t, "baa", false,
          IDS(4, 6, 9)); /* both -4: the path whose last piece begins first stays */
    check(t, "bqqb", false, IDS(4, 6, 3, 6)); /* neighbouring unknowns are one */
    check(t, "q q", false, IDS(4, 3, 4, 3));
    check(t, "zz", false, IDS(4, 3));           /* unused pieces never come out */
    check(t, "bxyzb", false, IDS(4, 6, 13, 6)); /* user pieces cost nothing */
    check(t, "<s>", false, IDS(4, 3));
    check(t,
          "\xF0\x9F\x98\x80"
          "b",
          false, IDS(4, 3, 6));
    glim_enctok_free(t);
}

/* An unknown costs the least score - 10: here a path of two known pieces may cost up to 16. */
static void unknown_cost(void **state)
{
    parts p;
    (void)state;
    fill(&p);
    p.text[11] = GLIM_STR("qb"); /* against unknown + b: -16 - 2 */
    p.score[11] = -6;
    glim_enctok *t = make(&p.s);
    check(t, "aqb", false, IDS(8, 11));
    glim_enctok_free(t);
    p.text[12] = GLIM_STR("q"); /* now it sets the least itself */
    p.attr[12] = GLIM_TOKEN_NORMAL;
    p.score[12] = -50;
    t = make(&p.s);
    check(t, "aq", false, IDS(8, 12)); /* a known character is never unknown */
    glim_enctok_free(t);
}

static void blanks(void **state)
{
    parts p;
    (void)state;
    fill(&p);
    glim_enctok *t = make(&p.s);
    check(t, "", false, NULL, 0);
    check(t, "   ", false, NULL, 0);
    check(t, "  b   b  ", false, IDS(4, 6, 4, 6));
    check(t, B "b", false, IDS(4, 4, 6)); /* the sign itself is no blank ... */
    check(t, "b" B, false, IDS(4, 6));    /* ... but goes at the end, as in the reference */
    glim_enctok_free(t);
    p.s.collapse = false;
    t = make(&p.s);
    check(t, " b  b ", false, IDS(4, 4, 6, 4, 4, 6, 4));
    glim_enctok_free(t);
    p.s.add_prefix = false;
    t = make(&p.s);
    check(t, "b b", false, IDS(6, 4, 6));
    glim_enctok_free(t);
}

static void special_text(void **state)
{
    static const int32_t a[] = {8}, b[] = {6, 6}, want[] = {0, 8, 2, 2, 6, 6, 2};
    parts p;
    glim_ids ids;
    glim_error e = {0};
    size_t n_first = 0;
    (void)state;
    fill(&p);
    glim_enctok *t = make(&p.s);
    check(t, "a <mask> a</s><unk>", true, IDS(8, 14, 8, 2, 3));
    glim_ids_init(&ids, 7);
    assert_int_equal(glim_enctok_pair(t, a, 1, b, 2, &ids, &n_first, &e), GLIM_OK);
    assert_int_equal(ids.n, 7);
    assert_memory_equal(ids.p, want, sizeof want);
    assert_int_equal(n_first, 7); /* no token types */
    assert_int_equal(glim_enctok_n_added(t, true), 4);
    assert_int_equal(glim_enctok_wrap(t, a, 1, &ids, &e), GLIM_E_LIMIT);
    glim_ids_deinit(&ids);
    glim_enctok_free(t);
}

/* ---- the character map ----------------------------------------------------------------------- */

enum { N_UNIT = 0x800 };

typedef struct map {
    uint8_t blob[4 + 4 * N_UNIT + 4096];
    uint32_t unit[N_UNIT];
    size_t n_pool, next_leaf, next_block;
} map;

static void map_init(map *m)
{
    memset(m, 0, sizeof *m);
    m->unit[0] = 0x100u << 10;
    m->next_leaf = 0x700;
    m->next_block = 0x200;
}

static void map_add(map *m, const char *key, const char *to, size_t n_to)
{
    size_t base = 0x100, at = 0;
    for (size_t i = 0; key[i]; i++) {
        at = base ^ (uint8_t)key[i];
        bool last = !key[i + 1];
        base = last ? m->next_leaf++ : m->next_block;
        if (!last) m->next_block += 0x100;
        m->unit[at] = (uint32_t)(at ^ base) << 10 | (uint32_t)last << 8 | (uint8_t)key[i];
    }
    m->unit[base] = UINT32_C(0x80000000) | (uint32_t)m->n_pool;
    memcpy(m->blob + 4 + 4 * N_UNIT + m->n_pool, to, n_to);
    m->n_pool += n_to + 1;
}

static void put_u32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> 8 * i);
}

static glim_str map_end(map *m)
{
    put_u32(m->blob, 4 * N_UNIT);
    for (size_t i = 0; i < N_UNIT; i++)
        put_u32(m->blob + 4 + 4 * i, m->unit[i]);
    return (glim_str){(char *)m->blob, 4 + 4 * N_UNIT + m->n_pool};
}

static void standard_map(map *m)
{
    map_init(m);
    map_add(m, "A", "a", 1);
    map_add(m, "\t", " ", 1);
    map_add(m, "\x01", "", 0);
    map_add(m, "\xEF\xBC\xA2", "b", 1);
    map_add(m, "W", "b b", 3);
    map_add(m, "V", " a ", 3);
}

static void mapped(void **state)
{
    parts p;
    map m;
    (void)state;
    fill(&p);
    standard_map(&m);
    p.s.charsmap = map_end(&m);
    glim_enctok *t = make(&p.s);
    memset(&m, 0, sizeof m); /* it was copied */
    check(t, "A", false, IDS(8));
    check(t, "\t\t b\t \tb \t", false, IDS(4, 6, 4, 6));
    check(t, "\x01", false, NULL, 0);
    check(t, " \x01 b", false, IDS(4, 6));
    check(t,
          "\xEF\xBC\xA2"
          "c",
          false, IDS(4, 6, 11));
    check(t, "\xEF\xBC\xA3", false, IDS(4, 3)); /* only the beginning of a key */
    check(t, "W", false, IDS(4, 6, 4, 6));
    check(t, "bVb", false, IDS(4, 6, 8, 4, 6));
    check(t, "bV V b", false, IDS(4, 6, 8, 8, 4, 6));
    glim_enctok_free(t);
}

static void map_refused(glim_str blob, glim_err rc, const char *what)
{
    parts p;
    glim_enctok *t = NULL;
    glim_error e = {0};
    fill(&p);
    p.s.charsmap = blob;
    assert_int_equal(glim_enctok_new(&p.s, &t, &e), rc);
    if (!strstr(e.msg, what)) fail_msg("%s should be in: %s", what, e.msg);
}

static void broken_maps(void **state)
{
    map m;
    char big[1026];
    (void)state;
    map_refused(GLIM_STR("abc"), GLIM_E_FORMAT, "has 3 bytes");
    map_refused(GLIM_STR("\0\0\0\0"), GLIM_E_FORMAT, "trie has 0");
    map_refused(GLIM_STR("\3\0\0\0abc"), GLIM_E_FORMAT, "trie has 3");
    map_refused(GLIM_STR("\xFC\xFF\xFF\xFF"
                         "abcd"),
                GLIM_E_FORMAT, "4294967292");
    standard_map(&m);
    glim_str s = map_end(&m);
    s.n--;
    map_refused(s, GLIM_E_FORMAT, "does not end");
    standard_map(&m);
    m.unit[0x100 ^ 'A'] |= UINT32_C(0x3FF) << 21; /* the value would be far away */
    map_refused(map_end(&m), GLIM_E_FORMAT, "unit 321");
    standard_map(&m);
    m.unit[0x700] += 1 << 20;
    map_refused(map_end(&m), GLIM_E_FORMAT, "unit 321");
    standard_map(&m);
    m.unit[0x700] = 0; /* no value there */
    map_refused(map_end(&m), GLIM_E_FORMAT, "unit 321");
    standard_map(&m);
    map_add(&m, "Q", "\xC3\xA9", 2);
    m.unit[0x706] += 1; /* inside of a character */
    map_refused(map_end(&m), GLIM_E_FORMAT, "unit 337");
    standard_map(&m);
    map_add(&m, "Q", "\xC3", 1);
    map_refused(map_end(&m), GLIM_E_FORMAT, "not UTF-8");
    standard_map(&m);
    memset(big, 'x', sizeof big);
    map_add(&m, "Q", big, 1025);
    map_refused(map_end(&m), GLIM_E_LIMIT, "1025 bytes");
}

/* A text that a map makes long is refused and not computed. */
static void growing(void **state)
{
    parts p;
    map m;
    char big[200], text[100];
    glim_ids ids;
    glim_error e = {0};
    (void)state;
    fill(&p);
    standard_map(&m);
    memset(big, 'a', sizeof big);
    memset(text, 'Q', sizeof text);
    map_add(&m, "Q", big, sizeof big);
    p.s.charsmap = map_end(&m);
    glim_enctok *t = make(&p.s);
    glim_ids_init(&ids, 100000);
    assert_int_equal(glim_enctok_encode(t, (glim_str){text, 100}, false, &ids, &e), GLIM_E_LIMIT);
    assert_non_null(strstr(e.msg, "16 times"));
    assert_int_equal(ids.n, 0);
    glim_ids_deinit(&ids);
    glim_enctok_free(t);
}

/* Units that lead anywhere: a walk stays in the array and ends. */
static void wild_maps(void **state)
{
    glim_rng r;
    map m;
    (void)state;
    glim_rng_seed(&r, 7);
    for (int k = 0; k < 300; k++) {
        glim_charsmap c;
        glim_str to;
        char text[300];
        standard_map(&m);
        for (size_t i = 0; i < N_UNIT; i++)
            if (!m.unit[i]) m.unit[i] = (uint32_t)glim_rng_u64(&r) & 0x7FFFFEFF;
        glim_str blob = map_end(&m);
        assert_int_equal(glim_charsmap_init(&c, blob, NULL), GLIM_OK);
        for (size_t i = 0; i < sizeof text; i++)
            text[i] = (char)(uint8_t)glim_rng_u64(&r);
        for (size_t i = 0; i < sizeof text; i++) {
            size_t n = glim_charsmap_at(&c, (glim_str){text + i, sizeof text - i}, &to);
            assert_true(n <= sizeof text - i);
        }
        glim_charsmap_deinit(&c);
    }
}

/* ---- SentencePiece's file -------------------------------------------------------------------- */

static void pb_varint(glim_buf *b, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        glim_buf_addc(b, (char)(uint8_t)(v | 0x80));
    glim_buf_addc(b, (char)(uint8_t)v);
}

static void pb_bytes(glim_buf *b, unsigned number, glim_str s)
{
    pb_varint(b, number << 3 | 2);
    pb_varint(b, s.n);
    glim_buf_addv(b, s);
}

static void pb_number(glim_buf *b, unsigned number, uint64_t v)
{
    pb_varint(b, number << 3);
    pb_varint(b, v);
}

static void pb_piece(glim_buf *b, const char *text, float score, unsigned type)
{
    glim_buf m;
    uint32_t bits;
    uint8_t raw[4];
    memcpy(&bits, &score, sizeof bits);
    put_u32(raw, bits);
    glim_buf_init(&m, 1 << 16);
    pb_bytes(&m, 1, glim_str_of(text));
    pb_varint(&m, 2 << 3 | 5);
    glim_buf_add(&m, raw, 4);
    if (type != 1) pb_number(&m, 3, type);
    pb_bytes(b, 1, glim_buf_view(&m));
    glim_buf_deinit(&m);
}

/* The pieces above as SentencePiece has them; trainer: field and value of its settings, 0: none. */
static void write_spm(glim_buf *b, unsigned trainer, uint64_t value)
{
    glim_buf m;
    map cm;
    pb_piece(b, "<unk>", 0, 2);
    pb_piece(b, "<s>", 0, 3);
    pb_piece(b, "</s>", 0, 3);
    for (size_t i = 4; i + 1 < n_piece; i++)
        pb_piece(b, pieces[i].text, pieces[i].score, pieces[i].attr);
    glim_buf_init(&m, 1 << 16);
    pb_number(&m, 3, 1);
    pb_bytes(&m, 7, GLIM_STR("something else"));
    if (trainer) pb_number(&m, trainer, value);
    pb_bytes(b, 2, glim_buf_view(&m));
    glim_buf_clear(&m);
    standard_map(&cm);
    pb_bytes(&m, 1, GLIM_STR("nmt_nfkc"));
    pb_bytes(&m, 2, map_end(&cm));
    pb_number(&m, 4, 1);
    pb_bytes(b, 3, glim_buf_view(&m));
    glim_buf_deinit(&m);
    assert_int_equal(b->err, GLIM_OK);
}

static void spm(void **state)
{
    glim_buf b;
    glim_enctok *t = NULL;
    glim_error e = {0};
    (void)state;
    glim_buf_init(&b, 1 << 20);
    write_spm(&b, 0, 0);
    if (glim_enctok_from_spm(glim_buf_view(&b), true, &t, &e)) fail_msg("%s", e.msg);
    assert_int_equal(glim_enctok_n_token(t), n_piece);
    for (int32_t i = 0; (size_t)i < n_piece; i++) {
        assert_true(glim_str_is(glim_enctok_text(t, i), pieces[i].text));
        assert_int_equal(glim_enctok_attr(t, i), pieces[i].attr);
    }
    check(t, "A\tbxyzb <mask>", true, IDS(8, 4, 6, 13, 6, 14));
    glim_enctok_free(t);
    if (glim_enctok_from_spm(glim_buf_view(&b), false, &t, &e)) fail_msg("%s", e.msg);
    assert_int_equal(glim_enctok_n_token(t), n_piece - 2);
    assert_int_equal(glim_enctok_id(t, GLIM_ENCTOK_CLS), 1);
    assert_int_equal(glim_enctok_id(t, GLIM_ENCTOK_PAD), -1);
    check(t, "A q", true, IDS(7, 3, 0));
    glim_enctok_free(t);
    glim_buf_deinit(&b);
}

static void spm_settings(void **state)
{
    static const struct {
        unsigned field;
        uint64_t value;
        glim_err rc;
        const char *message;
    } of[] = {{3, 2, GLIM_E_UNSUPPORTED, "not unigram"},
              {24, 1, GLIM_E_UNSUPPORTED, "treat_whitespace_as_suffix"},
              {35, 1, GLIM_E_UNSUPPORTED, "byte_fallback"},
              {40, 99, GLIM_E_FORMAT, "unknown token is 99"},
              {43, UINT64_MAX, GLIM_OK, ""}, /* -1 */
              {42, UINT64_MAX, GLIM_E_FORMAT, "no last (sep) token"}};
    (void)state;
    for (size_t i = 0; i < GLIM_COUNT(of); i++) {
        glim_buf b;
        glim_enctok *t = NULL;
        glim_error e = {0};
        glim_buf_init(&b, 1 << 20);
        write_spm(&b, of[i].field, of[i].value);
        assert_int_equal(glim_enctok_from_spm(glim_buf_view(&b), false, &t, &e), of[i].rc);
        if (of[i].rc && !strstr(e.msg, of[i].message)) fail_msg("case %zu: %s", i, e.msg);
        glim_enctok_free(t);
        glim_buf_deinit(&b);
    }
}

static void spm_refused(glim_str s, bool xlmr, const char *what)
{
    glim_enctok *t = NULL;
    glim_error e = {0};
    assert_int_equal(glim_enctok_from_spm(s, xlmr, &t, &e), GLIM_E_FORMAT);
    if (!strstr(e.msg, what)) fail_msg("%s should be in: %s", what, e.msg);
}

static void spm_damage(void **state)
{
    glim_buf b;
    (void)state;
    spm_refused(GLIM_STR(""), true, "no pieces");
    spm_refused(GLIM_STR("\x0A"), true, "cut off");
    spm_refused(GLIM_STR("\x0A\x05"
                         "abc"),
                true, "longer than what it lies in");
    spm_refused(GLIM_STR("\x0A\x00"), true, "a piece without text");
    spm_refused(GLIM_STR("\x08\x01"), true, "not of the type");
    spm_refused(GLIM_STR("\x0B"), true, "a kind that these files do not have");
    spm_refused(GLIM_STR("\x02\x00"), true, "without a proper number");
    spm_refused(GLIM_STR("\x0A\x02\x15\x00"), true, "cut off");
    spm_refused(GLIM_STR("\x28\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F"), true, "64 bits");
    spm_refused(GLIM_STR("\x0A\x05\x0A\x01"
                         "a\x18\x07"),
                true, "unknown type");
    spm_refused(GLIM_STR("\x0A\x03\x0A\x01"
                         "a"),
                true, "does not begin with");
    glim_buf_init(&b, 1 << 20);
    write_spm(&b, 0, 0);
    for (size_t n = 0; n < 300; n++) { /* cut in the pieces: nothing worse than an error */
        glim_enctok *t = NULL;
        glim_error e = {0};
        glim_err rc = glim_enctok_from_spm((glim_str){b.p, n}, true, &t, &e);
        assert_true(rc == GLIM_OK || rc == GLIM_E_FORMAT);
        glim_enctok_free(t);
    }
    glim_buf_deinit(&b);
}

/* ---- tokenizer.json -------------------------------------------------------------------------- */

#define META                                                                                       \
    "{\"type\":\"Metaspace\",\"replacement\":\"" B                                                 \
    "\",\"prepend_scheme\":\"always\",\"split\":true}"
#define SPLIT(meta)                                                                                \
    "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"WhitespaceSplit\"}," meta "]}"
#define RE(re, to)                                                                                 \
    "{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"" re "\"},\"content\":\"" to "\"}"
#define STEPS(steps) "{\"type\":\"Sequence\",\"normalizers\":[" steps "]}"
#define STRIP "{\"type\":\"Strip\",\"strip_left\":false,\"strip_right\":true}"
#define PIECES                                                                                     \
    "[[\"<s>\",0],[\"</s>\",0],[\"<unk>\",0.0],[\"" B "\",-2],[\"b\",-3],[\"b" B "b\",-1]]"
#define TOP(norm, pre, post, settings, vocab)                                                      \
    "{\"normalizer\":" norm ",\"pre_tokenizer\":" pre ",\"post_processor\":" post                  \
    ",\"model\":{\"type\":\"Unigram\"," settings "\"vocab\":" vocab "}}"
#define UNK "\"unk_id\":2,\"byte_fallback\":false,"

static const struct variant {
    const char *json;
    glim_err rc;
    const char *message;
} variants[] = {
    {TOP("null", SPLIT(META), "null", UNK, PIECES), GLIM_OK, ""},
    {TOP(STEPS(STRIP "," RE(" {2,}", B)), META, "null", UNK, PIECES), GLIM_OK, ""},
    {TOP(RE(" {2,}", " "), SPLIT(META), "null", UNK, PIECES), GLIM_OK, ""},
    {TOP("null",
         SPLIT("{\"type\":\"Metaspace\",\"replacement\":\"" B "\",\"add_prefix_space\":true}"),
         "{\"type\":\"RobertaProcessing\",\"sep\":[\"</s>\",1],\"cls\":[\"<s>\",0]}", UNK, PIECES),
     GLIM_OK, ""},
    {TOP("null", META, "null", UNK, PIECES), GLIM_E_UNSUPPORTED, "keeps blanks"},
    {TOP("null", "null", "null", UNK, PIECES), GLIM_E_UNSUPPORTED, "\"Metaspace\""},
    {TOP("null", SPLIT("{\"type\":\"Metaspace\",\"replacement\":\"_\"}"), "null", UNK, PIECES),
     GLIM_E_UNSUPPORTED, "the replacement \"_\""},
    {TOP("null",
         SPLIT("{\"type\":\"Metaspace\",\"replacement\":\"" B "\",\"prepend_scheme\":\"first\"}"),
         "null", UNK, PIECES),
     GLIM_E_UNSUPPORTED, "\"first\""},
    {TOP("null", SPLIT("{\"type\":\"Metaspace\",\"replacement\":\"" B "\",\"split\":false}"),
         "null", UNK, PIECES),
     GLIM_E_UNSUPPORTED, "split false"},
    {TOP(RE("a+", " "), SPLIT(META), "null", UNK, PIECES), GLIM_E_UNSUPPORTED,
     "Replace normalizer of \"a+\""},
    {TOP(RE(" {2,}", "x"), SPLIT(META), "null", UNK, PIECES), GLIM_E_UNSUPPORTED,
     "Replace normalizer to \"x\""},
    {TOP("{\"type\":\"NFKC\"}", SPLIT(META), "null", UNK, PIECES), GLIM_E_UNSUPPORTED, "\"NFKC\""},
    {TOP("{\"type\":\"Precompiled\"}", SPLIT(META), "null", UNK, PIECES), GLIM_E_FORMAT,
     "without its map"},
    {TOP("{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"AB\"}", SPLIT(META), "null", UNK,
         PIECES),
     GLIM_E_FORMAT, "its length"},
    {TOP("{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"A?==\"}", SPLIT(META), "null", UNK,
         PIECES),
     GLIM_E_FORMAT, "a wrong letter"},
    {TOP("{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"AwAAAA==\"}", SPLIT(META), "null",
         UNK, PIECES),
     GLIM_E_FORMAT, "has 4 bytes and says that its trie has 3"},
    {TOP("null", SPLIT(META), "null", "", PIECES), GLIM_E_FORMAT, "no unknown token"},
    {TOP("null", SPLIT(META), "null", "\"unk_id\":9,", PIECES), GLIM_E_FORMAT,
     "unknown token is 9"},
    {TOP("null", SPLIT(META), "null", "\"byte_fallback\":true," UNK, PIECES), GLIM_E_UNSUPPORTED,
     "byte_fallback"},
    {TOP("null", SPLIT(META), "null", UNK, "[[\"a\"]]"), GLIM_E_FORMAT, "a text and its score"},
    {TOP("null", SPLIT(META), "null", UNK, "[1]"), GLIM_E_FORMAT, "a text and its score"},
    {TOP("null", SPLIT(META), "null", UNK, "[[\"a\",1,2]]"), GLIM_E_FORMAT, "a text and its score"},
    {TOP("null", SPLIT(META), "null", UNK, "[[\"<s>\",0],[\"</s>\",0],[\"u\",0],[\"a\",1e99]]"),
     GLIM_E_FORMAT, "score of token 3"},
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
        /* Words are cut first: a piece over a blank does not come out. */
        if (!rc) check(t, " b  bq ", false, IDS(3, 4, 3, 4, 2));
        if (!rc) assert_int_equal(glim_enctok_n_added(t, true), 4);
        glim_enctok_free(t);
    }
}

/* ---- size, memory ---------------------------------------------------------------------------- */

/* The worst text for the longest token; what grew with the square would outlast the limit of time. */
static void long_texts(void **state)
{
    enum { N = 100000 };
    parts p;
    glim_ids ids;
    glim_error e = {0};
    char *text = glim_alloc(N), longest[512];
    (void)state;
    fill(&p);
    memset(longest, 'a', sizeof longest);
    p.text[11] = (glim_str){longest, sizeof longest};
    p.score[11] = -2;
    glim_enctok *t = make(&p.s);
    memset(text, 'a', N);
    glim_ids_init(&ids, N);
    assert_int_equal(glim_enctok_encode(t, (glim_str){text, N}, false, &ids, &e), GLIM_OK);
    assert_true(ids.n > N / 512 && ids.n < N / 512 + 512);
    glim_ids_deinit(&ids);
    glim_enctok_free(t);
    glim_free(text);
}

static void no_memory(void **state)
{
    glim_buf b;
    glim_err rc = GLIM_E_NOMEM;
    glim_enctok *t = NULL;
    int i;
    (void)state;
    glim_buf_init(&b, 1 << 20);
    write_spm(&b, 0, 0);
    for (i = 0; rc && i < 300; i++) {
        fail_nth f;
        glim_error e = {0};
        fail_nth_begin(&f, i);
        rc = glim_enctok_from_spm(glim_buf_view(&b), true, &t, &e);
        fail_nth_end();
        if (rc) assert_int_equal(rc, GLIM_E_NOMEM);
        assert_int_equal(e.code, rc);
    }
    assert_int_equal(rc, GLIM_OK);
    assert_true(i > 8);
    rc = GLIM_E_NOMEM;
    for (i = 0; rc && i < 300; i++) {
        fail_nth f;
        glim_ids ids;
        glim_error e = {0};
        glim_ids_init(&ids, 100);
        fail_nth_begin(&f, i);
        rc = glim_enctok_encode(t, GLIM_STR("A bab qq"), true, &ids, &e);
        fail_nth_end();
        assert_int_equal(e.code, rc);
        if (rc) assert_int_equal(ids.n, 0);
        glim_ids_deinit(&ids);
    }
    assert_int_equal(rc, GLIM_OK);
    assert_int_equal(i, 4); /* text, path, ids */
    glim_enctok_free(t);
    glim_buf_deinit(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(best_path),  cmocka_unit_test(unknown_cost),
        cmocka_unit_test(blanks),     cmocka_unit_test(special_text),
        cmocka_unit_test(mapped),     cmocka_unit_test(broken_maps),
        cmocka_unit_test(growing),    cmocka_unit_test(wild_maps),
        cmocka_unit_test(spm),        cmocka_unit_test(spm_settings),
        cmocka_unit_test(spm_damage), cmocka_unit_test(json),
        cmocka_unit_test(long_texts), cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests_name("text/unigram", tests, NULL, NULL);
}
