/* SPDX-License-Identifier: MIT
 * tinymodel.c - writes toy models, see tinymodel.h.
 * Matrices have the root mean square 1/sqrt(inputs), so that activations keep their size through
 * the layers and no single term decides an answer. Formats without an encoder get random blocks
 * with a scale that gives the same size. */
#include "tinymodel.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "ggufbuild.h"
#include "quant/blocks.h"
#include "tiny_tok.h"

/* ---- specifications ------------------------------------------------------------------------- */

void toy_types(toy_spec *s, glim_type t)
{
    for (int c = 0; c < TOY_ROUTER; c++)
        s->type[c] = t;
}

void toy_via(toy_spec *s, glim_type t)
{
    for (int c = 0; c < TOY_ROUTER; c++)
        s->via[c] = t;
}

void toy_init(toy_spec *s)
{
    *s = (toy_spec){.seed = 1,
                    .arch = "deepseek2",
                    .n_layer = 3,
                    .n_dense = 1,
                    .n_embd = 64,
                    .n_ff = 96,
                    .n_head = 4,
                    .kv_rank = 32,
                    .n_nope = 32,
                    .n_rot = 16,
                    .n_v = 32,
                    .n_ctx = 512,
                    .n_vocab = 320,
                    .q_rank = 64,
                    .n_expert = 8,
                    .n_used = 2,
                    .n_shared = 1,
                    .n_ff_expert = 32,
                    .n_group = 1,
                    .n_group_used = 1,
                    .gating = 2,
                    .bias = true,
                    .norm_weights = true,
                    .expert_scale = 1.8};
    for (int c = 0; c < TOY_CLASS_COUNT; c++) {
        s->type[c] = GLIM_F32;
        s->via[c] = GLIM_TYPE_COUNT;
    }
}

void toy_init_wide(toy_spec *s)
{
    toy_init(s);
    s->n_layer = 2;
    s->n_embd = s->n_ff = s->kv_rank = s->n_nope = s->q_rank = s->n_ff_expert = 256;
    s->n_head = 2;
    s->n_rot = 32;
    s->n_v = 128;
    s->n_expert = 4;
}

void toy_init_deepseek(toy_spec *s)
{
    toy_init(s);
    s->gating = 1;
    s->bias = s->norm_weights = false;
    s->expert_scale = 1;
    s->n_shared = 2;
    s->q_rank = 0;
    s->legacy = true;
    s->yarn_factor = 40;
}

/* ---- numbers -------------------------------------------------------------------------------- */

/* Near enough to normal, with root mean square rms, and the same on every machine. */
static void fill_floats(glim_rng *r, int64_t n, float rms, float *out)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = (glim_rng_f32(r) + glim_rng_f32(r) + glim_rng_f32(r) - 1.5f) * 2 * rms;
}

/* Where a block has its scale and its offset, and the offset (in scales) that takes the mean away. */
static const struct scale_place {
    glim_type type;
    size_t d;
    int m; /* -1: none */
    float offset;
} places[] = {
    {GLIM_Q4_0, offsetof(glim_block_q4_0, d), -1, 0},
    {GLIM_Q4_1, offsetof(glim_block_q4_1, d), offsetof(glim_block_q4_1, m), -7.5f},
    {GLIM_Q5_0, offsetof(glim_block_q5_0, d), -1, 0},
    {GLIM_Q5_1, offsetof(glim_block_q5_1, d), offsetof(glim_block_q5_1, m), -15.5f},
    {GLIM_Q2_K, offsetof(glim_block_q2_k, d), offsetof(glim_block_q2_k, dmin), 1.5f},
    {GLIM_Q3_K, offsetof(glim_block_q3_k, d), -1, 0},
    {GLIM_Q4_K, offsetof(glim_block_q4_k, d), offsetof(glim_block_q4_k, dmin), 7.5f},
    {GLIM_Q5_K, offsetof(glim_block_q5_k, d), offsetof(glim_block_q5_k, dmin), 15.5f},
    {GLIM_Q6_K, offsetof(glim_block_q6_k, d), -1, 0},
    {GLIM_IQ4_NL, offsetof(glim_block_iq4_nl, d), -1, 0},
    {GLIM_IQ4_XS, offsetof(glim_block_iq4_xs, d), -1, 0},
};

