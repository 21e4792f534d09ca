/* SPDX-License-Identifier: MIT
 * ask.c - what asking shares over all wires: the frame of a body, the table of what each wire can
 * say, and JSON that the caller brought.
 * Owns:   that nothing asked for is left out in silence, and that no member is there twice.
 * Not here: what the members are called (ask_openai.c, ask_ollama.c).
 * Thread: any, pure.
 * Fails:  INPUT by the field's name; NOMEM, LIMIT; out then ends where it ended before.
 * See:    tests/unit/api/test_ask_openai.c, test_ask_ollama.c */
#include "api/ask_priv.h"

#include <math.h>

#define TREE_BYTES_MAX ((size_t)1 << 30) /* of JSON that is the caller's own */

const char *glim_ask_role(glim_role r)
{
    static const char *const names[] = {"system", "user", "assistant", "tool"};
    return (size_t)r < GLIM_COUNT(names) ? names[r] : "user";
}

/* ---- what a wire can say --------------------------------------------------------------------- */

static const char *server_name(unsigned to)
{
    return to == GLIM_TO_ZHIPU    ? "the Zhipu platform"
           : to == GLIM_TO_OLLAMA ? "Ollama"
                                  : "an OpenAI-like server";
}

/* What is set and has no member on this wire. Options that only some relatives of OpenAI's have are
 * sent there: those that have none of a name refuse it or are known for what they ignore. */
static glim_err check_options(const glim_asking *x, glim_error *e)
{
    enum { O = GLIM_TO_OPENAI, Z = GLIM_TO_ZHIPU, L = GLIM_TO_OLLAMA };
    const glim_gen_opts *g = &x->gen;
    const glim_ask *a = x->ask;
    const struct {
        const char *name;
        bool set;
        unsigned can;
    } rows[] = {
        {"top_k", g->top_k >= 0, O | L},
        {"min_p", !isnan(g->min_p), O | L},
        {"repetition_penalty", g->repetition_penalty != 1, O | L},
        {"presence_penalty", g->presence_penalty != 0, O | L},
        {"frequency_penalty", g->frequency_penalty != 0, O | L},
        {"logit_bias", g->n_bias > 0, O},
        {"logprobs", g->n_logprob >= 0, O | L},
        {"min_tokens", g->n_min > 0, O},
        {"ignore_eos", g->ignore_eos, O},
        {"stop_token_ids", g->n_stop_id > 0, O},
        {"skip_special_tokens", g->keep_special, O},
        {"parallel_tool_calls", g->one_call, O},
        {"tool_choice", g->call_required, O},
        {"dry_multiplier", g->dry_multiplier != 0, 0},
        {"loop_stop", g->loop_stop == GLIM_ON, 0},
        {"keep_stop", g->keep_stop, 0},
        {"think_budget", g->think_budget >= 0, 0},
        {"no_generation_prompt", a->chat->no_generation_prompt, 0},
        {"meta", a->meta.n > 0, Z},
        {"user_id", a->user_id.n > 0, O | Z},
    };
    for (size_t i = 0; i < GLIM_COUNT(rows); i++) {
        if (!rows[i].set || (rows[i].can & x->to)) continue;
        if (x->to == GLIM_TO_ZHIPU && strcmp(rows[i].name, "tool_choice") == 0)
            return glim_fail(
                e, GLIM_E_INPUT,
                "tool_choice: the Zhipu platform knows only auto; leave it to the model "
                "whether it calls");
        return glim_fail(e, GLIM_E_INPUT,
                         "%s: %s has no such field; leave it unset, or add the field of the server "
                         "at hand to the request's extra members",
                         rows[i].name, server_name(x->to));
    }
    return GLIM_OK;
}

static glim_err check_range(const char *name, float v, double min, double max, glim_error *e)
{
    if (isnan(v) || ((double)v >= min && (double)v <= max)) return GLIM_OK;
    return glim_fail(e, GLIM_E_INPUT, "%s: %g is beyond %g to %g", name, (double)v, min, max);
}

