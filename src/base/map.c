/* SPDX-License-Identifier: MIT
 * map.c - hash map from byte strings to uint32, open addressing, never deletes.
 * Layout: a power-of-two table of {hash, value, key}; a free place has key.p NULL.
 * The hash is keyed per process, so that a file cannot be built to make every key collide. */
#include "base/base.h"

#include <stdatomic.h>

typedef struct entry {
    glim_str key;
    uint32_t hash, value;
} entry;

struct glim_map {
    entry *e;
    size_t cap, n;
};

static uint64_t hash_key(void)
{
    static atomic_uint_fast64_t key;
    uint64_t k = atomic_load_explicit(&key, memory_order_relaxed);
    if (k) return k;
    uint64_t fresh = glim_entropy() | 1, expected = 0;
    if (atomic_compare_exchange_strong(&key, &expected, fresh)) return fresh;
    return expected;
}

/* Multiply-and-fold over 8-byte words (the idea of wyhash), 32 bits kept. */
static uint32_t hash_bytes(glim_str s)
{
    uint64_t h = hash_key() ^ s.n;
    size_t i = 0;
    for (; i + 8 <= s.n; i += 8) {
        uint64_t w;
        memcpy(&w, s.p + i, 8);
        __uint128_t m = (__uint128_t)(h ^ w) * 0x9e3779b97f4a7c15u;
        h = (uint64_t)m ^ (uint64_t)(m >> 64);
    }
    uint64_t w = 0;
    if (i < s.n) memcpy(&w, s.p + i, s.n - i);
    __uint128_t m = (__uint128_t)(h ^ w ^ 0xa0761d6478bd642fu) * 0xe7037ed1a0b428dbu;
    h = (uint64_t)m ^ (uint64_t)(m >> 64);
    return (uint32_t)(h ^ h >> 32);
}

static entry *find(const glim_map *m, glim_str key, uint32_t hash)
{
    for (size_t i = hash & (m->cap - 1);; i = (i + 1) & (m->cap - 1)) {
        entry *e = &m->e[i];
        if (!e->key.p || (e->hash == hash && glim_str_eq(e->key, key))) return e;
    }
}

glim_map *glim_map_new(size_t n_expected)
{
    glim_map *m = glim_new0(glim_map);
    size_t cap = 16;
    while (cap / 4 * 3 < n_expected && cap < SIZE_MAX / 4)
        cap *= 2;
    if (m) m->e = glim_alloc_array(cap, sizeof(entry));
    if (!m || !m->e) {
        glim_map_free(m);
        return NULL;
    }
    m->cap = cap;
    return m;
}

void glim_map_free(glim_map *m)
{
    if (!m) return;
    glim_free(m->e);
    glim_free(m);
}

static glim_err grow(glim_map *m)
{
    glim_map bigger = {.cap = m->cap * 2};
    bigger.e = glim_alloc_array(bigger.cap, sizeof(entry));
    if (!bigger.e) return GLIM_E_NOMEM;
    for (size_t i = 0; i < m->cap; i++)
        if (m->e[i].key.p) *find(&bigger, m->e[i].key, m->e[i].hash) = m->e[i];
    glim_free(m->e);
    m->e = bigger.e;
    m->cap = bigger.cap;
    return GLIM_OK;
}

glim_err glim_map_put(glim_map *m, glim_str key, uint32_t value)
{
    if (m->n >= m->cap / 4 * 3) {
        glim_err rc = grow(m);
        if (rc) return rc;
    }
    if (!key.p) key.p = ""; /* NULL marks a free place */
    uint32_t hash = hash_bytes(key);
    entry *e = find(m, key, hash);
    if (e->key.p) return GLIM_E_STATE;
    *e = (entry){key, hash, value};
    m->n++;
    return GLIM_OK;
}

bool glim_map_get(const glim_map *m, glim_str key, uint32_t *value)
{
    const entry *e = find(m, key, hash_bytes(key));
    if (!e->key.p) return false;
    if (value) *value = e->value;
    return true;
}

size_t glim_map_count(const glim_map *m)
{
    return m->n;
}
