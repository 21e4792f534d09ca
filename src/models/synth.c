/* SPDX-License-Identifier: MIT
 * synth.c - models with real shapes and random weights: which tensors there are, of what type and
 * spread, and the keys that describe them. For measurements of speed and memory, and for comparing
 * programs with each other.
 * Owns:   the shapes (one table for each model), the mixes of types, the spreads.
 * Not here: the bits of blocks (quant/fill.c), the vocabulary (engine/synth.c), the file (formats).
 * Layout: every row of a tensor has its own generator, seeded by seed, name and row: any part can be
 * made alone, in any order, by any number of threads.
 * Why these spreads: a matrix keeps the size of what it is given (1 / sqrt of its inputs), what a layer
 * adds is scaled by 1 / sqrt of the number of layers, so that the stream ends about twice as large as it
 * began; scores of attention spread by about 1.5, logits by about 3.
 * The router: a random matrix would choose by hair's breadths, and two programs would disagree by
 * rounding alone. So each token's embedding is raised in as many runs of 32 elements as experts are
 * used, at random, and each expert of a layer listens to one run, at random too: the raised ones win by
 * far, and all experts are used alike.
 * Thread: rows any; the rest one at a time.   See: tests/unit/models/test_synth.c */
#include "models/models.h"

#include <math.h>
#include <stdio.h>

typedef enum role {
    ROLE_EMBED,
    ROLE_HEAD,
    ROLE_NORM,
    ROLE_ROUTER,
    ROLE_BIAS,
    ROLE_MAT,
    ROLE_OUT,   /* writes to the stream */
    ROLE_DOWN,  /* so do these, and mixes give them more bits */
    ROLE_LATENT /* what makes the cached latent and what unfolds it */
} role;

typedef enum place { PLACE_ALL, PLACE_DENSE, PLACE_MOE, PLACE_ONCE } place;

/* ---- shapes ---------------------------------------------------------------------------------- */

typedef enum dim {
    DIM_NONE,
    DIM_EMBD,
    DIM_FF,
    DIM_FF_EXPERT,
    DIM_EXPERT,
    DIM_HEAD,
    DIM_NOPE,
    DIM_ROT,
    DIM_V,
    DIM_Q_RANK,
    DIM_KV_RANK,
    DIM_VOCAB,
    DIM_COUNT,
    DIM_Q = DIM_COUNT, /* products and sums of the above: all heads' queries, ... */
    DIM_KV,
    DIM_ATTN
} dim;

typedef struct shape {
    const char *name, *label; /* label: general.size_label of the whole model */
    int64_t n_layer, n_dense, n_used, n_ctx, first_special;
    double rope_base;
    int64_t dim[DIM_COUNT];
} shape;

static const shape shapes[] = {
    {"glm-4.7-flash",
     "64x2.6B",
     47,
     1,
     4,
     202752,
     154820,
     1e6,
     {[DIM_EMBD] = 2048,
      [DIM_FF] = 10240,
      [DIM_FF_EXPERT] = 1536,
      [DIM_EXPERT] = 64,
      [DIM_HEAD] = 20,
      [DIM_NOPE] = 192,
      [DIM_ROT] = 64,
      [DIM_V] = 256,
      [DIM_Q_RANK] = 768,
      [DIM_KV_RANK] = 512,
      [DIM_VOCAB] = 154880}},
    /* The bundled model's: small enough to try things with. */
    {"glim-demo",
     "8x2.0M",
     6,
     1,
     2,
     4096,
     5084,
     1e4,
     {[DIM_EMBD] = 256,
      [DIM_FF] = 768,
      [DIM_FF_EXPERT] = 256,
      [DIM_EXPERT] = 8,
      [DIM_HEAD] = 4,
      [DIM_NOPE] = 32,
      [DIM_ROT] = 32,
      [DIM_V] = 64,
      [DIM_Q_RANK] = 256,
      [DIM_KV_RANK] = 128,
      [DIM_VOCAB] = 5120}},
};

static int64_t size_of(const shape *s, dim d)
{
    switch (d) {
    case DIM_NONE:
        return 1;
    case DIM_Q:
        return s->dim[DIM_HEAD] * (s->dim[DIM_NOPE] + s->dim[DIM_ROT]);
    case DIM_KV:
        return s->dim[DIM_KV_RANK] + s->dim[DIM_ROT];
    case DIM_ATTN:
        return s->dim[DIM_HEAD] * s->dim[DIM_V];
    default:
        return s->dim[d];
    }
}

