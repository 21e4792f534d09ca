/* SPDX-License-Identifier: MIT
 * gguf.c - fuzz: any bytes as a GGUF file. What opens is walked whole: nothing that is handed out
 * may lead outside. */
#include "formats/formats_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile unsigned long long sink;

static void walk_meta(const glim_modelfile *f)
{
    for (size_t i = 0; i < glim_modelfile_n_meta(f); i++) {
        const glim_meta *m = glim_modelfile_meta_at(f, i);
        glim_meta_iter it = {.m = m};
        glim_str s;
        int64_t v;
        double d;
        uint64_t u;
        while (glim_meta_next_str(&it, &s))
            sink += s.n ? (unsigned char)s.p[s.n - 1] : 0;
        for (it = (glim_meta_iter){.m = m}; glim_meta_next_i64(&it, &v);)
            sink += (unsigned long long)v;
        for (it = (glim_meta_iter){.m = m}; glim_meta_next_f64(&it, &d);)
            sink += d > 0;
        if (glim_meta_str(m, &s) && s.n) sink += (unsigned char)s.p[s.n - 1];
        if (glim_meta_u64(m, &u)) sink += u;
    }
}

static void walk_tensors(const glim_modelfile *f)
{
    static float row[256];
    for (size_t i = 0; i < glim_modelfile_n_tensor(f); i++) {
        const glim_tensor *t = glim_modelfile_tensor(f, i);
        const glim_type_traits *type = glim_type_get(t->type);
        assert(glim_modelfile_find(f, t->name) == t);
        type->decode(t->data, row, type->n_block);
        type->decode(t->data + t->n_bytes - type->block_bytes, row, type->n_block);
        sink += row[0] > 0;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    glim_modelfile *f;
    glim_error e;
    if (glim_modelfile_open_mem(GLIM_CONTAINER_GGUF, "fuzz", data, size, &f, &e)) return 0;
    walk_meta(f);
    walk_tensors(f);
    glim_modelfile_close(f);
    return 0;
}
