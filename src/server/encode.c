/* SPDX-License-Identifier: MIT
 * encode.c - one thread that computes texts for all encoders, a slice at a time.
 * Owns:   the queue and who is next.
 * How:    a slice is at most SLICE_TOKENS tokens of one encoder, taken from the exchanges that wait for it in their
 *         order, each at first no more than its share; then it goes to the end of the queue. So small requests travel
 *         together through the weights, and a large one delays them by a slice and not by its whole length.
 * Not here: texts to tokens, vectors to JSON (h_encode.c on a worker).
 * Thread: lock guards the queue; encoders are computed without it, on the queue's thread alone.
 * Fails:  an error of the engine fails the exchanges of that slice, and nobody else. */
#include "server/encode.h"

#include "server/server_priv.h"

#define SLICE_TOKENS 2048
#define SLICE_TEXTS 1024
#define SLICE_OWNERS 64 /* exchanges in a slice */

struct glim_encode_queue {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    glim_texts *first, **last;
    int64_t n_waiting, n_max;
    size_t n_token; /* of all that wait */
    double token_s; /* seconds a token, lately; 0: not known yet */
    atomic_bool stop;
    bool running;
    pthread_t thread;
    struct slice *slice;
};

/* What is computed at once. */
typedef struct slice {
    glim_encode_queue *q;
    glim_texts *owner[SLICE_OWNERS];
    size_t take[SLICE_OWNERS]; /* texts of each */
    size_t n_owner, n_text, n_token;
    glim_encoded in[SLICE_TEXTS];
} slice;

static bool is_gone(glim_exchange *x)
{
    pthread_mutex_lock(&x->lock);
    bool gone = x->gone;
    pthread_mutex_unlock(&x->lock);
    return gone;
}

/* Between layers: stops when nobody waits for the slice any more. */
static bool nobody_waits(void *user)
{
    const slice *s = user;
    if (atomic_load(&s->q->stop)) return true;
    for (size_t i = 0; i < s->n_owner; i++)
        if (!is_gone(s->owner[i]->x)) return false;
    return true;
}

/* Texts of different exchanges can share a slice when one call computes them. */
static bool fits(const glim_texts *a, const glim_texts *b)
{
    return a->x->host == b->x->host && a->rerank == b->rerank && a->normalize == b->normalize &&
           a->n_dim == b->n_dim;
}

/* Texts of t from i on that fit into `room` tokens; the first of a slice always does. */
static size_t texts_within(const slice *s, const glim_texts *t, size_t i, size_t room)
{
    size_t n = 0, used = 0;
    for (; i + n < t->n && s->n_text + n < SLICE_TEXTS; n++) {
        size_t k = t->in[i + n].n;
        if (used + k > room && (n > 0 || s->n_text > 0)) break;
        used += k;
    }
    return n;
}

static void add(slice *s, size_t i_owner, size_t n)
{
    glim_texts *t = s->owner[i_owner];
    size_t from = t->i_next + s->take[i_owner];
    for (size_t i = 0; i < n; i++) {
        s->in[s->n_text++] = t->in[from + i];
        s->n_token += t->in[from + i].n;
    }
    s->take[i_owner] += n;
}

/* Fills a slice for the first in the queue and those that can go with it. Each owner's texts lie together, in the order of
 * owners: so the share of the first is what the others leave. With the lock. */
static void choose(glim_encode_queue *q, slice *s)
{
    const glim_texts *head = q->first;
    size_t n_waiting = 0, n_behind = 0;
    for (const glim_texts *t = head; t && n_waiting < SLICE_OWNERS; t = t->next)
        if (fits(head, t)) {
            n_behind += n_waiting ? t->n_token : 0;
            n_waiting++;
        }
    size_t share = SLICE_TOKENS / GLIM_MAX(n_waiting, 1);
    size_t first = n_behind < SLICE_TOKENS - share ? SLICE_TOKENS - n_behind : share;
    for (glim_texts *t = q->first; t && s->n_owner < n_waiting; t = t->next) {
        if (!fits(head, t)) continue;
        size_t left = SLICE_TOKENS - GLIM_MIN(s->n_token, (size_t)SLICE_TOKENS);
        size_t room = GLIM_MIN(left, s->n_owner ? GLIM_MAX(share, left / 2) : first);
        size_t n = texts_within(s, t, t->i_next, room);
        if (n == 0) continue;
        s->owner[s->n_owner] = t;
        s->take[s->n_owner] = 0;
        add(s, s->n_owner++, n);
    }
}