typedef struct weight_row {
    const char *name; /* behind "blk.<n>." unless there is only one */
    place where;
    role role;
    dim ne[3];
    float gain; /* of the spread */
} weight_row;

static const weight_row weights[] = {
    {"token_embd.weight", PLACE_ONCE, ROLE_EMBED, {DIM_EMBD, DIM_VOCAB}, 1},
    {"attn_norm.weight", PLACE_ALL, ROLE_NORM, {DIM_EMBD}, 0.1f},
    {"attn_q_a.weight", PLACE_ALL, ROLE_MAT, {DIM_EMBD, DIM_Q_RANK}, 1},
    {"attn_q_a_norm.weight", PLACE_ALL, ROLE_NORM, {DIM_Q_RANK}, 0.1f},
    {"attn_q_b.weight", PLACE_ALL, ROLE_MAT, {DIM_Q_RANK, DIM_Q}, 1},
    {"attn_kv_a_mqa.weight", PLACE_ALL, ROLE_LATENT, {DIM_EMBD, DIM_KV}, 1},
    {"attn_kv_a_norm.weight", PLACE_ALL, ROLE_NORM, {DIM_KV_RANK}, 0.1f},
    {"attn_k_b.weight", PLACE_ALL, ROLE_LATENT, {DIM_NOPE, DIM_KV_RANK, DIM_HEAD}, 1},
    {"attn_v_b.weight", PLACE_ALL, ROLE_LATENT, {DIM_KV_RANK, DIM_V, DIM_HEAD}, 1},
    {"attn_output.weight", PLACE_ALL, ROLE_OUT, {DIM_ATTN, DIM_EMBD}, 1.5f},
    {"ffn_norm.weight", PLACE_ALL, ROLE_NORM, {DIM_EMBD}, 0.1f},
    {"ffn_gate.weight", PLACE_DENSE, ROLE_MAT, {DIM_EMBD, DIM_FF}, 1},
    {"ffn_up.weight", PLACE_DENSE, ROLE_MAT, {DIM_EMBD, DIM_FF}, 1},
    {"ffn_down.weight", PLACE_DENSE, ROLE_DOWN, {DIM_FF, DIM_EMBD}, 1.5f},
    {"ffn_gate_inp.weight", PLACE_MOE, ROLE_ROUTER, {DIM_EMBD, DIM_EXPERT}, 1},
    {"exp_probs_b.bias", PLACE_MOE, ROLE_BIAS, {DIM_EXPERT}, 0.015f},
    {"ffn_gate_exps.weight", PLACE_MOE, ROLE_MAT, {DIM_EMBD, DIM_FF_EXPERT, DIM_EXPERT}, 1},
    {"ffn_up_exps.weight", PLACE_MOE, ROLE_MAT, {DIM_EMBD, DIM_FF_EXPERT, DIM_EXPERT}, 1},
    {"ffn_down_exps.weight", PLACE_MOE, ROLE_DOWN, {DIM_FF_EXPERT, DIM_EMBD, DIM_EXPERT}, 1.5f},
    {"ffn_gate_shexp.weight", PLACE_MOE, ROLE_MAT, {DIM_EMBD, DIM_FF_EXPERT}, 1},
    {"ffn_up_shexp.weight", PLACE_MOE, ROLE_MAT, {DIM_EMBD, DIM_FF_EXPERT}, 1},
    {"ffn_down_shexp.weight", PLACE_MOE, ROLE_DOWN, {DIM_FF_EXPERT, DIM_EMBD}, 1.5f},
    {"output_norm.weight", PLACE_ONCE, ROLE_NORM, {DIM_EMBD}, 0.1f},
    {"output.weight", PLACE_ONCE, ROLE_HEAD, {DIM_EMBD, DIM_VOCAB}, 3},
};

