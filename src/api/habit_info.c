/* SPDX-License-Identifier: MIT
 * habit_info.c - what clients of the FastAPI server and of SGLang ask beside generating.
 * Owns:   their lists of models, and whose body a POST /embedding has.
 * Thread: any, pure.
 * Fails:  what the buffer gives (NOMEM, LIMIT).
 * See:    tests/unit/api/test_legacy.c */
#include "api/api_priv.h"

#include <math.h>

/* ---- the FastAPI server ---------------------------------------------------------------------- */

static void put_legacy_model(glim_jw *w, const glim_api_model *m)
{
    static const char *const nulls[] = {"root", "parent", "permission"};
    glim_jw_object(w);
    glim_jw_key(w, "id");
    glim_jw_str(w, m->id);
    glim_jw_key(w, "object"); /* there the word for what a model is for */
    glim_jw_str(
        w, glim_str_of(m->kind == GLIM_API_CHAT ? "chat.completion" : glim_api_kind_name(m->kind)));
    glim_jw_key(w, "created");
    glim_jw_i64(w, m->created_s);
    glim_jw_key(w, "owned_by");
    glim_jw_str(w, GLIM_STR("owner"));
    for (size_t i = 0; i < GLIM_COUNT(nulls); i++) {
        glim_jw_key(w, nulls[i]);
        glim_jw_null(w);
    }
    glim_jw_object_end(w);
}

glim_err glim_legacy_models_encode(const glim_api_model *m, size_t n, glim_buf *out)
{
    glim_jw w;
    glim_jw_init(&w, out);
    glim_jw_object(&w);
    glim_jw_key(&w, "object");
    glim_jw_str(&w, GLIM_STR("list"));
    glim_jw_key(&w, "data");
    glim_jw_array(&w);
    for (size_t i = 0; i < n; i++)
        put_legacy_model(&w, &m[i]);
    glim_jw_array_end(&w);
    glim_jw_object_end(&w);
    return out->err;
}

bool glim_embedding_is_llama(glim_arena *a, glim_str body)
{
    glim_json *root;
    if (glim_json_parse(a, body, &root, NULL)) return false;
    bool named = glim_api_given(root, "content") || glim_api_given(root, "input");
    return named && !glim_json_get(root, "prompt");
}

/* ---- SGLang ---------------------------------------------------------------------------------- */

/* The settings that the model's files propose, as members of sampling_params. */
static void put_preferred(glim_jw *w, const glim_model_facts *f)
{
    if (!f) {
        glim_jw_null(w);
        return;
    }
    const struct {
        const char *key;
        float v;
    } settings[] = {{"temperature", f->temperature}, {"top_p", f->top_p}, {"min_p", f->min_p}};
    glim_jw_object(w);
    for (size_t i = 0; i < GLIM_COUNT(settings); i++) {
        if (isnan(settings[i].v)) continue;
        glim_jw_key(w, settings[i].key);
        glim_jw_f32(w, settings[i].v);
    }
    glim_jw_key(w, "top_k");
    glim_jw_i64(w, f->top_k > 0 ? f->top_k : -1); /* there -1 is off */
    glim_jw_object_end(w);
}

glim_err glim_sglang_model_info_encode(const glim_api_model *m, glim_buf *out)
{
    static const char *const senses[] = {"has_image_understanding", "has_audio_understanding"};
    static const char *const paths[] = {"model_path", "tokenizer_path"};
    const glim_str path = m->facts && m->facts->path.n ? m->facts->path : m->id;
    glim_jw w;
    glim_jw_init(&w, out);
    glim_jw_object(&w);
    for (size_t i = 0; i < GLIM_COUNT(paths); i++) {
        glim_jw_key(&w, paths[i]);
        glim_jw_str(&w, path);
    }
    glim_jw_key(&w, "is_generation");
    glim_jw_bool(&w, m->kind == GLIM_API_CHAT);
    glim_jw_key(&w, "preferred_sampling_params");
    put_preferred(&w, m->kind == GLIM_API_CHAT ? m->facts : NULL);
    glim_jw_key(&w, "weight_version");
    glim_jw_str(&w, GLIM_STR("default"));
    for (size_t i = 0; i < GLIM_COUNT(senses); i++) {
        glim_jw_key(&w, senses[i]);
        glim_jw_bool(&w, false);
    }
    glim_jw_object_end(&w);
    return out->err;
}
