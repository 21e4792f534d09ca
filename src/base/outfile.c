/* SPDX-License-Identifier: MIT
 * outfile.c - a file that appears under its name whole, or not at all.
 * Owns:   the other name beside the target, under which the bytes are written, and its end: given the
 * target's name by commit, removed by everything else.
 * Not here: what the bytes are.
 * Thread: any, one at a time for each file.
 * Fails:  IO with errno's text and how far it came; NOTFOUND (no such folder); NOMEM. After a failure
 * only discard is left to do.   See: tests/unit/base/test_outfile.c */
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* fallocate */
#endif
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef PATH_MAX
#define PATH_MAX 4096
#endif

/* Why a system call failed, with a cure where there is one. */
static glim_err failed(const glim_outfile *o, const char *what, int err, glim_error *e)
{
    const char *cure = err == ENOSPC || err == EDQUOT ? "; make room or choose another place"
                       : err == EFBIG ? "; raise the limit on file sizes (ulimit -f)"
                       : err == EROFS || err == EACCES || err == EPERM ? "; choose another place"
                                                                       : "";
    return glim_fail(e, GLIM_E_IO, "%s: %s after %llu bytes: %s%s", o->path, what,
                     (unsigned long long)o->n, strerror(err), cure);
}

static char *copy(const char *s, size_t n_extra)
{
    size_t n = strlen(s);
    char *p = glim_alloc(n + n_extra + 1);
    if (p) memcpy(p, s, n + 1);
    return p;
}

/* Refuses what a rename would destroy (a device, a folder), follows a link so that it stays one, and
 * learns the mode of the file that is replaced; 0: there is none. */
static glim_err look_at_target(glim_outfile *o, const char *path, mode_t *mode, glim_error *e)
{
    char real[PATH_MAX];
    struct stat st;
    *mode = 0;
    if (!path[0]) return glim_fail(e, GLIM_E_IO, "the name of the file to write is empty");
    if (lstat(path, &st) == 0 && S_ISLNK(st.st_mode)) {
        if (!realpath(path, real))
            return glim_fail(e, GLIM_E_IO, "%s: a link that leads nowhere: %s", path,
                             strerror(errno));
        path = real;
    }
    o->path = copy(path, 0);
    if (!o->path) return glim_fail(e, GLIM_E_NOMEM, "%s: no memory for its name", path);
    if (stat(path, &st) != 0) return GLIM_OK; /* new; what is wrong with the folder shows at open */
    if (!S_ISREG(st.st_mode))
        return glim_fail(e, GLIM_E_IO, "%s: %s, not a file", path,
                         S_ISDIR(st.st_mode) ? "a folder" : "a device or pipe");
    if (access(path, W_OK) != 0)
        return glim_fail(e, GLIM_E_IO, "%s: %s; choose another name", path, strerror(errno));
    *mode = st.st_mode & 0777;
    return GLIM_OK;
}

glim_err glim_outfile_open(glim_outfile *o, const char *path, glim_error *e)
{
    enum { N_SUFFIX = 40 };
    mode_t mode;
    *o = (glim_outfile){.fd = -1};
    glim_err rc = look_at_target(o, path, &mode, e);
    size_t n = rc ? 0 : strlen(o->path);
    if (!rc) o->temp = copy(o->path, N_SUFFIX);
    if (!rc && !o->temp) rc = glim_fail(e, GLIM_E_NOMEM, "%s: no memory for its name", path);
    int err = 0;
    for (int i = 0; !rc && o->fd < 0 && i < 100; i++) {
        snprintf(o->temp + n, N_SUFFIX, ".part-%ld-%d", (long)getpid(), i);
        o->fd = open(o->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        err = o->fd < 0 ? errno : 0;
        if (err && err != EEXIST && err != EINTR) break; /* else somebody's leftover: next name */
    }
    if (!rc && o->fd < 0) {
        glim_err code = err == ENOENT || err == ENOTDIR ? GLIM_E_NOTFOUND : GLIM_E_IO;
        rc = glim_fail(e, code, "%s: cannot write there: %s; choose another place", o->path,
                       strerror(err));
        glim_free(o->temp); /* not ours to remove */
        o->temp = NULL;
    }
    if (!rc && mode) (void)fchmod(o->fd, mode); /* a courtesy: not all filesystems have modes */
    if (rc) glim_outfile_discard(o);
    return rc;
}

glim_err glim_outfile_reserve(glim_outfile *o, uint64_t n_bytes, glim_error *e)
{
#if defined(__linux__)
    int rc, err;
    if (n_bytes == 0 || n_bytes > INT64_MAX) return GLIM_OK;
    do {
        rc = fallocate(o->fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)n_bytes);
        err = rc ? errno : 0;
    } while (err == EINTR);
    /* Filesystems that cannot reserve say so; then writing finds out. */
    if (err == ENOSPC || err == EDQUOT || err == EFBIG)
        return glim_fail(e, GLIM_E_IO,
                         "%s: no room for %llu bytes: %s; make room or choose another place",
                         o->path, (unsigned long long)n_bytes, strerror(err));
#else
    (void)o;
    (void)n_bytes;
    (void)e;
#endif
    return GLIM_OK;
}

glim_err glim_outfile_write(glim_outfile *o, const void *p, size_t n, glim_error *e)
{
    const char *from = p;
    while (n > 0) {
        /* One call takes at most 2 GiB less a page on Linux, and some systems refuse more. */
        ssize_t k = write(o->fd, from, GLIM_MIN(n, (size_t)1 << 30));
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) return failed(o, "writing failed", k < 0 ? errno : ENOSPC, e);
        from += k;
        n -= (size_t)k;
        o->n += (uint64_t)k;
    }
    return GLIM_OK;
}

/* The new name reaches the disk too; where folders cannot be synced there is nothing to do. */
static void sync_folder(char *path)
{
    char *slash = strrchr(path, '/');
    char kept = 0;
    if (slash) {
        kept = slash[1];
        slash[1] = 0;
    }
    int fd = open(slash ? path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (slash) slash[1] = kept;
    if (fd < 0) return;
    (void)fsync(fd);
    close(fd);
}

glim_err glim_outfile_commit(glim_outfile *o, glim_error *e)
{
    int rc;
    do
        rc = fsync(o->fd);
    while (rc != 0 && errno == EINTR);
    if (rc != 0 && errno != EINVAL && errno != ENOTSUP)
        return failed(o, "writing to the disk failed", errno, e);
    rc = close(o->fd); /* EINTR: closed all the same, and fsync has said that all is well */
    o->fd = -1;
    if (rc != 0 && errno != EINTR) return failed(o, "closing failed", errno, e);
    if (rename(o->temp, o->path) != 0)
        return failed(o, "giving the file its name failed", errno, e);
    glim_free(o->temp);
    o->temp = NULL;
    sync_folder(o->path);
    glim_outfile_discard(o);
    return GLIM_OK;
}

void glim_outfile_discard(glim_outfile *o)
{
    if (o->temp && o->fd >= 0) close(o->fd);
    if (o->temp) (void)unlink(o->temp);
    glim_free(o->temp);
    glim_free(o->path);
    *o = (glim_outfile){.fd = -1};
}
