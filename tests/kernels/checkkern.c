/* SPDX-License-Identifier: MIT
 * checkkern - every row above ref, at its level, against the plain reference.
 *   checkkern [--seed N] [--filter TEXT] [--level NAME] [--bench]
 * Owns:   one check a slot family (the table at the end); a row whose slot has none is a failure.
 * Layout: buffers end at a page that may not be touched, inputs are read-only, padding is
 * poisoned (ck.h).
 * Classes: EXACT all bits; MAG k error <= k * eps * sum of |a * b|; NMSE x squared error over
 * squared size. Quantised dots are compared with ref's dot on the activations decoded again
 * (MAG), so only arithmetic counts; how far the rounding of activations itself carries is printed
 * as NMSE. Rows that the machine cannot run are listed as skipped. */
#include "ck.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const ck_fill finite_fills[] = {CK_NORMAL, CK_ZERO, CK_DENORM, CK_BIG, CK_SMALL, CK_MIX};

/* ---- dot and gemm ---------------------------------------------------------------------------- */

/* Lengths in blocks: none, one, either side of every unrolling, long. */
static const int64_t lengths_one[] = {
    0,  1,  2,  3,  7,  8,  9,  15,  16,  17,  23,  24,  31,  32,  33,   40,   47,   48,  63,
    64, 65, 72, 80, 95, 96, 97, 127, 128, 129, 255, 256, 257, 511, 1000, 2048, 4095, 8191};
static const int64_t lengths_block[] = {0, 1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 33};

static int64_t block_of(const glim_kernels *k, glim_type t)
{
    int64_t a = glim_type_get(t)->n_block, b = glim_type_get(k->act[t])->n_block;
    return a > b ? a : b;
}

/* Sum of |w * x|, where w = scale part - minimum part counts both. */
static double magnitude(glim_type t, const void *w, const float *x, int64_t n)
{
    const glim_type_traits *tr = glim_type_get(t);
    float *f = glim_alloc_array((size_t)n + 1, sizeof(float));
    float *g = glim_alloc_array((size_t)n + 1, sizeof(float));
    uint8_t *copy = glim_alloc(ck_row_bytes(t, n));
    double sum = 0;
    bool has_min = t == GLIM_Q4_K || t == GLIM_Q5_K;
    tr->decode(w, f, n);
    if (has_min) {
        memcpy(copy, w, ck_row_bytes(t, n));
        for (int64_t i = 0; i < n / tr->n_block; i++)
            memset(copy + (size_t)i * tr->block_bytes + 2, 0, 2);
        tr->decode(copy, g, n);
    }
    for (int64_t i = 0; i < n; i++) {
        double a = fabs((double)f[i]);
        if (has_min) a = fabs((double)g[i]) + fabs((double)g[i] - (double)f[i]);
        sum += a * fabs((double)x[i]);
    }
    glim_free(f);
    glim_free(g);
    glim_free(copy);
    return sum;
}

static void dot_case(ck *c, int64_t n, ck_fill fw, ck_fill fx, size_t gap)
{
    glim_type act = c->fast->act[c->type];
    ck_case(c, "n=%lld fill=%d,%d gap=%zu", (long long)n, fw, fx, gap);
    const void *w = ck_weights(c, c->type, 1, n, 0, gap, fw);
    if (!w) return;
    float *x = ck_floats(n), *again = ck_floats(n);
    ck_fill_f32(c, x, n, fx);
    ck_seal(x);
    void *xp = ck_bytes(ck_row_bytes(act, n), act == GLIM_F32 ? 0 : gap);
    c->ref->pack[act](x, xp, n);
    ck_seal(xp);
    c->ref->unpack[act](xp, again, n);
    float want = c->ref->dot[c->type](w, again, n), got = c->fast->dot[c->type](w, xp, n);
    if (fw == CK_HOSTILE || fx == CK_HOSTILE) {
        /* Overflow on the way is anyone's; a NaN that went in must not come out as a number. */
        if (isnan(want) && isfinite(got)) ck_fail(c, "NaN turned into %g", (double)got);
    } else if (!(isinf(want) && isnan(got))) { /* infinity times a part that is 0, see kernels.h */
        ck_mag(c, 4, want, got, magnitude(c->type, w, again, n), n);
        if (fw == CK_NORMAL && fx == CK_NORMAL) {
            double plain = (double)c->ref->dot[c->type](w, x, n), d = (double)got - plain;
            c->nmse_num += d * d;
            c->nmse_den += plain * plain;
        }
    }
    ck_release();
}

/* Elements behind whole blocks, where the activation type fills its last block with zeros: dot over
 * them is what it is over the weights filled up likewise. */
static void check_filled(ck *c)
{
    for (int64_t n = 1; n < 100; n += 6) {
        ck_case(c, "n=%lld, last block filled up", (long long)n);
        int64_t all = (n + 31) / 32 * 32;
        size_t bytes = ck_row_bytes(c->fast->act[c->type], all), one = ck_row_bytes(c->type, 1);
        const uint8_t *w = ck_weights(c, c->type, 1, n, 0, 0, CK_NORMAL);
        uint8_t *wide = ck_bytes((size_t)all * one, 0);
        float *x = ck_floats(n);
        void *packed = ck_bytes(bytes, 0), *want = ck_bytes(bytes, 0);
        memset(wide, 0, (size_t)all * one);
        memcpy(wide, w, (size_t)n * one);
        ck_fill_f32(c, x, n, CK_NORMAL);
        ck_seal(x);
        c->ref->pack[GLIM_BF16X3](x, want, n);
        c->fast->pack[GLIM_BF16X3](x, packed, n);
        ck_same(c, want, packed, bytes);
        float a = c->fast->dot[c->type](w, packed, n), b = c->fast->dot[c->type](wide, packed, all);
        ck_same_f32(c, &b, &a, 1, "dot");
        ck_mag(c, 4, c->ref->dot[c->type](w, x, n), a, magnitude(c->type, w, x, n), n);
        ck_release();
    }
}

