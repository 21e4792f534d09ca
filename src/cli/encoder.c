/* SPDX-License-Identifier: MIT
 * encoder.c - what embed, keyword and rerank have in common: the encoder opened, arrays of inputs
 * read.
 * Fails:  USAGE without a model: the bundled one writes text, so there is none to fall back on. */
#include "cli/cli_priv.h"

bool glim_cli_cancelled(void *unused)
{
    (void)unused;
    return glim_cli_interrupted();
}

static bool show_loading(void *user, uint64_t done, uint64_t total)
{
    glim_progress_show(user, "loading", done, total, NULL);
    return !glim_cli_interrupted();
}

static void options(const glim_cli *c, glim_encoder_opts *o)
{
    const glim_opt_value *v;
    glim_encoder_opts_init(o);
    if ((v = glim_cli_opt(c, GLIM_O_THREADS))->set) o->n_thread = (int)v->i64;
    if ((v = glim_cli_opt(c, GLIM_O_CTX))->set) o->n_max = v->i64;
    if ((v = glim_cli_opt(c, GLIM_O_CPU))->set &&
        !glim_str_ieq(glim_str_of(v->text), GLIM_STR("auto")))
        o->cpu = v->text;
}

glim_err glim_cli_open_encoder(glim_cli *c, glim_encoder **m, glim_error *e)
{
    const char *path;
    glim_encoder_opts o;
    glim_progress progress;
    if (!glim_cli_opt(c, GLIM_O_MODEL)->set)
        return glim_fail(e, GLIM_E_USAGE,
                         "-m MODEL is missing: name an embedding model (glim list shows which are "
                         "there); see glim %s --help",
                         c->cmd->name);
    glim_err rc = glim_cli_model_path(c, &path, e);
    if (rc) return rc;
    options(c, &o);
    glim_progress_begin(&progress);
    o.progress = show_loading;
    o.progress_user = &progress;
    rc = glim_encoder_open(path, &o, m, e);
    glim_progress_end(&progress);
    return rc;
}

glim_err glim_cli_plan_encoder(glim_cli *c, const char *path, glim_encoder_info *out, glim_error *e)
{
    glim_encoder_opts o;
    options(c, &o);
    return glim_encoder_plan(path, &o, out, e);
}

glim_err glim_cli_array(glim_cli *c, const char *what, const glim_json **out, glim_error *e)
{
    glim_json *json;
    glim_err rc = glim_cli_json(c, "-", &json, e);
    if (rc) return rc;
    if (json->type != GLIM_JSON_ARRAY)
        return glim_fail(e, GLIM_E_INPUT, "standard input: holds %s; a JSON array of %s is needed",
                         glim_json_type_name(json->type), what);
    *out = json;
    return GLIM_OK;
}

glim_err glim_cli_check_length(size_t i, const glim_encoded *t, size_t n_max, glim_error *e)
{
    if (t->n <= n_max) return GLIM_OK;
    return glim_fail(e, GLIM_E_CONTEXT,
                     "input %zu has %zu tokens; the model reads at most %zu: shorten it, or use "
                     "--truncate on",
                     i, t->n, n_max);
}
