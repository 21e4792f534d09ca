/* SPDX-License-Identifier: MIT
 * glm4_moe_lite.c - GLM-4.7-Flash and its relatives: latent attention (MLA) and a mixture of
 * experts. Also reads DeepSeek-V2 and V3: softmax or sigmoid router, groups of experts, no q_lora,
 * YaRN. Owns:   hyperparameters, the table of weight names, the forward pass.   Not here:
 * arithmetic (ops), cache pages (engine). Layout: the residual stream x [n_tok][n_embd] f32 is kept
 * for the whole batch; everything else is step scratch. Thread: load any; forward the engine. See:
 * models/load_priv.h for the tables; Source: the GLM-4.7-Flash and DeepSeek-V3 model descriptions,
 * read 2026-11. */
#include "models/load_priv.h"
#include "models/rope_priv.h"

#include <math.h>
#include <stdio.h>

extern const glim_arch
    glim_arch_glm4_moe_lite; /* as registry.c declares it; load() points a core to it */

/* ---- hyperparameters ------------------------------------------------------------------------- */

typedef struct hparams {
    int64_t n_block, n_nextn, n_ctx, n_embd, n_ff, n_head, n_head_kv, n_rot, q_rank, kv_rank;
    int64_t key_len, value_len, key_len_mla, value_len_mla; /* GGUF */
    int64_t n_nope, n_v; /* folders give them directly, GGUF by subtraction */
    int64_t n_dense, n_expert, n_used, n_shared, n_group, n_group_used, n_ff_expert, gating,
        n_vocab, moe_freq;
    double rms_eps, rope_base, expert_scale;
    bool norm_weights, tied, attention_bias, rope_interleave;
    /* YaRN; factor 0: none */
    double yarn_factor, yarn_n_orig, yarn_beta_fast, yarn_beta_slow, yarn_log_mul, mscale,
        mscale_all;
} hparams;

#define INT(gguf, hf, field, min, max, req)                                                        \
    {                                                                                              \
        gguf, hf, GLIM_HP_INT, offsetof(hparams, field), min, max, req                             \
    }
#define FLT(gguf, hf, field, min, max, req)                                                        \
    {                                                                                              \
        gguf, hf, GLIM_HP_FLOAT, offsetof(hparams, field), min, max, req                           \
    }
#define BOOL(gguf, hf, field)                                                                      \
    {                                                                                              \
        gguf, hf, GLIM_HP_BOOL, offsetof(hparams, field), 0, 0, false                              \
    }
/* Upper ends are far above any model there is and low enough that products of two stay within 63
 * bits. */
#define DIM_MAX (1 << 24)

static const glim_hp_row hp_rows[] = {
    INT("block_count", "num_hidden_layers", n_block, 1, 1024, true),
    INT("nextn_predict_layers", NULL, n_nextn, 0, 16, false),
    INT("context_length", "max_position_embeddings", n_ctx, 1, 1 << 28, true),
    INT("embedding_length", "hidden_size", n_embd, 1, DIM_MAX, true),
    INT("feed_forward_length", "intermediate_size", n_ff, 1, DIM_MAX, true),
    INT("attention.head_count", "num_attention_heads", n_head, 1, 4096, true),
    INT("attention.head_count_kv", NULL, n_head_kv, 1, 4096, false),
    INT("rope.dimension_count", "qk_rope_head_dim", n_rot, 2, 4096, true),
    INT("attention.q_lora_rank", "q_lora_rank", q_rank, 0, DIM_MAX, false),
    INT("attention.kv_lora_rank", "kv_lora_rank", kv_rank, 1, 65536, true),
    INT("attention.key_length", NULL, key_len, 1, 65536, true),
    INT("attention.value_length", NULL, value_len, 1, 65536, true),
    INT("attention.key_length_mla", NULL, key_len_mla, 1, 65536, false),
    INT("attention.value_length_mla", NULL, value_len_mla, 1, 65536, false),
    INT(NULL, "qk_nope_head_dim", n_nope, 1, 65536, true),
    INT(NULL, "v_head_dim", n_v, 1, 65536, true),
    INT("leading_dense_block_count", "first_k_dense_replace", n_dense, 0, 1024, false),
    INT("expert_count", "n_routed_experts", n_expert, 0, 4096, false),
    INT("expert_used_count", "num_experts_per_tok", n_used, 0, 4096, false),
    INT("expert_shared_count", "n_shared_experts", n_shared, 0, 256, false),
    INT("expert_group_count", "n_group", n_group, 0, 4096, false),
    INT("expert_group_used_count", "topk_group", n_group_used, 0, 4096, false),
    INT("expert_feed_forward_length", "moe_intermediate_size", n_ff_expert, 1, DIM_MAX, false),
    INT("expert_gating_func", NULL, gating, 0, 16, false),
    INT("vocab_size", "vocab_size", n_vocab, 1, DIM_MAX, false),
    INT(NULL, "moe_layer_freq", moe_freq, 0, 1024, false),
    FLT("attention.layer_norm_rms_epsilon", "rms_norm_eps", rms_eps, 1e-12, 1e-2, true),
    FLT("rope.freq_base", "rope_theta|rope_parameters.rope_theta", rope_base, 1, 1e12, true),
    FLT("expert_weights_scale", "routed_scaling_factor", expert_scale, 0, 1e4, false),
    BOOL("expert_weights_norm", "norm_topk_prob", norm_weights),
    BOOL(NULL, "tie_word_embeddings", tied),
    BOOL(NULL, "attention_bias", attention_bias),
    BOOL(NULL, "rope_interleave", rope_interleave),
    FLT("rope.scaling.factor", "rope_scaling.factor|rope_parameters.factor", yarn_factor, 0, 1e6,
        false),
    FLT("rope.scaling.original_context_length",
        "rope_scaling.original_max_position_embeddings|rope_parameters.original_max_position_"
        "embeddings",
        yarn_n_orig, 1, 1e9, false),
    FLT("rope.scaling.yarn_beta_fast", "rope_scaling.beta_fast|rope_parameters.beta_fast",
        yarn_beta_fast, 1e-3, 1e6, false),
    FLT("rope.scaling.yarn_beta_slow", "rope_scaling.beta_slow|rope_parameters.beta_slow",
        yarn_beta_slow, 1e-3, 1e6, false),
    FLT("rope.scaling.yarn_log_multiplier", NULL, yarn_log_mul, 0, 10, false),
    FLT(NULL, "rope_scaling.mscale|rope_parameters.mscale", mscale, 0, 100, false),
    FLT(NULL, "rope_scaling.mscale_all_dim|rope_parameters.mscale_all_dim", mscale_all, 0, 100,
        false),
};

