/* SPDX-License-Identifier: MIT
 * test_detok.c - bytes held until characters are whole, broken bytes, every way of cutting. */
#include "golden.h"

#include "failnth.h"
#include "text/text.h"

#define R "\xEF\xBF\xBD"

static const struct {
    const char *in, *out;
} cases[] = {
    {"", ""},
    {"plain", "plain"},
    {"a\xC3\xA9"
     "b你好😀",
     "a\xC3\xA9"
     "b你好😀"},
    {"\x80", R},
    {"a\xFF"
     "b",
     "a" R "b"},
    {"\xC0\x80", R R}, /* overlong */
    {"\xE0\x80\x80", R R R},
    {"\xE0\xA0", R R},             /* broken off: a mark for each byte */
    {"\xED\xA0\x80", R R R},       /* a surrogate */
    {"\xF4\x90\x80\x80", R R R R}, /* beyond U+10FFFF */
    {"\xF4\x8F\xBF\xBF", "\xF4\x8F\xBF\xBF"},
    {"\xF0\x9F\x98", R R R},
    {"\xF0\x9F\x98x", R R R "x"},
    {"\xE4\xBD\xE5\xA5\xBD", R R "\xE5\xA5\xBD"}, /* the byte that broke it begins anew */
    {"\xC3\xC3\xA9", R "\xC3\xA9"},
    {"\xF5\x80", R R},
    {"\xC2", R},
};

static void check(glim_str in, size_t cut1, size_t cut2, const char *want)
{
    glim_detok d;
    glim_buf b;
    glim_detok_init(&d);
    glim_buf_init(&b, 1 << 16);
    assert_int_equal(glim_detok_push(&d, glim_str_sub(in, 0, cut1), &b), GLIM_OK);
    assert_true(glim_utf8_valid(glim_buf_view(&b), NULL)); /* never a part of a character */
    assert_int_equal(glim_detok_push(&d, glim_str_sub(in, cut1, cut2), &b), GLIM_OK);
    assert_true(glim_utf8_valid(glim_buf_view(&b), NULL));
    assert_int_equal(glim_detok_push(&d, glim_str_sub(in, cut2, in.n), &b), GLIM_OK);
    assert_int_equal(glim_detok_finish(&d, &b), GLIM_OK);
    assert_int_equal(d.n_held, 0);
    if (!glim_str_is(glim_buf_view(&b), want))
        fail_msg("cut at %zu and %zu: %s should be %s", cut1, cut2, b.p ? b.p : "", want);
    glim_buf_deinit(&b);
}

static void every_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        glim_str in = glim_str_of(cases[i].in);
        for (size_t a = 0; a <= in.n; a++)
            for (size_t b = a; b <= in.n; b++)
                check(in, a, b, cases[i].out);
    }
}

/* Random bytes: valid characters come through, everything else is one mark a byte. */
static void random_bytes(void **state)
{
    glim_rng rng;
    (void)state;
    glim_rng_seed(&rng, 7);
    for (int round = 0; round < 3000; round++) {
        static const unsigned char odd[] = {0x80, 0xBF, 0xC2, 0xE0, 0xED,
                                            0xF0, 0xF4, 0x90, 0x41, 0xA0};
        char in[12];
        size_t n = glim_rng_u64(&rng) % sizeof in;
        for (size_t i = 0; i < n; i++)
            in[i] = (char)odd[glim_rng_u64(&rng) % sizeof odd];
        glim_buf want;
        glim_buf_init(&want, 256);
        for (size_t i = 0; i < n;) {
            uint32_t cp;
            int len = glim_utf8_decode((glim_str){in + i, n - i}, &cp);
            if (len)
                glim_buf_add(&want, in + i, (size_t)len);
            else
                glim_buf_adds(&want, R);
            i += len ? (size_t)len : 1;
        }
        glim_buf_addc(&want, '\0');
        size_t cut = n ? glim_rng_u64(&rng) % (n + 1) : 0;
        check((glim_str){in, n}, cut, n, want.p);
        glim_buf_deinit(&want);
    }
}

/* A failed push changes nothing and can be made again. */
static void failures(void **state)
{
    glim_detok d;
    glim_buf b;
    (void)state;
    glim_detok_init(&d);
    glim_buf_init(&b, 4);
    assert_int_equal(glim_detok_push(&d, GLIM_STR("ab\xE4"), &b), GLIM_OK);
    assert_int_equal(glim_detok_push(&d, GLIM_STR("\xBD\xA0x\xC3"), &b), GLIM_E_LIMIT);
    assert_int_equal(d.n_held, 1);
    assert_true(glim_str_is(glim_buf_view(&b), "ab"));
    glim_buf_deinit(&b);
    glim_buf_init(&b, 64);
    fail_nth f;
    fail_nth_begin(&f, 0);
    glim_err rc = glim_detok_push(&d, GLIM_STR("\xBD\xA0"), &b);
    fail_nth_end();
    assert_int_equal(rc, GLIM_E_NOMEM);
    assert_int_equal(d.n_held, 1);
    glim_buf_clear(&b);
    assert_int_equal(glim_detok_push(&d, GLIM_STR("\xBD\xA0\xC3"), &b), GLIM_OK);
    assert_int_equal(glim_detok_finish(&d, &b), GLIM_OK);
    assert_true(glim_str_is(glim_buf_view(&b), "你" R));
    glim_buf_deinit(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_cut),
        cmocka_unit_test(random_bytes),
        cmocka_unit_test(failures),
    };
    return cmocka_run_group_tests_name("text/detok", tests, NULL, NULL);
}
