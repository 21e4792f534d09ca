/* SPDX-License-Identifier: MIT
 * ck.h - support of checkkern: guarded buffers, test data, comparison.
 * Layout: a buffer ends at a page that may not be touched; what lies before it and between rows
 * is poisoned. */
#ifndef GLIM_TESTS_CK_H
#define GLIM_TESTS_CK_H

#include "kernels/kernels.h"

#include <float.h>
#include <math.h>

#define CK_POISON 0xa5

/* How test data is made. NORMAL to MIX stay in the range where both sides are finite. */
typedef enum ck_fill {
    CK_NORMAL,  /* -1..1 */
    CK_ZERO,    /* zeros of both signs */
    CK_DENORM,  /* below 2^-126 */
    CK_BIG,     /* around 1e15 */
    CK_SMALL,   /* around 1e-15 */
    CK_MIX,     /* magnitudes 2^-20 .. 2^20 side by side */
    CK_HOSTILE, /* NaN, infinities, largest numbers, random bits: nothing may crash */
    CK_FILL_COUNT
} ck_fill;

typedef struct ck {
    const glim_kernels *ref, *fast;
    const char *slot, *name; /* of the row under test */
    glim_type type;          /* of slots that are arrays */
    bool wide;               /* products are those of gemm_wide */
    glim_rng rng;
    char where[160]; /* case at hand, for messages and for the crash handler */
    uint64_t n_case, n_fail;
    double worst;              /* largest error in units of the slot's class */
    double nmse_num, nmse_den; /* of whole slot against unrounded input; see check_dot */
} ck;

/* Text of the case that comes next. */
void ck_case(ck *c, const char *fmt, ...) GLIM_PRINTF(2, 3);
/* Counts and prints (the first few of a slot) a failure of the case. */
void ck_fail(ck *c, const char *fmt, ...) GLIM_PRINTF(2, 3);

/* n bytes, `gap` bytes before a guard page; all poison. Lives until ck_release(). */
void *ck_bytes(size_t n, size_t gap);
float *ck_floats(int64_t n);
/* No more writing to the buffer that holds p. */
void ck_seal(const void *p);
/* Fails the case if a byte before the buffer p was written. */
void ck_check_front(ck *c, const void *p);
void ck_release(void);

void ck_fill_f32(ck *c, float *p, int64_t n, ck_fill how);
/* n elements of type t in a sealed guarded buffer of rows `pad` bytes apart; NULL (and a failure)
 * when there is no way to make weights of that type. */
void *ck_weights(ck *c, glim_type t, int64_t n_row, int64_t n, size_t pad, size_t gap, ck_fill how);
size_t ck_row_bytes(glim_type t, int64_t n);

/* |got - want| <= k * eps * mag, plus what underflow may cost over n terms. NaN equals NaN. */
void ck_mag(ck *c, double k, float want, float got, double mag, int64_t n);
void ck_same(ck *c, const void *want, const void *got, size_t n); /* every byte */
void ck_same_f32(ck *c, const float *want, const float *got, int64_t n,
                 const char *what); /* NaN equals NaN */
/* floor: size of an element below which it only is what cancellation left over; 0 for none. */
void ck_nmse(ck *c, double limit, double floor, const float *want, const float *got, int64_t n,
             const char *what);

/* bench.c: times the slot of a row and of ref; one JSON line each case. */
void ck_bench(ck *c, glim_cpu_level level);

#endif
