/* SPDX-License-Identifier: MIT
 * openai_chat.c - an OpenAI chat request, with the fields of its relatives (Zhipu, SGLang, vLLM,
 * llama-server), to a glim_chat and sampling options.
 * Owns:   the table of request fields, their ranges, and which spelling of "thinking" wins.
 * Not here: messages and tools (openai_messages.c), defaults of a model (room engine).
 * Thread: any, pure.
 * Fails:  INPUT with the path; UNSUPPORTED for what is known and would change the answer.
 * See:    tests/unit/api/test_openai_chat.c */
#include "api/api_priv.h"

#include <float.h>
#include <math.h>

enum {
    MAX_STOP = 16,
    /* Every row of the table looks at every member, so an object of millions would take seconds. */
    MAX_MEMBER = 1024
};

typedef struct stop_list {
    const glim_str *v;
    size_t n;
} stop_list;

/* The request as its fields stand, before they are weighed against each other. */
typedef struct wire {
    glim_str model;
    const glim_json *messages, *tools, *functions, *tool_choice, *function_call;
    const glim_json *thinking, *kwargs, *reasoning, *effort;
    const glim_json *ignored;
    bool has_enable_thinking, enable_thinking;
    bool has_generation_prompt, generation_prompt;
    bool has_sample, sample;
    bool has_seed, stream;
    float temperature, top_p, min_p;
    int64_t top_k, seed, max_tokens, max_completion_tokens;
    stop_list stop;
} wire;

/* ---- values that must be neutral until there is something behind them ------------------------ */

static glim_err neutral_number(const glim_json *v, double neutral, glim_error *e)
{
    double x;
    if (v->type != GLIM_JSON_NUMBER) return glim_api_wrong_type(NULL, "a number", v, e);
    if (glim_json_f64(v, &x) && x == neutral) return GLIM_OK;
    return glim_api_fail(NULL, GLIM_E_UNSUPPORTED, v, e,
                         "only %g is supported; leave the field out", neutral);
}

static glim_err neutral_bool(const glim_json *v, bool neutral, glim_error *e)
{
    bool b;
    if (!glim_json_bool(v, &b)) return glim_api_wrong_type(NULL, "true or false", v, e);
    if (b == neutral) return GLIM_OK;
    return glim_api_fail(NULL, GLIM_E_UNSUPPORTED, v, e,
                         "only %s is supported; leave the field out", neutral ? "true" : "false");
}

static glim_err only_0(glim_arena *a, const glim_json *v, void *dst, glim_error *e)
{
    (void)a, (void)dst;
    return neutral_number(v, 0, e);
}

static glim_err only_1(glim_arena *a, const glim_json *v, void *dst, glim_error *e)
{
    (void)a, (void)dst;
    return neutral_number(v, 1, e);
}

static glim_err only_false(glim_arena *a, const glim_json *v, void *dst, glim_error *e)
{
    (void)a, (void)dst;
    return neutral_bool(v, false, e);
}

static glim_err only_true(glim_arena *a, const glim_json *v, void *dst, glim_error *e)
{
    (void)a, (void)dst;
    return neutral_bool(v, true, e);
}

static glim_err only_empty(glim_arena *a, const glim_json *v, void *dst, glim_error *e)
{
    (void)a, (void)dst;
    if (v->type != GLIM_JSON_ARRAY && v->type != GLIM_JSON_OBJECT)
        return glim_api_wrong_type(NULL, "a list or an object", v, e);
    if (v->n_child == 0) return GLIM_OK;
    return glim_api_fail(NULL, GLIM_E_UNSUPPORTED, v, e, "not supported; leave the field out");
}

static glim_err only_text_modality(glim_arena *a, const glim_json *v, void *dst, glim_error *e)
{
    (void)a, (void)dst;
    if (v->type != GLIM_JSON_ARRAY) return glim_api_wrong_type(NULL, "a list", v, e);
    GLIM_JSON_EACH(x, v)
    {
        if (x->type != GLIM_JSON_STRING || !glim_str_is(x->text, "text"))
            return glim_api_fail(NULL, GLIM_E_UNSUPPORTED, x, e,
                                 "the model is text-only; send [\"text\"] or leave the field out");
    }
    return GLIM_OK;
}

