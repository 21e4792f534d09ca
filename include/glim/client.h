/* SPDX-License-Identifier: MIT
 * client.h - models behind other people's servers: the Zhipu platform, OpenAI-compatible servers and Ollama, with the
 * requests and events of the local engine.
 *
 * A chat here takes the same glim_chat and glim_gen_opts and calls the same glim_event_fn as glim_generate(), so a program
 * swaps one for the other by one call. Calls block their caller's thread and may be made from any number of threads at
 * once; connections are kept and shared. A call can be cancelled from any thread, and by its callback.
 *
 *     glim_client *c;  glim_error e;
 *     if (glim_client_new(NULL, &c, &e)) fail(e.msg);                    // Zhipu, the key from the environment
 *     glim_client_ask ask;  glim_client_ask_init(&ask);
 *     ask.chat = chat;
 *     if (glim_client_chat(c, &ask, on_event, user, NULL, &e)) fail(e.msg);
 */
#ifndef GLIM_CLIENT_H
#define GLIM_CLIENT_H

#include "chat.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct glim_client glim_client;

/* ---- what goes wrong ---------------------------------------------------------------------------- */

/* The classes of the platform's own SDKs. */
typedef enum glim_fault {
    GLIM_FAULT_NONE,
    GLIM_FAULT_REQUEST,    /* 400: APIRequestFailedError */
    GLIM_FAULT_AUTH,       /* 401: APIAuthenticationError */
    GLIM_FAULT_LIMIT,      /* 429: APIReachLimitError */
    GLIM_FAULT_INTERNAL,   /* 500: APIInternalError */
    GLIM_FAULT_OVERLOADED, /* 503: APIServerFlowExceedError */
    GLIM_FAULT_STATUS,     /* any other status: APIStatusError */
    GLIM_FAULT_TIMEOUT,    /* APITimeoutError */
    GLIM_FAULT_CONNECTION, /* APIConnectionError */
    GLIM_FAULT_STREAM,     /* an error in the middle of a stream: APIResponseError */
    GLIM_FAULT_SHAPE,      /* the answer is not what it should be: APIResponseValidationError */
    GLIM_FAULT_LOCAL       /* nothing was sent, or nothing came of it here: cancelled, no memory, wrong input, disk */
} glim_fault;
/* "request", "auth", ...; never NULL. */
GLIM_API const char *glim_fault_name(glim_fault f);

/* What a call met; filled also when it succeeded (status, request_id, n_try). Texts are the server's, cut to fit, made safe to
 * print. A call of several requests (a wait, pages of a list) reports its last one, and counts all. */
typedef struct glim_client_report {
    glim_fault fault;
    int status;            /* HTTP; 0: none came */
    char code[64];         /* the server's own: "1302", "invalid_api_key"; "" none */
    char message[400];
    char request_id[129];
    int64_t retry_after_ms; /* how long the server asked to wait; -1: it did not say */
    int n_try;             /* requests that were sent for this call, redirected ones included */
} glim_client_report;

/* ---- a client ------------------------------------------------------------------------------------ */

typedef struct glim_client_opts {
    size_t size;          /* sizeof(glim_client_opts), set by init */
    const char *provider; /* "zhipu", "openai", "ollama"; NULL: zhipu */
    const char *base_url; /* NULL: the provider's environment variable, else its own address */
    const char *api_key;  /* NULL: from key_file, else from the provider's environment variables */
    const char *key_file; /* a file that only its owner may read, with the key in its first line; NULL: none */
    bool jwt;             /* Zhipu: sign a token with the key instead of sending the key */
    const char *model;    /* what calls that name no model take; NULL: the provider's own */
    double timeout_s;         /* of a try: for a whole answer; of a stream, an upload or a download: between two pieces; 300 */
    double connect_timeout_s; /* 8 */
    int n_retry;              /* tries after the first; 3. Never once a piece of the answer was delivered */
    int64_t retry_wait_max_ms; /* a Retry-After beyond it ends the call at once with what the server said; 60000 */
    const char *proxy;   /* NULL: from the environment, as curl does it; "": none */
    const char *ca_file; /* certificates to trust instead of the system's; certificates are always checked */
    uint64_t reply_max;  /* bytes of an answer that is kept in memory, or of one event of a stream; 64 MiB */
    /* Before each wait, on the calling thread; false gives up: the call ends with the error that why describes. May be NULL. */
    bool (*on_retry)(void *user, const glim_client_report *why, int64_t wait_ms);
    void *user;
} glim_client_opts;
GLIM_API void glim_client_opts_init(glim_client_opts *o);

