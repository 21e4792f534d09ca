/* SPDX-License-Identifier: MIT
 * machine.c - what this machine can do: read bandwidth, arithmetic, barrier, disk. A speed of the
 * engine means something only beside these.
 * Not here: what is made of the figures (the caller).
 * Thread: any, but nothing else should run meanwhile; a pool of its own is made for each count.
 * Fails:  NOMEM, FULL (no thread), IO (the file), CANCELLED.   See: tests/unit/engine/test_machine.c */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* O_DIRECT */
#endif
#include "engine/engine_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_PIECE ((size_t)256 << 10) /* bytes a thread takes at once: some 10 us */
#define N_SAMPLE 7
#define READ_BYTES_MIN ((size_t)256 << 20)
#define READ_BYTES_MAX ((size_t)512 << 20)

void glim_machine_opts_init(glim_machine_opts *o)
{
    *o = (glim_machine_opts){.size = sizeof *o, .what = GLIM_MEASURE_ALL};
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v, size_t n)
{
    qsort(v, n, sizeof *v, ascending);
    return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

static glim_err check_go_on(const glim_machine_opts *o, glim_error *e)
{
    return !o->go_on || o->go_on(o->user)
               ? GLIM_OK
               : glim_fail(e, GLIM_E_CANCELLED, "measuring was cancelled");
}

static double seconds_since(uint64_t t0)
{
    return (double)GLIM_MAX(glim_now_ns() - t0, 1) * 1e-9;
}

/* ---- reading --------------------------------------------------------------------------------- */

/* Several times the last-level cache, so that hardly a line of the pass before is still there; yet
 * no more than an eighth of the free memory, which may be full of weights. */
static size_t read_size(const glim_machine_opts *o)
{
    size_t n = READ_BYTES_MIN;
    uint64_t available = glim_mem_available();
    if (o->read_bytes) return GLIM_MAX(o->read_bytes, READ_PIECE);
#if defined(_SC_LEVEL3_CACHE_SIZE)
    long l3 = sysconf(_SC_LEVEL3_CACHE_SIZE);
    if (l3 > 0) n = GLIM_MAX(n, GLIM_MIN((size_t)l3, READ_BYTES_MAX) * 4);
#endif
    n = GLIM_MIN(n, READ_BYTES_MAX);
    if (available) n = (size_t)GLIM_MIN((uint64_t)n, available / 8);
    return GLIM_MAX(n, READ_PIECE);
}

typedef struct read_job {
    const glim_kernels *k;
    float *p;
    size_t n_bytes;
    float most[1024]; /* a result nobody needs, so that the reading cannot be left out */
} read_job;

static void fill_pieces(void *arg, int64_t begin, int64_t end, int i_thread)
{
    read_job *j = arg;
    (void)i_thread;
    memset((char *)j->p + (size_t)begin * READ_PIECE, 1, (size_t)(end - begin) * READ_PIECE);
}

static void read_pieces(void *arg, int64_t begin, int64_t end, int i_thread)
{
    read_job *j = arg;
    const int64_t n = READ_PIECE / sizeof(float);
    for (int64_t i = begin; i < end; i++) {
        float most = j->k->max(j->p + i * n, n);
        j->most[i_thread % 1024] = most;
    }
}

/* Takes as its kernel the best maximum of this machine, whatever level is asked for otherwise: the
 * memory is to be measured, not the kernel. */
static glim_err measure_read(const glim_machine_opts *o, glim_pool *pool, read_job *j, double *out,
                             glim_error *e)
{
    double sample[N_SAMPLE];
    int64_t n_piece = (int64_t)(j->n_bytes / READ_PIECE);
    glim_err rc = GLIM_OK;
    glim_pool_run(pool, n_piece, 1, read_pieces, j);
    for (size_t i = 0; !rc && i < N_SAMPLE; i++) {
        uint64_t t0 = glim_now_ns();
        glim_pool_run(pool, n_piece, 1, read_pieces, j);
        sample[i] = (double)n_piece * (double)READ_PIECE / seconds_since(t0);
        rc = check_go_on(o, e);
    }
    if (!rc) *out = median(sample, N_SAMPLE);
    return rc;
}

/* ---- arithmetic ------------------------------------------------------------------------------ */

/* One tile of a product: 16 rows and 16 columns of 2048 fit the second-level cache in any type, and
 * partly the first, as a tile of a prefill does. */
#define TILE_N 2048
#define TILE_ROWS 16
#define TILE_COLS 16
#define TILE_OPS (2.0 * TILE_N * TILE_ROWS * TILE_COLS)

typedef struct arith_job {
    const glim_kernels *k;
    glim_type type;
    const uint8_t *w, *x;
    size_t w_stride, x_stride;
    int64_t n_rep;
} arith_job;

static void multiply(void *arg, int64_t begin, int64_t end, int i_thread)
{
    const arith_job *j = arg;
    float y[TILE_ROWS * TILE_COLS];
    (void)i_thread;
    for (int64_t i = begin * j->n_rep; i < end * j->n_rep; i++)
        j->k->gemm[j->type](j->w, j->w_stride, TILE_ROWS, j->x, j->x_stride, TILE_COLS, TILE_N, y,
                            TILE_ROWS);
}

/* Weights are packed where the type is one of activations too. Blocks of the others are filled with
 * 0x11, which makes small scales and numbers that are no special case of any kernel. */
static void fill_rows(const glim_kernels *k, glim_type type, int64_t n_row, size_t stride,
                      const float *values, uint8_t *out)
{
    for (int64_t i = 0; i < n_row; i++) {
        if (k->pack[type])
            k->pack[type](values, out + (size_t)i * stride, TILE_N);
        else
            memset(out + (size_t)i * stride, 0x11, stride);
    }
}

static glim_err measure_type(const glim_machine_opts *o, glim_pool *pool, const glim_kernels *k,
                             glim_type type, double *out, glim_error *e)
{
    double sample[N_SAMPLE];
    glim_rng rng;
    arith_job j = {.k = k, .type = type, .n_rep = 1};
    int64_t n_item = 8 * glim_pool_size(pool);
    if (!glim_type_bytes(type, TILE_N, &j.w_stride) ||
        !glim_type_bytes(k->act[type], TILE_N, &j.x_stride))
        return glim_fail(e, GLIM_E_INTERNAL, "a tile of %s", glim_type_get(type)->name);
    float *values = glim_alloc_array(TILE_N, sizeof *values);
    uint8_t *w = glim_alloc_aligned(GLIM_CACHE_LINE, j.w_stride * TILE_ROWS),
            *x = glim_alloc_aligned(GLIM_CACHE_LINE, j.x_stride * TILE_COLS);
    glim_err rc = values && w && x ? GLIM_OK : glim_fail(e, GLIM_E_NOMEM, "tiles to multiply");
    if (!rc) {
        glim_rng_seed(&rng, 1);
        for (size_t i = 0; i < TILE_N; i++)
            values[i] = glim_rng_f32(&rng) - 0.5f;
        fill_rows(k, type, TILE_ROWS, j.w_stride, values, w);
        fill_rows(k, k->act[type], TILE_COLS, j.x_stride, values, x);
        j.w = w;
        j.x = x;
        /* Long enough to time: some 5 ms a sample, one product at least. */
        uint64_t t0 = glim_now_ns();
        glim_pool_run(pool, n_item, 1, multiply, &j);
        j.n_rep = (int64_t)GLIM_MAX(0.005 / seconds_since(t0), 1);
    }
    for (size_t i = 0; !rc && i < N_SAMPLE; i++) {
        uint64_t t0 = glim_now_ns();
        glim_pool_run(pool, n_item, 1, multiply, &j);
        sample[i] = (double)(n_item * j.n_rep) * TILE_OPS / seconds_since(t0);
        rc = check_go_on(o, e);
    }
    if (!rc) *out = median(sample, N_SAMPLE);
    glim_free(values);
    glim_free(w);
    glim_free(x);
    return rc;
}

/* ---- barrier --------------------------------------------------------------------------------- */

static void nothing(void *arg, int64_t begin, int64_t end, int i_thread)
{
    (void)arg, (void)begin, (void)end, (void)i_thread;
}

static double measure_barrier(glim_pool *pool)
{
    enum { N_RUN = 2000 };
    double sample[N_SAMPLE];
    for (size_t i = 0; i < N_SAMPLE; i++) {
        uint64_t t0 = glim_now_ns();
        for (int k = 0; k < N_RUN; k++)
            glim_pool_run(pool, glim_pool_size(pool), 1, nothing, NULL);
        sample[i] = seconds_since(t0) * 1e9 / N_RUN;
    }
    return median(sample, N_SAMPLE);
}

/* ---- disk ------------------------------------------------------------------------------------ */

#define DISK_PIECE ((size_t)4 << 20)
#define DISK_NS 2000000000u              /* of one kind of reading */
#define DISK_RANDOM ((uint64_t)12 << 20) /* three pieces: about the size of two experts */

static glim_err open_disk(const char *path, int *fd, uint64_t *n_bytes, glim_disk_mode *mode,
                          glim_error *e)
{
    struct stat st;
    *fd = -1;
#if defined(O_DIRECT)
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_DIRECT);
    *mode = GLIM_DISK_DIRECT;
#endif
    if (*fd < 0) {
        *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        *mode = GLIM_DISK_CACHED;
    }
    if (*fd < 0 || fstat(*fd, &st) != 0)
        return glim_fail(e, errno == ENOENT ? GLIM_E_NOTFOUND : GLIM_E_IO, "%s: %s", path,
                         strerror(errno));
    if (!S_ISREG(st.st_mode)) return glim_fail(e, GLIM_E_IO, "%s: not a file", path);
    *n_bytes = (uint64_t)st.st_size;
#if defined(POSIX_FADV_DONTNEED)
    /* Pages that are mapped stay; the figure is then one of the page cache, as the mode says. */
    if (*mode == GLIM_DISK_CACHED) (void)!posix_fadvise(*fd, 0, 0, POSIX_FADV_DONTNEED);
#endif
    return GLIM_OK;
}

