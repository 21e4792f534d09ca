/* SPDX-License-Identifier: MIT
 * text_routes.c - bodies of the routes that turn text to tokens and back: /tokenize in the readings
 * of four servers, /detokenize, /apply-template.
 * Owns:   which keys tell the readings apart.
 * Not here: the tokens themselves (room text, through the engine).
 * Thread: any, pure.
 * Fails:  INPUT with the path, as a problem; NOMEM.
 * See:    tests/unit/api/test_text_routes.c */
#include "api/api_priv.h"

enum { MEMBER_MAX = 1024, TEXT_MAX = 2048 };

static glim_err read_root(glim_arena *a, glim_str body, glim_json **root, glim_error *e)
{
    glim_err rc = glim_json_parse(a, body, root, e);
    if (rc) return rc;
    if ((*root)->type != GLIM_JSON_OBJECT)
        return glim_api_wrong_type(NULL, "a request object", *root, e);
    if ((*root)->n_child > MEMBER_MAX)
        return glim_api_fail(NULL, GLIM_E_INPUT, *root, e, "%u members; at most %d are allowed",
                             (unsigned)(*root)->n_child, MEMBER_MAX);
    return GLIM_OK;
}

static glim_err missing(const char *key, const glim_json *v, glim_error *e)
{
    return glim_api_fail(GLIM_API_KEY(NULL, key), GLIM_E_INPUT, v, e, "missing");
}

/* ---- which reading --------------------------------------------------------------------------- */

/* Of {prompt} with other members: SGLang and vLLM name the model or how to begin, the legacy route
 * a limit. */
static glim_tokenize_kind kind_of(const glim_json *root)
{
    if (glim_json_get(root, "content")) return GLIM_TOKENIZE_LLAMA;
    if (glim_json_get(root, "messages")) return GLIM_TOKENIZE_SGLANG;
    bool named = glim_json_get(root, "model") || glim_json_get(root, "add_special_tokens");
    return named && !glim_json_get(root, "max_tokens") ? GLIM_TOKENIZE_SGLANG
                                                       : GLIM_TOKENIZE_LEGACY;
}

/* ---- requests -------------------------------------------------------------------------------- */

static glim_err read_texts(glim_arena *a, const glim_json *root, const char *key, bool list,
                           glim_tokenize_request *out, glim_error *e)
{
    const glim_api_path *p = GLIM_API_KEY(NULL, key);
    const glim_json *v = glim_api_given(root, key);
    if (!v) return missing(key, root, e);
    out->is_list = list && v->type == GLIM_JSON_ARRAY;
    if (!out->is_list && v->type != GLIM_JSON_STRING)
        return glim_api_wrong_type(p, list ? "a string or a list of strings" : "a string", v, e);
    size_t n = out->is_list ? v->n_child : 1, i = 0;
    if (n > TEXT_MAX)
        return glim_api_fail(p, GLIM_E_INPUT, v, e, "%zu texts; at most %d are allowed", n,
                             TEXT_MAX);
    glim_str *texts = GLIM_ARENA_ARRAY(a, glim_str, GLIM_MAX(n, (size_t)1));
    if (!texts) return glim_api_fail(p, GLIM_E_NOMEM, NULL, e, "no memory for %zu texts", n);
    if (!out->is_list) texts[0] = v->text;
    for (const glim_json *x = out->is_list ? v->child : NULL; x; x = x->next) {
        if (x->type != GLIM_JSON_STRING)
            return glim_api_wrong_type(GLIM_API_ELEMENT(p, i), "a string", x, e);
        texts[i++] = x->text;
    }
    out->texts = texts;
    out->n_text = n;
    return GLIM_OK;
}

static glim_err read_flag(const glim_json *root, const char *key, bool *out, glim_error *e)
{
    glim_tristate t = GLIM_UNSET;
    glim_err rc = glim_api_bool(NULL, root, key, &t, e);
    if (!rc && t != GLIM_UNSET) *out = t == GLIM_ON;
    return rc;
}

/* Negative counts are refused: nothing is cut after fewer than no tokens. */
static glim_err read_limit(const glim_json *root, int64_t *out, glim_error *e)
{
    const glim_json *v = glim_api_given(root, "max_tokens");
    const glim_api_path *p = GLIM_API_KEY(NULL, "max_tokens");
    if (!v) return GLIM_OK;
    if (v->type != GLIM_JSON_NUMBER) return glim_api_wrong_type(p, "an integer", v, e);
    if (!glim_json_i64(v, out) || *out < 0)
        return glim_api_fail(p, GLIM_E_INPUT, v, e, "%.*s is out of range; send 0 or more",
                             (int)GLIM_MIN(v->text.n, (size_t)40), v->text.p);
    return GLIM_OK;
}

