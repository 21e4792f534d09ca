/* SPDX-License-Identifier: MIT
 * h_generate.c - chats and completions: body to request, request to tokens, tokens to the engine.
 * Thread: a worker. */
#include "server/server_priv.h"

#include <stdio.h>
#include <time.h>

static void no_memory(glim_exchange *x)
{
    glim_exchange_fail(x, GLIM_PROBLEM_MEMORY, NULL, "out of memory; try again later");
}

/* False: the handler returns and does no more. A handler that waited for its model comes here again. */
static bool decode(glim_exchange *x)
{
    glim_server *s = x->s;
    glim_request *rq = &x->req;
    if (!x->decoded && x->route->dialect->decode(x->arena, x->body, rq, &x->problem)) {
        x->has_problem = true;
        glim_exchange_answer(x);
        return false;
    }
    if (!x->decoded) {
        glim_metric_add(s->metrics, GLIM_METRIC_UNKNOWN_FIELDS, rq->n_unknown);
        if (rq->n_note) glim_metric_add(s->metrics, GLIM_METRIC_WARNINGS, 1);
        for (size_t i = 0; i < rq->n_note; i++)
            GLIM_DEBUG("server", "no_effect", "request=%.*s field=%s", (int)x->request_id.n,
                       x->request_id.p, GLIM_QUOTE(rq->notes[i]));
    }
    x->decoded = true;
    return glim_exchange_take_model(x, rq->model, GLIM_KIND_CHAT);
}

/* What the reply needs to know. */
static void settle(glim_exchange *x)
{
    const glim_request *rq = &x->req;
    const glim_model_info *m = glim_model_get_info(glim_host_model(x->host));
    /* A name from the body goes back in the body only: it may hold anything, a line break too. */
    x->info = (glim_reply_info){.id = glim_str_of(x->id),
                                .request_id = rq->request_id.n ? rq->request_id : x->request_id,
                                .model = rq->model.n ? rq->model : glim_host_name(x->host),
                                .created_s = (int64_t)time(NULL),
                                .fingerprint = glim_str_of(x->s->fingerprint),
                                .zhipu_usage = x->zhipu_client,
                                .t0_ns = x->t0_ns,
                                .n_ctx = m->plan.n_ctx,
                                .temperature = m->temperature,
                                .top_p = m->top_p,
                                .min_p = m->min_p,
                                .top_k = m->top_k};
}

/* One prompt's tokens; the arena keeps them. */
typedef struct encoded {
    const int32_t *ids;
    size_t n;
    glim_start start;
} encoded;

static bool keep_ids(glim_exchange *x, const glim_tokens *t, encoded *out)
{
    int32_t *p = glim_arena_array(x->arena, t->n + 1, sizeof *p);
    if (!p) {
        no_memory(x);
        return false;
    }
    if (t->n) memcpy(p, t->ids, t->n * sizeof *p);
    out->ids = p;
    out->n = t->n;
    return true;
}

/* A conversation that goes on from tokens: what GLM's templates begin every prompt with is there already, and so may
 * be the mark of the next turn, with which the answer ended. */
static bool continue_context(glim_exchange *x, const glim_tokens *t, encoded *out)
{
    const glim_id_list *c = &x->req.context;
    glim_error e = {0};
    glim_tokens begin;
    if (glim_tokenize(glim_model_vocab(glim_host_model(x->host)), GLIM_STR("[gMASK]<sop>"), true,
                      &begin, &e))
        return glim_exchange_refuse(x, &e);
    size_t skip = 0;
    while (skip < GLIM_MIN(begin.n, t->n) && begin.ids[skip] == t->ids[skip])
        skip++;
    if (skip < begin.n) skip = 0;
    glim_tokens_free(&begin);
    if (skip < t->n && t->ids[skip] == c->ids[c->n - 1]) skip++;
    int32_t *p = glim_arena_array(x->arena, c->n + t->n - skip + 1, sizeof *p);
    if (!p) {
        no_memory(x);
        return false;
    }
    memcpy(p, c->ids, c->n * sizeof *p);
    if (t->n > skip) memcpy(p + c->n, t->ids + skip, (t->n - skip) * sizeof *p);
    out->ids = p;
    out->n = c->n + t->n - skip;
    return true;
}