typedef struct layer {
    const float *attn_norm, *ffn_norm, *q_a_norm, *kv_a_norm;
    glim_mat q, q_a, q_b, kv_a, attn_out; /* q: where there is no low rank */
    glim_mla mla;
    glim_mat ffn_gate, ffn_up,
        ffn_down; /* dense layers: the FFN; others: the shared expert, n_row 0 when there is none */
    bool moe;
    glim_router router;
    glim_experts experts;
} layer;

typedef struct model {
    glim_core core;
    hparams hp;
    float rank_eps;   /* of the two low-rank norms */
    double *inv_freq; /* [n_rot / 2] */
    double rope_magnitude;
    float attn_scale;
    glim_mat embed, head;
    const float *out_norm;
    layer *layers;
} model;

/* Values in config.json that change the arithmetic in ways this file does not do. */
static glim_err check_config(const glim_modelfile *f, hparams *hp, glim_error *e)
{
    const glim_json *cfg = glim_modelfile_config(f), *v;
    const char *path = glim_modelfile_path(f);
    const glim_json *rope = glim_json_get(cfg, "rope_parameters");
    if (!glim_json_is(rope, GLIM_JSON_OBJECT)) rope = glim_json_get(cfg, "rope_scaling");
    v = glim_json_get(rope, "rope_type");
    if (!v) v = glim_json_get(rope, "type");
    if (glim_json_is(v, GLIM_JSON_STRING) && !glim_str_is(v->text, "default") &&
        !glim_str_is(v->text, "yarn"))
        return glim_fail(e, GLIM_E_UNSUPPORTED,
                         "%s/config.json: rope type %s is not supported; default and yarn are",
                         path, GLIM_QUOTE(v->text));
    if (!glim_json_is(v, GLIM_JSON_STRING) || !glim_str_is(v->text, "yarn"))
        hp->yarn_factor = 0;
    else if (hp->yarn_factor <= 0)
        return glim_fail(e, GLIM_E_FORMAT, "%s/config.json: rope factor is missing or 0 for yarn",
                         path);
    v = glim_json_get(cfg, "hidden_act");
    if (glim_json_is(v, GLIM_JSON_STRING) && !glim_str_is(v->text, "silu"))
        return glim_fail(e, GLIM_E_UNSUPPORTED,
                         "%s/config.json: hidden_act %s is not supported; silu is", path,
                         GLIM_QUOTE(v->text));
    v = glim_json_get(cfg, "quantization_config");
    if (glim_json_is(v, GLIM_JSON_OBJECT))
        return glim_fail(e, GLIM_E_UNSUPPORTED,
                         "%s/config.json: quantization_config: quantised checkpoints are not "
                         "supported; use the bf16 "
                         "checkpoint or a GGUF",
                         path);
    if (hp->attention_bias)
        return glim_fail(e, GLIM_E_UNSUPPORTED,
                         "%s/config.json: attention_bias true is not supported", path);
    if (!hp->rope_interleave)
        return glim_fail(e, GLIM_E_UNSUPPORTED,
                         "%s/config.json: rope_interleave false is not supported", path);
    if (hp->moe_freq != 1)
        return glim_fail(e, GLIM_E_UNSUPPORTED,
                         "%s/config.json: moe_layer_freq %lld is not supported; 1 is", path,
                         (long long)hp->moe_freq);
    return GLIM_OK;
}

static glim_err bad_value(const glim_modelfile *f, glim_error *e, const char *what, int64_t a,
                          int64_t b)
{
    return glim_fail(e, GLIM_E_FORMAT, "%s: contradictory values: %s (%lld and %lld)",
                     glim_modelfile_path(f), what, (long long)a, (long long)b);
}

/* The router's kind is fixed by the architecture; a file that says otherwise would answer nonsense,
 * so it is refused. */
