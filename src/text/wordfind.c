/* SPDX-License-Identifier: MIT
 * wordfind.c - which of many words stand in a text, in one pass over it.
 * Owns: the automaton (Aho and Corasick 1975).
 * Not here: letter case and word characters (segment.c).
 * How: words and text are spelled the same way: case folded, and with a mark wherever a character that
 *      joins stands beside one that does not (or at either end). So "360" is mark 3 6 0 mark and
 *      is no part of mark 3 6 0 0 mark; a match needs no look around, and each word leaves the
 *      search with its first one. Every step is then paid by a byte of the text or by a word.
 * Layout: nodes in breadth-first order, so that the children of one are neighbours, sorted by byte;
 *      those of node i end where those of node i + 1 begin. A large vocabulary is searched for in
 *      several passes, so that memory stays within bounds.
 * Thread: any.
 * Fails: GLIM_E_INPUT, GLIM_E_LIMIT, GLIM_E_NOMEM.
 * See: tests/unit/text/test_segment.c, fuzz/candidates.c */
#include "text/segment_priv.h"

#include <stdlib.h>

enum {
    MARK = 0xFF, /* a byte that UTF-8 never has */
    SPELLED_MAX = 5,
    BATCH_BYTES = 1 << 20 /* of patterns; each takes some 30 bytes while it is searched for */
};

typedef struct pattern {
    const uint8_t *p; /* into finder.spelled */
    uint32_t n;
    uint32_t word; /* its number in the caller's list */
} pattern;

typedef struct node {
    uint32_t first; /* of its children */
    uint32_t fail;  /* longest proper suffix that is a node too */
    uint32_t
        link; /* itself while its word is looked for, else towards the next suffix with one; 0: none */
    uint32_t word; /* that ends here */
    uint8_t byte;  /* that leads here */
} node;

typedef struct range { /* patterns that share the bytes that lead to a node */
    uint32_t begin, end;
} range;

typedef struct finder {
    glim_buf spelled;
    pattern *patterns;
    size_t n_pattern;
    node *nodes; /* nodes[n_node].first ends the last children */
    range *ranges;
    size_t n_node;
    bool *found; /* a word of the caller's */
    size_t n_found;
} finder;

/* ---- spelling -------------------------------------------------------------------------------- */

/* The bytes of a character; *joins is that of the one before, and of this one afterwards. */
static size_t spell(uint32_t cp, bool *joins, uint8_t out[SPELLED_MAX])
{
    char utf8[4];
    size_t n = 0;
    bool before = *joins;
    *joins = glim_joins_word(cp);
    if (before != *joins) out[n++] = MARK;
    int n_utf8 = glim_utf8_encode(glim_fold_case(cp), utf8);
    memcpy(out + n, utf8, (size_t)n_utf8);
    return n + (size_t)n_utf8;
}

/* Appends a word of valid UTF-8; returns the number of its characters. */
static size_t spell_word(glim_buf *b, glim_str word)
{
    bool joins = false;
    size_t n_char = 0;
    uint8_t bytes[SPELLED_MAX], mark = MARK;
    for (size_t i = 0; i < word.n; n_char++) {
        uint32_t cp;
        int n = glim_utf8_decode(glim_str_sub(word, i, word.n), &cp);
        if (GLIM_NEVER(n <= 0)) break;
        i += (size_t)n;
        glim_buf_add(b, bytes, spell(cp, &joins, bytes));
    }
    if (joins) glim_buf_add(b, &mark, 1);
    return n_char;
}

static int by_bytes(const void *a, const void *b)
{
    const pattern *x = a, *y = b;
    int c = memcmp(x->p, y->p, GLIM_MIN(x->n, y->n));
    if (c) return c;
    if (x->n != y->n) return x->n < y->n ? -1 : 1;
    return (x->word > y->word) - (x->word < y->word);
}

