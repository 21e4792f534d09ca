/* SPDX-License-Identifier: MIT
 * test_folder.c - model folders: what is found, in which order, and what is said when something is
 * missing. */
#include "golden.h"

#include "failnth.h"
#include "formats/formats.h"
#include "ggufbuild.h"
#include "tmpfolder.h"

static void write_gguf(const tmp_folder *t, const char *name)
{
    glim_buf b;
    gb_header(&b, 3, 1, 1);
    gb_kv_str(&b, "tokenizer.chat_template", "from gguf");
    gb_tensor(&b, "g", 1, (uint64_t[]){4}, 0, 0);
    gb_pad(&b, 32);
    gb_fill(&b, 16);
    tmp_write(t, name, b.p, b.n);
    glim_buf_deinit(&b);
}

static void write_safetensors(const tmp_folder *t, const char *name)
{
    static const char header[] = "{\"s\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}";
    char raw[8 + sizeof header + 3];
    const uint64_t n = sizeof header - 1;
    memcpy(raw, &n, 8);
    memcpy(raw + 8, header, sizeof header - 1);
    memset(raw + 8 + sizeof header - 1, 0, 4);
    tmp_write(t, name, raw, sizeof raw);
}

/* Makes the files and opens the folder; with code OK the model's first tensor must be called
 * `tensor`. */
typedef struct scene {
    const char *files[6]; /* "name" or "name=text" */
    unsigned flags;
    glim_err code;
    const char *what; /* in the message, or the tensor's name, or NULL for no tensor */
} scene;

static void play(const scene *s, size_t i)
{
    tmp_folder t;
    tmp_folder_make(&t);
    for (size_t k = 0; k < 6 && s->files[k]; k++) {
        char name[100];
        snprintf(name, sizeof name, "%s", s->files[k]);
        char *text = strchr(name, '=');
        if (text) *text++ = 0;
        if (text)
            tmp_text(&t, name, text);
        else if (strstr(name, ".gguf"))
            write_gguf(&t, name);
        else
            write_safetensors(&t, name);
    }
    glim_modelfile *f = NULL;
    glim_error e = {0};
    glim_err rc = glim_modelfile_open(t.path, s->flags, &f, &e);
    if (rc != s->code || (rc && !strstr(e.msg, s->what)))
        fail_msg("scene %zu: code %d, \"%s\"; not %d, \"%s\"", i, rc, e.msg, s->code,
                 s->what ? s->what : "");
    assert_int_equal(e.code, rc);
    if (!rc) {
        assert_int_equal(glim_modelfile_n_tensor(f), s->what ? 1 : 0);
        if (s->what) assert_non_null(glim_modelfile_find(f, glim_str_of(s->what)));
        glim_modelfile_close(f);
    }
    tmp_folder_end(&t);
}

