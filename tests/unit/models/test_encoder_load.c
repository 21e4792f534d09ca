/* SPDX-License-Identifier: MIT
 * test_encoder_load.c - what an encoder's file may say and what is refused: every tensor missing,
 * misshapen and of a wrong type in turn, values that contradict, both spellings of names, the head's
 * names in both families, allocations that fail. */
#include "golden.h"

#include "encfix.h"
#include "failnth.h"
#include "tmpfolder.h"
#include "toyencoder.h"

static tmp_folder tmp;

static int setup(void **state)
{
    (void)state;
    tmp_folder_make(&tmp);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    tmp_folder_end(&tmp);
    return 0;
}

static glim_err load(const char *path, bool plan_only, glim_error *e)
{
    glim_modelfile *f;
    glim_enc_core *m;
    const glim_load_opts opts = {.plan_only = plan_only};
    glim_err rc = glim_modelfile_open(path, 0, &f, e);
    if (rc) return rc;
    rc = glim_enc_is(f) ? glim_enc_load(f, &opts, &m, e)
                            : glim_fail(e, GLIM_E_STATE, "no encoder");
    if (!rc) glim_enc_free(m);
    glim_modelfile_close(f);
    return rc;
}

static void expect(const char *path, glim_err code, const char *word, const char *word2)
{
    for (int plan = 0; plan < 2; plan++) {
        glim_error e = {0};
        glim_err rc = load(path, plan != 0, &e);
        if (rc != code) fail_msg("%s %s: code %d \"%s\", not %d", word, word2, rc, e.msg, code);
        if (code && (!strstr(e.msg, word) || !strstr(e.msg, word2) || !strstr(e.msg, path)))
            fail_msg("\"%s\" lacks \"%s\", \"%s\" or the file", e.msg, word, word2);
    }
}

/* ---- GGUF -------------------------------------------------------------------------------------- */

static void test_tensors(void **state)
{
    toyenc s = toyenc_make();
    toyenc_tensor t[TOYENC_TENSORS_MAX];
    char path[400];
    size_t n = toyenc_tensors(&s, t);
    (void)state;
    expect(toyenc_write(&s, &tmp, "m.gguf", path), GLIM_OK, "", "");
    for (size_t i = 0; i < n; i++) {
        s.drop = t[i].name, s.grow = NULL;
        expect(toyenc_write(&s, &tmp, "m.gguf", path), GLIM_E_FORMAT, t[i].name, "missing");
        s.drop = NULL, s.grow = t[i].name;
        /* The file's own count of types and labels is the tensor's: for labels the bias tells. */
        if (strcmp(t[i].name, "token_types.weight") == 0)
            expect(toyenc_write(&s, &tmp, "m.gguf", path), GLIM_OK, "", "");
        else if (strcmp(t[i].name, "cls.output.weight") == 0)
            expect(toyenc_write(&s, &tmp, "m.gguf", path), GLIM_E_FORMAT, "cls.output.bias", "3");
        else
            expect(toyenc_write(&s, &tmp, "m.gguf", path), GLIM_E_FORMAT, t[i].name,
                   "model's values ask for");
    }
}

static void test_keys(void **state)
{
    static const struct {
        const char *key;
        uint32_t value;
        glim_err code;
        const char *word, *word2;
    } rules[] = {
        {"block_count", 3, GLIM_E_FORMAT, "blk.2.attn_q.weight", "missing"},
        {"block_count", 0, GLIM_E_FORMAT, "block_count is 0", "1..1024"},
        {"context_length", 299, GLIM_E_FORMAT, "position_embd.weight", "299"},
        {"embedding_length", 32, GLIM_E_FORMAT, "token_embd.weight", "32"},
        {"feed_forward_length", 96, GLIM_E_FORMAT, "blk.0.ffn_up.weight", "96"},
        {"attention.head_count", 3, GLIM_E_FORMAT, "embedding length and heads", "64 and 3"},
        {"attention.head_count", 0, GLIM_E_FORMAT, "head_count is 0", "1..4096"},
        {"vocab_size", 49, GLIM_E_FORMAT, "token_embd.weight", "49"},
        {"attention.causal", 1, GLIM_E_UNSUPPORTED, "attention.causal", "true"},
        {"attention.causal", 0, GLIM_OK, "", ""},
    };
    (void)state;
    for (size_t i = 0; i < GLIM_COUNT(rules); i++) {
        toyenc s = toyenc_make();
        char path[400];
        s.key = rules[i].key, s.value = rules[i].value;
        expect(toyenc_write(&s, &tmp, "m.gguf", path), rules[i].code, rules[i].word,
               rules[i].word2);
    }
}

