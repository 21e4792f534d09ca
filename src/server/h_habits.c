/* SPDX-License-Identifier: MIT
 * h_habits.c - paths that clients of llama-server, SGLang and the FastAPI server ask and that generate nothing; and
 * what a chat model cannot do, refused by name.
 * Thread: glim_h_embedding a worker (it looks into the body), the rest I/O. */
#include "server/server_priv.h"

void glim_h_no_encoder(glim_exchange *x)
{
    glim_exchange_fail(
        x, GLIM_PROBLEM_NO_ENCODER, "model",
        "embeddings and keywords need an embedding model; %s is a chat model, and no "
        "other one is loaded here",
        GLIM_QUOTE(x->s->models[0].id));
    glim_exchange_send(x);
}

/* Two servers have this path; the body tells whose client asks. */
void glim_h_embedding(glim_exchange *x)
{
    bool llama = glim_embedding_is_llama(x->arena, x->body);
    if (llama) x->shape = glim_problem_llama;
    glim_exchange_fail(
        x, llama ? GLIM_PROBLEM_NOT_HERE : GLIM_PROBLEM_NO_ENCODER, "model",
        "embeddings need an embedding model; %s is a chat model, and no other one is "
        "loaded here",
        GLIM_QUOTE(x->s->models[0].id));
    glim_exchange_answer(x);
}

void glim_h_infill(glim_exchange *x)
{
    glim_exchange_fail(x, GLIM_PROBLEM_NOT_HERE, NULL,
                       "infill needs a model with fill-in-the-middle tokens; %s has none",
                       GLIM_QUOTE(x->s->models[0].id));
    glim_exchange_send(x);
}

void glim_h_legacy_models(glim_exchange *x)
{
    (void)glim_legacy_models_encode(x->s->models, x->s->n_model, &x->out);
    glim_exchange_send(x);
}

void glim_h_sglang_model(glim_exchange *x)
{
    (void)glim_sglang_model_info_encode(&x->s->models[0], &x->out);
    glim_exchange_send(x);
}

void glim_h_flush(glim_exchange *x)
{
    glim_error e = {0};
    if (glim_sched_flush(x->s->sched, &e)) {
        glim_exchange_fail(x, GLIM_PROBLEM_BAD, NULL, "%s", e.msg); /* SGLang says 400 too */
    } else {
        (void)glim_buf_adds(&x->out, "Cache flushed.\n");
        x->type = "text/plain; charset=utf-8";
    }
    glim_exchange_send(x);
}
