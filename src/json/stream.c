/* SPDX-License-Identifier: MIT
 * stream.c - the pull reader: one token a call, strict RFC 8259, no tree and no recursion.
 * Owns: the grammar of JSON; the tree (read.c) is built from these tokens and adds none of its own.
 * Not here: duplicate keys (read.c), the meaning of numbers (read.c).
 * Thread: one at a time for a reader.
 * Fails: GLIM_E_INPUT with the byte offset; GLIM_E_LIMIT when nested too deep; GLIM_E_NOMEM. A
 *        reader that failed stays failed.
 * See: tests/unit/json/test_stream.c */
#include "json/json.h"

enum {
    EXPECT_VALUE,     /* the root, behind a colon, behind a comma of an array */
    EXPECT_ELEMENT,   /* behind '[': a value or ']' */
    EXPECT_MEMBER,    /* behind '{': a key or '}' */
    EXPECT_KEY,       /* behind a comma of an object */
    EXPECT_SEPARATOR, /* behind a value: a comma or the end of what holds it */
    EXPECT_EOF,
    EXPECT_NOTHING, /* END was given */
    EXPECT_FAILED
};

/* Bytes at which the scan of a string has to look closer: controls, quote, backslash, non-ASCII. */
static inline bool plain_byte(unsigned char c)
{
    return c >= 0x20 && c != '"' && c != '\\' && c < 0x80;
}

void glim_json_reader_init(glim_json_reader *r, glim_str src)
{
    memset(r, 0, sizeof *r);
    r->src = src;
    r->max_depth = GLIM_JSON_DEPTH;
    r->expect = EXPECT_VALUE;
    glim_buf_init(&r->tmp, src.n);
}

void glim_json_reader_deinit(glim_json_reader *r)
{
    glim_buf_deinit(&r->tmp);
}

static bool in_object(const glim_json_reader *r)
{
    uint32_t level = r->depth - 1;
    return (r->stack[level / 8] >> (level % 8)) & 1;
}

static void skip_space(glim_json_reader *r)
{
    while (r->pos < r->src.n) {
        char c = r->src.p[r->pos];
        if (c != ' ' && c != '\n' && c != '\r' && c != '\t') break;
        r->pos++;
    }
}

static bool is_digit(const glim_json_reader *r, size_t i)
{
    return i < r->src.n && r->src.p[i] >= '0' && r->src.p[i] <= '9';
}

/* "what was expected, what is there instead" at offset at. */
static glim_err unexpected(glim_json_reader *r, size_t at, const char *expected, glim_error *e)
{
    if (at >= r->src.n)
        return glim_fail_off(e, GLIM_E_INPUT, at,
                             "at byte %zu: the JSON text ends here; expected %s", at, expected);
    unsigned char c = (unsigned char)r->src.p[at];
    if (c == 0xEF && at == 0)
        return glim_fail_off(e, GLIM_E_INPUT, at,
                             "at byte 0: a byte order mark or other non-JSON byte; expected %s",
                             expected);
    if (c > 0x20 && c < 0x7F)
        return glim_fail_off(e, GLIM_E_INPUT, at, "at byte %zu: '%c' where %s should be", at, c,
                             expected);
    return glim_fail_off(e, GLIM_E_INPUT, at, "at byte %zu: byte 0x%02x where %s should be", at, c,
                         expected);
}

/* Four hex digits at i; false when they are not there. */
static bool hex4(const glim_json_reader *r, size_t i, uint32_t *out)
{
    uint32_t v = 0;
    if (r->src.n < 4 || i > r->src.n - 4) return false;
    for (size_t k = 0; k < 4; k++) {
        char c = r->src.p[i + k];
        if (c >= '0' && c <= '9')
            v = v << 4 | (uint32_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            v = v << 4 | (uint32_t)(c - 'a' + 10);
        else if (c >= 'A' && c <= 'F')
            v = v << 4 | (uint32_t)(c - 'A' + 10);
        else
            return false;
    }
    *out = v;
    return true;
}

/* One \u escape at r->pos (the backslash), a pair of surrogates as one; appends its UTF-8 to tmp.
 */
static glim_err read_unicode(glim_json_reader *r, glim_error *e)
{
    size_t at = r->pos;
    uint32_t cp, low;
    if (!hex4(r, at + 2, &cp))
        return glim_fail_off(e, GLIM_E_INPUT, at, "at byte %zu: \\u without four hex digits", at);
    r->pos = at + 6;
    if (cp >= 0xD800 && cp <= 0xDFFF) {
        bool pair = cp <= 0xDBFF && r->pos + 1 < r->src.n && r->src.p[r->pos] == '\\' &&
                    r->src.p[r->pos + 1] == 'u' && hex4(r, r->pos + 2, &low) && low >= 0xDC00 &&
                    low <= 0xDFFF;
        if (!pair)
            return glim_fail_off(e, GLIM_E_INPUT, at,
                                 "at byte %zu: the surrogate \\u%04x has no partner", at,
                                 (unsigned)cp);
        cp = 0x10000 + ((cp - 0xD800) << 10) + (low - 0xDC00);
        r->pos += 6;
    }
    char utf8[4];
    int n = glim_utf8_encode(cp, utf8);
    return glim_buf_add(&r->tmp, utf8, (size_t)n);
}

static glim_err read_escape(glim_json_reader *r, glim_error *e)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    size_t at = r->pos;
    if (at + 1 >= r->src.n) return unexpected(r, at + 1, "the rest of an escape", e);
    char c = r->src.p[at + 1];
    if (c == 'u') return read_unicode(r, e);
    const char *p = c ? strchr(from, c) : NULL;
    if (!p) return unexpected(r, at + 1, "one of \"\\/bfnrtu behind a backslash", e);
    r->pos = at + 2;
    return glim_buf_addc(&r->tmp, to[p - from]);
}

