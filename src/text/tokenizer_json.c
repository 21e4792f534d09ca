/* SPDX-License-Identifier: MIT
 * tokenizer_json.c - tokenizer.json of the Hugging Face library into a glim_tokenizer_spec.
 * Owns: which settings of that file glim reproduces.
 * Not here: the tables built from it (vocab.c). Vocabulary, merges and added tokens are pulled
 *           token by token: a 20 MB file has 320,000 merges, and a tree of it would take ten times
 *           its size. The small rest is read as trees. Every setting that changes ids is either
 *           reproduced or refused by name; settings that cannot are skipped (truncation, padding,
 *           decoder and post-processor of the byte-level kind, what unknown tokens would become: a
 *           byte-level vocabulary knows every byte).
 * Thread: any.
 * Fails: GLIM_E_INPUT (JSON), GLIM_E_FORMAT (contradictions), GLIM_E_UNSUPPORTED, GLIM_E_LIMIT,
 *        GLIM_E_NOMEM; *spec is then not changed.
 * See: tests/unit/text/test_tokenizer_json.c */
#include "tok_priv.h"

#include <stdio.h>

enum {
    CHUNK = 1 << 16,    /* strings are packed into blocks of this size */
    PART_MAX = 1 << 18, /* bytes of a part that is read as a tree */
    SPARE_IDS = 1 << 16 /* ids may have holes, but no more than this and a share of the file */
};

typedef struct added {
    int64_t id;
    glim_str content;
    bool special, normalized;
} added;

typedef struct reader {
    glim_arena *a;
    glim_json_reader r;
    glim_error *e;
    glim_tokenizer_spec spec; /* handed over at the end */
    char *chunk;
    size_t chunk_left;
    glim_str *text; /* grown here, copied into the arena at the end */
    size_t n_token, cap_token;
    struct glim_merge_spec *merges;
    size_t n_merge, cap_merge;
    added *added;
    size_t n_added, cap_added;
    uint8_t *attr;
    bool has_vocab, has_merges, has_normalizer;
    uint32_t seen; /* bits of the top-level keys */
} reader;

static glim_err no_memory(reader *x)
{
    return glim_fail(x->e, GLIM_E_NOMEM, "no memory for tokenizer.json");
}

static glim_err bad(reader *x, const char *what)
{
    return glim_fail_off(x->e, GLIM_E_FORMAT, x->r.at, "at byte %zu: %s", x->r.at, what);
}

static glim_err unsupported(reader *x, const char *what, glim_str value)
{
    return glim_fail_off(x->e, GLIM_E_UNSUPPORTED, x->r.at, "at byte %zu: %s %s is not supported",
                         x->r.at, what, GLIM_QUOTE(value));
}

static glim_err next(reader *x, glim_json_tok *tok, glim_str *text)
{
    return glim_json_next(&x->r, tok, text, x->e);
}

static glim_err skip(reader *x, glim_json_tok tok)
{
    return glim_json_skip(&x->r, tok, x->e);
}

/* Copies s into the arena, packed: the arena's own strings are aligned, which would double them. */
static glim_err keep(reader *x, glim_str s, glim_str *out)
{
    char *to;
    if (s.n >= CHUNK / 4) {
        to = glim_arena_alloc(x->a, s.n);
        if (!to) return no_memory(x);
    } else {
        if (s.n > x->chunk_left || !x->chunk) {
            x->chunk = glim_arena_alloc(x->a, CHUNK);
            if (!x->chunk) return no_memory(x);
            x->chunk_left = CHUNK;
        }
        to = x->chunk;
        x->chunk += s.n;
        x->chunk_left -= s.n;
    }
    if (s.n) memcpy(to, s.p, s.n);
    *out = (glim_str){to, s.n};
    return GLIM_OK;
}

/* Room for one more element at least; the new part is zeroed. */
static glim_err grow(reader *x, void *array, size_t *cap, size_t want, size_t size)
{
    void *old, *p;
    size_t n, bytes;
    memcpy(&old, array, sizeof old); /* array: address of the pointer, whatever its type */
    if (want <= *cap) return GLIM_OK;
    if (!glim_add_size(want, want / 2 + 256, &n) || !glim_mul_size(n, size, &bytes))
        return no_memory(x);
    p = glim_realloc(old, bytes);
    if (!p) return no_memory(x);
    memset((char *)p + *cap * size, 0, (n - *cap) * size);
    memcpy(array, &p, sizeof p);
    *cap = n;
    return GLIM_OK;
}

