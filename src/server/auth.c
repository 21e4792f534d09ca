/* SPDX-License-Identifier: MIT
 * auth.c - API keys and the tokens made from them; which addresses and Host names are safe without one.
 * Owns:   the set of keys: digests, and the secrets of keys of the form id.secret, which verify tokens.
 * Not here: which routes need a key (routes.def), how a problem is said (api).
 * Thread: any once the set is built.
 * Fails:  as auth.h says; messages never hold a key.
 * See:    tests/unit/server_aux/test_auth.c */
#include "server/auth.h"

#include "crypto/crypto.h"
#include "server/http.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/stat.h>

enum {
    KEYS_MAX = 4096,
    FILE_MAX = 1 << 20,
    TOKEN_MAX = 4096 /* bytes of a token; real ones have about 250 */
};

typedef struct key {
    glim_digest digest;
    char id[9];                /* for logs */
    char *text;                /* "id.secret", NUL-terminated; NULL for other keys */
    glim_str zhipu_id, secret; /* point into text */
    glim_limit limit;          /* -1: not said */
} key;

struct glim_auth {
    key *keys;
    size_t n, cap;
};

static const char text_none[] =
    "this server needs an API key: send 'Authorization: Bearer KEY' or 'x-api-key: KEY'";
static const char text_wrong[] =
    "the API key is not one of this server's, or the token made from it has expired";

/* ---- the set --------------------------------------------------------------------------------- */

glim_auth *glim_auth_new(void)
{
    return glim_new0(glim_auth);
}

static void key_deinit(key *k)
{
    if (k->text) glim_wipe(k->text, strlen(k->text));
    glim_free(k->text);
    glim_wipe(k, sizeof *k);
}

void glim_auth_free(glim_auth *a)
{
    if (!a) return;
    for (size_t i = 0; i < a->n; i++)
        key_deinit(&a->keys[i]);
    glim_free(a->keys);
    glim_free(a);
}

size_t glim_auth_count(const glim_auth *a)
{
    return a->n;
}

/* Offset of the only dot of "id.secret"; 0 when s is not of that form. */
static size_t zhipu_dot(glim_str s)
{
    const char *dot = s.n ? memchr(s.p, '.', s.n) : NULL;
    size_t at = dot ? (size_t)(dot - s.p) : 0;
    if (at == 0 || at + 1 == s.n || memchr(dot + 1, '.', s.n - at - 1)) return 0;
    return at;
}

static glim_err key_init(key *k, glim_str s, glim_error *e)
{
    *k = (key){.limit = {-1, -1}};
    glim_err rc = glim_sha256(s, &k->digest, e);
    if (rc) return rc;
    glim_hex(k->digest.b, 4, k->id);
    size_t dot = zhipu_dot(s);
    if (!dot) return GLIM_OK;
    k->text = glim_alloc(s.n + 1);
    if (!k->text) return glim_fail(e, GLIM_E_NOMEM, "API keys");
    memcpy(k->text, s.p, s.n);
    k->text[s.n] = '\0';
    k->zhipu_id = (glim_str){k->text, dot};
    k->secret = (glim_str){k->text + dot + 1, s.n - dot - 1};
    return GLIM_OK;
}

static glim_err check_key(glim_str s, glim_error *e)
{
    if (s.n == 0) return glim_fail(e, GLIM_E_INPUT, "an API key is empty");
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < 0x21 || s.p[i] > 0x7e)
            return glim_fail_off(e, GLIM_E_INPUT, i,
                                 "an API key holds a blank or a byte that is no visible ASCII "
                                 "character; no client could send it");
    return GLIM_OK;
}

static glim_err grow(glim_auth *a, glim_error *e)
{
    if (a->n == KEYS_MAX) return glim_fail(e, GLIM_E_FULL, "more than %d API keys", KEYS_MAX);
    if (a->n < a->cap) return GLIM_OK;
    size_t cap = GLIM_MAX(a->cap * 2, 8);
    key *grown = glim_alloc_array(cap, sizeof *grown);
    if (!grown) return glim_fail(e, GLIM_E_NOMEM, "API keys");
    if (a->n) memcpy(grown, a->keys, a->n * sizeof *grown);
    if (a->n) glim_wipe(a->keys, a->n * sizeof *grown);
    glim_free(a->keys);
    a->keys = grown;
    a->cap = cap;
    return GLIM_OK;
}

