/* SPDX-License-Identifier: MIT
 * hub.c - the models of a server: which one a name means, which are in memory, who waits for one.
 * Owns:   every model's path, name, state and engine; the rules of making room.
 * Layout: a host is away, coming, here or going. Who holds it is counted. A model that somebody waits for comes
 *         as soon as there is room; room is made by the one that was used longest ago. If all are in use that
 *         one is closed to newcomers, who wait in it, until its last user has left: so two models that are
 *         asked for all the time take turns, and nobody waits forever.
 * Thread: lock guards the hosts; models are opened and closed on the hub's thread without it.
 * Fails:  a model that cannot be loaded fails those who wait for it, and is tried again for the next.
 * See:    tests/unit/server_aux/test_hub.c */
#include "server/hub.h"

#include "server/facts.h"

#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ROOM_WAIT_NS 60000000000u /* how long somebody waits for others to leave */
#define NAMES_BYTES 280           /* of a list of names in a message */

typedef enum state { AWAY, COMING, HERE, GOING } state;

struct glim_host {
    const char *path, *real; /* real: without links and dots, to know a model by */
    glim_str name;
    glim_model_kind kind;
    bool found, hidden; /* hidden: not served after all */
    state state;
    bool closed; /* newcomers wait: it makes room when its users have left */
    bool let_go; /* goes when nobody holds it */
    int64_t n_user;
    uint64_t t_used_ns, t_wanted_ns;
    uint64_t bytes; /* that it takes; before it was ever here: its weights */
    glim_hub_wait *first, **last;

    glim_model *model; /* while it is here */
    glim_sched *sched;
    glim_encoder *encoder;

    glim_api_model api;
    glim_model_facts facts;
    bool described; /* by the model itself, not only by a look at its head */
};

typedef struct alias {
    glim_str name;
    glim_host *host; /* NULL: see aliased() */
} alias;

struct glim_hub {
    glim_hub_opts o;
    glim_host *hosts;
    size_t n_host;
    alias *aliases;
    glim_arena *arena; /* of names and of what models say of themselves */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool end;
};

/* ---- names --------------------------------------------------------------------------------------- */

/* "models/glim-demo.gguf" is served as "glim-demo", "/srv/GLM/" as "GLM". */
static glim_str name_of_path(const char *path)
{
    glim_str s = glim_str_of(path);
    while (s.n > 1 && s.p[s.n - 1] == '/')
        s.n--;
    for (size_t i = s.n; i-- > 0;)
        if (s.p[i] == '/' && i + 1 < s.n) {
            s = glim_str_sub(s, i + 1, s.n);
            break;
        }
    if (glim_str_ends(s, GLIM_STR(".gguf"))) s.n -= 5;
    return s;
}

/* api.md's rule: these mean the first chat model, in any case of letters. */
static const char *const common_names[] = {"default",
                                           "glm-4.7-flash",
                                           "zai-org/glm-4.7-flash",
                                           "zhipuai/glm-4.7-flash",
                                           "glm-4.7-flash:latest",
                                           "glm-4.7-flash:8b",
                                           "glm-4.7-flash:16b"};

static bool is_common(glim_str name)
{
    for (size_t i = 0; i < GLIM_COUNT(common_names); i++)
        if (glim_str_ieq(name, glim_str_of(common_names[i]))) return true;
    return false;
}

/* The name, the file's own name, or what stands behind the slash of "org/name". */
static bool is_called(const glim_host *m, glim_str name)
{
    if (glim_str_ieq(name, m->name) || (!m->found && glim_str_ieq(name, name_of_path(m->path))))
        return true;
    size_t slash = glim_str_find(m->name, GLIM_STR("/"));
    return slash != SIZE_MAX && glim_str_ieq(name, glim_str_sub(m->name, slash + 1, m->name.n));
}

static glim_host *first_of(const glim_hub *h, glim_model_kind kind)
{
    for (size_t i = 0; i < h->n_host; i++)
        if (!h->hosts[i].hidden && h->hosts[i].kind == kind) return &h->hosts[i];
    return NULL;
}