static bool render_chat(glim_exchange *x, encoded *out)
{
    glim_error e = {0};
    glim_rendered r;
    if (glim_render(glim_model_vocab(glim_host_model(x->host)), NULL, &x->req.chat, &r, &e))
        return glim_exchange_refuse(x, &e);
    out->start = r.start;
    bool ok = x->req.context.n ? continue_context(x, &r.tokens, out) : keep_ids(x, &r.tokens, out);
    glim_rendered_free(&r);
    return ok;
}

static bool encode_text(glim_exchange *x, glim_str text, encoded *out)
{
    glim_error e = {0};
    glim_tokens t;
    if (glim_tokenize(glim_model_vocab(glim_host_model(x->host)), text, true, &t, &e))
        return glim_exchange_refuse(x, &e);
    bool ok = keep_ids(x, &t, out);
    glim_tokens_free(&t);
    return ok;
}

static bool encode_prompt(glim_exchange *x, const glim_raw_prompt *p, encoded *out);

/* Texts and ids in turn: each text is tokenised for itself. */
static bool encode_parts(glim_exchange *x, const glim_raw_prompt *p, encoded *out)
{
    encoded *v = glim_arena_alloc0(x->arena, p->n_part * sizeof *v);
    size_t n = 0;
    for (size_t i = 0; v && i < p->n_part; i++) {
        if (!encode_prompt(x, &p->parts[i], &v[i])) return false;
        n += v[i].n;
    }
    int32_t *ids = v ? glim_arena_array(x->arena, n + 1, sizeof *ids) : NULL;
    if (!ids) {
        no_memory(x);
        return false;
    }
    out->ids = ids;
    out->n = n;
    for (size_t i = 0; i < p->n_part; ids += v[i++].n)
        if (v[i].n) memcpy(ids, v[i].ids, v[i].n * sizeof *ids);
    return true;
}

static bool encode_prompt(glim_exchange *x, const glim_raw_prompt *p, encoded *out)
{
    out->start = GLIM_START_CONTENT;
    if (p->n_part) return encode_parts(x, p, out);
    if (p->text.p) return encode_text(x, p->text, out);
    out->ids = p->ids;
    out->n = p->n_id;
    return true;
}

/* The text of a prompt of ids, for echo. */
static glim_str prompt_text(glim_exchange *x, const glim_raw_prompt *p)
{
    const glim_vocab *v = glim_model_vocab(glim_host_model(x->host));
    glim_buf b;
    if (p->text.p) return p->text;
    glim_buf_init(&b, (size_t)64 << 20);
    for (size_t i = 0; i < p->n_id; i++)
        if (p->ids[i] >= 0 && (size_t)p->ids[i] < glim_vocab_size(v))
            (void)glim_buf_addv(&b, glim_token_text(v, p->ids[i]));
    glim_str text = glim_exchange_keep(x, glim_buf_view(&b));
    glim_buf_deinit(&b);
    return text;
}

/* The prompts as the reply may want to see them. */
static bool show_prompts(glim_exchange *x, const encoded *v, size_t n)
{
    const glim_request *rq = &x->req;
    glim_str *texts = rq->echo ? glim_arena_alloc0(x->arena, n * sizeof *texts) : NULL;
    glim_id_list *ids = rq->want_ids ? glim_arena_alloc0(x->arena, n * sizeof *ids) : NULL;
    if ((rq->echo && !texts) || (rq->want_ids && !ids)) {
        no_memory(x);
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (texts) texts[i] = prompt_text(x, &rq->prompts[i]);
        if (ids) ids[i] = (glim_id_list){v[i].ids, v[i].n};
    }
    x->info.prompt_texts = texts;
    x->info.prompt_ids = ids;
    return true;
}

