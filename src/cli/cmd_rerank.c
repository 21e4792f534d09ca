/* SPDX-License-Identifier: MIT
 * cmd_rerank.c - glim rerank: how well each of some documents answers a question.
 * The logit is printed so that it reads back exactly: other programs are compared with it. */
#include "cli/cli_priv.h"

typedef struct job {
    glim_encoder *m;
    size_t n_max;
    bool truncate;
    glim_str query;
    size_t n;
    glim_encoded *in; /* [n] */
    float *logits;    /* [n] */
} job;

static glim_err encode_all(job *j, const glim_json *array, glim_error *e)
{
    size_t i = 0;
    glim_err rc = GLIM_OK;
    j->n = array->n_child;
    j->in = glim_alloc_array(GLIM_MAX(j->n, (size_t)1), sizeof *j->in);
    j->logits = glim_alloc_array(GLIM_MAX(j->n, (size_t)1), sizeof *j->logits);
    if (!j->in || !j->logits)
        return glim_fail(e, GLIM_E_NOMEM, "no memory for %zu documents", j->n);
    for (const glim_json *it = array->child; !rc && it; it = it->next, i++) {
        if (it->type != GLIM_JSON_STRING)
            return glim_fail_off(e, GLIM_E_INPUT, it->offset,
                                 "standard input: document %zu (at byte %zu) is %s, not a string",
                                 i, (size_t)it->offset, glim_json_type_name(it->type));
        rc = glim_encode(j->m, j->query, &it->text, j->truncate ? j->n_max : 0, &j->in[i], e);
        if (rc) glim_error_prefix(e, "input %zu", i);
        if (!rc) rc = glim_cli_check_length(i, &j->in[i], j->n_max, e);
        if (!rc && glim_cli_interrupted())
            rc = glim_fail(e, GLIM_E_CANCELLED, "cancelled after %zu documents were read", i);
    }
    return rc;
}

static glim_err print_all(const job *j, glim_error *e)
{
    glim_buf b;
    glim_buf_init(&b, SIZE_MAX / 2);
    for (size_t i = 0; i < j->n; i++) {
        glim_jw w;
        glim_jw_init(&w, &b);
        glim_jw_object(&w);
        glim_jw_key(&w, "index");
        glim_jw_u64(&w, i);
        glim_jw_key(&w, "score");
        glim_jw_f64(&w, glim_rerank_score(j->logits[i]));
        glim_jw_key(&w, "logit");
        glim_jw_f32(&w, j->logits[i]);
        if (j->in[i].n < j->in[i].n_full) {
            glim_jw_key(&w, "truncated");
            glim_jw_bool(&w, true);
        }
        glim_jw_object_end(&w);
        glim_buf_addc(&b, '\n');
    }
    return glim_cli_emit(&b, e);
}

static glim_err rank(job *j, const glim_json *array, glim_error *e)
{
    glim_embed_opts o;
    glim_embed_opts_init(&o);
    o.cancelled = glim_cli_cancelled;
    glim_err rc = encode_all(j, array, e);
    if (!rc) rc = glim_rerank(j->m, j->in, j->n, &o, j->logits, e);
    if (!rc && j->n) rc = print_all(j, e);
    for (size_t i = 0; j->in && i < j->n; i++)
        glim_encoded_free(&j->in[i]);
    glim_free(j->in);
    glim_free(j->logits);
    return rc;
}

int glim_cmd_rerank(glim_cli *c)
{
    glim_error e = {0};
    job j = {.truncate = glim_cli_opt(c, GLIM_O_TRUNCATE)->on};
    const glim_opt_value *query = glim_cli_opt(c, GLIM_O_QUERY);
    const glim_json *array = NULL;
    glim_err rc = GLIM_OK;
    if (!query->set)
        rc = glim_fail(&e, GLIM_E_USAGE, "--query TEXT is missing; see glim rerank --help");
    if (!rc) {
        j.query = glim_str_of(query->text);
        rc = glim_cli_check_text(query->place, j.query, &e);
    }
    if (!rc) {
        glim_cli_catch_interrupt();
        rc = glim_cli_open_encoder(c, &j.m, &e);
    }
    if (!rc) j.n_max = (size_t)glim_encoder_get_info(j.m)->n_max;
    /* Said before the documents are waited for. */
    if (!rc) rc = glim_rerank(j.m, NULL, 0, NULL, NULL, &e);
    if (!rc) rc = glim_cli_array(c, "documents (strings)", &array, &e);
    if (!rc) rc = rank(&j, array, &e);
    glim_encoder_close(j.m);
    return rc ? glim_cli_fail(c, &e) : 0;
}
