/* SPDX-License-Identifier: MIT
 * hear.c - what hearing shares over all wires: from pieces of an answer to the engine's events.
 * Owns:   the order of events: text as it comes, calls one after the other, STOP last; which
 *         arguments are whole.
 * Not here: the members of any wire (hear_openai.c, hear_ollama.c), frames (frames.c), what a
 *           report of failure looks like (remote.c).
 * Layout: of calls that come interleaved the first is told at once and the others wait, for readers
 *         of events know one call at a time. A call ends when something else begins behind its
 *         closed braces, or at the end: a server may yet add to what looks whole.
 * Thread: one at a time for an answer.
 * Fails:  FORMAT with the path, REMOTE, CANCELLED, NOMEM; what failed stays failed.
 * See:    tests/unit/api/test_hear_openai.c, test_hear_ollama.c, fuzz/hear.c */
#include "api/hear_priv.h"

#define CALL_MAX 1024
#define ARG_BYTES_MAX ((size_t)64 << 20) /* of all calls of an answer */
#define TREE_BYTES_MAX ((size_t)1 << 30) /* of one piece, whose bytes its source has limited */

static glim_err no_memory(glim_error *e)
{
    return glim_fail(e, GLIM_E_NOMEM, "no memory for the answer");
}

/* ---- memory ---------------------------------------------------------------------------------- */

glim_hear *glim_hear_new(const glim_ask *a, glim_event_fn fn, void *user)
{
    glim_hear *h = glim_new0(glim_hear);
    if (!h) return NULL;
    h->ask = a;
    h->fn = fn;
    h->user = user;
    glim_buf_init(&h->stop_text, ARG_BYTES_MAX);
    h->arena = glim_arena_new(TREE_BYTES_MAX);
    if (h->arena) return h;
    glim_hear_free(h);
    return NULL;
}

void glim_hear_free(glim_hear *h)
{
    if (!h) return;
    for (size_t i = 0; i < h->n_call; i++) {
        glim_buf_deinit(&h->calls[i].id);
        glim_buf_deinit(&h->calls[i].name);
        glim_buf_deinit(&h->calls[i].args);
    }
    glim_free(h->calls);
    glim_buf_deinit(&h->stop_text);
    glim_arena_free(h->arena);
    glim_free(h);
}

/* ---- events ---------------------------------------------------------------------------------- */

static glim_err emit(glim_hear *h, const glim_event *ev, glim_error *e)
{
    h->heard = true;
    if (h->fn(h->user, ev)) return GLIM_OK;
    return glim_fail(e, GLIM_E_CANCELLED, "the answer was cancelled by its reader");
}

static glim_err begin_call(glim_hear *h, size_t i, glim_error *e)
{
    glim_hear_call *c = &h->calls[i];
    c->begun = true;
    return emit(h,
                &(glim_event){.kind = GLIM_EV_CALL_BEGIN,
                              .i_call = i,
                              .id = glim_buf_view(&c->id),
                              .name = glim_buf_view(&c->name)},
                e);
}

/* The object that args hold; one that is none was announced and never closed. */
static glim_err end_call(glim_hear *h, size_t i, glim_error *e)
{
    glim_hear_call *c = &h->calls[i];
    glim_str args = glim_str_trim(glim_buf_view(&c->args), " \t\r\n");
    glim_event ev = {.kind = GLIM_EV_CALL_END, .i_call = i, .text = args};
    glim_json *v = NULL;
    glim_err rc = GLIM_OK;
    c->ended = true;
    if (args.n == 0) {
        ev.text = GLIM_STR("{}");
    } else {
        glim_mark mark = glim_arena_mark(h->arena);
        rc = glim_json_parse(h->arena, args, &v, NULL);
        if (rc == GLIM_E_NOMEM) return no_memory(e);
        if (rc || v->type != GLIM_JSON_OBJECT) {
            ev.kind = GLIM_EV_CALL_BROKEN;
            ev.text = glim_buf_view(&c->args);
        }
        glim_arena_rewind(h->arena, mark);
    }
    rc = emit(h, &ev, e);
    glim_buf_deinit(&c->args); /* an ended call takes no more */
    return rc;
}

/* Tells of calls in their order as far as can be: of the first that is open its beginning, of whole
 * ones the end. all: whatever their state. */
