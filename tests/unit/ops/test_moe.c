/* SPDX-License-Identifier: MIT
 * test_moe.c - the router's rules one by one, and the experts against plain loops. */
#include "opsfix.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define N_EXPERT 8

/* A router whose logits are the inputs themselves. */
static void route(const glim_router *proto, const float *logits, int32_t *ids, float *weights)
{
    float eye[N_EXPERT * N_EXPERT] = {0};
    for (int i = 0; i < N_EXPERT; i++)
        eye[i * N_EXPERT + i] = 1;
    glim_router r = *proto;
    r.w = opsfix_mat(eye, N_EXPERT, N_EXPERT);
    opsfix f;
    opsfix_open(&f, GLIM_CPU_REF, 1, glim_op_moe_scratch(N_EXPERT, 1, N_EXPERT, r.n_used, 1));
    assert_int_equal(glim_op_route(&f.o, &r, logits, 1, ids, weights), GLIM_OK);
    opsfix_close(&f);
}

static float sigmoid(float x)
{
    return 1 / (1 + expf(-x));
}

static void test_sigmoid_bias_selects_only(void **state)
{
    (void)state;
    const float logits[N_EXPERT] = {2, 1, 0, -1, -2, -3, -4, -5},
                bias[N_EXPERT] = {0, 0, 0, 0, 0, 0, 0, 5};
    const glim_router r = {.bias = bias,
                           .gating = GLIM_GATING_SIGMOID,
                           .n_used = 2,
                           .n_group = 1,
                           .n_group_used = 1,
                           .norm = true,
                           .scale = 1.8f};
    int32_t ids[2];
    float w[2];
    route(&r, logits, ids, w);
    assert_int_equal(ids[0], 7); /* only the bias brought it here ... */
    assert_int_equal(ids[1], 0);
    float a = sigmoid(-5), b = sigmoid(2);
    assert_true(fabsf(w[0] - 1.8f * a / (a + b)) <
                1e-6f); /* ... and it does not count in the weight */
    assert_true(fabsf(w[1] - 1.8f * b / (a + b)) < 1e-6f);
}

static void test_softmax_plain(void **state)
{
    (void)state;
    const float logits[N_EXPERT] = {0, 1, 2, 3, 4, 5, 6, 7};
    const glim_router r = {.gating = GLIM_GATING_SOFTMAX,
                           .n_used = 3,
                           .n_group = 1,
                           .n_group_used = 1,
                           .norm = false,
                           .scale = 1};
    int32_t ids[3];
    float w[3], sum = 0;
    for (int i = 0; i < N_EXPERT; i++)
        sum += expf((float)i - 7);
    route(&r, logits, ids, w);
    for (int k = 0; k < 3; k++) {
        assert_int_equal(ids[k], 7 - k);
        assert_true(fabsf(w[k] - expf((float)-k) / sum) < 1e-6f); /* not renormalised */
    }
}

static void test_ties_go_to_the_lower_id(void **state)
{
    (void)state;
    const float logits[N_EXPERT] = {1, 1, 1, 1, 1, 1, 1, 1};
    const glim_router r = {.gating = GLIM_GATING_SIGMOID,
                           .n_used = 3,
                           .n_group = 1,
                           .n_group_used = 1,
                           .norm = true,
                           .scale = 1};
    int32_t ids[3];
    float w[3];
    route(&r, logits, ids, w);
    for (int k = 0; k < 3; k++)
        assert_int_equal(ids[k], k);
}

static void test_groups_sum_of_two_best(void **state)
{
    (void)state;
    /* Group 0 holds the single best expert, group 1 the better pair: with one group in play, group
     * 1 wins. */
    const float logits[N_EXPERT] = {3, -9, 1.5f, 1.4f, -9, -9, -9, -9};
    const glim_router r = {.gating = GLIM_GATING_SIGMOID,
                           .n_used = 2,
                           .n_group = 4,
                           .n_group_used = 1,
                           .norm = true,
                           .scale = 1};
    int32_t ids[2];
    float w[2];
    route(&r, logits, ids, w);
    assert_int_equal(ids[0], 2);
    assert_int_equal(ids[1], 3);
}

static void test_groups_by_best_with_softmax(void **state)
{
    (void)state;
    const float logits[N_EXPERT] = {3, -9, 1.5f, 1.4f, -9, -9, -9, -9};
    const glim_router r = {.gating = GLIM_GATING_SOFTMAX,
                           .n_used = 2,
                           .n_group = 4,
                           .n_group_used = 1,
                           .norm = false,
                           .scale = 1};
    int32_t ids[2];
    float w[2];
    route(&r, logits, ids, w);
    assert_int_equal(ids[0], 0);
    assert_int_equal(ids[1], 1);
}

