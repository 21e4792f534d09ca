/* SPDX-License-Identifier: MIT
 * tasks.c - what takes its time: asynchronous chats, images, videos; waiting for them. Their files: download.c.
 * Thread: any; progress comes on the caller's thread.
 * Fails:  as client.h says. A task that the server gave up is no error of the call: its state says so.
 * See:    api.md 4.2, tests/client */
#include "client/client_priv.h"

#define BODY_MAX ((size_t)256 << 20)
#define FILES_MAX 1024 /* of one task */
#define WAIT_MAX_S 10.0

/* ---- a task from an answer -------------------------------------------------------------------------- */

void glim_task_free(glim_task *t)
{
    if (!t) return;
    glim_arena_free(t->own);
    *t = (glim_task){0};
}

static glim_err take_files(const glim_json *list, const char *key, glim_task *t, glim_error *e)
{
    if (!glim_json_is(list, GLIM_JSON_ARRAY) || list->n_child == 0) return GLIM_OK;
    if (list->n_child > FILES_MAX)
        return glim_fail(e, GLIM_E_FORMAT, "the answer has more than %d files", FILES_MAX);
    t->files = GLIM_ARENA_ARRAY(t->own, glim_task_file, list->n_child);
    if (!t->files) return glim_fail(e, GLIM_E_NOMEM, "a task");
    GLIM_JSON_EACH(m, list)
    {
        glim_task_file f = {.url = glim_member_str(m, "url"),
                            .cover_url = glim_member_str(m, "cover_image_url")};
        /* A picture may also come inside the answer (b64_json): then there is nothing to fetch. */
        if (f.url.n == 0 && glim_member_str(m, "b64_json").n) continue;
        if (f.url.n == 0)
            return glim_fail(e, GLIM_E_FORMAT, "the answer's %s[%zu] has no address", key,
                             t->n_file);
        t->files[t->n_file++] = f;
    }
    return GLIM_OK;
}

static glim_err take_state(const glim_json *root, glim_task *t, glim_error *e)
{
    glim_str s = glim_member_str(root, "task_status");
    if (s.n == 0) {
        /* An image is there at once, and then there is no state to tell. */
        if (!glim_json_is(glim_json_get(root, "data"), GLIM_JSON_ARRAY))
            return glim_fail(e, GLIM_E_FORMAT, "the answer has neither task_status nor data");
        t->state = GLIM_TASK_DONE;
    } else if (glim_str_is(s, "PROCESSING") || glim_str_is(s, "QUEUED") ||
               glim_str_is(s, "PENDING")) {
        t->state = GLIM_TASK_RUNNING;
    } else if (glim_str_is(s, "SUCCESS")) {
        t->state = GLIM_TASK_DONE;
    } else if (glim_str_is(s, "FAIL") || glim_str_is(s, "FAILED")) {
        t->state = GLIM_TASK_FAILED;
    } else {
        return glim_fail(e, GLIM_E_FORMAT, "the answer's task_status is %s, which is unknown",
                         GLIM_QUOTE(s));
    }
    return GLIM_OK;
}

static glim_err take_task(const glim_doc *d, const char *id, glim_task *t, glim_error *e)
{
    static const char *const lists[] = {"data", "image_result", "video_result"};
    char checked[128];
    const glim_json *root = d->root;
    *t = (glim_task){0};
    glim_err rc = take_state(root, t, e);
    if (rc) return rc;
    if (t->state == GLIM_TASK_RUNNING && !id) {
        rc = glim_member_id(root, "id", true, checked, sizeof checked, e);
        if (rc) return rc;
    }
    /* The arena holds the answer again: its tree points into bytes that go with d. */
    size_t room = d->body.n + d->body.n / 2 + 65536 + FILES_MAX * sizeof(glim_task_file) + 64;
    t->own = glim_arena_new(room + 40 * d->body.n);
    if (t->own) t->body = glim_arena_str(t->own, glim_buf_view(&d->body));
    glim_json *copy = NULL;
    if (!t->body.p) rc = glim_fail(e, GLIM_E_NOMEM, "a task");
    if (!rc) rc = glim_json_parse(t->own, t->body, &copy, e);
    if (rc) return rc;
    t->id = glim_member_str(copy, "id");
    if (id) t->id = glim_arena_str(t->own, glim_str_of(id));
    t->model = glim_member_str(copy, "model");
    for (size_t i = 0; !rc && !t->n_file && i < GLIM_COUNT(lists); i++)
        rc = take_files(glim_json_get(copy, lists[i]), lists[i], t, e);
    return rc;
}

