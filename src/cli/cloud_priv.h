/* SPDX-License-Identifier: MIT
 * cloud_priv.h - what the verbs of glim cloud share. */
#ifndef GLIM_CLI_CLOUD_PRIV_H
#define GLIM_CLI_CLOUD_PRIV_H

#include "cli/cli_priv.h"

/* A verb: opens a client, does fn, and makes an exit status of how it ended, with the server's reasons. what is passed on to
 * fn. */
typedef glim_err (*glim_cloud_fn)(glim_cloud *k, void *what, glim_error *e);
int glim_cloud_run(glim_cli *c, glim_cloud_fn fn, void *what);

/* ---- members of a request, on the command line ----------------------------------------------- */

/* --field: adds each NAME=VALUE as a member. Errors: USAGE (no name, twice the same), INPUT (no UTF-8), NOMEM. */
GLIM_MUST_USE glim_err glim_cloud_fields(glim_cli *c, glim_jw *w, glim_error *e);

/* ---- where results go ------------------------------------------------------------------------ */

/* FILE of -o may be written: its folder is there, and it is not, unless --force is given. Asked before anything is done that
 * costs money. Errors: USAGE (must and no -o), INPUT, NOTFOUND, IO. */
GLIM_MUST_USE glim_err glim_cloud_check_out(glim_cli *c, bool must, glim_error *e);
/* The same for a path just before it is written. Errors: INPUT. */
GLIM_MUST_USE glim_err glim_cloud_check_free(const glim_cli *c, const char *path, glim_error *e);
/* Says that a file is there: "wrote FILE (3.2 MiB)". */
void glim_cloud_say_saved(const glim_cli *c, const char *path);
/* Shows how far a download is; for glim_client_download(), with a glim_progress. */
bool glim_cloud_downloading(void *progress, uint64_t done, uint64_t total);
/* Shows how long something has been waited for; for glim_client_wait(), with a glim_progress. */
bool glim_cloud_waiting(void *progress, double waited_s);

/* A name from outside on standard output: control characters are shown as U+FFFD, whatever it is written to. */
void glim_cloud_print(glim_str s);

#endif
