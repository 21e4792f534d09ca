/* SPDX-License-Identifier: MIT
 * client.c - a client from its options to its end: whose server, at which address, with which key.
 * Owns:   copies of everything that the options name; the key, which is wiped at the end.
 * Thread: new and free by one; a client is fixed from then on but for what its locks guard.
 * Fails:  as client.h says; messages never hold a key.   See: tests/unit/client/test_client.c */
#include "client/client_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { KEY_MAX = 1024, KEY_FILE_MAX = 64 << 10, RETRIES_MAX = 20 };

static const glim_provider *const providers[] = {
#define PROVIDER(name) &glim_provider_##name,
#include "client/providers.def"
#undef PROVIDER
};

const char *glim_client_providers(void)
{
    static const char names[] = ""
#define PROVIDER(name) ", " #name
#include "client/providers.def"
#undef PROVIDER
        ;
    return &names[2]; /* behind the first comma */
}

void glim_client_opts_init(glim_client_opts *o)
{
    *o = (glim_client_opts){.size = sizeof *o,
                            .timeout_s = 300,
                            .connect_timeout_s = 8,
                            .n_retry = 3,
                            .retry_wait_max_ms = 60000,
                            .reply_max = (uint64_t)64 << 20};
}

const char *glim_client_provider(const glim_client *c)
{
    return c->p->name;
}

const char *glim_client_base_url(const glim_client *c)
{
    return c->base_url;
}

/* ---- pieces ------------------------------------------------------------------------------------- */

static glim_err keep(const char *s, char **out, glim_error *e)
{
    *out = NULL;
    if (!s) return GLIM_OK;
    *out = (char *)(uintptr_t)glim_str_keep(glim_str_of(s)).p;
    return *out ? GLIM_OK : glim_fail(e, GLIM_E_NOMEM, "a client");
}

static void wipe_free(char *s)
{
    if (s) glim_wipe(s, strlen(s));
    glim_free(s);
}

/* The first of the variables that says something; NULL: none. */
static const char *from_env(const char *const *names)
{
    for (; names && *names; names++) {
        const char *v = getenv(*names);
        if (v && *v) return v;
    }
    return NULL;
}

static glim_err check_opts(const glim_client_opts *o, glim_error *e)
{
    const struct {
        const char *name;
        double v, min, max;
    } ranges[] = {
        {"timeout_s", o->timeout_s, 1e-3, 1e7},
        {"connect_timeout_s", o->connect_timeout_s, 1e-3, 1e5},
        {"n_retry", o->n_retry, 0, RETRIES_MAX},
        {"retry_wait_max_ms", (double)o->retry_wait_max_ms, 0, 1e9},
        {"reply_max", (double)o->reply_max, 1024, (double)((uint64_t)1 << 40)},
    };
    for (size_t i = 0; i < GLIM_COUNT(ranges); i++)
        if (!(ranges[i].v >= ranges[i].min && ranges[i].v <= ranges[i].max))
            return glim_fail(e, GLIM_E_INPUT, "%s: %g is beyond %g to %g", ranges[i].name,
                             ranges[i].v, ranges[i].min, ranges[i].max);
    return GLIM_OK;
}

/* What libcurl could not use is refused at once and not at the first call. */
static glim_err check_proxy(const char *proxy, glim_error *e)
{
    static const char *const schemes[] = {"http",    "https",  "socks4",
                                          "socks4a", "socks5", "socks5h"};
    glim_str s = glim_str_of(proxy);
    size_t at = glim_str_find(s, GLIM_STR("://"));
    bool ok = at == SIZE_MAX;
    for (size_t i = 0; !ok && i < GLIM_COUNT(schemes); i++)
        ok = glim_str_ieq(glim_str_sub(s, 0, at), glim_str_of(schemes[i]));
    for (size_t i = 0; ok && i < s.n; i++)
        ok = s.p[i] >= 0x21 && s.p[i] <= 0x7e;
    if (ok) return GLIM_OK;
    /* It may hold a password: it is not repeated. */
    return glim_fail(e, GLIM_E_INPUT,
                     "proxy: no address of a proxy: [http|https|socks4|socks4a|socks5|socks5h://]"
                     "HOST:PORT is expected");
}

static glim_err set_provider(glim_client *c, const char *name, glim_error *e)
{
    if (!name) name = providers[0]->name;
    for (size_t i = 0; i < GLIM_COUNT(providers); i++)
        if (strcmp(providers[i]->name, name) == 0) c->p = providers[i];
    if (c->p) return GLIM_OK;
    return glim_fail(e, GLIM_E_INPUT, "provider: %s is none of %s", GLIM_QUOTE(glim_str_of(name)),
                     glim_client_providers());
}

/* ---- the address ------------------------------------------------------------------------------------ */

