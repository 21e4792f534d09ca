/* SPDX-License-Identifier: MIT
 * test_keyword.c - cosines, the three choices among words against a reference and against the
 * definition, ranges, ties, broken vectors; candidates by way of the public call. */
#include "golden.h"

#include "engine/engine_int.h"
#include "failnth.h"

#include <math.h>

enum { DIM_MAX = 64, WORD_MAX = 64 };

typedef struct row {
    float doc[DIM_MAX], words[WORD_MAX * DIM_MAX];
    size_t n_dim, n_word;
    glim_keyword_opts o;
    glim_keyword out[WORD_MAX];
    size_t n;
} row;

static void choose(row *r, bool mmr, bool maxsum)
{
    glim_error e = {0};
    r->o.mmr = mmr;
    r->o.maxsum = maxsum;
    if (glim_keyword_select(r->doc, r->words, r->n_word, r->n_dim, &r->o, r->out, &r->n, &e))
        fail_msg("%s", e.msg);
    for (size_t i = 1; i < r->n; i++) { /* sorted, none twice */
        assert_true(r->out[i - 1].similarity >= r->out[i].similarity);
        if (r->out[i - 1].similarity == r->out[i].similarity)
            assert_true(r->out[i - 1].i_word < r->out[i].i_word);
        for (size_t j = 0; j < i; j++)
            assert_int_not_equal(r->out[i].i_word, r->out[j].i_word);
    }
}

static void random_row(row *r, glim_rng *rng, size_t n_word, size_t n_dim)
{
    r->n_word = n_word;
    r->n_dim = n_dim;
    glim_keyword_opts_init(&r->o);
    for (size_t i = 0; i < n_dim; i++)
        r->doc[i] = glim_rng_f32(rng) - 0.5f;
    for (size_t i = 0; i < n_word * n_dim; i++)
        r->words[i] = glim_rng_f32(rng) - 0.5f;
}

/* ---- the reference's results ----------------------------------------------------------------- */

static size_t read_vector(const glim_json *v, float *out)
{
    size_t n = 0;
    GLIM_JSON_EACH(it, v)
    {
        double x = 0;
        assert_true(n < DIM_MAX && glim_json_f64(it, &x));
        out[n++] = (float)x;
    }
    return n;
}

/* The wanted word, or one with the very same vector: between such the choice is free. */
static bool stands_for(const glim_json *words, const row *r, size_t i, glim_str name)
{
    const float *v = r->words + i * r->n_dim;
    for (size_t k = 0; k < r->n_word; k++)
        if (glim_str_eq(glim_json_at(words, k)->text, name) &&
            memcmp(v, r->words + k * r->n_dim, r->n_dim * sizeof *v) == 0)
            return true;
    return false;
}

static void compare(const glim_json *words, const glim_json *want, const row *r, const char *what,
                    size_t line)
{
    bool used[WORD_MAX] = {false};
    if (want->n_child != r->n) fail_msg("%s line %zu: %zu words", what, line, r->n);
    GLIM_JSON_EACH(it, want)
    {
        glim_str name = glim_json_at(it, 0)->text;
        double similarity;
        bool found = false;
        assert_true(glim_json_f64(glim_json_at(it, 1), &similarity));
        for (size_t i = 0; i < r->n && !found; i++) {
            found = !used[i] && fabs(r->out[i].similarity - similarity) < 5.1e-5 &&
                    stands_for(words, r, r->out[i].i_word, name);
            used[i] = used[i] || found;
        }
        if (!found) fail_msg("%s line %zu: no %.*s", what, line, GLIM_STR_ARG(name));
    }
}

static void golden_line(glim_str text, size_t line, size_t *n_maxsum)
{
    static row r;
    glim_error e = {0};
    glim_json *v;
    double diversity;
    glim_arena *a = glim_arena_new((size_t)16 << 20);
    if (glim_json_parse(a, text, &v, &e)) fail_msg("line %zu: %s", line, e.msg);
    const glim_json *words = glim_json_get(v, "words"), *maxsum = glim_json_get(v, "maxsum");
    glim_keyword_opts_init(&r.o);
    r.n_dim = read_vector(glim_json_get(v, "doc"), r.doc);
    r.n_word = 0;
    GLIM_JSON_EACH(it, glim_json_get(v, "vectors"))
    {
        assert_true(r.n_word < WORD_MAX);
        assert_int_equal(read_vector(it, r.words + r.n_word++ * r.n_dim), r.n_dim);
    }
    assert_int_equal(words->n_child, r.n_word);
    assert_true(glim_json_i64(glim_json_get(v, "top"), &r.o.top));
    assert_true(glim_json_f64(glim_json_get(v, "diversity"), &diversity));
    r.o.diversity = diversity;
    choose(&r, false, false);
    compare(words, glim_json_get(v, "plain"), &r, "plain", line);
    choose(&r, true, false);
    compare(words, glim_json_get(v, "mmr"), &r, "mmr", line);
    choose(&r, true, true); /* both: mmr */
    compare(words, glim_json_get(v, "mmr"), &r, "both", line);
    choose(&r, false, true);
    if (maxsum) {
        compare(words, maxsum, &r, "maxsum", line);
        (*n_maxsum)++;
    } else { /* where KeyBERT gives nothing */
        assert_int_equal(r.n, GLIM_MIN((size_t)r.o.top, r.n_word));
    }
    glim_arena_free(a);
}

