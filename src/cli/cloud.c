/* SPDX-License-Identifier: MIT
 * cloud.c - a client of another server as the options say, and what is told of its calls: tries, errors, cures.
 * Owns:   nothing of a key: the client reads it, and nothing here sees it.
 * Not here: what is asked (cloud_*.c, answerer.c), the wire (room client).
 * Thread: main. */
#include <stdlib.h>

#include "cli/cli_priv.h"

/* ---- tries and errors -------------------------------------------------------------------------- */

/* "limit, status 429, code 1302: text": what came, as far as it came. */
static void add_report(glim_buf *b, const glim_client_report *r)
{
    glim_buf_adds(b, glim_fault_name(r->fault));
    if (r->status) glim_buf_addf(b, ", status %d", r->status);
    if (r->code[0]) glim_buf_addf(b, ", code %s", r->code);
    if (r->message[0]) glim_buf_addf(b, ": %s", r->message);
}

static bool on_retry(void *user, const glim_client_report *why, int64_t wait_ms)
{
    const glim_cloud *k = user;
    glim_buf b;
    glim_buf_init(&b, 1024);
    add_report(&b, why);
    glim_cli_say(k->c, "%s; again in %.1f s (try %d of %lld)", b.p ? b.p : "no answer",
                 (double)wait_ms / 1000, why->n_try + 1,
                 (long long)glim_cli_opt(k->c, GLIM_O_RETRIES)->i64 + 1);
    glim_buf_deinit(&b);
    return !glim_cli_interrupted();
}

/* Where a key of the provider may stand. */
static const char *key_cure(const char *provider)
{
    static const struct {
        const char *provider, *text;
    } places[] = {
        {"zhipu", "set ZHIPUAI_API_KEY, ZAI_API_KEY or GLM_FLASH_API_KEY to a key of this "
                  "platform, or put it into a file that only you may read: "
                  "~/.config/glim/cloud.key, or --key-file FILE"},
        {"openai", "set OPENAI_API_KEY to a key of this server, or put it into a file that only "
                   "you may read: --key-file FILE"},
    };
    for (size_t i = 0; i < GLIM_COUNT(places); i++)
        if (strcmp(provider, places[i].provider) == 0) return places[i].text;
    return "this server wants a key: put it into a file that only you may read: --key-file FILE";
}

static const char *cure(const glim_cloud *k)
{
    static const struct {
        const char *code, *text;
    } codes[] = {
#define CURE(code, text) {code, text},
#include "cli/cures.def"
#undef CURE
    };
    const glim_client_report *r = &k->report;
    const char *provider = glim_client_provider(k->client);
    for (size_t i = 0; i < GLIM_COUNT(codes) && strcmp(provider, "zhipu") == 0; i++)
        if (strcmp(r->code, codes[i].code) == 0) return codes[i].text;
    switch (r->fault) {
    case GLIM_FAULT_AUTH:
        return key_cure(provider);
    case GLIM_FAULT_LIMIT:
        return "wait a while, or send fewer requests";
    case GLIM_FAULT_INTERNAL:
    case GLIM_FAULT_OVERLOADED:
        return "the server has trouble: try again later";
    case GLIM_FAULT_TIMEOUT:
        return "try again, or give it more time (--timeout)";
    case GLIM_FAULT_CONNECTION:
        return "check the network, --base-url and --proxy";
    case GLIM_FAULT_SHAPE:
        return "check --provider and --base-url: is it that provider's server?";
    case GLIM_FAULT_STATUS:
        return r->status == 404 ? "check --provider, --base-url, and the model's name" : NULL;
    case GLIM_FAULT_NONE:
    case GLIM_FAULT_REQUEST:
    case GLIM_FAULT_STREAM:
    case GLIM_FAULT_LOCAL:
        break;
    }
    return NULL;
}

