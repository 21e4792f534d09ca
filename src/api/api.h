/* SPDX-License-Identifier: MIT
 * api.h - the one header of room api: other people's JSON to and from chat.h's structs.
 * Knows keys and shapes; knows no socket, no token. */
#ifndef GLIM_API_ROOM_H
#define GLIM_API_ROOM_H

#include "glim/chat.h"
#include "json/json.h"

/* A decoded chat request. Memory is the arena's; strings may point into the source. */
typedef struct glim_chat_request {
    glim_chat chat;
    glim_gen_opts gen;      /* only what the request named is changed from the defaults */
    size_t n_unknown;       /* members that no table knows */
} glim_chat_request;

/* Decodes an OpenAI chat request object: messages, tools, tool_choice none, thinking in its spellings (thinking,
 * chat_template_kwargs, reasoning_effort, enable_thinking), sampling fields.
 * Clean-ups (models.md 3.1): null content is "", developer is system, function is tool, parts are joined,
 * arguments strings must hold a JSON object ("" is {}), empty tools are none.
 * Errors: INPUT with the field's path ("messages[2].content"), UNSUPPORTED by name (images and the like). */
GLIM_MUST_USE glim_err glim_openai_chat_decode(glim_arena *a, glim_str json, glim_chat_request *out, glim_error *e);
/* Only the array of messages, only the array of tools (files given on the command line). */
GLIM_MUST_USE glim_err glim_openai_messages_decode(glim_arena *a, const glim_json *v, glim_chat *out, glim_error *e);
GLIM_MUST_USE glim_err glim_openai_tools_decode(glim_arena *a, const glim_json *v, glim_chat *out, glim_error *e);

/* ---- problem.c: what can be wrong with a request, and how each dialect says it ---------------- */

typedef enum glim_problem_kind {
#define PROBLEM(id, status, openai_type, openai_code, zhipu_code) GLIM_PROBLEM_##id,
#include "api/problems.def"
#undef PROBLEM
    GLIM_PROBLEM_COUNT
} glim_problem_kind;

typedef struct glim_problem {
    glim_problem_kind kind;
    char param[128];      /* the field at fault, "" unknown: "messages", "tools[0].function.name" */
    char msg[512];        /* one line: what, where, cure; text of the client only through GLIM_QUOTE */
    int64_t retry_after_s; /* BUSY, LOADING, DRAINING: whole seconds, at least 1; else 0 */
    int64_t n_prompt, n_ctx; /* CONTEXT: both counts */
} glim_problem;

/* From an error of the json, text or engine room. INPUT and UNSUPPORTED become 400, CONTEXT, FULL (BUSY), NOMEM and
 * the rest what problems.def says; the path at the head of a message ("messages[2].content: ...") becomes param. */
void glim_problem_from(const glim_error *e, glim_problem *out);
void glim_problem_set(glim_problem *p, glim_problem_kind kind, const char *param, const char *fmt, ...) GLIM_PRINTF(4, 5);
int glim_problem_status(const glim_problem *p);
/* The same on Zhipu's mounts, whose clients have no class for 404: an unknown model is 400. */
int glim_problem_status_zhipu(const glim_problem *p);
bool glim_problem_retry(const glim_problem *p); /* false: x-should-retry: false */

/* ---- dialects: one decoded request, one event stream, many spellings -------------------------- */

/* One of: text; ids; parts, which are text or ids themselves and follow each other (llama-server). */
typedef struct glim_raw_prompt {
    glim_str text; /* .p NULL: ids or parts */
    const int32_t *ids;
    size_t n_id;
    const struct glim_raw_prompt *parts;
    size_t n_part;
} glim_raw_prompt;

typedef struct glim_id_list {
    const int32_t *ids;
    size_t n;
} glim_id_list;