static void set_scales(const struct scale_place *p, uint8_t *blocks, int64_t n_block, float d)
{
    size_t size = glim_type_get(p->type)->block_bytes;
    uint16_t hd = glim_f32_to_f16(d), hm = glim_f32_to_f16(d * p->offset);
    for (int64_t i = 0; i < n_block; i++) {
        memcpy(blocks + (size_t)i * size + p->d, &hd, sizeof hd);
        if (p->m >= 0) memcpy(blocks + (size_t)i * size + (size_t)p->m, &hm, sizeof hm);
    }
}

static void fill_blocks(glim_rng *r, glim_type t, int64_t n, float rms, uint8_t *out)
{
    const glim_type_traits *tr = glim_type_get(t);
    int64_t n_block = n / tr->n_block;
    size_t n_bytes = (size_t)n_block * tr->block_bytes;
    for (size_t i = 0; i < n_bytes; i++)
        out[i] = (uint8_t)(glim_rng_u64(r) >> 32);
    if (t == GLIM_MXFP4) { /* 2^(e-128) times values of root mean square 5.8 */
        int e = 128 + (int)lrintf(log2f(rms / 5.8f));
        for (int64_t i = 0; i < n_block; i++)
            ((glim_block_mxfp4 *)(void *)out)[i].e = (uint8_t)(e - 1 + (int)(glim_rng_u64(r) % 3));
        return;
    }
    const struct scale_place *p = NULL;
    for (size_t i = 0; i < GLIM_COUNT(places); i++)
        if (places[i].type == t) p = &places[i];
    if (!p) fail_msg("tinymodel: no way to fill %s", tr->name);
    float *f = glim_alloc_array((size_t)n, sizeof *f);
    double sum = 0;
    set_scales(p, out, n_block, 1);
    tr->decode(out, f, n);
    for (int64_t i = 0; i < n; i++)
        sum += (double)f[i] * (double)f[i];
    set_scales(p, out, n_block, rms / (float)sqrt(sum / (double)n));
    glim_free(f);
}

void toy_fill(glim_type t, uint64_t seed, int64_t n, float rms, void *out)
{
    const glim_type_traits *tr = glim_type_get(t);
    glim_rng r;
    glim_rng_seed(&r, seed);
    if (!tr->encode) {
        fill_blocks(&r, t, n, rms, out);
        return;
    }
    float *f = glim_alloc_array((size_t)n, sizeof *f);
    fill_floats(&r, n, rms, f);
    tr->encode(f, out, n);
    glim_free(f);
}

/* ---- the file being built ------------------------------------------------------------------- */

typedef struct tensor {
    char name[64];
    glim_type type;
    uint32_t n_dim;
    uint64_t ne[3];
    uint8_t *data;
    size_t n_bytes;
} tensor;

typedef struct builder {
    const toy_spec *s;
    glim_buf kv;
    uint64_t n_kv;
    bool used[64]; /* edits that a key took */
    tensor *tensors;
    size_t n_tensor;
} builder;

#define TENSOR_MAX 256

static const toy_edit *find_edit(const builder *b, const char *name)
{
    for (size_t i = b->s->n_edit; i-- > 0;)
        if (strcmp(b->s->edits[i].name, name) == 0) return &b->s->edits[i];
    return NULL;
}

static const char *full_key(const builder *b, const char *key, char out[128])
{
    bool own = !strncmp(key, "general.", 8) || !strncmp(key, "tokenizer.", 10) ||
               !strncmp(key, "split.", 6);
    snprintf(out, 128, "%s%s%s", own ? "" : b->s->arch, own ? "" : ".", key);
    return out;
}

static void write_edit(builder *b, const toy_edit *e)
{
    char full[128];
    full_key(b, e->name, full);
    if (e->op == TOY_DROP) return;
    b->n_kv++;
    if (e->op == TOY_U32)
        gb_kv_u32(&b->kv, full, (uint32_t)e->num);
    else if (e->op == TOY_I32)
        gb_kv_i32(&b->kv, full, (int32_t)e->num);
    else if (e->op == TOY_F32)
        gb_kv_f32(&b->kv, full, (float)e->num);
    else if (e->op == TOY_BOOL)
        gb_kv_bool(&b->kv, full, e->num != 0);
    else
        gb_kv_str(&b->kv, full, e->str);
}

