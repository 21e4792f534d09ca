/* SPDX-License-Identifier: MIT
 * gguf_write.c - writes a GGUF of version 3 front to back: everything before the data is collected in
 * memory, the data is passed through in pieces of any size.
 * Owns:   counts, offsets, padding; that names are unique and shapes possible, as the reader wants them.
 * Not here: what the tensors are; how a file gets its name (base/outfile.c).
 * Layout: as gguf.c reads it. Offsets count from the data section; each tensor begins at a multiple of
 * the alignment, and the last one is padded too, as other writers do.
 * Thread: one at a time.
 * Fails:  the first error of put and add_tensor waits for begin_data.
 * See:    the GGUF specification (ggml, read 2026-11); tests/unit/formats/test_gguf_write.c */
#include "formats/formats_priv.h"

#define HEADER_MAX ((size_t)1 << 30) /* bytes of everything before the data */
#define ALIGN_DEFAULT 32
#define ALIGN_MIN 8

struct glim_gguf_writer {
    glim_outfile out;
    glim_arena *arena; /* of the names */
    glim_map *keys, *names;
    glim_buf kv, infos;
    uint64_t n_kv, n_tensor, n_data; /* n_data: of the data section, padding included */
    uint64_t *sizes;                 /* bytes of each tensor */
    size_t cap_size, align;
    bool align_set;
    glim_error err; /* first one of put and add_tensor; its code says whether there is one */
    /* while data is written */
    bool in_data;
    uint64_t i_tensor, n_left; /* current tensor, bytes of it to come */
};

/* ---- making and ending ----------------------------------------------------------------------- */

glim_err glim_gguf_create(const char *path, glim_gguf_writer **out, glim_error *e)
{
    glim_gguf_writer *w = glim_new0(glim_gguf_writer);
    if (!w) return glim_fail(e, GLIM_E_NOMEM, "%s: no memory for its writer", path);
    w->align = ALIGN_DEFAULT;
    glim_buf_init(&w->kv, HEADER_MAX);
    glim_buf_init(&w->infos, HEADER_MAX);
    w->arena = glim_arena_new(HEADER_MAX);
    w->keys = glim_map_new(64);
    w->names = glim_map_new(1024);
    glim_err rc = w->arena && w->keys && w->names
                      ? glim_outfile_open(&w->out, path, e)
                      : glim_fail(e, GLIM_E_NOMEM, "%s: no memory for its writer", path);
    if (rc) {
        glim_gguf_writer_free(w);
        return rc;
    }
    *out = w;
    return GLIM_OK;
}

void glim_gguf_writer_free(glim_gguf_writer *w)
{
    if (!w) return;
    glim_outfile_discard(&w->out);
    glim_map_free(w->keys);
    glim_map_free(w->names);
    glim_arena_free(w->arena);
    glim_buf_deinit(&w->kv);
    glim_buf_deinit(&w->infos);
    glim_free(w->sizes);
    glim_free(w);
}

/* ---- what stands before the data ------------------------------------------------------------- */

static void add_u32(glim_buf *b, uint32_t v)
{
    glim_buf_add(b, &v, sizeof v);
}

static void add_u64(glim_buf *b, uint64_t v)
{
    glim_buf_add(b, &v, sizeof v);
}

static void add_str(glim_buf *b, glim_str s)
{
    add_u64(b, s.n);
    glim_buf_addv(b, s);
}

/* Takes a name into a table, or leaves the error: false. */
static bool take_name(glim_gguf_writer *w, glim_map *table, glim_str name, size_t cap,
                      const char *what)
{
    if (w->err.code) return false;
    if (w->in_data) {
        (void)!glim_fail(&w->err, GLIM_E_STATE, "%s: %s %s comes after the data has begun",
                         w->out.path, what, GLIM_QUOTE(name));
        return false;
    }
    if (name.n == 0 || name.n > cap) {
        (void)!glim_fail(&w->err, GLIM_E_INPUT, "%s: a %s of %zu bytes: 1 to %zu are allowed",
                         w->out.path, what, name.n, cap);
        return false;
    }
    glim_str kept = glim_arena_str(w->arena, name);
    glim_err rc = kept.p ? glim_map_put(table, kept, 0) : GLIM_E_NOMEM;
    if (rc == GLIM_E_STATE)
        (void)!glim_fail(&w->err, GLIM_E_INPUT, "%s: %s %s is given twice", w->out.path, what,
                         GLIM_QUOTE(name));
    else if (rc)
        (void)!glim_fail(&w->err, GLIM_E_NOMEM, "%s: no memory for %s %s", w->out.path, what,
                         GLIM_QUOTE(name));
    return !rc;
}

static void add_value(glim_buf *b, glim_gguf_type type, const void *v)
{
    if (type == GLIM_GGUF_STR)
        add_str(b, *(const glim_str *)v);
    else if (type == GLIM_GGUF_BOOL)
        glim_buf_addc(b, *(const bool *)v ? 1 : 0);
    else
        glim_buf_add(b, v, glim_gguf_value_size[type]);
}

