/* SPDX-License-Identifier: MIT
 * test_read.c - the system does not read as asked: open, fstat, read and readdir fail with errno at
 * each of their calls in turn, reads come short, and signals interrupt everything. A failure is IO
 * with the file's name; short reads and interruptions are nobody's business. */
#include "base/base.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

#include "fault.h"
#include "tmpfolder.h"

static tmp_folder tmp;

/* ---- system calls that fail ------------------------------------------------------------------ */

typedef enum sys { SYS_OPEN, SYS_FSTAT, SYS_READ, SYS_READDIR, N_SYS } sys;

static struct {
    int64_t n, fail_at; /* calls from 0; -1: none fails */
    int err;
    size_t at_most; /* bytes of a read; 0: as asked */
    int n_refused;  /* reads that are refused with err before one is done */
} fault[N_SYS];

static void no_faults(void)
{
    for (int i = 0; i < N_SYS; i++) {
        memset(&fault[i], 0, sizeof fault[i]);
        fault[i].fail_at = -1;
    }
}

static bool fails(sys s)
{
    if (fault[s].n++ != fault[s].fail_at) return false;
    errno = fault[s].err;
    return true;
}

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
    return fails(SYS_OPEN) ? -1 : __real_open(path, flags, 0600);
}

int __real_fstat(int fd, struct stat *st);
int __wrap_fstat(int fd, struct stat *st);
int __wrap_fstat(int fd, struct stat *st)
{
    return fails(SYS_FSTAT) ? -1 : __real_fstat(fd, st);
}

ssize_t __real_read(int fd, void *p, size_t n);
ssize_t __wrap_read(int fd, void *p, size_t n);
ssize_t __wrap_read(int fd, void *p, size_t n)
{
    static int refused;
    if (fails(SYS_READ)) return -1;
    if (refused < fault[SYS_READ].n_refused) {
        refused++;
        errno = fault[SYS_READ].err;
        return -1;
    }
    refused = 0;
    return __real_read(fd, p, fault[SYS_READ].at_most ? GLIM_MIN(n, fault[SYS_READ].at_most) : n);
}

struct dirent *__real_readdir(DIR *d);
struct dirent *__wrap_readdir(DIR *d);
struct dirent *__wrap_readdir(DIR *d)
{
    return fails(SYS_READDIR) ? NULL : __real_readdir(d);
}

/* ---- whole files ----------------------------------------------------------------------------- */

static char text[150000];

static void test_read_file(void **state)
{
    (void)state;
    char path[400];
    glim_buf b;
    glim_error e = {0};
    tmp_write(&tmp, "file", text, sizeof text);
    tmp_path(&tmp, "file", path);
    glim_buf_init(&b, sizeof text);

    static const struct {
        size_t at_most;
        int n_refused, err;
    } ways[] = {{0, 0, 0}, {1, 0, 0}, {4095, 0, 0}, {1000, 3, EINTR}, {7000, 1, EAGAIN}};
    for (size_t i = 0; i < GLIM_COUNT(ways); i++) {
        no_faults();
        fault[SYS_READ].at_most = ways[i].at_most;
        fault[SYS_READ].n_refused = ways[i].n_refused;
        fault[SYS_READ].err = ways[i].err;
        if (glim_read_file(path, &b, &e)) fail_msg("way %zu: %s", i, e.msg);
        assert_int_equal(b.n, sizeof text);
        assert_memory_equal(b.p, text, sizeof text);
        glim_buf_clear(&b);
    }
    no_faults();
    assert_int_equal(glim_read_file(path, &b, &e), GLIM_OK);
    const int64_t n_read = fault[SYS_READ].n;
    size_t fds = count_fds();
    for (int64_t i = 0; i < n_read; i++) {
        no_faults();
        fault[SYS_READ].fail_at = i;
        fault[SYS_READ].err = EIO;
        glim_buf_clear(&b);
        assert_int_equal(glim_read_file(path, &b, &e), GLIM_E_IO);
        if (!strstr(e.msg, path) || !strstr(e.msg, strerror(EIO))) fail_msg("%s", e.msg);
        assert_int_equal(count_fds(), fds);
    }
    no_faults();
    /* A regular file whose first byte cannot be read, without any help. */
    if (access("/proc/self/mem", R_OK) == 0) {
        glim_buf_clear(&b);
        assert_int_equal(glim_read_file("/proc/self/mem", &b, &e), GLIM_E_IO);
        assert_non_null(strstr(e.msg, "/proc/self/mem"));
    }
    glim_buf_deinit(&b);
}

/* ---- models ---------------------------------------------------------------------------------- */

static glim_err open_vocab(const char *path, glim_error *e)
{
    glim_vocab *v = NULL;
    *e = (glim_error){0};
    glim_err rc = glim_vocab_open(path, &v, e);
    if (rc) assert_null(v);
    glim_vocab_close(v);
    return rc;
}

static glim_err open_model(const char *path, glim_error *e)
{
    glim_model_opts o;
    glim_model *m = NULL;
    tiny_opts(&o, 1);
    *e = (glim_error){0};
    glim_err rc = glim_model_open(path, &o, &m, e);
    if (rc) assert_null(m);
    glim_model_close(m);
    return rc;
}

static void each_call_fails(sys s, int err, glim_err (*open_it)(const char *, glim_error *),
                            const char *path)
{
    glim_error e;
    no_faults();
    if (open_it(path, &e)) fail_msg("%s", e.msg);
    const int64_t n = fault[s].n;
    const size_t fds = count_fds();
    assert_true(n > 0);
    for (int64_t i = 0; i < n; i++) {
        no_faults();
        fault[s].fail_at = i;
        fault[s].err = err;
        glim_err rc = open_it(path, &e);
        if (err == EINTR) {
            if (rc) fail_msg("%s: interrupted at %lld: %s", path, (long long)i, e.msg);
        } else if (rc != GLIM_E_IO || !strstr(e.msg, path) || !strstr(e.msg, strerror(err))) {
            fail_msg("%s: call %d, time %lld, %s: gives %d (%s)", path, (int)s, (long long)i,
                     strerror(err), (int)rc, e.msg);
        }
        assert_int_equal(count_fds(), fds);
    }
    no_faults();
}

