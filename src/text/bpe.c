/* SPDX-License-Identifier: MIT
 * bpe.c - text -> token ids: special tokens cut out, the rest split into pieces, each merged.
 * Owns: the order of the steps and the merge loop.
 * Not here: tables (vocab.c), pieces (pretok.c). Merging takes the pair with the lowest rank first,
 *           of equal ones the leftmost, until no pair is left. Short pieces scan an array for it;
 *           long ones keep a heap, so that a piece of n bytes costs n log n.
 * Thread: any, for one tokenizer at once; a call has its own memory.
 * Fails: GLIM_E_INPUT, GLIM_E_LIMIT, GLIM_E_NOMEM; the list of ids is then as it was.
 * See: tests/unit/text/test_bpe.c, test_tokenizer_golden.c */
#include "tok_priv.h"

enum { SHORT_PIECE = 48 }; /* bytes; where the two ways cost about the same */

/* A part of a long piece. Dead ones (merged into their left neighbour) have rank GLIM_NO_RANK. */
typedef struct part {
    int32_t id;
    uint32_t prev, next; /* NO_PART at the ends */
    uint32_t rank;       /* of the merge with the next part */
} part;
#define NO_PART UINT32_MAX

typedef struct work {
    const glim_tokenizer *t;
    glim_ids *ids;
    glim_pretok_work pretok;
    part *parts;
    size_t cap_part;
    uint64_t *heap; /* rank << 32 | index of the left part; smallest first */
    size_t n_heap, cap_heap;
} work;

static glim_err add(work *w, int32_t id, glim_error *e)
{
    glim_err rc = glim_ids_add(w->ids, id);
    if (rc == GLIM_E_LIMIT)
        return glim_fail(e, rc, "the text has more than the allowed %zu tokens", w->ids->max);
    return rc ? glim_fail(e, rc, "no memory for token ids") : GLIM_OK;
}

/* ---- short pieces ---------------------------------------------------------------------------- */

/* What part i and part i+1 become. */
static void set_pair(const glim_mergemap *m, const int32_t *id, size_t i, uint32_t *rank,
                     int32_t *product)
{
    const struct glim_mergeslot *slot = glim_mergemap_get(m, id[i], id[i + 1]);
    rank[i] = slot ? slot->rank : GLIM_NO_RANK;
    product[i] = slot ? slot->id : -1;
}

static glim_err merge_short(work *w, glim_str s, glim_error *e)
{
    const glim_mergemap *m = &w->t->merge;
    int32_t id[SHORT_PIECE], product[SHORT_PIECE]; /* product, rank: of part i and part i+1 */
    uint32_t rank[SHORT_PIECE];
    size_t n = s.n; /* parts; pairs are one less */
    for (size_t i = 0; i < n; i++)
        id[i] = w->t->byte_id[(unsigned char)s.p[i]];
    for (size_t i = 0; i + 1 < n; i++)
        set_pair(m, id, i, rank, product);
    for (;;) {
        size_t best = 0;
        uint32_t lowest = GLIM_NO_RANK;
        for (size_t i = 0; i + 1 < n; i++) {
            if (rank[i] < lowest) {
                lowest = rank[i];
                best = i;
            }
        }
        if (lowest == GLIM_NO_RANK) break;
        id[best] = product[best];
        n--;
        for (size_t i = best + 1; i < n; i++) {
            id[i] = id[i + 1];
            if (i + 1 == n) break;
            rank[i] = rank[i + 1];
            product[i] = product[i + 1];
        }
        if (best + 1 < n) set_pair(m, id, best, rank, product);
        if (best > 0) set_pair(m, id, best - 1, rank, product);
    }
    for (size_t i = 0; i < n; i++) {
        glim_err rc = add(w, id[i], e);
        if (rc) return rc;
    }
    return GLIM_OK;
}

/* ---- long pieces ----------------------------------------------------------------------------- */

static void heap_push(work *w, uint64_t v)
{
    size_t i = w->n_heap++;
    while (i > 0 && w->heap[(i - 1) / 2] > v) {
        w->heap[i] = w->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    w->heap[i] = v;
}

static uint64_t heap_pop(work *w)
{
    uint64_t top = w->heap[0], v = w->heap[--w->n_heap];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= w->n_heap) break;
        if (child + 1 < w->n_heap && w->heap[child + 1] < w->heap[child]) child++;
        if (w->heap[child] >= v) break;
        w->heap[i] = w->heap[child];
        i = child;
    }
    w->heap[i] = v;
    return top;
}

static glim_err reserve(work *w, size_t n, glim_error *e)
{
    /* A merge takes one entry off the heap and puts back two, and there are at most n - 1 merges.
     */
    size_t n_heap, part_bytes, heap_bytes;
    if (n > UINT32_MAX - 1 || !glim_mul_size(n, 2, &n_heap) ||
        !glim_mul_size(n, sizeof *w->parts, &part_bytes) ||
        !glim_mul_size(n_heap, sizeof *w->heap, &heap_bytes))
        return glim_fail(e, GLIM_E_LIMIT, "a word of %zu bytes: no text has that", n);
    if (n > w->cap_part) {
        glim_free(w->parts);
        w->cap_part = 0;
        w->parts = glim_alloc(part_bytes);
        if (!w->parts) return glim_fail(e, GLIM_E_NOMEM, "no memory for a word of %zu bytes", n);
        w->cap_part = n;
    }
    if (n_heap > w->cap_heap) {
        glim_free(w->heap);
        w->cap_heap = 0;
        w->heap = glim_alloc(heap_bytes);
        if (!w->heap) return glim_fail(e, GLIM_E_NOMEM, "no memory for a word of %zu bytes", n);
        w->cap_heap = n_heap;
    }
    return GLIM_OK;
}

