/* SPDX-License-Identifier: MIT
 * str.c - byte views: compare, search, parse numbers, quote for messages, UTF-8.
 * Thread: any, pure. Numbers are parsed without a locale. */
#include "base/base.h"

#include <locale.h>
#if defined(__APPLE__)
#include <xlocale.h>
#endif
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool glim_str_ieq(glim_str a, glim_str b)
{
    if (a.n != b.n) return false;
    for (size_t i = 0; i < a.n; i++)
        if (lower(a.p[i]) != lower(b.p[i])) return false;
    return true;
}

size_t glim_str_find(glim_str hay, glim_str needle)
{
    if (needle.n == 0) return 0;
    for (size_t i = 0; i + needle.n <= hay.n; i++) {
        const char *hit = memchr(hay.p + i, needle.p[0], hay.n - needle.n - i + 1);
        if (!hit) break;
        i = (size_t)(hit - hay.p);
        if (memcmp(hit, needle.p, needle.n) == 0) return i;
    }
    return SIZE_MAX;
}

glim_str glim_str_trim(glim_str s, const char *set)
{
    while (s.n && s.p[0] && strchr(set, s.p[0]))
        s.p++, s.n--;
    while (s.n && s.p[s.n - 1] && strchr(set, s.p[s.n - 1]))
        s.n--;
    return s;
}

bool glim_parse_u64(glim_str s, uint64_t *out)
{
    uint64_t v = 0;
    if (s.n == 0) return false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') return false;
        if (__builtin_mul_overflow(v, 10u, &v) ||
            __builtin_add_overflow(v, (uint64_t)(s.p[i] - '0'), &v))
            return false;
    }
    *out = v;
    return true;
}

bool glim_parse_i64(glim_str s, int64_t *out)
{
    bool neg = s.n && s.p[0] == '-';
    uint64_t v;
    if (neg || (s.n && s.p[0] == '+')) s.p++, s.n--;
    if (!glim_parse_u64(s, &v)) return false;
    if (neg) {
        if (v > (uint64_t)INT64_MAX + 1) return false;
        *out = v == (uint64_t)INT64_MAX + 1 ? INT64_MIN : -(int64_t)v;
        return true;
    }
    if (v > INT64_MAX) return false;
    *out = (int64_t)v;
    return true;
}

bool glim_parse_f64(glim_str s, double *out)
{
    /* strtod reads hexadecimal, "inf" and "nan" too: only the decimal alphabet gets that far. */
    char small[128], *tmp = small;
    bool digit = false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c >= '0' && c <= '9')
            digit = true;
        else if (c != '+' && c != '-' && c != '.' && c != 'e' && c != 'E')
            return false;
    }
    if (!digit) return false;
    if (s.n >= sizeof small && !(tmp = glim_alloc(s.n + 1))) return false;
    memcpy(tmp, s.p, s.n);
    tmp[s.n] = 0;
    /* A program that uses the library may have set a locale with a decimal comma; this thread leaves it for the call. */
    locale_t c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    locale_t before = c_locale ? uselocale(c_locale) : (locale_t)0;
    char *end;
    double v = strtod(tmp, &end);
    if (c_locale) {
        uselocale(before);
        freelocale(c_locale);
    }
    bool whole = !*end && isfinite(v);
    if (tmp != small) glim_free(tmp);
    if (whole) *out = v;
    return whole;
}

const char *glim_quote(glim_str s, char *out, size_t n_out)
{
    size_t o = 0, i = 0;
    out[o++] = '"';
    while (i < s.n) {
        uint32_t cp;
        int len = glim_utf8_decode(glim_str_sub(s, i, s.n), &cp);
        char piece[8];
        int n_piece;
        if (len == 0) {
            n_piece = snprintf(piece, sizeof piece, "\\x%02x", (unsigned char)s.p[i]);
            len = 1;
        } else if (cp < 0x20 || (cp >= 0x7f && cp < 0xa0) || cp == 0x2028 || cp == 0x2029) {
            n_piece =
                snprintf(piece, sizeof piece, cp < 0x100 ? "\\x%02x" : "\\u%04x", (unsigned)cp);
        } else {
            memcpy(piece, s.p + i, (size_t)len);
            n_piece = len;
        }
        if (o + (size_t)n_piece + 5 > n_out) {
            memcpy(out + o, "...", 3);
            o += 3;
            break;
        }
        memcpy(out + o, piece, (size_t)n_piece);
        o += (size_t)n_piece;
        i += (size_t)len;
    }
    out[o++] = '"';
    out[o] = 0;
    return out;
}

int glim_utf8_decode(glim_str s, uint32_t *cp)
{
    const uint8_t *p = (const uint8_t *)s.p;
    if (s.n == 0) return 0;
    if (p[0] < 0x80) {
        *cp = p[0];
        return 1;
    }
    int len = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (p[0] < 0xc2 || p[0] > 0xf4 || s.n < (size_t)len) return 0;
    uint32_t v = p[0] & (0x7fu >> len);
    for (int i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80) return 0;
        v = v << 6 | (p[i] & 0x3f);
    }
    if (v < least[len] || v > 0x10ffff || (v >= 0xd800 && v < 0xe000)) return 0;
    *cp = v;
    return len;
}

int glim_utf8_encode(uint32_t cp, char out[4])
{
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    if (cp < 0x800) {
        out[0] = (char)(0xc0 | cp >> 6);
        out[1] = (char)(0x80 | (cp & 0x3f));
        return 2;
    }
    if (cp < 0x10000) {
        if (cp >= 0xd800 && cp < 0xe000) return 0;
        out[0] = (char)(0xe0 | cp >> 12);
        out[1] = (char)(0x80 | (cp >> 6 & 0x3f));
        out[2] = (char)(0x80 | (cp & 0x3f));
        return 3;
    }
    if (cp > 0x10ffff) return 0;
    out[0] = (char)(0xf0 | cp >> 18);
    out[1] = (char)(0x80 | (cp >> 12 & 0x3f));
    out[2] = (char)(0x80 | (cp >> 6 & 0x3f));
    out[3] = (char)(0x80 | (cp & 0x3f));
    return 4;
}

bool glim_utf8_valid(glim_str s, size_t *bad_offset)
{
    size_t i = 0;
    while (i < s.n) {
        if ((uint8_t)s.p[i] < 0x80) {
            i++;
            continue;
        }
        uint32_t cp;
        int len = glim_utf8_decode(glim_str_sub(s, i, s.n), &cp);
        if (len == 0) {
            if (bad_offset) *bad_offset = i;
            return false;
        }
        i += (size_t)len;
    }
    return true;
}

size_t glim_utf8_partial(glim_str s)
{
    for (size_t back = 1; back <= 3 && back <= s.n; back++) {
        uint8_t c = (uint8_t)s.p[s.n - back];
        if (c < 0x80) return 0;
        if (c < 0xc0) continue;
        size_t len = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
        if (c < 0xc2 || c > 0xf4 || back >= len) return 0;
        /* The second byte already decides about overlong forms, surrogates and the upper end. */
        if (back >= 2) {
            uint8_t d = (uint8_t)s.p[s.n - back + 1];
            if ((c == 0xe0 && d < 0xa0) || (c == 0xed && d > 0x9f) || (c == 0xf0 && d < 0x90) ||
                (c == 0xf4 && d > 0x8f))
                return 0;
        }
        return back;
    }
    return 0;
}
