/* SPDX-License-Identifier: MIT
 * hearing.h - answers through frames and a wire's hear(), cut where a test likes, written down as
 * lines of text; and our own server's replies on the other end. */
#ifndef GLIM_TESTS_API_HEARING_H
#define GLIM_TESTS_API_HEARING_H

#include "script.h"

#include "failnth.h"

#include <inttypes.h>

/* Events as lines: "R thought", "C text" (neighbours joined), "B 0 id name", "E 0 {}", "X 0 raw",
 * "L p -0.5 2" and "S reason prompt/cached/completion/reasoning stop". */
typedef struct hearing {
    glim_buf log;
    char last; /* kind of the text that may go on */
    size_t n_event, stop_after;
    double prompt_ms, completion_ms;
    bool over;
    glim_remote said;
    glim_err err;
    glim_error e;
    const glim_wire_dialect *d;
    glim_hear *h;
} hearing;

static inline void hearing_text(hearing *k, char kind, glim_str text)
{
    assert_true(text.n > 0 && glim_utf8_valid(text, NULL));
    if (k->last != kind) glim_buf_addf(&k->log, "%s%c ", k->log.n ? "\n" : "", kind);
    k->last = kind;
    glim_buf_addv(&k->log, text);
}

static inline void hearing_line(hearing *k)
{
    if (k->log.n) glim_buf_addc(&k->log, '\n');
    k->last = 0;
}

static inline bool hearing_event(void *user, const glim_event *ev)
{
    hearing *k = user;
    const glim_usage *u = ev->usage;
    switch (ev->kind) {
    case GLIM_EV_REASONING:
    case GLIM_EV_CONTENT:
        hearing_text(k, ev->kind == GLIM_EV_REASONING ? 'R' : 'C', ev->text);
        break;
    case GLIM_EV_CALL_BEGIN:
        hearing_line(k);
        assert_true(ev->name.n > 0);
        glim_buf_addf(&k->log, "B %zu %.*s %.*s", ev->i_call, GLIM_STR_ARG(ev->id),
                      GLIM_STR_ARG(ev->name));
        break;
    case GLIM_EV_CALL_END:
    case GLIM_EV_CALL_BROKEN:
        hearing_line(k);
        assert_true(glim_utf8_valid(ev->text, NULL));
        glim_buf_addf(&k->log, "%c %zu ", ev->kind == GLIM_EV_CALL_END ? 'E' : 'X', ev->i_call);
        glim_buf_addv(&k->log, ev->text);
        break;
    case GLIM_EV_LOGPROBS:
        hearing_line(k);
        assert_int_equal(ev->logprobs->chosen.id, -1);
        glim_buf_addf(&k->log, "L%s ", ev->in_reasoning ? "r" : "");
        glim_buf_addv(&k->log, ev->logprobs->chosen.bytes);
        glim_buf_addf(&k->log, " %g %zu", (double)ev->logprobs->chosen.logprob,
                      ev->logprobs->n_top);
        break;
    case GLIM_EV_STOP:
        hearing_line(k);
        assert_non_null(u);
        k->prompt_ms = u->prompt_ms;
        k->completion_ms = u->completion_ms;
        glim_buf_addf(&k->log, "S %d %" PRId64 "/%" PRId64 "/%" PRId64 "/%" PRId64 " ",
                      (int)ev->reason, u->n_prompt, u->n_cached, u->n_completion, u->n_reasoning);
        glim_buf_addv(&k->log, ev->stop_text);
        break;
    case GLIM_EV_CALL_ARG:
    case GLIM_EV_PROGRESS:
        fail_msg("an event that no wire has");
    }
    return ++k->n_event != k->stop_after;
}

static inline bool hearing_frame(void *user, glim_str name, glim_str data)
{
    hearing *k = user;
    (void)name;
    k->err = k->d->hear(k->h, data, false, &k->over, &k->said, &k->e);
    return k->err == GLIM_OK;
}

static inline void hearing_init(hearing *k, const glim_wire_dialect *d)
{
    memset(k, 0, sizeof *k);
    glim_buf_init(&k->log, 1 << 24);
    k->d = d;
}

/* A stream, cut at the offsets cut and cut + step, cut + 2 step, ... */
static inline void hearing_stream(hearing *k, const glim_ask *a, glim_str bytes, size_t cut,
                                  size_t step)
{
    k->h = k->d->hear_new(a, hearing_event, k);
    glim_frames *f = glim_frames_new(k->d->lines, 1 << 20, hearing_frame, k);
    glim_err rc = k->h && f ? GLIM_OK : GLIM_E_NOMEM;
    bool was_cut = false; /* an error of the frames must not cover the one of hear() */
    if (!rc) rc = glim_frames_feed(f, glim_str_sub(bytes, 0, cut), NULL);
    for (size_t i = cut; i < bytes.n && !rc; i += step)
        rc = glim_frames_feed(f, glim_str_sub(bytes, i, GLIM_MIN(i + step, bytes.n)), NULL);
    if (!rc) rc = glim_frames_end(f, &was_cut, NULL);
    if (rc && !k->err) k->err = rc;
    if (!k->err) k->err = k->d->hear_end(k->h, &k->e);
    glim_frames_free(f);
    k->d->hear_free(k->h);
}

static inline void hearing_whole(hearing *k, const glim_ask *a, glim_str body)
{
    k->h = k->d->hear_new(a, hearing_event, k);
    k->err = k->h ? k->d->hear(k->h, body, true, &k->over, &k->said, &k->e) : GLIM_E_NOMEM;
    if (!k->err) k->err = k->d->hear_end(k->h, &k->e);
    k->d->hear_free(k->h);
}

