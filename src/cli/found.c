/* SPDX-License-Identifier: MIT
 * found.c - models by name: what lies in the models folders, and which of it a name means.
 * Layout: folders in this order: models/ beside the program, ./models, those of GLIM_MODELS, the
 * Hugging Face cache. In each only the first level counts: GGUF files (a split one once) and
 * folders with safetensors. One file under two ways to it is one model.
 * Not here: what is in the files (cmd_list.c). */
#include <dirent.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/cli_priv.h"

typedef struct entry {
    struct entry *next;
    glim_found f;
    const char *real; /* the path without links and dots */
} entry;

typedef struct search {
    glim_cli *c;
    entry *first, **last;
    size_t n;
    bool nomem;
} search;

static const char *keep(search *s, glim_str text)
{
    const char *p = glim_arena_str(s->c->arena, text).p;
    s->nomem |= !p;
    return p;
}

static const char *join(search *s, const char *dir, const char *name)
{
    const char *p = glim_path_join(s->c->arena, dir, name);
    s->nomem |= !p;
    return p;
}

static void add(search *s, glim_str name, const char *path)
{
    char real[PATH_MAX];
    if (s->nomem) return;
    const char *shown = realpath(path, real) ? real : path;
    for (const entry *k = s->first; k; k = k->next)
        if (strcmp(k->real, shown) == 0) return;
    entry *x = GLIM_ARENA_NEW0(s->c->arena, entry);
    s->nomem |= !x;
    if (s->nomem) return;
    x->real = keep(s, glim_str_of(shown));
    x->f.name = keep(s, name);
    x->f.path = keep(s, glim_str_of(path));
    if (s->nomem) return;
    *s->last = x;
    s->last = &x->next;
    s->n++;
}

/* ---- one folder ------------------------------------------------------------------------------ */

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Names in a folder, sorted, without those that begin with a dot; in the arena. */
static const char **names_in(search *s, const char *path, size_t *n)
{
    size_t cap = 64;
    const char **names = GLIM_ARENA_ARRAY(s->c->arena, const char *, cap);
    DIR *d = opendir(path);
    *n = 0;
    s->nomem |= !names;
    for (const struct dirent *x; d && !s->nomem && (x = readdir(d));) {
        if (x->d_name[0] == '.') continue;
        if (*n == cap) {
            const char **more = GLIM_ARENA_ARRAY(s->c->arena, const char *, cap * 2);
            s->nomem |= !more;
            if (s->nomem) break;
            memcpy(more, names, cap * sizeof *more);
            names = more;
            cap *= 2;
        }
        names[(*n)++] = keep(s, glim_str_of(x->d_name));
    }
    if (d) closedir(d);
    if (s->nomem)
        *n = 0;
    else
        qsort(names, *n, sizeof *names, by_name);
    return names;
}

static bool has_safetensors(const char *path)
{
    bool found = false;
    DIR *d = opendir(path);
    for (const struct dirent *x; d && !found && (x = readdir(d));)
        found =
            x->d_name[0] != '.' && glim_str_ends(glim_str_of(x->d_name), GLIM_STR(".safetensors"));
    if (d) closedir(d);
    return found;
}

/* Length of what stands before "-00001-of-00003" in a stem; all of it when the file is not split.
 */
static size_t split_prefix(glim_str stem)
{
    static const char pattern[] = "-#####-of-#####";
    size_t k = sizeof pattern - 1;
    if (stem.n <= k) return stem.n;
    for (size_t i = 0; i < k; i++) {
        char ch = stem.p[stem.n - k + i];
        if (pattern[i] == '#' ? ch < '0' || ch > '9' : ch != pattern[i]) return stem.n;
    }
    return stem.n - k;
}

/* The name without ".gguf"; .p NULL for any other file. */
static glim_str gguf_stem(const char *name)
{
    glim_str s = glim_str_of(name);
    if (!glim_str_ends(s, GLIM_STR(".gguf"))) return (glim_str){0};
    return glim_str_sub(s, 0, s.n - 5);
}

/* True when a part of the same split file stands before name i: of a split file the first part that
 * is there stands for all. */
static bool part_before(const char **names, size_t i, glim_str stem, size_t k)
{
    while (i-- > 0 && glim_str_starts(glim_str_of(names[i]), glim_str_sub(stem, 0, k))) {
        glim_str other = gguf_stem(names[i]);
        if (other.p && other.n == stem.n && split_prefix(other) == k &&
            memcmp(other.p + k + 6, stem.p + k + 6, 9) == 0) /* "-of-00003" */
            return true;
    }
    return false;
}

static void add_gguf_files(search *s, const char *dir, const char **names, size_t n)
{
    for (size_t i = 0; i < n && !s->nomem; i++) {
        glim_str stem = gguf_stem(names[i]);
        size_t k = split_prefix(stem);
        if (!stem.p || (k < stem.n && part_before(names, i, stem, k))) continue;
        const char *path = join(s, dir, names[i]);
        if (path && glim_is_file(path)) add(s, (glim_str){stem.p, k}, path);
    }
}

static void add_folder(search *s, const char *dir)
{
    size_t n;
    const char **names = names_in(s, dir, &n);
    add_gguf_files(s, dir, names, n);
    for (size_t i = 0; i < n && !s->nomem; i++) {
        const char *path = join(s, dir, names[i]);
        if (path && glim_is_dir(path) && has_safetensors(path)) add(s, glim_str_of(names[i]), path);
    }
}

/* ---- the Hugging Face cache ------------------------------------------------------------------ */

