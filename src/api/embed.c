/* SPDX-License-Identifier: MIT
 * embed.c - bodies that ask for embeddings, in the spellings of six routes, to one request.
 * Owns:   their fields, the forms of an input, and what each route does where a body says nothing: whether
 *         long texts are cut and vectors scaled.
 * Not here: replies (embed_reply.c); what is too long or has too many dimensions for a model (its caller).
 * Thread: any, pure.
 * Fails:  INPUT with the path; UNSUPPORTED for what is known and would change the answer; NOMEM.
 * See:    tests/unit/api/test_embed.c */
#include "api/ollama_priv.h"

typedef struct embed_wire {
    glim_wire w; /* first: its rows and those below stand in one table */
    const glim_json *text, *content, *options;
    int64_t n_dim;
    glim_keep_alive keep;
    bool has_model, base64, truncate, normalize;
} embed_wire;

/* ---- values with a shape of their own -------------------------------------------------------- */

static glim_err read_format(glim_arena *a, const glim_json *v, void *dst, glim_error *e)
{
    bool *base64 = dst;
    (void)a;
    if (v->type != GLIM_JSON_STRING) return glim_api_wrong_type(NULL, "a string", v, e);
    *base64 = glim_str_is(v->text, "base64");
    if (*base64 || glim_str_is(v->text, "float")) return GLIM_OK;
    return glim_api_fail(NULL, GLIM_E_INPUT, v, e, "%s is unknown; use float or base64",
                         GLIM_QUOTE(v->text));
}

/* llama-server's own route has lists of numbers only. */
static glim_err only_float(glim_arena *a, const glim_json *v, void *dst, glim_error *e)
{
    bool base64 = false;
    (void)dst;
    glim_err rc = read_format(a, v, &base64, e);
    if (rc || !base64) return rc;
    return glim_api_fail(
        NULL, GLIM_E_UNSUPPORTED, v, e,
        "base64 is not supported here; leave the field out, or ask /v1/embeddings");
}

static glim_err only_true(glim_arena *a, const glim_json *v, void *dst, glim_error *e)
{
    bool b;
    (void)a, (void)dst;
    if (!glim_json_bool(v, &b)) return glim_api_wrong_type(NULL, "true or false", v, e);
    if (b) return GLIM_OK;
    return glim_api_fail(NULL, GLIM_E_UNSUPPORTED, v, e,
                         "only true is supported; leave the field out");
}

/* llama-server: -1 none, 0 the largest to 32760, 1 the sum, 2 the length, above 2 other norms. */
static glim_err read_norm(glim_arena *a, const glim_json *v, void *dst, glim_error *e)
{
    int64_t norm;
    (void)a;
    if (!glim_json_i64(v, &norm)) return glim_api_wrong_type(NULL, "an integer", v, e);
    if (norm != 2 && norm != -1)
        return glim_api_fail(NULL, GLIM_E_UNSUPPORTED, v, e,
                             "%.*s is not supported; send 2 (length 1) or -1 (the model's own)",
                             (int)GLIM_MIN(v->text.n, (size_t)40), v->text.p);
    *(bool *)dst = norm == 2;
    return GLIM_OK;
}

/* ---- the tables ------------------------------------------------------------------------------ */

#define OWN(key, kind, member) GLIM_ROW_OF(embed_wire, key, kind, member)
#define OWN_SUB(key, member, fn) GLIM_SUB_OF(embed_wire, key, member, fn)
#define DIMENSIONS(low)                                                                            \
    GLIM_RANGE_OF(embed_wire, "dimensions", I64, n_dim, low, GLIM_WIRE_COUNT_MAX)
#define MODEL                                                                                      \
    {                                                                                              \
        .name = "model", .type = GLIM_FIELD_STR, .offset = offsetof(embed_wire, w.model),          \
        .offset_has = offsetof(embed_wire, has_model)                                              \
    }

/* OpenAI's and Zhipu's mounts, and what their relatives send there. */
static const glim_field openai_fields[] = {
    MODEL,
    OWN("input", JSON, text),
    OWN_SUB("embedding_type", base64, read_format),  /* Jina */
    OWN_SUB("encoding_format", base64, read_format), /* wins */
    DIMENSIONS(1),
    GLIM_ROW("user", STR, user),
    GLIM_ROW("user_id", STR, user_id),
    GLIM_SUB("rid", request_id, glim_wire_name),
    GLIM_SUB("request_id", request_id, glim_wire_name),
    GLIM_IGNORE("extra_body"),
    GLIM_IGNORE("priority"),
    GLIM_IGNORE("safety_identifier"),
    GLIM_SUB("normalize", ignored, only_true),  /* vLLM */
    GLIM_SUB("normalized", ignored, only_true), /* Jina */
    GLIM_SUB("add_special_tokens", ignored, only_true),
    GLIM_ONLY("late_chunking", false),
    GLIM_REFUSE("truncate_prompt_tokens"),
    GLIM_REFUSE("messages"),
    GLIM_REFUSE("task"), /* would put an instruction before the text, or choose an adapter */
    GLIM_REFUSE("input_type"),
    GLIM_REFUSE("prompt_name"),
    GLIM_REFUSE("embed_dtype"),
    GLIM_REFUSE("endianness"),
};