/* The chat's own decoder, so that the count is the chat's. */
static glim_err read_chat(glim_arena *a, const glim_json *root, glim_chat_mount mount,
                          glim_tokenize_request *out, glim_error *e)
{
    glim_request rq;
    glim_err rc = glim_openai_chat_read(a, root, mount, &rq, e);
    if (rc) return rc;
    out->is_chat = true;
    out->chat = rq.chat;
    out->model = rq.model;
    out->request_id = rq.request_id;
    return GLIM_OK;
}

static glim_err read_tokenize(glim_arena *a, const glim_json *root, glim_tokenize_request *out,
                              glim_error *e)
{
    bool ignored = false;
    if (out->kind == GLIM_TOKENIZE_ZHIPU) return read_chat(a, root, GLIM_MOUNT_ZHIPU, out, e);
    if (out->kind == GLIM_TOKENIZE_SGLANG && glim_api_given(root, "messages"))
        return read_chat(a, root, GLIM_MOUNT_OPENAI, out, e);
    glim_err rc = glim_api_str(NULL, root, "model", &out->model, e);
    if (rc) return rc;
    switch (out->kind) {
    case GLIM_TOKENIZE_LLAMA:
        /* Nothing stands before a GLM prompt that is not in its template: add_special adds nothing.
         */
        rc = read_texts(a, root, "content", false, out, e);
        if (!rc) rc = read_flag(root, "add_special", &ignored, e);
        if (!rc) rc = read_flag(root, "parse_special", &out->parse_special, e);
        if (!rc) rc = read_flag(root, "with_pieces", &out->with_pieces, e);
        break;
    case GLIM_TOKENIZE_SGLANG:
        rc = read_texts(a, root, "prompt", true, out, e);
        if (!rc) rc = read_flag(root, "add_special_tokens", &ignored, e);
        break;
    case GLIM_TOKENIZE_LEGACY:
    case GLIM_TOKENIZE_ZHIPU:
        rc = read_texts(a, root, "prompt", false, out, e);
        if (!rc) rc = read_limit(root, &out->n_max, e);
        out->with_pieces = true;
        break;
    }
    return rc;
}

glim_err glim_tokenize_decode(glim_arena *a, glim_str body, bool zhipu, glim_tokenize_request *out,
                              glim_problem *p)
{
    glim_error e = {0};
    glim_json *root;
    memset(out, 0, sizeof *out);
    out->model = out->request_id = GLIM_STR("");
    out->n_max = -1;
    out->parse_special = true;
    glim_err rc = read_root(a, body, &root, &e);
    if (!rc) {
        out->kind = zhipu ? GLIM_TOKENIZE_ZHIPU : kind_of(root);
        rc = read_tokenize(a, root, out, &e);
    }
    return glim_api_end_decode(rc, &e, p);
}

glim_err glim_detokenize_decode(glim_arena *a, glim_str body, glim_detokenize_request *out,
                                glim_problem *p)
{
    glim_error e = {0};
    glim_json *root;
    const glim_api_path *path = GLIM_API_KEY(NULL, "tokens");
    memset(out, 0, sizeof *out);
    out->model = GLIM_STR("");
    glim_err rc = read_root(a, body, &root, &e);
    if (!rc) rc = glim_api_str(NULL, root, "model", &out->model, &e);
    if (rc) return glim_api_end_decode(rc, &e, p);
    const glim_json *v = glim_api_given(root, "tokens");
    out->sglang = glim_json_get(root, "model") || glim_json_get(root, "skip_special_tokens");
    if (!v)
        rc = missing("tokens", root, &e);
    else if (v->type != GLIM_JSON_ARRAY)
        rc = glim_api_wrong_type(path, "a list of token ids", v, &e);
    else
        rc = glim_api_ids(a, path, v, &out->ids, &out->n, &e);
    return glim_api_end_decode(rc, &e, p);
}

/* ---- replies --------------------------------------------------------------------------------- */

static void put_ids(glim_jw *w, const glim_tokenized *t, size_t n)
{
    glim_jw_array(w);
    for (size_t i = 0; i < n; i++)
        glim_jw_i64(w, t->ids[i]);
    glim_jw_array_end(w);
}

/* Text of a token; half a character is written as U+FFFD. */
static void put_piece(glim_jw *w, const glim_tokenized *t, size_t i)
{
    glim_jw_str(w, t->pieces ? t->pieces[i] : GLIM_STR(""));
}