static glim_host *called(const glim_hub *h, glim_str name, bool found)
{
    for (size_t i = 0; i < h->n_host; i++) {
        glim_host *m = &h->hosts[i];
        if (!m->hidden && m->found == found && is_called(m, name)) return m;
    }
    return NULL;
}

/* An alias that names no model is the first chat model's, or that of whatever is first where nothing chats. */
static glim_host *aliased(const glim_hub *h, size_t i)
{
    glim_host *m = h->aliases[i].host;
    if (!m) m = first_of(h, GLIM_KIND_CHAT);
    return m ? m : &h->hosts[0];
}

/* What the operator named goes before the names that everybody knows, those before what was found. */
static glim_host *find(const glim_hub *h, glim_str name, glim_model_kind kind)
{
    /* Ollama's clients add a tag to names without one. */
    glim_str bare = name;
    if (name.n > 7 && glim_str_ieq(glim_str_sub(name, name.n - 7, name.n), GLIM_STR(":latest")))
        bare.n -= 7;
    if (name.n == 0) return first_of(h, kind);
    glim_host *m = called(h, bare, false);
    for (size_t i = 0; !m && i < h->o.n_alias; i++)
        if (glim_str_ieq(bare, h->aliases[i].name) || glim_str_ieq(name, h->aliases[i].name))
            m = aliased(h, i);
    if (!m && glim_str_ieq(name, GLIM_STR("default"))) m = first_of(h, kind);
    if (!m && is_common(name)) m = first_of(h, GLIM_KIND_CHAT);
    return m ? m : called(h, bare, true);
}

/* "a, b, c, ..." of a kind, or of all (UNKNOWN). */
static const char *names_of(const glim_hub *h, glim_model_kind kind, char out[NAMES_BYTES])
{
    size_t n = 0;
    snprintf(out, NAMES_BYTES, "none");
    for (size_t i = 0; i < h->n_host; i++) {
        const glim_host *m = &h->hosts[i];
        if (m->hidden || (kind && m->kind != kind)) continue;
        char one[64];
        size_t need = strlen(glim_quote(m->name, one, sizeof one)) + 2;
        if (n + need + sizeof ", ..." > NAMES_BYTES) {
            snprintf(out + n, NAMES_BYTES - n, ", ...");
            break;
        }
        n += (size_t)snprintf(out + n, NAMES_BYTES - n, "%s%s", n ? ", " : "", one);
    }
    return out;
}

static const char *what_it_is(glim_model_kind k)
{
    return k == GLIM_KIND_CHAT        ? "a chat model"
           : k == GLIM_KIND_EMBEDDING ? "an embedding model"
                                      : "a reranker";
}

static const char *what_it_lacks(glim_model_kind k)
{
    return k == GLIM_KIND_CHAT        ? "does not chat; chat models here"
           : k == GLIM_KIND_EMBEDDING ? "gives no embeddings; embedding models here"
                                      : "does not rerank; rerankers here";
}

static glim_err wrong_kind(const glim_hub *h, const glim_host *m, glim_model_kind kind,
                           glim_error *e)
{
    char list[NAMES_BYTES];
    return glim_fail(e, GLIM_E_UNSUPPORTED, "model: %s is %s and %s: %s", GLIM_QUOTE(m->name),
                     what_it_is(m->kind), what_it_lacks(kind), names_of(h, kind, list));
}

static glim_err not_here(const glim_hub *h, glim_str name, glim_error *e)
{
    char list[NAMES_BYTES];
    return glim_fail(e, GLIM_E_NOTFOUND, "model %s not found; there are: %s", GLIM_QUOTE(name),
                     names_of(h, GLIM_KIND_UNKNOWN, list));
}

/* ---- life ---------------------------------------------------------------------------------------- */

static glim_err check_names(const glim_hub *h, glim_error *e)
{
    for (size_t i = 0; i < h->n_host; i++)
        for (size_t k = 0; k < i; k++)
            if (!h->hosts[i].found && !h->hosts[k].found &&
                glim_str_ieq(h->hosts[i].name, h->hosts[k].name))
                return glim_fail(e, GLIM_E_INPUT,
                                 "two models are called %s (%s and %s); rename one of the files or "
                                 "folders",
                                 GLIM_QUOTE(h->hosts[i].name), h->hosts[k].path, h->hosts[i].path);
    return GLIM_OK;
}

