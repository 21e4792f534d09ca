/* SPDX-License-Identifier: MIT
 * tok_priv.h - what the tokenizer's files share: the loaded tables, special-token search, splitting.
 * Nobody outside the room includes this. */
#ifndef GLIM_TOK_PRIV_H
#define GLIM_TOK_PRIV_H

#include "text/text.h"

#define GLIM_SPLIT_MAX 8
#define GLIM_TOKEN_HOLE 0 /* attr of an id that no token has */

/* ---- pretok.c, splitre.c: text -> pieces ----------------------------------------------------- */

/* Writes the PCRE2 form of a Hugging Face (Oniguruma, Ruby syntax) expression to out. UNSUPPORTED
 * names the construct and its place when glim cannot promise the same matches. */
GLIM_MUST_USE glim_err glim_splitre_translate(glim_str re, glim_buf *out, glim_error *e);

/* Compiled splits; immutable. Thread: any. */
typedef struct glim_pretok glim_pretok;
GLIM_MUST_USE glim_err glim_pretok_new(const glim_str *split, size_t n_split, glim_pretok **out,
                                       glim_error *e);
void glim_pretok_free(glim_pretok *p);

/* What one call needs for matching; for one thread at a time. */
typedef struct glim_pretok_work {
    void *limits;                /* pcre2_match_context */
    void *match[GLIM_SPLIT_MAX]; /* pcre2_match_data, one a split: they are active at once */
} glim_pretok_work;
/* n_text: bytes of the longest text to come, which sets the limit of steps. On error nothing is left
 * to deinit. */
GLIM_MUST_USE glim_err glim_pretok_work_init(const glim_pretok *p, glim_pretok_work *w,
                                             size_t n_text, glim_error *e);
void glim_pretok_work_deinit(glim_pretok_work *w);

/* Is handed the non-empty pieces in order; they cover the text. */
typedef glim_err (*glim_piece_fn)(void *user, glim_str piece, glim_error *e);
/* text must be valid UTF-8. Errors: fn's own; LIMIT when a pattern needs too many steps. */
GLIM_MUST_USE glim_err glim_pretok_run(const glim_pretok *p, glim_pretok_work *w, glim_str text,
                                       glim_piece_fn fn, void *user, glim_error *e);

/* ---- vocab.c: tables ------------------------------------------------------------------------- */

/* Token ids by their bytes; open addressing, id -1 is an empty slot. */
typedef struct glim_tokmap {
    struct glim_tokslot {
        uint32_t hash;
        int32_t id;
    } *slot;
    size_t mask; /* slots - 1 */
} glim_tokmap;

/* Merges by the pair of ids; open addressing, key UINT64_MAX is an empty slot. Most pairs that are
 * asked for do not merge; the filter tells nearly all of those without a look at the big table. */
typedef struct glim_mergemap {
    struct glim_mergeslot {
        uint64_t key; /* left id << 32 | right id */
        uint32_t rank;
        int32_t id; /* of the product */
    } *slot;
    size_t mask;
    uint8_t *filter; /* a bit for each of 8 x slots hashes */
} glim_mergemap;

#define GLIM_NO_RANK UINT32_MAX

typedef struct glim_special {
    const char *p;
    uint32_t n;
    int32_t id;
} glim_special;

struct glim_tokenizer {
    size_t n_token;
    uint32_t *begin; /* n_token + 1 offsets into bytes */
    char *bytes;     /* of all tokens, one behind the other */
    uint8_t *attr;   /* glim_token_attr or GLIM_TOKEN_HOLE */
    glim_tokmap normal; /* what BPE may make: normal tokens, by their bytes */
    glim_tokmap other;  /* all the rest, by their text: never made from plain text */
    int32_t byte_id[256]; /* -1: a byte that UTF-8 never has */
    glim_mergemap merge;
    bool ignore_merges;
    glim_special *special; /* CONTROL and USER, sorted by bytes */
    size_t n_special;
    uint32_t special_begin[257]; /* by first byte: range in special */
    glim_pretok *pretok;
};

/* Id of the token of that map with these bytes, -1: none. */
int32_t glim_tokmap_get(const glim_tokenizer *t, const glim_tokmap *m, glim_str s);
static inline uint64_t glim_merge_hash(uint64_t key)
{
    uint64_t h = key * UINT64_C(0x9E3779B97F4A7C15);
    return h ^ h >> 32;
}
/* The merge of two ids; NULL: they do not merge. */
static inline const struct glim_mergeslot *glim_mergemap_get(const glim_mergemap *m, int32_t left,
                                                             int32_t right)
{
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right, h = glim_merge_hash(key);
    size_t bit = (size_t)(h >> 3) & m->mask;
    if (!(m->filter[bit] >> (h & 7) & 1)) return NULL;
    for (size_t i = (size_t)h & m->mask;; i = (i + 1) & m->mask) {
        if (m->slot[i].key == key) return &m->slot[i];
        if (m->slot[i].key == UINT64_MAX) return NULL;
    }
}

/* ---- special.c: finding special tokens in text ----------------------------------------------- */

/* Fills special, n_special, special_begin from attr and bytes. */
GLIM_MUST_USE glim_err glim_specials_build(glim_tokenizer *t, glim_error *e);
/* Length of the longest special token at the beginning of s, 0: none; *id is then untouched. */
size_t glim_special_at(const glim_tokenizer *t, glim_str s, int32_t *id);

#endif
