/* SPDX-License-Identifier: MIT
 * glim.h - version, features, logging and the string view that all public headers share. */
#ifndef GLIM_GLIM_H
#define GLIM_GLIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

#ifdef __cplusplus
extern "C" {
#endif

#define GLIM_VERSION_MAJOR 0
#define GLIM_VERSION_MINOR 1
#define GLIM_VERSION_PATCH 0

/* Bytes with a length; not NUL-terminated, may hold NUL bytes. p may be NULL when n is 0. */
typedef struct glim_str {
    const char *p;
    size_t n;
} glim_str;

/* "0.1.0". Thread: any. */
GLIM_API const char *glim_version(void);
/* "pcre2 10.42; libedit; x86: avx2 avx512v avx512bf" style text of what this build holds. Thread:
 * any. */
GLIM_API const char *glim_build_info(void);

typedef enum glim_log_level {
    GLIM_LOG_ERROR,
    GLIM_LOG_WARN,
    GLIM_LOG_INFO,
    GLIM_LOG_DEBUG,
    GLIM_LOG_TRACE
} glim_log_level;

/* One log line: area is the room ("engine"), event one word, pairs "key=value key=value".
 * Called from any thread, never under a lock of glim. */
typedef void (*glim_log_fn)(void *user, glim_log_level level, const char *area, const char *event,
                            const char *pairs);

/* Sets where log lines go; NULL restores the default (standard error, key=value). Call before any
 * other thread uses glim. Borrows user until replaced. */
GLIM_API void glim_log_set(glim_log_fn fn, void *user, glim_log_level max_level);

/* Model files are mapped, and a system ends a program with SIGBUS when it touches a mapped byte of a
 * file that was cut, or of a disk that fails. After this call it does not: the call that used the
 * byte fails with IO and names the file. The handler passes on every SIGBUS that is not about a
 * file of glim. Call it once, at the start, and after installing a handler of your own; more calls do
 * nothing. Thread: any. */
GLIM_API void glim_guard_maps(void);

#ifdef __cplusplus
}
#endif
#endif
