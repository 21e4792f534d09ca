/* SPDX-License-Identifier: MIT
 * vocab.c - a tokenizer's tables: bytes and kinds of tokens, ids by bytes, merges by pairs; lists
 * of ids. Owns:   glim_tokenizer from spec to free, the GPT-2 byte alphabet.   Not here: using the
 * tables (bpe.c, special.c), the split rules (pretok.c), files (tokenizer_json.c and the GGUF
 * reader). Normal tokens are kept as the bytes they stand for. Only those whose text is written in
 * the byte alphabet can come out of BPE, so text that a user wrote can never become a special token
 * by merging. Thread: a built tokenizer any; glim_ids one at a time. Fails:  GLIM_E_FORMAT naming
 * token or merge; GLIM_E_NOMEM.   See: tests/unit/text/test_bpe.c */
#include "tok_priv.h"

/* ---- the byte alphabet ----------------------------------------------------------------------- */

enum { ALPHABET_END = 0x144 }; /* one past its highest code point */

/* Code point -> byte, -1: not a letter of it. Printable bytes are themselves, the 68 others stand
 * from U+0100 on in their order. */
static void make_alphabet(int16_t byte_of[ALPHABET_END])
{
    for (int cp = 0; cp < ALPHABET_END; cp++)
        byte_of[cp] = -1;
    int next = 0x100;
    for (int b = 0; b < 256; b++) {
        bool self = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
        byte_of[self ? b : next++] = (int16_t)b;
    }
}

/* The bytes that text in the alphabet stands for, to out (room for text.n). False: it is not in it.
 */
static bool alphabet_bytes(const int16_t byte_of[ALPHABET_END], glim_str text, char *out, size_t *n)
{
    size_t k = 0;
    for (size_t i = 0; i < text.n; i++) {
        unsigned c = (unsigned char)text.p[i];
        if (c >= 0x80) {
            if (c < 0xC2 || c > 0xC5 || ++i >= text.n) return false;
            unsigned d = (unsigned char)text.p[i];
            if ((d & 0xC0) != 0x80) return false;
            c = (c & 0x1F) << 6 | (d & 0x3F);
        }
        if (c >= ALPHABET_END || byte_of[c] < 0) return false;
        out[k++] = (char)byte_of[c];
    }
    *n = k;
    return true;
}

/* ---- ids by bytes ---------------------------------------------------------------------------- */

static uint32_t hash_bytes(const char *p, size_t n)
{
    const uint64_t k = UINT64_C(0x9E3779B97F4A7C15);
    uint64_t h = (n + 1) * k, w;
    for (; n >= 8; p += 8, n -= 8) {
        memcpy(&w, p, 8);
        h = (h ^ w) * k;
        h ^= h >> 29;
    }
    w = 0;
    memcpy(&w, p, n);
    h = (h ^ w) * k;
    h ^= h >> 32;
    h *= k;
    return (uint32_t)(h >> 32);
}

/* Slots for n entries: a power of two, at most five eighths full. */
static bool slots_for(size_t n, size_t *slots)
{
    size_t want, s = 16;
    if (!glim_mul_size(n, 8, &want)) return false;
    want /= 5;
    while (s <= want) {
        if (!glim_mul_size(s, 2, &s)) return false;
    }
    *slots = s;
    return true;
}

static bool tokmap_init(glim_tokmap *m, size_t n)
{
    size_t slots;
    if (!slots_for(n, &slots)) return false;
    m->slot = glim_alloc_array(slots, sizeof *m->slot);
    if (!m->slot) return false;
    for (size_t i = 0; i < slots; i++)
        m->slot[i].id = -1;
    m->mask = slots - 1;
    return true;
}

static glim_str bytes_of(const glim_tokenizer *t, int32_t id)
{
    return (glim_str){t->bytes + t->begin[id], t->begin[id + 1] - t->begin[id]};
}

/* The slot that holds s, or the empty one where it would be. */
static struct glim_tokslot *tokmap_slot(const glim_tokenizer *t, const glim_tokmap *m, glim_str s,
                                        uint32_t hash)
{
    for (size_t i = hash & m->mask;; i = (i + 1) & m->mask) {
        struct glim_tokslot *slot = &m->slot[i];
        if (slot->id < 0) return slot;
        if (slot->hash == hash && glim_str_eq(bytes_of(t, slot->id), s)) return slot;
    }
}

