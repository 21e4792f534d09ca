/* SPDX-License-Identifier: MIT
 * test_keyword.c - the FastAPI server's POST /keyword. */
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

static glim_keyword_request accept(const char *json)
{
    glim_keyword_request rq;
    glim_problem p = {0};
    glim_err rc = glim_keyword_decode(arena, quoted(json), &rq, &p);
    if (rc) print_error("%s: %s\n", json, p.msg);
    assert_int_equal(rc, GLIM_OK);
    return rq;
}

static void requests(void **state)
{
    (void)state;
    static const char *const least[] = {
        "{'input':'t'}", "{'input':'t','vocab':null}", "{'input':'t','vocab':[]}",
        "{'input':'t','model':null,'top':null,'mmr':null,'maxsum':null,'diversity':null}"};
    for (size_t i = 0; i < GLIM_COUNT(least); i++) {
        glim_keyword_request rq = accept(least[i]);
        assert_true(glim_str_is(rq.input, "t"));
        assert_true(rq.model.n == 0 && rq.n_vocab == 0 && rq.n_unknown == 0);
        assert_int_equal(rq.top, 10);
        assert_false(rq.mmr || rq.maxsum);
        assert_true(rq.diversity == 0.3);
    }
    glim_keyword_request rq =
        accept("{'input':'t u','model':'text2vec','vocab':['\\u534e\\u4e3a','360',''],'top':5,"
               "'mmr':true,'maxsum':true,'diversity':0.7,'x':1,'y':2}");
    assert_true(glim_str_is(rq.model, "text2vec"));
    assert_int_equal(rq.n_vocab, 3);
    assert_true(glim_str_is(rq.vocab[0], "\xE5\x8D\x8E\xE4\xB8\xBA"));
    assert_true(glim_str_is(rq.vocab[1], "360"));
    assert_int_equal(rq.top, 5);
    assert_true(rq.mmr && rq.maxsum && rq.diversity == 0.7);
    assert_int_equal(rq.n_unknown, 2);
    assert_true(accept("{'input':'t','diversity':0}").diversity == 0);
    assert_true(accept("{'input':'t','diversity':1}").diversity == 1);
    assert_int_equal(accept("{'input':'t','top':1e3}").top, 1000);
}

static void refusals(void **state)
{
    (void)state;
    static const struct {
        const char *json, *begins, *param;
        glim_problem_kind problem;
    } cases[] = {
        {"{}", "input: missing; send a string", "input", GLIM_PROBLEM_MISSING},
        {"{'input':null}", "input: missing", "input", GLIM_PROBLEM_MISSING},
        {"{'input':''}", "input: empty", "input", GLIM_PROBLEM_BAD},
        {"{'input':['t']}", "input: expected a string, found an array", "input", GLIM_PROBLEM_BAD},
        {"[]", "expected a request object, found an array", "", GLIM_PROBLEM_BAD},
        {"{", "at byte", "", GLIM_PROBLEM_BAD},
        {"{'input':'t','model':5}", "model: expected a string", "model", GLIM_PROBLEM_BAD},
        {"{'input':'t','top':0}", "top: 0 is below 1", "top", GLIM_PROBLEM_BAD},
        {"{'input':'t','top':-5}", "top: -5 is below 1", "top", GLIM_PROBLEM_BAD},
        {"{'input':'t','top':'5'}", "top: expected an integer, found a string", "top",
         GLIM_PROBLEM_BAD},
        {"{'input':'t','top':2.5}", "top: 2.5 is no integer", "top", GLIM_PROBLEM_BAD},
        {"{'input':'t','mmr':1}", "mmr: expected true or false", "mmr", GLIM_PROBLEM_BAD},
        {"{'input':'t','maxsum':'true'}", "maxsum: expected true or false", "maxsum",
         GLIM_PROBLEM_BAD},
        {"{'input':'t','diversity':1.5}", "diversity: 1.5 is out of range; send 0 to 1",
         "diversity", GLIM_PROBLEM_BAD},
        {"{'input':'t','diversity':-0.1}", "diversity: -0.1 is out of range", "diversity",
         GLIM_PROBLEM_BAD},
        {"{'input':'t','diversity':1e999}", "diversity: 1e999 is out of range", "diversity",
         GLIM_PROBLEM_BAD},
        {"{'input':'t','diversity':'0.5'}", "diversity: expected a number", "diversity",
         GLIM_PROBLEM_BAD},
        {"{'input':'t','vocab':'a'}", "vocab: expected a list of strings", "vocab",
         GLIM_PROBLEM_BAD},
        {"{'input':'t','vocab':{}}", "vocab: expected a list", "vocab", GLIM_PROBLEM_BAD},
        {"{'input':'t','vocab':['a',360]}", "vocab[1]: expected a string, found a number",
         "vocab[1]", GLIM_PROBLEM_BAD},
        {"{'input':'t','vocab':[null]}", "vocab[0]: expected a string", "vocab[0]",
         GLIM_PROBLEM_BAD},
    };
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        glim_keyword_request rq;
        glim_problem p = {0};
        glim_err rc = glim_keyword_decode(arena, quoted(cases[i].json), &rq, &p);
        if (!rc || strncmp(p.msg, cases[i].begins, strlen(cases[i].begins)) != 0)
            print_error("%s: %s\n", cases[i].json, p.msg);
        assert_int_not_equal(rc, GLIM_OK);
        assert_memory_equal(p.msg, cases[i].begins, strlen(cases[i].begins));
        assert_string_equal(p.param, cases[i].param);
        assert_int_equal(p.kind, cases[i].problem);
    }
}

