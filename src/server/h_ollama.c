/* SPDX-License-Identifier: MIT
 * h_ollama.c - what Ollama's clients ask beside generating: the models, one of them, the version, a pull.
 * Thread: show and pull a worker (they read a body), the rest I/O. */
#include "server/server_priv.h"

#include <time.h>

void glim_h_ollama_tags(glim_exchange *x)
{
    glim_api_model *m;
    size_t n;
    if (glim_exchange_list(x, &m, &n)) (void)glim_ollama_tags_encode(m, n, &x->out);
    glim_exchange_send(x);
}

/* Models that are in memory, each once: aliases have the facts of the model before them. */
void glim_h_ollama_ps(glim_exchange *x)
{
    glim_api_model *m;
    size_t n, k = 0;
    if (glim_exchange_list(x, &m, &n)) {
        for (size_t i = 0; i < n; i++)
            if (m[i].loaded && (k == 0 || !glim_str_eq(m[i].facts->path, m[k - 1].facts->path)))
                m[k++] = m[i];
        (void)glim_ollama_ps_encode(m, k, (int64_t)time(NULL), &x->out);
    }
    glim_exchange_send(x);
}

void glim_h_ollama_version(glim_exchange *x)
{
    (void)glim_buf_adds(&x->out, "{\"version\":\"" GLIM_OLLAMA_VERSION "\"}");
    glim_exchange_send(x);
}

/* The model that the body names, under that name. */
static bool named_model(glim_exchange *x, bool *verbose, bool *stream, glim_api_model *out)
{
    glim_str name;
    if (glim_ollama_name_decode(x->arena, x->body, &name, verbose, stream, &x->problem)) {
        x->has_problem = true;
        return false;
    }
    return glim_exchange_entry(x, name, out);
}

void glim_h_ollama_show(glim_exchange *x)
{
    bool verbose = false;
    glim_api_model m;
    if (named_model(x, &verbose, NULL, &m)) (void)glim_ollama_show_encode(&m, verbose, &x->out);
    glim_exchange_answer(x);
}

void glim_h_ollama_pull(glim_exchange *x)
{
    bool verbose = false, stream = true;
    glim_api_model m;
    if (named_model(x, &verbose, &stream, &m)) {
        (void)glim_ollama_pull_encode(stream, &m, &x->out);
        if (stream) x->type = "application/x-ndjson";
    } else if (x->problem.kind == GLIM_PROBLEM_MODEL) {
        glim_exchange_fail(x, GLIM_PROBLEM_MODEL, "model",
                           "%s; this server downloads nothing: give it a model file with -m",
                           x->problem.msg);
    }
    glim_exchange_answer(x);
}

void glim_h_ollama_fixed(glim_exchange *x)
{
    glim_exchange_fail(
        x, GLIM_PROBLEM_UNSUPPORTED, NULL,
        "the models of this server are files that it was started with (-m): they are "
        "not copied, created, deleted or pushed here");
    glim_exchange_send(x);
}
