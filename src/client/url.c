/* SPDX-License-Identifier: MIT
 * url.c - addresses: read strictly, compared, put together.
 * Not here: where a redirect leads (transport.c asks libcurl), whether it is followed (call.c).
 * Thread: any, pure.   Fails: INPUT naming what is wrong with it.   See: tests/unit/client/test_url.c */
#include "client/client_priv.h"

#define URL_MAX 4096

static bool visible(glim_str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < 0x21 || s.p[i] > 0x7e) return false;
    return true;
}

/* Letters, digits, "-", "." and "_" of a name, or an address in brackets. */
static bool host_ok(glim_str h)
{
    bool v6 = h.n > 2 && h.p[0] == '[' && h.p[h.n - 1] == ']';
    if (h.n == 0 || h.n > 255) return false;
    if (v6) h = glim_str_sub(h, 1, h.n - 1);
    for (size_t i = 0; i < h.n; i++) {
        char c = h.p[i];
        bool digit = c >= '0' && c <= '9', hex = (c | 32) >= 'a' && (c | 32) <= 'f';
        bool letter = (c | 32) >= 'a' && (c | 32) <= 'z';
        if (v6 ? !(digit || hex || c == ':' || c == '.')
               : !(digit || letter || c == '-' || c == '.' || c == '_'))
            return false;
    }
    return true;
}

static size_t find_any(glim_str s, const char *set)
{
    size_t i = 0;
    while (i < s.n && !strchr(set, s.p[i]))
        i++;
    return i;
}

static glim_err read_authority(const char *what, glim_str a, glim_url *out, glim_error *e)
{
    int64_t port = out->tls ? 443 : 80;
    size_t at = 0;
    if (a.n && a.p[0] == '[') {
        at = find_any(a, "]");
        if (at < a.n) at++;
    } else {
        at = find_any(a, ":");
    }
    out->host = glim_str_sub(a, 0, at);
    if (at < a.n) {
        glim_str digits = glim_str_sub(a, at + 1, a.n);
        if (a.p[at] != ':' || digits.n == 0 || digits.n > 5 || digits.p[0] == '+' ||
            digits.p[0] == '-' || !glim_parse_i64(digits, &port) || port < 1 || port > 65535)
            return glim_fail(e, GLIM_E_INPUT, "%s: %s: no port between 1 and 65535", what,
                             GLIM_QUOTE(a));
    }
    if (!host_ok(out->host))
        return glim_fail(e, GLIM_E_INPUT, "%s: %s is no host name or address", what,
                         GLIM_QUOTE(out->host));
    out->port = (uint16_t)port;
    return GLIM_OK;
}

glim_err glim_url_read(const char *what, glim_str text, glim_url *out, glim_error *e)
{
    const glim_str http = GLIM_STR("http://"), https = GLIM_STR("https://");
    *out = (glim_url){0};
    if (text.n == 0 || text.n > URL_MAX || !visible(text))
        return glim_fail(e, GLIM_E_INPUT, "%s: %s: an address has 1 to %d visible ASCII characters",
                         what, GLIM_QUOTE(text), URL_MAX);
    size_t n = 0;
    if (text.n >= https.n && glim_str_ieq(glim_str_sub(text, 0, https.n), https))
        n = https.n;
    else if (text.n >= http.n && glim_str_ieq(glim_str_sub(text, 0, http.n), http))
        n = http.n;
    if (n == 0)
        return glim_fail(e, GLIM_E_INPUT, "%s: %s: an address begins with http:// or https://",
                         what, GLIM_QUOTE(text));
    out->tls = n == https.n;
    glim_str rest = glim_str_sub(text, n, text.n);
    size_t slash = find_any(rest, "/?#");
    glim_str authority = glim_str_sub(rest, 0, slash);
    out->path = glim_str_sub(rest, slash, rest.n);
    if (find_any(authority, "@") < authority.n)
        return glim_fail(e, GLIM_E_INPUT,
                         "%s: an address with a user or password in it is not taken", what);
    if (find_any(out->path, "#\\") < out->path.n)
        return glim_fail(e, GLIM_E_INPUT, "%s: %s: an address holds no '#' and no '\\'", what,
                         GLIM_QUOTE(text));
    return read_authority(what, authority, out, e);
}

bool glim_url_same_origin(const glim_url *a, const glim_url *b)
{
    return a->tls == b->tls && a->port == b->port && glim_str_ieq(a->host, b->host);
}

bool glim_url_is_loopback(const glim_url *u)
{
    return glim_str_ieq(u->host, GLIM_STR("localhost")) || glim_str_is(u->host, "[::1]") ||
           glim_str_starts(u->host, GLIM_STR("127."));
}

glim_err glim_url_check_path(const char *path, glim_error *e)
{
    glim_str s = glim_str_of(path), rest;
    if (s.n == 0 || s.p[0] != '/' || s.n > URL_MAX || !visible(s) || find_any(s, "#\\") < s.n)
        return glim_fail(e, GLIM_E_INPUT,
                         "path: %s: it begins with '/' and has up to %d visible ASCII characters, "
                         "no '#' and no '\\'",
                         GLIM_QUOTE(s), URL_MAX);
    rest = glim_str_sub(s, 0, find_any(s, "?"));
    while (rest.n) {
        rest = glim_str_sub(rest, 1, rest.n);
        size_t n = find_any(rest, "/");
        glim_str segment = glim_str_sub(rest, 0, n);
        if (glim_str_is(segment, ".") || glim_str_is(segment, ".."))
            return glim_fail(e, GLIM_E_INPUT, "path: %s leads out of itself by a dot",
                             GLIM_QUOTE(s));
        rest = glim_str_sub(rest, n, rest.n);
    }
    return GLIM_OK;
}

glim_err glim_url_check_id(const char *what, glim_str id, glim_error *e)
{
    bool ok = id.n > 0 && id.n < 128 && !glim_str_is(id, ".") && !glim_str_is(id, "..");
    for (size_t i = 0; ok && i < id.n; i++) {
        char c = id.p[i];
        ok = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') ||
             strchr("-_.:", c) != NULL;
        ok = ok && c != '\0';
    }
    if (ok) return GLIM_OK;
    return glim_fail(e, GLIM_E_INPUT,
                     "%s: %s is no id: 1 to 127 letters, digits, '-', '_', '.' and ':'", what,
                     GLIM_QUOTE(id));
}

void glim_url_escape(glim_buf *b, glim_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        uint8_t c = (uint8_t)s.p[i];
        bool plain = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') ||
                     (c && strchr("-_.~", c));
        if (plain)
            glim_buf_addc(b, (char)c);
        else
            glim_buf_addf(b, "%%%02X", c);
    }
}