static void scenes(void **state)
{
    (void)state;
    enum { NO_TENSORS = GLIM_OPEN_NO_TENSORS };
    static const scene all[] = {
        {{"config.json={}", "model.safetensors"}, 0, GLIM_OK, "s"},
        {{"config.json={}", "model.safetensors", "a.gguf", "b.gguf"}, 0, GLIM_OK, "s"},
        {{"config.json={}", "a.gguf"}, 0, GLIM_OK, "g"},
        {{"a.gguf", "mmproj-a.gguf"}, 0, GLIM_OK, "g"},
        {{"b.gguf", "a.gguf"}, 0, GLIM_E_NOTFOUND, "2 GGUF models (\"a.gguf\""},
        {{"model.safetensors"}, 0, GLIM_E_NOTFOUND, "config.json is missing"},
        {{NULL}, 0, GLIM_E_NOTFOUND, "no model"},
        {{"config.json={}", "pytorch_model.bin=PK"}, 0, GLIM_E_UNSUPPORTED, "pickles"},
        {{"config.json={}", "pytorch_model-00001-of-00002.bin=PK"},
         0,
         GLIM_E_UNSUPPORTED,
         "pickles"},
        {{"config.json={}", "model.pth=PK"}, 0, GLIM_E_UNSUPPORTED, "pickles"},
        {{"config.json={}", "other.bin=PK"}, 0, GLIM_E_NOTFOUND, "no model"},
        {{"config.json={}", "x.safetensors"}, 0, GLIM_E_NOTFOUND, "x.safetensors"},
        {{"config.json={", "model.safetensors"}, 0, GLIM_E_FORMAT, "config.json: "},
        {{"config.json=", "model.safetensors"}, 0, GLIM_E_FORMAT, "empty"},
        {{"config.json=[1]", "model.safetensors"}, 0, GLIM_E_FORMAT, "an array"},
        {{"config.json={}", "generation_config.json=3", "model.safetensors"},
         0,
         GLIM_E_FORMAT,
         "generation_config.json"},
        {{"config.json={}", "tokenizer_config.json=x", "model.safetensors"},
         0,
         GLIM_E_FORMAT,
         "tokenizer_config.json"},
        {{"config.json={}", "model.safetensors=version https://git-lfs.github.com/spec/v1"},
         0,
         GLIM_E_UNSUPPORTED,
         "git lfs pull"},
        {{"config.json=<!DOCTYPE html>", "model.safetensors"}, 0, GLIM_E_UNSUPPORTED, "web page"},
        {{"tokenizer.json={}"}, NO_TENSORS, GLIM_OK, NULL},
        {{"config.json={}"}, NO_TENSORS, GLIM_OK, NULL},
        {{"tokenizer.json={}", "model.safetensors"}, NO_TENSORS, GLIM_OK, NULL},
        {{"config.json={}", "a.gguf"}, NO_TENSORS, GLIM_OK, "g"},
        {{"a.gguf"}, NO_TENSORS, GLIM_OK, "g"},
        {{"vocab.txt=x"}, NO_TENSORS, GLIM_OK, NULL},
        {{"sentencepiece.bpe.model=x", "model.safetensors"}, NO_TENSORS, GLIM_OK, NULL},
        {{"vocab.txt=x", "a.gguf"}, NO_TENSORS, GLIM_OK, "g"},
        {{"vocab.txt=x"}, 0, GLIM_E_NOTFOUND, "no model"},
        {{NULL}, NO_TENSORS, GLIM_E_NOTFOUND, "no model"},
    };
    for (size_t i = 0; i < GLIM_COUNT(all); i++)
        play(&all[i], i);
}

static void contents(void **state)
{
    (void)state;
    static const struct {
        const char *jinja, *tokenizer_config, *want;
    } cases[] = {
        {"J", "{\"chat_template\":\"T\"}", "J"},
        {NULL, "{\"chat_template\":\"T\\n\"}", "T\n"},
        {NULL,
         "{\"chat_template\":[{\"name\":\"rag\",\"template\":\"R\"},{\"name\":\"default\","
         "\"template\":\"D\"}]}",
         "D"},
        {NULL, "{\"chat_template\":[{\"name\":\"rag\",\"template\":\"R\"},7]}", ""},
        {NULL, "{\"chat_template\":null}", ""},
        {NULL, "{}", ""},
        {NULL, NULL, ""},
    };
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        tmp_folder t;
        tmp_folder_make(&t);
        tmp_text(&t, "config.json", "{\"model_type\":\"glm4\"}");
        tmp_text(&t, "generation_config.json", "{\"temperature\":1.0}");
        tmp_text(&t, "tokenizer.json", "raw, not parsed here");
        if (cases[i].jinja) tmp_text(&t, "chat_template.jinja", cases[i].jinja);
        if (cases[i].tokenizer_config)
            tmp_text(&t, "tokenizer_config.json", cases[i].tokenizer_config);
        write_safetensors(&t, "model.safetensors");
        glim_modelfile *f = NULL;
        glim_error e = {0};
        for (int nth = 0;; nth++) {
            fail_nth hook;
            fail_nth_begin(&hook, nth);
            glim_err rc = glim_modelfile_open(t.path, 0, &f, &e);
            fail_nth_end();
            if (!rc) break;
            if (rc != GLIM_E_NOMEM || nth > 1000) fail_msg("%s", e.msg);
        }
        assert_true(glim_str_is(glim_modelfile_chat_template(f), cases[i].want));
        assert_true(glim_str_is(glim_modelfile_tokenizer_json(f), "raw, not parsed here"));
        assert_true(
            glim_str_is(glim_json_get(glim_modelfile_config(f), "model_type")->text, "glm4"));
        assert_non_null(glim_json_get(glim_modelfile_generation_config(f), "temperature"));
        assert_int_equal(glim_modelfile_tokenizer_config(f) != NULL,
                         cases[i].tokenizer_config != NULL);
        assert_int_equal(glim_modelfile_bytes(f), 8 + 54 + 4);
        glim_modelfile_close(f);
        tmp_folder_end(&t);
    }
}

