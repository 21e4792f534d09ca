/* SPDX-License-Identifier: MIT
 * npu_infer.c - POST /api/npu/infer: one prompt, one text. It is a chat of one question, not a raw
 * prompt.
 * Owns:   its defaults: 2048 tokens, temperature 0.7, no thought. A thought that was asked for
 *         stands beside the result, never in it.
 * Thread: decode any, pure; replies one at a time.
 * Fails:  INPUT with the path, UNSUPPORTED by name, NOMEM; replies: NOMEM, LIMIT, STATE.
 * See:    tests/unit/api/test_legacy.c */
#include "api/reply_priv.h"
#include "api/wire_priv.h"

enum { DEFAULT_TOKENS = 2048 };
#define DEFAULT_TEMPERATURE 0.7f

/* ---- the request ----------------------------------------------------------------------------- */

typedef struct npu_wire {
    glim_wire shared;
    glim_str system;
} npu_wire;

static const glim_field fields[] = {
    GLIM_ROW("prompt", JSON, prompt),
    GLIM_RANGE("max_tokens", I64, max_tokens, 1, GLIM_WIRE_COUNT_MAX),
    GLIM_RANGE("temperature", F32, temperature, 0, 2),
    GLIM_ROW("model", STR, model),
    GLIM_ROW_OF(npu_wire, "system", STR, system),
    GLIM_ROW("thinking", BOOL, enable_thinking),
    GLIM_ONLY("stream", false),
};

static glim_err read_messages(glim_arena *a, const npu_wire *w, const glim_json *root,
                              glim_chat *out, glim_error *e)
{
    const glim_json *prompt = w->shared.prompt;
    const glim_api_path *p = GLIM_API_KEY(NULL, "prompt");
    if (!prompt) return glim_api_fail(p, GLIM_E_INPUT, root, e, "missing");
    if (prompt->type != GLIM_JSON_STRING) return glim_api_wrong_type(p, "a string", prompt, e);
    if (prompt->text.n == 0)
        return glim_api_fail(p, GLIM_E_INPUT, prompt, e, "empty: there is nothing to answer");
    glim_message *m = GLIM_ARENA_ARRAY(a, glim_message, 2);
    if (!m) return glim_api_fail(p, GLIM_E_NOMEM, NULL, e, "no memory for the messages");
    size_t n = 0;
    if (w->system.n) m[n++] = (glim_message){.role = GLIM_ROLE_SYSTEM, .content = w->system};
    m[n++] = (glim_message){.role = GLIM_ROLE_USER, .content = prompt->text};
    out->messages = m;
    out->n_message = n;
    return GLIM_OK;
}

static glim_err read_request(glim_arena *a, const glim_json *root, glim_request *out, glim_error *e)
{
    npu_wire w = {.system = {NULL, 0}};
    memset(out, 0, sizeof *out);
    glim_wire_init(&w.shared);
    w.shared.temperature = DEFAULT_TEMPERATURE;
    w.shared.max_tokens = DEFAULT_TOKENS;
    glim_err rc = glim_wire_read(a, root, fields, GLIM_COUNT(fields), &w.shared, out, e);
    if (!rc) rc = glim_wire_fill(a, &w.shared, out, e);
    if (!rc) rc = read_messages(a, &w, root, &out->chat, e);
    if (rc) return rc;
    out->chat.think = w.shared.enable_thinking ? GLIM_ON : GLIM_OFF;
    out->chat.keep_old = GLIM_UNSET;
    return GLIM_OK;
}

static glim_err decode(glim_arena *a, glim_str body, glim_request *out, glim_problem *p)
{
    return glim_api_decode(a, body, read_request, out, p);
}

/* ---- the reply ------------------------------------------------------------------------------- */

static const glim_reply_style style = {.object = NULL};

static glim_reply *reply_new(const glim_request *rq, const glim_reply_info *info)
{
    return glim_reply_new(&style, rq, info);
}

static glim_err event(glim_reply *r, size_t i_choice, const glim_event *ev, glim_buf *out)
{
    glim_err rc;
    glim_choice *c = glim_reply_choice(r, i_choice, ev, &rc);
    if (!c) return rc;
    bool broken = ev->kind == GLIM_EV_CALL_BROKEN; /* text after all */
    bool thought = ev->kind == GLIM_EV_REASONING || (broken && ev->in_reasoning);
    if (ev->kind == GLIM_EV_STOP)
        glim_reply_stop(r, c, ev);
    else if (thought)
        glim_buf_addv(&c->reasoning, ev->text);
    else if (broken || ev->kind == GLIM_EV_CONTENT)
        glim_buf_addv(&c->content, ev->text);
    return glim_reply_err(r, c, out);
}

static glim_err end(glim_reply *r, glim_buf *out)
{
    const glim_choice *c = &r->choices[0];
    glim_jw w;
    glim_jw_init(&w, out);
    glim_jw_object(&w);
    glim_jw_key(&w, "success");
    glim_jw_bool(&w, true);
    glim_jw_key(&w, "result");
    glim_jw_str(&w, glim_buf_view(&c->content));
    glim_jw_key(&w, "model");
    glim_jw_str(&w, r->info->model);
    if (r->rq->chat.think == GLIM_ON && c->reasoning.n) {
        glim_jw_key(&w, "reasoning");
        glim_jw_str(&w, glim_buf_view(&c->reasoning));
    }
    glim_jw_object_end(&w);
    return out->err;
}

const glim_dialect glim_dialect_npu_infer = {.name = "npu_infer",
                                             .stream_type = GLIM_SSE_TYPE,
                                             .keepalive = glim_sse_keepalive,
                                             .decode = decode,
                                             .reply_new = reply_new,
                                             .reply_free = glim_reply_free,
                                             .event = event,
                                             .end = end,
                                             .problem = glim_problem_npu,
                                             .stream_problem = glim_problem_npu,
                                             .status = glim_problem_status};
