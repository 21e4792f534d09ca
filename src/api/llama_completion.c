/* SPDX-License-Identifier: MIT
 * llama_completion.c - llama-server's POST /completion: the request, and the dialect's row.
 * Owns:   the forms of its prompts, its names for sampling, and what its numbers mean beyond their
 *         ranges: n_predict -1 and -2 are the rest of the context; 0 reads the prompt into the cache
 *         and answers "" (one token is sampled and dropped); seed -1 is none; repeat_last_n 0 turns
 *         the penalties off.
 * Not here: replies (llama_reply.c), defaults of a model (room engine).
 * Thread: any, pure.
 * Fails:  INPUT with the path, UNSUPPORTED by name, NOMEM.
 * See:    tests/unit/api/test_llama.c */
#include "api/llama_priv.h"
#include "api/wire_priv.h"

#include <math.h>

/* ---- fields ---------------------------------------------------------------------------------- */

typedef struct llama_wire {
    glim_wire shared;
    glim_wire_strs response_fields;
    bool return_tokens;
    int64_t n_probs, repeat_last_n;
} llama_wire;

/* Limits and layouts whose zero, or less, is "none". */
static glim_err only_off(glim_arena *a, const glim_json *v, void *dst, glim_error *e)
{
    double x;
    (void)a, (void)dst;
    if (v->type != GLIM_JSON_NUMBER) return glim_api_wrong_type(NULL, "a number", v, e);
    if (glim_json_f64(v, &x) && x <= 0) return GLIM_OK;
    return glim_api_fail(NULL, GLIM_E_UNSUPPORTED, v, e,
                         "only 0 is supported; leave the field out");
}

static glim_err only_empty(glim_arena *a, const glim_json *v, void *dst, glim_error *e)
{
    (void)a, (void)dst;
    if (v->type != GLIM_JSON_ARRAY) return glim_api_wrong_type(NULL, "a list", v, e);
    if (v->n_child == 0) return GLIM_OK;
    return glim_api_fail(NULL, GLIM_E_UNSUPPORTED, v, e, "not supported; leave the field out");
}

static glim_err read_response_fields(glim_arena *a, const glim_json *v, void *dst, glim_error *e)
{
    enum { FIELD_MAX = 64 };
    const glim_api_path *p = GLIM_API_KEY(NULL, "response_fields");
    glim_wire_strs *out = dst;
    size_t n = 0;
    if (v->type != GLIM_JSON_ARRAY) return glim_api_wrong_type(p, "a list of strings", v, e);
    if (v->n_child > FIELD_MAX)
        return glim_api_fail(p, GLIM_E_INPUT, v, e, "%u names; at most %d are allowed",
                             (unsigned)v->n_child, FIELD_MAX);
    glim_str *names = GLIM_ARENA_ARRAY(a, glim_str, v->n_child + 1);
    if (!names) return glim_api_fail(p, GLIM_E_NOMEM, NULL, e, "no memory for the names");
    GLIM_JSON_EACH(x, v)
    {
        const glim_api_path *at = GLIM_API_ELEMENT(p, n);
        if (x->type != GLIM_JSON_STRING) return glim_api_wrong_type(at, "a string", x, e);
        if (glim_str_find(x->text, GLIM_STR("/")) != SIZE_MAX)
            return glim_api_fail(at, GLIM_E_UNSUPPORTED, x, e,
                                 "parts of members are not supported; name the whole member");
        names[n++] = x->text;
    }
    *out = (glim_wire_strs){names, n};
    return GLIM_OK;
}

#define OWN(key, kind, member) GLIM_ROW_OF(llama_wire, key, kind, member)
#define OWN_RANGE(key, kind, member, low, high)                                                    \
    GLIM_RANGE_OF(llama_wire, key, kind, member, low, high)
#define OFF(key) GLIM_SUB(key, ignored, only_off)
#define EMPTY(key) GLIM_SUB(key, ignored, only_empty)

