/* SPDX-License-Identifier: MIT
 * formats.h - the one header of room formats: model files as metadata and named tensors.
 * A model file is a GGUF (single or split) or a folder with safetensors (single or sharded) and its JSON
 * files. Weights are mapped, never copied; everything handed out here is borrowed until
 * glim_modelfile_close(). What names mean is the business of room models. */
#ifndef GLIM_FORMATS_H
#define GLIM_FORMATS_H

#include "json/json.h"
#include "quant/quant.h"

typedef enum glim_container { GLIM_CONTAINER_GGUF, GLIM_CONTAINER_SAFETENSORS } glim_container;

typedef struct glim_tensor {
    glim_str name;
    glim_type type;
    int n_dim;            /* 1..4 */
    int64_t ne[4];        /* ne[0] is contiguous; unused ones are 1. safetensors shapes are reversed to this order */
    const uint8_t *data;  /* inside the map, any alignment for safetensors; within bounds, checked at open */
    size_t n_bytes;       /* exactly what type and ne ask for */
    int32_t i_file;       /* which part */
} glim_tensor;

typedef enum glim_meta_type {
    GLIM_META_U64, GLIM_META_I64, GLIM_META_F64, GLIM_META_BOOL, GLIM_META_STR, GLIM_META_ARRAY
} glim_meta_type;

/* A metadata value of a GGUF. Arrays: elements are read through glim_meta_array_*(). */
typedef struct glim_meta {
    glim_str key;
    glim_meta_type type;
    uint64_t u64;
    int64_t i64;
    double f64;
    glim_str str;
    glim_meta_type elem;   /* ARRAY */
    uint64_t n_elem;
    const uint8_t *elems;  /* private: raw bytes in the map */
    size_t elems_bytes;    /* private: of strings, with their lengths */
    int32_t elem_vtype;    /* private: GGUF value type */
    uint64_t offset;       /* of the value in the file, for messages */
} glim_meta;

typedef struct glim_modelfile glim_modelfile;

typedef enum glim_open_flags {
    GLIM_OPEN_NO_TENSORS = 1 /* a folder with only tokenizer and config files is enough */
} glim_open_flags;

/* Opens a GGUF file (any part of a split one: the first part is found by name) or a folder.
 * Everything is checked here: counts, lengths, extents, duplicates, overlaps, alignment; afterwards no
 * reader needs to look at bounds again. Memory beyond the maps stays below a small multiple of the header.
 * Errors: NOTFOUND, IO, FORMAT (file, offset, field, cure), UNSUPPORTED (type or version by name), LIMIT, NOMEM. */
GLIM_MUST_USE glim_err glim_modelfile_open(const char *path, unsigned flags, glim_modelfile **out, glim_error *e);
void glim_modelfile_close(glim_modelfile *f);
/* OK while all that was read from the weights so far was theirs: asked after reading them and before the result is
 * used. Files can be cut while mapped, and disks fail: the bytes are zeros then (see glim_guard_maps()). Once it
 * failed it fails until close. Errors: IO (file and offset). Thread: any. */
GLIM_MUST_USE glim_err glim_modelfile_check(const glim_modelfile *f, glim_error *e);
/* The same for the small files of a folder too: asked at the end of loading, also when it failed, because missing bytes
 * look like a damaged file. glim_modelfile_open() has asked. */
GLIM_MUST_USE glim_err glim_modelfile_check_all(const glim_modelfile *f, glim_error *e);
/* Says that the byte at offset of a tensor could not be read; returns what glim_modelfile_check() says from now on. */
GLIM_MUST_USE glim_err glim_modelfile_lost(const glim_modelfile *f, const glim_tensor *t, size_t offset, glim_error *e);

glim_container glim_modelfile_container(const glim_modelfile *f);
const char *glim_modelfile_path(const glim_modelfile *f);
uint64_t glim_modelfile_bytes(const glim_modelfile *f);  /* all parts */
size_t glim_modelfile_n_part(const glim_modelfile *f);

size_t glim_modelfile_n_tensor(const glim_modelfile *f);
const glim_tensor *glim_modelfile_tensor(const glim_modelfile *f, size_t i);
const glim_tensor *glim_modelfile_find(const glim_modelfile *f, glim_str name); /* NULL when absent */

/* GGUF metadata; n is 0 for folders. */
size_t glim_modelfile_n_meta(const glim_modelfile *f);
const glim_meta *glim_modelfile_meta_at(const glim_modelfile *f, size_t i);
const glim_meta *glim_modelfile_meta(const glim_modelfile *f, const char *key); /* NULL when absent */
/* Any integer width is taken; false when absent (m NULL), negative, or no integer. Floats likewise. */
bool glim_meta_u64(const glim_meta *m, uint64_t *out);
bool glim_meta_f64(const glim_meta *m, double *out);
bool glim_meta_bool(const glim_meta *m, bool *out);
bool glim_meta_str(const glim_meta *m, glim_str *out);
/* Walks an array's elements in order. *cursor starts at 0. False at the end. */
typedef struct glim_meta_iter {
    const glim_meta *m;
    uint64_t i;
    size_t pos;
} glim_meta_iter;
bool glim_meta_next_str(glim_meta_iter *it, glim_str *out);  /* arrays of strings */
bool glim_meta_next_i64(glim_meta_iter *it, int64_t *out);   /* arrays of integers or bools */
bool glim_meta_next_f64(glim_meta_iter *it, double *out);    /* arrays of numbers */