static glim_err choose_gating(const glim_modelfile *f, hparams *hp, glim_error *e)
{
    const char *path = glim_modelfile_path(f);
    if (glim_modelfile_container(f) == GLIM_CONTAINER_GGUF) {
        /* Files of January 2026 lack the key; a selection bias exists only beside a sigmoid. */
        char name[48];
        snprintf(name, sizeof name, "blk.%lld.exp_probs_b.bias", (long long)hp->n_dense);
        bool bias = glim_modelfile_find(f, glim_str_of(name)) != NULL;
        bool flash = (hp->n_block == 47 || hp->n_block == 48) && hp->n_vocab == 154880;
        if (hp->gating == 0) hp->gating = bias || flash ? GLIM_GATING_SIGMOID : GLIM_GATING_SOFTMAX;
        if (hp->gating != GLIM_GATING_SIGMOID && hp->gating != GLIM_GATING_SOFTMAX)
            return glim_fail(
                e, GLIM_E_UNSUPPORTED,
                "%s: expert_gating_func %lld is not supported; 1 (softmax) and 2 (sigmoid) are",
                path, (long long)hp->gating);
        if (bias && hp->gating == GLIM_GATING_SOFTMAX)
            return glim_fail(e, GLIM_E_FORMAT,
                             "%s: expert_gating_func says softmax but the file has selection "
                             "biases, which only a sigmoid "
                             "router has: a faulty conversion; fetch a newer file",
                             path);
        return GLIM_OK;
    }
    const glim_json *cfg = glim_modelfile_config(f), *type = glim_json_get(cfg, "model_type"),
                    *func = glim_json_get(cfg, "scoring_func");
    bool v2 = glim_json_is(type, GLIM_JSON_STRING) && glim_str_is(type->text, "deepseek_v2");
    const char *want = v2 ? "softmax" : "sigmoid";
    hp->gating = v2 ? GLIM_GATING_SOFTMAX : GLIM_GATING_SIGMOID;
    if (!v2 && !glim_json_get(cfg, "norm_topk_prob"))
        hp->norm_weights = true; /* the architectures' own defaults */
    if (!v2 && hp->n_expert && !glim_json_get(cfg, "routed_scaling_factor"))
        return glim_fail(e, GLIM_E_FORMAT, "%s/config.json: routed_scaling_factor is missing",
                         path);
    if (glim_json_is(func, GLIM_JSON_STRING) && !glim_str_is(func->text, want))
        return glim_fail(e, GLIM_E_FORMAT,
                         "%s/config.json: scoring_func is %s where this architecture has %s", path,
                         GLIM_QUOTE(func->text), want);
    return GLIM_OK;
}

/* Layers that newer configurations list one by one: glim reads "dense" ones at the front, then
 * "sparse". */
static glim_err check_layer_types(const glim_modelfile *f, hparams *hp, glim_error *e)
{
    const glim_json *list = glim_json_get(glim_modelfile_config(f), "mlp_layer_types");
    int64_t i = 0, n_dense = 0;
    if (!glim_json_is(list, GLIM_JSON_ARRAY)) return GLIM_OK;
    GLIM_JSON_EACH(v, list)
    {
        bool dense = glim_json_is(v, GLIM_JSON_STRING) && glim_str_is(v->text, "dense");
        if (!dense && !(glim_json_is(v, GLIM_JSON_STRING) && glim_str_is(v->text, "sparse")))
            return glim_fail(e, GLIM_E_UNSUPPORTED,
                             "%s/config.json: mlp_layer_types[%lld] is neither dense nor sparse",
                             glim_modelfile_path(f), (long long)i);
        if (dense && n_dense != i)
            return glim_fail(
                e, GLIM_E_UNSUPPORTED,
                "%s/config.json: mlp_layer_types[%lld]: a dense layer after a sparse one",
                glim_modelfile_path(f), (long long)i);
        n_dense += dense;
        i++;
    }
    if (i != hp->n_block)
        return glim_fail(e, GLIM_E_FORMAT,
                         "%s/config.json: contradictory values: mlp_layer_types has %lld entries, "
                         "num_hidden_layers is %lld",
                         glim_modelfile_path(f), (long long)i, (long long)hp->n_block);
    hp->n_dense = n_dense;
    return GLIM_OK;
}

static glim_err check_values(const glim_modelfile *f, hparams *hp, glim_error *e)
{
    if (hp->n_rot % 2) return bad_value(f, e, "the rotated dimensions are odd", hp->n_rot, 2);
    if (hp->n_nope < 1)
        return bad_value(f, e, "the key is no longer than its rotated part", hp->n_nope + hp->n_rot,
                         hp->n_rot);
    if (hp->n_nextn >= hp->n_block)
        return bad_value(f, e, "no layer is left beside the prediction layers", hp->n_block,
                         hp->n_nextn);
    if (hp->n_dense > hp->n_block) hp->n_dense = hp->n_block;
    if (hp->n_expert == 0) hp->n_dense = hp->n_block;
    if (hp->n_dense == hp->n_block) return GLIM_OK;
    if (hp->n_used < 1 || hp->n_used > hp->n_expert)
        return bad_value(f, e, "experts used and experts", hp->n_used, hp->n_expert);
    if (hp->n_ff_expert < 1)
        return bad_value(f, e, "experts without a width", hp->n_expert, hp->n_ff_expert);
    if (hp->n_group < 1) hp->n_group = 1;
    if (hp->n_group_used < 1 || hp->n_group == 1) hp->n_group_used = hp->n_group;
    if (hp->n_expert % hp->n_group)
        return bad_value(f, e, "experts do not divide into groups", hp->n_expert, hp->n_group);
    if (hp->n_group_used > hp->n_group)
        return bad_value(f, e, "groups used and groups", hp->n_group_used, hp->n_group);
    if (hp->n_group_used * (hp->n_expert / hp->n_group) < hp->n_used)
        return bad_value(f, e, "the groups in play hold fewer experts than are used",
                         hp->n_group_used * (hp->n_expert / hp->n_group), hp->n_used);
    if (hp->expert_scale == 0) hp->expert_scale = 1;
    return GLIM_OK;
}

