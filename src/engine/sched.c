/* SPDX-License-Identifier: MIT
 * sched.c - many generations on one model: a queue, slots, turns.
 * Owns:   the engine thread, the sessions, every job that is not done.
 * Layout: submit puts jobs into the queue; the thread moves them into slots, in order, and gives
 *         every running one a turn: a token, or a piece of its prompt. When the cache's pages run
 *         out, idle slots forget what they hold; then the youngest job is parked: it gives its
 *         pages back and computes them again once there is room. The oldest is never parked, so
 *         something always ends.
 * Thread: lock guards the queue, the slots' states and the figures; it is never held while
 *         something is computed or a callback runs.
 * Fails:  a job that fails ends with its error; the others go on. */
#include "engine/engine_int.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

typedef enum job_state { JOB_WAITING, JOB_RUNNING, JOB_DONE } job_state;

struct glim_job {
    glim_sched *s;
    glim_gen *g;
    void (*done)(void *user, const glim_error *e);
    void *user;
    atomic_int n_ref;
    uint64_t number; /* in order of submission */
    size_t n_prompt;
    /* guarded by the scheduler's lock */
    job_state state;
    bool cancel, pause;
    int i_slot; /* -1: none */
    glim_job *next;
};

typedef struct slot {
    glim_session *session;
    glim_job *job;    /* NULL: free */
    uint64_t used_ns; /* when it became free or got its job */
    /* copies for glim_sched_get_stat(), which must not look at what is being computed */
    int64_t n_token, n_prompt, n_cached, n_completion;
    bool prefill;
} slot;

struct glim_sched {
    glim_model *m;
    int n_slot;
    int64_t n_queue, n_queue_token;
    slot *slots;
    pthread_t thread;
    bool thread_runs;

    pthread_mutex_t lock;
    pthread_cond_t wake;
    glim_job *first, **last; /* the queue */
    int64_t n_waiting, n_waiting_token;
    int n_running;
    uint64_t n_submitted, n_park;
    bool stop, idle, flush;
    double prefill_rate, decode_rate, mean_completion; /* moving means */
};

void glim_sched_opts_init(glim_sched_opts *o)
{
    *o = (glim_sched_opts){.size = sizeof *o, .n_slot = 8, .n_queue = 256};
}

void glim_job_input_init(glim_job_input *in)
{
    *in = (glim_job_input){.size = sizeof *in};
}

/* ---- jobs ------------------------------------------------------------------------------------ */

void glim_job_release(glim_job *j)
{
    if (j && atomic_fetch_sub(&j->n_ref, 1) == 1) glim_free(j);
}

/* The end of a job, whichever way; its state is DONE already. */
static void end_job(glim_job *j, const glim_error *e)
{
    glim_gen_free(j->g);
    j->g = NULL;
    j->done(j->user, e);
    glim_job_release(j);
}

void glim_job_cancel(glim_job *j)
{
    glim_sched *s = j->s;
    pthread_mutex_lock(&s->lock);
    if (j->state != JOB_DONE) {
        j->cancel = true;
        if (j->i_slot >= 0) glim_session_cancel(s->slots[j->i_slot].session);
        pthread_cond_signal(&s->wake);
    }
    pthread_mutex_unlock(&s->lock);
}

void glim_job_pause(glim_job *j, bool pause)
{
    pthread_mutex_lock(&j->s->lock);
    j->pause = pause;
    pthread_cond_signal(&j->s->wake);
    pthread_mutex_unlock(&j->s->lock);
}

static void enqueue(glim_sched *s, glim_job *j)
{
    j->next = NULL;
    *s->last = j;
    s->last = &j->next;
    s->n_waiting++;
    s->n_waiting_token += (int64_t)j->n_prompt;
}

static void dequeue(glim_sched *s, glim_job **at)
{
    glim_job *j = *at;
    *at = j->next;
    if (s->last == &j->next) s->last = at;
    j->next = NULL;
    s->n_waiting--;
    s->n_waiting_token -= (int64_t)j->n_prompt;
}

