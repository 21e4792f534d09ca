/* SPDX-License-Identifier: MIT
 * openai_chat.c - an OpenAI chat request, with the fields of its relatives (Zhipu, SGLang, vLLM,
 * llama-server), to a glim_request. Both chat mounts read the same union of fields.
 * Owns:   the table of chat fields.
 * Not here: sampling (sampling.c), messages and tools (openai_messages.c), tool_choice
 *           (openai_choice.c), thinking (openai_thinking.c), defaults of a model (room engine),
 *           replies (openai_reply.c).
 * Thread: any, pure.
 * Fails:  INPUT with the path; UNSUPPORTED for what is known and would change the answer.
 * See:    tests/unit/api/test_openai_chat.c */
#include "api/wire_priv.h"

static glim_err only_text_modality(glim_arena *a, const glim_json *v, void *dst, glim_error *e)
{
    (void)a, (void)dst;
    if (v->type != GLIM_JSON_ARRAY) return glim_api_wrong_type(NULL, "a list", v, e);
    GLIM_JSON_EACH(x, v)
    {
        if (x->type != GLIM_JSON_STRING || !glim_str_is(x->text, "text"))
            return glim_api_fail(NULL, GLIM_E_UNSUPPORTED, x, e,
                                 "the model is text-only; send [\"text\"] or leave the field out");
    }
    return GLIM_OK;
}

/* llama-server's word for where a thought goes. */
static glim_err read_reasoning_format(glim_arena *a, const glim_json *v, void *dst, glim_error *e)
{
    (void)a;
    if (v->type != GLIM_JSON_STRING) return glim_api_wrong_type(NULL, "a string", v, e);
    bool none = glim_str_is(v->text, "none");
    if (!none && !glim_str_is(v->text, "auto") && !glim_str_is(v->text, "deepseek"))
        return glim_api_fail(NULL, GLIM_E_INPUT, v, e, "%s is unknown; use none, auto or deepseek",
                             GLIM_QUOTE(v->text));
    *(bool *)dst = none;
    return GLIM_OK;
}

static const glim_field fields[] = {
    GLIM_WIRE_SHARED_ROWS,
    GLIM_ROW("messages", JSON, messages),
    GLIM_ROW("tools", JSON, tools),
    GLIM_ROW("functions", JSON, functions),
    GLIM_ROW("tool_choice", JSON, tool_choice),
    GLIM_ROW("function_call", JSON, function_call),
    GLIM_ROW("parallel_tool_calls", BOOL, parallel),
    GLIM_ROW("tool_stream", BOOL, tool_stream),
    GLIM_ROW("thinking", JSON, thinking),
    GLIM_ROW("chat_template_kwargs", JSON, kwargs),
    GLIM_ROW("reasoning", JSON, reasoning),
    GLIM_ROW("reasoning_effort", JSON, effort),
    GLIM_FLAG("enable_thinking", BOOL, enable_thinking),
    GLIM_ROW("separate_reasoning", BOOL, separate_reasoning),
    GLIM_ROW("stream_reasoning", BOOL, stream_reasoning),
    GLIM_SUB("reasoning_format", inline_format, read_reasoning_format),
    GLIM_FLAG("add_generation_prompt", BOOL, generation_prompt),
    GLIM_ROW("logprobs", BOOL, logprobs),
    GLIM_RANGE("top_logprobs", I64, top_logprobs, 0, 20),
    GLIM_ROW("meta", JSON, meta),
    GLIM_SUB("modalities", ignored, only_text_modality),
    GLIM_ONLY("echo", false),
    GLIM_ONLY("continue_final_message", false),
    GLIM_REFUSE("audio"),
    GLIM_REFUSE("web_search_options"),
    GLIM_REFUSE("extra"), /* CodeGeeX's: code around a gap */
};

/* ---- what is accepted and noted -------------------------------------------------------------- */

glim_err glim_wire_note_tools(glim_arena *a, const glim_json *tools, glim_request *out,
                              glim_error *e)
{
    glim_err rc = GLIM_OK;
    GLIM_JSON_EACH(v, tools)
    {
        const glim_json *type = glim_json_get(v, "type");
        const glim_json *f = glim_api_given(v, "function");
        if (type && glim_str_is(type->text, "web_search"))
            rc = glim_wire_note(a, out, "tools.web_search", e);
        else if (glim_json_is(glim_json_get(f ? f : v, "strict"), GLIM_JSON_TRUE))
            rc = glim_wire_note(a, out, "tools.function.strict", e);
        if (rc) return rc;
    }
    return rc;
}

/* The play-acting models' description of who speaks; other models have no place for it. */
static glim_err note_meta(glim_arena *a, const glim_json *meta, glim_request *out, glim_error *e)
{
    if (!meta) return GLIM_OK;
    if (meta->type != GLIM_JSON_OBJECT)
        return glim_api_wrong_type(GLIM_API_KEY(NULL, "meta"), "an object", meta, e);
    return glim_wire_note(a, out, "meta", e);
}

/* ---- the request ----------------------------------------------------------------------------- */

