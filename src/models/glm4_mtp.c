/* SPDX-License-Identifier: MIT
 * glm4_mtp.c - the prediction layer (MTP, NEXTN): one more block that drafts the token after the next.
 * How: u = eh_proj [norm(embedding of the next token), norm(final state of this one)]; u goes through a
 *      whole decoder layer with a cache of its own at this token's position; its normed result, times the
 *      head, gives the logits of the token after the next.
 * Thread: the engine.
 * Source: DeepSeek-V3 2024, section 2.2; the order of the two halves as in GLM-4.5's description. */
#include "models/glm4_priv.h"

/* [norm(embedding) | norm(state)] of each token: the input of eh_proj. */
static void join_halves(const glm4_model *m, glim_ops *o, const glim_batch *b, const float *states,
                        float *embedded, float *both)
{
    int64_t n = b->n_tok, n_embd = m->hp.n_embd;
    float eps = (float)m->hp.rms_eps;
    glim_op_embed(o, &m->mtp->embed, b->tokens, n, embedded);
    glim_op_rmsnorm(o, embedded, n_embd, m->mtp->enorm, n, n_embd, eps, both, 2 * n_embd);
    glim_op_rmsnorm(o, states, n_embd, m->mtp->hnorm, n, n_embd, eps, both + n_embd, 2 * n_embd);
}

glim_err glim_glm4_predict(const glim_core *c, glim_ops *o, const glim_batch *b,
                           const float *states, float *out, glim_error *e)
{
    const glm4_model *m = (const glm4_model *)c;
    int64_t n = b->n_tok, n_embd = c->n_embd;
    glim_mark mark = glim_arena_mark(o->step);
    glm4_work w;
    glim_err rc = glim_glm4_take_work(o->step, m, n, &w) ? GLIM_OK : GLIM_E_INTERNAL;
    glim_mark halves = glim_arena_mark(o->step);
    float *both = GLIM_ARENA_ARRAY(o->step, float, n * 2 * n_embd);
    if (!both) rc = GLIM_E_INTERNAL;
    if (!rc) {
        glim_glm4_angles(m, b, &w);
        join_halves(m, o, b, states, w.h, both);
        const glim_matmul mm = {&m->mtp->eh_proj, w.x, n_embd};
        rc = glim_op_matmul(o, &mm, 1, both, 2 * n_embd, n);
    }
    glim_arena_rewind(o->step, halves); /* the block needs the room */
    if (!rc) rc = glim_glm4_block(m, &m->mtp->layer, o, b, c->n_layer, &w);
    if (!rc)
        glim_op_rmsnorm(o, w.x, n_embd, m->mtp->out_norm, n, n_embd, (float)m->hp.rms_eps, out,
                        n_embd);
    glim_arena_rewind(o->step, mark);
    if (rc)
        return glim_fail(
            e, rc, "prediction of %lld tokens: the scratch plan was too small; please report this",
            (long long)n);
    return GLIM_OK;
}

glim_err glim_glm4_predict_head(const glim_core *c, glim_ops *o, const float *states, int64_t n,
                                float *logits, glim_error *e)
{
    const glm4_model *m = (const glm4_model *)c;
    const glim_matmul mm = {&m->mtp->head, logits, c->n_vocab};
    glim_err rc = glim_op_matmul(o, &mm, 1, states, c->n_embd, n);
    return rc ? glim_fail(e, rc,
                          "drafts of %lld rows: the scratch plan was too small; please report this",
                          (long long)n)
              : GLIM_OK;
}
