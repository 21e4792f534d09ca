/* SPDX-License-Identifier: MIT
 * logprobs.c - logarithms of probabilities on their way from tokens to the text that shows them.
 * Owns:   the queue between the two: an entry comes before its token's text, which may be held back
 *         (a possible stop string, half a character), cut (blanks behind a thought) or never come
 *         (tags, calls).
 * Layout: data: for each entry its encoded forms and its bytes, one behind the other; entries:
 *         where they lie.
 * Thread: one at a time for a queue.
 * Fails:  NOMEM, LIMIT stay in the buffers.
 * See:    tests/unit/api/test_logprobs.c */
#include "api/reply_priv.h"

#include <inttypes.h>

void glim_lp_init(glim_lp_queue *q, size_t max_bytes)
{
    *q = (glim_lp_queue){0};
    glim_buf_init(&q->data, max_bytes);
    glim_buf_init(&q->entries, max_bytes);
}

void glim_lp_deinit(glim_lp_queue *q)
{
    glim_buf_deinit(&q->data);
    glim_buf_deinit(&q->entries);
}

static size_t count(const glim_lp_queue *q)
{
    return q->entries.n / sizeof(glim_lp_entry);
}

void glim_lp_clear(glim_lp_queue *q)
{
    glim_buf_cut(&q->data, 0);
    glim_buf_cut(&q->entries, 0);
    q->i_next = 0;
    q->covered = 0;
}

/* ---- encoding -------------------------------------------------------------------------------- */

void glim_lp_put_number(glim_buf *b, float x)
{
    glim_jw w;
    glim_jw_init(&w, b);
    glim_jw_f32(&w, x >= -9999.0f ? x : -9999.0f); /* also for a NaN */
}

/* {"token", "logprob", "bytes"}, behind "id" for llama-server, without the closing brace. */
static void put_token(glim_buf *b, const glim_logprob *lp, glim_lp_form form)
{
    glim_buf_addc(b, '{');
    if (form == GLIM_LP_LLAMA) glim_buf_addf(b, "\"id\":%" PRId32 ",", lp->id);
    glim_buf_adds(b, "\"token\":");
    glim_json_quote(b, lp->bytes);
    glim_buf_adds(b, ",\"logprob\":");
    glim_lp_put_number(b, lp->logprob);
    glim_buf_adds(b, ",\"bytes\":[");
    for (size_t i = 0; i < lp->bytes.n; i++)
        glim_buf_addf(b, "%s%u", i ? "," : "", (unsigned)(unsigned char)lp->bytes.p[i]);
    glim_buf_addc(b, ']');
}

static void put_object(glim_buf *b, const glim_token_logprobs *lp, glim_lp_form form)
{
    put_token(b, &lp->chosen, form);
    glim_buf_adds(b, ",\"top_logprobs\":[");
    for (size_t i = 0; i < lp->n_top; i++) {
        if (i) glim_buf_addc(b, ',');
        put_token(b, &lp->top[i], form);
        glim_buf_addc(b, '}');
    }
    glim_buf_adds(b, "]}");
}

/* Tokens by their text, as the older interface has it: of several with the same text (parts of
 * characters all look alike) the most probable stands for them. */
static void put_by_text(glim_buf *b, const glim_token_logprobs *lp)
{
    size_t at[21], n_at = 0, end;
    glim_buf_addc(b, '{');
    for (size_t i = 0; i <= lp->n_top && n_at < GLIM_COUNT(at); i++) {
        const glim_logprob *x = i < lp->n_top ? &lp->top[i] : &lp->chosen;
        size_t begin = b->n;
        if (n_at) glim_buf_addc(b, ',');
        size_t key = b->n;
        glim_json_quote(b, x->bytes);
        end = b->n;
        if (b->err) return;
        bool seen = false;
        for (size_t k = 0; k < n_at && !seen; k++)
            seen = memcmp(b->p + at[k], b->p + key, end - key) == 0; /* both end in a quote */
        if (seen) {
            glim_buf_cut(b, begin);
            continue;
        }
        at[n_at++] = key;
        glim_buf_addc(b, ':');
        glim_lp_put_number(b, x->logprob);
    }
    glim_buf_addc(b, '}');
}