/* ---- folders ----------------------------------------------------------------------------------- */

typedef struct change {
    const char *from, *to;
} change;

/* text with each change made at every place; free() it. Lengths may change. */
static char *changed(const char *text, const change *c, size_t n)
{
    char *now = strdup(text);
    for (size_t i = 0; i < n && c[i].from; i++) {
        glim_buf b;
        glim_buf_init(&b, (size_t)1 << 24);
        const char *at = now, *hit = strstr(now, c[i].from);
        if (!hit) fail_msg("there is no %s", c[i].from);
        for (; hit; at = hit + strlen(c[i].from), hit = strstr(at, c[i].from)) {
            assert_int_equal(glim_buf_add(&b, at, (size_t)(hit - at)), GLIM_OK);
            assert_int_equal(glim_buf_adds(&b, c[i].to), GLIM_OK);
        }
        assert_int_equal(glim_buf_adds(&b, at), GLIM_OK);
        free(now);
        now = strdup(b.p);
        glim_buf_deinit(&b);
    }
    return now;
}

/* Copies golden encoder `name` to the temporary folder, with changes in the configuration and in the
 * header of the weights. False when this checkout lacks it. */
static bool copy_folder(const char *name, const change *config, size_t n_config,
                        const change *header, size_t n_header)
{
    char at[200], path[512];
    size_t n;
    uint64_t n_head;
    snprintf(at, sizeof at, "encoders/%s/config.json", name);
    if (!golden_find(at, path, sizeof path)) return false;
    char *text = golden_read(path, &n);
    text[n] = 0;
    char *now = changed(text, config, n_config);
    tmp_text(&tmp, "config.json", now);
    free(text), free(now);

    snprintf(at, sizeof at, "encoders/%s/model.safetensors", name);
    if (!golden_find(at, path, sizeof path)) return false;
    char *weights = golden_read(path, &n);
    memcpy(&n_head, weights, 8);
    text = strndup(weights + 8, (size_t)n_head);
    now = changed(text, header, n_header);
    uint64_t n_now = strlen(now);
    char *out = malloc(n + n_now);
    memcpy(out, &n_now, 8);
    memcpy(out + 8, now, (size_t)n_now);
    memcpy(out + 8 + n_now, weights + 8 + n_head, n - 8 - (size_t)n_head);
    tmp_write(&tmp, "model.safetensors", out, n - (size_t)n_head + (size_t)n_now);
    free(weights), free(text), free(now), free(out);
    return true;
}

static void expect_folder(glim_err code, const char *word, const char *word2)
{
    expect(tmp.path, code, word, word2);
    tmp_remove(&tmp, "config.json");
    tmp_remove(&tmp, "model.safetensors");
}

typedef struct folder_case {
    const char *name;
    change config[3], header[2];
    glim_err code;
    const char *word, *word2;
} folder_case;

