/* SPDX-License-Identifier: MIT
 * hear_openai.c - answers of OpenAI's family and of the Zhipu platform, chunks or whole, to the
 * engine's events.
 * Owns:   their members: choices, deltas and messages, thoughts under both names, reasons, usage
 *         wherever it comes.
 * Not here: the order of events and calls in pieces (hear.c), requests and the wires' rows
 *           (ask_openai.c).
 * Thread: one at a time for an answer.
 * Fails:  FORMAT with the path; REMOTE, also where the reason is a failure (a filter, the server's
 *         network); CANCELLED; NOMEM.
 * See:    tests/unit/api/test_hear_openai.c, fuzz/hear.c */
#include "api/ask_priv.h"
#include "api/hear_priv.h"

/* ---- calls ----------------------------------------------------------------------------------- */

static glim_err read_call(glim_hear *h, const glim_api_path *p, const glim_json *v, bool whole,
                          glim_error *e)
{
    glim_hear_piece piece = {.index = -1,
                             .fresh = whole,
                             .id = GLIM_STR(""),
                             .name = GLIM_STR(""),
                             .args = GLIM_STR("")};
    if (v->type != GLIM_JSON_OBJECT) return glim_api_wrong_type(p, "an object", v, e);
    glim_err rc = glim_hear_count(p, v, "index", &piece.index, e);
    if (!rc) rc = glim_api_str(p, v, "id", &piece.id, e);
    const glim_json *f = glim_api_given(v, "function");
    const glim_api_path *at = GLIM_API_KEY(p, "function");
    if (!rc && f && f->type != GLIM_JSON_OBJECT) rc = glim_api_wrong_type(at, "an object", f, e);
    if (!rc) rc = glim_api_str(at, f, "name", &piece.name, e);
    if (!rc) rc = glim_hear_arguments(at, f, &piece.args, e);
    return rc ? rc : glim_hear_call_piece(h, p, v, &piece, e);
}

static glim_err read_calls(glim_hear *h, const glim_api_path *p, const glim_json *list, bool whole,
                           glim_error *e)
{
    size_t i = 0;
    if (!list) return GLIM_OK;
    if (list->type != GLIM_JSON_ARRAY) return glim_api_wrong_type(p, "a list", list, e);
    GLIM_JSON_EACH(x, list)
    {
        glim_err rc = read_call(h, GLIM_API_ELEMENT(p, i), x, whole, e);
        if (rc) return rc;
        i++;
    }
    return GLIM_OK;
}

/* The one call of servers from before there were several. */
static glim_err read_old_call(glim_hear *h, const glim_api_path *p, const glim_json *f,
                              glim_error *e)
{
    glim_hear_piece piece = {
        .index = 0, .id = GLIM_STR(""), .name = GLIM_STR(""), .args = GLIM_STR("")};
    if (!f) return GLIM_OK;
    if (f->type != GLIM_JSON_OBJECT) return glim_api_wrong_type(p, "an object", f, e);
    glim_err rc = glim_api_str(p, f, "name", &piece.name, e);
    if (!rc) rc = glim_hear_arguments(p, f, &piece.args, e);
    if (rc || piece.name.n + piece.args.n == 0) return rc;
    return glim_hear_call_piece(h, p, f, &piece, e);
}

/* ---- text ------------------------------------------------------------------------------------ */

/* m: a delta or a message. A thought stands under one of two names; where both are given they say
 * the same. */
