/* SPDX-License-Identifier: MIT
 * enctok_open.c - the tokenizer of an encoder's file: which of a folder's files it is in, and a
 * GGUF's keys into room text's plain specification.
 * Not here: what the files of a folder say inside (room text).
 * Thread: any.
 * Fails:  NOTFOUND (no tokenizer in the folder), FORMAT and UNSUPPORTED with file and key, NOMEM.
 * See:    tests/unit/engine/test_encode.c */
#include "engine/engine_int.h"

#define CAP_TOKENIZER ((size_t)64 << 20) /* bytes of vocab.txt or sentencepiece.bpe.model */

/* ---- folders --------------------------------------------------------------------------------- */

static glim_err refuse(const glim_modelfile *f, const char *key, glim_str value, const char *only,
                       glim_error *e)
{
    return glim_fail(
        e, GLIM_E_UNSUPPORTED,
        "%s/tokenizer_config.json: %s %s is not supported; %s (a tokenizer.json beside "
        "it would be read instead)",
        glim_modelfile_path(f), key, GLIM_QUOTE(value), only);
}

/* The tokenizer's class without "Fast"; n 0: the folder names none. */
static glim_str class_of(const glim_modelfile *f)
{
    const glim_json *v = glim_json_get(glim_modelfile_tokenizer_config(f), "tokenizer_class");
    if (!glim_json_is(v, GLIM_JSON_STRING)) return (glim_str){0};
    glim_str s = v->text;
    return glim_str_ends(s, GLIM_STR("Fast")) ? glim_str_sub(s, 0, s.n - 4) : s;
}

/* vocab.txt has the pieces alone; the switches are in tokenizer_config.json, where a missing one is
 * on. */
static glim_err from_vocab_txt(const glim_modelfile *f, glim_str vocab, glim_enctok **out,
                               glim_error *e)
{
    const glim_json *cfg = glim_modelfile_tokenizer_config(f), *v;
    const glim_str name = class_of(f);
    bool lower = true, on;
    if (name.n && !glim_str_is(name, "BertTokenizer") && !glim_str_is(name, "ErnieTokenizer"))
        return refuse(f, "tokenizer_class", name,
                      "with vocab.txt BertTokenizer and ErnieTokenizer are", e);
    v = glim_json_get(cfg, "do_lower_case");
    if (v && v->type != GLIM_JSON_NULL && !glim_json_bool(v, &lower))
        return glim_fail(e, GLIM_E_FORMAT,
                         "%s/tokenizer_config.json: do_lower_case must be true or false",
                         glim_modelfile_path(f));
    static const char *const always[] = {"do_basic_tokenize", "tokenize_chinese_chars"};
    for (size_t i = 0; i < GLIM_COUNT(always); i++)
        if (glim_json_bool(glim_json_get(cfg, always[i]), &on) && !on)
            return refuse(f, always[i], GLIM_STR("false"), "true is", e);
    if (glim_json_bool(glim_json_get(cfg, "strip_accents"), &on) && on != lower)
        return refuse(f, "strip_accents", on ? GLIM_STR("true") : GLIM_STR("false"),
                      "the value of do_lower_case is", e);
    glim_err rc = glim_enctok_from_vocab_txt(vocab, lower, out, e);
    if (rc) glim_error_prefix(e, "%s/vocab.txt", glim_modelfile_path(f));
    return rc;
}

/* The name of the file is XLM-R's, whose ids are not those of the file inside. */
static glim_err from_spm(const glim_modelfile *f, glim_str model, glim_enctok **out, glim_error *e)
{
    const glim_str name = class_of(f);
    if (name.n && !glim_str_is(name, "XLMRobertaTokenizer"))
        return refuse(f, "tokenizer_class", name,
                      "with sentencepiece.bpe.model XLMRobertaTokenizer is", e);
    glim_err rc = glim_enctok_from_spm(model, true, out, e);
    if (rc) glim_error_prefix(e, "%s/sentencepiece.bpe.model", glim_modelfile_path(f));
    return rc;
}

