/* SPDX-License-Identifier: MIT
 * enctok_json.c - tokenizer.json of an encoder into a tokenizer.
 * Owns: reading vocabulary and added tokens, and which settings of the model glim reproduces.
 * Not here: the small parts (enctok_json_parts.c), byte-level BPE (tokenizer_json.c). The
 *           vocabulary is pulled token by token, the small parts are read as trees. Settings
 *           that change no id of a text are skipped (truncation, padding, decoder). Added
 *           tokens that are matched in normalised text are matched in the text itself when
 *           they are special: less is taken for one then.
 * Thread: any.
 * Fails: GLIM_E_INPUT (JSON), GLIM_E_FORMAT, GLIM_E_UNSUPPORTED, GLIM_E_LIMIT, GLIM_E_NOMEM.
 * See: tests/unit/text/test_wordpiece.c, test_unigram.c */
#include "enctok_priv.h"

enum {
    PART_MAX = 16 << 20,  /* bytes of a part that is read as a tree: the character map is in one */
    ADDED_MAX = 64 << 20, /* of the list of added tokens */
    SPARE_IDS = 1 << 16   /* ids may have holes, but no more than this and a share of the file */
};

typedef struct reader {
    glim_arena *a;
    glim_json_reader r;
    glim_error *e;
    glim_str *text;
    float *score;
    uint8_t *attr;
    size_t n_token, cap;
    bool has_vocab, unigram, seen[5];
    glim_str type, unk_token;
    int64_t unk_id;
    const glim_json *added;
    size_t added_at;
    glim_encparts parts;
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

static glim_err keep(reader *x, glim_str s, glim_str *out)
{
    *out = glim_arena_str(x->a, s);
    return out->p ? GLIM_OK : no_memory(x);
}

/* ---- vocabulary ------------------------------------------------------------------------------ */

static bool widen(void *array, size_t old, size_t n, size_t size)
{
    void *p;
    size_t bytes;
    memcpy(&p, array, sizeof p); /* array: address of the pointer, whatever its type */
    if (!glim_mul_size(n, size, &bytes)) return false;
    p = glim_realloc(p, bytes);
    if (!p) return false;
    memset((char *)p + old * size, 0, (n - old) * size);
    memcpy(array, &p, sizeof p);
    return true;
}

/* Room for the id. */
static glim_err token_slot(reader *x, int64_t id)
{
    if (id < 0 || (uint64_t)id >= SPARE_IDS + x->r.src.n / 4)
        return bad(x, "a token id that no vocabulary of this size has");
    size_t want = (size_t)id + 1;
    if (want > x->cap) {
        size_t n = want + want / 2 + 256;
        if (!widen(&x->text, x->cap, n, sizeof *x->text) ||
            !widen(&x->score, x->cap, n, sizeof *x->score) || !widen(&x->attr, x->cap, n, 1))
            return no_memory(x);
        x->cap = n;
    }
    x->n_token = GLIM_MAX(x->n_token, want);
    return GLIM_OK;
}

static glim_err place(reader *x, int64_t id, glim_str text, double score)
{
    glim_err rc = token_slot(x, id);
    if (rc) return rc;
    if (x->text[id].p) return bad(x, "two tokens have this id");
    x->text[id] = text;
    x->score[id] = (float)score;
    x->attr[id] = GLIM_TOKEN_NORMAL;
    return GLIM_OK;
}

/* {"token": id, ...} */
static glim_err read_wordpiece(reader *x)
{
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
        rc = place(x, id, kept, 0);
        if (rc) return rc;
    }
}

/* [["piece", score], ...] */
static glim_err read_unigram(reader *x)
{
    x->unigram = true;
    for (int64_t id = 0;; id++) {
        glim_json_tok tok;
        glim_str text, kept = {0};
        double score = 0;
        glim_err rc = next(x, &tok, &text);
        if (rc || tok == GLIM_JT_ARRAY_END) return rc;
        bool ok = tok == GLIM_JT_ARRAY;
        if (ok) rc = next(x, &tok, &text);
        ok = ok && tok == GLIM_JT_STRING;
        if (!rc && ok) rc = keep(x, text, &kept);
        if (!rc && ok) rc = next(x, &tok, &text);
        ok = ok && tok == GLIM_JT_NUMBER && glim_parse_f64(text, &score);
        if (!rc && ok) rc = next(x, &tok, &text);
        if (rc) return rc;
        if (!ok || tok != GLIM_JT_ARRAY_END)
            return bad(x, "a piece should be a text and its score");
        rc = place(x, id, kept, score);
        if (rc) return rc;
    }
}

