/* SPDX-License-Identifier: MIT
 * test_pool.c - every item once, by one thread, whatever the range, the grain and the state of the
 * workers. */
#include "base/base.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <time.h>

#include <cmocka.h>

enum { N_MAX = 5000, N_THREAD = 4 };

typedef struct job {
    atomic_int seen[N_MAX];
    atomic_int bad;
    int64_t n_item, grain;
    int n_thread;
} job;

/* Failures are counted: cmocka's assertions jump, and only the main thread may do that. */
static void mark(void *arg, int64_t begin, int64_t end, int i_thread)
{
    job *j = arg;
    if (begin < 0 || end > j->n_item || begin >= end || i_thread < 0 || i_thread >= j->n_thread) {
        atomic_fetch_add(&j->bad, 1);
        return;
    }
    for (int64_t i = begin; i < end; i++)
        atomic_fetch_add(&j->seen[i], 1);
}

static void check(job *j)
{
    assert_int_equal(atomic_load(&j->bad), 0);
    for (int64_t i = 0; i < N_MAX; i++) {
        int want = i < j->n_item ? 1 : 0, got = atomic_exchange(&j->seen[i], 0);
        if (got != want)
            fail_msg("item %d of %d, grain %d, %d threads: done %d times", (int)i, (int)j->n_item,
                     (int)j->grain, j->n_thread, got);
    }
}

static void covers(void **state)
{
    (void)state;
    static job j;
    static const int64_t items[] = {-5, 0, 1, 2, 3, 7, 8, 63, 64, 65, 1000, N_MAX};
    static const int64_t grains[] = {-1, 0, 1, 2, 3, 7, 64, 999, 1000, 1001, N_MAX, INT64_MAX};
    for (int n = 1; n <= N_THREAD; n++) {
        glim_pool *p;
        glim_error e;
        assert_int_equal(glim_pool_new(n, &p, &e), GLIM_OK);
        assert_int_equal(glim_pool_size(p), n);
        j.n_thread = n;
        for (size_t i = 0; i < GLIM_COUNT(items); i++)
            for (size_t g = 0; g < GLIM_COUNT(grains); g++) {
                j.n_item = items[i];
                j.grain = grains[g];
                glim_pool_run(p, items[i], grains[g], mark, &j);
                check(&j);
            }
        glim_pool_free(p);
    }
}

static void odd_sizes(void **state)
{
    (void)state;
    static const int n[] = {0, -3};
    for (size_t i = 0; i < GLIM_COUNT(n); i++) {
        glim_pool *p;
        assert_int_equal(glim_pool_new(n[i], &p, NULL), GLIM_OK);
        assert_int_equal(glim_pool_size(p), 1);
        glim_pool_free(p);
    }
    glim_pool_free(NULL);
    /* A pool that never had a job ends too, also right after its birth. */
    for (int i = 0; i < 50; i++) {
        glim_pool *p;
        assert_int_equal(glim_pool_new(N_THREAD, &p, NULL), GLIM_OK);
        glim_pool_free(p);
    }
}

static void add_up(void *arg, int64_t begin, int64_t end, int i_thread)
{
    atomic_int_fast64_t *sum = arg;
    (void)i_thread;
    for (int64_t i = begin; i < end; i++)
        atomic_fetch_add_explicit(sum, i, memory_order_relaxed);
}

/* Jobs one after the other, as a decode step has them: none lost, none mixed up with the next. */
static void many_jobs(void **state)
{
    (void)state;
    for (int n = 2; n <= N_THREAD; n++) {
        glim_pool *p;
        assert_int_equal(glim_pool_new(n, &p, NULL), GLIM_OK);
        for (int64_t i = 0; i < 4000; i++) {
            atomic_int_fast64_t sum = 0;
            int64_t n_item = 1 + i % 17;
            glim_pool_run(p, n_item, 1, add_up, &sum);
            assert_int_equal(atomic_load(&sum), n_item * (n_item - 1) / 2);
        }
        glim_pool_free(p);
    }
}

