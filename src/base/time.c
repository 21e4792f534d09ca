/* SPDX-License-Identifier: MIT
 * time.c - the monotonic clock. Thread: any. */
#include "base/base.h"

#include <time.h>

uint64_t glim_now_ns(void)
{
    struct timespec ts = {0};
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}
