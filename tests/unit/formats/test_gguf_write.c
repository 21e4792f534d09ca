/* SPDX-License-Identifier: MIT
 * test_gguf_write.c - what the writer writes, the reader reads; wrong calls are refused and leave no
 * file. */
#include "golden.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "failnth.h"
#include "formats/formats_priv.h"
#include "tmpfolder.h"

static tmp_folder folder;
static char target[400];

static int set_up(void **state)
{
    (void)state;
    tmp_folder_make(&folder);
    tmp_path(&folder, "out.gguf", target);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tmp_folder_end(&folder);
    return 0;
}

static int count_files(void)
{
    int n = 0;
    DIR *d = opendir(folder.path);
    for (struct dirent *it; d && (it = readdir(d));)
        n += it->d_name[0] != '.';
    if (d) closedir(d);
    return n;
}

static glim_gguf_writer *create(void)
{
    glim_gguf_writer *w = NULL;
    glim_error e = {0};
    if (glim_gguf_create(target, &w, &e)) fail_msg("%s", e.msg);
    return w;
}

/* ---- one of everything ----------------------------------------------------------------------- */

static const uint8_t u8s[] = {1, 255};
static const int8_t i8s[] = {-1, 127};
static const uint16_t u16s[] = {1, 65535};
static const int16_t i16s[] = {-1, 32767};
static const uint32_t u32s[] = {1, UINT32_MAX};
static const int32_t i32s[] = {-1, INT32_MAX};
static const float f32s[] = {-0.5f, 1e30f};
static const bool bools[] = {true, false};
static const uint64_t u64s[] = {1, UINT64_MAX};
static const int64_t i64s[] = {-1, INT64_MIN};
static const double f64s[] = {-0.5, 1e300};
static const glim_str strs[] = {{"", 0}, {"a\0b", 3}};

static const struct {
    const char *name;
    glim_gguf_type type;
    const void *v;
    size_t size;
} values[] = {
    {"u8", GLIM_GGUF_U8, u8s, 1},    {"i8", GLIM_GGUF_I8, i8s, 1},
    {"u16", GLIM_GGUF_U16, u16s, 2}, {"i16", GLIM_GGUF_I16, i16s, 2},
    {"u32", GLIM_GGUF_U32, u32s, 4}, {"i32", GLIM_GGUF_I32, i32s, 4},
    {"f32", GLIM_GGUF_F32, f32s, 4}, {"bool", GLIM_GGUF_BOOL, bools, sizeof(bool)},
    {"u64", GLIM_GGUF_U64, u64s, 8}, {"i64", GLIM_GGUF_I64, i64s, 8},
    {"f64", GLIM_GGUF_F64, f64s, 8}, {"str", GLIM_GGUF_STR, strs, sizeof(glim_str)},
};

static const struct {
    const char *name;
    glim_type type;
    int n_dim;
    int64_t ne[4];
    size_t n_bytes;
} tensors[] = {
    {"one", GLIM_F32, 1, {1}, 4},
    {"f16", GLIM_F16, 2, {3, 5}, 30},
    {"q4_k", GLIM_Q4_K, 3, {512, 2, 3}, 2 * 6 * 144},
    {"q8_0", GLIM_Q8_0, 4, {32, 2, 1, 2}, 4 * 34},
    {"last", GLIM_BF16, 2, {7, 3}, 42},
};

static uint8_t byte_of(size_t i_tensor, size_t k)
{
    return (uint8_t)(31 * i_tensor + 7 * k + k / 251);
}

