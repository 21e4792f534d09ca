/* SPDX-License-Identifier: MIT
 * sglang_generate.c - SGLang's POST /generate and /health_generate: requests, and the dialects'
 * rows.
 * Owns:   the two tables (the body, sampling_params), and its default of 128 tokens.
 * Not here: replies (sglang_reply.c), defaults of a model (room engine).
 * Thread: any, pure.
 * Fails:  INPUT with the path, UNSUPPORTED by name, NOMEM.
 * See:    tests/unit/api/test_sglang.c */
#include "api/sglang_priv.h"
#include "api/wire_priv.h"

enum { DEFAULT_TOKENS = 128 };

/* ---- fields ---------------------------------------------------------------------------------- */

typedef struct sglang_wire {
    glim_wire shared;
    const glim_json *text, *input_ids, *params, *rid, *start;
    bool with_text;
} sglang_wire;

#define OWN(key, kind, member) GLIM_ROW_OF(sglang_wire, key, kind, member)

static const glim_field fields[] = {
    GLIM_ROW("model", STR, model),
    OWN("text", JSON, text),
    OWN("input_ids", JSON, input_ids),
    OWN("sampling_params", JSON, params),
    OWN("rid", JSON, rid),
    GLIM_ROW("stream", BOOL, stream),
    GLIM_ROW("return_logprob", BOOL, logprobs),
    GLIM_RANGE("top_logprobs_num", I64, top_logprobs, 0, 20),
    OWN("logprob_start_len", JSON, start),
    OWN("return_text_in_logprobs", BOOL, with_text),
    GLIM_ONLY("return_hidden_states", false),
    GLIM_ONLY("return_routed_experts", false),
    GLIM_REFUSE("token_ids_logprob"),
    GLIM_REFUSE("input_embeds"),
    GLIM_REFUSE("image_data"),
    GLIM_REFUSE("audio_data"),
    GLIM_REFUSE("video_data"),
    GLIM_REFUSE("lora_path"),
    GLIM_REFUSE("session_params"),
    GLIM_REFUSE("custom_logit_processor"),
    GLIM_REFUSE("bootstrap_host"),
    GLIM_REFUSE("bootstrap_port"),
    GLIM_REFUSE("bootstrap_room"),
    GLIM_IGNORE("modalities"),
    GLIM_IGNORE("priority"),
    GLIM_IGNORE("extra_key"),
    GLIM_IGNORE("log_metrics"),
    GLIM_IGNORE("background"),
    GLIM_IGNORE("conversation_id"),
    GLIM_IGNORE("data_parallel_rank"),
};

static const glim_field param_fields[] = {
    GLIM_RANGE("max_new_tokens", I64, max_tokens, 1, GLIM_WIRE_COUNT_MAX),
    GLIM_RANGE("min_new_tokens", I64, n_min, 0, INT32_MAX),
    GLIM_RANGE("n", I64, n, 1, GLIM_WIRE_N_MAX),
    GLIM_RANGE("temperature", F32, temperature, 0, 5),
    GLIM_RANGE("top_p", F32, top_p, 0, 1),
    GLIM_RANGE("top_k", I64, top_k, -1, INT32_MAX),
    GLIM_RANGE("min_p", F32, min_p, 0, 1),
    GLIM_RANGE("frequency_penalty", F32, frequency_penalty, -2, 2),
    GLIM_RANGE("presence_penalty", F32, presence_penalty, -2, 2),
    GLIM_SUB("repetition_penalty", repetition_penalty, glim_wire_penalty),
    GLIM_FLAG("sampling_seed", I64, seed),
    GLIM_SUB("logit_bias", bias, glim_wire_bias),
    GLIM_SUB("stop", stop, glim_wire_stop),
    GLIM_SUB("stop_token_ids", stop_id, glim_wire_stop_ids),
    GLIM_ROW("ignore_eos", BOOL, ignore_eos),
    GLIM_ROW("no_stop_trim", BOOL, keep_stop),
    GLIM_ROW("skip_special_tokens", BOOL, skip_special),
    GLIM_IGNORE("spaces_between_special_tokens"), /* GLM's tokens bring their own blanks */
    GLIM_IGNORE("custom_params"),
    GLIM_IGNORE("stream_interval"),
    GLIM_REFUSE("json_schema"),
    GLIM_REFUSE("regex"),
    GLIM_REFUSE("ebnf"),
    GLIM_REFUSE("structural_tag"),
    GLIM_REFUSE("stop_regex"),
};

/* ---- prompts --------------------------------------------------------------------------------- */

static glim_err read_text(const glim_api_path *p, const glim_json *v, glim_raw_prompt *out,
                          glim_error *e)
{
    if (v->type != GLIM_JSON_STRING) return glim_api_wrong_type(p, "a string", v, e);
    out->text = v->text;
    return v->text.n ? GLIM_OK : glim_wire_no_prompt(p, v, e);
}

