/* SPDX-License-Identifier: MIT
 * test_hub.c - which model a name means, who waits for one, who makes room.
 * The models are the small encoders of tests/golden under several names; the hub's thread is a real one. */
#include "server/hub.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define ERNIE GLIM_SOURCE_DIR "/tests/golden/encoders/ernie"
#define RERANKER GLIM_SOURCE_DIR "/tests/golden/encoders/xlm-roberta-reranker"
#define DEMO GLIM_SOURCE_DIR "/models/glim-demo.gguf"
#define NOTHING GLIM_SOURCE_DIR "/tests/golden/keyword/cases.jsonl"

/* A hub with its thread. */
typedef struct fixture {
    glim_hub *h;
    pthread_t thread;
    atomic_int n_came, n_went;
} fixture;

static void count(void *user, bool came)
{
    fixture *f = user;
    atomic_fetch_add(came ? &f->n_came : &f->n_went, 1);
}

static void *run(void *arg)
{
    glim_hub_work(((fixture *)arg)->h);
    return NULL;
}

static void start(fixture *f, const glim_served_model *m, size_t n, int64_t n_loaded_max,
                  uint64_t memory_max)
{
    static const char *const aliases[] = {"nick", "other=second", "Nick2=first"};
    glim_error e = {0};
    glim_hub_opts o = {.models = m,
                       .n_model = n,
                       .aliases = aliases,
                       .n_alias = n > 2 ? 3 : 1,
                       .n_slot = 1,
                       .n_queue = 4,
                       .n_loaded_max = n_loaded_max,
                       .memory_max = memory_max,
                       .changed = count,
                       .user = f};
    glim_model_opts_init(&o.model);
    o.model.n_thread = 1;
    o.model.n_ctx = 64;
    if (glim_hub_new(&o, &f->h, &e) || glim_hub_open(f->h, &e)) fail_msg("%s", e.msg);
    assert_int_equal(pthread_create(&f->thread, NULL, run, f), 0);
}

static void stop(fixture *f)
{
    glim_hub_end(f->h);
    pthread_join(f->thread, NULL);
    glim_hub_free(f->h);
}

/* Somebody who asks, and what he was told. */
typedef struct asker {
    glim_hub_wait w;
    glim_host *host;
    glim_error e;
    pthread_mutex_t lock;
    pthread_cond_t told;
    bool done;
} asker;

static void ready(void *user, glim_host *host, const glim_error *e)
{
    asker *a = user;
    pthread_mutex_lock(&a->lock);
    a->host = host;
    if (e) a->e = *e;
    a->done = true;
    pthread_cond_signal(&a->told);
    pthread_mutex_unlock(&a->lock);
}

static void ready_now(asker *a, glim_host *host)
{
    a->host = host;
    a->done = true;
}

/* True when the host was there, or refused, at once. */
static bool ask(fixture *f, asker *a, const char *name, glim_model_kind kind)
{
    memset(a, 0, sizeof *a);
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->told, NULL);
    a->w = (glim_hub_wait){.ready = ready, .user = a};
    /* The hub may call ready before this returns: then done is its affair. */
    glim_host *host;
    bool at_once = glim_hub_take(f->h, glim_str_of(name), kind, &a->w, &host, &a->e) || host;
    if (at_once) ready_now(a, host);
    return at_once;
}

static glim_host *wait_for(asker *a)
{
    pthread_mutex_lock(&a->lock);
    while (!a->done)
        pthread_cond_wait(&a->told, &a->lock);
    pthread_mutex_unlock(&a->lock);
    return a->host;
}

static glim_host *get(fixture *f, const char *name, glim_model_kind kind)
{
    asker a;
    (void)ask(f, &a, name, kind);
    glim_host *host = wait_for(&a);
    if (!host) fail_msg("%s: %s", name, a.e.msg);
    return host;
}

static void refused(fixture *f, const char *name, glim_model_kind kind, glim_err code,
                    const char *word)
{
    asker a;
    assert_true(ask(f, &a, name, kind));
    assert_null(a.host);
    assert_int_equal(a.e.code, code);
    if (!strstr(a.e.msg, word)) fail_msg("%s: %s lacks %s", name, a.e.msg, word);
}

/* ---- names ---------------------------------------------------------------------------------------- */

