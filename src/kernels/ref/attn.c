/* SPDX-License-Identifier: MIT
 * attn.c - plain attention steps with a running softmax, in double inside a step.
 * Layout: keys are taken 64 at a time, as the cache's pages are: a call with 128 keys gives what
 * two calls with 64 give, at every level.
 * Thread: any, pure.   See: kernels.h, Milakov & Gimelshein 2018 for the running form. */
#include "kernels/kernels_priv.h"

#include <math.h>

#define N_TILE 64

/* Reads element i of a row of the cache. */
typedef float (*get_fn)(const uint8_t *row, int64_t i);

static float get_f32(const uint8_t *row, int64_t i)
{
    float v;
    memcpy(&v, row + (size_t)i * sizeof(v), sizeof(v));
    return v;
}
static float get_f16(const uint8_t *row, int64_t i)
{
    uint16_t v;
    memcpy(&v, row + (size_t)i * sizeof(v), sizeof(v));
    return glim_f16_to_f32(v);
}
static float get_bf16(const uint8_t *row, int64_t i)
{
    uint16_t v;
    memcpy(&v, row + (size_t)i * sizeof(v), sizeof(v));
    return glim_bf16_to_f32(v);
}

/* One query over n <= N_TILE keys. Keys at k, values at v, both of rows `stride` and `v_stride`
 * bytes apart. */
static void step(get_fn get, const float *q, const uint8_t *k, size_t k_stride, const uint8_t *v,
                 size_t v_stride, int64_t n, int64_t n_qk, int64_t n_v, float scale, float *m,
                 float *l, float *acc)
{
    float p[N_TILE];
    float top = *m;
    for (int64_t t = 0; t < n; t++) {
        double s = 0;
        for (int64_t i = 0; i < n_qk; i++) {
            s += (double)q[i] * (double)get(k + (size_t)t * k_stride, i);
        }
        p[t] = (float)(s * (double)scale);
        if (p[t] > top) top = p[t];
    }
    /* All keys so far at -inf: subtracting that from itself would make NaN of a plain zero. */
    double base = top == -INFINITY ? 0 : (double)top;
    double fade = exp((double)*m - base);
    double sum = 0;
    for (int64_t t = 0; t < n; t++) {
        p[t] = (float)exp((double)p[t] - base);
        sum += (double)p[t];
    }
    *m = top;
    *l = (float)((double)*l * fade + sum);
    for (int64_t i = 0; i < n_v; i++) {
        double a = (double)acc[i] * fade;
        for (int64_t t = 0; t < n; t++) {
            a += (double)p[t] * (double)get(v + (size_t)t * v_stride, i);
        }
        acc[i] = (float)a;
    }
}

static void mla(get_fn get, const float *q, int64_t q_stride, int64_t n_head, const uint8_t *kv,
                size_t kv_stride, int64_t n_pos, int64_t n_qk, int64_t n_v, float scale, float *m,
                float *l, float *acc)
{
    for (int64_t h = 0; h < n_head; h++) {
        for (int64_t t = 0; t < n_pos; t += N_TILE) {
            const uint8_t *rows = kv + (size_t)t * kv_stride;
            step(get, q + h * q_stride, rows, kv_stride, rows, kv_stride,
                 GLIM_MIN(n_pos - t, N_TILE), n_qk, n_v, scale, m + h, l + h, acc + h * n_v);
        }
    }
}

#define MLA(suffix)                                                                                \
    void glim_attn_mla_##suffix##_ref(                                                             \
        const float *q, int64_t q_stride, int64_t n_head, const void *kv, size_t kv_stride,        \
        int64_t n_pos, int64_t n_qk, int64_t n_v, float scale, float *m, float *l, float *acc)     \
    {                                                                                              \
        mla(get_##suffix, q, q_stride, n_head, kv, kv_stride, n_pos, n_qk, n_v, scale, m, l, acc); \
    }
MLA(f32)
MLA(f16)
MLA(bf16)

void glim_attn_mha_ref(const float *q, int64_t q_stride, int64_t n_q, const float *k,
                       const float *v, int64_t n_k, int64_t n_qk, int64_t n_v, int64_t n_seen0,
                       float scale, float *m, float *l, float *acc)
{
    size_t k_stride = (size_t)n_qk * sizeof(*k);
    size_t v_stride = (size_t)n_v * sizeof(*v);
    for (int64_t i = 0; i < n_q; i++) {
        int64_t n_seen = GLIM_MAX(GLIM_MIN(n_seen0 + i, n_k), 0);
        for (int64_t t = 0; t < n_seen; t += N_TILE) {
            step(get_f32, q + i * q_stride, (const uint8_t *)k + (size_t)t * k_stride, k_stride,
                 (const uint8_t *)v + (size_t)t * v_stride, v_stride, GLIM_MIN(n_seen - t, N_TILE),
                 n_qk, n_v, scale, m + i, l + i, acc + i * n_v);
        }
    }
}
