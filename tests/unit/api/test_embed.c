/* SPDX-License-Identifier: MIT
 * test_embed.c - requests for embeddings in the spellings of six routes, and their replies. */
#include "script.h"

#include <math.h>
#include <stdlib.h>

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

static glim_embed_request accept(glim_embed_kind kind, const char *json)
{
    glim_embed_request rq;
    glim_problem p = {0};
    glim_err rc = glim_embed_decode(arena, quoted(json), kind, &rq, &p);
    if (rc) print_error("%s: %s\n", json, p.msg);
    assert_int_equal(rc, GLIM_OK);
    assert_int_equal(rq.kind, kind);
    return rq;
}

/* ---- inputs ---------------------------------------------------------------------------------- */

/* "t" for a text, "2" for two ids, one an input. */
static void check_inputs(const glim_embed_request *rq, const char *want)
{
    char got[64] = "";
    assert_true(rq->n_input < sizeof got);
    for (size_t i = 0; i < rq->n_input; i++) {
        const glim_raw_prompt *in = &rq->inputs[i];
        assert_int_equal(in->n_part, 0);
        assert_true((in->text.p != NULL) != (in->n_id > 0));
        got[i] = in->text.p ? 't' : (char)('0' + in->n_id);
    }
    assert_string_equal(got, want);
}

static void forms(void **state)
{
    (void)state;
    static const struct {
        glim_embed_kind kind;
        const char *json, *want;
    } cases[] = {
        {GLIM_EMBED_OPENAI, "{'input':'a'}", "t"},
        {GLIM_EMBED_OPENAI, "{'input':['a','b']}", "tt"},
        {GLIM_EMBED_OPENAI, "{'input':[1,2,3]}", "3"},
        {GLIM_EMBED_OPENAI, "{'input':[[1,2],[3]]}", "21"},
        {GLIM_EMBED_OPENAI, "{'input':[0,2147483647,3.0]}", "3"},
        {GLIM_EMBED_ZHIPU, "{'model':'m','input':['a']}", "t"},
        {GLIM_EMBED_ZHIPU, "{'model':'','input':[[1]]}", "1"},
        {GLIM_EMBED_LEGACY, "{'prompt':['a','b']}", "tt"},
        {GLIM_EMBED_LEGACY, "{'model':'m','prompt':'a'}", "t"},
        {GLIM_EMBED_LLAMA, "{'content':'a'}", "t"},
        {GLIM_EMBED_LLAMA, "{'content':['a','b']}", "tt"},
        {GLIM_EMBED_LLAMA, "{'input':[1,2]}", "2"},
        {GLIM_EMBED_LLAMA, "{'content':[[1,2],[3]],'input':null}", "21"},
        {GLIM_EMBED_OLLAMA, "{'model':'m','input':'a'}", "t"},
        {GLIM_EMBED_OLLAMA, "{'model':'m','input':['a','b']}", "tt"},
        {GLIM_EMBED_OLLAMA_OLD, "{'model':'m','prompt':'a'}", "t"},
    };
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        glim_embed_request rq = accept(cases[i].kind, cases[i].json);
        check_inputs(&rq, cases[i].want);
        assert_false(rq.instead);
        assert_int_equal(rq.n_unknown, 0);
        assert_int_equal(rq.n_note, 0);
    }
    glim_embed_request rq = accept(GLIM_EMBED_OPENAI, "{'input':[[7,2147483647],[0]]}");
    assert_int_equal(rq.inputs[0].ids[0], 7);
    assert_int_equal(rq.inputs[0].ids[1], INT32_MAX);
    assert_int_equal(rq.inputs[1].ids[0], 0);
    rq = accept(GLIM_EMBED_OPENAI, "{'input':['a','\\u4f60']}");
    assert_true(glim_str_is(rq.inputs[1].text, "\xE4\xBD\xA0"));
}

/* {"model":"m","<key>":["a","a",...]} with n elements. */
static glim_str many(const char *key, size_t n)
{
    glim_buf b;
    glim_buf_init(&b, 1 << 20);
    glim_buf_addf(&b, "{\"model\":\"m\",\"%s\":[", key);
    for (size_t i = 0; i < n; i++)
        glim_buf_adds(&b, i ? ",\"a\"" : "\"a\"");
    glim_buf_adds(&b, "]}");
    glim_str s = glim_arena_str(arena, glim_buf_view(&b));
    glim_buf_deinit(&b);
    return s;
}

