/* SPDX-License-Identifier: MIT
 * enctok_txt.c - vocab.txt of a BERT into a tokenizer: a token a line, the line's number is its id.
 * Owns: that form, and the names that the special tokens have there.
 * Thread: any.
 * Fails: GLIM_E_FORMAT with the line, GLIM_E_NOMEM, and what glim_enctok_new() says.
 * See: tests/unit/text/test_wordpiece.c */
#include "enctok_priv.h"

/* The next line of *s without its end. */
static glim_str take_line(glim_str *s)
{
    const char *end = memchr(s->p, '\n', s->n);
    glim_str line = glim_str_sub(*s, 0, end ? (size_t)(end - s->p) : s->n);
    *s = glim_str_sub(*s, GLIM_MIN(line.n + 1, s->n), s->n);
    if (line.n && line.p[line.n - 1] == '\r') line.n--;
    return line;
}

static void set_role(glim_enctok_spec *s, glim_str token, int32_t id)
{
    if (glim_str_is(token, "[CLS]")) s->cls = id;
    if (glim_str_is(token, "[SEP]")) s->sep = id;
    if (glim_str_is(token, "[PAD]")) s->pad = id;
    if (glim_str_is(token, "[UNK]")) s->unk = id;
    if (glim_str_is(token, "[MASK]")) s->mask = id;
}

glim_err glim_enctok_from_vocab_txt(glim_str vocab, bool lower, glim_enctok **out, glim_error *e)
{
    glim_enctok_spec s;
    glim_enctok_spec_init(&s, GLIM_ENCTOK_WORDPIECE);
    s.lower = s.strip_accents = lower;
    size_t n_line = 0, n = 0, bad;
    for (glim_str rest = vocab; rest.n; n_line++)
        (void)take_line(&rest);
    if (n_line == 0) return glim_fail(e, GLIM_E_FORMAT, "vocab.txt is empty");
    glim_str *text = glim_alloc_array(n_line, sizeof *text);
    if (!text) return glim_fail(e, GLIM_E_NOMEM, "no memory for a vocabulary of %zu lines", n_line);
    glim_err rc = GLIM_OK;
    for (glim_str rest = vocab; !rc && rest.n; n++) {
        size_t at = vocab.n - rest.n;
        glim_str line = take_line(&rest);
        if (!glim_utf8_valid(line, &bad))
            rc = glim_fail_off(e, GLIM_E_FORMAT, at + bad, "line %zu of vocab.txt is not UTF-8",
                               n + 1);
        if (line.n == 0) continue; /* an id that no token has */
        text[n] = line;
        if (n < INT32_MAX) set_role(&s, line, (int32_t)n);
    }
    s.n_token = n_line;
    s.text = text;
    if (!rc) rc = glim_enctok_new(&s, out, e);
    glim_free(text);
    return rc;
}
