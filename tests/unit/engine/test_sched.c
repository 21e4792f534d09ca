/* SPDX-License-Identifier: MIT
 * test_sched.c - many jobs on one model: each gets the answer it would get alone, whatever happens to the others. */
#include "engine/engine_int.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <cmocka.h>

#include "demo.h"

#define S_INIT(lit)                                                                                \
    {                                                                                              \
        "" lit, sizeof(lit) - 1                                                                    \
    }

#ifdef __SANITIZE_THREAD__
#define N_JOB 8 /* a hundred times slower, and no other interleavings for it */
#else
#define N_JOB 24
#endif
enum { N_TOKEN = 40 };

typedef struct asked {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    glim_collector *c;
    bool done, failed, begun;
    glim_error e;
    int cancel_after; /* events; 0: never */
    int n_event;
    size_t n_id; /* of STOP */
} asked;

static bool on_event(void *user, const glim_event *ev)
{
    asked *a = user;
    pthread_mutex_lock(&a->lock);
    bool ok = glim_collector_event(a->c, ev);
    if (ev->kind == GLIM_EV_CONTENT || ev->kind == GLIM_EV_REASONING) a->begun = true;
    if (ev->kind == GLIM_EV_STOP) a->n_id = ev->n_id;
    if (a->cancel_after && ++a->n_event >= a->cancel_after) ok = false;
    pthread_cond_broadcast(&a->changed);
    pthread_mutex_unlock(&a->lock);
    return ok;
}

static void on_done(void *user, const glim_error *e)
{
    asked *a = user;
    pthread_mutex_lock(&a->lock);
    assert_false(a->done);
    a->done = true;
    a->failed = e != NULL;
    if (e) a->e = *e;
    pthread_cond_broadcast(&a->changed);
    pthread_mutex_unlock(&a->lock);
}

static void asked_init(asked *a)
{
    memset(a, 0, sizeof *a);
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->changed, NULL);
    a->c = glim_collector_new();
    assert_non_null(a->c);
}

static void wait_for(asked *a, const bool *what)
{
    pthread_mutex_lock(&a->lock);
    while (!*what)
        pthread_cond_wait(&a->changed, &a->lock);
    pthread_mutex_unlock(&a->lock);
}

static void asked_free(asked *a)
{
    glim_collector_free(a->c);
    pthread_mutex_destroy(&a->lock);
    pthread_cond_destroy(&a->changed);
}

typedef struct question {
    char text[160];
    glim_message msg;
    glim_chat chat;
    glim_rendered r;
    glim_gen_opts gen;
} question;

static void make_question(const glim_model *m, int i, question *q)
{
    snprintf(q->text, sizeof q->text, "Question %d: what is %d plus %d? %s", i, i, 2 * i,
             i % 3 ? "Answer briefly."
                   : "Tell a long story about a fox, a river and a bird as well.");
    q->msg = (glim_message){.role = GLIM_ROLE_USER, .content = glim_str_of(q->text)};
    q->chat = (glim_chat){.messages = &q->msg,
                          .n_message = 1,
                          .think = i % 2 ? GLIM_ON : GLIM_OFF,
                          .keep_old = GLIM_UNSET};
    glim_error e = {0};
    assert_int_equal(glim_render(glim_model_vocab(m), NULL, &q->chat, &q->r, &e), GLIM_OK);
    glim_gen_opts_init(&q->gen);
    q->gen.n_max = N_TOKEN;
    q->gen.temperature = i % 4 ? 0 : 0.8f;
    q->gen.has_seed = true;
    q->gen.seed = (uint64_t)i;
    q->gen.ignore_eos = i % 5 == 0;
}

static glim_job_input input_of(const question *q, asked *a)
{
    glim_job_input in;
    glim_job_input_init(&in);
    in.ids = q->r.tokens.ids;
    in.n_id = q->r.tokens.n;
    in.start = q->r.start;
    in.gen = &q->gen;
    in.fn = on_event;
    in.done = on_done;
    in.user = a;
    return in;
}

