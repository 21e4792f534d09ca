/* SPDX-License-Identifier: MIT
 * test_encoder_golden.c - encoders against vectors and logits that another implementation made in
 * double, row by row, at every level of the processor, from folders and GGUF files; and the same
 * bits alone and packed, with one thread and several. */
#include "golden.h"

#include "encfix.h"

#define ROWS_MAX 64
#define TOKENS_MAX 2048

typedef struct row {
    int64_t first, n; /* tokens */
    const glim_json *json;
} row;

/* One .jsonl of a folder. */
typedef struct cases {
    glim_arena *arena;
    char *bytes;
    int64_t n_row, n_embd;
    row rows[ROWS_MAX];
    int32_t tokens[TOKENS_MAX];
    int64_t offset[ROWS_MAX + 1];
} cases;

static void read_line(cases *c, char *line, size_t n)
{
    glim_json *j;
    glim_error e = {0};
    if (glim_json_parse(c->arena, (glim_str){line, n}, &j, &e)) fail_msg("%s", e.msg);
    assert_true(c->n_row < ROWS_MAX);
    int64_t at = c->offset[c->n_row], id;
    GLIM_JSON_EACH(it, glim_json_get(j, "ids"))
    {
        assert_true(glim_json_i64(it, &id) && at < TOKENS_MAX);
        c->tokens[at++] = (int32_t)id;
    }
    c->rows[c->n_row] = (row){c->offset[c->n_row], at - c->offset[c->n_row], j};
    c->offset[++c->n_row] = at;
}

static bool cases_open(cases *c, const char *name)
{
    char path[512];
    size_t n;
    memset(c, 0, sizeof *c);
    if (!golden_find(name, path, sizeof path)) return false;
    c->arena = glim_arena_new((size_t)1 << 28);
    c->bytes = golden_read(path, &n);
    for (size_t at = 0; at < n;) {
        char *end = memchr(c->bytes + at, '\n', n - at);
        size_t len = end ? (size_t)(end - c->bytes) - at : n - at;
        if (len) read_line(c, c->bytes + at, len);
        at += len + 1;
    }
    assert_true(c->n_row > 10);
    return true;
}

static void cases_close(cases *c)
{
    glim_arena_free(c->arena);
    free(c->bytes);
}

static void want_vector(const row *r, const char *key, int64_t n, float *out)
{
    int64_t i = 0;
    double v;
    GLIM_JSON_EACH(it, glim_json_get(r->json, key))
    {
        assert_true(i < n && glim_json_f64(it, &v));
        out[i++] = (float)v;
    }
    assert_int_equal(i, n);
}

static const struct {
    glim_pooling kind;
    const char *key;
} poolings[] = {
    {GLIM_POOLING_CLS, "cls"}, {GLIM_POOLING_MEAN, "mean"}, {GLIM_POOLING_LAST, "last_token"}};

static const char *const models[] = {
    "bert", "bert/model.gguf", "bert-unigram", "ernie", "xlm-roberta", "xlm-roberta/model.gguf",
};

static const char *cases_of(const char *model, const char *file, char out[200])
{
    snprintf(out, 200, "encoders/%.*s/%s", (int)strcspn(model, "/"), model, file);
    return out;
}

/* Path of a model, false when this checkout lacks it. */
static bool model_path(const char *model, char out[512])
{
    char name[200], weights[600];
    snprintf(name, sizeof name, "encoders/%s", model);
    if (!golden_find(name, out, 512)) return false;
    snprintf(weights, sizeof weights, "%s%s", out, strchr(model, '/') ? "" : "/model.safetensors");
    return glim_is_file(weights);
}

static void one_row(encfix *x, const cases *c, const row *r, double *distance, double *difference)
{
    float *got = glim_alloc_array((size_t)x->m->n_embd, sizeof *got),
          *want = glim_alloc_array((size_t)x->m->n_embd, sizeof *want);
    const int64_t offset[] = {0, r->n};
    for (size_t i = 0; i < GLIM_COUNT(poolings); i++) {
        const glim_enc_batch b = {.tokens = c->tokens + r->first,
                                  .offset = offset,
                                  .n_seq = 1,
                                  .pooling = poolings[i].kind,
                                  .vectors = got};
        encfix_run(x, &b);
        want_vector(r, poolings[i].key, x->m->n_embd, want);
        *distance = fmax(*distance, encfix_distance(got, want, x->m->n_embd));
        *difference = fmax(*difference, encfix_difference(got, want, x->m->n_embd));
    }
    glim_free(got);
    glim_free(want);
}