static glim_err read_hparams(const glim_modelfile *f, hparams *hp, glim_error *e)
{
    *hp = (hparams){.n_head_kv = 1,
                    .n_group = 1,
                    .n_group_used = 1,
                    .expert_scale = 1,
                    .rope_interleave = true,
                    .yarn_beta_fast = 32,
                    .yarn_beta_slow = 1,
                    .moe_freq = 1};
    glim_err rc = glim_hp_read(f, hp_rows, GLIM_COUNT(hp_rows), hp, e);
    if (rc) return rc;
    if (glim_modelfile_container(f) == GLIM_CONTAINER_GGUF) {
        /* Without the _mla keys the file is of the old layout, where key_length is a head's true
         * length. */
        if (!hp->value_len_mla) hp->value_len_mla = hp->value_len;
        if (!hp->key_len_mla)
            hp->key_len_mla = hp->key_len;
        else if (hp->key_len != hp->kv_rank + hp->n_rot)
            return bad_value(f, e, "attention.key_length is not the latent and the rotated part",
                             hp->key_len, hp->kv_rank + hp->n_rot);
        else if (hp->value_len != hp->kv_rank)
            return bad_value(f, e, "attention.value_length is not the latent part", hp->value_len,
                             hp->kv_rank);
        if (hp->n_head_kv != 1 && hp->n_head_kv != hp->n_head)
            return bad_value(f, e, "attention.head_count_kv is neither 1 nor head_count",
                             hp->n_head_kv, hp->n_head);
        hp->n_nope = hp->key_len_mla - hp->n_rot;
        hp->n_v = hp->value_len_mla;
        glim_str scaling;
        bool has = glim_meta_str(glim_hp_meta(f, "rope.scaling.type"), &scaling);
        if (has && !glim_str_is(scaling, "none") && !glim_str_is(scaling, "yarn"))
            return glim_fail(e, GLIM_E_UNSUPPORTED,
                             "%s: rope.scaling.type %s is not supported; none and yarn are",
                             glim_modelfile_path(f), GLIM_QUOTE(scaling));
        if (!has || !glim_str_is(scaling, "yarn"))
            hp->yarn_factor = 0;
        else if (hp->yarn_factor <= 0)
            return glim_fail(e, GLIM_E_FORMAT, "%s: rope.scaling.factor is missing or 0 for yarn",
                             glim_modelfile_path(f));
        hp->mscale = hp->mscale_all = hp->yarn_log_mul * 10;
    } else {
        rc = check_config(f, hp, e);
        if (!rc) rc = check_layer_types(f, hp, e);
        if (rc) return rc;
    }
    rc = choose_gating(f, hp, e);
    return rc ? rc : check_values(f, hp, e);
}

/* ---- rope ------------------------------------------------------------------------------------ */

static void init_rope(model *m)
{
    const hparams *hp = &m->hp;
    glim_yarn y = {hp->yarn_factor,    hp->yarn_n_orig > 0 ? hp->yarn_n_orig : (double)hp->n_ctx,
                   hp->yarn_beta_fast, hp->yarn_beta_slow,
                   hp->mscale,         hp->mscale_all};
    glim_rope_scale scale = glim_rope_freqs(hp->rope_base, hp->n_rot, &y, m->inv_freq);
    m->rope_magnitude = scale.magnitude;
    m->attn_scale = (float)(scale.score / sqrt((double)(hp->n_nope + hp->n_rot)));
}

/* ---- weights --------------------------------------------------------------------------------- */

#define BLK(gguf, hf) ((glim_weight_name){"blk.%d." gguf, "model.layers.%d." hf})
#define BLK_GGUF(gguf) ((glim_weight_name){"blk.%d." gguf, NULL}) /* folders never have it */

