/* SPDX-License-Identifier: MIT
 * wire_priv.h - a generating request as its fields stand in OpenAI's JSON and that of its
 * relatives, before they are weighed against each other; and the rows that tables share. */
#ifndef GLIM_API_WIRE_PRIV_H
#define GLIM_API_WIRE_PRIV_H

#include "api/api_priv.h"

#include <float.h>

enum {
    GLIM_WIRE_STOP_MAX = 16,
    GLIM_WIRE_STOP_ID_MAX = 64,
    GLIM_WIRE_BIAS_MAX = 1024, /* as many as the engine takes */
    GLIM_WIRE_N_MAX = 128,
    GLIM_WIRE_PROMPT_MAX = 2048, /* prompts times choices */
    /* Every row of a table looks at every member, so an object of millions would take seconds. */
    GLIM_WIRE_MEMBER_MAX = 1024
};
#define GLIM_WIRE_COUNT_MAX 9007199254740992.0 /* 2^53: beyond it a limit is a typing error */

typedef struct glim_wire_strs {
    const glim_str *v;
    size_t n;
} glim_wire_strs;
typedef struct glim_wire_ids {
    const int32_t *v;
    size_t n;
} glim_wire_ids;
typedef struct glim_wire_biases {
    const glim_logit_bias *v;
    size_t n;
} glim_wire_biases;

typedef struct glim_wire {
    glim_str model;
    const glim_json *messages, *tools, *functions, *tool_choice, *function_call; /* chat */
    const glim_json *thinking, *kwargs, *reasoning, *effort;                     /* chat */
    const glim_json *prompt;                                                     /* raw */
    const glim_json *stream_options, *meta, *ignored;
    const glim_json *noted; /* rows with this member have no effect and become notes */
    bool has_enable_thinking, enable_thinking;
    bool has_generation_prompt, generation_prompt;
    bool has_sample, sample;
    bool has_seed;
    bool stream, tool_stream;
    bool parallel, separate_reasoning, stream_reasoning, inline_format;
    bool logprobs, echo;
    bool ignore_eos, keep_stop, skip_special;
    float temperature, top_p, min_p;
    float repetition_penalty, presence_penalty, frequency_penalty;
    float dry_multiplier, dry_base;
    int64_t dry_allowed_length, dry_range;
    int64_t n, top_k, seed, n_min, max_tokens, max_completion_tokens;
    int64_t top_logprobs;
    glim_wire_strs stop;
    glim_wire_ids stop_id;
    glim_wire_biases bias;
    glim_str request_id, user_id, user;
} glim_wire;

/* What a request that names nothing asks for. */
void glim_wire_init(glim_wire *w);
/* Fills w by the table, first from a literal "extra_body" and then from root, which wins; the names
 * of given IGNORE rows become notes of out. */
GLIM_MUST_USE glim_err glim_wire_read(glim_arena *a, const glim_json *root,
                                      const glim_field *fields, size_t n_field, glim_wire *w,
                                      glim_request *out, glim_error *e);
/* One object by the table, without extra_body. dst begins with a glim_wire. */
GLIM_MUST_USE glim_err glim_wire_read_object(glim_arena *a, const glim_json *obj,
                                             const glim_field *fields, size_t n_field, void *dst,
                                             glim_request *out, glim_error *e);
/* Sampling, stopping, streaming and names from w into out. */
GLIM_MUST_USE glim_err glim_wire_fill(glim_arena *a, const glim_wire *w, glim_request *out,
                                      glim_error *e);
/* Adds one note, borrowed for as long as out lives: a literal, or memory of the arena. */
GLIM_MUST_USE glim_err glim_wire_note(glim_arena *a, glim_request *out, const char *name,
                                      glim_error *e);
/* Notes about tools: what was left out, and promises about arguments that nothing keeps yet.
 * (openai_chat.c) */
GLIM_MUST_USE glim_err glim_wire_note_tools(glim_arena *a, const glim_json *tools,
                                            glim_request *out, glim_error *e);

/* Room for n prompts in out, whose n is settled. v: where they stand. */
GLIM_MUST_USE glim_err glim_wire_prompts(glim_arena *a, const glim_api_path *p, const glim_json *v,
                                         size_t n, glim_request *out, glim_raw_prompt **prompts,
                                         glim_error *e);
/* The failure of a prompt of nothing. */
GLIM_MUST_USE glim_err glim_wire_no_prompt(const glim_api_path *p, const glim_json *v,
                                           glim_error *e);