static void golden(void **state)
{
    char path[512];
    size_t n, line = 0, n_maxsum = 0;
    (void)state;
    if (!golden_find("keyword/cases.jsonl", path, sizeof path)) skip();
    char *p = golden_read(path, &n);
    for (size_t at = 0; at < n;) {
        char *end = memchr(p + at, '\n', n - at);
        size_t len = end ? (size_t)(end - p) - at : n - at;
        golden_line((glim_str){p + at, len}, ++line, &n_maxsum);
        at += len + 1;
    }
    free(p);
    assert_true(line >= 100 && n_maxsum >= 71);
}

/* ---- the definitions, written the long way --------------------------------------------------- */

static double likeness(const row *r, size_t i, size_t j)
{
    return glim_cosine(r->words + i * r->n_dim, r->words + j * r->n_dim, r->n_dim);
}

static void mmr_by_definition(const row *r, bool *in)
{
    size_t best = 0;
    memset(in, 0, r->n_word);
    for (size_t k = 0; k < (size_t)r->o.top && k < r->n_word; k++) {
        double best_score = -INFINITY;
        for (size_t i = 0; i < r->n_word; i++) {
            double s = glim_cosine(r->doc, r->words + i * r->n_dim, r->n_dim), most = -INFINITY;
            for (size_t j = 0; j < r->n_word; j++)
                if (in[j]) most = fmax(most, likeness(r, i, j));
            double score = k ? (1 - r->o.diversity) * s - r->o.diversity * most : s;
            if (!in[i] && score > best_score) {
                best_score = score;
                best = i;
            }
        }
        in[best] = true;
    }
}

static void mmr(void **state)
{
    static row r;
    glim_rng rng;
    bool in[WORD_MAX];
    (void)state;
    glim_rng_seed(&rng, 7);
    for (int round = 0; round < 200; round++) {
        random_row(&r, &rng, 1 + glim_rng_u64(&rng) % 30, 1 + glim_rng_u64(&rng) % 12);
        r.o.top = 1 + (int64_t)(glim_rng_u64(&rng) % 12);
        r.o.diversity = round % 5 == 0 ? round % 2 : glim_rng_f64(&rng);
        if (round % 3 == 0 && r.n_word > 4) /* ties: the earlier word */
            memcpy(r.words + 3 * r.n_dim, r.words + r.n_dim, r.n_dim * sizeof *r.words);
        choose(&r, true, false);
        mmr_by_definition(&r, in);
        assert_int_equal(r.n, GLIM_MIN((size_t)r.o.top, r.n_word));
        for (size_t i = 0; i < r.n; i++)
            assert_true(in[r.out[i].i_word]);
    }
}

/* Sum of likenesses in a subset of the 20 nearest, given as bits over the plain order. */
static double sum_of(const row *r, const size_t *near, uint32_t bits, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = i + 1; j < n; j++)
            if ((bits >> i & 1) && (bits >> j & 1)) sum += likeness(r, near[i], near[j]);
    return sum;
}

static void check_maxsum(row *r)
{
    size_t near[20], n_near = GLIM_MIN(r->n_word, (size_t)20);
    int64_t top = r->o.top;
    double least = INFINITY, got;
    uint32_t bits = 0;
    r->o.top = 20;
    choose(r, false, false);
    for (size_t i = 0; i < n_near; i++)
        near[i] = r->out[i].i_word;
    r->o.top = top;
    choose(r, false, true);
    size_t n = GLIM_MIN((size_t)top, n_near);
    assert_int_equal(r->n, n);
    for (size_t k = 0; k < r->n; k++)
        for (size_t i = 0; i < n_near; i++)
            if (near[i] == r->out[k].i_word) bits |= 1u << i;
    assert_int_equal(__builtin_popcount(bits), n); /* all of them are among the 20 */
    for (uint32_t b = 0; b < 1u << n_near; b++)
        if ((size_t)__builtin_popcount(b) == n) least = fmin(least, sum_of(r, near, b, n_near));
    got = sum_of(r, near, bits, n_near);
    if (fabs(got - least) > 1e-9) fail_msg("sum %.12f, the least is %.12f", got, least);
}

