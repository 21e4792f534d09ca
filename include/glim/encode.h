/* SPDX-License-Identifier: MIT
 * encode.h - encoder models: texts to vectors, how well documents answer a question, keywords of a text; and
 * which kind of model a file is.
 *
 * An encoder reads a text at once and keeps nothing of it: there are no sessions. What it reads are ids with
 * the model's own first and last tokens, so a text is encoded first (any thread) and computed then (one
 * thread a model).
 *
 *     glim_encoder *m;  glim_encoded t;  float *v;  glim_error e;
 *     if (glim_encoder_open("all-MiniLM-L6-v2", NULL, &m, &e)) fail(e.msg);
 *     if (glim_encode(m, text, NULL, 0, &t, &e)) fail(e.msg);
 *     if (glim_embed(m, &t, 1, NULL, v, &e)) fail(e.msg);
 */
#ifndef GLIM_ENCODE_H
#define GLIM_ENCODE_H

#include "chat.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- kinds of models --------------------------------------------------------------------------- */

typedef enum glim_model_kind {
    GLIM_KIND_UNKNOWN,   /* no architecture that this build runs */
    GLIM_KIND_CHAT,      /* generates: glim_model_open() */
    GLIM_KIND_EMBEDDING, /* vectors: glim_encoder_open() */
    GLIM_KIND_RERANK     /* the same with a head that gives a pair of texts one logit */
} glim_model_kind;
/* "unknown", "chat", "embedding", "rerank" */
GLIM_API const char *glim_model_kind_name(glim_model_kind k);

/* What a file or folder is, by a look at its head; no weight is read. */
typedef struct glim_model_look {
    glim_model_kind kind;
    char arch[64];  /* as the file names it, cut to fit; "" where it names none */
    uint64_t bytes; /* of all tensors */
    uint64_t file_bytes; /* of the files that hold them */
} glim_model_look;
/* Errors: as glim_model_open(). Thread: any. */
GLIM_API GLIM_MUST_USE glim_err glim_model_look_at(const char *path, glim_model_look *out,
                                                   glim_error *e);

/* ---- encoders ---------------------------------------------------------------------------------- */

typedef struct glim_encoder glim_encoder;

/* Which rows of a text become its vector. */
typedef enum glim_pooling {
    GLIM_POOLING_UNSET = 0, /* in options: as the model's own library does it */
    GLIM_POOLING_MEAN = 1,  /* of all tokens, the model's own first and last ones included */
    GLIM_POOLING_CLS = 2,   /* the first token */
    GLIM_POOLING_LAST = 3   /* the last token */
} glim_pooling;

typedef struct glim_encoder_opts {
    size_t size;     /* sizeof(glim_encoder_opts), set by init */
    int n_thread;    /* 0: one a core */
    const char *cpu; /* kernel level by name; NULL: the best this machine runs */
    int64_t n_max;   /* becomes the n_max of the model's information; 0: its own library's */
    /* Called while loading with done of total bytes looked at; may be NULL. False cancels. */
    bool (*progress)(void *user, uint64_t done, uint64_t total);
    void *progress_user;
} glim_encoder_opts;
GLIM_API void glim_encoder_opts_init(glim_encoder_opts *o);

typedef struct glim_encoder_info {
    glim_model_kind kind; /* EMBEDDING or RERANK */
    const char *arch;     /* "bert", "ernie", "xlm-roberta" */
    const char *name;     /* as the file has it, may be "" */
    const char *cpu;      /* kernel level in use */
    const char *format;   /* "gguf", "safetensors" */
    const char *quant;    /* "F32", "Q8_0": the type that most bytes are of */
    glim_str license;     /* "" where the file says nothing */
    int64_t n_layer, n_head, n_embd, n_vocab;
    int64_t n_ctx;   /* positions: tokens of a text, the model's own first and last ones included */
    int64_t n_max;   /* the same as the model's own library has it: longer texts are cut there */
    int64_t n_label; /* logits of the head; 0: none */
    glim_pooling pooling; /* the model's own, never UNSET */
    bool normalize;       /* whether the model's own library scales vectors to length 1 */
    uint64_t n_param;     /* elements of all tensors */
    uint64_t weights;     /* bytes mapped from the file */
    uint64_t derived,
        scratch; /* bytes of memory beside them: at once, and while computing at most */
    int n_thread;
} glim_encoder_info;