static void test_vectors(void **state)
{
    int n_done = 0;
    (void)state;
    for (size_t i = 0; i < GLIM_COUNT(models); i++) {
        char path[512], name[200];
        cases c;
        if (!model_path(models[i], path) ||
            !cases_open(&c, cases_of(models[i], "vectors.jsonl", name)))
            continue;
        for (glim_cpu_level level = GLIM_CPU_REF; level <= glim_cpu_best(); level++) {
            encfix x;
            double distance = 0, difference = 0;
            encfix_open(&x, path, level, 1, 64);
            for (int64_t r = 0; r < c.n_row; r++)
                one_row(&x, &c, &c.rows[r], &distance, &difference);
            print_message("%s %s: cosine distance %.2g, difference %.2g\n", models[i],
                          glim_cpu_level_name(level), distance, difference);
            assert_true(distance < 1e-9);
            assert_true(difference < 2e-5);
            encfix_close(&x);
        }
        cases_close(&c);
        n_done++;
    }
    if (!n_done) fail_msg("no encoder of the golden set is there");
}

static void test_logits(void **state)
{
    char path[512];
    cases c;
    (void)state;
    if (!model_path("xlm-roberta-reranker", path) ||
        !cases_open(&c, "encoders/xlm-roberta-reranker/pairs.jsonl"))
        fail_msg("the reranker of the golden set is missing");
    for (glim_cpu_level level = GLIM_CPU_REF; level <= glim_cpu_best(); level++) {
        encfix x;
        double worst = 0;
        encfix_open(&x, path, level, 2, TOKENS_MAX);
        assert_int_equal(x.m->n_label, 1);
        float *first = glim_alloc_array((size_t)(c.n_row * x.m->n_embd), sizeof *first),
              logit[ROWS_MAX];
        const glim_enc_batch b = {.tokens = c.tokens,
                                  .offset = c.offset,
                                  .n_seq = c.n_row,
                                  .pooling = GLIM_POOLING_CLS,
                                  .vectors = first};
        encfix_run(&x, &b);
        glim_error e = {0};
        if (glim_enc_classify(x.m, &x.o, first, c.n_row, logit, &e)) fail_msg("%s", e.msg);
        for (int64_t r = 0; r < c.n_row; r++) {
            double want;
            assert_true(glim_json_f64(glim_json_get(c.rows[r].json, "logit"), &want));
            worst = fmax(worst, fabs((double)logit[r] - want));
        }
        print_message("reranker %s: logit difference %.2g\n", glim_cpu_level_name(level), worst);
        assert_true(worst < 2e-5);
        glim_free(first);
        encfix_close(&x);
    }
    cases_close(&c);
}

/* States of all rows in one batch; glim_free() them. */
static float *all_states(encfix *x, const cases *c)
{
    int64_t n = c->offset[c->n_row], want[TOKENS_MAX];
    float *y = glim_alloc_array((size_t)(n * x->m->n_embd), sizeof *y);
    for (int64_t i = 0; i < n; i++)
        want[i] = i;
    const glim_enc_batch b = {.tokens = c->tokens,
                              .offset = c->offset,
                              .n_seq = c->n_row,
                              .want = want,
                              .n_want = n,
                              .hidden = y};
    encfix_run(x, &b);
    return y;
}

static void test_packed_and_threads(void **state)
{
    char path[512];
    cases c;
    (void)state;
    if (!model_path("ernie", path)) fail_msg("encoder ernie of the golden set is missing");
    assert_true(cases_open(&c, "encoders/ernie/vectors.jsonl"));
    for (glim_cpu_level level = GLIM_CPU_REF; level <= glim_cpu_best(); level++) {
        float *first = NULL;
        for (int n_thread = 1; n_thread <= 3; n_thread++) {
            encfix x;
            encfix_open(&x, path, level, n_thread, c.offset[c.n_row]);
            float *all = all_states(&x, &c);
            size_t bytes = (size_t)(c.offset[c.n_row] * x.m->n_embd) * sizeof(float);
            if (first) assert_memory_equal(all, first, bytes);
            for (int64_t r = 0; n_thread == 1 && r < c.n_row; r++) {
                cases one = {.n_row = 1, .offset = {0, c.rows[r].n}};
                memcpy(one.tokens, c.tokens + c.rows[r].first,
                       (size_t)c.rows[r].n * sizeof(int32_t));
                float *alone = all_states(&x, &one);
                assert_memory_equal(alone, all + c.rows[r].first * x.m->n_embd,
                                    (size_t)(c.rows[r].n * x.m->n_embd) * sizeof(float));
                glim_free(alone);
            }
            if (first)
                glim_free(all);
            else
                first = all;
            encfix_close(&x);
        }
        glim_free(first);
    }
    cases_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_logits),
        cmocka_unit_test(test_packed_and_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
