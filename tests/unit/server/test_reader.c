/* SPDX-License-Identifier: MIT
 * test_reader.c - good and bad messages, each cut at every place: the same request or the same
 * refusal, at the same byte. */
#include "server/http_priv.h"
#include "failnth.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { HEAD_MAX = 4096, BODY_MAX = 64 };

static const char *const fault_names[] = {
    [GLIM_HTTP_OK] = "ok",
    [GLIM_HTTP_MALFORMED] = "malformed",
    [GLIM_HTTP_HEAD_TOO_LARGE] = "head",
    [GLIM_HTTP_BODY_TOO_LARGE] = "body",
    [GLIM_HTTP_ENCODED_BODY] = "encoded",
    [GLIM_HTTP_TIMEOUT] = "timeout",
    [GLIM_HTTP_VERSION] = "version",
    [GLIM_HTTP_EXPECTATION] = "expectation",
    [GLIM_HTTP_NOMEM] = "nomem",
};

/* One message as a line; *in is what is left behind it. */
static glim_http_step read_one(glim_http_reader *r, glim_str *in, size_t cut, size_t step,
                               glim_buf *out)
{
    glim_http_step s = GLIM_HTTP_MORE;
    size_t n_head = 0, total = in->n;
    glim_str whole = *in;
    size_t at = 0;
    while (at < total || s == GLIM_HTTP_HEAD) {
        size_t end = at < cut ? cut : total;
        end = GLIM_MIN(GLIM_MIN(end, at + step), total);
        glim_str piece = glim_str_sub(whole, at, end);
        s = glim_http_reader_feed(r, &piece);
        at = end - piece.n;
        if (s == GLIM_HTTP_HEAD) n_head++;
        if (s == GLIM_HTTP_WHOLE || s == GLIM_HTTP_REFUSED) break;
        if (s == GLIM_HTTP_MORE) assert_int_equal(piece.n, 0);
    }
    *in = glim_str_sub(whole, at, total);
    if (s == GLIM_HTTP_MORE) {
        glim_buf_adds(out, glim_http_reader_begun(r) ? "more" : "nothing");
        return s;
    }
    if (s == GLIM_HTTP_REFUSED) {
        assert_non_null(r->fault_text);
        glim_buf_addf(out, "%s@%zu ", fault_names[r->fault], at);
    }
    glim_buf_addf(out, "%.*s %.*s", (int)r->method_text.n, r->method_text.p ? r->method_text.p : "",
                  (int)r->path.n, r->path.p);
    if (r->query.p) glim_buf_addf(out, "?%.*s", (int)r->query.n, r->query.p);
    for (size_t i = 0; i < r->n_header; i++)
        glim_buf_addf(out, " %.*s=%.*s", (int)r->headers[i].name.n, r->headers[i].name.p,
                      (int)r->headers[i].value.n, r->headers[i].value.p);
    if (s == GLIM_HTTP_REFUSED) return s;
    assert_int_equal(n_head, 1);
    if (r->http10) glim_buf_adds(out, " 1.0");
    if (!r->keep_alive) glim_buf_adds(out, " close");
    if (r->expects_continue) glim_buf_adds(out, " expects");
    if (r->has_body) glim_buf_addf(out, " [%.*s]", (int)r->body.n, r->body.p ? r->body.p : "");
    return s;
}

/* Reads whole, then cut at every place and byte by byte; returns the line of the first. */
static void trace(glim_str src, glim_buf *want)
{
    glim_http_reader *r = glim_new0(glim_http_reader);
    glim_buf got;
    assert_non_null(r);
    glim_http_reader_init(r, HEAD_MAX, BODY_MAX);
    glim_buf_init(&got, 1 << 20);
    glim_str in = src;
    glim_http_step first = read_one(r, &in, src.n, SIZE_MAX / 2, want);
    size_t left = in.n;
    for (size_t cut = 0; cut <= src.n + 1; cut++) {
        bool bytes = cut > src.n;
        glim_http_reader_reset(r);
        glim_buf_clear(&got);
        in = src;
        glim_http_step s = read_one(r, &in, bytes ? 0 : cut, bytes ? 1 : SIZE_MAX / 2, &got);
        if (s != first || in.n != left || !glim_str_eq(glim_buf_view(&got), glim_buf_view(want)))
            fail_msg("cut at %zu: %s (%zu left) instead of %s (%zu left)", cut, got.p, in.n,
                     want->p, left);
    }
    glim_buf_deinit(&got);
    glim_http_reader_deinit(r);
    glim_free(r);
}