/* opts NULL: defaults. Copies what it is given. Reads no network. Errors: INPUT (an option; a base URL that is no http or
 * https one; a key with characters no header may hold), NOTFOUND (no key where the provider needs one: names the
 * variables), IO (key_file: unreadable, or readable by others), NOMEM. Thread: any. */
GLIM_API GLIM_MUST_USE glim_err glim_client_new(const glim_client_opts *opts, glim_client **out,
                                                glim_error *e);
/* Every call must have returned. NULL is fine. */
GLIM_API void glim_client_free(glim_client *c);
GLIM_API const char *glim_client_provider(const glim_client *c); /* "zhipu" */
GLIM_API const char *glim_client_base_url(const glim_client *c);
/* "zhipu, openai, ollama" */
GLIM_API const char *glim_client_providers(void);

/* Something to cancel a call by. One may serve several calls, one after the other or at once. */
typedef struct glim_cancel glim_cancel;
GLIM_API glim_cancel *glim_cancel_new(void); /* NULL: out of memory */
GLIM_API void glim_cancel_free(glim_cancel *k); /* when no call has it any more */
GLIM_API void glim_cancel_now(glim_cancel *k);   /* Thread: any; safe in a signal handler */
GLIM_API void glim_cancel_reset(glim_cancel *k);

/* What every call may be given; NULL: nothing. */
typedef struct glim_call {
    glim_cancel *cancel;        /* NULL: cannot be cancelled from outside */
    glim_client_report *report; /* NULL: not wanted */
    const char *request_id;     /* sent along, to Zhipu in the body too: 6 to 64 visible ASCII characters (elsewhere 1 to
                                 * 128); NULL: the client makes one */
    double timeout_s;           /* 0: the client's */
} glim_call;

/* The error codes of all calls below: REMOTE (the server said no: report has the class, code and message), NETWORK (no
 * connection, or it broke), TIMEOUT, FORMAT (an answer that is not what it should be), LIMIT (an answer larger than
 * reply_max), INPUT (a request that the provider cannot take: which field), UNSUPPORTED (the provider has no such
 * thing), CANCELLED, NOMEM, IO (a file of ours). e->msg is one line with the server's text and its request id. */

/* ---- chat ---------------------------------------------------------------------------------------- */

typedef struct glim_client_ask {
    size_t size;       /* sizeof(glim_client_ask), set by init */
    const char *model; /* NULL: the client's */
    glim_chat chat;    /* tools of any type: a tool's json is sent as it is (web_search, retrieval, mcp). A user message with
                        * parts is sent as that list (images; each part the JSON text of its element) */
    glim_gen_opts gen; /* what is unset is not sent; what the provider cannot do is INPUT by name, not dropped */
    bool whole;        /* ask for the answer in one piece instead of a stream; the events are the same */
    bool json_object;  /* response_format json_object */
    glim_str meta;     /* JSON object of a role play (CharGLM): user_info, bot_info, bot_name, user_name; n 0: none */
    glim_str extra;    /* JSON object whose members are added to the request, beside what is set here; n 0: none */
    const char *user_id;
} glim_client_ask;
GLIM_API void glim_client_ask_init(glim_client_ask *a);

/* Answers a conversation. Events come on the calling thread as they arrive, the last is STOP; a call that fails ends without
 * one, and what came before stands. A callback that returns false cancels. fn NULL: nobody listens. Thread: any. */
GLIM_API GLIM_MUST_USE glim_err glim_client_chat(glim_client *c, const glim_client_ask *ask,
                                                 glim_event_fn fn, void *user,
                                                 const glim_call *call, glim_error *e);

/* ---- answers as JSON ----------------------------------------------------------------------------- */

/* The body of an answer; the caller owns it and ends it with glim_reply_free(). */
typedef struct glim_client_reply {
    int status;
    glim_str body; /* .p NUL-terminated */
    glim_str type; /* Content-Type, without parameters */
} glim_client_reply;
GLIM_API void glim_client_reply_free(glim_client_reply *r);

/* One part of a multipart form: text, or a file (path set). */
typedef struct glim_form_part {
    const char *name;
    glim_str text;
    const char *path; /* sent under its last name */
} glim_form_part;

/* Any other path of the server: adds the key, tries again, understands errors. path is relative to the base URL and begins
 * with "/". body: JSON, n 0: none; or form: n_form parts (POST). event: called with each event's data, or line of NDJSON, as it
 * comes (then out->body is ""; the closing [DONE] is not an event), NULL: the whole answer. The body of a good answer is not
 * judged. */