static glim_err run_task(glim_client *c, glim_exchange *x, const char *id, const glim_call *call,
                         glim_task *out, glim_error *e)
{
    glim_doc d = {.arena = NULL};
    *out = (glim_task){0};
    glim_err rc = glim_doc_get(c, x, call, &d, e);
    if (!rc) rc = take_task(&d, id, out, e);
    glim_doc_free(&d);
    if (rc) glim_task_free(out);
    return rc;
}

/* ---- asking --------------------------------------------------------------------------------------------- */

glim_err glim_client_chat_later(glim_client *c, const glim_client_ask *ask, const glim_call *call,
                                glim_task *out, glim_error *e)
{
    glim_error own;
    glim_buf body = {0};
    glim_exchange x = {.method = "POST", .has_body = true};
    e = glim_answer_begin(call, e, &own);
    *out = (glim_task){0};
    glim_err rc = glim_op_path(c, GLIM_OP_CHAT_LATER, "asynchronous chat", &x.path, e);
    if (!rc) rc = glim_chat_body(c, ask, GLIM_OP_CHAT_LATER, false, call, &body, e);
    x.body = glim_buf_view(&body);
    if (!rc) rc = run_task(c, &x, NULL, call, out, e);
    glim_buf_deinit(&body);
    return glim_answer_end(call, rc, e);
}

/* The caller's members, and what is missing of model and request_id. */
static glim_err write_fields(const glim_client *c, glim_op op, glim_str fields,
                             const glim_call *call, glim_buf *body, glim_error *e)
{
    glim_json *v = NULL;
    glim_jw w;
    glim_arena *a = glim_arena_new(SIZE_MAX / 2);
    if (!a) return glim_fail(e, GLIM_E_NOMEM, "a request");
    glim_err rc = glim_json_parse(a, fields, &v, e);
    if (rc)
        glim_error_prefix(e, "fields");
    else if (v->type != GLIM_JSON_OBJECT)
        rc = glim_fail(e, GLIM_E_INPUT, "fields: %s and not an object",
                       glim_json_type_name(v->type));
    glim_str model = {NULL, 0};
    if (!rc && !glim_json_get(v, "model")) rc = glim_op_model(c, op, NULL, &model, e);
    if (!rc) {
        glim_jw_init(&w, body);
        glim_jw_object(&w);
        if (model.n) {
            glim_jw_key(&w, "model");
            glim_jw_str(&w, model);
        }
        if (call && call->request_id && c->p->id_in_body && !glim_json_get(v, "request_id")) {
            glim_jw_key(&w, "request_id");
            glim_jw_str(&w, glim_str_of(call->request_id));
        }
        glim_str inner = glim_str_trim(fields, " \t\r\n");
        inner = glim_str_trim(glim_str_sub(inner, 1, inner.n - 1), " \t\r\n");
        if (inner.n && body->n > 1) glim_buf_addc(body, ',');
        glim_buf_addv(body, inner);
        glim_jw_object_end(&w);
        if (body->err) rc = glim_fail(e, body->err, "the request: %s", glim_strerror(body->err));
    }
    glim_arena_free(a);
    return rc;
}

