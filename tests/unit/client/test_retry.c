/* SPDX-License-Identifier: MIT
 * test_retry.c - what is tried again and how long that waits; clock and chance are given.
 * Source: api.md 4.1, 5.1; RFC 9110 section 10.2.3. Unix times of the dates by date(1). */
#include "client/client_priv.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void statuses(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *code;
        glim_tristate said;
        bool again;
    } cases[] = {
        {400, "1214", GLIM_UNSET, false}, {401, "", GLIM_UNSET, false},
        {403, "", GLIM_UNSET, false},     {404, "", GLIM_UNSET, false},
        {408, "", GLIM_UNSET, true},      {409, "", GLIM_UNSET, true},
        {429, "1302", GLIM_UNSET, true},  {429, "1305", GLIM_UNSET, true},
        {429, "1113", GLIM_UNSET, false}, {429, "1304", GLIM_UNSET, false},
        {429, "1308", GLIM_UNSET, false}, {429, "1309", GLIM_UNSET, false},
        {429, "", GLIM_UNSET, true},      {429, "insufficient_quota", GLIM_UNSET, false},
        {500, "", GLIM_UNSET, true},      {502, "", GLIM_UNSET, true},
        {503, "", GLIM_UNSET, true},      {599, "", GLIM_UNSET, true},
        {400, "", GLIM_ON, true},         {503, "", GLIM_OFF, false},
        {429, "1113", GLIM_ON, true},
    };
    for (size_t i = 0; i < GLIM_COUNT(cases); i++)
        assert_int_equal(glim_retry_status(cases[i].status, cases[i].code, cases[i].said),
                         cases[i].again);
}

static void waits(void **state)
{
    (void)state;
    static const int64_t full[] = {1000, 2000, 4000, 8000, 8000, 8000};
    for (int i = 0; i < (int)GLIM_COUNT(full); i++) {
        assert_int_equal(glim_retry_wait(1000, i, 1, -1), full[i]);
        assert_int_equal(glim_retry_wait(1000, i, 0, -1), full[i] * 3 / 4);
        assert_int_equal(glim_retry_wait(500, i, 1, 0), i < 4 ? 500 << i : 8000);
        assert_int_equal(glim_retry_wait(1000, i, 0.3, 123), 123);
    }
    assert_int_equal(glim_retry_wait(1000, 1000000, 1, -1), 8000);
}

static void after(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        int64_t now_s, ms;
    } cases[] = {
        {"0", 0, 0},
        {"1", 0, 1000},
        {" 120\t", 0, 120000},
        {"0.0015", 0, 2},
        {"-1", 0, -1},
        {"", 0, -1},
        {"soon", 0, -1},
        {"1e400", 0, -1},
        {"99999999999999999999", 0, -1},
        {"Sun, 06 Nov 1994 08:49:37 GMT", 784111777 - 10, 10000},
        {"Sun, 06 Nov 1994 08:49:37 GMT", 784111777 + 10, 0},
        {"Thu, 29 Feb 2024 23:59:60 GMT", 1709251200 - 1, 1000},
        {"Thu, 01 Jan 1970 00:00:00 GMT", -5, 5000},
        {"Fri, 31 Dec 2100 00:00:00 GMT", 4133894400 - 1, 1000},
        {"Sun, 06 Nov 1994 08:49:37 UTC", 0, -1},
        {"Sun, 06 Nox 1994 08:49:37 GMT", 0, -1},
        {"Sun, 06 Nov 1994 24:49:37 GMT", 0, -1},
        {"Sun, 00 Nov 1994 08:49:37 GMT", 0, -1},
        {"Sun, 06 Nov 1x94 08:49:37 GMT", 0, -1},
        {"Sunday, 06-Nov-94 08:49:37 GMT", 0, -1},
    };
    for (size_t i = 0; i < GLIM_COUNT(cases); i++)
        assert_int_equal(glim_retry_after(glim_str_of(cases[i].value), cases[i].now_s),
                         cases[i].ms);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(statuses), cmocka_unit_test(waits),
                                       cmocka_unit_test(after)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