static glim_err new_job(glim_sched *s, const glim_job_input *in, glim_job **out, glim_error *e)
{
    const glim_gen_input gi = {in->ids,   in->n_id,   in->start, in->raw,
                               in->tools, in->n_tool, in->gen};
    glim_job *j = glim_new0(glim_job);
    if (!j) return glim_fail(e, GLIM_E_NOMEM, "job");
    glim_err rc = glim_gen_new(s->m, &gi, in->fn, in->user, &j->g, e);
    if (rc) {
        glim_free(j);
        return rc;
    }
    j->s = s;
    j->done = in->done;
    j->user = in->user;
    j->n_prompt = in->n_id;
    j->i_slot = -1;
    atomic_init(&j->n_ref, 2);
    *out = j;
    return GLIM_OK;
}

/* Under the lock. */
static glim_err admit(const glim_sched *s, size_t n, int64_t n_token, glim_error *e)
{
    if (s->stop) return glim_fail(e, GLIM_E_STATE, "the scheduler is ending");
    int64_t n_free = s->n_slot - s->n_running;
    if (s->n_waiting + (int64_t)n > s->n_queue + GLIM_MAX(n_free, 0) && s->n_waiting > 0)
        return glim_fail(e, GLIM_E_FULL, "the queue is full: %lld requests are waiting",
                         (long long)s->n_waiting);
    if (s->n_waiting > 0 && s->n_waiting_token + n_token > s->n_queue_token)
        return glim_fail(e, GLIM_E_FULL,
                         "the queue is full: prompts of %lld tokens in all are waiting",
                         (long long)s->n_waiting_token);
    return GLIM_OK;
}

glim_err glim_sched_submit(glim_sched *s, const glim_job_input *in, size_t n, glim_job **out,
                           glim_error *e)
{
    glim_err rc = GLIM_OK;
    size_t made = 0;
    int64_t n_token = 0;
    for (; !rc && made < n; made += !rc) {
        rc = new_job(s, &in[made], &out[made], e);
        n_token += (int64_t)in[made].n_id;
    }
    pthread_mutex_lock(&s->lock);
    if (!rc) rc = admit(s, n, n_token, e);
    for (size_t i = 0; !rc && i < n; i++) {
        out[i]->number = s->n_submitted++;
        enqueue(s, out[i]);
    }
    if (!rc) pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->lock);
    for (size_t i = 0; rc && i < made; i++) {
        glim_gen_free(out[i]->g);
        glim_free(out[i]);
    }
    return rc;
}

/* ---- slots ----------------------------------------------------------------------------------- */

/* The free slot that shares most with the job's tokens; of equal ones the longest unused. */
static int choose_slot(const glim_sched *s, const glim_job *j)
{
    int best = -1;
    size_t best_shared = 0;
    for (int i = 0; i < s->n_slot; i++) {
        if (s->slots[i].job) continue;
        size_t shared = glim_gen_shared(j->g, s->slots[i].session);
        if (best < 0 || shared > best_shared ||
            (shared == best_shared && s->slots[i].used_ns < s->slots[best].used_ns)) {
            best = i;
            best_shared = shared;
        }
    }
    return best;
}

/* Copies what may be looked at. Under the lock, by the engine thread. */
static void note_slot(slot *t)
{
    t->n_token = glim_session_n_token(t->session);
    if (!t->job) return;
    const glim_usage *u = glim_gen_usage(t->job->g);
    t->n_prompt = u->n_prompt;
    t->n_cached = u->n_cached;
    t->n_completion = u->n_completion;
    t->prefill = u->n_completion == 0;
}

static void leave_slot(glim_sched *s, glim_job *j, job_state state)
{
    pthread_mutex_lock(&s->lock);
    slot *t = &s->slots[j->i_slot];
    note_slot(t);
    t->job = NULL;
    t->used_ns = glim_now_ns();
    t->prefill = false;
    j->i_slot = -1;
    j->state = state;
    s->n_running--;
    pthread_mutex_unlock(&s->lock);
}

/* Takes a job out of its slot and ends it. */
static void end_running(glim_sched *s, glim_job *j, glim_err rc, glim_stop_reason why,
                        glim_error *e)
{
    if (rc == GLIM_E_CANCELLED) {
        why = GLIM_STOP_CANCEL;
        rc = GLIM_OK;
    }
    if (!rc) rc = glim_gen_finish(j->g, why, e);
    if (!rc && why != GLIM_STOP_CANCEL) {
        double n = (double)glim_gen_usage(j->g)->n_completion;
        pthread_mutex_lock(&s->lock);
        s->mean_completion = s->mean_completion ? s->mean_completion * 0.9 + n * 0.1 : n;
        pthread_mutex_unlock(&s->lock);
    }
    leave_slot(s, j, JOB_DONE);
    end_job(j, rc ? e : NULL);
}