static void test_nan_scores(void **state)
{
    (void)state;
    float logits[N_EXPERT];
    for (int i = 0; i < N_EXPERT; i++)
        logits[i] = NAN;
    const glim_router r = {.gating = GLIM_GATING_SIGMOID,
                           .n_used = 4,
                           .n_group = 2,
                           .n_group_used = 1,
                           .norm = true,
                           .scale = 1};
    int32_t ids[4];
    float w[4];
    route(&r, logits, ids, w);
    for (int k = 0; k < 4; k++) {
        assert_in_range(ids[k], 0, N_EXPERT - 1);
        assert_true(isnan(w[k]));
    }
}

enum { EMBD = 20, FF = 12, USED = 3, TOKS = 11 };

static void plain_moe(const float *gate, const float *up, const float *down, const float *x,
                      const int32_t *ids, const float *w, float *y)
{
    for (int k = 0; k < USED; k++) {
        double h[FF];
        for (int f = 0; f < FF; f++) {
            double g = 0, u = 0;
            for (int c = 0; c < EMBD; c++) {
                g += (double)gate[(ids[k] * FF + f) * EMBD + c] * (double)x[c];
                u += (double)up[(ids[k] * FF + f) * EMBD + c] * (double)x[c];
            }
            h[f] = g / (1 + exp(-g)) * u;
        }
        for (int r = 0; r < EMBD; r++) {
            double s = 0;
            for (int f = 0; f < FF; f++)
                s += (double)down[(ids[k] * EMBD + r) * FF + f] * h[f];
            y[r] += (float)((double)w[k] * s);
        }
    }
}

static void test_experts(void **state)
{
    (void)state;
    float *gate = opsfix_floats(1, N_EXPERT * FF * EMBD),
          *up = opsfix_floats(2, N_EXPERT * FF * EMBD),
          *down = opsfix_floats(3, N_EXPERT * FF * EMBD), *x = opsfix_floats(4, TOKS * EMBD),
          *w = opsfix_floats(5, TOKS * USED);
    const uint8_t *part[3][N_EXPERT];
    int32_t ids[TOKS * USED];
    glim_rng r;
    glim_rng_seed(&r, 6);
    for (int t = 0; t < TOKS; t++)
        for (int k = 0; k < USED; k++)
            ids[t * USED + k] = (int32_t)((glim_rng_u64(&r) % 5 + (uint64_t)k * 3) %
                                          N_EXPERT); /* some experts stay idle */
    for (int i = 0; i < N_EXPERT; i++) {
        part[0][i] = (const uint8_t *)(gate + i * FF * EMBD);
        part[1][i] = (const uint8_t *)(up + i * FF * EMBD);
        part[2][i] = (const uint8_t *)(down + i * FF * EMBD);
    }
    const glim_experts ex = {{opsfix_mat(NULL, FF, EMBD), N_EXPERT, part[0]},
                             {opsfix_mat(NULL, FF, EMBD), N_EXPERT, part[1]},
                             {opsfix_mat(NULL, EMBD, FF), N_EXPERT, part[2]}};
    for (int level = 0; level <= (int)glim_cpu_best(); level++)
        for (int n_thread = 1; n_thread <= 2; n_thread++) {
            opsfix f;
            float y[TOKS * EMBD], want[TOKS * EMBD], one[EMBD];
            opsfix_open(&f, (glim_cpu_level)level, n_thread,
                        glim_op_moe_scratch(EMBD, FF, N_EXPERT, USED, TOKS));
            for (int i = 0; i < TOKS * EMBD; i++)
                y[i] = want[i] = 0.25f; /* the op adds */
            assert_int_equal(glim_op_moe(&f.o, &ex, x, TOKS, ids, w, USED, y), GLIM_OK);
            for (int t = 0; t < TOKS; t++) {
                plain_moe(gate, up, down, x + t * EMBD, ids + t * USED, w + t * USED,
                          want + t * EMBD);
                for (int i = 0; i < EMBD; i++)
                    assert_true(fabsf(y[t * EMBD + i] - want[t * EMBD + i]) < 1e-4f);
                for (int i = 0; i < EMBD; i++)
                    one[i] = 0.25f; /* alone: the same bits */
                assert_int_equal(glim_op_moe(&f.o, &ex, x + t * EMBD, 1, ids + t * USED,
                                             w + t * USED, USED, one),
                                 GLIM_OK);
                assert_memory_equal(one, y + t * EMBD, sizeof one);
            }
            opsfix_close(&f);
        }
    glim_free(gate);
    glim_free(up);
    glim_free(down);
    glim_free(x);
    glim_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sigmoid_bias_selects_only),
        cmocka_unit_test(test_softmax_plain),
        cmocka_unit_test(test_ties_go_to_the_lower_id),
        cmocka_unit_test(test_groups_sum_of_two_best),
        cmocka_unit_test(test_groups_by_best_with_softmax),
        cmocka_unit_test(test_nan_scores),
        cmocka_unit_test(test_experts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
