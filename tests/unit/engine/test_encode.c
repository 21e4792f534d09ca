/* SPDX-License-Identifier: MIT
 * test_encode.c - encoders: what a file is, opening and refusing, tokenizers of folders and GGUF
 * files, texts to ids and pairs cut to fit, vectors in steps, ranking, keywords; wrong inputs, a
 * cancel, memory that fails at each place. */
#include "golden.h"

#include "engine/engine_int.h"

#include <math.h>

#include "demo.h"
#include "failnth.h"
#include "tmpfolder.h"

#include "encfolder.h"
#include "toyencoder.h"

static tmp_folder ernie, ranker; /* whole encoders */

static int setup(void **state)
{
    (void)state;
    tmp_folder_make(&ernie);
    tmp_folder_make(&ranker);
    enc_ernie(&ernie);
    enc_reranker(&ranker);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    tmp_folder_end(&ernie);
    tmp_folder_end(&ranker);
    return 0;
}

static glim_encoder *open_as(const char *path, const char *cpu, int n_thread)
{
    glim_encoder_opts o;
    glim_encoder *m;
    glim_error e = {0};
    glim_encoder_opts_init(&o);
    o.cpu = cpu;
    o.n_thread = n_thread;
    if (glim_encoder_open(path, &o, &m, &e)) fail_msg("%s: %s", path, e.msg);
    return m;
}

static glim_encoded encode(const glim_encoder *m, const char *text, const char *second,
                           size_t n_max)
{
    glim_encoded t;
    glim_error e = {0};
    glim_str b = S(second ? second : "");
    if (glim_encode(m, S(text), second ? &b : NULL, n_max, &t, &e)) fail_msg("%s", e.msg);
    return t;
}

/* n ids of one kind between the model's own. */
static void fill_text(char *out, size_t n_word)
{
    for (size_t i = 0; i < n_word; i++)
        memcpy(out + 2 * i, "a ", 2);
    out[2 * n_word] = 0;
}

/* ---- kinds ----------------------------------------------------------------------------------- */

static void put_vocab(glim_gguf_writer *w, const void *user);

static void test_kinds(void **state)
{
    (void)state;
    tmp_folder t;
    char three[400], strange[400];
    tmp_folder_make(&t);
    toyenc s = toyenc_make();
    s.n_label = 3;
    toyenc_write(&s, &t, "three.gguf", three);
    tmp_text(&t, "config.json", "{\"model_type\":\"mystery\"}");
    char from[400];
    snprintf(from, sizeof from, "%s/model.safetensors", TINY_DIR);
    enc_link(&t, from, "model.safetensors");
    (void)tmp_path(&t, "nothing", strange);
    const struct {
        const char *path;
        glim_err rc;
        glim_model_kind kind;
        const char *arch;
    } rows[] = {
        {DEMO_GGUF, GLIM_OK, GLIM_KIND_CHAT, "deepseek2"},
        {TINY_DIR, GLIM_OK, GLIM_KIND_CHAT, "glm4_moe_lite"},
        {ernie.path, GLIM_OK, GLIM_KIND_EMBEDDING, "ernie"},
        {ranker.path, GLIM_OK, GLIM_KIND_RERANK, "xlm-roberta"},
        {three, GLIM_OK, GLIM_KIND_EMBEDDING, "bert"}, /* classes, not an order */
        {t.path, GLIM_OK, GLIM_KIND_UNKNOWN, "mystery"},
        {strange, GLIM_E_NOTFOUND, GLIM_KIND_UNKNOWN, ""},
    };
    for (size_t i = 0; i < GLIM_COUNT(rows); i++) {
        glim_model_look look;
        glim_error e = {0};
        if (glim_model_look_at(rows[i].path, &look, &e) != rows[i].rc)
            fail_msg("%s: %s", rows[i].path, e.msg);
        assert_string_equal(glim_model_kind_name(look.kind), glim_model_kind_name(rows[i].kind));
        assert_string_equal(look.arch, rows[i].arch);
        if (!rows[i].rc) assert_true(look.bytes > 1000 && look.file_bytes > look.bytes);
    }
    assert_string_equal(glim_model_kind_name((glim_model_kind)77), "unknown");
    tmp_folder_end(&t);
}

/* ---- opening --------------------------------------------------------------------------------- */

static void test_info(void **state)
{
    (void)state;
    glim_encoder_info plan;
    glim_error e = {0};
    glim_encoder *m = open_as(ernie.path, "ref", 1);
    const glim_encoder_info *i = glim_encoder_get_info(m);
    assert_int_equal(i->kind, GLIM_KIND_EMBEDDING);
    assert_string_equal(i->arch, "ernie");
    assert_string_equal(i->cpu, "ref");
    assert_string_equal(i->format, "safetensors");
    assert_string_equal(i->quant, "F32");
    assert_string_equal(i->name, "");
    assert_int_equal(i->n_layer, 3);
    assert_int_equal(i->n_head, 4);
    assert_int_equal(i->n_embd, 80);
    assert_int_equal(i->n_vocab, 3000);
    assert_int_equal(i->n_ctx, 64);
    assert_int_equal(i->n_max, 64);
    assert_int_equal(i->n_label, 0);
    assert_int_equal(i->pooling, GLIM_POOLING_MEAN);
    assert_false(i->normalize);
    assert_int_equal(i->n_thread, 1);
    glim_encoder_opts o;
    glim_encoder_opts_init(&o);
    o.n_thread = 1;
    assert_int_equal(glim_encoder_plan(ernie.path, &o, &plan, &e), GLIM_OK);
    assert_int_equal(plan.weights, i->weights); /* the plan is what is then done */
    assert_int_equal(plan.derived, i->derived);
    assert_int_equal(plan.scratch, i->scratch);
    assert_int_equal(plan.n_param, i->n_param);
    glim_encoder_close(m);
    glim_encoder_close(NULL);
}

