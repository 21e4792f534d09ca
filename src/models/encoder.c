/* SPDX-License-Identifier: MIT
 * encoder.c - what all encoders share: finding the one a file names, checking a batch, pooling.
 * Not here: arithmetic of layers (bert.c), how a model's own library pools (pooling.c).
 * Thread: load any; the rest the engine.
 * Fails: UNSUPPORTED for unknown names, INPUT for a batch that the model cannot take.
 * See: encoder.def */
#include "models/models.h"

#define ENCODER(symbol) extern const glim_enc_arch symbol;
#include "models/encoder.def"
#undef ENCODER

static const glim_enc_arch *const archs[] = {
#define ENCODER(symbol) &symbol,
#include "models/encoder.def"
#undef ENCODER
};

const char *glim_enc_names(void)
{
    return "bert (GGUF files); bert, ernie, xlm-roberta (folders)";
}

/* Name that the file gives its architecture; n 0: none. */
static glim_str named(const glim_modelfile *f)
{
    glim_str name = {0};
    if (glim_modelfile_container(f) == GLIM_CONTAINER_GGUF) {
        if (!glim_meta_str(glim_modelfile_meta(f, "general.architecture"), &name))
            name = (glim_str){0};
        return name;
    }
    const glim_json *type = glim_json_get(glim_modelfile_config(f), "model_type");
    return glim_json_is(type, GLIM_JSON_STRING) ? type->text : name;
}

static const glim_enc_arch *find(const glim_modelfile *f)
{
    bool gguf = glim_modelfile_container(f) == GLIM_CONTAINER_GGUF;
    glim_str name = named(f);
    for (size_t i = 0; i < GLIM_COUNT(archs); i++)
        for (const char *const *n = gguf ? archs[i]->gguf_names : archs[i]->hf_names; *n; n++)
            if (glim_str_ieq(name, glim_str_of(*n))) return archs[i];
    return NULL;
}

bool glim_enc_is(const glim_modelfile *f)
{
    return find(f) != NULL;
}

glim_err glim_enc_load(const glim_modelfile *f, const glim_load_opts *opts, glim_enc_core **out,
                       glim_error *e)
{
    const glim_enc_arch *arch = find(f);
    if (!arch)
        return glim_fail(e, GLIM_E_UNSUPPORTED, "%s: %s is no encoder that is supported; known: %s",
                         glim_modelfile_path(f), GLIM_QUOTE(named(f)), glim_enc_names());
    return arch->load(arch, f, opts, out, e);
}

void glim_enc_free(glim_enc_core *m)
{
    if (m) glim_arena_free(m->arena); /* the encoder itself lives there */
}

size_t glim_enc_scratch_bytes(const glim_enc_core *m, int64_t n_tok, int n_thread)
{
    return (size_t)(n_tok * m->n_embd) * sizeof(float) + 2 * GLIM_CACHE_LINE +
           m->arch->scratch_bytes(m, n_tok, n_thread);
}

/* Ids index the tables of the file: what a tokenizer of another file says must not pass. */
static glim_err check_ids(const glim_enc_core *m, const glim_enc_batch *b, int64_t n_tok,
                          glim_error *e)
{
    for (int64_t i = 0; i < n_tok; i++) {
        if (b->tokens[i] < 0 || b->tokens[i] >= m->n_vocab)
            return glim_fail(e, GLIM_E_INPUT,
                             "token %lld has id %d; the model has 0..%lld: is the tokenizer of "
                             "another model?",
                             (long long)i, b->tokens[i], (long long)m->n_vocab - 1);
        if (b->types && (b->types[i] < 0 || b->types[i] >= m->n_type))
            return glim_fail(e, GLIM_E_INPUT, "token %lld has type %d; the model has 0..%lld",
                             (long long)i, b->types[i], (long long)m->n_type - 1);
    }
    for (int64_t i = 0; i < b->n_want; i++)
        if (b->want[i] < 0 || b->want[i] >= n_tok)
            return glim_fail(e, GLIM_E_INPUT, "row %lld is wanted; there are %lld",
                             (long long)b->want[i], (long long)n_tok);
    return GLIM_OK;
}