/* ---- vocabulary, merges, added tokens -------------------------------------------------------- */

static glim_err token_slot(reader *x, int64_t id)
{
    if (id < 0 || (uint64_t)id >= SPARE_IDS + x->r.src.n / 4)
        return bad(x, "a token id that no vocabulary of this size has");
    size_t want = (size_t)id + 1;
    glim_err rc = grow(x, &x->text, &x->cap_token, want, sizeof *x->text);
    if (!rc) x->n_token = GLIM_MAX(x->n_token, want);
    return rc;
}

static glim_err read_vocab(reader *x)
{
    if (x->has_vocab) return bad(x, "model.vocab stands here twice");
    x->has_vocab = true;
    for (;;) {
        glim_json_tok tok;
        glim_str text, kept;
        int64_t id;
        glim_err rc = next(x, &tok, &text);
        if (rc || tok == GLIM_JT_OBJECT_END) return rc;
        rc = keep(x, text, &kept);
        if (!rc) rc = next(x, &tok, &text);
        if (rc) return rc;
        if (tok != GLIM_JT_NUMBER || !glim_parse_i64(text, &id))
            return bad(x, "the id of a token should be an integer");
        rc = token_slot(x, id);
        if (rc) return rc;
        if (x->text[id].p) return bad(x, "two tokens have this id");
        x->text[id] = kept;
    }
}

/* "a b" with one space: no byte is written as a space in the byte alphabet. */
static bool halves(glim_str s, glim_str *a, glim_str *b)
{
    const char *p = s.n ? memchr(s.p, ' ', s.n) : NULL;
    if (!p) return false;
    *a = glim_str_sub(s, 0, (size_t)(p - s.p));
    *b = glim_str_sub(s, a->n + 1, s.n);
    return b->n == 0 || !memchr(b->p, ' ', b->n);
}

static glim_err read_pair(reader *x, struct glim_merge_spec *m)
{
    for (int i = 0; i < 2; i++) {
        glim_json_tok tok;
        glim_str text;
        glim_err rc = next(x, &tok, &text);
        if (rc) return rc;
        if (tok != GLIM_JT_STRING) return bad(x, "a merge should be two strings");
        rc = keep(x, text, i ? &m->b : &m->a);
        if (rc) return rc;
    }
    glim_json_tok tok;
    glim_str text;
    glim_err rc = next(x, &tok, &text);
    if (rc) return rc;
    return tok == GLIM_JT_ARRAY_END ? GLIM_OK : bad(x, "a merge should be two strings");
}

static glim_err read_merges(reader *x)
{
    if (x->has_merges) return bad(x, "model.merges stands here twice");
    x->has_merges = true;
    for (;;) {
        glim_json_tok tok;
        glim_str text, a, b;
        glim_err rc = next(x, &tok, &text);
        if (rc || tok == GLIM_JT_ARRAY_END) return rc;
        rc = grow(x, &x->merges, &x->cap_merge, x->n_merge + 1, sizeof *x->merges);
        if (rc) return rc;
        struct glim_merge_spec *m = &x->merges[x->n_merge++];
        if (tok == GLIM_JT_ARRAY) {
            rc = read_pair(x, m);
        } else if (tok == GLIM_JT_STRING && halves(text, &a, &b)) {
            rc = keep(x, a, &m->a);
            if (!rc) rc = keep(x, b, &m->b);
        } else {
            rc = bad(x, "a merge should be two strings, or one with a space between the two");
        }
        if (rc) return rc;
    }
}

/* A copy of a key, which is borrowed only until the next token; longer ones are none of ours. */
typedef struct key_copy {
    char name[32];
    glim_str s;
} key_copy;

static void copy_key(key_copy *k, glim_str text)
{
    size_t n = GLIM_MIN(text.n, sizeof k->name);
    if (n) memcpy(k->name, text.p, n);
    k->s = (glim_str){k->name, n};
}

