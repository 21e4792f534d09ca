/* SPDX-License-Identifier: MIT
 * tiny_tok.h - small byte-level tokenizers for tests and fuzz targets: 256 bytes, the products of
 * some merges, some special tokens, in this order. */
#ifndef GLIM_TESTS_TINY_TOK_H
#define GLIM_TESTS_TINY_TOK_H

#include "text/text.h"

/* The letter of the GPT-2 byte alphabet for byte b, as UTF-8; its length. */
static inline size_t tiny_letter(unsigned b, char out[4])
{
    unsigned cp = b, next = 0x100;
    for (unsigned c = 0; c <= b; c++) {
        bool self = (c >= 0x21 && c <= 0x7E) || (c >= 0xA1 && c <= 0xAC) || c >= 0xAE;
        if (c == b && !self) cp = next;
        if (!self) next++;
    }
    return (size_t)glim_utf8_encode(cp, out);
}

static inline glim_str tiny_copy(glim_arena *a, const char *p, size_t n)
{
    return glim_arena_str(a, (glim_str){p, n});
}

static inline bool tiny_known(const glim_tokenizer_spec *s, glim_str text)
{
    for (size_t i = 0; i < s->n_token; i++)
        if (glim_str_eq(s->text[i], text)) return true;
    return false;
}

/* merges: "a b" in the byte alphabet. specials: 'C' (control) or 'U' (user) before the text.
 * False: no memory. The split is that of glm4, without ignore_merges. */
static inline bool tiny_spec(glim_arena *a, const char *const *merges, size_t n_merge,
                             const char *const *specials, size_t n_special, glim_tokenizer_spec *s)
{
    memset(s, 0, sizeof *s);
    size_t cap = 256 + n_merge + n_special;
    s->text = GLIM_ARENA_ARRAY(a, glim_str, cap);
    s->attr = glim_arena_alloc(a, cap);
    s->merges = glim_arena_array(a, n_merge, sizeof *s->merges);
    if (!s->text || !s->attr || !s->merges) return false;
    memset(s->attr, GLIM_TOKEN_NORMAL, cap);
    for (unsigned b = 0; b < 256; b++) {
        char letter[4];
        size_t n = tiny_letter(b, letter);
        s->text[s->n_token++] = tiny_copy(a, letter, n);
    }
    for (size_t i = 0; i < n_merge; i++) {
        const char *m = merges[i], *space = strchr(m, ' ');
        char product[64];
        size_t n_a = (size_t)(space - m), n_b = strlen(space + 1);
        if (n_a + n_b > sizeof product) return false;
        memcpy(product, m, n_a);
        memcpy(product + n_a, space + 1, n_b);
        s->merges[i].a = tiny_copy(a, m, n_a);
        s->merges[i].b = tiny_copy(a, space + 1, n_b);
        if (!tiny_known(s, (glim_str){product, n_a + n_b}))
            s->text[s->n_token++] = tiny_copy(a, product, n_a + n_b);
    }
    s->n_merge = n_merge;
    for (size_t i = 0; i < n_special; i++) {
        s->attr[s->n_token] = specials[i][0] == 'C' ? GLIM_TOKEN_CONTROL : GLIM_TOKEN_USER;
        s->text[s->n_token++] = tiny_copy(a, specials[i] + 1, strlen(specials[i] + 1));
    }
    for (size_t i = 0; i < s->n_token; i++)
        if (!s->text[i].p) return false;
    glim_err rc = glim_pretok_named(GLIM_STR("glm4"), s, NULL);
    s->ignore_merges = false;
    return rc == GLIM_OK;
}

#endif
