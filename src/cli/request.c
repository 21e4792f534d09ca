/* SPDX-License-Identifier: MIT
 * request.c - what is to be answered, from options, files and standard input; and a whole answer as JSON.
 * Used by run and by cloud. Not here: pictures (picture.c), who answers (answerer.c). */
#include <math.h>

#include "api/api.h"
#include "cli/cli_priv.h"

bool glim_cli_from_flag(const glim_cli *c, glim_opt o)
{
    const glim_opt_value *v = glim_cli_opt(c, o);
    return v->set && v->origin == GLIM_FROM_FLAG &&
           (glim_opt_get(o)->type != GLIM_OPT_FLAG || v->on);
}

static glim_err check_combination(const glim_cli *c, glim_error *e)
{
    static const struct {
        glim_opt a, b;
        const char *why;
    } pairs[] = {
        {GLIM_O_MESSAGES, GLIM_O_PROMPT, "put the prompt into the file"},
        {GLIM_O_MESSAGES, GLIM_O_IMAGE, "put the picture into the file, as a part"},
        {GLIM_O_MESSAGES, GLIM_O_SYSTEM, "put the system message into the file"},
        {GLIM_O_RAW, GLIM_O_MESSAGES, "raw text has no messages"},
        {GLIM_O_RAW, GLIM_O_SYSTEM, "raw text has no system message"},
        {GLIM_O_RAW, GLIM_O_TOOLS, "raw text is not looked through for calls"},
        {GLIM_O_RAW, GLIM_O_THINK, "raw text has no thought"},
    };
    for (size_t i = 0; i < GLIM_COUNT(pairs); i++)
        if (glim_cli_from_flag(c, pairs[i].a) && glim_cli_from_flag(c, pairs[i].b))
            return glim_fail(e, GLIM_E_USAGE,
                             "--%s and --%s do not go together: %s; see glim %s --help",
                             glim_opt_get(pairs[i].a)->name, glim_opt_get(pairs[i].b)->name,
                             pairs[i].why, c->cmd->name);
    const glim_opt_value *m = glim_cli_opt(c, GLIM_O_MESSAGES), *t = glim_cli_opt(c, GLIM_O_TOOLS);
    if (m->set && t->set && strcmp(m->text, "-") == 0 && strcmp(t->text, "-") == 0)
        return glim_fail(e, GLIM_E_USAGE,
                         "--messages and --tools cannot both be standard input; see glim %s --help",
                         c->cmd->name);
    return GLIM_OK;
}

/* --prompt, or standard input less the newline that echo and editors put at its end. */
static glim_err read_prompt(glim_cli *c, bool raw, glim_str *out, glim_error *e)
{
    const glim_opt_value *v = glim_cli_opt(c, GLIM_O_PROMPT);
    const char *name = v->set ? v->place : "standard input";
    if (v->set) {
        *out = glim_str_of(v->text);
    } else {
        glim_buf b;
        if (glim_term_is(stdin))
            glim_cli_say(c, "type the prompt and end it with Ctrl-D, or give it with -p");
        glim_err rc = glim_cli_read("-", &b, e);
        if (rc) return rc;
        *out = glim_arena_str(c->arena, glim_buf_view(&b));
        glim_buf_deinit(&b);
        if (!out->p) return glim_fail(e, GLIM_E_NOMEM, "standard input: no memory for it");
        if (!raw && glim_str_ends(*out, GLIM_STR("\n")))
            out->n -= glim_str_ends(*out, GLIM_STR("\r\n")) ? 2 : 1;
    }
    if (out->n == 0)
        return glim_fail(e, GLIM_E_INPUT,
                         "%s: the prompt is empty; give it with -p TEXT or on standard input",
                         name);
    return glim_cli_check_text(name, *out, e);
}