static void put_llama(glim_jw *w, const glim_tokenize_request *rq, const glim_tokenized *t)
{
    glim_jw_key(w, "tokens");
    if (!rq->with_pieces) {
        put_ids(w, t, t->n);
        return;
    }
    glim_jw_array(w);
    for (size_t i = 0; i < t->n; i++) {
        glim_jw_object(w);
        glim_jw_key(w, "id");
        glim_jw_i64(w, t->ids[i]);
        glim_jw_key(w, "piece");
        put_piece(w, t, i);
        glim_jw_object_end(w);
    }
    glim_jw_array_end(w);
}

static void put_sglang(glim_jw *w, const glim_tokenize_request *rq, int64_t n_ctx,
                       const glim_tokenized *t, size_t n)
{
    glim_jw_key(w, "tokens");
    if (rq->is_list) glim_jw_array(w);
    for (size_t i = 0; i < n; i++)
        put_ids(w, &t[i], t[i].n);
    if (rq->is_list) glim_jw_array_end(w);
    glim_jw_key(w, "count");
    if (rq->is_list) glim_jw_array(w);
    for (size_t i = 0; i < n; i++)
        glim_jw_i64(w, (int64_t)t[i].n);
    if (rq->is_list) glim_jw_array_end(w);
    glim_jw_key(w, "max_model_len");
    glim_jw_i64(w, n_ctx);
}

static void put_legacy(glim_jw *w, const glim_tokenize_request *rq, const glim_reply_info *info,
                       const glim_tokenized *t)
{
    size_t n = rq->n_max >= 0 ? GLIM_MIN(t->n, (size_t)rq->n_max) : t->n;
    glim_jw_key(w, "tokenIds");
    put_ids(w, t, n);
    glim_jw_key(w, "tokens");
    glim_jw_array(w);
    for (size_t i = 0; i < n; i++)
        put_piece(w, t, i);
    glim_jw_array_end(w);
    glim_jw_key(w, "model");
    glim_jw_str(w, info->model);
    glim_jw_key(w, "object");
    glim_jw_str(w, GLIM_STR("tokenizer"));
}

static void put_zhipu(glim_jw *w, const glim_reply_info *info, const glim_tokenized *t)
{
    glim_jw_key(w, "id");
    glim_jw_str(w, info->id);
    glim_jw_key(w, "created");
    glim_jw_i64(w, info->created_s);
    glim_jw_key(w, "request_id");
    glim_jw_str(w, info->request_id);
    glim_jw_key(w, "usage");
    glim_jw_object(w);
    glim_jw_key(w, "prompt_tokens");
    glim_jw_i64(w, (int64_t)t->n);
    glim_jw_key(w, "image_tokens");
    glim_jw_i64(w, 0);
    glim_jw_key(w, "video_tokens");
    glim_jw_i64(w, 0);
    glim_jw_key(w, "total_tokens");
    glim_jw_i64(w, (int64_t)t->n);
    glim_jw_object_end(w);
}

glim_err glim_tokenize_encode(const glim_tokenize_request *rq, const glim_reply_info *info,
                              int64_t n_ctx, const glim_tokenized *t, size_t n, glim_buf *out)
{
    static const glim_tokenized none = {0};
    glim_jw w;
    const glim_tokenized *first = n ? t : &none;
    glim_jw_init(&w, out);
    glim_jw_object(&w);
    switch (rq->kind) {
    case GLIM_TOKENIZE_LLAMA:
        put_llama(&w, rq, first);
        break;
    case GLIM_TOKENIZE_SGLANG:
        put_sglang(&w, rq, n_ctx, t, n);
        break;
    case GLIM_TOKENIZE_LEGACY:
        put_legacy(&w, rq, info, first);
        break;
    case GLIM_TOKENIZE_ZHIPU:
        put_zhipu(&w, info, first);
        break;
    }
    glim_jw_object_end(&w);
    return out->err;
}

static glim_err put_one(const char *key, glim_str text, glim_buf *out)
{
    glim_jw w;
    glim_jw_init(&w, out);
    glim_jw_object(&w);
    glim_jw_key(&w, key);
    glim_jw_str(&w, text);
    glim_jw_object_end(&w);
    return out->err;
}

glim_err glim_detokenize_encode(const glim_detokenize_request *rq, glim_str text, glim_buf *out)
{
    return put_one(rq->sglang ? "text" : "content", text, out);
}

glim_err glim_template_encode(glim_str prompt, glim_buf *out)
{
    return put_one("prompt", prompt, out);
}
