/* SPDX-License-Identifier: MIT
 * vocab.c - the vocabulary of a model file: tokenizer, template, the ids that end a turn.
 * Owns:   the mapping from a file's keys to room text's plain specification.
 * Thread: any once open. */
#include "engine/engine_int.h"

/* ---- specification from GGUF keys ------------------------------------------------------------ */

static glim_err gguf_array(const glim_modelfile *f, const char *key, glim_meta_type elem,
                           const glim_meta **out, glim_error *e)
{
    const glim_meta *m = glim_modelfile_meta(f, key);
    if (!m)
        return glim_fail(e, GLIM_E_FORMAT, "%s: %s is missing: no tokenizer in this file",
                         glim_modelfile_path(f), key);
    bool integers = elem == GLIM_META_I64 && (m->elem == GLIM_META_I64 || m->elem == GLIM_META_U64);
    if (m->type != GLIM_META_ARRAY || (m->elem != elem && !integers))
        return glim_fail_off(e, GLIM_E_FORMAT, m->offset, "%s: %s must be an array of %s",
                             glim_modelfile_path(f), key,
                             elem == GLIM_META_STR ? "strings" : "whole numbers");
    *out = m;
    return GLIM_OK;
}

static glim_err gguf_merges(const glim_modelfile *f, glim_arena *a, glim_tokenizer_spec *spec,
                            glim_error *e)
{
    const glim_meta *m;
    glim_err rc = gguf_array(f, "tokenizer.ggml.merges", GLIM_META_STR, &m, e);
    if (rc) return rc;
    spec->merges = glim_arena_array(a, (size_t)m->n_elem, sizeof *spec->merges);
    if (!spec->merges) return glim_fail(e, GLIM_E_NOMEM, "%s: merges", glim_modelfile_path(f));
    glim_meta_iter it = {.m = m};
    glim_str s;
    while (glim_meta_next_str(&it, &s)) {
        /* "a b": the byte alphabet has no blank, so the only one parts the two halves. */
        size_t at = glim_str_find(s, GLIM_STR(" "));
        if (at == SIZE_MAX || at == 0 || at + 1 == s.n ||
            glim_str_find(glim_str_sub(s, at + 1, s.n), GLIM_STR(" ")) != SIZE_MAX)
            return glim_fail_off(
                e, GLIM_E_FORMAT, m->offset,
                "%s: tokenizer.ggml.merges[%zu] %s is not two tokens with a blank between",
                glim_modelfile_path(f), spec->n_merge, GLIM_QUOTE(s));
        spec->merges[spec->n_merge].a = glim_str_sub(s, 0, at);
        spec->merges[spec->n_merge++].b = glim_str_sub(s, at + 1, s.n);
    }
    return GLIM_OK;
}

