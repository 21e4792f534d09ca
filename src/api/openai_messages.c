/* SPDX-License-Identifier: MIT
 * openai_messages.c - OpenAI's messages and tools to chat.h's structs.
 * Owns: the clean-ups of the wire's many spellings: null content, parts, arguments as text, old
 *       role names.
 * Not here: the fields around them (openai_chat.c), what a template makes of them (room text).
 * Thread: any, pure.
 * Fails: INPUT with the path; UNSUPPORTED for parts and tools that are not text and functions;
 *        NOMEM.
 * See: tests/unit/api/test_openai_messages.c */
#include "api/api_priv.h"

#define MAX_TOOL 128

static glim_err no_memory(const glim_api_path *p, glim_error *e)
{
    return glim_api_fail(p, GLIM_E_NOMEM, NULL, e, "the request does not fit the memory granted");
}

/* ---- content --------------------------------------------------------------------------------- */

/* The text of one part. Bare strings and {"text": ...} without a type are taken for text. */
static glim_err part_text(const glim_api_path *p, const glim_json *v, glim_str *out, glim_error *e)
{
    static const char *const media[] = {
        "image_url", "image", "input_image", "input_audio", "audio",    "audio_url",
        "video_url", "video", "input_video", "file",        "file_url", "input_file",
    };
    if (v->type == GLIM_JSON_STRING) {
        *out = v->text;
        return GLIM_OK;
    }
    if (v->type != GLIM_JSON_OBJECT) return glim_api_wrong_type(p, "a text part", v, e);
    const char *key = "text";
    glim_str type = GLIM_STR("text");
    glim_err rc = glim_api_str(p, v, "type", &type, e);
    if (rc) return rc;
    for (size_t i = 0; i < GLIM_COUNT(media); i++) {
        if (glim_str_is(type, media[i]))
            return glim_api_fail(p, GLIM_E_UNSUPPORTED, v, e,
                                 "the model is text-only; leave the part of type %s out", media[i]);
    }
    if (glim_str_is(type, "refusal"))
        key = "refusal";
    else if (!glim_str_is(type, "text") && !glim_str_is(type, "input_text") &&
             !glim_str_is(type, "output_text"))
        return glim_api_fail(p, GLIM_E_INPUT, v, e, "unknown part type %s; send type text",
                             GLIM_QUOTE(type));
    const glim_json *text = glim_api_given(v, key);
    if (!text) return glim_api_fail(GLIM_API_KEY(p, key), GLIM_E_INPUT, v, e, "missing");
    return glim_api_str(p, v, key, out, e);
}

/* All parts joined without a separator. A single one is borrowed. */
static glim_err join_parts(glim_arena *a, const glim_api_path *p, const glim_json *v, glim_str *out,
                           glim_error *e)
{
    size_t total = 0, i = 0;
    glim_str text = GLIM_STR("");
    GLIM_JSON_EACH(part, v)
    {
        glim_err rc = part_text(GLIM_API_ELEMENT(p, i), part, &text, e);
        if (rc) return rc;
        if (!glim_add_size(total, text.n, &total)) return no_memory(p, e);
        i++;
    }
    *out = text;
    if (v->n_child < 2) return GLIM_OK;
    char *joined = glim_arena_alloc(a, total);
    if (!joined) return no_memory(p, e);
    *out = (glim_str){joined, 0};
    GLIM_JSON_EACH(part, v)
    {
        glim_err rc = part_text(p, part, &text, e);
        if (rc) return rc;
        if (text.n) memcpy(joined + out->n, text.p, text.n);
        out->n += text.n;
    }
    return GLIM_OK;
}

/* A tool's results as a list of objects of its own making: no text parts among them. */
static bool is_result_list(const glim_json *v)
{
    GLIM_JSON_EACH(x, v)
    {
        if (x->type != GLIM_JSON_OBJECT || glim_json_get(x, "type") || glim_json_get(x, "text"))
            return false;
    }
    return v->n_child > 0;
}

/* Results that came as a list: what of each is shown (its "output", or itself) is the template's
 * affair. */
