/* SPDX-License-Identifier: MIT
 * padvocab.c - makes a small vocabulary as large as a real one: its normal tokens keep their ids, fillers
 * follow, its special tokens come at the id asked for, unused ids end it.
 * Owns:   what the fillers are: syllables of the Yi script (U+A000..U+A48C) and pairs of them, each with
 * the merge that makes it. So every filler can come out of text and goes back to whole characters, and
 * text without that script is cut as before.
 * Not here: files, and which ids a model has.
 * Thread: any; memory is the arena's.
 * Fails:  INPUT (the base is not of this shape, or does not fit), NOMEM.
 * See:    tests/unit/text/test_padvocab.c */
#include "tok_priv.h"

#include <stdio.h>

enum { FIRST = 0xA000, N_SYLLABLE = 0x48D };

typedef struct pad {
    glim_arena *a;
    glim_map *known; /* texts of normal tokens */
    glim_tokenizer_spec *out;
    size_t n_normal; /* that the result has */
    glim_str alphabet[256];
    glim_str syllable[N_SYLLABLE];
    size_t n_syllable;
} pad;

/* The letters that bytes are written with: printable ones are themselves, the others follow from
 * U+0100 on. */
static glim_err make_letters(pad *p, glim_error *e)
{
    uint32_t next = 0x100;
    for (uint32_t b = 0; b < 256; b++) {
        bool self = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
        char text[4];
        int n = glim_utf8_encode(self ? b : next++, text);
        p->alphabet[b] = glim_arena_str(p->a, (glim_str){text, (size_t)n});
        if (!p->alphabet[b].p) return glim_fail(e, GLIM_E_NOMEM, "no memory for the vocabulary");
    }
    return GLIM_OK;
}

static glim_str join(glim_arena *a, glim_str x, glim_str y)
{
    char *p = glim_arena_alloc(a, x.n + y.n);
    if (!p) return (glim_str){0};
    memcpy(p, x.p, x.n);
    memcpy(p + x.n, y.p, y.n);
    return (glim_str){p, x.n + y.n};
}

/* The token x y, made by merging the two; *out is its text. Nothing when it is there already or the
 * vocabulary is full. */
static glim_err add_pair(pad *p, glim_str x, glim_str y, glim_str *out, glim_error *e)
{
    glim_str text = join(p->a, x, y);
    glim_tokenizer_spec *o = p->out;
    *out = text;
    glim_err rc = text.p ? GLIM_OK : GLIM_E_NOMEM;
    if (!rc && (o->n_token == p->n_normal || glim_map_get(p->known, text, NULL))) return GLIM_OK;
    if (!rc) rc = glim_map_put(p->known, text, 0);
    if (rc) return glim_fail(e, GLIM_E_NOMEM, "no memory for token %zu", o->n_token);
    o->attr[o->n_token] = GLIM_TOKEN_NORMAL;
    o->text[o->n_token++] = text;
    o->merges[o->n_merge++] = (struct glim_merge_spec){x, y};
    return GLIM_OK;
}

/* A syllable is three bytes; the first two merge, then the third. Where the base has a token of the last
 * two, these would merge first and the syllable never come about: it is left out. */
static glim_err add_syllables(pad *p, glim_error *e)
{
    glim_err rc = GLIM_OK;
    for (uint32_t i = 0; !rc && i < N_SYLLABLE; i++) {
        char utf8[4];
        (void)glim_utf8_encode(FIRST + i, utf8);
        glim_str b[3], head;
        for (int k = 0; k < 3; k++)
            b[k] = p->alphabet[(unsigned char)utf8[k]];
        glim_str tail = join(p->a, b[1], b[2]);
        if (!tail.p) return glim_fail(e, GLIM_E_NOMEM, "no memory for the vocabulary");
        if (glim_map_get(p->known, tail, NULL)) continue;
        rc = add_pair(p, b[0], b[1], &head, e);
        if (!rc) rc = add_pair(p, head, b[2], &p->syllable[p->n_syllable], e);
        p->n_syllable += !rc;
    }
    return rc;
}

static glim_err add_fillers(pad *p, glim_error *e)
{
    glim_str text;
    glim_err rc = add_syllables(p, e);
    for (size_t i = 0; !rc && i < p->n_syllable; i++)
        for (size_t j = 0; !rc && j < p->n_syllable && p->out->n_token < p->n_normal; j++)
            rc = add_pair(p, p->syllable[i], p->syllable[j], &text, e);
    if (!rc && p->out->n_token < p->n_normal)
        rc = glim_fail(e, GLIM_E_INPUT,
                       "a vocabulary of %zu normal tokens cannot be made: %zu is the end",
                       p->n_normal, p->out->n_token);
    return rc;
}

