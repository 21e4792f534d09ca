/* SPDX-License-Identifier: MIT
 * ollama_messages.c - Ollama's messages to chat.h's structs.
 * Owns:   what its messages hold where OpenAI's differ: plain texts only, "thinking", arguments as
 *         an object, results that name a tool and not a call.
 * Not here: the fields around them (ollama_request.c), tools (openai_messages.c).
 * Thread: any, pure.
 * Fails:  INPUT with the path; UNSUPPORTED for images; NOMEM.
 * See:    tests/unit/api/test_ollama.c */
#include "api/ollama_priv.h"

glim_err glim_ollama_no_images(const glim_api_path *p, const glim_json *v, glim_error *e)
{
    if (v->type != GLIM_JSON_ARRAY) return glim_api_wrong_type(p, "a list", v, e);
    if (v->n_child == 0) return GLIM_OK;
    return glim_api_fail(p, GLIM_E_UNSUPPORTED, v, e,
                         "the model is text-only; leave the images out");
}

/* ---- calls ----------------------------------------------------------------------------------- */

static glim_err read_function(const glim_api_path *p, const glim_json *f, glim_tool_call *call,
                              glim_error *e)
{
    int64_t index;
    glim_err rc = glim_api_str(p, f, "name", &call->name, e);
    if (rc) return rc;
    if (call->name.n == 0)
        return glim_api_fail(GLIM_API_KEY(p, "name"), GLIM_E_INPUT, f, e,
                             "missing or empty; every call names its function");
    const glim_json *v = glim_api_given(f, "index");
    if (v && !glim_json_i64(v, &index))
        return glim_api_wrong_type(GLIM_API_KEY(p, "index"), "an integer", v, e);
    v = glim_api_given(f, "arguments");
    if (v && v->type != GLIM_JSON_OBJECT)
        return glim_api_wrong_type(GLIM_API_KEY(p, "arguments"), "an object (not its text)", v, e);
    call->arguments = v ? v->text : GLIM_STR("{}");
    return GLIM_OK;
}

static glim_err read_call(const glim_api_path *p, const glim_json *v, glim_tool_call *call,
                          glim_error *e)
{
    *call = (glim_tool_call){.id = GLIM_STR("")};
    if (v->type != GLIM_JSON_OBJECT) return glim_api_wrong_type(p, "an object", v, e);
    glim_err rc = glim_api_str(p, v, "id", &call->id, e);
    if (rc) return rc;
    const glim_json *f = glim_api_given(v, "function");
    p = GLIM_API_KEY(p, "function");
    if (!f) return glim_api_fail(p, GLIM_E_INPUT, v, e, "missing");
    if (f->type != GLIM_JSON_OBJECT) return glim_api_wrong_type(p, "an object", f, e);
    return read_function(p, f, call, e);
}

static glim_err read_calls(glim_arena *a, const glim_api_path *up, const glim_json *msg,
                           glim_message *m, glim_error *e)
{
    const glim_api_path *p = GLIM_API_KEY(up, "tool_calls");
    const glim_json *v = glim_api_given(msg, "tool_calls");
    if (!v) return GLIM_OK;
    if (v->type != GLIM_JSON_ARRAY) return glim_api_wrong_type(p, "a list", v, e);
    if (v->n_child == 0) return GLIM_OK;
    if (m->role != GLIM_ROLE_ASSISTANT)
        return glim_api_fail(p, GLIM_E_INPUT, v, e, "only a message of role assistant holds calls");
    glim_tool_call *calls = GLIM_ARENA_ARRAY(a, glim_tool_call, v->n_child);
    if (!calls) return glim_api_fail(p, GLIM_E_NOMEM, NULL, e, "no memory for the calls");
    size_t i = 0;
    GLIM_JSON_EACH(x, v)
    {
        glim_err rc = read_call(GLIM_API_ELEMENT(p, i), x, &calls[i], e);
        if (rc) return rc;
        i++;
    }
    m->calls = calls;
    m->n_call = i;
    return GLIM_OK;
}

/* Calls that wait for their results; a bit is set for each of the next ones that has its own. */
typedef struct waiting {
    const glim_tool_call *calls;
    size_t n;
    uint64_t answered;
} waiting;