static glim_err only_text_format(glim_arena *a, const glim_json *v, void *dst, glim_error *e)
{
    (void)a, (void)dst;
    const glim_api_path *p = GLIM_API_KEY(NULL, "response_format");
    glim_str type = {NULL, 0};
    if (v->type != GLIM_JSON_OBJECT) return glim_api_wrong_type(p, "an object", v, e);
    glim_err rc = glim_api_str(p, v, "type", &type, e);
    if (rc) return rc;
    p = GLIM_API_KEY(p, "type");
    if (!type.p) return glim_api_fail(p, GLIM_E_INPUT, v, e, "missing");
    if (glim_str_is(type, "text")) return GLIM_OK;
    return glim_api_fail(p, GLIM_E_UNSUPPORTED, v, e,
                         "%s is not supported; ask for the format in the prompt", GLIM_QUOTE(type));
}

/* ---- fields with a shape of their own -------------------------------------------------------- */

static glim_err read_stop(glim_arena *a, const glim_json *v, void *dst, glim_error *e)
{
    stop_list *out = dst;
    const glim_api_path *p = GLIM_API_KEY(NULL, "stop");
    bool list = v->type == GLIM_JSON_ARRAY;
    if (!list && v->type != GLIM_JSON_STRING)
        return glim_api_wrong_type(p, "a string or a list of strings", v, e);
    size_t n = list ? v->n_child : 1, i = 0;
    *out = (stop_list){NULL, 0};
    if (n > MAX_STOP)
        return glim_api_fail(p, GLIM_E_INPUT, v, e, "%zu strings; at most %d are allowed", n,
                             MAX_STOP);
    if (n == 0) return GLIM_OK;
    glim_str *stops = GLIM_ARENA_ARRAY(a, glim_str, n);
    if (!stops) return glim_api_fail(p, GLIM_E_NOMEM, NULL, e, "no memory for %zu strings", n);
    for (const glim_json *x = list ? v->child : v; x; x = list ? x->next : NULL) {
        const glim_api_path *at = list ? GLIM_API_ELEMENT(p, i) : p;
        if (x->type != GLIM_JSON_STRING) return glim_api_wrong_type(at, "a string", x, e);
        if (x->text.n == 0)
            return glim_api_fail(at, GLIM_E_INPUT, x, e,
                                 "an empty string would stop every answer; leave it out");
        stops[i++] = x->text;
    }
    *out = (stop_list){stops, n};
    return GLIM_OK;
}

#define NO_FLAG .offset_has = SIZE_MAX
#define ROW(key, kind, member)                                                                     \
    {                                                                                              \
        .name = (key), .type = GLIM_FIELD_##kind, .offset = offsetof(wire, member), NO_FLAG        \
    }
#define RANGE(key, kind, member, low, high)                                                        \
    {                                                                                              \
        .name = (key), .type = GLIM_FIELD_##kind, .offset = offsetof(wire, member), NO_FLAG,       \
        .min = (low), .max = (high)                                                                \
    }