static glim_model *open_model(int64_t n_ctx, int n_session)
{
    glim_model_opts o;
    glim_model *m;
    glim_model_opts_init(&o);
    o.n_ctx = n_ctx;
    o.n_session = n_session;
    OPEN_MODEL(DEMO_GGUF, &o, &m);
    return m;
}

static void same_text(glim_str a, glim_str b)
{
    assert_int_equal(a.n, b.n);
    assert_memory_equal(a.p ? a.p : "", b.p ? b.p : "", a.n);
}

/* All at once against one after the other, with a cache of n_session contexts for all of them. */
static void compare_with_alone(int n_slot, int n_session, bool must_park)
{
    static question q[N_JOB];
    static asked alone[N_JOB], together[N_JOB];
    glim_job *jobs[N_JOB];
    glim_sched_opts so;
    glim_sched *s;
    glim_error e = {0};
    glim_model *m = open_model(256, n_session);
    for (int i = 0; i < N_JOB; i++) {
        glim_session *one;
        make_question(m, i, &q[i]);
        asked_init(&alone[i]);
        asked_init(&together[i]);
        assert_int_equal(glim_session_new(m, &one, &e), GLIM_OK);
        assert_int_equal(glim_generate(one, &q[i].chat, &q[i].gen, on_event, &alone[i], &e),
                         GLIM_OK);
        glim_session_free(one);
    }
    glim_sched_opts_init(&so);
    so.n_slot = n_slot;
    assert_int_equal(glim_sched_new(m, &so, &s, &e), GLIM_OK);
    for (int i = 0; i < N_JOB; i++) {
        const glim_job_input in = input_of(&q[i], &together[i]);
        assert_int_equal(glim_sched_submit(s, &in, 1, &jobs[i], &e), GLIM_OK);
    }
    for (int i = 0; i < N_JOB; i++) {
        wait_for(&together[i], &together[i].done);
        assert_false(together[i].failed);
        const glim_answer *a = glim_collector_answer(alone[i].c),
                          *b = glim_collector_answer(together[i].c);
        assert_non_null(a);
        assert_non_null(b);
        same_text(a->reasoning, b->reasoning);
        same_text(a->content, b->content);
        assert_int_equal(a->reason, b->reason);
        assert_int_equal(a->usage.n_prompt, b->usage.n_prompt);
        assert_int_equal(a->usage.n_completion, b->usage.n_completion);
        assert_int_equal(a->usage.n_reasoning, b->usage.n_reasoning);
        glim_job_release(jobs[i]);
    }
    glim_sched_stat st;
    glim_sched_get_stat(s, &st);
    assert_int_equal(st.n_running, 0);
    assert_int_equal(st.n_waiting, 0);
    assert_true(st.healthy);
    assert_true(st.prefill_tokens_s > 0 && st.decode_tokens_s > 0);
    if (must_park)
        assert_true(st.n_park > 0);
    else
        assert_int_equal(st.n_park, 0);
    glim_sched_free(s);
    for (int i = 0; i < N_JOB; i++) {
        asked_free(&alone[i]);
        asked_free(&together[i]);
        glim_rendered_free(&q[i].r);
    }
    glim_model_close(m);
}

static void test_as_alone(void **state)
{
    (void)state;
    compare_with_alone(1, 0, false);
    compare_with_alone(5, 5, false);
}

/* One context for six jobs that run. */
static void test_parking(void **state)
{
    (void)state;
    compare_with_alone(6, 1, true);
}

