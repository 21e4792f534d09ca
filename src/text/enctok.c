/* SPDX-License-Identifier: MIT
 * enctok.c - an encoder's tokenizer from its parts to its end; special tokens cut out of
 * text; the model's own first and last tokens.
 * Owns: glim_enctok, which tokens may come out of plain text.
 * Not here: the two ways of cutting a text (wordpiece.c, unigram.c), files (enctok_json.c,
 *           enctok_txt.c, enctok_spm.c; a GGUF's parts come from engine). Control tokens are
 *           in no trie that plain text is cut with, so what a user wrote can never become
 *           one. The strip flags of added tokens need no code: both kinds drop blanks at the
 *           ends of what lies between.
 * Thread: any.
 * Fails: GLIM_E_FORMAT naming the token, GLIM_E_UNSUPPORTED, GLIM_E_LIMIT, GLIM_E_INPUT,
 * GLIM_E_NOMEM.
 * See: tests/unit/text/test_wordpiece.c, test_unigram.c */
#include "enctok_priv.h"

#include <math.h>

void glim_enctok_spec_init(glim_enctok_spec *s, glim_enctok_kind kind)
{
    bool wp = kind == GLIM_ENCTOK_WORDPIECE;
    *s = (glim_enctok_spec){.kind = kind, .cls = -1, .sep = -1, .pad = -1, .unk = -1, .mask = -1};
    s->clean = s->chinese = s->lower = s->strip_accents = s->type_ids = wp;
    s->add_prefix = s->collapse = s->two_sep = !wp;
}

/* ---- building -------------------------------------------------------------------------------- */

typedef struct build {
    const glim_enctok_spec *s;
    glim_enctok *t;
    glim_triekey *key;
    glim_error *e;
} build;

static glim_err no_memory(build *b)
{
    return glim_fail(b->e, GLIM_E_NOMEM, "no memory for a vocabulary of %zu tokens", b->s->n_token);
}

static glim_err copy_tokens(build *b)
{
    const glim_enctok_spec *s = b->s;
    glim_enctok *t = b->t;
    size_t n = 0, bad;
    if (s->n_token == 0 || s->n_token >= INT32_MAX)
        return glim_fail(b->e, GLIM_E_FORMAT, "a vocabulary of %zu tokens", s->n_token);
    for (size_t i = 0; i < s->n_token; i++) {
        if (s->text[i].n > GLIM_ENCTOK_TOKEN_MAX)
            return glim_fail(b->e, GLIM_E_LIMIT, "token %zu has %zu bytes; the limit is %d", i,
                             s->text[i].n, GLIM_ENCTOK_TOKEN_MAX);
        if (!glim_utf8_valid(s->text[i], &bad))
            return glim_fail(b->e, GLIM_E_FORMAT, "token %zu %s is not UTF-8", i,
                             GLIM_QUOTE(s->text[i]));
        if (!glim_add_size(n, s->text[i].n, &n)) return no_memory(b);
    }
    if (n >= UINT32_MAX) return no_memory(b);
    t->begin = glim_alloc_array(s->n_token + 1, sizeof *t->begin);
    t->bytes = glim_alloc(n);
    t->attr = glim_alloc0(s->n_token);
    b->key = glim_alloc_array(s->n_token, sizeof *b->key);
    if (!t->begin || !t->bytes || !t->attr || !b->key) return no_memory(b);
    t->n_token = s->n_token;
    n = 0;
    for (size_t i = 0; i < s->n_token; i++) {
        if (s->text[i].n) memcpy(t->bytes + n, s->text[i].p, s->text[i].n);
        n += s->text[i].n;
        t->begin[i + 1] = (uint32_t)n;
        if (s->text[i].p) t->attr[i] = s->attr ? s->attr[i] : GLIM_TOKEN_NORMAL;
    }
    return GLIM_OK;
}

