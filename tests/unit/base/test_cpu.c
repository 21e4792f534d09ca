/* SPDX-License-Identifier: MIT
 * test_cpu.c - level names, detection against the system's own word, the number of cores. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* sched_setaffinity */
#endif
#include "base/base.h"

#include <setjmp.h>
#include <stdio.h>
#if defined(__linux__)
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <cmocka.h>

static void names(void **state)
{
    (void)state;
    static const char *const want[] = {"ref", "avx2", "avx512v", "avx512bf", "amx"};
    assert_int_equal(GLIM_CPU_LEVEL_COUNT, GLIM_COUNT(want));
    for (int i = 0; i < GLIM_CPU_LEVEL_COUNT; i++) {
        glim_cpu_level l = GLIM_CPU_LEVEL_COUNT;
        assert_string_equal(glim_cpu_level_name((glim_cpu_level)i), want[i]);
        assert_true(glim_cpu_level_find(glim_str_of(want[i]), &l));
        assert_int_equal(l, i);
    }
    glim_cpu_level l = GLIM_CPU_LEVEL_COUNT;
    assert_true(glim_cpu_level_find(GLIM_STR("AVX2"), &l) && l == GLIM_CPU_AVX2);
    assert_true(glim_cpu_level_find(GLIM_STR("auto"), &l) && l == glim_cpu_best());
    l = GLIM_CPU_AVX2;
    assert_false(glim_cpu_level_find(GLIM_STR(""), &l));
    assert_false(glim_cpu_level_find(GLIM_STR("avx"), &l));
    assert_false(glim_cpu_level_find(GLIM_STR("avx22"), &l));
    assert_int_equal(l, GLIM_CPU_AVX2);
    assert_string_equal(glim_cpu_level_name(GLIM_CPU_LEVEL_COUNT), "?");
    assert_string_equal(glim_cpu_level_name((glim_cpu_level)-1), "?");
}

#if defined(__linux__) && defined(__x86_64__)
static bool has_flag(const char *line, const char *flag)
{
    char word[32];
    snprintf(word, sizeof word, " %s ", flag);
    return strstr(line, word) != NULL;
}

/* Tiles need a leave of their own, which a container may refuse: a machine that has them is then one
 * without. */
static bool tiles_refused(void)
{
    enum { ASK = 0x1023, TILE_DATA = 18 };
    return syscall(SYS_arch_prctl, ASK, TILE_DATA) != 0;
}

/* The kernel lists what processor and operating system allow together. */
static void detection(void **state)
{
    (void)state;
    static char line[8192];
    FILE *f = fopen("/proc/cpuinfo", "r");
    bool got = false;
    if (!f) skip();
    while (!got && fgets(line, sizeof line, f))
        got = strncmp(line, "flags", 5) == 0;
    fclose(f);
    if (!got) skip();
    line[strcspn(line, "\n")] = ' ';
    static const char *const need[GLIM_CPU_LEVEL_COUNT][8] = {
        [GLIM_CPU_AVX2] = {"avx2", "fma", "f16c", "bmi2"},
        [GLIM_CPU_AVX512V] = {"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl",
                              "avx512_vnni"},
        [GLIM_CPU_AVX512BF] = {"avx512_bf16"},
        [GLIM_CPU_AMX] = {"amx_tile", "amx_bf16", "amx_int8"},
    };
    int want = GLIM_CPU_REF;
    for (int l = 1; l < GLIM_CPU_LEVEL_COUNT; l++) {
        bool all = true;
        for (int i = 0; i < 8 && need[l][i]; i++)
            all = all && has_flag(line, need[l][i]);
        if (!all || (l == GLIM_CPU_AMX && tiles_refused())) break;
        want = l;
    }
    assert_int_equal(glim_cpu_best(), want);
}
#else
static void detection(void **state)
{
    (void)state;
    assert_in_range(glim_cpu_best(), GLIM_CPU_REF, GLIM_CPU_LEVEL_COUNT - 1);
}
#endif

static void model_name(void **state)
{
    (void)state;
    const char *m = glim_cpu_model();
    assert_non_null(m);
    size_t n = strlen(m);
    assert_true(n > 0 && m[0] != ' ' && m[n - 1] != ' ');
    assert_string_equal(glim_cpu_model(), m);
}

static void cores(void **state)
{
    (void)state;
    int n = glim_cpu_count();
    assert_true(n >= 1);
#if defined(__linux__)
    cpu_set_t all, one;
    if (sched_getaffinity(0, sizeof all, &all) != 0) skip();
    assert_true(n <= CPU_COUNT(&all));
    CPU_ZERO(&one);
    for (int i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &all)) {
            CPU_SET(i, &one);
            break;
        }
    if (sched_setaffinity(0, sizeof one, &one) != 0) skip();
    int narrowed = glim_cpu_count();
    sched_setaffinity(0, sizeof all, &all);
    assert_int_equal(narrowed, 1);
    assert_int_equal(glim_cpu_count(), n);
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(detection),
        cmocka_unit_test(model_name),
        cmocka_unit_test(cores),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
