/* SPDX-License-Identifier: MIT
 * test_golden_models.c - every golden model opens, as a folder and as a GGUF, with the same weights
 * in both. */
#include "golden.h"

#include "formats/formats.h"

typedef struct model {
    const char *folder;
    size_t n_folder, n_gguf; /* tensors; 0: no such file */
    const char *arch;        /* model_type */
} model;

static const model models[] = {
    {"deepseek-v2-lite", 83, 44, "deepseek_v2"},
    {"deepseek-v3", 139, 52, "deepseek_v3"},
    {"glm-lite-flash", 221, 34, "glm4_moe_lite"},
    {"glm-lite-groups", 133, 46, "glm4_moe_lite"},
    {"glm-lite-odd", 205, 74, "glm4_moe_lite"},
    {"glm-lite-small", 133, 74, "glm4_moe_lite"},
    {"glm4-0414", 33, 33, "glm4"},
    {"glm4-9b", 36, 24, "glm"},
    {"glm4-9b-chatglm", 25, 0, "chatglm"},
    {"glm4-moe", 97, 55, "glm4_moe"},
    {"qwen2", 39, 39, "qwen2"},
};

static glim_modelfile *open_ok(const char *path)
{
    glim_modelfile *f = NULL;
    glim_error e = {0};
    if (glim_modelfile_open(path, 0, &f, &e)) fail_msg("%s", e.msg);
    return f;
}

static void check_tensors(const glim_modelfile *f)
{
    for (size_t i = 0; i < glim_modelfile_n_tensor(f); i++) {
        const glim_tensor *t = glim_modelfile_tensor(f, i);
        assert_ptr_equal(glim_modelfile_find(f, t->name), t);
        const int64_t n = t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3];
        size_t bytes = 0;
        assert_true(glim_type_bytes(t->type, n, &bytes));
        assert_int_equal(bytes, t->n_bytes);
        volatile uint8_t last = t->data[t->n_bytes - 1]; /* inside the map */
        (void)last;
    }
    assert_null(glim_modelfile_tensor(f, glim_modelfile_n_tensor(f)));
    assert_null(glim_modelfile_find(f, GLIM_STR("no such tensor")));
}

static void golden_models(void **state)
{
    (void)state;
    int n = 0;
    for (size_t i = 0; i < GLIM_COUNT(models); i++) {
        const model *m = &models[i];
        char name[128], path[600];
        snprintf(name, sizeof name, "models/%s", m->folder);
        if (!golden_find(name, path, sizeof path)) continue;
        n++;
        glim_modelfile *f = open_ok(path);
        assert_int_equal(glim_modelfile_container(f), GLIM_CONTAINER_SAFETENSORS);
        assert_int_equal(glim_modelfile_n_tensor(f), m->n_folder);
        assert_int_equal(glim_modelfile_n_part(f), 1);
        check_tensors(f);
        const glim_json *type = glim_json_get(glim_modelfile_config(f), "model_type");
        assert_true(glim_json_is(type, GLIM_JSON_STRING) && glim_str_is(type->text, m->arch));
        assert_true(glim_modelfile_tokenizer_json(f).n > 1000);
        assert_int_equal(glim_modelfile_n_meta(f), 0);

        if (m->n_gguf) {
            strncat(path, "/model.gguf", sizeof path - strlen(path) - 1);
            glim_modelfile *g = open_ok(path);
            assert_int_equal(glim_modelfile_container(g), GLIM_CONTAINER_GGUF);
            assert_int_equal(glim_modelfile_n_tensor(g), m->n_gguf);
            check_tensors(g);
            const glim_tensor *a = glim_modelfile_find(g, GLIM_STR("token_embd.weight"));
            const glim_tensor *b = glim_modelfile_find(f, GLIM_STR("model.embed_tokens.weight"));
            assert_non_null(a);
            assert_non_null(b);
            assert_int_equal(a->ne[0], b->ne[0]);
            assert_int_equal(a->ne[1], b->ne[1]);
            if (a->type == b->type) assert_memory_equal(a->data, b->data, a->n_bytes);
            glim_str s;
            assert_true(glim_meta_str(glim_modelfile_meta(g, "general.architecture"), &s));
            const glim_meta *tokens = glim_modelfile_meta(g, "tokenizer.ggml.tokens");
            assert_non_null(tokens);
            glim_meta_iter it = {.m = tokens};
            uint64_t count = 0;
            while (glim_meta_next_str(&it, &s))
                count++;
            assert_int_equal(count, tokens->n_elem);
            assert_int_equal(count, a->ne[1]);
            glim_modelfile_close(g);
        }
        glim_modelfile_close(f);
    }
    if (n == 0) skip();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_models),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
