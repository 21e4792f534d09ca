/* SPDX-License-Identifier: MIT
 * chat.h - messages, tools, sampling parameters and the event stream, as plain structs.
 * These are what every dialect decodes to and encodes from, and what the engine takes and emits.
 * All text is UTF-8. Structs here only borrow: whoever builds a request keeps its memory alive
 * until the call that takes it returns. */
#ifndef GLIM_CHAT_H
#define GLIM_CHAT_H

#include "glim.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum glim_role {
    GLIM_ROLE_SYSTEM,
    GLIM_ROLE_USER,
    GLIM_ROLE_ASSISTANT,
    GLIM_ROLE_TOOL
} glim_role;

typedef struct glim_tool_call {
    glim_str id; /* may be empty */
    glim_str name;
    glim_str arguments; /* JSON text of an object; key order and number spelling matter */
} glim_tool_call;

typedef struct glim_message {
    glim_role role;
    glim_str content;   /* "" where the wire had null or nothing */
    bool has_reasoning; /* reasoning was given as a field of its own (it may be "") */
    glim_str reasoning;
    const glim_tool_call *calls;
    size_t n_call;
    glim_str tool_call_id; /* role tool */
    const glim_str *parts; /* role tool: results that came as a list without text parts; role user, for a client of
                              another server only: the content as a list, images and the like; each the JSON text
                              of its element */
    size_t n_part;
} glim_message;

/* A function the model may call. json is the whole tool object as the client sent it
 * ({"type":"function","function":{...}} or bare), name points into the client's text. */
typedef struct glim_tool {
    glim_str name;
    glim_str json;
} glim_tool;

typedef enum glim_tristate { GLIM_UNSET = -1, GLIM_OFF = 0, GLIM_ON = 1 } glim_tristate;

typedef struct glim_chat {
    const glim_message *messages;
    size_t n_message;
    const glim_tool *tools;
    size_t n_tool;
    glim_tristate think; /* unset: the model's default */
    glim_tristate
        keep_old; /* ON: reasoning of earlier turns stays in the prompt (clear_thinking false) */
    bool no_generation_prompt; /* the prompt ends after the last message (prefill of an answer) */
} glim_chat;

typedef struct glim_logit_bias {
    int32_t id;
    float bias; /* [-100,100], added to the logit; -100 bans the token */
} glim_logit_bias;

/* Sampling and stopping. Fill with glim_gen_opts_init(), then change what the caller asked for.
 * A NaN or negative value marked "unset" takes the model's own generation settings. */
typedef struct glim_gen_opts {
    size_t size;       /* sizeof(glim_gen_opts), set by init */
    float temperature; /* 0: greedy; NaN: unset */
    float top_p;       /* (0,1]; NaN: unset */
    int32_t top_k;     /* 0: off; -1: unset */
    float min_p;       /* [0,1); NaN: unset */
    bool has_seed;
    uint64_t seed;         /* without one, the system's randomness */
    int64_t n_max;         /* completion tokens; -1: what is left of the context */
    const glim_str *stops; /* stop strings, matched in content only */
    size_t n_stop;
    float repetition_penalty; /* (0,10], 1: off; over prompt and answer: divides positive logits, multiplies negative ones */
    float presence_penalty;   /* [-2,2], 0: off; once for each token of the answer */
    float frequency_penalty;  /* [-2,2], 0: off; for each time a token stands in the answer */
    const glim_logit_bias *biases;
    size_t n_bias;
    int32_t n_logprob;        /* alternatives reported with each token, 0 to 20; -1: no LOGPROBS events */
    int64_t n_min;            /* tokens before a turn may end */
    bool ignore_eos;          /* turns do not end by themselves */
    int64_t think_budget;     /* tokens of thought before it is closed; -1: no limit of its own */
    glim_tristate loop_stop;  /* end an answer that repeats itself; unset: on, unless ignore_eos */
    float dry_multiplier;     /* 0: off; penalty for continuing a repetition: multiplier * base^(length - allowed) */
    float dry_base;           /* at least 1 */
    int32_t dry_allowed_length;
    int32_t dry_range;        /* tokens looked back, -1: all */
    const int32_t *stop_ids;  /* further tokens that end the answer; their text is not part of it */
    size_t n_stop_id;
    bool keep_stop;           /* the stop string or token stays at the end of the text */
    bool keep_special;        /* the text of special tokens is part of the answer */
    bool one_call;            /* the answer ends after its first tool call */
    bool call_required;       /* once a thought is over, a call must follow: its opening and name are forced */
    const glim_str *call_names; /* the names a forced call may take; none: those of all tools */
    size_t n_call_name;
} glim_gen_opts;

