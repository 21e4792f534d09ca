/* SPDX-License-Identifier: MIT
 * tinymodel.h - seeded toy models of the GLM-4.7-Flash and DeepSeek family as GGUF files, with a
 * tokenizer that works: every shape, layout and type that a loader meets, and edits that make them
 * wrong. The same seed gives the same file everywhere; a matrix depends on its own name and the
 * seed only, so two files that differ in one option hold the same numbers elsewhere. */
#ifndef GLIM_TESTS_TINYMODEL_H
#define GLIM_TESTS_TINYMODEL_H

#include "quant/quant.h"

/* Kinds of weights that have a type of their own. */
typedef enum toy_class {
    TOY_EMBED,
    TOY_HEAD,
    TOY_ATTN, /* all of the attention but the next */
    TOY_KV_B, /* latent to keys and values, split or not */
    TOY_FFN,
    TOY_SHARED,
    TOY_EXP_GATE, /* fused experts: both halves */
    TOY_EXP_UP,
    TOY_EXP_DOWN,
    TOY_ROUTER,
    TOY_NORM, /* vectors */
    TOY_CLASS_COUNT
} toy_class;

/* What is changed in the finished file; the last edit of a name wins. A key without "general.",
 * "split." or "tokenizer." before it stands behind the architecture's name. */
typedef enum toy_op {
    TOY_DROP, /* a key or a tensor */
    TOY_U32,  /* a key's value: num or str; added when the file has no such key */
    TOY_I32,
    TOY_F32,
    TOY_BOOL,
    TOY_STR,
    TOY_ELEM,  /* element i of an array becomes num or str */
    TOY_CUT,   /* an array keeps num elements */
    TOY_GROW,  /* a tensor: one row more, a vector: one element more */
    TOY_RENAME /* a tensor */
} toy_op;

typedef struct toy_edit {
    const char *name;
    toy_op op;
    double num;
    const char *str;
    size_t i;
} toy_edit;

typedef struct toy_spec {
    uint64_t seed;
    const char *arch;
    int64_t n_layer, n_dense, n_embd, n_ff, n_head, kv_rank, n_nope, n_rot, n_v, n_ctx, n_vocab;
    int64_t q_rank; /* 0: queries without a low rank */
    int64_t n_expert, n_used, n_shared, n_ff_expert, n_group, n_group_used;
    int gating; /* as in the file; 0: no key */
    bool bias, norm_weights;
    double expert_scale;
    double yarn_factor; /* 0: no YaRN keys */
    bool legacy;        /* attn_kv_b and a head's own lengths */
    bool fused;         /* ffn_gate_up_exps */
    bool tied;          /* no output.weight */
    bool nextn;         /* one prediction layer behind the others */
    bool no_vocab_size, no_eot;
    int64_t n_extra_token; /* of the tokenizer, beyond n_vocab */
    bool sampling;         /* general.sampling.* */
    const char *chat_template;
    glim_type type[TOY_CLASS_COUNT];
    /* Values pass through this type before they are stored in `type` (which must be a float type
     * then): what a quantised file decodes to. GLIM_TYPE_COUNT: not. */
    glim_type via[TOY_CLASS_COUNT];
    unsigned n_part; /* 0: one file; else that many, "<name>-00001-of-0000n.gguf" */
    const toy_edit *edits;
    size_t n_edit;
} toy_spec;

/* GLM-like, all F32: 3 layers, the first dense, every width a multiple of 32. */
void toy_init(toy_spec *s);
/* The same with every width a multiple of 256, two layers: any type goes anywhere. */
void toy_init_wide(toy_spec *s);
/* DeepSeek-V2-like: toy_init() with softmax router, no low rank for queries, YaRN, old layout. */
void toy_init_deepseek(toy_spec *s);
/* All matrices but the router. */
void toy_types(toy_spec *s, glim_type t);
void toy_via(toy_spec *s, glim_type t);
/* Writes dir/name.gguf, or its parts; path gets the (first) file's. Fails the test on error. */
void toy_write(const toy_spec *s, const char *dir, const char *name, char path[400]);
/* n elements (a multiple of the block) of type t whose root mean square is near rms. */
void toy_fill(glim_type t, uint64_t seed, int64_t n, float rms, void *out);

#endif
