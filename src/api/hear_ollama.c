/* SPDX-License-Identifier: MIT
 * hear_ollama.c - Ollama's answers, lines or whole, to the engine's events.
 * Owns:   their members: message, calls that always come whole, counts and durations.
 * Not here: the order of events (hear.c), requests and the wire's row (ask_ollama.c).
 * Thread: one at a time for an answer.
 * Fails:  FORMAT with the path; REMOTE; CANCELLED; NOMEM.
 * See:    tests/unit/api/test_hear_ollama.c, fuzz/hear.c */
#include "api/ask_priv.h"
#include "api/hear_priv.h"

static glim_err read_call(glim_hear *h, const glim_api_path *p, const glim_json *v, glim_error *e)
{
    glim_hear_piece piece = {
        .index = -1, .fresh = true, .id = GLIM_STR(""), .name = GLIM_STR(""), .args = GLIM_STR("")};
    if (v->type != GLIM_JSON_OBJECT) return glim_api_wrong_type(p, "an object", v, e);
    glim_err rc = glim_api_str(p, v, "id", &piece.id, e);
    const glim_json *f = glim_api_given(v, "function");
    const glim_api_path *at = GLIM_API_KEY(p, "function");
    if (rc) return rc;
    if (!f) return glim_api_fail(at, GLIM_E_FORMAT, v, e, "missing");
    if (f->type != GLIM_JSON_OBJECT) return glim_api_wrong_type(at, "an object", f, e);
    rc = glim_api_str(at, f, "name", &piece.name, e);
    if (!rc && piece.name.n == 0)
        rc = glim_api_fail(GLIM_API_KEY(at, "name"), GLIM_E_FORMAT, f, e, "missing or empty");
    if (!rc) rc = glim_hear_arguments(at, f, &piece.args, e);
    return rc ? rc : glim_hear_call_piece(h, p, v, &piece, e);
}

static glim_err read_message(glim_hear *h, const glim_json *root, glim_error *e)
{
    const glim_api_path *p = GLIM_API_KEY(NULL, "message");
    const glim_json *m = glim_api_given(root, "message");
    glim_str thought = GLIM_STR(""), text = GLIM_STR("");
    size_t i = 0;
    if (m && m->type != GLIM_JSON_OBJECT) return glim_api_wrong_type(p, "an object", m, e);
    glim_err rc = glim_api_str(p, m, "thinking", &thought, e);
    if (!rc) rc = glim_api_str(p, m, "content", &text, e);
    if (!rc)
        rc = glim_hear_logprobs(h, GLIM_API_KEY(NULL, "logprobs"), glim_json_get(root, "logprobs"),
                                thought.n && text.n == 0, e);
    if (!rc) rc = glim_hear_text(h, GLIM_EV_REASONING, thought, e);
    if (!rc) rc = glim_hear_text(h, GLIM_EV_CONTENT, text, e);
    if (rc) return rc;
    const glim_json *calls = glim_api_given(m, "tool_calls");
    p = GLIM_API_KEY(p, "tool_calls");
    if (calls && calls->type != GLIM_JSON_ARRAY) return glim_api_wrong_type(p, "a list", calls, e);
    GLIM_JSON_EACH(x, calls)
    {
        rc = read_call(h, GLIM_API_ELEMENT(p, i), x, e);
        if (rc) return rc;
        i++;
    }
    return GLIM_OK;
}

/* Nanoseconds on the wire. */
static glim_err read_ms(const glim_json *root, const char *key, double *out, glim_error *e)
{
    int64_t ns = 0;
    glim_err rc = glim_hear_count(NULL, root, key, &ns, e);
    *out = (double)ns / 1e6;
    return rc;
}

static glim_err read_done(glim_hear *h, const glim_json *root, glim_error *e)
{
    glim_str why = GLIM_STR("");
    glim_usage *u = &h->usage;
    glim_err rc = glim_api_str(NULL, root, "done_reason", &why, e);
    if (!rc) rc = glim_hear_count(NULL, root, "prompt_eval_count", &u->n_prompt, e);
    if (!rc) rc = glim_hear_count(NULL, root, "eval_count", &u->n_completion, e);
    if (!rc) rc = read_ms(root, "prompt_eval_duration", &u->prompt_ms, e);
    if (!rc) rc = read_ms(root, "eval_duration", &u->completion_ms, e);
    if (rc) return rc;
    h->reason = glim_str_is(why, "length") ? GLIM_STOP_LENGTH : GLIM_STOP_END;
    h->heard = h->finished = h->over = true;
    return GLIM_OK;
}

static glim_err take(glim_hear *h, const glim_json *root, bool whole, glim_remote *remote,
                     glim_error *e)
{
    (void)remote;
    glim_tristate done = GLIM_UNSET;
    if (!glim_api_given(root, "message") && !glim_api_given(root, "done"))
        return glim_api_fail(GLIM_API_KEY(NULL, "message"), GLIM_E_FORMAT, root, e,
                             "missing: this is no answer of a chat");
    glim_err rc = glim_api_bool(NULL, root, "done", &done, e);
    if (!rc && whole && done == GLIM_OFF)
        rc = glim_api_fail(GLIM_API_KEY(NULL, "done"), GLIM_E_FORMAT, root, e,
                           "false, and nothing follows");
    if (!rc) rc = read_message(h, root, e);
    if (rc) return rc;
    h->heard = true;
    return whole || done == GLIM_ON ? read_done(h, root, e) : GLIM_OK;
}

glim_err glim_ollama_hear(glim_hear *h, glim_str json, bool whole, bool *over, glim_remote *remote,
                          glim_error *e)
{
    return glim_hear_take(h, json, whole, take, over, remote, e);
}