static bool stop_loading(void *user, uint64_t done, uint64_t total)
{
    assert_true(done <= total);
    return ++*(int *)user < 3;
}

static void test_open_refused(void **state)
{
    (void)state;
    int n = 0;
    const struct {
        const char *path;
        glim_encoder_opts o;
        glim_err rc;
        const char *says;
    } rows[] = {
        {DEMO_GGUF, {0}, GLIM_E_UNSUPPORTED, "chat model (\"deepseek2\")"},
        {GLIM_SOURCE_DIR "/no such model", {0}, GLIM_E_NOTFOUND, "no such model"},
        {ernie.path, {.n_thread = -1}, GLIM_E_INPUT, "threads"},
        {ernie.path, {.cpu = "sse9"}, GLIM_E_INPUT, "avx2"},
        {ernie.path, {.n_max = -5}, GLIM_E_INPUT, "context"},
        {ernie.path, {.n_max = 65}, GLIM_E_CONTEXT, "--ctx 64"},
        {ernie.path, {.progress = stop_loading, .progress_user = &n}, GLIM_E_CANCELLED, "cancel"},
    };
    for (size_t i = 0; i < GLIM_COUNT(rows); i++) {
        glim_encoder_opts o = rows[i].o;
        glim_encoder *m = NULL;
        glim_error e = {0};
        o.size = sizeof o;
        if (glim_encoder_open(rows[i].path, &o, &m, &e) != rows[i].rc ||
            !strstr(e.msg, rows[i].says))
            fail_msg("row %zu: %s", i, e.msg);
        assert_null(m);
    }
    /* The other way round. */
    glim_model *chat;
    glim_memory_plan p;
    glim_error e = {0};
    assert_int_equal(glim_model_open(ernie.path, NULL, &chat, &e), GLIM_E_UNSUPPORTED);
    assert_non_null(strstr(e.msg, "embedding model (\"ernie\")"));
    assert_int_equal(glim_model_plan(ranker.path, NULL, &p, &e), GLIM_E_UNSUPPORTED);
}

static void test_short_options(void **state)
{
    (void)state;
    glim_encoder_opts o = {.size = offsetof(glim_encoder_opts, n_max), .n_max = -7};
    glim_encoder *m;
    glim_error e = {0};
    if (glim_encoder_open(ernie.path, &o, &m, &e)) fail_msg("%s", e.msg);
    assert_int_equal(glim_encoder_get_info(m)->n_max, 64);
    glim_encoder_close(m);
}

/* ---- tokenizers of folders ------------------------------------------------------------------- */

static void test_folder_tokenizers(void **state)
{
    (void)state;
    const struct {
        const char *encoder, *tokenizer, *file, *config;
        glim_err rc;
        const char *says; /* of a failure; else the pieces of "Hi É" */
    } rows[] = {
        {"ernie", "wordpiece-cased", "tokenizer.json", NULL, GLIM_OK, NULL},
        {"ernie", "wordpiece-cased", "vocab.txt", "{\"do_lower_case\":false}", GLIM_OK, NULL},
        {"ernie", "wordpiece-uncased", "vocab.txt", "{}", GLIM_OK, "lower"},
        {"ernie", "wordpiece-uncased", "vocab.txt",
         "{\"tokenizer_class\":\"BertTokenizerFast\",\"do_lower_case\":null}", GLIM_OK, "lower"},
        {"ernie", "wordpiece-cased", "vocab.txt", "{\"do_lower_case\":5}", GLIM_E_FORMAT,
         "do_lower_case"},
        {"ernie", "wordpiece-cased", "vocab.txt", "{\"do_basic_tokenize\":false}",
         GLIM_E_UNSUPPORTED, "do_basic_tokenize \"false\""},
        {"ernie", "wordpiece-cased", "vocab.txt", "{\"tokenize_chinese_chars\":false}",
         GLIM_E_UNSUPPORTED, "tokenize_chinese_chars"},
        {"ernie", "wordpiece-cased", "vocab.txt", "{\"strip_accents\":false}", GLIM_E_UNSUPPORTED,
         "strip_accents"},
        {"ernie", "wordpiece-cased", "vocab.txt", "{\"tokenizer_class\":\"BertJapaneseTokenizer\"}",
         GLIM_E_UNSUPPORTED, "BertJapaneseTokenizer"},
        {"xlm-roberta-reranker", "sp-unigram-xlmr", "sentencepiece.bpe.model",
         "{\"tokenizer_class\":\"XLMRobertaTokenizer\"}", GLIM_OK, NULL},
        {"xlm-roberta-reranker", "sp-unigram-xlmr", "sentencepiece.bpe.model",
         "{\"tokenizer_class\":\"CamembertTokenizer\"}", GLIM_E_UNSUPPORTED, "CamembertTokenizer"},
        {"xlm-roberta-reranker", "wordpiece-cased", "vocab.txt", NULL, GLIM_E_FORMAT,
         "do not belong together"},
        {"ernie", "wordpiece-cased", "cases.jsonl", NULL, GLIM_E_NOTFOUND, "no tokenizer"},
    };
    for (size_t i = 0; i < GLIM_COUNT(rows); i++) {
        tmp_folder t;
        glim_encoder *m = NULL;
        glim_error e = {0};
        tmp_folder_make(&t);
        enc_weights(&t, rows[i].encoder);
        enc_tokenizer(&t, rows[i].tokenizer, rows[i].file);
        if (rows[i].config) tmp_text(&t, "tokenizer_config.json", rows[i].config);
        if (glim_encoder_open(t.path, NULL, &m, &e) != rows[i].rc ||
            (rows[i].rc && !strstr(e.msg, rows[i].says)))
            fail_msg("row %zu: %s", i, e.msg);
        if (m) {
            glim_encoded a = encode(m, "H", NULL, 0), b = encode(m, "h", NULL, 0);
            bool same = a.n == b.n && memcmp(a.ids, b.ids, a.n * sizeof *a.ids) == 0;
            assert_int_equal(same, rows[i].says != NULL);
            glim_encoded_free(&a);
            glim_encoded_free(&b);
        }
        glim_encoder_close(m);
        tmp_folder_end(&t);
    }
}