static glim_err read_results(glim_arena *a, const glim_api_path *p, const glim_json *v,
                             glim_message *m, glim_error *e)
{
    glim_str *parts = GLIM_ARENA_ARRAY(a, glim_str, v->n_child);
    if (!parts) return no_memory(p, e);
    size_t n = 0;
    GLIM_JSON_EACH(x, v)
    {
        parts[n++] = x->text; /* objects: their source */
    }
    m->parts = parts;
    m->n_part = n;
    return GLIM_OK;
}

static glim_err read_content(glim_arena *a, const glim_api_path *up, const glim_json *msg,
                             glim_message *m, glim_error *e)
{
    const glim_api_path *p = GLIM_API_KEY(up, "content");
    const glim_json *v = glim_api_given(msg, "content");
    m->content = GLIM_STR("");
    if (!v) return GLIM_OK;
    if (v->type == GLIM_JSON_STRING) {
        m->content = v->text;
        return GLIM_OK;
    }
    if (v->type != GLIM_JSON_ARRAY)
        return glim_api_wrong_type(p, "a string, a list of parts or null", v, e);
    if (m->role == GLIM_ROLE_TOOL && is_result_list(v)) return read_results(a, p, v, m, e);
    return join_parts(a, p, v, &m->content, e);
}

/* ---- calls ----------------------------------------------------------------------------------- */

/* Arguments as an object or as its text. The text is read once to be sure that it is one. */
static glim_err read_arguments(glim_arena *a, const glim_api_path *p, const glim_json *v,
                               glim_str *out, glim_error *e)
{
    *out = GLIM_STR("{}");
    if (!v) return GLIM_OK;
    if (v->type == GLIM_JSON_OBJECT) {
        *out = v->text;
        return GLIM_OK;
    }
    if (v->type != GLIM_JSON_STRING)
        return glim_api_wrong_type(p, "a string that holds a JSON object", v, e);
    glim_str text = glim_str_trim(v->text, " \t\r\n");
    if (text.n == 0) return GLIM_OK;

    glim_error inner = {0};
    glim_json *tree;
    glim_mark mark = glim_arena_mark(a);
    glim_err rc = glim_json_parse(a, text, &tree, &inner);
    glim_json_type type = rc ? GLIM_JSON_NULL : tree->type;
    glim_arena_rewind(a, mark);
    if (rc) return glim_api_fail(p, rc, v, e, "the JSON in this string: %s", inner.msg);
    if (type != GLIM_JSON_OBJECT)
        return glim_api_fail(p, GLIM_E_INPUT, v, e, "the JSON in this string is %s, not an object",
                             glim_json_type_name(type));
    *out = text;
    return GLIM_OK;
}

/* Name and arguments, of a call or of the function inside it. */
static glim_err read_function(glim_arena *a, const glim_api_path *p, const glim_json *v,
                              glim_tool_call *call, glim_error *e)
{
    glim_err rc = glim_api_str(p, v, "name", &call->name, e);
    if (rc) return rc;
    if (call->name.n == 0)
        return glim_api_fail(GLIM_API_KEY(p, "name"), GLIM_E_INPUT, v, e,
                             "missing or empty; every call names its function");
    return read_arguments(a, GLIM_API_KEY(p, "arguments"), glim_api_given(v, "arguments"),
                          &call->arguments, e);
}

static glim_err read_call(glim_arena *a, const glim_api_path *p, const glim_json *v,
                          glim_tool_call *call, glim_error *e)
{
    glim_str type = GLIM_STR("function");
    *call = (glim_tool_call){.id = GLIM_STR("")};
    if (v->type != GLIM_JSON_OBJECT) return glim_api_wrong_type(p, "an object", v, e);
    glim_err rc = glim_api_str(p, v, "id", &call->id, e);
    if (!rc) rc = glim_api_str(p, v, "type", &type, e);
    if (rc) return rc;
    if (!glim_str_is(type, "function"))
        return glim_api_fail(p, GLIM_E_UNSUPPORTED, v, e, "type %s; only function calls are",
                             GLIM_QUOTE(type));
    const glim_json *f = glim_api_given(v, "function");
    if (!f) return read_function(a, p, v, call, e);
    p = GLIM_API_KEY(p, "function");
    if (f->type != GLIM_JSON_OBJECT) return glim_api_wrong_type(p, "an object", f, e);
    return read_function(a, p, f, call, e);
}