int32_t glim_tokmap_get(const glim_tokenizer *t, const glim_tokmap *m, glim_str s)
{
    return s.n ? tokmap_slot(t, m, s, hash_bytes(s.p, s.n))->id : -1;
}

/* The last of two merges of the same pair counts, as in the reference. */
static void mergemap_put(glim_mergemap *m, int32_t left, int32_t right, uint32_t rank, int32_t id)
{
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    uint64_t h = glim_merge_hash(key);
    size_t i = (size_t)h & m->mask;
    while (m->slot[i].key != UINT64_MAX && m->slot[i].key != key)
        i = (i + 1) & m->mask;
    m->filter[(size_t)(h >> 3) & m->mask] |= (uint8_t)(1u << (h & 7));
    m->slot[i].key = key;
    m->slot[i].rank = rank;
    m->slot[i].id = id;
}

/* ---- building -------------------------------------------------------------------------------- */

typedef struct build {
    const glim_tokenizer_spec *spec;
    glim_tokenizer *t;
    glim_error *e;
    int16_t byte_of[ALPHABET_END];
    char *scratch; /* bytes of both sides of the longest merge */
} build;

static glim_err no_memory(const build *b)
{
    return glim_fail(b->e, GLIM_E_NOMEM, "no memory for a vocabulary of %zu tokens and %zu merges",
                     b->spec->n_token, b->spec->n_merge);
}

static glim_err reserve(build *b)
{
    const glim_tokenizer_spec *s = b->spec;
    glim_tokenizer *t = b->t;
    size_t total = 0;
    if (s->n_token == 0) return glim_fail(b->e, GLIM_E_FORMAT, "the vocabulary has no tokens");
    if (s->n_token >= INT32_MAX || s->n_merge >= INT32_MAX)
        return glim_fail(b->e, GLIM_E_FORMAT,
                         "%zu tokens and %zu merges: no vocabulary is that big", s->n_token,
                         s->n_merge);
    for (size_t i = 0; i < s->n_token; i++) {
        if (!glim_add_size(total, s->text[i].n, &total) || total > UINT32_MAX)
            return glim_fail(b->e, GLIM_E_FORMAT, "the vocabulary's texts are over 4 GiB");
    }
    t->n_token = s->n_token;
    t->begin = glim_alloc_array(s->n_token + 1, sizeof *t->begin);
    t->bytes = glim_alloc(total + 1);
    t->attr = glim_alloc0(s->n_token);
    return t->begin && t->bytes && t->attr ? GLIM_OK : no_memory(b);
}

static bool is_special(uint8_t attr)
{
    return attr == GLIM_TOKEN_CONTROL || attr == GLIM_TOKEN_USER;
}

/* Copies token i behind the others; *bpe: it is written in the byte alphabet. */
static glim_err copy_token(build *b, size_t i, bool *bpe)
{
    glim_str text = b->spec->text[i];
    glim_tokenizer *t = b->t;
    char *to = t->bytes + t->begin[i];
    size_t n = text.n, bad;
    *bpe = false;
    t->begin[i + 1] = t->begin[i];
    if (!text.p) return GLIM_OK;
    t->attr[i] = b->spec->attr[i];
    if (t->attr[i] < GLIM_TOKEN_NORMAL || t->attr[i] > GLIM_TOKEN_BYTE)
        return glim_fail(b->e, GLIM_E_FORMAT, "token %zu %s has the unknown type %u", i,
                         GLIM_QUOTE(text), t->attr[i]);
    if (is_special(t->attr[i]) && !glim_utf8_valid(text, &bad))
        return glim_fail(b->e, GLIM_E_FORMAT, "special token %zu %s is not valid UTF-8", i,
                         GLIM_QUOTE(text));
    if (t->attr[i] == GLIM_TOKEN_NORMAL) *bpe = alphabet_bytes(b->byte_of, text, to, &n);
    if (!*bpe) {
        n = text.n;
        if (n) memcpy(to, text.p, n);
    }
    t->begin[i + 1] = t->begin[i] + (uint32_t)n;
    return GLIM_OK;
}

