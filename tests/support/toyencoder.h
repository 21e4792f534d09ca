/* SPDX-License-Identifier: MIT
 * toyencoder.h - seeded toy encoders as GGUF files, one edit to make them wrong, and their forward
 * pass in plain loops of doubles over the tensors as the file decodes. Include after cmocka.h and
 * tmpfolder.h. */
#ifndef GLIM_TESTS_TOYENCODER_H
#define GLIM_TESTS_TOYENCODER_H

#include "formats/formats.h"

#include <math.h>

typedef struct toyenc {
    int64_t n_layer, n_embd, n_ff, n_head, n_ctx, n_vocab, n_type, n_label; /* n_label 0: no head */
    glim_type type;                                                         /* of matrices */
    glim_type via;           /* values pass through it first; GLIM_TYPE_COUNT: not */
    const char *drop, *grow; /* a tensor that is missing, one with a row or element more */
    const char *key; /* a key behind "bert." that becomes value; in place of the right one */
    uint32_t value;
    void (*more)(glim_gguf_writer *w, const void *user); /* further keys, a vocabulary; may be NULL */
    const void *user;
} toyenc;

static inline toyenc toyenc_make(void)
{
    return (toyenc){2, 64, 160, 4, 300, 50, 3, 2, GLIM_F32, GLIM_TYPE_COUNT, NULL, NULL, NULL, 0,
                    NULL, NULL};
}

typedef struct toyenc_tensor {
    char name[48];
    int64_t n_col, n_row; /* n_row 0: a vector */
} toyenc_tensor;

#define TOYENC_TENSORS_MAX 64

static inline void toyenc_put(toyenc_tensor *t, size_t *n, const char *name, int64_t layer,
                              int64_t n_col, int64_t n_row)
{
    assert_true(*n < TOYENC_TENSORS_MAX);
    toyenc_tensor *to = &t[(*n)++];
    *to = (toyenc_tensor){"", n_col, n_row};
    if (layer < 0)
        snprintf(to->name, sizeof to->name, "%s", name);
    else
        snprintf(to->name, sizeof to->name, "blk.%d.%s", (int)layer, name);
}

/* A matrix and its bias; n_row 0: a norm's weight and bias. */
static inline void toyenc_pair(toyenc_tensor *t, size_t *n, const char *name, int64_t layer,
                               int64_t n_col, int64_t n_row)
{
    char full[40];
    snprintf(full, sizeof full, "%s.weight", name);
    toyenc_put(t, n, full, layer, n_col, n_row);
    snprintf(full, sizeof full, "%s.bias", name);
    toyenc_put(t, n, full, layer, n_row ? n_row : n_col, 0);
}

static inline size_t toyenc_tensors(const toyenc *s, toyenc_tensor *t)
{
    size_t n = 0;
    int64_t d = s->n_embd;
    toyenc_put(t, &n, "token_embd.weight", -1, d, s->n_vocab);
    toyenc_put(t, &n, "position_embd.weight", -1, d, s->n_ctx);
    toyenc_put(t, &n, "token_types.weight", -1, d, s->n_type);
    toyenc_pair(t, &n, "token_embd_norm", -1, d, 0);
    for (int64_t i = 0; i < s->n_layer; i++) {
        static const char *const square[] = {"attn_q", "attn_k", "attn_v", "attn_output"};
        for (size_t k = 0; k < 4; k++)
            toyenc_pair(t, &n, square[k], i, d, d);
        toyenc_pair(t, &n, "attn_output_norm", i, d, 0);
        toyenc_pair(t, &n, "ffn_up", i, d, s->n_ff);
        toyenc_pair(t, &n, "ffn_down", i, s->n_ff, d);
        toyenc_pair(t, &n, "layer_output_norm", i, d, 0);
    }
    if (!s->n_label) return n;
    toyenc_pair(t, &n, "cls", -1, d, d);
    toyenc_pair(t, &n, "cls.output", -1, d, s->n_label);
    return n;
}

static inline void toyenc_keys(const toyenc *s, glim_gguf_writer *w)
{
    const struct {
        const char *key;
        int64_t v;
    } keys[] = {{"block_count", s->n_layer},         {"context_length", s->n_ctx},
                {"embedding_length", s->n_embd},     {"feed_forward_length", s->n_ff},
                {"attention.head_count", s->n_head}, {"vocab_size", s->n_vocab}};
    glim_gguf_put_str(w, "general.architecture", GLIM_STR("bert"));
    glim_gguf_put_f32(w, "bert.attention.layer_norm_epsilon", 1e-6f);
    for (size_t i = 0; i < GLIM_COUNT(keys); i++) {
        char full[64];
        bool edited = s->key && strcmp(s->key, keys[i].key) == 0;
        snprintf(full, sizeof full, "bert.%s", keys[i].key);
        glim_gguf_put_u32(w, full, edited ? s->value : (uint32_t)keys[i].v);
    }
    if (s->key && strcmp(s->key, "attention.causal") == 0)
        glim_gguf_put_bool(w, "bert.attention.causal", s->value != 0);
    if (s->key && strcmp(s->key, "pooling_type") == 0)
        glim_gguf_put_u32(w, "bert.pooling_type", s->value);
    if (s->more) s->more(w, s->user);
}

