/* SPDX-License-Identifier: MIT
 * limits.c - a token bucket and a count of running requests for each key.
 * Owns:   an entry a key, in a hash table with linear probing; at most ENTRIES_MAX of them.
 * Not here: which limit a key has (auth.c, options), what is answered (server.c).
 * Layout: a bucket is kept as what is missing in it, in parts of a token: so a fresh entry is all zero, and a limit that
 *         changes does not change what was taken. A token has as many parts as a minute has nanoseconds; then exactly
 *         per_minute parts come back each nanosecond, and an empty bucket is full again after a minute, whatever its size.
 * Thread: I/O.
 * See:    tests/unit/server_aux/test_limits.c */
#include "server/limits.h"

enum {
    ENTRIES_MAX = 4097, /* the keys that auth.c takes, and "" */
    CELLS_MIN = 16,
    WAIT_MAX_S = 60 /* a guess beyond this helps nobody */
};
#define MINUTE_NS UINT64_C(60000000000)
#define SECOND_NS UINT64_C(1000000000)
#define RATE_MAX 100000000 /* a minute; times MINUTE_NS it fits into 63 bits */

typedef struct entry {
    char id[9];
    bool used;
    int64_t n_running;
    uint64_t missing, missing_ns; /* parts of tokens, at this moment */
    double age_s;                 /* of all running requests together ... */
    uint64_t age_ns;              /* ... at this moment */
    double mean_s; /* moving average of how long requests took; 0: none was over yet */
} entry;

struct glim_limits {
    entry *cells; /* n_cell, a power of two; at most half of them used */
    size_t n_cell, n;
};

glim_limits *glim_limits_new(void)
{
    return glim_new0(glim_limits);
}

void glim_limits_free(glim_limits *l)
{
    if (!l) return;
    glim_free(l->cells);
    glim_free(l);
}

size_t glim_limits_count(const glim_limits *l)
{
    return l->n;
}

/* ---- the table ------------------------------------------------------------------------------- */

/* The cell that has the id, or the free one where it belongs. */
static entry *cell_of(entry *cells, size_t n_cell, const char *id)
{
    uint64_t h = UINT64_C(14695981039346656037); /* FNV-1a */
    for (const char *p = id; *p; p++)
        h = (h ^ (uint8_t)*p) * UINT64_C(1099511628211);
    size_t i = (size_t)(h ^ h >> 32) & (n_cell - 1);
    while (cells[i].used && strcmp(cells[i].id, id) != 0)
        i = (i + 1) & (n_cell - 1);
    return &cells[i];
}

/* Nothing runs, and the bucket is full by now: as good as no entry. */
static bool is_idle(const entry *t, uint64_t now_ns)
{
    return t->n_running == 0 &&
           (t->missing == 0 || (now_ns > t->missing_ns && now_ns - t->missing_ns >= MINUTE_NS));
}

/* Makes room for one more entry and leaves out idle ones. False: no memory, or all are needed. */
static bool make_room(glim_limits *l, uint64_t now_ns)
{
    size_t n_kept = 0, n_cell = CELLS_MIN;
    if (2 * (l->n + 1) <= l->n_cell && l->n < ENTRIES_MAX) return true;
    for (size_t i = 0; i < l->n_cell; i++)
        if (l->cells[i].used && !is_idle(&l->cells[i], now_ns)) n_kept++;
    if (n_kept >= ENTRIES_MAX) return false;
    while (n_cell < 2 * (n_kept + 1))
        n_cell *= 2;
    entry *cells = glim_alloc_array(n_cell, sizeof *cells);
    if (!cells) return false;
    for (size_t i = 0; i < l->n_cell; i++)
        if (l->cells[i].used && !is_idle(&l->cells[i], now_ns))
            *cell_of(cells, n_cell, l->cells[i].id) = l->cells[i];
    glim_free(l->cells);
    *l = (glim_limits){.cells = cells, .n_cell = n_cell, .n = n_kept};
    return true;
}

static entry *find(glim_limits *l, const char *id)
{
    if (l->n_cell == 0) return NULL;
    entry *t = cell_of(l->cells, l->n_cell, id);
    return t->used ? t : NULL;
}