/* True when an edit took the key's place; full gets the key as the file has it. */
static bool edited(builder *b, const char *key, char full[128])
{
    const toy_edit *e = find_edit(b, key);
    full_key(b, key, full);
    if (!e || e->op == TOY_ELEM || e->op == TOY_CUT) return false;
    b->used[e - b->s->edits] = true;
    write_edit(b, e);
    return true;
}

static void put_u32(builder *b, const char *key, int64_t v)
{
    char full[128];
    if (edited(b, key, full)) return;
    gb_kv_u32(&b->kv, full, (uint32_t)v);
    b->n_kv++;
}

static void put_f32(builder *b, const char *key, double v)
{
    char full[128];
    if (edited(b, key, full)) return;
    gb_kv_f32(&b->kv, full, (float)v);
    b->n_kv++;
}

static void put_bool(builder *b, const char *key, bool v)
{
    char full[128];
    if (edited(b, key, full)) return;
    gb_kv_bool(&b->kv, full, v);
    b->n_kv++;
}

static void put_str(builder *b, const char *key, const char *v)
{
    char full[128];
    if (edited(b, key, full)) return;
    gb_kv_str(&b->kv, full, v);
    b->n_kv++;
}

/* An array of strings (text) or of i32 (num). */
static void put_array(builder *b, const char *key, const glim_str *text, const int32_t *num,
                      size_t n)
{
    char full[128];
    const toy_edit *e = find_edit(b, key);
    if (edited(b, key, full)) return;
    if (e) b->used[e - b->s->edits] = true;
    if (e && e->op == TOY_CUT) n = (size_t)e->num;
    gb_kv_array(&b->kv, full, text ? GV_STR : GV_I32, n);
    for (size_t i = 0; i < n; i++) {
        bool other = e && e->op == TOY_ELEM && e->i == i;
        if (text) {
            glim_str s = other ? glim_str_of(e->str) : text[i];
            gb_u64(&b->kv, s.n);
            gb_raw(&b->kv, s.p, s.n);
        } else {
            gb_raw(&b->kv, other ? &(int32_t){(int32_t)e->num} : &num[i], sizeof *num);
        }
    }
    b->n_kv++;
}

/* ---- keys ----------------------------------------------------------------------------------- */

static void put_model(builder *b)
{
    const toy_spec *s = b->s;
    put_str(b, "general.architecture", s->arch);
    put_str(b, "general.name", "toy");
    put_u32(b, "general.alignment", 32);
    if (s->sampling) {
        put_f32(b, "general.sampling.temp", 0.7);
        put_f32(b, "general.sampling.top_p", 0.9);
        put_u32(b, "general.sampling.top_k", 40);
        put_f32(b, "general.sampling.min_p", 0.05);
    }
    put_u32(b, "block_count", s->n_layer + s->nextn);
    if (s->nextn) put_u32(b, "nextn_predict_layers", 1);
    put_u32(b, "context_length", s->n_ctx);
    put_u32(b, "embedding_length", s->n_embd);
    put_u32(b, "feed_forward_length", s->n_ff);
    put_u32(b, "attention.head_count", s->n_head);
    put_u32(b, "attention.head_count_kv", s->legacy ? s->n_head : 1);
    put_f32(b, "attention.layer_norm_rms_epsilon", 1e-5);
    if (s->q_rank) put_u32(b, "attention.q_lora_rank", s->q_rank);
    put_u32(b, "attention.kv_lora_rank", s->kv_rank);
    put_u32(b, "attention.key_length", s->legacy ? s->n_nope + s->n_rot : s->kv_rank + s->n_rot);
    put_u32(b, "attention.value_length", s->legacy ? s->n_v : s->kv_rank);
    if (!s->legacy) {
        put_u32(b, "attention.key_length_mla", s->n_nope + s->n_rot);
        put_u32(b, "attention.value_length_mla", s->n_v);
    }
    put_u32(b, "rope.dimension_count", s->n_rot);
    put_f32(b, "rope.freq_base", 10000);
    if (s->yarn_factor > 0) {
        put_str(b, "rope.scaling.type", "yarn");
        put_f32(b, "rope.scaling.factor", s->yarn_factor);
        put_u32(b, "rope.scaling.original_context_length", 64);
        put_f32(b, "rope.scaling.yarn_log_multiplier", 0.0707);
    }
    put_u32(b, "leading_dense_block_count", s->n_dense);
    if (s->n_expert) {
        put_u32(b, "expert_count", s->n_expert);
        put_u32(b, "expert_used_count", s->n_used);
        put_u32(b, "expert_shared_count", s->n_shared);
        put_u32(b, "expert_group_count", s->n_group);
        put_u32(b, "expert_group_used_count", s->n_group_used);
        put_u32(b, "expert_feed_forward_length", s->n_ff_expert);
        if (s->gating) put_u32(b, "expert_gating_func", s->gating);
        put_f32(b, "expert_weights_scale", s->expert_scale);
        put_bool(b, "expert_weights_norm", s->norm_weights);
    }
    if (!s->no_vocab_size) put_u32(b, "vocab_size", s->n_vocab);
}

