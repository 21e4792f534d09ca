/* SPDX-License-Identifier: MIT
 * test_session.c - evaluation by chunks, truncation, limits, cancelling; results that do not depend on threads or chunks. */
#include "engine/engine_int.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "demo.h"

static const int32_t tokens[] = {292, 56,  320, 222, 126, 39,  309, 52,  357, 220,
                                 300, 314, 204, 60,  9,   132, 103, 264, 279, 332};
#define N_TOKEN GLIM_COUNT(tokens)
#define N_VOCAB 384

typedef struct rows {
    float *p; /* [n][N_VOCAB] */
    int64_t n, first_pos;
} rows;

static bool keep_rows(void *user, int64_t pos, const float *logits, size_t n_vocab)
{
    rows *r = user;
    assert_int_equal(n_vocab, N_VOCAB);
    if (r->n == 0) r->first_pos = pos;
    assert_int_equal(pos, r->first_pos + r->n);
    memcpy(r->p + r->n++ * N_VOCAB, logits, N_VOCAB * sizeof(float));
    return true;
}

static void eval_all(const glim_model_opts *o, float *out)
{
    glim_model *m;
    glim_session *s;
    rows r = {.p = out};
    OPEN_MODEL(TINY_DIR, o, &m);
    assert_int_equal(glim_session_new(m, &s, NULL), GLIM_OK);
    assert_int_equal(glim_session_eval(s, tokens, N_TOKEN, true, keep_rows, &r, NULL), GLIM_OK);
    assert_int_equal(r.n, N_TOKEN);
    glim_session_free(s);
    glim_model_close(m);
}

static void test_threads_and_chunks(void **state)
{
    (void)state;
    static float want[N_TOKEN * N_VOCAB], got[N_TOKEN * N_VOCAB];
    static const int64_t chunks[] = {1, 7, 64};
    for (int form = GLIM_MLA_ABSORBED; form <= GLIM_MLA_EXPANDED; form++) {
        glim_model_opts o;
        glim_model_opts_init(&o);
        o.n_ctx = 64;
        o.mla = (glim_mla_form)form;
        o.n_thread = 1;
        eval_all(&o, want);
        for (int n_thread = 1; n_thread <= 3; n_thread++)
            for (size_t c = 0; c < GLIM_COUNT(chunks); c++) {
                o.n_thread = n_thread;
                o.n_chunk = chunks[c];
                eval_all(&o, got);
                assert_memory_equal(got, want, sizeof want); /* the same bits */
            }
    }
}

static void test_limits(void **state)
{
    (void)state;
    glim_model_opts o;
    glim_model *m;
    glim_session *s, *other;
    glim_error e = {0};
    int32_t bad[] = {1, 2, N_VOCAB}, negative = -1;
    glim_model_opts_init(&o);
    o.n_ctx = 70;
    o.n_chunk = 8;
    OPEN_MODEL(TINY_DIR, &o, &m);
    assert_int_equal(glim_session_new(m, &s, NULL), GLIM_OK);
    assert_int_equal(glim_session_eval(s, tokens, N_TOKEN, false, NULL, NULL, NULL), GLIM_OK);

    assert_int_equal(glim_session_eval(s, bad, 3, false, NULL, NULL, &e), GLIM_E_INPUT);
    assert_non_null(strstr(e.msg, "384 at position 2"));
    assert_int_equal(glim_session_eval(s, &negative, 1, false, NULL, NULL, &e), GLIM_E_INPUT);
    int32_t many[51] = {0};
    assert_int_equal(glim_session_eval(s, many, 51, false, NULL, NULL, &e), GLIM_E_CONTEXT);
    assert_int_equal(glim_session_n_token(s), N_TOKEN);
    assert_int_equal(glim_session_eval(s, many, 50, false, NULL, NULL, &e),
                     GLIM_OK); /* exactly full */

    /* Another timeline shares the pool: its pages run out, it stays as it was, and given-back pages serve it. */
    assert_int_equal(glim_session_new(m, &other, NULL), GLIM_OK);
    assert_int_equal(glim_session_eval(other, many, 1, false, NULL, NULL, &e), GLIM_E_FULL);
    assert_int_equal(glim_session_n_token(other), 0);
    glim_session_truncate(s, 10);
    assert_int_equal(glim_session_n_token(s), 10);
    assert_int_equal(glim_session_eval(other, many, 50, false, NULL, NULL, &e), GLIM_OK);
    glim_session_free(other);
    glim_session_free(s);
    glim_model_close(m);
}

static void test_truncate_and_go_on(void **state)
{
    (void)state;
    static float want[N_TOKEN * N_VOCAB], got[N_TOKEN * N_VOCAB];
    glim_model_opts o;
    glim_model *m;
    glim_session *s;
    glim_model_opts_init(&o);
    o.mla = GLIM_MLA_ABSORBED;
    eval_all(&o, want);
    OPEN_MODEL(TINY_DIR, &o, &m);
    assert_int_equal(glim_session_new(m, &s, NULL), GLIM_OK);
    int32_t other[40] = {7, 7, 7};
    assert_int_equal(glim_session_eval(s, tokens, 5, false, NULL, NULL, NULL), GLIM_OK);
    assert_int_equal(glim_session_eval(s, other, 40, false, NULL, NULL, NULL),
                     GLIM_OK); /* a wrong turn */
    glim_session_truncate(s, 5);
    rows r = {.p = got};
    assert_int_equal(glim_session_eval(s, tokens + 5, N_TOKEN - 5, true, keep_rows, &r, NULL),
                     GLIM_OK);
    assert_int_equal(r.first_pos, 5);
    assert_memory_equal(got, want + 5 * N_VOCAB, (N_TOKEN - 5) * N_VOCAB * sizeof(float));
    glim_session_free(s);
    glim_model_close(m);
}

