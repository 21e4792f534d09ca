/* SPDX-License-Identifier: MIT
 * metrics.h - counters of the server and their text for Prometheus.
 * Thread: any, all functions but new and free; no call waits for another. */
#ifndef GLIM_SERVER_METRICS_H
#define GLIM_SERVER_METRICS_H

#include "base/base.h"

typedef struct glim_metrics glim_metrics;

typedef enum glim_metric {
#define METRIC(id, kind, name, help, ...) GLIM_METRIC_##id,
#include "server/metrics.def"
#undef METRIC
    GLIM_METRIC_COUNT
} glim_metric;

#define GLIM_METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* The routes are the values that the label "route" may have; others count as "other". Copies both. NULL: out of memory. */
glim_metrics *glim_metrics_new(const char *version, const char *const *routes, size_t n_route);
void glim_metrics_free(glim_metrics *m); /* NULL is fine */

/* A call with a metric of another kind does nothing (and is a defect). */
void glim_metric_add(glim_metrics *m, glim_metric id, uint64_t n);        /* COUNTER; SECONDS: n nanoseconds */
void glim_metric_set(glim_metrics *m, glim_metric id, int64_t value);     /* GAUGE */
void glim_metric_move(glim_metrics *m, glim_metric id, int64_t by);       /* GAUGE */
void glim_metric_raise(glim_metrics *m, glim_metric id, int64_t value);   /* GAUGE: to value unless it is higher */
void glim_metric_observe(glim_metrics *m, glim_metric id, uint64_t ns);   /* HISTOGRAM */
/* An answer: i_route is an index of routes, anything beyond them "other"; status as it was sent (a status that the table
 * does not know is "other" too). */
void glim_metric_request(glim_metrics *m, size_t i_route, int status);

/* For tests and log lines: the value of a counter or gauge, nanoseconds of a SECONDS, the number of observations of a
 * histogram, thousandths of a SPEED. */
int64_t glim_metric_value(const glim_metrics *m, glim_metric id);

/* Appends all metrics in the text form 0.0.4 (prometheus.io/docs/instrumenting/exposition_formats, read 2026-11). Numbers
 * that other threads change meanwhile are of slightly different moments; within a histogram buckets and count agree.
 * Errors: NOMEM, LIMIT. */
GLIM_MUST_USE glim_err glim_metrics_encode(const glim_metrics *m, glim_buf *out);

#endif