static void test_damaged_vocab(void **state)
{
    (void)state;
    static const struct {
        const char *file, *text;
        glim_err rc;
        const char *says;
    } rows[] = {
        {"vocab.txt", "", GLIM_E_FORMAT, "vocab.txt: empty"},
        {"vocab.txt", "[CLS]\n[SEP]\nx\n", GLIM_E_FORMAT, "unknown"},
        {"vocab.txt", "[CLS]\n[SEP]\n[UNK]\nx\nx\n", GLIM_E_FORMAT,
         "vocab.txt: the tokens 3 and 4 are both"},
        {"vocab.txt", "version https://git-lfs", GLIM_E_UNSUPPORTED, "git lfs pull"},
        {"sentencepiece.bpe.model", "\x0a\xff", GLIM_E_FORMAT, "sentencepiece.bpe.model: at byte"},
        {"tokenizer.json", "{\"model\":{\"type\":\"Unigram\"}}", GLIM_E_FORMAT, "tokenizer.json"},
        {"tokenizer.json", "{", GLIM_E_INPUT, "tokenizer.json"},
    };
    for (size_t i = 0; i < GLIM_COUNT(rows); i++) {
        tmp_folder t;
        glim_encoder *m = NULL;
        glim_error e = {0};
        tmp_folder_make(&t);
        enc_weights(&t, "ernie");
        tmp_text(&t, rows[i].file, rows[i].text);
        glim_err rc = glim_encoder_open(t.path, NULL, &m, &e);
        if (rc != rows[i].rc || !strstr(e.msg, rows[i].says) || !strstr(e.msg, t.path))
            fail_msg("row %zu: %d: %s", i, (int)rc, e.msg);
        tmp_folder_end(&t);
    }
}

/* ---- texts to ids ---------------------------------------------------------------------------- */

static void test_encode(void **state)
{
    (void)state;
    glim_encoder *m = open_as(ernie.path, NULL, 1);
    glim_error e = {0};
    glim_encoded t = encode(m, "", NULL, 0);
    assert_int_equal(t.n, 2); /* the model's own two */
    assert_int_equal(t.n_full, 2);
    assert_string_equal(GLIM_QUOTE(glim_encoder_token(m, t.ids[0])), "\"[CLS]\"");
    assert_string_equal(GLIM_QUOTE(glim_encoder_token(m, t.ids[1])), "\"[SEP]\"");
    glim_encoded_free(&t);
    assert_int_equal(glim_encoder_token(m, -1).n, 0);
    assert_int_equal(glim_encoder_token(m, 3000).n, 0);
    /* Text of a special token is text. */
    t = encode(m, "[SEP]", NULL, 0);
    assert_true(t.n > 3);
    for (size_t i = 1; i + 1 < t.n; i++)
        assert_int_not_equal(t.ids[i], t.ids[t.n - 1]);
    glim_encoded_free(&t);
    const glim_str bad = {"ok \xff", 4};
    assert_int_equal(glim_encode(m, bad, NULL, 0, &t, &e), GLIM_E_INPUT);
    assert_int_equal(e.offset, 3);
    assert_null(t.ids);
    assert_int_equal(glim_encode(m, S("fine"), &bad, 0, &t, &e), GLIM_E_INPUT);
    assert_non_null(strstr(e.msg, "second"));
    glim_encoder_close(m);
}

/* What stays of a and b by the reference's rule ("longest first"), worked out by hand. */
static void test_cut(void **state)
{
    (void)state;
    static const struct {
        size_t n_a, n_b, n_max, want_a, want_b;
    } rows[] = {
        {5, 5, 0, 5, 5},  {5, 5, 13, 5, 5},  {5, 5, 12, 4, 5},  {5, 5, 11, 4, 4},
        {6, 5, 12, 5, 4}, {2, 20, 13, 2, 8}, {20, 2, 13, 8, 2}, {20, 2, 7, 2, 2},
        {20, 2, 6, 2, 1}, {2, 20, 6, 1, 2},  {9, 9, 3, 0, 0},   {9, 9, 1, 0, 0},
        {9, 9, 4, 0, 1},  {0, 9, 8, 0, 5},   {9, 0, 8, 5, 0},   {0, 0, 8, 0, 0},
    };
    glim_encoder *m = open_as(ernie.path, NULL, 1);
    for (size_t i = 0; i < GLIM_COUNT(rows); i++) {
        char a[64], b[64];
        fill_text(a, rows[i].n_a);
        fill_text(b, rows[i].n_b);
        glim_encoded t = encode(m, a, b, rows[i].n_max);
        if (t.n != rows[i].want_a + rows[i].want_b + 3 || t.n_first != rows[i].want_a + 2 ||
            t.n_full != rows[i].n_a + rows[i].n_b + 3)
            fail_msg("row %zu: %zu ids, %zu of them first, %zu in full", i, t.n, t.n_first,
                     t.n_full);
        assert_int_equal(t.ids[t.n_first - 1], t.ids[t.n - 1]); /* both end with [SEP] */
        glim_encoded_free(&t);
    }
    char text[64];
    fill_text(text, 9);
    for (size_t n_max = 1; n_max < 14; n_max++) {
        glim_encoded t = encode(m, text, NULL, n_max);
        assert_int_equal(t.n, GLIM_MAX(GLIM_MIN(n_max, 11), 2));
        assert_int_equal(t.n_full, 11);
        assert_int_equal(t.n_first, t.n);
        glim_encoded_free(&t);
    }
    glim_encoder_close(m);
    m = open_as(ranker.path, NULL, 1); /* one token type: both texts have it; two [SEP] between */
    glim_encoded t = encode(m, "a", "b", 0);
    assert_int_equal(t.n_first, t.n);
    assert_int_equal(t.ids[2], 2);
    assert_int_equal(t.ids[3], 2);
    glim_encoded_free(&t);
    glim_encoder_close(m);
}