static glim_err set_address(glim_client *c, const char *given, glim_error *e)
{
    const char *what = "base_url", *text = given;
    glim_buf b;
    if (!text) {
        text = from_env(c->p->env_url);
        what = text ? c->p->env_url[0] : what;
    }
    if (!text) text = c->p->base_url;
    glim_buf_init(&b, 8192);
    if (c->p->address)
        c->p->address(text, &b);
    else
        glim_buf_adds(&b, text);
    glim_str s = b.p ? glim_str_trim(glim_buf_view(&b), " \t\r\n") : GLIM_STR("");
    while (s.n && s.p[s.n - 1] == '/')
        s.n--;
    glim_err rc = b.err ? glim_fail(e, b.err, "%s: too long an address", what) : GLIM_OK;
    if (!rc) {
        c->base_url = (char *)(uintptr_t)glim_str_keep(s).p;
        if (!c->base_url) rc = glim_fail(e, GLIM_E_NOMEM, "a client");
    }
    glim_buf_deinit(&b);
    if (!rc) rc = glim_url_read(what, glim_str_of(c->base_url), &c->base, e);
    if (!rc && c->base.path.n &&
        (c->base.path.p[0] != '/' || memchr(c->base.path.p, '?', c->base.path.n)))
        rc = glim_fail(e, GLIM_E_INPUT, "%s: %s: paths are put behind it, so it ends with one",
                       what, GLIM_QUOTE(glim_str_of(c->base_url)));
    return rc;
}

/* ---- the key ------------------------------------------------------------------------------------------ */

static glim_err check_key(glim_str s, glim_error *e)
{
    if (s.n == 0) return glim_fail(e, GLIM_E_INPUT, "the API key is empty");
    if (s.n > KEY_MAX)
        return glim_fail(e, GLIM_E_INPUT, "the API key has more than %d characters", KEY_MAX);
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < 0x21 || s.p[i] > 0x7e)
            return glim_fail_off(e, GLIM_E_INPUT, i,
                                 "the API key holds a blank or a byte that is no visible ASCII "
                                 "character; no header can carry it");
    return GLIM_OK;
}

/* Takes what is in text, which is checked here. */
static glim_err take_key(glim_client *c, glim_str text, glim_error *e)
{
    glim_err rc = check_key(text, e);
    if (rc) return rc;
    c->key = (char *)(uintptr_t)glim_str_keep(text).p;
    return c->key ? GLIM_OK : glim_fail(e, GLIM_E_NOMEM, "the API key");
}

/* Opens a file that nobody else may read; a key that others can read is none any more. */
static glim_err open_key_file(const char *path, int *fd, glim_error *e)
{
    struct stat st;
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0 || fstat(*fd, &st) != 0)
        return glim_fail(e, GLIM_E_IO, "key_file: %s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode)) return glim_fail(e, GLIM_E_IO, "key_file: %s: not a file", path);
    if (st.st_mode & (S_IRWXG | S_IRWXO))
        return glim_fail(e, GLIM_E_IO,
                         "key_file: %s: other users may read or change it; chmod 600 cures that",
                         path);
    if (st.st_uid != geteuid() && st.st_uid != 0)
        return glim_fail(e, GLIM_E_IO, "key_file: %s: belongs to another user", path);
    return GLIM_OK;
}

static glim_err read_key_file(glim_client *c, const char *path, glim_error *e)
{
    int fd = -1;
    size_t n = 0;
    char *text = glim_alloc(KEY_FILE_MAX);
    if (!text) return glim_fail(e, GLIM_E_NOMEM, "key_file");
    glim_err rc = open_key_file(path, &fd, e);
    while (!rc && n < KEY_FILE_MAX) {
        ssize_t k = read(fd, text + n, KEY_FILE_MAX - n);
        if (k < 0 && errno == EINTR) continue;
        if (k < 0) rc = glim_fail(e, GLIM_E_IO, "key_file: %s: %s", path, strerror(errno));
        if (k <= 0) break;
        n += (size_t)k;
    }
    if (fd >= 0) close(fd);
    if (!rc) {
        const char *end = n ? memchr(text, '\n', n) : NULL;
        glim_str line = {text, end ? (size_t)(end - text) : n};
        if (glim_str_starts(line, GLIM_STR("\xef\xbb\xbf"))) line = glim_str_sub(line, 3, line.n);
        rc = take_key(c, glim_str_trim(line, " \t\r"), e);
        if (rc) glim_error_prefix(e, "key_file: %s: its first line", path);
    }
    glim_wipe(text, n);
    glim_free(text);
    return rc;
}

static bool key_needed(const glim_client *c)
{
    if (c->p->key == GLIM_KEY_AT_HOME) return strcmp(c->base_url, c->p->base_url) == 0;
    return c->p->key == GLIM_KEY_ALWAYS;
}