/* ---- rows ------------------------------------------------------------------------------------ */

typedef struct hear_row {
    const char *name, *bytes; /* frames, or a body */
    const char *want;         /* the lines; what came before an error */
    glim_err err;
    const char *msg; /* how the error's message begins; of REMOTE: code|message */
} hear_row;

static inline void hearing_check(const hear_row *r, hearing *k)
{
    const char *log = k->log.p ? k->log.p : "";
    char remote[600];
    if (k->err != r->err || strcmp(log, r->want) != 0)
        print_error("%s: %d %s\n%s\nwant\n%s\n", r->name, k->err, k->e.msg, log, r->want);
    assert_int_equal(k->err, r->err);
    assert_string_equal(log, r->want);
    if (r->err == GLIM_E_REMOTE) {
        snprintf(remote, sizeof remote, "%s|%s", k->said.code, k->said.message);
        assert_string_equal(remote, r->msg);
    } else if (r->err) {
        if (strncmp(k->e.msg, r->msg, strlen(r->msg)) != 0)
            print_error("%s: %s\nwant %s\n", r->name, k->e.msg, r->msg);
        assert_int_equal(strncmp(k->e.msg, r->msg, strlen(r->msg)), 0);
        assert_int_equal(k->e.code, r->err);
    }
    glim_buf_deinit(&k->log);
}

static inline void hearing_rows(const glim_wire_dialect *d, const glim_ask *a, bool whole,
                                const hear_row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        hearing k;
        glim_str bytes = glim_str_of(rows[i].bytes);
        if (whole) {
            hearing_init(&k, d);
            hearing_whole(&k, a, bytes);
            hearing_check(&rows[i], &k);
            continue;
        }
        for (size_t cut = 0; cut <= bytes.n; cut++) {
            hearing_init(&k, d);
            hearing_stream(&k, a, bytes, cut, bytes.n + 1);
            hearing_check(&rows[i], &k);
        }
        hearing_init(&k, d);
        hearing_stream(&k, a, bytes, 0, 1);
        hearing_check(&rows[i], &k);
    }
}

/* ---- our own server on the other end ----------------------------------------------------------- */

/* The events as they should come back: no arguments one by one, texts joined. */
static inline void hearing_expect(hearing *k, const glim_event *ev, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        bool text = ev[i].kind == GLIM_EV_REASONING || ev[i].kind == GLIM_EV_CONTENT;
        if (ev[i].kind != GLIM_EV_CALL_ARG && !(text && ev[i].text.n == 0))
            (void)hearing_event(k, &ev[i]);
    }
}

/* Events through our server's stream and whole body, and back, cut at every byte. */
static inline void hearing_round(const glim_wire_dialect *d, const glim_dialect *server,
                                 const glim_request *like, const glim_ask *a, const glim_event *ev,
                                 size_t n)
{
    hearing want, k;
    glim_request rq = *like;
    hearing_init(&want, d);
    hearing_expect(&want, ev, n);
    hear_row row = {"round trip", NULL, want.log.p, GLIM_OK, NULL};
    for (int stream = 0; stream < 2; stream++) {
        rq.stream = stream;
        glim_buf out = script_run(server, &rq, &script_info, ev, n);
        glim_str bytes = glim_buf_view(&out);
        for (size_t cut = 0; cut <= (stream ? bytes.n : 0); cut++) {
            hearing_init(&k, d);
            if (stream)
                hearing_stream(&k, a, bytes, cut, cut % 7 ? bytes.n + 1 : 1 + cut % 13);
            else
                hearing_whole(&k, a, bytes);
            hearing_check(&row, &k);
        }
        glim_buf_deinit(&out);
    }
    glim_buf_deinit(&want.log);
}

/* Every allocation fails in turn. */
static inline void hearing_fails(const glim_wire_dialect *d, const glim_ask *a, const char *bytes,
                                 bool whole)
{
    for (int64_t n = 0;; n++) {
        hearing k;
        fail_nth fail;
        hearing_init(&k, d);
        glim_buf_adds(&k.log, "log"); /* its own memory is not what is tested */
        glim_buf_cut(&k.log, 0);
        char room[4096];
        memset(room, 'x', sizeof room);
        glim_buf_add(&k.log, room, sizeof room);
        glim_buf_cut(&k.log, 0);
        fail_nth_begin(&fail, n);
        if (whole)
            hearing_whole(&k, a, glim_str_of(bytes));
        else
            hearing_stream(&k, a, glim_str_of(bytes), 0, 5);
        fail_nth_end();
        glim_buf_deinit(&k.log);
        if (!fail_nth_hit(&fail)) {
            assert_int_equal(k.err, GLIM_OK);
            assert_true(n > 2);
            return;
        }
        if (k.err != GLIM_E_NOMEM) print_error("%d %s\n", k.err, k.e.msg);
        assert_int_equal(k.err, GLIM_E_NOMEM);
        assert_true(n < 2000);
    }
}

/* The reader says no at each event in turn: nothing comes behind it. STOP has nothing behind it. */
static inline void hearing_cancels(const glim_wire_dialect *d, const glim_ask *a, const char *bytes)
{
    for (size_t n = 1;; n++) {
        hearing k;
        hearing_init(&k, d);
        k.stop_after = n;
        hearing_stream(&k, a, glim_str_of(bytes), 0, 1);
        bool last = k.err == GLIM_OK;
        assert_int_equal(k.n_event, n);
        if (!last) assert_int_equal(k.err, GLIM_E_CANCELLED);
        glim_buf_deinit(&k.log);
        if (last) return;
    }
}

#endif