/* ---- vectors --------------------------------------------------------------------------------- */

#define MANY 700

/* Texts of all lengths, more than go into a step by number and by length. */
static void many_texts(const glim_encoder *m, glim_encoded *t)
{
    glim_rng r;
    char text[160];
    glim_rng_seed(&r, 3);
    for (size_t i = 0; i < MANY; i++) {
        size_t n = i < 400 ? glim_rng_u64(&r) % 3 : glim_rng_u64(&r) % 62;
        fill_text(text, n);
        for (size_t k = 0; k < n; k++)
            text[2 * k] = (char)('a' + glim_rng_u64(&r) % 26);
        t[i] = encode(m, text, i % 3 ? NULL : "b c", 64);
    }
}

static void test_steps(void **state)
{
    (void)state;
    glim_error e = {0};
    float *first = NULL;
    for (int n_thread = 1; n_thread <= 3; n_thread += 2) {
        glim_encoder *m = open_as(ernie.path, NULL, n_thread);
        size_t n_embd = (size_t)glim_encoder_get_info(m)->n_embd;
        glim_encoded t[MANY];
        float *all = glim_alloc_array(MANY * n_embd, sizeof *all), alone[80];
        many_texts(m, t);
        uint64_t before = glim_alloc_count();
        if (glim_embed(m, t, MANY, NULL, all, &e)) fail_msg("%s", e.msg);
        assert_int_equal(glim_alloc_count(), before); /* computing takes no memory */
        for (size_t i = 0; i < MANY; i++) {
            if (glim_embed(m, &t[i], 1, NULL, alone, &e)) fail_msg("%s", e.msg);
            assert_memory_equal(alone, all + i * n_embd, n_embd * sizeof *all);
        }
        if (first) assert_memory_equal(all, first, MANY * n_embd * sizeof *all);
        for (size_t i = 0; i < MANY; i++)
            glim_encoded_free(&t[i]);
        if (first)
            glim_free(all);
        else
            first = all;
        glim_encoder_close(m);
    }
    glim_free(first);
}

static double length(const float *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    return sqrt(sum);
}

static void test_options(void **state)
{
    (void)state;
    glim_encoder *m = open_as(ernie.path, NULL, 1);
    glim_encoded t = encode(m, "one text", NULL, 0);
    glim_error e = {0};
    glim_embed_opts o;
    float raw[80], unit[80], v[80], cls[80];
    assert_int_equal(glim_embed(m, &t, 1, NULL, raw, &e), GLIM_OK);
    assert_true(length(raw, 80) > 2);
    glim_embed_opts_init(&o);
    o.normalize = GLIM_ON;
    assert_int_equal(glim_embed(m, &t, 1, &o, unit, &e), GLIM_OK);
    assert_float_equal(length(unit, 80), 1, 1e-6);
    assert_float_equal(glim_cosine(raw, unit, 80), 1, 1e-6);
    /* The first elements: as they are, and scaled after the cut. */
    glim_embed_opts_init(&o);
    o.n_dim = 7;
    assert_int_equal(glim_embed(m, &t, 1, &o, v, &e), GLIM_OK);
    assert_memory_equal(v, raw, 7 * sizeof *v);
    o.normalize = GLIM_ON;
    assert_int_equal(glim_embed(m, &t, 1, &o, v, &e), GLIM_OK);
    assert_float_equal(length(v, 7), 1, 1e-6);
    assert_float_equal(glim_cosine(v, raw, 7), 1, 1e-6);
    /* The mean is the model's own; another is another vector. */
    glim_embed_opts_init(&o);
    o.pooling = GLIM_POOLING_MEAN;
    assert_int_equal(glim_embed(m, &t, 1, &o, v, &e), GLIM_OK);
    assert_memory_equal(v, raw, sizeof v);
    o.pooling = GLIM_POOLING_CLS;
    assert_int_equal(glim_embed(m, &t, 1, &o, cls, &e), GLIM_OK);
    o.pooling = GLIM_POOLING_LAST;
    assert_int_equal(glim_embed(m, &t, 1, &o, v, &e), GLIM_OK);
    assert_memory_not_equal(cls, raw, sizeof cls);
    assert_memory_not_equal(cls, v, sizeof cls);
    const struct {
        glim_embed_opts o;
        const char *says;
    } wrong[] = {
        {{.n_dim = 81, .normalize = GLIM_UNSET}, "dimensions: 81"},
        {{.n_dim = -1, .normalize = GLIM_UNSET}, "dimensions: -1"},
        {{.pooling = (glim_pooling)4}, "pooling"},
        {{.pooling = (glim_pooling)-1}, "pooling"},
    };
    for (size_t i = 0; i < GLIM_COUNT(wrong); i++) {
        o = wrong[i].o;
        o.size = sizeof o;
        assert_int_equal(glim_embed(m, &t, 1, &o, v, &e), GLIM_E_INPUT);
        assert_non_null(strstr(e.msg, wrong[i].says));
    }
    assert_int_equal(glim_embed(m, NULL, 0, NULL, NULL, &e), GLIM_OK);
    glim_encoded_free(&t);
    glim_encoder_close(m);
}

