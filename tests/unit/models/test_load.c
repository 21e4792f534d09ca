/* SPDX-License-Identifier: MIT
 * test_load.c - what a GGUF may say and what is refused: every rule of the loader by a file that
 * breaks it, every tensor missing and misshapen in turn, allocations that fail. */
#include "golden.h"

#include "corefix.h"
#include "failnth.h"
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

static glim_err load(const char *path, glim_error *e)
{
    glim_modelfile *f;
    glim_core *c;
    glim_load_opts opts = corefix_opts();
    glim_err rc = glim_modelfile_open(path, 0, &f, e);
    if (rc) return rc;
    rc = glim_core_load(f, &opts, &c, e);
    if (!rc) glim_core_free(c);
    glim_modelfile_close(f);
    return rc;
}

/* The code, and both words in the message. */
static void expect(const toy_spec *s, const char *what, glim_err code, const char *word,
                   const char *word2)
{
    char path[400];
    glim_error e = {0};
    toy_write(s, tmp.path, "m", path);
    glim_err rc = load(path, &e);
    if (rc != code) fail_msg("%s: code %d \"%s\", not %d", what, rc, e.msg, code);
    if (code && (!strstr(e.msg, word) || (word2 && !strstr(e.msg, word2)) || !strstr(e.msg, path)))
        fail_msg("%s: \"%s\" lacks \"%s\", \"%s\" or the file", what, e.msg, word,
                 word2 ? word2 : "");
}

/* ---- values --------------------------------------------------------------------------------- */

typedef struct value_case {
    toy_edit edit[3];
    glim_err code;
    const char *word, *word2;
} value_case;

#define U32(key, v)                                                                                \
    {                                                                                              \
        .name = key, .op = TOY_U32, .num = v                                                       \
    }
#define F32(key, v)                                                                                \
    {                                                                                              \
        .name = key, .op = TOY_F32, .num = v                                                       \
    }
#define STR(key, v)                                                                                \
    {                                                                                              \
        .name = key, .op = TOY_STR, .str = v                                                       \
    }
#define DROP(key)                                                                                  \
    {                                                                                              \
        .name = key, .op = TOY_DROP                                                                \
    }

