/* SPDX-License-Identifier: MIT
 * fs.c - files: read whole up to a limit, paths; and how much memory there is.
 * Not here: files that are mapped (filemap.c) or written (outfile.c).
 * Thread: any. */
#include "base/fs_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

glim_err glim_fs_open_regular(const char *path, int *fd, struct stat *st, glim_error *e)
{
    /* O_NONBLOCK: opening a pipe without a writer must not hang before fstat can refuse it. */
    int f;
    do
        f = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    while (f < 0 && errno == EINTR);
    if (f < 0) {
        int err = errno;
        glim_err code = err == ENOENT || err == ENOTDIR ? GLIM_E_NOTFOUND : GLIM_E_IO;
        return glim_fail(e, code, "%s: %s", path, strerror(err));
    }
    if (fstat(f, st) != 0) {
        int err = errno;
        close(f);
        return glim_fail(e, GLIM_E_IO, "%s: %s", path, strerror(err));
    }
    if (!S_ISREG(st->st_mode)) {
        close(f);
        return glim_fail(e, GLIM_E_IO, "%s: %s, not a file", path,
                         S_ISDIR(st->st_mode) ? "a folder" : "a device or pipe");
    }
    *fd = f;
    return GLIM_OK;
}

static glim_err read_all(int fd, const char *name, glim_buf *b, glim_error *e)
{
    char chunk[65536];
    for (;;) {
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) { /* standard input that somebody made non-blocking */
            struct pollfd wait = {.fd = fd, .events = POLLIN};
            (void)poll(&wait, 1, -1);
            continue;
        }
        if (n < 0)
            return glim_fail(e, GLIM_E_IO, "%s: reading failed after %zu bytes: %s", name, b->n,
                             strerror(errno));
        if (n == 0) return GLIM_OK;
        glim_err rc = glim_buf_add(b, chunk, (size_t)n);
        if (rc == GLIM_E_LIMIT) return glim_fail(e, rc, "%s: longer than %zu bytes", name, b->max);
        if (rc) return glim_fail(e, rc, "%s: no memory after %zu bytes", name, b->n);
    }
}

glim_err glim_read_file(const char *path, glim_buf *b, glim_error *e)
{
    if (strcmp(path, "-") == 0) return read_all(STDIN_FILENO, "standard input", b, e);
    struct stat st;
    int fd = -1;
    /* A named pipe or /dev/stdin is fine here: it is read once, front to back. */
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)) {
        do
            fd = open(path, O_RDONLY | O_CLOEXEC); /* waits until somebody writes */
        while (fd < 0 && errno == EINTR);
        if (fd < 0) return glim_fail(e, GLIM_E_IO, "%s: %s", path, strerror(errno));
    } else {
        glim_err rc = glim_fs_open_regular(path, &fd, &st, e);
        if (rc) return rc;
    }
    glim_err rc = read_all(fd, path, b, e);
    close(fd);
    return rc;
}

bool glim_is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool glim_is_file(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

char *glim_path_join(glim_arena *a, const char *dir, const char *name)
{
    size_t nd = strlen(dir), nn = strlen(name);
    char *p = glim_arena_alloc(a, nd + nn + 2);
    if (!p) return NULL;
    memcpy(p, dir, nd);
    if (nd == 0 || p[nd - 1] != '/') p[nd++] = '/';
    memcpy(p + nd, name, nn + 1);
    return p;
}

/* First number in a small system file; false when it cannot be read or says "max". */
static bool read_number(const char *path, uint64_t *out)
{
    char line[64];
    FILE *f = fopen(path, "r");
    if (!f) return false;
    char *got = fgets(line, sizeof line, f);
    fclose(f);
    return got && glim_parse_u64(glim_str_trim(glim_str_of(line), " \n"), out);
}

static uint64_t meminfo(const char *key)
{
    char line[128];
    uint64_t kib = 0;
    FILE *f = fopen("/proc/meminfo", "r");
    if (!f) return 0;
    while (fgets(line, sizeof line, f)) {
        glim_str s = glim_str_of(line);
        if (!glim_str_starts(s, glim_str_of(key))) continue;
        s = glim_str_trim(glim_str_sub(s, strlen(key), s.n), ": \nkB");
        if (glim_parse_u64(s, &kib)) break;
    }
    fclose(f);
    return kib * 1024;
}

uint64_t glim_mem_total(void)
{
    uint64_t total = meminfo("MemTotal"), limit;
    if (read_number("/sys/fs/cgroup/memory.max", &limit) && limit > 0 &&
        (total == 0 || limit < total))
        total = limit;
    return total;
}

uint64_t glim_mem_available(void)
{
    uint64_t available = meminfo("MemAvailable"), limit, used;
    if (read_number("/sys/fs/cgroup/memory.max", &limit) &&
        read_number("/sys/fs/cgroup/memory.current", &used)) {
        /* The group's page cache counts as used there although it can be dropped: take the milder
         * of both views. */
        uint64_t total = meminfo("MemTotal");
        if (limit < total && available > limit) available = limit;
        (void)used;
    }
    return available;
}