/* Merges of pieces that all stand before them; blanks and line ends are G-breve-like letters. */
static const char *const merges[] = {"t h", "th e", "i n", "e r", "o n", "a n", "an d",
                                     "h e", "r e",  "l l", "o u", "s t", "e n", "\xC4\xA0 the"};
/* C: control, U: user-defined, as the models of the family have them. */
static const char *const specials[] = {
    "C<|endoftext|>", "C[MASK]",          "C[gMASK]",         "C[sMASK]",
    "C<sop>",         "C<eop>",           "C<|system|>",      "C<|user|>",
    "C<|assistant|>", "C<|observation|>", "U<think>",         "U</think>",
    "U<tool_call>",   "U</tool_call>",    "U<tool_response>", "U</tool_response>",
    "U<arg_key>",     "U</arg_key>",      "U<arg_value>",     "U</arg_value>",
    "U/nothink",
};

static int64_t id_of(const glim_tokenizer_spec *t, const char *text)
{
    for (size_t i = 0; i < t->n_token; i++)
        if (glim_str_is(t->text[i], text)) return (int64_t)i;
    fail_msg("tinymodel: no token %s", text);
    return -1;
}

static void put_tokenizer(builder *b)
{
    const toy_spec *s = b->s;
    glim_arena *a = glim_arena_new((size_t)1 << 24);
    glim_tokenizer_spec t;
    size_t n = (size_t)(s->n_vocab + s->n_extra_token);
    glim_str *text = GLIM_ARENA_ARRAY(a, glim_str, n), pair[GLIM_COUNT(merges)];
    int32_t *type = GLIM_ARENA_ARRAY(a, int32_t, n);
    if (!text || !type ||
        !tiny_spec(a, merges, GLIM_COUNT(merges), specials, GLIM_COUNT(specials), &t) ||
        t.n_token > n)
        fail_msg("tinymodel: no tokenizer of %zu tokens", n);
    for (size_t i = 0; i < n; i++) {
        char unused[32];
        snprintf(unused, sizeof unused, "[PAD%zu]", i);
        text[i] = i < t.n_token ? t.text[i] : glim_arena_str(a, glim_str_of(unused));
        type[i] = i < t.n_token ? t.attr[i] : GLIM_TOKEN_UNUSED;
    }
    for (size_t i = 0; i < GLIM_COUNT(merges); i++)
        pair[i] = glim_str_of(merges[i]);
    put_str(b, "tokenizer.ggml.model", "gpt2");
    put_str(b, "tokenizer.ggml.pre", "glm4");
    put_array(b, "tokenizer.ggml.tokens", text, NULL, n);
    put_array(b, "tokenizer.ggml.token_type", NULL, type, n);
    put_array(b, "tokenizer.ggml.merges", pair, NULL, GLIM_COUNT(pair));
    put_u32(b, "tokenizer.ggml.bos_token_id", id_of(&t, "[gMASK]"));
    put_u32(b, "tokenizer.ggml.eos_token_id", id_of(&t, "<|endoftext|>"));
    if (!s->no_eot) {
        put_u32(b, "tokenizer.ggml.eot_token_id", id_of(&t, "<|user|>"));
        put_u32(b, "tokenizer.ggml.eom_token_id", id_of(&t, "<|observation|>"));
    }
    if (s->chat_template) put_str(b, "tokenizer.chat_template", s->chat_template);
    glim_arena_free(a);
}

