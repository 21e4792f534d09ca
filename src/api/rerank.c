/* SPDX-License-Identifier: MIT
 * rerank.c - documents in the order in which they answer a query: the request of Jina's, llama-server's and
 * Zhipu's routes, and their replies.
 * Owns:   the forms of a document, the order of results.
 * Not here: scores (their caller's); SGLang's flat list, whose requests nothing tells apart.
 * Thread: any, pure.
 * Fails:  INPUT with the path; UNSUPPORTED by name; NOMEM; replies also LIMIT.
 * See:    tests/unit/api/test_rerank.c */
#include "api/wire_priv.h"

#include <math.h>
#include <stdlib.h>

typedef struct rerank_wire {
    glim_wire w; /* first: its rows and those below stand in one table */
    glim_str query;
    const glim_json *documents;
    int64_t top_n;
    bool has_model, has_query, return_documents, raw_scores, truncate;
} rerank_wire;

#define OWN(key, kind, member) GLIM_ROW_OF(rerank_wire, key, kind, member)
/* Other servers' names, with what is meant by them here. */
#define ELSEWHERE(key, cure)                                                                       \
    {                                                                                              \
        .name = (key), GLIM_NO_FLAG, .unsupported = (cure)                                         \
    }

static const glim_field fields[] = {
    {.name = "model",
     .type = GLIM_FIELD_STR,
     .offset = offsetof(rerank_wire, w.model),
     .offset_has = offsetof(rerank_wire, has_model)},
    {.name = "query",
     .type = GLIM_FIELD_STR,
     .offset = offsetof(rerank_wire, query),
     .offset_has = offsetof(rerank_wire, has_query)},
    OWN("documents", JSON, documents),
    GLIM_RANGE_OF(rerank_wire, "top_n", I64, top_n, 1, GLIM_WIRE_COUNT_MAX),
    OWN("return_documents", BOOL, return_documents),
    OWN("return_raw_scores", BOOL, raw_scores),
    OWN("truncation", BOOL, truncate),
    OWN("truncate", BOOL, truncate), /* wins */
    GLIM_ROW("user", STR, user),
    GLIM_ROW("user_id", STR, user_id),
    GLIM_SUB("rid", request_id, glim_wire_name),
    GLIM_SUB("request_id", request_id, glim_wire_name),
    GLIM_IGNORE("extra_body"),
    GLIM_IGNORE("priority"),
    ELSEWHERE("texts", "send the texts as documents"),
    ELSEWHERE("top_k", "send top_n"),
    ELSEWHERE("raw_scores", "send return_raw_scores"),
    ELSEWHERE("return_text", "send return_documents"),
    GLIM_REFUSE("instruct"),
    GLIM_REFUSE("instruction"),
    GLIM_REFUSE("rank_fields"),
    GLIM_REFUSE("max_chunks_per_doc"),
    GLIM_REFUSE("max_tokens_per_doc"),
    GLIM_REFUSE("truncate_prompt_tokens"),
};

/* ---- the request ----------------------------------------------------------------------------- */

static glim_err read_document(const glim_api_path *p, const glim_json *v, glim_str *text,
                              glim_str *source, glim_error *e)
{
    *source = (glim_str){NULL, 0};
    if (v->type == GLIM_JSON_STRING) {
        *text = v->text;
        return GLIM_OK;
    }
    if (v->type != GLIM_JSON_OBJECT)
        return glim_api_wrong_type(p, "a string or an object with text", v, e);
    *source = v->text;
    *text = (glim_str){NULL, 0};
    glim_err rc = glim_api_str(p, v, "text", text, e);
    if (rc || text->p) return rc;
    return glim_api_fail(GLIM_API_KEY(p, "text"), GLIM_E_INPUT, v, e, "missing");
}

static glim_err read_documents(glim_arena *a, const glim_json *v, glim_rerank_request *out,
                               glim_error *e)
{
    const glim_api_path *p = GLIM_API_KEY(NULL, "documents");
    if (!v)
        return glim_api_fail(p, GLIM_E_INPUT, NULL, e,
                             "missing; send a list of strings, or of objects with text");
    if (v->type != GLIM_JSON_ARRAY)
        return glim_api_wrong_type(p, "a list of strings, or of objects with text", v, e);
    const size_t n = v->n_child;
    if (n == 0)
        return glim_api_fail(p, GLIM_E_INPUT, v, e, "the list is empty; send at least one text");
    if (n > GLIM_EMBED_INPUTS_MAX)
        return glim_api_fail(p, GLIM_E_INPUT, v, e, "%zu documents; at most %d are allowed", n,
                             GLIM_EMBED_INPUTS_MAX);
    glim_str *texts = GLIM_ARENA_ARRAY(a, glim_str, n), *sources = GLIM_ARENA_ARRAY(a, glim_str, n);
    if (!texts || !sources)
        return glim_api_fail(p, GLIM_E_NOMEM, NULL, e, "no memory for %zu documents", n);
    size_t i = 0;
    GLIM_JSON_EACH(x, v)
    {
        glim_err rc = read_document(GLIM_API_ELEMENT(p, i), x, &texts[i], &sources[i], e);
        if (rc) return rc;
        i++;
    }
    out->documents = texts;
    out->sources = sources;
    out->n_document = n;
    return GLIM_OK;
}

static glim_err read_query(const rerank_wire *x, const glim_json *root, glim_error *e)
{
    const glim_api_path *p = GLIM_API_KEY(NULL, "query");
    if (!x->has_query) return glim_api_fail(p, GLIM_E_INPUT, root, e, "missing; send a string");
    if (x->query.n == 0)
        return glim_api_fail(p, GLIM_E_INPUT, root, e, "empty; nothing answers a query of nothing");
    return GLIM_OK;
}

