/* SPDX-License-Identifier: MIT
 * test_mla.c - latent attention: both forms against plain loops in double, at odd shapes and across
 * pages. */
#include "opsfix.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

typedef struct shape {
    int64_t n_head, n_nope, n_rot, n_v, n_latent, pos0, n_tok;
} shape;

static const shape shapes[] = {
    {1, 4, 2, 3, 5, 0, 1},     {5, 24, 16, 40, 64, 0, 7},   {4, 32, 32, 64, 128, 60, 9},
    {7, 16, 8, 24, 32, 63, 1}, {3, 20, 4, 12, 36, 100, 64}, {2, 8, 8, 8, 16, 0, 300},
};

/* Everything of one case, with the cache filled by rounding to its type. */
typedef struct fixture {
    shape s;
    glim_type type;
    glim_mla a;
    float *k_b, *v_b, *u_k, *q, *rows, *want;
    uint8_t **page;
    glim_kv_view kv;
    const uint8_t *part[3][8];
} fixture;

static void plain_attention(fixture *f)
{
    const shape *s = &f->s;
    int64_t n_qk = s->n_nope + s->n_rot, width = s->n_latent + s->n_rot;
    double *p = glim_alloc_array((size_t)(s->pos0 + s->n_tok), sizeof *p);
    for (int64_t t = 0; t < s->n_tok; t++)
        for (int64_t h = 0; h < s->n_head; h++) {
            const float *q = f->q + (t * s->n_head + h) * n_qk;
            int64_t n = s->pos0 + t + 1;
            double top = -INFINITY, sum = 0;
            for (int64_t i = 0; i < n; i++) {
                const float *row = f->rows + i * width;
                double score = 0;
                for (int64_t d = 0; d < s->n_nope; d++) {
                    double key = 0;
                    for (int64_t c = 0; c < s->n_latent; c++)
                        key +=
                            (double)f->u_k[(h * s->n_nope + d) * s->n_latent + c] * (double)row[c];
                    score += (double)q[d] * key;
                }
                for (int64_t d = 0; d < s->n_rot; d++)
                    score += (double)q[s->n_nope + d] * (double)row[s->n_latent + d];
                p[i] = score * (double)f->a.scale;
                top = fmax(top, p[i]);
            }
            for (int64_t i = 0; i < n; i++)
                sum += p[i] = exp(p[i] - top);
            for (int64_t v = 0; v < s->n_v; v++) {
                double out = 0;
                for (int64_t i = 0; i < n; i++) {
                    double value = 0;
                    for (int64_t c = 0; c < s->n_latent; c++)
                        value += (double)f->v_b[(h * s->n_v + v) * s->n_latent + c] *
                                 (double)f->rows[i * width + c];
                    out += p[i] / sum * value;
                }
                f->want[(t * s->n_head + h) * s->n_v + v] = (float)out;
            }
        }
    glim_free(p);
}

static void setup(fixture *f, const shape *s, glim_type type, uint64_t seed)
{
    int64_t n_pos = s->pos0 + s->n_tok, width = s->n_latent + s->n_rot,
            n_page = (n_pos + GLIM_KV_PAGE - 1) / GLIM_KV_PAGE;
    memset(f, 0, sizeof *f);
    f->s = *s;
    f->type = type;
    f->u_k = opsfix_floats(seed, s->n_head * s->n_nope * s->n_latent);
    f->v_b = opsfix_floats(seed + 1, s->n_head * s->n_v * s->n_latent);
    f->q = opsfix_floats(seed + 2, s->n_tok * s->n_head * (s->n_nope + s->n_rot));
    f->rows = opsfix_floats(seed + 3, n_pos * width);
    f->k_b = opsfix_floats(seed, s->n_head * s->n_nope * s->n_latent);
    f->want = opsfix_floats(0, s->n_tok * s->n_head * s->n_v);
    for (int64_t h = 0; h < s->n_head; h++) {
        for (int64_t d = 0; d < s->n_nope; d++)
            for (int64_t c = 0; c < s->n_latent; c++)
                f->k_b[(h * s->n_latent + c) * s->n_nope + d] =
                    f->u_k[(h * s->n_nope + d) * s->n_latent + c];
        f->part[0][h] = (const uint8_t *)(f->k_b + h * s->n_latent * s->n_nope);
        f->part[1][h] = (const uint8_t *)(f->v_b + h * s->n_v * s->n_latent);
        f->part[2][h] = (const uint8_t *)(f->u_k + h * s->n_nope * s->n_latent);
    }
    f->a = (glim_mla){.n_head = s->n_head,
                      .n_nope = s->n_nope,
                      .n_rot = s->n_rot,
                      .n_v = s->n_v,
                      .n_latent = s->n_latent,
                      .scale = 0.3f};
    f->a.k_b = (glim_mats){opsfix_mat(NULL, s->n_latent, s->n_nope), s->n_head, f->part[0]};
    f->a.v_b = (glim_mats){opsfix_mat(NULL, s->n_v, s->n_latent), s->n_head, f->part[1]};
    f->page = glim_alloc_array((size_t)n_page, sizeof *f->page);
    size_t row_bytes = (size_t)width * glim_type_get(type)->block_bytes;
    for (int64_t i = 0; i < n_page; i++)
        f->page[i] = glim_alloc0(row_bytes * GLIM_KV_PAGE + 128);
    f->kv = (glim_kv_view){type, width, row_bytes, 128, f->page};
}

