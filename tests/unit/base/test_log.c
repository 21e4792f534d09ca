/* SPDX-License-Identifier: MIT
 * test_log.c - which lines come through, and in what shape. */
#include "base/base.h"

#include <setjmp.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct sink {
    int n_line;
    glim_log_level level;
    char area[32], event[32], pairs[1024];
} sink;

static void keep(void *user, glim_log_level level, const char *area, const char *event,
                 const char *pairs)
{
    sink *s = user;
    s->n_line++;
    s->level = level;
    snprintf(s->area, sizeof s->area, "%s", area);
    snprintf(s->event, sizeof s->event, "%s", event);
    snprintf(s->pairs, sizeof s->pairs, "%s", pairs);
}

static void levels(void **state)
{
    (void)state;
    for (int max = GLIM_LOG_ERROR; max <= GLIM_LOG_TRACE; max++) {
        sink s = {0};
        int n_call = 0;
        glim_log_set(keep, &s, (glim_log_level)max);
        GLIM_ERROR("base", "e", "n=%d", ++n_call);
        GLIM_WARN("base", "w", "n=%d", ++n_call);
        GLIM_INFO("base", "i", "n=%d", ++n_call);
        GLIM_DEBUG("base", "d", "n=%d", ++n_call);
        int want = GLIM_MIN(max + 1, 4);
        assert_int_equal(s.n_line, want);
        assert_int_equal(n_call, want); /* a line that is off costs nothing */
        assert_int_equal(s.level, want - 1);
        for (int l = GLIM_LOG_ERROR; l <= GLIM_LOG_TRACE; l++)
            assert_int_equal(glim_log_on((glim_log_level)l), l <= max);
    }
    glim_log_set(NULL, NULL, GLIM_LOG_WARN);
}

static void content(void **state)
{
    (void)state;
    sink s = {0};
    static char big[2000];
    memset(big, 'x', sizeof big - 1);
    glim_log_set(keep, &s, GLIM_LOG_WARN);
    GLIM_WARN("engine", "evict", "session=%u pages=%u", 12u, 8u);
    assert_string_equal(s.area, "engine");
    assert_string_equal(s.event, "evict");
    assert_string_equal(s.pairs, "session=12 pages=8");
    GLIM_WARN("engine", "long", "v=%s", big); /* cut, not overrun */
    assert_true(strlen(s.pairs) >= 100 && strlen(s.pairs) < 1024);
    glim_log_set(NULL, NULL, GLIM_LOG_WARN);
}

static void default_place(void **state)
{
    (void)state;
    char got[200] = {0};
    int fd[2], old = dup(STDERR_FILENO);
    assert_int_equal(pipe(fd), 0);
    fflush(stderr);
    dup2(fd[1], STDERR_FILENO);
    close(fd[1]);
    glim_log_set(NULL, NULL, GLIM_LOG_WARN);
    GLIM_WARN("base", "one", "a=%d", 1);
    GLIM_WARN("base", "two", "%s", "");
    fflush(stderr);
    dup2(old, STDERR_FILENO);
    close(old);
    ssize_t n = read(fd[0], got, sizeof got - 1);
    close(fd[0]);
    assert_true(n > 0);
    assert_string_equal(got, "lvl=warn area=base ev=one a=1\nlvl=warn area=base ev=two\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(levels),
        cmocka_unit_test(content),
        cmocka_unit_test(default_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