static glim_err read_request(glim_arena *a, const glim_json *root, glim_rerank_request *out,
                             glim_error *e)
{
    glim_request shell = {.n_note = 0}; /* gathers the notes */
    rerank_wire x = {.top_n = -1};
    glim_wire_init(&x.w);
    glim_err rc = glim_wire_read(a, root, fields, GLIM_COUNT(fields), &x.w, &shell, e);
    if (!rc && out->kind == GLIM_RERANK_ZHIPU && !x.has_model)
        rc = glim_api_fail(GLIM_API_KEY(NULL, "model"), GLIM_E_INPUT, root, e,
                           "missing; name a model, or send \"\" for the one that is loaded");
    if (!rc) rc = read_query(&x, root, e);
    if (!rc) rc = read_documents(a, x.documents, out, e);
    if (rc) return rc;
    out->model = x.w.model;
    out->request_id = x.w.request_id;
    out->user_id = x.w.user_id.n ? x.w.user_id : x.w.user;
    out->query = x.query;
    out->top_n = x.top_n;
    out->return_documents = x.return_documents;
    out->raw_scores = x.raw_scores;
    out->truncate = x.truncate;
    out->notes = shell.notes;
    out->n_note = shell.n_note;
    out->n_unknown = shell.n_unknown;
    return GLIM_OK;
}

glim_err glim_rerank_decode(glim_arena *a, glim_str body, glim_rerank_kind kind,
                            glim_rerank_request *out, glim_problem *p)
{
    glim_error e = {0};
    glim_json *root;
    *out = (glim_rerank_request){.kind = kind};
    glim_err rc = glim_json_parse(a, body, &root, &e);
    if (!rc) rc = read_request(a, root, out, &e);
    return glim_api_end_decode(rc, &e, p);
}

/* ---- the reply ------------------------------------------------------------------------------- */

typedef struct ranked {
    double score;
    size_t i;
} ranked;

/* The better first, then the earlier; what is no number comes last. */
static int by_score(const void *l, const void *r)
{
    const ranked *a = l, *b = r;
    const bool a_bad = isnan(a->score), b_bad = isnan(b->score);
    if (a_bad != b_bad) return a_bad ? 1 : -1;
    if (!a_bad && a->score != b->score) return a->score > b->score ? -1 : 1;
    return a->i < b->i ? -1 : 1; /* no two are the same document */
}

/* A string becomes an object on Jina's routes, as its service answers. */
static void put_document(glim_jw *w, const glim_rerank_request *rq, size_t i)
{
    if (rq->sources[i].p) {
        glim_jw_raw(w, rq->sources[i]);
    } else if (rq->kind == GLIM_RERANK_ZHIPU) {
        glim_jw_str(w, rq->documents[i]);
    } else {
        glim_jw_object(w);
        glim_jw_key(w, "text");
        glim_jw_str(w, rq->documents[i]);
        glim_jw_object_end(w);
    }
}

static void put_usage(glim_jw *w, int64_t n_token)
{
    glim_jw_key(w, "usage");
    glim_jw_object(w);
    glim_jw_key(w, "prompt_tokens");
    glim_jw_i64(w, n_token);
    glim_jw_key(w, "total_tokens");
    glim_jw_i64(w, n_token);
    glim_jw_object_end(w);
}

static void put_results(glim_jw *w, const glim_rerank_request *rq, const glim_rerank_result *r,
                        const ranked *order, size_t n)
{
    glim_jw_key(w, "results");
    glim_jw_array(w);
    for (size_t k = 0; k < n; k++) {
        const size_t i = order[k].i;
        glim_jw_object(w);
        glim_jw_key(w, "index");
        glim_jw_i64(w, (int64_t)i);
        glim_jw_key(w, "relevance_score");
        if (rq->raw_scores)
            glim_jw_f32(w, r->logits[i]);
        else
            glim_jw_f64(w, r->scores[i]);
        if (rq->return_documents) {
            glim_jw_key(w, "document");
            put_document(w, rq, i);
        }
        glim_jw_object_end(w);
    }
    glim_jw_array_end(w);
}

static void put_head(glim_jw *w, const glim_rerank_request *rq, const glim_reply_info *info)
{
    const bool zhipu = rq->kind == GLIM_RERANK_ZHIPU;
    glim_jw_key(w, zhipu ? "request_id" : "model");
    glim_jw_str(w, zhipu ? info->request_id : info->model);
    glim_jw_key(w, zhipu ? "id" : "object");
    glim_jw_str(w, zhipu ? info->id : GLIM_STR("list"));
    if (!zhipu) return;
    glim_jw_key(w, "created");
    glim_jw_i64(w, info->created_s);
}

glim_err glim_rerank_encode(glim_arena *a, const glim_rerank_request *rq,
                            const glim_reply_info *info, const glim_rerank_result *r, glim_buf *out)
{
    const size_t n_all = rq->n_document;
    const size_t n = rq->top_n >= 0 && (uint64_t)rq->top_n < n_all ? (size_t)rq->top_n : n_all;
    ranked *order = GLIM_ARENA_ARRAY(a, ranked, n_all);
    glim_jw w;
    if (!order) return GLIM_E_NOMEM;
    for (size_t i = 0; i < n_all; i++)
        order[i] = (ranked){r->scores[i], i};
    qsort(order, n_all, sizeof *order, by_score);
    glim_jw_init(&w, out);
    glim_jw_object(&w);
    put_head(&w, rq, info);
    if (rq->kind == GLIM_RERANK_JINA) put_usage(&w, r->n_token);
    put_results(&w, rq, r, order, n);
    if (rq->kind == GLIM_RERANK_ZHIPU) put_usage(&w, r->n_token);
    glim_jw_object_end(&w);
    return out->err;
}
