/* SPDX-License-Identifier: MIT
 * engine_int.h - what the files of room engine share; the tests include it too.
 * See include/glim/engine.h for the public side. */
#ifndef GLIM_ENGINE_INT_H
#define GLIM_ENGINE_INT_H

#include "glim/encode.h"
#include "glim/engine.h"
#include "models/models.h"
#include "text/text.h"

#include <stdatomic.h>

/* ---- vocab.c --------------------------------------------------------------------------------- */

struct glim_vocab {
    glim_tokenizer *tok;
    glim_enctok *enc;          /* of an encoder; tok is then NULL, there are no template and no stop ids */
    const glim_template *tmpl; /* NULL: the file's template is none that glim renders */
    int32_t *stops;            /* ids that end a turn */
    size_t n_stop;
    char *path;
};
/* Reads tokenizer, template and stop ids out of an open file. */
GLIM_MUST_USE glim_err glim_vocab_from_file(const glim_modelfile *f, glim_vocab **out,
                                            glim_error *e);

/* The specification of a GGUF's vocabulary: views of the file and memory of the arena. Errors: FORMAT,
 * UNSUPPORTED, NOMEM. */
GLIM_MUST_USE glim_err glim_vocab_spec_gguf(const glim_modelfile *f, glim_arena *a,
                                            glim_tokenizer_spec *spec, glim_error *e);

/* ---- kv.c: the page pool --------------------------------------------------------------------- */

typedef struct glim_kv_pool {
    glim_type type;
    int64_t width, n_layer;
    size_t row_bytes, layer_bytes, page_bytes;
    int64_t n_page, n_free;
    atomic_int_fast64_t n_free_seen; /* n_free, for other threads */
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

/* ---- open.c, describe.c: what opening chat models and encoders has in common ------------------- */

/* Checks the number of threads (0 becomes one a core) and finds the kernel level (cpu NULL: the best). Errors: INPUT,
 * UNSUPPORTED (this machine does not run it). */
GLIM_MUST_USE glim_err glim_open_machine(int *n_thread, const char *cpu, glim_cpu_level *level,
                                         glim_error *e);
#define GLIM_ARCH_NAME_MAX 64
/* CHAT, EMBEDDING (every encoder) or UNKNOWN by the architecture that the file names, which is put into arch, cut to
 * fit between characters. */
void glim_open_kind(const glim_modelfile *f, glim_model_kind *kind, char arch[GLIM_ARCH_NAME_MAX]);
/* UNSUPPORTED where a chat model is asked for and the file is an encoder; says what it is and what takes it. */
GLIM_MUST_USE glim_err glim_open_refuse_encoder(const glim_modelfile *f, glim_error *e);

typedef struct glim_open_progress {
    bool (*fn)(void *user, uint64_t done, uint64_t total); /* false cancels; NULL: nobody asks */
    void *user;
} glim_open_progress;
/* Brings the weights into the page cache. Errors: CANCELLED, IO. */
GLIM_MUST_USE glim_err glim_open_warm(const glim_modelfile *f, const glim_open_progress *progress,
                                      glim_error *e);
uint64_t glim_open_weight_bytes(const glim_modelfile *f);
/* general.name with a NUL behind it, "" without; NULL when out of memory. The caller frees it. */
char *glim_open_name(const glim_modelfile *f);

/* What a file says of itself; the strings live as long as the file. */
typedef struct glim_description {
    const char *format, *quant;
    glim_str license;
    int64_t n_head;
    uint64_t n_param; /* elements of all tensors */
} glim_description;
void glim_describe(const glim_modelfile *f, glim_description *d);

/* ---- enctok_open.c, encode.c ------------------------------------------------------------------ */

/* The tokenizer of an encoder's file or folder. Errors: NOTFOUND, FORMAT, UNSUPPORTED, LIMIT, NOMEM. The caller ends
 * *out with glim_enctok_free(). Thread: any. */
GLIM_MUST_USE glim_err glim_enctok_from_file(const glim_modelfile *f, glim_enctok **out,
                                             glim_error *e);

/* A step computes texts until one more would make it this long; a longer text goes alone. Weights are read once a
 * few hundred rows, so that more than a few blocks of them gain nothing, and cost memory. */
#define GLIM_ENCODE_TOKENS 2048
#define GLIM_ENCODE_TEXTS 256 /* of a step, at most */

struct glim_encoder {
    glim_modelfile *file;
    glim_enc_core *core;
    glim_enctok *tok;
    glim_kernels kernels;
    glim_pool *pool;
    glim_ops ops;
    int64_t n_step; /* tokens of a step at most */
    /* The texts of a step one after the other: [n_step], [n_step], [GLIM_ENCODE_TEXTS + 1]. */
    int32_t *ids, *types;
    int64_t *offset;
    float *rows; /* [GLIM_ENCODE_TEXTS][n_embd] their vectors as they come */
    glim_encoder_info info;
    char *name;
};

/* keyword.c: options in range, or INPUT by name. */
GLIM_MUST_USE glim_err glim_keyword_check(const glim_keyword_opts *opts, glim_error *e);

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
    bool predict;    /* the cache has room for the prediction layer */
    float *logits;     /* [GLIM_HEAD_ROWS][n_vocab] */
    glim_gen_opts gen; /* the model's own settings */
    const struct glim_stepper *stepper; /* NULL: the model itself */
    atomic_uint_fast64_t beat_ns;       /* when a layer was last finished */
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
    void *script;    /* the stepper's own; freed with the session */
};
/* Computes n tokens, at most a chunk of them, and gives the logits behind the last one to fn (NULL:
 * none are wanted). Unlike glim_session_eval() it does not forget a cancel. Errors: as there. */