/* Parsers of rows. dst is the member itself. */
glim_err glim_wire_stop(glim_arena *a, const glim_json *v, void *dst, glim_error *e);
glim_err glim_wire_stop_ids(glim_arena *a, const glim_json *v, void *dst, glim_error *e);
glim_err glim_wire_bias(glim_arena *a, const glim_json *v, void *dst, glim_error *e);
/* Also llama-server's pairs, and its false, which bans. */
glim_err glim_wire_bias_pairs(glim_arena *a, const glim_json *v, void *dst, glim_error *e);
glim_err glim_wire_penalty(glim_arena *a, const glim_json *v, void *dst, glim_error *e);
glim_err glim_wire_name(glim_arena *a, const glim_json *v, void *dst, glim_error *e);
/* Values that must be neutral: there is nothing behind the field. */
glim_err glim_wire_only_1(glim_arena *a, const glim_json *v, void *dst, glim_error *e);
glim_err glim_wire_only_false(glim_arena *a, const glim_json *v, void *dst, glim_error *e);
glim_err glim_wire_only_text_format(glim_arena *a, const glim_json *v, void *dst, glim_error *e);
glim_err glim_wire_only_no_text(glim_arena *a, const glim_json *v, void *dst, glim_error *e);

#define GLIM_NO_FLAG .offset_has = SIZE_MAX
#define GLIM_ROW(key, kind, member)                                                                \
    {                                                                                              \
        .name = (key), .type = GLIM_FIELD_##kind, .offset = offsetof(glim_wire, member),           \
        GLIM_NO_FLAG                                                                               \
    }
#define GLIM_RANGE(key, kind, member, low, high)                                                   \
    {                                                                                              \
        .name = (key), .type = GLIM_FIELD_##kind, .offset = offsetof(glim_wire, member),           \
        GLIM_NO_FLAG, .min = (low), .max = (high)                                                  \
    }
/* Members of a struct of the dialect's own, whose first member is a glim_wire. */
#define GLIM_ROW_OF(owner, key, kind, member)                                                      \
    {                                                                                              \
        .name = (key), .type = GLIM_FIELD_##kind, .offset = offsetof(owner, member), GLIM_NO_FLAG  \
    }
#define GLIM_RANGE_OF(owner, key, kind, member, low, high)                                         \
    {                                                                                              \
        .name = (key), .type = GLIM_FIELD_##kind, .offset = offsetof(owner, member), GLIM_NO_FLAG, \
        .min = (low), .max = (high)                                                                \
    }
#define GLIM_SUB_OF(owner, key, member, fn)                                                        \
    {                                                                                              \
        .name = (key), .type = GLIM_FIELD_SUB, .offset = offsetof(owner, member), GLIM_NO_FLAG,    \
        .parse = (fn)                                                                              \
    }
