/* SPDX-License-Identifier: MIT
 * client_priv.h - what the files of room client share: addresses, providers, one request, one call with its tries. */
#ifndef GLIM_CLIENT_PRIV_H
#define GLIM_CLIENT_PRIV_H

#include "api/api.h"
#include "crypto/crypto.h"
#include "glim/client.h"

#include <pthread.h>
#include <stdatomic.h>

/* ---- url.c: addresses, strictly --------------------------------------------------------------- */

/* Views into the text that was read. */
typedef struct glim_url {
    bool tls;
    glim_str host; /* "[::1]" with its brackets */
    uint16_t port;
    glim_str path; /* with its query; "" or from "/" on */
} glim_url;
/* http and https, visible ASCII, no user, no fragment. what begins the message ("base_url"). Errors: INPUT. */
GLIM_MUST_USE glim_err glim_url_read(const char *what, glim_str text, glim_url *out, glim_error *e);
bool glim_url_same_origin(const glim_url *a, const glim_url *b);
bool glim_url_is_loopback(const glim_url *u);
/* A path below a base URL: from "/" on, visible ASCII, no fragment, no "." or ".." as a segment. Errors: INPUT. */
GLIM_MUST_USE glim_err glim_url_check_path(const char *path, glim_error *e);
/* An id that becomes a segment of a path: 1 to 127 letters, digits, "-", "_", ".", ":". Errors: INPUT. */
GLIM_MUST_USE glim_err glim_url_check_id(const char *what, glim_str id, glim_error *e);
/* s as the value of a query. The error stays in b. */
void glim_url_escape(glim_buf *b, glim_str s);

/* ---- cancel.c --------------------------------------------------------------------------------- */

bool glim_cancel_is(const glim_cancel *k); /* NULL: false. Thread: any */
int glim_cancel_fd(const glim_cancel *k);  /* readable once it is cancelled; NULL: -1 */
/* Errors: CANCELLED as soon as k is. */
GLIM_MUST_USE glim_err glim_cancel_wait(const glim_cancel *k, int64_t ms, glim_error *e);

/* ---- transport.c: one request over libcurl ----------------------------------------------------- */

typedef struct glim_header {
    const char *name;
    glim_str value; /* checked by whoever puts it in: no control bytes */
} glim_header;

/* Of an answer, as soon as its head is whole. */
typedef struct glim_got {
    int status; /* 0: none came */
    char type[128]; /* Content-Type in lower case, without parameters */
    int64_t length; /* -1: not announced */
    bool encoded;   /* a Content-Encoding that was not asked for */
    char request_id[129];
    int64_t retry_after_ms; /* -1: not said */
    glim_tristate should_retry;
    char *redirect; /* where a 3xx leads, absolute; glim_free() ends it; NULL: nowhere */
    bool may_heal;  /* of a failed transfer: another try may do better */
    bool cut;       /* the connection ended before the body did */
} glim_got;

typedef struct glim_send {
    const char *method, *url;
    const glim_header *headers;
    size_t n_header;
    bool has_body;
    glim_str body;
    const glim_form_part *form; /* instead of body */
    size_t n_form;
    double timeout_s;
    bool between; /* timeout_s is the longest silence, not the whole time */
    const glim_cancel *cancel;
    /* The head is whole; then the body, piece by piece. *enough: the rest does not count and is not waited for. An error ends
     * the transfer and becomes its own. */
    glim_err (*head)(void *user, const glim_got *got, glim_error *e);
    glim_err (*data)(void *user, glim_str bytes, bool *enough, glim_error *e);
    void *user;
} glim_send;

/* Idle connections, each with what libcurl needs to drive it. */
typedef struct glim_transport {
    pthread_mutex_t lock; /* guards idle and n_idle */
    struct glim_lane *idle;
    size_t n_idle;
    const char *proxy, *ca_file; /* borrowed; as in glim_client_opts */
    double connect_timeout_s;
} glim_transport;
void glim_transport_init(glim_transport *t);
void glim_transport_deinit(glim_transport *t); /* every transfer must be over */
/* Errors: NETWORK, TIMEOUT, CANCELLED, FORMAT (no HTTP), LIMIT (a head beyond 64 KiB), IO (a file of the form), INPUT (the
 * proxy), NOMEM, and what head and data gave. got is filled as far as it came. Thread: any. */
