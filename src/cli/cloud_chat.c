/* SPDX-License-Identifier: MIT
 * cloud_chat.c - glim cloud chat, tokens, embed, rerank: texts to a model elsewhere.
 * Not here: what is asked (request.c), how an answer is shown (answer.c). */
#include "cli/cloud_priv.h"

/* ---- chat and tokens --------------------------------------------------------------------------- */

typedef struct question {
    glim_cli_request rq;
    glim_client_ask ask;
} question;

static glim_err read_question(glim_cli *c, question *q, glim_error *e)
{
    glim_buf b;
    glim_jw w;
    glim_err rc = glim_cli_read_request(c, true, &q->rq, e);
    if (rc) return rc;
    glim_client_ask_init(&q->ask);
    q->ask.chat = q->rq.chat;
    rc = glim_cli_gen_opts(c, &q->ask.gen, e);
    if (rc || glim_cli_opt(c, GLIM_O_FIELD)->n_item == 0) return rc;
    glim_buf_init(&b, SIZE_MAX / 2);
    glim_jw_init(&w, &b);
    glim_jw_object(&w);
    rc = glim_cloud_fields(c, &w, e);
    glim_jw_object_end(&w);
    if (!rc) q->ask.extra = b.err ? (glim_str){0} : glim_arena_str(c->arena, glim_buf_view(&b));
    if (!rc && !q->ask.extra.p) rc = glim_fail(e, GLIM_E_NOMEM, "no memory for --field");
    glim_buf_deinit(&b);
    return rc;
}

static glim_err chat(glim_cloud *k, void *what, glim_error *e)
{
    question *q = what;
    glim_printer p = {0};
    glim_err rc = glim_printer_init(&p, glim_cli_opt(k->c, GLIM_O_JSON)->on, e);
    if (rc) return rc;
    q->ask.model = k->model;
    rc = glim_client_chat(k->client, &q->ask, glim_printer_event, &p, &k->call, e);
    const glim_answer *a = glim_collector_answer(p.col);
    glim_printer_finish(&p, a);
    rc = glim_printer_result(&p, k->c, a, rc, glim_client_provider(k->client), e);
    glim_printer_deinit(&p);
    return rc;
}

static glim_err tokens(glim_cloud *k, void *what, glim_error *e)
{
    question *q = what;
    int64_t n = 0;
    q->ask.model = k->model;
    glim_err rc = glim_client_count(k->client, &q->ask, &k->call, &n, e);
    if (!rc) printf("%lld\n", (long long)n);
    return rc;
}

static int ask(glim_cli *c, glim_cloud_fn fn)
{
    glim_error e = {0};
    question q;
    if (read_question(c, &q, &e)) return glim_cli_fail(c, &e);
    return glim_cloud_run(c, fn, &q);
}

int glim_cloud_chat(glim_cli *c)
{
    return ask(c, chat);
}

int glim_cloud_tokens(glim_cli *c)
{
    return ask(c, tokens);
}

/* ---- embed and rerank -------------------------------------------------------------------------- */

#define GROUP 64 /* texts of one request: what the platform takes */

typedef struct texts {
    glim_str *p;
    size_t n;
} texts;

/* TEXT, or standard input as a JSON array of strings. */
static glim_err read_texts(glim_cli *c, const char *text, texts *t, glim_error *e)
{
    const glim_json *array = NULL;
    glim_err rc = text ? glim_cli_check_text("TEXT", glim_str_of(text), e)
                       : glim_cli_array(c, "strings", &array, e);
    if (rc) return rc;
    size_t n = array ? array->n_child : 1;
    t->p = GLIM_ARENA_ARRAY(c->arena, glim_str, GLIM_MAX(n, (size_t)1));
    if (!t->p) return glim_fail(e, GLIM_E_NOMEM, "no memory for %zu texts", n);
    if (!array) t->p[t->n++] = glim_str_of(text);
    GLIM_JSON_EACH(it, array)
    {
        if (it->type != GLIM_JSON_STRING)
            return glim_fail_off(e, GLIM_E_INPUT, it->offset,
                                 "standard input: element %zu (at byte %zu) is %s; give strings",
                                 t->n, (size_t)it->offset, glim_json_type_name(it->type));
        t->p[t->n++] = it->text;
    }
    if (t->n == 0)
        return glim_fail(e, GLIM_E_INPUT, "standard input: the array is empty; one text is needed");
    return GLIM_OK;
}

