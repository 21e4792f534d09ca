/* SPDX-License-Identifier: MIT
 * glm4_weights.c - weights of GLM-4.7-Flash and its relatives: names, shapes, layouts.
 * Owns: the table of tensor names; both layouts of the latent attention (split and unsplit); the
 *       prediction layer where a file has one.
 * Thread: any.
 * Fails: FORMAT with file, tensor and what was expected; NOMEM. */
#include "models/glm4_priv.h"
#include "models/rope_priv.h"

#include <math.h>

static void init_rope(glm4_model *m)
{
    const glm4_hparams *hp = &m->hp;
    glim_yarn y = {hp->yarn_factor,    hp->yarn_n_orig > 0 ? hp->yarn_n_orig : (double)hp->n_ctx,
                   hp->yarn_beta_fast, hp->yarn_beta_slow,
                   hp->mscale,         hp->mscale_all};
    glim_rope_scale scale = glim_rope_freqs(hp->rope_base, hp->n_rot, &y, m->inv_freq);
    m->rope_magnitude = scale.magnitude;
    m->attn_scale = (float)(scale.score / sqrt((double)(hp->n_nope + hp->n_rot)));
}

#define BLK(gguf, hf) ((glim_weight_name){"blk.%d." gguf, "model.layers.%d." hf})
#define BLK_GGUF(gguf) ((glim_weight_name){"blk.%d." gguf, NULL}) /* folders never have it */

static void load_attention(glim_loader *ld, const glm4_hparams *hp, int64_t i, float scale,
                           glm4_layer *l)
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

static void load_experts(glim_loader *ld, const glm4_hparams *hp, int64_t i, glm4_layer *l)
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

static void load_dense(glim_loader *ld, const glm4_hparams *hp, int64_t i, glm4_layer *l)
{
    glim_weight_mat(ld, BLK("ffn_gate.weight", "mlp.gate_proj.weight"), i, hp->n_embd, hp->n_ff,
                    true, &l->ffn_gate);
    glim_weight_mat(ld, BLK("ffn_up.weight", "mlp.up_proj.weight"), i, hp->n_embd, hp->n_ff, true,
                    &l->ffn_up);
    glim_weight_mat(ld, BLK("ffn_down.weight", "mlp.down_proj.weight"), i, hp->n_ff, hp->n_embd,
                    true, &l->ffn_down);
}

static void load_layer(glim_loader *ld, const glm4_hparams *hp, int64_t i, float scale,
                       glm4_layer *l)
{
    load_attention(ld, hp, i, scale, l);
    glim_weight_vec(ld, BLK("ffn_norm.weight", "post_attention_layernorm.weight"), i, hp->n_embd,
                    true, &l->ffn_norm);
    if (i < hp->n_dense)
        load_dense(ld, hp, i, l);
    else
        load_experts(ld, hp, i, l);
}

static void load_weights(glim_loader *ld, glm4_model *m)
{
    const glm4_hparams *hp = &m->hp;
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
    for (int64_t i = 0; i < m->core.n_layer && !ld->rc; i++)
        load_layer(ld, hp, i, m->attn_scale, &m->layers[i]);
    /* A file that counts its prediction layer among the trunk would run it as one. */
    glim_weight_name eh = BLK("nextn.eh_proj.weight", "eh_proj.weight");
    if (!ld->rc && glim_weight_find(ld, eh, m->core.n_layer - 1, false))
        ld->rc = glim_fail(ld->e, GLIM_E_FORMAT,
                           "%s: layer %lld has the tensors of a prediction layer but is counted as "
                           "one of the trunk: "
                           "block_count, nextn_predict_layers or num_hidden_layers is wrong",
                           glim_modelfile_path(ld->f), (long long)m->core.n_layer - 1);
}

