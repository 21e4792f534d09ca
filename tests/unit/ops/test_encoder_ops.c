/* SPDX-License-Identifier: MIT
 * test_encoder_ops.c - what encoders need of ops (layer norm, bias, exact gelu, attention without a
 * mask) against plain loops in double, at odd shapes; and the same bits for other splits. */
#include "opsfix.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define EACH_LEVEL(level)                                                                          \
    for (glim_cpu_level level = GLIM_CPU_REF; level <= glim_cpu_best(); level++)

static void test_layernorm(void **state)
{
    static const int64_t widths[] = {1, 2, 5, 16, 17, 80, 384, 1000};
    (void)state;
    EACH_LEVEL(level)
    {
        opsfix f;
        opsfix_open(&f, level, 2, 64);
        for (size_t i = 0; i < GLIM_COUNT(widths); i++) {
            int64_t n = widths[i], n_row = 7, stride = n + 3;
            float *x = opsfix_floats(i, n_row * stride), *w = opsfix_floats(i + 50, n),
                  *b = opsfix_floats(i + 99, n), *y = opsfix_floats(0, n_row * stride);
            for (int64_t k = 0; k < n;
                 k++) /* far from 0: the variance must not come from squares */
                x[k] += 4000;
            glim_op_layernorm(&f.o, x, stride, w, b, n_row, n, 1e-5f, y, stride);
            for (int64_t r = 0; r < n_row; r++) {
                double mean = 0, var = 0;
                for (int64_t k = 0; k < n; k++)
                    mean += (double)x[r * stride + k] / (double)n;
                for (int64_t k = 0; k < n; k++)
                    var += pow((double)x[r * stride + k] - mean, 2) / (double)n;
                for (int64_t k = 0; k < n; k++) {
                    double want = ((double)x[r * stride + k] - mean) / sqrt(var + (double)1e-5f) *
                                      (double)w[k] +
                                  (double)b[k];
                    if (fabs((double)y[r * stride + k] - want) > 2e-6 * (1 + fabs(want)))
                        fail_msg("width %lld row %lld: %g, not %g", (long long)n, (long long)r,
                                 (double)y[r * stride + k], want);
                }
            }
            glim_op_layernorm(&f.o, x, stride, w, b, n_row, n, 1e-5f, x, stride); /* in place */
            for (int64_t r = 0; r < n_row; r++)
                assert_memory_equal(x + r * stride, y + r * stride, (size_t)n * sizeof *x);
            glim_free(x), glim_free(w), glim_free(b), glim_free(y);
        }
        opsfix_close(&f);
    }
}

static void test_bias_and_gelu(void **state)
{
    (void)state;
    EACH_LEVEL(level)
    {
        opsfix f;
        int64_t n = 4099, stride = 37, width = 33;
        opsfix_open(&f, level, 2, 64);
        float *x = opsfix_floats(3, n), *y = opsfix_floats(4, n), *b = opsfix_floats(5, width),
              *was = opsfix_floats(4, n);
        glim_op_add_bias(&f.o, y, stride, b, 100, width);
        for (int64_t i = 0; i < n; i++) {
            int64_t col = i % stride;
            float want = i / stride < 100 && col < width ? was[i] + b[col] : was[i];
            if (y[i] != want) fail_msg("bias at %lld", (long long)i);
        }
        for (int64_t i = 0; i < n; i++)
            x[i] *= 12;
        x[0] = 0, x[1] = -40, x[2] = 40, x[3] = -INFINITY;
        glim_op_gelu(&f.o, x, n, y);
        /* Plain C rounds once; the others are of class NMSE 1e-12 (kernels.h). */
        double near = level == GLIM_CPU_REF ? 1e-7 : 1e-6;
        for (int64_t i = 0; i < n; i++) {
            long double v = (long double)x[i],
                        want = i == 3 ? 0 : v * 0.5L * erfcl(-v / sqrtl(2.0L));
            if (i == 3 ? !isnan(y[i]) && y[i] != 0
                       : fabs((double)y[i] - (double)want) > near * fabs((double)want) + 1e-37)
                fail_msg("gelu(%g) is %g, not %g", (double)x[i], (double)y[i], (double)want);
        }
        glim_op_gelu(&f.o, x, n, x);
        assert_memory_equal(x, y, 3 * sizeof *x);
        assert_memory_equal(x + 4, y + 4, (size_t)(n - 4) * sizeof *x);
        glim_free(x), glim_free(y), glim_free(b), glim_free(was);
        opsfix_close(&f);
    }
}

