/* SPDX-License-Identifier: MIT
 * moe.c - router and routed experts. The router works in f32 on unrounded inputs: a rounded one may
 * pick another expert, and that is where most of the error of a quantised run would come from.
 * Layout of a chunk: assignments (token, slot) are counted and sorted by expert; each expert
 * multiplies its tokens at once; results lie by assignment and are added in the order of the slots,
 * so that a token's sum is the same whatever stood beside it in the chunk.
 * Thread: the engine. */
#include "ops/ops_priv.h"

#include <math.h>

/* ---- router ---------------------------------------------------------------------------------- */

typedef struct route_job {
    const glim_router *r;
    float *score; /* [n_tok][2 * n_expert]: logits, then room for the choice */
    int32_t *ids;
    float *weights;
} route_job;

static void gate(const glim_router *r, float *s)
{
    int64_t n = r->w.n_row;
    if (r->gating == GLIM_GATING_SIGMOID) {
        for (int64_t i = 0; i < n; i++)
            s[i] = 1.0f / (1.0f + expf(-s[i]));
        return;
    }
    float top = -INFINITY, sum = 0;
    for (int64_t i = 0; i < n; i++)
        top = fmaxf(top, s[i]);
    for (int64_t i = 0; i < n; i++)
        sum += s[i] = expf(s[i] - top);
    for (int64_t i = 0; i < n; i++)
        s[i] /= sum;
}

/* Takes the groups out of play that are not among the best. A group's score is the sum of its two
 * best biased scores with a sigmoid (DeepSeek-V3), its best score with a softmax (DeepSeek-V2). */
static void mask_groups(const glim_router *r, float *choice)
{
    int64_t per = r->w.n_row / r->n_group;
    for (int64_t left = r->n_group - r->n_group_used; left > 0; left--) {
        int64_t worst = -1;
        float worst_score = INFINITY;
        for (int64_t g = 0; g < r->n_group; g++) {
            float a = -INFINITY, b = -INFINITY;
            for (int64_t i = g * per; i < (g + 1) * per; i++) {
                if (choice[i] > a)
                    b = a, a = choice[i];
                else if (choice[i] > b)
                    b = choice[i];
            }
            if (a == -INFINITY) continue; /* out already */
            float score = r->gating == GLIM_GATING_SIGMOID && per > 1 ? a + b : a;
            /* <=: of equal groups the later one goes */
            if (score <= worst_score) worst = g, worst_score = score;
        }
        if (worst < 0) return;
        for (int64_t i = worst * per; i < (worst + 1) * per; i++)
            choice[i] = -INFINITY;
    }
}

static void route_token(const glim_router *r, float *s, int32_t *ids, float *weights)
{
    int64_t n = r->w.n_row;
    float *choice = s + n, sum = 0;
    gate(r, s);
    for (int64_t i = 0; i < n; i++)
        choice[i] = r->bias ? s[i] + r->bias[i] : s[i];
    if (r->n_group > 1 && r->n_group_used < r->n_group) mask_groups(r, choice);
    for (int64_t k = 0; k < r->n_used; k++) {
        int64_t best = -1;
        for (int64_t i = 0; i < n; i++)
            if (choice[i] > -INFINITY && (best < 0 || choice[i] > choice[best])) best = i;
        /* Only NaN scores leave nothing to choose: any valid id keeps the step going, the NaN shows
         * in the weights. */
        if (best < 0) best = k;
        ids[k] = (int32_t)best;
        weights[k] = s[best];
        sum += s[best];
        choice[best] = -INFINITY;
    }
    float scale = r->norm ? r->scale / (sum + 1e-20f) : r->scale;
    for (int64_t k = 0; k < r->n_used; k++)
        weights[k] *= scale;
}

static void route_tokens(void *arg, int64_t begin, int64_t end, int i_thread)
{
    const route_job *j = arg;
    (void)i_thread;
    for (int64_t t = begin; t < end; t++)
        route_token(j->r, j->score + t * 2 * j->r->w.n_row, j->ids + t * j->r->n_used,
                    j->weights + t * j->r->n_used);
}