static void check_dot(ck *c)
{
    int64_t block = block_of(c->fast, c->type);
    const int64_t *len = block == 1 ? lengths_one : lengths_block;
    size_t n_len = block == 1 ? GLIM_COUNT(lengths_one) : GLIM_COUNT(lengths_block);
    for (size_t i = 0; i < n_len; i++) {
        int64_t n = len[i] * block;
        for (size_t f = 0; f < GLIM_COUNT(finite_fills); f++) {
            for (size_t gap = 0; gap < 2; gap++) {
                dot_case(c, n, finite_fills[f], finite_fills[f], gap);
                dot_case(c, n, finite_fills[f], CK_NORMAL, gap);
            }
        }
        dot_case(c, n, CK_HOSTILE, CK_NORMAL, 0);
        dot_case(c, n, CK_NORMAL, CK_HOSTILE, 0);
        dot_case(c, n, CK_HOSTILE, CK_HOSTILE, 1);
    }
    if (c->fast->act[c->type] == GLIM_BF16X3) check_filled(c);
}

static void gemm_case(ck *c, int64_t n_row, int64_t n_col, int64_t n, ck_fill fill, size_t pad)
{
    glim_type act = c->fast->act[c->type];
    size_t w_row = ck_row_bytes(c->type, n), x_row = ck_row_bytes(act, n);
    size_t x_stride = x_row + (act == GLIM_F32 ? 4 : 1) * pad;
    int64_t y_stride = n_row + (int64_t)pad;
    ck_case(c, "rows=%lld cols=%lld n=%lld fill=%d pad=%zu", (long long)n_row, (long long)n_col,
            (long long)n, fill, pad);
    const uint8_t *w = ck_weights(c, c->type, n_row, n, pad, 0, fill);
    if (!w) return;
    uint8_t *x = ck_bytes(n_col ? (size_t)(n_col - 1) * x_stride + x_row : 0, 0);
    float *f = ck_floats(n);
    for (int64_t i = 0; i < n_col; i++) {
        ck_fill_f32(c, f, n, fill);
        c->ref->pack[act](f, x + (size_t)i * x_stride, n);
    }
    ck_seal(x);
    size_t n_y = n_row && n_col ? (size_t)((n_col - 1) * y_stride + n_row) : 0;
    float *y = ck_floats((int64_t)n_y), *want = ck_floats((int64_t)n_y);
    for (int64_t r = 0; r < n_row; r++) {
        for (int64_t i = 0; i < n_col; i++) {
            want[i * y_stride + r] =
                c->fast->dot[c->type](w + (size_t)r * (w_row + pad), x + (size_t)i * x_stride, n);
        }
    }
    c->fast->gemm[c->type](w, w_row + pad, n_row, x, x_stride, n_col, n, y, y_stride);
    ck_same_f32(c, want, y, (int64_t)n_y, "y"); /* padding of y is poison in both */
    ck_check_front(c, y);
    ck_release();
}

static void check_gemm(ck *c)
{
    static const int64_t n_rows[] = {0, 1, 2, 3, 5, 16, 17, 35},
                         n_cols[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 15, 19};
    int64_t block = block_of(c->fast, c->type);
    for (size_t r = 0; r < GLIM_COUNT(n_rows); r++) {
        for (size_t k = 0; k < GLIM_COUNT(n_cols); k++) {
            int64_t n = block == 1 ? 1 + (int64_t)(glim_rng_u64(&c->rng) % 200)
                                   : block * (1 + (int64_t)(k % 3));
            gemm_case(c, n_rows[r], n_cols[k], n, CK_NORMAL, 0);
            gemm_case(c, n_rows[r], n_cols[k], n, CK_MIX, 3);
        }
        gemm_case(c, n_rows[r], 7, block * 3, CK_HOSTILE, 1);
        gemm_case(c, n_rows[r], 9, 0, CK_NORMAL, 1);
    }
    /* Deeper, higher and wider than any panel, with rests at all three ends. */
    int64_t n = (1700 + block - 1) / block * block;
    gemm_case(c, 70, 40, n, CK_NORMAL, 3);
    gemm_case(c, 70, 40, n, CK_MIX, 0);
    gemm_case(c, 33, 17, n, CK_NORMAL, 1);
    gemm_case(c, 97, 2, n, CK_NORMAL, 1);
}

/* ---- pack and unpack ------------------------------------------------------------------------- */

static void check_pack(ck *c)
{
    int64_t block = glim_type_get(c->type)->n_block;
    for (int64_t i = 0; i < 40; i++) {
        for (int fill = 0; fill < CK_FILL_COUNT; fill++) {
            /* The step into F16's subnormals, ties and the ends of blocks come from MIX and
             * HOSTILE. */
            int64_t n = i * block;
            size_t bytes = ck_row_bytes(c->type, n);
            ck_case(c, "n=%lld fill=%d", (long long)n, fill);
            float *x = ck_floats(n);
            ck_fill_f32(c, x, n, (ck_fill)fill);
            if (fill == CK_MIX && i % 2 && n > 0) x[n - 1] = INFINITY;
            if (fill == CK_NORMAL && i % 2) {
                /* Exact halves after scaling by 127: ties of the rounding. */
                for (int64_t j = 0; j < n; j++)
                    x[j] = rintf(x[j] * 254.0f) / 2.0f;
                for (int64_t j = 0; j < n; j += block)
                    x[j] = 127.0f;
            }
            /* Scales on both sides of binary16's largest number, 65504, and of its rounding, 65520.
             */
            if (fill == CK_BIG && n > 0) x[0] = 127.0f * (65500.0f + (float)i);
            if (fill == CK_BIG && i % 2) {
                for (int64_t j = 1; j < n; j++)
                    x[j] *= 1e-10f;
            }
            ck_seal(x);
            void *want = ck_bytes(bytes, 0), *got = ck_bytes(bytes, i % 3 == 0);
            c->ref->pack[c->type](x, want, n);
            c->fast->pack[c->type](x, got, n);
            ck_same(c, want, got, bytes);
            ck_check_front(c, got);
            ck_release();
        }
    }
}

