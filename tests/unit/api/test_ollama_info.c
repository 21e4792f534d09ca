/* SPDX-License-Identifier: MIT
 * test_ollama_info.c - lists of models, one model, names and pulls as Ollama's clients want them. */
#include "script.h"

#include "api/ollama_priv.h"

#include <math.h>

#define DIGEST "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static const glim_model_facts facts = {
    .modified_s = 1700000000,
    .digest = DIGEST,
    .format = {"gguf", 4},
    .arch = {"deepseek2", 9},
    .quant = {"Q4_K_M", 6},
    .path = {"/home/me/glm.gguf", 17},
    .license = {"mit", 3},
    .template_name = {"glm4", 4},
    .template_text = {"[gMASK]<sop>\n", 13},
    .n_layer = 47,
    .n_embd = 2048,
    .n_head = 20,
    .n_vocab = 154880,
    .n_expert = 64,
    .n_expert_used = 4,
    .temperature = 1,
    .top_p = 0.95f,
    .min_p = 0.01f,
    .top_k = 40,
};
static const glim_api_model model = {.id = {"glm-4.7-flash", 13},
                                     .created_s = 5,
                                     .n_ctx = 32768,
                                     .n_ctx_train = 202752,
                                     .n_param = 29943390976,
                                     .size_bytes = 18000000000,
                                     .facts = &facts};
#define DETAILS                                                                                    \
    "\"details\":{\"parent_model\":\"\",\"format\":\"gguf\",\"family\":\"deepseek2\","             \
    "\"families\":[\"deepseek2\"],\"parameter_size\":\"29.9B\",\"quantization_level\":\"Q4_K_M\"}"
#define MODEL(name)                                                                                \
    "{\"name\":\"" name "\",\"model\":\"" name "\",\"size\":18000000000,\"digest\":\"" DIGEST      \
    "\"," DETAILS

static void lists(void **state)
{
    (void)state;
    glim_buf b;
    glim_buf_init(&b, 1 << 16);
    glim_api_model two[] = {model, model};
    two[1].id = GLIM_STR("glm:8b");
    two[1].kind = GLIM_API_EMBEDDING;
    assert_int_equal(glim_ollama_tags_encode(two, 2, &b), GLIM_OK);
#define TIME ",\"modified_at\":\"2023-11-14T22:13:20.000000000Z\",\"capabilities\":"
    script_check(&b, "{\"models\":[" MODEL("glm-4.7-flash:latest") TIME
                 "[\"completion\",\"tools\",\"thinking\"]}," MODEL("glm:8b") TIME
                 "[\"embedding\"]}]}");
    glim_buf_clear(&b);
    /* only what is loaded runs */
    assert_int_equal(glim_ollama_ps_encode(two, 2, 1700000000, &b), GLIM_OK);
    script_check(&b, "{\"models\":[]}");
    glim_buf_clear(&b);
    two[0].loaded = true;
    assert_int_equal(glim_ollama_ps_encode(two, 2, 1700000000, &b), GLIM_OK);
    script_check(&b,
                 "{\"models\":[" MODEL("glm-4.7-flash:latest") ","
                                                               "\"expires_at\":\"2123-11-15T22:13:"
                                                               "20.000000000Z\",\"size_vram\":0,"
                                                               "\"context_length\":32768}]}");
    glim_buf_clear(&b);
    assert_int_equal(glim_ollama_tags_encode(NULL, 0, &b), GLIM_OK);
    script_check(&b, "{\"models\":[]}");
    glim_buf_clear(&b);
    assert_int_equal(glim_ollama_ps_encode(NULL, 0, 0, &b), GLIM_OK);
    script_check(&b, "{\"models\":[]}");
    glim_buf_deinit(&b);
    /* a buffer that is too small says so */
    glim_buf_init(&b, 64);
    assert_int_equal(glim_ollama_tags_encode(two, 2, &b), GLIM_E_LIMIT);
    glim_buf_deinit(&b);
}

