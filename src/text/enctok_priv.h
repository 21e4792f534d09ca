/* SPDX-License-Identifier: MIT
 * enctok_priv.h - what the files of the encoder tokenizers share: the trie, the character map, the
 * loaded tokenizer. Nobody outside the room includes this. */
#ifndef GLIM_ENCTOK_PRIV_H
#define GLIM_ENCTOK_PRIV_H

#include "text/text.h"

#define GLIM_ENCTOK_TOKEN_MAX 512        /* bytes of a token; real ones have at most 64 */
#define GLIM_ENCTOK_WORD_MAX 100         /* characters of a word that WordPiece looks at */
#define GLIM_ENCTOK_BLANK "\xE2\x96\x81" /* U+2581, a blank in pieces */

/* ---- trie.c: which tokens begin at a place --------------------------------------------------- */

typedef struct glim_trienode {
    uint32_t child; /* the first; the others follow, by their bytes */
    int32_t id;     /* of the token that ends here, -1: none */
    uint16_t n_child;
    uint8_t byte;
} glim_trienode;

/* Immutable once built. Thread: any. */
typedef struct glim_trie {
    glim_trienode *node; /* 0 is the root; all zero: nothing is in it */
    size_t n_node;
} glim_trie;

typedef struct glim_triekey {
    glim_str s; /* not empty */
    int32_t id;
} glim_triekey;

/* Sorts keys. Errors: FORMAT (two keys are equal: which ids), NOMEM. */
GLIM_MUST_USE glim_err glim_trie_build(glim_trie *t, glim_triekey *key, size_t n_key,
                                       glim_error *e);
void glim_trie_deinit(glim_trie *t);
/* The node behind `node` and byte c; 0: none (the root is behind nothing). */
uint32_t glim_trie_step(const glim_trie *t, uint32_t node, uint8_t c);

/* ---- charsmap.c: the precompiled character map ----------------------------------------------- */

typedef struct glim_charsmap {
    uint32_t *unit; /* a double-array trie */
    size_t n_unit;
    char *pool; /* replacements, each with a NUL behind it */
    size_t n_pool;
} glim_charsmap;

/* Copies blob. Errors: FORMAT with the offset in the blob, LIMIT, NOMEM. */
GLIM_MUST_USE glim_err glim_charsmap_init(glim_charsmap *m, glim_str blob, glim_error *e);
void glim_charsmap_deinit(glim_charsmap *m);
/* What stands for the longest key at the beginning of s; returns the key's length, 0: no key. */
size_t glim_charsmap_at(const glim_charsmap *m, glim_str s, glim_str *to);

/* ---- the tokenizer --------------------------------------------------------------------------- */

struct glim_enctok {
    glim_enctok_kind kind;
    size_t n_token;
    uint32_t *begin; /* n_token + 1 offsets into bytes */
    char *bytes;     /* of all tokens, as the file spells them */
    uint8_t *attr;   /* 0: a hole */
    int32_t role[GLIM_ENCTOK_N_ROLE];
    glim_trie special; /* control and user tokens */
    glim_trie piece;   /* unigram: what may come out; WordPiece: what begins a word */
    glim_trie inner;   /* WordPiece: what continues a word, without its mark */
    bool clean, chinese, lower, strip_accents;
    float *score;
    double unk_score;
    glim_charsmap map;
    bool add_prefix, collapse, has_user; /* has_user: there are user tokens among the pieces */
    bool two_sep, type_ids;
};

static inline bool glim_enctok_has(const glim_enctok *t, int32_t id)
{
    return id >= 0 && (size_t)id < t->n_token && t->attr[id] != 0;
}

/* Append the ids of valid UTF-8; on error ids may have grown. */
GLIM_MUST_USE glim_err glim_wordpiece_encode(const glim_enctok *t, glim_str text, glim_ids *ids,
                                             glim_error *e);
GLIM_MUST_USE glim_err glim_unigram_encode(const glim_enctok *t, glim_str text, glim_ids *ids,
                                           glim_error *e);
/* The message of a failed glim_ids_add(). */
GLIM_MUST_USE glim_err glim_enctok_ids_fail(const glim_ids *ids, glim_err rc, glim_error *e);

/* ---- enctok_json.c, enctok_json_parts.c ------------------------------------------------------ */

/* What the small parts of tokenizer.json say; filled by glim_encparts_*, offsets from `at`. */
typedef struct glim_encparts {
    glim_arena *a;
    size_t at; /* of the part in the file */
    glim_error *e;
    bool has_bert, has_charsmap, has_split, has_metaspace, has_bert_split, has_collapse;
    bool has_strip_left, has_strip_right;
    bool clean, chinese, lower, strip_accents;
    glim_str charsmap;
    bool has_post, two_sep, type_ids;
    glim_str cls, sep; /* of the post-processor */
} glim_encparts;
GLIM_MUST_USE glim_err glim_encparts_normalizer(glim_encparts *p, const glim_json *v);
GLIM_MUST_USE glim_err glim_encparts_pre_tokenizer(glim_encparts *p, const glim_json *v);
GLIM_MUST_USE glim_err glim_encparts_post(glim_encparts *p, const glim_json *v);

#endif
