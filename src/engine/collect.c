/* SPDX-License-Identifier: MIT
 * collect.c - events of a generation gathered into one answer, and the output parser behind its
 * public name.
 * Thread: one at a time.
 * Fails: memory that ran out makes glim_collector_answer() give NULL. */
#include "engine/engine_int.h"

#define ANSWER_MAX ((size_t)256 << 20)

struct glim_collector {
    glim_parsed parsed;
    glim_tool_call *calls; /* views of parsed's, made when asked for */
    glim_answer answer;
};

glim_collector *glim_collector_new(void)
{
    glim_collector *c = glim_new0(glim_collector);
    if (c) glim_parsed_init(&c->parsed, ANSWER_MAX);
    return c;
}

void glim_collector_free(glim_collector *c)
{
    if (!c) return;
    glim_parsed_deinit(&c->parsed);
    glim_free(c->calls);
    glim_free(c);
}

bool glim_collector_event(void *collector, const glim_event *ev)
{
    glim_collector *c = collector;
    if (ev->kind == GLIM_EV_STOP) {
        c->answer.reason = ev->reason;
        if (ev->usage) c->answer.usage = *ev->usage;
    }
    return glim_parsed_event(&c->parsed, ev);
}

const glim_answer *glim_collector_answer(glim_collector *c)
{
    const glim_parsed *p = &c->parsed;
    if (p->err) return NULL;
    glim_free(c->calls);
    c->calls = glim_alloc_array(p->n_call, sizeof *c->calls);
    if (!c->calls) return NULL;
    for (size_t i = 0; i < p->n_call; i++)
        c->calls[i] =
            (glim_tool_call){glim_buf_view(&p->calls[i].id), glim_buf_view(&p->calls[i].name),
                             glim_buf_view(&p->calls[i].arguments)};
    c->answer.reasoning = glim_buf_view(&p->reasoning);
    c->answer.content = glim_buf_view(&p->content);
    c->answer.calls = c->calls;
    c->answer.n_call = p->n_call;
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
