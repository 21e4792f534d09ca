/* SPDX-License-Identifier: MIT
 * compiler.h - attributes and checked arithmetic that every file may use. */
#ifndef GLIM_BASE_COMPILER_H
#define GLIM_BASE_COMPILER_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GLIM_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define GLIM_COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define GLIM_MIN(a, b) ((a) < (b) ? (a) : (b))
#define GLIM_MAX(a, b) ((a) > (b) ? (a) : (b))
#define GLIM_CACHE_LINE 64

/* A condition that cannot hold; checked in debug builds, false for the optimiser's benefit never.
 * Use where a defensive branch keeps a defect from becoming memory corruption. */
#ifdef NDEBUG
#define GLIM_NEVER(x) (x)
#else
#define GLIM_NEVER(x) ((x) ? (assert(!#x), true) : false)
#endif

/* Checked arithmetic for sizes that came from outside: false means overflow and *out is undefined.
 */
static inline bool glim_add_size(size_t a, size_t b, size_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}
static inline bool glim_mul_size(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

#endif
