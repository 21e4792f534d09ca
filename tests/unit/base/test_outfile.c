/* SPDX-License-Identifier: MIT
 * test_outfile.c - a file is there whole or not at all: what stays after success, failure, a full
 * disk, and targets that must not be replaced. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/base.h"
#include "failnth.h"
#include "tmpfolder.h"

static int count_files(const tmp_folder *t)
{
    int n = 0;
    DIR *d = opendir(t->path);
    assert_non_null(d);
    for (struct dirent *it; (it = readdir(d));)
        n += it->d_name[0] != '.';
    closedir(d);
    return n;
}

static void expect_text(const char *path, const char *text)
{
    glim_buf b;
    glim_error e = {0};
    glim_buf_init(&b, 1 << 20);
    if (glim_read_file(path, &b, &e)) fail_msg("%s", e.msg);
    assert_string_equal(b.p ? b.p : "", text);
    glim_buf_deinit(&b);
}

static void write_text(const char *path, const char *text)
{
    glim_outfile o;
    glim_error e = {0};
    if (glim_outfile_open(&o, path, &e) || glim_outfile_write(&o, text, strlen(text), &e) ||
        glim_outfile_commit(&o, &e))
        fail_msg("%s", e.msg);
    glim_outfile_discard(&o); /* fine after commit */
}

static void whole(void **state)
{
    (void)state;
    tmp_folder t;
    char path[400], link[400];
    struct stat st;
    tmp_folder_make(&t);
    tmp_path(&t, "a", path);
    write_text(path, "one");
    expect_text(path, "one");
    assert_int_equal(chmod(path, 0640), 0);
    write_text(path, ""); /* an empty one is a file too */
    expect_text(path, "");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);

    tmp_path(&t, "link", link);
    assert_int_equal(symlink("a", link), 0);
    write_text(link, "through the link");
    expect_text(path, "through the link");
    assert_int_equal(lstat(link, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_int_equal(count_files(&t), 2);
    tmp_folder_end(&t);
}

static void discarded(void **state)
{
    (void)state;
    tmp_folder t;
    char path[400];
    glim_outfile o, none = {0};
    glim_error e = {0};
    tmp_folder_make(&t);
    write_text(tmp_path(&t, "a", path), "old");
    assert_int_equal(glim_outfile_open(&o, path, &e), GLIM_OK);
    assert_int_equal(glim_outfile_reserve(&o, 100000, &e), GLIM_OK);
    assert_int_equal(glim_outfile_write(&o, "new", 3, &e), GLIM_OK);
    expect_text(path, "old");
    assert_int_equal(count_files(&t), 2);
    glim_outfile_discard(&o);
    glim_outfile_discard(&o);
    glim_outfile_discard(&none);
    expect_text(path, "old");
    assert_int_equal(count_files(&t), 1);

    /* What is reserved and not written is no part of the file. */
    assert_int_equal(glim_outfile_open(&o, path, &e), GLIM_OK);
    assert_int_equal(glim_outfile_reserve(&o, 100000, &e), GLIM_OK);
    assert_int_equal(glim_outfile_write(&o, "new", 3, &e), GLIM_OK);
    assert_int_equal(glim_outfile_commit(&o, &e), GLIM_OK);
    expect_text(path, "new");

    /* Two writers of one name do not meet; the later one wins. */
    glim_outfile p;
    assert_int_equal(glim_outfile_open(&o, path, &e), GLIM_OK);
    assert_int_equal(glim_outfile_open(&p, path, &e), GLIM_OK);
    assert_int_equal(glim_outfile_write(&o, "first", 5, &e), GLIM_OK);
    assert_int_equal(glim_outfile_write(&p, "second", 6, &e), GLIM_OK);
    assert_int_equal(glim_outfile_commit(&o, &e), GLIM_OK);
    assert_int_equal(glim_outfile_commit(&p, &e), GLIM_OK);
    expect_text(path, "second");
    assert_int_equal(count_files(&t), 1);
    tmp_folder_end(&t);
}

static void refused(void **state)
{
    (void)state;
    tmp_folder t;
    char path[400], dangling[400];
    glim_outfile o;
    tmp_folder_make(&t);
    tmp_path(&t, "no/such/folder", path);
    tmp_path(&t, "dangling", dangling);
    assert_int_equal(symlink("nowhere/file", dangling), 0);
    const struct {
        const char *path;
        glim_err rc;
        const char *says;
    } cases[] = {
        {"", GLIM_E_IO, "empty"},
        {t.path, GLIM_E_IO, "a folder"},
        {"/dev/null", GLIM_E_IO, "a device"}, /* a rename would put a file in its place */
        {path, GLIM_E_NOTFOUND, "No such file"},
        {dangling, GLIM_E_IO, "leads nowhere"},
    };
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        glim_error e = {0};
        assert_int_equal(glim_outfile_open(&o, cases[i].path, &e), cases[i].rc);
        if (!strstr(e.msg, cases[i].says)) fail_msg("%s", e.msg);
    }
    assert_int_equal(count_files(&t), 1);
    tmp_folder_end(&t);
}

