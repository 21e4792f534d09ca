/* SPDX-License-Identifier: MIT
 * splitre.c - a splitting expression as Hugging Face files write it (Oniguruma, Ruby syntax, UTF-8)
 * into PCRE2's notation, with the same matches.
 * Owns: which constructs are known to mean the same.
 * Not here: compiling and matching (pretok.c). The known ones are listed and everything else is
 *           refused by name: a tokenizer that splits otherwise than the model was trained with is
 *           worse than none. Differences bridged: \s is exactly White_Space (PCRE2 10.42 adds
 *           U+180E), \d is Nd, ^ and $ are at every line, \v is U+000B, {,n} is {0,n}, plain groups
 *           do not capture.
 * Thread: any.
 * Fails: GLIM_E_UNSUPPORTED, GLIM_E_LIMIT, GLIM_E_NOMEM.
 * See: tests/unit/text/test_pretok.c */
#include "tok_priv.h"

#include <stdio.h>

enum {
    NEST_MAX = 64,
    REGEX_MAX = 1 << 16, /* bytes; the longest known one has 700 */
    COUNT_MAX = 1000     /* of {n,m} */
};

/* Members of a class that make up \s and \S. */
#define SPACE_IN                                                                                   \
    "\\x09-\\x0d\\x20\\x85\\xa0\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}"   \
    "\\x{3000}"
#define SPACE_OUT                                                                                  \
    "\\x00-\\x08\\x0e-\\x1f!-\\x84\\x86-\\x9f\\xa1-\\x{167f}\\x{1681}-\\x{1fff}\\x{200b}-\\x{"     \
    "2027}"                                                                                        \
    "\\x{202a}-\\x{202e}\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}\\x{3001}-\\x{10ffff}"

typedef enum before { NOTHING, ATOM, QUANTIFIED } before;

typedef struct xlat {
    glim_str re;
    size_t i;
    glim_buf *out;
    glim_error *e;
    before before; /* what a quantifier here would apply to */
    size_t depth;
    bool icase[NEST_MAX + 1]; /* letter case ignored, by depth */
    bool group_is_look[NEST_MAX + 1];
} xlat;

static glim_err refuse(const xlat *x, size_t at, const char *what)
{
    return glim_fail_off(x->e, GLIM_E_UNSUPPORTED, at,
                         "the split pattern has %s at byte %zu, which glim cannot translate "
                         "faithfully; pattern: %s",
                         what, at, GLIM_QUOTE(x->re));
}

static char peek(const xlat *x, size_t ahead)
{
    return x->i + ahead < x->re.n ? x->re.p[x->i + ahead] : '\0';
}

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static void emit_cp(xlat *x, uint32_t cp)
{
    if (cp < 0x80 && (letter((char)cp) || digit((char)cp)))
        glim_buf_addc(x->out, (char)cp);
    else
        glim_buf_addf(x->out, "\\x{%x}", (unsigned)cp);
}

/* General categories mean the same in both engines. Scripts are given as sc: because PCRE2's plain
 * names stand for script extensions. */
static bool property(glim_str name, bool icase, const char **prefix)
{
    static const char *const categories[] = {"L",  "Ll", "Lu", "Lt", "Lm", "Lo", "M",  "Mn", "Mc",
                                             "Me", "N",  "Nd", "Nl", "No", "P",  "Pc", "Pd", "Ps",
                                             "Pe", "Pi", "Pf", "Po", "S",  "Sm", "Sc", "Sk", "So",
                                             "Z",  "Zs", "Zl", "Zp", "C",  "Cc", "Cf", "Co", "Cn"};
    static const char *const scripts[] = {"Han",   "Hiragana", "Katakana",  "Hangul",
                                          "Latin", "Greek",    "Cyrillic",  "Arabic",
                                          "Thai",  "Hebrew",   "Devanagari"};
    for (size_t i = 0; i < GLIM_COUNT(categories); i++) {
        if (!glim_str_is(name, categories[i])) continue;
        *prefix = "";
        /* Ignoring case, Oniguruma folds the members of cased categories and PCRE2 does not. */
        return !(icase && name.n == 2 && name.p[0] == 'L' && strchr("lut", name.p[1]));
    }
    for (size_t i = 0; i < GLIM_COUNT(scripts); i++) {
        if (!glim_str_is(name, scripts[i])) continue;
        *prefix = "sc:";
        return true;
    }
    return false;
}