static glim_err no_key(const glim_client *c, glim_error *e)
{
    char names[256] = "";
    size_t n = 0;
    for (const char *const *v = c->p->env_key; *v; v++) {
        size_t k = strlen(*v);
        if (n + k + 5 > sizeof names) break;
        if (n) {
            memcpy(names + n, " or ", 4);
            n += 4;
        }
        memcpy(names + n, *v, k + 1);
        n += k;
    }
    return glim_fail(e, GLIM_E_NOTFOUND, "%s needs an API key: set %s, or give api_key or key_file",
                     c->p->name, names);
}

static glim_err set_key(glim_client *c, const glim_client_opts *o, glim_error *e)
{
    const char *env = o->api_key || o->key_file ? NULL : from_env(c->p->env_key);
    glim_err rc = GLIM_OK;
    if (o->api_key)
        rc = take_key(c, glim_str_of(o->api_key), e);
    else if (o->key_file)
        rc = read_key_file(c, o->key_file, e);
    else if (env)
        rc = take_key(c, glim_str_of(env), e);
    else if (key_needed(c))
        rc = no_key(c, e);
    if (rc) return rc;
    if (o->jwt && !c->p->jwt)
        return glim_fail(e, GLIM_E_UNSUPPORTED, "jwt: %s takes no signed tokens", c->p->name);
    if (o->jwt && !(c->key && glim_jwt_key(glim_str_of(c->key))))
        return glim_fail(e, GLIM_E_INPUT, "jwt: signing needs a key of the form id.secret");
    c->jwt = o->jwt;
    if (!c->key || c->jwt) return GLIM_OK;
    size_t n = strlen(c->key) + 1;
    c->bearer = glim_alloc(n + 7);
    if (!c->bearer) return glim_fail(e, GLIM_E_NOMEM, "the API key");
    memcpy(c->bearer, "Bearer ", 7);
    memcpy(c->bearer + 7, c->key, n);
    if (!c->base.tls && !glim_url_is_loopback(&c->base))
        GLIM_WARN("client", "plain", "host=%.*s the API key goes there unencrypted",
                  (int)c->base.host.n, c->base.host.p);
    return GLIM_OK;
}

/* ---- life --------------------------------------------------------------------------------------------- */

static glim_err set_up(glim_client *c, const glim_client_opts *o, glim_error *e)
{
    glim_err rc = check_opts(o, e);
    if (!rc) rc = set_provider(c, o->provider, e);
    if (!rc && o->proxy) rc = check_proxy(o->proxy, e);
    if (!rc) rc = set_address(c, o->base_url, e);
    if (!rc && o->ca_file && access(o->ca_file, R_OK) != 0)
        rc = glim_fail(e, GLIM_E_IO, "ca_file: %s: %s", o->ca_file, strerror(errno));
    if (!rc) rc = set_key(c, o, e);
    if (!rc) rc = keep(o->model, &c->model, e);
    if (!rc) rc = keep(o->proxy, &c->proxy, e);
    if (!rc) rc = keep(o->ca_file, &c->ca_file, e);
    if (rc) return rc;
    /* The token's room is taken once, so that no copy of it stays behind when it grows. */
    if (c->jwt) {
        glim_err room = glim_buf_addf(&c->token, "%*s", GLIM_JWT_MAX - 1, "");
        glim_buf_clear(&c->token);
        if (room) return glim_fail(e, room, "a client");
    }
    c->timeout_s = o->timeout_s;
    c->n_retry = o->n_retry;
    c->retry_wait_max_ms = o->retry_wait_max_ms;
    c->reply_max = o->reply_max;
    c->on_retry = o->on_retry;
    c->user = o->user;
    c->transport.proxy = c->proxy;
    c->transport.ca_file = c->ca_file;
    c->transport.connect_timeout_s = o->connect_timeout_s;
    glim_rng_seed(&c->rng, glim_entropy());
    return GLIM_OK;
}

glim_err glim_client_new(const glim_client_opts *opts, glim_client **out, glim_error *e)
{
    glim_client_opts o;
    *out = NULL;
    glim_client_opts_init(&o);
    if (opts) memcpy(&o, opts, GLIM_MIN(opts->size, sizeof o));
    glim_client *c = glim_new0(glim_client);
    if (!c) return glim_fail(e, GLIM_E_NOMEM, "a client");
    (void)pthread_mutex_init(&c->lock, NULL);
    glim_transport_init(&c->transport);
    glim_buf_init(&c->token, GLIM_JWT_MAX);
    glim_err rc = set_up(c, &o, e);
    if (rc) {
        glim_client_free(c);
        return rc;
    }
    *out = c;
    return GLIM_OK;
}

void glim_client_free(glim_client *c)
{
    if (!c) return;
    glim_transport_deinit(&c->transport);
    (void)pthread_mutex_destroy(&c->lock);
    if (c->token.p) glim_wipe(c->token.p, c->token.cap);
    glim_buf_deinit(&c->token);
    wipe_free(c->key);
    wipe_free(c->bearer);
    wipe_free(c->proxy); /* it may hold a password */
    glim_free(c->model);
    glim_free(c->ca_file);
    glim_free(c->base_url);
    glim_free(c);
}
