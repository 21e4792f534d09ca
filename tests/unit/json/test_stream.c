/* SPDX-License-Identifier: MIT
 * test_stream.c - the pull reader: its tokens, its refusals and where they point. */
#include "json/json.h"
#include "failnth.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* Tokens as a line: one sign each, strings and numbers with their text. */
static glim_err trace(glim_str src, char *out, size_t n_out, glim_error *e)
{
    static const char *const sign[] = {
        [GLIM_JT_END] = "$",    [GLIM_JT_NULL] = "n",       [GLIM_JT_FALSE] = "f",
        [GLIM_JT_TRUE] = "t",   [GLIM_JT_NUMBER] = "#",     [GLIM_JT_STRING] = "s",
        [GLIM_JT_KEY] = "k",    [GLIM_JT_ARRAY] = "[",      [GLIM_JT_ARRAY_END] = "]",
        [GLIM_JT_OBJECT] = "{", [GLIM_JT_OBJECT_END] = "}",
    };
    glim_json_reader r;
    glim_json_reader_init(&r, src);
    size_t n = 0;
    glim_err rc;
    out[0] = '\0';
    for (;;) {
        glim_json_tok tok;
        glim_str text;
        rc = glim_json_next(&r, &tok, &text, e);
        if (rc) break;
        n += (size_t)snprintf(out + n, n_out - n, "%s%.*s ", sign[tok], (int)text.n,
                              text.p ? text.p : "");
        assert_true(n < n_out);
        if (tok == GLIM_JT_END) break;
    }
    if (rc) {
        glim_json_tok tok;
        glim_str text;
        assert_int_equal(glim_json_next(&r, &tok, &text, NULL), GLIM_E_STATE);
    }
    glim_json_reader_deinit(&r);
    return rc;
}

static void tokens(void **state)
{
    (void)state;
    static const struct {
        const char *src, *want;
    } cases[] = {
        {"null", "n $ "},
        {" \t\r\n true \n", "t $ "},
        {"false", "f $ "},
        {"0", "#0 $ "},
        {"-0", "#-0 $ "},
        {"-0.0e-00", "#-0.0e-00 $ "},
        {"12345678901234567890123", "#12345678901234567890123 $ "},
        {"1E+5", "#1E+5 $ "},
        {"0.10", "#0.10 $ "},
        {"\"\"", "s $ "},
        {"\"a b\"", "sa b $ "},
        {"\"\\\"\\\\\\/\\n\\t\"", "s\"\\/\n\t $ "},
        {"\"x\\u00e9y\\u20ACz\"", "sx\xC3\xA9y\xE2\x82\xACz $ "},
        {"\"\\ud83d\\uDE00\"", "s\xF0\x9F\x98\x80 $ "},
        {"\"\xF0\x9F\x98\x80\x7F\"", "s\xF0\x9F\x98\x80\x7F $ "},
        {"[]", "[ ] $ "},
        {"{}", "{ } $ "},
        {"[ ]", "[ ] $ "},
        {"{ }", "{ } $ "},
        {"[1,[2,{}],\"\"]", "[ #1 [ #2 { } ] s ] $ "},
        {"{\"a\":1,\"b\" : [null] , \"\":{\"c\":true}}", "{ ka #1 kb [ n ] k { kc t } } $ "},
        {"{\"a\":1,\"a\":2}", "{ ka #1 ka #2 } $ "},
    };
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        char out[256];
        glim_error e = {0};
        glim_err rc = trace(glim_str_of(cases[i].src), out, sizeof out, &e);
        if (rc) print_error("%s: %s\n", cases[i].src, e.msg);
        assert_int_equal(rc, GLIM_OK);
        assert_string_equal(out, cases[i].want);
    }
}

