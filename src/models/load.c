/* SPDX-License-Identifier: MIT
 * load.c - hyperparameters and weights by table, with every shape checked against what the values
 * promise. Fails: FORMAT with the file, the key or tensor, what was found and what was expected. */
#include "models/load_priv.h"

#include <math.h>
#include <stdio.h>

/* ---- hyperparameters ------------------------------------------------------------------------- */

const glim_meta *glim_hp_meta(const glim_modelfile *f, const char *key)
{
    glim_str arch;
    char full[160];
    if (glim_modelfile_container(f) != GLIM_CONTAINER_GGUF) return NULL;
    if (!glim_meta_str(glim_modelfile_meta(f, "general.architecture"), &arch) || arch.n > 64)
        return NULL;
    snprintf(full, sizeof full, "%.*s.%s", GLIM_STR_ARG(arch), key);
    return glim_modelfile_meta(f, full);
}

/* First of the alternatives "a.b|c" that is there and not null. */
static const glim_json *config_value(const glim_modelfile *f, const char *paths)
{
    char path[128];
    while (*paths) {
        size_t n = strcspn(paths, "|");
        if (n < sizeof path) {
            memcpy(path, paths, n);
            path[n] = 0;
            const glim_json *v = glim_json_path(glim_modelfile_config(f), path);
            if (v && v->type != GLIM_JSON_NULL) return v;
        }
        paths += n + (paths[n] == '|');
    }
    return NULL;
}

typedef struct found {
    bool present, fits;
    double number;
    int64_t integer;
    bool truth;
} found;

static found read_gguf(const glim_meta *m, glim_hp_type type)
{
    found v = {.present = m != NULL};
    uint64_t u;
    if (type == GLIM_HP_INT) {
        v.fits = glim_meta_u64(m, &u) && u <= INT64_MAX;
        if (v.fits) v.integer = (int64_t)u, v.number = (double)u;
    } else if (type == GLIM_HP_FLOAT) {
        v.fits = glim_meta_f64(m, &v.number) && isfinite(v.number);
    } else {
        v.fits = glim_meta_bool(m, &v.truth);
    }
    return v;
}

static found read_config(const glim_json *j, glim_hp_type type)
{
    found v = {.present = j != NULL};
    if (type == GLIM_HP_INT) {
        v.fits = glim_json_i64(j, &v.integer);
        v.number = (double)v.integer;
    } else if (type == GLIM_HP_FLOAT) {
        v.fits = glim_json_f64(j, &v.number);
    } else {
        v.fits = glim_json_bool(j, &v.truth);
    }
    return v;
}

glim_err glim_hp_read(const glim_modelfile *f, const glim_hp_row *rows, size_t n_row, void *dst,
                      glim_error *e)
{
    static const char *const kinds[] = {"a whole number", "a number", "true or false"};
    bool gguf = glim_modelfile_container(f) == GLIM_CONTAINER_GGUF;
    const char *path = glim_modelfile_path(f), *where = gguf ? "" : "/config.json";
    for (size_t i = 0; i < n_row; i++) {
        const glim_hp_row *r = &rows[i];
        const char *key = gguf ? r->gguf : r->hf;
        if (!key) continue;
        found v = gguf ? read_gguf(glim_hp_meta(f, key), r->type)
                       : read_config(config_value(f, key), r->type);
        if (!v.present && !r->required) continue;
        if (!v.present) return glim_fail(e, GLIM_E_FORMAT, "%s%s: %s is missing", path, where, key);
        if (!v.fits)
            return glim_fail(e, GLIM_E_FORMAT, "%s%s: %s must be %s", path, where, key,
                             kinds[r->type]);
        if (r->type != GLIM_HP_BOOL && (v.number < r->min || v.number > r->max))
            return glim_fail(e, GLIM_E_FORMAT, "%s%s: %s is %g, beyond %g..%g", path, where, key,
                             v.number, r->min, r->max);
        char *field = (char *)dst + r->offset;
        if (r->type == GLIM_HP_INT)
            memcpy(field, &v.integer, sizeof v.integer);
        else if (r->type == GLIM_HP_FLOAT)
            memcpy(field, &v.number, sizeof v.number);
        else
            memcpy(field, &v.truth, sizeof v.truth);
    }
    return GLIM_OK;
}

/* ---- names ----------------------------------------------------------------------------------- */

/* Writes pattern to out with %d as the layer and %e as the expert. */
static glim_str expand(const char *pattern, int64_t layer, int64_t expert, char *out, size_t n_out)
{
    size_t o = 0;
    for (const char *p = pattern; *p && o + 24 < n_out; p++) {
        if (p[0] == '%' && (p[1] == 'd' || p[1] == 'e')) {
            o += (size_t)snprintf(out + o, n_out - o, "%lld",
                                  (long long)(p[1] == 'd' ? layer : expert));
            p++;
        } else {
            out[o++] = *p;
        }
    }
    out[o] = 0;
    return (glim_str){out, o};
}