/* Values of a tensor: near 1 for the weights of norms, small for biases, scaled for matrices. */
static inline void toyenc_fill(const toyenc_tensor *t, uint64_t seed, int64_t n, float *x)
{
    glim_rng r;
    bool norm = t->n_row == 0 && strstr(t->name, ".weight"), vector = t->n_row == 0;
    glim_rng_seed(&r, seed);
    for (int64_t i = 0; i < n; i++) {
        float v = glim_rng_f32(&r) * 2 - 1;
        x[i] = norm ? 1 + 0.3f * v : vector ? 0.1f * v : v * 3 / sqrtf((float)t->n_col);
    }
}

static inline bool toyenc_is(const char *a, const char *b)
{
    return a && strcmp(a, b) == 0;
}

/* Writes the file to dir/name. */
static inline const char *toyenc_write(const toyenc *s, const tmp_folder *dir, const char *name,
                                       char path[400])
{
    toyenc_tensor t[TOYENC_TENSORS_MAX];
    size_t n = toyenc_tensors(s, t);
    glim_gguf_writer *w;
    glim_error e = {0};
    tmp_path(dir, name, path);
    if (glim_gguf_create(path, &w, &e)) fail_msg("%s", e.msg);
    toyenc_keys(s, w);
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < n; i++) {
            int64_t more = toyenc_is(s->grow, t[i].name), rows = t[i].n_row,
                    ne[2] = {t[i].n_col + (rows ? 0 : more), rows + more},
                    count = ne[0] * (rows ? ne[1] : 1);
            glim_type type = rows ? s->type : GLIM_F32;
            size_t bytes;
            if (toyenc_is(s->drop, t[i].name)) continue;
            if (pass == 0) {
                glim_gguf_add_tensor(w, glim_str_of(t[i].name), type, rows ? 2 : 1, ne);
                continue;
            }
            float *x = glim_alloc_array((size_t)count, sizeof *x);
            toyenc_fill(&t[i], 1000 + i, count, x);
            assert_true(glim_type_bytes(type, count, &bytes));
            uint8_t *p = glim_alloc(bytes + 4 * (size_t)count);
            if (s->via != GLIM_TYPE_COUNT && rows) {
                glim_type_get(s->via)->encode(x, p, count);
                glim_type_get(s->via)->decode(p, x, count);
            }
            glim_type_get(type)->encode(x, p, count);
            if (glim_gguf_write(w, p, bytes, &e)) fail_msg("%s", e.msg);
            glim_free(x);
            glim_free(p);
        }
        if (pass == 0 && glim_gguf_begin_data(w, &e)) fail_msg("%s", e.msg);
    }
    if (glim_gguf_finish(w, &e)) fail_msg("%s", e.msg);
    glim_gguf_writer_free(w);
    return path;
}

/* ---- the forward pass, plainly ------------------------------------------------------------------ */

/* A tensor's values; glim_free() them. */
static inline float *toyenc_values(const glim_modelfile *f, const char *name, int64_t layer)
{
    char full[64];
    snprintf(full, sizeof full, layer < 0 ? "%s" : "blk.%2$d.%1$s", name, (int)layer);
    const glim_tensor *t = glim_modelfile_find(f, glim_str_of(full));
    if (!t) fail_msg("%s is missing", full);
    float *x = glim_alloc_array((size_t)(t->ne[0] * t->ne[1]), sizeof *x);
    glim_type_get(t->type)->decode(t->data, x, t->ne[0] * t->ne[1]);
    return x;
}

/* y[n][n_row] = W x + b. */
static inline void toyenc_linear(const glim_modelfile *f, const char *name, int64_t layer,
                                 const double *x, int64_t n, int64_t n_col, int64_t n_row,
                                 double *y)
{
    char full[48];
    snprintf(full, sizeof full, "%s.weight", name);
    float *w = toyenc_values(f, full, layer);
    snprintf(full, sizeof full, "%s.bias", name);
    float *b = toyenc_values(f, full, layer);
    for (int64_t t = 0; t < n; t++)
        for (int64_t r = 0; r < n_row; r++) {
            double sum = (double)b[r];
            for (int64_t c = 0; c < n_col; c++)
                sum += (double)w[r * n_col + c] * x[t * n_col + c];
            y[t * n_row + r] = sum;
        }
    glim_free(w);
    glim_free(b);
}