static void refusals(void **state)
{
    (void)state;
    static const struct {
        const char *src;
        size_t at;
        const char *says;
    } cases[] = {
        {"", 0, "ends here"},
        {"   ", 3, "ends here"},
        {"\xEF\xBB\xBF{}", 0, "byte order mark"},
        {"nul", 3, "ends here"},
        {"nulx", 3, "'x'"},
        {"nulll", 4, "'l'"},
        {"True", 0, "'T'"},
        {"NaN", 0, "'N'"},
        {"Infinity", 0, "'I'"},
        {"-Infinity", 1, "'I'"},
        {"01", 1, "needless 0"},
        {"-01", 2, "needless 0"},
        {"+1", 0, "'+'"},
        {".5", 0, "'.'"},
        {"1.", 2, "digit"},
        {"1.e5", 2, "digit"},
        {"1e", 2, "exponent"},
        {"1e+", 3, "exponent"},
        {"-", 1, "digit"},
        {"0x10", 1, "'x'"},
        {"1 2", 2, "'2'"},
        {"[1 2]", 3, "comma or ]"},
        {"[1,]", 3, "']'"},
        {"[,1]", 1, "','"},
        {"[", 1, "ends here"},
        {"[1", 2, "ends here"},
        {"]", 0, "']'"},
        {"[}", 1, "'}'"},
        {"{]", 1, "']'"},
        {"{\"a\"}", 4, "colon"},
        {"{\"a\":}", 5, "'}'"},
        {"{\"a\":1,}", 7, "key in quotes"},
        {"{a:1}", 1, "key in quotes"},
        {"{1:1}", 1, "key in quotes"},
        {"{\"a\" 1}", 5, "colon"},
        {"{\"a\":1 \"b\":2}", 7, "comma or }"},
        {"{\"a\":1", 6, "ends here"},
        {"{\"a\":1]", 6, "comma or }"},
        {"[1] // c", 4, "'/'"},
        {"/* c */1", 0, "'/'"},
        {"'a'", 0, "'''"},
        {"\"a", 2, "closing quote"},
        {"\"a\\", 3, "ends here"},
        {"\"a\nb\"", 2, "control bytes"},
        {"\"\\x41\"", 2, "backslash"},
        {"\"\\u12g4\"", 1, "four hex digits"},
        {"\"\\u123", 1, "four hex digits"},
        {"\"\\ud800\"", 1, "\\ud800"},
        {"\"x\\udc00\"", 2, "\\udc00"},
        {"\"\\ud800\\u0041\"", 1, "partner"},
        {"\"\\ud800\\ud800\"", 1, "partner"},
        {"\"\xFF\"", 1, "0xff"},
        {"\"a\x80\"", 2, "UTF-8"},
        {"\"\xC0\x80\"", 1, "UTF-8"},
        {"\"\xE0\x9F\xBF\"", 1, "UTF-8"},
        {"\"\xED\xA0\x80\"", 1, "UTF-8"},
        {"\"\xF4\x90\x80\x80\"", 1, "UTF-8"},
        {"\"\xE2\x82\"", 1, "UTF-8"},
        {"\"\xE2\x82", 1, "UTF-8"},
        {"[1]\x01", 3, "0x01"},
        {"\xC3\xA9", 0, "0xc3"},
    };
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        char out[256];
        glim_error e = {0};
        glim_err rc = trace(glim_str_of(cases[i].src), out, sizeof out, &e);
        if (rc != GLIM_E_INPUT || e.offset != cases[i].at || !strstr(e.msg, cases[i].says))
            print_error("case %zu %s: rc %d offset %llu: %s\n", i, cases[i].src, (int)rc,
                        (unsigned long long)e.offset, e.msg);
        assert_int_equal(rc, GLIM_E_INPUT);
        assert_int_equal(e.offset, cases[i].at);
        assert_non_null(strstr(e.msg, cases[i].says));
    }
}

static void nul_bytes(void **state)
{
    (void)state;
    char out[64];
    glim_error e = {0};
    assert_int_equal(trace((glim_str){"1\0", 2}, out, sizeof out, &e), GLIM_E_INPUT);
    assert_int_equal(e.offset, 1);
    assert_int_equal(trace((glim_str){"\"\\\0\"", 4}, out, sizeof out, &e), GLIM_E_INPUT);
    assert_int_equal(trace((glim_str){"\"a\0\"", 4}, out, sizeof out, &e), GLIM_E_INPUT);
    assert_int_equal(trace((glim_str){"[\0]", 3}, out, sizeof out, &e), GLIM_E_INPUT);
    assert_int_equal(trace((glim_str){"{\0}", 3}, out, sizeof out, &e), GLIM_E_INPUT);
    assert_int_equal(trace((glim_str){NULL, 0}, out, sizeof out, &e), GLIM_E_INPUT);
}

/* Every prefix of a good text is refused, and nothing is read behind its end (heap copies, for
 * ASan). */