static void end_waiting(glim_job *j)
{
    glim_error e = {0};
    glim_err rc = glim_gen_finish(j->g, GLIM_STOP_CANCEL, &e);
    end_job(j, rc ? &e : NULL);
}

/* ---- pages ----------------------------------------------------------------------------------- */

/* Makes the longest unused free slot forget its tokens; false when none has any. */
static bool forget_one(glim_sched *s)
{
    slot *oldest = NULL;
    for (int i = 0; i < s->n_slot; i++) {
        slot *t = &s->slots[i];
        if (!t->job && t->session->n_page > 0 && (!oldest || t->used_ns < oldest->used_ns))
            oldest = t;
    }
    if (!oldest) return false;
    glim_session_truncate(oldest->session, 0);
    return true;
}

/* Before any job that came after the flush was asked for: nothing runs then. */
static void forget_all(glim_sched *s)
{
    for (int i = 0; i < s->n_slot; i++) {
        glim_session_truncate(s->slots[i].session, 0);
        pthread_mutex_lock(&s->lock);
        note_slot(&s->slots[i]);
        pthread_mutex_unlock(&s->lock);
    }
}

glim_err glim_sched_flush(glim_sched *s, glim_error *e)
{
    pthread_mutex_lock(&s->lock);
    bool busy = s->first || s->n_running > 0;
    s->flush = s->flush || !busy;
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->lock);
    return busy ? glim_fail(e, GLIM_E_STATE,
                            "the cache is in use: a request is running or waiting; try again when "
                            "none is")
                : GLIM_OK;
}

/* Back to the head of the queue, without its pages. */
static void park(glim_sched *s, glim_job *j)
{
    slot *t = &s->slots[j->i_slot];
    glim_gen_detach(j->g);
    glim_session_truncate(t->session, 0);
    leave_slot(s, j, JOB_WAITING);
    pthread_mutex_lock(&s->lock);
    glim_job **at = &s->first;
    while (*at && (*at)->number < j->number)
        at = &(*at)->next;
    j->next = *at;
    *at = j;
    if (!j->next) s->last = &j->next;
    s->n_waiting++;
    s->n_waiting_token += (int64_t)j->n_prompt;
    s->n_park++;
    pthread_mutex_unlock(&s->lock);
}

/* Room for a job whose step found no page. False: there is nobody to take it from. */
static bool make_room(glim_sched *s, const glim_job *needy, bool *parked)
{
    *parked = false;
    if (forget_one(s)) return true;
    glim_job *youngest = NULL;
    for (int i = 0; i < s->n_slot; i++) {
        glim_job *j = s->slots[i].job;
        if (j && (!youngest || j->number > youngest->number)) youngest = j;
    }
    if (!youngest || s->n_running < 2) return false;
    *parked = youngest == needy;
    park(s, youngest);
    return true;
}

/* ---- turns ----------------------------------------------------------------------------------- */

static void mean(glim_sched *s, double *rate, int64_t n, uint64_t ns)
{
    double now = (double)n / ((double)GLIM_MAX(ns, 1) / 1e9);
    pthread_mutex_lock(&s->lock);
    *rate = *rate ? *rate * 0.95 + now * 0.05 : now;
    pthread_mutex_unlock(&s->lock);
}

/* One turn: what is missing first, then the next token. Errors: of the step. */
static glim_err turn(glim_sched *s, glim_job *j, glim_stop_reason *why, glim_error *e)
{
    glim_gen *g = j->g;
    bool decode = glim_gen_usage(g)->n_completion > 0 && glim_gen_n_missing(g) <= 1;
    uint64_t t0 = glim_now_ns();
    if (glim_gen_n_missing(g) > 0) {
        int64_t n = glim_gen_piece(g, s->n_running > 1);
        glim_err rc = glim_gen_prefill(g, n, e);
        if (rc) return rc;
        mean(s, decode ? &s->decode_rate : &s->prefill_rate, n, glim_now_ns() - t0);
        if (glim_gen_n_missing(g) > 0) return GLIM_OK;
    }
    return glim_gen_take(g, why, e);
}

