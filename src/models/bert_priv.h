/* SPDX-License-Identifier: MIT
 * bert_priv.h - BERT and its relatives: what the files of these encoders share.
 * See: bert_load.c (values, tensors), bert.c (forward pass). */
#ifndef GLIM_MODELS_BERT_PRIV_H
#define GLIM_MODELS_BERT_PRIV_H

#include "models/load_priv.h"

typedef struct bert_hparams {
    int64_t n_layer, n_pos, n_embd, n_ff, n_head, n_vocab, n_type, n_task, pad_id;
    double eps;
    bool use_task, causal, is_decoder;
} bert_hparams;

typedef struct bert_norm {
    const float *w, *b;
} bert_norm;

typedef struct bert_linear {
    glim_mat w;
    const float *b;
} bert_linear;

typedef struct bert_layer {
    bert_linear q, k, v, out, up, down;
    bert_norm attn_norm, out_norm; /* after the sum with the input of their block */
} bert_layer;

typedef struct bert_model {
    glim_enc_core enc;
    bert_hparams hp;
    int64_t pos0; /* row of the position table of a sequence's first token */
    glim_mat word, position;
    glim_mat type; /* F32, aligned; ERNIE's task 0 is in every row */
    bert_norm embed_norm;
    bert_layer *layers;
    bert_linear head_in, head_out; /* tanh between them; head_out.w.n_row is n_label, 0: no head */
    glim_mha mha;
} bert_model;

/* bert_load.c: see glim_enc_arch. */
GLIM_MUST_USE glim_err glim_bert_load(const glim_enc_arch *arch, const glim_modelfile *f,
                                      const glim_load_opts *opts, glim_enc_core **out,
                                      glim_error *e);

extern const glim_enc_arch glim_enc_bert, glim_enc_ernie, glim_enc_xlm_roberta;

#endif
