/* SPDX-License-Identifier: MIT
 * pooling.c - what a model's own library makes of its final states: which rows become the vector,
 * whether it is scaled to unit length, and where longer texts are cut.
 * Owns: the keys of modules.json, of a pooling module's config.json and of sentence_bert_config.json.
 * Thread: any.
 * Fails: FORMAT for files that are damaged, UNSUPPORTED by name for a module or a pooling that would
 *        change the vector in a way that is not done here. Nothing of that kind is skipped.
 * Source: the sentence-transformers file formats and the GGUF keys of embedding models, read 2026-11. */
#include "models/load_priv.h"

#include <stdio.h>

#define CAP_FILES ((size_t)64 << 20)

typedef struct reader {
    const glim_modelfile *f;
    glim_arena *arena;
    glim_pooling_rule *out;
    glim_error *e;
} reader;

static glim_err unsupported(const reader *r, const char *file, const char *what, glim_str value,
                            const char *known)
{
    return glim_fail(r->e, GLIM_E_UNSUPPORTED, "%s/%s: %s %s is not supported; %s",
                     glim_modelfile_path(r->f), file, what, GLIM_QUOTE(value), known);
}

/* ---- a pooling module's config.json ------------------------------------------------------------ */

static const struct {
    const char *key, *name; /* older files have a key for each, newer ones a name */
    glim_pooling kind;      /* UNSET: not supported */
} modes[] = {
    {"pooling_mode_cls_token", "cls", GLIM_POOLING_CLS},
    {"pooling_mode_mean_tokens", "mean", GLIM_POOLING_MEAN},
    {"pooling_mode_lasttoken", "lasttoken", GLIM_POOLING_LAST},
    {"pooling_mode_max_tokens", "max", GLIM_POOLING_UNSET},
    {"pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens", GLIM_POOLING_UNSET},
    {"pooling_mode_weightedmean_tokens", "weightedmean", GLIM_POOLING_UNSET},
};
#define KNOWN_MODES "cls, mean and lasttoken are, one at a time"

static glim_err read_mode_name(const reader *r, const char *file, const glim_json *v)
{
    for (size_t i = 0; i < GLIM_COUNT(modes); i++)
        if (v->type == GLIM_JSON_STRING && glim_str_is(v->text, modes[i].name) && modes[i].kind) {
            r->out->kind = modes[i].kind;
            return GLIM_OK;
        }
    return unsupported(r, file, "pooling_mode", v->text, KNOWN_MODES);
}

static glim_err read_modes(const reader *r, const char *file, const glim_json *cfg)
{
    glim_pooling kind = GLIM_POOLING_UNSET;
    for (size_t i = 0; i < GLIM_COUNT(modes); i++) {
        const glim_json *v = glim_json_get(cfg, modes[i].key);
        bool on = false;
        if (v && v->type != GLIM_JSON_NULL && !glim_json_bool(v, &on))
            return glim_fail(r->e, GLIM_E_FORMAT, "%s/%s: %s must be true or false",
                             glim_modelfile_path(r->f), file, modes[i].key);
        if (!on) continue;
        /* Two at once make a vector of twice the width. */
        if (!modes[i].kind || kind)
            return unsupported(r, file, modes[i].key, GLIM_STR("true"), KNOWN_MODES);
        kind = modes[i].kind;
    }
    if (!kind)
        return glim_fail(r->e, GLIM_E_FORMAT, "%s/%s: no pooling mode is true",
                         glim_modelfile_path(r->f), file);
    r->out->kind = kind;
    return GLIM_OK;
}

static glim_err read_pooling_module(const reader *r, glim_str folder)
{
    char file[128];
    const glim_json *cfg;
    snprintf(file, sizeof file, "%.*s%sconfig.json", (int)folder.n, folder.p, folder.n ? "/" : "");
    glim_err rc = glim_modelfile_read_json(r->f, file, r->arena, &cfg, r->e);
    if (rc) return rc;
    if (!glim_json_is(cfg, GLIM_JSON_OBJECT))
        return glim_fail(r->e, GLIM_E_FORMAT, "%s/%s: missing or no object: fetch it again",
                         glim_modelfile_path(r->f), file);
    const glim_json *name = glim_json_get(cfg, "pooling_mode");
    return name && name->type != GLIM_JSON_NULL ? read_mode_name(r, file, name)
                                                : read_modes(r, file, cfg);
}

/* ---- modules.json ------------------------------------------------------------------------------ */

/* A plain name: a file's contents never choose a path outside its folder. */
static bool is_plain(glim_str s)
{
    if (s.n > 64 || (s.n && s.p[0] == '.')) return false;
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] == '/' || s.p[i] == '\\' || (unsigned char)s.p[i] < 32) return false;
    return true;
}

