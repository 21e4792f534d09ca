/* SPDX-License-Identifier: MIT
 * cloud_files.c - glim cloud files and batch: what lies at the server, and requests that are answered there later. */
#include <time.h>

#include "cli/cloud_priv.h"

/* ---- files -------------------------------------------------------------------------------------- */

static void write_file(glim_jw *w, const glim_client_file *f)
{
    glim_jw_object(w);
    glim_jw_key(w, "id");
    glim_jw_str(w, glim_str_of(f->id));
    glim_jw_key(w, "bytes");
    glim_jw_u64(w, f->bytes);
    glim_jw_key(w, "purpose");
    glim_jw_str(w, glim_str_of(f->purpose));
    glim_jw_key(w, "created_at");
    glim_jw_i64(w, f->created_s);
    glim_jw_key(w, "filename");
    glim_jw_str(w, f->name);
    glim_jw_object_end(w);
}

static void print_file(const glim_client_file *f)
{
    char when[32] = "-";
    struct tm tm;
    time_t t = (time_t)f->created_s;
    if (f->created_s > 0 && gmtime_r(&t, &tm))
        (void)strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &tm);
    glim_cloud_print(glim_str_of(f->id));
    printf("  %10llu  ", (unsigned long long)f->bytes);
    glim_cloud_print(glim_str_of(f->purpose[0] ? f->purpose : "-"));
    printf("  %s  ", when);
    glim_cloud_print(f->name);
    putchar('\n');
}

static glim_err list(glim_cloud *k, void *what, glim_error *e)
{
    const glim_opt_value *purpose = glim_cli_opt(k->c, GLIM_O_PURPOSE);
    glim_client_file *f = NULL;
    size_t n = 0;
    (void)what;
    glim_err rc =
        glim_client_files(k->client, purpose->set ? purpose->text : NULL, &k->call, &f, &n, e);
    if (rc) return rc;
    if (glim_cli_opt(k->c, GLIM_O_JSON)->on) {
        glim_buf b;
        glim_jw w;
        glim_buf_init(&b, SIZE_MAX / 2);
        glim_jw_init(&w, &b);
        glim_jw_array(&w);
        for (size_t i = 0; i < n; i++)
            write_file(&w, &f[i]);
        glim_jw_array_end(&w);
        glim_buf_addc(&b, '\n');
        rc = glim_cli_emit(&b, e);
    } else {
        for (size_t i = 0; i < n; i++)
            print_file(&f[i]);
    }
    glim_client_files_free(f, n);
    return rc;
}

int glim_cloud_files_list(glim_cli *c)
{
    return glim_cloud_run(c, list, NULL);
}

static glim_err upload(glim_cloud *k, void *what, glim_error *e)
{
    const char *purpose = what;
    glim_client_file f = {0};
    glim_err rc = glim_client_upload(k->client, k->c->arg[0], purpose, &k->call, &f, e);
    if (rc) return rc;
    if (glim_cli_opt(k->c, GLIM_O_JSON)->on) {
        glim_buf b;
        glim_jw w;
        glim_buf_init(&b, SIZE_MAX / 2);
        glim_jw_init(&w, &b);
        write_file(&w, &f);
        glim_buf_addc(&b, '\n');
        rc = glim_cli_emit(&b, e);
    } else {
        glim_cloud_print(glim_str_of(f.id));
        putchar('\n');
    }
    glim_client_file_free(&f);
    return rc;
}

int glim_cloud_files_upload(glim_cli *c)
{
    glim_error e = {0};
    const glim_opt_value *purpose = glim_cli_opt(c, GLIM_O_PURPOSE);
    glim_err rc = GLIM_OK;
    if (!purpose->set)
        rc =
            glim_fail(&e, GLIM_E_USAGE,
                      "--purpose NAME is missing (batch, retrieval, fine-tune); see glim %s --help",
                      c->cmd->name);
    else if (!glim_is_file(c->arg[0]))
        rc = glim_fail(&e, GLIM_E_NOTFOUND, "%s: there is no such file",
                       GLIM_QUOTE(glim_str_of(c->arg[0])));
    if (rc) return glim_cli_fail(c, &e);
    return glim_cloud_run(c, upload, (void *)(uintptr_t)purpose->text);
}

