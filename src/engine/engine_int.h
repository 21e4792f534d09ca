/* SPDX-License-Identifier: MIT
 * engine_int.h - what the files of room engine share; the tests include it too.
 * See include/glim/engine.h for the public side. */
#ifndef GLIM_ENGINE_INT_H
#define GLIM_ENGINE_INT_H

#include "glim/engine.h"
#include "models/models.h"
#include "text/text.h"

#include <stdatomic.h>

/* ---- vocab.c --------------------------------------------------------------------------------- */

struct glim_vocab {
    glim_tokenizer *tok;
    const glim_template *tmpl; /* NULL: the file's template is none that glim renders */
    int32_t *stops;            /* ids that end a turn */
    size_t n_stop;
    char *path;
};
/* Reads tokenizer, template and stop ids out of an open file. */
GLIM_MUST_USE glim_err glim_vocab_from_file(const glim_modelfile *f, glim_vocab **out,
                                            glim_error *e);

/* ---- kv.c: the page pool --------------------------------------------------------------------- */

typedef struct glim_kv_pool {
    glim_type type;
    int64_t width, n_layer;
    size_t row_bytes, layer_bytes, page_bytes;
    int64_t n_page, n_free;
    uint8_t *base; /* reserved address space; memory comes with the first touch */
    size_t base_bytes;
    int32_t *free_list; /* stack of free pages, n_free of them */
} glim_kv_pool;

GLIM_MUST_USE glim_err glim_kv_pool_init(glim_kv_pool *p, glim_type type, int64_t width,
                                         int64_t n_layer, int64_t n_ctx, glim_error *e);
void glim_kv_pool_deinit(glim_kv_pool *p);
uint8_t *glim_kv_page_take(glim_kv_pool *p); /* NULL: none is free */
void glim_kv_page_give(glim_kv_pool *p, uint8_t *page);
uint64_t glim_kv_bytes_per_token(glim_type type, int64_t width, int64_t n_layer);

/* ---- model.c --------------------------------------------------------------------------------- */

struct glim_model {
    glim_modelfile *file;
    glim_core *core;
    glim_vocab *vocab;
    glim_kernels kernels;
    glim_pool *pool;
    glim_ops ops;
    glim_kv_pool kv;
    int64_t n_ctx, n_chunk;
    glim_mla_form form;
    float *logits;     /* [GLIM_HEAD_ROWS][n_vocab] */
    glim_gen_opts gen; /* the model's own settings */
    glim_model_info info;
    char *name;
};
#define GLIM_HEAD_ROWS 16 /* rows whose logits are made at once */

/* ---- session.c ------------------------------------------------------------------------------- */

struct glim_session {
    glim_model *m;
    int32_t *tokens; /* [n_ctx] */
    int64_t n_token;
    uint8_t **page; /* [pages of n_ctx] */
    int64_t n_page;
    atomic_bool cancel;
    uint64_t n_call; /* ids of tool calls given out */
};
/* Progress of a prefill: done of total tokens; false cancels. May be NULL. */
typedef bool (*glim_eval_progress)(void *user, int64_t done, int64_t total);
GLIM_MUST_USE glim_err glim_session_eval_progress(glim_session *s, const int32_t *tokens, size_t n,
                                                  bool all, glim_logits_fn fn, void *user,
                                                  glim_eval_progress progress, void *progress_user,
                                                  glim_error *e);

/* ---- sample.c -------------------------------------------------------------------------------- */

typedef struct glim_sampler {
    float temperature, top_p, min_p;
    int32_t top_k;
    glim_rng rng;
    float *p;        /* [n] probabilities up to a factor */
    int32_t *sorted; /* [n] ids of the bucket that a limit cuts through */
    size_t n;
} glim_sampler;
/* Settings must be in range and set. Errors: NOMEM. */
GLIM_MUST_USE glim_err glim_sampler_init(glim_sampler *s, const glim_gen_opts *o, size_t n_vocab,
                                         glim_error *e);
void glim_sampler_deinit(glim_sampler *s);
/* Picks a token. Errors: FAIL when no logit is finite. */
GLIM_MUST_USE glim_err glim_sample(glim_sampler *s, const float *logits, size_t n, int32_t *id,
                                   glim_error *e);

/* ---- generate.c ------------------------------------------------------------------------------ */

/* Merges what the caller set over what the model proposes and checks the ranges. Errors: INPUT by
 * name. */
GLIM_MUST_USE glim_err glim_gen_resolve(const glim_model *m, const glim_gen_opts *given,
                                        glim_gen_opts *out, glim_error *e);

#endif
