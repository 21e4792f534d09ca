/* SPDX-License-Identifier: MIT
 * test_config.c - option values: checks of the table, merging by origin, environment, files,
 * suggestions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/config.h"

static glim_config *fresh(void)
{
    glim_config *c = glim_config_new();
    assert_non_null(c);
    return c;
}

static void table_is_sound(void **state)
{
    (void)state;
    for (int i = 0; i < GLIM_OPT_COUNT; i++) {
        const glim_opt_row *r = glim_opt_get((glim_opt)i);
        glim_opt found;
        char env[64];
        assert_true(glim_opt_find(glim_str_of(r->name), &found));
        assert_int_equal(found, i); /* fails for a name used twice */
        assert_true(strlen(glim_opt_env((glim_opt)i, env)) == strlen(r->name) + 5);
        if (r->letter) {
            assert_true(glim_opt_find_letter(r->letter, r->where, &found));
            assert_int_equal(found, i);
        }
        if (!(r->flags & GLIM_OPT_LATER)) {
            assert_true(r->help && r->help[0]);
            assert_true(r->where != 0);
        }
        assert_true((r->arg == NULL) == (r->type == GLIM_OPT_FLAG));
    }
    char env[64];
    assert_string_equal(glim_opt_env(GLIM_O_TOP_P, env), "GLIM_TOP_P");
}

static void defaults(void **state)
{
    (void)state;
    glim_config *c = fresh();
    assert_false(glim_config_get(c, GLIM_O_CTX)->set);
    assert_true(glim_config_get(c, GLIM_O_TOP)->set);
    assert_int_equal(glim_config_get(c, GLIM_O_TOP)->i64, 10);
    assert_string_equal(glim_config_get(c, GLIM_O_TOP)->place, "default");
    assert_int_equal(glim_config_get(c, GLIM_O_START)->i64, 2); /* auto */
    assert_false(glim_config_get(c, GLIM_O_JSON)->on);
    glim_config_free(c);
    glim_config_free(NULL);
}

static void values_are_checked(void **state)
{
    (void)state;
    static const struct {
        glim_opt o;
        const char *text;
        glim_err rc;
        const char *says;
    } cases[] = {
        {GLIM_O_CTX, "4096", GLIM_OK, NULL},
        {GLIM_O_CTX, "0", GLIM_E_USAGE, "below 1"},
        {GLIM_O_CTX, "-1", GLIM_E_USAGE, "below 1"},
        {GLIM_O_CTX, "", GLIM_E_USAGE, "no whole number"},
        {GLIM_O_CTX, "4k", GLIM_E_USAGE, "no whole number"},
        {GLIM_O_CTX, "1.5", GLIM_E_USAGE, "no whole number"},
        {GLIM_O_CTX, "99999999999999999999", GLIM_E_USAGE, "no whole number"},
        {GLIM_O_TOP_P, "1", GLIM_OK, NULL},
        {GLIM_O_TOP_P, "0", GLIM_E_USAGE, "above 0"},
        {GLIM_O_TOP_P, "1.01", GLIM_E_USAGE, "is above 1"},
        {GLIM_O_TOP_P, "nan", GLIM_E_USAGE, "no number"},
        {GLIM_O_TOP_P, "0,5", GLIM_E_USAGE, "no number"},
        {GLIM_O_MIN_P, "0", GLIM_OK, NULL},
        {GLIM_O_MIN_P, "1", GLIM_E_USAGE, "below 1"},
        {GLIM_O_TEMPERATURE, "1e-3", GLIM_OK, NULL},
        {GLIM_O_SEED, "9223372036854775807", GLIM_OK, NULL},
        {GLIM_O_SEED, "-1", GLIM_E_USAGE, "below 0"},
        {GLIM_O_THINK, "on", GLIM_OK, NULL},
        {GLIM_O_THINK, "OFF", GLIM_OK, NULL},
        {GLIM_O_THINK, "maybe", GLIM_E_USAGE, "neither on nor off"},
        {GLIM_O_KV, "bf16", GLIM_OK, NULL},
        {GLIM_O_KV, "F16", GLIM_OK, NULL},
        {GLIM_O_KV, "q8_0", GLIM_E_UNSUPPORTED,
         "known but not supported yet; use f32, f16 or bf16"},
        {GLIM_O_KV, "q8_0*", GLIM_E_USAGE, "none of f32, f16 or bf16"},
        {GLIM_O_KV, "f", GLIM_E_USAGE, "none of f32, f16 or bf16"},
        {GLIM_O_CPU, "ref", GLIM_OK, NULL},
        {GLIM_O_CPU, "mmx", GLIM_E_USAGE, "no kernel level"},
        {GLIM_O_USE_NPU, "False", GLIM_OK, NULL},
        {GLIM_O_USE_NPU, "Y", GLIM_OK, NULL},
        {GLIM_O_USE_NPU, "2", GLIM_E_USAGE, "neither on nor off"},
        {GLIM_O_WHERE, "cloud", GLIM_OK, NULL},
        {GLIM_O_WHERE, "x", GLIM_E_USAGE, "none of auto, local or cloud"},
        {GLIM_O_BATCH, "x", GLIM_E_UNSUPPORTED, "known but not supported yet"},
    };
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        glim_config *c = fresh();
        glim_error e = {0};
        glim_opt_value before = *glim_config_get(c, cases[i].o);
        glim_err rc =
            glim_config_set(c, cases[i].o, glim_str_of(cases[i].text), GLIM_FROM_FLAG, "--it", &e);
        if (rc != cases[i].rc) print_error("case %zu (%s): %s\n", i, cases[i].text, e.msg);
        assert_int_equal(rc, cases[i].rc);
        if (rc) {
            assert_non_null(strstr(e.msg, cases[i].says));
            assert_memory_equal(e.msg, "--it", 4);
            assert_memory_equal(&before, glim_config_get(c, cases[i].o), sizeof before);
        } else {
            assert_true(glim_config_get(c, cases[i].o)->set);
        }
        glim_config_free(c);
    }
    glim_config *c = fresh();
    glim_error e = {0};
    assert_int_equal(glim_config_set(c, GLIM_O_CTX, GLIM_STR("x"), GLIM_FROM_ENV, "GLIM_CTX", &e),
                     GLIM_E_INPUT);
    glim_config_free(c);
}