static glim_err set_roles(build *b)
{
    static const char *const name[] = {"first (cls)", "last (sep)", "padding", "unknown", "mask"};
    const int32_t id[] = {b->s->cls, b->s->sep, b->s->pad, b->s->unk, b->s->mask};
    for (size_t i = 0; i < GLIM_ENCTOK_N_ROLE; i++) {
        bool needed = i == GLIM_ENCTOK_CLS || i == GLIM_ENCTOK_SEP || i == GLIM_ENCTOK_UNK;
        b->t->role[i] = id[i];
        if (id[i] < 0 && !needed) continue;
        if (id[i] < 0)
            return glim_fail(b->e, GLIM_E_FORMAT, "the vocabulary has no %s token", name[i]);
        if (!glim_enctok_has(b->t, id[i]))
            return glim_fail(b->e, GLIM_E_FORMAT, "the %s token is %d, which no token has", name[i],
                             (int)id[i]);
        uint8_t *attr = &b->t->attr[id[i]];
        if (i == GLIM_ENCTOK_UNK && (*attr == GLIM_TOKEN_NORMAL || *attr == GLIM_TOKEN_CONTROL))
            *attr = GLIM_TOKEN_UNKNOWN;
        else if (*attr == GLIM_TOKEN_NORMAL)
            *attr = GLIM_TOKEN_CONTROL;
    }
    return GLIM_OK;
}

static glim_err check_attrs(build *b)
{
    for (size_t i = 0; i < b->t->n_token; i++) {
        unsigned a = b->t->attr[i];
        if (a == GLIM_TOKEN_BYTE)
            return glim_fail(b->e, GLIM_E_UNSUPPORTED,
                             "token %zu is a byte token; encoders with these are not supported", i);
        if (a > GLIM_TOKEN_BYTE)
            return glim_fail(b->e, GLIM_E_FORMAT, "token %zu is of the unknown kind %u", i, a);
    }
    return GLIM_OK;
}

/* User tokens of a unigram model are pieces that win wherever they stand, and cut nothing. */
static bool is_special(const glim_enctok *t, unsigned attr)
{
    return attr == GLIM_TOKEN_CONTROL || attr == GLIM_TOKEN_UNKNOWN ||
           (attr == GLIM_TOKEN_USER && t->kind == GLIM_ENCTOK_WORDPIECE);
}

static glim_err build_special(build *b)
{
    size_t n = 0;
    for (size_t i = 0; i < b->t->n_token; i++) {
        glim_str s = glim_enctok_text(b->t, (int32_t)i);
        if (s.n && is_special(b->t, b->t->attr[i])) b->key[n++] = (glim_triekey){s, (int32_t)i};
    }
    return glim_trie_build(&b->t->special, b->key, n, b->e);
}

/* A WordPiece token without its mark; *inner: it continues a word. */
static glim_str unmarked(bool inverted, glim_str s, bool *inner)
{
    glim_str mark = inverted ? GLIM_STR(GLIM_ENCTOK_BLANK) : GLIM_STR("##");
    bool has = glim_str_starts(s, mark);
    *inner = has != inverted;
    return has ? glim_str_sub(s, mark.n, s.n) : s;
}

static glim_err build_wordpiece(build *b)
{
    glim_err rc = GLIM_OK;
    for (int pass = 0; !rc && pass < 2; pass++) {
        size_t n = 0;
        for (size_t i = 0; i < b->t->n_token; i++) {
            bool inner;
            glim_str s = glim_enctok_text(b->t, (int32_t)i);
            if (b->t->attr[i] != GLIM_TOKEN_NORMAL) continue;
            s = unmarked(b->s->inverted, s, &inner);
            if (s.n && inner == (pass == 1)) b->key[n++] = (glim_triekey){s, (int32_t)i};
        }
        rc = glim_trie_build(pass ? &b->t->inner : &b->t->piece, b->key, n, b->e);
    }
    return rc;
}