/* ---- tensors -------------------------------------------------------------------------------- */

static uint64_t seed_of(const toy_spec *s, const char *name)
{
    uint64_t h = 1469598103934665603u ^ s->seed;
    for (; *name; name++)
        h = (h ^ (uint8_t)*name) * 1099511628211u;
    return h;
}

static size_t bytes_of(glim_type t, int64_t n)
{
    size_t bytes = 0;
    if (!glim_type_bytes(t, n, &bytes))
        fail_msg("tinymodel: %lld elements are no whole blocks of %s", (long long)n,
                 glim_type_get(t)->name);
    return bytes;
}

/* Converts what type `from` decodes to; f: floats to use instead where `from` has an encoder. */
static uint8_t *make_matrix(const builder *b, toy_class c, const char *name, const float *f,
                            int64_t n_row, int64_t n_col, float rms)
{
    glim_type type = b->s->type[c], via = b->s->via[c];
    glim_type from = via < GLIM_TYPE_COUNT ? via : type;
    const glim_type_traits *tr = glim_type_get(from);
    int64_t n = n_row * n_col;
    (void)bytes_of(type, n_col);
    uint8_t *raw = glim_alloc0(bytes_of(from, n_col) * (size_t)n_row);
    if (f && tr->encode)
        tr->encode(f, raw, n);
    else
        toy_fill(from, seed_of(b->s, name), n, rms, raw);
    if (from == type) return raw;
    float *decoded = glim_alloc_array((size_t)n, sizeof *decoded);
    uint8_t *out = glim_alloc0(bytes_of(type, n_col) * (size_t)n_row);
    tr->decode(raw, decoded, n);
    glim_type_get(type)->encode(decoded, out, n);
    glim_free(decoded);
    glim_free(raw);
    return out;
}

/* Takes data. ne2 0: two dimensions, ne1 0: one. */
static void add_tensor(builder *b, const char *name, glim_type type, int64_t ne0, int64_t ne1,
                       int64_t ne2, uint8_t *data)
{
    const toy_edit *e = find_edit(b, name);
    if (e) b->used[e - b->s->edits] = true;
    if (e && e->op == TOY_DROP) {
        glim_free(data);
        return;
    }
    if (b->n_tensor == TENSOR_MAX) fail_msg("tinymodel: too many tensors");
    tensor *t = &b->tensors[b->n_tensor++];
    t->type = type;
    t->n_dim = ne2 ? 3 : ne1 ? 2 : 1;
    t->ne[0] = (uint64_t)ne0;
    t->ne[1] = (uint64_t)GLIM_MAX(ne1, 1);
    t->ne[2] = (uint64_t)GLIM_MAX(ne2, 1);
    snprintf(t->name, sizeof t->name, "%s", e && e->op == TOY_RENAME ? e->str : name);
    t->n_bytes = bytes_of(type, ne0) * (size_t)(t->ne[1] * t->ne[2]);
    t->data = data;
    if (!e || e->op != TOY_GROW) return;
    t->ne[t->n_dim - 1]++;
    size_t grown = bytes_of(type, (int64_t)t->ne[0]) * (size_t)(t->ne[1] * t->ne[2]);
    t->data = glim_realloc(data, grown);
    memset(t->data + t->n_bytes, 0, grown - t->n_bytes);
    t->n_bytes = grown;
}

static const char *layer_name(int64_t layer, const char *name, char out[64])
{
    snprintf(out, 64, "blk.%lld.%s", (long long)layer, name);
    return out;
}

