/* SPDX-License-Identifier: MIT
 * test_pretok.c - split rules: which pieces, which patterns are refused, long and hostile input. */
#include "golden.h"

#include "failnth.h"
#include "text/tok_priv.h"

/* Joins the pieces with '|' ("\xC2\xA6", a broken bar, would be one too, but no case has it). */
static glim_err join(void *user, glim_str piece, glim_error *e)
{
    glim_buf *b = user;
    (void)e;
    assert_true(piece.n > 0);
    if (b->n) glim_buf_addc(b, '|');
    return glim_buf_addv(b, piece);
}

static glim_err count(void *user, glim_str piece, glim_error *e)
{
    size_t *n = user;
    (void)e;
    n[0]++;
    n[1] += piece.n;
    return GLIM_OK;
}

static glim_err run(const glim_str *split, size_t n_split, glim_str text, glim_piece_fn fn,
                    void *user, glim_error *e)
{
    glim_pretok *p;
    glim_pretok_work w;
    glim_err rc = glim_pretok_new(split, n_split, &p, e);
    if (rc) return rc;
    rc = glim_pretok_work_init(p, &w, text.n, e);
    if (!rc) {
        rc = glim_pretok_run(p, &w, text, fn, user, e);
        glim_pretok_work_deinit(&w);
    }
    glim_pretok_free(p);
    return rc;
}

static void check(const char *what, const glim_str *split, size_t n_split, const char *text,
                  const char *want)
{
    glim_buf b;
    glim_error e = {0};
    glim_buf_init(&b, 1 << 20);
    glim_err rc = run(split, n_split, glim_str_of(text), join, &b, &e);
    if (rc) fail_msg("%s: %s", what, e.msg);
    if (!glim_str_is(glim_buf_view(&b), want))
        fail_msg("%s: %s is split into %s, should be %s", what, text, b.p ? b.p : "", want);
    glim_buf_deinit(&b);
}

static void named(void **state)
{
    static const struct {
        const char *pre, *text, *want;
    } cases[] = {
        {"glm4", "", ""},
        {"glm4", "a", "a"},
        {"glm4", "Hello, world!", "Hello|,| world|!"},
        {"glm4", "I'll'S x", "I|'ll|'S| x"},
        {"glm4", "12345678", "123|456|78"},
        {"glm4", "  a  b", " | a| | b"},
        {"glm4", "a   ", "a|   "},
        {"glm4", "a \n\n b", "a| \n\n| b"},
        {"glm4", "x?!\r\n\r\ny", "x|?!\r\n\r\n|y"},
        {"glm4", "\t\tif", "\t|\tif"},
        {"glm4", "(foo", "(foo"},
        {"glm4", "你好，世界", "你好|，世界"},
        {"glm4", "'\xC5\xBF", "'\xC5\xBF"}, /* U+017F folds to s */
        {"glm4",
         "a\xC2\x85\xC2\x85"
         "b",
         "a|\xC2\x85|\xC2\x85"
         "b"}, /* U+0085 is a blank ... */
        {"glm4",
         "1\xE1\xA0\x8E\xE1\xA0\x8E"
         "2",
         "1|\xE1\xA0\x8E\xE1\xA0\x8E|2"}, /* U+180E not */
        {"glm4",
         "1 \xE1\xA0\x8E"
         "2",
         "1| \xE1\xA0\x8E|2"},
        {"llama3", "12345678", "123|456|78"},
        {"chatglm-bpe", "12345678", "123|456|78"},
        {"qwen2", "12345678 a1", "1|2|3|4|5|6|7|8| a|1"},
        {"deepseek-r1-qwen", "v12", "v|1|2"},
        {"deepseek-v3", "ab123456cd", "ab|123|456|cd"},
        {"deepseek-v3", "a你好b", "a|你好|b"},
        {"deepseek-v3", "カナ and かな", "カナ| and| |かな"},
        {"deepseek-v3", ".foo +bar", ".foo| +|bar"},
        {"deepseek-v3", "e\xCC\x81 x", "e\xCC\x81| x"},
        {"gpt-2", "I'll 123  abc'S", "I|'ll| 123| | abc|'|S"},
    };
    (void)state;
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        glim_tokenizer_spec s = {0};
        assert_int_equal(glim_pretok_named(glim_str_of(cases[i].pre), &s, NULL), GLIM_OK);
        check(cases[i].pre, s.split, s.n_split, cases[i].text, cases[i].want);
    }
    glim_tokenizer_spec s = {0};
    glim_error e = {0};
    assert_int_equal(glim_pretok_named(GLIM_STR("tekken"), &s, &e), GLIM_E_UNSUPPORTED);
    assert_non_null(strstr(e.msg, "tekken"));
    assert_non_null(strstr(e.msg, "glm4, chatglm-bpe"));
    assert_non_null(strstr(e.msg, "gpt-2"));
}

