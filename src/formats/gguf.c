/* SPDX-License-Identifier: MIT
 * gguf.c - GGUF version 3 (and 2, which has the same bytes): header, metadata, tensor infos; one
 * part at a time. Layout: "GGUF", u32 version, i64 n_tensor, i64 n_kv; key-values; tensor infos;
 * padding to general.alignment; the data section. Strings are a u64 length and bytes without NUL.
 * Owns:   the checks: after glim_gguf_read() every extent, length and count is inside the file.
 * Not here: which parts belong together (shards.c).
 * Fails:  FORMAT with the byte offset, UNSUPPORTED by name, LIMIT, NOMEM; what was added to f stays
 * until close. See:    the GGUF specification (ggml, read 2026-11); tests/unit/formats/test_gguf.c;
 * fuzz/gguf.c */
#include "formats/formats_priv.h"

#include <inttypes.h>

const uint8_t glim_gguf_value_size[GLIM_GGUF_TYPE_COUNT] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

/* Least bytes an entry takes: a count beyond what the rest of the file can hold is refused before
 * any work. */
#define MIN_KV (8 + 1 + 4 + 1)
#define MIN_INFO (8 + 1 + 4 + 8 + 4 + 8)

typedef struct reader {
    const uint8_t *p;
    size_t n, at;
    const char *path;
    glim_error *e;
} reader;

static size_t left(const reader *r)
{
    return r->n - r->at;
}

static glim_err get(reader *r, void *out, size_t n, const char *what)
{
    if (n > left(r))
        return glim_fail_off(
            r->e, GLIM_E_FORMAT, r->at,
            "%s: the file ends at byte %zu inside %s: it is cut off; fetch it again", r->path, r->n,
            what);
    memcpy(out, r->p + r->at, n);
    r->at += n;
    return GLIM_OK;
}

static glim_err get_str(reader *r, glim_str *out, const char *what)
{
    uint64_t n = 0;
    glim_err rc = get(r, &n, sizeof n, what);
    if (rc) return rc;
    if (n > left(r))
        return glim_fail_off(r->e, GLIM_E_FORMAT, r->at - 8,
                             "%s: %s is said to have %" PRIu64
                             " bytes at byte %zu, the file has %zu left: it is cut "
                             "off or damaged; fetch it again",
                             r->path, what, n, r->at - 8, left(r));
    *out = (glim_str){(const char *)r->p + r->at, (size_t)n};
    r->at += (size_t)n;
    return GLIM_OK;
}

/* Reads one number at p into m; vtype is a number's or a bool's. */
static void decode_scalar(const uint8_t *p, int32_t vtype, glim_meta *m)
{
    union {
        uint8_t u8;
        int8_t i8;
        uint16_t u16;
        int16_t i16;
        uint32_t u32;
        int32_t i32;
        float f32;
        uint64_t u64;
        int64_t i64;
        double f64;
    } v = {0};
    memcpy(&v, p, glim_gguf_value_size[vtype]);
    switch (vtype) {
    case GLIM_GGUF_U8:
    case GLIM_GGUF_BOOL:
        m->u64 = v.u8;
        break;
    case GLIM_GGUF_U16:
        m->u64 = v.u16;
        break;
    case GLIM_GGUF_U32:
        m->u64 = v.u32;
        break;
    case GLIM_GGUF_U64:
        m->u64 = v.u64;
        break;
    case GLIM_GGUF_I8:
        m->i64 = v.i8;
        break;
    case GLIM_GGUF_I16:
        m->i64 = v.i16;
        break;
    case GLIM_GGUF_I32:
        m->i64 = v.i32;
        break;
    case GLIM_GGUF_I64:
        m->i64 = v.i64;
        break;
    case GLIM_GGUF_F32:
        m->f64 = (double)v.f32;
        break;
    case GLIM_GGUF_F64:
        m->f64 = v.f64;
        break;
    default:
        break;
    }
}

