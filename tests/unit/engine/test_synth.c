/* SPDX-License-Identifier: MIT
 * test_synth.c - files with random weights: the same for any number of threads, accepted by the
 * loader, with logits of a sane size; nothing is left behind by what fails. */
#include "golden.h"

#include <math.h>

#include "demo.h"
#include "failnth.h"
#include "tmpfolder.h"

static tmp_folder tmp;
static char target[400];

static int setup(void **state)
{
    (void)state;
    tmp_folder_make(&tmp);
    tmp_path(&tmp, "s.gguf", target);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    tmp_folder_end(&tmp);
    return 0;
}

static glim_synth_opts opts_of(const char *type, int64_t n_layer, int n_thread)
{
    glim_synth_opts o;
    glim_synth_opts_init(&o);
    assert_int_equal(o.size, sizeof o);
    o.arch = "glim-demo";
    o.type = type;
    o.n_layer = n_layer;
    o.n_thread = n_thread;
    o.vocab = DEMO_GGUF;
    return o;
}

static void write_it(const glim_synth_opts *o)
{
    glim_error e = {0};
    if (glim_synth_write(target, o, &e)) fail_msg("%s", e.msg);
}

static void same_for_all_threads(void **state)
{
    (void)state;
    size_t n[2];
    void *bytes[2];
    for (int i = 0; i < 2; i++) {
        glim_synth_opts o = opts_of("q4_k_m", 3, i ? 3 : 1);
        write_it(&o);
        bytes[i] = golden_read(target, &n[i]);
    }
    assert_int_equal(n[0], n[1]);
    assert_true(memcmp(bytes[0], bytes[1], n[0]) == 0);
    free(bytes[0]);
    free(bytes[1]);
    assert_int_equal(unlink(target), 0);
}

typedef struct seen {
    int n;
    double mean, std;
    bool finite;
} seen;

static bool look(void *user, int64_t pos, const float *x, size_t n)
{
    seen *s = user;
    double sum = 0, square = 0;
    (void)pos;
    s->finite = true;
    for (size_t i = 0; i < n; i++) {
        s->finite &= isfinite(x[i]);
        sum += (double)x[i];
        square += (double)x[i] * (double)x[i];
    }
    s->mean = sum / (double)n;
    s->std = sqrt(square / (double)n - s->mean * s->mean);
    s->n++;
    return true;
}

static void runs(void **state)
{
    (void)state;
    static const struct {
        const char *type, *mix;
    } cases[] = {
        {"q4_k_m", NULL}, {"q4_k_m", "unsloth"}, {"Q8_0", NULL}, {"bf16", NULL}, {"f32", NULL}};
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        glim_synth_opts o = opts_of(cases[i].type, 0, 2);
        glim_error e = {0};
        glim_model *m;
        glim_session *s;
        glim_tokens ids;
        seen got = {0};
        o.mix = cases[i].mix;
        write_it(&o);
        OPEN_MODEL(target, NULL, &m);
        const glim_model_info *info = glim_model_get_info(m);
        assert_int_equal(info->n_layer, 6);
        assert_int_equal(info->n_vocab, 5120);
        assert_non_null(strstr(info->name, "glim synth"));
        assert_string_equal(info->template_name, "glm-4.7-flash");
        assert_true(glim_token_is_stop(glim_model_vocab(m), 5084));
        if (glim_tokenize(glim_model_vocab(m), S("<|user|>Hello there"), true, &ids, &e))
            fail_msg("%s", e.msg);
        assert_int_equal(ids.ids[0], 5091);
        if (glim_session_new(m, &s, &e)) fail_msg("%s", e.msg);
        if (glim_session_eval(s, ids.ids, ids.n, true, look, &got, &e)) fail_msg("%s", e.msg);
        assert_int_equal(got.n, ids.n);
        assert_true(got.finite);
        if (got.std < 2 || got.std > 4) fail_msg("%s: logits of std %g", cases[i].type, got.std);
        glim_tokens_free(&ids);
        glim_session_free(s);
        glim_model_close(m);
        assert_int_equal(unlink(target), 0);
    }
}

/* ---- failures -------------------------------------------------------------------------------- */

static void expect_nothing(void)
{
    DIR *d = opendir(tmp.path);
    assert_non_null(d);
    for (struct dirent *it; (it = readdir(d));)
        if (it->d_name[0] != '.') fail_msg("%s is left behind", it->d_name);
    closedir(d);
}

static bool stop_at(void *user, uint64_t done, uint64_t total)
{
    assert_true(done <= total);
    return --*(int *)user > 0;
}

static void refused(void **state)
{
    (void)state;
    glim_synth_opts o;
    glim_error e = {0};
    for (int after = 1; after <= 3; after++) {
        int left = after;
        o = opts_of("q4_k_m", 2, 1);
        o.progress = stop_at;
        o.progress_user = &left;
        assert_int_equal(glim_synth_write(target, &o, &e), GLIM_E_CANCELLED);
        expect_nothing();
    }
    o = opts_of("q4_k_m", 1, 1);
    o.vocab = NULL;
    assert_int_equal(glim_synth_write(target, &o, &e), GLIM_E_INPUT);
    assert_int_equal(glim_synth_write(target, NULL, &e), GLIM_E_INPUT);
    o.vocab = "/no/such/file.gguf";
    assert_int_equal(glim_synth_write(target, &o, &e), GLIM_E_NOTFOUND);
    o.vocab = TINY_DIR; /* a folder has no keys to take */
    assert_int_equal(glim_synth_write(target, &o, &e), GLIM_E_INPUT);
    o = opts_of("q3", 1, 1);
    assert_int_equal(glim_synth_write(target, &o, &e), GLIM_E_UNSUPPORTED);
    o = opts_of("f32", 1, 1);
    assert_int_equal(glim_synth_write("/no/such/folder/x.gguf", &o, &e), GLIM_E_NOTFOUND);
    expect_nothing();
}

static void no_memory(void **state)
{
    (void)state;
    const glim_synth_opts o = opts_of("q4_k_m", 1, 2);
    for (int64_t n = 0;; n++) {
        fail_nth f;
        glim_error e = {0};
        fail_nth_begin(&f, n);
        glim_err rc = glim_synth_write(target, &o, &e);
        fail_nth_end();
        if (!rc) {
            assert_true(n > 20);
            assert_int_equal(unlink(target), 0);
            break;
        }
        assert_int_equal(rc, GLIM_E_NOMEM);
        assert_true(e.msg[0] != 0);
        expect_nothing();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_for_all_threads),
        cmocka_unit_test(runs),
        cmocka_unit_test(refused),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