static void load_attention(glim_loader *ld, const hparams *hp, int64_t i, float scale, layer *l)
{
    int64_t n_qk = hp->n_nope + hp->n_rot;
    glim_weight_vec(ld, BLK("attn_norm.weight", "input_layernorm.weight"), i, hp->n_embd, true,
                    &l->attn_norm);
    if (hp->q_rank) {
        glim_weight_mat(ld, BLK("attn_q_a.weight", "self_attn.q_a_proj.weight"), i, hp->n_embd,
                        hp->q_rank, true, &l->q_a);
        glim_weight_vec(ld, BLK("attn_q_a_norm.weight", "self_attn.q_a_layernorm.weight"), i,
                        hp->q_rank, true, &l->q_a_norm);
        glim_weight_mat(ld, BLK("attn_q_b.weight", "self_attn.q_b_proj.weight"), i, hp->q_rank,
                        hp->n_head * n_qk, true, &l->q_b);
    } else {
        glim_weight_mat(ld, BLK("attn_q.weight", "self_attn.q_proj.weight"), i, hp->n_embd,
                        hp->n_head * n_qk, true, &l->q);
    }
    glim_weight_mat(ld, BLK("attn_kv_a_mqa.weight", "self_attn.kv_a_proj_with_mqa.weight"), i,
                    hp->n_embd, hp->kv_rank + hp->n_rot, true, &l->kv_a);
    glim_weight_vec(ld, BLK("attn_kv_a_norm.weight", "self_attn.kv_a_layernorm.weight"), i,
                    hp->kv_rank, true, &l->kv_a_norm);
    glim_weight_mat(ld, BLK("attn_output.weight", "self_attn.o_proj.weight"), i,
                    hp->n_head * hp->n_v, hp->n_embd, true, &l->attn_out);

    l->mla = (glim_mla){hp->n_head, hp->n_nope,     hp->n_rot,      hp->n_v,       hp->kv_rank,
                        scale,      {{0}, 0, NULL}, {{0}, 0, NULL}, {{0}, 0, NULL}};
    glim_weight_name kv_b = BLK("attn_kv_b.weight", "self_attn.kv_b_proj.weight"),
                     k_b = BLK_GGUF("attn_k_b.weight");
    if (glim_weight_find(ld, kv_b, i, false) && !glim_weight_find(ld, k_b, i, false)) {
        /* The unsplit layout: a head's rows are n_nope of the key, then n_v of the value. */
        glim_mat m;
        glim_weight_mat(ld, kv_b, i, hp->kv_rank, hp->n_head * (hp->n_nope + hp->n_v), true, &m);
        if (ld->rc) return;
        glim_weight_slices(ld, &m, hp->n_head, hp->n_nope + hp->n_v, 0, hp->n_nope, &l->mla.u_k);
        glim_weight_slices(ld, &m, hp->n_head, hp->n_nope + hp->n_v, hp->n_nope, hp->n_v,
                           &l->mla.v_b);
        if (!ld->rc) glim_weight_transpose(ld, &l->mla.u_k, &l->mla.k_b);
        return;
    }
    if (glim_modelfile_container(ld->f) != GLIM_CONTAINER_GGUF) {
        (void)glim_weight_find(ld, kv_b, i, true); /* says that it is missing */
        return;
    }
    glim_weight_mats(ld, k_b, i, hp->n_nope, hp->kv_rank, hp->n_head, &l->mla.k_b);
    glim_weight_mats(ld, BLK_GGUF("attn_v_b.weight"), i, hp->kv_rank, hp->n_v, hp->n_head,
                     &l->mla.v_b);
}

static void load_experts(glim_loader *ld, const hparams *hp, int64_t i, layer *l)
{
    int64_t n_ff = hp->n_ff_expert, n_shared = hp->n_shared * hp->n_ff_expert;
    l->moe = true;
    l->router = (glim_router){.gating = (glim_gating)hp->gating,
                              .n_used = hp->n_used,
                              .n_group = hp->n_group,
                              .n_group_used = hp->n_group_used,
                              .norm = hp->norm_weights,
                              .scale = (float)hp->expert_scale};
    glim_weight_mat_f32(ld, BLK("ffn_gate_inp.weight", "mlp.gate.weight"), i, hp->n_embd,
                        hp->n_expert, &l->router.w);
    bool bias = hp->gating == GLIM_GATING_SIGMOID;
    glim_weight_vec(ld, BLK("exp_probs_b.bias", "mlp.gate.e_score_correction_bias"), i,
                    hp->n_expert, bias, &l->router.bias);
    glim_weight_name gate_up = BLK_GGUF("ffn_gate_up_exps.weight");
    if (glim_weight_find(ld, gate_up, i, false)) {
        /* Newer converters put an expert's two input matrices into one tensor, gate first. */
        glim_mats both;
        glim_weight_mats(ld, gate_up, i, hp->n_embd, 2 * n_ff, hp->n_expert, &both);
        if (ld->rc) return;
        glim_mat all = both.shape;
        all.data = both.part[0];
        glim_weight_slices(ld, &all, hp->n_expert, 2 * n_ff, 0, n_ff, &l->experts.gate);
        glim_weight_slices(ld, &all, hp->n_expert, 2 * n_ff, n_ff, n_ff, &l->experts.up);
    } else {
        glim_weight_mats(ld, BLK("ffn_gate_exps.weight", "mlp.experts.%e.gate_proj.weight"), i,
                         hp->n_embd, n_ff, hp->n_expert, &l->experts.gate);
        glim_weight_mats(ld, BLK("ffn_up_exps.weight", "mlp.experts.%e.up_proj.weight"), i,
                         hp->n_embd, n_ff, hp->n_expert, &l->experts.up);
    }
    glim_weight_mats(ld, BLK("ffn_down_exps.weight", "mlp.experts.%e.down_proj.weight"), i, n_ff,
                     hp->n_embd, hp->n_expert, &l->experts.down);
    if (n_shared == 0) return;
    glim_weight_mat(ld, BLK("ffn_gate_shexp.weight", "mlp.shared_experts.gate_proj.weight"), i,
                    hp->n_embd, n_shared, true, &l->ffn_gate);
    glim_weight_mat(ld, BLK("ffn_up_shexp.weight", "mlp.shared_experts.up_proj.weight"), i,
                    hp->n_embd, n_shared, true, &l->ffn_up);
    glim_weight_mat(ld, BLK("ffn_down_shexp.weight", "mlp.shared_experts.down_proj.weight"), i,
                    n_shared, hp->n_embd, true, &l->ffn_down);
}

