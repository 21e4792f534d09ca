/* SPDX-License-Identifier: MIT
 * test_forward.c - the forward pass over toy models: layouts that mean the same give the same, and
 * nothing that must not matter (chunk, threads, neighbours in a batch, parts of a file) does. That
 * the numbers are right at all is the goldens' business (tests/golden/walk.py). */
#include "golden.h"

#include "corefix.h"
#include "tinymodel.h"
#include "tmpfolder.h"

static tmp_folder tmp;

static int setup(void **state)
{
    (void)state;
    tmp_folder_make(&tmp);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    tmp_folder_end(&tmp);
    return 0;
}

#define N_TOK 12
#define N_VOCAB 320
static const int32_t tokens[N_TOK] = {256, 17, 300, 5, 5, 99, 270, 1, 203, 64, 65, 291};
static const corefix_way absorbed = {GLIM_F32, GLIM_MLA_ABSORBED, N_TOK};
static const corefix_way expanded = {GLIM_F32, GLIM_MLA_EXPANDED, N_TOK};

static float *run_file(const char *path, glim_cpu_level level, corefix_way way)
{
    corefix x;
    corefix_open(&x, path, level, 1, way.n_chunk);
    float *l = corefix_logits(&x, way, tokens, N_TOK);
    corefix_close(&x);
    return l;
}

static float *run_toy(const toy_spec *s, glim_cpu_level level, corefix_way way)
{
    char path[400];
    toy_write(s, tmp.path, "m", path);
    return run_file(path, level, way);
}

static void expect_same(const char *what, const toy_spec *a, const toy_spec *b)
{
    for (int level = 0; level <= (int)glim_cpu_best(); level++) {
        float *la = run_toy(a, (glim_cpu_level)level, absorbed),
              *lb = run_toy(b, (glim_cpu_level)level, absorbed);
        corefix_same(what, la, lb, N_TOK * N_VOCAB);
        glim_free(la);
        glim_free(lb);
    }
}

static double difference(const toy_spec *a, const toy_spec *b, corefix_way way)
{
    double worst;
    float *la = run_toy(a, GLIM_CPU_REF, way), *lb = run_toy(b, GLIM_CPU_REF, way);
    (void)corefix_error(la, lb, N_TOK, N_VOCAB, &worst);
    glim_free(la);
    glim_free(lb);
    return worst;
}

/* ---- layouts -------------------------------------------------------------------------------- */

static void test_legacy(void **state)
{
    (void)state;
    for (int q = 0; q < 2; q++) {
        toy_spec a, b;
        toy_init(&a);
        if (q) a.q_rank = 0;
        b = a;
        b.legacy = true;
        assert_true(difference(&a, &b, absorbed) <= 1e-5);
        assert_true(difference(&a, &b, expanded) <= 1e-5);
        b.seed = 2; /* and it can fail */
        assert_true(difference(&a, &b, absorbed) > 0.1);
    }
}

static void test_fused(void **state)
{
    (void)state;
    toy_spec a, b;
    toy_init(&a);
    b = a;
    b.fused = true;
    expect_same("fused, F32", &a, &b);
    toy_init_wide(&a);
    a.type[TOY_EXP_GATE] = a.type[TOY_EXP_UP] = GLIM_Q4_K;
    b = a;
    b.fused = true;
    expect_same("fused, Q4_K", &a, &b);
}

/* Without output.weight, logits are products with the embedding's rows. */
static void test_tied(void **state)
{
    (void)state;
    toy_spec s;
    char path[400];
    corefix x;
    toy_init(&s);
    s.tied = true;
    toy_write(&s, tmp.path, "tied", path);
    corefix_open(&x, path, GLIM_CPU_REF, 1, 1);
    float hidden[64], logits[N_VOCAB];
    for (int i = 0; i < 64; i++)
        hidden[i] = (float)i / 64 - 0.3f;
    assert_int_equal(x.c->arch->head(x.c, &x.o, hidden, 1, logits, NULL), GLIM_OK);
    const float *embd =
        (const float *)(const void *)glim_modelfile_find(x.f, GLIM_STR("token_embd.weight"))->data;
    for (int v = 0; v < N_VOCAB; v++) {
        double sum = 0;
        for (int i = 0; i < 64; i++)
            sum += (double)embd[v * 64 + i] * (double)hidden[i];
        assert_true(fabs(sum - (double)logits[v]) < 1e-5);
    }
    corefix_close(&x);
}

