/* SPDX-License-Identifier: MIT
 * cmd_tokenize.c - glim tokenize and glim detokenize. */
#include "cli/cli_priv.h"

/* Appends a token's bytes as text: U+FFFD for each longest run of bytes that begins a character and
 * does not end it, as the Unicode standard advises. */
static void add_text(glim_buf *b, glim_str s)
{
    while (s.n > 0) {
        uint32_t cp;
        size_t n = (size_t)glim_utf8_decode(s, &cp);
        if (n > 0) {
            glim_buf_add(b, s.p, n);
        } else {
            for (n = GLIM_MIN(s.n, (size_t)3); n > 1 && glim_utf8_partial((glim_str){s.p, n}) != n;)
                n--;
            glim_buf_adds(b, "\xEF\xBF\xBD");
        }
        s = glim_str_sub(s, n, s.n);
    }
}

static glim_err print_tokens(const glim_vocab *v, const glim_tokens *t, glim_error *e)
{
    glim_buf b;
    glim_jw w;
    glim_buf_init(&b, SIZE_MAX / 2);
    glim_jw_init(&w, &b);
    glim_jw_object(&w);
    glim_jw_key(&w, "tokens");
    glim_jw_array(&w);
    for (size_t i = 0; i < t->n; i++)
        glim_jw_i64(&w, t->ids[i]);
    glim_jw_array_end(&w);
    glim_jw_key(&w, "pieces");
    glim_jw_array(&w);
    glim_buf text;
    glim_buf_init(&text, SIZE_MAX / 2);
    for (size_t i = 0; i < t->n; i++) {
        glim_buf_clear(&text);
        add_text(&text, glim_token_text(v, t->ids[i]));
        if (text.err && !b.err) b.err = text.err;
        glim_jw_str(&w, glim_buf_view(&text));
    }
    glim_buf_deinit(&text);
    glim_jw_array_end(&w);
    glim_jw_object_end(&w);
    glim_buf_addc(&b, '\n');
    return glim_cli_emit(&b, e);
}

int glim_cmd_tokenize(glim_cli *c)
{
    glim_error e = {0};
    glim_buf b = {0};
    glim_vocab *v = NULL;
    glim_tokens t = {0};
    glim_str text = c->n_arg ? glim_str_of(c->arg[0]) : (glim_str){0};
    glim_err rc = glim_cli_open_vocab(c, &v, &e);
    if (!rc && !c->n_arg) {
        rc = glim_cli_read("-", &b, &e);
        if (!rc) text = glim_buf_view(&b);
    }
    if (!rc) rc = glim_cli_check_text(c->n_arg ? "TEXT" : "standard input", text, &e);
    if (!rc) rc = glim_tokenize(v, text, glim_cli_opt(c, GLIM_O_SPECIAL)->on, &t, &e);
    if (!rc) rc = print_tokens(v, &t, &e);
    glim_tokens_free(&t);
    glim_buf_deinit(&b);
    glim_vocab_close(v);
    return rc ? glim_cli_fail(c, &e) : 0;
}

static glim_err write_tokens(const glim_vocab *v, const int32_t *ids, size_t n, glim_error *e)
{
    size_t n_vocab = glim_vocab_size(v);
    for (size_t i = 0; i < n; i++)
        if (ids[i] < 0 || (size_t)ids[i] >= n_vocab)
            return glim_fail(e, GLIM_E_INPUT, "standard input: id %d (number %zu) is not in 0..%zu",
                             (int)ids[i], i, n_vocab - 1);
    for (size_t i = 0; i < n; i++) {
        glim_str s = glim_token_text(v, ids[i]);
        if (s.n) fwrite(s.p, 1, s.n, stdout);
    }
    return GLIM_OK;
}

int glim_cmd_detokenize(glim_cli *c)
{
    glim_error e = {0};
    glim_buf b = {0};
    glim_vocab *v = NULL;
    int32_t *ids = NULL;
    size_t n = 0;
    glim_err rc = glim_cli_open_vocab(c, &v, &e);
    if (!rc && glim_vocab_of_encoder(v))
        rc = glim_fail(&e, GLIM_E_UNSUPPORTED,
                       "this is the vocabulary of an embedding model: its tokens do not hold the "
                       "text they came from; glim tokenize shows how they are spelled");
    if (!rc) rc = glim_cli_read("-", &b, &e);
    if (!rc) rc = glim_cli_ids(glim_buf_view(&b), "standard input", false, &ids, &n, &e);
    if (!rc) rc = write_tokens(v, ids, n, &e);
    glim_free(ids);
    glim_buf_deinit(&b);
    glim_vocab_close(v);
    return rc ? glim_cli_fail(c, &e) : 0;
}
