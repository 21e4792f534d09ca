/* SPDX-License-Identifier: MIT
 * test_gguf.c - GGUF in memory: what is read, and that every way of being wrong is refused with its
 * place. */
#include "golden.h"

#include "failnth.h"
#include "formats/formats_priv.h"
#include "ggufbuild.h"

static const uint64_t shape_64[] = {32, 2};

/* Opens a copy that ends at the end of its block, so that the sanitizer sees one byte too many. */
static glim_err open_bytes(const void *p, size_t n, glim_modelfile **f, glim_error *e)
{
    static uint8_t *kept;
    free(kept);
    kept = malloc(n ? n : 1);
    assert_non_null(kept);
    memcpy(kept, p, n);
    *e = (glim_error){0};
    *f = NULL;
    glim_err rc = glim_modelfile_open_mem(GLIM_CONTAINER_GGUF, "t.gguf", kept, n, f, e);
    assert_int_equal(rc, e->code);
    if (rc) {
        assert_null(*f);
        assert_true(strstr(e->msg, "t.gguf") != NULL);
        free(kept);
        kept = NULL;
    }
    return rc;
}

/* One of everything. */
static void whole_file(glim_buf *b)
{
    gb_header(b, 3, 3, 17);
    gb_kv_str(b, "general.architecture", "deepseek2");
    static const struct {
        const char *key;
        uint32_t vtype;
        size_t n;
        uint8_t raw[8];
    } scalars[] = {
        {"u8", GV_U8, 1, {200}},
        {"i8", GV_I8, 1, {0xff}},
        {"u16", GV_U16, 2, {0x34, 0x12}},
        {"i16", GV_I16, 2, {0xfe, 0xff}},
        {"u32", GV_U32, 4, {0, 0, 0, 0x80}},
        {"i32", GV_I32, 4, {5, 0, 0, 0}},
        {"f32", GV_F32, 4, {0, 0, 0x80, 0x3f}},
        {"bool", GV_BOOL, 1, {1}},
        {"u64", GV_U64, 8, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}},
        {"i64", GV_I64, 8, {0, 0, 0, 0, 0, 0, 0, 0x80}},
        {"f64", GV_F64, 8, {0, 0, 0, 0, 0, 0, 0xf0, 0x3f}},
    };
    for (size_t i = 0; i < GLIM_COUNT(scalars); i++) {
        gb_str(b, scalars[i].key);
        gb_u32(b, scalars[i].vtype);
        gb_raw(b, scalars[i].raw, scalars[i].n);
    }
    gb_str(b, "strings");
    gb_u32(b, GV_ARRAY);
    gb_u32(b, GV_STR);
    gb_u64(b, 3);
    gb_str(b, "a");
    gb_str(b, "");
    gb_str(b, "ccc");
    gb_str(b, "ints");
    gb_u32(b, GV_ARRAY);
    gb_u32(b, GV_I16);
    gb_u64(b, 2);
    gb_raw(b, "\xff\xff\x07\x00", 4);
    gb_str(b, "floats");
    gb_u32(b, GV_ARRAY);
    gb_u32(b, GV_F32);
    gb_u64(b, 1);
    gb_raw(b, "\0\0\x80\x3f", 4);
    gb_str(b, "empty");
    gb_u32(b, GV_ARRAY);
    gb_u32(b, GV_U64);
    gb_u64(b, 0);
    gb_kv_u32(b, "general.alignment", 64);
    gb_tensor(b, "w", 2, shape_64, 8, 64);                  /* Q8_0, 68 bytes */
    gb_tensor(b, "b", 1, (uint64_t[]){5}, 0, 0);            /* F32, 20 bytes */
    gb_tensor(b, "x", 4, (uint64_t[]){1, 1, 1, 3}, 1, 192); /* F16, 6 bytes */
    gb_pad(b, 64);
    gb_fill(b, 198);
}