static glim_err read_ids(glim_arena *a, const glim_api_path *p, const glim_json *v,
                         glim_raw_prompt *out, glim_error *e)
{
    if (v->type != GLIM_JSON_ARRAY) return glim_api_wrong_type(p, "a list of token ids", v, e);
    if (v->n_child == 0) return glim_wire_no_prompt(p, v, e);
    return glim_api_ids(a, p, v, &out->ids, &out->n_id, e);
}

static const glim_json *prompts_of(const sglang_wire *w)
{
    return w->text ? w->text : w->input_ids;
}

static bool is_list(const sglang_wire *w)
{
    const glim_json *v = prompts_of(w);
    return v && v->type == GLIM_JSON_ARRAY && v->child &&
           (w->text || v->child->type == GLIM_JSON_ARRAY);
}

/* text or input_ids, one or a list of them. */
static glim_err read_prompts(glim_arena *a, const sglang_wire *w, const glim_sglang_own *own,
                             glim_request *out, glim_error *e)
{
    const glim_json *v = prompts_of(w);
    const glim_api_path *p = GLIM_API_KEY(NULL, w->text || !v ? "text" : "input_ids");
    if (!v) return glim_api_fail(p, GLIM_E_INPUT, NULL, e, "missing; send text or input_ids");
    if (w->text && w->input_ids)
        return glim_api_fail(p, GLIM_E_INPUT, v, e, "given beside input_ids; send one of the two");
    if (v->type == GLIM_JSON_ARRAY && v->n_child == 0) return glim_wire_no_prompt(p, v, e);
    glim_raw_prompt *prompts;
    size_t n = own->is_list ? v->n_child : 1, i = 0;
    glim_err rc = glim_wire_prompts(a, p, v, n, out, &prompts, e);
    if (rc) return rc;
    if (!own->is_list) return w->text ? read_text(p, v, prompts, e) : read_ids(a, p, v, prompts, e);
    for (const glim_json *x = v->child; x && !rc; x = x->next, i++) {
        const glim_api_path *at = GLIM_API_ELEMENT(p, i);
        rc = w->text ? read_text(at, x, &prompts[i], e) : read_ids(a, at, x, &prompts[i], e);
    }
    return rc;
}

/* A name for the request, or one for each prompt. */
static glim_err read_rids(glim_arena *a, const glim_json *v, glim_sglang_own *own,
                          glim_request *out, glim_error *e)
{
    const glim_api_path *p = GLIM_API_KEY(NULL, "rid");
    size_t i = 0;
    if (!v) return GLIM_OK;
    if (v->type != GLIM_JSON_ARRAY) {
        glim_err rc = glim_wire_name(a, v, &out->request_id, e);
        return rc ? glim_error_prefix(e, "rid") : GLIM_OK;
    }
    if (!own->is_list || v->n_child != out->n_prompt)
        return glim_api_fail(p, GLIM_E_INPUT, v, e, "%u names for %zu prompts; send one for each",
                             (unsigned)v->n_child, out->n_prompt);
    glim_str *rids = GLIM_ARENA_ARRAY(a, glim_str, v->n_child);
    if (!rids) return glim_api_fail(p, GLIM_E_NOMEM, NULL, e, "no memory for the names");
    GLIM_JSON_EACH(x, v)
    {
        if (x->type != GLIM_JSON_STRING)
            return glim_api_wrong_type(GLIM_API_ELEMENT(p, i), "a string", x, e);
        rids[i++] = x->text;
    }
    own->rids = rids;
    return GLIM_OK;
}

/* ---- sampling -------------------------------------------------------------------------------- */

/* One object, or a list of equal ones: all prompts of a request are sampled alike. */
static glim_err read_params(glim_arena *a, sglang_wire *w, const glim_sglang_own *own,
                            glim_request *out, glim_error *e)
{
    const glim_api_path *p = GLIM_API_KEY(NULL, "sampling_params");
    const glim_json *v = w->params;
    size_t i = 0;
    if (!v) return GLIM_OK;
    if (v->type == GLIM_JSON_ARRAY) {
        size_t n = own->is_list ? prompts_of(w)->n_child : 0;
        if (v->n_child == 0 || v->n_child != n)
            return glim_api_fail(p, GLIM_E_INPUT, v, e,
                                 "%u objects for %zu prompts of a list; send one object, or one "
                                 "for each",
                                 (unsigned)v->n_child, n);
        for (const glim_json *x = v->child; x; x = x->next, i++)
            if (x->type != v->child->type || !glim_str_eq(x->text, v->child->text))
                return glim_api_fail(GLIM_API_ELEMENT(p, i), GLIM_E_UNSUPPORTED, x, e,
                                     "differs from the first; send prompts that are sampled "
                                     "differently as requests of their own");
        v = v->child;
    }
    if (v->type != GLIM_JSON_OBJECT) return glim_api_wrong_type(p, "an object", v, e);
    glim_err rc = glim_wire_read_object(a, v, param_fields, GLIM_COUNT(param_fields), w, out, e);
    return glim_api_within("sampling_params", rc, e);
}