/* Pauses around the time after which workers fall asleep. */
static void sleeping_workers(void **state)
{
    (void)state;
    glim_pool *p;
    assert_int_equal(glim_pool_new(N_THREAD, &p, NULL), GLIM_OK);
    static const long pause_ns[] = {0, 20000, 40000, 50000, 55000, 60000, 80000, 200000, 3000000};
    for (int round = 0; round < 60; round++)
        for (size_t i = 0; i < GLIM_COUNT(pause_ns); i++) {
            nanosleep(&(struct timespec){0, pause_ns[i]}, NULL);
            atomic_int_fast64_t sum = 0;
            glim_pool_run(p, 40, 3, add_up, &sum);
            assert_int_equal(atomic_load(&sum), 780);
        }
    nanosleep(&(struct timespec){0, 5000000}, NULL);
    glim_pool_free(p); /* while all sleep */
}

/* What the caller wrote before the job is seen in it, and what workers wrote is seen after it; no
 * atomics. */
typedef struct plain {
    const int64_t *in;
    int64_t *out;
} plain;

static void square(void *arg, int64_t begin, int64_t end, int i_thread)
{
    plain *w = arg;
    (void)i_thread;
    for (int64_t i = begin; i < end; i++)
        w->out[i] = w->in[i] * w->in[i];
}

static void plain_memory(void **state)
{
    (void)state;
    static int64_t in[512], out[512];
    glim_pool *p;
    assert_int_equal(glim_pool_new(N_THREAD, &p, NULL), GLIM_OK);
    for (int64_t round = 0; round < 2000; round++) {
        for (int64_t i = 0; i < 512; i++)
            in[i] = i + round;
        glim_pool_run(p, 512, 16, square, &(plain){in, out});
        for (int64_t i = 0; i < 512; i++)
            if (out[i] != (i + round) * (i + round))
                fail_msg("round %d item %d", (int)round, (int)i);
    }
    glim_pool_free(p);
}

/* Two pools, each with its own owner, do not disturb each other. */
static void *own_pool(void *arg)
{
    bool *good = arg;
    glim_pool *p;
    *good = false;
    if (glim_pool_new(2, &p, NULL)) return NULL;
    int64_t n_good = 0;
    for (int64_t i = 0; i < 2000; i++) {
        atomic_int_fast64_t sum = 0;
        glim_pool_run(p, 20, 1, add_up, &sum);
        n_good += atomic_load(&sum) == 190;
    }
    glim_pool_free(p);
    *good = n_good == 2000;
    return NULL;
}

static void two_pools(void **state)
{
    (void)state;
    pthread_t t;
    bool mine, theirs;
    assert_int_equal(pthread_create(&t, NULL, own_pool, &theirs), 0);
    own_pool(&mine);
    assert_int_equal(pthread_join(t, NULL), 0);
    assert_true(mine);
    assert_true(theirs);
}

static bool pass(void *user, size_t n)
{
    (void)n;
    return (*(int *)user)-- > 0;
}

static void no_memory(void **state)
{
    (void)state;
    for (int n = 0;; n++) {
        int left = n;
        glim_pool *p = NULL;
        glim_error e = {0};
        glim_alloc_set_hook(pass, &left);
        glim_err rc = glim_pool_new(N_THREAD, &p, &e);
        glim_alloc_set_hook(NULL, NULL);
        if (rc == GLIM_OK) {
            glim_pool_free(p);
            assert_true(n > 2);
            return;
        }
        assert_int_equal(rc, GLIM_E_NOMEM);
        assert_int_equal(e.code, GLIM_E_NOMEM);
        assert_null(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(covers),       cmocka_unit_test(odd_sizes),
        cmocka_unit_test(many_jobs),    cmocka_unit_test(sleeping_workers),
        cmocka_unit_test(plain_memory), cmocka_unit_test(two_pools),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
