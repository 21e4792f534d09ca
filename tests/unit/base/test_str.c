/* SPDX-License-Identifier: MIT
 * test_str.c - views, numbers, quoting, UTF-8. */
#include "base/base.h"

#include <locale.h>
#include <math.h>
#include <setjmp.h>

#include <cmocka.h>

static void compare(void **state)
{
    (void)state;
    glim_str none = {NULL, 0};
    assert_true(glim_str_eq(none, GLIM_STR("")));
    assert_true(glim_str_eq(GLIM_STR("a\0b"), GLIM_STR("a\0b")));
    assert_false(glim_str_eq(GLIM_STR("a\0b"), GLIM_STR("a\0c")));
    assert_false(glim_str_eq(GLIM_STR("a"), GLIM_STR("ab")));
    assert_true(glim_str_is(GLIM_STR("abc"), "abc"));
    assert_false(glim_str_is(GLIM_STR("abc"), "ab"));
    assert_true(glim_str_is(none, ""));
    assert_int_equal(glim_str_of(NULL).n, 0);
    assert_true(glim_str_starts(GLIM_STR("abc"), GLIM_STR("ab")));
    assert_true(glim_str_starts(none, none));
    assert_false(glim_str_starts(GLIM_STR("ab"), GLIM_STR("abc")));
    assert_true(glim_str_ends(GLIM_STR("abc"), GLIM_STR("bc")));
    assert_true(glim_str_ends(GLIM_STR("abc"), none));
    assert_false(glim_str_ends(GLIM_STR("bc"), GLIM_STR("abc")));
    assert_true(glim_str_ieq(GLIM_STR("GLM-4.7-Flash"), GLIM_STR("glm-4.7-fLASH")));
    assert_false(glim_str_ieq(GLIM_STR("@["), GLIM_STR("`{"))); /* next to the letters */
    assert_false(glim_str_ieq(GLIM_STR("a"), GLIM_STR("ab")));
    assert_false(glim_str_ieq(GLIM_STR("\xc3\x84"), GLIM_STR("\xc3\xa4"))); /* ASCII only */
}

static void find(void **state)
{
    (void)state;
    static const struct {
        const char *hay, *needle;
        size_t want;
    } cases[] = {
        {"", "", 0},
        {"abc", "", 0},
        {"", "a", SIZE_MAX},
        {"abc", "abc", 0},
        {"abc", "abcd", SIZE_MAX},
        {"abcabd", "abd", 3},
        {"aaab", "aab", 1},
        {"aaaa", "b", SIZE_MAX},
        {"xxa", "a", 2},
        {"ababac", "abac", 2},
        {"aXbXc", "X", 1},
        {"ab", "ba", SIZE_MAX},
    };
    for (size_t i = 0; i < GLIM_COUNT(cases); i++)
        assert_true(glim_str_find(glim_str_of(cases[i].hay), glim_str_of(cases[i].needle)) ==
                    cases[i].want);
    assert_int_equal(glim_str_find(GLIM_STR("a\0b"), GLIM_STR("\0b")), 1);
    assert_int_equal(glim_str_find((glim_str){NULL, 0}, GLIM_STR("")), 0);
    assert_true(glim_str_find((glim_str){NULL, 0}, GLIM_STR("x")) == SIZE_MAX);
    /* Every place and length against the plain definition. */
    static const char hay[] = "abaababaabaab";
    for (size_t n = 1; n < sizeof hay; n++)
        for (size_t at = 0; at + n < sizeof hay; at++) {
            size_t first = 0;
            while (memcmp(hay + first, hay + at, n) != 0)
                first++;
            assert_int_equal(glim_str_find(glim_str_of(hay), (glim_str){hay + at, n}), first);
        }
}

