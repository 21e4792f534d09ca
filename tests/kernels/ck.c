/* SPDX-License-Identifier: MIT
 * ck.c - guarded buffers, test data and comparison of checkkern. */
#include "ck.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define N_MAP 64
#define N_SHOWN 5 /* failures of a slot that are printed */

typedef struct map {
    uint8_t *base, *p; /* p: what the test sees */
    size_t n_map;
} map;
static map maps[N_MAP];
static size_t n_map;

void ck_case(ck *c, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(c->where, sizeof(c->where), fmt, ap);
    va_end(ap);
    c->n_case++;
}

void ck_fail(ck *c, const char *fmt, ...)
{
    char text[200];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (c->n_fail++ < N_SHOWN) printf("FAIL %s %s: %s: %s\n", c->slot, c->name, c->where, text);
}

void *ck_bytes(size_t n, size_t gap)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t body = (n + gap + 2 * page - 1) / page *
                  page; /* at least a page less one byte of poison in front */
    uint8_t *base =
        mmap(NULL, body + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED || n_map == N_MAP) {
        fprintf(stderr, "checkkern: out of memory or buffers\n");
        _exit(3);
    }
    mprotect(base + body, page, PROT_NONE);
    memset(base, CK_POISON, body);
    maps[n_map] = (map){base, base + body - gap - n, body + page};
    return maps[n_map++].p;
}

float *ck_floats(int64_t n)
{
    return ck_bytes((size_t)n * sizeof(float), 0);
}

static map *map_of(const void *p)
{
    for (size_t i = 0; i < n_map; i++) {
        const uint8_t *b = p;
        if (b >= maps[i].base && b <= maps[i].base + maps[i].n_map) return &maps[i];
    }
    return NULL;
}

void ck_seal(const void *p)
{
    map *m = map_of(p);
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (m) mprotect(m->base, m->n_map - page, PROT_READ);
}

void ck_check_front(ck *c, const void *p)
{
    const map *m = map_of(p);
    for (const uint8_t *b = m->base; b < m->p; b++) {
        if (*b != CK_POISON) {
            ck_fail(c, "wrote %td bytes before the buffer", m->p - b);
            return;
        }
    }
}

void ck_release(void)
{
    while (n_map) {
        n_map--;
        munmap(maps[n_map].base, maps[n_map].n_map);
    }
}

static float bits_f32(uint32_t u)
{
    float f;
    memcpy(&f, &u, sizeof(f));
    return f;
}

void ck_fill_f32(ck *c, float *p, int64_t n, ck_fill how)
{
    static const float nasty[] = {NAN,      INFINITY, -INFINITY, FLT_MAX,
                                  -FLT_MAX, FLT_MIN,  -0.0f,     1e30f};
    for (int64_t i = 0; i < n; i++) {
        float v = 2 * glim_rng_f32(&c->rng) - 1;
        switch (how) {
        case CK_ZERO:
            v = v < 0 ? -0.0f : 0.0f;
            break;
        case CK_DENORM:
            v *= 0x1p-127f;
            break;
        case CK_BIG:
            v *= 1e15f;
            break;
        case CK_SMALL:
            v *= 1e-15f;
            break;
        case CK_MIX:
            v = ldexpf(v, (int)(glim_rng_u64(&c->rng) % 41) - 20);
            break;
        case CK_HOSTILE: {
            uint64_t r = glim_rng_u64(&c->rng);
            if (r % 4 == 0) v = nasty[(r >> 8) % GLIM_COUNT(nasty)];
            if (r % 4 == 1) v = bits_f32((uint32_t)(r >> 32));
            break;
        }
        default:
            break;
        }
        p[i] = v;
    }
}

size_t ck_row_bytes(glim_type t, int64_t n)
{
    const glim_type_traits *tr = glim_type_get(t);
    return (size_t)(n / tr->n_block) * tr->block_bytes;
}

/* Where a block keeps its binary16 scales; -1: none. */
static bool scales_of(glim_type t, int *d, int *min)
{
    static const struct {
        glim_type t;
        int d, min;
    } rows[] = {{GLIM_Q4_0, 0, -1},  {GLIM_Q4_1, 0, 2},    {GLIM_Q5_0, 0, -1},
                {GLIM_Q5_1, 0, 2},   {GLIM_Q2_K, 80, 82},  {GLIM_Q3_K, 108, -1},
                {GLIM_Q4_K, 0, 2},   {GLIM_Q5_K, 0, 2},    {GLIM_Q6_K, 208, -1},
                {GLIM_Q8_0, 0, -1},  {GLIM_IQ4_NL, 0, -1}, {GLIM_IQ4_XS, 0, -1},
                {GLIM_MXFP4, -1, -1}};
    for (size_t i = 0; i < GLIM_COUNT(rows); i++) {
        if (rows[i].t == t) {
            *d = rows[i].d;
            *min = rows[i].min;
            return true;
        }
    }
    return false;
}

/* Random bits in every block, so that all codes and scales occur; only binary16 fields are kept in
 * range. */
