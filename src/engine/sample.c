/* SPDX-License-Identifier: MIT
 * sample.c - picks a token: bias and penalties, temperature, then top-k, top-p, min-p, without sorting the vocabulary.
 * How:  probabilities go into buckets by their distance to the best logit; the bucket that a limit cuts
 *       through is the only one that is sorted. A limit becomes one (probability, id) pair: everything
 *       before it stays. Ties go to the lower id.
 * Order as in the vendor's own servers: top-p looks at what top-k left, renormalised; min-p at the
 *       distance to the best.
 * Thread: engine. Deterministic for a seed. */
#include "engine/engine_int.h"

#include <math.h>
#include <stdlib.h>

#define N_BUCKET 1024
#define BUCKETS_PER_NAT 32.0f /* 32 nats in all; what lies beyond shares the last bucket */

glim_err glim_sampler_init(glim_sampler *s, const glim_gen_opts *o, size_t n_vocab, glim_error *e)
{
    *s = (glim_sampler){.o = *o, .n = n_vocab};
    glim_rng_seed(&s->rng, o->has_seed ? o->seed : glim_entropy());
    glim_ids_init(&s->history, INT32_MAX);
    s->logits = glim_alloc_array(n_vocab, sizeof *s->logits);
    s->p = glim_alloc_array(n_vocab, sizeof *s->p);
    s->sorted = glim_alloc_array(n_vocab, sizeof *s->sorted);
    s->count = glim_alloc_array(n_vocab, sizeof *s->count);
    s->seen = glim_alloc0(n_vocab);
    if (!s->logits || !s->p || !s->sorted || !s->count || !s->seen) {
        glim_sampler_deinit(s);
        return glim_fail(e, GLIM_E_NOMEM, "sampler for %zu tokens", n_vocab);
    }
    return GLIM_OK;
}

void glim_sampler_deinit(glim_sampler *s)
{
    glim_ids_deinit(&s->history);
    glim_free(s->logits);
    glim_free(s->p);
    glim_free(s->sorted);
    glim_free(s->count);
    glim_free(s->seen);
    *s = (glim_sampler){0};
}

glim_err glim_sampler_see(glim_sampler *s, int32_t id, bool answer, glim_error *e)
{
    if (id < 0 || (size_t)id >= s->n) return GLIM_OK;
    s->seen[id] = 1;
    if (answer) s->count[id]++;
    if (s->o.dry_multiplier <= 0) return GLIM_OK;
    glim_err rc = glim_ids_add(&s->history, id);
    return rc ? glim_fail(e, rc, "history of the sampler") : GLIM_OK;
}

/* ---- bias and penalties ---------------------------------------------------------------------- */

static bool adjusts(const glim_gen_opts *o)
{
    return o->n_bias || o->repetition_penalty != 1 || o->presence_penalty != 0 ||
           o->frequency_penalty != 0 || o->dry_multiplier > 0;
}

/* Repetitions longer than this are not measured: base^50 is beyond any logit already. */
#define DRY_LENGTH_MAX 50

/* Lowers the logits of tokens that would continue an earlier run of the last tokens. Source: p-e-w 2024, "DRY". */
static void penalise_repetition(const glim_sampler *s, float *x)
{
    const glim_gen_opts *o = &s->o;
    const int32_t *h = s->history.p;
    size_t n = s->history.n, from = 0;
    if (o->dry_range >= 0 && (size_t)o->dry_range < n) from = n - (size_t)o->dry_range;
    for (size_t i = from + 1; i < n; i++) {
        /* h[i] followed a run that ends at i - 1: how much of it ends the text as well? */
        size_t len = 0;
        while (len < DRY_LENGTH_MAX && len < i - from && h[i - 1 - len] == h[n - 1 - len])
            len++;
        if (len < (size_t)o->dry_allowed_length) continue;
        float penalty =
            o->dry_multiplier * powf(o->dry_base, (float)len - (float)o->dry_allowed_length);
        float lowered = s->logits[h[i]] - penalty;
        if (lowered < x[h[i]]) x[h[i]] = lowered; /* the longest run counts, not their sum */
    }
}

/* The logits that are sampled from, in s->logits. */
static const float *adjust(glim_sampler *s, const float *logits, const int32_t *banned,
                           size_t n_banned)
{
    const glim_gen_opts *o = &s->o;
    float *x = s->logits;
    memcpy(x, logits, s->n * sizeof *x);
    for (size_t i = 0; i < s->n; i++) {
        if (s->seen[i] && o->repetition_penalty != 1)
            x[i] = x[i] > 0 ? x[i] / o->repetition_penalty : x[i] * o->repetition_penalty;
        if (s->count[i]) x[i] -= o->presence_penalty + o->frequency_penalty * (float)s->count[i];
    }
    if (o->dry_multiplier > 0) {
        memcpy(s->p, x,
               s->n * sizeof *x); /* penalise_repetition() reads the one and lowers the other */
        float *keep = s->logits;
        s->logits = s->p;
        penalise_repetition(s, x);
        s->logits = keep;
    }
    for (size_t i = 0; i < o->n_bias; i++)
        x[o->biases[i].id] =
            o->biases[i].bias <= -100 ? -INFINITY : x[o->biases[i].id] + o->biases[i].bias;
    for (size_t i = 0; i < n_banned; i++)
        x[banned[i]] = -INFINITY;
    return x;
}

