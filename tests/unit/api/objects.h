/* SPDX-License-Identifier: MIT
 * objects.h - replies that are objects of a dialect's own: parsed, and looked at by path. */
#ifndef GLIM_TESTS_API_OBJECTS_H
#define GLIM_TESTS_API_OBJECTS_H

#include "script.h"

#include <math.h>

/* The objects of a stream. */
typedef struct pieces {
    const glim_json *v[32];
    size_t n;
    bool done; /* [DONE] came, and last */
} pieces;

static inline pieces read_stream(glim_arena *a, const glim_buf *b)
{
    pieces p = {.n = 0};
    for (glim_str s = glim_buf_view(b); s.n;) {
        glim_json *v;
        assert_true(glim_str_starts(s, GLIM_STR("data: ")));
        size_t end = glim_str_find(s, GLIM_STR("\n\n"));
        assert_int_not_equal(end, SIZE_MAX);
        assert_false(p.done);
        if (glim_str_is(glim_str_sub(s, 6, end), "[DONE]")) {
            p.done = true;
            s = glim_str_sub(s, end + 2, s.n);
            continue;
        }
        glim_str data = glim_arena_str(a, glim_str_sub(s, 6, end));
        s = glim_str_sub(s, end + 2, s.n);
        assert_int_equal(glim_json_parse(a, data, &v, NULL), GLIM_OK);
        assert_true(p.n < GLIM_COUNT(p.v));
        p.v[p.n++] = v;
    }
    return p;
}

static inline const glim_json *read_body(glim_arena *a, const glim_buf *b)
{
    glim_json *v;
    glim_str data = glim_arena_str(a, glim_buf_view(b));
    assert_int_equal(glim_json_parse(a, data, &v, NULL), GLIM_OK);
    return v;
}

static inline void is_str(const glim_json *v, const char *key, const char *want)
{
    const glim_json *m = glim_json_path(v, key);
    assert_true(glim_json_is(m, GLIM_JSON_STRING));
    if (!glim_str_is(m->text, want)) print_error("%s: %.*s\n", key, GLIM_STR_ARG(m->text));
    assert_true(glim_str_is(m->text, want));
}

static inline void is_num(const glim_json *v, const char *key, double want)
{
    double x = NAN;
    assert_true(glim_json_f64(glim_json_path(v, key), &x));
    if (fabs(x - want) > 1e-6) print_error("%s: %g\n", key, x);
    assert_true(fabs(x - want) < 1e-6);
}

static inline void is_raw(const glim_json *v, const char *key, const char *want)
{
    const glim_json *m = glim_json_path(v, key);
    assert_non_null(m);
    if (!glim_str_is(m->text, want)) print_error("%s: %.*s\n", key, GLIM_STR_ARG(m->text));
    assert_true(glim_str_is(m->text, want));
}

#endif
