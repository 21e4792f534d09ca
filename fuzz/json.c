/* SPDX-License-Identifier: MIT
 * json.c - fuzz target: whatever the tree accepts is written back, read again, and must be the same
 * tree; the pull reader and the tree must agree on what is JSON. */
#include "json/json.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Values at a time on the way through a tree, without recursion. */
typedef struct cursor {
    const glim_json *v[GLIM_JSON_DEPTH + 1];
    size_t n;
} cursor;

/* Writes v with an own stack of one bracket a level: glim_jw is for shallow output. */
static void write_tree(glim_buf *b, const glim_json *root)
{
    static cursor c;
    c.n = 0;
    const glim_json *v = root;
    while (v) {
        if (v->key.p) {
            glim_json_quote(b, v->key);
            glim_buf_addc(b, ':');
        }
        bool holder = v->type == GLIM_JSON_ARRAY || v->type == GLIM_JSON_OBJECT;
        if (holder)
            glim_buf_addc(b, v->type == GLIM_JSON_ARRAY ? '[' : '{');
        else if (v->type == GLIM_JSON_STRING)
            glim_json_quote(b, v->text);
        else if (v->type == GLIM_JSON_NUMBER)
            glim_buf_addv(b, v->text);
        else
            glim_buf_adds(b, glim_json_type_name(v->type));
        if (holder && v->child) {
            c.v[c.n++] = v;
            v = v->child;
            continue;
        }
        if (holder) glim_buf_addc(b, v->type == GLIM_JSON_ARRAY ? ']' : '}');
        while (v != root && !v->next) {
            v = c.v[--c.n];
            glim_buf_addc(b, v->type == GLIM_JSON_ARRAY ? ']' : '}');
        }
        if (v == root) return;
        glim_buf_addc(b, ',');
        v = v->next;
    }
}

static bool pull_accepts(glim_str src)
{
    glim_json_reader r;
    glim_json_tok tok;
    glim_str text;
    glim_err rc;
    glim_json_reader_init(&r, src);
    do
        rc = glim_json_next(&r, &tok, &text, NULL);
    while (!rc && tok != GLIM_JT_END);
    glim_json_reader_deinit(&r);
    return rc == GLIM_OK;
}

static void must(bool x)
{
    if (!x) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    glim_str src = {(const char *)data, size};
    glim_arena *a = glim_arena_new((size_t)256 << 20);
    glim_error e = {0};
    glim_json *v, *again;
    if (!a) return 0;
    glim_err rc = glim_json_parse(a, src, &v, &e);
    bool pulled = pull_accepts(src);
    if (rc) {
        must(e.code == rc && e.msg[0]);
        must(rc != GLIM_E_INPUT || e.offset <= size);
        must(!pulled || (rc == GLIM_E_INPUT && strstr(e.msg, "twice")) || rc == GLIM_E_NOMEM);
        glim_arena_free(a);
        return 0;
    }
    must(pulled);
    glim_buf one, two;
    glim_buf_init(&one, SIZE_MAX / 2);
    glim_buf_init(&two, SIZE_MAX / 2);
    write_tree(&one, v);
    must(one.err == GLIM_OK);
    must(glim_json_parse(a, glim_buf_view(&one), &again, &e) == GLIM_OK);
    write_tree(&two, again);
    must(two.err == GLIM_OK && glim_str_eq(glim_buf_view(&one), glim_buf_view(&two)));
    int64_t i;
    double d;
    GLIM_JSON_EACH(x, v)
    {
        /* An integer that is exact as a double must be the double. */
        if (glim_json_i64(x, &i) && i > -((int64_t)1 << 53) && i < (int64_t)1 << 53 &&
            glim_json_f64(x, &d))
            must(d == (double)i);
    }
    glim_buf_deinit(&one);
    glim_buf_deinit(&two);
    glim_arena_free(a);
    return 0;
}
