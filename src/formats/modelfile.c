/* SPDX-License-Identifier: MIT
 * modelfile.c - opening and closing of model files, and the tables that all containers fill.
 * Owns: the tensor table and its name map.
 * Not here: bytes of a format (gguf.c, safetensors.c), several files of one model (shards.c), JSON
 *           files (folder.c).
 * Thread: open and close as any handle; an open model file is immutable and may be read by all
 *         threads.
 * Fails: everything is released again; *out is untouched.
 * See: tests/unit/formats */
#include "formats/formats_priv.h"

#include <stdlib.h>

/* Paths and copied names; a safetensors header brings at most its own size in names, several times
 * for alignment. */
#define ARENA_MAX ((size_t)4 << 30)

bool glim_formats_grow(void **v, size_t *cap, size_t n, size_t size)
{
    if (n < *cap) return true;
    size_t want = *cap ? *cap * 2 : 16, bytes;
    void *p = glim_mul_size(want, size, &bytes) ? glim_realloc(*v, bytes) : NULL;
    if (!p) return false;
    *v = p;
    *cap = want;
    return true;
}

glim_modelfile *glim_modelfile_new(const char *path, glim_container container)
{
    glim_modelfile *f = glim_new0(glim_modelfile);
    if (!f) return NULL;
    f->container = container;
    f->arena = glim_arena_new(ARENA_MAX);
    f->by_name = glim_map_new(0);
    if (f->arena) f->path = glim_arena_str(f->arena, glim_str_of(path)).p;
    if (f->path && f->by_name) return f;
    glim_modelfile_close(f);
    return NULL;
}

static void close_json(json_file *j)
{
    glim_arena_free(j->arena);
    glim_filemap_close(&j->map);
}

void glim_modelfile_close(glim_modelfile *f)
{
    if (!f) return;
    for (size_t i = 0; i < f->n_part; i++)
        glim_filemap_close(&f->parts[i].map);
    close_json(&f->config);
    close_json(&f->generation_config);
    close_json(&f->tokenizer_config);
    close_json(&f->tokenizer_json);
    close_json(&f->template_file);
    glim_meta_set_deinit(&f->meta);
    glim_map_free(f->by_name);
    glim_free(f->tensors);
    glim_free(f->parts);
    glim_arena_free(f->arena);
    glim_free(f);
}

static modelfile_part *new_part(glim_modelfile *f, const char *path)
{
    glim_str copy = glim_arena_str(f->arena, glim_str_of(path));
    if (!copy.p ||
        !glim_formats_grow((void **)&f->parts, &f->cap_part, f->n_part, sizeof *f->parts))
        return NULL;
    modelfile_part *part = &f->parts[f->n_part++];
    *part = (modelfile_part){.path = copy.p};
    return part;
}

glim_err glim_modelfile_add_part(glim_modelfile *f, const char *path, glim_error *e)
{
    modelfile_part *part = new_part(f, path);
    if (!part) return glim_fail(e, GLIM_E_NOMEM, "%s: no memory to open it", path);
    glim_err rc = glim_filemap_open(&part->map, path, e);
    if (rc) return rc;
    part->p = part->map.p;
    part->n = part->map.n;
    return GLIM_OK;
}

glim_err glim_modelfile_add_tensor(glim_modelfile *f, const glim_tensor *t, uint64_t offset,
                                   glim_error *e)
{
    const char *path = f->parts[t->i_file].path;
    if (f->n_tensor >= FORMATS_CAP_TENSORS)
        return glim_fail_off(e, GLIM_E_LIMIT, offset, "%s: more than %d tensors", path,
                             FORMATS_CAP_TENSORS);
    if (!glim_formats_grow((void **)&f->tensors, &f->cap_tensor, f->n_tensor, sizeof *f->tensors))
        return glim_fail(e, GLIM_E_NOMEM, "%s: no memory after %zu tensors", path, f->n_tensor);
    glim_err rc = glim_map_put(f->by_name, t->name, (uint32_t)f->n_tensor);
    if (rc == GLIM_E_STATE)
        return glim_fail_off(e, GLIM_E_FORMAT, offset,
                             "%s: tensor %s is there twice: the file is damaged", path,
                             GLIM_QUOTE(t->name));
    if (rc) return glim_fail(e, rc, "%s: no memory after %zu tensors", path, f->n_tensor);
    f->tensors[f->n_tensor++] = *t;
    return GLIM_OK;
}

