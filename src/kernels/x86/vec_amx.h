/* SPDX-License-Identifier: MIT
 * vec_amx.h - tile registers: shapes, and rows of 32-bit words turned into columns.
 * Owns:   how a kernel sets up tiles; everything is static, so that no tile instruction leaves this
 *         level's library.
 * Layout: tiles 0..3 are sums, 4 and 5 the left operand (a row a row), 6 and 7 the right one: row k
 *         holds, for each column, the 4 bytes k of it.
 * Thread: any. A kernel configures tiles when it begins and releases them before it returns, so that
 *         nothing is left that the system would have to save. */
#ifndef GLIM_KERNELS_VEC_AMX_H
#define GLIM_KERNELS_VEC_AMX_H

#include "kernels/x86/vec_avx512.h"

#undef GLIM_K
#define GLIM_K(name) glim_##name##_amx

#define AMX_ROWS 16  /* of a tile, 64 bytes each */
#define AMX_BYTES 1024

/* The compiler does not see what tile loads read: what they shall find must be in memory before, and
 * what they have read may be overwritten only after. */
#define AMX_FENCE() __asm__ volatile("" ::: "memory")

typedef struct amx_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} amx_config;

/* Shapes for a left operand of up to 2 x 16 rows and a right one of up to 2 x 16 columns; a product
 * is `depth` bytes deep, a multiple of 4 up to 64. */
typedef struct amx_shape {
    int64_t left, right, depth;
} amx_shape;

/* Sets the shapes; does nothing when they are set already. Sums are zero afterwards. */
static void amx_set(amx_shape *now, int64_t left, int64_t right, int64_t depth)
{
    if (now->left == left && now->right == right && now->depth == depth) return;
    amx_config c = {.palette = 1};
    const int64_t rows[2] = {GLIM_MIN(left, AMX_ROWS), left - GLIM_MIN(left, AMX_ROWS)},
                  cols[2] = {GLIM_MIN(right, AMX_ROWS), right - GLIM_MIN(right, AMX_ROWS)};
    for (int i = 0; i < 2; i++) {
        for (int j = 0; j < 2; j++) {
            /* Both or none: a tile with rows and no columns is an error. */
            bool used = rows[i] > 0 && cols[j] > 0;
            c.rows[2 * i + j] = used ? (uint8_t)rows[i] : 0;
            c.row_bytes[2 * i + j] = used ? (uint16_t)(4 * cols[j]) : 0;
        }
        c.rows[4 + i] = (uint8_t)rows[i];
        c.row_bytes[4 + i] = rows[i] ? (uint16_t)depth : 0;
        c.rows[6 + i] = cols[i] ? (uint8_t)(depth / 4) : 0;
        c.row_bytes[6 + i] = (uint16_t)(4 * cols[i]);
    }
    AMX_FENCE();
    _tile_loadconfig(&c);
    *now = (amx_shape){left, right, depth};
}

#endif