static void reads_all_types(void **state)
{
    (void)state;
    glim_buf b;
    glim_modelfile *f;
    glim_error e;
    whole_file(&b);
    if (open_bytes(b.p, b.n, &f, &e)) fail_msg("%s", e.msg);
    assert_int_equal(glim_modelfile_n_meta(f), 17);
    assert_int_equal(glim_modelfile_bytes(f), b.n);
    assert_string_equal(glim_modelfile_path(f), "t.gguf");

    static const struct {
        const char *key;
        bool is_u64, is_f64;
        uint64_t u64;
        double f64;
    } want[] = {{"u8", true, true, 200, 200},
                {"i8", false, true, 0, -1},
                {"u16", true, true, 0x1234, 0x1234},
                {"i16", false, true, 0, -2},
                {"u32", true, true, 0x80000000u, 0x80000000u},
                {"i32", true, true, 5, 5},
                {"f32", false, true, 0, 1},
                {"bool", false, false, 0, 0},
                {"u64", true, true, UINT64_MAX, 0x1p64},
                {"i64", false, true, 0, -0x1p63},
                {"f64", false, true, 0, 1},
                {"strings", false, false, 0, 0},
                {"absent", false, false, 0, 0}};
    for (size_t i = 0; i < GLIM_COUNT(want); i++) {
        const glim_meta *m = glim_modelfile_meta(f, want[i].key);
        uint64_t u = 0;
        double d = 0;
        assert_int_equal(glim_meta_u64(m, &u), want[i].is_u64);
        assert_int_equal(glim_meta_f64(m, &d), want[i].is_f64);
        if (want[i].is_u64) assert_true(u == want[i].u64);
        if (want[i].is_f64) assert_true(d == want[i].f64);
    }
    bool yes;
    glim_str s;
    assert_true(glim_meta_bool(glim_modelfile_meta(f, "bool"), &yes) && yes);
    assert_false(glim_meta_bool(glim_modelfile_meta(f, "u8"), &yes));
    assert_true(glim_meta_str(glim_modelfile_meta(f, "general.architecture"), &s));
    assert_true(glim_str_is(s, "deepseek2"));
    assert_false(glim_meta_str(NULL, &s));

    glim_meta_iter it = {.m = glim_modelfile_meta(f, "strings")};
    int64_t v;
    double d;
    assert_false(glim_meta_next_i64(&it, &v));
    assert_false(glim_meta_next_f64(&it, &d));
    assert_true(glim_meta_next_str(&it, &s) && glim_str_is(s, "a"));
    assert_true(glim_meta_next_str(&it, &s) && s.n == 0);
    assert_true(glim_meta_next_str(&it, &s) && glim_str_is(s, "ccc"));
    assert_false(glim_meta_next_str(&it, &s));
    it = (glim_meta_iter){.m = glim_modelfile_meta(f, "ints")};
    assert_false(glim_meta_next_str(&it, &s));
    assert_true(glim_meta_next_i64(&it, &v) && v == -1);
    assert_true(glim_meta_next_f64(&it, &d) && d == 7);
    assert_false(glim_meta_next_i64(&it, &v));
    it = (glim_meta_iter){.m = glim_modelfile_meta(f, "floats")};
    assert_false(glim_meta_next_i64(&it, &v));
    assert_true(glim_meta_next_f64(&it, &d) && d == 1);
    it = (glim_meta_iter){.m = glim_modelfile_meta(f, "empty")};
    assert_false(glim_meta_next_i64(&it, &v));
    it = (glim_meta_iter){.m = glim_modelfile_meta(f, "u8")};
    assert_false(glim_meta_next_i64(&it, &v));

    const glim_tensor *w = glim_modelfile_find(f, GLIM_STR("w"));
    assert_non_null(w);
    assert_int_equal(w->type, GLIM_Q8_0);
    assert_int_equal(w->n_dim, 2);
    assert_int_equal(w->ne[0] * 100 + w->ne[1] * 10 + w->ne[2] + w->ne[3], 3222);
    assert_int_equal(w->n_bytes, 68);
    const glim_tensor *bias = glim_modelfile_find(f, GLIM_STR("b"));
    assert_int_equal(w->data - bias->data, 64);
    assert_int_equal(bias->data[3], 3);
    assert_int_equal(glim_modelfile_find(f, GLIM_STR("x"))->ne[3], 3);
    glim_modelfile_close(f);
    glim_buf_deinit(&b);
}

