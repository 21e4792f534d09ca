/* SPDX-License-Identifier: MIT
 * kv.c - the pool of pages that hold the latent cache of a model.
 * Owns: the pages.
 * Not here: which session holds which (session.c).
 * Layout: page = [layer][64 positions][width], one run per layer, so that a layer's walk over
 *         positions reads whole cache lines in order. All pages lie in one reserved range; the
 *         system gives memory at the first touch, and nothing moves, so a running step may hold
 *         pointers into it.
 * Thread: engine only.
 * Fails: NULL when no page is free; nothing has changed then. */
#include "engine/engine_int.h"

#include <errno.h>
#include <sys/mman.h>

#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif

uint64_t glim_kv_bytes_per_token(glim_type type, int64_t width, int64_t n_layer)
{
    return (uint64_t)width * glim_type_get(type)->block_bytes * (uint64_t)n_layer;
}

glim_err glim_kv_pool_init(glim_kv_pool *p, glim_type type, int64_t width, int64_t n_layer,
                           int64_t n_ctx, glim_error *e)
{
    *p = (glim_kv_pool){.type = type, .width = width, .n_layer = n_layer};
    size_t layers_bytes;
    p->row_bytes = (size_t)width * glim_type_get(type)->block_bytes;
    p->n_page = (n_ctx + GLIM_KV_PAGE - 1) / GLIM_KV_PAGE;
    if (!glim_mul_size(p->row_bytes, GLIM_KV_PAGE, &p->layer_bytes) ||
        !glim_mul_size(p->layer_bytes, (size_t)n_layer, &layers_bytes) ||
        !glim_mul_size(layers_bytes, (size_t)p->n_page, &p->base_bytes) || p->n_page > INT32_MAX)
        return glim_fail(e, GLIM_E_CONTEXT, "a cache of %lld tokens is beyond any address space",
                         (long long)n_ctx);
    p->page_bytes = layers_bytes;
    p->free_list = glim_alloc_array((size_t)p->n_page, sizeof *p->free_list);
    if (!p->free_list)
        return glim_fail(e, GLIM_E_NOMEM, "list of %lld cache pages", (long long)p->n_page);
    void *base = mmap(NULL, p->base_bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED) {
        glim_err rc = glim_fail(
            e, GLIM_E_NOMEM,
            "cannot reserve %zu bytes for a cache of %lld tokens: %s; use a smaller --ctx",
            p->base_bytes, (long long)n_ctx, strerror(errno));
        glim_free(p->free_list);
        *p = (glim_kv_pool){0};
        return rc;
    }
    p->base = base;
    /* The lowest page is taken first: short conversations stay within few memory pages. */
    for (int64_t i = 0; i < p->n_page; i++)
        p->free_list[i] = (int32_t)(p->n_page - 1 - i);
    p->n_free = p->n_page;
    atomic_store_explicit(&p->n_free_seen, p->n_free, memory_order_relaxed);
    return GLIM_OK;
}

void glim_kv_pool_deinit(glim_kv_pool *p)
{
    if (p->base) munmap(p->base, p->base_bytes);
    glim_free(p->free_list);
    *p = (glim_kv_pool){0};
}

uint8_t *glim_kv_page_take(glim_kv_pool *p)
{
    if (p->n_free == 0) return NULL;
    uint8_t *page = p->base + (size_t)p->free_list[--p->n_free] * p->page_bytes;
    atomic_store_explicit(&p->n_free_seen, p->n_free, memory_order_relaxed);
    return page;
}

void glim_kv_page_give(glim_kv_pool *p, uint8_t *page)
{
    p->free_list[p->n_free++] = (int32_t)((size_t)(page - p->base) / p->page_bytes);
    atomic_store_explicit(&p->n_free_seen, p->n_free, memory_order_relaxed);
}