static void add_snapshot(search *s, glim_str repo, const char *path)
{
    size_t n;
    const char **names = names_in(s, path, &n);
    add_gguf_files(s, path, names, n);
    if (!s->nomem && has_safetensors(path)) add(s, repo, path);
}

/* hub/models--org--name/snapshots/<revision>/, of which refs/main names the one that is meant. */
static void add_repository(search *s, const char *hub, const char *folder)
{
    char name[256];
    glim_str tail = glim_str_of(folder + strlen("models--"));
    size_t cut = glim_str_find(tail, GLIM_STR("--"));
    if (cut < tail.n)
        snprintf(name, sizeof name, "%.*s/%s", (int)GLIM_MIN(cut, (size_t)120), tail.p,
                 tail.p + cut + 2);
    else
        snprintf(name, sizeof name, "%s", tail.p);
    const char *repo = join(s, hub, folder), *snapshots = repo ? join(s, repo, "snapshots") : NULL,
               *main_ref = repo ? join(s, repo, "refs/main") : NULL;
    if (s->nomem) return;
    glim_buf b;
    glim_buf_init(&b, 256);
    if (glim_read_file(main_ref, &b, NULL) == GLIM_OK) {
        glim_str rev = glim_str_trim(glim_buf_view(&b), " \r\n");
        const char *kept = rev.n ? keep(s, rev) : NULL;
        const char *path = kept && !strchr(kept, '/') ? join(s, snapshots, kept) : NULL;
        if (path && glim_is_dir(path)) {
            add_snapshot(s, glim_str_of(name), path);
            glim_buf_deinit(&b);
            return;
        }
    }
    glim_buf_deinit(&b);
    size_t n;
    const char **revs = names_in(s, snapshots, &n);
    for (size_t i = 0; i < n && !s->nomem; i++) {
        const char *path = join(s, snapshots, revs[i]);
        if (path) add_snapshot(s, glim_str_of(name), path);
    }
}

static void add_cache(search *s)
{
    const char *hf = getenv("HF_HOME"), *home = getenv("HOME"), *hub = NULL;
    if (hf && hf[0])
        hub = join(s, hf, "hub");
    else if (home && home[0])
        hub = join(s, home, ".cache/huggingface/hub");
    size_t n = 0;
    const char **names = hub ? names_in(s, hub, &n) : NULL;
    for (size_t i = 0; i < n && !s->nomem; i++)
        if (glim_str_starts(glim_str_of(names[i]), GLIM_STR("models--")))
            add_repository(s, hub, names[i]);
}

/* ---- all folders ----------------------------------------------------------------------------- */

static void add_listed(search *s, const char *folders)
{
    while (*folders && !s->nomem) {
        size_t n = strcspn(folders, ":");
        const char *path = n ? keep(s, (glim_str){folders, n}) : NULL;
        if (path && glim_is_dir(path))
            add_folder(s, path);
        else if (path)
            glim_cli_say(s->c, "GLIM_MODELS: no folder %s", GLIM_QUOTE(glim_str_of(path)));
        folders += n + (folders[n] == ':');
    }
}

glim_err glim_cli_find_models(glim_cli *c, glim_found **out, size_t *n, glim_error *e)
{
    search s = {.c = c};
    s.last = &s.first;
    *out = c->found;
    *n = c->n_found;
    if (c->found) return GLIM_OK;
    const char *listed = getenv("GLIM_MODELS");
    for (size_t i = 0;; i++) {
        const char *dir = glim_cli_beside_program(c->arena, i, "models");
        if (!dir) break;
        add_folder(&s, dir);
    }
    add_folder(&s, "models");
    if (listed) add_listed(&s, listed);
    add_cache(&s);
    *out = s.nomem ? NULL : glim_arena_array(c->arena, GLIM_MAX(s.n, 1), sizeof **out);
    if (!*out) return glim_fail(e, GLIM_E_NOMEM, "no memory for the list of models");
    *n = 0;
    for (const entry *k = s.first; k; k = k->next)
        (*out)[(*n)++] = k->f;
    c->found = *out;
    c->n_found = *n;
    return GLIM_OK;
}

/* "org/name" is also meant by "name". */
static bool means(const char *name, glim_str word)
{
    const char *slash = strchr(name, '/');
    return glim_str_ieq(glim_str_of(name), word) ||
           (slash && glim_str_ieq(glim_str_of(slash + 1), word));
}

glim_err glim_cli_model_by_name(glim_cli *c, const char *place, const char *name, const char **path,
                                glim_error *e)
{
    glim_found *all;
    size_t n;
    glim_err rc = glim_cli_find_models(c, &all, &n, e);
    if (rc) return rc;
    glim_str word = glim_str_of(name);
    char list[320] = "";
    size_t n_list = 0, n_hit = 0;
    for (size_t i = 0; i < n; i++) {
        if (!means(all[i].name, word)) continue;
        if (n_hit++ == 0) *path = all[i].path;
        if (n_list < sizeof list)
            n_list += (size_t)GLIM_MAX(snprintf(list + n_list, sizeof list - n_list, "%s%s",
                                                n_list ? ", " : "", all[i].path),
                                       0);
    }
    if (n_hit == 1) return GLIM_OK;
    if (n_hit > 1)
        return glim_fail(e, GLIM_E_INPUT, "%s: %zu models are called %s; give the path of one: %s",
                         place, n_hit, GLIM_QUOTE(word), list);
    return glim_fail(e, GLIM_E_NOTFOUND,
                     "%s: no model at %s and none of that name; give a GGUF file, a folder with "
                     "safetensors, or a name that glim list shows",
                     place, GLIM_QUOTE(word));
}
