/* SPDX-License-Identifier: MIT
 * sampling.c - the fields that every generating request of OpenAI's family shares, to sampling
 * options.
 * Owns:   their ranges, what they mean together, and the notes about those without effect.
 * Not here: messages, prompts and tools; defaults of a model (room engine).
 * Thread: any, pure.
 * Fails:  INPUT with the path; UNSUPPORTED for what is known and would change the answer.
 * See:    wire_priv.h, tests/unit/api/test_openai_chat.c */
#include "api/wire_priv.h"

#include <inttypes.h>
#include <math.h>

/* ---- values that must be neutral ------------------------------------------------------------- */

glim_err glim_wire_only_1(glim_arena *a, const glim_json *v, void *dst, glim_error *e)
{
    (void)a, (void)dst;
    double x;
    if (v->type != GLIM_JSON_NUMBER) return glim_api_wrong_type(NULL, "a number", v, e);
    if (glim_json_f64(v, &x) && x == 1) return GLIM_OK;
    return glim_api_fail(NULL, GLIM_E_UNSUPPORTED, v, e,
                         "only 1 is supported; leave the field out");
}

glim_err glim_wire_only_false(glim_arena *a, const glim_json *v, void *dst, glim_error *e)
{
    (void)a, (void)dst;
    bool b;
    if (!glim_json_bool(v, &b)) return glim_api_wrong_type(NULL, "true or false", v, e);
    if (!b) return GLIM_OK;
    return glim_api_fail(NULL, GLIM_E_UNSUPPORTED, v, e,
                         "only false is supported; leave the field out");
}

glim_err glim_wire_only_no_text(glim_arena *a, const glim_json *v, void *dst, glim_error *e)
{
    (void)a, (void)dst;
    if (v->type != GLIM_JSON_STRING) return glim_api_wrong_type(NULL, "a string", v, e);
    if (v->text.n == 0) return GLIM_OK;
    return glim_api_fail(NULL, GLIM_E_UNSUPPORTED, v, e, "not supported; leave the field out");
}

glim_err glim_wire_only_text_format(glim_arena *a, const glim_json *v, void *dst, glim_error *e)
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

glim_err glim_wire_stop(glim_arena *a, const glim_json *v, void *dst, glim_error *e)
{
    const glim_api_path *p = GLIM_API_KEY(NULL, "stop");
    glim_wire_strs *out = dst;
    bool list = v->type == GLIM_JSON_ARRAY;
    if (!list && v->type != GLIM_JSON_STRING)
        return glim_api_wrong_type(p, "a string or a list of strings", v, e);
    size_t n = list ? v->n_child : 1, i = 0;
    *out = (glim_wire_strs){NULL, 0};
    if (n > GLIM_WIRE_STOP_MAX)
        return glim_api_fail(p, GLIM_E_INPUT, v, e, "%zu strings; at most %d are allowed", n,
                             GLIM_WIRE_STOP_MAX);
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
    *out = (glim_wire_strs){stops, n};
    return GLIM_OK;
}

glim_err glim_wire_stop_ids(glim_arena *a, const glim_json *v, void *dst, glim_error *e)
{
    const glim_api_path *p = GLIM_API_KEY(NULL, "stop_token_ids");
    glim_wire_ids *out = dst;
    *out = (glim_wire_ids){NULL, 0};
    if (v->type != GLIM_JSON_ARRAY) return glim_api_wrong_type(p, "a list of token ids", v, e);
    if (v->n_child > GLIM_WIRE_STOP_ID_MAX)
        return glim_api_fail(p, GLIM_E_INPUT, v, e, "%u ids; at most %d are allowed",
                             (unsigned)v->n_child, GLIM_WIRE_STOP_ID_MAX);
    return glim_api_ids(a, p, v, &out->v, &out->n, e);
}