static const value_case values[] = {
    /* contradictions */
    {{U32("rope.dimension_count", 15), U32("attention.key_length", 47)},
     GLIM_E_FORMAT,
     "rotated dimensions are odd",
     "15"},
    {{U32("rope.dimension_count", 14)}, GLIM_E_FORMAT, "attention.key_length", "48 and 46"},
    {{U32("attention.key_length_mla", 16)}, GLIM_E_FORMAT, "no longer than its rotated", "16"},
    {{U32("attention.key_length_mla", 9)}, GLIM_E_FORMAT, "no longer than its rotated", "9"},
    {{U32("nextn_predict_layers", 3)}, GLIM_E_FORMAT, "no layer is left", "3"},
    {{U32("leading_dense_block_count", 3), U32("expert_used_count", 9)},
     GLIM_E_FORMAT,
     "experts used",
     "9 and 8"},
    {{U32("expert_used_count", 0)}, GLIM_E_FORMAT, "experts used", "0 and 8"},
    {{U32("expert_used_count", 9)}, GLIM_E_FORMAT, "experts used", "9 and 8"},
    {{DROP("expert_used_count")}, GLIM_E_FORMAT, "experts used", "0 and 8"},
    {{DROP("expert_feed_forward_length")}, GLIM_E_FORMAT, "experts without a width", NULL},
    {{U32("expert_group_count", 3)}, GLIM_E_FORMAT, "do not divide into groups", "8 and 3"},
    {{U32("expert_group_count", 4), U32("expert_group_used_count", 5)},
     GLIM_E_FORMAT,
     "groups used and groups",
     "5 and 4"},
    {{U32("expert_group_count", 4), U32("expert_group_used_count", 1), U32("expert_used_count", 3)},
     GLIM_E_FORMAT,
     "fewer experts than are used",
     "2 and 3"},
    {{U32("attention.key_length", 47)}, GLIM_E_FORMAT, "attention.key_length", "47 and 48"},
    {{U32("attention.value_length", 33)}, GLIM_E_FORMAT, "attention.value_length", "33 and 32"},
    {{U32("attention.head_count_kv", 2)}, GLIM_E_FORMAT, "attention.head_count_kv", "2 and 4"},
    {{U32("vocab_size", 319)}, GLIM_E_FORMAT, "token_embd.weight", "319"},
    {{U32("embedding_length", 96)}, GLIM_E_FORMAT, "token_embd.weight", "96"},
    {{U32("feed_forward_length", 64)}, GLIM_E_FORMAT, "blk.0.ffn_gate.weight", "64"},
    {{U32("attention.head_count", 5)}, GLIM_E_FORMAT, "blk.0.attn_q_b.weight", NULL},
    {{DROP("attention.q_lora_rank")}, GLIM_E_FORMAT, "blk.0.attn_q.weight", "missing"},
    {{U32("leading_dense_block_count", 2)}, GLIM_E_FORMAT, "blk.1.ffn_gate.weight", "missing"},
    {{U32("expert_count", 0)}, GLIM_E_FORMAT, "blk.1.ffn_gate.weight", "missing"},
    {{U32("expert_count", 16)}, GLIM_E_FORMAT, "blk.1.ffn_gate_inp.weight", "16"},
    {{U32("expert_shared_count", 2)}, GLIM_E_FORMAT, "blk.1.ffn_gate_shexp.weight", "64"},
    {{U32("block_count", 4)}, GLIM_E_FORMAT, "blk.3.attn_norm.weight", "missing"},
    /* required, of the right kind, in range */
    {{DROP("block_count")}, GLIM_E_FORMAT, "block_count is missing", NULL},
    {{DROP("context_length")}, GLIM_E_FORMAT, "context_length is missing", NULL},
    {{DROP("embedding_length")}, GLIM_E_FORMAT, "embedding_length is missing", NULL},
    {{DROP("feed_forward_length")}, GLIM_E_FORMAT, "feed_forward_length is missing", NULL},
    {{DROP("attention.head_count")}, GLIM_E_FORMAT, "attention.head_count is missing", NULL},
    {{DROP("attention.kv_lora_rank")}, GLIM_E_FORMAT, "kv_lora_rank is missing", NULL},
    {{DROP("attention.key_length")}, GLIM_E_FORMAT, "attention.key_length is missing", NULL},
    {{DROP("attention.value_length")}, GLIM_E_FORMAT, "value_length is missing", NULL},
    {{DROP("rope.dimension_count")}, GLIM_E_FORMAT, "rope.dimension_count is missing", NULL},
    {{DROP("rope.freq_base")}, GLIM_E_FORMAT, "rope.freq_base is missing", NULL},
    {{DROP("attention.layer_norm_rms_epsilon")}, GLIM_E_FORMAT, "rms_epsilon is missing", NULL},
    {{STR("block_count", "3")}, GLIM_E_FORMAT, "block_count must be a whole number", NULL},
    {{F32("block_count", 3)}, GLIM_E_FORMAT, "block_count must be a whole number", NULL},
    {{{.name = "block_count", .op = TOY_I32, .num = -3}},
     GLIM_E_FORMAT,
     "block_count must be a whole number",
     NULL},
    {{STR("rope.freq_base", "many")}, GLIM_E_FORMAT, "rope.freq_base must be a number", NULL},
    {{F32("rope.freq_base", NAN)}, GLIM_E_FORMAT, "rope.freq_base must be a number", NULL},
    {{F32("expert_weights_scale", INFINITY)},
     GLIM_E_FORMAT,
     "expert_weights_scale must be a number",
     NULL},
    {{U32("expert_weights_norm", 1)},
     GLIM_E_FORMAT,
     "expert_weights_norm must be true or false",
     NULL},
    {{U32("block_count", 0)}, GLIM_E_FORMAT, "block_count is 0", "1..1024"},
    {{U32("block_count", 1025)}, GLIM_E_FORMAT, "block_count is 1025", NULL},
    {{U32("context_length", 0)}, GLIM_E_FORMAT, "context_length is 0", NULL},
    {{U32("attention.kv_lora_rank", 4294967295.0)}, GLIM_E_FORMAT, "kv_lora_rank is", NULL},
    {{U32("expert_count", 4097)}, GLIM_E_FORMAT, "expert_count is 4097", NULL},
    {{F32("attention.layer_norm_rms_epsilon", 0)}, GLIM_E_FORMAT, "rms_epsilon is 0", NULL},
    {{F32("rope.freq_base", 0.5)}, GLIM_E_FORMAT, "rope.freq_base is 0.5", NULL},
    {{F32("expert_weights_scale", -1)}, GLIM_E_FORMAT, "expert_weights_scale is -1", NULL},
    /* positions */
    {{STR("rope.scaling.type", "linear")}, GLIM_E_UNSUPPORTED, "rope.scaling.type", "linear"},
    {{STR("rope.scaling.type", "yarn")}, GLIM_E_FORMAT, "rope.scaling.factor", "missing"},
    {{STR("rope.scaling.type", "yarn"), F32("rope.scaling.factor", 0)},
     GLIM_E_FORMAT,
     "rope.scaling.factor",
     "0"},
    {{STR("rope.scaling.type", "yarn"), F32("rope.scaling.factor", 4)}, GLIM_OK, NULL, NULL},
    {{STR("rope.scaling.type", "none"), F32("rope.scaling.factor", 4)}, GLIM_OK, NULL, NULL},
    /* names */
    {{DROP("general.architecture")}, GLIM_E_FORMAT, "general.architecture is missing", NULL},
    {{U32("general.architecture", 2)}, GLIM_E_FORMAT, "general.architecture", "no text"},
    {{STR("general.architecture", "llama")}, GLIM_E_UNSUPPORTED, "llama", "known: deepseek2"},
    /* what is fine */
    {{DROP("vocab_size")}, GLIM_OK, NULL, NULL},
    {{DROP("attention.head_count_kv")}, GLIM_OK, NULL, NULL},
    {{U32("attention.head_count_kv", 4)}, GLIM_OK, NULL, NULL},
    {{DROP("expert_group_count"), DROP("expert_group_used_count")}, GLIM_OK, NULL, NULL},
    {{U32("expert_group_count", 4), U32("expert_group_used_count", 2)}, GLIM_OK, NULL, NULL},
    {{DROP("expert_weights_scale")}, GLIM_OK, NULL, NULL},
};