static glim_err tokmap_put(build *b, glim_tokmap *m, size_t id)
{
    glim_str s = bytes_of(b->t, (int32_t)id);
    uint32_t hash = hash_bytes(s.p, s.n);
    struct glim_tokslot *slot = tokmap_slot(b->t, m, s, hash);
    if (slot->id >= 0)
        return glim_fail(b->e, GLIM_E_FORMAT, "tokens %d and %zu have the same text %s",
                         (int)slot->id, id, GLIM_QUOTE(b->spec->text[id]));
    slot->id = (int32_t)id;
    slot->hash = hash;
    return GLIM_OK;
}

static glim_err add_tokens(build *b)
{
    glim_tokenizer *t = b->t;
    size_t n_normal = 0, n_other = 0;
    for (size_t i = 0; i < t->n_token; i++)
        n_normal += b->spec->text[i].p && b->spec->attr[i] == GLIM_TOKEN_NORMAL;
    if (!tokmap_init(&t->normal, n_normal)) return no_memory(b);
    for (size_t i = 0; i < t->n_token; i++) {
        bool bpe;
        glim_err rc = copy_token(b, i, &bpe);
        if (!rc && bpe) rc = tokmap_put(b, &t->normal, i);
        if (rc) return rc;
        if (!bpe && t->attr[i] != GLIM_TOKEN_HOLE) n_other++;
    }
    if (!tokmap_init(&t->other, n_other)) return no_memory(b);
    for (size_t i = 0; n_other && i < t->n_token; i++) {
        if (t->attr[i] == GLIM_TOKEN_HOLE) continue;
        if (t->attr[i] == GLIM_TOKEN_NORMAL) {
            glim_str s = bytes_of(t, (int32_t)i);
            if (tokmap_slot(t, &t->normal, s, hash_bytes(s.p, s.n))->id == (int32_t)i) continue;
        }
        glim_err rc = tokmap_put(b, &t->other, i);
        if (rc) return rc;
    }
    return GLIM_OK;
}

/* Every byte that valid UTF-8 may hold needs a token, else some text could not be written. */
static glim_err add_byte_ids(build *b)
{
    for (int c = 0; c < 256; c++) {
        char byte = (char)c;
        b->t->byte_id[c] = glim_tokmap_get(b->t, &b->t->normal, (glim_str){&byte, 1});
        bool in_utf8 = c != 0xC0 && c != 0xC1 && c < 0xF5;
        if (b->t->byte_id[c] < 0 && in_utf8)
            return glim_fail(b->e, GLIM_E_FORMAT,
                             "the vocabulary has no token for byte 0x%02x: it is not that of a "
                             "byte-level BPE",
                             c);
    }
    return GLIM_OK;
}

/* Id of one side of merge i; its bytes go to `to`. */
static glim_err merge_side(build *b, size_t i, glim_str text, char *to, size_t *n, int32_t *id)
{
    if (alphabet_bytes(b->byte_of, text, to, n)) {
        *id = glim_tokmap_get(b->t, &b->t->normal, (glim_str){to, *n});
        if (*id >= 0) return GLIM_OK;
    }
    return glim_fail(b->e, GLIM_E_FORMAT,
                     "merge %zu joins %s, which is no normal token of the vocabulary", i,
                     GLIM_QUOTE(text));
}

static glim_err add_merges(build *b)
{
    const glim_tokenizer_spec *s = b->spec;
    glim_mergemap *m = &b->t->merge;
    size_t slots, longest = 0, sum;
    for (size_t i = 0; i < s->n_merge; i++) {
        if (!glim_add_size(s->merges[i].a.n, s->merges[i].b.n, &sum)) return no_memory(b);
        longest = GLIM_MAX(longest, sum);
    }
    if (!slots_for(s->n_merge, &slots)) return no_memory(b);
    m->slot = glim_alloc_array(slots, sizeof *m->slot);
    m->filter = glim_alloc0(slots);
    b->scratch = glim_alloc(longest);
    if (!m->slot || !m->filter || !b->scratch) return no_memory(b);
    for (size_t i = 0; i < slots; i++)
        m->slot[i].key = UINT64_MAX;
    m->mask = slots - 1;
    for (size_t i = 0; i < s->n_merge; i++) {
        int32_t left, right;
        size_t n_left, n_right;
        glim_err rc = merge_side(b, i, s->merges[i].a, b->scratch, &n_left, &left);
        if (!rc) rc = merge_side(b, i, s->merges[i].b, b->scratch + n_left, &n_right, &right);
        if (rc) return rc;
        int32_t id = glim_tokmap_get(b->t, &b->t->normal, (glim_str){b->scratch, n_left + n_right});
        if (id < 0)
            return glim_fail(b->e, GLIM_E_FORMAT,
                             "merge %zu makes %s%s, which is no normal token of the vocabulary", i,
                             GLIM_QUOTE(s->merges[i].a), GLIM_QUOTE(s->merges[i].b));
        mergemap_put(m, left, right, (uint32_t)i, id);
    }
    return GLIM_OK;
}