#define FLAG(key, member)                                                                          \
    {                                                                                              \
        .name = (key), .type = GLIM_FIELD_BOOL, .offset = offsetof(wire, member),                  \
        .offset_has = offsetof(wire, has_##member)                                                 \
    }
#define ONLY(key, what)                                                                            \
    {                                                                                              \
        .name = (key), .type = GLIM_FIELD_SUB, NO_FLAG, .parse = only_##what                       \
    }
#define IGNORE(key) ROW(key, JSON, ignored)
#define REFUSE(key)                                                                                \
    {                                                                                              \
        .name = (key), NO_FLAG, .unsupported = "leave the field out"                               \
    }

#define MAX_COUNT 9007199254740992.0 /* 2^53: beyond it a limit is a typing error */

static const glim_field fields[] = {
    ROW("model", STR, model),
    ROW("messages", JSON, messages),
    ROW("tools", JSON, tools),
    ROW("functions", JSON, functions),
    ROW("tool_choice", JSON, tool_choice),
    ROW("function_call", JSON, function_call),
    ROW("thinking", JSON, thinking),
    ROW("chat_template_kwargs", JSON, kwargs),
    ROW("reasoning", JSON, reasoning),
    ROW("reasoning_effort", JSON, effort),
    FLAG("enable_thinking", enable_thinking),
    FLAG("add_generation_prompt", generation_prompt),
    RANGE("temperature", F32, temperature, 0, 2),
    RANGE("top_p", F32, top_p, 0, 1),
    RANGE("top_k", I64, top_k, -1, INT32_MAX),
    RANGE("min_p", F32, min_p, 0, 1),
    FLAG("do_sample", sample),
    {.name = "seed",
     .type = GLIM_FIELD_I64,
     .offset = offsetof(wire, seed),
     .offset_has = offsetof(wire, has_seed)},
    RANGE("max_tokens", I64, max_tokens, 1, MAX_COUNT),
    RANGE("max_completion_tokens", I64, max_completion_tokens, 1, MAX_COUNT),
    {.name = "stop",
     .type = GLIM_FIELD_SUB,
     .offset = offsetof(wire, stop),
     NO_FLAG,
     .parse = read_stop},
    ROW("stream", BOOL, stream),

    /* Known, and without effect on the text of an answer. */
    IGNORE("stream_options"),
    IGNORE("tool_stream"),
    IGNORE("extra_body"),
    IGNORE("user"),
    IGNORE("user_id"),
    IGNORE("request_id"),
    IGNORE("rid"),
    IGNORE("metadata"),
    IGNORE("store"),
    IGNORE("service_tier"),
    IGNORE("prompt_cache_key"),
    IGNORE("prompt_cache_retention"),
    IGNORE("safety_identifier"),
    IGNORE("verbosity"),
    IGNORE("prediction"),
    IGNORE("sensitive_word_check"),
    IGNORE("watermark_enabled"),

    /* Known, and refused unless the value changes nothing. */
    ONLY("response_format", text_format),
    ONLY("n", 1),
    ONLY("best_of", 1),
    ONLY("presence_penalty", 0),
    ONLY("frequency_penalty", 0),
    ONLY("repetition_penalty", 1),
    ONLY("repeat_penalty", 1),
    ONLY("min_tokens", 0),
    ONLY("top_logprobs", 0),
    ONLY("logprobs", false),
    ONLY("echo", false),
    ONLY("ignore_eos", false),
    ONLY("no_stop_trim", false),
    ONLY("continue_final_message", false),
    ONLY("return_token_ids", false),
    ONLY("parallel_tool_calls", true),
    ONLY("separate_reasoning", true),
    ONLY("stream_reasoning", true),
    ONLY("skip_special_tokens", true),
    ONLY("logit_bias", empty),
    ONLY("stop_token_ids", empty),
    ONLY("modalities", text_modality),
    REFUSE("audio"),
    REFUSE("web_search_options"),
    REFUSE("json_schema"),
    REFUSE("grammar"),
    REFUSE("regex"),
    REFUSE("ebnf"),
    REFUSE("stop_regex"),
    REFUSE("guided_json"),
    REFUSE("guided_regex"),
    REFUSE("guided_choice"),
    REFUSE("guided_grammar"),
    REFUSE("structured_outputs"),
    REFUSE("input_ids"),
};

static glim_err read_fields(glim_arena *a, const glim_json *root, wire *w, size_t *n_unknown,
                            glim_error *e)
{
    if (root->n_child > MAX_MEMBER)
        return glim_api_fail(NULL, GLIM_E_INPUT, root, e, "%u members; at most %d are allowed",
                             (unsigned)root->n_child, MAX_MEMBER);
    return glim_fields_read(a, root, fields, GLIM_COUNT(fields), w, n_unknown, e);
}

/* ---- thinking -------------------------------------------------------------------------------- */

static glim_err read_effort(const glim_api_path *p, const glim_json *v, glim_tristate *out,
                            glim_error *e)
{
    static const struct {
        const char *name;
        glim_tristate think;
    } efforts[] = {
        {"none", GLIM_OFF}, {"minimal", GLIM_OFF}, {"low", GLIM_ON}, {"medium", GLIM_ON},
        {"high", GLIM_ON},  {"xhigh", GLIM_ON},    {"max", GLIM_ON},
    };
    double x;
    if (!v || v->type == GLIM_JSON_NULL) return GLIM_OK;
    if (v->type == GLIM_JSON_NUMBER) {
        if (!glim_json_f64(v, &x) || x < 0 || x > 1)
            return glim_api_fail(p, GLIM_E_INPUT, v, e, "a number here lies between 0 and 1");
        *out = x > 0 ? GLIM_ON : GLIM_OFF;
        return GLIM_OK;
    }
    if (v->type != GLIM_JSON_STRING) return glim_api_wrong_type(p, "a string or a number", v, e);
    for (size_t i = 0; i < GLIM_COUNT(efforts); i++) {
        if (glim_str_is(v->text, efforts[i].name)) {
            *out = efforts[i].think;
            return GLIM_OK;
        }
    }
    return glim_api_fail(p, GLIM_E_INPUT, v, e,
                         "%s is unknown; use none, minimal, low, medium, high, xhigh or max",
                         GLIM_QUOTE(v->text));
}

static glim_err want_object(const glim_api_path *p, const glim_json *v, glim_error *e)
{
    if (!v || v->type == GLIM_JSON_OBJECT) return GLIM_OK;
    return glim_api_wrong_type(p, "an object", v, e);
}

static glim_err read_thinking_type(const glim_api_path *p, const glim_json *obj, glim_tristate *out,
                                   glim_error *e)
{
    glim_str type = {NULL, 0};
    glim_err rc = glim_api_str(p, obj, "type", &type, e);
    if (rc || !type.p) return rc;
    if (glim_str_is(type, "enabled") || glim_str_is(type, "adaptive"))
        *out = GLIM_ON;
    else if (glim_str_is(type, "disabled"))
        *out = GLIM_OFF;
    else
        return glim_api_fail(GLIM_API_KEY(p, "type"), GLIM_E_INPUT, obj, e,
                             "%s is unknown; use enabled or disabled", GLIM_QUOTE(type));
    return GLIM_OK;
}

/* Every spelling is read and checked; where they disagree the most explicit one wins. */
static glim_err read_thinking(const wire *w, glim_chat *c, glim_error *e)
{
    enum { BY_TYPE, BY_KWARGS, BY_FIELD, BY_ENABLED, BY_EFFORT, N_SPELLING };
    glim_tristate said[N_SPELLING], alias = GLIM_UNSET, clear = GLIM_UNSET;
    const glim_api_path *thinking = GLIM_API_KEY(NULL, "thinking");
    const glim_api_path *kwargs = GLIM_API_KEY(NULL, "chat_template_kwargs");
    const glim_api_path *reasoning = GLIM_API_KEY(NULL, "reasoning");
    for (size_t i = 0; i < N_SPELLING; i++)
        said[i] = GLIM_UNSET;

    glim_err rc = want_object(thinking, w->thinking, e);
    if (!rc) rc = want_object(kwargs, w->kwargs, e);
    if (!rc) rc = want_object(reasoning, w->reasoning, e);
    if (!rc) rc = read_thinking_type(thinking, w->thinking, &said[BY_TYPE], e);
    if (!rc) rc = glim_api_bool(kwargs, w->kwargs, "thinking", &alias, e);
    said[BY_KWARGS] = alias;
    if (!rc) rc = glim_api_bool(kwargs, w->kwargs, "enable_thinking", &said[BY_KWARGS], e);
    if (w->has_enable_thinking) said[BY_FIELD] = w->enable_thinking ? GLIM_ON : GLIM_OFF;
    if (!rc) rc = glim_api_bool(reasoning, w->reasoning, "enabled", &said[BY_ENABLED], e);
    if (!rc)
        rc = read_effort(GLIM_API_KEY(reasoning, "effort"), glim_json_get(w->reasoning, "effort"),
                         &said[BY_EFFORT], e);
    if (!rc)
        rc = read_effort(GLIM_API_KEY(NULL, "reasoning_effort"), w->effort, &said[BY_EFFORT], e);
    if (!rc) rc = glim_api_bool(kwargs, w->kwargs, "clear_thinking", &clear, e);
    if (!rc) rc = glim_api_bool(thinking, w->thinking, "clear_thinking", &clear, e);
    if (rc) return rc;
    if (glim_api_given(w->thinking, "budget_tokens"))
        return glim_api_fail(GLIM_API_KEY(thinking, "budget_tokens"), GLIM_E_UNSUPPORTED,
                             w->thinking, e, "not supported; leave the field out");

    for (size_t i = 0; i < N_SPELLING; i++) {
        if (c->think == GLIM_UNSET)
            c->think = said[i];
        else if (said[i] != GLIM_UNSET && said[i] != c->think)
            GLIM_DEBUG("api", "thinking_conflict", "used=%d ignored=%d", c->think, said[i]);
    }
    if (clear != GLIM_UNSET) c->keep_old = clear == GLIM_ON ? GLIM_OFF : GLIM_ON;
    return GLIM_OK;
}

/* ---- tools and sampling ---------------------------------------------------------------------- */

/* "auto" and "none"; what would force a call is refused until it can be forced. */
static glim_err read_choice(const char *key, const glim_json *v, bool *none, glim_error *e)
{
    const glim_api_path *p = GLIM_API_KEY(NULL, key);
    glim_str type = {NULL, 0};
    if (!v) return GLIM_OK;
    if (v->type == GLIM_JSON_STRING) {
        type = v->text;
    } else if (v->type == GLIM_JSON_OBJECT) {
        glim_err rc = glim_api_str(p, v, "type", &type, e);
        if (rc) return rc;
        if (!type.p && glim_api_given(v, "name")) type = GLIM_STR("function");
    } else {
        return glim_api_wrong_type(p, "a string or an object", v, e);
    }
    static const char *const forcing[] = {"required", "any", "function", "allowed_tools", "custom"};
    *none = *none || glim_str_is(type, "none");
    if (glim_str_is(type, "none") || glim_str_is(type, "auto")) return GLIM_OK;
    for (size_t i = 0; i < GLIM_COUNT(forcing); i++) {
        if (glim_str_is(type, forcing[i]))
            return glim_api_fail(p, GLIM_E_UNSUPPORTED, v, e,
                                 "forcing a call (%s) is not supported; use auto or none",
                                 forcing[i]);
    }
    return glim_api_fail(p, GLIM_E_INPUT, v, e, "%s is unknown; use auto or none",
                         GLIM_QUOTE(type));
}

static glim_err read_tools(glim_arena *a, const wire *w, glim_chat *c, glim_error *e)
{
    bool none = false;
    glim_err rc = glim_openai_tools_decode(a, w->tools, c, e);
    if (!rc && w->functions) {
        if (c->n_tool && w->functions->n_child)
            return glim_api_fail(GLIM_API_KEY(NULL, "functions"), GLIM_E_INPUT, w->functions, e,
                                 "given beside tools; send one of the two");
        rc = glim_openai_functions_decode(a, w->functions, c, e);
    }
    if (!rc) rc = read_choice("tool_choice", w->tool_choice, &none, e);
    if (!rc) rc = read_choice("function_call", w->function_call, &none, e);
    if (none) {
        c->tools = NULL;
        c->n_tool = 0;
    }
    return rc;
}

static void fill_gen(const wire *w, glim_gen_opts *g)
{
    glim_gen_opts_init(g);
    if (!isnan(w->temperature)) g->temperature = w->temperature;
    if (w->has_sample && !w->sample) g->temperature = 0;
    /* The ends of the ranges mean "only the best token": the nearest values that the sampler takes.
     */
    if (!isnan(w->top_p)) g->top_p = GLIM_MAX(w->top_p, FLT_MIN);
    if (!isnan(w->min_p)) g->min_p = GLIM_MIN(w->min_p, 1.0f - FLT_EPSILON);
    if (w->top_k != INT64_MIN) g->top_k = w->top_k < 0 ? 0 : (int32_t)w->top_k;
    if (w->has_seed) {
        g->has_seed = true;
        g->seed = (uint64_t)w->seed;
    }
    int64_t n_max = GLIM_MIN(w->max_tokens, w->max_completion_tokens);
    if (n_max != INT64_MAX) g->n_max = n_max;
    g->stops = w->stop.v;
    g->n_stop = w->stop.n;
}

glim_err glim_openai_chat_decode(glim_arena *a, glim_str json, glim_chat_request *out,
                                 glim_error *e)
{
    memset(out, 0, sizeof *out);
    out->chat.think = GLIM_UNSET;
    out->chat.keep_old = GLIM_UNSET;
    glim_gen_opts_init(&out->gen);

    glim_json *root;
    glim_err rc = glim_json_parse(a, json, &root, e);
    if (rc) return rc;
    if (root->type != GLIM_JSON_OBJECT)
        return glim_api_wrong_type(NULL, "a request object", root, e);
    wire w = {.temperature = NAN,
              .top_p = NAN,
              .min_p = NAN,
              .top_k = INT64_MIN,
              .max_tokens = INT64_MAX,
              .max_completion_tokens = INT64_MAX};
    /* Scripts translated from Python send extra_body as it stands; the request's own fields win. */
    const glim_json *extra = glim_api_given(root, "extra_body");
    size_t n_extra = 0;
    if (extra) {
        rc = want_object(GLIM_API_KEY(NULL, "extra_body"), extra, e);
        if (rc) return rc;
        rc = read_fields(a, extra, &w, &n_extra, e);
        if (rc) {
            glim_error_prefix(e, "extra_body");
            return rc;
        }
    }
    rc = read_fields(a, root, &w, &out->n_unknown, e);
    out->n_unknown += n_extra;
    if (!rc) rc = glim_openai_messages_decode(a, w.messages, &out->chat, e);
    if (!rc) rc = read_tools(a, &w, &out->chat, e);
    if (!rc) rc = read_thinking(&w, &out->chat, e);
    if (rc) return rc;
    out->chat.no_generation_prompt = w.has_generation_prompt && !w.generation_prompt;
    fill_gen(&w, &out->gen);
    return GLIM_OK;
}