static glim_meta_type meta_type(int32_t vtype)
{
    switch (vtype) {
    case GLIM_GGUF_I8:
    case GLIM_GGUF_I16:
    case GLIM_GGUF_I32:
    case GLIM_GGUF_I64:
        return GLIM_META_I64;
    case GLIM_GGUF_F32:
    case GLIM_GGUF_F64:
        return GLIM_META_F64;
    case GLIM_GGUF_BOOL:
        return GLIM_META_BOOL;
    case GLIM_GGUF_STR:
        return GLIM_META_STR;
    case GLIM_GGUF_ARRAY:
        return GLIM_META_ARRAY;
    default:
        return GLIM_META_U64;
    }
}

static glim_err bad_vtype(reader *r, glim_str key, uint32_t vtype, size_t at)
{
    return glim_fail_off(r->e, GLIM_E_FORMAT, at,
                         "%s: key %s has the unknown value type %" PRIu32 " at byte %zu", r->path,
                         GLIM_QUOTE(key), vtype, at);
}

/* Arrays stay where they are; strings are walked once here so that readers need no bounds. */
static glim_err read_array(reader *r, glim_meta *m)
{
    size_t at = r->at;
    uint32_t vtype;
    glim_err rc = get(r, &vtype, sizeof vtype, "an array's type");
    if (!rc) rc = get(r, &m->n_elem, sizeof m->n_elem, "an array's length");
    if (rc) return rc;
    if (vtype >= GLIM_GGUF_TYPE_COUNT) return bad_vtype(r, m->key, vtype, at);
    if (vtype == GLIM_GGUF_ARRAY)
        return glim_fail_off(r->e, GLIM_E_UNSUPPORTED, at,
                             "%s: key %s is an array of arrays at byte %zu", r->path,
                             GLIM_QUOTE(m->key), at);
    const size_t size = vtype == GLIM_GGUF_STR ? 8 : glim_gguf_value_size[vtype];
    if (m->n_elem > left(r) / size)
        return glim_fail_off(r->e, GLIM_E_FORMAT, at,
                             "%s: key %s is said to have %" PRIu64
                             " elements at byte %zu, the file has %zu bytes left: "
                             "it is cut off or damaged; fetch it again",
                             r->path, GLIM_QUOTE(m->key), m->n_elem, at, left(r));
    m->elem = meta_type((int32_t)vtype);
    m->elem_vtype = (int32_t)vtype;
    m->elems = r->p + r->at;
    if (vtype != GLIM_GGUF_STR) {
        r->at += (size_t)m->n_elem * size;
        return GLIM_OK;
    }
    glim_str s;
    for (uint64_t i = 0; !rc && i < m->n_elem; i++)
        rc = get_str(r, &s, "a string of an array");
    m->elems_bytes = (size_t)(r->p + r->at - m->elems);
    return rc;
}

static glim_err read_value(reader *r, glim_meta *m)
{
    size_t at = r->at;
    uint32_t vtype;
    glim_err rc = get(r, &vtype, sizeof vtype, "a value's type");
    if (rc) return rc;
    if (vtype >= GLIM_GGUF_TYPE_COUNT) return bad_vtype(r, m->key, vtype, at);
    m->type = meta_type((int32_t)vtype);
    m->offset = r->at;
    if (vtype == GLIM_GGUF_STR) return get_str(r, &m->str, "a string");
    if (vtype == GLIM_GGUF_ARRAY) return read_array(r, m);
    uint8_t raw[8];
    rc = get(r, raw, glim_gguf_value_size[vtype], "a value");
    if (rc) return rc;
    decode_scalar(raw, (int32_t)vtype, m);
    if (vtype == GLIM_GGUF_BOOL && raw[0] > 1)
        return glim_fail_off(r->e, GLIM_E_FORMAT, m->offset,
                             "%s: key %s is a bool with the value %u at byte %" PRIu64
                             ": the file is damaged",
                             r->path, GLIM_QUOTE(m->key), raw[0], m->offset);
    return GLIM_OK;
}

