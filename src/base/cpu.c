/* SPDX-License-Identifier: MIT
 * cpu.c - which kernel levels this machine runs, and how many cores this process may use.
 * Thread: any.   See: base/cpu.def */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* sched_getaffinity */
#endif
#include "base/base.h"

#include <stdio.h>
#include <unistd.h>
#if defined(__linux__)
#include <sched.h>
#include <sys/syscall.h>
#endif
#if defined(__x86_64__)
#include <cpuid.h>
#include <stdatomic.h>
#endif

static const char *const level_names[] = {
#define LEVEL(id, name, text) name,
#include "base/cpu.def"
#undef LEVEL
};

const char *glim_cpu_level_name(glim_cpu_level l)
{
    return (size_t)l < GLIM_COUNT(level_names) ? level_names[l] : "?";
}

bool glim_cpu_level_find(glim_str name, glim_cpu_level *out)
{
    if (glim_str_ieq(name, GLIM_STR("auto"))) {
        *out = glim_cpu_best();
        return true;
    }
    for (size_t i = 0; i < GLIM_COUNT(level_names); i++) {
        if (!glim_str_ieq(name, glim_str_of(level_names[i]))) continue;
        *out = (glim_cpu_level)i;
        return true;
    }
    return false;
}

#if defined(__x86_64__)
/* Tile registers are 8 KiB a thread, which Linux gives only to processes that ask (arch_prctl, kernel
 * 5.16 and later). The answer holds for all threads, those of later included, so it is asked once;
 * two threads that ask together get the same. Without it the first tile instruction would be fatal. */
static bool tiles_granted(void)
{
#if defined(__linux__) && defined(SYS_arch_prctl)
    enum { ASK = 0x1023, TILE_DATA = 18 }; /* ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA */
    static atomic_int answer;              /* 0: not asked yet, 1: yes, 2: no */
    if (atomic_load(&answer) == 0)
        atomic_store(&answer, syscall(SYS_arch_prctl, ASK, TILE_DATA) == 0 ? 1 : 2);
    return atomic_load(&answer) == 1;
#else
    return false;
#endif
}

static bool has_amx(void)
{
    enum { BF16 = 1u << 22, TILE = 1u << 24, INT8 = 1u << 25 };
    unsigned a, b, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
    return (d & BF16) && (d & TILE) && (d & INT8) && tiles_granted();
}
#endif

glim_cpu_level glim_cpu_best(void)
{
#if defined(__x86_64__)
    /* The compiler's checks include the operating system's consent (XGETBV). */
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") ||
        !__builtin_cpu_supports("bmi2"))
        return GLIM_CPU_REF;
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_F16C)) return GLIM_CPU_REF;
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512cd") ||
        !__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512dq") ||
        !__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512vnni"))
        return GLIM_CPU_AVX2;
    if (!__get_cpuid_count(7, 1, &a, &b, &c, &d) || !(a & (1u << 5))) return GLIM_CPU_AVX512V;
    return has_amx() ? GLIM_CPU_AMX : GLIM_CPU_AVX512BF;
#else
    return GLIM_CPU_REF;
#endif
}

const char *glim_cpu_model(void)
{
    static _Thread_local char model[64]; /* one a thread: no lock, no race */
#if defined(__x86_64__)
    unsigned r[12];
    if (!model[0] && (unsigned)__get_cpuid_max(0x80000000u, NULL) >= 0x80000004u) {
        for (unsigned i = 0; i < 3; i++)
            __get_cpuid(0x80000002u + i, &r[i * 4], &r[i * 4 + 1], &r[i * 4 + 2], &r[i * 4 + 3]);
        char raw[49];
        memcpy(raw, r, 48);
        raw[48] = 0;
        glim_str s = glim_str_trim(glim_str_of(raw), " ");
        memcpy(model, s.p, s.n);
        model[s.n] = 0;
    }
#endif
    return model[0] ? model : "unknown CPU";
}

/* Whole cores of a cgroup v2 quota ("200000 100000" is 2), 0 when there is none. */
static int cgroup_cores(void)
{
    long long quota = 0, period = 0;
    FILE *f = fopen("/sys/fs/cgroup/cpu.max", "r");
    if (!f) return 0;
    int got = fscanf(f, "%lld %lld", &quota, &period);
    fclose(f);
    if (got != 2 || quota <= 0 || period <= 0) return 0;
    return (int)GLIM_MAX((quota + period - 1) / period, 1);
}

int glim_cpu_count(void)
{
    int n = 0;
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) n = CPU_COUNT(&set);
#endif
    if (n <= 0) n = (int)GLIM_MAX(sysconf(_SC_NPROCESSORS_ONLN), 1);
    int quota = cgroup_cores();
    return quota > 0 ? GLIM_MIN(n, quota) : n;
}