static void maxsum(void **state)
{
    static row r;
    glim_rng rng;
    (void)state;
    glim_rng_seed(&rng, 8);
    for (int round = 0; round < 60; round++) {
        random_row(&r, &rng, 2 + glim_rng_u64(&rng) % 9, 1 + glim_rng_u64(&rng) % 6);
        r.o.top = 1 + (int64_t)(glim_rng_u64(&rng) % 9);
        check_maxsum(&r);
    }
    random_row(&r, &rng, 30, 4); /* more words than candidates */
    r.o.top = 2;
    choose(&r, false, true);
    size_t far[2] = {r.out[0].i_word, r.out[1].i_word};
    r.o.top = 20;
    choose(&r, false, false);
    for (size_t k = 0; k < 2; k++) {
        bool near = false;
        for (size_t i = 0; i < 20; i++)
            near = near || r.out[i].i_word == far[k];
        assert_true(near);
    }
}

static void maxsum_speed(void **state)
{
    static row r;
    glim_rng rng;
    uint64_t least = UINT64_MAX;
    (void)state;
    glim_rng_seed(&rng, 9);
    random_row(&r, &rng, 40, 32);
    r.o.top = 10;
    for (int i = 0; i < 5; i++) {
        uint64_t t0 = glim_now_ns();
        choose(&r, false, true);
        least = GLIM_MIN(least, glim_now_ns() - t0);
    }
    print_message("10 of 20: %.2f ms\n", (double)least * 1e-6);
    assert_int_equal(r.n, 10);
}

/* ---- edges ----------------------------------------------------------------------------------- */

static void ranges(void **state)
{
    static row r;
    glim_rng rng;
    glim_error e;
    const struct {
        int64_t top;
        double diversity;
        const char *word;
    } bad[] = {{0, 0.3, "top"},        {-1, 0.3, "top"},      {1, -0.01, "diversity"},
               {1, 1.01, "diversity"}, {1, NAN, "diversity"}, {1, INFINITY, "diversity"},
               {INT64_MIN, 0.5, "top"}};
    (void)state;
    glim_rng_seed(&rng, 1);
    random_row(&r, &rng, 3, 4);
    for (size_t i = 0; i < GLIM_COUNT(bad); i++) {
        r.o.top = bad[i].top;
        r.o.diversity = bad[i].diversity;
        r.n = 99;
        assert_int_equal(glim_keyword_select(r.doc, r.words, 3, 4, &r.o, r.out, &r.n, &e),
                         GLIM_E_INPUT);
        assert_non_null(strstr(e.msg, bad[i].word));
        assert_int_equal(r.n, 0);
    }
    assert_int_equal(glim_keyword_select(r.doc, r.words, 3, 0, NULL, r.out, &r.n, &e),
                     GLIM_E_INPUT);
    assert_int_equal(glim_keyword_select(r.doc, NULL, 0, 4, NULL, r.out, &r.n, &e), GLIM_OK);
    assert_int_equal(r.n, 0);
    assert_int_equal(glim_keyword_select(r.doc, r.words, 3, 4, NULL, r.out, &r.n, &e), GLIM_OK);
    assert_int_equal(r.n, 3);
    random_row(&r, &rng, 30, 4);
    assert_int_equal(glim_keyword_select(r.doc, r.words, 30, 4, NULL, r.out, &r.n, &e), GLIM_OK);
    assert_int_equal(r.n, 10);
    r.o.top = INT64_MAX;
    choose(&r, false, false);
    assert_int_equal(r.n, 30);
    choose(&r, true, false);
    assert_int_equal(r.n, 30);
    choose(&r, false, true);
    assert_int_equal(r.n, 20);
}

