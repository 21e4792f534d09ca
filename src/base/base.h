/* SPDX-License-Identifier: MIT
 * base.h - the one header of room base: errors, memory, strings, files, threads, logging.
 * Thread: as each function says; unmarked ones are for one thread at a time. */
#ifndef GLIM_BASE_H
#define GLIM_BASE_H

#include "glim/glim.h"
#include "base/compiler.h"

#include <stdarg.h>
#include <string.h>

/* ---- err.c ----------------------------------------------------------------------------------- */

/* Fills *e (unless NULL) with code, place and message, and returns code. The offset is unset.
 * A message too long for the buffer keeps its beginning and its end, with "..." between. */
#define glim_fail(e, code, ...)                                                                    \
    glim_fail_at((e), (code), GLIM_NO_OFFSET, __FILE__, __LINE__, __VA_ARGS__)
/* The same with the byte offset in the input that was being parsed. */
#define glim_fail_off(e, code, off, ...)                                                           \
    glim_fail_at((e), (code), (off), __FILE__, __LINE__, __VA_ARGS__)
GLIM_MUST_USE glim_err glim_fail_at(glim_error *e, glim_err code, uint64_t offset, const char *file,
                                    int line, const char *fmt, ...) GLIM_PRINTF(6, 7);
/* Puts "prefix: " before the message of an error that a lower layer filled; returns e's code. */
glim_err glim_error_prefix(glim_error *e, const char *fmt, ...) GLIM_PRINTF(2, 3);

/* printf helper for untrusted bytes in messages: "%.*s" with GLIM_STR_ARG(s). Control bytes are the
 * caller's affair: use glim_quote() for anything that came from outside. */
#define GLIM_STR_ARG(s) (int)GLIM_MIN((s).n, (size_t)200), (s).p ? (s).p : ""

/* ---- alloc.c: the only place that calls malloc ----------------------------------------------- */

/* Thread: any. All return NULL on failure; sizes of 0 give a valid pointer. */
void *glim_alloc(size_t n);
void *glim_alloc0(size_t n);
void *glim_alloc_array(size_t n, size_t size); /* zeroed, checked multiply */
void *glim_realloc(void *p, size_t n);
void *glim_alloc_aligned(size_t align, size_t n); /* align: power of two; end with glim_free() */
void glim_free(void *p);                          /* NULL is fine */
/* Gives free memory back to the system where the C library keeps it: after something large has gone. Takes the library's
 * locks for some milliseconds at most. */
void glim_alloc_trim(void);
#define glim_new0(type) ((type *)glim_alloc0(sizeof(type)))

/* Fault injection for tests: fn returns false to make the allocation fail. NULL removes it.
 * Set before other threads start. */
void glim_alloc_set_hook(bool (*fn)(void *user, size_t n), void *user);
/* Number of allocations so far; a decode step asserts that it does not change. Thread: any. */
uint64_t glim_alloc_count(void);

/* ---- arena.c: memory named by lifetime, ended all at once ------------------------------------ */

typedef struct glim_arena glim_arena;
typedef struct glim_mark {
    void *block;
    size_t used;
} glim_mark;

/* A growing arena that never holds more than max_bytes. NULL when out of memory. */
glim_arena *glim_arena_new(size_t max_bytes);
/* One block of exactly `bytes`, never grown: for decode steps. */
glim_arena *glim_arena_new_fixed(size_t bytes);
void glim_arena_free(glim_arena *a);
void glim_arena_reset(glim_arena *a); /* keeps the first block */
/* 64-byte aligned for sizes of 64 and more, else 16. NULL at the maximum or out of memory. */
void *glim_arena_alloc(glim_arena *a, size_t n);
void *glim_arena_alloc0(glim_arena *a, size_t n);
void *glim_arena_array(glim_arena *a, size_t n, size_t size); /* checked multiply, not zeroed */
#define GLIM_ARENA_ARRAY(a, type, n) ((type *)glim_arena_array((a), (size_t)(n), sizeof(type)))
#define GLIM_ARENA_NEW0(a, type) ((type *)glim_arena_alloc0((a), sizeof(type)))
/* Copies s and adds a NUL behind it; .p is NULL when out of memory. */
glim_str glim_arena_str(glim_arena *a, glim_str s);
glim_mark glim_arena_mark(glim_arena *a);
void glim_arena_rewind(glim_arena *a, glim_mark m);
size_t glim_arena_used(const glim_arena *a); /* bytes taken, all blocks */

