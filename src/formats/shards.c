/* SPDX-License-Identifier: MIT
 * shards.c - models in several files: split GGUF ("x-00001-of-00003.gguf") and safetensors with an
 * index.
 * Owns: which parts belong together: names are derived or checked here, so that a file's contents
 *       never lead outside the model's folder, and every tensor that is promised is found exactly
 *       once.
 * Fails: NOTFOUND (a part is missing), FORMAT (parts contradict each other), and what reading a
 *        part gives.
 * See: tests/unit/formats/test_split.c */
#include "formats/formats_priv.h"

#include <inttypes.h>
#include <stdio.h>

#define CAP_SHARDS 10000
#define CAP_INDEX_BYTES ((size_t)64 << 20) /* DeepSeek-V3's has 9 MB */

/* ---- GGUF ------------------------------------------------------------------------------------ */

static bool five_digits(const char *p, uint32_t *out)
{
    *out = 0;
    for (int i = 0; i < 5; i++) {
        if (p[i] < '0' || p[i] > '9') return false;
        *out = *out * 10 + (uint32_t)(p[i] - '0');
    }
    return true;
}

bool glim_split_name_parse(glim_str path, split_name *out)
{
    static const char shape[] = "-00000-of-00000.gguf";
    const size_t n = sizeof shape - 1;
    if (path.n <= n) return false;
    const char *p = path.p + path.n - n;
    if (p[0] != '-' || memcmp(p + 6, "-of-", 4) != 0 || memcmp(p + 15, ".gguf", 5) != 0)
        return false;
    out->stem = glim_str_sub(path, 0, path.n - n);
    return five_digits(p + 1, &out->no) && five_digits(p + 10, &out->count) && out->no >= 1 &&
           out->no <= out->count;
}

/* Path of part no (from 1); NULL when out of memory. */
static char *split_path(glim_arena *a, const split_name *s, uint32_t no)
{
    const size_t n = s->stem.n + sizeof "-00000-of-00000.gguf";
    char *p = glim_arena_alloc(a, n);
    if (!p) return NULL;
    memcpy(p, s->stem.p, s->stem.n);
    snprintf(p + s->stem.n, n - s->stem.n, "-%05u-of-%05u.gguf", (unsigned)(no % 100000),
             (unsigned)(s->count % 100000));
    return p;
}

static glim_err check_part(const meta_set *m, const char *path, const split_name *s, uint32_t no,
                           glim_error *e)
{
    uint64_t is_no = UINT64_MAX, is_count = 0;
    if (!glim_meta_u64(glim_meta_find(m, "split.no"), &is_no) ||
        !glim_meta_u64(glim_meta_find(m, "split.count"), &is_count))
        return glim_fail(e, GLIM_E_FORMAT,
                         "%s: named like part %u of %u but without split.no and split.count", path,
                         (unsigned)no, (unsigned)s->count);
    if (is_no != no - 1 || is_count != s->count)
        return glim_fail(e, GLIM_E_FORMAT,
                         "%s: holds part %" PRIu64 " of %" PRIu64
                         ": give the parts their own names back, or fetch them "
                         "again",
                         path, is_no == UINT64_MAX ? is_no : is_no + 1, is_count);
    return GLIM_OK;
}

static glim_err open_part(glim_modelfile *f, const split_name *s, uint32_t no, glim_error *e)
{
    const char *path = split_path(f->arena, s, no);
    if (!path)
        return glim_fail(e, GLIM_E_NOMEM, "%s: no memory to open part %u", f->path, (unsigned)no);
    if (!glim_is_file(path))
        return glim_fail(e, GLIM_E_NOTFOUND,
                         "%s: part %u of %u is missing: fetch it into the same folder", path,
                         (unsigned)no, (unsigned)s->count);
    glim_err rc = glim_modelfile_add_part(f, path, e);
    if (rc) return rc;
    /* Later parts have metadata of their own (little more than split.*) that is not the model's. */
    meta_set own = {0};
    rc = glim_gguf_read(f, f->n_part - 1, &own, e);
    if (!rc) rc = check_part(&own, path, s, no, e);
    glim_meta_set_deinit(&own);
    return rc;
}