static void test_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < GLIM_COUNT(values); i++) {
        toy_spec s;
        toy_init(&s);
        s.edits = values[i].edit;
        while (s.n_edit < GLIM_COUNT(values[i].edit) && values[i].edit[s.n_edit].name)
            s.n_edit++;
        expect(&s, values[i].edit[0].name, values[i].code, values[i].word, values[i].word2);
    }
}

/* ---- the router's kind ---------------------------------------------------------------------- */

static void test_gating(void **state)
{
    (void)state;
    static const struct {
        int gating;
        bool bias;
        glim_err code;
        const char *word;
    } cases[] = {
        {0, true, GLIM_OK, NULL},  /* sigmoid: only it has a bias */
        {0, false, GLIM_OK, NULL}, /* softmax */
        {1, false, GLIM_OK, NULL},
        {2, true, GLIM_OK, NULL},
        {1, true, GLIM_E_FORMAT, "softmax"},
        {2, false, GLIM_E_FORMAT, "exp_probs_b.bias is missing"},
        {3, true, GLIM_E_UNSUPPORTED, "expert_gating_func 3"},
        {3, false, GLIM_E_UNSUPPORTED, "expert_gating_func 3"},
    };
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        toy_spec s;
        toy_init(&s);
        s.gating = cases[i].gating;
        s.bias = cases[i].bias;
        expect(&s, "gating", cases[i].code, cases[i].word, NULL);
    }
}

static void test_names(void **state)
{
    (void)state;
    static const char *const names[] = {"deepseek2", "glm4moelite"};
    for (size_t i = 0; i < GLIM_COUNT(names); i++) {
        toy_spec s;
        toy_init(&s);
        s.arch = names[i];
        expect(&s, names[i], GLIM_OK, NULL, NULL);
    }
}

/* ---- tensors -------------------------------------------------------------------------------- */

static void variants(toy_spec s[5])
{
    toy_init(&s[0]);
    toy_init_deepseek(&s[1]);
    toy_init(&s[2]);
    s[2].fused = true;
    toy_init(&s[3]); /* no experts at all */
    s[3].n_expert = 0;
    toy_init(&s[4]);
    s[4].nextn = true;
}