/* Writes everything; data in pieces of `piece` bytes. */
static glim_err write_everything(uint32_t align, size_t piece, glim_error *e)
{
    glim_gguf_writer *w = NULL;
    glim_err rc = glim_gguf_create(target, &w, e);
    if (rc) return rc;
    glim_gguf_put_str(w, "general.architecture", GLIM_STR("test"));
    if (align) glim_gguf_put_u32(w, "general.alignment", align);
    for (size_t i = 0; i < GLIM_COUNT(values); i++) {
        char key[32];
        glim_gguf_put(w, values[i].name, values[i].type, values[i].v);
        snprintf(key, sizeof key, "%s.list", values[i].name);
        glim_gguf_put_array(w, key, values[i].type, values[i].v, 2);
        snprintf(key, sizeof key, "%s.none", values[i].name);
        glim_gguf_put_array(w, key, values[i].type, NULL, 0);
    }
    for (size_t i = 0; i < GLIM_COUNT(tensors); i++)
        glim_gguf_add_tensor(w, glim_str_of(tensors[i].name), tensors[i].type, tensors[i].n_dim,
                             tensors[i].ne);
    rc = glim_gguf_begin_data(w, e);
    uint64_t total = glim_gguf_writer_bytes(w);
    for (size_t i = 0; !rc && i < GLIM_COUNT(tensors); i++)
        for (size_t k = 0; !rc && k < tensors[i].n_bytes; k += piece) {
            uint8_t bytes[4096];
            size_t n = GLIM_MIN(piece, tensors[i].n_bytes - k);
            for (size_t j = 0; j < n; j++)
                bytes[j] = byte_of(i, k + j);
            rc = glim_gguf_write(w, bytes, n, e);
        }
    if (!rc) rc = glim_gguf_finish(w, e);
    glim_gguf_writer_free(w);
    struct stat st;
    if (!rc && (stat(target, &st) != 0 || (uint64_t)st.st_size != total))
        fail_msg("%llu bytes were announced", (unsigned long long)total);
    return rc;
}

static void check_number(const char *key, const glim_meta *m, size_t i)
{
    if (!m) fail_msg("%s is missing", key);
    uint64_t u;
    double d;
    bool b;
    glim_str s;
    switch (values[i].type) {
    case GLIM_GGUF_F32:
        assert_true(glim_meta_f64(m, &d) && d == (double)f32s[0]);
        break;
    case GLIM_GGUF_F64:
        assert_true(glim_meta_f64(m, &d) && d == f64s[0]);
        break;
    case GLIM_GGUF_BOOL:
        assert_true(glim_meta_bool(m, &b) && b);
        break;
    case GLIM_GGUF_STR:
        assert_true(glim_meta_str(m, &s) && s.n == 0);
        break;
    case GLIM_GGUF_I8:
    case GLIM_GGUF_I16:
    case GLIM_GGUF_I32:
    case GLIM_GGUF_I64:
        assert_int_equal(m->type, GLIM_META_I64);
        assert_int_equal(m->i64, -1);
        break;
    default:
        assert_true(glim_meta_u64(m, &u) && u == 1);
    }
}

/* The second element, which is the type's extreme. */
static void check_list(const glim_meta *m, size_t i)
{
    glim_meta_iter it = {.m = m};
    glim_str s;
    double d;
    int64_t v;
    assert_non_null(m);
    assert_int_equal(m->n_elem, 2);
    assert_int_equal(m->elem_vtype, values[i].type);
    switch (values[i].type) {
    case GLIM_GGUF_STR:
        assert_true(glim_meta_next_str(&it, &s) && glim_meta_next_str(&it, &s));
        assert_true(glim_str_eq(s, strs[1]));
        break;
    case GLIM_GGUF_F32:
    case GLIM_GGUF_F64:
        assert_true(glim_meta_next_f64(&it, &d) && glim_meta_next_f64(&it, &d));
        assert_true(d == (values[i].type == GLIM_GGUF_F32 ? (double)f32s[1] : f64s[1]));
        break;
    default:
        assert_true(glim_meta_next_i64(&it, &v) && glim_meta_next_i64(&it, &v));
        const int64_t want[GLIM_GGUF_TYPE_COUNT] = {
            [GLIM_GGUF_U8] = 255,        [GLIM_GGUF_I8] = 127,         [GLIM_GGUF_U16] = 65535,
            [GLIM_GGUF_I16] = 32767,     [GLIM_GGUF_U32] = UINT32_MAX, [GLIM_GGUF_I32] = INT32_MAX,
            [GLIM_GGUF_BOOL] = 0,        [GLIM_GGUF_U64] = INT64_MAX, /* the iterator's end */
            [GLIM_GGUF_I64] = INT64_MIN,
        };
        assert_true(v == want[values[i].type]);
    }
    assert_false(glim_meta_next_str(&it, &s));
}