static void higher_origin_wins(void **state)
{
    (void)state;
    /* Every order of two settings, so that reading a file after the flags changes nothing. */
    for (int a = GLIM_FROM_DEFAULT; a <= GLIM_FROM_FLAG; a++) {
        for (int b = GLIM_FROM_DEFAULT; b <= GLIM_FROM_FLAG; b++) {
            glim_config *c = fresh();
            assert_int_equal(
                glim_config_set(c, GLIM_O_CTX, GLIM_STR("1"), (glim_origin)a, "first", NULL), 0);
            assert_int_equal(
                glim_config_set(c, GLIM_O_CTX, GLIM_STR("2"), (glim_origin)b, "second", NULL), 0);
            const glim_opt_value *v = glim_config_get(c, GLIM_O_CTX);
            assert_int_equal(v->i64, b >= a ? 2 : 1);
            assert_string_equal(v->place, b >= a ? "second" : "first");
            assert_int_equal(v->origin, b >= a ? b : a);
            glim_config_free(c);
        }
    }
}

static void lists_grow_within_an_origin(void **state)
{
    (void)state;
    glim_config *c = fresh();
    assert_int_equal(glim_config_set(c, GLIM_O_STOP, GLIM_STR("a"), GLIM_FROM_FILE, "f", NULL), 0);
    assert_int_equal(glim_config_set(c, GLIM_O_STOP, GLIM_STR("b"), GLIM_FROM_FILE, "f", NULL), 0);
    assert_int_equal(glim_config_get(c, GLIM_O_STOP)->n_item, 2);
    assert_int_equal(glim_config_set(c, GLIM_O_STOP, GLIM_STR("c"), GLIM_FROM_FLAG, "--stop", NULL),
                     0);
    assert_int_equal(glim_config_get(c, GLIM_O_STOP)->n_item, 1);
    assert_int_equal(glim_config_set(c, GLIM_O_STOP, GLIM_STR("d"), GLIM_FROM_FILE, "f", NULL), 0);
    assert_int_equal(glim_config_get(c, GLIM_O_STOP)->n_item, 1);
    assert_true(glim_str_is(glim_config_get(c, GLIM_O_STOP)->items[0], "c"));
    glim_err rc = GLIM_OK;
    for (int i = 0; i < 1000 && !rc; i++)
        rc = glim_config_set(c, GLIM_O_STOP, GLIM_STR("x"), GLIM_FROM_FLAG, "--stop", NULL);
    assert_int_equal(rc, GLIM_E_USAGE);
    glim_config_free(c);
}