static void patterns(void **state)
{
    static const struct {
        const char *re, *text, *want;
    } cases[] = {
        {"b", "abc", "a|b|c"},
        {"b+", "abbbc", "a|bbb|c"},
        {"b++", "abbbc", "a|bbb|c"},
        {"b{2}", "abbbc", "a|bb|bc"},
        {"b{,2}c", "abbbc", "ab|bbc"},
        {"b{2,}", "abbbc", "a|bbb|c"},
        {"b{2,3}?", "abbbc", "a|bb|bc"},
        {"b+?", "abbc", "a|b|b|c"},
        {"{b}", "a{b}c", "a|{b}|c"},
        {"a{", "a{c", "a{|c"},
        {"(b)(c)", "abcd", "a|bc|d"},
        {"(?>b+)c", "abbcd", "a|bbc|d"},
        {"(?<=a)b", "abcb", "a|b|cb"},
        {"(?<!a)b", "abcb", "abc|b"},
        {"(?i)ab|c", "xABC", "x|AB|C"},
        {"(?i:a)b", "ABab", "AB|ab"},
        {"[^a-c\\d]", "axb1c", "a|x|b1c"},
        {"[\\S]+", "a b", "a| |b"},
        {"[^\\S]+", "a  b", "a|  |b"},
        {"\\S+",
         "a \xC2\xA0"
         "b",
         "a| \xC2\xA0|b"},
        {"[\\^\\-\\]x]", "a^-]x", "a|^|-|]|x"},
        {"[a-]+", "b-a-b", "b|-a-|b"},
        {"\\.\\ \\/", "a. /b", "a|. /|b"},
        {"\\x41|\\u4e00|\\x{1F600}", "xA一😀", "x|A|一|😀"},
        {"\\p{^L}", "a1b", "a|1|b"},
        {"\\P{L}", "a1b", "a|1|b"},
        {"\\p{Han}+", "a你好b", "a|你好|b"},
        {"\\v", "a\x0b\nb", "a|\x0b|\nb"},
        {".", "a\nb", "a|\n|b"},
        {"\\s+$", "a  b  ", "a  b|  "},
        {"\\s+$", "a \n b \n\n", "a| |\n b| \n\n"},
        {"x*", "axxb", "a|xx|b"}, /* empty matches cut and go on */
        {"x*", "你好", "你|好"},
        {"(?=b)", "abab", "a|ba|b"},
        {"#", "a#b", "a|#|b"},
        {"a b", "a bb", "a b|b"},
    };
    (void)state;
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        glim_str re = glim_str_of(cases[i].re);
        check(cases[i].re, &re, 1, cases[i].text, cases[i].want);
    }
    /* A later split sees a piece as a whole text: nothing lies before or behind it. */
    glim_str two[] = {GLIM_STR("[0-9]"), GLIM_STR("(?<!\\p{N})b|a(?!1)")};
    check("two splits", two, 2, "xa1b", "x|a|1|b");
}