static glim_err compute(slice *s, glim_error *e)
{
    const glim_texts *t = s->owner[0];
    glim_encoder *m = glim_host_encoder(t->x->host);
    size_t width = t->rerank ? 1 : (size_t)t->n_dim;
    glim_embed_opts o;
    glim_embed_opts_init(&o);
    o.normalize = t->normalize;
    o.n_dim = t->rerank ? 0 : t->n_dim;
    o.cancelled = nobody_waits;
    o.user = s;
    /* One owner's texts are computed where they belong. */
    float *out = s->n_owner == 1 ? t->out + t->i_next * width
                                 : glim_alloc_array(s->n_text * width, sizeof *out);
    if (!out) return glim_fail(e, GLIM_E_NOMEM, "out of memory; try again later");
    glim_err rc = t->rerank ? glim_rerank(m, s->in, s->n_text, &o, out, e)
                            : glim_embed(m, s->in, s->n_text, &o, out, e);
    if (s->n_owner == 1) return rc;
    const float *at = out;
    for (size_t i = 0; !rc && i < s->n_owner; i++) {
        glim_texts *k = s->owner[i];
        memcpy(k->out + k->i_next * width, at, s->take[i] * width * sizeof *at);
        at += s->take[i] * width;
    }
    glim_free(out);
    return rc;
}

/* Takes t out of the queue. With the lock. */
static void take_out(glim_encode_queue *q, glim_texts *t)
{
    glim_texts **at = &q->first;
    while (*at != t)
        at = &(*at)->next;
    *at = t->next;
    if (!t->next) q->last = at;
    t->next = NULL;
    q->n_waiting--;
    q->n_token -= t->n_token;
}

static void put_in(glim_encode_queue *q, glim_texts *t)
{
    t->next = NULL;
    *q->last = t;
    q->last = &t->next;
    q->n_waiting++;
    q->n_token += t->n_token;
}

/* What the slice has done to its owners: some are finished, the others go to the end. The finished ones come back as a
 * list. With the lock. */
static glim_texts *settle(glim_encode_queue *q, slice *s, glim_err rc, const glim_error *e)
{
    glim_texts *over = NULL;
    for (size_t i = 0; i < s->n_owner; i++) {
        glim_texts *t = s->owner[i];
        take_out(q, t);
        for (size_t k = 0; k < s->take[i]; k++)
            t->n_token -= t->in[t->i_next + k].n;
        t->i_next += s->take[i];
        if (rc) {
            t->failed = true;
            t->e = *e;
        }
        if (rc || t->i_next == t->n) {
            t->next = over;
            over = t;
        } else {
            put_in(q, t);
        }
    }
    return over;
}

/* Those whose client left. With the lock, which may be held here: x's own lock is below it. */
static glim_texts *drop_gone(glim_encode_queue *q)
{
    glim_texts *over = NULL;
    for (glim_texts *t = q->first, *next; t; t = next) {
        next = t->next;
        if (!is_gone(t->x)) continue;
        take_out(q, t);
        t->failed = true;
        (void)!glim_fail(&t->e, GLIM_E_CANCELLED, "the client left");
        t->next = over;
        over = t;
    }
    return over;
}

static void finish(glim_texts *over)
{
    for (glim_texts *next; over; over = next) {
        next = over->next;
        glim_exchange *x = over->x;
        over->done(over);
        glim_exchange_unref(x);
    }
}

