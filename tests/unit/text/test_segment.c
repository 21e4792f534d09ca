/* SPDX-License-Identifier: MIT
 * test_segment.c - words cut out of texts, the frequent ones, words of a list found in a text. */
#include "golden.h"

#include "failnth.h"
#include "text/segment_priv.h"

/* ---- cutting --------------------------------------------------------------------------------- */

typedef struct cuts {
    glim_str text;
    glim_buf out; /* words with a bar between them */
    size_t end, n, stop_at;
} cuts;

static bool on_word(void *user, size_t begin, size_t end)
{
    cuts *c = user;
    assert_true(begin >= c->end && end > begin && end <= c->text.n);
    c->end = end;
    if (c->n++) glim_buf_addc(&c->out, '|');
    glim_buf_addv(&c->out, glim_str_sub(c->text, begin, end));
    return c->n != c->stop_at;
}

static void check_cuts(glim_str text, size_t stop_at, const char *want)
{
    cuts c = {.text = text, .stop_at = stop_at};
    glim_error e = {0};
    glim_buf_init(&c.out, 1 << 20);
    if (glim_segment(text, on_word, &c, &e)) fail_msg("%s", e.msg);
    if (!glim_str_is(glim_buf_view(&c.out), want))
        fail_msg("%s should be %s", c.out.p ? c.out.p : "", want);
    glim_buf_deinit(&c.out);
}

static void segments(void **state)
{
    (void)state;
    check_cuts(GLIM_STR(""), 0, "");
    check_cuts(GLIM_STR("\n \t..."), 0, "");
    check_cuts(GLIM_STR("The quick (“brown”) fox can't jump 32.3 feet, right?"), 0,
               "The|quick|brown|fox|can't|jump|32.3|feet|right");
    check_cuts(GLIM_STR("汽车的市场竞争，人工智能"), 0, "汽车|的|市场|竞争|人工|智能");
    check_cuts(GLIM_STR("使用GPT-4模型"), 0, "使用|GPT|4|模型");
    check_cuts(GLIM_STR("😀 caf\xC3\xA9 e\xCC\x81t \xF0\x9F\x91\x8D"), 0, "caf\xC3\xA9|e\xCC\x81t");
    check_cuts(((glim_str){"ab\0cd", 5}), 0, "ab|cd");
    check_cuts(GLIM_STR("one two three"), 2, "one|two");
}

static void bad_text(void **state)
{
    glim_error e = {0};
    cuts c = {0};
    (void)state;
    assert_int_equal(glim_segment(GLIM_STR("好\xE5\xA5"), on_word, &c, &e), GLIM_E_INPUT);
    assert_int_equal(e.offset, 3);
    assert_int_equal(c.n, 0);
#if SIZE_MAX > INT32_MAX
    glim_str big = {"", (size_t)INT32_MAX + 1}; /* refused before a byte is read */
    assert_int_equal(glim_segment(big, on_word, &c, &e), GLIM_E_LIMIT);
#endif
}

/* ---- frequent words -------------------------------------------------------------------------- */

static void check_list(const glim_word_list *got, const char *want)
{
    glim_buf b;
    glim_buf_init(&b, 1 << 20);
    for (size_t i = 0; i < got->n; i++) {
        if (i) glim_buf_addc(&b, '|');
        glim_buf_addv(&b, got->p[i]);
    }
    if (!glim_str_is(glim_buf_view(&b), want)) fail_msg("%s should be %s", b.p ? b.p : "", want);
    glim_buf_deinit(&b);
}

static void check_frequent(glim_str text, size_t n_max, const char *want)
{
    glim_word_list got;
    glim_error e = {0};
    if (glim_words_frequent(text, n_max, &got, &e)) fail_msg("%s", e.msg);
    check_list(&got, want);
    for (size_t i = 0; i < got.n; i++)
        assert_true(got.p[i].p >= text.p && got.p[i].p + got.p[i].n <= text.p + text.n);
    glim_free(got.p);
}

#define A8 "abcdefgh"

