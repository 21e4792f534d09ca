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

static void on_reload(int sig)
{
    (void)sig;
    if (running) glim_server_reload(running);
}

static void catch_signals(void)
{
    struct sigaction sa = {.sa_handler = on_stop}, again = {.sa_handler = on_reload};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigemptyset(&sa.sa_mask);
    sigemptyset(&again.sa_mask);
    sigemptyset(&ignore.sa_mask);
    sigaction(SIGHUP, &again, NULL);
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

/* A wrong value: of the command line, or of whoever else set it. */
static glim_err bad_code(const glim_opt_value *v)
{
    return v->origin == GLIM_FROM_FLAG ? GLIM_E_USAGE : GLIM_E_INPUT;
}

static const char *join3(glim_cli *c, const char *a, const char *b, const char *d)
{
    size_t n = strlen(a) + strlen(b) + strlen(d) + 1;
    char *p = glim_arena_alloc(c->arena, n);
    if (p) snprintf(p, n, "%s%s%s", a, b, d);
    return p;
}

/* The first served name is the first model's, further ones are its aliases. */
static glim_err names(glim_cli *c, glim_server_opts *o, glim_served_model *first, glim_error *e)
{
    const char *const *served, *const *aliases;
    size_t n_served, n_alias;
    glim_err rc = list(c, GLIM_O_SERVED_MODEL_NAME, &served, &n_served, e);
    if (!rc) rc = list(c, GLIM_O_ALIAS, &aliases, &n_alias, e);
    if (rc) return rc;
    const char **all = GLIM_ARENA_ARRAY(c->arena, const char *, n_served + n_alias + 1);
    if (!all) return glim_fail(e, GLIM_E_NOMEM, "options");
    for (size_t i = 0; i < n_served; i++) {
        const glim_opt_value *v = glim_cli_opt(c, GLIM_O_SERVED_MODEL_NAME);
        if (!served[i][0]) return glim_fail(e, bad_code(v), "%s: a name is empty", v->place);
        if (i == 0)
            first->name = served[0];
        else if (!(all[o->n_alias++] = join3(c, served[i], "=", served[0])))
            return glim_fail(e, GLIM_E_NOMEM, "options");
    }
    for (size_t i = 0; i < n_alias; i++) {
        const glim_opt_value *v = glim_cli_opt(c, GLIM_O_ALIAS);
        if (!aliases[i][0] || aliases[i][0] == '=')
            return glim_fail(e, bad_code(v), "%s: a name is empty", v->place);
        all[o->n_alias++] = aliases[i];
    }
    o->aliases = all;
    return GLIM_OK;
}

/* A model that was asked for by a name from glim list keeps that name. */
static const char *name_in_list(const glim_cli *c, const char *path)
{
    for (size_t i = 0; i < c->n_found; i++)
        if (c->found[i].path == path) return c->found[i].name;
    return NULL;
}

/* Those of -m, the bundled one without any, then what the models folders hold. */
static glim_err models(glim_cli *c, glim_server_opts *o, glim_error *e)
{
    const glim_opt_value *v = glim_cli_opt(c, GLIM_O_MODEL);
    const char *const *given;
    glim_found *found = NULL;
    size_t n_given, n_found = 0;
    glim_err rc = list(c, GLIM_O_MODEL, &given, &n_given, e);
    if (!rc && glim_cli_opt(c, GLIM_O_ON_DEMAND)->on)
        rc = glim_cli_find_models(c, &found, &n_found, e);
    if (rc) return rc;
    glim_served_model *all = GLIM_ARENA_ARRAY(c->arena, glim_served_model, n_given + n_found + 1);
    if (!all) return glim_fail(e, GLIM_E_NOMEM, "options");
    for (size_t i = 0; !rc && i < n_given; i++) {
        glim_served_model *m = &all[o->n_model++];
        *m = (glim_served_model){0};
        rc = glim_cli_resolve_model(c, v->place, given[i], &m->path, e);
        if (!rc && m->path != given[i]) m->name = name_in_list(c, m->path);
    }
    if (n_given == 0) {
        all[0] = (glim_served_model){0};
        o->n_model = 1;
        rc = glim_cli_model_path(c, &all[0].path, e);
    }
    for (size_t i = 0; i < n_found; i++)
        all[o->n_model++] =
            (glim_served_model){.path = found[i].path, .name = found[i].name, .found = true};
    o->models = all;
    return rc ? rc : names(c, o, &all[0], e);
}

static glim_err certificate(glim_cli *c, glim_server_opts *o, glim_error *e)
{
    const glim_opt_value *cert = glim_cli_opt(c, GLIM_O_TLS_CERT),
                         *key = glim_cli_opt(c, GLIM_O_TLS_KEY);
    o->tls_cert = cert->text;
    o->tls_key = key->text;
    if (cert->set == key->set) return GLIM_OK;
    return glim_fail(e, bad_code(cert->set ? cert : key),
                     "%s alone is not enough: %s FILE must name %s",
                     (cert->set ? cert : key)->place, cert->set ? "--tls-key" : "--tls-cert",
                     cert->set ? "the certificate's private key" : "the key's certificate");
}

static size_t run_of(glim_str s, const char *allowed)
{
    size_t n = 0;
    while (n < s.n && s.p[n] && strchr(allowed, s.p[n]))
        n++;
    return n;
}

#define SMALL "abcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"

/* Whether a browser could send it: scheme://host[:port] in small letters, without the port that the scheme means anyway. */
static bool is_origin(glim_str s)
{
    size_t n = run_of(s, SMALL DIGITS "+-.");
    glim_str scheme = glim_str_sub(s, 0, n), rest = glim_str_sub(s, n, s.n);
    if (n == 0 || !strchr(SMALL, s.p[0]) || !glim_str_starts(rest, GLIM_STR("://"))) return false;
    rest = glim_str_sub(rest, 3, rest.n);
    bool v6 = rest.n && rest.p[0] == '[';
    n = v6 ? 1 + run_of(glim_str_sub(rest, 1, rest.n), "abcdef" DIGITS ":.")
           : run_of(rest, SMALL DIGITS "-._");
    if (v6 && (n >= rest.n || rest.p[n++] != ']')) return false;
    if (n == (v6 ? 2 : 0)) return false;
    rest = glim_str_sub(rest, n, rest.n);
    if (rest.n == 0) return true;
    uint64_t port;
    glim_str digits = glim_str_sub(rest, 1, rest.n);
    if (rest.p[0] != ':' || digits.n == 0 || digits.p[0] == '0' || !glim_parse_u64(digits, &port) ||
        port > 65535)
        return false;
    return !(port == 80 && glim_str_is(scheme, "http")) &&
           !(port == 443 && glim_str_is(scheme, "https"));
}

static glim_err origins(glim_cli *c, glim_server_opts *o, glim_error *e)
{
    const glim_opt_value *v = glim_cli_opt(c, GLIM_O_CORS);
    for (size_t i = 0; i < v->n_item; i++)
        if (!glim_str_is(v->items[i], "*") && !is_origin(v->items[i]))
            return glim_fail(e, bad_code(v),
                             "%s: %s is no origin; write it as browsers send it, "
                             "https://app.example.org or http://localhost:3000, in small letters, "
                             "without a path and without the scheme's own port, or * for any",
                             v->place, GLIM_QUOTE(v->items[i]));
    return list(c, GLIM_O_CORS, &o->cors, &o->n_cors, e);
}

typedef struct session {
    glim_cli *c;
    const glim_server_opts *o;
} session;

static void on_listen(void *user, glim_server *s)
{
    const session *v = user;
    const char *a;
    for (size_t i = 0; (a = glim_server_address(s, i))[0]; i++)
        glim_cli_say(v->c, "listening at %s%s",
                     a[0] == '/' || a[0] == '@' ? "unix:"
                     : glim_server_is_tls(s, i) ? "https://"
                                                : "http://",
                     a);
}

/* A line that answers when it is pasted; with keys one of them has to be put in. */
static void on_ready(void *user, glim_server *s)
{
    const session *v = user;
    const char *a = glim_server_address(s, 0);
    bool is_path = a[0] == '/', is_tls = glim_server_is_tls(s, 0);
    glim_cli_say(v->c, "ready; try");
    fprintf(
        stderr,
        "  curl %s%s%shttp%s://%s/v1/chat/completions%s -H 'Content-Type: application/json' \\\n"
        "    -d "
        "'{\"model\":\"default\",\"messages\":[{\"role\":\"user\",\"content\":\"Who are "
        "you?\"}]}'\n",
        is_path  ? "--unix-socket "
        : is_tls ? "--cacert "
                 : "",
        is_path  ? a
        : is_tls ? v->o->tls_cert
                 : "",
        is_path || is_tls ? " " : "", is_tls ? "s" : "", is_path ? "localhost" : a,
        v->o->n_key || v->o->key_file ? " -H 'Authorization: Bearer KEY'" : "");
}

static bool show_loading(void *user, uint64_t done, uint64_t total)
{
    glim_progress_show(user, "loading", done, total, NULL);
    if (done >= total) glim_progress_end(user);
    return true;
}

static glim_err read_options(glim_cli *c, glim_server_opts *o, glim_error *e)
{
    glim_server_opts_init(o);
    glim_cli_model_opts(c, GLIM_KV_F16, &o->model);
    o->key_file = glim_cli_opt(c, GLIM_O_API_KEY_FILE)->text;
    o->key_rate = glim_cli_opt(c, GLIM_O_KEY_RATE)->i64;
    o->key_concurrent = glim_cli_opt(c, GLIM_O_KEY_CONCURRENT)->i64;
    o->ollama_root = glim_cli_opt(c, GLIM_O_OLLAMA_ROOT)->on;
    o->insecure = glim_cli_opt(c, GLIM_O_INSECURE)->on;
    o->n_slot = (int)glim_cli_opt(c, GLIM_O_PARALLEL)->i64;
    o->n_queue = glim_cli_opt(c, GLIM_O_QUEUE)->i64;
    o->drain_s = glim_cli_opt(c, GLIM_O_DRAIN)->i64;
    o->model_memory = (uint64_t)glim_cli_opt(c, GLIM_O_MODEL_MEMORY)->i64 << 20;
    o->n_loaded_max = glim_cli_opt(c, GLIM_O_MODELS_MAX)->i64;
    o->body_max = (size_t)glim_cli_opt(c, GLIM_O_MAX_BODY)->i64;
    glim_err rc = addresses(c, o, e);
    if (!rc) rc = certificate(c, o, e);
    if (!rc) rc = origins(c, o, e);
    if (!rc) rc = list(c, GLIM_O_API_KEY, &o->keys, &o->n_key, e);
    return rc ? rc : models(c, o, e);
}

int glim_cmd_serve(glim_cli *c)
{
    glim_error e = {0};
    glim_server_opts o;
    glim_server *s = NULL;
    glim_progress progress;
    /* A server that says nothing cannot be operated. */
    if (glim_cli_opt(c, GLIM_O_LOG)->origin == GLIM_FROM_DEFAULT)
        glim_log_set(NULL, NULL, GLIM_LOG_INFO);
    glim_err rc = read_options(c, &o, &e);
    glim_progress_begin(&progress);
    o.model.progress = show_loading;
    o.model.progress_user = &progress;
    o.on_listen = on_listen;
    o.on_ready = on_ready;
    session v = {c, &o};
    o.user = &v;
    catch_signals();
    if (!rc) rc = glim_server_new(&o, &s, &e);
    running = s;
    if (!rc) rc = glim_server_run(s, &e);
    running = NULL;
    glim_server_free(s);
    return rc ? glim_cli_fail(c, &e) : 0;
}