static glim_err read_tools(glim_arena *a, const glim_wire *w, glim_request *out, glim_error *e)
{
    glim_chat *c = &out->chat;
    glim_err rc = glim_openai_tools_decode(a, w->tools, c, e);
    if (!rc && w->functions) {
        if (c->n_tool && w->functions->n_child)
            return glim_api_fail(GLIM_API_KEY(NULL, "functions"), GLIM_E_INPUT, w->functions, e,
                                 "given beside tools; send one of the two");
        rc = glim_openai_functions_decode(a, w->functions, c, e);
    }
    if (!rc) rc = glim_wire_note_tools(a, w->tools, out, e);
    if (!rc) rc = glim_openai_choice_decode(a, w->tool_choice, w->function_call, c, &out->gen, e);
    if (rc) return rc;
    out->gen.one_call = !w->parallel;
    return GLIM_OK;
}

static glim_err fill_logprobs(const glim_wire *w, glim_request *out, glim_error *e)
{
    const glim_api_path *p = GLIM_API_KEY(NULL, "top_logprobs");
    if (w->top_logprobs > 0 && !w->logprobs)
        return glim_api_fail(p, GLIM_E_INPUT, NULL, e, "needs \"logprobs\": true beside it");
    out->logprobs = w->logprobs;
    if (w->logprobs) out->gen.n_logprob = (int32_t)w->top_logprobs;
    return GLIM_OK;
}

/* Zhipu's own rule: somebody must have asked, or a tool have answered. */
static glim_err check_zhipu_roles(const glim_chat *c, glim_error *e)
{
    for (size_t i = 0; i < c->n_message; i++) {
        glim_role role = c->messages[i].role;
        if (role == GLIM_ROLE_USER || role == GLIM_ROLE_TOOL) return GLIM_OK;
    }
    return glim_api_fail(GLIM_API_KEY(NULL, "messages"), GLIM_E_INPUT, NULL, e,
                         "only system and assistant messages; add one of role user");
}

glim_err glim_openai_chat_read(glim_arena *a, const glim_json *root, glim_chat_mount mount,
                               glim_request *out, glim_error *e)
{
    glim_wire w;
    memset(out, 0, sizeof *out);
    out->model = out->request_id = out->user_id = GLIM_STR("");
    out->chat.think = GLIM_UNSET;
    out->chat.keep_old = GLIM_UNSET;
    glim_gen_opts_init(&out->gen);
    glim_wire_init(&w);
    glim_err rc = glim_wire_read(a, root, fields, GLIM_COUNT(fields), &w, out, e);
    if (!rc) rc = glim_openai_messages_decode(a, w.messages, &out->chat, e);
    if (!rc && mount == GLIM_MOUNT_ZHIPU) rc = check_zhipu_roles(&out->chat, e);
    if (!rc) rc = glim_wire_fill(a, &w, out, e);
    if (!rc) rc = fill_logprobs(&w, out, e);
    if (!rc) rc = read_tools(a, &w, out, e);
    if (!rc) rc = note_meta(a, w.meta, out, e);
    if (rc) return rc;
    const glim_thinking_fields think = {.thinking = w.thinking,
                                        .kwargs = w.kwargs,
                                        .reasoning = w.reasoning,
                                        .effort = w.effort,
                                        .field = !w.has_enable_thinking ? GLIM_UNSET
                                                 : w.enable_thinking    ? GLIM_ON
                                                                        : GLIM_OFF};
    rc = glim_openai_thinking_decode(&think, &out->chat, &out->gen, e);
    if (rc) return rc;
    out->chat.no_generation_prompt = w.has_generation_prompt && !w.generation_prompt;
    /* OpenAI's clients have no word for it: their calls always come piece by piece. */
    out->tool_stream = mount == GLIM_MOUNT_OPENAI || w.tool_stream;
    out->inline_reasoning = !w.separate_reasoning || w.inline_format;
    out->hold_reasoning = !w.stream_reasoning;
    return GLIM_OK;
}

glim_err glim_openai_chat_decode(glim_arena *a, glim_str json, glim_chat_request *out,
                                 glim_error *e)
{
    glim_json *root;
    glim_request rq;
    memset(out, 0, sizeof *out);
    out->chat.think = GLIM_UNSET;
    out->chat.keep_old = GLIM_UNSET;
    glim_gen_opts_init(&out->gen);
    glim_err rc = glim_json_parse(a, json, &root, e);
    if (!rc) rc = glim_openai_chat_read(a, root, GLIM_MOUNT_OPENAI, &rq, e);
    if (rc) return rc;
    out->chat = rq.chat;
    out->gen = rq.gen;
    out->n_unknown = rq.n_unknown;
    return GLIM_OK;
}

static glim_err read_openai(glim_arena *a, const glim_json *root, glim_request *out, glim_error *e)
{
    return glim_openai_chat_read(a, root, GLIM_MOUNT_OPENAI, out, e);
}

glim_err glim_openai_chat_decode_body(glim_arena *a, glim_str body, glim_request *out,
                                      glim_problem *p)
{
    return glim_api_decode(a, body, read_openai, out, p);
}
