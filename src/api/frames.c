/* SPDX-License-Identifier: MIT
 * frames.c - a stream of bytes, cut anywhere, to whole events: server-sent events or lines of JSON.
 * Owns:   lines, fields, the joining of data lines, and how large an event may grow.
 * Not here: what an event says (hear_*.c), reconnecting: ids and waits are read and passed over.
 * Layout: a line that came whole is looked at where it stands; only a line that is cut is copied.
 * Thread: one at a time for a stream.
 * Fails:  LIMIT, FORMAT (NUL bytes, invalid UTF-8) with the offset in the stream, CANCELLED, NOMEM;
 *         what failed stays failed.
 * See:    WHATWG HTML, "Interpreting an event stream" (9.2.6); tests/unit/api/
 *         test_frames.c, fuzz/frames.c */
#include "api/api.h"

struct glim_frames {
    bool lines;
    size_t event_max;
    glim_frame_fn fn;
    void *user;
    glim_buf line; /* the beginning of a line whose end has not come */
    glim_buf name; /* server-sent events: the event so far */
    glim_buf data; /* each of its data lines with a LF behind it */
    bool begun;    /* the first line is over: no byte order mark can follow */
    bool skip_lf;  /* the last byte was a CR: a LF that follows belongs to it */
    uint64_t at;   /* offset in the stream of the line at hand */
    glim_err err;
};

glim_frames *glim_frames_new(bool lines, size_t event_max, glim_frame_fn fn, void *user)
{
    glim_frames *f = glim_new0(glim_frames);
    if (!f) return NULL;
    f->lines = lines;
    f->event_max = GLIM_MIN(event_max, SIZE_MAX / 2);
    f->fn = fn;
    f->user = user;
    glim_buf_init(&f->line, f->event_max);
    glim_buf_init(&f->name, f->event_max);
    glim_buf_init(&f->data, f->event_max + 1); /* its last LF is not part of it */
    return f;
}

void glim_frames_free(glim_frames *f)
{
    if (!f) return;
    glim_buf_deinit(&f->line);
    glim_buf_deinit(&f->name);
    glim_buf_deinit(&f->data);
    glim_free(f);
}

/* ---- what can go wrong ----------------------------------------------------------------------- */

static glim_err too_large(glim_frames *f, glim_error *e)
{
    return glim_fail_off(
        e, f->err = GLIM_E_LIMIT, f->at,
        "an event of the stream is larger than %zu bytes; allow more, or ask for a "
        "shorter answer",
        f->event_max);
}

/* The error that stayed in a buffer. */
static glim_err buffer_failed(glim_frames *f, const glim_buf *b, glim_error *e)
{
    if (b->err == GLIM_E_LIMIT) return too_large(f, e);
    return glim_fail(e, f->err = b->err, "no memory for an event of the stream");
}

static glim_err emit(glim_frames *f, glim_str name, glim_str data, glim_error *e)
{
    if (f->fn(f->user, name, data)) return GLIM_OK;
    return glim_fail(e, f->err = GLIM_E_CANCELLED, "the stream was stopped by its reader");
}

static glim_err check_bytes(glim_frames *f, glim_str line, glim_error *e)
{
    size_t bad;
    const char *nul = line.n ? memchr(line.p, 0, line.n) : NULL;
    if (nul)
        return glim_fail_off(e, f->err = GLIM_E_FORMAT, f->at + (uint64_t)(nul - line.p),
                             "the stream holds a NUL byte: it is no text");
    if (!glim_utf8_valid(line, &bad))
        return glim_fail_off(e, f->err = GLIM_E_FORMAT, f->at + bad,
                             "the stream is not valid UTF-8");
    return GLIM_OK;
}

/* ---- server-sent events ---------------------------------------------------------------------- */

/* A blank line: an event without data lines is none. */
static glim_err dispatch(glim_frames *f, glim_error *e)
{
    glim_err rc = GLIM_OK;
    if (f->data.n) {
        glim_str data = {f->data.p, f->data.n - 1};
        rc = emit(f, glim_buf_view(&f->name), data, e);
    }
    glim_buf_cut(&f->name, 0);
    glim_buf_cut(&f->data, 0);
    return rc;
}

