/* SPDX-License-Identifier: MIT
 * force.c - a demanded tool call: its opening tag and its name are the only tokens that may come.
 * How: once the thought is over, first the tag, then tokens that spell one of the offered names, then what may
 *      follow a name. Arguments are the model's own.
 * Thread: engine. */
#include "engine/engine_int.h"

#include <math.h>

#define NAMES_MAX 1024

typedef enum force_state { FORCE_TAG, FORCE_NAME, FORCE_OVER } force_state;

struct glim_force {
    const glim_model *m;
    force_state state;
    glim_str *names;
    size_t n_name;
    glim_buf said; /* of the name */
    int32_t open, arg, close;
    bool newline;  /* the template writes a line break behind the name */
    float *logits; /* [n_vocab] */
};

static bool wanted(const glim_gen_opts *o, glim_str name)
{
    for (size_t i = 0; i < o->n_call_name; i++)
        if (glim_str_eq(o->call_names[i], name)) return true;
    return o->n_call_name == 0;
}

glim_err glim_force_new(const glim_model *m, const glim_tool *tools, size_t n_tool,
                        const glim_gen_opts *o, glim_force **out, glim_error *e)
{
    const glim_tokenizer *tok = m->vocab->tok;
    const glim_str family = glim_str_of(glim_vocab_template(m->vocab));
    glim_force *f = glim_new0(glim_force);
    if (!f) return glim_fail(e, GLIM_E_NOMEM, "demanded call");
    f->m = m;
    f->open = glim_token_special(tok, GLIM_STR("<tool_call>"));
    f->arg = glim_token_special(tok, GLIM_STR("<arg_key>"));
    f->close = glim_token_special(tok, GLIM_STR("</tool_call>"));
    f->newline = glim_str_starts(family, GLIM_STR("glm-4.6")) ||
                 glim_str_starts(family, GLIM_STR("glm-4.5"));
    glim_buf_init(&f->said, (size_t)1 << 16);
    f->names = glim_alloc_array(n_tool + 1, sizeof *f->names);
    f->logits = glim_alloc_array((size_t)m->core->n_vocab, sizeof(float));
    glim_err rc = f->names && f->logits ? GLIM_OK : glim_fail(e, GLIM_E_NOMEM, "demanded call");
    for (size_t i = 0; !rc && i < n_tool; i++)
        if (wanted(o, tools[i].name)) f->names[f->n_name++] = tools[i].name;
    if (!rc && (f->n_name == 0 || f->n_name > NAMES_MAX))
        rc = glim_fail(e, GLIM_E_INPUT, "tool_choice: a call is demanded and %zu tools could be it",
                       f->n_name);
    if (!rc && (f->open < 0 || f->close < 0 || f->arg < 0))
        rc = glim_fail(e, GLIM_E_UNSUPPORTED,
                       "tool_choice: this model's vocabulary has no tokens for tool calls");
    if (rc) {
        glim_force_free(f);
        return rc;
    }
    *out = f;
    return GLIM_OK;
}

void glim_force_free(glim_force *f)
{
    if (!f) return;
    glim_buf_deinit(&f->said);
    glim_free(f->names);
    glim_free(f->logits);
    glim_free(f);
}

static void allow(glim_force *f, const float *logits, int32_t id)
{
    /* A model may give the only possible token no chance at all. */
    f->logits[id] = isfinite(logits[id]) ? logits[id] : 0;
}

/* True when said and then text begin a name. */
static bool spells(const glim_force *f, glim_str text)
{
    glim_str said = glim_buf_view(&f->said);
    for (size_t i = 0; i < f->n_name; i++) {
        glim_str name = f->names[i];
        if (name.n >= said.n + text.n && glim_str_starts(name, said) &&
            glim_str_starts(glim_str_sub(name, said.n, name.n), text))
            return true;
    }
    return false;
}

static bool is_whole(const glim_force *f)
{
    for (size_t i = 0; i < f->n_name; i++)
        if (glim_str_eq(f->names[i], glim_buf_view(&f->said))) return true;
    return false;
}

static bool is_text(const glim_tokenizer *tok, int32_t id)
{
    glim_token_attr a = glim_token_get_attr(tok, id);
    return a == GLIM_TOKEN_NORMAL || a == GLIM_TOKEN_BYTE;
}

glim_err glim_force_mask(glim_force *f, const float *logits, const float **out, glim_error *e)
{
    const glim_tokenizer *tok = f->m->vocab->tok;
    int32_t n = (int32_t)glim_vocab_size(f->m->vocab);
    (void)e;
    *out = logits;
    if (f->state == FORCE_OVER) return GLIM_OK;
    for (int64_t i = 0; i < f->m->core->n_vocab; i++)
        f->logits[i] = -INFINITY;
    *out = f->logits;
    if (f->state == FORCE_TAG) {
        allow(f, logits, f->open);
        return GLIM_OK;
    }
    bool begins[256] = {false}; /* first bytes that can go on: most tokens fail here */
    glim_str said = glim_buf_view(&f->said);
    for (size_t i = 0; i < f->n_name; i++)
        if (f->names[i].n > said.n && glim_str_starts(f->names[i], said))
            begins[(uint8_t)f->names[i].p[said.n]] = true;
    for (int32_t id = 0; id < n; id++) {
        glim_str text = glim_token_bytes(tok, id);
        if (text.n && begins[(uint8_t)text.p[0]] && is_text(tok, id) && spells(f, text))
            allow(f, logits, id);
        else if (text.n == 1 && text.p[0] == '\n' && f->newline && is_text(tok, id) && is_whole(f))
            allow(f, logits, id);
    }
    if (is_whole(f)) {
        allow(f, logits, f->arg);
        allow(f, logits, f->close);
    }
    return GLIM_OK;
}

glim_err glim_force_take(glim_force *f, int32_t id, glim_error *e)
{
    if (f->state == FORCE_TAG) {
        f->state = FORCE_NAME;
    } else if (f->state == FORCE_NAME) {
        glim_str text = glim_token_bytes(f->m->vocab->tok, id);
        if (id == f->arg || id == f->close || glim_str_is(text, "\n"))
            f->state = FORCE_OVER;
        else if (glim_buf_addv(&f->said, text))
            return glim_fail(e, GLIM_E_NOMEM, "name of a demanded call");
    }
    return GLIM_OK;
}
