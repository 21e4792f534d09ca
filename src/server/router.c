/* SPDX-License-Identifier: MIT
 * router.c - the table of paths.
 * Thread: any, pure. */
#include "server/server_priv.h"

#define BIT(m) (1u << GLIM_##m)
#define GET (BIT(GET) | BIT(HEAD))
#define POST BIT(POST)
#define ANY (GET | POST | BIT(PUT) | BIT(DELETE) | BIT(PATCH))
#define KEY GLIM_ROUTE_KEY
#define READY GLIM_ROUTE_READY
#define IO GLIM_ON_IO
#define PREP GLIM_ON_PREP

static const glim_route routes[] = {
#define ROUTE(methods, pattern, handler, where, flags, dialect, shape)                             \
    {methods, pattern, handler, where, flags, dialect, shape},
#include "server/routes.def"
#undef ROUTE
};

static const char *const patterns[] = {
#define ROUTE(methods, pattern, handler, where, flags, dialect, shape) pattern,
#include "server/routes.def"
#undef ROUTE
};

size_t glim_route_index(const glim_route *r)
{
    return r >= routes && r < routes + GLIM_COUNT(routes) ? (size_t)(r - routes) : SIZE_MAX;
}

const char *const *glim_route_patterns(size_t *n)
{
    *n = GLIM_COUNT(patterns);
    return patterns;
}

const glim_route *glim_route_none(glim_problem_fn shape)
{
    static const glim_route none[] = {{.pattern = "none", .shape = glim_problem_openai},
                                      {.pattern = "none", .shape = glim_problem_zhipu},
                                      {.pattern = "none", .shape = glim_problem_llama},
                                      {.pattern = "none", .shape = glim_problem_ollama},
                                      {.pattern = "none", .shape = glim_problem_npu}};
    for (size_t i = 0; i < GLIM_COUNT(none); i++)
        if (none[i].shape == shape) return &none[i];
    return &none[0];
}

/* How a path without a row of its own says what is wrong. */
static glim_problem_fn shape_of(glim_str path)
{
    static const struct {
        const char *begin;
        glim_problem_fn shape;
    } mounts[] = {{"/api/paas/", glim_problem_zhipu},
                  {"/api/coding/", glim_problem_zhipu},
                  {"/api/npu/", glim_problem_npu},
                  {"/api/", glim_problem_ollama}};
    for (size_t i = 0; i < GLIM_COUNT(mounts); i++)
        if (glim_str_starts(path, glim_str_of(mounts[i].begin))) return mounts[i].shape;
    return glim_problem_openai;
}

static bool matches(const char *pattern, glim_str path, glim_str *rest)
{
    glim_str p = glim_str_of(pattern);
    *rest = (glim_str){"", 0};
    if (p.n == 0 || p.p[p.n - 1] != '*') return glim_str_eq(p, path);
    p = glim_str_sub(p, 0, p.n - 1);
    if (path.n <= p.n || !glim_str_starts(path, p)) return false;
    *rest = glim_str_sub(path, p.n, path.n);
    return true;
}

const glim_route *glim_route_find(glim_method m, glim_str path, glim_str *rest, unsigned *allowed,
                                  glim_problem_fn *shape)
{
    *allowed = 0;
    *shape = shape_of(path);
    /* "/v1/models/" is "/v1/models". */
    if (path.n > 1 && path.p[path.n - 1] == '/') path = glim_str_sub(path, 0, path.n - 1);
    for (size_t i = 0; i < GLIM_COUNT(routes); i++) {
        const glim_route *r = &routes[i];
        if (!matches(r->pattern, path, rest)) continue;
        if (*allowed == 0) *shape = r->shape;
        /* A row for all the rest has no say over a path with rows of its own. */
        if (*allowed && r->methods == ANY) break;
        if (r->methods & (1u << m)) return r;
        *allowed |= r->methods;
    }
    return NULL;
}

void glim_route_methods(unsigned methods, glim_buf *out)
{
    static const struct {
        glim_method m;
        const char *name;
    } names[] = {{GLIM_GET, "GET"}, {GLIM_HEAD, "HEAD"},     {GLIM_POST, "POST"},
                 {GLIM_PUT, "PUT"}, {GLIM_DELETE, "DELETE"}, {GLIM_PATCH, "PATCH"}};
    for (size_t i = 0; i < GLIM_COUNT(names); i++)
        if (methods & (1u << names[i].m)) (void)glim_buf_addf(out, "%s, ", names[i].name);
    (void)glim_buf_addf(out, "OPTIONS");
}