/* ---- model ----------------------------------------------------------------------------------- */

static glim_err model_setting(reader *x, glim_str key, glim_json_tok tok, glim_str text)
{
    bool null = tok == GLIM_JT_NULL;
    int64_t n;
    if (glim_str_is(key, "type"))
        return tok == GLIM_JT_STRING ? keep(x, text, &x->type)
                                     : bad(x, "model.type should be a string");
    if (glim_str_is(key, "unk_token"))
        return tok == GLIM_JT_STRING ? keep(x, text, &x->unk_token)
                                     : bad(x, "model.unk_token should be a string");
    if (glim_str_is(key, "unk_id"))
        return tok == GLIM_JT_NUMBER && glim_parse_i64(text, &x->unk_id)
                   ? GLIM_OK
                   : bad(x, "model.unk_id should be an integer");
    if (glim_str_is(key, "continuing_subword_prefix"))
        return tok == GLIM_JT_STRING && glim_str_is(text, "##")
                   ? GLIM_OK
                   : unsupported(x, "the value of the model setting", key);
    if (glim_str_is(key, "max_input_chars_per_word"))
        return tok == GLIM_JT_NUMBER && glim_parse_i64(text, &n) && n == GLIM_ENCTOK_WORD_MAX
                   ? GLIM_OK
                   : unsupported(x, "a value other than 100 of the model setting", key);
    if (glim_str_is(key, "byte_fallback"))
        return null || tok == GLIM_JT_FALSE ? GLIM_OK : unsupported(x, "the model setting", key);
    return unsupported(x, "the model setting", key);
}

static glim_err read_vocab(reader *x, glim_json_tok tok)
{
    if (x->has_vocab) return bad(x, "model.vocab stands here twice");
    x->has_vocab = true;
    if (tok == GLIM_JT_OBJECT) return read_wordpiece(x);
    if (tok == GLIM_JT_ARRAY) return read_unigram(x);
    return bad(x, "model.vocab should be an object or a list");
}

static glim_err read_model(reader *x, glim_json_tok tok)
{
    if (tok != GLIM_JT_OBJECT) return bad(x, "model should be an object");
    for (;;) {
        glim_str text;
        char name[32];
        glim_err rc = next(x, &tok, &text);
        if (rc || tok == GLIM_JT_OBJECT_END) return rc;
        glim_str key = {name, GLIM_MIN(text.n, sizeof name)};
        if (key.n) memcpy(name, text.p, key.n);
        rc = next(x, &tok, &text);
        if (!rc)
            rc = glim_str_is(key, "vocab") ? read_vocab(x, tok) : model_setting(x, key, tok, text);
        if (rc) return rc;
    }
}

/* ---- the whole file -------------------------------------------------------------------------- */

/* The value that begins with tok as a tree; NULL for null. */
static glim_err read_part(reader *x, glim_json_tok tok, size_t max, glim_json **out)
{
    size_t begin = x->r.at;
    *out = NULL;
    if (tok == GLIM_JT_NULL) return GLIM_OK;
    if (tok != GLIM_JT_OBJECT && tok != GLIM_JT_ARRAY)
        return bad(x, "this part should be an object, a list or null");
    glim_err rc = glim_json_skip(&x->r, tok, x->e);
    if (rc) return rc;
    glim_str src = glim_str_sub(x->r.src, begin, x->r.pos);
    if (src.n > max)
        return glim_fail_off(x->e, GLIM_E_LIMIT, begin,
                             "at byte %zu: a part of %zu bytes; the limit is %zu", begin, src.n,
                             max);
    rc = glim_json_parse(x->a, src, out, x->e);
    if (rc && x->e && x->e->offset != GLIM_NO_OFFSET) x->e->offset += begin;
    if (rc) glim_error_prefix(x->e, "in the part at byte %zu", begin);
    return rc;
}

static glim_err read_key(reader *x, size_t k, glim_json_tok tok)
{
    glim_json *v = NULL;
    if (k == 0) return read_model(x, tok);
    x->parts.at = x->r.at;
    glim_err rc = read_part(x, tok, k == 1 ? ADDED_MAX : PART_MAX, &v);
    if (rc) return rc;
    if (k == 1) {
        x->added = v;
        x->added_at = x->parts.at;
        return GLIM_OK;
    }
    if (k == 2) return glim_encparts_normalizer(&x->parts, v);
    if (k == 3) return glim_encparts_pre_tokenizer(&x->parts, v);
    return glim_encparts_post(&x->parts, v);
}