/* One value; bans: false is one. */
static glim_err read_bias(int64_t id, const glim_json *v, bool bans, glim_logit_bias *out,
                          glim_error *e)
{
    const glim_api_path *p = GLIM_API_KEY(NULL, "logit_bias");
    double bias = -100;
    bool banned = bans && v->type == GLIM_JSON_FALSE;
    if (!banned && v->type != GLIM_JSON_NUMBER)
        return glim_api_fail(p, GLIM_E_INPUT, v, e, "token %lld: expected a number%s, found %s",
                             (long long)id, bans ? " or false" : "", glim_json_type_name(v->type));
    if (!banned && (!glim_json_f64(v, &bias) || bias < -100 || bias > 100))
        return glim_api_fail(p, GLIM_E_INPUT, v, e, "token %lld: a bias lies between -100 and 100",
                             (long long)id);
    *out = (glim_logit_bias){(int32_t)id, (float)bias};
    return GLIM_OK;
}

/* [id, bias]. What a text stands for only a vocabulary knows. */
static glim_err read_bias_pair(const glim_api_path *p, const glim_json *v, glim_logit_bias *out,
                               glim_error *e)
{
    int64_t id;
    if (v->type != GLIM_JSON_ARRAY || v->n_child != 2)
        return glim_api_fail(p, GLIM_E_INPUT, v, e, "expected a pair [token id, bias]");
    if (v->child->type == GLIM_JSON_STRING)
        return glim_api_fail(p, GLIM_E_UNSUPPORTED, v, e,
                             "text is not supported here; send token ids, which /tokenize gives");
    if (!glim_json_i64(v->child, &id) || id < 0 || id > INT32_MAX)
        return glim_api_fail(p, GLIM_E_INPUT, v, e, "the first of the pair is no token id");
    return read_bias(id, v->child->next, true, out, e);
}

static glim_err read_bias_member(const glim_json *v, bool bans, glim_logit_bias *out, glim_error *e)
{
    int64_t id;
    if (!glim_parse_i64(v->key, &id) || id < 0 || id > INT32_MAX)
        return glim_api_fail(GLIM_API_KEY(NULL, "logit_bias"), GLIM_E_INPUT, v, e,
                             "the key %s is no token id", GLIM_QUOTE(v->key));
    return read_bias(id, v, bans, out, e);
}

static glim_err read_biases(glim_arena *a, const glim_json *v, bool pairs, glim_wire_biases *out,
                            glim_error *e)
{
    const glim_api_path *p = GLIM_API_KEY(NULL, "logit_bias");
    *out = (glim_wire_biases){NULL, 0};
    if (v->n_child > GLIM_WIRE_BIAS_MAX)
        return glim_api_fail(p, GLIM_E_INPUT, v, e, "%u entries; at most %d are allowed",
                             (unsigned)v->n_child, GLIM_WIRE_BIAS_MAX);
    if (v->n_child == 0) return GLIM_OK;
    glim_logit_bias *list = GLIM_ARENA_ARRAY(a, glim_logit_bias, v->n_child);
    if (!list) return glim_api_fail(p, GLIM_E_NOMEM, NULL, e, "no memory for the list");
    size_t n = 0;
    GLIM_JSON_EACH(x, v)
    {
        glim_err rc = v->type == GLIM_JSON_ARRAY
                          ? read_bias_pair(GLIM_API_ELEMENT(p, n), x, &list[n], e)
                          : read_bias_member(x, pairs, &list[n], e);
        if (rc) return rc;
        n++;
    }
    *out = (glim_wire_biases){list, n};
    return GLIM_OK;
}

/* {"token id": bias}: OpenAI's form and the only one. */
glim_err glim_wire_bias(glim_arena *a, const glim_json *v, void *dst, glim_error *e)
{
    const glim_api_path *p = GLIM_API_KEY(NULL, "logit_bias");
    if (v->type != GLIM_JSON_OBJECT) return glim_api_wrong_type(p, "an object", v, e);
    return read_biases(a, v, false, dst, e);
}

glim_err glim_wire_bias_pairs(glim_arena *a, const glim_json *v, void *dst, glim_error *e)
{
    const glim_api_path *p = GLIM_API_KEY(NULL, "logit_bias");
    if (v->type != GLIM_JSON_OBJECT && v->type != GLIM_JSON_ARRAY)
        return glim_api_wrong_type(p, "a list of pairs or an object", v, e);
    return read_biases(a, v, true, dst, e);
}

