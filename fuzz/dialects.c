/* SPDX-License-Identifier: MIT
 * dialects.c - fuzz target: the first byte picks a route, the rest is its body. What is accepted
 * keeps the promises of api.h; what is refused says why, in an error body that is JSON. */
#include "api/api.h"

#include <math.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool x)
{
    if (!x) abort();
}

static void must_be_json(const glim_buf *b)
{
    glim_arena *a = glim_arena_new((size_t)64 << 20);
    glim_json *v = NULL;
    if (!a) return;
    must(!b->err && glim_json_parse(a, glim_buf_view(b), &v, NULL) == GLIM_OK);
    must(v->type == GLIM_JSON_OBJECT);
    glim_arena_free(a);
}

static void check_problem(const glim_problem *p)
{
    static const glim_problem_fn shapes[] = {glim_problem_openai, glim_problem_zhipu,
                                             glim_problem_llama, glim_problem_ollama,
                                             glim_problem_npu};
    must(p->msg[0] && memchr(p->msg, 0, sizeof p->msg) && memchr(p->param, 0, sizeof p->param));
    must((size_t)p->kind < GLIM_PROBLEM_COUNT);
    for (size_t i = 0; i < GLIM_COUNT(shapes); i++) {
        glim_buf b;
        glim_buf_init(&b, 1 << 20);
        must(shapes[i](p, GLIM_STR("r"), &b) == GLIM_OK);
        must_be_json(&b);
        glim_buf_deinit(&b);
    }
}

static bool offered(const glim_chat *c, glim_str name)
{
    for (size_t i = 0; i < c->n_tool; i++)
        if (glim_str_eq(c->tools[i].name, name)) return true;
    return false;
}

/* Text, ids or parts, and no two of them. */
static void check_prompt(const glim_raw_prompt *p)
{
    must((p->text.n > 0) + (p->n_id > 0) + (p->n_part > 0) == 1);
    for (size_t i = 0; i < p->n_id; i++)
        must(p->ids[i] >= 0);
    for (size_t i = 0; i < p->n_part; i++) {
        must(p->parts[i].n_part == 0);
        check_prompt(&p->parts[i]);
    }
}

static void check_request(const glim_request *rq)
{
    const glim_gen_opts *g = &rq->gen;
    must(rq->n >= 1 && rq->n <= 128);
    must(rq->raw       ? rq->n_prompt >= 1 && rq->n_prompt * (size_t)rq->n <= 2048
         : rq->instead ? rq->chat.n_message == 0 && rq->own
                       : rq->chat.n_message >= 1);
    must(!rq->context.n || (!rq->raw && rq->context.ids));
    for (size_t i = 0; i < rq->n_prompt; i++)
        check_prompt(&rq->prompts[i]);
    must(!rq->continuous_usage || rq->include_usage);
    must(rq->logprobs == (g->n_logprob >= 0) && g->n_logprob <= 20);
    must(!(rq->echo && rq->logprobs));
    must(isnan(g->temperature) || (g->temperature >= 0 && g->temperature <= 5));
    must(isnan(g->top_p) || (g->top_p > 0 && g->top_p <= 1));
    must(isnan(g->min_p) || (g->min_p >= 0 && g->min_p < 1));
    must(g->repetition_penalty > 0 && g->repetition_penalty <= 10);
    must(fabsf(g->presence_penalty) <= 2 && fabsf(g->frequency_penalty) <= 2);
    must(g->n_max == -1 || g->n_max >= 1);
    must(g->n_stop <= 16 && g->n_stop_id <= 64 && g->n_bias <= 1024 && g->n_min >= 0);
    for (size_t i = 0; i < g->n_bias; i++)
        must(g->biases[i].id >= 0 && fabsf(g->biases[i].bias) <= 100);
    must(!g->call_required || rq->chat.n_tool > 0);
    for (size_t i = 0; i < g->n_call_name; i++)
        must(offered(&rq->chat, g->call_names[i]));
    for (size_t i = 0; i < rq->n_note; i++)
        must(rq->notes[i].n > 0);
}

static void tokenize(glim_arena *a, glim_str body, bool zhipu)
{
    static const int32_t ids[] = {1, 2};
    static const glim_str pieces[] = {{"a", 1}, {"\xE4", 1}};
    static const glim_tokenized t = {ids, pieces, 2};
    static const glim_reply_info info = {.id = {"0", 1}, .request_id = {"r", 1}, .model = {"m", 1}};
    glim_tokenize_request rq;
    glim_problem p = {0};
    if (glim_tokenize_decode(a, body, zhipu, &rq, &p)) {
        check_problem(&p);
        return;
    }
    must(rq.is_chat ? rq.chat.n_message > 0 : rq.n_text > 0 || rq.is_list);
    must(rq.n_max >= -1 && (rq.kind == GLIM_TOKENIZE_ZHIPU) == zhipu);
    glim_buf b;
    glim_buf_init(&b, 1 << 20);
    bool one = rq.is_chat || rq.n_text > 0;
    must(glim_tokenize_encode(&rq, &info, 9, &t, one, &b) == GLIM_OK);
    must_be_json(&b);
    glim_buf_deinit(&b);
}

static void check_name(glim_arena *a, glim_str body)
{
    glim_str name;
    bool verbose, stream;
    glim_problem p = {0};
    if (glim_ollama_name_decode(a, body, &name, &verbose, &stream, &p)) check_problem(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { N_ROUTE = 32 }; /* of which some are free: a new one leaves the seeds of the others be */
    static const glim_dialect *const dialects[N_ROUTE] = {
        [0] = &glim_dialect_openai_chat,       [1] = &glim_dialect_openai_completions,
        [2] = &glim_dialect_zhipu_chat,        [6] = &glim_dialect_ollama_chat,
        [7] = &glim_dialect_ollama_generate,   [9] = &glim_dialect_legacy_chat,
        [10] = &glim_dialect_llama_completion, [11] = &glim_dialect_sglang_generate,
        [12] = &glim_dialect_npu_infer,        [13] = &glim_dialect_sglang_health,
    };
    if (size == 0) return 0;
    glim_arena *a = glim_arena_new((size_t)256 << 20);
    if (!a) return 0;
    glim_str body = {(const char *)data + 1, size - 1};
    glim_problem p = {0};
    size_t pick = data[0] % N_ROUTE;
    if (dialects[pick]) {
        glim_request rq;
        if (dialects[pick]->decode(a, body, &rq, &p))
            check_problem(&p);
        else
            check_request(&rq);
    } else if (pick == 3 || pick == 4) {
        tokenize(a, body, pick == 4);
    } else if (pick == 8) {
        check_name(a, body);
    } else if (pick == 14) {
        (void)glim_embedding_is_llama(a, body);
    } else if (pick == 5) {
        glim_detokenize_request rq;
        if (glim_detokenize_decode(a, body, &rq, &p)) check_problem(&p);
    }
    /* Decoding has no memory of its own: what it took stays a small multiple of the input. */
    must(glim_arena_used(a) <= 200 * size + 65536);
    glim_arena_free(a);
    return 0;
}