GLIM_MUST_USE glim_err glim_session_step(glim_session *s, const int32_t *tokens, size_t n,
                                         glim_logits_fn fn, void *user, glim_error *e);
void glim_session_uncancel(glim_session *s);
/* How many of n tokens to compute at once: up to where the form of attention may change, then to
 * multiples of a chunk, so that results depend on positions alone. */
int64_t glim_session_piece(const glim_session *s, int64_t n, bool short_piece);

/* What stands in for the model in tests of everything above it: logits of its own making. It keeps
 * s->tokens and s->n_token as a real step would. */
typedef struct glim_stepper {
    glim_err (*step)(glim_session *s, const int32_t *tokens, size_t n, glim_logits_fn fn, void *user,
                     glim_error *e);
} glim_stepper;
const glim_stepper *glim_stepper_default(void); /* NULL: the model */

/* ---- gen.c: one generation, step by step ------------------------------------------------------ */

typedef struct glim_gen glim_gen;
typedef struct glim_gen_input {
    const int32_t *ids; /* the prompt; copied */
    size_t n_id;
    glim_start start;
    bool raw;
    const glim_tool *tools; /* borrowed until free, with what they point to */
    size_t n_tool;
    const glim_gen_opts *opts; /* NULL: the model's own; its lists are borrowed until free */
} glim_gen_input;
/* Errors: INPUT, CONTEXT (the prompt leaves no room), NOMEM. Thread: any. */
GLIM_MUST_USE glim_err glim_gen_new(glim_model *m, const glim_gen_input *in, glim_event_fn fn,
                                    void *user, glim_gen **out, glim_error *e);
void glim_gen_free(glim_gen *g);
/* Gives it a session, whose tokens are cut to what both share; detach leaves them there, and the
 * generation can go on in another session. */
GLIM_MUST_USE glim_err glim_gen_attach(glim_gen *g, glim_session *s, glim_error *e);
void glim_gen_detach(glim_gen *g);
size_t glim_gen_shared(const glim_gen *g, const glim_session *s); /* tokens both have from the first on */
int64_t glim_gen_n_missing(const glim_gen *g); /* tokens to compute before the next one is known */
/* Tokens to compute at once: ends where a prefill from nothing would, so that results do not depend
 * on who else is served; short when others wait for their next token. */
