/* SPDX-License-Identifier: MIT
 * ask_openai.c - a chat as OpenAI's relatives and the Zhipu platform want to be asked it; the rows
 * of both wires.
 * Owns:   the members of the body and of its messages, and where the two differ.
 * Not here: what neither can say (ask.c), answers (hear_openai.c), addresses and keys (room
 *           client).
 * Thread: any, pure.
 * Fails:  INPUT by the field's name; NOMEM, LIMIT.
 * See:    tests/unit/api/test_ask_openai.c */
#include "api/ask_priv.h"
#include "api/hear_priv.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

/* ---- messages -------------------------------------------------------------------------------- */

/* Images as data go to the platform bare: its own clients take the head of such an address away. */
static bool put_bare_image(glim_asking *x, const glim_json *part)
{
    const glim_json *image = glim_json_get(part, "image_url"), *url = glim_json_get(image, "url");
    if (x->to != GLIM_TO_ZHIPU || !glim_json_is(url, GLIM_JSON_STRING)) return false;
    size_t n = glim_str_find(url->text, GLIM_STR(";base64,"));
    if (n == SIZE_MAX || !glim_str_starts(url->text, GLIM_STR("data:image/"))) return false;
    glim_jw_object(&x->w);
    GLIM_JSON_EACH(m, part)
    {
        if (m != image) {
            glim_ask_member(x, m);
            continue;
        }
        glim_jw_key(&x->w, "image_url");
        glim_jw_object(&x->w);
        GLIM_JSON_EACH(k, image)
        {
            if (k != url) {
                glim_ask_member(x, k);
                continue;
            }
            glim_jw_key(&x->w, "url");
            glim_jw_str(&x->w, glim_str_sub(url->text, n + 8, url->text.n));
        }
        glim_jw_object_end(&x->w);
    }
    glim_jw_object_end(&x->w);
    return true;
}

static glim_err put_parts(glim_asking *x, const glim_api_path *up, const glim_message *m,
                          glim_error *e)
{
    const glim_api_path *p = GLIM_API_KEY(up, "parts");
    glim_jw_array(&x->w);
    for (size_t i = 0; i < m->n_part; i++) {
        glim_json *v;
        glim_mark mark = glim_arena_mark(x->arena);
        glim_err rc = glim_ask_parse(x, GLIM_API_ELEMENT(p, i), m->parts[i], &v, e);
        if (rc) return rc;
        if (!put_bare_image(x, v)) glim_jw_raw(&x->w, glim_str_trim(m->parts[i], " \t\r\n"));
        glim_arena_rewind(x->arena, mark);
    }
    glim_jw_array_end(&x->w);
    return GLIM_OK;
}

static glim_err put_calls(glim_asking *x, const glim_api_path *up, const glim_message *m,
                          glim_error *e)
{
    const glim_api_path *list = GLIM_API_KEY(up, "calls");
    if (m->n_call == 0) return GLIM_OK;
    glim_jw_key(&x->w, "tool_calls");
    glim_jw_array(&x->w);
    for (size_t i = 0; i < m->n_call; i++) {
        const glim_tool_call *c = &m->calls[i];
        const glim_api_path *p = GLIM_API_ELEMENT(list, i);
        glim_str args;
        glim_err rc = glim_ask_arguments(x, GLIM_API_KEY(p, "arguments"), c->arguments, &args, e);
        if (!rc && c->id.n == 0)
            rc = glim_api_fail(GLIM_API_KEY(p, "id"), GLIM_E_INPUT, NULL, e,
                               "empty; this server ties a result to its call by the id");
        if (rc) return rc;
        glim_jw_object(&x->w);
        glim_jw_key(&x->w, "id");
        rc = glim_ask_text(x, GLIM_API_KEY(p, "id"), c->id, e);
        if (rc) return rc;
        glim_jw_key(&x->w, "type");
        glim_jw_str(&x->w, GLIM_STR("function"));
        glim_jw_key(&x->w, "function");
        glim_jw_object(&x->w);
        glim_jw_key(&x->w, "name");
        rc = glim_ask_text(x, GLIM_API_KEY(p, "name"), c->name, e);
        if (rc) return rc;
        glim_jw_key(&x->w, "arguments");
        glim_jw_str(&x->w, args);
        glim_jw_object_end(&x->w);
        glim_jw_object_end(&x->w);
    }
    glim_jw_array_end(&x->w);
    return GLIM_OK;
}

