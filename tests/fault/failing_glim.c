/* SPDX-License-Identifier: MIT
 * failing_glim.c - linked with the objects of the program, makes one of its allocations fail: the one
 * whose number (from 0) stands in GLIM_TEST_FAIL_AT; with "+" behind it, all from there on. At the end
 * the number of allocations is written to the file that GLIM_TEST_COUNT names. */
#include "base/base.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

static atomic_llong n_seen;
static long long fail_at = -1;
static bool all_behind;

static bool may(void *user, size_t n)
{
    (void)user;
    (void)n;
    long long i = atomic_fetch_add(&n_seen, 1);
    return fail_at < 0 || (all_behind ? i < fail_at : i != fail_at);
}

__attribute__((constructor)) static void begin(void)
{
    const char *at = getenv("GLIM_TEST_FAIL_AT");
    char *end = NULL;
    if (at) fail_at = strtoll(at, &end, 10);
    all_behind = end && *end == '+';
    glim_alloc_set_hook(may, NULL);
}

__attribute__((destructor)) static void finish(void)
{
    const char *path = getenv("GLIM_TEST_COUNT");
    FILE *f = path ? fopen(path, "w") : NULL;
    if (!f) return;
    fprintf(f, "%lld\n", (long long)atomic_load(&n_seen));
    fclose(f);
}