static void test_gating(void **state)
{
    (void)state;
    toy_spec a, b;
    toy_init(&a);
    b = a;
    b.gating = 0;
    expect_same("no gating key, biases: sigmoid", &a, &b);
    a.gating = 1;
    a.bias = b.bias = false;
    expect_same("no gating key, no biases: softmax", &a, &b);
    b.norm_weights = false;
    assert_true(difference(&a, &b, absorbed) > 1e-3);
    b = a;
    b.expert_scale = 1;
    assert_true(difference(&a, &b, absorbed) > 1e-3);
    b = a;
    b.n_group = 4; /* of 2 experts each; only the best group stays */
    b.n_group_used = 1;
    assert_true(difference(&a, &b, absorbed) > 1e-3);
    b.n_group_used = 4; /* all groups stay: nothing changes */
    expect_same("all groups in play", &a, &b);
}

static void test_said_otherwise(void **state)
{
    (void)state;
    toy_spec a, b;
    toy_init(&a);
    b = a;
    b.no_vocab_size = true;
    expect_same("no vocab_size", &a, &b);
    b = a;
    b.arch = "glm4moelite";
    expect_same("alias", &a, &b);
    b = a;
    b.nextn = true;
    expect_same("prediction layers", &a, &b);
    b = a;
    b.n_part = 3;
    expect_same("three parts", &a, &b);
    b.nextn = true;
    b.n_part = 2;
    expect_same("two parts, prediction layers", &a, &b);
    b = a;
    b.yarn_factor = 1; /* stretches nothing */
    expect_same("factor 1", &a, &b);
    b.yarn_factor = 8;
    assert_true(difference(&a, &b, absorbed) > 1e-4);
}

/* Any part opens the whole. */
static void test_any_part(void **state)
{
    (void)state;
    toy_spec s;
    char path[400];
    toy_init(&s);
    s.n_part = 3;
    toy_write(&s, tmp.path, "parts", path);
    float *want = run_file(path, GLIM_CPU_REF, absorbed);
    for (int i = 2; i <= 3; i++) {
        char name[64];
        snprintf(name, sizeof name, "parts-%05d-of-00003.gguf", i);
        float *got = run_file(tmp_path(&tmp, name, path), GLIM_CPU_REF, absorbed);
        corefix_same(name, got, want, N_TOK * N_VOCAB);
        glim_free(got);
    }
    glim_free(want);
}

static void test_rank_eps(void **state)
{
    (void)state;
    static const float eps[] = {NAN, 1e-5f, 0.5f};
    toy_spec s;
    char path[400];
    float *l[3];
    toy_init(&s);
    toy_write(&s, tmp.path, "eps", path);
    for (int i = 0; i < 3; i++) {
        corefix x;
        glim_load_opts opts = {.rank_norm_eps = eps[i]};
        corefix_open(&x, path, GLIM_CPU_REF, 1, N_TOK);
        glim_core_free(x.c);
        assert_int_equal(glim_core_load(x.f, &opts, &x.c, NULL), GLIM_OK);
        l[i] = corefix_logits(&x, absorbed, tokens, N_TOK);
        corefix_close(&x);
    }
    corefix_same("the file's own eps", l[0], l[1], N_TOK * N_VOCAB);
    assert_true(corefix_error(l[2], l[0], N_TOK, N_VOCAB, NULL) > 1e-3);
    for (int i = 0; i < 3; i++)
        glim_free(l[i]);
}

/* ---- what must not matter ------------------------------------------------------------------- */

