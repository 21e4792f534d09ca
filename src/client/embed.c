/* SPDX-License-Identifier: MIT
 * embed.c - texts to vectors, and documents in the order of a question, by another server.
 * Thread: any.
 * Fails:  FORMAT when an answer misses, repeats or bends a vector or a score; *out is empty then. */
#include "client/client_priv.h"

#include <math.h>

#define BODY_MAX ((size_t)256 << 20)

void glim_vectors_free(glim_vectors *v)
{
    if (!v) return;
    glim_free(v->v);
    *v = (glim_vectors){0};
}

static glim_err check_texts(const char *what, const glim_str *texts, size_t n, glim_error *e)
{
    if (n == 0) return glim_fail(e, GLIM_E_INPUT, "%s: none", what);
    for (size_t i = 0; i < n; i++)
        if (!glim_utf8_valid(texts[i], NULL))
            return glim_fail(e, GLIM_E_INPUT, "%s[%zu]: no UTF-8", what, i);
    return GLIM_OK;
}

static void write_texts(glim_jw *w, const char *key, const glim_str *texts, size_t n)
{
    glim_jw_key(w, key);
    glim_jw_array(w);
    for (size_t i = 0; i < n; i++)
        glim_jw_str(w, texts[i]);
    glim_jw_array_end(w);
}

/* ---- vectors --------------------------------------------------------------------------------------- */

/* One vector into row i. The first one sets the size and makes room for n of them. */
static glim_err take_vector(const glim_json *list, size_t i, size_t n, glim_vectors *out,
                            glim_error *e)
{
    if (!glim_json_is(list, GLIM_JSON_ARRAY) || list->n_child == 0)
        return glim_fail(e, GLIM_E_FORMAT, "the answer's vector %zu is no list of numbers", i);
    if (!out->v) {
        out->n = n;
        out->n_dim = list->n_child;
        size_t count;
        if (!glim_mul_size(n, out->n_dim, &count)) return glim_fail(e, GLIM_E_NOMEM, "vectors");
        out->v = glim_alloc_array(count, sizeof *out->v);
        if (!out->v) return glim_fail(e, GLIM_E_NOMEM, "%zu vectors of %zu", n, out->n_dim);
    }
    if (list->n_child != out->n_dim)
        return glim_fail(e, GLIM_E_FORMAT, "the answer's vector %zu has %u elements and not %zu", i,
                         (unsigned)list->n_child, out->n_dim);
    float *row = out->v + i * out->n_dim;
    GLIM_JSON_EACH(m, list)
    {
        double v;
        if (!glim_json_f64(m, &v) || !isfinite((float)v))
            return glim_fail(e, GLIM_E_FORMAT, "the answer's vector %zu holds %s", i,
                             m->type == GLIM_JSON_NUMBER ? "a number beyond all"
                                                         : glim_json_type_name(m->type));
        *row++ = (float)v;
    }
    return GLIM_OK;
}

/* n texts from the answer, into rows from i_first on of n_all. */
static glim_err take_vectors(const glim_provider *p, const glim_doc *d, size_t i_first, size_t n,
                             size_t n_all, bool *seen, glim_vectors *out, glim_error *e)
{
    const glim_json *list = glim_json_get(d->root, p->vectors);
    bool objects = strcmp(p->vectors, "data") == 0;
    size_t at = 0;
    if (!glim_json_is(list, GLIM_JSON_ARRAY) || list->n_child != n)
        return glim_fail(e, GLIM_E_FORMAT, "the answer has %u vectors for %zu texts",
                         list ? (unsigned)list->n_child : 0u, n);
    GLIM_JSON_EACH(m, list)
    {
        int64_t i = (int64_t)at++;
        const glim_json *index = objects ? glim_json_get(m, "index") : NULL;
        if (index && !glim_json_i64(index, &i)) i = -1;
        if (i < 0 || (uint64_t)i >= n || seen[i_first + (size_t)i])
            return glim_fail(e, GLIM_E_FORMAT,
                             "the answer's vectors have an index that is wrong or stands twice");
        seen[i_first + (size_t)i] = true;
        glim_err rc = take_vector(objects ? glim_json_get(m, "embedding") : m, i_first + (size_t)i,
                                  n_all, out, e);
        if (rc) return rc;
    }
    int64_t used = glim_member_i64(glim_json_get(d->root, "usage"), "prompt_tokens");
    out->n_token += used ? used : glim_member_i64(d->root, "prompt_eval_count");
    return GLIM_OK;
}

static glim_err embed_some(glim_client *c, glim_exchange *x, glim_str model, const glim_str *texts,
                           size_t n, int64_t n_dim, const glim_call *call, glim_doc *d,
                           glim_error *e)
{
    glim_buf body;
    glim_jw w;
    glim_buf_init(&body, BODY_MAX);
    glim_jw_init(&w, &body);
    glim_jw_object(&w);
    glim_jw_key(&w, "model");
    glim_jw_str(&w, model);
    write_texts(&w, "input", texts, n);
    if (n_dim) {
        glim_jw_key(&w, "dimensions");
        glim_jw_i64(&w, n_dim);
    }
    glim_jw_object_end(&w);
    glim_err rc =
        body.err ? glim_fail(e, body.err, "the request: %s", glim_strerror(body.err)) : GLIM_OK;
    x->body = glim_buf_view(&body);
    if (!rc) rc = glim_doc_get(c, x, call, d, e);
    glim_buf_deinit(&body);
    return rc;
}

