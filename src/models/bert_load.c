/* SPDX-License-Identifier: MIT
 * bert_load.c - BERT, ERNIE and XLM-RoBERTa: values and tensors, and what differs between the three.
 * Owns: names of keys and tensors in both containers; the place of the first position; ERNIE's task
 *       embedding, which is added to the token types; the names of the classification head.
 * Thread: any.
 * Fails: FORMAT and UNSUPPORTED with file, key or tensor, and what was expected; NOMEM.
 * See: load_priv.h */
#include "models/bert_priv.h"

#include <math.h>
#include <stdio.h>

/* What a folder's model_type decides. */
typedef struct family {
    const glim_enc_arch *arch;
    const char *prefix; /* of a model inside another one (with a head); others have none */
    bool after_pad;     /* positions begin behind the row of the padding token */
    int64_t pad_id;     /* where config.json has none */
    const char *head_in, *head_out;
    bool head_in_model; /* head_in is the model's own pooler, with its prefix; else beside it */
} family;

static const family families[] = {
    {&glim_enc_bert, "bert.", false, 0, "pooler.dense", "classifier", true},
    {&glim_enc_ernie, "ernie.", false, 0, "pooler.dense", "classifier", true},
    {&glim_enc_xlm_roberta, "roberta.", true, 1, "classifier.dense", "classifier.out_proj", false},
};

#define INT(gguf, hf, field, min, max, req)                                                        \
    {                                                                                              \
        gguf, hf, GLIM_HP_INT, offsetof(bert_hparams, field), min, max, req                        \
    }
#define BOOL(gguf, hf, field)                                                                      \
    {                                                                                              \
        gguf, hf, GLIM_HP_BOOL, offsetof(bert_hparams, field), 0, 0, false                         \
    }
/* Upper ends are far above any model there is and low enough that products of two stay within 63
 * bits. */
#define DIM_MAX (1 << 24)

static const glim_hp_row hp_rows[] = {
    INT("block_count", "num_hidden_layers", n_layer, 1, 1024, true),
    INT("context_length", "max_position_embeddings", n_pos, 1, DIM_MAX, true),
    INT("embedding_length", "hidden_size", n_embd, 1, DIM_MAX, true),
    INT("feed_forward_length", "intermediate_size", n_ff, 1, DIM_MAX, true),
    INT("attention.head_count", "num_attention_heads", n_head, 1, 4096, true),
    INT("vocab_size", NULL, n_vocab, 1, DIM_MAX, false),
    INT(NULL, "vocab_size", n_vocab, 1, DIM_MAX, true),
    INT(NULL, "type_vocab_size", n_type, 1, DIM_MAX, false),
    INT(NULL, "task_type_vocab_size", n_task, 1, DIM_MAX, false),
    INT(NULL, "pad_token_id", pad_id, 0, DIM_MAX, false),
    {"attention.layer_norm_epsilon", NULL, GLIM_HP_FLOAT, offsetof(bert_hparams, eps), 0, 1e-2,
     true},
    {NULL, "layer_norm_eps", GLIM_HP_FLOAT, offsetof(bert_hparams, eps), 0, 1e-2, false},
    BOOL(NULL, "use_task_id", use_task),
    BOOL("attention.causal", NULL, causal),
    BOOL(NULL, "is_decoder", is_decoder),
};

static glim_err unsupported(const glim_modelfile *f, const char *key, glim_str value,
                            const char *only, glim_error *e)
{
    return glim_fail(e, GLIM_E_UNSUPPORTED, "%s/config.json: %s %s is not supported; %s is",
                     glim_modelfile_path(f), key, GLIM_QUOTE(value), only);
}

/* Values in config.json that change the arithmetic in ways that bert.c does not do. */
static glim_err check_config(const glim_modelfile *f, const bert_hparams *hp, glim_error *e)
{
    static const struct {
        const char *key, *only;
    } rules[] = {{"hidden_act", "gelu"}, {"position_embedding_type", "absolute"}};
    const glim_json *cfg = glim_modelfile_config(f), *v;
    for (size_t i = 0; i < GLIM_COUNT(rules); i++) {
        v = glim_json_get(cfg, rules[i].key);
        if (v && v->type != GLIM_JSON_NULL &&
            !(v->type == GLIM_JSON_STRING && glim_str_is(v->text, rules[i].only)))
            return unsupported(f, rules[i].key, v->text, rules[i].only, e);
    }
    v = glim_json_get(cfg, "quantization_config");
    if (v && v->type != GLIM_JSON_NULL)
        return glim_fail(e, GLIM_E_UNSUPPORTED,
                         "%s/config.json: quantization_config: quantised checkpoints are not "
                         "supported; use the original one or a GGUF",
                         glim_modelfile_path(f));
    return hp->is_decoder ? unsupported(f, "is_decoder", GLIM_STR("true"), "false", e) : GLIM_OK;
}

