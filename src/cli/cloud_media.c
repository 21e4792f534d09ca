/* SPDX-License-Identifier: MIT
 * cloud_media.c - glim cloud image, video, task: pictures and films, which take their time.
 * Not here: the names of files (cmd_cloud.c). */
#include <sys/stat.h>

#include "cli/cloud_priv.h"

#define NAMES_MAX 100000 /* image-1.png ... in one folder */

/* ---- where a result goes ------------------------------------------------------------------------ */

/* The ending of an address' path, if it is a usual one: the only thing of it that is used. */
static const char *ending(glim_str url, const char *otherwise)
{
    static const char *const usual[] = {"png", "jpg", "jpeg", "webp", "gif",
                                        "bmp", "mp4", "webm", "mov"};
    size_t end = 0;
    while (end < url.n && url.p[end] != '?' && url.p[end] != '#')
        end++;
    url.n = end;
    for (size_t i = 0; i < GLIM_COUNT(usual); i++) {
        size_t n = strlen(usual[i]);
        if (url.n > n && url.p[url.n - n - 1] == '.' &&
            glim_str_ieq(glim_str_sub(url, url.n - n, url.n), glim_str_of(usual[i])))
            return usual[i];
    }
    return otherwise;
}

/* A name in the folder that nothing has yet. */
static glim_err free_name(glim_cli *c, const char *dir, const char *kind, const char *end,
                          const char **path, glim_error *e)
{
    char name[64];
    struct stat st;
    for (int i = 1; i <= NAMES_MAX; i++) {
        glim_mark mark = glim_arena_mark(c->arena);
        snprintf(name, sizeof name, "%s-%d.%s", kind, i, end);
        *path = glim_path_join(c->arena, dir, name);
        if (!*path) return glim_fail(e, GLIM_E_NOMEM, "no memory for a name");
        if (lstat(*path, &st) != 0) return GLIM_OK;
        glim_arena_rewind(c->arena, mark);
    }
    return glim_fail(e, GLIM_E_INPUT,
                     "%s: all names to %s-%d.%s are there already; name another folder",
                     GLIM_QUOTE(glim_str_of(dir)), kind, NAMES_MAX, end);
}

/* Fetches file i, if it is to be; *path says where it lies, NULL nowhere. */
static glim_err fetch(glim_cloud *k, const glim_task *t, size_t i, const char **path, glim_error *e)
{
    glim_cli *c = k->c;
    const glim_opt_value *out = glim_cli_opt(c, GLIM_O_OUT), *dir = glim_cli_opt(c, GLIM_O_OUT_DIR);
    glim_str url = t->files[i].url;
    bool film = t->files[i].cover_url.n > 0 || strcmp(ending(url, ""), "mp4") == 0;
    glim_progress progress;
    glim_err rc = GLIM_OK;
    *path = NULL;
    if (!out->set && !dir->set) return GLIM_OK;
    if (dir->set)
        rc = free_name(c, dir->text, film ? "video" : "image", ending(url, film ? "mp4" : "png"),
                       path, e);
    else
        *path = out->text;
    if (!rc) rc = glim_cloud_check_free(c, *path, e); /* it may have come meanwhile */
    if (rc) return rc;
    glim_str address = glim_arena_str(c->arena, url);
    if (!address.p) return glim_fail(e, GLIM_E_NOMEM, "no memory for an address");
    glim_progress_begin(&progress);
    rc = glim_client_download(k->client, address.p, *path, 0, glim_cloud_downloading, &progress,
                              &k->call, e);
    glim_progress_end(&progress);
    if (!rc) glim_cloud_say_saved(c, *path);
    return rc;
}

/* ---- results ------------------------------------------------------------------------------------ */

static glim_err print_json(const glim_task *t, const char *const *paths, glim_error *e)
{
    static const char *const states[] = {"running", "done", "failed"};
    glim_buf b;
    glim_jw w;
    glim_buf_init(&b, SIZE_MAX / 2);
    glim_jw_init(&w, &b);
    glim_jw_object(&w);
    glim_jw_key(&w, "id");
    glim_jw_str(&w, t->id);
    glim_jw_key(&w, "model");
    glim_jw_str(&w, t->model);
    glim_jw_key(&w, "state");
    glim_jw_str(&w, glim_str_of(states[t->state]));
    glim_jw_key(&w, "files");
    glim_jw_array(&w);
    for (size_t i = 0; i < t->n_file; i++) {
        glim_jw_object(&w);
        glim_jw_key(&w, "url");
        glim_jw_str(&w, t->files[i].url);
        if (t->files[i].cover_url.n) {
            glim_jw_key(&w, "cover_url");
            glim_jw_str(&w, t->files[i].cover_url);
        }
        if (paths && paths[i]) {
            glim_jw_key(&w, "path");
            glim_jw_str(&w, glim_str_of(paths[i]));
        }
        glim_jw_object_end(&w);
    }
    glim_jw_array_end(&w);
    glim_jw_object_end(&w);
    glim_buf_addc(&b, '\n');
    return glim_cli_emit(&b, e);
}