static glim_err advance(glim_hear *h, bool all, glim_error *e)
{
    while (h->i_open < h->n_call) {
        glim_hear_call *c = &h->calls[h->i_open];
        glim_err rc = GLIM_OK;
        if (!c->begun && c->name.n == 0) {
            if (!all) return GLIM_OK;
            return glim_fail(e, GLIM_E_FORMAT, "the answer's tool call %zu names no function",
                             h->i_open);
        }
        if (!c->begun) rc = begin_call(h, h->i_open, e);
        if (rc || !(all || c->whole)) return rc;
        rc = end_call(h, h->i_open, e);
        if (rc) return rc;
        h->i_open++;
    }
    return GLIM_OK;
}

glim_err glim_hear_text(glim_hear *h, glim_event_kind kind, glim_str text, glim_error *e)
{
    if (text.n == 0) return GLIM_OK;
    glim_err rc = advance(h, false, e);
    if (rc) return rc;
    return emit(h, &(glim_event){.kind = kind, .text = text}, e);
}

/* ---- calls in pieces ------------------------------------------------------------------------- */

static void scan(glim_hear_call *c, glim_str s)
{
    for (size_t i = 0; i < s.n && !c->whole; i++) {
        char b = s.p[i];
        if (c->in_string) {
            c->in_string = c->escaped || b != '"';
            c->escaped = !c->escaped && b == '\\';
        } else if (b == '"') {
            c->in_string = true;
        } else if (b == '{' || b == '[') {
            c->depth++;
        } else if ((b == '}' || b == ']') && c->depth && --c->depth == 0) {
            c->whole = true;
        }
    }
}

/* The call that a piece belongs to; n_call: a new one. Some servers give every call the same index,
 * or none: then an id that differs, or a name, tells them apart. */
static size_t find_call(const glim_hear *h, const glim_hear_piece *piece)
{
    for (size_t i = h->n_call; i-- > 0 && !piece->fresh;) {
        const glim_hear_call *c = &h->calls[i];
        bool same_id = glim_str_eq(glim_buf_view(&c->id), piece->id);
        if (piece->index >= 0) {
            bool other = piece->id.n && c->id.n && !same_id;
            if (c->index != piece->index) continue;
            return other && piece->name.n ? h->n_call : i;
        }
        if (piece->id.n ? same_id : piece->name.n == 0) return i;
    }
    return h->n_call;
}

static glim_err new_call(glim_hear *h, const glim_api_path *p, const glim_json *v,
                         const glim_hear_piece *piece, glim_error *e)
{
    if (h->n_call == CALL_MAX)
        return glim_api_fail(p, GLIM_E_FORMAT, v, e, "more than %d calls in one answer", CALL_MAX);
    if (h->n_call == h->cap_call) {
        size_t cap = h->cap_call ? h->cap_call * 2 : 4;
        glim_hear_call *calls = glim_realloc(h->calls, cap * sizeof *calls);
        if (!calls) return no_memory(e);
        h->calls = calls;
        h->cap_call = cap;
    }
    glim_hear_call *c = &h->calls[h->n_call++];
    *c = (glim_hear_call){.index = piece->index};
    glim_buf_init(&c->id, ARG_BYTES_MAX);
    glim_buf_init(&c->name, ARG_BYTES_MAX);
    glim_buf_init(&c->args, ARG_BYTES_MAX);
    return GLIM_OK;
}

glim_err glim_hear_call_piece(glim_hear *h, const glim_api_path *p, const glim_json *v,
                              const glim_hear_piece *piece, glim_error *e)
{
    size_t i = find_call(h, piece);
    glim_err rc = i == h->n_call ? new_call(h, p, v, piece, e) : GLIM_OK;
    if (rc) return rc;
    glim_hear_call *c = &h->calls[i];
    if (c->ended) {
        if (glim_str_trim(piece->args, " \t\r\n").n == 0) return GLIM_OK;
        return glim_api_fail(p, GLIM_E_FORMAT, v, e, "more arguments for a call that was complete");
    }
    /* Once each: what comes again is the same again. A call that is told of keeps what was told. */
    if (!c->begun && c->id.n == 0) glim_buf_addv(&c->id, piece->id);
    if (!c->begun && c->name.n == 0) glim_buf_addv(&c->name, piece->name);
    h->n_arg_bytes += piece->args.n;
    if (h->n_arg_bytes > ARG_BYTES_MAX)
        return glim_api_fail(p, GLIM_E_FORMAT, v, e, "the answer's calls are larger than %zu bytes",
                             ARG_BYTES_MAX);
    glim_buf_addv(&c->args, piece->args);
    if (c->id.err || c->name.err || c->args.err) return no_memory(e);
    h->heard = true;
    scan(c, piece->args);
    if (i == h->i_open) return c->begun || c->name.n == 0 ? GLIM_OK : begin_call(h, i, e);
    return advance(h, false, e);
}

