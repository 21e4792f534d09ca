/* SPDX-License-Identifier: MIT
 * special.c - which special token begins at a place of a text.
 * Owns: the sorted list of special tokens.
 * Not here: which places are asked (bpe.c). The list is sorted by bytes, so the tokens that share a
 *           prefix are one range; each further byte of the text narrows the range, and the shortest
 *           of a range comes first. That needs no memory beyond the list and looks at no more bytes
 *           than the longest token has.
 * Thread: any.
 * Fails: GLIM_E_NOMEM.
 * See: tests/unit/text/test_bpe.c */
#include "tok_priv.h"

#include <stdlib.h>

static int by_bytes(const void *a, const void *b)
{
    const glim_special *x = a, *y = b;
    int c = memcmp(x->p, y->p, GLIM_MIN(x->n, y->n));
    if (c) return c;
    return (x->n > y->n) - (x->n < y->n);
}

glim_err glim_specials_build(glim_tokenizer *t, glim_error *e)
{
    size_t n = 0;
    for (int pass = 0; pass < 2; pass++) {
        n = 0;
        for (size_t i = 0; i < t->n_token; i++) {
            glim_str s = glim_token_bytes(t, (int32_t)i);
            bool special = t->attr[i] == GLIM_TOKEN_CONTROL || t->attr[i] == GLIM_TOKEN_USER;
            if (!special || s.n == 0) continue; /* an empty one would be everywhere */
            if (pass == 1) t->special[n] = (glim_special){s.p, (uint32_t)s.n, (int32_t)i};
            n++;
        }
        if (pass == 0) {
            t->special = glim_alloc_array(n, sizeof *t->special);
            if (!t->special) return glim_fail(e, GLIM_E_NOMEM, "no memory for special tokens");
        }
    }
    t->n_special = n;
    if (n) qsort(t->special, n, sizeof *t->special, by_bytes);
    size_t k = 0;
    for (unsigned c = 0; c < 256; c++) {
        t->special_begin[c] = (uint32_t)k;
        while (k < n && (unsigned char)t->special[k].p[0] == c)
            k++;
    }
    t->special_begin[256] = (uint32_t)k;
    return GLIM_OK;
}

/* First token of [lo, hi) whose byte at depth is at least c; one that ends there counts as less. */
static uint32_t lower_bound(const glim_special *v, uint32_t lo, uint32_t hi, size_t depth,
                            unsigned c)
{
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        bool less = v[mid].n <= depth || (unsigned char)v[mid].p[depth] < c;
        if (less)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

size_t glim_special_at(const glim_tokenizer *t, glim_str s, int32_t *id)
{
    if (s.n == 0) return 0;
    unsigned c = (unsigned char)s.p[0];
    uint32_t lo = t->special_begin[c], hi = t->special_begin[c + 1];
    size_t found = 0;
    for (size_t depth = 1; lo < hi; depth++) {
        const glim_special *v = t->special;
        if (v[lo].n == depth) {
            found = depth;
            *id = v[lo].id;
        }
        if (depth == s.n) break;
        c = (unsigned char)s.p[depth];
        lo = lower_bound(v, lo, hi, depth, c);
        hi = lower_bound(v, lo, hi, depth, c + 1);
    }
    return found;
}
