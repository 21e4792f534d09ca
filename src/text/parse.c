/* SPDX-License-Identifier: MIT
 * parse.c - model output to thought, answer and calls: the outer machine.
 * Owns:   the start states, <think> and </think>, blanks that may fall away, the text events.
 * Not here: what is inside a call (parse_glm_tools.c), the types of values (parse_schema.c).
 * Layout: one byte at a time, and every decision hangs on the bytes alone, so that the cuts of the
 * feed cannot show. Held back are a possible beginning of a tag, blanks, and an open call.
 * Thread: one at a time for a parser; the callback runs inside feed and finish.
 * Fails:  NOMEM, CANCELLED; the parser then stays failed.
 * See:    tests/golden/parser, tests/unit/text/test_parser.c, fuzz/parser.c */
#include "text/parse_priv.h"

/* ---- tags ------------------------------------------------------------------------------------ */

static const glim_str tag_text[N_TAG] = {
    {"<think>", 7},   {"</think>", 8},    {"<tool_call>", 11}, {"</tool_call>", 12},
    {"<arg_key>", 9}, {"</arg_key>", 10}, {"<arg_value>", 11}, {"</arg_value>", 12}};

int glim_tag_next(glim_tag_match *m, unsigned set, char c)
{
    bool going = false;
    for (int i = 0; i < N_TAG; i++) {
        const glim_str *t = &tag_text[i];
        if (!(set >> i & 1) || m->n >= t->n || t->p[m->n] != c || memcmp(t->p, m->text, m->n) != 0)
            continue;
        if (m->n + 1u == t->n) return 1 << i;
        going = true;
    }
    if (!going) return -1;
    m->text[m->n++] = c;
    return 0;
}

bool glim_tag_begins(const glim_tag_match *m, unsigned tag)
{
    for (int i = 0; i < N_TAG; i++) {
        if (tag >> i & 1) return m->n < tag_text[i].n && !memcmp(tag_text[i].p, m->text, m->n);
    }
    return false;
}

/* ---- events ---------------------------------------------------------------------------------- */

glim_err glim_parse_send(glim_parser *p, const glim_event *ev, glim_error *e)
{
    /* Appends are not looked at one by one: what is incomplete must not get out. */
    if (p->out.err || p->blanks.err || p->call.raw.err || p->call.json.err)
        return p->failed = glim_fail(e, GLIM_E_NOMEM, "no memory to parse the output");
    if (!p->fn(p->user, ev))
        return p->failed = glim_fail(e, GLIM_E_CANCELLED, "the reader of the output stopped it");
    return GLIM_OK;
}

static glim_err send_text(glim_parser *p, glim_event_kind kind, glim_error *e)
{
    if (p->out.n == 0 && !p->out.err) return GLIM_OK;
    glim_event ev = {.kind = kind,
                     .text = glim_buf_view(&p->out),
                     .i_call = kind == GLIM_EV_CALL_BROKEN ? p->call.i_call : 0,
                     .in_reasoning = p->reasoning};
    glim_err rc = glim_parse_send(p, &ev, e);
    glim_buf_clear(&p->out);
    return rc;
}

glim_err glim_parse_flush(glim_parser *p, glim_error *e)
{
    return send_text(p, p->reasoning ? GLIM_EV_REASONING : GLIM_EV_CONTENT, e);
}

/* ---- text ------------------------------------------------------------------------------------ */

static void release_blanks(glim_parser *p)
{
    glim_buf_addv(&p->out, glim_buf_view(&p->blanks));
    glim_buf_cut(&p->blanks, 0);
}

/* A byte of the thought or the answer that belongs to no tag. */
static void put_text(glim_parser *p, char c)
{
    if (p->skip_newlines && c == '\n') return;
    p->skip_newlines = p->at_start = false;
    if (!glim_parse_blank(c)) {
        if (p->blanks.n) release_blanks(p);
        glim_buf_addc(&p->out, c);
        return;
    }
    glim_buf_addc(&p->blanks, c);
    /* So many blanks are sent on: better an untrimmed end than memory without bounds. */
    if (p->blanks.n > p->max_bytes) release_blanks(p);
}

static void put_texts(glim_parser *p, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        put_text(p, text[i]);
}

static glim_err end_reasoning(glim_parser *p, glim_error *e)
{
    glim_buf_cut(&p->blanks, 0);
    glim_err rc = glim_parse_flush(p, e);
    p->reasoning = false;
    return rc;
}

/* ---- the machine ----------------------------------------------------------------------------- */

