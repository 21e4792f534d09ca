/* SPDX-License-Identifier: MIT
 * unigram.c - SentencePiece's unigram model: text normalised by the character map, then the
 * pieces with the best sum of scores.
 * Owns: what happens to blanks, the Viterbi search.
 * Not here: the character map's bytes (charsmap.c), which tokens are pieces (enctok.c). Sums
 *           are made in double from left to right, and a later path must be better to win.
 *           Every place of the text keeps one best path, so memory and time grow with the
 *           length alone.
 * Thread: any.
 * Fails: GLIM_E_LIMIT, GLIM_E_NOMEM.
 * See: tests/unit/text/test_unigram.c */
#include "enctok_priv.h"

enum { GROW_MAX = 16 }; /* times that a text may grow; NFKC's worst is 13 */

/* ---- normalising ----------------------------------------------------------------------------- */

/* Length of the longest user token at the beginning of s: these are taken as they are. */
static size_t user_at(const glim_enctok *t, glim_str s)
{
    size_t found = 0;
    uint32_t node = 0;
    for (size_t i = 0; t->has_user && i < s.n; i++) {
        node = glim_trie_step(&t->piece, node, (uint8_t)s.p[i]);
        if (!node) break;
        int32_t id = t->piece.node[node].id;
        if (id >= 0 && t->attr[id] == GLIM_TOKEN_USER) found = i + 1;
    }
    return found;
}

/* What the beginning of s becomes; returns how much of s that was (at least 1). */
static size_t normal_at(const glim_enctok *t, glim_str s, glim_str *to)
{
    uint32_t cp;
    size_t n = user_at(t, s);
    if (n == 0) {
        n = glim_charsmap_at(&t->map, s, to);
        if (n) return n;
        int len = glim_utf8_decode(s, &cp);
        n = len > 0 ? (size_t)len : 1; /* a map may end a key inside of a character */
        *to = len > 0 ? glim_str_sub(s, 0, n) : GLIM_STR("\xEF\xBF\xBD");
        return n;
    }
    *to = glim_str_sub(s, 0, n);
    return n;
}

static void add_piece(glim_buf *b, glim_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == ' ')
            glim_buf_addv(b, GLIM_STR(GLIM_ENCTOK_BLANK));
        else
            glim_buf_addc(b, s.p[i]);
    }
}

static void normalize(const glim_enctok *t, glim_str s, glim_buf *out)
{
    size_t at = 0;
    bool blank = t->collapse; /* the last thing was one, or there was nothing yet */
    glim_str to;
    while (t->collapse && at < s.n) {
        size_t n = normal_at(t, glim_str_sub(s, at, s.n), &to);
        if (!glim_str_is(to, " ")) break;
        at += n;
    }
    if (at == s.n) return;
    if (t->add_prefix) add_piece(out, GLIM_STR(" "));
    while (at < s.n && !out->err) {
        at += normal_at(t, glim_str_sub(s, at, s.n), &to);
        while (blank && to.n && to.p[0] == ' ')
            to = glim_str_sub(to, 1, to.n);
        if (to.n == 0) continue;
        add_piece(out, to);
        blank = t->collapse && to.p[to.n - 1] == ' ';
    }
    while (t->collapse && glim_str_ends(glim_buf_view(out), GLIM_STR(GLIM_ENCTOK_BLANK)))
        glim_buf_cut(out, out->n - 3);
}

/* ---- the best path --------------------------------------------------------------------------- */

typedef struct place {
    double best;   /* sum of the best path that ends here */
    uint32_t from; /* where its last piece begins; UINT32_MAX: no path yet */
    int32_t id;    /* of that piece */
} place;

static void offer(place *v, size_t from, size_t to, double best, int32_t id)
{
    if (v[to].from != UINT32_MAX && !(best > v[to].best)) return;
    v[to] = (place){best, (uint32_t)from, id};
}

/* All pieces that begin at i; a character that is no piece is unknown. */
static void pieces_at(const glim_enctok *t, glim_str s, size_t i, size_t n_char, place *v)
{
    bool single = false;
    uint32_t node = 0;
    for (size_t k = i; k < s.n; k++) {
        node = glim_trie_step(&t->piece, node, (uint8_t)s.p[k]);
        if (!node) break;
        int32_t id = t->piece.node[node].id;
        if (id < 0) continue;
        single = single || k + 1 - i == n_char;
        offer(v, i, k + 1, v[i].best + (double)t->score[id], id);
    }
    if (!single) offer(v, i, i + n_char, v[i].best + t->unk_score, t->role[GLIM_ENCTOK_UNK]);
}

/* The path to the end, in order; neighbouring unknowns are one. */
static glim_err collect(const glim_enctok *t, const place *v, size_t n, glim_ids *ids,
                        glim_error *e)
{
    size_t begin = ids->n;
    bool unk = false;
    for (size_t i = n; i > 0; i = v[i].from) {
        bool again = unk;
        unk = v[i].id == t->role[GLIM_ENCTOK_UNK];
        if (unk && again) continue;
        glim_err rc = glim_ids_add(ids, v[i].id);
        if (rc) return glim_enctok_ids_fail(ids, rc, e);
    }
    for (size_t i = begin, k = ids->n; i + 1 < k; i++) {
        int32_t id = ids->p[i];
        ids->p[i] = ids->p[--k];
        ids->p[k] = id;
    }
    return GLIM_OK;
}

static glim_err viterbi(const glim_enctok *t, glim_str s, glim_ids *ids, glim_error *e)
{
    place *v = NULL;
    if (s.n < UINT32_MAX) v = glim_alloc_array(s.n + 1, sizeof *v);
    if (!v) return glim_fail(e, GLIM_E_NOMEM, "no memory for a text of %zu bytes", s.n);
    for (size_t i = 1; i <= s.n; i++)
        v[i].from = UINT32_MAX;
    for (size_t i = 0; i < s.n;) {
        uint32_t cp;
        int len = glim_utf8_decode(glim_str_sub(s, i, s.n), &cp);
        size_t n_char = GLIM_NEVER(len <= 0) ? 1 : (size_t)len;
        pieces_at(t, s, i, n_char, v);
        i += n_char;
    }
    glim_err rc = collect(t, v, s.n, ids, e);
    glim_free(v);
    return rc;
}

glim_err glim_unigram_encode(const glim_enctok *t, glim_str text, glim_ids *ids, glim_error *e)
{
    glim_buf b;
    size_t max;
    if (!glim_mul_size(text.n, GROW_MAX, &max) || !glim_add_size(max, 64, &max)) max = SIZE_MAX;
    glim_buf_init(&b, max);
    normalize(t, text, &b);
    glim_err rc = b.err;
    if (rc == GLIM_E_LIMIT)
        rc = glim_fail(e, rc, "the character map makes the text more than %d times as long",
                       GROW_MAX);
    else if (rc)
        rc = glim_fail(e, rc, "no memory for a text of %zu bytes", text.n);
    if (!rc && b.n) rc = viterbi(t, glim_buf_view(&b), ids, e);
    glim_buf_deinit(&b);
    return rc;
}
