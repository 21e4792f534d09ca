/* SPDX-License-Identifier: MIT
 * bpe_roundtrip.c - fuzz target: tokenizing and detokenizing any text gives it back, with and without
 * special tokens, with plain spans cut from the input; what is no UTF-8 is refused. */
#include "../tests/support/tiny_tok.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool x)
{
    if (!x) abort();
}

static glim_tokenizer *make(const char *pre)
{
    static const char *const merges[] = {"h e",   "l l",  "he ll", "hell o", "a a",
                                         "aa aa", "Ġ a",  "Ġ Ġ",   "ĠĠ ĠĠ",  "Ċ Ċ",
                                         "1 2",   "12 3", "ä ½",   "ä½ ł"};
    static const char *const specials[] = {"C<|user|>", "C<|us",    "U<think>",
                                           "U</think>", "C[gMASK]", "U/nothink"};
    glim_arena *a = glim_arena_new(1 << 20);
    glim_tokenizer_spec s;
    glim_tokenizer *t = NULL;
    must(a && tiny_spec(a, merges, GLIM_COUNT(merges), specials, GLIM_COUNT(specials), &s));
    must(glim_pretok_named(glim_str_of(pre), &s, NULL) == GLIM_OK);
    must(glim_tokenizer_new(&s, &t, NULL) == GLIM_OK);
    glim_arena_free(a);
    return t;
}

static void round_trip(const glim_tokenizer *t, glim_str text, const glim_span *plain,
                       size_t n_plain, bool all_plain)
{
    glim_ids ids;
    glim_buf b;
    glim_detok d;
    glim_error e = {0};
    glim_ids_init(&ids, SIZE_MAX / 8);
    glim_buf_init(&b, SIZE_MAX / 8);
    glim_detok_init(&d);
    glim_err rc = glim_tokenize_spans(t, text, plain, n_plain, all_plain, &ids, &e);
    must((rc == GLIM_OK) == glim_utf8_valid(text, NULL));
    must(!rc || (rc == GLIM_E_INPUT && e.offset < text.n && ids.n == 0));
    size_t at = 0, i_span = 0;
    for (size_t i = 0; i < ids.n; i++) {
        glim_str bytes = glim_token_bytes(t, ids.p[i]);
        must(bytes.n > 0);
        if (glim_token_get_attr(t, ids.p[i]) != GLIM_TOKEN_NORMAL) {
            must(!all_plain);
            while (i_span < n_plain && plain[i_span].end <= at)
                i_span++;
            must(i_span == n_plain || plain[i_span].begin >= at + bytes.n);
        }
        at += bytes.n;
        must(glim_detok_push(&d, bytes, &b) == GLIM_OK);
    }
    must(glim_detok_finish(&d, &b) == GLIM_OK);
    must(rc || glim_str_eq(glim_buf_view(&b), text));
    glim_buf_deinit(&b);
    glim_ids_deinit(&ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static glim_tokenizer *glm4, *deepseek;
    if (!glm4) glm4 = make("glm4");
    if (!deepseek) deepseek = make("deepseek-v3");
    if (size < 3) return 0;
    /* The first three bytes place two plain spans. */
    glim_str text = {(const char *)data + 3, size - 3};
    size_t b = data[0] % (text.n + 1), m = b + data[1] % (text.n - b + 1);
    size_t end = m + data[2] % (text.n - m + 1);
    glim_span plain[] = {{b, m}, {m, end}};
    round_trip(glm4, text, NULL, 0, true);
    round_trip(glm4, text, plain, 2, false);
    round_trip(deepseek, text, NULL, 0, false);
    return 0;
}