glim_err glim_wire_penalty(glim_arena *a, const glim_json *v, void *dst, glim_error *e)
{
    double x;
    (void)a;
    if (v->type != GLIM_JSON_NUMBER) return glim_api_wrong_type(NULL, "a number", v, e);
    if (!glim_json_f64(v, &x) || !(x > 0 && x <= 10))
        return glim_api_fail(
            NULL, GLIM_E_INPUT, v, e,
            "%.*s is out of range; send more than 0 and at most 10, where 1 is off",
            (int)GLIM_MIN(v->text.n, (size_t)40), v->text.p);
    *(float *)dst = (float)x;
    return GLIM_OK;
}

/* An id of the client's choosing: a string, or a number as it is spelled. */
glim_err glim_wire_name(glim_arena *a, const glim_json *v, void *dst, glim_error *e)
{
    enum { NAME_MAX_BYTES = 256 };
    (void)a;
    if (v->type != GLIM_JSON_STRING && v->type != GLIM_JSON_NUMBER)
        return glim_api_wrong_type(NULL, "a string", v, e);
    if (v->text.n > NAME_MAX_BYTES)
        return glim_api_fail(NULL, GLIM_E_INPUT, v, e, "%zu bytes; at most %d are allowed",
                             v->text.n, NAME_MAX_BYTES);
    *(glim_str *)dst = v->text;
    return GLIM_OK;
}

/* ---- the table and its notes ----------------------------------------------------------------- */

void glim_wire_init(glim_wire *w)
{
    glim_gen_opts g;
    glim_gen_opts_init(&g);
    *w = (glim_wire){.model = GLIM_STR(""),
                     .request_id = GLIM_STR(""),
                     .user_id = GLIM_STR(""),
                     .user = GLIM_STR(""),
                     .temperature = NAN,
                     .top_p = NAN,
                     .min_p = NAN,
                     .top_k = INT64_MIN,
                     .max_tokens = INT64_MAX,
                     .max_completion_tokens = INT64_MAX,
                     .n = 1,
                     .parallel = true,
                     .separate_reasoning = true,
                     .stream_reasoning = true,
                     .skip_special = true,
                     .repetition_penalty = g.repetition_penalty,
                     .dry_multiplier = g.dry_multiplier,
                     .dry_base = g.dry_base,
                     .dry_allowed_length = g.dry_allowed_length,
                     .dry_range = g.dry_range};
}

glim_err glim_wire_note(glim_arena *a, glim_request *out, const char *name, glim_error *e)
{
    enum { NOTE_MAX = 64 }; /* more than there are rows that note */
    glim_str *notes = (glim_str *)out->notes;
    if (!notes) {
        notes = GLIM_ARENA_ARRAY(a, glim_str, NOTE_MAX);
        if (!notes) return glim_fail(e, GLIM_E_NOMEM, "no memory for the request");
        out->notes = notes;
    }
    for (size_t i = 0; i < out->n_note; i++)
        if (glim_str_is(notes[i], name)) return GLIM_OK;
    if (out->n_note < NOTE_MAX) notes[out->n_note++] = glim_str_of(name);
    return GLIM_OK;
}

glim_err glim_wire_read_object(glim_arena *a, const glim_json *obj, const glim_field *fields,
                               size_t n_field, void *dst, glim_request *out, glim_error *e)
{
    size_t n_unknown = 0;
    if (obj->n_child > GLIM_WIRE_MEMBER_MAX)
        return glim_api_fail(NULL, GLIM_E_INPUT, obj, e, "%u members; at most %d are allowed",
                             (unsigned)obj->n_child, GLIM_WIRE_MEMBER_MAX);
    glim_err rc = glim_fields_read(a, obj, fields, n_field, dst, &n_unknown, e);
    out->n_unknown += n_unknown;
    for (size_t i = 0; i < n_field && !rc; i++) {
        bool noted = fields[i].offset == offsetof(glim_wire, noted);
        if (noted && glim_api_given(obj, fields[i].name))
            rc = glim_wire_note(a, out, fields[i].name, e);
    }
    return rc;
}

