/* SPDX-License-Identifier: MIT
 * test_auth.c - keys in headers and files, tokens good and forged, addresses, Host names. */
#include "server/auth.h"

#include "crypto/crypto.h"
#include "failnth.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "tmpfolder.h"

enum { NOW_S = 1700000000 };

static glim_auth *set_of(const char *const *keys, size_t n)
{
    glim_auth *a = glim_auth_new();
    assert_non_null(a);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(glim_auth_add(a, glim_str_of(keys[i]), NULL), GLIM_OK);
    return a;
}

static glim_str header(const char *s)
{
    return s ? glim_str_of(s) : (glim_str){NULL, 0};
}

/* ---- plain keys ------------------------------------------------------------------------------ */

static void headers(void **state)
{
    (void)state;
    static const char *const keys[] = {"plain-key", "demo.sekret", "plain-key"};
    enum { OK = -1 };
    static const struct {
        const char *authorization, *x;
        int kind; /* OK or a problem */
        const char *id;
    } cases[] = {
        {"Bearer plain-key", NULL, OK, "2b5cde01"},
        {"bearer plain-key", NULL, OK, "2b5cde01"},
        {"BEARER \t plain-key ", NULL, OK, "2b5cde01"},
        {"Bearer demo.sekret", NULL, OK, "870c582f"},
        {NULL, "plain-key", OK, "2b5cde01"},
        {NULL, "  plain-key\t", OK, "2b5cde01"},
        {"Bearer wrong", "plain-key", OK, "2b5cde01"},
        {"Bearer plain-key", "wrong", OK, "2b5cde01"},
        {"Basic cGxhaW4ta2V5", "plain-key", OK, "2b5cde01"},
        {NULL, NULL, GLIM_PROBLEM_NO_KEY, ""},
        {"", NULL, GLIM_PROBLEM_BAD_KEY, ""},
        {"Bearer", NULL, GLIM_PROBLEM_NO_KEY, ""},
        {"Bearer  ", "", GLIM_PROBLEM_NO_KEY, ""},
        {"plain-key", NULL, GLIM_PROBLEM_BAD_KEY, ""},
        {"Bearerplain-key", NULL, GLIM_PROBLEM_BAD_KEY, ""},
        {"Basic cGxhaW4ta2V5", NULL, GLIM_PROBLEM_BAD_KEY, ""},
        {"Bearer plain-ke", NULL, GLIM_PROBLEM_BAD_KEY, ""},
        {"Bearer plain-keyy", NULL, GLIM_PROBLEM_BAD_KEY, ""},
        {"Bearer plain key", NULL, GLIM_PROBLEM_BAD_KEY, ""},
        {"Bearer PLAIN-KEY", NULL, GLIM_PROBLEM_BAD_KEY, ""},
        {"Bearer demo", NULL, GLIM_PROBLEM_BAD_KEY, ""},
        {"Bearer sekret", NULL, GLIM_PROBLEM_BAD_KEY, ""},
        {"Bearer EMPTY", NULL, GLIM_PROBLEM_BAD_KEY, ""},
        {"Bearer ..", NULL, GLIM_PROBLEM_BAD_KEY, ""},
    };
    glim_auth *a = set_of(keys, GLIM_COUNT(keys));
    assert_int_equal(glim_auth_count(a), 2);
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        glim_auth_verdict v;
        glim_auth_given g = {header(cases[i].authorization), cases[i].authorization ? 1 : 0,
                             header(cases[i].x)};
        bool ok = glim_auth_check(a, &g, NOW_S, &v);
        assert_int_equal(ok, v.ok);
        if (ok != (cases[i].kind == OK) || (!ok && (int)v.kind != cases[i].kind))
            fail_msg("case %zu: ok %d kind %d", i, ok, (int)v.kind);
        assert_string_equal(v.key_id, cases[i].id);
        if (!ok) assert_non_null(v.text);
    }
    /* A key whose bytes go on behind a NUL is another key. */
    glim_auth_verdict v;
    glim_auth_given g = {{"Bearer plain-key\0", 17}, 1, {NULL, 0}};
    assert_false(glim_auth_check(a, &g, NOW_S, &v));
    glim_auth_free(a);
}

