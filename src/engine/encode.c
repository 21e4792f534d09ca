/* SPDX-License-Identifier: MIT
 * encode.c - encoders: opened, texts to ids, ids to vectors and to logits.
 * How: texts are packed one after the other into steps of GLIM_ENCODE_TOKENS tokens; what a text
 *      gets does not depend on its neighbours, so any packing gives the same bits.
 * Owns: an open encoder and the buffers of a step, sized once.
 * Not here: tokenizers' files (enctok_open.c), layers (room models), keywords (keyword.c,
 *           keyword_encode.c).
 * Thread: open, close, encode any; embed and rerank one call at a time a model.
 * Fails:  as glim/encode.h says; a failed call leaves the model as it was. */
#include "engine/engine_int.h"

#include <math.h>

/* ---- open ------------------------------------------------------------------------------------ */

void glim_encoder_opts_init(glim_encoder_opts *o)
{
    *o = (glim_encoder_opts){.size = sizeof *o};
}

static glim_err check_opts(const glim_encoder_opts *given, glim_encoder_opts *o,
                           glim_cpu_level *level, glim_error *e)
{
    glim_encoder_opts_init(o);
    /* A caller built against an older header has a shorter struct: what it lacks keeps its default.
     */
    if (given) memcpy(o, given, GLIM_MIN(given->size, sizeof *o));
    o->size = sizeof *o;
    if (o->n_max < 0)
        return glim_fail(e, GLIM_E_INPUT, "a context of %lld tokens makes no sense",
                         (long long)o->n_max);
    return glim_open_machine(&o->n_thread, o->cpu, level, e);
}

/* UNSUPPORTED that says what the file is, where that is known. */
static glim_err refuse_chat(const glim_modelfile *f, glim_error *e)
{
    glim_model_kind kind;
    char arch[GLIM_ARCH_NAME_MAX];
    glim_open_kind(f, &kind, arch);
    if (kind != GLIM_KIND_CHAT) return GLIM_OK;
    return glim_fail(e, GLIM_E_UNSUPPORTED,
                     "%s: this is a chat model (%s), which writes text and gives no vectors; use "
                     "it with glim run, chat or serve, or name an embedding model",
                     glim_modelfile_path(f), GLIM_QUOTE(glim_str_of(arch)));
}

static glim_err check_vocab(const glim_encoder *m, const char *path, glim_error *e)
{
    size_t n = glim_enctok_n_token(m->tok);
    if ((int64_t)n <= m->core->n_vocab) return GLIM_OK;
    return glim_fail(
        e, GLIM_E_FORMAT,
        "%s: the tokenizer has %zu tokens, the model %lld: they do not belong together", path, n,
        (long long)m->core->n_vocab);
}

/* Bytes of memory while computing: the step arena, and all together. */
static size_t step_bytes(const glim_enc_core *c, int64_t n_step, int n_thread, uint64_t *all)
{
    const size_t arena = glim_enc_scratch_bytes(c, n_step, n_thread);
    *all = (uint64_t)arena + (uint64_t)n_step * 2 * sizeof(int32_t) +
           (GLIM_ENCODE_TEXTS + 1) * sizeof(int64_t) +
           (uint64_t)GLIM_ENCODE_TEXTS * (uint64_t)c->n_embd * sizeof(float);
    return arena;
}

static int64_t step_tokens(const glim_enc_core *c)
{
    return GLIM_MAX(c->n_ctx, (int64_t)GLIM_ENCODE_TOKENS);
}

/* Everything that computing needs; pages of it are used as far as texts are long. */
static glim_err take_memory(glim_encoder *m, int n_thread, glim_error *e)
{
    glim_err rc = glim_pool_new(n_thread, &m->pool, e);
    if (rc) return rc;
    uint64_t all;
    m->n_step = step_tokens(m->core);
    const size_t arena = step_bytes(m->core, m->n_step, n_thread, &all);
    m->ops = (glim_ops){m->pool, &m->kernels, glim_arena_new_fixed(arena)};
    m->ids = glim_alloc((size_t)m->n_step * sizeof *m->ids);
    m->types = glim_alloc((size_t)m->n_step * sizeof *m->types);
    m->offset = glim_alloc((GLIM_ENCODE_TEXTS + 1) * sizeof *m->offset);
    m->rows = glim_alloc((size_t)GLIM_ENCODE_TEXTS * (size_t)m->core->n_embd * sizeof *m->rows);
    m->name = glim_open_name(m->file);
    if (m->ops.step && m->ids && m->types && m->offset && m->rows && m->name) return GLIM_OK;
    return glim_fail(e, GLIM_E_NOMEM, "%s: no memory for %.1f MiB of scratch",
                     glim_modelfile_path(m->file), (double)all / 0x1p20);
}

