/* SPDX-License-Identifier: MIT
 * parse_schema.c - from the raw text of a value to JSON, by the function's schema.
 * Owns: the declared functions, the question which JSON types a value may have.
 * Not here: validation: a value of the wrong type stays text rather than being lost.
 * Layout: a schema becomes a set of types; a set without string, or with string and others, is
 *         tried as strict JSON first. Schemas are the client's: references may run in circles and
 *         multiply, so a look-up has a number of steps, and beyond it says "any".
 * Thread: any for the finished set.
 * Fails: INPUT (a tool that is no JSON), NOMEM.
 * See: tests/unit/text/test_parser.c */
#include "text/parse_priv.h"

enum {
    T_STRING = 1,
    T_INTEGER = 2,
    T_FRACTION = 4, /* numbers that are no integer */
    T_BOOLEAN = 8,
    T_NULL = 16,
    T_ARRAY = 32,
    T_OBJECT = 64,
    T_NUMBER = T_INTEGER | T_FRACTION,
    T_ANY = 127
};

#define WALK_STEPS 4096 /* nodes and members looked at for one value */
#define WALK_DEPTH 32   /* schemas inside each other */
#define POINTER_MAX 256 /* bytes of one step of a $ref */

typedef struct function {
    const glim_json *tool;       /* the whole object, for references that start there */
    const glim_json *parameters; /* NULL: none */
    const glim_json **property;  /* of parameters.properties, by the map's number */
    glim_map *properties;        /* NULL: none */
} function;

struct glim_toolset {
    glim_arena *arena;
    glim_map *names;
    function *functions;
    size_t n_function;
};

typedef struct walk {
    const function *f;
    glim_str raw;
    int left;
} walk;

/* ---- the set --------------------------------------------------------------------------------- */

static glim_err add_properties(glim_arena *a, function *f, glim_error *e)
{
    const glim_json *props = glim_json_get(f->parameters, "properties");
    uint32_t i = 0;
    if (!glim_json_is(props, GLIM_JSON_OBJECT) || props->n_child == 0) return GLIM_OK;
    f->property = GLIM_ARENA_ARRAY(a, const glim_json *, props->n_child);
    f->properties = f->property ? glim_map_new(props->n_child) : NULL;
    if (!f->properties) return glim_fail(e, GLIM_E_NOMEM, "no memory for the tools");
    GLIM_JSON_EACH(it, props)
    {
        if (glim_map_put(f->properties, it->key, i))
            return glim_fail(e, GLIM_E_NOMEM, "no memory for the tools");
        f->property[i++] = it;
    }
    return GLIM_OK;
}

static glim_err add_tool(glim_toolset *t, const glim_tool *tool, glim_error *e)
{
    function *f = &t->functions[t->n_function];
    glim_str src = glim_arena_str(t->arena, tool->json);
    glim_json *v;
    if (!src.p) return glim_fail(e, GLIM_E_NOMEM, "no memory for the tools");
    glim_err rc = glim_json_parse(t->arena, src, &v, e);
    if (rc) return rc;
    const glim_json *inner = glim_json_get(v, "function");
    f->tool = glim_json_is(inner, GLIM_JSON_OBJECT) ? inner : v;
    f->parameters = glim_json_get(f->tool, "parameters");
    const glim_json *name = glim_json_get(f->tool, "name");
    glim_str key =
        glim_json_is(name, GLIM_JSON_STRING) ? name->text : glim_arena_str(t->arena, tool->name);
    if (!key.p) return glim_fail(e, GLIM_E_NOMEM, "no memory for the tools");
    rc = glim_map_put(t->names, key, (uint32_t)t->n_function);
    if (rc == GLIM_E_STATE) return GLIM_OK; /* declared twice: the first one counts */
    if (rc) return glim_fail(e, rc, "no memory for the tools");
    t->n_function++;
    return add_properties(t->arena, f, e);
}

glim_err glim_toolset_new(const glim_tool *tools, size_t n_tool, glim_toolset **out, glim_error *e)
{
    glim_toolset *t = glim_new0(glim_toolset);
    glim_err rc = GLIM_OK;
    *out = NULL;
    if (!t) return glim_fail(e, GLIM_E_NOMEM, "no memory for the tools");
    t->arena = glim_arena_new(SIZE_MAX / 2);
    t->names = glim_map_new(n_tool);
    t->functions = glim_alloc_array(n_tool, sizeof *t->functions);
    if (!t->arena || !t->names || !t->functions || n_tool > UINT32_MAX)
        rc = glim_fail(e, GLIM_E_NOMEM, "no memory for the tools");
    for (size_t i = 0; i < n_tool && !rc; i++) {
        rc = add_tool(t, &tools[i], e);
        if (rc) glim_error_prefix(e, "tools[%zu]", i);
    }
    if (rc)
        glim_toolset_free(t);
    else
        *out = t;
    return rc;
}

