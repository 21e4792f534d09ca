/* SPDX-License-Identifier: MIT
 * test_frames.c - streams to events: every rule of the standard, every place to cut, limits, bytes
 * that are no text, failing allocations. */
#include "script.h"

#include "failnth.h"

typedef struct heard {
    char text[4096]; /* "name|data\n" each */
    size_t n, n_event, stop_after;
} heard;

static bool on_frame(void *user, glim_str name, glim_str data)
{
    heard *h = user;
    assert_true(h->n + name.n + data.n + 2 < sizeof h->text);
    if (name.n) memcpy(h->text + h->n, name.p, name.n);
    h->n += name.n;
    h->text[h->n++] = '|';
    if (data.n) memcpy(h->text + h->n, data.p, data.n);
    h->n += data.n;
    h->text[h->n++] = '\n';
    h->text[h->n] = '\0';
    return ++h->n_event != h->stop_after;
}

typedef struct row {
    const char *name;
    bool lines;
    glim_str bytes;
    const char *want;
    bool cut;
    glim_err err;
    uint64_t offset; /* of an error */
} row;
#define S(s)                                                                                       \
    {                                                                                              \
        (s), sizeof(s) - 1                                                                         \
    }

static const row rows[] = {
    {"empty", false, S(""), "", false, GLIM_OK, 0},
    {"one", false, S("data: a\n\n"), "|a\n", false, GLIM_OK, 0},
    {"no blank", false, S("data:a\n\n"), "|a\n", false, GLIM_OK, 0},
    {"one blank goes", false, S("data:  a\n\n"), "| a\n", false, GLIM_OK, 0},
    {"cr", false, S("data: a\r\rdata: b\r\r"), "|a\n|b\n", false, GLIM_OK, 0},
    {"crlf", false, S("data: a\r\n\r\ndata: b\r\n\r\n"), "|a\n|b\n", false, GLIM_OK, 0},
    {"crlf, two fields", false, S("event: x\r\ndata: a\r\n\r\ndata: b\r\r\n"), "x|a\n|b\n", false,
     GLIM_OK, 0},
    {"mixed", false, S("data: a\r\n\rdata: b\n\r\ndata: c\r\n\n"), "|a\n|b\n|c\n", false, GLIM_OK,
     0},
    {"several lines", false, S("data: a\ndata\ndata: b\ndata:\n\n"), "|a\n\nb\n\n", false, GLIM_OK,
     0},
    {"empty data", false, S("data\n\n"), "|\n", false, GLIM_OK, 0},
    {"empty data, colon", false, S("data:\n\n"), "|\n", false, GLIM_OK, 0},
    {"name", false, S("event: x\ndata: a\n\ndata: b\n\n"), "x|a\n|b\n", false, GLIM_OK, 0},
    {"last name", false, S("event: x\nevent: y\ndata: a\n\n"), "y|a\n", false, GLIM_OK, 0},
    {"empty name", false, S("event: x\nevent\ndata: a\n\n"), "|a\n", false, GLIM_OK, 0},
    {"name without data", false, S("event: x\n\ndata: a\n\n"), "|a\n", false, GLIM_OK, 0},
    {"comments", false, S(": hi\ndata: a\n:\n:data: no\ndata: b\n\n"), "|a\nb\n", false, GLIM_OK,
     0},
    {"keep-alive", false, S(": keep-alive\n\ndata: a\n\n: keep-alive\n\n"), "|a\n", false, GLIM_OK,
     0},
    {"id and retry", false, S("id: 1\nretry: 10\nid\nretry: x\ndata: a\n\n"), "|a\n", false,
     GLIM_OK, 0},
    {"unknown", false, S("foo: 1\nDATA: x\n data: y\ndata : z\ndata: a\n\n"), "|a\n", false,
     GLIM_OK, 0},
    {"colons", false, S("data: a:b: c\n\n"), "|a:b: c\n", false, GLIM_OK, 0},
    {"bom", false,
     S("\xEF\xBB\xBF"
       "data: a\n\n"),
     "|a\n", false, GLIM_OK, 0},
    {"bom before a comment", false, S("\xEF\xBB\xBF:\ndata: a\n\n"), "|a\n", false, GLIM_OK, 0},
    {"bom alone", false, S("\xEF\xBB\xBF\ndata: a\n\n"), "|a\n", false, GLIM_OK, 0},
    {"bom later", false,
     S("data: a\n\n\xEF\xBB\xBF"
       "data: b\n\ndata: c\n\n"),
     "|a\n|c\n", false, GLIM_OK, 0},
    {"two boms", false,
     S("\xEF\xBB\xBF\xEF\xBB\xBF"
       "data: a\n\ndata: b\n\n"),
     "|b\n", false, GLIM_OK, 0},
    {"characters", false, S("data: \xC3\xA9\xF0\x9F\x98\x80\xE2\x80\xA8\n\n"),
     "|\xC3\xA9\xF0\x9F\x98\x80\xE2\x80\xA8\n", false, GLIM_OK, 0},
    {"cut in data", false, S("data: a\n\ndata: b"), "|a\n", true, GLIM_OK, 0},
    {"cut before the blank line", false, S("data: a\n\ndata: b\n"), "|a\n", true, GLIM_OK, 0},
    {"cut in a name", false, S("data: a\n\neven"), "|a\n", true, GLIM_OK, 0},
    {"cut behind a name", false, S("data: a\n\nevent: x\n"), "|a\n", true, GLIM_OK, 0},
    {"cut in a comment", false, S("data: a\n\n: keep"), "|a\n", false, GLIM_OK, 0},
    {"cut behind a line", false, S("data: a\n\n\r"), "|a\n", false, GLIM_OK, 0},
    {"nul", false, S("data: a\n\ndata: \0b\n\n"), "|a\n", false, GLIM_E_FORMAT, 15},
    {"nul in a comment", false, S("data: a\n\n:\0\n"), "|a\n", false, GLIM_E_FORMAT, 10},
    {"no utf-8", false, S("data: a\n\ndata: \xC3(\n\n"), "|a\n", false, GLIM_E_FORMAT, 15},
    {"overlong", false, S("data: \xC0\x80\n\n"), "", false, GLIM_E_FORMAT, 6},
    {"surrogate", false, S("data: \xED\xA0\x80\n\n"), "", false, GLIM_E_FORMAT, 6},
    {"character cut by a line end", false, S("data: \xF0\x9F\ndata: \x98\x80\n\n"), "", false,
     GLIM_E_FORMAT, 6},
    {"at the limit", false, S("data: 0123456789012345678901234567890123456789012345678901\n\n"),
     "|0123456789012345678901234567890123456789012345678901\n", false, GLIM_OK, 0},
    {"line too long", false,
     S("data: a\n\ndata: 012345678901234567890123456789012345678901234567890123456\n\n"), "|a\n",
     false, GLIM_E_LIMIT, 9},
    {"event too long", false,
     S("data: 0123456789012345678901234567890123456789\ndata: "
       "0123456789012345678901234567890123456789\n\n"),
     "", false, GLIM_E_LIMIT, 47},
    {"comment too long", false,
     S(":123456789012345678901234567890123456789012345678901234567890123\n\n"), "", false,
     GLIM_E_LIMIT, 0},

    {"lines", true, S("{\"a\":1}\n{\"b\":2}\n"), "|{\"a\":1}\n|{\"b\":2}\n", false, GLIM_OK, 0},
    {"lines, crlf", true, S("{}\r\n\r\n \t\n{\r}\r\n"), "|{}\n|{\r}\n", false, GLIM_OK, 0},
    {"lines, no last end", true, S("{}\n{\"b\":2}"), "|{}\n|{\"b\":2}\n", false, GLIM_OK, 0},
    {"lines, nothing", true, S(""), "", false, GLIM_OK, 0},
    {"lines, blank end", true, S("{}\n \r"), "|{}\n", false, GLIM_OK, 0},
    {"lines, data:", true, S("data: {}\n"), "|data: {}\n", false, GLIM_OK, 0},
    {"lines, nul", true, S("{}\n{\0}\n"), "|{}\n", false, GLIM_E_FORMAT, 4},
    {"lines, no utf-8", true, S("{}\n\xFF\n"), "|{}\n", false, GLIM_E_FORMAT, 3},
    {"lines, half a character", true, S("{}\n\xC3"), "|{}\n", false, GLIM_E_FORMAT, 3},
    {"lines, too long", true,
     S("{}\n0123456789012345678901234567890123456789012345678901234567890\n"), "|{}\n", false,
     GLIM_E_LIMIT, 3},
};

