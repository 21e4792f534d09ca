/* SPDX-License-Identifier: MIT
 * bench.c - times the slot of a row: ns a call, GB/s of operands, GFLOP/s, and how many times
 * faster than ref in the same run (clocks of shared machines drift; the ratio does not). Medians
 * of several samples, one JSON line a case. "hot" operands stay in the caches, "stream" weights
 * come from memory. */
#include "ck.h"

#include <stdio.h>
#include <stdlib.h>

#define N_SAMPLE 7
/* Bytes of weights: several times any last-level cache here. */
#define N_STREAM ((size_t)192 << 20)

typedef struct job {
    void (*run)(const struct job *j, const glim_kernels *k);
    glim_type type;
    int64_t n, n_row, n_col;
    const void *w;
    float *x, *y, *z;
    void *xp; /* packed for the level */
    const char *slot;
    double bytes, flop; /* of one run */
} job;

static volatile float sink;

static void run_dot(const job *j, const glim_kernels *k)
{
    sink = k->dot[j->type](j->w, k->act[j->type] == GLIM_F32 ? (const void *)j->x : j->xp, j->n);
}
static void run_gemm(const job *j, const glim_kernels *k)
{
    glim_type act = k->act[j->type];
    k->gemm[j->type](j->w, ck_row_bytes(j->type, j->n), j->n_row,
                     act == GLIM_F32 ? (const void *)j->x : j->xp, ck_row_bytes(act, j->n),
                     j->n_col, j->n, j->y, j->n_row);
}
static void run_pack(const job *j, const glim_kernels *k)
{
    k->pack[j->type](j->x, j->xp, j->n);
}
static void run_unpack(const job *j, const glim_kernels *k)
{
    k->unpack[j->type](j->w, j->y, j->n);
}
static void run_elem(const job *j, const glim_kernels *k)
{
    switch (j->slot[0]) {
    case 'g':
        k->gelu(j->x, j->n, j->y);
        break;
    case 'l':
        k->layernorm(j->x, j->n, j->z, j->z, 1, j->n, 1e-12f, j->y, j->n);
        break;
    case 's':
        k->silu_mul(j->x, j->z, j->n, j->y);
        break;
    case 'm':
        sink = k->max(j->x, j->n);
        break;
    case 'a':
        if (j->slot[1] == 'd') {
            k->add(j->y, j->z, j->n);
        } else {
            k->axpy(j->y, 0.5f, j->z, j->n);
        }
        break;
    default:
        if (j->slot[1] == 'm') {
            k->rmsnorm(j->x, j->n, j->z, 1, j->n, 1e-5f, j->y, j->n);
        } else {
            k->rope(j->y, j->n, 1, j->n, j->z);
        }
    }
}
/* n_col heads over n_row positions of 576 and 512, as in GLM-4.7-Flash. */
static void run_mla(const job *j, const glim_kernels *k)
{
    float *m = j->y, *l = m + j->n_col, *acc = l + j->n_col;
    for (int64_t i = 0; i < j->n_col; i++)
        m[i] = -INFINITY;
    memset(l, 0, (size_t)(j->n_col + j->n_col * 512) * sizeof(float));
    k->attn_mla[j->type](j->x, 576, j->n_col, j->w, ck_row_bytes(j->type, 576), j->n_row, 576, 512,
                         0.06f, m, l, acc);
}
/* n_col queries over n_row keys of 256 and 256. */
static void run_mha(const job *j, const glim_kernels *k)
{
    float *m = j->y, *l = m + j->n_col, *acc = l + j->n_col;
    for (int64_t i = 0; i < j->n_col; i++)
        m[i] = -INFINITY;
    memset(l, 0, (size_t)(j->n_col + j->n_col * 256) * sizeof(float));
    k->attn_mha(j->x, 256, j->n_col, j->w, j->w, j->n_row, 256, 256, j->n_row, 0.06f, m, l, acc);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Median nanoseconds of one run. */
static double measure(const job *j, const glim_kernels *k, uint64_t sample_ns)
{
    double t[N_SAMPLE];
    int64_t n_rep = 1;
    j->run(j, k);
    for (int i = 0; i < N_SAMPLE;) {
        uint64_t t0 = glim_now_ns();
        for (int64_t r = 0; r < n_rep; r++)
            j->run(j, k);
        uint64_t dt = glim_now_ns() - t0;
        if (dt < sample_ns) {
            n_rep *= 2;
            continue;
        }
        t[i++] = (double)dt / (double)n_rep;
    }
    qsort(t, N_SAMPLE, sizeof(t[0]), by_value);
    return t[N_SAMPLE / 2];
}

static void report(const ck *c, glim_cpu_level level, const job *j, const char *what, bool with_ref)
{
    double fast = measure(j, c->fast, 3000000);
    double ref = with_ref ? measure(j, c->ref, 1000000) : 0;
    printf("{\"slot\":\"%s\",\"row\":\"%s\",\"level\":\"%s\",\"case\":\"%s\",\"ns\":%.1f,\"gb_s\":%"
           ".2f,"
           "\"gflop_s\":%.2f,\"ref_ratio\":%.2f}\n",
           c->slot, c->name, glim_cpu_level_name(level), what, fast, j->bytes / fast,
           j->flop / fast, with_ref ? ref / fast : 0.0);
}

static void bench_products(ck *c, glim_cpu_level level, bool gemm)
{
    glim_type act = c->fast->act[c->type];
    size_t row = ck_row_bytes(c->type, 2048);
    job j = {.run = gemm ? run_gemm : run_dot,
             .type = c->type,
             .n = 2048,
             .n_row = gemm ? 64 : 1,
             .slot = c->slot};
    j.n_col = gemm ? 64 : 1;
    j.w = ck_weights(c, c->type, j.n_row, j.n, 0, 0, CK_NORMAL);
    j.x = ck_floats(j.n * j.n_col);
    j.y = ck_floats(j.n_row * j.n_col);
    j.xp = ck_bytes(ck_row_bytes(act, j.n * j.n_col), 0);
    ck_fill_f32(c, j.x, j.n * j.n_col, CK_NORMAL);
    c->ref->pack[act](j.x, j.xp, j.n * j.n_col);
    j.bytes = (double)((size_t)j.n_row * row);
    j.flop = 2.0 * (double)j.n * (double)j.n_row * (double)j.n_col;
    report(c, level, &j, gemm ? "2048x64 rows x 64" : "2048 hot", true);
    if (gemm) {
        /* One column over weights that no cache holds: what decoding does. */
        int64_t n_row = (int64_t)(N_STREAM / row);
        uint8_t *big = ck_bytes((size_t)n_row * row, 0);
        for (int64_t r = 0; r < n_row; r++) {
            memcpy(big + (size_t)r * row, (const uint8_t *)j.w + (size_t)(r % j.n_row) * row, row);
        }
        job s = j;
        s.w = big;
        s.n_row = n_row;
        s.n_col = 1;
        s.y = ck_floats(n_row);
        s.bytes = (double)((size_t)n_row * row);
        s.flop = 2.0 * (double)s.n * (double)n_row;
        report(c, level, &s, "2048 stream x 1", false);
    }
}

void ck_bench(ck *c, glim_cpu_level level)
{
    const char *s = c->slot;
    const int64_t n = 2048;
    job j = {.type = c->type, .n = n, .slot = s, .run = run_elem};
    if (strncmp(s, "dot", 3) == 0 || strncmp(s, "gemm", 4) == 0) {
        bench_products(c, level, s[0] == 'g');
        ck_release();
        return;
    }
    if (strncmp(s, "attn", 4) == 0) {
        bool mla = s[6] == 'l';
        int64_t n_qk = mla ? 576 : 256, n_v = mla ? 512 : 256;
        j.n_col = mla ? 20 : 64;
        j.n_row = mla ? 64 : 512;
        if (!mla) j.type = GLIM_F32;
        j.w = ck_weights(c, j.type, j.n_row, n_qk, 0, 0, CK_NORMAL);
        j.x = ck_floats(j.n_col * n_qk);
        j.y = ck_floats(j.n_col * (n_v + 2));
        ck_fill_f32(c, j.x, j.n_col * n_qk, CK_NORMAL);
        j.run = mla ? run_mla : run_mha;
        j.bytes = (double)ck_row_bytes(j.type, n_qk * j.n_row);
        j.flop = 2.0 * (double)(n_qk + n_v) * (double)(j.n_row * j.n_col);
        report(c, level, &j, mla ? "20 heads x 64 of 576/512" : "64 queries x 512 of 256/256",
               true);
        ck_release();
        return;
    }
    j.x = ck_floats(n);
    j.y = ck_floats(n);
    j.z = ck_floats(n);
    ck_fill_f32(c, j.x, n, CK_NORMAL);
    ck_fill_f32(c, j.y, n, CK_ZERO);
    ck_fill_f32(c, j.z, n, CK_ZERO);
    j.bytes = (double)n * 4;
    if (strncmp(s, "pack", 4) == 0) {
        j.run = run_pack;
        j.xp = ck_bytes(ck_row_bytes(c->type, n), 0);
    } else if (strncmp(s, "unpack", 6) == 0) {
        j.run = run_unpack;
        j.w = ck_weights(c, c->type, 1, n, 0, 0, CK_NORMAL);
    }
    report(c, level, &j, "2048 hot", true);
    ck_release();
}