static void trim(void **state)
{
    (void)state;
    assert_true(glim_str_is(glim_str_trim(GLIM_STR("  a b \n"), " \n"), "a b"));
    assert_true(glim_str_is(glim_str_trim(GLIM_STR(" \n "), " \n"), ""));
    assert_true(glim_str_is(glim_str_trim(GLIM_STR(""), " "), ""));
    assert_true(glim_str_is(glim_str_trim(GLIM_STR("xax"), ""), "xax"));
    assert_int_equal(glim_str_trim(GLIM_STR("\0 "), " ").n, 1); /* NUL is never in the set */
}

static void integers(void **state)
{
    (void)state;
    static const struct {
        const char *s;
        bool i_ok, u_ok;
        int64_t i;
        uint64_t u;
    } cases[] = {
        {"0", true, true, 0, 0},
        {"00", true, true, 0, 0},
        {"007", true, true, 7, 7},
        {"123", true, true, 123, 123},
        {"-1", true, false, -1, 0},
        {"-0", true, false, 0, 0},
        {"+5", true, false, 5, 0},
        {"9223372036854775807", true, true, INT64_MAX, INT64_MAX},
        {"9223372036854775808", false, true, 0, UINT64_C(9223372036854775808)},
        {"-9223372036854775808", true, false, INT64_MIN, 0},
        {"-9223372036854775809", false, false, 0, 0},
        {"18446744073709551615", false, true, 0, UINT64_MAX},
        {"18446744073709551616", false, false, 0, 0},
        {"18446744073709551620", false, false, 0, 0},
        {"99999999999999999999999", false, false, 0, 0},
        {"", false, false, 0, 0},
        {"-", false, false, 0, 0},
        {"+", false, false, 0, 0},
        {"--1", false, false, 0, 0},
        {"+-1", false, false, 0, 0},
        {" 1", false, false, 0, 0},
        {"1 ", false, false, 0, 0},
        {"1.0", false, false, 0, 0},
        {"1e3", false, false, 0, 0},
        {"0x10", false, false, 0, 0},
        {"1_000", false, false, 0, 0},
        {"\xd9\xa1", false, false, 0, 0}, /* an Arabic digit */
    };
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        glim_str s = glim_str_of(cases[i].s);
        int64_t iv = 77;
        uint64_t uv = 77;
        assert_int_equal(glim_parse_i64(s, &iv), cases[i].i_ok);
        assert_true(iv == (cases[i].i_ok ? cases[i].i : 77));
        assert_int_equal(glim_parse_u64(s, &uv), cases[i].u_ok);
        assert_true(uv == (cases[i].u_ok ? cases[i].u : 77));
    }
    int64_t v;
    assert_false(glim_parse_i64((glim_str){NULL, 0}, &v));
    assert_false(glim_parse_i64(GLIM_STR("1\0"), &v));
    assert_true(glim_parse_i64((glim_str){"12345", 2}, &v) && v == 12); /* not NUL-terminated */
}

static void reals(void **state)
{
    (void)state;
    static const struct {
        const char *s;
        bool ok;
        double v;
    } cases[] = {
        {"0", true, 0},
        {"-0.0", true, -0.0},
        {"1.5", true, 1.5},
        {"+1.5", true, 1.5},
        {".5", true, .5},
        {"5.", true, 5},
        {"1e5", true, 1e5},
        {"1E-05", true, 1e-5},
        {"1e+3", true, 1000},
        {"0.1", true, 0.1},
        {"0.10000000000000001", true, 0.1},
        {"1.7976931348623157e308", true, 1.7976931348623157e308},
        {"1e-320", true, 1e-320},
        {"1e-400", true, 0},
        {"1e309", false, 0},
        {"-1e309", false, 0},
        {"", false, 0},
        {".", false, 0},
        {"e5", false, 0},
        {"1e", false, 0},
        {"1e+", false, 0},
        {"1-2", false, 0},
        {"--1", false, 0},
        {"1.2.3", false, 0},
        {"inf", false, 0},
        {"nan", false, 0},
        {"infinity", false, 0},
        {"0x1p3", false, 0},
        {"1,5", false, 0},
        {" 1", false, 0},
        {"1 ", false, 0},
        {"1f", false, 0},
        {"1d5", false, 0},
    };
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        double v = 77;
        assert_int_equal(glim_parse_f64(glim_str_of(cases[i].s), &v), cases[i].ok);
        double want = cases[i].ok ? cases[i].v : 77;
        assert_memory_equal(&v, &want, sizeof v);
    }
    double v;
    assert_true(glim_parse_f64((glim_str){"1.25xyz", 4}, &v) && v == 1.25);
    assert_false(glim_parse_f64(GLIM_STR("1\0"), &v));
    static char digits[4000];
    memset(digits, '9', sizeof digits);
    assert_false(glim_parse_f64((glim_str){digits, sizeof digits},
                                &v)); /* overflow or too long, not a crash */
}

