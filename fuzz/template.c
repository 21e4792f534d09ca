/* SPDX-License-Identifier: MIT
 * template.c - fuzz target: a chat built from the data, rendered by every template. The spans must
 * be sorted and inside the text, and what lies outside of them must be the template's own words.
 * Layout: byte 0 switches; then records of a kind byte and text up to byte 0xFF:
 * s u a t messages by role, r reasoning, c a call's name, j its arguments, p a part of the tool
 * message before it, f a tool. */
#include "text/text.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_RECORD 32

typedef struct room {
    glim_message messages[MAX_RECORD];
    glim_tool_call calls[MAX_RECORD][MAX_RECORD];
    glim_str parts[MAX_RECORD][MAX_RECORD];
    glim_tool tools[MAX_RECORD];
} room;

static void must(bool x)
{
    if (!x) abort();
}

static void add_message(glim_chat *c, room *r, glim_role role, glim_str text)
{
    size_t i = c->n_message;
    if (i == MAX_RECORD) return;
    r->messages[i] =
        (glim_message){.role = role, .content = text, .calls = r->calls[i], .parts = r->parts[i]};
    c->n_message++;
}

static void add_record(glim_chat *c, room *r, char kind, glim_str text)
{
    glim_message *m = c->n_message ? &r->messages[c->n_message - 1] : NULL;
    size_t i = c->n_message - 1;
    switch (kind) {
    case 's':
        add_message(c, r, GLIM_ROLE_SYSTEM, text);
        return;
    case 'u':
        add_message(c, r, GLIM_ROLE_USER, text);
        return;
    case 'a':
        add_message(c, r, GLIM_ROLE_ASSISTANT, text);
        return;
    case 't':
        add_message(c, r, GLIM_ROLE_TOOL, text);
        return;
    case 'f':
        if (c->n_tool < MAX_RECORD) r->tools[c->n_tool++].json = text;
        return;
    default:
        break;
    }
    if (!m) return;
    if (kind == 'r') {
        m->has_reasoning = true;
        m->reasoning = text;
    } else if (kind == 'c' && m->n_call < MAX_RECORD) {
        r->calls[i][m->n_call++] = (glim_tool_call){.name = text};
    } else if (kind == 'j' && m->n_call) {
        r->calls[i][m->n_call - 1].arguments = text;
    } else if (kind == 'p' && m->n_part < MAX_RECORD) {
        r->parts[i][m->n_part++] = text;
    }
}

static void check(const glim_prompt *p)
{
    size_t at = 0;
    for (size_t i = 0; i <= p->n_plain; i++) {
        size_t end = i < p->n_plain ? p->plain[i].begin : p->text.n;
        must(at <= end && end <= p->text.n && (i == 0 || i == p->n_plain || at < end));
        for (; at < end; at++) {
            char c = p->text.p[at];
            must(c == '\n' || (c >= ' ' && c <= '~'));
        }
        if (i == p->n_plain) break;
        must(p->plain[i].end > p->plain[i].begin);
        at = p->plain[i].end;
    }
    must(!(p->starts_auto && p->starts_reasoning));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"glm-4.7-flash", "glm-4.6"};
    static room r;
    memset(&r, 0, sizeof r);
    if (size == 0) return 0;
    glim_chat chat = {.messages = r.messages,
                      .tools = r.tools,
                      .think = (glim_tristate)(data[0] % 3 - 1),
                      .keep_old = (glim_tristate)(data[0] / 4 % 3 - 1),
                      .no_generation_prompt = data[0] >> 6 & 1};
    for (size_t at = 1; at < size;) {
        char kind = (char)data[at++];
        size_t from = at;
        while (at < size && data[at] != 0xff)
            at++;
        add_record(&chat, &r, kind, (glim_str){(const char *)data + from, at - from});
        at++;
    }
    for (size_t i = 0; i < GLIM_COUNT(names); i++) {
        const glim_template *t = glim_template_find(glim_str_of(names[i]));
        glim_prompt p;
        glim_error e = {0};
        must(t != NULL);
        glim_prompt_init(&p, data[0] >> 7 ? 100 : (size_t)1 << 26);
        glim_err rc = t->render(&chat, &p, &e);
        if (rc)
            must(e.code == rc && e.msg[0]);
        else
            check(&p);
        glim_prompt_deinit(&p);
    }
    (void)glim_template_match((glim_str){(const char *)data, size});
    return 0;
}