static void most_inputs(void **state)
{
    (void)state;
    static const struct {
        glim_embed_kind kind;
        const char *key;
    } routes[] = {{GLIM_EMBED_OPENAI, "input"},
                  {GLIM_EMBED_ZHIPU, "input"},
                  {GLIM_EMBED_LEGACY, "prompt"},
                  {GLIM_EMBED_LLAMA, "content"},
                  {GLIM_EMBED_OLLAMA, "input"}};
    for (size_t i = 0; i < GLIM_COUNT(routes); i++) {
        glim_embed_request rq;
        glim_problem p = {0};
        char want[96];
        assert_int_equal(
            glim_embed_decode(arena, many(routes[i].key, 2048), routes[i].kind, &rq, &p), GLIM_OK);
        assert_int_equal(rq.n_input, 2048);
        assert_int_equal(
            glim_embed_decode(arena, many(routes[i].key, 2049), routes[i].kind, &rq, &p),
            GLIM_E_INPUT);
        snprintf(want, sizeof want, "%s: 2049 texts; at most 2048 are allowed", routes[i].key);
        assert_string_equal(p.msg, want);
        assert_string_equal(p.param, routes[i].key);
    }
    /* ids of one text are no list of texts */
    glim_buf b;
    glim_buf_init(&b, 1 << 20);
    glim_buf_adds(&b, "{\"input\":[0");
    for (int i = 0; i < 3000; i++)
        glim_buf_adds(&b, ",1");
    glim_buf_adds(&b, "]}");
    glim_embed_request rq;
    glim_problem p = {0};
    assert_int_equal(glim_embed_decode(arena, glim_buf_view(&b), GLIM_EMBED_OPENAI, &rq, &p),
                     GLIM_OK);
    assert_int_equal(rq.n_input, 1);
    assert_int_equal(rq.inputs[0].n_id, 3001);
    glim_buf_deinit(&b);
}

/* ---- the other fields ------------------------------------------------------------------------ */

static void defaults(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        bool truncate, normalize;
    } cases[] = {
        [GLIM_EMBED_OPENAI] = {"{'input':'a'}", false, true},
        [GLIM_EMBED_ZHIPU] = {"{'model':'','input':'a'}", false, true},
        [GLIM_EMBED_LEGACY] = {"{'prompt':'a'}", true, true},
        [GLIM_EMBED_LLAMA] = {"{'content':'a'}", false, true},
        [GLIM_EMBED_OLLAMA] = {"{'model':'','input':'a'}", true, true},
        [GLIM_EMBED_OLLAMA_OLD] = {"{'model':'','prompt':'a'}", true, false},
    };
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        glim_embed_request rq = accept((glim_embed_kind)i, cases[i].json);
        assert_int_equal(rq.truncate, cases[i].truncate);
        assert_int_equal(rq.normalize, cases[i].normalize);
        assert_int_equal(rq.n_dim, 0);
        assert_false(rq.base64 || rq.instead || rq.unload);
        assert_true(rq.model.n == 0 && rq.request_id.n == 0 && rq.user_id.n == 0);
    }
}

/* Notes joined by commas. */
static void check_notes(const glim_embed_request *rq, const char *want)
{
    glim_buf b;
    glim_buf_init(&b, 4096);
    for (size_t i = 0; i < rq->n_note; i++) {
        if (i) glim_buf_addc(&b, ',');
        glim_buf_addv(&b, rq->notes[i]);
    }
    assert_string_equal(b.p ? b.p : "", want);
    glim_buf_deinit(&b);
}

