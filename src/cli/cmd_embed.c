/* SPDX-License-Identifier: MIT
 * cmd_embed.c - glim embed: texts or ids to vectors, a JSON line each.
 * All inputs are looked at before the first line is written; then they are computed and written in
 * groups, so that what is there when a call is broken off is whole lines. */
#include "cli/cli_priv.h"

#define GROUP 256 /* inputs computed before their lines are written */

typedef struct job {
    glim_cli *c;
    glim_encoder *m;
    size_t n_max;
    bool truncate;
    glim_embed_opts opts;
    size_t n;
    glim_encoded *in; /* [n] */
    float *vectors;   /* [GROUP][n_embd] */
} job;

/* ---- inputs ---------------------------------------------------------------------------------- */

static glim_err take_text(job *j, size_t i, glim_str text, glim_error *e)
{
    glim_err rc = glim_encode(j->m, text, NULL, j->truncate ? j->n_max : 0, &j->in[i], e);
    if (rc) glim_error_prefix(e, "input %zu", i);
    return rc ? rc : glim_cli_check_length(i, &j->in[i], j->n_max, e);
}

static glim_err take_id(const job *j, size_t i, const glim_json *v, glim_encoded *t, glim_error *e)
{
    const int64_t n_vocab = glim_encoder_get_info(j->m)->n_vocab;
    int64_t id;
    if (!glim_json_i64(v, &id) || id < 0 || id >= n_vocab)
        return glim_fail_off(e, GLIM_E_INPUT, v->offset,
                             "standard input: element %zu of input %zu (at byte %zu) is no token "
                             "id: the model has 0 to %lld",
                             t->n_full, i, (size_t)v->offset, (long long)n_vocab - 1);
    t->ids[t->n_full++] = (int32_t)id;
    return GLIM_OK;
}

/* Ids as they are; too many are cut at the end, the last one too. */
static glim_err take_ids(job *j, size_t i, const glim_json *ids, glim_error *e)
{
    glim_encoded *t = &j->in[i];
    glim_err rc = GLIM_OK;
    if (ids->n_child == 0)
        return glim_fail_off(e, GLIM_E_INPUT, ids->offset,
                             "standard input: input %zu (at byte %zu) has no ids: give it at least "
                             "one",
                             i, (size_t)ids->offset);
    t->ids = glim_alloc_array(ids->n_child, sizeof *t->ids);
    if (!t->ids) return glim_fail(e, GLIM_E_NOMEM, "no memory for input %zu", i);
    for (const glim_json *it = ids->child; !rc && it; it = it->next)
        rc = take_id(j, i, it, t, e);
    t->n = t->n_first = j->truncate ? GLIM_MIN(t->n_full, j->n_max) : t->n_full;
    return rc ? rc : glim_cli_check_length(i, t, j->n_max, e);
}

static glim_err take_array(job *j, const glim_json *array, glim_error *e)
{
    size_t i = 0;
    glim_err rc = GLIM_OK;
    j->n = array->n_child;
    j->in = glim_alloc_array(GLIM_MAX(j->n, (size_t)1), sizeof *j->in);
    if (!j->in) return glim_fail(e, GLIM_E_NOMEM, "no memory for %zu inputs", j->n);
    for (const glim_json *it = array->child; !rc && it; it = it->next, i++) {
        if (it->type == GLIM_JSON_STRING)
            rc = take_text(j, i, it->text, e);
        else if (it->type == GLIM_JSON_ARRAY)
            rc = take_ids(j, i, it, e);
        else
            rc = glim_fail_off(e, GLIM_E_INPUT, it->offset,
                               "standard input: input %zu (at byte %zu) is %s; give a string, or "
                               "an array of ids as [[101, 102]]",
                               i, (size_t)it->offset, glim_json_type_name(it->type));
        if (!rc && glim_cli_interrupted())
            rc = glim_fail(e, GLIM_E_CANCELLED, "cancelled after %zu inputs were read", i);
    }
    return rc;
}