static glim_err read_message(glim_hear *h, const glim_api_path *p, const glim_json *m,
                             const glim_json *logprobs, bool whole, glim_error *e)
{
    glim_str thought = GLIM_STR(""), text = GLIM_STR(""), refusal = GLIM_STR("");
    const glim_api_path *lp = GLIM_API_KEY(p->up, "logprobs");
    if (logprobs && logprobs->type != GLIM_JSON_OBJECT)
        return glim_api_wrong_type(lp, "an object", logprobs, e);
    if (m && m->type != GLIM_JSON_OBJECT) return glim_api_wrong_type(p, "an object", m, e);
    glim_err rc = glim_api_str(p, m, "reasoning_content", &thought, e);
    if (!rc && thought.n == 0) rc = glim_api_str(p, m, "reasoning", &thought, e);
    if (!rc) rc = glim_api_str(p, m, "content", &text, e);
    if (!rc) rc = glim_api_str(p, m, "refusal", &refusal, e);
    if (!rc)
        rc = glim_hear_logprobs(h, GLIM_API_KEY(lp, "reasoning_content"),
                                glim_json_get(logprobs, "reasoning_content"), true, e);
    if (!rc) rc = glim_hear_text(h, GLIM_EV_REASONING, thought, e);
    if (!rc)
        rc = glim_hear_logprobs(h, GLIM_API_KEY(lp, "content"), glim_json_get(logprobs, "content"),
                                thought.n && text.n == 0, e);
    if (!rc) rc = glim_hear_text(h, GLIM_EV_CONTENT, text, e);
    if (!rc) rc = glim_hear_text(h, GLIM_EV_CONTENT, refusal, e);
    if (!rc)
        rc =
            read_calls(h, GLIM_API_KEY(p, "tool_calls"), glim_api_given(m, "tool_calls"), whole, e);
    if (!rc && !glim_api_given(m, "tool_calls"))
        rc = read_old_call(h, GLIM_API_KEY(p, "function_call"), glim_api_given(m, "function_call"),
                           e);
    return rc;
}

/* ---- usage ----------------------------------------------------------------------------------- */

static glim_err read_detail(const glim_api_path *p, const glim_json *usage, const char *key,
                            const char *count, int64_t *out, glim_error *e)
{
    const glim_json *v = glim_api_given(usage, key);
    p = GLIM_API_KEY(p, key);
    if (v && v->type != GLIM_JSON_OBJECT) return glim_api_wrong_type(p, "an object", v, e);
    return glim_hear_count(p, v, count, out, e);
}

/* Each replaces the one before: they count the answer so far. */
static glim_err read_usage(glim_hear *h, const glim_api_path *p, const glim_json *v, glim_error *e)
{
    glim_usage u = h->usage;
    if (!v) return GLIM_OK;
    if (v->type != GLIM_JSON_OBJECT) return glim_api_wrong_type(p, "an object", v, e);
    glim_err rc = glim_hear_count(p, v, "prompt_tokens", &u.n_prompt, e);
    if (!rc) rc = glim_hear_count(p, v, "completion_tokens", &u.n_completion, e);
    if (!rc) rc = glim_hear_count(p, v, "reasoning_tokens", &u.n_reasoning, e);
    if (!rc) rc = read_detail(p, v, "prompt_tokens_details", "cached_tokens", &u.n_cached, e);
    if (!rc)
        rc = read_detail(p, v, "completion_tokens_details", "reasoning_tokens", &u.n_reasoning, e);
    if (!rc) h->usage = u;
    return rc;
}

/* ---- the end --------------------------------------------------------------------------------- */

typedef struct reason_row {
    const char *name;
    glim_stop_reason reason; /* NONE: a failure */
    const char *text;        /* of a failure */
} reason_row;

static const reason_row reasons[] = {
    {"stop", GLIM_STOP_END, NULL},
    {"tool_calls", GLIM_STOP_END, NULL},
    {"function_call", GLIM_STOP_END, NULL},
    {"length", GLIM_STOP_LENGTH, NULL},
    {"max_tokens", GLIM_STOP_LENGTH, NULL},
    {"model_context_window_exceeded", GLIM_STOP_CONTEXT, NULL},
    {"sensitive", GLIM_STOP_NONE, "its content filter ended the answer"},
    {"content_filter", GLIM_STOP_NONE, "its content filter ended the answer"},
    {"network_error", GLIM_STOP_NONE, "its network failed in the middle of the answer"},
    {"abort", GLIM_STOP_NONE, "it gave the answer up"},
    {"error", GLIM_STOP_NONE, "it failed in the middle of the answer"},
};

/* What ended the answer, where the server says it: one of the stop strings, or a token's text.
 * Numbers are tokens. */
static glim_err read_matched(glim_hear *h, const glim_json *choice, glim_error *e)
{
    static const char *const keys[] = {"matched_stop", "stop_reason"};
    const glim_gen_opts *g = h->ask->gen;
    for (size_t i = 0; i < GLIM_COUNT(keys); i++) {
        const glim_json *v = glim_json_get(choice, keys[i]);
        if (!glim_json_is(v, GLIM_JSON_STRING) || v->text.n == 0) continue;
        if (h->reason == GLIM_STOP_LENGTH && glim_str_is(v->text, "loop"))
            h->reason = GLIM_STOP_LOOP;
        if (h->reason != GLIM_STOP_END || h->stop_text.n) continue;
        for (size_t k = 0; g && k < g->n_stop; k++)
            if (glim_str_eq(g->stops[k], v->text)) h->reason = GLIM_STOP_STRING;
        if (glim_buf_addv(&h->stop_text, v->text))
            return glim_fail(e, h->stop_text.err, "no memory for the answer");
    }
    return GLIM_OK;
}