static void openai_fields(void **state)
{
    (void)state;
    for (glim_embed_kind kind = GLIM_EMBED_OPENAI; kind <= GLIM_EMBED_ZHIPU; kind++) {
        glim_embed_request rq =
            accept(kind, "{'model':'bge-m3','input':'a','encoding_format':'base64',"
                         "'dimensions':256,'user':'u','request_id':'r-1','x':1,'y':{}}");
        assert_true(glim_str_is(rq.model, "bge-m3"));
        assert_true(glim_str_is(rq.user_id, "u"));
        assert_true(glim_str_is(rq.request_id, "r-1"));
        assert_true(rq.base64);
        assert_int_equal(rq.n_dim, 256);
        assert_int_equal(rq.n_unknown, 2);
        rq = accept(kind, "{'model':'m','input':'a','encoding_format':'float','user':'u',"
                          "'user_id':'v','request_id':1.50,'embedding_type':'base64'}");
        assert_false(rq.base64);
        assert_true(glim_str_is(rq.user_id, "v"));
        assert_true(glim_str_is(rq.request_id, "1.50"));
        rq = accept(kind, "{'model':'m','input':'a','embedding_type':'base64'}");
        assert_true(rq.base64);
        rq = accept(kind, "{'model':'','input':'a','encoding_format':null,'dimensions':null,"
                          "'user':null,'request_id':null,'truncate_prompt_tokens':null,"
                          "'normalize':true,'normalized':true,'add_special_tokens':true,"
                          "'late_chunking':false,'task':null,'priority':0}");
        assert_false(rq.base64);
        assert_int_equal(rq.n_unknown, 0);
        check_notes(&rq, "priority");
        /* Python's extra_body as it stands; the body's own fields win */
        rq = accept(kind, "{'input':'a','model':'m','dimensions':5,"
                          "'extra_body':{'dimensions':7,'user':'e'}}");
        assert_int_equal(rq.n_dim, 5);
        assert_true(glim_str_is(rq.user_id, "e"));
        rq = accept(kind, "{'input':'a','extra_body':{'model':'m'}}");
        assert_true(glim_str_is(rq.model, "m"));
    }
}

static void llama_fields(void **state)
{
    (void)state;
    glim_embed_request rq =
        accept(GLIM_EMBED_LLAMA,
               "{'content':'a','embd_normalize':-1,'model':'m','encoding_format':'float',"
               "'dimensions':3}");
    assert_false(rq.normalize);
    assert_int_equal(rq.n_dim, 3);
    assert_true(glim_str_is(rq.model, "m"));
    assert_true(accept(GLIM_EMBED_LLAMA, "{'content':'a','embd_normalize':2}").normalize);
    assert_true(accept(GLIM_EMBED_LLAMA, "{'content':'a','embd_normalize':null}").normalize);
}

static void ollama_fields(void **state)
{
    (void)state;
    glim_embed_request rq =
        accept(GLIM_EMBED_OLLAMA, "{'model':'m','input':['a'],'truncate':false,'dimensions':64,"
                                  "'options':{'num_ctx':2048,'temperature':0.5,'zzz':1},"
                                  "'keep_alive':'5m','w':0}");
    assert_false(rq.truncate);
    assert_int_equal(rq.n_dim, 64);
    assert_false(rq.unload);
    assert_int_equal(rq.n_unknown, 2);
    check_notes(&rq, "num_ctx,options,keep_alive");
    rq = accept(GLIM_EMBED_OLLAMA, "{'model':'m','input':'a','truncate':null,'dimensions':0,"
                                   "'options':{},'keep_alive':0,'extra_body':{'input':'b'}}");
    assert_true(rq.truncate && rq.unload && !rq.instead);
    assert_int_equal(rq.n_dim, 0);
    assert_int_equal(rq.n_unknown, 1); /* extra_body is no habit there */
    assert_true(glim_str_is(rq.inputs[0].text, "a"));
    check_notes(&rq, "");
    static const struct {
        const char *json;
        bool unload;
    } keeps[] = {{"0", true},     {"0.0", true}, {"'0'", true},  {"'0s'", true},   {"'0h0m'", true},
                 {"'5m'", false}, {"-1", false}, {"300", false}, {"'-1s'", false}, {"null", false}};
    for (size_t i = 0; i < GLIM_COUNT(keeps); i++) {
        char json[128];
        snprintf(json, sizeof json, "{'model':'m','prompt':'a','keep_alive':%s}", keeps[i].json);
        assert_int_equal(accept(GLIM_EMBED_OLLAMA_OLD, json).unload, keeps[i].unload);
    }
    rq = accept(GLIM_EMBED_OLLAMA_OLD, "{'model':'m','prompt':'a','options':{'num_gpu':1}}");
    check_notes(&rq, "num_gpu,options");
}