glim_err glim_tokenizer_new(const glim_tokenizer_spec *spec, glim_tokenizer **out, glim_error *e)
{
    if (spec->nfc)
        return glim_fail(e, GLIM_E_UNSUPPORTED,
                         "the tokenizer normalises text to NFC, which glim does not do yet");
    build b = {.spec = spec, .e = e, .t = glim_new0(glim_tokenizer)};
    if (!b.t) return no_memory(&b);
    b.t->ignore_merges = spec->ignore_merges;
    make_alphabet(b.byte_of);
    glim_err rc = reserve(&b);
    if (!rc) rc = add_tokens(&b);
    if (!rc) rc = add_byte_ids(&b);
    if (!rc) rc = add_merges(&b);
    if (!rc) rc = glim_specials_build(b.t, e);
    if (!rc) rc = glim_pretok_new(spec->split, spec->n_split, &b.t->pretok, e);
    glim_free(b.scratch);
    if (rc) {
        glim_tokenizer_free(b.t);
        return rc;
    }
    *out = b.t;
    return GLIM_OK;
}

void glim_tokenizer_free(glim_tokenizer *t)
{
    if (!t) return;
    glim_pretok_free(t->pretok);
    glim_free(t->special);
    glim_free(t->merge.filter);
    glim_free(t->merge.slot);
    glim_free(t->other.slot);
    glim_free(t->normal.slot);
    glim_free(t->attr);
    glim_free(t->bytes);
    glim_free(t->begin);
    glim_free(t);
}

/* ---- asking ---------------------------------------------------------------------------------- */

size_t glim_tokenizer_n_token(const glim_tokenizer *t)
{
    return t->n_token;
}

static bool has(const glim_tokenizer *t, int32_t id)
{
    return id >= 0 && (size_t)id < t->n_token && t->attr[id] != GLIM_TOKEN_HOLE;
}

glim_str glim_token_bytes(const glim_tokenizer *t, int32_t id)
{
    return has(t, id) ? bytes_of(t, id) : (glim_str){NULL, 0};
}

glim_token_attr glim_token_get_attr(const glim_tokenizer *t, int32_t id)
{
    return has(t, id) ? (glim_token_attr)t->attr[id] : GLIM_TOKEN_UNUSED;
}

int32_t glim_token_special(const glim_tokenizer *t, glim_str s)
{
    int32_t id = glim_tokmap_get(t, &t->other, s);
    return id >= 0 ? id : glim_tokmap_get(t, &t->normal, s);
}

/* ---- lists of ids ---------------------------------------------------------------------------- */

void glim_ids_init(glim_ids *v, size_t max)
{
    *v = (glim_ids){.max = max};
}

void glim_ids_deinit(glim_ids *v)
{
    glim_free(v->p);
    *v = (glim_ids){.max = v->max};
}

glim_err glim_ids_add(glim_ids *v, int32_t id)
{
    if (v->n == v->cap) {
        size_t cap = GLIM_MAX((size_t)64, v->cap), bytes;
        if (v->n >= v->max) return GLIM_E_LIMIT;
        if (v->cap && !glim_mul_size(v->cap, 2, &cap)) return GLIM_E_NOMEM;
        cap = GLIM_MIN(cap, v->max);
        if (!glim_mul_size(cap, sizeof *v->p, &bytes)) return GLIM_E_NOMEM;
        int32_t *p = glim_realloc(v->p, bytes);
        if (!p) return GLIM_E_NOMEM;
        v->p = p;
        v->cap = cap;
    }
    v->p[v->n++] = id;
    return GLIM_OK;
}
