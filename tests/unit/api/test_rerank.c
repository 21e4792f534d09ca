/* SPDX-License-Identifier: MIT
 * test_rerank.c - requests to order documents by a query, and the replies of both shapes. */
#include "script.h"

#include <math.h>

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
    return glim_arena_str(arena, glim_str_of(text));
}

static glim_rerank_request accept(glim_rerank_kind kind, const char *json)
{
    glim_rerank_request rq;
    glim_problem p = {0};
    glim_err rc = glim_rerank_decode(arena, quoted(json), kind, &rq, &p);
    if (rc) print_error("%s: %s\n", json, p.msg);
    assert_int_equal(rc, GLIM_OK);
    assert_int_equal(rq.kind, kind);
    return rq;
}

/* ---- requests -------------------------------------------------------------------------------- */

static void least(void **state)
{
    (void)state;
    glim_rerank_request rq = accept(GLIM_RERANK_JINA, "{'query':'q','documents':['a']}");
    assert_true(glim_str_is(rq.query, "q"));
    assert_int_equal(rq.n_document, 1);
    assert_true(glim_str_is(rq.documents[0], "a"));
    assert_null(rq.sources[0].p);
    assert_int_equal(rq.top_n, -1);
    assert_false(rq.return_documents || rq.raw_scores || rq.truncate);
    assert_true(rq.model.n == 0 && rq.request_id.n == 0 && rq.user_id.n == 0);
    assert_int_equal(rq.n_note + rq.n_unknown, 0);
    rq = accept(GLIM_RERANK_JINA,
                "{'query':'q','documents':['a'],'top_n':null,'return_documents':null,'model':null,"
                "'return_raw_scores':null,'truncate':null,'texts':null,'user':null}");
    assert_int_equal(rq.top_n, -1);
    assert_int_equal(rq.n_unknown, 0);
}

static void all_fields(void **state)
{
    (void)state;
    for (glim_rerank_kind kind = GLIM_RERANK_JINA; kind <= GLIM_RERANK_ZHIPU; kind++) {
        glim_rerank_request rq = accept(
            kind, "{'model':'m','query':'q','documents':['a',{'text':'b','id':7.0},{'text':''},''],"
                  "'top_n':2,'return_documents':true,'return_raw_scores':true,'truncate':true,"
                  "'user_id':'u','request_id':'r','priority':1,'x':1}");
        assert_true(glim_str_is(rq.model, "m"));
        assert_int_equal(rq.n_document, 4);
        assert_true(glim_str_is(rq.documents[1], "b"));
        assert_true(glim_str_is(rq.sources[1], "{\"text\":\"b\",\"id\":7.0}"));
        assert_true(rq.documents[2].n == 0 && rq.documents[3].n == 0);
        assert_null(rq.sources[3].p);
        assert_int_equal(rq.top_n, 2);
        assert_true(rq.return_documents && rq.raw_scores && rq.truncate);
        assert_true(glim_str_is(rq.user_id, "u"));
        assert_true(glim_str_is(rq.request_id, "r"));
        assert_int_equal(rq.n_note, 1);
        assert_true(glim_str_is(rq.notes[0], "priority"));
        assert_int_equal(rq.n_unknown, 1);
        rq = accept(kind, "{'model':'m','query':'q','documents':['a'],'truncation':true,"
                          "'user':'v','rid':5}");
        assert_true(rq.truncate);
        assert_true(glim_str_is(rq.user_id, "v"));
        assert_true(glim_str_is(rq.request_id, "5"));
        rq = accept(kind, "{'model':'m','query':'q','documents':['a'],'truncation':true,"
                          "'truncate':false,'extra_body':{'top_n':1}}");
        assert_false(rq.truncate);
        assert_int_equal(rq.top_n, 1);
    }
}

