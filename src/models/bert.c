/* SPDX-License-Identifier: MIT
 * bert.c - BERT, ERNIE and XLM-RoBERTa: the forward pass, and the rows of the three.
 * How: embeddings, their norm, then blocks whose norms follow the sums: a = LN(x + attention(x)),
 *      x = LN(a + W2 gelu(W1 a)). Only attention needs all tokens at once; everything else runs
 *      over blocks of rows, so that scratch stays near four states a token.
 * Not here: values and tensors (bert_load.c), pooling (encoder.c).
 * Thread: the engine.
 * Fails: CANCELLED between layers; INTERNAL when the scratch plan was too small.
 * Source: Devlin et al. 2019; Conneau et al. 2020; the models' own descriptions, read 2026-11. */
#include "models/bert_priv.h"

#include <math.h>

/* Rows that go through a linear layer at once: enough to pay for reading the weights and turning them
 * for tiles, few enough that what is between two layers stays in the second-level cache. A row's
 * result does not depend on it. */
#define ROW_BLOCK 512

typedef struct bert_work {
    float *q, *k, *v; /* [n_tok][n_embd]; attention's result replaces q */
    float *h, *ff;    /* [ROW_BLOCK][n_embd], [ROW_BLOCK][n_ff] */
    int32_t *pos;     /* [n_tok] rows of the position table */
} bert_work;

static bool take_work(glim_arena *a, const bert_model *m, int64_t n, bert_work *w)
{
    int64_t n_embd = m->hp.n_embd, n_block = GLIM_MIN(n, ROW_BLOCK);
    *w = (bert_work){
        .q = GLIM_ARENA_ARRAY(a, float, n *n_embd),
        .k = GLIM_ARENA_ARRAY(a, float, n *n_embd),
        .v = GLIM_ARENA_ARRAY(a, float, n *n_embd),
        .h = GLIM_ARENA_ARRAY(a, float, n_block *n_embd),
        .ff = GLIM_ARENA_ARRAY(a, float, n_block * m->hp.n_ff),
        .pos = GLIM_ARENA_ARRAY(a, int32_t, n),
    };
    return w->q && w->k && w->v && w->h && w->ff && w->pos;
}

static size_t scratch_bytes(const glim_enc_core *enc, int64_t n, int n_thread)
{
    const bert_model *m = (const bert_model *)enc;
    int64_t n_embd = m->hp.n_embd, n_block = GLIM_MIN(n, ROW_BLOCK);
    size_t words = (size_t)(3 * n * n_embd + n_block * (n_embd + m->hp.n_ff) + n),
           op = GLIM_MAX(glim_op_matmul_scratch(GLIM_MAX(n_embd, m->hp.n_ff), n_block),
                         glim_op_attn_full_scratch(&m->mha, n, n_thread));
    return words * sizeof(float) + op + 8 * GLIM_CACHE_LINE;
}

/* Word, position and type of every token. q is scratch here. */
static void embed(const bert_model *m, glim_ops *o, const glim_enc_batch *b, const bert_work *w,
                  float *x)
{
    int64_t n = b->offset[b->n_seq], n_embd = m->hp.n_embd;
    for (int64_t s = 0; s < b->n_seq; s++)
        for (int64_t t = b->offset[s]; t < b->offset[s + 1]; t++)
            w->pos[t] = (int32_t)(m->pos0 + t - b->offset[s]);
    glim_op_embed(o, &m->word, b->tokens, n, x);
    if (b->types) {
        glim_op_embed(o, &m->type, b->types, n, w->q);
        glim_op_add(o, x, w->q, n * n_embd);
    } else {
        glim_op_add_bias(o, x, n_embd, (const float *)(const void *)m->type.data, n, n_embd);
    }
    glim_op_embed(o, &m->position, w->pos, n, w->q);
    glim_op_add(o, x, w->q, n * n_embd);
    glim_op_layernorm(o, x, n_embd, m->embed_norm.w, m->embed_norm.b, n, n_embd, (float)m->hp.eps,
                      x, n_embd);
}

static glim_err product(glim_ops *o, const bert_linear *l, const float *x, int64_t n, float *y)
{
    const glim_matmul mm = {&l->w, y, l->w.n_row};
    return glim_op_matmul(o, &mm, 1, x, l->w.n_col, n);
}

static glim_err linear(glim_ops *o, const bert_linear *l, const float *x, int64_t n, float *y)
{
    glim_err rc = product(o, l, x, n, y);
    if (!rc) glim_op_add_bias(o, y, l->w.n_row, l->b, n, l->w.n_row);
    return rc;
}

/* y = LN(y + l x), the end of both halves of a block. h is scratch. */
static glim_err add_norm(const bert_model *m, glim_ops *o, const bert_linear *l,
                         const bert_norm *norm, const float *x, int64_t n, float *h, float *y)
{
    glim_err rc = product(o, l, x, n, h);
    if (!rc)
        glim_op_bias_add_layernorm(o, y, h, l->b, norm->w, norm->b, n, m->hp.n_embd,
                                   (float)m->hp.eps);
    return rc;
}

