/* SPDX-License-Identifier: MIT
 * sample.c - picks a token: temperature, then top-k, top-p, min-p, without sorting the vocabulary.
 * How:  probabilities go into buckets by their distance to the best logit; the bucket that a limit
 * cuts through is the only one that is sorted. A limit becomes one (logit, id) pair: everything
 * before it stays. Ties go to the lower id. Order as in the vendor's own servers: top-p looks at
 * what top-k left, renormalised; min-p at the distance to the best. Thread: engine. Deterministic
 * for a seed. */
#include "engine/engine_int.h"

#include <math.h>
#include <stdlib.h>

#define N_BUCKET 1024
#define BUCKETS_PER_NAT 32.0f /* 32 nats in all; what lies beyond shares the last bucket */

glim_err glim_sampler_init(glim_sampler *s, const glim_gen_opts *o, size_t n_vocab, glim_error *e)
{
    *s = (glim_sampler){.temperature = o->temperature,
                        .top_p = o->top_p,
                        .min_p = o->min_p,
                        .top_k = o->top_k,
                        .n = n_vocab};
    glim_rng_seed(&s->rng, o->has_seed ? o->seed : glim_entropy());
    s->p = glim_alloc_array(n_vocab, sizeof *s->p);
    s->sorted = glim_alloc_array(n_vocab, sizeof *s->sorted);
    if (!s->p || !s->sorted) {
        glim_sampler_deinit(s);
        return glim_fail(e, GLIM_E_NOMEM, "sampler for %zu tokens", n_vocab);
    }
    return GLIM_OK;
}

void glim_sampler_deinit(glim_sampler *s)
{
    glim_free(s->p);
    glim_free(s->sorted);
    s->p = NULL;
    s->sorted = NULL;
}

/* Keeps tokens whose probability is above p, or equal to it with an id up to `id`. */
typedef struct cut {
    float p;
    int32_t id;
} cut;

static bool kept(cut c, float p, int32_t id)
{
    return p > c.p || (p == c.p && id <= c.id);
}

/* Bucket of a probability relative to the best one (p in (0, 1]); 0 and NaN never get here. */
static int bucket_of(float p)
{
    float d = -logf(p) * BUCKETS_PER_NAT;
    return d < N_BUCKET - 1 ? (int)d : N_BUCKET - 1;
}

static _Thread_local const float *sort_p; /* qsort() hands no context to the comparison */

static int by_probability(const void *a, const void *b)
{
    int32_t i = *(const int32_t *)a, j = *(const int32_t *)b;
    if (sort_p[i] != sort_p[j]) return sort_p[i] > sort_p[j] ? -1 : 1;
    return i < j ? -1 : i > j;
}

/* The limit that keeps the most probable tokens up to n_max of them, or until their mass reaches
 * `mass`, whichever comes first; at least one. Only tokens that `before` keeps are looked at. */
static cut find_cut(glim_sampler *s, cut before, int64_t n_max, double mass)
{
    double bucket_mass[N_BUCKET] = {0}, sum = 0;
    int64_t bucket_n[N_BUCKET] = {0}, count = 0;
    size_t n_sorted = 0;
    int b = 0;
    for (size_t i = 0; i < s->n; i++) {
        if (!(s->p[i] > 0) || !kept(before, s->p[i], (int32_t)i)) continue;
        int k = bucket_of(s->p[i]);
        bucket_mass[k] += s->p[i];
        bucket_n[k]++;
    }
    while (b < N_BUCKET - 1 && count + bucket_n[b] < n_max && sum + bucket_mass[b] < mass) {
        count += bucket_n[b];
        sum += bucket_mass[b++];
    }
    for (size_t i = 0; i < s->n; i++)
        if (s->p[i] > 0 && kept(before, s->p[i], (int32_t)i) && bucket_of(s->p[i]) == b)
            s->sorted[n_sorted++] = (int32_t)i;
    sort_p = s->p;
    qsort(s->sorted, n_sorted, sizeof *s->sorted, by_probability);
    cut c = before;
    for (size_t i = 0; i < n_sorted; i++) {
        c = (cut){s->p[s->sorted[i]], s->sorted[i]};
        sum += c.p;
        if (++count >= n_max || sum >= mass) break;
    }
    return c;
}

static double mass_of(const glim_sampler *s, cut c, double upto, int32_t *last)
{
    double sum = 0;
    for (size_t i = 0; i < s->n; i++) {
        if (!(s->p[i] > 0) || !kept(c, s->p[i], (int32_t)i)) continue;
        sum += s->p[i];
        if (last) *last = (int32_t)i;
        if (sum > upto) break;
    }
    return sum;
}

glim_err glim_sample(glim_sampler *s, const float *logits, size_t n, int32_t *id, glim_error *e)
{
    size_t best = n;
    for (size_t i = 0; i < n; i++)
        if (logits[i] > -INFINITY && logits[i] < INFINITY &&
            (best == n || logits[i] > logits[best]))
            best = i;
    if (best == n || n != s->n)
        return glim_fail(e, GLIM_E_FAIL,
                         "the model gave no finite logit: the file is damaged, or a kernel is at "
                         "fault (try --cpu ref)");
    *id = (int32_t)best;
    if (s->temperature <= 0 || s->top_k == 1) return GLIM_OK;

    float top = logits[best], inv = 1.0f / s->temperature;
    for (size_t i = 0; i < n; i++) {
        float d = (logits[i] - top) * inv;
        s->p[i] = d <= 0 ? expf(d) : 0; /* NaN and +infinity fail the comparison */
    }
    cut c = {0, INT32_MAX};
    if (s->top_k > 0 && (size_t)s->top_k < n) c = find_cut(s, c, s->top_k, INFINITY);
    if (s->top_p < 1) c = find_cut(s, c, INT64_MAX, s->top_p * mass_of(s, c, INFINITY, NULL));
    if (s->min_p > 0 && c.p < s->min_p) c = (cut){s->min_p, INT32_MAX};
    double total = mass_of(s, c, INFINITY, NULL);
    (void)mass_of(s, c, glim_rng_f64(&s->rng) * total, id);
    return GLIM_OK;
}
