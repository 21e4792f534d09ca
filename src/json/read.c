/* SPDX-License-Identifier: MIT
 * read.c - a whole JSON text as a tree in an arena, and the lookups in it.
 * Owns: the tree, the refusal of duplicate keys, exact integers out of lexemes.
 * Not here: the grammar (stream.c), objects read by a table (fields.c).
 * Layout: a node of 64 bytes a value; strings without escapes and all containers point into the
 *         source. Built with a stack of open containers, so nesting costs no C stack.
 * Thread: a finished tree may be read by any.
 * Fails: as stream.c, with the path before the message.
 * See: tests/unit/json/test_read.c */
#include "json/json.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct open_node {
    glim_json *node, *last;
    glim_str key; /* of the member whose value comes next */
} open_node;

typedef struct builder {
    glim_arena *arena;
    glim_json_reader r;
    glim_json *root;
    open_node open[GLIM_JSON_DEPTH];
    uint32_t n_open;
} builder;

/* Objects up to this many members are compared pair by pair, larger ones are sorted. */
#define FEW_MEMBERS 12

static bool plain_key(glim_str k)
{
    if (k.n == 0 || k.n > 40) return false;
    for (size_t i = 0; i < k.n; i++) {
        char c = k.p[i];
        bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '_' || c == '-';
        if (!word) return false;
    }
    return true;
}

/* Puts the path of the value being read before e's message. Deep paths keep their innermost levels.
 */
static glim_err fail_path(const builder *b, glim_err rc, glim_error *e)
{
    enum { SHOWN = 6 };
    char path[256];
    size_t n = 0;
    path[0] = '\0';
    uint32_t first = b->n_open > SHOWN ? b->n_open - SHOWN : 0;
    if (!e || b->n_open == 0) return rc;
    for (uint32_t i = first; i < b->n_open && n < sizeof path; i++) {
        const open_node *o = &b->open[i];
        const char *dot = n || first ? "." : "";
        int k = 0;
        if (o->node->type == GLIM_JSON_ARRAY)
            k = snprintf(path + n, sizeof path - n, "[%u]",
                         (unsigned)o->node->n_child - (i + 1 < b->n_open));
        else if (o->key.p && plain_key(o->key))
            k = snprintf(path + n, sizeof path - n, "%s%.*s", dot, (int)o->key.n, o->key.p);
        else if (o->key.p)
            k = snprintf(path + n, sizeof path - n, "[%s]", GLIM_QUOTE(o->key));
        if (k < 0) break;
        n += (size_t)k;
    }
    if (path[0]) glim_error_prefix(e, "%s%s", first ? "..." : "", path);
    return rc;
}

static glim_err no_memory(const builder *b, glim_error *e)
{
    return glim_fail_off(e, GLIM_E_NOMEM, b->r.at,
                         "at byte %zu: the JSON tree does not fit the memory granted for it",
                         b->r.at);
}

static int by_key(const void *x, const void *y)
{
    const glim_json *a = *(const glim_json *const *)x, *b = *(const glim_json *const *)y;
    size_t n = GLIM_MIN(a->key.n, b->key.n);
    int c = n ? memcmp(a->key.p, b->key.p, n) : 0;
    if (c) return c;
    if (a->key.n != b->key.n) return a->key.n < b->key.n ? -1 : 1;
    return a->offset < b->offset ? -1 : a->offset > b->offset;
}

/* The first member of obj whose key an earlier member has, or NULL. Sorting and not hashing: its
 * cost has a bound that no choice of keys can break. */
static glim_err find_duplicate(const glim_json *obj, const glim_json **dup, glim_error *e)
{
    *dup = NULL;
    if (obj->n_child <= FEW_MEMBERS) {
        GLIM_JSON_EACH(m, obj)
        {
            for (const glim_json *x = obj->child; x != m && !*dup; x = x->next) {
                if (glim_str_eq(x->key, m->key)) *dup = m;
            }
        }
        return GLIM_OK;
    }
    const glim_json **all = glim_alloc_array(obj->n_child, sizeof *all);
    if (!all) return glim_fail_off(e, GLIM_E_NOMEM, obj->offset, "no memory to compare keys");
    size_t n = 0;
    GLIM_JSON_EACH(m, obj)
    all[n++] = m;
    qsort(all, n, sizeof *all, by_key);
    for (size_t i = 1; i < n; i++) {
        if (glim_str_eq(all[i - 1]->key, all[i]->key) && (!*dup || all[i]->offset < (*dup)->offset))
            *dup = all[i];
    }
    glim_free(all);
    return GLIM_OK;
}