/* Cut anywhere, the file is refused; whatever single byte is changed, nothing breaks. */
static void cut_and_flip(void **state)
{
    (void)state;
    glim_buf b;
    glim_modelfile *f;
    glim_error e;
    whole_file(&b);
    for (size_t n = 0; n < b.n; n++) {
        assert_int_equal(open_bytes(b.p, n, &f, &e), GLIM_E_FORMAT);
        assert_true(e.offset == GLIM_NO_OFFSET || e.offset <= b.n);
    }
    static const uint8_t values[] = {0, 1, 9, 0x7f, 0x80, 0xff};
    for (size_t i = 0; i < b.n; i++) {
        const char old = b.p[i];
        for (size_t k = 0; k < GLIM_COUNT(values); k++) {
            b.p[i] = (char)values[k];
            if (!open_bytes(b.p, b.n, &f, &e)) glim_modelfile_close(f);
        }
        b.p[i] = old;
    }
    glim_buf_deinit(&b);
}

typedef struct bad {
    const char *what; /* part of the message */
    glim_err code;
    void (*make)(glim_buf *b);
} bad;

static void no_magic(glim_buf *b)
{
    gb_header(b, 3, 0, 0);
    b->p[0] = 'X';
}
static void version_1(glim_buf *b)
{
    gb_header(b, 1, 0, 0);
}
static void version_4(glim_buf *b)
{
    gb_header(b, 4, 0, 0);
}
static void big_endian(glim_buf *b)
{
    gb_header(b, 3u << 24, 0, 0);
}
static void lfs(glim_buf *b)
{
    glim_buf_init(b, 1000);
    gb_raw(b, "version https://git-lfs.github.com/spec/v1\noid", 46);
}
static void web_page(glim_buf *b)
{
    glim_buf_init(b, 1000);
    gb_raw(b, "<!DOCTYPE html>", 15);
}
static void huge_tensors(glim_buf *b)
{
    gb_header(b, 3, (uint64_t)1 << 60, 0);
    gb_fill(b, 200);
}
static void negative_kv(glim_buf *b)
{
    gb_header(b, 3, 0, (uint64_t)-1);
    gb_fill(b, 200);
}
static void long_key(glim_buf *b)
{
    gb_header(b, 3, 0, 1);
    gb_u64(b, UINT64_MAX - 3);
    gb_fill(b, 40);
}
static void empty_key(glim_buf *b)
{
    gb_header(b, 3, 0, 1);
    gb_kv_u32(b, "", 1);
    gb_fill(b, 40);
}
static void key_twice(glim_buf *b)
{
    gb_header(b, 3, 0, 2);
    gb_kv_u32(b, "k", 1);
    gb_kv_u32(b, "k", 1);
}
static void bad_vtype(glim_buf *b)
{
    gb_header(b, 3, 0, 1);
    gb_str(b, "k");
    gb_u32(b, 13);
    gb_u64(b, 0);
}
static void bad_bool(glim_buf *b)
{
    gb_header(b, 3, 0, 1);
    gb_str(b, "k");
    gb_u32(b, GV_BOOL);
    gb_raw(b, "\2", 1);
}
static void array_of_arrays(glim_buf *b)
{
    gb_header(b, 3, 0, 1);
    gb_str(b, "k");
    gb_u32(b, GV_ARRAY);
    gb_u32(b, GV_ARRAY);
    gb_u64(b, 1);
    gb_u32(b, GV_U8);
    gb_u64(b, 0);
}
static void bad_elem(glim_buf *b)
{
    gb_header(b, 3, 0, 1);
    gb_str(b, "k");
    gb_u32(b, GV_ARRAY);
    gb_u32(b, 0x80000008u);
    gb_u64(b, 1);
}
static void long_array(glim_buf *b)
{
    gb_header(b, 3, 0, 1);
    gb_str(b, "k");
    gb_u32(b, GV_ARRAY);
    gb_u32(b, GV_F64);
    gb_u64(b, ((uint64_t)1 << 61) + 1); /* times 8 wraps to 8 */
    gb_u64(b, 0);
}
static void long_string_in_array(glim_buf *b)
{
    gb_header(b, 3, 0, 1);
    gb_str(b, "k");
    gb_u32(b, GV_ARRAY);
    gb_u32(b, GV_STR);
    gb_u64(b, 2);
    gb_u64(b, UINT64_MAX);
    gb_u64(b, 0);
}
static void alignment(glim_buf *b, uint32_t a)
{
    gb_header(b, 3, 0, 1);
    gb_kv_u32(b, "general.alignment", a);
}
static void align_0(glim_buf *b)
{
    alignment(b, 0);
}
static void align_24(glim_buf *b)
{
    alignment(b, 24);
}
static void align_huge(glim_buf *b)
{
    alignment(b, 0x80000000u);
}
static void align_str(glim_buf *b)
{
    gb_header(b, 3, 0, 1);
    gb_kv_str(b, "general.alignment", "32");
}
/* A file with one tensor and 136 bytes of data. */
static void one(glim_buf *b, const char *name, uint32_t n_dim, const uint64_t *ne, uint32_t type,
                uint64_t offset)
{
    gb_header(b, 3, 1, 0);
    gb_tensor(b, name, n_dim, ne, type, offset);
    gb_pad(b, 32);
    gb_fill(b, 136);
}
static void dims_0(glim_buf *b)
{
    one(b, "t", 0, NULL, 0, 0);
}
static void dims_5(glim_buf *b)
{
    one(b, "t", 5, (uint64_t[]){1, 1, 1, 1, 1}, 0, 0);
}
static void ne_0(glim_buf *b)
{
    one(b, "t", 2, (uint64_t[]){4, 0}, 0, 0);
}
static void ne_negative(glim_buf *b)
{
    one(b, "t", 2, (uint64_t[]){4, (uint64_t)-4}, 0, 0);
}
static void ne_wraps(glim_buf *b)
{
    one(b, "t", 4, (uint64_t[]){1u << 31, 1u << 31, 4, 1}, 0, 0);
}
static void bytes_wrap(glim_buf *b)
{
    one(b, "t", 2, (uint64_t[]){(uint64_t)1 << 62, 1}, 0, 0); /* times 4 wraps to 0 */
}
static void odd_row(glim_buf *b)
{
    one(b, "t", 2, (uint64_t[]){16, 2}, 8, 0);
}
static void foreign_type(glim_buf *b)
{
    one(b, "t", 1, (uint64_t[]){256}, 16, 0);
}
static void unknown_type(glim_buf *b)
{
    one(b, "t", 1, (uint64_t[]){256}, 4711, 0);
}
static void negative_type(glim_buf *b)
{
    one(b, "t", 1, (uint64_t[]){256}, (uint32_t)-1, 0);
}
static void odd_offset(glim_buf *b)
{
    one(b, "t", 1, (uint64_t[]){4}, 0, 8);
}
static void offset_wraps(glim_buf *b)
{
    one(b, "t", 1, (uint64_t[]){4}, 0, UINT64_MAX - 31);
}
static void past_end(glim_buf *b)
{
    one(b, "t", 1, (uint64_t[]){35}, 0, 0);
}
static void far_offset(glim_buf *b)
{
    one(b, "t", 1, (uint64_t[]){4}, 0, 160);
}
static void empty_name(glim_buf *b)
{
    one(b, "", 1, (uint64_t[]){4}, 0, 0);
    gb_fill(b, 8);
}
static void name_twice(glim_buf *b)
{
    gb_header(b, 3, 2, 0);
    gb_tensor(b, "t", 1, (uint64_t[]){4}, 0, 0);
    gb_tensor(b, "t", 1, (uint64_t[]){4}, 0, 32);
    gb_pad(b, 32);
    gb_fill(b, 136);
}
static void overlap(glim_buf *b)
{
    gb_header(b, 3, 3, 0);
    gb_tensor(b, "c", 1, (uint64_t[]){4}, 0, 64);
    gb_tensor(b, "a", 1, (uint64_t[]){16}, 0, 0);
    gb_tensor(b, "b", 1, (uint64_t[]){4}, 0, 32);
    gb_pad(b, 32);
    gb_fill(b, 136);
}
static void same_bytes(glim_buf *b)
{
    gb_header(b, 3, 2, 0);
    gb_tensor(b, "a", 1, (uint64_t[]){4}, 0, 32);
    gb_tensor(b, "b", 1, (uint64_t[]){4}, 0, 32);
    gb_pad(b, 32);
    gb_fill(b, 136);
}