/* What follows attention for rows [r, r + n) of x. */
static glim_err finish_rows(const bert_model *m, const bert_layer *l, glim_ops *o, int64_t r,
                            int64_t n, const bert_work *w, float *x)
{
    int64_t n_embd = m->hp.n_embd;
    float *y = x + r * n_embd;
    glim_err rc = add_norm(m, o, &l->out, &l->attn_norm, w->q + r * n_embd, n, w->h, y);
    if (!rc) rc = product(o, &l->up, y, n, w->ff);
    if (rc) return rc;
    glim_op_bias_gelu(o, w->ff, l->up.b, n, m->hp.n_ff);
    return add_norm(m, o, &l->down, &l->out_norm, w->ff, n, w->h, y);
}

static glim_err block(const bert_model *m, const bert_layer *l, glim_ops *o,
                      const glim_enc_batch *b, const bert_work *w, float *x)
{
    int64_t n = b->offset[b->n_seq], n_embd = m->hp.n_embd;
    glim_err rc = GLIM_OK;
    for (int64_t r = 0; !rc && r < n; r += ROW_BLOCK) {
        int64_t n_row = GLIM_MIN(ROW_BLOCK, n - r), at = r * n_embd;
        const glim_matmul in[] = {{&l->q.w, w->q + at, n_embd},
                                  {&l->k.w, w->k + at, n_embd},
                                  {&l->v.w, w->v + at, n_embd}};
        const float *bias[] = {l->q.b, l->k.b, l->v.b};
        rc = glim_op_matmul(o, in, 3, x + at, n_embd, n_row);
        for (int i = 0; !rc && i < 3; i++)
            glim_op_add_bias(o, in[i].y, n_embd, bias[i], n_row, n_embd);
    }
    if (rc) return rc;
    rc = glim_op_attn_full(o, &m->mha, b->offset, b->n_seq, w->q, w->k, w->v, w->q);
    for (int64_t r = 0; !rc && r < n; r += ROW_BLOCK)
        rc = finish_rows(m, l, o, r, GLIM_MIN(ROW_BLOCK, n - r), w, x);
    return rc;
}

static glim_err states(const glim_enc_core *enc, glim_ops *o, const glim_enc_batch *b, float *x,
                       glim_error *e)
{
    const bert_model *m = (const bert_model *)enc;
    int64_t n = b->offset[b->n_seq];
    bert_work w;
    glim_err rc = take_work(o->step, m, n, &w) ? GLIM_OK : GLIM_E_INTERNAL;
    if (!rc) embed(m, o, b, &w, x);
    for (int64_t i = 0; !rc && i < enc->n_layer; i++) {
        if (b->cancelled && b->cancelled(b->user))
            return glim_fail(e, GLIM_E_CANCELLED, "cancelled before layer %lld", (long long)i);
        rc = block(m, &m->layers[i], o, b, &w, x);
    }
    if (rc)
        return glim_fail(e, rc,
                         "step of %lld tokens: the scratch plan was too small; please report this",
                         (long long)n);
    return GLIM_OK;
}

static glim_err classify(const glim_enc_core *enc, glim_ops *o, const float *first, int64_t n,
                         float *logits, glim_error *e)
{
    const bert_model *m = (const bert_model *)enc;
    int64_t n_embd = m->hp.n_embd, n_block = GLIM_MIN(n, ROW_BLOCK);
    float *h = GLIM_ARENA_ARRAY(o->step, float, n_block *n_embd);
    glim_err rc = h ? GLIM_OK : GLIM_E_INTERNAL;
    for (int64_t r = 0; !rc && r < n; r += ROW_BLOCK) {
        int64_t n_row = GLIM_MIN(ROW_BLOCK, n - r);
        rc = linear(o, &m->head_in, first + r * n_embd, n_row, h);
        for (int64_t i = 0; i < n_row * n_embd; i++)
            h[i] = (float)tanh((double)h[i]);
        if (!rc) rc = linear(o, &m->head_out, h, n_row, logits + r * enc->n_label);
    }
    if (rc)
        return glim_fail(e, rc,
                         "logits of %lld rows: the scratch plan was too small; please report this",
                         (long long)n);
    return GLIM_OK;
}

/* What else differs between the three stands in bert_load.c. GGUF files call all of them bert. */
#define FUNCTIONS                                                                                  \
    .load = glim_bert_load, .states = states, .classify = classify, .scratch_bytes = scratch_bytes

const glim_enc_arch glim_enc_bert = {
    .name = "bert",
    .gguf_names = (const char *const[]){"bert", NULL},
    .hf_names = (const char *const[]){"bert", NULL},
    FUNCTIONS,
};

const glim_enc_arch glim_enc_ernie = {
    .name = "ernie",
    .gguf_names = (const char *const[]){NULL},
    .hf_names = (const char *const[]){"ernie", NULL},
    FUNCTIONS,
};

const glim_enc_arch glim_enc_xlm_roberta = {
    .name = "xlm-roberta",
    .gguf_names = (const char *const[]){NULL},
    .hf_names = (const char *const[]){"xlm-roberta", NULL},
    FUNCTIONS,
};
