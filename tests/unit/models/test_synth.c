/* SPDX-License-Identifier: MIT
 * test_synth.c - the plan of a model with random weights: tensors and types as in published files,
 * rows that do not depend on who makes them, routers whose choice is clear. */
#include "golden.h"

#include <math.h>

#include "failnth.h"
#include "models/models.h"

static glim_synth *plan(const char *arch, const char *type, const char *mix, int64_t n_layer)
{
    glim_synth *s;
    glim_error e = {0};
    const glim_synth_spec spec = {arch, type, mix, n_layer, 1};
    if (glim_synth_new(&spec, &s, &e)) fail_msg("%s", e.msg);
    return s;
}

static const glim_synth_tensor *find(const glim_synth *s, const char *name)
{
    for (size_t i = 0; i < glim_synth_n_tensor(s); i++)
        if (strcmp(glim_synth_tensor_at(s, i)->name, name) == 0) return glim_synth_tensor_at(s, i);
    fail_msg("no tensor %s", name);
    return NULL;
}

static int64_t n_elem(const glim_synth_tensor *t)
{
    return t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3];
}

/* Counts and sizes of the published files of GLM-4.7-Flash. */
static void published(void **state)
{
    (void)state;
    static const struct {
        const char *type, *mix;
        double bytes;
        int n_f32, n_q4_k, n_q5_0, n_q6_k, n_q8_0, n_bf16;
    } cases[] = {
        {"q4_k_m", NULL, 18.12e9, 281, 470, 47, 46, 0, 0},
        {"Q4_K_M", "unsloth", 18.22e9, 281, 376, 0, 46, 141, 0},
        {"q8_0", NULL, 31.83e9, 281, 0, 0, 0, 563, 0},
        {"bf16", NULL, 59.90e9, 281, 0, 0, 0, 0, 563},
        {"f32", "llama", 119.8e9, 844, 0, 0, 0, 0, 0},
    };
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        glim_synth *s = plan("GLM-4.7-Flash", cases[i].type, cases[i].mix, 0);
        int n[GLIM_TYPE_COUNT] = {0};
        double bytes = 0;
        int64_t n_param = 0;
        assert_int_equal(glim_synth_n_tensor(s), 844);
        for (size_t k = 0; k < 844; k++) {
            const glim_synth_tensor *t = glim_synth_tensor_at(s, k);
            size_t size;
            assert_true(glim_type_bytes(t->type, n_elem(t), &size));
            assert_int_equal(t->ne[0] % glim_type_get(t->type)->n_block, 0);
            n[t->type]++;
            bytes += (double)size;
            n_param += n_elem(t);
        }
        assert_true(n_param == INT64_C(29943393920));
        assert_int_equal(n[GLIM_F32], cases[i].n_f32);
        assert_int_equal(n[GLIM_Q4_K], cases[i].n_q4_k);
        assert_int_equal(n[GLIM_Q5_0], cases[i].n_q5_0);
        assert_int_equal(n[GLIM_Q6_K], cases[i].n_q6_k);
        assert_int_equal(n[GLIM_Q8_0], cases[i].n_q8_0);
        assert_int_equal(n[GLIM_BF16], cases[i].n_bf16);
        if (fabs(bytes / cases[i].bytes - 1) > 2e-3) fail_msg("%s: %g bytes", cases[i].type, bytes);
        size_t n_vocab, first_special;
        glim_synth_vocab(s, &n_vocab, &first_special);
        assert_int_equal(n_vocab, 154880);
        assert_int_equal(first_special, 154820);
        glim_synth_free(s);
    }
    glim_synth *s = plan("glm-4.7-flash", "q4_k_m", NULL, 0);
    assert_int_equal(find(s, "output.weight")->type, GLIM_Q6_K);
    assert_int_equal(find(s, "blk.0.ffn_down.weight")->type, GLIM_Q6_K);
    assert_int_equal(find(s, "blk.5.ffn_down_exps.weight")->type, GLIM_Q4_K);
    assert_int_equal(find(s, "blk.7.ffn_down_shexp.weight")->type, GLIM_Q6_K);
    assert_int_equal(find(s, "blk.40.ffn_down_exps.weight")->type, GLIM_Q6_K);
    assert_int_equal(find(s, "blk.46.ffn_down_exps.weight")->type, GLIM_Q6_K);
    assert_int_equal(find(s, "blk.9.attn_k_b.weight")->type, GLIM_Q5_0);
    glim_synth_free(s);
}

static void refused(void **state)
{
    (void)state;
    static const struct {
        glim_synth_spec spec;
        glim_err rc;
        const char *says;
    } cases[] = {
        {{"glm-9", "f32", NULL, 0, 1}, GLIM_E_UNSUPPORTED, "glm-4.7-flash"},
        {{"glm-4.7-flash", "q9", NULL, 0, 1}, GLIM_E_UNSUPPORTED, "q4_k_m"},
        {{"glm-4.7-flash", "q8_0", "unsloth", 0, 1}, GLIM_E_INPUT, "no mix \"unsloth\""},
        {{"glm-4.7-flash", "q8_0", NULL, -1, 1}, GLIM_E_INPUT, "1 to 1000"},
        {{"glm-4.7-flash", "q8_0", NULL, 1001, 1}, GLIM_E_INPUT, "1 to 1000"},
    };
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        glim_synth *s = NULL;
        glim_error e = {0};
        assert_int_equal(glim_synth_new(&cases[i].spec, &s, &e), cases[i].rc);
        if (!strstr(e.msg, cases[i].says)) fail_msg("%s", e.msg);
        assert_null(s);
    }
    for (int64_t n = 0;; n++) {
        fail_nth f;
        glim_synth *s = NULL;
        const glim_synth_spec spec = {"glm-4.7-flash", "f32", NULL, 0, 1};
        fail_nth_begin(&f, n);
        glim_err rc = glim_synth_new(&spec, &s, NULL);
        fail_nth_end();
        if (!rc) {
            glim_synth_free(s);
            assert_int_equal(n, 2);
            break;
        }
        assert_int_equal(rc, GLIM_E_NOMEM);
    }
    glim_synth_free(NULL);
}