/* ---- limits ---------------------------------------------------------------------------------- */

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
        bucket_mass[k] += (double)s->p[i];
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
        sum += (double)c.p;
        if (++count >= n_max || sum >= mass) break;
    }
    return c;
}

/* Mass of the kept tokens in the order of ids, up to the first where it exceeds `upto`; *last is that token. */
static double mass_of(const glim_sampler *s, cut c, double upto, int32_t *last)
{
    double sum = 0;
    for (size_t i = 0; i < s->n; i++) {
        if (!(s->p[i] > 0) || !kept(c, s->p[i], (int32_t)i)) continue;
        sum += (double)s->p[i];
        if (last) *last = (int32_t)i;
        if (sum > upto) break;
    }
    return sum;
}

/* Highest finite logit, or n. */
static size_t best_of(const float *x, size_t n)
{
    size_t best = n;
    for (size_t i = 0; i < n; i++)
        if (x[i] > -INFINITY && x[i] < INFINITY && (best == n || x[i] > x[best])) best = i;
    return best;
}

glim_err glim_sample(glim_sampler *s, const float *logits, size_t n, const int32_t *banned,
                     size_t n_banned, int32_t *id, glim_error *e)
{
    if (GLIM_NEVER(n != s->n)) return glim_fail(e, GLIM_E_INTERNAL, "sampler of another model");
    const float *x = n_banned || adjusts(&s->o) ? adjust(s, logits, banned, n_banned) : logits;
    size_t best = best_of(x, n);
    if (best == n)
        return glim_fail(
            e, GLIM_E_FAIL,
            "the model gave no finite logit: the file is damaged, every token is banned, "
            "or a kernel is at fault (try --cpu ref)");
    *id = (int32_t)best;
    if (s->o.temperature <= 0 || s->o.top_k == 1) return GLIM_OK;

    float top = x[best], inv = 1.0f / s->o.temperature;
    for (size_t i = 0; i < n; i++) {
        float d = (x[i] - top) * inv;
        s->p[i] = d <= 0 ? expf(d) : 0; /* NaN and +infinity fail the comparison */
    }
    cut c = {0, INT32_MAX};
    if (s->o.top_k > 0 && (size_t)s->o.top_k < n) c = find_cut(s, c, s->o.top_k, INFINITY);
    if (s->o.top_p < 1)
        c = find_cut(s, c, INT64_MAX, (double)s->o.top_p * mass_of(s, c, INFINITY, NULL));
    if (s->o.min_p > 0 && c.p < s->o.min_p) c = (cut){s->o.min_p, INT32_MAX};
    double total = mass_of(s, c, INFINITY, NULL);
    (void)mass_of(s, c, glim_rng_f64(&s->rng) * total, id);
    return GLIM_OK;
}

/* ---- log-probabilities ----------------------------------------------------------------------- */

void glim_top_logprobs(const float *logits, size_t n, int32_t chosen, glim_logprob *top,
                       size_t n_top, glim_logprob *of)
{
    float best = -INFINITY;
    double sum = 0;
    size_t have = 0;
    for (size_t i = 0; i < n; i++)
        if (logits[i] < INFINITY && logits[i] > best) best = logits[i];
    for (size_t i = 0; i < n; i++)
        if (logits[i] <= best) sum += exp((double)logits[i] - (double)best);
    double norm = (double)best + log(sum);
    for (size_t i = 0; i < n; i++) {
        if (!(logits[i] <= best)) continue;
        float lp = (float)((double)logits[i] - norm);
        if (have == n_top && (n_top == 0 || lp <= top[have - 1].logprob)) continue;
        /* A short list kept sorted: n_top is at most 20. Ties stay in the order of ids. */
        size_t at = have < n_top ? have++ : have - 1;
        while (at > 0 && top[at - 1].logprob < lp)
            top[at] = top[at - 1], at--;
        top[at] = (glim_logprob){.id = (int32_t)i, .logprob = lp};
    }
    /* Tokens beyond the list that n_top promises (a vocabulary smaller than it) are absent. */
    for (size_t i = have; i < n_top; i++)
        top[i] = (glim_logprob){.id = -1, .logprob = -INFINITY};
    *of = (glim_logprob){.id = chosen, .logprob = (float)((double)logits[chosen] - norm)};
}
