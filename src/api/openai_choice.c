/* SPDX-License-Identifier: MIT
 * openai_choice.c - tool_choice in all its forms, and the older function_call: which tools the
 * model sees and whether it must call one.
 * Owns:   that "none" leaves the tools out of the prompt, and that a forced name must have been
 *         offered.
 * Thread: any, pure.
 * Fails:  INPUT with the path; UNSUPPORTED for custom tools; NOMEM.
 * See:    tests/unit/api/test_openai_chat.c */
#include "api/api_priv.h"

typedef struct choice {
    bool none, required;
    const glim_str *names; /* the tools allowed; NULL: all */
    size_t n_name;
} choice;

static glim_err no_memory(const glim_api_path *p, glim_error *e)
{
    return glim_api_fail(p, GLIM_E_NOMEM, NULL, e, "the request does not fit the memory granted");
}

static glim_err must_be_offered(const glim_api_path *p, const glim_json *v, glim_str name,
                                const glim_chat *c, glim_error *e)
{
    for (size_t i = 0; i < c->n_tool; i++)
        if (glim_str_eq(c->tools[i].name, name)) return GLIM_OK;
    return glim_api_fail(p, GLIM_E_INPUT, v, e, "no tool of the name %s was sent",
                         GLIM_QUOTE(name));
}

/* The name in {"function": {"name"}} or, as older clients write it, in {"name"}. */
static glim_err read_name(const glim_api_path *p, const glim_json *v, const glim_chat *c,
                          glim_str *out, glim_error *e)
{
    const glim_json *f = glim_api_given(v, "function");
    p = f ? GLIM_API_KEY(p, "function") : p; /* no if: a literal ends with its block */
    if (!f) f = v;
    if (f->type != GLIM_JSON_OBJECT) return glim_api_wrong_type(p, "an object", f, e);
    *out = GLIM_STR("");
    glim_err rc = glim_api_str(p, f, "name", out, e);
    if (rc) return rc;
    p = GLIM_API_KEY(p, "name");
    if (out->n == 0)
        return glim_api_fail(p, GLIM_E_INPUT, v, e, "missing or empty; name the function to call");
    return must_be_offered(p, v, *out, c, e);
}

static glim_err read_function(glim_arena *a, const glim_api_path *p, const glim_json *v,
                              const glim_chat *c, choice *out, glim_error *e)
{
    glim_str *name = GLIM_ARENA_ARRAY(a, glim_str, 1);
    if (!name) return no_memory(p, e);
    glim_err rc = read_name(p, v, c, name, e);
    *out = (choice){.required = true, .names = name, .n_name = 1};
    return rc;
}

/* {"type": "allowed_tools", "allowed_tools": {"mode", "tools"}}, or both members at the top. */
static glim_err read_allowed(glim_arena *a, const glim_api_path *p, const glim_json *v,
                             const glim_chat *c, choice *out, glim_error *e)
{
    const glim_json *inner = glim_api_given(v, "allowed_tools");
    p = inner ? GLIM_API_KEY(p, "allowed_tools") : p;
    if (inner) v = inner;
    if (v->type != GLIM_JSON_OBJECT) return glim_api_wrong_type(p, "an object", v, e);
    glim_str mode = GLIM_STR("auto");
    glim_err rc = glim_api_str(p, v, "mode", &mode, e);
    if (rc) return rc;
    if (!glim_str_is(mode, "auto") && !glim_str_is(mode, "required"))
        return glim_api_fail(GLIM_API_KEY(p, "mode"), GLIM_E_INPUT, v, e,
                             "%s is unknown; use auto or required", GLIM_QUOTE(mode));
    const glim_json *list = glim_api_given(v, "tools");
    p = GLIM_API_KEY(p, "tools");
    if (!list) return glim_api_fail(p, GLIM_E_INPUT, v, e, "missing");
    if (list->type != GLIM_JSON_ARRAY) return glim_api_wrong_type(p, "a list", list, e);
    if (list->n_child == 0 || list->n_child > c->n_tool)
        return glim_api_fail(p, GLIM_E_INPUT, list, e,
                             "%u entries; send between one and as many as there are tools",
                             (unsigned)list->n_child);
    glim_str *names = GLIM_ARENA_ARRAY(a, glim_str, list->n_child);
    if (!names) return no_memory(p, e);
    size_t n = 0;
    GLIM_JSON_EACH(x, list)
    {
        const glim_api_path *at = GLIM_API_ELEMENT(p, n);
        if (x->type != GLIM_JSON_OBJECT) return glim_api_wrong_type(at, "a tool object", x, e);
        rc = read_name(at, x, c, &names[n++], e);
        if (rc) return rc;
    }
    *out = (choice){.required = glim_str_is(mode, "required"), .names = names, .n_name = n};
    return GLIM_OK;
}

