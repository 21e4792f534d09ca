/* SPDX-License-Identifier: MIT
 * detok.c - fuzz target: the text never depends on how the bytes were cut, is always valid UTF-8, and
 * is the input where that was. */
#include "text/text.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool x)
{
    if (!x) abort();
}

/* Pieces of 1 to step bytes, in turn. */
static void decode(glim_str s, size_t step, glim_buf *out)
{
    glim_detok d;
    glim_detok_init(&d);
    size_t len = 1;
    for (size_t i = 0; i < s.n;) {
        size_t n = GLIM_MIN(len, s.n - i);
        must(glim_detok_push(&d, glim_str_sub(s, i, i + n), out) == GLIM_OK);
        must(d.n_held < 4);
        i += n;
        len = len < step ? len + 1 : 1;
    }
    must(glim_detok_finish(&d, out) == GLIM_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    glim_str s = {(const char *)data, size};
    glim_buf whole, cut;
    glim_buf_init(&whole, 4 * size + 16);
    glim_buf_init(&cut, 4 * size + 16);
    decode(s, size + 1, &whole);
    must(glim_utf8_valid(glim_buf_view(&whole), NULL));
    if (glim_utf8_valid(s, NULL)) must(glim_str_eq(glim_buf_view(&whole), s));
    for (size_t step = 1; step <= 5; step++) {
        glim_buf_clear(&cut);
        decode(s, step, &cut);
        must(glim_str_eq(glim_buf_view(&cut), glim_buf_view(&whole)));
    }
    glim_buf_deinit(&whole);
    glim_buf_deinit(&cut);
    return 0;
}