/* Nothing tells the probabilities of a prompt's own tokens: they may begin behind it only. */
static glim_err check_start(const glim_json *v, const glim_request *rq, glim_error *e)
{
    const glim_api_path *p = GLIM_API_KEY(NULL, "logprob_start_len");
    int64_t start = -1;
    if (!v) return GLIM_OK;
    if (!glim_json_i64(v, &start)) return glim_api_wrong_type(p, "an integer", v, e);
    bool behind = start >= 0;
    for (size_t i = 0; i < rq->n_prompt; i++)
        behind = behind && rq->prompts[i].n_id && (uint64_t)start >= rq->prompts[i].n_id;
    if (behind || start == -1) return GLIM_OK;
    return glim_api_fail(p, GLIM_E_UNSUPPORTED, v, e,
                         "probabilities of the prompt are not supported; send -1");
}

/* ---- the requests ---------------------------------------------------------------------------- */

static void init_raw(glim_request *out)
{
    memset(out, 0, sizeof *out);
    out->model = out->request_id = out->user_id = GLIM_STR("");
    out->raw = true;
    out->chat.think = out->chat.keep_old = GLIM_UNSET;
}

static glim_err read_request(glim_arena *a, const glim_json *root, glim_request *out, glim_error *e)
{
    sglang_wire w = {.text = NULL};
    init_raw(out);
    glim_sglang_own *own = GLIM_ARENA_NEW0(a, glim_sglang_own);
    if (!own) return glim_fail(e, GLIM_E_NOMEM, "no memory for the request");
    glim_wire_init(&w.shared);
    w.shared.max_tokens = DEFAULT_TOKENS;
    glim_err rc = glim_wire_read(a, root, fields, GLIM_COUNT(fields), &w.shared, out, e);
    own->is_list = is_list(&w);
    if (!rc) rc = read_params(a, &w, own, out, e);
    if (!rc) rc = glim_wire_fill(a, &w.shared, out, e);
    if (!rc) rc = read_prompts(a, &w, own, out, e);
    if (!rc) rc = read_rids(a, w.rid, own, out, e);
    if (!rc && w.shared.logprobs) rc = check_start(w.start, out, e);
    if (!rc && !w.shared.logprobs && w.shared.top_logprobs)
        rc = glim_wire_note(a, out, "top_logprobs_num", e);
    if (rc) return rc;
    own->logprobs = out->logprobs = w.shared.logprobs;
    own->with_text = w.with_text;
    own->n_top = own->logprobs ? (int32_t)w.shared.top_logprobs : 0;
    if (own->logprobs) out->gen.n_logprob = own->n_top;
    out->want_ids = true;
    out->own = own;
    return GLIM_OK;
}

static glim_err decode(glim_arena *a, glim_str body, glim_request *out, glim_problem *p)
{
    return glim_api_decode(a, body, read_request, out, p);
}

/* One token, whatever the body says: the engine lives when it comes. */
static glim_err decode_health(glim_arena *a, glim_str body, glim_request *out, glim_problem *p)
{
    static const glim_raw_prompt prompt = {.text = {".", 1}};
    (void)a, (void)body, (void)p;
    init_raw(out);
    glim_gen_opts_init(&out->gen);
    out->gen.n_max = 1;
    out->gen.temperature = 0;
    out->n = 1;
    out->prompts = &prompt;
    out->n_prompt = 1;
    return GLIM_OK;
}

/* Here the prompt is no list of messages. */
static glim_err problem(const glim_problem *p, glim_str request_id, glim_buf *out)
{
    glim_problem own = *p;
    if (p->kind == GLIM_PROBLEM_CONTEXT && strcmp(p->param, "messages") == 0)
        memcpy(own.param, "text", sizeof "text");
    return glim_problem_openai(&own, request_id, out);
}

const glim_dialect glim_dialect_sglang_generate = {
    .name = "sglang_generate",
    .stream_type = GLIM_SSE_TYPE,
    .keepalive = glim_sse_keepalive,
    .decode = decode,
    .reply_new = glim_sglang_reply_new,
    .reply_free = glim_reply_free,
    .event = glim_sglang_reply_event,
    .end = glim_sglang_reply_end,
    .problem = problem,
    .stream_problem = glim_api_stream_problem_openai,
    .status = glim_problem_status,
};

const glim_dialect glim_dialect_sglang_health = {
    .name = "sglang_health",
    .stream_type = GLIM_SSE_TYPE,
    .keepalive = glim_sse_keepalive,
    .decode = decode_health,
    .reply_new = glim_sglang_reply_new,
    .reply_free = glim_reply_free,
    .event = glim_sglang_health_event,
    .end = glim_sglang_health_end,
    .problem = problem,
    .stream_problem = glim_api_stream_problem_openai,
    .status = glim_problem_status,
};