static const char *from_table(void *user, const char *name)
{
    for (const char *const *p = user; *p; p += 2)
        if (strcmp(p[0], name) == 0) return p[1];
    return NULL;
}

static void environment(void **state)
{
    (void)state;
    const char *vars[] = {"GLIM_CTX",  "512", "GLM_MODEL", "other.gguf", "GLIM_THINK", "",
                          "GLIM_JSON", "1",   "GLIM_TOP",  "bad",        NULL};
    glim_config *c = fresh();
    glim_error e = {0};
    unsigned where = GLIM_IN_MODEL | GLIM_IN_PLAN | GLIM_IN_TALK | GLIM_IN_JSON;
    assert_int_equal(glim_config_read_env(c, where, from_table, vars, &e), GLIM_OK);
    assert_int_equal(glim_config_get(c, GLIM_O_CTX)->i64, 512);
    assert_string_equal(glim_config_get(c, GLIM_O_CTX)->place, "GLIM_CTX");
    assert_string_equal(glim_config_get(c, GLIM_O_MODEL)->text, "other.gguf");
    assert_string_equal(glim_config_get(c, GLIM_O_MODEL)->place, "GLM_MODEL");
    assert_false(glim_config_get(c, GLIM_O_THINK)->set); /* empty is as if it were not there */
    assert_true(glim_config_get(c, GLIM_O_JSON)->on);
    /* GLIM_TOP is no business of a command without --top; of one with it, it is. */
    assert_int_equal(glim_config_read_env(c, GLIM_IN_LOGITS, from_table, vars, &e), GLIM_E_INPUT);
    assert_non_null(strstr(e.msg, "GLIM_TOP"));
    glim_config_free(c);

    const char *both[] = {"GLIM_MODEL", "mine.gguf", "GLM_MODEL", "other.gguf", NULL};
    c = fresh();
    assert_int_equal(glim_config_read_env(c, GLIM_IN_MODEL, from_table, both, &e), GLIM_OK);
    assert_string_equal(glim_config_get(c, GLIM_O_MODEL)->text, "mine.gguf");
    glim_config_free(c);

    /* A flag has spoken: the bad variable stays unread. */
    c = fresh();
    assert_int_equal(glim_config_set(c, GLIM_O_TOP, GLIM_STR("3"), GLIM_FROM_FLAG, "--top", &e),
                     GLIM_OK);
    assert_int_equal(glim_config_read_env(c, GLIM_IN_LOGITS, from_table, vars, &e), GLIM_OK);
    assert_int_equal(glim_config_get(c, GLIM_O_TOP)->i64, 3);
    glim_config_free(c);
}

static char path[] = "/tmp/glim-config-XXXXXX";

static const char *file_with(const char *text, size_t n)
{
    strncpy(path, "/tmp/glim-config-XXXXXX", sizeof path);
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, n), (ssize_t)n);
    close(fd);
    return path;
}