/* A library is loaded by programs that set a locale with a decimal comma. */
static void reals_in_any_locale(void **state)
{
    (void)state;
    static const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "pt_BR.UTF-8",
                                        "ru_RU.UTF-8"};
    bool set = false;
    for (size_t i = 0; i < GLIM_COUNT(names) && !set; i++)
        set = setlocale(LC_ALL, names[i]) != NULL;
    if (!set) skip();
    double v = 0;
    bool ok = glim_parse_f64(GLIM_STR("1.5"), &v);
    setlocale(LC_ALL, "C");
    assert_true(ok && v == 1.5);
}

static void quote(void **state)
{
    (void)state;
    static const struct {
        glim_str in;
        const char *want;
    } cases[] = {
        {{"", 0}, "\"\""},
        {{NULL, 0}, "\"\""},
        {{"plain", 5}, "\"plain\""},
        {{"a\nb\tc", 5}, "\"a\\x0ab\\x09c\""},
        {{"a\0b", 3}, "\"a\\x00b\""},
        {{"\x1b[31m", 5}, "\"\\x1b[31m\""},
        {{"\x7f", 1}, "\"\\x7f\""},
        {{"\xc2\x9b", 2}, "\"\\x9b\""}, /* a C1 control starts escape sequences too */
        {{"\xe2\x80\xa8", 3}, "\"\\u2028\""},
        {{"\xff\xfe", 2}, "\"\\xff\\xfe\""},
        {{"\xe4\xbd\xa0", 3}, "\"\xe4\xbd\xa0\""},
        {{"\xe4\xbd", 2}, "\"\\xe4\\xbd\""},
        {{"\xf0\x9f\xa4\x94", 4}, "\"\xf0\x9f\xa4\x94\""},
    };
    char out[96];
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        assert_ptr_equal(glim_quote(cases[i].in, out, sizeof out), out);
        assert_string_equal(out, cases[i].want);
    }
    /* Any size of place, any content: whole, terminated, valid, in quotes; the byte behind is not
     * touched. */
    static const char *const texts[] = {
        "0123456789012345678901234567890123456789",
        "\xe4\xbd\xa0\xe5\xa5\xbd\xe4\xbd\xa0\xe5\xa5\xbd\xe4\xbd\xa0\xe5\xa5\xbd",
        "\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d",
        "\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xa8\xe2\x80\xa9",
        "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        "abc",
    };
    for (size_t i = 0; i < GLIM_COUNT(texts); i++)
        for (size_t n = 8; n < 64; n++) {
            char place[65];
            memset(place, 0x5a, sizeof place);
            glim_quote(glim_str_of(texts[i]), place, n);
            size_t len = strlen(place);
            assert_true(len < n && len >= 2);
            assert_int_equal(place[0], '"');
            assert_int_equal(place[len - 1], '"');
            assert_true(glim_utf8_valid((glim_str){place, len}, NULL));
            for (size_t k = n; k < sizeof place; k++)
                assert_int_equal(place[k], 0x5a);
        }
    assert_string_equal(GLIM_QUOTE(GLIM_STR("x")), "\"x\"");
}