static int by_begin(const void *a, const void *b)
{
    const extent *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    return x->end < y->end ? -1 : x->end > y->end;
}

void glim_formats_sort_extents(extent *x, size_t n)
{
    /* Writers put tensors in the order of their data, so the sort is nearly never needed. */
    for (size_t i = 1; i < n; i++) {
        if (by_begin(&x[i - 1], &x[i]) <= 0) continue;
        qsort(x, n, sizeof *x, by_begin);
        return;
    }
}

bool glim_formats_mistaken(const uint8_t *p, size_t n, const char **what)
{
    static const struct {
        const char *bytes, *what;
    } kinds[] = {
        {"version https://git-lfs",
         "a Git LFS pointer, not the weights: run `git lfs pull` in its folder"},
        {"<!DOCTYPE", "a web page, not a model: fetch the file itself"},
        {"<!doctype", "a web page, not a model: fetch the file itself"},
        {"<html", "a web page, not a model: fetch the file itself"},
        {"PK\x03\x04", "a zip archive (PyTorch pickles?): convert it to safetensors or GGUF"},
        {"\x80\x02", "a Python pickle: convert it to safetensors or GGUF"},
        {"lmgg", "a GGML file from before GGUF: convert it to GGUF"},
        {"tjgg", "a GGML file from before GGUF: convert it to GGUF"},
        {"fmgg", "a GGML file from before GGUF: convert it to GGUF"},
        {"algg", "a GGML adapter from before GGUF: convert it to GGUF"},
    };
    for (size_t i = 0; i < GLIM_COUNT(kinds); i++) {
        size_t len = strlen(kinds[i].bytes);
        if (n < len || memcmp(p, kinds[i].bytes, len) != 0) continue;
        *what = kinds[i].what;
        return true;
    }
    return false;
}

static glim_err open_any(glim_modelfile *f, unsigned flags, glim_error *e)
{
    const char *gguf = f->path;
    if (glim_is_dir(f->path)) {
        gguf = NULL;
        glim_err rc = glim_folder_open(f, flags, &gguf, e);
        if (rc || !gguf) return rc;
    } else if (glim_str_ends(glim_str_of(f->path), GLIM_STR(".safetensors")) ||
               glim_str_ends(glim_str_of(f->path), GLIM_STR(".json"))) {
        /* The weights alone are no model: sizes and vocabulary are in the files beside them. */
        if (glim_is_file(f->path))
            return glim_fail(e, GLIM_E_UNSUPPORTED, "%s: name the folder that holds it instead",
                             f->path);
    }
    f->container = GLIM_CONTAINER_GGUF;
    return glim_gguf_open_parts(f, gguf, e);
}

glim_err glim_modelfile_open(const char *path, unsigned flags, glim_modelfile **out, glim_error *e)
{
    glim_modelfile *f = glim_modelfile_new(path, GLIM_CONTAINER_SAFETENSORS);
    if (!f) return glim_fail(e, GLIM_E_NOMEM, "%s: no memory to open it", path);
    glim_err rc = open_any(f, flags, e);
    /* Bytes that are gone look like a damaged file; the true cause goes before. */
    const glim_err lost = glim_modelfile_check_all(f, e);
    if (lost) rc = lost;
    if (rc) {
        glim_modelfile_close(f);
        return rc;
    }
    *out = f;
    return GLIM_OK;
}

