/* SPDX-License-Identifier: MIT
 * synth.c - writes a model file with real shapes and random weights.
 * Owns:   the order of the work: vocabulary, keys, weights made by a pool and written by the caller.
 * Not here: shapes and spreads (models/synth.c), bytes of the file (formats/gguf_write.c), fillers of
 * the vocabulary (text/padvocab.c).
 * Thread: the caller's, and a pool of its own.
 * Fails:  as the rooms below; there is then no file.   See: tests/unit/engine/test_synth.c */
#include "engine/engine_int.h"

#define STEP_BYTES ((size_t)16 << 20)   /* weights made before they are written */
#define GRAIN_BYTES ((size_t)128 << 10) /* of them by one thread at a time */
#define VOCAB_MAX ((size_t)1 << 30)     /* memory for names */

void glim_synth_opts_init(glim_synth_opts *o)
{
    *o = (glim_synth_opts){.size = sizeof *o, .arch = "glm-4.7-flash", .type = "q4_k_m", .seed = 1};
}

/* ---- vocabulary ------------------------------------------------------------------------------ */

/* The keys of special tokens, and the text of the token that each names. */
static const struct {
    const char *key, *text;
} special_keys[] = {
    {"tokenizer.ggml.bos_token_id", "[gMASK]"},
    {"tokenizer.ggml.eos_token_id", "<|endoftext|>"},
    {"tokenizer.ggml.eot_token_id", "<|user|>"},
    {"tokenizer.ggml.eom_token_id", "<|observation|>"},
    {"tokenizer.ggml.unknown_token_id", "<|endoftext|>"},
    {"tokenizer.ggml.padding_token_id", "[MASK]"},
};

static glim_err put_merges(const glim_tokenizer_spec *v, glim_arena *a, glim_gguf_writer *w,
                           glim_error *e)
{
    glim_str *list = glim_arena_array(a, v->n_merge, sizeof *list);
    if (!list) return glim_fail(e, GLIM_E_NOMEM, "no memory for %zu merges", v->n_merge);
    for (size_t i = 0; i < v->n_merge; i++) {
        glim_str x = v->merges[i].a, y = v->merges[i].b;
        char *p = glim_arena_alloc(a, x.n + y.n + 1);
        if (!p) return glim_fail(e, GLIM_E_NOMEM, "no memory for merge %zu", i);
        memcpy(p, x.p, x.n);
        p[x.n] = ' ';
        memcpy(p + x.n + 1, y.p, y.n);
        list[i] = (glim_str){p, x.n + y.n + 1};
    }
    glim_gguf_put_array(w, "tokenizer.ggml.merges", GLIM_GGUF_STR, list, v->n_merge);
    return GLIM_OK;
}

static glim_err put_vocab(const glim_tokenizer_spec *v, size_t first_special, glim_arena *a,
                          glim_gguf_writer *w, glim_error *e)
{
    int32_t *types = glim_arena_array(a, v->n_token, sizeof *types);
    if (!types) return glim_fail(e, GLIM_E_NOMEM, "no memory for %zu tokens", v->n_token);
    for (size_t i = 0; i < v->n_token; i++)
        types[i] = v->attr[i];
    glim_gguf_put_array(w, "tokenizer.ggml.tokens", GLIM_GGUF_STR, v->text, v->n_token);
    glim_gguf_put_array(w, "tokenizer.ggml.token_type", GLIM_GGUF_I32, types, v->n_token);
    glim_err rc = put_merges(v, a, w, e);
    for (size_t k = 0; !rc && k < GLIM_COUNT(special_keys); k++)
        for (size_t i = first_special; i < v->n_token; i++)
            if (glim_str_is(v->text[i], special_keys[k].text)) {
                glim_gguf_put_u32(w, special_keys[k].key, (uint32_t)i);
                break;
            }
    glim_gguf_put_bool(w, "tokenizer.ggml.add_bos_token", false);
    return rc;
}

/* The vocabulary of the file at path, made as large as the model's. */
static glim_err add_vocab(const glim_synth *s, const char *path, glim_gguf_writer *w, glim_error *e)
{
    glim_modelfile *f = NULL;
    glim_tokenizer_spec base = {0}, padded;
    glim_str pre;
    size_t n_vocab, first_special;
    glim_synth_vocab(s, &n_vocab, &first_special);
    glim_arena *a = glim_arena_new(VOCAB_MAX);
    glim_err rc = a ? glim_modelfile_open(path, GLIM_OPEN_NO_TENSORS, &f, e)
                    : glim_fail(e, GLIM_E_NOMEM, "no memory for the vocabulary");
    if (!rc && !glim_meta_str(glim_modelfile_meta(f, "tokenizer.ggml.pre"), &pre))
        rc = glim_fail(e, GLIM_E_INPUT, "%s: the vocabulary must come from a GGUF file", path);
    if (!rc) rc = glim_vocab_spec_gguf(f, a, &base, e);
    if (!rc) {
        rc = glim_vocab_pad(a, &base, first_special, n_vocab, &padded, e);
        if (rc) glim_error_prefix(e, "%s", path);
    }
    if (!rc) {
        glim_str jinja = glim_modelfile_chat_template(f);
        glim_gguf_put_str(w, "tokenizer.ggml.model", GLIM_STR("gpt2"));
        glim_gguf_put_str(w, "tokenizer.ggml.pre", pre);
        rc = put_vocab(&padded, first_special, a, w, e);
        if (jinja.n) glim_gguf_put_str(w, "tokenizer.chat_template", jinja);
    }
    const glim_err lost = f ? glim_modelfile_check_all(f, e) : GLIM_OK;
    if (lost) rc = lost;
    glim_modelfile_close(f);
    glim_arena_free(a);
    return rc;
}