#define XLM "xlm-roberta-reranker"
static const folder_case folders[] = {
    {XLM, {{0}}, {{0}}, GLIM_OK, "", ""},
    {"ernie", {{0}}, {{0}}, GLIM_OK, "", ""},
    {XLM, {{"\"gelu\"", "\"gelu_new\""}}, {{0}}, GLIM_E_UNSUPPORTED, "hidden_act", "gelu_new"},
    {XLM,
     {{"\"is_decoder\": false", "\"is_decoder\": true"}},
     {{0}},
     GLIM_E_UNSUPPORTED,
     "is_decoder",
     "true"},
    {XLM,
     {{"\"use_cache\"", "\"position_embedding_type\": \"relative_key\", \"x\""}},
     {{0}},
     GLIM_E_UNSUPPORTED,
     "position_embedding_type",
     "relative_key"},
    {XLM,
     {{"\"use_cache\"", "\"quantization_config\": {}, \"x\""}},
     {{0}},
     GLIM_E_UNSUPPORTED,
     "quantization_config",
     "not"},
    {XLM,
     {{"\"pad_token_id\": 1", "\"pad_token_id\": 129"}},
     {{0}},
     GLIM_E_FORMAT,
     "padding",
     "130 and 129"},
    {XLM,
     {{"\"LABEL_0\"\n", "\"LABEL_0\", \"1\": \"b\"\n"}},
     {{0}},
     GLIM_E_FORMAT,
     "classifier.out_proj.weight",
     "80 x 2"},
    {XLM, {{"80", "96"}}, {{0}}, GLIM_E_FORMAT, "word_embeddings", "96"},
    {XLM, {{"\"vocab_size\": 2402", "\"x\": 1"}}, {{0}}, GLIM_E_FORMAT, "vocab_size", "missing"},
    {XLM,
     {{"\"type_vocab_size\": 1", "\"type_vocab_size\": 2"}},
     {{0}},
     GLIM_E_FORMAT,
     "roberta.embeddings.token_type_embeddings.weight",
     "80 x 2"},
    {"ernie",
     {{"\"task_type_vocab_size\": 3", "\"task_type_vocab_size\": 4"}},
     {{0}},
     GLIM_E_FORMAT,
     "task_type_embeddings",
     "80 x 4"},
    /* names: no prefix, and those of TensorFlow */
    {XLM, {{0}}, {{"\"roberta.", "\""}}, GLIM_OK, "", ""},
    {XLM,
     {{0}},
     {{"LayerNorm.weight", "LayerNorm.gamma"}, {"LayerNorm.bias", "LayerNorm.beta"}},
     GLIM_OK,
     "",
     ""},
    {XLM,
     {{0}},
     {{"LayerNorm.weight", "LayerNorm.gamma"}},
     GLIM_E_FORMAT,
     "LayerNorm.beta",
     "missing"},
    /* a class that promises a head */
    {"ernie",
     {{"\"ErnieModel\"", "\"ErnieForSequenceClassification\""}},
     {{0}},
     GLIM_E_FORMAT,
     "classifier.weight",
     "missing"},
    /* BERT's names of the same head */
    {XLM,
     {{"XLMRobertaFor", "BertFor"}, {"xlm-roberta", "bert"}},
     {{"classifier.dense", "bert.pooler.dense"}, {"classifier.out_proj", "classifier"}},
     GLIM_E_FORMAT,
     "embeddings.word_embeddings.weight",
     "missing"},
};

static void test_folders(void **state)
{
    (void)state;
    for (size_t i = 0; i < GLIM_COUNT(folders); i++) {
        const folder_case *c = &folders[i];
        if (!copy_folder(c->name, c->config, 3, c->header, 2))
            fail_msg("golden encoder %s is missing", c->name);
        expect_folder(c->code, c->word, c->word2);
    }
}

/* Every tensor under another name, and as whole numbers of the same size. */
static void test_folder_tensors(void **state)
{
    glim_modelfile *f;
    glim_error e = {0};
    char path[512];
    (void)state;
    if (!golden_find("encoders/" XLM, path, sizeof path)) fail_msg("the reranker is missing");
    if (glim_modelfile_open(path, 0, &f, &e)) fail_msg("%s", e.msg);
    for (size_t i = 0; i < glim_modelfile_n_tensor(f); i++) {
        glim_str name = glim_modelfile_tensor(f, i)->name;
        char from[2][120], to[2][120];
        snprintf(from[0], 120, "\"%.*s\":{\"dtype\":\"F32\"", (int)name.n, name.p);
        snprintf(to[0], 120, "\"%.*s\":{\"dtype\":\"I32\"", (int)name.n, name.p);
        snprintf(from[1], 120, "\"%.*s\":", (int)name.n, name.p);
        snprintf(to[1], 120, "\"x.%.*s\":", (int)name.n, name.p);
        for (int k = 0; k < 2; k++) {
            const change c = {from[k], to[k]};
            char tail[100];
            /* Without its prefix where the word table, by which the prefix is known, is gone. */
            const char *at = strstr(to[k], "word_embeddings") ? "embeddings.word" : NULL;
            snprintf(tail, sizeof tail, "%.*s", (int)name.n, name.p);
            assert_true(copy_folder(XLM, NULL, 0, &c, 1));
            expect_folder(GLIM_E_FORMAT, at ? at : tail, "missing");
        }
    }
    glim_modelfile_close(f);
}

