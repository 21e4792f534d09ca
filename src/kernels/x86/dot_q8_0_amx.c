/* SPDX-License-Identifier: MIT
 * dot_q8_0_amx.c - Q8_0 weights times Q8_0 activations on tiles of bytes.
 * How:    a block of 32 is one tile product; its whole numbers are exact. They leave the tile by way
 *         of memory and are scaled there, first by the weight's scale, then by the activation's.
 * Layout: Q_ROWS rows are turned into right operands, Q_DEPTH blocks deep, once for all columns; sums
 *         of 16 columns x 16 rows stay in registers for that depth and in y between depths, which
 *         rounds nothing. Few columns do it the other way round: rows are left operands as they lie.
 * Sums:   an element of y is one chain of multiply-adds over its blocks, wherever it stands.
 * Not here: generating, which reads weights for one column: that is half as fast on tiles as in
 *         vectors (measured: 11.5 and 22 tokens a second), hence gemm_wide only.
 * Thread: any, pure.   See: vec_amx.h, quant/q8_0.c */
#include "kernels/x86/vec_amx.h"

#define Q_ROWS 64
#define Q_DEPTH 16
#define Q_TILES (Q_ROWS / AMX_ROWS)
#define Q_FEW 2 /* columns that are not worth turning rows */
#define N_BLOCK sizeof(glim_block_q8_0)
#define SUM_BYTES 1024 /* of a tile of products */

typedef struct turned {
    _Alignas(64) uint8_t q[Q_TILES][Q_DEPTH][512]; /* right operands: 8 rows of 16 times 4 bytes */
    _Alignas(64) float d[Q_TILES][Q_DEPTH][AMX_ROWS];
} turned;

/* Scales of the same block of n <= 16 rows. */
VEC_FN vf scales(const uint8_t *p, size_t stride, int64_t n)
{
    __m512i at =
        _mm512_mullo_epi32(_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
                           _mm512_set1_epi32((int)stride));
    /* The two bytes behind a scale are fetched with it and dropped. */
    __m512i h = _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), vf_mask(n), at, p, 1);
    return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(h));
}

/* Two blocks of a row side by side; what is not there is 0. */
VEC_FN vf two_blocks(const uint8_t *p, bool second)
{
    __m256i a = _mm256_loadu_si256((const __m256i *)(const void *)(p + 2)),
            b = second ? _mm256_loadu_si256((const __m256i *)(const void *)(p + N_BLOCK + 2))
                       : _mm256_setzero_si256();
    return _mm512_castsi512_ps(_mm512_inserti64x4(_mm512_castsi256_si512(a), b, 1));
}

static void turn(const uint8_t *w, size_t w_stride, int64_t n_row, int64_t n_block, turned *to)
{
    for (int64_t t = 0; t * AMX_ROWS < n_row; t++) {
        const uint8_t *rows = w + (size_t)(t * AMX_ROWS) * w_stride;
        int64_t n = GLIM_MIN(n_row - t * AMX_ROWS, AMX_ROWS);
        for (int64_t b = 0; b < n_block; b += 2) {
            vf v[AMX_ROWS];
            for (int64_t r = 0; r < AMX_ROWS; r++)
                v[r] = r < n ? two_blocks(rows + (size_t)r * w_stride + (size_t)b * N_BLOCK,
                                          b + 1 < n_block)
                             : vf_zero();
            vf_transpose(v, (float *)(void *)to->q[t][b], AMX_ROWS);
        }
        for (int64_t b = 0; b < n_block; b++)
            vf_store(to->d[t][b], scales(rows + (size_t)b * N_BLOCK, w_stride, n));
    }
}

/* y[c][0..16) += for n_col columns, which is constant where they are 16; `rows` masks the last ones.
 * Columns that are not there are 0 on the way and neither read nor written. */
VEC_FN void columns(const uint8_t *x, size_t x_stride, const float *dx, const uint8_t (*q)[512],
                    const float (*dw)[AMX_ROWS], int64_t n_block, float *y, int64_t y_stride,
                    __mmask16 rows, bool first, int64_t n_col)
{
    _Alignas(64) int32_t sum[2][SUM_BYTES / 4];
    vf acc[AMX_ROWS];
    if (n_col < AMX_ROWS) memset(sum, 0, sizeof(sum));
    VEC_UNROLL for (int c = 0; c < AMX_ROWS; c++) acc[c] =
        first || c >= n_col ? vf_zero() : _mm512_maskz_loadu_ps(rows, y + c * y_stride);
    for (int64_t b = 0; b < n_block; b++) {
        int32_t *s = sum[b & 1];
        AMX_FENCE();
        _tile_zero(0);
        _tile_loadd(4, x + (size_t)b * N_BLOCK + 2, x_stride);
        _tile_loadd(6, q[b], 64);
        _tile_dpbssd(0, 4, 6);
        _tile_stored(0, s, 64);
        AMX_FENCE();
        vf d = vf_load(dw[b]);
        VEC_UNROLL for (int c = 0; c < AMX_ROWS; c++)
        {
            vf p = vf_mul(_mm512_cvtepi32_ps(_mm512_load_si512(s + AMX_ROWS * c)), d);
            acc[c] = vf_fma(p, vf_set1(dx[AMX_ROWS * b + c]), acc[c]);
        }
    }
    VEC_UNROLL for (int c = 0; c < AMX_ROWS; c++)
    {
        if (c < n_col) _mm512_mask_storeu_ps(y + c * y_stride, rows, acc[c]);
    }
}

