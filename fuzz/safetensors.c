/* SPDX-License-Identifier: MIT
 * safetensors.c - fuzz: any bytes as a safetensors file; bytes that begin with '{' also as an index
 * of shards. */
#include "formats/formats_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile unsigned long long sink;

static void as_index(const uint8_t *data, size_t size)
{
    glim_arena *a = glim_arena_new((size_t)1 << 28);
    st_index *x = NULL;
    if (a && !glim_st_index_read(a, "fuzz", (glim_str){(const char *)data, size}, &x, NULL))
        sink += glim_st_index_n_file(x);
    glim_st_index_free(x);
    glim_arena_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    glim_modelfile *f;
    glim_error e;
    if (size && data[0] == '{') as_index(data, size);
    if (glim_modelfile_open_mem(GLIM_CONTAINER_SAFETENSORS, "fuzz", data, size, &f, &e)) return 0;
    for (size_t i = 0; i < glim_modelfile_n_tensor(f); i++) {
        const glim_tensor *t = glim_modelfile_tensor(f, i);
        assert(glim_modelfile_find(f, t->name) == t);
        sink += t->data[0];
        sink += t->data[t->n_bytes - 1];
    }
    glim_modelfile_close(f);
    return 0;
}
