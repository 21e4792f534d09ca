/* SPDX-License-Identifier: MIT
 * generate.c - one generation from beginning to end on the caller's thread.
 * Not here: the machine that makes it (gen.c), many at once (sched.c).
 * Thread: engine; the callback runs on it.
 * Fails:  errors before the first token leave the session with the prompt's cached prefix; the STOP event is the
 *         last one of every stream that began. */
#include "engine/engine_int.h"

static glim_err go(glim_gen *g, glim_stop_reason *why, glim_error *e)
{
    glim_err rc = GLIM_OK;
    while (!rc && *why == GLIM_STOP_NONE) {
        while (!rc && glim_gen_n_missing(g) > 0)
            rc = glim_gen_prefill(g, glim_gen_piece(g, false), e);
        if (!rc) rc = glim_gen_take(g, why, e);
    }
    return rc;
}

static glim_err generate(glim_session *s, const glim_gen_input *in, glim_event_fn fn, void *user,
                         glim_error *e)
{
    glim_gen *g;
    glim_stop_reason why = GLIM_STOP_NONE;
    glim_err rc = glim_gen_new(s->m, in, fn, user, &g, e);
    if (rc) return rc;
    glim_session_uncancel(s);
    rc = glim_gen_attach(g, s, e);
    if (!rc) rc = go(g, &why, e);
    if (rc == GLIM_E_CANCELLED) {
        why = GLIM_STOP_CANCEL;
        rc = GLIM_OK;
    }
    if (!rc) rc = glim_gen_finish(g, why, e);
    glim_gen_free(g);
    return rc;
}

glim_err glim_generate(glim_session *s, const glim_chat *chat, const glim_gen_opts *opts,
                       glim_event_fn fn, void *user, glim_error *e)
{
    glim_rendered r;
    glim_err rc = glim_render(s->m->vocab, NULL, chat, &r, e);
    if (rc) return rc;
    const glim_gen_input in = {r.tokens.ids, r.tokens.n,   r.start, false,
                               chat->tools,  chat->n_tool, opts};
    rc = generate(s, &in, fn, user, e);
    glim_rendered_free(&r);
    return rc;
}

glim_err glim_generate_raw(glim_session *s, glim_str text, const glim_gen_opts *opts,
                           glim_event_fn fn, void *user, glim_error *e)
{
    glim_tokens t;
    glim_err rc = glim_tokenize(s->m->vocab, text, true, &t, e);
    if (rc) return rc;
    const glim_gen_input in = {t.ids, t.n, GLIM_START_CONTENT, true, NULL, 0, opts};
    rc = generate(s, &in, fn, user, e);
    glim_tokens_free(&t);
    return rc;
}