/* NAME or NAME=MODEL. */
static glim_err read_alias(glim_hub *h, const char *text, alias *out, glim_error *e)
{
    glim_str s = glim_str_of(text);
    size_t eq = glim_str_find(s, GLIM_STR("="));
    *out = (alias){.name = glim_str_sub(s, 0, GLIM_MIN(eq, s.n))};
    if (eq == SIZE_MAX) return GLIM_OK;
    glim_str of = glim_str_sub(s, eq + 1, s.n);
    out->host = of.n ? called(h, of, false) : NULL;
    if (!out->host && of.n) out->host = called(h, of, true);
    if (!out->host)
        return glim_fail(e, GLIM_E_INPUT, "alias %s: there is no model %s here", GLIM_QUOTE(s),
                         GLIM_QUOTE(of));
    return GLIM_OK;
}

glim_err glim_hub_new(const glim_hub_opts *o, glim_hub **out, glim_error *e)
{
    glim_hub *h = glim_new0(glim_hub);
    if (!h) return glim_fail(e, GLIM_E_NOMEM, "models");
    h->o = *o;
    pthread_mutex_init(&h->lock, NULL);
    pthread_cond_init(&h->wake, NULL);
    h->arena = glim_arena_new((size_t)64 << 20);
    h->hosts = glim_alloc_array(GLIM_MAX(o->n_model, 1), sizeof *h->hosts);
    h->aliases = glim_alloc_array(GLIM_MAX(o->n_alias, 1), sizeof *h->aliases);
    glim_err rc =
        h->arena && h->hosts && h->aliases ? GLIM_OK : glim_fail(e, GLIM_E_NOMEM, "models");
    for (size_t i = 0; !rc && i < o->n_model; i++) {
        const glim_served_model *m = &o->models[i];
        glim_host *x = &h->hosts[h->n_host++];
        *x = (glim_host){.path = m->path, .real = m->path, .found = m->found};
        x->name = m->name ? glim_str_of(m->name) : name_of_path(m->path);
        x->last = &x->first;
        x->api = (glim_api_model){.id = x->name, .created_s = (int64_t)time(NULL)};
    }
    if (!rc) rc = check_names(h, e);
    for (size_t i = 0; !rc && i < o->n_alias; i++)
        rc = read_alias(h, o->aliases[i], &h->aliases[i], e);
    if (rc) {
        glim_hub_free(h);
        return rc;
    }
    *out = h;
    return GLIM_OK;
}

static void shut(glim_host *m)
{
    glim_sched_free(m->sched);
    glim_model_close(m->model);
    glim_encoder_close(m->encoder);
    m->sched = NULL;
    m->model = NULL;
    m->encoder = NULL;
}

void glim_hub_stop_jobs(glim_hub *h)
{
    for (size_t i = 0; h && i < h->n_host; i++)
        glim_sched_stop(h->hosts[i].sched);
}

void glim_hub_free(glim_hub *h)
{
    if (!h) return;
    for (size_t i = 0; i < h->n_host; i++)
        shut(&h->hosts[i]);
    pthread_cond_destroy(&h->wake);
    pthread_mutex_destroy(&h->lock);
    glim_arena_free(h->arena);
    glim_free(h->hosts);
    glim_free(h->aliases);
    glim_free(h);
}

/* ---- what a model is ----------------------------------------------------------------------------- */

static glim_str keep(glim_hub *h, glim_str s)
{
    glim_str k = glim_arena_str(h->arena, s);
    return k.p ? k : (glim_str){"", 0};
}