/* tool_calls, or the one call of the older function_call. */
static glim_err read_calls(glim_arena *a, const glim_api_path *up, const glim_json *msg,
                           glim_message *m, glim_error *e)
{
    const glim_json *v = glim_api_given(msg, "tool_calls");
    const glim_json *old = glim_api_given(msg, "function_call");
    const glim_api_path *p = GLIM_API_KEY(up, v ? "tool_calls" : "function_call");
    if (v && v->type != GLIM_JSON_ARRAY) return glim_api_wrong_type(p, "a list", v, e);
    if (!v && old && old->type != GLIM_JSON_OBJECT)
        return glim_api_wrong_type(p, "an object", old, e);
    size_t n = v ? v->n_child : (old != NULL);
    if (n == 0) return GLIM_OK;
    if (m->role != GLIM_ROLE_ASSISTANT)
        return glim_api_fail(p, GLIM_E_INPUT, v ? v : old, e,
                             "only a message of role assistant holds calls");
    glim_tool_call *calls = GLIM_ARENA_ARRAY(a, glim_tool_call, n);
    if (!calls) return no_memory(p, e);
    size_t i = 0;
    if (!v) {
        calls[0] = (glim_tool_call){.id = GLIM_STR("")};
        glim_err rc = read_function(a, p, old, &calls[0], e);
        if (rc) return rc;
    }
    GLIM_JSON_EACH(c, v)
    {
        glim_err rc = read_call(a, GLIM_API_ELEMENT(p, i), c, &calls[i], e);
        if (rc) return rc;
        i++;
    }
    m->calls = calls;
    m->n_call = n;
    return GLIM_OK;
}

/* ---- messages -------------------------------------------------------------------------------- */

glim_err glim_api_role(const glim_api_path *p, const glim_json *v, glim_role *out, glim_error *e)
{
    static const struct {
        const char *name;
        glim_role role;
    } roles[] = {
        {"system", GLIM_ROLE_SYSTEM},       {"user", GLIM_ROLE_USER},
        {"assistant", GLIM_ROLE_ASSISTANT}, {"tool", GLIM_ROLE_TOOL},
        {"developer", GLIM_ROLE_SYSTEM},    {"function", GLIM_ROLE_TOOL},
    };
    glim_str name = {NULL, 0};
    if (v->type != GLIM_JSON_OBJECT) return glim_api_wrong_type(p, "a message object", v, e);
    glim_err rc = glim_api_str(p, v, "role", &name, e);
    if (rc) return rc;
    p = GLIM_API_KEY(p, "role");
    if (!name.p) return glim_api_fail(p, GLIM_E_INPUT, v, e, "missing");
    for (size_t i = 0; i < GLIM_COUNT(roles); i++) {
        if (glim_str_is(name, roles[i].name)) {
            *out = roles[i].role;
            return GLIM_OK;
        }
    }
    return glim_api_fail(p, GLIM_E_INPUT, v, e,
                         "unknown role %s; use system, user, assistant or tool", GLIM_QUOTE(name));
}

static glim_err read_message(glim_arena *a, const glim_api_path *p, const glim_json *v,
                             glim_message *m, glim_error *e)
{
    *m = (glim_message){.tool_call_id = GLIM_STR(""), .reasoning = GLIM_STR("")};
    glim_err rc = glim_api_role(p, v, &m->role, e);
    if (!rc) rc = read_content(a, p, v, m, e);
    if (!rc) rc = read_calls(a, p, v, m, e);
    if (!rc && m->role == GLIM_ROLE_TOOL)
        rc = glim_api_str(p, v, "tool_call_id", &m->tool_call_id, e);
    if (rc || m->role != GLIM_ROLE_ASSISTANT) return rc;
    const char *key = glim_api_given(v, "reasoning_content") ? "reasoning_content" : "reasoning";
    m->has_reasoning = glim_api_given(v, key) != NULL;
    return glim_api_str(p, v, key, &m->reasoning, e);
}

