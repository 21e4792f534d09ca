/* SPDX-License-Identifier: MIT
 * test_safetensors.c - safetensors in memory: shapes, types, skipped buffers, and every refusal. */
#include "golden.h"

#include "failnth.h"
#include "formats/formats_priv.h"

/* header as it is, n_data bytes of data. */
static uint8_t *build(const char *header, size_t n_data, size_t *n)
{
    const uint64_t n_header = strlen(header);
    *n = 8 + (size_t)n_header + n_data;
    uint8_t *p = malloc(*n);
    assert_non_null(p);
    memcpy(p, &n_header, 8);
    memcpy(p + 8, header, (size_t)n_header);
    for (size_t i = 0; i < n_data; i++)
        p[8 + n_header + i] = (uint8_t)i;
    return p;
}

static const char good[] =
    "{\"__metadata__\":{\"format\":\"pt\"},"
    "\"b\":{\"dtype\":\"BF16\",\"shape\":[3],\"data_offsets\":[24,30]},"
    "\"w\":{\"shape\":[2,3],\"data_offsets\":[0,24],\"dtype\":\"F32\",\"extra\":[{}]},"
    "\"position_ids\":{\"dtype\":\"I64\",\"shape\":[1,2],\"data_offsets\":[30,46]},"
    "\"scalar\":{\"dtype\":\"F16\",\"shape\":[],\"data_offsets\":[46,48]},"
    "\"q\\u0041\":{\"dtype\":\"F16\",\"shape\":[1,1,1,1],\"data_offsets\":[48,50]}}   ";

static void reads(void **state)
{
    (void)state;
    size_t n;
    uint8_t *p = build(good, 50, &n);
    glim_modelfile *f;
    glim_error e = {0};
    if (glim_modelfile_open_mem(GLIM_CONTAINER_SAFETENSORS, "m", p, n, &f, &e))
        fail_msg("%s", e.msg);
    assert_int_equal(glim_modelfile_n_tensor(f), 4);
    const glim_tensor *w = glim_modelfile_find(f, GLIM_STR("w"));
    assert_non_null(w);
    assert_int_equal(w->type, GLIM_F32);
    assert_int_equal(w->n_dim, 2);
    assert_int_equal(w->ne[0], 3); /* rows of 3: the last dimension of the file */
    assert_int_equal(w->ne[1], 2);
    assert_int_equal(w->data[1], 1);
    assert_int_equal(w->n_bytes, 24);
    assert_int_equal(glim_modelfile_find(f, GLIM_STR("b"))->data[0], 24);
    const glim_tensor *s = glim_modelfile_find(f, GLIM_STR("scalar"));
    assert_int_equal(s->n_dim, 1);
    assert_int_equal(s->ne[0], 1);
    assert_int_equal(glim_modelfile_find(f, GLIM_STR("qA"))->n_dim, 4);
    assert_null(glim_modelfile_find(f, GLIM_STR("position_ids")));
    glim_modelfile_close(f);

    for (size_t cut = 0; cut < n; cut++) { /* cut anywhere, it is refused */
        uint8_t *part = malloc(cut ? cut : 1);
        assert_non_null(part);
        memcpy(part, p, cut);
        assert_int_equal(
            glim_modelfile_open_mem(GLIM_CONTAINER_SAFETENSORS, "m", part, cut, &f, &e),
            GLIM_E_FORMAT);
        free(part);
    }
    free(p);
}

#define T(dtype, shape, offsets)                                                                   \
    "\"t\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