typedef struct glim_client_raw {
    const char *method, *path;
    glim_str body;
    const glim_form_part *form;
    size_t n_form;
    bool (*event)(void *user, glim_str data);
    void *user;
} glim_client_raw;
GLIM_API GLIM_MUST_USE glim_err glim_client_call(glim_client *c, const glim_client_raw *r,
                                                 const glim_call *call, glim_client_reply *out,
                                                 glim_error *e);

/* ---- embeddings, reranking ------------------------------------------------------------------------ */

/* The caller ends it with glim_vectors_free(). */
typedef struct glim_vectors {
    float *v; /* [n][n_dim] dense */
    size_t n, n_dim;
    int64_t n_token;
} glim_vectors;
GLIM_API void glim_vectors_free(glim_vectors *v);
/* n_dim 0: the model's own. */
GLIM_API GLIM_MUST_USE glim_err glim_client_embed(glim_client *c, const char *model,
                                                  const glim_str *texts, size_t n, int64_t n_dim,
                                                  const glim_call *call, glim_vectors *out,
                                                  glim_error *e);
typedef struct glim_ranked {
    size_t i_document;
    double score;
} glim_ranked;
/* out has room for n; the best come first; *n_out of them (top_n 0: all). */
GLIM_API GLIM_MUST_USE glim_err glim_client_rerank(glim_client *c, const char *model, glim_str query,
                                                   const glim_str *documents, size_t n, size_t top_n,
                                                   const glim_call *call, glim_ranked *out,
                                                   size_t *n_out, glim_error *e);

/* ---- tasks that take their time: asynchronous chat, images, videos --------------------------------- */

typedef enum glim_task_state { GLIM_TASK_RUNNING, GLIM_TASK_DONE, GLIM_TASK_FAILED } glim_task_state;
typedef struct glim_task_file {
    glim_str url, cover_url; /* cover_url n 0: none */
} glim_task_file;
/* The caller ends it with glim_task_free(). */
typedef struct glim_task {
    glim_str id, model;
    glim_task_state state;
    glim_task_file *files; /* of images and videos */
    size_t n_file;
    glim_str body;         /* the server's whole answer: of a chat its choices and usage */
    void *own;
} glim_task;
GLIM_API void glim_task_free(glim_task *t);

GLIM_API GLIM_MUST_USE glim_err glim_client_chat_later(glim_client *c, const glim_client_ask *ask,
                                                       const glim_call *call, glim_task *out,
                                                       glim_error *e);
/* kind "image" or "video"; fields: JSON object with prompt, size, quality ... as the platform has them (model may be left
 * out). An image is often DONE at once. */
GLIM_API GLIM_MUST_USE glim_err glim_client_generate(glim_client *c, const char *kind, glim_str fields,
                                                     const glim_call *call, glim_task *out,
                                                     glim_error *e);
GLIM_API GLIM_MUST_USE glim_err glim_client_task(glim_client *c, const char *id, const glim_call *call,
                                                 glim_task *out, glim_error *e);
/* Asks until the task is no longer running. progress (may be NULL) is called before each wait with the seconds so far; false
 * cancels. first_s: the first wait (2 when 0); waits grow to 10 s. Errors also: TIMEOUT after limit_s (0: none). */
GLIM_API GLIM_MUST_USE glim_err glim_client_wait(glim_client *c, const char *id, double first_s,
                                                 double limit_s,
                                                 bool (*progress)(void *user, double waited_s),
                                                 void *user, const glim_call *call, glim_task *out,
                                                 glim_error *e);
/* The address of a result to a file, which appears whole or not at all. The key is not sent. size_max: bytes, 0: 4 GiB.
 * progress may be NULL; total is 0 where the server does not say; a try after a broken one begins at 0 again. Redirects are
 * followed, never from https to http. Errors also: LIMIT, FORMAT (shorter than announced), IO. */
GLIM_API GLIM_MUST_USE glim_err glim_client_download(glim_client *c, const char *url, const char *path,
                                                     uint64_t size_max,
                                                     bool (*progress)(void *user, uint64_t done,
                                                                      uint64_t total),
                                                     void *user, const glim_call *call,
                                                     glim_error *e);

/* ---- files and batches ---------------------------------------------------------------------------- */

/* The caller ends it with glim_client_file_free(). */
typedef struct glim_client_file {
    char id[128], purpose[64];
    glim_str name; /* as the server has it: never to be used as a path */
    uint64_t bytes;
    int64_t created_s;
} glim_client_file;
GLIM_API void glim_client_file_free(glim_client_file *f);
GLIM_API GLIM_MUST_USE glim_err glim_client_upload(glim_client *c, const char *path, const char *purpose,
                                                   const glim_call *call, glim_client_file *out,
                                                   glim_error *e);
