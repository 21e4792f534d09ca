/* SPDX-License-Identifier: MIT
 * test_limits.c - buckets, counts, exact waits, limits that change, bounded memory. */
#include "server/limits.h"

#include "failnth.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define S UINT64_C(1000000000)
static const uint64_t t0 = 1000 * S;

static bool enter(glim_limits *l, const char *key, int64_t rate, int64_t concurrent, uint64_t at,
                  int64_t *wait, bool *by_rate)
{
    const glim_limit limit = {rate, concurrent};
    *wait = -1;
    return glim_limits_enter(l, key, &limit, at, wait, by_rate);
}

/* A request that is over at once: only the rate matters. */
static bool pass(glim_limits *l, const char *key, int64_t rate, uint64_t at)
{
    int64_t wait;
    bool by_rate;
    bool ok = enter(l, key, rate, 0, at, &wait, &by_rate);
    if (ok) glim_limits_leave(l, key);
    return ok;
}

static void rates(void **state)
{
    (void)state;
    glim_limits *l = glim_limits_new();
    int64_t wait;
    bool by_rate;
    for (int i = 0; i < 6; i++)
        assert_true(pass(l, "0000000a", 6, t0));
    /* empty: the next token comes 10 s after the first was taken; refusals cost none */
    for (int i = 0; i < 3; i++) {
        assert_false(enter(l, "0000000a", 6, 0, t0, &wait, &by_rate));
        assert_true(by_rate);
        assert_int_equal(wait, 10);
    }
    assert_false(enter(l, "0000000a", 6, 0, t0 + 1, &wait, &by_rate));
    assert_int_equal(wait, 10);
    assert_false(enter(l, "0000000a", 6, 0, t0 + S, &wait, &by_rate));
    assert_int_equal(wait, 9);
    assert_false(enter(l, "0000000a", 6, 0, t0 + 10 * S - 1, &wait, &by_rate));
    assert_int_equal(wait, 1);
    assert_true(pass(l, "0000000a", 6, t0 + 10 * S));
    assert_false(pass(l, "0000000a", 6, t0 + 10 * S));
    /* another key has its own bucket, and so have those without one */
    assert_true(pass(l, "0000000b", 6, t0));
    assert_true(pass(l, "", 6, t0));
    /* never more than a bucket, however long the pause */
    int n = 0;
    while (pass(l, "0000000a", 6, t0 + 100000 * S))
        n++;
    assert_int_equal(n, 6);
    /* a clock that stands or goes back gives nothing */
    assert_false(pass(l, "0000000a", 6, t0));
    glim_limits_free(l);
    glim_limits_free(NULL);
}

/* What was promised holds: after the wait there is a token, a second earlier there is none. */
static void waits_are_exact(void **state)
{
    (void)state;
    static const int64_t per_minute[] = {1, 2, 7, 13, 59, 60, 61, 1000, 99991};
    for (size_t i = 0; i < GLIM_COUNT(per_minute); i++) {
        glim_limits *l = glim_limits_new();
        int64_t r = per_minute[i], wait;
        bool by_rate;
        uint64_t at = t0;
        for (int64_t k = 0; k < r; k++)
            assert_true(pass(l, "k", r, at));
        assert_false(pass(l, "k", r, at));
        for (int k = 0; k < 50; k++) {
            at += 1 + (uint64_t)k * 77777777;
            if (enter(l, "k", r, 0, at, &wait, &by_rate)) {
                glim_limits_leave(l, "k");
                continue;
            }
            assert_true(wait >= 1 && wait <= 60);
            if (wait > 1) assert_false(pass(l, "k", r, at + (uint64_t)(wait - 1) * S));
            assert_true(pass(l, "k", r, at += (uint64_t)wait * S));
        }
        glim_limits_free(l);
    }
}

static void long_run(void **state)
{
    (void)state;
    glim_limits *l = glim_limits_new();
    int n = 0;
    for (uint64_t ms = 0; ms < 600000; ms += 7)
        if (pass(l, "k", 45, t0 + ms * 1000000)) n++;
    assert_in_range(n, 45 + 449, 45 + 450); /* a bucket and ten minutes */
    glim_limits_free(l);
}

static void changes(void **state)
{
    (void)state;
    glim_limits *l = glim_limits_new();
    int64_t wait;
    bool by_rate;
    for (int i = 0; i < 10; i++)
        assert_true(pass(l, "k", 10, t0));
    assert_true(pass(l, "k", 12, t0)); /* two more, and what was taken stays taken */
    assert_true(pass(l, "k", 12, t0));
    assert_false(pass(l, "k", 12, t0));
    assert_false(enter(l, "k", 3, 0, t0, &wait, &by_rate)); /* smaller: empty, not in debt */
    assert_int_equal(wait, 20);
    assert_true(pass(l, "k", 0, t0)); /* none */
    assert_true(pass(l, "k", -1, t0));
    assert_true(pass(l, "k", INT64_MAX, t0));
    /* running requests are counted without a limit too */
    assert_true(enter(l, "k", 0, 0, t0, &wait, &by_rate));
    assert_true(enter(l, "k", 0, 0, t0, &wait, &by_rate));
    assert_false(enter(l, "k", 0, 2, t0, &wait, &by_rate));
    assert_false(by_rate);
    assert_false(enter(l, "k", 0, 1, t0, &wait, &by_rate));
    assert_true(enter(l, "k", 0, 3, t0, &wait, &by_rate));
    glim_limits_free(l);
    const glim_limit server = {60, 4}, own[] = {{-1, -1}, {0, -1}, {-1, 9}, {5, 0}};
    static const glim_limit is[] = {{60, 4}, {0, 4}, {60, 9}, {5, 0}};
    for (size_t i = 0; i < GLIM_COUNT(own); i++) {
        glim_limit r = glim_limit_or(own[i], server);
        assert_int_equal(r.per_minute, is[i].per_minute);
        assert_int_equal(r.concurrent, is[i].concurrent);
    }
}