static const glim_field fields[] = {
    GLIM_ROW("model", STR, model),
    GLIM_ROW("prompt", JSON, prompt),
    GLIM_ROW("stream", BOOL, stream),
    GLIM_RANGE("max_tokens", I64, max_tokens, -2, GLIM_WIRE_COUNT_MAX),
    GLIM_RANGE("n_predict", I64, max_tokens, -2, GLIM_WIRE_COUNT_MAX), /* wins */
    GLIM_RANGE("n", I64, n, 1, GLIM_WIRE_N_MAX),
    GLIM_RANGE("n_cmpl", I64, n, 1, GLIM_WIRE_N_MAX), /* wins */
    GLIM_RANGE("temperature", F32, temperature, -1, 5),
    GLIM_RANGE("top_k", I64, top_k, INT32_MIN, INT32_MAX),
    GLIM_RANGE("top_p", F32, top_p, 0, 1),
    GLIM_RANGE("min_p", F32, min_p, 0, 1),
    GLIM_SUB("repeat_penalty", repetition_penalty, glim_wire_penalty),
    OWN_RANGE("repeat_last_n", I64, repeat_last_n, -1, INT32_MAX),
    GLIM_RANGE("presence_penalty", F32, presence_penalty, -2, 2),
    GLIM_RANGE("frequency_penalty", F32, frequency_penalty, -2, 2),
    GLIM_RANGE("dry_multiplier", F32, dry_multiplier, 0, 100),
    GLIM_RANGE("dry_base", F32, dry_base, 1, 10),
    GLIM_RANGE("dry_allowed_length", I64, dry_allowed_length, 0, 1 << 20),
    GLIM_RANGE("dry_penalty_last_n", I64, dry_range, -1, INT32_MAX),
    GLIM_FLAG("seed", I64, seed),
    GLIM_SUB("logit_bias", bias, glim_wire_bias_pairs),
    GLIM_SUB("stop", stop, glim_wire_stop),
    GLIM_ROW("ignore_eos", BOOL, ignore_eos),
    OWN_RANGE("n_probs", I64, n_probs, 0, 20),
    OWN("return_tokens", BOOL, return_tokens),
    GLIM_SUB_OF(llama_wire, "response_fields", response_fields, read_response_fields),
    GLIM_ONLY("post_sampling_probs", false),
    GLIM_ONLY("grammar", no_text),
    GLIM_ONLY("grammar_lazy", false),
    GLIM_REFUSE("json_schema"),
    EMPTY("grammar_triggers"),
    EMPTY("lora"),
    EMPTY("image_data"),
    OFF("n_indent"),
    OFF("t_max_predict_ms"),
    OFF("t_max_prompt_ms"),
    GLIM_IGNORE("typical_p"),
    GLIM_IGNORE("mirostat"),
    GLIM_IGNORE("mirostat_tau"),
    GLIM_IGNORE("mirostat_eta"),
    GLIM_IGNORE("xtc_probability"),
    GLIM_IGNORE("xtc_threshold"),
    GLIM_IGNORE("dynatemp_range"),
    GLIM_IGNORE("dynatemp_exponent"),
    GLIM_IGNORE("top_n_sigma"),
    GLIM_IGNORE("dry_sequence_breakers"),
    GLIM_IGNORE("samplers"),
    GLIM_IGNORE("min_keep"),
    GLIM_IGNORE("n_keep"),
    GLIM_IGNORE("n_discard"),
    GLIM_IGNORE("n_cache_reuse"),
    GLIM_IGNORE("cache_prompt"),
    GLIM_IGNORE("id_slot"),
    GLIM_IGNORE("return_progress"),
    GLIM_IGNORE("timings_per_token"),
    GLIM_IGNORE("sse_ping_interval"),
    GLIM_IGNORE("speculative.n_max"),
    GLIM_IGNORE("speculative.n_min"),
    GLIM_IGNORE("speculative.p_min"),
};

/* ---- prompts --------------------------------------------------------------------------------- */

static bool has_number(const glim_json *list)
{
    GLIM_JSON_EACH(x, list)
    {
        if (x->type == GLIM_JSON_NUMBER) return true;
    }
    return false;
}

