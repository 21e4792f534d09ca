/* SPDX-License-Identifier: MIT
 * attn.c - latent attention in its two forms, and the choice between them.
 * How: absorbed: queries are carried into the latent space, all heads read the cached row itself;
 *      expanded: keys and values of one head are made from the latents, a page at a time, and used
 *      by all queries.
 * Thread: the engine; absorbed work is split by (token, group of heads), expanded work by head and
 *         block of queries, so that every sum over positions is made by one thread, page after
 *         page. */
#include "ops/ops_priv.h"

#include <math.h>

/* Heads that share one pass over the cached rows. Small enough to give two threads work at one
 * token, large enough to reuse each row once it is in the first-level cache. */
#define HEAD_GROUP 5

static void finish_row(float *out, const float *acc, float l, int64_t n)
{
    float inv = 1.0f / l;
    for (int64_t i = 0; i < n; i++)
        out[i] = acc[i] * inv;
}

/* ---- absorbed -------------------------------------------------------------------------------- */

typedef struct absorbed_job {
    const glim_ops *o;
    const glim_mla *a;
    const glim_kv_view *kv;
    const float *q; /* [n_tok][n_head][width] */
    float *lat;     /* [n_tok][n_head][n_latent]: accumulators, then normalised */
    int64_t pos0, n_group;
} absorbed_job;

static void absorbed_pieces(void *arg, int64_t begin, int64_t end, int i_thread)
{
    const absorbed_job *j = arg;
    const glim_mla *a = j->a;
    (void)i_thread;
    for (int64_t i = begin; i < end; i++) {
        int64_t t = i / j->n_group, h0 = i % j->n_group * HEAD_GROUP,
                n_head = GLIM_MIN(HEAD_GROUP, a->n_head - h0);
        int64_t n_pos = j->pos0 + t + 1, width = j->kv->width;
        const float *q = j->q + (t * a->n_head + h0) * width;
        float *acc = j->lat + (t * a->n_head + h0) * a->n_latent;
        float m[HEAD_GROUP], l[HEAD_GROUP] = {0};
        for (int64_t h = 0; h < n_head; h++)
            m[h] = -INFINITY;
        memset(acc, 0, (size_t)(n_head * a->n_latent) * sizeof(float));
        for (int64_t p = 0; p < n_pos; p += GLIM_KV_PAGE)
            j->o->k->attn_mla[j->kv->type](q, width, n_head, glim_kv_row(j->kv, p),
                                           j->kv->row_bytes, GLIM_MIN(GLIM_KV_PAGE, n_pos - p),
                                           width, a->n_latent, a->scale, m, l, acc);
        for (int64_t h = 0; h < n_head; h++)
            finish_row(acc + h * a->n_latent, acc + h * a->n_latent, l[h], a->n_latent);
    }
}

typedef struct tail_job {
    const glim_mla *a;
    const float *q;
    float *qx;
} tail_job;

static void copy_rotated_tails(void *arg, int64_t begin, int64_t end, int i_thread)
{
    const tail_job *j = arg;
    const glim_mla *a = j->a;
    int64_t n_q = a->n_nope + a->n_rot, width = a->n_latent + a->n_rot;
    (void)i_thread;
    for (int64_t i = begin; i < end; i++)
        memcpy(j->qx + i * width + a->n_latent, j->q + i * n_q + a->n_nope,
               (size_t)a->n_rot * sizeof(float));
}

glim_err glim_op_mla_absorbed(glim_ops *o, const glim_mla *a, const glim_kv_view *kv,
                              const float *q, int64_t pos0, int64_t n_tok, float *out)
{
    int64_t n_q = a->n_nope + a->n_rot, width = a->n_latent + a->n_rot, n_row = n_tok * a->n_head;
    glim_mark mark = glim_arena_mark(o->step);
    float *qx = GLIM_ARENA_ARRAY(o->step, float, n_row *width);
    float *lat = GLIM_ARENA_ARRAY(o->step, float, n_row * a->n_latent);
    if (!qx || !lat) return GLIM_E_INTERNAL;

    glim_err rc = glim_op_matmul_heads(o, &a->k_b, q, a->n_head * n_q, n_q, n_tok, qx,
                                       a->n_head * width, width);
    if (rc) return rc;
    tail_job tj = {a, q, qx};
    glim_pool_run(o->pool, n_row, 256, copy_rotated_tails, &tj);

    absorbed_job j = {o, a, kv, qx, lat, pos0, (a->n_head + HEAD_GROUP - 1) / HEAD_GROUP};
    glim_pool_run(o->pool, n_tok * j.n_group, 1, absorbed_pieces, &j);

    rc = glim_op_matmul_heads(o, &a->v_b, lat, a->n_head * a->n_latent, a->n_latent, n_tok, out,
                              a->n_head * a->n_v, a->n_v);
    glim_arena_rewind(o->step, mark);
    return rc;
}