/* What every generating dialect decodes to. Memory is the arena's; strings may point into the body. */
typedef struct glim_request {
    glim_str model; /* as it was asked for, "" where none was */
    bool raw;       /* prompts, no template; else chat */
    glim_chat chat;
    const glim_raw_prompt *prompts; /* raw: at least one */
    size_t n_prompt;
    glim_gen_opts gen;
    int64_t n;          /* choices of each prompt, 1 to 128 */
    bool stream;
    bool include_usage; /* a last chunk with usage (OpenAI) */
    bool continuous_usage; /* usage in every chunk (SGLang) */
    bool tool_stream;   /* arguments of a call go out piece by piece; else one delta a call */
    bool inline_reasoning; /* separate_reasoning false: the thought stays in content, with its tags */
    bool hold_reasoning;   /* stream_reasoning false: one delta at the end of the thought */
    bool echo;          /* raw: the prompt's text comes first */
    bool logprobs;      /* gen.n_logprob says how many alternatives */
    bool want_ids;      /* STOP brings the answer's tokens, info the prompts' */
    glim_id_list context;   /* chat: tokens of the conversation before, which the rendered chat follows (Ollama) */
    /* Nothing is generated: the dialect's instead() is the answer (Ollama: an empty prompt loads a model). */
    bool instead;
    bool unload;        /* the model may go when this is answered (Ollama's keep_alive 0) */
    const void *own;    /* what only this dialect's replies read */
    glim_str request_id, user_id; /* "" not given */
    const glim_str *notes; /* names of fields that were accepted and have no effect, for the debug log */
    size_t n_note;
    size_t n_unknown;
} glim_request;

/* What the server knows when a reply begins. Borrowed until the reply is freed. */
typedef struct glim_reply_info {
    glim_str id;         /* 24 hexadecimal digits, without a prefix */
    glim_str request_id; /* of this exchange; never empty */
    glim_str model;      /* the name to echo */
    int64_t created_s;   /* Unix time */
    glim_str fingerprint;
    bool zhipu_usage;    /* the client is a Zhipu SDK: usage on the finish chunk, also on /v1 */
    const glim_str *prompt_texts; /* echo: text of each prompt; else NULL */
    const glim_id_list *prompt_ids;   /* want_ids: tokens of each prompt; else NULL */
    uint64_t t0_ns;      /* glim_now_ns() when the request's head was in; for durations */
    int64_t n_ctx;
    float temperature, top_p, min_p; /* what the model takes where the request said nothing */
    int32_t top_k;
} glim_reply_info;

typedef struct glim_reply glim_reply;
typedef struct glim_dialect glim_dialect;
struct glim_dialect {
    const char *name;         /* "openai_chat" */
    const char *stream_type;  /* Content-Type of a stream */
    /* Body to request. Errors: p is filled and returned code is not OK. Thread: any, pure. */
    glim_err (*decode)(glim_arena *a, glim_str body, glim_request *out, glim_problem *p);
    /* Borrows rq and info until reply_free. NULL: out of memory. One thread at a time. */
    glim_reply *(*reply_new)(const glim_request *rq, const glim_reply_info *info);
    void (*reply_free)(glim_reply *r);
    /* Takes one event of choice i (choice = prompt * n + k). When streaming, the bytes to send now are appended to
     * out (often none); else the event is kept. PROGRESS events are ignored. Errors: NOMEM, LIMIT. */
    glim_err (*event)(glim_reply *r, size_t i_choice, const glim_event *ev, glim_buf *out);
    /* Bytes that keep a silent stream alive without meaning: a comment (glim_sse_keepalive), or a whole empty object
     * where clients parse every line. */
    glim_err (*keepalive)(glim_reply *r, glim_buf *out);
    /* The whole body where nothing is generated; NULL where no request asks for that. */
    glim_err (*instead)(const glim_request *rq, const glim_reply_info *info, glim_buf *out);
    /* After the STOP of every choice: the end of the stream, or the whole body. */
    glim_err (*end)(glim_reply *r, glim_buf *out);
    /* An error: as a whole body, or as the last thing in a stream that has begun. */
    glim_err (*problem)(const glim_problem *p, glim_str request_id, glim_buf *out);
    glim_err (*stream_problem)(const glim_problem *p, glim_str request_id, glim_buf *out);
    int (*status)(const glim_problem *p); /* HTTP status of a problem on this mount */
};

glim_err glim_sse_keepalive(glim_reply *r, glim_buf *out);

