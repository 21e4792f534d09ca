/* SPDX-License-Identifier: MIT
 * fail_alloc.h - lets one allocation fail: the n-th from fail_alloc_begin() on, counted from 0. */
#ifndef GLIM_TESTS_FAIL_ALLOC_H
#define GLIM_TESTS_FAIL_ALLOC_H

#include "base/base.h"

typedef struct fail_alloc {
    int left;
    bool fails; /* what the hook answers to make one fail: asked of the allocator, not assumed */
} fail_alloc;

static inline bool fail_alloc_yes(void *user, size_t n)
{
    (void)user;
    (void)n;
    return true;
}

static inline bool fail_alloc_hook(void *user, size_t n)
{
    fail_alloc *f = user;
    (void)n;
    return f->left-- == 0 ? f->fails : !f->fails;
}

static inline void fail_alloc_begin(fail_alloc *f, int n)
{
    glim_alloc_set_hook(fail_alloc_yes, NULL);
    void *p = glim_alloc(1);
    *f = (fail_alloc){n, p == NULL};
    glim_free(p);
    glim_alloc_set_hook(fail_alloc_hook, f);
}

static inline void fail_alloc_end(void)
{
    glim_alloc_set_hook(NULL, NULL);
}

#endif