glim_err glim_modelfile_check(const glim_modelfile *f, glim_error *e)
{
    glim_err rc = GLIM_OK;
    for (size_t i = 0; !rc && i < f->n_part; i++)
        rc = glim_filemap_check(&f->parts[i].map, f->parts[i].path, e);
    return rc;
}

glim_err glim_modelfile_check_all(const glim_modelfile *f, glim_error *e)
{
    const json_file *const files[] = {&f->config, &f->generation_config, &f->tokenizer_config,
                                      &f->tokenizer_json, &f->template_file};
    glim_err rc = glim_modelfile_check(f, e);
    for (size_t i = 0; !rc && i < GLIM_COUNT(files); i++)
        rc = glim_filemap_check(&files[i]->map, files[i]->path, e);
    return rc;
}

glim_err glim_modelfile_lost(const glim_modelfile *f, const glim_tensor *t, size_t offset,
                             glim_error *e)
{
    const modelfile_part *part = &f->parts[t->i_file];
    glim_err rc = glim_modelfile_check(f, e); /* a cut file knows its own end */
    if (rc) return rc;
    const size_t at = (size_t)(t->data - part->p) + offset;
    glim_filemap_lose(&part->map, at);
    rc = glim_modelfile_check(f, e);
    return rc ? rc
              : glim_fail_off(e, GLIM_E_IO, at, "%s: cannot be read at byte %zu: the disk failed",
                              part->path, at);
}

glim_err glim_modelfile_open_mem(glim_container container, const char *name, const uint8_t *p,
                                 size_t n, glim_modelfile **out, glim_error *e)
{
    glim_modelfile *f = glim_modelfile_new(name, container);
    modelfile_part *part = f ? new_part(f, name) : NULL;
    glim_err rc = GLIM_OK;
    if (!part) {
        rc = glim_fail(e, GLIM_E_NOMEM, "%s: no memory to open it", name);
    } else {
        part->p = p;
        part->n = n;
        rc = container == GLIM_CONTAINER_GGUF ? glim_gguf_read(f, 0, &f->meta, e)
                                              : glim_safetensors_read(f, 0, NULL, NULL, e);
    }
    if (rc) {
        glim_modelfile_close(f);
        return rc;
    }
    *out = f;
    return GLIM_OK;
}

glim_container glim_modelfile_container(const glim_modelfile *f)
{
    return f->container;
}

const char *glim_modelfile_path(const glim_modelfile *f)
{
    return f->path;
}

uint64_t glim_modelfile_bytes(const glim_modelfile *f)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < f->n_part; i++)
        sum += f->parts[i].n;
    return sum;
}

size_t glim_modelfile_n_part(const glim_modelfile *f)
{
    return f->n_part;
}

size_t glim_modelfile_n_tensor(const glim_modelfile *f)
{
    return f->n_tensor;
}

const glim_tensor *glim_modelfile_tensor(const glim_modelfile *f, size_t i)
{
    return i < f->n_tensor ? &f->tensors[i] : NULL;
}

const glim_tensor *glim_modelfile_find(const glim_modelfile *f, glim_str name)
{
    uint32_t i;
    if (!glim_map_get(f->by_name, name, &i) || i >= f->n_tensor) return NULL;
    return &f->tensors[i];
}

const glim_json *glim_modelfile_config(const glim_modelfile *f)
{
    return f->config.root;
}

const glim_json *glim_modelfile_generation_config(const glim_modelfile *f)
{
    return f->generation_config.root;
}

const glim_json *glim_modelfile_tokenizer_config(const glim_modelfile *f)
{
    return f->tokenizer_config.root;
}

glim_str glim_modelfile_tokenizer_json(const glim_modelfile *f)
{
    return (glim_str){(const char *)f->tokenizer_json.map.p, f->tokenizer_json.map.n};
}

glim_str glim_modelfile_chat_template(const glim_modelfile *f)
{
    glim_str s;
    if (f->container == GLIM_CONTAINER_GGUF &&
        glim_meta_str(glim_modelfile_meta(f, "tokenizer.chat_template"), &s))
        return s;
    return f->chat_template;
}
