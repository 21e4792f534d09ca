/* SPDX-License-Identifier: MIT
 * cmd_keyword.c - glim keyword: the words that say best what a text is about. */
#include <math.h>

#include "cli/cli_priv.h"

/* ---- the vocabulary -------------------------------------------------------------------------- */

static glim_err words_of_json(glim_cli *c, const char *name, glim_str text, glim_str **words,
                              size_t *n, glim_error *e)
{
    glim_json *json;
    glim_err rc = glim_json_parse(c->arena, text, &json, e);
    if (rc) {
        glim_error_prefix(e, "%s", name);
        return rc;
    }
    *words = GLIM_ARENA_ARRAY(c->arena, glim_str, GLIM_MAX(json->n_child, (size_t)1));
    if (!*words) return glim_fail(e, GLIM_E_NOMEM, "%s: no memory for its words", name);
    GLIM_JSON_EACH(it, json)
    {
        if (it->type != GLIM_JSON_STRING)
            return glim_fail_off(e, GLIM_E_INPUT, it->offset,
                                 "%s: element %zu (at byte %zu) is %s, not a word", name, *n,
                                 (size_t)it->offset, glim_json_type_name(it->type));
        (*words)[(*n)++] = it->text;
    }
    return GLIM_OK;
}

/* A word a line; blanks at its ends and empty lines do not count. */
static glim_err words_of_lines(glim_cli *c, const char *name, glim_str text, glim_str **words,
                               size_t *n, glim_error *e)
{
    size_t n_line = 1;
    for (size_t i = 0; i < text.n; i++)
        n_line += text.p[i] == '\n';
    *words = GLIM_ARENA_ARRAY(c->arena, glim_str, n_line);
    if (!*words) return glim_fail(e, GLIM_E_NOMEM, "%s: no memory for its words", name);
    for (size_t at = 0; at < text.n;) {
        const char *end = memchr(text.p + at, '\n', text.n - at);
        size_t next = end ? (size_t)(end - text.p) : text.n;
        glim_str word = glim_str_trim(glim_str_sub(text, at, next), " \t\r");
        if (word.n) (*words)[(*n)++] = word;
        at = next + 1;
    }
    return GLIM_OK;
}

static glim_err read_vocab(glim_cli *c, const glim_opt_value *file, glim_str **words, size_t *n,
                           glim_error *e)
{
    glim_buf b;
    glim_err rc = glim_cli_read(file->text, &b, e);
    if (rc) return rc;
    glim_str text = glim_arena_str(c->arena, glim_buf_view(&b));
    glim_buf_deinit(&b);
    if (!text.p) return glim_fail(e, GLIM_E_NOMEM, "%s: no memory for it", file->text);
    rc = glim_cli_check_text(file->text, text, e);
    if (rc) return rc;
    glim_str begin = glim_str_trim(text, " \t\r\n");
    rc = begin.n && begin.p[0] == '[' ? words_of_json(c, file->text, text, words, n, e)
                                      : words_of_lines(c, file->text, text, words, n, e);
    /* Without words the text's own would be taken, which is not what was asked for. */
    if (!rc && *n == 0)
        rc = glim_fail(e, GLIM_E_INPUT, "%s: no word in it; leave %s out to choose from the text",
                       file->text, file->place);
    return rc;
}

/* ---- the command ----------------------------------------------------------------------------- */

/* The name that the server gives the model: its file without ".gguf", or its folder. */
static glim_str served_name(const char *path)
{
    glim_str s = glim_str_of(path);
    while (s.n > 1 && s.p[s.n - 1] == '/')
        s.n--;
    for (size_t i = s.n; i-- > 0;)
        if (s.p[i] == '/' && i + 1 < s.n) {
            s = glim_str_sub(s, i + 1, s.n);
            break;
        }
    return glim_str_ends(s, GLIM_STR(".gguf")) ? glim_str_sub(s, 0, s.n - 5) : s;
}

static glim_err print_keywords(const char *path, const glim_keywords *k, glim_error *e)
{
    glim_buf b;
    glim_jw w;
    glim_buf_init(&b, SIZE_MAX / 2);
    glim_jw_init(&w, &b);
    glim_jw_object(&w);
    glim_jw_key(&w, "model");
    glim_jw_str(&w, served_name(path));
    glim_jw_key(&w, "keywords");
    glim_jw_array(&w);
    for (size_t i = 0; i < k->n; i++) {
        glim_jw_object(&w);
        glim_jw_key(&w, "name");
        glim_jw_str(&w, k->p[i].word);
        glim_jw_key(&w, "similarity");
        glim_jw_f64(&w, round(k->p[i].similarity * 1e4) / 1e4);
        glim_jw_object_end(&w);
    }
    glim_jw_array_end(&w);
    glim_jw_object_end(&w);
    glim_buf_addc(&b, '\n');
    return glim_cli_emit(&b, e);
}

static glim_err choose(glim_cli *c, glim_encoder *m, glim_str text, const char *path, glim_error *e)
{
    const glim_opt_value *file = glim_cli_opt(c, GLIM_O_VOCAB);
    glim_keyword_opts o;
    glim_keywords k = {0};
    glim_str *words = NULL;
    size_t n = 0;
    glim_keyword_opts_init(&o);
    o.top = glim_cli_opt(c, GLIM_O_TOP)->i64;
    o.mmr = glim_cli_opt(c, GLIM_O_MMR)->on;
    o.maxsum = glim_cli_opt(c, GLIM_O_MAXSUM)->on;
    o.diversity = glim_cli_opt(c, GLIM_O_DIVERSITY)->f64;
    glim_err rc = file->set ? read_vocab(c, file, &words, &n, e) : GLIM_OK;
    if (!rc) rc = glim_keywords_of(m, text, words, n, &o, glim_cli_cancelled, NULL, &k, e);
    if (!rc && k.cut)
        glim_cli_say(c, "the text was cut: it has more than the %lld tokens that the model reads",
                     (long long)glim_encoder_get_info(m)->n_max);
    if (!rc) rc = print_keywords(path, &k, e);
    glim_keywords_free(&k);
    return rc;
}

int glim_cmd_keyword(glim_cli *c)
{
    glim_error e = {0};
    glim_buf b = {0};
    glim_encoder *m = NULL;
    const char *path = NULL;
    const glim_opt_value *vocab = glim_cli_opt(c, GLIM_O_VOCAB);
    glim_err rc = GLIM_OK;
    if (glim_cli_opt(c, GLIM_O_TOP)->i64 < 1)
        rc = glim_fail(&e, GLIM_E_USAGE, "%s: 0 keywords; ask for at least 1",
                       glim_cli_opt(c, GLIM_O_TOP)->place);
    if (!rc && vocab->set && strcmp(vocab->text, "-") == 0)
        rc = glim_fail(&e, GLIM_E_USAGE, "%s: standard input has the text; name a file",
                       vocab->place);
    if (!rc) {
        glim_cli_catch_interrupt();
        rc = glim_cli_open_encoder(c, &m, &e);
    }
    if (!rc) rc = glim_cli_model_path(c, &path, &e);
    if (!rc) rc = glim_cli_read("-", &b, &e);
    if (!rc) rc = glim_cli_check_text("standard input", glim_buf_view(&b), &e);
    if (!rc) rc = choose(c, m, glim_buf_view(&b), path, &e);
    glim_buf_deinit(&b);
    glim_encoder_close(m);
    return rc ? glim_cli_fail(c, &e) : 0;
}