static glim_err step(glim_parser *p, char c, glim_error *e);

static unsigned tags_here(const glim_parser *p)
{
    unsigned set = 0;
    if (p->tools && !p->given_up) set |= TAG_CALL;
    if (p->reasoning || !p->given_up) set |= TAG_THINK_END;
    if (p->reasoning && p->at_start) set |= TAG_THINK;
    return set;
}

static glim_err on_tag(glim_parser *p, int tag, glim_error *e)
{
    glim_err rc = GLIM_OK;
    p->match.n = 0;
    if (tag == TAG_THINK) {
        p->at_start = false; /* one, not any number */
    } else if (tag == TAG_THINK_END) {
        if (p->reasoning) rc = end_reasoning(p, e);
        p->skip_newlines = true;
        p->at_start = false;
    } else {
        rc = glim_call_begin(p, e);
        p->state = GLIM_PARSING_CALL;
    }
    return rc;
}

static glim_err step_text(glim_parser *p, char c, glim_error *e)
{
    if (p->match.n || c == '<') {
        int tag = glim_tag_next(&p->match, tags_here(p), c);
        if (tag > 0) return on_tag(p, tag, e);
        if (tag == 0) return GLIM_OK;
        if (p->match.n) {
            put_texts(p, p->match.text, p->match.n);
            p->match.n = 0;
            if (c == '<') return step_text(p, c, e); /* once: match is empty now */
        }
    }
    put_text(p, c);
    return GLIM_OK;
}

static glim_err step_auto(glim_parser *p, char c, glim_error *e)
{
    if (p->match.n == 0 && glim_parse_blank(c)) return GLIM_OK;
    int tag = glim_tag_next(&p->match, TAG_THINK, c);
    if (tag == 0) return GLIM_OK;
    p->state = GLIM_PARSING_TEXT;
    if (tag > 0) {
        p->match.n = 0;
        p->reasoning = p->skip_newlines = true;
        return GLIM_OK;
    }
    glim_tag_match held = p->match;
    p->match.n = 0;
    for (size_t i = 0; i < held.n; i++) {
        glim_err rc = step_text(p, held.text[i], e);
        if (rc) return rc;
    }
    return step_text(p, c, e);
}

/* What was read as a call is text after all. The machine goes on behind it, at the bytes that the
 * call's match holds. */
static glim_err give_back(glim_parser *p, glim_error *e)
{
    glim_call *call = &p->call;
    glim_tag_match held = call->match;
    glim_err rc = GLIM_OK;
    p->state = GLIM_PARSING_TEXT;
    /* Values may hold anything, calls too: none of it is looked at again. Only where all that
     * followed a call in the thought was swallowed by it may the thought have its end in there. */
    if (call->in_reasoning && p->given_up) {
        for (size_t i = 0; i < call->raw.n && !rc; i++)
            rc = step_text(p, call->raw.p[i], e);
    } else {
        put_texts(p, call->raw.p, call->raw.n);
    }
    if (!rc && call->announced) rc = send_text(p, GLIM_EV_CALL_BROKEN, e);
    for (size_t i = 0; i < held.n && !rc; i++)
        rc = step(p, held.text[i], e);
    return rc;
}

static glim_err step_call(glim_parser *p, char c, glim_error *e)
{
    glim_call_result result;
    glim_err rc = glim_call_byte(p, c, &result, e);
    if (rc || result == GLIM_CALL_GOING) return rc;
    if (result == GLIM_CALL_WHOLE) {
        p->state = GLIM_PARSING_TEXT;
        return GLIM_OK;
    }
    rc = give_back(p, e);
    /* Not deeper than once more: the bytes read again end with the first call they begin. */
    return rc ? rc : step(p, c, e);
}

static glim_err step(glim_parser *p, char c, glim_error *e)
{
    switch (p->state) {
    case GLIM_PARSING_AUTO:
        return step_auto(p, c, e);
    case GLIM_PARSING_CALL:
        return step_call(p, c, e);
    case GLIM_PARSING_TEXT:
        break;
    }
    return step_text(p, c, e);
}

/* ---- the parser ------------------------------------------------------------------------------ */

