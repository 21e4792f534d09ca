/* SPDX-License-Identifier: MIT
 * metrics.c - the table of metrics.def as atomics, and their text.
 * Owns:   every counter of the server; all memory is taken by glim_metrics_new().
 * Not here: when something is counted.
 * Thread: any; relaxed atomics, since no counter says anything about other memory.
 * See:    tests/unit/server_aux/test_metrics.c */
#include "server/metrics.h"

#include <inttypes.h>
#include <stdatomic.h>

typedef enum kind { COUNTER, GAUGE, SECONDS, HISTOGRAM, REQUESTS, INFO, ALIAS, SPEED } kind;

#define METRIC(id, kind, name, help, ...) static const uint64_t edges_##id[] = {__VA_ARGS__};
#include "server/metrics.def"
#undef METRIC

static const struct {
    kind kind;
    const char *name, *help;
    const uint64_t *edges; /* microseconds; ALIAS, SPEED: ids */
    size_t n_edge;
} rows[] = {
#define METRIC(id, kind, name, help, ...) {kind, name, help, edges_##id, GLIM_COUNT(edges_##id)},
#include "server/metrics.def"
#undef METRIC
};

/* Statuses that the server sends; the last row is for any other. */
static const int codes[] = {200, 202, 204, 400, 401, 403, 404, 405, 408, 409, 413,
                            415, 417, 429, 431, 499, 500, 501, 503, 505, 0};

enum { EDGES_MAX = 16 };

typedef struct cell {
    atomic_uint_fast64_t
        value; /* counter; gauge as two's complement; histogram and seconds: nanoseconds */
    atomic_uint_fast64_t
        bucket[EDGES_MAX + 1]; /* histogram: not cumulative, the last one is the rest */
} cell;

struct glim_metrics {
    cell cells[GLIM_METRIC_COUNT];
    char *version;
    char **routes;
    size_t n_route;
    atomic_uint_fast64_t *requests; /* [n_route + 1][codes] */
};

