/* SPDX-License-Identifier: MIT
 * test_sample.c - the sampler against a plain one that sorts everything, and its distribution. */
#include "engine/engine_int.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#define N 5000

static void settings(glim_gen_opts *o, float temperature, int32_t top_k, float top_p, float min_p,
                     uint64_t seed)
{
    glim_gen_opts_init(o);
    o->temperature = temperature;
    o->top_k = top_k;
    o->top_p = top_p;
    o->min_p = min_p;
    o->has_seed = true;
    o->seed = seed;
}

static const float *by;
static int descending(const void *a, const void *b)
{
    int32_t i = *(const int32_t *)a, j = *(const int32_t *)b;
    if (by[i] != by[j]) return by[i] > by[j] ? -1 : 1;
    return i < j ? -1 : 1;
}

/* Which tokens may be drawn, by sorting the whole vocabulary. */
static void plain_support(const float *logits, size_t n, const glim_gen_opts *o, bool *may)
{
    int32_t *ids = calloc(n, sizeof *ids);
    double *p = calloc(n, sizeof *p), sum = 0, total = 0;
    size_t keep = n;
    for (size_t i = 0; i < n; i++)
        ids[i] = (int32_t)i;
    by = logits;
    qsort(ids, n, sizeof *ids, descending);
    for (size_t i = 0; i < n; i++)
        p[i] = (double)expf((logits[ids[i]] - logits[ids[0]]) / o->temperature);
    if (o->top_k > 0 && (size_t)o->top_k < keep) keep = (size_t)o->top_k;
    for (size_t i = 0; i < keep; i++)
        total += p[i];
    for (size_t i = 0; i < keep; i++) {
        sum += p[i];
        if (sum >= (double)o->top_p * total) keep = i + 1;
    }
    memset(may, 0, n * sizeof *may);
    for (size_t i = 0; i < keep; i++)
        may[ids[i]] = p[i] > 0 && (float)p[i] >= o->min_p;
    free(ids);
    free(p);
}

static void test_support(void **state)
{
    (void)state;
    static const struct {
        float temperature;
        int32_t top_k;
        float top_p, min_p;
    } cases[] = {{1, 0, 0.95f, 0},     {0.3f, 0, 0.9f, 0}, {1, 40, 1, 0},    {1, 40, 0.8f, 0},
                 {2, 0, 1, 0.1f},      {1, 1, 1, 0},       {1, 0, 1e-6f, 0}, {5, 7, 0.5f, 0.5f},
                 {0.01f, 0, 0.99f, 0}, {1, N + 5, 1, 0.9f}};
    float logits[N];
    bool may[N];
    glim_rng r;
    glim_rng_seed(&r, 42);
    for (size_t i = 0; i < N; i++)
        logits[i] = (glim_rng_f32(&r) + glim_rng_f32(&r) + glim_rng_f32(&r)) * 6;
    for (size_t i = 0; i < N; i += 50)
        logits[i] = logits[1]; /* ties */
    for (size_t c = 0; c < GLIM_COUNT(cases); c++) {
        glim_gen_opts o;
        glim_sampler s;
        size_t n_seen = 0, n_may = 0;
        bool seen[N] = {false};
        settings(&o, cases[c].temperature, cases[c].top_k, cases[c].top_p, cases[c].min_p, c);
        plain_support(logits, N, &o, may);
        assert_int_equal(glim_sampler_init(&s, &o, N, NULL), GLIM_OK);
        for (int draw = 0; draw < 3000; draw++) {
            int32_t id = -1;
            assert_int_equal(glim_sample(&s, logits, N, NULL, 0, &id, NULL), GLIM_OK);
            assert_in_range(id, 0, N - 1);
            if (!may[id]) fail_msg("case %zu drew token %d, which the limits exclude", c, (int)id);
            seen[id] = true;
        }
        for (size_t i = 0; i < N; i++)
            n_seen += seen[i], n_may += may[i];
        if (n_may <= 20)
            assert_true(n_seen >= n_may / 2);
        else
            assert_true(n_seen > 5);
        glim_sampler_deinit(&s);
    }
}

static void test_distribution(void **state)
{
    (void)state;
    const float logits[4] = {0, 1, 2, -INFINITY};
    enum { DRAWS = 60000 };
    int count[4] = {0};
    glim_gen_opts o;
    glim_sampler s;
    settings(&o, 1, 0, 1, 0, 7);
    assert_int_equal(glim_sampler_init(&s, &o, 4, NULL), GLIM_OK);
    for (int i = 0; i < DRAWS; i++) {
        int32_t id = -1;
        assert_int_equal(glim_sample(&s, logits, 4, NULL, 0, &id, NULL), GLIM_OK);
        count[id]++;
    }
    double total = 1 + exp(1) + exp(2);
    for (int i = 0; i < 3; i++)
        assert_true(fabs(count[i] / (double)DRAWS - exp(i) / total) < 0.01); /* 5 sigma */
    assert_int_equal(count[3], 0);
    glim_sampler_deinit(&s);
}