glim_err glim_vocab_spec_gguf(const glim_modelfile *f, glim_arena *a, glim_tokenizer_spec *spec,
                              glim_error *e)
{
    const char *path = glim_modelfile_path(f);
    glim_str model = {0}, pre = {0};
    const glim_meta *tokens, *types;
    if (!glim_meta_str(glim_modelfile_meta(f, "tokenizer.ggml.model"), &model) ||
        !glim_str_is(model, "gpt2"))
        return glim_fail(e, model.n ? GLIM_E_UNSUPPORTED : GLIM_E_FORMAT,
                         "%s: tokenizer.ggml.model is %s; gpt2 (byte-level BPE) is supported", path,
                         model.n ? GLIM_QUOTE(model) : "missing");
    glim_err rc = gguf_array(f, "tokenizer.ggml.tokens", GLIM_META_STR, &tokens, e);
    if (!rc) rc = gguf_array(f, "tokenizer.ggml.token_type", GLIM_META_I64, &types, e);
    if (rc) return rc;
    if (types->n_elem != tokens->n_elem)
        return glim_fail_off(e, GLIM_E_FORMAT, types->offset,
                             "%s: tokenizer.ggml.token_type has %llu entries for %llu tokens", path,
                             (unsigned long long)types->n_elem, (unsigned long long)tokens->n_elem);
    spec->n_token = (size_t)tokens->n_elem;
    spec->text = glim_arena_array(a, spec->n_token, sizeof *spec->text);
    spec->attr = glim_arena_alloc(a, spec->n_token);
    if (!spec->text || !spec->attr) return glim_fail(e, GLIM_E_NOMEM, "%s: vocabulary", path);
    glim_meta_iter it = {.m = tokens}, ti = {.m = types};
    for (size_t i = 0; i < spec->n_token; i++) {
        int64_t type;
        if (!glim_meta_next_str(&it, &spec->text[i]) || !glim_meta_next_i64(&ti, &type))
            return glim_fail_off(e, GLIM_E_FORMAT, tokens->offset,
                                 "%s: tokenizer.ggml.tokens ends after %zu tokens: the file was "
                                 "written to while it was read",
                                 path, i);
        if (type < GLIM_TOKEN_NORMAL || type > GLIM_TOKEN_BYTE)
            return glim_fail_off(e, GLIM_E_FORMAT, types->offset,
                                 "%s: tokenizer.ggml.token_type[%zu] is %lld; 1 to 6 are known",
                                 path, i, (long long)type);
        spec->attr[i] = (uint8_t)type;
    }
    rc = gguf_merges(f, a, spec, e);
    if (rc) return rc;
    if (!glim_meta_str(glim_modelfile_meta(f, "tokenizer.ggml.pre"), &pre))
        return glim_fail(
            e, GLIM_E_FORMAT,
            "%s: tokenizer.ggml.pre is missing: the splitting rule is unknown; fetch a newer file",
            path);
    rc = glim_pretok_named(pre, spec, e);
    if (rc) glim_error_prefix(e, "%s: tokenizer.ggml.pre", path);
    return rc;
}

/* ---- stop ids -------------------------------------------------------------------------------- */

#define STOPS_MAX 16

static void add_stop(glim_vocab *v, int64_t id)
{
    if (id < 0 || id >= (int64_t)glim_tokenizer_n_token(v->tok) || v->n_stop == STOPS_MAX) return;
    if (!glim_token_is_stop(v, (int32_t)id)) v->stops[v->n_stop++] = (int32_t)id;
}

static void add_json_stops(glim_vocab *v, const glim_json *ids)
{
    int64_t id;
    if (glim_json_i64(ids, &id)) add_stop(v, id);
    if (glim_json_is(ids, GLIM_JSON_ARRAY)) GLIM_JSON_EACH(item, ids)
        {
            if (glim_json_i64(item, &id)) add_stop(v, id);
        }
}

static glim_err find_stops(glim_vocab *v, const glim_modelfile *f, glim_error *e)
{
    static const char *const keys[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                                       "tokenizer.ggml.eom_token_id"};
    static const char *const names[] = {"<|endoftext|>", "<|user|>", "<|observation|>"};
    for (size_t i = 0; i < GLIM_COUNT(keys); i++) {
        const glim_meta *m = glim_modelfile_meta(f, keys[i]);
        uint64_t id;
        if (!m || (m->type == GLIM_META_I64 && m->i64 == -1)) continue; /* -1: there is none */
        if (!glim_meta_u64(m, &id) || (id >= glim_tokenizer_n_token(v->tok) && id != UINT32_MAX))
            return glim_fail_off(
                e, GLIM_E_FORMAT, m->offset,
                "%s: %s is no token of the %zu in the file: it is damaged; fetch it again", v->path,
                keys[i], glim_tokenizer_n_token(v->tok));
        if (id != UINT32_MAX) add_stop(v, (int64_t)id);
    }
    add_json_stops(v, glim_json_get(glim_modelfile_generation_config(f), "eos_token_id"));
    add_json_stops(v, glim_json_get(glim_modelfile_config(f), "eos_token_id"));
    /* Uploads of January 2026 name only one of the three; without the others the model talks on for
     * the user. */
    for (size_t i = 0; i < GLIM_COUNT(names); i++)
        add_stop(v, glim_token_special(v->tok, glim_str_of(names[i])));
    return GLIM_OK;
}

/* ---- open ------------------------------------------------------------------------------------ */