static float rms_of(int64_t n_col)
{
    return 1 / sqrtf((float)n_col);
}

static void add_mat(builder *b, toy_class c, const char *name, int64_t n_col, int64_t n_row,
                    int64_t n)
{
    float rms = c == TOY_EMBED ? 1 : rms_of(n_col);
    add_tensor(b, name, b->s->type[c], n_col, n_row, n,
               make_matrix(b, c, name, NULL, n_row * GLIM_MAX(n, 1), n_col, rms));
}

/* Norm weights lie around 1, biases around 0. */
static void add_vec(builder *b, const char *name, int64_t n, float mean)
{
    float *f = glim_alloc_array((size_t)n, sizeof *f);
    glim_type type = b->s->type[TOY_NORM];
    toy_fill(GLIM_F32, seed_of(b->s, name), n, 0.1f, f);
    for (int64_t i = 0; i < n; i++)
        f[i] += mean;
    add_tensor(b, name, type, n, 0, 0, make_matrix(b, TOY_NORM, name, f, 1, n, 0));
    glim_free(f);
}

/* Keys and values of all heads out of the latent, in one matrix or in two. */
static void add_kv_b(builder *b, int64_t layer)
{
    const toy_spec *s = b->s;
    char name[64];
    int64_t nope = s->n_nope, v = s->n_v, rank = s->kv_rank, n_k = s->n_head * nope * rank,
            n_v = s->n_head * v * rank;
    float *k = glim_alloc_array((size_t)n_k, sizeof *k), *vb = glim_alloc_array((size_t)n_v, 4),
          *all = glim_alloc_array((size_t)(n_k + n_v), sizeof *all), rms = rms_of(rank);
    toy_fill(GLIM_F32, seed_of(s, layer_name(layer, "keys", name)), n_k, rms, k);
    toy_fill(GLIM_F32, seed_of(s, layer_name(layer, "values", name)), n_v, rms, vb);
    if (s->legacy) {
        for (int64_t h = 0; h < s->n_head; h++) {
            float *to = all + h * (nope + v) * rank;
            memcpy(to, k + h * nope * rank, (size_t)(nope * rank) * sizeof *k);
            memcpy(to + nope * rank, vb + h * v * rank, (size_t)(v * rank) * sizeof *vb);
        }
        layer_name(layer, "attn_kv_b.weight", name);
        add_tensor(b, name, s->type[TOY_KV_B], rank, s->n_head * (nope + v), 0,
                   make_matrix(b, TOY_KV_B, name, all, s->n_head * (nope + v), rank, rms));
    } else {
        for (int64_t h = 0; h < s->n_head; h++)
            for (int64_t i = 0; i < nope; i++)
                for (int64_t c = 0; c < rank; c++)
                    all[(h * rank + c) * nope + i] = k[(h * nope + i) * rank + c];
        layer_name(layer, "attn_k_b.weight", name);
        add_tensor(b, name, s->type[TOY_KV_B], nope, rank, s->n_head,
                   make_matrix(b, TOY_KV_B, name, all, s->n_head * rank, nope, rms));
        layer_name(layer, "attn_v_b.weight", name);
        add_tensor(b, name, s->type[TOY_KV_B], rank, v, s->n_head,
                   make_matrix(b, TOY_KV_B, name, vb, s->n_head * v, rank, rms));
    }
    glim_free(k);
    glim_free(vb);
    glim_free(all);
}

static void add_attention(builder *b, int64_t layer)
{
    const toy_spec *s = b->s;
    char name[64];
    int64_t n_q = s->n_head * (s->n_nope + s->n_rot);
    add_vec(b, layer_name(layer, "attn_norm.weight", name), s->n_embd, 1);
    if (s->q_rank) {
        add_mat(b, TOY_ATTN, layer_name(layer, "attn_q_a.weight", name), s->n_embd, s->q_rank, 0);
        add_vec(b, layer_name(layer, "attn_q_a_norm.weight", name), s->q_rank, 1);
        add_mat(b, TOY_ATTN, layer_name(layer, "attn_q_b.weight", name), s->q_rank, n_q, 0);
    } else {
        add_mat(b, TOY_ATTN, layer_name(layer, "attn_q.weight", name), s->n_embd, n_q, 0);
    }
    add_mat(b, TOY_ATTN, layer_name(layer, "attn_kv_a_mqa.weight", name), s->n_embd,
            s->kv_rank + s->n_rot, 0);
    add_vec(b, layer_name(layer, "attn_kv_a_norm.weight", name), s->kv_rank, 1);
    add_kv_b(b, layer);
    add_mat(b, TOY_ATTN, layer_name(layer, "attn_output.weight", name), s->n_head * s->n_v,
            s->n_embd, 0);
    add_vec(b, layer_name(layer, "ffn_norm.weight", name), s->n_embd, 1);
}