/* The prediction layer exists where its tensors do: a value that promises one proves nothing. */
static void load_mtp(glim_loader *ld, glm4_model *m)
{
    const glm4_hparams *hp = &m->hp;
    int64_t i = m->core.n_layer;
    glim_weight_name eh = BLK("nextn.eh_proj.weight", "eh_proj.weight");
    if (!glim_weight_find(ld, eh, i, false)) return;
    glm4_mtp *p = GLIM_ARENA_NEW0(ld->arena, glm4_mtp);
    if (!p) {
        ld->rc = glim_fail(ld->e, GLIM_E_NOMEM, "%s: prediction layer", glim_modelfile_path(ld->f));
        return;
    }
    glim_weight_mat(ld, eh, i, 2 * hp->n_embd, hp->n_embd, true, &p->eh_proj);
    glim_weight_vec(ld, BLK("nextn.enorm.weight", "enorm.weight"), i, hp->n_embd, true, &p->enorm);
    glim_weight_vec(ld, BLK("nextn.hnorm.weight", "hnorm.weight"), i, hp->n_embd, true, &p->hnorm);
    glim_weight_vec(ld, BLK("nextn.shared_head_norm.weight", "shared_head.norm.weight"), i,
                    hp->n_embd, true, &p->out_norm);
    glim_weight_mat(ld, BLK("nextn.embed_tokens.weight", "embed_tokens.weight"), i, hp->n_embd,
                    m->core.n_vocab, false, &p->embed);
    glim_weight_mat(ld, BLK("nextn.shared_head_head.weight", "shared_head.head.weight"), i,
                    hp->n_embd, m->core.n_vocab, false, &p->head);
    if (!p->embed.data) p->embed = m->embed;
    if (!p->head.data) p->head = m->head;
    load_layer(ld, hp, i, m->attn_scale, &p->layer);
    m->mtp = p;
    m->core.n_predict = 1;
}

static uint64_t mat_bytes(const glim_mat *m)
{
    return m->data ? (uint64_t)m->n_row * m->row_bytes : 0;
}

static uint64_t mats_bytes(const glim_mats *m, int64_t n)
{
    return (uint64_t)n * (uint64_t)m->shape.n_row * m->shape.row_bytes;
}

/* What one token's step reads. Attention is counted in its absorbed form, which a step takes. */
static uint64_t count_step_bytes(const glm4_model *m)
{
    uint64_t n = m->embed.row_bytes + mat_bytes(&m->head);
    for (int64_t i = 0; i < m->core.n_layer; i++) {
        const glm4_layer *l = &m->layers[i];
        const glim_mat *const mats[] = {&l->q,        &l->q_a,      &l->q_b,    &l->kv_a,
                                        &l->attn_out, &l->ffn_gate, &l->ffn_up, &l->ffn_down};
        for (size_t k = 0; k < GLIM_COUNT(mats); k++)
            n += mat_bytes(mats[k]);
        n += mats_bytes(&l->mla.k_b, l->mla.n_head) + mats_bytes(&l->mla.v_b, l->mla.n_head);
        if (!l->moe) continue;
        n += mat_bytes(&l->router.w) + mats_bytes(&l->experts.gate, m->hp.n_used) +
             mats_bytes(&l->experts.up, m->hp.n_used) + mats_bytes(&l->experts.down, m->hp.n_used);
    }
    return n;
}

glim_err glim_glm4_load(const glim_modelfile *f, const glim_load_opts *opts, glim_core **out,
                        glim_error *e)
{
    glm4_hparams hp;
    glim_err rc = glim_glm4_hparams_read(f, &hp, e);
    if (rc) return rc;
    glim_arena *a = glim_arena_new(SIZE_MAX);
    glm4_model *m = a ? GLIM_ARENA_NEW0(a, glm4_model) : NULL;
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
    m->layers = glim_arena_alloc0(a, (size_t)n_layer * sizeof(glm4_layer));
    glim_loader ld = {.f = f, .arena = a, .plan_only = opts->plan_only, .e = e};
    if (!m->inv_freq || !m->layers) {
        ld.rc = glim_fail(e, GLIM_E_NOMEM, "%s: layers", glim_modelfile_path(f));
    } else {
        init_rope(m);
        load_weights(&ld, m);
        load_mtp(&ld, m);
    }
    if (ld.rc) {
        glim_arena_free(a);
        return ld.rc;
    }
    m->core.derived_bytes = ld.derived_bytes;
    if (!opts->plan_only) m->core.step_bytes = count_step_bytes(m);
    *out = &m->core;
    return GLIM_OK;
}
