/* SPDX-License-Identifier: MIT
 * failnth.h - lets the n-th allocation fail (from 0) between fail_nth_begin() and fail_nth_end().
 */
#ifndef GLIM_TESTS_FAILNTH_H
#define GLIM_TESTS_FAILNTH_H

#include "base/base.h"

typedef struct fail_nth {
    int left;
    bool answer; /* of the hook to make one fail: found out, so that tests do not depend on it */
} fail_nth;

static inline bool fail_nth_probe(void *user, size_t n)
{
    (void)user;
    (void)n;
    return true;
}

static inline bool fail_nth_hook(void *user, size_t n)
{
    fail_nth *f = user;
    (void)n;
    return f->left-- == 0 ? f->answer : !f->answer;
}

static inline void fail_nth_begin(fail_nth *f, int n)
{
    glim_alloc_set_hook(fail_nth_probe, NULL);
    void *p = glim_alloc(1);
    *f = (fail_nth){n, p == NULL};
    glim_free(p);
    glim_alloc_set_hook(fail_nth_hook, f);
}

static inline void fail_nth_end(void)
{
    glim_alloc_set_hook(NULL, NULL);
}

#endif
