/* SPDX-License-Identifier: MIT
 * encode.h - texts that wait for an encoder, and the thread that computes them. */
#ifndef GLIM_SERVER_ENCODE_H
#define GLIM_SERVER_ENCODE_H

#include "glim/encode.h"

typedef struct glim_exchange glim_exchange;
typedef struct glim_encode_queue glim_encode_queue;

/* Texts of one exchange, in its arena. */
typedef struct glim_texts glim_texts;
struct glim_texts {
    glim_exchange *x; /* its host is the encoder */
    const glim_encoded *in;
    size_t n;
    bool rerank;          /* pairs to logits: out [n]; else vectors: out [n][n_dim] */
    glim_tristate normalize;
    int64_t n_dim;
    float *out;
    /* When all are there, or something went wrong (failed, e). On the queue's thread; it hands x to a worker. */
    void (*done)(glim_texts *t);
    bool failed;
    glim_error e;
    /* The queue's own. */
    size_t i_next; /* texts before it are computed */
    size_t n_token; /* of those that are not */
    glim_texts *next;
};

/* n_max: exchanges that may wait. Errors: NOMEM, FULL (no thread). */
GLIM_MUST_USE glim_err glim_encode_queue_new(int64_t n_max, glim_encode_queue **out, glim_error *e);
/* Ends the thread; what waits is forgotten, and what comes is refused. NULL is fine. */
void glim_encode_queue_stop(glim_encode_queue *q);
void glim_encode_queue_free(glim_encode_queue *q); /* after stop */
/* Queues t and holds a reference of its exchange until done has returned. Errors: FULL (the queue; *wait_s says in how
 * many seconds to try again), STATE (stopped). Thread: any. */
GLIM_MUST_USE glim_err glim_encode_push(glim_encode_queue *q, glim_texts *t, int64_t *wait_s,
                                        glim_error *e);

#endif
