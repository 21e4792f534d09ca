/* SPDX-License-Identifier: MIT
 * glm4_moe_lite.c - GLM-4.7-Flash and its relatives (DeepSeek-V2, V3): latent attention (MLA) and a
 * mixture of experts, the forward pass.
 * Not here: values (glm4_hparams.c), weights (glm4_weights.c), arithmetic (ops), cache pages (engine).
 * Layout: the residual stream x [n_tok][n_embd] f32 is kept for the whole batch; everything else is
 *         step scratch.
 * Thread: the engine.
 * Source: the GLM-4.7-Flash and DeepSeek-V3 model descriptions, read 2026-11. */
#include "models/glm4_priv.h"

static int64_t widest_ffn(const glm4_hparams *hp)
{
    int64_t shared = hp->n_shared * hp->n_ff_expert;
    return GLIM_MAX(hp->n_dense > 0 ? hp->n_ff : 1, GLIM_MAX(shared, 1));
}

bool glim_glm4_take_work(glim_arena *a, const glm4_model *m, int64_t n, glm4_work *w)
{
    const glm4_hparams *hp = &m->hp;
    int64_t n_used = GLIM_MAX(hp->n_used, 1);
    *w = (glm4_work){
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
    const glm4_model *m = (const glm4_model *)c;
    const glm4_hparams *hp = &m->hp;
    int64_t n_used = GLIM_MAX(hp->n_used, 1);
    size_t floats =
        (size_t)n *
        (size_t)(2 * hp->n_embd + hp->q_rank + 1 + hp->n_head * (hp->n_nope + hp->n_rot) +
                 c->kv_width + hp->n_head * hp->n_v + 2 * widest_ffn(hp) + hp->n_rot + 2 * n_used);
    int64_t widest =
        GLIM_MAX(GLIM_MAX(hp->n_embd, widest_ffn(hp)), GLIM_MAX(hp->n_head * hp->n_v, hp->q_rank));
    size_t op = glim_op_matmul_scratch(widest, n);
    op = GLIM_MAX(op, glim_op_mla_scratch(&m->layers[0].mla, n, n_thread));
    if (hp->n_expert) /* the prediction layer may have them where the trunk has none */
        op = GLIM_MAX(
            op, glim_op_moe_scratch(hp->n_embd, hp->n_ff_expert, hp->n_expert, hp->n_used, n));
    if (m->mtp)
        op = GLIM_MAX(op, (size_t)(n * 2 * hp->n_embd) * sizeof(float) + GLIM_CACHE_LINE +
                              glim_op_matmul_scratch(2 * hp->n_embd, n));
    return floats * sizeof(float) + op + 16 * GLIM_CACHE_LINE;
}

static glim_err attention(const glm4_model *m, const glm4_layer *l, glim_ops *o,
                          const glim_batch *b, size_t layer_offset, glm4_work *w)
{
    const glm4_hparams *hp = &m->hp;
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
static glim_err ffn(const glm4_layer *l, glim_ops *o, int64_t n, glm4_work *w)
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

static glim_err feed_forward(const glm4_model *m, const glm4_layer *l, glim_ops *o, int64_t n,
                             glm4_work *w)
{
    const glm4_hparams *hp = &m->hp;
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

void glim_glm4_angles(const glm4_model *m, const glim_batch *b, glm4_work *w)
{
    int64_t first = 0;
    for (int64_t r = 0; r < b->n_run; r++) {
        glim_op_rope_table(m->inv_freq, m->hp.n_rot, m->rope_magnitude, b->runs[r].pos0,
                           b->runs[r].n_tok, w->cs + first * m->hp.n_rot);
        first += b->runs[r].n_tok;
    }
}

glim_err glim_glm4_block(const glm4_model *m, const glm4_layer *l, glim_ops *o, const glim_batch *b,
                         int64_t i_kv, glm4_work *w)
{
    glim_err rc = attention(m, l, o, b, (size_t)i_kv * b->layer_bytes, w);
    return rc ? rc : feed_forward(m, l, o, b->n_tok, w);
}

static glim_err head(const glim_core *c, glim_ops *o, const float *hidden, int64_t n, float *logits,
                     glim_error *e)
{
    const glm4_model *m = (const glm4_model *)c;
    const glim_matmul mm = {&m->head, logits, c->n_vocab};
    glim_err rc = glim_op_matmul(o, &mm, 1, hidden, c->n_embd, n);
    return rc ? glim_fail(e, rc,
                          "logits of %lld rows: the scratch plan was too small; please report this",
                          (long long)n)
              : GLIM_OK;
}

static glim_err forward(const glim_core *c, glim_ops *o, const glim_batch *b, glim_error *e)
{
    const glm4_model *m = (const glm4_model *)c;
    glim_mark mark = glim_arena_mark(o->step);
    glm4_work w;
    glim_err rc = glim_glm4_take_work(o->step, m, b->n_tok, &w) ? GLIM_OK : GLIM_E_INTERNAL;
    if (!rc) glim_glm4_angles(m, b, &w);
    if (!rc) glim_op_embed(o, &m->embed, b->tokens, b->n_tok, w.x);
    for (int64_t i = 0; !rc && i < c->n_layer; i++) {
        if (b->cancelled && b->cancelled(b->user)) {
            rc = glim_fail(e, GLIM_E_CANCELLED, "cancelled before layer %lld", (long long)i);
            glim_arena_rewind(o->step, mark);
            return rc;
        }
        rc = glim_glm4_block(m, &m->layers[i], o, b, i, &w);
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
    .load = glim_glm4_load,
    .forward = forward,
    .head = head,
    .predict = glim_glm4_predict,
    .predict_head = glim_glm4_predict_head,
    .scratch_bytes = scratch_bytes,
};