/* Fused operations give the bits of their parts. */
static void test_fused(void **state)
{
    (void)state;
    EACH_LEVEL(level)
    {
        opsfix f;
        const int64_t n_row = 77, n = 100, all = n_row * n;
        opsfix_open(&f, level, 2, 64);
        float *x = opsfix_floats(3, all), *y = opsfix_floats(4, all), *h = opsfix_floats(3, all),
              *z = opsfix_floats(4, all), *bias = opsfix_floats(5, n), *w = opsfix_floats(6, n),
              *b = opsfix_floats(7, n);
        glim_op_add_bias(&f.o, h, n, bias, n_row, n);
        glim_op_add(&f.o, z, h, all);
        glim_op_layernorm(&f.o, z, n, w, b, n_row, n, 1e-5f, z, n);
        glim_op_bias_add_layernorm(&f.o, y, x, bias, w, b, n_row, n, 1e-5f);
        assert_memory_equal(y, z, (size_t)all * sizeof *y);

        glim_op_gelu(&f.o, h, all, z);
        float *again = opsfix_floats(3, all);
        glim_op_bias_gelu(&f.o, again, bias, n_row, n);
        for (int64_t i = 0; i < all; i++)
            if (again[i] != z[i]) fail_msg("gelu at %lld", (long long)i);
        glim_free(x), glim_free(y), glim_free(h), glim_free(z), glim_free(bias), glim_free(w),
            glim_free(b), glim_free(again);
        opsfix_close(&f);
    }
}

typedef struct shape {
    int64_t n_head, n_dim, n_seq, offset[6];
} shape;

static const shape shapes[] = {
    {1, 1, 1, {0, 1}},
    {3, 20, 4, {0, 1, 6, 70, 200}},
    {2, 64, 2, {0, 64, 128}},
    {5, 33, 3, {0, 65, 65, 194}}, /* one of them empty */
    {12, 32, 5, {0, 63, 64, 192, 321, 330}},
};

static void plain_attention(const shape *s, const float *q, const float *k, const float *v,
                            double scale, double *out)
{
    int64_t stride = s->n_head * s->n_dim;
    double p[512];
    for (int64_t i = 0; i < s->n_seq; i++)
        for (int64_t t = s->offset[i]; t < s->offset[i + 1]; t++)
            for (int64_t h = 0; h < s->n_head; h++) {
                double sum = 0;
                const float *qt = q + t * stride + h * s->n_dim;
                for (int64_t j = s->offset[i]; j < s->offset[i + 1]; j++) {
                    double score = 0;
                    for (int64_t d = 0; d < s->n_dim; d++)
                        score += (double)qt[d] * (double)k[j * stride + h * s->n_dim + d];
                    sum += p[j] = exp(score * scale);
                }
                for (int64_t d = 0; d < s->n_dim; d++) {
                    double *y = &out[t * stride + h * s->n_dim + d];
                    *y = 0;
                    for (int64_t j = s->offset[i]; j < s->offset[i + 1]; j++)
                        *y += p[j] / sum * (double)v[j * stride + h * s->n_dim + d];
                }
            }
}

