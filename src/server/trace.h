/* SPDX-License-Identifier: MIT
 * trace.h - the W3C header traceparent: which distributed trace a request belongs to.
 * Thread: any, pure. */
#ifndef GLIM_SERVER_TRACE_H
#define GLIM_SERVER_TRACE_H

#include "base/base.h"

/* Reads the value of a traceparent header; both ids are NUL-terminated hexadecimal digits. False, and both "", for anything
 * that the standard does not allow: the request then belongs to no trace.
 * Source: W3C Trace Context, level 1, sections 2.2.1 and 3.2.2, read 2026-11. */
bool glim_trace_parse(glim_str value, char trace_id[33], char span_id[17]);

#endif
