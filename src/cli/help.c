/* SPDX-License-Identifier: MIT
 * help.c - manual text made from the tables: overview, one command, settings, exit statuses. */
#include "cli/cli_priv.h"

#define WIDTH 80

/* Prints text in lines of at most WIDTH columns, all but the first indented; column says where the
 * cursor is. A newline in the text begins a new paragraph line. Widths are counted in bytes: help
 * is ASCII. */
static void wrap(FILE *f, const char *text, int column, int indent)
{
    int at = column;
    bool fresh = true;
    while (*text) {
        size_t n = strcspn(text, " \n");
        if (!fresh && at + 1 + (int)n > WIDTH) {
            fprintf(f, "\n%*s", indent, "");
            at = indent;
            fresh = true;
        }
        at += fprintf(f, "%s%.*s", fresh ? "" : " ", (int)n, text);
        fresh = false;
        text += n;
        if (*text == '\n') {
            fprintf(f, "\n%*s", indent, "");
            at = indent;
            fresh = true;
        }
        if (*text) text++;
    }
    fputc('\n', f);
}

static void lines(FILE *f, const char *text, const char *before)
{
    while (*text) {
        size_t n = strcspn(text, "\n");
        fprintf(f, "%s%.*s\n", before, (int)n, text);
        text += n + (text[n] == '\n');
    }
}

/* "f32|f16|bf16|q8_0*" without what is not built. */
static void print_arg(char *out, size_t n_out, const char *arg)
{
    size_t n = 0;
    while (arg && *arg && n + 1 < n_out) {
        size_t k = strcspn(arg, "|");
        if (k && arg[k - 1] != '*') {
            int w = snprintf(out + n, n_out - n, "%s%.*s", n ? "|" : "", (int)k, arg);
            n += (size_t)GLIM_MAX(w, 0);
        }
        arg += k + (arg[k] == '|');
    }
    out[GLIM_MIN(n, n_out - 1)] = 0;
}

static void option(FILE *f, const glim_opt_row *r)
{
    enum { COLUMN = 28 };
    char left[96], arg[64], letter[8] = "    ", help[600];
    print_arg(arg, sizeof arg, r->arg);
    if (r->letter) snprintf(letter, sizeof letter, "-%c, ", r->letter);
    snprintf(left, sizeof left, "  %s--%s%s%s", letter, r->name, arg[0] ? " " : "", arg);
    snprintf(help, sizeof help, "%s%s%s%s", r->help, r->def && r->type != GLIM_OPT_FLAG ? " (" : "",
             r->def && r->type != GLIM_OPT_FLAG ? r->def : "",
             r->def && r->type != GLIM_OPT_FLAG ? " by default)" : "");
    int n = fprintf(f, "%s", left);
    if (n > COLUMN - 2) {
        fputc('\n', f);
        n = 0;
    }
    fprintf(f, "%*s", COLUMN - n, "");
    wrap(f, help, COLUMN, COLUMN);
}

/* Groups in the order of the table; an option is shown in the first that holds it. */
static const struct {
    uint64_t where;
    const char *title;
} groups[] = {
    {GLIM_IN_MODEL | GLIM_IN_ENGINE | GLIM_IN_PLAN | GLIM_IN_NAMED, "Model and machine"},
    {GLIM_IN_RUN | GLIM_IN_TALK | GLIM_IN_TOOLS | GLIM_IN_CHAT | GLIM_IN_ASK, "Conversation"},
    {GLIM_IN_SAMPLE, "Sampling"},
    {GLIM_IN_TOKENIZE | GLIM_IN_TEMPLATE | GLIM_IN_PARSE | GLIM_IN_CHUNK | GLIM_IN_LOGITS |
         GLIM_IN_JSON | GLIM_IN_SYNTH | GLIM_IN_BENCH | GLIM_IN_PERPLEXITY | GLIM_IN_SERVE |
         GLIM_IN_EMBED | GLIM_IN_KEYWORD | GLIM_IN_RERANK | GLIM_IN_MAKE | GLIM_IN_SAVE |
         GLIM_IN_FETCH | GLIM_IN_PURPOSE | GLIM_IN_BATCH | GLIM_IN_VECTOR | GLIM_IN_RANK |
         GLIM_IN_RAW | GLIM_IN_SEARCH,
     "This command"},
    {GLIM_IN_CLOUD, "Another server"},
    {GLIM_IN_SETTINGS, "Settings"},
};

