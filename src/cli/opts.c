/* SPDX-License-Identifier: MIT
 * opts.c - the table of commands, and the command line and other sources read into the settings.
 * Not here: what a value may be (base/config.c). */
#include <stdlib.h>

#include "cli/cli_priv.h"

const glim_command glim_commands[] = {
#define COMMAND(name, fn, where, argument, least, most, summary, about, examples)                  \
    {#name, fn, where, argument, least, most, summary, about, examples},
#define LATER(name, summary) {#name, NULL, 0, "", 0, 0, summary, "", ""},
#include "cli/commands.def"
#undef COMMAND
#undef LATER
    {0},
};

const glim_command *glim_command_find(const char *name)
{
    for (const glim_command *k = glim_commands; k->name; k++)
        if (strcmp(k->name, name) == 0) return k;
    return NULL;
}

/* Options that a command takes, for suggestions. */
static const char *next_option(void *user, size_t i)
{
    const glim_command *cmd = user;
    for (int k = 0; k < GLIM_OPT_COUNT; k++) {
        const glim_opt_row *r = glim_opt_get((glim_opt)k);
        if (!(r->where & cmd->where) || r->flags & GLIM_OPT_LATER) continue;
        if (i-- == 0) return r->name;
    }
    return i == 0 ? "help" : NULL;
}

static glim_err unknown_option(const glim_cli *c, glim_str word, glim_str name, glim_error *e)
{
    const char *near = glim_nearest(name, next_option, (void *)(uintptr_t)c->cmd);
    return glim_fail(e, GLIM_E_USAGE, "unknown option %s%s%s%s; see glim %s --help",
                     GLIM_QUOTE(word), near ? " (did you mean --" : "", near ? near : "",
                     near ? "?)" : "", c->cmd->name);
}

/* A known option at the wrong command: says which commands take it. */
static glim_err misplaced(const glim_cli *c, const glim_opt_row *r, glim_error *e)
{
    char others[160] = "";
    size_t n = 0;
    for (const glim_command *k = glim_commands; k->name && n < sizeof others; k++) {
        if (!(k->where & r->where) || k->where == GLIM_IN_ALL) continue;
        int w = snprintf(others + n, sizeof others - n, "%s%s", n ? ", " : "", k->name);
        n += (size_t)GLIM_MAX(w, 0);
    }
    return glim_fail(e, GLIM_E_USAGE,
                     "--%s is no option of this command (but of: %s); see glim %s --help", r->name,
                     others, c->cmd->name);
}

/* One option, already split: value.p NULL when none was attached. Takes *i on when the value is the
 * next word. */
static glim_err one_option(glim_cli *c, glim_opt o, const char *shown, glim_str value, int n,
                           char **args, int *i, glim_error *e)
{
    const glim_opt_row *r = glim_opt_get(o);
    if (r->flags & GLIM_OPT_LATER)
        return glim_fail(e, GLIM_E_UNSUPPORTED, "--%s is known but not supported yet", r->name);
    if (r->flags & GLIM_OPT_RUN_LATER && c->cmd->where & GLIM_IN_RUN)
        return glim_fail(e, GLIM_E_UNSUPPORTED, "--%s is known but not supported yet", r->name);
    if (!(r->where & c->cmd->where)) return misplaced(c, r, e);
    if (o == GLIM_O_MODEL && !(c->cmd->where & GLIM_IN_SERVE) &&
        glim_cli_opt(c, o)->origin == GLIM_FROM_FLAG)
        return glim_fail(e, GLIM_E_USAGE,
                         "%s is given twice; only glim serve takes several models", shown);
    if (!value.p) {
        if (r->type == GLIM_OPT_FLAG) {
            value = GLIM_STR("on");
        } else if (*i + 1 < n) {
            value = glim_str_of(args[++*i]);
        } else {
            return glim_fail(e, GLIM_E_USAGE, "%s needs a value (%s); see glim %s --help", shown,
                             r->arg, c->cmd->name);
        }
    }
    glim_err rc = glim_config_set(c->cfg, o, value, GLIM_FROM_FLAG, shown, e);
    if (rc == GLIM_E_USAGE && e) {
        size_t k = strlen(e->msg);
        snprintf(e->msg + k, sizeof e->msg - k, "; see glim %s --help", c->cmd->name);
    }
    return rc;
}

static glim_err long_option(glim_cli *c, const char *word, int n, char **args, int *i,
                            glim_error *e)
{
    glim_str name = glim_str_of(word + 2), value = {0};
    size_t eq = glim_str_find(name, GLIM_STR("="));
    if (eq < name.n) {
        value = glim_str_sub(name, eq + 1, name.n);
        name.n = eq;
    }
    glim_opt o;
    char shown[80];
    const glim_foreign *f;
    if (c->cmd->fn == glim_cmd_serve && (f = glim_foreign_find(name))) {
        snprintf(shown, sizeof shown, "--%.*s", (int)GLIM_MIN(name.n, (size_t)60), name.p);
        return glim_foreign_same(f, &o) ? one_option(c, o, shown, value, n, args, i, e)
                                        : glim_foreign_take(f, c, shown, value, n, args, i, e);
    }
    if (!glim_opt_find(name, &o)) return unknown_option(c, (glim_str){word, name.n + 2}, name, e);
    snprintf(shown, sizeof shown, "--%s", glim_opt_get(o)->name);
    return one_option(c, o, shown, value, n, args, i, e);
}

static glim_err short_option(glim_cli *c, const char *word, int n, char **args, int *i,
                             glim_error *e)
{
    glim_opt o;
    if (!glim_opt_find_letter(word[1], &o))
        return unknown_option(c, glim_str_of(word), glim_str_of(word + 1), e);
    char shown[] = {'-', word[1], 0};
    glim_str value = {0};
    if (word[2]) value = glim_str_of(word + 2 + (word[2] == '='));
    return one_option(c, o, shown, value, n, args, i, e);
}

static glim_err check_arguments(const glim_cli *c, const char *extra, glim_error *e)
{
    if (extra) {
        const char *cure = strcmp(c->cmd->name, "run") == 0 ? "; a prompt is given with -p"
                           : c->cmd->n_max == 1             ? "; text with blanks needs quotes"
                                                            : "";
        return glim_fail(e, GLIM_E_USAGE, "unexpected argument %s%s; see glim %s --help",
                         GLIM_QUOTE(glim_str_of(extra)), cure, c->cmd->name);
    }
    if (c->n_arg < c->cmd->n_min)
        return glim_fail(e, GLIM_E_USAGE, "%s is missing; see glim %s --help", c->cmd->argument,
                         c->cmd->name);
    return GLIM_OK;
}

glim_err glim_cli_parse(glim_cli *c, int n, char **args, glim_error *e)
{
    const char *extra = NULL;
    bool plain = false; /* behind -- */
    for (int i = 0; i < n; i++) {
        const char *w = args[i];
        glim_err rc = GLIM_OK;
        if (plain || w[0] != '-' || !w[1]) {
            if (c->n_arg < c->cmd->n_max)
                c->arg[c->n_arg++] = w;
            else if (!extra)
                extra = w;
        } else if (strcmp(w, "--") == 0) {
            plain = true;
        } else if (strcmp(w, "--help") == 0 || strcmp(w, "-h") == 0) {
            c->help = true;
            return GLIM_OK;
        } else {
            rc = w[1] == '-' ? long_option(c, w, n, args, &i, e)
                             : short_option(c, w, n, args, &i, e);
        }
        if (rc) return rc;
    }
    return check_arguments(c, extra, e);
}

/* ---- environment and files ------------------------------------------------------------------- */

static const char *from_environment(void *user, const char *name)
{
    (void)user;
    return getenv(name);
}

const char *glim_cli_config_path(glim_cli *c, bool *named)
{
    const glim_opt_value *v = glim_cli_opt(c, GLIM_O_CONFIG);
    *named = v->set;
    if (v->set) return v->text;
    const char *xdg = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME"), *path = NULL;
    if (xdg && xdg[0] == '/') /* the XDG rules say to ignore anything that is not absolute */
        path = glim_path_join(c->arena, xdg, "glim/glim.conf");
    else if (home && home[0])
        path = glim_path_join(c->arena, home, ".config/glim/glim.conf");
    return path && glim_is_file(path) ? path : NULL;
}

glim_err glim_cli_settings(glim_cli *c, glim_error *e)
{
    unsigned where = c->cmd->where;
    glim_err rc = glim_config_read_env(c->cfg, where, from_environment, NULL, e);
    const glim_opt_value *env_file = glim_cli_opt(c, GLIM_O_ENV_FILE);
    if (!rc && env_file->set) rc = glim_config_read_env_file(c->cfg, where, env_file->text, e);
    bool named;
    /* `config check` reads the file itself, to report on it. */
    const char *path = rc || c->cmd->where == GLIM_IN_ALL ? NULL : glim_cli_config_path(c, &named);
    if (path) rc = glim_config_read_file(c->cfg, path, NULL, e);
    return rc;
}