/* What the model says of itself stays when it goes. Under the lock. */
static void describe(glim_hub *h, glim_host *m, const glim_model_facts *f, const glim_api_model *a)
{
    if (m->described) return;
    m->described = true;
    m->facts = *f;
    m->facts.format = keep(h, f->format);
    m->facts.arch = keep(h, f->arch);
    m->facts.quant = keep(h, f->quant);
    m->facts.license = keep(h, f->license);
    m->facts.template_name = keep(h, f->template_name);
    m->facts.template_text = keep(h, f->template_text);
    m->api.n_ctx = a->n_ctx;
    m->api.n_ctx_train = a->n_ctx_train;
    m->api.n_param = a->n_param;
    m->api.size_bytes = a->size_bytes;
}

static void hide(glim_host *m, const char *why)
{
    m->hidden = true;
    GLIM_DEBUG("server", "left_out", "path=%s why=\"%s\"", m->path, why);
}

/* The same model under two ways to it, or another one of its name, is served once: as the one that came first. */
static bool is_double(const glim_hub *h, const glim_host *m)
{
    for (const glim_host *k = h->hosts; k < m; k++)
        if (!k->hidden && (strcmp(k->real, m->real) == 0 || glim_str_ieq(k->name, m->name)))
            return true;
    return false;
}

static glim_err look_at(glim_hub *h, glim_host *m, glim_error *e)
{
    static const glim_api_kind kinds[] = {[GLIM_KIND_UNKNOWN] = GLIM_API_CHAT,
                                          [GLIM_KIND_CHAT] = GLIM_API_CHAT,
                                          [GLIM_KIND_EMBEDDING] = GLIM_API_EMBEDDING,
                                          [GLIM_KIND_RERANK] = GLIM_API_RERANK};
    glim_model_look look;
    glim_error why = {0};
    char real[PATH_MAX];
    if (realpath(m->path, real)) m->real = keep(h, glim_str_of(real)).p;
    if (m->found && is_double(h, m)) {
        hide(m, "served already");
        return GLIM_OK;
    }
    glim_err rc = glim_model_look_at(m->path, &look, &why);
    if (!rc && look.kind == GLIM_KIND_UNKNOWN)
        rc = glim_fail(&why, GLIM_E_UNSUPPORTED, "%s: architecture %s is not supported", m->path,
                       GLIM_QUOTE(glim_str_of(look.arch)));
    if (rc && m->found && rc != GLIM_E_NOMEM) {
        hide(m, why.msg);
        return GLIM_OK;
    }
    if (rc) {
        if (e) *e = why;
        return rc;
    }
    m->kind = look.kind;
    m->bytes = look.bytes;
    m->api.kind = kinds[look.kind];
    m->api.size_bytes = look.bytes;
    m->api.facts = &m->facts;
    glim_facts_of_file(m->path, look.bytes, keep(h, glim_str_of(look.arch)), &m->facts);
    return GLIM_OK;
}

/* ---- loading ------------------------------------------------------------------------------------- */

/* Another caller's progress, and a look at whether all this is still wanted. */
typedef struct progress {
    glim_hub *h;
    bool (*fn)(void *user, uint64_t done, uint64_t total);
    void *user;
} progress;

static bool go_on(void *user, uint64_t done, uint64_t total)
{
    const progress *p = user;
    if (p->h->o.stopping && p->h->o.stopping(p->h->o.user)) return false;
    return !p->fn || p->fn(p->user, done, total);
}

static glim_err open_chat(glim_hub *h, glim_host *m, progress *p, glim_error *e)
{
    glim_model_opts mo = h->o.model;
    glim_sched_opts so;
    mo.n_session = h->o.n_slot;
    mo.progress = go_on;
    mo.progress_user = p;
    glim_err rc = glim_model_open(m->path, &mo, &m->model, e);
    if (rc == GLIM_E_CONTEXT && m != h->hosts && mo.n_ctx) {
        /* --ctx was chosen for the first model; another one may have been made for less. */
        mo.n_ctx = 0;
        rc = glim_model_open(m->path, &mo, &m->model, e);
    }
    if (rc) return rc;
    glim_sched_opts_init(&so);
    so.n_slot = h->o.n_slot;
    so.n_queue = h->o.n_queue;
    return glim_sched_new(m->model, &so, &m->sched, e);
}

