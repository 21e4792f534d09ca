/* SPDX-License-Identifier: MIT
 * problem.c - what can be wrong with a request, from an error of a lower room to the error body of
 * each dialect.
 * Owns:   the error shapes, which status a kind has on which mount, and which errors a retry
 *         may cure.
 * Not here: the rows themselves (problems.def).
 * Thread: any, pure.
 * Fails:  what the buffer gives (NOMEM, LIMIT).
 * See:    tests/unit/api/test_problem.c */
#include "api/reply_priv.h"

#include <stdio.h>

typedef struct row {
    int status;
    const char *type, *code, *zhipu;
} row;

static const row rows[] = {
#define PROBLEM(id, status, type, code, zhipu) {(status), (type), (code), (zhipu)},
#include "api/problems.def"
#undef PROBLEM
};

static const row *row_of(const glim_problem *p)
{
    bool known = (size_t)p->kind < GLIM_COUNT(rows);
    return &rows[known ? (size_t)p->kind : (size_t)GLIM_PROBLEM_INTERNAL];
}

/* ---- making one ------------------------------------------------------------------------------ */

static void set_kind(glim_problem *p, glim_problem_kind kind)
{
    *p = (glim_problem){.kind = kind};
    if (kind == GLIM_PROBLEM_BUSY || kind == GLIM_PROBLEM_RATE || kind == GLIM_PROBLEM_LOADING ||
        kind == GLIM_PROBLEM_DRAINING || kind == GLIM_PROBLEM_MEMORY ||
        kind == GLIM_PROBLEM_UNHEALTHY || kind == GLIM_PROBLEM_NO_SLOT)
        p->retry_after_s = 1;
}

void glim_problem_set(glim_problem *p, glim_problem_kind kind, const char *param, const char *fmt,
                      ...)
{
    va_list ap;
    set_kind(p, kind);
    snprintf(p->param, sizeof p->param, "%s", param ? param : "");
    va_start(ap, fmt);
    vsnprintf(p->msg, sizeof p->msg, fmt, ap);
    va_end(ap);
}

