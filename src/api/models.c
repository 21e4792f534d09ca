/* SPDX-License-Identifier: MIT
 * models.c - the list of models and one of them, with the extra members that OpenAI's relatives
 * add.
 * Thread: any, pure.
 * Fails:  what the buffer gives (NOMEM, LIMIT).
 * See:    tests/unit/api/test_text_routes.c */
#include "api/api_priv.h"

const char *glim_api_kind_name(glim_api_kind kind)
{
    switch (kind) {
    case GLIM_API_CHAT:
        return "chat";
    case GLIM_API_EMBEDDING:
        return "embedding";
    case GLIM_API_RERANK:
        return "rerank";
    }
    return "unknown";
}

/* Of a model that was never in memory some things are not known yet. */
static void put_known(glim_jw *w, const char *key, uint64_t v)
{
    glim_jw_key(w, key);
    if (v)
        glim_jw_u64(w, v);
    else
        glim_jw_null(w);
}

static void put_model(glim_jw *w, const glim_api_model *m)
{
    glim_jw_object(w);
    glim_jw_key(w, "id");
    glim_jw_str(w, m->id);
    glim_jw_key(w, "object");
    glim_jw_str(w, GLIM_STR("model"));
    glim_jw_key(w, "created");
    glim_jw_i64(w, m->created_s);
    glim_jw_key(w, "owned_by");
    glim_jw_str(w, GLIM_STR("glim"));
    glim_jw_key(w, "root");
    glim_jw_str(w, m->id);
    glim_jw_key(w, "parent");
    glim_jw_null(w);
    put_known(w, "max_model_len", (uint64_t)m->n_ctx); /* SGLang, vLLM */
    put_known(w, "context_length", (uint64_t)m->n_ctx);
    glim_jw_key(w, "meta"); /* llama-server */
    glim_jw_object(w);
    put_known(w, "n_ctx_train", (uint64_t)m->n_ctx_train);
    put_known(w, "n_params", m->n_param);
    glim_jw_key(w, "size");
    glim_jw_u64(w, m->size_bytes);
    glim_jw_object_end(w);
    glim_jw_key(w, "kind"); /* ours: which routes it answers */
    glim_jw_str(w, glim_str_of(glim_api_kind_name(m->kind)));
    glim_jw_object_end(w);
}

glim_err glim_models_encode(const glim_api_model *m, size_t n, glim_buf *out)
{
    glim_jw w;
    glim_jw_init(&w, out);
    glim_jw_object(&w);
    glim_jw_key(&w, "object");
    glim_jw_str(&w, GLIM_STR("list"));
    glim_jw_key(&w, "data");
    glim_jw_array(&w);
    for (size_t i = 0; i < n; i++)
        put_model(&w, &m[i]);
    glim_jw_array_end(&w);
    glim_jw_object_end(&w);
    return out->err;
}

glim_err glim_model_encode(const glim_api_model *m, glim_buf *out)
{
    glim_jw w;
    glim_jw_init(&w, out);
    put_model(&w, m);
    return out->err;
}
