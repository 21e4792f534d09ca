/* SPDX-License-Identifier: MIT
 * config.c - values of options: checked against the table, merged by origin, read from environment
 * and files. Owns:   the text of every value and of the place it came from. Not here: the command
 * line itself (cli/opts.c), what an option means. Fails:  glim_config_set() on a bad value leaves
 * the option as it was. See:    base/config.def, tests/unit/base/test_config.c */
#include "base/config.h"

#include <ctype.h>
#include <stdio.h>

#define MAX_FILE_BYTES ((size_t)1 << 20)
#define MAX_TEXT_BYTES ((size_t)64 << 20) /* all values together; a prompt is one of them */
#define MAX_ITEMS 256

struct glim_config {
    glim_arena *arena;
    glim_opt_value v[GLIM_OPT_COUNT];
};

static const glim_opt_row rows[] = {
#define OPT(id, name, letter, type, arg, def, min, max, where, flags, also, help)                  \
    {name, letter, GLIM_OPT_##type, arg, def, min, max, where, flags, also, help},
#include "base/config.def"
#undef OPT
};

const glim_opt_row *glim_opt_get(glim_opt o)
{
    return &rows[o];
}

bool glim_opt_find(glim_str name, glim_opt *out)
{
    for (size_t i = 0; i < GLIM_COUNT(rows); i++) {
        if (!glim_str_is(name, rows[i].name)) continue;
        *out = (glim_opt)i;
        return true;
    }
    return false;
}

bool glim_opt_find_letter(char letter, uint64_t where, glim_opt *out)
{
    bool found = false;
    for (size_t i = 0; letter && i < GLIM_COUNT(rows); i++) {
        if (rows[i].letter != letter || (found && !(rows[i].where & where))) continue;
        *out = (glim_opt)i;
        if (rows[i].where & where) return true;
        found = true;
    }
    return found;
}

const char *glim_opt_env(glim_opt o, char out[64])
{
    size_t n = 5;
    memcpy(out, "GLIM_", 5);
    for (const char *p = rows[o].name; *p && n < 63; p++)
        out[n++] = *p == '-' ? '_' : (char)toupper((unsigned char)*p);
    out[n] = 0;
    return out;
}

glim_config *glim_config_new(void)
{
    glim_config *c = glim_new0(glim_config);
    if (!c) return NULL;
    c->arena = glim_arena_new(MAX_TEXT_BYTES);
    bool ok = c->arena != NULL;
    for (size_t i = 0; ok && i < GLIM_COUNT(rows); i++) {
        c->v[i].place = "default";
        if (rows[i].def && glim_config_set(c, (glim_opt)i, glim_str_of(rows[i].def),
                                           GLIM_FROM_DEFAULT, "default", NULL))
            ok = false; /* a default that its own row refuses, or no memory */
    }
    if (ok) return c;
    glim_config_free(c);
    return NULL;
}

void glim_config_free(glim_config *c)
{
    if (!c) return;
    glim_arena_free(c->arena);
    glim_free(c);
}

const glim_opt_value *glim_config_get(const glim_config *c, glim_opt o)
{
    return &c->v[o];
}

/* ---- one value ------------------------------------------------------------------------------- */

static glim_err bad_code(glim_origin origin)
{
    return origin == GLIM_FROM_FLAG ? GLIM_E_USAGE : GLIM_E_INPUT;
}

static bool read_switch(glim_str s, bool *on)
{
    static const char *const yes[] = {"on", "true", "yes", "1", "y", "t"}, *const no[] = {
                                                                               "off", "false", "no",
                                                                               "0",   "n",     "f"};
    for (size_t i = 0; i < GLIM_COUNT(yes); i++) {
        if (glim_str_ieq(s, glim_str_of(yes[i]))) return *on = true, true;
        if (glim_str_ieq(s, glim_str_of(no[i]))) return *on = false, true;
    }
    return false;
}

/* The i-th word of "a|b|c*"; later says that a star stood behind it. False beyond the end. */
static bool choice_at(const char *words, int64_t i, glim_str *out, bool *later)
{
    glim_str w = glim_str_of(words);
    for (;; i--) {
        size_t end = glim_str_find(w, GLIM_STR("|"));
        *out = glim_str_sub(w, 0, GLIM_MIN(end, w.n));
        if (i == 0) break;
        if (end >= w.n) return false;
        w = glim_str_sub(w, end + 1, w.n);
    }
    *later = glim_str_ends(*out, GLIM_STR("*"));
    if (*later) out->n--;
    return true;
}

/* "f32, f16 or bf16": what may be said today. */
static const char *choice_list(const char *words, char *out, size_t n_out)
{
    glim_str w, next;
    bool later, next_later;
    size_t n = 0;
    out[0] = 0;
    for (int64_t i = 0; choice_at(words, i, &w, &later); i++) {
        if (later) continue;
        bool last = true;
        for (int64_t k = i + 1; last && choice_at(words, k, &next, &next_later); k++)
            last = next_later;
        int k = snprintf(out + n, n_out - n, "%s%.*s",
                         n == 0 ? ""
                         : last ? " or "
                                : ", ",
                         (int)w.n, w.p);
        n += (size_t)GLIM_MAX(k, 0);
        if (n >= n_out) break;
    }
    return out;
}

static glim_err read_choice(const glim_opt_row *r, glim_str s, glim_origin origin,
                            const char *place, int64_t *out, glim_error *e)
{
    glim_str w;
    bool later;
    char list[128];
    for (int64_t i = 0; choice_at(r->arg, i, &w, &later); i++) {
        if (!glim_str_ieq(s, w)) continue;
        if (later)
            return glim_fail(e, GLIM_E_UNSUPPORTED,
                             "%s: %.*s is known but not supported yet; use %s", place, (int)w.n,
                             w.p, choice_list(r->arg, list, sizeof list));
        *out = i;
        return GLIM_OK;
    }
    return glim_fail(e, bad_code(origin), "%s: %s is none of %s", place, GLIM_QUOTE(s),
                     choice_list(r->arg, list, sizeof list));
}

static glim_err check_range(const glim_opt_row *r, double v, glim_str s, glim_origin origin,
                            const char *place, glim_error *e)
{
    if (r->min == 0 && r->max == 0) return GLIM_OK;
    if (r->flags & GLIM_OPT_ABOVE_MIN && v <= r->min)
        return glim_fail(e, bad_code(origin), "%s: %s must be above %.15g", place, GLIM_QUOTE(s),
                         r->min);
    if (v < r->min)
        return glim_fail(e, bad_code(origin), "%s: %s is below %.15g", place, GLIM_QUOTE(s),
                         r->min);
    if (r->flags & GLIM_OPT_BELOW_MAX && v >= r->max)
        return glim_fail(e, bad_code(origin), "%s: %s must be below %.15g", place, GLIM_QUOTE(s),
                         r->max);
    if (v > r->max)
        return glim_fail(e, bad_code(origin), "%s: %s is above %.15g", place, GLIM_QUOTE(s),
                         r->max);
    return GLIM_OK;
}

/* Reads s by the row's type into v, which is changed only on success. */
static glim_err read_value(const glim_opt_row *r, glim_str s, glim_origin origin, const char *place,
                           glim_opt_value *v, glim_error *e)
{
    glim_err rc = GLIM_OK;
    int64_t i64;
    double f64;
    bool on;
    glim_cpu_level level;
    switch (r->type) {
    case GLIM_OPT_STR:
    case GLIM_OPT_LIST:
        break;
    case GLIM_OPT_I64:
        if (!glim_parse_i64(s, &i64))
            return glim_fail(e, bad_code(origin), "%s: %s is no whole number", place,
                             GLIM_QUOTE(s));
        rc = check_range(r, (double)i64, s, origin, place, e);
        if (!rc) v->i64 = i64;
        break;
    case GLIM_OPT_F64:
        if (!glim_parse_f64(s, &f64))
            return glim_fail(e, bad_code(origin), "%s: %s is no number", place, GLIM_QUOTE(s));
        rc = check_range(r, f64, s, origin, place, e);
        if (!rc) v->f64 = f64;
        break;
    case GLIM_OPT_BOOL:
    case GLIM_OPT_FLAG:
        if (!read_switch(s, &on))
            return glim_fail(e, bad_code(origin), "%s: %s is neither on nor off", place,
                             GLIM_QUOTE(s));
        v->on = on;
        break;
    case GLIM_OPT_CHOICE:
        rc = read_choice(r, s, origin, place, &i64, e);
        if (!rc) v->i64 = i64;
        break;
    case GLIM_OPT_LEVEL:
        if (!glim_cpu_level_find(s, &level))
            return glim_fail(e, bad_code(origin),
                             "%s: %s is no kernel level; `glim features` lists them", place,
                             GLIM_QUOTE(s));
        break;
    }
    return rc;
}

glim_err glim_config_set(glim_config *c, glim_opt o, glim_str text, glim_origin origin,
                         const char *place, glim_error *e)
{
    const glim_opt_row *r = &rows[o];
    glim_opt_value *old = &c->v[o], v = *old;
    if (r->flags & GLIM_OPT_LATER)
        return glim_fail(e, GLIM_E_UNSUPPORTED, "%s is known but not supported yet", place);
    glim_err rc = read_value(r, text, origin, place, &v, e);
    if (rc || (old->set && origin < old->origin)) return rc;

    glim_str kept = glim_arena_str(c->arena, text),
             at = glim_arena_str(c->arena, glim_str_of(place));
    if (!kept.p || !at.p) return glim_fail(e, GLIM_E_NOMEM, "%s: no memory for its value", place);
    if (r->type == GLIM_OPT_LIST) {
        if (!old->set || origin > old->origin) v.n_item = 0;
        if (v.n_item >= MAX_ITEMS)
            return glim_fail(e, bad_code(origin), "%s: given more than %d times", place, MAX_ITEMS);
        if (!v.items) v.items = GLIM_ARENA_ARRAY(c->arena, glim_str, MAX_ITEMS);
        if (!v.items) return glim_fail(e, GLIM_E_NOMEM, "%s: no memory for its value", place);
        v.items[v.n_item++] = kept;
    }
    v.set = true;
    v.origin = origin;
    v.text = kept.p;
    v.place = at.p;
    *old = v;
    return GLIM_OK;
}

/* ---- environment ----------------------------------------------------------------------------- */

static glim_err set_from_env(glim_config *c, glim_opt o, const char *name, glim_getenv_fn get,
                             void *user, bool *found, glim_error *e)
{
    const char *text = get(user, name);
    *found = text && text[0];
    /* What a flag has decided already is not looked at: a stale variable must not stop it. */
    if (!*found || (c->v[o].set && c->v[o].origin > GLIM_FROM_ENV)) return GLIM_OK;
    return glim_config_set(c, o, glim_str_of(text), GLIM_FROM_ENV, name, e);
}

glim_err glim_config_read_env(glim_config *c, uint64_t where, glim_getenv_fn get, void *user,
                              glim_error *e)
{
    char name[64];
    for (size_t i = 0; i < GLIM_COUNT(rows); i++) {
        if (!(rows[i].where & where)) continue;
        bool found;
        glim_err rc =
            set_from_env(c, (glim_opt)i, glim_opt_env((glim_opt)i, name), get, user, &found, e);
        if (!rc && !found && rows[i].also)
            rc = set_from_env(c, (glim_opt)i, rows[i].also, get, user, &found, e);
        if (rc) return rc;
    }
    return GLIM_OK;
}

/* ---- files ----------------------------------------------------------------------------------- */

/* A file's lines, one after the other. */
typedef struct lines {
    const char *path;
    glim_buf buf;
    size_t pos;
    int64_t n;        /* of the line just read, from 1 */
    char place[1024]; /* "path:n" */
} lines;

static glim_err lines_open(lines *l, const char *path, glim_error *e)
{
    size_t bad;
    *l = (lines){.path = path};
    glim_buf_init(&l->buf, MAX_FILE_BYTES);
    glim_err rc = glim_read_file(path, &l->buf, e);
    if (!rc && !glim_utf8_valid(glim_buf_view(&l->buf), &bad))
        rc = glim_fail_off(e, GLIM_E_INPUT, bad, "%s: not valid UTF-8 at byte %zu", path, bad);
    if (!rc && l->buf.n && memchr(l->buf.p, 0, l->buf.n))
        rc = glim_fail(e, GLIM_E_INPUT, "%s: holds a NUL byte, so it is no text file", path);
    if (rc) glim_buf_deinit(&l->buf);
    return rc;
}

/* Next line that is neither empty nor a comment, blanks at both ends cut. */
static bool lines_next(lines *l, const char *comment, glim_str *out)
{
    while (l->pos < l->buf.n) {
        glim_str rest = glim_str_sub(glim_buf_view(&l->buf), l->pos, l->buf.n);
        size_t end = glim_str_find(rest, GLIM_STR("\n"));
        glim_str line = glim_str_sub(rest, 0, GLIM_MIN(end, rest.n));
        l->pos += line.n + 1;
        l->n++;
        if (l->n == 1 && glim_str_starts(line, GLIM_STR("\xEF\xBB\xBF")))
            line = glim_str_sub(line, 3, line.n); /* editors on other systems put this mark */
        line = glim_str_trim(line, " \t\r");
        if (line.n == 0 || strchr(comment, line.p[0])) continue;
        snprintf(l->place, sizeof l->place, "%s:%lld", l->path, (long long)l->n);
        *out = line;
        return true;
    }
    return false;
}

/* Splits "key = value"; one pair of quotes around the value is taken off. */
static bool split_pair(glim_str line, const char *quotes, glim_str *key, glim_str *value)
{
    size_t eq = glim_str_find(line, GLIM_STR("="));
    if (eq >= line.n) return false;
    *key = glim_str_trim(glim_str_sub(line, 0, eq), " \t");
    *value = glim_str_trim(glim_str_sub(line, eq + 1, line.n), " \t");
    if (value->n >= 2 && strchr(quotes, value->p[0]) && value->p[value->n - 1] == value->p[0])
        *value = glim_str_sub(*value, 1, value->n - 1);
    return key->n > 0;
}

static bool env_name_is(glim_opt o, glim_str name, bool *also)
{
    char env[64];
    *also = rows[o].also && glim_str_is(name, rows[o].also);
    return *also || glim_str_is(name, glim_opt_env(o, env));
}

/* The next NAME=value of a file of variables; false at its end, or with rc. */
static bool next_variable(lines *l, glim_str *name, glim_str *value, glim_err *rc, glim_error *e)
{
    glim_str line;
    if (!lines_next(l, "#", &line)) return false;
    if (glim_str_starts(line, GLIM_STR("export "))) line = glim_str_sub(line, 7, line.n);
    if (split_pair(line, "\"'", name, value)) return true;
    /* The line may hold a key: nothing of it is shown. */
    *rc = glim_fail(e, GLIM_E_INPUT, "%s: the line is not NAME=value", l->place);
    return false;
}

glim_err glim_config_read_env_file(glim_config *c, uint64_t where, const char *path, glim_error *e)
{
    lines l;
    glim_str name, value;
    /* In a file as in the environment: the twin's own name goes before the other one. */
    bool own[GLIM_OPT_COUNT] = {false};
    glim_err rc = lines_open(&l, path, e);
    if (rc) return rc;
    while (!rc && next_variable(&l, &name, &value, &rc, e)) {
        for (size_t i = 0; !rc && value.n > 0 && i < GLIM_COUNT(rows); i++) {
            bool also;
            if (!(rows[i].where & where) || !env_name_is((glim_opt)i, name, &also)) continue;
            if ((also && own[i]) || (c->v[i].set && c->v[i].origin > GLIM_FROM_ENV_FILE)) continue;
            own[i] = own[i] || !also;
            char place[1200];
            snprintf(place, sizeof place, "%s: %.*s", l.place, GLIM_STR_ARG(name));
            rc = glim_config_set(c, (glim_opt)i, value, GLIM_FROM_ENV_FILE, place, e);
        }
    }
    glim_buf_deinit(&l.buf);
    return rc;
}

glim_err glim_env_file_each(const char *path, glim_env_fn fn, void *user, glim_error *e)
{
    lines l;
    glim_str name, value;
    glim_err rc = lines_open(&l, path, e);
    if (rc) return rc;
    while (!rc && next_variable(&l, &name, &value, &rc, e)) {
        /* In place: what follows a name or a value has been read already. */
        ((char *)(uintptr_t)name.p)[name.n] = 0;
        ((char *)(uintptr_t)value.p)[value.n] = 0;
        fn(user, name.p, value.p);
    }
    /* Keys may have stood in it. */
    for (volatile char *p = l.buf.p; p && p < l.buf.p + l.buf.n; p++)
        *p = 0;
    glim_buf_deinit(&l.buf);
    return rc;
}

static const char *next_key(void *user, size_t i)
{
    (void)user;
    for (size_t k = 0; k < GLIM_COUNT(rows); k++) {
        if (rows[k].flags & (GLIM_OPT_LATER | GLIM_OPT_NO_FILE)) continue;
        if (i-- == 0) return rows[k].name;
    }
    return NULL;
}

static glim_err read_key(glim_config *c, const lines *l, glim_str key, glim_str value, bool *seen,
                         glim_error *e)
{
    char place[1200];
    glim_opt o;
    if (!glim_opt_find(key, &o)) {
        const char *near = glim_nearest(key, next_key, NULL);
        return glim_fail(e, GLIM_E_INPUT, "%s: unknown key %s%s%s%s; `glim config show` lists all",
                         l->place, GLIM_QUOTE(key), near ? " (did you mean '" : "",
                         near ? near : "", near ? "'?)" : "");
    }
    if (rows[o].flags & GLIM_OPT_NO_FILE)
        return glim_fail(e, GLIM_E_INPUT, "%s: '%s' is about one call and cannot be set in a file",
                         l->place, rows[o].name);
    if (seen[o] && rows[o].type != GLIM_OPT_LIST)
        return glim_fail(e, GLIM_E_INPUT, "%s: '%s' is set a second time", l->place, rows[o].name);
    seen[o] = true;
    snprintf(place, sizeof place, "%s: %s", l->place, rows[o].name);
    return glim_config_set(c, o, value, GLIM_FROM_FILE, place, e);
}

glim_err glim_config_read_file(glim_config *c, const char *path, size_t *n_set, glim_error *e)
{
    lines l;
    glim_str line, key, value;
    bool seen[GLIM_OPT_COUNT] = {false};
    size_t n = 0;
    glim_err rc = lines_open(&l, path, e);
    if (rc) return rc;
    while (!rc && lines_next(&l, "#;", &line)) {
        if (line.p[0] == '[') {
            bool known =
                glim_str_starts(line, GLIM_STR("[upstream ")) || glim_str_is(line, "[route]");
            rc = known ? glim_fail(e, GLIM_E_UNSUPPORTED,
                                   "%s: section %s is known but not supported yet", l.place,
                                   GLIM_QUOTE(line))
                       : glim_fail(e, GLIM_E_INPUT,
                                   "%s: unknown section %s; keys stand without a section", l.place,
                                   GLIM_QUOTE(line));
        } else if (!split_pair(line, "\"", &key, &value)) {
            rc = glim_fail(e, GLIM_E_INPUT, "%s: %s is not 'key = value'", l.place,
                           GLIM_QUOTE(line));
        } else {
            rc = read_key(c, &l, key, value, seen, e);
            n++;
        }
    }
    glim_buf_deinit(&l.buf);
    if (!rc && n_set) *n_set = n;
    return rc;
}

/* ---- suggestions ----------------------------------------------------------------------------- */

#define NEAR_MAX 32

/* Edit distance with swaps of neighbours (optimal string alignment); both at most NEAR_MAX bytes.
 */
static size_t distance(glim_str a, glim_str b)
{
    size_t d[3][NEAR_MAX + 1];
    for (size_t j = 0; j <= b.n; j++)
        d[0][j] = j;
    for (size_t i = 1; i <= a.n; i++) {
        size_t *row = d[i % 3], *up = d[(i + 2) % 3], *up2 = d[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b.n; j++) {
            size_t best = up[j - 1] + (a.p[i - 1] != b.p[j - 1]);
            best = GLIM_MIN(best, GLIM_MIN(up[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] && a.p[i - 2] == b.p[j - 1])
                best = GLIM_MIN(best, up2[j - 2] + 1);
            row[j] = best;
        }
    }
    return d[a.n % 3][b.n];
}

const char *glim_nearest(glim_str s, const char *(*next)(void *user, size_t i), void *user)
{
    const char *best = NULL, *word;
    size_t best_d = SIZE_MAX;
    if (s.n == 0 || s.n > NEAR_MAX) return NULL;
    for (size_t i = 0; (word = next(user, i)); i++) {
        glim_str w = glim_str_of(word);
        if (w.n > NEAR_MAX) continue;
        /* A cut-off word counts as near: "temp" for "temperature". */
        size_t d = s.n >= 3 && glim_str_starts(w, s) ? 1 : distance(s, w);
        if (d <= (w.n < 4 ? 1 : w.n < 7 ? 2 : 3) && d < w.n && d < best_d) {
            best_d = d;
            best = word;
        }
    }
    return best;
}
