/* SPDX-License-Identifier: MIT
 * cmd_logits.c - glim logits: log-probabilities after given tokens, and greedy continuation.
 * Here sums are made in double and floats are printed so that they read back exactly: this command
 * is what other programs are compared with. */
#include <math.h>

#include "cli/cli_priv.h"

typedef struct job {
    bool full;
    bool predict; /* the prediction layer's rows */
    size_t n_top;
    int32_t *top; /* ids, likeliest first; n_top long */
    int32_t best; /* of the last position seen; the lowest id among equals */
    bool show;
    glim_err rc;
    glim_error *e;
} job;

/* Index order: higher logit first, then lower id. A NaN stands behind everything. */
static bool before(const float *x, int32_t a, int32_t b)
{
    if (isnan(x[a]) || isnan(x[b])) return !isnan(x[a]) || (isnan(x[b]) && a < b);
    return x[a] > x[b] || (x[a] == x[b] && a < b);
}

/* The n best ids by a heap whose root is the worst one kept. */
static void sift(const float *x, int32_t *h, size_t n, size_t i)
{
    for (;;) {
        size_t k = 2 * i + 1;
        if (k >= n) return;
        if (k + 1 < n && before(x, h[k], h[k + 1])) k++;
        if (!before(x, h[i], h[k])) return;
        int32_t t = h[i];
        h[i] = h[k];
        h[k] = t;
        i = k;
    }
}

static void find_top(const float *x, size_t n_vocab, int32_t *top, size_t n)
{
    if (n == 0) return;
    for (size_t i = 0; i < n; i++)
        top[i] = (int32_t)i;
    for (size_t i = n / 2; i-- > 0;)
        sift(x, top, n, i);
    for (size_t i = n; i < n_vocab; i++) {
        if (!before(x, (int32_t)i, top[0])) continue;
        top[0] = (int32_t)i;
        sift(x, top, n, 0);
    }
    for (size_t end = n; end-- > 1;) {
        int32_t t = top[0];
        top[0] = top[end];
        top[end] = t;
        sift(x, top, end, 0);
    }
}

static double log_sum_exp(const float *x, size_t n)
{
    double most = -INFINITY, sum = 0;
    for (size_t i = 0; i < n; i++)
        if (x[i] > most) most = x[i];
    if (!isfinite(most)) return most;
    for (size_t i = 0; i < n; i++)
        sum += exp((double)x[i] - most);
    return most + log(sum);
}

static glim_err print_position(const job *j, int64_t pos, const float *x, size_t n_vocab,
                               glim_error *e)
{
    glim_buf b;
    glim_jw w;
    size_t n_top = GLIM_MIN(j->n_top, n_vocab);
    double norm = log_sum_exp(x, n_vocab);
    find_top(x, n_vocab, j->top, n_top);
    glim_buf_init(&b, SIZE_MAX / 2);
    glim_jw_init(&w, &b);
    glim_jw_object(&w);
    glim_jw_key(&w, "pos");
    glim_jw_i64(&w, pos);
    glim_jw_key(&w, "top");
    glim_jw_array(&w);
    for (size_t i = 0; i < n_top; i++) {
        glim_jw_array(&w);
        glim_jw_i64(&w, j->top[i]);
        glim_jw_f64(&w, (double)x[j->top[i]] - norm);
        glim_jw_array_end(&w);
    }
    glim_jw_array_end(&w);
    if (j->full) {
        glim_jw_key(&w, "logits");
        glim_jw_array(&w);
        for (size_t i = 0; i < n_vocab; i++)
            glim_jw_f32(&w, x[i]);
        glim_jw_array_end(&w);
    }
    glim_jw_object_end(&w);
    glim_buf_addc(&b, '\n');
    return glim_cli_emit(&b, e);
}

static bool on_logits(void *user, int64_t pos, const float *x, size_t n_vocab)
{
    job *j = user;
    glim_cli_show_plan();
    j->best = 0;
    for (size_t i = 1; i < n_vocab; i++)
        if (before(x, (int32_t)i, j->best)) j->best = (int32_t)i;
    if (j->show && !j->rc) j->rc = print_position(j, pos, x, n_vocab, j->e);
    return !j->rc && !glim_cli_interrupted();
}

/* eval, with the callback's own failure in front of the cancellation that it caused. */
static glim_err eval(glim_session *s, const int32_t *ids, size_t n, bool all, job *j, glim_error *e)
{
    glim_error ours = {0};
    j->e = &ours;
    glim_err rc = j->predict ? glim_session_predict(s, ids, n, all, on_logits, j, e)
                             : glim_session_eval(s, ids, n, all, on_logits, j, e);
    if (!j->rc) return rc;
    if (e) *e = ours;
    return j->rc;
}