static glim_err read_module(const reader *r, const glim_json *m)
{
    const glim_json *type = glim_json_get(m, "type"), *path = glim_json_get(m, "path");
    if (!glim_json_is(type, GLIM_JSON_STRING) || !glim_json_is(path, GLIM_JSON_STRING) ||
        !is_plain(path->text))
        return glim_fail(r->e, GLIM_E_FORMAT,
                         "%s/modules.json: a module without a type, or whose path is no plain name",
                         glim_modelfile_path(r->f));
    if (glim_str_ends(type->text, GLIM_STR(".Transformer"))) return GLIM_OK;
    if (glim_str_ends(type->text, GLIM_STR(".Pooling"))) return read_pooling_module(r, path->text);
    if (glim_str_ends(type->text, GLIM_STR(".Normalize"))) {
        r->out->normalize = true;
        return GLIM_OK;
    }
    return unsupported(r, "modules.json", "module", type->text,
                       "Transformer, Pooling and Normalize are");
}

/* *found: the folder says what follows the model. */
static glim_err read_modules(const reader *r, bool *found)
{
    const glim_json *list;
    glim_err rc = glim_modelfile_read_json(r->f, "modules.json", r->arena, &list, r->e);
    if (rc || !list) return rc;
    if (list->type != GLIM_JSON_ARRAY)
        return glim_fail(r->e, GLIM_E_FORMAT, "%s/modules.json: holds %s, not a list",
                         glim_modelfile_path(r->f), glim_json_type_name(list->type));
    *found = true;
    GLIM_JSON_EACH(m, list)
    {
        if ((rc = read_module(r, m))) return rc;
    }
    return GLIM_OK;
}

/* ---- lengths ----------------------------------------------------------------------------------- */

/* Files write 1e30 for "no end". */
static void limit(glim_pooling_rule *p, double n)
{
    if (n >= 1 && n < (double)p->max_tokens) p->max_tokens = (int64_t)n;
}

static glim_err read_length(const reader *r)
{
    const glim_json *cfg, *v;
    double n;
    glim_err rc = glim_modelfile_read_json(r->f, "sentence_bert_config.json", r->arena, &cfg, r->e);
    if (rc) return rc;
    v = glim_json_get(cfg, "max_seq_length");
    if (v && v->type != GLIM_JSON_NULL) {
        if (!glim_json_f64(v, &n) || n < 1)
            return glim_fail(r->e, GLIM_E_FORMAT,
                             "%s/sentence_bert_config.json: max_seq_length must be a whole number "
                             "from 1",
                             glim_modelfile_path(r->f));
        limit(r->out, n);
    } else if (glim_json_f64(
                   glim_json_get(glim_modelfile_tokenizer_config(r->f), "model_max_length"), &n)) {
        limit(r->out, n);
    }
    return GLIM_OK;
}

/* ---- GGUF -------------------------------------------------------------------------------------- */

static glim_err read_keys(const reader *r)
{
    static const glim_pooling kinds[] = {GLIM_POOLING_UNSET, GLIM_POOLING_MEAN, GLIM_POOLING_CLS,
                                         GLIM_POOLING_LAST,
                                         GLIM_POOLING_CLS /* 4: the head ranks by it */};
    const glim_meta *m = glim_hp_meta(r->f, "pooling_type");
    uint64_t u;
    if (glim_meta_u64(glim_hp_meta(r->f, "context_length"), &u)) limit(r->out, (double)u);
    if (!m) return GLIM_OK;
    if (!glim_meta_u64(m, &u) || u >= GLIM_COUNT(kinds))
        return glim_fail(r->e, GLIM_E_FORMAT, "%s: pooling_type must be 0 to 4",
                         glim_modelfile_path(r->f));
    if (kinds[u]) r->out->kind = kinds[u]; /* 0 says nothing */
    return GLIM_OK;
}

glim_err glim_pooling_read(const glim_modelfile *f, int64_t n_ctx, glim_pooling_rule *out,
                           glim_error *e)
{
    bool gguf = glim_modelfile_container(f) == GLIM_CONTAINER_GGUF, found = false;
    glim_pooling_rule p = {.kind = GLIM_POOLING_MEAN, .max_tokens = n_ctx};
    reader r = {f, glim_arena_new(CAP_FILES), &p, e};
    if (!r.arena)
        return glim_fail(e, GLIM_E_NOMEM, "%s: no memory to read how it pools",
                         glim_modelfile_path(f));
    glim_err rc = read_modules(&r, &found);
    if (!rc) rc = read_length(&r);
    if (!rc && gguf) rc = read_keys(&r);
    /* A GGUF has no place for it, and the library that reads it normalises. */
    if (gguf && !found) p.normalize = true;
    glim_arena_free(r.arena);
    if (!rc) *out = p;
    return rc;
}
