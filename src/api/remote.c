/* SPDX-License-Identifier: MIT
 * remote.c - what another server says went wrong, in any of the shapes that servers have for it.
 * Owns:   which bodies are reports of failure, and that their texts are safe to print.
 * Layout: {"error": {"code", "message"}}, {"error": "text"}, {"code", "msg"}, {"object": "error"},
 *         {"detail": "text" or [{"loc", "msg"}]}, {"message": "text"}.
 * Thread: any, pure.
 * See:    tests/unit/api/test_remote.c */
#include "api/hear_priv.h"

#include <stdio.h>

/* ---- texts ----------------------------------------------------------------------------------- */

/* What moves a cursor, ends a line or turns the direction of what follows. */
static bool is_control(uint32_t c)
{
    return c < 0x20 || (c >= 0x7F && c < 0xA0) || c == 0x200E || c == 0x200F ||
           (c >= 0x2028 && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069) || c == 0xFEFF;
}

void glim_remote_text(char *out, size_t n_out, glim_str s)
{
    static const char dots[] = "...";
    size_t n = 0, fits = 0; /* fits: how much may stay when dots must follow */
    for (size_t i = 0; i < s.n;) {
        uint32_t c = 0;
        char plain = '?';
        int len = glim_utf8_decode(glim_str_sub(s, i, s.n), &c);
        const char *p = s.p + i;
        i += len ? (size_t)len : 1;
        if (len == 0 || is_control(c)) {
            if (c == '\n' || c == '\r' || c == '\t') plain = ' ';
            p = &plain;
            len = 1;
        }
        if (n + (size_t)len >= n_out) {
            memcpy(out + fits, dots, sizeof dots);
            return;
        }
        memcpy(out + n, p, (size_t)len);
        n += (size_t)len;
        if (n + sizeof dots <= n_out) fits = n;
    }
    out[n] = '\0';
}

/* A string, or a number as it is written; false for anything else. */
static bool put(const glim_json *v, char *out, size_t n_out)
{
    if (!v || (v->type != GLIM_JSON_STRING && v->type != GLIM_JSON_NUMBER) || v->text.n == 0)
        return false;
    glim_remote_text(out, n_out, v->text);
    return true;
}

static bool put_code(const glim_json *obj, const char *key, glim_remote *out)
{
    return out->code[0] || put(glim_json_get(obj, key), out->code, sizeof out->code);
}

static bool put_message(const glim_json *v, glim_remote *out)
{
    return out->message[0] || put(v, out->message, sizeof out->message);
}

static void put_request_id(const glim_json *obj, glim_remote *out)
{
    if (!out->request_id[0])
        (void)put(glim_json_get(obj, "request_id"), out->request_id, sizeof out->request_id);
}

/* ---- shapes ---------------------------------------------------------------------------------- */

/* As clients in scripting languages have it: nothing, nought and emptiness are no error. */
static bool is_truthy(const glim_json *v)
{
    double x;
    if (!v) return false;
    switch (v->type) {
    case GLIM_JSON_NULL:
    case GLIM_JSON_FALSE:
        return false;
    case GLIM_JSON_TRUE:
        return true;
    case GLIM_JSON_NUMBER:
        return !glim_json_f64(v, &x) || x != 0;
    case GLIM_JSON_STRING:
        return v->text.n > 0;
    case GLIM_JSON_ARRAY:
    case GLIM_JSON_OBJECT:
        break;
    }
    return v->n_child > 0;
}

static bool read_error(const glim_json *root, const glim_json *v, glim_remote *out)
{
    if (!is_truthy(v)) return false;
    if (v->type == GLIM_JSON_OBJECT) {
        (void)(put_code(v, "code", out) || put_code(v, "type", out) || put_code(root, "code", out));
        (void)(put_message(glim_json_get(v, "message"), out) ||
               put_message(glim_json_get(v, "msg"), out));
        put_request_id(v, out);
    } else {
        (void)(put_code(root, "code", out) || put_code(root, "status", out));
        if (put_message(glim_json_get(root, "message"), out)) (void)put_code(root, "error", out);
        (void)put_message(v, out);
    }
    /* Without a text of its own it is shown as it stands. */
    if (!out->message[0]) glim_remote_text(out->message, sizeof out->message, v->text);
    return true;
}

/* FastAPI's list: where in the request, and what is wrong there. */
static void put_details(const glim_json *list, glim_remote *out)
{
    char text[sizeof out->message * 2] = "", piece[128];
    size_t n = 0;
    const glim_json *first = glim_json_at(list, 0);
    GLIM_JSON_EACH(part, glim_json_get(first, "loc"))
    {
        if (!put(part, piece, sizeof piece) || n + sizeof piece > sizeof text / 2) continue;
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", n ? "." : "", piece);
    }
    if (put(glim_json_get(first, "msg"), piece, sizeof piece))
        snprintf(text + n, sizeof text - n, "%s%s", n ? ": " : "", piece);
    glim_remote_text(out->message, sizeof out->message, text[0] ? glim_str_of(text) : list->text);
}

static bool read_detail(const glim_json *v, glim_remote *out)
{
    if (!is_truthy(v)) return false;
    if (v->type == GLIM_JSON_ARRAY)
        put_details(v, out);
    else if (!put_message(v, out) && !put_message(glim_json_get(v, "message"), out))
        glim_remote_text(out->message, sizeof out->message, v->text);
    return true;
}

/* Code and text at the top. The platform answers good news in the same shape. */
static bool read_flat(const glim_json *root, glim_remote *out)
{
    const glim_json *code = glim_json_get(root, "code"), *object = glim_json_get(root, "object");
    bool error = glim_json_is(object, GLIM_JSON_STRING) && glim_str_is(object->text, "error");
    bool good = glim_json_is(glim_json_get(root, "success"), GLIM_JSON_TRUE);
    glim_remote r = {.code = ""};
    int64_t n;
    if (glim_json_is(code, GLIM_JSON_NUMBER) && glim_json_i64(code, &n))
        good = good || n == 0 || n == 200;
    if (glim_json_is(code, GLIM_JSON_STRING))
        good = good || glim_str_is(code->text, "0") || glim_str_is(code->text, "200");
    bool text = put_message(glim_json_get(root, "msg"), &r) ||
                put_message(glim_json_get(root, "message"), &r);
    if (!error && (good || !text)) return false;
    (void)(put_code(root, "code", &r) || put_code(root, "type", &r) ||
           put_code(root, "status", &r));
    if (!r.message[0]) glim_remote_text(r.message, sizeof r.message, root->text);
    *out = r;
    return true;
}

bool glim_remote_find(const glim_json *v, glim_remote *out)
{
    memset(out, 0, sizeof *out);
    if (!glim_json_is(v, GLIM_JSON_OBJECT)) return false;
    bool is = read_error(v, glim_json_get(v, "error"), out);
    if (!is && (glim_json_get(v, "choices") ||
                glim_json_is(glim_json_get(v, "message"), GLIM_JSON_OBJECT)))
        return false; /* an answer */
    is = is || read_detail(glim_json_get(v, "detail"), out) || read_flat(v, out);
    if (is) put_request_id(v, out);
    return is;
}

bool glim_remote_read(glim_str body, glim_remote *out)
{
    glim_json *v;
    memset(out, 0, sizeof *out);
    glim_arena *a = glim_arena_new((size_t)64 << 20);
    bool is = a && glim_json_parse(a, body, &v, NULL) == GLIM_OK && glim_remote_find(v, out);
    glim_arena_free(a);
    return is;
}
