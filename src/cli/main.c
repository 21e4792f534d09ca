/* SPDX-License-Identifier: MIT
 * main.c - finds the command, reads its options, runs it, and makes an exit status of how it ended.
 * Not here: the options (opts.c, base/config.def), what commands do (cmd_*.c).
 * Fails:  with one line on standard error and the exit status of include/glim/err.def. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>

#include "cli/cli_priv.h"

#define ARENA_MAX ((size_t)1 << 30)

/* Output that did not reach its file is a failure, however well the work went. */
static int flush_output(const glim_cli *c, int status)
{
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout)) return status;
    glim_error e = {0};
    (void)!glim_fail(&e, GLIM_E_IO, "standard output: %s",
                     errno ? strerror(errno) : "writing failed");
    return glim_cli_fail(c, &e);
}

/* Whoever starts a program can close its standard files; the next file opened would then take their
 * place and get what is printed. Reading from what takes it here ends at once, writing fails. */
static void hold_standard_files(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0) (void)!open("/dev/null", O_RDONLY);
}

static int run_command(glim_cli *c, int n, char **args)
{
    glim_error e = {0};
    c->cfg = glim_config_new();
    c->arena = glim_arena_new(ARENA_MAX);
    glim_err rc =
        c->cfg && c->arena ? GLIM_OK : glim_fail(&e, GLIM_E_NOMEM, "no memory to begin with");
    if (!rc) rc = glim_cli_parse(c, n, args, &e);
    if (!rc && c->help) {
        glim_help_command(stdout, c->cmd, c->verb);
        return flush_output(c, 0);
    }
    if (!rc && c->cmd->where & GLIM_IN_SETTINGS) rc = glim_cli_settings(c, &e);
    if (rc) return glim_cli_fail(c, &e);
    glim_log_set(NULL, NULL, (glim_log_level)glim_cli_opt(c, GLIM_O_LOG)->i64);
    return flush_output(c, c->cmd->fn(c));
}

static const char *next_command(void *user, size_t i)
{
    (void)user;
    return glim_commands[i].name;
}

static int unknown_command(const char *word)
{
    glim_cli none = {0};
    glim_error e = {0};
    const char *near = glim_nearest(glim_str_of(word), next_command, NULL);
    if (word[0] == '-')
        (void)!glim_fail(&e, GLIM_E_USAGE,
                         "%s: a command comes first, for example `glim run %s`; see glim --help",
                         GLIM_QUOTE(glim_str_of(word)),
                         word[1] == '-' ? "--prompt TEXT" : "-p TEXT");
    else
        (void)!glim_fail(&e, GLIM_E_USAGE, "unknown command %s%s%s%s; see glim --help",
                         GLIM_QUOTE(glim_str_of(word)), near ? " (did you mean '" : "",
                         near ? near : "", near ? "'?)" : "");
    return glim_cli_fail(&none, &e);
}

int main(int argc, char **argv)
{
    glim_cli c = {0};
    glim_error e = {0};
    hold_standard_files();
    glim_guard_maps();
    signal(SIGXFSZ, SIG_IGN); /* a limit on file sizes is to be an error, not the end */
    if (argc < 2) {
        glim_help_overview(stderr);
        return glim_err_exit(GLIM_E_USAGE);
    }
    const char *word = argv[1];
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) word = "help";
    if (strcmp(word, "--version") == 0) word = "version";
    c.cmd = glim_command_find(word);
    if (!c.cmd) return unknown_command(word);
    if (!c.cmd->fn) {
        (void)!glim_fail(&e, GLIM_E_UNSUPPORTED,
                         "known but not supported yet (%s); see glim --help for what is",
                         c.cmd->summary);
        return glim_cli_fail(&c, &e);
    }
    int status = run_command(&c, argc - 2, argv + 2);
    glim_config_free(c.cfg);
    glim_arena_free(c.arena);
    return status;
}
