/* SPDX-License-Identifier: MIT
 * history.c - a conversation that is kept so long that it fits.
 * Owns:   copies of its messages, each in one block.
 * Layout: messages and their costs side by side, so that the messages can be handed out as they are.
 * Thread: the caller's.   Fails: NOMEM; nothing has changed then.   See: tests/unit/client/test_history.c */
#include "client/client_priv.h"

#include <math.h>

#define MESSAGE_COST 4 /* tokens around a message: role, ends */

typedef struct cost {
    char *block;     /* what the message points into */
    int64_t counted; /* by the caller's function, or by the server; -1: estimated */
    double estimate;
} cost;

struct glim_history {
    int64_t n_max;
    glim_count_fn count;
    void *user;
    glim_message *messages;
    cost *costs;
    size_t n, cap;
    double scale;         /* tokens that the server counts for one of the estimate */
    int64_t next_counted; /* of the answer that is added next; -1: unknown */
};

glim_history *glim_history_new(int64_t n_max, glim_count_fn count, void *user)
{
    glim_history *h = glim_new0(glim_history);
    if (!h) return NULL;
    h->n_max = n_max;
    h->count = count;
    h->user = user;
    h->scale = 1;
    h->next_counted = -1;
    return h;
}

void glim_history_free(glim_history *h)
{
    if (!h) return;
    for (size_t i = 0; i < h->n; i++)
        glim_free(h->costs[i].block);
    glim_free(h->messages);
    glim_free(h->costs);
    glim_free(h);
}

/* ---- copies --------------------------------------------------------------------------------------- */

static bool add_text(size_t *n, glim_str s)
{
    return glim_add_size(*n, s.n, n) && glim_add_size(*n, 1, n);
}

static glim_str put(char **at, glim_str s)
{
    char *p = *at;
    if (s.n) memcpy(p, s.p, s.n);
    p[s.n] = '\0';
    *at += s.n + 1;
    return (glim_str){p, s.n};
}

/* One block: the calls, the parts, then all texts. */
static glim_err copy(const glim_message *m, glim_message *out, char **block, glim_error *e)
{
    size_t n_calls, n_parts, n;
    bool ok = glim_mul_size(m->n_call, sizeof *m->calls, &n_calls) &&
              glim_mul_size(m->n_part, sizeof *m->parts, &n_parts) &&
              glim_add_size(n_calls, n_parts, &n) && add_text(&n, m->content) &&
              add_text(&n, m->reasoning) && add_text(&n, m->tool_call_id);
    for (size_t i = 0; ok && i < m->n_call; i++)
        ok = add_text(&n, m->calls[i].id) && add_text(&n, m->calls[i].name) &&
             add_text(&n, m->calls[i].arguments);
    for (size_t i = 0; ok && i < m->n_part; i++)
        ok = add_text(&n, m->parts[i]);
    char *p = ok ? glim_alloc(n) : NULL;
    if (!p) return glim_fail(e, GLIM_E_NOMEM, "a message of the history");
    glim_tool_call *calls = (glim_tool_call *)(void *)p;
    glim_str *parts = (glim_str *)(void *)(p + n_calls);
    char *at = p + n_calls + n_parts;
    *out = *m;
    out->content = put(&at, m->content);
    out->reasoning = put(&at, m->reasoning);
    out->tool_call_id = put(&at, m->tool_call_id);
    for (size_t i = 0; i < m->n_call; i++) {
        calls[i] = (glim_tool_call){.id = put(&at, m->calls[i].id)};
        calls[i].name = put(&at, m->calls[i].name);
        calls[i].arguments = put(&at, m->calls[i].arguments);
    }
    for (size_t i = 0; i < m->n_part; i++)
        parts[i] = put(&at, m->parts[i]);
    out->calls = m->n_call ? calls : NULL;
    out->parts = m->n_part ? parts : NULL;
    *block = p;
    return GLIM_OK;
}

/* ---- what a message costs -------------------------------------------------------------------------- */

/* Some four letters of Latin script are a token, and about one character of others. */
static double estimate_text(glim_str s)
{
    size_t n_ascii = 0, n_other = 0;
    for (size_t i = 0; i < s.n; i++) {
        uint8_t c = (uint8_t)s.p[i];
        if (c < 0x80)
            n_ascii++;
        else if (c >= 0xc0)
            n_other++;
    }
    return (double)n_ascii / 4 + (double)n_other;
}