/* What RFC 3629 allows, written as its table 3-7 in the Unicode standard: first byte, range of the
 * second. */
static int reference_length(const uint8_t *p, size_t n)
{
    if (p[0] < 0x80) return 1;
    int len = p[0] >= 0xc2 && p[0] <= 0xdf   ? 2
              : (p[0] & 0xf0) == 0xe0        ? 3
              : p[0] >= 0xf0 && p[0] <= 0xf4 ? 4
                                             : 0;
    if (len == 0 || n < (size_t)len) return 0;
    uint8_t lo = p[0] == 0xe0 ? 0xa0 : p[0] == 0xf0 ? 0x90 : 0x80;
    uint8_t hi = p[0] == 0xed ? 0x9f : p[0] == 0xf4 ? 0x8f : 0xbf;
    if (p[1] < lo || p[1] > hi) return 0;
    for (int i = 2; i < len; i++)
        if (p[i] < 0x80 || p[i] > 0xbf) return 0;
    return len;
}

static void utf8_decode_all(void **state)
{
    (void)state;
    static const uint8_t edge[] = {0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f,
                                   0xa0, 0xbf, 0xc0, 0xc2, 0xe1, 0xf0, 0xff};
    for (unsigned a = 0; a < 256; a++)
        for (unsigned b = 0; b < 256; b++)
            for (size_t c = 0; c < GLIM_COUNT(edge); c++)
                for (size_t d = 0; d < GLIM_COUNT(edge); d++) {
                    uint8_t p[4] = {(uint8_t)a, (uint8_t)b, edge[c], edge[d]};
                    for (size_t n = 1; n <= 4; n++) {
                        uint32_t cp = 0;
                        int want = reference_length(p, n),
                            got = glim_utf8_decode((glim_str){(char *)p, n}, &cp);
                        if (got != want)
                            fail_msg("%02x %02x %02x %02x cut at %zu: %d", a, b, p[2], p[3], n,
                                     got);
                    }
                }
    uint32_t cp;
    assert_int_equal(glim_utf8_decode((glim_str){NULL, 0}, &cp), 0);
}

static void utf8_round_trip(void **state)
{
    (void)state;
    for (uint32_t cp = 0; cp < 0x110800; cp++) {
        char out[4];
        uint32_t back = 0;
        int n = glim_utf8_encode(cp, out);
        bool scalar = cp <= 0x10ffff && (cp < 0xd800 || cp > 0xdfff);
        if ((n != 0) != scalar) fail_msg("U+%04X: length %d", (unsigned)cp, n);
        if (!scalar) continue;
        if (n != 1 + (cp > 0x7f) + (cp > 0x7ff) + (cp > 0xffff))
            fail_msg("U+%04X: length %d", (unsigned)cp, n);
        if (glim_utf8_decode((glim_str){out, (size_t)n}, &back) != n || back != cp)
            fail_msg("U+%04X", (unsigned)cp);
        if (!glim_utf8_valid((glim_str){out, (size_t)n}, NULL)) fail_msg("U+%04X", (unsigned)cp);
    }
    char out[4];
    assert_int_equal(glim_utf8_encode(UINT32_MAX, out), 0);
}