static void refused(void **state)
{
    static const struct {
        const char *re, *what;
    } cases[] = {
        {"", "nothing"},
        {"\\w+", "\\w"},
        {"a\\b", "\\b"},
        {"\\h", "\\h"},
        {"(a)\\1", "\\1"},
        {"\\R", "\\R"},
        {"\\X", "\\X"},
        {"\\K", "\\K"},
        {"\\G", "\\G"},
        {"\\A", "\\A"},
        {"\\z", "\\z"},
        {"\\p{Alpha}", "Alpha"},
        {"\\pL", "without braces"},
        {"\\p{L", "unclosed"},
        {"(?i:\\p{Lu})", "Lu"},
        {"(?i:\xC3\x9F)", "non-ASCII"},
        {"[a&&b]", "&&"},
        {"[[a]b]", "class in a class"},
        {"[[:alpha:]]", "POSIX"},
        {"[]a]", "]"},
        {"[a", "unclosed ["},
        {"[b-a]", "range"},
        {"[\\s-a]", "range"},
        {"[a-\\d]", "range"},
        {"(a", "unclosed ("},
        {"a)", "unmatched"},
        {"(?<n>a)", "kind of group"},
        {"(?m:a)", "kind of group"},
        {"a(?i)b", "kind of group"},
        {"(?#c)", "kind of group"},
        {"*a", "quantifier of nothing"},
        {"a**", "quantifier of a quantifier"},
        {"(?=a)*", "quantifier of nothing"},
        {"a{2}?", "suffix"},
        {"a{1,2}+", "suffix"},
        {"a{3,2}", "backwards"},
        {"a{1001}", "1000"},
        {"\\x8", "hexadecimal"},
        {"\\xe4", "byte escape"},
        {"\\x{110000}", "outside Unicode"},
        {"\\ud800", "outside"},
        {"a\\", "backslash"},
        {"\xFF", "UTF-8"},
        {"(?<=a+)b", "compile"},
        {"(*COMMIT)a", "quantifier of nothing"},
    };
    (void)state;
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        glim_str re = glim_str_of(cases[i].re);
        glim_pretok *p = NULL;
        glim_error e = {0};
        glim_err rc = glim_pretok_new(&re, 1, &p, &e);
        if (rc != GLIM_E_UNSUPPORTED || !strstr(e.msg, cases[i].what))
            fail_msg("%s: %d, \"%s\" should name \"%s\"", cases[i].re, (int)rc, e.msg,
                     cases[i].what);
    }
    glim_str many[GLIM_SPLIT_MAX + 1];
    for (size_t i = 0; i < GLIM_COUNT(many); i++)
        many[i] = GLIM_STR("a");
    glim_pretok *p = NULL;
    glim_error e = {0};
    assert_int_equal(glim_pretok_new(many, GLIM_COUNT(many), &p, &e), GLIM_E_LIMIT);
    /* Deep nesting and great length. */
    char deep[400];
    memset(deep, '(', sizeof deep);
    glim_str re = {deep, sizeof deep};
    assert_int_equal(glim_pretok_new(&re, 1, &p, &e), GLIM_E_UNSUPPORTED);
    char *text = malloc(1 << 17);
    assert_non_null(text);
    memset(text, 'a', 1 << 17);
    re = (glim_str){text, 1 << 17};
    assert_int_equal(glim_pretok_new(&re, 1, &p, &e), GLIM_E_LIMIT);
    free(text);
}

/* A pattern without an end becomes an error, quickly. */
static void hostile(void **state)
{
    static const char *const bad[] = {"(?:a+)+[bd]", "(?:a|aa)+[bd]", "(?:a{0,50}){0,50}[bd]"};
    char text[200];
    (void)state;
    memset(text, 'a', sizeof text);
    for (size_t i = 0; i < GLIM_COUNT(bad); i++) {
        glim_str re = glim_str_of(bad[i]);
        size_t n[2] = {0};
        glim_error e = {0};
        glim_err rc = run(&re, 1, (glim_str){text, sizeof text}, count, n, &e);
        if (rc != GLIM_E_LIMIT || !strstr(e.msg, "too many steps"))
            fail_msg("%s: %d \"%s\"", bad[i], (int)rc, e.msg);
    }
}