static void check_unpack(ck *c)
{
    int64_t block = glim_type_get(c->type)->n_block;
    for (int64_t i = 0; i < 40; i++) {
        for (int fill = 0; fill < CK_FILL_COUNT; fill++) {
            int64_t n = i * block;
            ck_case(c, "n=%lld fill=%d", (long long)n, fill);
            const void *x = ck_weights(c, c->type, 1, n, 0, (size_t)(i & 1), (ck_fill)fill);
            if (!x) return;
            float *want = ck_floats(n), *got = ck_floats(n);
            c->ref->unpack[c->type](x, want, n);
            c->fast->unpack[c->type](x, got, n);
            ck_same(c, want, got, (size_t)n * sizeof(float));
            ck_check_front(c, got);
            ck_release();
        }
    }
    if (block > 1 || c->type == GLIM_F32) return;
    /* All halves there are. */
    ck_case(c, "all 65536");
    uint16_t *h = ck_bytes(65536 * sizeof(*h), 0);
    float *want = ck_floats(65536), *got = ck_floats(65536);
    for (int i = 0; i < 65536; i++)
        h[i] = (uint16_t)i;
    c->ref->unpack[c->type](h, want, 65536);
    c->fast->unpack[c->type](h, got, 65536);
    ck_same(c, want, got, 65536 * sizeof(float));
    ck_release();
}

/* ---- elementwise ----------------------------------------------------------------------------- */

static const int64_t lengths_elem[] = {0,  1,  2,  3,  5,  7,  8,  9,   15,  16,   17,
                                       24, 31, 32, 33, 40, 64, 80, 127, 512, 1000, 2048};

static void check_rmsnorm(ck *c)
{
    for (size_t i = 0; i < GLIM_COUNT(lengths_elem); i++) {
        for (int fill = 0; fill < CK_FILL_COUNT; fill++) {
            int64_t n = lengths_elem[i], n_row = 3, pad = (int64_t)(i % 3), stride = n + pad;
            ck_case(c, "n=%lld fill=%d", (long long)n, fill);
            int64_t total = (n_row - 1) * stride + n;
            float *x = ck_floats(total), *w = ck_floats(n), *want = ck_floats(total),
                  *got = ck_floats(total);
            ck_fill_f32(c, x, total, (ck_fill)fill);
            ck_fill_f32(c, w, n, CK_NORMAL);
            ck_seal(x);
            ck_seal(w);
            c->ref->rmsnorm(x, stride, w, n_row, n, 1e-5f, want, stride);
            c->fast->rmsnorm(x, stride, w, n_row, n, 1e-5f, got, stride);
            for (int64_t j = 0; j < total; j++) {
                if (fill != CK_HOSTILE) ck_mag(c, 4, want[j], got[j], fabs((double)want[j]), 1);
            }
            ck_check_front(c, got);
            /* In place. */
            float *same = ck_floats(total);
            memcpy(same, x, (size_t)total * sizeof(*x));
            c->fast->rmsnorm(same, stride, w, n_row, n, 1e-5f, same, stride);
            for (int64_t r = 0; r < n_row; r++)
                ck_same_f32(c, got + r * stride, same + r * stride, n, "in place");
            ck_release();
        }
    }
}

static void layernorm_case(ck *c, int64_t n, int64_t pad, int fill, float shift)
{
    const int64_t n_row = 3, stride = n + pad, total = (n_row - 1) * stride + n;
    ck_case(c, "n=%lld pad=%lld fill=%d shift=%g", (long long)n, (long long)pad, fill,
            (double)shift);
    float *x = ck_floats(total), *w = ck_floats(n), *b = ck_floats(n), *zero = ck_floats(n),
          *want = ck_floats(total), *got = ck_floats(total), *scaled = ck_floats(total);
    ck_fill_f32(c, x, total, (ck_fill)fill);
    for (int64_t i = 0; i < total; i++)
        x[i] += shift;
    ck_fill_f32(c, w, n, CK_NORMAL);
    ck_fill_f32(c, b, n, CK_NORMAL);
    ck_fill_f32(c, zero, n, CK_ZERO);
    ck_seal(x);
    ck_seal(w);
    ck_seal(b);
    c->ref->layernorm(x, stride, w, b, n_row, n, 1e-12f, want, stride);
    c->ref->layernorm(x, stride, w, zero, n_row, n, 1e-12f, scaled, stride);
    c->fast->layernorm(x, stride, w, b, n_row, n, 1e-12f, got, stride);
    for (int64_t j = 0; j < total; j++) {
        int64_t k = j % stride;
        if (k >= n)
            ck_same_f32(c, want + j, got + j, 1, "padding");
        else if (fill != CK_HOSTILE)
            ck_mag(c, 4, want[j], got[j], fabs((double)scaled[j]) + fabs((double)b[k]), 1);
        else if (isnan(want[j]) && isfinite(got[j]))
            ck_fail(c, "NaN turned into %g", (double)got[j]);
    }
    ck_check_front(c, got);
    /* In place. */
    float *same = ck_floats(total);
    memcpy(same, x, (size_t)total * sizeof(*x));
    c->fast->layernorm(same, stride, w, b, n_row, n, 1e-12f, same, stride);
    for (int64_t r = 0; r < n_row; r++)
        ck_same_f32(c, got + r * stride, same + r * stride, n, "in place");
    ck_release();
}

