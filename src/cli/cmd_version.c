/* SPDX-License-Identifier: MIT
 * cmd_version.c - glim version and glim features: what this program is and what it can do here. */
#include "cli/cli_priv.h"
#include "quant/quant.h"

int glim_cmd_version(glim_cli *c)
{
    if (!glim_cli_opt(c, GLIM_O_JSON)->on) {
        printf("glim %s\n%s\n", glim_version(), glim_build_info());
        return 0;
    }
    glim_error e = {0};
    glim_buf b;
    glim_jw w;
    glim_buf_init(&b, 4096);
    glim_jw_init(&w, &b);
    glim_jw_object(&w);
    glim_jw_key(&w, "version");
    glim_jw_str(&w, glim_str_of(glim_version()));
    glim_jw_key(&w, "build");
    glim_jw_str(&w, glim_str_of(glim_build_info()));
    glim_jw_object_end(&w);
    glim_buf_addc(&b, '\n');
    return glim_cli_emit(&b, &e) ? glim_cli_fail(c, &e) : 0;
}

static const struct {
    const char *name, *needs;
} levels[] = {
#define LEVEL(id, name, needs) {name, needs},
#include "base/cpu.def"
#undef LEVEL
};

#if defined(GLIM_HAVE_LIBEDIT)
#define LINE_EDITING true
#else
#define LINE_EDITING false
#endif

/* Weights may have this type; the rest are glim's own, for activations. */
static bool in_files(glim_type t)
{
    return glim_type_get(t)->decode && glim_type_get(t)->ggml_id >= 0;
}

static void write_commands(glim_jw *w, bool built)
{
    glim_jw_array(w);
    for (const glim_command *k = glim_commands; k->name; k++)
        if ((k->fn != NULL) == built) glim_jw_str(w, glim_str_of(k->name));
    glim_jw_array_end(w);
}

static glim_err features_json(glim_error *e)
{
    glim_buf b;
    glim_jw w;
    glim_buf_init(&b, 65536);
    glim_jw_init(&w, &b);
    glim_jw_object(&w);
    glim_jw_key(&w, "version");
    glim_jw_str(&w, glim_str_of(glim_version()));
    glim_jw_key(&w, "build");
    glim_jw_str(&w, glim_str_of(glim_build_info()));
    glim_jw_key(&w, "commands");
    write_commands(&w, true);
    glim_jw_key(&w, "commands_not_built_yet");
    write_commands(&w, false);
    glim_jw_key(&w, "cpu");
    glim_jw_object(&w);
    glim_jw_key(&w, "model");
    glim_jw_str(&w, glim_str_of(glim_cpu_model()));
    glim_jw_key(&w, "cores");
    glim_jw_i64(&w, glim_cpu_count());
    glim_jw_key(&w, "level");
    glim_jw_str(&w, glim_str_of(glim_cpu_level_name(glim_cpu_best())));
    glim_jw_key(&w, "levels");
    glim_jw_array(&w);
    for (size_t i = 0; i < GLIM_COUNT(levels); i++)
        glim_jw_str(&w, glim_str_of(levels[i].name));
    glim_jw_array_end(&w);
    glim_jw_object_end(&w);
    glim_jw_key(&w, "tensor_types");
    glim_jw_array(&w);
    for (int t = 0; t < GLIM_TYPE_COUNT; t++)
        if (in_files((glim_type)t)) glim_jw_str(&w, glim_str_of(glim_type_get((glim_type)t)->name));
    glim_jw_array_end(&w);
    glim_jw_key(&w, "line_editing");
    glim_jw_bool(&w, LINE_EDITING);
    glim_jw_object_end(&w);
    glim_buf_addc(&b, '\n');
    return glim_cli_emit(&b, e);
}

int glim_cmd_features(glim_cli *c)
{
    glim_error e = {0};
    if (glim_cli_opt(c, GLIM_O_JSON)->on) return features_json(&e) ? glim_cli_fail(c, &e) : 0;
    printf("glim %s\nbuild         %s\ncommands     ", glim_version(), glim_build_info());
    for (const glim_command *k = glim_commands; k->name; k++)
        if (k->fn) printf(" %s", k->name);
    printf("\nline editing  %s\nprocessor     %s, %d cores\nlevels\n",
           LINE_EDITING ? "yes (libedit)" : "no", glim_cpu_model(), glim_cpu_count());
    for (size_t i = 0; i < GLIM_COUNT(levels); i++)
        printf("  %-10s  %-4s%s\n", levels[i].name, i <= (size_t)glim_cpu_best() ? "yes" : "no",
               levels[i].needs);
    printf("tensor types ");
    for (int t = 0; t < GLIM_TYPE_COUNT; t++)
        if (in_files((glim_type)t)) printf(" %s", glim_type_get((glim_type)t)->name);
    putchar('\n');
    return 0;
}