static void settings_files(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        glim_err rc;
        const char *says; /* behind the path */
    } cases[] = {
        {"", GLIM_OK, NULL},
        {"# a comment\n; another\n\n  ctx = 2048  \r\ntemperature=0.5", GLIM_OK, NULL},
        {"\xEF\xBB\xBF"
         "ctx=1\n",
         GLIM_OK, NULL},
        {"system = \" be brief \"\n", GLIM_OK, NULL},
        {"stop = a\nstop = b\n", GLIM_OK, NULL},
        {"ctx\n", GLIM_E_INPUT, ":1: "},
        {"= 4\n", GLIM_E_INPUT, ":1: "},
        {"\n\nctxx = 4\n", GLIM_E_INPUT, ":3: unknown key \"ctxx\" (did you mean 'ctx'?)"},
        {"ctx = 0\n", GLIM_E_INPUT, ":1: ctx: "},
        {"ctx = 1\nctx = 2\n", GLIM_E_INPUT, ":2: 'ctx' is set a second time"},
        {"prompt = hello\n", GLIM_E_INPUT, ":1: 'prompt' is about one call"},
        {"[server]\nport = 1\n", GLIM_E_INPUT, ":1: unknown section"},
        {"[route]\n", GLIM_E_UNSUPPORTED, ":1: section"},
        {"[upstream zai]\n", GLIM_E_UNSUPPORTED, ":1: section"},
        {"where = cloud\n", GLIM_OK, NULL},
        {"kv = q8_0\n", GLIM_E_UNSUPPORTED, ":1: kv: q8_0"},
        {"system = \xFF\n", GLIM_E_INPUT, "UTF-8 at byte 9"},
    };
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        glim_config *c = fresh();
        glim_error e = {0};
        const char *p = file_with(cases[i].text, strlen(cases[i].text));
        glim_err rc = glim_config_read_file(c, p, NULL, &e);
        if (rc != cases[i].rc) print_error("case %zu: %s\n", i, e.msg);
        assert_int_equal(rc, cases[i].rc);
        if (rc && !strstr(e.msg, cases[i].says)) print_error("case %zu: %s\n", i, e.msg);
        if (rc) {
            assert_non_null(strstr(e.msg, cases[i].says));
            assert_memory_equal(e.msg, p, strlen(p));
        }
        unlink(p);
        glim_config_free(c);
    }

    glim_config *c = fresh();
    size_t n = 0;
    const char text[] = "ctx = 2048\nsystem = \" be brief \"\nthink = off\n";
    const char *p = file_with(text, sizeof text - 1);
    assert_int_equal(glim_config_read_file(c, p, &n, NULL), GLIM_OK);
    assert_int_equal(n, 3);
    assert_int_equal(glim_config_get(c, GLIM_O_CTX)->i64, 2048);
    assert_string_equal(glim_config_get(c, GLIM_O_SYSTEM)->text, " be brief ");
    assert_true(glim_config_get(c, GLIM_O_THINK)->set && !glim_config_get(c, GLIM_O_THINK)->on);
    assert_non_null(strstr(glim_config_get(c, GLIM_O_THINK)->place, ":3"));
    unlink(p);
    p = file_with("ctx\0= 3", 7);
    glim_error e = {0};
    assert_int_equal(glim_config_read_file(c, p, &n, &e), GLIM_E_INPUT);
    assert_non_null(strstr(e.msg, "NUL"));
    unlink(p);
    assert_int_equal(glim_config_read_file(c, "/nowhere/glim.conf", NULL, &e), GLIM_E_NOTFOUND);
    glim_config_free(c);
}

static void env_files(void **state)
{
    (void)state;
    glim_config *c = fresh();
    glim_error e = {0};
    const char text[] =
        "# secrets of others are none of ours\nOTHER_KEY=abc\nexport GLIM_CTX='77'\n"
        "GLIM_MODEL = \"a b.gguf\"\nGLM_MODEL=later.gguf\nGLIM_TOP=bad\n";
    const char *p = file_with(text, sizeof text - 1);
    assert_int_equal(glim_config_set(c, GLIM_O_CTX, GLIM_STR("5"), GLIM_FROM_ENV, "GLIM_CTX", &e),
                     GLIM_OK);
    assert_int_equal(glim_config_read_env_file(c, GLIM_IN_MODEL | GLIM_IN_PLAN, p, &e), GLIM_OK);
    assert_int_equal(glim_config_get(c, GLIM_O_CTX)->i64, 5); /* the real environment goes first */
    assert_string_equal(glim_config_get(c, GLIM_O_MODEL)->text, "a b.gguf");
    assert_int_equal(glim_config_read_env_file(c, GLIM_IN_LOGITS, p, &e), GLIM_E_INPUT);
    assert_non_null(strstr(e.msg, ":6: GLIM_TOP: "));
    unlink(p);
    p = file_with("just words\n", 11);
    assert_int_equal(glim_config_read_env_file(c, GLIM_IN_MODEL, p, &e), GLIM_E_INPUT);
    assert_non_null(strstr(e.msg, ":1: "));
    unlink(p);
    glim_config_free(c);
}

static void keep_pair(void *user, const char *name, const char *value)
{
    char *out = user;
    size_t n = strlen(out);
    snprintf(out + n, 256 - n, "%s=[%s];", name, value);
}