static glim_err check_ranges(const glim_asking *x, glim_error *e)
{
    const glim_gen_opts *g = &x->gen;
    bool zhipu = x->to == GLIM_TO_ZHIPU;
    glim_err rc = check_range("temperature", g->temperature, 0, zhipu ? 1 : 2, e);
    if (!rc) rc = check_range("top_p", g->top_p, zhipu ? 0.01f : 0, 1, e);
    if (!rc) rc = check_range("min_p", g->min_p, 0, 1, e);
    if (!rc) rc = check_range("repetition_penalty", g->repetition_penalty, 0, 10, e);
    if (!rc) rc = check_range("presence_penalty", g->presence_penalty, -2, 2, e);
    if (!rc) rc = check_range("frequency_penalty", g->frequency_penalty, -2, 2, e);
    if (!rc && g->n_max != -1 && g->n_max < 1)
        rc = glim_fail(e, GLIM_E_INPUT, "max_tokens: at least 1, or unset");
    if (!rc && g->n_logprob > 20) rc = glim_fail(e, GLIM_E_INPUT, "top_logprobs: at most 20");
    if (!rc && g->has_seed && g->seed > INT64_MAX)
        rc = glim_fail(e, GLIM_E_INPUT, "seed: larger than other servers take; use one below 2^63");
    if (!rc && x->ask->chat->n_message == 0)
        rc = glim_fail(e, GLIM_E_INPUT, "messages: the list is empty; send at least one message");
    if (!rc && x->ask->model.n == 0 && x->to != GLIM_TO_OPENAI)
        rc = glim_fail(e, GLIM_E_INPUT, "model: missing; %s needs a name", server_name(x->to));
    return rc;
}

/* ---- values ---------------------------------------------------------------------------------- */

void glim_ask_key(glim_asking *x, const char *key)
{
    if (!GLIM_NEVER(x->n_key == GLIM_COUNT(x->keys))) x->keys[x->n_key++] = key;
    glim_jw_key(&x->w, key);
}

glim_err glim_ask_text(glim_asking *x, const glim_api_path *p, glim_str s, glim_error *e)
{
    size_t bad;
    if (!glim_utf8_valid(s, &bad))
        return glim_api_fail(p, GLIM_E_INPUT, NULL, e, "not valid UTF-8 at byte %zu", bad);
    glim_jw_str(&x->w, s);
    return GLIM_OK;
}

glim_err glim_ask_parse(glim_asking *x, const glim_api_path *p, glim_str json, glim_json **v,
                        glim_error *e)
{
    glim_error inner = {0};
    glim_err rc = glim_json_parse(x->arena, json, v, &inner);
    if (!rc) return GLIM_OK;
    return glim_api_fail(p, rc == GLIM_E_LIMIT ? GLIM_E_INPUT : rc, NULL, e, "the JSON here: %s",
                         inner.msg);
}

static glim_err parse_object(glim_asking *x, const glim_api_path *p, glim_str json, glim_json **v,
                             glim_error *e)
{
    glim_err rc = glim_ask_parse(x, p, json, v, e);
    if (rc || (*v)->type == GLIM_JSON_OBJECT) return rc;
    return glim_api_wrong_type(p, "an object", *v, e);
}

glim_err glim_ask_arguments(glim_asking *x, const glim_api_path *p, glim_str in, glim_str *out,
                            glim_error *e)
{
    glim_json *v;
    *out = glim_str_trim(in, " \t\r\n");
    if (out->n == 0) {
        *out = GLIM_STR("{}");
        return GLIM_OK;
    }
    glim_mark mark = glim_arena_mark(x->arena);
    glim_err rc = parse_object(x, p, *out, &v, e);
    glim_arena_rewind(x->arena, mark);
    return rc;
}

static glim_err put_tool(glim_asking *x, const glim_api_path *p, glim_str json, bool functions_only,
                         glim_error *e)
{
    glim_json *v;
    glim_str type = GLIM_STR("function");
    glim_err rc = parse_object(x, p, json, &v, e);
    if (!rc) rc = glim_api_str(p, v, "type", &type, e);
    if (rc) return rc;
    bool bare =
        !glim_json_get(v, "type") && !glim_json_get(v, "function") && glim_json_get(v, "name");
    if (functions_only && !glim_str_is(type, "function"))
        return glim_api_fail(p, GLIM_E_INPUT, v, e, "%s has no tools of type %s; send functions",
                             server_name(x->to), GLIM_QUOTE(type));
    if (bare) {
        glim_jw_object(&x->w);
        glim_jw_key(&x->w, "type");
        glim_jw_str(&x->w, type);
        glim_jw_key(&x->w, "function");
    }
    glim_jw_raw(&x->w, v->text);
    if (bare) glim_jw_object_end(&x->w);
    return GLIM_OK;
}

glim_err glim_ask_tools(glim_asking *x, bool functions_only, glim_error *e)
{
    const glim_chat *c = x->ask->chat;
    const glim_api_path *p = GLIM_API_KEY(NULL, "tools");
    if (c->n_tool == 0) return GLIM_OK;
    glim_ask_key(x, "tools");
    glim_jw_array(&x->w);
    for (size_t i = 0; i < c->n_tool; i++) {
        glim_mark mark = glim_arena_mark(x->arena);
        glim_err rc = put_tool(x, GLIM_API_ELEMENT(p, i), c->tools[i].json, functions_only, e);
        if (rc) return rc;
        glim_arena_rewind(x->arena, mark);
    }
    glim_jw_array_end(&x->w);
    return GLIM_OK;
}

