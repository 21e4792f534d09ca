/* SPDX-License-Identifier: MIT
 * log.c - one line per event: level, area, event, key=value pairs.
 * Not here: what may be said (never prompts, outputs or keys).
 * Thread: any; glim_log_set() before other threads start. */
#include "base/base.h"

#include <stdio.h>

static glim_log_fn log_fn;
static void *log_user;
static glim_log_level log_max = GLIM_LOG_WARN;

static const char *const names[] = {"error", "warn", "info", "debug", "trace"};

static void to_stderr(void *user, glim_log_level level, const char *area, const char *event,
                      const char *pairs)
{
    (void)user;
    /* One call, so that lines of several threads do not mix. */
    fprintf(stderr, "lvl=%s area=%s ev=%s%s%s\n", names[level], area, event, pairs[0] ? " " : "",
            pairs);
}

void glim_log_set(glim_log_fn fn, void *user, glim_log_level max_level)
{
    log_fn = fn;
    log_user = user;
    log_max = max_level;
}

bool glim_log_on(glim_log_level level)
{
    return level <= log_max;
}

void glim_log(glim_log_level level, const char *area, const char *event, const char *fmt, ...)
{
    char pairs[1024]; /* a line of the server with the longest names in it */
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(pairs, sizeof pairs, fmt, ap);
    va_end(ap);
    (log_fn ? log_fn : to_stderr)(log_user, level, area, event, pairs);
}