extern const glim_dialect glim_dialect_openai_chat, glim_dialect_openai_completions, glim_dialect_zhipu_chat;
extern const glim_dialect glim_dialect_ollama_chat, glim_dialect_ollama_generate; /* ollama_*.c */
extern const glim_dialect glim_dialect_llama_completion;  /* llama-server's POST /completion */
extern const glim_dialect glim_dialect_sglang_generate;   /* SGLang's POST /generate */
extern const glim_dialect glim_dialect_sglang_health;     /* /health_generate: one token, the body does not count */
extern const glim_dialect glim_dialect_legacy_chat;       /* the FastAPI server's POST /chat */
extern const glim_dialect glim_dialect_npu_infer;         /* POST /api/npu/infer */

/* Only the error shapes, for routes that generate nothing. */
typedef glim_err (*glim_problem_fn)(const glim_problem *p, glim_str request_id, glim_buf *out);
glim_err glim_problem_openai(const glim_problem *p, glim_str request_id, glim_buf *out);
glim_err glim_problem_zhipu(const glim_problem *p, glim_str request_id, glim_buf *out);
glim_err glim_problem_llama(const glim_problem *p, glim_str request_id, glim_buf *out); /* code as a number */
glim_err glim_problem_ollama(const glim_problem *p, glim_str request_id, glim_buf *out); /* {"error":"text"} */
glim_err glim_problem_npu(const glim_problem *p, glim_str request_id, glim_buf *out); /* {"success":false,"detail":"text"} */
/* The HTTP status that goes with a shape. */
int glim_problem_status_of(glim_problem_fn shape, const glim_problem *p);

/* Usage and reason of a finished choice, for logs and counters. */
const char *glim_finish_name(glim_stop_reason r, bool called, bool zhipu); /* "stop", "length", "tool_calls", ... */

/* ---- models.c, text_routes.c: bodies of the routes that generate nothing ----------------------- */

typedef enum glim_api_kind { GLIM_API_CHAT, GLIM_API_EMBEDDING, GLIM_API_RERANK } glim_api_kind;
typedef struct glim_api_model {
    glim_str id;
    glim_api_kind kind;
    bool loaded; /* its weights are in memory now; others come when they are asked for */
    int64_t created_s;
    int64_t n_ctx, n_ctx_train;
    uint64_t n_param, size_bytes;
    const struct glim_model_facts *facts; /* Ollama's and SGLang's routes only; may be NULL elsewhere */
} glim_api_model;
/* What a model file says of itself. Strings may be "". */
typedef struct glim_model_facts {
    int64_t modified_s;   /* of the file, Unix time */
    char digest[65];      /* 64 hexadecimal digits from header, size and time; never a hash over the file */
    glim_str format;      /* "gguf", "safetensors" */
    glim_str arch, quant; /* "deepseek2", "Q4_K_M" */
    glim_str path;        /* as it was given */
    glim_str license;     /* the name of it */
    glim_str template_name, template_text;
    int64_t n_layer, n_embd, n_head, n_vocab, n_expert, n_expert_used;
    float temperature, top_p, min_p;
    int32_t top_k;
} glim_model_facts;
glim_err glim_models_encode(const glim_api_model *m, size_t n, glim_buf *out);
glim_err glim_model_encode(const glim_api_model *m, glim_buf *out);