static void fill_info(const glim_modelfile *f, const glim_enc_core *c,
                      const glim_pooling_rule *rule, glim_cpu_level level, int n_thread,
                      glim_encoder_info *i)
{
    glim_description d;
    glim_describe(f, &d);
    *i = (glim_encoder_info){
        .kind = c->n_label == 1 ? GLIM_KIND_RERANK : GLIM_KIND_EMBEDDING,
        .arch = c->arch->name,
        .name = "",
        .cpu = glim_cpu_level_name(level),
        .format = d.format,
        .quant = d.quant,
        .license = GLIM_STR(""),
        .n_layer = c->n_layer,
        .n_head = d.n_head,
        .n_embd = c->n_embd,
        .n_vocab = c->n_vocab,
        .n_ctx = c->n_ctx,
        .n_max = rule->max_tokens,
        .n_label = c->n_label,
        .pooling = rule->kind,
        .normalize = rule->normalize,
        .n_param = d.n_param,
        .weights = glim_open_weight_bytes(f),
        .derived = c->derived_bytes,
        .n_thread = n_thread,
    };
    (void)step_bytes(c, step_tokens(c), n_thread, &i->scratch);
}

/* The parts that a plan has too. */
static glim_err open_core(const char *path, const glim_encoder_opts *o, bool plan_only,
                          glim_modelfile **f, glim_enc_core **c, glim_pooling_rule *rule,
                          glim_error *e)
{
    const glim_load_opts lo = {.plan_only = plan_only};
    glim_err rc = glim_modelfile_open(path, 0, f, e);
    if (!rc) rc = refuse_chat(*f, e);
    if (!rc) rc = glim_enc_load(*f, &lo, c, e);
    if (!rc) rc = glim_pooling_read(*f, (*c)->n_ctx, rule, e);
    if (rc || o->n_max == 0) return rc;
    if (o->n_max > (*c)->n_ctx)
        return glim_fail(e, GLIM_E_CONTEXT,
                         "%s: a context of %lld tokens is beyond the %lld that the model was made "
                         "for; use --ctx %lld",
                         path, (long long)o->n_max, (long long)(*c)->n_ctx, (long long)(*c)->n_ctx);
    rule->max_tokens = o->n_max;
    return GLIM_OK;
}

glim_err glim_encoder_plan(const char *path, const glim_encoder_opts *opts, glim_encoder_info *out,
                           glim_error *e)
{
    glim_encoder_opts o;
    glim_cpu_level level;
    glim_modelfile *f = NULL;
    glim_enc_core *c = NULL;
    glim_pooling_rule rule;
    glim_err rc = check_opts(opts, &o, &level, e);
    if (!rc) rc = open_core(path, &o, true, &f, &c, &rule, e);
    if (!rc) fill_info(f, c, &rule, level, o.n_thread, out);
    const glim_err lost = f ? glim_modelfile_check_all(f, e) : GLIM_OK;
    glim_enc_free(c);
    glim_modelfile_close(f);
    return lost ? lost : rc;
}

static glim_err open_parts(glim_encoder *m, const char *path, const glim_encoder_opts *o,
                           glim_cpu_level level, glim_error *e)
{
    const glim_open_progress progress = {o->progress, o->progress_user};
    glim_pooling_rule rule;
    glim_err rc = open_core(path, o, false, &m->file, &m->core, &rule, e);
    if (!rc) rc = glim_enctok_from_file(m->file, &m->tok, e);
    if (!rc) rc = check_vocab(m, path, e);
    if (rc) return rc;
    glim_kernels_get(level, &m->kernels);
    rc = take_memory(m, o->n_thread, e);
    if (!rc) rc = glim_open_warm(m->file, &progress, e);
    if (rc) return rc;
    fill_info(m->file, m->core, &rule, level, o->n_thread, &m->info);
    m->info.name = m->name;
    (void)glim_meta_str(glim_modelfile_meta(m->file, "general.license"), &m->info.license);
    return GLIM_OK;
}

