/* SPDX-License-Identifier: MIT
 * model.c - from settings to an open model or vocabulary, sampling options, tools and JSON files.
 */
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "api/api.h"
#include "cli/cli_priv.h"

#define BUNDLED "models/glim-demo.gguf"

static bool is_model(const char *path)
{
    return path && (glim_is_file(path) || glim_is_dir(path));
}

/* Where the bundled model lies, seen from the program: built in place (build/glim,
 * build/asan/glim), installed, or in the working directory. */
static const char *bundled(glim_arena *a)
{
    static const char *const places[] = {"../" BUNDLED, "../../" BUNDLED, "../share/glim/" BUNDLED};
    char exe[4096];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    if (n > 0) {
        exe[n] = 0;
        char *slash = strrchr(exe, '/');
        if (slash) *slash = 0;
        for (size_t i = 0; slash && i < GLIM_COUNT(places); i++) {
            const char *p = glim_path_join(a, exe, places[i]);
            char clean[PATH_MAX]; /* without the dots, for whoever reads it in a message */
            if (is_model(p))
                return realpath(p, clean) ? glim_arena_str(a, glim_str_of(clean)).p : p;
        }
    }
    return is_model("./" BUNDLED) ? "./" BUNDLED : NULL;
}

glim_err glim_cli_model_path(glim_cli *c, const char **path, glim_error *e)
{
    const glim_opt_value *v = glim_cli_opt(c, GLIM_O_MODEL);
    if (!v->set) {
        *path = bundled(c->arena);
        if (*path) return GLIM_OK;
        return glim_fail(
            e, GLIM_E_NOTFOUND,
            "the bundled model %s is not beside the program; name a model with -m FILE", BUNDLED);
    }
    *path = v->text;
    if (is_model(v->text)) return GLIM_OK;
    if (v->text[0] == 0)
        return glim_fail(e, GLIM_E_NOTFOUND, "%s: no model is named; give a GGUF file or a folder",
                         v->place);
    bool looks_like_path =
        strchr(v->text, '/') || glim_str_ends(glim_str_of(v->text), GLIM_STR(".gguf"));
    return glim_fail(
        e, GLIM_E_NOTFOUND, "%s: no model at %s; give a GGUF file or a folder with safetensors%s",
        v->place, GLIM_QUOTE(glim_str_of(v->text)),
        looks_like_path ? "" : " by its path (names of installed models are not supported yet)");
}

void glim_cli_model_opts(const glim_cli *c, glim_kv_type kv, glim_model_opts *o)
{
    /* In the order of the words in config.def. */
    static const glim_kv_type kv_types[] = {GLIM_KV_F32, GLIM_KV_F16, GLIM_KV_BF16};
    static const glim_mla_form forms[] = {GLIM_MLA_ABSORBED, GLIM_MLA_EXPANDED};
    const glim_opt_value *v;
    glim_model_opts_init(o);
    o->kv = kv;
    if ((v = glim_cli_opt(c, GLIM_O_KV))->set) o->kv = kv_types[v->i64];
    if ((v = glim_cli_opt(c, GLIM_O_CTX))->set) o->n_ctx = v->i64;
    if ((v = glim_cli_opt(c, GLIM_O_THREADS))->set) o->n_thread = (int)v->i64;
    if ((v = glim_cli_opt(c, GLIM_O_CPU))->set &&
        !glim_str_ieq(glim_str_of(v->text), GLIM_STR("auto")))
        o->cpu = v->text;
    if ((v = glim_cli_opt(c, GLIM_O_MLA))->set) o->mla = forms[v->i64];
    if ((v = glim_cli_opt(c, GLIM_O_RANK_NORM_EPS))->set) o->rank_norm_eps = (float)v->f64;
    if (c->cmd->where & GLIM_IN_LOGITS && (v = glim_cli_opt(c, GLIM_O_CHUNK))->set)
        o->n_chunk = v->i64;
}

