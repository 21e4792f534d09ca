/* SPDX-License-Identifier: MIT
 * pyjson.c - a JSON value written the way Python writes it.
 * Owns: json.dumps(ensure_ascii=False) and str() after json.loads.
 * Not here: JSON for machines (json/write.c).
 * Fails: the first error of the buffer, which stays in b->err.
 * Thread: any.
 * See: tests/unit/text/test_pyjson.c; the values there were printed by Python 3.11. */
#include "text/text.h"

#include "text/uniclass_priv.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* What differs between the two notations. */
typedef struct dialect {
    const char *null, *false_, *true_, *infinity;
    void (*string)(glim_buf *b, glim_str s);
} dialect;

/* json.dumps escapes the quote, the backslash and what is below the space, and nothing else. */
static void dump_string(glim_buf *b, glim_str s)
{
    static const char hex[] = "0123456789abcdef";
    size_t from = 0;
    glim_buf_addc(b, '"');
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c >= 0x20 && c != '"' && c != '\\') continue;
        char esc[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
        static const char named[] = "\"\"\\\\\bb\ff\nn\rr\tt";
        size_t n = sizeof esc;
        for (size_t k = 0; k + 1 < sizeof named; k += 2) {
            if (named[k] != (char)c) continue;
            esc[1] = named[k + 1];
            n = 2;
        }
        glim_buf_add(b, s.p + from, i - from);
        glim_buf_add(b, esc, n);
        from = i + 1;
    }
    if (s.n > from) glim_buf_add(b, s.p + from, s.n - from);
    glim_buf_addc(b, '"');
}

/* repr(str): single quotes unless that would cost escapes that double quotes save. */
static void repr_string(glim_buf *b, glim_str s)
{
    bool single = s.n && memchr(s.p, '\'', s.n), both = single && memchr(s.p, '"', s.n);
    char quote = single && !both ? '"' : '\'';
    glim_buf_addc(b, quote);
    for (size_t i = 0; i < s.n;) {
        uint32_t cp = 0;
        int n = glim_utf8_decode(glim_str_sub(s, i, s.n), &cp);
        if (n <= 0) { /* not text; the reader refuses it before it comes here */
            cp = (unsigned char)s.p[i];
            n = 1;
        }
        if (cp == (uint32_t)quote || cp == '\\')
            glim_buf_addf(b, "\\%c", (char)cp);
        else if (cp == '\n' || cp == '\r' || cp == '\t')
            glim_buf_addf(b, "\\%c", cp == '\n' ? 'n' : cp == '\r' ? 'r' : 't');
        else if (glim_uniclass_of(cp) != GLIM_UNI_HIDDEN)
            glim_buf_add(b, s.p + i, (size_t)n);
        else
            glim_buf_addf(b, cp < 0x100 ? "\\x%02x" : cp < 0x10000 ? "\\u%04x" : "\\U%08x", cp);
        i += (size_t)n;
    }
    glim_buf_addc(b, quote);
}

/* Significant digits of d > 0, without trailing zeros, and the exponent of the first: 1.5e3 is
 * "15", 3. Returns their number; 0 when these n_digit digits do not read back as d. */
static int digits_of(double d, int n_digit, char digits[20], int *exp10)
{
    char text[40];
    snprintf(text, sizeof text, "%.*e", n_digit - 1, d);
    /* The decimal point is the locale's: only digits are taken from before the 'e'. */
    int n = 0, at = 0;
    for (; text[at] && text[at] != 'e'; at++) {
        if (text[at] >= '0' && text[at] <= '9' && n < 17) digits[n++] = text[at];
    }
    bool minus = text[at] && text[at + 1] == '-';
    int x = 0;
    for (; text[at]; at++) {
        if (text[at] >= '0' && text[at] <= '9') x = x * 10 + (text[at] - '0');
    }
    *exp10 = minus ? -x : x;
    return n;
}

static bool reads_as(const char *digits, int n, int exp10, double d)
{
    char text[40];
    double back;
    int len = snprintf(text, sizeof text, "%.*se%d", n, digits, exp10 - (n - 1));
    return len > 0 && glim_parse_f64((glim_str){text, (size_t)len}, &back) && back == d;
}

/* The next digit string of the same length; false when it would grow. */
static bool digits_up(char *digits, int n)
{
    for (int i = n - 1; i >= 0; i--) {
        if (digits[i] != '9') {
            digits[i]++;
            return true;
        }
        digits[i] = '0';
    }
    return false;
}

/* The shortest digits that read back as d > 0, nearest to d among those. */
static int shortest(double d, char digits[20], int *exp10)
{
    /* 15 digits survive the way into a normal double and back, so what has fewer shows there as
     * zeros at the end. */
    int n = 0;
    for (int want = d < DBL_MIN ? 1 : 15; want <= 17; want++) {
        n = digits_of(d, want, digits, exp10);
        if (reads_as(digits, n, *exp10, d)) break;
        /* Below a power of two the doubles lie twice as dense as above it: there the nearest
         * decimal may miss while the next one up still reads back. */
        char up[20];
        memcpy(up, digits, (size_t)n);
        if (digits_up(up, n) && reads_as(up, n, *exp10, d)) {
            memcpy(digits, up, (size_t)n);
            break;
        }
    }
    while (n > 1 && digits[n - 1] == '0')
        n--;
    return n;
}