static void put_shape(const shape *s, glim_gguf_writer *w)
{
    const struct {
        const char *key;
        int64_t v;
    } keys[] = {
        {"context_length", s->n_ctx},
        {"embedding_length", s->dim[DIM_EMBD]},
        {"feed_forward_length", s->dim[DIM_FF]},
        {"attention.head_count", s->dim[DIM_HEAD]},
        {"attention.head_count_kv", 1}, /* all heads share the latent */
        {"attention.q_lora_rank", s->dim[DIM_Q_RANK]},
        {"attention.kv_lora_rank", s->dim[DIM_KV_RANK]},
        {"attention.key_length", size_of(s, DIM_KV)}, /* of a cached row */
        {"attention.value_length", s->dim[DIM_KV_RANK]},
        {"attention.key_length_mla", s->dim[DIM_NOPE] + s->dim[DIM_ROT]},
        {"attention.value_length_mla", s->dim[DIM_V]},
        {"rope.dimension_count", s->dim[DIM_ROT]},
        {"leading_dense_block_count", s->n_dense},
        {"expert_count", s->dim[DIM_EXPERT]},
        {"expert_used_count", s->n_used},
        {"expert_shared_count", 1},
        {"expert_group_count", 1},
        {"expert_group_used_count", 1},
        {"expert_feed_forward_length", s->dim[DIM_FF_EXPERT]},
        {"expert_gating_func", GLIM_GATING_SIGMOID},
        {"vocab_size", s->dim[DIM_VOCAB]},
    };
    char key[64];
    for (size_t i = 0; i < GLIM_COUNT(keys); i++) {
        snprintf(key, sizeof key, "deepseek2.%s", keys[i].key);
        glim_gguf_put_u32(w, key, (uint32_t)keys[i].v);
    }
    glim_gguf_put_f32(w, "deepseek2.attention.layer_norm_rms_epsilon", 1e-5f);
    glim_gguf_put_f32(w, "deepseek2.rope.freq_base", (float)s->rope_base);
    glim_gguf_put_f32(w, "deepseek2.expert_weights_scale", 1.8f);
    glim_gguf_put_bool(w, "deepseek2.expert_weights_norm", true);
}

/* ---- types ----------------------------------------------------------------------------------- */

typedef struct mix_row {
    const char *type, *mix;
    uint32_t file_type; /* general.file_type */
    glim_type base, head, down, latent;
} mix_row;

/* The first row of a type is what stands for it when no mix is named. */
static const mix_row mixes[] = {
    {"f32", "llama", 0, GLIM_F32, GLIM_F32, GLIM_F32, GLIM_F32},
    {"bf16", "llama", 32, GLIM_BF16, GLIM_BF16, GLIM_BF16, GLIM_BF16},
    {"q8_0", "llama", 7, GLIM_Q8_0, GLIM_Q8_0, GLIM_Q8_0, GLIM_Q8_0},
    {"q4_k_m", "llama", 15, GLIM_Q4_K, GLIM_Q6_K, GLIM_Q6_K, GLIM_Q4_K},
    {"q4_k_m", "unsloth", 15, GLIM_Q4_K, GLIM_Q6_K, GLIM_Q6_K, GLIM_Q8_0},
};

/* Layers whose down projections get more bits: the first and last eighth, and every third between. */
static bool more_bits(int64_t i, int64_t n)
{
    return i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2;
}

static glim_type wanted(const mix_row *m, role r, int64_t i_layer, int64_t n_layer)
{
    switch (r) {
    case ROLE_NORM:
    case ROLE_ROUTER:
    case ROLE_BIAS:
        return GLIM_F32;
    case ROLE_HEAD:
        return m->head;
    case ROLE_DOWN:
        return more_bits(i_layer, n_layer) ? m->down : m->base;
    case ROLE_LATENT:
        return m->latent;
    default:
        return m->base;
    }
}

/* Rows that are no multiple of 256 get the type of 32 next above, as in llama.cpp's files. */
static glim_type fitting(glim_type t, int64_t n_col)
{
    if (n_col % glim_type_get(t)->n_block == 0) return t;
    return t == GLIM_Q4_K ? GLIM_Q5_0 : GLIM_Q8_0;
}

/* ---- the plan -------------------------------------------------------------------------------- */

struct glim_synth {
    const shape *shape;
    const mix_row *mix;
    int64_t n_layer;
    uint64_t seed;
    glim_synth_tensor *tensors;
    size_t n_tensor;
};

static uint64_t scramble(uint64_t z)
{
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static uint64_t seed_of(uint64_t seed, const char *name)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * UINT64_C(0x100000001b3);
    return scramble(h ^ scramble(seed + 1));
}

static void add_tensor(glim_synth *s, const weight_row *r, int64_t i_layer)
{
    glim_synth_tensor *t = &s->tensors[s->n_tensor++];
    *t = (glim_synth_tensor){.role = r->role, .ne = {1, 1, 1, 1}};
    if (r->where == PLACE_ONCE)
        snprintf(t->name, sizeof t->name, "%s", r->name);
    else
        snprintf(t->name, sizeof t->name, "blk.%lld.%s", (long long)i_layer, r->name);
    for (int i = 0; i < 3 && r->ne[i] != DIM_NONE; i++, t->n_dim++)
        t->ne[i] = size_of(s->shape, r->ne[i]);
    t->type = fitting(wanted(s->mix, r->role, i_layer, s->n_layer), t->ne[0]);
    double gain = (double)r->gain;
    if (r->role == ROLE_OUT || r->role == ROLE_DOWN) gain /= sqrt((double)s->n_layer);
    if (t->n_dim > 1 && r->role != ROLE_EMBED) gain /= sqrt((double)t->ne[0]);
    t->std = (float)gain;
    t->seed = seed_of(s->seed, t->name);
}

