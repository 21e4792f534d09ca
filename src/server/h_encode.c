/* SPDX-License-Identifier: MIT
 * h_encode.c - embeddings, reranking and keywords: body to texts, texts to tokens, numbers to the answer.
 * How:    three steps of one exchange: a worker reads the body and makes tokens, the encoders' thread computes
 *         (encode.c), a worker writes the answer.
 * Thread: a worker; computed() the encoders'. */
#include "server/server_priv.h"

#include <stdio.h>
#include <time.h>

/* What is kept between the steps; in the exchange's arena. */
typedef struct task {
    glim_embed_request embed;
    glim_rerank_request rerank;
    glim_keyword_request keyword;
    const glim_str *words; /* of keyword */
    size_t n_word;
    glim_encoded *in;
    size_t n_in;
    glim_texts texts;
    uint64_t t_begin_ns;
} task;

static void no_memory(glim_exchange *x)
{
    glim_exchange_fail(x, GLIM_PROBLEM_MEMORY, NULL, "out of memory; try again later");
}

static task *task_of(glim_exchange *x)
{
    if (!x->own) x->own = GLIM_ARENA_NEW0(x->arena, task);
    if (!x->own) no_memory(x);
    return x->own;
}

static void note_fields(glim_exchange *x, const glim_str *notes, size_t n_note, size_t n_unknown)
{
    if (x->decoded) return;
    x->decoded = true;
    glim_metric_add(x->s->metrics, GLIM_METRIC_UNKNOWN_FIELDS, n_unknown);
    if (n_note) glim_metric_add(x->s->metrics, GLIM_METRIC_WARNINGS, 1);
    for (size_t i = 0; i < n_note; i++)
        GLIM_DEBUG("server", "no_effect", "request=%.*s field=%s", (int)x->request_id.n,
                   x->request_id.p, GLIM_QUOTE(notes[i]));
}

static void set_info(glim_exchange *x, glim_str model, glim_str request_id)
{
    const glim_encoder_info *m = glim_encoder_get_info(glim_host_encoder(x->host));
    x->info = (glim_reply_info){.id = glim_str_of(x->id),
                                .request_id = request_id.n ? request_id : x->request_id,
                                .model = model.n ? model : glim_host_name(x->host),
                                .created_s = (int64_t)time(NULL),
                                .fingerprint = glim_str_of(x->s->fingerprint),
                                .t0_ns = x->t0_ns,
                                .n_ctx = m->n_max};
}

/* ---- tokens -------------------------------------------------------------------------------------- */

static bool make_room(glim_exchange *x, task *t, size_t n)
{
    t->in = glim_arena_alloc0(x->arena, n * sizeof *t->in);
    t->n_in = n;
    if (!t->in) no_memory(x);
    return t->in != NULL;
}

/* param names the text in messages: "input[3]". cut: what is too long is cut, else refused. */
static bool encode_text(glim_exchange *x, task *t, size_t i, const char *param, glim_str text,
                        const glim_str *second, bool cut)
{
    glim_error e = {0};
    const glim_encoder *m = glim_host_encoder(x->host);
    size_t n_max = (size_t)glim_encoder_get_info(m)->n_max;
    glim_encoded *out = &t->in[i], made;
    if (glim_encode(m, text, second, cut ? n_max : 0, &made, &e)) {
        if (e.code == GLIM_E_INPUT)
            glim_exchange_fail(x, GLIM_PROBLEM_BAD, param, "%s: %s", param, e.msg);
        else
            (void)glim_exchange_refuse(x, &e);
        return false;
    }
    *out = made;
    out->ids = glim_arena_array(x->arena, made.n + 1, sizeof *out->ids);
    if (out->ids) memcpy(out->ids, made.ids, made.n * sizeof *out->ids);
    glim_encoded_free(&made);
    if (!out->ids) {
        no_memory(x);
        return false;
    }
    if (out->n < out->n_full) x->n_cut++;
    if (out->n <= n_max) return true;
    glim_exchange_fail(x, GLIM_PROBLEM_CONTEXT, param,
                       "%s: %s %zu tokens, the model reads at most %zu; %s", param,
                       second ? "query and document together have" : "the text has", out->n, n_max,
                       second ? "shorten them, or send truncate:true" : "shorten it");
    x->problem.n_prompt = (int64_t)out->n;
    x->problem.n_ctx = (int64_t)n_max;
    return false;
}