static glim_err from_folder(const glim_modelfile *f, glim_arena *a, glim_enctok **out,
                            glim_error *e)
{
    static const struct {
        const char *name;
        glim_err (*read)(const glim_modelfile *f, glim_str text, glim_enctok **out, glim_error *e);
    } files[] = {{"vocab.txt", from_vocab_txt}, {"sentencepiece.bpe.model", from_spm}};
    const char *path = glim_modelfile_path(f);
    glim_str text = glim_modelfile_tokenizer_json(f);
    if (text.n) {
        glim_err rc = glim_enctok_from_json(text, out, e);
        if (rc) glim_error_prefix(e, "%s/tokenizer.json", path);
        return rc;
    }
    for (size_t i = 0; i < GLIM_COUNT(files); i++) {
        glim_err rc = glim_modelfile_read_text(f, files[i].name, CAP_TOKENIZER, a, &text, e);
        if (rc) return rc;
        if (text.p) return files[i].read(f, text, out, e);
    }
    return glim_fail(e, GLIM_E_NOTFOUND,
                     "%s: no tokenizer: neither tokenizer.json, vocab.txt nor "
                     "sentencepiece.bpe.model is in this folder; fetch it beside the weights",
                     path);
}

/* ---- GGUF ------------------------------------------------------------------------------------ */

typedef struct reader {
    const glim_modelfile *f;
    glim_arena *a;
    glim_enctok_spec s;
    glim_str *text;
    glim_error *e;
} reader;

static glim_err no_memory(reader *r)
{
    return glim_fail(r->e, GLIM_E_NOMEM, "%s: no memory for its vocabulary",
                     glim_modelfile_path(r->f));
}

static glim_err wrong(reader *r, const glim_meta *m, const char *what)
{
    return glim_fail_off(r->e, GLIM_E_FORMAT, m->offset, "%s: %.*s %s", glim_modelfile_path(r->f),
                         GLIM_STR_ARG(m->key), what);
}

/* An array with an entry a token; NULL and OK where it is missing and need not be there. */
static glim_err array(reader *r, const char *key, bool needed, const glim_meta **out)
{
    const glim_meta *m = glim_modelfile_meta(r->f, key);
    *out = m;
    if (!m && !needed) return GLIM_OK;
    if (!m)
        return glim_fail(r->e, GLIM_E_FORMAT, "%s: %s is missing: no tokenizer in this file",
                         glim_modelfile_path(r->f), key);
    if (m->type != GLIM_META_ARRAY) return wrong(r, m, "must be an array");
    if (r->s.n_token && m->n_elem != r->s.n_token)
        return wrong(r, m, "has not as many entries as there are tokens");
    return GLIM_OK;
}

static glim_err read_tokens(reader *r)
{
    const glim_meta *m;
    glim_err rc = array(r, "tokenizer.ggml.tokens", true, &m);
    if (rc) return rc;
    if (m->elem != GLIM_META_STR) return wrong(r, m, "must be an array of strings");
    r->text = glim_arena_array(r->a, (size_t)m->n_elem, sizeof *r->text);
    if (!r->text) return no_memory(r);
    glim_meta_iter it = {.m = m};
    while (r->s.n_token < m->n_elem && glim_meta_next_str(&it, &r->text[r->s.n_token]))
        r->s.n_token++;
    if (r->s.n_token < m->n_elem) return wrong(r, m, "ends before its last token");
    r->s.text = r->text;
    return GLIM_OK;
}

/* Without kinds all tokens but the model's own are ordinary. */
static glim_err read_kinds(reader *r)
{
    const glim_meta *m;
    int64_t kind;
    glim_err rc = array(r, "tokenizer.ggml.token_type", false, &m);
    if (rc || !m) return rc;
    uint8_t *attr = glim_arena_alloc(r->a, r->s.n_token);
    if (!attr) return no_memory(r);
    glim_meta_iter it = {.m = m};
    for (size_t i = 0; i < r->s.n_token; i++) {
        if (!glim_meta_next_i64(&it, &kind) || kind < GLIM_TOKEN_NORMAL || kind > GLIM_TOKEN_BYTE)
            return wrong(r, m, "must be an array of numbers from 1 to 6");
        attr[i] = (uint8_t)kind;
    }
    r->s.attr = attr;
    return GLIM_OK;
}

