/* SPDX-License-Identifier: MIT
 * openai_completions.c - /v1/completions: prompts without a template, and their replies.
 * Owns:   the forms of a prompt, echo, and probabilities in columns.
 * Not here: sampling (sampling.c), frames (reply.c).
 * Thread: decode any, pure; replies one at a time.
 * Fails:  INPUT with the path, UNSUPPORTED by name, NOMEM; replies: NOMEM, LIMIT, STATE.
 * See:    tests/unit/api/test_completions.c */
#include "api/reply_priv.h"
#include "api/wire_priv.h"

enum { COMPLETION_TOKENS = 16 };

/* ---- the request ----------------------------------------------------------------------------- */

static const glim_field fields[] = {
    GLIM_WIRE_SHARED_ROWS,
    GLIM_ROW("prompt", JSON, prompt),
    GLIM_ROW("echo", BOOL, echo),
    GLIM_RANGE("logprobs", I64, top_logprobs, 0, 5),
    GLIM_ONLY("suffix", no_text),
    /* There is no template that could heed them. */
    GLIM_IGNORE("thinking"),
    GLIM_IGNORE("chat_template_kwargs"),
    GLIM_IGNORE("reasoning_effort"),
};

static glim_err read_one(glim_arena *a, const glim_api_path *p, const glim_json *v,
                         glim_raw_prompt *out, glim_error *e)
{
    *out = (glim_raw_prompt){.text = {NULL, 0}};
    if (v->type == GLIM_JSON_STRING) {
        out->text = v->text;
        return v->text.n ? GLIM_OK : glim_wire_no_prompt(p, v, e);
    }
    if (v->type != GLIM_JSON_ARRAY)
        return glim_api_wrong_type(p, "a string or a list of token ids", v, e);
    if (v->n_child == 0) return glim_wire_no_prompt(p, v, e);
    return glim_api_ids(a, p, v, &out->ids, &out->n_id, e);
}

/* A string, a list of ids, or a list of either. */
static glim_err read_prompts(glim_arena *a, const glim_json *v, glim_request *out, glim_error *e)
{
    const glim_api_path *p = GLIM_API_KEY(NULL, "prompt");
    if (!v)
        return glim_api_fail(p, GLIM_E_INPUT, NULL, e,
                             "missing; send a string, a list of token ids, or a list of either");
    bool many = v->type == GLIM_JSON_ARRAY && v->child && v->child->type != GLIM_JSON_NUMBER;
    size_t n = many ? v->n_child : 1, i = 0;
    glim_raw_prompt *prompts;
    glim_err rc = glim_wire_prompts(a, p, v, n, out, &prompts, e);
    if (!rc && !many) rc = read_one(a, p, v, &prompts[0], e);
    if (rc) return rc;
    for (const glim_json *x = many ? v->child : NULL; x; x = x->next) {
        rc = read_one(a, GLIM_API_ELEMENT(p, i), x, &prompts[i], e);
        if (!rc && x->type != v->child->type)
            rc = glim_api_fail(GLIM_API_ELEMENT(p, i), GLIM_E_INPUT, x, e,
                               "strings and lists of token ids do not go together");
        if (rc) return rc;
        i++;
    }
    return GLIM_OK;
}

static glim_err read_request(glim_arena *a, const glim_json *root, glim_request *out, glim_error *e)
{
    glim_wire w;
    memset(out, 0, sizeof *out);
    out->raw = true;
    out->chat.think = out->chat.keep_old = GLIM_UNSET;
    glim_wire_init(&w);
    w.top_logprobs = -1;
    glim_err rc = glim_wire_read(a, root, fields, GLIM_COUNT(fields), &w, out, e);
    if (!rc) rc = glim_wire_fill(a, &w, out, e);
    if (!rc) rc = read_prompts(a, w.prompt, out, e);
    if (rc) return rc;
    if (out->gen.n_max < 0) out->gen.n_max = COMPLETION_TOKENS;
    out->echo = w.echo;
    out->logprobs = w.top_logprobs >= 0;
    if (out->echo && out->logprobs)
        return glim_api_fail(GLIM_API_KEY(NULL, "echo"), GLIM_E_UNSUPPORTED, NULL, e,
                             "not supported beside logprobs; leave one of them out");
    if (out->logprobs) out->gen.n_logprob = (int32_t)w.top_logprobs;
    return GLIM_OK;
}

static glim_err decode(glim_arena *a, glim_str body, glim_request *out, glim_problem *p)
{
    return glim_api_decode(a, body, read_request, out, p);
}

/* ---- the reply ------------------------------------------------------------------------------- */

static const glim_reply_style style = {.object = "text_completion",
                                       .chunk_object = "text_completion",
                                       .id_prefix = "cmpl-",
                                       .by_text = true};

static glim_reply *reply_new(const glim_request *rq, const glim_reply_info *info)
{
    return glim_reply_new(&style, rq, info);
}

static size_t count_chars(glim_str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++)
        n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
    return n;
}

enum { LP_TOKENS, LP_NUMBERS, LP_TOPS, LP_OFFSETS };