/* *out: n files, the caller ends each and glim_client_files_free()s the list. purpose NULL: all. */
GLIM_API GLIM_MUST_USE glim_err glim_client_files(glim_client *c, const char *purpose,
                                                  const glim_call *call, glim_client_file **out,
                                                  size_t *n, glim_error *e);
GLIM_API void glim_client_files_free(glim_client_file *f, size_t n);
GLIM_API GLIM_MUST_USE glim_err glim_client_file_delete(glim_client *c, const char *id,
                                                        const glim_call *call, glim_error *e);
/* The content of a file of the server to a path; as glim_client_download(), but with the key. */
GLIM_API GLIM_MUST_USE glim_err glim_client_file_content(glim_client *c, const char *id,
                                                         const char *path, const glim_call *call,
                                                         glim_error *e);

typedef struct glim_client_batch {
    char id[128], status[32]; /* "validating", "in_progress", "completed", "failed", ... */
    char input_file[128], output_file[128], error_file[128]; /* "" none */
    int64_t n_total, n_completed, n_failed;
    char message[256]; /* why all of it failed: the first of the reasons; "" none */
    bool over; /* nothing will change any more */
} glim_client_batch;
GLIM_API GLIM_MUST_USE glim_err glim_client_batch_new(glim_client *c, const char *input_file,
                                                      const char *endpoint, const glim_call *call,
                                                      glim_client_batch *out, glim_error *e);
GLIM_API GLIM_MUST_USE glim_err glim_client_batch_get(glim_client *c, const char *id,
                                                      const glim_call *call, glim_client_batch *out,
                                                      glim_error *e);
GLIM_API GLIM_MUST_USE glim_err glim_client_batch_cancel(glim_client *c, const char *id,
                                                         const glim_call *call,
                                                         glim_client_batch *out, glim_error *e);

/* ---- small ones ------------------------------------------------------------------------------------ */

/* Tokens of the prompt that a chat would be. */
GLIM_API GLIM_MUST_USE glim_err glim_client_count(glim_client *c, const glim_client_ask *ask,
                                                  const glim_call *call, int64_t *n_token,
                                                  glim_error *e);
/* The platform's answers as JSON text: {"search_result": [...]}; {"reader_result": {...}}. */
GLIM_API GLIM_MUST_USE glim_err glim_client_search(glim_client *c, const char *engine, glim_str query,
                                                   int64_t count, const glim_call *call,
                                                   glim_client_reply *out, glim_error *e);
GLIM_API GLIM_MUST_USE glim_err glim_client_read_page(glim_client *c, const char *url,
                                                      const glim_call *call,
                                                      glim_client_reply *out, glim_error *e);
/* Names of the models; the caller ends the list with glim_names_free(). */
typedef struct glim_names {
    glim_str *p;
    size_t n;
} glim_names;
GLIM_API void glim_names_free(glim_names *v);
GLIM_API GLIM_MUST_USE glim_err glim_client_models(glim_client *c, const glim_call *call,
                                                   glim_names *out, glim_error *e);

/* ---- history: a conversation that fits --------------------------------------------------------------- */

typedef struct glim_history glim_history;
/* Tokens of a text; NULL in new: estimated from what earlier replies reported. Thread: the caller's. */
typedef int64_t (*glim_count_fn)(void *user, glim_str text);
/* n_max: tokens that messages may have; 0: no limit. NULL: out of memory. */
GLIM_API glim_history *glim_history_new(int64_t n_max, glim_count_fn count, void *user);
GLIM_API void glim_history_free(glim_history *h);
/* Copies. System messages stay whatever is trimmed. Errors: NOMEM. */
GLIM_API GLIM_MUST_USE glim_err glim_history_add(glim_history *h, const glim_message *m, glim_error *e);
/* What the server counted for the messages so far (n_prompt) and for its answer. Call it before that answer is added. */
GLIM_API void glim_history_usage(glim_history *h, const glim_usage *u);
/* Drops the oldest turns (a question with its answers, calls and results) until the rest fits; the last turn stays. Returns
 * how many messages went. */
GLIM_API size_t glim_history_trim(glim_history *h);
/* Borrows until the history is changed. */
GLIM_API const glim_message *glim_history_messages(const glim_history *h, size_t *n);

#ifdef __cplusplus
}
#endif
#endif