/* The rest of an object in added_tokens. */
static glim_err read_added_token(reader *x)
{
    added t = {.id = -1};
    const char *flag = NULL; /* one that glim does not reproduce */
    for (;;) {
        glim_json_tok tok;
        glim_str text;
        key_copy key;
        glim_err rc = next(x, &tok, &text);
        if (rc) return rc;
        if (tok == GLIM_JT_OBJECT_END) break;
        copy_key(&key, text);
        glim_str name = key.s;
        rc = next(x, &tok, &text);
        if (rc) return rc;
        bool yes = tok == GLIM_JT_TRUE, is_bool = yes || tok == GLIM_JT_FALSE;
        if (glim_str_is(name, "id")) {
            if (tok != GLIM_JT_NUMBER || !glim_parse_i64(text, &t.id))
                return bad(x, "the id of an added token should be an integer");
        } else if (glim_str_is(name, "content")) {
            if (tok != GLIM_JT_STRING)
                return bad(x, "content of an added token should be a string");
            rc = keep(x, text, &t.content);
        } else if (glim_str_is(name, "special") || glim_str_is(name, "normalized") ||
                   glim_str_is(name, "lstrip") || glim_str_is(name, "rstrip") ||
                   glim_str_is(name, "single_word")) {
            if (!is_bool) return bad(x, "a flag of an added token should be true or false");
            if (glim_str_is(name, "special")) t.special = yes;
            if (glim_str_is(name, "normalized")) t.normalized = yes;
            if (yes && glim_str_is(name, "lstrip")) flag = "lstrip on the added token";
            if (yes && glim_str_is(name, "rstrip")) flag = "rstrip on the added token";
            if (yes && glim_str_is(name, "single_word")) flag = "single_word on the added token";
        } else {
            rc = skip(x, tok);
        }
        if (rc) return rc;
    }
    if (!t.content.p || t.id < 0) return bad(x, "an added token without id or content");
    if (flag) return unsupported(x, flag, t.content);
    glim_err rc = grow(x, &x->added, &x->cap_added, x->n_added + 1, sizeof *x->added);
    if (!rc) x->added[x->n_added++] = t;
    return rc;
}

static glim_err read_added(reader *x, glim_json_tok tok)
{
    glim_str text;
    if (tok == GLIM_JT_NULL) return GLIM_OK;
    if (tok != GLIM_JT_ARRAY) return bad(x, "added_tokens should be a list");
    for (;;) {
        glim_err rc = next(x, &tok, &text);
        if (rc || tok == GLIM_JT_ARRAY_END) return rc;
        if (tok != GLIM_JT_OBJECT) return bad(x, "an added token should be an object");
        rc = read_added_token(x);
        if (rc) return rc;
    }
}

/* Puts the added tokens into the vocabulary, once both are read. */
static glim_err place_added(reader *x)
{
    static const char open[] = "<|", close[] = "|>";
    for (size_t i = 0; i < x->n_added; i++) {
        const added *t = &x->added[i];
        /* Without a normalizer, normalized text is the text itself. */
        if (t->normalized && x->has_normalizer)
            return unsupported(x, "normalized on the added token", t->content);
        glim_err rc = token_slot(x, t->id);
        if (rc) return rc;
        glim_str old = x->text[t->id];
        if (old.p && !glim_str_eq(old, t->content))
            return glim_fail(x->e, GLIM_E_FORMAT,
                             "the added token %s has id %lld, as has the token %s",
                             GLIM_QUOTE(t->content), (long long)t->id, GLIM_QUOTE(old));
        x->text[t->id] = t->content;
    }
    x->attr = glim_arena_alloc0(x->a, x->n_token);
    if (!x->attr) return no_memory(x);
    for (size_t i = 0; i < x->n_token; i++)
        x->attr[i] = GLIM_TOKEN_NORMAL;
    for (size_t i = 0; i < x->n_added; i++) {
        const added *t = &x->added[i];
        bool tag = t->content.n > 4 && glim_str_starts(t->content, glim_str_of(open)) &&
                   glim_str_ends(t->content, glim_str_of(close));
        x->attr[t->id] = t->special || tag ? GLIM_TOKEN_CONTROL : GLIM_TOKEN_USER;
    }
    return GLIM_OK;
}

/* ---- model ----------------------------------------------------------------------------------- */