/* One string member of an encoded object. */
static void get(const glim_buf *b, const char *path, const char *want)
{
    glim_arena *a = glim_arena_new(1 << 20);
    glim_json *v;
    assert_int_equal(glim_json_parse(a, glim_buf_view(b), &v, NULL), GLIM_OK);
    const glim_json *x = v->type == GLIM_JSON_OBJECT && glim_json_get(v, "models")
                             ? glim_json_path(glim_json_at(glim_json_get(v, "models"), 0), path)
                             : glim_json_path(v, path);
    if (!x || !glim_str_is(x->text, want)) print_error("%s of %s\n", path, b->p);
    assert_non_null(x);
    assert_true(glim_str_is(x->text, want));
    glim_arena_free(a);
}

static void names(void **state)
{
    (void)state;
    static const struct {
        const char *id, *name;
    } cases[] = {{"a", "a:latest"},
                 {"a:8b", "a:8b"},
                 {"zai-org/GLM-4.7-Flash", "zai-org/GLM-4.7-Flash:latest"},
                 {"host:80/a", "host:80/a:latest"},
                 {"host:80/a:x", "host:80/a:x"},
                 {"", ":latest"},
                 {"a\"\n", "a\"\n:latest"}};
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        glim_buf b;
        glim_api_model m = model;
        m.id = glim_str_of(cases[i].id);
        glim_buf_init(&b, 1 << 16);
        assert_int_equal(glim_ollama_tags_encode(&m, 1, &b), GLIM_OK);
        get(&b, "name", cases[i].name);
        get(&b, "model", cases[i].name);
        glim_buf_deinit(&b);
    }
}

static void sizes(void **state)
{
    (void)state;
    static const struct {
        uint64_t n;
        const char *text;
    } cases[] = {{0, "0"},
                 {999, "999"},
                 {1000, "1.0K"},
                 {970000000, "970.0M"},
                 {23400000, "23.4M"},
                 {999949, "999.9K"},
                 {999950, "1.0M"},
                 {30532122624, "30.5B"},
                 {355000000000, "355.0B"},
                 {1000000000000, "1.0T"},
                 {UINT64_MAX, "18446744.1T"}};
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        glim_buf b;
        glim_api_model m = model;
        m.n_param = cases[i].n;
        glim_buf_init(&b, 1 << 16);
        assert_int_equal(glim_ollama_tags_encode(&m, 1, &b), GLIM_OK);
        get(&b, "details.parameter_size", cases[i].text);
        glim_buf_deinit(&b);
    }
}

static void times(void **state)
{
    (void)state;
    static const struct {
        int64_t s;
        uint32_t ns;
        const char *text;
    } cases[] = {{0, 1, "1970-01-01T00:00:00.000000001Z"},
                 {951782399, 999999999, "2000-02-28T23:59:59.999999999Z"},
                 {951782400, 0, "2000-02-29T00:00:00.000000000Z"},
                 {-5, 0, "1970-01-01T00:00:00.000000000Z"},
                 {INT64_MAX, 0, "9999-12-31T23:59:59.000000000Z"}};
    char text[GLIM_OLLAMA_TIME_BYTES];
    for (size_t i = 0; i < GLIM_COUNT(cases); i++)
        assert_string_equal(glim_ollama_time(cases[i].s, cases[i].ns, text), cases[i].text);
}