static glim_err read_messages(glim_cli *c, const char *path, bool any, glim_chat *chat,
                              glim_error *e)
{
    glim_json *json;
    glim_parts *parts = NULL;
    glim_chat decoded = {0};
    const char *name = strcmp(path, "-") == 0 ? "standard input" : path;
    glim_err rc = glim_cli_json(c, path, &json, e);
    if (rc) return rc;
    if (any) rc = glim_parts_take(c->arena, json, &parts, e);
    if (!rc) rc = glim_openai_messages_decode(c->arena, json, &decoded, e);
    if (!rc && parts) rc = glim_parts_give(c->arena, parts, &decoded, e);
    if (rc) {
        glim_error_prefix(e, "%s", name);
        return rc;
    }
    if (decoded.n_message == 0)
        return glim_fail(e, GLIM_E_INPUT, "%s: no message in it; one is needed", name);
    const glim_message *last = &decoded.messages[decoded.n_message - 1];
    if (last->role == GLIM_ROLE_USER && last->content.n == 0 && last->n_part == 0)
        return glim_fail(e, GLIM_E_INPUT, "%s: messages[%zu].content: the prompt is empty", name,
                         decoded.n_message - 1);
    chat->messages = decoded.messages;
    chat->n_message = decoded.n_message;
    return GLIM_OK;
}

static glim_err make_messages(glim_cli *c, glim_str prompt, glim_chat *chat, glim_error *e)
{
    glim_message *m = glim_arena_alloc0(c->arena, 2 * sizeof *m);
    if (!m) return glim_fail(e, GLIM_E_NOMEM, "no memory for two messages");
    const glim_opt_value *system = glim_cli_opt(c, GLIM_O_SYSTEM);
    chat->messages = m;
    if (system->set && system->text[0]) { /* "" takes back one that the settings file gives */
        m[chat->n_message++] =
            (glim_message){.role = GLIM_ROLE_SYSTEM, .content = glim_str_of(system->text)};
        glim_err rc = glim_cli_check_text(system->place, glim_str_of(system->text), e);
        if (rc) return rc;
    }
    m[chat->n_message++] = (glim_message){.role = GLIM_ROLE_USER, .content = prompt};
    return glim_parts_add(c, prompt, &m[chat->n_message - 1], e);
}

/* Tools of any type, each as it stands in the file: what they may be is the server's affair. */
static glim_err read_any_tools(glim_cli *c, glim_chat *chat, glim_error *e)
{
    const glim_opt_value *v = glim_cli_opt(c, GLIM_O_TOOLS);
    if (!v->set) return GLIM_OK;
    glim_json *json;
    glim_err rc = glim_cli_json(c, v->text, &json, e);
    if (rc) return rc;
    if (json->type != GLIM_JSON_ARRAY)
        return glim_fail(e, GLIM_E_INPUT, "%s: holds %s; a JSON array of tools is needed", v->place,
                         glim_json_type_name(json->type));
    glim_tool *tools = GLIM_ARENA_ARRAY(c->arena, glim_tool, json->n_child);
    if (!tools) return glim_fail(e, GLIM_E_NOMEM, "%s: no memory for the tools", v->place);
    chat->tools = tools;
    GLIM_JSON_EACH(it, json)
    {
        const glim_json *name = glim_json_path(it, "function.name");
        if (it->type != GLIM_JSON_OBJECT)
            return glim_fail_off(e, GLIM_E_INPUT, it->offset,
                                 "%s: tools[%zu] is %s; an object is needed", v->place,
                                 chat->n_tool, glim_json_type_name(it->type));
        tools[chat->n_tool++] =
            (glim_tool){.name = glim_json_is(name, GLIM_JSON_STRING) ? name->text : GLIM_STR(""),
                        .json = it->text};
    }
    return GLIM_OK;
}