static glim_err read_finish(glim_hear *h, const glim_api_path *up, const glim_json *choice,
                            glim_remote *remote, glim_error *e)
{
    glim_str name = GLIM_STR("");
    glim_err rc = glim_api_str(up, choice, "finish_reason", &name, e);
    if (rc || name.n == 0) return rc;
    h->finished = h->heard = true;
    h->reason = GLIM_STOP_END;
    size_t i = 0;
    while (i < GLIM_COUNT(reasons) && !glim_str_is(name, reasons[i].name))
        i++;
    if (i == GLIM_COUNT(reasons)) { /* it ended, whatever they call it */
        GLIM_DEBUG("api", "unknown_finish", "reason=%s", GLIM_QUOTE(name));
        return read_matched(h, choice, e);
    }
    if (reasons[i].reason == GLIM_STOP_NONE) {
        glim_remote_text(remote->code, sizeof remote->code, name);
        glim_remote_text(remote->message, sizeof remote->message, glim_str_of(reasons[i].text));
        return glim_hear_remote(remote, e);
    }
    h->reason = reasons[i].reason;
    return read_matched(h, choice, e);
}

/* ---- choices --------------------------------------------------------------------------------- */

static glim_err read_choice(glim_hear *h, const glim_api_path *p, const glim_json *c, bool whole,
                            glim_remote *remote, glim_error *e)
{
    int64_t index = 0;
    const char *key = whole ? "message" : "delta";
    if (c->type != GLIM_JSON_OBJECT) return glim_api_wrong_type(p, "an object", c, e);
    glim_err rc = glim_hear_count(p, c, "index", &index, e);
    if (!rc && index != 0)
        rc = glim_api_fail(GLIM_API_KEY(p, "index"), GLIM_E_FORMAT, c, e,
                           "a second answer, where one was asked for");
    const glim_json *m = glim_api_given(c, key);
    if (!rc && whole && !m)
        rc = glim_api_fail(GLIM_API_KEY(p, key), GLIM_E_FORMAT, c, e, "missing");
    if (!rc) rc = read_message(h, GLIM_API_KEY(p, key), m, glim_api_given(c, "logprobs"), whole, e);
    if (!rc) rc = read_usage(h, GLIM_API_KEY(p, "usage"), glim_api_given(c, "usage"), e);
    if (rc) return rc;
    h->heard = h->heard || m;
    return read_finish(h, p, c, remote, e);
}

static glim_err take(glim_hear *h, const glim_json *root, bool whole, glim_remote *remote,
                     glim_error *e)
{
    const glim_json *list = glim_api_given(root, "choices");
    const glim_api_path *p = GLIM_API_KEY(NULL, "choices");
    size_t i = 0;
    if (list && list->type != GLIM_JSON_ARRAY) return glim_api_wrong_type(p, "a list", list, e);
    if (whole && (!list || list->n_child == 0))
        return glim_api_fail(p, GLIM_E_FORMAT, root, e, "missing or empty: it holds no answer");
    /* Before the choices: a reason that is a failure ends the reading. */
    glim_err rc = read_usage(h, GLIM_API_KEY(NULL, "usage"), glim_api_given(root, "usage"), e);
    if (rc) return rc;
    GLIM_JSON_EACH(c, list)
    {
        rc = read_choice(h, GLIM_API_ELEMENT(p, i), c, whole, remote, e);
        if (rc) return rc;
        i++;
    }
    h->finished = h->finished || whole;
    return GLIM_OK;
}

glim_err glim_openai_hear(glim_hear *h, glim_str json, bool whole, bool *over, glim_remote *remote,
                          glim_error *e)
{
    bool done = !whole && glim_str_starts(glim_str_trim(json, " \t"), GLIM_STR("[DONE]"));
    if (done && !h->err && !h->over) {
        memset(remote, 0, sizeof *remote);
        *over = h->over = h->finished = true;
        return GLIM_OK;
    }
    return glim_hear_take(h, json, whole, take, over, remote, e);
}
