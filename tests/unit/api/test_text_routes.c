/* SPDX-License-Identifier: MIT
 * test_text_routes.c - the readings of /tokenize, and the bodies of the routes that generate
 * nothing. */
#include "script.h"

static glim_arena *arena;
static char text[4096];

static int setup(void **state)
{
    (void)state;
    arena = glim_arena_new((size_t)64 << 20);
    return arena ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    glim_arena_free(arena);
    return 0;
}

static glim_str quoted(const char *json)
{
    snprintf(text, sizeof text, "%s", json);
    for (char *c = text; *c; c++)
        if (*c == '\'') *c = '"';
    return glim_str_of(text);
}

static void readings(void **state)
{
    (void)state;
    static const int32_t ids[] = {5, 6, 7};
    static const glim_str pieces[] = {{"a", 1}, {"\xE4", 1}, {"b", 1}};
    static const glim_tokenized t[] = {{ids, pieces, 3}, {ids, pieces, 1}};
#define CHAT "'messages':[{'role':'user','content':'hi'}]"
    static const struct {
        const char *json;
        bool zhipu;
        glim_tokenize_kind kind;
        size_t n_text;
        bool is_chat, special;
        const char *reply;
    } cases[] = {
        {"{'content':'x'}", false, GLIM_TOKENIZE_LLAMA, 1, false, true, "{\"tokens\":[5,6,7]}"},
        {"{'content':'x','with_pieces':true,'add_special':true,'parse_special':false}", false,
         GLIM_TOKENIZE_LLAMA, 1, false, false,
         "{\"tokens\":[{\"id\":5,\"piece\":\"a\"},{\"id\":6,\"piece\":\"\xEF\xBF\xBD\"},"
         "{\"id\":7,\"piece\":\"b\"}]}"},
        {"{'content':''}", false, GLIM_TOKENIZE_LLAMA, 1, false, true, "{\"tokens\":[5,6,7]}"},
        {"{'model':'m','prompt':'x'}", false, GLIM_TOKENIZE_SGLANG, 1, false, true,
         "{\"tokens\":[5,6,7],\"count\":3,\"max_model_len\":99}"},
        {"{'prompt':'x','add_special_tokens':false}", false, GLIM_TOKENIZE_SGLANG, 1, false, true,
         "{\"tokens\":[5,6,7],\"count\":3,\"max_model_len\":99}"},
        {"{'model':'m','prompt':['x','y']}", false, GLIM_TOKENIZE_SGLANG, 2, false, true,
         "{\"tokens\":[[5,6,7],[5]],\"count\":[3,1],\"max_model_len\":99}"},
        {"{'model':'m'," CHAT "}", false, GLIM_TOKENIZE_SGLANG, 0, true, true,
         "{\"tokens\":[5,6,7],\"count\":3,\"max_model_len\":99}"},
        {"{'prompt':'x','max_tokens':2}", false, GLIM_TOKENIZE_LEGACY, 1, false, true,
         "{\"tokenIds\":[5,6],\"tokens\":[\"a\",\"\xEF\xBF\xBD\"],\"model\":\"glm-4.7-flash\","
         "\"object\":\"tokenizer\"}"},
        {"{'prompt':'x','max_tokens':4096}", false, GLIM_TOKENIZE_LEGACY, 1, false, true,
         "{\"tokenIds\":[5,6,7],\"tokens\":[\"a\",\"\xEF\xBF\xBD\",\"b\"],\"model\":\"glm-4.7-"
         "flash\","
         "\"object\":\"tokenizer\"}"},
        {"{'prompt':'x','model':'m','max_tokens':0}", false, GLIM_TOKENIZE_LEGACY, 1, false, true,
         "{\"tokenIds\":[],\"tokens\":[],\"model\":\"glm-4.7-flash\",\"object\":\"tokenizer\"}"},
        {"{'prompt':'x'}", false, GLIM_TOKENIZE_LEGACY, 1, false, true,
         "{\"tokenIds\":[5,6,7],\"tokens\":[\"a\",\"\xEF\xBF\xBD\",\"b\"],\"model\":\"glm-4.7-"
         "flash\","
         "\"object\":\"tokenizer\"}"},
        {"{'model':'m'," CHAT ",'thinking':{'type':'disabled'},'request_id':'q'}", true,
         GLIM_TOKENIZE_ZHIPU, 0, true, true,
         "{\"id\":\"0123456789abcdef01234567\",\"created\":1700000000,\"request_id\":\"req-7\","
         "\"usage\":{"
         "\"prompt_tokens\":3,\"image_tokens\":0,\"video_tokens\":0,\"total_tokens\":3}}"},
    };
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        glim_tokenize_request rq;
        glim_problem p = {0};
        glim_err rc = glim_tokenize_decode(arena, quoted(cases[i].json), cases[i].zhipu, &rq, &p);
        if (rc) print_error("%s: %s\n", cases[i].json, p.msg);
        assert_int_equal(rc, GLIM_OK);
        assert_int_equal(rq.kind, cases[i].kind);
        assert_int_equal(rq.n_text, cases[i].n_text);
        assert_int_equal(rq.is_chat, cases[i].is_chat);
        assert_int_equal(rq.parse_special, cases[i].special);
        if (cases[i].zhipu) {
            assert_int_equal(rq.chat.think, GLIM_OFF);
            assert_true(glim_str_is(rq.request_id, "q"));
        }
        glim_buf b;
        glim_buf_init(&b, 4096);
        size_t n = rq.is_chat ? 1 : rq.n_text;
        assert_int_equal(glim_tokenize_encode(&rq, &script_info, 99, t, n, &b), GLIM_OK);
        script_check(&b, cases[i].reply);
        glim_buf_deinit(&b);
    }
}