static void check_layernorm(ck *c)
{
    for (size_t i = 0; i < GLIM_COUNT(lengths_elem); i++) {
        for (int fill = 0; fill < CK_FILL_COUNT; fill++)
            layernorm_case(c, lengths_elem[i], (int64_t)(i % 3), fill, 0);
        /* A mean that is large beside what varies must not cost the difference. */
        layernorm_case(c, lengths_elem[i], 1, CK_NORMAL, 1000);
    }
}

static void check_rope(ck *c)
{
    for (size_t i = 0; i < GLIM_COUNT(lengths_elem); i++) {
        for (int fill = 0; fill < CK_FILL_COUNT; fill++) {
            int64_t n = lengths_elem[i] / 2 * 2, n_row = 3, stride = n + (int64_t)(i % 3);
            int64_t total = (n_row - 1) * stride + n;
            ck_case(c, "n=%lld fill=%d", (long long)n, fill);
            float *x = ck_floats(total), *cs = ck_floats(n), *want = ck_floats(total);
            for (int64_t j = 0; j < n; j += 2) {
                float a = 7 * glim_rng_f32(&c->rng);
                cs[j] = cosf(a);
                cs[j + 1] = sinf(a);
            }
            ck_seal(cs);
            for (int64_t r = 0; r < n_row; r++)
                ck_fill_f32(c, x + r * stride, n, (ck_fill)fill);
            float *was = ck_floats(total);
            memcpy(want, x, (size_t)total * sizeof(*x));
            memcpy(was, x, (size_t)total * sizeof(*x));
            c->ref->rope(want, stride, n_row, n, cs);
            c->fast->rope(x, stride, n_row, n, cs);
            for (int64_t j = 0; j < total; j++) {
                int64_t k = j % stride;
                if (k >= n) {
                    ck_same_f32(c, want + j, x + j, 1, "padding");
                } else if (fill != CK_HOSTILE) {
                    ck_mag(c, 4, want[j], x[j],
                           fabs((double)was[j]) + fabs((double)was[j - k + (k ^ 1)]), 2);
                }
            }
            ck_check_front(c, x);
            ck_release();
        }
    }
}

static void check_silu_mul(ck *c)
{
    for (size_t i = 0; i < GLIM_COUNT(lengths_elem); i++) {
        for (int fill = 0; fill < CK_FILL_COUNT + 1; fill++) {
            int64_t n = lengths_elem[i];
            ck_case(c, "n=%lld fill=%d", (long long)n, fill);
            float *g = ck_floats(n), *u = ck_floats(n), *want = ck_floats(n), *got = ck_floats(n);
            ck_fill_f32(c, g, n, fill < CK_FILL_COUNT ? (ck_fill)fill : CK_NORMAL);
            ck_fill_f32(c, u, n, CK_NORMAL);
            /* The whole range of exp, its ends included. */
            for (int64_t j = 0; fill == CK_FILL_COUNT && j < n; j++)
                g[j] *= 110.0f;
            ck_seal(g);
            ck_seal(u);
            c->ref->silu_mul(g, u, n, want);
            c->fast->silu_mul(g, u, n, got);
            if (fill != CK_HOSTILE) {
                for (int64_t j = 0; j < n; j++) {
                    /* Near -88 the denominator overflows and the result is zero instead of 1e-37.
                     */
                    if (fabs((double)want[j]) > 1e-35)
                        ck_nmse(c, 1e-12, 0, want + j, got + j, 1, "element");
                    if (!(fabs((double)got[j]) <= fabs((double)want[j]) * 1.001 + 1e-35))
                        ck_fail(c, "not small");
                }
            }
            ck_check_front(c, got);
            /* Into either input. */
            float *a = ck_floats(n), *b = ck_floats(n);
            memcpy(a, g, (size_t)n * sizeof(*g));
            memcpy(b, u, (size_t)n * sizeof(*u));
            c->fast->silu_mul(a, u, n, a);
            c->fast->silu_mul(g, b, n, b);
            ck_same_f32(c, got, a, n, "into gate");
            ck_same_f32(c, got, b, n, "into up");
            ck_release();
        }
    }
}

static void gelu_case(ck *c, int64_t n, int fill, float size)
{
    ck_case(c, "n=%lld fill=%d size=%g", (long long)n, fill, (double)size);
    float *x = ck_floats(n), *want = ck_floats(n), *got = ck_floats(n), *same = ck_floats(n);
    ck_fill_f32(c, x, n, (ck_fill)fill);
    for (int64_t j = 0; j < n; j++)
        x[j] *= size;
    memcpy(same, x, (size_t)n * sizeof(*x));
    ck_seal(x);
    c->ref->gelu(x, n, want);
    c->fast->gelu(x, n, got);
    for (int64_t j = 0; j < n; j++) {
        if (isnan(x[j]) && !isnan(got[j])) ck_fail(c, "NaN turned into %g", (double)got[j]);
        if (fill == CK_HOSTILE && !isfinite(want[j])) continue;
        /* Each element by itself, down to where e^(-x^2/2) leaves the range. */
        if (fabs((double)want[j]) > 1e-35) ck_nmse(c, 1e-12, 0, want + j, got + j, 1, "element");
        if (!(fabs((double)got[j]) <= fabs((double)want[j]) * 1.001 + 1e-35))
            ck_fail(c, "%g gives %g, not %g", (double)x[j], (double)got[j], (double)want[j]);
    }
    ck_check_front(c, got);
    c->fast->gelu(same, n, same);
    ck_same_f32(c, got, same, n, "in place");
    ck_release();
}