/* The weights of one layer; or of PLACE_ONCE, those before or behind the layers. */
static void add_place(glim_synth *s, place where, bool behind, int64_t i_layer)
{
    bool seen_layer = false;
    for (size_t i = 0; i < GLIM_COUNT(weights); i++) {
        const weight_row *r = &weights[i];
        seen_layer |= r->where != PLACE_ONCE;
        if (where == PLACE_ONCE ? r->where == where && seen_layer == behind
                                : r->where == where || r->where == PLACE_ALL)
            add_tensor(s, r, i_layer);
    }
}

static glim_err choose(glim_synth *s, const glim_synth_spec *spec, glim_error *e)
{
    for (size_t i = 0; i < GLIM_COUNT(shapes) && !s->shape; i++)
        if (glim_str_ieq(glim_str_of(shapes[i].name), glim_str_of(spec->arch)))
            s->shape = &shapes[i];
    if (!s->shape)
        return glim_fail(e, GLIM_E_UNSUPPORTED, "no shapes of %s are known; of %s and %s they are",
                         GLIM_QUOTE(glim_str_of(spec->arch)), shapes[0].name, shapes[1].name);
    bool type = false;
    for (size_t i = 0; i < GLIM_COUNT(mixes) && !s->mix; i++) {
        if (!glim_str_ieq(glim_str_of(mixes[i].type), glim_str_of(spec->type))) continue;
        type = true;
        if (!spec->mix || glim_str_ieq(glim_str_of(mixes[i].mix), glim_str_of(spec->mix)))
            s->mix = &mixes[i];
    }
    if (!type)
        return glim_fail(e, GLIM_E_UNSUPPORTED,
                         "type %s is not made; q4_k_m, q8_0, bf16 and f32 are",
                         GLIM_QUOTE(glim_str_of(spec->type)));
    if (!s->mix)
        return glim_fail(e, GLIM_E_INPUT, "%s has no mix %s", spec->type,
                         GLIM_QUOTE(glim_str_of(spec->mix)));
    s->n_layer = spec->n_layer ? spec->n_layer : s->shape->n_layer;
    if (s->n_layer < 1 || s->n_layer > GLIM_SYNTH_LAYERS_MAX)
        return glim_fail(e, GLIM_E_INPUT, "%lld layers: 1 to %d are possible",
                         (long long)s->n_layer, GLIM_SYNTH_LAYERS_MAX);
    s->seed = spec->seed;
    return GLIM_OK;
}

glim_err glim_synth_new(const glim_synth_spec *spec, glim_synth **out, glim_error *e)
{
    glim_synth *s = glim_new0(glim_synth);
    if (!s) return glim_fail(e, GLIM_E_NOMEM, "no memory for the plan of a model");
    glim_err rc = choose(s, spec, e);
    if (!rc) {
        s->tensors =
            glim_alloc_array(GLIM_COUNT(weights) * (size_t)(s->n_layer + 1), sizeof *s->tensors);
        if (!s->tensors) rc = glim_fail(e, GLIM_E_NOMEM, "no memory for the plan of a model");
    }
    if (rc) {
        glim_synth_free(s);
        return rc;
    }
    add_place(s, PLACE_ONCE, false, 0);
    for (int64_t i = 0; i < s->n_layer; i++)
        add_place(s, i < s->shape->n_dense ? PLACE_DENSE : PLACE_MOE, false, i);
    add_place(s, PLACE_ONCE, true, 0);
    *out = s;
    return GLIM_OK;
}

void glim_synth_free(glim_synth *s)
{
    if (!s) return;
    glim_free(s->tensors);
    glim_free(s);
}

size_t glim_synth_n_tensor(const glim_synth *s)
{
    return s->n_tensor;
}

const glim_synth_tensor *glim_synth_tensor_at(const glim_synth *s, size_t i)
{
    return &s->tensors[i];
}

void glim_synth_vocab(const glim_synth *s, size_t *n_vocab, size_t *first_special)
{
    *n_vocab = (size_t)s->shape->dim[DIM_VOCAB];
    *first_special = (size_t)s->shape->first_special;
}