GLIM_MUST_USE glim_err glim_transport_send(glim_transport *t, const glim_send *s, glim_got *got,
                                           glim_error *e);

/* ---- retry.c: what is tried again, and when ----------------------------------------------------- */

/* Milliseconds that a Retry-After asks for: seconds, or a date of HTTP against now_s (Unix time). -1: it cannot be read. */
int64_t glim_retry_after(glim_str value, int64_t now_s);
/* Whether an answer of that status and code may be asked for again. */
bool glim_retry_status(int status, const char *code, glim_tristate should_retry);
/* How long before try i + 1 (i from 0): first * 2^i, at most 8 s, times 0.75 to 1 by random (0 to 1). after_ms above 0: that. */
int64_t glim_retry_wait(int64_t first_ms, int i, double random, int64_t after_ms);

/* ---- jwt.c --------------------------------------------------------------------------------------- */

/* Whether key has the form id.secret. */
bool glim_jwt_key(glim_str key);
/* Appends "Bearer TOKEN" made from id.secret, good for 210 s from now_ms (Unix time). out never grows by moving: it has room
 * for GLIM_JWT_MAX bytes or refuses. Errors: INPUT (the key's form), INTERNAL, LIMIT, NOMEM. */
#define GLIM_JWT_MAX 4096
GLIM_MUST_USE glim_err glim_jwt_bearer(glim_str key, int64_t now_ms, glim_buf *out, glim_error *e);

/* ---- providers ------------------------------------------------------------------------------------ */

typedef enum glim_op {
    GLIM_OP_CHAT,
    GLIM_OP_CHAT_LATER,
    GLIM_OP_EMBED,
    GLIM_OP_RERANK,
    GLIM_OP_COUNT_TOKENS,
    GLIM_OP_MODELS,
    GLIM_OP_IMAGE,
    GLIM_OP_VIDEO,
    GLIM_OP_TASK,
    GLIM_OP_FILES,
    GLIM_OP_BATCHES,
    GLIM_OP_SEARCH,
    GLIM_OP_READER,
    GLIM_OP_COUNT
} glim_op;

#define GLIM_HEADERS_MAX 16
typedef struct glim_headers {
    glim_header v[GLIM_HEADERS_MAX];
    size_t n;
} glim_headers;
void glim_headers_add(glim_headers *h, const char *name, glim_str value);

typedef struct glim_provider {
    const char *name;
    const char *base_url;                  /* its own address */
    const char *const *env_key, *const *env_url; /* the first that is set counts; NULL at the end */
    enum { GLIM_KEY_ALWAYS, GLIM_KEY_AT_HOME, GLIM_KEY_NEVER } key; /* where one is needed: at its own address only */
    bool jwt;                              /* takes tokens signed with the key */
    bool id_in_body;                       /* a caller's request id also goes into the body */
    size_t id_min, id_max;                 /* characters of a request id */
    int64_t wait_ms;                       /* before the second try */
    const glim_wire_dialect *wire;
    const char *path[GLIM_OP_COUNT];       /* NULL: it has no such thing */
    const char *model[GLIM_OP_COUNT];      /* its own, where a call names none; NULL: one must be named */
    const char *list_members[2];           /* of GET models: the list, and the name in each entry */
    const char *vectors;                   /* of embeddings: "data" (objects) or "embeddings" (lists) */
    size_t embed_max;                      /* texts in one request */
    /* The base URL in the form that is used, from what was set; NULL: as it is. Errors: NOMEM (in out). */
    void (*address)(const char *given, glim_buf *out);
    void (*headers)(const glim_client *c, glim_headers *h); /* beside the common ones; may be NULL */
} glim_provider;

#define PROVIDER(name) extern const glim_provider glim_provider_##name;
#include "client/providers.def"
#undef PROVIDER

struct glim_client {
    const glim_provider *p;
    char *base_url, *model, *proxy, *ca_file; /* model NULL: the provider's */
    glim_url base;                            /* views into base_url */
    char *key;                                /* NULL: none */
    char *bearer;                             /* "Bearer KEY"; NULL: none, or jwt */
    bool jwt;
    double timeout_s;
    int n_retry;
    int64_t retry_wait_max_ms;
    uint64_t reply_max;
    bool (*on_retry)(void *user, const glim_client_report *why, int64_t wait_ms);
    void *user;
    glim_transport transport;
    pthread_mutex_t lock; /* guards token, token_ms and rng */
    glim_buf token;       /* of a jwt client, as it is sent */
    int64_t token_ms;     /* when it was signed, glim_now_ns() in ms */
    glim_rng rng;
};

