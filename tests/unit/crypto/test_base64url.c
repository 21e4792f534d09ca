/* SPDX-License-Identifier: MIT
 * test_base64url.c - one text, one encoding: everything else is refused where it goes wrong.
 * Source: RFC 4648 section 10, RFC 7515 appendix C. */
#include "crypto/crypto.h"
#include "failnth.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void good(void **state)
{
    (void)state;
    static const struct {
        const char *code, *bytes;
        size_t n;
    } cases[] = {
        {"", "", 0},
        {"Zg", "f", 1},
        {"Zm8", "fo", 2},
        {"Zm9v", "foo", 3},
        {"Zm9vYg", "foob", 4},
        {"Zm9vYmE", "fooba", 5},
        {"A-z_4ME", "\x03\xec\xff\xe0\xc1", 5},
        {"AA", "\0", 1},
    };
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        glim_buf b;
        glim_buf_init(&b, 64);
        assert_int_equal(glim_buf_adds(&b, "x"), GLIM_OK);
        assert_int_equal(glim_base64url_decode(glim_str_of(cases[i].code), &b, NULL), GLIM_OK);
        assert_int_equal(b.n, cases[i].n + 1);
        assert_memory_equal(b.p + 1, cases[i].bytes, cases[i].n);
        glim_buf_cut(&b, 1);
        assert_int_equal(glim_base64url_encode((glim_str){cases[i].bytes, cases[i].n}, &b),
                         GLIM_OK);
        assert_string_equal(b.p + 1, cases[i].code);
        glim_buf_deinit(&b);
    }
}

static void bad(void **state)
{
    (void)state;
    static const struct {
        const char *code;
        size_t n;
        uint64_t offset;
    } cases[] = {
        {"A", 1, 1},      {"AAAAA", 5, 5}, {"Zg==", 4, 2},       {"Zm9v\n", 5, 5}, {"Zm9\n", 4, 3},
        {"Z m9", 4, 1},   {"Zm+v", 4, 2},  {"Zm/v", 4, 2},       {"Zh", 2, 1},     {"Zm9", 3, 2},
        {"Zm9vYh", 6, 5}, {"Zm\0v", 4, 2}, {"Zm\xc3\xa4", 4, 2},
    };
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        glim_buf b;
        glim_error e = {0};
        glim_buf_init(&b, 64);
        assert_int_equal(glim_buf_adds(&b, "x"), GLIM_OK);
        assert_int_equal(glim_base64url_decode((glim_str){cases[i].code, cases[i].n}, &b, &e),
                         GLIM_E_INPUT);
        assert_int_equal(e.offset, cases[i].offset);
        assert_string_equal(b.p, "x");
        glim_buf_deinit(&b);
    }
}

/* Every byte value at every place of a group, by an encoder of the test's own. */
static void round_trip(void **state)
{
    (void)state;
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for (unsigned n = 1; n <= 3; n++)
        for (unsigned v = 0; v < 256; v++) {
            uint8_t in[3] = {(uint8_t)v, (uint8_t)(v * 7 + 1), (uint8_t)(255 - v)};
            uint32_t w = (uint32_t)in[0] << 16 | (n > 1 ? in[1] : 0u) << 8 | (n > 2 ? in[2] : 0u);
            char code[5] = {0};
            for (unsigned i = 0; i <= n; i++)
                code[i] = letters[w >> (18 - 6 * i) & 63];
            glim_buf b;
            glim_buf_init(&b, 8);
            assert_int_equal(glim_base64url_decode(glim_str_of(code), &b, NULL), GLIM_OK);
            assert_int_equal(b.n, n);
            assert_memory_equal(b.p, in, n);
            glim_buf_clear(&b);
            assert_int_equal(glim_base64url_encode((glim_str){(const char *)in, n}, &b), GLIM_OK);
            assert_string_equal(b.p, code);
            glim_buf_deinit(&b);
        }
}

static void no_room(void **state)
{
    (void)state;
    glim_buf b;
    fail_nth f;
    glim_buf_init(&b, 2);
    assert_int_equal(glim_base64url_decode(GLIM_STR("Zm9v"), &b, NULL), GLIM_E_LIMIT);
    assert_int_equal(b.n, 0);
    glim_buf_deinit(&b);
    glim_buf_init(&b, 3);
    assert_int_equal(glim_base64url_encode(GLIM_STR("foo"), &b), GLIM_E_LIMIT);
    assert_int_equal(b.n, 0);
    glim_buf_deinit(&b);
    glim_buf_init(&b, 8);
    fail_nth_begin(&f, 0);
    glim_err rc = glim_base64url_decode(GLIM_STR("Zm9v"), &b, NULL);
    fail_nth_end();
    assert_int_equal(rc, GLIM_E_NOMEM);
    glim_buf_deinit(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(good), cmocka_unit_test(bad),
                                       cmocka_unit_test(round_trip), cmocka_unit_test(no_room)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