/* Into *old what it says nothing about; false when both say something, and not the same. */
static bool merge(int64_t *old, int64_t now)
{
    if (now < 0 || *old == now) return true;
    if (*old >= 0) return false;
    *old = now;
    return true;
}

static glim_err add(glim_auth *a, glim_str s, const glim_limit *limit, glim_error *e)
{
    key k;
    glim_err rc = check_key(s, e);
    if (!rc) rc = grow(a, e);
    if (!rc) rc = key_init(&k, s, e);
    if (rc) return rc;
    k.limit = *limit;
    for (size_t i = 0; i < a->n; i++) {
        if (!glim_digest_eq(&a->keys[i].digest, &k.digest)) continue;
        key_deinit(&k);
        glim_limit both = a->keys[i].limit;
        if (!merge(&both.per_minute, limit->per_minute) ||
            !merge(&both.concurrent, limit->concurrent))
            return glim_fail(e, GLIM_E_INPUT,
                             "this key stood before with other limits; give it one line");
        a->keys[i].limit = both;
        return GLIM_OK;
    }
    a->keys[a->n++] = k;
    return GLIM_OK;
}

glim_err glim_auth_add(glim_auth *a, glim_str s, glim_error *e)
{
    const glim_limit unsaid = {-1, -1};
    return add(a, s, &unsaid, e);
}

/* The first word of *line, which goes on behind it. */
static glim_str next_word(glim_str *line)
{
    size_t n = 0;
    while (n < line->n && line->p[n] != ' ' && line->p[n] != '\t')
        n++;
    glim_str word = glim_str_sub(*line, 0, n);
    *line = glim_str_trim(glim_str_sub(*line, n, line->n), " \t");
    return word;
}

/* "rate=N" and "concurrent=N". What else stands there may be a part of a key, so no message repeats it. */
static glim_err read_limits(glim_str words, glim_limit *out, glim_error *e)
{
    *out = (glim_limit){-1, -1};
    while (words.n) {
        const glim_str rate = GLIM_STR("rate="), concurrent = GLIM_STR("concurrent=");
        glim_str word = next_word(&words);
        bool is_rate = glim_str_starts(word, rate);
        if (!is_rate && !glim_str_starts(word, concurrent))
            return glim_fail(e, GLIM_E_INPUT,
                             "behind a key only rate=N and concurrent=N may stand, and a key holds "
                             "no blank");
        int64_t *to = is_rate ? &out->per_minute : &out->concurrent, n;
        if (*to >= 0)
            return glim_fail(e, GLIM_E_INPUT, "%s= stands twice", is_rate ? "rate" : "concurrent");
        size_t at = is_rate ? rate.n : concurrent.n;
        if (!glim_parse_i64(glim_str_sub(word, at, word.n), &n) || n < 0)
            return glim_fail(e, GLIM_E_INPUT, "%s= needs a whole number, 0 for no limit",
                             is_rate ? "rate" : "concurrent");
        *to = n;
    }
    return GLIM_OK;
}

static glim_err add_lines(glim_auth *a, const char *path, glim_str text, glim_error *e)
{
    size_t n_line = 0, n_key = 0;
    if (glim_str_starts(text, GLIM_STR("\xef\xbb\xbf"))) text = glim_str_sub(text, 3, text.n);
    while (text.n) {
        const char *end = memchr(text.p, '\n', text.n);
        size_t n = end ? (size_t)(end - text.p) : text.n;
        glim_str line = glim_str_trim(glim_str_sub(text, 0, n), " \t\r");
        text = glim_str_sub(text, end ? n + 1 : n, text.n);
        n_line++;
        if (line.n == 0 || line.p[0] == '#') continue;
        glim_str word = next_word(&line);
        glim_limit limit;
        glim_err rc = read_limits(line, &limit, e);
        if (!rc) rc = add(a, word, &limit, e);
        if (rc) {
            glim_error_prefix(e, "%s: line %zu", path, n_line);
            return rc;
        }
        n_key++;
    }
    if (n_key == 0)
        return glim_fail(
            e, GLIM_E_INPUT,
            "%s: no API key in it; one a line is expected, lines with '#' are comments", path);
    return GLIM_OK;
}