/* Sorted, and of those that are spelled the same the first alone. */
static void sort_patterns(finder *f)
{
    size_t at = 0, n = 0;
    for (size_t i = 0; i < f->n_pattern; i++) {
        f->patterns[i].p = (const uint8_t *)f->spelled.p + at;
        at += f->patterns[i].n;
    }
    if (f->n_pattern) qsort(f->patterns, f->n_pattern, sizeof *f->patterns, by_bytes);
    for (size_t i = 0; i < f->n_pattern; i++) {
        const pattern *p = &f->patterns[i], *last = n ? &f->patterns[n - 1] : NULL;
        if (!last || p->n != last->n || memcmp(p->p, last->p, p->n) != 0) f->patterns[n++] = *p;
    }
    f->n_pattern = n;
}

/* Spells the words that can be there: not those of more characters than the text has bytes. */
static glim_err spell_all(finder *f, size_t n_text, const glim_str *words, size_t n_word,
                          glim_error *e)
{
    for (size_t i = 0; i < n_word; i++) {
        glim_err rc = glim_words_check(words[i], "a word of the vocabulary", e);
        if (rc) return rc;
        size_t begin = f->spelled.n, n_char = spell_word(&f->spelled, words[i]);
        if (f->spelled.err)
            return glim_fail(e, f->spelled.err, "a vocabulary of %zu words is too large", n_word);
        if (n_char < 2 || n_char > n_text) {
            glim_buf_cut(&f->spelled, begin);
            continue;
        }
        pattern *p = &f->patterns[f->n_pattern++];
        p->n = (uint32_t)(f->spelled.n - begin);
        p->word = (uint32_t)i;
    }
    sort_patterns(f); /* the buffer moves no more: its bytes have places now */
    return GLIM_OK;
}

/* ---- automaton ------------------------------------------------------------------------------- */

/* Child of node i by a byte; 0: none (the root is nobody's child). */
static uint32_t child(const finder *f, uint32_t i, uint8_t byte)
{
    uint32_t lo = f->nodes[i].first, end = f->nodes[i + 1].first, hi = end;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (f->nodes[mid].byte < byte)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < end && f->nodes[lo].byte == byte ? lo : 0;
}

static uint32_t step(const finder *f, uint32_t i, uint8_t byte)
{
    for (;;) {
        uint32_t c = child(f, i, byte);
        if (c || i == 0) return c;
        i = f->nodes[i].fail;
    }
}

/* Makes the children of node i, which stands `depth` bytes deep. */
static void grow(finder *f, uint32_t i, uint32_t depth)
{
    range r = f->ranges[i];
    node *at = &f->nodes[i];
    at->first = (uint32_t)f->n_node;
    at->link = at->fail;
    if (r.begin < r.end && f->patterns[r.begin].n == depth) { /* a shorter one sorts first */
        at->link = i;
        at->word = f->patterns[r.begin++].word;
    }
    while (r.begin < r.end) {
        uint8_t byte = f->patterns[r.begin].p[depth];
        uint32_t end = r.begin + 1, c = (uint32_t)f->n_node++;
        while (end < r.end && f->patterns[end].p[depth] == byte)
            end++;
        f->nodes[c].byte = byte;
        f->ranges[c] = (range){r.begin, end};
        r.begin = end;
    }
    /* Suffixes are less deep, so their children are there; child() needs to know where i's end. */
    f->nodes[i + 1].first = (uint32_t)f->n_node;
    for (uint32_t c = at->first; c < f->n_node; c++)
        f->nodes[c].fail = i ? step(f, at->fail, f->nodes[c].byte) : 0;
}

/* The automaton of patterns [begin, end). */
static void build(finder *f, size_t begin, size_t end)
{
    f->ranges[0] = (range){(uint32_t)begin, (uint32_t)end};
    f->n_node = 1;
    uint32_t depth = 0;
    for (size_t i = 0, level_end = 1; i < f->n_node; i++) {
        if (i == level_end) {
            depth++;
            level_end = f->n_node;
        }
        grow(f, (uint32_t)i, depth);
    }
}

/* End of the patterns that one automaton holds, which begin there. */
static size_t batch_end(const finder *f, size_t begin)
{
    size_t end = begin, n_byte = 0;
    do
        n_byte += f->patterns[end++].n;
    while (end < f->n_pattern && n_byte + f->patterns[end].n <= BATCH_BYTES);
    return end;
}