static bool is_gguf(const glim_loader *ld)
{
    return glim_modelfile_container(ld->f) == GLIM_CONTAINER_GGUF;
}

static const glim_tensor *find_tensor(glim_loader *ld, glim_weight_name name, int64_t layer,
                                      int64_t expert, bool required)
{
    char text[160];
    const char *pattern = is_gguf(ld) ? name.gguf : name.hf;
    if (ld->rc) return NULL;
    glim_str full = expand(pattern ? pattern : "", layer, expert, text, sizeof text);
    const glim_tensor *t = pattern ? glim_modelfile_find(ld->f, full) : NULL;
    if (!t && required)
        ld->rc = glim_fail(ld->e, GLIM_E_FORMAT,
                           "%s: tensor %s is missing: the file is cut off or of another model",
                           glim_modelfile_path(ld->f), pattern ? full.p : name.gguf);
    return t;
}

const glim_tensor *glim_weight_find(glim_loader *ld, glim_weight_name name, int64_t layer,
                                    bool required)
{
    return find_tensor(ld, name, layer, 0, required);
}

/* ---- weights --------------------------------------------------------------------------------- */

/* Adds to rc a complaint about a tensor's shape. */
static void check_shape(glim_loader *ld, const glim_tensor *t, int64_t ne0, int64_t ne1,
                        int64_t ne2)
{
    if (t->ne[0] == ne0 && t->ne[1] == ne1 && t->ne[2] == ne2 && t->ne[3] == 1) return;
    ld->rc = glim_fail(ld->e, GLIM_E_FORMAT,
                       "%s: tensor %s is %lld x %lld x %lld x %lld where the model's values ask "
                       "for %lld x %lld x %lld",
                       glim_modelfile_path(ld->f), GLIM_QUOTE(t->name), (long long)t->ne[0],
                       (long long)t->ne[1], (long long)t->ne[2], (long long)t->ne[3],
                       (long long)ne0, (long long)ne1, (long long)ne2);
}

void *glim_loader_alloc(glim_loader *ld, size_t n, size_t size)
{
    size_t total;
    if (ld->rc) return NULL;
    if (!glim_mul_size(n, size, &total)) {
        ld->rc = glim_fail(ld->e, GLIM_E_NOMEM, "%s: derived weights are too large",
                           glim_modelfile_path(ld->f));
        return NULL;
    }
    ld->derived_bytes += total;
    if (ld->plan_only) return NULL;
    void *p = glim_arena_alloc(ld->arena, total);
    if (!p)
        ld->rc = glim_fail(ld->e, GLIM_E_NOMEM, "%s: no memory for %zu bytes of weights",
                           glim_modelfile_path(ld->f), total);
    return p;
}

/* f32 form of a tensor's n elements: in place when it lies so, else converted. NULL with plan_only
 * or on error. */
static const float *as_f32(glim_loader *ld, const glim_tensor *t, size_t n)
{
    if (t->type == GLIM_F32 && (uintptr_t)t->data % sizeof(float) == 0)
        return (const float *)(const void *)t->data;
    float *p = glim_loader_alloc(ld, n, sizeof(float));
    if (p) glim_type_get(t->type)->decode(t->data, p, (int64_t)n);
    return p;
}

void glim_weight_vec(glim_loader *ld, glim_weight_name name, int64_t layer, int64_t n,
                     bool required, const float **out)
{
    *out = NULL;
    const glim_tensor *t = find_tensor(ld, name, layer, 0, required);
    if (!t) return;
    check_shape(ld, t, n, 1, 1);
    if (!ld->rc) *out = as_f32(ld, t, (size_t)n);
}

static glim_mat mat_of(const glim_tensor *t)
{
    size_t row_bytes = 0;
    (void)glim_type_bytes(t->type, t->ne[0], &row_bytes); /* checked when the file was opened */
    return (glim_mat){t->type, t->ne[1], t->ne[0], row_bytes, t->data};
}

void glim_weight_mat(glim_loader *ld, glim_weight_name name, int64_t layer, int64_t n_col,
                     int64_t n_row, bool required, glim_mat *out)
{
    *out = (glim_mat){0};
    const glim_tensor *t = find_tensor(ld, name, layer, 0, required);
    if (!t) return;
    check_shape(ld, t, n_col, n_row, 1);
    if (!ld->rc) *out = mat_of(t);
}