/* A setting of the model that is neither vocabulary nor merges. */
static glim_err model_setting(reader *x, glim_str key, glim_json_tok tok, glim_str text)
{
    bool null = tok == GLIM_JT_NULL, empty = tok == GLIM_JT_STRING && text.n == 0;
    if (glim_str_is(key, "type")) {
        if (tok == GLIM_JT_STRING && glim_str_is(text, "BPE")) return GLIM_OK;
        return unsupported(x, "the model type", tok == GLIM_JT_STRING ? text : GLIM_STR("(none)"));
    }
    if (glim_str_is(key, "ignore_merges")) {
        x->spec.ignore_merges = tok == GLIM_JT_TRUE;
        return null || tok == GLIM_JT_TRUE || tok == GLIM_JT_FALSE
                   ? GLIM_OK
                   : bad(x, "model.ignore_merges should be true or false");
    }
    if (glim_str_is(key, "byte_fallback")) {
        if (null || tok == GLIM_JT_FALSE) return GLIM_OK;
        return unsupported(x, "the model setting", key);
    }
    if (glim_str_is(key, "dropout")) {
        double p = 1;
        if (null || (tok == GLIM_JT_NUMBER && glim_parse_f64(text, &p) && p == 0)) return GLIM_OK;
        return unsupported(x, "the model setting", key);
    }
    if (glim_str_is(key, "continuing_subword_prefix") || glim_str_is(key, "end_of_word_suffix")) {
        if (null || empty) return GLIM_OK;
        return unsupported(x, "the model setting", key);
    }
    return skip(x, tok); /* unk_token and fuse_unk among them: no byte is unknown */
}

static glim_err read_model(reader *x, glim_json_tok tok)
{
    if (tok != GLIM_JT_OBJECT) return bad(x, "model should be an object");
    for (;;) {
        glim_str text;
        glim_err rc = next(x, &tok, &text);
        if (rc || tok == GLIM_JT_OBJECT_END) return rc;
        key_copy name;
        copy_key(&name, text);
        glim_str key = name.s;
        rc = next(x, &tok, &text);
        if (rc) return rc;
        if (glim_str_is(key, "vocab"))
            rc = tok == GLIM_JT_OBJECT ? read_vocab(x)
                                       : unsupported(x, "other than an object as", key);
        else if (glim_str_is(key, "merges"))
            rc = tok == GLIM_JT_ARRAY ? read_merges(x) : bad(x, "model.merges should be a list");
        else
            rc = model_setting(x, key, tok, text);
        if (rc) return rc;
    }
}

/* ---- the small parts ------------------------------------------------------------------------- */

/* The value that begins with tok as a tree; NULL for null. */
static glim_err read_part(reader *x, glim_json_tok tok, glim_json **out)
{
    size_t begin = x->r.at;
    *out = NULL;
    if (tok == GLIM_JT_NULL) return GLIM_OK;
    if (tok != GLIM_JT_OBJECT) return bad(x, "this part should be an object or null");
    glim_err rc = skip(x, tok);
    if (rc) return rc;
    glim_str src = glim_str_sub(x->r.src, begin, x->r.pos);
    if (src.n > PART_MAX)
        return glim_fail_off(x->e, GLIM_E_LIMIT, begin,
                             "at byte %zu: a part of %zu bytes; the limit is %d", begin, src.n,
                             PART_MAX);
    rc = glim_json_parse(x->a, src, out, x->e);
    if (rc && x->e && x->e->offset != GLIM_NO_OFFSET) x->e->offset += begin;
    if (rc) glim_error_prefix(x->e, "in the part at byte %zu", begin);
    return rc;
}

static glim_str type_of(const glim_json *v)
{
    const glim_json *t = glim_json_get(v, "type");
    return glim_json_is(t, GLIM_JSON_STRING) ? t->text : GLIM_STR("(no type)");
}

static bool is_true(const glim_json *v, const char *key)
{
    return glim_json_is(glim_json_get(v, key), GLIM_JSON_TRUE);
}

static bool is_false(const glim_json *v, const char *key)
{
    return glim_json_is(glim_json_get(v, key), GLIM_JSON_FALSE);
}

static glim_err add_split(reader *x, glim_str re)
{
    if (x->spec.n_split == GLIM_COUNT(x->spec.split))
        return glim_fail(x->e, GLIM_E_LIMIT, "more than %zu splits", GLIM_COUNT(x->spec.split));
    return keep(x, re, &x->spec.split[x->spec.n_split++]);
}