static void concurrency(void **state)
{
    (void)state;
    glim_limits *l = glim_limits_new();
    int64_t wait;
    bool by_rate;
    for (int i = 0; i < 3; i++)
        assert_true(enter(l, "k", 4, 3, t0, &wait, &by_rate));
    for (int i = 0; i < 5; i++) { /* costs no token of the bucket either */
        assert_false(enter(l, "k", 4, 3, t0, &wait, &by_rate));
        assert_false(by_rate);
        assert_int_equal(wait, 1); /* nothing is known about durations yet */
    }
    assert_true(enter(l, "other", 4, 3, t0, &wait, &by_rate));
    glim_limits_leave(l, "k");
    assert_true(enter(l, "k", 4, 3, t0, &wait, &by_rate));
    assert_false(enter(l, "k", 4, 4, t0, &wait, &by_rate));
    assert_true(by_rate); /* the fourth token is gone as well */
    glim_limits_free(l);
}

/* The end of a request is of now, so its beginning is put into the past. */
static void guesses(void **state)
{
    (void)state;
    static const struct {
        int n_at_once;
        uint64_t took_s;
        int64_t low, high;
    } cases[] = {{1, 10, 10, 11}, {4, 20, 5, 6}, {1, 500, 60, 60}, {8, 1, 1, 1}, {2, 90, 45, 46}};
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        glim_limits *l = glim_limits_new();
        int64_t wait, n = cases[i].n_at_once;
        bool by_rate;
        uint64_t now = glim_now_ns(), took = cases[i].took_s * S;
        if (now <= took) { /* a machine that was just started has no such past */
            glim_limits_free(l);
            continue;
        }
        for (int64_t k = 0; k < n; k++)
            assert_true(enter(l, "k", 0, n, now - took, &wait, &by_rate));
        for (int64_t k = 0; k < n; k++)
            glim_limits_leave(l, "k");
        for (int64_t k = 0; k < n; k++)
            assert_true(enter(l, "k", 0, n, now, &wait, &by_rate));
        assert_false(enter(l, "k", 0, n, now, &wait, &by_rate));
        assert_in_range(wait, cases[i].low, cases[i].high);
        glim_limits_free(l);
    }
}

static const char *name(int i, char out[9])
{
    snprintf(out, 9, "%08x", (unsigned)i * 2654435761u);
    return out;
}

static void bounded(void **state)
{
    (void)state;
    glim_limits *l = glim_limits_new();
    int64_t wait;
    bool by_rate;
    char id[9];
    /* requests that are over, of very many keys: forgotten once their buckets are full again */
    for (int i = 0; i < 20000; i++)
        assert_true(pass(l, name(i, id), 10, t0 + (uint64_t)i * S));
    assert_true(glim_limits_count(l) <= 200);
    glim_limits_free(l);
    /* all at work: as many as there can be keys, and the next one is refused until one ends */
    l = glim_limits_new();
    for (int i = 0; i < 4097; i++)
        assert_true(enter(l, name(i, id), 10, 1, t0, &wait, &by_rate));
    assert_int_equal(glim_limits_count(l), 4097);
    assert_false(enter(l, "new", 10, 1, t0, &wait, &by_rate));
    assert_int_equal(wait, 1);
    assert_false(by_rate);
    glim_limits_leave(l, name(77, id));
    assert_false(enter(l, "new", 10, 1, t0 + 59 * S, &wait, &by_rate)); /* its bucket is not full */
    assert_true(enter(l, "new", 10, 1, t0 + 120 * S, &wait, &by_rate));
    assert_int_equal(glim_limits_count(l), 4097);
    for (int i = 0; i < 4097; i++)
        assert_false(enter(l, name(i, id), 10, 1, t0 + 120 * S, &wait, &by_rate));
    glim_limits_leave(l, "new");
    glim_limits_free(l);
}

static void no_memory(void **state)
{
    (void)state;
    fail_nth f;
    int64_t wait;
    bool by_rate, ok = false;
    for (int64_t n = 0; !ok; n++) {
        fail_nth_begin(&f, n);
        glim_limits *l = glim_limits_new();
        ok = l && enter(l, "k", 1, 1, t0, &wait, &by_rate);
        fail_nth_end();
        assert_int_equal(ok, !fail_nth_hit(&f));
        if (l && !ok) assert_int_equal(glim_limits_count(l), 0);
        if (l && !ok) assert_true(enter(l, "k", 1, 1, t0, &wait, &by_rate));
        glim_limits_free(l);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rates),   cmocka_unit_test(waits_are_exact), cmocka_unit_test(long_run),
        cmocka_unit_test(changes), cmocka_unit_test(concurrency),     cmocka_unit_test(guesses),
        cmocka_unit_test(bounded), cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