/* The content of a file of the server to where -o says. */
static glim_err save(glim_cloud *k, const char *id, glim_error *e)
{
    const char *path = glim_cli_opt(k->c, GLIM_O_OUT)->text;
    glim_err rc = glim_cloud_check_free(k->c, path, e); /* it may have come meanwhile */
    if (!rc) rc = glim_client_file_content(k->client, id, path, &k->call, e);
    if (!rc) glim_cloud_say_saved(k->c, path);
    return rc;
}

static glim_err get(glim_cloud *k, void *what, glim_error *e)
{
    (void)what;
    return save(k, k->c->arg[0], e);
}

int glim_cloud_files_get(glim_cli *c)
{
    glim_error e = {0};
    if (glim_cloud_check_out(c, true, &e)) return glim_cli_fail(c, &e);
    return glim_cloud_run(c, get, NULL);
}

static glim_err delete_file(glim_cloud *k, void *what, glim_error *e)
{
    (void)what;
    glim_err rc = glim_client_file_delete(k->client, k->c->arg[0], &k->call, e);
    if (!rc) printf("%s\n", k->c->arg[0]);
    return rc;
}

int glim_cloud_files_delete(glim_cli *c)
{
    return glim_cloud_run(c, delete_file, NULL);
}

/* ---- batches ------------------------------------------------------------------------------------ */

static glim_err print_batch(const glim_cli *c, const glim_client_batch *b, glim_error *e)
{
    if (!glim_cli_opt(c, GLIM_O_JSON)->on) {
        glim_cloud_print(glim_str_of(b->id));
        putchar(' ');
        glim_cloud_print(glim_str_of(b->status));
        printf(" %lld done, %lld failed, of %lld\n", (long long)b->n_completed,
               (long long)b->n_failed, (long long)b->n_total);
        return GLIM_OK;
    }
    const struct {
        const char *key, *text;
    } ids[] = {{"id", b->id},
               {"status", b->status},
               {"input_file_id", b->input_file},
               {"output_file_id", b->output_file},
               {"error_file_id", b->error_file}};
    const struct {
        const char *key;
        int64_t n;
    } counts[] = {{"total", b->n_total}, {"completed", b->n_completed}, {"failed", b->n_failed}};
    glim_buf out;
    glim_jw w;
    glim_buf_init(&out, 4096);
    glim_jw_init(&w, &out);
    glim_jw_object(&w);
    for (size_t i = 0; i < GLIM_COUNT(ids); i++) {
        glim_jw_key(&w, ids[i].key);
        if (ids[i].text[0])
            glim_jw_str(&w, glim_str_of(ids[i].text));
        else
            glim_jw_null(&w);
    }
    glim_jw_key(&w, "request_counts");
    glim_jw_object(&w);
    for (size_t i = 0; i < GLIM_COUNT(counts); i++) {
        glim_jw_key(&w, counts[i].key);
        glim_jw_i64(&w, counts[i].n);
    }
    glim_jw_object_end(&w);
    glim_jw_object_end(&w);
    glim_buf_addc(&out, '\n');
    return glim_cli_emit(&out, e);
}

static glim_err create(glim_cloud *k, void *what, glim_error *e)
{
    const char *input = k->c->arg[0];
    glim_client_file f = {0};
    glim_client_batch b = {0};
    glim_err rc = GLIM_OK;
    (void)what;
    if (glim_is_file(input)) {
        rc = glim_client_upload(k->client, input, "batch", &k->call, &f, e);
        if (rc) return rc;
        glim_cli_say(k->c, "sent as %s", GLIM_QUOTE(glim_str_of(f.id)));
        input = f.id;
    }
    rc = glim_client_batch_new(k->client, input, glim_cli_opt(k->c, GLIM_O_ENDPOINT)->text,
                               &k->call, &b, e);
    if (!rc && glim_cli_opt(k->c, GLIM_O_JSON)->on) {
        rc = print_batch(k->c, &b, e);
    } else if (!rc) {
        glim_cloud_print(glim_str_of(b.id));
        putchar('\n');
    }
    glim_client_file_free(&f);
    return rc;
}