/* A row is the same whether it is made alone or with others, differs from its neighbours, and follows
 * the seed; the number of layers changes only what is scaled by it. */
static void rows(void **state)
{
    (void)state;
    static const char *const names[] = {"token_embd.weight",         "output_norm.weight",
                                        "blk.1.ffn_gate_inp.weight", "blk.1.exp_probs_b.bias",
                                        "blk.1.attn_k_b.weight",     "blk.1.ffn_down_exps.weight",
                                        "blk.1.attn_q_a.weight",     "output.weight"};
    static const char *const types[] = {"q4_k_m", "q8_0", "bf16", "f32"};
    _Alignas(64) static uint8_t all[64 * 4096], one[4096], other[4096];
    for (size_t k = 0; k < GLIM_COUNT(types); k++) {
        glim_synth *s = plan("glim-demo", types[k], NULL, 0), *second, *small;
        const glim_synth_spec spec = {"glim-demo", types[k], NULL, 0, 2};
        assert_int_equal(glim_synth_new(&spec, &second, NULL), GLIM_OK);
        small = plan("glim-demo", types[k], NULL, 2);
        for (size_t i = 0; i < GLIM_COUNT(names); i++) {
            const glim_synth_tensor *t = find(s, names[i]);
            const int64_t n = GLIM_MIN(t->ne[1] * t->ne[2], 64);
            size_t size;
            assert_true(glim_type_bytes(t->type, t->ne[0], &size) && size <= sizeof one);
            glim_synth_rows(s, t, 0, n, all);
            for (int64_t r = 0; r < n; r++) {
                glim_synth_rows(s, t, r, 1, one);
                assert_memory_equal(one, all + (size_t)r * size, size);
                if (r > 0) assert_memory_not_equal(one, other, size);
                memcpy(other, one, size);
            }
            glim_synth_rows(s, t, 0, 1, one);
            glim_synth_rows(second, find(second, names[i]), 0, 1, other);
            assert_memory_not_equal(one, other, size);
            if (find(small, names[i])->type == t->type && !strstr(names[i], "down")) {
                glim_synth_rows(small, find(small, names[i]), 0, 1, other);
                assert_memory_equal(one, other, size);
            }
        }
        glim_synth_free(s);
        glim_synth_free(second);
        glim_synth_free(small);
    }
}

/* What a router makes of embeddings, the norm left out: the experts that are used lead by far, and over
 * many tokens all have their turn. */
static void router(void **state)
{
    (void)state;
    enum { N_TOK = 300, N_EMBD = 2048, N_EXPERT = 64, N_USED = 4 };
    static float w[N_EXPERT * N_EMBD], x[N_EMBD], bias[N_EXPERT];
    static uint8_t row[N_EMBD * sizeof(float)];
    static const char *const types[] = {"q4_k_m", "q8_0", "bf16", "f32"};
    for (size_t k = 0; k < GLIM_COUNT(types); k++) {
        glim_synth *s = plan("glm-4.7-flash", types[k], NULL, 2);
        const glim_synth_tensor *embd = find(s, "token_embd.weight");
        int used[N_EXPERT] = {0};
        glim_synth_rows(s, find(s, "blk.1.ffn_gate_inp.weight"), 0, N_EXPERT, (uint8_t *)w);
        glim_synth_rows(s, find(s, "blk.1.exp_probs_b.bias"), 0, 1, (uint8_t *)bias);
        for (int t = 0; t < N_TOK; t++) {
            double score[N_EXPERT], sum = 0;
            glim_synth_rows(s, embd, 500 * t, 1, row);
            glim_type_get(embd->type)->decode(row, x, N_EMBD);
            for (int i = 0; i < N_EMBD; i++)
                sum += (double)x[i] * (double)x[i];
            const double rms = sqrt(sum / N_EMBD);
            assert_true(rms > 0.9 && rms < 1.6);
            for (int i = 0; i < N_EXPERT; i++) {
                double dot = 0;
                for (int j = 0; j < N_EMBD; j++)
                    dot += (double)w[i * N_EMBD + j] * (double)x[j] / rms;
                score[i] = 1 / (1 + exp(-dot)) + (double)bias[i];
            }
            double last = 2;
            for (int n = 0; n <= N_USED; n++) {
                int best = 0;
                for (int i = 1; i < N_EXPERT; i++)
                    if (score[i] > score[best]) best = i;
                if (n == N_USED && last - score[best] < 0.05)
                    fail_msg("%s, token %d: a lead of %g", types[k], 500 * t, last - score[best]);
                last = score[best];
                used[best] += n < N_USED;
                score[best] = -1;
            }
        }
        for (int i = 0; i < N_EXPERT; i++) /* 18.75 is the mean */
            if (used[i] < 5 || used[i] > 40) fail_msg("expert %d is used %d times", i, used[i]);
        glim_synth_free(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published),
        cmocka_unit_test(refused),
        cmocka_unit_test(rows),
        cmocka_unit_test(router),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