/* \p{...} or \P{...} with x->i at the p; leaves x->i behind it. */
static glim_err translate_property(xlat *x)
{
    size_t at = x->i - 1;
    bool negative = x->re.p[x->i] == 'P';
    x->i++;
    if (peek(x, 0) != '{') return refuse(x, at, "\\p without braces");
    x->i++;
    if (peek(x, 0) == '^') {
        negative = !negative;
        x->i++;
    }
    size_t begin = x->i;
    while (x->i < x->re.n && x->re.p[x->i] != '}')
        x->i++;
    if (x->i >= x->re.n) return refuse(x, at, "an unclosed \\p{");
    glim_str name = glim_str_sub(x->re, begin, x->i++);
    const char *prefix;
    if (!property(name, x->icase[x->depth], &prefix)) {
        char what[80], q[48];
        glim_quote(name, q, sizeof q);
        (void)snprintf(what, sizeof what, "the property %s", q);
        return refuse(x, at, what);
    }
    return glim_buf_addf(x->out, "\\%c{%s%.*s}", negative ? 'P' : 'p', prefix, GLIM_STR_ARG(name));
}

static bool hex(char c, uint32_t *v)
{
    uint32_t d;
    if (digit(c))
        d = (uint32_t)(c - '0');
    else if (c >= 'a' && c <= 'f')
        d = (uint32_t)(c - 'a' + 10);
    else if (c >= 'A' && c <= 'F')
        d = (uint32_t)(c - 'A' + 10);
    else
        return false;
    *v = *v << 4 | d;
    return true;
}

/* \xHH, \x{H...}, \uHHHH with x->i at the x or u. */
static glim_err hex_escape(xlat *x, uint32_t *cp)
{
    size_t at = x->i - 1;
    bool is_u = x->re.p[x->i++] == 'u';
    uint32_t v = 0;
    size_t n = 0;
    if (!is_u && peek(x, 0) == '{') {
        x->i++;
        while (n < 8 && hex(peek(x, 0), &v)) {
            x->i++;
            n++;
        }
        if (!n || peek(x, 0) != '}') return refuse(x, at, "a malformed \\x{");
        x->i++;
    } else {
        size_t want = is_u ? 4 : 2;
        while (n < want && hex(peek(x, 0), &v)) {
            x->i++;
            n++;
        }
        if (n != want) return refuse(x, at, "a malformed hexadecimal escape");
        /* Two digits name a byte, not a character. */
        if (!is_u && v >= 0x80) return refuse(x, at, "a byte escape above \\x7f");
    }
    char utf8[4];
    if (!glim_utf8_encode(v, utf8)) return refuse(x, at, "a code point outside Unicode");
    *cp = v;
    return GLIM_OK;
}

/* The escape whose letter is at x->i. A single character is returned in *cp (*is_set false), a set
 * is written to out, in a form for inside or outside of brackets. */
static glim_err escape(xlat *x, bool in_class, bool *is_set, uint32_t *cp)
{
    static const char from[] = "rntfave";
    static const char to[] = "\r\n\t\f\a\v\x1b";
    size_t at = x->i - 1;
    *is_set = false;
    if (x->i >= x->re.n) return refuse(x, at, "a lone backslash");
    char c = x->re.p[x->i];
    const char *simple = c ? strchr(from, c) : NULL;
    if (simple) {
        *cp = (unsigned char)to[simple - from];
        x->i++;
        return GLIM_OK;
    }
    if (c == 'x' || c == 'u') return hex_escape(x, cp);
    if ((unsigned char)c >= 0x80 || (c >= 0x20 && c < 0x7f && !letter(c) && !digit(c))) {
        x->i += (size_t)glim_utf8_decode(glim_str_sub(x->re, x->i, x->re.n), cp);
        return GLIM_OK;
    }
    *is_set = true;
    switch (c) {
    case 's':
        glim_buf_adds(x->out, in_class ? SPACE_IN : "[" SPACE_IN "]");
        break;
    case 'S':
        glim_buf_adds(x->out, in_class ? SPACE_OUT : "[^" SPACE_IN "]");
        break;
    case 'd':
        glim_buf_adds(x->out, "\\p{Nd}");
        break;
    case 'D':
        glim_buf_adds(x->out, "\\P{Nd}");
        break;
    case 'p':
    case 'P':
        return translate_property(x);
    default: {
        char what[16];
        if (c > 0x20 && c < 0x7f)
            (void)snprintf(what, sizeof what, "\\%c", c);
        else
            (void)snprintf(what, sizeof what, "\\ 0x%02x", (unsigned char)c);
        return refuse(x, at, what);
    }
    }
    x->i++;
    return GLIM_OK;
}

