/* SPDX-License-Identifier: MIT
 * candidates.c - fuzz target: words of a list in a text, words of a text. The input is lines: the text,
 * then a word a line. What is found is what a search without any art finds; frequent words are parts
 * of the text, each once. */
#include "text/segment_priv.h"

#include <stdlib.h>

enum { TEXT_MAX = 2000, WORDS_MAX = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool x)
{
    if (!x) abort();
}

typedef struct chars {
    uint32_t p[TEXT_MAX];
    size_t n;
} chars;

static bool decode(glim_str s, chars *out)
{
    out->n = 0;
    for (size_t i = 0; i < s.n;) {
        int n = glim_utf8_decode(glim_str_sub(s, i, s.n), &out->p[out->n++]);
        if (n == 0) return false;
        i += (size_t)n;
    }
    return true;
}

static bool stands_at(const chars *t, size_t at, const chars *w)
{
    size_t end = at + w->n;
    if (end > t->n) return false;
    for (size_t i = 0; i < w->n; i++)
        if (glim_fold_case(t->p[at + i]) != glim_fold_case(w->p[i])) return false;
    return !(at > 0 && glim_joins_word(w->p[0]) && glim_joins_word(t->p[at - 1])) &&
           !(end < t->n && glim_joins_word(w->p[w->n - 1]) && glim_joins_word(t->p[end]));
}

static bool same(const chars *a, const chars *b)
{
    if (a->n != b->n) return false;
    for (size_t i = 0; i < a->n; i++)
        if (glim_fold_case(a->p[i]) != glim_fold_case(b->p[i])) return false;
    return true;
}

/* Is word i to be found: it stands there, and none before it is spelled the same. */
static bool wanted(const chars *text, const glim_str *words, size_t i)
{
    static chars w, other;
    bool found = false;
    (void)decode(words[i], &w);
    for (size_t at = 0; w.n >= 2 && at < text->n && !found; at++)
        found = stands_at(text, at, &w);
    for (size_t j = 0; j < i && found; j++) {
        (void)decode(words[j], &other);
        found = !same(&w, &other);
    }
    return found;
}

static void check_find(glim_str text, const glim_str *words, size_t n)
{
    static chars t;
    glim_word_list got;
    glim_error e = {0};
    bool valid = glim_utf8_valid(text, NULL);
    size_t k = 0;
    for (size_t i = 0; i < n; i++)
        valid = valid && glim_utf8_valid(words[i], NULL);
    glim_err rc = glim_words_find(text, words, n, &got, &e);
    must(rc == (valid ? GLIM_OK : GLIM_E_INPUT));
    if (valid) {
        must(decode(text, &t));
        for (size_t i = 0; i < n; i++)
            if (wanted(&t, words, i)) {
                must(k < got.n && got.p[k].p == words[i].p && got.p[k].n == words[i].n);
                k++;
            }
    }
    must(got.n == k);
    glim_free(got.p);
}

static void check_frequent(glim_str text)
{
    static chars a, b;
    glim_word_list got;
    glim_error e = {0};
    bool valid = glim_utf8_valid(text, NULL);
    must(glim_words_frequent(text, 100, &got, &e) == (valid ? GLIM_OK : GLIM_E_INPUT));
    must(got.n <= 100);
    for (size_t i = 0; i < got.n; i++) {
        must(got.p[i].p >= text.p && got.p[i].p + got.p[i].n <= text.p + text.n);
        must(decode(got.p[i], &a) && a.n >= 2 && a.n <= 32);
        for (size_t j = 0; j < i; j++)
            must(decode(got.p[j], &b) && !same(&a, &b));
    }
    glim_free(got.p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    glim_str rest = {(const char *)data, GLIM_MIN(size, (size_t)TEXT_MAX)}, line[WORDS_MAX];
    size_t n = 0;
    while (rest.n && n < WORDS_MAX) {
        size_t len = glim_str_find(rest, GLIM_STR("\n"));
        len = GLIM_MIN(len, rest.n);
        line[n++] = glim_str_sub(rest, 0, len);
        rest = glim_str_sub(rest, GLIM_MIN(len + 1, rest.n), rest.n);
    }
    if (n == 0) return 0;
    check_find(line[0], line + 1, n - 1);
    check_frequent(line[0]);
    return 0;
}
