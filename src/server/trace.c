/* SPDX-License-Identifier: MIT
 * trace.c - reads traceparent: "VERSION-TRACE_ID-SPAN_ID-FLAGS", fields of 2, 32, 16 and 2 small hexadecimal digits.
 * Not here: tracestate, which only the programs that wrote it understand; the log line (exchange.c).
 * Thread: any, pure.
 * See:    tests/unit/server_aux/test_trace.c */
#include "server/trace.h"

enum { WIDTH = 55 }; /* of version 00, and the least of any */

/* n small hexadecimal digits at s; *zero says that they are all 0. */
static bool is_hex(const char *s, size_t n, bool *zero)
{
    *zero = true;
    for (size_t i = 0; i < n; i++) {
        if (!(s[i] >= '0' && s[i] <= '9') && !(s[i] >= 'a' && s[i] <= 'f')) return false;
        if (s[i] != '0') *zero = false;
    }
    return true;
}

bool glim_trace_parse(glim_str value, char trace_id[33], char span_id[17])
{
    bool version_zero, trace_zero, span_zero, flags_zero;
    const char *p = value.p;
    trace_id[0] = span_id[0] = '\0';
    if (value.n < WIDTH || p[2] != '-' || p[35] != '-' || p[52] != '-') return false;
    if (!is_hex(p, 2, &version_zero) || !is_hex(p + 3, 32, &trace_zero) ||
        !is_hex(p + 36, 16, &span_zero) || !is_hex(p + 53, 2, &flags_zero))
        return false;
    if (trace_zero || span_zero || memcmp(p, "ff", 2) == 0) return false;
    /* Later versions may add fields behind these; this one has none. */
    if (value.n > WIDTH && (version_zero || p[WIDTH] != '-')) return false;
    memcpy(trace_id, p + 3, 32);
    trace_id[32] = '\0';
    memcpy(span_id, p + 36, 16);
    span_id[16] = '\0';
    return true;
}
