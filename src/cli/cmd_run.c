/* SPDX-License-Identifier: MIT
 * cmd_run.c - glim run: one answer.
 * Not here: what is asked (request.c), who answers (answerer.c), how it is shown (answer.c). */
#include "cli/cli_priv.h"

static glim_err generate(glim_answerer *a, const glim_cli_request *rq, glim_printer *p,
                         glim_error *e)
{
    glim_gen_opts gen;
    glim_err rc = glim_cli_gen_opts(a->c, &gen, e);
    if (rc) return rc;
    if (!rq->raw.p) return glim_answerer_chat(a, &rq->chat, &gen, glim_printer_event, p, e);
    glim_cli_watch(a->s);
    rc = glim_generate_raw(a->s, rq->raw, &gen, glim_printer_event, p, e);
    glim_cli_watch(NULL);
    return rc;
}

static glim_err answer(glim_cli *c, glim_answerer *by, const glim_cli_request *rq, glim_error *e)
{
    glim_printer p = {0};
    bool json = glim_cli_opt(c, GLIM_O_JSON)->on;
    glim_err rc = glim_printer_init(&p, json, e);
    if (rc) return rc;
    rc = generate(by, rq, &p, e);
    const glim_answer *a = glim_collector_answer(p.col);
    glim_printer_finish(&p, a);
    char name[320];
    if (!rc && by->elsewhere && !json)
        glim_cli_say(c, "answered by %s", glim_answerer_name(by, name, sizeof name));
    rc = glim_printer_result(&p, c, a, rc, glim_answerer_where(by), e);
    glim_printer_deinit(&p);
    return rc;
}

int glim_cmd_run(glim_cli *c)
{
    glim_error e = {0};
    glim_cli_request rq;
    glim_answerer by = {0};
    glim_err rc = glim_answerer_check(c, &e); /* before anybody types a prompt */
    if (!rc) rc = glim_cli_read_request(c, glim_answerer_is_elsewhere(c), &rq, &e);
    if (!rc) {
        glim_cli_catch_interrupt(); /* not before: reading the prompt is ended by Ctrl-C as
                                       everywhere */
        rc = glim_answerer_open(c, &by, &e);
    }
    if (!rc) rc = answer(c, &by, &rq, &e);
    glim_answerer_close(&by);
    return rc ? glim_cli_fail(c, &e) : 0;
}