enum { EVENT_MAX = 60 };

/* Feeds the bytes in pieces: up to cut, then step bytes each. */
static glim_err feed(const row *r, size_t cut, size_t step, heard *h, bool *was_cut, glim_error *e)
{
    glim_frames *f = glim_frames_new(r->lines, EVENT_MAX, on_frame, h);
    assert_non_null(f);
    glim_err rc = glim_frames_feed(f, glim_str_sub(r->bytes, 0, cut), e);
    for (size_t i = cut; i < r->bytes.n && !rc; i += step)
        rc = glim_frames_feed(f, glim_str_sub(r->bytes, i, GLIM_MIN(i + step, r->bytes.n)), e);
    *was_cut = false;
    if (!rc) rc = glim_frames_end(f, was_cut, e);
    if (rc) { /* stays failed */
        assert_int_equal(glim_frames_feed(f, GLIM_STR("data: z\n\n"), NULL), rc);
        assert_int_equal(glim_frames_end(f, &(bool){false}, NULL), rc);
    }
    glim_frames_free(f);
    return rc;
}

static void rules(void **state)
{
    (void)state;
    for (size_t i = 0; i < GLIM_COUNT(rows); i++) {
        const row *r = &rows[i];
        for (size_t cut = 0; cut <= r->bytes.n; cut++) {
            for (size_t step = 1; step <= r->bytes.n + 1; step += r->bytes.n ? r->bytes.n : 1) {
                heard h = {.n = 0};
                bool was_cut;
                glim_error e = {.offset = 0};
                glim_err rc = feed(r, cut, step, &h, &was_cut, &e);
                if (rc != r->err || strcmp(h.text, r->want) != 0 || was_cut != r->cut)
                    print_error("%s, cut %zu: %d %s\n%s", r->name, cut, rc, e.msg, h.text);
                assert_int_equal(rc, r->err);
                assert_string_equal(h.text, r->want);
                assert_int_equal(was_cut, r->cut);
                if (rc) assert_int_equal(e.offset, r->offset);
                if (rc) assert_true(e.msg[0] != '\0');
            }
        }
    }
}

