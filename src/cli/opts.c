/* SPDX-License-Identifier: MIT
 * opts.c - the table of commands, and the command line and other sources read into the settings.
 * Not here: what a value may be (base/config.c). */
#include <stdlib.h>

#include "cli/cli_priv.h"

static int no_verb(glim_cli *c);

const glim_command glim_commands[] = {
#define COMMAND(name, fn, where, argument, least, most, summary, about, examples)                  \
    {#name, fn, where, argument, least, most, summary, about, examples, NULL},
#define VERBS(name, verbs, where, summary, about, examples)                                        \
    {#name, no_verb, where, "VERB", 0, 0, summary, about, examples, verbs},
#define LATER(name, summary) {#name, NULL, 0, "", 0, 0, summary, "", "", NULL},
#include "cli/commands.def"
#undef COMMAND
#undef VERBS
#undef LATER
    {0},
};

const glim_command glim_cloud_verbs[] = {
#define VERB(name, fn, where, argument, least, most, summary, about, examples)                     \
    {name,     fn,    (where) | GLIM_IN_CLOUD | GLIM_IN_SETTINGS,                                  \
     argument, least, most,                                                                        \
     summary,  about, examples,                                                                    \
     NULL},
#include "cli/cloud.def"
#undef VERB
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

/* The commands that take an option, added to out. */
static void list_takers(const glim_command *k, const glim_opt_row *r, char *out, size_t n_out)
{
    size_t n = strlen(out);
    for (; k->name && n < n_out; k++) {
        if (!(k->where & r->where) || k->where == GLIM_IN_ALL) continue;
        int w = k->verbs ? 0 : snprintf(out + n, n_out - n, "%s%s", n ? ", " : "", k->name);
        n += (size_t)GLIM_MAX(w, 0);
        if (k->verbs) {
            list_takers(k->verbs, r, out, n_out);
            n = strlen(out);
        }
    }
}

/* A known option at the wrong command: says which commands take it. */
static glim_err misplaced(const glim_cli *c, const glim_opt_row *r, glim_error *e)
{
    char others[160] = "";
    list_takers(glim_commands, r, others, sizeof others);
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
        return glim_fail(e, GLIM_E_USAGE, "%s is given twice; only glim serve takes several models",
                         shown);
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
    if (!glim_opt_find_letter(word[1], c->cmd->where, &o))
        return unknown_option(c, glim_str_of(word), glim_str_of(word + 1), e);
    char shown[] = {'-', word[1], 0};
    glim_str value = {0};
    if (word[2]) value = glim_str_of(word + 2 + (word[2] == '='));
    return one_option(c, o, shown, value, n, args, i, e);
}

/* ---- verbs: the second and third word of some commands ------------------------------------------ */

static int no_verb(glim_cli *c)
{
    glim_error e = {0};
    (void)!glim_fail(&e, GLIM_E_USAGE, "what is to be done is missing; see glim %s --help",
                     c->verb[0] ? c->verb : c->cmd->name);
    return glim_cli_fail(c, &e);
}

/* Whether name begins with all words of prefix. */
static bool has_words(const char *name, const char *prefix)
{
    size_t n = strlen(prefix);
    return strncmp(name, prefix, n) == 0 && (name[n] == ' ' || !name[n]);
}

/* Words that may stand where a wrong one does, for suggestions. */
typedef struct verb_words {
    char word[32][16];
    size_t n;
} verb_words;

static void collect_words(const glim_command *k, const char *before, verb_words *v)
{
    for (; k->name && v->n < GLIM_COUNT(v->word); k++) {
        if (!has_words(k->name, before)) continue;
        const char *word = k->name + strlen(before) + 1;
        snprintf(v->word[v->n++], sizeof v->word[0], "%.*s", (int)strcspn(word, " "), word);
    }
}

static const char *next_verb(void *user, size_t i)
{
    const verb_words *v = user;
    return i < v->n ? v->word[i] : NULL;
}

/* The next word of a name: the command, once it is whole. */
static glim_err take_verb(glim_cli *c, const char *word, glim_error *e)
{
    char name[sizeof c->verb];
    bool begins = false;
    if (!c->verb[0]) snprintf(c->verb, sizeof c->verb, "%s", c->cmd->name);
    int n = snprintf(name, sizeof name, "%s %s", c->verb, word);
    for (const glim_command *k = c->cmd->verbs; n > 0 && (size_t)n < sizeof name && k->name; k++) {
        if (!word[0] || strchr(word, ' ')) continue; /* one word at a time */
        if (strcmp(k->name, name) == 0) {
            c->cmd = k;
            return GLIM_OK;
        }
        begins = begins || has_words(k->name, name);
    }
    if (begins) {
        memcpy(c->verb, name, sizeof name);
        return GLIM_OK;
    }
    verb_words v = {.n = 0};
    collect_words(c->cmd->verbs, c->verb, &v);
    const char *near = glim_nearest(glim_str_of(word), next_verb, &v);
    return glim_fail(e, GLIM_E_USAGE, "%s is nothing that glim %s does%s%s%s; see glim %s --help",
                     GLIM_QUOTE(glim_str_of(word)), c->verb, near ? " (did you mean '" : "",
                     near ? near : "", near ? "'?)" : "", c->verb);
}

/* Options may stand before the verb that does not take them. */
static glim_err check_verb(const glim_cli *c, glim_error *e)
{
    if (c->cmd->verbs) return GLIM_OK; /* no_verb() says so */
    for (int i = 0; c->verb[0] && i < GLIM_OPT_COUNT; i++) {
        const glim_opt_row *r = glim_opt_get((glim_opt)i);
        const glim_opt_value *v = glim_cli_opt(c, (glim_opt)i);
        if (v->set && v->origin == GLIM_FROM_FLAG && !(r->where & c->cmd->where))
            return misplaced(c, r, e);
    }
    return GLIM_OK;
}

static glim_err check_arguments(const glim_cli *c, const char *extra, glim_error *e)
{
    if (extra) {
        const char *cure = c->cmd->where & (GLIM_IN_RUN | GLIM_IN_ASK)
                               ? "; a prompt is given with -p"
                           : c->cmd->n_max == 1 ? "; text with blanks needs quotes"
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
        if (c->cmd->verbs && (plain || w[0] != '-')) {
            rc = take_verb(c, w, e);
        } else if (plain || w[0] != '-' || !w[1]) {
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
    glim_err rc = check_verb(c, e);
    return rc ? rc : check_arguments(c, extra, e);
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

/* Variables that the client reads by itself: keys and addresses. What a file of variables says of them counts as if it stood
 * in the environment, and after it. */
static void export_variable(void *user, const char *name, const char *value)
{
    static const char *const known[] = {"ZHIPUAI_API_KEY", "ZHIPUAI_BASE_URL",  "ZAI_API_KEY",
                                        "ZAI_BASE_URL",    "GLM_FLASH_API_KEY", "OPENAI_API_KEY",
                                        "OPENAI_BASE_URL", "OLLAMA_HOST"};
    (void)user;
    const char *there = getenv(name);
    for (size_t i = 0; i < GLIM_COUNT(known) && value[0]; i++)
        if (strcmp(known[i], name) == 0) (void)setenv(name, value, !there || !there[0]);
}

glim_err glim_cli_settings(glim_cli *c, glim_error *e)
{
    const uint64_t where = c->cmd->where;
    glim_err rc = glim_config_read_env(c->cfg, where, from_environment, NULL, e);
    const glim_opt_value *env_file = glim_cli_opt(c, GLIM_O_ENV_FILE);
    if (!rc && env_file->set) rc = glim_config_read_env_file(c->cfg, where, env_file->text, e);
    if (!rc && env_file->set && where & GLIM_IN_CLOUD && where != GLIM_IN_ALL)
        rc = glim_env_file_each(env_file->text, export_variable, NULL, e);
    bool named;
    /* `config check` reads the file itself, to report on it. */
    const char *path = rc || c->cmd->where == GLIM_IN_ALL ? NULL : glim_cli_config_path(c, &named);
    if (path) rc = glim_config_read_file(c->cfg, path, NULL, e);
    return rc;
}