void glim_toolset_free(glim_toolset *t)
{
    if (!t) return;
    for (size_t i = 0; t->functions && i < t->n_function; i++)
        glim_map_free(t->functions[i].properties);
    glim_free(t->functions);
    glim_map_free(t->names);
    glim_arena_free(t->arena);
    glim_free(t);
}

/* ---- references ------------------------------------------------------------------------------ */

/* Member, counted as steps; NULL when absent or too far. */
static const glim_json *member(walk *w, const glim_json *v, glim_str key)
{
    if (!glim_json_is(v, GLIM_JSON_OBJECT)) return NULL;
    GLIM_JSON_EACH(it, v)
    {
        if (--w->left < 0) return NULL;
        if (glim_str_eq(it->key, key)) return it;
    }
    return NULL;
}

static const glim_json *element(walk *w, const glim_json *v, glim_str index)
{
    uint64_t i;
    if (!glim_parse_u64(index, &i)) return NULL;
    GLIM_JSON_EACH(it, v)
    {
        if (--w->left < 0) return NULL;
        if (i-- == 0) return it;
    }
    return NULL;
}

static int hex_of(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* One step of a JSON pointer in a URI fragment, its escapes undone; false when it is too long. */
static bool pointer_step(glim_str s, char out[POINTER_MAX], size_t *n)
{
    *n = 0;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (*n == POINTER_MAX) return false;
        if (c == '%' && i + 2 < s.n && hex_of(s.p[i + 1]) >= 0 && hex_of(s.p[i + 2]) >= 0) {
            c = (char)(hex_of(s.p[i + 1]) * 16 + hex_of(s.p[i + 2]));
            i += 2;
        }
        if (c == '~' && i + 1 < s.n && (s.p[i + 1] == '0' || s.p[i + 1] == '1'))
            c = s.p[++i] == '0' ? '~' : '/';
        out[(*n)++] = c;
    }
    return true;
}

static const glim_json *follow(walk *w, const glim_json *v, glim_str path)
{
    while (v && path.n) {
        char buf[POINTER_MAX];
        size_t end = 1, n;
        if (path.p[0] != '/') return NULL;
        while (end < path.n && path.p[end] != '/')
            end++;
        if (!pointer_step(glim_str_sub(path, 1, end), buf, &n)) return NULL;
        path = glim_str_sub(path, end, path.n);
        glim_str key = {buf, n};
        v = v->type == GLIM_JSON_ARRAY ? element(w, v, key) : member(w, v, key);
    }
    return v;
}

/* The schema that a local $ref of node names; NULL when there is none. */
static const glim_json *target(walk *w, const glim_json *node)
{
    const glim_json *ref = member(w, node, GLIM_STR("$ref"));
    if (!glim_json_is(ref, GLIM_JSON_STRING) || ref->text.n == 0 || ref->text.p[0] != '#')
        return NULL;
    glim_str path = glim_str_sub(ref->text, 1, ref->text.n);
    const glim_json *v = follow(w, w->f->parameters, path);
    return v ? v : follow(w, w->f->tool, path);
}

/* ---- types ----------------------------------------------------------------------------------- */

static glim_str strip(glim_str s)
{
    return glim_str_trim(s, " \t\r\n");
}

/* True for a number whose value is an integer, however it is spelled (3, 3.0, 3e2). */
static bool is_integer(glim_str lexeme)
{
    size_t i = 0, n_fraction = 0;
    int64_t exponent = 0, drop = 0; /* drop: zeros before the exponent that do not count */
    bool fraction = false, zero = true;
    for (; i < lexeme.n && lexeme.p[i] != 'e' && lexeme.p[i] != 'E'; i++) {
        char c = lexeme.p[i];
        if (c == '.') fraction = true;
        if (c < '0' || c > '9') continue;
        if (fraction) n_fraction++;
        drop = c == '0' ? drop + 1 : 0;
        if (c != '0') zero = false;
    }
    if (zero) return true;
    if (i < lexeme.n && !glim_parse_i64(glim_str_sub(lexeme, i + 1, lexeme.n), &exponent))
        exponent = lexeme.p[i + 1] == '-' ? INT64_MIN : INT64_MAX;
    /* Digits are counted in memory, so far below 2^62: clamped like this, the sum cannot overflow.
     */
    exponent = GLIM_MAX(GLIM_MIN(exponent, INT64_MAX / 2), INT64_MIN / 2);
    return exponent + drop >= (int64_t)n_fraction;
}