/* No text loads the model or lets it go. */
static void instead(void **state)
{
    (void)state;
    static const struct {
        glim_embed_kind kind;
        const char *json;
        bool unload;
    } cases[] = {
        {GLIM_EMBED_OLLAMA, "{'model':'m'}", false},
        {GLIM_EMBED_OLLAMA, "{'model':'m','input':null}", false},
        {GLIM_EMBED_OLLAMA, "{'model':'m','input':''}", false},
        {GLIM_EMBED_OLLAMA, "{'model':'m','input':[],'keep_alive':0}", true},
        {GLIM_EMBED_OLLAMA, "{'model':'m','keep_alive':'0'}", true},
        {GLIM_EMBED_OLLAMA_OLD, "{'model':'m'}", false},
        {GLIM_EMBED_OLLAMA_OLD, "{'model':'m','prompt':'','keep_alive':0}", true},
    };
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        glim_embed_request rq = accept(cases[i].kind, cases[i].json);
        glim_buf b;
        assert_true(rq.instead);
        assert_int_equal(rq.n_input, 0);
        assert_int_equal(rq.unload, cases[i].unload);
        glim_buf_init(&b, 4096);
        assert_int_equal(glim_embed_encode(&rq, &script_info, NULL, &b), GLIM_OK);
        script_check(&b, cases[i].kind == GLIM_EMBED_OLLAMA
                             ? "{\"model\":\"glm-4.7-flash\",\"embeddings\":[]}"
                             : "{\"embedding\":[]}");
        glim_buf_deinit(&b);
    }
}