/* POST /tokenize in its readings; the body's keys tell which. */
typedef enum glim_tokenize_kind {
    GLIM_TOKENIZE_LLAMA,  /* {content, add_special, parse_special, with_pieces} -> {tokens} */
    GLIM_TOKENIZE_SGLANG, /* {model, prompt or messages, add_special_tokens} -> {tokens, count, max_model_len} */
    GLIM_TOKENIZE_LEGACY, /* {prompt, max_tokens} -> {tokenIds, tokens, model, object} */
    GLIM_TOKENIZE_ZHIPU   /* its own path: {model, messages, tools} -> {id, created, request_id, usage} */
} glim_tokenize_kind;
typedef struct glim_tokenize_request {
    glim_tokenize_kind kind;
    glim_str model, request_id;
    bool is_chat;        /* messages: render chat */
    glim_chat chat;
    const glim_str *texts; /* else these; several only where the reading has them */
    size_t n_text;
    bool is_list;
    bool parse_special, with_pieces;
    int64_t n_max; /* legacy: cut after; -1: all */
} glim_tokenize_request;
glim_err glim_tokenize_decode(glim_arena *a, glim_str body, bool zhipu, glim_tokenize_request *out, glim_problem *p);
typedef struct glim_tokenized {
    const int32_t *ids;
    const glim_str *pieces; /* bytes of each token, n of them; valid text is the encoder's affair */
    size_t n;
} glim_tokenized;
glim_err glim_tokenize_encode(const glim_tokenize_request *rq, const glim_reply_info *info, int64_t n_ctx,
                              const glim_tokenized *t, size_t n, glim_buf *out);
/* {tokens: [ids]} (llama-server and SGLang, which adds model): -> {content} or {text}, as the keys tell. */
typedef struct glim_detokenize_request {
    bool sglang;
    glim_str model; /* "" when absent */
    const int32_t *ids;
    size_t n;
} glim_detokenize_request;
glim_err glim_detokenize_decode(glim_arena *a, glim_str body, glim_detokenize_request *out, glim_problem *p);
glim_err glim_detokenize_encode(const glim_detokenize_request *rq, glim_str text, glim_buf *out);
/* POST /apply-template -> {prompt}. The body is an OpenAI chat request: decode it with that dialect. */
glim_err glim_template_encode(glim_str prompt, glim_buf *out);
/* Zhipu asynchronous chat: {id, request_id, model, task_status}; a finished one is the chat's body with task_status. */
glim_err glim_async_encode(const glim_reply_info *info, const char *task_status, glim_str chat_body, glim_buf *out);

/* ---- embed.c, rerank.c, keyword.c: encoders over HTTP, one request in many spellings ------------ */

typedef enum glim_embed_kind {
    GLIM_EMBED_OPENAI,     /* /v1/embeddings: {input, model, dimensions, encoding_format, user} */
    GLIM_EMBED_ZHIPU,      /* Zhipu's mounts: the same, usage with completion_tokens 0 */
    GLIM_EMBED_LEGACY,     /* /embedding {model, prompt: [text]} -> {data: [[...]], model, object: "embedding"} */
    GLIM_EMBED_LLAMA,      /* /embedding {content} or {input} -> [{index, embedding: [[...]]}] */
    GLIM_EMBED_OLLAMA,     /* /api/embed {model, input, truncate, dimensions, options, keep_alive} -> {model, embeddings, ...} */
    GLIM_EMBED_OLLAMA_OLD  /* /api/embeddings {model, prompt} -> {embedding}, not normalised */
} glim_embed_kind;
typedef struct glim_embed_request {
    glim_embed_kind kind;
    glim_str model, request_id, user_id; /* "" not given */
    const glim_raw_prompt *inputs;       /* text or ids each */
    size_t n_input;                      /* at most GLIM_EMBED_INPUTS_MAX; 0 only where instead is */
    bool base64;                         /* vectors as base64 of little-endian f32 */
    bool truncate;                       /* cut what is too long; else refuse it */
    bool normalize;                      /* to length 1; false: the model's own */
    int64_t n_dim;                       /* first elements to keep; 0: all */
    bool instead;   /* nothing to compute (Ollama: no input loads the model): an answer without vectors */
    bool unload;    /* Ollama's keep_alive 0 */
    const glim_str *notes; /* as in glim_request */
    size_t n_note, n_unknown;
} glim_embed_request;
#define GLIM_EMBED_INPUTS_MAX 2048
glim_err glim_embed_decode(glim_arena *a, glim_str body, glim_embed_kind kind, glim_embed_request *out, glim_problem *p);
typedef struct glim_embed_result {
    const float *vectors; /* [n_input][n_dim] dense */
    int64_t n_dim;
    int64_t n_token;      /* of all inputs, the model's own first and last ones included */
    uint64_t load_ns, total_ns;
} glim_embed_result;
/* The whole body. Vectors are written with as many digits as bring the f32 back. */
glim_err glim_embed_encode(const glim_embed_request *rq, const glim_reply_info *info, const glim_embed_result *r,
                           glim_buf *out);