/* ---- weights --------------------------------------------------------------------------------- */

typedef struct step {
    const glim_synth *s;
    const glim_synth_tensor *t;
    int64_t row0;
    size_t row_bytes;
    uint8_t *buf;
} step;

static void make_rows(void *arg, int64_t begin, int64_t end, int i_thread)
{
    const step *p = arg;
    (void)i_thread;
    glim_synth_rows(p->s, p->t, p->row0 + begin, end - begin,
                    p->buf + (size_t)begin * p->row_bytes);
}

typedef struct job {
    glim_pool *pool;
    const glim_synth_opts *o;
    uint64_t done, total;
} job;

static glim_err write_tensor(job *j, step *p, glim_gguf_writer *w, glim_error *e)
{
    const glim_synth_tensor *t = p->t;
    const int64_t n_row = t->ne[1] * t->ne[2] * t->ne[3];
    glim_err rc = GLIM_OK;
    (void)glim_type_bytes(t->type, t->ne[0], &p->row_bytes); /* the writer has checked the shape */
    const int64_t n_step = GLIM_MAX((int64_t)(STEP_BYTES / p->row_bytes), 1);
    for (p->row0 = 0; !rc && p->row0 < n_row; p->row0 += n_step) {
        const int64_t n = GLIM_MIN(n_step, n_row - p->row0);
        glim_pool_run(j->pool, n, (int64_t)(GRAIN_BYTES / p->row_bytes) + 1, make_rows, p);
        rc = glim_gguf_write(w, p->buf, (size_t)n * p->row_bytes, e);
        j->done += (size_t)n * p->row_bytes;
        if (!rc && j->o->progress && !j->o->progress(j->o->progress_user, j->done, j->total))
            rc = glim_fail(e, GLIM_E_CANCELLED, "cancelled; nothing is left behind");
    }
    return rc;
}

static glim_err write_tensors(const glim_synth *s, const glim_synth_opts *o, glim_gguf_writer *w,
                              glim_error *e)
{
    job j = {.o = o, .total = glim_gguf_writer_bytes(w)};
    step p = {.s = s, .buf = glim_alloc_aligned(GLIM_CACHE_LINE, STEP_BYTES)};
    glim_err rc =
        p.buf ? glim_pool_new(o->n_thread > 0 ? o->n_thread : glim_cpu_count(), &j.pool, e)
              : glim_fail(e, GLIM_E_NOMEM, "no memory for %zu bytes of weights", STEP_BYTES);
    for (size_t i = 0; !rc && i < glim_synth_n_tensor(s); i++) {
        p.t = glim_synth_tensor_at(s, i);
        rc = write_tensor(&j, &p, w, e);
    }
    glim_pool_free(j.pool);
    glim_free(p.buf);
    return rc;
}

glim_err glim_synth_write(const char *path, const glim_synth_opts *opts, glim_error *e)
{
    const glim_synth_opts *o = opts;
    glim_synth *s = NULL;
    glim_gguf_writer *w = NULL;
    if (!o || !o->vocab)
        return glim_fail(e, GLIM_E_INPUT, "no file is named to take the vocabulary from");
    const glim_synth_spec spec = {o->arch, o->type, o->mix, o->n_layer, o->seed};
    glim_err rc = glim_synth_new(&spec, &s, e);
    if (!rc) rc = glim_gguf_create(path, &w, e);
    if (!rc) {
        glim_synth_put_keys(s, w);
        rc = add_vocab(s, o->vocab, w, e);
    }
    for (size_t i = 0; !rc && i < glim_synth_n_tensor(s); i++) {
        const glim_synth_tensor *t = glim_synth_tensor_at(s, i);
        glim_gguf_add_tensor(w, glim_str_of(t->name), t->type, t->n_dim, t->ne);
    }
    if (!rc) rc = glim_gguf_begin_data(w, e);
    if (!rc) rc = write_tensors(s, o, w, e);
    if (!rc) rc = glim_gguf_finish(w, e);
    glim_gguf_writer_free(w);
    glim_synth_free(s);
    return rc;
}