typedef struct one {
    const char *src, *want;
} one;

static void check(const one *cases, size_t n)
{
    glim_buf got;
    glim_buf_init(&got, 1 << 20);
    for (size_t i = 0; i < n; i++) {
        glim_buf_clear(&got);
        trace(glim_str_of(cases[i].src), &got);
        if (strcmp(got.p ? got.p : "", cases[i].want) != 0)
            fail_msg("%s\ngives %s\nnot   %s", cases[i].src, got.p, cases[i].want);
    }
    glim_buf_deinit(&got);
}

#define H "Host: a\r\n"
#define POST "POST / HTTP/1.1\r\n" H
#define CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"

static void good(void **state)
{
    (void)state;
    static const one cases[] = {
        {"", "nothing"},
        {"G", "more"},
        {"GET / HTTP/1.1\r\n" H "\r", "more"},
        {"GET / HTTP/1.1\r\n" H "\r\n", "GET / Host=a"},
        {"\r\nGET / HTTP/1.1\r\n" H "\r\n", "GET / Host=a"},
        {"GET / HTTP/1.0\r\n\r\n", "GET / 1.0 close"},
        {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "GET / Connection=Keep-Alive 1.0"},
        {"GET / HTTP/1.1\r\nhOsT:a:80\r\nconnection: x , CLOSE\r\n\r\n",
         "GET / hOsT=a:80 connection=x , CLOSE close"},
        {"GET /a%20b%2Fc%c3%A9?x=%41&y HTTP/1.1\r\n" H "\r\n", "GET /a b/c\xc3\xa9?x=%41&y Host=a"},
        {"GET /? HTTP/1.1\r\n" H "\r\n", "GET /? Host=a"},
        {"GET http://a HTTP/1.1\r\n" H "\r\n", "GET / Host=a"},
        {"GET http://A?q HTTP/1.1\r\n" H "\r\n", "GET /?q Host=a"},
        {"GET HTTPS://[::1]:8000/p HTTP/1.1\r\nHost: [::1]:8000\r\n\r\n", "GET /p Host=[::1]:8000"},
        {"OPTIONS * HTTP/1.1\r\n" H "\r\n", "OPTIONS / Host=a"},
        {"M-SEARCH /x HTTP/1.1\r\n" H "\r\n", "M-SEARCH /x Host=a"},
        {"GET / HTTP/1.1\r\n" H "X: \t a \t b\xff \t\r\nY:\r\n\r\n",
         "GET / Host=a X=a \t b\xff Y="},
        {POST "Content-Length: 5\r\n\r\nhello", "POST / Host=a Content-Length=5 [hello]"},
        {POST "Content-Length: 0\r\n\r\nGET", "POST / Host=a Content-Length=0"},
        {POST "Content-Length: 0005\r\n\r\nhelloGET /",
         "POST / Host=a Content-Length=0005 [hello]"},
        {"GET / HTTP/1.1\r\n" H "Content-Length: 2\r\n\r\nhi",
         "GET / Host=a Content-Length=2 [hi]"},
        {POST "Content-Length: 5\r\n\r\nhel", "more"},
        {CHUNKED "0\r\n\r\n", "POST / Host=a Transfer-Encoding=chunked []"},
        {CHUNKED "5\r\nhello\r\n0000000000000001;a=b;c=\"d e\"\r\n!\r\n0\r\nX: y\r\nZ:\r\n\r\nGET",
         "POST / Host=a Transfer-Encoding=chunked [hello!]"},
        {CHUNKED "A\r\n0123456789\r\na\r\n0123456789\r\n00;\r\n\r\n",
         "POST / Host=a Transfer-Encoding=chunked [01234567890123456789]"},
        {POST "Expect: 100-Continue\r\nContent-Length: 1\r\n\r\nx",
         "POST / Host=a Expect=100-Continue Content-Length=1 expects [x]"},
        {POST "Content-Encoding: identity\r\nContent-Length: 1\r\n\r\nx",
         "POST / Host=a Content-Encoding=identity Content-Length=1 [x]"},
        {"GET / HTTP/1.1\r\n" H "Content-Encoding: gzip\r\n\r\n",
         "GET / Host=a Content-Encoding=gzip"},
    };
    check(cases, GLIM_COUNT(cases));
}

