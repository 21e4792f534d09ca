/* SPDX-License-Identifier: MIT
 * test_pooling.c - what a model's own files say of pooling, scaling and length: the layouts that are
 * found in the wild, defaults where nothing is said, and every refusal. */
#include "golden.h"

#include "failnth.h"
#include "models/models.h"
#include "tmpfolder.h"
#include "toyencoder.h"

#define N_CTX 512

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

#define T                                                                                          \
    "{\"idx\":0,\"name\":\"0\",\"path\":\"\",\"type\":\"sentence_transformers.models."             \
    "Transformer\"}"
#define P(path)                                                                                    \
    ",{\"idx\":1,\"name\":\"1\",\"path\":\"" path                                                  \
    "\",\"type\":\"sentence_transformers.models.Pooling\"}"
#define N                                                                                          \
    ",{\"idx\":2,\"name\":\"2\",\"path\":\"2_Normalize\",\"type\":\"sentence_transformers.models." \
    "Normalize\"}"
#define MODE(cls, mean, max, last)                                                                 \
    "{\"word_embedding_dimension\":384,\"pooling_mode_cls_token\":" #cls                           \
    ",\"pooling_mode_mean_tokens\":" #mean ",\"pooling_mode_max_tokens\":" #max                    \
    ",\"pooling_mode_mean_sqrt_len_tokens\":false,\"pooling_mode_lasttoken\":" #last "}"

typedef struct pooling_case {
    const char *what;
    const char *modules, *pooling, *sentence, *tokenizer; /* files; NULL: none */
    glim_pooling_rule want;
    glim_err code; /* else: what the message has */
    const char *word, *word2;
} pooling_case;

#define OK(kind, norm, max)                                                                        \
    {                                                                                              \
        GLIM_POOLING_##kind, norm, max                                                             \
    }

