/* SPDX-License-Identifier: MIT
 * kernels.h - the slot table: every piece of arithmetic that has more than one implementation.
 * A kernel is pure: no allocation, no threads, no state. The plain C version in ref/ is the truth; a row in
 * <arch>.def replaces a slot at the levels it needs. Results of a slot at one level never depend on how the
 * caller splits rows, columns or threads.
 * Thread: any. Align: none is needed unless a slot says so. Alias: outputs overlap no input unless said. */
#ifndef GLIM_KERNELS_H
#define GLIM_KERNELS_H

#include "quant/quant.h"

/* Sum over n of w[i]*x[i]. w: n elements of the slot's type; x: n elements of act[type].
 * Shape: n >= 0, a multiple of both blocks; of BF16X3 activations the last block may be filled up with zeros.
 * Sums are f32; integer products inside a block are exact. An infinite operand gives an infinity or NaN.
 * Test: MAG 4 against ref's dot on the decoded x. */
typedef float (*glim_dot_fn)(const void *w, const void *x, int64_t n);

/* Many rows times many columns: y[c*y_stride + r] = dot(w + r*w_stride, x + c*x_stride, n), bit for bit what
 * dot gives at the same level: a chunk's size never changes a result.
 * Shape: w [n_row], x [n_col], strides in bytes; y_stride in floats. */
typedef void (*glim_gemm_fn)(const void *w, size_t w_stride, int64_t n_row, const void *x, size_t x_stride,
                             int64_t n_col, int64_t n, float *y, int64_t y_stride);

/* n f32 -> n elements of an activation type. EXACT against the scalar encoder. */
typedef void (*glim_pack_fn)(const float *x, void *y, int64_t n);

/* One step of attention with a running softmax over keys of an absorbed MLA cache.
 * Shape: q [n_head][n_qk] f32, stride q_stride floats; kv [n_pos] rows of n_qk elements of the slot's type, row
 *        stride kv_stride bytes; the value of a row is its first n_v elements.
 *        Running state a head: m[n_head] (largest score so far, -INFINITY at first), l[n_head] (sum of exp, 0 at first),
 *        acc [n_head][n_v] (unnormalised, zero at first).
 * Units: scale multiplies the scores.  Test: NMSE 1e-10. */
typedef void (*glim_attn_mla_fn)(const float *q, int64_t q_stride, int64_t n_head, const void *kv, size_t kv_stride,
                                 int64_t n_pos, int64_t n_qk, int64_t n_v, float scale, float *m, float *l,
                                 float *acc);

/* The same for expanded keys and values of one head, causal: query i sees the first
 * clamp(n_seen0 + i, 0, n_k) keys of this tile (n_seen0 may be negative).
 * Shape: q [n_q][n_qk] stride q_stride; k [n_k][n_qk], v [n_k][n_v] dense f32; m, l [n_q]; acc [n_q][n_v] dense. */
typedef void (*glim_attn_mha_fn)(const float *q, int64_t q_stride, int64_t n_q, const float *k, const float *v,
                                 int64_t n_k, int64_t n_qk, int64_t n_v, int64_t n_seen0, float scale, float *m,
                                 float *l, float *acc);

typedef struct glim_kernels {
    glim_cpu_level level;

    glim_type act[GLIM_TYPE_COUNT]; /* activation type that dot and gemm of a weight type want */
    glim_dot_fn dot[GLIM_TYPE_COUNT];
    glim_gemm_fn gemm[GLIM_TYPE_COUNT];
    glim_pack_fn pack[GLIM_TYPE_COUNT];   /* by activation type: F32, BF16, Q8_0, Q8_K, BF16X3; also F16 (KV rows) */
    /* Cache rows and weight rows back to f32, by type: at least F32, F16, BF16, Q8_0; others fall to quant's decode. */
    void (*unpack[GLIM_TYPE_COUNT])(const void *x, float *y, int64_t n);

    /* Scales each row of x to unit root mean square, then by w.
     * Shape: x, y [n_row][n_col], strides in floats; w [n_col]. Units: eps added to the mean square.
     * Alias: y may be x. Test: MAG 4. Source: Zhang & Sennrich 2019, eq. 4. */
    void (*rmsnorm)(const float *x, int64_t x_stride, const float *w, int64_t n_row, int64_t n_col, float eps,
                    float *y, int64_t y_stride);

    /* Each row of x to mean 0 and variance 1, then times w plus b.
     * Shape: x, y [n_row][n_col], strides in floats; w, b [n_col]. Units: eps added to the variance, which divides
     * by n_col. Alias: y may be x. Test: MAG 4. Source: Ba, Kiros & Hinton 2016, eq. 3. */
    void (*layernorm)(const float *x, int64_t x_stride, const float *w, const float *b, int64_t n_row, int64_t n_col,
                      float eps, float *y, int64_t y_stride);

    /* Rotates adjacent pairs (2j, 2j+1) of each row in place by the angles whose cosine and sine stand in
     * cs[2j], cs[2j+1]. Shape: x [n_row][n_rot], stride in floats; cs [n_rot]. Test: MAG 4.
     * Source: Su et al. 2021, eq. 15, interleaved as in GPT-J. */
    void (*rope)(float *x, int64_t x_stride, int64_t n_row, int64_t n_rot, const float *cs);

    /* y = silu(gate) * up. Alias: y may be gate or up. Test: NMSE 1e-12. */
    void (*silu_mul)(const float *gate, const float *up, int64_t n, float *y);

    /* y = x * Phi(x), Phi the normal distribution through erf, no tanh form of it. Alias: y may be x. Test: NMSE 1e-12.
     * Source: Hendrycks & Gimpel 2016. */
    void (*gelu)(const float *x, int64_t n, float *y);

    void (*add)(float *y, const float *x, int64_t n);           /* y += x. EXACT */
    void (*axpy)(float *y, float a, const float *x, int64_t n); /* y += a*x. Test: MAG 2 */
    float (*max)(const float *x, int64_t n);                    /* -INFINITY for n = 0; NaN is skipped. EXACT */

    glim_attn_mla_fn attn_mla[GLIM_TYPE_COUNT]; /* by cache type: F32, F16, BF16 */
    glim_attn_mha_fn attn_mha;
} glim_kernels;

/* Fills *out with the best rows at or below level. Thread: any; no global state.
 * Every slot of a type that can be a weight is filled after this: ref has them all. */
void glim_kernels_get(glim_cpu_level level, glim_kernels *out);

/* One row of a .def, for tests that walk them. */
typedef struct glim_kernel_row {
    const char *slot;  /* "dot[GLIM_Q4_K]" */
    const char *name;  /* function */
    glim_cpu_level needs;
} glim_kernel_row;
/* All rows above ref. Thread: any. */
const glim_kernel_row *glim_kernels_rows(size_t *n);

#endif
