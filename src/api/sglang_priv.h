/* SPDX-License-Identifier: MIT
 * sglang_priv.h - what SGLang's requests tell their replies. */
#ifndef GLIM_API_SGLANG_PRIV_H
#define GLIM_API_SGLANG_PRIV_H

#include "api/reply_priv.h"

typedef struct glim_sglang_own {
    bool is_list;         /* the answer is a list even of one */
    const glim_str *rids; /* an id for each prompt; NULL: the server's */
    bool logprobs;        /* wanted in the reply */
    bool with_text;       /* beside each logarithm */
    int32_t n_top;
} glim_sglang_own;

/* Replies (sglang_reply.c). */
glim_reply *glim_sglang_reply_new(const glim_request *rq, const glim_reply_info *info);
glim_err glim_sglang_reply_event(glim_reply *r, size_t i_choice, const glim_event *ev,
                                 glim_buf *out);
glim_err glim_sglang_reply_end(glim_reply *r, glim_buf *out);
/* {"status":"ok"}. */
glim_err glim_sglang_health_event(glim_reply *r, size_t i_choice, const glim_event *ev,
                                  glim_buf *out);
glim_err glim_sglang_health_end(glim_reply *r, glim_buf *out);

#endif
