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

const char *glim_cli_beside_program(glim_arena *a, size_t i, const char *name)
{
    /* Built in place (build/glim, build/asan/glim), installed. */
    static const char *const places[] = {"..", "../..", "../share/glim"};
    char exe[4096], clean[PATH_MAX];
    ssize_t n = i < GLIM_COUNT(places) ? readlink("/proc/self/exe", exe, sizeof exe - 1) : 0;
    if (n <= 0) return NULL;
    exe[n] = 0;
    char *slash = strrchr(exe, '/');
    if (slash) *slash = 0;
    const char *dir = glim_path_join(a, exe, places[i]),
               *path = dir ? glim_path_join(a, dir, name) : NULL;
    /* Without the dots, for whoever reads it in a message. */
    return path && realpath(path, clean) ? glim_arena_str(a, glim_str_of(clean)).p : path;
}

static const char *bundled(glim_arena *a)
{
    const char *path;
    for (size_t i = 0; (path = glim_cli_beside_program(a, i, BUNDLED)); i++)
        if (is_model(path)) return path;
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
    return glim_cli_resolve_model(c, v->place, v->text, path, e);
}

glim_err glim_cli_resolve_model(glim_cli *c, const char *place, const char *text, const char **path,
                                glim_error *e)
{
    *path = text;
    if (is_model(text)) return GLIM_OK;
    if (text[0] == 0)
        return glim_fail(e, GLIM_E_NOTFOUND, "%s: no model is named; give a GGUF file or a folder",
                         place);
    return glim_cli_model_by_name(c, place, text, path, e);
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
    if (c->cmd->where & (GLIM_IN_LOGITS | GLIM_IN_BENCH) &&
        (v = glim_cli_opt(c, GLIM_O_CHUNK))->set)
        o->n_chunk = v->i64;
}

static bool show_loading(void *user, uint64_t done, uint64_t total)
{
    glim_progress_show(user, "loading", done, total, NULL);
    return !glim_cli_interrupted();
}

static const glim_model_info *unshown; /* of the last model opened; NULL once its plan was shown */

void glim_cli_show_plan(void)
{
    if (!unshown) return;
    const glim_memory_plan *p = &unshown->plan;
    char w[32], kv[32], each[32], work[32];
    fprintf(stderr, "glim: weights %s, cache %s for %lld tokens (%s each), work %s\n",
            glim_cli_bytes(p->weights, w), glim_cli_bytes(p->kv, kv), (long long)p->n_ctx,
            glim_cli_bytes(p->kv_per_token, each), glim_cli_bytes(p->scratch + p->derived, work));
    unshown = NULL;
}

glim_err glim_cli_open_model_as(glim_cli *c, const glim_model_opts *opts, glim_model **m,
                                glim_error *e)
{
    const char *path;
    glim_model_opts o = *opts;
    glim_progress progress;
    glim_err rc = glim_cli_model_path(c, &path, e);
    if (rc) return rc;
    glim_progress_begin(&progress);
    o.progress = show_loading;
    o.progress_user = &progress;
    rc = glim_model_open(path, &o, m, e);
    glim_progress_end(&progress);
    unshown = rc ? NULL : glim_model_get_info(*m);
    return rc;
}

glim_err glim_cli_open_model(glim_cli *c, glim_kv_type kv, glim_model **m, glim_error *e)
{
    glim_model_opts o;
    glim_cli_model_opts(c, kv, &o);
    return glim_cli_open_model_as(c, &o, m, e);
}

glim_err glim_cli_open_vocab(glim_cli *c, glim_vocab **v, glim_error *e)
{
    const char *path;
    glim_err rc = glim_cli_model_path(c, &path, e);
    return rc ? rc : glim_vocab_open(path, v, e);
}

