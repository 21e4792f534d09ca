/* SPDX-License-Identifier: MIT
 * test_history.c - what is dropped of a conversation, and what never is. Costs are counted by a function of the test's own
 * (a token a byte), so that every figure here follows from the texts. */
#include "client/client_priv.h"
#include "failnth.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static int64_t bytes(void *user, glim_str text)
{
    (void)user;
    return (int64_t)text.n;
}

static void add(glim_history *h, glim_role role, const char *text)
{
    glim_message m = {.role = role, .content = glim_str_of(text)};
    assert_int_equal(glim_history_add(h, &m, NULL), GLIM_OK);
}

/* First letters of the messages: s, u, a, t and then the text. */
static void is(const glim_history *h, const char *expected)
{
    glim_buf b;
    size_t n;
    const glim_message *m = glim_history_messages(h, &n);
    glim_buf_init(&b, 1000);
    glim_buf_adds(&b, "");
    for (size_t i = 0; i < n; i++)
        glim_buf_addf(&b, "%s%c%.*s", i ? " " : "", "suat"[m[i].role], (int)m[i].content.n,
                      m[i].content.p);
    assert_string_equal(b.p ? b.p : "", expected);
    glim_buf_deinit(&b);
}

/* A message of n bytes costs n + 4. */
static void turns(void **state)
{
    (void)state;
    static const struct {
        int64_t n_max;
        size_t n_dropped;
        const char *left;
    } cases[] = {
        {0, 0, "sS u1 a1 t1 a2 u2 a3 u3"},
        {40, 0, "sS u1 a1 t1 a2 u2 a3 u3"},
        {39, 4, "sS u2 a3 u3"},
        {20, 4, "sS u2 a3 u3"},
        {19, 6, "sS u3"},
        {1, 6, "sS u3"},
    };
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        glim_history *h = glim_history_new(cases[i].n_max, bytes, NULL);
        assert_non_null(h);
        add(h, GLIM_ROLE_SYSTEM, "S");
        add(h, GLIM_ROLE_USER, "1");
        add(h, GLIM_ROLE_ASSISTANT, "1");
        add(h, GLIM_ROLE_TOOL, "1");
        add(h, GLIM_ROLE_ASSISTANT, "2");
        add(h, GLIM_ROLE_USER, "2");
        add(h, GLIM_ROLE_ASSISTANT, "3");
        add(h, GLIM_ROLE_USER, "3");
        assert_int_equal(glim_history_trim(h), cases[i].n_dropped);
        is(h, cases[i].left);
        assert_int_equal(glim_history_trim(h), 0);
        add(h, GLIM_ROLE_ASSISTANT, "4");
        glim_history_free(h);
    }
}

static void system_stays(void **state)
{
    (void)state;
    glim_history *h = glim_history_new(1, bytes, NULL);
    assert_int_equal(glim_history_trim(h), 0);
    is(h, "");
    add(h, GLIM_ROLE_SYSTEM, "A");
    assert_int_equal(glim_history_trim(h), 0);
    add(h, GLIM_ROLE_ASSISTANT, "greeting");
    assert_int_equal(glim_history_trim(h), 0); /* the last turn */
    add(h, GLIM_ROLE_USER, "1");
    add(h, GLIM_ROLE_SYSTEM, "B");
    add(h, GLIM_ROLE_USER, "2");
    add(h, GLIM_ROLE_SYSTEM, "C");
    assert_int_equal(glim_history_trim(h), 2);
    is(h, "sA sB u2 sC");
    glim_history_free(h);
}