static void two_headers(void **state)
{
    (void)state;
    static const char *const keys[] = {"k"};
    for (size_t n = 0; n <= 1; n++) {
        glim_auth *a = set_of(keys, n);
        glim_auth_verdict v;
        glim_auth_given g = {GLIM_STR("Bearer k"), 2, {NULL, 0}};
        assert_false(glim_auth_check(a, &g, NOW_S, &v));
        assert_int_equal(v.kind, GLIM_PROBLEM_BAD);
        glim_auth_free(a);
    }
}

static void no_keys(void **state)
{
    (void)state;
    static const char *const values[] = {NULL, "Bearer EMPTY", "Basic x", "", "Bearer a.b.c"};
    glim_auth *a = glim_auth_new();
    for (size_t i = 0; i < GLIM_COUNT(values); i++) {
        glim_auth_verdict v;
        glim_auth_given g = {header(values[i]), values[i] ? 1 : 0, {NULL, 0}};
        assert_true(glim_auth_check(a, &g, NOW_S, &v));
        assert_string_equal(v.key_id, "");
    }
    glim_auth_free(a);
    glim_auth_free(NULL);
}

/* ---- tokens ---------------------------------------------------------------------------------- */

static void encode(glim_str s, glim_buf *out)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for (size_t i = 0; i < s.n; i += 3) {
        size_t n = GLIM_MIN(s.n - i, (size_t)3);
        uint32_t w = 0;
        for (size_t k = 0; k < 3; k++)
            w = w << 8 | (k < n ? (uint8_t)s.p[i + k] : 0u);
        for (size_t k = 0; k <= n; k++)
            assert_int_equal(glim_buf_addc(out, letters[w >> (18 - 6 * k) & 63]), GLIM_OK);
    }
}

static void sign(const char *head, const char *body, const char *secret, glim_buf *out)
{
    glim_digest d;
    glim_buf_clear(out);
    encode(glim_str_of(head), out);
    assert_int_equal(glim_buf_addc(out, '.'), GLIM_OK);
    encode(glim_str_of(body), out);
    assert_int_equal(glim_hmac_sha256(glim_str_of(secret), glim_buf_view(out), &d, NULL), GLIM_OK);
    assert_int_equal(glim_buf_addc(out, '.'), GLIM_OK);
    encode((glim_str){(const char *)d.b, sizeof d.b}, out);
}

static glim_auth_verdict judge(const glim_auth *a, glim_str token)
{
    glim_buf value;
    glim_auth_verdict v;
    glim_buf_init(&value, 1 << 20);
    assert_int_equal(glim_buf_adds(&value, "Bearer "), GLIM_OK);
    assert_int_equal(glim_buf_addv(&value, token), GLIM_OK);
    glim_auth_given g = {glim_buf_view(&value), 1, {NULL, 0}};
    glim_auth_check(a, &g, NOW_S, &v);
    glim_buf_deinit(&value);
    return v;
}

#define HEAD "{\"alg\":\"HS256\",\"typ\":\"JWT\",\"sign_type\":\"SIGN\"}"
#define BODY "{\"api_key\":\"demo\",\"exp\":1700000210000,\"timestamp\":1700000000000}"

