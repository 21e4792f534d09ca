/* SPDX-License-Identifier: MIT
 * cmd_list.c - glim list: the models in the models folders.
 * A file that cannot be read is listed too, as damaged: that it is there is what one wants to know.
 */
#include <inttypes.h>
#include <sys/stat.h>

#include "cli/cli_priv.h"

typedef struct row {
    const char *name, *kind, *path;
    glim_str arch; /* n 0: unknown */
    uint64_t bytes;
    const char *error; /* of a damaged one */
} row;

static glim_err look_into(glim_cli *c, const glim_found *found, row *r, glim_error *e)
{
    glim_model_look look;
    glim_error why = {0};
    struct stat st;
    *r = (row){.name = found->name, .path = found->path};
    glim_err rc = glim_model_look_at(found->path, &look, &why);
    if (rc == GLIM_E_NOMEM) {
        *e = why;
        return rc;
    }
    r->bytes = look.file_bytes;
    r->arch = glim_arena_str(c->arena, glim_str_of(look.arch));
    r->error = rc ? glim_arena_str(c->arena, glim_str_of(why.msg)).p : NULL;
    if (!r->arch.p || (rc && !r->error))
        return glim_fail(e, GLIM_E_NOMEM, "no memory for the list");
    r->kind = !rc                        ? glim_model_kind_name(look.kind)
              : rc == GLIM_E_UNSUPPORTED ? "unknown"
                                         : "damaged";
    if (r->bytes == 0 && stat(found->path, &st) == 0 && S_ISREG(st.st_mode))
        r->bytes = (uint64_t)st.st_size;
    return GLIM_OK;
}

/* Names come from a disk: a line of the table stays a line. */
static void print_cell(const char *s, int width)
{
    int n = 0;
    for (; *s; s++, n++)
        putchar((unsigned char)*s < 0x20 || *s == 0x7f ? '?' : *s);
    if (width > n) printf("%*s", width - n, "");
}

static void print_table(const row *rows, size_t n)
{
    char bytes[32];
    int width = 4;
    for (size_t i = 0; i < n; i++)
        width = GLIM_MAX(width, (int)GLIM_MIN(strlen(rows[i].name), (size_t)64));
    printf("%-*s  %-9s  %10s  %s\n", width, "name", "kind", "size", "path");
    for (size_t i = 0; i < n; i++) {
        print_cell(rows[i].name, width);
        printf("  %-9s  %10s  ", rows[i].kind, glim_cli_bytes(rows[i].bytes, bytes));
        print_cell(rows[i].path, 0);
        putchar('\n');
    }
}

static glim_err print_json(const row *rows, size_t n, glim_error *e)
{
    glim_buf b;
    glim_jw w;
    glim_buf_init(&b, SIZE_MAX / 2);
    glim_jw_init(&w, &b);
    glim_jw_array(&w);
    for (size_t i = 0; i < n; i++) {
        const row *r = &rows[i];
        glim_jw_object(&w);
        glim_jw_key(&w, "name");
        glim_jw_str(&w, glim_str_of(r->name));
        glim_jw_key(&w, "kind");
        glim_jw_str(&w, glim_str_of(r->kind));
        glim_jw_key(&w, "architecture");
        if (r->arch.n)
            glim_jw_str(&w, r->arch);
        else
            glim_jw_null(&w);
        glim_jw_key(&w, "size");
        glim_jw_u64(&w, r->bytes);
        glim_jw_key(&w, "path");
        glim_jw_str(&w, glim_str_of(r->path));
        if (r->error) {
            glim_jw_key(&w, "error");
            glim_jw_str(&w, glim_str_of(r->error));
        }
        glim_jw_object_end(&w);
    }
    glim_jw_array_end(&w);
    glim_buf_addc(&b, '\n');
    return glim_cli_emit(&b, e);
}

int glim_cmd_list(glim_cli *c)
{
    glim_error e = {0};
    glim_found *found;
    size_t n = 0;
    row *rows = NULL;
    glim_err rc = glim_cli_find_models(c, &found, &n, &e);
    if (!rc) {
        rows = GLIM_ARENA_ARRAY(c->arena, row, GLIM_MAX(n, 1));
        if (!rows) rc = glim_fail(&e, GLIM_E_NOMEM, "no memory for %zu models", n);
    }
    for (size_t i = 0; !rc && i < n; i++)
        rc = look_into(c, &found[i], &rows[i], &e);
    if (!rc && glim_cli_opt(c, GLIM_O_JSON)->on)
        rc = print_json(rows, n, &e);
    else if (!rc && n)
        print_table(rows, n);
    else if (!rc)
        glim_cli_say(c,
                     "no model in models/, the folders of GLIM_MODELS, or the Hugging Face cache");
    return rc ? glim_cli_fail(c, &e) : 0;
}