static void bad_lines(void **state)
{
    (void)state;
    static const one cases[] = {
        {"\r\n\r\nGET / HTTP/1.1\r\n", "malformed@2  /"},
        {"\nGET / HTTP/1.1\r\n", "malformed@0  /"},
        {"\rGET", "malformed@1  /"},
        {" GET / HTTP/1.1\r\n", "malformed@0  /"},
        {"\x16\x03\x01\x02", "malformed@0  /"},
        {"GET / HTTP/1.1\n", "malformed@14  /"},
        {"GET / HTTP/1.1\rX", "malformed@15  /"},
        {"GET /\r\n", "malformed@7 GET /"},
        {"GET\r\n", "malformed@5  /"},
        {"GET  / HTTP/1.1\r\n", "malformed@17 GET /"},
        {"GET / HTTP/1.1 \r\n", "malformed@17 GET /"},
        {"GET /a b HTTP/1.1\r\n", "malformed@19 GET /"},
        {"G(T / HTTP/1.1\r\n", "malformed@16  /"},
        {"GET\t/ HTTP/1.1\r\n", "malformed@3  /"},
        {"GET /\xc3\xa9 HTTP/1.1\r\n", "malformed@5  /"},
        {"GET /#x HTTP/1.1\r\n", "malformed@18 GET /"},
        {"GET /% HTTP/1.1\r\n", "malformed@17 GET /"},
        {"GET /%4 HTTP/1.1\r\n", "malformed@18 GET /"},
        {"GET /%4g HTTP/1.1\r\n", "malformed@19 GET /"},
        {"GET /%00 HTTP/1.1\r\n", "malformed@19 GET /"},
        {"GET x HTTP/1.1\r\n", "malformed@16 GET /"},
        {"GET * HTTP/1.1\r\n", "malformed@16 GET /"},
        {"CONNECT a:1 HTTP/1.1\r\n", "malformed@22 CONNECT /"},
        {"GET ftp://a/ HTTP/1.1\r\n", "malformed@23 GET /"},
        {"GET http:///x HTTP/1.1\r\n", "malformed@24 GET /"},
        {"GET http://u@a/x HTTP/1.1\r\n", "malformed@27 GET /"},
        {"GET / http/1.1\r\n", "malformed@16 GET /"},
        {"GET / HTTP/1.11\r\n", "malformed@17 GET /"},
        {"GET / HTTP/1.2\r\n", "version@16 GET /"},
        {"GET / HTTP/0.9\r\n", "version@16 GET /"},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "version@16 PRI /"},
    };
    check(cases, GLIM_COUNT(cases));
}

