/* SPDX-License-Identifier: MIT
 * folder.c - a model folder: its JSON files, its chat template, and which of its files are the
 * weights. Order of weights: model.safetensors, then model.safetensors.index.json, then the one
 * GGUF (or split set).
 * Fails: NOTFOUND naming what is missing, UNSUPPORTED for pickles, FORMAT for damaged JSON.
 * See: tests/unit/formats/test_folder.c */
#include "formats/formats_priv.h"

#include <dirent.h>
#include <errno.h>

#define CAP_CONFIG ((size_t)1 << 20)
#define CAP_TOKENIZER_CONFIG ((size_t)16 << 20) /* lists every special token; 200 KB is much */
/* A tree node is 64 bytes and the shortest value takes two of the source: 64 times is enough for
 * any text. */
#define TREE_FACTOR 64
#define TREE_BASE ((size_t)64 << 10)

glim_err glim_formats_json_error(glim_err rc, const char *path, uint64_t base, glim_error *e)
{
    if (rc == GLIM_E_INPUT)
        rc = GLIM_E_FORMAT; /* here it is a file that is wrong, not what a user typed */
    if (!e) return rc;
    glim_error_prefix(e, "%s", path);
    if (e->offset != GLIM_NO_OFFSET) e->offset += base;
    e->code = rc;
    return rc;
}

/* Maps dir/name when it is there. A missing file is no error. */
static glim_err map_file(glim_modelfile *f, const char *name, size_t max, json_file *j,
                         glim_error *e)
{
    glim_error own = {0};
    j->path = glim_path_join(f->arena, f->path, name);
    if (!j->path) return glim_fail(e, GLIM_E_NOMEM, "%s: no memory to open it", f->path);
    glim_err rc = glim_filemap_open(&j->map, j->path, &own);
    if (rc == GLIM_E_NOTFOUND) return GLIM_OK;
    if (rc) {
        if (e) *e = own;
        return rc;
    }
    if (j->map.n > max)
        return glim_fail(e, GLIM_E_LIMIT, "%s: %zu bytes, at most %zu are read", j->path, j->map.n,
                         max);
    if (j->map.n == 0) return glim_fail(e, GLIM_E_FORMAT, "%s: empty: fetch it again", j->path);
    return GLIM_OK;
}

static glim_err load_json(glim_modelfile *f, const char *name, size_t max, json_file *j,
                          glim_error *e)
{
    const char *what;
    glim_err rc = map_file(f, name, max, j, e);
    if (rc || !j->map.p) return rc;
    const char *path = j->path;
    if (glim_formats_mistaken(j->map.p, j->map.n, &what))
        return glim_fail(e, GLIM_E_UNSUPPORTED, "%s: %s", path, what);
    j->arena = glim_arena_new(TREE_BASE + TREE_FACTOR * j->map.n);
    if (!j->arena) return glim_fail(e, GLIM_E_NOMEM, "%s: no memory to read it", path);
    rc = glim_json_parse(j->arena, (glim_str){(const char *)j->map.p, j->map.n}, &j->root, e);
    if (rc) return glim_formats_json_error(rc, path, 0, e);
    if (j->root->type != GLIM_JSON_OBJECT)
        return glim_fail_off(e, GLIM_E_FORMAT, 0, "%s: holds %s, not an object: fetch it again",
                             path, glim_json_type_name(j->root->type));
    return GLIM_OK;
}

/* chat_template.jinja; else chat_template of tokenizer_config.json: a string, or a list of named
 * ones. */
static glim_err find_template(glim_modelfile *f, glim_error *e)
{
    const glim_filemap *m = &f->template_file.map;
    glim_err rc = map_file(f, "chat_template.jinja", CAP_TOKENIZER_CONFIG, &f->template_file, e);
    if (rc) return rc;
    if (m->p) {
        f->chat_template = (glim_str){(const char *)m->p, m->n};
        return GLIM_OK;
    }
    const glim_json *t = glim_json_get(f->tokenizer_config.root, "chat_template");
    if (glim_json_is(t, GLIM_JSON_STRING)) f->chat_template = t->text;
    if (!glim_json_is(t, GLIM_JSON_ARRAY)) return GLIM_OK;
    GLIM_JSON_EACH(it, t)
    {
        const glim_json *name = glim_json_get(it, "name"), *text = glim_json_get(it, "template");
        if (glim_json_is(name, GLIM_JSON_STRING) && glim_str_is(name->text, "default") &&
            glim_json_is(text, GLIM_JSON_STRING))
            f->chat_template = text->text;
    }
    return GLIM_OK;
}

