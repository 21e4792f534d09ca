/* SPDX-License-Identifier: MIT
 * test_model.c - opening: the plan, options out of range, a context that does not fit, memory that fails. */
#include "engine/engine_int.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "demo.h"
#include "failnth.h"

static void test_plan(void **state)
{
    (void)state;
    glim_model_opts o;
    glim_memory_plan p;
    glim_error e = {0};
    glim_model *m;
    glim_model_opts_init(&o);
    o.n_ctx = 1000;
    assert_int_equal(glim_model_plan(DEMO_GGUF, &o, &p, &e), GLIM_OK);
    assert_int_equal(p.kv_per_token,
                     160 * 6 * 2); /* latent cache only, prediction layer excluded */
    assert_int_equal(p.kv, 1000 * p.kv_per_token);
    assert_int_equal(p.n_ctx_model, 4096);
    assert_true(p.weights > 16000000 && p.weights < 17222912);
    OPEN_MODEL(DEMO_GGUF, &o, &m);
    const glim_model_info *i = glim_model_get_info(m);
    assert_int_equal(i->plan.weights, p.weights); /* the plan is what is then done */
    assert_int_equal(i->plan.derived, p.derived);
    assert_int_equal(i->plan.scratch, p.scratch);
    assert_int_equal(i->n_layer, 6);
    assert_string_equal(i->template_name, "glm-4.7-flash");
    assert_string_equal(i->format, "gguf");
    assert_true(strlen(i->quant) > 0);
    assert_true(i->n_head > 0);
    assert_true(i->template_text.n > 100);
    assert_string_equal(i->name, "glim demo");
    glim_model_close(m);
}

static void test_context_refused(void **state)
{
    (void)state;
    glim_model_opts o;
    glim_model *m;
    glim_error e = {0};
    glim_model_opts_init(&o);
    o.n_ctx = 5000;
    assert_int_equal(glim_model_open(DEMO_GGUF, &o, &m, &e), GLIM_E_CONTEXT);
    assert_non_null(strstr(e.msg, "--ctx 4096")); /* says what would do */
}

static void test_options(void **state)
{
    (void)state;
    glim_model_opts o;
    glim_model *m;
    glim_error e = {0};
    glim_model_opts_init(&o);
    o.n_ctx = -1;
    assert_int_equal(glim_model_open(DEMO_GGUF, &o, &m, &e), GLIM_E_INPUT);
    glim_model_opts_init(&o);
    o.cpu = "sse9";
    assert_int_equal(glim_model_open(DEMO_GGUF, &o, &m, &e), GLIM_E_INPUT);
    assert_non_null(strstr(e.msg, "avx2"));
    glim_model_opts_init(&o);
    o.n_thread = 100000;
    assert_int_equal(glim_model_open(DEMO_GGUF, &o, &m, &e), GLIM_E_INPUT);
    glim_model_opts_init(&o);
    o.rank_norm_eps = -1;
    assert_int_equal(glim_model_open(DEMO_GGUF, &o, &m, &e), GLIM_E_INPUT);
    assert_int_equal(glim_model_open(GLIM_SOURCE_DIR "/no such model", NULL, &m, &e),
                     GLIM_E_NOTFOUND);
}

/* A caller built against an older header: fields it does not know keep their defaults. */
static void test_short_options(void **state)
{
    (void)state;
    glim_model_opts o;
    glim_model *m;
    memset(&o, 0x55, sizeof o);
    o.size = offsetof(glim_model_opts, n_thread);
    o.n_ctx = 100;
    OPEN_MODEL(TINY_DIR, &o, &m);
    assert_int_equal(glim_model_get_info(m)->plan.n_ctx, 100);
    glim_model_close(m);
}

static bool count_progress(void *user, uint64_t done, uint64_t total)
{
    uint64_t *last = user;
    assert_true(done >= *last && done <= total);
    *last = done;
    return true;
}

static bool stop_at_once(void *user, uint64_t done, uint64_t total)
{
    (void)user;
    (void)done;
    (void)total;
    return false;
}

static void test_progress(void **state)
{
    (void)state;
    glim_model_opts o;
    glim_model *m;
    uint64_t last = 0;
    glim_model_opts_init(&o);
    o.progress = count_progress;
    o.progress_user = &last;
    OPEN_MODEL(DEMO_GGUF, &o, &m);
    assert_int_equal(last, glim_model_get_info(m)->plan.weights);
    glim_model_close(m);
    o.progress = stop_at_once;
    assert_int_equal(glim_model_open(DEMO_GGUF, &o, &m, NULL), GLIM_E_CANCELLED);
}

/* Every allocation of a load fails once: an error each time, and nothing is left (the sanitizer looks). */
static void test_memory_fails(void **state)
{
    (void)state;
    glim_model_opts o;
    glim_model_opts_init(&o);
    o.n_thread = 1;
    o.n_ctx = 64;
    int64_t n = 0;
    for (;; n += n < 200
                     ? 1
                     : 37) { /* the first ones all, later a sample: a vocabulary takes many alike */
        glim_model *m = NULL;
        glim_error e = {0};
        fail_nth f;
        fail_nth_begin(&f, n);
        glim_err rc = glim_model_open(TINY_DIR, &o, &m, &e);
        fail_nth_end();
        if (!fail_nth_hit(&f)) {
            assert_int_equal(rc, GLIM_OK);
            glim_model_close(m);
            break;
        }
        if (rc == GLIM_OK)
            glim_model_close(m);
        else
            assert_true(rc == GLIM_E_NOMEM && e.msg[0]);
    }
    assert_true(n > 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plan),     cmocka_unit_test(test_context_refused),
        cmocka_unit_test(test_options),  cmocka_unit_test(test_short_options),
        cmocka_unit_test(test_progress), cmocka_unit_test(test_memory_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
