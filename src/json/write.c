/* SPDX-License-Identifier: MIT
 * write.c - compact JSON straight into a buffer.
 * Owns: escapes, commas, the spelling of numbers.
 * Not here: a tree (none is needed to write).
 * Thread: one at a time for a writer.
 * Fails: nothing here returns an error: the first one stays in b->err (NOMEM or LIMIT from the
 *        buffer, LIMIT for too deep a nesting, STATE for an end without a beginning).
 * See: tests/unit/json/test_write.c */
#include "json/json.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

void glim_jw_init(glim_jw *w, glim_buf *b)
{
    memset(w, 0, sizeof *w);
    w->b = b;
}

static void set_err(glim_jw *w, glim_err err)
{
    if (!w->b->err) w->b->err = err;
}

/* Before every value and key: the comma that the one before it left due. */
static void begin(glim_jw *w)
{
    if (w->need_comma[w->depth]) glim_buf_addc(w->b, ',');
    w->need_comma[w->depth] = true;
}

static void open_level(glim_jw *w, char c)
{
    begin(w);
    if (w->depth + 1 >= GLIM_COUNT(w->need_comma)) {
        set_err(w, GLIM_E_LIMIT);
        return;
    }
    glim_buf_addc(w->b, c);
    w->depth++;
    w->need_comma[w->depth] = false;
}

static void close_level(glim_jw *w, char c)
{
    if (w->depth == 0) {
        set_err(w, GLIM_E_STATE);
        return;
    }
    w->depth--;
    glim_buf_addc(w->b, c);
}

void glim_jw_object(glim_jw *w)
{
    open_level(w, '{');
}

void glim_jw_object_end(glim_jw *w)
{
    close_level(w, '}');
}

void glim_jw_array(glim_jw *w)
{
    open_level(w, '[');
}

void glim_jw_array_end(glim_jw *w)
{
    close_level(w, ']');
}

/* Bytes that a string literal may hold as they are. 0xC2 and 0xE2 begin U+0085 and U+2028/2029. */
static bool verbatim(unsigned char c)
{
    return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

static void quote_control(glim_buf *b, unsigned char c)
{
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    const char *p = c ? strchr(from, c) : NULL;
    if (p) {
        char two[2] = {'\\', to[p - from]};
        glim_buf_add(b, two, 2);
    } else {
        glim_buf_addf(b, "\\u%04x", c);
    }
}

void glim_json_quote(glim_buf *b, glim_str s)
{
    glim_buf_addc(b, '"');
    size_t i = 0;
    while (i < s.n && !b->err) {
        size_t run = i;
        while (run < s.n && verbatim((unsigned char)s.p[run]))
            run++;
        if (run > i) {
            glim_buf_add(b, s.p + i, run - i);
            i = run;
            continue;
        }
        unsigned char c = (unsigned char)s.p[i];
        uint32_t cp;
        if (c < 0x80) {
            quote_control(b, c);
            i++;
            continue;
        }
        int n = glim_utf8_decode((glim_str){s.p + i, s.n - i}, &cp);
        if (n == 0)
            glim_buf_adds(b, "\xEF\xBF\xBD");
        else if (cp == 0x2028 || cp == 0x2029 || cp == 0x85)
            glim_buf_addf(b, "\\u%04x", (unsigned)cp);
        else
            glim_buf_add(b, s.p + i, (size_t)n);
        i += n ? (size_t)n : 1;
    }
    glim_buf_addc(b, '"');
}

void glim_jw_keyv(glim_jw *w, glim_str key)
{
    begin(w);
    glim_json_quote(w->b, key);
    glim_buf_addc(w->b, ':');
    w->need_comma[w->depth] = false;
}

void glim_jw_key(glim_jw *w, const char *key)
{
    glim_jw_keyv(w, glim_str_of(key));
}

void glim_jw_str(glim_jw *w, glim_str s)
{
    begin(w);
    glim_json_quote(w->b, s);
}

void glim_jw_i64(glim_jw *w, int64_t v)
{
    begin(w);
    glim_buf_addf(w->b, "%" PRId64, v);
}

void glim_jw_u64(glim_jw *w, uint64_t v)
{
    begin(w);
    glim_buf_addf(w->b, "%" PRIu64, v);
}

/* Prints v with so many digits; a locale's decimal sign (one or more bytes) becomes a point. */
static void print_f64(double v, int digits, char *out, size_t n_out)
{
    char raw[40];
    snprintf(raw, sizeof raw, "%.*g", digits, v);
    size_t n = 0;
    bool point = false;
    for (const char *p = raw; *p && n + 1 < n_out; p++) {
        bool number = (*p >= '0' && *p <= '9') || *p == '-' || *p == '+' || *p == 'e';
        if (number)
            out[n++] = *p;
        else if (!point)
            out[n++] = '.';
        point = point || !number;
    }
    out[n] = '\0';
}

void glim_jw_f64(glim_jw *w, double v)
{
    char text[40];
    double back;
    if (!isfinite(v)) {
        glim_jw_null(w);
        return;
    }
    /* Every normal number needs 15 digits at most or a few more; subnormals may do with one. */
    int digits = fabs(v) < DBL_MIN ? 1 : DBL_DIG;
    do
        print_f64(v, digits, text, sizeof text);
    while (digits++ < DBL_DECIMAL_DIG && !(glim_parse_f64(glim_str_of(text), &back) && back == v));
    begin(w);
    glim_buf_adds(w->b, text);
}

void glim_jw_f32(glim_jw *w, float v)
{
    char text[40];
    double back;
    if (!isfinite(v)) {
        glim_jw_null(w);
        return;
    }
    int digits = fabsf(v) < FLT_MIN ? 1 : FLT_DIG;
    do
        print_f64((double)v, digits, text, sizeof text);
    while (digits++ < FLT_DECIMAL_DIG &&
           !(glim_parse_f64(glim_str_of(text), &back) && (float)back == v));
    begin(w);
    glim_buf_adds(w->b, text);
}

void glim_jw_bool(glim_jw *w, bool v)
{
    begin(w);
    glim_buf_adds(w->b, v ? "true" : "false");
}

void glim_jw_null(glim_jw *w)
{
    begin(w);
    glim_buf_adds(w->b, "null");
}

void glim_jw_raw(glim_jw *w, glim_str json)
{
    begin(w);
    glim_buf_addv(w->b, json);
}