/* Opens a GGUF file or a folder with safetensors. opts NULL: defaults. Errors: NOTFOUND, IO, FORMAT (damaged or
 * contradictory: file, field or tensor, cure), UNSUPPORTED (no encoder, or something in it by name), INPUT (an option
 * out of range), CONTEXT (opts->n_max beyond the model's positions), NOMEM, CANCELLED. Thread: any. */
GLIM_API GLIM_MUST_USE glim_err glim_encoder_open(const char *path, const glim_encoder_opts *opts,
                                                  glim_encoder **out, glim_error *e);
GLIM_API void glim_encoder_close(glim_encoder *m); /* NULL is fine */
/* The same figures without opening the weights for use; name and license stay "". Errors: as glim_encoder_open(). */
GLIM_API GLIM_MUST_USE glim_err glim_encoder_plan(const char *path, const glim_encoder_opts *opts,
                                                  glim_encoder_info *out, glim_error *e);
/* Borrows until glim_encoder_close(). */
GLIM_API const glim_encoder_info *glim_encoder_get_info(const glim_encoder *m);

/* A text, or two, as the model reads it; the caller owns ids and ends them with glim_encoded_free(), or borrows
 * them from elsewhere (then n_first is n). */
typedef struct glim_encoded {
    int32_t *ids;
    size_t n;
    size_t n_first; /* how many of them have token type 0; the others 1 */
    size_t n_full;  /* how many there would be had nothing been cut */
} glim_encoded;
GLIM_API void glim_encoded_free(glim_encoded *t);

/* One text (second NULL) or a pair. Text of special tokens is ordinary text. n_max: cut to so many ids, the model's own
 * ones stay; of a pair the longer text is cut first; 0: do not cut. Nothing here refuses a text that is too long for the
 * model. Errors: INPUT (invalid UTF-8: the offset), LIMIT, NOMEM; *out is then empty. Thread: any. */
GLIM_API GLIM_MUST_USE glim_err glim_encode(const glim_encoder *m, glim_str text,
                                            const glim_str *second, size_t n_max, glim_encoded *out,
                                            glim_error *e);
/* Text of one id, as the model's files spell it; n 0 for ids without a token. Borrows until close. */
GLIM_API glim_str glim_encoder_token(const glim_encoder *m, int32_t id);

typedef struct glim_embed_opts {
    size_t size; /* sizeof(glim_embed_opts), set by init */
    glim_pooling pooling;
    glim_tristate normalize; /* to length 1; unset: as the model's own library */
    int64_t
        n_dim; /* keep the first n_dim elements of each vector (then it is scaled, if it is); 0: all */
    /* Polled between layers; true stops with CANCELLED. May be NULL. */
    bool (*cancelled)(void *user);
    void *user;
} glim_embed_opts;
GLIM_API void glim_embed_opts_init(glim_embed_opts *o);

/* Vectors of n texts, computed together without padding: each has the same bits as alone. opts NULL: defaults.
 * Shape: out [n][n_dim] dense; n_dim is the model's n_embd unless opts says less.
 * Errors: CONTEXT (a text has more ids than positions, or none: which), INPUT (an id out of range: which; an option),
 * CANCELLED, IO (the model file was cut), NOMEM. Thread: one call at a time a model. */
GLIM_API GLIM_MUST_USE glim_err glim_embed(glim_encoder *m, const glim_encoded *in, size_t n,
                                           const glim_embed_opts *opts, float *out, glim_error *e);

/* Logits of n pairs from a model of kind RERANK. Of opts only cancelled and user count; NULL: none.
 * Shape: logits [n]. Errors: UNSUPPORTED (the model has no such head), else as glim_embed(). Thread: one call at a time. */
GLIM_API GLIM_MUST_USE glim_err glim_rerank(glim_encoder *m, const glim_encoded *in, size_t n,
                                            const glim_embed_opts *opts, float *logits,
                                            glim_error *e);
/* What a logit is as a score: 1 / (1 + exp(-logit)). Thread: any. */
GLIM_API double glim_rerank_score(float logit);

/* ---- keywords: candidate words of a text, and a choice among them by vectors ------------------- */