/* ---- buf.c: growing bytes with a maximum ----------------------------------------------------- */

/* After a failed append the buffer stays as it was, remembers err, and refuses more: a writer may
 * append many times and look at b->err once. */
typedef struct glim_buf {
    char *p; /* NUL-terminated whenever not NULL; the NUL is not counted */
    size_t n, cap, max;
    glim_err err;
} glim_buf;

void glim_buf_init(glim_buf *b, size_t max_bytes);
void glim_buf_deinit(glim_buf *b);
void glim_buf_clear(glim_buf *b); /* keeps the memory; forgets err */
glim_err glim_buf_add(glim_buf *b, const void *p, size_t n);
glim_err glim_buf_adds(glim_buf *b, const char *s); /* NUL-terminated */
glim_err glim_buf_addv(glim_buf *b, glim_str s);
glim_err glim_buf_addc(glim_buf *b, char c);
glim_err glim_buf_addf(glim_buf *b, const char *fmt, ...) GLIM_PRINTF(2, 3);
void glim_buf_drop(glim_buf *b, size_t n); /* removes the first n bytes */
void glim_buf_cut(glim_buf *b, size_t n);  /* keeps the first n bytes */
static inline glim_str glim_buf_view(const glim_buf *b)
{
    return (glim_str){b->p, b->n};
}

/* ---- str.c ----------------------------------------------------------------------------------- */

static inline glim_str glim_str_of(const char *s)
{
    return (glim_str){s, s ? strlen(s) : 0};
}
#define GLIM_STR(lit) ((glim_str){"" lit, sizeof(lit) - 1})
static inline bool glim_str_eq(glim_str a, glim_str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}
static inline bool glim_str_is(glim_str a, const char *s)
{
    return glim_str_eq(a, glim_str_of(s));
}
static inline bool glim_str_starts(glim_str a, glim_str prefix)
{
    return a.n >= prefix.n && (prefix.n == 0 || memcmp(a.p, prefix.p, prefix.n) == 0);
}
static inline bool glim_str_ends(glim_str a, glim_str suffix)
{
    return a.n >= suffix.n &&
           (suffix.n == 0 || memcmp(a.p + a.n - suffix.n, suffix.p, suffix.n) == 0);
}
static inline glim_str glim_str_sub(glim_str a, size_t begin, size_t end)
{
    return (glim_str){a.p + begin, end - begin};
}
bool glim_str_ieq(glim_str a, glim_str b);           /* ASCII case ignored */
size_t glim_str_find(glim_str hay, glim_str needle); /* SIZE_MAX when absent; "" is at 0 */
glim_str glim_str_trim(glim_str s, const char *set); /* both ends, bytes of set */
/* Whole-string number parsing, locale-free; false for anything else, overflow included. */
bool glim_parse_i64(glim_str s, int64_t *out);
bool glim_parse_u64(glim_str s, uint64_t *out);
bool glim_parse_f64(glim_str s, double *out); /* decimal and exponent only, finite only */
/* Printable, short form of untrusted bytes for messages, in quotes; cut with "..." to fit. Writes
 * to and returns out; n_out at least 8. */
const char *glim_quote(glim_str s, char *out, size_t n_out);
#define GLIM_QUOTE(s) glim_quote((s), (char[96]){0}, 96)