static void test_cancel(void **state)
{
    (void)state;
    question q[4];
    asked a[4];
    glim_job *j[4];
    glim_sched_opts so;
    glim_sched *s;
    glim_error e = {0};
    glim_model *m = open_model(1024, 0);
    glim_sched_opts_init(&so);
    so.n_slot = 1;
    assert_int_equal(glim_sched_new(m, &so, &s, &e), GLIM_OK);
    for (int i = 0; i < 4; i++) {
        make_question(m, i, &q[i]);
        q[i].gen.n_max = i == 0 ? 900 : 20;
        q[i].gen.ignore_eos = true;
        asked_init(&a[i]);
        const glim_job_input in = input_of(&q[i], &a[i]);
        assert_int_equal(glim_sched_submit(s, &in, 1, &j[i], &e), GLIM_OK);
    }
    glim_job_cancel(j[2]); /* waiting */
    wait_for(&a[2], &a[2].done);
    wait_for(&a[0], &a[0].begun);
    glim_job_pause(j[0], true);
    glim_job_pause(j[0], false);
    glim_job_cancel(j[0]); /* running */
    for (int i = 0; i < 4; i++) {
        wait_for(&a[i], &a[i].done);
        assert_false(a[i].failed);
        bool cancelled = i == 0 || i == 2;
        const glim_answer *r = glim_collector_answer(a[i].c);
        assert_int_equal(r->reason, cancelled ? GLIM_STOP_CANCEL : GLIM_STOP_LENGTH);
        if (!cancelled) assert_int_equal(r->usage.n_completion, 20);
        glim_job_cancel(j[i]); /* done: nothing happens */
        glim_job_release(j[i]);
    }
    /* A callback that says no. */
    asked_free(&a[1]);
    asked_init(&a[1]);
    a[1].cancel_after = 4;
    const glim_job_input in = input_of(&q[1], &a[1]);
    assert_int_equal(glim_sched_submit(s, &in, 1, &j[1], &e), GLIM_OK);
    wait_for(&a[1], &a[1].done);
    assert_int_equal(glim_collector_answer(a[1].c)->reason, GLIM_STOP_CANCEL);
    glim_job_release(j[1]);
    glim_sched_free(s);
    for (int i = 0; i < 4; i++) {
        asked_free(&a[i]);
        glim_rendered_free(&q[i].r);
    }
    glim_model_close(m);
}

static void test_limits(void **state)
{
    (void)state;
    enum { N = 4 };
    question q;
    asked a[N];
    glim_job *j[N], *more;
    glim_sched_opts so;
    glim_sched *s;
    glim_error e = {0};
    glim_model *m = open_model(512, 0);
    glim_sched_opts_init(&so);
    so.n_slot = 0;
    assert_int_equal(glim_sched_new(m, &so, &s, &e), GLIM_E_INPUT);
    so.n_slot = 1;
    so.n_queue = 2;
    assert_int_equal(glim_sched_new(m, &so, &s, &e), GLIM_OK);
    make_question(m, 1, &q);
    q.gen.n_max = 400;
    q.gen.ignore_eos = true;
    for (int i = 0; i < N - 1; i++) {
        asked_init(&a[i]);
        const glim_job_input in = input_of(&q, &a[i]);
        assert_int_equal(glim_sched_submit(s, &in, 1, &j[i], &e), GLIM_OK);
        if (i == 0) wait_for(&a[0], &a[0].begun);
    }
    const glim_job_input in = input_of(&q, &a[0]);
    assert_int_equal(glim_sched_submit(s, &in, 1, &more, &e), GLIM_E_FULL);
    glim_sched_stat st;
    glim_sched_get_stat(s, &st);
    assert_int_equal(st.n_waiting, 2);
    assert_int_equal(st.n_running, 1);
    assert_true(st.wait_s > 0);
    glim_job_input bad = in;
    bad.n_id = 0;
    assert_int_equal(glim_sched_submit(s, &bad, 1, &more, &e), GLIM_E_INPUT);
    static int32_t long_prompt[600];
    bad.ids = long_prompt;
    bad.n_id = 600;
    assert_int_equal(glim_sched_submit(s, &bad, 1, &more, &e), GLIM_E_CONTEXT);
    assert_non_null(strstr(e.msg, "600"));
    assert_non_null(strstr(e.msg, "512"));
    glim_sched_free(s); /* ends everything that is there */
    for (int i = 0; i < N - 1; i++) {
        assert_true(a[i].done);
        assert_int_equal(glim_collector_answer(a[i].c)->reason, GLIM_STOP_CANCEL);
        asked_free(&a[i]);
    }
    for (int i = 0; i < N - 1; i++)
        glim_job_release(j[i]);
    glim_rendered_free(&q.r);
    glim_model_close(m);
}