/* What a folder without the usual names holds. */
typedef struct listing {
    glim_str gguf; /* the first, by name; parts of split files other than the first do not count */
    size_t n_gguf;
    glim_str other; /* a safetensors file of an unusual name */
    bool pickle;
} listing;

static bool keep_least(glim_arena *a, glim_str name, glim_str *least)
{
    if (least->p && strcmp(name.p, least->p) >= 0) return true;
    *least = glim_arena_str(a, name);
    return least->p != NULL;
}

static glim_err list_folder(glim_modelfile *f, listing *l, glim_error *e)
{
    DIR *d = opendir(f->path);
    if (!d) return glim_fail(e, GLIM_E_IO, "%s: %s", f->path, strerror(errno));
    bool ok = true;
    int err = 0;
    while (ok) {
        errno = 0; /* NULL is the end, or a failure: only errno tells */
        const struct dirent *it = readdir(d);
        err = errno;
        if (!it) break;
        const glim_str name = glim_str_of(it->d_name);
        split_name s;
        if (glim_str_ends(name, GLIM_STR(".gguf"))) {
            /* Picture encoders lie beside the model in the same format. */
            if (glim_str_starts(name, GLIM_STR("mmproj")) ||
                (glim_split_name_parse(name, &s) && s.no != 1))
                continue;
            l->n_gguf++;
            ok = keep_least(f->arena, name, &l->gguf);
        } else if (glim_str_ends(name, GLIM_STR(".safetensors"))) {
            ok = keep_least(f->arena, name, &l->other);
        } else if (glim_str_ends(name, GLIM_STR(".bin")) || glim_str_ends(name, GLIM_STR(".pt")) ||
                   glim_str_ends(name, GLIM_STR(".pth"))) {
            l->pickle |= glim_str_starts(name, GLIM_STR("pytorch_model")) ||
                         !glim_str_ends(name, GLIM_STR(".bin"));
        }
    }
    closedir(d);
    if (!ok) return glim_fail(e, GLIM_E_NOMEM, "%s: no memory to list it", f->path);
    return err ? glim_fail(e, GLIM_E_IO, "%s: %s", f->path, strerror(err)) : GLIM_OK;
}

static glim_err find_gguf(glim_modelfile *f, const char **gguf, glim_error *e)
{
    listing l = {0};
    glim_err rc = list_folder(f, &l, e);
    if (rc) return rc;
    if (l.n_gguf == 1) {
        *gguf = glim_path_join(f->arena, f->path, l.gguf.p);
        return *gguf ? GLIM_OK : glim_fail(e, GLIM_E_NOMEM, "%s: no memory to open it", f->path);
    }
    if (l.n_gguf > 1)
        return glim_fail(e, GLIM_E_NOTFOUND,
                         "%s: holds %zu GGUF models (%s, ...): name the file you want", f->path,
                         l.n_gguf, GLIM_QUOTE(l.gguf));
    if (l.pickle)
        return glim_fail(e, GLIM_E_UNSUPPORTED,
                         "%s: holds only PyTorch pickles, which can run code when read: convert "
                         "them to safetensors "
                         "(transformers: save_pretrained) or to GGUF",
                         f->path);
    if (l.other.p)
        return glim_fail(e, GLIM_E_NOTFOUND,
                         "%s: holds %s but neither model.safetensors nor "
                         "model.safetensors.index.json: fetch the rest of "
                         "the model",
                         f->path, GLIM_QUOTE(l.other));
    return glim_fail(e, GLIM_E_NOTFOUND,
                     "%s: no model: neither model.safetensors, model.safetensors.index.json nor a "
                     ".gguf file is there",
                     f->path);
}