static void give_turn(glim_sched *s, glim_job *j)
{
    glim_error e = {0};
    glim_stop_reason why = GLIM_STOP_NONE;
    bool parked = false;
    pthread_mutex_lock(&s->lock);
    bool cancel = j->cancel, pause = j->pause;
    pthread_mutex_unlock(&s->lock);
    if (cancel) {
        end_running(s, j, GLIM_E_CANCELLED, GLIM_STOP_CANCEL, &e);
        return;
    }
    if (pause) return;
    glim_err rc;
    do
        rc = turn(s, j, &why, &e);
    while (rc == GLIM_E_FULL && make_room(s, j, &parked) && !parked);
    if (parked) return;
    if (rc || why) {
        end_running(s, j, rc, why, &e);
        return;
    }
    pthread_mutex_lock(&s->lock);
    note_slot(&s->slots[j->i_slot]);
    pthread_mutex_unlock(&s->lock);
}

/* A cancelled job that waits, taken out of the queue; NULL: none. Under the lock. */
static glim_job *take_cancelled(glim_sched *s)
{
    for (glim_job **at = &s->first; *at; at = &(*at)->next) {
        glim_job *j = *at;
        if (!j->cancel && !s->stop) continue;
        dequeue(s, at);
        j->state = JOB_DONE;
        return j;
    }
    return NULL;
}

/* The first job of the queue into a slot; NULL: no job or no slot. Under the lock. */
static glim_job *take_first(glim_sched *s)
{
    glim_job *j = s->first;
    int i = j ? choose_slot(s, j) : -1;
    if (i < 0) return NULL;
    dequeue(s, &s->first);
    s->slots[i].job = j;
    s->slots[i].used_ns = glim_now_ns();
    j->i_slot = i;
    j->state = JOB_RUNNING;
    s->n_running++;
    glim_session_uncancel(s->slots[i].session);
    return j;
}

static void start_job(glim_sched *s, glim_job *j)
{
    glim_error e = {0};
    glim_err rc = glim_gen_attach(j->g, s->slots[j->i_slot].session, &e);
    if (rc) end_running(s, j, rc, GLIM_STOP_NONE, &e);
}

/* Moves jobs where they belong. */
static void arrange(glim_sched *s)
{
    for (;;) {
        pthread_mutex_lock(&s->lock);
        glim_job *gone = take_cancelled(s), *next = gone ? NULL : take_first(s);
        pthread_mutex_unlock(&s->lock);
        if (gone)
            end_waiting(gone);
        else if (next)
            start_job(s, next);
        else
            return;
    }
}

/* Something a turn could be given to, or a job to move. Under the lock. */
static bool has_work(const glim_sched *s)
{
    if (s->flush || (s->first && s->n_running < s->n_slot)) return true;
    for (const glim_job *j = s->first; j; j = j->next)
        if (j->cancel) return true;
    for (int i = 0; i < s->n_slot; i++) {
        const glim_job *j = s->slots[i].job;
        if (j && (!j->pause || j->cancel)) return true;
    }
    return false;
}

static void *work(void *arg)
{
    glim_sched *s = arg;
    for (;;) {
        pthread_mutex_lock(&s->lock);
        s->idle = true;
        while (!s->stop && !has_work(s))
            pthread_cond_wait(&s->wake, &s->lock);
        s->idle = false;
        atomic_store(&s->m->beat_ns, glim_now_ns());
        bool stop = s->stop, flush = s->flush;
        s->flush = false;
        for (int i = 0; stop && i < s->n_slot; i++)
            if (s->slots[i].job) s->slots[i].job->cancel = true;
        pthread_mutex_unlock(&s->lock);
        if (flush) forget_all(s);
        arrange(s);
        for (int i = 0; i < s->n_slot; i++)
            if (s->slots[i].job) give_turn(s, s->slots[i].job);
        if (stop && s->n_running == 0) return NULL;
    }
}

/* ---- life ------------------------------------------------------------------------------------ */

