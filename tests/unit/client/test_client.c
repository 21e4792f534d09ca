/* SPDX-License-Identifier: MIT
 * test_client.c - a client from options to end without a network: names, defaults, memory that fails, things to cancel by. */
#include "client/client_priv.h"
#include "failnth.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <poll.h>

#include <cmocka.h>

static void names(void **state)
{
    (void)state;
    assert_string_equal(glim_client_providers(), "zhipu, openai, ollama");
    assert_string_equal(glim_fault_name(GLIM_FAULT_NONE), "none");
    assert_string_equal(glim_fault_name(GLIM_FAULT_LOCAL), "local");
    assert_string_equal(glim_fault_name((glim_fault)99), "unknown");
    for (int f = 0; f <= GLIM_FAULT_LOCAL; f++)
        assert_non_null(glim_fault_name((glim_fault)f));
}

static void defaults(void **state)
{
    (void)state;
    glim_client *c;
    glim_error e = {0};
    glim_client_opts o;
    setenv("ZAI_API_KEY", "id.secret", 1);
    assert_int_equal(glim_client_new(NULL, &c, &e), GLIM_OK);
    assert_string_equal(glim_client_provider(c), "zhipu");
    assert_string_equal(glim_client_base_url(c), "https://open.bigmodel.cn/api/paas/v4");
    glim_client_free(c);
    unsetenv("ZAI_API_KEY");
    assert_int_equal(glim_client_new(NULL, &c, &e), GLIM_E_NOTFOUND);
    assert_null(c);
    /* A program that was built with shorter options gets the defaults for the rest. */
    glim_client_opts_init(&o);
    o.api_key = "id.secret";
    o.size = offsetof(glim_client_opts, jwt);
    o.n_retry = -100;
    assert_int_equal(glim_client_new(&o, &c, &e), GLIM_OK);
    assert_int_equal(c->n_retry, 3);
    glim_client_free(c);
    glim_client_free(NULL);
}

static void addresses(void **state)
{
    (void)state;
    static const struct {
        const char *given, *used;
    } cases[] = {
        {"127.0.0.1", "http://127.0.0.1:11434"},
        {"0.0.0.0", "http://127.0.0.1:11434"},
        {"0.0.0.0:1234", "http://127.0.0.1:1234"},
        {":1234", "http://127.0.0.1:1234"},
        {"host", "http://host:11434"},
        {"host:80/prefix/", "http://host:80/prefix"},
        {"[::1]", "http://[::1]:11434"},
        {"[::1]:5", "http://[::1]:5"},
        {"https://ollama.com", "https://ollama.com"},
    };
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        glim_client *c;
        glim_error e = {0};
        glim_client_opts o;
        glim_client_opts_init(&o);
        o.provider = "ollama";
        o.base_url = cases[i].given;
        assert_int_equal(glim_client_new(&o, &c, &e), GLIM_OK);
        assert_string_equal(glim_client_base_url(c), cases[i].used);
        glim_client_free(c);
    }
}

static void no_memory(void **state)
{
    (void)state;
    bool done = false;
    for (int64_t n = 0; !done; n++) {
        fail_nth f;
        glim_client *c = NULL;
        glim_error e = {0};
        glim_client_opts o;
        glim_client_opts_init(&o);
        o.api_key = "id.secret";
        o.jwt = n % 2;
        o.model = "m";
        o.proxy = "http://user:pass@host:1";
        fail_nth_begin(&f, n / 2);
        glim_err rc = glim_client_new(&o, &c, &e);
        fail_nth_end();
        done = n % 2 && !fail_nth_hit(&f);
        assert_int_equal(rc, fail_nth_hit(&f) ? GLIM_E_NOMEM : GLIM_OK);
        assert_int_equal(c == NULL, rc != GLIM_OK);
        glim_client_free(c);
    }
}

/* Readable once it is cancelled, however often, and again after a reset. */
static void cancels(void **state)
{
    (void)state;
    glim_cancel *k = glim_cancel_new();
    assert_non_null(k);
    struct pollfd p = {.fd = glim_cancel_fd(k), .events = POLLIN};
    for (int round = 0; round < 3; round++) {
        assert_false(glim_cancel_is(k));
        assert_int_equal(poll(&p, 1, 0), 0);
        assert_int_equal(glim_cancel_wait(k, 1, NULL), GLIM_OK);
        for (int i = 0; i < 70000; i++) /* more than a pipe holds */
            glim_cancel_now(k);
        assert_true(glim_cancel_is(k));
        assert_int_equal(poll(&p, 1, 0), 1);
        assert_int_equal(glim_cancel_wait(k, 1000000, NULL), GLIM_E_CANCELLED);
        glim_cancel_reset(k);
    }
    glim_cancel_free(k);
    glim_cancel_free(NULL);
    assert_false(glim_cancel_is(NULL));
}

int main(void)
{
    /* Whoever runs the tests may have keys of their own. */
    static const char *const vars[] = {"ZHIPUAI_API_KEY",  "ZAI_API_KEY",  "GLM_FLASH_API_KEY",
                                       "ZHIPUAI_BASE_URL", "ZAI_BASE_URL", "OLLAMA_API_KEY"};
    for (size_t i = 0; i < GLIM_COUNT(vars); i++)
        unsetenv(vars[i]);
    const struct CMUnitTest tests[] = {cmocka_unit_test(names), cmocka_unit_test(defaults),
                                       cmocka_unit_test(addresses), cmocka_unit_test(no_memory),
                                       cmocka_unit_test(cancels)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