static glim_err read_hparams(const glim_modelfile *f, const family *fam, bert_hparams *hp,
                             glim_error *e)
{
    bool gguf = glim_modelfile_container(f) == GLIM_CONTAINER_GGUF;
    /* What the library that writes config.json assumes where a key is missing. */
    *hp = (bert_hparams){.eps = 1e-12, .n_type = 2, .n_task = 3, .pad_id = fam->pad_id};
    glim_err rc = glim_hp_read(f, hp_rows, GLIM_COUNT(hp_rows), hp, e);
    if (!rc && !gguf) rc = check_config(f, hp, e);
    if (rc) return rc;
    if (hp->causal)
        return glim_fail(e, GLIM_E_UNSUPPORTED,
                         "%s: attention.causal true is not supported for an encoder",
                         glim_modelfile_path(f));
    if (hp->n_embd % hp->n_head)
        return glim_fail(e, GLIM_E_FORMAT,
                         "%s: contradictory values: embedding length and heads (%lld and %lld)",
                         glim_modelfile_path(f), (long long)hp->n_embd, (long long)hp->n_head);
    return GLIM_OK;
}

/* ---- tensors ---------------------------------------------------------------------------------- */

/* A loader with the prefix that this folder's names have, and room for one name. */
typedef struct bert_loader {
    glim_loader ld;
    const char *prefix;
    char text[2][160];
} bert_loader;

/* "a" + "b" + "c" as the folder's name; borrowed until the next call with the same slot. */
static glim_weight_name named(bert_loader *b, int slot, const char *gguf, const char *hf,
                              const char *part)
{
    snprintf(b->text[slot], sizeof b->text[slot], "%s%s%s", b->prefix, hf, part);
    return (glim_weight_name){gguf, b->text[slot]};
}

static void load_norm(bert_loader *b, const char *gguf_w, const char *gguf_b, const char *hf,
                      int64_t layer, int64_t n, bert_norm *out)
{
    /* Checkpoints that came from TensorFlow call them gamma and beta. */
    glim_weight_name old = named(b, 0, gguf_w, hf, ".gamma");
    bool is_old = glim_modelfile_container(b->ld.f) != GLIM_CONTAINER_GGUF &&
                  glim_weight_find(&b->ld, old, layer, false);
    glim_weight_vec(&b->ld, named(b, 0, gguf_w, hf, is_old ? ".gamma" : ".weight"), layer, n, true,
                    &out->w);
    glim_weight_vec(&b->ld, named(b, 1, gguf_b, hf, is_old ? ".beta" : ".bias"), layer, n, true,
                    &out->b);
}

static void load_linear(bert_loader *b, const char *gguf_w, const char *gguf_b, const char *hf,
                        int64_t layer, int64_t n_col, int64_t n_row, bert_linear *out)
{
    glim_weight_mat(&b->ld, named(b, 0, gguf_w, hf, ".weight"), layer, n_col, n_row, true, &out->w);
    glim_weight_vec(&b->ld, named(b, 1, gguf_b, hf, ".bias"), layer, n_row, true, &out->b);
}

#define BLK(gguf, hf) "blk.%d." gguf ".weight", "blk.%d." gguf ".bias", "encoder.layer.%d." hf

static void load_layer(bert_loader *b, const bert_hparams *hp, int64_t i, bert_layer *l)
{
    int64_t d = hp->n_embd;
    load_linear(b, BLK("attn_q", "attention.self.query"), i, d, d, &l->q);
    load_linear(b, BLK("attn_k", "attention.self.key"), i, d, d, &l->k);
    load_linear(b, BLK("attn_v", "attention.self.value"), i, d, d, &l->v);
    load_linear(b, BLK("attn_output", "attention.output.dense"), i, d, d, &l->out);
    load_norm(b, BLK("attn_output_norm", "attention.output.LayerNorm"), i, d, &l->attn_norm);
    load_linear(b, BLK("ffn_up", "intermediate.dense"), i, d, hp->n_ff, &l->up);
    load_linear(b, BLK("ffn_down", "output.dense"), i, hp->n_ff, d, &l->down);
    load_norm(b, BLK("layer_output_norm", "output.LayerNorm"), i, d, &l->out_norm);
}