static void check_gelu(ck *c)
{
    for (size_t i = 0; i < GLIM_COUNT(lengths_elem); i++) {
        for (int fill = 0; fill < CK_FILL_COUNT; fill++)
            gelu_case(c, lengths_elem[i], fill, 1);
        /* The bend, and both ends of the range of e^(-x^2/2). */
        gelu_case(c, lengths_elem[i], CK_NORMAL, 4);
        gelu_case(c, lengths_elem[i], CK_NORMAL, 16);
    }
    ck_case(c, "ends");
    const float x[] = {INFINITY, -INFINITY, FLT_MAX, -FLT_MAX};
    float y[4];
    c->fast->gelu(x, 4, y);
    if (!(y[0] == INFINITY && y[2] == FLT_MAX && y[3] == 0 && !(y[1] != 0)))
        ck_fail(c, "%g %g %g %g", (double)y[0], (double)y[1], (double)y[2], (double)y[3]);
}

static void check_add(ck *c)
{
    for (size_t i = 0; i < GLIM_COUNT(lengths_elem); i++) {
        for (int fill = 0; fill < CK_FILL_COUNT; fill++) {
            int64_t n = lengths_elem[i];
            ck_case(c, "n=%lld fill=%d", (long long)n, fill);
            float *x = ck_floats(n), *want = ck_floats(n), *got = ck_floats(n);
            ck_fill_f32(c, x, n, (ck_fill)fill);
            ck_fill_f32(c, want, n, (ck_fill)fill);
            memcpy(got, want, (size_t)n * sizeof(*x));
            ck_seal(x);
            c->ref->add(want, x, n);
            c->fast->add(got, x, n);
            ck_same_f32(c, want, got, n, "y");
            ck_check_front(c, got);
            ck_release();
        }
    }
}

static void check_axpy(ck *c)
{
    for (size_t i = 0; i < GLIM_COUNT(lengths_elem); i++) {
        for (int fill = 0; fill < CK_FILL_COUNT; fill++) {
            int64_t n = lengths_elem[i];
            ck_case(c, "n=%lld fill=%d", (long long)n, fill);
            float a = 2 * glim_rng_f32(&c->rng) - 1;
            float *x = ck_floats(n), *y = ck_floats(n), *want = ck_floats(n), *got = ck_floats(n);
            ck_fill_f32(c, x, n, (ck_fill)fill);
            ck_fill_f32(c, y, n, (ck_fill)fill);
            memcpy(want, y, (size_t)n * sizeof(*x));
            memcpy(got, y, (size_t)n * sizeof(*x));
            ck_seal(x);
            c->ref->axpy(want, a, x, n);
            c->fast->axpy(got, a, x, n);
            for (int64_t j = 0; j < n && fill != CK_HOSTILE; j++) {
                ck_mag(c, 2, want[j], got[j], fabs((double)y[j]) + fabs((double)a * (double)x[j]),
                       1);
            }
            ck_check_front(c, got);
            ck_release();
        }
    }
}

static void check_max(ck *c)
{
    for (size_t i = 0; i < GLIM_COUNT(lengths_elem); i++) {
        for (int fill = 0; fill < CK_FILL_COUNT + 1; fill++) {
            int64_t n = lengths_elem[i];
            ck_case(c, "n=%lld fill=%d", (long long)n, fill);
            float *x = ck_floats(n);
            ck_fill_f32(c, x, n, (ck_fill)(fill % CK_FILL_COUNT));
            /* All below zero, all NaN but one: the start value must not win. */
            for (int64_t j = 0; fill == CK_FILL_COUNT && j < n; j++)
                x[j] = j == n / 2 ? -1e30f : NAN;
            ck_seal(x);
            float want = c->ref->max(x, n), got = c->fast->max(x, n);
            if (!(want == got))
                ck_fail(c, "want %g, got %g", (double)want, (double)got); /* zeros of either sign */
            ck_release();
        }
    }
}

/* ---- attention ------------------------------------------------------------------------------- */

typedef struct state {
    float *m, *l, *acc;
    int64_t n, n_v;
} state;

static state state_new(int64_t n, int64_t n_v)
{
    state s = {ck_floats(n), ck_floats(n), ck_floats(n * n_v), n, n_v};
    for (int64_t i = 0; i < n; i++) {
        s.m[i] = -INFINITY;
        s.l[i] = 0;
    }
    for (int64_t i = 0; i < n * n_v; i++)
        s.acc[i] = 0;
    return s;
}

static void state_same(ck *c, const state *a, const state *b, const char *what)
{
    ck_same_f32(c, a->m, b->m, a->n, what);
    ck_same_f32(c, a->l, b->l, a->n, what);
    ck_same_f32(c, a->acc, b->acc, a->n * a->n_v, what);
}

