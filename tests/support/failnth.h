/* SPDX-License-Identifier: MIT
 * failnth.h - makes the n-th allocation fail (from 0) between fail_nth_begin() and fail_nth_end(). */
#ifndef GLIM_TESTS_FAILNTH_H
#define GLIM_TESTS_FAILNTH_H

#include "base/base.h"

typedef struct fail_nth {
    int64_t left; /* allocations that still succeed; negative once one has failed */
} fail_nth;

static inline bool fail_nth_hook(void *user, size_t n)
{
    fail_nth *f = user;
    (void)n;
    return f->left-- != 0;
}

static inline void fail_nth_begin(fail_nth *f, int64_t n)
{
    f->left = n;
    glim_alloc_set_hook(fail_nth_hook, f);
}

static inline void fail_nth_end(void)
{
    glim_alloc_set_hook(NULL, NULL);
}

/* True when an allocation was made to fail. */
static inline bool fail_nth_hit(const fail_nth *f)
{
    return f->left < 0;
}

#endif