static void frequent(void **state)
{
    (void)state;
    check_frequent(GLIM_STR(""), 9, "");
    check_frequent((glim_str){0}, 9, "");
    check_frequent(GLIM_STR("The a I of x 的 了 我们"), 9, ""); /* stop words, single characters */
    check_frequent(GLIM_STR("Model beats model; GPU, gpu and Gpu!"), 9, "GPU|Model|beats");
    check_frequent(GLIM_STR("one river, two rivers, red river"), 9, "river|two|rivers|red");
    check_frequent(GLIM_STR("one river, two rivers, red river"), 2, "river|two");
    check_frequent(GLIM_STR("one river, two rivers, red river"), 0, "");
    check_frequent(GLIM_STR("市场汽车的市场"), 9, "市场|汽车");
    check_frequent(GLIM_STR("we don\xE2\x80\x99t; Stra\xC3\x9F"
                            "e \xC3\x84ste \xC3\xA4ste"),
                   9,
                   "\xC3\x84ste|Stra\xC3\x9F"
                   "e");
    check_frequent(GLIM_STR(A8 A8 A8 A8 " " A8 A8 A8 A8 "x"), 9,
                   A8 A8 A8 A8); /* 32 and 33 characters */
    check_frequent(GLIM_STR("中文 __ -- 100 1 №"), 9, "中文|100");
}

static void stop_words(void **state)
{
    (void)state;
    for (size_t i = 0; i < glim_n_stop_word; i++) {
        glim_str w = glim_str_of(glim_stop_words[i]);
        if (i && strcmp(glim_stop_words[i - 1], glim_stop_words[i]) >= 0)
            fail_msg("%s does not come before %s", glim_stop_words[i - 1], glim_stop_words[i]);
        if (!glim_is_stop_word(w)) fail_msg("%s is not found", w.p);
        for (size_t at = 0; at < w.n;) {
            uint32_t cp = 0;
            int n = glim_utf8_decode(glim_str_sub(w, at, w.n), &cp);
            assert_true(n > 0 && glim_fold_case(cp) == cp);
            at += (size_t)n;
        }
    }
    assert_true(glim_is_stop_word(GLIM_STR("the")) && glim_is_stop_word(GLIM_STR("因为")));
    assert_false(glim_is_stop_word(GLIM_STR("th")) || glim_is_stop_word(GLIM_STR("thex")) ||
                 glim_is_stop_word(GLIM_STR("市场")));
}

/* ---- words of a list ------------------------------------------------------------------------- */

static const struct {
    const char *text, *words, *want; /* words with bars between them */
} finds[] = {
    {"", "ab", ""},
    {"ab", "", ""},
    {"abc", "ab|bc|abc", "abc"},
    {"ab bc", "abc|bc|ab", "bc|ab"},
    {"3600 GB", "360|600|36|3600", "3600"},
    {"360手机和华为手机", "360|华为|手机|三星", "360|华为|手机"},
    {"为3600元", "为3|600元|3600元|3600", "3600元|3600"},
    {"Energy and ENERGY", "eNergy|energy|ENERGY", "eNergy"}, /* each once, the first spelling */
    {"gpt4 GPT-4 gpt_5", "GPT|gpt-4|4|gpt_5|5", "GPT|gpt-4|gpt_5"},
    {"C++, c#", "c++|C#|c+", "c++|C#|c+"},
    {"C++11", "c++|++|11", "c++|++|11"},
    {"使用GPT模型", "gpt|使用gpt|pt模型|用GPT模", "gpt|使用gpt|用GPT模"},
    {"caf\xC3\xA9 cafe\xCC\x81", "caf|cafe|CAF\xC3\x89|cafe\xCC\x81", "CAF\xC3\x89|cafe\xCC\x81"},
    {"\xD0\xBA\xD0\xBE\xD1\x82\xD0\xBE\xD1\x80\xD1\x8B\xD0\xB9 \xD0\x9A\xD0\x9E\xD0\xA2\xD0\xAB",
     "\xD0\xBA\xD0\xBE\xD1\x82|\xD0\xBA\xD0\xBE\xD1\x82\xD1\x8B",
     "\xD0\xBA\xD0\xBE\xD1\x82\xD1\x8B"},
    {"中 中文", "中|中文|文", "中文"}, /* two characters at least */
    {"a b c", "a b|b c|a b c|ab", "a b|b c|a b c"},
    {"ba ba ba", "a ba|ba ba|a b", "ba ba"},
    {"新能源汽车", "能源|新能源车|新能源|源汽|能源汽车x",
     "能源|新能源|源汽"}, /* inside each other */
    {"上海自来水来自海上", "自来水来|来水|来自海|水来自海上|海上|上海上",
     "自来水来|来水|来自海|水来自海上|海上"},
    {"STRASSE \xE1\xBA\x9E\xE1\xBA\x9E",
     "strasse|\xC3\x9F\xC3\x9F|stra\xC3\x9F"
     "e",
     "strasse|\xC3\x9F\xC3\x9F"},
    {"\xE2\x84\xAA\xE2\x84\xAA", "kk", "kk"}, /* the sign of Kelvin */
};