glim_err glim_gguf_open_parts(glim_modelfile *f, const char *path, glim_error *e)
{
    split_name s = {0};
    const bool named = glim_split_name_parse(glim_str_of(path), &s);
    const char *first = path;
    if (named && s.no != 1) {
        first = split_path(f->arena, &s, 1);
        if (!first) return glim_fail(e, GLIM_E_NOMEM, "%s: no memory to open it", path);
        if (!glim_is_file(first))
            return glim_fail(e, GLIM_E_NOTFOUND,
                             "%s: part 1 of %u is missing: fetch it into the same folder", first,
                             (unsigned)s.count);
    }
    glim_err rc = glim_modelfile_add_part(f, first, e);
    if (!rc) rc = glim_gguf_read(f, 0, &f->meta, e);
    if (rc) return rc;

    uint64_t count = 1, total;
    const glim_meta *m = glim_modelfile_meta(f, "split.count");
    if (m && !glim_meta_u64(m, &count))
        return glim_fail_off(e, GLIM_E_FORMAT, m->offset, "%s: split.count is no number of parts",
                             first);
    if (count <= 1) {
        if (first == path) return GLIM_OK;
        return glim_fail(e, GLIM_E_FORMAT, "%s: named like part 1 of %u but no split file", first,
                         (unsigned)s.count);
    }
    if (!named || s.count != count)
        return glim_fail(e, GLIM_E_FORMAT,
                         "%s: is one of %" PRIu64 " parts: name them <name>-00001-of-%05" PRIu64
                         ".gguf and so on",
                         first, count, count);
    rc = check_part(&f->meta, first, &s, 1, e);
    for (uint32_t no = 2; !rc && no <= s.count; no++)
        rc = open_part(f, &s, no, e);
    if (rc) return rc;
    if (glim_meta_u64(glim_modelfile_meta(f, "split.tensors.count"), &total) &&
        total != f->n_tensor)
        return glim_fail(e, GLIM_E_FORMAT,
                         "%s: the parts hold %zu tensors, split.tensors.count is %" PRIu64
                         ": fetch them again",
                         first, f->n_tensor, total);
    return GLIM_OK;
}

/* ---- safetensors ----------------------------------------------------------------------------- */

typedef struct promise {
    glim_str name;
    uint32_t i_file;
    bool kept;
} promise;

struct st_index {
    const char *path;
    glim_arena *arena; /* borrowed */
    glim_str *files;
    size_t n_file, cap_file;
    promise *promises;
    size_t n_promise, cap_promise;
    glim_map *by_file, *by_name;
};

void glim_st_index_free(st_index *x)
{
    if (!x) return;
    glim_map_free(x->by_file);
    glim_map_free(x->by_name);
    glim_free(x->files);
    glim_free(x->promises);
    glim_free(x);
}

size_t glim_st_index_n_file(const st_index *x)
{
    return x->n_file;
}

static glim_err no_memory(const st_index *x, glim_error *e)
{
    return glim_fail(e, GLIM_E_NOMEM, "%s: no memory after %zu tensors", x->path, x->n_promise);
}

/* A name inside the folder: an index must not lead anywhere else. */
static bool plain_file_name(glim_str s)
{
    if (s.n == 0 || s.n > 255 || s.p[0] == '.' || !glim_str_ends(s, GLIM_STR(".safetensors")))
        return false;
    for (size_t i = 0; i < s.n; i++) {
        const unsigned char c = (unsigned char)s.p[i];
        if (c < 0x20 || c == 0x7f || c == '/' || c == '\\') return false;
    }
    return true;
}

