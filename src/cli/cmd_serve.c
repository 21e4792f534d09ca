/* SPDX-License-Identifier: MIT
 * cmd_serve.c - glim serve: options to a server, signals to its end.
 * Not here: everything a request meets (room server). */
#include <signal.h>
#include <unistd.h>

#include "cli/cli_priv.h"
#include "server/server.h"

static glim_server *volatile running; /* what a signal stops */

static void on_stop(int sig)
{
    (void)sig;
    if (running) glim_server_stop(running);
}

static void catch_signals(void)
{
    struct sigaction sa = {.sa_handler = on_stop};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigemptyset(&sa.sa_mask);
    sigemptyset(&ignore.sa_mask);
    sigaction(SIGTERM, &sa, NULL);
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGPIPE, &ignore, NULL);
}

static glim_err list(glim_cli *c, glim_opt o, const char *const **out, size_t *n, glim_error *e)
{
    const glim_opt_value *v = glim_cli_opt(c, o);
    const char **texts = GLIM_ARENA_ARRAY(c->arena, const char *, v->n_item + 1);
    if (!texts) return glim_fail(e, GLIM_E_NOMEM, "options");
    for (size_t i = 0; i < v->n_item; i++) {
        char *p = glim_arena_alloc(c->arena, v->items[i].n + 1);
        if (!p) return glim_fail(e, GLIM_E_NOMEM, "options");
        if (v->items[i].n) memcpy(p, v->items[i].p, v->items[i].n);
        p[v->items[i].n] = 0;
        texts[i] = p;
    }
    *out = texts;
    *n = v->n_item;
    return GLIM_OK;
}

static glim_err addresses(glim_cli *c, glim_server_opts *o, glim_error *e)
{
    glim_err rc = list(c, GLIM_O_LISTEN, &o->listen, &o->n_listen, e);
    if (rc || o->n_listen) return rc;
    glim_str host = glim_str_of(glim_cli_opt(c, GLIM_O_HOST)->text);
    size_t n = host.n + 16;
    char *one = glim_arena_alloc(c->arena, n);
    const char **all = GLIM_ARENA_ARRAY(c->arena, const char *, 1);
    if (!one || !all) return glim_fail(e, GLIM_E_NOMEM, "options");
    bool bare6 = glim_str_find(host, GLIM_STR(":")) != SIZE_MAX && host.p[0] != '[';
    snprintf(one, n, bare6 ? "[%s]:%lld" : "%s:%lld", host.p,
             (long long)glim_cli_opt(c, GLIM_O_PORT)->i64);
    all[0] = one;
    o->listen = all;
    o->n_listen = 1;
    return GLIM_OK;
}

static void on_listen(void *user, glim_server *s)
{
    for (size_t i = 0; glim_server_address(s, i)[0]; i++)
        glim_cli_say(user, "listening at http://%s", glim_server_address(s, i));
}

static void on_ready(void *user, glim_server *s)
{
    glim_cli_say(user, "ready; try");
    fprintf(stderr,
            "  curl http://%s/v1/chat/completions -H 'Content-Type: application/json' \\\n"
            "    -d '{\"model\":\"default\",\"messages\":[{\"role\":\"user\",\"content\":\"Who are you?\"}]}'\n",
            glim_server_address(s, 0));
}

static bool show_loading(void *user, uint64_t done, uint64_t total)
{
    glim_progress_show(user, "loading", done, total, NULL);
    if (done >= total) glim_progress_end(user);
    return true;
}

int glim_cmd_serve(glim_cli *c)
{
    glim_error e = {0};
    glim_server_opts o;
    glim_server *s = NULL;
    glim_progress progress;
    glim_server_opts_init(&o);
    /* A server that says nothing cannot be operated. */
    if (glim_cli_opt(c, GLIM_O_LOG)->origin == GLIM_FROM_DEFAULT)
        glim_log_set(NULL, NULL, GLIM_LOG_INFO);
    glim_err rc = glim_cli_model_path(c, &o.model_path, &e);
    glim_cli_model_opts(c, GLIM_KV_F16, &o.model);
    glim_progress_begin(&progress);
    o.model.progress = show_loading;
    o.model.progress_user = &progress;
    if (!rc) rc = addresses(c, &o, &e);
    if (!rc) rc = list(c, GLIM_O_ALIAS, &o.aliases, &o.n_alias, &e);
    if (!rc) rc = list(c, GLIM_O_API_KEY, &o.keys, &o.n_key, &e);
    o.key_file = glim_cli_opt(c, GLIM_O_API_KEY_FILE)->text;
    o.insecure = glim_cli_opt(c, GLIM_O_INSECURE)->on;
    o.n_slot = (int)glim_cli_opt(c, GLIM_O_PARALLEL)->i64;
    o.n_queue = glim_cli_opt(c, GLIM_O_QUEUE)->i64;
    o.drain_s = glim_cli_opt(c, GLIM_O_DRAIN)->i64;
    o.body_max = (size_t)glim_cli_opt(c, GLIM_O_MAX_BODY)->i64;
    o.on_listen = on_listen;
    o.on_ready = on_ready;
    o.user = c;
    catch_signals();
    if (!rc) rc = glim_server_new(&o, &s, &e);
    running = s;
    if (!rc) rc = glim_server_run(s, &e);
    running = NULL;
    glim_server_free(s);
    return rc ? glim_cli_fail(c, &e) : 0;
}