static glim_err read_top(reader *x)
{
    static const char *const names[] = {"model", "added_tokens", "normalizer", "pre_tokenizer",
                                        "post_processor"};
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
        if (k < GLIM_COUNT(names) && x->seen[k]) return bad(x, "this key stands here twice");
        if (k < GLIM_COUNT(names)) x->seen[k] = true;
        rc = next(x, &tok, &text);
        if (!rc)
            rc = k < GLIM_COUNT(names) ? read_key(x, k, tok) : glim_json_skip(&x->r, tok, x->e);
        if (rc) return rc;
    }
    return next(x, &tok, &text); /* the end: nothing may follow */
}

/* ---- handing over ---------------------------------------------------------------------------- */

static bool flag(const glim_json *v, const char *key)
{
    return glim_json_is(glim_json_get(v, key), GLIM_JSON_TRUE);
}

static glim_err place_added(reader *x)
{
    GLIM_JSON_EACH(it, x->added)
    {
        const glim_json *content = glim_json_get(it, "content");
        int64_t id;
        x->r.at = x->added_at + it->offset;
        if (!glim_json_is(content, GLIM_JSON_STRING) ||
            !glim_json_i64(glim_json_get(it, "id"), &id))
            return bad(x, "an added token without id or content");
        if (flag(it, "single_word"))
            return unsupported(x, "single_word on the added token", content->text);
        if (flag(it, "normalized") && !flag(it, "special"))
            return unsupported(x, "normalized on the added token", content->text);
        if (x->unigram && !flag(it, "special"))
            return unsupported(x, "in a unigram model, not special: the added token",
                               content->text);
        glim_err rc = token_slot(x, id);
        if (rc) return rc;
        if (x->text[id].p && !glim_str_eq(x->text[id], content->text))
            return bad(x, "an added token has the id of another token");
        x->text[id] = content->text;
        x->attr[id] = flag(it, "special") ? GLIM_TOKEN_CONTROL : GLIM_TOKEN_USER;
    }
    return GLIM_OK;
}

/* The first token with that text, -1: none. */
static int32_t find(const reader *x, glim_str s)
{
    for (size_t i = 0; s.p && i < x->n_token; i++)
        if (x->text[i].p && glim_str_eq(x->text[i], s)) return (int32_t)i;
    return -1;
}

static glim_err set_wordpiece(reader *x, glim_enctok_spec *s)
{
    const glim_encparts *p = &x->parts;
    if (x->type.p && !glim_str_is(x->type, "WordPiece"))
        return unsupported(x, "the model type", x->type);
    if (!p->has_bert) return unsupported(x, "WordPiece without", GLIM_STR("BertNormalizer"));
    if (!p->has_bert_split)
        return unsupported(x, "WordPiece without", GLIM_STR("BertPreTokenizer"));
    s->clean = p->clean;
    s->chinese = p->chinese;
    s->lower = p->lower;
    s->strip_accents = p->strip_accents;
    s->unk = find(x, x->unk_token.p ? x->unk_token : GLIM_STR("[UNK]"));
    s->pad = find(x, GLIM_STR("[PAD]"));
    s->mask = find(x, GLIM_STR("[MASK]"));
    s->cls = find(x, p->has_post ? p->cls : GLIM_STR("[CLS]"));
    s->sep = find(x, p->has_post ? p->sep : GLIM_STR("[SEP]"));
    return GLIM_OK;
}

/* Words are cut before pieces are looked for, so a piece over a blank can never come out. */
static void drop_wide_pieces(reader *x)
{
    for (size_t i = 0; i < x->n_token; i++) {
        glim_str s = x->text[i];
        if (x->attr[i] == GLIM_TOKEN_NORMAL && s.n > 1 &&
            glim_str_find(glim_str_sub(s, 1, s.n), GLIM_STR(GLIM_ENCTOK_BLANK)) != SIZE_MAX)
            x->attr[i] = GLIM_TOKEN_UNUSED;
    }
}