/* Texts, calls and parts are the history's own: what they were made from may change. */
static void copies(void **state)
{
    (void)state;
    char text[] = "text", name[] = "name", args[] = "{}", part[] = "{\"a\":1}", id[] = "id";
    glim_tool_call call = {glim_str_of(id), glim_str_of(name), glim_str_of(args)};
    glim_str parts[] = {glim_str_of(part), glim_str_of(part)};
    glim_message m = {.role = GLIM_ROLE_ASSISTANT,
                      .content = glim_str_of(text),
                      .has_reasoning = true,
                      .reasoning = glim_str_of(text),
                      .calls = &call,
                      .n_call = 1,
                      .tool_call_id = glim_str_of(id),
                      .parts = parts,
                      .n_part = 2};
    glim_history *h = glim_history_new(0, NULL, NULL);
    assert_int_equal(glim_history_add(h, &m, NULL), GLIM_OK);
    memset(text, 'x', 4);
    memset(name, 'x', 4);
    memset(args, 'x', 2);
    memset(part, 'x', 7);
    memset(id, 'x', 2);
    for (int i = 0; i < 40; i++)
        add(h, GLIM_ROLE_USER, "more");
    size_t n;
    const glim_message *k = glim_history_messages(h, &n);
    assert_int_equal(n, 41);
    assert_true(glim_str_is(k->content, "text") && glim_str_is(k->reasoning, "text"));
    assert_true(k->has_reasoning && k->n_call == 1 && k->n_part == 2);
    assert_true(glim_str_is(k->calls->name, "name") && glim_str_is(k->calls->arguments, "{}"));
    assert_true(glim_str_is(k->calls->id, "id") && glim_str_is(k->tool_call_id, "id"));
    assert_true(glim_str_is(k->parts[1], "{\"a\":1}"));
    glim_history_free(h);
}

/* Without a function: 4 ASCII letters or one other character a token, until a server has counted. */
static void learns(void **state)
{
    (void)state;
    glim_history *h = glim_history_new(20, NULL, NULL);
    add(h, GLIM_ROLE_USER, "1234567890123456");         /* 4 + 4 */
    add(h, GLIM_ROLE_USER, "\xe4\xbd\xa0\xe5\xa5\xbd"); /* 2 + 4 */
    add(h, GLIM_ROLE_USER, "12345678");                 /* 2 + 4: 20 in all */
    assert_int_equal(glim_history_trim(h), 0);
    /* The server says 40, twice as much: 16 and 12 have to go. */
    glim_history_usage(h, &(glim_usage){.n_prompt = 40, .n_completion = 30, .n_reasoning = 28});
    assert_int_equal(glim_history_trim(h), 2);
    assert_int_equal(glim_history_trim(h), 0);
    /* Its answer has 2 tokens beside the thought, whatever its letters: 12 + 6 fit. */
    add(h, GLIM_ROLE_ASSISTANT, "an answer that would be estimated at far more than it has");
    assert_int_equal(glim_history_trim(h), 0);
    is(h, "u12345678 aan answer that would be estimated at far more than it has");
    /* Nonsense teaches nothing. */
    glim_history_usage(h, &(glim_usage){.n_prompt = -5, .n_completion = -7});
    assert_int_equal(glim_history_trim(h), 0);
    glim_history_free(h);
}

static void no_memory(void **state)
{
    (void)state;
    bool done = false;
    for (int64_t n = 0; !done; n++) {
        fail_nth f;
        glim_message m = {.role = GLIM_ROLE_USER, .content = GLIM_STR("text")};
        glim_error e = {0};
        fail_nth_begin(&f, n);
        glim_history *h = glim_history_new(10, NULL, NULL);
        glim_err rc = GLIM_OK;
        size_t k = 0;
        for (; h && !rc && k < 20; k++)
            rc = glim_history_add(h, &m, &e);
        fail_nth_end();
        done = h && !rc;
        if (h) {
            size_t kept;
            (void)glim_history_messages(h, &kept);
            assert_int_equal(kept, rc ? k - 1 : 20);
            if (rc) assert_int_equal(rc, GLIM_E_NOMEM);
            assert_int_equal(glim_history_add(h, &m, &e), GLIM_OK);
            assert_int_equal(glim_history_trim(h), kept ? kept - 1 : 0);
        }
        glim_history_free(h);
    }
    glim_history_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(turns), cmocka_unit_test(system_stays),
                                       cmocka_unit_test(copies), cmocka_unit_test(learns),
                                       cmocka_unit_test(no_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