static glim_err open_encoder(glim_hub *h, glim_host *m, progress *p, glim_error *e)
{
    glim_encoder_opts eo;
    glim_encoder_opts_init(&eo);
    eo.n_thread = h->o.model.n_thread;
    eo.cpu = h->o.model.cpu;
    eo.progress = go_on;
    eo.progress_user = p;
    return glim_encoder_open(m->path, &eo, &m->encoder, e);
}

/* No room can be made for it: alone it takes more than all may. The first model comes whatever it takes, as the
 * operator said. */
static glim_err too_large(const glim_hub *h, const glim_host *m, glim_error *e)
{
    if (m == h->hosts || h->o.memory_max == 0 || m->bytes <= h->o.memory_max) return GLIM_OK;
    return glim_fail(e, GLIM_E_LIMIT,
                     "model %s needs %llu MiB, --model-memory allows %llu: allow more, or use a "
                     "smaller one or, of a chat model, a shorter --ctx",
                     GLIM_QUOTE(m->name), (unsigned long long)((m->bytes + 0xFFFFF) >> 20),
                     (unsigned long long)(h->o.memory_max >> 20));
}

/* Without the lock; nobody else touches a host that is coming. */
static glim_err bring(glim_hub *h, glim_host *m, progress *p, glim_error *e)
{
    bool chat = m->kind == GLIM_KIND_CHAT;
    glim_model_facts f = m->facts;
    glim_api_model a = m->api;
    glim_err rc = chat ? open_chat(h, m, p, e) : open_encoder(h, m, p, e);
    if (rc) {
        shut(m);
        return rc;
    }
    uint64_t bytes;
    if (chat) {
        const glim_model_info *i = glim_model_get_info(m->model);
        bytes = i->plan.weights + i->plan.derived + i->plan.scratch + i->plan.kv;
        glim_facts_of_chat(i, &f, &a);
    } else {
        const glim_encoder_info *i = glim_encoder_get_info(m->encoder);
        bytes = i->weights + i->derived + i->scratch;
        glim_facts_of_encoder(i, &f, &a);
    }
    pthread_mutex_lock(&h->lock);
    m->bytes = bytes;
    describe(h, m, &f, &a);
    rc = too_large(h, m, e); /* what it takes beside its weights is known only now */
    pthread_mutex_unlock(&h->lock);
    if (rc) shut(m);
    return rc;
}

static void changed(const glim_hub *h, bool came)
{
    if (h->o.changed) h->o.changed(h->o.user, came);
}

static glim_hub_wait *take_waiting(glim_host *m)
{
    glim_hub_wait *w = m->first;
    m->first = NULL;
    m->last = &m->first;
    return w;
}

/* Those who waited get the host, or the error. Called with the lock, which is given back and taken again. */
static void tell(glim_hub *h, glim_host *m, const glim_error *e)
{
    glim_hub_wait *w = take_waiting(m), *next;
    if (!e)
        for (const glim_hub_wait *k = w; k; k = k->next)
            m->n_user++;
    m->t_used_ns = glim_now_ns();
    pthread_mutex_unlock(&h->lock);
    for (; w; w = next) {
        next = w->next; /* w is its owner's again once it was called */
        w->ready(w->user, e ? NULL : m, e);
    }
    pthread_mutex_lock(&h->lock);
}

glim_err glim_hub_open(glim_hub *h, glim_error *e)
{
    glim_err rc = GLIM_OK;
    progress p = {h, h->o.model.progress, h->o.model.progress_user};
    for (size_t i = 0; !rc && i < h->n_host; i++)
        rc = look_at(h, &h->hosts[i], e);
    glim_host *m = &h->hosts[0];
    if (rc) return rc;
    if ((rc = bring(h, m, &p, e))) return rc;
    pthread_mutex_lock(&h->lock);
    m->state = HERE;
    m->t_used_ns = glim_now_ns();
    changed(h, true);
    pthread_mutex_unlock(&h->lock);
    return GLIM_OK;
}

/* ---- room ---------------------------------------------------------------------------------------- */

static int64_t n_here(const glim_hub *h, uint64_t *taken)
{
    int64_t n = 0;
    *taken = 0;
    for (size_t i = 0; i < h->n_host; i++)
        if (h->hosts[i].state != AWAY) {
            *taken += h->hosts[i].bytes;
            n++;
        }
    return n;
}