static glim_err print_vectors(const glim_vectors *v, size_t i_first, bool counted, glim_error *e)
{
    glim_err rc = GLIM_OK;
    for (size_t i = 0; !rc && i < v->n; i++) {
        glim_buf b;
        glim_jw w;
        glim_buf_init(&b, SIZE_MAX / 2);
        glim_jw_init(&w, &b);
        glim_jw_object(&w);
        glim_jw_key(&w, "index");
        glim_jw_u64(&w, i_first + i);
        if (counted) { /* servers say only how many all texts of a request have together */
            glim_jw_key(&w, "tokens");
            glim_jw_i64(&w, v->n_token);
        }
        glim_jw_key(&w, "embedding");
        glim_jw_array(&w);
        for (size_t d = 0; d < v->n_dim; d++)
            glim_jw_f32(&w, v->v[i * v->n_dim + d]);
        glim_jw_array_end(&w);
        glim_jw_object_end(&w);
        glim_buf_addc(&b, '\n');
        rc = glim_cli_emit(&b, e);
    }
    return rc;
}

static glim_err embed(glim_cloud *k, void *what, glim_error *e)
{
    const texts *t = what;
    const glim_opt_value *dim = glim_cli_opt(k->c, GLIM_O_DIMENSIONS);
    glim_err rc = GLIM_OK;
    for (size_t at = 0; !rc && at < t->n; at += GROUP) {
        glim_vectors v = {0};
        const size_t n = GLIM_MIN((size_t)GROUP, t->n - at);
        rc = glim_client_embed(k->client, k->model, t->p + at, n, dim->set ? dim->i64 : 0, &k->call,
                               &v, e);
        if (!rc) rc = print_vectors(&v, at, t->n == 1, e);
        glim_vectors_free(&v);
    }
    return rc;
}

int glim_cloud_embed(glim_cli *c)
{
    glim_error e = {0};
    texts t = {0};
    if (read_texts(c, c->n_arg ? c->arg[0] : NULL, &t, &e)) return glim_cli_fail(c, &e);
    return glim_cloud_run(c, embed, &t);
}

static glim_err rerank(glim_cloud *k, void *what, glim_error *e)
{
    const texts *t = what;
    size_t n = 0;
    glim_ranked *ranked = GLIM_ARENA_ARRAY(k->c->arena, glim_ranked, t->n);
    double *score = GLIM_ARENA_ARRAY(k->c->arena, double, t->n);
    if (!ranked || !score) return glim_fail(e, GLIM_E_NOMEM, "no memory for %zu documents", t->n);
    glim_err rc =
        glim_client_rerank(k->client, k->model, glim_str_of(glim_cli_opt(k->c, GLIM_O_QUERY)->text),
                           t->p, t->n, 0, &k->call, ranked, &n, e);
    if (rc) return rc;
    if (n != t->n)
        return glim_fail(e, GLIM_E_FORMAT, "the server judged %zu documents of %zu", n, t->n);
    for (size_t i = 0; i < n; i++)
        score[ranked[i].i_document] = ranked[i].score;
    for (size_t i = 0; !rc && i < n; i++) {
        glim_buf b;
        glim_jw w;
        glim_buf_init(&b, 128);
        glim_jw_init(&w, &b);
        glim_jw_object(&w);
        glim_jw_key(&w, "index");
        glim_jw_u64(&w, i);
        glim_jw_key(&w, "score");
        glim_jw_f64(&w, score[i]);
        glim_jw_object_end(&w);
        glim_buf_addc(&b, '\n');
        rc = glim_cli_emit(&b, e);
    }
    return rc;
}

int glim_cloud_rerank(glim_cli *c)
{
    glim_error e = {0};
    texts t = {0};
    const glim_opt_value *query = glim_cli_opt(c, GLIM_O_QUERY);
    glim_err rc = query->set
                      ? glim_cli_check_text(query->place, glim_str_of(query->text), &e)
                      : glim_fail(&e, GLIM_E_USAGE, "--query TEXT is missing; see glim %s --help",
                                  c->cmd->name);
    if (!rc) rc = read_texts(c, NULL, &t, &e);
    return rc ? glim_cli_fail(c, &e) : glim_cloud_run(c, rerank, &t);
}
