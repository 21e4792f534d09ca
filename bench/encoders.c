/* SPDX-License-Identifier: MIT
 * encoders.c - how fast an encoder turns token ids into vectors, without process start, loading or
 * tokenizing: what bench/encoders.py runs beside another program.
 *   encoders MODEL IDS [threads] [level] [batch tokens] [repetitions] [vectors out]
 * IDS has a text a line, ids in decimal. Prints seconds and tokens of each repetition, JSON lines.
 * Here and not in the program: it is a measuring tool, and measures below the public API. */
#include "models/models.h"
#include "base/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define POOLING GLIM_POOLING_MEAN

typedef struct texts {
    int32_t *ids;
    int64_t *offset; /* [n + 1] */
    int64_t n, longest;
} texts;

static int fail(const glim_error *e)
{
    fprintf(stderr, "encoders: %s\n", e->msg);
    return 1;
}

/* One line a text. */
static bool read_texts(const char *path, texts *t)
{
    FILE *f = fopen(path, "r");
    if (!f) return false;
    fseek(f, 0, SEEK_END);
    size_t size = (size_t)ftell(f);
    rewind(f);
    char *s = calloc(size + 1, 1);
    size_t got = s ? fread(s, 1, size, f) : 0;
    fclose(f);
    /* No text is shorter than two bytes with its end, no id than one with its space. */
    t->ids = calloc(size + 1, sizeof *t->ids);
    t->offset = calloc(size + 2, sizeof *t->offset);
    if (!s || got != size || !t->ids || !t->offset) return false;
    int64_t n = 0;
    for (char *p = s; *p;) {
        char *end;
        while (*p == ' ')
            p++;
        if (*p == '\n') {
            if (n > t->offset[t->n]) t->offset[++t->n] = n;
            p++;
            continue;
        }
        long id = strtol(p, &end, 10);
        if (end == p) break;
        t->ids[n++] = (int32_t)id;
        p = end;
    }
    for (int64_t i = 0; i < t->n; i++)
        t->longest = GLIM_MAX(t->longest, t->offset[i + 1] - t->offset[i]);
    free(s);
    return t->n > 0;
}

/* All texts once, in their order, as many in a batch as fit. */
static glim_err run_all(const glim_enc_core *m, glim_ops *o, const texts *t, int64_t n_batch,
                        int64_t *offset, float *vectors, glim_error *e)
{
    for (int64_t i = 0; i < t->n;) {
        int64_t k = 0, first = t->offset[i];
        do {
            offset[k++] = t->offset[i++] - first;
        } while (i < t->n && t->offset[i + 1] - first <= n_batch);
        offset[k] = t->offset[i] - first;
        glim_enc_batch b = {.tokens = t->ids + first,
                            .offset = offset,
                            .n_seq = k,
                            .pooling = POOLING,
                            .vectors = vectors + (i - k) * m->n_embd};
        glim_err rc = glim_enc_forward(m, o, &b, e);
        if (rc) return rc;
    }
    return GLIM_OK;
}

/* Processor time of all threads: steadier than the clock on a crowded machine, with one thread. */
static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void write_vectors(const char *path, const float *v, size_t n)
{
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(v, sizeof *v, n, f) != n) fprintf(stderr, "encoders: cannot write %s\n", path);
    if (f) fclose(f);
}

int main(int argc, char **argv)
{
    glim_error e = {0};
    texts t = {0};
    if (argc < 3 || !read_texts(argv[2], &t)) {
        fprintf(stderr, "usage: encoders MODEL IDS [threads] [level] [batch tokens] [repetitions] "
                        "[vectors out]\n");
        return 64;
    }
    int n_thread = argc > 3 ? atoi(argv[3]) : glim_cpu_count();
    glim_cpu_level level = glim_cpu_best();
    if (argc > 4 && !glim_cpu_level_find(glim_str_of(argv[4]), &level)) return 64;
    int64_t n_batch = argc > 5 ? atoll(argv[5]) : 2048;
    int n_rep = argc > 6 ? atoi(argv[6]) : 3;

    glim_modelfile *f;
    glim_enc_core *m;
    if (glim_modelfile_open(argv[1], 0, &f, &e)) return fail(&e);
    glim_load_opts opts = {0};
    if (glim_enc_load(f, &opts, &m, &e)) return fail(&e);
    glim_kernels k;
    glim_kernels_get(level, &k);
    glim_ops o = {.k = &k};
    if (glim_pool_new(n_thread, &o.pool, &e)) return fail(&e);
    n_batch = GLIM_MAX(n_batch, t.longest);
    o.step = glim_arena_new_fixed(glim_enc_scratch_bytes(m, n_batch, n_thread));
    int64_t *offset = calloc((size_t)t.n + 1, sizeof *offset);
    float *vectors = calloc((size_t)(t.n * m->n_embd), sizeof *vectors);
    if (!o.step || !offset || !vectors) return 1;
    for (int i = 0; i < n_rep; i++) {
        uint64_t t0 = glim_now_ns();
        double cpu = cpu_seconds();
        if (run_all(m, &o, &t, n_batch, offset, vectors, &e)) return fail(&e);
        double s = (double)(glim_now_ns() - t0) * 1e-9;
        cpu = cpu_seconds() - cpu;
        printf("{\"seconds\":%.6f,\"cpu_seconds\":%.6f,\"texts\":%lld,\"tokens\":%lld,"
               "\"tokens_s\":%.0f,\"tokens_cpu_s\":%.0f}\n",
               s, cpu, (long long)t.n, (long long)t.offset[t.n], (double)t.offset[t.n] / s,
               (double)t.offset[t.n] / cpu);
        fflush(stdout);
    }
    if (argc > 7) write_vectors(argv[7], vectors, (size_t)(t.n * m->n_embd));
    glim_arena_free(o.step);
    glim_pool_free(o.pool);
    glim_enc_free(m);
    glim_modelfile_close(f);
    free(offset);
    free(vectors);
    free(t.ids);
    free(t.offset);
    return 0;
}