/* A result that names a call must find it in an earlier message; ids gathers them on the way. */
static glim_err check_ids(const glim_api_path *p, const glim_message *m, const glim_json *v,
                          glim_map **ids, glim_error *e)
{
    for (size_t i = 0; i < m->n_call; i++) {
        if (m->calls[i].id.n == 0) continue;
        if (!*ids) *ids = glim_map_new(16);
        glim_err rc = *ids ? glim_map_put(*ids, m->calls[i].id, 0) : GLIM_E_NOMEM;
        if (rc && rc != GLIM_E_STATE) return no_memory(p, e);
    }
    if (m->tool_call_id.n && !(*ids && glim_map_get(*ids, m->tool_call_id, NULL)))
        return glim_api_fail(p->up, GLIM_E_INPUT, v, e,
                             "the tool_call_id %s of message %zu is the id of no earlier call",
                             GLIM_QUOTE(m->tool_call_id), p->i);
    return GLIM_OK;
}

glim_err glim_openai_messages_decode(glim_arena *a, const glim_json *v, glim_chat *out,
                                     glim_error *e)
{
    const glim_api_path *p = GLIM_API_KEY(NULL, "messages");
    if (!v || v->type == GLIM_JSON_NULL)
        return glim_api_fail(p, GLIM_E_INPUT, v, e, "missing; send a list of messages");
    if (v->type != GLIM_JSON_ARRAY) return glim_api_wrong_type(p, "a list of messages", v, e);
    if (v->n_child == 0)
        return glim_api_fail(p, GLIM_E_INPUT, v, e, "the list is empty; send at least one message");
    /* Roles first: a list of anything else must not be answered with room for so many messages. */
    size_t i = 0;
    glim_role role;
    GLIM_JSON_EACH(x, v)
    {
        glim_err rc = glim_api_role(GLIM_API_ELEMENT(p, i), x, &role, e);
        if (rc) return rc;
        i++;
    }
    glim_message *messages = GLIM_ARENA_ARRAY(a, glim_message, v->n_child);
    if (!messages) return no_memory(p, e);
    glim_map *ids = NULL;
    glim_err rc = GLIM_OK;
    i = 0;
    for (const glim_json *x = v->child; x && !rc; x = x->next) {
        const glim_api_path *at = GLIM_API_ELEMENT(p, i);
        rc = read_message(a, at, x, &messages[i], e);
        if (!rc) rc = check_ids(at, &messages[i], x, &ids, e);
        i++;
    }
    glim_map_free(ids);
    if (rc) return rc;
    out->messages = messages;
    out->n_message = i;
    return GLIM_OK;
}

/* ---- tools ----------------------------------------------------------------------------------- */

/* Zhipu's own search tool: switched off it is dropped, switched on there is nothing that searches.
 */
static glim_err check_web_search(const glim_api_path *p, const glim_json *tool, glim_error *e)
{
    const glim_json *v = glim_json_get(tool, "web_search");
    const glim_json *enable = glim_api_given(v, "enable");
    bool off = !enable || enable->type == GLIM_JSON_FALSE ||
               (enable->type == GLIM_JSON_STRING && glim_str_ieq(enable->text, GLIM_STR("false")));
    if (off) return GLIM_OK;
    return glim_api_fail(p, GLIM_E_UNSUPPORTED, tool, e,
                         "web_search needs a search service, and none is set up; leave it out");
}

/* The function of a tool object, which may be the object itself; checks what templates rely on. */
static glim_err read_tool_function(const glim_api_path *p, const glim_json *f, glim_str *name,
                                   glim_error *e)
{
    glim_str description;
    if (f->type != GLIM_JSON_OBJECT) return glim_api_wrong_type(p, "an object", f, e);
    glim_err rc = glim_api_str(p, f, "name", name, e);
    if (!rc) rc = glim_api_str(p, f, "description", &description, e);
    if (rc) return rc;
    if (name->n == 0)
        return glim_api_fail(GLIM_API_KEY(p, "name"), GLIM_E_INPUT, f, e,
                             "missing or empty; every function needs a name");
    const glim_json *schema = glim_api_given(f, "parameters");
    if (schema && schema->type != GLIM_JSON_OBJECT)
        return glim_api_wrong_type(GLIM_API_KEY(p, "parameters"), "an object (a JSON schema)",
                                   schema, e);
    return GLIM_OK;
}