/* A limit on file sizes behaves like a full disk: a short write, then an error. */
static void full(void **state)
{
    (void)state;
    tmp_folder t;
    char path[400];
    static char bytes[10000];
    struct rlimit old, small;
    glim_outfile o;
    glim_error e = {0};
    tmp_folder_make(&t);
    write_text(tmp_path(&t, "a", path), "old");
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = old;
    small.rlim_cur = 5000;
    assert_int_equal(glim_outfile_open(&o, path, &e), GLIM_OK);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    glim_err reserved = glim_outfile_reserve(&o, sizeof bytes, NULL); /* where that can be done */
    glim_err rc = glim_outfile_write(&o, bytes, sizeof bytes, &e);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_true(reserved == GLIM_OK || reserved == GLIM_E_IO);
    assert_int_equal(rc, GLIM_E_IO);
    assert_non_null(strstr(e.msg, strerror(EFBIG)));
    assert_non_null(strstr(e.msg, "after 5000 bytes"));
    glim_outfile_discard(&o);
    expect_text(path, "old");
    assert_int_equal(count_files(&t), 1);
    tmp_folder_end(&t);
}

/* The folder disappears before the file gets its name. */
static void lost_folder(void **state)
{
    (void)state;
    tmp_folder t;
    char sub[400], path[400];
    glim_outfile o;
    glim_error e = {0};
    tmp_folder_make(&t);
    tmp_path(&t, "sub", sub);
    tmp_path(&t, "sub/a", path);
    assert_int_equal(mkdir(sub, 0755), 0);
    assert_int_equal(glim_outfile_open(&o, path, &e), GLIM_OK);
    assert_int_equal(unlink(o.temp), 0);
    assert_int_equal(rmdir(sub), 0);
    assert_int_equal(glim_outfile_commit(&o, &e), GLIM_E_IO);
    assert_non_null(strstr(e.msg, "name"));
    glim_outfile_discard(&o);
    tmp_folder_end(&t);
}

static void no_memory(void **state)
{
    (void)state;
    tmp_folder t;
    char path[400];
    tmp_folder_make(&t);
    tmp_path(&t, "a", path);
    for (int64_t n = 0;; n++) {
        fail_nth f;
        glim_outfile o;
        glim_error e = {0};
        fail_nth_begin(&f, n);
        glim_err rc = glim_outfile_open(&o, path, &e);
        fail_nth_end();
        if (!rc) {
            glim_outfile_discard(&o);
            assert_true(n >= 2);
            break;
        }
        assert_int_equal(rc, GLIM_E_NOMEM);
        assert_int_equal(count_files(&t), 0);
    }
    tmp_folder_end(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole), cmocka_unit_test(discarded),   cmocka_unit_test(refused),
        cmocka_unit_test(full),  cmocka_unit_test(lost_folder), cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
