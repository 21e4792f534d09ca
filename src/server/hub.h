/* SPDX-License-Identifier: MIT
 * hub.h - the models of a server: found by name and kind, loaded when they are asked for, unloaded when the
 * room is needed for another one.
 * A host is a model that clients may ask for, in memory or not. Whoever works with one holds it; a held host
 * keeps its weights. Exchanges that need a host whose weights are not there wait in it, and are called when
 * they are.
 * Thread: any, unless a function says otherwise; callbacks run without the hub's lock. */
#ifndef GLIM_SERVER_HUB_H
#define GLIM_SERVER_HUB_H

#include "api/api.h"
#include "glim/encode.h"
#include "server/server.h"

typedef struct glim_hub glim_hub;
typedef struct glim_host glim_host;

typedef struct glim_hub_opts {
    const glim_served_model *models; /* the first is the default of its kind; borrowed until free */
    size_t n_model;
    const char *const *aliases; /* NAME: of the first chat model; NAME=MODEL: of that one; borrowed until free */
    size_t n_alias;
    glim_model_opts model; /* of chat models; threads and cpu of encoders too */
    int n_slot;
    int64_t n_queue;
    uint64_t memory_max; /* bytes of all loaded models together; 0: what the system has to give */
    int64_t n_loaded_max; /* 0: no limit */
    /* Polled while a model loads; true ends it. */
    bool (*stopping)(void *user);
    /* A model came or went; with the hub's lock, so it must not ask the hub. May be NULL. */
    void (*changed)(void *user, bool came);
    void *user;
} glim_hub_opts;

/* Errors: INPUT (two given models of one name, an alias of none), NOMEM. No file is read. */
GLIM_MUST_USE glim_err glim_hub_new(const glim_hub_opts *o, glim_hub **out, glim_error *e);
/* Every host must have been released; ends the engines. NULL is fine. */
void glim_hub_free(glim_hub *h);
/* Cancels the jobs of all chat models and takes no more. */
void glim_hub_stop_jobs(glim_hub *h);

/* Looks at every model, then loads the first. Models that were only found and that nothing here runs are left
 * out. Errors: those of a model that was given. Thread: the hub's. */
GLIM_MUST_USE glim_err glim_hub_open(glim_hub *h, glim_error *e);
/* Loads and unloads what is asked for, until glim_hub_end(). Thread: the hub's. */
void glim_hub_work(glim_hub *h);
/* Who waits is told that the server goes down, and so is whoever asks from now on. */
void glim_hub_end(glim_hub *h);

/* ---- asking -------------------------------------------------------------------------------------- */

/* Somebody who waits for a host. ready is called once, on the hub's thread: with the host, held, or with what went
 * wrong. */
typedef struct glim_hub_wait glim_hub_wait;
struct glim_hub_wait {
    glim_hub_wait *next;
    void (*ready)(void *user, glim_host *host, const glim_error *e);
    void *user;
};

/* The host of a kind that name means (api.md rule 6; "": the first of the kind). *out is held, or NULL: then w waits.
 * Errors: NOTFOUND (says what there is), UNSUPPORTED (another kind: says which), STATE (going down). */
GLIM_MUST_USE glim_err glim_hub_take(glim_hub *h, glim_str name, glim_model_kind kind,
                                     glim_hub_wait *w, glim_host **out, glim_error *e);
/* The first host of a kind, held, if its weights are there; else NULL. */
glim_host *glim_hub_hold_first(glim_hub *h, glim_model_kind kind);
/* Whether a model of that kind can be asked for at all. */
bool glim_hub_serves(glim_hub *h, glim_model_kind kind);
void glim_hub_release(glim_hub *h, glim_host *host);
/* It may go when nobody holds it; models that were given stay. */
void glim_hub_let_go(glim_hub *h, glim_host *host);

/* ---- looking ------------------------------------------------------------------------------------- */

/* Of a held host. */
glim_model_kind glim_host_kind(const glim_host *host);
glim_str glim_host_name(const glim_host *host);
const glim_model *glim_host_model(const glim_host *host); /* of a chat model */
glim_sched *glim_host_sched(const glim_host *host);
glim_encoder *glim_host_encoder(const glim_host *host); /* of the others; one thread computes */

/* Every name with its model, in the arena: the first model and its aliases, then the others. Errors: NOMEM. */
GLIM_MUST_USE glim_err glim_hub_list(glim_hub *h, glim_arena *a, glim_api_model **out, size_t *n,
                                     glim_error *e);
/* The entry of one name, of any kind. Errors: NOTFOUND (says what there is). */
GLIM_MUST_USE glim_err glim_hub_entry(glim_hub *h, glim_str name, glim_arena *a,
                                      glim_api_model *out, glim_error *e);
/* All schedulers together; slot[] is unused. */
void glim_hub_get_stat(glim_hub *h, glim_sched_stat *out);
typedef struct glim_hub_count {
    size_t n_model, n_loaded;
} glim_hub_count;
void glim_hub_get_count(glim_hub *h, glim_hub_count *out);

#endif
