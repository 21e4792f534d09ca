/* SPDX-License-Identifier: MIT
 * error.h - error codes and the error object that every fallible call fills.
 * Rules: a function that can fail returns glim_err; the glim_error it was handed (NULL is allowed)
 * is filled once, where the failure happened, and is otherwise untouched. Messages name what was
 * wrong, where, and the cure; they never hold prompts, outputs or keys. */
#ifndef GLIM_ERROR_H
#define GLIM_ERROR_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define GLIM_API __attribute__((visibility("default")))
#define GLIM_MUST_USE __attribute__((warn_unused_result))
#else
#define GLIM_API
#define GLIM_MUST_USE
#endif

typedef enum glim_err {
#define ERR(code, number, text, http, exit_status) GLIM_E_##code = number,
#include "err.def"
#undef ERR
    GLIM_OK = GLIM_E_OK
} glim_err;

#define GLIM_NO_OFFSET UINT64_MAX /* the error has no position in an input */

typedef struct glim_error {
    glim_err code;
    int line;         /* of the source that reported it */
    const char *file; /* static string, may be NULL */
    uint64_t offset;  /* byte offset in the parsed input, or GLIM_NO_OFFSET */
    char msg[512];    /* one line, NUL-terminated, no trailing newline */
} glim_error;

/* Short text of a code, never NULL. Thread: any. */
GLIM_API const char *glim_strerror(glim_err code);
/* Exit status of a code as err.def gives it (never 0 for a failure). Thread: any. */
GLIM_API int glim_err_exit(glim_err code);
/* HTTP status of a code. Thread: any. */
GLIM_API int glim_err_http(glim_err code);

#ifdef __cplusplus
}
#endif
#endif
