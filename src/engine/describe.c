/* SPDX-License-Identifier: MIT
 * describe.c - what a model file says of itself, for lists and for people.
 * Not here: what running it takes (model.c).
 * Thread: of the load.
 * Fails:  never; what a file does not say stays "" or 0. */
#include "engine/engine_int.h"

#include <stdio.h>

/* general.file_type; the numbers and names are llama.cpp's (enum llama_ftype, read 2026-11). */
static const char *const file_types[] = {
    [0] = "F32",      [1] = "F16",      [2] = "Q4_0",    [3] = "Q4_1",    [7] = "Q8_0",
    [8] = "Q5_0",     [9] = "Q5_1",     [10] = "Q2_K",   [11] = "Q3_K_S", [12] = "Q3_K_M",
    [13] = "Q3_K_L",  [14] = "Q4_K_S",  [15] = "Q4_K_M", [16] = "Q5_K_S", [17] = "Q5_K_M",
    [18] = "Q6_K",    [19] = "IQ2_XXS", [20] = "IQ2_XS", [21] = "Q2_K_S", [22] = "IQ3_XS",
    [23] = "IQ3_XXS", [24] = "IQ1_S",   [25] = "IQ4_NL", [26] = "IQ3_S",  [27] = "IQ3_M",
    [28] = "IQ2_S",   [29] = "IQ2_M",   [30] = "IQ4_XS", [31] = "IQ1_M",  [32] = "BF16"};

/* The type that most bytes are of. */
static const char *main_type(const glim_modelfile *f)
{
    uint64_t bytes[GLIM_TYPE_COUNT] = {0};
    size_t best = 0;
    for (size_t i = 0; i < glim_modelfile_n_tensor(f); i++) {
        const glim_tensor *t = glim_modelfile_tensor(f, i);
        if ((size_t)t->type < GLIM_COUNT(bytes)) bytes[t->type] += t->n_bytes;
    }
    for (size_t i = 1; i < GLIM_COUNT(bytes); i++)
        if (bytes[i] > bytes[best]) best = i;
    return glim_type_get((glim_type)best)->name;
}

static const char *quant_name(const glim_modelfile *f)
{
    uint64_t n;
    if (glim_meta_u64(glim_modelfile_meta(f, "general.file_type"), &n) &&
        n < GLIM_COUNT(file_types) && file_types[n])
        return file_types[n];
    return main_type(f);
}

static int64_t head_count(const glim_modelfile *f)
{
    uint64_t n = 0;
    int64_t k = 0;
    glim_str arch = {0};
    char key[128];
    if (glim_meta_str(glim_modelfile_meta(f, "general.architecture"), &arch) && arch.n < 64) {
        snprintf(key, sizeof key, "%.*s.attention.head_count", GLIM_STR_ARG(arch));
        if (glim_meta_u64(glim_modelfile_meta(f, key), &n) && n <= INT32_MAX) return (int64_t)n;
    }
    (void)glim_json_i64(glim_json_get(glim_modelfile_config(f), "num_attention_heads"), &k);
    return k;
}

void glim_describe(const glim_modelfile *f, glim_description *d)
{
    *d = (glim_description){.license = GLIM_STR("")};
    d->format = glim_modelfile_container(f) == GLIM_CONTAINER_GGUF ? "gguf" : "safetensors";
    d->quant = quant_name(f);
    (void)glim_meta_str(glim_modelfile_meta(f, "general.license"), &d->license);
    d->n_head = head_count(f);
    for (size_t i = 0; i < glim_modelfile_n_tensor(f); i++) {
        const glim_tensor *t = glim_modelfile_tensor(f, i);
        d->n_param += (uint64_t)(t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3]);
    }
}
