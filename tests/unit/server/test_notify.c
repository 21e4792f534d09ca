/* SPDX-License-Identifier: MIT
 * test_notify.c - what the service manager is told and hands over, with a socket of the test in its
 * place and variables that are right, wrong and hostile. */
#include "httpfix.h"
#include "server/notify.h"
#include "tmpfolder.h"

#include <fcntl.h>
#include <stddef.h>
#include <sys/un.h>
#include <sys/wait.h>

static int n_warning;

static void count_warnings(void *user, glim_log_level level, const char *area, const char *event,
                           const char *pairs)
{
    (void)user;
    (void)area;
    (void)pairs;
    if (level == GLIM_LOG_WARN && strcmp(event, "notify") == 0) n_warning++;
}

/* A socket of the manager's; path as $NOTIFY_SOCKET has it. */
static int manager(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    size_t n = strlen(path);
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    memcpy(a.sun_path, path, n);
    if (path[0] == '@') a.sun_path[0] = 0;
    socklen_t n_a = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, n_a), 0);
    return fd;
}

static void expect(int fd, const char *want)
{
    char got[256] = "";
    ssize_t n = recv(fd, got, sizeof got - 1, MSG_DONTWAIT);
    assert_int_equal(n, strlen(want));
    assert_string_equal(got, want);
}

static void tells(void **state)
{
    (void)state;
    tmp_folder t;
    char path[400], abstract[64];
    tmp_folder_make(&t);
    tmp_path(&t, "notify.sock", path);
    snprintf(abstract, sizeof abstract, "@glim-notify-%ld", (long)getpid());
    const char *const places[] = {path, abstract};
    for (size_t i = 0; i < GLIM_COUNT(places); i++) {
        int fd = manager(places[i]);
        setenv("NOTIFY_SOCKET", places[i], 1);
        glim_notify("READY=1\nSTATUS=serving");
        glim_notify("STOPPING=1");
        expect(fd, "READY=1\nSTATUS=serving");
        expect(fd, "STOPPING=1");
        assert_true(recv(fd, path, 0, MSG_DONTWAIT) < 0 && errno == EAGAIN);
        close(fd);
    }
    unsetenv("NOTIFY_SOCKET");
    tmp_folder_end(&t);
}

/* Nothing of this fails the caller; the log hears of it once. */
static void tells_nobody(void **state)
{
    (void)state;
    char longest[300];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    longest[0] = '/';
    glim_log_set(count_warnings, NULL, GLIM_LOG_WARN);
    n_warning = 0;
    glim_notify("READY=1"); /* no variable: no word */
    setenv("NOTIFY_SOCKET", "", 1);
    glim_notify("READY=1");
    assert_int_equal(n_warning, 0);
    static const char *const wrong[] = {"relative",        "@",        "/", "/no/such/socket",
                                        "@no-such-socket", "vsock:2:1"};
    for (size_t i = 0; i <= GLIM_COUNT(wrong); i++) {
        setenv("NOTIFY_SOCKET", i < GLIM_COUNT(wrong) ? wrong[i] : longest, 1);
        errno = 77;
        glim_notify("READY=1");
        assert_int_equal(errno, 77);
    }
    assert_int_equal(n_warning, 1);
    glim_log_set(NULL, NULL, GLIM_LOG_WARN);
    unsetenv("NOTIFY_SOCKET");
}

/* A manager that does not read holds the caller up for a second at most. */
static void tells_the_deaf(void **state)
{
    (void)state;
    char abstract[64];
    snprintf(abstract, sizeof abstract, "@glim-deaf-%ld", (long)getpid());
    int fd = manager(abstract), to = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    memcpy(a.sun_path + 1, abstract + 1, strlen(abstract) - 1);
    socklen_t n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(abstract));
    assert_int_equal(connect(to, (struct sockaddr *)&a, n), 0);
    while (send(to, "full", 4, 0) == 4)
        ;
    setenv("NOTIFY_SOCKET", abstract, 1);
    uint64_t from = glim_now_ns();
    glim_notify("WATCHDOG=1");
    assert_true(seconds_since(from) < 5);
    unsetenv("NOTIFY_SOCKET");
    close(to);
    close(fd);
}

