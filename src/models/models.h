/* SPDX-License-Identifier: MIT
 * models.h - the one header of room models: architectures as a vtable, and what a loaded one looks
 * like to the engine; encoders are a second kind with a vtable of their own. A core is the weights and hyperparameters of one model, immutable after load;
 * the forward pass gets everything that changes (tokens, cache, scratch) from its caller. A new
 * architecture is one file and one row in registry.def. */
#ifndef GLIM_MODELS_H
#define GLIM_MODELS_H

#include "formats/formats.h"
#include "glim/encode.h"
#include "glim/engine.h"
#include "ops/ops.h"

typedef struct glim_arch glim_arch;

/* What all architectures have in common. The architecture's own struct begins with it. */
typedef struct glim_core {
    const glim_arch *arch;
    int64_t n_layer, n_embd, n_vocab, n_ctx; /* n_ctx: positions the model was made for */
    int64_t n_expert, n_expert_used;         /* 0: dense */
    int64_t n_predict;                       /* 1: the file has a prediction layer (MTP) */
    int64_t kv_width;                        /* elements a token and layer in the cache */
    uint64_t derived_bytes;                  /* anonymous copies made at load */
    uint64_t step_bytes;                     /* as in glim_model_info; 0 when only planned */
    glim_arena *arena;                       /* of the core and everything it derived */
} glim_core;

/* Tokens of one sequence at consecutive positions. */
typedef struct glim_run {
    const glim_kv_view *kv; /* layer_offset is of layer 0; layer_bytes away is the next */
    int64_t pos0, n_tok;
} glim_run;

typedef struct glim_batch {
    const int32_t *tokens; /* in range, all runs one after the other */
    int64_t n_tok;
    const glim_run *runs;
    int64_t n_run;
    size_t layer_bytes; /* distance of two layers in a page */
    glim_mla_form form;
    /* Rows of the batch whose final state is wanted, ascending; hidden [n_want][n_embd] dense,
     * after the final norm. */
    const int64_t *want;
    int64_t n_want;
    float *hidden;
    /* Polled before each layer; true stops with CANCELLED. May be NULL. */
    bool (*cancelled)(void *user);
    void *user;
} glim_batch;

typedef struct glim_load_opts {
    float rank_norm_eps; /* NaN: the model's own */
    bool plan_only; /* shapes are checked, nothing is derived: derived_bytes is what it would be */
} glim_load_opts;

struct glim_arch {
    const char *name;
    const char *const *gguf_names; /* general.architecture, NULL-terminated */
    const char *const *hf_names;   /* config.json model_type, NULL-terminated */
    /* Borrows f until glim_core_free(). Errors: FORMAT (missing or misshapen tensor, contradictory
     * value: which), UNSUPPORTED (by name), NOMEM. */
    GLIM_MUST_USE glim_err (*load)(const glim_modelfile *f, const glim_load_opts *opts,
                                   glim_core **out, glim_error *e);
    /* Computes a batch and writes its keys to the cache. Errors: CANCELLED, INTERNAL. Cache rows of
     * the batch are then undefined. */
    GLIM_MUST_USE glim_err (*forward)(const glim_core *c, glim_ops *o, const glim_batch *b,
                                      glim_error *e);
    /* Logits of n final states. Shape: hidden [n][n_embd], logits [n][n_vocab], dense. Errors:
     * INTERNAL (scratch). */
    GLIM_MUST_USE glim_err (*head)(const glim_core *c, glim_ops *o, const float *hidden, int64_t n,
                                   float *logits, glim_error *e);
    /* The prediction layer (c->n_predict is 1): from each token's final state and the token that follows it
     * (b->tokens, one place further than the states), the state that predicts the token after that.
     * Writes to the cache as layer n_layer; earlier positions must be there. b->want and hidden are unused.
     * Shape: states, out [b->n_tok][n_embd] dense, may be the same. Errors: INTERNAL. */
    GLIM_MUST_USE glim_err (*predict)(const glim_core *c, glim_ops *o, const glim_batch *b,
                                      const float *states, float *out, glim_error *e);
    GLIM_MUST_USE glim_err (*predict_head)(const glim_core *c, glim_ops *o, const float *states,
                                           int64_t n, float *logits, glim_error *e);
    /* Step-arena bytes of a batch of n_tok tokens, and of as many rows of head, those of the ops
     * included. */
    size_t (*scratch_bytes)(const glim_core *c, int64_t n_tok, int n_thread);
};