/* What is too deep for the stack of compiled patterns goes on with the interpreter, up to its
 * limits. */
static void deep_backtracking(void **state)
{
    glim_str re = GLIM_STR("(?:a|b)+");
    static char text[1 << 22];
    glim_error e = {0};
    size_t n[2] = {0};
    (void)state;
    memset(text, 'b', sizeof text);
    assert_int_equal(run(&re, 1, (glim_str){text, 20000}, count, n, &e), GLIM_OK);
    assert_int_equal(n[0], 1);
    assert_int_equal(run(&re, 1, (glim_str){text, sizeof text}, count, n, &e), GLIM_E_LIMIT);
    assert_non_null(strstr(e.msg, "split pattern 1 "));
}

/* A million bytes of one kind: every rule has to be linear there, or this test takes hours. */
static void long_runs(void **state)
{
    static const char *const pre[] = {"glm4", "qwen2", "deepseek-v3", "gpt-2"};
    static const struct {
        const char *unit, *tail;
    } kinds[] = {{" ", ""},  {" ", "a"},   {" ", "1"},        {" ", "\n"},      {"a", ""},
                 {"1", ""},  {"\n", ""},   {" \n", "a"},      {"!", "\n"},      {"你", "1"},
                 {"'", "s"}, {"\t ", "!"}, {"\xC2\xA0", "1"}, {"e\xCC\x81", ""}};
    static const char *const single[] = {"\\s+$", "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"};
    (void)state;
    for (size_t k = 0; k < GLIM_COUNT(kinds); k++) {
        size_t n_unit = strlen(kinds[k].unit), n_tail = strlen(kinds[k].tail), n = 0;
        char *text = malloc((1 << 20) + 8);
        assert_non_null(text);
        for (; n < 1 << 20; n += n_unit)
            memcpy(text + n, kinds[k].unit, n_unit);
        memcpy(text + n, kinds[k].tail, n_tail);
        n += n_tail;
        for (size_t i = 0; i < GLIM_COUNT(pre) + GLIM_COUNT(single); i++) {
            glim_tokenizer_spec s = {.n_split = 1};
            if (i < GLIM_COUNT(pre))
                assert_int_equal(glim_pretok_named(glim_str_of(pre[i]), &s, NULL), GLIM_OK);
            else
                s.split[0] = glim_str_of(single[i - GLIM_COUNT(pre)]);
            size_t seen[2] = {0};
            glim_error e = {0};
            if (run(s.split, s.n_split, (glim_str){text, n}, count, seen, &e))
                fail_msg("kind %zu, rule %zu: %s", k, i, e.msg);
            assert_int_equal(seen[1], n);
        }
        free(text);
    }
}

static void no_memory(void **state)
{
    glim_str split[] = {GLIM_STR("\\p{N}{1,3}"), GLIM_STR("[^\\s]+(?!a)|\\s+")};
    glim_err rc = GLIM_E_NOMEM;
    (void)state;
    for (int i = 0; rc && i < 200; i++) {
        fail_nth f;
        glim_error e = {0};
        size_t n[2] = {0};
        fail_nth_begin(&f, i);
        rc = run(split, 2, GLIM_STR("ab 12 cd"), count, n, &e);
        fail_nth_end();
        if (rc) assert_int_equal(rc, GLIM_E_NOMEM);
        if (rc) assert_int_equal(e.code, GLIM_E_NOMEM);
    }
    assert_int_equal(rc, GLIM_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(named),
        cmocka_unit_test(patterns),
        cmocka_unit_test(refused),
        cmocka_unit_test(hostile),
        cmocka_unit_test(deep_backtracking),
        cmocka_unit_test(long_runs),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests_name("text/pretok", tests, NULL, NULL);
}
