/* SPDX-License-Identifier: MIT
 * server_priv.h - what the files of room server share: the server, a route, an exchange. */
#ifndef GLIM_SERVER_PRIV_H
#define GLIM_SERVER_PRIV_H

#include "api/api.h"
#include "server/auth.h"
#include "server/encode.h"
#include "server/http.h"
#include "server/hub.h"
#include "server/limits.h"
#include "server/metrics.h"
#include "server/notify.h"
#include "server/server.h"
#include "server/trace.h"

#include <pthread.h>
#include <stdatomic.h>

typedef struct glim_exchange glim_exchange;

/* ---- router.c -------------------------------------------------------------------------------- */

typedef enum glim_where { GLIM_ON_IO, GLIM_ON_PREP } glim_where;
enum { GLIM_ROUTE_KEY = 1, GLIM_ROUTE_READY = 2 };

typedef struct glim_route {
    unsigned methods;    /* bits 1 << glim_method */
    const char *pattern; /* "*" at its end: any rest, which is the handler's argument */
    /* Answers, or begins to. IO: replies at once. PREP: glim_exchange_answer() or glim_exchange_submit(). */
    void (*handler)(glim_exchange *x);
    glim_where where;
    unsigned flags;
    const glim_dialect *dialect;
    glim_problem_fn shape;
} glim_route;
/* The row of a path and method. NULL: no such path (problem NO_PATH) or *allowed holds the methods it has (METHOD).
 * shape is filled in any case. */
const glim_route *glim_route_find(glim_method m, glim_str path, glim_str *rest, unsigned *allowed, glim_problem_fn *shape);
size_t glim_route_index(const glim_route *r); /* for metrics; beyond the rows: no path of ours */
const char *const *glim_route_patterns(size_t *n); /* in the order of these indices */
/* What stands for a path that has no row. */
const glim_route *glim_route_none(glim_problem_fn shape);
/* "GET, HEAD, POST" */
void glim_route_methods(unsigned methods, glim_buf *out);

/* ---- prep.c: workers for JSON and text -------------------------------------------------------- */

typedef struct glim_prep glim_prep;
GLIM_MUST_USE glim_err glim_prep_new(int n_thread, glim_prep **out, glim_error *e);
/* Runs what was queued, then ends the threads. */
void glim_prep_free(glim_prep *p);
/* Calls x's handler, or x->step where that is set, on a worker; holds a reference meanwhile. An exchange is in one queue at
 * a time. Thread: any that has x to itself. */
void glim_prep_push(glim_prep *p, glim_exchange *x);

/* ---- async.c: results that are fetched later --------------------------------------------------- */

typedef struct glim_async glim_async;
glim_async *glim_async_new(void);
void glim_async_free(glim_async *a);
/* A task that has begun; false: 10,000 are kept already and none is old enough to go. Copies. */
bool glim_async_begin(glim_async *a, glim_str id, glim_str key, glim_str request_id, glim_str model);
/* Its end: the chat's body, or a problem (then ok is false). Copies. Thread: any. */
void glim_async_end(glim_async *a, glim_str id, bool ok, glim_str body);
/* Writes the body of the answer; false: no such task of this key. Thread: any. */
bool glim_async_get(glim_async *a, glim_str id, glim_str key, glim_buf *out);

/* ---- server.c ---------------------------------------------------------------------------------- */

typedef enum glim_phase { GLIM_LOADING, GLIM_SERVING, GLIM_DRAINING } glim_phase;

