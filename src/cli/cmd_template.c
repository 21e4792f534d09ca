/* SPDX-License-Identifier: MIT
 * cmd_template.c - glim template: an OpenAI chat request to the prompt that the model sees. */
#include "api/api.h"
#include "cli/cli_priv.h"

int glim_cmd_template(glim_cli *c)
{
    glim_error e = {0};
    glim_buf b = {0};
    glim_vocab *v = NULL;
    glim_chat_request rq;
    glim_rendered r = {0};
    const glim_opt_value *family = glim_cli_opt(c, GLIM_O_TEMPLATE);
    glim_err rc = glim_cli_open_vocab(c, &v, &e);
    if (!rc) rc = glim_cli_read("-", &b, &e);
    if (!rc && b.n == 0)
        rc = glim_fail(&e, GLIM_E_INPUT, "standard input: empty; a chat request (JSON) is needed");
    if (!rc) {
        rc = glim_openai_chat_decode(c->arena, glim_buf_view(&b), &rq, &e);
        if (rc) glim_error_prefix(&e, "standard input");
    }
    if (!rc) rc = glim_render(v, family->set ? family->text : NULL, &rq.chat, &r, &e);
    if (!rc) fwrite(r.text.p, 1, r.text.n, stdout);
    glim_rendered_free(&r);
    glim_buf_deinit(&b);
    glim_vocab_close(v);
    return rc ? glim_cli_fail(c, &e) : 0;
}
