/* SPDX-License-Identifier: MIT
 * types.c - the table of element types: lookup by id, GGUF id and name, and checked sizes.
 * Thread: any; the tables are constant.
 * See: types.def, tests/unit/quant/test_types.c */
#include "quant/quant_priv.h"

static const glim_type_traits traits[GLIM_TYPE_COUNT] = {
#define TYPE(id, text, ggml, block, bytes, dec, enc)                                               \
    [GLIM_##id] = {text, ggml, block, bytes, dec, enc},
#include "quant/types.def"
#undef TYPE
};

/* Types that files may name and this build cannot read, so that a refusal says which it is. */
static const struct {
    int32_t ggml_id;
    const char *name;
} foreign[] = {
    {9, "Q8_1"},   {15, "Q8_K"},  {16, "IQ2_XXS"}, {17, "IQ2_XS"}, {18, "IQ3_XXS"}, {19, "IQ1_S"},
    {21, "IQ3_S"}, {22, "IQ2_S"}, {24, "I8"},      {25, "I16"},    {26, "I32"},     {27, "I64"},
    {28, "F64"},   {29, "IQ1_M"}, {34, "TQ1_0"},   {35, "TQ2_0"},  {40, "NVFP4"},
};

const glim_type_traits *glim_type_get(glim_type t)
{
    if (GLIM_NEVER((unsigned)t >= GLIM_TYPE_COUNT)) return &traits[0];
    return &traits[t];
}

bool glim_type_from_ggml(int32_t ggml_id, glim_type *out, const char **name)
{
    if (name) *name = NULL;
    if (ggml_id < 0) return false; /* -1 marks rows that are never in a file */
    for (int t = 0; t < GLIM_TYPE_COUNT; t++) {
        if (traits[t].ggml_id == ggml_id) {
            *out = (glim_type)t;
            if (name) *name = traits[t].name;
            return true;
        }
    }
    for (size_t i = 0; name && i < GLIM_COUNT(foreign); i++) {
        if (foreign[i].ggml_id == ggml_id) *name = foreign[i].name;
    }
    return false;
}

bool glim_type_from_name(glim_str name, glim_type *out)
{
    for (int t = 0; t < GLIM_TYPE_COUNT; t++) {
        if (glim_str_ieq(name, glim_str_of(traits[t].name))) {
            *out = (glim_type)t;
            return true;
        }
    }
    return false;
}

bool glim_type_bytes(glim_type t, int64_t n, size_t *out)
{
    if ((unsigned)t >= GLIM_TYPE_COUNT || n < 0 || n % traits[t].n_block != 0) return false;
    uint64_t blocks = (uint64_t)(n / traits[t].n_block);
    if (blocks > SIZE_MAX) return false;
    return glim_mul_size((size_t)blocks, traits[t].block_bytes, out);
}
