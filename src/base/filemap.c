/* SPDX-License-Identifier: MIT
 * filemap.c - files mapped read-only, and what happens when their bytes cannot be had.
 * Owns:   the table of open maps and the handler of SIGBUS, the signal that a system sends to a
 *         thread that touches a mapped byte behind the end of a file that was cut, or on a disk that
 *         fails. The handler puts zeros where the bytes should be and marks the map, so that the
 *         thread goes on; whoever used the bytes asks glim_filemap_check() afterwards and throws the
 *         results away.
 * Layout: a slot is free, or has an address that is written last and taken back first: the handler
 *         reads the table without a lock, from any thread.
 * Thread: any; a map is closed when nobody reads it any more.
 * See:    tests/fault/test_cut.c */
#include "base/fs_priv.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif

/* ---- the table ------------------------------------------------------------------------------- */

/* Several of the largest models (DeepSeek-V3 has 163 parts); maps beyond it are open but unguarded. */
#define N_SLOT 4096

_Static_assert(ATOMIC_POINTER_LOCK_FREE == 2 && ATOMIC_LLONG_LOCK_FREE == 2,
               "the signal handler may not wait for a lock");

typedef struct slot {
    atomic_bool taken;
    _Atomic(uintptr_t) p; /* 0: not filled */
    atomic_size_t n;
    atomic_ullong lost; /* 1 + offset of the first byte seen missing; 0: none */
} slot;

static slot slots[N_SLOT];
static atomic_size_t n_slot_used; /* the slots behind were never taken */
static size_t page_bytes;         /* set before the handler is installed */

/* Number of the map's slot, from 1; 0: all are taken. */
static uint32_t enter(const void *p, size_t n)
{
    for (size_t i = 0; i < N_SLOT; i++) {
        slot *s = &slots[i];
        if (atomic_exchange(&s->taken, true)) continue;
        atomic_store(&s->lost, 0);
        atomic_store(&s->n, n);
        atomic_store(&s->p, (uintptr_t)p);
        size_t used = atomic_load(&n_slot_used);
        while (used < i + 1 && !atomic_compare_exchange_weak(&n_slot_used, &used, i + 1))
            continue;
        return (uint32_t)i + 1;
    }
    return 0;
}

static void leave(uint32_t i_slot)
{
    if (!i_slot) return;
    atomic_store(&slots[i_slot - 1].p, 0);
    atomic_store(&slots[i_slot - 1].taken, false);
}

static void mark_lost(uint32_t i_slot, uint64_t offset)
{
    unsigned long long none = 0;
    if (i_slot) atomic_compare_exchange_strong(&slots[i_slot - 1].lost, &none, offset + 1);
}

/* ---- the handler: only what a signal handler may call ---------------------------------------- */

static struct sigaction previous;

/* True when the address lies in a map of ours and can be read now. Everything behind it becomes
 * zeros at once: a file that is cut lacks it all, and a step over gigabytes would be interrupted a
 * million times. */
static bool mend(uintptr_t at)
{
    size_t used = atomic_load(&n_slot_used);
    for (size_t i = 0; i < used; i++) {
        uintptr_t p = atomic_load(&slots[i].p);
        size_t n = atomic_load(&slots[i].n);
        uintptr_t begin = at & ~(uintptr_t)(page_bytes - 1);
        if (!p || at < p || at - p >= (n + page_bytes - 1) / page_bytes * page_bytes) continue;
        if (atomic_load(&slots[i].p) != p) continue; /* closed meanwhile: n was another map's */
        if (mmap((void *)begin, p + n - begin, PROT_READ,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) == MAP_FAILED)
            return false;
        mark_lost((uint32_t)i + 1, at - p);
        return true;
    }
    return false;
}

/* As if glim had never caught the signal. */
static void pass_on(int sig, siginfo_t *info, void *context)
{
    if (previous.sa_flags & SA_SIGINFO) {
        previous.sa_sigaction(sig, info, context);
    } else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
        previous.sa_handler(sig);
    } else if (previous.sa_handler == SIG_DFL || info->si_code > 0) {
        /* A fault comes again as soon as this returns (ignoring one is not possible); a signal that
         * somebody sent is sent once more. */
        signal(sig, SIG_DFL);
        if (info->si_code <= 0) raise(sig);
    }
}

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
    int err = errno;
    bool fault = info->si_code > 0 && info->si_code != BUS_ADRALN;
    if (!fault || !mend((uintptr_t)info->si_addr)) pass_on(sig, info, context);
    errno = err;
}

static void install(void)
{
    struct sigaction sa = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigemptyset(&sa.sa_mask);
    page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    if (sigaction(SIGBUS, NULL, &previous) == 0) (void)sigaction(SIGBUS, &sa, NULL);
}

void glim_guard_maps(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, install);
}

/* ---- maps ------------------------------------------------------------------------------------ */

glim_err glim_filemap_open(glim_filemap *m, const char *path, glim_error *e)
{
    struct stat st;
    int fd = -1;
    *m = (glim_filemap){0};
    glim_err rc = glim_fs_open_regular(path, &fd, &st, e);
    if (rc) return rc;
    if (st.st_size > 0) {
        void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
        if (p == MAP_FAILED) {
            rc = glim_fail(e, errno == ENOMEM ? GLIM_E_NOMEM : GLIM_E_IO,
                           "%s: cannot map %lld bytes: %s", path, (long long)st.st_size,
                           strerror(errno));
        } else {
            *m = (glim_filemap){.p = p,
                                .n = (size_t)st.st_size,
                                .dev = (uint64_t)st.st_dev,
                                .ino = (uint64_t)st.st_ino,
                                .i_slot = enter(p, (size_t)st.st_size)};
        }
    }
    close(fd);
    return rc;
}

void glim_filemap_close(glim_filemap *m)
{
    if (m->p) {
        leave(m->i_slot); /* before the address can become somebody else's */
        munmap((void *)(uintptr_t)m->p, m->n);
    }
    *m = (glim_filemap){0};
}

/* The end of the last page reads as zeros without a signal when a file is cut inside it, and there
 * may be no handler: the size is looked at too. A file that was replaced is another one; ours lives
 * on without a name. */
static bool is_cut(const glim_filemap *m, const char *path, uint64_t *at)
{
    struct stat st;
    if (stat(path, &st) != 0 || (uint64_t)st.st_dev != m->dev || (uint64_t)st.st_ino != m->ino ||
        st.st_size < 0 || (uint64_t)st.st_size >= m->n)
        return false;
    *at = (uint64_t)st.st_size;
    return true;
}

glim_err glim_filemap_check(const glim_filemap *m, const char *path, glim_error *e)
{
    uint64_t at = m->i_slot ? atomic_load(&slots[m->i_slot - 1].lost) : 0;
    if (!m->p) return GLIM_OK;
    if (at) {
        at--;
    } else if (is_cut(m, path, &at)) {
        mark_lost(m->i_slot, at); /* for good: what was read may have been zeros */
    } else {
        return GLIM_OK;
    }
    return glim_fail_off(e, GLIM_E_IO, at,
                         "%s: cannot be read at byte %llu: the file was cut while in use, or the "
                         "disk failed; put it back whole and open it again",
                         path, (unsigned long long)at);
}

void glim_filemap_lose(const glim_filemap *m, size_t offset)
{
    mark_lost(m->i_slot, offset);
}
