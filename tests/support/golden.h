/* SPDX-License-Identifier: MIT
 * golden.h - cmocka with its prerequisites, and where golden files are found: beside the checkout
 * (../shared/golden) or in it (tests/golden). Include it first. */
#ifndef GLIM_TESTS_GOLDEN_H
#define GLIM_TESTS_GOLDEN_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cmocka.h>

/* Path of golden file or folder `name` in out; false when neither place has it. */
static inline bool golden_find(const char *name, char *out, size_t n_out)
{
    static const char *const roots[] = {GLIM_SOURCE_DIR "/../shared/golden",
                                        GLIM_SOURCE_DIR "/tests/golden"};
    for (size_t i = 0; i < sizeof roots / sizeof roots[0]; i++) {
        struct stat st;
        if ((size_t)snprintf(out, n_out, "%s/%s", roots[i], name) < n_out && stat(out, &st) == 0)
            return true;
    }
    return false;
}

/* The file's bytes (free() them) and their number; fails the test when it cannot be read. */
static inline void *golden_read(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    struct stat st;
    if (!f || fstat(fileno(f), &st) != 0) fail_msg("%s: cannot be opened", path);
    *n = (size_t)st.st_size;
    void *p = malloc(*n + 1);
    if (!p || fread(p, 1, *n, f) != *n) fail_msg("%s: cannot be read", path);
    fclose(f);
    return p;
}

#endif