/* size: of an ordinary element of the output. */
static void state_near(ck *c, double size, const state *want, const state *got)
{
    for (int64_t i = 0; i < want->n; i++) {
        if (want->m[i] == -INFINITY) {
            ck_same_f32(c, want->m + i, got->m + i, 1, "m");
            ck_same_f32(c, want->l + i, got->l + i, 1, "l");
            continue;
        }
        if (!(fabs((double)want->m[i] - (double)got->m[i]) <=
              1e-5 * (1 + fabs((double)want->m[i])))) {
            ck_fail(c, "m: want %g, got %g", (double)want->m[i], (double)got->m[i]);
        }
        /* What leaves attention is acc / l. */
        for (int64_t j = 0; j < want->n_v; j++) {
            want->acc[i * want->n_v + j] /= want->l[i];
            got->acc[i * want->n_v + j] /= got->l[i];
        }
    }
    /* Averages of many values between -1 and 1 come near zero by cancellation. */
    ck_nmse(c, 1e-10, size, want->acc, got->acc, want->n * want->n_v, "output");
    ck_check_front(c, got->acc);
    ck_check_front(c, got->m);
    ck_check_front(c, got->l);
}

static void mla_case(ck *c, int64_t n_head, int64_t n_pos, int64_t n_qk, int64_t n_v, ck_fill fill,
                     float sharp)
{
    glim_attn_mla_fn fast = c->fast->attn_mla[c->type], ref = c->ref->attn_mla[c->type];
    size_t pad = (size_t)(n_pos % 4), stride = ck_row_bytes(c->type, n_qk) + pad;
    int64_t q_stride = n_qk + n_head % 3;
    float scale = sharp / sqrtf((float)n_qk + 1);
    ck_case(c, "heads=%lld pos=%lld qk=%lld v=%lld fill=%d sharp=%g", (long long)n_head,
            (long long)n_pos, (long long)n_qk, (long long)n_v, fill, (double)sharp);
    float *q = ck_floats((n_head - 1) * q_stride + n_qk);
    ck_fill_f32(c, q, (n_head - 1) * q_stride + n_qk, fill == CK_HOSTILE ? CK_HOSTILE : CK_NORMAL);
    ck_seal(q);
    const uint8_t *kv = ck_weights(c, c->type, n_pos, n_qk, pad, 0, fill);
    state want = state_new(n_head, n_v), got = state_new(n_head, n_v), one = state_new(n_head, n_v),
          two = state_new(n_head, n_v);
    ref(q, q_stride, n_head, kv, stride, n_pos, n_qk, n_v, scale, want.m, want.l, want.acc);
    fast(q, q_stride, n_head, kv, stride, n_pos, n_qk, n_v, scale, got.m, got.l, got.acc);
    /* Head by head, and page by page. */
    for (int64_t h = 0; h < n_head; h++) {
        fast(q + h * q_stride, q_stride, 1, kv, stride, n_pos, n_qk, n_v, scale, one.m + h,
             one.l + h, one.acc + h * n_v);
    }
    for (int64_t t = 0; t < n_pos; t += 64) {
        fast(q, q_stride, n_head, kv + (size_t)t * stride, stride, GLIM_MIN(n_pos - t, 64), n_qk,
             n_v, scale, two.m, two.l, two.acc);
    }
    state_same(c, &got, &one, "heads apart");
    state_same(c, &got, &two, "pages apart");
    if (fill != CK_HOSTILE) state_near(c, fill == CK_NORMAL ? 0.1 : 0, &want, &got);
    ck_release();
}

static void check_mla(ck *c)
{
    static const int64_t shapes[][2] = {{80, 64}, {160, 128}, {576, 512}, {24, 16},
                                        {33, 17}, {40, 40},   {1, 1},     {5, 0}};
    static const int64_t n_heads[] = {1, 2, 3, 4, 5, 20, 33},
                         n_poss[] = {0, 1, 3, 4, 17, 63, 64, 65, 130};
    for (size_t s = 0; s < GLIM_COUNT(shapes); s++) {
        for (size_t h = 0; h < GLIM_COUNT(n_heads); h++) {
            for (size_t p = 0; p < GLIM_COUNT(n_poss); p++) {
                mla_case(c, n_heads[h], n_poss[p], shapes[s][0], shapes[s][1], CK_NORMAL,
                         (p & 1) ? 1.0f : 40.0f);
            }
        }
        mla_case(c, 5, 70, shapes[s][0], shapes[s][1], CK_ZERO, 1);
        mla_case(c, 5, 70, shapes[s][0], shapes[s][1], CK_DENORM, 1);
        mla_case(c, 5, 70, shapes[s][0], shapes[s][1], CK_HOSTILE, 1);
    }
    mla_case(c, 3, 20, 1500, 1100, CK_NORMAL, 1); /* fewer rows in the buffer of the fast version */
    mla_case(c, 3, 5, 12000, 16, CK_NORMAL, 1);   /* wider than that buffer */
}

static void mha_case(ck *c, int64_t n_q, int64_t n_k, int64_t n_qk, int64_t n_v, int64_t n_seen0,
                     ck_fill fill)
{
    int64_t q_stride = n_qk + n_q % 3;
    float scale = 3.0f / sqrtf((float)n_qk + 1);
    ck_case(c, "q=%lld k=%lld qk=%lld v=%lld seen0=%lld fill=%d", (long long)n_q, (long long)n_k,
            (long long)n_qk, (long long)n_v, (long long)n_seen0, fill);
    float *q = ck_floats((n_q - 1) * q_stride + n_qk), *k = ck_floats(n_k * n_qk),
          *v = ck_floats(n_k * n_v);
    ck_fill_f32(c, q, (n_q - 1) * q_stride + n_qk, CK_NORMAL);
    ck_fill_f32(c, k, n_k * n_qk, fill);
    ck_fill_f32(c, v, n_k * n_v, fill);
    ck_seal(q);
    ck_seal(k);
    ck_seal(v);
    state want = state_new(n_q, n_v), got = state_new(n_q, n_v), one = state_new(n_q, n_v);
    c->ref->attn_mha(q, q_stride, n_q, k, v, n_k, n_qk, n_v, n_seen0, scale, want.m, want.l,
                     want.acc);
    c->fast->attn_mha(q, q_stride, n_q, k, v, n_k, n_qk, n_v, n_seen0, scale, got.m, got.l,
                      got.acc);
    for (int64_t i = 0; i < n_q; i++) {
        c->fast->attn_mha(q + i * q_stride, q_stride, 1, k, v, n_k, n_qk, n_v, n_seen0 + i, scale,
                          one.m + i, one.l + i, one.acc + i * n_v);
    }
    if (fill != CK_HOSTILE) {
        state_same(c, &got, &one, "queries apart");
        state_near(c, fill == CK_NORMAL ? 0.1 : 0, &want, &got);
    }
    ck_release();
}

