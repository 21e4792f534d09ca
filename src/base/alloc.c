/* SPDX-License-Identifier: MIT
 * alloc.c - the only caller of malloc: counts, and lets tests make the Nth allocation fail.
 * Thread: any; the hook is set before other threads start. */
#include "base/base.h"

#include <stdatomic.h>
#include <stdlib.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

static bool (*hook_fn)(void *user, size_t n);
static void *hook_user;
static atomic_uint_fast64_t n_alloc;

void glim_alloc_set_hook(bool (*fn)(void *user, size_t n), void *user)
{
    hook_fn = fn;
    hook_user = user;
}

uint64_t glim_alloc_count(void)
{
    return atomic_load_explicit(&n_alloc, memory_order_relaxed);
}

static bool may_alloc(size_t n)
{
    atomic_fetch_add_explicit(&n_alloc, 1, memory_order_relaxed);
    /* PTRDIFF_MAX: beyond it pointer differences inside the block would overflow. */
    if (n > PTRDIFF_MAX) return false;
    return !hook_fn || hook_fn(hook_user, n);
}

void *glim_alloc(size_t n)
{
    return may_alloc(n) ? malloc(n ? n : 1) : NULL;
}

void *glim_alloc0(size_t n)
{
    return may_alloc(n) ? calloc(1, n ? n : 1) : NULL;
}

void *glim_alloc_array(size_t n, size_t size)
{
    size_t total;
    return glim_mul_size(n, size, &total) ? glim_alloc0(total) : NULL;
}

void *glim_realloc(void *p, size_t n)
{
    return may_alloc(n) ? realloc(p, n ? n : 1) : NULL;
}

void *glim_alloc_aligned(size_t align, size_t n)
{
    void *p = NULL;
    if (!may_alloc(n)) return NULL;
    return posix_memalign(&p, GLIM_MAX(align, sizeof(void *)), n ? n : 1) == 0 ? p : NULL;
}

void glim_free(void *p)
{
    free(p);
}

void glim_alloc_trim(void)
{
#ifdef __GLIBC__
    (void)malloc_trim(0);
#endif
}