glim_err glim_op_route(glim_ops *o, const glim_router *r, const float *x, int64_t n_tok,
                       int32_t *ids, float *weights)
{
    glim_mark mark = glim_arena_mark(o->step);
    int64_t n = r->w.n_row;
    float *score = GLIM_ARENA_ARRAY(o->step, float, n_tok * 2 * n);
    if (!score) return GLIM_E_INTERNAL;
    glim_matmul mm = {&r->w, score, 2 * n};
    glim_err rc = glim_op_matmul(o, &mm, 1, x, r->w.n_col, n_tok);
    if (rc) return rc;
    route_job j = {r, score, ids, weights};
    glim_pool_run(o->pool, n_tok, 16, route_tokens, &j);
    glim_arena_rewind(o->step, mark);
    return GLIM_OK;
}

/* ---- experts --------------------------------------------------------------------------------- */

typedef struct moe_job {
    const glim_ops *o;
    const glim_mats *w;
    /* assignments sorted by expert; expert e has [first[e], first[e + 1]) */
    const int32_t *order; /* assignment = token * n_used + slot */
    const int32_t *first;
    const int32_t *active; /* experts that have assignments */
    int64_t n_active, n_piece, rows;
    const uint8_t *x; /* packed rows in sorted order */
    size_t x_bytes;
    float *y; /* [assignment in sorted order][n_row] */
} moe_job;

static void expert_pieces(void *arg, int64_t begin, int64_t end, int i_thread)
{
    const moe_job *j = arg;
    const glim_mat *w = &j->w->shape;
    (void)i_thread;
    for (int64_t i = begin; i < end; i++) {
        int64_t e = j->active[i / j->n_piece], row = i % j->n_piece * j->rows,
                n_row = GLIM_MIN(j->rows, w->n_row - row);
        int64_t a = j->first[e], n = j->first[e + 1] - a;
        j->o->k->gemm[w->type](j->w->part[e] + (size_t)row * w->row_bytes, w->row_bytes, n_row,
                               j->x + (size_t)a * j->x_bytes, j->x_bytes, n, w->n_col,
                               j->y + a * w->n_row + row, w->n_row);
    }
}

static void run_experts(const glim_ops *o, moe_job *j, const glim_mats *w, const uint8_t *x,
                        size_t x_bytes, float *y)
{
    j->w = w;
    j->x = x;
    j->x_bytes = x_bytes;
    j->y = y;
    j->rows = glim_piece_rows(&w->shape, 1);
    j->n_piece = (w->shape.n_row + j->rows - 1) / j->rows;
    glim_pool_run(o->pool, j->n_active * j->n_piece, 1, expert_pieces, j);
}

typedef struct gather_job {
    const glim_ops *o;
    glim_type act;
    const float *x;
    const int32_t *order; /* NULL: rows are in sorted order already */
    int64_t n_used, n;
    uint8_t *packed;
    size_t bytes;
} gather_job;

static void gather_rows(void *arg, int64_t begin, int64_t end, int i_thread)
{
    const gather_job *j = arg;
    (void)i_thread;
    for (int64_t i = begin; i < end; i++) {
        int64_t row = j->order ? j->order[i] / j->n_used : i;
        j->o->k->pack[j->act](j->x + row * j->n, j->packed + (size_t)i * j->bytes, j->n);
    }
}

static uint8_t *gather(glim_ops *o, glim_type act, const float *x, const int32_t *order,
                       int64_t n_used, int64_t n_row, int64_t n, size_t *bytes)
{
    gather_job j = {o, act, x, order, n_used, n, NULL, glim_packed_bytes(act, n)};
    *bytes = j.bytes;
    j.packed = glim_arena_array(o->step, (size_t)n_row, j.bytes);
    if (j.packed) glim_pool_run(o->pool, n_row, glim_piece_pack(n), gather_rows, &j);
    return j.packed;
}

typedef struct combine_job {
    const glim_ops *o;
    const float *part;    /* [sorted assignment][n] */
    const int32_t *where; /* assignment -> place in sorted order */
    const float *weights;
    int64_t n_used, n;
    float *y;
} combine_job;

static void combine_tokens(void *arg, int64_t begin, int64_t end, int i_thread)
{
    const combine_job *j = arg;
    (void)i_thread;
    for (int64_t t = begin; t < end; t++)
        for (int64_t k = 0; k < j->n_used; k++)
            j->o->k->axpy(j->y + t * j->n, j->weights[t * j->n_used + k],
                          j->part + (int64_t)j->where[t * j->n_used + k] * j->n, j->n);
}

