/* SPDX-License-Identifier: MIT
 * test_trace.c - traceparent headers, right ones and each way of being wrong. */
#include "server/trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define TRACE "0af7651916cd43dd8448eb211c80319c"
#define SPAN "b7ad6b7169203331"

static void values(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        bool ok;
    } cases[] = {
        {"00-" TRACE "-" SPAN "-01", true},
        {"00-" TRACE "-" SPAN "-00", true},
        {"00-" TRACE "-" SPAN "-ff", true},
        {"01-" TRACE "-" SPAN "-01", true},
        {"cc-" TRACE "-" SPAN "-01-", true},
        {"cc-" TRACE "-" SPAN "-01-what comes later", true},
        {"fe-" TRACE "-" SPAN "-01-x", true},
        {"", false},
        {"00", false},
        {"00-" TRACE "-" SPAN "-0", false},
        {"00-" TRACE "-" SPAN "-011", false},
        {"00-" TRACE "-" SPAN "-01-", false},
        {"00-" TRACE "-" SPAN "-01-x", false},
        {"00-" TRACE "-" SPAN "-01 ", false},
        {" 00-" TRACE "-" SPAN "-01", false},
        {"cc-" TRACE "-" SPAN "-01.what", false},
        {"cc-" TRACE "-" SPAN "-011", false},
        {"cc-" TRACE "-" SPAN, false},
        {"ff-" TRACE "-" SPAN "-01", false},
        {"ff-" TRACE "-" SPAN "-01-x", false},
        {"FF-" TRACE "-" SPAN "-01", false},
        {"0-" TRACE "-" SPAN "-01x", false},
        {"0x-" TRACE "-" SPAN "-01", false},
        {"00-0AF7651916CD43DD8448EB211C80319C-" SPAN "-01", false},
        {"00-" TRACE "-B7AD6B7169203331-01", false},
        {"00-" TRACE "-" SPAN "-0A", false},
        {"00-" TRACE "-" SPAN "-0g", false},
        {"00-00000000000000000000000000000000-" SPAN "-01", false},
        {"00-" TRACE "-0000000000000000-01", false},
        {"00-0af7651916cd43dd8448eb211c80319g-" SPAN "-01", false},
        {"00-0af7651916cd43dd8448eb211c80319-" SPAN "-01x", false},
        {"00_" TRACE "-" SPAN "-01", false},
        {"00-" TRACE "_" SPAN "-01", false},
        {"00-" TRACE "-" SPAN "_01", false},
        {"00-" TRACE "," SPAN "-01", false},
    };
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        char trace[33], span[17];
        if (glim_trace_parse(glim_str_of(cases[i].value), trace, span) != cases[i].ok)
            fail_msg("'%s'", cases[i].value);
        assert_string_equal(trace, cases[i].ok ? TRACE : "");
        assert_string_equal(span, cases[i].ok ? SPAN : "");
    }
    char trace[33], span[17];
    assert_false(glim_trace_parse((glim_str){NULL, 0}, trace, span));
}

/* Each byte of a right value replaced by every other byte: only digits may change, into digits. */
static void each_byte(void **state)
{
    (void)state;
    static const char right[] = "00-" TRACE "-" SPAN "-01";
    char bytes[sizeof right], trace[33], span[17];
    for (size_t i = 0; i + 1 < sizeof right; i++)
        for (int c = 0; c < 256; c++) {
            memcpy(bytes, right, sizeof right);
            bytes[i] = (char)c;
            bool digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
            bool ok = right[i] == '-' ? c == '-' : digit;
            assert_int_equal(glim_trace_parse((glim_str){bytes, sizeof right - 1}, trace, span),
                             ok);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(values), cmocka_unit_test(each_byte)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