/* Text that outlives the reader: strings with escapes sit in its buffer and are copied. */
static bool keep_text(const builder *b, glim_str text, glim_str *out)
{
    *out = text;
    if (text.p != b->r.tmp.p || !text.p) return true;
    *out = glim_arena_str(b->arena, text);
    return out->p != NULL;
}

static glim_err add_node(builder *b, glim_json_type type, glim_str text, glim_json **out,
                         glim_error *e)
{
    glim_json *v = GLIM_ARENA_NEW0(b->arena, glim_json);
    if (!v || !keep_text(b, text, &v->text)) return no_memory(b, e);
    v->type = type;
    v->offset = b->r.at;
    *out = v;
    if (b->n_open == 0) {
        b->root = v;
        return GLIM_OK;
    }
    open_node *o = &b->open[b->n_open - 1];
    if (o->node->n_child == UINT32_MAX)
        return glim_fail_off(e, GLIM_E_LIMIT, v->offset, "at byte %zu: more than 2^32 - 1 elements",
                             v->offset);
    v->key = o->key;
    if (o->last)
        o->last->next = v;
    else
        o->node->child = v;
    o->last = v;
    o->node->n_child++;
    return GLIM_OK;
}

static glim_err close_node(builder *b, glim_error *e)
{
    open_node *o = &b->open[b->n_open - 1];
    glim_json *v = o->node;
    v->text = glim_str_sub(b->r.src, v->offset, b->r.pos);
    if (v->type == GLIM_JSON_OBJECT) {
        const glim_json *dup;
        glim_err rc = find_duplicate(v, &dup, e);
        if (rc) return rc;
        if (dup) {
            o->key = dup->key;
            return glim_fail_off(e, GLIM_E_INPUT, dup->offset,
                                 "at byte %zu: the key %s is there twice in one object",
                                 dup->offset, GLIM_QUOTE(dup->key));
        }
    }
    b->n_open--;
    return GLIM_OK;
}

static glim_err build(builder *b, glim_error *e)
{
    static const glim_json_type type_of[] = {
        [GLIM_JT_NULL] = GLIM_JSON_NULL,     [GLIM_JT_FALSE] = GLIM_JSON_FALSE,
        [GLIM_JT_TRUE] = GLIM_JSON_TRUE,     [GLIM_JT_NUMBER] = GLIM_JSON_NUMBER,
        [GLIM_JT_STRING] = GLIM_JSON_STRING, [GLIM_JT_ARRAY] = GLIM_JSON_ARRAY,
        [GLIM_JT_OBJECT] = GLIM_JSON_OBJECT,
    };
    for (;;) {
        glim_json_tok tok;
        glim_str text;
        glim_json *v;
        glim_err rc = glim_json_next(&b->r, &tok, &text, e);
        if (rc) return rc;
        switch (tok) {
        case GLIM_JT_END:
            return GLIM_OK;
        case GLIM_JT_KEY:
            if (!keep_text(b, text, &b->open[b->n_open - 1].key)) return no_memory(b, e);
            break;
        case GLIM_JT_ARRAY_END:
        case GLIM_JT_OBJECT_END:
            rc = close_node(b, e);
            if (rc) return rc;
            break;
        case GLIM_JT_ARRAY:
        case GLIM_JT_OBJECT:
            rc = add_node(b, type_of[tok], text, &v, e);
            if (rc) return rc;
            b->open[b->n_open++] = (open_node){.node = v};
            break;
        default:
            rc = add_node(b, type_of[tok], text, &v, e);
            if (rc) return rc;
        }
    }
}

glim_err glim_json_parse(glim_arena *a, glim_str src, glim_json **out, glim_error *e)
{
    *out = NULL;
    builder *b = glim_new0(builder);
    if (!b) return glim_fail(e, GLIM_E_NOMEM, "no memory to read JSON");
    b->arena = a;
    glim_json_reader_init(&b->r, src);
    glim_err rc = build(b, e);
    if (rc)
        rc = fail_path(b, rc, e);
    else
        *out = b->root;
    glim_json_reader_deinit(&b->r);
    glim_free(b);
    return rc;
}

