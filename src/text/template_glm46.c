/* SPDX-License-Identifier: MIT
 * template_glm46.c - the chat template of GLM-4.5, GLM-4.5-Air and GLM-4.6.
 * Owns: its words and tags.
 * Not here: what it shares with its relatives (template.c).
 * Layout: a newline after each role tag, every tag of a call on a line of its own. Thinking off
 *         appends /nothink to each user message and gives an empty thought; else the model opens
 *         its thought itself. Earlier thoughts are always dropped.
 * Thread: any.
 * See: tests/golden/template/GLM-4.6, made with the model's own template. */
#include "text/template_priv.h"

static const char tools_before[] =
    "<|system|>\n# Tools\n\n"
    "You may call one or more functions to assist with the user query.\n\n"
    "You are provided with function signatures within <tools></tools> XML tags:\n<tools>\n";
static const char tools_after[] =
    "</tools>\n\n"
    "For each function call, output the function name and arguments within the following XML "
    "format:\n"
    "<tool_call>{function-name}\n<arg_key>{arg-key-1}</arg_key>\n"
    "<arg_value>{arg-value-1}</arg_value>\n<arg_key>{arg-key-2}</arg_key>\n"
    "<arg_value>{arg-value-2}</arg_value>\n...\n</tool_call>";

static void put_assistant(glim_render *r, size_t i)
{
    const glim_message *m = &r->chat->messages[i];
    glim_turn turn = glim_turn_of(m);
    glim_render_own(r, "<|assistant|>\n<think>");
    if (turn.has_thought && glim_render_is_recent(r, i)) glim_render_user(r, turn.thought);
    glim_render_own(r, "</think>");
    if (turn.answer.n) {
        glim_render_own(r, "\n");
        glim_render_user(r, turn.answer);
    }
    for (size_t k = 0; k < m->n_call; k++) {
        glim_render_own(r, "\n<tool_call>");
        glim_render_user(r, m->calls[k].name);
        glim_render_own(r, "\n");
        glim_render_args(r, i, k, "<arg_key>", "</arg_key>\n<arg_value>", "</arg_value>\n");
        glim_render_own(r, "</tool_call>");
    }
}

static void put_tool(glim_render *r, size_t i)
{
    const glim_message *m = &r->chat->messages[i];
    bool first = i == 0 || m[-1].role != GLIM_ROLE_TOOL;
    if (first || m->n_part) glim_render_own(r, "<|observation|>");
    for (size_t k = 0; k < GLIM_MAX(m->n_part, (size_t)1); k++) {
        glim_render_own(r, "\n<tool_response>\n");
        if (m->n_part)
            glim_render_part(r, m->parts[k]);
        else
            glim_render_user(r, m->content);
        glim_render_own(r, "\n</tool_response>");
    }
}

static void put_user(glim_render *r, glim_str text)
{
    glim_render_own(r, "<|user|>\n");
    glim_render_user(r, text);
    if (r->chat->think == GLIM_OFF && !glim_str_ends(text, GLIM_STR("/nothink")))
        glim_render_own(r, "/nothink");
}

static glim_err render(const glim_chat *chat, glim_prompt *out, glim_error *e)
{
    glim_render r;
    if (glim_render_begin(&r, chat, out, e)) return glim_render_end(&r);
    glim_render_own(&r, "[gMASK]<sop>");
    if (chat->n_tool) {
        glim_render_own(&r, tools_before);
        glim_render_tools(&r);
        glim_render_own(&r, tools_after);
    }
    for (size_t i = 0; i < chat->n_message && !r.rc; i++) {
        const glim_message *m = &chat->messages[i];
        switch (m->role) {
        case GLIM_ROLE_USER:
            put_user(&r, m->content);
            break;
        case GLIM_ROLE_ASSISTANT:
            put_assistant(&r, i);
            break;
        case GLIM_ROLE_TOOL:
            put_tool(&r, i);
            break;
        case GLIM_ROLE_SYSTEM:
            glim_render_own(&r, "<|system|>\n");
            glim_render_user(&r, m->content);
            break;
        }
    }
    if (!chat->no_generation_prompt) {
        /* Either way the model begins with a newline of its own, which is no part of the answer. */
        out->starts_auto = true;
        glim_render_own(&r, "<|assistant|>");
        if (chat->think == GLIM_OFF) glim_render_own(&r, "\n<think></think>");
    }
    return glim_render_end(&r);
}

static bool matches(glim_str jinja)
{
    static const char *const marks[] = {
        "[gMASK]<sop>",         "<tool_call>{function-name}\n<arg_key>{arg-key-1}</arg_key>\n",
        "last_user_index",      "/nothink",
        "'\\n<think></think>'", NULL};
    static const char *const others[] = {"clear_thinking", "reasoning_effort", "Reasoning Effort",
                                         NULL};
    return glim_str_has_all(jinja, marks) && !glim_str_has_any(jinja, others);
}

static const char *const aliases[] = {"glm-4.5", "glm-4.5-air", "glm4.5", "glm4.6",
                                      "glm46",   "glm45",       NULL};

const glim_template glim_template_glm46 = {"glm-4.6", aliases, matches, render};