static glim_err file_number(st_index *x, glim_str name, size_t at, uint32_t *out, glim_error *e)
{
    if (glim_map_get(x->by_file, name, out)) return GLIM_OK;
    if (!plain_file_name(name))
        return glim_fail_off(e, GLIM_E_FORMAT, at,
                             "%s: %s is no name of a safetensors file in the same folder", x->path,
                             GLIM_QUOTE(name));
    if (x->n_file >= CAP_SHARDS)
        return glim_fail_off(e, GLIM_E_LIMIT, at, "%s: more than %d files", x->path, CAP_SHARDS);
    glim_str copy = glim_arena_str(x->arena, name);
    if (!copy.p ||
        !glim_formats_grow((void **)&x->files, &x->cap_file, x->n_file, sizeof *x->files) ||
        glim_map_put(x->by_file, copy, (uint32_t)x->n_file))
        return no_memory(x, e);
    *out = (uint32_t)x->n_file;
    x->files[x->n_file++] = copy;
    return GLIM_OK;
}

static glim_err read_weight_map(st_index *x, glim_json_reader *r, glim_error *e)
{
    glim_json_tok tok;
    glim_str text;
    glim_err rc = glim_json_next(r, &tok, &text, e);
    if (rc) return glim_formats_json_error(rc, x->path, 0, e);
    if (tok != GLIM_JT_OBJECT)
        return glim_fail_off(e, GLIM_E_FORMAT, r->at,
                             "%s: weight_map is no object: fetch the file again", x->path);
    for (;;) {
        promise p = {0};
        rc = glim_json_next(r, &tok, &text, e);
        if (rc) return glim_formats_json_error(rc, x->path, 0, e);
        if (tok == GLIM_JT_OBJECT_END) return GLIM_OK;
        if (x->n_promise >= FORMATS_CAP_TENSORS)
            return glim_fail_off(e, GLIM_E_LIMIT, r->at, "%s: more than %d tensors", x->path,
                                 FORMATS_CAP_TENSORS);
        p.name = glim_arena_str(x->arena, text);
        if (!p.name.p ||
            !glim_formats_grow((void **)&x->promises, &x->cap_promise, x->n_promise, sizeof p))
            return no_memory(x, e);
        rc = glim_json_next(r, &tok, &text, e);
        if (rc) return glim_formats_json_error(rc, x->path, 0, e);
        if (tok != GLIM_JT_STRING)
            return glim_fail_off(e, GLIM_E_FORMAT, r->at, "%s: the file of tensor %s is no string",
                                 x->path, GLIM_QUOTE(p.name));
        rc = file_number(x, text, r->at, &p.i_file, e);
        if (rc) return rc;
        rc = glim_map_put(x->by_name, p.name, (uint32_t)x->n_promise);
        if (rc == GLIM_E_STATE)
            return glim_fail_off(e, GLIM_E_FORMAT, r->at, "%s: tensor %s is there twice", x->path,
                                 GLIM_QUOTE(p.name));
        if (rc) return no_memory(x, e);
        x->promises[x->n_promise++] = p;
    }
}

static glim_err read_index(st_index *x, glim_json_reader *r, glim_error *e)
{
    glim_json_tok tok;
    glim_str text;
    bool found = false;
    glim_err rc = glim_json_next(r, &tok, &text, e);
    if (rc) return glim_formats_json_error(rc, x->path, 0, e);
    if (tok != GLIM_JT_OBJECT)
        return glim_fail_off(e, GLIM_E_FORMAT, 0, "%s: no JSON object: fetch the file again",
                             x->path);
    for (;;) {
        rc = glim_json_next(r, &tok, &text, e);
        if (rc) return glim_formats_json_error(rc, x->path, 0, e);
        if (tok == GLIM_JT_OBJECT_END) break;
        if (glim_str_is(text, "weight_map")) {
            if (found)
                return glim_fail_off(e, GLIM_E_FORMAT, r->at, "%s: weight_map is there twice",
                                     x->path);
            found = true;
            rc = read_weight_map(x, r, e);
            if (rc) return rc;
            continue;
        }
        rc = glim_json_next(r, &tok, &text, e);
        if (!rc) rc = glim_json_skip(r, tok, e);
        if (rc) return glim_formats_json_error(rc, x->path, 0, e);
    }
    rc = glim_json_next(r, &tok, &text, e); /* END, or an error for what follows */
    if (rc) return glim_formats_json_error(rc, x->path, 0, e);
    if (x->n_promise == 0)
        return glim_fail(e, GLIM_E_FORMAT,
                         "%s: no weight_map, or an empty one: fetch the file again", x->path);
    return GLIM_OK;
}