static void load_dense(glim_loader *ld, const hparams *hp, int64_t i, layer *l)
{
    glim_weight_mat(ld, BLK("ffn_gate.weight", "mlp.gate_proj.weight"), i, hp->n_embd, hp->n_ff,
                    true, &l->ffn_gate);
    glim_weight_mat(ld, BLK("ffn_up.weight", "mlp.up_proj.weight"), i, hp->n_embd, hp->n_ff, true,
                    &l->ffn_up);
    glim_weight_mat(ld, BLK("ffn_down.weight", "mlp.down_proj.weight"), i, hp->n_ff, hp->n_embd,
                    true, &l->ffn_down);
}

static void load_weights(glim_loader *ld, model *m)
{
    const hparams *hp = &m->hp;
    int64_t n_vocab = m->core.n_vocab;
    glim_weight_mat(ld, (glim_weight_name){"token_embd.weight", "model.embed_tokens.weight"}, 0,
                    hp->n_embd, n_vocab, true, &m->embed);
    glim_weight_vec(ld, (glim_weight_name){"output_norm.weight", "model.norm.weight"}, 0,
                    hp->n_embd, true, &m->out_norm);
    /* A head that is missing in a GGUF, or tied in a folder, is the embedding. */
    glim_weight_name head = {"output.weight", "lm_head.weight"};
    bool may_lack = hp->tied || glim_modelfile_container(ld->f) == GLIM_CONTAINER_GGUF;
    glim_weight_mat(ld, head, 0, hp->n_embd, n_vocab, !may_lack, &m->head);
    if (!m->head.data) m->head = m->embed;
    for (int64_t i = 0; i < m->core.n_layer && !ld->rc; i++) {
        layer *l = &m->layers[i];
        load_attention(ld, hp, i, m->attn_scale, l);
        glim_weight_vec(ld, BLK("ffn_norm.weight", "post_attention_layernorm.weight"), i,
                        hp->n_embd, true, &l->ffn_norm);
        if (i < hp->n_dense)
            load_dense(ld, hp, i, l);
        else
            load_experts(ld, hp, i, l);
    }
}

static glim_err load(const glim_modelfile *f, const glim_load_opts *opts, glim_core **out,
                     glim_error *e)
{
    hparams hp;
    glim_err rc = read_hparams(f, &hp, e);
    if (rc) return rc;
    bool gguf = glim_modelfile_container(f) == GLIM_CONTAINER_GGUF;
    const glim_tensor *embed = glim_modelfile_find(f, gguf ? GLIM_STR("token_embd.weight")
                                                           : GLIM_STR("model.embed_tokens.weight"));
    if (!hp.n_vocab && embed) hp.n_vocab = embed->ne[1]; /* some converters leave vocab_size out */

    glim_arena *a = glim_arena_new(SIZE_MAX);
    model *m = a ? GLIM_ARENA_NEW0(a, model) : NULL;
    if (!m) {
        glim_arena_free(a);
        return glim_fail(e, GLIM_E_NOMEM, "%s: model", glim_modelfile_path(f));
    }
    int64_t n_layer = hp.n_block - hp.n_nextn;
    m->core = (glim_core){.arch = &glim_arch_glm4_moe_lite,
                          .n_layer = n_layer,
                          .n_embd = hp.n_embd,
                          .n_vocab = hp.n_vocab,
                          .n_ctx = hp.n_ctx,
                          .n_expert = hp.n_dense < n_layer ? hp.n_expert : 0,
                          .n_expert_used = hp.n_dense < n_layer ? hp.n_used : 0,
                          .kv_width = hp.kv_rank + hp.n_rot,
                          .arena = a};
    m->hp = hp;
    m->rank_eps = isnan(opts->rank_norm_eps) ? (float)hp.rms_eps : opts->rank_norm_eps;
    m->inv_freq = GLIM_ARENA_ARRAY(a, double, hp.n_rot / 2);
    m->layers = glim_arena_alloc0(a, (size_t)n_layer * sizeof(layer));
    glim_loader ld = {.f = f, .arena = a, .plan_only = opts->plan_only, .e = e};
    if (!m->inv_freq || !m->layers) {
        ld.rc = glim_fail(e, GLIM_E_NOMEM, "%s: layers", glim_modelfile_path(f));
    } else {
        init_rope(m);
        load_weights(&ld, m);
    }
    if (ld.rc) {
        glim_arena_free(a);
        return ld.rc;
    }
    m->core.derived_bytes = ld.derived_bytes;
    *out = &m->core;
    return GLIM_OK;
}

/* ---- forward --------------------------------------------------------------------------------- */

/* Buffers of one batch, taken from the step arena. */
typedef struct work {
    float *x,
        *h; /* [n_tok][n_embd] residual stream; normalised input of a block, then its output */
    float *q_rank, *q; /* [n_tok][q_rank], [n_tok][n_head][n_qk] */
    float *kv;         /* [n_tok][kv_width] */
    float *attn;       /* [n_tok][n_head][n_v] */
    float *ff;         /* [2][n_tok][widest FFN] */
    float *cs;         /* [n_tok][n_rot] */
    int32_t *ids;      /* [n_tok][n_used] */
    float *weights;
} work;