/* Sets the rank of part i with its next one and queues the pair. */
static void queue_pair(work *w, uint32_t i)
{
    part *p = &w->parts[i];
    p->rank = GLIM_NO_RANK;
    if (p->next == NO_PART) return;
    const struct glim_mergeslot *m = glim_mergemap_get(&w->t->merge, p->id, w->parts[p->next].id);
    if (!m) return;
    p->rank = m->rank;
    heap_push(w, (uint64_t)m->rank << 32 | i);
}

static glim_err merge_long(work *w, glim_str s, glim_error *e)
{
    glim_err rc = reserve(w, s.n, e);
    if (rc) return rc;
    uint32_t n = (uint32_t)s.n;
    w->n_heap = 0;
    for (uint32_t i = 0; i < n; i++) {
        w->parts[i].id = w->t->byte_id[(unsigned char)s.p[i]];
        w->parts[i].prev = i ? i - 1 : NO_PART;
        w->parts[i].next = i + 1 < n ? i + 1 : NO_PART;
    }
    for (uint32_t i = 0; i < n; i++)
        queue_pair(w, i);
    while (w->n_heap) {
        uint64_t top = heap_pop(w);
        uint32_t i = (uint32_t)top;
        part *p = &w->parts[i];
        /* A pair's text only grows, so an entry is out of date exactly when the rank is another. */
        if (p->rank != (uint32_t)(top >> 32)) continue;
        part *dead = &w->parts[p->next];
        p->id = glim_mergemap_get(&w->t->merge, p->id, dead->id)->id;
        p->next = dead->next;
        dead->rank = GLIM_NO_RANK;
        if (p->next != NO_PART) w->parts[p->next].prev = i;
        queue_pair(w, i);
        if (p->prev != NO_PART) queue_pair(w, p->prev);
    }
    for (uint32_t i = 0; i != NO_PART; i = w->parts[i].next) {
        rc = add(w, w->parts[i].id, e);
        if (rc) return rc;
    }
    return GLIM_OK;
}

static glim_err encode_piece(void *user, glim_str s, glim_error *e)
{
    work *w = user;
    if (s.n == 1) return add(w, w->t->byte_id[(unsigned char)s.p[0]], e);
    if (w->t->ignore_merges) {
        int32_t id = glim_tokmap_get(w->t, &w->t->normal, s);
        if (id >= 0) return add(w, id, e);
    }
    return s.n <= SHORT_PIECE ? merge_short(w, s, e) : merge_long(w, s, e);
}

/* ---- special tokens -------------------------------------------------------------------------- */

static glim_err encode_text(work *w, glim_str s, glim_error *e)
{
    return glim_pretok_run(w->t->pretok, &w->pretok, s, encode_piece, w, e);
}

static glim_err encode_all(work *w, glim_str text, const glim_span *plain, size_t n_plain,
                           glim_error *e)
{
    const uint32_t *first = w->t->special_begin;
    size_t done = 0, i_span = 0, i = 0;
    while (i < text.n) {
        unsigned c = (unsigned char)text.p[i];
        if (first[c] == first[c + 1]) {
            i++;
            continue;
        }
        while (i_span < n_plain && plain[i_span].end <= i)
            i_span++;
        size_t limit = text.n;
        if (i_span < n_plain) {
            if (plain[i_span].begin <= i) {
                i = plain[i_span].end;
                continue;
            }
            limit = GLIM_MIN(limit, plain[i_span].begin);
        }
        int32_t id = -1;
        size_t n = glim_special_at(w->t, glim_str_sub(text, i, limit), &id);
        if (n == 0) {
            i++;
            continue;
        }
        glim_err rc = encode_text(w, glim_str_sub(text, done, i), e);
        if (!rc) rc = add(w, id, e);
        if (rc) return rc;
        i += n;
        done = i;
    }
    return encode_text(w, glim_str_sub(text, done, text.n), e);
}

glim_err glim_tokenize_spans(const glim_tokenizer *t, glim_str text, const glim_span *plain,
                             size_t n_plain, bool all_plain, glim_ids *ids, glim_error *e)
{
    size_t bad, n_before = ids->n;
    if (text.n == 0) return GLIM_OK;
    if (!glim_utf8_valid(text, &bad))
        return glim_fail_off(e, GLIM_E_INPUT, bad, "the text is not valid UTF-8 at byte %zu", bad);
    work w = {.t = t, .ids = ids};
    glim_err rc = glim_pretok_work_init(t->pretok, &w.pretok, text.n, e);
    if (rc) return rc;
    rc = all_plain ? encode_text(&w, text, e) : encode_all(&w, text, plain, n_plain, e);
    if (rc) ids->n = n_before;
    glim_free(w.parts);
    glim_free(w.heap);
    glim_pretok_work_deinit(&w.pretok);
    return rc;
}