static glim_err read_kv(reader *r, meta_set *s)
{
    const size_t at = r->at;
    glim_meta m = {0};
    glim_err rc = get_str(r, &m.key, "a key");
    if (rc) return rc;
    if (m.key.n == 0 || m.key.n > FORMATS_CAP_KEY)
        return glim_fail_off(r->e, GLIM_E_FORMAT, at,
                             "%s: a key of %zu bytes at byte %zu: 1 to %d are allowed", r->path,
                             m.key.n, at, FORMATS_CAP_KEY);
    rc = read_value(r, &m);
    if (rc) return rc;
    if (!glim_formats_grow((void **)&s->v, &s->cap, s->n, sizeof *s->v))
        return glim_fail(r->e, GLIM_E_NOMEM, "%s: no memory after %zu keys", r->path, s->n);
    rc = glim_map_put(s->by_key, m.key, (uint32_t)s->n);
    if (rc == GLIM_E_STATE)
        return glim_fail_off(r->e, GLIM_E_FORMAT, at,
                             "%s: key %s is there twice, again at byte %zu", r->path,
                             GLIM_QUOTE(m.key), at);
    if (rc) return glim_fail(r->e, rc, "%s: no memory after %zu keys", r->path, s->n);
    s->v[s->n++] = m;
    return GLIM_OK;
}

static glim_err read_header(reader *r, uint64_t *n_tensor, uint64_t *n_kv)
{
    char magic[4];
    uint32_t version;
    const char *what;
    if (glim_formats_mistaken(r->p, r->n, &what))
        return glim_fail(r->e, GLIM_E_UNSUPPORTED, "%s: %s", r->path, what);
    if (r->n < 4 || memcmp(r->p, "GGUF", 4) != 0)
        return glim_fail_off(
            r->e, GLIM_E_FORMAT, 0,
            "%s: no GGUF file: name a .gguf file, or a folder with config.json and safetensors",
            r->path);
    glim_err rc = get(r, magic, 4, "the header");
    if (!rc) rc = get(r, &version, sizeof version, "the header");
    if (rc) return rc;
    if (version != 0 && (version & 0xffff) == 0)
        return glim_fail_off(r->e, GLIM_E_UNSUPPORTED, 4,
                             "%s: a big-endian GGUF: fetch or convert the little-endian one",
                             r->path);
    if (version == 1)
        return glim_fail_off(r->e, GLIM_E_UNSUPPORTED, 4,
                             "%s: GGUF version 1 (of 2023): convert it to version 3", r->path);
    if (version != 2 && version != 3)
        return glim_fail_off(r->e, GLIM_E_UNSUPPORTED, 4,
                             "%s: GGUF version %" PRIu32 ": versions 2 and 3 are read", r->path,
                             version);
    rc = get(r, n_tensor, sizeof *n_tensor, "the header");
    if (!rc) rc = get(r, n_kv, sizeof *n_kv, "the header");
    if (rc) return rc;
    if (*n_kv > left(r) / MIN_KV || *n_tensor > left(r) / MIN_INFO)
        return glim_fail_off(r->e, GLIM_E_FORMAT, 8,
                             "%s: the header counts %" PRIu64 " tensors and %" PRIu64
                             " keys, more than a file of %zu "
                             "bytes can hold: it is cut off or damaged; fetch it again",
                             r->path, *n_tensor, *n_kv, r->n);
    if (*n_kv > FORMATS_CAP_META || *n_tensor > FORMATS_CAP_TENSORS)
        return glim_fail_off(r->e, GLIM_E_LIMIT, 8,
                             "%s: the header counts %" PRIu64 " tensors and %" PRIu64
                             " keys: at most %d and %d are read",
                             r->path, *n_tensor, *n_kv, FORMATS_CAP_TENSORS, FORMATS_CAP_META);
    return GLIM_OK;
}