/* JSON files of a folder, parsed at open: NULL when the file is not there. */
const glim_json *glim_modelfile_config(const glim_modelfile *f);            /* config.json */
const glim_json *glim_modelfile_generation_config(const glim_modelfile *f); /* generation_config.json */
const glim_json *glim_modelfile_tokenizer_config(const glim_modelfile *f);  /* tokenizer_config.json */
/* Raw bytes of tokenizer.json (mapped) and chat_template.jinja; n 0 when absent. */
glim_str glim_modelfile_tokenizer_json(const glim_modelfile *f);
glim_str glim_modelfile_chat_template(const glim_modelfile *f); /* GGUF: tokenizer.chat_template */
/* One more file of a folder ("vocab.txt"), read into the arena when it is asked for, with a NUL behind it. out->p is NULL
 * when there is no such file, or f is no folder. name is the caller's own, or was checked to stay in the folder.
 * Errors: FORMAT (empty), LIMIT (more than max bytes), IO, UNSUPPORTED (a Git LFS pointer, a web page), NOMEM. */
GLIM_MUST_USE glim_err glim_modelfile_read_text(const glim_modelfile *f, const char *name, size_t max, glim_arena *a,
                                                glim_str *out, glim_error *e);
/* One more JSON file of a folder ("1_Pooling/config.json"), read into the arena when it is asked for. *out is NULL when
 * there is no such file, or f is no folder. name is the caller's own, or was checked to stay in the folder.
 * Errors: FORMAT (file, offset), LIMIT, IO, UNSUPPORTED (a Git LFS pointer, a web page), NOMEM. */
GLIM_MUST_USE glim_err glim_modelfile_read_json(const glim_modelfile *f, const char *name, glim_arena *a,
                                                const glim_json **out, glim_error *e);

/* ---- gguf_write.c: a GGUF of version 3, written front to back -------------------------------- */

/* Value types; the numbers are the format's. */
typedef enum glim_gguf_type {
    GLIM_GGUF_U8, GLIM_GGUF_I8, GLIM_GGUF_U16, GLIM_GGUF_I16, GLIM_GGUF_U32, GLIM_GGUF_I32, GLIM_GGUF_F32,
    GLIM_GGUF_BOOL, GLIM_GGUF_STR, GLIM_GGUF_ARRAY, GLIM_GGUF_U64, GLIM_GGUF_I64, GLIM_GGUF_F64,
    GLIM_GGUF_TYPE_COUNT
} glim_gguf_type;

/* Order of calls: create, any number of put and add_tensor, begin_data, the tensors' bytes in the order they were
 * added, finish. The file has its name only after finish; until then, and after any error, there is nothing under
 * it that was not there before. Thread: one at a time. */
typedef struct glim_gguf_writer glim_gguf_writer;

/* Errors: as glim_outfile_open(). Caller owns *out and ends it with glim_gguf_writer_free(). */
GLIM_MUST_USE glim_err glim_gguf_create(const char *path, glim_gguf_writer **out, glim_error *e);
/* Removes what was written, unless finish succeeded. NULL is fine. */
void glim_gguf_writer_free(glim_gguf_writer *w);

/* A key and its value; copies both. v points to the C type behind the value type (uint8_t .. double; bool; glim_str for
 * STR). general.alignment (U32, a power of two from 8 to 1 MiB) sets the alignment, 32 without it. The first error
 * stays and is what begin_data reports. */
void glim_gguf_put(glim_gguf_writer *w, const char *key, glim_gguf_type type, const void *v);
/* The same for n values in a row; elem is no ARRAY. */
void glim_gguf_put_array(glim_gguf_writer *w, const char *key, glim_gguf_type elem, const void *v, size_t n);
void glim_gguf_put_u32(glim_gguf_writer *w, const char *key, uint32_t v);
void glim_gguf_put_f32(glim_gguf_writer *w, const char *key, float v);
void glim_gguf_put_bool(glim_gguf_writer *w, const char *key, bool v);
void glim_gguf_put_str(glim_gguf_writer *w, const char *key, glim_str v);
/* A tensor of n_dim (1..4) dimensions; its bytes follow after begin_data. Copies name. Errors stay, as above. */
void glim_gguf_add_tensor(glim_gguf_writer *w, glim_str name, glim_type type, int n_dim, const int64_t *ne);

/* Bytes of the whole file as declared so far. */
uint64_t glim_gguf_writer_bytes(const glim_gguf_writer *w);
/* Writes everything before the data, with room for all of it taken where the filesystem can. Errors: INPUT (a key or
 * tensor twice, a shape its type cannot have: which), LIMIT, IO, NOMEM. */
GLIM_MUST_USE glim_err glim_gguf_begin_data(glim_gguf_writer *w, glim_error *e);
/* The next n bytes of the current tensor, which may be whole or a piece; padding is the writer's affair. Errors: STATE
 * (more than the tensor has, or no tensor is left), IO. */
GLIM_MUST_USE glim_err glim_gguf_write(glim_gguf_writer *w, const void *p, size_t n, glim_error *e);
/* Errors: STATE (bytes are missing), IO. */
GLIM_MUST_USE glim_err glim_gguf_finish(glim_gguf_writer *w, glim_error *e);

#endif
