/* SPDX-License-Identifier: MIT
 * files.c - files that lie with the server, and batches of requests made from them. Fetching one: download.c.
 * Thread: any.
 * Fails:  as client.h says; FORMAT when the server's own ids could not be used in a path.   See: api.md 4.2 */
#include "client/client_priv.h"

#include <stdio.h>

enum { PAGE = 100, FILES_MAX = 100000 };

/* ---- one file ------------------------------------------------------------------------------------- */

void glim_client_file_free(glim_client_file *f)
{
    if (!f) return;
    glim_free((char *)(uintptr_t)f->name.p);
    *f = (glim_client_file){.bytes = 0};
}

void glim_client_files_free(glim_client_file *f, size_t n)
{
    for (size_t i = 0; f && i < n; i++)
        glim_client_file_free(&f[i]);
    glim_free(f);
}

static void take_text(const glim_json *v, const char *key, char *out, size_t n_out)
{
    glim_str s = glim_member_str(v, key);
    size_t n = GLIM_MIN(s.n, n_out - 1);
    n -= glim_utf8_partial((glim_str){s.p, n});
    for (size_t i = 0; i < n; i++)
        out[i] = (uint8_t)s.p[i] < 0x20 || s.p[i] == 0x7f ? '?' : s.p[i];
    out[n] = '\0';
}

static glim_err take_file(const glim_json *v, glim_client_file *f, glim_error *e)
{
    *f = (glim_client_file){.bytes = 0};
    if (!glim_json_is(v, GLIM_JSON_OBJECT))
        return glim_fail(e, GLIM_E_FORMAT, "the answer's entry is no file");
    glim_err rc = glim_member_id(v, "id", true, f->id, sizeof f->id, e);
    if (rc) return rc;
    take_text(v, "purpose", f->purpose, sizeof f->purpose);
    int64_t bytes = glim_member_i64(v, "bytes");
    f->bytes = bytes > 0 ? (uint64_t)bytes : 0;
    f->created_s = glim_member_i64(v, "created_at");
    f->name = glim_str_keep(glim_member_str(v, "filename"));
    return f->name.p ? GLIM_OK : glim_fail(e, GLIM_E_NOMEM, "a file's name");
}

glim_err glim_client_upload(glim_client *c, const char *path, const char *purpose,
                            const glim_call *call, glim_client_file *out, glim_error *e)
{
    glim_error own;
    glim_doc d = {.arena = NULL};
    /* The purpose stands first: a server may judge it before the bytes come. */
    glim_form_part form[] = {{.name = "purpose", .text = glim_str_of(purpose)},
                             {.name = "file", .path = path}};
    glim_exchange x = {.method = "POST", .form = form, .n_form = 2, .between = true};
    e = glim_answer_begin(call, e, &own);
    *out = (glim_client_file){.bytes = 0};
    glim_err rc = glim_op_path(c, GLIM_OP_FILES, "files", &x.path, e);
    if (!rc) rc = glim_doc_get(c, &x, call, &d, e);
    if (!rc) rc = take_file(d.root, out, e);
    glim_doc_free(&d);
    if (rc) glim_client_file_free(out);
    return glim_answer_end(call, rc, e);
}

/* ---- the list, page by page ----------------------------------------------------------------------------- */

typedef struct file_list {
    glim_client_file *v;
    size_t n, cap;
} file_list;

static glim_err add_file(file_list *l, const glim_json *v, glim_error *e)
{
    if (l->n == FILES_MAX)
        return glim_fail(e, GLIM_E_FORMAT, "the server lists more than %d files", (int)FILES_MAX);
    if (l->n == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 32;
        glim_client_file *grown = glim_realloc(l->v, cap * sizeof *grown);
        if (!grown) return glim_fail(e, GLIM_E_NOMEM, "a list of files");
        l->v = grown;
        l->cap = cap;
    }
    glim_err rc = take_file(v, &l->v[l->n], e);
    if (rc)
        glim_client_file_free(&l->v[l->n]);
    else
        l->n++;
    return rc;
}