static void add_fused(builder *b, int64_t layer)
{
    const toy_spec *s = b->s;
    char name[64];
    int64_t n = s->n_expert, ff = s->n_ff_expert;
    size_t half = bytes_of(s->type[TOY_EXP_GATE], s->n_embd) * (size_t)ff;
    uint8_t *gate = make_matrix(b, TOY_EXP_GATE, layer_name(layer, "ffn_gate_exps.weight", name),
                                NULL, n * ff, s->n_embd, rms_of(s->n_embd));
    uint8_t *up = make_matrix(b, TOY_EXP_GATE, layer_name(layer, "ffn_up_exps.weight", name), NULL,
                              n * ff, s->n_embd, rms_of(s->n_embd));
    uint8_t *both = glim_alloc0(2 * half * (size_t)n);
    for (size_t e = 0; e < (size_t)n; e++) {
        memcpy(both + 2 * e * half, gate + e * half, half);
        memcpy(both + (2 * e + 1) * half, up + e * half, half);
    }
    add_tensor(b, layer_name(layer, "ffn_gate_up_exps.weight", name), s->type[TOY_EXP_GATE],
               s->n_embd, 2 * ff, n, both);
    glim_free(gate);
    glim_free(up);
}

static void add_feed_forward(builder *b, int64_t layer)
{
    const toy_spec *s = b->s;
    char name[64];
    if (layer < s->n_dense || !s->n_expert) {
        add_mat(b, TOY_FFN, layer_name(layer, "ffn_gate.weight", name), s->n_embd, s->n_ff, 0);
        add_mat(b, TOY_FFN, layer_name(layer, "ffn_up.weight", name), s->n_embd, s->n_ff, 0);
        add_mat(b, TOY_FFN, layer_name(layer, "ffn_down.weight", name), s->n_ff, s->n_embd, 0);
        return;
    }
    int64_t ff = s->n_ff_expert, n = s->n_expert, shared = s->n_shared * ff;
    add_mat(b, TOY_ROUTER, layer_name(layer, "ffn_gate_inp.weight", name), s->n_embd, n, 0);
    if (s->bias) add_vec(b, layer_name(layer, "exp_probs_b.bias", name), n, 0);
    if (s->fused) {
        add_fused(b, layer);
    } else {
        add_mat(b, TOY_EXP_GATE, layer_name(layer, "ffn_gate_exps.weight", name), s->n_embd, ff, n);
        add_mat(b, TOY_EXP_UP, layer_name(layer, "ffn_up_exps.weight", name), s->n_embd, ff, n);
    }
    add_mat(b, TOY_EXP_DOWN, layer_name(layer, "ffn_down_exps.weight", name), ff, s->n_embd, n);
    if (!shared) return;
    add_mat(b, TOY_SHARED, layer_name(layer, "ffn_gate_shexp.weight", name), s->n_embd, shared, 0);
    add_mat(b, TOY_SHARED, layer_name(layer, "ffn_up_shexp.weight", name), s->n_embd, shared, 0);
    add_mat(b, TOY_SHARED, layer_name(layer, "ffn_down_shexp.weight", name), shared, s->n_embd, 0);
}