static size_t split(glim_str s, glim_str *out)
{
    size_t n = 0;
    for (size_t begin = 0; begin < s.n;) {
        size_t end = begin;
        while (end < s.n && s.p[end] != '|')
            end++;
        out[n++] = glim_str_sub(s, begin, end);
        begin = end + 1;
    }
    return n;
}

static void find(void **state)
{
    (void)state;
    for (size_t i = 0; i < GLIM_COUNT(finds); i++) {
        glim_str words[16];
        glim_word_list got;
        glim_error e = {0};
        size_t n = split(glim_str_of(finds[i].words), words);
        if (glim_words_find(glim_str_of(finds[i].text), words, n, &got, &e)) fail_msg("%s", e.msg);
        check_list(&got, finds[i].want);
        glim_free(got.p);
    }
}

static void bad_words(void **state)
{
    const glim_str words[] = {GLIM_STR("good"), GLIM_STR("ba\xC3")};
    glim_word_list got;
    glim_error e = {0};
    (void)state;
    assert_int_equal(glim_words_find(GLIM_STR("text"), words, 2, &got, &e), GLIM_E_INPUT);
    assert_true(e.offset == 2 && !got.p && strstr(e.msg, "vocabulary"));
    assert_int_equal(glim_words_find((glim_str){0}, words, 1, &got, &e), GLIM_OK);
    assert_int_equal(got.n, 0);
    glim_free(got.p);
    assert_int_equal(glim_words_find(GLIM_STR("text"), NULL, 0, &got, &e), GLIM_OK);
    assert_int_equal(got.n, 0);
    glim_free(got.p);
    assert_int_equal(glim_words_find(GLIM_STR("te\x80xt"), words, 1, &got, &e), GLIM_E_INPUT);
    assert_true(e.offset == 2 && !got.p && strstr(e.msg, "text"));
}

/* The long way: at every character, letter by letter, with a look at what stands around. */
typedef struct chars {
    uint32_t *p;
    size_t n;
} chars;

static chars decode(glim_str s)
{
    chars c = {calloc(s.n + 1, sizeof *c.p), 0};
    for (size_t i = 0; i < s.n; c.n++)
        i += (size_t)glim_utf8_decode(glim_str_sub(s, i, s.n), &c.p[c.n]);
    return c;
}

static bool stands_at(chars t, size_t at, chars w)
{
    if (at + w.n > t.n) return false;
    for (size_t i = 0; i < w.n; i++)
        if (glim_fold_case(t.p[at + i]) != glim_fold_case(w.p[i])) return false;
    size_t end = at + w.n;
    return !(at > 0 && glim_joins_word(w.p[0]) && glim_joins_word(t.p[at - 1])) &&
           !(end < t.n && glim_joins_word(w.p[w.n - 1]) && glim_joins_word(t.p[end]));
}

static bool stands_in(glim_str text, glim_str word)
{
    chars t = decode(text), w = decode(word);
    bool found = false;
    for (size_t at = 0; w.n >= 2 && at < t.n && !found; at++)
        found = stands_at(t, at, w);
    free(t.p);
    free(w.p);
    return found;
}