/* The string at r->pos (its quote). Without escapes *text points into the source, else into tmp. */
static glim_err read_string(glim_json_reader *r, glim_str *text, glim_error *e)
{
    const char *s = r->src.p;
    size_t n = r->src.n, begin = ++r->pos; /* begin: first byte that is not in tmp yet */
    bool escaped = false;
    for (;;) {
        while (r->pos < n && plain_byte((unsigned char)s[r->pos]))
            r->pos++;
        if (r->pos >= n) return unexpected(r, n, "a closing quote", e);
        unsigned char c = (unsigned char)s[r->pos];
        if (c == '"') break;
        if (c == '\\') {
            if (!escaped) glim_buf_clear(&r->tmp);
            escaped = true;
            glim_err rc = glim_buf_add(&r->tmp, s + begin, r->pos - begin);
            if (!rc) rc = read_escape(r, e);
            if (rc == GLIM_E_INPUT) return rc;
            if (rc)
                return glim_fail_off(e, rc, r->pos, "at byte %zu: no memory for a string", r->pos);
            begin = r->pos;
        } else if (c < 0x20) {
            return unexpected(r, r->pos, "an escape (control bytes in strings are written \\u00XX)",
                              e);
        } else {
            uint32_t cp;
            int len = glim_utf8_decode((glim_str){s + r->pos, n - r->pos}, &cp);
            if (!len)
                return glim_fail_off(e, GLIM_E_INPUT, r->pos,
                                     "at byte %zu: byte 0x%02x is not valid UTF-8", r->pos, c);
            r->pos += (size_t)len;
        }
    }
    *text = glim_str_sub(r->src, begin, r->pos);
    if (escaped) {
        if (glim_buf_add(&r->tmp, s + begin, r->pos - begin))
            return glim_fail_off(e, r->tmp.err, r->pos, "at byte %zu: no memory for a string",
                                 r->pos);
        *text = glim_buf_view(&r->tmp);
    }
    r->pos++;
    return GLIM_OK;
}

static glim_err read_number(glim_json_reader *r, glim_str *text, glim_error *e)
{
    size_t begin = r->pos, i = begin;
    if (r->src.p[i] == '-') i++;
    if (!is_digit(r, i)) return unexpected(r, i, "a digit", e);
    if (r->src.p[i] == '0') {
        i++;
        if (is_digit(r, i))
            return glim_fail_off(e, GLIM_E_INPUT, i,
                                 "at byte %zu: a number begins with a needless 0", i);
    } else {
        while (is_digit(r, i))
            i++;
    }
    if (i < r->src.n && r->src.p[i] == '.') {
        i++;
        if (!is_digit(r, i)) return unexpected(r, i, "a digit", e);
        while (is_digit(r, i))
            i++;
    }
    if (i < r->src.n && (r->src.p[i] == 'e' || r->src.p[i] == 'E')) {
        i++;
        if (i < r->src.n && (r->src.p[i] == '+' || r->src.p[i] == '-')) i++;
        if (!is_digit(r, i)) return unexpected(r, i, "a digit of the exponent", e);
        while (is_digit(r, i))
            i++;
    }
    *text = glim_str_sub(r->src, begin, i);
    r->pos = i;
    return GLIM_OK;
}

static glim_err open_container(glim_json_reader *r, bool object, glim_error *e)
{
    uint32_t max = GLIM_MIN(r->max_depth, (uint32_t)GLIM_JSON_DEPTH);
    if (r->depth >= max)
        return glim_fail_off(e, GLIM_E_LIMIT, r->pos,
                             "at byte %zu: nested deeper than the limit of %u levels", r->pos,
                             (unsigned)max);
    uint8_t bit = (uint8_t)(1u << (r->depth % 8));
    uint8_t *byte = &r->stack[r->depth / 8];
    *byte = object ? (uint8_t)(*byte | bit) : (uint8_t)(*byte & ~bit);
    r->depth++;
    r->pos++;
    r->expect = object ? EXPECT_MEMBER : EXPECT_ELEMENT;
    return GLIM_OK;
}

static void after_value(glim_json_reader *r)
{
    r->expect = r->depth ? EXPECT_SEPARATOR : EXPECT_EOF;
}

static void close_container(glim_json_reader *r)
{
    r->pos++;
    r->depth--;
    after_value(r);
}