static glim_err read_alignment(reader *r, const meta_set *metas, size_t *align)
{
    uint64_t a = 32;
    const glim_meta *m = glim_meta_find(metas, "general.alignment");
    if (m && (!glim_meta_u64(m, &a) || a < 8 || a > FORMATS_CAP_ALIGN || (a & (a - 1)) != 0))
        return glim_fail_off(r->e, GLIM_E_FORMAT, m->offset,
                             "%s: general.alignment at byte %" PRIu64
                             " must be a power of two from 8 to %u: the file is "
                             "damaged or hostile",
                             r->path, m->offset, FORMATS_CAP_ALIGN);
    *align = (size_t)a;
    return GLIM_OK;
}

/* Name, shape and type of the next tensor; t->data is not known yet, *offset is relative to the
 * data section. */
static glim_err read_info(reader *r, glim_tensor *t, uint64_t *offset)
{
    const size_t at = r->at;
    uint32_t n_dim, ggml_type;
    glim_err rc = get_str(r, &t->name, "a tensor's name");
    if (!rc) rc = get(r, &n_dim, sizeof n_dim, "a tensor's shape");
    if (rc) return rc;
    if (t->name.n == 0 || t->name.n > FORMATS_CAP_NAME)
        return glim_fail_off(r->e, GLIM_E_FORMAT, at,
                             "%s: a tensor's name of %zu bytes at byte %zu: 1 to %d are allowed",
                             r->path, t->name.n, at, FORMATS_CAP_NAME);
    if (n_dim < 1 || n_dim > 4)
        return glim_fail_off(r->e, GLIM_E_FORMAT, at,
                             "%s: tensor %s has %" PRIu32 " dimensions: 1 to 4 are allowed",
                             r->path, GLIM_QUOTE(t->name), n_dim);
    t->n_dim = (int)n_dim;
    int64_t n_elem = 1;
    for (uint32_t i = 0; i < 4; i++) {
        t->ne[i] = 1;
        if (i < n_dim) rc = get(r, &t->ne[i], sizeof t->ne[i], "a tensor's shape");
        if (rc) return rc;
        if (t->ne[i] < 1 || __builtin_mul_overflow(n_elem, t->ne[i], &n_elem))
            return glim_fail_off(r->e, GLIM_E_FORMAT, at,
                                 "%s: tensor %s: dimension %" PRIu32 " of %" PRId64
                                 " is not possible",
                                 r->path, GLIM_QUOTE(t->name), i, t->ne[i]);
    }
    rc = get(r, &ggml_type, sizeof ggml_type, "a tensor's type");
    if (!rc) rc = get(r, offset, sizeof *offset, "a tensor's offset");
    if (rc) return rc;
    const char *name = NULL;
    if (ggml_type > INT32_MAX || !glim_type_from_ggml((int32_t)ggml_type, &t->type, &name))
        return glim_fail_off(r->e, GLIM_E_UNSUPPORTED, at,
                             "%s: tensor %s has type %" PRIu32
                             " (%s), which glim cannot read: use another quantisation",
                             r->path, GLIM_QUOTE(t->name), ggml_type, name ? name : "unknown");
    if (t->ne[0] % glim_type_get(t->type)->n_block != 0 ||
        !glim_type_bytes(t->type, n_elem, &t->n_bytes))
        return glim_fail_off(r->e, GLIM_E_FORMAT, at,
                             "%s: tensor %s: rows of %" PRId64 " elements, %" PRId64
                             " in all, are not possible in %s",
                             r->path, GLIM_QUOTE(t->name), t->ne[0], n_elem,
                             glim_type_get(t->type)->name);
    return GLIM_OK;
}