static void test_wrong_inputs(void **state)
{
    (void)state;
    int32_t good[65] = {2, 5, 3}, low[] = {2, -1}, high[] = {2, 3000};
    const struct {
        glim_encoded t;
        glim_err rc;
        const char *says;
    } rows[] = {
        {{good, 0, 0, 0}, GLIM_E_CONTEXT, "input 1 has no tokens"},
        {{good, 65, 65, 65}, GLIM_E_CONTEXT, "input 1 has 65 tokens; the model reads at most 64"},
        {{low, 2, 2, 2}, GLIM_E_INPUT, "input 1: token id -1 at position 1"},
        {{high, 2, 2, 2}, GLIM_E_INPUT, "token id 3000 at position 1 is out of range"},
        {{good, 3, 4, 3}, GLIM_E_INPUT, "4 of 3 tokens are of type 0"},
        {{good, 64, 64, 64}, GLIM_OK, ""},
        {{good, 3, 1, 3}, GLIM_OK, ""},
    };
    glim_encoder *m = open_as(ernie.path, NULL, 1), *one_type = open_as(ranker.path, NULL, 1);
    float v[2 * 80];
    for (size_t i = 0; i < GLIM_COUNT(rows); i++) {
        const glim_encoded in[] = {{good, 3, 3, 3}, rows[i].t};
        glim_error e = {0};
        if (glim_embed(m, in, 2, NULL, v, &e) != rows[i].rc || !strstr(e.msg, rows[i].says))
            fail_msg("row %zu: %s", i, e.msg);
    }
    const glim_encoded typed = {good, 3, 1, 3};
    glim_error e = {0};
    assert_int_equal(glim_embed(one_type, &typed, 1, NULL, v, &e), GLIM_E_INPUT);
    glim_encoder_close(m);
    glim_encoder_close(one_type);
}

static bool stop_after(void *user)
{
    return --*(int *)user < 0;
}

static void test_cancel(void **state)
{
    (void)state;
    glim_encoder *m = open_as(ernie.path, NULL, 1);
    glim_encoded t[MANY];
    float *v = glim_alloc_array(MANY * 80, sizeof *v), alone[80];
    glim_error e = {0};
    many_texts(m, t);
    for (int n = 0; n < 12; n += 3) { /* three layers a step: in the first, and in later ones */
        int left = n + 1;
        glim_embed_opts o;
        glim_embed_opts_init(&o);
        o.cancelled = stop_after;
        o.user = &left;
        assert_int_equal(glim_embed(m, t, MANY, &o, v, &e), GLIM_E_CANCELLED);
    }
    assert_int_equal(glim_embed(m, t, MANY, NULL, v, &e), GLIM_OK); /* and goes on working */
    assert_int_equal(glim_embed(m, t + 650, 1, NULL, alone, &e), GLIM_OK);
    assert_memory_equal(alone, v + 650 * 80, sizeof alone);
    for (size_t i = 0; i < MANY; i++)
        glim_encoded_free(&t[i]);
    glim_free(v);
    glim_encoder_close(m);
}

/* ---- ranking --------------------------------------------------------------------------------- */

static void test_rerank(void **state)
{
    (void)state;
    char *path = glim_alloc(400);
    size_t n, n_row = 0;
    glim_error e = {0};
    glim_encoder *m = open_as(ranker.path, "ref", 1);
    assert_int_equal(glim_encoder_get_info(m)->kind, GLIM_KIND_RERANK);
    assert_int_equal(glim_encoder_get_info(m)->n_label, 1);
    snprintf(path, 400, ENC_GOLDEN "encoders/xlm-roberta-reranker/pairs.jsonl");
    char *bytes = golden_read(path, &n);
    glim_arena *a = glim_arena_new((size_t)1 << 24);
    for (size_t at = 0; at < n; n_row++) {
        const char *end = memchr(bytes + at, '\n', n - at);
        size_t len = end ? (size_t)(end - bytes) - at : n - at;
        glim_json *row;
        double want;
        float got;
        assert_int_equal(glim_json_parse(a, (glim_str){bytes + at, len}, &row, &e), GLIM_OK);
        const glim_str second = glim_json_get(row, "document")->text;
        glim_encoded t;
        assert_int_equal(glim_encode(m, glim_json_get(row, "query")->text, &second, 0, &t, &e),
                         GLIM_OK);
        const glim_json *id = glim_json_get(row, "ids")->child;
        for (size_t i = 0; i < t.n; i++, id = id->next) {
            int64_t v = -1;
            assert_true(glim_json_i64(id, &v) && v == t.ids[i]);
        }
        assert_null(id);
        assert_int_equal(glim_rerank(m, &t, 1, NULL, &got, &e), GLIM_OK);
        assert_true(glim_json_f64(glim_json_get(row, "logit"), &want));
        assert_float_equal(got, want, 2e-5);
        glim_encoded_free(&t);
        at += len + 1;
    }
    assert_true(n_row > 10);
    glim_arena_free(a);
    free(bytes);
    glim_free(path);
    glim_encoder_close(m);
    assert_float_equal(glim_rerank_score(0), 0.5, 0);
    assert_float_equal(glim_rerank_score(-1000), 0, 1e-300);
    assert_float_equal(glim_rerank_score(1000), 1, 0);
    assert_float_equal(glim_rerank_score(2), 0.8807970779778823, 1e-15);
}