static void columns_16(const uint8_t *x, size_t x_stride, const float *dx, const turned *w,
                       int64_t tile, int64_t n_block, float *y, int64_t y_stride, __mmask16 rows,
                       bool first)
{
    columns(x, x_stride, dx, w->q[tile], w->d[tile], n_block, y, y_stride, rows, first, AMX_ROWS);
}

/* Less than 16 of them. */
static void columns_n(const uint8_t *x, size_t x_stride, const float *dx, const turned *w,
                      int64_t tile, int64_t n_block, float *y, int64_t y_stride, __mmask16 rows,
                      bool first, int64_t n_col)
{
    columns(x, x_stride, dx, w->q[tile], w->d[tile], n_block, y, y_stride, rows, first, n_col);
}

static void many(const uint8_t *w, size_t w_stride, int64_t n_row, const uint8_t *x,
                 size_t x_stride, int64_t n_col, int64_t n_block, float *y, int64_t y_stride)
{
    turned t;
    amx_shape now = {0, 0, 0};
    _Alignas(64) float dx[Q_DEPTH * AMX_ROWS];
    for (int64_t r = 0; r < n_row; r += Q_ROWS) {
        int64_t n_r = GLIM_MIN(n_row - r, Q_ROWS), b = 0;
        do { /* once without blocks, too: y is 0 then */
            int64_t n_b = GLIM_MIN(n_block - b, Q_DEPTH);
            AMX_FENCE();
            turn(w + (size_t)r * w_stride + (size_t)b * N_BLOCK, w_stride, n_r, n_b, &t);
            AMX_FENCE();
            for (int64_t c = 0; c < n_col; c += AMX_ROWS) {
                int64_t n_c = GLIM_MIN(n_col - c, AMX_ROWS);
                const uint8_t *xc = x + (size_t)c * x_stride + (size_t)b * N_BLOCK;
                for (int64_t i = 0; i < n_b; i++)
                    vf_store(dx + AMX_ROWS * i, scales(xc + (size_t)i * N_BLOCK, x_stride, n_c));
                amx_set(&now, n_c, AMX_ROWS, GLIM_QK);
                for (int64_t i = 0; i < n_r; i += AMX_ROWS) {
                    float *to = y + c * y_stride + r + i;
                    __mmask16 rows = vf_mask(GLIM_MIN(n_r - i, AMX_ROWS));
                    if (n_c == AMX_ROWS)
                        columns_16(xc, x_stride, dx, &t, i / AMX_ROWS, n_b, to, y_stride, rows,
                                   b == 0);
                    else
                        columns_n(xc, x_stride, dx, &t, i / AMX_ROWS, n_b, to, y_stride, rows,
                                  b == 0, n_c);
                }
            }
            b += Q_DEPTH;
        } while (b < n_block);
    }
}

/* One column times n <= 16 rows: rows are the left operand, their sums one vector. */
static void column(const uint8_t *w, size_t w_stride, int64_t n, const uint8_t *x, int64_t n_block,
                   float *y)
{
    _Alignas(64) int32_t sum[2][AMX_ROWS] = {{0}};
    vf acc = vf_zero();
    for (int64_t b = 0; b < n_block; b++, w += N_BLOCK, x += N_BLOCK) {
        uint16_t h;
        memcpy(&h, x, sizeof(h));
        AMX_FENCE();
        _tile_zero(0);
        _tile_loadd(4, w + 2, w_stride);
        _tile_loadd(6, x + 2, 4);
        _tile_dpbssd(0, 4, 6);
        _tile_stored(0, sum[b & 1], 4);
        AMX_FENCE();
        vf p = vf_mul(_mm512_cvtepi32_ps(_mm512_load_si512(sum[b & 1])), scales(w, w_stride, n));
        acc = vf_fma(p, vf_set1(_cvtsh_ss(h)), acc);
    }
    vf_store_n(y, acc, n);
}

static void few(const uint8_t *w, size_t w_stride, int64_t n_row, const uint8_t *x, size_t x_stride,
                int64_t n_col, int64_t n_block, float *y, int64_t y_stride)
{
    amx_shape now = {0, 0, 0};
    for (int64_t r = 0; r < n_row; r += AMX_ROWS) {
        int64_t n = GLIM_MIN(n_row - r, AMX_ROWS);
        amx_set(&now, n, 1, GLIM_QK);
        for (int64_t c = 0; c < n_col; c++)
            column(w + (size_t)r * w_stride, w_stride, n, x + (size_t)c * x_stride, n_block,
                   y + c * y_stride + r);
    }
}

void GLIM_K(gemm_wide_q8_0)(const void *w, size_t w_stride, int64_t n_row, const void *x,
                            size_t x_stride, int64_t n_col, int64_t n, float *y, int64_t y_stride)
{
    if (n_row <= 0 || n_col <= 0) return;
    if (n_col <= Q_FEW)
        few(w, w_stride, n_row, x, x_stride, n_col, n / GLIM_QK, y, y_stride);
    else
        many(w, w_stride, n_row, x, x_stride, n_col, n / GLIM_QK, y, y_stride);
    _tile_release();
}
