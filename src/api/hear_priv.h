/* SPDX-License-Identifier: MIT
 * hear_priv.h - what hearing shares over all wires: calls that come in pieces, the order of events,
 * usage, reasons, and what a server says went wrong. */
#ifndef GLIM_API_HEAR_PRIV_H
#define GLIM_API_HEAR_PRIV_H

#include "api/api_priv.h"

/* ---- remote.c -------------------------------------------------------------------------------- */

/* As glim_remote_read(), of a tree. */
bool glim_remote_find(const glim_json *v, glim_remote *out);
/* s into out as one printable line of at most n_out - 1 bytes, cut between characters. */
void glim_remote_text(char *out, size_t n_out, glim_str s);

/* ---- hear.c ---------------------------------------------------------------------------------- */

typedef struct glim_hear_call {
    int64_t index; /* the wire's own; -1: it gave none */
    bool begun, ended;
    /* How far the JSON of args has come: braces open, and whether they have closed. */
    bool in_string, escaped, whole;
    size_t depth;
    glim_buf id, name, args;
} glim_hear_call;

struct glim_hear {
    const glim_ask *ask;
    glim_event_fn fn;
    void *user;
    glim_arena *arena; /* of the piece at hand */
    glim_hear_call *calls;
    size_t n_call, cap_call;
    size_t i_open; /* calls before it have ended */
    size_t n_arg_bytes;
    bool heard;    /* some of the answer came */
    bool finished; /* the server said that it is over */
    bool over;     /* nothing that counts follows */
    bool stopped;  /* STOP is out */
    glim_stop_reason reason;
    glim_usage usage;
    glim_buf stop_text;
    glim_err err; /* what failed stays failed */
};

glim_hear *glim_hear_new(const glim_ask *a, glim_event_fn fn, void *user);
void glim_hear_free(glim_hear *h);
glim_err glim_hear_end(glim_hear *h, glim_error *e);

/* The frame around a wire's hear(): what was over or failed stays so, json becomes a tree, a report
 * of failure is REMOTE, take() reads the rest, and what is wrong with the bytes is FORMAT. */
typedef glim_err (*glim_hear_fn)(glim_hear *h, const glim_json *root, bool whole,
                                 glim_remote *remote, glim_error *e);
glim_err glim_hear_take(glim_hear *h, glim_str json, bool whole, glim_hear_fn take, bool *over,
                        glim_remote *remote, glim_error *e);
/* The failure REMOTE, from what remote holds. */
GLIM_MUST_USE glim_err glim_hear_remote(const glim_remote *remote, glim_error *e);

/* Text that is not empty goes out as an event. */
GLIM_MUST_USE glim_err glim_hear_text(glim_hear *h, glim_event_kind kind, glim_str text,
                                      glim_error *e);
/* A piece of a call. index -1: none was given; fresh: it begins a call whatever it says. p and v:
 * where it stands. */
typedef struct glim_hear_piece {
    int64_t index;
    bool fresh;
    glim_str id, name, args;
} glim_hear_piece;
GLIM_MUST_USE glim_err glim_hear_call_piece(glim_hear *h, const glim_api_path *p,
                                            const glim_json *v, const glim_hear_piece *piece,
                                            glim_error *e);
/* A list of probabilities, each an event, if they were asked for; v may be NULL. */
GLIM_MUST_USE glim_err glim_hear_logprobs(glim_hear *h, const glim_api_path *p, const glim_json *v,
                                          bool in_reasoning, glim_error *e);
/* A count: optional, an integer, not negative. p is the path of obj. */
GLIM_MUST_USE glim_err glim_hear_count(const glim_api_path *p, const glim_json *obj,
                                       const char *key, int64_t *out, glim_error *e);
/* The arguments of a call: an object or the text of one. */
GLIM_MUST_USE glim_err glim_hear_arguments(const glim_api_path *p, const glim_json *function,
                                           glim_str *out, glim_error *e);

#endif