static void refusals(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        bool zhipu;
        const char *begins;
    } cases[] = {
        {"{}", false, "prompt: missing"},
        {"{'prompt':null}", false, "prompt: missing"},
        {"{'prompt':null,'model':'m'}", false, "prompt: missing"},
        {"{'prompt':'x','max_tokens':-1}", false, "max_tokens: -1 is out of range"},
        {"{'prompt':'x','max_tokens':'1'}", false, "max_tokens: expected an integer"},
        {"{'prompt':['x'],'max_tokens':1}", false, "prompt: expected a string"},
        {"{'prompt':[1],'model':'m'}", false, "prompt[0]: expected a string"},
        {"{'content':null}", false, "content: missing"},
        {"{'content':5}", false, "content: expected a string"},
        {"{'content':'x','with_pieces':1}", false, "with_pieces: expected true or false"},
        {"{'messages':[]}", false, "messages: the list is empty"},
        {"{'content':'x'}", true, "messages: missing"},
        {"[]", false, "expected a request object"},
        {"{", false, "at byte"},
    };
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        glim_tokenize_request rq;
        glim_problem p = {0};
        assert_int_equal(
            glim_tokenize_decode(arena, quoted(cases[i].json), cases[i].zhipu, &rq, &p),
            GLIM_E_INPUT);
        if (strncmp(p.msg, cases[i].begins, strlen(cases[i].begins)) != 0)
            print_error("%s: %s\n", cases[i].json, p.msg);
        assert_memory_equal(p.msg, cases[i].begins, strlen(cases[i].begins));
    }
}

