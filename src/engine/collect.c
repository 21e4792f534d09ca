/* SPDX-License-Identifier: MIT
 * collect.c - events of a generation gathered into one answer, and the output parser behind its
 * public name. Thread: one at a time. Fails: memory that ran out makes glim_collector_answer() give
 * NULL. */
#include "engine/engine_int.h"

#define ANSWER_MAX ((size_t)256 << 20)

struct glim_collector {
    glim_buf reasoning, content;
    glim_arena *arena; /* of finished calls */
    glim_tool_call *calls;
    size_t n_call, cap_call;
    glim_str id, name; /* of the call that is open */
    glim_answer answer;
    bool failed;
};

glim_collector *glim_collector_new(void)
{
    glim_collector *c = glim_new0(glim_collector);
    if (c) c->arena = glim_arena_new(ANSWER_MAX);
    if (!c || !c->arena) {
        glim_collector_free(c);
        return NULL;
    }
    glim_buf_init(&c->reasoning, ANSWER_MAX);
    glim_buf_init(&c->content, ANSWER_MAX);
    return c;
}

void glim_collector_free(glim_collector *c)
{
    if (!c) return;
    glim_buf_deinit(&c->reasoning);
    glim_buf_deinit(&c->content);
    glim_arena_free(c->arena);
    glim_free(c->calls);
    glim_free(c);
}

static void end_call(glim_collector *c, glim_str arguments)
{
    if (c->n_call == c->cap_call) {
        size_t cap = GLIM_MAX(c->cap_call * 2, 4);
        glim_tool_call *calls = glim_realloc(c->calls, cap * sizeof *calls);
        if (!calls) {
            c->failed = true;
            return;
        }
        c->calls = calls;
        c->cap_call = cap;
    }
    glim_str args = glim_arena_str(c->arena, arguments);
    if (!args.p) c->failed = true;
    c->calls[c->n_call++] = (glim_tool_call){c->id, c->name, args};
}

bool glim_collector_event(void *collector, const glim_event *ev)
{
    glim_collector *c = collector;
    switch (ev->kind) {
    case GLIM_EV_REASONING:
        glim_buf_addv(&c->reasoning, ev->text);
        break;
    case GLIM_EV_CONTENT:
        glim_buf_addv(&c->content, ev->text);
        break;
    case GLIM_EV_CALL_BEGIN:
        c->id = glim_arena_str(c->arena, ev->id);
        c->name = glim_arena_str(c->arena, ev->name);
        if (!c->id.p || !c->name.p) c->failed = true;
        break;
    case GLIM_EV_CALL_END:
        end_call(c, ev->text);
        break;
    case GLIM_EV_CALL_BROKEN:
        glim_buf_addv(ev->in_reasoning ? &c->reasoning : &c->content, ev->text);
        break;
    case GLIM_EV_STOP:
        c->answer.reason = ev->reason;
        if (ev->usage) c->answer.usage = *ev->usage;
        break;
    case GLIM_EV_PROGRESS:
    case GLIM_EV_CALL_ARG:
        break;
    }
    return !c->failed && !c->reasoning.err && !c->content.err;
}

const glim_answer *glim_collector_answer(glim_collector *c)
{
    if (c->failed || c->reasoning.err || c->content.err) return NULL;
    c->answer.reasoning = glim_buf_view(&c->reasoning);
    c->answer.content = glim_buf_view(&c->content);
    c->answer.calls = c->calls;
    c->answer.n_call = c->n_call;
    return &c->answer;
}

/* ---- the parser alone ------------------------------------------------------------------------ */

struct glim_output {
    glim_parser *p;
};

glim_err glim_output_new(glim_start start, const glim_tool *tools, size_t n_tool, glim_event_fn fn,
                         void *user, glim_output **out, glim_error *e)
{
    static const glim_parse_start starts[] = {GLIM_PARSE_REASONING, GLIM_PARSE_CONTENT,
                                              GLIM_PARSE_AUTO};
    glim_output *o = glim_new0(glim_output);
    if (!o) return glim_fail(e, GLIM_E_NOMEM, "output parser");
    glim_err rc = glim_parser_new(starts[start], tools, n_tool, ANSWER_MAX, fn, user, &o->p, e);
    if (rc) {
        glim_free(o);
        return rc;
    }
    *out = o;
    return GLIM_OK;
}

void glim_output_free(glim_output *o)
{
    if (!o) return;
    glim_parser_free(o->p);
    glim_free(o);
}

glim_err glim_output_feed(glim_output *o, glim_str bytes, glim_error *e)
{
    return glim_parser_feed(o->p, bytes, e);
}

glim_err glim_output_finish(glim_output *o, glim_error *e)
{
    return glim_parser_finish(o->p, e);
}