static void show(void **state)
{
    (void)state;
    glim_buf b;
    for (int verbose = 0; verbose < 2; verbose++) {
        glim_buf_init(&b, 1 << 16);
        assert_int_equal(glim_ollama_show_encode(&model, verbose, &b), GLIM_OK);
#define LINES(p)                                                                                   \
    p "temperature 1\\n" p "top_p 0.95\\n" p "min_p 0.01\\n" p "top_k 40\\n" p "num_ctx 32768"
        script_check(
            &b,
            "{\"license\":\"mit\",\"modelfile\":\"# what glim serves, in a Modelfile's words\\n"
            "FROM glm-4.7-flash\\n" LINES("PARAMETER ") "\\n\",\"parameters\":\"" LINES(
                "") "\",\"template\":\"[gMASK]<sop>\\n\"," DETAILS
                    ",\"model_info\":{\"general.architecture\":\"deepseek2\","
                    "\"general.parameter_count\":29943390976,\"deepseek2.context_length\":202752,"
                    "\"deepseek2.embedding_length\":2048,\"deepseek2.block_count\":47,"
                    "\"deepseek2.attention.head_count\":20,\"deepseek2.expert_count\":64,"
                    "\"deepseek2.expert_used_count\":4,\"deepseek2.vocab_size\":154880},"
                    "\"capabilities\":[\"completion\",\"tools\",\"thinking\"],"
                    "\"modified_at\":\"2023-11-14T22:13:20.000000000Z\"}");
        assert_null(strstr(b.p, "/home/me"));
        glim_buf_deinit(&b);
    }
}

/* Little is known: the members stand there all the same, and clients cut the digest unseen. */
static void show_little(void **state)
{
    (void)state;
    glim_buf b;
    const glim_api_model bare = {.id = {"m\n", 2}, .created_s = 86400};
    glim_model_facts empty = {.temperature = NAN, .top_p = NAN, .min_p = NAN, .top_k = -1};
    for (int i = 0; i < 2; i++) {
        glim_api_model m = bare;
        if (i) m.facts = &empty;
        empty.modified_s = 86400;
        glim_buf_init(&b, 1 << 16);
        assert_int_equal(glim_ollama_show_encode(&m, false, &b), GLIM_OK);
        script_check(
            &b,
            "{\"license\":\"\",\"modelfile\":\"# what glim serves, in a Modelfile's words\\n"
            "FROM m \\n\",\"parameters\":\"\",\"template\":\"\",\"details\":{\"parent_model\":\"\","
            "\"format\":\"\",\"family\":\"\",\"families\":[],\"parameter_size\":\"0\","
            "\"quantization_level\":\"\"},\"model_info\":{\"general.architecture\":\"unknown\","
            "\"general.parameter_count\":0},\"capabilities\":[\"completion\"],"
            "\"modified_at\":\"1970-01-02T00:00:00.000000000Z\"}");
        glim_buf_clear(&b);
        assert_int_equal(glim_ollama_tags_encode(&m, 1, &b), GLIM_OK);
        get(&b, "digest", "0000000000000000000000000000000000000000000000000000000000000000");
        glim_buf_deinit(&b);
    }
}

/* A model that generates nothing has no settings for sampling. */
static void show_kinds(void **state)
{
    (void)state;
    static const struct {
        glim_api_kind kind;
        const char *want;
    } cases[] = {{GLIM_API_EMBEDDING, "\"capabilities\":[\"embedding\"]"},
                 {GLIM_API_RERANK, "\"capabilities\":[\"rerank\"]"}};
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        glim_buf b;
        glim_api_model m = model;
        m.kind = cases[i].kind;
        glim_buf_init(&b, 1 << 16);
        assert_int_equal(glim_ollama_show_encode(&m, false, &b), GLIM_OK);
        assert_non_null(strstr(b.p, cases[i].want));
        get(&b, "parameters", "num_ctx 32768");
        glim_buf_deinit(&b);
    }
}

/* ---- names and pulls ------------------------------------------------------------------------- */

static glim_arena *arena;
static char text[1024];

static int setup(void **state)
{
    (void)state;
    arena = glim_arena_new((size_t)1 << 20);
    return arena ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    glim_arena_free(arena);
    return 0;
}

static glim_str body(const char *json)
{
    snprintf(text, sizeof text, "%s", json);
    for (char *c = text; *c; c++)
        if (*c == '\'') *c = '"';
    return glim_str_of(text);
}