static void decode_rows(const glim_mat *m, int64_t n_row, float *out)
{
    for (int64_t r = 0; r < n_row; r++)
        glim_type_get(m->type)->decode(m->data + (size_t)r * m->row_bytes, out + r * m->n_col,
                                       m->n_col);
}

/* Token types as f32, with ERNIE's task 0 in every row: one addition less a token, and for each
 * type the same sum. */
static void load_types(bert_loader *b, bert_model *m)
{
    bert_hparams *hp = &m->hp;
    glim_weight_name name =
        named(b, 0, "token_types.weight", "embeddings.token_type_embeddings.weight", "");
    const glim_tensor *t = glim_weight_find(&b->ld, name, 0, true);
    glim_mat types, task = {0};
    if (!t) return;
    /* A GGUF has the number in its vocabulary only; the tensor says the same. */
    if (glim_modelfile_container(b->ld.f) == GLIM_CONTAINER_GGUF) hp->n_type = t->ne[1];
    glim_weight_mat(&b->ld, name, 0, hp->n_embd, hp->n_type, true, &types);
    if (hp->use_task)
        glim_weight_mat(&b->ld, named(b, 0, NULL, "embeddings.task_type_embeddings.weight", ""), 0,
                        hp->n_embd, hp->n_task, true, &task);
    const size_t n = (size_t)(hp->n_type * hp->n_embd);
    float *out = b->ld.rc ? NULL : glim_loader_alloc(&b->ld, n, sizeof(float));
    float *row = out && task.data ? glim_alloc_array((size_t)hp->n_embd, sizeof(float)) : NULL;
    if (out && task.data && !row)
        b->ld.rc = glim_fail(b->ld.e, GLIM_E_NOMEM, "%s: no memory for the task embedding",
                             glim_modelfile_path(b->ld.f));
    m->type = (glim_mat){GLIM_F32, hp->n_type, hp->n_embd, (size_t)hp->n_embd * sizeof(float),
                         (const uint8_t *)out};
    if (out && !b->ld.rc) decode_rows(&types, hp->n_type, out);
    if (row) {
        decode_rows(&task, 1, row);
        for (size_t i = 0; i < n; i++)
            out[i] += row[i % (size_t)hp->n_embd];
    }
    glim_free(row);
}

static void load_embeddings(bert_loader *b, bert_model *m)
{
    bert_hparams *hp = &m->hp;
    glim_weight_name word =
        named(b, 0, "token_embd.weight", "embeddings.word_embeddings.weight", "");
    const glim_tensor *t = glim_weight_find(&b->ld, word, 0, true);
    if (!t) return;
    if (hp->n_vocab == 0) hp->n_vocab = t->ne[1]; /* GGUF: the key is not required */
    glim_weight_mat(&b->ld, word, 0, hp->n_embd, hp->n_vocab, true, &m->word);
    glim_weight_mat(
        &b->ld, named(b, 0, "position_embd.weight", "embeddings.position_embeddings.weight", ""), 0,
        hp->n_embd, hp->n_pos, true, &m->position);
    load_types(b, m);
    load_norm(b, "token_embd_norm.weight", "token_embd_norm.bias", "embeddings.LayerNorm", 0,
              hp->n_embd, &m->embed_norm);
}

/* ---- the classification head ------------------------------------------------------------------ */

/* A folder says by its class whether it has a head; a GGUF by its tensors. */
static bool has_head(bert_loader *b)
{
    if (glim_modelfile_container(b->ld.f) == GLIM_CONTAINER_GGUF)
        return glim_weight_find(&b->ld, (glim_weight_name){"cls.output.weight", NULL}, 0, false) ||
               glim_weight_find(&b->ld, (glim_weight_name){"cls.weight", NULL}, 0, false);
    const glim_json *kind =
        glim_json_at(glim_json_get(glim_modelfile_config(b->ld.f), "architectures"), 0);
    return glim_json_is(kind, GLIM_JSON_STRING) &&
           glim_str_ends(kind->text, GLIM_STR("ForSequenceClassification"));
}

/* Labels that config.json promises; 0: the tensor decides. */
static int64_t n_label_of(const glim_modelfile *f)
{
    const glim_json *cfg = glim_modelfile_config(f), *names = glim_json_get(cfg, "id2label");
    int64_t n;
    if (glim_modelfile_container(f) == GLIM_CONTAINER_GGUF) return 0;
    if (glim_json_is(names, GLIM_JSON_OBJECT) && names->n_child > 0) return names->n_child;
    return glim_json_i64(glim_json_get(cfg, "num_labels"), &n) && n > 0 ? n : 0;
}

