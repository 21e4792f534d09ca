/* SPDX-License-Identifier: MIT
 * cmd_config.c - glim config show and glim config check. */
#include "cli/cli_priv.h"

static void value_text(const glim_opt_row *r, const glim_opt_value *v, char *out, size_t n_out)
{
    if (!v->set) {
        snprintf(out, n_out, "-");
    } else if (r->type == GLIM_OPT_BOOL || r->type == GLIM_OPT_FLAG) {
        snprintf(out, n_out, "%s", v->on ? "on" : "off");
    } else if (r->type == GLIM_OPT_LIST) {
        size_t n = 0;
        for (size_t i = 0; i < v->n_item && n < n_out; i++)
            n += (size_t)GLIM_MAX(
                0, snprintf(out + n, n_out - n, "%s%s", i ? " " : "", GLIM_QUOTE(v->items[i])));
    } else if (r->type == GLIM_OPT_STR) {
        snprintf(out, n_out, "%s", GLIM_QUOTE(glim_str_of(v->text)));
    } else {
        snprintf(out, n_out, "%s", v->text);
    }
}

static int show(glim_cli *c)
{
    glim_error e = {0};
    bool named;
    const char *path = glim_cli_config_path(c, &named);
    if (path && glim_config_read_file(c->cfg, path, NULL, &e)) return glim_cli_fail(c, &e);
    for (int i = 0; i < GLIM_OPT_COUNT; i++) {
        const glim_opt_row *r = glim_opt_get((glim_opt)i);
        const glim_opt_value *v = glim_cli_opt(c, (glim_opt)i);
        char text[512];
        if (r->flags & GLIM_OPT_LATER) continue;
        value_text(r, v, text, sizeof text);
        printf("%-16s %-28s %s\n", r->name, text, v->set ? v->place : "not set");
    }
    return 0;
}

static int check(glim_cli *c)
{
    glim_error e = {0};
    bool named;
    size_t n;
    const char *path = c->n_arg > 1 ? c->arg[1] : glim_cli_config_path(c, &named);
    if (!path) {
        (void)!glim_fail(&e, GLIM_E_NOTFOUND,
                         "there is no settings file; name one: glim config check FILE");
        return glim_cli_fail(c, &e);
    }
    if (glim_config_read_file(c->cfg, path, &n, &e)) return glim_cli_fail(c, &e);
    printf("%s: ok, %zu key%s\n", path, n, n == 1 ? "" : "s");
    return 0;
}

int glim_cmd_config(glim_cli *c)
{
    glim_error e = {0};
    if (strcmp(c->arg[0], "check") == 0) return check(c);
    if (strcmp(c->arg[0], "show") == 0 && c->n_arg == 1) return show(c);
    if (strcmp(c->arg[0], "show") == 0)
        (void)!glim_fail(&e, GLIM_E_USAGE, "unexpected argument %s; see glim config --help",
                         GLIM_QUOTE(glim_str_of(c->arg[1])));
    else
        (void)!glim_fail(&e, GLIM_E_USAGE, "%s is neither show nor check; see glim config --help",
                         GLIM_QUOTE(glim_str_of(c->arg[0])));
    return glim_cli_fail(c, &e);
}
