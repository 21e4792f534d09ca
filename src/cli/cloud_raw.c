/* SPDX-License-Identifier: MIT
 * cloud_raw.c - glim cloud models, search, read, and raw: any other call, with the key, the tries and the errors of all. */
#include <ctype.h>

#include "cli/cloud_priv.h"

static glim_err models(glim_cloud *k, void *what, glim_error *e)
{
    glim_names v = {0};
    (void)what;
    glim_err rc = glim_client_models(k->client, &k->call, &v, e);
    for (size_t i = 0; !rc && i < v.n; i++) {
        glim_cloud_print(v.p[i]);
        putchar('\n');
    }
    if (!rc) glim_names_free(&v);
    return rc;
}

int glim_cloud_models(glim_cli *c)
{
    return glim_cloud_run(c, models, NULL);
}

/* ---- the web ------------------------------------------------------------------------------------ */

static void print_member(const glim_json *v, const char *key, const char *before)
{
    const glim_json *m = glim_json_get(v, key);
    if (!glim_json_is(m, GLIM_JSON_STRING) || m->text.n == 0) return;
    fputs(before, stdout);
    glim_cli_text(stdout, m->text);
    fputc('\n', stdout);
}

static void print_hits(const glim_json *root)
{
    bool first = true;
    GLIM_JSON_EACH(hit, glim_json_get(root, "search_result"))
    {
        if (!first) fputc('\n', stdout);
        first = false;
        print_member(hit, "title", "");
        print_member(hit, "link", "");
        print_member(hit, "content", "");
    }
}

static void print_page(const glim_json *root)
{
    const glim_json *page = glim_json_get(root, "reader_result");
    print_member(page, "content", "");
}

/* The body as it is, or what show makes of it; r is ended here. */
static glim_err print_reply(const glim_cli *c, glim_client_reply *r, const char *member,
                            void (*show)(const glim_json *root), glim_error *e)
{
    glim_json *root = NULL;
    glim_err rc = GLIM_OK;
    if (glim_cli_opt(c, GLIM_O_JSON)->on) {
        glim_cli_text(stdout, r->body);
        fputc('\n', stdout);
    } else {
        rc = glim_json_parse(c->arena, r->body, &root, e);
        if (!rc && !glim_json_get(root, member))
            rc = glim_fail(e, GLIM_E_FORMAT, "the answer has no %s; --json shows it as it is",
                           member);
        if (!rc) show(root);
    }
    glim_client_reply_free(r);
    return rc;
}

static glim_err search(glim_cloud *k, void *what, glim_error *e)
{
    glim_client_reply r = {0};
    (void)what;
    glim_err rc = glim_client_search(k->client, glim_cli_opt(k->c, GLIM_O_ENGINE)->text,
                                     glim_str_of(k->c->arg[0]),
                                     glim_cli_opt(k->c, GLIM_O_COUNT)->i64, &k->call, &r, e);
    return rc ? rc : print_reply(k->c, &r, "search_result", print_hits, e);
}

int glim_cloud_search(glim_cli *c)
{
    glim_error e = {0};
    if (glim_cli_check_text("QUERY", glim_str_of(c->arg[0]), &e)) return glim_cli_fail(c, &e);
    return glim_cloud_run(c, search, NULL);
}

static glim_err read_page(glim_cloud *k, void *what, glim_error *e)
{
    glim_client_reply r = {0};
    (void)what;
    glim_err rc = glim_client_read_page(k->client, k->c->arg[0], &k->call, &r, e);
    return rc ? rc : print_reply(k->c, &r, "reader_result", print_page, e);
}

int glim_cloud_read(glim_cli *c)
{
    glim_error e = {0};
    if (glim_cli_check_text("URL", glim_str_of(c->arg[0]), &e)) return glim_cli_fail(c, &e);
    return glim_cloud_run(c, read_page, NULL);
}

/* ---- raw ---------------------------------------------------------------------------------------- */

typedef struct raw {
    glim_client_raw r;
    char method[16];
} raw;

static glim_err read_method(const char *text, raw *x, glim_error *e)
{
    size_t n = strlen(text);
    bool ok = n > 0 && n < sizeof x->method;
    for (size_t i = 0; ok && i < n; i++) {
        ok = isalpha((unsigned char)text[i]) != 0;
        x->method[i] = (char)toupper((unsigned char)text[i]);
    }
    if (!ok)
        return glim_fail(e, GLIM_E_USAGE, "%s is no method, as GET, POST or DELETE are",
                         GLIM_QUOTE(glim_str_of(text)));
    x->method[n] = 0;
    x->r.method = x->method;
    return GLIM_OK;
}

