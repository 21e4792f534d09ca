/* SPDX-License-Identifier: MIT
 * reply_priv.h - what replies of OpenAI's family share: choices, usage, probabilities, the frame
 * around a choice. */
#ifndef GLIM_API_REPLY_PRIV_H
#define GLIM_API_REPLY_PRIV_H

#include "api/api_priv.h"

/* ---- logprobs.c ------------------------------------------------------------------------------ */

typedef struct glim_lp_entry {
    size_t at, n_json, n_number, n_top, n_bytes; /* in data, one behind the other */
    bool in_reasoning;
} glim_lp_entry;
typedef struct glim_lp_queue {
    glim_buf data, entries;
    size_t i_next;  /* entries before it have been taken */
    size_t covered; /* bytes of coming text that belong to the entry taken last */
} glim_lp_queue;

void glim_lp_init(glim_lp_queue *q, size_t max_bytes);
void glim_lp_deinit(glim_lp_queue *q);
void glim_lp_clear(glim_lp_queue *q); /* what is pending made no text */
typedef enum glim_lp_form {
    GLIM_LP_CHAT,    /* an object */
    GLIM_LP_BY_TEXT, /* as /v1/completions has it */
    GLIM_LP_LLAMA    /* the object of chat with the tokens' ids */
} glim_lp_form;
/* Copies a LOGPROBS event. Errors stay in the buffers. */
void glim_lp_push(glim_lp_queue *q, const glim_event *ev, glim_lp_form form);
/* A logarithm: JSON has no infinity, and clients do arithmetic with it. */
void glim_lp_put_number(glim_buf *b, float x);
/* The next entry whose text is in *text, which moves behind it; *begin: where it began. Entries
 * that made no text are passed over. NULL: no more. Borrowed until the next push. */
const glim_lp_entry *glim_lp_take(glim_lp_queue *q, bool in_reasoning, glim_str *text,
                                  const char **begin);
glim_str glim_lp_json(const glim_lp_queue *q,
                      const glim_lp_entry *e); /* the object; BY_TEXT: the token */
glim_str glim_lp_number(const glim_lp_queue *q, const glim_lp_entry *e); /* BY_TEXT only */
glim_str glim_lp_top(const glim_lp_queue *q, const glim_lp_entry *e);    /* BY_TEXT only */

/* ---- reply.c --------------------------------------------------------------------------------- */

/* What one dialect does differently. */
typedef struct glim_reply_style {
    const char *object, *chunk_object, *id_prefix; /* object NULL: a frame of the dialect's own */
    bool zhipu;   /* no id prefix, request_id, usage on the last finish chunk, own reasons */
    bool by_text; /* probabilities in columns */
    bool legacy;  /* the FastAPI server's chunks: no more members than it had */
} glim_reply_style;

enum { GLIM_LP_COLUMNS = 4 };
typedef struct glim_choice {
    bool begun, stopped, broken;
    bool tag_open;  /* inline reasoning: <think> is out, </think> is not */
    bool call_open; /* the call at hand is announced in the stream */
    bool has_usage;
    bool has_new_line; /* somewhere in the text so far */
    glim_stop_reason reason;
    glim_usage usage;
    size_t n_call;  /* in the reply so far, incomplete ones of a stream included */
    size_t n_whole; /* of them complete */
    size_t n_char;  /* characters of text so far */
    glim_buf content,
        reasoning;  /* not streaming: all of it; reasoning also while it is held back */
    glim_buf calls; /* not streaming: elements of tool_calls */
    glim_buf call_id, call_name;
    glim_buf args; /* arguments of the call at hand, as far as they are out */
    glim_buf keys; /* size_t pairs: the quoted keys in args */
    glim_buf stop_text;
    glim_buf ids;                 /* int32_t: tokens of the answer that are not out yet */
    size_t n_token;               /* tokens announced so far */
    glim_buf lp[GLIM_LP_COLUMNS]; /* chat: content, reasoning; completions: its four columns */
    glim_lp_queue queue;
} glim_choice;

struct glim_reply {
    const glim_request *rq;
    const glim_reply_info *info;
    const glim_reply_style *style;
    glim_choice *choices;
    size_t n_choice, n_stopped;
    bool finish_usage; /* usage comes with the last finish_reason, not in a chunk of its own */
    glim_buf head;     /* every body's and chunk's beginning, up to the choices */
    glim_buf scratch;
};

glim_reply *glim_reply_new(const glim_reply_style *style, const glim_request *rq,
                           const glim_reply_info *info);
void glim_reply_free(glim_reply *r);
/* The choice that ev is for, with its usage noted; NULL: nothing to do with it (*rc says whether it
 * is an error). */
glim_choice *glim_reply_choice(glim_reply *r, size_t i_choice, const glim_event *ev, glim_err *rc);
/* A chunk with one choice: begin, the caller writes the choice's members behind "index", end. */
void glim_reply_chunk(glim_reply *r, size_t i_choice, glim_buf *out);
/* last: this is the chunk behind which no choice is open. */
void glim_reply_chunk_end(glim_reply *r, bool last, glim_buf *out);
/* ,"finish_reason":...  and what goes with it; c NULL: not finished yet. */
void glim_reply_finish(const glim_reply *r, const glim_choice *c, glim_buf *out);
/* Keeps id and name of the call that begins; without an id one is made. */
void glim_reply_call(glim_reply *r, glim_choice *c, const glim_event *ev);
void glim_reply_stop(glim_reply *r, glim_choice *c, const glim_event *ev);
/* The end of a stream. */
glim_err glim_reply_done(glim_reply *r, glim_buf *out);
/* Whole bodies: from "{" to "choices":[, and from "]" to "}". */
void glim_reply_body(glim_reply *r, glim_buf *out);
void glim_reply_body_end(glim_reply *r, glim_buf *out);
/* First error among c's buffers, the reply's and out's. */
glim_err glim_reply_err(const glim_reply *r, const glim_choice *c, const glim_buf *out);

/* Chat replies of one style (openai_reply.c). */
extern const glim_reply_style glim_style_openai_chat, glim_style_zhipu_chat, glim_style_legacy_chat;
glim_err glim_chat_reply_event(glim_reply *r, size_t i_choice, const glim_event *ev, glim_buf *out);
glim_err glim_chat_reply_end(glim_reply *r, glim_buf *out);
/* Members that only OpenAI's relatives know stay out of a chunk. */
static inline bool glim_reply_is_lean(const glim_reply *r)
{
    return r->style->legacy && r->rq->stream;
}

/* Tokens of answers (reply.c). LOGPROBS and STOP events bring them; ids that a stream has sent are
 * not kept twice. */
void glim_reply_take_ids(const glim_reply *r, glim_choice *c, const glim_event *ev);
/* A list of them; what is out is forgotten. */
void glim_reply_put_ids(glim_choice *c, glim_jw *w);
/* Tokens of the answer and of choice i's prompt, as far as they are known. */
int64_t glim_reply_n_completion(const glim_choice *c);
int64_t glim_reply_n_prompt(const glim_reply *r, size_t i_choice);

/* Streams' errors (problem.c). */
glim_err glim_api_stream_problem_openai(const glim_problem *p, glim_str request_id, glim_buf *out);
glim_err glim_api_stream_problem_zhipu(const glim_problem *p, glim_str request_id, glim_buf *out);
glim_err glim_api_stream_problem_llama(const glim_problem *p, glim_str request_id, glim_buf *out);

#define GLIM_SSE_TYPE "text/event-stream; charset=utf-8"

#endif
