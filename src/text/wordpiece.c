/* SPDX-License-Identifier: MIT
 * wordpiece.c - BERT's tokenizer: text cleaned and cut into words, words into the longest
 * pieces.
 * Owns: Hugging Face's BertNormalizer and BertPreTokenizer; utf8proc is used only here.
 * Not here: which tokens are pieces (enctok.c), blanks (uniclass.c). A character goes through
 *           all steps before the next is looked at, and no more than a word is held: marks
 *           are only put in order within a word, and a word beyond the limit is unknown
 *           whatever its order. Categories are those of utf8proc's Unicode; what is assigned
 *           later is no punctuation.
 * Thread: any.
 * Fails: GLIM_E_LIMIT, GLIM_E_NOMEM.
 * See: tests/unit/text/test_wordpiece.c */
#include "enctok_priv.h"
#include "uniclass_priv.h"

#include <utf8proc.h>

typedef struct state {
    const glim_enctok *t;
    glim_ids *ids;
    uint32_t word[GLIM_ENCTOK_WORD_MAX];
    uint8_t order[GLIM_ENCTOK_WORD_MAX]; /* canonical combining class */
    size_t n_word;                       /* of the word so far, beyond the limit too */
} state;

/* ---- kinds of characters --------------------------------------------------------------------- */

/* Rust's char::is_whitespace(): the information separators are none. */
static bool is_blank(uint32_t cp)
{
    return glim_uni_space(cp) && !(cp >= 0x1c && cp <= 0x1f);
}

/* What clean_text takes out. Unassigned characters stay. */
static bool is_dropped(uint32_t cp)
{
    if (cp == '\t' || cp == '\n' || cp == '\r') return false;
    utf8proc_category_t c = utf8proc_category((utf8proc_int32_t)cp);
    return cp == 0 || cp == 0xFFFD || c == UTF8PROC_CATEGORY_CC || c == UTF8PROC_CATEGORY_CF ||
           c == UTF8PROC_CATEGORY_CO;
}

static bool is_punctuation(uint32_t cp)
{
    if (cp < 0x80)
        return (cp >= '!' && cp <= '/') || (cp >= ':' && cp <= '@') || (cp >= '[' && cp <= '`') ||
               (cp >= '{' && cp <= '~');
    utf8proc_category_t c = utf8proc_category((utf8proc_int32_t)cp);
    return c >= UTF8PROC_CATEGORY_PC && c <= UTF8PROC_CATEGORY_PO;
}

static bool is_chinese(uint32_t cp)
{
    return (cp >= 0x4E00 && cp <= 0x9FFF) || (cp >= 0x3400 && cp <= 0x4DBF) ||
           (cp >= 0x20000 && cp <= 0x2A6DF) || (cp >= 0x2A700 && cp <= 0x2B73F) ||
           (cp >= 0x2B740 && cp <= 0x2B81F) || (cp >= 0x2B820 && cp <= 0x2CEAF) ||
           (cp >= 0xF900 && cp <= 0xFAFF) || (cp >= 0x2F800 && cp <= 0x2FA1F);
}

/* ---- words to pieces ------------------------------------------------------------------------- */

/* The longest piece at the beginning of s; returns its length, 0: none. */
static size_t longest(const glim_trie *t, glim_str s, int32_t *id)
{
    size_t found = 0;
    uint32_t node = 0;
    for (size_t i = 0; i < s.n; i++) {
        node = glim_trie_step(t, node, (uint8_t)s.p[i]);
        if (!node) break;
        if (t->node[node].id < 0) continue;
        found = i + 1;
        *id = t->node[node].id;
    }
    return found;
}