static void options(FILE *f, const glim_command *cmd)
{
    for (size_t g = 0; g < GLIM_COUNT(groups); g++) {
        bool any = false;
        for (int i = 0; i < GLIM_OPT_COUNT; i++) {
            const glim_opt_row *r = glim_opt_get((glim_opt)i);
            if (r->flags & GLIM_OPT_LATER || !(r->where & cmd->where & groups[g].where)) continue;
            if (!any) fprintf(f, "\n%s\n", groups[g].title);
            any = true;
            option(f, r);
        }
    }
}

static void foreign(FILE *f)
{
    glim_buf names;
    glim_buf_init(&names, 4096);
    glim_foreign_names(&names);
    fprintf(f, "\nFlags of SGLang and vLLM that are taken too\n  ");
    wrap(f, names.err || !names.p ? "" : names.p, 2, 2);
    glim_buf_deinit(&names);
}

static bool shown(const glim_command *verb, const char *prefix)
{
    return strncmp(verb->name, prefix, strlen(prefix)) == 0;
}

static void verbs(FILE *f, const glim_command *cmd, const char *prefix)
{
    const char *title = prefix[0] ? prefix : cmd->name;
    fprintf(f, "glim %s - %s\n\n", title, cmd->summary);
    fprintf(f, "  glim %s VERB [OPTION]...\n\n", title);
    wrap(f, cmd->about, 0, 0);
    fprintf(f, "\nVerbs\n");
    for (const glim_command *k = cmd->verbs; k->name; k++) {
        if (!shown(k, prefix)) continue;
        int n = fprintf(f, "  %s %s", k->name + strlen(cmd->name) + 1, k->argument);
        fprintf(f, "%*s%s\n", GLIM_MAX(1, 38 - n), "", k->summary);
    }
    fprintf(f, "\n`glim %s VERB --help` lists the options of each. All of them take these.\n",
            cmd->name);
    const glim_command all = {.where = GLIM_IN_CLOUD | GLIM_IN_SETTINGS};
    options(f, &all);
}

void glim_help_command(FILE *f, const glim_command *cmd, const char *prefix)
{
    if (cmd->verbs) {
        verbs(f, cmd, prefix);
        fprintf(f, "\nExamples\n");
        lines(f, cmd->examples, "  ");
        return;
    }
    fprintf(f, "glim %s - %s\n\n", cmd->name, cmd->summary);
    fprintf(f, "  glim %s%s%s%s\n\n", cmd->name, cmd->argument[0] ? " " : "", cmd->argument,
            cmd->where ? " [OPTION]..." : "");
    wrap(f, cmd->about, 0, 0);
    /* config takes every option only to show where each comes from: a list of all is `config show`
     * itself. */
    if (cmd->where == GLIM_IN_ALL)
        wrap(f, "\nTakes every option of every command.", 0, 0);
    else
        options(f, cmd);
    if (cmd->fn == glim_cmd_serve) foreign(f);
    fprintf(f, "\nExamples\n");
    lines(f, cmd->examples, "  ");
    if (cmd->where & GLIM_IN_SETTINGS)
        fprintf(f,
                "\nEvery option can also be set in the environment; see `glim help settings`.\n");
}

void glim_help_overview(FILE *f)
{
    fprintf(f,
            "glim %s - runs the GLM family of language models on this machine\n\n"
            "  glim COMMAND [OPTION]...\n\nCommands\n",
            glim_version());
    for (const glim_command *k = glim_commands; k->name; k++)
        if (k->fn) fprintf(f, "  %-12s%s\n", k->name, k->summary);
    fprintf(f, "\nNot built yet\n  ");
    char names[400] = "";
    size_t n = 0;
    for (const glim_command *k = glim_commands; k->name && n < sizeof names; k++)
        if (!k->fn)
            n += (size_t)GLIM_MAX(
                0, snprintf(names + n, sizeof names - n, "%s%s", n ? ", " : "", k->name));
    wrap(f, names, 2, 2);
    fprintf(f, "\n`glim COMMAND --help` explains a command, `glim help settings` environment and\n"
               "settings file, `glim help exit` the exit statuses.\n");
}

