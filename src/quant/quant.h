/* SPDX-License-Identifier: MIT
 * quant.h - the one header of room quant: tensor element types, their blocks, scalar decode and encode.
 * One file per format; a row in types.def makes it known everywhere. */
#ifndef GLIM_QUANT_H
#define GLIM_QUANT_H

#include "base/base.h"

typedef enum glim_type {
#define TYPE(id, name, ggml_id, block, bytes, ...) GLIM_##id,
#include "quant/types.def"
#undef TYPE
    GLIM_TYPE_COUNT
} glim_type;

typedef struct glim_type_traits {
    const char *name;    /* "Q4_K" */
    int32_t ggml_id;     /* id in GGUF files, -1: never in a file */
    int64_t n_block;     /* elements a block */
    size_t block_bytes;
    /* Decodes n elements (a multiple of n_block) to f32. NULL: not a type of weights.
     * Alias: none. Align: any. Thread: any, pure. Test: 2 ulp against ggml's own decode. */
    void (*decode)(const void *src, float *dst, int64_t n);
    /* Scalar encoder, NULL where there is none yet. */
    void (*encode)(const float *src, void *dst, int64_t n);
} glim_type_traits;

/* Never NULL for t < GLIM_TYPE_COUNT. Thread: any. */
const glim_type_traits *glim_type_get(glim_type t);
/* False when no row has this GGUF id; *name (may be NULL) gets ggml's name for ids that exist there but not here,
 * else NULL. */
bool glim_type_from_ggml(int32_t ggml_id, glim_type *out, const char **name);
bool glim_type_from_name(glim_str name, glim_type *out); /* any case */
/* Bytes of n elements of type t; false when n is negative, no multiple of the block, or too large. */
bool glim_type_bytes(glim_type t, int64_t n, size_t *out);

/* fill.c: n random elements (a multiple of the block) made directly as blocks: bell-shaped, mean 0, standard deviation
 * std. lift (NULL: none) has a byte for every 32 elements; where it is not 0 the run lies around 2.65 std. False:
 * nothing can make this type yet. Thread: any, pure: the same state of r gives the same bytes. */
bool glim_type_fill(glim_type t, float std, const uint8_t *lift, glim_rng *r, void *dst, int64_t n);

/* f16.c: exact conversions in plain C; f32 -> f16 and bf16 round to nearest even. Thread: any. */
float glim_f16_to_f32(uint16_t h);
uint16_t glim_f32_to_f16(float f);
static inline float glim_bf16_to_f32(uint16_t h)
{
    union { uint32_t u; float f; } v = {.u = (uint32_t)h << 16};
    return v.f;
}
uint16_t glim_f32_to_bf16(float f);

#endif