/* One member of a class: a set (written) or a character (in *cp). */
static glim_err class_member(xlat *x, bool *is_set, uint32_t *cp)
{
    size_t at = x->i;
    char c = x->re.p[x->i];
    *is_set = false;
    if (c == '\\') {
        x->i++;
        return escape(x, true, is_set, cp);
    }
    if (c == '[') return refuse(x, at, peek(x, 1) == ':' ? "a POSIX class" : "a class in a class");
    if (c == '&' && peek(x, 1) == '&') return refuse(x, at, "&& in a class");
    x->i += (size_t)glim_utf8_decode(glim_str_sub(x->re, x->i, x->re.n), cp);
    return GLIM_OK;
}

/* A class with x->i behind its bracket. */
static glim_err translate_class(xlat *x)
{
    size_t at = x->i - 1;
    glim_buf_addc(x->out, '[');
    if (peek(x, 0) == '^') {
        glim_buf_addc(x->out, '^');
        x->i++;
    }
    if (peek(x, 0) == ']') return refuse(x, x->i, "] as the first of a class");
    for (;;) {
        if (x->i >= x->re.n) return refuse(x, at, "an unclosed [");
        if (x->re.p[x->i] == ']') break;
        bool is_set;
        uint32_t low, high;
        size_t member = x->i;
        glim_err rc = class_member(x, &is_set, &low);
        if (rc) return rc;
        if (peek(x, 0) != '-' || peek(x, 1) == ']' || peek(x, 1) == '\0') {
            if (!is_set) emit_cp(x, low);
            continue;
        }
        if (is_set || low == '-') return refuse(x, member, "a range that begins with no character");
        x->i++;
        rc = class_member(x, &is_set, &high);
        if (rc) return rc;
        if (is_set || high < low) return refuse(x, member, "a range without a proper end");
        emit_cp(x, low);
        glim_buf_addc(x->out, '-');
        emit_cp(x, high);
    }
    x->i++;
    x->before = ATOM;
    return glim_buf_addc(x->out, ']');
}

/* An opening parenthesis at x->i. */
static glim_err open_group(xlat *x)
{
    static const struct {
        const char *text;
        bool look, icase;
    } known[] = {{"(?:", false, false}, {"(?i:", false, true}, {"(?=", true, false},
                 {"(?!", true, false},  {"(?<=", true, false}, {"(?<!", true, false},
                 {"(?>", false, false}};
    glim_str rest = glim_str_sub(x->re, x->i, x->re.n);
    size_t at = x->i;
    if (glim_str_starts(rest, GLIM_STR("(?i)")) && x->i == 0) {
        x->icase[0] = true;
        x->i += 4;
        return glim_buf_adds(x->out, "(?i)");
    }
    if (x->depth == NEST_MAX) return refuse(x, at, "groups nested too deep");
    bool look = false, icase = x->icase[x->depth];
    if (peek(x, 1) == '?') {
        size_t k = 0;
        while (k < GLIM_COUNT(known) && !glim_str_starts(rest, glim_str_of(known[k].text)))
            k++;
        if (k == GLIM_COUNT(known)) return refuse(x, at, "an unknown kind of group");
        look = known[k].look;
        icase = icase || known[k].icase;
        glim_buf_adds(x->out, known[k].text);
        x->i += strlen(known[k].text);
    } else {
        glim_buf_adds(x->out, "(?:"); /* captures are of no use: references to them are refused */
        x->i++;
    }
    x->depth++;
    x->icase[x->depth] = icase;
    x->group_is_look[x->depth] = look;
    x->before = NOTHING;
    return GLIM_OK;
}

static glim_err close_group(xlat *x)
{
    if (x->depth == 0) return refuse(x, x->i, "an unmatched )");
    /* A quantified look-around is legal and has no use: the engines differ there. */
    x->before = x->group_is_look[x->depth] ? NOTHING : ATOM;
    x->depth--;
    x->i++;
    return glim_buf_addc(x->out, ')');
}

/* {n}, {n,}, {,m}, {n,m} at x->i: fills the counts (high -1: none) and the length. False: the brace
 * is itself. */
static bool counts(const xlat *x, long *low, long *high, size_t *len)
{
    size_t k = 1;
    long v[2] = {-1, -1};
    bool comma = false;
    for (size_t j = 0; j < 2; j++) {
        while (digit(peek(x, k))) {
            v[j] = GLIM_MIN(GLIM_MAX(v[j], 0) * 10 + (peek(x, k) - '0'), COUNT_MAX + 1);
            k++;
        }
        if (j == 0 && peek(x, k) == ',') {
            comma = true;
            k++;
        } else {
            break;
        }
    }
    if (peek(x, k) != '}' || (v[0] < 0 && v[1] < 0)) return false;
    *low = GLIM_MAX(v[0], 0);
    *high = comma ? v[1] : *low;
    *len = k + 1;
    return true;
}

