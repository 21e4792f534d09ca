/* SPDX-License-Identifier: MIT
 * test_fill.c - random blocks: spread and mean as asked for, every quantum used, scales that differ,
 * lifted runs high, the same bytes for the same generator. */
#include "golden.h"

#include <math.h>

#include "quant/blocks.h"
#include "quant/quant.h"

enum { N = 1 << 18 };

static const glim_type types[] = {GLIM_F32,  GLIM_F16,  GLIM_BF16, GLIM_Q8_0,
                                  GLIM_Q5_0, GLIM_Q4_K, GLIM_Q6_K};

static void make(glim_type t, float std, const uint8_t *lift, uint64_t seed, uint8_t *blocks,
                 float *x, int64_t n)
{
    glim_rng r;
    glim_rng_seed(&r, seed);
    assert_true(glim_type_fill(t, std, lift, &r, blocks, n));
    glim_type_get(t)->decode(blocks, x, n);
}

static void moments(const float *x, int64_t n, double *mean, double *std)
{
    double sum = 0, square = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += (double)x[i];
        square += (double)x[i] * (double)x[i];
    }
    *mean = sum / (double)n;
    *std = sqrt(square / (double)n - *mean * *mean);
}

static void spread(void **state)
{
    (void)state;
    static const float stds[] = {1.0f, 0.0221f, 0.0072f};
    uint8_t *blocks = malloc(N * sizeof(float));
    float *x = malloc(N * sizeof(float));
    assert_true(blocks && x);
    for (size_t k = 0; k < GLIM_COUNT(types); k++)
        for (size_t s = 0; s < GLIM_COUNT(stds); s++) {
            double mean, std;
            make(types[k], stds[s], NULL, 5 + s, blocks, x, N);
            moments(x, N, &mean, &std);
            const char *name = glim_type_get(types[k])->name;
            if (fabs(std / (double)stds[s] - 1) > 0.02) fail_msg("%s: std %g", name, std);
            if (fabs(mean) > 0.02 * std) fail_msg("%s: mean %g", name, mean / std);
        }
    free(blocks);
    free(x);
}

/* A run of 32 that is lifted lies high as a whole; the others do not know. */
static void lifted(void **state)
{
    (void)state;
    enum { ROW = 2048 };
    uint8_t blocks[ROW * sizeof(float)], lift[ROW / 32] = {0};
    float x[ROW];
    lift[0] = lift[9] = lift[10] = lift[63] = 1;
    for (size_t k = 0; k < GLIM_COUNT(types); k++)
        for (uint64_t seed = 0; seed < 100; seed++) {
            make(types[k], 0.5f, lift, seed, blocks, x, ROW);
            for (int i = 0; i < ROW / 32; i++) {
                double mean = 0;
                for (int j = 0; j < 32; j++)
                    mean += (double)x[32 * i + j] / (0.5 * 32);
                if (lift[i] ? mean < 1.6 || mean > 4 : fabs(mean) > 1.2)
                    fail_msg("%s: run %d has the mean %g", glim_type_get(types[k])->name, i, mean);
            }
        }
}

static void same_for_a_seed(void **state)
{
    (void)state;
    enum { M = 4096 };
    static uint8_t a[M * 4], b[M * 4], c[M * 4];
    static float x[M];
    for (size_t k = 0; k < GLIM_COUNT(types); k++) {
        size_t n;
        assert_true(glim_type_bytes(types[k], M, &n));
        make(types[k], 1, NULL, 1, a, x, M);
        make(types[k], 1, NULL, 1, b, x, M);
        make(types[k], 1, NULL, 2, c, x, M);
        assert_memory_equal(a, b, n);
        assert_memory_not_equal(a, c, n);
    }
}

/* Every quantum comes up, neighbours of the middle more often than the ends, and scales differ. */
static void quanta(void **state)
{
    (void)state;
    static uint8_t blocks[N];
    static float x[N];
    int n4[16] = {0}, n8[256] = {0}, n6[64] = {0}, n_scale[64] = {0}, n_sign[2] = {0};
    make(GLIM_Q4_K, 1, NULL, 3, blocks, x, 64 * 1024);
    const glim_block_q4_k *q4 = (const void *)blocks;
    for (int i = 0; i < 256; i++, q4++) {
        for (int j = 0; j < 128; j++) {
            n4[q4->qs[j] & 15]++;
            n4[q4->qs[j] >> 4]++;
        }
        for (int s = 0; s < 8; s++) {
            uint8_t scale, min;
            glim_q4_k_scale(q4->scales, s, &scale, &min);
            n_scale[scale]++;
        }
    }
    for (int i = 0; i < 16; i++)
        assert_true(n4[i] > 200);
    assert_true(n4[7] > 4 * n4[0] && n4[8] > 4 * n4[15]);
    for (int i = 28; i < 60; i++)
        assert_true(n_scale[i] > 0);

    make(GLIM_Q8_0, 1, NULL, 3, blocks, x, 128 * 1024);
    const glim_block_q8_0 *q8 = (const void *)blocks;
    for (int i = 0; i < 4096; i++, q8++)
        for (int j = 0; j < 32; j++)
            n8[q8->qs[j] + 128]++;
    assert_int_equal(n8[0], 0); /* -128 is no quantum of Q8_0 */
    for (int i = 1; i < 256; i++)
        assert_true(n8[i] > 0);

    make(GLIM_Q6_K, 1, NULL, 3, blocks, x, 64 * 1024);
    const glim_block_q6_k *q6 = (const void *)blocks;
    for (int i = 0; i < 256; i++, q6++) {
        const float d = glim_f16_to_f32(q6->d);
        for (int j = 0; j < 256; j++) {
            const float step = d * (float)q6->scales[j / 16];
            n6[(int)lrintf(x[256 * i + j] / step) + 32]++;
        }
        for (int s = 0; s < 16; s++)
            n_sign[q6->scales[s] < 0]++;
    }
    for (int i = 0; i < 64; i++)
        assert_true(n6[i] > 0);
    assert_true(n_sign[0] > 1000 && n_sign[1] > 1000);
}

static void not_made(void **state)
{
    (void)state;
    uint8_t block[256] = {0};
    glim_rng r;
    glim_rng_seed(&r, 1);
    assert_false(glim_type_fill(GLIM_MXFP4, 1, NULL, &r, block, 256));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spread), cmocka_unit_test(lifted),   cmocka_unit_test(same_for_a_seed),
        cmocka_unit_test(quanta), cmocka_unit_test(not_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
