/* SPDX-License-Identifier: MIT
 * wordlist.c - the frequent words of a text that carry a meaning.
 * Owns: the stop words (stopwords.inc), what counts as a word of use.
 * Not here: where a text is cut (segment.c).
 * Thread: any.
 * Fails: as glim_segment(), GLIM_E_NOMEM.
 * See: tests/unit/text/test_segment.c */
#include "text/segment_priv.h"

#include <stdlib.h>

enum { CHARS_MIN = 2, CHARS_MAX = 32 };

const char *const glim_stop_words[] = {
#include "text/stopwords.inc"
};
const size_t glim_n_stop_word = GLIM_COUNT(glim_stop_words);

static int by_bytes(const void *key, const void *row)
{
    glim_str a = *(const glim_str *)key, b = glim_str_of(*(const char *const *)row);
    int c = memcmp(a.p, b.p, GLIM_MIN(a.n, b.n));
    return c ? c : (a.n > b.n) - (a.n < b.n);
}

bool glim_is_stop_word(glim_str folded)
{
    return bsearch(&folded, glim_stop_words, glim_n_stop_word, sizeof glim_stop_words[0],
                   by_bytes) != NULL;
}

typedef struct entry {
    glim_str word; /* as spelled first */
    uint32_t count, order;
} entry;

typedef struct list {
    glim_str text;
    glim_arena *keys; /* folded words */
    glim_map *map;    /* folded word -> entry */
    entry *p;
    size_t n, cap;
    bool nomem;
} list;

/* The form by which words are the same: letter case folded, one kind of apostrophe. Returns its
 * length, 0 for a word that is too short or too long. */
static size_t fold(glim_str word, char out[4 * CHARS_MAX])
{
    size_t n_out = 0, n_char = 0;
    for (size_t i = 0; i < word.n; n_char++) {
        uint32_t cp;
        int n = glim_utf8_decode(glim_str_sub(word, i, word.n), &cp);
        if (GLIM_NEVER(n <= 0) || n_char == CHARS_MAX) return 0;
        i += (size_t)n;
        cp = cp == 0x2019 ? '\'' : glim_fold_case(cp);
        n_out += (size_t)glim_utf8_encode(cp, out + n_out);
    }
    return n_char < CHARS_MIN ? 0 : n_out;
}

static bool add(list *l, glim_str word, glim_str folded)
{
    if (l->n == UINT32_MAX) return false;
    if (l->n == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 64, bytes;
        entry *p = glim_mul_size(cap, sizeof *p, &bytes) ? glim_realloc(l->p, bytes) : NULL;
        if (!p) return false;
        l->p = p;
        l->cap = cap;
    }
    glim_str key = glim_arena_str(l->keys, folded);
    if (!key.p || glim_map_put(l->map, key, (uint32_t)l->n)) return false;
    l->p[l->n] = (entry){word, 1, (uint32_t)l->n};
    l->n++;
    return true;
}

static bool count_word(void *user, size_t begin, size_t end)
{
    list *l = user;
    glim_str word = glim_str_sub(l->text, begin, end);
    char bytes[4 * CHARS_MAX];
    glim_str folded = {bytes, fold(word, bytes)};
    uint32_t i;
    if (folded.n == 0 || glim_is_stop_word(folded)) return true;
    if (glim_map_get(l->map, folded, &i)) {
        l->p[i].count++; /* at most one for two bytes of a text of less than 2 GiB */
        return true;
    }
    l->nomem = !add(l, word, folded);
    return !l->nomem;
}

static int by_count(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    if (x->count != y->count) return x->count < y->count ? 1 : -1;
    return (x->order > y->order) - (x->order < y->order);
}

static glim_err collect(list *l, size_t n_max, glim_word_list *out, glim_error *e)
{
    size_t n = GLIM_MIN(l->n, n_max);
    if (l->n) qsort(l->p, l->n, sizeof *l->p, by_count);
    glim_str *p = glim_alloc_array(n, sizeof *p);
    if (!p) return glim_fail(e, GLIM_E_NOMEM, "a list of %zu words", n);
    for (size_t i = 0; i < n; i++)
        p[i] = l->p[i].word;
    *out = (glim_word_list){p, n};
    return GLIM_OK;
}

glim_err glim_words_frequent(glim_str text, size_t n_max, glim_word_list *out, glim_error *e)
{
    list l = {.text = text, .keys = glim_arena_new(SIZE_MAX), .map = glim_map_new(64)};
    glim_err rc = GLIM_OK;
    *out = (glim_word_list){0};
    l.nomem = !l.keys || !l.map;
    if (!l.nomem) rc = glim_segment(text, count_word, &l, e);
    if (!rc && l.nomem) rc = glim_fail(e, GLIM_E_NOMEM, "words of a text of %zu bytes", text.n);
    if (!rc) rc = collect(&l, n_max, out, e);
    glim_map_free(l.map);
    glim_arena_free(l.keys);
    glim_free(l.p);
    return rc;
}