#define METRIC(id, kind, name, help, ...)                                                          \
    _Static_assert(GLIM_COUNT(edges_##id) <= EDGES_MAX, "too many edges");
#include "server/metrics.def"
#undef METRIC

static char *copy_of(const char *s)
{
    size_t n = strlen(s) + 1;
    char *p = glim_alloc(n);
    if (p) memcpy(p, s, n);
    return p;
}

glim_metrics *glim_metrics_new(const char *version, const char *const *routes, size_t n_route)
{
    glim_metrics *m = glim_new0(glim_metrics);
    if (!m) return NULL;
    m->version = copy_of(version);
    m->routes = glim_alloc_array(n_route, sizeof *m->routes);
    m->requests = glim_alloc_array(n_route + 1, GLIM_COUNT(codes) * sizeof *m->requests);
    bool ok = m->version && m->routes && m->requests;
    for (; ok && m->n_route < n_route; m->n_route++)
        if (!(m->routes[m->n_route] = copy_of(routes[m->n_route]))) ok = false;
    if (ok) return m;
    glim_metrics_free(m);
    return NULL;
}

void glim_metrics_free(glim_metrics *m)
{
    if (!m) return;
    for (size_t i = 0; i < m->n_route; i++)
        glim_free(m->routes[i]);
    glim_free(m->routes);
    glim_free(m->requests);
    glim_free(m->version);
    glim_free(m);
}

static void bump(atomic_uint_fast64_t *at, uint64_t n)
{
    atomic_fetch_add_explicit(at, n, memory_order_relaxed);
}

static uint64_t look(const atomic_uint_fast64_t *at)
{
    return atomic_load_explicit(at, memory_order_relaxed);
}

static bool is_kind(glim_metric id, kind k)
{
    return !GLIM_NEVER((size_t)id >= GLIM_COUNT(rows) || rows[id].kind != k);
}

void glim_metric_add(glim_metrics *m, glim_metric id, uint64_t n)
{
    if (GLIM_NEVER((size_t)id >= GLIM_COUNT(rows))) return;
    if (is_kind(id, rows[id].kind == SECONDS ? SECONDS : COUNTER)) bump(&m->cells[id].value, n);
}

void glim_metric_set(glim_metrics *m, glim_metric id, int64_t value)
{
    if (is_kind(id, GAUGE))
        atomic_store_explicit(&m->cells[id].value, (uint64_t)value, memory_order_relaxed);
}

void glim_metric_move(glim_metrics *m, glim_metric id, int64_t by)
{
    if (is_kind(id, GAUGE)) bump(&m->cells[id].value, (uint64_t)by);
}

void glim_metric_raise(glim_metrics *m, glim_metric id, int64_t value)
{
    if (!is_kind(id, GAUGE)) return;
    uint_fast64_t old = look(&m->cells[id].value);
    while ((int64_t)old < value &&
           !atomic_compare_exchange_weak_explicit(&m->cells[id].value, &old, (uint64_t)value,
                                                  memory_order_relaxed, memory_order_relaxed))
        continue;
}

void glim_metric_observe(glim_metrics *m, glim_metric id, uint64_t ns)
{
    if (!is_kind(id, HISTOGRAM)) return;
    size_t i = 0;
    while (i < rows[id].n_edge && ns > rows[id].edges[i] * 1000)
        i++;
    bump(&m->cells[id].bucket[i], 1);
    bump(&m->cells[id].value, ns);
}

void glim_metric_request(glim_metrics *m, size_t i_route, int status)
{
    size_t i_code = 0;
    while (i_code + 1 < GLIM_COUNT(codes) && codes[i_code] != status)
        i_code++;
    i_route = GLIM_MIN(i_route, m->n_route);
    bump(&m->requests[i_route * GLIM_COUNT(codes) + i_code], 1);
}

/* Thousandths of what came a second. */
static uint64_t speed_of(const glim_metrics *m, size_t id)
{
    uint64_t n = look(&m->cells[rows[id].edges[0]].value);
    uint64_t ns = look(&m->cells[rows[id].edges[1]].value);
    double speed = ns ? (double)n * 1e12 / (double)ns + 0.5 : 0;
    return speed < 9e18 ? (uint64_t)speed : UINT64_C(9000000000000000000);
}

int64_t glim_metric_value(const glim_metrics *m, glim_metric id)
{
    uint64_t n = 0;
    if (GLIM_NEVER((size_t)id >= GLIM_COUNT(rows))) return 0;
    switch (rows[id].kind) {
    case COUNTER:
    case GAUGE:
    case SECONDS:
        return (int64_t)look(&m->cells[id].value);
    case ALIAS:
        return glim_metric_value(m, (glim_metric)rows[id].edges[0]);
    case SPEED:
        return (int64_t)speed_of(m, id);
    case HISTOGRAM:
        for (size_t i = 0; i <= rows[id].n_edge; i++)
            n += look(&m->cells[id].bucket[i]);
        return (int64_t)n;
    case REQUESTS:
        for (size_t i = 0; i < (m->n_route + 1) * GLIM_COUNT(codes); i++)
            n += look(&m->requests[i]);
        return (int64_t)n;
    case INFO:
        return 1;
    }
    return 0;
}

/* ---- text ------------------------------------------------------------------------------------ */

static void add_label(glim_buf *out, const char *name, const char *value)
{
    (void)glim_buf_addf(out, "%s=\"", name);
    for (const char *p = value; *p; p++) {
        if (*p == '\n')
            (void)glim_buf_adds(out, "\\n");
        else if (*p == '\\' || *p == '"')
            (void)glim_buf_addf(out, "\\%c", *p);
        else
            (void)glim_buf_addc(out, *p);
    }
    (void)glim_buf_addc(out, '"');
}

/* value over 10 to the n_digit, without zeros at the end. Integers only: printf's %f writes the decimal sign of the
 * locale. */
static void add_fixed(glim_buf *out, uint64_t value, int n_digit)
{
    char text[20];
    uint64_t unit = 1;
    int n = n_digit;
    for (int i = 0; i < n_digit; i++)
        unit *= 10;
    (void)glim_buf_addf(out, "%" PRIu64, value / unit);
    uint64_t left = value % unit;
    for (int i = n_digit; i > 0; i--, left /= 10)
        text[i - 1] = (char)('0' + left % 10);
    while (n > 0 && text[n - 1] == '0')
        n--;
    if (n) (void)glim_buf_addf(out, ".%.*s", n, text);
}

static void add_seconds(glim_buf *out, uint64_t ns)
{
    add_fixed(out, ns, 9);
}

static void add_histogram(const cell *c, size_t id, glim_buf *out)
{
    uint64_t n = 0, sum_ns = look(&c->value);
    for (size_t i = 0; i <= rows[id].n_edge; i++) {
        n += look(&c->bucket[i]);
        (void)glim_buf_addf(out, "%s_bucket{le=\"", rows[id].name);
        if (i < rows[id].n_edge)
            add_seconds(out, rows[id].edges[i] * 1000);
        else
            (void)glim_buf_adds(out, "+Inf");
        (void)glim_buf_addf(out, "\"} %" PRIu64 "\n", n);
    }
    (void)glim_buf_addf(out, "%s_sum ", rows[id].name);
    add_seconds(out, sum_ns);
    (void)glim_buf_addf(out, "\n%s_count %" PRIu64 "\n", rows[id].name, n);
}

static void add_requests(const glim_metrics *m, size_t id, glim_buf *out)
{
    for (size_t i = 0; i <= m->n_route; i++)
        for (size_t k = 0; k < GLIM_COUNT(codes); k++) {
            uint64_t n = look(&m->requests[i * GLIM_COUNT(codes) + k]);
            if (n == 0) continue;
            (void)glim_buf_addf(out, "%s{", rows[id].name);
            add_label(out, "route", i < m->n_route ? m->routes[i] : "other");
            if (codes[k])
                (void)glim_buf_addf(out, ",code=\"%d\"", codes[k]);
            else
                (void)glim_buf_adds(out, ",code=\"other\"");
            (void)glim_buf_addf(out, "} %" PRIu64 "\n", n);
        }
}

/* What stands behind the name of a metric that has one value only. */
static void add_value(const glim_metrics *m, size_t id, glim_buf *out)
{
    uint64_t value = look(&m->cells[id].value);
    switch (rows[id].kind) {
    case COUNTER:
        (void)glim_buf_addf(out, "%" PRIu64, value);
        break;
    case SECONDS:
        add_seconds(out, value);
        break;
    case SPEED:
        add_fixed(out, speed_of(m, id), 3);
        break;
    default:
        (void)glim_buf_addf(out, "%" PRId64, (int64_t)value);
        break;
    }
}

static size_t meant(size_t id)
{
    return rows[id].kind == ALIAS ? rows[id].edges[0] : id;
}

static void add_metric(const glim_metrics *m, size_t id, glim_buf *out)
{
    const char *name = rows[id].name;
    switch (rows[id].kind) {
    case HISTOGRAM:
        add_histogram(&m->cells[id], id, out);
        break;
    case REQUESTS:
        add_requests(m, id, out);
        break;
    case INFO:
        (void)glim_buf_addf(out, "%s{", name);
        add_label(out, "version", m->version);
        (void)glim_buf_adds(out, "} 1\n");
        break;
    default:
        (void)glim_buf_addf(out, "%s ", name);
        add_value(m, meant(id), out);
        (void)glim_buf_addc(out, '\n');
        break;
    }
}

glim_err glim_metrics_encode(const glim_metrics *m, glim_buf *out)
{
    static const char *const types[] = {
        [COUNTER] = "counter",  [GAUGE] = "gauge", [SECONDS] = "counter", [HISTOGRAM] = "histogram",
        [REQUESTS] = "counter", [INFO] = "gauge",  [SPEED] = "gauge"};
    for (size_t id = 0; id < GLIM_COUNT(rows); id++) {
        const char *name = rows[id].name;
        (void)glim_buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", name, rows[id].help, name,
                            types[rows[meant(id)].kind]);
        add_metric(m, id, out);
    }
    return out->err;
}
