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

#endif