static int type_of(const glim_json *v)
{
    switch (v->type) {
    case GLIM_JSON_NULL:
        return T_NULL;
    case GLIM_JSON_FALSE:
    case GLIM_JSON_TRUE:
        return T_BOOLEAN;
    case GLIM_JSON_NUMBER:
        return is_integer(v->text) ? T_INTEGER : T_FRACTION;
    case GLIM_JSON_STRING:
        return T_STRING;
    case GLIM_JSON_ARRAY:
        return T_ARRAY;
    case GLIM_JSON_OBJECT:
        return T_OBJECT;
    }
    return T_ANY;
}

static int named_type(glim_str name)
{
    static const struct {
        const char *name;
        int type;
    } names[] = {{"string", T_STRING},   {"integer", T_INTEGER}, {"number", T_NUMBER},
                 {"boolean", T_BOOLEAN}, {"null", T_NULL},       {"array", T_ARRAY},
                 {"object", T_OBJECT}};
    for (size_t i = 0; i < GLIM_COUNT(names); i++) {
        if (glim_str_is(name, names[i].name)) return names[i].type;
    }
    return 0;
}

/* "type": a name or a list of names; those unknown say nothing. */
static int listed_types(walk *w, const glim_json *type)
{
    int set = 0;
    if (glim_json_is(type, GLIM_JSON_STRING)) set = named_type(type->text);
    if (glim_json_is(type, GLIM_JSON_ARRAY)) {
        GLIM_JSON_EACH(it, type)
        {
            if (--w->left < 0) return T_ANY;
            if (it->type == GLIM_JSON_STRING) set |= named_type(it->text);
        }
    }
    return set ? set : T_ANY;
}

/* Types of the allowed values; only of those that raw spells, when there are such. */
static void value_types(walk *w, const glim_json *v, int *all, int *spelled)
{
    w->left--;
    int type = v->type == GLIM_JSON_NUMBER ? T_NUMBER : type_of(v);
    bool same = false;
    *all |= type;
    switch (v->type) {
    case GLIM_JSON_STRING:
        same = glim_str_eq(v->text, w->raw);
        break;
    case GLIM_JSON_NUMBER:
        same = glim_str_eq(v->text, strip(w->raw));
        break;
    case GLIM_JSON_NULL:
        same = glim_str_is(strip(w->raw), "null");
        break;
    case GLIM_JSON_FALSE:
        same = glim_str_is(strip(w->raw), "false");
        break;
    case GLIM_JSON_TRUE:
        same = glim_str_is(strip(w->raw), "true");
        break;
    case GLIM_JSON_ARRAY:
    case GLIM_JSON_OBJECT:
        break;
    }
    if (same) *spelled |= type;
}

static int enum_types(walk *w, const glim_json *list, const glim_json *constant)
{
    int all = 0, spelled = 0;
    if (glim_json_is(list, GLIM_JSON_ARRAY)) {
        GLIM_JSON_EACH(it, list)
        {
            if (w->left < 0) return T_ANY;
            value_types(w, it, &all, &spelled);
        }
    }
    if (constant) value_types(w, constant, &all, &spelled);
    return spelled ? spelled : all ? all : T_ANY;
}

