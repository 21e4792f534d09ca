/* SPDX-License-Identifier: MIT
 * zhipu_chat.c - the Zhipu mount's row, and its asynchronous chat. Fields and replies are
 * openai_chat.c's and openai_reply.c's; what differs (usage on the finish chunk, one delta a call,
 * error body) is theirs by style.
 * Thread: any, pure; replies one at a time.
 * Fails:  what its parts do.
 * See:    tests/unit/api/test_zhipu_chat.c */
#include "api/reply_priv.h"

static glim_err read(glim_arena *a, const glim_json *root, glim_request *out, glim_error *e)
{
    return glim_openai_chat_read(a, root, GLIM_MOUNT_ZHIPU, out, e);
}

static glim_err decode(glim_arena *a, glim_str body, glim_request *out, glim_problem *p)
{
    return glim_api_decode(a, body, read, out, p);
}

static glim_reply *reply_new(const glim_request *rq, const glim_reply_info *info)
{
    return glim_reply_new(&glim_style_zhipu_chat, rq, info);
}

const glim_dialect glim_dialect_zhipu_chat = {.name = "zhipu_chat",
                                              .stream_type = GLIM_SSE_TYPE,
                                              .keepalive = glim_sse_keepalive,
                                              .decode = decode,
                                              .reply_new = reply_new,
                                              .reply_free = glim_reply_free,
                                              .event = glim_chat_reply_event,
                                              .end = glim_chat_reply_end,
                                              .problem = glim_problem_zhipu,
                                              .stream_problem = glim_api_stream_problem_zhipu,
                                              .status = glim_problem_status_zhipu};

/* The members of a chat's body follow those of the task; where it is an error's body, the task
 * keeps its own ids. */
glim_err glim_async_encode(const glim_reply_info *info, const char *task_status, glim_str chat_body,
                           glim_buf *out)
{
    bool is_chat = glim_str_starts(chat_body, GLIM_STR("{\"id\":"));
    bool is_other = !is_chat && glim_str_starts(chat_body, GLIM_STR("{\"error\":"));
    glim_jw w;
    glim_jw_init(&w, out);
    glim_jw_object(&w);
    if (!is_chat) {
        glim_jw_key(&w, "id");
        glim_jw_str(&w, info->id);
        glim_jw_key(&w, "request_id");
        glim_jw_str(&w, info->request_id);
        glim_jw_key(&w, "model");
        glim_jw_str(&w, info->model);
    }
    glim_jw_key(&w, "task_status");
    glim_jw_str(&w, glim_str_of(task_status));
    if ((is_chat || is_other) && glim_str_ends(chat_body, GLIM_STR("}"))) {
        glim_buf_addc(out, ',');
        return glim_buf_addv(out, glim_str_sub(chat_body, 1, chat_body.n));
    }
    glim_jw_object_end(&w);
    return out->err;
}