static void tokens(void **state)
{
    (void)state;
    static const char *const keys[] = {"demo.sekret", "plain-key", "demo.other", "a.b.c"};
    enum { OK = -1, BAD = GLIM_PROBLEM_BAD_KEY, OLD = GLIM_PROBLEM_OLD_KEY };
    static const struct {
        const char *head, *body, *secret;
        int kind;
        const char *id;
    } cases[] = {
        {HEAD, BODY, "sekret", OK, "870c582f"},
        {HEAD, BODY, "other", OK, "dc48793c"},
        {"{\"sign_type\":\"SIGN\",\"alg\":\"HS256\"}", BODY, "sekret", OK, "870c582f"},
        {HEAD, "{\"api_key\":\"demo\",\"exp\":1700000000000,\"timestamp\":1}", "sekret", OK,
         "870c582f"},
        {HEAD, "{\"api_key\":\"demo\",\"exp\":1.70000021e12,\"timestamp\":1}", "sekret", OK,
         "870c582f"},
        /* too late: by a second, by a unit, by far */
        {HEAD, "{\"api_key\":\"demo\",\"exp\":1699999999999,\"timestamp\":1}", "sekret", OLD, ""},
        {HEAD, "{\"api_key\":\"demo\",\"exp\":1700000210,\"timestamp\":1}", "sekret", OLD, ""},
        {HEAD, "{\"api_key\":\"demo\",\"exp\":-9223372036854775808,\"timestamp\":1}", "sekret", OLD,
         ""},
        /* too late and forged: only forged */
        {HEAD, "{\"api_key\":\"demo\",\"exp\":1,\"timestamp\":1}", "x", BAD, ""},
        {HEAD, BODY, "x", BAD, ""},
        {HEAD, BODY, "", BAD, ""},
        {HEAD, BODY, "demo.sekret", BAD, ""},
        {HEAD, "{\"api_key\":\"nobody\",\"exp\":1700000210000,\"timestamp\":1}", "sekret", BAD, ""},
        {HEAD, "{\"api_key\":\"\",\"exp\":1700000210000,\"timestamp\":1}", "sekret", BAD, ""},
        {HEAD, "{\"api_key\":\"plain-key\",\"exp\":1700000210000,\"timestamp\":1}", "", BAD, ""},
        {HEAD, "{\"api_key\":\"a\",\"exp\":1700000210000,\"timestamp\":1}", "b.c", BAD, ""},
        {HEAD, "{\"api_key\":[\"demo\"],\"exp\":1700000210000,\"timestamp\":1}", "sekret", BAD, ""},
        {HEAD, "{\"exp\":1700000210000,\"timestamp\":1}", "sekret", BAD, ""},
        {HEAD, "{\"api_key\":\"demo\",\"timestamp\":1}", "sekret", BAD, ""},
        {HEAD, "{\"api_key\":\"demo\",\"exp\":1700000210000}", "sekret", BAD, ""},
        {HEAD, "{\"api_key\":\"demo\",\"exp\":\"1700000210000\",\"timestamp\":1}", "sekret", BAD,
         ""},
        {HEAD, "{\"api_key\":\"demo\",\"exp\":1e99,\"timestamp\":1}", "sekret", BAD, ""},
        {HEAD, "{\"api_key\":\"demo\",\"exp\":null,\"timestamp\":1}", "sekret", BAD, ""},
        {HEAD, "{\"api_key\":\"no\",\"api_key\":\"demo\",\"exp\":1700000210000,\"timestamp\":1}",
         "sekret", BAD, ""},
        {HEAD, "[]", "sekret", BAD, ""},
        {HEAD, "", "sekret", BAD, ""},
        {"{\"alg\":\"none\",\"sign_type\":\"SIGN\"}", BODY, "sekret", BAD, ""},
        {"{\"alg\":\"None\",\"sign_type\":\"SIGN\"}", BODY, "sekret", BAD, ""},
        {"{\"alg\":\"hs256\",\"sign_type\":\"SIGN\"}", BODY, "sekret", BAD, ""},
        {"{\"alg\":\"HS512\",\"sign_type\":\"SIGN\"}", BODY, "sekret", BAD, ""},
        {"{\"alg\":\"RS256\",\"sign_type\":\"SIGN\"}", BODY, "sekret", BAD, ""},
        {"{\"sign_type\":\"SIGN\"}", BODY, "sekret", BAD, ""},
        {"{\"alg\":\"HS256\"}", BODY, "sekret", BAD, ""},
        {"{\"alg\":\"HS256\",\"sign_type\":\"sign\"}", BODY, "sekret", BAD, ""},
        {"{\"alg\":\"HS256\",\"sign_type\":\"SIGN\",\"typ\":\"JWE\"}", BODY, "sekret", BAD, ""},
        {"{\"alg\":\"HS256\",\"sign_type\":\"SIGN\",\"crit\":[\"b64\"],\"b64\":false}", BODY,
         "sekret", BAD, ""},
        {"{\"alg\":\"none\",\"alg\":\"HS256\",\"sign_type\":\"SIGN\"}", BODY, "sekret", BAD, ""},
        {HEAD " ", BODY, "sekret", OK, "870c582f"},
        {HEAD "x", BODY, "sekret", BAD, ""},
    };
    glim_buf t;
    glim_buf_init(&t, 1 << 16);
    glim_auth *a = set_of(keys, GLIM_COUNT(keys));
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        sign(cases[i].head, cases[i].body, cases[i].secret, &t);
        glim_auth_verdict v = judge(a, glim_buf_view(&t));
        if (v.ok != (cases[i].kind == OK) || (!v.ok && (int)v.kind != cases[i].kind))
            fail_msg("token %zu: ok %d kind %d", i, v.ok, (int)v.kind);
        assert_string_equal(v.key_id, cases[i].id);
    }
    /* A key with three parts is a key all the same. */
    assert_true(judge(a, GLIM_STR("a.b.c")).ok);
    glim_auth_free(a);
    glim_buf_deinit(&t);
}

