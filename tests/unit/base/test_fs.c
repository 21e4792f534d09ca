/* SPDX-License-Identifier: MIT
 * test_fs.c - files, folders, pipes and devices, mapped and read; how much memory there is. */
#include "base/base.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[] = "/tmp/glim_fs_XXXXXX";
static char path[300];

static const char *in_dir(const char *name)
{
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static void write_file(const char *name, const void *p, size_t n)
{
    FILE *f = fopen(in_dir(name), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(p, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static int make_dir(void **state)
{
    (void)state;
    return mkdtemp(dir) ? 0 : -1;
}

static int drop_dir(void **state)
{
    (void)state;
    static const char *const names[] = {"file", "empty", "pipe", "link", "dangling", "big"};
    for (size_t i = 0; i < GLIM_COUNT(names); i++)
        unlink(in_dir(names[i]));
    rmdir(in_dir("sub"));
    return rmdir(dir);
}

static void mapped(void **state)
{
    (void)state;
    glim_error e;
    glim_filemap m;
    write_file("file", "hello\0world", 11);
    assert_int_equal(glim_filemap_open(&m, in_dir("file"), &e), GLIM_OK);
    assert_int_equal(m.n, 11);
    assert_memory_equal(m.p, "hello\0world", 11);
    glim_filemap_close(&m);
    glim_filemap_close(&m);
    assert_null(m.p);
    write_file("empty", "", 0);
    assert_int_equal(glim_filemap_open(&m, in_dir("empty"), &e), GLIM_OK);
    assert_int_equal(m.n, 0);
    assert_null(m.p);
    glim_filemap_close(&m);
    glim_filemap zero = {0};
    glim_filemap_close(&zero);
    assert_int_equal(symlink("file", in_dir("link")), 0);
    assert_int_equal(glim_filemap_open(&m, in_dir("link"), &e), GLIM_OK);
    assert_int_equal(m.n, 11);
    glim_filemap_close(&m);
}

/* What is not a regular file is named, quickly, and nothing is left open. */
static void refused(void **state)
{
    (void)state;
    assert_int_equal(mkdir(in_dir("sub"), 0700), 0);
    assert_int_equal(mkfifo(in_dir("pipe"), 0600), 0);
    assert_int_equal(symlink("nowhere", in_dir("dangling")), 0);
    static const struct {
        const char *name;
        glim_err rc;
        const char *says;
    } cases[] = {
        {"missing", GLIM_E_NOTFOUND, "No such file"},
        {"missing/below", GLIM_E_NOTFOUND, "No such file"},
        {"file/below", GLIM_E_NOTFOUND, "file/below"},
        {"dangling", GLIM_E_NOTFOUND, "dangling"},
        {"sub", GLIM_E_IO, "a folder"},
        {"pipe", GLIM_E_IO, "pipe"},
        {"/dev/null", GLIM_E_IO, "device"},
        {"/dev/zero", GLIM_E_IO, "device"},
        {"", GLIM_E_NOTFOUND, "No such file"},
    };
    int probe = open("/dev/null", O_RDONLY);
    close(probe);
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        const char *name =
            cases[i].name[0] == '/' || !cases[i].name[0] ? cases[i].name : in_dir(cases[i].name);
        glim_error e = {0};
        glim_filemap m = {.p = (const uint8_t *)"x", .n = 1};
        assert_int_equal(glim_filemap_open(&m, name, &e), cases[i].rc);
        assert_int_equal(e.code, cases[i].rc);
        if (!strstr(e.msg, cases[i].says)) fail_msg("%s: %s", name, e.msg);
        if (!strstr(e.msg, name)) fail_msg("%s is not named: %s", name, e.msg);
        assert_null(m.p);
        assert_int_equal(m.n, 0);
    }
    int again = open("/dev/null", O_RDONLY);
    close(again);
    assert_int_equal(probe, again); /* no descriptor leaked */
}

static void read_whole(void **state)
{
    (void)state;
    static char big[200000];
    glim_rng r;
    glim_rng_seed(&r, 3);
    for (size_t i = 0; i < sizeof big; i++)
        big[i] = (char)glim_rng_u64(&r);
    write_file("big", big, sizeof big);
    glim_buf b;
    glim_error e;
    glim_buf_init(&b, sizeof big);
    assert_int_equal(glim_read_file(in_dir("big"), &b, &e), GLIM_OK);
    assert_int_equal(b.n, sizeof big);
    assert_memory_equal(b.p, big, sizeof big);
    glim_buf_deinit(&b);
    glim_buf_init(&b, sizeof big - 1);
    assert_int_equal(glim_read_file(in_dir("big"), &b, &e), GLIM_E_LIMIT);
    assert_non_null(strstr(e.msg, "199999"));
    glim_buf_deinit(&b);
    glim_buf_init(&b, 10);
    write_file("empty", "", 0);
    assert_int_equal(glim_read_file(in_dir("empty"), &b, &e), GLIM_OK);
    assert_int_equal(b.n, 0);
    assert_int_equal(glim_read_file(in_dir("missing"), &b, &e), GLIM_E_NOTFOUND);
    assert_int_equal(glim_read_file(dir, &b, &e), GLIM_E_IO);
    assert_int_equal(glim_read_file("/dev/null", &b, &e), GLIM_OK);
    assert_int_equal(b.n, 0);
    assert_int_equal(glim_read_file("/dev/zero", &b, &e),
                     GLIM_E_LIMIT); /* endless: stops at the maximum */
    glim_buf_deinit(&b);
}

static void read_standard_input(void **state)
{
    (void)state;
    int fd[2], old = dup(STDIN_FILENO);
    assert_int_equal(pipe(fd), 0);
    assert_int_equal(write(fd[1], "in\0put", 6), 6);
    close(fd[1]);
    assert_true(dup2(fd[0], STDIN_FILENO) >= 0);
    close(fd[0]);
    glim_buf b;
    glim_error e;
    glim_buf_init(&b, 100);
    glim_err rc = glim_read_file("-", &b, &e);
    if (old >= 0) {
        dup2(old, STDIN_FILENO);
        close(old);
    } else {
        close(STDIN_FILENO);
    }
    assert_int_equal(rc, GLIM_OK);
    assert_true(glim_str_eq(glim_buf_view(&b), GLIM_STR("in\0put")));
    glim_buf_deinit(&b);
}

static bool never(void *user, size_t n)
{
    (void)user;
    (void)n;
    return false;
}

static void no_memory(void **state)
{
    (void)state;
    glim_buf b;
    glim_error e;
    write_file("file", "hello", 5);
    glim_buf_init(&b, 100);
    glim_alloc_set_hook(never, NULL);
    glim_err rc = glim_read_file(in_dir("file"), &b, &e);
    glim_alloc_set_hook(NULL, NULL);
    assert_int_equal(rc, GLIM_E_NOMEM);
    glim_buf_deinit(&b);
}

static void kinds_and_paths(void **state)
{
    (void)state;
    write_file("file", "x", 1);
    assert_true(glim_is_dir(dir));
    assert_false(glim_is_file(dir));
    assert_true(glim_is_file(in_dir("file")));
    assert_false(glim_is_dir(in_dir("file")));
    assert_false(glim_is_dir(in_dir("missing")));
    assert_false(glim_is_file(in_dir("missing")));
    assert_false(glim_is_file("/dev/null"));
    glim_arena *a = glim_arena_new(1000);
    assert_string_equal(glim_path_join(a, "d", "f"), "d/f");
    assert_string_equal(glim_path_join(a, "d/", "f"), "d/f");
    assert_string_equal(glim_path_join(a, "/", "f"), "/f");
    assert_string_equal(glim_path_join(a, "d", ""), "d/");
    static char endless[2000];
    memset(endless, 'd', sizeof endless - 1);
    assert_null(glim_path_join(a, endless, "f"));
    glim_arena_free(a);
}

static void memory(void **state)
{
    (void)state;
    uint64_t total = glim_mem_total(), available = glim_mem_available();
    if (total == 0) skip();
    assert_true(total >= (uint64_t)64 << 20);
    assert_true(available <= total);
    assert_true(available > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mapped),     cmocka_unit_test(refused),
        cmocka_unit_test(read_whole), cmocka_unit_test(read_standard_input),
        cmocka_unit_test(no_memory),  cmocka_unit_test(kinds_and_paths),
        cmocka_unit_test(memory),
    };
    return cmocka_run_group_tests(tests, make_dir, drop_dir);
}
