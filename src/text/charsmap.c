/* SPDX-License-Identifier: MIT
 * charsmap.c - the precompiled character map of SentencePiece: which bytes stand for which
 * others.
 * Owns: the form of the blob: u32 length of a trie, the trie (a double array of u32, all
 * little endian), then replacements with a NUL behind each.
 * Not here: what happens to blanks and to what no key covers (unigram.c). Everything that a
 *           walk may meet is checked while loading, so that a walk needs only the bounds of
 *           the array. A walk ends after KEY_MAX bytes, so that time grows with the text alone:
 *           a longer key, which no real map has, is never found.
 * Thread: a loaded map any.
 * Fails: GLIM_E_FORMAT with the offset, GLIM_E_LIMIT, GLIM_E_NOMEM.
 * See: tests/unit/text/test_unigram.c */
#include "enctok_priv.h"

enum {
    TO_MAX = 1024, /* bytes of a replacement; NFKC's longest has 33 */
    KEY_MAX = 256, /* bytes of a key; real ones have at most 20 */
    BLOB_MAX = 64 << 20
};

static uint32_t read_u32(const char *p)
{
    const uint8_t *b = (const uint8_t *)p;
    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static uint32_t offset_of(uint32_t u)
{
    return (u >> 10) << ((u & 0x200) >> 6);
}

static bool has_leaf(uint32_t u)
{
    return u >> 8 & 1;
}

/* Replacements are text, each ends, and none is long. */
static glim_err check_pool(const glim_charsmap *m, size_t at, glim_error *e)
{
    size_t bad, begin = 0;
    if (m->n_pool && m->pool[m->n_pool - 1] != 0)
        return glim_fail_off(e, GLIM_E_FORMAT, at + m->n_pool,
                             "the last replacement of the character map does not end");
    if (!glim_utf8_valid((glim_str){m->pool, m->n_pool}, &bad))
        return glim_fail_off(e, GLIM_E_FORMAT, at + bad,
                             "a replacement of the character map is not UTF-8 (byte %zu of it)",
                             at + bad);
    for (size_t i = 0; i < m->n_pool; i++) {
        if (m->pool[i]) continue;
        if (i - begin > TO_MAX)
            return glim_fail_off(
                e, GLIM_E_LIMIT, at + begin,
                "a replacement of the character map has %zu bytes; the limit is %d", i - begin,
                TO_MAX);
        begin = i + 1;
    }
    return GLIM_OK;
}

/* Every unit that says that a key ends at it has a value, and that is the begin of a character. */
static glim_err check_leaves(const glim_charsmap *m, glim_error *e)
{
    for (size_t i = 0; i < m->n_unit; i++) {
        uint32_t u = m->unit[i];
        if (u >> 31 || !has_leaf(u)) continue;
        size_t leaf = i ^ offset_of(u);
        bool ok = leaf < m->n_unit && m->unit[leaf] >> 31;
        size_t to = ok ? m->unit[leaf] & 0x7FFFFFFF : 0;
        if (!ok || to >= m->n_pool || ((uint8_t)m->pool[to] & 0xC0) == 0x80)
            return glim_fail_off(e, GLIM_E_FORMAT, 4 + 4 * i,
                                 "unit %zu of the character map leads to no replacement", i);
    }
    return GLIM_OK;
}

glim_err glim_charsmap_init(glim_charsmap *m, glim_str blob, glim_error *e)
{
    *m = (glim_charsmap){0};
    if (blob.n == 0) return GLIM_OK;
    if (blob.n > BLOB_MAX)
        return glim_fail(e, GLIM_E_LIMIT, "a character map of %zu bytes; the limit is %d", blob.n,
                         BLOB_MAX);
    uint32_t n = blob.n < 4 ? 0 : read_u32(blob.p);
    if (n == 0 || n % 4 || n > blob.n - 4)
        return glim_fail_off(e, GLIM_E_FORMAT, 0,
                             "the character map has %zu bytes and says that its trie has %u",
                             blob.n, (unsigned)n);
    m->n_unit = n / 4;
    m->n_pool = blob.n - 4 - n;
    m->unit = glim_alloc_array(m->n_unit, sizeof *m->unit);
    m->pool = glim_alloc(m->n_pool);
    glim_err rc = m->unit && m->pool
                      ? GLIM_OK
                      : glim_fail(e, GLIM_E_NOMEM, "no memory for the character map");
    if (!rc) {
        for (size_t i = 0; i < m->n_unit; i++)
            m->unit[i] = read_u32(blob.p + 4 + 4 * i);
        if (m->n_pool) memcpy(m->pool, blob.p + 4 + n, m->n_pool);
        rc = check_pool(m, 4 + (size_t)n, e);
    }
    if (!rc) rc = check_leaves(m, e);
    if (rc) glim_charsmap_deinit(m);
    return rc;
}

void glim_charsmap_deinit(glim_charsmap *m)
{
    glim_free(m->unit);
    glim_free(m->pool);
    *m = (glim_charsmap){0};
}

size_t glim_charsmap_at(const glim_charsmap *m, glim_str s, glim_str *to)
{
    if (!m->n_unit) return 0;
    size_t found = 0, value = 0, at = offset_of(m->unit[0]), end = GLIM_MIN(s.n, (size_t)KEY_MAX);
    for (size_t i = 0; i < end; i++) {
        at ^= (uint8_t)s.p[i];
        if (at >= m->n_unit) break;
        uint32_t u = m->unit[at];
        if ((u & 0x800000FF) != (uint8_t)s.p[i]) break;
        at ^= offset_of(u);
        if (!has_leaf(u)) continue;
        found = i + 1;
        value = m->unit[at] & 0x7FFFFFFF; /* in range: checked while loading */
    }
    if (found) *to = glim_str_of(m->pool + value);
    return found;
}
