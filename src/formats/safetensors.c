/* SPDX-License-Identifier: MIT
 * safetensors.c - one safetensors file: a JSON header of names, types, shapes and extents, then the
 * data.
 * Layout: u64 length of the header, the header (may end in spaces), data; extents count from the
 *         data's start.
 * Owns: the checks: extents are exact, in the file, and leave neither holes nor overlaps. Weights
 *       are F32, F16 or BF16. Integer and boolean tensors are buffers that frameworks save beside
 *       weights (position ids, counters): checked like all others, counted, not listed. Any other
 *       type is refused by name.
 * Not here: several shards (shards.c), config files (folder.c).
 * Fails: FORMAT with the byte offset in the file, UNSUPPORTED, LIMIT, NOMEM; f keeps what was added
 *        until close.
 * See: the safetensors format description (read 2026-11); tests/unit/formats/test_safetensors.c;
 *      fuzz/safetensors.c */
#include "formats/formats_priv.h"

#include <inttypes.h>

#define SKIPPED UINT32_MAX /* in the name map: there, but no weight */

typedef enum dtype_use { USE_WEIGHT, USE_SKIP, USE_REFUSE } dtype_use;

static const struct dtype {
    const char *name;
    size_t bytes; /* of an element; 0: packed, not known */
    dtype_use use;
    glim_type type;
} dtypes[] = {
    {"F32", 4, USE_WEIGHT, GLIM_F32},     {"F16", 2, USE_WEIGHT, GLIM_F16},
    {"BF16", 2, USE_WEIGHT, GLIM_BF16},   {"I64", 8, USE_SKIP, GLIM_F32},
    {"I32", 4, USE_SKIP, GLIM_F32},       {"I16", 2, USE_SKIP, GLIM_F32},
    {"I8", 1, USE_SKIP, GLIM_F32},        {"U64", 8, USE_SKIP, GLIM_F32},
    {"U32", 4, USE_SKIP, GLIM_F32},       {"U16", 2, USE_SKIP, GLIM_F32},
    {"U8", 1, USE_SKIP, GLIM_F32},        {"BOOL", 1, USE_SKIP, GLIM_F32},
    {"F64", 8, USE_REFUSE, GLIM_F32},     {"F8_E4M3", 1, USE_REFUSE, GLIM_F32},
    {"F8_E5M2", 1, USE_REFUSE, GLIM_F32}, {"F8_E8M0", 1, USE_REFUSE, GLIM_F32},
    {"F4", 0, USE_REFUSE, GLIM_F32},
};

typedef struct entry {
    glim_str name;
    const struct dtype *dtype;
    int64_t shape[4];
    int n_dim;
    uint64_t begin, end;
    size_t at; /* in the file, for messages */
} entry;

typedef struct header {
    glim_modelfile *f;
    size_t i_part;
    const char *path;
    glim_json_reader r;
    const uint8_t *data;
    size_t n_data;
    extent *extents;
    size_t n_extent, cap_extent, n_skipped;
    bool has_metadata;
    glim_error *e;
} header;

static glim_err damaged(header *h, const entry *t, const char *what)
{
    return glim_fail_off(h->e, GLIM_E_FORMAT, t->at, "%s: tensor %s: %s: the file is damaged",
                         h->path, GLIM_QUOTE(t->name), what);
}

static glim_err next(header *h, glim_json_tok *tok, glim_str *text)
{
    glim_err rc = glim_json_next(&h->r, tok, text, h->e);
    return rc ? glim_formats_json_error(rc, h->path, 8, h->e) : GLIM_OK;
}

static glim_err skip(header *h, glim_json_tok tok)
{
    glim_err rc = glim_json_skip(&h->r, tok, h->e);
    return rc ? glim_formats_json_error(rc, h->path, 8, h->e) : GLIM_OK;
}

static glim_err read_dtype(header *h, entry *t)
{
    glim_json_tok tok;
    glim_str text;
    glim_err rc = next(h, &tok, &text);
    if (rc) return rc;
    if (tok != GLIM_JT_STRING) return damaged(h, t, "dtype is no string");
    for (size_t i = 0; i < GLIM_COUNT(dtypes); i++)
        if (glim_str_is(text, dtypes[i].name)) t->dtype = &dtypes[i];
    if (t->dtype && t->dtype->use != USE_REFUSE) return GLIM_OK;
    return glim_fail_off(
        h->e, GLIM_E_UNSUPPORTED, t->at,
        "%s: tensor %s has dtype %s; F32, F16 and BF16 are read: fetch the BF16 model, or a GGUF",
        h->path, GLIM_QUOTE(t->name), GLIM_QUOTE(text));
}