static bool is_special(uint8_t attr)
{
    return attr == GLIM_TOKEN_CONTROL || attr == GLIM_TOKEN_USER;
}

/* Counts the base: normal tokens, then special ones, then at most unused ones. */
static bool count(const glim_tokenizer_spec *base, size_t *n_normal, size_t *n_special)
{
    size_t i = 0;
    while (i < base->n_token && base->attr[i] == GLIM_TOKEN_NORMAL && base->text[i].p)
        i++;
    *n_normal = i;
    while (i < base->n_token && is_special(base->attr[i]) && base->text[i].p)
        i++;
    *n_special = i - *n_normal;
    while (i < base->n_token && base->attr[i] == GLIM_TOKEN_UNUSED)
        i++;
    return i == base->n_token && *n_special > 0;
}

static glim_err fill(pad *p, const glim_tokenizer_spec *base, size_t n_base, size_t n_special,
                     size_t n_token, glim_error *e)
{
    glim_tokenizer_spec *o = p->out;
    for (size_t i = 0; i < n_base; i++) {
        glim_err rc = glim_map_put(p->known, base->text[i], 0);
        if (rc == GLIM_E_STATE)
            return glim_fail(e, GLIM_E_INPUT, "token %zu %s is there twice", i,
                             GLIM_QUOTE(base->text[i]));
        if (rc) return glim_fail(e, rc, "no memory for token %zu", i);
        o->text[i] = base->text[i];
        o->attr[i] = GLIM_TOKEN_NORMAL;
    }
    for (size_t i = 0; i < base->n_merge; i++)
        o->merges[i] = base->merges[i];
    o->n_token = n_base;
    o->n_merge = base->n_merge;
    glim_err rc = make_letters(p, e);
    if (!rc) rc = add_fillers(p, e);
    for (size_t i = 0; !rc && i < n_special; i++, o->n_token++) {
        o->text[o->n_token] = base->text[n_base + i];
        o->attr[o->n_token] = base->attr[n_base + i];
    }
    for (; !rc && o->n_token < n_token; o->n_token++) {
        char text[32];
        int n = snprintf(text, sizeof text, "[unused %zu]", o->n_token);
        o->text[o->n_token] = glim_arena_str(p->a, (glim_str){text, (size_t)n});
        o->attr[o->n_token] = GLIM_TOKEN_UNUSED;
        if (!o->text[o->n_token].p)
            rc = glim_fail(e, GLIM_E_NOMEM, "no memory for token %zu", o->n_token);
    }
    return rc;
}

glim_err glim_vocab_pad(glim_arena *a, const glim_tokenizer_spec *base, size_t first_special,
                        size_t n_token, glim_tokenizer_spec *out, glim_error *e)
{
    size_t n_base, n_special;
    if (!count(base, &n_base, &n_special))
        return glim_fail(e, GLIM_E_INPUT,
                         "the vocabulary is not normal tokens followed by special ones");
    if (n_base > first_special || n_special > n_token || first_special > n_token - n_special)
        return glim_fail(
            e, GLIM_E_INPUT,
            "%zu normal and %zu special tokens do not fit %zu ids with special ones from %zu",
            n_base, n_special, n_token, first_special);
    *out = *base; /* the rules of splitting */
    out->text = glim_arena_array(a, n_token, sizeof *out->text);
    out->attr = glim_arena_alloc(a, n_token);
    out->merges =
        glim_arena_array(a, base->n_merge + (first_special - n_base), sizeof *out->merges);
    pad *p = GLIM_ARENA_NEW0(a, pad);
    if (!out->text || !out->attr || !out->merges || !p)
        return glim_fail(e, GLIM_E_NOMEM, "no memory for a vocabulary of %zu tokens", n_token);
    *p = (pad){.a = a, .known = glim_map_new(first_special), .out = out, .n_normal = first_special};
    if (!p->known)
        return glim_fail(e, GLIM_E_NOMEM, "no memory for a vocabulary of %zu tokens", n_token);
    glim_err rc = fill(p, base, n_base, n_special, n_token, e);
    glim_map_free(p->known);
    return rc;
}
