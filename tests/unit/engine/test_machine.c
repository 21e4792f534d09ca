/* SPDX-License-Identifier: MIT
 * test_machine.c - measuring the machine: shape of the result, never its speed; options out of
 * range, cancelling, files, memory that fails. Also the bytes a step reads, which a speed is
 * compared with. */
#include "engine/engine_int.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <stdlib.h>
#include <unistd.h>

#include "demo.h"
#include "failnth.h"

static glim_machine_opts small(void)
{
    glim_machine_opts o;
    glim_machine_opts_init(&o);
    o.read_bytes = (size_t)1 << 20;
    o.cpu = "ref";
    return o;
}

static void test_points(void **state)
{
    (void)state;
    static const struct {
        int n_thread;
        bool alone;
        int n, counts[4];
    } cases[] = {
        {1, false, 1, {1}}, {2, false, 2, {1, 2}}, {3, false, 3, {1, 2, 3}}, {2, true, 1, {2}}};
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        glim_machine_opts o = small();
        glim_machine m;
        glim_error e = {0};
        o.what = GLIM_MEASURE_READ;
        o.n_thread = cases[i].n_thread;
        o.alone = cases[i].alone;
        assert_int_equal(glim_machine_measure(&o, &m, &e), GLIM_OK);
        assert_int_equal(m.n_point, cases[i].n);
        for (int k = 0; k < m.n_point; k++) {
            assert_int_equal(m.point[k].n_thread, cases[i].counts[k]);
            assert_true(m.point[k].read_bytes_s > 0);
            assert_true(m.point[k].f32_ops_s == 0 && m.point[k].barrier_ns == 0);
        }
        assert_int_equal(m.read_size_bytes, 1 << 20);
        assert_true(m.disk_bytes_s == 0);
    }
}

static void test_all(void **state)
{
    (void)state;
    glim_machine_opts o = small();
    glim_machine m;
    glim_error e = {0};
    o.n_thread = 2;
    o.alone = true;
    o.file = DEMO_GGUF;
    assert_int_equal(glim_machine_measure(&o, &m, &e), GLIM_OK);
    const glim_machine_point *p = &m.point[0];
    assert_true(p->read_bytes_s > 0 && p->q4_k_ops_s > 0 && p->q8_0_ops_s > 0);
    assert_true(p->bf16_ops_s > 0 && p->f32_ops_s > 0 && p->barrier_ns > 0);
    assert_true(m.disk_bytes_s > 0);
    assert_true(m.disk_random_bytes_s == 0); /* the file is too small for it */
    assert_string_equal(m.cpu, "ref");
}

/* A file longer than the random reads need, so long that it does not lie on the disk at all. */
static void test_random_reads(void **state)
{
    (void)state;
    char path[] = "/tmp/glim-machine-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0 && ftruncate(fd, (off_t)100 << 20) == 0);
    close(fd);
    glim_machine_opts o = small();
    glim_machine m;
    glim_error e = {0};
    o.what = GLIM_MEASURE_DISK;
    o.file = path;
    assert_int_equal(glim_machine_measure(&o, &m, &e), GLIM_OK);
    assert_true(m.disk_random_bytes_s > 0);
    unlink(path);
}

static bool no(void *user)
{
    (void)user;
    return false;
}

static void test_errors(void **state)
{
    (void)state;
    glim_machine_opts o = small();
    glim_machine m;
    glim_error e = {0};
    o.go_on = no;
    o.n_thread = 1;
    assert_int_equal(glim_machine_measure(&o, &m, &e), GLIM_E_CANCELLED);
    o = small();
    o.n_thread = 2000;
    assert_int_equal(glim_machine_measure(&o, &m, &e), GLIM_E_INPUT);
    o = small();
    o.cpu = "sse9";
    assert_int_equal(glim_machine_measure(&o, &m, &e), GLIM_E_INPUT);
    assert_non_null(strstr(e.msg, "sse9"));
    o = small();
    o.what = GLIM_MEASURE_DISK;
    o.file = GLIM_SOURCE_DIR "/no such file";
    assert_int_equal(glim_machine_measure(&o, &m, &e), GLIM_E_NOTFOUND);
    o.file = GLIM_SOURCE_DIR;
    assert_int_equal(glim_machine_measure(&o, &m, &e), GLIM_E_IO);
    o.file = NULL;
    assert_int_equal(glim_machine_measure(&o, &m, &e), GLIM_OK);
}

static void test_memory(void **state)
{
    (void)state;
    glim_machine_opts o = small();
    glim_machine m;
    o.n_thread = 2;
    o.file = TINY_DIR "/config.json";
    o.what = GLIM_MEASURE_READ | GLIM_MEASURE_DISK;
    int64_t n = 0;
    for (bool done = false; !done; n++) {
        fail_nth f;
        fail_nth_begin(&f, n);
        glim_err rc = glim_machine_measure(&o, &m, NULL);
        fail_nth_end();
        done = !fail_nth_hit(&f);
        assert_int_equal(rc, done ? GLIM_OK : GLIM_E_NOMEM);
    }
    assert_true(n > 5);
}

/* The bundled model by hand: of every matrix its bytes, 2 of 8 experts, one row of the embedding;
 * nothing of the prediction layer. */
static void test_step_bytes(void **state)
{
    (void)state;
    glim_modelfile *f;
    glim_model *m;
    glim_error e = {0};
    uint64_t n = 0;
    assert_int_equal(glim_modelfile_open(DEMO_GGUF, 0, &f, &e), GLIM_OK);
    for (size_t i = 0; i < glim_modelfile_n_tensor(f); i++) {
        const glim_tensor *t = glim_modelfile_tensor(f, i);
        if (t->n_dim < 2 || glim_str_starts(t->name, S("blk.6."))) continue;
        if (glim_str_is(t->name, "token_embd.weight"))
            n += t->n_bytes / (uint64_t)t->ne[1];
        else
            n += glim_str_find(t->name, S("_exps")) < t->name.n ? t->n_bytes * 2 / 8 : t->n_bytes;
    }
    glim_modelfile_close(f);
    OPEN_MODEL(DEMO_GGUF, NULL, &m);
    assert_int_equal(glim_model_get_info(m)->step_bytes, n);
    assert_true(n > 7000000 && n < 7050000); /* 6.6 million weights of 34 bytes for 32 */
    glim_model_close(m);
}

static void test_known_architectures(void **state)
{
    (void)state;
    assert_true(glim_arch_named(GLIM_STR("deepseek2")));
    assert_true(glim_arch_named(GLIM_STR("glm4_moe_lite")));
    assert_false(glim_arch_named(GLIM_STR("deepseek")));
    assert_false(glim_arch_named(GLIM_STR("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_points),
        cmocka_unit_test(test_all),
        cmocka_unit_test(test_random_reads),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_step_bytes),
        cmocka_unit_test(test_known_architectures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