static glim_err take_field(glim_frames *f, glim_str line, glim_error *e)
{
    size_t colon = glim_str_find(line, GLIM_STR(":"));
    glim_str name = colon == SIZE_MAX ? line : glim_str_sub(line, 0, colon);
    glim_str value = colon == SIZE_MAX ? GLIM_STR("") : glim_str_sub(line, colon + 1, line.n);
    if (value.n && value.p[0] == ' ') value = glim_str_sub(value, 1, value.n);
    if (glim_str_is(name, "data")) {
        glim_buf_addv(&f->data, value);
        glim_buf_addc(&f->data, '\n');
        if (f->data.err) return buffer_failed(f, &f->data, e);
    } else if (glim_str_is(name, "event")) {
        glim_buf_cut(&f->name, 0);
        glim_buf_addv(&f->name, value);
        if (f->name.err) return buffer_failed(f, &f->name, e);
    }
    return GLIM_OK; /* id, retry, comments (no name), and what no standard knows */
}

/* ---- lines ----------------------------------------------------------------------------------- */

static glim_err take_line(glim_frames *f, glim_str line, glim_error *e)
{
    bool first = !f->begun;
    f->begun = true;
    if (line.n > f->event_max) return too_large(f, e);
    glim_err rc = check_bytes(f, line, e);
    if (rc) return rc;
    if (f->lines) {
        line = glim_str_trim(line, " \t\r");
        return line.n ? emit(f, GLIM_STR(""), line, e) : GLIM_OK;
    }
    if (first && glim_str_starts(line, GLIM_STR("\xEF\xBB\xBF")))
        line = glim_str_sub(line, 3, line.n);
    return line.n ? take_field(f, line, e) : dispatch(f, e);
}

/* Bytes before the end of the line; SIZE_MAX: it is not among them. JSON may have a CR between its
 * parts, so that only a LF ends a line of it. */
static size_t find_end(const glim_frames *f, glim_str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] == '\n' || (s.p[i] == '\r' && !f->lines)) return i;
    return SIZE_MAX;
}

/* The line that ends n bytes into s. */
static glim_err end_line(glim_frames *f, glim_str s, size_t n, glim_error *e)
{
    glim_str line = {s.p, n};
    if (f->line.n) {
        glim_buf_add(&f->line, s.p, n);
        if (f->line.err) return buffer_failed(f, &f->line, e);
        line = glim_buf_view(&f->line);
    }
    size_t n_line = line.n;
    glim_err rc = take_line(f, line, e);
    f->at += n_line + 1;
    glim_buf_cut(&f->line, 0);
    return rc;
}

glim_err glim_frames_feed(glim_frames *f, glim_str bytes, glim_error *e)
{
    if (f->err) return glim_fail(e, f->err, "the stream has failed before");
    while (bytes.n) {
        if (f->skip_lf) {
            f->skip_lf = false;
            if (bytes.p[0] == '\n') {
                f->at++;
                bytes = glim_str_sub(bytes, 1, bytes.n);
                continue;
            }
        }
        size_t n = find_end(f, bytes);
        if (n == SIZE_MAX) {
            glim_buf_addv(&f->line, bytes);
            return f->line.err ? buffer_failed(f, &f->line, e) : GLIM_OK;
        }
        f->skip_lf = bytes.p[n] == '\r';
        glim_err rc = end_line(f, bytes, n, e);
        if (rc) return rc;
        bytes = glim_str_sub(bytes, n + 1, bytes.n);
    }
    return GLIM_OK;
}

/* A last line of JSON needs no line end: if it was cut, it is no whole value. */
glim_err glim_frames_end(glim_frames *f, bool *cut, glim_error *e)
{
    *cut = false;
    if (f->err) return glim_fail(e, f->err, "the stream has failed before");
    if (f->lines) return f->line.n ? end_line(f, GLIM_STR(""), 0, e) : GLIM_OK;
    *cut = f->data.n || f->name.n || (f->line.n && f->line.p[0] != ':');
    return GLIM_OK;
}
