/* SPDX-License-Identifier: MIT
 * cmd_perplexity.c - glim perplexity: how well a model foretells a text.
 * The text is cut into chunks of the context's length; each chunk begins with an empty context, and
 * only the tokens of its second half count, so that each of them is foretold from half a context at
 * least. Chunks, counted positions and error bar are those of llama.cpp's tool, for comparison. */
#include <math.h>

#include "cli/cli_priv.h"

#define CTX_DEFAULT 512
#define CTX_MIN 3 /* one token to be foretold in the second half */

typedef struct score {
    const int32_t *ids; /* of the chunk */
    double sum, sum_sq; /* of -log p */
    int64_t n;
    bool not_finite;
} score;

static bool on_logits(void *user, int64_t pos, const float *x, size_t n_vocab)
{
    score *s = user;
    double most = -INFINITY, sum = 0;
    for (size_t i = 0; i < n_vocab; i++)
        if (x[i] > most) most = x[i];
    for (size_t i = 0; i < n_vocab; i++)
        sum += exp((double)x[i] - most);
    double loss = most + log(sum) - (double)x[s->ids[pos + 1]];
    if (!isfinite(loss)) {
        s->not_finite = true;
        return false;
    }
    s->sum += loss;
    s->sum_sq += loss * loss;
    s->n++;
    return !glim_cli_interrupted();
}

static glim_err score_chunk(glim_session *t, const int32_t *ids, int64_t n_ctx, score *s,
                            glim_error *e)
{
    int64_t first = n_ctx / 2;
    s->ids = ids;
    glim_session_truncate(t, 0);
    glim_err rc = glim_session_eval(t, ids, (size_t)first, false, NULL, NULL, e);
    /* The last token of a chunk foretells one that is not in it. */
    if (!rc)
        rc = glim_session_eval(t, ids + first, (size_t)(n_ctx - 1 - first), true, on_logits, s, e);
    if (s->not_finite)
        return glim_fail(e, GLIM_E_FAIL,
                         "a token's probability is zero or no number: the cache's number format "
                         "overflowed (try --kv f32) or the model is damaged");
    return rc;
}

/* Error bar of the perplexity: one standard error of the mean loss, carried through exp. */
static double error_bar(const score *s)
{
    double n = (double)s->n, mean = s->sum / n, variance = s->sum_sq / n - mean * mean;
    return s->n > 1 && variance > 0 ? exp(mean) * sqrt(variance / (n - 1)) : 0;
}

static glim_err score_all(glim_cli *c, glim_model *m, const glim_tokens *t, int64_t n_ctx,
                          glim_error *e)
{
    glim_session *session;
    score s = {0};
    int64_t n_chunk = (int64_t)t->n / n_ctx;
    glim_err rc = glim_session_new(m, &session, e);
    if (rc) return rc;
    glim_cli_watch(session);
    for (int64_t i = 0; !rc && i < n_chunk; i++) {
        rc = score_chunk(session, t->ids + i * n_ctx, n_ctx, &s, e);
        if (!rc)
            glim_cli_say(c, "chunk %lld of %lld: ppl %.4f", (long long)i + 1, (long long)n_chunk,
                         exp(s.sum / (double)s.n));
    }
    glim_cli_watch(NULL);
    glim_session_free(session);
    if (!rc)
        printf("tokens %zu\nctx %lld\nchunks %lld\nscored %lld\nerror %.6f\nppl %.6f\n", t->n,
               (long long)n_ctx, (long long)n_chunk, (long long)s.n, error_bar(&s),
               exp(s.sum / (double)s.n));
    return rc;
}

/* Tokens of the file, known before a large model is loaded. */
static glim_err read_tokens(glim_cli *c, const char *name, glim_str text, int64_t n_ctx,
                            glim_tokens *t, glim_error *e)
{
    glim_vocab *v;
    glim_err rc = glim_cli_check_text(name, text, e);
    if (!rc) rc = glim_cli_open_vocab(c, &v, e);
    if (rc) return rc;
    rc = glim_tokenize(v, text, false, t, e);
    glim_vocab_close(v);
    if (!rc && t->n < (size_t)n_ctx)
        rc = glim_fail(e, GLIM_E_INPUT,
                       "%s: %zu tokens are less than one chunk of %lld; take a longer text or a "
                       "shorter --ctx",
                       name, t->n, (long long)n_ctx);
    return rc;
}

int glim_cmd_perplexity(glim_cli *c)
{
    glim_error e = {0};
    glim_buf b = {0};
    glim_model *m = NULL;
    glim_tokens t = {0};
    glim_err rc = GLIM_OK;
    const glim_opt_value *file = glim_cli_opt(c, GLIM_O_FILE), *ctx = glim_cli_opt(c, GLIM_O_CTX);
    int64_t n_ctx = ctx->set ? ctx->i64 : CTX_DEFAULT;
    if (!file->set)
        rc = glim_fail(&e, GLIM_E_USAGE, "--file FILE is missing; see glim perplexity --help");
    else if (n_ctx < CTX_MIN)
        rc = glim_fail(&e, GLIM_E_USAGE, "%s: a chunk needs %d tokens at least", ctx->place,
                       CTX_MIN);
    const char *name = file->set && strcmp(file->text, "-") != 0 ? file->text : "standard input";
    if (!rc) rc = glim_cli_read(file->text, &b, &e);
    if (!rc) rc = read_tokens(c, name, glim_buf_view(&b), n_ctx, &t, &e);
    if (!rc) {
        glim_cli_catch_interrupt();
        glim_model_opts o;
        glim_cli_model_opts(c, GLIM_KV_F16, &o);
        o.n_ctx = n_ctx;
        rc = glim_cli_open_model_as(c, &o, &m, &e);
    }
    if (!rc) glim_cli_show_plan();
    if (!rc) rc = score_all(c, m, &t, n_ctx, &e);
    glim_model_close(m);
    glim_tokens_free(&t);
    glim_buf_deinit(&b);
    return rc ? glim_cli_fail(c, &e) : 0;
}