typedef enum glim_rerank_kind {
    GLIM_RERANK_JINA,  /* /v1/rerank, /rerank, /reranking: {model, query, documents, top_n, return_documents} */
    GLIM_RERANK_ZHIPU  /* Zhipu's mounts: also return_raw_scores, request_id */
} glim_rerank_kind;
typedef struct glim_rerank_request {
    glim_rerank_kind kind;
    glim_str model, request_id, user_id, query;
    const glim_str *documents;  /* the text of each */
    const glim_str *sources;    /* JSON text of each that came as an object, for return_documents; else .p NULL */
    size_t n_document;          /* 1 to GLIM_EMBED_INPUTS_MAX */
    int64_t top_n;              /* results wanted; -1: all */
    bool return_documents, raw_scores, truncate;
    const glim_str *notes;
    size_t n_note, n_unknown;
} glim_rerank_request;
glim_err glim_rerank_decode(glim_arena *a, glim_str body, glim_rerank_kind kind, glim_rerank_request *out, glim_problem *p);
typedef struct glim_rerank_result {
    const double *scores; /* [n_document] 0 to 1 */
    const float *logits;  /* [n_document] */
    int64_t n_token;
} glim_rerank_result;
/* Sorted by score, descending, of equal ones the earlier document. a: for sorting. */
glim_err glim_rerank_encode(glim_arena *a, const glim_rerank_request *rq, const glim_reply_info *info,
                            const glim_rerank_result *r, glim_buf *out);

#define GLIM_KEYWORD_VOCAB_MAX 16384
/* POST /keyword {input, model, vocab, top, mmr, maxsum, diversity} -> {model, keywords: [{name, similarity}]} */
typedef struct glim_keyword_request {
    glim_str model, input;
    const glim_str *vocab;
    size_t n_vocab; /* 0: candidates are the text's own words */
    int64_t top;    /* at least 1; 10 */
    bool mmr, maxsum;
    double diversity; /* 0 to 1; 0.3 */
    size_t n_unknown;
} glim_keyword_request;
glim_err glim_keyword_decode(glim_arena *a, glim_str body, glim_keyword_request *out, glim_problem *p);
typedef struct glim_keyword_hit {
    glim_str word;
    double similarity; /* written with 4 places */
} glim_keyword_hit;
glim_err glim_keyword_encode(glim_str model, const glim_keyword_hit *k, size_t n, glim_buf *out);

/* ---- ask_*.c, hear_*.c: the other direction, requests to other servers and what they answer ------ */

/* A chat as a client asks it. Borrowed by everything below. */
typedef struct glim_ask {
    glim_str model;           /* "": only OpenAI-like servers do without */
    const glim_chat *chat;
    const glim_gen_opts *gen; /* NULL: nothing is set */
    bool stream, json_object;
    glim_str meta, extra; /* JSON objects, checked; n 0: none. Ollama: options in extra join those that are set */
    glim_str user_id, request_id; /* request_id is in the body only where the wire has it there (Zhipu) */
} glim_ask;

/* What a body says went wrong, in any of the shapes: {"error": {"code", "message"}}, {"error": "text"}, {"code", "msg"},
 * {"object": "error"}, {"detail"}, {"message": "text"}. False: it says nothing of the kind. Texts are one line, cut and made
 * safe to print; a code that is a number is as it was written. */
typedef struct glim_remote {
    char code[64], message[400], request_id[129];
} glim_remote;
bool glim_remote_read(glim_str body, glim_remote *out);

