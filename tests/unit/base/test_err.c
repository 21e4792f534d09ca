/* SPDX-License-Identifier: MIT
 * test_err.c - codes, their text and status, and how a glim_error is filled. */
#include "base/base.h"

#include <setjmp.h>
#include <stdio.h>

#include <cmocka.h>

static const glim_err all_codes[] = {
#define ERR(code, number, text, http, exit_status) GLIM_E_##code,
#include "glim/err.def"
#undef ERR
};

/* Scripts tell "the command line is wrong" (2) and success (0) from everything else. */
static void exit_status(void **state)
{
    (void)state;
    for (size_t i = 0; i < GLIM_COUNT(all_codes); i++) {
        glim_err c = all_codes[i];
        int s = glim_err_exit(c);
        assert_in_range(s, 0, 125); /* 126 and up belong to shells and signals */
        assert_int_equal(s == 0, c == GLIM_OK);
        assert_int_equal(s == 2, c == GLIM_E_USAGE);
        for (size_t k = 0; k < i; k++) {
            assert_int_not_equal(all_codes[k], c);
            assert_int_not_equal(glim_err_exit(all_codes[k]), s);
        }
    }
    assert_int_equal(glim_err_exit((glim_err)9999), 1);
}

static void text_and_http(void **state)
{
    (void)state;
    for (size_t i = 0; i < GLIM_COUNT(all_codes); i++) {
        int http = glim_err_http(all_codes[i]);
        assert_true(strlen(glim_strerror(all_codes[i])) > 0);
        if (all_codes[i] == GLIM_OK)
            assert_int_equal(http, 200);
        else
            assert_in_range(http, 400, 599);
    }
    assert_string_equal(glim_strerror((glim_err)9999), "unknown error");
    assert_int_equal(glim_err_http((glim_err)9999), 500);
}

static void fill(void **state)
{
    (void)state;
    glim_error e;
    memset(&e, 0xa5, sizeof e);
    glim_err rc = glim_fail(&e, GLIM_E_INPUT, "%s: %d is above %d", "temperature", 3, 2);
    int line = __LINE__ - 1;
    assert_int_equal(rc, GLIM_E_INPUT);
    assert_int_equal(e.code, GLIM_E_INPUT);
    assert_string_equal(e.msg, "temperature: 3 is above 2");
    assert_true(e.offset == GLIM_NO_OFFSET);
    assert_non_null(strstr(e.file, "test_err.c"));
    assert_int_equal(e.line, line);
    assert_int_equal(glim_fail_off(&e, GLIM_E_FORMAT, 1234, "cut"), GLIM_E_FORMAT);
    assert_true(e.offset == 1234);
    assert_int_equal(glim_fail(NULL, GLIM_E_IO, "nobody listens"), GLIM_E_IO);
}

/* A message of n bytes: 'h' first, then 'm', then 't' last, so that both ends can be told. */
static void long_messages(void **state)
{
    (void)state;
    glim_error e;
    static char big[10000];
    static const size_t sizes[] = {0,   1,   254, 255,  256,  257,  258,  508,  509,  510,
                                   511, 512, 513, 1000, 2046, 2047, 2048, 2049, 5000, 9999};
    for (size_t i = 0; i < GLIM_COUNT(sizes); i++) {
        size_t n = sizes[i];
        memset(big, 'm', n);
        if (n) big[0] = 'h', big[n - 1] = n > 1 ? 't' : 'h';
        big[n] = 0;
        assert_int_equal(glim_fail(&e, GLIM_E_FAIL, "%s", big), GLIM_E_FAIL);
        size_t got = strlen(e.msg);
        if (n < sizeof e.msg) {
            assert_string_equal(e.msg, big);
            continue;
        }
        assert_int_equal(got, sizeof e.msg - 1);
        assert_int_equal(e.msg[0], 'h');
        assert_int_equal(e.msg[got - 1], 't');
        assert_non_null(strstr(e.msg, "m...m"));
    }
    /* The cure at the end survives a long path at the beginning. */
    memset(big, 'd', 4000);
    big[4000] = 0;
    assert_int_equal(glim_fail(&e, GLIM_E_NOTFOUND, "%s: no such file; try --model", big),
                     GLIM_E_NOTFOUND);
    assert_true(glim_str_ends(glim_str_of(e.msg), GLIM_STR("no such file; try --model")));
}

static void one_line(void **state)
{
    (void)state;
    glim_error e;
    /* A path may hold any byte but NUL; a message is still one line. */
    assert_int_equal(glim_fail(&e, GLIM_E_IO, "%s: gone", "a\nb\r\x1b[31mc"), GLIM_E_IO);
    for (const char *p = e.msg; *p; p++)
        assert_true((unsigned char)*p >= 0x20 && *p != 0x7f);
    assert_non_null(strstr(e.msg, "gone"));
}

static void prefix(void **state)
{
    (void)state;
    glim_error e;
    assert_int_equal(glim_fail_off(&e, GLIM_E_FORMAT, 77, "not a number"), GLIM_E_FORMAT);
    assert_int_equal(glim_error_prefix(&e, "%s: field %s", "config.json", "vocab_size"),
                     GLIM_E_FORMAT);
    assert_string_equal(e.msg, "config.json: field vocab_size: not a number");
    assert_true(e.offset == 77);
    assert_int_equal(e.code, GLIM_E_FORMAT);
    for (int i = 0; i < 40; i++)
        assert_int_equal(glim_error_prefix(&e, "a rather long prefix %d", i), GLIM_E_FORMAT);
    assert_int_equal(strlen(e.msg), sizeof e.msg - 1);
    assert_true(glim_str_starts(glim_str_of(e.msg), GLIM_STR("a rather long prefix 39: ")));
    assert_true(glim_str_ends(glim_str_of(e.msg), GLIM_STR("field vocab_size: not a number")));
    (void)glim_error_prefix(NULL, "nobody listens");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exit_status),   cmocka_unit_test(text_and_http), cmocka_unit_test(fill),
        cmocka_unit_test(long_messages), cmocka_unit_test(one_line),      cmocka_unit_test(prefix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
