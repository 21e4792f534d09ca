/* SPDX-License-Identifier: MIT
 * loop.c - notices an answer that only repeats itself.
 * Rule: the last tokens repeat with some period p, at least 8 times and over at least 256 tokens. A short legitimate
 *       repetition (a row of dashes, a list of zeros) stays below that; an endless one never does.
 * Layout: run[p] counts for how many tokens in a row token i equalled token i - p; one addition a period and token.
 * Thread: engine. */
#include "engine/engine_int.h"

#define TIMES_MIN 8
#define TOKENS_MIN 256

void glim_loop_init(glim_loop *l)
{
    memset(l, 0, sizeof *l);
}

bool glim_loop_push(glim_loop *l, int32_t id)
{
    bool looping = false;
    for (int64_t p = 1; p <= GLIM_LOOP_PERIOD_MAX && p <= l->n; p++) {
        bool same = l->last[(l->n - p) % GLIM_LOOP_PERIOD_MAX] == id;
        l->run[p - 1] = same ? l->run[p - 1] + 1 : 0;
        int64_t span = l->run[p - 1] + p;
        looping |= same && span >= TOKENS_MIN && span >= TIMES_MIN * p;
    }
    l->last[l->n++ % GLIM_LOOP_PERIOD_MAX] = id;
    return looping;
}