void glim_weight_mat_f32(glim_loader *ld, glim_weight_name name, int64_t layer, int64_t n_col,
                         int64_t n_row, glim_mat *out)
{
    glim_weight_mat(ld, name, layer, n_col, n_row, true, out);
    const glim_tensor *t = find_tensor(ld, name, layer, 0, true);
    if (ld->rc || !t || t->type == GLIM_F32) return;
    const float *p = as_f32(ld, t, (size_t)(n_col * n_row));
    *out = (glim_mat){GLIM_F32, n_row, n_col, (size_t)n_col * sizeof(float), (const uint8_t *)p};
}

static const uint8_t **part_table(glim_loader *ld, int64_t n)
{
    const uint8_t **part = ld->rc ? NULL : glim_arena_array(ld->arena, (size_t)n, sizeof *part);
    if (!ld->rc && !part)
        ld->rc = glim_fail(ld->e, GLIM_E_NOMEM, "%s: table of weights", glim_modelfile_path(ld->f));
    return part;
}

void glim_weight_mats(glim_loader *ld, glim_weight_name name, int64_t layer, int64_t n_col,
                      int64_t n_row, int64_t n, glim_mats *out)
{
    *out = (glim_mats){0};
    const uint8_t **part = part_table(ld, n);
    if (!part) return;
    *out = (glim_mats){.n = n, .part = part};
    if (is_gguf(ld)) {
        const glim_tensor *t = find_tensor(ld, name, layer, 0, true);
        if (!t) return;
        check_shape(ld, t, n_col, n_row, n);
        if (ld->rc) return;
        out->shape = mat_of(t);
        for (int64_t i = 0; i < n; i++)
            part[i] = t->data + (size_t)(i * n_row) * out->shape.row_bytes;
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        const glim_tensor *t = find_tensor(ld, name, layer, i, true);
        if (!t) return;
        check_shape(ld, t, n_col, n_row, 1);
        if (ld->rc) return;
        if (i == 0) out->shape = mat_of(t);
        if (t->type != out->shape.type) {
            ld->rc = glim_fail(ld->e, GLIM_E_UNSUPPORTED,
                               "%s: tensor %s has another type than its siblings",
                               glim_modelfile_path(ld->f), GLIM_QUOTE(t->name));
            return;
        }
        part[i] = t->data;
    }
}

void glim_weight_slices(glim_loader *ld, const glim_mat *m, int64_t n, int64_t n_block_row,
                        int64_t row0, int64_t n_row, glim_mats *out)
{
    *out = (glim_mats){0};
    const uint8_t **part = part_table(ld, n);
    if (!part) return;
    for (int64_t i = 0; i < n; i++)
        part[i] = m->data + (size_t)(i * n_block_row + row0) * m->row_bytes;
    *out = (glim_mats){{m->type, n_row, m->n_col, m->row_bytes, NULL}, n, part};
}

/* One matrix turned round; rows of float or of 16-bit words. */
static void transpose(const glim_mats *m, int64_t i, uint8_t *dst, size_t size, float *row)
{
    int64_t n_row = m->shape.n_row, n_col = m->shape.n_col;
    const glim_type_traits *t = glim_type_get(m->shape.type);
    for (int64_t r = 0; r < n_row; r++) {
        const uint8_t *src = m->part[i] + (size_t)r * m->shape.row_bytes;
        if (t->n_block > 1) {
            t->decode(src, row, n_col);
            src = (const uint8_t *)row;
        }
        for (int64_t c = 0; c < n_col; c++)
            memcpy(dst + (size_t)(c * n_row + r) * size, src + (size_t)c * size, size);
    }
}

void glim_weight_transpose(glim_loader *ld, const glim_mats *m, glim_mats *out)
{
    *out = (glim_mats){0};
    const glim_type_traits *t = glim_type_get(m->shape.type);
    size_t size = t->n_block == 1 ? t->block_bytes : sizeof(float);
    glim_type type = t->n_block == 1 ? m->shape.type : GLIM_F32;
    size_t one = (size_t)(m->shape.n_row * m->shape.n_col) * size;
    const uint8_t **part = part_table(ld, m->n);
    uint8_t *data = glim_loader_alloc(ld, (size_t)m->n, one);
    *out = (glim_mats){
        {type, m->shape.n_col, m->shape.n_row, (size_t)m->shape.n_row * size, NULL}, m->n, part};
    if (!part || !data) return;
    float *row = glim_alloc_array((size_t)m->shape.n_col, sizeof(float));
    if (!row) {
        ld->rc = glim_fail(ld->e, GLIM_E_NOMEM, "%s: no memory to turn weights round",
                           glim_modelfile_path(ld->f));
        return;
    }
    for (int64_t i = 0; i < m->n; i++) {
        transpose(m, i, data + (size_t)i * one, size, row);
        part[i] = data + (size_t)i * one;
    }
    glim_free(row);
}