/* Ids are the model's own business: nothing is put around them. */
static bool take_ids(glim_exchange *x, task *t, size_t i, const char *param,
                     const glim_raw_prompt *p, bool cut)
{
    const glim_encoder_info *m = glim_encoder_get_info(glim_host_encoder(x->host));
    size_t n_max = (size_t)m->n_max, n = cut ? GLIM_MIN(p->n_id, n_max) : p->n_id;
    if (n > n_max) {
        glim_exchange_fail(
            x, GLIM_PROBLEM_CONTEXT, param,
            "%s: there are %zu tokens, the model reads at most %zu; shorten the list", param, n,
            n_max);
        x->problem.n_prompt = (int64_t)n;
        x->problem.n_ctx = (int64_t)n_max;
        return false;
    }
    for (size_t k = 0; k < n; k++)
        if (p->ids[k] < 0 || p->ids[k] >= m->n_vocab) {
            glim_exchange_fail(x, GLIM_PROBLEM_BAD, param,
                               "%s: id %d is out of range: the vocabulary has ids 0 to %lld", param,
                               (int)p->ids[k], (long long)m->n_vocab - 1);
            return false;
        }
    if (n < p->n_id) x->n_cut++;
    /* Encoders only read ids. */
    t->in[i] = (glim_encoded){(int32_t *)(uintptr_t)p->ids, n, n, p->n_id};
    return true;
}

/* ---- computing ----------------------------------------------------------------------------------- */

static void computed(glim_texts *texts)
{
    glim_exchange *x = texts->x;
    glim_prep_push(x->s->prep, x);
}

/* Hands the texts over; step is what follows. What it needs of memory is taken before. */
static void compute(glim_exchange *x, task *t, int64_t n_dim, void (*step)(glim_exchange *x))
{
    glim_error e = {0};
    int64_t wait_s = 10;
    size_t width = t->texts.rerank ? 1 : (size_t)n_dim;
    t->texts.x = x;
    t->texts.in = t->in;
    t->texts.n = t->n_in;
    t->texts.n_dim = n_dim;
    t->texts.done = computed;
    t->texts.out = glim_arena_array(x->arena, t->n_in, width * sizeof(float));
    for (size_t i = 0; i < t->n_in; i++)
        x->n_encoded += (int64_t)t->in[i].n;
    x->step = step;
    if (!t->texts.out) {
        no_memory(x);
    } else if (glim_encode_push(x->s->encode, &t->texts, &wait_s, &e)) {
        (void)glim_exchange_refuse(x, &e);
        if (e.code == GLIM_E_STATE) x->problem.kind = GLIM_PROBLEM_DRAINING;
        x->problem.retry_after_s = wait_s;
    } else {
        return; /* from here on x is the queue's */
    }
    glim_exchange_answer(x);
}

/* Whether the numbers are there. */
static bool came(glim_exchange *x, const task *t)
{
    if (t->texts.failed) return glim_exchange_refuse(x, &t->texts.e);
    glim_metric_add(x->s->metrics, GLIM_METRIC_ENCODED_TOKENS, (uint64_t)x->n_encoded);
    return true;
}

/* ---- embeddings ---------------------------------------------------------------------------------- */

static void embed_done(glim_exchange *x)
{
    task *t = x->own;
    if (t->embed.instead) {
        (void)glim_embed_encode(&t->embed, &x->info, NULL, &x->out);
        if (t->embed.unload) glim_hub_let_go(x->s->hub, x->host);
    } else if (came(x, t)) {
        glim_embed_result r = {.vectors = t->texts.out,
                               .n_dim = t->texts.n_dim,
                               .n_token = x->n_encoded,
                               .load_ns = t->t_begin_ns - x->t0_ns,
                               .total_ns = glim_now_ns() - x->t0_ns};
        (void)glim_embed_encode(&t->embed, &x->info, &r, &x->out);
        if (t->embed.unload) glim_hub_let_go(x->s->hub, x->host);
    }
    glim_exchange_answer(x);
}

/* How messages call the field that holds the texts. */
static const char *input_name(glim_embed_kind k)
{
    return k == GLIM_EMBED_LEGACY || k == GLIM_EMBED_OLLAMA_OLD ? "prompt"
           : k == GLIM_EMBED_LLAMA                              ? "content"
                                                                : "input";
}

