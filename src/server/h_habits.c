/* SPDX-License-Identifier: MIT
 * h_habits.c - paths that clients of llama-server, SGLang and the FastAPI server ask and that generate nothing; and
 * what a chat model cannot do, refused by name.
 * Thread: I/O. */
#include "server/server_priv.h"

void glim_h_infill(glim_exchange *x)
{
    glim_exchange_fail(x, GLIM_PROBLEM_NOT_HERE, NULL,
                       "infill needs a model with fill-in-the-middle tokens; there is none here");
    glim_exchange_send(x);
}

void glim_h_legacy_models(glim_exchange *x)
{
    glim_api_model *m;
    size_t n;
    if (glim_exchange_list(x, &m, &n)) (void)glim_legacy_models_encode(m, n, &x->out);
    glim_exchange_send(x);
}

void glim_h_sglang_model(glim_exchange *x)
{
    glim_api_model m;
    if (glim_exchange_entry(x, GLIM_STR(""), &m)) (void)glim_sglang_model_info_encode(&m, &x->out);
    glim_exchange_send(x);
}

void glim_h_flush(glim_exchange *x)
{
    glim_error e = {0};
    if (!glim_exchange_hold_first(x, GLIM_KIND_CHAT)) {
        /* said already */
    } else if (glim_sched_flush(glim_host_sched(x->host), &e)) {
        glim_exchange_fail(x, GLIM_PROBLEM_BAD, NULL, "%s", e.msg); /* SGLang says 400 too */
    } else {
        (void)glim_buf_adds(&x->out, "Cache flushed.\n");
        x->type = "text/plain; charset=utf-8";
    }
    glim_exchange_send(x);
}
