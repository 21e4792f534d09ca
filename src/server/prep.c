/* SPDX-License-Identifier: MIT
 * prep.c - a few threads that read JSON, render and tokenise, so that neither the sockets nor the engine wait for it.
 * Owns:   the threads and the queue between.
 * Thread: lock guards the queue; handlers run without it. */
#include "server/server_priv.h"

struct glim_prep {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    glim_exchange *first, **last;
    bool stop;
    int n_thread;
    pthread_t threads[8];
};

static void *work(void *arg)
{
    glim_prep *p = arg;
    for (;;) {
        pthread_mutex_lock(&p->lock);
        while (!p->first && !p->stop)
            pthread_cond_wait(&p->wake, &p->lock);
        glim_exchange *x = p->first;
        if (x) p->first = x->next_work;
        if (!p->first) p->last = &p->first;
        pthread_mutex_unlock(&p->lock);
        if (!x) return NULL;
        (x->step ? x->step : x->route->handler)(x);
        glim_exchange_unref(x);
    }
}

glim_err glim_prep_new(int n_thread, glim_prep **out, glim_error *e)
{
    glim_prep *p = glim_new0(glim_prep);
    if (!p) return glim_fail(e, GLIM_E_NOMEM, "workers");
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    p->last = &p->first;
    n_thread = GLIM_MIN(n_thread, (int)GLIM_COUNT(p->threads));
    for (int i = 0; i < n_thread; i++) {
        int err = pthread_create(&p->threads[i], NULL, work, p);
        if (err) {
            glim_prep_free(p);
            return glim_fail(e, GLIM_E_FULL, "cannot start a worker: %s", strerror(err));
        }
        p->n_thread++;
    }
    *out = p;
    return GLIM_OK;
}

void glim_prep_free(glim_prep *p)
{
    if (!p) return;
    pthread_mutex_lock(&p->lock);
    p->stop = true;
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < p->n_thread; i++)
        pthread_join(p->threads[i], NULL);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    glim_free(p);
}

void glim_prep_push(glim_prep *p, glim_exchange *x)
{
    glim_exchange_ref(x);
    x->next_work = NULL;
    pthread_mutex_lock(&p->lock);
    *p->last = x;
    p->last = &x->next_work;
    pthread_cond_signal(&p->wake);
    pthread_mutex_unlock(&p->lock);
}