static void refusals(void **state)
{
    (void)state;
    enum { O = GLIM_EMBED_OPENAI, Z, F, L, E, OLD };
    assert_int_equal(OLD, GLIM_EMBED_OLLAMA_OLD);
    static const struct {
        int kind;
        const char *json, *begins, *param;
        glim_problem_kind problem;
    } cases[] = {
        {O, "{}", "input: missing; send a string", "input", GLIM_PROBLEM_MISSING},
        {O, "{'input':null}", "input: missing", "input", GLIM_PROBLEM_MISSING},
        {O, "[]", "expected a request object, found an array", "", GLIM_PROBLEM_BAD},
        {O, "{", "at byte", "", GLIM_PROBLEM_BAD},
        {O, "{'input':''}", "input: empty; a text of nothing", "input", GLIM_PROBLEM_BAD},
        {O, "{'input':['a','']}", "input[1]: empty; a text", "input[1]", GLIM_PROBLEM_BAD},
        {O, "{'input':[]}", "input: the list is empty", "input", GLIM_PROBLEM_BAD},
        {O, "{'input':[[1],[]]}", "input[1]: the list is empty", "input[1]", GLIM_PROBLEM_BAD},
        {O, "{'input':5}", "input: expected a string, a list of token ids, or a list of either",
         "input", GLIM_PROBLEM_BAD},
        {O, "{'input':{}}", "input: expected a string", "input", GLIM_PROBLEM_BAD},
        {O, "{'input':true}", "input: expected a string", "input", GLIM_PROBLEM_BAD},
        {O, "{'input':['a',[1]]}", "input[1]: texts and lists of token ids do not go together",
         "input[1]", GLIM_PROBLEM_BAD},
        {O, "{'input':[[1],'a']}", "input[1]: texts and lists", "input[1]", GLIM_PROBLEM_BAD},
        {O, "{'input':['a',1]}", "input[1]: expected a string or a list of token ids, found",
         "input[1]", GLIM_PROBLEM_BAD},
        {O, "{'input':[1,'a']}", "input[1]: expected a token id, found a string", "input[1]",
         GLIM_PROBLEM_BAD},
        {O, "{'input':[1,[2]]}", "input[1]: expected a token id", "input[1]", GLIM_PROBLEM_BAD},
        {O, "{'input':['a',null]}", "input[1]: expected a string", "input[1]", GLIM_PROBLEM_BAD},
        {O, "{'input':[null]}", "input[0]: expected a string", "input[0]", GLIM_PROBLEM_BAD},
        {O, "{'input':[[1,-1]]}", "input[0][1]: -1 is no token id", "input[0][1]",
         GLIM_PROBLEM_BAD},
        {O, "{'input':[2147483648]}", "input[0]: 2147483648 is no token id", "input[0]",
         GLIM_PROBLEM_BAD},
        {O, "{'input':[1.5]}", "input[0]: 1.5 is no token id", "input[0]", GLIM_PROBLEM_BAD},
        {O, "{'input':[[[1]]]}", "input[0][0]: expected a token id", "input[0][0]",
         GLIM_PROBLEM_BAD},
        {O, "{'input':'a','model':1}", "model: expected a string", "model", GLIM_PROBLEM_BAD},
        {O, "{'input':'a','encoding_format':'int8'}",
         "encoding_format: \"int8\" is unknown; use float or base64", "encoding_format",
         GLIM_PROBLEM_BAD},
        {O, "{'input':'a','encoding_format':1}", "encoding_format: expected a string",
         "encoding_format", GLIM_PROBLEM_BAD},
        {O, "{'input':'a','embedding_type':'binary'}", "embedding_type: \"binary\" is unknown",
         "embedding_type", GLIM_PROBLEM_BAD},
        {O, "{'input':'a','dimensions':0}", "dimensions: 0 is below 1", "dimensions",
         GLIM_PROBLEM_BAD},
        {O, "{'input':'a','dimensions':-3}", "dimensions: -3 is below 1", "dimensions",
         GLIM_PROBLEM_BAD},
        {O, "{'input':'a','dimensions':1.5}", "dimensions: 1.5 is no integer", "dimensions",
         GLIM_PROBLEM_BAD},
        {O, "{'input':'a','dimensions':1e300}", "dimensions: 1e300 is no integer", "dimensions",
         GLIM_PROBLEM_BAD},
        {O, "{'input':'a','dimensions':'8'}", "dimensions: expected an integer", "dimensions",
         GLIM_PROBLEM_BAD},
        {O, "{'input':'a','user':1}", "user: expected a string", "user", GLIM_PROBLEM_BAD},
        {O, "{'input':'a','request_id':[]}", "request_id: expected a string", "request_id",
         GLIM_PROBLEM_BAD},
        {O, "{'input':'a','truncate_prompt_tokens':9}", "truncate_prompt_tokens: not supported",
         "truncate_prompt_tokens", GLIM_PROBLEM_UNSUPPORTED},
        {O, "{'input':'a','normalize':false}", "normalize: only true is supported", "normalize",
         GLIM_PROBLEM_UNSUPPORTED},
        {O, "{'input':'a','normalized':1}", "normalized: expected true or false", "normalized",
         GLIM_PROBLEM_BAD},
        {O, "{'input':'a','add_special_tokens':false}", "add_special_tokens: only true",
         "add_special_tokens", GLIM_PROBLEM_UNSUPPORTED},
        {O, "{'input':'a','late_chunking':true}", "late_chunking: only false", "late_chunking",
         GLIM_PROBLEM_UNSUPPORTED},
        {O, "{'messages':[]}", "messages: not supported", "messages", GLIM_PROBLEM_UNSUPPORTED},
        {O, "{'input':'a','task':'retrieval.query'}", "task: not supported", "task",
         GLIM_PROBLEM_UNSUPPORTED},
        {O, "{'input':'a','input_type':'query'}", "input_type: not supported", "input_type",
         GLIM_PROBLEM_UNSUPPORTED},
        {O, "{'input':'a','prompt_name':'query'}", "prompt_name: not supported", "prompt_name",
         GLIM_PROBLEM_UNSUPPORTED},
        {O, "{'input':'a','embed_dtype':'float16'}", "embed_dtype: not supported", "embed_dtype",
         GLIM_PROBLEM_UNSUPPORTED},
        {O, "{'input':'a','endianness':'big'}", "endianness: not supported", "endianness",
         GLIM_PROBLEM_UNSUPPORTED},
        {O, "{'input':'a','extra_body':1}", "extra_body: expected an object", "extra_body",
         GLIM_PROBLEM_BAD},
        {O, "{'input':'a','extra_body':{'dimensions':0}}", "extra_body: dimensions: 0 is below 1",
         "extra_body", GLIM_PROBLEM_BAD},
        {Z, "{'input':'a'}", "model: missing; name a model", "model", GLIM_PROBLEM_MISSING},
        {Z, "{'input':'a','model':null}", "model: missing", "model", GLIM_PROBLEM_MISSING},
        {Z, "{'model':'m'}", "input: missing", "input", GLIM_PROBLEM_MISSING},
        {Z, "{'model':'m','input':['']}", "input[0]: empty", "input[0]", GLIM_PROBLEM_BAD},
        {F, "{'model':'m'}", "prompt: missing", "prompt", GLIM_PROBLEM_MISSING},
        {F, "{'prompt':['a','']}", "prompt[1]: empty", "prompt[1]", GLIM_PROBLEM_BAD},
        {F, "{'prompt':[]}", "prompt: the list is empty", "prompt", GLIM_PROBLEM_BAD},
        {F, "{'prompt':[1]}", "prompt[0]: expected a string, found a number", "prompt[0]",
         GLIM_PROBLEM_BAD},
        {F, "{'prompt':[['a']]}", "prompt[0]: expected a string", "prompt[0]", GLIM_PROBLEM_BAD},
        {F, "{'prompt':1}", "prompt: expected a string or a list of strings", "prompt",
         GLIM_PROBLEM_BAD},
        {L, "{}", "input: missing", "input", GLIM_PROBLEM_MISSING},
        {L, "{'content':'a','input':'b'}", "content: given beside input", "content",
         GLIM_PROBLEM_EXCLUSIVE},
        {L, "{'content':''}", "content: empty", "content", GLIM_PROBLEM_BAD},
        {L, "{'content':[1,'a']}", "content[1]: expected a token id", "content[1]",
         GLIM_PROBLEM_BAD},
        {L, "{'content':'a','embd_normalize':1}", "embd_normalize: 1 is not supported; send 2",
         "embd_normalize", GLIM_PROBLEM_UNSUPPORTED},
        {L, "{'content':'a','embd_normalize':0}", "embd_normalize: 0 is not supported",
         "embd_normalize", GLIM_PROBLEM_UNSUPPORTED},
        {L, "{'content':'a','embd_normalize':true}", "embd_normalize: expected an integer",
         "embd_normalize", GLIM_PROBLEM_BAD},
        {L, "{'content':'a','encoding_format':'base64'}",
         "encoding_format: base64 is not supported here", "encoding_format",
         GLIM_PROBLEM_UNSUPPORTED},
        {L, "{'content':'a','encoding_format':'x'}", "encoding_format: \"x\" is unknown",
         "encoding_format", GLIM_PROBLEM_BAD},
        {L, "{'content':'a','dimensions':0}", "dimensions: 0 is below 1", "dimensions",
         GLIM_PROBLEM_BAD},
        {E, "{'input':'a'}", "model: missing", "model", GLIM_PROBLEM_MISSING},
        {E, "{}", "model: missing", "model", GLIM_PROBLEM_MISSING},
        {E, "[]", "expected a request object", "", GLIM_PROBLEM_BAD},
        {E, "{'model':'m','input':5}", "input: expected a string or a list of strings", "input",
         GLIM_PROBLEM_BAD},
        {E, "{'model':'m','input':[1]}", "input[0]: expected a string", "input[0]",
         GLIM_PROBLEM_BAD},
        {E, "{'model':'m','input':['a','']}", "input[1]: empty", "input[1]", GLIM_PROBLEM_BAD},
        {E, "{'model':'m','input':'a','truncate':1}", "truncate: expected true or false",
         "truncate", GLIM_PROBLEM_BAD},
        {E, "{'model':'m','input':'a','dimensions':-1}", "dimensions: -1 is below 0", "dimensions",
         GLIM_PROBLEM_BAD},
        {E, "{'model':'m','input':'a','keep_alive':'soon'}", "keep_alive: \"soon\" is no duration",
         "keep_alive", GLIM_PROBLEM_BAD},
        {E, "{'model':'m','input':'a','options':[]}", "options: expected an object", "options",
         GLIM_PROBLEM_BAD},
        {E, "{'model':'m','input':'a','options':{'num_ctx':'x'}}",
         "options.num_ctx: expected an integer", "options.num_ctx", GLIM_PROBLEM_BAD},
        {E, "{'model':'m','options':{'temperature':9}}", "options.temperature: 9 is above 2",
         "options.temperature", GLIM_PROBLEM_BAD},
        {OLD, "{'prompt':'a'}", "model: missing", "model", GLIM_PROBLEM_MISSING},
        {OLD, "{'model':'m','prompt':['a']}", "prompt: expected a string, found an array", "prompt",
         GLIM_PROBLEM_BAD},
        {OLD, "{'model':'m','prompt':[]}", "prompt: expected a string", "prompt", GLIM_PROBLEM_BAD},
        {OLD, "{'model':'m','prompt':1}", "prompt: expected a string", "prompt", GLIM_PROBLEM_BAD},
        {OLD, "{'model':'m','prompt':'a','keep_alive':[]}", "keep_alive: expected a number",
         "keep_alive", GLIM_PROBLEM_BAD},
    };
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        glim_embed_request rq;
        glim_problem p = {0};
        glim_err rc = glim_embed_decode(arena, quoted(cases[i].json),
                                        (glim_embed_kind)cases[i].kind, &rq, &p);
        if (!rc || strncmp(p.msg, cases[i].begins, strlen(cases[i].begins)) != 0 ||
            strcmp(p.param, cases[i].param) != 0 || p.kind != cases[i].problem)
            print_error("%s: \"%s\" at \"%s\"\n", cases[i].json, p.msg, p.param);
        assert_int_not_equal(rc, GLIM_OK);
        assert_memory_equal(p.msg, cases[i].begins, strlen(cases[i].begins));
        assert_string_equal(p.param, cases[i].param);
        assert_int_equal(p.kind, cases[i].problem);
    }
}