static const glim_served_model several[] = {
    {.path = DEMO, .name = "first"},
    {.path = ERNIE, .name = "second"},
    {.path = RERANKER},
    {.path = ERNIE, .name = "org/third", .found = true},    /* the second again: left out */
    {.path = NOTHING, .name = "broken", .found = true},     /* no model: left out */
    {.path = DEMO, .name = "GLM-4.7-Flash", .found = true}, /* the first again */
};

static void names(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        glim_model_kind kind;
        const char *is;
    } cases[] = {
        {"", GLIM_KIND_CHAT, "first"},
        {"first", GLIM_KIND_CHAT, "first"},
        {"FIRST", GLIM_KIND_CHAT, "first"},
        {"first:latest", GLIM_KIND_CHAT, "first"},
        {"glim-demo", GLIM_KIND_CHAT, "first"}, /* its file's own name */
        {"default", GLIM_KIND_CHAT, "first"},
        {"zai-org/GLM-4.7-Flash", GLIM_KIND_CHAT, "first"},
        {"glm-4.7-flash", GLIM_KIND_CHAT, "first"},
        {"glm-4.7-flash:8b", GLIM_KIND_CHAT, "first"},
        {"nick", GLIM_KIND_CHAT, "first"},
        {"nick2", GLIM_KIND_CHAT, "first"},
        {"nick:latest", GLIM_KIND_CHAT, "first"},
        {"", GLIM_KIND_EMBEDDING, "second"},
        {"default", GLIM_KIND_EMBEDDING, "second"},
        {"other", GLIM_KIND_EMBEDDING, "second"},
        {"ernie", GLIM_KIND_EMBEDDING, "second"},
        {"", GLIM_KIND_RERANK, "xlm-roberta-reranker"},
        {"XLM-RoBERTa-reranker", GLIM_KIND_RERANK, "xlm-roberta-reranker"},
    };
    fixture f = {0};
    start(&f, several, GLIM_COUNT(several), 0, 0);
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        glim_host *host = get(&f, cases[i].name, cases[i].kind);
        if (!glim_str_is(glim_host_name(host), cases[i].is))
            fail_msg("%s means %.*s", cases[i].name, GLIM_STR_ARG(glim_host_name(host)));
        assert_int_equal(glim_host_kind(host), cases[i].kind);
        glim_hub_release(f.h, host);
    }
    refused(&f, "nobody", GLIM_KIND_CHAT, GLIM_E_NOTFOUND,
            "there are: \"first\", \"second\", \"xlm");
    refused(&f, "third", GLIM_KIND_EMBEDDING, GLIM_E_NOTFOUND, "third");
    refused(&f, "broken", GLIM_KIND_CHAT, GLIM_E_NOTFOUND, "broken");
    refused(&f, "first", GLIM_KIND_EMBEDDING, GLIM_E_UNSUPPORTED,
            "is a chat model and gives no embeddings; embedding models here: \"second\"");
    refused(&f, "second", GLIM_KIND_CHAT, GLIM_E_UNSUPPORTED,
            "is an embedding model and does not chat");
    refused(&f, "second", GLIM_KIND_RERANK, GLIM_E_UNSUPPORTED, "rerankers here: \"xlm");
    refused(&f, "ernie", GLIM_KIND_CHAT, GLIM_E_UNSUPPORTED, "chat models here: \"first\"");
    stop(&f);
}

static void lists(void **state)
{
    (void)state;
    static const char *const want[] = {"first",  "nick",  "Nick2",
                                       "second", "other", "xlm-roberta-reranker"};
    fixture f = {0};
    glim_error e = {0};
    glim_api_model *m, one;
    size_t n;
    glim_arena *a = glim_arena_new((size_t)1 << 20);
    start(&f, several, GLIM_COUNT(several), 0, 0);
    assert_int_equal(glim_hub_list(f.h, a, &m, &n, &e), GLIM_OK);
    assert_int_equal(n, GLIM_COUNT(want));
    for (size_t i = 0; i < n; i++) {
        assert_true(glim_str_is(m[i].id, want[i]));
        assert_int_equal(m[i].loaded, i < 3);
        assert_true(m[i].size_bytes > 0);
        assert_int_equal(strlen(m[i].facts->digest), 64);
    }
    assert_int_equal(m[0].kind, GLIM_API_CHAT);
    assert_int_equal(m[3].kind, GLIM_API_EMBEDDING);
    assert_int_equal(m[5].kind, GLIM_API_RERANK);
    assert_int_equal(m[3].facts->n_embd, 0); /* not known before it was loaded */
    glim_hub_release(f.h, get(&f, "second", GLIM_KIND_EMBEDDING));
    assert_int_equal(glim_hub_entry(f.h, GLIM_STR("OTHER"), a, &one, &e), GLIM_OK);
    assert_true(glim_str_is(one.id, "OTHER") && one.loaded && one.facts->n_embd > 0);
    assert_int_equal(glim_hub_entry(f.h, GLIM_STR("x"), a, &one, &e), GLIM_E_NOTFOUND);
    stop(&f);
    glim_arena_free(a);
}