int64_t glim_gen_piece(const glim_gen *g, bool others_wait);
/* Computes the next n_max missing tokens. Errors: CANCELLED, FULL (no cache page), IO, NOMEM. */
GLIM_MUST_USE glim_err glim_gen_prefill(glim_gen *g, int64_t n_max, glim_error *e);
/* Takes the next token into the answer; *why is not NONE when it was the last. */
GLIM_MUST_USE glim_err glim_gen_take(glim_gen *g, glim_stop_reason *why, glim_error *e);
/* What is held goes out, then the STOP event. */
GLIM_MUST_USE glim_err glim_gen_finish(glim_gen *g, glim_stop_reason why, glim_error *e);
const glim_usage *glim_gen_usage(const glim_gen *g);

/* ---- force.c: a demanded tool call ------------------------------------------------------------ */

typedef struct glim_force glim_force;
/* Borrows tools' names until free. Errors: INPUT (no tool could be it), UNSUPPORTED, NOMEM. */
GLIM_MUST_USE glim_err glim_force_new(const glim_model *m, const glim_tool *tools, size_t n_tool,
                                      const glim_gen_opts *o, glim_force **out, glim_error *e);
void glim_force_free(glim_force *f);
/* *out: logits where nothing is forced (any more), else its own, -INFINITY for what may not come. */
GLIM_MUST_USE glim_err glim_force_mask(glim_force *f, const float *logits, const float **out,
                                       glim_error *e);
GLIM_MUST_USE glim_err glim_force_take(glim_force *f, int32_t id, glim_error *e);

/* ---- sample.c -------------------------------------------------------------------------------- */

typedef struct glim_sampler {
    glim_gen_opts o; /* in range; temperature, top_p, top_k, min_p are set */
    glim_rng rng;
    size_t n;
    float *logits;    /* [n] after bias and penalties */
    float *p;         /* [n] probabilities up to a factor */
    int32_t *sorted;  /* [n] ids of the bucket that a limit cuts through */
    uint32_t *count;  /* [n] times in the answer */
    uint8_t *seen;    /* [n] 1: in the prompt or the answer */
    glim_ids history; /* all tokens in order; only while DRY is on */
} glim_sampler;
/* Borrows o's lists until deinit. Errors: NOMEM. */
GLIM_MUST_USE glim_err glim_sampler_init(glim_sampler *s, const glim_gen_opts *o, size_t n_vocab,
                                         glim_error *e);
void glim_sampler_deinit(glim_sampler *s);
/* Tells it about a token of the prompt or of the answer. Errors: NOMEM. */
GLIM_MUST_USE glim_err glim_sampler_see(glim_sampler *s, int32_t id, bool answer, glim_error *e);
/* Picks a token that is none of the banned ones. Errors: FAIL when no logit is finite. */
GLIM_MUST_USE glim_err glim_sample(glim_sampler *s, const float *logits, size_t n,
                                   const int32_t *banned, size_t n_banned, int32_t *id,
                                   glim_error *e);
/* The n_top most probable tokens (their bytes are left empty; id -1 beyond the vocabulary) and the chosen one. */
void glim_top_logprobs(const float *logits, size_t n, int32_t chosen, glim_logprob *top,
                       size_t n_top, glim_logprob *of);

/* ---- loop.c ---------------------------------------------------------------------------------- */

#define GLIM_LOOP_PERIOD_MAX 512 /* tokens */
typedef struct glim_loop {
    int32_t last[GLIM_LOOP_PERIOD_MAX];
    int64_t run[GLIM_LOOP_PERIOD_MAX]; /* [p - 1] for period p */
    int64_t n;
} glim_loop;
void glim_loop_init(glim_loop *l);
bool glim_loop_push(glim_loop *l, int32_t id); /* true: the answer repeats itself */

#define GLIM_LOGPROBS_MAX 20

/* ---- gen_opts.c ------------------------------------------------------------------------------ */

/* Merges what the caller set over what the model proposes and checks the ranges. Errors: INPUT by
 * name. */
GLIM_MUST_USE glim_err glim_gen_resolve(const glim_model *m, const glim_gen_opts *given,
                                        glim_gen_opts *out, glim_error *e);

#endif