static void take_alignment(glim_gguf_writer *w, glim_gguf_type type, const void *v)
{
    uint32_t a = 0;
    if (type == GLIM_GGUF_U32) memcpy(&a, v, sizeof a);
    if (a < ALIGN_MIN || a > FORMATS_CAP_ALIGN || (a & (a - 1)) != 0)
        (void)!glim_fail(&w->err, GLIM_E_INPUT,
                         "%s: general.alignment must be a U32, a power of two from %d to %u",
                         w->out.path, ALIGN_MIN, FORMATS_CAP_ALIGN);
    else if (w->n_tensor > 0)
        (void)!glim_fail(&w->err, GLIM_E_STATE, "%s: general.alignment comes after a tensor",
                         w->out.path);
    else
        w->align = a;
}

void glim_gguf_put(glim_gguf_writer *w, const char *key, glim_gguf_type type, const void *v)
{
    glim_str name = glim_str_of(key);
    if (GLIM_NEVER((unsigned)type >= GLIM_GGUF_TYPE_COUNT || type == GLIM_GGUF_ARRAY)) return;
    if (!take_name(w, w->keys, name, FORMATS_CAP_KEY, "key")) return;
    if (glim_str_is(name, "general.alignment")) take_alignment(w, type, v);
    add_str(&w->kv, name);
    add_u32(&w->kv, type);
    add_value(&w->kv, type, v);
    w->n_kv++;
}

void glim_gguf_put_array(glim_gguf_writer *w, const char *key, glim_gguf_type elem, const void *v,
                         size_t n)
{
    if (GLIM_NEVER((unsigned)elem >= GLIM_GGUF_TYPE_COUNT || elem == GLIM_GGUF_ARRAY)) return;
    if (!take_name(w, w->keys, glim_str_of(key), FORMATS_CAP_KEY, "key")) return;
    add_str(&w->kv, glim_str_of(key));
    add_u32(&w->kv, GLIM_GGUF_ARRAY);
    add_u32(&w->kv, elem);
    add_u64(&w->kv, n);
    if (elem == GLIM_GGUF_STR)
        for (size_t i = 0; i < n; i++)
            add_str(&w->kv, ((const glim_str *)v)[i]);
    else if (elem == GLIM_GGUF_BOOL)
        for (size_t i = 0; i < n; i++)
            glim_buf_addc(&w->kv, ((const bool *)v)[i] ? 1 : 0);
    else if (n > SIZE_MAX / glim_gguf_value_size[elem])
        w->kv.err = GLIM_E_LIMIT;
    else
        glim_buf_add(&w->kv, v, n * glim_gguf_value_size[elem]);
    w->n_kv++;
}

void glim_gguf_put_u32(glim_gguf_writer *w, const char *key, uint32_t v)
{
    glim_gguf_put(w, key, GLIM_GGUF_U32, &v);
}

void glim_gguf_put_f32(glim_gguf_writer *w, const char *key, float v)
{
    glim_gguf_put(w, key, GLIM_GGUF_F32, &v);
}

void glim_gguf_put_bool(glim_gguf_writer *w, const char *key, bool v)
{
    glim_gguf_put(w, key, GLIM_GGUF_BOOL, &v);
}

void glim_gguf_put_str(glim_gguf_writer *w, const char *key, glim_str v)
{
    glim_gguf_put(w, key, GLIM_GGUF_STR, &v);
}

/* x up to the next multiple of the alignment; false: too large. */
static bool aligned(const glim_gguf_writer *w, uint64_t x, uint64_t *out)
{
    if (__builtin_add_overflow(x, (uint64_t)w->align - 1, &x)) return false;
    *out = x & ~((uint64_t)w->align - 1);
    return true;
}

void glim_gguf_add_tensor(glim_gguf_writer *w, glim_str name, glim_type type, int n_dim,
                          const int64_t *ne)
{
    if (!take_name(w, w->names, name, FORMATS_CAP_NAME, "tensor")) return;
    int64_t n = 1;
    bool ok = n_dim >= 1 && n_dim <= 4 && (unsigned)type < GLIM_TYPE_COUNT &&
              glim_type_get(type)->ggml_id >= 0;
    for (int i = 0; ok && i < n_dim; i++)
        ok = ne[i] >= 1 && !__builtin_mul_overflow(n, ne[i], &n);
    size_t n_bytes = 0;
    uint64_t end = 0;
    ok = ok && ne[0] % glim_type_get(type)->n_block == 0 && glim_type_bytes(type, n, &n_bytes) &&
         !__builtin_add_overflow(w->n_data, (uint64_t)n_bytes, &end) && aligned(w, end, &end) &&
         end <= INT64_MAX;
    if (!ok) {
        (void)!glim_fail(&w->err, GLIM_E_INPUT,
                         "%s: tensor %s: its shape is not possible in its type", w->out.path,
                         GLIM_QUOTE(name));
        return;
    }
    if (!glim_formats_grow((void **)&w->sizes, &w->cap_size, (size_t)w->n_tensor,
                           sizeof *w->sizes)) {
        (void)!glim_fail(&w->err, GLIM_E_NOMEM, "%s: no memory for tensor %s", w->out.path,
                         GLIM_QUOTE(name));
        return;
    }
    w->sizes[w->n_tensor++] = n_bytes;
    add_str(&w->infos, name);
    add_u32(&w->infos, (uint32_t)n_dim);
    for (int i = 0; i < n_dim; i++)
        add_u64(&w->infos, (uint64_t)ne[i]);
    add_u32(&w->infos, (uint32_t)glim_type_get(type)->ggml_id);
    add_u64(&w->infos, w->n_data);
    w->n_data = end;
}