/* ---- call.c: one call with its tries ---------------------------------------------------------------- */

/* What is asked, and where the good answer goes. */
typedef struct glim_exchange {
    const char *method;
    glim_str path;   /* below the base URL, or .p NULL */
    const char *url; /* else a whole address, which gets no key */
    const char *accept;
    bool has_body;
    glim_str body; /* JSON */
    const glim_form_part *form;
    size_t n_form;
    bool between;
    /* Of an answer with status 2xx. begin: once a try, and what an earlier try left is forgotten; end: the body is whole. */
    glim_err (*begin)(void *user, const glim_got *got, glim_error *e);
    glim_err (*data)(void *user, glim_str bytes, bool *enough, glim_error *e);
    glim_err (*end)(void *user, glim_error *e);
    void *user;
    const bool *delivered;      /* true: something reached the caller, nothing is tried again; may be NULL */
    const glim_remote *remote;  /* filled by begin, data or end when they give REMOTE; may be NULL */
} glim_exchange;

/* Every public call begins and ends with these: the report is emptied, and says at the end what class the error is of. begin
 * returns where errors go: e, or own where e is NULL. Errors: INPUT (request_id, timeout_s). */
glim_error *glim_answer_begin(const glim_call *call, glim_error *e, glim_error *own);
glim_err glim_answer_end(const glim_call *call, glim_err rc, const glim_error *e);
/* Sends, follows, waits, tries again. call may be NULL. */
GLIM_MUST_USE glim_err glim_exchange_run(glim_client *c, const glim_exchange *x,
                                         const glim_call *call, glim_error *e);
/* The path of an operation; UNSUPPORTED by name when the provider has none. */
GLIM_MUST_USE glim_err glim_op_path(const glim_client *c, glim_op op, const char *name,
                                    glim_str *out, glim_error *e);
/* The model that a call takes: given, the client's, the provider's. Errors: INPUT (none). for chat the client's counts. */
GLIM_MUST_USE glim_err glim_op_model(const glim_client *c, glim_op op, const char *given,
                                     glim_str *out, glim_error *e);
bool glim_type_is_json(const char *type);

/* A parsed JSON answer. */
typedef struct glim_doc {
    glim_buf body;
    glim_arena *arena;
    const glim_json *root; /* an object */
} glim_doc;
void glim_doc_free(glim_doc *d);
/* Runs x (begin, data, end and user are set here) and reads the body as a JSON object. An object that only reports a failure
 * is REMOTE. Errors: FORMAT (no JSON, by type or by text), LIMIT, and those of glim_exchange_run(). On error *d is empty. */
GLIM_MUST_USE glim_err glim_doc_get(glim_client *c, glim_exchange *x, const glim_call *call,
                                    glim_doc *d, glim_error *e);
/* Runs x and keeps the body as it is. json: another type of body is FORMAT. Caller owns *out. */
GLIM_MUST_USE glim_err glim_reply_get(glim_client *c, glim_exchange *x, bool json,
                                      const glim_call *call, glim_client_reply *out, glim_error *e);
/* Text of a member that should be a text; n 0 when it is not there or something else. */
glim_str glim_member_str(const glim_json *v, const char *key);
int64_t glim_member_i64(const glim_json *v, const char *key); /* 0 when it is none */
/* Copies; .p NULL: out of memory. End with glim_free((void *)s.p). */
glim_str glim_str_keep(glim_str s);
/* Into a field of fixed size; what does not fit, or is no valid id, is FORMAT. */
GLIM_MUST_USE glim_err glim_member_id(const glim_json *v, const char *key, bool must, char *out,
                                      size_t n_out, glim_error *e);

/* ---- chat.c ------------------------------------------------------------------------------------------ */

/* The body of a chat request, checked to be JSON. fields: also for asynchronous chats and counting. */
GLIM_MUST_USE glim_err glim_chat_body(const glim_client *c, const glim_client_ask *ask, glim_op op,
                                      bool stream, const glim_call *call, glim_buf *out,
                                      glim_error *e);

#endif
