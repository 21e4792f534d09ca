/* SPDX-License-Identifier: MIT
 * api_priv.h - what the files of room api share: paths for error messages and optional values. */
#ifndef GLIM_API_PRIV_H
#define GLIM_API_PRIV_H

#include "api/api.h"

/* Where in the client's JSON a value stands. Links live on the C stack of the readers and become
 * text only when something is wrong. */
typedef struct glim_api_path glim_api_path;
struct glim_api_path {
    const glim_api_path *up; /* NULL: the outermost */
    const char *name;        /* a key; NULL: an element */
    size_t i;                /* of the element */
};
#define GLIM_API_KEY(up, key) (&(glim_api_path){(up), (key), 0})
#define GLIM_API_ELEMENT(up, index) (&(glim_api_path){(up), NULL, (index)})

/* "messages[2].content: " and the message, at the offset of v (NULL: unset). */
GLIM_MUST_USE glim_err glim_api_fail(const glim_api_path *p, glim_err code, const glim_json *v,
                                     glim_error *e, const char *fmt, ...) GLIM_PRINTF(5, 6);
/* The failure "expected X, found Y"; v not NULL. */
GLIM_MUST_USE glim_err glim_api_wrong_type(const glim_api_path *p, const char *expected,
                                           const glim_json *v, glim_error *e);

/* The member key of obj, NULL when it is absent or null. */
const glim_json *glim_api_given(const glim_json *obj, const char *key);
/* Optional members of obj: absent and null leave *out alone. p is the path of obj. */
GLIM_MUST_USE glim_err glim_api_str(const glim_api_path *p, const glim_json *obj, const char *key,
                                    glim_str *out, glim_error *e);
GLIM_MUST_USE glim_err glim_api_bool(const glim_api_path *p, const glim_json *obj, const char *key,
                                     glim_tristate *out, glim_error *e);

/* A list of token ids; v is an array. */
GLIM_MUST_USE glim_err glim_api_ids(glim_arena *a, const glim_api_path *p, const glim_json *v,
                                    const int32_t **out, size_t *n_out, glim_error *e);

/* Legacy bare functions ("functions"), each wrapped as a tool. */
GLIM_MUST_USE glim_err glim_openai_functions_decode(glim_arena *a, const glim_json *v,
                                                    glim_chat *out, glim_error *e);

/* Which chat mount a body came to: fields are the same, few defaults and rules are not. */
typedef enum glim_chat_mount { GLIM_MOUNT_OPENAI, GLIM_MOUNT_ZHIPU } glim_chat_mount;
/* A chat request's object to a request. Errors: as glim_openai_chat_decode(). */
GLIM_MUST_USE glim_err glim_openai_chat_read(glim_arena *a, const glim_json *root,
                                             glim_chat_mount mount, glim_request *out,
                                             glim_error *e);
/* tool_choice and function_call: may empty or thin out the tools of c, or fill the forcing of g.
 * Either may be NULL. (openai_choice.c) */
GLIM_MUST_USE glim_err glim_openai_choice_decode(glim_arena *a, const glim_json *tool_choice,
                                                 const glim_json *function_call, glim_chat *c,
                                                 glim_gen_opts *g, glim_error *e);
/* thinking in all its spellings; any may be NULL. field: enable_thinking at the top.
 * (openai_thinking.c) */
typedef struct glim_thinking_fields {
    const glim_json *thinking, *kwargs, *reasoning, *effort;
    glim_tristate field;
} glim_thinking_fields;
GLIM_MUST_USE glim_err glim_openai_thinking_decode(const glim_thinking_fields *f, glim_chat *c,
                                                   glim_gen_opts *g, glim_error *e);

/* The role of a message object, also by its newer and older names (developer, function). */
GLIM_MUST_USE glim_err glim_api_role(const glim_api_path *p, const glim_json *v, glim_role *out,
                                     glim_error *e);
/* The whole of a generating dialect's decode: body to tree, read(), problem. */
typedef glim_err (*glim_api_read_fn)(glim_arena *a, const glim_json *root, glim_request *out,
                                     glim_error *e);
glim_err glim_api_decode(glim_arena *a, glim_str body, glim_api_read_fn read, glim_request *out,
                         glim_problem *p);
/* That of /v1/chat/completions and its like. */
glim_err glim_openai_chat_decode_body(glim_arena *a, glim_str body, glim_request *out,
                                      glim_problem *p);
/* "top_p: 3 is above 1" of an object inside becomes "options.top_p: ..."; what has no path gets
 * key alone. Returns rc; OK changes nothing. */
glim_err glim_api_within(const char *key, glim_err rc, glim_error *e);
/* "chat", "embedding", "rerank" (models.c). */
const char *glim_api_kind_name(glim_api_kind kind);
/* Ends a decode: fills p from e unless rc is OK; returns rc. */
glim_err glim_api_end_decode(glim_err rc, const glim_error *e, glim_problem *p);

#endif