/* Scores of -inf weigh nothing, also where there is nothing else yet. */
static void mha_minus_inf(ck *c, int64_t n_minus)
{
    const int64_t n_q = 5, n_k = 100, n_d = 24;
    ck_case(c, "first %lld scores -inf", (long long)n_minus);
    float *q = ck_floats(n_q * n_d), *k = ck_floats(n_k * n_d), *v = ck_floats(n_k * n_d);
    for (int64_t i = 0; i < n_q * n_d; i++)
        q[i] = 0.1f + glim_rng_f32(&c->rng);
    ck_fill_f32(c, k, n_k * n_d, CK_NORMAL);
    ck_fill_f32(c, v, n_k * n_d, CK_NORMAL);
    for (int64_t i = 0; i < n_minus * n_d; i++)
        k[i] = -INFINITY;
    state want = state_new(n_q, n_d), got = state_new(n_q, n_d);
    c->ref->attn_mha(q, n_d, n_q, k, v, n_k, n_d, n_d, n_k, 0.2f, want.m, want.l, want.acc);
    c->fast->attn_mha(q, n_d, n_q, k, v, n_k, n_d, n_d, n_k, 0.2f, got.m, got.l, got.acc);
    state_near(c, 0.1, &want, &got);
    ck_release();
}

static void check_mha(ck *c)
{
    static const int64_t shapes[][2] = {{32, 16}, {40, 40}, {256, 256}, {5, 3}, {1, 1}};
    static const int64_t n_qs[] = {1, 4, 5, 31, 32, 33, 70}, n_ks[] = {0, 1, 5, 64, 65, 130};
    for (size_t s = 0; s < GLIM_COUNT(shapes); s++) {
        for (size_t i = 0; i < GLIM_COUNT(n_qs); i++) {
            for (size_t j = 0; j < GLIM_COUNT(n_ks); j++) {
                int64_t seen[] = {-3, 1, n_ks[j] - n_qs[i] + 1, n_ks[j], -100};
                for (size_t m = 0; m < GLIM_COUNT(seen); m++) {
                    mha_case(c, n_qs[i], n_ks[j], shapes[s][0], shapes[s][1], seen[m], CK_NORMAL);
                }
            }
        }
        mha_case(c, 33, 70, shapes[s][0], shapes[s][1], 38, CK_ZERO);
        mha_case(c, 33, 70, shapes[s][0], shapes[s][1], 38, CK_HOSTILE);
    }
    mha_minus_inf(c, 3);
    mha_minus_inf(c, 64);
    mha_minus_inf(c, 70);
    mha_minus_inf(c, 100);
}

/* ---- rows and levels ------------------------------------------------------------------------- */

#define CHECK(slot, fn, class)                                                                     \
    {                                                                                              \
        slot, fn, class                                                                            \
    }
static const struct check {
    const char *slot; /* up to '[' for slots that are arrays */
    void (*fn)(ck *c);
    const char *class;
} checks[] = {
    CHECK("dot", check_dot, "MAG 4"),           CHECK("gemm", check_gemm, "EXACT against dot"),
    CHECK("pack", check_pack, "EXACT"),         CHECK("unpack", check_unpack, "EXACT"),
    CHECK("rmsnorm", check_rmsnorm, "MAG 4"),   CHECK("layernorm", check_layernorm, "MAG 4"),
    CHECK("rope", check_rope, "MAG 4"),         CHECK("silu_mul", check_silu_mul, "NMSE 1e-12"),
    CHECK("gelu", check_gelu, "NMSE 1e-12"),    CHECK("add", check_add, "EXACT"),
    CHECK("axpy", check_axpy, "MAG 2"),         CHECK("max", check_max, "EXACT"),
    CHECK("attn_mla", check_mla, "NMSE 1e-10"), CHECK("attn_mha", check_mha, "NMSE 1e-10"),
};

static const struct check *find_check(const char *slot)
{
    size_t n = strcspn(slot, "[");
    for (size_t i = 0; i < GLIM_COUNT(checks); i++) {
        if (strlen(checks[i].slot) == n && memcmp(checks[i].slot, slot, n) == 0) return &checks[i];
    }
    return NULL;
}

static bool slot_type(const char *slot, glim_type *t)
{
    static const char *const names[] = {
#define TYPE(id, ...) "[GLIM_" #id "]",
#include "quant/types.def"
#undef TYPE
    };
    const char *index = slot + strcspn(slot, "[");
    if (!*index) return true;
    for (int i = 0; i < GLIM_TYPE_COUNT; i++) {
        if (strcmp(index, names[i]) == 0) {
            *t = (glim_type)i;
            return true;
        }
    }
    return false;
}

