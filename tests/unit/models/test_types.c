/* SPDX-License-Identifier: MIT
 * test_types.c - every element type through the whole forward pass.
 * Truth: the reference kernels decode a weight and multiply in f32, so a file of any type must give
 * the very bits of an F32 file that holds its decoded values. The fast kernels are held against
 * that within what their rounding of activations costs. */
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

#define N_TOK 9
#define N_VOCAB 320
static const int32_t tokens[N_TOK] = {256, 17, 300, 5, 99, 270, 1, 203, 291};

static float *run(const char *path, glim_cpu_level level, glim_mla_form form)
{
    corefix x;
    corefix_open(&x, path, level, 2, N_TOK);
    float *l = corefix_logits(&x, (corefix_way){GLIM_F32, form, N_TOK}, tokens, N_TOK);
    corefix_close(&x);
    return l;
}

static const glim_mla_form forms[] = {GLIM_MLA_ABSORBED, GLIM_MLA_EXPANDED};

/* s has the type in some classes, the other spec its decoded values there. */
static void expect_decoded(const char *what, const toy_spec *s, const toy_spec *decoded,
                           glim_cpu_level top)
{
    char path[400], path2[400];
    toy_write(s, tmp.path, "type", path);
    toy_write(decoded, tmp.path, "decoded", path2);
    for (int level = 0; level <= (int)top; level++)
        for (size_t f = 0; f < GLIM_COUNT(forms); f++) {
            float *got = run(path, (glim_cpu_level)level, forms[f]),
                  *want = run(path2, (glim_cpu_level)level, forms[f]);
            corefix_same(what, got, want, N_TOK * N_VOCAB);
            glim_free(got);
            glim_free(want);
        }
}

static bool is_weight(int t)
{
    return glim_type_get((glim_type)t)->ggml_id >= 0;
}

static void test_ref_is_decoded(void **state)
{
    (void)state;
    for (int t = 0; t < GLIM_TYPE_COUNT; t++) {
        if (!is_weight(t) || t == GLIM_F32) continue;
        toy_spec a, b;
        toy_init_wide(&a);
        a.seed = (uint64_t)t;
        a.fused = t % 2;
        b = a;
        toy_types(&a, (glim_type)t);
        toy_via(&b, (glim_type)t);
        expect_decoded(glim_type_get((glim_type)t)->name, &a, &b, GLIM_CPU_REF);
    }
}

/* The old layout turns the keys round at load: other types become F32, F16 and BF16 stay. */
static void test_legacy_is_decoded(void **state)
{
    (void)state;
    static const glim_type types[] = {GLIM_F16, GLIM_BF16, GLIM_Q8_0, GLIM_Q5_0, GLIM_Q4_K};
    for (size_t i = 0; i < GLIM_COUNT(types); i++) {
        toy_spec a, b;
        toy_init_wide(&a);
        a.legacy = true;
        b = a;
        a.type[TOY_KV_B] = types[i];
        b.via[TOY_KV_B] = types[i];
        expect_decoded(glim_type_get(types[i])->name, &a, &b, GLIM_CPU_REF);
    }
}

/* Routers and vectors are converted to f32 at load, so that a router's inputs are never rounded: at
 * any level a file with a narrow router gives the bits of one with the decoded values. */
static void test_router_and_vectors(void **state)
{
    (void)state;
    static const glim_type types[] = {GLIM_F16, GLIM_BF16, GLIM_Q8_0, GLIM_Q4_K, GLIM_MXFP4};
    for (size_t i = 0; i < GLIM_COUNT(types); i++) {
        toy_spec a, b;
        toy_init_wide(&a);
        toy_types(&a, GLIM_BF16);
        b = a;
        a.type[TOY_ROUTER] = types[i];
        b.via[TOY_ROUTER] = types[i];
        if (types[i] == GLIM_F16 || types[i] == GLIM_BF16) {
            a.type[TOY_NORM] = types[i];
            b.via[TOY_NORM] = types[i];
        }
        expect_decoded(glim_type_get(types[i])->name, &a, &b, glim_cpu_best());
    }
}