static void round_trip(void **state)
{
    (void)state;
    static const uint32_t aligns[] = {0, 8, 32, 4096};
    static const size_t pieces[] = {1, 34, 4096};
    for (size_t a = 0; a < GLIM_COUNT(aligns); a++)
        for (size_t p = 0; p < GLIM_COUNT(pieces); p++) {
            glim_error e = {0};
            glim_modelfile *f;
            if (write_everything(aligns[a], pieces[p], &e)) fail_msg("%s", e.msg);
            if (glim_modelfile_open(target, 0, &f, &e)) fail_msg("%s", e.msg);
            for (size_t i = 0; i < GLIM_COUNT(values); i++) {
                char key[32];
                check_number(values[i].name, glim_modelfile_meta(f, values[i].name), i);
                snprintf(key, sizeof key, "%s.list", values[i].name);
                check_list(glim_modelfile_meta(f, key), i);
                snprintf(key, sizeof key, "%s.none", values[i].name);
                const glim_meta *none = glim_modelfile_meta(f, key);
                assert_true(none && none->n_elem == 0);
            }
            assert_int_equal(glim_modelfile_n_tensor(f), GLIM_COUNT(tensors));
            for (size_t i = 0; i < GLIM_COUNT(tensors); i++) {
                const glim_tensor *t = glim_modelfile_tensor(f, i);
                assert_true(glim_str_is(t->name, tensors[i].name));
                assert_int_equal(t->type, tensors[i].type);
                assert_int_equal(t->n_dim, tensors[i].n_dim);
                assert_int_equal(t->n_bytes, tensors[i].n_bytes);
                for (int k = 0; k < tensors[i].n_dim; k++)
                    assert_int_equal(t->ne[k], tensors[i].ne[k]);
                for (size_t k = 0; k < t->n_bytes; k++)
                    if (t->data[k] != byte_of(i, k)) fail_msg("tensor %zu byte %zu", i, k);
            }
            glim_modelfile_close(f);
            assert_int_equal(count_files(), 1);
        }
}