static void load_head(bert_loader *b, const family *fam, bert_model *m)
{
    if (b->ld.rc || !has_head(b)) return;
    const char *prefix = b->prefix;
    int64_t n_label = n_label_of(b->ld.f), d = m->hp.n_embd;
    if (!fam->head_in_model) b->prefix = "";
    load_linear(b, "cls.weight", "cls.bias", fam->head_in, 0, d, d, &m->head_in);
    b->prefix = "";
    const glim_tensor *t = glim_weight_find(
        &b->ld, named(b, 0, "cls.output.weight", fam->head_out, ".weight"), 0, true);
    if (t && n_label == 0) n_label = t->ne[1];
    if (t)
        load_linear(b, "cls.output.weight", "cls.output.bias", fam->head_out, 0, d, n_label,
                    &m->head_out);
    b->prefix = prefix;
    m->enc.n_label = n_label;
}

/* ---- load ------------------------------------------------------------------------------------- */

static const family *family_of(const glim_enc_arch *arch)
{
    size_t i = 0;
    while (i + 1 < GLIM_COUNT(families) && families[i].arch != arch)
        i++;
    return &families[i];
}

/* With a head the model is a part of another one, and its tensors carry its name. */
static const char *find_prefix(const glim_modelfile *f, const family *fam)
{
    char name[80];
    snprintf(name, sizeof name, "%sembeddings.word_embeddings.weight", fam->prefix);
    return glim_modelfile_find(f, glim_str_of(name)) ? fam->prefix : "";
}

static void load_all(bert_loader *b, const family *fam, bert_model *m)
{
    bert_hparams *hp = &m->hp;
    bool gguf = glim_modelfile_container(b->ld.f) == GLIM_CONTAINER_GGUF;
    /* Converters to GGUF cut the rows before the first position off. */
    m->pos0 = fam->after_pad && !gguf ? hp->pad_id + 1 : 0;
    if (m->pos0 >= hp->n_pos) {
        b->ld.rc =
            glim_fail(b->ld.e, GLIM_E_FORMAT,
                      "%s: contradictory values: positions and the one of padding (%lld and "
                      "%lld)",
                      glim_modelfile_path(b->ld.f), (long long)hp->n_pos, (long long)hp->pad_id);
        return;
    }
    load_embeddings(b, m);
    for (int64_t i = 0; i < hp->n_layer && !b->ld.rc; i++)
        load_layer(b, hp, i, &m->layers[i]);
    load_head(b, fam, m);
}

glim_err glim_bert_load(const glim_enc_arch *arch, const glim_modelfile *f,
                        const glim_load_opts *opts, glim_enc_core **out, glim_error *e)
{
    const family *fam = family_of(arch);
    bert_hparams hp;
    glim_err rc = read_hparams(f, fam, &hp, e);
    if (rc) return rc;
    glim_arena *a = glim_arena_new(SIZE_MAX / 2);
    bert_model *m = a ? GLIM_ARENA_NEW0(a, bert_model) : NULL;
    if (m) m->layers = glim_arena_alloc0(a, (size_t)hp.n_layer * sizeof *m->layers);
    if (!m || !m->layers) {
        glim_arena_free(a);
        return glim_fail(e, GLIM_E_NOMEM, "%s: no memory to load it", glim_modelfile_path(f));
    }
    bert_loader b = {.ld = {.f = f, .arena = a, .plan_only = opts->plan_only, .e = e},
                     .prefix = find_prefix(f, fam)};
    m->hp = hp;
    load_all(&b, fam, m);
    if (b.ld.rc) {
        glim_arena_free(a);
        return b.ld.rc;
    }
    m->mha = (glim_mha){hp.n_head, hp.n_embd / hp.n_head,
                        (float)(1 / sqrt((double)hp.n_embd / (double)hp.n_head))};
    m->enc.arch = arch;
    m->enc.n_layer = hp.n_layer;
    m->enc.n_embd = hp.n_embd;
    m->enc.n_vocab = m->hp.n_vocab;
    m->enc.n_ctx = hp.n_pos - m->pos0;
    m->enc.n_type = m->hp.n_type;
    m->enc.derived_bytes = b.ld.derived_bytes;
    m->enc.arena = a;
    *out = &m->enc;
    return GLIM_OK;
}