/* ---- expanded -------------------------------------------------------------------------------- */

typedef struct expanded_job {
    const glim_ops *o;
    const glim_mla *a;
    const glim_kv_view *kv;
    const float *q;
    float *out;
    int64_t pos0, n_tok, block;
    uint8_t *scratch; /* a part for each thread */
    size_t scratch_bytes;
} expanded_job;

/* Pieces of a thread's scratch, all on cache lines. */
typedef struct tile {
    float *latent;   /* [page][width] */
    float *k, *v;    /* [page][n_nope + n_rot], [page][n_v] */
    float *u_k;      /* [n_nope][n_latent], when the file has no such matrix */
    uint8_t *packed; /* [page] latents as the kernel wants them */
    float *m, *l, *acc;
} tile;

static size_t line(size_t n)
{
    return (n + GLIM_CACHE_LINE - 1) & ~(size_t)(GLIM_CACHE_LINE - 1);
}

/* Cuts a thread's scratch into a tile for n_query queries; with base NULL only the size is
 * computed. */
static size_t cut_tile(const glim_mla *a, int64_t n_query, uint8_t *base, tile *t)
{
    int64_t n_k = a->n_nope + a->n_rot;
    size_t at = 0;
    const size_t size[] = {
        (size_t)(GLIM_KV_PAGE * (a->n_latent + a->n_rot)) * sizeof(float),
        (size_t)(GLIM_KV_PAGE * n_k) * sizeof(float),
        (size_t)(GLIM_KV_PAGE * a->n_v) * sizeof(float),
        (size_t)(a->n_nope * a->n_latent) * sizeof(float),
        (size_t)GLIM_KV_PAGE * glim_packed_bytes_max(a->n_latent),
        (size_t)n_query * sizeof(float),
        (size_t)n_query * sizeof(float),
        (size_t)(n_query * a->n_v) * sizeof(float),
    };
    uint8_t *part[GLIM_COUNT(size)];
    for (size_t i = 0; i < GLIM_COUNT(size); i++) {
        part[i] = base ? base + at : NULL;
        at += line(size[i]);
    }
    if (t)
        *t = (tile){(float *)part[0], (float *)part[1], (float *)part[2], (float *)part[3],
                    part[4],          (float *)part[5], (float *)part[6], (float *)part[7]};
    return at;
}

/* k_b of a head turned round: [n_latent][n_nope] of any type to [n_nope][n_latent] f32. */
static void transpose_k_b(const glim_ops *o, const glim_mla *a, int64_t head, float *row,
                          float *u_k)
{
    const glim_mat *w = &a->k_b.shape;
    for (int64_t c = 0; c < a->n_latent; c++) {
        o->k->unpack[w->type](a->k_b.part[head] + (size_t)c * w->row_bytes, row, a->n_nope);
        for (int64_t n = 0; n < a->n_nope; n++)
            u_k[n * a->n_latent + c] = row[n];
    }
}

/* y[page][n_row] = matrix times the page's latents. */
static void expand(const glim_ops *o, const glim_mat *w, const uint8_t *data, const tile *t,
                   int64_t n_pos, int64_t width, float *y, int64_t y_stride)
{
    glim_type act = o->k->act[w->type];
    const uint8_t *x = (const uint8_t *)t->latent;
    size_t x_bytes = (size_t)width * sizeof(float);
    if (act != GLIM_F32) {
        x = t->packed;
        x_bytes = glim_packed_bytes(act, w->n_col);
        for (int64_t i = 0; i < n_pos; i++)
            o->k->pack[act](t->latent + i * width, t->packed + (size_t)i * x_bytes, w->n_col);
    }
    o->k->gemm[w->type](data, w->row_bytes, w->n_row, x, x_bytes, n_pos, w->n_col, y, y_stride);
}

static void expanded_piece(const expanded_job *j, int64_t head, int64_t q0, int64_t n_q,
                           const tile *t)
{
    const glim_mla *a = j->a;
    int64_t width = j->kv->width, n_k = a->n_nope + a->n_rot;
    glim_mat u_k = {GLIM_F32, a->n_nope, a->n_latent, (size_t)a->n_latent * sizeof(float),
                    (const uint8_t *)t->u_k};
    if (a->u_k.n) {
        u_k = a->u_k.shape;
        u_k.data = a->u_k.part[head];
    } else {
        transpose_k_b(j->o, a, head, t->k, t->u_k);
    }
    for (int64_t i = 0; i < n_q; i++)
        t->m[i] = -INFINITY, t->l[i] = 0;
    memset(t->acc, 0, (size_t)(n_q * a->n_v) * sizeof(float));

    int64_t n_pos = j->pos0 + q0 + n_q;
    const float *q = j->q + (q0 * a->n_head + head) * n_k;
    for (int64_t p = 0; p < n_pos; p += GLIM_KV_PAGE) {
        int64_t n = GLIM_MIN(GLIM_KV_PAGE, n_pos - p);
        for (int64_t i = 0; i < n; i++)
            j->o->k->unpack[j->kv->type](glim_kv_row(j->kv, p + i), t->latent + i * width, width);
        expand(j->o, &u_k, u_k.data, t, n, width, t->k, n_k);
        for (int64_t i = 0; i < n; i++)
            memcpy(t->k + i * n_k + a->n_nope, t->latent + i * width + a->n_latent,
                   (size_t)a->n_rot * sizeof(float));
        expand(j->o, &a->v_b.shape, a->v_b.part[head], t, n, width, t->v, a->n_v);
        j->o->k->attn_mha(q, a->n_head * n_k, n_q, t->k, t->v, n, n_k, a->n_v, j->pos0 + q0 + 1 - p,
                          a->scale, t->m, t->l, t->acc);
    }
    for (int64_t i = 0; i < n_q; i++)
        finish_row(j->out + ((q0 + i) * a->n_head + head) * a->n_v, t->acc + i * a->n_v, t->l[i],
                   a->n_v);
}