glim_err glim_cli_read_request(glim_cli *c, bool any, glim_cli_request *rq, glim_error *e)
{
    const glim_opt_value *messages = glim_cli_opt(c, GLIM_O_MESSAGES),
                         *stop = glim_cli_opt(c, GLIM_O_STOP);
    glim_str prompt = {0};
    *rq = (glim_cli_request){.chat.think = glim_cli_think(c), .chat.keep_old = GLIM_UNSET};
    glim_err rc = check_combination(c, e);
    for (size_t i = 0; !rc && i < stop->n_item; i++) {
        rc = glim_cli_check_text(stop->place, stop->items[i], e);
        if (!rc && stop->items[i].n == 0)
            rc = glim_fail(e, GLIM_E_INPUT, "%s: an empty text stops nothing", stop->place);
    }
    if (rc) return rc;
    if (glim_cli_opt(c, GLIM_O_RAW)->on) return read_prompt(c, true, &rq->raw, e);
    if (messages->set) {
        rc = read_messages(c, messages->text, any, &rq->chat, e);
    } else {
        rc = read_prompt(c, false, &prompt, e);
        if (!rc) rc = make_messages(c, prompt, &rq->chat, e);
    }
    if (rc) return rc;
    return any ? read_any_tools(c, &rq->chat, e) : glim_cli_tools(c, &rq->chat, e);
}

static double to_us(double ms)
{
    return round(ms * 1000) / 1000; /* more digits than a clock has only look exact */
}

static void write_usage(glim_jw *w, const glim_usage *u)
{
    glim_jw_key(w, "usage");
    glim_jw_object(w);
    glim_jw_key(w, "prompt_tokens");
    glim_jw_i64(w, u->n_prompt);
    glim_jw_key(w, "completion_tokens");
    glim_jw_i64(w, u->n_completion);
    glim_jw_key(w, "total_tokens");
    glim_jw_i64(w, u->n_prompt + u->n_completion);
    glim_jw_key(w, "prompt_tokens_details");
    glim_jw_object(w);
    glim_jw_key(w, "cached_tokens");
    glim_jw_i64(w, u->n_cached);
    glim_jw_object_end(w);
    glim_jw_key(w, "completion_tokens_details");
    glim_jw_object(w);
    glim_jw_key(w, "reasoning_tokens");
    glim_jw_i64(w, u->n_reasoning);
    glim_jw_object_end(w);
    glim_jw_object_end(w);
    glim_jw_key(w, "timings");
    glim_jw_object(w);
    glim_jw_key(w, "prompt_tokens");
    glim_jw_i64(w, u->n_prompt - u->n_cached);
    glim_jw_key(w, "prompt_ms");
    glim_jw_f64(w, to_us(u->prompt_ms));
    glim_jw_key(w, "completion_tokens");
    glim_jw_i64(w, u->n_completion);
    glim_jw_key(w, "completion_ms");
    glim_jw_f64(w, to_us(u->completion_ms));
    glim_jw_object_end(w);
}

glim_err glim_cli_print_answer(const glim_answer *a, glim_str logprobs, const char *where,
                               glim_error *e)
{
    glim_buf b;
    glim_jw w;
    glim_buf_init(&b, SIZE_MAX / 2);
    glim_jw_init(&w, &b);
    glim_jw_object(&w);
    glim_jw_key(&w, "text");
    glim_jw_str(&w, a->content);
    glim_jw_key(&w, "reasoning");
    glim_jw_str(&w, a->reasoning);
    glim_jw_key(&w, "tool_calls");
    glim_write_calls(&w, a->calls, a->n_call);
    glim_jw_key(&w, "finish_reason");
    glim_jw_str(&w, glim_str_of(glim_finish_reason(a)));
    if (a->reason == GLIM_STOP_LOOP) {
        glim_jw_key(&w, "stop_reason");
        glim_jw_str(&w, GLIM_STR("loop"));
    }
    if (logprobs.p) {
        glim_jw_key(&w, "logprobs");
        glim_jw_raw(&w, logprobs);
    }
    write_usage(&w, &a->usage);
    glim_jw_key(&w, "where");
    glim_jw_str(&w, glim_str_of(where));
    glim_jw_object_end(&w);
    glim_buf_addc(&b, '\n');
    return glim_cli_emit(&b, e);
}