/* A second turn finds the first one in its slot; after a flush nothing is found. */
static void test_reuse(void **state)
{
    (void)state;
    question q;
    asked a[3];
    glim_job *j;
    glim_sched *s;
    glim_error e = {0};
    glim_model *m = open_model(512, 0);
    assert_int_equal(glim_sched_new(m, NULL, &s, &e), GLIM_OK);
    make_question(m, 3, &q);
    for (int i = 0; i < 3; i++) {
        asked_init(&a[i]);
        const glim_job_input in = input_of(&q, &a[i]);
        assert_int_equal(glim_sched_submit(s, &in, 1, &j, &e), GLIM_OK);
        if (i == 1) assert_int_equal(glim_sched_flush(s, &e), GLIM_E_STATE);
        wait_for(&a[i], &a[i].done);
        glim_job_release(j);
        int64_t want = i == 1 ? (int64_t)q.r.tokens.n - 1 : 0;
        const glim_usage *u = &glim_collector_answer(a[i].c)->usage;
        assert_int_equal(u->n_cached, want);
        assert_int_equal(a[i].n_id, u->n_completion);
        if (i == 1) assert_int_equal(glim_sched_flush(s, &e), GLIM_OK);
    }
    same_text(glim_collector_answer(a[0].c)->content, glim_collector_answer(a[1].c)->content);
    same_text(glim_collector_answer(a[0].c)->content, glim_collector_answer(a[2].c)->content);
    glim_sched_free(s);
    for (int i = 0; i < 3; i++)
        asked_free(&a[i]);
    glim_rendered_free(&q.r);
    glim_model_close(m);
}

/* A demanded call comes, whatever the model would rather say. */
static void test_forced_call(void **state)
{
    (void)state;
    static const glim_tool tools[] = {
        {S_INIT("get_weather"),
         S_INIT("{\"type\":\"function\",\"function\":{\"name\":\"get_weather\",\"parameters\":"
                "{\"type\":\"object\",\"properties\":{\"city\":{\"type\":\"string\"}}}}}")},
        {S_INIT("get_time"),
         S_INIT("{\"type\":\"function\",\"function\":{\"name\":\"get_time\"}}")}};
    static const glim_str only[] = {S_INIT("get_time")};
    glim_error e = {0};
    glim_model *m = open_model(1024, 0);
    for (int i = 0; i < 4; i++) {
        glim_session *s;
        asked a;
        asked_init(&a);
        glim_message msg = {.role = GLIM_ROLE_USER, .content = GLIM_STR("Who are you?")};
        glim_chat chat = {&msg, 1, tools, 2, i & 1 ? GLIM_ON : GLIM_OFF, GLIM_UNSET, false};
        glim_gen_opts o;
        glim_gen_opts_init(&o);
        o.temperature = 0;
        o.n_max = 600;
        o.call_required = true;
        o.one_call = true;
        if (i & 2) o.call_names = only, o.n_call_name = 1;
        assert_int_equal(glim_session_new(m, &s, &e), GLIM_OK);
        assert_int_equal(glim_generate(s, &chat, &o, on_event, &a, &e), GLIM_OK);
        const glim_answer *r = glim_collector_answer(a.c);
        assert_int_equal(r->n_call, 1);
        if (i & 2)
            same_text(r->calls[0].name, only[0]);
        else
            assert_true(glim_str_starts(r->calls[0].name, GLIM_STR("get_")));
        asked_free(&a);
        glim_session_free(s);
    }
    glim_model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_alone), cmocka_unit_test(test_parking),
        cmocka_unit_test(test_cancel),   cmocka_unit_test(test_limits),
        cmocka_unit_test(test_reuse),    cmocka_unit_test(test_forced_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
