/* SPDX-License-Identifier: MIT
 * tmpfolder.h - a folder for one test: files are written by name, and all of them are removed at
 * the end. */
#ifndef GLIM_TESTS_TMPFOLDER_H
#define GLIM_TESTS_TMPFOLDER_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct tmp_folder {
    char path[64];
} tmp_folder;

static inline void tmp_folder_make(tmp_folder *t)
{
    snprintf(t->path, sizeof t->path, "/tmp/glim-test-XXXXXX");
    if (!mkdtemp(t->path)) fail_msg("no temporary folder");
}

static inline const char *tmp_path(const tmp_folder *t, const char *name, char out[400])
{
    snprintf(out, 400, "%s/%s", t->path, name);
    return out;
}

static inline void tmp_write(const tmp_folder *t, const char *name, const void *p, size_t n)
{
    char path[400];
    FILE *f = fopen(tmp_path(t, name, path), "wb");
    if (!f || fwrite(p, 1, n, f) != n || fclose(f) != 0) fail_msg("%s: cannot be written", path);
}

static inline void tmp_text(const tmp_folder *t, const char *name, const char *text)
{
    tmp_write(t, name, text, strlen(text));
}

static inline void tmp_remove(const tmp_folder *t, const char *name)
{
    char path[400];
    if (unlink(tmp_path(t, name, path)) != 0) rmdir(path);
}

static inline void tmp_folder_end(tmp_folder *t)
{
    DIR *d = opendir(t->path);
    for (struct dirent *it; d && (it = readdir(d));)
        if (strcmp(it->d_name, ".") != 0 && strcmp(it->d_name, "..") != 0)
            tmp_remove(t, it->d_name);
    if (d) closedir(d);
    rmdir(t->path);
}

#endif