static glim_err take_one(job *j, glim_str text, glim_error *e)
{
    glim_err rc = glim_cli_check_text("TEXT", text, e);
    if (rc) return rc;
    j->n = 1;
    j->in = glim_alloc_array(1, sizeof *j->in);
    if (!j->in) return glim_fail(e, GLIM_E_NOMEM, "no memory for the text");
    return take_text(j, 0, text, e);
}

/* ---- lines ----------------------------------------------------------------------------------- */

static glim_err write_line(const job *j, size_t i, const float *v, int64_t n_dim, glim_error *e)
{
    glim_buf b;
    glim_jw w;
    glim_buf_init(&b, SIZE_MAX / 2);
    glim_jw_init(&w, &b);
    glim_jw_object(&w);
    glim_jw_key(&w, "index");
    glim_jw_u64(&w, i);
    glim_jw_key(&w, "tokens");
    glim_jw_u64(&w, j->in[i].n);
    if (j->in[i].n < j->in[i].n_full) {
        glim_jw_key(&w, "truncated");
        glim_jw_bool(&w, true);
    }
    glim_jw_key(&w, "embedding");
    glim_jw_array(&w);
    for (int64_t k = 0; k < n_dim; k++)
        glim_jw_f32(&w, v[k]);
    glim_jw_array_end(&w);
    glim_jw_object_end(&w);
    glim_buf_addc(&b, '\n');
    return glim_cli_emit(&b, e);
}

static glim_err compute(job *j, glim_error *e)
{
    const int64_t n_embd = glim_encoder_get_info(j->m)->n_embd;
    j->vectors = glim_alloc_array(GROUP * (size_t)n_embd, sizeof *j->vectors);
    if (!j->vectors) return glim_fail(e, GLIM_E_NOMEM, "no memory for %d vectors", GROUP);
    glim_err rc = GLIM_OK;
    for (size_t at = 0; !rc && at < j->n; at += GROUP) {
        const size_t n = GLIM_MIN((size_t)GROUP, j->n - at);
        rc = glim_embed(j->m, j->in + at, n, &j->opts, j->vectors, e);
        for (size_t i = 0; !rc && i < n; i++)
            rc = write_line(j, at + i, j->vectors + i * (size_t)n_embd, n_embd, e);
    }
    return rc;
}

static void set_opts(job *j)
{
    /* In the order of the words in config.def. */
    static const glim_pooling kinds[] = {GLIM_POOLING_CLS, GLIM_POOLING_MEAN, GLIM_POOLING_LAST};
    const glim_opt_value *v;
    glim_embed_opts_init(&j->opts);
    j->n_max = (size_t)glim_encoder_get_info(j->m)->n_max;
    if ((v = glim_cli_opt(j->c, GLIM_O_POOLING))->set) j->opts.pooling = kinds[v->i64];
    if ((v = glim_cli_opt(j->c, GLIM_O_NORMALIZE))->set)
        j->opts.normalize = v->on ? GLIM_ON : GLIM_OFF;
    j->opts.cancelled = glim_cli_cancelled;
    j->truncate = glim_cli_opt(j->c, GLIM_O_TRUNCATE)->on;
}

int glim_cmd_embed(glim_cli *c)
{
    glim_error e = {0};
    job j = {.c = c};
    const glim_json *array = NULL;
    glim_cli_catch_interrupt();
    glim_err rc = glim_cli_open_encoder(c, &j.m, &e);
    if (!rc) set_opts(&j);
    if (!rc && !c->n_arg) rc = glim_cli_array(c, "strings or of arrays of token ids", &array, &e);
    if (!rc) rc = array ? take_array(&j, array, &e) : take_one(&j, glim_str_of(c->arg[0]), &e);
    if (!rc) rc = compute(&j, &e);
    for (size_t i = 0; j.in && i < j.n; i++)
        glim_encoded_free(&j.in[i]);
    glim_free(j.in);
    glim_free(j.vectors);
    glim_encoder_close(j.m);
    return rc ? glim_cli_fail(c, &e) : 0;
}