/* An array of at most max integers that are not negative. */
static glim_err read_numbers(header *h, entry *t, const char *what, uint64_t *out, int max, int *n)
{
    glim_json_tok tok;
    glim_str text;
    *n = 0;
    glim_err rc = next(h, &tok, &text);
    if (rc) return rc;
    if (tok != GLIM_JT_ARRAY) return damaged(h, t, what);
    for (;;) {
        uint64_t v;
        rc = next(h, &tok, &text);
        if (rc) return rc;
        if (tok == GLIM_JT_ARRAY_END) return GLIM_OK;
        if (tok != GLIM_JT_NUMBER || !glim_parse_u64(text, &v) || v > INT64_MAX)
            return damaged(h, t, what);
        if (*n == max)
            return glim_fail_off(h->e, GLIM_E_UNSUPPORTED, t->at,
                                 "%s: tensor %s: more than %d numbers where %s", h->path,
                                 GLIM_QUOTE(t->name), max, what);
        out[(*n)++] = v;
    }
}

static glim_err read_fields(header *h, entry *t)
{
    enum { DTYPE = 1, SHAPE = 2, OFFSETS = 4 };
    unsigned seen = 0;
    glim_json_tok tok;
    glim_str text;
    glim_err rc = next(h, &tok, &text);
    if (rc) return rc;
    if (tok != GLIM_JT_OBJECT) return damaged(h, t, "its entry is no object");
    for (;;) {
        uint64_t v[4] = {0};
        int n;
        rc = next(h, &tok, &text);
        if (rc) return rc;
        if (tok == GLIM_JT_OBJECT_END) break;
        const unsigned field = glim_str_is(text, "dtype")          ? DTYPE
                               : glim_str_is(text, "shape")        ? SHAPE
                               : glim_str_is(text, "data_offsets") ? OFFSETS
                                                                   : 0;
        if (field & seen) return damaged(h, t, "a field is there twice");
        seen |= field;
        if (field == DTYPE) {
            rc = read_dtype(h, t);
        } else if (field == SHAPE) {
            rc = read_numbers(h, t, "shape must be up to 4 sizes", v, 4, &t->n_dim);
            for (int i = 0; i < 4; i++)
                t->shape[i] = (int64_t)v[i];
        } else if (field == OFFSETS) {
            rc = read_numbers(h, t, "data_offsets must be begin and end", v, 2, &n);
            if (!rc && n != 2) return damaged(h, t, "data_offsets must be begin and end");
            t->begin = v[0];
            t->end = v[1];
        } else {
            rc = next(h, &tok, &text);
            if (!rc) rc = skip(h, tok);
        }
        if (rc) return rc;
    }
    if (seen != (DTYPE | SHAPE | OFFSETS))
        return damaged(h, t, "dtype, shape or data_offsets is missing");
    return GLIM_OK;
}

/* Checks the entry against the data section and adds it. */
static glim_err add_entry(header *h, const entry *t)
{
    glim_tensor out = {.name = t->name,
                       .type = t->dtype->type,
                       .n_dim = t->n_dim ? t->n_dim : 1,
                       .ne = {1, 1, 1, 1},
                       .i_file = (int32_t)h->i_part};
    int64_t n_elem = 1;
    for (int i = 0; i < t->n_dim; i++) {
        const int64_t d = t->shape[t->n_dim - 1 - i];
        if (d < 1 || __builtin_mul_overflow(n_elem, d, &n_elem))
            return damaged(h, t, "its shape is not possible");
        out.ne[i] = d;
    }
    if (t->begin > t->end) return damaged(h, t, "it ends before it begins");
    if (t->end > h->n_data)
        return glim_fail_off(h->e, GLIM_E_FORMAT, t->at,
                             "%s: tensor %s ends at byte %" PRIu64
                             " of the data, which has %zu: it is cut off; fetch it "
                             "again",
                             h->path, GLIM_QUOTE(t->name), t->end, h->n_data);
    if (!glim_mul_size((size_t)n_elem, t->dtype->bytes, &out.n_bytes) ||
        out.n_bytes != t->end - t->begin)
        return damaged(h, t, "its extent is not what its shape asks for");
    out.data = h->data + t->begin;
    if (!glim_formats_grow((void **)&h->extents, &h->cap_extent, h->n_extent, sizeof *h->extents))
        return glim_fail(h->e, GLIM_E_NOMEM, "%s: no memory after %zu tensors", h->path,
                         h->n_extent);
    h->extents[h->n_extent++] = (extent){t->begin, t->end, t->name};
    if (t->dtype->use == USE_WEIGHT) return glim_modelfile_add_tensor(h->f, &out, t->at, h->e);

    h->n_skipped++;
    glim_err rc = glim_map_put(h->f->by_name, t->name, SKIPPED);
    if (rc == GLIM_E_STATE) return damaged(h, t, "it is there twice");
    return rc ? glim_fail(h->e, rc, "%s: no memory after %zu tensors", h->path, h->n_extent)
              : GLIM_OK;
}

