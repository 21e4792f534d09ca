/* SPDX-License-Identifier: MIT
 * err.c - error codes to text and status, and the one function that fills a glim_error.
 * Thread: any.   See: include/glim/err.def */
#include "base/base.h"

#include <stdio.h>

static const struct {
    glim_err code;
    const char *text;
    int http, exit_status;
} codes[] = {
#define ERR(code, number, text, http, exit_status) {GLIM_E_##code, text, http, exit_status},
#include "glim/err.def"
#undef ERR
};

const char *glim_strerror(glim_err code)
{
    for (size_t i = 0; i < GLIM_COUNT(codes); i++)
        if (codes[i].code == code) return codes[i].text;
    return "unknown error";
}

int glim_err_exit(glim_err code)
{
    for (size_t i = 0; i < GLIM_COUNT(codes); i++)
        if (codes[i].code == code) return codes[i].exit_status;
    return 1;
}

int glim_err_http(glim_err code)
{
    for (size_t i = 0; i < GLIM_COUNT(codes); i++)
        if (codes[i].code == code) return codes[i].http;
    return 500;
}

/* Formats into out; a text that is too long keeps both ends, because the cure stands last. A path may hold any
 * byte but NUL: control bytes become '?', so that a message is one line and cannot steer a terminal. */
static void format_message(char *out, size_t n_out, const char *fmt, va_list ap)
{
    char tmp[2048], *text = tmp, *big = NULL;
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(tmp, sizeof tmp, fmt, ap);
    size_t len = n < 0 ? 0 : (size_t)n;
    if (n < 0) tmp[0] = 0;
    if (len >= sizeof tmp) {
        big = glim_alloc(len + 1); /* without memory the end of tmp has to do */
        if (big) vsnprintf(big, len + 1, fmt, again);
        else len = sizeof tmp - 1;
        text = big ? big : tmp;
    }
    va_end(again);
    if (len < n_out) {
        memcpy(out, text, len + 1);
    } else {
        size_t head = n_out / 2 - 3, tail = n_out - 1 - head - 3;
        memcpy(out, text, head);
        memcpy(out + head, "...", 3);
        memcpy(out + head + 3, text + len - tail, tail + 1);
    }
    glim_free(big);
    for (char *p = out; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f) *p = '?';
}

glim_err glim_fail_at(glim_error *e, glim_err code, uint64_t offset, const char *file, int line,
                      const char *fmt, ...)
{
    if (!e) return code;
    e->code = code;
    e->offset = offset;
    e->file = file;
    e->line = line;
    va_list ap;
    va_start(ap, fmt);
    format_message(e->msg, sizeof e->msg, fmt, ap);
    va_end(ap);
    return code;
}

static void set_message(glim_error *e, const char *fmt, ...) GLIM_PRINTF(2, 3);
static void set_message(glim_error *e, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    format_message(e->msg, sizeof e->msg, fmt, ap);
    va_end(ap);
}

glim_err glim_error_prefix(glim_error *e, const char *fmt, ...)
{
    if (!e) return GLIM_E_FAIL;
    char prefix[512], old[sizeof e->msg];
    va_list ap;
    va_start(ap, fmt);
    format_message(prefix, sizeof prefix, fmt, ap);
    va_end(ap);
    memcpy(old, e->msg, sizeof old);
    set_message(e, "%s: %s", prefix, old);
    return e->code;
}