/* Places the tensors [first, f->n_tensor) of this part in its data section. */
static glim_err place(reader *r, glim_modelfile *f, size_t first, const uint64_t *offsets,
                      size_t align)
{
    const size_t n = f->n_tensor - first;
    const size_t begin =
        (r->at + align - 1) / align * align; /* at <= n of a mapping: no overflow */
    extent *x = glim_alloc_array(n, sizeof *x);
    if (!x) return glim_fail(r->e, GLIM_E_NOMEM, "%s: no memory for %zu tensors", r->path, n);
    glim_err rc = GLIM_OK;
    for (size_t i = 0; !rc && i < n; i++) {
        glim_tensor *t = &f->tensors[first + i];
        uint64_t at, end;
        if (offsets[i] % align != 0)
            rc = glim_fail(r->e, GLIM_E_FORMAT,
                           "%s: tensor %s begins at %" PRIu64
                           " of the data, no multiple of the alignment %zu",
                           r->path, GLIM_QUOTE(t->name), offsets[i], align);
        else if (__builtin_add_overflow((uint64_t)begin, offsets[i], &at) ||
                 __builtin_add_overflow(at, (uint64_t)t->n_bytes, &end))
            rc = glim_fail(r->e, GLIM_E_FORMAT,
                           "%s: tensor %s has an offset of %" PRIu64 ": the file is damaged",
                           r->path, GLIM_QUOTE(t->name), offsets[i]);
        else if (end > r->n)
            rc = glim_fail_off(r->e, GLIM_E_FORMAT, at,
                               "%s: tensor %s ends at byte %" PRIu64
                               " but the file has %zu: it is cut off; fetch it "
                               "again",
                               r->path, GLIM_QUOTE(t->name), end, r->n);
        else {
            t->data = r->p + (size_t)at;
            x[i] = (extent){at, end, t->name};
        }
    }
    if (!rc) glim_formats_sort_extents(x, n);
    for (size_t i = 1; !rc && i < n; i++) {
        if (x[i].begin < x[i - 1].end)
            rc = glim_fail_off(r->e, GLIM_E_FORMAT, x[i].begin,
                               "%s: tensors %s and %s share bytes: the file is damaged", r->path,
                               GLIM_QUOTE(x[i - 1].name), GLIM_QUOTE(x[i].name));
    }
    glim_free(x);
    return rc;
}

static glim_err read_tensors(reader *r, glim_modelfile *f, size_t i_part, uint64_t n_tensor,
                             size_t align)
{
    const size_t first = f->n_tensor;
    uint64_t *offsets = NULL;
    size_t cap = 0;
    glim_err rc = GLIM_OK;
    for (uint64_t i = 0; !rc && i < n_tensor; i++) {
        const size_t at = r->at;
        glim_tensor t = {.i_file = (int32_t)i_part};
        if (!glim_formats_grow((void **)&offsets, &cap, (size_t)i, sizeof *offsets)) {
            rc = glim_fail(r->e, GLIM_E_NOMEM, "%s: no memory after %" PRIu64 " tensors", r->path,
                           i);
            break;
        }
        rc = read_info(r, &t, &offsets[i]);
        if (!rc) rc = glim_modelfile_add_tensor(f, &t, at, r->e);
    }
    if (!rc && n_tensor > 0) rc = place(r, f, first, offsets, align);
    glim_free(offsets);
    return rc;
}

glim_err glim_gguf_read(glim_modelfile *f, size_t i_part, meta_set *metas, glim_error *e)
{
    const modelfile_part *part = &f->parts[i_part];
    reader r = {.p = part->p, .n = part->n, .path = part->path, .e = e};
    uint64_t n_tensor = 0, n_kv = 0;
    size_t align = 0;
    glim_err rc = read_header(&r, &n_tensor, &n_kv);
    if (rc) return rc;
    metas->by_key = glim_map_new(0);
    if (!metas->by_key)
        return glim_fail(e, GLIM_E_NOMEM, "%s: no memory for the metadata", part->path);
    for (uint64_t i = 0; !rc && i < n_kv; i++)
        rc = read_kv(&r, metas);
    if (!rc) rc = read_alignment(&r, metas, &align);
    if (!rc) rc = read_tensors(&r, f, i_part, n_tensor, align);
    return rc;
}

/* ---- metadata -------------------------------------------------------------------------------- */

