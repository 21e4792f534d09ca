/* SPDX-License-Identifier: MIT
 * frames.c - fuzz target: the first two bytes say what kind of stream it is, how large an event may
 * be and where it is cut, the rest is the stream. Where it is cut changes nothing. */
#include "api/api.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool x)
{
    if (!x) abort();
}

typedef struct result {
    glim_buf log;
    bool lines, cut;
    size_t event_max, n_event;
    glim_err err;
    glim_error e;
} result;

static bool on_frame(void *user, glim_str name, glim_str data)
{
    result *r = user;
    must(data.n <= r->event_max && name.n <= r->event_max);
    must(glim_utf8_valid(data, NULL) && glim_utf8_valid(name, NULL));
    must(!data.n || !memchr(data.p, 0, data.n));
    must(!name.n || (!memchr(name.p, '\n', name.n) && !memchr(name.p, '\r', name.n)));
    must(!data.n || !memchr(data.p, r->lines ? '\n' : '\r', data.n));
    must(!r->lines || (data.n && !name.n));
    glim_buf_addf(&r->log, "%zu,%zu:", name.n, data.n);
    glim_buf_addv(&r->log, name);
    glim_buf_addv(&r->log, data);
    r->n_event++;
    return true;
}

/* In pieces of step bytes. */
static void run(result *r, glim_str bytes, size_t step)
{
    glim_frames *f = glim_frames_new(r->lines, r->event_max, on_frame, r);
    must(f != NULL);
    glim_buf_init(&r->log, (size_t)64 << 20);
    for (size_t i = 0; i < bytes.n && !r->err; i += step) {
        glim_str piece = glim_str_sub(bytes, i, GLIM_MIN(i + step, bytes.n));
        char *copy = glim_alloc(piece.n); /* of its own, so that reading beyond it is seen */
        must(copy != NULL);
        memcpy(copy, piece.p, piece.n);
        r->err = glim_frames_feed(f, (glim_str){copy, piece.n}, &r->e);
        glim_free(copy);
    }
    if (!r->err) r->err = glim_frames_end(f, &r->cut, &r->e);
    must(r->err == GLIM_OK || r->err == GLIM_E_LIMIT || r->err == GLIM_E_FORMAT);
    must(!r->err || (r->e.msg[0] && r->e.offset <= bytes.n));
    glim_frames_free(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) return 0;
    const bool lines = data[0] & 1;
    const size_t event_max = (size_t)data[0] * 4, step = 1 + data[1] % 64;
    const glim_str bytes = {(const char *)data + 2, size - 2};
    result whole = {.lines = lines, .event_max = event_max}, parts = whole;
    run(&whole, bytes, bytes.n ? bytes.n : 1);
    run(&parts, bytes, step);
    must(whole.err == parts.err && whole.n_event == parts.n_event && whole.cut == parts.cut);
    must(!whole.err || whole.e.offset == parts.e.offset);
    must(glim_str_eq(glim_buf_view(&whole.log), glim_buf_view(&parts.log)));
    glim_buf_deinit(&whole.log);
    glim_buf_deinit(&parts.log);
    return 0;
}
