/* SPDX-License-Identifier: MIT
 * trie.c - keys that begin at a place of a text: a trie of bytes.
 * Owns: its nodes, which lie in the order of their depth, so that the children of a node
 * follow each other and a step is a search among few.
 * Not here: what the keys mean (unigram.c, wordpiece.c, enctok.c).
 * Thread: a built trie any.
 * Fails: GLIM_E_FORMAT (a key is there twice), GLIM_E_NOMEM.
 * See: tests/unit/text/test_unigram.c */
#include "enctok_priv.h"

#include <stdlib.h>

static int by_bytes(const void *a, const void *b)
{
    const glim_triekey *x = a, *y = b;
    int c = memcmp(x->s.p, y->s.p, GLIM_MIN(x->s.n, y->s.n));
    if (c) return c;
    return (x->s.n > y->s.n) - (x->s.n < y->s.n);
}

/* Nodes that sorted keys need: the root and every byte not shared with the key before. */
static bool count_nodes(const glim_triekey *key, size_t n_key, size_t *out)
{
    size_t n = 1;
    for (size_t i = 0; i < n_key; i++) {
        size_t same = 0;
        if (i > 0) {
            size_t most = GLIM_MIN(key[i].s.n, key[i - 1].s.n);
            while (same < most && key[i].s.p[same] == key[i - 1].s.p[same])
                same++;
        }
        if (!glim_add_size(n, key[i].s.n - same, &n)) return false;
    }
    *out = n;
    return n < UINT32_MAX;
}

/* The keys below a node that is not yet opened: [lo, hi). */
typedef struct range {
    uint32_t lo, hi;
} range;

/* Opens the nodes one after the other; what is below a node goes to the end. depth: bytes above. */
static void open_nodes(glim_trie *t, const glim_triekey *key, range *r)
{
    size_t n = 1, level_end = 1, depth = 0;
    for (size_t i = 0; i < n; i++) {
        if (i == level_end) {
            level_end = n;
            depth++;
        }
        glim_trienode *node = &t->node[i];
        uint32_t lo = r[i].lo, hi = r[i].hi;
        node->id = -1;
        if (lo < hi && key[lo].s.n == depth) node->id = key[lo++].id;
        node->child = (uint32_t)n;
        while (lo < hi) {
            uint8_t c = (uint8_t)key[lo].s.p[depth];
            uint32_t end = lo + 1;
            while (end < hi && (uint8_t)key[end].s.p[depth] == c)
                end++;
            t->node[n].byte = c;
            r[n++] = (range){lo, end};
            node->n_child++;
            lo = end;
        }
    }
    t->n_node = n;
}

glim_err glim_trie_build(glim_trie *t, glim_triekey *key, size_t n_key, glim_error *e)
{
    size_t n_node = 0;
    *t = (glim_trie){0};
    if (n_key > 1) qsort(key, n_key, sizeof *key, by_bytes);
    for (size_t i = 1; i < n_key; i++)
        if (glim_str_eq(key[i - 1].s, key[i].s))
            return glim_fail(e, GLIM_E_FORMAT, "the tokens %d and %d are both %s",
                             (int)GLIM_MIN(key[i - 1].id, key[i].id),
                             (int)GLIM_MAX(key[i - 1].id, key[i].id), GLIM_QUOTE(key[i].s));
    bool fits = n_key < UINT32_MAX && count_nodes(key, n_key, &n_node);
    range *r = fits ? glim_alloc_array(n_node, sizeof *r) : NULL;
    t->node = r ? glim_alloc_array(n_node, sizeof *t->node) : NULL;
    if (!t->node) {
        glim_free(r);
        return glim_fail(e, GLIM_E_NOMEM, "no memory for a vocabulary of %zu tokens", n_key);
    }
    r[0] = (range){0, (uint32_t)n_key};
    open_nodes(t, key, r);
    glim_free(r);
    return GLIM_OK;
}

void glim_trie_deinit(glim_trie *t)
{
    glim_free(t->node);
    *t = (glim_trie){0};
}

uint32_t glim_trie_step(const glim_trie *t, uint32_t node, uint8_t c)
{
    if (!t->node) return 0;
    uint32_t lo = t->node[node].child, hi = lo + t->node[node].n_child, end = hi;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (t->node[mid].byte < c)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < end && t->node[lo].byte == c ? lo : 0;
}
