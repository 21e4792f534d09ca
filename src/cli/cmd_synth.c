/* SPDX-License-Identifier: MIT
 * cmd_synth.c - glim synth: a model file with real shapes and random weights. */

#include <signal.h>

#include "cli/cli_priv.h"

/* Being told to end ends in order too: nobody wants to find 18 GB under a strange name. */
static volatile sig_atomic_t ended;

static void on_end(int sig)
{
    (void)sig;
    ended = 1;
}

static void catch_end(void)
{
    struct sigaction sa = {.sa_handler = on_end};
    sigemptyset(&sa.sa_mask);
    sigaction(SIGTERM, &sa, NULL);
    sigaction(SIGHUP, &sa, NULL);
}

static bool show_writing(void *user, uint64_t done, uint64_t total)
{
    glim_progress_show(user, "writing", done, total, NULL);
    return !ended && !glim_cli_interrupted();
}

int glim_cmd_synth(glim_cli *c)
{
    glim_error e = {0};
    glim_synth_opts o;
    glim_progress progress;
    /* In the order of the words in config.def. */
    static const char *const archs[] = {"glm-4.7-flash", "glim-demo"};
    static const char *const types[] = {"q4_k_m", "q8_0", "bf16", "f32"};
    static const char *const mixes[] = {"llama", "unsloth"};
    const glim_opt_value *type = glim_cli_opt(c, GLIM_O_TYPE), *mix = glim_cli_opt(c, GLIM_O_MIX),
                         *v;
    const bool q4_k_m = type->i64 == 0;
    glim_synth_opts_init(&o);
    o.arch = archs[glim_cli_opt(c, GLIM_O_ARCH)->i64];
    o.type = types[type->i64];
    if (q4_k_m) o.mix = mixes[mix->i64];
    if ((v = glim_cli_opt(c, GLIM_O_LAYERS))->set) o.n_layer = v->i64;
    if ((v = glim_cli_opt(c, GLIM_O_SEED))->set) o.seed = (uint64_t)v->i64;
    if ((v = glim_cli_opt(c, GLIM_O_THREADS))->set) o.n_thread = (int)v->i64;
    glim_err rc = GLIM_OK;
    if (!q4_k_m && mix->origin != GLIM_FROM_DEFAULT)
        rc = glim_fail(&e, GLIM_E_USAGE, "%s is about --type q4_k_m only", mix->place);
    if (!rc)
        rc = glim_cli_model_path(c, &o.vocab, &e); /* the bundled one: this command has no -m */
    if (!rc) {
        glim_cli_catch_interrupt();
        catch_end();
        glim_progress_begin(&progress);
        o.progress = show_writing;
        o.progress_user = &progress;
        rc = glim_synth_write(c->arg[0], &o, &e);
        glim_progress_end(&progress);
    }
    return rc ? glim_cli_fail(c, &e) : 0;
}
