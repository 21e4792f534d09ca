/* SPDX-License-Identifier: MIT
 * encoder_routes.c - fuzz target: the first byte picks a route to an encoder, or the writer of its reply.
 * A route gets the rest as a body: what is accepted keeps the promises of api.h and can be answered, what is
 * refused says why. The writer gets the rest as numbers, and must bring each back. */
#include "api/api.h"

#include <math.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { N_EMBED = GLIM_EMBED_OLLAMA_OLD + 1, N_RERANK = GLIM_RERANK_ZHIPU + 1, N_DIM = 4 };

static const glim_reply_info info = {.id = {"0", 1}, .request_id = {"r", 1}, .model = {"m", 1}};

static void must(bool x)
{
    if (!x) abort();
}

static glim_json *must_be_json(glim_arena *a, const glim_buf *b)
{
    glim_json *v = NULL;
    must(!b->err && glim_json_parse(a, glim_buf_view(b), &v, NULL) == GLIM_OK);
    return v;
}

static void check_problem(const glim_problem *p)
{
    static const glim_problem_fn shapes[] = {glim_problem_openai, glim_problem_zhipu,
                                             glim_problem_llama, glim_problem_ollama};
    must(p->msg[0] && memchr(p->msg, 0, sizeof p->msg) && memchr(p->param, 0, sizeof p->param));
    must(p->kind != GLIM_PROBLEM_INTERNAL && glim_problem_status(p) < 500);
    for (size_t i = 0; i < GLIM_COUNT(shapes); i++) {
        glim_arena *a = glim_arena_new((size_t)16 << 20);
        glim_buf b;
        if (!a) return;
        glim_buf_init(&b, 1 << 20);
        must(shapes[i](p, GLIM_STR("r"), &b) == GLIM_OK);
        must_be_json(a, &b);
        glim_buf_deinit(&b);
        glim_arena_free(a);
    }
}

static void check_notes(const glim_str *notes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        must(notes[i].n > 0);
}

/* ---- requests -------------------------------------------------------------------------------- */

static void check_embed(const glim_embed_request *rq, glim_embed_kind kind)
{
    must(rq->kind == kind && rq->n_dim >= 0 && rq->n_input <= GLIM_EMBED_INPUTS_MAX);
    must(rq->instead ? rq->n_input == 0 && kind >= GLIM_EMBED_OLLAMA : rq->n_input > 0);
    must(!rq->unload || kind >= GLIM_EMBED_OLLAMA);
    must(!rq->base64 || kind <= GLIM_EMBED_ZHIPU);
    for (size_t i = 0; i < rq->n_input; i++) {
        const glim_raw_prompt *in = &rq->inputs[i];
        must((in->text.n > 0) + (in->n_id > 0) == 1 && in->n_part == 0);
        for (size_t k = 0; k < in->n_id; k++)
            must(in->ids[k] >= 0);
    }
    check_notes(rq->notes, rq->n_note);
}

static void embed(glim_arena *a, glim_str body, glim_embed_kind kind)
{
    glim_embed_request rq;
    glim_problem p = {0};
    glim_buf b;
    if (glim_embed_decode(a, body, kind, &rq, &p)) {
        check_problem(&p);
        return;
    }
    check_embed(&rq, kind);
    float *v = calloc(GLIM_MAX(rq.n_input, (size_t)1) * N_DIM, sizeof *v);
    glim_arena *reply = glim_arena_new((size_t)64 << 20);
    if (v && reply) {
        const glim_embed_result r = {.vectors = v, .n_dim = N_DIM, .n_token = 3};
        glim_buf_init(&b, (size_t)16 << 20);
        must(glim_embed_encode(&rq, &info, rq.instead ? NULL : &r, &b) == GLIM_OK);
        must_be_json(reply, &b);
        glim_buf_deinit(&b);
    }
    glim_arena_free(reply);
    free(v);
}

/* Each document once at most, the better before the worse. */
static void check_order(const glim_json *root, const double *score, size_t n_document, size_t n)
{
    size_t n_seen = 0;
    double before = INFINITY;
    GLIM_JSON_EACH(x, glim_json_get(root, "results"))
    {
        int64_t i;
        must(glim_json_i64(glim_json_get(x, "index"), &i) && i >= 0 && (size_t)i < n_document);
        must(score[i] <= before);
        before = score[i];
        n_seen++;
    }
    must(n_seen == n);
}

static void rerank(glim_arena *a, glim_str body, glim_rerank_kind kind)
{
    glim_rerank_request rq;
    glim_problem p = {0};
    glim_buf b;
    if (glim_rerank_decode(a, body, kind, &rq, &p)) {
        check_problem(&p);
        return;
    }
    must(rq.kind == kind && rq.query.n > 0 && (rq.top_n == -1 || rq.top_n >= 1));
    must(rq.n_document >= 1 && rq.n_document <= GLIM_EMBED_INPUTS_MAX);
    check_notes(rq.notes, rq.n_note);
    double *score = calloc(rq.n_document, sizeof *score);
    float *logit = calloc(rq.n_document, sizeof *logit);
    glim_arena *reply = glim_arena_new((size_t)256 << 20);
    if (score && logit && reply) {
        for (size_t i = 0; i < rq.n_document; i++)
            score[i] = (double)(rq.documents[i].n % 7) / 7;
        const glim_rerank_result r = {score, logit, 3};
        const size_t n =
            rq.top_n < 0 || (uint64_t)rq.top_n > rq.n_document ? rq.n_document : (size_t)rq.top_n;
        glim_buf_init(&b, (size_t)64 << 20);
        must(glim_rerank_encode(reply, &rq, &info, &r, &b) == GLIM_OK);
        check_order(must_be_json(reply, &b), score, rq.n_document, n);
        glim_buf_deinit(&b);
    }
    glim_arena_free(reply);
    free(score);
    free(logit);
}