static void test_rerank_refused(void **state)
{
    (void)state;
    tmp_folder t;
    char path[400];
    glim_error e = {0};
    float logit;
    int32_t ids[] = {2, 3};
    const glim_encoded in = {ids, 2, 2, 2};
    tmp_folder_make(&t);
    glim_encoder *m = open_as(ernie.path, NULL, 1);
    assert_int_equal(glim_rerank(m, &in, 1, NULL, &logit, &e), GLIM_E_UNSUPPORTED);
    assert_non_null(strstr(e.msg, "no head"));
    glim_encoder_close(m);
    toyenc s = toyenc_make();
    s.n_label = 3;
    s.more = put_vocab;
    m = open_as(toyenc_write(&s, &t, "three.gguf", path), NULL, 1);
    assert_int_equal(glim_encoder_get_info(m)->kind, GLIM_KIND_EMBEDDING);
    assert_int_equal(glim_rerank(m, &in, 1, NULL, &logit, &e), GLIM_E_UNSUPPORTED);
    assert_non_null(strstr(e.msg, "3 logits"));
    glim_encoder_close(m);
    tmp_folder_end(&t);
}

/* ---- GGUF vocabularies ----------------------------------------------------------------------- */

/* What a vocabulary's keys are, with one of them wrong. */
typedef struct gguf_vocab {
    bool unigram;
    const char *drop; /* this key is missing */
    const char *flag; /* this switch is there, and is `on` */
    bool on;
    const char *wrong; /* this key is the number 99 */
    bool short_list;   /* of token_type and scores */
} gguf_vocab;

static const char *const bert_tokens[] = {"[PAD]",
                                          "[UNK]",
                                          "[CLS]",
                                          "[SEP]",
                                          "[MASK]",
                                          "\xe2\x96\x81h",
                                          "\xe2\x96\x81H",
                                          "i",
                                          "\xe2\x96\x81\xc3\xa9",
                                          ("\xe2\x96\x81"
                                           "e"), /* apart: 81e would be one escape */
                                          "\xe2\x96\x81\xe4\xbd\xa0"};
static const char *const t5_tokens[] = {
    "<s>", "<pad>",        "</s>",     "<unk>", "\xe2\x96\x81h", "\xe2\x96\x81H",
    "i",   "\xe2\x96\x81", "\xc3\xa9", "e",     "<mask>"};
#define N_TOKEN GLIM_COUNT(bert_tokens)

static bool put_key(const gguf_vocab *v, glim_gguf_writer *w, const char *key)
{
    if (v->drop && strcmp(v->drop, key) == 0) return false;
    if (!v->wrong || strcmp(v->wrong, key) != 0) return true;
    glim_gguf_put_u32(w, key, 99);
    return false;
}

static void put_vocab(glim_gguf_writer *w, const void *user)
{
    static const gguf_vocab plain = {0};
    const gguf_vocab *v = user ? user : &plain;
    static const struct {
        const char *key;
        uint32_t bert, t5;
    } ids[] = {{"tokenizer.ggml.cls_token_id", 2, 0},
               {"tokenizer.ggml.seperator_token_id", 3, 2},
               {"tokenizer.ggml.unknown_token_id", 1, 3}};
    int32_t kind[N_TOKEN];
    float score[N_TOKEN];
    glim_str text[N_TOKEN];
    const size_t n = N_TOKEN - v->short_list;
    for (size_t i = 0; i < N_TOKEN; i++) {
        text[i] = S(v->unigram ? t5_tokens[i] : bert_tokens[i]);
        kind[i] = text[i].p[0] == (v->unigram ? '<' : '[') ? GLIM_TOKEN_CONTROL : GLIM_TOKEN_NORMAL;
        score[i] = -(float)i;
    }
    if (put_key(v, w, "tokenizer.ggml.model"))
        glim_gguf_put_str(w, "tokenizer.ggml.model", S(v->unigram ? "t5" : "bert"));
    if (put_key(v, w, "tokenizer.ggml.tokens"))
        glim_gguf_put_array(w, "tokenizer.ggml.tokens", GLIM_GGUF_STR, text, N_TOKEN);
    if (put_key(v, w, "tokenizer.ggml.token_type"))
        glim_gguf_put_array(w, "tokenizer.ggml.token_type", GLIM_GGUF_I32, kind, n);
    if (v->unigram && put_key(v, w, "tokenizer.ggml.scores"))
        glim_gguf_put_array(w, "tokenizer.ggml.scores", GLIM_GGUF_F32, score, n);
    for (size_t i = 0; i < GLIM_COUNT(ids); i++)
        if (put_key(v, w, ids[i].key))
            glim_gguf_put_u32(w, ids[i].key, v->unigram ? ids[i].t5 : ids[i].bert);
    if (v->flag) glim_gguf_put_bool(w, v->flag, v->on);
    static const char *const rest[] = {"tokenizer.ggml.normalizer.lowercase",
                                       "tokenizer.ggml.precompiled_charsmap",
                                       "tokenizer.ggml.add_bos_token"};
    for (size_t i = 0; i < GLIM_COUNT(rest); i++)
        if (v->wrong && strcmp(v->wrong, rest[i]) == 0) glim_gguf_put_u32(w, rest[i], 99);
}