/* ---- replies --------------------------------------------------------------------------------- */

static const float two[] = {0.5f, -0.25f, 1, 0.1f, 0, -2e-8f};
static const glim_embed_result result = {
    .vectors = two, .n_dim = 3, .n_token = 17, .load_ns = 5, .total_ns = 1234567890123};

static void replies(void **state)
{
    (void)state;
    static const glim_raw_prompt inputs[2] = {{.text = {"a", 1}}, {.text = {"b", 1}}};
#define ITEM(index, v) "{\"object\":\"embedding\",\"index\":" index ",\"embedding\":" v "}"
#define FIRST "[0.5,-0.25,1]"
#define SECOND "[0.1,0,-2e-08]"
#define OPENAI(a, b)                                                                               \
    "{\"object\":\"list\",\"data\":[" ITEM("0", a) "," ITEM(                                       \
        "1", b) "],\"model\":\"glm-4.7-flash\","                                                   \
                "\"usage\":{\"prompt_tokens\":17,\"total_tokens\":17}}"
    static const struct {
        glim_embed_kind kind;
        bool base64;
        const char *want;
    } cases[] = {
        {GLIM_EMBED_OPENAI, false, OPENAI(FIRST, SECOND)},
        {GLIM_EMBED_OPENAI, true, OPENAI("\"AAAAPwAAgL4AAIA/\"", "\"zczMPQAAAAB3zKuy\"")},
        {GLIM_EMBED_ZHIPU, false,
         "{\"request_id\":\"req-7\",\"object\":\"list\",\"data\":[" ITEM("0", FIRST) "," ITEM(
             "1", SECOND) "],\"model\":\"glm-4.7-flash\",\"usage\":{\"prompt_tokens\":17,"
                          "\"completion_tokens\":0,\"total_tokens\":17}}"},
        {GLIM_EMBED_LEGACY, false,
         "{\"data\":[" FIRST "," SECOND "],\"model\":\"glm-4.7-flash\",\"object\":\"embedding\"}"},
        {GLIM_EMBED_LLAMA, false,
         "[{\"index\":0,\"embedding\":[" FIRST "]},{\"index\":1,\"embedding\":[" SECOND "]}]"},
        {GLIM_EMBED_OLLAMA, false,
         "{\"model\":\"glm-4.7-flash\",\"embeddings\":[" FIRST "," SECOND
         "],\"total_duration\":1234567890123,\"load_duration\":5,\"prompt_eval_count\":17}"},
        {GLIM_EMBED_OLLAMA_OLD, false, "{\"embedding\":" FIRST "}"},
    };
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        const glim_embed_request rq = {.kind = cases[i].kind,
                                       .inputs = inputs,
                                       .n_input = cases[i].kind == GLIM_EMBED_OLLAMA_OLD ? 1 : 2,
                                       .base64 = cases[i].base64};
        glim_buf b;
        glim_buf_init(&b, 4096);
        assert_int_equal(glim_embed_encode(&rq, &script_info, &result, &b), GLIM_OK);
        script_check(&b, cases[i].want);
        glim_buf_deinit(&b);
        /* no room anywhere on the way */
        for (size_t max = 0; max < strlen(cases[i].want); max += 7) {
            glim_buf_init(&b, max);
            assert_int_equal(glim_embed_encode(&rq, &script_info, &result, &b), GLIM_E_LIMIT);
            glim_buf_deinit(&b);
        }
    }
}