static void expanded_pieces(void *arg, int64_t begin, int64_t end, int i_thread)
{
    const expanded_job *j = arg;
    tile t;
    cut_tile(j->a, j->block, j->scratch + (size_t)i_thread * j->scratch_bytes, &t);
    for (int64_t i = begin; i < end; i++) {
        int64_t q0 = i / j->a->n_head * j->block;
        expanded_piece(j, i % j->a->n_head, q0, GLIM_MIN(j->block, j->n_tok - q0), &t);
    }
}

/* Queries of one piece: all of the chunk, because each piece makes the keys anew; fewer only where
 * there are more threads than heads. A query's sums do not depend on it. */
static int64_t query_block(const glim_mla *a, int64_t n_tok, int n_thread)
{
    int64_t n_block = (n_thread + a->n_head - 1) / a->n_head,
            block = (n_tok + n_block - 1) / n_block;
    return GLIM_MIN((block + GLIM_KV_PAGE - 1) / GLIM_KV_PAGE * GLIM_KV_PAGE, n_tok);
}

glim_err glim_op_mla_expanded(glim_ops *o, const glim_mla *a, const glim_kv_view *kv,
                              const float *q, int64_t pos0, int64_t n_tok, float *out)
{
    glim_mark mark = glim_arena_mark(o->step);
    expanded_job j = {.o = o, .a = a, .kv = kv, .q = q, .out = out, .pos0 = pos0, .n_tok = n_tok};
    j.block = query_block(a, n_tok, glim_pool_size(o->pool));
    j.scratch_bytes = cut_tile(a, j.block, NULL, NULL);
    j.scratch = glim_arena_array(o->step, (size_t)glim_pool_size(o->pool), j.scratch_bytes);
    if (!j.scratch) return GLIM_E_INTERNAL;
    glim_pool_run(o->pool, (n_tok + j.block - 1) / j.block * a->n_head, 1, expanded_pieces, &j);
    glim_arena_rewind(o->step, mark);
    return GLIM_OK;
}

/* ---- choice ---------------------------------------------------------------------------------- */

/* Turning an element of k_b round costs as much as this many multiplications of a gemm. */
#define TRANSPOSE_COST 64

bool glim_op_mla_prefers_expanded(const glim_mla *a, int64_t pos0, int64_t n_tok)
{
    /* Multiplications a head; each query sees pos0 + half of the chunk on average. The number of
     * threads stays out of it: it must not change a result. Neither may the way in which a short
     * prompt is cut into chunks, so below a fixed position there is nothing to choose. */
    if (pos0 < GLIM_MLA_ABSORBED_BELOW) return false;
    double keys = (double)pos0 + (double)n_tok / 2, n = (double)n_tok;
    double per_row = (double)(a->n_nope + a->n_v) * (double)a->n_latent;
    double absorbed = n * per_row + n * keys * (double)(2 * a->n_latent + a->n_rot);
    double expanded =
        ((double)pos0 + n) * per_row + n * keys * (double)(a->n_nope + a->n_rot + a->n_v);
    if (!a->u_k.n) expanded += (double)(a->n_nope * a->n_latent) * TRANSPOSE_COST;
    return expanded < absorbed;
}

size_t glim_op_mla_scratch(const glim_mla *a, int64_t n_tok, int n_thread)
{
    size_t n_row = (size_t)(n_tok * a->n_head);
    size_t absorbed = line(n_row * (size_t)(a->n_latent + a->n_rot) * sizeof(float)) +
                      line(n_row * (size_t)a->n_latent * sizeof(float)) +
                      glim_op_matmul_scratch(GLIM_MAX(a->n_nope, a->n_latent), n_tok * a->n_head);
    size_t expanded = (size_t)n_thread * cut_tile(a, query_block(a, n_tok, n_thread), NULL, NULL);
    return GLIM_MAX(absorbed, expanded) + 4 * GLIM_CACHE_LINE;
}