glim_err glim_cloud_explain(const glim_cloud *k, glim_error *e)
{
    const glim_client_report *r = &k->report;
    if (!k->client || r->fault == GLIM_FAULT_NONE || r->fault == GLIM_FAULT_LOCAL) return e->code;
    const char *what = cure(k);
    glim_buf b;
    glim_buf_init(&b, 2048);
    if (e->code == GLIM_E_REMOTE && (r->message[0] || r->code[0])) {
        add_report(&b, r);
        if (r->request_id[0]) glim_buf_addf(&b, " (request %s)", r->request_id);
    } else {
        glim_buf_addf(&b, "%s: %s", glim_fault_name(r->fault), e->msg);
    }
    if (r->n_try > 1) glim_buf_addf(&b, "; tried %d times", r->n_try);
    if (what) glim_buf_addf(&b, "; %s", what);
    glim_err rc = e->code;
    if (!b.err) rc = glim_fail(e, rc, "%s", b.p);
    glim_buf_deinit(&b);
    return rc;
}

/* ---- the client -------------------------------------------------------------------------------- */

/* $XDG_CONFIG_HOME/glim/cloud.key or its usual place, where it is there; else NULL. */
static const char *usual_key_file(glim_cli *c)
{
    const char *xdg = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME"), *path = NULL;
    if (xdg && xdg[0] == '/')
        path = glim_path_join(c->arena, xdg, "glim/cloud.key");
    else if (home && home[0])
        path = glim_path_join(c->arena, home, ".config/glim/cloud.key");
    return path && glim_is_file(path) ? path : NULL;
}

static void set_options(const glim_cli *c, glim_cloud *k, glim_client_opts *o)
{
    /* In the order of the words in config.def. */
    static const char *const providers[] = {"zhipu", "openai", "ollama"};
    const glim_opt_value *v;
    glim_client_opts_init(o);
    o->provider = providers[glim_cli_opt(c, GLIM_O_PROVIDER)->i64];
    if ((v = glim_cli_opt(c, GLIM_O_BASE_URL))->set) o->base_url = v->text;
    if ((v = glim_cli_opt(c, GLIM_O_KEY_FILE))->set) o->key_file = v->text;
    if ((v = glim_cli_opt(c, GLIM_O_CLOUD_MODEL))->set) o->model = v->text;
    if ((v = glim_cli_opt(c, GLIM_O_PROXY))->set) o->proxy = v->text;
    if ((v = glim_cli_opt(c, GLIM_O_CA_FILE))->set) o->ca_file = v->text;
    o->jwt = glim_cli_opt(c, GLIM_O_JWT)->on;
    o->timeout_s = glim_cli_opt(c, GLIM_O_TIMEOUT)->f64;
    o->n_retry = (int)glim_cli_opt(c, GLIM_O_RETRIES)->i64;
    o->on_retry = on_retry;
    o->user = k;
    /* What GLIM_MODEL or a settings file name is a model of this machine. */
    if (glim_cli_from_flag(c, GLIM_O_MODEL)) k->model = glim_cli_opt(c, GLIM_O_MODEL)->text;
}

glim_err glim_cloud_open(glim_cli *c, glim_cloud *k, glim_error *e)
{
    glim_client_opts o;
    *k = (glim_cloud){.c = c};
    set_options(c, k, &o);
    glim_err rc = glim_client_new(&o, &k->client, e);
    if (rc == GLIM_E_NOTFOUND && !o.key_file && strcmp(o.provider, "zhipu") == 0) {
        o.key_file = usual_key_file(c);
        if (o.key_file) rc = glim_client_new(&o, &k->client, e);
    }
    if (rc == GLIM_E_NOTFOUND && !o.key_file)
        rc = glim_fail(e, rc, "%s needs a key: %s", o.provider, key_cure(o.provider));
    if (!rc) {
        k->cancel = glim_cancel_new();
        if (!k->cancel) rc = glim_fail(e, GLIM_E_NOMEM, "no memory for a call");
    }
    if (rc) {
        glim_cloud_close(k);
        return rc;
    }
    k->call = (glim_call){.cancel = k->cancel, .report = &k->report};
    glim_cli_watch_call(k->cancel);
    if (glim_cli_interrupted()) glim_cancel_now(k->cancel); /* before it was watched */
    return GLIM_OK;
}

void glim_cloud_close(glim_cloud *k)
{
    glim_cli_watch_call(NULL);
    glim_client_free(k->client);
    glim_cancel_free(k->cancel);
    k->client = NULL;
    k->cancel = NULL;
}