/* Counting sort of assignments by expert. */
static void sort_assignments(const int32_t *ids, int64_t n_assign, int64_t n_expert, int32_t *first,
                             int32_t *order, int32_t *where, int32_t *active, int64_t *n_active)
{
    memset(first, 0, (size_t)(n_expert + 1) * sizeof *first);
    for (int64_t i = 0; i < n_assign; i++)
        first[ids[i] + 1]++;
    *n_active = 0;
    for (int64_t e = 0; e < n_expert; e++) {
        if (first[e + 1]) active[(*n_active)++] = (int32_t)e;
        first[e + 1] += first[e];
    }
    for (int64_t i = n_assign - 1; i >= 0; i--) {
        /* Filled from the back, so that first[e + 1] walks down to where expert e begins. */
        int32_t at = --first[ids[i] + 1];
        order[at] = (int32_t)i;
        where[i] = at;
    }
    for (int64_t e = 0; e < n_expert; e++)
        first[e] = first[e + 1];
    first[n_expert] = (int32_t)n_assign;
}

glim_err glim_op_moe(glim_ops *o, const glim_experts *w, const float *x, int64_t n_tok,
                     const int32_t *ids, const float *weights, int64_t n_used, float *y)
{
    int64_t n_embd = w->gate.shape.n_col, n_ff = w->gate.shape.n_row, n_expert = w->gate.n,
            n_assign = n_tok * n_used;
    glim_mark mark = glim_arena_mark(o->step);
    int32_t *first = GLIM_ARENA_ARRAY(o->step, int32_t, n_expert + 1),
            *active = GLIM_ARENA_ARRAY(o->step, int32_t, n_expert);
    int32_t *order = GLIM_ARENA_ARRAY(o->step, int32_t, n_assign),
            *where = GLIM_ARENA_ARRAY(o->step, int32_t, n_assign);
    float *gate_up = GLIM_ARENA_ARRAY(o->step, float, 2 * n_assign * n_ff);
    float *part = GLIM_ARENA_ARRAY(o->step, float, n_assign *n_embd);
    if (!first || !active || !order || !where || !gate_up || !part) return GLIM_E_INTERNAL;
    moe_job j = {.o = o, .order = order, .first = first, .active = active};
    sort_assignments(ids, n_assign, n_expert, first, order, where, active, &j.n_active);

    glim_type act = o->k->act[w->gate.shape.type], act_up = o->k->act[w->up.shape.type];
    size_t bytes, bytes_up;
    uint8_t *xs = gather(o, act, x, order, n_used, n_assign, n_embd, &bytes), *xs_up = xs;
    if (!xs) return GLIM_E_INTERNAL;
    bytes_up = bytes;
    if (act_up != act &&
        !(xs_up = gather(o, act_up, x, order, n_used, n_assign, n_embd, &bytes_up)))
        return GLIM_E_INTERNAL;
    run_experts(o, &j, &w->gate, xs, bytes, gate_up);
    run_experts(o, &j, &w->up, xs_up, bytes_up, gate_up + n_assign * n_ff);
    glim_op_silu_mul(o, gate_up, gate_up + n_assign * n_ff, n_assign * n_ff, gate_up);

    uint8_t *hs =
        gather(o, o->k->act[w->down.shape.type], gate_up, NULL, 1, n_assign, n_ff, &bytes);
    if (!hs) return GLIM_E_INTERNAL;
    run_experts(o, &j, &w->down, hs, bytes, part);
    combine_job cj = {o, part, where, weights, n_used, n_embd, y};
    glim_pool_run(o->pool, n_tok, GLIM_MAX(8192 / (n_used * n_embd), 1), combine_tokens, &cj);
    glim_arena_rewind(o->step, mark);
    return GLIM_OK;
}

size_t glim_op_moe_scratch(int64_t n_embd, int64_t n_ff, int64_t n_expert, int64_t n_used,
                           int64_t n_tok)
{
    size_t n_assign = (size_t)(n_tok * n_used);
    /* Gate and up may want two kinds. */
    size_t packed = n_assign * (2 * glim_packed_bytes_max(n_embd) + glim_packed_bytes_max(n_ff));
    size_t lists = (size_t)(2 * n_expert + 2) * sizeof(int32_t) + 2 * n_assign * sizeof(int32_t);
    size_t moe = n_assign * (size_t)(2 * n_ff + n_embd) * sizeof(float) + packed + lists;
    size_t route =
        (size_t)(n_tok * 2 * n_expert) * sizeof(float) + glim_op_matmul_scratch(n_embd, n_tok);
    return GLIM_MAX(moe, route) + 16 * GLIM_CACHE_LINE;
}