static void refusals(void **state)
{
    (void)state;
    static const struct {
        const char *json, *begins, *param;
        glim_problem_kind problem;
    } cases[] = {
#define D "'documents':['a']"
        {"[]", "expected a request object, found an array", "", GLIM_PROBLEM_BAD},
        {"", "at byte", "", GLIM_PROBLEM_BAD},
        {"{" D "}", "query: missing; send a string", "query", GLIM_PROBLEM_MISSING},
        {"{'query':null," D "}", "query: missing", "query", GLIM_PROBLEM_MISSING},
        {"{'query':''," D "}", "query: empty", "query", GLIM_PROBLEM_BAD},
        {"{'query':['q']," D "}", "query: expected a string, found an array", "query",
         GLIM_PROBLEM_BAD},
        {"{'query':'q'}", "documents: missing; send a list", "documents", GLIM_PROBLEM_MISSING},
        {"{'query':'q','documents':null}", "documents: missing", "documents", GLIM_PROBLEM_MISSING},
        {"{'query':'q','documents':'a'}", "documents: expected a list of strings, or of objects",
         "documents", GLIM_PROBLEM_BAD},
        {"{'query':'q','documents':{}}", "documents: expected a list", "documents",
         GLIM_PROBLEM_BAD},
        {"{'query':'q','documents':[]}", "documents: the list is empty", "documents",
         GLIM_PROBLEM_BAD},
        {"{'query':'q','documents':['a',1]}",
         "documents[1]: expected a string or an object with text, found a number", "documents[1]",
         GLIM_PROBLEM_BAD},
        {"{'query':'q','documents':[null]}", "documents[0]: expected a string", "documents[0]",
         GLIM_PROBLEM_BAD},
        {"{'query':'q','documents':[['a']]}", "documents[0]: expected a string", "documents[0]",
         GLIM_PROBLEM_BAD},
        {"{'query':'q','documents':['a',{}]}", "documents[1].text: missing", "documents[1].text",
         GLIM_PROBLEM_MISSING},
        {"{'query':'q','documents':[{'text':null}]}", "documents[0].text: missing",
         "documents[0].text", GLIM_PROBLEM_MISSING},
        {"{'query':'q','documents':[{'text':5}]}", "documents[0].text: expected a string",
         "documents[0].text", GLIM_PROBLEM_BAD},
        {"{'query':'q','documents':[{'image':'x'}]}", "documents[0].text: missing",
         "documents[0].text", GLIM_PROBLEM_MISSING},
        {"{'query':'q'," D ",'top_n':0}", "top_n: 0 is below 1", "top_n", GLIM_PROBLEM_BAD},
        {"{'query':'q'," D ",'top_n':-1}", "top_n: -1 is below 1", "top_n", GLIM_PROBLEM_BAD},
        {"{'query':'q'," D ",'top_n':1.5}", "top_n: 1.5 is no integer", "top_n", GLIM_PROBLEM_BAD},
        {"{'query':'q'," D ",'top_n':'1'}", "top_n: expected an integer", "top_n",
         GLIM_PROBLEM_BAD},
        {"{'query':'q'," D ",'return_documents':1}", "return_documents: expected true or false",
         "return_documents", GLIM_PROBLEM_BAD},
        {"{'query':'q'," D ",'return_raw_scores':'x'}", "return_raw_scores: expected true",
         "return_raw_scores", GLIM_PROBLEM_BAD},
        {"{'query':'q'," D ",'truncate':'END'}", "truncate: expected true or false", "truncate",
         GLIM_PROBLEM_BAD},
        {"{'query':'q'," D ",'model':1}", "model: expected a string", "model", GLIM_PROBLEM_BAD},
        {"{'query':'q'," D ",'request_id':true}", "request_id: expected a string", "request_id",
         GLIM_PROBLEM_BAD},
        {"{'query':'q','texts':['a']}", "texts: not supported; send the texts as documents",
         "texts", GLIM_PROBLEM_UNSUPPORTED},
        {"{'query':'q'," D ",'top_k':3}", "top_k: not supported; send top_n", "top_k",
         GLIM_PROBLEM_UNSUPPORTED},
        {"{'query':'q'," D ",'raw_scores':true}", "raw_scores: not supported; send return_raw",
         "raw_scores", GLIM_PROBLEM_UNSUPPORTED},
        {"{'query':'q'," D ",'return_text':true}", "return_text: not supported; send return_doc",
         "return_text", GLIM_PROBLEM_UNSUPPORTED},
        {"{'query':'q'," D ",'instruct':'x'}", "instruct: not supported", "instruct",
         GLIM_PROBLEM_UNSUPPORTED},
        {"{'query':'q'," D ",'instruction':'x'}", "instruction: not supported", "instruction",
         GLIM_PROBLEM_UNSUPPORTED},
        {"{'query':'q'," D ",'rank_fields':['x']}", "rank_fields: not supported", "rank_fields",
         GLIM_PROBLEM_UNSUPPORTED},
        {"{'query':'q'," D ",'max_chunks_per_doc':2}", "max_chunks_per_doc: not supported",
         "max_chunks_per_doc", GLIM_PROBLEM_UNSUPPORTED},
        {"{'query':'q'," D ",'max_tokens_per_doc':2}", "max_tokens_per_doc: not supported",
         "max_tokens_per_doc", GLIM_PROBLEM_UNSUPPORTED},
        {"{'query':'q'," D ",'truncate_prompt_tokens':2}", "truncate_prompt_tokens: not supported",
         "truncate_prompt_tokens", GLIM_PROBLEM_UNSUPPORTED},
    };
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        glim_rerank_request rq;
        glim_problem p = {0};
        glim_err rc = glim_rerank_decode(arena, quoted(cases[i].json), GLIM_RERANK_JINA, &rq, &p);
        if (!rc || strncmp(p.msg, cases[i].begins, strlen(cases[i].begins)) != 0)
            print_error("%s: %s\n", cases[i].json, p.msg);
        assert_int_not_equal(rc, GLIM_OK);
        assert_memory_equal(p.msg, cases[i].begins, strlen(cases[i].begins));
        assert_string_equal(p.param, cases[i].param);
        assert_int_equal(p.kind, cases[i].problem);
    }
    /* only Zhipu's clients must name a model */
    glim_rerank_request rq;
    glim_problem p = {0};
    assert_int_equal(
        glim_rerank_decode(arena, quoted("{'query':'q'," D "}"), GLIM_RERANK_ZHIPU, &rq, &p),
        GLIM_E_INPUT);
    assert_int_equal(p.kind, GLIM_PROBLEM_MISSING);
    assert_string_equal(p.param, "model");
}