static void test_gguf_vocab(void **state)
{
    (void)state;
#define K "tokenizer.ggml."
    static const struct {
        gguf_vocab v;
        glim_err rc;
        const char *says; /* of a failure; else ids of "Hi \xc3\xa9" as letters from 'a' on */
    } rows[] = {
        /* Without the switches a model is uncased: hi e. */
        {{.unigram = false}, GLIM_OK, "cfhjd"},
        {{.flag = K "normalizer.lowercase", .on = true}, GLIM_OK, "cfhjd"},
        {{.flag = K "normalizer.lowercase", .on = false}, GLIM_OK, "cghid"},     /* Hi e-acute */
        {{.flag = K "normalizer.strip_accents", .on = false}, GLIM_OK, "cfhid"}, /* hi e-acute */
        {{.drop = K "token_type"}, GLIM_OK, "cfhjd"},
        /* Without the keys, tokens of the usual names have the roles. */
        {{.drop = K "cls_token_id"}, GLIM_OK, "cfhjd"},
        {{.drop = K "seperator_token_id"}, GLIM_OK, "cfhjd"},
        {{.unigram = true}, GLIM_OK, "afghic"},
        {{.unigram = true, .drop = K "unknown_token_id"}, GLIM_OK, "afghic"},
        {{.drop = K "model"}, GLIM_E_FORMAT, "tokenizer.ggml.model is missing"},
        {{.wrong = K "model"}, GLIM_E_FORMAT, "tokenizer.ggml.model is missing"},
        {{.drop = K "tokens"}, GLIM_E_FORMAT, "tokenizer.ggml.tokens is missing"},
        {{.wrong = K "tokens"}, GLIM_E_FORMAT, "tokenizer.ggml.tokens must be an array"},
        {{.wrong = K "token_type"}, GLIM_E_FORMAT, "token_type must be an array"},
        {{.short_list = true}, GLIM_E_FORMAT, "token_type has not as many"},
        {{.wrong = K "cls_token_id"}, GLIM_E_FORMAT, "cls_token_id is no token's id"},
        {{.wrong = K "normalizer.lowercase"}, GLIM_E_FORMAT, "must be true or false"},
        {{.wrong = K "add_bos_token"}, GLIM_E_FORMAT, "must be true or false"},
        {{.flag = K "add_bos_token", .on = false}, GLIM_E_UNSUPPORTED, "add_bos_token false"},
        {{.flag = K "add_sep_token", .on = false}, GLIM_E_UNSUPPORTED, "add_sep_token false"},
        {{.flag = K "add_sep_token", .on = true}, GLIM_OK, "cfhjd"},
        {{.unigram = true, .flag = K "add_eos_token", .on = false},
         GLIM_E_UNSUPPORTED,
         "add_eos_token false"},
        {{.unigram = true, .drop = K "scores"}, GLIM_E_FORMAT, "scores is missing"},
        {{.unigram = true, .wrong = K "precompiled_charsmap"}, GLIM_E_FORMAT, "array of bytes"},
    };
#undef K
    tmp_folder t;
    tmp_folder_make(&t);
    for (size_t i = 0; i < GLIM_COUNT(rows); i++) {
        char path[400], got[32] = "";
        glim_encoder *m = NULL;
        glim_error e = {0};
        toyenc s = toyenc_make();
        s.more = put_vocab;
        s.user = &rows[i].v;
        toyenc_write(&s, &t, "toy.gguf", path);
        glim_err rc = glim_encoder_open(path, NULL, &m, &e);
        if (rc != rows[i].rc || (rc && (!strstr(e.msg, rows[i].says) || !strstr(e.msg, path))))
            fail_msg("row %zu: %d: %s", i, (int)rc, e.msg);
        if (rc) continue;
        glim_encoded text = encode(m, "Hi \xc3\xa9", NULL, 0);
        for (size_t k = 0; k < text.n && k < sizeof got - 1; k++)
            got[k] = (char)('a' + text.ids[k]);
        if (strcmp(got, rows[i].says) != 0)
            fail_msg("row %zu: %s instead of %s", i, got, rows[i].says);
        glim_encoded_free(&text);
        glim_encoder_close(m);
    }
    tmp_folder_end(&t);
}

/* ---- vocabularies alone ---------------------------------------------------------------------- */

static void test_vocab(void **state)
{
    (void)state;
    glim_vocab *v;
    glim_error e = {0};
    glim_tokens t;
    glim_rendered r;
    glim_chat chat = {0};
    tmp_folder only;
    tmp_folder_make(&only);
    enc_tokenizer(&only, "wordpiece-uncased", "tokenizer.json"); /* nothing says what model it is */
    const char *const paths[] = {only.path, ernie.path, ranker.path};
    for (size_t i = 0; i < GLIM_COUNT(paths); i++) {
        if (glim_vocab_open(paths[i], &v, &e)) fail_msg("%s", e.msg);
        assert_true(glim_vocab_of_encoder(v));
        assert_true(glim_vocab_size(v) > 2000);
        assert_int_equal(glim_tokenize(v, S("the"), false, &t, &e), GLIM_OK);
        assert_true(t.n >= 1); /* and none at its ends: */
        assert_string_not_equal(GLIM_QUOTE(glim_token_text(v, t.ids[0])), "\"[CLS]\"");
        assert_false(glim_token_is_stop(v, t.ids[0]));
        assert_int_equal(glim_token_text(v, 1 << 20).n, 0);
        glim_tokens_free(&t);
        assert_int_equal(glim_render(v, "glm-4.7-flash", &chat, &r, &e), GLIM_E_UNSUPPORTED);
        assert_non_null(strstr(e.msg, "embedding model"));
        assert_null(glim_vocab_template(v));
        glim_vocab_close(v);
    }
    tmp_remove(&only, "tokenizer.json");
    enc_tokenizer(&only, "wordpiece-uncased", "vocab.txt");
    if (glim_vocab_open(only.path, &v, &e)) fail_msg("%s", e.msg);
    assert_int_equal(glim_tokenize(v, S("[SEP]"), true, &t, &e), GLIM_OK);
    assert_int_equal(t.n, 1); /* asked for, the text of a special token becomes it */
    glim_tokens_free(&t);
    glim_vocab_close(v);
    if (glim_vocab_open(TINY_DIR, &v, &e)) fail_msg("%s", e.msg);
    assert_false(glim_vocab_of_encoder(v));
    glim_vocab_close(v);
    tmp_folder_end(&only);
}

/* ---- keywords -------------------------------------------------------------------------------- */

