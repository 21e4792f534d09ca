/* SPDX-License-Identifier: MIT
 * model.c - opens a model: file, weights, vocabulary, memory plan, and everything sized by it.
 * Owns:   what a loaded model needs until close; nothing is allocated for weights or cache
 * afterwards. Thread: any for open, plan and close; the model is immutable but for its step arena,
 * which the engine thread uses. */
#include "engine/engine_int.h"

#include <math.h>

#define CHUNK_DEFAULT 512
#define CHUNK_MAX 8192

void glim_model_opts_init(glim_model_opts *o)
{
    *o = (glim_model_opts){.size = sizeof *o, .kv = GLIM_KV_F16, .rank_norm_eps = NAN};
}

/* ---- options --------------------------------------------------------------------------------- */

static const glim_type kv_types[] = {GLIM_F16, GLIM_BF16, GLIM_F32};

static glim_err check_opts(const glim_model_opts *given, glim_model_opts *o, glim_cpu_level *level,
                           glim_error *e)
{
    glim_model_opts_init(o);
    /* A caller built against an older header has a shorter struct: what it lacks keeps its default.
     */
    if (given) memcpy(o, given, GLIM_MIN(given->size, sizeof *o));
    o->size = sizeof *o;
    if (o->n_ctx < 0)
        return glim_fail(e, GLIM_E_INPUT, "a context of %lld tokens makes no sense",
                         (long long)o->n_ctx);
    if ((size_t)o->kv >= GLIM_COUNT(kv_types))
        return glim_fail(e, GLIM_E_INPUT, "unknown cache type %d", (int)o->kv);
    if (o->n_chunk < 0)
        return glim_fail(e, GLIM_E_INPUT, "a chunk of %lld tokens makes no sense",
                         (long long)o->n_chunk);
    if (o->n_chunk == 0) o->n_chunk = CHUNK_DEFAULT;
    o->n_chunk = GLIM_MIN(o->n_chunk, CHUNK_MAX); /* beyond it only the scratch memory grows */
    if (!isnan(o->rank_norm_eps) && !(o->rank_norm_eps > 0 && o->rank_norm_eps < 1))
        return glim_fail(e, GLIM_E_INPUT, "an eps of %g: above 0 and below 1 is possible",
                         (double)o->rank_norm_eps);
    return glim_open_machine(&o->n_thread, o->cpu, level, e);
}

/* ---- plan ------------------------------------------------------------------------------------ */

/* Layers that keep rows in the cache. */
static int64_t kv_layers(const glim_core *c, const glim_model_opts *o)
{
    return c->n_layer + (o->predict ? c->n_predict : 0);
}

static size_t step_bytes(const glim_core *c, int64_t n_chunk, int n_thread)
{
    /* The final states of a chunk, when all are wanted, and their row numbers. */
    size_t states = (size_t)n_chunk * ((size_t)c->n_embd * sizeof(float) + sizeof(int64_t)) +
                    4 * GLIM_CACHE_LINE;
    return c->arch->scratch_bytes(c, n_chunk, n_thread) + states;
}

static void make_plan(const glim_modelfile *f, const glim_core *c, const glim_model_opts *o,
                      glim_memory_plan *p)
{
    *p = (glim_memory_plan){.weights = glim_open_weight_bytes(f),
                            .derived = c->derived_bytes,
                            .n_ctx_model = c->n_ctx,
                            .available = glim_mem_available()};
    p->kv_per_token = glim_kv_bytes_per_token(kv_types[o->kv], c->kv_width, kv_layers(c, o));
    /* A chunk longer than the model's context is never used. */
    p->scratch = step_bytes(c, GLIM_MIN(o->n_chunk, c->n_ctx), o->n_thread) +
                 (uint64_t)GLIM_HEAD_ROWS * (uint64_t)c->n_vocab * sizeof(float);
    p->n_ctx_fit = INT64_MAX;
    if (p->available) {
        /* Weights beyond half of the memory can be read again from the file: slow, but the cache
         * cannot. A twentieth is left to the rest of the system. */
        uint64_t avail = p->available - p->available / 20;
        uint64_t need = p->derived + p->scratch + GLIM_MIN(p->weights, avail / 2);
        p->n_ctx_fit = need < avail ? (int64_t)((avail - need) / p->kv_per_token) : 0;
    }
    p->n_ctx = o->n_ctx ? o->n_ctx : GLIM_MIN(c->n_ctx, p->n_ctx_fit);
    int64_t wanted = p->n_ctx;
    if (__builtin_mul_overflow(p->n_ctx, (int64_t)GLIM_MAX(o->n_session, 1), &wanted))
        wanted = INT64_MAX;
    p->n_cache = GLIM_MAX(p->n_ctx, GLIM_MIN(wanted, p->n_ctx_fit));
    uint64_t kv;
    p->kv = __builtin_mul_overflow((uint64_t)p->n_cache, p->kv_per_token, &kv) ? UINT64_MAX : kv;
}