/* Bytes a second; pieces follow one another, or a random place is taken every DISK_RANDOM. */
static glim_err read_disk(const glim_machine_opts *o, int fd, uint64_t n_bytes, bool random,
                          char *buffer, double *out, glim_error *e)
{
    uint64_t done = 0, at = 0, t0 = glim_now_ns();
    glim_rng rng;
    glim_rng_seed(&rng, 1);
    while (done < n_bytes && glim_now_ns() - t0 < DISK_NS) {
        if (random && done % DISK_RANDOM == 0)
            at = glim_rng_u64(&rng) % ((n_bytes - DISK_RANDOM) / DISK_PIECE) * DISK_PIECE;
        ssize_t got = pread(fd, buffer, DISK_PIECE, (off_t)at);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return glim_fail(e, GLIM_E_IO, "%s: %s", o->file, strerror(errno));
        if (got == 0) break;
        done += (uint64_t)got;
        at += (uint64_t)got;
        if ((size_t)got < DISK_PIECE)
            break; /* the end, or a place where direct reading must stop */
        glim_err rc = check_go_on(o, e);
        if (rc) return rc;
    }
    *out = (double)done / seconds_since(t0);
    return GLIM_OK;
}

static glim_err measure_disk(const glim_machine_opts *o, glim_machine *out, glim_error *e)
{
    int fd = -1;
    uint64_t n_bytes = 0;
    char *buffer = NULL;
    glim_err rc = open_disk(o->file, &fd, &n_bytes, &out->disk_mode, e);
    if (!rc) {
        buffer = glim_alloc_aligned(4096, DISK_PIECE); /* direct reading wants whole pages */
        if (!buffer) rc = glim_fail(e, GLIM_E_NOMEM, "a buffer of %zu bytes", DISK_PIECE);
    }
    if (!rc) rc = read_disk(o, fd, n_bytes, false, buffer, &out->disk_bytes_s, e);
    if (!rc && n_bytes > 8 * DISK_RANDOM)
        rc = read_disk(o, fd, n_bytes, true, buffer, &out->disk_random_bytes_s, e);
    if (fd >= 0) close(fd);
    glim_free(buffer);
    return rc;
}