/* Which types a schema allows. */
static int types_of(walk *w, const glim_json *node, int depth)
{
    static const char *const unions[] = {"anyOf", "oneOf"};
    int set = T_ANY;
    bool nullable = false;
    if (--w->left < 0 || depth > WALK_DEPTH || !glim_json_is(node, GLIM_JSON_OBJECT)) return T_ANY;
    const glim_json *ref = target(w, node);
    if (ref) set &= types_of(w, ref, depth + 1);
    set &= listed_types(w, member(w, node, GLIM_STR("type")));
    set &= enum_types(w, member(w, node, GLIM_STR("enum")), member(w, node, GLIM_STR("const")));
    for (size_t i = 0; i < GLIM_COUNT(unions); i++) {
        const glim_json *list = member(w, node, glim_str_of(unions[i]));
        int any = 0;
        if (!glim_json_is(list, GLIM_JSON_ARRAY)) continue;
        GLIM_JSON_EACH(it, list)
        {
            any |= types_of(w, it, depth + 1);
            if (w->left < 0) return T_ANY;
        }
        if (any) set &= any;
    }
    const glim_json *all = member(w, node, GLIM_STR("allOf"));
    if (glim_json_is(all, GLIM_JSON_ARRAY)) {
        GLIM_JSON_EACH(it, all)
        {
            set &= types_of(w, it, depth + 1);
            if (w->left < 0) return T_ANY;
        }
    }
    if (glim_json_bool(member(w, node, GLIM_STR("nullable")), &nullable) && nullable) set |= T_NULL;
    if (w->left < 0 || set == 0) return T_ANY; /* contradictions say nothing */
    return set;
}

/* Types of a property wherever the schema node declares it; 0: nowhere. */
static int property_types(walk *w, const glim_json *node, glim_str key, int depth)
{
    static const char *const lists[] = {"allOf", "anyOf", "oneOf"};
    if (--w->left < 0 || depth > WALK_DEPTH || !glim_json_is(node, GLIM_JSON_OBJECT)) return 0;
    const glim_json *p = member(w, member(w, node, GLIM_STR("properties")), key);
    if (p) return types_of(w, p, depth + 1);
    int set = 0;
    const glim_json *ref = target(w, node);
    if (ref) set |= property_types(w, ref, key, depth + 1);
    for (size_t i = 0; i < GLIM_COUNT(lists); i++) {
        const glim_json *list = member(w, node, glim_str_of(lists[i]));
        if (!glim_json_is(list, GLIM_JSON_ARRAY)) continue;
        GLIM_JSON_EACH(it, list)
        {
            set |= property_types(w, it, key, depth + 1);
            if (w->left < 0) return 0;
        }
    }
    if (set) return set;
    const glim_json *more = member(w, node, GLIM_STR("additionalProperties"));
    return glim_json_is(more, GLIM_JSON_OBJECT) ? types_of(w, more, depth + 1) : 0;
}

static int types_for(const glim_toolset *t, glim_str name, glim_str key, glim_str raw)
{
    uint32_t i, k;
    if (!glim_map_get(t->names, name, &i)) return T_ANY;
    walk w = {&t->functions[i], raw, WALK_STEPS};
    /* The common case does not search the list of properties. */
    if (w.f->properties && glim_map_get(w.f->properties, key, &k))
        return types_of(&w, w.f->property[k], 0);
    int set = property_types(&w, w.f->parameters, key, 0);
    return set && w.left >= 0 ? set : T_ANY;
}

/* ---- values ---------------------------------------------------------------------------------- */

/* Valid JSON without its blanks: one line, and every number and string spelled as it was. */
static void put_compact(glim_buf *out, glim_str json)
{
    bool in_string = false;
    size_t from = 0;
    for (size_t i = 0; i < json.n; i++) {
        char c = json.p[i];
        if (in_string && c == '\\') {
            i++;
        } else if (c == '"') {
            in_string = !in_string;
        } else if (!in_string && glim_parse_blank(c)) {
            glim_buf_add(out, json.p + from, i - from);
            from = i + 1;
        }
    }
    glim_buf_add(out, json.p + from, json.n - from);
}

glim_err glim_toolset_value(const glim_toolset *t, glim_str name, glim_str key, glim_str raw,
                            glim_arena *scratch, glim_buf *out)
{
    int set = types_for(t, name, key, raw);
    glim_json *v;
    if (set != T_STRING) {
        glim_err rc = glim_json_parse(scratch, raw, &v, NULL);
        if (rc == GLIM_E_NOMEM) return rc;
        /* A quoted string is the string only where nothing is known; else quotes are part of it. */
        bool fits = !rc && (set == T_ANY || (v->type != GLIM_JSON_STRING && (type_of(v) & set)));
        if (fits && v->type == GLIM_JSON_STRING) {
            glim_json_quote(out, v->text);
            return out->err;
        }
        if (fits) {
            put_compact(out, strip(raw));
            return out->err;
        }
    }
    glim_json_quote(out, raw);
    return out->err;
}