static glim_err check_plan(const char *path, const glim_memory_plan *p, glim_error *e)
{
    if (p->n_ctx > p->n_ctx_model)
        return glim_fail(e, GLIM_E_CONTEXT,
                         "%s: a context of %lld tokens is beyond the %lld that the model was made "
                         "for; use --ctx %lld",
                         path, (long long)p->n_ctx, (long long)p->n_ctx_model,
                         (long long)GLIM_MIN(p->n_ctx_model, p->n_ctx_fit));
    if (p->n_ctx > p->n_ctx_fit || p->n_ctx < 1)
        return glim_fail(e, GLIM_E_CONTEXT,
                         "%s: a context of %lld tokens needs %.1f GiB of cache and does not fit: "
                         "%.1f GiB are available, %.1f of them for "
                         "weights and work; %s%lld would fit",
                         path, (long long)p->n_ctx, (double)p->kv / 0x1p30,
                         (double)p->available / 0x1p30,
                         (double)(p->weights + p->derived + p->scratch) / 0x1p30, "--ctx ",
                         (long long)p->n_ctx_fit);
    return GLIM_OK;
}

glim_err glim_model_plan(const char *path, const glim_model_opts *opts, glim_memory_plan *out,
                         glim_error *e)
{
    glim_model_opts o;
    glim_cpu_level level;
    glim_modelfile *f;
    glim_core *c;
    glim_err rc = check_opts(opts, &o, &level, e);
    if (!rc) rc = glim_modelfile_open(path, 0, &f, e);
    if (rc) return rc;
    const glim_load_opts lo = {o.rank_norm_eps, true};
    rc = glim_open_refuse_encoder(f, e);
    if (!rc) rc = glim_core_load(f, &lo, &c, e);
    if (!rc) {
        make_plan(f, c, &o, out);
        glim_core_free(c);
        rc = check_plan(path, out, e);
    }
    const glim_err lost = glim_modelfile_check_all(f, e);
    if (lost) rc = lost;
    glim_modelfile_close(f);
    return rc;
}

/* ---- open ------------------------------------------------------------------------------------ */

static bool meta_i64(const glim_modelfile *f, const char *key, int64_t *out)
{
    uint64_t u;
    if (!glim_meta_u64(glim_modelfile_meta(f, key), &u) || u > INT64_MAX) return false;
    *out = (int64_t)u;
    return true;
}

/* What the vendor recommends where the file says nothing: temperature 1, top-p 0.95, nothing else.
 */
static void model_settings(const glim_modelfile *f, glim_gen_opts *g)
{
    const glim_json *cfg = glim_modelfile_generation_config(f);
    double v;
    int64_t k;
    bool sample;
    glim_gen_opts_init(g);
    g->temperature = 1;
    g->top_p = 0.95f;
    g->top_k = 0;
    g->min_p = 0;
    if ((glim_json_f64(glim_json_get(cfg, "temperature"), &v) ||
         glim_meta_f64(glim_modelfile_meta(f, "general.sampling.temp"), &v)) &&
        v >= 0 && v <= 5)
        g->temperature = (float)v;
    if ((glim_json_f64(glim_json_get(cfg, "top_p"), &v) ||
         glim_meta_f64(glim_modelfile_meta(f, "general.sampling.top_p"), &v)) &&
        v > 0 && v <= 1)
        g->top_p = (float)v;
    if ((glim_json_i64(glim_json_get(cfg, "top_k"), &k) ||
         meta_i64(f, "general.sampling.top_k", &k)) &&
        k >= 0 && k <= INT32_MAX)
        g->top_k = (int32_t)k;
    if ((glim_json_f64(glim_json_get(cfg, "min_p"), &v) ||
         glim_meta_f64(glim_modelfile_meta(f, "general.sampling.min_p"), &v)) &&
        v >= 0 && v < 1)
        g->min_p = (float)v;
    if (glim_json_bool(glim_json_get(cfg, "do_sample"), &sample) && !sample) g->temperature = 0;
}

static void fill_info(glim_model *m, const glim_modelfile *f, glim_cpu_level level)
{
    glim_model_info *i = &m->info;
    i->arch = m->core->arch->name;
    i->name = m->name;
    i->template_name = glim_vocab_template(m->vocab);
    i->cpu = glim_cpu_level_name(level);
    i->n_layer = m->core->n_layer;
    i->n_vocab = m->core->n_vocab;
    i->n_embd = m->core->n_embd;
    i->n_expert = m->core->n_expert;
    i->n_expert_used = m->core->n_expert_used;
    i->n_thread = glim_pool_size(m->pool);
    i->n_chunk = m->n_chunk;
    i->step_bytes = m->core->step_bytes;
    i->temperature = m->gen.temperature;
    i->top_p = m->gen.top_p;
    i->top_k = m->gen.top_k;
    i->min_p = m->gen.min_p;
    glim_description d;
    glim_describe(f, &d);
    i->format = d.format;
    i->quant = d.quant;
    i->license = d.license;
    i->n_head = d.n_head;
    i->n_param = d.n_param;
    i->template_text = glim_modelfile_chat_template(f);
}