/* A bool beside a has_ of its own. */
#define GLIM_FLAG(key, kind, member)                                                               \
    {                                                                                              \
        .name = (key), .type = GLIM_FIELD_##kind, .offset = offsetof(glim_wire, member),           \
        .offset_has = offsetof(glim_wire, has_##member)                                            \
    }
#define GLIM_SUB(key, member, fn)                                                                  \
    {                                                                                              \
        .name = (key), .type = GLIM_FIELD_SUB, .offset = offsetof(glim_wire, member),              \
        GLIM_NO_FLAG, .parse = (fn)                                                                \
    }
#define GLIM_ONLY(key, what) GLIM_SUB(key, ignored, glim_wire_only_##what)
#define GLIM_IGNORE(key) GLIM_ROW(key, JSON, noted)
#define GLIM_REFUSE(key)                                                                           \
    {                                                                                              \
        .name = (key), GLIM_NO_FLAG, .unsupported = "leave the field out"                          \
    }

/* Rows of every generating dialect of this family. */
#define GLIM_WIRE_SHARED_ROWS                                                                      \
    GLIM_ROW("model", STR, model), GLIM_RANGE("temperature", F32, temperature, 0, 2),              \
        GLIM_RANGE("top_p", F32, top_p, 0, 1), GLIM_RANGE("top_k", I64, top_k, -1, INT32_MAX),     \
        GLIM_RANGE("min_p", F32, min_p, 0, 1), GLIM_FLAG("do_sample", BOOL, sample),               \
        GLIM_FLAG("seed", I64, seed),                                                              \
        GLIM_RANGE("max_tokens", I64, max_tokens, 1, GLIM_WIRE_COUNT_MAX),                         \
        GLIM_RANGE("max_completion_tokens", I64, max_completion_tokens, 1, GLIM_WIRE_COUNT_MAX),   \
        GLIM_RANGE("min_tokens", I64, n_min, 0, INT32_MAX),                                        \
        GLIM_RANGE("n", I64, n, 1, GLIM_WIRE_N_MAX), GLIM_SUB("stop", stop, glim_wire_stop),       \
        GLIM_SUB("stop_token_ids", stop_id, glim_wire_stop_ids),                                   \
        GLIM_SUB("logit_bias", bias, glim_wire_bias),                                              \
        GLIM_RANGE("presence_penalty", F32, presence_penalty, -2, 2),                              \
        GLIM_RANGE("frequency_penalty", F32, frequency_penalty, -2, 2),                            \
        GLIM_SUB("repeat_penalty", repetition_penalty, glim_wire_penalty),                         \
        GLIM_SUB("repetition_penalty", repetition_penalty, glim_wire_penalty),                     \
        GLIM_RANGE("dry_multiplier", F32, dry_multiplier, 0, 100),                                 \
        GLIM_RANGE("dry_base", F32, dry_base, 1, 10),                                              \
        GLIM_RANGE("dry_allowed_length", I64, dry_allowed_length, 0, 1 << 20),                     \
        GLIM_RANGE("dry_penalty_last_n", I64, dry_range, -1, INT32_MAX),                           \
        GLIM_ROW("ignore_eos", BOOL, ignore_eos), GLIM_ROW("no_stop_trim", BOOL, keep_stop),       \
        GLIM_ROW("skip_special_tokens", BOOL, skip_special), GLIM_ROW("stream", BOOL, stream),     \
        GLIM_ROW("stream_options", JSON, stream_options), GLIM_ROW("user", STR, user),             \
        GLIM_ROW("user_id", STR, user_id), GLIM_SUB("rid", request_id, glim_wire_name),            \
        GLIM_SUB("request_id", request_id, glim_wire_name), GLIM_IGNORE("extra_body"),             \
        GLIM_ONLY("response_format", text_format), GLIM_ONLY("best_of", 1),                        \
        GLIM_ONLY("return_token_ids", false), GLIM_ONLY("return_meta_info", false),                \
        GLIM_IGNORE("metadata"), GLIM_IGNORE("store"), GLIM_IGNORE("service_tier"),                \
        GLIM_IGNORE("prompt_cache_key"), GLIM_IGNORE("prompt_cache_retention"),                    \
        GLIM_IGNORE("safety_identifier"), GLIM_IGNORE("verbosity"), GLIM_IGNORE("prediction"),     \
        GLIM_IGNORE("sensitive_word_check"), GLIM_IGNORE("watermark_enabled"),                     \
        GLIM_IGNORE("sensitive"), GLIM_IGNORE("priority"), GLIM_IGNORE("cache_salt"),              \
        GLIM_IGNORE("typical_p"), GLIM_IGNORE("mirostat"), GLIM_IGNORE("mirostat_tau"),            \
        GLIM_IGNORE("mirostat_eta"), GLIM_IGNORE("dry_sequence_breakers"),                         \
        GLIM_IGNORE("xtc_probability"), GLIM_IGNORE("xtc_threshold"),                              \
        GLIM_IGNORE("dynatemp_range"), GLIM_IGNORE("dynatemp_exponent"),                           \
        GLIM_IGNORE("repeat_last_n"), GLIM_IGNORE("cache_prompt"), GLIM_IGNORE("id_slot"),         \
        GLIM_IGNORE("return_progress"), GLIM_IGNORE("sse_ping_interval"),                          \
        GLIM_IGNORE("timings_per_token"), GLIM_REFUSE("json_schema"), GLIM_REFUSE("grammar"),      \
        GLIM_REFUSE("regex"), GLIM_REFUSE("ebnf"), GLIM_REFUSE("stop_regex"),                      \
        GLIM_REFUSE("guided_json"), GLIM_REFUSE("guided_regex"), GLIM_REFUSE("guided_choice"),     \
        GLIM_REFUSE("guided_grammar"), GLIM_REFUSE("structured_outputs"),                          \
        GLIM_REFUSE("structural_tag"), GLIM_REFUSE("input_ids")

#endif