static glim_err set_unigram(reader *x, glim_enctok_spec *s)
{
    const glim_encparts *p = &x->parts;
    if (x->type.p && !glim_str_is(x->type, "Unigram"))
        return unsupported(x, "the model type", x->type);
    if (p->has_bert || p->has_bert_split)
        return unsupported(x, "Unigram with", GLIM_STR("BertNormalizer or BertPreTokenizer"));
    if (!p->has_metaspace) return unsupported(x, "Unigram without", GLIM_STR("Metaspace"));
    if (!p->has_split && !(p->has_strip_right && p->has_collapse))
        return unsupported(x, "Unigram that keeps blanks, without",
                           GLIM_STR("WhitespaceSplit, or Strip and Replace"));
    drop_wide_pieces(x);
    s->charsmap = p->charsmap;
    s->pad = find(x, GLIM_STR("<pad>"));
    s->mask = find(x, GLIM_STR("<mask>"));
    s->cls = find(x, p->has_post ? p->cls : GLIM_STR("<s>"));
    s->sep = find(x, p->has_post ? p->sep : GLIM_STR("</s>"));
    s->unk = x->unk_id < 0 || x->unk_id >= INT32_MAX ? -1 : (int32_t)x->unk_id;
    return GLIM_OK;
}

static glim_err hand_over(reader *x, glim_enctok **out)
{
    glim_enctok_spec s;
    if (!x->has_vocab)
        return glim_fail(x->e, GLIM_E_FORMAT, "there is no model.vocab in this tokenizer.json");
    glim_enctok_spec_init(&s, x->unigram ? GLIM_ENCTOK_UNIGRAM : GLIM_ENCTOK_WORDPIECE);
    glim_err rc = place_added(x);
    if (!rc) rc = x->unigram ? set_unigram(x, &s) : set_wordpiece(x, &s);
    if (rc) return rc;
    if (x->parts.has_post) {
        s.two_sep = x->parts.two_sep;
        s.type_ids = x->parts.type_ids;
    }
    s.n_token = x->n_token;
    s.text = x->text;
    s.attr = x->attr;
    s.score = x->score;
    return glim_enctok_new(&s, out, x->e);
}

glim_err glim_enctok_from_json(glim_str json, glim_enctok **out, glim_error *e)
{
    size_t max;
    if (!glim_mul_size(json.n, 32, &max) || !glim_add_size(max, 1 << 20, &max)) max = SIZE_MAX;
    glim_arena *a = glim_arena_new(max);
    reader *x = glim_new0(reader);
    glim_err rc = GLIM_OK;
    if (!a || !x) {
        rc = glim_fail(e, GLIM_E_NOMEM, "no memory for tokenizer.json");
    } else {
        x->a = x->parts.a = a;
        x->e = x->parts.e = e;
        x->unk_id = -1;
        glim_json_reader_init(&x->r, json);
        rc = read_top(x);
        if (!rc) rc = hand_over(x, out);
        glim_json_reader_deinit(&x->r);
        glim_free(x->text);
        glim_free(x->score);
        glim_free(x->attr);
    }
    glim_free(x);
    glim_arena_free(a);
    return rc;
}

/* ---- whose file it is ------------------------------------------------------------------------ */

/* Goes on to the value of the next key of the open object; false: its end, or no JSON. */
static bool next_value(glim_json_reader *r, char key[32], glim_json_tok *tok, glim_str *text)
{
    if (glim_json_next(r, tok, text, NULL) || *tok != GLIM_JT_KEY) return false;
    size_t n = GLIM_MIN(text->n, (size_t)31);
    memcpy(key, text->p, n);
    key[n] = 0;
    return !glim_json_next(r, tok, text, NULL);
}

/* Older files name no type: then a setting that only these models have decides. */
static bool is_encoder_model(glim_json_reader *r)
{
    glim_json_tok tok;
    glim_str text;
    char key[32];
    while (next_value(r, key, &tok, &text)) {
        if (strcmp(key, "type") == 0)
            return tok == GLIM_JT_STRING &&
                   (glim_str_is(text, "WordPiece") || glim_str_is(text, "Unigram"));
        if (strcmp(key, "max_input_chars_per_word") == 0 || strcmp(key, "unk_id") == 0) return true;
        if (glim_json_skip(r, tok, NULL)) return false;
    }
    return false;
}

bool glim_enctok_is_json(glim_str json)
{
    glim_json_reader r;
    glim_json_tok tok;
    glim_str text;
    char key[32];
    bool is = false;
    glim_json_reader_init(&r, json);
    if (!glim_json_next(&r, &tok, &text, NULL) && tok == GLIM_JT_OBJECT)
        while (next_value(&r, key, &tok, &text)) {
            if (strcmp(key, "model") == 0) {
                is = tok == GLIM_JT_OBJECT && is_encoder_model(&r);
                break;
            }
            if (glim_json_skip(&r, tok, NULL)) break;
        }
    glim_json_reader_deinit(&r);
    return is;
}