/* A folder with tokenizer files alone does not say what its model is: tokenizer.json does. */
static bool of_encoder(const glim_modelfile *f)
{
    glim_model_kind kind;
    char arch[GLIM_ARCH_NAME_MAX];
    glim_str json = glim_modelfile_tokenizer_json(f), model;
    glim_open_kind(f, &kind, arch);
    if (kind != GLIM_KIND_UNKNOWN) return kind == GLIM_KIND_EMBEDDING;
    if (glim_modelfile_container(f) == GLIM_CONTAINER_GGUF)
        return glim_meta_str(glim_modelfile_meta(f, "tokenizer.ggml.model"), &model) &&
               glim_str_is(model, "bert");
    return json.n ? glim_enctok_is_json(json) : true; /* no other reads any other file */
}

static glim_err build_encoder(const glim_modelfile *f, glim_vocab *v, glim_error *e)
{
    const char *path = glim_modelfile_path(f);
    v->path = glim_alloc(strlen(path) + 1);
    if (!v->path) return glim_fail(e, GLIM_E_NOMEM, "%s: vocabulary", path);
    memcpy(v->path, path, strlen(path) + 1);
    return glim_enctok_from_file(f, &v->enc, e);
}

static glim_err build(const glim_modelfile *f, glim_vocab *v, glim_error *e)
{
    const char *path = glim_modelfile_path(f);
    v->stops = glim_alloc_array(STOPS_MAX, sizeof *v->stops);
    v->path = glim_alloc(strlen(path) + 1);
    glim_arena *a = glim_arena_new(SIZE_MAX);
    glim_err rc = GLIM_OK;
    if (!v->stops || !v->path || !a) {
        rc = glim_fail(e, GLIM_E_NOMEM, "%s: vocabulary", path);
    } else {
        memcpy(v->path, path, strlen(path) + 1);
        glim_tokenizer_spec spec = {0};
        glim_str json = glim_modelfile_tokenizer_json(f);
        if (glim_modelfile_container(f) == GLIM_CONTAINER_GGUF) {
            rc = glim_vocab_spec_gguf(f, a, &spec, e);
        } else if (!json.n) {
            rc = glim_fail(e, GLIM_E_NOTFOUND,
                           "%s: no tokenizer.json in this folder; fetch it beside the weights",
                           path);
        } else {
            rc = glim_tokenizer_json_read(a, json, &spec, e);
            if (rc) glim_error_prefix(e, "%s/tokenizer.json", path);
        }
        if (!rc) {
            rc = glim_tokenizer_new(&spec, &v->tok, e);
            if (rc) glim_error_prefix(e, "%s", path);
        }
    }
    glim_arena_free(a);
    if (!rc) rc = find_stops(v, f, e);
    if (rc) return rc;
    glim_str jinja = glim_modelfile_chat_template(f);
    v->tmpl = glim_template_match(jinja);
    /* Files without a template but with GLM's tags: the current family. */
    if (!jinja.n && glim_token_special(v->tok, GLIM_STR("[gMASK]")) >= 0 &&
        glim_token_special(v->tok, GLIM_STR("</think>")) >= 0)
        v->tmpl = glim_template_find(GLIM_STR("glm-4.7-flash"));
    return GLIM_OK;
}

glim_err glim_vocab_from_file(const glim_modelfile *f, glim_vocab **out, glim_error *e)
{
    glim_vocab *v = glim_new0(glim_vocab);
    if (!v) return glim_fail(e, GLIM_E_NOMEM, "%s: vocabulary", glim_modelfile_path(f));
    glim_err rc = of_encoder(f) ? build_encoder(f, v, e) : build(f, v, e);
    if (rc) {
        glim_vocab_close(v);
        return rc;
    }
    *out = v;
    return GLIM_OK;
}

glim_err glim_vocab_open(const char *path, glim_vocab **out, glim_error *e)
{
    glim_modelfile *f;
    glim_err rc = glim_modelfile_open(path, GLIM_OPEN_NO_TENSORS, &f, e);
    if (rc) return rc;
    glim_vocab *v = NULL;
    rc = glim_vocab_from_file(f, &v, e);
    const glim_err lost = glim_modelfile_check_all(f, e);
    if (lost) rc = lost;
    glim_modelfile_close(f);
    if (rc) {
        glim_vocab_close(v);
        return rc;
    }
    *out = v;
    return GLIM_OK;
}

