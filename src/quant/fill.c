/* SPDX-License-Identifier: MIT
 * fill.c - random weights made directly as blocks, for files that have a model's shapes but not its
 * knowledge: bell-shaped with mean 0, every quantum used, scales that differ from block to block.
 * Why not floats through an encoder: a file of 18 GB is then made as fast as a disk takes it.
 * Layout: quanta are sums of two even random fields (and an odd bit where the range asks for one),
 * many at a time in one word. A lifted run has a narrower bell around LIFT standard deviations.
 * Thread: any, pure; the same generator gives the same bytes everywhere.
 * See:    tests/unit/quant/test_fill.c */
#include "quant/quant_priv.h"

#define REP8(x) (UINT64_C(0x0101010101010101) * (x))

static bool lifted(const uint8_t *lift, int64_t i_run)
{
    return lift && lift[i_run];
}

/* A block's own factor: 0.8 to 1.2, root of mean square 1.0066. */
static float spread(glim_rng *r)
{
    return (0.8f + 0.4f * glim_rng_f32(r)) * (1 / 1.0066f);
}

/* n bytes (a multiple of 8), each the sum of two even fields of `bits` bits. */
static void sums(glim_rng *r, int bits, uint8_t *out, int n)
{
    const uint64_t mask = REP8((1u << bits) - 1);
    for (int i = 0; i < n; i += 8) {
        uint64_t v = (glim_rng_u64(r) & mask) + (glim_rng_u64(r) & mask);
        memcpy(out + i, &v, sizeof v);
    }
}

/* The same and one more even bit, which makes the number of values even. bits at most 6. */
static void sums_even(glim_rng *r, int bits, uint8_t *out, int n)
{
    const uint64_t mask = REP8((1u << bits) - 1);
    for (int i = 0; i < n; i += 8) {
        uint64_t a = glim_rng_u64(r), b = glim_rng_u64(r);
        uint64_t v = (a & mask) + (b & mask) + (a >> 7 & REP8(1));
        memcpy(out + i, &v, sizeof v);
    }
}

/* Standard deviations of the sums above: sqrt(2 (4^bits - 1) / 12), with the bit + 1/4 under the
 * root. */
#define STD_7 52.2558f      /* Q8_0 */
#define STD_5_EVEN 13.0735f /* Q6_K */
#define STD_4_EVEN 6.5383f  /* Q5_0 */
#define STD_3_EVEN 3.2787f  /* Q4_K */

#define LIFT 2.65f /* mean of a lifted run, in standard deviations of the others */

/* ---- Q8_0 ------------------------------------------------------------------------------------ */

static void fill_q8_0(float std, const uint8_t *lift, glim_rng *r, void *dst, int64_t n)
{
    glim_block_q8_0 *b = dst;
    uint8_t q[GLIM_QK];
    for (int64_t i = 0; i < n / GLIM_QK; i++, b++) {
        const bool up = lifted(lift, i);
        b->d = glim_f32_to_f16(std * (up ? LIFT / 96 : 1 / STD_7) * spread(r));
        sums(r, up ? 5 : 7, q, GLIM_QK); /* 0..62 becomes 65..127 */
        for (int j = 0; j < GLIM_QK; j++)
            b->qs[j] = (int8_t)(q[j] + (up ? 65 : -127));
    }
}

/* ---- Q5_0 ------------------------------------------------------------------------------------ */

static void fill_q5_0(float std, const uint8_t *lift, glim_rng *r, void *dst, int64_t n)
{
    glim_block_q5_0 *b = dst;
    uint8_t q[GLIM_QK];
    for (int64_t i = 0; i < n / GLIM_QK; i++, b++) {
        const bool up = lifted(lift, i);
        float d = std * (up ? LIFT / 11.5f : 1 / STD_4_EVEN) * spread(r);
        sums_even(r, up ? 2 : 4, q, GLIM_QK);
        for (int j = 0; up && j < GLIM_QK; j++)
            q[j] = (uint8_t)(q[j] + 24); /* 0..7 becomes 8..15 above zero */
        /* -16..15 is not even about 0: half of the scales are negative, as in real files. */
        if (glim_rng_u64(r) & 1 && !up) d = -d;
        b->d = glim_f32_to_f16(d);
        uint32_t qh = 0;
        for (int j = 0; j < 16; j++) {
            b->qs[j] = (uint8_t)((q[j] & 15) | q[j + 16] << 4);
            qh |= (uint32_t)(q[j] >> 4) << j | (uint32_t)(q[j + 16] >> 4) << (j + 16);
        }
        memcpy(b->qh, &qh, sizeof qh);
    }
}

/* ---- Q4_K ------------------------------------------------------------------------------------ */

/* The inverse of glim_q4_k_scale(). */
static void pack_scales(const uint8_t scale[8], const uint8_t min[8], uint8_t out[12])
{
    for (int j = 0; j < 4; j++) {
        out[j] = (uint8_t)(scale[j] | scale[j + 4] >> 4 << 6);
        out[j + 4] = (uint8_t)(min[j] | min[j + 4] >> 4 << 6);
        out[j + 8] = (uint8_t)((scale[j + 4] & 15) | (min[j + 4] & 15) << 4);
    }
}

/* Scales of 28..59, root of mean square 44.5. The minimum is the scale and a little more or less, in
 * units of 7.5 steps: a run's mean lies near 0. A lifted run has a scale of 44..59 and no minimum: 51.5
 * times 7.5 is LIFT times 44.5 times STD_3_EVEN. */
