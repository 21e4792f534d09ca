/* SPDX-License-Identifier: MIT
 * llama_priv.h - what llama-server's requests tell their replies. */
#ifndef GLIM_API_LLAMA_PRIV_H
#define GLIM_API_LLAMA_PRIV_H

#include "api/reply_priv.h"

typedef struct glim_llama_own {
    bool no_text; /* n_predict 0: only the prompt is wanted in the cache */
    bool
        return_tokens; /* whole bodies; streams have the tokens with each piece where they know them */
    int32_t n_probs;
    const glim_str *response_fields; /* members of the last object; none: all */
    size_t n_response_field;
} glim_llama_own;

/* Replies (llama_reply.c). */
glim_reply *glim_llama_reply_new(const glim_request *rq, const glim_reply_info *info);
glim_err glim_llama_reply_event(glim_reply *r, size_t i_choice, const glim_event *ev,
                                glim_buf *out);
glim_err glim_llama_reply_end(glim_reply *r, glim_buf *out);

#endif