/* Finds the architecture that the file names and loads it. Errors: UNSUPPORTED lists the known
 * ones. */
GLIM_MUST_USE glim_err glim_core_load(const glim_modelfile *f, const glim_load_opts *opts,
                                      glim_core **out, glim_error *e);
void glim_core_free(glim_core *c);
/* "deepseek2, ..." */
const char *glim_arch_names(void);
/* True for every name that a file of a known architecture may carry. */
bool glim_arch_named(glim_str name);

/* ---- encoders: tokens to vectors, no cache and no generation --------------------------------- */

typedef struct glim_enc_arch glim_enc_arch;

/* A loaded encoder, immutable after load. The architecture's own struct begins with it. */
typedef struct glim_enc_core {
    const glim_enc_arch *arch;
    int64_t n_layer, n_embd, n_vocab;
    int64_t n_ctx;   /* tokens of a sequence, special ones included */
    int64_t n_type;  /* token types */
    int64_t n_label; /* logits of the classification head; 0: the file has none */
    uint64_t derived_bytes;
    glim_arena *arena;
} glim_enc_core;

/* Sequences one after the other, no padding between. Every token sees the whole of its own sequence
 * and nothing else: a result does not depend on what it is packed with. */
typedef struct glim_enc_batch {
    const int32_t *tokens;
    const int32_t *types; /* token types, or NULL: all 0 */
    const int64_t
        *offset; /* [n_seq + 1]: sequence i is tokens [offset[i], offset[i + 1]); offset[0] is 0 */
    int64_t n_seq;
    glim_pooling pooling;
    float *vectors;      /* [n_seq][n_embd] dense, not normalised; unused with UNSET */
    const int64_t *want; /* rows whose final state is wanted, in any order */
    int64_t n_want;
    float *hidden; /* [n_want][n_embd] dense */
    /* Polled before each layer; true stops with CANCELLED. May be NULL. */
    bool (*cancelled)(void *user);
    void *user;
} glim_enc_batch;

struct glim_enc_arch {
    const char *name;
    const char *const *gguf_names; /* general.architecture, NULL-terminated */
    const char *const *hf_names;   /* config.json model_type, NULL-terminated */
    /* The functions below, of an architecture. load gets its own row, so that relatives can share it;
     * states writes the final states of all tokens. b was checked. Shape: x [n_tok][n_embd] dense. */
    GLIM_MUST_USE glim_err (*load)(const glim_enc_arch *arch, const glim_modelfile *f,
                                   const glim_load_opts *opts, glim_enc_core **out, glim_error *e);
    GLIM_MUST_USE glim_err (*states)(const glim_enc_core *m, glim_ops *o, const glim_enc_batch *b,
                                     float *x, glim_error *e);
    GLIM_MUST_USE glim_err (*classify)(const glim_enc_core *m, glim_ops *o, const float *first,
                                       int64_t n, float *logits, glim_error *e);
    size_t (*scratch_bytes)(const glim_enc_core *m, int64_t n_tok, int n_thread);
};

/* True when the file names an encoder (glim_core_load() knows the others). */
bool glim_enc_is(const glim_modelfile *f);
/* "bert, ..." */
const char *glim_enc_names(void);
/* Borrows f until glim_enc_free(). Errors: UNSUPPORTED (by name), FORMAT (missing or misshapen tensor,
 * contradictory value: which), NOMEM. Of opts only plan_only counts. */
GLIM_MUST_USE glim_err glim_enc_load(const glim_modelfile *f, const glim_load_opts *opts,
                                     glim_enc_core **out, glim_error *e);