static glim_err read_scores(reader *r)
{
    const glim_meta *m;
    double v;
    glim_err rc = array(r, "tokenizer.ggml.scores", true, &m);
    if (rc) return rc;
    float *score = glim_arena_array(r->a, r->s.n_token, sizeof *score);
    if (!score) return no_memory(r);
    glim_meta_iter it = {.m = m};
    for (size_t i = 0; i < r->s.n_token; i++) {
        if (!glim_meta_next_f64(&it, &v)) return wrong(r, m, "must be an array of numbers");
        score[i] = (float)v;
    }
    r->s.score = score;
    return GLIM_OK;
}

static glim_err read_charsmap(reader *r)
{
    const glim_meta *m = glim_modelfile_meta(r->f, "tokenizer.ggml.precompiled_charsmap");
    int64_t v;
    if (!m) return GLIM_OK;
    if (m->type != GLIM_META_ARRAY) return wrong(r, m, "must be an array of bytes");
    char *p = glim_arena_alloc(r->a, (size_t)m->n_elem + 1);
    if (!p) return no_memory(r);
    glim_meta_iter it = {.m = m};
    for (uint64_t i = 0; i < m->n_elem; i++) {
        if (!glim_meta_next_i64(&it, &v) || v < -128 || v > 255)
            return wrong(r, m, "must be an array of bytes");
        p[i] = (char)v;
    }
    r->s.charsmap = (glim_str){p, (size_t)m->n_elem};
    return GLIM_OK;
}

/* The first key that is there says which token has the role; without one, its usual text. */
static glim_err find_role(reader *r, const char *const keys[3], const char *const names[2],
                          int32_t *id)
{
    for (size_t k = 0; k < 3 && keys[k]; k++) {
        const glim_meta *m = glim_modelfile_meta(r->f, keys[k]);
        uint64_t u;
        if (!m) continue;
        if (!glim_meta_u64(m, &u) || u >= r->s.n_token) return wrong(r, m, "is no token's id");
        *id = (int32_t)u;
        return GLIM_OK;
    }
    const char *name = names[r->s.kind == GLIM_ENCTOK_UNIGRAM];
    for (size_t i = 0; i < r->s.n_token; i++)
        if (glim_str_is(r->text[i], name)) {
            *id = (int32_t)i;
            return GLIM_OK;
        }
    return GLIM_OK; /* stays -1: what must be there is room text's business */
}

static glim_err read_roles(reader *r)
{
    const struct {
        const char *keys[3], *names[2];
        int32_t *id;
    } roles[] = {
        {{"tokenizer.ggml.cls_token_id", "tokenizer.ggml.bos_token_id"},
         {"[CLS]", "<s>"},
         &r->s.cls},
        {{"tokenizer.ggml.seperator_token_id", /* the key's own spelling */
          "tokenizer.ggml.separator_token_id", "tokenizer.ggml.eos_token_id"},
         {"[SEP]", "</s>"},
         &r->s.sep},
        {{"tokenizer.ggml.padding_token_id"}, {"[PAD]", "<pad>"}, &r->s.pad},
        {{"tokenizer.ggml.unknown_token_id"}, {"[UNK]", "<unk>"}, &r->s.unk},
        {{"tokenizer.ggml.mask_token_id"}, {"[MASK]", "<mask>"}, &r->s.mask},
    };
    glim_err rc = GLIM_OK;
    for (size_t i = 0; !rc && i < GLIM_COUNT(roles); i++)
        rc = find_role(r, roles[i].keys, roles[i].names, roles[i].id);
    return rc;
}

static glim_err read_switch(reader *r, const char *key, bool *out)
{
    const glim_meta *m = glim_modelfile_meta(r->f, key);
    return !m || glim_meta_bool(m, out) ? GLIM_OK : wrong(r, m, "must be true or false");
}

