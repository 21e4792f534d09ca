/* SPDX-License-Identifier: MIT
 * infer.c - one question, three places that can answer it, chosen by configuration and not by code: the Zhipu platform, Ollama,
 * or a model on this machine.
 *
 *     infer [--think] [--stream] [--max-tokens N] [--temperature F] PROMPT...
 *
 * Several prompts are asked one after the other (batch_infer). Who answers:
 *     INFER_BACKEND=cloud|ollama|local      says it outright; without it
 *     GLM_FLASH_ENABLED=true USE_NPU=false  the cloud, else the model here
 * The cloud's key is GLM_FLASH_API_KEY, ZHIPUAI_API_KEY or ZAI_API_KEY, its address ZHIPUAI_BASE_URL; Ollama's is OLLAMA_HOST;
 * GLM_MODEL is the model's file for local, its name elsewhere.
 *
 *     cc infer.c $(pkg-config --cflags --libs glim glim-client) -o infer */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <glim/client.h>
#include <glim/engine.h>

/* ---- the one interface --------------------------------------------------------------------------- */

typedef struct infer_opts {
    int64_t max_tokens;
    float temperature;
    bool thinking;
    bool stream; /* print the pieces as they come */
} infer_opts;

/* Somewhere that answers. */
typedef struct backend {
    const char *name;
    glim_err (*open)(struct backend *b, glim_error *e);
    glim_err (*chat)(struct backend *b, const glim_chat *chat, const glim_gen_opts *gen,
                     glim_event_fn fn, void *user, glim_error *e);
    void (*close)(struct backend *b);
    glim_client *client; /* cloud, ollama */
    glim_model *model;   /* local */
    glim_session *session;
} backend;

typedef struct answer {
    char *text; /* NUL-terminated; free() ends it */
    size_t n;
    bool stream, failed;
} answer;

static bool on_event(void *user, const glim_event *ev)
{
    answer *a = user;
    if (ev->kind == GLIM_EV_REASONING && a->stream) {
        fwrite(ev->text.p, 1, ev->text.n, stderr);
        return true;
    }
    if (ev->kind != GLIM_EV_CONTENT || ev->text.n == 0) return true;
    if (a->stream) {
        fwrite(ev->text.p, 1, ev->text.n, stdout);
        fflush(stdout);
    }
    char *p = realloc(a->text, a->n + ev->text.n + 1);
    if (!p) {
        a->failed = true;
        return false; /* cancels */
    }
    memcpy(p + a->n, ev->text.p, ev->text.n);
    a->text = p;
    a->n += ev->text.n;
    p[a->n] = 0;
    return true;
}

/* The answer to a prompt; the caller free()s *out. */
static glim_err infer(backend *b, const char *prompt, const infer_opts *o, char **out,
                      glim_error *e)
{
    glim_message message = {.role = GLIM_ROLE_USER, .content = {prompt, strlen(prompt)}};
    glim_chat chat = {.messages = &message,
                      .n_message = 1,
                      .think = o->thinking ? GLIM_ON : GLIM_OFF,
                      .keep_old = GLIM_UNSET};
    glim_gen_opts gen;
    answer a = {.stream = o->stream, .text = calloc(1, 1)};
    glim_gen_opts_init(&gen);
    gen.n_max = o->max_tokens;
    gen.temperature = o->temperature;
    glim_err rc = a.text ? b->chat(b, &chat, &gen, on_event, &a, e) : GLIM_E_NOMEM;
    if (!rc && a.failed) rc = GLIM_E_NOMEM;
    if (!a.text || a.failed) snprintf(e->msg, sizeof e->msg, "no memory for the answer");
    if (rc) {
        free(a.text);
        return rc;
    }
    if (o->stream) putchar('\n');
    *out = a.text;
    return GLIM_OK;
}

/* Every prompt in turn, results in their order. On an error those that were answered stay; *n_done says how many. */
static glim_err batch_infer(backend *b, char **prompts, size_t n, const infer_opts *o,
                            char **results, size_t *n_done, glim_error *e)
{
    glim_err rc = GLIM_OK;
    for (*n_done = 0; !rc && *n_done < n; *n_done += !rc)
        rc = infer(b, prompts[*n_done], o, &results[*n_done], e);
    return rc;
}

/* ---- elsewhere: the platform, and Ollama ---------------------------------------------------------- */

static glim_err open_client(backend *b, const char *provider, glim_error *e)
{
    glim_client_opts o;
    glim_client_opts_init(&o);
    o.provider = provider;
    o.model = getenv("GLM_MODEL"); /* not set: glm-4.7-flash */
    return glim_client_new(&o, &b->client, e);
}

static glim_err open_cloud(backend *b, glim_error *e)
{
    return open_client(b, "zhipu", e);
}

static glim_err open_ollama(backend *b, glim_error *e)
{
    return open_client(b, "ollama", e);
}