void glim_enc_free(glim_enc_core *m);
/* Step-arena bytes of a batch of n_tok tokens in as many sequences as may be, and of classifying as many rows. */
size_t glim_enc_scratch_bytes(const glim_enc_core *m, int64_t n_tok, int n_thread);
/* Vectors and states of a batch. Errors: INPUT (an empty or too long sequence, an id or type out of range: which),
 * CANCELLED, INTERNAL. Thread: the engine. */
GLIM_MUST_USE glim_err glim_enc_forward(const glim_enc_core *m, glim_ops *o,
                                        const glim_enc_batch *b, glim_error *e);
/* Logits of the classification head from the final states of n first tokens (vectors of pooling CLS).
 * Shape: first [n][n_embd], logits [n][n_label], dense. Errors: UNSUPPORTED (no head), INTERNAL. */
GLIM_MUST_USE glim_err glim_enc_classify(const glim_enc_core *m, glim_ops *o, const float *first,
                                         int64_t n, float *logits, glim_error *e);

/* pooling.c: what a model's own library makes of its states. */
typedef struct glim_pooling_rule {
    glim_pooling kind;  /* never UNSET */
    bool normalize;     /* to unit length */
    int64_t max_tokens; /* longer texts are cut to this, special tokens included; 1..n_ctx */
} glim_pooling_rule;

/* Reads modules.json, the pooling module's config.json, sentence_bert_config.json and tokenizer_config.json of a
 * folder, bert.pooling_type and bert.context_length of a GGUF. Where nothing says: mean, not normalised in a folder
 * and normalised from a GGUF (as the libraries that read them do), n_ctx tokens.
 * Errors: FORMAT, UNSUPPORTED (another pooling, another module: by name), NOMEM. Thread: any. */
GLIM_MUST_USE glim_err glim_pooling_read(const glim_modelfile *f, int64_t n_ctx,
                                         glim_pooling_rule *out, glim_error *e);

/* ---- synth.c: a model's shapes with random weights ------------------------------------------- */

#define GLIM_SYNTH_LAYERS_MAX 1000

typedef struct glim_synth_spec {
    const char *arch; /* "glm-4.7-flash", "glim-demo" */
    const char *type; /* "q4_k_m", "q8_0", "bf16", "f32"; any case */
    const char *mix;  /* "llama", "unsloth"; NULL: the type's first */
    int64_t n_layer;  /* 0: as many as the model has */
    uint64_t seed;
} glim_synth_spec;

typedef struct glim_synth_tensor {
    char name[48];
    glim_type type;
    int n_dim;
    int64_t ne[4]; /* unused ones are 1 */
    int role;      /* private, with what follows */
    float std;
    uint64_t seed;
} glim_synth_tensor;

typedef struct glim_synth glim_synth;
/* Plans; makes no weight yet. Errors: UNSUPPORTED (arch or type: lists the known ones), INPUT (layers, mix), NOMEM.
 * Caller owns *out and ends it with glim_synth_free(). */
GLIM_MUST_USE glim_err glim_synth_new(const glim_synth_spec *spec, glim_synth **out, glim_error *e);
void glim_synth_free(glim_synth *s);
size_t glim_synth_n_tensor(const glim_synth *s);
const glim_synth_tensor *glim_synth_tensor_at(const glim_synth *s, size_t i); /* in file order */
/* Ids of the vocabulary, and the first one of a special token. */
void glim_synth_vocab(const glim_synth *s, size_t *n_vocab, size_t *first_special);
/* The keys that describe the model; not those of the vocabulary. */
void glim_synth_put_keys(const glim_synth *s, glim_gguf_writer *w);
/* Rows [row0, row0 + n_row) of ne[0] elements to dst, which is aligned to 4 bytes. Thread: any, pure. */
void glim_synth_rows(const glim_synth *s, const glim_synth_tensor *t, int64_t row0, int64_t n_row,
                     uint8_t *dst);

#endif