/* Whether a WordPiece model is cased is in two keys, which files from before them lack. llama.cpp
 * (read 2026-11) then takes it for uncased, and lets accents follow case: so does this. A cased
 * model without the keys comes out wrong in both; its vocabulary does not tell (bert-base-chinese
 * and its uncased descendants have the same one). */
static glim_err read_wordpiece(reader *r)
{
    r->s.inverted = true;
    glim_err rc = read_switch(r, "tokenizer.ggml.normalizer.lowercase", &r->s.lower);
    r->s.strip_accents = r->s.lower;
    return rc ? rc : read_switch(r, "tokenizer.ggml.normalizer.strip_accents", &r->s.strip_accents);
}

static glim_err read_unigram(reader *r)
{
    glim_err rc = read_scores(r);
    if (!rc) rc = read_charsmap(r);
    if (!rc) rc = read_switch(r, "tokenizer.ggml.add_space_prefix", &r->s.add_prefix);
    if (!rc) rc = read_switch(r, "tokenizer.ggml.remove_extra_whitespaces", &r->s.collapse);
    return rc;
}

/* A file can ask for texts without the model's own tokens; no encoder was trained so. */
static glim_err check_own_tokens(reader *r)
{
    const char *const keys[] = {"tokenizer.ggml.add_bos_token",
                                r->s.kind == GLIM_ENCTOK_UNIGRAM ? "tokenizer.ggml.add_eos_token"
                                                                 : "tokenizer.ggml.add_sep_token"};
    for (size_t i = 0; i < GLIM_COUNT(keys); i++) {
        bool on = true;
        glim_err rc = read_switch(r, keys[i], &on);
        if (rc) return rc;
        if (!on)
            return glim_fail(r->e, GLIM_E_UNSUPPORTED, "%s: %s false is not supported",
                             glim_modelfile_path(r->f), keys[i]);
    }
    return GLIM_OK;
}

static glim_err from_gguf(const glim_modelfile *f, glim_arena *a, glim_enctok **out, glim_error *e)
{
    reader r = {.f = f, .a = a, .e = e};
    glim_str model = {0};
    bool has = glim_meta_str(glim_modelfile_meta(f, "tokenizer.ggml.model"), &model);
    bool unigram = glim_str_is(model, "t5");
    if (!unigram && !glim_str_is(model, "bert"))
        return glim_fail(e, has ? GLIM_E_UNSUPPORTED : GLIM_E_FORMAT,
                         "%s: tokenizer.ggml.model is %s; for an encoder bert (WordPiece) and t5 "
                         "(unigram) are supported",
                         glim_modelfile_path(f), has ? GLIM_QUOTE(model) : "missing");
    glim_enctok_spec_init(&r.s, unigram ? GLIM_ENCTOK_UNIGRAM : GLIM_ENCTOK_WORDPIECE);
    glim_err rc = read_tokens(&r);
    if (!rc) rc = read_kinds(&r);
    if (!rc) rc = read_roles(&r);
    if (!rc) rc = unigram ? read_unigram(&r) : read_wordpiece(&r);
    if (!rc) rc = check_own_tokens(&r);
    if (rc) return rc;
    rc = glim_enctok_new(&r.s, out, e);
    if (rc) glim_error_prefix(e, "%s", glim_modelfile_path(f));
    return rc;
}

glim_err glim_enctok_from_file(const glim_modelfile *f, glim_enctok **out, glim_error *e)
{
    glim_arena *a = glim_arena_new(SIZE_MAX / 2);
    if (!a)
        return glim_fail(e, GLIM_E_NOMEM, "%s: no memory for its vocabulary",
                         glim_modelfile_path(f));
    glim_err rc = glim_modelfile_container(f) == GLIM_CONTAINER_GGUF ? from_gguf(f, a, out, e)
                                                                     : from_folder(f, a, out, e);
    glim_arena_free(a);
    return rc;
}