static void bad_headers(void **state)
{
    (void)state;
#define GET "GET /p HTTP/1.1\r\n"
    static const one cases[] = {
        {GET "\r\n", "malformed@19 GET /p"},
        {GET H "Host: a\r\n\r\n", "malformed@37 GET /p Host=a Host=a"},
        {GET "Host:\r\n\r\n", "malformed@26 GET /p Host="},
        {GET "Host: a b\r\n\r\n", "malformed@30 GET /p Host=a b"},
        {GET "Host: a:\r\n\r\n", "malformed@29 GET /p Host=a:"},
        {GET "Host: a:65536\r\n\r\n", "malformed@34 GET /p Host=a:65536"},
        {GET "Host: ::1\r\n\r\n", "malformed@30 GET /p Host=::1"},
        {GET "Host: [::1\r\n\r\n", "malformed@31 GET /p Host=[::1"},
        {GET "Host: [1]\r\n\r\n", "malformed@30 GET /p Host=[1]"},
        {GET "Host: a,b\r\n\r\n", "malformed@30 GET /p Host=a,b"},
        {GET "Host: a/\r\n\r\n", "malformed@29 GET /p Host=a/"},
        {"GET http://b/p HTTP/1.1\r\n" H "\r\n", "malformed@36 GET /p Host=a"},
        {"GET / HTTP/1.0\r\n" H H "\r\n", "malformed@36 GET / Host=a Host=a"},
        {GET H " folded\r\n\r\n", "malformed@26 GET /p Host=a"},
        {GET H "\tfolded\r\n\r\n", "malformed@26 GET /p Host=a"},
        {GET H "X : y\r\n\r\n", "malformed@27 GET /p Host=a"},
        {GET H ": y\r\n\r\n", "malformed@26 GET /p Host=a"},
        {GET H "X\r\n\r\n", "malformed@27 GET /p Host=a"},
        {GET H "X(: y\r\n\r\n", "malformed@27 GET /p Host=a"},
        {GET H "X: y\n\r\n", "malformed@30 GET /p Host=a"},
        {GET H "X: y\rz\r\n\r\n", "malformed@31 GET /p Host=a"},
        {GET H "X: y\x01\r\n\r\n", "malformed@30 GET /p Host=a"},
        {GET H "X: y\x7f\r\n\r\n", "malformed@30 GET /p Host=a"},
        {GET H "\n", "malformed@26 GET /p Host=a"},
        {GET H "\rX", "malformed@27 GET /p Host=a"},
        {GET H "Expect: 200-ok\r\n\r\n", "expectation@44 GET /p Host=a Expect=200-ok"},
    };
    check(cases, GLIM_COUNT(cases));
    /* A NUL does not fit into the table. */
    static const char nul[] = GET "X: a\0b\r\n\r\n";
    glim_buf got;
    glim_buf_init(&got, 1 << 20);
    trace((glim_str){nul, sizeof nul - 1}, &got);
    assert_string_equal(got.p, "malformed@21 GET /p");
    glim_buf_deinit(&got);
}