/* ---- all ------------------------------------------------------------------------------------- */

static glim_err measure_point(const glim_machine_opts *o, const glim_kernels *k, read_job *j,
                              glim_machine_point *p, glim_error *e)
{
    const struct {
        glim_type type;
        double *out;
    } kinds[] = {{GLIM_Q4_K, &p->q4_k_ops_s},
                 {GLIM_Q8_0, &p->q8_0_ops_s},
                 {GLIM_BF16, &p->bf16_ops_s},
                 {GLIM_F32, &p->f32_ops_s}};
    glim_pool *pool;
    glim_err rc = glim_pool_new(p->n_thread, &pool, e);
    if (rc) return rc;
    if (o->what & GLIM_MEASURE_READ) {
        glim_pool_run(pool, (int64_t)(j->n_bytes / READ_PIECE), 1, fill_pieces, j);
        rc = measure_read(o, pool, j, &p->read_bytes_s, e);
    }
    for (size_t i = 0; !rc && o->what & GLIM_MEASURE_ARITH && i < GLIM_COUNT(kinds); i++)
        rc = measure_type(o, pool, k, kinds[i].type, kinds[i].out, e);
    if (!rc && o->what & GLIM_MEASURE_BARRIER && p->n_thread > 1)
        p->barrier_ns = measure_barrier(pool);
    glim_pool_free(pool);
    return rc ? rc : check_go_on(o, e);
}