/* Appends the pieces of the word; one unknown when a part of it is no piece. */
static glim_err end_word(state *x)
{
    char utf8[4 * GLIM_ENCTOK_WORD_MAX];
    size_t n = 0, begin = x->ids->n, n_word = x->n_word;
    x->n_word = 0;
    if (n_word == 0) return GLIM_OK;
    if (n_word > GLIM_ENCTOK_WORD_MAX) return glim_ids_add(x->ids, x->t->role[GLIM_ENCTOK_UNK]);
    for (size_t i = 0; i < n_word; i++)
        n += (size_t)glim_utf8_encode(x->word[i], utf8 + n);
    for (size_t at = 0; at < n;) {
        int32_t id = -1;
        size_t len = longest(at ? &x->t->inner : &x->t->piece, (glim_str){utf8 + at, n - at}, &id);
        if (len == 0) {
            x->ids->n = begin;
            return glim_ids_add(x->ids, x->t->role[GLIM_ENCTOK_UNK]);
        }
        glim_err rc = glim_ids_add(x->ids, id);
        if (rc) return rc;
        at += len;
    }
    return GLIM_OK;
}

/* ---- characters to words --------------------------------------------------------------------- */

/* Marks of a higher class come later. */
static void put(state *x, uint32_t cp, uint8_t order)
{
    if (x->n_word < GLIM_ENCTOK_WORD_MAX) {
        size_t i = x->n_word;
        for (; order && i > 0 && x->order[i - 1] > order; i--) {
            x->word[i] = x->word[i - 1];
            x->order[i] = x->order[i - 1];
        }
        x->word[i] = cp;
        x->order[i] = order;
    }
    x->n_word++;
}

static glim_err pre_tokenize(state *x, uint32_t cp, uint8_t order)
{
    if (is_blank(cp)) return end_word(x);
    if (!is_punctuation(cp)) {
        put(x, cp, order);
        return GLIM_OK;
    }
    glim_err rc = end_word(x);
    put(x, cp, 0);
    return rc ? rc : end_word(x);
}

/* Lower case by each character alone, as the reference does: a sigma at the end of a word too.
 * The one character that becomes two is the I with a dot. */
static glim_err lower(state *x, uint32_t cp, uint8_t order)
{
    if (x->t->lower && cp == 0x130) {
        glim_err rc = pre_tokenize(x, 'i', 0);
        return rc ? rc : pre_tokenize(x, 0x307, 0);
    }
    if (x->t->lower) cp = (uint32_t)utf8proc_tolower((utf8proc_int32_t)cp);
    return pre_tokenize(x, cp, order);
}

static glim_err strip_accents(state *x, uint32_t cp)
{
    utf8proc_int32_t part[8] = {(utf8proc_int32_t)cp};
    int last = 0;
    if (!x->t->strip_accents) return lower(x, cp, 0);
    utf8proc_ssize_t n = utf8proc_decompose_char((utf8proc_int32_t)cp, part, GLIM_COUNT(part),
                                                 UTF8PROC_DECOMPOSE, &last);
    if (n < 0 || (size_t)n > GLIM_COUNT(part)) n = 1; /* of all characters the longest has four */
    glim_err rc = GLIM_OK;
    for (utf8proc_ssize_t i = 0; !rc && i < n; i++) {
        const utf8proc_property_t *p = utf8proc_get_property(part[i]);
        if (p->category == UTF8PROC_CATEGORY_MN) continue;
        rc = lower(x, (uint32_t)part[i], (uint8_t)p->combining_class);
    }
    return rc;
}

static glim_err feed(state *x, uint32_t cp)
{
    const glim_enctok *t = x->t;
    if (t->clean && is_dropped(cp)) return GLIM_OK;
    if (t->clean && is_blank(cp)) return end_word(x);
    if (!t->chinese || !is_chinese(cp)) return strip_accents(x, cp);
    glim_err rc = end_word(x);
    if (!rc) rc = strip_accents(x, cp);
    return rc ? rc : end_word(x);
}

glim_err glim_wordpiece_encode(const glim_enctok *t, glim_str text, glim_ids *ids, glim_error *e)
{
    state x = {.t = t, .ids = ids};
    glim_err rc = GLIM_OK;
    for (size_t i = 0; !rc && i < text.n;) {
        uint32_t cp = 0;
        int n = glim_utf8_decode(glim_str_sub(text, i, text.n), &cp);
        if (GLIM_NEVER(n <= 0)) break;
        i += (size_t)n;
        rc = feed(&x, cp);
    }
    if (!rc) rc = end_word(&x);
    return rc ? glim_enctok_ids_fail(ids, rc, e) : GLIM_OK;
}