static void refusals(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        size_t n_data;
        glim_err code;
        const char *what;
    } cases[] = {
        {"", 0, GLIM_E_FORMAT, "begin with '{'"},
        {" {}", 0, GLIM_E_FORMAT, "begin with '{'"},
        {"{", 0, GLIM_E_FORMAT, "m: "},
        {"{}x", 0, GLIM_E_FORMAT, "m: "},
        {"{}", 1, GLIM_E_FORMAT, "1 bytes follow the last tensor"},
        {"{\"t\":1}", 0, GLIM_E_FORMAT, "no object"},
        {"{\"t\":{}}", 0, GLIM_E_FORMAT, "missing"},
        {"{\"\":{}}", 0, GLIM_E_FORMAT, "name of 0 bytes"},
        {"{" T("F32", "[1]", "[0,4]") "," T("F32", "[1]", "[4,8]") "}", 8, GLIM_E_FORMAT, "twice"},
        {"{" T("I64", "[1]", "[0,8]") "," T("I64", "[1]", "[8,16]") "}", 16, GLIM_E_FORMAT,
         "twice"},
        {"{\"t\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4,
         GLIM_E_FORMAT, "a field is there twice"},
        {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, GLIM_E_FORMAT,
         "__metadata__ is there twice"},
        {"{" T("F64", "[1]", "[0,8]") "}", 8, GLIM_E_UNSUPPORTED, "F64"},
        {"{" T("F8_E4M3", "[1]", "[0,1]") "}", 1, GLIM_E_UNSUPPORTED, "F8_E4M3"},
        {"{" T("X\\u0007", "[1]", "[0,1]") "}", 1, GLIM_E_UNSUPPORTED, "dtype"},
        {"{" T("F32", "[1,1,1,1,1]", "[0,4]") "}", 4, GLIM_E_UNSUPPORTED, "more than 4"},
        {"{" T("F32", "[0]", "[0,0]") "}", 0, GLIM_E_FORMAT, "shape is not possible"},
        {"{" T("F32", "[-1]", "[0,4]") "}", 4, GLIM_E_FORMAT, "shape must be"},
        {"{" T("F32", "[1.0]", "[0,4]") "}", 4, GLIM_E_FORMAT, "shape must be"},
        {"{" T("F32", "{}", "[0,4]") "}", 4, GLIM_E_FORMAT, "shape must be"},
        {"{" T("F32", "[4294967296,4294967296]", "[0,4]") "}", 4, GLIM_E_FORMAT,
         "shape is not possible"},
        {"{" T("F32", "[4611686018427387905]", "[0,4]") "}", 4, GLIM_E_FORMAT,
         "extent is not what"},
        {"{" T("F32", "[9223372036854775808]", "[0,4]") "}", 4, GLIM_E_FORMAT, "shape must be"},
        {"{" T("F32", "[1]", "[0]") "}", 4, GLIM_E_FORMAT, "data_offsets"},
        {"{" T("F32", "[1]", "[0,4,8]") "}", 4, GLIM_E_UNSUPPORTED, "data_offsets"},
        {"{" T("F32", "[1]", "[4,0]") "}", 4, GLIM_E_FORMAT, "ends before it begins"},
        {"{" T("F32", "[1]", "[0,5]") "}", 5, GLIM_E_FORMAT, "extent is not what"},
        {"{" T("F32", "[1]", "[0,4]") "}", 3, GLIM_E_FORMAT, "cut off"},
        {"{" T("F32", "[1]", "[1,5]") "}", 5, GLIM_E_FORMAT, "begins at 1"},
        {"{" T("F32", "[1]",
               "[0,4]") ",\"u\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[2,6]}}",
         6, GLIM_E_FORMAT, "begins at 2"},
        {"{" T("F32", "[1]",
               "[0,4]") ",\"u\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
         4, GLIM_E_FORMAT, "begins at 0"},
        {"{" T("F32", "[1]", "[0,4]") "}", 5, GLIM_E_FORMAT, "1 bytes follow"},
        {"{\"t\":{\"dtype\":1,\"shape\":[1],\"data_offsets\":[0,4]}}", 4, GLIM_E_FORMAT,
         "dtype is no string"},
    };
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        size_t n;
        uint8_t *p = build(cases[i].header, cases[i].n_data, &n);
        glim_modelfile *f;
        glim_error e = {0};
        glim_err rc = glim_modelfile_open_mem(GLIM_CONTAINER_SAFETENSORS, "m", p, n, &f, &e);
        if (rc != cases[i].code || !strstr(e.msg, cases[i].what))
            fail_msg("case %zu: code %d, \"%s\", not \"%s\"", i, rc, e.msg, cases[i].what);
        assert_int_equal(e.code, rc);
        assert_int_equal(glim_modelfile_open_mem(GLIM_CONTAINER_SAFETENSORS, "m", p, n, &f, NULL),
                         rc);
        free(p);
    }
}

/* Lengths in the first eight bytes. */
static void header_length(void **state)
{
    (void)state;
    static const uint64_t lengths[] = {3, 1000, (uint64_t)1 << 32, UINT64_MAX, UINT64_MAX - 7};
    for (size_t i = 0; i < GLIM_COUNT(lengths); i++) {
        size_t n;
        uint8_t *p = build("{}", 0, &n);
        memcpy(p, &lengths[i], 8);
        glim_modelfile *f;
        glim_error e = {0};
        assert_int_equal(glim_modelfile_open_mem(GLIM_CONTAINER_SAFETENSORS, "m", p, n, &f, &e),
                         GLIM_E_FORMAT);
        free(p);
    }
}

/* 600 levels of nesting where nothing is read but skipped. */
static void deep(void **state)
{
    (void)state;
    char header[4000] = "{\"__metadata__\":";
    size_t at = strlen(header), n;
    memset(header + at, '[', 600);
    memset(header + at + 600, ']', 600);
    strcpy(header + at + 1200, "}");
    uint8_t *p = build(header, 0, &n);
    glim_modelfile *f;
    glim_error e = {0};
    assert_int_equal(glim_modelfile_open_mem(GLIM_CONTAINER_SAFETENSORS, "m", p, n, &f, &e),
                     GLIM_E_LIMIT);
    free(p);
}

static void no_memory(void **state)
{
    (void)state;
    size_t n;
    uint8_t *p = build(good, 50, &n);
    for (int nth = 0;; nth++) {
        glim_modelfile *f = NULL;
        glim_error e = {0};
        fail_nth hook;
        assert_true(nth < 1000);
        fail_nth_begin(&hook, nth);
        glim_err rc = glim_modelfile_open_mem(GLIM_CONTAINER_SAFETENSORS, "m", p, n, &f, &e);
        fail_nth_end();
        if (!rc) {
            glim_modelfile_close(f);
            assert_true(nth > 5);
            break;
        }
        assert_int_equal(rc, GLIM_E_NOMEM);
    }
    free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads), cmocka_unit_test(refusals),  cmocka_unit_test(header_length),
        cmocka_unit_test(deep),  cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