static glim_err check_batch(const glim_enc_core *m, const glim_enc_batch *b, glim_error *e)
{
    for (int64_t i = 0; i < b->n_seq; i++) {
        int64_t n = b->offset[i + 1] - b->offset[i];
        if (n < 1)
            return glim_fail(e, GLIM_E_INPUT, "text %lld has no tokens: give it at least one",
                             (long long)i);
        if (n > m->n_ctx)
            return glim_fail(e, GLIM_E_INPUT,
                             "text %lld has %lld tokens; the model takes %lld: shorten it",
                             (long long)i, (long long)n, (long long)m->n_ctx);
    }
    return check_ids(m, b, b->n_seq > 0 ? b->offset[b->n_seq] : 0, e);
}

/* Mean of n rows, summed in double from the first to the last. */
static void mean_row(const float *x, int64_t n, int64_t n_embd, float *y)
{
    for (int64_t d = 0; d < n_embd; d++) {
        double sum = 0;
        for (int64_t t = 0; t < n; t++)
            sum += (double)x[t * n_embd + d];
        y[d] = (float)(sum / (double)n);
    }
}

typedef struct pool_job {
    const glim_enc_batch *b;
    const float *x;
    int64_t n_embd;
} pool_job;

static void pool_sequences(void *arg, int64_t begin, int64_t end, int i_thread)
{
    const pool_job *j = arg;
    (void)i_thread;
    for (int64_t i = begin; i < end; i++) {
        int64_t first = j->b->offset[i], last = j->b->offset[i + 1] - 1;
        float *y = j->b->vectors + i * j->n_embd;
        if (j->b->pooling == GLIM_POOLING_MEAN)
            mean_row(j->x + first * j->n_embd, last - first + 1, j->n_embd, y);
        else
            memcpy(y, j->x + (j->b->pooling == GLIM_POOLING_CLS ? first : last) * j->n_embd,
                   (size_t)j->n_embd * sizeof(float));
    }
}

glim_err glim_enc_forward(const glim_enc_core *m, glim_ops *o, const glim_enc_batch *b,
                          glim_error *e)
{
    glim_err rc = check_batch(m, b, e);
    if (rc || b->n_seq < 1) return rc;
    glim_mark mark = glim_arena_mark(o->step);
    float *x = GLIM_ARENA_ARRAY(o->step, float, b->offset[b->n_seq] * m->n_embd);
    if (!x)
        return glim_fail(e, GLIM_E_INTERNAL,
                         "step of %lld tokens: the scratch plan was too small; please report this",
                         (long long)b->offset[b->n_seq]);
    rc = m->arch->states(m, o, b, x, e);
    if (!rc && b->pooling != GLIM_POOLING_UNSET) {
        pool_job j = {b, x, m->n_embd};
        glim_pool_run(o->pool, b->n_seq, 16, pool_sequences, &j);
    }
    for (int64_t i = 0; !rc && i < b->n_want; i++)
        memcpy(b->hidden + i * m->n_embd, x + b->want[i] * m->n_embd,
               (size_t)m->n_embd * sizeof(float));
    glim_arena_rewind(o->step, mark);
    return rc;
}

glim_err glim_enc_classify(const glim_enc_core *m, glim_ops *o, const float *first, int64_t n,
                           float *logits, glim_error *e)
{
    if (m->n_label < 1)
        return glim_fail(e, GLIM_E_UNSUPPORTED,
                         "the model has no classification head: use one made for ranking");
    glim_mark mark = glim_arena_mark(o->step);
    glim_err rc = m->arch->classify(m, o, first, n, logits, e);
    glim_arena_rewind(o->step, mark);
    return rc;
}