#define N_LONG 70 /* two cache pages */

static void long_tokens(int32_t *out)
{
    for (int i = 0; i < N_LONG; i++)
        out[i] = (i * 7919 + 13) % N_VOCAB;
}

/* Bits depend neither on the chunk nor on the threads, in either form, for any cache and level. */
static void test_chunks(void **state)
{
    (void)state;
    static const struct {
        int64_t n_chunk;
        int n_thread;
    } ways[] = {{N_LONG, 1}, {1, 1}, {7, 2}, {64, 3}, {65, 1}};
    static const glim_type caches[] = {GLIM_F32, GLIM_F16, GLIM_BF16};
    static const glim_mla_form forms[] = {GLIM_MLA_ABSORBED, GLIM_MLA_EXPANDED};
    int32_t ids[N_LONG];
    toy_spec s[2];
    long_tokens(ids);
    toy_init(&s[0]);
    s[0].n_group = 4;
    s[0].n_group_used = 2;
    toy_init_deepseek(&s[1]);
    toy_types(&s[1], GLIM_BF16);
    for (size_t i = 0; i < 2; i++) {
        char path[400];
        s[i].n_layer = 2;
        toy_write(&s[i], tmp.path, "chunks", path);
        for (int fast = 0; fast < 2; fast++)
            for (size_t c = 0; c < GLIM_COUNT(caches); c++)
                for (size_t f = 0; f < GLIM_COUNT(forms); f++) {
                    float *want = NULL;
                    for (size_t w = 0; w < GLIM_COUNT(ways); w++) {
                        corefix x;
                        corefix_way way = {caches[c], forms[f], ways[w].n_chunk};
                        corefix_open(&x, path, fast ? glim_cpu_best() : GLIM_CPU_REF,
                                     ways[w].n_thread, ways[w].n_chunk);
                        float *got = corefix_logits(&x, way, ids, N_LONG);
                        if (w == 0) {
                            want = got;
                        } else {
                            corefix_same("chunks", got, want, N_LONG * N_VOCAB);
                            glim_free(got);
                        }
                        corefix_close(&x);
                    }
                    glim_free(want);
                }
    }
}

/* The two forms are the same function; auto is one of them at each chunk. */
static void test_forms(void **state)
{
    (void)state;
    int32_t ids[N_LONG];
    toy_spec s;
    char path[400];
    float *l[3];
    long_tokens(ids);
    toy_init(&s);
    toy_write(&s, tmp.path, "forms", path);
    for (int f = 0; f < 3; f++) {
        corefix x;
        corefix_way way = {GLIM_F32, (glim_mla_form)f, 50};
        corefix_open(&x, path, GLIM_CPU_REF, 2, 50);
        l[f] = corefix_logits(&x, way, ids, N_LONG);
        corefix_close(&x);
    }
    double worst;
    (void)corefix_error(l[GLIM_MLA_EXPANDED], l[GLIM_MLA_ABSORBED], N_LONG, N_VOCAB, &worst);
    assert_true(worst < 1e-5);
    (void)corefix_error(l[GLIM_MLA_AUTO], l[GLIM_MLA_ABSORBED], N_LONG, N_VOCAB, &worst);
    assert_true(worst < 1e-5);
    for (int f = 0; f < 3; f++)
        glim_free(l[f]);
}

/* Two sequences in one batch, one of them in the middle of its text, are computed as if alone;
 * only the wanted rows come back. */