static void most_documents(void **state)
{
    (void)state;
    for (size_t n = 2048; n <= 2049; n++) {
        glim_buf b;
        glim_rerank_request rq;
        glim_problem p = {0};
        glim_buf_init(&b, 1 << 20);
        glim_buf_adds(&b, "{\"query\":\"q\",\"documents\":[");
        for (size_t i = 0; i < n; i++)
            glim_buf_adds(&b, i ? ",\"a\"" : "\"a\"");
        glim_buf_adds(&b, "]}");
        glim_err rc = glim_rerank_decode(arena, glim_buf_view(&b), GLIM_RERANK_JINA, &rq, &p);
        if (n == 2048) {
            assert_int_equal(rc, GLIM_OK);
            assert_int_equal(rq.n_document, n);
        } else {
            assert_int_equal(rc, GLIM_E_INPUT);
            assert_string_equal(p.msg, "documents: 2049 documents; at most 2048 are allowed");
        }
        glim_buf_deinit(&b);
    }
}

/* ---- replies --------------------------------------------------------------------------------- */

static void replies(void **state)
{
    (void)state;
    static const double scores[] = {0.25, 0.75, 0.25, 0.9990234375, 0};
    static const float logits[] = {-1.1f, 1.0986f, -1.1f, 6.9f, -200};
    static const glim_rerank_result r = {.scores = scores, .logits = logits, .n_token = 40};
#define JINA(results)                                                                              \
    "{\"model\":\"glm-4.7-flash\",\"object\":\"list\",\"usage\":{\"prompt_tokens\":40,"            \
    "\"total_tokens\":40},\"results\":[" results "]}"
#define ZHIPU(results)                                                                             \
    "{\"request_id\":\"req-7\",\"id\":\"0123456789abcdef01234567\",\"created\":1700000000,"        \
    "\"results\":[" results "],\"usage\":{\"prompt_tokens\":40,\"total_tokens\":40}}"
#define R_(i, score) "{\"index\":" i ",\"relevance_score\":" score "}"
#define R_DOC(i, score, doc) "{\"index\":" i ",\"relevance_score\":" score ",\"document\":" doc "}"
#define ALL                                                                                        \
    R_("3", "0.9990234375")                                                                        \
    "," R_("1", "0.75") "," R_("0", "0.25") "," R_("2", "0.25") "," R_("4", "0")
    static const struct {
        glim_rerank_kind kind;
        const char *fields, *want;
    } cases[] = {
        {GLIM_RERANK_JINA, "'top_n':9", JINA(ALL)},
        {GLIM_RERANK_JINA, "'top_n':5", JINA(ALL)},
        {GLIM_RERANK_ZHIPU, "'user':'u'", ZHIPU(ALL)},
        {GLIM_RERANK_JINA, "'top_n':2", JINA(R_("3", "0.9990234375") "," R_("1", "0.75"))},
        {GLIM_RERANK_JINA, "'top_n':3,'return_documents':true",
         JINA(R_DOC("3", "0.9990234375", "{\"text\":\"d\",\"id\":1.0}") "," R_DOC(
             "1", "0.75", "{\"text\":\"b\\\"\"}") "," R_DOC("0", "0.25", "{\"text\":\"a\"}"))},
        {GLIM_RERANK_ZHIPU, "'top_n':2,'return_documents':true",
         ZHIPU(R_DOC("3", "0.9990234375", "{\"text\":\"d\",\"id\":1.0}") "," R_DOC("1", "0.75",
                                                                                   "\"b\\\"\""))},
        {GLIM_RERANK_ZHIPU, "'return_raw_scores':true",
         ZHIPU(R_("3", "6.9") "," R_("1", "1.0986") "," R_("0", "-1.1") "," R_("2", "-1.1") "," R_(
             "4", "-200"))},
    };
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        char json[512];
        glim_buf b;
        snprintf(json, sizeof json,
                 "{'model':'m','query':'q','documents':['a','b\\'','c',{'text':'d','id':1.0},'e'],"
                 "%s}",
                 cases[i].fields);
        glim_rerank_request rq = accept(cases[i].kind, json);
        glim_buf_init(&b, 4096);
        assert_int_equal(glim_rerank_encode(arena, &rq, &script_info, &r, &b), GLIM_OK);
        script_check(&b, cases[i].want);
        glim_buf_deinit(&b);
        for (size_t max = 0; max < strlen(cases[i].want); max += 7) {
            glim_buf_init(&b, max);
            assert_int_equal(glim_rerank_encode(arena, &rq, &script_info, &r, &b), GLIM_E_LIMIT);
            glim_buf_deinit(&b);
        }
    }
}