static void keyword(glim_arena *a, glim_str body)
{
    glim_keyword_request rq;
    glim_problem p = {0};
    glim_buf b;
    if (glim_keyword_decode(a, body, &rq, &p)) {
        check_problem(&p);
        return;
    }
    must(rq.input.n > 0 && rq.top >= 1 && rq.diversity >= 0 && rq.diversity <= 1);
    must(rq.n_vocab <= GLIM_KEYWORD_VOCAB_MAX);
    const glim_keyword_hit hit = {rq.n_vocab ? rq.vocab[0] : rq.input, rq.diversity};
    glim_arena *reply = glim_arena_new((size_t)64 << 20);
    if (!reply) return;
    glim_buf_init(&b, (size_t)64 << 20);
    must(glim_keyword_encode(rq.model, &hit, 1, &b) == GLIM_OK);
    double x;
    const glim_json *k = glim_json_at(glim_json_get(must_be_json(reply, &b), "keywords"), 0);
    must(glim_json_f64(glim_json_get(k, "similarity"), &x) && fabs(x - rq.diversity) < 0.5001e-4);
    glim_buf_deinit(&b);
    glim_arena_free(reply);
}

/* ---- numbers --------------------------------------------------------------------------------- */

static uint32_t letter_value(char c)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *p = c ? strchr(letters, c) : NULL;
    must(p != NULL);
    return (uint32_t)(p - letters);
}

static void check_base64(glim_str s, const uint8_t *byte, size_t n_byte)
{
    must(s.n == (n_byte + 2) / 3 * 4);
    for (size_t i = 0; i < n_byte; i++) {
        const char *four = s.p + i / 3 * 4 + i % 3;
        uint32_t two = letter_value(four[0]) << 6 | letter_value(four[1]);
        must((uint8_t)(two >> (4 - 2 * (i % 3))) == byte[i]);
    }
}

static void numbers(const uint8_t *data, size_t size)
{
    const size_t n = GLIM_MIN(size / 4, (size_t)256);
    float v[256];
    for (size_t i = 0; i < n; i++) {
        uint32_t bits = (uint32_t)data[4 * i] | (uint32_t)data[4 * i + 1] << 8 |
                        (uint32_t)data[4 * i + 2] << 16 | (uint32_t)data[4 * i + 3] << 24;
        memcpy(&v[i], &bits, sizeof v[i]);
    }
    const glim_embed_result r = {.vectors = v, .n_dim = (int64_t)n};
    glim_arena *a = glim_arena_new((size_t)1 << 20);
    if (!a) return;
    for (int base64 = 0; base64 < 2; base64++) {
        const glim_embed_request rq = {
            .kind = GLIM_EMBED_OPENAI, .n_input = 1, .base64 = base64 == 1};
        glim_buf b;
        size_t i = 0;
        glim_buf_init(&b, 1 << 20);
        must(glim_embed_encode(&rq, &info, &r, &b) == GLIM_OK);
        const glim_json *item = glim_json_at(glim_json_get(must_be_json(a, &b), "data"), 0);
        const glim_json *list = glim_json_get(item, "embedding");
        if (base64) {
            check_base64(list->text, data, 4 * n);
        } else {
            must(list->n_child == n);
            GLIM_JSON_EACH(x, list)
            {
                double back;
                must(isfinite(v[i]) ? glim_json_f64(x, &back) && (float)back == v[i]
                                    : x->type == GLIM_JSON_NULL);
                i++;
            }
        }
        glim_buf_deinit(&b);
    }
    glim_arena_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { N_ROUTE = 16 }; /* of which some are free: a new one leaves the seeds of the others be */
    if (size == 0) return 0;
    glim_arena *a = glim_arena_new((size_t)256 << 20);
    if (!a) return 0;
    const glim_str body = {(const char *)data + 1, size - 1};
    const size_t pick = data[0] % N_ROUTE;
    if (pick < N_EMBED)
        embed(a, body, (glim_embed_kind)pick);
    else if (pick < N_EMBED + N_RERANK)
        rerank(a, body, (glim_rerank_kind)(pick - N_EMBED));
    else if (pick == 8)
        keyword(a, body);
    else if (pick == 9)
        numbers(data + 1, size - 1);
    /* Decoding has no memory of its own: what it took stays a small multiple of the input. */
    must(glim_arena_used(a) <= 200 * size + 65536);
    glim_arena_free(a);
    return 0;
}