static bool fill_blocks(ck *c, glim_type t, uint8_t *p, int64_t n, ck_fill how)
{
    const glim_type_traits *tr = glim_type_get(t);
    int d, min;
    if (!scales_of(t, &d, &min)) return false;
    for (int64_t i = 0; i < n / tr->n_block; i++, p += tr->block_bytes) {
        for (size_t j = 0; j < tr->block_bytes; j++)
            p[j] = (uint8_t)glim_rng_u64(&c->rng);
        if (t == GLIM_MXFP4 && how != CK_HOSTILE) p[0] = (uint8_t)(100 + p[0] % 32);
        if (how == CK_HOSTILE) continue;
        float scale = how == CK_BIG      ? 60000.0f
                      : how == CK_SMALL  ? 1e-4f
                      : how == CK_DENORM ? 1e-6f
                      : how == CK_MIX    ? ldexpf(1.0f, (int)(glim_rng_u64(&c->rng) % 21) - 10)
                                         : 0.01f;
        uint16_t h[2];
        for (int k = 0; k < 2; k++) {
            float f = how == CK_ZERO ? 0.0f : scale * (0.1f + 0.9f * glim_rng_f32(&c->rng));
            h[k] = glim_f32_to_f16(f);
        }
        if (d >= 0) memcpy(p + d, &h[0], 2);
        if (min >= 0) memcpy(p + min, &h[1], 2);
    }
    return true;
}

void *ck_weights(ck *c, glim_type t, int64_t n_row, int64_t n, size_t pad, size_t gap, ck_fill how)
{
    size_t row = ck_row_bytes(t, n);
    /* The last row ends the buffer: padding stands between rows only. */
    size_t bytes = n_row ? (size_t)n_row * row + (size_t)(n_row - 1) * pad : 0;
    uint8_t *w = ck_bytes(bytes, gap);
    for (int64_t r = 0; r < n_row; r++) {
        uint8_t *p = w + (size_t)r * (row + pad);
        if (t == GLIM_F32 || t == GLIM_F16 || t == GLIM_BF16) {
            /* Kept inside binary16, else F16 rows would be zero or infinite. */
            ck_fill f = t == GLIM_F16 && (how == CK_BIG || how == CK_SMALL || how == CK_DENORM)
                            ? CK_NORMAL
                            : how;
            for (int64_t i = 0; i < n; i++) {
                float v;
                ck_fill_f32(c, &v, 1, f);
                if (t == GLIM_F16 && how == CK_DENORM) v *= 0x1p-15f;
                glim_type_get(t)->encode(&v, p + (size_t)i * glim_type_get(t)->block_bytes, 1);
            }
        } else if (!fill_blocks(c, t, p, n, how)) {
            ck_fail(c, "checkkern cannot make weights of type %s: add it to scales_of()",
                    glim_type_get(t)->name);
            return NULL;
        }
    }
    ck_seal(w);
    return w;
}

void ck_mag(ck *c, double k, float want, float got, double mag, int64_t n)
{
    if (isnan(want) || isnan(got)) {
        if (isnan(want) != isnan(got)) ck_fail(c, "want %g, got %g", (double)want, (double)got);
        return;
    }
    if (want == got) return;
    double bound = FLT_EPSILON * mag;
    /* A product that underflows, or whose factor an instruction takes for zero, may be lost
     * entirely. */
    double slack = (double)FLT_MIN * (double)(n + 1);
    double err = fabs((double)got - (double)want);
    if (err > slack && bound > 0) c->worst = fmax(c->worst, err / bound);
    if (!(err <= k * bound + slack)) {
        ck_fail(c, "want %.9g, got %.9g, error %.3g of %.3g allowed", (double)want, (double)got,
                err, k * bound + slack);
    }
}

void ck_same(ck *c, const void *want, const void *got, size_t n)
{
    const uint8_t *a = want, *b = got;
    for (size_t i = 0; i < n; i++) {
        if (a[i] != b[i]) {
            ck_fail(c, "byte %zu of %zu: want %02x, got %02x", i, n, a[i], b[i]);
            return;
        }
    }
}

void ck_same_f32(ck *c, const float *want, const float *got, int64_t n, const char *what)
{
    for (int64_t i = 0; i < n; i++) {
        if (memcmp(want + i, got + i, sizeof(*want)) == 0 || (isnan(want[i]) && isnan(got[i])))
            continue;
        ck_fail(c, "%s %lld of %lld: want %a, got %a", what, (long long)i, (long long)n,
                (double)want[i], (double)got[i]);
        return;
    }
}

void ck_nmse(ck *c, double limit, double floor, const float *want, const float *got, int64_t n,
             const char *what)
{
    double num = 0, den = 0;
    for (int64_t i = 0; i < n; i++) {
        double d = (double)got[i] - (double)want[i];
        num += d * d;
        den += (double)want[i] * (double)want[i];
    }
    den = fmax(fmax(den, (double)n * floor * floor), DBL_MIN);
    double e = num == 0 ? 0 : num / den;
    if (!isnan(e)) c->worst = fmax(c->worst, e);
    if (!(e <= limit)) ck_fail(c, "%s: NMSE %.3g above %.3g", what, e, limit);
}
