/* SPDX-License-Identifier: MIT
 * fields.c - an object read into a struct by a table of its members.
 * Owns: type and range checks, and the wording of their errors.
 * Not here: what the members mean.
 * Thread: any, pure.
 * Fails: GLIM_E_INPUT (type, range, missing), GLIM_E_UNSUPPORTED (a row that says so), what .parse
 *        gives.
 * See: tests/unit/json/test_fields.c */
#include "json/json.h"

#include <float.h>
#include <stdio.h>

static glim_err wrong_type(const char *name, const char *expected, const glim_json *v,
                           glim_error *e)
{
    return glim_fail_off(e, GLIM_E_INPUT, v->offset, "%s: expected %s, found %s", name, expected,
                         glim_json_type_name(v->type));
}

/* A limit as people write it: no exponent where none is needed. */
static const char *limit_text(double x, char *out, size_t n_out)
{
    snprintf(out, n_out, "%.10g", x);
    return out;
}
#define LIMIT_TEXT(x) limit_text((x), (char[32]){0}, 32)

static glim_err check_range(const glim_field *f, const char *name, const glim_json *v, double x,
                            glim_error *e)
{
    if (f->min == 0 && f->max == 0) return GLIM_OK;
    int n = (int)GLIM_MIN(v->text.n, (size_t)40);
    if (x < f->min)
        return glim_fail_off(e, GLIM_E_INPUT, v->offset, "%s: %.*s is below %s", name, n, v->text.p,
                             LIMIT_TEXT(f->min));
    if (x > f->max)
        return glim_fail_off(e, GLIM_E_INPUT, v->offset, "%s: %.*s is above %s", name, n, v->text.p,
                             LIMIT_TEXT(f->max));
    return GLIM_OK;
}

static glim_err read_i64(const glim_field *f, const char *name, const glim_json *v, int64_t *dst,
                         glim_error *e)
{
    int64_t i;
    if (!glim_json_is(v, GLIM_JSON_NUMBER)) return wrong_type(name, "an integer", v, e);
    if (!glim_json_i64(v, &i))
        return glim_fail_off(e, GLIM_E_INPUT, v->offset, "%s: %.*s is no integer of 64 bits", name,
                             (int)GLIM_MIN(v->text.n, (size_t)40), v->text.p);
    glim_err rc = check_range(f, name, v, (double)i, e);
    if (!rc) *dst = i;
    return rc;
}

static glim_err read_f32(const glim_field *f, const char *name, const glim_json *v, float *dst,
                         glim_error *e)
{
    double x;
    if (!glim_json_is(v, GLIM_JSON_NUMBER)) return wrong_type(name, "a number", v, e);
    if (!glim_json_f64(v, &x) || x > FLT_MAX || x < -FLT_MAX)
        return glim_fail_off(e, GLIM_E_INPUT, v->offset, "%s: %.*s is too large", name,
                             (int)GLIM_MIN(v->text.n, (size_t)40), v->text.p);
    glim_err rc = check_range(f, name, v, x, e);
    if (!rc) *dst = (float)x;
    return rc;
}

/* Does a message begin with the field's name, as in "stop: ..." or "stop[2]: ..."? */
static bool names_field(const char *msg, const char *name)
{
    size_t n = strlen(name);
    return strncmp(msg, name, n) == 0 && msg[n] && strchr(":.[", msg[n]);
}

/* A parser that names its field itself keeps its wording. */
static glim_err read_sub(glim_arena *a, const glim_field *f, const char *name, const glim_json *v,
                         void *dst, glim_error *e)
{
    glim_err rc = f->parse(a, v, dst, e);
    if (rc && e && !names_field(e->msg, name)) glim_error_prefix(e, "%s", name);
    return rc;
}

static glim_err read_field(glim_arena *a, const glim_field *f, const char *name, const glim_json *v,
                           char *base, glim_error *e)
{
    void *dst = base + f->offset;
    if (f->unsupported)
        return glim_fail_off(e, GLIM_E_UNSUPPORTED, v->offset, "%s: not supported; %s", name,
                             f->unsupported);
    switch (f->type) {
    case GLIM_FIELD_STR:
        if (!glim_json_is(v, GLIM_JSON_STRING)) return wrong_type(name, "a string", v, e);
        *(glim_str *)dst = v->text;
        return GLIM_OK;
    case GLIM_FIELD_BOOL:
        if (!glim_json_bool(v, (bool *)dst)) return wrong_type(name, "true or false", v, e);
        return GLIM_OK;
    case GLIM_FIELD_I64:
        return read_i64(f, name, v, (int64_t *)dst, e);
    case GLIM_FIELD_F32:
        return read_f32(f, name, v, (float *)dst, e);
    case GLIM_FIELD_JSON:
        *(const glim_json **)dst = v;
        return GLIM_OK;
    case GLIM_FIELD_SUB:
        return read_sub(a, f, name, v, dst, e);
    }
    return glim_fail(e, GLIM_E_INTERNAL, "%s: a table row of unknown type", name);
}

static const glim_json *given(const glim_json *obj, const char *name)
{
    const glim_json *v = name ? glim_json_get(obj, name) : NULL;
    return v && v->type != GLIM_JSON_NULL ? v : NULL;
}

static size_t count_unknown(const glim_json *obj, const glim_field *fields, size_t n_field)
{
    size_t n = 0;
    GLIM_JSON_EACH(m, obj)
    {
        bool known = false;
        for (size_t i = 0; i < n_field && !known; i++)
            known = glim_str_is(m->key, fields[i].name) ||
                    (fields[i].also && glim_str_is(m->key, fields[i].also));
        n += !known;
    }
    return n;
}

glim_err glim_fields_read(glim_arena *a, const glim_json *obj, const glim_field *fields,
                          size_t n_field, void *dst, size_t *n_unknown, glim_error *e)
{
    if (!glim_json_is(obj, GLIM_JSON_OBJECT))
        return glim_fail_off(e, GLIM_E_INPUT, obj ? obj->offset : 0, "expected an object, found %s",
                             obj ? glim_json_type_name(obj->type) : "nothing");
    for (size_t i = 0; i < n_field; i++) {
        const glim_field *f = &fields[i];
        const char *name = f->name;
        const glim_json *v = given(obj, name);
        if (!v && f->also) {
            v = given(obj, f->also);
            if (v) name = f->also;
        }
        if (!v) {
            if (f->required)
                return glim_fail_off(e, GLIM_E_INPUT, obj->offset, "%s: missing", f->name);
            continue;
        }
        glim_err rc = read_field(a, f, name, v, (char *)dst, e);
        if (rc) return rc;
        if (f->offset_has != SIZE_MAX) *(bool *)((char *)dst + f->offset_has) = true;
    }
    if (n_unknown) *n_unknown = count_unknown(obj, fields, n_field);
    return GLIM_OK;
}
