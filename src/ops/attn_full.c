/* SPDX-License-Identifier: MIT
 * attn_full.c - attention of whole sequences that lie one after the other, without a cache and
 * without a mask: what encoders have.
 * How: a piece is one head of up to 64 queries of one sequence. Keys and values of that head are
 *      gathered 64 positions at a time and run through the kernel for expanded heads with all of
 *      them in sight.
 * Not here: anything with a cache (attn.c).
 * Thread: the engine; a query's sums are made by one thread, in the order of positions from the
 *         beginning of its own sequence, so that nothing beside it changes a bit.
 * Fails: INTERNAL when the step arena is too small. */
#include "ops/ops_priv.h"

#include <math.h>

#define QUERY_BLOCK 64
#define KEY_TILE 64

typedef struct full_job {
    const glim_ops *o;
    const glim_mha *a;
    const int64_t *offset;
    int64_t n_seq;
    int64_t *first; /* [n_seq + 1]: blocks of queries before each sequence */
    const float *q, *k, *v;
    float *out;
    uint8_t *scratch; /* a part for each thread */
    size_t scratch_bytes;
} full_job;

/* A thread's scratch. */
typedef struct full_tile {
    float *k, *v, *acc; /* [64][n_dim] each */
    float *m, *l;       /* [64] */
} full_tile;

static size_t line(size_t n)
{
    return (n + GLIM_CACHE_LINE - 1) & ~(size_t)(GLIM_CACHE_LINE - 1);
}

static size_t tile_bytes(const glim_mha *a)
{
    size_t rows = line((size_t)(KEY_TILE * a->n_dim) * sizeof(float));
    return 3 * rows + 2 * line(QUERY_BLOCK * sizeof(float));
}

static full_tile cut_tile(const glim_mha *a, uint8_t *base)
{
    size_t rows = line((size_t)(KEY_TILE * a->n_dim) * sizeof(float)),
           state = line(QUERY_BLOCK * sizeof(float));
    return (full_tile){(float *)(void *)base, (float *)(void *)(base + rows),
                       (float *)(void *)(base + 2 * rows), (float *)(void *)(base + 3 * rows),
                       (float *)(void *)(base + 3 * rows + state)};
}

/* Queries [q0, q0 + n_q) of the sequence [begin, end), one head. */
static void full_piece(const full_job *j, int64_t begin, int64_t end, int64_t q0, int64_t n_q,
                       int64_t head, const full_tile *t)
{
    const int64_t n_dim = j->a->n_dim, stride = j->a->n_head * n_dim;
    const size_t row = (size_t)n_dim * sizeof(float);
    for (int64_t i = 0; i < n_q; i++)
        t->m[i] = -INFINITY, t->l[i] = 0;
    memset(t->acc, 0, (size_t)n_q * row);
    for (int64_t p = begin; p < end; p += KEY_TILE) {
        int64_t n = GLIM_MIN(KEY_TILE, end - p);
        for (int64_t i = 0; i < n; i++) {
            memcpy(t->k + i * n_dim, j->k + (p + i) * stride + head * n_dim, row);
            memcpy(t->v + i * n_dim, j->v + (p + i) * stride + head * n_dim, row);
        }
        j->o->k->attn_mha(j->q + q0 * stride + head * n_dim, stride, n_q, t->k, t->v, n, n_dim,
                          n_dim, n, j->a->scale, t->m, t->l, t->acc);
    }
    for (int64_t i = 0; i < n_q; i++) {
        float *out = j->out + (q0 + i) * stride + head * n_dim, inv = 1.0f / t->l[i];
        for (int64_t d = 0; d < n_dim; d++)
            out[d] = t->acc[i * n_dim + d] * inv;
    }
}

/* The sequence that block belongs to. */
static int64_t sequence_of(const full_job *j, int64_t block)
{
    int64_t low = 0, high = j->n_seq - 1;
    while (low < high) {
        int64_t mid = low + (high - low + 1) / 2;
        if (j->first[mid] <= block)
            low = mid;
        else
            high = mid - 1;
    }
    return low;
}

static void full_pieces(void *arg, int64_t begin, int64_t end, int i_thread)
{
    const full_job *j = arg;
    const full_tile t = cut_tile(j->a, j->scratch + (size_t)i_thread * j->scratch_bytes);
    for (int64_t i = begin; i < end; i++) {
        int64_t block = i / j->a->n_head, s = sequence_of(j, block),
                q0 = j->offset[s] + (block - j->first[s]) * QUERY_BLOCK, last = j->offset[s + 1];
        full_piece(j, j->offset[s], last, q0, GLIM_MIN(QUERY_BLOCK, last - q0), i % j->a->n_head,
                   &t);
    }
}

glim_err glim_op_attn_full(glim_ops *o, const glim_mha *a, const int64_t *offset, int64_t n_seq,
                           const float *q, const float *k, const float *v, float *out)
{
    glim_mark mark = glim_arena_mark(o->step);
    full_job j = {
        .o = o, .a = a, .offset = offset, .n_seq = n_seq, .q = q, .k = k, .v = v, .out = out};
    j.scratch_bytes = tile_bytes(a);
    j.first = GLIM_ARENA_ARRAY(o->step, int64_t, n_seq + 1);
    j.scratch = glim_arena_array(o->step, (size_t)glim_pool_size(o->pool), j.scratch_bytes);
    if (!j.first || !j.scratch) return GLIM_E_INTERNAL;
    j.first[0] = 0;
    for (int64_t s = 0; s < n_seq; s++)
        j.first[s + 1] = j.first[s] + (offset[s + 1] - offset[s] + QUERY_BLOCK - 1) / QUERY_BLOCK;
    glim_pool_run(o->pool, j.first[n_seq] * a->n_head, 1, full_pieces, &j);
    glim_arena_rewind(o->step, mark);
    return GLIM_OK;
}

size_t glim_op_attn_full_scratch(const glim_mha *a, int64_t n_seq, int n_thread)
{
    return line((size_t)(n_seq + 1) * sizeof(int64_t)) + (size_t)n_thread * tile_bytes(a) +
           2 * GLIM_CACHE_LINE;
}