glim_err glim_sched_new(glim_model *m, const glim_sched_opts *opts, glim_sched **out, glim_error *e)
{
    glim_sched_opts o;
    glim_sched_opts_init(&o);
    if (opts) memcpy(&o, opts, GLIM_MIN(opts->size, sizeof o));
    if (o.n_slot < 1 || o.n_slot > GLIM_SLOTS_MAX || o.n_queue < 0 || o.n_queue_token < 0)
        return glim_fail(e, GLIM_E_INPUT, "scheduler: 1 to %d slots are possible, not %d",
                         GLIM_SLOTS_MAX, o.n_slot);
    glim_sched *s = glim_new0(glim_sched);
    if (!s) return glim_fail(e, GLIM_E_NOMEM, "scheduler");
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->wake, NULL);
    s->m = m;
    s->n_slot = o.n_slot;
    s->n_queue = o.n_queue;
    s->n_queue_token = o.n_queue_token ? o.n_queue_token : 16 * m->n_ctx;
    s->last = &s->first;
    s->idle = true;
    s->slots = glim_alloc_array((size_t)s->n_slot, sizeof *s->slots);
    glim_err rc = s->slots ? GLIM_OK : glim_fail(e, GLIM_E_NOMEM, "slots");
    if (!rc) memset(s->slots, 0, (size_t)s->n_slot * sizeof *s->slots);
    for (int i = 0; !rc && i < s->n_slot; i++)
        rc = glim_session_new(m, &s->slots[i].session, e);
    if (!rc) {
        int err = pthread_create(&s->thread, NULL, work, s);
        s->thread_runs = err == 0;
        if (err)
            rc = glim_fail(e, GLIM_E_FULL, "cannot start the engine's thread: %s", strerror(err));
    }
    if (rc) {
        glim_sched_free(s);
        return rc;
    }
    *out = s;
    return GLIM_OK;
}

void glim_sched_stop(glim_sched *s)
{
    if (!s) return;
    pthread_mutex_lock(&s->lock);
    s->stop = true;
    for (int i = 0; s->slots && i < s->n_slot; i++)
        if (s->slots[i].job) glim_session_cancel(s->slots[i].session);
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->lock);
    if (s->thread_runs) pthread_join(s->thread, NULL);
    s->thread_runs = false;
}

void glim_sched_free(glim_sched *s)
{
    if (!s) return;
    glim_sched_stop(s);
    for (int i = 0; s->slots && i < s->n_slot; i++)
        glim_session_free(s->slots[i].session);
    glim_free(s->slots);
    pthread_cond_destroy(&s->wake);
    pthread_mutex_destroy(&s->lock);
    glim_free(s);
}

/* By what was measured: the prompts ahead, then as many answers as stand between here and a slot. */
static double estimate_wait(const glim_sched *s)
{
    double decode = s->decode_rate > 0 ? s->decode_rate : 10,
           prefill = s->prefill_rate > 0 ? s->prefill_rate : 100,
           answer = s->mean_completion > 0 ? s->mean_completion : 100;
    double ahead = (double)(s->n_waiting + s->n_running - s->n_slot + 1);
    return (double)s->n_waiting_token / prefill + GLIM_MAX(ahead, 0) * answer / decode;
}

void glim_sched_get_stat(glim_sched *s, glim_sched_stat *out)
{
    const uint64_t stuck_ns = 30000000000u;
    uint64_t now = glim_now_ns();
    *out = (glim_sched_stat){.n_slot = s->n_slot};
    pthread_mutex_lock(&s->lock);
    out->n_running = s->n_running;
    out->n_waiting = s->n_waiting;
    out->n_waiting_token = s->n_waiting_token;
    out->prefill_tokens_s = s->prefill_rate;
    out->decode_tokens_s = s->decode_rate;
    out->wait_s = estimate_wait(s);
    out->n_park = s->n_park;
    out->healthy = s->idle || now - GLIM_MIN(now, atomic_load(&s->m->beat_ns)) < stuck_ns;
    for (int i = 0; i < s->n_slot; i++) {
        const slot *t = &s->slots[i];
        out->slot[i] = (glim_slot_stat){.busy = t->job != NULL,
                                        .prefill = t->job && t->prefill,
                                        .n_token = t->n_token,
                                        .n_prompt = t->n_prompt,
                                        .n_cached = t->n_cached,
                                        .n_completion = t->n_completion,
                                        .busy_ns = t->job ? now - GLIM_MIN(now, t->used_ns) : 0};
    }
    pthread_mutex_unlock(&s->lock);
    out->n_page = s->m->kv.n_page;
    out->n_page_free = atomic_load_explicit(&s->m->kv.n_free_seen, memory_order_relaxed);
}