static void decode_names(void **state)
{
    (void)state;
    static const struct {
        const char *json, *name;
        bool verbose, stream;
    } cases[] = {
        {"{'model':'m'}", "m", false, true},
        {"{'name':'m'}", "m", false, true},
        {"{'model':'m','name':'n'}", "m", false, true},
        {"{'model':'','name':'n'}", "n", false, true},
        {"{'model':null,'name':'n'}", "n", false, true},
        {"{'model':''}", "", false, true},
        {"{'name':''}", "", false, true},
        {"{'model':'m','verbose':true,'stream':false,'insecure':true,'username':'u','x':1}", "m",
         true, false},
        {"{'model':'m','verbose':null,'stream':null,'insecure':null}", "m", false, true},
    };
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        glim_str name;
        glim_problem p = {0};
        bool verbose = !cases[i].verbose, stream = !cases[i].stream;
        assert_int_equal(
            glim_ollama_name_decode(arena, body(cases[i].json), &name, &verbose, &stream, &p),
            GLIM_OK);
        assert_true(glim_str_is(name, cases[i].name));
        assert_int_equal(verbose, cases[i].verbose);
        assert_int_equal(stream, cases[i].stream);
        assert_int_equal(glim_ollama_name_decode(arena, body(cases[i].json), &name, NULL, NULL, &p),
                         GLIM_OK);
        assert_true(glim_str_is(name, cases[i].name));
    }
    static const struct {
        const char *json, *param;
        glim_problem_kind kind;
    } refused[] = {
        {"{}", "model", GLIM_PROBLEM_MISSING},
        {"{'model':null}", "model", GLIM_PROBLEM_MISSING},
        {"{'model':1}", "model", GLIM_PROBLEM_BAD},
        {"{'name':[]}", "name", GLIM_PROBLEM_BAD},
        {"{'model':'','name':1}", "name", GLIM_PROBLEM_BAD},
        {"{'model':'m','verbose':1}", "verbose", GLIM_PROBLEM_BAD},
        {"{'model':'m','stream':'x'}", "stream", GLIM_PROBLEM_BAD},
        {"{'model':'m','insecure':0}", "insecure", GLIM_PROBLEM_BAD},
        {"[]", "", GLIM_PROBLEM_BAD},
        {"", "", GLIM_PROBLEM_BAD},
        {"{'model':'m'", "model", GLIM_PROBLEM_BAD},
    };
    for (size_t i = 0; i < GLIM_COUNT(refused); i++) {
        glim_str name;
        glim_problem p = {0};
        assert_int_not_equal(
            glim_ollama_name_decode(arena, body(refused[i].json), &name, NULL, NULL, &p), GLIM_OK);
        if (strcmp(p.param, refused[i].param) != 0) print_error("%s\n", p.msg);
        assert_string_equal(p.param, refused[i].param);
        assert_int_equal(p.kind, refused[i].kind);
    }
}

static void pulls(void **state)
{
    (void)state;
    glim_buf b;
    glim_buf_init(&b, 4096);
    assert_int_equal(glim_ollama_pull_encode(false, &model, &b), GLIM_OK);
    script_check(&b, "{\"status\":\"success\"}");
    glim_buf_clear(&b);
    assert_int_equal(glim_ollama_pull_encode(true, &model, &b), GLIM_OK);
    script_check(&b, "{\"status\":\"pulling manifest\"}\n"
                     "{\"status\":\"pulling 001122334455\",\"digest\":\"sha256:" DIGEST
                     "\",\"total\":18000000000,\"completed\":18000000000}\n"
                     "{\"status\":\"success\"}\n");
    glim_buf_deinit(&b);
    glim_buf_init(&b, 100);
    assert_int_equal(glim_ollama_pull_encode(true, &model, &b), GLIM_E_LIMIT);
    assert_int_equal(b.n, 0);
    glim_buf_deinit(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists),      cmocka_unit_test(names),        cmocka_unit_test(sizes),
        cmocka_unit_test(times),      cmocka_unit_test(show),         cmocka_unit_test(show_little),
        cmocka_unit_test(show_kinds), cmocka_unit_test(decode_names), cmocka_unit_test(pulls),
    };
    return cmocka_run_group_tests_name("api/ollama_info", tests, setup, teardown);
}