static void teardown(fixture *f)
{
    int64_t n_page = (f->s.pos0 + f->s.n_tok + GLIM_KV_PAGE - 1) / GLIM_KV_PAGE;
    for (int64_t i = 0; i < n_page; i++)
        glim_free(f->page[i]);
    glim_free(f->page);
    glim_free(f->u_k);
    glim_free(f->v_b);
    glim_free(f->q);
    glim_free(f->rows);
    glim_free(f->k_b);
    glim_free(f->want);
}

static void assert_near(const float *got, const float *want, int64_t n, double tol)
{
    for (int64_t i = 0; i < n; i++)
        if (!(fabs((double)got[i] - (double)want[i]) <= tol))
            fail_msg("value %lld: %g, expected %g", (long long)i, (double)got[i], (double)want[i]);
}

static void test_forms(void **state)
{
    (void)state;
    static const glim_type types[] = {GLIM_F32, GLIM_F16, GLIM_BF16};
    for (size_t i = 0; i < GLIM_COUNT(shapes); i++)
        for (size_t ty = 0; ty < GLIM_COUNT(types); ty++)
            for (int level = 0; level <= (int)glim_cpu_best(); level++) {
                fixture f;
                opsfix o;
                setup(&f, &shapes[i], types[ty], 100 + i);
                const shape *s = &f.s;
                int64_t n_out = s->n_tok * s->n_head * s->n_v;
                opsfix_open(&o, (glim_cpu_level)level, 2, glim_op_mla_scratch(&f.a, s->n_tok, 2));
                glim_op_kv_store(&o.o, &f.kv, 0, s->pos0 + s->n_tok, f.rows, f.kv.width);
                for (int64_t p = 0; p < s->pos0 + s->n_tok;
                     p++) /* the truth sees the rounded rows */
                    o.k.unpack[types[ty]](glim_kv_row(&f.kv, p), f.rows + p * f.kv.width,
                                          f.kv.width);
                plain_attention(&f);
                float *out = opsfix_floats(9, n_out);
                assert_int_equal(
                    glim_op_mla_absorbed(&o.o, &f.a, &f.kv, f.q, s->pos0, s->n_tok, out), GLIM_OK);
                assert_near(out, f.want, n_out, 2e-4);
                memset(out, 0, (size_t)n_out * sizeof *out);
                assert_int_equal(
                    glim_op_mla_expanded(&o.o, &f.a, &f.kv, f.q, s->pos0, s->n_tok, out), GLIM_OK);
                assert_near(out, f.want, n_out, 2e-4);
                f.a.u_k =
                    (glim_mats){opsfix_mat(NULL, s->n_nope, s->n_latent), s->n_head, f.part[2]};
                memset(out, 0, (size_t)n_out * sizeof *out);
                assert_int_equal(
                    glim_op_mla_expanded(&o.o, &f.a, &f.kv, f.q, s->pos0, s->n_tok, out), GLIM_OK);
                assert_near(out, f.want, n_out, 2e-4);
                glim_free(out);
                opsfix_close(&o);
                teardown(&f);
            }
}

/* Bits must not depend on the number of threads, nor (absorbed) on how queries are grouped into
 * calls. */
static void test_split_changes_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < GLIM_COUNT(shapes); i++) {
        fixture f;
        opsfix one, many;
        setup(&f, &shapes[i], GLIM_F16, 200 + i);
        const shape *s = &f.s;
        int64_t n_row = s->n_head * s->n_v, n_q = s->n_head * (s->n_nope + s->n_rot);
        opsfix_open(&one, glim_cpu_best(), 1, glim_op_mla_scratch(&f.a, s->n_tok, 1));
        opsfix_open(&many, glim_cpu_best(), 3, glim_op_mla_scratch(&f.a, s->n_tok, 3));
        glim_op_kv_store(&one.o, &f.kv, 0, s->pos0 + s->n_tok, f.rows, f.kv.width);
        float *a = opsfix_floats(1, s->n_tok * n_row), *b = opsfix_floats(2, s->n_tok * n_row);
        assert_int_equal(glim_op_mla_expanded(&one.o, &f.a, &f.kv, f.q, s->pos0, s->n_tok, a),
                         GLIM_OK);
        assert_int_equal(glim_op_mla_expanded(&many.o, &f.a, &f.kv, f.q, s->pos0, s->n_tok, b),
                         GLIM_OK);
        assert_memory_equal(a, b, (size_t)(s->n_tok * n_row) * sizeof *a);
        assert_int_equal(glim_op_mla_absorbed(&many.o, &f.a, &f.kv, f.q, s->pos0, s->n_tok, a),
                         GLIM_OK);
        for (int64_t t = 0; t < s->n_tok; t++)
            assert_int_equal(glim_op_mla_absorbed(&one.o, &f.a, &f.kv, f.q + t * n_q, s->pos0 + t,
                                                  1, b + t * n_row),
                             GLIM_OK);
        assert_memory_equal(a, b, (size_t)(s->n_tok * n_row) * sizeof *a);
        glim_free(a);
        glim_free(b);
        opsfix_close(&one);
        opsfix_close(&many);
        teardown(&f);
    }
}

static void test_choice(void **state)
{
    (void)state;
    const glim_mla flash = {.n_head = 20, .n_nope = 192, .n_rot = 64, .n_v = 256, .n_latent = 512};
    assert_false(glim_op_mla_prefers_expanded(&flash, 4096, 1));   /* decode */
    assert_false(glim_op_mla_prefers_expanded(&flash, 32768, 16)); /* speculative verify */
    assert_true(glim_op_mla_prefers_expanded(&flash, 128, 384));   /* a fresh prompt */
    assert_false(glim_op_mla_prefers_expanded(&flash, 127, 384));  /* begins too early: never */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_split_changes_nothing),
        cmocka_unit_test(test_choice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