static void refusals(void **state)
{
    (void)state;
    static const bad cases[] = {
        {"no GGUF file", GLIM_E_FORMAT, no_magic},
        {"version 1", GLIM_E_UNSUPPORTED, version_1},
        {"version 4", GLIM_E_UNSUPPORTED, version_4},
        {"big-endian", GLIM_E_UNSUPPORTED, big_endian},
        {"Git LFS", GLIM_E_UNSUPPORTED, lfs},
        {"web page", GLIM_E_UNSUPPORTED, web_page},
        {"1152921504606846976 tensors", GLIM_E_FORMAT, huge_tensors},
        {"more than a file of", GLIM_E_FORMAT, negative_kv},
        {"18446744073709551612 bytes", GLIM_E_FORMAT, long_key},
        {"key of 0 bytes", GLIM_E_FORMAT, empty_key},
        {"there twice", GLIM_E_FORMAT, key_twice},
        {"unknown value type 13", GLIM_E_FORMAT, bad_vtype},
        {"bool with the value 2", GLIM_E_FORMAT, bad_bool},
        {"array of arrays", GLIM_E_UNSUPPORTED, array_of_arrays},
        {"unknown value type", GLIM_E_FORMAT, bad_elem},
        {"2305843009213693953 elements", GLIM_E_FORMAT, long_array},
        {"a string of an array", GLIM_E_FORMAT, long_string_in_array},
        {"general.alignment", GLIM_E_FORMAT, align_0},
        {"general.alignment", GLIM_E_FORMAT, align_24},
        {"general.alignment", GLIM_E_FORMAT, align_huge},
        {"general.alignment", GLIM_E_FORMAT, align_str},
        {"0 dimensions", GLIM_E_FORMAT, dims_0},
        {"5 dimensions", GLIM_E_FORMAT, dims_5},
        {"dimension 1 of 0", GLIM_E_FORMAT, ne_0},
        {"dimension 1 of -4", GLIM_E_FORMAT, ne_negative},
        {"dimension 2 of 4", GLIM_E_FORMAT, ne_wraps},
        {"not possible in F32", GLIM_E_FORMAT, bytes_wrap},
        {"not possible in Q8_0", GLIM_E_FORMAT, odd_row},
        {"IQ2_XXS", GLIM_E_UNSUPPORTED, foreign_type},
        {"4711 (unknown)", GLIM_E_UNSUPPORTED, unknown_type},
        {"4294967295 (unknown)", GLIM_E_UNSUPPORTED, negative_type},
        {"no multiple of the alignment 32", GLIM_E_FORMAT, odd_offset},
        {"offset of 18446744073709551584", GLIM_E_FORMAT, offset_wraps},
        {"but the file has", GLIM_E_FORMAT, past_end},
        {"but the file has", GLIM_E_FORMAT, far_offset},
        {"name of 0 bytes", GLIM_E_FORMAT, empty_name},
        {"there twice", GLIM_E_FORMAT, name_twice},
        {"share bytes", GLIM_E_FORMAT, overlap},
        {"share bytes", GLIM_E_FORMAT, same_bytes},
    };
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        glim_buf b;
        glim_modelfile *f;
        glim_error e;
        cases[i].make(&b);
        glim_err rc = open_bytes(b.p, b.n, &f, &e);
        if (rc != cases[i].code || !strstr(e.msg, cases[i].what))
            fail_msg("case %zu (%s): code %d, \"%s\"", i, cases[i].what, rc, e.msg);
        glim_buf_deinit(&b);
        assert_int_equal(glim_modelfile_open_mem(GLIM_CONTAINER_GGUF, "t.gguf", (const uint8_t *)"",
                                                 0, &f, NULL),
                         GLIM_E_FORMAT); /* without an error object */
    }
}