glim_err glim_parser_new(glim_parse_start start, const glim_tool *tools, size_t n_tool,
                         size_t max_bytes, glim_event_fn fn, void *user, glim_parser **out,
                         glim_error *e)
{
    glim_parser *p = glim_new0(glim_parser);
    glim_err rc = GLIM_OK;
    *out = NULL;
    if (!p) return glim_fail(e, GLIM_E_NOMEM, "no memory for the parser of the output");
    p->state = start == GLIM_PARSE_AUTO ? GLIM_PARSING_AUTO : GLIM_PARSING_TEXT;
    p->reasoning = p->at_start = p->skip_newlines = start == GLIM_PARSE_REASONING;
    p->max_bytes = max_bytes;
    p->fn = fn;
    p->user = user;
    glim_detok_init(&p->utf8);
    /* What these hold is bounded by max_bytes and by one feed. */
    glim_buf_init(&p->in, SIZE_MAX);
    glim_buf_init(&p->out, SIZE_MAX);
    glim_buf_init(&p->blanks, SIZE_MAX);
    glim_buf_init(&p->call.raw, SIZE_MAX);
    glim_buf_init(&p->call.json, SIZE_MAX);
    if (n_tool) {
        rc = glim_toolset_new(tools, n_tool, &p->tools, e);
        if (!rc) {
            p->call.arena = glim_arena_new(SIZE_MAX / 2);
            p->scratch = glim_arena_new(SIZE_MAX / 2);
            if (!p->call.arena || !p->scratch)
                rc = glim_fail(e, GLIM_E_NOMEM, "no memory for the parser of the output");
        }
    }
    if (rc)
        glim_parser_free(p);
    else
        *out = p;
    return rc;
}

void glim_parser_free(glim_parser *p)
{
    if (!p) return;
    glim_toolset_free(p->tools);
    glim_arena_free(p->call.arena);
    glim_arena_free(p->scratch);
    glim_buf_deinit(&p->in);
    glim_buf_deinit(&p->out);
    glim_buf_deinit(&p->blanks);
    glim_buf_deinit(&p->call.raw);
    glim_buf_deinit(&p->call.json);
    glim_free(p);
}

static glim_err refuse(const glim_parser *p, glim_error *e)
{
    if (p->failed) return glim_fail(e, p->failed, "the parser of the output failed before");
    return glim_fail(e, GLIM_E_STATE, "the output has ended already");
}

/* Reads the whole characters that in holds, and sends the text they brought. */
static glim_err read_in(glim_parser *p, glim_error *e)
{
    glim_err rc = GLIM_OK;
    for (size_t i = 0; i < p->in.n && !rc; i++)
        rc = step(p, p->in.p[i], e);
    if (!rc) rc = glim_parse_flush(p, e);
    /* Buffers that failed with nothing to send since would go unnoticed. */
    if (!rc && (p->blanks.err || p->call.raw.err || p->call.json.err))
        rc = glim_fail(e, GLIM_E_NOMEM, "no memory to parse the output");
    if (rc) p->failed = rc;
    return rc;
}

glim_err glim_parser_feed(glim_parser *p, glim_str bytes, glim_error *e)
{
    if (p->failed || p->finished) return refuse(p, e);
    glim_buf_clear(&p->in);
    glim_err rc = glim_detok_push(&p->utf8, bytes, &p->in);
    if (rc) return p->failed = glim_fail(e, rc, "no memory to parse the output");
    return read_in(p, e);
}

glim_err glim_parser_finish(glim_parser *p, glim_error *e)
{
    if (p->failed || p->finished) return refuse(p, e);
    glim_buf_clear(&p->in);
    glim_err rc = glim_detok_finish(&p->utf8, &p->in);
    if (rc) return p->failed = glim_fail(e, rc, "no memory to parse the output");
    rc = read_in(p, e);
    if (rc) return rc;
    if (p->state == GLIM_PARSING_CALL) {
        glim_call_result result;
        rc = glim_call_finish(p, &result, e);
        if (!rc && result == GLIM_CALL_NONE) {
            /* It swallowed all there was: nothing in there may become a call now. */
            if (p->call.step != GLIM_CALL_NAME) p->given_up = true;
            rc = give_back(p, e);
        }
    }
    put_texts(p, p->match.text, p->match.n); /* of a tag that did not come */
    p->match.n = 0;
    if (p->reasoning)
        glim_buf_cut(&p->blanks, 0);
    else
        release_blanks(p);
    glim_buf_clear(&p->in);
    if (!rc) rc = read_in(p, e);
    p->finished = true;
    if (rc) p->failed = rc;
    return rc;
}

bool glim_parser_in_reasoning(const glim_parser *p)
{
    return p->reasoning;
}

size_t glim_parser_n_call(const glim_parser *p)
{
    return p->n_call;
}