/* JSON, or @FILE with it; looked at here, so that a wrong one is told with its place. */
static glim_err read_data(glim_cli *c, const glim_opt_value *v, raw *x, glim_error *e)
{
    glim_json *json;
    glim_err rc;
    if (v->text[0] == '@') {
        rc = glim_cli_json(c, v->text + 1, &json, e);
    } else {
        rc = glim_json_parse(c->arena, glim_str_of(v->text), &json, e);
        if (rc) glim_error_prefix(e, "%s", v->place);
    }
    if (rc) return rc;
    if (json->type != GLIM_JSON_OBJECT && json->type != GLIM_JSON_ARRAY)
        return glim_fail(e, GLIM_E_INPUT, "%s: %s; a JSON object or array is needed", v->place,
                         glim_json_type_name(json->type));
    x->r.body = json->text;
    return GLIM_OK;
}

static glim_err read_form(glim_cli *c, const glim_opt_value *v, raw *x, glim_error *e)
{
    glim_form_part *parts = glim_arena_alloc0(c->arena, v->n_item * sizeof *parts);
    if (!parts) return glim_fail(e, GLIM_E_NOMEM, "no memory for the form");
    for (size_t i = 0; i < v->n_item; i++) {
        glim_str text = v->items[i];
        size_t eq = glim_str_find(text, GLIM_STR("="));
        if (eq == SIZE_MAX || eq == 0)
            return glim_fail(e, GLIM_E_USAGE, "%s: %s is not NAME=VALUE; see glim %s --help",
                             v->place, GLIM_QUOTE(text), c->cmd->name);
        glim_str name = glim_arena_str(c->arena, glim_str_sub(text, 0, eq));
        if (!name.p) return glim_fail(e, GLIM_E_NOMEM, "no memory for the form");
        parts[i].name = name.p;
        parts[i].text = glim_str_sub(text, eq + 1, text.n);
        if (!glim_str_starts(parts[i].text, GLIM_STR("@"))) continue;
        parts[i].path = parts[i].text.p + 1;
        parts[i].text = (glim_str){0};
        if (!glim_is_file(parts[i].path))
            return glim_fail(e, GLIM_E_NOTFOUND, "%s: there is no file %s", v->place,
                             GLIM_QUOTE(glim_str_of(parts[i].path)));
    }
    x->r.form = parts;
    x->r.n_form = v->n_item;
    return GLIM_OK;
}

static bool print_event(void *user, glim_str data)
{
    (void)user;
    glim_cli_text(stdout, data);
    fputc('\n', stdout);
    fflush(stdout);
    return !glim_cli_interrupted();
}

static glim_err save_body(glim_cli *c, const char *path, glim_str body, glim_error *e)
{
    glim_outfile o;
    glim_err rc = glim_cloud_check_free(c, path, e);
    if (!rc) rc = glim_outfile_open(&o, path, e);
    if (rc) return rc;
    rc = glim_outfile_write(&o, body.p, body.n, e);
    if (!rc) rc = glim_outfile_commit(&o, e);
    glim_outfile_discard(&o);
    if (!rc) glim_cloud_say_saved(c, path);
    return rc;
}

static glim_err call(glim_cloud *k, void *what, glim_error *e)
{
    const raw *x = what;
    const glim_opt_value *out = glim_cli_opt(k->c, GLIM_O_OUT);
    glim_client_reply r = {0};
    glim_err rc = glim_client_call(k->client, &x->r, &k->call, &r, e);
    if (rc) return rc;
    if (out->set) {
        rc = save_body(k->c, out->text, r.body, e);
    } else if (!x->r.event) {
        glim_cli_text(stdout, r.body);
        if (glim_term_is(stdout) && !glim_str_ends(r.body, GLIM_STR("\n"))) fputc('\n', stdout);
    }
    glim_client_reply_free(&r);
    return rc;
}

int glim_cloud_raw(glim_cli *c)
{
    glim_error e = {0};
    raw x = {.r = {.path = c->arg[1]}};
    const glim_opt_value *data = glim_cli_opt(c, GLIM_O_DATA), *form = glim_cli_opt(c, GLIM_O_FORM);
    bool stream = glim_cli_opt(c, GLIM_O_STREAM)->on;
    if (stream) x.r.event = print_event;
    glim_err rc = read_method(c->arg[0], &x, &e);
    if (!rc && data->set && form->n_item)
        rc = glim_fail(&e, GLIM_E_USAGE, "-d and -F do not go together; see glim %s --help",
                       c->cmd->name);
    if (!rc && stream && glim_cli_opt(c, GLIM_O_OUT)->set)
        rc = glim_fail(&e, GLIM_E_USAGE, "--stream and -o do not go together; see glim %s --help",
                       c->cmd->name);
    if (!rc) rc = glim_cloud_check_out(c, false, &e);
    if (!rc && data->set) rc = read_data(c, data, &x, &e);
    if (!rc && form->n_item) rc = read_form(c, form, &x, &e);
    return rc ? glim_cli_fail(c, &e) : glim_cloud_run(c, call, &x);
}
