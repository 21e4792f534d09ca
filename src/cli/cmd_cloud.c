/* SPDX-License-Identifier: MIT
 * cmd_cloud.c - glim cloud: what its verbs share - the way in and out, members of requests, files that results go to.
 * Owns:   that no name which comes from a server becomes a path here, and that nothing is written over.
 * Not here: the client and its errors (cloud.c), the verbs (cloud_*.c), their table (cloud.def).
 * Fails:  what is wrong with a file is said before anything is asked of a server. */
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cloud_priv.h"

int glim_cloud_run(glim_cli *c, glim_cloud_fn fn, void *what)
{
    glim_error e = {0};
    glim_cloud k;
    glim_cli_catch_interrupt();
    glim_err rc = glim_cloud_open(c, &k, &e);
    if (rc) return glim_cli_fail(c, &e);
    rc = fn(&k, what, &e);
    if (rc && rc != GLIM_E_CANCELLED) rc = glim_cloud_explain(&k, &e);
    glim_cloud_close(&k);
    return rc ? glim_cli_fail(c, &e) : 0;
}

/* ---- members ----------------------------------------------------------------------------------- */

static glim_err add_field(glim_cli *c, glim_jw *w, const char *place, glim_str text, glim_error *e)
{
    size_t eq = glim_str_find(text, GLIM_STR("="));
    if (eq == SIZE_MAX || eq == 0)
        return glim_fail(e, GLIM_E_USAGE, "%s: %s is not NAME=VALUE; see glim %s --help", place,
                         GLIM_QUOTE(text), c->cmd->name);
    glim_str name = glim_str_sub(text, 0, eq), value = glim_str_sub(text, eq + 1, text.n);
    glim_json *json;
    glim_err rc = glim_cli_check_text(place, text, e);
    if (rc) return rc;
    glim_jw_keyv(w, name);
    rc = glim_json_parse(c->arena, value, &json, NULL);
    if (rc == GLIM_E_NOMEM) return glim_fail(e, rc, "%s: no memory for its value", place);
    if (rc)
        glim_jw_str(w, value); /* no JSON: a text as it is */
    else
        glim_jw_raw(w, glim_str_trim(value, " \t\r\n"));
    return GLIM_OK;
}

glim_err glim_cloud_fields(glim_cli *c, glim_jw *w, glim_error *e)
{
    const glim_opt_value *v = glim_cli_opt(c, GLIM_O_FIELD);
    for (size_t i = 0; i < v->n_item; i++) {
        glim_err rc = add_field(c, w, v->place, v->items[i], e);
        if (rc) return rc;
    }
    return GLIM_OK;
}

/* ---- files ------------------------------------------------------------------------------------- */

glim_err glim_cloud_check_free(const glim_cli *c, const char *path, glim_error *e)
{
    struct stat st;
    if (lstat(path, &st) != 0 || glim_cli_opt(c, GLIM_O_FORCE)->on) return GLIM_OK;
    return glim_fail(e, GLIM_E_INPUT,
                     "%s is there already and stays as it is; name another file, or give --force",
                     GLIM_QUOTE(glim_str_of(path)));
}

/* A folder that files can be made in. */
static glim_err check_folder(const char *place, const char *path, glim_error *e)
{
    if (!glim_is_dir(path))
        return glim_fail(e, GLIM_E_NOTFOUND, "%s: there is no folder %s; make it first", place,
                         GLIM_QUOTE(glim_str_of(path)));
    if (access(path, W_OK | X_OK) != 0)
        return glim_fail(e, GLIM_E_IO, "%s: %s: %s", place, GLIM_QUOTE(glim_str_of(path)),
                         strerror(errno));
    return GLIM_OK;
}

glim_err glim_cloud_check_out(glim_cli *c, bool must, glim_error *e)
{
    const glim_opt_value *out = glim_cli_opt(c, GLIM_O_OUT), *dir = glim_cli_opt(c, GLIM_O_OUT_DIR);
    if (out->set && dir->set)
        return glim_fail(e, GLIM_E_USAGE, "-o and --out-dir do not go together; see glim %s --help",
                         c->cmd->name);
    if (dir->set) return check_folder(dir->place, dir->text, e);
    if (!out->set && must)
        return glim_fail(e, GLIM_E_USAGE, "-o FILE is missing; see glim %s --help", c->cmd->name);
    if (!out->set) return GLIM_OK;
    if (out->text[0] == 0 || strcmp(out->text, "-") == 0 || glim_is_dir(out->text))
        return glim_fail(e, GLIM_E_INPUT, "%s: %s is no name of a file that can be written",
                         out->place, GLIM_QUOTE(glim_str_of(out->text)));
    glim_err rc = glim_cloud_check_free(c, out->text, e);
    glim_str path = glim_arena_str(c->arena, glim_str_of(out->text));
    if (!rc && !path.p) rc = glim_fail(e, GLIM_E_NOMEM, "%s: no memory for its name", out->place);
    return rc ? rc : check_folder(out->place, dirname((char *)(uintptr_t)path.p), e);
}

void glim_cloud_say_saved(const glim_cli *c, const char *path)
{
    struct stat st;
    char bytes[32];
    glim_cli_say(c, "wrote %s (%s)", GLIM_QUOTE(glim_str_of(path)),
                 glim_cli_bytes(stat(path, &st) == 0 ? (uint64_t)st.st_size : 0, bytes));
}

bool glim_cloud_downloading(void *progress, uint64_t done, uint64_t total)
{
    if (total) glim_progress_show(progress, "fetching", done, total, NULL);
    return !glim_cli_interrupted();
}

bool glim_cloud_waiting(void *progress, double waited_s)
{
    glim_progress *p = progress;
    if (p->on) {
        fprintf(stderr, "\rwaiting for the result: %.0f s\x1b[K", waited_s);
        fflush(stderr);
        p->shown = true;
    }
    return !glim_cli_interrupted();
}

void glim_cloud_print(glim_str s)
{
    while (s.n > 0) {
        uint32_t cp;
        int n = glim_utf8_decode(s, &cp);
        if (n > 0 && cp >= 0x20 && (cp < 0x7f || cp > 0x9f))
            fwrite(s.p, 1, (size_t)n, stdout);
        else
            fputs("\xEF\xBF\xBD", stdout);
        s = glim_str_sub(s, (size_t)GLIM_MAX(n, 1), s.n);
    }
}
