/* SPDX-License-Identifier: MIT
 * legacy_chat.c - the FastAPI server's POST /chat. Fields and replies are openai_chat.c's and
 * openai_reply.c's; what its chunks lack and its readers want is theirs by style.
 * Thread: any, pure; replies one at a time.
 * Fails:  what its parts do.
 * See:    tests/unit/api/test_legacy.c */
#include "api/reply_priv.h"

static glim_reply *reply_new(const glim_request *rq, const glim_reply_info *info)
{
    return glim_reply_new(&glim_style_legacy_chat, rq, info);
}

const glim_dialect glim_dialect_legacy_chat = {.name = "legacy_chat",
                                               .stream_type = GLIM_SSE_TYPE,
                                               .keepalive = glim_sse_keepalive,
                                               .decode = glim_openai_chat_decode_body,
                                               .reply_new = reply_new,
                                               .reply_free = glim_reply_free,
                                               .event = glim_chat_reply_event,
                                               .end = glim_chat_reply_end,
                                               .problem = glim_problem_openai,
                                               .stream_problem = glim_api_stream_problem_openai,
                                               .status = glim_problem_status};