static const glim_str words[] = {{"river", 5}, {"bank", 4}, {"moon", 4}, {"Water", 5}};
#define WORDS_TEXT "the river and its bank, water everywhere"

static void test_keywords(void **state)
{
    (void)state;
    glim_encoder *m = open_as(ernie.path, NULL, 1);
    glim_keywords k;
    glim_error e = {0};
    glim_keyword_opts o;
    float doc[80], v[80];
    assert_int_equal(glim_keywords_of(m, S(WORDS_TEXT), words, 4, NULL, NULL, NULL, &k, &e),
                     GLIM_OK);
    assert_int_equal(k.n, 3); /* the moon is not in it */
    assert_false(k.cut);
    size_t n_token = 0;
    glim_encoded t = encode(m, WORDS_TEXT, NULL, 0);
    n_token += t.n;
    assert_int_equal(glim_embed(m, &t, 1, NULL, doc, &e), GLIM_OK);
    glim_encoded_free(&t);
    for (size_t i = 0; i < k.n; i++) {
        char word[16];
        snprintf(word, sizeof word, "%.*s", GLIM_STR_ARG(k.p[i].word));
        t = encode(m, word, NULL, 0);
        n_token += t.n;
        assert_int_equal(glim_embed(m, &t, 1, NULL, v, &e), GLIM_OK);
        glim_encoded_free(&t);
        assert_float_equal(k.p[i].similarity, glim_cosine(doc, v, 80), 1e-12);
        if (i) assert_true(k.p[i - 1].similarity >= k.p[i].similarity);
    }
    assert_int_equal(k.n_token, n_token);
    glim_keywords_free(&k);
    /* Its own words; a text that is longer than the model reads. */
    char text[400];
    fill_text(text, 100);
    memcpy(text, "river bank ", 11);
    assert_int_equal(glim_keywords_of(m, S(text), NULL, 0, NULL, NULL, NULL, &k, &e), GLIM_OK);
    assert_int_equal(k.n, 2);
    assert_true(k.cut);
    glim_keywords_free(&k);
    /* Nothing to choose from is no failure. */
    assert_int_equal(glim_keywords_of(m, S(""), NULL, 0, NULL, NULL, NULL, &k, &e), GLIM_OK);
    assert_int_equal(k.n, 0);
    assert_int_equal(k.n_token, 0);
    glim_keyword_opts_init(&o);
    o.top = 0;
    int left = 1000;
    assert_int_equal(glim_keywords_of(m, S(WORDS_TEXT), words, 4, &o, stop_after, &left, &k, &e),
                     GLIM_E_INPUT);
    assert_int_equal(left, 1000); /* said before anything was computed */
    left = 1;
    assert_int_equal(glim_keywords_of(m, S(WORDS_TEXT), words, 4, NULL, stop_after, &left, &k, &e),
                     GLIM_E_CANCELLED);
    assert_null(k.p);
    assert_int_equal(glim_keywords_of(m, (glim_str){"\xff", 1}, NULL, 0, NULL, NULL, NULL, &k, &e),
                     GLIM_E_INPUT);
    glim_encoder_close(m);
}

/* ---- no memory ------------------------------------------------------------------------------- */

static glim_encoder *shared; /* of the works that use one */

static glim_err work_open(glim_error *e)
{
    glim_encoder *m = NULL;
    glim_err rc = glim_encoder_open(ernie.path, NULL, &m, e);
    glim_encoder_close(m);
    return rc;
}

static glim_err work_look(glim_error *e)
{
    glim_model_look look;
    return glim_model_look_at(ranker.path, &look, e);
}

static glim_err work_vocab(glim_error *e)
{
    glim_vocab *v = NULL;
    glim_err rc = glim_vocab_open(ernie.path, &v, e);
    glim_vocab_close(v);
    return rc;
}

static glim_err work_encode(glim_error *e)
{
    glim_encoded t;
    const glim_str second = S("and another");
    glim_err rc = glim_encode(shared, S("a text"), &second, 9, &t, e);
    if (rc) assert_null(t.ids);
    glim_encoded_free(&t);
    return rc;
}

static glim_err work_keywords(glim_error *e)
{
    glim_keywords k;
    glim_err rc = glim_keywords_of(shared, S(WORDS_TEXT), words, 4, NULL, NULL, NULL, &k, e);
    if (rc) assert_null(k.p);
    glim_keywords_free(&k);
    return rc;
}

static void test_no_memory(void **state)
{
    (void)state;
    glim_err (*const works[])(glim_error *) = {work_open, work_look, work_vocab, work_encode,
                                               work_keywords};
    shared = open_as(ernie.path, NULL, 1);
    for (size_t i = 0; i < GLIM_COUNT(works); i++) {
        fail_nth f;
        int64_t n = 0;
        do {
            glim_error e = {0};
            fail_nth_begin(&f, n);
            glim_err rc = works[i](&e);
            fail_nth_end();
            if (rc != (fail_nth_hit(&f) ? GLIM_E_NOMEM : GLIM_OK) || e.code != rc)
                fail_msg("work %zu, allocation %lld: %d: %s", i, (long long)n, (int)rc, e.msg);
        } while (fail_nth_hit(&f) && ++n < 5000);
        assert_true(n >= 2 && n < 5000);
    }
    glim_encoder_close(shared);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_info),
        cmocka_unit_test(test_open_refused),
        cmocka_unit_test(test_short_options),
        cmocka_unit_test(test_folder_tokenizers),
        cmocka_unit_test(test_damaged_vocab),
        cmocka_unit_test(test_encode),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_wrong_inputs),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_rerank),
        cmocka_unit_test(test_rerank_refused),
        cmocka_unit_test(test_gguf_vocab),
        cmocka_unit_test(test_vocab),
        cmocka_unit_test(test_keywords),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