glim_err glim_wire_read(glim_arena *a, const glim_json *root, const glim_field *fields,
                        size_t n_field, glim_wire *w, glim_request *out, glim_error *e)
{
    if (root->type != GLIM_JSON_OBJECT)
        return glim_api_wrong_type(NULL, "a request object", root, e);
    /* Scripts translated from Python send extra_body as it stands; the request's own fields win. */
    const glim_json *extra = glim_api_given(root, "extra_body");
    if (extra) {
        if (extra->type != GLIM_JSON_OBJECT)
            return glim_api_wrong_type(GLIM_API_KEY(NULL, "extra_body"), "an object", extra, e);
        glim_err rc = glim_wire_read_object(a, extra, fields, n_field, w, out, e);
        if (rc) {
            glim_error_prefix(e, "extra_body");
            return rc;
        }
    }
    return glim_wire_read_object(a, root, fields, n_field, w, out, e);
}

/* ---- prompts --------------------------------------------------------------------------------- */

glim_err glim_wire_no_prompt(const glim_api_path *p, const glim_json *v, glim_error *e)
{
    return glim_api_fail(p, GLIM_E_INPUT, v, e, "empty: there is nothing to continue");
}

glim_err glim_wire_prompts(glim_arena *a, const glim_api_path *p, const glim_json *v, size_t n,
                           glim_request *out, glim_raw_prompt **prompts, glim_error *e)
{
    if (n > GLIM_WIRE_PROMPT_MAX || n * (size_t)out->n > GLIM_WIRE_PROMPT_MAX)
        return glim_api_fail(p, GLIM_E_INPUT, v, e,
                             "%zu prompts with n %" PRId64 "; at most %d answers are allowed", n,
                             out->n, GLIM_WIRE_PROMPT_MAX);
    *prompts = GLIM_ARENA_ARRAY(a, glim_raw_prompt, n);
    if (!*prompts) return glim_api_fail(p, GLIM_E_NOMEM, NULL, e, "no memory for %zu prompts", n);
    memset(*prompts, 0, n * sizeof **prompts);
    out->prompts = *prompts;
    out->n_prompt = n;
    return GLIM_OK;
}

/* ---- what the fields mean together ----------------------------------------------------------- */

static glim_err fill_stream(glim_arena *a, const glim_wire *w, glim_request *out, glim_error *e)
{
    const glim_api_path *p = GLIM_API_KEY(NULL, "stream_options");
    const glim_json *v = w->stream_options;
    glim_tristate usage = GLIM_OFF, continuous = GLIM_OFF, obfuscation = GLIM_UNSET;
    out->stream = w->stream;
    if (!v) return GLIM_OK;
    if (v->type != GLIM_JSON_OBJECT) return glim_api_wrong_type(p, "an object", v, e);
    glim_err rc = glim_api_bool(p, v, "include_usage", &usage, e);
    if (!rc) rc = glim_api_bool(p, v, "continuous_usage_stats", &continuous, e);
    if (!rc) rc = glim_api_bool(p, v, "include_obfuscation", &obfuscation, e);
    if (!rc && obfuscation != GLIM_UNSET)
        rc = glim_wire_note(a, out, "stream_options.include_obfuscation", e);
    out->include_usage = usage == GLIM_ON;
    out->continuous_usage = out->include_usage && continuous == GLIM_ON;
    return rc;
}

glim_err glim_wire_fill(glim_arena *a, const glim_wire *w, glim_request *out, glim_error *e)
{
    glim_gen_opts *g = &out->gen;
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
    g->n_min = w->n_min;
    g->stops = w->stop.v;
    g->n_stop = w->stop.n;
    g->stop_ids = w->stop_id.v;
    g->n_stop_id = w->stop_id.n;
    g->biases = w->bias.v;
    g->n_bias = w->bias.n;
    g->keep_stop = w->keep_stop;
    g->keep_special = !w->skip_special;
    g->ignore_eos = w->ignore_eos;
    g->repetition_penalty = w->repetition_penalty;
    g->presence_penalty = w->presence_penalty;
    g->frequency_penalty = w->frequency_penalty;
    g->dry_multiplier = w->dry_multiplier;
    g->dry_base = w->dry_base;
    g->dry_allowed_length = (int32_t)w->dry_allowed_length;
    g->dry_range = (int32_t)w->dry_range;
    out->model = w->model;
    out->n = w->n;
    out->request_id = w->request_id;
    out->user_id = w->user_id.n ? w->user_id : w->user;
    return fill_stream(a, w, out, e);
}
