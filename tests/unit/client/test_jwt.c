/* SPDX-License-Identifier: MIT
 * test_jwt.c - tokens signed with a key. The expected one was made with Python's hmac and base64 (3.11). */
#include "client/client_priv.h"
#include "failnth.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void whole(void **state)
{
    (void)state;
    static const char expected[] =
        "xBearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIsInNpZ25fdHlwZSI6IlNJR04ifQ."
        "eyJhcGlfa2V5IjoidGVzdGlkIiwiZXhwIjoxNzAwMDAwMjEwMDAwLCJ0aW1lc3RhbXAiOjE3MDAwMDAwMDAwMDB9."
        "HSleQWryfoamdYe-XdU7zw-AErjCg0zD4NLq_ethpIw";
    glim_buf b;
    glim_error e = {0};
    glim_buf_init(&b, GLIM_JWT_MAX);
    assert_int_equal(glim_buf_addc(&b, 'x'), GLIM_OK);
    assert_int_equal(glim_jwt_bearer(GLIM_STR("testid.testsecret"), 1700000000000, &b, &e),
                     GLIM_OK);
    assert_string_equal(b.p, expected);
    glim_buf_deinit(&b);
}

static void keys(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        bool good;
    } cases[] = {{"a.b", true},    {"ab", false}, {".b", false}, {"a.", false},
                 {"a.b.c", false}, {"", false},   {".", false},  {"..", false}};
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        glim_buf b;
        glim_error e = {0};
        glim_buf_init(&b, GLIM_JWT_MAX);
        assert_int_equal(glim_jwt_key(glim_str_of(cases[i].key)), cases[i].good);
        assert_int_equal(glim_jwt_bearer(glim_str_of(cases[i].key), 0, &b, &e),
                         cases[i].good ? GLIM_OK : GLIM_E_INPUT);
        if (!cases[i].good) assert_int_equal(b.n, 0);
        glim_buf_deinit(&b);
    }
}

static void no_room(void **state)
{
    (void)state;
    for (int64_t n = 0;; n++) {
        glim_buf b;
        glim_error e = {0};
        fail_nth f;
        glim_buf_init(&b, GLIM_JWT_MAX);
        fail_nth_begin(&f, n);
        glim_err rc = glim_jwt_bearer(GLIM_STR("testid.testsecret"), 1, &b, &e);
        fail_nth_end();
        bool hit = fail_nth_hit(&f);
        assert_int_equal(rc, hit ? GLIM_E_NOMEM : GLIM_OK);
        if (hit) assert_int_equal(b.n, 0);
        glim_buf_deinit(&b);
        if (!hit) break;
    }
    glim_buf small;
    glim_error e = {0};
    glim_buf_init(&small, 100);
    assert_int_equal(glim_jwt_bearer(GLIM_STR("testid.testsecret"), 1, &small, &e), GLIM_E_LIMIT);
    assert_int_equal(small.n, 0);
    glim_buf_deinit(&small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(whole), cmocka_unit_test(keys),
                                       cmocka_unit_test(no_room)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