/* No tensor at all is a file too (a vocabulary alone). */
static void metadata_only(void **state)
{
    (void)state;
    glim_error e = {0};
    glim_modelfile *f;
    glim_gguf_writer *w = create();
    glim_gguf_put_bool(w, "yes", true);
    glim_gguf_put_f32(w, "half", 0.5f);
    assert_int_equal(glim_gguf_begin_data(w, &e), GLIM_OK);
    assert_int_equal(glim_gguf_finish(w, &e), GLIM_OK);
    glim_gguf_writer_free(w);
    if (glim_modelfile_open(target, 0, &f, &e)) fail_msg("%s", e.msg);
    assert_int_equal(glim_modelfile_n_tensor(f), 0);
    assert_int_equal(glim_modelfile_n_meta(f), 2);
    glim_modelfile_close(f);
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void expect_begin(glim_gguf_writer *w, glim_err rc, const char *says)
{
    glim_error e = {0};
    assert_int_equal(glim_gguf_begin_data(w, &e), rc);
    assert_int_equal(e.code, rc);
    if (!strstr(e.msg, says)) fail_msg("%s", e.msg);
    glim_gguf_writer_free(w);
    assert_int_equal(count_files(), 0);
}

static void refused(void **state)
{
    (void)state;
    const int64_t ne[4] = {32, 1, 1, 1};
    char long_name[1100];
    memset(long_name, 'x', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = 0;
    glim_gguf_writer *w = create();
    glim_gguf_put_u32(w, "a", 1);
    glim_gguf_put_u32(w, "a", 2);
    glim_gguf_put_u32(w, "", 2); /* the first error is the one that is told */
    expect_begin(w, GLIM_E_INPUT, "\"a\" is given twice");
    w = create();
    glim_gguf_put_u32(w, "", 2);
    expect_begin(w, GLIM_E_INPUT, "key of 0 bytes");
    w = create();
    glim_gguf_add_tensor(w, GLIM_STR("t"), GLIM_F32, 1, ne);
    glim_gguf_add_tensor(w, GLIM_STR("t"), GLIM_F32, 1, ne);
    expect_begin(w, GLIM_E_INPUT, "\"t\" is given twice");
    w = create();
    glim_gguf_add_tensor(w, glim_str_of(long_name), GLIM_F32, 1, ne);
    expect_begin(w, GLIM_E_INPUT, "1 to 1024");
    w = create();
    glim_gguf_add_tensor(w, GLIM_STR("t"), GLIM_F32, 1, ne);
    glim_gguf_put_u32(w, "general.alignment", 64);
    expect_begin(w, GLIM_E_STATE, "after a tensor");

    static const uint32_t aligns[] = {0, 4, 33, 1u << 21};
    for (size_t i = 0; i < GLIM_COUNT(aligns); i++) {
        w = create();
        glim_gguf_put_u32(w, "general.alignment", aligns[i]);
        expect_begin(w, GLIM_E_INPUT, "power of two");
    }
    static const struct {
        glim_type type;
        int n_dim;
        int64_t ne[4];
    } shapes[] = {
        {GLIM_F32, 0, {1}},
        {GLIM_F32, 5, {1, 1, 1, 1}},
        {GLIM_F32, 1, {0}},
        {GLIM_F32, 2, {1, -1}},
        {GLIM_Q4_K, 1, {128}},
        {GLIM_Q8_0, 2, {16, 2}}, /* a row must be whole blocks */
        {GLIM_F32, 4, {1 << 20, 1 << 20, 1 << 20, 1 << 20}},
        {GLIM_Q8_K, 1, {256}}, /* never in a file */
    };
    for (size_t i = 0; i < GLIM_COUNT(shapes); i++) {
        w = create();
        glim_gguf_add_tensor(w, GLIM_STR("t"), shapes[i].type, shapes[i].n_dim, shapes[i].ne);
        expect_begin(w, GLIM_E_INPUT, "not possible");
    }
}

static void wrong_order(void **state)
{
    (void)state;
    const int64_t ne[4] = {4, 1, 1, 1};
    const float v[8] = {0};
    glim_error e = {0};
    glim_gguf_writer *w = create();
    glim_gguf_add_tensor(w, GLIM_STR("t"), GLIM_F32, 1, ne);
    assert_int_equal(glim_gguf_write(w, v, 4, &e), GLIM_E_STATE);
    assert_int_equal(glim_gguf_finish(w, &e), GLIM_E_STATE);
    assert_int_equal(glim_gguf_begin_data(w, &e), GLIM_OK);
    assert_int_equal(glim_gguf_begin_data(w, &e), GLIM_E_STATE);
    assert_int_equal(glim_gguf_write(w, v, 17, &e), GLIM_E_STATE);
    assert_int_equal(glim_gguf_write(w, v, 12, &e), GLIM_OK);
    assert_int_equal(glim_gguf_finish(w, &e), GLIM_E_STATE);
    assert_int_equal(glim_gguf_write(w, v, 4, &e), GLIM_OK);
    assert_int_equal(glim_gguf_write(w, v, 1, &e), GLIM_E_STATE);
    assert_int_equal(glim_gguf_write(w, v, 0, &e), GLIM_OK);
    glim_gguf_writer_free(w); /* not finished: nothing is there */
    assert_int_equal(count_files(), 0);
    glim_gguf_writer_free(NULL);
}

static void full_disk(void **state)
{
    (void)state;
    struct rlimit old, small;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    for (rlim_t limit = 0; limit < 3200; limit += 97) {
        glim_error e = {0};
        small = old;
        small.rlim_cur = limit;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        glim_err rc = write_everything(0, 100, &e);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
        assert_int_equal(rc, GLIM_E_IO);
        if (!strstr(e.msg, "File too large")) fail_msg("%s", e.msg);
        assert_int_equal(count_files(), 0);
    }
    glim_gguf_writer *w;
    glim_error e = {0};
    assert_int_equal(glim_gguf_create("/proc/none.gguf", &w, &e), GLIM_E_NOTFOUND);
}

static void no_memory(void **state)
{
    (void)state;
    for (int64_t n = 0;; n++) {
        fail_nth f;
        glim_error e = {0};
        fail_nth_begin(&f, n);
        glim_err rc = write_everything(0, 4096, &e);
        fail_nth_end();
        if (!rc) {
            assert_true(n > 5);
            break;
        }
        assert_int_equal(rc, GLIM_E_NOMEM);
        assert_true(e.msg[0] != 0);
        assert_int_equal(count_files(), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(round_trip, set_up, tear_down),
        cmocka_unit_test_setup_teardown(metadata_only, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(wrong_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(full_disk, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_memory, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