/* UTF-8 as RFC 3629 has it: no surrogates, no overlong forms, at most U+10FFFF. */
bool glim_utf8_valid(glim_str s, size_t *bad_offset); /* bad_offset may be NULL */
/* Code point at s.p[0]; returns its length, or 0 if the bytes there are not valid UTF-8 (n > 0). */
int glim_utf8_decode(glim_str s, uint32_t *cp);
int glim_utf8_encode(uint32_t cp, char out[4]); /* 0 for surrogates and beyond U+10FFFF */
/* Length of the incomplete but so far valid UTF-8 sequence at the end of s (0 to 3). */
size_t glim_utf8_partial(glim_str s);

/* ---- map.c: byte string -> uint32 ------------------------------------------------------------ */

typedef struct glim_map glim_map;
glim_map *glim_map_new(size_t n_expected);
void glim_map_free(glim_map *m);
/* Borrows the key's bytes until glim_map_free(). Fails with NOMEM, or STATE when the key is there
 * already (then nothing changes). */
GLIM_MUST_USE glim_err glim_map_put(glim_map *m, glim_str key, uint32_t value);
bool glim_map_get(const glim_map *m, glim_str key,
                  uint32_t *value); /* value may be NULL. Thread: any */
size_t glim_map_count(const glim_map *m);

/* ---- rng.c: xoshiro256++ seeded by splitmix64 ------------------------------------------------ */

typedef struct glim_rng {
    uint64_t s[4];
} glim_rng;
void glim_rng_seed(glim_rng *r, uint64_t seed);
uint64_t glim_rng_u64(glim_rng *r);
float glim_rng_f32(glim_rng *r);  /* [0, 1), 24 bits */
double glim_rng_f64(glim_rng *r); /* [0, 1), 53 bits */
uint64_t glim_entropy(void);      /* from the system */

/* ---- time.c ---------------------------------------------------------------------------------- */

uint64_t glim_now_ns(void); /* monotonic. Thread: any */

/* ---- log.c ----------------------------------------------------------------------------------- */

bool glim_log_on(glim_log_level level);
void glim_log(glim_log_level level, const char *area, const char *event, const char *fmt, ...)
    GLIM_PRINTF(4, 5);
#define GLIM_LOG_(lvl, area, ev, ...)                                                              \
    do {                                                                                           \
        if (glim_log_on(lvl)) glim_log(lvl, area, ev, __VA_ARGS__);                                \
    } while (0)
#define GLIM_ERROR(area, ev, ...) GLIM_LOG_(GLIM_LOG_ERROR, area, ev, __VA_ARGS__)
#define GLIM_WARN(area, ev, ...) GLIM_LOG_(GLIM_LOG_WARN, area, ev, __VA_ARGS__)
#define GLIM_INFO(area, ev, ...) GLIM_LOG_(GLIM_LOG_INFO, area, ev, __VA_ARGS__)
#define GLIM_DEBUG(area, ev, ...) GLIM_LOG_(GLIM_LOG_DEBUG, area, ev, __VA_ARGS__)

/* ---- fs.c, filemap.c ------------------------------------------------------------------------- */

/* A file mapped read-only. Only regular files are opened. */
typedef struct glim_filemap {
    const uint8_t *p; /* NULL when the file is empty */
    size_t n;
    uint64_t dev, ino; /* private: which file it is */
    uint32_t i_slot;   /* private: where filemap.c keeps track of it */
} glim_filemap;
/* Errors: NOTFOUND (no such file), IO (with errno's text; also for folders and devices). */
GLIM_MUST_USE glim_err glim_filemap_open(glim_filemap *m, const char *path, glim_error *e);
void glim_filemap_close(glim_filemap *m); /* zeroed or closed ones are fine */
/* OK while every byte read so far was the file's; asked after reading and before the result is
 * used. Once it failed it fails until close. path: the one it was opened by. Errors: IO (file and
 * offset): cut while in use, or the disk failed. Thread: any. */