static glim_err build_unigram(build *b)
{
    glim_enctok *t = b->t;
    size_t n = 0;
    double least = 0;
    bool any = false;
    t->score = glim_alloc_array(t->n_token, sizeof *t->score);
    if (!t->score) return no_memory(b);
    for (size_t i = 0; i < t->n_token; i++) {
        glim_str s = glim_enctok_text(t, (int32_t)i);
        bool user = t->attr[i] == GLIM_TOKEN_USER, normal = t->attr[i] == GLIM_TOKEN_NORMAL;
        if (!s.n || !(user || normal)) continue;
        if (!isfinite(b->s->score[i]))
            return glim_fail(b->e, GLIM_E_FORMAT, "the score of token %zu %s is not a number", i,
                             GLIM_QUOTE(s));
        t->score[i] = user ? 0 : b->s->score[i];
        t->has_user = t->has_user || user;
        if (normal) least = any ? GLIM_MIN(least, t->score[i]) : t->score[i];
        any = any || normal;
        b->key[n++] = (glim_triekey){s, (int32_t)i};
    }
    t->unk_score = least - 10;
    glim_err rc = glim_trie_build(&t->piece, b->key, n, b->e);
    return rc ? rc : glim_charsmap_init(&t->map, b->s->charsmap, b->e);
}

glim_err glim_enctok_new(const glim_enctok_spec *s, glim_enctok **out, glim_error *e)
{
    build b = {.s = s, .e = e, .t = glim_new0(glim_enctok)};
    if (!b.t) return no_memory(&b);
    glim_enctok *t = b.t;
    t->kind = s->kind;
    t->clean = s->clean;
    t->chinese = s->chinese;
    t->lower = s->lower;
    t->strip_accents = s->strip_accents;
    t->add_prefix = s->add_prefix;
    t->collapse = s->collapse;
    t->two_sep = s->two_sep;
    t->type_ids = s->type_ids;
    glim_err rc = copy_tokens(&b);
    if (!rc) rc = set_roles(&b);
    if (!rc) rc = check_attrs(&b);
    if (!rc) rc = build_special(&b);
    if (!rc) rc = s->kind == GLIM_ENCTOK_WORDPIECE ? build_wordpiece(&b) : build_unigram(&b);
    glim_free(b.key);
    if (rc) {
        glim_enctok_free(t);
        return rc;
    }
    *out = t;
    return GLIM_OK;
}

void glim_enctok_free(glim_enctok *t)
{
    if (!t) return;
    glim_charsmap_deinit(&t->map);
    glim_trie_deinit(&t->inner);
    glim_trie_deinit(&t->piece);
    glim_trie_deinit(&t->special);
    glim_free(t->score);
    glim_free(t->attr);
    glim_free(t->bytes);
    glim_free(t->begin);
    glim_free(t);
}

/* ---- text to ids ----------------------------------------------------------------------------- */

glim_err glim_enctok_ids_fail(const glim_ids *ids, glim_err rc, glim_error *e)
{
    if (rc == GLIM_E_LIMIT)
        return glim_fail(e, rc, "the text has more than %zu tokens; shorten it", ids->max);
    return glim_fail(e, rc, "no memory for the tokens of the text");
}

static glim_err add(glim_ids *ids, int32_t id, glim_error *e)
{
    glim_err rc = glim_ids_add(ids, id);
    return rc ? glim_enctok_ids_fail(ids, rc, e) : GLIM_OK;
}

/* Length of the longest special token at the beginning of s, 0: none. */
static size_t special_at(const glim_enctok *t, glim_str s, int32_t *id)
{
    size_t found = 0;
    uint32_t node = 0;
    for (size_t i = 0; i < s.n; i++) {
        node = glim_trie_step(&t->special, node, (uint8_t)s.p[i]);
        if (!node) break;
        if (t->special.node[node].id < 0) continue;
        found = i + 1;
        *id = t->special.node[node].id;
    }
    return found;
}