glim_err glim_st_index_read(glim_arena *a, const char *path, glim_str json, st_index **out,
                            glim_error *e)
{
    st_index *x = glim_new0(st_index);
    if (!x) return glim_fail(e, GLIM_E_NOMEM, "%s: no memory to read it", path);
    x->path = path;
    x->arena = a;
    x->by_file = glim_map_new(0);
    x->by_name = glim_map_new(0);
    glim_err rc = GLIM_OK;
    if (!x->by_file || !x->by_name) {
        rc = no_memory(x, e);
    } else if (json.n > CAP_INDEX_BYTES) {
        rc = glim_fail(e, GLIM_E_LIMIT, "%s: larger than %zu bytes", path, CAP_INDEX_BYTES);
    } else {
        glim_json_reader r;
        glim_json_reader_init(&r, json);
        rc = read_index(x, &r, e);
        glim_json_reader_deinit(&r);
    }
    if (rc) {
        glim_st_index_free(x);
        return rc;
    }
    *out = x;
    return GLIM_OK;
}

/* A shard holds the tensors that the index promises there, and no others. */
static glim_err keep_promise(void *user, glim_str name, size_t i_part, glim_error *e)
{
    st_index *x = user;
    uint32_t i;
    if (!glim_map_get(x->by_name, name, &i))
        return glim_fail(e, GLIM_E_FORMAT,
                         "%s: tensor %s of %s is not in the weight_map: fetch the model again",
                         x->path, GLIM_QUOTE(name), GLIM_QUOTE(x->files[i_part]));
    if (x->promises[i].i_file != i_part)
        return glim_fail(e, GLIM_E_FORMAT,
                         "%s: tensor %s is in %s, the weight_map says %s: fetch the model again",
                         x->path, GLIM_QUOTE(name), GLIM_QUOTE(x->files[i_part]),
                         GLIM_QUOTE(x->files[x->promises[i].i_file]));
    x->promises[i].kept = true;
    return GLIM_OK;
}

static glim_err open_shards(glim_modelfile *f, const char *dir, st_index *x, glim_error *e)
{
    for (size_t i = 0; i < x->n_file; i++) {
        const char *path = glim_path_join(f->arena, dir, x->files[i].p);
        if (!path) return no_memory(x, e);
        if (!glim_is_file(path))
            return glim_fail(e, GLIM_E_NOTFOUND,
                             "%s: named in the index but not there: fetch it into the same folder",
                             path);
        glim_err rc = glim_modelfile_add_part(f, path, e);
        if (!rc) rc = glim_safetensors_read(f, i, keep_promise, x, e);
        if (rc) return rc;
    }
    for (size_t i = 0; i < x->n_promise; i++) {
        const promise *p = &x->promises[i];
        if (!p->kept)
            return glim_fail(e, GLIM_E_FORMAT, "%s: tensor %s is not in %s: fetch the model again",
                             x->path, GLIM_QUOTE(p->name), GLIM_QUOTE(x->files[p->i_file]));
    }
    return GLIM_OK;
}

glim_err glim_safetensors_open_index(glim_modelfile *f, const char *dir, const char *index_path,
                                     glim_error *e)
{
    glim_filemap map;
    st_index *x = NULL;
    glim_err rc = glim_filemap_open(&map, index_path, e);
    if (rc) return rc;
    rc = glim_st_index_read(f->arena, index_path, (glim_str){(const char *)map.p, map.n}, &x, e);
    const glim_err lost = glim_filemap_check(&map, index_path, e);
    if (lost) rc = lost; /* whatever was read there */
    glim_filemap_close(&map); /* everything kept is a copy */
    if (!rc) rc = open_shards(f, dir, x, e);
    glim_st_index_free(x);
    return rc;
}