glim_err glim_ask_stops(glim_asking *x, glim_error *e)
{
    const glim_gen_opts *g = &x->gen;
    const glim_api_path *p = GLIM_API_KEY(NULL, "stop");
    glim_jw_array(&x->w);
    for (size_t i = 0; i < g->n_stop; i++) {
        const glim_api_path *at = GLIM_API_ELEMENT(p, i);
        if (g->stops[i].n == 0)
            return glim_api_fail(at, GLIM_E_INPUT, NULL, e, "empty: it would stop everything");
        glim_err rc = glim_ask_text(x, at, g->stops[i], e);
        if (rc) return rc;
    }
    glim_jw_array_end(&x->w);
    return GLIM_OK;
}

/* ---- the caller's own members ---------------------------------------------------------------- */

glim_err glim_ask_taken(const glim_api_path *p, const glim_json *member, glim_error *e)
{
    return glim_api_fail(
        p, GLIM_E_INPUT, member, e,
        "%s is set already by the request itself; set it there, or leave it out here",
        GLIM_QUOTE(member->key));
}

void glim_ask_member(glim_asking *x, const glim_json *m)
{
    glim_jw_keyv(&x->w, m->key);
    switch (m->type) {
    case GLIM_JSON_NULL:
        glim_jw_null(&x->w);
        break;
    case GLIM_JSON_FALSE:
    case GLIM_JSON_TRUE:
        glim_jw_bool(&x->w, m->type == GLIM_JSON_TRUE);
        break;
    case GLIM_JSON_STRING:
        glim_jw_str(&x->w, m->text);
        break;
    case GLIM_JSON_NUMBER:
    case GLIM_JSON_ARRAY:
    case GLIM_JSON_OBJECT:
        glim_jw_raw(&x->w, m->text);
        break;
    }
}

static glim_err put_extra(glim_asking *x, glim_error *e)
{
    const glim_api_path *p = GLIM_API_KEY(NULL, "extra");
    GLIM_JSON_EACH(m, x->extra)
    {
        int64_t n;
        /* Events have no room for a second answer. */
        if (glim_str_is(m->key, "n") && m->type != GLIM_JSON_NULL &&
            !(glim_json_i64(m, &n) && n == 1))
            return glim_api_fail(GLIM_API_KEY(p, "n"), GLIM_E_INPUT, m, e,
                                 "only 1: a call brings one answer; make several calls");
        bool merged = x->to == GLIM_TO_OLLAMA && glim_str_is(m->key, "options");
        for (size_t i = 0; i < x->n_key && !merged; i++)
            if (glim_str_is(m->key, x->keys[i])) return glim_ask_taken(p, m, e);
        if (merged) continue; /* its members are among those of options */
        glim_ask_member(x, m);
    }
    return GLIM_OK;
}

/* ---- the frame ------------------------------------------------------------------------------- */

static glim_err write_body(glim_asking *x, glim_ask_fn write, glim_error *e)
{
    const glim_ask *a = x->ask;
    glim_err rc = check_options(x, e);
    if (!rc) rc = check_ranges(x, e);
    if (!rc && a->extra.n)
        rc = parse_object(x, GLIM_API_KEY(NULL, "extra"), a->extra, &x->extra, e);
    if (rc) return rc;
    glim_jw_object(&x->w);
    rc = write(x, e);
    if (!rc) rc = put_extra(x, e);
    glim_jw_object_end(&x->w);
    return rc;
}

glim_err glim_ask_body(const glim_ask *a, unsigned to, glim_ask_fn write, glim_buf *out,
                       glim_error *e)
{
    size_t n_before = out->n;
    glim_asking x = {.ask = a, .to = to};
    if (a->gen)
        x.gen = *a->gen;
    else
        glim_gen_opts_init(&x.gen);
    x.arena = glim_arena_new(TREE_BYTES_MAX);
    if (!x.arena) return glim_fail(e, GLIM_E_NOMEM, "no memory for the request");
    glim_jw_init(&x.w, out);
    glim_err rc = write_body(&x, write, e);
    glim_arena_free(x.arena);
    if (!rc && out->err)
        rc = glim_fail(e, out->err,
                       out->err == GLIM_E_LIMIT ? "the request is larger than it may be; send less"
                                                : "no memory for the request");
    if (rc) glim_buf_cut(out, n_before);
    return rc;
}