static bool same(glim_str a, glim_str b)
{
    chars x = decode(a), y = decode(b);
    bool equal = x.n == y.n;
    for (size_t i = 0; equal && i < x.n; i++)
        equal = glim_fold_case(x.p[i]) == glim_fold_case(y.p[i]);
    free(x.p);
    free(y.p);
    return equal;
}

/* Appends up to n_max letters of a small alphabet, in which much is found within much. */
static void babble(glim_buf *b, glim_rng *rng, size_t n_max)
{
    static const char *const letters[] = {"a",  "A", "b",        " ", "中",
                                          "文", "1", "\xC3\xA9", "_", "\xCC\x81"};
    size_t n = glim_rng_u64(rng) % (n_max + 1), n_letter = 2 + glim_rng_u64(rng) % 9;
    for (size_t i = 0; i < n; i++)
        glim_buf_adds(b, letters[glim_rng_u64(rng) % n_letter]);
}

static void find_random(void **state)
{
    glim_rng rng;
    size_t n_found = 0;
    (void)state;
    glim_rng_seed(&rng, 11);
    for (int round = 0; round < 3000; round++) {
        glim_buf text, words[12];
        glim_str views[12];
        glim_word_list got;
        glim_error e = {0};
        size_t n = glim_rng_u64(&rng) % 12, k = 0;
        glim_buf_init(&text, 4096);
        babble(&text, &rng, 40);
        for (size_t i = 0; i < n; i++) {
            glim_buf_init(&words[i], 4096);
            babble(&words[i], &rng, 4);
            views[i] = glim_buf_view(&words[i]);
        }
        if (glim_words_find(glim_buf_view(&text), views, n, &got, &e)) fail_msg("%s", e.msg);
        for (size_t i = 0; i < n; i++) {
            bool want = stands_in(glim_buf_view(&text), views[i]);
            for (size_t j = 0; j < i; j++)
                want = want && !same(views[i], views[j]);
            if (want != (k < got.n && got.p[k].p == views[i].p))
                fail_msg("round %d: '%s' in '%s' should be %d", round, words[i].p, text.p, want);
            k += want;
        }
        assert_int_equal(k, got.n);
        n_found += k;
        glim_free(got.p);
        glim_buf_deinit(&text);
        for (size_t i = 0; i < n; i++)
            glim_buf_deinit(&words[i]);
    }
    assert_true(n_found > 500);
}

/* ---- speed and memory ------------------------------------------------------------------------ */

enum { N_CHAR = 100000, N_WORD = 1000 };

/* n characters out of the first n_char Chinese ones. */
static void write_han(glim_buf *b, glim_rng *rng, size_t n, uint32_t n_char)
{
    char utf8[4];
    for (size_t i = 0; i < n; i++) {
        int n_byte = glim_utf8_encode(0x4e00 + (uint32_t)(glim_rng_u64(rng) % n_char), utf8);
        glim_buf_add(b, utf8, (size_t)n_byte);
    }
}

/* Texts and words that make a plain search slow: each word almost everywhere, and never there; the
 * same with blanks; words within words, which are all there. At last a usual case. */
static void make_slow(size_t kind, glim_buf *text, glim_buf *words)
{
    static const char *const piece[] = {"a", "ba ", "中"};
    glim_rng rng;
    glim_rng_seed(&rng, 5);
    glim_buf_init(text, 16 << 20);
    glim_buf_init(words, 16 << 20);
    while (kind < 3 && text->n < (kind == 2 ? 3u : 1u) * N_CHAR)
        glim_buf_adds(text, piece[kind]);
    if (kind == 3) write_han(text, &rng, N_CHAR, 2000);
    for (size_t i = 0; i < N_WORD; i++) {
        if (i) glim_buf_addc(words, '|');
        if (kind == 1) glim_buf_adds(words, "a");
        for (size_t k = 0; kind < 3 && k < i + 2; k++)
            glim_buf_adds(words, kind == 1 ? " ba" : piece[kind]);
        if (kind == 3) write_han(words, &rng, 2 + i % 3, 2000);
    }
}