/* Lists that are too long: of words, of members. */
static void limits(void **state)
{
    (void)state;
    static const struct {
        const char *head, *tail;
        size_t most;
        const char *says;
    } cases[] = {
        {"{\"input\":\"t\",\"vocab\":[\"a\"", "]}", GLIM_KEYWORD_VOCAB_MAX,
         "vocab: 16385 words; at most 16384 are allowed"},
        {"{\"input\":\"t\"", "}", 1024, "1025 members; at most 1024 are allowed"},
    };
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        for (size_t more = 0; more < 2; more++) {
            glim_keyword_request rq;
            glim_problem p = {0};
            glim_buf b;
            glim_buf_init(&b, 1 << 20);
            glim_buf_adds(&b, cases[i].head);
            for (size_t k = 1; k < cases[i].most + more; k++)
                glim_buf_addf(&b, i ? ",\"k%zu\":1" : ",\"a%zu\"", k);
            glim_buf_adds(&b, cases[i].tail);
            glim_err rc = glim_keyword_decode(arena, glim_buf_view(&b), &rq, &p);
            assert_int_equal(rc, more ? GLIM_E_INPUT : GLIM_OK);
            if (more) assert_string_equal(p.msg, cases[i].says);
            glim_buf_deinit(&b);
        }
    }
}

static void replies(void **state)
{
    (void)state;
    static const glim_keyword_hit hits[] = {{{"\xE5\x8D\x8E\xE4\xB8\xBA", 6}, 0.827349},
                                            {{"a\"b", 3}, 0.77675},
                                            {{"c", 1}, 0.5},
                                            {{"d", 1}, 1},
                                            {{"e", 1}, -0.00001},
                                            {{"f", 1}, -0.12345678},
                                            {{"g", 1}, 0.00005}};
    glim_buf b;
    glim_buf_init(&b, 4096);
    const char *want =
        "{\"model\":\"m\",\"keywords\":[{\"name\":\"\xE5\x8D\x8E\xE4\xB8\xBA\",\"similarity\":"
        "0.8273},{\"name\":\"a\\\"b\",\"similarity\":0.7768},{\"name\":\"c\",\"similarity\":0.5},"
        "{\"name\":\"d\",\"similarity\":1},{\"name\":\"e\",\"similarity\":0},"
        "{\"name\":\"f\",\"similarity\":-0.1235},{\"name\":\"g\",\"similarity\":0.0001}]}";
    assert_int_equal(glim_keyword_encode(GLIM_STR("m"), hits, GLIM_COUNT(hits), &b), GLIM_OK);
    script_check(&b, want);
    glim_buf_clear(&b);
    assert_int_equal(glim_keyword_encode(GLIM_STR("m"), NULL, 0, &b), GLIM_OK);
    script_check(&b, "{\"model\":\"m\",\"keywords\":[]}");
    glim_buf_deinit(&b);
    for (size_t max = 0; max < strlen(want); max += 7) {
        glim_buf_init(&b, max);
        assert_int_equal(glim_keyword_encode(GLIM_STR("m"), hits, GLIM_COUNT(hits), &b),
                         GLIM_E_LIMIT);
        glim_buf_deinit(&b);
    }
}

/* An arena that is full says so where it happens. */
static void no_memory(void **state)
{
    (void)state;
    static const char body[] = "{\"input\":\"t\",\"vocab\":[\"a\",\"b\",\"c\"]}";
    size_t n_full = 0;
    for (size_t max = 64; max < 4096; max += 32) {
        glim_keyword_request rq;
        glim_problem p = {0};
        glim_arena *a = glim_arena_new(max);
        if (a && glim_keyword_decode(a, glim_str_of(body), &rq, &p)) {
            assert_int_equal(p.kind, GLIM_PROBLEM_MEMORY);
            n_full++;
        }
        glim_arena_free(a);
    }
    assert_true(n_full > 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests), cmocka_unit_test(refusals),  cmocka_unit_test(limits),
        cmocka_unit_test(replies),  cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests_name("api/keyword", tests, setup, teardown);
}
