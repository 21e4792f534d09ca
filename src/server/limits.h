/* SPDX-License-Identifier: MIT
 * limits.h - how often and how much at once a key may ask: a token bucket and a count each.
 * Thread: I/O. */
#ifndef GLIM_SERVER_LIMITS_H
#define GLIM_SERVER_LIMITS_H

#include "base/base.h"

typedef struct glim_limits glim_limits;

/* 0: none. Below 0: nothing said here, see glim_limit_or(). */
typedef struct glim_limit {
    int64_t per_minute; /* requests; also how many may come at once after a pause */
    int64_t concurrent; /* requests that are being answered */
} glim_limit;

/* What own says, and where it says nothing the other. Thread: any, pure. */
static inline glim_limit glim_limit_or(glim_limit own, glim_limit other)
{
    return (glim_limit){own.per_minute < 0 ? other.per_minute : own.per_minute,
                        own.concurrent < 0 ? other.concurrent : own.concurrent};
}

/* NULL: out of memory. */
glim_limits *glim_limits_new(void);
void glim_limits_free(glim_limits *l); /* NULL is fine */

/* Whether a request of this key may come in now. True: it is counted, and glim_limits_leave() must follow when it is over.
 * False: nothing was counted; *by_rate says which limit it was, *retry_after_s (at least 1) after how many seconds to come
 * again: exact for the rate, for the other a guess from how long this key's last requests took. When there is no memory, or
 * 4,097 keys have requests at the same time, it is false too.
 * The limit may be another one at each call; what was counted stays. Copies key_id: 8 hexadecimal digits, or "" for all who
 * bring no key (keys that share their digits share a count). Units: now_ns as glim_now_ns(). */
bool glim_limits_enter(glim_limits *l, const char *key_id, const glim_limit *limit, uint64_t now_ns,
                       int64_t *retry_after_s, bool *by_rate);
void glim_limits_leave(glim_limits *l, const char *key_id);

/* For tests: how many keys are kept track of. */
size_t glim_limits_count(const glim_limits *l);

#endif