static double sum_texts(const glim_message *m, double (*each)(void *user, glim_str s), void *user)
{
    double n = MESSAGE_COST + each(user, m->content) + each(user, m->reasoning);
    for (size_t i = 0; i < m->n_call; i++)
        n += each(user, m->calls[i].name) + each(user, m->calls[i].arguments);
    for (size_t i = 0; i < m->n_part; i++)
        n += each(user, m->parts[i]);
    return n;
}

static double each_estimate(void *user, glim_str s)
{
    (void)user;
    return estimate_text(s);
}

static double each_count(void *user, glim_str s)
{
    const glim_history *h = user;
    int64_t n = s.n ? h->count(h->user, s) : 0;
    return n > 0 ? (double)n : 0;
}

static int64_t cost_of(const glim_history *h, size_t i)
{
    if (h->costs[i].counted >= 0) return h->costs[i].counted;
    return (int64_t)ceil(h->costs[i].estimate * h->scale);
}

/* ---- adding, learning, dropping ------------------------------------------------------------------------ */

static glim_err grow(glim_history *h, glim_error *e)
{
    if (h->n < h->cap) return GLIM_OK;
    size_t cap = h->cap ? h->cap * 2 : 16;
    glim_message *m = glim_realloc(h->messages, cap * sizeof *m);
    if (m) h->messages = m;
    cost *c = m ? glim_realloc(h->costs, cap * sizeof *c) : NULL;
    if (!c) return glim_fail(e, GLIM_E_NOMEM, "the history");
    h->costs = c;
    h->cap = cap;
    return GLIM_OK;
}

glim_err glim_history_add(glim_history *h, const glim_message *m, glim_error *e)
{
    cost c = {.counted = -1};
    glim_err rc = grow(h, e);
    if (!rc) rc = copy(m, &h->messages[h->n], &c.block, e);
    if (rc) return rc;
    const glim_message *kept = &h->messages[h->n];
    c.estimate = sum_texts(kept, each_estimate, NULL);
    if (h->count)
        c.counted = (int64_t)sum_texts(kept, each_count, h);
    else if (m->role == GLIM_ROLE_ASSISTANT)
        c.counted = h->next_counted;
    h->next_counted = -1;
    h->costs[h->n++] = c;
    return GLIM_OK;
}

void glim_history_usage(glim_history *h, const glim_usage *u)
{
    double estimate = 0;
    for (size_t i = 0; i < h->n; i++)
        estimate += h->costs[i].estimate;
    /* Far-off figures come from elsewhere: images, a prompt of the server's own, tools. */
    if (estimate > 0 && u->n_prompt > 0)
        h->scale = fmin(fmax((double)u->n_prompt / estimate, 0.25), 8);
    int64_t said = u->n_completion - u->n_reasoning;
    h->next_counted = said > 0 ? said + MESSAGE_COST : -1;
}

/* Drops what is no system message in [begin, end). */
static size_t drop(glim_history *h, size_t begin, size_t end)
{
    size_t to = begin, n_dropped = 0;
    for (size_t i = begin; i < h->n; i++) {
        if (i < end && h->messages[i].role != GLIM_ROLE_SYSTEM) {
            glim_free(h->costs[i].block);
            n_dropped++;
            continue;
        }
        h->messages[to] = h->messages[i];
        h->costs[to++] = h->costs[i];
    }
    h->n = to;
    return n_dropped;
}

/* The turn that i, which is no system message, begins: up to the next question. */
static size_t end_of_turn(const glim_history *h, size_t i)
{
    do
        i++;
    while (i < h->n && h->messages[i].role != GLIM_ROLE_USER);
    return i;
}

size_t glim_history_trim(glim_history *h)
{
    size_t n_dropped = 0;
    if (h->n_max <= 0) return 0;
    for (;;) {
        int64_t sum = 0;
        for (size_t i = 0; i < h->n; i++) {
            int64_t c = cost_of(h, i);
            sum = sum > INT64_MAX - c ? INT64_MAX : sum + c;
        }
        size_t begin = 0;
        while (begin < h->n && h->messages[begin].role == GLIM_ROLE_SYSTEM)
            begin++;
        size_t end = begin < h->n ? end_of_turn(h, begin) : h->n;
        if (sum <= h->n_max || end >= h->n) return n_dropped; /* it fits, or it is the last turn */
        n_dropped += drop(h, begin, end);
    }
}

const glim_message *glim_history_messages(const glim_history *h, size_t *n)
{
    *n = h->n;
    return h->messages;
}