static glim_err open_parts(glim_model *m, const char *path, const glim_model_opts *o,
                           glim_cpu_level level, glim_error *e)
{
    const glim_load_opts lo = {o->rank_norm_eps, false};
    glim_err rc = glim_modelfile_open(path, 0, &m->file, e);
    if (!rc) rc = glim_open_refuse_encoder(m->file, e);
    if (!rc) rc = glim_core_load(m->file, &lo, &m->core, e);
    if (rc) return rc;
    glim_memory_plan *p = &m->info.plan;
    make_plan(m->file, m->core, o, p);
    if ((rc = check_plan(path, p, e))) return rc;
    if ((rc = glim_vocab_from_file(m->file, &m->vocab, e))) return rc;
    if ((int64_t)glim_vocab_size(m->vocab) > m->core->n_vocab)
        return glim_fail(
            e, GLIM_E_FORMAT,
            "%s: the tokenizer has %zu tokens, the model %lld: they do not belong together", path,
            glim_vocab_size(m->vocab), (long long)m->core->n_vocab);
    m->n_ctx = p->n_ctx;
    m->n_chunk = GLIM_MIN(o->n_chunk, m->core->n_ctx);
    m->form = o->mla;
    m->predict = o->predict;
    m->stepper = glim_stepper_default();
    model_settings(m->file, &m->gen);

    glim_kernels_get(level, &m->kernels);
    if ((rc = glim_pool_new(o->n_thread, &m->pool, e))) return rc;
    m->ops = (glim_ops){m->pool, &m->kernels,
                        glim_arena_new_fixed(step_bytes(m->core, m->n_chunk, o->n_thread))};
    m->logits = glim_alloc_array((size_t)GLIM_HEAD_ROWS * (size_t)m->core->n_vocab, sizeof(float));
    m->name = glim_open_name(m->file);
    if (!m->ops.step || !m->logits || !m->name)
        return glim_fail(e, GLIM_E_NOMEM, "%s: no memory for %.1f MiB of scratch", path,
                         (double)p->scratch / 0x1p20);
    rc = glim_kv_pool_init(&m->kv, kv_types[o->kv], m->core->kv_width, kv_layers(m->core, o),
                           p->n_cache, e);
    const glim_open_progress progress = {o->progress, o->progress_user};
    if (!rc) rc = glim_open_warm(m->file, &progress, e);
    if (!rc) fill_info(m, m->file, level);
    return rc;
}

glim_err glim_model_open(const char *path, const glim_model_opts *opts, glim_model **out,
                         glim_error *e)
{
    glim_model_opts o;
    glim_cpu_level level;
    glim_err rc = check_opts(opts, &o, &level, e);
    if (rc) return rc;
    glim_model *m = glim_new0(glim_model);
    if (!m) return glim_fail(e, GLIM_E_NOMEM, "%s: model", path);
    rc = open_parts(m, path, &o, level, e);
    /* Bytes that are gone look like a damaged file; the true cause goes before. */
    const glim_err lost = m->file ? glim_modelfile_check_all(m->file, e) : GLIM_OK;
    if (lost) rc = lost;
    if (rc) {
        glim_model_close(m);
        return rc;
    }
    GLIM_INFO("engine", "load",
              "model=%s weights=%llu derived=%llu kv_per_token=%llu ctx=%lld cpu=%s threads=%d",
              path, (unsigned long long)m->info.plan.weights,
              (unsigned long long)m->info.plan.derived,
              (unsigned long long)m->info.plan.kv_per_token, (long long)m->n_ctx, m->info.cpu,
              m->info.n_thread);
    *out = m;
    return GLIM_OK;
}

void glim_model_close(glim_model *m)
{
    if (!m) return;
    glim_kv_pool_deinit(&m->kv);
    glim_arena_free(m->ops.step);
    glim_pool_free(m->pool);
    glim_free(m->logits);
    glim_free(m->name);
    glim_vocab_close(m->vocab);
    glim_core_free(m->core);
    glim_modelfile_close(m->file);
    glim_free(m);
}

const glim_model_info *glim_model_get_info(const glim_model *m)
{
    return &m->info;
}

const glim_vocab *glim_model_vocab(const glim_model *m)
{
    return m->vocab;
}
