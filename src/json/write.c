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

/* The digits of m, at most 9, as a fixed-point number with n_after of them behind the point; zeros at
 * the end are left out. Returns the length. */
static size_t put_fixed(char *out, uint32_t m, int n_after)
{
    char digit[16];
    size_t n = 0;
    int n_digit = 0;
    for (; n_after > 0 && m % 10 == 0; n_after--)
        m /= 10;
    do
        digit[n_digit++] = (char)('0' + m % 10);
    while ((m /= 10) != 0);
    while (n_digit <= n_after) /* a digit before the point, and zeros behind it */
        digit[n_digit++] = '0';
    while (n_digit-- > 0) {
        out[n++] = digit[n_digit];
        if (n_digit == n_after && n_after > 0) out[n++] = '.';
    }
    return n;
}

static const double ten[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12};

/* x times ten to the power k, rounded as printf does it; does it read back as x? x is a float's. */
static bool round_at(double x, int k, uint32_t *m)
{
    double scaled = x * ten[k], whole;
    *m = (uint32_t)scaled;
    whole = (double)*m;
    if (scaled - whole > 0.5 || (scaled - whole == 0.5 && (*m & 1))) *m += 1;
    return (float)((double)*m / ten[k]) == (float)x;
}

/* The shortest form of most floats, without printf: 0, and 0.0001 to below 1000000. Vectors are
 * millions of numbers. What it finds is what the search by printf and strtod finds: a float has 24
 * bits and ten to the power 12 has 28, so their product is exact and so is its rounding; digits and
 * power are exact too, so that their quotient is what a reader makes of the text.
 * Returns the length, 0: not one of these. */
static size_t fast_f32(float v, char *out)
{
    enum { FEW = 8 }; /* digits that nearly half of all floats need; most others need one more */
    const double x = fabs((double)v);
    uint32_t m, fewer;
    size_t n = signbit(v) ? 1 : 0;
    int lead = 5; /* the first digit stands for ten to this power */
    out[0] = '-';
    if (x == 0) {
        out[n++] = '0';
        return n;
    }
    if (!(x >= 1e-4 && x < 1e6)) return 0;
    while (lead >= 0 ? x < ten[lead] : x * ten[-lead] < 1)
        lead--;
    int k = FEW - 1 - lead;
    if (!round_at(x, k, &m)) {
        k++;
        if (!round_at(x, k, &m)) return 0;
    } else {
        while (k > FLT_DIG - 1 - lead && round_at(x, k - 1, &fewer)) {
            m = fewer;
            k--;
        }
    }
    return n + put_fixed(out + n, m, k);
}

void glim_jw_f32(glim_jw *w, float v)
{
    char text[40];
    double back;
    if (!isfinite(v)) {
        glim_jw_null(w);
        return;
    }
    size_t n = fast_f32(v, text);
    if (n) {
        begin(w);
        glim_buf_add(w->b, text, n);
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