static glim_err put_content(glim_asking *x, const glim_api_path *p, const glim_message *m,
                            glim_error *e)
{
    bool may = m->role == GLIM_ROLE_USER || m->role == GLIM_ROLE_TOOL;
    if (m->n_part && (!may || m->content.n))
        return glim_api_fail(GLIM_API_KEY(p, "parts"), GLIM_E_INPUT, NULL, e,
                             may ? "given beside content; send one of the two"
                                 : "only messages of the user and of tools have parts");
    glim_jw_key(&x->w, "content");
    if (m->n_part) return put_parts(x, p, m, e);
    if (m->content.n == 0 && m->n_call) { /* as these servers have it themselves */
        glim_jw_null(&x->w);
        return GLIM_OK;
    }
    return glim_ask_text(x, GLIM_API_KEY(p, "content"), m->content, e);
}

static glim_err put_message(glim_asking *x, const glim_api_path *p, const glim_message *m,
                            glim_error *e)
{
    bool tool = m->role == GLIM_ROLE_TOOL;
    if (m->n_call && m->role != GLIM_ROLE_ASSISTANT)
        return glim_api_fail(GLIM_API_KEY(p, "calls"), GLIM_E_INPUT, NULL, e,
                             "only a message of the assistant holds calls");
    if (tool && m->tool_call_id.n == 0)
        return glim_api_fail(GLIM_API_KEY(p, "tool_call_id"), GLIM_E_INPUT, NULL, e,
                             "empty; this server ties a result to its call by the id");
    glim_jw_object(&x->w);
    glim_jw_key(&x->w, "role");
    glim_jw_str(&x->w, glim_str_of(glim_ask_role(m->role)));
    glim_err rc = put_content(x, p, m, e);
    if (!rc && m->role == GLIM_ROLE_ASSISTANT && m->has_reasoning) {
        glim_jw_key(&x->w, "reasoning_content");
        rc = glim_ask_text(x, GLIM_API_KEY(p, "reasoning"), m->reasoning, e);
    }
    if (!rc) rc = put_calls(x, p, m, e);
    if (!rc && tool) {
        glim_jw_key(&x->w, "tool_call_id");
        rc = glim_ask_text(x, GLIM_API_KEY(p, "tool_call_id"), m->tool_call_id, e);
    }
    glim_jw_object_end(&x->w);
    return rc;
}

static glim_err put_messages(glim_asking *x, glim_error *e)
{
    const glim_chat *c = x->ask->chat;
    const glim_api_path *p = GLIM_API_KEY(NULL, "messages");
    glim_ask_key(x, "messages");
    glim_jw_array(&x->w);
    for (size_t i = 0; i < c->n_message; i++) {
        glim_err rc = put_message(x, GLIM_API_ELEMENT(p, i), &c->messages[i], e);
        if (rc) return rc;
    }
    glim_jw_array_end(&x->w);
    return GLIM_OK;
}

/* ---- sampling -------------------------------------------------------------------------------- */

static void put_f32(glim_asking *x, const char *key, float v, bool set)
{
    if (!set) return;
    glim_ask_key(x, key);
    glim_jw_f32(&x->w, v);
}

static void put_i64(glim_asking *x, const char *key, int64_t v, bool set)
{
    if (!set) return;
    glim_ask_key(x, key);
    glim_jw_i64(&x->w, v);
}

static void put_flag(glim_asking *x, const char *key, bool v, bool set)
{
    if (!set) return;
    glim_ask_key(x, key);
    glim_jw_bool(&x->w, v);
}

static void put_lists(glim_asking *x)
{
    const glim_gen_opts *g = &x->gen;
    char id[16];
    if (g->n_stop_id) {
        glim_ask_key(x, "stop_token_ids");
        glim_jw_array(&x->w);
        for (size_t i = 0; i < g->n_stop_id; i++)
            glim_jw_i64(&x->w, g->stop_ids[i]);
        glim_jw_array_end(&x->w);
    }
    if (g->n_bias == 0) return;
    glim_ask_key(x, "logit_bias");
    glim_jw_object(&x->w);
    for (size_t i = 0; i < g->n_bias; i++) {
        snprintf(id, sizeof id, "%" PRId32, g->biases[i].id);
        glim_jw_key(&x->w, id);
        glim_jw_f32(&x->w, g->biases[i].bias);
    }
    glim_jw_object_end(&x->w);
}

/* max_tokens, because every relative knows it; OpenAI's own newest models want the other name,
 * which can be an extra member. A top_k of 0 is off, and the word for that everywhere is -1. */
