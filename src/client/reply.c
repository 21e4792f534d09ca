/* SPDX-License-Identifier: MIT
 * reply.c - answers that come in one piece: kept, or read as JSON; members of them.
 * Thread: any.
 * Fails:  FORMAT with what is wrong with the answer; LIMIT beyond reply_max; nothing is left behind. */
#include "client/client_priv.h"

/* Nodes of a tree are larger than their text: at the worst some forty times ("[0,0,..."). */
#define TREE_FACTOR 48
#define TREE_MIN (1u << 20)

bool glim_type_is_json(const char *type)
{
    glim_str t = glim_str_of(type);
    return glim_str_is(t, "application/json") || glim_str_is(t, "text/json") ||
           glim_str_ends(t, GLIM_STR("+json"));
}

/* ---- a body that is kept ------------------------------------------------------------------------ */

typedef struct keeper {
    glim_buf body;
    char type[128];
    int status;
    bool json;
    glim_doc *doc; /* read as JSON at the end; else NULL */
    glim_remote remote;
} keeper;

static glim_err keep_begin(void *user, const glim_got *got, glim_error *e)
{
    keeper *k = user;
    glim_buf_clear(&k->body);
    k->status = got->status;
    memcpy(k->type, got->type, sizeof k->type);
    if (got->length >= 0 && (uint64_t)got->length > k->body.max)
        return glim_fail(e, GLIM_E_LIMIT, "the answer has %lld bytes; at most %zu are kept",
                         (long long)got->length, k->body.max);
    if (k->json && got->status != 204 && !glim_type_is_json(got->type))
        return glim_fail(e, GLIM_E_FORMAT,
                         "the answer is %s and not application/json; is the base URL right?",
                         got->type[0] ? GLIM_QUOTE(glim_str_of(got->type)) : "of no type");
    return GLIM_OK;
}

static glim_err keep_data(void *user, glim_str bytes, bool *enough, glim_error *e)
{
    keeper *k = user;
    (void)enough;
    glim_err rc = glim_buf_addv(&k->body, bytes);
    if (rc == GLIM_E_LIMIT)
        return glim_fail(e, rc, "the answer has more than %zu bytes", k->body.max);
    return rc ? glim_fail(e, rc, "the answer") : GLIM_OK;
}

/* An object that says what went wrong, with a status that says all is well. */
static bool only_fails(const glim_json *root)
{
    const glim_json *error = glim_json_get(root, "error");
    if (glim_json_get(root, "task_status")) return false; /* a task that failed is an answer */
    if (glim_json_is(glim_json_get(root, "success"), GLIM_JSON_FALSE)) return true;
    return error && error->type != GLIM_JSON_NULL && error->type != GLIM_JSON_FALSE;
}

static glim_err keep_end(void *user, glim_error *e)
{
    keeper *k = user;
    glim_json *root = NULL;
    if (!k->doc) return GLIM_OK;
    glim_doc_free(k->doc);
    size_t max;
    if (!glim_mul_size(k->body.n, TREE_FACTOR, &max) || !glim_add_size(max, TREE_MIN, &max))
        max = SIZE_MAX;
    k->doc->arena = glim_arena_new(max);
    if (!k->doc->arena) return glim_fail(e, GLIM_E_NOMEM, "the answer");
    glim_str text = k->body.p ? glim_buf_view(&k->body) : GLIM_STR("");
    glim_err rc = glim_json_parse(k->doc->arena, text, &root, e);
    if (rc && rc != GLIM_E_NOMEM) {
        glim_error_prefix(e, "the answer is no JSON");
        return e->code = GLIM_E_FORMAT;
    }
    if (rc) return rc;
    if (!glim_json_is(root, GLIM_JSON_OBJECT))
        return glim_fail(e, GLIM_E_FORMAT, "the answer is %s and not an object",
                         glim_json_type_name(root->type));
    if (only_fails(root) && glim_remote_read(text, &k->remote))
        return glim_fail(e, GLIM_E_REMOTE, "the answer reports a failure");
    k->doc->root = root;
    return GLIM_OK;
}