/* ---- writing --------------------------------------------------------------------------------- */

#define FIXED_BYTES (4 + 4 + 8 + 8) /* magic, version, counts */

/* Bytes before the data section. */
static uint64_t head_bytes(const glim_gguf_writer *w)
{
    uint64_t n = FIXED_BYTES + (uint64_t)w->kv.n + w->infos.n; /* at most 2 GiB and a bit */
    (void)aligned(w, n, &n);
    return n;
}

uint64_t glim_gguf_writer_bytes(const glim_gguf_writer *w)
{
    uint64_t n;
    return __builtin_add_overflow(head_bytes(w), w->n_data, &n) ? UINT64_MAX : n;
}

static glim_err write_zeros(glim_gguf_writer *w, uint64_t n, glim_error *e)
{
    static const uint8_t zeros[4096];
    glim_err rc = GLIM_OK;
    for (; !rc && n > 0; n -= GLIM_MIN(n, sizeof zeros))
        rc = glim_outfile_write(&w->out, zeros, (size_t)GLIM_MIN(n, sizeof zeros), e);
    return rc;
}

glim_err glim_gguf_begin_data(glim_gguf_writer *w, glim_error *e)
{
    if (w->err.code) {
        if (e) *e = w->err;
        return w->err.code;
    }
    glim_err rc = w->kv.err ? w->kv.err : w->infos.err;
    if (rc == GLIM_E_LIMIT)
        return glim_fail(e, rc, "%s: metadata or tensor infos of more than %zu bytes", w->out.path,
                         HEADER_MAX);
    if (rc) return glim_fail(e, rc, "%s: no memory for the metadata", w->out.path);
    if (w->in_data)
        return glim_fail(e, GLIM_E_STATE, "%s: the data has begun already", w->out.path);

    glim_buf head;
    glim_buf_init(&head, FIXED_BYTES);
    glim_buf_adds(&head, "GGUF");
    add_u32(&head, 3);
    add_u64(&head, w->n_tensor);
    add_u64(&head, w->n_kv);
    rc = head.err ? glim_fail(e, head.err, "%s: no memory for the header", w->out.path)
                  : glim_outfile_reserve(&w->out, glim_gguf_writer_bytes(w), e);
    if (!rc) rc = glim_outfile_write(&w->out, head.p, head.n, e);
    if (!rc) rc = glim_outfile_write(&w->out, w->kv.p, w->kv.n, e);
    if (!rc) rc = glim_outfile_write(&w->out, w->infos.p, w->infos.n, e);
    if (!rc) rc = write_zeros(w, head_bytes(w) - w->out.n, e);
    glim_buf_deinit(&head);
    w->in_data = !rc;
    w->n_left = w->n_tensor ? w->sizes[0] : 0;
    return rc;
}

glim_err glim_gguf_write(glim_gguf_writer *w, const void *p, size_t n, glim_error *e)
{
    if (!w->in_data || n > w->n_left)
        return glim_fail(e, GLIM_E_STATE,
                         "%s: %zu bytes for tensor %llu of %llu, which has %llu to come",
                         w->out.path, n, (unsigned long long)w->i_tensor,
                         (unsigned long long)w->n_tensor, (unsigned long long)w->n_left);
    glim_err rc = glim_outfile_write(&w->out, p, n, e);
    w->n_left -= n;
    if (rc || w->n_left > 0 || n == 0) return rc;
    uint64_t size = w->sizes[w->i_tensor], end = size;
    (void)aligned(w, size, &end); /* add_tensor has seen that it fits */
    rc = write_zeros(w, end - size, e);
    if (++w->i_tensor < w->n_tensor) w->n_left = w->sizes[w->i_tensor];
    return rc;
}

glim_err glim_gguf_finish(glim_gguf_writer *w, glim_error *e)
{
    if (!w->in_data || w->i_tensor < w->n_tensor)
        return glim_fail(e, GLIM_E_STATE, "%s: %llu of %llu tensors are written", w->out.path,
                         (unsigned long long)w->i_tensor, (unsigned long long)w->n_tensor);
    glim_err rc = glim_outfile_commit(&w->out, e);
    w->in_data = false;
    return rc;
}
