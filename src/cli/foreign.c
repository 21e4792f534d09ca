/* SPDX-License-Identifier: MIT
 * foreign.c - flags of other servers: which of our options they are, or why they change nothing.
 * Not here: our own options (opts.c, base/config.def).
 * Fails:  USAGE, as options of ours do. */
#include "cli/cli_priv.h"

typedef enum value { NONE, COUNT, NUMBER, WORD, ANY } value;

struct glim_foreign {
    const char *name;
    bool is_same;
    glim_opt same;
    value value;
    const char *text;
};

static const glim_foreign rows[] = {
#define SAME(name, option) {name, true, GLIM_O_##option, WORD, NULL},
#define NOTHING(name, value, text) {name, false, GLIM_OPT_COUNT, value, text},
#include "cli/foreign.def"
#undef SAME
#undef NOTHING
};

static bool fits(const char *pattern, glim_str name)
{
    glim_str p = glim_str_of(pattern);
    if (!glim_str_ends(p, GLIM_STR("*"))) return glim_str_eq(p, name);
    p.n--;
    return name.n > p.n && glim_str_starts(name, p);
}

const glim_foreign *glim_foreign_find(glim_str name)
{
    for (size_t i = 0; i < GLIM_COUNT(rows); i++)
        if (fits(rows[i].name, name)) return &rows[i];
    return NULL;
}

bool glim_foreign_same(const glim_foreign *f, glim_opt *out)
{
    *out = f->same;
    return f->is_same;
}

static glim_err check(value kind, const char *shown, glim_str v, const glim_cli *c, glim_error *e)
{
    int64_t count;
    double number;
    bool ok = kind == COUNT    ? glim_parse_i64(v, &count) && count >= 0
              : kind == NUMBER ? glim_parse_f64(v, &number)
                               : v.n > 0;
    if (ok) return GLIM_OK;
    return glim_fail(e, GLIM_E_USAGE, "%s: %s is %s; see glim %s --help", shown, GLIM_QUOTE(v),
                     kind == COUNT    ? "no whole number of 0 or more"
                     : kind == NUMBER ? "no number"
                                      : "no value",
                     c->cmd->name);
}

glim_err glim_foreign_take(const glim_foreign *f, const glim_cli *c, const char *shown,
                           glim_str given, int n, char **args, int *i, glim_error *e)
{
    const char *next = *i + 1 < n ? args[*i + 1] : NULL;
    bool follows = next && next[0] && (next[0] != '-' || f->value == COUNT || f->value == NUMBER);
    if (f->value == NONE && given.p)
        return glim_fail(e, GLIM_E_USAGE, "%s takes no value; see glim %s --help", shown,
                         c->cmd->name);
    if (f->value != NONE && !given.p && follows) {
        given = glim_str_of(next);
        ++*i;
    }
    if (!given.p && f->value != NONE && f->value != ANY)
        return glim_fail(e, GLIM_E_USAGE, "%s needs a value; see glim %s --help", shown,
                         c->cmd->name);
    glim_err rc = given.p ? check(f->value, shown, given, c, e) : GLIM_OK;
    if (!rc) glim_cli_say(c, "%s has no effect: %s", shown, f->text);
    return rc;
}

void glim_foreign_names(glim_buf *out)
{
    for (size_t i = 0; i < GLIM_COUNT(rows); i++)
        if (rows[i].is_same)
            (void)glim_buf_addf(out, "%s--%s (--%s)", out->n ? ", " : "", rows[i].name,
                                glim_opt_get(rows[i].same)->name);
    bool first = true;
    for (size_t i = 0; i < GLIM_COUNT(rows); i++) {
        if (rows[i].is_same) continue;
        (void)glim_buf_addf(out, "%s--%s", first ? "; without effect, which is said: " : ", ",
                            rows[i].name);
        first = false;
    }
}
