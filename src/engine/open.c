/* SPDX-License-Identifier: MIT
 * open.c - what opening a chat model and opening an encoder have in common: threads and kernel
 * level, which kind a file is, its weights brought into memory.
 * Not here: what a kind needs besides (model.c, encode.c), a file's own words (describe.c).
 * Thread: any.
 * Fails:  INPUT and UNSUPPORTED for options, UNSUPPORTED for a model of the other kind; IO,
 *         CANCELLED. */
#include "engine/engine_int.h"

#include <errno.h>
#include <sys/mman.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ                                                                         \
    22 /* Linux 5.14; older kernels answer EINVAL and the pages come on first use */
#endif

glim_err glim_open_machine(int *n_thread, const char *cpu, glim_cpu_level *level, glim_error *e)
{
    if (*n_thread < 0 || *n_thread > 1024)
        return glim_fail(e, GLIM_E_INPUT, "%d threads: 1 to 1024 are possible", *n_thread);
    if (*n_thread == 0) *n_thread = glim_cpu_count();
    *level = glim_cpu_best();
    if (!cpu) return GLIM_OK;
    if (!glim_cpu_level_find(glim_str_of(cpu), level))
        return glim_fail(e, GLIM_E_INPUT,
                         "unknown kernel level %s: ref, avx2, avx512v, avx512bf, amx or auto",
                         GLIM_QUOTE(glim_str_of(cpu)));
    if (*level > glim_cpu_best())
        return glim_fail(
            e, GLIM_E_UNSUPPORTED, "this machine (%s) cannot run %s kernels; its best is %s",
            glim_cpu_model(), glim_cpu_level_name(*level), glim_cpu_level_name(glim_cpu_best()));
    return GLIM_OK;
}

/* ---- kinds ----------------------------------------------------------------------------------- */

const char *glim_model_kind_name(glim_model_kind k)
{
    static const char *const names[] = {[GLIM_KIND_UNKNOWN] = "unknown",
                                        [GLIM_KIND_CHAT] = "chat",
                                        [GLIM_KIND_EMBEDDING] = "embedding",
                                        [GLIM_KIND_RERANK] = "rerank"};
    return (size_t)k < GLIM_COUNT(names) ? names[k] : "unknown";
}

void glim_open_kind(const glim_modelfile *f, glim_model_kind *kind, char arch[GLIM_ARCH_NAME_MAX])
{
    glim_str s = {0};
    const glim_json *type = glim_json_get(glim_modelfile_config(f), "model_type");
    if (!glim_meta_str(glim_modelfile_meta(f, "general.architecture"), &s))
        s = glim_json_is(type, GLIM_JSON_STRING) ? type->text : (glim_str){0};
    size_t n = GLIM_MIN(s.n, (size_t)GLIM_ARCH_NAME_MAX - 1);
    if (n) memcpy(arch, s.p, n);
    arch[n - glim_utf8_partial((glim_str){arch, n})] = 0;
    *kind = glim_enc_is(f)       ? GLIM_KIND_EMBEDDING
            : glim_arch_named(s) ? GLIM_KIND_CHAT
                                 : GLIM_KIND_UNKNOWN;
}

glim_err glim_open_refuse_encoder(const glim_modelfile *f, glim_error *e)
{
    glim_model_kind kind;
    char arch[GLIM_ARCH_NAME_MAX];
    glim_open_kind(f, &kind, arch);
    if (kind != GLIM_KIND_EMBEDDING) return GLIM_OK;
    return glim_fail(e, GLIM_E_UNSUPPORTED,
                     "%s: this is an embedding model (%s), which gives vectors and writes no text; "
                     "use it with glim embed, keyword or rerank, or name a chat model",
                     glim_modelfile_path(f), GLIM_QUOTE(glim_str_of(arch)));
}

/* Whether an encoder ranks is said by its head, so it is loaded as far as a plan is. */
static glim_err look_at_encoder(const glim_modelfile *f, glim_model_look *out, glim_error *e)
{
    const glim_load_opts plan = {.plan_only = true};
    glim_enc_core *core;
    glim_err rc = glim_enc_load(f, &plan, &core, e);
    if (rc) return rc;
    out->kind = core->n_label == 1 ? GLIM_KIND_RERANK : GLIM_KIND_EMBEDDING;
    glim_enc_free(core);
    return GLIM_OK;
}

glim_err glim_model_look_at(const char *path, glim_model_look *out, glim_error *e)
{
    glim_modelfile *f;
    *out = (glim_model_look){0};
    glim_err rc = glim_modelfile_open(path, 0, &f, e);
    if (rc) return rc;
    glim_open_kind(f, &out->kind, out->arch);
    out->bytes = glim_open_weight_bytes(f);
    out->file_bytes = glim_modelfile_bytes(f);
    if (out->kind == GLIM_KIND_EMBEDDING) rc = look_at_encoder(f, out, e);
    /* Bytes that are gone look like a damaged file; the true cause goes before. */
    const glim_err lost = glim_modelfile_check_all(f, e);
    glim_modelfile_close(f);
    return lost ? lost : rc;
}

/* ---- weights --------------------------------------------------------------------------------- */

uint64_t glim_open_weight_bytes(const glim_modelfile *f)
{
    uint64_t n = 0;
    for (size_t i = 0; i < glim_modelfile_n_tensor(f); i++)
        n += glim_modelfile_tensor(f, i)->n_bytes;
    return n;
}

static int bring_in(void *p, size_t n)
{
    int rc;
    do
        rc = madvise(p, n, MADV_POPULATE_READ);
    while (rc != 0 && errno == EINTR);
    return rc ? errno : 0;
}

/* Piece by piece, so that the wait is seen and the first answer is not slow. Skipped when the
 * weights would push each other out. */
glim_err glim_open_warm(const glim_modelfile *f, const glim_open_progress *progress, glim_error *e)
{
    const uint64_t piece = (uint64_t)64 << 20, total = glim_open_weight_bytes(f),
                   available = glim_mem_available();
    uint64_t done = 0;
    bool populate = available == 0 || total < available;
    for (size_t i = 0; i < glim_modelfile_n_tensor(f); i++) {
        const glim_tensor *t = glim_modelfile_tensor(f, i);
        for (uint64_t at = 0; at < t->n_bytes; at += piece) {
            uintptr_t begin = ((uintptr_t)t->data + at) & ~(uintptr_t)4095;
            size_t n =
                (size_t)(GLIM_MIN(piece, t->n_bytes - at) + (((uintptr_t)t->data + at) & 4095));
            int err = populate ? bring_in((void *)begin, n) : 0;
            if (err == EFAULT || err == EIO || err == EHWPOISON)
                return glim_modelfile_lost(f, t, (size_t)at, e);
            if (err) populate = false; /* an older kernel: pages come on first use */
            if (progress->fn &&
                !progress->fn(progress->user, done + GLIM_MIN(at + piece, t->n_bytes), total))
                return glim_fail(e, GLIM_E_CANCELLED, "%s: loading was cancelled",
                                 glim_modelfile_path(f));
        }
        done += t->n_bytes;
    }
    return GLIM_OK;
}

char *glim_open_name(const glim_modelfile *f)
{
    glim_str s = {0};
    (void)glim_meta_str(glim_modelfile_meta(f, "general.name"), &s);
    char *name = glim_alloc(s.n + 1);
    if (!name) return NULL;
    if (s.n) memcpy(name, s.p, s.n);
    name[s.n] = 0;
    return name;
}