/* Scores that are no numbers come last, and the order is whole all the same. */
static void no_numbers(void **state)
{
    (void)state;
    const double scores[] = {NAN, 0.5, NAN, 1};
    const glim_rerank_result r = {.scores = scores};
    glim_buf b;
    glim_rerank_request rq =
        accept(GLIM_RERANK_JINA, "{'query':'q','documents':['a','b','c','d']}");
    glim_buf_init(&b, 4096);
    assert_int_equal(glim_rerank_encode(arena, &rq, &script_info, &r, &b), GLIM_OK);
    assert_non_null(strstr(
        b.p, "[" R_("3", "1") "," R_("1", "0.5") "," R_("0", "null") "," R_("2", "null") "]"));
    glim_buf_deinit(&b);
}

/* An arena that is full says so where it happens, and so does a sort without room. */
static void no_memory(void **state)
{
    (void)state;
    static const char body[] = "{\"query\":\"q\",\"documents\":[\"a\",\"b\"],\"priority\":1}";
    size_t n_full = 0;
    for (size_t max = 64; max < 8192; max += 64) {
        glim_rerank_request rq;
        glim_problem p = {0};
        glim_arena *a = glim_arena_new(max);
        if (a && glim_rerank_decode(a, glim_str_of(body), GLIM_RERANK_JINA, &rq, &p)) {
            assert_int_equal(p.kind, GLIM_PROBLEM_MEMORY);
            n_full++;
        }
        glim_arena_free(a);
    }
    assert_true(n_full > 2);
    const double scores[200] = {0};
    const glim_rerank_result r = {.scores = scores};
    const glim_rerank_request rq = {.n_document = 200, .top_n = -1};
    glim_buf b;
    glim_arena *small = glim_arena_new(1024);
    assert_non_null(small);
    glim_buf_init(&b, 4096);
    assert_int_equal(glim_rerank_encode(small, &rq, &script_info, &r, &b), GLIM_E_NOMEM);
    assert_int_equal(b.n, 0);
    glim_buf_deinit(&b);
    glim_arena_free(small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(least),     cmocka_unit_test(all_fields),
        cmocka_unit_test(refusals),  cmocka_unit_test(most_documents),
        cmocka_unit_test(replies),   cmocka_unit_test(no_numbers),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests_name("api/rerank", tests, setup, teardown);
}