static glim_err put_sampling(glim_asking *x, glim_error *e)
{
    const glim_gen_opts *g = &x->gen;
    bool zhipu = x->to == GLIM_TO_ZHIPU, greedy = g->temperature == 0;
    put_flag(x, "do_sample", false, zhipu && greedy); /* its temperature may not be 0 */
    put_f32(x, "temperature", g->temperature, !isnan(g->temperature) && !(zhipu && greedy));
    put_f32(x, "top_p", g->top_p, !isnan(g->top_p));
    put_i64(x, "top_k", g->top_k ? g->top_k : -1, g->top_k >= 0);
    put_f32(x, "min_p", g->min_p, !isnan(g->min_p));
    put_f32(x, "presence_penalty", g->presence_penalty, g->presence_penalty != 0);
    put_f32(x, "frequency_penalty", g->frequency_penalty, g->frequency_penalty != 0);
    put_f32(x, "repetition_penalty", g->repetition_penalty, g->repetition_penalty != 1);
    put_i64(x, "seed", (int64_t)g->seed, g->has_seed);
    put_i64(x, "max_tokens", g->n_max, g->n_max != -1);
    put_i64(x, "min_tokens", g->n_min, g->n_min > 0);
    put_flag(x, "ignore_eos", true, g->ignore_eos);
    put_flag(x, "skip_special_tokens", false, g->keep_special);
    put_flag(x, "parallel_tool_calls", false, g->one_call);
    put_flag(x, "logprobs", true, g->n_logprob >= 0);
    put_i64(x, "top_logprobs", g->n_logprob, g->n_logprob > 0);
    put_lists(x);
    if (g->n_stop == 0) return GLIM_OK;
    if (zhipu && g->n_stop > 4)
        return glim_fail(e, GLIM_E_INPUT, "stop: %zu strings; the Zhipu platform takes 4",
                         g->n_stop);
    glim_ask_key(x, "stop");
    return glim_ask_stops(x, e);
}

/* ---- tools and thinking ---------------------------------------------------------------------- */

static glim_err put_function_name(glim_asking *x, glim_str name, glim_error *e)
{
    glim_jw_object(&x->w);
    glim_jw_key(&x->w, "type");
    glim_jw_str(&x->w, GLIM_STR("function"));
    glim_jw_key(&x->w, "function");
    glim_jw_object(&x->w);
    glim_jw_key(&x->w, "name");
    glim_err rc = glim_ask_text(x, GLIM_API_KEY(NULL, "tool_choice"), name, e);
    glim_jw_object_end(&x->w);
    glim_jw_object_end(&x->w);
    return rc;
}

static glim_err put_choice(glim_asking *x, glim_error *e)
{
    const glim_gen_opts *g = &x->gen;
    glim_err rc = GLIM_OK;
    if (!g->call_required) return GLIM_OK;
    if (x->ask->chat->n_tool == 0)
        return glim_fail(e, GLIM_E_INPUT,
                         "tool_choice: a call is asked for, but there are no tools");
    glim_ask_key(x, "tool_choice");
    if (g->n_call_name == 0) {
        glim_jw_str(&x->w, GLIM_STR("required"));
        return GLIM_OK;
    }
    if (g->n_call_name == 1) return put_function_name(x, g->call_names[0], e);
    glim_jw_object(&x->w);
    glim_jw_key(&x->w, "type");
    glim_jw_str(&x->w, GLIM_STR("allowed_tools"));
    glim_jw_key(&x->w, "allowed_tools");
    glim_jw_object(&x->w);
    glim_jw_key(&x->w, "mode");
    glim_jw_str(&x->w, GLIM_STR("required"));
    glim_jw_key(&x->w, "tools");
    glim_jw_array(&x->w);
    for (size_t i = 0; i < g->n_call_name && !rc; i++)
        rc = put_function_name(x, g->call_names[i], e);
    glim_jw_array_end(&x->w);
    glim_jw_object_end(&x->w);
    glim_jw_object_end(&x->w);
    return rc;
}

/* The platform has a member for it; its relatives hand switches to the model's template. */
static void put_thinking(glim_asking *x)
{
    const glim_chat *c = x->ask->chat;
    bool zhipu = x->to == GLIM_TO_ZHIPU, on = c->think == GLIM_ON;
    if (c->think == GLIM_UNSET && c->keep_old == GLIM_UNSET) return;
    glim_ask_key(x, zhipu ? "thinking" : "chat_template_kwargs");
    glim_jw_object(&x->w);
    if (c->think != GLIM_UNSET) {
        glim_jw_key(&x->w, zhipu ? "type" : "enable_thinking");
        if (zhipu)
            glim_jw_str(&x->w, on ? GLIM_STR("enabled") : GLIM_STR("disabled"));
        else
            glim_jw_bool(&x->w, on);
    }
    if (c->keep_old != GLIM_UNSET) {
        glim_jw_key(&x->w, "clear_thinking");
        glim_jw_bool(&x->w, c->keep_old == GLIM_OFF);
    }
    glim_jw_object_end(&x->w);
}

/* ---- the body -------------------------------------------------------------------------------- */