static void versions_and_empty(void **state)
{
    (void)state;
    for (uint32_t version = 2; version <= 3; version++) {
        glim_buf b;
        glim_modelfile *f;
        glim_error e;
        gb_header(&b, version, 0, 0); /* a header alone is whole: a first part may hold no tensor */
        if (open_bytes(b.p, b.n, &f, &e)) fail_msg("%s", e.msg);
        assert_int_equal(glim_modelfile_n_tensor(f), 0);
        glim_modelfile_close(f);
        glim_buf_deinit(&b);
    }
}

static void no_memory(void **state)
{
    (void)state;
    glim_buf b;
    whole_file(&b);
    for (int nth = 0;; nth++) {
        glim_modelfile *f = NULL;
        glim_error e = {0};
        fail_nth hook;
        assert_true(nth < 1000);
        fail_nth_begin(&hook, nth);
        glim_err rc = glim_modelfile_open_mem(GLIM_CONTAINER_GGUF, "t.gguf", (const uint8_t *)b.p,
                                              b.n, &f, &e);
        fail_nth_end();
        if (!rc) {
            glim_modelfile_close(f);
            assert_true(nth > 5);
            break;
        }
        assert_int_equal(rc, GLIM_E_NOMEM);
    }
    glim_buf_deinit(&b);
}