static const glim_field legacy_fields[] = {
    MODEL,
    OWN("prompt", JSON, text),
};

static const glim_field llama_fields[] = {
    MODEL,
    OWN("input", JSON, text),
    OWN("content", JSON, content),
    GLIM_SUB("encoding_format", ignored, only_float),
    OWN_SUB("embd_normalize", normalize, read_norm),
    DIMENSIONS(1),
};

static const glim_field ollama_fields[] = {
    MODEL,
    OWN("input", JSON, text),
    OWN("truncate", BOOL, truncate),
    DIMENSIONS(0), /* there 0 is not given */
    OWN("options", JSON, options),
    OWN_SUB("keep_alive", keep, glim_ollama_keep_alive),
};

static const glim_field ollama_old_fields[] = {
    MODEL,
    OWN("prompt", JSON, text),
    OWN("options", JSON, options),
    OWN_SUB("keep_alive", keep, glim_ollama_keep_alive),
};

/* What an input may be. */
typedef enum forms {
    ONE_TEXT,
    TEXTS, /* one, or a list of them */
    ANY    /* also a list of token ids, or a list of such lists */
} forms;

typedef struct route {
    const char *key; /* where the texts stand */
    const glim_field *fields;
    size_t n_field;
    forms forms;
    bool truncate, normalize; /* where the body says nothing */
    bool needs_model;
    bool ollama; /* no text is no error there, and extra_body no habit */
} route;

#define ROUTE_OF(table) .fields = (table), .n_field = GLIM_COUNT(table)
static const route routes[] = {
    [GLIM_EMBED_OPENAI] = {"input", ROUTE_OF(openai_fields), .forms = ANY, .normalize = true},
    [GLIM_EMBED_ZHIPU] = {"input", ROUTE_OF(openai_fields), .forms = ANY, .normalize = true,
                          .needs_model = true},
    [GLIM_EMBED_LEGACY] = {"prompt", ROUTE_OF(legacy_fields), .forms = TEXTS, .truncate = true,
                           .normalize = true},
    [GLIM_EMBED_LLAMA] = {"input", ROUTE_OF(llama_fields), .forms = ANY, .normalize = true},
    [GLIM_EMBED_OLLAMA] = {"input", ROUTE_OF(ollama_fields), .forms = TEXTS, .truncate = true,
                           .normalize = true, .needs_model = true, .ollama = true},
    [GLIM_EMBED_OLLAMA_OLD] = {"prompt", ROUTE_OF(ollama_old_fields), .forms = ONE_TEXT,
                               .truncate = true, .needs_model = true, .ollama = true},
};

/* ---- inputs ---------------------------------------------------------------------------------- */

static glim_err read_one(glim_arena *a, const glim_api_path *p, const glim_json *v, bool ids,
                         glim_raw_prompt *out, glim_error *e)
{
    *out = (glim_raw_prompt){.text = {NULL, 0}};
    if (ids && v->type == GLIM_JSON_ARRAY) {
        if (v->n_child == 0)
            return glim_api_fail(p, GLIM_E_INPUT, v, e, "the list is empty; leave it out");
        return glim_api_ids(a, p, v, &out->ids, &out->n_id, e);
    }
    if (v->type != GLIM_JSON_STRING)
        return glim_api_wrong_type(p, ids ? "a string or a list of token ids" : "a string", v, e);
    if (v->text.n == 0)
        return glim_api_fail(p, GLIM_E_INPUT, v, e, "empty; a text of nothing has no embedding");
    out->text = v->text;
    return GLIM_OK;
}

static glim_err read_list(glim_arena *a, const glim_api_path *p, const glim_json *list, bool ids,
                          glim_raw_prompt *out, glim_error *e)
{
    size_t i = 0;
    GLIM_JSON_EACH(x, list)
    {
        const glim_api_path *at = GLIM_API_ELEMENT(p, i);
        glim_err rc = read_one(a, at, x, ids, &out[i], e);
        if (rc) return rc;
        if (x->type != list->child->type)
            return glim_api_fail(at, GLIM_E_INPUT, x, e,
                                 "texts and lists of token ids do not go together");
        i++;
    }
    return GLIM_OK;
}