/* A run of token ids that begins at *x, which moves to its last. */
static glim_err read_run(glim_arena *a, const glim_api_path *p, const glim_json **x, size_t *i,
                         glim_raw_prompt *out, glim_error *e)
{
    size_t n = 0;
    for (const glim_json *y = *x; y && y->type == GLIM_JSON_NUMBER; y = y->next)
        n++;
    int32_t *ids = GLIM_ARENA_ARRAY(a, int32_t, n);
    if (!ids) return glim_api_fail(p, GLIM_E_NOMEM, NULL, e, "no memory for the token ids");
    for (size_t k = 0;; *x = (*x)->next) {
        int64_t id;
        if (!glim_json_i64(*x, &id) || id < 0 || id > INT32_MAX)
            return glim_api_fail(GLIM_API_ELEMENT(p, *i + k), GLIM_E_INPUT, *x, e,
                                 "%.*s is no token id", (int)GLIM_MIN((*x)->text.n, (size_t)40),
                                 (*x)->text.p);
        ids[k++] = (int32_t)id;
        if (k == n) break;
    }
    *i += n - 1;
    *out = (glim_raw_prompt){.ids = ids, .n_id = n};
    return GLIM_OK;
}

/* Strings and runs of ids, one behind the other. */
static glim_err read_mixed(glim_arena *a, const glim_api_path *p, const glim_json *v,
                           glim_raw_prompt *out, glim_error *e)
{
    size_t n_part = 0, i = 0;
    glim_raw_prompt *parts = GLIM_ARENA_ARRAY(a, glim_raw_prompt, v->n_child);
    if (!parts) return glim_api_fail(p, GLIM_E_NOMEM, NULL, e, "no memory for the prompt");
    for (const glim_json *x = v->child; x; x = x->next, i++) {
        glim_err rc = GLIM_OK;
        if (x->type == GLIM_JSON_NUMBER)
            rc = read_run(a, p, &x, &i, &parts[n_part++], e);
        else if (x->type != GLIM_JSON_STRING)
            rc = glim_api_wrong_type(GLIM_API_ELEMENT(p, i), "a string or a token id", x, e);
        else if (x->text.n)
            parts[n_part++] = (glim_raw_prompt){.text = x->text};
        if (rc) return rc;
    }
    if (n_part == 1)
        *out = parts[0];
    else
        *out = (glim_raw_prompt){.parts = parts, .n_part = n_part};
    return GLIM_OK;
}

/* {"prompt_string": text}; the model sees no pictures. */
static glim_err read_object(const glim_api_path *p, const glim_json *v, glim_raw_prompt *out,
                            glim_error *e)
{
    const glim_json *data = glim_api_given(v, "multimodal_data");
    glim_str text = {NULL, 0};
    if (data && (data->type != GLIM_JSON_ARRAY || data->n_child))
        return glim_api_fail(GLIM_API_KEY(p, "multimodal_data"), GLIM_E_UNSUPPORTED, data, e,
                             "the model is text-only; leave the field out");
    glim_err rc = glim_api_str(p, v, "prompt_string", &text, e);
    p = GLIM_API_KEY(p, "prompt_string");
    if (rc) return rc;
    if (!text.p) return glim_api_fail(p, GLIM_E_INPUT, v, e, "missing");
    out->text = text;
    return text.n ? GLIM_OK : glim_wire_no_prompt(p, v, e);
}

static glim_err read_one(glim_arena *a, const glim_api_path *p, const glim_json *v,
                         glim_raw_prompt *out, glim_error *e)
{
    if (v->type == GLIM_JSON_OBJECT) return read_object(p, v, out, e);
    if (v->type == GLIM_JSON_ARRAY) {
        if (v->n_child == 0) return glim_wire_no_prompt(p, v, e);
        glim_err rc = read_mixed(a, p, v, out, e);
        if (rc) return rc;
        return out->n_part || out->n_id || out->text.n ? GLIM_OK : glim_wire_no_prompt(p, v, e);
    }
    if (v->type != GLIM_JSON_STRING)
        return glim_api_wrong_type(p, "a string or a list of strings and token ids", v, e);
    out->text = v->text;
    return v->text.n ? GLIM_OK : glim_wire_no_prompt(p, v, e);
}

