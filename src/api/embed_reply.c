/* SPDX-License-Identifier: MIT
 * embed_reply.c - vectors to the bodies of six routes.
 * Owns:   their members, and vectors as lists of numbers or in base64.
 * Not here: the numbers' spelling (room json), requests (embed.c).
 * Thread: any, pure.
 * Fails:  what the buffer gives (NOMEM, LIMIT).
 * See:    tests/unit/api/test_embed.c */
#include "api/api_priv.h"

/* ---- vectors --------------------------------------------------------------------------------- */

static void put_list(glim_jw *w, const float *v, size_t n)
{
    glim_jw_array(w);
    for (size_t i = 0; i < n && !w->b->err; i++)
        glim_jw_f32(w, v[i]);
    glim_jw_array_end(w);
}

/* Three bytes, of which n_given count, as four letters. */
static void put_quantum(const unsigned char *byte, size_t n_given, char *out)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t bits = (uint32_t)byte[0] << 16 | (uint32_t)byte[1] << 8 | byte[2];
    for (size_t i = 0; i < 4; i++)
        out[i] = i <= n_given ? letters[bits >> (18 - 6 * i) & 63] : '=';
}

/* The bytes of f32, the lowest first, in base64 with its padding (RFC 4648). Three floats are twelve
 * bytes and sixteen letters, without a rest. */
static void put_base64(glim_jw *w, const float *v, size_t n)
{
    enum { FLOATS = 3, BYTES = 12 };
    glim_jw_raw(w, GLIM_STR("\""));
    for (size_t i = 0; i < n && !w->b->err; i += FLOATS) {
        unsigned char byte[BYTES] = {0};
        char text[16];
        const size_t n_float = GLIM_MIN(n - i, (size_t)FLOATS), n_byte = n_float * sizeof *v;
        size_t n_text = 0;
        for (size_t k = 0; k < n_float; k++) {
            uint32_t bits;
            memcpy(&bits, &v[i + k], sizeof bits);
            for (size_t at = 0; at < 4; at++)
                byte[4 * k + at] = (unsigned char)(bits >> (8 * at));
        }
        for (size_t at = 0; at < n_byte; at += 3, n_text += 4)
            put_quantum(byte + at, GLIM_MIN(n_byte - at, (size_t)3), text + n_text);
        glim_buf_add(w->b, text, n_text);
    }
    glim_buf_addc(w->b, '"');
}

static const float *vector(const glim_embed_result *r, size_t i)
{
    return r->vectors + i * (size_t)r->n_dim;
}

/* A list of the vectors, each a list. */
static void put_lists(glim_jw *w, const glim_embed_request *rq, const glim_embed_result *r)
{
    glim_jw_array(w);
    for (size_t i = 0; i < rq->n_input && !w->b->err; i++)
        put_list(w, vector(r, i), (size_t)r->n_dim);
    glim_jw_array_end(w);
}

/* ---- bodies ---------------------------------------------------------------------------------- */

static void put_str(glim_jw *w, const char *key, glim_str s)
{
    glim_jw_key(w, key);
    glim_jw_str(w, s);
}

static void put_i64(glim_jw *w, const char *key, int64_t v)
{
    glim_jw_key(w, key);
    glim_jw_i64(w, v);
}

static void put_openai(glim_jw *w, const glim_embed_request *rq, const glim_reply_info *info,
                       const glim_embed_result *r)
{
    const bool zhipu = rq->kind == GLIM_EMBED_ZHIPU;
    glim_jw_object(w);
    if (zhipu) put_str(w, "request_id", info->request_id);
    put_str(w, "object", GLIM_STR("list"));
    glim_jw_key(w, "data");
    glim_jw_array(w);
    for (size_t i = 0; i < rq->n_input && !w->b->err; i++) {
        glim_jw_object(w);
        put_str(w, "object", GLIM_STR("embedding"));
        put_i64(w, "index", (int64_t)i);
        glim_jw_key(w, "embedding");
        (rq->base64 ? put_base64 : put_list)(w, vector(r, i), (size_t)r->n_dim);
        glim_jw_object_end(w);
    }
    glim_jw_array_end(w);
    put_str(w, "model", info->model);
    glim_jw_key(w, "usage");
    glim_jw_object(w);
    put_i64(w, "prompt_tokens", r->n_token);
    if (zhipu) put_i64(w, "completion_tokens", 0);
    put_i64(w, "total_tokens", r->n_token);
    glim_jw_object_end(w);
    glim_jw_object_end(w);
}

static void put_legacy(glim_jw *w, const glim_embed_request *rq, const glim_reply_info *info,
                       const glim_embed_result *r)
{
    glim_jw_object(w);
    glim_jw_key(w, "data");
    put_lists(w, rq, r);
    put_str(w, "model", info->model);
    put_str(w, "object", GLIM_STR("embedding"));
    glim_jw_object_end(w);
}

/* There a text may have a vector for each token: a list of vectors, here of one. */
static void put_llama(glim_jw *w, const glim_embed_request *rq, const glim_embed_result *r)
{
    glim_jw_array(w);
    for (size_t i = 0; i < rq->n_input && !w->b->err; i++) {
        glim_jw_object(w);
        put_i64(w, "index", (int64_t)i);
        glim_jw_key(w, "embedding");
        glim_jw_array(w);
        put_list(w, vector(r, i), (size_t)r->n_dim);
        glim_jw_array_end(w);
        glim_jw_object_end(w);
    }
    glim_jw_array_end(w);
}

static void put_ollama(glim_jw *w, const glim_embed_request *rq, const glim_reply_info *info,
                       const glim_embed_result *r)
{
    glim_jw_object(w);
    put_str(w, "model", info->model);
    glim_jw_key(w, "embeddings");
    put_lists(w, rq, r);
    if (!rq->instead) {
        glim_jw_key(w, "total_duration");
        glim_jw_u64(w, r->total_ns);
        glim_jw_key(w, "load_duration");
        glim_jw_u64(w, r->load_ns);
        put_i64(w, "prompt_eval_count", r->n_token);
    }
    glim_jw_object_end(w);
}

static void put_ollama_old(glim_jw *w, const glim_embed_request *rq, const glim_embed_result *r)
{
    glim_jw_object(w);
    glim_jw_key(w, "embedding");
    if (rq->instead)
        put_list(w, NULL, 0);
    else
        put_list(w, r->vectors, (size_t)r->n_dim);
    glim_jw_object_end(w);
}

glim_err glim_embed_encode(const glim_embed_request *rq, const glim_reply_info *info,
                           const glim_embed_result *r, glim_buf *out)
{
    glim_jw w;
    glim_jw_init(&w, out);
    switch (rq->kind) {
    case GLIM_EMBED_OPENAI:
    case GLIM_EMBED_ZHIPU:
        put_openai(&w, rq, info, r);
        break;
    case GLIM_EMBED_LEGACY:
        put_legacy(&w, rq, info, r);
        break;
    case GLIM_EMBED_LLAMA:
        put_llama(&w, rq, r);
        break;
    case GLIM_EMBED_OLLAMA:
        put_ollama(&w, rq, info, r);
        break;
    case GLIM_EMBED_OLLAMA_OLD:
        put_ollama_old(&w, rq, r);
        break;
    }
    return out->err;
}
