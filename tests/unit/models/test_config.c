/* SPDX-License-Identifier: MIT
 * test_config.c - what a folder's config.json may say: both styles give the same model, and every
 * rule is broken once by a small edit of a good configuration. */
#include "golden.h"

#include "corefix.h"
#include "tmpfolder.h"

static tmp_folder tmp;
static char *config; /* of the good model, NUL-terminated */
static char *weights;
static size_t n_weights;

static int setup(void **state)
{
    (void)state;
    char path[512];
    size_t n;
    tmp_folder_make(&tmp);
    if (!golden_find("models/glm-lite-small/config.json", path, sizeof path)) return 0;
    config = golden_read(path, &n);
    config[n] = 0;
    if (!golden_find("models/glm-lite-small/model.safetensors", path, sizeof path)) return -1;
    weights = golden_read(path, &n_weights);
    tmp_write(&tmp, "model.safetensors", weights, n_weights);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(config);
    free(weights);
    tmp_folder_end(&tmp);
    return 0;
}

typedef struct change {
    const char *from, *to; /* what stands in the configuration, and what replaces it */
} change;

/* Writes config.json with the changes made. Newlines and indents count. */
static void write_config(const change *c, size_t n)
{
    char *text = strdup(config);
    for (size_t i = 0; i < n && c[i].from; i++) {
        char *at = strstr(text, c[i].from);
        if (!at) fail_msg("the configuration has no %s", c[i].from);
        size_t before = (size_t)(at - text), n_from = strlen(c[i].from), n_to = strlen(c[i].to),
               rest = strlen(at + n_from);
        char *next = malloc(before + n_to + rest + 1);
        memcpy(next, text, before);
        memcpy(next + before, c[i].to, n_to);
        memcpy(next + before + n_to, at + n_from, rest + 1);
        free(text);
        text = next;
    }
    tmp_text(&tmp, "config.json", text);
    free(text);
}

#define MLP_TYPES " \"mlp_layer_types\": [\n  \"dense\",\n  \"sparse\",\n  \"sparse\"\n ],\n"
#define ROPE                                                                                       \
    " \"rope_parameters\": {\n  \"rope_theta\": 1000000.0,\n  \"rope_type\": \"default\"\n },\n"

typedef struct config_case {
    change c[3];
    glim_err code;
    const char *word, *word2;
} config_case;