struct glim_server {
    glim_server_opts o;
    glim_http *http;
    glim_auth *auth;
    glim_prep *prep;
    glim_async *async;
    glim_metrics *metrics;
    glim_limits *limits;
    glim_hub *hub;
    glim_encode_queue *encode;
    atomic_int phase;
    atomic_int n_stop;  /* times a stop was asked for */
    atomic_int n_reload;
    atomic_bool opened; /* the first model is there: from now on loads are for those who came in before the draining */
    atomic_bool ending; /* the loop is over: a load that goes on would be for nobody */
    bool inherited; /* the listening sockets were opened by somebody else */
    uint64_t watchdog_ns, t_watchdog_ns; /* 0: nobody waits for a word */
    uint64_t drain_from_ns;
    pthread_t loader;
    char fingerprint[32];
    glim_err load_rc;
    glim_error load_error;
    glim_exchange *streams; /* open exchanges that wait for events; I/O thread */
};
/* cors.c: for every answer, and what more the answer to OPTIONS says. */
void glim_cors_headers(const glim_server *s, glim_str origin, glim_buf *out);
void glim_cors_preflight(const glim_server *s, const glim_http_req *rq, glim_buf *out);

/* ---- exchange.c: one request and its answer ---------------------------------------------------- */

typedef struct glim_note glim_note;
typedef struct glim_choice {
    glim_exchange *x;
    size_t i;
    glim_job *job;
    glim_note *end; /* made beforehand: a job that is over must be able to say so */
    uint64_t t_last_ns; /* of the last piece of text; engine thread */
    bool begun;         /* the prefill has; engine thread */
    glim_usage usage;   /* I/O thread, after STOP */
    glim_stop_reason reason;
    bool called, over;
} glim_choice;

struct glim_exchange {
    glim_server *s;
    const glim_route *route;
    glim_problem_fn shape; /* the route's, unless the body tells a client of another kind */
    glim_http_req *rq; /* I/O thread only; NULL once over there */
    atomic_int n_ref;
    glim_arena *arena;
    glim_str body, rest, query, request_id, peer, origin; /* origin: .p NULL without one */
    char key_id[9];
    glim_limit limit; /* of the key */
    bool limited;     /* counted there; I/O thread */
    char trace_id[33], span_id[17]; /* of the caller's traceparent, "" without a valid one */
    unsigned allowed; /* methods to name in the reply; 0: none */
    bool preflight;   /* OPTIONS, answered on the I/O thread */
    bool zhipu_client, is_async; /* is_async: the answer is fetched later, whoever goes away */
    uint64_t t0_ns;
    glim_exchange *next_work;       /* in a worker's queue */
    void (*step)(glim_exchange *x); /* what a worker does next; NULL: the route's handler */
    glim_hub_wait wait;
    glim_host *host; /* the model that answers; held until the exchange is freed */

    /* Filled by the worker before the I/O thread looks at it. */
    bool decoded; /* the body was: a handler that waited for its model begins anew */
    glim_request req;
    void *own; /* a handler's own, in the arena */
    glim_reply_info info;
    char id[25];
    char request_id_made[32];
    glim_reply *reply;
    glim_choice *choices;
    size_t n_choice;
    int status; /* of an answer without jobs */
    int64_t n_encoded; /* tokens that an encoder read */
    size_t n_cut;      /* inputs that were longer than the model reads; said in a header */
    const char *type;
    glim_buf out, ack;
    glim_problem problem;
    bool has_problem;

    pthread_mutex_t lock; /* guards what follows */
    glim_note *first, **last;
    size_t waiting_bytes;
    bool posted, gone, submitted, paused;

    /* I/O thread only */
    bool working; /* a worker has it: its fields above are not to be read */
    bool begun, finished, blocked, listed, logged;
    size_t n_over;
    uint64_t t_sent_ns, t_first_ns;
    glim_exchange *next_stream, **at_stream;
    int status_sent;
};