GLIM_MUST_USE glim_err glim_filemap_check(const glim_filemap *m, const char *path, glim_error *e);
/* Makes the check fail from now on: the byte at offset is known to be unreadable. Thread: any. */
void glim_filemap_lose(const glim_filemap *m, size_t offset);
/* Reads a whole file (or standard input for path "-") into b; LIMIT when larger than b->max. */
GLIM_MUST_USE glim_err glim_read_file(const char *path, glim_buf *b, glim_error *e);
bool glim_is_dir(const char *path);
bool glim_is_file(const char *path);
/* dir + "/" + name into the arena; NULL when out of memory. */
char *glim_path_join(glim_arena *a, const char *dir, const char *name);
uint64_t
glim_mem_total(void); /* bytes of RAM this process may use: machine and cgroup limit; 0 unknown */
uint64_t glim_mem_available(void); /* bytes free or reclaimable now; 0 unknown */

/* ---- outfile.c: a file that appears whole or not at all -------------------------------------- */

typedef struct glim_outfile {
    int fd;
    char *path, *temp; /* the target; the name that the bytes have until commit */
    uint64_t n;        /* bytes written */
} glim_outfile;
/* Begins a file beside path. An existing regular file keeps its mode and its bytes until commit; a
 * link stays a link. Errors: NOTFOUND (no such folder), IO (errno's text; also for folders, devices
 * and files that may not be written), NOMEM. On error there is nothing to discard. */
GLIM_MUST_USE glim_err glim_outfile_open(glim_outfile *o, const char *path, glim_error *e);
/* Takes room on the disk where the filesystem can, so that a full one is known at once. */
GLIM_MUST_USE glim_err glim_outfile_reserve(glim_outfile *o, uint64_t n_bytes, glim_error *e);
/* Short writes and interruptions are the function's affair. Errors: IO; then discard. */
GLIM_MUST_USE glim_err glim_outfile_write(glim_outfile *o, const void *p, size_t n, glim_error *e);
/* Everything to the disk, then the target's name. Errors: IO; then discard. */
GLIM_MUST_USE glim_err glim_outfile_commit(glim_outfile *o, glim_error *e);
/* Removes what was written; fine after commit and for zeroed ones. */
void glim_outfile_discard(glim_outfile *o);

/* ---- pool.c: worker threads that run one function together ----------------------------------- */

typedef struct glim_pool glim_pool;
/* fn is called for disjoint ranges [begin, end) that together cover [0, n_item). The split never
 * changes a result: each item is computed by one thread in one order. i_thread < glim_pool_size().
 */
typedef void (*glim_pool_fn)(void *arg, int64_t begin, int64_t end, int i_thread);

/* n_thread counts the caller, who works too; 1 makes no thread. Fails with NOMEM or FULL (no thread
 * to be had), leaving nothing behind. */
GLIM_MUST_USE glim_err glim_pool_new(int n_thread, glim_pool **out, glim_error *e);
void glim_pool_free(glim_pool *p);
int glim_pool_size(const glim_pool *p);
/* Returns when all items are done. grain: least number of items worth handing to a thread, and the
 * size of the pieces that threads take. Not reentrant. Thread: the owner of the pool. */
void glim_pool_run(glim_pool *p, int64_t n_item, int64_t grain, glim_pool_fn fn, void *arg);

/* ---- cpu.c ----------------------------------------------------------------------------------- */

typedef enum glim_cpu_level {
#define LEVEL(id, name, text) GLIM_CPU_##id,
#include "base/cpu.def"
#undef LEVEL
    GLIM_CPU_LEVEL_COUNT
} glim_cpu_level;

/* Highest level that this machine runs (the operating system's consent included). */
glim_cpu_level glim_cpu_best(void);
const char *glim_cpu_level_name(glim_cpu_level l);
/* False for an unknown name. "auto" gives glim_cpu_best(). */
bool glim_cpu_level_find(glim_str name, glim_cpu_level *out);
const char *glim_cpu_model(void); /* "AMD EPYC", never NULL */
int glim_cpu_count(void);         /* cores this process may use: affinity and cgroup quota */

#endif