static int64_t widest_ffn(const hparams *hp)
{
    int64_t shared = hp->n_shared * hp->n_ff_expert;
    return GLIM_MAX(hp->n_dense > 0 ? hp->n_ff : 1, GLIM_MAX(shared, 1));
}

static bool take_work(glim_arena *a, const model *m, int64_t n, work *w)
{
    const hparams *hp = &m->hp;
    int64_t n_used = GLIM_MAX(hp->n_used, 1);
    *w = (work){
        .x = GLIM_ARENA_ARRAY(a, float, n * hp->n_embd),
        .h = GLIM_ARENA_ARRAY(a, float, n * hp->n_embd),
        .q_rank = GLIM_ARENA_ARRAY(a, float, n *GLIM_MAX(hp->q_rank, 1)),
        .q = GLIM_ARENA_ARRAY(a, float, n * hp->n_head * (hp->n_nope + hp->n_rot)),
        .kv = GLIM_ARENA_ARRAY(a, float, n * m->core.kv_width),
        .attn = GLIM_ARENA_ARRAY(a, float, n * hp->n_head * hp->n_v),
        .ff = GLIM_ARENA_ARRAY(a, float, 2 * n * widest_ffn(hp)),
        .cs = GLIM_ARENA_ARRAY(a, float, n * hp->n_rot),
        .ids = GLIM_ARENA_ARRAY(a, int32_t, n * n_used),
        .weights = GLIM_ARENA_ARRAY(a, float, n *n_used),
    };
    return w->x && w->h && w->q_rank && w->q && w->kv && w->attn && w->ff && w->cs && w->ids &&
           w->weights;
}

static size_t scratch_bytes(const glim_core *c, int64_t n, int n_thread)
{
    const model *m = (const model *)c;
    const hparams *hp = &m->hp;
    int64_t n_used = GLIM_MAX(hp->n_used, 1);
    size_t floats =
        (size_t)n *
        (size_t)(2 * hp->n_embd + hp->q_rank + 1 + hp->n_head * (hp->n_nope + hp->n_rot) +
                 c->kv_width + hp->n_head * hp->n_v + 2 * widest_ffn(hp) + hp->n_rot + 2 * n_used);
    int64_t widest =
        GLIM_MAX(GLIM_MAX(hp->n_embd, widest_ffn(hp)), GLIM_MAX(hp->n_head * hp->n_v, hp->q_rank));
    size_t op = glim_op_matmul_scratch(widest, n);
    op = GLIM_MAX(op, glim_op_mla_scratch(&m->layers[0].mla, n, n_thread));
    if (c->n_expert)
        op = GLIM_MAX(
            op, glim_op_moe_scratch(hp->n_embd, hp->n_ff_expert, hp->n_expert, hp->n_used, n));
    return floats * sizeof(float) + op + 16 * GLIM_CACHE_LINE;
}

static glim_err attention(const model *m, const layer *l, glim_ops *o, const glim_batch *b,
                          size_t layer_offset, work *w)
{
    const hparams *hp = &m->hp;
    int64_t n = b->n_tok, n_qk = hp->n_nope + hp->n_rot, width = m->core.kv_width,
            q_stride = hp->n_head * n_qk;
    glim_err rc;
    glim_op_rmsnorm(o, w->x, hp->n_embd, l->attn_norm, n, hp->n_embd, (float)hp->rms_eps, w->h,
                    hp->n_embd);
    if (hp->q_rank) {
        const glim_matmul in[] = {{&l->q_a, w->q_rank, hp->q_rank}, {&l->kv_a, w->kv, width}};
        if ((rc = glim_op_matmul(o, in, 2, w->h, hp->n_embd, n))) return rc;
        glim_op_rmsnorm(o, w->q_rank, hp->q_rank, l->q_a_norm, n, hp->q_rank, m->rank_eps,
                        w->q_rank, hp->q_rank);
        const glim_matmul up = {&l->q_b, w->q, q_stride};
        if ((rc = glim_op_matmul(o, &up, 1, w->q_rank, hp->q_rank, n))) return rc;
    } else {
        const glim_matmul in[] = {{&l->q, w->q, q_stride}, {&l->kv_a, w->kv, width}};
        if ((rc = glim_op_matmul(o, in, 2, w->h, hp->n_embd, n))) return rc;
    }
    /* The norm covers the latent only; the shared key is rotated, not normed. */
    glim_op_rmsnorm(o, w->kv, width, l->kv_a_norm, n, hp->kv_rank, m->rank_eps, w->kv, width);
    glim_op_rope(o, w->kv + hp->kv_rank, width, width, n, 1, hp->n_rot, w->cs);
    glim_op_rope(o, w->q + hp->n_nope, q_stride, n_qk, n, hp->n_head, hp->n_rot, w->cs);

    int64_t first = 0;
    for (int64_t r = 0; r < b->n_run; r++) {
        const glim_run *run = &b->runs[r];
        glim_kv_view kv = *run->kv;
        kv.layer_offset += layer_offset;
        glim_op_kv_store(o, &kv, run->pos0, run->n_tok, w->kv + first * width, width);
        bool expanded = b->form == GLIM_MLA_EXPANDED ||
                        (b->form == GLIM_MLA_AUTO &&
                         glim_op_mla_prefers_expanded(&l->mla, run->pos0, run->n_tok));
        rc = (expanded ? glim_op_mla_expanded
                       : glim_op_mla_absorbed)(o, &l->mla, &kv, w->q + first * q_stride, run->pos0,
                                               run->n_tok, w->attn + first * hp->n_head * hp->n_v);
        if (rc) return rc;
        first += run->n_tok;
    }
    const glim_matmul out = {&l->attn_out, w->h, hp->n_embd};
    if ((rc = glim_op_matmul(o, &out, 1, w->attn, hp->n_head * hp->n_v, n))) return rc;
    glim_op_add(o, w->x, w->h, n * hp->n_embd);
    return GLIM_OK;
}