static glim_err continue_greedily(glim_session *s, int64_t n, job *j, glim_error *e)
{
    glim_buf b;
    glim_jw w;
    glim_err rc = GLIM_OK;
    glim_buf_init(&b, SIZE_MAX / 2);
    glim_jw_init(&w, &b);
    glim_jw_object(&w);
    glim_jw_key(&w, "greedy");
    glim_jw_array(&w);
    j->show = false;
    for (int64_t i = 0; !rc && i < n; i++) {
        int32_t id = j->best;
        glim_jw_i64(&w, id);
        if (i + 1 < n)
            rc = eval(s, &id, 1, false, j, e); /* what follows the last one is not asked for */
    }
    glim_jw_array_end(&w);
    glim_jw_object_end(&w);
    glim_buf_addc(&b, '\n');
    if (!rc) return glim_cli_emit(&b, e);
    glim_buf_deinit(&b);
    return rc;
}

static glim_err compute(glim_cli *c, glim_model *m, const int32_t *ids, size_t n, glim_error *e)
{
    const glim_opt_value *greedy = glim_cli_opt(c, GLIM_O_GREEDY);
    glim_session *s = NULL;
    job j = {.full = glim_cli_opt(c, GLIM_O_FULL)->on,
             .predict = glim_cli_opt(c, GLIM_O_MTP)->on,
             .show = true};
    size_t n_vocab = (size_t)glim_model_get_info(m)->n_vocab;
    int64_t n_ctx = glim_model_get_info(m)->plan.n_ctx;
    /* Known before hours of work are done; the last one's own logits are not asked for. */
    if (greedy->set && greedy->i64 > 1 && (int64_t)n + greedy->i64 - 1 > n_ctx)
        return glim_fail(e, GLIM_E_CONTEXT,
                         "%zu tokens and %lld greedy ones are more than the context of %lld; raise "
                         "--ctx or ask for fewer",
                         n, (long long)greedy->i64, (long long)n_ctx);
    j.n_top = GLIM_MIN((size_t)glim_cli_opt(c, GLIM_O_TOP)->i64, n_vocab);
    j.top = glim_alloc_array(j.n_top, sizeof *j.top);
    glim_err rc = j.top ? glim_session_new(m, &s, e)
                        : glim_fail(e, GLIM_E_NOMEM, "no memory for %zu ids", j.n_top);
    if (!rc) {
        glim_cli_watch(s);
        rc = eval(s, ids, n, glim_cli_opt(c, GLIM_O_ALL)->on, &j, e);
        if (!rc && greedy->set) rc = continue_greedily(s, greedy->i64, &j, e);
        glim_cli_watch(NULL);
    }
    glim_session_free(s);
    glim_free(j.top);
    return rc;
}

int glim_cmd_logits(glim_cli *c)
{
    glim_error e = {0};
    glim_buf b = {0};
    glim_model *m = NULL;
    int32_t *ids = NULL;
    size_t n = 0;
    glim_err rc = GLIM_OK;
    const glim_opt_value *file = glim_cli_opt(c, GLIM_O_TOKENS);
    if (!file->set)
        rc = glim_fail(&e, GLIM_E_USAGE, "--tokens FILE is missing; see glim logits --help");
    const char *name = file->set && strcmp(file->text, "-") != 0 ? file->text : "standard input";
    if (!rc) rc = glim_cli_read(file->text, &b, &e);
    if (!rc) rc = glim_cli_ids(glim_buf_view(&b), name, true, &ids, &n, &e);
    if (!rc && glim_cli_opt(c, GLIM_O_MTP)->on && glim_cli_opt(c, GLIM_O_GREEDY)->set)
        rc = glim_fail(&e, GLIM_E_USAGE, "--mtp and --greedy exclude each other");
    if (!rc && n == 0)
        rc = glim_fail(&e, GLIM_E_INPUT, "%s: no token in it; at least one is needed", name);
    if (!rc) {
        glim_cli_catch_interrupt();
        glim_model_opts o;
        glim_cli_model_opts(c, GLIM_KV_F32, &o);
        o.predict = glim_cli_opt(c, GLIM_O_MTP)->on;
        rc = glim_cli_open_model_as(c, &o, &m, &e);
    }
    if (!rc) rc = compute(c, m, ids, n, &e);
    glim_model_close(m);
    glim_free(ids);
    glim_buf_deinit(&b);
    return rc ? glim_cli_fail(c, &e) : 0;
}
