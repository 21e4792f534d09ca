/* SPDX-License-Identifier: MIT
 * dot.c - plain dot products: weights are decoded by room quant, activations are f32, sums are
 * double.
 * Owns: the truth for dot and unpack.   Not here: gemm.c, which only loops over these.
 * Thread: any, pure.   See: tests/kernels/checkkern.c */
#include "kernels/kernels_priv.h"

/* Elements decoded at a time: at least the largest block, and a multiple of each. */
#define N_CHUNK 256

static float dot_decoded(glim_type type, const void *w, const void *x, int64_t n)
{
    const glim_type_traits *tr = glim_type_get(type);
    const uint8_t *pw = w;
    const uint8_t *px = x;
    float buf[N_CHUNK];
    double sum = 0;
    if (GLIM_NEVER(!tr->decode || tr->n_block > N_CHUNK)) return 0;
    for (int64_t i = 0; i < n; i += N_CHUNK) {
        int64_t m = GLIM_MIN(n - i, N_CHUNK);
        tr->decode(pw, buf, m);
        pw += (size_t)(m / tr->n_block) * tr->block_bytes;
        for (int64_t j = 0; j < m; j++) {
            float v; /* rows may stand at any address */
            memcpy(&v, px + (size_t)(i + j) * sizeof(v), sizeof(v));
            sum += (double)buf[j] * (double)v;
        }
    }
    return (float)sum;
}

#define TYPE(id, name, ggml_id, block, bytes, dec, enc)                                            \
    float glim_dot_##id##_ref(const void *w, const void *x, int64_t n)                             \
    {                                                                                              \
        return dot_decoded(GLIM_##id, w, x, n);                                                    \
    }                                                                                              \
    void glim_unpack_##id##_ref(const void *x, float *y, int64_t n)                                \
    {                                                                                              \
        glim_type_get(GLIM_##id)->decode(x, y, n);                                                 \
    }
#include "quant/types.def"
#undef TYPE
