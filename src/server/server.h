/* SPDX-License-Identifier: MIT
 * server.h - the one header of room server: models behind HTTP, in the dialects of room api. */
#ifndef GLIM_SERVER_ROOM_H
#define GLIM_SERVER_ROOM_H

#include "base/base.h"
#include "glim/encode.h"
#include "glim/engine.h"

typedef struct glim_server glim_server;

/* A model that clients may ask for. */
typedef struct glim_served_model {
    const char *path;
    const char *name; /* NULL: from the path */
    bool found;       /* not asked for by the operator but lying in a models folder: loaded when a client asks,
                       * left out without a word when nothing here runs it */
} glim_served_model;

typedef struct glim_server_opts {
    const glim_served_model *models; /* the first is loaded before anything is served, the others when asked for */
    size_t n_model;
    glim_model_opts model;       /* n_session is the server's affair */
    const char *const *aliases;  /* further names: NAME of the first chat model, NAME=MODEL of another */
    size_t n_alias;
    uint64_t model_memory;       /* bytes that loaded models may take together; 0: what the system has to give */
    int64_t n_loaded_max;        /* models in memory at once; 0: no limit */
    const char *const *listen;   /* "HOST:PORT" */
    size_t n_listen;
    const char *const *keys;     /* API keys */
    size_t n_key;
    const char *key_file;        /* one key a line; NULL: none */
    const char *const *cors;     /* origins whose pages may read answers, "*": all */
    size_t n_cors;
    const char *tls_cert, *tls_key; /* PEM files; NULL: no TLS */
    int64_t key_rate, key_concurrent; /* requests a minute, at once, of each key; 0: no limit */
    bool ollama_root;            /* GET / says what Ollama's says */
    bool insecure;               /* a non-loopback address without a key is meant */
    int n_slot;
    int64_t n_queue;
    int64_t drain_s;             /* after a stop, running answers have this long */
    size_t body_max;             /* bytes */
    /* The listeners are open (addresses: glim_server_address()), the model is loading. Thread: the caller's. */
    void (*on_listen)(void *user, glim_server *s);
    void (*on_ready)(void *user, glim_server *s); /* the model is there. Thread: the loader's */
    void *user;
} glim_server_opts;
void glim_server_opts_init(glim_server_opts *o);

/* Binds the listeners. Borrows what o points to until free. Errors: INPUT (an address; a non-loopback one without a
 * key), IO (bind), NOTFOUND (key file), NOMEM. */
GLIM_MUST_USE glim_err glim_server_new(const glim_server_opts *o, glim_server **out, glim_error *e);
/* Loads the model and serves until glim_server_stop(), then lets running answers end. Errors: of the load. */
GLIM_MUST_USE glim_err glim_server_run(glim_server *s, glim_error *e);
void glim_server_free(glim_server *s);
/* Once: stop accepting and drain. Twice: end now. Thread: any, async-signal-safe. */
void glim_server_stop(glim_server *s);
/* Keys and certificates are read again. Thread: any, async-signal-safe. */
void glim_server_reload(glim_server *s);
/* Whether listener i speaks TLS. */
bool glim_server_is_tls(const glim_server *s, size_t i);
const char *glim_server_address(const glim_server *s, size_t i); /* "127.0.0.1:8000"; "" beyond the end */

#endif