/* Where the body begins and ends: what one reader takes for a body must never be another's next request. */
static void bad_framing(void **state)
{
    (void)state;
    static const struct {
        const char *headers, *want;
    } heads[] = {
        {"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "malformed"},
        {"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "malformed"},
        {"Content-Length: 5\r\nContent-Length: 6\r\n", "malformed"},
        {"Content-Length: 5\r\nContent-Length: 5\r\n", "malformed"},
        {"Content-Length: 5, 5\r\n", "malformed"},
        {"Content-Length: +5\r\n", "malformed"},
        {"Content-Length: -5\r\n", "malformed"},
        {"Content-Length: 0x5\r\n", "malformed"},
        {"Content-Length: 5 5\r\n", "malformed"},
        {"Content-Length: 5.0\r\n", "malformed"},
        {"Content-Length:\r\n", "malformed"},
        {"Content-Length: 65\r\n", "body"},
        {"Content-Length: 18446744073709551616\r\n", "body"},
        {"Content-Length: 99999999999999999999999999\r\n", "body"},
        {"Transfer-Encoding: gzip\r\n", "malformed"},
        {"Transfer-Encoding: gzip, chunked\r\n", "malformed"},
        {"Transfer-Encoding: chunked, chunked\r\n", "malformed"},
        {"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "malformed"},
        {"Transfer-Encoding: \"chunked\"\r\n", "malformed"},
        {"Transfer-Encoding: \x0b"
         "chunked\r\n",
         "malformed"},
        {"Transfer-Encoding: xchunked\r\n", "malformed"},
        {"Transfer-Encoding:\r\n", "malformed"},
        {"Content-Encoding: gzip\r\nContent-Length: 3\r\n", "encoded"},
        {"Content-Encoding: identity\r\nContent-Encoding: br\r\nTransfer-Encoding: chunked\r\n",
         "encoded"},
    };
    static const struct {
        const char *body, *want;
    } bodies[] = {
        {"\r\n", "malformed"},
        {"x\r\n", "malformed"},
        {"-1\r\n", "malformed"},
        {"+1\r\n", "malformed"},
        {" 1\r\n", "malformed"},
        {"1 \r\n", "malformed"},
        {"1 ;a\r\n", "malformed"},
        {"0x1\r\n", "malformed"},
        {"1\n", "malformed"},
        {"1\rx", "malformed"},
        {"1;a\n", "malformed"},
        {"1;a\rb\r\n", "malformed"},
        {"1;a\x01\r\n", "malformed"},
        {"00000000000000001\r\n", "malformed"},
        {"41\r\n", "body"},
        {"ffffffffffffffff\r\n", "body"},
        {"40\r\n0123456789012345678901234567890123456789012345678901234567890123\r\n1\r\n", "body"},
        {"1\r\nab\r\n", "malformed"},
        {"1\r\na\n", "malformed"},
        {"1\r\na\rb", "malformed"},
        {"0\r\n folded\r\n\r\n", "malformed"},
        {"0\r\nX: \n\r\n", "malformed"},
        {"0\r\nX\r\n\r\n", "malformed"},
        {"0\r\n\rx", "malformed"},
    };
    glim_buf src, got;
    glim_buf_init(&src, 1 << 16);
    glim_buf_init(&got, 1 << 20);
    for (size_t i = 0; i < GLIM_COUNT(heads) + GLIM_COUNT(bodies); i++) {
        bool is_head = i < GLIM_COUNT(heads);
        size_t k = is_head ? i : i - GLIM_COUNT(heads);
        const char *want = is_head ? heads[k].want : bodies[k].want;
        glim_buf_clear(&src);
        glim_buf_clear(&got);
        if (is_head)
            glim_buf_addf(&src, POST "%s\r\nxxxxx", heads[k].headers);
        else
            glim_buf_addf(&src, CHUNKED "%s", bodies[k].body);
        trace(glim_buf_view(&src), &got);
        size_t n = strlen(want);
        if (strncmp(got.p, want, n) != 0 || got.p[n] != '@')
            fail_msg("%s\ngives %s\nnot %s", src.p, got.p, want);
    }
    /* HTTP/1.0 has no chunks. */
    glim_buf_clear(&got);
    trace(GLIM_STR("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), &got);
    assert_memory_equal(got.p, "malformed@", 10);
    glim_buf_deinit(&src);
    glim_buf_deinit(&got);
}

/* The whole of src in one piece. */
static glim_http_step feed(glim_http_reader *r, glim_str src)
{
    glim_http_reader_reset(r);
    glim_http_step s = glim_http_reader_feed(r, &src);
    if (s == GLIM_HTTP_HEAD) s = glim_http_reader_feed(r, &src);
    return s;
}

static void limits(void **state)
{
    (void)state;
    glim_http_reader *r = glim_new0(glim_http_reader);
    glim_buf b;
    glim_http_reader_init(r, HEAD_MAX, BODY_MAX);
    glim_buf_init(&b, 1 << 20);
    static const char rest[] = "GET / HTTP/1.1\r\n" H "X: \r\n\r\n";
    for (int over = 0; over < 2; over++) {
        glim_buf_clear(&b);
        glim_buf_adds(&b, "GET / HTTP/1.1\r\n" H "X: ");
        for (size_t i = sizeof rest - 1; i < HEAD_MAX + (size_t)over; i++)
            glim_buf_addc(&b, 'x');
        glim_buf_adds(&b, "\r\n\r\n");
        assert_int_equal(feed(r, glim_buf_view(&b)), over ? GLIM_HTTP_REFUSED : GLIM_HTTP_WHOLE);
        assert_int_equal(r->fault, over ? GLIM_HTTP_HEAD_TOO_LARGE : GLIM_HTTP_OK);
    }
    for (int n = 100; n <= 101; n++) {
        glim_buf_clear(&b);
        glim_buf_adds(&b, "GET / HTTP/1.1\r\n" H);
        for (int i = 1; i < n; i++)
            glim_buf_adds(&b, "X:\r\n");
        glim_buf_adds(&b, "\r\n");
        assert_int_equal(feed(r, glim_buf_view(&b)), n > 100 ? GLIM_HTTP_REFUSED : GLIM_HTTP_WHOLE);
        assert_int_equal(r->fault, n > 100 ? GLIM_HTTP_HEAD_TOO_LARGE : GLIM_HTTP_OK);
        assert_int_equal(r->n_header, 100);
    }
    /* Trailers and extensions have the limits of a head. */
    for (int kind = 0; kind < 3; kind++) {
        glim_buf_clear(&b);
        glim_buf_adds(&b, CHUNKED);
        glim_buf_adds(&b, kind == 0 ? "1;" : kind == 1 ? "0\r\nX: " : "0\r\n");
        for (int i = 0; i < HEAD_MAX + 1; i++)
            glim_buf_adds(&b, kind == 2 ? "X:\r\n" : "x");
        assert_int_equal(feed(r, glim_buf_view(&b)), GLIM_HTTP_REFUSED);
        assert_int_equal(r->fault, GLIM_HTTP_HEAD_TOO_LARGE);
    }
    /* A line without end does not make the reader keep more than the limit. */
    glim_buf_clear(&b);
    for (int i = 0; i < 10 * HEAD_MAX; i++)
        glim_buf_addc(&b, 'x');
    assert_int_equal(feed(r, glim_buf_view(&b)), GLIM_HTTP_REFUSED);
    assert_int_equal(r->fault, GLIM_HTTP_HEAD_TOO_LARGE);
    assert_true(r->head.n <= HEAD_MAX);
    glim_buf_deinit(&b);
    glim_http_reader_deinit(r);
    glim_free(r);
}

static void refused_from_outside(void **state)
{
    (void)state;
    glim_http_reader *r = glim_new0(glim_http_reader);
    glim_http_reader_init(r, HEAD_MAX, BODY_MAX);
    glim_str in = GLIM_STR("GET /v1/x HTTP/1.1\r\nA: b\r\nC: d");
    assert_int_equal(glim_http_reader_feed(r, &in), GLIM_HTTP_MORE);
    glim_http_reader_refuse(r, GLIM_HTTP_TIMEOUT, "late");
    in = GLIM_STR("\r\n\r\n");
    assert_int_equal(glim_http_reader_feed(r, &in), GLIM_HTTP_REFUSED);
    assert_int_equal(r->fault, GLIM_HTTP_TIMEOUT);
    assert_string_equal(r->fault_text, "late");
    assert_true(glim_str_is(r->path, "/v1/x"));
    assert_int_equal(r->n_header, 1);
    glim_http_reader_deinit(r);
    glim_free(r);
}

static void no_memory(void **state)
{
    (void)state;
    glim_str src = GLIM_STR("POST /%61 HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhello");
    for (int64_t i = 0;; i++) {
        fail_nth f;
        glim_http_reader *r = glim_new0(glim_http_reader);
        glim_http_reader_init(r, HEAD_MAX, BODY_MAX);
        fail_nth_begin(&f, i);
        glim_http_step s = feed(r, src);
        fail_nth_end();
        bool hit = fail_nth_hit(&f);
        assert_int_equal(s, hit ? GLIM_HTTP_REFUSED : GLIM_HTTP_WHOLE);
        assert_int_equal(r->fault, hit ? GLIM_HTTP_NOMEM : GLIM_HTTP_OK);
        glim_http_reader_deinit(r);
        glim_free(r);
        if (!hit) break;
        assert_true(i < 100);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good),        cmocka_unit_test(bad_lines),
        cmocka_unit_test(bad_headers), cmocka_unit_test(bad_framing),
        cmocka_unit_test(limits),      cmocka_unit_test(refused_from_outside),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