static bool show_loading(void *user, uint64_t done, uint64_t total)
{
    glim_progress_show(user, "loading", done, total, NULL);
    return !glim_cli_interrupted();
}

glim_err glim_cli_open_model(glim_cli *c, glim_kv_type kv, glim_model **m, glim_error *e)
{
    const char *path;
    glim_model_opts o;
    glim_progress progress;
    glim_err rc = glim_cli_model_path(c, &path, e);
    if (rc) return rc;
    glim_cli_model_opts(c, kv, &o);
    glim_progress_begin(&progress);
    o.progress = show_loading;
    o.progress_user = &progress;
    rc = glim_model_open(path, &o, m, e);
    glim_progress_end(&progress);
    return rc;
}

glim_err glim_cli_open_vocab(glim_cli *c, glim_vocab **v, glim_error *e)
{
    const char *path;
    glim_err rc = glim_cli_model_path(c, &path, e);
    return rc ? rc : glim_vocab_open(path, v, e);
}

void glim_cli_gen_opts(const glim_cli *c, glim_gen_opts *g)
{
    const glim_opt_value *v;
    glim_gen_opts_init(g);
    if ((v = glim_cli_opt(c, GLIM_O_TEMPERATURE))->set) g->temperature = (float)v->f64;
    if ((v = glim_cli_opt(c, GLIM_O_TOP_P))->set) g->top_p = (float)v->f64;
    if ((v = glim_cli_opt(c, GLIM_O_TOP_K))->set) g->top_k = (int32_t)v->i64;
    if ((v = glim_cli_opt(c, GLIM_O_MIN_P))->set) g->min_p = (float)v->f64;
    if ((v = glim_cli_opt(c, GLIM_O_MAX_TOKENS))->set) g->n_max = v->i64;
    v = glim_cli_opt(c, GLIM_O_STOP);
    g->stops = v->items;
    g->n_stop = v->n_item;
    v = glim_cli_opt(c, GLIM_O_SEED);
    g->has_seed = v->set;
    g->seed = (uint64_t)v->i64;
}

glim_tristate glim_cli_think(const glim_cli *c)
{
    const glim_opt_value *v = glim_cli_opt(c, GLIM_O_THINK);
    return !v->set ? GLIM_UNSET : v->on ? GLIM_ON : GLIM_OFF;
}

glim_err glim_cli_check_text(const char *name, glim_str s, glim_error *e)
{
    size_t bad;
    if (glim_utf8_valid(s, &bad)) return GLIM_OK;
    return glim_fail_off(e, GLIM_E_INPUT, bad, "%s: not valid UTF-8 at byte %zu; convert it first",
                         name, bad);
}

glim_err glim_cli_json(glim_cli *c, const char *path, glim_json **out, glim_error *e)
{
    glim_buf b;
    const char *name = strcmp(path, "-") == 0 ? "standard input" : path;
    glim_err rc = glim_cli_read(path, &b, e);
    if (rc) return rc;
    glim_str text = glim_arena_str(c->arena, glim_buf_view(&b));
    glim_buf_deinit(&b);
    if (!text.p) return glim_fail(e, GLIM_E_NOMEM, "%s: no memory for it", name);
    rc = glim_json_parse(c->arena, text, out, e);
    if (rc) glim_error_prefix(e, "%s", name);
    return rc;
}

glim_err glim_cli_tools(glim_cli *c, glim_chat *chat, glim_error *e)
{
    const glim_opt_value *v = glim_cli_opt(c, GLIM_O_TOOLS);
    if (!v->set) return GLIM_OK;
    glim_json *json;
    glim_chat decoded = {0};
    glim_err rc = glim_cli_json(c, v->text, &json, e);
    if (rc) return rc;
    rc = glim_openai_tools_decode(c->arena, json, &decoded, e);
    if (rc) {
        glim_error_prefix(e, "%s", v->place);
        return rc;
    }
    chat->tools = decoded.tools;
    chat->n_tool = decoded.n_tool;
    return GLIM_OK;
}
