/* SPDX-License-Identifier: MIT
 * answerer.c - who answers run and chat: the model on this machine, or another server; one call for both.
 * Fails: USAGE for an option that the one who answers does not have. */
#include "cli/cli_priv.h"

enum { AUTO, LOCAL, CLOUD }; /* the words of --where, in the order of config.def */

bool glim_answerer_is_elsewhere(const glim_cli *c)
{
    int64_t where = glim_cli_opt(c, GLIM_O_WHERE)->i64;
    if (where != AUTO) return where == CLOUD;
    return glim_cli_opt(c, GLIM_O_GLM_FLASH_ENABLED)->on && !glim_cli_opt(c, GLIM_O_USE_NPU)->on;
}

/* Only flags: settings are for both kinds of answers. */
glim_err glim_answerer_check(const glim_cli *c, glim_error *e)
{
    const bool elsewhere = glim_answerer_is_elsewhere(c);
    for (int i = 0; i < GLIM_OPT_COUNT; i++) {
        const glim_opt_row *r = glim_opt_get((glim_opt)i);
        bool here_only = r->where & (GLIM_IN_ENGINE | GLIM_IN_PLAN) || i == GLIM_O_RAW;
        bool there_only = r->where & GLIM_IN_CLOUD;
        if (!(elsewhere ? here_only : there_only) || !glim_cli_from_flag(c, (glim_opt)i)) continue;
        if (elsewhere)
            return glim_fail(e, GLIM_E_USAGE,
                             "--%s is about the model on this machine, and the answer comes from "
                             "elsewhere: leave it out, or give --where local",
                             r->name);
        return glim_fail(
            e, GLIM_E_USAGE,
            "--%s is about another server, and the answer is made here: leave it out, or "
            "give --where cloud",
            r->name);
    }
    const glim_opt_value *m = glim_cli_opt(c, GLIM_O_MODEL);
    /* Variables chose, perhaps unnoticed. With --where cloud a name is what it has to be. */
    if (elsewhere && glim_cli_opt(c, GLIM_O_WHERE)->i64 == AUTO &&
        glim_cli_from_flag(c, GLIM_O_MODEL) && (glim_is_file(m->text) || glim_is_dir(m->text)))
        return glim_fail(
            e, GLIM_E_USAGE,
            "%s: %s is on this machine, and GLM_FLASH_ENABLED and USE_NPU say that the "
            "answer comes from elsewhere: give --where local, or the name of a model "
            "there",
            m->place, GLIM_QUOTE(glim_str_of(m->text)));
    return GLIM_OK;
}

glim_err glim_answerer_open(glim_cli *c, glim_answerer *a, glim_error *e)
{
    *a = (glim_answerer){.c = c, .elsewhere = glim_answerer_is_elsewhere(c)};
    glim_err rc = glim_answerer_check(c, e);
    if (rc) return rc;
    if (a->elsewhere) return glim_cloud_open(c, &a->cloud, e);
    rc = glim_cli_open_model(c, GLIM_KV_F16, &a->m, e);
    if (!rc) rc = glim_session_new(a->m, &a->s, e);
    if (rc) glim_answerer_close(a);
    return rc;
}

void glim_answerer_close(glim_answerer *a)
{
    if (a->elsewhere) glim_cloud_close(&a->cloud);
    glim_session_free(a->s);
    glim_model_close(a->m);
    a->s = NULL;
    a->m = NULL;
}

const char *glim_answerer_where(const glim_answerer *a)
{
    return a->elsewhere ? glim_client_provider(a->cloud.client) : "local";
}

const char *glim_answerer_name(const glim_answerer *a, char *out, size_t n_out)
{
    const glim_opt_value *v = glim_cli_opt(a->c, GLIM_O_CLOUD_MODEL);
    const char *model = a->cloud.model ? a->cloud.model : v->set ? v->text : "";
    snprintf(out, n_out, "%s%s%s (%.200s)", model[0] ? GLIM_QUOTE(glim_str_of(model)) : "",
             model[0] ? " at " : "", glim_client_provider(a->cloud.client),
             glim_client_base_url(a->cloud.client));
    return out;
}

static glim_err ask(glim_answerer *a, const glim_chat *chat, const glim_gen_opts *gen,
                    glim_event_fn fn, void *user, glim_error *e)
{
    glim_client_ask ask;
    glim_client_ask_init(&ask);
    ask.model = a->cloud.model;
    ask.chat = *chat;
    ask.gen = *gen;
    glim_cancel_reset(a->cloud.cancel);
    glim_cli_watch_call(a->cloud.cancel);
    if (glim_cli_interrupted()) glim_cancel_now(a->cloud.cancel); /* before it was watched */
    glim_err rc = glim_client_chat(a->cloud.client, &ask, fn, user, &a->cloud.call, e);
    glim_cli_watch_call(NULL);
    if (rc && rc != GLIM_E_CANCELLED) return glim_cloud_explain(&a->cloud, e);
    return rc;
}

glim_err glim_answerer_chat(glim_answerer *a, const glim_chat *chat, const glim_gen_opts *gen,
                            glim_event_fn fn, void *user, glim_error *e)
{
    if (a->elsewhere) return ask(a, chat, gen, fn, user, e);
    glim_cli_watch(a->s);
    glim_err rc = glim_generate(a->s, chat, gen, fn, user, e);
    glim_cli_watch(NULL);
    return rc;
}