static const pooling_case cases[] = {
    {"nothing", NULL, NULL, NULL, NULL, OK(MEAN, false, 512), GLIM_OK, NULL, NULL},
    {"MiniLM", "[" T P("1_Pooling") N "]", MODE(false, true, false, false),
     "{\"max_seq_length\": 256, \"do_lower_case\": false}", "{\"model_max_length\": 512}",
     OK(MEAN, true, 256), GLIM_OK, NULL, NULL},
    {"bge", "[" T P("1_Pooling") N "]", MODE(true, false, false, false),
     "{\"max_seq_length\": 8192}", NULL, OK(CLS, true, 512), GLIM_OK, NULL, NULL},
    {"text2vec", "[" T P("1_Pooling") "]", MODE(false, true, false, false),
     "{\"max_seq_length\": null}", "{\"model_max_length\": 1e30}", OK(MEAN, false, 512), GLIM_OK,
     NULL, NULL},
    {"last", "[" T P("1_Pooling") "]", MODE(false, false, false, true), NULL,
     "{\"model_max_length\": 128}", OK(LAST, false, 128), GLIM_OK, NULL, NULL},
    {"by name", "[" T P("1_Pooling") "]", "{\"pooling_mode\": \"cls\"}", NULL, NULL,
     OK(CLS, false, 512), GLIM_OK, NULL, NULL},
    {"no pooling module", "[" T "]", NULL, NULL, NULL, OK(MEAN, false, 512), GLIM_OK, NULL, NULL},
    /* refused */
    {"by another name", "[" T P("1_Pooling") "]", "{\"pooling_mode\": \"max\"}", NULL, NULL,
     OK(UNSET, false, 0), GLIM_E_UNSUPPORTED, "pooling_mode", "\"max\""},
    {"max", "[" T P("1_Pooling") "]", MODE(false, false, true, false), NULL, NULL,
     OK(UNSET, false, 0), GLIM_E_UNSUPPORTED, "pooling_mode_max_tokens", "1_Pooling/config.json"},
    {"two", "[" T P("1_Pooling") "]", MODE(true, true, false, false), NULL, NULL,
     OK(UNSET, false, 0), GLIM_E_UNSUPPORTED, "pooling_mode_mean_tokens", "one at a time"},
    {"none", "[" T P("1_Pooling") "]", MODE(false, false, false, false), NULL, NULL,
     OK(UNSET, false, 0), GLIM_E_FORMAT, "no pooling mode", "1_Pooling/config.json"},
    {"a number", "[" T P("1_Pooling") "]", MODE(1, false, false, false), NULL, NULL,
     OK(UNSET, false, 0), GLIM_E_FORMAT, "pooling_mode_cls_token", "true or false"},
    {"missing", "[" T P("1_Pooling") "]", NULL, NULL, NULL, OK(UNSET, false, 0), GLIM_E_FORMAT,
     "1_Pooling/config.json", "missing"},
    {"a list", "[" T P("1_Pooling") "]", "[]", NULL, NULL, OK(UNSET, false, 0), GLIM_E_FORMAT,
     "1_Pooling/config.json", "no object"},
    {"damaged", "[" T P("1_Pooling") "]", "{", NULL, NULL, OK(UNSET, false, 0), GLIM_E_FORMAT,
     "1_Pooling/config.json", ""},
    {"empty", "[" T P("1_Pooling") "]", "", NULL, NULL, OK(UNSET, false, 0), GLIM_E_FORMAT,
     "1_Pooling/config.json", "empty"},
    {"a pointer", "version https://git-lfs.github.com/spec/v1\n", NULL, NULL, NULL,
     OK(UNSET, false, 0), GLIM_E_UNSUPPORTED, "modules.json", "Git LFS"},
    {"outside", "[" T P("../1_Pooling") "]", NULL, NULL, NULL, OK(UNSET, false, 0), GLIM_E_FORMAT,
     "modules.json", "plain name"},
    {"deeper", "[" T P("a/b") "]", NULL, NULL, NULL, OK(UNSET, false, 0), GLIM_E_FORMAT,
     "modules.json", "plain name"},
    {"an object", "{}", NULL, NULL, NULL, OK(UNSET, false, 0), GLIM_E_FORMAT, "modules.json",
     "not a list"},
    {"no type", "[{}]", NULL, NULL, NULL, OK(UNSET, false, 0), GLIM_E_FORMAT, "modules.json",
     "without a type"},
    {"dense", "[" T ",{\"path\":\"2_Dense\",\"type\":\"sentence_transformers.models.Dense\"}]",
     NULL, NULL, NULL, OK(UNSET, false, 0), GLIM_E_UNSUPPORTED, "modules.json", "Dense"},
    {"no length", NULL, NULL, "{\"max_seq_length\": 0}", NULL, OK(UNSET, false, 0), GLIM_E_FORMAT,
     "max_seq_length", "from 1"},
    {"a text as length", NULL, NULL, "{\"max_seq_length\": \"256\"}", NULL, OK(UNSET, false, 0),
     GLIM_E_FORMAT, "max_seq_length", "from 1"},
};

static void put(const char *name, const char *text)
{
    if (text) tmp_text(&tmp, name, text);
}

static void write_case(const pooling_case *c)
{
    char path[400];
    put("config.json", "{}");
    put("modules.json", c->modules);
    put("sentence_bert_config.json", c->sentence);
    put("tokenizer_config.json", c->tokenizer);
    if (!c->pooling) return;
    mkdir(tmp_path(&tmp, "1_Pooling", path), 0700);
    put("1_Pooling/config.json", c->pooling);
}

static void clean(void)
{
    static const char *const names[] = {
        "config.json",           "modules.json",          "sentence_bert_config.json",
        "tokenizer_config.json", "1_Pooling/config.json", "1_Pooling"};
    for (size_t i = 0; i < GLIM_COUNT(names); i++)
        tmp_remove(&tmp, names[i]);
}

static void same(const char *what, const glim_pooling_rule *got, const glim_pooling_rule *want)
{
    if (got->kind != want->kind || got->normalize != want->normalize ||
        got->max_tokens != want->max_tokens)
        fail_msg("%s: kind %d, normalised %d, %lld tokens", what, (int)got->kind, got->normalize,
                 (long long)got->max_tokens);
}