static void help_settings(FILE *f)
{
    wrap(f,
         "A value is taken from the first of these that has it: the command line; the environment; "
         "the file named by "
         "--env-file; the settings file; the default.",
         0, 0);
    fprintf(f, "\nEnvironment\n  ");
    wrap(f,
         "GLIM_ and the option's name in capitals, - written as _: GLIM_TOP_P=0.9 is --top-p 0.9. "
         "An empty variable "
         "counts as not set; switches take on or off. GLM_MODEL is taken where GLIM_MODEL is not "
         "set; GLM_FLASH_ENABLED and USE_NPU choose who answers; ZHIPUAI_API_KEY, ZAI_API_KEY, "
         "GLM_FLASH_API_KEY and "
         "OPENAI_API_KEY hold keys, which no other option takes. GLIM_MODELS names folders with "
         "models, colons between; HF_HOME says where the "
         "Hugging Face cache is. NO_COLOR "
         "turns colour off.",
         2, 2);
    fprintf(f, "\nFiles of variables\n  ");
    wrap(f,
         "--env-file FILE (or GLIM_ENV_FILE) reads lines NAME=value, for example a .env file. No "
         "such file is read "
         "unless it is named.",
         2, 2);
    fprintf(f, "\nSettings file\n  ");
    wrap(f,
         "--config FILE, else $XDG_CONFIG_HOME/glim/glim.conf, else ~/.config/glim/glim.conf if it "
         "is there. Lines "
         "are 'key = value' with an option's name as the key; # or ; begins a comment line; quotes "
         "around a value "
         "keep its blanks. An unknown key is an error. These keys may be set:",
         2, 2);
    char keys[2400] = "";
    size_t n = 0;
    for (int i = 0; i < GLIM_OPT_COUNT && n < sizeof keys; i++) {
        const glim_opt_row *r = glim_opt_get((glim_opt)i);
        if (r->flags & (GLIM_OPT_LATER | GLIM_OPT_NO_FILE)) continue;
        n += (size_t)GLIM_MAX(0,
                              snprintf(keys + n, sizeof keys - n, "%s%s", n ? ", " : "", r->name));
    }
    fprintf(f, "\n    ");
    wrap(f, keys, 4, 4);
    fprintf(f, "\n`glim config show` prints every value and where it comes from.\n");
}

static void help_exit(FILE *f)
{
    static const struct {
        glim_err code;
        const char *name, *text;
        int status;
    } all[] = {
#define ERR(code, number, text, http, status) {GLIM_E_##code, #code, text, status},
#include "glim/err.def"
#undef ERR
    };
    fprintf(f, "Exit statuses\n");
    for (size_t i = 0; i < GLIM_COUNT(all); i++)
        fprintf(f, "  %3d  %s\n", all[i].status, all[i].text);
}

int glim_cmd_help(glim_cli *c)
{
    if (c->n_arg == 0) {
        glim_help_overview(stdout);
        return 0;
    }
    const glim_command *cmd = glim_command_find(c->arg[0]);
    if (strcmp(c->arg[0], "settings") == 0) {
        help_settings(stdout);
    } else if (strcmp(c->arg[0], "exit") == 0) {
        help_exit(stdout);
    } else if (cmd && cmd->fn) {
        glim_help_command(stdout, cmd, "");
    } else {
        glim_error e = {0};
        if (cmd)
            (void)!glim_fail(&e, GLIM_E_UNSUPPORTED, "%s is known but not supported yet (%s)",
                             cmd->name, cmd->summary);
        else
            (void)!glim_fail(&e, GLIM_E_USAGE, "no command and no topic %s; see glim --help",
                             GLIM_QUOTE(glim_str_of(c->arg[0])));
        return glim_cli_fail(c, &e);
    }
    return 0;
}