/* v: what stands at key, not NULL. */
static glim_err read_inputs(glim_arena *a, const char *key, const glim_json *v, forms allowed,
                            glim_embed_request *out, glim_error *e)
{
    const glim_api_path *p = GLIM_API_KEY(NULL, key);
    const bool list = v->type == GLIM_JSON_ARRAY, ids = allowed == ANY;
    if (allowed == ONE_TEXT && v->type != GLIM_JSON_STRING)
        return glim_api_wrong_type(p, "a string", v, e);
    if (!list && v->type != GLIM_JSON_STRING)
        return glim_api_wrong_type(p,
                                   ids ? "a string, a list of token ids, or a list of either"
                                       : "a string or a list of strings",
                                   v, e);
    if (list && v->n_child == 0)
        return glim_api_fail(p, GLIM_E_INPUT, v, e, "the list is empty; send at least one text");
    const bool many = list && !(ids && v->child->type == GLIM_JSON_NUMBER);
    const size_t n = many ? v->n_child : 1;
    if (n > GLIM_EMBED_INPUTS_MAX)
        return glim_api_fail(p, GLIM_E_INPUT, v, e, "%zu texts; at most %d are allowed", n,
                             GLIM_EMBED_INPUTS_MAX);
    glim_raw_prompt *inputs = GLIM_ARENA_ARRAY(a, glim_raw_prompt, n);
    if (!inputs) return glim_api_fail(p, GLIM_E_NOMEM, NULL, e, "no memory for %zu texts", n);
    out->inputs = inputs;
    out->n_input = n;
    return many ? read_list(a, p, v, ids, inputs, e) : read_one(a, p, v, ids, inputs, e);
}

/* ---- the request ----------------------------------------------------------------------------- */

/* Ollama: no text loads the model, and with keep_alive 0 lets it go. */
static bool is_nothing(const glim_json *v, const route *r)
{
    if (!r->ollama) return false;
    return !v || (v->type == GLIM_JSON_STRING && v->text.n == 0) ||
           (r->forms == TEXTS && v->type == GLIM_JSON_ARRAY && v->n_child == 0);
}

static glim_err read_text(glim_arena *a, const embed_wire *x, const route *r,
                          glim_embed_request *out, glim_error *e)
{
    const glim_json *v = x->content ? x->content : x->text;
    out->instead = is_nothing(v, r);
    if (out->instead) return GLIM_OK;
    if (x->content && x->text)
        return glim_api_fail(GLIM_API_KEY(NULL, "content"), GLIM_E_INPUT, x->content, e,
                             "given beside input; send one of them");
    if (v) return read_inputs(a, x->content ? "content" : r->key, v, r->forms, out, e);
    return glim_api_fail(GLIM_API_KEY(NULL, r->key), GLIM_E_INPUT, NULL, e,
                         "missing; send a string or a list of strings");
}

/* Nothing is sampled, and the model is as long as it is: options are checked and noted. */
static glim_err read_ollama(glim_arena *a, embed_wire *x, glim_request *shell, glim_error *e)
{
    glim_err rc = glim_ollama_options(a, x->options, &x->w, shell, e);
    if (!rc && x->options && x->options->n_child) rc = glim_wire_note(a, shell, "options", e);
    if (!rc && x->keep == GLIM_KEEP_SOME) rc = glim_wire_note(a, shell, "keep_alive", e);
    return rc;
}

static glim_err read_request(glim_arena *a, const glim_json *root, glim_embed_request *out,
                             glim_error *e)
{
    const route *r = &routes[out->kind];
    glim_request shell = {.n_note = 0}; /* gathers the notes */
    embed_wire x = {.keep = GLIM_KEEP_UNSAID, .truncate = r->truncate, .normalize = r->normalize};
    glim_wire_init(&x.w);
    if (root->type != GLIM_JSON_OBJECT)
        return glim_api_wrong_type(NULL, "a request object", root, e);
    glim_err rc = r->ollama ? glim_wire_read_object(a, root, r->fields, r->n_field, &x, &shell, e)
                            : glim_wire_read(a, root, r->fields, r->n_field, &x.w, &shell, e);
    if (!rc && r->needs_model && !x.has_model)
        rc = glim_api_fail(GLIM_API_KEY(NULL, "model"), GLIM_E_INPUT, root, e,
                           "missing; name a model, or send \"\" for the one that is loaded");
    if (!rc && r->ollama) rc = read_ollama(a, &x, &shell, e);
    if (!rc) rc = read_text(a, &x, r, out, e);
    if (rc) return rc;
    out->model = x.w.model;
    out->request_id = x.w.request_id;
    out->user_id = x.w.user_id.n ? x.w.user_id : x.w.user;
    out->base64 = x.base64;
    out->truncate = x.truncate;
    out->normalize = x.normalize;
    out->n_dim = x.n_dim;
    out->unload = x.keep == GLIM_KEEP_ZERO;
    out->notes = shell.notes;
    out->n_note = shell.n_note;
    out->n_unknown = shell.n_unknown;
    return GLIM_OK;
}

glim_err glim_embed_decode(glim_arena *a, glim_str body, glim_embed_kind kind,
                           glim_embed_request *out, glim_problem *p)
{
    glim_error e = {0};
    glim_json *root;
    *out = (glim_embed_request){.kind = kind};
    glim_err rc = glim_json_parse(a, body, &root, &e);
    if (!rc) rc = read_request(a, root, out, &e);
    return glim_api_end_decode(rc, &e, p);
}