static bool encode_all(glim_exchange *x, encoded **out, size_t *n)
{
    glim_request *rq = &x->req;
    *n = rq->raw ? rq->n_prompt : 1;
    encoded *v = glim_arena_alloc0(x->arena, *n * sizeof *v);
    if (!v) {
        no_memory(x);
        return false;
    }
    for (size_t i = 0; i < *n; i++)
        if (!(rq->raw ? encode_prompt(x, &rq->prompts[i], &v[i]) : render_chat(x, &v[i])))
            return false;
    *out = v;
    return show_prompts(x, v, *n);
}

static void submit(glim_exchange *x, const encoded *v, size_t n_prompt)
{
    const glim_request *rq = &x->req;
    size_t n = n_prompt * (size_t)rq->n;
    glim_job_input *in = glim_arena_alloc0(x->arena, n * sizeof *in);
    glim_gen_opts *gen = glim_arena_alloc0(x->arena, n * sizeof *gen);
    if (!in || !gen) {
        no_memory(x);
        glim_exchange_answer(x);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        const encoded *p = &v[i / (size_t)rq->n];
        gen[i] = rq->gen;
        gen[i].seed += i % (size_t)rq->n; /* several choices of one seed are not the same choice */
        glim_job_input_init(&in[i]);
        in[i].ids = p->ids;
        in[i].n_id = p->n;
        in[i].start = p->start;
        in[i].raw = rq->raw;
        in[i].tools = rq->chat.tools;
        in[i].n_tool = rq->chat.n_tool;
        in[i].gen = &gen[i];
    }
    glim_exchange_submit(x, in, n);
}

void glim_h_generate(glim_exchange *x)
{
    encoded *v;
    size_t n;
    if (!decode(x)) return;
    settle(x);
    if (x->req.unload) glim_hub_let_go(x->s->hub, x->host); /* not before this is answered */
    if (x->req.instead) {
        (void)x->route->dialect->instead(&x->req, &x->info, &x->out);
        glim_exchange_answer(x);
    } else if (encode_all(x, &v, &n)) {
        submit(x, v, n);
    } else {
        glim_exchange_answer(x);
    }
}

void glim_h_async(glim_exchange *x)
{
    encoded *v;
    size_t n;
    if (!decode(x)) return;
    settle(x);
    if (!encode_all(x, &v, &n)) {
        glim_exchange_answer(x);
        return;
    }
    if (x->req.stream) {
        glim_exchange_fail(
            x, GLIM_PROBLEM_BAD, "stream",
            "stream: an asynchronous answer cannot be streamed; leave the field out");
        glim_exchange_answer(x);
        return;
    }
    if (!glim_async_begin(x->s->async, glim_str_of(x->id), glim_str_of(x->key_id),
                          x->info.request_id, x->info.model)) {
        glim_exchange_fail(x, GLIM_PROBLEM_BUSY, NULL,
                           "10,000 asynchronous answers are kept already; try again later");
        x->problem.retry_after_s = 60;
        glim_exchange_answer(x);
        return;
    }
    submit(x, v, n);
    if (x->has_problem) { /* answered already; nobody knows the id */
        glim_async_end(x->s->async, glim_str_of(x->id), false, (glim_str){"", 0});
        return;
    }
    (void)glim_async_encode(&x->info, "PROCESSING", (glim_str){0}, &x->ack);
    glim_exchange_ack(x);
}

void glim_h_async_get(glim_exchange *x)
{
    if (!glim_async_get(x->s->async, x->rest, glim_str_of(x->key_id), &x->out))
        glim_exchange_fail(x, GLIM_PROBLEM_NOT_FOUND, "id",
                           "no task %s is known here; results are kept for 24 hours",
                           GLIM_QUOTE(x->rest));
    glim_exchange_send(x);
}

void glim_h_cloud_only(glim_exchange *x)
{
    glim_exchange_fail(x, GLIM_PROBLEM_CLOUD_ONLY, NULL,
                       "this path needs the Zhipu cloud; a local model cannot serve it");
    glim_exchange_send(x);
}