static void test_batch_of_two(void **state)
{
    (void)state;
    toy_spec s;
    char path[400];
    corefix x;
    corefix_kv kv[2];
    glim_error e = {0};
    toy_init(&s);
    toy_types(&s, GLIM_Q8_0);
    toy_write(&s, tmp.path, "two", path);
    for (int level = 0; level <= (int)glim_cpu_best(); level++) {
        corefix_open(&x, path, (glim_cpu_level)level, 2, N_TOK);
        float *alone = corefix_logits(&x, absorbed, tokens, N_TOK);
        corefix_kv_open(&kv[0], &x, GLIM_F32, N_TOK);
        corefix_kv_open(&kv[1], &x, GLIM_F32, N_TOK);
        float hidden[3 * 64], logits[3 * N_VOCAB];
        /* the first five tokens of sequence 0, then its rest beside the beginning of sequence 1 */
        const glim_run first = {&kv[0].view, 0, 5};
        glim_batch b = {.tokens = tokens,
                        .n_tok = 5,
                        .runs = &first,
                        .n_run = 1,
                        .layer_bytes = kv[0].layer_bytes,
                        .form = GLIM_MLA_ABSORBED,
                        .hidden = hidden};
        assert_int_equal(x.c->arch->forward(x.c, &x.o, &b, &e), GLIM_OK);
        const glim_run both[2] = {{&kv[0].view, 5, 4}, {&kv[1].view, 0, 6}};
        const int64_t want[3] = {1, 3, 9};
        int32_t ids[10];
        memcpy(ids, tokens + 5, 4 * sizeof *ids);
        memcpy(ids + 4, tokens, 6 * sizeof *ids);
        b.tokens = ids;
        b.n_tok = 10;
        b.runs = both;
        b.n_run = 2;
        b.want = want;
        b.n_want = 3;
        assert_int_equal(x.c->arch->forward(x.c, &x.o, &b, &e), GLIM_OK);
        assert_int_equal(x.c->arch->head(x.c, &x.o, hidden, 3, logits, &e), GLIM_OK);
        corefix_same("row 6", logits, alone + 6 * N_VOCAB, N_VOCAB);
        corefix_same("row 8", logits + N_VOCAB, alone + 8 * N_VOCAB, N_VOCAB);
        corefix_same("other sequence", logits + 2 * N_VOCAB, alone + 5 * N_VOCAB, N_VOCAB);
        corefix_kv_close(&kv[0]);
        corefix_kv_close(&kv[1]);
        glim_free(alone);
        corefix_close(&x);
    }
}

/* Logits of the prediction layer for all tokens but the last; glim_free() them. */
static float *predict(corefix *x, int64_t n_chunk)
{
    const glim_core *c = x->c;
    corefix_kv kv;
    glim_error e = {0};
    float *states = glim_alloc_array((size_t)(n_chunk * c->n_embd), sizeof *states),
          *logits = glim_alloc_array((size_t)((N_TOK - 1) * c->n_vocab), sizeof *logits);
    int64_t want[N_TOK];
    for (int64_t i = 0; i < N_TOK; i++)
        want[i] = i;
    corefix_kv_open(&kv, x, GLIM_F32, N_TOK);
    for (int64_t at = 0; at < N_TOK - 1; at += n_chunk) {
        int64_t n = GLIM_MIN(n_chunk, N_TOK - 1 - at);
        const glim_run run = {&kv.view, at, n};
        glim_batch b = {.tokens = tokens + at,
                        .n_tok = n,
                        .runs = &run,
                        .n_run = 1,
                        .layer_bytes = kv.layer_bytes,
                        .form = GLIM_MLA_ABSORBED,
                        .want = want,
                        .n_want = n,
                        .hidden = states};
        glim_err rc = c->arch->forward(c, &x->o, &b, &e);
        b.tokens++;
        if (!rc) rc = c->arch->predict(c, &x->o, &b, states, states, &e);
        if (!rc) rc = c->arch->predict_head(c, &x->o, states, n, logits + at * c->n_vocab, &e);
        if (rc) fail_msg("%s", e.msg);
        assert_int_equal(glim_arena_used(x->o.step), 0);
    }
    for (int64_t i = 0; i < (N_TOK - 1) * c->n_vocab; i++)
        assert_true(isfinite(logits[i]));
    corefix_kv_close(&kv);
    glim_free(states);
    return logits;
}

/* The prediction layer within the planned scratch, the same for any chunk; also where it is the only
 * layer with experts. That its numbers are right is the goldens' business. */