static size_t letter_value(char c)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *p = strchr(letters, c);
    assert_true(c && p);
    return (size_t)(p - letters);
}

/* Both forms bring every bit back, for each length of padding. */
static void same_numbers(void **state)
{
    (void)state;
    enum { N = 64 };
    glim_rng rng;
    glim_rng_seed(&rng, 7);
    for (size_t n = 1; n <= N; n++) {
        float v[N];
        glim_buf b;
        for (size_t i = 0; i < n; i++)
            v[i] = ldexpf(glim_rng_f32(&rng) - 0.5f, -(int)(glim_rng_u64(&rng) % 40));
        glim_embed_request rq = {.kind = GLIM_EMBED_OLLAMA_OLD};
        const glim_embed_result r = {.vectors = v, .n_dim = (int64_t)n};
        glim_buf_init(&b, 1 << 16);
        assert_int_equal(glim_embed_encode(&rq, &script_info, &r, &b), GLIM_OK);
        const char *at = strchr(b.p, '[');
        for (size_t i = 0; i < n; i++) {
            char *end;
            assert_true(strtof(at + 1, &end) == v[i]);
            at = end;
            assert_int_equal(*at, i + 1 < n ? ',' : ']');
        }
        glim_buf_clear(&b);
        rq = (glim_embed_request){.kind = GLIM_EMBED_OPENAI, .n_input = 1, .base64 = true};
        assert_int_equal(glim_embed_encode(&rq, &script_info, &r, &b), GLIM_OK);
        const char *key = "\"embedding\":\"";
        const char *p = strstr(b.p, key) + strlen(key);
        size_t n_text = strcspn(p, "\""), n_letter = strcspn(p, "=\"");
        assert_int_equal(n_text, (4 * n + 2) / 3 * 4);
        assert_int_equal(n_text - n_letter, (3 - 4 * n % 3) % 3);
        unsigned char byte[4 * N + 3] = {0};
        for (size_t i = 0, bit = 0; i < n_letter; i++)
            for (size_t k = 6; k-- > 0; bit++)
                byte[bit / 8] |= (unsigned char)((letter_value(p[i]) >> k & 1) << (7 - bit % 8));
        for (size_t i = 0; i < n; i++) {
            uint32_t bits = (uint32_t)byte[4 * i] | (uint32_t)byte[4 * i + 1] << 8 |
                            (uint32_t)byte[4 * i + 2] << 16 | (uint32_t)byte[4 * i + 3] << 24;
            assert_memory_equal(&bits, &v[i], sizeof bits);
        }
        glim_buf_deinit(&b);
    }
}

