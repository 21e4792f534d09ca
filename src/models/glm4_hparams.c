/* SPDX-License-Identifier: MIT
 * glm4_hparams.c - hyperparameters of GLM-4.7-Flash, DeepSeek-V2 and V3, from GGUF keys or config.json.
 * Owns: names, ranges and defaults of the values; what contradicts or is not supported.
 * Thread: any.
 * Fails: FORMAT and UNSUPPORTED with file, key and value.
 * See: models/load_priv.h for the table reader. */
#include "models/glm4_priv.h"

#include <stdio.h>

#define INT(gguf, hf, field, min, max, req)                                                        \
    {                                                                                              \
        gguf, hf, GLIM_HP_INT, offsetof(glm4_hparams, field), min, max, req                        \
    }
#define FLT(gguf, hf, field, min, max, req)                                                        \
    {                                                                                              \
        gguf, hf, GLIM_HP_FLOAT, offsetof(glm4_hparams, field), min, max, req                      \
    }
#define BOOL(gguf, hf, field)                                                                      \
    {                                                                                              \
        gguf, hf, GLIM_HP_BOOL, offsetof(glm4_hparams, field), 0, 0, false                         \
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

/* Values in config.json that change the arithmetic in ways this file does not do. */
static glim_err check_config(const glim_modelfile *f, glm4_hparams *hp, glim_error *e)
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
    v = glim_json_get(cfg, "topk_method");
    if (glim_json_is(v, GLIM_JSON_STRING)) {
        if (glim_str_is(v->text, "greedy")) /* of all experts, whatever n_group says */
            hp->n_group = hp->n_group_used = 1;
        else if (!glim_str_is(v->text, "group_limited_greedy") && !glim_str_is(v->text, "noaux_tc"))
            return glim_fail(e, GLIM_E_UNSUPPORTED,
                             "%s/config.json: topk_method %s is not supported; greedy, "
                             "group_limited_greedy and noaux_tc are",
                             path, GLIM_QUOTE(v->text));
    }
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
static glim_err choose_gating(const glim_modelfile *f, glm4_hparams *hp, glim_error *e)
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
    bool v2 = glim_json_is(type, GLIM_JSON_STRING) &&
              glim_str_ieq(type->text, GLIM_STR("deepseek_v2")); /* as registry.c compares */
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
static glim_err check_layer_types(const glim_modelfile *f, glm4_hparams *hp, glim_error *e)
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

static glim_err check_values(const glim_modelfile *f, glm4_hparams *hp, glim_error *e)
{
    if (hp->n_rot % 2) return bad_value(f, e, "the rotated dimensions are odd", hp->n_rot, 2);
    if (hp->n_nope < 1)
        return bad_value(f, e, "the key is no longer than its rotated part", hp->n_nope + hp->n_rot,
                         hp->n_rot);
    if (hp->n_nextn >= hp->n_block)
        return bad_value(f, e, "no layer is left beside the prediction layers", hp->n_block,
                         hp->n_nextn);
    if (hp->n_dense > hp->n_block) hp->n_dense = hp->n_block;
    if (hp->n_expert == 0) {
        hp->n_dense = hp->n_block;
        return GLIM_OK;
    }
    /* Also where no layer of the trunk has experts: the prediction layer of a folder may. */
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

glim_err glim_glm4_hparams_read(const glim_modelfile *f, glm4_hparams *hp, glim_error *e)
{
    *hp = (glm4_hparams){.n_head_kv = 1,
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
    const char *embedding = glim_modelfile_container(f) == GLIM_CONTAINER_GGUF
                                ? "token_embd.weight"
                                : "model.embed_tokens.weight";
    const glim_tensor *t = glim_modelfile_find(f, glim_str_of(embedding));
    if (!hp->n_vocab && t) hp->n_vocab = t->ne[1]; /* some converters leave vocab_size out */
    rc = choose_gating(f, hp, e);
    return rc ? rc : check_values(f, hp, e);
}