GLIM_API void glim_gen_opts_init(glim_gen_opts *o);

typedef enum glim_stop_reason {
    GLIM_STOP_NONE,
    GLIM_STOP_END,     /* the model ended its turn */
    GLIM_STOP_STRING,  /* a stop string matched */
    GLIM_STOP_LENGTH,  /* n_max tokens were made */
    GLIM_STOP_CONTEXT, /* the context is full */
    GLIM_STOP_CANCEL,  /* the callback or glim_session_cancel() asked for it */
    GLIM_STOP_LOOP     /* the answer only repeated itself */
} glim_stop_reason;

typedef struct glim_usage {
    int64_t n_prompt;     /* tokens of the prompt */
    int64_t n_cached;     /* of them found in the session's cache */
    int64_t n_completion; /* sampled tokens, the stop token included */
    int64_t n_reasoning;  /* of them inside the thought */
    double prompt_ms;     /* prefill */
    double completion_ms; /* decode */
} glim_usage;

/* Natural logarithms of the model's own probabilities, before temperature, penalties and limits. */
typedef struct glim_logprob {
    int32_t id;
    float logprob;
    glim_str bytes; /* not always whole characters */
} glim_logprob;
typedef struct glim_token_logprobs {
    glim_logprob chosen;
    const glim_logprob *top; /* most probable first, the chosen one among them when it is */
    size_t n_top;
} glim_token_logprobs;

typedef enum glim_event_kind {
    GLIM_EV_PROGRESS,    /* prefill: n_done of n_total prompt tokens */
    GLIM_EV_REASONING,   /* text */
    GLIM_EV_CONTENT,     /* text */
    GLIM_EV_CALL_BEGIN,  /* i_call, id, name */
    GLIM_EV_CALL_ARG,    /* i_call; key, and text: the value as JSON */
    GLIM_EV_CALL_END,    /* i_call; text: the arguments as one JSON object */
    GLIM_EV_CALL_BROKEN, /* i_call; the announced call never closed; text: its raw bytes, which are
                            content (or reasoning, where in_reasoning says so) */
    GLIM_EV_LOGPROBS,    /* before a token's text, when asked for: logprobs, in_reasoning */
    GLIM_EV_STOP         /* reason, usage; always the last event of a generation that began */
} glim_event_kind;

/* text, key, id and name are borrowed until the callback returns; whole UTF-8 characters only. */
typedef struct glim_event {
    glim_event_kind kind;
    glim_str text;
    size_t i_call;
    glim_str id, name, key;
    bool in_reasoning;
    int64_t n_done, n_total;
    glim_stop_reason reason;
    glim_str stop_text; /* the stop string, or the stop token's text */
    const glim_usage *usage; /* so far; of a STOP all of it */
    const struct glim_token_logprobs *logprobs;
    const int32_t *ids; /* STOP: the tokens of the answer, stop tokens included; borrowed as text is */
    size_t n_id;
} glim_event;

/* Returns true to go on, false to cancel. Called on the thread that called glim_generate(). */
typedef bool (*glim_event_fn)(void *user, const glim_event *ev);

#ifdef __cplusplus
}
#endif
#endif
