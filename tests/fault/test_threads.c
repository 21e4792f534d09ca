/* SPDX-License-Identifier: MIT
 * test_threads.c - the system gives no thread, or not all that were asked for: FULL with the cure,
 * nothing is left running, and fewer threads work. */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>

#include <cmocka.h>

#include "fault.h"

static int n_given = -1; /* threads that can still be had; -1: any number */
static int n_begun, n_joined;

int __real_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*fn)(void *), void *arg);
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*fn)(void *), void *arg);
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*fn)(void *), void *arg)
{
    if (n_given == 0) return EAGAIN;
    if (n_given > 0) n_given--;
    int rc = __real_pthread_create(t, a, fn, arg);
    n_begun += rc == 0;
    return rc;
}

int __real_pthread_join(pthread_t t, void **result);
int __wrap_pthread_join(pthread_t t, void **result);
int __wrap_pthread_join(pthread_t t, void **result)
{
    n_joined++;
    return __real_pthread_join(t, result);
}

static void add_range(void *arg, int64_t begin, int64_t end, int i_thread)
{
    (void)i_thread;
    atomic_fetch_add((atomic_llong *)arg, (long long)(end - begin));
}

static void check_full(glim_err rc, const glim_error *e)
{
    n_given = -1;
    assert_int_equal(rc, GLIM_E_FULL);
    assert_int_equal(e->code, rc);
    if (!strstr(e->msg, "--threads") || !strstr(e->msg, strerror(EAGAIN))) fail_msg("%s", e->msg);
    assert_int_equal(n_joined, n_begun);
}

static void test_pool(void **state)
{
    (void)state;
    for (int want = 2; want <= 17; want += 5)
        for (int given = 0; given < want - 1; given++) {
            glim_pool *p = NULL;
            glim_error e = {0};
            n_given = given;
            check_full(glim_pool_new(want, &p, &e), &e);
            assert_null(p);
            assert_int_equal(glim_pool_new(given + 1, &p, &e), GLIM_OK);
            atomic_llong sum = 0;
            glim_pool_run(p, 1000, 7, add_range, &sum);
            assert_int_equal(sum, 1000);
            glim_pool_free(p);
            assert_int_equal(n_joined, n_begun);
        }
}

static void test_model(void **state)
{
    (void)state;
    const size_t fds = count_fds();
    for (int given = 0; given < 3; given++) {
        glim_model_opts o;
        glim_model *m = NULL;
        glim_error e = {0};
        tiny_opts(&o, 4);
        n_given = given;
        check_full(glim_model_open(TINY_GGUF, &o, &m, &e), &e);
        assert_null(m);
        assert_int_equal(count_fds(), fds);
    }
    n_given = 0; /* one thread is the caller's: none is asked for */
    glim_model_close(tiny_open(TINY_GGUF, 1));
    n_given = -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_pool), cmocka_unit_test(test_model)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