glim_err glim_encoder_open(const char *path, const glim_encoder_opts *opts, glim_encoder **out,
                           glim_error *e)
{
    glim_encoder_opts o;
    glim_cpu_level level;
    glim_err rc = check_opts(opts, &o, &level, e);
    if (rc) return rc;
    glim_encoder *m = glim_new0(glim_encoder);
    if (!m) return glim_fail(e, GLIM_E_NOMEM, "%s: model", path);
    rc = open_parts(m, path, &o, level, e);
    /* Bytes that are gone look like a damaged file; the true cause goes before. */
    const glim_err lost = m->file ? glim_modelfile_check_all(m->file, e) : GLIM_OK;
    if (lost) rc = lost;
    if (rc) {
        glim_encoder_close(m);
        return rc;
    }
    GLIM_INFO("engine", "load", "model=%s kind=%s weights=%llu derived=%llu cpu=%s threads=%d",
              path, glim_model_kind_name(m->info.kind), (unsigned long long)m->info.weights,
              (unsigned long long)m->info.derived, m->info.cpu, m->info.n_thread);
    *out = m;
    return GLIM_OK;
}

void glim_encoder_close(glim_encoder *m)
{
    if (!m) return;
    glim_free(m->name);
    glim_free(m->rows);
    glim_free(m->offset);
    glim_free(m->types);
    glim_free(m->ids);
    glim_arena_free(m->ops.step);
    glim_pool_free(m->pool);
    glim_enctok_free(m->tok);
    glim_enc_free(m->core);
    glim_modelfile_close(m->file);
    glim_free(m);
}

const glim_encoder_info *glim_encoder_get_info(const glim_encoder *m)
{
    return &m->info;
}

/* ---- text to ids ----------------------------------------------------------------------------- */

void glim_encoded_free(glim_encoded *t)
{
    glim_free(t->ids);
    *t = (glim_encoded){0};
}

/* How many ids of a pair stay so that both together are at most `room`: the longer one is cut down
 * to the shorter, then both alike, and of an odd number the one more goes to the longer (of equal
 * ones to the second). This is "longest first" as Hugging Face's tokenizers do it. */
static void cut_pair(size_t *n_a, size_t *n_b, size_t room)
{
    size_t *less = *n_a > *n_b ? n_b : n_a, *more = *n_a > *n_b ? n_a : n_b;
    if (*less + *more <= room) return; /* ids are at most 2^31 each: the sum fits */
    *less = GLIM_MIN(*less, room / 2);
    *more = room - *less;
}

/* The ids of text and of a second one behind it; *n_a: how many are the first one's. */
static glim_err encode_texts(const glim_encoder *m, glim_str text, const glim_str *second,
                             glim_ids *raw, size_t *n_a, glim_error *e)
{
    glim_err rc = glim_enctok_encode(m->tok, text, false, raw, e);
    *n_a = raw->n;
    if (rc || !second) return rc;
    rc = glim_enctok_encode(m->tok, *second, false, raw, e);
    if (rc) glim_error_prefix(e, "second text");
    return rc;
}

