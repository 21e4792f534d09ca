/* SPDX-License-Identifier: MIT
 * http_reader.c - fuzz target: the same bytes whole and cut at places that the data choose must give
 * the same messages, the same refusal, and leave the same rest. Layout: byte 0 the cuts, bytes. */
#include "server/http_priv.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEAD_MAX = 2048, BODY_MAX = 1024, N_MESSAGE = 16 };

static void must(bool x)
{
    if (!x) abort();
}

static void add(glim_buf *out, glim_str s)
{
    glim_buf_addf(out, "%zu:", s.n);
    glim_buf_addv(out, s);
}

static void check(const glim_http_reader *r)
{
    must(r->n_header <= GLIM_HTTP_N_HEADER && r->head.n <= HEAD_MAX && r->body.n <= BODY_MAX);
    must(r->path.n > 0 && r->path.p[0] == '/' && !memchr(r->path.p, 0, r->path.n));
    for (size_t i = 0; i < r->n_header; i++) {
        glim_str name = r->headers[i].name, v = r->headers[i].value;
        must(name.n > 0 && !memchr(name.p, ' ', name.n));
        for (size_t k = 0; k < v.n; k++)
            must((unsigned char)v.p[k] >= 0x20 || v.p[k] == '\t');
    }
}

static void show(const glim_http_reader *r, glim_http_step s, glim_buf *out)
{
    glim_buf_addf(out, "\n%d %d %d ", (int)s, (int)r->fault, (int)r->method);
    if (s == GLIM_HTTP_MORE) return;
    check(r);
    add(out, r->method_text);
    add(out, r->target);
    add(out, r->path);
    add(out, r->query);
    add(out, r->authority);
    for (size_t i = 0; i < r->n_header; i++) {
        add(out, r->headers[i].name);
        add(out, r->headers[i].value);
    }
    glim_buf_addf(out, "%d%d%d%d%d ", r->http10, r->keep_alive, r->has_body, r->chunked,
                  r->expects_continue);
    add(out, glim_buf_view(&r->body));
}

/* Messages one after the other until the bytes end or one is refused. */
static void run(glim_str s, size_t step, unsigned seed, glim_buf *out)
{
    static glim_http_reader r;
    memset(&r, 0, sizeof r);
    glim_http_reader_init(&r, HEAD_MAX, BODY_MAX);
    size_t at = 0, n_message = 0;
    glim_http_step got = GLIM_HTTP_MORE;
    while ((at < s.n || got == GLIM_HTTP_HEAD) && n_message < N_MESSAGE) {
        size_t n = GLIM_MIN(step, s.n - at);
        glim_str piece = glim_str_sub(s, at, at + n);
        got = glim_http_reader_feed(&r, &piece);
        must(got != GLIM_HTTP_MORE || piece.n == 0);
        at += n - piece.n;
        if (got == GLIM_HTTP_REFUSED) break;
        if (got == GLIM_HTTP_WHOLE) {
            show(&r, got, out);
            glim_buf_addf(out, "@%zu", at);
            glim_http_reader_reset(&r);
            n_message++;
        }
        if (step != SIZE_MAX) step = 1 + (step * 5 + seed) % 13;
    }
    show(&r, got == GLIM_HTTP_WHOLE ? GLIM_HTTP_MORE : got, out);
    glim_buf_addf(out, "@%zu", at);
    glim_http_reader_deinit(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    glim_buf whole, cut;
    if (size < 1) return 0;
    glim_str s = {(const char *)data + 1, size - 1};
    glim_buf_init(&whole, SIZE_MAX / 2);
    glim_buf_init(&cut, SIZE_MAX / 2);
    run(s, SIZE_MAX, 0, &whole);
    run(s, 1 + data[0] % 7u, data[0], &cut);
    must(glim_str_eq(glim_buf_view(&whole), glim_buf_view(&cut)));
    glim_buf_deinit(&whole);
    glim_buf_deinit(&cut);
    return 0;
}
