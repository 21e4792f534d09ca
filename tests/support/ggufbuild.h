/* SPDX-License-Identifier: MIT
 * ggufbuild.h - writes small GGUF files into memory for tests, right and wrong ones alike: every
 * field is given. */
#ifndef GLIM_TESTS_GGUFBUILD_H
#define GLIM_TESTS_GGUFBUILD_H

#include "base/base.h"

enum {
    GV_U8,
    GV_I8,
    GV_U16,
    GV_I16,
    GV_U32,
    GV_I32,
    GV_F32,
    GV_BOOL,
    GV_STR,
    GV_ARRAY,
    GV_U64,
    GV_I64,
    GV_F64
};

static inline void gb_raw(glim_buf *b, const void *p, size_t n)
{
    if (glim_buf_add(b, p, n)) fail_msg("no memory");
}
static inline void gb_u32(glim_buf *b, uint32_t v)
{
    gb_raw(b, &v, sizeof v);
}
static inline void gb_u64(glim_buf *b, uint64_t v)
{
    gb_raw(b, &v, sizeof v);
}
static inline void gb_str(glim_buf *b, const char *s)
{
    gb_u64(b, strlen(s));
    gb_raw(b, s, strlen(s));
}
static inline void gb_header(glim_buf *b, uint32_t version, uint64_t n_tensor, uint64_t n_kv)
{
    glim_buf_init(b, (size_t)1 << 28);
    gb_raw(b, "GGUF", 4);
    gb_u32(b, version);
    gb_u64(b, n_tensor);
    gb_u64(b, n_kv);
}
static inline void gb_kv_u32(glim_buf *b, const char *key, uint32_t v)
{
    gb_str(b, key);
    gb_u32(b, GV_U32);
    gb_u32(b, v);
}
static inline void gb_kv_str(glim_buf *b, const char *key, const char *v)
{
    gb_str(b, key);
    gb_u32(b, GV_STR);
    gb_str(b, v);
}
static inline void gb_kv_f32(glim_buf *b, const char *key, float v)
{
    gb_str(b, key);
    gb_u32(b, GV_F32);
    gb_raw(b, &v, sizeof v);
}
static inline void gb_kv_i32(glim_buf *b, const char *key, int32_t v)
{
    gb_str(b, key);
    gb_u32(b, GV_I32);
    gb_raw(b, &v, sizeof v);
}
static inline void gb_kv_bool(glim_buf *b, const char *key, bool v)
{
    gb_str(b, key);
    gb_u32(b, GV_BOOL);
    gb_raw(b, &(uint8_t){v}, 1);
}
/* Beginning of an array; its n elements follow. */
static inline void gb_kv_array(glim_buf *b, const char *key, uint32_t elem, uint64_t n)
{
    gb_str(b, key);
    gb_u32(b, GV_ARRAY);
    gb_u32(b, elem);
    gb_u64(b, n);
}
static inline void gb_tensor(glim_buf *b, const char *name, uint32_t n_dim, const uint64_t *ne,
                             uint32_t type, uint64_t offset)
{
    gb_str(b, name);
    gb_u32(b, n_dim);
    for (uint32_t i = 0; i < n_dim; i++)
        gb_u64(b, ne[i]);
    gb_u32(b, type);
    gb_u64(b, offset);
}
static inline void gb_pad(glim_buf *b, size_t align)
{
    while (b->n % align)
        gb_raw(b, "", 1);
}
static inline void gb_fill(glim_buf *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        gb_raw(b, &(uint8_t){(uint8_t)i}, 1);
}

#endif
