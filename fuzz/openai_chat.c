/* SPDX-License-Identifier: MIT
 * openai_chat.c - fuzz target: any bytes as a chat request. What is accepted must keep the promises
 * of chat.h; what is refused must say why. */
#include "api/api.h"

#include <math.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool x)
{
    if (!x) abort();
}

static bool is_object(glim_str json)
{
    glim_arena *a = glim_arena_new((size_t)256 << 20);
    glim_json *v;
    if (!a) return true;
    glim_err rc = glim_json_parse(a, json, &v, NULL);
    bool ok = rc == GLIM_E_NOMEM || (!rc && v->type == GLIM_JSON_OBJECT);
    glim_arena_free(a);
    return ok;
}

static void check_message(const glim_message *m)
{
    must(glim_utf8_valid(m->content, NULL) && glim_utf8_valid(m->reasoning, NULL));
    must(m->role >= GLIM_ROLE_SYSTEM && m->role <= GLIM_ROLE_TOOL);
    must(m->role == GLIM_ROLE_ASSISTANT || (m->n_call == 0 && !m->has_reasoning));
    must(m->role == GLIM_ROLE_TOOL || (m->n_part == 0 && m->tool_call_id.n == 0));
    for (size_t i = 0; i < m->n_part; i++)
        must(glim_utf8_valid(m->parts[i], NULL));
    for (size_t i = 0; i < m->n_call; i++)
        must(m->calls[i].name.n > 0 && is_object(m->calls[i].arguments));
}

static void check_request(const glim_chat_request *rq)
{
    const glim_chat *c = &rq->chat;
    const glim_gen_opts *g = &rq->gen;
    must(c->n_message > 0);
    for (size_t i = 0; i < c->n_message; i++)
        check_message(&c->messages[i]);
    must(c->n_tool <= 128 && (c->tools != NULL) == (c->n_tool > 0));
    for (size_t i = 0; i < c->n_tool; i++)
        must(c->tools[i].name.n > 0 && is_object(c->tools[i].json));
    must(isnan(g->temperature) || (g->temperature >= 0 && g->temperature <= 2));
    must(isnan(g->top_p) || (g->top_p > 0 && g->top_p <= 1));
    must(isnan(g->min_p) || (g->min_p >= 0 && g->min_p < 1));
    must(g->top_k >= -1 && (g->n_max == -1 || g->n_max >= 1));
    must(g->n_stop <= 16);
    for (size_t i = 0; i < g->n_stop; i++)
        must(g->stops[i].n > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    glim_arena *a = glim_arena_new((size_t)256 << 20);
    glim_chat_request rq;
    glim_error e = {0};
    if (!a) return 0;
    glim_err rc = glim_openai_chat_decode(a, (glim_str){(const char *)data, size}, &rq, &e);
    if (!rc)
        check_request(&rq);
    else
        must(e.code == rc && e.msg[0]);
    /* Decoding has no memory of its own: what it took stays a small multiple of the input. */
    must(glim_arena_used(a) <= 200 * size + 65536);
    glim_arena_free(a);
    return 0;
}
