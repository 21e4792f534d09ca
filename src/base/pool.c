/* SPDX-License-Identifier: MIT
 * pool.c - worker threads that run one function over a range together.
 * Owns:   the threads. The caller of glim_pool_run() is one of the workers.
 * Layout: a job is published by a new generation number. The range is cut into one share a thread;
 * a thread takes pieces of `grain` items from its own share, front to back, then from those that
 * others have left. The last worker to finish is seen by the caller through n_busy.
 * Why shares: a thread reads one run of memory, so that what it prefetches is its own (pieces dealt
 * in turn lost 20 % of the bandwidth). Why others help: shared machines steal time from one core,
 * and the other can go on. Results cannot differ: an item is computed by one thread in one order.
 * Thread: the pool's owner runs jobs; workers spin for about 50 us, then sleep on a condition (on a
 * virtual machine a spinning waiter may hold the core its partner needs). */
#include "base/base.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#define SPIN_NS 50000
#define SPINS_BEFORE_YIELD 2000 /* some 50 us of pauses */

/* One thread's part of the range; on a cache line of its own, for every piece moves `next`. */
typedef struct share {
    _Alignas(GLIM_CACHE_LINE) atomic_int_fast64_t next; /* in pieces */
    int64_t end;
} share;

struct glim_pool {
    int n_thread;
    pthread_t *threads; /* n_started of them, worker i is thread i + 1 */
    int n_started;

    /* the job; written by the owner before `generation` moves */
    glim_pool_fn fn;
    void *arg;
    int64_t n_item, grain;
    share *shares; /* one a thread */

    _Alignas(GLIM_CACHE_LINE) atomic_uint generation;
    _Alignas(GLIM_CACHE_LINE) atomic_int n_busy;
    _Alignas(GLIM_CACHE_LINE) atomic_bool stop;
    atomic_int n_asleep;

    pthread_mutex_t sleep_lock; /* guards nothing but the wait on `wake` */
    pthread_cond_t wake;
};

typedef struct worker {
    glim_pool *pool;
    int i_thread;
} worker;

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void take_pieces(glim_pool *p, int i_thread)
{
    int64_t n = p->n_item, grain = p->grain;
    for (int i = 0; i < p->n_thread; i++) {
        share *s = &p->shares[(i_thread + i) % p->n_thread];
        for (;;) {
            int64_t piece = atomic_fetch_add_explicit(&s->next, 1, memory_order_relaxed);
            if (piece >= s->end) break;
            p->fn(p->arg, piece * grain, GLIM_MIN((piece + 1) * grain, n), i_thread);
        }
    }
}

/* Waits until the generation is no longer `seen`; spins, then sleeps. */
static void wait_for_job(glim_pool *p, unsigned seen)
{
    uint64_t until = glim_now_ns() + SPIN_NS;
    do {
        for (int i = 0; i < 64; i++) {
            if (atomic_load_explicit(&p->generation, memory_order_acquire) != seen) return;
            relax();
        }
    } while (glim_now_ns() < until);
    pthread_mutex_lock(&p->sleep_lock);
    /* seq_cst on both sides: either the owner sees n_asleep, or this thread sees the new
     * generation. */
    atomic_fetch_add(&p->n_asleep, 1);
    while (atomic_load(&p->generation) == seen)
        pthread_cond_wait(&p->wake, &p->sleep_lock);
    atomic_fetch_sub(&p->n_asleep, 1);
    pthread_mutex_unlock(&p->sleep_lock);
}

static void *work(void *arg)
{
    worker w = *(worker *)arg;
    glim_free(arg);
    glim_pool *p = w.pool;
    unsigned seen = 0;
    for (;;) {
        wait_for_job(p, seen);
        seen++;
        if (atomic_load_explicit(&p->stop, memory_order_acquire)) return NULL;
        take_pieces(p, w.i_thread);
        atomic_fetch_sub_explicit(&p->n_busy, 1, memory_order_release);
    }
}

static void publish(glim_pool *p)
{
    atomic_fetch_add(&p->generation, 1);
    if (atomic_load(&p->n_asleep) == 0) return;
    pthread_mutex_lock(&p->sleep_lock);
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->sleep_lock);
}

glim_err glim_pool_new(int n_thread, glim_pool **out, glim_error *e)
{
    n_thread = GLIM_MAX(n_thread, 1);
    glim_pool *p = glim_alloc_aligned(GLIM_CACHE_LINE, sizeof *p);
    if (!p) return glim_fail(e, GLIM_E_NOMEM, "thread pool");
    memset(p, 0, sizeof *p);
    p->n_thread = n_thread;
    pthread_mutex_init(&p->sleep_lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    glim_err rc = GLIM_OK;
    p->threads = glim_alloc_array((size_t)n_thread, sizeof(pthread_t));
    p->shares = glim_alloc_aligned(GLIM_CACHE_LINE, (size_t)n_thread * sizeof(share));
    if (!p->threads || !p->shares) rc = glim_fail(e, GLIM_E_NOMEM, "thread pool of %d", n_thread);
    for (int i = 1; !rc && i < n_thread; i++) {
        worker *w = glim_new0(worker);
        if (!w) {
            rc = glim_fail(e, GLIM_E_NOMEM, "thread pool of %d", n_thread);
            break;
        }
        *w = (worker){p, i};
        int err = pthread_create(&p->threads[i - 1], NULL, work, w);
        if (err) {
            glim_free(w);
            rc = glim_fail(e, GLIM_E_FULL,
                           "cannot start thread %d of %d: %s; use fewer with --threads", i + 1,
                           n_thread, strerror(err));
        } else {
            p->n_started++;
        }
    }
    if (rc) {
        glim_pool_free(p);
        return rc;
    }
    *out = p;
    return GLIM_OK;
}

void glim_pool_free(glim_pool *p)
{
    if (!p) return;
    atomic_store_explicit(&p->stop, true, memory_order_release);
    publish(p);
    for (int i = 0; i < p->n_started; i++)
        pthread_join(p->threads[i], NULL);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->sleep_lock);
    glim_free(p->threads);
    glim_free(p->shares);
    glim_free(p);
}

int glim_pool_size(const glim_pool *p)
{
    return p->n_thread;
}

void glim_pool_run(glim_pool *p, int64_t n_item, int64_t grain, glim_pool_fn fn, void *arg)
{
    if (n_item <= 0) return;
    grain = GLIM_MAX(grain, 1);
    if (p->n_started == 0 || n_item <= grain) {
        fn(arg, 0, n_item, 0);
        return;
    }
    p->fn = fn;
    p->arg = arg;
    p->n_item = n_item;
    p->grain = grain;
    int64_t n_piece = (n_item - 1) / grain + 1;
    for (int i = 0; i < p->n_thread; i++) {
        /* Bounds in two steps, so that no product can overflow. */
        int64_t each = n_piece / p->n_thread, more = n_piece % p->n_thread;
        atomic_store_explicit(&p->shares[i].next, i * each + GLIM_MIN(i, more),
                              memory_order_relaxed);
        p->shares[i].end = (i + 1) * each + GLIM_MIN(i + 1, more);
    }
    atomic_store_explicit(&p->n_busy, p->n_started, memory_order_relaxed);
    publish(p);
    take_pieces(p, 0);
    /* On a crowded machine the worker that is waited for may need this very core. */
    for (int spins = 0; atomic_load_explicit(&p->n_busy, memory_order_acquire) != 0; spins++) {
        relax();
        if (spins > SPINS_BEFORE_YIELD) sched_yield();
    }
}