void glim_synth_put_keys(const glim_synth *s, glim_gguf_writer *w)
{
    char name[128];
    int n = snprintf(name, sizeof name, "glim synth %s %s, %lld layers, seed %llu", s->shape->name,
                     s->mix->type, (long long)s->n_layer, (unsigned long long)s->seed);
    glim_gguf_put_str(w, "general.architecture", GLIM_STR("deepseek2"));
    glim_gguf_put_str(w, "general.type", GLIM_STR("model"));
    glim_gguf_put_str(w, "general.name", (glim_str){name, (size_t)GLIM_MAX(n, 0)});
    if (s->n_layer == s->shape->n_layer)
        glim_gguf_put_str(w, "general.size_label", glim_str_of(s->shape->label));
    glim_gguf_put_u32(w, "general.quantization_version", 2);
    glim_gguf_put_u32(w, "general.file_type", s->mix->file_type);
    glim_gguf_put_u32(w, "deepseek2.block_count", (uint32_t)s->n_layer);
    put_shape(s->shape, w);
}

/* ---- weights --------------------------------------------------------------------------------- */

/* As many different numbers below n as fit out, in random order. */
static void draw(glim_rng *r, int n, uint8_t *all, int n_out)
{
    for (int i = 0; i < n; i++)
        all[i] = (uint8_t)i;
    for (int i = 0; i < n_out; i++) {
        int j = i + (int)(glim_rng_u64(r) % (uint64_t)(n - i));
        uint8_t t = all[i];
        all[i] = all[j];
        all[j] = t;
    }
}

#define RUN 32       /* elements of a run, as quant/fill.c has it */
#define RUNS_MAX 256 /* of an embedding */

static void embed_row(const glim_synth *s, const glim_synth_tensor *t, glim_rng *r, uint8_t *dst)
{
    uint8_t order[RUNS_MAX], lift[RUNS_MAX] = {0};
    const int n_run = (int)GLIM_MIN(t->ne[0] / RUN, (int64_t)RUNS_MAX);
    draw(r, n_run, order, (int)s->shape->n_used);
    for (int64_t i = 0; i < s->shape->n_used; i++)
        lift[order[i]] = 1;
    (void)glim_type_fill(t->type, t->std, lift, r, dst, t->ne[0]);
}

/* An expert's row: the mean of its run times a gain of its own, which gives a logit of 2 to 3 where the
 * run is raised, and a little of everything else, so that scores depend on the context too. */
static void router_row(const glim_synth_tensor *t, int64_t row, glim_rng *r, float *dst)
{
    uint8_t order[RUNS_MAX];
    glim_rng layer;
    const int n_run = (int)GLIM_MIN(t->ne[0] / RUN, (int64_t)RUNS_MAX);
    glim_rng_seed(&layer, t->seed); /* the same order for all rows */
    draw(&layer, n_run, order, n_run);
    const float gain = (1.2f + 0.4f * glim_rng_f32(r)) / RUN;
    (void)glim_type_fill(GLIM_F32, 0.1f * t->std, NULL, r, dst, t->ne[0]);
    float *run = dst + (size_t)RUN * order[row % n_run];
    for (int i = 0; i < RUN; i++)
        run[i] += gain;
}

void glim_synth_rows(const glim_synth *s, const glim_synth_tensor *t, int64_t row0, int64_t n_row,
                     uint8_t *dst)
{
    size_t row_bytes = 0;
    (void)glim_type_bytes(t->type, t->ne[0], &row_bytes); /* the tables' shapes are possible */
    for (int64_t row = row0; row < row0 + n_row; row++, dst += row_bytes) {
        glim_rng r;
        glim_rng_seed(&r, scramble(t->seed + (uint64_t)row * UINT64_C(0xd1342543de82ef95)));
        float *f32 = (float *)(void *)dst; /* where the type is F32: dst is aligned for it */
        switch ((role)t->role) {
        case ROLE_EMBED:
            embed_row(s, t, &r, dst);
            break;
        case ROLE_ROUTER:
            router_row(t, row, &r, f32);
            break;
        case ROLE_NORM:
            (void)glim_type_fill(GLIM_F32, t->std, NULL, &r, f32, t->ne[0]);
            for (int64_t i = 0; i < t->ne[0]; i++)
                f32[i] += 1;
            break;
        default:
            (void)glim_type_fill(t->type, t->std, NULL, &r, dst, t->ne[0]);
        }
    }
}