static void test_greedy_and_ties(void **state)
{
    (void)state;
    const float logits[5] = {1, 3, NAN, 3, INFINITY};
    glim_gen_opts o;
    glim_sampler s;
    int32_t id = -1;
    settings(&o, 0, 0, 1, 0, 1);
    assert_int_equal(glim_sampler_init(&s, &o, 5, NULL), GLIM_OK);
    assert_int_equal(glim_sample(&s, logits, 5, NULL, 0, &id, NULL), GLIM_OK);
    assert_int_equal(id, 1); /* the lower id of a tie; what is not finite does not count */
    glim_sampler_deinit(&s);
}

static void test_nothing_finite(void **state)
{
    (void)state;
    const float logits[3] = {NAN, -INFINITY, INFINITY};
    glim_gen_opts o;
    glim_sampler s;
    glim_error e = {0};
    int32_t id;
    settings(&o, 1, 0, 1, 0, 1);
    assert_int_equal(glim_sampler_init(&s, &o, 3, NULL), GLIM_OK);
    assert_int_equal(glim_sample(&s, logits, 3, NULL, 0, &id, &e), GLIM_E_FAIL);
    assert_non_null(strstr(e.msg, "--cpu ref"));
    glim_sampler_deinit(&s);
}

static void test_seed_repeats(void **state)
{
    (void)state;
    float logits[100];
    glim_gen_opts o;
    int32_t first[50], id;
    for (int i = 0; i < 100; i++)
        logits[i] = (float)(i % 13);
    for (int run = 0; run < 2; run++) {
        glim_sampler s;
        settings(&o, 1, 0, 0.95f, 0, 99);
        assert_int_equal(glim_sampler_init(&s, &o, 100, NULL), GLIM_OK);
        for (int i = 0; i < 50; i++) {
            assert_int_equal(glim_sample(&s, logits, 100, NULL, 0, &id, NULL), GLIM_OK);
            if (run == 0)
                first[i] = id;
            else
                assert_int_equal(id, first[i]);
        }
        glim_sampler_deinit(&s);
    }
}

/* Greedy choice under the given settings, after some tokens. */
static int32_t choose(const glim_gen_opts *o, const float *logits, size_t n, const int32_t *prompt,
                      size_t n_prompt, const int32_t *answer, size_t n_answer)
{
    glim_sampler s;
    int32_t id = -1;
    assert_int_equal(glim_sampler_init(&s, o, n, NULL), GLIM_OK);
    for (size_t i = 0; i < n_prompt; i++)
        assert_int_equal(glim_sampler_see(&s, prompt[i], false, NULL), GLIM_OK);
    for (size_t i = 0; i < n_answer; i++)
        assert_int_equal(glim_sampler_see(&s, answer[i], true, NULL), GLIM_OK);
    assert_int_equal(glim_sample(&s, logits, n, NULL, 0, &id, NULL), GLIM_OK);
    glim_sampler_deinit(&s);
    return id;
}

static void test_penalties(void **state)
{
    (void)state;
    const float logits[4] = {2, 1.9f, -1, 0};
    const int32_t zero[] = {0, 0, 0};
    glim_gen_opts o;
    settings(&o, 0, 0, 1, 0, 1);
    assert_int_equal(choose(&o, logits, 4, zero, 3, NULL, 0), 0);
    o.repetition_penalty = 1.1f; /* the prompt counts here ... */
    assert_int_equal(choose(&o, logits, 4, zero, 1, NULL, 0), 1);
    settings(&o, 0, 0, 1, 0, 1);
    o.presence_penalty = 0.2f; /* ... and here it does not */
    assert_int_equal(choose(&o, logits, 4, zero, 3, NULL, 0), 0);
    assert_int_equal(choose(&o, logits, 4, NULL, 0, zero, 1), 1);
    settings(&o, 0, 0, 1, 0, 1);
    o.frequency_penalty = 0.06f; /* once is not enough, twice is */
    assert_int_equal(choose(&o, logits, 4, NULL, 0, zero, 1), 0);
    assert_int_equal(choose(&o, logits, 4, NULL, 0, zero, 2), 1);
}

