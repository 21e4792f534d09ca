/* SPDX-License-Identifier: MIT
 * test_url.c - addresses, paths and ids: what is taken, what is not, what is the same origin. */
#include "client/client_priv.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void good(void **state)
{
    (void)state;
    static const struct {
        const char *text, *host, *path;
        bool tls;
        uint16_t port;
    } cases[] = {
        {"https://open.bigmodel.cn/api/paas/v4", "open.bigmodel.cn", "/api/paas/v4", true, 443},
        {"http://127.0.0.1:8000", "127.0.0.1", "", false, 8000},
        {"HTTPS://Host_1:65535/?a=b", "Host_1", "/?a=b", true, 65535},
        {"http://[::1]/x", "[::1]", "/x", false, 80},
        {"http://[::ffff:1.2.3.4]:1/", "[::ffff:1.2.3.4]", "/", false, 1},
        {"http://a?x=/:@", "a", "?x=/:@", false, 80},
    };
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        glim_url u;
        glim_error e = {0};
        assert_int_equal(glim_url_read("url", glim_str_of(cases[i].text), &u, &e), GLIM_OK);
        assert_true(glim_str_is(u.host, cases[i].host));
        assert_true(glim_str_is(u.path, cases[i].path));
        assert_int_equal(u.tls, cases[i].tls);
        assert_int_equal(u.port, cases[i].port);
    }
}

static void bad(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",
        "a",
        "ftp://a",
        "file:///etc/passwd",
        "http:/a",
        "http://",
        "http:///x",
        "http://:80",
        "http://a:",
        "http://a:0",
        "http://a:-1",
        "http://a:+1",
        "http://a:65536",
        "http://a:99999999",
        "http://a:8x",
        "http://u@a",
        "http://u:p@a/",
        "http://a b",
        "http://a/ b",
        "http://a/#b",
        "http://a\\b",
        "http://a/\\b",
        "http://[::1",
        "http://[]",
        "http://[::1]x",
        "http://[g]",
        "http://\xc3\xbc.de",
        "http://a/\n",
        "http://a%41/",
        "javascript:x",
    };
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        glim_url u;
        glim_error e = {0};
        assert_int_equal(glim_url_read("url", glim_str_of(cases[i]), &u, &e), GLIM_E_INPUT);
        assert_memory_equal(e.msg, "url: ", 5);
    }
    char long_one[5000];
    glim_url u;
    memset(long_one, 'a', sizeof long_one);
    memcpy(long_one, "http://", 7);
    assert_int_equal(glim_url_read("url", (glim_str){long_one, sizeof long_one}, &u, NULL),
                     GLIM_E_INPUT);
}

static void origins(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        bool same;
    } cases[] = {
        {"http://a/x", "http://A:80/y?z", true},  {"https://a", "https://a:443", true},
        {"http://a", "https://a", false},         {"http://a:80", "http://a:81", false},
        {"http://a", "http://a.", false},         {"http://a", "http://b", false},
        {"http://a:443", "https://a:443", false}, {"http://a.b", "http://b", false},
    };
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        glim_url a, b;
        assert_int_equal(glim_url_read("", glim_str_of(cases[i].a), &a, NULL), GLIM_OK);
        assert_int_equal(glim_url_read("", glim_str_of(cases[i].b), &b, NULL), GLIM_OK);
        assert_int_equal(glim_url_same_origin(&a, &b), cases[i].same);
    }
}

static void paths(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        bool good;
    } cases[] = {{"/", true},          {"/a/b?c=../d", true}, {"/a..b/.c", true}, {"", false},
                 {"a", false},         {"/..", false},        {"/a/../b", false}, {"/./a", false},
                 {"/a/..?x", false},   {"/a#b", false},       {"/a b", false},    {"/a\\b", false},
                 {"/\xc3\xbc", false}, {"/a\r\nX: y", false}};
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        glim_error e = {0};
        assert_int_equal(glim_url_check_path(cases[i].path, &e),
                         cases[i].good ? GLIM_OK : GLIM_E_INPUT);
    }
}

static void ids(void **state)
{
    (void)state;
    static const struct {
        const char *id;
        bool good;
    } cases[] = {{"a", true},     {"file-01_x.y:z", true}, {"", false},        {".", false},
                 {"..", false},   {"...", true},           {"a/b", false},     {"a?b", false},
                 {"a%2f", false}, {"a b", false},          {"\xc3\xbc", false}};
    for (size_t i = 0; i < GLIM_COUNT(cases); i++)
        assert_int_equal(glim_url_check_id("id", glim_str_of(cases[i].id), NULL),
                         cases[i].good ? GLIM_OK : GLIM_E_INPUT);
    assert_int_equal(glim_url_check_id("id", (glim_str){"a\0b", 3}, NULL), GLIM_E_INPUT);
    char long_one[128];
    memset(long_one, 'a', sizeof long_one);
    assert_int_equal(glim_url_check_id("id", (glim_str){long_one, 127}, NULL), GLIM_OK);
    assert_int_equal(glim_url_check_id("id", (glim_str){long_one, 128}, NULL), GLIM_E_INPUT);
}

static void escaped(void **state)
{
    (void)state;
    glim_buf b;
    glim_buf_init(&b, 100);
    glim_url_escape(&b, GLIM_STR("az-AZ_0.~ &=/%\xc3\xbc\0"));
    assert_string_equal(b.p, "az-AZ_0.~%20%26%3D%2F%25%C3%BC%00");
    glim_buf_deinit(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(good),    cmocka_unit_test(bad),
                                       cmocka_unit_test(origins), cmocka_unit_test(paths),
                                       cmocka_unit_test(ids),     cmocka_unit_test(escaped)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