glim_err glim_client_generate(glim_client *c, const char *kind, glim_str fields,
                              const glim_call *call, glim_task *out, glim_error *e)
{
    glim_error own;
    glim_buf body;
    glim_exchange x = {.method = "POST", .has_body = true};
    e = glim_answer_begin(call, e, &own);
    *out = (glim_task){0};
    glim_buf_init(&body, BODY_MAX);
    bool video = strcmp(kind, "video") == 0;
    glim_op op = video ? GLIM_OP_VIDEO : GLIM_OP_IMAGE;
    glim_err rc = GLIM_OK;
    if (!video && strcmp(kind, "image") != 0)
        rc = glim_fail(e, GLIM_E_INPUT, "kind: %s is none of image, video",
                       GLIM_QUOTE(glim_str_of(kind)));
    if (!rc) rc = glim_op_path(c, op, video ? "videos" : "images", &x.path, e);
    if (!rc) rc = write_fields(c, op, fields, call, &body, e);
    x.body = glim_buf_view(&body);
    if (!rc) rc = run_task(c, &x, NULL, call, out, e);
    glim_buf_deinit(&body);
    return glim_answer_end(call, rc, e);
}

/* ---- looking, waiting -------------------------------------------------------------------------------------- */

static glim_err look(glim_client *c, const char *id, const glim_call *call, glim_task *out,
                     glim_error *e)
{
    glim_buf path;
    glim_str base;
    glim_exchange x = {.method = "GET"};
    *out = (glim_task){0};
    glim_buf_init(&path, 1024);
    glim_err rc = glim_op_path(c, GLIM_OP_TASK, "tasks", &base, e);
    if (!rc) rc = glim_url_check_id("id", glim_str_of(id), e);
    if (!rc && glim_buf_addf(&path, "%s/%s", base.p, id))
        rc = glim_fail(e, GLIM_E_NOMEM, "a request");
    x.path = glim_buf_view(&path);
    if (!rc) rc = run_task(c, &x, id, call, out, e);
    glim_buf_deinit(&path);
    return rc;
}

glim_err glim_client_task(glim_client *c, const char *id, const glim_call *call, glim_task *out,
                          glim_error *e)
{
    glim_error own;
    e = glim_answer_begin(call, e, &own);
    return glim_answer_end(call, look(c, id, call, out, e), e);
}

glim_err glim_client_wait(glim_client *c, const char *id, double first_s, double limit_s,
                          bool (*progress)(void *user, double waited_s), void *user,
                          const glim_call *call, glim_task *out, glim_error *e)
{
    glim_error own;
    double wait = first_s > 0 ? first_s : 2, waited = 0;
    uint64_t began = glim_now_ns();
    e = glim_answer_begin(call, e, &own);
    *out = (glim_task){0};
    glim_err rc = GLIM_OK;
    if (!(first_s >= 0 && first_s <= 1e6) || !(limit_s >= 0 && limit_s <= 1e9))
        rc = glim_fail(e, GLIM_E_INPUT, "first_s, limit_s: %g, %g; seconds from 0 on", first_s,
                       limit_s);
    while (!rc) {
        rc = look(c, id, call, out, e);
        if (rc || out->state != GLIM_TASK_RUNNING) break;
        waited = (double)(glim_now_ns() - began) / 1e9;
        if (progress && !progress(user, waited))
            rc = glim_fail(e, GLIM_E_CANCELLED, "cancelled while task %s was running", id);
        else if (limit_s > 0 && waited >= limit_s)
            rc = glim_fail(e, GLIM_E_TIMEOUT, "task %s is still running after %.0f s", id, waited);
        /* The last look comes when the time is up, not after it. */
        if (!rc && limit_s > 0) wait = GLIM_MIN(wait, limit_s - waited);
        if (!rc) rc = glim_cancel_wait(call ? call->cancel : NULL, (int64_t)(wait * 1000) + 1, e);
        wait = GLIM_MIN(wait * 1.5, GLIM_MAX(WAIT_MAX_S, first_s));
        glim_task_free(out);
    }
    return glim_answer_end(call, rc, e);
}