static void test_models(void **state)
{
    (void)state;
    static const int errs[] = {EIO, EACCES, EMFILE, ENFILE, EINTR};
    char folder[400], path[400];
    snprintf(folder, sizeof folder, "%s/folder", tmp.path);
    assert_int_equal(mkdir(folder, 0700), 0);
    snprintf(path, sizeof path, "%s/folder/model.gguf", tmp.path);
    assert_int_equal(symlink(TINY_GGUF, path), 0);
    for (size_t i = 0; i < GLIM_COUNT(errs); i++) {
        each_call_fails(SYS_OPEN, errs[i], open_vocab, TINY_GGUF);
        each_call_fails(SYS_OPEN, errs[i], open_vocab, TINY_DIR);
        each_call_fails(SYS_OPEN, errs[i], open_model, TINY_GGUF);
        each_call_fails(SYS_OPEN, errs[i], open_model, TINY_DIR);
    }
    each_call_fails(SYS_FSTAT, EIO, open_model, TINY_GGUF);
    each_call_fails(SYS_FSTAT, EIO, open_model, TINY_DIR);
    each_call_fails(SYS_READDIR, EIO, open_model, folder);
    assert_int_equal(unlink(path), 0);
}

/* ---- signals --------------------------------------------------------------------------------- */

static atomic_int n_alarm;

static void on_alarm(int sig)
{
    (void)sig;
    atomic_fetch_add(&n_alarm, 1);
}

static void alarms(bool on)
{
    struct sigaction sa = {.sa_handler = on_alarm}; /* no SA_RESTART: calls return EINTR */
    struct itimerval every = {{0, on ? 300 : 0}, {0, on ? 300 : 0}};
    sigemptyset(&sa.sa_mask);
    assert_int_equal(sigaction(SIGALRM, &sa, NULL), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &every, NULL), 0);
}

/* Writes to a pipe in small pieces with pauses, so that reading waits again and again. */
static void *write_slowly(void *arg)
{
    const struct timespec pause = {.tv_nsec = 3000000};
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL); /* the reader shall have them */
    nanosleep(&pause, NULL);
    int fd = __real_open(arg, O_WRONLY); /* the count of calls is the reader's */
    for (size_t at = 0; fd >= 0 && at < sizeof text;) {
        ssize_t n = write(fd, text + at, GLIM_MIN(sizeof text - at, (size_t)30000));
        if (n > 0) at += (size_t)n;
        nanosleep(&pause, NULL);
    }
    if (fd >= 0) close(fd);
    return NULL;
}

static void read_pipe(void)
{
    char path[400];
    pthread_t t;
    glim_buf b;
    glim_error e = {0};
    assert_int_equal(mkfifo(tmp_path(&tmp, "pipe", path), 0600), 0);
    assert_int_equal(pthread_create(&t, NULL, write_slowly, path), 0);
    glim_buf_init(&b, sizeof text);
    if (glim_read_file(path, &b, &e)) fail_msg("%s", e.msg);
    assert_int_equal(b.n, sizeof text);
    assert_memory_equal(b.p, text, sizeof text);
    glim_buf_deinit(&b);
    pthread_join(t, NULL);
    assert_int_equal(unlink(path), 0);
}

static bool add_event(void *user, const glim_event *ev)
{
    uint64_t *sum = user;
    for (size_t i = 0; i < ev->text.n; i++)
        *sum = *sum * 31 + (unsigned char)ev->text.p[i];
    return true;
}

/* What a seeded generation says, as a number. */
static uint64_t generate(int n_thread)
{
    const glim_message msg = {.role = GLIM_ROLE_USER, .content = S("Hi")};
    const glim_chat chat = {
        .messages = &msg, .n_message = 1, .think = GLIM_ON, .keep_old = GLIM_UNSET};
    glim_gen_opts o;
    glim_error e = {0};
    uint64_t sum = 1;
    glim_model *m = tiny_open(TINY_GGUF, n_thread);
    glim_session *s = tiny_session(m);
    glim_gen_opts_init(&o);
    o.has_seed = true;
    o.n_max = 100;
    o.ignore_eos = true;
    if (glim_generate(s, &chat, &o, add_event, &sum, &e)) fail_msg("%s", e.msg);
    glim_session_free(s);
    glim_model_close(m);
    return sum;
}

static void test_signals(void **state)
{
    (void)state;
    glim_error e;
    no_faults();
    uint64_t said = generate(1);
    atomic_store(&n_alarm, 0);
    alarms(true);
    for (int i = 0; i < 5; i++) {
        read_pipe();
        if (open_vocab(TINY_GGUF, &e) || open_vocab(TINY_DIR, &e) || open_model(TINY_DIR, &e))
            fail_msg("%s", e.msg);
        assert_true(generate(1 + i % 3) == said);
    }
    alarms(false);
    assert_true(atomic_load(&n_alarm) > 100);
}

static int setup(void **state)
{
    (void)state;
    glim_rng r;
    glim_rng_seed(&r, 1);
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)glim_rng_u64(&r);
    tmp_folder_make(&tmp);
    no_faults();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    tmp_folder_end(&tmp);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read_file),
        cmocka_unit_test(test_models),
        cmocka_unit_test(test_signals),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