/* "ID=F", each into the arena. */
static glim_err read_biases(glim_cli *c, const glim_opt_value *v, glim_gen_opts *g, glim_error *e)
{
    glim_logit_bias *b = GLIM_ARENA_ARRAY(c->arena, glim_logit_bias, v->n_item);
    if (!b) return glim_fail(e, GLIM_E_NOMEM, "no memory for %zu biases", v->n_item);
    for (size_t i = 0; i < v->n_item; i++) {
        size_t eq = glim_str_find(v->items[i], GLIM_STR("="));
        int64_t id;
        double f;
        if (eq == SIZE_MAX || !glim_parse_i64(glim_str_sub(v->items[i], 0, eq), &id) || id < 0 ||
            id > INT32_MAX || !glim_parse_f64(glim_str_sub(v->items[i], eq + 1, v->items[i].n), &f))
            return glim_fail(e, GLIM_E_USAGE, "%s: %s is no ID=F, as 1234=-5", v->place,
                             GLIM_QUOTE(v->items[i]));
        b[i] = (glim_logit_bias){(int32_t)id, (float)f};
    }
    g->biases = b;
    g->n_bias = v->n_item;
    return GLIM_OK;
}

glim_err glim_cli_gen_opts(glim_cli *c, glim_gen_opts *g, glim_error *e)
{
    const struct {
        int opt;
        float *f32;
        int32_t *i32;
        int64_t *i64;
    } numbers[] = {
        {GLIM_O_TEMPERATURE, &g->temperature, NULL, NULL},
        {GLIM_O_TOP_P, &g->top_p, NULL, NULL},
        {GLIM_O_TOP_K, NULL, &g->top_k, NULL},
        {GLIM_O_MIN_P, &g->min_p, NULL, NULL},
        {GLIM_O_MAX_TOKENS, NULL, NULL, &g->n_max},
        {GLIM_O_MIN_TOKENS, NULL, NULL, &g->n_min},
        {GLIM_O_THINK_BUDGET, NULL, NULL, &g->think_budget},
        {GLIM_O_REPETITION_PENALTY, &g->repetition_penalty, NULL, NULL},
        {GLIM_O_PRESENCE_PENALTY, &g->presence_penalty, NULL, NULL},
        {GLIM_O_FREQUENCY_PENALTY, &g->frequency_penalty, NULL, NULL},
        {GLIM_O_LOGPROBS, NULL, &g->n_logprob, NULL},
        {GLIM_O_DRY_MULTIPLIER, &g->dry_multiplier, NULL, NULL},
        {GLIM_O_DRY_BASE, &g->dry_base, NULL, NULL},
        {GLIM_O_DRY_ALLOWED_LENGTH, NULL, &g->dry_allowed_length, NULL},
        {GLIM_O_DRY_RANGE, NULL, &g->dry_range, NULL},
    };
    glim_gen_opts_init(g);
    for (size_t i = 0; i < GLIM_COUNT(numbers); i++) {
        const glim_opt_value *v = glim_cli_opt(c, numbers[i].opt);
        if (!v->set) continue;
        if (numbers[i].f32) *numbers[i].f32 = (float)v->f64;
        if (numbers[i].i32) *numbers[i].i32 = (int32_t)v->i64;
        if (numbers[i].i64) *numbers[i].i64 = v->i64;
    }
    const glim_opt_value *v = glim_cli_opt(c, GLIM_O_STOP);
    g->stops = v->items;
    g->n_stop = v->n_item;
    v = glim_cli_opt(c, GLIM_O_SEED);
    g->has_seed = v->set;
    g->seed = (uint64_t)v->i64;
    g->ignore_eos = glim_cli_opt(c, GLIM_O_IGNORE_EOS)->on;
    v = glim_cli_opt(c, GLIM_O_LOOP_STOP);
    g->loop_stop = !v->set ? GLIM_UNSET : v->on ? GLIM_ON : GLIM_OFF;
    v = glim_cli_opt(c, GLIM_O_LOGIT_BIAS);
    return v->n_item ? read_biases(c, v, g, e) : GLIM_OK;
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
