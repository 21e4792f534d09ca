/* SPDX-License-Identifier: MIT
 * download.c - an answer into a file, which appears whole or not at all.
 * Owns:   the file while it is written. Its name is what the caller said, never a part of an address or of an answer.
 * Thread: any; progress comes on the caller's thread.
 * Fails:  FORMAT (shorter than announced), LIMIT, IO, and those of all calls; the old file stays then. */
#include "client/client_priv.h"

#define SIZE_DEFAULT ((uint64_t)4 << 30)

typedef struct download {
    const char *path;
    uint64_t size_max, total;
    bool (*progress)(void *user, uint64_t done, uint64_t total);
    void *user;
    glim_outfile file;
    bool open;
} download;

static void drop(download *d)
{
    if (d->open) glim_outfile_discard(&d->file);
    d->open = false;
}

static glim_err too_large(const download *d, glim_error *e)
{
    return glim_fail(e, GLIM_E_LIMIT, "%s: what is to be stored there has more than %llu bytes",
                     d->path, (unsigned long long)d->size_max);
}

static glim_err begin(void *user, const glim_got *got, glim_error *e)
{
    download *d = user;
    drop(d);
    d->total = got->length > 0 ? (uint64_t)got->length : 0;
    if (d->total > d->size_max) return too_large(d, e);
    glim_err rc = glim_outfile_open(&d->file, d->path, e);
    d->open = !rc;
    if (!rc) rc = glim_outfile_reserve(&d->file, d->total, e);
    return rc;
}

static glim_err data(void *user, glim_str bytes, bool *enough, glim_error *e)
{
    download *d = user;
    (void)enough;
    if (bytes.n > d->size_max - d->file.n) return too_large(d, e);
    glim_err rc = glim_outfile_write(&d->file, bytes.p, bytes.n, e);
    if (!rc && d->progress && !d->progress(d->user, d->file.n, d->total))
        rc = glim_fail(e, GLIM_E_CANCELLED, "%s: cancelled after %llu bytes", d->path,
                       (unsigned long long)d->file.n);
    return rc;
}

static glim_err end(void *user, glim_error *e)
{
    download *d = user;
    if (d->total && d->file.n != d->total)
        return glim_fail(e, GLIM_E_FORMAT, "%s: %llu bytes came where %llu were announced", d->path,
                         (unsigned long long)d->file.n, (unsigned long long)d->total);
    glim_err rc = glim_outfile_commit(&d->file, e);
    if (!rc) d->open = false;
    return rc;
}

/* A connection that broke in the middle is, for a file, a file that is too short. */
static glim_err run(glim_client *c, glim_exchange *x, download *d, const glim_call *call,
                    glim_error *e)
{
    if (!d->size_max) d->size_max = SIZE_DEFAULT;
    x->begin = begin;
    x->data = data;
    x->end = end;
    x->user = d;
    x->between = true;
    x->accept = "*/*";
    glim_err rc = glim_exchange_run(c, x, call, e);
    if (rc == GLIM_E_NETWORK && d->open) {
        rc = glim_fail(e, GLIM_E_FORMAT,
                       "%s: the connection ended after %llu bytes%s; nothing was stored", d->path,
                       (unsigned long long)d->file.n, d->total ? " of more" : "");
        if (call && call->report) call->report->fault = GLIM_FAULT_CONNECTION;
    }
    drop(d);
    return rc;
}

glim_err glim_client_download(glim_client *c, const char *url, const char *path, uint64_t size_max,
                              bool (*progress)(void *user, uint64_t done, uint64_t total),
                              void *user, const glim_call *call, glim_error *e)
{
    glim_error own;
    glim_url u;
    glim_exchange x = {.method = "GET", .url = url};
    download d = {.path = path, .size_max = size_max, .progress = progress, .user = user};
    e = glim_answer_begin(call, e, &own);
    glim_err rc = glim_url_read("url", glim_str_of(url), &u, e);
    if (!rc) rc = run(c, &x, &d, call, e);
    return glim_answer_end(call, rc, e);
}

glim_err glim_client_file_content(glim_client *c, const char *id, const char *path,
                                  const glim_call *call, glim_error *e)
{
    glim_error own;
    glim_str base;
    glim_buf where;
    glim_exchange x = {.method = "GET"};
    download d = {.path = path};
    e = glim_answer_begin(call, e, &own);
    glim_buf_init(&where, 1024);
    glim_err rc = glim_op_path(c, GLIM_OP_FILES, "files", &base, e);
    if (!rc) rc = glim_url_check_id("id", glim_str_of(id), e);
    if (!rc && glim_buf_addf(&where, "%s/%s/content", base.p, id))
        rc = glim_fail(e, GLIM_E_NOMEM, "a request");
    x.path = glim_buf_view(&where);
    if (!rc) rc = run(c, &x, &d, call, e);
    glim_buf_deinit(&where);
    return glim_answer_end(call, rc, e);
}