/* ---- what is handed over ------------------------------------------------------------------------ */

/* In a child, where descriptors 3 and so on can be arranged. n_open sockets from 3 on. */
static size_t handed_over(const char *pid, const char *n, int n_open)
{
    int status, back[2];
    size_t got = 0;
    assert_int_equal(pipe(back), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        char own[32];
        const int *fds = NULL;
        int report = fcntl(back[1], F_DUPFD, 200);
        for (int fd = 3; fd < 200; fd++)
            close(fd);
        for (int fd = 3; fd < 3 + n_open; fd++)
            if (socket(AF_UNIX, SOCK_STREAM, 0) != fd) _exit(2);
        snprintf(own, sizeof own, "%ld", (long)getpid());
        pid ? setenv("LISTEN_PID", strcmp(pid, "own") == 0 ? own : pid, 1) : 0;
        n ? setenv("LISTEN_FDS", n, 1) : 0;
        setenv("LISTEN_FDNAMES", "http", 1);
        size_t k = glim_notify_fds(&fds);
        bool ok = !getenv("LISTEN_PID") && !getenv("LISTEN_FDS") && !getenv("LISTEN_FDNAMES");
        for (size_t i = 0; i < k; i++)
            ok = ok && fds[i] == 3 + (int)i && fcntl(fds[i], F_GETFD) == FD_CLOEXEC;
        ok = ok && write(report, &k, sizeof k) == (ssize_t)sizeof k;
        ok = ok && glim_notify_fds(&fds) == 0; /* they are taken once */
        _exit(ok ? 0 : 3);
    }
    close(back[1]);
    assert_int_equal(read(back[0], &got, sizeof got), sizeof got);
    close(back[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    return got;
}

static void hands_over(void **state)
{
    (void)state;
    static const char *const none[] = {
        "", "0", "-1", "x", "1x", " 1", "1.0", "65", "3", "4294967297", "99999999999999999999999"};
    assert_int_equal(handed_over("own", "1", 1), 1);
    assert_int_equal(handed_over("own", "2", 2), 2);
    assert_int_equal(handed_over("own", "64", 64), 64);
    assert_int_equal(handed_over(NULL, "1", 1), 0);
    assert_int_equal(handed_over("own", NULL, 1), 0);
    assert_int_equal(handed_over("1", "1", 1), 0); /* another process's */
    assert_int_equal(handed_over("me", "1", 1), 0);
    assert_int_equal(handed_over("-5", "1", 1), 0);
    for (size_t i = 0; i < GLIM_COUNT(none); i++) /* "3": only two are open */
        assert_int_equal(handed_over("own", none[i], 2), 0);
}

static void watchdog(void **state)
{
    (void)state;
    char own[32];
    static const struct {
        const char *usec;
        const char *pid;
        uint64_t ns;
    } rows[] = {
        {NULL, NULL, 0},
        {"30000000", NULL, 30000000000u},
        {"30000000", "own", 30000000000u},
        {"30000000", "1", 0},
        {"30000000", "x", 0},
        {"30000000", "", 0},
        {"1", "own", 1000},
        {"0", "own", 0},
        {"", "own", 0},
        {"-1", "own", 0},
        {"1s", "own", 0},
        {"18446744073709551615", "own", UINT64_MAX},
        {"18446744073709551616", "own", 0},
    };
    snprintf(own, sizeof own, "%ld", (long)getpid());
    for (size_t i = 0; i < GLIM_COUNT(rows); i++) {
        unsetenv("WATCHDOG_USEC");
        unsetenv("WATCHDOG_PID");
        const char *pid = rows[i].pid;
        if (rows[i].usec) setenv("WATCHDOG_USEC", rows[i].usec, 1);
        if (pid) setenv("WATCHDOG_PID", strcmp(pid, "own") == 0 ? own : pid, 1);
        assert_int_equal(glim_notify_watchdog_ns(), rows[i].ns);
    }
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
}

int main(void)
{
    unsetenv("NOTIFY_SOCKET");
    const struct CMUnitTest tests[] = {
        T(tells), T(tells_nobody), T(tells_the_deaf), T(hands_over), T(watchdog),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