static const config_case cases[] = {
    {{{"\"default\"", "\"linear\""}}, GLIM_E_UNSUPPORTED, "rope type", "linear"},
    {{{"\"default\"", "\"yarn\""}}, GLIM_E_FORMAT, "rope factor", "missing"},
    {{{"\"default\"", "\"yarn\", \"factor\": 0"}}, GLIM_E_FORMAT, "rope factor", "0"},
    {{{"\"default\"", "\"yarn\", \"factor\": 4"}}, GLIM_OK, NULL, NULL},
    {{{ROPE, " \"rope_theta\": 1e6, \"rope_scaling\": {\"type\": \"dynamic\", \"factor\": 2},\n"}},
     GLIM_E_UNSUPPORTED,
     "rope type",
     "dynamic"},
    {{{ROPE, ""}}, GLIM_E_FORMAT, "rope_theta", "missing"},
    {{{"\"silu\"", "\"gelu\""}}, GLIM_E_UNSUPPORTED, "hidden_act", "gelu"},
    {{{"{", "{\"quantization_config\": {\"bits\": 4},"}},
     GLIM_E_UNSUPPORTED,
     "quantization_config",
     "GGUF"},
    {{{"\"attention_bias\": false", "\"attention_bias\": true"}},
     GLIM_E_UNSUPPORTED,
     "attention_bias",
     NULL},
    {{{"\"rope_interleave\": true", "\"rope_interleave\": false"}},
     GLIM_E_UNSUPPORTED,
     "rope_interleave",
     NULL},
    {{{"{", "{\"moe_layer_freq\": 2,"}}, GLIM_E_UNSUPPORTED, "moe_layer_freq", "2"},
    {{{"{", "{\"moe_layer_freq\": 1,"}}, GLIM_OK, NULL, NULL},
    {{{"{", "{\"scoring_func\": \"softmax\","}}, GLIM_E_FORMAT, "scoring_func", "sigmoid"},
    {{{"{", "{\"scoring_func\": \"sigmoid\","}}, GLIM_OK, NULL, NULL},
    {{{"\"glm4_moe_lite\"", "\"deepseek_v2\""}, {"{", "{\"scoring_func\": \"sigmoid\","}},
     GLIM_E_FORMAT,
     "scoring_func",
     "softmax"},
    {{{"\"glm4_moe_lite\"", "\"DeepSeek_V2\""}, {"{", "{\"scoring_func\": \"sigmoid\","}},
     GLIM_E_FORMAT,
     "scoring_func",
     "softmax"},
    {{{"{", "{\"topk_method\": \"noaux_tc\","}}, GLIM_OK, NULL, NULL},
    {{{"{", "{\"topk_method\": \"greedy\","}, {"\"n_group\": 1", "\"n_group\": 3"}},
     GLIM_OK,
     NULL,
     NULL},
    {{{"{", "{\"topk_method\": \"lottery\","}}, GLIM_E_UNSUPPORTED, "topk_method", "lottery"},
    {{{" \"routed_scaling_factor\": 1.8,\n", ""}}, GLIM_E_FORMAT, "routed_scaling_factor", NULL},
    {{{" \"norm_topk_prob\": true,\n", ""}}, GLIM_OK, NULL, NULL},
    {{{"\"sparse\"", "\"hash\""}}, GLIM_E_UNSUPPORTED, "mlp_layer_types[1]", "neither"},
    {{{"  \"sparse\"\n", "  \"dense\"\n"}}, GLIM_E_UNSUPPORTED, "mlp_layer_types[2]", "after"},
    {{{"  \"dense\",\n", ""}}, GLIM_E_FORMAT, "mlp_layer_types has 2", "3"},
    {{{"  \"dense\",\n", "  \"dense\", \"dense\",\n"}},
     GLIM_E_FORMAT,
     "mlp_layer_types has 4",
     "3"},
    {{{"  \"sparse\",\n", "  \"dense\",\n"}},
     GLIM_E_FORMAT,
     "model.layers.1.mlp.gate_proj.weight",
     "missing"},
    {{{"\"num_experts_per_tok\": 2", "\"num_experts_per_tok\": 9"}},
     GLIM_E_FORMAT,
     "experts used",
     "9 and 8"},
    /* all layers dense but for the prediction layer: the values count */
    {{{MLP_TYPES, ""},
      {"\"first_k_dense_replace\": 1", "\"first_k_dense_replace\": 3"},
      {"\"num_experts_per_tok\": 2", "\"num_experts_per_tok\": 9"}},
     GLIM_E_FORMAT,
     "experts used",
     "9 and 8"},
    {{{"\"n_group\": 1", "\"n_group\": 3"}}, GLIM_E_FORMAT, "groups", "8 and 3"},
    {{{"\"qk_rope_head_dim\": 8", "\"qk_rope_head_dim\": 7"}}, GLIM_E_FORMAT, "odd", "7"},
    {{{"\"glm4_moe_lite\"", "\"glm4\""}}, GLIM_E_UNSUPPORTED, "glm4", "glm4_moe_lite"},
    {{{" \"model_type\": \"glm4_moe_lite\",\n", ""}}, GLIM_E_FORMAT, "model_type", NULL},
    {{{"\"glm4_moe_lite\"", "7"}}, GLIM_E_FORMAT, "model_type", NULL},
    {{{"\"hidden_size\": 64", "\"hidden_size\": 65"}},
     GLIM_E_FORMAT,
     "model.embed_tokens.weight",
     "65"},
    {{{"\"vocab_size\": 384", "\"vocab_size\": 383"}},
     GLIM_E_FORMAT,
     "model.embed_tokens.weight",
     "383"},
    {{{",\n \"vocab_size\": 384", ""}}, GLIM_OK, NULL, NULL},
    {{{" \"kv_lora_rank\": 32,\n", ""}}, GLIM_E_FORMAT, "kv_lora_rank is missing", NULL},
    {{{"\"kv_lora_rank\": 32", "\"kv_lora_rank\": null"}},
     GLIM_E_FORMAT,
     "kv_lora_rank is missing",
     NULL},
    {{{"\"q_lora_rank\": 48", "\"q_lora_rank\": null"}},
     GLIM_E_FORMAT,
     "self_attn.q_proj.weight",
     "missing"},
    {{{"\"intermediate_size\": 160", "\"intermediate_size\": \"160\""}},
     GLIM_E_FORMAT,
     "intermediate_size must be a whole number",
     NULL},
    {{{"\"intermediate_size\": 160", "\"intermediate_size\": 160.5"}},
     GLIM_E_FORMAT,
     "intermediate_size must be a whole number",
     NULL},
    {{{"\"rms_norm_eps\": 1e-05", "\"rms_norm_eps\": 1"}},
     GLIM_E_FORMAT,
     "rms_norm_eps is 1",
     NULL},
    {{{"\"norm_topk_prob\": true", "\"norm_topk_prob\": 1"}},
     GLIM_E_FORMAT,
     "norm_topk_prob must be true or false",
     NULL},
    {{{"\"n_routed_experts\": 8", "\"n_routed_experts\": 16"}},
     GLIM_E_FORMAT,
     "model.layers.1.mlp.gate.weight",
     "16"},
    {{{"\"num_hidden_layers\": 3", "\"num_hidden_layers\": 5"}, {MLP_TYPES, ""}},
     GLIM_E_FORMAT,
     "model.layers.4.input_layernorm.weight",
     "missing"},
    {{{"\"tie_word_embeddings\": false", "\"tie_word_embeddings\": true"}}, GLIM_OK, NULL, NULL},
};

