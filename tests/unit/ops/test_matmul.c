/* SPDX-License-Identifier: MIT
 * test_matmul.c - products against plain loops, for every level, thread count and grouping of
 * tokens. */
#include "opsfix.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define N_COL 96
#define N_TOK 9

static double naive(const float *w, const float *x, int64_t n)
{
    double s = 0;
    for (int64_t i = 0; i < n; i++)
        s += (double)w[i] * (double)x[i];
    return s;
}

typedef glim_err (*matmul_fn)(glim_ops *o, const glim_matmul *mm, size_t n_mat, const float *x,
                              int64_t x_stride, int64_t n_tok);
static const matmul_fn both[] = {glim_op_matmul, glim_op_matmul_wide};

static void two_matrices(matmul_fn matmul)
{
    const int64_t rows[] = {1, 37};
    float *w0 = opsfix_floats(1, rows[0] * N_COL), *w1 = opsfix_floats(2, rows[1] * N_COL),
          *x = opsfix_floats(3, N_TOK * 100);
    glim_mat m0 = opsfix_mat(w0, rows[0], N_COL), m1 = opsfix_mat(w1, rows[1], N_COL);
    for (int level = 0; level <= (int)glim_cpu_best(); level++)
        for (int n_thread = 1; n_thread <= 3; n_thread++) {
            opsfix f;
            float y0[N_TOK * 1], y1[N_TOK * 40];
            opsfix_open(&f, (glim_cpu_level)level, n_thread, glim_op_matmul_scratch(N_COL, N_TOK));
            const glim_matmul mm[] = {{&m0, y0, 1}, {&m1, y1, 40}};
            assert_int_equal(matmul(&f.o, mm, 2, x, 100, N_TOK), GLIM_OK);
            for (int64_t t = 0; t < N_TOK; t++) {
                assert_true(fabs((double)y0[t] - naive(w0, x + t * 100, N_COL)) < 1e-4);
                for (int64_t r = 0; r < rows[1]; r++)
                    assert_true(fabs((double)y1[t * 40 + r] -
                                     naive(w1 + r * N_COL, x + t * 100, N_COL)) < 1e-4);
            }
            opsfix_close(&f);
        }
    glim_free(w0);
    glim_free(w1);
    glim_free(x);
}

static void test_two_matrices(void **state)
{
    (void)state;
    for (size_t i = 0; i < GLIM_COUNT(both); i++)
        two_matrices(both[i]);
}

/* A quantised product must be the same bits for one token alone, in a chunk, and with any number of
 * threads. */
static void grouping_changes_nothing(matmul_fn matmul)
{
    enum { ROWS = 70, COLS = 256 };
    static const glim_type types[] = {GLIM_F32, GLIM_F16, GLIM_BF16, GLIM_Q8_0};
    float *wf = opsfix_floats(5, ROWS * COLS), *x = opsfix_floats(6, N_TOK * COLS);
    uint8_t *w = glim_alloc(ROWS * COLS * 4);
    for (size_t i = 0; i < GLIM_COUNT(types); i++)
        for (int level = 0; level <= (int)glim_cpu_best(); level++) {
            size_t row_bytes;
            assert_true(glim_type_bytes(types[i], COLS, &row_bytes));
            glim_type_get(types[i])->encode(wf, w, ROWS * COLS);
            glim_mat m = {types[i], ROWS, COLS, row_bytes, w};
            float all[N_TOK * ROWS], one[ROWS];
            opsfix f;
            opsfix_open(&f, (glim_cpu_level)level, 2, glim_op_matmul_scratch(COLS, N_TOK));
            glim_matmul mm = {&m, all, ROWS};
            assert_int_equal(matmul(&f.o, &mm, 1, x, COLS, N_TOK), GLIM_OK);
            opsfix_close(&f);
            opsfix_open(&f, (glim_cpu_level)level, 1, glim_op_matmul_scratch(COLS, N_TOK));
            mm.y = one;
            for (int64_t t = 0; t < N_TOK; t++) {
                assert_int_equal(matmul(&f.o, &mm, 1, x + t * COLS, COLS, 1), GLIM_OK);
                assert_memory_equal(one, all + t * ROWS, sizeof one);
            }
            opsfix_close(&f);
        }
    glim_free(wf);
    glim_free(x);
    glim_free(w);
}

static void test_grouping_changes_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < GLIM_COUNT(both); i++)
        grouping_changes_nothing(both[i]);
}

static void test_heads(void **state)
{
    (void)state;
    enum { HEADS = 3, ROWS = 20, COLS = 32 };
    float *w = opsfix_floats(7, HEADS * ROWS * COLS),
          *x = opsfix_floats(8, N_TOK * HEADS * (COLS + 4)), y[N_TOK * HEADS * (ROWS + 1)];
    const uint8_t *part[HEADS];
    for (int h = 0; h < HEADS; h++)
        part[h] = (const uint8_t *)(w + h * ROWS * COLS);
    glim_mats mats = {opsfix_mat(NULL, ROWS, COLS), HEADS, part};
    opsfix f;
    opsfix_open(&f, glim_cpu_best(), 2, glim_op_matmul_scratch(COLS, N_TOK * HEADS));
    assert_int_equal(glim_op_matmul_heads(&f.o, &mats, x, HEADS * (COLS + 4), COLS + 4, N_TOK, y,
                                          HEADS * (ROWS + 1), ROWS + 1),
                     GLIM_OK);
    for (int64_t t = 0; t < N_TOK; t++)
        for (int64_t h = 0; h < HEADS; h++)
            for (int64_t r = 0; r < ROWS; r++)
                assert_true(fabs((double)y[(t * HEADS + h) * (ROWS + 1) + r] -
                                 naive(w + (h * ROWS + r) * COLS, x + (t * HEADS + h) * (COLS + 4),
                                       COLS)) < 1e-4);
    opsfix_close(&f);
    glim_free(w);
    glim_free(x);
}

/* A plan that is too small is a defect that must be reported, not a crash. */
static void test_small_arena(void **state)
{
    (void)state;
    uint8_t w[34 * 8] = {0};
    float x[32 * 4] = {0}, y[8 * 4];
    glim_mat m = {GLIM_Q8_0, 8, 32, 34, w};
    opsfix f;
    opsfix_open(&f, glim_cpu_best(), 1, 16);
    glim_matmul mm = {&m, y, 8};
    glim_err rc = glim_op_matmul(&f.o, &mm, 1, x, 32, 4);
    assert_int_equal(rc, f.k.act[GLIM_Q8_0] == GLIM_F32 ? GLIM_OK : GLIM_E_INTERNAL);
    opsfix_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_matrices),
        cmocka_unit_test(test_grouping_changes_nothing),
        cmocka_unit_test(test_heads),
        cmocka_unit_test(test_small_arena),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
