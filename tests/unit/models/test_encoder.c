/* SPDX-License-Identifier: MIT
 * test_encoder.c - the forward pass of encoders against plain loops in double: long sequences, token
 * types, all weight types, the classification head; the same bits packed and with more threads;
 * what is refused, cancelled, and a scratch plan that is exact. */
#include "golden.h"

#include "encfix.h"
#include "tmpfolder.h"
#include "toyencoder.h"

#define N_TOK 600

static tmp_folder tmp;
static int32_t tokens[N_TOK], types[N_TOK];
/* Over blocks of 64 queries and 256 rows, and up to the last position. */
static const int64_t offset[] = {0, 300, 301, 365, 430, 600};
#define N_SEQ 5

static int setup(void **state)
{
    glim_rng r;
    toyenc s = toyenc_make();
    (void)state;
    tmp_folder_make(&tmp);
    glim_rng_seed(&r, 7);
    for (int i = 0; i < N_TOK; i++) {
        tokens[i] = (int32_t)(glim_rng_u64(&r) % (uint64_t)s.n_vocab);
        types[i] = (int32_t)(glim_rng_u64(&r) % (uint64_t)s.n_type);
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    tmp_folder_end(&tmp);
    return 0;
}

static glim_enc_batch batch_of(const int64_t *want, float *hidden)
{
    return (glim_enc_batch){.tokens = tokens,
                            .types = types,
                            .offset = offset,
                            .n_seq = N_SEQ,
                            .want = want,
                            .n_want = want ? N_TOK : 0,
                            .hidden = hidden};
}

static void all_rows(int64_t want[N_TOK])
{
    for (int64_t i = 0; i < N_TOK; i++)
        want[i] = i;
}

/* States of the whole batch; glim_free() them. */
static float *run_all(encfix *x)
{
    int64_t want[N_TOK];
    float *y = glim_alloc_array((size_t)(N_TOK * x->m->n_embd), sizeof *y);
    all_rows(want);
    const glim_enc_batch b = batch_of(want, y);
    encfix_run(x, &b);
    return y;
}

static float *plain_states(const toyenc *s, const glim_modelfile *f, const int32_t *with_types)
{
    double *x = glim_alloc_array((size_t)(N_TOK * s->n_embd), sizeof *x);
    float *y = glim_alloc_array((size_t)(N_TOK * s->n_embd), sizeof *y);
    for (int64_t i = 0; i < N_SEQ; i++)
        toyenc_plain(s, f, tokens + offset[i], with_types ? with_types + offset[i] : NULL,
                     offset[i + 1] - offset[i], x + offset[i] * s->n_embd);
    for (int64_t i = 0; i < N_TOK * s->n_embd; i++)
        y[i] = (float)x[i];
    glim_free(x);
    return y;
}

/* Weights of a type, against loops over what the file decodes to. */
static void check_type(glim_type type, double ref_bound, double bound)
{
    toyenc s = toyenc_make();
    char path[400];
    s.type = type;
    toyenc_write(&s, &tmp, "m.gguf", path);
    for (glim_cpu_level level = GLIM_CPU_REF; level <= glim_cpu_best(); level++) {
        encfix x;
        encfix_open(&x, path, level, 2, N_TOK);
        float *got = run_all(&x), *want = plain_states(&s, x.f, types);
        double distance = 0;
        for (int64_t t = 0; t < N_TOK; t++)
            distance =
                fmax(distance, encfix_distance(got + t * s.n_embd, want + t * s.n_embd, s.n_embd));
        print_message("%s %s: cosine distance %.2g, difference %.2g\n", glim_type_get(type)->name,
                      glim_cpu_level_name(level), distance,
                      encfix_difference(got, want, N_TOK * s.n_embd));
        assert_true(distance < (level == GLIM_CPU_REF ? ref_bound : bound));
        glim_free(got);
        glim_free(want);
        encfix_close(&x);
    }
}

static void test_types(void **state)
{
    (void)state;
    check_type(GLIM_F32, 1e-10, 1e-10);
    check_type(GLIM_F16, 1e-10, 1e-10);
    check_type(GLIM_BF16, 1e-10, 1e-3); /* some levels round activations */
    /* Activations of 8 bits, and the toy's sharp attention makes more of a rounded score than a
     * trained model does: the worst of 600 rows. */
    check_type(GLIM_Q8_0, 1e-10, 1e-2);
}

static void test_no_types_is_type_0(void **state)
{
    toyenc s = toyenc_make();
    char path[400];
    encfix x;
    int64_t want[N_TOK];
    static int32_t zero[N_TOK];
    (void)state;
    encfix_open(&x, toyenc_write(&s, &tmp, "m.gguf", path), glim_cpu_best(), 2, N_TOK);
    float *y[2] = {glim_alloc_array((size_t)(N_TOK * s.n_embd), sizeof(float)),
                   glim_alloc_array((size_t)(N_TOK * s.n_embd), sizeof(float))};
    all_rows(want);
    for (int i = 0; i < 2; i++) {
        glim_enc_batch b = batch_of(want, y[i]);
        b.types = i ? zero : NULL;
        encfix_run(&x, &b);
    }
    assert_memory_equal(y[0], y[1], (size_t)(N_TOK * s.n_embd) * sizeof(float));
    float *plain = plain_states(&s, x.f, NULL);
    assert_true(encfix_difference(y[0], plain, N_TOK * s.n_embd) < 1e-4);
    glim_free(plain), glim_free(y[0]), glim_free(y[1]);
    encfix_close(&x);
}

static void test_packed_and_threads(void **state)
{
    static const glim_type of[] = {GLIM_F32, GLIM_BF16, GLIM_Q8_0};
    (void)state;
    for (size_t k = 0; k < GLIM_COUNT(of); k++) {
        toyenc s = toyenc_make();
        char path[400];
        s.type = of[k];
        toyenc_write(&s, &tmp, "m.gguf", path);
        for (glim_cpu_level level = GLIM_CPU_REF; level <= glim_cpu_best(); level++) {
            encfix x, two;
            encfix_open(&x, path, level, 1, N_TOK);
            encfix_open(&two, path, level, 3, N_TOK);
            float *all = run_all(&x), *more = run_all(&two),
                  *one = glim_alloc_array((size_t)(N_TOK * s.n_embd), sizeof *one);
            assert_memory_equal(all, more, (size_t)(N_TOK * s.n_embd) * sizeof *all);
            for (int64_t i = 0; i < N_SEQ; i++) {
                const int64_t n = offset[i + 1] - offset[i], alone[] = {0, n};
                int64_t want[N_TOK];
                all_rows(want);
                const glim_enc_batch b = {.tokens = tokens + offset[i],
                                          .types = types + offset[i],
                                          .offset = alone,
                                          .n_seq = 1,
                                          .want = want,
                                          .n_want = n,
                                          .hidden = one + offset[i] * s.n_embd};
                encfix_run(&two, &b);
            }
            assert_memory_equal(all, one, (size_t)(N_TOK * s.n_embd) * sizeof *all);
            glim_free(all), glim_free(more), glim_free(one);
            encfix_close(&x);
            encfix_close(&two);
        }
    }
}

static void test_pooling(void **state)
{
    toyenc s = toyenc_make();
    char path[400];
    encfix x;
    (void)state;
    encfix_open(&x, toyenc_write(&s, &tmp, "m.gguf", path), glim_cpu_best(), 2, N_TOK);
    float *all = run_all(&x), *v = glim_alloc_array((size_t)(N_SEQ * s.n_embd), sizeof *v);
    for (int kind = GLIM_POOLING_MEAN; kind <= GLIM_POOLING_LAST; kind++) {
        glim_enc_batch b = batch_of(NULL, NULL);
        b.pooling = (glim_pooling)kind;
        b.vectors = v;
        encfix_run(&x, &b);
        for (int64_t i = 0; i < N_SEQ; i++)
            for (int64_t d = 0; d < s.n_embd; d++) {
                double sum = 0, got = (double)v[i * s.n_embd + d];
                int64_t row = kind == GLIM_POOLING_CLS ? offset[i] : offset[i + 1] - 1;
                for (int64_t t = offset[i]; t < offset[i + 1]; t++)
                    sum += (double)all[t * s.n_embd + d];
                double want = kind == GLIM_POOLING_MEAN ? sum / (double)(offset[i + 1] - offset[i])
                                                        : (double)all[row * s.n_embd + d];
                if (fabs(got - want) > 1e-6) fail_msg("pooling %d: %g, not %g", kind, got, want);
            }
    }
    glim_free(all), glim_free(v);
    encfix_close(&x);
}

static void test_head(void **state)
{
    toyenc s = toyenc_make();
    char path[400];
    glim_error e = {0};
    encfix x;
    (void)state;
    encfix_open(&x, toyenc_write(&s, &tmp, "m.gguf", path), glim_cpu_best(), 2, N_TOK);
    assert_int_equal(x.m->n_label, 2);
    float *all = run_all(&x), *logits = glim_alloc_array(2 * N_TOK, sizeof *logits);
    double *in = glim_alloc_array((size_t)(N_TOK * s.n_embd), sizeof *in),
           *h = glim_alloc_array((size_t)(N_TOK * s.n_embd), sizeof *h),
           *want = glim_alloc_array(2 * N_TOK, sizeof *want);
    for (int64_t i = 0; i < N_TOK * s.n_embd; i++)
        in[i] = (double)all[i];
    toyenc_linear(x.f, "cls", -1, in, N_TOK, s.n_embd, s.n_embd, h);
    for (int64_t i = 0; i < N_TOK * s.n_embd; i++)
        h[i] = tanh(h[i]);
    toyenc_linear(x.f, "cls.output", -1, h, N_TOK, s.n_embd, 2, want);
    if (glim_enc_classify(x.m, &x.o, all, N_TOK, logits, &e)) fail_msg("%s", e.msg);
    assert_int_equal(glim_arena_used(x.o.step), 0);
    for (int64_t i = 0; i < 2 * N_TOK; i++)
        if (!(fabs((double)logits[i] - want[i]) < 1e-5))
            fail_msg("logit %lld is %g, not %g", (long long)i, (double)logits[i], want[i]);
    glim_free(all), glim_free(logits), glim_free(in), glim_free(h), glim_free(want);
    encfix_close(&x);

    s.n_label = 0;
    encfix_open(&x, toyenc_write(&s, &tmp, "m.gguf", path), glim_cpu_best(), 1, 4);
    assert_int_equal(x.m->n_label, 0);
    assert_int_equal(glim_enc_classify(x.m, &x.o, NULL, 0, NULL, &e), GLIM_E_UNSUPPORTED);
    encfix_close(&x);
}

static void refused(encfix *x, const glim_enc_batch *b, const char *word)
{
    glim_error e = {0};
    assert_int_equal(glim_enc_forward(x->m, &x->o, b, &e), GLIM_E_INPUT);
    if (!strstr(e.msg, word)) fail_msg("\"%s\" lacks \"%s\"", e.msg, word);
}

static void test_batches_refused(void **state)
{
    toyenc s = toyenc_make();
    char path[400];
    encfix x;
    float v[64];
    (void)state;
    encfix_open(&x, toyenc_write(&s, &tmp, "m.gguf", path), GLIM_CPU_REF, 1, N_TOK);
    const int64_t empty[] = {0, 3, 3}, longer[] = {0, 301}, one[] = {0, 1}, row = 1;
    const int32_t high = 50, low = -1, type = 3;
    glim_enc_batch b = {.tokens = tokens, .offset = empty, .n_seq = 2};
    refused(&x, &b, "text 1 has no tokens");
    b.offset = longer, b.n_seq = 1;
    refused(&x, &b, "301 tokens; the model takes 300");
    b.offset = one, b.tokens = &high;
    refused(&x, &b, "id 50; the model has 0..49");
    b.tokens = &low;
    refused(&x, &b, "id -1");
    b.tokens = tokens, b.types = &type;
    refused(&x, &b, "type 3; the model has 0..2");
    b.types = NULL, b.want = &row, b.n_want = 1, b.hidden = v;
    refused(&x, &b, "row 1 is wanted; there are 1");
    b.n_want = 0, b.n_seq = 0;
    encfix_run(&x, &b);
    encfix_close(&x);
}

static bool cancel_second(void *user)
{
    return ++*(int *)user == 2;
}

static void test_cancel_and_scratch(void **state)
{
    toyenc s = toyenc_make();
    char path[400];
    encfix x;
    int polls = 0;
    glim_error e = {0};
    glim_enc_batch b = batch_of(NULL, NULL);
    (void)state;
    encfix_open(&x, toyenc_write(&s, &tmp, "m.gguf", path), GLIM_CPU_REF, 2, N_TOK);
    b.cancelled = cancel_second;
    b.user = &polls;
    assert_int_equal(glim_enc_forward(x.m, &x.o, &b, &e), GLIM_E_CANCELLED);
    assert_int_equal(polls, 2);
    assert_int_equal(glim_arena_used(x.o.step), 0);
    b.cancelled = NULL;
    /* An arena planned for an eighth (plans keep room for packed inputs that plain C does not pack): an
     * error, and everything given back. */
    glim_arena_free(x.o.step);
    x.o.step = glim_arena_new_fixed(glim_enc_scratch_bytes(x.m, N_TOK / 8, 2));
    assert_int_equal(glim_enc_forward(x.m, &x.o, &b, &e), GLIM_E_INTERNAL);
    assert_int_equal(glim_arena_used(x.o.step), 0);
    encfix_close(&x);
}

/* Q8_0 weights and what they decode to, stored as F32: the plain kernels see the same numbers. */
static void test_q8_0_is_its_values(void **state)
{
    toyenc s = toyenc_make();
    char path[2][400];
    encfix x[2];
    float *y[2];
    (void)state;
    s.type = GLIM_Q8_0;
    toyenc_write(&s, &tmp, "a.gguf", path[0]);
    s.type = GLIM_F32, s.via = GLIM_Q8_0;
    toyenc_write(&s, &tmp, "b.gguf", path[1]);
    for (int i = 0; i < 2; i++) {
        encfix_open(&x[i], path[i], GLIM_CPU_REF, 2, N_TOK);
        y[i] = run_all(&x[i]);
    }
    assert_memory_equal(y[0], y[1], (size_t)(N_TOK * s.n_embd) * sizeof(float));
    for (int i = 0; i < 2; i++) {
        glim_free(y[i]);
        encfix_close(&x[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_no_types_is_type_0),
        cmocka_unit_test(test_packed_and_threads),
        cmocka_unit_test(test_pooling),
        cmocka_unit_test(test_head),
        cmocka_unit_test(test_batches_refused),
        cmocka_unit_test(test_cancel_and_scratch),
        cmocka_unit_test(test_q8_0_is_its_values),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