static void check_shape(const shape *s, glim_cpu_level level)
{
    int64_t n_tok = s->offset[s->n_seq], stride = s->n_head * s->n_dim, n = n_tok * stride;
    const glim_mha a = {s->n_head, s->n_dim, 1 / sqrtf((float)s->n_dim)};
    float *q = opsfix_floats(1, n), *k = opsfix_floats(2, n), *v = opsfix_floats(3, n),
          *out[4] = {0};
    double *want = glim_alloc_array((size_t)n, sizeof *want);
    plain_attention(s, q, k, v, (double)a.scale, want);
    for (int n_thread = 1; n_thread <= 3; n_thread++) {
        opsfix f;
        opsfix_open(&f, level, n_thread, glim_op_attn_full_scratch(&a, s->n_seq, n_thread));
        out[n_thread] = opsfix_floats(9, n);
        assert_int_equal(glim_op_attn_full(&f.o, &a, s->offset, s->n_seq, q, k, v, out[n_thread]),
                         GLIM_OK);
        assert_int_equal(glim_arena_used(f.o.step), 0);
        assert_memory_equal(out[n_thread], out[1], (size_t)n * sizeof *q);
        if (n_thread == 3) { /* over the queries themselves */
            assert_int_equal(glim_op_attn_full(&f.o, &a, s->offset, s->n_seq, q, k, v, q), GLIM_OK);
            assert_memory_equal(out[1], q, (size_t)n * sizeof *q);
        }
        opsfix_close(&f);
    }
    for (int64_t i = 0; i < n; i++)
        if (!(fabs((double)out[1][i] - want[i]) < 2e-6))
            fail_msg("%s: value %lld is %g, not %g", glim_cpu_level_name(level), (long long)i,
                     (double)out[1][i], want[i]);
    glim_free(q), glim_free(k), glim_free(v), glim_free(want);
    glim_free(out[1]), glim_free(out[2]), glim_free(out[3]);
}

static void test_attention(void **state)
{
    (void)state;
    EACH_LEVEL(level)
    for (size_t i = 0; i < GLIM_COUNT(shapes); i++)
        check_shape(&shapes[i], level);
}

/* A sequence alone gives the bits it gives between others. */
static void test_alone(void **state)
{
    const shape *s = &shapes[4];
    const glim_mha a = {s->n_head, s->n_dim, 0.2f};
    int64_t n = s->offset[s->n_seq] * s->n_head * s->n_dim;
    (void)state;
    EACH_LEVEL(level)
    {
        float *q = opsfix_floats(1, n), *k = opsfix_floats(2, n), *v = opsfix_floats(3, n),
              *all = opsfix_floats(0, n), *one = opsfix_floats(0, n);
        opsfix f;
        opsfix_open(&f, level, 2, glim_op_attn_full_scratch(&a, s->n_seq, 2));
        assert_int_equal(glim_op_attn_full(&f.o, &a, s->offset, s->n_seq, q, k, v, all), GLIM_OK);
        for (int64_t i = 0; i < s->n_seq; i++) {
            int64_t at = s->offset[i] * s->n_head * s->n_dim,
                    alone[] = {0, s->offset[i + 1] - s->offset[i]};
            assert_int_equal(
                glim_op_attn_full(&f.o, &a, alone, 1, q + at, k + at, v + at, one + at), GLIM_OK);
        }
        assert_memory_equal(one, all, (size_t)n * sizeof *q);
        opsfix_close(&f);
        glim_free(q), glim_free(k), glim_free(v), glim_free(all), glim_free(one);
    }
}

static void test_small_arena(void **state)
{
    const shape *s = &shapes[1];
    const glim_mha a = {s->n_head, s->n_dim, 1};
    int64_t n = s->offset[s->n_seq] * s->n_head * s->n_dim;
    float *q = opsfix_floats(1, n);
    opsfix f;
    (void)state;
    opsfix_open(&f, GLIM_CPU_REF, 2, glim_op_attn_full_scratch(&a, s->n_seq, 2) / 2);
    assert_int_equal(glim_op_attn_full(&f.o, &a, s->offset, s->n_seq, q, q, q, q), GLIM_E_INTERNAL);
    opsfix_close(&f);
    glim_free(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layernorm),   cmocka_unit_test(test_bias_and_gelu),
        cmocka_unit_test(test_attention),   cmocka_unit_test(test_alone),
        cmocka_unit_test(test_small_arena), cmocka_unit_test(test_fused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