/* Every byte of a good token, changed in every bit, and every length of it: none passes. */
static void forged(void **state)
{
    (void)state;
    static const char *const keys[] = {"demo.sekret"};
    glim_buf t;
    glim_buf_init(&t, 1 << 16);
    glim_auth *a = set_of(keys, 1);
    sign(HEAD, BODY, "sekret", &t);
    assert_true(judge(a, glim_buf_view(&t)).ok);
    for (size_t i = 0; i < t.n; i++) {
        for (int bit = 0; bit < 8; bit++) {
            t.p[i] ^= (char)(1 << bit);
            if (judge(a, glim_buf_view(&t)).ok) fail_msg("byte %zu, bit %d", i, bit);
            t.p[i] ^= (char)(1 << bit);
        }
        assert_false(judge(a, (glim_str){t.p, i}).ok);
    }
    static const char *const tails[] = {".", "=", "A", "AA", ".AAAA", " "};
    const size_t n = t.n;
    for (size_t i = 0; i < GLIM_COUNT(tails); i++) {
        assert_int_equal(glim_buf_adds(&t, tails[i]), GLIM_OK);
        /* Blanks around a header's value are no part of it. */
        assert_int_equal(judge(a, glim_buf_view(&t)).ok, strcmp(tails[i], " ") == 0);
        glim_buf_cut(&t, n);
    }
    glim_auth_free(a);
    glim_buf_deinit(&t);
}

/* No more than two different texts may tell a stranger why the answer is 401. */
static void texts(void **state)
{
    (void)state;
    static const char *const keys[] = {"demo.sekret"};
    glim_buf t;
    glim_auth_verdict none, bad, old;
    glim_buf_init(&t, 1 << 16);
    glim_auth *a = set_of(keys, 1);
    glim_auth_check(a, &(glim_auth_given){{NULL, 0}, 0, {NULL, 0}}, NOW_S, &none);
    bad = judge(a, GLIM_STR("x"));
    sign(HEAD, "{\"api_key\":\"demo\",\"exp\":1,\"timestamp\":1}", "sekret", &t);
    old = judge(a, glim_buf_view(&t));
    assert_int_equal(none.kind, GLIM_PROBLEM_NO_KEY);
    assert_int_equal(bad.kind, GLIM_PROBLEM_BAD_KEY);
    assert_int_equal(old.kind, GLIM_PROBLEM_OLD_KEY);
    assert_string_equal(bad.text, old.text);
    assert_string_not_equal(bad.text, none.text);
    glim_auth_free(a);
    glim_buf_deinit(&t);
}

static void no_memory(void **state)
{
    (void)state;
    fail_nth f;
    glim_buf t;
    glim_buf_init(&t, 1 << 16);
    sign(HEAD, BODY, "sekret", &t);
    for (int64_t n = 0;; n++) {
        fail_nth_begin(&f, n);
        glim_auth *a = glim_auth_new();
        glim_err rc = a ? glim_auth_add(a, GLIM_STR("demo.sekret"), NULL) : GLIM_E_NOMEM;
        fail_nth_end();
        if (!fail_nth_hit(&f)) assert_int_equal(rc, GLIM_OK);
        if (fail_nth_hit(&f)) assert_int_equal(rc, GLIM_E_NOMEM);
        glim_auth_free(a);
        if (!fail_nth_hit(&f)) break;
    }
    static const char *const keys[] = {"demo.sekret"};
    glim_auth *a = set_of(keys, 1);
    glim_buf value;
    glim_buf_init(&value, 1 << 16);
    assert_int_equal(glim_buf_addf(&value, "Bearer %s", t.p), GLIM_OK);
    for (int64_t n = 0;; n++) {
        glim_auth_verdict v;
        glim_auth_given g = {glim_buf_view(&value), 1, {NULL, 0}};
        fail_nth_begin(&f, n);
        glim_auth_check(a, &g, NOW_S, &v);
        fail_nth_end();
        if (!fail_nth_hit(&f)) {
            assert_true(v.ok);
            break;
        }
        assert_false(v.ok); /* never lets anybody in */
    }
    glim_buf_deinit(&value);
    glim_auth_free(a);
    glim_buf_deinit(&t);
}

