/* SPDX-License-Identifier: MIT
 * test_padvocab.c - a padded vocabulary: what keeps its id, what comes where, and that every filler
 * that is whole characters comes out of its own text. */
#include "golden.h"

#include "failnth.h"
#include "tiny_tok.h"

static const char *const specials[] = {"C<|endoftext|>", "C<|user|>", "U<think>"};

static void base_of(glim_arena *a, const char *const *merges, size_t n_merge,
                    glim_tokenizer_spec *s)
{
    if (!tiny_spec(a, merges, n_merge, specials, GLIM_COUNT(specials), s)) fail_msg("no memory");
}

static void padded(void **state)
{
    (void)state;
    /* The second merge is the end of U+A001: that syllable cannot be made then. */
    char tail[16] = "";
    size_t k = tiny_letter(0x80, tail);
    tail[k++] = ' ';
    tail[k + tiny_letter(0x81, tail + k)] = 0;
    const char *const merges[] = {"a b", tail};
    static const size_t firsts[] = {258, 259, 270, 1500, 5000};
    for (size_t f = 0; f < GLIM_COUNT(firsts); f++) {
        const size_t first = firsts[f], n = first + 10;
        glim_arena *a = glim_arena_new((size_t)1 << 28);
        glim_tokenizer_spec base, out;
        glim_tokenizer *t;
        glim_error e = {0};
        base_of(a, merges, 2, &base);
        if (glim_vocab_pad(a, &base, first, n, &out, &e)) fail_msg("%s", e.msg);
        assert_int_equal(out.n_token, n);
        assert_int_equal(out.n_merge - base.n_merge, first - 258);
        for (size_t i = 0; i < 258; i++)
            assert_true(glim_str_eq(out.text[i], base.text[i]));
        for (size_t i = 0; i < GLIM_COUNT(specials); i++) {
            assert_true(glim_str_is(out.text[first + i], specials[i] + 1));
            assert_int_equal(out.attr[first + i], base.attr[258 + i]);
        }
        for (size_t i = first + GLIM_COUNT(specials); i < n; i++)
            assert_int_equal(out.attr[i], GLIM_TOKEN_UNUSED);
        /* Refuses duplicates and merges of unknown tokens. */
        if (glim_tokenizer_new(&out, &t, &e)) fail_msg("%s", e.msg);
        size_t n_whole = 0;
        for (size_t i = 258; i < first; i++) {
            glim_str text = glim_token_bytes(t, (int32_t)i);
            glim_ids ids;
            if (!glim_utf8_valid(text, NULL)) continue; /* the first two bytes of a syllable */
            glim_ids_init(&ids, 16);
            if (glim_tokenize_spans(t, text, NULL, 0, true, &ids, &e)) fail_msg("%s", e.msg);
            if (ids.n != 1 || ids.p[0] != (int32_t)i)
                fail_msg("token %zu is not made of its text (%zu ids)", i, ids.n);
            glim_ids_deinit(&ids);
            n_whole++;
            assert_false(glim_str_eq(text, GLIM_STR("\xEA\x80\x81")));
        }
        if (first == 5000) assert_true(n_whole > 4700);
        glim_tokenizer_free(t);
        glim_arena_free(a);
    }
}

static void refused(void **state)
{
    (void)state;
    static const char *const merges[] = {"a b"};
    glim_arena *a = glim_arena_new((size_t)1 << 28);
    glim_tokenizer_spec base, out;
    glim_error e = {0};
    base_of(a, merges, 1, &base); /* 257 normal and 3 special tokens */
    assert_int_equal(glim_vocab_pad(a, &base, 256, 400, &out, &e), GLIM_E_INPUT);
    assert_int_equal(glim_vocab_pad(a, &base, 398, 400, &out, &e), GLIM_E_INPUT);
    assert_int_equal(glim_vocab_pad(a, &base, 0, 2, &out, &e), GLIM_E_INPUT);
    assert_non_null(strstr(e.msg, "do not fit"));
    assert_int_equal(glim_vocab_pad(a, &base, 397, 400, &out, &e), GLIM_OK);
    base.attr[5] = GLIM_TOKEN_CONTROL;
    assert_int_equal(glim_vocab_pad(a, &base, 397, 400, &out, &e), GLIM_E_INPUT);
    base.attr[5] = GLIM_TOKEN_NORMAL;
    base.text[7] = base.text[8];
    assert_int_equal(glim_vocab_pad(a, &base, 397, 400, &out, &e), GLIM_E_INPUT);
    assert_non_null(strstr(e.msg, "twice"));
    base_of(a, merges, 1, &base);
    base.n_token -= GLIM_COUNT(specials);
    assert_int_equal(glim_vocab_pad(a, &base, 397, 400, &out, &e), GLIM_E_INPUT);
    glim_arena_free(a);
}

static void no_memory(void **state)
{
    (void)state;
    static const char *const merges[] = {"a b"};
    for (int64_t n = 0;; n++) {
        fail_nth f;
        glim_arena *a = glim_arena_new((size_t)1 << 28);
        glim_tokenizer_spec base, out;
        glim_error e = {0};
        base_of(a, merges, 1, &base);
        fail_nth_begin(&f, n);
        glim_err rc = glim_vocab_pad(a, &base, 20000, 20100, &out, &e);
        fail_nth_end();
        glim_arena_free(a);
        if (!rc) {
            assert_true(n > 1);
            break;
        }
        assert_int_equal(rc, GLIM_E_NOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(padded),
        cmocka_unit_test(refused),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
