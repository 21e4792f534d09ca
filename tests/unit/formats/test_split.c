/* SPDX-License-Identifier: MIT
 * test_split.c - models in several files: any part of a split GGUF opens the whole; an index leads
 * to its shards and nowhere else; parts that contradict each other are refused. */
#include "golden.h"

#include "failnth.h"
#include "formats/formats_priv.h"
#include "ggufbuild.h"
#include "tmpfolder.h"

typedef struct part {
    uint32_t no, count; /* count 0: no split keys */
    int32_t total;      /* -1: no such key */
    const char *tensor;
} part;

static void write_part(const tmp_folder *t, const char *name, const part *p)
{
    glim_buf b;
    gb_header(&b, 3, 1, (p->count ? 2 : 0) + (p->total >= 0) + (p->no == 0));
    if (p->no == 0) gb_kv_str(&b, "general.architecture", "glm");
    if (p->count) {
        gb_str(&b, "split.no");
        gb_u32(&b, GV_U16);
        gb_raw(&b, &(uint16_t){(uint16_t)p->no}, 2);
        gb_str(&b, "split.count");
        gb_u32(&b, GV_U16);
        gb_raw(&b, &(uint16_t){(uint16_t)p->count}, 2);
    }
    if (p->total >= 0) {
        gb_str(&b, "split.tensors.count");
        gb_u32(&b, GV_I32);
        gb_u32(&b, (uint32_t)p->total);
    }
    gb_tensor(&b, p->tensor, 1, (uint64_t[]){4}, 0, 0);
    gb_pad(&b, 32);
    gb_fill(&b, 16);
    tmp_write(t, name, b.p, b.n);
    glim_buf_deinit(&b);
}

static void expect(const tmp_folder *t, const char *name, glim_err code, const char *what)
{
    char path[400];
    glim_modelfile *f = NULL;
    glim_error e = {0};
    glim_err rc = glim_modelfile_open(tmp_path(t, name, path), 0, &f, &e);
    if (rc != code || (rc && !strstr(e.msg, what)))
        fail_msg("%s: code %d, \"%s\", not %d, \"%s\"", name, rc, e.msg, code, what);
    if (!rc) glim_modelfile_close(f);
}

static void names(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        bool ok;
        uint32_t no, count;
    } cases[] = {{"a/m-00002-of-00003.gguf", true, 2, 3},
                 {"m-00001-of-00001.gguf", true, 1, 1},
                 {"-00001-of-00002.gguf", false, 0, 0},
                 {"m-00000-of-00003.gguf", false, 0, 0},
                 {"m-00004-of-00003.gguf", false, 0, 0},
                 {"m-0001-of-00003.gguf", false, 0, 0},
                 {"m-00001-of-0000x.gguf", false, 0, 0},
                 {"m.gguf", false, 0, 0},
                 {"", false, 0, 0},
                 {"m-00001-of-00003.bin", false, 0, 0}};
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        split_name s = {0};
        assert_int_equal(glim_split_name_parse(glim_str_of(cases[i].path), &s), cases[i].ok);
        if (!cases[i].ok) continue;
        assert_int_equal(s.no, cases[i].no);
        assert_int_equal(s.count, cases[i].count);
    }
}

static void any_part_opens_all(void **state)
{
    (void)state;
    static const char *const name[] = {"m-00001-of-00003.gguf", "m-00002-of-00003.gguf",
                                       "m-00003-of-00003.gguf"};
    static const part parts[] = {{0, 3, 3, "a"}, {1, 3, 3, "b"}, {2, 3, 3, "c"}};
    tmp_folder t;
    tmp_folder_make(&t);
    for (size_t i = 0; i < 3; i++)
        write_part(&t, name[i], &parts[i]);
    for (size_t i = 0; i <= 3; i++) {
        char path[400];
        glim_modelfile *f;
        glim_error e = {0};
        /* the folder alone finds the set, too */
        if (glim_modelfile_open(i < 3 ? tmp_path(&t, name[i], path) : t.path, 0, &f, &e))
            fail_msg("%s", e.msg);
        assert_int_equal(glim_modelfile_n_part(f), 3);
        assert_int_equal(glim_modelfile_n_tensor(f), 3);
        assert_int_equal(glim_modelfile_find(f, GLIM_STR("c"))->i_file, 2);
        assert_int_equal(glim_modelfile_find(f, GLIM_STR("c"))->data[15], 15);
        assert_non_null(glim_modelfile_meta(f, "general.architecture"));
        uint64_t no;
        assert_true(glim_meta_u64(glim_modelfile_meta(f, "split.no"), &no) && no == 0);
        glim_modelfile_close(f);
    }
    for (int nth = 0;; nth++) {
        char path[400];
        glim_modelfile *f;
        fail_nth hook;
        glim_error e = {0};
        tmp_path(&t, name[1], path);
        fail_nth_begin(&hook, nth);
        glim_err rc = glim_modelfile_open(path, 0, &f, &e);
        fail_nth_end();
        if (!rc) {
            glim_modelfile_close(f);
            break;
        }
        assert_int_equal(rc, GLIM_E_NOMEM);
        assert_true(nth < 1000);
    }
    tmp_folder_end(&t);
}