static glim_err get_page(glim_client *c, glim_str base, const char *purpose, file_list *l,
                         bool *more, const glim_call *call, glim_error *e)
{
    glim_doc d = {.arena = NULL};
    glim_buf path;
    size_t n_before = l->n;
    glim_buf_init(&path, 2048);
    glim_buf_addf(&path, "%s?limit=%d", base.p, (int)PAGE);
    if (purpose) {
        glim_buf_adds(&path, "&purpose=");
        glim_url_escape(&path, glim_str_of(purpose));
    }
    if (l->n) glim_buf_addf(&path, "&after=%s", l->v[l->n - 1].id);
    glim_err rc = path.err ? glim_fail(e, path.err, "purpose: too long") : GLIM_OK;
    glim_exchange x = {.method = "GET", .path = glim_buf_view(&path)};
    if (!rc) rc = glim_doc_get(c, &x, call, &d, e);
    const glim_json *list = rc ? NULL : glim_json_get(d.root, "data");
    if (!rc && !glim_json_is(list, GLIM_JSON_ARRAY))
        rc = glim_fail(e, GLIM_E_FORMAT, "the answer has no list of files");
    if (!rc)
        for (const glim_json *m = list->child; !rc && m; m = m->next)
            rc = add_file(l, m, e);
    *more = false;
    if (!rc) (void)glim_json_bool(glim_json_get(d.root, "has_more"), more);
    /* A server that turns in a circle is not followed for ever. */
    if (!rc && *more && l->n == n_before)
        rc = glim_fail(e, GLIM_E_FORMAT, "the server says there are more files and names none");
    if (!rc && *more && n_before && strcmp(l->v[n_before - 1].id, l->v[l->n - 1].id) == 0)
        rc = glim_fail(e, GLIM_E_FORMAT, "the server lists the same files again");
    glim_doc_free(&d);
    glim_buf_deinit(&path);
    return rc;
}

glim_err glim_client_files(glim_client *c, const char *purpose, const glim_call *call,
                           glim_client_file **out, size_t *n, glim_error *e)
{
    glim_error own;
    glim_str base;
    file_list l = {0};
    bool more = true;
    e = glim_answer_begin(call, e, &own);
    *out = NULL;
    *n = 0;
    glim_err rc = glim_op_path(c, GLIM_OP_FILES, "files", &base, e);
    while (!rc && more)
        rc = get_page(c, base, purpose, &l, &more, call, e);
    if (rc) {
        glim_client_files_free(l.v, l.n);
    } else {
        *out = l.v;
        *n = l.n;
    }
    return glim_answer_end(call, rc, e);
}

/* METHOD base/id or base/id/verb; the answer as JSON. */
static glim_err with_id(glim_client *c, const char *method, glim_op op, const char *name,
                        const char *id, const char *verb, const glim_call *call, glim_doc *d,
                        glim_error *e)
{
    glim_str base;
    glim_buf path;
    glim_exchange x = {.method = method};
    *d = (glim_doc){.arena = NULL};
    glim_buf_init(&path, 1024);
    glim_err rc = glim_op_path(c, op, name, &base, e);
    if (!rc) rc = glim_url_check_id("id", glim_str_of(id), e);
    if (!rc && glim_buf_addf(&path, "%s/%s%s", base.p, id, verb))
        rc = glim_fail(e, GLIM_E_NOMEM, "a request");
    x.path = glim_buf_view(&path);
    if (!rc) rc = glim_doc_get(c, &x, call, d, e);
    glim_buf_deinit(&path);
    return rc;
}

glim_err glim_client_file_delete(glim_client *c, const char *id, const glim_call *call,
                                 glim_error *e)
{
    glim_error own;
    glim_doc d = {.arena = NULL};
    bool gone = false;
    e = glim_answer_begin(call, e, &own);
    glim_err rc = with_id(c, "DELETE", GLIM_OP_FILES, "files", id, "", call, &d, e);
    if (!rc && (!glim_json_bool(glim_json_get(d.root, "deleted"), &gone) || !gone))
        rc = glim_fail(e, GLIM_E_FORMAT, "the server does not say that %s was deleted", id);
    glim_doc_free(&d);
    return glim_answer_end(call, rc, e);
}

/* ---- batches ------------------------------------------------------------------------------------------------ */

