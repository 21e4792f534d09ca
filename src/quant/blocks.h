/* SPDX-License-Identifier: MIT
 * blocks.h - the bytes of every block format as packed structs, and how their small fields are
 * unpacked. Owns:   layouts only; kernels and decoders read through these structs at any address.
 * Layout: fields in file order, little-endian; d, m and dmin are binary16. A file is read on
 * little-endian machines only, so the structs are the bytes. See:    the GGUF specification (ggml,
 * read 2026-11); tests/unit/quant/test_decode.c */
#ifndef GLIM_QUANT_BLOCKS_H
#define GLIM_QUANT_BLOCKS_H

#include "base/base.h"

#define GLIM_QK 32    /* elements of a small block */
#define GLIM_QK_K 256 /* elements of a super-block */

/* Packed: rows start wherever the file puts them, and an alignment of 1 makes every read defined.
 */
#define GLIM_PACKED __attribute__((packed))
#define GLIM_BLOCK_SIZE(type, bytes)                                                               \
    _Static_assert(sizeof(type) == (bytes), #type " is its file layout")

typedef struct GLIM_PACKED glim_block_q4_0 {
    uint16_t d;
    uint8_t qs[16]; /* low nibble: element j, high: j + 16 */
} glim_block_q4_0;
GLIM_BLOCK_SIZE(glim_block_q4_0, 18);

typedef struct GLIM_PACKED glim_block_q4_1 {
    uint16_t d, m;
    uint8_t qs[16];
} glim_block_q4_1;
GLIM_BLOCK_SIZE(glim_block_q4_1, 20);

typedef struct GLIM_PACKED glim_block_q5_0 {
    uint16_t d;
    uint8_t qh[4]; /* u32, bit j is the fifth bit of element j */
    uint8_t qs[16];
} glim_block_q5_0;
GLIM_BLOCK_SIZE(glim_block_q5_0, 22);

typedef struct GLIM_PACKED glim_block_q5_1 {
    uint16_t d, m;
    uint8_t qh[4];
    uint8_t qs[16];
} glim_block_q5_1;
GLIM_BLOCK_SIZE(glim_block_q5_1, 24);

typedef struct GLIM_PACKED glim_block_q8_0 {
    uint16_t d;
    int8_t qs[32];
} glim_block_q8_0;
GLIM_BLOCK_SIZE(glim_block_q8_0, 34);

typedef struct GLIM_PACKED glim_block_q2_k {
    uint8_t scales[16]; /* low nibble: scale of 16 elements, high: their minimum */
    uint8_t qs[64];
    uint16_t d, dmin;
} glim_block_q2_k;
GLIM_BLOCK_SIZE(glim_block_q2_k, 84);

typedef struct GLIM_PACKED glim_block_q3_k {
    uint8_t hmask[32]; /* third bit, set: nothing is taken away */
    uint8_t qs[64];
    uint8_t scales[12]; /* 16 x 6 bits, see glim_q3_k_scale() */
    uint16_t d;
} glim_block_q3_k;
GLIM_BLOCK_SIZE(glim_block_q3_k, 110);

typedef struct GLIM_PACKED glim_block_q4_k {
    uint16_t d, dmin;
    uint8_t scales[12]; /* 8 scales and 8 minimums of 6 bits, see glim_q4_k_scale() */
    uint8_t qs[128];
} glim_block_q4_k;
GLIM_BLOCK_SIZE(glim_block_q4_k, 144);

typedef struct GLIM_PACKED glim_block_q5_k {
    uint16_t d, dmin;
    uint8_t scales[12]; /* as in Q4_K */
    uint8_t qh[32];
    uint8_t qs[128];
} glim_block_q5_k;
GLIM_BLOCK_SIZE(glim_block_q5_k, 176);

typedef struct GLIM_PACKED glim_block_q6_k {
    uint8_t ql[128];
    uint8_t qh[64];
    int8_t scales[16];
    uint16_t d;
} glim_block_q6_k;
GLIM_BLOCK_SIZE(glim_block_q6_k, 210);

typedef struct GLIM_PACKED glim_block_iq4_nl {
    uint16_t d;
    uint8_t qs[16]; /* indices into glim_iq4_nl_values, nibble order of Q4_0 */
} glim_block_iq4_nl;
GLIM_BLOCK_SIZE(glim_block_iq4_nl, 18);

typedef struct GLIM_PACKED glim_block_iq4_xs {
    uint16_t d;
    uint16_t scales_h;
    uint8_t scales_l[4];
    uint8_t qs[128]; /* eight runs of 32 elements in 16 bytes, each in the nibble order of Q4_0 */
} glim_block_iq4_xs;
GLIM_BLOCK_SIZE(glim_block_iq4_xs, 136);

typedef struct GLIM_PACKED glim_block_mxfp4 {
    uint8_t e;
    uint8_t qs[16]; /* indices into glim_mxfp4_values, nibble order of Q4_0 */
} glim_block_mxfp4;
GLIM_BLOCK_SIZE(glim_block_mxfp4, 17);

/* Activations only. */
typedef struct GLIM_PACKED glim_block_q8_k {
    float d;
    int8_t qs[256];
    int16_t bsums[16]; /* sums of 16 consecutive qs */
} glim_block_q8_k;
GLIM_BLOCK_SIZE(glim_block_q8_k, 292);

/* Activations only. */
typedef struct GLIM_PACKED glim_block_bf16x3 {
    uint16_t part[3][32]; /* bf16: the leading 8 bits, the next 8, the rest */
} glim_block_bf16x3;
GLIM_BLOCK_SIZE(glim_block_bf16x3, 192);

extern const int8_t glim_iq4_nl_values[16];
extern const int8_t glim_mxfp4_values[16]; /* twice the E2M1 value */

/* Scale and minimum number j (0..7) of a Q4_K or Q5_K block, 6 bits each. */
static inline void glim_q4_k_scale(const uint8_t b[12], int j, uint8_t *scale, uint8_t *min)
{
    if (j < 4) {
        *scale = b[j] & 63;
        *min = b[j + 4] & 63;
    } else {
        *scale = (uint8_t)((b[j + 4] & 15) | (b[j - 4] >> 6) << 4);
        *min = (uint8_t)((b[j + 4] >> 4) | (b[j] >> 6) << 4);
    }
}

/* Scale number s (0..15) of a Q3_K block, -32..31. */
static inline int glim_q3_k_scale(const uint8_t b[12], int s)
{
    int lo = s < 8 ? b[s] & 15 : b[s - 8] >> 4;
    int hi = b[8 + s % 4] >> 2 * (s / 4) & 3;
    return (lo | hi << 4) - 32;
}

/* Scale number s (0..7) of an IQ4_XS block, -32..31. */
static inline int glim_iq4_xs_scale(const glim_block_iq4_xs *b, int s)
{
    int lo = b->scales_l[s / 2] >> 4 * (s % 2) & 15;
    int hi = b->scales_h >> 2 * s & 3;
    return (lo | hi << 4) - 32;
}

/* 2^(e - 128), the scale of an MXFP4 block whose values are stored doubled; subnormal for e < 2. */
static inline float glim_mxfp4_scale(uint8_t e)
{
    union {
        uint32_t u;
        float f;
    } v = {.u = e < 2 ? 0x00200000u << e : (uint32_t)(e - 1) << 23};
    return v.f;
}

#endif