static glim_err read_literal(glim_json_reader *r, const char *word, glim_error *e)
{
    for (size_t i = 0; word[i]; i++) {
        if (r->pos + i >= r->src.n || r->src.p[r->pos + i] != word[i])
            return unexpected(r, r->pos + i, "the rest of null, true or false", e);
    }
    r->pos += strlen(word);
    return GLIM_OK;
}

static glim_err read_value(glim_json_reader *r, glim_json_tok *tok, glim_str *text, glim_error *e)
{
    if (r->pos >= r->src.n) return unexpected(r, r->pos, "a value", e);
    glim_err rc;
    char c = r->src.p[r->pos];
    switch (c) {
    case '{':
        *tok = GLIM_JT_OBJECT;
        return open_container(r, true, e);
    case '[':
        *tok = GLIM_JT_ARRAY;
        return open_container(r, false, e);
    case '"':
        *tok = GLIM_JT_STRING;
        rc = read_string(r, text, e);
        break;
    case 'n':
        *tok = GLIM_JT_NULL;
        rc = read_literal(r, "null", e);
        break;
    case 't':
        *tok = GLIM_JT_TRUE;
        rc = read_literal(r, "true", e);
        break;
    case 'f':
        *tok = GLIM_JT_FALSE;
        rc = read_literal(r, "false", e);
        break;
    default:
        if (c != '-' && !is_digit(r, r->pos)) return unexpected(r, r->pos, "a value", e);
        *tok = GLIM_JT_NUMBER;
        rc = read_number(r, text, e);
        break;
    }
    if (!rc) after_value(r);
    return rc;
}

/* A key with its colon. */
static glim_err read_key(glim_json_reader *r, glim_json_tok *tok, glim_str *text, glim_error *e)
{
    if (r->pos >= r->src.n || r->src.p[r->pos] != '"')
        return unexpected(r, r->pos, "a key in quotes", e);
    glim_err rc = read_string(r, text, e);
    if (rc) return rc;
    skip_space(r);
    if (r->pos >= r->src.n || r->src.p[r->pos] != ':')
        return unexpected(r, r->pos, "a colon behind the key", e);
    r->pos++;
    r->expect = EXPECT_VALUE;
    *tok = GLIM_JT_KEY;
    return GLIM_OK;
}

static glim_err next_token(glim_json_reader *r, glim_json_tok *tok, glim_str *text, glim_error *e)
{
    skip_space(r);
    char c = r->pos < r->src.n ? r->src.p[r->pos] : '\0';
    if (r->expect == EXPECT_SEPARATOR && c == ',') {
        r->expect = in_object(r) ? EXPECT_KEY : EXPECT_VALUE;
        r->pos++;
        skip_space(r);
        c = '\0'; /* a bracket here closes nothing: it stands behind a comma */
    }
    r->at = r->pos;
    switch (r->expect) {
    case EXPECT_SEPARATOR:
    case EXPECT_ELEMENT:
    case EXPECT_MEMBER:
        if (c == (in_object(r) ? '}' : ']')) {
            *tok = in_object(r) ? GLIM_JT_OBJECT_END : GLIM_JT_ARRAY_END;
            close_container(r);
            return GLIM_OK;
        }
        if (r->expect == EXPECT_SEPARATOR)
            return unexpected(r, r->pos, in_object(r) ? "a comma or }" : "a comma or ]", e);
        if (r->expect == EXPECT_MEMBER) return read_key(r, tok, text, e);
        return read_value(r, tok, text, e);
    case EXPECT_KEY:
        return read_key(r, tok, text, e);
    case EXPECT_VALUE:
        return read_value(r, tok, text, e);
    case EXPECT_EOF:
        if (r->pos < r->src.n) return unexpected(r, r->pos, "the end of the JSON text", e);
        r->expect = EXPECT_NOTHING;
        *tok = GLIM_JT_END;
        return GLIM_OK;
    case EXPECT_NOTHING:
        return glim_fail_off(e, GLIM_E_STATE, r->pos, "the JSON text was read to its end already");
    default:
        return glim_fail_off(e, GLIM_E_STATE, r->pos, "the JSON reader failed before");
    }
}

glim_err glim_json_next(glim_json_reader *r, glim_json_tok *tok, glim_str *text, glim_error *e)
{
    *text = (glim_str){NULL, 0};
    *tok = GLIM_JT_END;
    glim_err rc = next_token(r, tok, text, e);
    if (rc && rc != GLIM_E_STATE) r->expect = EXPECT_FAILED;
    return rc;
}

glim_err glim_json_skip(glim_json_reader *r, glim_json_tok tok, glim_error *e)
{
    glim_str text;
    if (tok == GLIM_JT_KEY) {
        glim_err rc = glim_json_next(r, &tok, &text, e);
        if (rc) return rc;
    }
    if (tok != GLIM_JT_ARRAY && tok != GLIM_JT_OBJECT) return GLIM_OK;
    uint32_t outside = r->depth - 1;
    while (r->depth > outside) {
        glim_err rc = glim_json_next(r, &tok, &text, e);
        if (rc) return rc;
    }
    return GLIM_OK;
}
