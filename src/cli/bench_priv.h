/* SPDX-License-Identifier: MIT
 * bench_priv.h - what cmd_bench.c measures and bench_table.c prints. */
#ifndef GLIM_CLI_BENCH_PRIV_H
#define GLIM_CLI_BENCH_PRIV_H

#include "cli/cli_priv.h"

typedef enum glim_bench_form { GLIM_BENCH_MD, GLIM_BENCH_JSON, GLIM_BENCH_CSV } glim_bench_form;

/* A prompt (n_gen 0) or generated text (n_prompt 0) behind n_depth tokens. */
typedef struct glim_bench_test {
    int64_t n_prompt, n_gen, n_depth, n_stream;
} glim_bench_test;

typedef struct glim_bench_result {
    glim_bench_test test;
    int64_t n_rep;
    double *ns, *ts;     /* [n_rep] time of a run, tokens a second; all streams together */
    double step_bytes;   /* mean bytes of weights and cache a generated token reads; prompts: 0 */
    double read_bytes_s; /* bandwidth measured beside it; 0: not */
    double wait_share;   /* of the test that threads waited for a processor; NaN: unknown */
    uint64_t peak_rss;   /* of the process so far, bytes */
    char test_time[32];  /* UTC, when the test began */
} glim_bench_result;

/* What is the same in all rows. */
typedef struct glim_bench_model {
    const char *path, *kv;
    char type[96]; /* "deepseek2 29.9B Q4_K" */
    const glim_model_info *info;
} glim_bench_model;

typedef struct glim_bench_table {
    glim_bench_form form;
    bool with_machine, any_row;
} glim_bench_table;

/* Order of calls: begin (machine NULL: not measured), row for each result, end, also after a
 * failure: what stands on standard output is whole then. Errors: NOMEM. */
GLIM_MUST_USE glim_err glim_bench_begin(glim_bench_table *t, glim_bench_form form,
                                        const glim_machine *machine, glim_error *e);
GLIM_MUST_USE glim_err glim_bench_row(glim_bench_table *t, const glim_bench_model *m,
                                      const glim_bench_result *r, glim_error *e);
void glim_bench_end(glim_bench_table *t, const glim_bench_model *m); /* m NULL: no test was run */

typedef struct glim_bench_stat {
    double mean, deviation, median; /* deviation: of a sample, 0 with one run */
} glim_bench_stat;
glim_bench_stat glim_bench_stat_of(const double *v, int64_t n);

#endif