static glim_err load(glim_error *e)
{
    glim_modelfile *f;
    glim_core *c;
    glim_load_opts opts = corefix_opts();
    glim_err rc = glim_modelfile_open(tmp.path, 0, &f, e);
    if (rc) return rc;
    rc = glim_core_load(f, &opts, &c, e);
    if (!rc) glim_core_free(c);
    glim_modelfile_close(f);
    return rc;
}

static void test_edits(void **state)
{
    (void)state;
    if (!config) skip();
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        glim_error e = {0};
        write_config(cases[i].c, GLIM_COUNT(cases[i].c));
        glim_err rc = load(&e);
        if (rc != cases[i].code)
            fail_msg("%s: code %d \"%s\", not %d", cases[i].c[0].to, rc, e.msg, cases[i].code);
        if (rc && (!strstr(e.msg, cases[i].word) || !strstr(e.msg, tmp.path) ||
                   (cases[i].word2 && !strstr(e.msg, cases[i].word2))))
            fail_msg("%s: \"%s\"", cases[i].c[0].to, e.msg);
    }
}

/* ---- styles --------------------------------------------------------------------------------- */

static const int32_t tokens[] = {350, 352, 355, 10, 20, 30, 40, 50, 356, 7};
static const corefix_way way = {GLIM_F32, GLIM_MLA_ABSORBED, 4};

static float *logits(void)
{
    corefix x;
    corefix_open(&x, tmp.path, GLIM_CPU_REF, 1, 4);
    assert_int_equal(x.c->n_layer, 3);
    assert_int_equal(x.c->n_vocab, 384);
    float *l = corefix_logits(&x, way, tokens, GLIM_COUNT(tokens));
    corefix_close(&x);
    return l;
}

/* The same model in the words of older configurations, of newer ones, and with values left to the
 * architecture's own defaults. */
static void test_styles(void **state)
{
    (void)state;
    static const change styles[][2] = {
        {{MLP_TYPES, ""}, {ROPE, " \"rope_theta\": 1000000, \"rope_scaling\": null,\n"}},
        {{MLP_TYPES, ""}, {NULL, NULL}},
        {{" \"first_k_dense_replace\": 1,\n", ""}, {NULL, NULL}},
        {{" \"norm_topk_prob\": true,\n", ""}, {" \"rope_interleave\": true,\n", ""}},
        {{"\"num_nextn_predict_layers\": 1", "\"num_nextn_predict_layers\": 0"}, {NULL, NULL}},
        {{"\"rope_type\": \"default\"", "\"rope_type\": \"default\", \"factor\": 8"}, {NULL, NULL}},
    };
    if (!config) skip();
    write_config(NULL, 0);
    float *want = logits();
    for (size_t i = 0; i < GLIM_COUNT(styles); i++) {
        write_config(styles[i], 2);
        float *got = logits();
        corefix_same(styles[i][0].from, got, want, (int64_t)GLIM_COUNT(tokens) * 384);
        glim_free(got);
    }
    /* and it can fail: YaRN in either style is the same, and something else */
    static const change yarn[][1] = {
        {{"\"rope_type\": \"default\"", "\"rope_type\": \"yarn\", \"factor\": 8, "
                                        "\"original_max_position_embeddings\": 4"}},
        {{ROPE, " \"rope_theta\": 1e6, \"rope_scaling\": {\"type\": \"yarn\", \"factor\": 8, "
                "\"original_max_position_embeddings\": 4},\n"}},
    };
    write_config(yarn[0], 1);
    float *a = logits();
    write_config(yarn[1], 1);
    float *b = logits();
    corefix_same("yarn", a, b, (int64_t)GLIM_COUNT(tokens) * 384);
    assert_true(corefix_error(a, want, GLIM_COUNT(tokens), 384, NULL) > 1e-4);
    glim_free(a);
    glim_free(b);
    glim_free(want);
}

/* Names that only GGUF files have mean nothing in a folder: a tensor called like a placeholder must
 * not be taken for one of them. */
static void test_no_such_name(void **state)
{
    (void)state;
    static const char from[] = "\"model.layers.3.eh_proj.weight\"";
    char to[sizeof from];
    if (!config) skip();
    write_config(NULL, 0);
    memset(to, ' ', sizeof to); /* blanks between key and colon keep the header's length */
    memcpy(to, "\"model.layers.1.?\"", 18);
    char *at = strstr(weights + 8, from);
    assert_non_null(at);
    memcpy(at, to, sizeof from - 1);
    tmp_write(&tmp, "model.safetensors", weights, n_weights);
    glim_error e = {0};
    if (load(&e)) fail_msg("%s", e.msg);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_edits),
        cmocka_unit_test(test_styles),
        cmocka_unit_test(test_no_such_name),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