static void fill_q4_k(float std, const uint8_t *lift, glim_rng *r, void *dst, int64_t n)
{
    const uint64_t low = UINT64_C(0x7777777777777777), bit = UINT64_C(0x1111111111111111);
    glim_block_q4_k *b = dst;
    for (int64_t i = 0; i < n / GLIM_QK_K; i++, b++) {
        const float d = std / (44.5f * STD_3_EVEN) * spread(r);
        uint64_t x = glim_rng_u64(r), y = glim_rng_u64(r);
        uint8_t scale[8], min[8];
        for (int s = 0; s < 8; s++, x >>= 5, y >>= 4) {
            scale[s] = (uint8_t)(28 + (x & 31));
            min[s] = (uint8_t)(scale[s] + (y & 3) + (y >> 2 & 3) - 3);
            if (lifted(lift, 8 * i + s)) {
                scale[s] = (uint8_t)(44 + (x & 15));
                min[s] = 0;
            }
        }
        b->d = glim_f32_to_f16(d);
        b->dmin = glim_f32_to_f16(7.5f * d);
        pack_scales(scale, min, b->scales);
        for (int j = 0; j < 128; j += 8) { /* 16 nibbles a word; three bits twice and one: 0..15 */
            uint64_t a = glim_rng_u64(r), c = glim_rng_u64(r);
            uint64_t v = (a & low) + (c & low) + (a >> 3 & bit);
            memcpy(b->qs + j, &v, sizeof v);
        }
    }
}

/* ---- Q6_K ------------------------------------------------------------------------------------ */

/* Quanta 0..255 in order of the elements, to the places that glim_q6_k_decode() reads. */
static void pack_q6_k(const uint8_t *q, glim_block_q6_k *b)
{
    for (int half = 0; half < 2; half++, q += 128) {
        uint8_t *ql = b->ql + 64 * half, *qh = b->qh + 32 * half;
        for (int l = 0; l < 32; l++) {
            ql[l] = (uint8_t)((q[l] & 15) | q[l + 64] << 4);
            ql[l + 32] = (uint8_t)((q[l + 32] & 15) | q[l + 96] << 4);
            qh[l] = (uint8_t)(q[l] >> 4 | q[l + 32] >> 4 << 2 | q[l + 64] >> 4 << 4 |
                              q[l + 96] >> 4 << 6);
        }
    }
}

/* Scales of 32..63 with either sign, root of mean square 48.4. A lifted run has quanta of 16..31 above
 * zero and scales of 64..79: 23.5 times 71.5 is LIFT times 48.4 times STD_5_EVEN. */
static void fill_q6_k(float std, const uint8_t *lift, glim_rng *r, void *dst, int64_t n)
{
    glim_block_q6_k *b = dst;
    uint8_t q[GLIM_QK_K];
    for (int64_t i = 0; i < n / GLIM_QK_K; i++, b++) {
        uint64_t x[2] = {glim_rng_u64(r), glim_rng_u64(r)};
        b->d = glim_f32_to_f16(std / (48.4f * STD_5_EVEN) * spread(r));
        sums_even(r, 5, q, GLIM_QK_K);
        for (int s = 0; s < 16; s++, x[s / 8 % 2] >>= 8) {
            const int v = (int)(x[s / 8] & 63), scale = 32 + (v & 31);
            b->scales[s] = (int8_t)(v & 32 ? -scale : scale);
        }
        for (int s = 0; lift && s < 8; s++) {
            if (!lift[8 * i + s]) continue;
            sums_even(r, 3, q + 32 * s, 32);
            for (int j = 0; j < 32; j++)
                q[32 * s + j] = (uint8_t)(q[32 * s + j] + 48);
            for (int k = 2 * s; k < 2 * s + 2; k++)
                b->scales[k] = (int8_t)(64 + (b->scales[k] & 15));
        }
        pack_q6_k(q, b);
    }
}

/* ---- everything that has an encoder ---------------------------------------------------------- */

/* About normal: the sum of four even 16-bit numbers, at most 3.46 standard deviations from 0. */
static float bell(glim_rng *r)
{
    uint64_t x = glim_rng_u64(r);
    int32_t sum = (int32_t)(x & 0xffff) + (int32_t)(x >> 16 & 0xffff) +
                  (int32_t)(x >> 32 & 0xffff) + (int32_t)(x >> 48) - 131070;
    return (float)sum * (1 / 37837.2f);
}

static void fill_floats(const glim_type_traits *t, float std, const uint8_t *lift, glim_rng *r,
                        uint8_t *dst, int64_t n)
{
    float x[GLIM_QK_K]; /* a multiple of every block */
    for (int64_t i = 0; i < n; i += GLIM_QK_K) {
        const int64_t k = GLIM_MIN(n - i, (int64_t)GLIM_QK_K);
        for (int64_t j = 0; j < k; j++)
            x[j] = std * (lifted(lift, (i + j) / 32) ? LIFT + 0.4f * bell(r) : bell(r));
        t->encode(x, dst, k);
        dst += (size_t)(k / t->n_block) * t->block_bytes;
    }
}

bool glim_type_fill(glim_type t, float std, const uint8_t *lift, glim_rng *r, void *dst, int64_t n)
{
    const glim_type_traits *traits = glim_type_get(t);
    switch (t) {
    case GLIM_Q8_0:
        fill_q8_0(std, lift, r, dst, n);
        return true;
    case GLIM_Q5_0:
        fill_q5_0(std, lift, r, dst, n);
        return true;
    case GLIM_Q4_K:
        fill_q4_k(std, lift, r, dst, n);
        return true;
    case GLIM_Q6_K:
        fill_q6_k(std, lift, r, dst, n);
        return true;
    default:
        if (!traits->encode) return false;
        fill_floats(traits, std, lift, r, dst, n);
        return true;
    }
}
