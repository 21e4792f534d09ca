/* SPDX-License-Identifier: MIT
 * glm4_priv.h - GLM-4.7-Flash and its relatives: what the files of this architecture share.
 * See: glm4_hparams.c (values), glm4_weights.c (tensors), glm4_moe_lite.c (forward pass), glm4_mtp.c
 *      (the layer that predicts one token further). */
#ifndef GLIM_MODELS_GLM4_PRIV_H
#define GLIM_MODELS_GLM4_PRIV_H

#include "models/load_priv.h"

typedef struct glm4_hparams {
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
} glm4_hparams;

typedef struct glm4_layer {
    const float *attn_norm, *ffn_norm, *q_a_norm, *kv_a_norm;
    glim_mat q, q_a, q_b, kv_a, attn_out; /* q: where there is no low rank */
    glim_mla mla;
    glim_mat ffn_gate, ffn_up,
        ffn_down; /* dense layers: the FFN; others: the shared expert, n_row 0 when there is none */
    bool moe;
    glim_router router;
    glim_experts experts;
} glm4_layer;

/* The layer behind the trunk that predicts the token after the next (NEXTN). */
typedef struct glm4_mtp {
    glim_mat eh_proj; /* [n_embd][2 n_embd]: embedding half first */
    const float *enorm, *hnorm, *out_norm;
    glim_mat embed, head; /* the trunk's where the file has none of its own */
    glm4_layer layer;
} glm4_mtp;

typedef struct glm4_model {
    glim_core core;
    glm4_hparams hp;
    float rank_eps;   /* of the two low-rank norms */
    double *inv_freq; /* [n_rot / 2] */
    double rope_magnitude;
    float attn_scale;
    glim_mat embed, head;
    const float *out_norm;
    glm4_layer *layers;
    glm4_mtp *mtp; /* NULL: the file has none */
} glm4_model;

/* Buffers of one batch, taken from the step arena. */
typedef struct glm4_work {
    float *x,
        *h; /* [n_tok][n_embd] residual stream; normalised input of a block, then its output */
    float *q_rank, *q; /* [n_tok][q_rank], [n_tok][n_head][n_qk] */
    float *kv;         /* [n_tok][kv_width] */
    float *attn;       /* [n_tok][n_head][n_v] */
    float *ff;         /* [2][n_tok][widest FFN] */
    float *cs;         /* [n_tok][n_rot] */
    int32_t *ids;      /* [n_tok][n_used] */
    float *weights;
} glm4_work;

/* glm4_hparams.c: reads and checks. Errors: FORMAT, UNSUPPORTED, naming file, key and value. */
GLIM_MUST_USE glim_err glim_glm4_hparams_read(const glim_modelfile *f, glm4_hparams *hp,
                                              glim_error *e);

/* glm4_weights.c */
GLIM_MUST_USE glim_err glim_glm4_load(const glim_modelfile *f, const glim_load_opts *opts,
                                      glim_core **out, glim_error *e);

/* glm4_moe_lite.c: the parts of a forward pass that the prediction layer shares. */
bool glim_glm4_take_work(glim_arena *a, const glm4_model *m, int64_t n, glm4_work *w);
/* Angles of all tokens of the batch. */
void glim_glm4_angles(const glm4_model *m, const glim_batch *b, glm4_work *w);
/* x += attention, x += feed-forward of one layer. i_kv: place of its rows in a page. Errors: INTERNAL. */
GLIM_MUST_USE glim_err glim_glm4_block(const glm4_model *m, const glm4_layer *l, glim_ops *o,
                                       const glim_batch *b, int64_t i_kv, glm4_work *w);

/* glm4_mtp.c: see glim_arch in models.h. */
GLIM_MUST_USE glim_err glim_glm4_predict(const glim_core *c, glim_ops *o, const glim_batch *b,
                                         const float *states, float *out, glim_error *e);
GLIM_MUST_USE glim_err glim_glm4_predict_head(const glim_core *c, glim_ops *o, const float *states,
                                              int64_t n, float *logits, glim_error *e);

extern const glim_arch glim_arch_glm4_moe_lite;

#endif