/* Who writes into an open file changes lengths that were checked: strings end where they did. */
static void changed_while_open(void **state)
{
    (void)state;
    static const uint64_t lengths[] = {0, 2, 1000, 1 << 20, INT64_MAX, UINT64_MAX - 7, UINT64_MAX};
    for (size_t i = 0; i < GLIM_COUNT(lengths); i++)
        for (int at = 0; at < 3; at++) {
            glim_buf b;
            glim_modelfile *f = NULL;
            glim_error e = {0};
            whole_file(&b);
            if (glim_modelfile_open_mem(GLIM_CONTAINER_GGUF, "t.gguf", (const uint8_t *)b.p, b.n,
                                        &f, &e))
                fail_msg("%s", e.msg);
            const glim_meta *m = glim_modelfile_meta(f, "strings"); /* "a", "", "ccc" */
            const size_t offsets[] = {0, 9, 17};
            const uint8_t *end = m->elems + 8 + 1 + 8 + 8 + 3;
            memcpy(b.p + (m->elems - (const uint8_t *)b.p) + offsets[at], &lengths[i], 8);
            glim_meta_iter it = {.m = m};
            glim_str s;
            int n = 0;
            for (; glim_meta_next_str(&it, &s); n++)
                assert_true((const uint8_t *)s.p <= end && s.n <= (size_t)(end - (const uint8_t *)s.p));
            assert_true(n <= 3);
            glim_modelfile_close(f);
            glim_buf_deinit(&b);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_all_types), cmocka_unit_test(cut_and_flip),
        cmocka_unit_test(refusals),        cmocka_unit_test(versions_and_empty),
        cmocka_unit_test(no_memory),       cmocka_unit_test(changed_while_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