/* Whether m may come beside those who are here. */
static bool has_room(const glim_hub *h, const glim_host *m)
{
    uint64_t taken;
    int64_t n = n_here(h, &taken);
    if (h->o.n_loaded_max && n >= h->o.n_loaded_max) return false;
    if (h->o.memory_max) return taken + m->bytes <= h->o.memory_max;
    uint64_t available = glim_mem_available();
    return available == 0 || m->bytes <= available;
}

/* What a model takes is known only when it is here: then somebody else may have to go. */
static bool is_over(const glim_hub *h)
{
    uint64_t taken;
    return h->o.memory_max && n_here(h, &taken) > 1 && taken > h->o.memory_max;
}

/* Who was used longest ago; of those that nobody holds, if there is one. NULL: nobody is here. */
static glim_host *oldest(const glim_hub *h)
{
    glim_host *best = NULL;
    for (size_t i = 0; i < h->n_host; i++) {
        glim_host *m = &h->hosts[i];
        if (m->state != HERE) continue;
        if (best && (m->n_user > 0) > (best->n_user > 0)) continue;
        if (!best || (m->n_user > 0) < (best->n_user > 0) || m->t_used_ns < best->t_used_ns)
            best = m;
    }
    return best;
}

/* With the lock, which is given back meanwhile. */
static void send_away(glim_hub *h, glim_host *m)
{
    m->state = GOING;
    pthread_mutex_unlock(&h->lock);
    GLIM_INFO("server", "unload", "model=%.*s", (int)m->name.n, m->name.p);
    shut(m);
    glim_alloc_trim(); /* else the C library keeps up to some tens of MiB of it */
    pthread_mutex_lock(&h->lock);
    m->state = AWAY;
    m->closed = m->let_go = false;
    changed(h, false);
    if (m->first) m->t_wanted_ns = glim_now_ns();
}

static void open_again(glim_hub *h)
{
    for (size_t i = 0; i < h->n_host; i++)
        if (h->hosts[i].closed) {
            h->hosts[i].closed = false;
            tell(h, &h->hosts[i], NULL);
        }
}

/* Nobody left in time. */
static void give_up(glim_hub *h, glim_host *m)
{
    glim_error e = {0};
    (void)!glim_fail(&e, GLIM_E_FULL,
                     "model %s waits for room: the models in memory are all in use",
                     GLIM_QUOTE(m->name));
    open_again(h);
    tell(h, m, &e);
}

/* The one that is waited for longest. */
static glim_host *wanted(const glim_hub *h)
{
    glim_host *best = NULL;
    for (size_t i = 0; i < h->n_host; i++) {
        glim_host *m = &h->hosts[i];
        if (m->state == AWAY && m->first && (!best || m->t_wanted_ns < best->t_wanted_ns)) best = m;
    }
    return best;
}

/* With the lock. */
static void fetch(glim_hub *h, glim_host *m)
{
    glim_error e = {0};
    progress p = {h, NULL, NULL};
    uint64_t t0 = glim_now_ns();
    m->state = COMING;
    pthread_mutex_unlock(&h->lock);
    glim_err rc = bring(h, m, &p, &e);
    if (rc)
        GLIM_ERROR("server", "load", "model=%.*s error=\"%s\"", (int)m->name.n, m->name.p, e.msg);
    else
        GLIM_INFO("server", "load", "model=%.*s kind=%s ms=%.1f", (int)m->name.n, m->name.p,
                  glim_model_kind_name(m->kind), (double)(glim_now_ns() - t0) / 1e6);
    pthread_mutex_lock(&h->lock);
    m->state = rc ? AWAY : HERE;
    m->closed = m->let_go = false;
    if (!rc) changed(h, true);
    tell(h, m, rc ? &e : NULL);
}