void glim_lp_push(glim_lp_queue *q, const glim_event *ev, glim_lp_form form)
{
    const glim_token_logprobs *lp = ev->logprobs;
    if (!lp) return;
    if (q->i_next == count(q)) {
        size_t covered = q->covered; /* of a token whose text is not out to its end */
        glim_lp_clear(q);
        q->covered = covered;
    }
    glim_lp_entry e = {.at = q->data.n, .in_reasoning = ev->in_reasoning};
    if (form == GLIM_LP_BY_TEXT) {
        glim_json_quote(&q->data, lp->chosen.bytes);
        e.n_json = q->data.n - e.at;
        glim_lp_put_number(&q->data, lp->chosen.logprob);
        e.n_number = q->data.n - e.at - e.n_json;
        put_by_text(&q->data, lp);
        e.n_top = q->data.n - e.at - e.n_json - e.n_number;
    } else {
        put_object(&q->data, lp, form);
        e.n_json = q->data.n - e.at;
    }
    glim_buf_addv(&q->data, lp->chosen.bytes);
    e.n_bytes = lp->chosen.bytes.n;
    glim_buf_add(&q->entries, &e, sizeof e);
}

/* ---- from tokens to text --------------------------------------------------------------------- */

static void advance(glim_str *t, size_t n)
{
    t->p += n;
    t->n -= n;
}

/* Does text begin as bytes do, as far as both go? The rest of bytes then covers what follows. */
static bool match(glim_lp_queue *q, glim_str bytes, glim_str *text)
{
    size_t n = GLIM_MIN(bytes.n, text->n);
    if (n == 0 || memcmp(bytes.p, text->p, n) != 0) return false;
    advance(text, n);
    q->covered = bytes.n - n;
    return true;
}

static glim_str without_blanks(glim_str s)
{
    while (s.n && strchr(" \t\r\n", s.p[0]) && s.p[0])
        advance(&s, 1);
    return s;
}

const glim_lp_entry *glim_lp_take(glim_lp_queue *q, bool in_reasoning, glim_str *text,
                                  const char **begin)
{
    static const glim_str replaced = {"\xEF\xBF\xBD", 3};
    size_t n = GLIM_MIN(q->covered, text->n);
    if (n) advance(text, n);
    q->covered -= n;
    while (text->n && q->i_next < count(q)) {
        const glim_lp_entry *e = (const glim_lp_entry *)(void *)q->entries.p + q->i_next;
        glim_str bytes = {q->data.p + e->at + e->n_json + e->n_number + e->n_top, e->n_bytes};
        if (in_reasoning && !e->in_reasoning) return NULL;
        q->i_next++;
        if (!in_reasoning && e->in_reasoning) continue; /* the thought's closing tag */
        *begin = text->p;
        if (match(q, bytes, text)) return e;
        glim_str rest = without_blanks(bytes);
        if (rest.n < bytes.n && match(q, rest, text)) return e;
        if (glim_str_starts(*text, replaced) && !glim_utf8_valid(bytes, NULL)) {
            advance(text, replaced.n);
            return e;
        }
        /* It made no text: a tag, or blanks that fell away. */
    }
    return NULL;
}

glim_str glim_lp_json(const glim_lp_queue *q, const glim_lp_entry *e)
{
    return (glim_str){q->data.p + e->at, e->n_json};
}

glim_str glim_lp_number(const glim_lp_queue *q, const glim_lp_entry *e)
{
    return (glim_str){q->data.p + e->at + e->n_json, e->n_number};
}

glim_str glim_lp_top(const glim_lp_queue *q, const glim_lp_entry *e)
{
    return (glim_str){q->data.p + e->at + e->n_json + e->n_number, e->n_top};
}