static void wrong_options(void **state)
{
    (void)state;
    static const glim_served_model twice[] = {{.path = ERNIE, .name = "a"},
                                              {.path = RERANKER, .name = "A"}};
    static const char *const alias[] = {"x=nobody"};
    glim_hub_opts o = {.models = twice, .n_model = 2, .n_slot = 1};
    glim_hub *h;
    glim_error e = {0};
    glim_model_opts_init(&o.model);
    assert_int_equal(glim_hub_new(&o, &h, &e), GLIM_E_INPUT);
    assert_non_null(strstr(e.msg, "two models are called"));
    o.n_model = 1;
    o.aliases = alias;
    o.n_alias = 1;
    assert_int_equal(glim_hub_new(&o, &h, &e), GLIM_E_INPUT);
    assert_non_null(strstr(e.msg, "nobody"));
}

static void given_but_no_model(void **state)
{
    (void)state;
    static const glim_served_model m[] = {{.path = ERNIE}, {.path = NOTHING}};
    glim_hub_opts o = {.models = m, .n_model = 2, .n_slot = 1};
    glim_hub *h;
    glim_error e = {0};
    glim_model_opts_init(&o.model);
    assert_int_equal(glim_hub_new(&o, &h, &e), GLIM_OK);
    assert_int_not_equal(glim_hub_open(h, &e),
                         GLIM_OK); /* it was asked for: no server without it */
    assert_non_null(strstr(e.msg, "cases.jsonl"));
    glim_hub_free(h);
}

/* ---- room ----------------------------------------------------------------------------------------- */

static const glim_served_model two[] = {{.path = ERNIE, .name = "first"},
                                        {.path = RERANKER, .name = "second"}};