static bool encode_inputs(glim_exchange *x, task *t)
{
    const glim_embed_request *rq = &t->embed;
    char param[64];
    if (!make_room(x, t, rq->n_input)) return false;
    for (size_t i = 0; i < rq->n_input; i++) {
        const glim_raw_prompt *p = &rq->inputs[i];
        snprintf(param, sizeof param, rq->n_input > 1 ? "%s[%zu]" : "%s", input_name(rq->kind), i);
        if (!(p->text.p ? encode_text(x, t, i, param, p->text, NULL, rq->truncate)
                        : take_ids(x, t, i, param, p, rq->truncate)))
            return false;
    }
    return true;
}

static bool check_dimensions(glim_exchange *x, const glim_embed_request *rq, int64_t *n_dim)
{
    int64_t n_embd = glim_encoder_get_info(glim_host_encoder(x->host))->n_embd;
    *n_dim = rq->n_dim ? rq->n_dim : n_embd;
    if (*n_dim <= n_embd) return true;
    glim_exchange_fail(x, GLIM_PROBLEM_BAD, "dimensions",
                       "dimensions: %lld is more than the %lld that the model's vectors have",
                       (long long)rq->n_dim, (long long)n_embd);
    return false;
}

static void embed(glim_exchange *x, glim_embed_kind kind)
{
    task *t = task_of(x);
    int64_t n_dim;
    if (!t || x->has_problem) {
        glim_exchange_answer(x);
        return;
    }
    if (!x->decoded && glim_embed_decode(x->arena, x->body, kind, &t->embed, &x->problem)) {
        x->has_problem = true;
        glim_exchange_answer(x);
        return;
    }
    note_fields(x, t->embed.notes, t->embed.n_note, t->embed.n_unknown);
    if (!glim_exchange_take_model(x, t->embed.model, GLIM_KIND_EMBEDDING)) return;
    set_info(x, t->embed.model, t->embed.request_id);
    t->t_begin_ns = glim_now_ns();
    t->texts.normalize = t->embed.normalize ? GLIM_ON : GLIM_UNSET;
    if (t->embed.instead) {
        embed_done(x);
    } else if (check_dimensions(x, &t->embed, &n_dim) && encode_inputs(x, t)) {
        compute(x, t, n_dim, embed_done);
    } else {
        glim_exchange_answer(x);
    }
}

void glim_h_embed_openai(glim_exchange *x)
{
    embed(x, GLIM_EMBED_OPENAI);
}

void glim_h_embed_zhipu(glim_exchange *x)
{
    embed(x, GLIM_EMBED_ZHIPU);
}

void glim_h_embed_ollama(glim_exchange *x)
{
    embed(x, GLIM_EMBED_OLLAMA);
}

void glim_h_embed_ollama_old(glim_exchange *x)
{
    embed(x, GLIM_EMBED_OLLAMA_OLD);
}

/* Two servers have this path; the body tells whose client asks. */
void glim_h_embed_bare(glim_exchange *x)
{
    bool llama = glim_embedding_is_llama(x->arena, x->body);
    if (llama) x->shape = glim_problem_llama;
    embed(x, llama ? GLIM_EMBED_LLAMA : GLIM_EMBED_LEGACY);
}

/* ---- reranking ----------------------------------------------------------------------------------- */

static void rerank_done(glim_exchange *x)
{
    task *t = x->own;
    double *scores = GLIM_ARENA_ARRAY(x->arena, double, t->n_in);
    if (!scores) {
        no_memory(x);
    } else if (came(x, t)) {
        for (size_t i = 0; i < t->n_in; i++)
            scores[i] = glim_rerank_score(t->texts.out[i]);
        glim_rerank_result r = {scores, t->texts.out, x->n_encoded};
        if (glim_rerank_encode(x->arena, &t->rerank, &x->info, &r, &x->out)) no_memory(x);
    }
    glim_exchange_answer(x);
}

static bool encode_pairs(glim_exchange *x, task *t)
{
    const glim_rerank_request *rq = &t->rerank;
    char param[64];
    if (!make_room(x, t, rq->n_document)) return false;
    for (size_t i = 0; i < rq->n_document; i++) {
        snprintf(param, sizeof param, "documents[%zu]", i);
        if (!encode_text(x, t, i, param, rq->query, &rq->documents[i], rq->truncate)) return false;
    }
    return true;
}

static void rerank(glim_exchange *x, glim_rerank_kind kind)
{
    task *t = task_of(x);
    if (!t || x->has_problem) {
        glim_exchange_answer(x);
        return;
    }
    if (!x->decoded && glim_rerank_decode(x->arena, x->body, kind, &t->rerank, &x->problem)) {
        x->has_problem = true;
        glim_exchange_answer(x);
        return;
    }
    note_fields(x, t->rerank.notes, t->rerank.n_note, t->rerank.n_unknown);
    if (!glim_exchange_take_model(x, t->rerank.model, GLIM_KIND_RERANK)) return;
    set_info(x, t->rerank.model, t->rerank.request_id);
    t->texts.rerank = true;
    if (encode_pairs(x, t))
        compute(x, t, 1, rerank_done);
    else
        glim_exchange_answer(x);
}