static glim_err read_choice(glim_arena *a, const glim_api_path *p, const glim_json *v,
                            const glim_chat *c, choice *out, glim_error *e)
{
    glim_str type = {NULL, 0};
    if (v->type == GLIM_JSON_STRING) {
        type = v->text;
    } else if (v->type == GLIM_JSON_OBJECT) {
        glim_err rc = glim_api_str(p, v, "type", &type, e);
        if (rc) return rc;
        if (!type.p && (glim_api_given(v, "name") || glim_api_given(v, "function")))
            type = GLIM_STR("function");
        if (!type.p) return glim_api_fail(GLIM_API_KEY(p, "type"), GLIM_E_INPUT, v, e, "missing");
    } else {
        return glim_api_wrong_type(p, "a string or an object", v, e);
    }
    bool object = v->type == GLIM_JSON_OBJECT;
    if (glim_str_is(type, "auto")) return GLIM_OK;
    if (glim_str_is(type, "none")) {
        out->none = true;
        return GLIM_OK;
    }
    if (glim_str_is(type, "custom"))
        return glim_api_fail(p, GLIM_E_UNSUPPORTED, v, e,
                             "custom tools are not supported; send functions");
    bool any = glim_str_is(type, "required") || glim_str_is(type, "any");
    if (!any && !(object && (glim_str_is(type, "function") || glim_str_is(type, "allowed_tools"))))
        return glim_api_fail(p, GLIM_E_INPUT, v, e,
                             "%s is unknown; use auto, none, required or "
                             "{\"type\": \"function\", \"function\": {\"name\": ...}}",
                             GLIM_QUOTE(type));
    if (c->n_tool == 0)
        return glim_api_fail(p, GLIM_E_INPUT, v, e, "a call is asked for, but no tools were sent");
    if (any) {
        *out = (choice){.required = true};
        return GLIM_OK;
    }
    return glim_str_is(type, "function") ? read_function(a, p, v, c, out, e)
                                         : read_allowed(a, p, v, c, out, e);
}

/* The tools that are not allowed leave the prompt: nothing else would keep the model from calling
 * them. */
static glim_err keep_allowed(glim_arena *a, const choice *ch, glim_chat *c, glim_error *e)
{
    glim_tool *tools = GLIM_ARENA_ARRAY(a, glim_tool, c->n_tool);
    size_t n = 0;
    if (!tools) return no_memory(NULL, e);
    for (size_t i = 0; i < c->n_tool; i++) {
        bool allowed = false;
        for (size_t k = 0; k < ch->n_name; k++)
            allowed = allowed || glim_str_eq(ch->names[k], c->tools[i].name);
        if (allowed) tools[n++] = c->tools[i];
    }
    c->tools = tools;
    c->n_tool = n;
    return GLIM_OK;
}

glim_err glim_openai_choice_decode(glim_arena *a, const glim_json *tool_choice,
                                   const glim_json *function_call, glim_chat *c, glim_gen_opts *g,
                                   glim_error *e)
{
    const struct {
        const char *key;
        const glim_json *v;
    } given[] = {{"function_call", function_call}, {"tool_choice", tool_choice}};
    choice ch = {0};
    for (size_t i = 0; i < GLIM_COUNT(given); i++) {
        if (!given[i].v) continue;
        ch = (choice){0}; /* the newer name wins; the older one is checked too */
        glim_err rc = read_choice(a, GLIM_API_KEY(NULL, given[i].key), given[i].v, c, &ch, e);
        if (rc) return rc;
    }
    if (ch.none) {
        c->tools = NULL;
        c->n_tool = 0;
    }
    g->call_required = ch.required;
    g->call_names = ch.required ? ch.names : NULL;
    g->n_call_name = ch.required ? ch.n_name : 0;
    return ch.names && !ch.required ? keep_allowed(a, &ch, c, e) : GLIM_OK;
}