/* Turns pieces of a reply into the engine's events. */
typedef struct glim_hear glim_hear;
typedef struct glim_wire_dialect {
    const char *name;
    bool lines; /* a stream is NDJSON, not server-sent events */
    /* Appends the body. Errors: INPUT (what this wire cannot say: which field), NOMEM. */
    glim_err (*ask)(const glim_ask *a, glim_buf *out, glim_error *e);
    /* NULL: out of memory. fn's false is remembered and ends the feeding with CANCELLED. */
    glim_hear *(*hear_new)(const glim_ask *a, glim_event_fn fn, void *user);
    /* One event's data of a stream, or the whole body (whole). *over: nothing follows that counts; what is given yet is passed
     * over. Errors: FORMAT (not what it should be: path and what), REMOTE (the server reports a failure, also as a reason to
     * finish: "sensitive", "network_error"; remote is filled), CANCELLED, NOMEM; what failed stays failed. Events: REASONING,
     * CONTENT, LOGPROBS where gen asks for them (token ids are -1), and of calls CALL_BEGIN, then CALL_END or CALL_BROKEN,
     * one call after the other. */
    glim_err (*hear)(glim_hear *h, glim_str json, bool whole, bool *over, glim_remote *remote, glim_error *e);
    /* After the last piece: broken-off calls, then STOP, whose usage is there even where the server sent none. Errors: FORMAT
     * (the stream ended in the middle: then no STOP), CANCELLED, NOMEM, or what failed before. */
    glim_err (*hear_end)(glim_hear *h, glim_error *e);
    void (*hear_free)(glim_hear *h);
} glim_wire_dialect;
extern const glim_wire_dialect glim_wire_openai, glim_wire_zhipu, glim_wire_ollama;

/* ---- frames.c: a stream of bytes to whole events, cut anywhere ----------------------------------- */

typedef struct glim_frames glim_frames;
/* name: the event's ("" none); data: its data lines joined, or the line of an NDJSON stream. false stops: the feeding fails with
 * CANCELLED, so an error of fn's own is kept apart from it. */
typedef bool (*glim_frame_fn)(void *user, glim_str name, glim_str data);
glim_frames *glim_frames_new(bool lines, size_t event_max, glim_frame_fn fn, void *user); /* NULL: out of memory */
void glim_frames_free(glim_frames *f);
/* Errors: LIMIT (an event larger than event_max), FORMAT (NUL bytes; invalid UTF-8), CANCELLED (fn said so), NOMEM. */
GLIM_MUST_USE glim_err glim_frames_feed(glim_frames *f, glim_str bytes, glim_error *e);
/* The end of the stream. An event that was not closed by a blank line is lost, as the specification has it; *cut says that
 * there was one. A last line of NDJSON needs no line end: fn gets it. Errors: as feeding. */
GLIM_MUST_USE glim_err glim_frames_end(glim_frames *f, bool *cut, glim_error *e);

/* ---- ollama_info.c: what Ollama's clients ask beside generating -------------------------------- */

#define GLIM_OLLAMA_VERSION "0.17.1" /* of the API that is spoken; clients want at least 0.14.3 */
glim_err glim_ollama_tags_encode(const glim_api_model *m, size_t n, glim_buf *out);
/* Those of m that are loaded; expires_at lies far ahead: a model given by -m stays. */
glim_err glim_ollama_ps_encode(const glim_api_model *m, size_t n, int64_t now_s, glim_buf *out);
/* {model or name, verbose}: out is the name. Also for /api/pull (stream: NULL where the route has none). */
glim_err glim_ollama_name_decode(glim_arena *a, glim_str body, glim_str *model, bool *verbose, bool *stream, glim_problem *p);
glim_err glim_ollama_show_encode(const glim_api_model *m, bool verbose, glim_buf *out);
/* A pull of what is there: one {"status":"success"}, as a stream the lines that lead to it. */
glim_err glim_ollama_pull_encode(bool stream, const glim_api_model *m, glim_buf *out);

/* ---- habit_info.c: the same for the FastAPI server and SGLang ----------------------------------- */

glim_err glim_legacy_models_encode(const glim_api_model *m, size_t n, glim_buf *out);
glim_err glim_sglang_model_info_encode(const glim_api_model *m, glim_buf *out); /* /get_model_info */
/* POST /embedding: whether the body is llama-server's ({content} or {input}) and not the FastAPI server's; the shape of its
 * refusal follows. A body that is neither is the FastAPI server's. */
bool glim_embedding_is_llama(glim_arena *a, glim_str body);

#endif
