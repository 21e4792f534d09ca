/* SPDX-License-Identifier: MIT
 * api_priv.h - what the files of room api share: paths for error messages and optional values. */
#ifndef GLIM_API_PRIV_H
#define GLIM_API_PRIV_H

#include "api/api.h"

/* Where in the client's JSON a value stands. Links live on the C stack of the readers and become text
 * only when something is wrong. */
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

/* Legacy bare functions ("functions"), each wrapped as a tool. */
GLIM_MUST_USE glim_err glim_openai_functions_decode(glim_arena *a, const glim_json *v,
                                                    glim_chat *out, glim_error *e);

#endif
