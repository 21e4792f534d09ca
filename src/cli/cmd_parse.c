/* SPDX-License-Identifier: MIT
 * cmd_parse.c - glim parse: raw model output to thought, answer and tool calls. */
#include "cli/cli_priv.h"

static glim_err print_answer(const glim_answer *a, glim_error *e)
{
    glim_buf b;
    glim_jw w;
    glim_buf_init(&b, SIZE_MAX / 2);
    glim_jw_init(&w, &b);
    glim_jw_object(&w);
    glim_jw_key(&w, "reasoning");
    glim_jw_str(&w, a->reasoning);
    glim_jw_key(&w, "content");
    glim_jw_str(&w, a->content);
    glim_jw_key(&w, "tool_calls");
    glim_jw_array(&w);
    for (size_t i = 0; i < a->n_call; i++) {
        glim_jw_object(&w);
        glim_jw_key(&w, "name");
        glim_jw_str(&w, a->calls[i].name);
        glim_jw_key(&w, "arguments");
        glim_jw_raw(&w, a->calls[i].arguments);
        glim_jw_object_end(&w);
    }
    glim_jw_array_end(&w);
    glim_jw_object_end(&w);
    glim_buf_addc(&b, '\n');
    return glim_cli_emit(&b, e);
}

static glim_err feed(glim_output *o, glim_str text, size_t n_chunk, glim_error *e)
{
    for (size_t i = 0; i < text.n;) {
        size_t n = GLIM_MIN(n_chunk, text.n - i);
        glim_err rc = glim_output_feed(o, glim_str_sub(text, i, i + n), e);
        if (rc) return rc;
        i += n;
    }
    return glim_output_finish(o, e);
}

static glim_err parse(glim_cli *c, glim_str text, const glim_chat *tools, glim_error *e)
{
    /* In the order of the words in config.def. */
    static const glim_start starts[] = {GLIM_START_REASONING, GLIM_START_CONTENT, GLIM_START_AUTO};
    const glim_opt_value *chunk = glim_cli_opt(c, GLIM_O_CHUNK);
    glim_output *o = NULL;
    glim_collector *col = glim_collector_new();
    glim_err rc = col ? GLIM_OK : glim_fail(e, GLIM_E_NOMEM, "no memory for the answer");
    if (!rc)
        rc = glim_output_new(starts[glim_cli_opt(c, GLIM_O_START)->i64], tools->tools,
                             tools->n_tool, glim_collector_event, col, &o, e);
    if (!rc) rc = feed(o, text, chunk->set ? (size_t)chunk->i64 : SIZE_MAX, e);
    if (!rc || rc == GLIM_E_CANCELLED) { /* nobody but a collector without memory stops it */
        const glim_answer *a = glim_collector_answer(col);
        rc = a ? print_answer(a, e) : glim_fail(e, GLIM_E_NOMEM, "no memory for the whole answer");
    }
    glim_output_free(o);
    glim_collector_free(col);
    return rc;
}

int glim_cmd_parse(glim_cli *c)
{
    glim_error e = {0};
    glim_buf b = {0};
    glim_chat tools = {0};
    glim_err rc = GLIM_OK;
    /* All models known so far share one output format, so none needs to be opened; but a name that
     * is given must be right, or a typing error would stay hidden. */
    if (glim_cli_opt(c, GLIM_O_MODEL)->origin == GLIM_FROM_FLAG) {
        glim_vocab *v = NULL;
        rc = glim_cli_open_vocab(c, &v, &e);
        glim_vocab_close(v);
    }
    if (!rc) rc = glim_cli_tools(c, &tools, &e);
    if (!rc) rc = glim_cli_read("-", &b, &e);
    if (!rc) rc = parse(c, glim_buf_view(&b), &tools, &e);
    glim_buf_deinit(&b);
    return rc ? glim_cli_fail(c, &e) : 0;
}
