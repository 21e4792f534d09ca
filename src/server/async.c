/* SPDX-License-Identifier: MIT
 * async.c - answers that are made now and fetched later: kept a day, at most 10,000 of them.
 * Owns:   ids, whose they are, the finished bodies.
 * Thread: any; lock guards everything.
 * Fails:  with the table full of unfinished or fresh tasks a new one is refused. */
#include "server/server_priv.h"

#define TASKS_MAX 10000
#define KEEP_NS ((uint64_t)24 * 3600 * 1000000000u)

typedef struct task {
    struct task *next; /* younger */
    uint64_t t_ns;
    bool over, ok;
    char id[25], key[9];
    char *request_id, *model, *body;
    size_t n_body;
} task;

struct glim_async {
    pthread_mutex_t lock;
    task *first, **last;
    size_t n;
};

glim_async *glim_async_new(void)
{
    glim_async *a = glim_new0(glim_async);
    if (!a) return NULL;
    pthread_mutex_init(&a->lock, NULL);
    a->last = &a->first;
    return a;
}

static void free_task(task *t)
{
    glim_free(t->request_id);
    glim_free(t->model);
    glim_free(t->body);
    glim_free(t);
}

void glim_async_free(glim_async *a)
{
    if (!a) return;
    for (task *t = a->first, *next; t; t = next) {
        next = t->next;
        free_task(t);
    }
    pthread_mutex_destroy(&a->lock);
    glim_free(a);
}

static char *copy(glim_str s)
{
    char *p = glim_alloc(s.n + 1);
    if (!p) return NULL;
    if (s.n) memcpy(p, s.p, s.n);
    p[s.n] = 0;
    return p;
}

static void copy_short(char *out, size_t n_out, glim_str s)
{
    size_t n = GLIM_MIN(s.n, n_out - 1);
    if (n) memcpy(out, s.p, n);
    out[n] = 0;
}

/* Forgets what is a day old, oldest first. Under the lock. */
static void expire(glim_async *a)
{
    uint64_t now = glim_now_ns();
    while (a->first && a->first->over && now - a->first->t_ns > KEEP_NS) {
        task *t = a->first;
        a->first = t->next;
        if (!a->first) a->last = &a->first;
        a->n--;
        free_task(t);
    }
}

bool glim_async_begin(glim_async *a, glim_str id, glim_str key, glim_str request_id, glim_str model)
{
    task *t = glim_new0(task);
    if (!t) return false;
    copy_short(t->id, sizeof t->id, id);
    copy_short(t->key, sizeof t->key, key);
    t->request_id = copy(request_id);
    t->model = copy(model);
    t->t_ns = glim_now_ns();
    pthread_mutex_lock(&a->lock);
    expire(a);
    bool fine = t->request_id && t->model && a->n < TASKS_MAX;
    if (fine) {
        *a->last = t;
        a->last = &t->next;
        a->n++;
    }
    pthread_mutex_unlock(&a->lock);
    if (!fine) free_task(t);
    return fine;
}

static task *find(const glim_async *a, glim_str id)
{
    for (task *t = a->first; t; t = t->next)
        if (glim_str_is(id, t->id)) return t;
    return NULL;
}

void glim_async_end(glim_async *a, glim_str id, bool ok, glim_str body)
{
    char *p = copy(body);
    pthread_mutex_lock(&a->lock);
    task *t = find(a, id);
    if (t && !t->over) {
        t->over = true;
        t->ok = ok && p;
        t->body = p;
        t->n_body = p ? body.n : 0;
        p = NULL;
    }
    pthread_mutex_unlock(&a->lock);
    glim_free(p);
}

bool glim_async_get(glim_async *a, glim_str id, glim_str key, glim_buf *out)
{
    pthread_mutex_lock(&a->lock);
    const task *t = find(a, id);
    bool mine = t && glim_str_is(key, t->key);
    if (mine && t->over && t->ok) {
        (void)glim_buf_addv(out, (glim_str){t->body, t->n_body});
    } else if (mine) {
        const glim_reply_info info = {.id = glim_str_of(t->id),
                                      .request_id = glim_str_of(t->request_id),
                                      .model = glim_str_of(t->model)};
        if (glim_async_encode(&info, t->over ? "FAIL" : "PROCESSING", (glim_str){0}, out))
            glim_buf_clear(out);
    }
    pthread_mutex_unlock(&a->lock);
    return mine;
}
