/* SPDX-License-Identifier: MIT
 * keyword.c - the FastAPI server's POST /keyword: the request and the reply.
 * Owns:   its fields and defaults.
 * Not here: candidates, and the choice among them (room engine).
 * Thread: any, pure.
 * Fails:  INPUT with the path; NOMEM; replies also LIMIT.
 * See:    tests/unit/api/test_keyword.c */
#include "api/wire_priv.h"

#include <math.h>

typedef struct keyword_wire {
    glim_keyword_request rq;
    const glim_json *vocab;
    bool has_input;
} keyword_wire;

static glim_err read_diversity(glim_arena *a, const glim_json *v, void *dst, glim_error *e)
{
    double x;
    (void)a;
    if (v->type != GLIM_JSON_NUMBER) return glim_api_wrong_type(NULL, "a number", v, e);
    if (!glim_json_f64(v, &x) || !(x >= 0 && x <= 1))
        return glim_api_fail(NULL, GLIM_E_INPUT, v, e, "%.*s is out of range; send 0 to 1",
                             (int)GLIM_MIN(v->text.n, (size_t)40), v->text.p);
    *(double *)dst = x;
    return GLIM_OK;
}

#define OWN(key, kind, member) GLIM_ROW_OF(keyword_wire, key, kind, member)

static const glim_field fields[] = {
    {.name = "input",
     .type = GLIM_FIELD_STR,
     .offset = offsetof(keyword_wire, rq.input),
     .offset_has = offsetof(keyword_wire, has_input)},
    OWN("model", STR, rq.model),
    OWN("vocab", JSON, vocab),
    GLIM_RANGE_OF(keyword_wire, "top", I64, rq.top, 1, GLIM_WIRE_COUNT_MAX),
    OWN("mmr", BOOL, rq.mmr),
    OWN("maxsum", BOOL, rq.maxsum),
    GLIM_SUB_OF(keyword_wire, "diversity", rq.diversity, read_diversity),
};

static glim_err read_vocab(glim_arena *a, const glim_json *v, glim_keyword_request *out,
                           glim_error *e)
{
    const glim_api_path *p = GLIM_API_KEY(NULL, "vocab");
    size_t i = 0;
    if (!v) return GLIM_OK;
    if (v->type != GLIM_JSON_ARRAY) return glim_api_wrong_type(p, "a list of strings", v, e);
    if (v->n_child == 0) return GLIM_OK;
    if (v->n_child > GLIM_KEYWORD_VOCAB_MAX)
        return glim_api_fail(p, GLIM_E_INPUT, v, e, "%u words; at most %d are allowed",
                             (unsigned)v->n_child, GLIM_KEYWORD_VOCAB_MAX);
    glim_str *words = GLIM_ARENA_ARRAY(a, glim_str, v->n_child);
    if (!words)
        return glim_api_fail(p, GLIM_E_NOMEM, NULL, e, "no memory for %u words",
                             (unsigned)v->n_child);
    GLIM_JSON_EACH(x, v)
    {
        if (x->type != GLIM_JSON_STRING)
            return glim_api_wrong_type(GLIM_API_ELEMENT(p, i), "a string", x, e);
        words[i++] = x->text;
    }
    out->vocab = words;
    out->n_vocab = i;
    return GLIM_OK;
}

static glim_err read_request(glim_arena *a, const glim_json *root, glim_keyword_request *out,
                             glim_error *e)
{
    const glim_api_path *p = GLIM_API_KEY(NULL, "input");
    keyword_wire x = {
        .rq = {.model = GLIM_STR(""), .input = GLIM_STR(""), .top = 10, .diversity = 0.3}};
    if (root->type != GLIM_JSON_OBJECT)
        return glim_api_wrong_type(NULL, "a request object", root, e);
    if (root->n_child > GLIM_WIRE_MEMBER_MAX)
        return glim_api_fail(NULL, GLIM_E_INPUT, root, e, "%u members; at most %d are allowed",
                             (unsigned)root->n_child, GLIM_WIRE_MEMBER_MAX);
    glim_err rc = glim_fields_read(a, root, fields, GLIM_COUNT(fields), &x, &x.rq.n_unknown, e);
    if (rc) return rc;
    if (!x.has_input) return glim_api_fail(p, GLIM_E_INPUT, root, e, "missing; send a string");
    if (x.rq.input.n == 0)
        return glim_api_fail(p, GLIM_E_INPUT, root, e, "empty; a text of nothing has no keywords");
    rc = read_vocab(a, x.vocab, &x.rq, e);
    if (!rc) *out = x.rq;
    return rc;
}

glim_err glim_keyword_decode(glim_arena *a, glim_str body, glim_keyword_request *out,
                             glim_problem *p)
{
    glim_error e = {0};
    glim_json *root;
    memset(out, 0, sizeof *out);
    glim_err rc = glim_json_parse(a, body, &root, &e);
    if (!rc) rc = read_request(a, root, out, &e);
    return glim_api_end_decode(rc, &e, p);
}

glim_err glim_keyword_encode(glim_str model, const glim_keyword_hit *k, size_t n, glim_buf *out)
{
    glim_jw w;
    glim_jw_init(&w, out);
    glim_jw_object(&w);
    glim_jw_key(&w, "model");
    glim_jw_str(&w, model);
    glim_jw_key(&w, "keywords");
    glim_jw_array(&w);
    for (size_t i = 0; i < n; i++) {
        glim_jw_object(&w);
        glim_jw_key(&w, "name");
        glim_jw_str(&w, k[i].word);
        glim_jw_key(&w, "similarity");
        glim_jw_f64(&w, round(k[i].similarity * 1e4) / 1e4 + 0.0); /* + 0.0: never -0 */
        glim_jw_object_end(&w);
    }
    glim_jw_array_end(&w);
    glim_jw_object_end(&w);
    return out->err;
}