/* On the I/O thread when a head is in; NULL: no memory. Copies what it needs of rq. */
glim_exchange *glim_exchange_new(glim_server *s, glim_http_req *rq, const glim_route *r, glim_str rest);
/* I/O thread, when the body is in: copies it, for the socket's memory may go first. */
void glim_exchange_take_body(glim_exchange *x, const glim_http_req *rq);
/* A copy in x's arena, NUL-terminated; "" when memory ran out. */
glim_str glim_exchange_keep(glim_exchange *x, glim_str s);
void glim_exchange_ref(glim_exchange *x);
void glim_exchange_unref(glim_exchange *x);
/* I/O thread: sends x->out (or x->problem) now. */
void glim_exchange_send(glim_exchange *x);
/* Worker: the answer is in x->out or x->problem; it is sent from the I/O thread. */
void glim_exchange_answer(glim_exchange *x);
/* Worker: x->ack is sent; the task goes on. */
void glim_exchange_ack(glim_exchange *x);
/* Worker: hands n jobs to the engine; their events become the answer. On failure x->problem is set and answered. */
void glim_exchange_submit(glim_exchange *x, glim_job_input *in, size_t n);
/* I/O thread: the client is gone; the exchange is over; room in the socket. */
void glim_exchange_gone(glim_exchange *x);
void glim_exchange_done(glim_exchange *x);
void glim_exchange_room(glim_exchange *x);
/* I/O thread, now and then: keeps silent streams alive. */
void glim_exchange_tick(glim_server *s);
void glim_exchange_fail(glim_exchange *x, glim_problem_kind kind, const char *param, const char *fmt, ...)
    GLIM_PRINTF(4, 5);
/* The problem that an error of the engine is; false. */
bool glim_exchange_refuse(glim_exchange *x, const glim_error *e);
/* The model of a kind that name means becomes x->host. False: the handler returns and does no more; a refusal was
 * answered, or the exchange waits for the model and its handler is called again. Thread: a worker. */
bool glim_exchange_take_model(glim_exchange *x, glim_str name, glim_model_kind kind);
/* The first model of a kind becomes x->host if it is in memory; sets the problem where not. Thread: any. */
bool glim_exchange_hold_first(glim_exchange *x, glim_model_kind kind);
/* The list's entry of that name, of any kind; sets the problem where there is none. Thread: any. */
bool glim_exchange_entry(glim_exchange *x, glim_str name, glim_api_model *out);
/* All names with their models, in x's arena; sets the problem where memory ran out. Thread: any. */
bool glim_exchange_list(glim_exchange *x, glim_api_model **m, size_t *n);
/* Headers of a reply with this problem (NULL: none) into out. */
void glim_exchange_headers(const glim_exchange *x, const glim_problem *p, glim_buf *out);

/* ---- h_*.c ------------------------------------------------------------------------------------- */

void glim_h_generate(glim_exchange *x);
void glim_h_async(glim_exchange *x);
void glim_h_async_get(glim_exchange *x);
void glim_h_cloud_only(glim_exchange *x);
void glim_h_tokenize(glim_exchange *x);
void glim_h_tokenizer(glim_exchange *x);
void glim_h_detokenize(glim_exchange *x);
void glim_h_template(glim_exchange *x);
void glim_h_models(glim_exchange *x);
void glim_h_model(glim_exchange *x);
void glim_h_health(glim_exchange *x);
void glim_h_metrics(glim_exchange *x);
void glim_h_props(glim_exchange *x);
void glim_h_slots(glim_exchange *x);
void glim_h_root(glim_exchange *x);
void glim_h_embed_openai(glim_exchange *x);
void glim_h_embed_zhipu(glim_exchange *x);
void glim_h_embed_ollama(glim_exchange *x);
void glim_h_embed_ollama_old(glim_exchange *x);
void glim_h_embed_bare(glim_exchange *x);
void glim_h_rerank_jina(glim_exchange *x);
void glim_h_rerank_zhipu(glim_exchange *x);
void glim_h_keyword(glim_exchange *x);
void glim_h_infill(glim_exchange *x);
void glim_h_legacy_models(glim_exchange *x);
void glim_h_sglang_model(glim_exchange *x);
void glim_h_flush(glim_exchange *x);
void glim_h_ollama_tags(glim_exchange *x);
void glim_h_ollama_ps(glim_exchange *x);
void glim_h_ollama_show(glim_exchange *x);
void glim_h_ollama_version(glim_exchange *x);
void glim_h_ollama_pull(glim_exchange *x);
void glim_h_ollama_fixed(glim_exchange *x);

#endif