/* One thing to do, if there is one; else false. With the lock. */
static bool step(glim_hub *h)
{
    for (size_t i = 0; i < h->n_host; i++) {
        glim_host *m = &h->hosts[i];
        if (m->state == HERE && m->n_user == 0 && (m->closed || m->let_go)) {
            send_away(h, m);
            return true;
        }
    }
    glim_host *m = wanted(h), *old = oldest(h);
    if (old && old->n_user == 0 && is_over(h)) {
        send_away(h, old);
        return true;
    }
    if (!m) return false;
    glim_error e = {0};
    if (too_large(h, m, &e)) { /* nobody has to go for that */
        tell(h, m, &e);
        return true;
    }
    if (has_room(h, m) || !old) {
        fetch(h, m);
        return true;
    }
    if (old->n_user == 0) {
        send_away(h, old);
        return true;
    }
    old->closed = true;
    if (glim_now_ns() - m->t_wanted_ns < ROOM_WAIT_NS) return false;
    give_up(h, m);
    return true;
}

void glim_hub_work(glim_hub *h)
{
    pthread_mutex_lock(&h->lock);
    while (!h->end) {
        if (step(h)) continue;
        struct timespec t;
        clock_gettime(CLOCK_REALTIME, &t);
        t.tv_sec++; /* somebody may have waited long enough */
        if (wanted(h))
            pthread_cond_timedwait(&h->wake, &h->lock, &t);
        else
            pthread_cond_wait(&h->wake, &h->lock);
    }
    glim_error e = {0};
    (void)!glim_fail(&e, GLIM_E_STATE, "the server is going down; try again later");
    for (size_t i = 0; i < h->n_host; i++)
        tell(h, &h->hosts[i], &e);
    pthread_mutex_unlock(&h->lock);
}

void glim_hub_end(glim_hub *h)
{
    pthread_mutex_lock(&h->lock);
    h->end = true;
    pthread_cond_broadcast(&h->wake);
    pthread_mutex_unlock(&h->lock);
}

/* ---- asking -------------------------------------------------------------------------------------- */

static glim_err find_of_kind(const glim_hub *h, glim_str name, glim_model_kind kind,
                             glim_host **out, glim_error *e)
{
    *out = find(h, name, kind);
    if (*out && (*out)->kind == kind) return GLIM_OK;
    if (!*out && name.n && !glim_str_ieq(name, GLIM_STR("default"))) {
        if (!is_common(name)) return not_here(h, name, e);
        *out = first_of(h, GLIM_KIND_CHAT);
    }
    /* Nothing of the kind is here at all: the first model stands for what is. */
    return wrong_kind(h, *out ? *out : &h->hosts[0], kind, e);
}

glim_err glim_hub_take(glim_hub *h, glim_str name, glim_model_kind kind, glim_hub_wait *w,
                       glim_host **out, glim_error *e)
{
    glim_host *m = NULL;
    *out = NULL;
    pthread_mutex_lock(&h->lock);
    glim_err rc = h->end ? glim_fail(e, GLIM_E_STATE, "the server is going down; try again later")
                         : find_of_kind(h, name, kind, &m, e);
    if (!rc && m->state == HERE && !m->closed) {
        m->n_user++;
        m->t_used_ns = glim_now_ns();
        m->let_go = false; /* the latest word counts */
        *out = m;
    } else if (!rc) {
        if (!m->first && m->state == AWAY) m->t_wanted_ns = glim_now_ns();
        w->next = NULL;
        *m->last = w;
        m->last = &w->next;
        pthread_cond_broadcast(&h->wake);
    }
    pthread_mutex_unlock(&h->lock);
    return rc;
}

glim_host *glim_hub_hold_first(glim_hub *h, glim_model_kind kind)
{
    pthread_mutex_lock(&h->lock);
    glim_host *m = first_of(h, kind);
    if (m && m->state != HERE) m = NULL;
    if (m) m->n_user++;
    pthread_mutex_unlock(&h->lock);
    return m;
}

bool glim_hub_serves(glim_hub *h, glim_model_kind kind)
{
    pthread_mutex_lock(&h->lock);
    bool serves = first_of(h, kind) != NULL;
    pthread_mutex_unlock(&h->lock);
    return serves;
}

