/* SPDX-License-Identifier: MIT
 * fs_priv.h - what the files about files share. */
#ifndef GLIM_FS_PRIV_H
#define GLIM_FS_PRIV_H

#include "base/base.h"

#include <sys/stat.h>

/* Opens a regular file; anything else (a folder, a device, a pipe that would block) is refused by
 * what it is. Errors: NOTFOUND, IO. */
GLIM_MUST_USE glim_err glim_fs_open_regular(const char *path, int *fd, struct stat *st,
                                            glim_error *e);

#endif
