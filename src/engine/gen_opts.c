/* SPDX-License-Identifier: MIT
 * gen_opts.c - settings of a generation: what the model proposes, ranges. The defaults are base/chat.c's.
 * Thread: any, pure.
 * Fails:  INPUT naming the setting, its value and its range. */
#include "engine/engine_int.h"

#include <math.h>

#define STOP_STRINGS_MAX 16
#define STOP_BYTES_MAX 1024

#define BIASES_MAX 1024

/* A named number must lie in a range. */
static glim_err check_range(const char *name, double v, double min, double max, glim_error *e)
{
    if (v >= min && v <= max) return GLIM_OK;
    return glim_fail(e, GLIM_E_INPUT, "%s: %g is beyond %g to %g", name, v, min, max);
}

static glim_err check_extras(const glim_model *m, glim_gen_opts *o, glim_error *e)
{
    const struct {
        const char *name;
        double v, min, max;
    } ranges[] = {
        {"repetition_penalty", (double)o->repetition_penalty, 1e-3, 10},
        {"presence_penalty", (double)o->presence_penalty, -2, 2},
        {"frequency_penalty", (double)o->frequency_penalty, -2, 2},
        {"logprobs", o->n_logprob, -1, GLIM_LOGPROBS_MAX},
        {"min_tokens", (double)o->n_min, 0, INT32_MAX},
        {"think_budget", (double)o->think_budget, -1, INT32_MAX},
        {"logit_bias entries", (double)o->n_bias, 0, BIASES_MAX},
        {"dry_multiplier", (double)o->dry_multiplier, 0, 100},
        {"dry_base", (double)o->dry_base, 1, 10},
        {"dry_allowed_length", o->dry_allowed_length, 0, 1 << 20},
        {"dry_range", o->dry_range, -1, INT32_MAX},
    };
    glim_err rc = GLIM_OK;
    for (size_t i = 0; !rc && i < GLIM_COUNT(ranges); i++)
        rc = check_range(ranges[i].name, ranges[i].v, ranges[i].min, ranges[i].max, e);
    for (size_t i = 0; !rc && i < o->n_bias; i++) {
        rc = check_range("logit_bias", (double)o->biases[i].bias, -100, 100, e);
        if (!rc && (o->biases[i].id < 0 || o->biases[i].id >= m->core->n_vocab))
            rc = glim_fail(e, GLIM_E_INPUT, "logit_bias: token id %d is out of range: 0 to %lld",
                           (int)o->biases[i].id, (long long)m->core->n_vocab - 1);
    }
    if (o->loop_stop == GLIM_UNSET) o->loop_stop = o->ignore_eos ? GLIM_OFF : GLIM_ON;
    return rc;
}

glim_err glim_gen_resolve(const glim_model *m, const glim_gen_opts *given, glim_gen_opts *out,
                          glim_error *e)
{
    glim_gen_opts_init(out);
    if (given) memcpy(out, given, GLIM_MIN(given->size, sizeof *out));
    out->size = sizeof *out;
    if (isnan(out->temperature)) out->temperature = m->gen.temperature;
    if (isnan(out->top_p)) out->top_p = m->gen.top_p;
    if (isnan(out->min_p)) out->min_p = m->gen.min_p;
    if (out->top_k < 0) out->top_k = m->gen.top_k;
    if (!(out->temperature >= 0 && out->temperature <= 5))
        return glim_fail(e, GLIM_E_INPUT, "temperature: %g is beyond 0 to 5",
                         (double)out->temperature);
    if (!(out->top_p > 0 && out->top_p <= 1))
        return glim_fail(e, GLIM_E_INPUT, "top_p: %g is beyond 0 (excluded) to 1",
                         (double)out->top_p);
    if (!(out->min_p >= 0 && out->min_p < 1))
        return glim_fail(e, GLIM_E_INPUT, "min_p: %g is beyond 0 to 1 (excluded)",
                         (double)out->min_p);
    if (out->n_max < -1 || out->n_max == 0)
        return glim_fail(e, GLIM_E_INPUT, "max_tokens: %lld; at least 1", (long long)out->n_max);
    if (out->n_stop > STOP_STRINGS_MAX)
        return glim_fail(e, GLIM_E_INPUT, "stop: %zu strings; at most %d", out->n_stop,
                         STOP_STRINGS_MAX);
    for (size_t i = 0; i < out->n_stop; i++)
        if (out->stops[i].n == 0 || out->stops[i].n > STOP_BYTES_MAX)
            return glim_fail(e, GLIM_E_INPUT,
                             "stop: string %zu has %zu bytes; 1 to %d are possible", i + 1,
                             out->stops[i].n, STOP_BYTES_MAX);
    return check_extras(m, out, e);
}