void glim_hub_release(glim_hub *h, glim_host *host)
{
    pthread_mutex_lock(&h->lock);
    host->n_user--;
    host->t_used_ns = glim_now_ns();
    if (host->n_user == 0) pthread_cond_broadcast(&h->wake);
    pthread_mutex_unlock(&h->lock);
}

void glim_hub_let_go(glim_hub *h, glim_host *host)
{
    pthread_mutex_lock(&h->lock);
    host->let_go = host->found;
    pthread_mutex_unlock(&h->lock);
}

/* ---- looking ------------------------------------------------------------------------------------- */

glim_model_kind glim_host_kind(const glim_host *host)
{
    return host->kind;
}

glim_str glim_host_name(const glim_host *host)
{
    return host->name;
}

const glim_model *glim_host_model(const glim_host *host)
{
    return host->model;
}

glim_sched *glim_host_sched(const glim_host *host)
{
    return host->sched;
}

glim_encoder *glim_host_encoder(const glim_host *host)
{
    return host->encoder;
}

/* With the lock. Facts are copied: they change when a model comes for the first time. */
static bool put_entry(const glim_host *m, glim_str id, glim_arena *a, glim_api_model *out)
{
    glim_model_facts *f = GLIM_ARENA_NEW0(a, glim_model_facts);
    if (!f) return false;
    *f = m->facts;
    *out = m->api;
    out->id = id;
    out->loaded = m->state == HERE;
    out->facts = f;
    return true;
}

glim_err glim_hub_list(glim_hub *h, glim_arena *a, glim_api_model **out, size_t *n, glim_error *e)
{
    glim_api_model *v = GLIM_ARENA_ARRAY(a, glim_api_model, h->n_host + h->o.n_alias);
    bool room = v != NULL;
    *out = v;
    *n = 0;
    pthread_mutex_lock(&h->lock);
    for (size_t i = 0; room && i < h->n_host; i++) {
        const glim_host *m = &h->hosts[i];
        if (!m->hidden) room = put_entry(m, m->name, a, &v[(*n)++]);
        for (size_t k = 0; room && k < h->o.n_alias; k++) {
            if (aliased(h, k) == m) room = put_entry(m, h->aliases[k].name, a, &v[(*n)++]);
        }
    }
    pthread_mutex_unlock(&h->lock);
    return room ? GLIM_OK : glim_fail(e, GLIM_E_NOMEM, "out of memory; try again later");
}

glim_err glim_hub_entry(glim_hub *h, glim_str name, glim_arena *a, glim_api_model *out,
                        glim_error *e)
{
    pthread_mutex_lock(&h->lock);
    const glim_host *m = find(h, name, GLIM_KIND_CHAT);
    if (!m && name.n == 0) m = &h->hosts[0];
    glim_err rc = m ? GLIM_OK : not_here(h, name, e);
    if (m && !put_entry(m, name.n ? name : m->name, a, out))
        rc = glim_fail(e, GLIM_E_NOMEM, "out of memory; try again later");
    pthread_mutex_unlock(&h->lock);
    return rc;
}

void glim_hub_get_stat(glim_hub *h, glim_sched_stat *out)
{
    glim_sched_stat st;
    *out = (glim_sched_stat){.healthy = true};
    pthread_mutex_lock(&h->lock);
    for (size_t i = 0; i < h->n_host; i++) {
        if (h->hosts[i].state != HERE || !h->hosts[i].sched) continue;
        glim_sched_get_stat(h->hosts[i].sched, &st);
        out->n_slot += st.n_slot;
        out->n_running += st.n_running;
        out->n_waiting += st.n_waiting;
        out->healthy = out->healthy && st.healthy;
    }
    pthread_mutex_unlock(&h->lock);
}

void glim_hub_get_count(glim_hub *h, glim_hub_count *out)
{
    *out = (glim_hub_count){0};
    pthread_mutex_lock(&h->lock);
    for (size_t i = 0; i < h->n_host; i++) {
        out->n_model += !h->hosts[i].hidden;
        out->n_loaded += h->hosts[i].state == HERE;
    }
    pthread_mutex_unlock(&h->lock);
}
