/* SPDX-License-Identifier: MIT
 * chat_case.h - golden chat requests to glim_chat, as far as the goldens go: the clean-ups are
 * those that tests/golden/README.md names. Room api has the real decoder. */
#ifndef GLIM_TESTS_CHAT_CASE_H
#define GLIM_TESTS_CHAT_CASE_H

#include "golden.h"

#include "text/text.h"

static inline glim_str case_str(const glim_json *v)
{
    return glim_json_is(v, GLIM_JSON_STRING) ? v->text : GLIM_STR("");
}

/* A string, or the text parts of a list joined. */
static inline glim_str case_text(glim_arena *a, const glim_json *v)
{
    if (!glim_json_is(v, GLIM_JSON_ARRAY)) return case_str(v);
    size_t n = 0;
    char *p = glim_arena_alloc(a, v->text.n);
    assert_non_null(p);
    GLIM_JSON_EACH(it, v)
    {
        glim_str t = it->type == GLIM_JSON_STRING ? it->text : case_str(glim_json_get(it, "text"));
        if (t.n) memcpy(p + n, t.p, t.n);
        n += t.n;
    }
    return (glim_str){p, n};
}

static inline void case_parts(glim_arena *a, const glim_json *content, glim_message *m)
{
    bool plain = true;
    if (!glim_json_is(content, GLIM_JSON_ARRAY)) return;
    GLIM_JSON_EACH(it, content)
    plain = plain && glim_json_get(it, "text");
    if (plain) return;
    glim_str *parts = GLIM_ARENA_ARRAY(a, glim_str, content->n_child);
    assert_non_null(parts);
    GLIM_JSON_EACH(it, content)
    {
        glim_str s = it->text;
        if (it->type == GLIM_JSON_NULL) s = GLIM_STR("null");
        if (it->type == GLIM_JSON_TRUE) s = GLIM_STR("true");
        if (it->type == GLIM_JSON_FALSE) s = GLIM_STR("false");
        if (it->type == GLIM_JSON_STRING) {
            glim_buf b;
            glim_buf_init(&b, SIZE_MAX);
            glim_json_quote(&b, s);
            s = glim_arena_str(a, glim_buf_view(&b));
            glim_buf_deinit(&b);
        }
        parts[m->n_part++] = s;
    }
    m->parts = parts;
}

static inline void case_calls(glim_arena *a, const glim_json *list, glim_message *m)
{
    if (!glim_json_is(list, GLIM_JSON_ARRAY) || !list->n_child) return;
    glim_tool_call *calls = GLIM_ARENA_ARRAY(a, glim_tool_call, list->n_child);
    assert_non_null(calls);
    GLIM_JSON_EACH(it, list)
    {
        const glim_json *f = glim_json_get(it, "function");
        if (!f) f = it;
        const glim_json *args = glim_json_get(f, "arguments");
        calls[m->n_call++] = (glim_tool_call){.name = case_str(glim_json_get(f, "name")),
                                              .arguments = args ? args->text : GLIM_STR("{}")};
    }
    m->calls = calls;
}

static inline glim_role case_role(glim_str s)
{
    if (glim_str_is(s, "user")) return GLIM_ROLE_USER;
    if (glim_str_is(s, "assistant")) return GLIM_ROLE_ASSISTANT;
    return glim_str_is(s, "tool") ? GLIM_ROLE_TOOL : GLIM_ROLE_SYSTEM;
}

static inline glim_chat case_chat(glim_arena *a, const glim_json *request)
{
    glim_chat chat = {.think = GLIM_UNSET, .keep_old = GLIM_UNSET};
    const glim_json *messages = glim_json_get(request, "messages");
    const glim_json *tools = glim_json_get(request, "tools");
    const glim_json *thinking = glim_json_get(request, "thinking");
    const glim_json *generate = glim_json_get(request, "add_generation_prompt");
    bool clear;
    glim_message *m = glim_arena_alloc0(a, (messages->n_child + 1) * sizeof *m);
    glim_tool *t = glim_arena_alloc0(a, ((tools ? tools->n_child : 0) + 1) * sizeof *t);
    assert_true(m && t);
    chat.messages = m;
    chat.tools = t;
    GLIM_JSON_EACH(it, messages)
    {
        const glim_json *content = glim_json_get(it, "content");
        const glim_json *reasoning = glim_json_get(it, "reasoning_content");
        glim_message *x = &m[chat.n_message++];
        x->role = case_role(case_str(glim_json_get(it, "role")));
        x->content = case_text(a, content);
        x->has_reasoning = glim_json_is(reasoning, GLIM_JSON_STRING);
        x->reasoning = case_str(reasoning);
        if (x->role == GLIM_ROLE_TOOL) case_parts(a, content, x);
        case_calls(a, glim_json_get(it, "tool_calls"), x);
    }
    GLIM_JSON_EACH(it, tools)
    t[chat.n_tool++].json = it->text;
    glim_str type = case_str(glim_json_get(thinking, "type"));
    if (glim_str_is(type, "disabled")) chat.think = GLIM_OFF;
    if (glim_str_is(type, "enabled")) chat.think = GLIM_ON;
    if (glim_json_bool(glim_json_get(thinking, "clear_thinking"), &clear))
        chat.keep_old = clear ? GLIM_OFF : GLIM_ON;
    chat.no_generation_prompt = glim_json_is(generate, GLIM_JSON_FALSE);
    return chat;
}

#endif