static void test_folders(void **state)
{
    (void)state;
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        const pooling_case *c = &cases[i];
        glim_modelfile *f;
        glim_pooling_rule p = {0};
        glim_error e = {0};
        write_case(c);
        if (glim_modelfile_open(tmp.path, GLIM_OPEN_NO_TENSORS, &f, &e)) fail_msg("%s", e.msg);
        glim_err rc = glim_pooling_read(f, N_CTX, &p, &e);
        if (rc != c->code) fail_msg("%s: code %d \"%s\"", c->what, rc, e.msg);
        if (rc && (!strstr(e.msg, c->word) || !strstr(e.msg, c->word2) || !strstr(e.msg, tmp.path)))
            fail_msg("%s: \"%s\" lacks \"%s\", \"%s\" or the folder", c->what, e.msg, c->word,
                     c->word2);
        same(c->what, &p, &c->want); /* untouched on error */
        glim_modelfile_close(f);
        clean();
    }
}

static void check_gguf(const char *path, const char *what, const char *key, uint32_t value,
                       glim_err code, glim_pooling_rule want)
{
    toyenc s = toyenc_make();
    glim_modelfile *f;
    glim_pooling_rule p = {0};
    glim_error e = {0};
    char file[400];
    s.key = key, s.value = value;
    toyenc_write(&s, &tmp, "m.gguf", file);
    if (glim_modelfile_open(path ? path : file, 0, &f, &e)) fail_msg("%s", e.msg);
    glim_err rc = glim_pooling_read(f, s.n_ctx, &p, &e);
    if (rc != code) fail_msg("%s: code %d \"%s\"", what, rc, e.msg);
    same(what, &p, &want);
    glim_modelfile_close(f);
    tmp_remove(&tmp, "m.gguf");
}

static void test_gguf(void **state)
{
    (void)state;
    check_gguf(NULL, "nothing", NULL, 0, GLIM_OK, (glim_pooling_rule)OK(MEAN, true, 300));
    check_gguf(NULL, "none", "pooling_type", 0, GLIM_OK, (glim_pooling_rule)OK(MEAN, true, 300));
    check_gguf(NULL, "mean", "pooling_type", 1, GLIM_OK, (glim_pooling_rule)OK(MEAN, true, 300));
    check_gguf(NULL, "cls", "pooling_type", 2, GLIM_OK, (glim_pooling_rule)OK(CLS, true, 300));
    check_gguf(NULL, "last", "pooling_type", 3, GLIM_OK, (glim_pooling_rule)OK(LAST, true, 300));
    check_gguf(NULL, "rank", "pooling_type", 4, GLIM_OK, (glim_pooling_rule)OK(CLS, true, 300));
    check_gguf(NULL, "unknown", "pooling_type", 5, GLIM_E_FORMAT, (glim_pooling_rule)OK(UNSET, false, 0));
    check_gguf(NULL, "shorter", "context_length", 100, GLIM_OK, (glim_pooling_rule)OK(MEAN, true, 100));
    /* A GGUF among the files of its origin: those say whether it is scaled, the key says how it pools. */
    write_case(&cases[3]);
    check_gguf(tmp.path, "beside files", "pooling_type", 2, GLIM_OK,
               (glim_pooling_rule)OK(CLS, false, 300));
    clean();
}

static void test_no_memory(void **state)
{
    glim_modelfile *f;
    glim_error e = {0};
    (void)state;
    write_case(&cases[1]);
    if (glim_modelfile_open(tmp.path, GLIM_OPEN_NO_TENSORS, &f, &e)) fail_msg("%s", e.msg);
    for (int64_t n = 0;; n++) {
        glim_pooling_rule p;
        fail_nth nth;
        fail_nth_begin(&nth, n);
        glim_err rc = glim_pooling_read(f, N_CTX, &p, &e);
        fail_nth_end();
        if (!fail_nth_hit(&nth)) {
            assert_int_equal(rc, GLIM_OK);
            same("in the end", &p, &cases[1].want);
            break;
        }
        assert_int_equal(rc, GLIM_E_NOMEM);
    }
    glim_modelfile_close(f);
    clean();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_folders),
        cmocka_unit_test(test_gguf),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