const glim_json *glim_json_get(const glim_json *v, const char *key)
{
    if (!glim_json_is(v, GLIM_JSON_OBJECT)) return NULL;
    glim_str k = glim_str_of(key);
    GLIM_JSON_EACH(m, v)
    {
        if (glim_str_eq(m->key, k)) return m;
    }
    return NULL;
}

const glim_json *glim_json_path(const glim_json *v, const char *path)
{
    glim_str rest = glim_str_of(path);
    while (glim_json_is(v, GLIM_JSON_OBJECT)) {
        size_t dot = glim_str_find(rest, GLIM_STR("."));
        glim_str key = dot == SIZE_MAX ? rest : glim_str_sub(rest, 0, dot);
        const glim_json *m = v->child;
        while (m && !glim_str_eq(m->key, key))
            m = m->next;
        if (dot == SIZE_MAX || !m) return m;
        rest = glim_str_sub(rest, dot + 1, rest.n);
        v = m;
    }
    return NULL;
}

const glim_json *glim_json_at(const glim_json *v, size_t i)
{
    if (!v || i >= v->n_child) return NULL;
    const glim_json *x = v->child;
    while (i--)
        x = x->next;
    return x;
}

/* The exponent of a lexeme, kept within +-10^17: beyond that only zero has an integer value. */
static int64_t read_exponent(glim_str s)
{
    const int64_t cap = 100000000000000000;
    int64_t v = 0;
    size_t i = 0;
    bool minus = s.n && s.p[0] == '-';
    if (s.n && (s.p[0] == '-' || s.p[0] == '+')) i++;
    for (; i < s.n; i++)
        v = v >= cap ? cap : v * 10 + (s.p[i] - '0');
    return minus ? -v : v;
}

/* Works on the decimal digits, not through a double: 2^53 + 1 and 9223372036854775807.0 stay exact.
 */
bool glim_json_i64(const glim_json *v, int64_t *out)
{
    if (!glim_json_is(v, GLIM_JSON_NUMBER)) return false;
    glim_str s = v->text;
    bool minus = s.n && s.p[0] == '-';
    size_t i = minus, end = i;
    int64_t exponent = 0, n_fraction = 0;
    while (end < s.n && s.p[end] != 'e' && s.p[end] != 'E')
        end++;
    if (end < s.n) exponent = read_exponent(glim_str_sub(s, end + 1, s.n));

    uint64_t value = 0;
    int64_t n_zero = 0; /* zeros seen that no later digit has needed yet */
    bool point = false;
    for (; i < end; i++) {
        if (s.p[i] == '.') {
            point = true;
            continue;
        }
        n_fraction += point;
        if (s.p[i] == '0') {
            n_zero += value != 0;
            continue;
        }
        for (; n_zero > 0; n_zero--) {
            if (value > INT64_MAX / 10) return false;
            value *= 10;
        }
        if (value > INT64_MAX / 10) return false;
        value = value * 10 + (uint64_t)(s.p[i] - '0');
    }
    int64_t scale = exponent - n_fraction + n_zero;
    if (value == 0) scale = 0;
    if (scale < 0) return false;
    for (; scale > 0; scale--) {
        if (value > INT64_MAX / 10) return false;
        value *= 10;
    }
    if (value > (uint64_t)INT64_MAX + minus) return false;
    *out = minus ? (int64_t)(0 - value) : (int64_t)value;
    return true;
}

bool glim_json_f64(const glim_json *v, double *out)
{
    return glim_json_is(v, GLIM_JSON_NUMBER) && glim_parse_f64(v->text, out);
}

bool glim_json_bool(const glim_json *v, bool *out)
{
    if (!glim_json_is(v, GLIM_JSON_TRUE) && !glim_json_is(v, GLIM_JSON_FALSE)) return false;
    *out = v->type == GLIM_JSON_TRUE;
    return true;
}

const char *glim_json_type_name(glim_json_type t)
{
    switch (t) {
    case GLIM_JSON_NULL:
        return "null";
    case GLIM_JSON_FALSE:
        return "false";
    case GLIM_JSON_TRUE:
        return "true";
    case GLIM_JSON_NUMBER:
        return "a number";
    case GLIM_JSON_STRING:
        return "a string";
    case GLIM_JSON_ARRAY:
        return "an array";
    case GLIM_JSON_OBJECT:
        return "an object";
    }
    return "an unknown value";
}