static void contradictions(void **state)
{
    (void)state;
    static const char *const one = "m-00001-of-00002.gguf", *const two = "m-00002-of-00002.gguf";
    static const struct {
        part one, two; /* count 99: the file is not there */
        glim_err code;
        const char *what;
    } cases[] = {
        {{0, 2, 2, "a"}, {1, 2, 2, "b"}, GLIM_OK, ""},
        {{0, 2, -1, "a"}, {1, 2, -1, "b"}, GLIM_OK, ""},
        {{0, 2, 2, "a"}, {1, 99, 2, "b"}, GLIM_E_NOTFOUND, "part 2 of 2 is missing"},
        {{0, 99, 2, "a"}, {1, 2, 2, "b"}, GLIM_E_NOTFOUND, ""},
        {{0, 2, 3, "a"}, {1, 2, 3, "b"}, GLIM_E_FORMAT, "split.tensors.count is 3"},
        {{0, 3, 2, "a"}, {1, 2, 2, "b"}, GLIM_E_FORMAT, "one of 3 parts"},
        {{0, 2, 2, "a"}, {1, 3, 2, "b"}, GLIM_E_FORMAT, "holds part 2 of 3"},
        {{0, 2, 2, "a"}, {0, 2, 2, "b"}, GLIM_E_FORMAT, "holds part 1 of 2"},
        {{1, 2, 2, "a"}, {1, 2, 2, "b"}, GLIM_E_FORMAT, "holds part 2 of 2"},
        {{0, 2, 2, "a"}, {1, 2, 2, "a"}, GLIM_E_FORMAT, "there twice"},
        {{0, 2, 2, "a"}, {1, 0, -1, "b"}, GLIM_E_FORMAT, "without split.no"},
        {{0, 0, -1, "a"}, {1, 99, -1, "b"}, GLIM_OK, ""},
    };
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        tmp_folder t;
        tmp_folder_make(&t);
        if (cases[i].one.count != 99) write_part(&t, one, &cases[i].one);
        if (cases[i].two.count != 99) write_part(&t, two, &cases[i].two);
        expect(&t, one, cases[i].code, cases[i].what);
        tmp_folder_end(&t);
    }
    tmp_folder t;
    tmp_folder_make(&t);
    write_part(&t, "m.gguf", &(part){0, 2, 2, "a"});
    expect(&t, "m.gguf", GLIM_E_FORMAT, "-00001-of-00002.gguf");
    write_part(&t, two, &(part){1, 2, 2, "b"});
    expect(&t, two, GLIM_E_NOTFOUND, "part 1 of 2 is missing");
    write_part(&t, one, &(part){0, 0, -1, "a"});
    expect(&t, two, GLIM_E_FORMAT, "no split file");
    tmp_folder_end(&t);
}

static void write_shard(const tmp_folder *t, const char *name, const char *tensor)
{
    char raw[300];
    int n = snprintf(raw + 8, sizeof raw - 12,
                     "{\"%s\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", tensor);
    uint64_t n_header = (uint64_t)n;
    memcpy(raw, &n_header, 8);
    memset(raw + 8 + n, 7, 4);
    tmp_write(t, name, raw, (size_t)n + 12);
}

static const char index_name[] = "model.safetensors.index.json";