static void every_prefix(void **state)
{
    (void)state;
    static const char src[] =
        "{\"a\\u20ac\":[1.5e-3,true,null,false,\"\xE2\x82\xAC\\ud83d\\ude00\"],"
        "\"b\":{\"c\":{}}}";
    for (size_t n = 0; n < sizeof src - 1; n++) {
        char out[256];
        char *copy = glim_alloc(n);
        assert_non_null(copy);
        memcpy(copy, src, n);
        glim_error e = {0};
        assert_int_equal(trace((glim_str){copy, n}, out, sizeof out, &e), GLIM_E_INPUT);
        assert_true(e.offset <= n);
        glim_free(copy);
    }
}

static void depth(void **state)
{
    (void)state;
    char src[2 * GLIM_JSON_DEPTH + 2];
    for (size_t n = GLIM_JSON_DEPTH; n <= GLIM_JSON_DEPTH + 1; n++) {
        memset(src, '[', n);
        memset(src + n, ']', n);
        glim_json_reader r;
        glim_json_tok tok;
        glim_str text;
        glim_error e = {0};
        glim_err rc;
        glim_json_reader_init(&r, (glim_str){src, 2 * n});
        do
            rc = glim_json_next(&r, &tok, &text, &e);
        while (!rc && tok != GLIM_JT_END);
        assert_int_equal(rc, n > GLIM_JSON_DEPTH ? GLIM_E_LIMIT : GLIM_OK);
        if (rc) assert_non_null(strstr(e.msg, "limit of 512"));
        glim_json_reader_deinit(&r);
    }
}

static void skipping(void **state)
{
    (void)state;
    glim_json_reader r;
    glim_json_tok tok;
    glim_str text;
    glim_error e = {0};
    glim_json_reader_init(&r, GLIM_STR("{\"a\":[1,{\"x\":[]}],\"b\":{\"y\":[[]]},\"c\":7}"));
    assert_int_equal(glim_json_next(&r, &tok, &text, &e), GLIM_OK);
    assert_int_equal(glim_json_next(&r, &tok, &text, &e), GLIM_OK);
    assert_int_equal(glim_json_skip(&r, tok, &e), GLIM_OK); /* from the key */
    assert_int_equal(glim_json_next(&r, &tok, &text, &e), GLIM_OK);
    assert_true(glim_str_is(text, "b"));
    assert_int_equal(glim_json_next(&r, &tok, &text, &e), GLIM_OK);
    assert_int_equal(tok, GLIM_JT_OBJECT);
    assert_int_equal(glim_json_skip(&r, tok, &e), GLIM_OK); /* from the brace */
    assert_int_equal(glim_json_next(&r, &tok, &text, &e), GLIM_OK);
    assert_true(glim_str_is(text, "c"));
    assert_int_equal(glim_json_next(&r, &tok, &text, &e), GLIM_OK);
    assert_int_equal(glim_json_skip(&r, tok, &e), GLIM_OK); /* a scalar: nothing to do */
    assert_true(glim_str_is(text, "7"));
    assert_int_equal(glim_json_next(&r, &tok, &text, &e), GLIM_OK);
    assert_int_equal(tok, GLIM_JT_OBJECT_END);
    assert_int_equal(glim_json_next(&r, &tok, &text, &e), GLIM_OK);
    assert_int_equal(tok, GLIM_JT_END);
    assert_int_equal(glim_json_next(&r, &tok, &text, &e), GLIM_E_STATE);
    glim_json_reader_deinit(&r);
}

static void no_memory(void **state)
{
    (void)state;
    static const char src[] =
        "[\"\\n0123456789012345678901234567890123456789012345678901234567890\"]";
    glim_err rc = GLIM_E_NOMEM;
    for (int i = 0; rc && i < 100; i++) {
        char out[256];
        fail_nth hook;
        glim_error e = {0};
        fail_nth_begin(&hook, i);
        rc = trace(glim_str_of(src), out, sizeof out, &e);
        fail_nth_end();
        if (i == 0) assert_int_equal(rc, GLIM_E_NOMEM);
        if (rc) assert_int_equal(e.code, GLIM_E_NOMEM);
    }
    assert_int_equal(rc, GLIM_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens),       cmocka_unit_test(refusals), cmocka_unit_test(nul_bytes),
        cmocka_unit_test(every_prefix), cmocka_unit_test(depth),    cmocka_unit_test(skipping),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests_name("json/stream", tests, NULL, NULL);
}