static glim_err read_entry(header *h, glim_str key, glim_st_seen seen, void *user)
{
    entry t = {.at = 8 + h->r.at};
    if (key.n == 0 || key.n > FORMATS_CAP_NAME)
        return glim_fail_off(h->e, GLIM_E_FORMAT, t.at,
                             "%s: a tensor's name of %zu bytes: 1 to %d are allowed", h->path,
                             key.n, FORMATS_CAP_NAME);
    t.name = glim_arena_str(h->f->arena, key); /* the key is gone with the next token */
    if (!t.name.p)
        return glim_fail(h->e, GLIM_E_NOMEM, "%s: no memory after %zu tensors", h->path,
                         h->n_extent);
    glim_err rc = read_fields(h, &t);
    if (!rc) rc = add_entry(h, &t);
    if (!rc && seen) rc = seen(user, t.name, h->i_part, h->e);
    return rc;
}

static glim_err read_entries(header *h, glim_st_seen seen, void *user)
{
    glim_json_tok tok;
    glim_str text;
    glim_err rc = next(h, &tok, &text);
    if (rc) return rc;
    if (tok != GLIM_JT_OBJECT)
        return glim_fail_off(h->e, GLIM_E_FORMAT, 8,
                             "%s: the header is no JSON object: the file is damaged", h->path);
    for (;;) {
        rc = next(h, &tok, &text);
        if (rc) return rc;
        if (tok == GLIM_JT_OBJECT_END) break;
        if (glim_str_is(text, "__metadata__")) {
            if (h->has_metadata)
                return glim_fail_off(h->e, GLIM_E_FORMAT, 8 + h->r.at,
                                     "%s: __metadata__ is there twice", h->path);
            h->has_metadata = true;
            rc = next(h, &tok, &text);
            if (!rc) rc = skip(h, tok);
        } else {
            rc = read_entry(h, text, seen, user);
        }
        if (rc) return rc;
    }
    return next(h, &tok, &text); /* END, or an error for what follows */
}

/* The data section is exactly the tensors, one behind the other. */
static glim_err check_extents(header *h)
{
    uint64_t at = 0;
    glim_formats_sort_extents(h->extents, h->n_extent);
    for (size_t i = 0; i < h->n_extent; i++) {
        const extent *x = &h->extents[i];
        if (x->begin != at)
            return glim_fail_off(h->e, GLIM_E_FORMAT,
                                 (uint64_t)(h->data - h->f->parts[h->i_part].p) + x->begin,
                                 "%s: tensor %s begins at %" PRIu64 " of the data, not at %" PRIu64
                                 " where the one before it ends: the file is damaged",
                                 h->path, GLIM_QUOTE(x->name), x->begin, at);
        at = x->end;
    }
    if (at != h->n_data)
        return glim_fail(h->e, GLIM_E_FORMAT,
                         "%s: %" PRIu64 " bytes follow the last tensor: the file is damaged",
                         h->path, h->n_data - at);
    return GLIM_OK;
}

glim_err glim_safetensors_read(glim_modelfile *f, size_t i_part, glim_st_seen seen, void *user,
                               glim_error *e)
{
    const modelfile_part *part = &f->parts[i_part];
    header h = {.f = f, .i_part = i_part, .path = part->path, .e = e};
    uint64_t n_header;
    const char *what;
    if (glim_formats_mistaken(part->p, part->n, &what))
        return glim_fail(e, GLIM_E_UNSUPPORTED, "%s: %s", part->path, what);
    if (part->n < 8)
        return glim_fail_off(e, GLIM_E_FORMAT, 0,
                             "%s: a file of %zu bytes is no safetensors file: fetch it again",
                             part->path, part->n);
    memcpy(&n_header, part->p, sizeof n_header);
    if (n_header > part->n - 8)
        return glim_fail_off(e, GLIM_E_FORMAT, 0,
                             "%s: the header is said to have %" PRIu64
                             " bytes, the file has %zu: it is cut off or no "
                             "safetensors file; fetch it again",
                             part->path, n_header, part->n);
    if (n_header > FORMATS_CAP_ST_HEADER)
        return glim_fail_off(e, GLIM_E_LIMIT, 0,
                             "%s: a header of %" PRIu64 " bytes: at most %u are read", part->path,
                             n_header, FORMATS_CAP_ST_HEADER);
    if (n_header == 0 || part->p[8] != '{')
        return glim_fail_off(e, GLIM_E_FORMAT, 8,
                             "%s: the header does not begin with '{': no safetensors file",
                             part->path);
    h.data = part->p + 8 + n_header;
    h.n_data = part->n - 8 - (size_t)n_header;
    glim_json_reader_init(&h.r, (glim_str){(const char *)part->p + 8, (size_t)n_header});
    glim_err rc = read_entries(&h, seen, user);
    if (!rc) rc = check_extents(&h);
    glim_json_reader_deinit(&h.r);
    glim_free(h.extents);
    if (!rc && h.n_skipped)
        GLIM_INFO("formats", "skipped", "path=%s buffers=%zu", part->path, h.n_skipped);
    return rc;
}