static void add_tensors(builder *b)
{
    const toy_spec *s = b->s;
    char name[64];
    add_mat(b, TOY_EMBED, "token_embd.weight", s->n_embd, s->n_vocab, 0);
    for (int64_t i = 0; i < s->n_layer + s->nextn; i++) {
        add_attention(b, i);
        add_feed_forward(b, i);
    }
    if (s->nextn) {
        add_mat(b, TOY_ATTN, layer_name(s->n_layer, "nextn.eh_proj.weight", name), 2 * s->n_embd,
                s->n_embd, 0);
        add_vec(b, layer_name(s->n_layer, "nextn.enorm.weight", name), s->n_embd, 1);
        add_vec(b, layer_name(s->n_layer, "nextn.hnorm.weight", name), s->n_embd, 1);
        add_vec(b, layer_name(s->n_layer, "nextn.shared_head_norm.weight", name), s->n_embd, 1);
    }
    add_vec(b, "output_norm.weight", s->n_embd, 1);
    if (!s->tied) add_mat(b, TOY_HEAD, "output.weight", s->n_embd, s->n_vocab, 0);
}

/* ---- writing -------------------------------------------------------------------------------- */

/* Tensors [begin, end) as a file; kv: the metadata of the part. */
static void write_part(const builder *b, size_t begin, size_t end, const glim_buf *kv,
                       uint64_t n_kv, const char *path)
{
    glim_buf out;
    uint64_t at = 0;
    gb_header(&out, 3, end - begin, n_kv);
    gb_raw(&out, kv->p, kv->n);
    for (size_t i = begin; i < end; i++) {
        const tensor *t = &b->tensors[i];
        gb_tensor(&out, t->name, t->n_dim, t->ne, (uint32_t)glim_type_get(t->type)->ggml_id, at);
        at += (t->n_bytes + 31) / 32 * 32;
    }
    gb_pad(&out, 32);
    for (size_t i = begin; i < end; i++) {
        gb_raw(&out, b->tensors[i].data, b->tensors[i].n_bytes);
        gb_pad(&out, 32);
    }
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(out.p, 1, out.n, f) != out.n || fclose(f) != 0)
        fail_msg("%s: cannot be written", path);
    glim_buf_deinit(&out);
}

static void write_split(builder *b, const char *dir, const char *name, char path[400])
{
    unsigned n_part = b->s->n_part;
    for (unsigned i = n_part; i-- > 0;) {
        glim_buf kv;
        glim_buf_init(&kv, (size_t)1 << 20);
        if (i == 0) gb_raw(&kv, b->kv.p, b->kv.n);
        gb_kv_u32(&kv, "split.no", i);
        gb_kv_u32(&kv, "split.count", n_part);
        gb_kv_i32(&kv, "split.tensors.count", (int32_t)b->n_tensor);
        snprintf(path, 400, "%s/%s-%05u-of-%05u.gguf", dir, name, i + 1, n_part);
        write_part(b, b->n_tensor * i / n_part, b->n_tensor * (i + 1) / n_part, &kv,
                   (i == 0 ? b->n_kv : 0) + 3, path);
        glim_buf_deinit(&kv);
    }
}

void toy_write(const toy_spec *s, const char *dir, const char *name, char path[400])
{
    builder b = {.s = s};
    b.tensors = glim_alloc_array(TENSOR_MAX, sizeof *b.tensors);
    glim_buf_init(&b.kv, (size_t)1 << 20);
    if (s->n_edit > GLIM_COUNT(b.used)) fail_msg("tinymodel: too many edits");
    put_model(&b);
    put_tokenizer(&b);
    add_tensors(&b);
    for (size_t i = 0; i < s->n_edit; i++) {
        if (b.used[i] || find_edit(&b, s->edits[i].name) != &s->edits[i]) continue;
        if (s->edits[i].op < TOY_U32 || s->edits[i].op > TOY_STR)
            fail_msg("tinymodel: nothing is called %s", s->edits[i].name);
        write_edit(&b, &s->edits[i]);
    }
    if (s->n_part) {
        write_split(&b, dir, name, path);
    } else {
        snprintf(path, 400, "%s/%s.gguf", dir, name);
        write_part(&b, 0, b.n_tensor, &b.kv, b.n_kv, path);
    }
    for (size_t i = 0; i < b.n_tensor; i++)
        glim_free(b.tensors[i].data);
    glim_free(b.tensors);
    glim_buf_deinit(&b.kv);
}
