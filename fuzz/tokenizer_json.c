/* SPDX-License-Identifier: MIT
 * tokenizer_json.c - fuzz target: any bytes as tokenizer.json; what is accepted must tokenize, with ids
 * that exist, and give the text back. */
#include "text/text.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool x)
{
    if (!x) abort();
}

static void use(const glim_tokenizer *t, const char *text, bool all_plain)
{
    glim_ids ids;
    glim_buf b;
    glim_error e = {0};
    glim_ids_init(&ids, 1000);
    glim_buf_init(&b, 10000);
    glim_err rc = glim_tokenize_spans(t, glim_str_of(text), NULL, 0, all_plain, &ids, &e);
    /* A pattern from the file may be one that has no end. */
    must(rc == GLIM_OK || rc == GLIM_E_LIMIT);
    for (size_t i = 0; i < ids.n; i++)
        glim_buf_addv(&b, glim_token_bytes(t, ids.p[i]));
    must(rc || glim_str_is(glim_buf_view(&b), text));
    glim_buf_deinit(&b);
    glim_ids_deinit(&ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    glim_arena *a = glim_arena_new((size_t)64 << 20);
    glim_tokenizer_spec spec;
    glim_tokenizer *t = NULL;
    glim_error e = {0};
    if (!a) return 0;
    glim_err rc = glim_tokenizer_json_read(a, (glim_str){(const char *)data, size}, &spec, &e);
    if (!rc) rc = glim_tokenizer_new(&spec, &t, &e);
    must(!rc || (e.code == rc && e.msg[0]));
    glim_arena_free(a);
    if (!rc) {
        use(t, "Hello, world! I'll be 12345   back.\r\n\n", true);
        use(t,
            "<|user|>\xE4\xBD\xA0\xE5\xA5\xBD <t>e\xCC\x81 \xF0\x9F\x98\x80 "
            "aaaaaaaaaaaaaaaaaaaaaaaa",
            false);
    }
    glim_tokenizer_free(t);
    return 0;
}