static glim_err run_keeper(glim_client *c, glim_exchange *x, keeper *k, const glim_call *call,
                           glim_error *e)
{
    x->begin = keep_begin;
    x->data = keep_data;
    x->end = keep_end;
    x->user = k;
    x->remote = &k->remote;
    glim_buf_init(&k->body, (size_t)GLIM_MIN(c->reply_max, (uint64_t)SIZE_MAX / 2));
    return glim_exchange_run(c, x, call, e);
}

void glim_doc_free(glim_doc *d)
{
    glim_arena_free(d->arena);
    glim_buf_deinit(&d->body);
    *d = (glim_doc){.arena = NULL};
}

glim_err glim_doc_get(glim_client *c, glim_exchange *x, const glim_call *call, glim_doc *d,
                      glim_error *e)
{
    *d = (glim_doc){.arena = NULL};
    keeper k = {.json = true, .doc = d};
    glim_err rc = run_keeper(c, x, &k, call, e);
    if (rc) {
        glim_buf_deinit(&k.body);
        glim_doc_free(d);
        return rc;
    }
    d->body = k.body; /* the tree points into it */
    return GLIM_OK;
}

void glim_client_reply_free(glim_client_reply *r)
{
    if (!r) return;
    glim_free((char *)(uintptr_t)r->body.p);
    glim_free((char *)(uintptr_t)r->type.p);
    *r = (glim_client_reply){0};
}

glim_err glim_reply_get(glim_client *c, glim_exchange *x, bool json, const glim_call *call,
                        glim_client_reply *out, glim_error *e)
{
    glim_doc doc = {.arena = NULL};
    *out = (glim_client_reply){0};
    keeper k = {.json = json, .doc = json ? &doc : NULL};
    glim_err rc = run_keeper(c, x, &k, call, e);
    glim_doc_free(&doc);
    if (!rc && !k.body.p) rc = glim_buf_add(&k.body, "", 0); /* even nothing has its NUL */
    if (!rc) {
        out->type = glim_str_keep(glim_str_of(k.type));
        if (!out->type.p) rc = GLIM_E_NOMEM;
        if (rc) rc = glim_fail(e, rc, "the answer");
    }
    if (rc) {
        glim_buf_deinit(&k.body);
        glim_client_reply_free(out);
        return rc;
    }
    out->status = k.status;
    out->body = glim_buf_view(&k.body);
    return GLIM_OK;
}

/* ---- members -------------------------------------------------------------------------------------- */

glim_str glim_member_str(const glim_json *v, const char *key)
{
    const glim_json *m = glim_json_get(v, key);
    return glim_json_is(m, GLIM_JSON_STRING) ? m->text : (glim_str){NULL, 0};
}

int64_t glim_member_i64(const glim_json *v, const char *key)
{
    int64_t n;
    return glim_json_i64(glim_json_get(v, key), &n) ? n : 0;
}

glim_str glim_str_keep(glim_str s)
{
    char *p = glim_alloc(s.n + 1);
    if (!p) return (glim_str){NULL, 0};
    if (s.n) memcpy(p, s.p, s.n);
    p[s.n] = '\0';
    return (glim_str){p, s.n};
}

glim_err glim_member_id(const glim_json *v, const char *key, bool must, char *out, size_t n_out,
                        glim_error *e)
{
    glim_str s = glim_member_str(v, key);
    out[0] = '\0';
    if (s.n == 0) {
        if (!must) return GLIM_OK;
        return glim_fail(e, GLIM_E_FORMAT, "the answer has no %s", key);
    }
    if (s.n >= n_out || glim_url_check_id(key, s, NULL))
        return glim_fail(e, GLIM_E_FORMAT, "the answer's %s is %s, which is no id", key,
                         GLIM_QUOTE(s));
    memcpy(out, s.p, s.n);
    out[s.n] = '\0';
    return GLIM_OK;
}
