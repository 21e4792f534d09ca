/* SPDX-License-Identifier: MIT
 * parsed.c - collects the parser's events into the whole result.
 * Owns: glim_parsed.
 * Not here: parsing (parse.c).
 * Thread: one at a time.
 * Fails: err stays in the struct, and the parser that feeds it reports CANCELLED. */
#include "text/text.h"

void glim_parsed_init(glim_parsed *r, size_t max_bytes)
{
    memset(r, 0, sizeof *r);
    glim_buf_init(&r->reasoning, max_bytes);
    glim_buf_init(&r->content, max_bytes);
}

static void drop_call(glim_parsed_call *c)
{
    glim_buf_deinit(&c->id);
    glim_buf_deinit(&c->name);
    glim_buf_deinit(&c->arguments);
}

void glim_parsed_deinit(glim_parsed *r)
{
    for (size_t i = 0; i < r->n_call; i++)
        drop_call(&r->calls[i]);
    glim_free(r->calls);
    glim_buf_deinit(&r->reasoning);
    glim_buf_deinit(&r->content);
    memset(r, 0, sizeof *r);
}

static glim_err add_call(glim_parsed *r, const glim_event *ev)
{
    if (r->n_call == r->cap_call) {
        size_t cap = r->cap_call ? r->cap_call : 4, bytes;
        glim_parsed_call *grown = NULL;
        if (glim_mul_size(cap, 2 * sizeof *grown, &bytes)) grown = glim_realloc(r->calls, bytes);
        if (!grown) return GLIM_E_NOMEM;
        r->calls = grown;
        r->cap_call = cap * 2;
    }
    glim_parsed_call *c = &r->calls[r->n_call++];
    c->i_call = ev->i_call;
    glim_buf_init(&c->id, r->content.max);
    glim_buf_init(&c->name, r->content.max);
    glim_buf_init(&c->arguments, r->content.max);
    glim_err rc = glim_buf_addv(&c->id, ev->id);
    return rc ? rc : glim_buf_addv(&c->name, ev->name);
}

bool glim_parsed_event(void *user, const glim_event *ev)
{
    glim_parsed *r = user;
    glim_parsed_call *last = r->n_call ? &r->calls[r->n_call - 1] : NULL;
    bool of_last = last && last->i_call == ev->i_call;
    if (r->err) return false;
    switch (ev->kind) {
    case GLIM_EV_REASONING:
        r->err = glim_buf_addv(&r->reasoning, ev->text);
        break;
    case GLIM_EV_CONTENT:
        r->err = glim_buf_addv(&r->content, ev->text);
        break;
    case GLIM_EV_CALL_BEGIN:
        r->err = add_call(r, ev);
        break;
    case GLIM_EV_CALL_END:
        if (of_last) r->err = glim_buf_addv(&last->arguments, ev->text);
        break;
    case GLIM_EV_CALL_BROKEN:
        if (of_last) {
            drop_call(last);
            r->n_call--;
        }
        r->err = glim_buf_addv(ev->in_reasoning ? &r->reasoning : &r->content, ev->text);
        break;
    case GLIM_EV_CALL_ARG:
    case GLIM_EV_PROGRESS:
    case GLIM_EV_LOGPROBS:
    case GLIM_EV_STOP:
        break;
    }
    return !r->err;
}