static glim_err chat_client(backend *b, const glim_chat *chat, const glim_gen_opts *gen,
                            glim_event_fn fn, void *user, glim_error *e)
{
    glim_client_ask ask;
    glim_client_ask_init(&ask);
    ask.chat = *chat;
    ask.gen = *gen;
    return glim_client_chat(b->client, &ask, fn, user, NULL, e);
}

static void close_client(backend *b)
{
    glim_client_free(b->client);
}

/* ---- here ------------------------------------------------------------------------------------------ */

static glim_err open_local(backend *b, glim_error *e)
{
    const char *path = getenv("GLM_MODEL");
    glim_guard_maps();
    glim_err rc =
        glim_model_open(path && path[0] ? path : "models/glim-demo.gguf", NULL, &b->model, e);
    return rc ? rc : glim_session_new(b->model, &b->session, e);
}

static glim_err chat_local(backend *b, const glim_chat *chat, const glim_gen_opts *gen,
                           glim_event_fn fn, void *user, glim_error *e)
{
    return glim_generate(b->session, chat, gen, fn, user, e);
}

static void close_local(backend *b)
{
    glim_session_free(b->session);
    glim_model_close(b->model);
}

/* ---- who answers ------------------------------------------------------------------------------------ */

static backend backends[] = {
    {.name = "cloud", .open = open_cloud, .chat = chat_client, .close = close_client},
    {.name = "ollama", .open = open_ollama, .chat = chat_client, .close = close_client},
    {.name = "local", .open = open_local, .chat = chat_local, .close = close_local},
};

/* 1 or 0; -1: a word that is neither. */
static int read_bool(const char *name, int otherwise)
{
    static const char *const words[] = {"0", "false", "off", "no", "1", "true", "on", "yes"};
    const char *text = getenv(name);
    char lower[8] = "";
    if (!text || !text[0]) return otherwise;
    for (size_t i = 0; text[i] && i + 1 < sizeof lower; i++)
        lower[i] = (char)tolower((unsigned char)text[i]);
    for (int i = 0; i < 8; i++)
        if (strlen(text) < sizeof lower && strcmp(lower, words[i]) == 0) return i >= 4;
    fprintf(stderr, "infer: %s is neither true nor false\n", name);
    return -1;
}

static backend *choose(void)
{
    const char *name = getenv("INFER_BACKEND");
    if (!name || !name[0]) {
        int enabled = read_bool("GLM_FLASH_ENABLED", 0), npu = read_bool("USE_NPU", 1);
        if (enabled < 0 || npu < 0) return NULL;
        name = enabled && !npu ? "cloud" : "local";
    }
    for (size_t i = 0; i < sizeof backends / sizeof *backends; i++)
        if (strcmp(backends[i].name, name) == 0) return &backends[i];
    fprintf(stderr, "infer: INFER_BACKEND is none of cloud, ollama and local\n");
    return NULL;
}

static int usage(void)
{
    fprintf(stderr, "infer [--think] [--stream] [--max-tokens N] [--temperature F] PROMPT...\n");
    return 2;
}

/* Returns the index of the first prompt; 0: a wrong line. */
static int read_options(int argc, char **argv, infer_opts *o)
{
    int i = 1;
    for (; i < argc && strncmp(argv[i], "--", 2) == 0; i++) {
        char *end = NULL;
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--think") == 0) {
            o->thinking = true;
        } else if (strcmp(argv[i], "--stream") == 0) {
            o->stream = true;
        } else if (strcmp(argv[i], "--max-tokens") == 0) {
            o->max_tokens = strtoll(value, &end, 10);
            if (end == value || *end || o->max_tokens < 1) return 0;
            i++;
        } else if (strcmp(argv[i], "--temperature") == 0) {
            o->temperature = strtof(value, &end);
            if (end == value || *end) return 0;
            i++;
        } else {
            return 0;
        }
    }
    return i < argc ? i : 0;
}

int main(int argc, char **argv)
{
    infer_opts o = {.max_tokens = 2048, .temperature = 0.7f};
    glim_error e = {0};
    int first = read_options(argc, argv, &o);
    if (first == 0) return usage();
    backend *b = choose();
    if (!b) return 2;
    size_t n = (size_t)(argc - first), n_done = 0;
    char **results = calloc(n, sizeof *results);
    glim_err rc = results ? b->open(b, &e) : GLIM_E_NOMEM;
    if (!rc) rc = batch_infer(b, argv + first, n, &o, results, &n_done, &e);
    for (size_t i = 0; i < n_done; i++) {
        if (!o.stream) puts(results[i]);
        free(results[i]);
    }
    free(results);
    b->close(b);
    if (rc) fprintf(stderr, "infer (%s): %s\n", b->name, e.msg[0] ? e.msg : glim_strerror(rc));
    return rc ? 1 : 0;
}
