/* SPDX-License-Identifier: MIT
 * h_text.c - tokens and templates, without the engine's thread.
 * Thread: a worker. */
#include "server/server_priv.h"

#include <time.h>

static void set_info(glim_exchange *x, glim_str model, glim_str request_id)
{
    x->info = (glim_reply_info){.id = glim_str_of(x->id),
                                .request_id = request_id.n ? request_id : x->request_id,
                                .model = model.n ? model : glim_host_name(x->host),
                                .created_s = (int64_t)time(NULL),
                                .fingerprint = glim_str_of(x->s->fingerprint)};
}

/* Ids and their texts; caller owns *ids, the rest is the arena's. */
static bool fill(glim_exchange *x, glim_tokens *ids, glim_tokenized *out)
{
    const glim_vocab *v = glim_model_vocab(glim_host_model(x->host));
    glim_str *pieces = GLIM_ARENA_ARRAY(x->arena, glim_str, ids->n + 1);
    int32_t *copy = GLIM_ARENA_ARRAY(x->arena, int32_t, ids->n + 1);
    if (pieces && copy) {
        for (size_t i = 0; i < ids->n; i++) {
            copy[i] = ids->ids[i];
            pieces[i] = glim_token_text(v, ids->ids[i]);
        }
        *out = (glim_tokenized){copy, pieces, ids->n};
    } else {
        glim_exchange_fail(x, GLIM_PROBLEM_MEMORY, NULL, "out of memory; try again later");
    }
    glim_tokens_free(ids);
    return pieces && copy;
}

static bool tokenize_chat(glim_exchange *x, const glim_tokenize_request *rq, glim_tokenized *out)
{
    glim_error e = {0};
    glim_rendered r;
    if (glim_render(glim_model_vocab(glim_host_model(x->host)), NULL, &rq->chat, &r, &e)) {
        return glim_exchange_refuse(x, &e);
    }
    glim_tokens t = r.tokens;
    r.tokens = (glim_tokens){0};
    glim_rendered_free(&r);
    return fill(x, &t, out);
}

static bool tokenize_text(glim_exchange *x, const glim_tokenize_request *rq, glim_str text,
                          glim_tokenized *out)
{
    glim_error e = {0};
    glim_tokens t;
    if (glim_tokenize(glim_model_vocab(glim_host_model(x->host)), text, rq->parse_special, &t,
                      &e)) {
        return glim_exchange_refuse(x, &e);
    }
    return fill(x, &t, out);
}

static void tokenize(glim_exchange *x, bool zhipu)
{
    glim_tokenize_request rq = {0};
    x->has_problem = glim_tokenize_decode(x->arena, x->body, zhipu, &rq, &x->problem) != GLIM_OK;
    if (rq.kind == GLIM_TOKENIZE_LEGACY || rq.kind == GLIM_TOKENIZE_SGLANG)
        x->shape = glim_problem_openai; /* llama-server's clients alone read its shape */
    if (x->has_problem) {
        glim_exchange_answer(x);
        return;
    }
    if (!glim_exchange_take_model(x, rq.model, GLIM_KIND_CHAT)) return;
    bool ok = true;
    size_t n = rq.is_chat ? 1 : rq.n_text;
    glim_tokenized *t = glim_arena_alloc0(x->arena, (n + 1) * sizeof *t);
    if (!t) {
        glim_exchange_fail(x, GLIM_PROBLEM_MEMORY, NULL, "out of memory; try again later");
        ok = false;
    }
    for (size_t i = 0; ok && i < n; i++)
        ok = rq.is_chat ? tokenize_chat(x, &rq, &t[i]) : tokenize_text(x, &rq, rq.texts[i], &t[i]);
    if (ok) {
        set_info(x, rq.model, rq.request_id);
        (void)glim_tokenize_encode(&rq, &x->info,
                                   glim_model_get_info(glim_host_model(x->host))->plan.n_ctx, t, n,
                                   &x->out);
    }
    glim_exchange_answer(x);
}

void glim_h_tokenize(glim_exchange *x)
{
    tokenize(x, false);
}

void glim_h_tokenizer(glim_exchange *x)
{
    tokenize(x, true);
}

static bool detokenize(glim_exchange *x, const glim_detokenize_request *rq, glim_buf *text)
{
    const glim_vocab *v = glim_model_vocab(glim_host_model(x->host));
    for (size_t i = 0; i < rq->n; i++) {
        if (rq->ids[i] < 0 || (size_t)rq->ids[i] >= glim_vocab_size(v)) {
            glim_exchange_fail(
                x, GLIM_PROBLEM_BAD, "tokens",
                "tokens[%zu]: id %d is out of range: the vocabulary has ids 0 to %zu", i,
                (int)rq->ids[i], glim_vocab_size(v) - 1);
            return false;
        }
        (void)glim_buf_addv(text, glim_token_text(v, rq->ids[i]));
    }
    return true;
}

void glim_h_detokenize(glim_exchange *x)
{
    glim_detokenize_request rq = {0};
    glim_buf text;
    if (glim_detokenize_decode(x->arena, x->body, &rq, &x->problem)) {
        x->has_problem = true;
        glim_exchange_answer(x);
        return;
    }
    if (!glim_exchange_take_model(x, rq.model, GLIM_KIND_CHAT)) return;
    glim_buf_init(&text, (size_t)128 << 20);
    if (detokenize(x, &rq, &text)) (void)glim_detokenize_encode(&rq, glim_buf_view(&text), &x->out);
    glim_buf_deinit(&text);
    glim_exchange_answer(x);
}

void glim_h_template(glim_exchange *x)
{
    glim_error e = {0};
    glim_rendered r;
    if (x->route->dialect->decode(x->arena, x->body, &x->req, &x->problem)) {
        x->has_problem = true;
        glim_exchange_answer(x);
        return;
    }
    if (!glim_exchange_take_model(x, x->req.model, GLIM_KIND_CHAT)) return;
    if (glim_render(glim_model_vocab(glim_host_model(x->host)), NULL, &x->req.chat, &r, &e)) {
        (void)glim_exchange_refuse(x, &e);
    } else {
        (void)glim_template_encode(r.text, &x->out);
        glim_rendered_free(&r);
    }
    glim_exchange_answer(x);
}