/* 1, 2, 4, ... and the number asked for. */
static void choose_points(glim_machine *m, int n_thread, bool alone)
{
    for (int n = 1; !alone && n < n_thread && m->n_point + 1 < GLIM_MACHINE_POINTS; n *= 2)
        m->point[m->n_point++].n_thread = n;
    m->point[m->n_point++].n_thread = n_thread;
}

glim_err glim_machine_measure(const glim_machine_opts *given, glim_machine *out, glim_error *e)
{
    glim_machine_opts o;
    glim_cpu_level level = glim_cpu_best();
    glim_kernels best, kernels;
    glim_machine_opts_init(&o);
    if (given) memcpy(&o, given, GLIM_MIN(given->size, sizeof o));
    *out = (glim_machine){0};
    if (o.n_thread < 0 || o.n_thread > 1024)
        return glim_fail(e, GLIM_E_INPUT, "%d threads: 1 to 1024 are possible", o.n_thread);
    if (o.cpu && (!glim_cpu_level_find(glim_str_of(o.cpu), &level) || level > glim_cpu_best()))
        return glim_fail(e, GLIM_E_INPUT, "kernel level %s is unknown or beyond this machine",
                         GLIM_QUOTE(glim_str_of(o.cpu)));
    glim_kernels_get(glim_cpu_best(), &best);
    glim_kernels_get(level, &kernels);
    out->cpu = glim_cpu_level_name(level);
    out->cpu_model = glim_cpu_model();
    choose_points(out, o.n_thread ? o.n_thread : glim_cpu_count(), o.alone);

    glim_err rc = GLIM_OK;
    read_job *j = glim_new0(read_job);
    if (!j) return glim_fail(e, GLIM_E_NOMEM, "measuring");
    if (o.what & GLIM_MEASURE_READ) {
        j->k = &best;
        j->n_bytes = read_size(&o) / READ_PIECE * READ_PIECE;
        j->p = glim_alloc_aligned((size_t)2 << 20, j->n_bytes);
        if (!j->p)
            rc = glim_fail(e, GLIM_E_NOMEM, "%zu bytes to measure the memory with", j->n_bytes);
#if defined(MADV_HUGEPAGE)
        else
            (void)!madvise(j->p, j->n_bytes, MADV_HUGEPAGE);
#endif
        out->read_size_bytes = j->n_bytes;
    }
    if (o.what & (GLIM_MEASURE_READ | GLIM_MEASURE_ARITH | GLIM_MEASURE_BARRIER))
        for (int i = 0; !rc && i < out->n_point; i++)
            rc = measure_point(&o, &kernels, j, &out->point[i], e);
    glim_free(j->p);
    glim_free(j);
    if (!rc && o.what & GLIM_MEASURE_DISK && o.file) rc = measure_disk(&o, out, e);
    return rc;
}