/* A list of words; the caller owns it and ends it with glim_words_free(). */
typedef struct glim_words {
    glim_str *p; /* borrow from the text or from the vocabulary that they were found in */
    size_t n;
} glim_words;
GLIM_API void glim_words_free(glim_words *w);

#define GLIM_KEYWORD_WORDS 512 /* most words of a text that are candidates without a vocabulary */

/* Words that may be keywords of a text. With a vocabulary (n_vocab > 0): those of its words that stand
 * in the text, in the vocabulary's order and spelling, each once, letter case ignored. They have at
 * least 2 characters. Where a word begins or ends with a digit or a letter of an alphabet it must begin
 * or end there in the text too: 360 is not found in 3600. Words of Chinese are found anywhere.
 * Without: the words of the text, Chinese cut by a dictionary, that hold a letter or a number, have 2
 * to 32 characters and carry a meaning, the most frequent first, at most GLIM_KEYWORD_WORDS.
 * Errors: INPUT (invalid UTF-8: of what, and the offset), LIMIT (a text or vocabulary of 2 GiB), NOMEM,
 * FAIL (the tables that words are cut by are missing on this system). Thread: any. */
GLIM_API GLIM_MUST_USE glim_err glim_keyword_candidates(glim_str text, const glim_str *vocab,
                                                        size_t n_vocab, glim_words *out,
                                                        glim_error *e);

/* Cosine of the angle between two vectors, -1 to 1; 0 when one has no direction (all zero, or a number
 * that is not finite). The same bits with every compiler. Thread: any. */
GLIM_API double glim_cosine(const float *a, const float *b, size_t n_dim);

#define GLIM_MAXSUM_CANDIDATES 20

typedef struct glim_keyword_opts {
    size_t size; /* sizeof(glim_keyword_opts), set by init */
    int64_t top; /* how many, at least 1; 10. More than there are: all of them */
    bool mmr;    /* maximal marginal relevance: each is near the text and far from those chosen */
    bool maxsum; /* of the GLIM_MAXSUM_CANDIDATES nearest those that are least alike; top is then
                       * at most as many, and a single one is the last of them. With mmr too, mmr decides */
    double diversity; /* of mmr, 0 (as without) to 1; 0.3 */
} glim_keyword_opts;
GLIM_API void glim_keyword_opts_init(glim_keyword_opts *o);

typedef struct glim_keyword {
    size_t i_word;
    double similarity; /* cosine of text and word */
} glim_keyword;
/* Chooses words by their vectors: doc [n_dim], words [n_word][n_dim]. out has room for min(top, n_word);
 * the most similar come first, of equal ones the earlier word. opts NULL: defaults. Errors: INPUT (an
 * option out of range, n_dim 0), NOMEM. Thread: any. */
GLIM_API GLIM_MUST_USE glim_err glim_keyword_select(const float *doc, const float *words,
                                                    size_t n_word, size_t n_dim,
                                                    const glim_keyword_opts *opts,
                                                    glim_keyword *out, size_t *n_out,
                                                    glim_error *e);

/* Keywords of a text: its candidates (glim_keyword_candidates()) and their vectors in one call.
 * Cuts text and words where the model's own library does. The caller ends out with glim_keywords_free(). */
typedef struct glim_found_keyword {
    glim_str word; /* borrows from the text or the vocabulary */
    double similarity;
} glim_found_keyword;
typedef struct glim_keywords {
    glim_found_keyword *p; /* the most similar first */
    size_t n;
    bool cut;       /* the text was longer than the model reads */
    size_t n_token; /* ids computed, all texts together */
} glim_keywords;
GLIM_API void glim_keywords_free(glim_keywords *k);
/* opts NULL: defaults. Errors: as glim_keyword_candidates(), glim_keyword_select() and glim_embed(). Thread: one call at
 * a time a model. */
GLIM_API GLIM_MUST_USE glim_err glim_keywords_of(glim_encoder *m, glim_str text,
                                                 const glim_str *vocab, size_t n_vocab,
                                                 const glim_keyword_opts *opts,
                                                 bool (*cancelled)(void *user), void *user,
                                                 glim_keywords *out, glim_error *e);

#ifdef __cplusplus
}
#endif
#endif