void glim_h_rerank_jina(glim_exchange *x)
{
    rerank(x, GLIM_RERANK_JINA);
}

void glim_h_rerank_zhipu(glim_exchange *x)
{
    rerank(x, GLIM_RERANK_ZHIPU);
}

/* ---- keywords ------------------------------------------------------------------------------------ */

static void choose_keywords(glim_exchange *x, task *t)
{
    glim_error e = {0};
    glim_keyword_opts o;
    size_t n_word = t->n_word, n = 0;
    size_t width = (size_t)t->texts.n_dim;
    glim_keyword *chosen = GLIM_ARENA_ARRAY(x->arena, glim_keyword, n_word + 1);
    glim_keyword_hit *hits = GLIM_ARENA_ARRAY(x->arena, glim_keyword_hit, n_word + 1);
    if (!chosen || !hits) {
        no_memory(x);
        return;
    }
    glim_keyword_opts_init(&o);
    o.top = t->keyword.top;
    o.mmr = t->keyword.mmr;
    o.maxsum = t->keyword.maxsum;
    o.diversity = t->keyword.diversity;
    if (n_word && glim_keyword_select(t->texts.out, t->texts.out + width, n_word, width, &o, chosen,
                                      &n, &e)) {
        (void)glim_exchange_refuse(x, &e);
        return;
    }
    for (size_t i = 0; i < n; i++)
        hits[i] = (glim_keyword_hit){t->words[chosen[i].i_word], chosen[i].similarity};
    (void)glim_keyword_encode(x->info.model, hits, n, &x->out);
}

static void keyword_done(glim_exchange *x)
{
    task *t = x->own;
    if (came(x, t)) choose_keywords(x, t);
    glim_exchange_answer(x);
}

static bool find_words(glim_exchange *x, task *t)
{
    glim_error e = {0};
    glim_words found;
    const glim_keyword_request *rq = &t->keyword;
    if (glim_keyword_candidates(rq->input, rq->vocab, rq->n_vocab, &found, &e))
        return glim_exchange_refuse(x, &e);
    glim_str *words = GLIM_ARENA_ARRAY(x->arena, glim_str, found.n + 1);
    if (words && found.n) memcpy(words, found.p, found.n * sizeof *words);
    t->words = words;
    t->n_word = found.n;
    glim_words_free(&found);
    if (!words) no_memory(x);
    return words != NULL;
}

/* The text itself, then its words. */
static bool encode_words(glim_exchange *x, task *t)
{
    char param[64];
    if (!make_room(x, t, t->n_word + 1)) return false;
    if (!encode_text(x, t, 0, "input", t->keyword.input, NULL, true)) return false;
    for (size_t i = 0; i < t->n_word; i++) {
        snprintf(param, sizeof param, "vocab: word %zu", i);
        if (!encode_text(x, t, i + 1, param, t->words[i], NULL, true)) return false;
    }
    return true;
}

void glim_h_keyword(glim_exchange *x)
{
    task *t = task_of(x);
    if (!t || x->has_problem) {
        glim_exchange_answer(x);
        return;
    }
    const glim_keyword_request *rq = &t->keyword;
    if (!x->decoded && glim_keyword_decode(x->arena, x->body, &t->keyword, &x->problem)) {
        x->has_problem = true;
        glim_exchange_answer(x);
        return;
    }
    note_fields(x, NULL, 0, rq->n_unknown);
    if (!glim_exchange_take_model(x, rq->model, GLIM_KIND_EMBEDDING)) return;
    set_info(x, rq->model, (glim_str){"", 0});
    int64_t n_embd = glim_encoder_get_info(glim_host_encoder(x->host))->n_embd;
    t->texts.normalize = GLIM_ON;
    if (!find_words(x, t)) {
        glim_exchange_answer(x);
    } else if (t->n_word == 0) {
        (void)glim_keyword_encode(x->info.model, NULL, 0, &x->out);
        glim_exchange_answer(x);
    } else if (encode_words(x, t)) {
        compute(x, t, n_embd, keyword_done);
    } else {
        glim_exchange_answer(x);
    }
}