static entry *find_or_add(glim_limits *l, const char *id, uint64_t now_ns)
{
    entry *t = find(l, id);
    if (t || !make_room(l, now_ns)) return t;
    t = cell_of(l->cells, l->n_cell, id);
    *t = (entry){.used = true, .missing_ns = now_ns, .age_ns = now_ns};
    memcpy(t->id, id, strlen(id));
    l->n++;
    return t;
}

/* ---- counting -------------------------------------------------------------------------------- */

static uint64_t rate_of(const glim_limit *limit)
{
    return (uint64_t)GLIM_MIN(limit->per_minute, (int64_t)RATE_MAX);
}

static void grow_older(entry *t, uint64_t now_ns)
{
    if (now_ns <= t->age_ns) return;
    t->age_s += (double)t->n_running * (double)(now_ns - t->age_ns) / 1e9;
    t->age_ns = now_ns;
}

static void fill_up(entry *t, uint64_t rate, uint64_t now_ns)
{
    uint64_t passed = now_ns > t->missing_ns ? GLIM_MIN(now_ns - t->missing_ns, MINUTE_NS) : 0;
    t->missing = GLIM_MIN(t->missing, rate * MINUTE_NS);
    t->missing -= GLIM_MIN(t->missing, passed * rate);
    t->missing_ns = GLIM_MAX(t->missing_ns, now_ns);
}

/* Seconds until there is a token, 0 when there is one. */
static int64_t rate_wait(entry *t, const glim_limit *limit, uint64_t now_ns)
{
    if (limit->per_minute <= 0) {
        t->missing = 0;
        return 0;
    }
    uint64_t rate = rate_of(limit), capacity = rate * MINUTE_NS;
    fill_up(t, rate, now_ns);
    if (t->missing + MINUTE_NS <= capacity) return 0;
    uint64_t parts = t->missing + MINUTE_NS - capacity, parts_s = rate * SECOND_NS;
    return (int64_t)((parts + parts_s - 1) / parts_s);
}

/* Of requests that took mean_s each, the next one of n should end after about the n-th part. */
static int64_t slot_wait(const entry *t)
{
    double s = t->mean_s / (double)GLIM_MAX(t->n_running, (int64_t)1);
    int64_t whole = s < WAIT_MAX_S ? (int64_t)s : WAIT_MAX_S;
    if ((double)whole < s && whole < WAIT_MAX_S) whole++;
    return GLIM_MAX(whole, (int64_t)1);
}

bool glim_limits_enter(glim_limits *l, const char *key_id, const glim_limit *limit, uint64_t now_ns,
                       int64_t *retry_after_s, bool *by_rate)
{
    *retry_after_s = 1;
    *by_rate = false;
    if (GLIM_NEVER(strlen(key_id) >= sizeof((entry *)0)->id)) return false;
    entry *t = find_or_add(l, key_id, now_ns);
    if (!t) return false;
    grow_older(t, now_ns);
    int64_t wait_s = rate_wait(t, limit, now_ns);
    if (wait_s) {
        *retry_after_s = wait_s;
        *by_rate = true;
        return false;
    }
    if (limit->concurrent > 0 && t->n_running >= limit->concurrent) {
        *retry_after_s = slot_wait(t);
        return false;
    }
    if (limit->per_minute > 0) t->missing += MINUTE_NS;
    t->n_running++;
    return true;
}

/* Who leaves is not known, only that one does: it takes the mean age of those that run. Each second of each request is
 * counted once so, and the mean of what is taken is the mean duration. */
void glim_limits_leave(glim_limits *l, const char *key_id)
{
    entry *t = find(l, key_id);
    if (GLIM_NEVER(!t || t->n_running <= 0)) return;
    grow_older(t, glim_now_ns());
    double took_s = t->age_s / (double)t->n_running;
    t->age_s -= took_s;
    t->n_running--;
    t->mean_s = t->mean_s > 0 ? t->mean_s + (took_s - t->mean_s) / 8 : took_s;
}