/* Every slot of every type is there at every level, and takes the activations that act[] names. */
static void check_level(ck *c, glim_cpu_level level)
{
    char name[40];
    snprintf(name, sizeof(name), "level %s", glim_cpu_level_name(level));
    c->slot = name;
    c->name = "all types";
    ck_case(c, "table");
    if (c->fast->level != level) ck_fail(c, "wrong level reported");
    for (int t = 0; t < GLIM_TYPE_COUNT; t++) {
        c->type = (glim_type)t;
        if (!c->fast->dot[t] || !c->fast->gemm[t] || !c->fast->unpack[t] ||
            !c->fast->pack[c->fast->act[t]]) {
            ck_fail(c, "empty slot for %s", glim_type_get((glim_type)t)->name);
            continue;
        }
        if (t == GLIM_Q8_K || t == GLIM_BF16X3) continue; /* activations only: no weights to try */
        dot_case(c, 3 * block_of(c->fast, c->type), CK_NORMAL, CK_NORMAL, 0);
        gemm_case(c, 3, 5, 2 * block_of(c->fast, c->type), CK_NORMAL, 1);
    }
}

static ck *current;
static void on_fault(int sig)
{
    char line[400];
    int n = snprintf(line, sizeof(line), "CRASH signal %d in %s %s: %s\n", sig, current->slot,
                     current->name, current->where);
    if (n > 0 && write(STDOUT_FILENO, line, (size_t)n) < 0) _exit(3);
    _exit(2);
}

typedef struct options {
    uint64_t seed;
    const char *filter;
    glim_cpu_level best;
    bool bench;
} options;

static bool parse(int argc, char **argv, options *o)
{
    o->seed = glim_entropy();
    o->best = glim_cpu_best();
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        glim_cpu_level level;
        if (strcmp(argv[i], "--bench") == 0) {
            o->bench = true;
        } else if (strcmp(argv[i], "--seed") == 0 && glim_parse_u64(glim_str_of(value), &o->seed)) {
            i++;
        } else if (strcmp(argv[i], "--filter") == 0 && *value) {
            o->filter = argv[++i];
        } else if (strcmp(argv[i], "--level") == 0 &&
                   glim_cpu_level_find(glim_str_of(value), &level)) {
            o->best = GLIM_MIN(o->best, level);
            i++;
        } else {
            return false;
        }
    }
    return true;
}

/* One row; returns its failures. */
static uint64_t run_row(const glim_kernel_row *row, const options *o, const glim_kernels *ref,
                        uint64_t seed)
{
    glim_kernels fast;
    ck c = {.ref = ref, .fast = &fast, .slot = row->slot, .name = row->name};
    const struct check *check = find_check(row->slot);
    current = &c;
    glim_rng_seed(&c.rng, seed);
    if (!check || !slot_type(row->slot, &c.type)) {
        ck_fail(&c, "no check for this slot: add one to the table");
        return c.n_fail;
    }
    if (row->needs > o->best) {
        if (!o->bench)
            printf("skip %-22s %-28s needs %s\n", row->slot, row->name,
                   glim_cpu_level_name(row->needs));
        return 0;
    }
    glim_kernels_get(row->needs, &fast);
    if (o->bench) {
        ck_bench(&c, row->needs);
        return 0;
    }
    check->fn(&c);
    printf("%-4s %-22s %-28s %s, %llu cases", c.n_fail ? "FAIL" : "ok", row->slot, row->name,
           check->class, (unsigned long long)c.n_case);
    if (c.worst > 0) printf(", worst %.3g", c.worst);
    if (c.nmse_num > 0) printf(", NMSE with rounded activations %.2g", c.nmse_num / c.nmse_den);
    printf("\n");
    return c.n_fail;
}

int main(int argc, char **argv)
{
    options o = {0};
    if (!parse(argc, argv, &o)) {
        fprintf(stderr, "usage: checkkern [--seed N] [--filter TEXT] [--level NAME] [--bench]\n");
        return 64;
    }
    struct sigaction act = {.sa_handler = on_fault};
    sigaction(SIGSEGV, &act, NULL);
    sigaction(SIGBUS, &act, NULL);
    sigaction(SIGILL, &act, NULL);
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!o.bench) {
        printf("checkkern: seed %llu, levels up to %s\n", (unsigned long long)o.seed,
               glim_cpu_level_name(o.best));
    }
    glim_kernels ref;
    glim_kernels_get(GLIM_CPU_REF, &ref);
    size_t n_row;
    const glim_kernel_row *rows = glim_kernels_rows(&n_row);
    uint64_t n_fail = 0;
    for (size_t i = 0; i < n_row; i++) {
        if (o.filter && !strstr(rows[i].slot, o.filter) && !strstr(rows[i].name, o.filter))
            continue;
        n_fail += run_row(&rows[i], &o, &ref, o.seed);
    }
    for (int l = 0; l <= (int)o.best && !o.bench && !o.filter; l++) {
        glim_kernels fast;
        ck c = {.ref = &ref, .fast = &fast};
        current = &c;
        glim_rng_seed(&c.rng, o.seed);
        glim_kernels_get((glim_cpu_level)l, &fast);
        check_level(&c, (glim_cpu_level)l);
        printf("%-4s level %s: every type, %llu cases\n", c.n_fail ? "FAIL" : "ok",
               glim_cpu_level_name((glim_cpu_level)l), (unsigned long long)c.n_case);
        n_fail += c.n_fail;
    }
    if (n_fail)
        printf("checkkern: %llu failures, seed %llu\n", (unsigned long long)n_fail,
               (unsigned long long)o.seed);
    return n_fail ? 1 : 0;
}