/* Length of the path at the head of a message ("messages[2].content: ..."), 0 for none. */
static size_t path_length(const char *msg)
{
    static const char chars[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.[]";
    size_t n = strspn(msg, chars);
    return msg[n] == ':' && msg[n + 1] == ' ' ? n : 0;
}

/* Rooms below have one code for a bad input. Their wording is one too: json/fields.c and api say
 * "missing" of what is absent or null, and "given beside" of what excludes something. */
static glim_problem_kind input_kind(const char *text)
{
    if (strncmp(text, "missing", 7) == 0) return GLIM_PROBLEM_MISSING;
    if (strncmp(text, "given beside ", 13) == 0) return GLIM_PROBLEM_EXCLUSIVE;
    return GLIM_PROBLEM_BAD;
}

void glim_problem_from(const glim_error *e, glim_problem *out)
{
    size_t n_path = path_length(e->msg);
    const char *text = e->msg + (n_path ? n_path + 2 : 0);
    glim_problem_kind kind = GLIM_PROBLEM_INTERNAL;
    switch (e->code) {
    case GLIM_E_INPUT:
        kind = input_kind(text);
        break;
    case GLIM_E_LIMIT: /* nesting and the like: the bytes themselves were few enough to come here */
    case GLIM_E_USAGE:
        kind = GLIM_PROBLEM_BAD;
        break;
    case GLIM_E_UNSUPPORTED:
        kind = GLIM_PROBLEM_UNSUPPORTED;
        break;
    case GLIM_E_CONTEXT:
        kind = GLIM_PROBLEM_CONTEXT;
        break;
    case GLIM_E_NOTFOUND:
        kind = GLIM_PROBLEM_NOT_FOUND;
        break;
    case GLIM_E_STATE:
        kind = GLIM_PROBLEM_CONFLICT;
        break;
    case GLIM_E_FULL:
        kind = GLIM_PROBLEM_BUSY;
        break;
    case GLIM_E_NOMEM:
        kind = GLIM_PROBLEM_MEMORY;
        break;
    case GLIM_E_CANCELLED: /* not by the client, who would not be told */
        kind = GLIM_PROBLEM_DRAINING;
        break;
    default:
        break;
    }
    set_kind(out, kind);
    snprintf(out->msg, sizeof out->msg, "%s", e->msg[0] ? e->msg : glim_strerror(e->code));
    if (kind == GLIM_PROBLEM_CONTEXT && n_path == 0) {
        snprintf(out->param, sizeof out->param, "messages");
    } else if (n_path < sizeof out->param) {
        memcpy(out->param, e->msg, n_path);
        out->param[n_path] = '\0';
    }
}

glim_err glim_api_end_decode(glim_err rc, const glim_error *e, glim_problem *p)
{
    if (rc) glim_problem_from(e, p);
    return rc;
}

glim_err glim_api_decode(glim_arena *a, glim_str body, glim_api_read_fn read, glim_request *out,
                         glim_problem *p)
{
    glim_error e = {0};
    glim_json *root;
    glim_err rc = glim_json_parse(a, body, &root, &e);
    if (!rc) rc = read(a, root, out, &e);
    return glim_api_end_decode(rc, &e, p);
}

/* ---- what it is worth ------------------------------------------------------------------------ */

int glim_problem_status(const glim_problem *p)
{
    return row_of(p)->status;
}

int glim_problem_status_zhipu(const glim_problem *p)
{
    return p->kind == GLIM_PROBLEM_MODEL ? 400 : glim_problem_status(p);
}

int glim_problem_status_of(glim_problem_fn shape, const glim_problem *p)
{
    return shape == glim_problem_zhipu ? glim_problem_status_zhipu(p) : glim_problem_status(p);
}

bool glim_problem_retry(const glim_problem *p)
{
    int status = glim_problem_status(p);
    if (p->kind == GLIM_PROBLEM_NO_ROOM) return false;
    return status == 408 || status == 429 || (status >= 500 && status != 501);
}

/* ---- saying it ------------------------------------------------------------------------------- */

static void put_str_or_null(glim_jw *w, const char *key, const char *text)
{
    glim_jw_key(w, key);
    if (text && text[0])
        glim_jw_str(w, glim_str_of(text));
    else
        glim_jw_null(w);
}

/* A message never comes out empty: clients show it and nothing else. */
static glim_str message(const glim_problem *p)
{
    return glim_str_of(p->msg[0] ? p->msg : row_of(p)->type);
}

glim_err glim_problem_openai(const glim_problem *p, glim_str request_id, glim_buf *out)
{
    const row *r = row_of(p);
    glim_jw w;
    (void)request_id; /* a header's affair there */
    glim_jw_init(&w, out);
    glim_jw_object(&w);
    glim_jw_key(&w, "error");
    glim_jw_object(&w);
    glim_jw_key(&w, "message");
    glim_jw_str(&w, message(p));
    put_str_or_null(&w, "type", r->type);
    put_str_or_null(&w, "param", p->param);
    put_str_or_null(&w, "code", r->code);
    glim_jw_object_end(&w);
    glim_jw_object_end(&w);
    return out->err;
}

glim_err glim_problem_zhipu(const glim_problem *p, glim_str request_id, glim_buf *out)
{
    glim_jw w;
    glim_jw_init(&w, out);
    glim_jw_object(&w);
    glim_jw_key(&w, "error");
    glim_jw_object(&w);
    put_str_or_null(&w, "code", row_of(p)->zhipu);
    glim_jw_key(&w, "message");
    glim_jw_str(&w, message(p));
    glim_jw_object_end(&w);
    if (request_id.n) {
        glim_jw_key(&w, "request_id");
        glim_jw_str(&w, request_id);
    }
    glim_jw_object_end(&w);
    return out->err;
}

/* llama-server has names of its own for some. */
static const char *llama_type(const glim_problem *p)
{
    switch (p->kind) {
    case GLIM_PROBLEM_CONTEXT:
        return "exceed_context_size_error";
    case GLIM_PROBLEM_MODEL:
    case GLIM_PROBLEM_NOT_FOUND:
        return "not_found_error";
    case GLIM_PROBLEM_BUSY:
    case GLIM_PROBLEM_LOADING:
    case GLIM_PROBLEM_DRAINING:
    case GLIM_PROBLEM_MEMORY:
    case GLIM_PROBLEM_UNHEALTHY:
    case GLIM_PROBLEM_NO_SLOT:
    case GLIM_PROBLEM_NO_ROOM:
        return "unavailable_error";
    default:
        return row_of(p)->type;
    }
}

glim_err glim_problem_llama(const glim_problem *p, glim_str request_id, glim_buf *out)
{
    glim_jw w;
    (void)request_id;
    glim_jw_init(&w, out);
    glim_jw_object(&w);
    glim_jw_key(&w, "error");
    glim_jw_object(&w);
    glim_jw_key(&w, "code");
    glim_jw_i64(&w, glim_problem_status(p));
    glim_jw_key(&w, "message");
    glim_jw_str(&w, message(p));
    put_str_or_null(&w, "type", llama_type(p));
    if (p->kind == GLIM_PROBLEM_CONTEXT && p->n_ctx > 0) {
        glim_jw_key(&w, "n_prompt_tokens");
        glim_jw_i64(&w, p->n_prompt);
        glim_jw_key(&w, "n_ctx");
        glim_jw_i64(&w, p->n_ctx);
    }
    glim_jw_object_end(&w);
    glim_jw_object_end(&w);
    return out->err;
}

glim_err glim_problem_ollama(const glim_problem *p, glim_str request_id, glim_buf *out)
{
    glim_jw w;
    (void)request_id;
    glim_jw_init(&w, out);
    glim_jw_object(&w);
    glim_jw_key(&w, "error");
    glim_jw_str(&w, message(p));
    glim_jw_object_end(&w);
    return out->err;
}

glim_err glim_problem_npu(const glim_problem *p, glim_str request_id, glim_buf *out)
{
    glim_jw w;
    (void)request_id;
    glim_jw_init(&w, out);
    glim_jw_object(&w);
    glim_jw_key(&w, "success");
    glim_jw_bool(&w, false);
    glim_jw_key(&w, "detail");
    glim_jw_str(&w, message(p));
    glim_jw_object_end(&w);
    return out->err;
}

/* The one form in which both families' clients show our text: an event named error, whose data has
 * the member error. */
static glim_err put_event(glim_problem_fn body, const glim_problem *p, glim_str request_id,
                          glim_buf *out)
{
    glim_buf_adds(out, "event: error\ndata: ");
    glim_err rc = body(p, request_id, out);
    if (!rc) rc = glim_buf_adds(out, "\n\n");
    return rc;
}

glim_err glim_api_stream_problem_openai(const glim_problem *p, glim_str request_id, glim_buf *out)
{
    return put_event(glim_problem_openai, p, request_id, out);
}

glim_err glim_api_stream_problem_zhipu(const glim_problem *p, glim_str request_id, glim_buf *out)
{
    return put_event(glim_problem_zhipu, p, request_id, out);
}

glim_err glim_api_stream_problem_llama(const glim_problem *p, glim_str request_id, glim_buf *out)
{
    return put_event(glim_problem_llama, p, request_id, out);
}