int glim_cloud_batch_create(glim_cli *c)
{
    return glim_cloud_run(c, create, NULL);
}

static glim_err batch_get(glim_cloud *k, void *what, glim_error *e)
{
    glim_client_batch b = {0};
    (void)what;
    glim_err rc = glim_client_batch_get(k->client, k->c->arg[0], &k->call, &b, e);
    return rc ? rc : print_batch(k->c, &b, e);
}

int glim_cloud_batch_get(glim_cli *c)
{
    return glim_cloud_run(c, batch_get, NULL);
}

static glim_err batch_cancel(glim_cloud *k, void *what, glim_error *e)
{
    glim_client_batch b = {0};
    (void)what;
    glim_err rc = glim_client_batch_cancel(k->client, k->c->arg[0], &k->call, &b, e);
    return rc ? rc : print_batch(k->c, &b, e);
}

int glim_cloud_batch_cancel(glim_cli *c)
{
    return glim_cloud_run(c, batch_cancel, NULL);
}

#define FIRST_WAIT_MS 1000
#define LONGEST_WAIT_MS 60000

/* False: Ctrl-C came. */
static bool pause_ms(int64_t ms)
{
    struct timespec t = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
    return !glim_cli_interrupted() && nanosleep(&t, NULL) == 0 && !glim_cli_interrupted();
}

static glim_err wait_over(glim_cloud *k, glim_client_batch *b, glim_error *e)
{
    glim_progress progress;
    int64_t wait_ms = FIRST_WAIT_MS;
    glim_progress_begin(&progress);
    glim_err rc = GLIM_OK;
    for (;;) {
        rc = glim_client_batch_get(k->client, k->c->arg[0], &k->call, b, e);
        if (rc || b->over) break;
        if (b->n_total > 0)
            glim_progress_show(&progress, "waiting for the batch",
                               (uint64_t)GLIM_MAX(b->n_completed + b->n_failed, (int64_t)0),
                               (uint64_t)b->n_total, "requests");
        if (!pause_ms(wait_ms)) {
            rc = glim_fail(e, GLIM_E_CANCELLED, "cancelled; the batch goes on at the server");
            break;
        }
        wait_ms = GLIM_MIN(wait_ms * 3 / 2, (int64_t)LONGEST_WAIT_MS);
    }
    glim_progress_end(&progress);
    return rc;
}

static glim_err batch_wait(glim_cloud *k, void *what, glim_error *e)
{
    glim_client_batch b = {0};
    (void)what;
    glim_err rc = wait_over(k, &b, e);
    if (!rc) rc = print_batch(k->c, &b, e);
    if (rc) return rc;
    if (b.error_file[0])
        glim_cli_say(k->c, "what failed is in %s: glim cloud files get",
                     GLIM_QUOTE(glim_str_of(b.error_file)));
    bool out = glim_cli_opt(k->c, GLIM_O_OUT)->set;
    if (out && b.output_file[0]) rc = save(k, b.output_file, e);
    if (rc) return rc;
    if (strcmp(b.status, "completed") != 0)
        return glim_fail(e, GLIM_E_REMOTE,
                         "the batch ended as %s; see what failed, and begin it anew",
                         GLIM_QUOTE(glim_str_of(b.status)));
    if (out && !b.output_file[0])
        return glim_fail(e, GLIM_E_REMOTE, "the batch has no answers: nothing was written to %s",
                         GLIM_QUOTE(glim_str_of(glim_cli_opt(k->c, GLIM_O_OUT)->text)));
    return GLIM_OK;
}

int glim_cloud_batch_wait(glim_cli *c)
{
    glim_error e = {0};
    if (glim_cloud_check_out(c, false, &e)) return glim_cli_fail(c, &e);
    return glim_cloud_run(c, batch_wait, NULL);
}