/* A pattern that is a plain string, as an expression. */
static glim_err add_literal(reader *x, glim_str s)
{
    glim_buf b;
    glim_buf_init(&b, 2 * (size_t)PART_MAX);
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool word = (unsigned char)c >= 0x80 || (unsigned char)c < 0x20 || (c >= '0' && c <= '9') ||
                    (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == 0x7f;
        if (!word) glim_buf_addc(&b, '\\');
        glim_buf_addc(&b, c);
    }
    glim_err rc = b.err ? no_memory(x) : add_split(x, glim_buf_view(&b));
    glim_buf_deinit(&b);
    return rc;
}

static glim_err read_split(reader *x, const glim_json *v)
{
    const glim_json *behavior = glim_json_get(v, "behavior");
    if (!glim_json_is(behavior, GLIM_JSON_STRING) || !glim_str_is(behavior->text, "Isolated"))
        return unsupported(x, "the behavior of a split",
                           glim_json_is(behavior, GLIM_JSON_STRING) ? behavior->text
                                                                    : GLIM_STR("(none)"));
    if (is_true(v, "invert")) return unsupported(x, "the split setting", GLIM_STR("invert"));
    const glim_json *re = glim_json_path(v, "pattern.Regex");
    if (glim_json_is(re, GLIM_JSON_STRING)) return add_split(x, re->text);
    const glim_json *s = glim_json_path(v, "pattern.String");
    if (glim_json_is(s, GLIM_JSON_STRING)) return add_literal(x, s->text);
    return bad(x, "a split without a pattern");
}

static glim_err read_byte_level(reader *x, const glim_json *v)
{
    glim_tokenizer_spec gpt2 = {0};
    if (!is_false(v, "add_prefix_space"))
        return unsupported(x, "the pre-tokenizer setting", GLIM_STR("add_prefix_space"));
    if (is_false(v, "use_regex")) return GLIM_OK;
    glim_err rc = glim_pretok_named(GLIM_STR("gpt-2"), &gpt2, x->e);
    return rc ? rc : add_split(x, gpt2.split[0]);
}

static glim_err pre_tokenizer_step(reader *x, const glim_json *v)
{
    glim_str type = type_of(v);
    if (glim_str_is(type, "Split")) return read_split(x, v);
    if (glim_str_is(type, "ByteLevel")) return read_byte_level(x, v);
    if (glim_str_is(type, "Digits"))
        return add_split(x, is_true(v, "individual_digits") ? GLIM_STR("\\p{N}")
                                                            : GLIM_STR("\\p{N}+"));
    return unsupported(x, "the pre-tokenizer", type);
}

static glim_err read_pre_tokenizer(reader *x, glim_json_tok tok)
{
    glim_json *v;
    glim_err rc = read_part(x, tok, &v);
    if (rc) return rc;
    const glim_json *last = v;
    if (v && glim_str_is(type_of(v), "Sequence")) {
        last = NULL;
        GLIM_JSON_EACH(it, glim_json_get(v, "pretokenizers"))
        {
            if (last && glim_str_is(type_of(last), "ByteLevel"))
                return unsupported(x, "a pre-tokenizer behind ByteLevel:", type_of(it));
            rc = pre_tokenizer_step(x, it);
            if (rc) return rc;
            last = it;
        }
    } else if (v) {
        rc = pre_tokenizer_step(x, v);
        if (rc) return rc;
    }
    if (!last || !glim_str_is(type_of(last), "ByteLevel"))
        return unsupported(x, "a pre-tokenizer without ByteLevel at its end:",
                           last ? type_of(last) : GLIM_STR("null"));
    return GLIM_OK;
}

static glim_err read_normalizer(reader *x, glim_json_tok tok)
{
    glim_json *v;
    glim_err rc = read_part(x, tok, &v);
    if (rc || !v) return rc;
    const glim_json *step = v, *list = glim_json_get(v, "normalizers");
    if (glim_str_is(type_of(v), "Sequence")) {
        if (!glim_json_is(list, GLIM_JSON_ARRAY)) return bad(x, "a Sequence without normalizers");
        step = list->child;
    }
    for (; step; step = step == v ? NULL : step->next) {
        if (!glim_str_is(type_of(step), "NFC"))
            return unsupported(x, "the normalizer", type_of(step));
        x->spec.nfc = true;
        x->has_normalizer = true;
    }
    return GLIM_OK;
}