static void cosines(void **state)
{
    const float x[3] = {1, 2, 3}, back[3] = {-2, -4, -6}, zero[3] = {0}, side[3] = {3, 0, -1};
    const float nan[3] = {1, NAN, 0}, inf[3] = {1, INFINITY, 0}, big[3] = {3e38f, 3e38f, 3e38f};
    const float tiny[3] = {1e-45f, 1e-45f, 1e-45f};
    (void)state;
    assert_true(glim_cosine(x, x, 3) == 1);
    assert_true(glim_cosine(x, back, 3) == -1);
    assert_true(glim_cosine(x, side, 3) == 0);
    assert_true(glim_cosine(x, zero, 3) == 0 && glim_cosine(zero, zero, 3) == 0);
    assert_true(glim_cosine(x, nan, 3) == 0 && glim_cosine(inf, x, 3) == 0);
    assert_true(glim_cosine(inf, inf, 3) == 0 && glim_cosine(x, x, 0) == 0);
    assert_true(fabs(glim_cosine(big, tiny, 3) - 1) < 1e-15);
    assert_true(fabs(glim_cosine(tiny, tiny, 3) - 1) < 1e-15);
    for (size_t n = 1; n <= 9; n++) { /* every rest of the four sums */
        float a[9], b[9];
        double ab = 0, aa = 0, bb = 0;
        for (size_t i = 0; i < n; i++) {
            a[i] = (float)(i + 1);
            b[i] = (float)(i * i) - 7;
            ab += (double)a[i] * (double)b[i];
            aa += (double)a[i] * (double)a[i];
            bb += (double)b[i] * (double)b[i];
        }
        assert_true(fabs(glim_cosine(a, b, n) - ab / sqrt(aa * bb)) < 1e-15);
    }
}

/* Vectors without a direction are chosen like any other, and no result is NaN. */
static void broken_vectors(void **state)
{
    static row r;
    glim_rng rng;
    (void)state;
    glim_rng_seed(&rng, 3);
    for (int way = 0; way < 4; way++) {
        random_row(&r, &rng, 8, 4);
        memset(r.words + 4, 0, 4 * sizeof *r.words);
        r.words[2 * 4 + 1] = NAN;
        r.words[3 * 4 + 2] = INFINITY;
        if (way == 3) memset(r.doc, 0, sizeof r.doc);
        r.o.top = 6;
        r.o.diversity = 1;
        choose(&r, way & 1, way & 2);
        assert_int_equal(r.n, 6);
        for (size_t i = 0; i < r.n; i++)
            assert_true(r.out[i].similarity >= -1 && r.out[i].similarity <= 1);
    }
    for (int way = 0; way < 3; way++) { /* all the same: the first words */
        for (size_t i = 0; i < 8 * 4; i++)
            r.words[i] = 1;
        r.o.top = 3;
        r.o.diversity = 0.5;
        choose(&r, way == 1, way == 2);
        for (size_t i = 0; i < 3; i++)
            assert_int_equal(r.out[i].i_word, i);
    }
}

static void out_of_memory(void **state)
{
    static row r;
    glim_rng rng;
    fail_nth f;
    (void)state;
    glim_rng_seed(&rng, 4);
    random_row(&r, &rng, 8, 4);
    r.o.top = 3;
    r.o.mmr = true;
    for (int64_t n = 0;; n++) {
        glim_error e = {0};
        fail_nth_begin(&f, n);
        glim_err rc = glim_keyword_select(r.doc, r.words, 8, 4, &r.o, r.out, &r.n, &e);
        fail_nth_end();
        if (!fail_nth_hit(&f)) {
            assert_int_equal(rc, GLIM_OK);
            assert_int_equal(n, 3);
            break;
        }
        assert_int_equal(rc, GLIM_E_NOMEM);
        assert_int_equal(r.n, 0);
    }
}

/* ---- candidates ------------------------------------------------------------------------------ */

static void candidates(void **state)
{
    const glim_str text = GLIM_STR("新能源汽车市场竞争，Energy 市场 energy。");
    const glim_str vocab[] = {GLIM_STR("ENERGY"), GLIM_STR("工业"), GLIM_STR("市场")};
    glim_words w;
    glim_error e = {0};
    (void)state;
    assert_int_equal(glim_keyword_candidates(text, vocab, 3, &w, &e), GLIM_OK);
    assert_int_equal(w.n, 2);
    assert_true(glim_str_is(w.p[0], "ENERGY") && glim_str_is(w.p[1], "市场"));
    glim_words_free(&w);
    assert_null(w.p);
    assert_int_equal(glim_keyword_candidates(text, NULL, 0, &w, &e), GLIM_OK);
    assert_true(w.n >= 4);
    assert_true(glim_str_is(w.p[0], "市场") && glim_str_is(w.p[1], "Energy"));
    glim_words_free(&w);
    assert_int_equal(glim_keyword_candidates(GLIM_STR("a\xFF"), NULL, 0, &w, &e), GLIM_E_INPUT);
    assert_true(e.offset == 1 && w.n == 0);
    glim_words_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden),         cmocka_unit_test(mmr),
        cmocka_unit_test(maxsum),         cmocka_unit_test(maxsum_speed),
        cmocka_unit_test(ranges),         cmocka_unit_test(cosines),
        cmocka_unit_test(broken_vectors), cmocka_unit_test(out_of_memory),
        cmocka_unit_test(candidates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
