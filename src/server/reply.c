/* SPDX-License-Identifier: MIT
 * reply.c - status, head and body of a reply into the connection's output; nothing is sent here.
 * Thread: I/O.
 * Fails:  without memory the connection is closed: half a reply is worse than none. */
#include "server/conn_priv.h"

#include <stdio.h>
#include <time.h>

static const struct {
    int status;
    const char *reason;
} reasons[] = {
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {413, "Content Too Large"},
    {415, "Unsupported Media Type"},
    {417, "Expectation Failed"},
    {422, "Unprocessable Content"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {499, "Client Closed Request"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {529, "Overloaded"},
};

int glim_http_fault_status(glim_http_fault f)
{
    static const int status[] = {
        [GLIM_HTTP_OK] = 200,
        [GLIM_HTTP_MALFORMED] = 400,
        [GLIM_HTTP_HEAD_TOO_LARGE] = 431,
        [GLIM_HTTP_BODY_TOO_LARGE] = 413,
        [GLIM_HTTP_ENCODED_BODY] = 415,
        [GLIM_HTTP_TIMEOUT] = 408,
        [GLIM_HTTP_VERSION] = 505,
        [GLIM_HTTP_EXPECTATION] = 417,
        [GLIM_HTTP_NOMEM] = 503,
    };
    return (size_t)f < GLIM_COUNT(status) ? status[f] : 500;
}

/* Made anew at most twice a second: the date of a reply may be half a second old. */
static const char *date(glim_http *h)
{
    static const char days[] = "SunMonTueWedThuFriSat",
                      months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    if (h->date[0] && h->now - h->t_date < 500000000u) return h->date;
    time_t t = time(NULL);
    struct tm tm = {0};
    gmtime_r(&t, &tm);
    snprintf(h->date, sizeof h->date, "%.3s, %02d %.3s %d %02d:%02d:%02d GMT",
             days + 3 * (tm.tm_wday % 7), tm.tm_mday, months + 3 * (tm.tm_mon % 12),
             tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
    h->t_date = h->now;
    return h->date;
}

/* In digits, without the cost of a printf. */
static void add_number(glim_buf *b, uint64_t v, unsigned base)
{
    char text[24];
    size_t at = sizeof text;
    do
        text[--at] = "0123456789abcdef"[v % base];
    while (v /= base);
    glim_buf_add(b, text + at, sizeof text - at);
}

static void add_status(glim_buf *b, int status)
{
    const char *reason = "Unknown";
    for (size_t i = 0; i < GLIM_COUNT(reasons); i++)
        if (reasons[i].status == status) reason = reasons[i].reason;
    glim_buf_addv(b, GLIM_STR("HTTP/1.1 "));
    add_number(b, (uint64_t)status, 10);
    glim_buf_addc(b, ' ');
    glim_buf_adds(b, reason);
    glim_buf_addv(b, GLIM_STR("\r\n"));
}

static void written(glim_http_conn *c)
{
    if (c->out.err) c->doomed = true;
    glim_http_conn_mark(c);
}

/* Whether the connection outlives this reply must be known here: it is said in the head. */
static void decide_close(glim_http_conn *c, const glim_http_exchange *x)
{
    bool early = c->phase == GLIM_CONN_BODY; /* before the body is in: it will not be read */
    if (early) c->phase = GLIM_CONN_RUN;
    if (c->phase == GLIM_CONN_HEAD && x->r.has_body && !glim_http_conn_skips(c)) early = true;
    if (early || !x->r.keep_alive || c->http->draining) c->close_after = true;
    if (x->stream && !x->chunked && !x->bodiless) c->close_after = true;
}

static glim_http_exchange *begin(glim_http_req *rq, int status, const char *type, glim_str extra,
                                 bool stream, size_t n_body)
{
    glim_http_conn *c = rq->conn;
    glim_http_exchange *x = (glim_http_exchange *)(void *)rq;
    if (!c || x->begun) return NULL;
    bool bare = status < 200 || status == 204 || status == 304; /* these never have a body */
    x->begun = true;
    x->stream = stream;
    x->chunked = stream && !x->r.http10 && !bare;
    x->bodiless = bare || rq->method == GLIM_HEAD;
    decide_close(c, x);
    if (glim_http_conn_unsent(c) == 0) c->t_sent = c->http->now;
    glim_buf *b = &c->out;
    add_status(b, status);
    glim_buf_addv(b, GLIM_STR("Date: "));
    glim_buf_adds(b, date(c->http));
    if (type) {
        glim_buf_addv(b, GLIM_STR("\r\nContent-Type: "));
        glim_buf_adds(b, type);
    }
    if (x->chunked) {
        glim_buf_addv(b, GLIM_STR("\r\nTransfer-Encoding: chunked"));
    } else if (!stream && !bare) {
        glim_buf_addv(b, GLIM_STR("\r\nContent-Length: "));
        add_number(b, n_body, 10);
    }
    if (c->close_after)
        glim_buf_addv(b, GLIM_STR("\r\nConnection: close"));
    else if (x->r.http10)
        glim_buf_addv(b, GLIM_STR("\r\nConnection: keep-alive"));
    glim_buf_addv(b, GLIM_STR("\r\n"));
    glim_buf_addv(b, extra);
    glim_buf_addv(b, GLIM_STR("\r\n"));
    return x;
}

void glim_http_reply(glim_http_req *rq, int status, const char *type, glim_str extra, glim_str body)
{
    glim_http_exchange *x = begin(rq, status, type, extra, false, body.n);
    if (!x) return;
    if (!x->bodiless) glim_buf_addv(&rq->conn->out, body);
    x->whole = true;
    written(rq->conn);
}

void glim_http_stream_begin(glim_http_req *rq, int status, const char *type, glim_str extra)
{
    if (begin(rq, status, type, extra, true, 0)) written(rq->conn);
}

/* The stream that may be written to, or NULL. */
static glim_http_exchange *stream_of(glim_http_req *rq)
{
    glim_http_exchange *x = (glim_http_exchange *)(void *)rq;
    return rq->conn && x->stream && !x->whole ? x : NULL;
}

void glim_http_stream_write(glim_http_req *rq, glim_str bytes)
{
    glim_http_exchange *x = stream_of(rq);
    /* A chunk of no bytes would be the last one. */
    if (!x || x->bodiless || bytes.n == 0) return;
    glim_http_conn *c = rq->conn;
    if (glim_http_conn_unsent(c) == 0) c->t_sent = c->http->now;
    if (x->chunked) {
        add_number(&c->out, bytes.n, 16);
        glim_buf_addv(&c->out, GLIM_STR("\r\n"));
    }
    glim_buf_addv(&c->out, bytes);
    if (x->chunked) glim_buf_addv(&c->out, GLIM_STR("\r\n"));
    if (glim_http_conn_unsent(c) > GLIM_HTTP_HIGH) x->wants_room = true;
    written(c);
}

void glim_http_stream_end(glim_http_req *rq)
{
    glim_http_exchange *x = stream_of(rq);
    if (!x) return;
    if (x->chunked && !x->bodiless) glim_buf_addv(&rq->conn->out, GLIM_STR("0\r\n\r\n"));
    x->whole = true;
    x->wants_room = false;
    written(rq->conn);
}

void glim_http_stream_abort(glim_http_req *rq)
{
    glim_http_exchange *x = stream_of(rq);
    if (!x) return;
    x->whole = x->aborted = true;
    x->wants_room = false;
    rq->conn->close_after = true;
    glim_http_conn_mark(rq->conn);
}

size_t glim_http_unsent(const glim_http_req *rq)
{
    return rq->conn ? glim_http_conn_unsent(rq->conn) : 0;
}

/* ---- questions about a request ------------------------------------------------------------------ */

glim_str glim_http_header_get(const glim_http_req *rq, const char *name)
{
    glim_str want = glim_str_of(name);
    for (size_t i = 0; i < rq->n_header; i++)
        if (glim_str_ieq(rq->headers[i].name, want)) return rq->headers[i].value;
    return (glim_str){NULL, 0};
}

size_t glim_http_header_count(const glim_http_req *rq, const char *name)
{
    size_t n = 0;
    for (size_t i = 0; i < rq->n_header; i++)
        n += glim_str_ieq(rq->headers[i].name, glim_str_of(name));
    return n;
}
