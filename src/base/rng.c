/* SPDX-License-Identifier: MIT
 * rng.c - xoshiro256++ seeded by splitmix64: fast, and the same everywhere for a seed.
 * Not for secrets.   Source: Blackman & Vigna 2019. */
#include "base/base.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/random.h>
#endif

void glim_rng_seed(glim_rng *r, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        uint64_t z = seed += 0x9e3779b97f4a7c15u;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
        z = (z ^ z >> 27) * 0x94d049bb133111ebu;
        r->s[i] = z ^ z >> 31;
    }
}

static uint64_t rotl(uint64_t x, int k)
{
    return x << k | x >> (64 - k);
}

uint64_t glim_rng_u64(glim_rng *r)
{
    uint64_t *s = r->s, result = rotl(s[0] + s[3], 23) + s[0], t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

float glim_rng_f32(glim_rng *r)
{
    return (float)(glim_rng_u64(r) >> 40) * 0x1p-24f;
}

double glim_rng_f64(glim_rng *r)
{
    return (double)(glim_rng_u64(r) >> 11) * 0x1p-53;
}

uint64_t glim_entropy(void)
{
    uint64_t v = 0;
#if defined(__linux__)
    if (getrandom(&v, sizeof v, GRND_NONBLOCK) == (ssize_t)sizeof v) return v;
#endif
    FILE *f = fopen("/dev/urandom", "rb");
    size_t got = f ? fread(&v, sizeof v, 1, f) : 0;
    if (f) fclose(f);
    return got == 1 ? v : glim_now_ns() ^ (uint64_t)getpid() << 32;
}