glim_err glim_auth_add_file(glim_auth *a, const char *path, char *warning, size_t n_warning,
                            glim_error *e)
{
    glim_buf text;
    struct stat st;
    if (n_warning) warning[0] = '\0';
    glim_buf_init(&text, FILE_MAX);
    glim_err rc = glim_read_file(path, &text, e);
    if (!rc) rc = add_lines(a, path, glim_buf_view(&text), e);
    if (text.p) glim_wipe(text.p, text.n);
    glim_buf_deinit(&text);
    if (!rc && n_warning && stat(path, &st) == 0 && S_ISREG(st.st_mode) &&
        (st.st_mode & (S_IROTH | S_IWOTH)))
        snprintf(warning, n_warning,
                 "%s: other users may %s this file of API keys; chmod 600 cures that", path,
                 st.st_mode & S_IWOTH ? "change" : "read");
    return rc;
}

/* ---- a request ------------------------------------------------------------------------------- */

typedef enum match { MATCH, WRONG, EXPIRED, FAILED } match;

/* Looks at every key, so that the time says nothing about which one was near. */
static match find_key(const glim_auth *a, glim_str s, const key **out)
{
    glim_digest d;
    const key *hit = NULL;
    if (glim_sha256(s, &d, NULL)) return FAILED;
    for (size_t i = 0; i < a->n; i++)
        if (glim_digest_eq(&a->keys[i].digest, &d)) hit = &a->keys[i];
    if (hit) *out = hit;
    return hit ? MATCH : WRONG;
}

/* One part of a token: base64url of a JSON object. NULL when it is not. */
static const glim_json *token_part(glim_arena *arena, glim_str part, glim_buf *bytes)
{
    glim_json *v = NULL;
    if (glim_base64url_decode(part, bytes, NULL)) return NULL;
    if (glim_json_parse(arena, glim_buf_view(bytes), &v, NULL)) return NULL;
    return glim_json_is(v, GLIM_JSON_OBJECT) ? v : NULL;
}

static bool is_text(const glim_json *v, const char *text)
{
    return glim_json_is(v, GLIM_JSON_STRING) && glim_str_is(v->text, text);
}

/* The key of that id whose secret signed the text. */
static match find_signer(const glim_auth *a, glim_str id, glim_str text, const glim_digest *mac,
                         const key **out)
{
    const key *hit = NULL;
    for (size_t i = 0; i < a->n; i++) {
        glim_digest d;
        const key *k = &a->keys[i];
        if (!k->text) continue;
        if (glim_hmac_sha256(k->secret, text, &d, NULL)) return FAILED;
        if (glim_digest_eq(&d, mac) && glim_str_eq(k->zhipu_id, id)) hit = k;
    }
    if (hit) *out = hit;
    return hit ? MATCH : WRONG;
}