static void each_variable(void **state)
{
    (void)state;
    static const struct {
        const char *text, *pairs;
        glim_err rc;
    } cases[] = {
        {"", "", GLIM_OK},
        {"A=1", "A=[1];", GLIM_OK},
        {"A=1\nexport B = \"x y\" \r\n# C=2\nD=\nE='='\n", "A=[1];B=[x y];D=[];E=[=];", GLIM_OK},
        {"A=1\nA=2\n", "A=[1];A=[2];", GLIM_OK},
        {"A=1\nsecret words\nB=2\n", "A=[1];", GLIM_E_INPUT},
        {"=secret\n", "", GLIM_E_INPUT},
        {"A=\xff\n", "", GLIM_E_INPUT},
    };
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        char out[256] = "";
        glim_error e = {0};
        const char *p = file_with(cases[i].text, strlen(cases[i].text));
        assert_int_equal(glim_env_file_each(p, keep_pair, out, &e), cases[i].rc);
        assert_string_equal(out, cases[i].pairs);
        assert_null(strstr(e.msg, "secret")); /* a line that is no pair may hold a key */
        unlink(p);
    }
    glim_error e = {0};
    assert_int_equal(glim_env_file_each("/nowhere/.env", keep_pair, NULL, &e), GLIM_E_NOTFOUND);
}

static void letters_are_the_commands_own(void **state)
{
    (void)state;
    glim_opt o;
    assert_true(glim_opt_find_letter('o', GLIM_IN_BENCH, &o));
    assert_int_equal(o, GLIM_O_OUTPUT);
    assert_true(glim_opt_find_letter('o', GLIM_IN_SAVE, &o));
    assert_int_equal(o, GLIM_O_OUT);
    assert_true(glim_opt_find_letter('o', GLIM_IN_TOKENIZE, &o)); /* of neither: one to name in the message */
    assert_false(glim_opt_find_letter('~', GLIM_IN_ALL, &o));
    assert_false(glim_opt_find_letter(0, GLIM_IN_ALL, &o));
}

static const char *words(void *user, size_t i)
{
    const char *const *w = user;
    return w[i];
}

static void suggestions(void **state)
{
    (void)state;
    const char *const list[] = {"run", "chat", "tokenize", "temperature", "top-p", "top-k", NULL};
    static const struct {
        const char *typed, *meant;
    } cases[] = {
        {"rnu", "run"},
        {"caht", "chat"},
        {"tokenise", "tokenize"},
        {"temp", "temperature"},
        {"top_p", "top-p"},
        {"zzzzzz", NULL},
        {"", NULL},
        {"x", NULL},
        {"temprature", "temperature"},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", NULL},
    };
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        const char *got = glim_nearest(glim_str_of(cases[i].typed), words, (void *)(uintptr_t)list);
        if (cases[i].meant) {
            assert_non_null(got);
            assert_string_equal(got, cases[i].meant);
        } else {
            assert_null(got);
        }
    }
}

static int allowed;
static bool fail_nth(void *user, size_t n)
{
    (void)user;
    (void)n;
    return allowed-- > 0;
}

static void no_memory(void **state)
{
    (void)state;
    const char text[] = "ctx = 2048\nstop = a\nstop = b\nsystem = be brief\n";
    const char *p = file_with(text, sizeof text - 1);
    glim_err rc = GLIM_E_NOMEM;
    for (int n = 0; rc && n < 1000; n++) {
        allowed = n;
        glim_alloc_set_hook(fail_nth, NULL);
        glim_config *c = glim_config_new();
        rc = c ? glim_config_read_file(c, p, NULL, NULL) : GLIM_E_NOMEM;
        glim_config_free(c);
        glim_alloc_set_hook(NULL, NULL);
        assert_true(rc == GLIM_OK || rc == GLIM_E_NOMEM);
    }
    assert_int_equal(rc, GLIM_OK);
    unlink(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_is_sound),
        cmocka_unit_test(defaults),
        cmocka_unit_test(values_are_checked),
        cmocka_unit_test(higher_origin_wins),
        cmocka_unit_test(lists_grow_within_an_origin),
        cmocka_unit_test(environment),
        cmocka_unit_test(settings_files),
        cmocka_unit_test(env_files),
        cmocka_unit_test(each_variable),
        cmocka_unit_test(letters_are_the_commands_own),
        cmocka_unit_test(suggestions),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