glim_err glim_encode(const glim_encoder *m, glim_str text, const glim_str *second, size_t n_max,
                     glim_encoded *out, glim_error *e)
{
    glim_ids raw, ids;
    size_t n_a, n_added = glim_enctok_n_added(m->tok, second != NULL);
    *out = (glim_encoded){0};
    glim_ids_init(&raw, INT32_MAX - 16);
    glim_ids_init(&ids, INT32_MAX);
    glim_err rc = encode_texts(m, text, second, &raw, &n_a, e);
    size_t n_first = 0, n_full = raw.n + n_added;
    if (!rc) {
        size_t keep_a = n_a, keep_b = raw.n - n_a,
               room = n_max == 0 ? SIZE_MAX : n_max - GLIM_MIN(n_max, n_added);
        if (second)
            cut_pair(&keep_a, &keep_b, room);
        else
            keep_a = GLIM_MIN(keep_a, room);
        rc = second
                 ? glim_enctok_pair(m->tok, raw.p, keep_a, raw.p + n_a, keep_b, &ids, &n_first, e)
                 : glim_enctok_wrap(m->tok, raw.p, keep_a, &ids, e);
    }
    glim_ids_deinit(&raw);
    if (rc) {
        glim_ids_deinit(&ids);
        return rc;
    }
    /* A model with one token type gives it to both texts, whatever its tokenizer says. */
    if (!second || m->core->n_type < 2) n_first = ids.n;
    *out = (glim_encoded){ids.p, ids.n, n_first, n_full};
    return GLIM_OK;
}

glim_str glim_encoder_token(const glim_encoder *m, int32_t id)
{
    return glim_enctok_text(m->tok, id);
}

/* ---- steps ----------------------------------------------------------------------------------- */

/* Everything is looked at before anything is computed. */
static glim_err check_inputs(const glim_encoder *m, const glim_encoded *in, size_t n, glim_error *e)
{
    for (size_t i = 0; i < n; i++) {
        const glim_encoded *t = &in[i];
        if (t->n == 0)
            return glim_fail(e, GLIM_E_CONTEXT, "input %zu has no tokens: give it at least one", i);
        if (t->n > (size_t)m->core->n_ctx)
            return glim_fail(e, GLIM_E_CONTEXT,
                             "input %zu has %zu tokens; the model reads at most %lld: shorten it, "
                             "or have it cut",
                             i, t->n, (long long)m->core->n_ctx);
        for (size_t k = 0; k < t->n; k++)
            if (t->ids[k] < 0 || t->ids[k] >= m->core->n_vocab)
                return glim_fail(
                    e, GLIM_E_INPUT,
                    "input %zu: token id %d at position %zu is out of range: the model has "
                    "ids 0 to %lld",
                    i, (int)t->ids[k], k, (long long)m->core->n_vocab - 1);
        if (t->n_first > t->n || (t->n_first < t->n && m->core->n_type < 2))
            return glim_fail(e, GLIM_E_INPUT,
                             "input %zu: %zu of %zu tokens are of type 0, which is not possible "
                             "for this model",
                             i, t->n_first, t->n);
    }
    return GLIM_OK;
}

/* Packs as many of the n texts as go into a step; at least one. */
static size_t pack(glim_encoder *m, const glim_encoded *in, size_t n)
{
    size_t i = 0;
    int64_t at = 0;
    for (; i < n && i < GLIM_ENCODE_TEXTS; i++) {
        int64_t n_tok = (int64_t)in[i].n;
        if (i > 0 && at + n_tok > GLIM_ENCODE_TOKENS) break;
        memcpy(m->ids + at, in[i].ids, in[i].n * sizeof *m->ids);
        for (int64_t k = 0; k < n_tok; k++)
            m->types[at + k] = k >= (int64_t)in[i].n_first;
        m->offset[i] = at;
        at += n_tok;
    }
    m->offset[i] = at;
    return i;
}

/* Vectors of the texts of a step into m->rows. Types of zero are given too: adding them costs little,
 * and whether a neighbour has others must not change a bit. */
static glim_err step(glim_encoder *m, size_t n_text, glim_pooling pooling, const glim_embed_opts *o,
                     glim_error *e)
{
    const glim_enc_batch b = {
        .tokens = m->ids,
        .types = m->types,
        .offset = m->offset,
        .n_seq = (int64_t)n_text,
        .pooling = pooling,
        .vectors = m->rows,
        .cancelled = o->cancelled,
        .user = o->user,
    };
    return glim_enc_forward(m->core, &m->ops, &b, e);
}

void glim_embed_opts_init(glim_embed_opts *o)
{
    *o = (glim_embed_opts){.size = sizeof *o, .normalize = GLIM_UNSET};
}

