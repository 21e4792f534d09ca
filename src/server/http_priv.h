/* SPDX-License-Identifier: MIT
 * http_priv.h - the strict reader of HTTP/1.1 messages: one message, fed in pieces of any size.
 * What it says about a message does not depend on where the pieces were cut. */
#ifndef GLIM_SERVER_HTTP_PRIV_H
#define GLIM_SERVER_HTTP_PRIV_H

#include "server/http.h"

#define GLIM_HTTP_N_HEADER 100

typedef enum glim_http_step {
    GLIM_HTTP_MORE,   /* every byte was taken and the message is not over */
    GLIM_HTTP_HEAD,   /* the head is whole: the fields below are set; feed on for the body */
    GLIM_HTTP_WHOLE,  /* the message is over; what is left of the input is the next one's */
    GLIM_HTTP_REFUSED /* fault and fault_text say why; it stays so */
} glim_http_step;

struct glim_http_reader {
    size_t head_max, body_max;
    glim_buf head; /* the text that the views below point into */
    glim_buf decoded;
    glim_buf body;

    /* From here to the headers: cleared by reset. */
    bool discard; /* the owner's: bytes of the body are judged and counted but not kept */
    glim_http_fault fault;
    const char *fault_text; /* static */

    /* Valid from GLIM_HTTP_HEAD on; after a refusal as far as they were read. */
    glim_method method;
    glim_str method_text, target, path, query, authority; /* authority: of an absolute target */
    bool http10, keep_alive, has_body, chunked, expects_continue;
    uint64_t n_length; /* Content-Length; 0 without */
    uint64_t n_body;   /* bytes of the body so far */

    /* Private: where in the grammar the next byte is. */
    int state;
    bool led, trailer;
    unsigned n_digit;
    size_t n_line, n_head, n_field, n_ext;
    uint64_t left; /* of the body or the chunk */

    size_t n_header;
    glim_http_header headers[GLIM_HTTP_N_HEADER];
};

/* head_max is at most 1 GiB. Takes no memory yet. */
void glim_http_reader_init(glim_http_reader *r, size_t head_max, size_t body_max);
void glim_http_reader_deinit(glim_http_reader *r);
/* For the next message: keeps memory of ordinary size. */
void glim_http_reader_reset(glim_http_reader *r);
/* Takes bytes from the front of *in until there is something to say. Call it again with the rest, also an empty one,
 * after GLIM_HTTP_HEAD. Errors are refusals too: NOMEM. */
glim_http_step glim_http_reader_feed(glim_http_reader *r, glim_str *in);
/* Refuses from outside (time is up); text: static. Nothing when it is refused already. */
void glim_http_reader_refuse(glim_http_reader *r, glim_http_fault fault, const char *text);
/* True once a byte of the message was taken. */
bool glim_http_reader_begun(const glim_http_reader *r);

#endif
