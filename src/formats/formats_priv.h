/* SPDX-License-Identifier: MIT
 * formats_priv.h - what the files of room formats share: the open model file and its parts.
 * Owns:   the growing tables; every name in them lies in a map or in the arena of the model file.
 */
#ifndef GLIM_FORMATS_PRIV_H
#define GLIM_FORMATS_PRIV_H

#include "formats/formats.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "model files are little-endian and are read in place"
#endif

/* Far beyond any model (DeepSeek-V3 has 91,000 tensors unfused), far below what hurts. */
#define FORMATS_CAP_TENSORS 2000000
#define FORMATS_CAP_META 100000
#define FORMATS_CAP_NAME 1024        /* bytes of a tensor's name */
#define FORMATS_CAP_KEY 65535        /* bytes of a metadata key, as the GGUF specification has it */
#define FORMATS_CAP_ALIGN (1u << 20) /* of a GGUF's data section */
#define FORMATS_CAP_ST_HEADER                                                                      \
    100000000u /* bytes of a safetensors header, as the reference reader has it */

/* One file of weights. p and n are the bytes; map is empty when the memory is someone else's. */
typedef struct modelfile_part {
    glim_filemap map;
    const char *path; /* for messages and for opening; in the arena */
    const uint8_t *p;
    size_t n;
} modelfile_part;

typedef struct meta_set {
    glim_meta *v;
    size_t n, cap;
    glim_map *by_key;
} meta_set;

/* A JSON file of a folder: the tree borrows the map. */
typedef struct json_file {
    glim_filemap map;
    const char *path; /* in the arena */
    glim_arena *arena;
    glim_json *root;
} json_file;

struct glim_modelfile {
    glim_container container;
    glim_arena *arena; /* paths, and names that are not in a map */
    const char *path;
    modelfile_part *parts;
    size_t n_part, cap_part;
    glim_tensor *tensors;
    size_t n_tensor, cap_tensor;
    glim_map *by_name; /* tensors and, in safetensors, the skipped ones with value UINT32_MAX */
    meta_set meta;
    json_file config, generation_config, tokenizer_config;
    json_file tokenizer_json, template_file; /* map and path only */
    glim_str chat_template;
};

/* ---- modelfile.c */

/* Makes room for one more element behind n; false when out of memory. *v moves. */
bool glim_formats_grow(void **v, size_t *cap, size_t n, size_t size);
/* An empty model file called path (copied), or NULL. */
glim_modelfile *glim_modelfile_new(const char *path, glim_container container);
/* Maps a file as the next part. Copies path. */
GLIM_MUST_USE glim_err glim_modelfile_add_part(glim_modelfile *f, const char *path, glim_error *e);
/* Adds a tensor and its name to the tables. Errors: FORMAT (name taken), LIMIT, NOMEM. */
GLIM_MUST_USE glim_err glim_modelfile_add_tensor(glim_modelfile *f, const glim_tensor *t,
                                                 uint64_t offset, glim_error *e);
/* Opens bytes in memory, for tests and fuzzing. Borrows p until close, copies name. A part of a
 * split file opens alone. */
GLIM_MUST_USE glim_err glim_modelfile_open_mem(glim_container container, const char *name,
                                               const uint8_t *p, size_t n, glim_modelfile **out,
                                               glim_error *e);
/* True when the file is something people take for a model (a Git LFS pointer, a web page, ...):
 * *what says so and names the cure. */
bool glim_formats_mistaken(const uint8_t *p, size_t n, const char **what);

/* An extent of tensor data in a part, for the check that none overlap. */
typedef struct extent {
    uint64_t begin, end;
    glim_str name;
} extent;
/* Sorts by begin (end breaks ties). */
void glim_formats_sort_extents(extent *x, size_t n);

/* ---- gguf.c */

/* Bytes of a value in the file; 0: it has its own length. */
extern const uint8_t glim_gguf_value_size[GLIM_GGUF_TYPE_COUNT];

/* Reads header, metadata and tensor infos of part i_part: metadata goes to *metas, tensors to f. */
GLIM_MUST_USE glim_err glim_gguf_read(glim_modelfile *f, size_t i_part, meta_set *metas,
                                      glim_error *e);
const glim_meta *glim_meta_find(const meta_set *s, const char *key);
void glim_meta_set_deinit(meta_set *s);

/* ---- safetensors.c */

/* Called for each entry of a header, skipped ones included; NULL for none. */
typedef glim_err (*glim_st_seen)(void *user, glim_str name, size_t i_part, glim_error *e);
GLIM_MUST_USE glim_err glim_safetensors_read(glim_modelfile *f, size_t i_part, glim_st_seen seen,
                                             void *user, glim_error *e);

/* ---- shards.c */

/* The name of a part of a split file: "<stem>-00002-of-00003.gguf". */
typedef struct split_name {
    glim_str stem;
    uint32_t no, count; /* no from 1 */
} split_name;
bool glim_split_name_parse(glim_str path, split_name *out);

/* A model.safetensors.index.json, read. */
typedef struct st_index st_index;
/* Copies what it needs into a; path is for messages. */
GLIM_MUST_USE glim_err glim_st_index_read(glim_arena *a, const char *path, glim_str json,
                                          st_index **out, glim_error *e);
void glim_st_index_free(st_index *x);
size_t glim_st_index_n_file(const st_index *x);

/* Opens a GGUF and, when it says that it is split, all its parts. */
GLIM_MUST_USE glim_err glim_gguf_open_parts(glim_modelfile *f, const char *path, glim_error *e);
/* Opens the shards that an index names, in its folder. */
GLIM_MUST_USE glim_err glim_safetensors_open_index(glim_modelfile *f, const char *dir,
                                                   const char *index_path, glim_error *e);

/* ---- folder.c */

/* Opens a folder; *gguf is set instead when the folder's model is a GGUF file (path in f's arena).
 */
GLIM_MUST_USE glim_err glim_folder_open(glim_modelfile *f, unsigned flags, const char **gguf,
                                        glim_error *e);
/* Turns an error of the JSON reader into one of a file: names the file, shifts the offset, INPUT
 * becomes FORMAT. */
glim_err glim_formats_json_error(glim_err rc, const char *path, uint64_t base, glim_error *e);

#endif