/* Each tensor of each layout is left out, and given a row too many. */
static void test_tensors(void **state)
{
    (void)state;
    toy_spec all[5];
    variants(all);
    for (size_t v = 0; v < GLIM_COUNT(all); v++) {
        toy_spec s = all[v];
        char path[400];
        glim_modelfile *f;
        glim_error e = {0};
        s.n_layer = 2;
        toy_write(&s, tmp.path, "whole", path);
        if (glim_modelfile_open(path, 0, &f, &e)) fail_msg("%s", e.msg);
        for (size_t i = 0; i < glim_modelfile_n_tensor(f); i++) {
            char name[64];
            toy_edit edit = {.name = name, .op = TOY_GROW};
            snprintf(name, sizeof name, "%.*s", GLIM_STR_ARG(glim_modelfile_tensor(f, i)->name));
            s.edits = &edit;
            s.n_edit = 1;
            expect(&s, name, GLIM_E_FORMAT, name, "where the model's values ask for");
            edit.op = TOY_DROP;
            if (strcmp(name, "output.weight") == 0 || strstr(name, "eh_proj"))
                /* the embedding takes its place; without this one there is no prediction layer */
                expect(&s, name, GLIM_OK, NULL, NULL);
            else if (strcmp(name, "blk.1.ffn_gate_up_exps.weight") == 0)
                expect(&s, name, GLIM_E_FORMAT, "blk.1.ffn_gate_exps.weight", "missing");
            else if (strstr(name, "attn_kv_b") || strstr(name, "attn_k_b"))
                expect(&s, name, GLIM_E_FORMAT, "attn_k_b.weight is missing", NULL);
            else
                expect(&s, name, GLIM_E_FORMAT, name, "missing");
        }
        glim_modelfile_close(f);
    }
}

/* ---- memory --------------------------------------------------------------------------------- */

static void test_derived(void **state)
{
    (void)state;
    toy_spec s;
    char path[400];
    glim_modelfile *f;
    glim_core *c;
    glim_error e = {0};
    toy_init_deepseek(&s);
    toy_types(&s, GLIM_F16);
    s.type[TOY_ROUTER] = GLIM_BF16;
    s.type[TOY_NORM] = GLIM_BF16;
    toy_write(&s, tmp.path, "derived", path);
    if (glim_modelfile_open(path, 0, &f, &e)) fail_msg("%s", e.msg);
    /* turned keys in F16; routers, and all vectors, in f32 */
    int64_t n_vec = 3 * (2 * s.n_embd + s.kv_rank) + s.n_embd;
    int64_t want =
        2 * 3 * s.n_head * s.n_nope * s.kv_rank + 4 * (2 * s.n_expert * s.n_embd + n_vec);
    for (int plan = 0; plan < 2; plan++) {
        glim_load_opts opts = corefix_opts();
        opts.plan_only = plan;
        if (glim_core_load(f, &opts, &c, &e)) fail_msg("%s", e.msg);
        assert_int_equal(c->derived_bytes, want);
        assert_int_equal(c->n_layer, 3);
        assert_int_equal(c->n_vocab, 320);
        assert_int_equal(c->n_expert, 8);
        assert_int_equal(c->n_expert_used, 2);
        assert_int_equal(c->kv_width, 48);
        glim_core_free(c);
    }
    for (int nth = 0;; nth++) {
        fail_nth hook;
        glim_load_opts opts = corefix_opts();
        fail_nth_begin(&hook, nth);
        glim_err rc = glim_core_load(f, &opts, &c, &e);
        fail_nth_end();
        if (!rc) {
            assert_false(fail_nth_hit(&hook));
            glim_core_free(c);
            break;
        }
        assert_int_equal(rc, GLIM_E_NOMEM);
        assert_true(nth < 1000);
    }
    glim_modelfile_close(f);
}

static bool add_up(void *user, size_t n)
{
    *(size_t *)user += n;
    return true;
}

/* Values that promise much more than the file holds cost little. */
static void test_promises(void **state)
{
    (void)state;
    static const toy_edit edits[] = {
        U32("block_count", 1024),
        U32("expert_count", 4096),
        U32("expert_used_count", 4096),
        U32("expert_feed_forward_length", 1 << 24),
        U32("leading_dense_block_count", 0),
        U32("context_length", 1 << 28),
    };
    toy_spec s;
    char path[400];
    glim_modelfile *f;
    glim_core *c;
    glim_error e = {0};
    glim_load_opts opts = corefix_opts();
    size_t sum = 0;
    toy_init(&s);
    s.edits = edits;
    s.n_edit = GLIM_COUNT(edits);
    toy_write(&s, tmp.path, "promises", path);
    if (glim_modelfile_open(path, 0, &f, &e)) fail_msg("%s", e.msg);
    glim_alloc_set_hook(add_up, &sum);
    glim_err rc = glim_core_load(f, &opts, &c, &e);
    glim_alloc_set_hook(NULL, NULL);
    assert_int_equal(rc, GLIM_E_FORMAT);
    assert_true(sum < 4u << 20);
    glim_modelfile_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),  cmocka_unit_test(test_gating),
        cmocka_unit_test(test_names),   cmocka_unit_test(test_tensors),
        cmocka_unit_test(test_derived), cmocka_unit_test(test_promises),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