glim_err glim_hear_arguments(const glim_api_path *p, const glim_json *function, glim_str *out,
                             glim_error *e)
{
    const glim_json *v = glim_api_given(function, "arguments");
    if (!v) return GLIM_OK;
    if (v->type != GLIM_JSON_STRING && v->type != GLIM_JSON_OBJECT)
        return glim_api_wrong_type(GLIM_API_KEY(p, "arguments"), "a JSON object or the text of one",
                                   v, e);
    *out = v->text;
    return GLIM_OK;
}

/* ---- probabilities --------------------------------------------------------------------------- */

/* The token's own bytes where they are given: its text is not always whole characters. */
static glim_err read_bytes(glim_hear *h, const glim_api_path *p, const glim_json *list,
                           glim_str *out, glim_error *e)
{
    size_t n = 0;
    if (list->type != GLIM_JSON_ARRAY) return glim_api_wrong_type(p, "a list of bytes", list, e);
    char *bytes = glim_arena_alloc(h->arena, list->n_child + 1);
    if (!bytes) return no_memory(e);
    GLIM_JSON_EACH(x, list)
    {
        int64_t b;
        if (!glim_json_i64(x, &b) || b < 0 || b > 255)
            return glim_api_fail(GLIM_API_ELEMENT(p, n), GLIM_E_FORMAT, x, e, "no byte");
        bytes[n++] = (char)(unsigned char)b;
    }
    *out = (glim_str){bytes, n};
    return GLIM_OK;
}

static glim_err read_logprob(glim_hear *h, const glim_api_path *p, const glim_json *v,
                             glim_logprob *out, glim_error *e)
{
    double x;
    if (v->type != GLIM_JSON_OBJECT) return glim_api_wrong_type(p, "an object", v, e);
    *out = (glim_logprob){.id = -1, .bytes = GLIM_STR("")};
    glim_err rc = glim_api_str(p, v, "token", &out->bytes, e);
    const glim_json *bytes = glim_api_given(v, "bytes");
    if (!rc && bytes) rc = read_bytes(h, GLIM_API_KEY(p, "bytes"), bytes, &out->bytes, e);
    if (rc) return rc;
    const glim_json *number = glim_json_get(v, "logprob");
    if (!glim_json_f64(number, &x))
        return glim_api_fail(GLIM_API_KEY(p, "logprob"), GLIM_E_FORMAT, number ? number : v, e,
                             "expected a number");
    out->logprob = (float)x;
    return GLIM_OK;
}

static glim_err tell_logprobs(glim_hear *h, const glim_api_path *p, const glim_json *v,
                              bool in_reasoning, glim_error *e)
{
    glim_token_logprobs t = {.n_top = 0};
    glim_err rc = read_logprob(h, p, v, &t.chosen, e);
    const glim_json *list = glim_api_given(v, "top_logprobs");
    p = GLIM_API_KEY(p, "top_logprobs");
    if (!rc && list && list->type != GLIM_JSON_ARRAY)
        rc = glim_api_wrong_type(p, "a list", list, e);
    if (rc) return rc;
    glim_logprob *top = NULL;
    if (list && list->n_child) {
        top = GLIM_ARENA_ARRAY(h->arena, glim_logprob, list->n_child);
        if (!top) return no_memory(e);
    }
    GLIM_JSON_EACH(x, list)
    {
        rc = read_logprob(h, GLIM_API_ELEMENT(p, t.n_top), x, &top[t.n_top], e);
        if (rc) return rc;
        t.n_top++;
    }
    t.top = top;
    const glim_event ev = {.kind = GLIM_EV_LOGPROBS, .logprobs = &t, .in_reasoning = in_reasoning};
    return emit(h, &ev, e);
}

