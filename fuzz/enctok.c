/* SPDX-License-Identifier: MIT
 * enctok.c - fuzz target: any bytes as an encoder's tokenizer.json, SentencePiece model or
 * vocab.txt (by the first byte), then a text behind the last two NUL bytes; what is accepted
 * must give ids that exist. */
#include "text/text.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool x)
{
    if (!x) abort();
}

static void use(const glim_enctok *t, glim_str text, bool special)
{
    glim_ids ids, pair;
    glim_error e = {0};
    size_t n_first = 0;
    glim_ids_init(&ids, 10000);
    glim_ids_init(&pair, 40000);
    glim_err rc = glim_enctok_encode(t, text, special, &ids, &e);
    must(rc == GLIM_OK || rc == GLIM_E_LIMIT ||
         (rc == GLIM_E_INPUT && !glim_utf8_valid(text, NULL)));
    must(!rc || ids.n == 0);
    must(glim_enctok_pair(t, ids.p, ids.n, ids.p, ids.n, &pair, &n_first, &e) == GLIM_OK);
    must(pair.n == 2 * ids.n + glim_enctok_n_added(t, true) && n_first <= pair.n);
    for (size_t i = 0; i < pair.n; i++)
        must(glim_enctok_text(t, pair.p[i]).p != NULL);
    for (size_t i = 0; !special && i < ids.n; i++)
        must(glim_enctok_attr(t, ids.p[i]) != GLIM_TOKEN_CONTROL);
    glim_ids_deinit(&ids);
    glim_ids_deinit(&pair);
}

/* Where the text begins: behind the last pair of NUL bytes. */
static size_t text_at(const uint8_t *p, size_t n)
{
    for (size_t i = n; i > 2; i--)
        if (!p[i - 1] && !p[i - 2]) return i;
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    glim_enctok *t = NULL;
    glim_error e = {0};
    if (size == 0) return 0;
    size_t at = text_at(data, size), end = at == size ? size : at - 2;
    glim_str file = {(const char *)data + 1, end - 1}, text = {(const char *)data + at, size - at};
    glim_err rc;
    switch (data[0]) {
    case 'j':
        rc = glim_enctok_from_json(file, &t, &e);
        break;
    case 'v':
        rc = glim_enctok_from_vocab_txt(file, true, &t, &e);
        break;
    default:
        rc = glim_enctok_from_spm(file, data[0] == 'x', &t, &e);
        break;
    }
    must(!rc || (e.code == rc && e.msg[0]));
    if (!rc) {
        use(t, text, false);
        use(t, text, true);
        use(t, glim_str_of("Hello, W\xC3\xB6rld!  \xE4\xBD\xA0\xE5\xA5\xBD <s> [CLS] \xEF\xBC\xA1"),
            true);
    }
    glim_enctok_free(t);
    return 0;
}