/* x += down(silu(gate h) * up h); h is overwritten. */
static glim_err ffn(const layer *l, glim_ops *o, int64_t n, work *w)
{
    int64_t n_ff = l->ffn_gate.n_row, n_embd = l->ffn_gate.n_col;
    float *up_out = w->ff + n * n_ff;
    const glim_matmul in[] = {{&l->ffn_gate, w->ff, n_ff}, {&l->ffn_up, up_out, n_ff}};
    glim_err rc = glim_op_matmul(o, in, 2, w->h, n_embd, n);
    if (rc) return rc;
    glim_op_silu_mul(o, w->ff, up_out, n * n_ff, w->ff);
    const glim_matmul down = {&l->ffn_down, w->h, n_embd};
    if ((rc = glim_op_matmul(o, &down, 1, w->ff, n_ff, n))) return rc;
    glim_op_add(o, w->x, w->h, n * n_embd);
    return GLIM_OK;
}

static glim_err feed_forward(const model *m, const layer *l, glim_ops *o, int64_t n, work *w)
{
    const hparams *hp = &m->hp;
    glim_err rc = GLIM_OK;
    glim_op_rmsnorm(o, w->x, hp->n_embd, l->ffn_norm, n, hp->n_embd, (float)hp->rms_eps, w->h,
                    hp->n_embd);
    if (l->moe) {
        rc = glim_op_route(o, &l->router, w->h, n, w->ids, w->weights);
        if (!rc) rc = glim_op_moe(o, &l->experts, w->h, n, w->ids, w->weights, hp->n_used, w->x);
    }
    /* Dense layers, and the shared expert, which is neither gated nor scaled. */
    if (!rc && l->ffn_gate.n_row) rc = ffn(l, o, n, w);
    return rc;
}

static glim_err head(const glim_core *c, glim_ops *o, const float *hidden, int64_t n, float *logits,
                     glim_error *e)
{
    const model *m = (const model *)c;
    const glim_matmul mm = {&m->head, logits, c->n_vocab};
    glim_err rc = glim_op_matmul(o, &mm, 1, hidden, c->n_embd, n);
    return rc ? glim_fail(e, rc,
                          "logits of %lld rows: the scratch plan was too small; please report this",
                          (long long)n)
              : GLIM_OK;
}

static glim_err forward(const glim_core *c, glim_ops *o, const glim_batch *b, glim_error *e)
{
    const model *m = (const model *)c;
    glim_mark mark = glim_arena_mark(o->step);
    work w;
    glim_err rc = take_work(o->step, m, b->n_tok, &w) ? GLIM_OK : GLIM_E_INTERNAL;
    int64_t first = 0;
    for (int64_t r = 0; !rc && r < b->n_run; r++) {
        glim_op_rope_table(m->inv_freq, m->hp.n_rot, m->rope_magnitude, b->runs[r].pos0,
                           b->runs[r].n_tok, w.cs + first * m->hp.n_rot);
        first += b->runs[r].n_tok;
    }
    if (!rc) glim_op_embed(o, &m->embed, b->tokens, b->n_tok, w.x);
    for (int64_t i = 0; !rc && i < c->n_layer; i++) {
        if (b->cancelled && b->cancelled(b->user)) {
            rc = glim_fail(e, GLIM_E_CANCELLED, "cancelled before layer %lld", (long long)i);
            glim_arena_rewind(o->step, mark);
            return rc;
        }
        rc = attention(m, &m->layers[i], o, b, (size_t)i * b->layer_bytes, &w);
        if (!rc) rc = feed_forward(m, &m->layers[i], o, b->n_tok, &w);
    }
    for (int64_t i = 0; !rc && i < b->n_want; i++)
        glim_op_rmsnorm(o, w.x + b->want[i] * c->n_embd, c->n_embd, m->out_norm, 1, c->n_embd,
                        (float)m->hp.rms_eps, b->hidden + i * c->n_embd, c->n_embd);
    glim_arena_rewind(o->step, mark);
    if (rc)
        return glim_fail(e, rc,
                         "step of %lld tokens: the scratch plan was too small; please report this",
                         (long long)b->n_tok);
    return GLIM_OK;
}

const glim_arch glim_arch_glm4_moe_lite = {
    .name = "deepseek2",
    .gguf_names = (const char *const[]){"deepseek2", "glm4moelite", NULL},
    .hf_names = (const char *const[]){"glm4_moe_lite", "deepseek_v2", "deepseek_v3", NULL},
    .load = load,
    .forward = forward,
    .head = head,
    .scratch_bytes = scratch_bytes,
};
