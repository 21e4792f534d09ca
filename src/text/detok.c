/* SPDX-License-Identifier: MIT
 * detok.c - bytes of tokens -> whole characters: a token may end inside of one.
 * Owns: the up to three bytes of an unfinished character.
 * Not here: which tokens are shown (engine). Rule for broken input: a byte that cannot belong to a
 *           character becomes one U+FFFD; when an unfinished character is broken off, each of its
 *           bytes does, and the byte that broke it begins anew. Nothing depends on how the bytes
 *           were cut into tokens.
 * Thread: one at a time for a glim_detok.
 * Fails: as the buffer does; nothing has changed then.
 * See: tests/unit/text/test_detok.c */
#include "text.h"

#define REPLACEMENT "\xEF\xBF\xBD"

void glim_detok_init(glim_detok *d)
{
    memset(d, 0, sizeof *d);
}

/* Length of the character that begins with c; 0: none does. */
static size_t length_of(unsigned char c)
{
    if (c < 0x80) return 1;
    if (c >= 0xC2 && c <= 0xDF) return 2;
    if (c >= 0xE0 && c <= 0xEF) return 3;
    return c >= 0xF0 && c <= 0xF4 ? 4 : 0;
}

/* True when c can stand behind the n_held bytes held so far. */
static bool goes_on(const glim_detok *d, unsigned char c)
{
    unsigned char low = 0x80, high = 0xBF;
    if (d->n_held == 1) {
        /* The second byte keeps out overlong forms, surrogates and what is beyond U+10FFFF. */
        switch ((unsigned char)d->held[0]) {
        case 0xE0:
            low = 0xA0;
            break;
        case 0xED:
            high = 0x9F;
            break;
        case 0xF0:
            low = 0x90;
            break;
        case 0xF4:
            high = 0x8F;
            break;
        default:
            break;
        }
    }
    return c >= low && c <= high;
}

static void drop_held(glim_detok *d, glim_buf *out)
{
    for (; d->n_held; d->n_held--)
        glim_buf_adds(out, REPLACEMENT);
}

static void push_byte(glim_detok *d, char byte, glim_buf *out)
{
    unsigned char c = (unsigned char)byte;
    if (d->n_held && !goes_on(d, c)) drop_held(d, out);
    if (!d->n_held) {
        size_t n = length_of(c);
        if (n == 0) glim_buf_adds(out, REPLACEMENT);
        if (n == 1) glim_buf_addc(out, byte);
        if (n <= 1) return;
    }
    d->held[d->n_held++] = byte;
    if (d->n_held == length_of((unsigned char)d->held[0])) {
        glim_buf_add(out, d->held, d->n_held);
        d->n_held = 0;
    }
}

/* Keeps the promise that a failure changes nothing. */
static glim_err settle(glim_detok *d, const glim_detok *before, glim_buf *out, size_t n_before)
{
    if (!out->err) return GLIM_OK;
    *d = *before;
    glim_buf_cut(out, n_before);
    return out->err;
}

glim_err glim_detok_push(glim_detok *d, glim_str bytes, glim_buf *out)
{
    glim_detok before = *d;
    size_t n_before = out->n;
    for (size_t i = 0; i < bytes.n && !out->err; i++) {
        size_t run = i;
        while (!d->n_held && run < bytes.n && (unsigned char)bytes.p[run] < 0x80)
            run++;
        if (run > i) {
            glim_buf_add(out, bytes.p + i, run - i);
            i = run - 1;
        } else {
            push_byte(d, bytes.p[i], out);
        }
    }
    return settle(d, &before, out, n_before);
}

glim_err glim_detok_finish(glim_detok *d, glim_buf *out)
{
    glim_detok before = *d;
    size_t n_before = out->n;
    drop_held(d, out);
    return settle(d, &before, out, n_before);
}