static void reader_stops(void **state)
{
    (void)state;
    heard h = {.stop_after = 2};
    glim_error e = {0};
    glim_frames *f = glim_frames_new(false, 100, on_frame, &h);
    glim_str s = GLIM_STR("data: a\n\ndata: b\n\ndata: c\n\n");
    assert_int_equal(glim_frames_feed(f, s, &e), GLIM_E_CANCELLED);
    assert_string_equal(h.text, "|a\n|b\n");
    assert_int_equal(glim_frames_feed(f, s, &e), GLIM_E_CANCELLED);
    assert_int_equal(h.n_event, 2);
    glim_frames_free(f);
    glim_frames_free(NULL);
}

/* A stream without line ends costs no more than the limit. */
static void endless(void **state)
{
    (void)state;
    heard h = {.n = 0};
    char block[4096];
    glim_err rc = GLIM_OK;
    size_t n = 0;
    memset(block, 'x', sizeof block);
    glim_frames *f = glim_frames_new(false, 65536, on_frame, &h);
    while (!rc) {
        rc = glim_frames_feed(f, (glim_str){block, sizeof block}, NULL);
        n++;
    }
    assert_int_equal(rc, GLIM_E_LIMIT);
    assert_int_equal(n, 17);
    glim_frames_free(f);
}

static void failing_memory(void **state)
{
    (void)state;
    static const row r = {.bytes = S("event: x\ndata: abc\ndata: d\n\ndata: e\n\n")};
    for (int64_t n = 0;; n++) {
        heard h = {.n = 0};
        fail_nth fail;
        bool cut = false;
        glim_error e = {0};
        fail_nth_begin(&fail, n);
        glim_frames *f = glim_frames_new(false, 100, on_frame, &h);
        glim_err rc = f ? GLIM_OK : GLIM_E_NOMEM;
        for (size_t i = 0; i < r.bytes.n && !rc; i++)
            rc = glim_frames_feed(f, glim_str_sub(r.bytes, i, i + 1), &e);
        if (!rc) rc = glim_frames_end(f, &cut, &e);
        glim_frames_free(f);
        fail_nth_end();
        if (!fail_nth_hit(&fail)) {
            assert_int_equal(rc, GLIM_OK);
            assert_string_equal(h.text, "x|abc\nd\n|e\n");
            break;
        }
        assert_int_equal(rc, GLIM_E_NOMEM);
        assert_true(n < 50);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules),
        cmocka_unit_test(reader_stops),
        cmocka_unit_test(endless),
        cmocka_unit_test(failing_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