/* *keep false: a tool that is accepted and left out. */
static glim_err read_tool(const glim_api_path *p, const glim_json *v, glim_tool *tool, bool *keep,
                          glim_error *e)
{
    glim_str type = GLIM_STR("function");
    *tool = (glim_tool){.name = {NULL, 0}, .json = v->text};
    *keep = true;
    if (v->type != GLIM_JSON_OBJECT) return glim_api_wrong_type(p, "a tool object", v, e);
    glim_err rc = glim_api_str(p, v, "type", &type, e);
    if (rc) return rc;
    if (glim_str_is(type, "web_search")) {
        *keep = false;
        return check_web_search(p, v, e);
    }
    if (!glim_str_is(type, "function"))
        return glim_api_fail(p, GLIM_E_UNSUPPORTED, v, e,
                             "tools of type %s are not supported; send functions",
                             GLIM_QUOTE(type));
    const glim_json *f = glim_api_given(v, "function");
    if (f) return read_tool_function(GLIM_API_KEY(p, "function"), f, &tool->name, e);
    return read_tool_function(p, v, &tool->name, e);
}

static glim_err check_tool_list(const glim_api_path *p, const glim_json *v, glim_error *e)
{
    if (v->type != GLIM_JSON_ARRAY) return glim_api_wrong_type(p, "a list", v, e);
    if (v->n_child > MAX_TOOL)
        return glim_api_fail(p, GLIM_E_INPUT, v, e, "%u entries; at most %d are allowed",
                             (unsigned)v->n_child, MAX_TOOL);
    return GLIM_OK;
}

glim_err glim_openai_tools_decode(glim_arena *a, const glim_json *v, glim_chat *out, glim_error *e)
{
    const glim_api_path *p = GLIM_API_KEY(NULL, "tools");
    out->tools = NULL;
    out->n_tool = 0;
    if (!v || v->type == GLIM_JSON_NULL) return GLIM_OK;
    glim_err rc = check_tool_list(p, v, e);
    if (rc || v->n_child == 0) return rc;
    glim_tool *tools = GLIM_ARENA_ARRAY(a, glim_tool, v->n_child);
    if (!tools) return no_memory(p, e);
    size_t i = 0, n = 0;
    GLIM_JSON_EACH(x, v)
    {
        bool keep;
        rc = read_tool(GLIM_API_ELEMENT(p, i), x, &tools[n], &keep, e);
        if (rc) return rc;
        n += keep;
        i++;
    }
    out->tools = n ? tools : NULL;
    out->n_tool = n;
    return GLIM_OK;
}

glim_err glim_openai_functions_decode(glim_arena *a, const glim_json *v, glim_chat *out,
                                      glim_error *e)
{
    const glim_api_path *p = GLIM_API_KEY(NULL, "functions");
    glim_err rc = check_tool_list(p, v, e);
    if (rc || v->n_child == 0) return rc;
    glim_tool *tools = GLIM_ARENA_ARRAY(a, glim_tool, v->n_child);
    if (!tools) return no_memory(p, e);
    size_t i = 0;
    GLIM_JSON_EACH(x, v)
    {
        static const char head[] = "{\"type\": \"function\", \"function\": ";
        const size_t n_head = sizeof head - 1;
        tools[i].name = (glim_str){NULL, 0};
        rc = read_tool_function(GLIM_API_ELEMENT(p, i), x, &tools[i].name, e);
        if (rc) return rc;
        size_t total;
        char *json =
            glim_add_size(x->text.n, n_head + 1, &total) ? glim_arena_alloc(a, total) : NULL;
        if (!json) return no_memory(p, e);
        memcpy(json, head, n_head);
        memcpy(json + n_head, x->text.p, x->text.n);
        json[total - 1] = '}';
        tools[i].json = (glim_str){json, total};
        i++;
    }
    out->tools = tools;
    out->n_tool = i;
    return GLIM_OK;
}