/* Addresses on standard output before anything is fetched: they stay when the fetching fails. */
static glim_err show(glim_cloud *k, const glim_task *t, glim_error *e)
{
    glim_cli *c = k->c;
    bool json = glim_cli_opt(c, GLIM_O_JSON)->on;
    const char **paths = GLIM_ARENA_ARRAY(c->arena, const char *, t->n_file + 1);
    if (!paths) return glim_fail(e, GLIM_E_NOMEM, "no memory for %zu results", t->n_file);
    if (t->n_file == 0 && !json) { /* an answer of a chat */
        glim_cli_text(stdout, t->body);
        fputc('\n', stdout);
        return GLIM_OK;
    }
    if (glim_cli_opt(c, GLIM_O_OUT)->set && t->n_file > 1)
        glim_cli_say(c, "there are %zu results: -o takes the first; --out-dir takes all",
                     t->n_file);
    for (size_t i = 0; i < t->n_file && !json; i++) {
        glim_cloud_print(t->files[i].url);
        fputc('\n', stdout);
    }
    fflush(stdout);
    glim_err rc = GLIM_OK;
    for (size_t i = 0; i < t->n_file; i++) {
        paths[i] = NULL;
        if (!rc && (i == 0 || !glim_cli_opt(c, GLIM_O_OUT)->set)) rc = fetch(k, t, i, &paths[i], e);
    }
    return !rc && json ? print_json(t, paths, e) : rc;
}

/* Waits where that is wanted, then shows t, which is ended here. */
static glim_err finish(glim_cloud *k, glim_task *t, glim_error *e)
{
    glim_cli *c = k->c;
    glim_err rc = GLIM_OK;
    if (glim_cli_opt(c, GLIM_O_NO_WAIT)->on && t->state == GLIM_TASK_RUNNING) {
        if (glim_cli_opt(c, GLIM_O_JSON)->on) {
            rc = print_json(t, NULL, e);
        } else {
            glim_cloud_print(t->id);
            fputc('\n', stdout);
        }
        glim_task_free(t);
        return rc;
    }
    if (t->state == GLIM_TASK_RUNNING) {
        glim_progress progress;
        glim_task done = {0};
        glim_str id = glim_arena_str(c->arena, t->id);
        glim_task_free(t);
        *t = done;
        if (!id.p) return glim_fail(e, GLIM_E_NOMEM, "no memory for the task's id");
        glim_progress_begin(&progress);
        rc = glim_client_wait(k->client, id.p, 0, 0, glim_cloud_waiting, &progress, &k->call, &done,
                              e);
        glim_progress_end(&progress);
        if (rc) {
            glim_cli_say(c, "the task goes on at the server: glim cloud task %s", GLIM_QUOTE(id));
            return rc;
        }
        *t = done;
    }
    if (t->state == GLIM_TASK_FAILED)
        rc = glim_fail(e, GLIM_E_REMOTE,
                       "task %s failed at the server; change the request, or try again",
                       GLIM_QUOTE(t->id));
    else
        rc = show(k, t, e);
    glim_task_free(t);
    return rc;
}

/* ---- verbs -------------------------------------------------------------------------------------- */

typedef struct media {
    const char *kind;
    glim_str fields;
} media;

static glim_err make_fields(glim_cli *c, glim_str *out, glim_error *e)
{
    static const struct {
        int opt;
        const char *name;
    } members[] = {{GLIM_O_SIZE, "size"}, {GLIM_O_QUALITY, "quality"}};
    glim_buf b;
    glim_jw w;
    glim_buf_init(&b, SIZE_MAX / 2);
    glim_jw_init(&w, &b);
    glim_jw_object(&w);
    if (glim_cli_from_flag(c, GLIM_O_MODEL)) {
        glim_jw_key(&w, "model");
        glim_jw_str(&w, glim_str_of(glim_cli_opt(c, GLIM_O_MODEL)->text));
    }
    glim_jw_key(&w, "prompt");
    glim_jw_str(&w, glim_str_of(c->arg[0]));
    glim_err rc = glim_cli_check_text("PROMPT", glim_str_of(c->arg[0]), e);
    for (size_t i = 0; !rc && i < GLIM_COUNT(members); i++) {
        const glim_opt_value *v = glim_cli_opt(c, members[i].opt);
        if (!v->set) continue;
        glim_jw_key(&w, members[i].name);
        glim_jw_str(&w, glim_str_of(v->text));
        rc = glim_cli_check_text(v->place, glim_str_of(v->text), e);
    }
    if (!rc) rc = glim_cloud_fields(c, &w, e);
    glim_jw_object_end(&w);
    if (!rc) {
        *out = b.err ? (glim_str){0} : glim_arena_str(c->arena, glim_buf_view(&b));
        if (!out->p) rc = glim_fail(e, GLIM_E_NOMEM, "no memory for the request");
    }
    glim_buf_deinit(&b);
    return rc;
}

static glim_err generate(glim_cloud *k, void *what, glim_error *e)
{
    const media *m = what;
    glim_task t = {0};
    glim_err rc = glim_client_generate(k->client, m->kind, m->fields, &k->call, &t, e);
    return rc ? rc : finish(k, &t, e);
}

static int make(glim_cli *c, const char *kind)
{
    glim_error e = {0};
    media m = {.kind = kind};
    glim_err rc = glim_cloud_check_out(c, false, &e);
    if (!rc && c->arg[0][0] == 0)
        rc = glim_fail(&e, GLIM_E_INPUT, "PROMPT: is empty; say what is to be made");
    if (!rc) rc = make_fields(c, &m.fields, &e);
    return rc ? glim_cli_fail(c, &e) : glim_cloud_run(c, generate, &m);
}

int glim_cloud_image(glim_cli *c)
{
    return make(c, "image");
}

int glim_cloud_video(glim_cli *c)
{
    return make(c, "video");
}

static glim_err ask_task(glim_cloud *k, void *what, glim_error *e)
{
    glim_task t = {0};
    (void)what;
    glim_err rc = glim_client_task(k->client, k->c->arg[0], &k->call, &t, e);
    return rc ? rc : finish(k, &t, e);
}

int glim_cloud_task(glim_cli *c)
{
    glim_error e = {0};
    if (glim_cloud_check_out(c, false, &e)) return glim_cli_fail(c, &e);
    return glim_cloud_run(c, ask_task, NULL);
}