/* head, payload, signature: views of the three parts of signed_text "." signature. */
static match read_token(const glim_auth *a, glim_arena *arena, glim_buf bytes[3], glim_str part[3],
                        glim_str signed_text, int64_t now_s, const key **out)
{
    int64_t exp_ms, at_ms;
    glim_digest mac;
    const glim_json *head = token_part(arena, part[0], &bytes[0]);
    const glim_json *body = token_part(arena, part[1], &bytes[1]);
    if (!head || !body || glim_base64url_decode(part[2], &bytes[2], NULL)) return WRONG;
    const glim_json *type = glim_json_get(head, "typ"), *id = glim_json_get(body, "api_key");
    /* The one algorithm that is asked for; "none" and those with public keys are no way in. */
    if (!is_text(glim_json_get(head, "alg"), "HS256") ||
        !is_text(glim_json_get(head, "sign_type"), "SIGN") || (type && !is_text(type, "JWT")) ||
        glim_json_get(head, "crit"))
        return WRONG;
    if (!glim_json_is(id, GLIM_JSON_STRING) || bytes[2].n != sizeof mac.b ||
        !glim_json_i64(glim_json_get(body, "exp"), &exp_ms) ||
        !glim_json_i64(glim_json_get(body, "timestamp"), &at_ms))
        return WRONG;
    memcpy(mac.b, bytes[2].p, sizeof mac.b);
    match m = find_signer(a, id->text, signed_text, &mac, out);
    if (m != MATCH) return m;
    /* Whole seconds on both sides, so that no product can overflow; the last one still counts. */
    return exp_ms / 1000 < now_s ? EXPIRED : MATCH;
}

static match find_token(const glim_auth *a, glim_str s, int64_t now_s, const key **out)
{
    glim_str part[3], rest = s;
    glim_buf bytes[3];
    if (s.n > TOKEN_MAX) return WRONG;
    for (int i = 0; i < 3; i++) {
        const char *dot = rest.n ? memchr(rest.p, '.', rest.n) : NULL;
        if ((i < 2) != (dot != NULL)) return WRONG;
        size_t n = dot ? (size_t)(dot - rest.p) : rest.n;
        part[i] = glim_str_sub(rest, 0, n);
        rest = glim_str_sub(rest, dot ? n + 1 : n, rest.n);
    }
    glim_arena *arena = glim_arena_new((size_t)64 * TOKEN_MAX);
    if (!arena) return FAILED;
    for (int i = 0; i < 3; i++)
        glim_buf_init(&bytes[i], TOKEN_MAX);
    glim_str signed_text = {s.p, part[0].n + 1 + part[1].n};
    match m = read_token(a, arena, bytes, part, signed_text, now_s, out);
    for (int i = 0; i < 3; i++)
        glim_buf_deinit(&bytes[i]);
    glim_arena_free(arena);
    return m;
}

static match judge(const glim_auth *a, glim_str s, int64_t now_s, const key **out)
{
    match m = find_key(a, s, out);
    return m == WRONG ? find_token(a, s, now_s, out) : m;
}

/* What stands behind "Bearer"; false for another scheme. */
static bool bearer(glim_str value, glim_str *out)
{
    const size_t n = strlen("Bearer");
    value = glim_str_trim(value, " \t");
    if (value.n < n || !glim_str_ieq(glim_str_sub(value, 0, n), GLIM_STR("Bearer"))) return false;
    if (value.n > n && value.p[n] != ' ' && value.p[n] != '\t') return false;
    *out = glim_str_trim(glim_str_sub(value, n, value.n), " \t");
    return true;
}

static bool refuse(glim_auth_verdict *out, glim_problem_kind kind, const char *text)
{
    out->kind = kind;
    out->text = text;
    return false;
}

bool glim_auth_check(const glim_auth *a, const glim_auth_given *given, int64_t now_s,
                     glim_auth_verdict *out)
{
    *out = (glim_auth_verdict){.ok = false, .limit = {-1, -1}};
    if (given->n_authorization > 1)
        return refuse(out, GLIM_PROBLEM_BAD, "more than one Authorization header: send one");
    if (a->n == 0) return out->ok = true;

    glim_str tried[2];
    size_t n_tried = 0;
    bool foreign = false, expired = false;
    if (given->authorization.p && !bearer(given->authorization, &tried[0]))
        foreign = true;
    else if (given->authorization.p && tried[0].n)
        n_tried = 1;
    glim_str x = glim_str_trim(given->x_api_key, " \t");
    if (given->x_api_key.p && x.n) tried[n_tried++] = x;
    for (size_t i = 0; i < n_tried; i++) {
        const key *k = NULL;
        match m = judge(a, tried[i], now_s, &k);
        if (m == FAILED)
            return refuse(out, GLIM_PROBLEM_INTERNAL,
                          "the API key could not be checked; try again");
        if (m == EXPIRED) expired = true;
        if (m != MATCH) continue;
        memcpy(out->key_id, k->id, sizeof out->key_id);
        out->limit = k->limit;
        return out->ok = true;
    }
    if (expired) return refuse(out, GLIM_PROBLEM_OLD_KEY, text_wrong);
    if (n_tried || foreign) return refuse(out, GLIM_PROBLEM_BAD_KEY, text_wrong);
    return refuse(out, GLIM_PROBLEM_NO_KEY, text_none);
}