/* The post-processor may add tokens (glim adds none: prompts bring their own) or only move offsets;
 * the decoder has to be the byte-level one, which is what the vocabulary's tables do. */
static glim_err read_ignored(reader *x, glim_json_tok tok, const char *what, const char *list)
{
    static const char *const known[] = {"ByteLevel", "TemplateProcessing", "Sequence"};
    glim_json *v;
    glim_err rc = read_part(x, tok, &v);
    if (rc || !v) return rc;
    const glim_json *step = v;
    if (glim_str_is(type_of(v), "Sequence")) {
        const glim_json *steps = glim_json_get(v, list);
        step = steps ? steps->child : NULL;
    }
    for (; step; step = step == v ? NULL : step->next) {
        size_t i = 0;
        while (i < GLIM_COUNT(known) && !glim_str_is(type_of(step), known[i]))
            i++;
        if (i == GLIM_COUNT(known)) return unsupported(x, what, type_of(step));
    }
    return GLIM_OK;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static glim_err read_top(reader *x)
{
    static const char *const names[] = {"model",      "added_tokens", "pre_tokenizer",
                                        "normalizer", "decoder",      "post_processor"};
    glim_json_tok tok;
    glim_str text;
    glim_err rc = next(x, &tok, &text);
    if (rc) return rc;
    if (tok != GLIM_JT_OBJECT) return bad(x, "the file should be an object");
    for (;;) {
        rc = next(x, &tok, &text);
        if (rc) return rc;
        if (tok == GLIM_JT_OBJECT_END) break;
        size_t k = 0;
        while (k < GLIM_COUNT(names) && !glim_str_is(text, names[k]))
            k++;
        if (k < GLIM_COUNT(names) && (x->seen >> k & 1))
            return bad(x, "this key stands here twice");
        x->seen |= UINT32_C(1) << k;
        rc = next(x, &tok, &text);
        if (rc) return rc;
        switch (k) {
        case 0:
            rc = read_model(x, tok);
            break;
        case 1:
            rc = read_added(x, tok);
            break;
        case 2:
            rc = read_pre_tokenizer(x, tok);
            break;
        case 3:
            rc = read_normalizer(x, tok);
            break;
        case 4:
            rc = read_ignored(x, tok, "the decoder", "decoders");
            break;
        case 5:
            rc = read_ignored(x, tok, "the post-processor", "processors");
            break;
        default:
            rc = skip(x, tok);
            break;
        }
        if (rc) return rc;
    }
    return next(x, &tok, &text); /* the end: nothing may follow */
}

static glim_err hand_over(reader *x, glim_tokenizer_spec *spec)
{
    if (!x->has_vocab || !x->has_merges)
        return glim_fail(x->e, GLIM_E_FORMAT, "there is no model.%s in this tokenizer.json",
                         x->has_vocab ? "merges" : "vocab");
    if (!(x->seen >> 2 & 1))
        return glim_fail(x->e, GLIM_E_FORMAT, "there is no pre_tokenizer in this tokenizer.json");
    glim_err rc = place_added(x);
    if (rc) return rc;
    glim_tokenizer_spec *s = &x->spec;
    s->n_token = x->n_token;
    s->n_merge = x->n_merge;
    s->attr = x->attr;
    s->text = GLIM_ARENA_ARRAY(x->a, glim_str, s->n_token);
    s->merges = glim_arena_array(x->a, s->n_merge, sizeof *s->merges);
    if (!s->text || !s->merges) return no_memory(x);
    if (s->n_token) memcpy(s->text, x->text, s->n_token * sizeof *s->text);
    if (s->n_merge) memcpy(s->merges, x->merges, s->n_merge * sizeof *s->merges);
    *spec = *s;
    return GLIM_OK;
}

glim_err glim_tokenizer_json_read(glim_arena *a, glim_str json, glim_tokenizer_spec *spec,
                                  glim_error *e)
{
    reader *x = glim_new0(reader);
    if (!x) return glim_fail(e, GLIM_E_NOMEM, "no memory for tokenizer.json");
    x->a = a;
    x->e = e;
    glim_json_reader_init(&x->r, json);
    glim_err rc = read_top(x);
    if (!rc) rc = hand_over(x, spec);
    glim_json_reader_deinit(&x->r);
    glim_free(x->text);
    glim_free(x->merges);
    glim_free(x->added);
    glim_free(x);
    return rc;
}