/* Which call a result is for: the one with its id, else the first of its name, else the first. */
static size_t find_call(const waiting *w, glim_str id, glim_str name)
{
    size_t n = GLIM_MIN(w->n, (size_t)64), first = n, named = n;
    for (size_t i = 0; i < n; i++) {
        if (w->answered >> i & 1) continue;
        if (id.n && glim_str_eq(w->calls[i].id, id)) return i;
        if (first == n) first = i;
        if (named == n && name.n && glim_str_eq(w->calls[i].name, name)) named = i;
    }
    return named < n ? named : first;
}

/* Clients drop the ids: a result without one takes that of the call it must be for. */
static void match_result(waiting *w, glim_str name, glim_message *m)
{
    size_t i = find_call(w, m->tool_call_id, name);
    if (i >= GLIM_MIN(w->n, (size_t)64)) return;
    if (m->tool_call_id.n == 0) m->tool_call_id = w->calls[i].id;
    w->answered |= (uint64_t)1 << i;
    while (w->n && (w->answered & 1)) {
        w->answered >>= 1;
        w->calls++;
        w->n--;
    }
}

/* ---- messages -------------------------------------------------------------------------------- */

static glim_err read_message(glim_arena *a, const glim_api_path *p, const glim_json *v,
                             glim_message *m, waiting *w, glim_error *e)
{
    glim_str thinking = GLIM_STR(""), tool_name = GLIM_STR("");
    const glim_json *images = glim_api_given(v, "images");
    *m = (glim_message){
        .content = GLIM_STR(""), .tool_call_id = GLIM_STR(""), .reasoning = GLIM_STR("")};
    glim_err rc = glim_api_role(p, v, &m->role, e);
    if (!rc) rc = glim_api_str(p, v, "content", &m->content, e);
    if (!rc && images) rc = glim_ollama_no_images(GLIM_API_KEY(p, "images"), images, e);
    if (!rc) rc = glim_api_str(p, v, "thinking", &thinking, e);
    if (!rc) rc = glim_api_str(p, v, "tool_name", &tool_name, e);
    if (!rc) rc = read_calls(a, p, v, m, e);
    if (!rc && m->role == GLIM_ROLE_TOOL)
        rc = glim_api_str(p, v, "tool_call_id", &m->tool_call_id, e);
    if (rc) return rc;
    if (m->role == GLIM_ROLE_TOOL) match_result(w, tool_name, m);
    if (m->n_call) *w = (waiting){.calls = m->calls, .n = m->n_call};
    if (m->role != GLIM_ROLE_ASSISTANT) return GLIM_OK;
    m->reasoning = thinking;
    m->has_reasoning = glim_api_given(v, "thinking") != NULL;
    return GLIM_OK;
}

glim_err glim_ollama_messages_decode(glim_arena *a, const glim_json *v, glim_chat *out,
                                     glim_error *e)
{
    const glim_api_path *p = GLIM_API_KEY(NULL, "messages");
    size_t i = 0;
    waiting w = {0};
    if (!v || v->type == GLIM_JSON_NULL) return GLIM_OK;
    if (v->type != GLIM_JSON_ARRAY) return glim_api_wrong_type(p, "a list of messages", v, e);
    if (v->n_child == 0) return GLIM_OK;
    /* Roles first: a list of anything else must not be answered with room for so many messages. */
    GLIM_JSON_EACH(x, v)
    {
        glim_role role;
        glim_err rc = glim_api_role(GLIM_API_ELEMENT(p, i), x, &role, e);
        if (rc) return rc;
        i++;
    }
    glim_message *messages = GLIM_ARENA_ARRAY(a, glim_message, v->n_child);
    if (!messages) return glim_api_fail(p, GLIM_E_NOMEM, NULL, e, "no memory for the messages");
    i = 0;
    GLIM_JSON_EACH(x, v)
    {
        glim_err rc = read_message(a, GLIM_API_ELEMENT(p, i), x, &messages[i], &w, e);
        if (rc) return rc;
        i++;
    }
    out->messages = messages;
    out->n_message = i;
    return GLIM_OK;
}