/* A list with a number in it is one prompt, any other a list of prompts. */
static glim_err read_prompts(glim_arena *a, const glim_json *v, glim_request *out, glim_error *e)
{
    const glim_api_path *p = GLIM_API_KEY(NULL, "prompt");
    if (!v) return glim_api_fail(p, GLIM_E_INPUT, NULL, e, "missing; send a string");
    bool many = v->type == GLIM_JSON_ARRAY && v->n_child && !has_number(v);
    glim_raw_prompt *prompts;
    glim_err rc = glim_wire_prompts(a, p, v, many ? v->n_child : 1, out, &prompts, e);
    if (!rc && !many) rc = read_one(a, p, v, &prompts[0], e);
    size_t i = 0;
    for (const glim_json *x = many ? v->child : NULL; x && !rc; x = x->next, i++)
        rc = read_one(a, GLIM_API_ELEMENT(p, i), x, &prompts[i], e);
    return rc;
}

/* ---- the request ----------------------------------------------------------------------------- */

/* Numbers whose ends have meanings of their own, before they are filled in. */
static glim_err settle(glim_arena *a, llama_wire *w, glim_llama_own *own, glim_request *out,
                       glim_error *e)
{
    glim_wire *s = &w->shared;
    own->no_text = s->max_tokens == 0;
    if (s->max_tokens < 0) s->max_tokens = INT64_MAX;
    if (s->max_tokens == 0) s->max_tokens = 1; /* behind the prompt there is always one to sample */
    if (!isnan(s->temperature)) s->temperature = GLIM_MAX(s->temperature, 0.0f);
    if (s->seed < 0 || s->seed == UINT32_MAX) s->has_seed = false; /* there -1 has 32 bits */
    if (w->repeat_last_n == 0) {
        s->repetition_penalty = 1;
        s->presence_penalty = s->frequency_penalty = 0;
    }
    /* The penalties look at everything. */
    return w->repeat_last_n > 0 ? glim_wire_note(a, out, "repeat_last_n", e) : GLIM_OK;
}

static glim_err read_request(glim_arena *a, const glim_json *root, glim_request *out, glim_error *e)
{
    llama_wire w = {.repeat_last_n = -1};
    memset(out, 0, sizeof *out);
    out->raw = true;
    out->chat.think = out->chat.keep_old = GLIM_UNSET;
    glim_llama_own *own = GLIM_ARENA_NEW0(a, glim_llama_own);
    if (!own) return glim_fail(e, GLIM_E_NOMEM, "no memory for the request");
    glim_wire_init(&w.shared);
    glim_err rc = glim_wire_read(a, root, fields, GLIM_COUNT(fields), &w.shared, out, e);
    if (!rc) rc = settle(a, &w, own, out, e);
    if (!rc) rc = glim_wire_fill(a, &w.shared, out, e);
    if (!rc) rc = read_prompts(a, w.shared.prompt, out, e);
    if (rc) return rc;
    own->return_tokens = w.return_tokens;
    own->n_probs = (int32_t)w.n_probs;
    own->response_fields = w.response_fields.v;
    own->n_response_field = w.response_fields.n;
    /* Only probabilities tell the tokens while they come: asked for where a stream wants them. */
    out->want_ids = w.return_tokens;
    out->logprobs = own->n_probs > 0 || (w.return_tokens && out->stream);
    if (out->logprobs) out->gen.n_logprob = own->n_probs;
    out->own = own;
    return GLIM_OK;
}

static glim_err decode(glim_arena *a, glim_str body, glim_request *out, glim_problem *p)
{
    return glim_api_decode(a, body, read_request, out, p);
}

const glim_dialect glim_dialect_llama_completion = {
    .name = "llama_completion",
    .stream_type = GLIM_SSE_TYPE,
    .keepalive = glim_sse_keepalive,
    .decode = decode,
    .reply_new = glim_llama_reply_new,
    .reply_free = glim_reply_free,
    .event = glim_llama_reply_event,
    .end = glim_llama_reply_end,
    .problem = glim_problem_llama,
    .stream_problem = glim_api_stream_problem_llama,
    .status = glim_problem_status,
};