/* ---- keys and files -------------------------------------------------------------------------- */

static void keys_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "", " ", "a b", "tab\there", "line\n", "\x7f", "schl\xc3\xbcssel"};
    glim_auth *a = glim_auth_new();
    for (size_t i = 0; i < GLIM_COUNT(bad); i++) {
        glim_error e = {0};
        assert_int_equal(glim_auth_add(a, glim_str_of(bad[i]), &e), GLIM_E_INPUT);
        assert_null(strstr(e.msg, "schl"));
    }
    assert_int_equal(glim_auth_count(a), 0);
    for (int i = 0; i < 4096; i++) {
        char k[16];
        snprintf(k, sizeof k, "key-%d", i);
        assert_int_equal(glim_auth_add(a, glim_str_of(k), NULL), GLIM_OK);
    }
    assert_int_equal(glim_auth_add(a, GLIM_STR("one-more"), NULL), GLIM_E_FULL);
    glim_auth_free(a);
}

static void files(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t n_key;
        glim_err rc;
        const char *says;
    } cases[] = {
        {"one\n", 1, GLIM_OK, NULL},
        {"one", 1, GLIM_OK, NULL},
        {"\xef\xbb\xbf# keys\r\n\r\n  one \r\n\ttwo.three\r\n#four\n\n", 2, GLIM_OK, NULL},
        {"one\none\n", 1, GLIM_OK, NULL},
        {"one#two\n", 1, GLIM_OK, NULL},
        {"", 0, GLIM_E_INPUT, "no API key"},
        {"\n \n# nothing\n", 0, GLIM_E_INPUT, "no API key"},
        {"one\n\nsec ret\n", 1, GLIM_E_INPUT, "line 3"},
        {"one rate=5\ntwo concurrent=0\nthree\t rate=1  concurrent=2 \r\n", 3, GLIM_OK, NULL},
        {"one\none rate=5\none concurrent=3\none rate=5\n", 1, GLIM_OK, NULL},
        {"rate=5\n", 1, GLIM_OK, NULL}, /* a strange key, but one */
        {"one rate=5\none rate=6\n", 1, GLIM_E_INPUT, "line 2"},
        {"one concurrent=0\none concurrent=1\n", 1, GLIM_E_INPUT, "line 2"},
        {"sec rate=\n", 0, GLIM_E_INPUT, "rate= needs a whole number"},
        {"sec rate=-1\n", 0, GLIM_E_INPUT, "rate= needs a whole number"},
        {"sec rate=1.5\n", 0, GLIM_E_INPUT, "line 1"},
        {"sec concurrent=9223372036854775808\n", 0, GLIM_E_INPUT, "concurrent= needs"},
        {"sec rate=1 rate=1\n", 0, GLIM_E_INPUT, "rate= stands twice"},
        {"sec rate =1\n", 0, GLIM_E_INPUT, "only rate=N and concurrent=N"},
        {"one\nsec rate=1 secret\n", 1, GLIM_E_INPUT, "line 2"},
        {"one\nsec RATE=1\n", 1, GLIM_E_INPUT, "line 2"},
        {"one\nsec # comment\n", 1, GLIM_E_INPUT, "line 2"},
    };
    tmp_folder t;
    tmp_folder_make(&t);
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        char path[400], warning[600] = "x";
        glim_error e = {0};
        glim_auth *a = glim_auth_new();
        tmp_text(&t, "keys", cases[i].text);
        assert_int_equal(chmod(tmp_path(&t, "keys", path), 0600), 0);
        assert_int_equal(glim_auth_add_file(a, path, warning, sizeof warning, &e), cases[i].rc);
        assert_int_equal(glim_auth_count(a), cases[i].n_key);
        assert_string_equal(warning, "");
        if (cases[i].says) {
            assert_non_null(strstr(e.msg, cases[i].says));
            assert_non_null(strstr(e.msg, path));
            assert_null(strstr(e.msg, "sec"));
        }
        glim_auth_free(a);
    }
    tmp_folder_end(&t);
}