/* Asks for an end while the second chunk's logits are handed out; the third one is not computed. */
static bool cancel_at_second(void *user, int64_t pos, const float *logits, size_t n_vocab)
{
    (void)logits, (void)n_vocab;
    if (pos == 3) glim_session_cancel(user);
    assert_true(pos < 4);
    return true;
}

static bool refuse(void *user, int64_t pos, const float *logits, size_t n_vocab)
{
    (void)user;
    (void)pos;
    (void)logits;
    (void)n_vocab;
    return false;
}

static void test_cancel(void **state)
{
    (void)state;
    glim_model_opts o;
    glim_model *m;
    glim_session *s;
    glim_model_opts_init(&o);
    o.n_chunk = 2;
    OPEN_MODEL(TINY_DIR, &o, &m);
    assert_int_equal(glim_session_new(m, &s, NULL), GLIM_OK);
    assert_int_equal(glim_session_eval(s, tokens, N_TOKEN, true, cancel_at_second, s, NULL),
                     GLIM_E_CANCELLED);
    assert_int_equal(glim_session_n_token(s), 0); /* back to what it was */
    assert_int_equal(glim_session_eval(s, tokens, 4, false, refuse, NULL, NULL), GLIM_E_CANCELLED);
    assert_int_equal(glim_session_n_token(s), 0);
    assert_int_equal(glim_session_eval(s, tokens, 4, false, NULL, NULL, NULL),
                     GLIM_OK); /* a cancel does not stick */
    glim_session_cancel(s);
    assert_int_equal(glim_session_step(s, tokens, 1, NULL, NULL, NULL), GLIM_E_CANCELLED);
    assert_int_equal(glim_session_step(s, tokens, 1, NULL, NULL, NULL), GLIM_E_CANCELLED); /* here it does */
    glim_session_uncancel(s);
    assert_int_equal(glim_session_step(s, tokens, 1, NULL, NULL, NULL), GLIM_OK);
    assert_int_equal(glim_session_n_token(s), 5);
    glim_session_free(s);
    glim_model_close(m);
}

/* A decode step takes nothing from the heap. */
static void test_no_allocation_in_a_step(void **state)
{
    (void)state;
    glim_model *m;
    glim_session *s;
    OPEN_MODEL(TINY_DIR, NULL, &m);
    assert_int_equal(glim_session_new(m, &s, NULL), GLIM_OK);
    assert_int_equal(glim_session_eval(s, tokens, 4, false, NULL, NULL, NULL), GLIM_OK);
    uint64_t before = glim_alloc_count();
    for (int i = 0; i < 8; i++)
        assert_int_equal(glim_session_eval(s, tokens + i, 1, false, NULL, NULL, NULL), GLIM_OK);
    assert_int_equal(glim_alloc_count(), before);
    glim_session_free(s);
    glim_model_close(m);
}

/* Noise stands where positions would: the same for a seed, seen by what follows, gone with truncate. */
static void test_noise(void **state)
{
    (void)state;
    static float a[N_VOCAB], b[N_VOCAB];
    glim_model_opts o;
    glim_model *m;
    glim_session *s;
    glim_error e = {0};
    glim_model_opts_init(&o);
    o.n_ctx = 200;
    OPEN_MODEL(TINY_DIR, &o, &m);
    assert_int_equal(glim_session_new(m, &s, NULL), GLIM_OK);
    static const struct {
        int64_t before, n;
        uint64_t seed;
        bool same;
    } cases[] = {{0, 150, 1, true}, {20, 130, 1, false}, {0, 150, 2, false}, {0, 0, 1, false}};
    for (size_t i = 0; i < GLIM_COUNT(cases); i++)
        for (int again = 0; again < 2; again++) {
            rows r = {.p = again ? b : a};
            const int64_t before = cases[again ? i : 0].before, n = cases[again ? i : 0].n;
            glim_session_truncate(s, 0);
            if (before)
                assert_int_equal(
                    glim_session_eval(s, tokens, (size_t)before, false, NULL, NULL, NULL), GLIM_OK);
            assert_int_equal(glim_session_fill_noise(s, n, cases[again ? i : 0].seed, &e), GLIM_OK);
            assert_int_equal(glim_session_n_token(s), before + n);
            assert_int_equal(glim_session_eval(s, tokens, 1, false, keep_rows, &r, NULL), GLIM_OK);
            if (again) assert_int_equal(memcmp(a, b, sizeof a) == 0, cases[i].same);
        }
    assert_int_equal(glim_session_fill_noise(s, 200, 1, &e), GLIM_E_CONTEXT);
    assert_int_equal(glim_session_n_token(s), 1);
    glim_session_free(s);
    glim_model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads_and_chunks),      cmocka_unit_test(test_limits),
        cmocka_unit_test(test_truncate_and_go_on),      cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_no_allocation_in_a_step), cmocka_unit_test(test_noise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