glim_err glim_client_embed(glim_client *c, const char *model, const glim_str *texts, size_t n,
                           int64_t n_dim, const glim_call *call, glim_vectors *out, glim_error *e)
{
    glim_error own;
    glim_str name;
    bool *seen = NULL;
    glim_exchange x = {.method = "POST", .has_body = true};
    e = glim_answer_begin(call, e, &own);
    *out = (glim_vectors){0};
    glim_err rc = glim_op_path(c, GLIM_OP_EMBED, "embeddings", &x.path, e);
    if (!rc) rc = glim_op_model(c, GLIM_OP_EMBED, model, &name, e);
    if (!rc) rc = check_texts("texts", texts, n, e);
    if (!rc && (n_dim < 0 || n_dim > 1 << 20))
        rc = glim_fail(e, GLIM_E_INPUT, "n_dim: %lld; 0 (the model's own) to 1048576",
                       (long long)n_dim);
    if (!rc) {
        seen = glim_alloc_array(n, sizeof *seen);
        if (!seen) rc = glim_fail(e, GLIM_E_NOMEM, "vectors");
    }
    /* A provider takes so many in a request; the order stays. */
    for (size_t i = 0; !rc && i < n; i += c->p->embed_max) {
        size_t k = GLIM_MIN(n - i, c->p->embed_max);
        glim_doc d = {.arena = NULL};
        rc = embed_some(c, &x, name, texts + i, k, n_dim, call, &d, e);
        if (!rc) rc = take_vectors(c->p, &d, i, k, n, seen, out, e);
        glim_doc_free(&d);
    }
    glim_free(seen);
    if (rc) glim_vectors_free(out);
    return glim_answer_end(call, rc, e);
}

/* ---- reranking ---------------------------------------------------------------------------------------- */

static void write_rerank(glim_buf *body, glim_str model, glim_str query, const glim_str *documents,
                         size_t n, size_t top_n)
{
    glim_jw w;
    glim_jw_init(&w, body);
    glim_jw_object(&w);
    glim_jw_key(&w, "model");
    glim_jw_str(&w, model);
    glim_jw_key(&w, "query");
    glim_jw_str(&w, query);
    write_texts(&w, "documents", documents, n);
    if (top_n) {
        glim_jw_key(&w, "top_n");
        glim_jw_u64(&w, top_n);
    }
    glim_jw_object_end(&w);
}

static glim_err take_ranks(const glim_doc *d, size_t n, glim_ranked *out, size_t *n_out,
                           glim_error *e)
{
    const glim_json *list = glim_json_get(d->root, "results");
    if (!glim_json_is(list, GLIM_JSON_ARRAY) || list->n_child > n)
        return glim_fail(e, GLIM_E_FORMAT, "the answer has no list of at most %zu results", n);
    size_t k = 0;
    GLIM_JSON_EACH(m, list)
    {
        int64_t i;
        glim_ranked r = {0};
        if (!glim_json_i64(glim_json_get(m, "index"), &i) || i < 0 || (uint64_t)i >= n ||
            !glim_json_f64(glim_json_get(m, "relevance_score"), &r.score))
            return glim_fail(e, GLIM_E_FORMAT,
                             "the answer's result %zu has no index below %zu or no score", k, n);
        r.i_document = (size_t)i;
        size_t at = k;
        for (size_t j = 0; j < k; j++) {
            if (out[j].i_document == r.i_document)
                return glim_fail(e, GLIM_E_FORMAT, "the answer ranks document %zu twice",
                                 r.i_document);
        }
        /* They come sorted from all that are known; one that is not moves up. */
        for (; at > 0 && out[at - 1].score < r.score; at--)
            out[at] = out[at - 1];
        out[at] = r;
        k++;
    }
    *n_out = k;
    return GLIM_OK;
}

glim_err glim_client_rerank(glim_client *c, const char *model, glim_str query,
                            const glim_str *documents, size_t n, size_t top_n,
                            const glim_call *call, glim_ranked *out, size_t *n_out, glim_error *e)
{
    glim_error own;
    glim_str name;
    glim_buf body;
    glim_exchange x = {.method = "POST", .has_body = true};
    e = glim_answer_begin(call, e, &own);
    *n_out = 0;
    glim_buf_init(&body, BODY_MAX);
    glim_err rc = glim_op_path(c, GLIM_OP_RERANK, "reranking", &x.path, e);
    if (!rc) rc = glim_op_model(c, GLIM_OP_RERANK, model, &name, e);
    if (!rc) rc = check_texts("query", &query, 1, e);
    if (!rc) rc = check_texts("documents", documents, n, e);
    if (!rc) {
        write_rerank(&body, name, query, documents, n, top_n);
        if (body.err) rc = glim_fail(e, body.err, "the request: %s", glim_strerror(body.err));
    }
    if (!rc) {
        glim_doc d = {.arena = NULL};
        x.body = glim_buf_view(&body);
        rc = glim_doc_get(c, &x, call, &d, e);
        if (!rc) rc = take_ranks(&d, n, out, n_out, e);
        glim_doc_free(&d);
    }
    glim_buf_deinit(&body);
    return glim_answer_end(call, rc, e);
}