static void odd_paths(void **state)
{
    (void)state;
    tmp_folder t;
    tmp_folder_make(&t);
    tmp_text(&t, "empty.gguf", "");
    tmp_text(&t, "model.safetensors", "x");
    static const struct {
        const char *name;
        glim_err code;
    } cases[] = {{"absent", GLIM_E_NOTFOUND},
                 {"absent.safetensors", GLIM_E_NOTFOUND},
                 {"empty.gguf", GLIM_E_FORMAT},
                 {"empty.gguf/x", GLIM_E_NOTFOUND},
                 {"model.safetensors", GLIM_E_UNSUPPORTED}};
    glim_modelfile *f;
    glim_error e = {0};
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        char path[400];
        assert_int_equal(glim_modelfile_open(tmp_path(&t, cases[i].name, path), 0, &f, &e),
                         cases[i].code);
        assert_non_null(strstr(e.msg, cases[i].name));
    }
    assert_int_equal(glim_modelfile_open("/dev/zero", 0, &f, &e), GLIM_E_IO);
    assert_int_equal(glim_modelfile_open("", 0, &f, &e), GLIM_E_NOTFOUND);
    glim_modelfile_close(NULL);

    /* a GGUF's template, and one beside a GGUF in a folder */
    tmp_remove(&t, "empty.gguf");
    tmp_remove(&t, "model.safetensors");
    write_gguf(&t, "m.gguf");
    tmp_text(&t, "tokenizer.json", "{}");
    if (glim_modelfile_open(t.path, 0, &f, &e)) fail_msg("%s", e.msg);
    assert_int_equal(glim_modelfile_container(f), GLIM_CONTAINER_GGUF);
    assert_true(glim_str_is(glim_modelfile_chat_template(f), "from gguf"));
    assert_int_equal(glim_modelfile_tokenizer_json(f).n, 2);
    glim_modelfile_close(f);
    tmp_folder_end(&t);
}

/* Files that are read when they are asked for. */
static void more_files(void **state)
{
    (void)state;
    static const struct {
        const char *text; /* NULL: no such file */
        size_t max;
        glim_err rc, json_rc;
        const char *says;
    } rows[] = {
        {NULL, 100, GLIM_OK, GLIM_OK, NULL},
        {"[1]", 100, GLIM_OK, GLIM_OK, NULL},
        {"[1", 100, GLIM_OK, GLIM_E_FORMAT, "more: "},
        {"", 100, GLIM_E_FORMAT, GLIM_E_FORMAT, "more: empty"},
        {"[1,2,3]", 3, GLIM_E_LIMIT, GLIM_OK, "more"},
        {"version https://git-lfs.github.com/spec/v1", 100, GLIM_E_UNSUPPORTED, GLIM_E_UNSUPPORTED,
         "git lfs pull"},
    };
    for (size_t i = 0; i < GLIM_COUNT(rows); i++) {
        tmp_folder t;
        glim_modelfile *f;
        glim_error e = {0};
        glim_arena *a = glim_arena_new(1 << 20);
        glim_str text;
        const glim_json *json;
        tmp_folder_make(&t);
        tmp_text(&t, "config.json", "{}");
        if (rows[i].text) tmp_text(&t, "more", rows[i].text);
        assert_int_equal(glim_modelfile_open(t.path, GLIM_OPEN_NO_TENSORS, &f, &e), GLIM_OK);
        assert_int_equal(glim_modelfile_read_text(f, "more", rows[i].max, a, &text, &e),
                         rows[i].rc);
        if (rows[i].rc) assert_non_null(strstr(e.msg, rows[i].says));
        assert_int_equal(text.p != NULL, rows[i].text && !rows[i].rc);
        if (text.p) assert_string_equal(text.p, rows[i].text);
        assert_int_equal(glim_modelfile_read_json(f, "more", a, &json, &e), rows[i].json_rc);
        if (rows[i].json_rc) assert_non_null(strstr(e.msg, rows[i].says));
        assert_int_equal(json != NULL, rows[i].text && !rows[i].json_rc);
        glim_modelfile_close(f);
        glim_arena_free(a);
        tmp_folder_end(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scenes),
        cmocka_unit_test(contents),
        cmocka_unit_test(odd_paths),
        cmocka_unit_test(more_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