/* ---- memory ---------------------------------------------------------------------------------- */

static int fail_at, n_alloc;

static bool allow(void *user, size_t n_bytes)
{
    (void)user, (void)n_bytes;
    return ++n_alloc != fail_at;
}

/* Every allocation of a decode and an encode fails once. */
static void no_memory(void **state)
{
    (void)state;
    static const char body[] =
        "{\"model\":\"m\",\"input\":[\"a\",\"b\"],\"options\":{\"num_ctx\":1},"
        "\"keep_alive\":1}";
    bool done = false;
    for (fail_at = 1; !done && fail_at < 100; fail_at++) {
        glim_embed_request rq;
        glim_problem p = {0};
        glim_buf b;
        n_alloc = 0;
        glim_alloc_set_hook(allow, NULL);
        glim_arena *a = glim_arena_new((size_t)1 << 20);
        glim_err rc = GLIM_E_NOMEM;
        glim_buf_init(&b, 4096);
        if (a) {
            rc = glim_embed_decode(a, glim_str_of(body), GLIM_EMBED_OLLAMA, &rq, &p);
            if (rc) assert_int_equal(p.kind, GLIM_PROBLEM_MEMORY);
            if (!rc) rc = glim_embed_encode(&rq, &script_info, &result, &b);
        }
        glim_alloc_set_hook(NULL, NULL);
        done = rc == GLIM_OK;
        if (!done) assert_int_equal(rc, GLIM_E_NOMEM);
        glim_buf_deinit(&b);
        glim_arena_free(a);
    }
    assert_true(done && fail_at > 3);
    /* an arena that is full says so where it happens */
    for (size_t max = 64; max < 8192; max += 64) {
        glim_embed_request rq;
        glim_problem p = {0};
        glim_arena *a = glim_arena_new(max);
        if (a && glim_embed_decode(a, glim_str_of(body), GLIM_EMBED_OLLAMA, &rq, &p))
            assert_int_equal(p.kind, GLIM_PROBLEM_MEMORY);
        glim_arena_free(a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forms),        cmocka_unit_test(most_inputs),
        cmocka_unit_test(defaults),     cmocka_unit_test(openai_fields),
        cmocka_unit_test(llama_fields), cmocka_unit_test(ollama_fields),
        cmocka_unit_test(instead),      cmocka_unit_test(refusals),
        cmocka_unit_test(replies),      cmocka_unit_test(same_numbers),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests_name("api/embed", tests, setup, teardown);
}