static void test_prediction(void **state)
{
    (void)state;
    static const int64_t chunks[] = {N_TOK, 1, 5};
    for (int dense = 0; dense < 2; dense++)
        for (int fast = 0; fast < 2; fast++) {
            toy_spec s;
            char path[400];
            float *want = NULL;
            toy_init(&s);
            s.nextn = true;
            s.n_dense = dense ? s.n_layer : 1;
            s.n_ff_expert = 256; /* the experts of a token need more than all else */
            s.n_used = 8;
            toy_types(&s, GLIM_Q8_0);
            toy_write(&s, tmp.path, "nextn", path);
            for (size_t i = 0; i < GLIM_COUNT(chunks); i++) {
                corefix x;
                corefix_open(&x, path, fast ? glim_cpu_best() : GLIM_CPU_REF, 1 + (int)i,
                             chunks[i]);
                assert_int_equal(x.c->n_predict, 1);
                float *got = predict(&x, chunks[i]);
                if (want) {
                    corefix_same("prediction", got, want, (N_TOK - 1) * N_VOCAB);
                    glim_free(got);
                } else {
                    want = got;
                }
                corefix_close(&x);
            }
            glim_free(want);
        }
}

/* ---- ends ----------------------------------------------------------------------------------- */

static bool stop_at(void *user)
{
    return (*(int *)user)-- == 0;
}

/* Cancelling before any layer, and a step arena of any size that is too small: an error, and the
 * arena as it was. */
static void test_ends(void **state)
{
    (void)state;
    toy_spec s;
    char path[400];
    corefix x;
    corefix_kv kv;
    toy_init(&s);
    toy_write(&s, tmp.path, "ends", path);
    corefix_open(&x, path, GLIM_CPU_REF, 1, N_TOK);
    corefix_kv_open(&kv, &x, GLIM_F32, N_TOK);
    const int64_t want = N_TOK - 1;
    float hidden[64];
    const glim_run run = {&kv.view, 0, N_TOK};
    glim_batch b = {.tokens = tokens,
                    .n_tok = N_TOK,
                    .runs = &run,
                    .n_run = 1,
                    .layer_bytes = kv.layer_bytes,
                    .want = &want,
                    .n_want = 1,
                    .hidden = hidden};
    for (int layer = 0; layer <= 3; layer++) {
        int left = layer;
        glim_error e = {0};
        b.cancelled = stop_at;
        b.user = &left;
        glim_err rc = x.c->arch->forward(x.c, &x.o, &b, &e);
        assert_int_equal(rc, layer < 3 ? GLIM_E_CANCELLED : GLIM_OK);
        assert_int_equal(glim_arena_used(x.o.step), 0);
    }
    b.cancelled = NULL;
    size_t enough = x.c->arch->scratch_bytes(x.c, N_TOK, 1), n_refused = 0;
    glim_arena_free(x.o.step);
    for (size_t bytes = 64; bytes < enough; bytes += 512) {
        glim_error e = {0};
        x.o.step = glim_arena_new_fixed(bytes);
        glim_err rc = x.c->arch->forward(x.c, &x.o, &b, &e);
        if (rc) assert_true(rc == GLIM_E_INTERNAL && strstr(e.msg, "scratch"));
        n_refused += rc != GLIM_OK;
        assert_int_equal(glim_arena_used(x.o.step), 0);
        glim_arena_free(x.o.step);
    }
    assert_true(n_refused > 10);
    x.o.step = NULL;
    corefix_kv_close(&kv);
    corefix_close(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_legacy),         cmocka_unit_test(test_fused),
        cmocka_unit_test(test_tied),           cmocka_unit_test(test_gating),
        cmocka_unit_test(test_said_otherwise), cmocka_unit_test(test_any_part),
        cmocka_unit_test(test_rank_eps),       cmocka_unit_test(test_chunks),
        cmocka_unit_test(test_forms),          cmocka_unit_test(test_batch_of_two),
        cmocka_unit_test(test_prediction),     cmocka_unit_test(test_ends),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