/* The same head under BERT's names gives the same logits: XLM-R's weights as a BERT that happens to
 * have two rows of positions more than it was trained with give other ones, so only heads are compared. */
static void test_bert_head(void **state)
{
    static const change config[] = {{"XLMRobertaFor", "BertFor"}, {"xlm-roberta", "bert"}};
    static const change header[] = {{"\"roberta.", "\"bert."},
                                    {"classifier.dense", "bert.pooler.dense"},
                                    {"classifier.out_proj", "classifier"}};
    char path[512];
    encfix x, y;
    glim_error e = {0};
    float in[3 * 80], a[3], b[3];
    (void)state;
    if (!golden_find("encoders/" XLM, path, sizeof path)) fail_msg("the reranker is missing");
    assert_true(copy_folder(XLM, config, 2, header, 3));
    encfix_open(&x, path, GLIM_CPU_REF, 1, 8);
    encfix_open(&y, tmp.path, GLIM_CPU_REF, 1, 8);
    for (size_t i = 0; i < GLIM_COUNT(in); i++)
        in[i] = sinf((float)i);
    assert_string_equal(y.m->arch->name, "bert");
    assert_int_equal(y.m->n_ctx, x.m->n_ctx + 2); /* XLM-R begins behind the padding's row */
    assert_int_equal(glim_enc_classify(x.m, &x.o, in, 3, a, &e), GLIM_OK);
    assert_int_equal(glim_enc_classify(y.m, &y.o, in, 3, b, &e), GLIM_OK);
    assert_memory_equal(a, b, sizeof a);
    assert_true(fabsf(a[0]) > 1e-3f);
    encfix_close(&x);
    encfix_close(&y);
    tmp_remove(&tmp, "config.json");
    tmp_remove(&tmp, "model.safetensors");
}

static void test_no_memory(void **state)
{
    toyenc s = toyenc_make();
    char path[2][512];
    (void)state;
    toyenc_write(&s, &tmp, "m.gguf", path[0]);
    if (!golden_find("encoders/ernie", path[1], 512)) fail_msg("golden encoder ernie is missing");
    for (int i = 0; i < 2; i++) {
        glim_modelfile *f;
        glim_error e = {0};
        const glim_load_opts opts = {0};
        if (glim_modelfile_open(path[i], 0, &f, &e)) fail_msg("%s", e.msg);
        for (int64_t n = 0;; n++) {
            glim_enc_core *m = NULL;
            fail_nth nth;
            fail_nth_begin(&nth, n);
            glim_err rc = glim_enc_load(f, &opts, &m, &e);
            fail_nth_end();
            if (!fail_nth_hit(&nth)) {
                assert_int_equal(rc, GLIM_OK);
                glim_enc_free(m);
                assert_true(n > 1);
                break;
            }
            assert_int_equal(rc, GLIM_E_NOMEM);
            assert_null(m);
        }
        glim_modelfile_close(f);
    }
}

/* A model of another kind is refused by name, and an encoder is no core. */
static void test_kinds(void **state)
{
    toyenc s = toyenc_make();
    char path[512];
    glim_modelfile *f;
    glim_enc_core *m;
    glim_core *c;
    glim_error e = {0};
    const glim_load_opts opts = {0};
    (void)state;
    if (glim_modelfile_open(toyenc_write(&s, &tmp, "m.gguf", path), 0, &f, &e))
        fail_msg("%s", e.msg);
    assert_int_equal(glim_core_load(f, &opts, &c, &e), GLIM_E_UNSUPPORTED);
    glim_modelfile_close(f);
    if (!golden_find("models/glm-lite-small/model.gguf", path, sizeof path)) skip();
    if (glim_modelfile_open(path, 0, &f, &e)) fail_msg("%s", e.msg);
    assert_false(glim_enc_is(f));
    assert_int_equal(glim_enc_load(f, &opts, &m, &e), GLIM_E_UNSUPPORTED);
    assert_non_null(strstr(e.msg, "deepseek2"));
    glim_modelfile_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tensors),   cmocka_unit_test(test_keys),
        cmocka_unit_test(test_folders),   cmocka_unit_test(test_folder_tensors),
        cmocka_unit_test(test_bert_head), cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_kinds),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