/* The figures are for reading: what grows with the square outlasts the test's limit of time. */
static void find_speed(void **state)
{
    static glim_str words[N_WORD];
    (void)state;
    for (size_t kind = 0; kind < 4; kind++) {
        glim_buf text, list;
        glim_word_list got;
        glim_error e = {0};
        make_slow(kind, &text, &list);
        assert_int_equal(split(glim_buf_view(&list), words), N_WORD);
        uint64_t t0 = glim_now_ns();
        if (glim_words_find(glim_buf_view(&text), words, N_WORD, &got, &e)) fail_msg("%s", e.msg);
        double ms = (double)(glim_now_ns() - t0) * 1e-6;
        print_message("%d characters, %d words: %.1f ms\n", N_CHAR, N_WORD, ms);
        if (kind < 3) assert_int_equal(got.n, kind == 2 ? N_WORD : 0);
        glim_free(got.p);
        glim_buf_deinit(&text);
        glim_buf_deinit(&list);
    }
}

/* More words than one automaton holds; the same one twice, far apart. */
static void find_many(void **state)
{
    enum { N = 200000 };
    static char bytes[N][16];
    static glim_str words[N + 1];
    glim_word_list got;
    glim_error e = {0};
    (void)state;
    for (size_t i = 0; i < N; i++) {
        int n = snprintf(bytes[i], sizeof bytes[i], "word%zu", i);
        words[i] = (glim_str){bytes[i], (size_t)n};
    }
    words[N] = GLIM_STR("WORD0");
    if (glim_words_find(GLIM_STR("word199999 Word0, word00 word77777"), words, N + 1, &got, &e))
        fail_msg("%s", e.msg);
    check_list(&got, "word0|word77777|word199999");
    glim_free(got.p);
}

/* A long text without a blank takes no time that grows faster than it. */
static void segment_speed(void **state)
{
    static const char *const pieces[] = {"中华人民共和国", "a", "ไทย", "0,"};
    (void)state;
    for (size_t i = 0; i < GLIM_COUNT(pieces); i++) {
        glim_buf b;
        glim_word_list got;
        glim_error e = {0};
        glim_buf_init(&b, 4 << 20);
        while (b.n < 300000)
            glim_buf_adds(&b, pieces[i]);
        uint64_t t0 = glim_now_ns();
        if (glim_words_frequent(glim_buf_view(&b), 512, &got, &e)) fail_msg("%s", e.msg);
        double ms = (double)(glim_now_ns() - t0) * 1e-6;
        print_message("300 kB of %s: %.1f ms\n", pieces[i], ms);
        glim_free(got.p);
        glim_buf_deinit(&b);
    }
}

static void out_of_memory(void **state)
{
    const glim_str words[] = {GLIM_STR("river"), GLIM_STR("red")};
    (void)state;
    for (int kind = 0; kind < 2; kind++)
        for (int64_t n = 0;; n++) {
            fail_nth f;
            glim_word_list got;
            glim_error e = {0};
            fail_nth_begin(&f, n);
            glim_err rc = kind ? glim_words_find(GLIM_STR("red river"), words, 2, &got, &e)
                               : glim_words_frequent(GLIM_STR("red river"), 9, &got, &e);
            fail_nth_end();
            if (!fail_nth_hit(&f)) {
                assert_int_equal(rc, GLIM_OK);
                check_list(&got, kind ? "river|red" : "red|river");
                assert_true(n > 3);
                glim_free(got.p);
                break;
            }
            assert_int_equal(rc, GLIM_E_NOMEM);
            assert_true(!got.p && !got.n && e.code == GLIM_E_NOMEM);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(segments),      cmocka_unit_test(bad_text),
        cmocka_unit_test(frequent),      cmocka_unit_test(stop_words),
        cmocka_unit_test(find),          cmocka_unit_test(bad_words),
        cmocka_unit_test(find_random),   cmocka_unit_test(find_speed),
        cmocka_unit_test(find_many),     cmocka_unit_test(segment_speed),
        cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