static void limits(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        int64_t per_minute, concurrent;
    } cases[] = {{"plain", -1, -1},    {"both", 60, 4},      {"none", 0, 0},
                 {"rate", 7, -1},      {"apart", 8, 9},      {"command-line", 3, -1},
                 {"id.secret", 1, -1}, {"last-line", -1, 2}, {"wrong", -1, -1}};
    tmp_folder t;
    char path[400];
    tmp_folder_make(&t);
    tmp_text(&t, "keys",
             "plain\nboth rate=60 concurrent=4\nnone concurrent=0 rate=0\nrate rate=7\n"
             "apart rate=8\napart concurrent=9\ncommand-line rate=3\nid.secret rate=1\n"
             "last-line concurrent=2");
    glim_auth *a = glim_auth_new();
    assert_int_equal(glim_auth_add(a, GLIM_STR("command-line"), NULL), GLIM_OK);
    assert_int_equal(glim_auth_add_file(a, tmp_path(&t, "keys", path), NULL, 0, NULL), GLIM_OK);
    assert_int_equal(glim_auth_add(a, GLIM_STR("both"), NULL), GLIM_OK);
    assert_int_equal(glim_auth_count(a), GLIM_COUNT(cases) - 1);
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        glim_auth_verdict v;
        glim_auth_given g = {{NULL, 0}, 0, glim_str_of(cases[i].key)};
        assert_int_equal(glim_auth_check(a, &g, NOW_S, &v), i + 1 < GLIM_COUNT(cases));
        assert_int_equal(v.limit.per_minute, cases[i].per_minute);
        assert_int_equal(v.limit.concurrent, cases[i].concurrent);
    }
    glim_auth_free(a);
    a = glim_auth_new();
    glim_auth_verdict v;
    glim_auth_given nobody = {{NULL, 0}, 0, {NULL, 0}};
    assert_true(glim_auth_check(a, &nobody, NOW_S, &v));
    assert_int_equal(v.limit.per_minute, -1);
    assert_int_equal(v.limit.concurrent, -1);
    glim_auth_free(a);
    tmp_folder_end(&t);
}

static void file_rights(void **state)
{
    (void)state;
    static const struct {
        mode_t mode;
        const char *says;
    } cases[] = {{0400, ""}, {0600, ""}, {0640, ""}, {0644, "read"}, {0646, "change"}};
    tmp_folder t;
    char path[400], warning[600];
    tmp_folder_make(&t);
    tmp_text(&t, "keys", "k\n");
    tmp_path(&t, "keys", path);
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        glim_auth *a = glim_auth_new();
        assert_int_equal(chmod(path, cases[i].mode), 0);
        assert_int_equal(glim_auth_add_file(a, path, warning, sizeof warning, NULL), GLIM_OK);
        assert_int_equal(warning[0] != '\0', cases[i].says[0] != '\0');
        if (warning[0]) {
            assert_non_null(strstr(warning, cases[i].says));
            assert_non_null(strstr(warning, path));
        }
        glim_auth_free(a);
    }
    glim_error e = {0};
    glim_auth *a = glim_auth_new();
    assert_int_equal(glim_auth_add_file(a, "/nowhere/keys", warning, sizeof warning, &e),
                     GLIM_E_NOTFOUND);
    assert_non_null(strstr(e.msg, "/nowhere/keys"));
    assert_int_equal(glim_auth_add_file(a, t.path, warning, sizeof warning, &e), GLIM_E_IO);
    assert_non_null(strstr(e.msg, t.path));
    glim_auth_free(a);
    tmp_folder_end(&t);
}

/* ---- addresses and names --------------------------------------------------------------------- */