static glim_err resolve(const glim_encoder *m, const glim_embed_opts *given, glim_embed_opts *o,
                        glim_error *e)
{
    glim_embed_opts_init(o);
    if (given) memcpy(o, given, GLIM_MIN(given->size, sizeof *o));
    if ((unsigned)o->pooling > GLIM_POOLING_LAST)
        return glim_fail(e, GLIM_E_INPUT, "unknown pooling %d: cls, mean and last are there",
                         (int)o->pooling);
    if (o->pooling == GLIM_POOLING_UNSET) o->pooling = m->info.pooling;
    if (o->normalize == GLIM_UNSET) o->normalize = m->info.normalize ? GLIM_ON : GLIM_OFF;
    if (o->n_dim < 0 || o->n_dim > m->core->n_embd)
        return glim_fail(
            e, GLIM_E_INPUT, "dimensions: %lld; the model's vectors have %lld: ask for 1 to %lld",
            (long long)o->n_dim, (long long)m->core->n_embd, (long long)m->core->n_embd);
    if (o->n_dim == 0) o->n_dim = m->core->n_embd;
    return GLIM_OK;
}

/* ---- vectors --------------------------------------------------------------------------------- */

/* To length 1; a vector of zeros stays one. Squares are summed in double, from the first on. */
static void scale_to_one(float *x, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    const double length = fmax(sqrt(sum), 1e-12);
    for (int64_t i = 0; i < n; i++)
        x[i] = (float)((double)x[i] / length);
}

glim_err glim_embed(glim_encoder *m, const glim_encoded *in, size_t n, const glim_embed_opts *opts,
                    float *out, glim_error *e)
{
    glim_embed_opts o;
    glim_err rc = resolve(m, opts, &o, e);
    if (!rc) rc = check_inputs(m, in, n, e);
    for (size_t done = 0; !rc && done < n;) {
        size_t n_text = pack(m, in + done, n - done);
        rc = step(m, n_text, o.pooling, &o, e);
        if (!rc) rc = glim_modelfile_check(m->file, e); /* nobody sees vectors of missing weights */
        for (size_t i = 0; !rc && i < n_text; i++) {
            float *v = out + (done + i) * (size_t)o.n_dim;
            memcpy(v, m->rows + i * (size_t)m->core->n_embd, (size_t)o.n_dim * sizeof *v);
            if (o.normalize == GLIM_ON) scale_to_one(v, o.n_dim);
        }
        done += n_text;
    }
    return rc;
}

/* ---- ranking --------------------------------------------------------------------------------- */

static glim_err check_head(const glim_encoder *m, glim_error *e)
{
    if (m->core->n_label == 1) return GLIM_OK;
    if (m->core->n_label == 0)
        return glim_fail(e, GLIM_E_UNSUPPORTED,
                         "%s: the model has no head that ranks: use one made for it, as "
                         "bge-reranker-v2-m3, or compare vectors",
                         glim_modelfile_path(m->file));
    return glim_fail(e, GLIM_E_UNSUPPORTED,
                     "%s: the model's head gives %lld logits, it sorts texts into classes; ranking "
                     "takes one logit: use a model made for it",
                     glim_modelfile_path(m->file), (long long)m->core->n_label);
}

glim_err glim_rerank(glim_encoder *m, const glim_encoded *in, size_t n, const glim_embed_opts *opts,
                     float *logits, glim_error *e)
{
    glim_embed_opts o;
    glim_embed_opts_init(&o);
    if (opts) memcpy(&o, opts, GLIM_MIN(opts->size, sizeof o));
    glim_err rc = check_head(m, e);
    if (!rc) rc = check_inputs(m, in, n, e);
    for (size_t done = 0; !rc && done < n;) {
        float logit[GLIM_ENCODE_TEXTS];
        size_t n_text = pack(m, in + done, n - done);
        rc = step(m, n_text, GLIM_POOLING_CLS, &o, e);
        if (!rc) rc = glim_enc_classify(m->core, &m->ops, m->rows, (int64_t)n_text, logit, e);
        if (!rc) rc = glim_modelfile_check(m->file, e);
        if (!rc) memcpy(logits + done, logit, n_text * sizeof *logits);
        done += n_text;
    }
    return rc;
}

double glim_rerank_score(float logit)
{
    return 1 / (1 + exp(-(double)logit));
}
