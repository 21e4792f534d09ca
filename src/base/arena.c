/* SPDX-License-Identifier: MIT
 * arena.c - memory named by lifetime: taken piece by piece, ended all at once.
 * Layout: a chain of blocks, newest first; each block is header, then bytes. A mark is a block and
 * its fill. Fails:  NULL at the maximum or when the system has none; the arena stays usable. */
#include "base/base.h"

typedef struct block {
    struct block *prev;
    size_t cap, used;
    size_t used_before; /* bytes taken in all earlier blocks */
} block;

struct glim_arena {
    block *top;
    size_t max, held; /* bytes of all blocks */
    bool fixed;
};

#define HEADER ((sizeof(block) + GLIM_CACHE_LINE - 1) / GLIM_CACHE_LINE * GLIM_CACHE_LINE)
#define FIRST_BLOCK 4096

static uint8_t *block_data(block *b)
{
    return (uint8_t *)b + HEADER;
}

static block *push_block(glim_arena *a, size_t cap)
{
    size_t total;
    if (a->held > a->max || cap > a->max - a->held || !glim_add_size(cap, HEADER, &total))
        return NULL;
    block *b = glim_alloc_aligned(GLIM_CACHE_LINE, total);
    if (!b) return NULL;
    *b = (block){
        .prev = a->top, .cap = cap, .used_before = a->top ? a->top->used_before + a->top->used : 0};
    a->held += cap;
    a->top = b;
    return b;
}

static void pop_block(glim_arena *a)
{
    block *b = a->top;
    a->top = b->prev;
    a->held -= b->cap;
    glim_free(b);
}

glim_arena *glim_arena_new(size_t max_bytes)
{
    glim_arena *a = glim_new0(glim_arena);
    if (a) a->max = max_bytes;
    return a;
}

glim_arena *glim_arena_new_fixed(size_t bytes)
{
    glim_arena *a = glim_arena_new(bytes);
    if (a && !push_block(a, bytes)) {
        glim_free(a);
        return NULL;
    }
    if (a) a->fixed = true;
    return a;
}

void glim_arena_free(glim_arena *a)
{
    if (!a) return;
    while (a->top)
        pop_block(a);
    glim_free(a);
}

void glim_arena_reset(glim_arena *a)
{
    while (a->top && a->top->prev)
        pop_block(a);
    if (a->top) a->top->used = 0;
}

void *glim_arena_alloc(glim_arena *a, size_t n)
{
    /* Rows of floats start on a cache line; small pieces are packed. */
    size_t align = n >= GLIM_CACHE_LINE ? GLIM_CACHE_LINE : 16;
    block *b = a->top;
    if (b) {
        size_t at = (b->used + align - 1) & ~(align - 1);
        if (at <= b->cap && n <= b->cap - at) {
            b->used = at + n;
            return block_data(b) + at;
        }
        if (a->fixed) return NULL;
    }
    /* Doubling keeps the number of blocks small; a big request gets a block of its own size. */
    size_t room = a->max - GLIM_MIN(a->max, a->held);
    size_t want = GLIM_MAX(n, b ? GLIM_MIN(a->held, (size_t)8 << 20) : (size_t)FIRST_BLOCK);
    if (want > room) want = n;
    b = push_block(a, want);
    if (!b) return NULL;
    b->used = n;
    return block_data(b);
}

void *glim_arena_alloc0(glim_arena *a, size_t n)
{
    void *p = glim_arena_alloc(a, n);
    if (p) memset(p, 0, n);
    return p;
}

void *glim_arena_array(glim_arena *a, size_t n, size_t size)
{
    size_t total;
    return glim_mul_size(n, size, &total) ? glim_arena_alloc(a, total) : NULL;
}

glim_str glim_arena_str(glim_arena *a, glim_str s)
{
    size_t total;
    char *p = glim_add_size(s.n, 1, &total) ? glim_arena_alloc(a, total) : NULL;
    if (!p) return (glim_str){NULL, 0};
    if (s.n) memcpy(p, s.p, s.n);
    p[s.n] = 0;
    return (glim_str){p, s.n};
}

glim_mark glim_arena_mark(glim_arena *a)
{
    return (glim_mark){a->top, a->top ? a->top->used : 0};
}

void glim_arena_rewind(glim_arena *a, glim_mark m)
{
    while (a->top && a->top != m.block)
        pop_block(a);
    if (a->top) a->top->used = m.used;
}

size_t glim_arena_used(const glim_arena *a)
{
    return a->top ? a->top->used_before + a->top->used : 0;
}