static void binds(void **state)
{
    (void)state;
    static const struct {
        const char *address;
        bool loopback;
    } cases[] = {
        {"127.0.0.1:8000", true},
        {"127.9.8.7:0", true},
        {"[::1]:8000", true},
        {"localhost:80", true},
        {"LocalHost:80", true},
        {"[::ffff:127.0.0.1]:1", true},
        {"0.0.0.0:8000", false},
        {"[::]:8000", false},
        {":8000", false},
        {"", false},
        {"10.0.0.1:1", false},
        {"example.org:80", false},
        {"127.0.0.1.example.org:80", false},
        {"128.0.0.1:1", false},
        {"[::ffff:10.0.0.1]:1", false},
        {"[fe80::1]:1", false},
        {"http://127.0.0.1:8000", true},
        {"https://127.0.0.1:8443", true},
        {"https://[::1]:8443", true},
        {"http://localhost:80", true},
        {"HTTPS://127.0.0.1:1", true}, /* as the listeners read it */
        {"http://0.0.0.0:8000", false},
        {"https://0.0.0.0:8443", false},
        {"https://[::]:8443", false},
        {"http://", false},
        {"https://http://127.0.0.1:1", false},
        {"ftp://127.0.0.1:1", false},
        {"http:127.0.0.1:1", false},
    };
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        const char *two[] = {"127.0.0.1:1", cases[i].address};
        glim_error e = {0};
        glim_err rc = glim_bind_check(two, 2, false, false, &e);
        assert_int_equal(rc, cases[i].loopback ? GLIM_OK : GLIM_E_INPUT);
        if (rc) {
            assert_non_null(strstr(e.msg, "--api-key"));
            assert_non_null(strstr(e.msg, "--insecure"));
            assert_non_null(strstr(e.msg, cases[i].address));
        }
        assert_int_equal(glim_bind_check(two, 2, true, false, &e), GLIM_OK);
        assert_int_equal(glim_bind_check(two, 2, false, true, &e), GLIM_OK);
    }
    assert_int_equal(glim_bind_check(NULL, 0, false, false, NULL), GLIM_OK);
}

static void hosts(void **state)
{
    (void)state;
    static const struct {
        const char *host;
        bool ok;
    } cases[] = {
        {"localhost", true},
        {"localhost:8000", true},
        {"LOCALHOST:8000", true},
        {"localhost.", true},
        {"localhost:", true},
        {"app.localhost", true},
        {"a.b-c.localhost:1", true},
        {"127.0.0.1", true},
        {"127.0.0.1:65535", true},
        {"127.255.0.9", true},
        {"[::1]", true},
        {"[::1]:8000", true},
        {"[0:0:0:0:0:0:0:1]", true},
        {"[::ffff:127.0.0.1]:1", true},
        {"", false},
        {".localhost", false},
        {"a..localhost", false},
        {"..localhost", false},
        {"notlocalhost", false},
        {"localhost.example.org", false},
        {"localhost:65536", false},
        {"localhost:80a", false},
        {"localhost:+80", false},
        {"localhost:80:80", false},
        {"localhost:000080", false},
        {"example.org", false},
        {"example.org:80", false},
        {"evil.org#.localhost", false},
        {"a@localhost", false},
        {"a/.localhost", false},
        {"127.0.0.1.example.org", false},
        {"127.1", false},
        {"127.0.0.01", false},
        {"0x7f000001", false},
        {"2130706433", false},
        {"0.0.0.0", false},
        {"192.168.0.1", false},
        {"128.0.0.1", false},
        {"::1", false},
        {"[::1", false},
        {"[::1]x", false},
        {"[::1]8000", false},
        {"[::2]", false},
        {"[::]", false},
        {"[127.0.0.1]", false},
        {"[::1%25lo]", false},
        {"127.0.0.1 ", false},
        {" localhost", false},
        {"[]", false},
        {":8000", false},
    };
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        if (glim_host_ok(glim_str_of(cases[i].host), true) != cases[i].ok)
            fail_msg("%s", cases[i].host);
        assert_true(glim_host_ok(glim_str_of(cases[i].host), false));
    }
    assert_false(glim_host_ok((glim_str){"localhost\0", 10}, true));
    assert_false(glim_host_ok((glim_str){"127.0.0.1\0", 10}, true));
    assert_false(glim_host_ok((glim_str){NULL, 0}, true));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers),   cmocka_unit_test(two_headers),  cmocka_unit_test(no_keys),
        cmocka_unit_test(tokens),    cmocka_unit_test(forged),       cmocka_unit_test(texts),
        cmocka_unit_test(no_memory), cmocka_unit_test(keys_refused), cmocka_unit_test(files),
        cmocka_unit_test(limits),    cmocka_unit_test(file_rights),  cmocka_unit_test(binds),
        cmocka_unit_test(hosts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
