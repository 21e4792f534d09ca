/* SPDX-License-Identifier: MIT
 * path.c - error messages that name the place in the client's JSON, and typed optional members.
 * Owns: the spelling of paths.
 * Thread: any, pure.
 * See: api_priv.h */
#include "api/api_priv.h"

#include <stdio.h>

static void path_text(const glim_api_path *p, char *out, size_t n_out)
{
    enum { DEPTH = 8 };
    const glim_api_path *link[DEPTH];
    size_t n_link = 0, n = 0;
    out[0] = '\0';
    for (; p && n_link < DEPTH; p = p->up)
        link[n_link++] = p;
    while (n_link-- > 0 && n < n_out) {
        const glim_api_path *l = link[n_link];
        int k = l->name ? snprintf(out + n, n_out - n, "%s%s", n ? "." : "", l->name)
                        : snprintf(out + n, n_out - n, "[%zu]", l->i);
        if (k < 0) return;
        n += (size_t)k;
    }
}

glim_err glim_api_fail(const glim_api_path *p, glim_err code, const glim_json *v, glim_error *e,
                       const char *fmt, ...)
{
    if (!e) return code;
    char text[sizeof e->msg], path[192];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    path_text(p, path, sizeof path);
    return glim_fail_off(e, code, v ? v->offset : GLIM_NO_OFFSET, "%s%s%s", path,
                         path[0] ? ": " : "", text);
}

glim_err glim_api_within(const char *key, glim_err rc, glim_error *e)
{
    char text[sizeof e->msg];
    if (!rc || !e) return rc;
    size_t n = strcspn(e->msg, ": ");
    bool path = e->msg[n] == ':';
    memcpy(text, e->msg, sizeof text);
    return glim_fail_off(e, rc, e->offset, "%s%s%s", key, path ? "." : ": ", text);
}

glim_err glim_api_wrong_type(const glim_api_path *p, const char *expected, const glim_json *v,
                             glim_error *e)
{
    return glim_api_fail(p, GLIM_E_INPUT, v, e, "expected %s, found %s", expected,
                         glim_json_type_name(v->type));
}

const glim_json *glim_api_given(const glim_json *obj, const char *key)
{
    const glim_json *v = glim_json_get(obj, key);
    return v && v->type != GLIM_JSON_NULL ? v : NULL;
}

glim_err glim_api_str(const glim_api_path *p, const glim_json *obj, const char *key, glim_str *out,
                      glim_error *e)
{
    const glim_json *v = glim_api_given(obj, key);
    if (!v) return GLIM_OK;
    if (v->type != GLIM_JSON_STRING)
        return glim_api_wrong_type(GLIM_API_KEY(p, key), "a string", v, e);
    *out = v->text;
    return GLIM_OK;
}

glim_err glim_api_bool(const glim_api_path *p, const glim_json *obj, const char *key,
                       glim_tristate *out, glim_error *e)
{
    const glim_json *v = glim_api_given(obj, key);
    bool b;
    if (!v) return GLIM_OK;
    if (!glim_json_bool(v, &b))
        return glim_api_wrong_type(GLIM_API_KEY(p, key), "true or false", v, e);
    *out = b ? GLIM_ON : GLIM_OFF;
    return GLIM_OK;
}

glim_err glim_api_ids(glim_arena *a, const glim_api_path *p, const glim_json *v,
                      const int32_t **out, size_t *n_out, glim_error *e)
{
    size_t n = 0;
    *out = NULL;
    *n_out = 0;
    if (v->n_child == 0) return GLIM_OK;
    int32_t *ids = GLIM_ARENA_ARRAY(a, int32_t, v->n_child);
    if (!ids) return glim_api_fail(p, GLIM_E_NOMEM, NULL, e, "no memory for the token ids");
    GLIM_JSON_EACH(x, v)
    {
        int64_t id;
        const glim_api_path *at = GLIM_API_ELEMENT(p, n);
        if (x->type != GLIM_JSON_NUMBER) return glim_api_wrong_type(at, "a token id", x, e);
        if (!glim_json_i64(x, &id) || id < 0 || id > INT32_MAX)
            return glim_api_fail(at, GLIM_E_INPUT, x, e, "%.*s is no token id",
                                 (int)GLIM_MIN(x->text.n, (size_t)40), x->text.p);
        ids[n++] = (int32_t)id;
    }
    *out = ids;
    *n_out = n;
    return GLIM_OK;
}