static glim_err take_batch(const glim_doc *d, glim_client_batch *b, glim_error *e)
{
    static const char *const ends[] = {"completed", "failed", "expired", "cancelled"};
    const glim_json *v = d->root, *counts = glim_json_get(v, "request_counts");
    const struct {
        const char *key;
        char *to;
    } ids[] = {{"input_file_id", b->input_file},
               {"output_file_id", b->output_file},
               {"error_file_id", b->error_file}};
    *b = (glim_client_batch){.over = false};
    glim_err rc = glim_member_id(v, "id", true, b->id, sizeof b->id, e);
    for (size_t i = 0; !rc && i < GLIM_COUNT(ids); i++)
        rc = glim_member_id(v, ids[i].key, false, ids[i].to, sizeof b->input_file, e);
    if (rc) return rc;
    take_text(v, "status", b->status, sizeof b->status);
    if (!b->status[0]) return glim_fail(e, GLIM_E_FORMAT, "the answer has no status of a batch");
    for (size_t i = 0; i < GLIM_COUNT(ends); i++)
        b->over = b->over || strcmp(b->status, ends[i]) == 0;
    const glim_json *why = glim_json_get(glim_json_get(v, "errors"), "data");
    if (glim_json_is(glim_json_at(why, 0), GLIM_JSON_OBJECT))
        take_text(glim_json_at(why, 0), "message", b->message, sizeof b->message);
    b->n_total = glim_member_i64(counts, "total");
    b->n_completed = glim_member_i64(counts, "completed");
    b->n_failed = glim_member_i64(counts, "failed");
    return GLIM_OK;
}

glim_err glim_client_batch_new(glim_client *c, const char *input_file, const char *endpoint,
                               const glim_call *call, glim_client_batch *out, glim_error *e)
{
    glim_error own;
    glim_buf body;
    glim_jw w;
    glim_doc d = {.arena = NULL};
    glim_exchange x = {.method = "POST", .has_body = true};
    e = glim_answer_begin(call, e, &own);
    *out = (glim_client_batch){.over = false};
    glim_buf_init(&body, 65536);
    glim_jw_init(&w, &body);
    glim_jw_object(&w);
    glim_jw_key(&w, "input_file_id");
    glim_jw_str(&w, glim_str_of(input_file));
    glim_jw_key(&w, "endpoint");
    glim_jw_str(&w, glim_str_of(endpoint));
    glim_jw_key(&w, "completion_window");
    glim_jw_str(&w, GLIM_STR("24h"));
    glim_jw_object_end(&w);
    glim_err rc = glim_op_path(c, GLIM_OP_BATCHES, "batches", &x.path, e);
    if (!rc) rc = glim_url_check_id("input_file", glim_str_of(input_file), e);
    if (!rc && body.err) rc = glim_fail(e, body.err, "endpoint: too long");
    x.body = glim_buf_view(&body);
    if (!rc) rc = glim_doc_get(c, &x, call, &d, e);
    if (!rc) rc = take_batch(&d, out, e);
    glim_doc_free(&d);
    glim_buf_deinit(&body);
    return glim_answer_end(call, rc, e);
}

static glim_err batch_of(glim_client *c, const char *method, const char *id, const char *verb,
                         const glim_call *call, glim_client_batch *out, glim_error *e)
{
    glim_error own;
    glim_doc d = {.arena = NULL};
    e = glim_answer_begin(call, e, &own);
    *out = (glim_client_batch){.over = false};
    glim_err rc = with_id(c, method, GLIM_OP_BATCHES, "batches", id, verb, call, &d, e);
    if (!rc) rc = take_batch(&d, out, e);
    glim_doc_free(&d);
    return glim_answer_end(call, rc, e);
}

glim_err glim_client_batch_get(glim_client *c, const char *id, const glim_call *call,
                               glim_client_batch *out, glim_error *e)
{
    return batch_of(c, "GET", id, "", call, out, e);
}

glim_err glim_client_batch_cancel(glim_client *c, const char *id, const glim_call *call,
                                  glim_client_batch *out, glim_error *e)
{
    return batch_of(c, "POST", id, "/cancel", call, out, e);
}