static glim_err put_meta(glim_asking *x, glim_error *e)
{
    glim_json *v;
    const glim_api_path *p = GLIM_API_KEY(NULL, "meta");
    if (x->ask->meta.n == 0) return GLIM_OK;
    glim_err rc = glim_ask_parse(x, p, x->ask->meta, &v, e);
    if (!rc && v->type != GLIM_JSON_OBJECT) rc = glim_api_wrong_type(p, "an object", v, e);
    if (rc) return rc;
    glim_ask_key(x, "meta");
    glim_jw_raw(&x->w, v->text);
    return GLIM_OK;
}

static glim_err put_id(glim_asking *x, const char *key, const char *name, glim_str s, glim_error *e)
{
    if (s.n == 0) return GLIM_OK;
    glim_ask_key(x, key);
    return glim_ask_text(x, GLIM_API_KEY(NULL, name), s, e);
}

/* What the platform would refuse, or worse, pass over: said before anything is sent. */
static glim_err check_zhipu_extra(const glim_asking *x, glim_error *e)
{
    const glim_api_path *p = GLIM_API_KEY(NULL, "extra");
    const glim_json *choice = glim_api_given(x->extra, "tool_choice");
    const glim_json *type = glim_json_path(x->extra, "response_format.type");
    bool is_auto = glim_json_is(choice, GLIM_JSON_STRING) && glim_str_is(choice->text, "auto");
    if (choice && !is_auto)
        return glim_api_fail(GLIM_API_KEY(p, "tool_choice"), GLIM_E_INPUT, choice, e,
                             "the Zhipu platform knows only auto; leave it to the model whether it "
                             "calls");
    if (glim_json_is(type, GLIM_JSON_STRING) && glim_str_is(type->text, "json_schema"))
        return glim_api_fail(GLIM_API_KEY(p, "response_format"), GLIM_E_INPUT, type, e,
                             "the Zhipu platform has no json_schema; use json_object and describe "
                             "the form in a message");
    return GLIM_OK;
}

static void put_form(glim_asking *x)
{
    if (x->ask->json_object) {
        glim_ask_key(x, "response_format");
        glim_jw_object(&x->w);
        glim_jw_key(&x->w, "type");
        glim_jw_str(&x->w, GLIM_STR("json_object"));
        glim_jw_object_end(&x->w);
    }
    put_flag(x, "stream", x->ask->stream, true);
    if (x->ask->stream && x->to == GLIM_TO_OPENAI) { /* the platform sends usage unasked */
        glim_ask_key(x, "stream_options");
        glim_jw_object(&x->w);
        glim_jw_key(&x->w, "include_usage");
        glim_jw_bool(&x->w, true);
        glim_jw_object_end(&x->w);
    }
}

static glim_err write_body(glim_asking *x, glim_error *e)
{
    const glim_ask *a = x->ask;
    bool zhipu = x->to == GLIM_TO_ZHIPU;
    glim_err rc = zhipu ? check_zhipu_extra(x, e) : GLIM_OK;
    if (!rc) rc = put_id(x, "model", "model", a->model, e);
    if (!rc) rc = put_messages(x, e);
    if (!rc) rc = put_sampling(x, e);
    if (!rc) rc = glim_ask_tools(x, false, e);
    if (!rc) rc = put_choice(x, e);
    if (rc) return rc;
    put_thinking(x);
    put_form(x);
    rc = put_meta(x, e);
    if (!rc) rc = put_id(x, zhipu ? "user_id" : "user", "user_id", a->user_id, e);
    /* Elsewhere it is a header's affair. */
    if (!rc && zhipu) rc = put_id(x, "request_id", "request_id", a->request_id, e);
    return rc;
}

/* ---- the rows -------------------------------------------------------------------------------- */

static glim_err ask_openai(const glim_ask *a, glim_buf *out, glim_error *e)
{
    return glim_ask_body(a, GLIM_TO_OPENAI, write_body, out, e);
}

static glim_err ask_zhipu(const glim_ask *a, glim_buf *out, glim_error *e)
{
    return glim_ask_body(a, GLIM_TO_ZHIPU, write_body, out, e);
}

const glim_wire_dialect glim_wire_openai = {.name = "openai",
                                            .ask = ask_openai,
                                            .hear_new = glim_hear_new,
                                            .hear = glim_openai_hear,
                                            .hear_end = glim_hear_end,
                                            .hear_free = glim_hear_free};

const glim_wire_dialect glim_wire_zhipu = {.name = "zhipu",
                                           .ask = ask_zhipu,
                                           .hear_new = glim_hear_new,
                                           .hear = glim_openai_hear,
                                           .hear_end = glim_hear_end,
                                           .hear_free = glim_hear_free};
