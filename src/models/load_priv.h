/* SPDX-License-Identifier: MIT
 * load_priv.h - hyperparameters and weights by table: what every architecture's load() is written
 * with. */
#ifndef GLIM_MODELS_LOAD_PRIV_H
#define GLIM_MODELS_LOAD_PRIV_H

#include "models/models.h"

/* ---- hyperparameters ------------------------------------------------------------------------- */

typedef enum glim_hp_type { GLIM_HP_INT, GLIM_HP_FLOAT, GLIM_HP_BOOL } glim_hp_type;

/* One value: its key behind "<arch>." in a GGUF, its path in config.json (alternatives separated by
 * '|'), where it goes (int64_t, double or bool), its range, and whether it must be there. */
typedef struct glim_hp_row {
    const char *gguf, *hf;
    glim_hp_type type;
    size_t offset;
    double min, max;
    bool required;
} glim_hp_row;

/* Reads the rows into dst, whose fields hold the defaults. Errors: FORMAT naming file, key, value
 * and range. */
GLIM_MUST_USE glim_err glim_hp_read(const glim_modelfile *f, const glim_hp_row *rows, size_t n_row,
                                    void *dst, glim_error *e);
/* "<arch>." + key of a GGUF; NULL when absent or the file is none. */
const glim_meta *glim_hp_meta(const glim_modelfile *f, const char *key);

/* ---- weights --------------------------------------------------------------------------------- */

/* Reads tensors by name; "%d" in a name is the layer. The first error stays, later calls do
 * nothing. */
typedef struct glim_loader {
    const glim_modelfile *f;
    glim_arena *arena; /* for what is derived or converted */
    bool plan_only;
    uint64_t derived_bytes;
    glim_err rc;
    glim_error *e;
} glim_loader;

/* NULL: that container has no such tensor. */
typedef struct glim_weight_name {
    const char *gguf, *hf;
} glim_weight_name;

/* The tensor, or NULL; a missing one is an error when required. */
const glim_tensor *glim_weight_find(glim_loader *ld, glim_weight_name name, int64_t layer,
                                    bool required);
/* A vector of n f32: mapped when the file has it so, else converted. Optional and absent: *out
 * NULL. */
void glim_weight_vec(glim_loader *ld, glim_weight_name name, int64_t layer, int64_t n,
                     bool required, const float **out);
/* A matrix of n_row outputs by n_col inputs, as it lies in the file. Optional and absent: out->data
 * NULL. */
void glim_weight_mat(glim_loader *ld, glim_weight_name name, int64_t layer, int64_t n_col,
                     int64_t n_row, bool required, glim_mat *out);
/* The same as f32, converted when it is not (routers). */
void glim_weight_mat_f32(glim_loader *ld, glim_weight_name name, int64_t layer, int64_t n_col,
                         int64_t n_row, glim_mat *out);
/* n matrices: one 3-D tensor in a GGUF; in a folder one tensor each, whose name has "%e" for the
 * index. */
void glim_weight_mats(glim_loader *ld, glim_weight_name name, int64_t layer, int64_t n_col,
                      int64_t n_row, int64_t n, glim_mats *out);
/* Rows [row0, row0 + n_row) of every block of n_block_row rows of a 2-D tensor, as n matrices:
 * views, nothing copied. */
void glim_weight_slices(glim_loader *ld, const glim_mat *m, int64_t n, int64_t n_block_row,
                        int64_t row0, int64_t n_row, glim_mats *out);
/* Each of the matrices turned round, as new memory of the arena: F32, F16 and BF16 keep their type,
 * others become F32. */
void glim_weight_transpose(glim_loader *ld, const glim_mats *m, glim_mats *out);
void *glim_loader_alloc(glim_loader *ld, size_t n,
                        size_t size); /* counts as derived; NULL sets rc (or plan_only) */

#endif