static void test_bias(void **state)
{
    (void)state;
    const float logits[4] = {2, 1, 0, -50};
    glim_logit_bias bias[] = {{0, -100}, {1, -100}, {3, 60}};
    glim_gen_opts o;
    settings(&o, 0, 0, 1, 0, 1);
    o.biases = bias;
    o.n_bias = 1;
    assert_int_equal(choose(&o, logits, 4, NULL, 0, NULL, 0), 1);
    o.n_bias = 2;
    assert_int_equal(choose(&o, logits, 4, NULL, 0, NULL, 0), 2);
    o.n_bias = 3;
    assert_int_equal(choose(&o, logits, 4, NULL, 0, NULL, 0), 3);
}

static void test_banned(void **state)
{
    (void)state;
    const float logits[3] = {5, 4, 3};
    const int32_t banned[] = {0, 1, 2};
    glim_gen_opts o;
    glim_sampler s;
    int32_t id;
    settings(&o, 1, 0, 1, 0, 3);
    assert_int_equal(glim_sampler_init(&s, &o, 3, NULL), GLIM_OK);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(glim_sample(&s, logits, 3, banned, 2, &id, NULL), GLIM_OK);
        assert_int_equal(id, 2);
    }
    assert_int_equal(glim_sample(&s, logits, 3, banned, 3, &id, NULL), GLIM_E_FAIL);
    glim_sampler_deinit(&s);
}

static void test_dry(void **state)
{
    (void)state;
    const float logits[6] = {0, 0, 0, 3, 2.5f, 0};
    const int32_t text[] = {0, 1, 2, 3, 5, 0, 1, 2}; /* "0 1 2" came before 3 */
    glim_gen_opts o;
    settings(&o, 0, 0, 1, 0, 1);
    assert_int_equal(choose(&o, logits, 6, NULL, 0, text, 8), 3);
    o.dry_multiplier = 0.4f; /* 0.4 * 1.75^(3 - 2) = 0.7 > 0.5 */
    assert_int_equal(choose(&o, logits, 6, NULL, 0, text, 8), 4);
    o.dry_allowed_length = 4; /* runs of three are allowed now */
    assert_int_equal(choose(&o, logits, 6, NULL, 0, text, 8), 3);
    o.dry_allowed_length = 2;
    o.dry_range = 4; /* the earlier run is out of sight */
    assert_int_equal(choose(&o, logits, 6, NULL, 0, text, 8), 3);
}

static void test_logprobs(void **state)
{
    (void)state;
    const float logits[5] = {1, 3, 2, 3, -INFINITY};
    glim_logprob top[7], of;
    double norm = log(exp(1) + exp(2) + 2 * exp(3));
    glim_top_logprobs(logits, 5, 2, top, 3, &of);
    assert_int_equal(top[0].id, 1);
    assert_int_equal(top[1].id, 3);
    assert_int_equal(top[2].id, 2);
    assert_true(fabs((double)top[0].logprob - (3 - norm)) < 1e-6);
    assert_int_equal(of.id, 2);
    assert_true(fabs((double)of.logprob - (2 - norm)) < 1e-6);
    glim_top_logprobs(logits, 5, 0, top, 7, &of); /* more than there are */
    assert_int_equal(top[5].id, -1);
    glim_top_logprobs(logits, 5, 0, NULL, 0, &of);
    assert_true(fabs((double)of.logprob - (1 - norm)) < 1e-6);
}

static void test_loop(void **state)
{
    (void)state;
    static const int periods[] = {1, 2, 7, 31, 100, 512};
    for (size_t i = 0; i < GLIM_COUNT(periods); i++) {
        glim_loop l;
        glim_rng r;
        int at = -1, p = periods[i];
        glim_loop_init(&l);
        glim_rng_seed(&r, 5);
        for (int k = 0; k < 700; k++)
            assert_false(glim_loop_push(&l, (int32_t)(glim_rng_u64(&r) % 1000)));
        for (int k = 0; k < 10 * p + 300 && at < 0; k++)
            if (glim_loop_push(&l, 5000 + k % p)) at = k + 1;
        /* Eight times, and 256 tokens at least. */
        assert_int_equal(at, GLIM_MAX(256, 8 * p));
    }
    glim_loop l;
    glim_loop_init(&l);
    for (int k = 0; k < 5000; k++)
        assert_false(glim_loop_push(&l, k)); /* nothing repeats */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_support),
        cmocka_unit_test(test_distribution),
        cmocka_unit_test(test_greedy_and_ties),
        cmocka_unit_test(test_nothing_finite),
        cmocka_unit_test(test_seed_repeats),
        cmocka_unit_test(test_penalties),
        cmocka_unit_test(test_bias),
        cmocka_unit_test(test_banned),
        cmocka_unit_test(test_dry),
        cmocka_unit_test(test_logprobs),
        cmocka_unit_test(test_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