static void takes_turns(void **state)
{
    (void)state;
    fixture f = {0};
    asker a, b, c;
    start(&f, two, 2, 1, 0);
    assert_true(glim_hub_serves(f.h, GLIM_KIND_RERANK)); /* though it is not here yet */
    assert_false(glim_hub_serves(f.h, GLIM_KIND_CHAT));
    assert_true(ask(&f, &a, "first", GLIM_KIND_EMBEDDING));
    assert_false(ask(&f, &b, "second", GLIM_KIND_RERANK));
    /* Whoever comes now waits behind the one who waits for room. */
    for (int i = 0; i < 500; i++) {
        if (!ask(&f, &c, "first", GLIM_KIND_EMBEDDING)) break;
        glim_hub_release(f.h, c.host);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    assert_false(c.done);
    assert_false(b.done);
    glim_hub_release(f.h, a.host);
    glim_host *second = wait_for(&b);
    assert_non_null(second);
    assert_non_null(glim_host_encoder(second));
    assert_false(c.done);
    glim_hub_release(f.h, second);
    glim_host *first = wait_for(&c);
    assert_non_null(first);
    glim_hub_release(f.h, first);
    assert_int_equal(atomic_load(&f.n_came), 3);
    assert_int_equal(atomic_load(&f.n_went), 2);
    glim_hub_count n;
    glim_hub_get_count(f.h, &n);
    assert_int_equal(n.n_model, 2);
    assert_int_equal(n.n_loaded, 1);
    stop(&f);
}

static void too_large(void **state)
{
    (void)state;
    fixture f = {0};
    asker a;
    /* The first one is loaded whatever it takes, as the operator said; the next has to fit. */
    start(&f, two, 2, 0, 100000);
    assert_false(ask(&f, &a, "second", GLIM_KIND_RERANK));
    assert_null(wait_for(&a));
    assert_int_equal(a.e.code, GLIM_E_LIMIT);
    assert_non_null(strstr(a.e.msg, "--model-memory"));
    assert_int_equal(atomic_load(&f.n_went), 0); /* nobody went for that */
    stop(&f);
}

/* Its weights would fit; what it takes beside them is known when it is here. Both times the answer is the same. */
static void too_large_when_here(void **state)
{
    (void)state;
    glim_model_look look;
    glim_error e;
    assert_int_equal(glim_model_look_at(RERANKER, &look, &e), GLIM_OK);
    fixture f = {0};
    asker a;
    start(&f, two, 2, 0, look.bytes + 1);
    for (int i = 0; i < 2; i++) {
        assert_false(ask(&f, &a, "second", GLIM_KIND_RERANK));
        assert_null(wait_for(&a));
        assert_int_equal(a.e.code, GLIM_E_LIMIT);
        assert_non_null(strstr(a.e.msg, "--model-memory"));
    }
    /* The first, which is larger still, had to make room, and comes again. */
    glim_hub_release(f.h, get(&f, "first", GLIM_KIND_EMBEDDING));
    assert_int_equal(atomic_load(&f.n_came), 2);
    assert_int_equal(atomic_load(&f.n_went), 1);
    stop(&f);
}

static void ends(void **state)
{
    (void)state;
    fixture f = {0};
    asker a, b;
    start(&f, two, 2, 1, 0);
    assert_true(ask(&f, &a, "first", GLIM_KIND_EMBEDDING));
    assert_false(ask(&f, &b, "second", GLIM_KIND_RERANK));
    glim_hub_end(f.h);
    assert_null(wait_for(&b));
    assert_int_equal(b.e.code, GLIM_E_STATE);
    refused(&f, "first", GLIM_KIND_EMBEDDING, GLIM_E_STATE, "going down");
    glim_hub_release(f.h, a.host);
    stop(&f);
}

static void let_go(void **state)
{
    (void)state;
    static const glim_served_model m[] = {{.path = ERNIE, .name = "given"},
                                          {.path = RERANKER, .name = "found", .found = true}};
    fixture f = {0};
    glim_hub_count n;
    start(&f, m, 2, 0, 0);
    glim_host *given = get(&f, "given", GLIM_KIND_EMBEDDING),
              *found = get(&f, "found", GLIM_KIND_RERANK);
    glim_hub_let_go(f.h, given);
    glim_hub_let_go(f.h, found);
    glim_hub_release(f.h, given);
    glim_hub_release(f.h, found);
    for (int i = 0; i < 2000 && !atomic_load(&f.n_went); i++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    glim_hub_get_count(f.h, &n);
    assert_int_equal(n.n_loaded, 1);
    glim_hub_release(f.h, get(&f, "found", GLIM_KIND_RERANK)); /* comes back */
    stop(&f);
    assert_int_equal(atomic_load(&f.n_came), 3);
    assert_int_equal(atomic_load(&f.n_went), 1);
}

/* Many askers of both, with room for one: everybody is served. */
typedef struct crowd {
    fixture *f;
    unsigned seed;
} crowd;

static void *ask_often(void *arg)
{
    crowd *c = arg;
    for (int i = 0; i < 40; i++) {
        bool second = (c->seed = c->seed * 1103515245u + 12345u) >> 16 & 1;
        glim_host *h =
            get(c->f, second ? "second" : "first", second ? GLIM_KIND_RERANK : GLIM_KIND_EMBEDDING);
        assert_true(glim_host_encoder(h) != NULL);
        glim_hub_release(c->f->h, h);
    }
    return NULL;
}

static void crowds(void **state)
{
    (void)state;
    fixture f = {0};
    pthread_t t[6];
    crowd c[6];
    start(&f, two, 2, 1, 0);
    for (unsigned i = 0; i < 6; i++) {
        c[i] = (crowd){&f, i + 1};
        assert_int_equal(pthread_create(&t[i], NULL, ask_often, &c[i]), 0);
    }
    for (int i = 0; i < 6; i++)
        pthread_join(t[i], NULL);
    stop(&f);
    assert_int_equal(atomic_load(&f.n_came), atomic_load(&f.n_went) + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(lists),
        cmocka_unit_test(wrong_options),
        cmocka_unit_test(given_but_no_model),
        cmocka_unit_test(takes_turns),
        cmocka_unit_test(too_large),
        cmocka_unit_test(too_large_when_here),
        cmocka_unit_test(ends),
        cmocka_unit_test(let_go),
        cmocka_unit_test(crowds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