static glim_err encode_plain(const glim_enctok *t, glim_str text, glim_ids *ids, glim_error *e)
{
    if (text.n == 0) return GLIM_OK;
    return t->kind == GLIM_ENCTOK_WORDPIECE ? glim_wordpiece_encode(t, text, ids, e)
                                            : glim_unigram_encode(t, text, ids, e);
}

static glim_err encode_special(const glim_enctok *t, glim_str text, glim_ids *ids, glim_error *e)
{
    size_t begin = 0, at = 0;
    while (at < text.n) {
        int32_t id = -1;
        size_t n = special_at(t, glim_str_sub(text, at, text.n), &id);
        if (n == 0) {
            at++;
            continue;
        }
        glim_err rc = encode_plain(t, glim_str_sub(text, begin, at), ids, e);
        if (!rc) rc = add(ids, id, e);
        if (rc) return rc;
        begin = at += n;
    }
    return encode_plain(t, glim_str_sub(text, begin, text.n), ids, e);
}

glim_err glim_enctok_encode(const glim_enctok *t, glim_str text, bool special_text, glim_ids *ids,
                            glim_error *e)
{
    size_t bad, n = ids->n;
    if (!glim_utf8_valid(text, &bad))
        return glim_fail_off(e, GLIM_E_INPUT, bad, "the text is not UTF-8 at byte %zu", bad);
    glim_err rc = special_text ? encode_special(t, text, ids, e) : encode_plain(t, text, ids, e);
    if (rc) ids->n = n;
    return rc;
}

/* ---- the model's own tokens ------------------------------------------------------------------ */

static glim_err add_all(glim_ids *ids, const int32_t *p, size_t n, int32_t last, glim_error *e)
{
    glim_err rc = GLIM_OK;
    for (size_t i = 0; !rc && i < n; i++)
        rc = add(ids, p[i], e);
    return rc ? rc : add(ids, last, e);
}

glim_err glim_enctok_wrap(const glim_enctok *t, const int32_t *a, size_t n_a, glim_ids *ids,
                          glim_error *e)
{
    size_t n = ids->n;
    glim_err rc = add(ids, t->role[GLIM_ENCTOK_CLS], e);
    if (!rc) rc = add_all(ids, a, n_a, t->role[GLIM_ENCTOK_SEP], e);
    if (rc) ids->n = n;
    return rc;
}

glim_err glim_enctok_pair(const glim_enctok *t, const int32_t *a, size_t n_a, const int32_t *b,
                          size_t n_b, glim_ids *ids, size_t *n_first, glim_error *e)
{
    size_t n = ids->n;
    int32_t sep = t->role[GLIM_ENCTOK_SEP];
    glim_err rc = glim_enctok_wrap(t, a, n_a, ids, e);
    size_t first = ids->n - n;
    if (!rc && t->two_sep) rc = add(ids, sep, e);
    if (!rc) rc = add_all(ids, b, n_b, sep, e);
    if (rc) {
        ids->n = n;
        return rc;
    }
    if (n_first) *n_first = t->type_ids ? first : ids->n - n;
    return GLIM_OK;
}

size_t glim_enctok_n_added(const glim_enctok *t, bool pair)
{
    if (!pair) return 2;
    return t->two_sep ? 4 : 3;
}

/* ---- asking ---------------------------------------------------------------------------------- */

int32_t glim_enctok_id(const glim_enctok *t, glim_enctok_role role)
{
    return (unsigned)role < GLIM_ENCTOK_N_ROLE ? t->role[role] : -1;
}

size_t glim_enctok_n_token(const glim_enctok *t)
{
    return t->n_token;
}

glim_str glim_enctok_text(const glim_enctok *t, int32_t id)
{
    if (!glim_enctok_has(t, id)) return (glim_str){NULL, 0};
    return (glim_str){t->bytes + t->begin[id], t->begin[id + 1] - t->begin[id]};
}

glim_token_attr glim_enctok_attr(const glim_enctok *t, int32_t id)
{
    return glim_enctok_has(t, id) ? (glim_token_attr)t->attr[id] : GLIM_TOKEN_UNUSED;
}