void glim_meta_set_deinit(meta_set *s)
{
    glim_map_free(s->by_key);
    glim_free(s->v);
    *s = (meta_set){0};
}

const glim_meta *glim_meta_find(const meta_set *s, const char *key)
{
    uint32_t i;
    return s->by_key && glim_map_get(s->by_key, glim_str_of(key), &i) ? &s->v[i] : NULL;
}

size_t glim_modelfile_n_meta(const glim_modelfile *f)
{
    return f->meta.n;
}

const glim_meta *glim_modelfile_meta_at(const glim_modelfile *f, size_t i)
{
    return i < f->meta.n ? &f->meta.v[i] : NULL;
}

const glim_meta *glim_modelfile_meta(const glim_modelfile *f, const char *key)
{
    return glim_meta_find(&f->meta, key);
}

bool glim_meta_u64(const glim_meta *m, uint64_t *out)
{
    if (!m || (m->type != GLIM_META_U64 && m->type != GLIM_META_I64) || m->i64 < 0) return false;
    *out = m->type == GLIM_META_U64 ? m->u64 : (uint64_t)m->i64;
    return true;
}

bool glim_meta_f64(const glim_meta *m, double *out)
{
    if (!m) return false;
    if (m->type == GLIM_META_F64)
        *out = m->f64;
    else if (m->type == GLIM_META_U64)
        *out = (double)m->u64;
    else if (m->type == GLIM_META_I64)
        *out = (double)m->i64;
    else
        return false;
    return true;
}

bool glim_meta_bool(const glim_meta *m, bool *out)
{
    if (!m || m->type != GLIM_META_BOOL) return false;
    *out = m->u64 != 0;
    return true;
}

bool glim_meta_str(const glim_meta *m, glim_str *out)
{
    if (!m || m->type != GLIM_META_STR) return false;
    *out = m->str;
    return true;
}

/* The element under the cursor as a number; false at the end and for arrays of strings. */
static bool next_number(glim_meta_iter *it, glim_meta *v)
{
    const glim_meta *m = it->m;
    if (!m || m->type != GLIM_META_ARRAY || m->elem == GLIM_META_STR || it->i >= m->n_elem)
        return false;
    *v = (glim_meta){.type = m->elem};
    decode_scalar(m->elems + it->pos, m->elem_vtype, v);
    it->pos += glim_gguf_value_size[m->elem_vtype];
    it->i++;
    return true;
}

bool glim_meta_next_str(glim_meta_iter *it, glim_str *out)
{
    const glim_meta *m = it->m;
    if (!m || m->type != GLIM_META_ARRAY || m->elem != GLIM_META_STR || it->i >= m->n_elem)
        return false;
    uint64_t n;
    /* The lengths were checked when the file was opened, but who writes into an open file can
     * change them. */
    if (m->elems_bytes - it->pos < sizeof n) return false;
    memcpy(&n, m->elems + it->pos, sizeof n);
    if (n > m->elems_bytes - it->pos - sizeof n) return false;
    *out = (glim_str){(const char *)m->elems + it->pos + 8, (size_t)n};
    it->pos += 8 + (size_t)n;
    it->i++;
    return true;
}

bool glim_meta_next_i64(glim_meta_iter *it, int64_t *out)
{
    glim_meta v;
    if (it->m && it->m->elem == GLIM_META_F64) return false;
    if (!next_number(it, &v)) return false;
    if (v.type == GLIM_META_I64)
        *out = v.i64;
    else if (v.type == GLIM_META_BOOL)
        *out = v.u64 != 0;
    else
        *out = v.u64 > INT64_MAX ? INT64_MAX : (int64_t)v.u64;
    return true;
}

bool glim_meta_next_f64(glim_meta_iter *it, double *out)
{
    glim_meta v;
    if (it->m && it->m->elem == GLIM_META_BOOL) return false;
    return next_number(it, &v) && glim_meta_f64(&v, out);
}