static void detokenize(void **state)
{
    (void)state;
    glim_detokenize_request rq;
    glim_problem p;
    glim_buf b;
    glim_buf_init(&b, 4096);
    assert_int_equal(glim_detokenize_decode(arena, quoted("{'tokens':[1,2]}"), &rq, &p), GLIM_OK);
    assert_int_equal(rq.n, 2);
    assert_int_equal(rq.ids[1], 2);
    assert_true(glim_str_is(rq.model, ""));
    assert_int_equal(glim_detokenize_encode(&rq, GLIM_STR("a\"\xE4"), &b), GLIM_OK);
    script_check(&b, "{\"content\":\"a\\\"\xEF\xBF\xBD\"}");
    glim_buf_clear(&b);
    assert_int_equal(glim_detokenize_decode(arena, quoted("{'tokens':[],'model':'m'}"), &rq, &p),
                     GLIM_OK);
    assert_true(glim_str_is(rq.model, "m"));
    assert_int_equal(glim_detokenize_encode(&rq, GLIM_STR(""), &b), GLIM_OK);
    script_check(&b, "{\"text\":\"\"}");
    static const char *const bad[] = {
        "{}", "{'tokens':'a'}", "{'tokens':['a']}", "{'tokens':[-1]}", "{'tokens':[1],'model':1}",
        "1"};
    for (size_t i = 0; i < GLIM_COUNT(bad); i++)
        assert_int_equal(glim_detokenize_decode(arena, quoted(bad[i]), &rq, &p), GLIM_E_INPUT);
    glim_buf_clear(&b);
    assert_int_equal(glim_template_encode(GLIM_STR("[gMASK]<sop>"), &b), GLIM_OK);
    script_check(&b, "{\"prompt\":\"[gMASK]<sop>\"}");
    glim_buf_deinit(&b);
}

static void models(void **state)
{
    (void)state;
    static const glim_api_model m = {.id = {"glm-4.7-flash", 13},
                                     .created_s = 1700000000,
                                     .n_ctx = 4096,
                                     .n_ctx_train = 202752,
                                     .n_param = 30000000000u,
                                     .size_bytes = 17000000000u};
#define MODEL                                                                                      \
    "{\"id\":\"glm-4.7-flash\",\"object\":\"model\",\"created\":1700000000,\"owned_by\":\"glim\"," \
    "\"root\":\"glm-4.7-flash\",\"parent\":null,\"max_model_len\":4096,\"context_length\":4096,"   \
    "\"meta\":{\"n_ctx_train\":202752,\"n_params\":30000000000,\"size\":17000000000},"             \
    "\"kind\":\"chat\"}"
    glim_buf b;
    glim_buf_init(&b, 4096);
    assert_int_equal(glim_model_encode(&m, &b), GLIM_OK);
    script_check(&b, MODEL);
    glim_buf_clear(&b);
    assert_int_equal(glim_models_encode(&m, 1, &b), GLIM_OK);
    script_check(&b, "{\"object\":\"list\",\"data\":[" MODEL "]}");
    static const glim_api_model kinds[] = {{.id = {"e", 1}, .kind = GLIM_API_EMBEDDING},
                                           {.id = {"r", 1}, .kind = GLIM_API_RERANK},
                                           {.id = {"x", 1}, .kind = (glim_api_kind)9}};
#define EMPTY_MODEL(id, kind)                                                                      \
    "{\"id\":\"" id "\",\"object\":\"model\",\"created\":0,\"owned_by\":\"glim\",\"root\":\"" id   \
    "\",\"parent\":null,\"max_model_len\":0,\"context_length\":0,"                                 \
    "\"meta\":{\"n_ctx_train\":0,\"n_params\":0,\"size\":0},\"kind\":\"" kind "\"}"
    glim_buf_clear(&b);
    assert_int_equal(glim_models_encode(kinds, 3, &b), GLIM_OK);
    script_check(&b,
                 "{\"object\":\"list\",\"data\":[" EMPTY_MODEL("e", "embedding") "," EMPTY_MODEL(
                     "r", "rerank") "," EMPTY_MODEL("x", "unknown") "]}");
    glim_buf_clear(&b);
    assert_int_equal(glim_models_encode(NULL, 0, &b), GLIM_OK);
    script_check(&b, "{\"object\":\"list\",\"data\":[]}");
    glim_buf_deinit(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readings),
        cmocka_unit_test(refusals),
        cmocka_unit_test(detokenize),
        cmocka_unit_test(models),
    };
    return cmocka_run_group_tests_name("api/text_routes", tests, setup, teardown);
}