/* A JSON number as a double, infinite when too large. glim_parse_f64() takes short texts only, and
 * a client may send any number of digits: those go to strtod() as an integer and an exponent, for
 * the decimal point is the locale's. */
static double read_float(glim_buf *b, glim_str lexeme)
{
    double d;
    if (lexeme.n < 100) return glim_parse_f64(lexeme, &d) ? d : HUGE_VAL;
    size_t n_point = 0, at = 0; /* digits behind the point */
    bool point = false;
    glim_buf text;
    glim_buf_init(&text, lexeme.n + 32);
    for (; at < lexeme.n && lexeme.p[at] != 'e' && lexeme.p[at] != 'E'; at++) {
        if (lexeme.p[at] != '.') glim_buf_addc(&text, lexeme.p[at]);
        n_point += point;
        if (lexeme.p[at] == '.') point = true;
    }
    int64_t exp10 = 0;
    if (at < lexeme.n && !glim_parse_i64(glim_str_sub(lexeme, at + 1, lexeme.n), &exp10))
        exp10 = lexeme.p[at + 1] == '-' ? INT64_MIN / 2 : INT64_MAX / 2;
    exp10 = GLIM_MAX(GLIM_MIN(exp10, INT64_MAX / 2), INT64_MIN / 2);
    glim_buf_addf(&text, "e%" PRId64, exp10 - (int64_t)n_point);
    if (text.err && !b->err) b->err = text.err;
    d = text.p ? strtod(text.p, NULL) : 0;
    glim_buf_deinit(&text);
    return d;
}

/* float.__repr__: plain between 1e-4 and 1e16, else with an exponent of two digits or more. */
static void put_float(glim_buf *b, glim_str lexeme, const dialect *k)
{
    char digits[20];
    int exp10 = 0, n;
    double d = fabs(read_float(b, lexeme));
    if (lexeme.p[0] == '-') glim_buf_addc(b, '-');
    if (isinf(d)) {
        glim_buf_adds(b, k->infinity);
        return;
    }
    if (d == 0) {
        glim_buf_adds(b, "0.0");
        return;
    }
    n = shortest(d, digits, &exp10);
    if (exp10 < -4 || exp10 >= 16) {
        glim_buf_add(b, digits, 1);
        if (n > 1) glim_buf_addf(b, ".%.*s", n - 1, digits + 1);
        glim_buf_addf(b, "e%c%02d", exp10 < 0 ? '-' : '+', exp10 < 0 ? -exp10 : exp10);
    } else if (exp10 < 0) {
        glim_buf_addf(b, "0.%.*s%.*s", -exp10 - 1, "000", n, digits);
    } else {
        for (int i = 0; i <= exp10 || i < n; i++) {
            if (i == exp10 + 1) glim_buf_addc(b, '.');
            glim_buf_addc(b, i < n ? digits[i] : '0');
        }
        if (n <= exp10 + 1) glim_buf_adds(b, ".0");
    }
}

static void put_number(glim_buf *b, glim_str lexeme, const dialect *k)
{
    bool is_float = false;
    for (size_t i = 0; i < lexeme.n && !is_float; i++)
        is_float = lexeme.p[i] == '.' || lexeme.p[i] == 'e' || lexeme.p[i] == 'E';
    if (is_float)
        put_float(b, lexeme, k);
    else
        glim_buf_addv(b, glim_str_is(lexeme, "-0") ? GLIM_STR("0") : lexeme);
}

/* Recursion is bounded by the reader's depth limit, GLIM_JSON_DEPTH. */
static void put_value(glim_buf *b, const glim_json *v, const dialect *k)
{
    switch (v->type) {
    case GLIM_JSON_NULL:
        glim_buf_adds(b, k->null);
        return;
    case GLIM_JSON_FALSE:
        glim_buf_adds(b, k->false_);
        return;
    case GLIM_JSON_TRUE:
        glim_buf_adds(b, k->true_);
        return;
    case GLIM_JSON_NUMBER:
        put_number(b, v->text, k);
        return;
    case GLIM_JSON_STRING:
        k->string(b, v->text);
        return;
    case GLIM_JSON_ARRAY:
    case GLIM_JSON_OBJECT:
        break;
    }
    bool object = v->type == GLIM_JSON_OBJECT;
    glim_buf_addc(b, object ? '{' : '[');
    GLIM_JSON_EACH(it, v)
    {
        if (it != v->child) glim_buf_adds(b, ", ");
        if (object) {
            k->string(b, it->key);
            glim_buf_adds(b, ": ");
        }
        put_value(b, it, k);
    }
    glim_buf_addc(b, object ? '}' : ']');
}

glim_err glim_pyjson(glim_buf *b, const glim_json *v)
{
    static const dialect json = {"null", "false", "true", "Infinity", dump_string};
    put_value(b, v, &json);
    return b->err;
}

glim_err glim_pyrepr(glim_buf *b, const glim_json *v)
{
    static const dialect python = {"None", "False", "True", "inf", repr_string};
    if (v->type == GLIM_JSON_STRING)
        glim_buf_addv(b, v->text);
    else
        put_value(b, v, &python);
    return b->err;
}
