/* SPDX-License-Identifier: MIT
 * template_glm47.c - the chat template of GLM-4.7-Flash and GLM-4.7.
 * Owns: its words and tags.
 * Not here: what it shares with its relatives (template.c).
 * Layout: no newline after a role tag, no token at the end of a turn, a bare </think> where a turn
 *         has no thought. The prompt ends inside an open thought unless thinking is off.
 * Thread: any.
 * See: tests/golden/template/GLM-4.7-Flash, made with the model's own template. */
#include "text/template_priv.h"

static const char tools_before[] =
    "<|system|>\n# Tools\n\n"
    "You may call one or more functions to assist with the user query.\n\n"
    "You are provided with function signatures within <tools></tools> XML tags:\n<tools>\n";
static const char tools_after[] =
    "</tools>\n\n"
    "For each function call, output the function name and arguments within the following XML "
    "format:\n"
    "<tool_call>{function-name}<arg_key>{arg-key-1}</arg_key><arg_value>{arg-value-1}</arg_value>"
    "<arg_key>{arg-key-2}</arg_key><arg_value>{arg-value-2}</arg_value>...</tool_call>";

static void put_assistant(glim_render *r, size_t i)
{
    const glim_message *m = &r->chat->messages[i];
    glim_turn turn = glim_turn_of(m);
    glim_render_own(r, "<|assistant|>");
    if (turn.has_thought && (r->chat->keep_old == GLIM_ON || glim_render_is_recent(r, i))) {
        glim_render_own(r, "<think>");
        glim_render_user(r, turn.thought);
    }
    glim_render_own(r, "</think>");
    glim_render_user(r, turn.answer);
    for (size_t k = 0; k < m->n_call; k++) {
        glim_render_own(r, "<tool_call>");
        glim_render_user(r, m->calls[k].name);
        glim_render_args(r, i, k, "<arg_key>", "</arg_key><arg_value>", "</arg_value>");
        glim_render_own(r, "</tool_call>");
    }
}

static void put_tool(glim_render *r, size_t i)
{
    const glim_message *m = &r->chat->messages[i];
    bool first = i == 0 || m[-1].role != GLIM_ROLE_TOOL;
    if (first || m->n_part) glim_render_own(r, "<|observation|>");
    for (size_t k = 0; k < GLIM_MAX(m->n_part, (size_t)1); k++) {
        glim_render_own(r, "<tool_response>");
        if (m->n_part)
            glim_render_part(r, m->parts[k]);
        else
            glim_render_user(r, m->content);
        glim_render_own(r, "</tool_response>");
    }
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
        if (m->role == GLIM_ROLE_ASSISTANT) {
            put_assistant(&r, i);
        } else if (m->role == GLIM_ROLE_TOOL) {
            put_tool(&r, i);
        } else {
            glim_render_own(&r, m->role == GLIM_ROLE_USER ? "<|user|>" : "<|system|>");
            glim_render_user(&r, m->content);
        }
    }
    if (!chat->no_generation_prompt) {
        out->starts_reasoning = chat->think != GLIM_OFF;
        glim_render_own(&r, "<|assistant|>");
        glim_render_own(&r, out->starts_reasoning ? "<think>" : "</think>");
    }
    return glim_render_end(&r);
}

/* Marks of the family rather than a checksum: repacked model files carry the template with small
 * repairs. Each mark is one of the decisions above. */
static bool matches(glim_str jinja)
{
    static const char *const marks[] = {
        "[gMASK]<sop>",
        "<tool_call>{function-name}<arg_key>{arg-key-1}</arg_key><arg_value>",
        "last_user_index",
        "clear_thinking",
        "'</think>' if (enable_thinking is defined and not enable_thinking) else '<think>'",
        NULL};
    static const char *const others[] = {"/nothink", "reasoning_effort", "Reasoning Effort", NULL};
    return glim_str_has_all(jinja, marks) && !glim_str_has_any(jinja, others);
}

static const char *const aliases[] = {"glm-4.7", "glm4.7", "glm47", "glm-4.7-flashx", NULL};

const glim_template glim_template_glm47 = {"glm-4.7-flash", aliases, matches, render};