static inline void toyenc_norm(const glim_modelfile *f, const char *name, int64_t layer, int64_t n,
                               int64_t d, double *x)
{
    char full[48];
    snprintf(full, sizeof full, "%s.weight", name);
    float *w = toyenc_values(f, full, layer);
    snprintf(full, sizeof full, "%s.bias", name);
    float *b = toyenc_values(f, full, layer);
    for (int64_t t = 0; t < n; t++) {
        double mean = 0, var = 0, *p = x + t * d;
        for (int64_t i = 0; i < d; i++)
            mean += p[i] / (double)d;
        for (int64_t i = 0; i < d; i++)
            var += (p[i] - mean) * (p[i] - mean) / (double)d;
        for (int64_t i = 0; i < d; i++)
            p[i] = (p[i] - mean) / sqrt(var + (double)1e-6f) * (double)w[i] + (double)b[i];
    }
    glim_free(w);
    glim_free(b);
}

static inline void toyenc_attend(const toyenc *s, const double *q, const double *k, const double *v,
                                 int64_t n, double *out)
{
    int64_t d = s->n_embd, n_dim = d / s->n_head;
    double *p = glim_alloc_array((size_t)n, sizeof *p);
    for (int64_t h = 0; h < s->n_head; h++)
        for (int64_t t = 0; t < n; t++) {
            double sum = 0;
            for (int64_t j = 0; j < n; j++) {
                double score = 0;
                for (int64_t i = h * n_dim; i < (h + 1) * n_dim; i++)
                    score += q[t * d + i] * k[j * d + i];
                sum += p[j] = exp(score / sqrt((double)n_dim));
            }
            for (int64_t i = h * n_dim; i < (h + 1) * n_dim; i++) {
                out[t * d + i] = 0;
                for (int64_t j = 0; j < n; j++)
                    out[t * d + i] += p[j] / sum * v[j * d + i];
            }
        }
    glim_free(p);
}

/* Final states of one sequence to x [n][n_embd]. types may be NULL. */
static inline void toyenc_plain(const toyenc *s, const glim_modelfile *f, const int32_t *tokens,
                                const int32_t *types, int64_t n, double *x)
{
    int64_t d = s->n_embd;
    size_t rows = (size_t)(n * GLIM_MAX(d, s->n_ff));
    double *q = glim_alloc_array(rows, sizeof *q), *k = glim_alloc_array(rows, sizeof *k),
           *v = glim_alloc_array(rows, sizeof *v), *a = glim_alloc_array(rows, sizeof *a);
    float *word = toyenc_values(f, "token_embd.weight", -1),
          *pos = toyenc_values(f, "position_embd.weight", -1),
          *type = toyenc_values(f, "token_types.weight", -1);
    for (int64_t t = 0; t < n; t++)
        for (int64_t i = 0; i < d; i++)
            x[t * d + i] = (double)word[tokens[t] * d + i] + (double)pos[t * d + i] +
                           (double)type[(types ? types[t] : 0) * d + i];
    toyenc_norm(f, "token_embd_norm", -1, n, d, x);
    for (int64_t l = 0; l < s->n_layer; l++) {
        toyenc_linear(f, "attn_q", l, x, n, d, d, q);
        toyenc_linear(f, "attn_k", l, x, n, d, d, k);
        toyenc_linear(f, "attn_v", l, x, n, d, d, v);
        toyenc_attend(s, q, k, v, n, a);
        toyenc_linear(f, "attn_output", l, a, n, d, d, q);
        for (int64_t i = 0; i < n * d; i++)
            x[i] += q[i];
        toyenc_norm(f, "attn_output_norm", l, n, d, x);
        toyenc_linear(f, "ffn_up", l, x, n, d, s->n_ff, q);
        for (int64_t i = 0; i < n * s->n_ff; i++)
            q[i] *= 0.5 * (1 + erf(q[i] / sqrt(2)));
        toyenc_linear(f, "ffn_down", l, q, n, s->n_ff, d, a);
        for (int64_t i = 0; i < n * d; i++)
            x[i] += a[i];
        toyenc_norm(f, "layer_output_norm", l, n, d, x);
    }
    glim_free(q), glim_free(k), glim_free(v), glim_free(a);
    glim_free(word), glim_free(pos), glim_free(type);
}

#endif
