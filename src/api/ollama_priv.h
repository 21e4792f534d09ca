/* SPDX-License-Identifier: MIT
 * ollama_priv.h - what the files of Ollama's dialect share. */
#ifndef GLIM_API_OLLAMA_PRIV_H
#define GLIM_API_OLLAMA_PRIV_H

#include "api/wire_priv.h"

/* What glim_request.own points to on these mounts. */
typedef struct glim_ollama_own {
    bool unload; /* of a request without a prompt: keep_alive is 0 */
} glim_ollama_own;

/* ---- ollama_request.c ------------------------------------------------------------------------ */

glim_err glim_ollama_decode_chat(glim_arena *a, glim_str body, glim_request *out, glim_problem *p);
glim_err glim_ollama_decode_generate(glim_arena *a, glim_str body, glim_request *out,
                                     glim_problem *p);
/* A Go duration ("1h30m", "-1.5s") or a bare number of seconds. False: it is none. */
bool glim_ollama_duration(glim_str s, bool *zero);
/* A row's parser: dst is a glim_keep_alive. */
typedef enum glim_keep_alive { GLIM_KEEP_UNSAID, GLIM_KEEP_ZERO, GLIM_KEEP_SOME } glim_keep_alive;
glim_err glim_ollama_keep_alive(glim_arena *a, const glim_json *v, void *dst, glim_error *e);
/* The object of options; NULL is none. Errors: INPUT with the path, which begins with "options". */
GLIM_MUST_USE glim_err glim_ollama_options(glim_arena *a, const glim_json *v, glim_wire *w,
                                           glim_request *out, glim_error *e);

/* ---- ollama_messages.c ----------------------------------------------------------------------- */

/* Absent, null and [] give no messages. Errors: INPUT with the path, UNSUPPORTED (images), NOMEM. */
GLIM_MUST_USE glim_err glim_ollama_messages_decode(glim_arena *a, const glim_json *v,
                                                   glim_chat *out, glim_error *e);
/* v: a value of "images", at p. Only an empty list passes. */
GLIM_MUST_USE glim_err glim_ollama_no_images(const glim_api_path *p, const glim_json *v,
                                             glim_error *e);

/* ---- ollama_info.c --------------------------------------------------------------------------- */

enum { GLIM_OLLAMA_TIME_BYTES = 40 };
/* RFC 3339 in UTC with nine digits of fraction, into out, which is returned. Seconds outside the
 * years 1970 to 9999 become the nearest of them. */
const char *glim_ollama_time(int64_t s, uint32_t ns, char out[GLIM_OLLAMA_TIME_BYTES]);

#endif