glim_err glim_hear_logprobs(glim_hear *h, const glim_api_path *p, const glim_json *v,
                            bool in_reasoning, glim_error *e)
{
    size_t i = 0;
    bool asked = h->ask->gen && h->ask->gen->n_logprob >= 0;
    if (!asked || !v || v->type == GLIM_JSON_NULL) return GLIM_OK;
    if (v->type != GLIM_JSON_ARRAY) return glim_api_wrong_type(p, "a list", v, e);
    GLIM_JSON_EACH(x, v)
    {
        glim_mark mark = glim_arena_mark(h->arena);
        glim_err rc = tell_logprobs(h, GLIM_API_ELEMENT(p, i), x, in_reasoning, e);
        if (rc) return rc;
        glim_arena_rewind(h->arena, mark);
        i++;
    }
    return GLIM_OK;
}

/* ---- the frame ------------------------------------------------------------------------------- */

glim_err glim_hear_count(const glim_api_path *p, const glim_json *obj, const char *key,
                         int64_t *out, glim_error *e)
{
    const glim_json *v = glim_api_given(obj, key);
    int64_t n;
    if (!v) return GLIM_OK;
    p = GLIM_API_KEY(p, key);
    if (v->type != GLIM_JSON_NUMBER) return glim_api_wrong_type(p, "a number", v, e);
    if (!glim_json_i64(v, &n) || n < 0)
        return glim_api_fail(p, GLIM_E_FORMAT, v, e, "%.*s is no count",
                             (int)GLIM_MIN(v->text.n, (size_t)40), v->text.p);
    *out = n;
    return GLIM_OK;
}

glim_err glim_hear_remote(const glim_remote *remote, glim_error *e)
{
    return glim_fail(e, GLIM_E_REMOTE, "the server reports: %s%s%s%s",
                     remote->message[0] ? remote->message : "an error without a text",
                     remote->code[0] ? " (code " : "", remote->code, remote->code[0] ? ")" : "");
}

/* What readers of requests call a wrong input is, of an answer, its form. */
static glim_err as_format(glim_err rc, glim_error *e)
{
    if (rc != GLIM_E_INPUT && rc != GLIM_E_LIMIT && rc != GLIM_E_UNSUPPORTED) return rc;
    if (e) e->code = GLIM_E_FORMAT;
    return GLIM_E_FORMAT;
}

static glim_err hear_tree(glim_hear *h, glim_str json, bool whole, glim_hear_fn take,
                          glim_remote *remote, glim_error *e)
{
    glim_json *root;
    glim_err rc = glim_json_parse(h->arena, json, &root, e);
    if (rc) {
        if (e) glim_error_prefix(e, "the JSON of the answer");
        return rc;
    }
    if (root->type != GLIM_JSON_OBJECT)
        return glim_api_wrong_type(NULL, "the answer to be an object", root, e);
    if (glim_remote_find(root, remote)) return glim_hear_remote(remote, e);
    return take(h, root, whole, remote, e);
}

glim_err glim_hear_take(glim_hear *h, glim_str json, bool whole, glim_hear_fn take, bool *over,
                        glim_remote *remote, glim_error *e)
{
    memset(remote, 0, sizeof *remote);
    *over = h->over;
    if (h->err) return glim_fail(e, h->err, "the answer has failed before");
    if (h->over) return GLIM_OK;
    h->err = as_format(hear_tree(h, json, whole, take, remote, e), e);
    glim_arena_reset(h->arena);
    h->over = h->over || whole;
    *over = h->over;
    return h->err;
}

glim_err glim_hear_end(glim_hear *h, glim_error *e)
{
    if (h->err) return glim_fail(e, h->err, "the answer has failed before");
    if (h->stopped) return GLIM_OK;
    if (!h->heard)
        return glim_fail(e, h->err = GLIM_E_FORMAT, "the server closed without an answer");
    if (!h->finished)
        return glim_fail(e, h->err = GLIM_E_FORMAT,
                         "the answer ended in its middle: the server "
                         "closed before it gave a reason");
    h->err = as_format(advance(h, true, e), e);
    if (h->err) return h->err;
    h->stopped = true;
    /* Nothing is left that false could cancel. */
    (void)h->fn(h->user, &(glim_event){.kind = GLIM_EV_STOP,
                                       .reason = h->reason ? h->reason : GLIM_STOP_END,
                                       .usage = &h->usage,
                                       .stop_text = glim_buf_view(&h->stop_text)});
    return GLIM_OK;
}