/* ---- addresses and names --------------------------------------------------------------------- */

static bool is_loopback_v4(glim_str s)
{
    char text[INET_ADDRSTRLEN];
    struct in_addr at;
    if (s.n == 0 || s.n >= sizeof text || memchr(s.p, '\0', s.n)) return false;
    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    return inet_pton(AF_INET, text, &at) == 1 && ntohl(at.s_addr) >> 24 == 127;
}

static bool is_loopback_v6(glim_str s)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr at;
    if (s.n == 0 || s.n >= sizeof text || memchr(s.p, '\0', s.n)) return false;
    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    if (inet_pton(AF_INET6, text, &at) != 1) return false;
    return IN6_IS_ADDR_LOOPBACK(&at) || (IN6_IS_ADDR_V4MAPPED(&at) && at.s6_addr[12] == 127);
}

/* localhost and what is below it are loopback by RFC 6761; browsers never ask a name server for them. */
static bool is_localhost(glim_str s)
{
    const glim_str name = GLIM_STR("localhost");
    if (s.n && s.p[s.n - 1] == '.') s.n--;
    if (s.n < name.n || s.n > 253 || !glim_str_ieq(glim_str_sub(s, s.n - name.n, s.n), name))
        return false;
    glim_str left = glim_str_sub(s, 0, s.n - name.n);
    if (left.n == 0) return true;
    if (left.n == 1 || left.p[left.n - 1] != '.') return false;
    for (size_t i = 0; i < left.n; i++) {
        char c = left.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '-' || c == '_';
        if (!letter && (c != '.' || i == 0 || left.p[i - 1] == '.')) return false;
    }
    return true;
}

/* Host and port of "HOST", "HOST:PORT", "[V6]", "[V6]:PORT"; a port may be empty. */
static bool is_loopback(glim_str s)
{
    glim_str host = s, rest = {"", 0};
    bool v6 = s.n && s.p[0] == '[';
    const char *end = s.n ? memchr(s.p, v6 ? ']' : ':', s.n) : NULL;
    if (v6 && !end) return false;
    if (end) {
        size_t at = (size_t)(end - s.p);
        host = glim_str_sub(s, v6 ? 1 : 0, at);
        rest = glim_str_sub(s, v6 ? at + 1 : at, s.n);
    }
    uint64_t port = 0;
    if (rest.n && rest.p[0] != ':') return false;
    if (rest.n > 6 || (rest.n > 1 && !glim_parse_u64(glim_str_sub(rest, 1, rest.n), &port)) ||
        port > 65535)
        return false;
    return v6 ? is_loopback_v6(host) : is_loopback_v4(host) || is_localhost(host);
}

glim_err glim_bind_check(const char *const *listen, size_t n_listen, bool have_keys, bool insecure,
                         glim_error *e)
{
    if (have_keys || insecure) return GLIM_OK;
    for (size_t i = 0; i < n_listen; i++)
        if (!is_loopback(glim_str_of(glim_http_bare_address(listen[i]))))
            return glim_fail(
                e, GLIM_E_INPUT,
                "%s can be reached from other machines and there is no API key: give "
                "--api-key KEY (or --api-key-file FILE), or --insecure to answer everybody",
                GLIM_QUOTE(glim_str_of(listen[i])));
    return GLIM_OK;
}

bool glim_host_ok(glim_str host, bool loopback_listener)
{
    return !loopback_listener || is_loopback(host);
}
