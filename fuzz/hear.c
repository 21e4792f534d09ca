/* SPDX-License-Identifier: MIT
 * hear.c - fuzz target: the first byte picks a wire, and whether the rest is a stream of its or a
 * whole body. What comes out is in the order that readers of events rely on, whatever came in. */
#include "api/api.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool x)
{
    if (!x) abort();
}

typedef struct listener {
    const glim_wire_dialect *d;
    glim_hear *h;
    glim_arena *arena;
    size_t n_event, stop_after, n_call;
    bool in_call, stopped, cancelled;
    glim_err err;
    glim_error e;
    glim_remote remote;
} listener;

static void check_arguments(listener *l, glim_str text)
{
    glim_json *v;
    glim_mark mark = glim_arena_mark(l->arena);
    must(glim_json_parse(l->arena, text, &v, NULL) == GLIM_OK && v->type == GLIM_JSON_OBJECT);
    glim_arena_rewind(l->arena, mark);
}

static void check_usage(const glim_usage *u)
{
    must(u && u->n_prompt >= 0 && u->n_cached >= 0 && u->n_completion >= 0 && u->n_reasoning >= 0);
    must(u->prompt_ms >= 0 && u->completion_ms >= 0);
}

static bool on_event(void *user, const glim_event *ev)
{
    listener *l = user;
    must(!l->stopped && !l->cancelled);
    must(glim_utf8_valid(ev->text, NULL) && glim_utf8_valid(ev->id, NULL));
    must(glim_utf8_valid(ev->name, NULL) && glim_utf8_valid(ev->stop_text, NULL));
    switch (ev->kind) {
    case GLIM_EV_REASONING:
    case GLIM_EV_CONTENT:
        must(ev->text.n > 0);
        break;
    case GLIM_EV_CALL_BEGIN: /* one after the other, counted up */
        must(!l->in_call && ev->i_call == l->n_call && ev->name.n > 0);
        l->in_call = true;
        break;
    case GLIM_EV_CALL_END:
        check_arguments(l, ev->text);
        /* fall through */
    case GLIM_EV_CALL_BROKEN:
        must(l->in_call && ev->i_call == l->n_call);
        l->in_call = false;
        l->n_call++;
        break;
    case GLIM_EV_LOGPROBS:
        must(ev->logprobs && (ev->logprobs->n_top == 0 || ev->logprobs->top));
        break;
    case GLIM_EV_STOP:
        must(!l->in_call && ev->reason != GLIM_STOP_NONE && ev->reason != GLIM_STOP_CANCEL);
        check_usage(ev->usage);
        l->stopped = true;
        break;
    case GLIM_EV_CALL_ARG:
    case GLIM_EV_PROGRESS:
        must(false);
    }
    bool go_on = ++l->n_event != l->stop_after;
    l->cancelled = !go_on && !l->stopped;
    return go_on;
}

static void hear(listener *l, glim_str json, bool whole)
{
    bool over = false;
    l->err = l->d->hear(l->h, json, whole, &over, &l->remote, &l->e);
    must(!whole || l->err || over);
}

static bool on_frame(void *user, glim_str name, glim_str data)
{
    listener *l = user;
    (void)name;
    hear(l, data, false);
    return l->err == GLIM_OK;
}

/* What is wrong with the frames hear() has never seen: an answer that was finished is one. */
static void hear_stream(listener *l, glim_str bytes, size_t step)
{
    glim_frames *f = glim_frames_new(l->d->lines, 1 << 20, on_frame, l);
    bool cut;
    glim_err rc = GLIM_OK;
    must(f != NULL);
    for (size_t i = 0; i < bytes.n && !rc; i += step)
        rc = glim_frames_feed(f, glim_str_sub(bytes, i, GLIM_MIN(i + step, bytes.n)), NULL);
    if (!rc) rc = glim_frames_end(f, &cut, NULL);
    must(!l->err || rc == GLIM_E_CANCELLED);
    glim_frames_free(f);
}

static void check_text(const char *text, size_t n_room)
{
    const char *end = memchr(text, 0, n_room);
    must(end != NULL && glim_utf8_valid((glim_str){text, (size_t)(end - text)}, NULL));
    for (; text < end; text++)
        must((unsigned char)*text >= 0x20 && *text != 0x7F);
}

static void check_remote(const glim_remote *r)
{
    check_text(r->code, sizeof r->code);
    check_text(r->message, sizeof r->message);
    check_text(r->request_id, sizeof r->request_id);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const glim_wire_dialect *const wires[] = {&glim_wire_openai, &glim_wire_zhipu,
                                                     &glim_wire_ollama};
    static const glim_str stops[] = {{"END", 3}};
    static const glim_chat chat = {.n_message = 0};
    glim_gen_opts gen;
    glim_remote remote;
    if (size < 2) return 0;
    glim_gen_opts_init(&gen);
    gen.stops = stops;
    gen.n_stop = 1;
    gen.n_logprob = data[0] & 8 ? 1 : -1;
    const bool whole = data[0] & 4;
    const glim_ask ask = {.chat = &chat, .gen = &gen};
    const glim_str bytes = {(const char *)data + 2, size - 2};
    listener l = {.d = wires[(data[0] & 3) % 3], .stop_after = data[1] / 32};
    l.arena = glim_arena_new((size_t)256 << 20);
    l.h = l.d->hear_new(&ask, on_event, &l);
    must(l.h && l.arena);
    if (whole)
        hear(&l, bytes, true);
    else
        hear_stream(&l, bytes, 1 + data[1] % 32);
    glim_err end = l.d->hear_end(l.h, l.err ? NULL : &l.e);
    must(l.err ? end == l.err : end == GLIM_OK || end == GLIM_E_FORMAT || end == GLIM_E_CANCELLED);
    must((end == GLIM_OK) == l.stopped);
    must((end == GLIM_E_CANCELLED) == l.cancelled);
    must(!end || (l.e.msg[0] && l.e.code == end));
    must(l.err == GLIM_OK || l.err == GLIM_E_FORMAT || l.err == GLIM_E_REMOTE ||
         l.err == GLIM_E_CANCELLED);
    check_remote(&l.remote);
    if (l.err == GLIM_E_REMOTE) must(l.remote.message[0] != '\0');
    (void)glim_remote_read(bytes, &remote);
    check_remote(&remote);
    l.d->hear_free(l.h);
    glim_arena_free(l.arena);
    return 0;
}