static void take_logprobs(glim_reply *r, glim_choice *c, glim_str text)
{
    const char *begin, *text_begin = text.p;
    const glim_lp_entry *e;
    if (!r->rq->logprobs) return;
    while ((e = glim_lp_take(&c->queue, false, &text, &begin)) != NULL) {
        size_t at = c->n_char + count_chars((glim_str){text_begin, (size_t)(begin - text_begin)});
        if (at && ((unsigned char)*begin & 0xc0) == 0x80) at--; /* in the middle of a character */
        for (size_t i = 0; i < GLIM_LP_COLUMNS && c->lp[LP_TOKENS].n; i++)
            glim_buf_addc(&c->lp[i], ',');
        glim_buf_addv(&c->lp[LP_TOKENS], glim_lp_json(&c->queue, e));
        glim_buf_addv(&c->lp[LP_NUMBERS], glim_lp_number(&c->queue, e));
        glim_buf_addv(&c->lp[LP_TOPS], glim_lp_top(&c->queue, e));
        glim_buf_addf(&c->lp[LP_OFFSETS], "%zu", at);
    }
}

static void put_logprobs(glim_reply *r, glim_choice *c, bool any, glim_buf *out)
{
    static const char *const names[] = {"tokens", "token_logprobs", "top_logprobs", "text_offset"};
    if (!r->rq->logprobs || !any) {
        glim_buf_adds(out, ",\"logprobs\":null");
        return;
    }
    glim_buf_adds(out, ",\"logprobs\":");
    for (size_t i = 0; i < GLIM_LP_COLUMNS; i++) {
        glim_buf_addf(out, "%c\"%s\":[", i ? ',' : '{', names[i]);
        glim_buf_addv(out, glim_buf_view(&c->lp[i]));
        glim_buf_addc(out, ']');
        glim_buf_cut(&c->lp[i], 0);
    }
    glim_buf_addc(out, '}');
}

/* finish: the choice has ended. */
static void send(glim_reply *r, glim_choice *c, glim_str text, bool finish, glim_buf *out)
{
    glim_reply_chunk(r, (size_t)(c - r->choices), out);
    glim_buf_adds(out, ",\"text\":");
    glim_json_quote(out, text);
    put_logprobs(r, c, !finish && text.n, out);
    glim_reply_finish(r, finish ? c : NULL, out);
    glim_reply_chunk_end(r, finish && r->n_stopped == r->n_choice, out);
}

static void say(glim_reply *r, glim_choice *c, glim_str text, glim_buf *out)
{
    if (text.n == 0) return;
    take_logprobs(r, c, text);
    c->n_char += count_chars(text);
    if (r->rq->stream)
        send(r, c, text, false, out);
    else
        glim_buf_addv(&c->content, text);
}

/* The prompt, where it is wanted, before anything else. */
static void echo(glim_reply *r, glim_choice *c, glim_buf *out)
{
    if (c->begun) return;
    c->begun = true;
    if (!r->rq->echo) return;
    size_t i = (size_t)(c - r->choices) / (size_t)r->rq->n;
    say(r, c, r->info->prompt_texts ? r->info->prompt_texts[i] : r->rq->prompts[i].text, out);
}

static glim_err event(glim_reply *r, size_t i_choice, const glim_event *ev, glim_buf *out)
{
    glim_err rc;
    size_t n_before = out->n;
    glim_choice *c = glim_reply_choice(r, i_choice, ev, &rc);
    if (!c) return rc;
    if (ev->kind == GLIM_EV_LOGPROBS) {
        glim_lp_push(&c->queue, ev, GLIM_LP_BY_TEXT);
        return glim_reply_err(r, c, out);
    }
    echo(r, c, out);
    if (ev->kind == GLIM_EV_STOP) {
        glim_lp_clear(&c->queue);
        glim_reply_stop(r, c, ev);
        if (r->rq->stream) send(r, c, GLIM_STR(""), true, out);
    } else if (ev->kind == GLIM_EV_CONTENT || ev->kind == GLIM_EV_REASONING) {
        say(r, c, ev->text, out); /* raw output is content; nothing may get lost */
    }
    rc = glim_reply_err(r, c, out);
    if (rc) glim_buf_cut(out, n_before);
    return rc;
}

static glim_err end(glim_reply *r, glim_buf *out)
{
    if (r->rq->stream) return glim_reply_done(r, out);
    glim_reply_body(r, out);
    for (size_t i = 0; i < r->n_choice; i++) {
        glim_choice *c = &r->choices[i];
        glim_buf_addf(out, "%s{\"index\":%zu,\"text\":", i ? "," : "", i);
        glim_json_quote(out, glim_buf_view(&c->content));
        put_logprobs(r, c, true, out);
        glim_reply_finish(r, c, out);
        glim_buf_addc(out, '}');
    }
    glim_reply_body_end(r, out);
    return out->err;
}

/* Here the prompt is no list of messages. */
static glim_err problem(const glim_problem *p, glim_str request_id, glim_buf *out)
{
    glim_problem own = *p;
    if (p->kind == GLIM_PROBLEM_CONTEXT && strcmp(p->param, "messages") == 0)
        memcpy(own.param, "prompt", sizeof "prompt");
    return glim_problem_openai(&own, request_id, out);
}

const glim_dialect glim_dialect_openai_completions = {
    .name = "openai_completions",
    .stream_type = GLIM_SSE_TYPE,
    .keepalive = glim_sse_keepalive,
    .decode = decode,
    .reply_new = reply_new,
    .reply_free = glim_reply_free,
    .event = event,
    .end = end,
    .problem = problem,
    .stream_problem = glim_api_stream_problem_openai,
    .status = glim_problem_status,
};