/* Types of a real file, where neighbours want different activations. */
static void test_mixed(void **state)
{
    (void)state;
    static const glim_type types[TOY_ROUTER] = {
        [TOY_EMBED] = GLIM_Q6_K,    [TOY_HEAD] = GLIM_Q4_0,   [TOY_ATTN] = GLIM_Q5_K,
        [TOY_KV_B] = GLIM_BF16,     [TOY_FFN] = GLIM_IQ4_XS,  [TOY_SHARED] = GLIM_F16,
        [TOY_EXP_GATE] = GLIM_Q4_K, [TOY_EXP_UP] = GLIM_Q8_0, [TOY_EXP_DOWN] = GLIM_MXFP4,
    };
    toy_spec a, b;
    toy_init_wide(&a);
    b = a;
    memcpy(a.type, types, sizeof types);
    memcpy(b.via, types, sizeof types);
    expect_decoded("mixed", &a, &b, GLIM_CPU_REF);
    char path[400];
    toy_write(&a, tmp.path, "mixed", path);
    float *ref = run(path, GLIM_CPU_REF, GLIM_MLA_ABSORBED),
          *fast = run(path, glim_cpu_best(), GLIM_MLA_ABSORBED);
    assert_true(corefix_error(fast, ref, N_TOK, N_VOCAB, NULL) < 4e-2);
    glim_free(ref);
    glim_free(fast);
}

/* Fast kernels, by the activations they take. F32: only the order of sums differs. BF16: an input is
 * off by 2^-9 of itself at most. Blocks of 8 bits: by half of a 127th of the block's largest value,
 * which is twice the usual one in 32 and three times in 256: 0.5 % and 0.7 % of an output. Some dozen
 * matrices one behind the other make three times that, and a margin of two stays. The median position
 * counts: at single ones the router, which sees what came through rounded layers, may pick another
 * expert. */
static double tolerance(glim_type act)
{
    return act == GLIM_F32 ? 1e-5 : act == GLIM_BF16 ? 1e-2 : act == GLIM_Q8_0 ? 3e-2 : 4e-2;
}

static void test_fast(void **state)
{
    (void)state;
    for (int t = 0; t < GLIM_TYPE_COUNT; t++) {
        if (!is_weight(t)) continue;
        const char *name = glim_type_get((glim_type)t)->name;
        toy_spec s;
        char path[400];
        toy_init_wide(&s);
        s.seed = 100 + (uint64_t)t;
        toy_types(&s, (glim_type)t);
        toy_write(&s, tmp.path, "fast", path);
        for (size_t f = 0; f < GLIM_COUNT(forms); f++) {
            float *ref = run(path, GLIM_CPU_REF, forms[f]);
            for (int level = 1; level <= (int)glim_cpu_best(); level++) {
                glim_kernels k;
                double worst;
                glim_kernels_get((glim_cpu_level)level, &k);
                float *fast = run(path, (glim_cpu_level)level, forms[f]);
                double middle = corefix_error(fast, ref, N_TOK, N_VOCAB, &worst);
                if (getenv("GLIM_TEST_SHOW"))
                    print_message("%s %s: median %.2g, worst %.2g\n", name,
                                  glim_cpu_level_name(k.level), middle, worst);
                if (!(middle <= tolerance(k.act[t])))
                    fail_msg("%s at %s: %g, above %g", name, glim_cpu_level_name(k.level), middle,
                             tolerance(k.act[t]));
                glim_free(fast);
            }
            glim_free(ref);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ref_is_decoded),
        cmocka_unit_test(test_legacy_is_decoded),
        cmocka_unit_test(test_router_and_vectors),
        cmocka_unit_test(test_mixed),
        cmocka_unit_test(test_fast),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