static void *work(void *arg)
{
    glim_encode_queue *q = arg;
    slice *s = q->slice;
    pthread_mutex_lock(&q->lock);
    while (!atomic_load(&q->stop)) {
        if (!q->first) {
            pthread_cond_wait(&q->wake, &q->lock);
            continue;
        }
        glim_texts *over = drop_gone(q);
        if (!over && q->first) {
            glim_error e = {0};
            s->n_owner = s->n_text = s->n_token = 0;
            choose(q, s);
            uint64_t t0 = glim_now_ns();
            pthread_mutex_unlock(&q->lock);
            glim_err rc = compute(s, &e);
            pthread_mutex_lock(&q->lock);
            double now = (double)(glim_now_ns() - t0) / 1e9 / (double)s->n_token;
            q->token_s = q->token_s > 0 ? 0.8 * q->token_s + 0.2 * now : now;
            over = settle(q, s, rc, &e);
        }
        pthread_mutex_unlock(&q->lock);
        finish(over);
        pthread_mutex_lock(&q->lock);
    }
    pthread_mutex_unlock(&q->lock);
    return NULL;
}

glim_err glim_encode_queue_new(int64_t n_max, glim_encode_queue **out, glim_error *e)
{
    glim_encode_queue *q = glim_new0(glim_encode_queue);
    if (q) q->slice = glim_new0(slice);
    if (!q || !q->slice) {
        glim_free(q);
        return glim_fail(e, GLIM_E_NOMEM, "queue of the encoders");
    }
    q->slice->q = q;
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->wake, NULL);
    atomic_init(&q->stop, false);
    q->last = &q->first;
    q->n_max = GLIM_MAX(n_max, 1);
    int err = pthread_create(&q->thread, NULL, work, q);
    if (err) {
        glim_encode_queue_free(q);
        return glim_fail(e, GLIM_E_FULL, "cannot start the thread of the encoders: %s",
                         strerror(err));
    }
    q->running = true;
    *out = q;
    return GLIM_OK;
}

void glim_encode_queue_stop(glim_encode_queue *q)
{
    if (!q || !q->running) return;
    pthread_mutex_lock(&q->lock);
    atomic_store(&q->stop, true);
    pthread_cond_broadcast(&q->wake);
    pthread_mutex_unlock(&q->lock);
    pthread_join(q->thread, NULL);
    q->running = false;
    for (glim_texts *t = q->first, *next; t; t = next) {
        next = t->next;
        glim_exchange_unref(t->x); /* t lives in x */
    }
    q->first = NULL;
    q->last = &q->first;
}

void glim_encode_queue_free(glim_encode_queue *q)
{
    if (!q) return;
    pthread_cond_destroy(&q->wake);
    pthread_mutex_destroy(&q->lock);
    glim_free(q->slice);
    glim_free(q);
}

glim_err glim_encode_push(glim_encode_queue *q, glim_texts *t, int64_t *wait_s, glim_error *e)
{
    glim_err rc = GLIM_OK;
    t->i_next = 0;
    t->n_token = 0;
    for (size_t i = 0; i < t->n; i++)
        t->n_token += t->in[i].n;
    glim_exchange_ref(t->x);
    pthread_mutex_lock(&q->lock);
    if (atomic_load(&q->stop)) {
        rc = glim_fail(e, GLIM_E_STATE, "the server is going down; try again later");
    } else if (q->n_waiting >= q->n_max) {
        double s = q->token_s * (double)q->n_token / 2 + 0.999;
        *wait_s = (int64_t)GLIM_MIN(GLIM_MAX(s, 1), 120);
        rc = glim_fail(e, GLIM_E_FULL, "%lld requests wait for an encoder already",
                       (long long)q->n_waiting);
    } else {
        put_in(q, t);
        pthread_cond_signal(&q->wake);
    }
    pthread_mutex_unlock(&q->lock);
    if (rc) glim_exchange_unref(t->x);
    return rc;
}