static glim_err quantifier(xlat *x)
{
    size_t at = x->i, len = 1;
    char c = x->re.p[x->i];
    long low = 0, high = 0;
    bool braces = c == '{', exact = false;
    if (braces && !counts(x, &low, &high, &len)) {
        x->i++;
        x->before = ATOM;
        return glim_buf_adds(x->out, "\\{");
    }
    if (x->before == NOTHING) return refuse(x, at, "a quantifier of nothing");
    if (x->before == QUANTIFIED) return refuse(x, at, "a quantifier of a quantifier");
    if (braces) {
        if (low > COUNT_MAX || high > COUNT_MAX) return refuse(x, at, "a count above 1000");
        if (high >= 0 && high < low) return refuse(x, at, "a range of counts that runs backwards");
        exact = low == high;
        glim_buf_addf(x->out, "{%ld", low);
        if (!exact) glim_buf_addc(x->out, ',');
        if (!exact && high >= 0) glim_buf_addf(x->out, "%ld", high);
        glim_buf_addc(x->out, '}');
    } else {
        glim_buf_addc(x->out, c);
    }
    x->i += len;
    c = peek(x, 0);
    if (c == '?' || c == '+') {
        /* In Ruby's syntax {n}? is optional, not lazy, and {n,m}+ repeats, not possessive. */
        if (braces && (c == '+' || exact))
            return refuse(x, x->i, "a suffix of a counted quantifier");
        glim_buf_addc(x->out, c);
        x->i++;
    }
    x->before = QUANTIFIED;
    return GLIM_OK;
}

static glim_err literal(xlat *x, uint32_t cp)
{
    /* Ignoring case, Oniguruma also folds one character to several (ß and ss) outside ASCII. */
    if (x->icase[x->depth] && cp >= 0x80)
        return refuse(x, x->i, "a non-ASCII letter in a part that ignores case");
    emit_cp(x, cp);
    x->before = ATOM;
    return GLIM_OK;
}

static glim_err translate_one(xlat *x)
{
    char c = x->re.p[x->i];
    uint32_t cp;
    bool is_set;
    switch (c) {
    case '(':
        return open_group(x);
    case ')':
        return close_group(x);
    case '[':
        x->i++;
        return translate_class(x);
    case '*':
    case '+':
    case '?':
    case '{':
        return quantifier(x);
    case '|':
        x->i++;
        x->before = NOTHING;
        return glim_buf_addc(x->out, '|');
    case '.':
        x->i++;
        x->before = ATOM;
        return glim_buf_addc(x->out, '.');
    case '^':
    case '$':
        x->i++;
        x->before = NOTHING;
        return glim_buf_adds(x->out, c == '^' ? "(?m:^)" : "(?m:$)");
    case '\\': {
        x->i++;
        glim_err rc = escape(x, false, &is_set, &cp);
        if (rc) return rc;
        x->before = ATOM;
        return is_set ? GLIM_OK : literal(x, cp);
    }
    default: {
        size_t at = x->i;
        int n = glim_utf8_decode(glim_str_sub(x->re, at, x->re.n), &cp);
        glim_err rc = literal(x, cp);
        x->i = at + (size_t)n;
        return rc;
    }
    }
}

/* Patterns that cost a square of the text and have an exact twin that does not: when \s+$ fails at
 * the first blank of a run it fails at all the others too, so only that one is tried. */
static glim_str cheaper(glim_str re)
{
    return glim_str_is(re, "\\s+$") ? GLIM_STR("(?<!\\s)\\s+$") : re;
}

glim_err glim_splitre_translate(glim_str re, glim_buf *out, glim_error *e)
{
    size_t bad;
    xlat x = {.re = cheaper(re), .out = out, .e = e};
    if (re.n > REGEX_MAX)
        return glim_fail(e, GLIM_E_LIMIT, "a split pattern of %zu bytes; the limit is %d", re.n,
                         REGEX_MAX);
    if (!glim_utf8_valid(x.re, &bad)) return refuse(&x, bad, "invalid UTF-8");
    if (x.re.n == 0) return refuse(&x, 0, "nothing at all");
    while (x.i < x.re.n) {
        glim_err rc = translate_one(&x);
        if (out->err) break;
        if (rc) return rc;
    }
    if (out->err) return glim_fail(e, out->err, "no memory for a split pattern");
    if (x.depth) return refuse(&x, x.re.n, "an unclosed (");
    return GLIM_OK;
}