static void utf8_valid(void **state)
{
    (void)state;
    static const struct {
        const char *s;
        size_t n, bad; /* SIZE_MAX: valid */
    } cases[] = {
        {"", 0, SIZE_MAX},
        {"abc", 3, SIZE_MAX},
        {"a\0b", 3, SIZE_MAX},
        {"\xef\xbb\xbf", 3, SIZE_MAX},     /* a byte order mark */
        {"\xef\xbf\xbf", 3, SIZE_MAX},     /* a noncharacter is a scalar value */
        {"\xf4\x8f\xbf\xbf", 4, SIZE_MAX}, /* the last code point */
        {"\xed\x9f\xbf\xee\x80\x80", 6, SIZE_MAX},
        {"\xc0\x80", 2, 0}, /* overlong NUL */
        {"\xc1\xbf", 2, 0},
        {"\xe0\x9f\xbf", 3, 0},
        {"\xf0\x8f\xbf\xbf", 4, 0},
        {"ab\xed\xa0\x80", 5, 2}, /* a high surrogate */
        {"\xed\xbf\xbf", 3, 0},
        {"\xed\xa0\xbd\xed\xb8\x80", 6, 0}, /* a pair of surrogates is not one character */
        {"\xf4\x90\x80\x80", 4, 0},
        {"\xf5\x80\x80\x80", 4, 0},
        {"\xf8\x88\x80\x80\x80", 5, 0},
        {"x\x80", 2, 1},
        {"\xc3", 1, 0},
        {"ab\xe4\xbd", 4, 2},
        {"\xe4\xbd\x41", 3, 0},
        {"\xc3\xa4\xff", 3, 2},
    };
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        size_t bad = SIZE_MAX;
        bool ok = glim_utf8_valid((glim_str){cases[i].s, cases[i].n}, &bad);
        assert_int_equal(ok, cases[i].bad == SIZE_MAX);
        if (!ok) assert_int_equal(bad, cases[i].bad);
        assert_int_equal(glim_utf8_valid((glim_str){cases[i].s, cases[i].n}, NULL), ok);
    }
    assert_true(glim_utf8_valid((glim_str){NULL, 0}, NULL));
}

/* Partial means: some continuation makes it valid. Compared with trying out every one. */
static void utf8_partial(void **state)
{
    (void)state;
    static const uint8_t edge[] = {0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf,
                                   0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xec, 0xed,
                                   0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff};
    static const uint8_t next[] = {0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf};
    for (size_t a = 0; a < GLIM_COUNT(edge); a++)
        for (size_t b = 0; b < GLIM_COUNT(edge); b++)
            for (size_t c = 0; c < GLIM_COUNT(edge); c++) {
                uint8_t tail[3] = {edge[a], edge[b], edge[c]};
                for (size_t n = 1; n <= 3; n++) {
                    /* the wanted answer: the longest end that is a proper beginning of one
                     * character */
                    size_t want = 0;
                    for (size_t back = 1; back <= n; back++) {
                        uint8_t p[4] = {0};
                        bool can = false;
                        memcpy(p, tail + n - back, back);
                        if (p[0] < 0xc0) continue;
                        for (size_t x = 0; x < GLIM_COUNT(next) && !can; x++)
                            for (size_t y = 0; y < GLIM_COUNT(next) && !can; y++)
                                for (size_t z = 0; z < GLIM_COUNT(next) && !can; z++) {
                                    const uint8_t more[3] = {next[x], next[y], next[z]};
                                    memcpy(p + back, more, 4 - back);
                                    can = reference_length(p, 4) > (int)back;
                                }
                        if (can) want = back;
                    }
                    size_t got = glim_utf8_partial((glim_str){(char *)tail, n});
                    if (got != want)
                        fail_msg("%02x %02x %02x, %zu bytes: %zu, not %zu", tail[0], tail[1],
                                 tail[2], n, got, want);
                }
            }
    assert_int_equal(glim_utf8_partial((glim_str){NULL, 0}), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compare),
        cmocka_unit_test(find),
        cmocka_unit_test(trim),
        cmocka_unit_test(integers),
        cmocka_unit_test(reals),
        cmocka_unit_test(reals_in_any_locale),
        cmocka_unit_test(quote),
        cmocka_unit_test(utf8_decode_all),
        cmocka_unit_test(utf8_round_trip),
        cmocka_unit_test(utf8_valid),
        cmocka_unit_test(utf8_partial),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