static glim_err make_room(finder *f, glim_error *e)
{
    size_t n = BATCH_BYTES;
    for (size_t i = 0; i < f->n_pattern; i++)
        n = GLIM_MAX(n, f->patterns[i].n);
    n = GLIM_MIN(n, f->spelled.n) + 2; /* a node a byte, the root, the end */
    f->nodes = glim_alloc_array(n, sizeof *f->nodes);
    f->ranges = glim_alloc_array(n, sizeof *f->ranges);
    if (f->nodes && f->ranges) return GLIM_OK;
    return glim_fail(e, GLIM_E_NOMEM, "an automaton of %zu words", f->n_pattern);
}

/* ---- search ---------------------------------------------------------------------------------- */

/* The next node on the way of suffixes whose word is still looked for, 0 if none. What was passed is
 * led past the words already found, so that they are not walked over again and again. */
static uint32_t next_open(finder *f, uint32_t i)
{
    uint32_t open = i;
    while (f->nodes[open].link != open)
        open = f->nodes[open].link;
    while (i != open) {
        uint32_t next = f->nodes[i].link;
        f->nodes[i].link = open;
        i = next;
    }
    return open;
}

static void take_found(finder *f, uint32_t i)
{
    while ((i = next_open(f, i)) != 0) {
        f->found[f->nodes[i].word] = true;
        f->n_found++;
        f->nodes[i].link = f->nodes[i].fail;
    }
}

static void search(finder *f, glim_str text)
{
    bool joins = false;
    uint32_t at = 0;
    for (size_t i = 0; i < text.n;) {
        uint8_t bytes[SPELLED_MAX];
        uint32_t cp;
        int n = glim_utf8_decode(glim_str_sub(text, i, text.n), &cp);
        if (GLIM_NEVER(n <= 0)) return;
        i += (size_t)n;
        size_t n_byte = spell(cp, &joins, bytes);
        for (size_t k = 0; k < n_byte; k++) {
            at = step(f, at, bytes[k]);
            take_found(f, at);
        }
    }
    if (joins) take_found(f, step(f, at, MARK));
}

static glim_err collect(const finder *f, const glim_str *words, size_t n_word, glim_word_list *out,
                        glim_error *e)
{
    glim_str *p = glim_alloc_array(f->n_found, sizeof *p);
    if (!p) return glim_fail(e, GLIM_E_NOMEM, "a list of %zu words", f->n_found);
    size_t n = 0;
    for (size_t i = 0; i < n_word; i++)
        if (f->found[i]) p[n++] = words[i];
    *out = (glim_word_list){p, n};
    return GLIM_OK;
}

static glim_err find(finder *f, glim_str text, const glim_str *words, size_t n_word,
                     glim_word_list *out, glim_error *e)
{
    f->patterns = glim_alloc_array(n_word, sizeof *f->patterns);
    f->found = glim_alloc_array(n_word, sizeof *f->found);
    if (!f->patterns || !f->found)
        return glim_fail(e, GLIM_E_NOMEM, "a vocabulary of %zu words", n_word);
    glim_err rc = spell_all(f, text.n, words, n_word, e);
    if (!rc) rc = make_room(f, e);
    if (rc) return rc;
    for (size_t begin = 0, end; begin < f->n_pattern; begin = end) {
        end = batch_end(f, begin);
        build(f, begin, end);
        search(f, text);
    }
    return collect(f, words, n_word, out, e);
}

glim_err glim_words_find(glim_str text, const glim_str *words, size_t n_word, glim_word_list *out,
                         glim_error *e)
{
    finder f = {0};
    *out = (glim_word_list){0};
    if (n_word >= INT32_MAX)
        return glim_fail(e, GLIM_E_LIMIT, "a vocabulary of %zu words; less than %d are possible",
                         n_word, INT32_MAX);
    glim_err rc = glim_words_check(text, "the text", e);
    if (rc) return rc;
    glim_buf_init(&f.spelled, INT32_MAX); /* numbers of nodes have 32 bits */
    rc = find(&f, text, words, n_word, out, e);
    glim_buf_deinit(&f.spelled);
    glim_free(f.patterns);
    glim_free(f.found);
    glim_free(f.nodes);
    glim_free(f.ranges);
    return rc;
}