static void sharded(void **state)
{
    (void)state;
    static const struct {
        const char *index;
        glim_err code;
        const char *what;
    } cases[] = {
        {"{\"metadata\":{\"total_size\":8},\"weight_map\":{\"a\":\"1.safetensors\",\"b\":\"2."
         "safetensors\"}}",
         GLIM_OK, ""},
        {"{\"weight_map\":{\"b\":\"2.safetensors\",\"a\":\"1.safetensors\"}}", GLIM_OK, ""},
        {"{\"weight_map\":{\"a\":\"1.safetensors\"}}", GLIM_OK, ""},
        {"{\"weight_map\":{\"a\":\"1.safetensors\",\"b\":\"3.safetensors\"}}", GLIM_E_NOTFOUND,
         "3.safetensors"},
        {"{\"weight_map\":{\"a\":\"2.safetensors\",\"b\":\"1.safetensors\"}}", GLIM_E_FORMAT,
         "the weight_map says"},
        {"{\"weight_map\":{\"a\":\"1.safetensors\",\"c\":\"1.safetensors\"}}", GLIM_E_FORMAT,
         "\"c\" is not in"},
        {"{\"weight_map\":{\"c\":\"1.safetensors\"}}", GLIM_E_FORMAT, "is not in the weight_map"},
        {"{\"weight_map\":{\"a\":\"1.safetensors\",\"a\":\"1.safetensors\"}}", GLIM_E_FORMAT,
         "twice"},
        {"{\"weight_map\":{\"a\":\"../1.safetensors\"}}", GLIM_E_FORMAT,
         "no name of a safetensors file"},
        {"{\"weight_map\":{\"a\":\"/etc/1.safetensors\"}}", GLIM_E_FORMAT,
         "no name of a safetensors file"},
        {"{\"weight_map\":{\"a\":\"x\\\\1.safetensors\"}}", GLIM_E_FORMAT,
         "no name of a safetensors file"},
        {"{\"weight_map\":{\"a\":\"1\\u0000.safetensors\"}}", GLIM_E_FORMAT,
         "no name of a safetensors file"},
        {"{\"weight_map\":{\"a\":\".safetensors\"}}", GLIM_E_FORMAT,
         "no name of a safetensors file"},
        {"{\"weight_map\":{\"a\":\"..\"}}", GLIM_E_FORMAT, "no name of a safetensors file"},
        {"{\"weight_map\":{\"a\":\"\"}}", GLIM_E_FORMAT, "no name of a safetensors file"},
        {"{\"weight_map\":{\"a\":\"config.json\"}}", GLIM_E_FORMAT,
         "no name of a safetensors file"},
        {"{\"weight_map\":{\"a\":1}}", GLIM_E_FORMAT, "is no string"},
        {"{\"weight_map\":[]}", GLIM_E_FORMAT, "is no object"},
        {"{\"weight_map\":{}}", GLIM_E_FORMAT, "no weight_map"},
        {"{\"weight_map\":{\"a\":\"1.safetensors\"},\"weight_map\":{}}", GLIM_E_FORMAT,
         "weight_map is there twice"},
        {"{}", GLIM_E_FORMAT, "no weight_map"},
        {"[]", GLIM_E_FORMAT, "no JSON object"},
        {"{\"weight_map\":{\"a\":\"1.safetensors\"}}x", GLIM_E_FORMAT, index_name},
        {"{\"weight_map\":", GLIM_E_FORMAT, index_name},
    };
    tmp_folder t;
    tmp_folder_make(&t);
    write_shard(&t, "1.safetensors", "a");
    write_shard(&t, "2.safetensors", "b");
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        tmp_text(&t, index_name, cases[i].index);
        tmp_remove(&t, "config.json");
        expect(&t, ".", GLIM_E_NOTFOUND, "config.json is missing");
        tmp_text(&t, "config.json", "{}");
        expect(&t, ".", cases[i].code, cases[i].what);
    }
    tmp_text(&t, index_name, cases[0].index);
    glim_modelfile *f;
    glim_error e = {0};
    for (int nth = 0;; nth++) {
        fail_nth hook;
        fail_nth_begin(&hook, nth);
        glim_err rc = glim_modelfile_open(t.path, 0, &f, &e);
        fail_nth_end();
        if (!rc) break;
        assert_int_equal(rc, GLIM_E_NOMEM);
        assert_true(nth < 1000);
    }
    assert_int_equal(glim_modelfile_n_part(f), 2);
    assert_int_equal(glim_modelfile_find(f, GLIM_STR("b"))->i_file, 1);
    assert_int_equal(glim_modelfile_container(f), GLIM_CONTAINER_SAFETENSORS);
    glim_modelfile_close(f);
    tmp_folder_end(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(any_part_opens_all),
        cmocka_unit_test(contradictions),
        cmocka_unit_test(sharded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