static glim_err open_weights(glim_modelfile *f, const char **gguf, glim_error *e)
{
    const char *single = glim_path_join(f->arena, f->path, "model.safetensors");
    const char *index = glim_path_join(f->arena, f->path, "model.safetensors.index.json");
    if (!single || !index) return glim_fail(e, GLIM_E_NOMEM, "%s: no memory to open it", f->path);
    const bool is_single = glim_is_file(single);
    if (!is_single && !glim_is_file(index)) return find_gguf(f, gguf, e);
    if (!f->config.root)
        return glim_fail(e, GLIM_E_NOTFOUND,
                         "%s: config.json is missing: fetch it into the same folder", f->path);
    if (!is_single) return glim_safetensors_open_index(f, f->path, index, e);
    glim_err rc = glim_modelfile_add_part(f, single, e);
    return rc ? rc : glim_safetensors_read(f, 0, NULL, NULL, e);
}

/* Vocabularies of encoders that are no JSON. */
static bool has_vocabulary(glim_modelfile *f)
{
    static const char *const names[] = {"vocab.txt", "sentencepiece.bpe.model"};
    bool found = false;
    for (size_t i = 0; !found && i < GLIM_COUNT(names); i++) {
        const char *path = glim_path_join(f->arena, f->path, names[i]);
        found = path && glim_is_file(path);
    }
    return found;
}

glim_err glim_folder_open(glim_modelfile *f, unsigned flags, const char **gguf, glim_error *e)
{
    glim_err rc = load_json(f, "config.json", CAP_CONFIG, &f->config, e);
    if (!rc) rc = load_json(f, "generation_config.json", CAP_CONFIG, &f->generation_config, e);
    if (!rc)
        rc = load_json(f, "tokenizer_config.json", CAP_TOKENIZER_CONFIG, &f->tokenizer_config, e);
    if (!rc) rc = map_file(f, "tokenizer.json", SIZE_MAX, &f->tokenizer_json, e);
    if (!rc) rc = find_template(f, e);
    if (rc) return rc;
    if (!(flags & GLIM_OPEN_NO_TENSORS)) return open_weights(f, gguf, e);
    /* The vocabulary alone needs no weights: whatever they are, they stay closed; a GGUF is opened
     * only where the vocabulary can be nowhere else. */
    if (f->tokenizer_json.map.p) return GLIM_OK;
    glim_error own = {0};
    rc = find_gguf(f, gguf, &own);
    if (rc == GLIM_E_NOTFOUND || rc == GLIM_E_UNSUPPORTED) {
        if (f->config.root || has_vocabulary(f)) return GLIM_OK;
    }
    if (rc && e) *e = own;
    return rc;
}

glim_err glim_modelfile_read_text(const glim_modelfile *f, const char *name, size_t max,
                                  glim_arena *a, glim_str *out, glim_error *e)
{
    glim_error own = {0};
    glim_buf b;
    const char *what;
    *out = (glim_str){0};
    if (!glim_is_dir(f->path)) return GLIM_OK;
    const char *path = glim_path_join(a, f->path, name);
    if (!path) return glim_fail(e, GLIM_E_NOMEM, "%s: no memory to open it", f->path);
    glim_buf_init(&b, max);
    glim_err rc = glim_read_file(path, &b, &own);
    glim_str text = {0};
    if (!rc && b.n) text = glim_arena_str(a, glim_buf_view(&b));
    const bool empty = b.n == 0;
    glim_buf_deinit(&b);
    if (rc == GLIM_E_NOTFOUND) return GLIM_OK;
    if (rc) {
        if (e) *e = own;
        return rc;
    }
    if (empty) return glim_fail(e, GLIM_E_FORMAT, "%s: empty: fetch it again", path);
    if (!text.p) return glim_fail(e, GLIM_E_NOMEM, "%s: no memory to read it", path);
    if (glim_formats_mistaken((const uint8_t *)text.p, text.n, &what))
        return glim_fail(e, GLIM_E_UNSUPPORTED, "%s: %s", path, what);
    *out = text;
    return GLIM_OK;
}

glim_err glim_modelfile_read_json(const glim_modelfile *f, const char *name, glim_arena *a,
                                  const glim_json **out, glim_error *e)
{
    glim_str text;
    glim_json *root = NULL;
    *out = NULL;
    glim_err rc = glim_modelfile_read_text(f, name, CAP_CONFIG, a, &text, e);
    if (rc || !text.p) return rc;
    rc = glim_json_parse(a, text, &root, e);
    if (rc) {
        const char *path = glim_path_join(a, f->path, name);
        return glim_formats_json_error(rc, path ? path : name, 0, e);
    }
    *out = root;
    return GLIM_OK;
}