void glim_vocab_close(glim_vocab *v)
{
    if (!v) return;
    glim_tokenizer_free(v->tok);
    glim_enctok_free(v->enc);
    glim_free(v->stops);
    glim_free(v->path);
    glim_free(v);
}

/* ---- use ------------------------------------------------------------------------------------- */

size_t glim_vocab_size(const glim_vocab *v)
{
    return v->enc ? glim_enctok_n_token(v->enc) : glim_tokenizer_n_token(v->tok);
}

bool glim_vocab_of_encoder(const glim_vocab *v)
{
    return v->enc != NULL;
}

void glim_tokens_free(glim_tokens *t)
{
    glim_free(t->ids);
    *t = (glim_tokens){0};
}

/* Tokens a text may have at most: one a byte, and there is no text of 2^31. */
static glim_err tokenize(const glim_vocab *v, glim_str text, const glim_span *plain, size_t n_plain,
                         bool all_plain, glim_tokens *out, glim_error *e)
{
    glim_ids ids;
    glim_ids_init(&ids, INT32_MAX);
    glim_err rc = v->enc ? glim_enctok_encode(v->enc, text, !all_plain, &ids, e)
                         : glim_tokenize_spans(v->tok, text, plain, n_plain, all_plain, &ids, e);
    if (rc) {
        glim_ids_deinit(&ids);
        return rc;
    }
    *out = (glim_tokens){ids.p, ids.n};
    return GLIM_OK;
}

glim_err glim_tokenize(const glim_vocab *v, glim_str text, bool special, glim_tokens *out,
                       glim_error *e)
{
    *out = (glim_tokens){0};
    return tokenize(v, text, NULL, 0, !special, out, e);
}

glim_str glim_token_text(const glim_vocab *v, int32_t id)
{
    return v->enc ? glim_enctok_text(v->enc, id) : glim_token_bytes(v->tok, id);
}

bool glim_token_is_stop(const glim_vocab *v, int32_t id)
{
    for (size_t i = 0; i < v->n_stop; i++)
        if (v->stops[i] == id) return true;
    return false;
}

const char *glim_vocab_template(const glim_vocab *v)
{
    return v->tmpl ? v->tmpl->name : NULL;
}

void glim_rendered_free(glim_rendered *r)
{
    glim_free((char *)(uintptr_t)r->text.p);
    glim_tokens_free(&r->tokens);
    *r = (glim_rendered){0};
}

#define PROMPT_MAX ((size_t)1 << 30)

glim_err glim_render(const glim_vocab *v, const char *family, const glim_chat *chat,
                     glim_rendered *out, glim_error *e)
{
    *out = (glim_rendered){0};
    if (v->enc)
        return glim_fail(e, GLIM_E_UNSUPPORTED,
                         "%s: an embedding model has no chat template; name a chat model", v->path);
    const glim_template *t = family ? glim_template_find(glim_str_of(family)) : v->tmpl;
    if (!t && family)
        return glim_fail(e, GLIM_E_NOTFOUND, "no template %s; known: %s",
                         GLIM_QUOTE(glim_str_of(family)), glim_template_names());
    if (!t)
        return glim_fail(e, GLIM_E_NOTFOUND,
                         "%s: its chat template is none that glim renders; known: %s", v->path,
                         glim_template_names());
    glim_prompt p;
    glim_prompt_init(&p, PROMPT_MAX);
    glim_err rc = t->render(chat, &p, e);
    if (!rc) rc = tokenize(v, glim_buf_view(&p.text), p.plain, p.n_plain, false, &out->tokens, e);
    if (!rc) {
        out->text = (glim_str){p.text.p, p.text.n};
        out->start = p.starts_reasoning ? GLIM_START_REASONING
                     : p.starts_auto    ? GLIM_START_AUTO
                                        : GLIM_START_CONTENT;
        p.text.p = NULL; /* the buffer's memory is out's now */
    }
    glim_prompt_deinit(&p);
    return rc;
}
