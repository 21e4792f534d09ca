/* SPDX-License-Identifier: MIT
 * notify.c - the service manager's protocol: a datagram for what is told, variables for what is handed over.
 * Not here: what is told and when (the server's and the command line's), checks of the sockets (listen.c).
 * Thread: as notify.h says.
 * Fails:  never; what the environment says wrongly is logged and left.   See: tests/unit/server/test_notify.c */
#include "server/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif
#define FIRST_FD 3

/* ---- telling ------------------------------------------------------------------------------------ */

static void complain(const char *address, const char *why)
{
    static atomic_flag said = ATOMIC_FLAG_INIT;
    if (atomic_flag_test_and_set(&said)) return;
    GLIM_WARN("server", "notify", "NOTIFY_SOCKET=%s error=%s; the service manager is not told",
              GLIM_QUOTE(glim_str_of(address)), GLIM_QUOTE(glim_str_of(why)));
}

/* A path, or "@name" for a socket without a file. 0: neither. */
static socklen_t address_of(const char *text, struct sockaddr_un *out)
{
    size_t n = strlen(text);
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    if ((text[0] != '/' && text[0] != '@') || n < 2 || n >= sizeof out->sun_path) return 0;
    memcpy(out->sun_path, text, n);
    if (text[0] == '@') out->sun_path[0] = 0;
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
}

static int open_datagram(void)
{
    const struct timeval second = {.tv_sec = 1};
    int on = 1, fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    if (fd < 0) return -1;
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &second, sizeof second);
#ifdef SO_NOSIGPIPE
    (void)setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on);
#else
    (void)on;
#endif
    return fd;
}

void glim_notify(const char *state)
{
    struct sockaddr_un to;
    const char *address = getenv("NOTIFY_SOCKET");
    int saved = errno;
    if (!address || !address[0]) return;
    socklen_t n_to = address_of(address, &to);
    if (!n_to) {
        complain(address, "neither a path nor @name");
        return;
    }
    int fd = open_datagram();
    ssize_t n = -1;
    while (fd >= 0) {
        n = sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&to, n_to);
        if (n >= 0 || errno != EINTR) break;
    }
    if (n < 0) complain(address, strerror(errno));
    if (fd >= 0) close(fd);
    errno = saved;
}

/* ---- what is handed over ------------------------------------------------------------------------ */

/* The number in a variable. False: it is not there, or (logged) it is none. */
static bool number(const char *name, uint64_t *out)
{
    const char *text = getenv(name);
    if (!text || !text[0]) return false;
    if (glim_parse_u64(glim_str_of(text), out)) return true;
    GLIM_WARN("server", "notify", "%s=%s: not a number; it is ignored", name,
              GLIM_QUOTE(glim_str_of(text)));
    return false;
}

static size_t count_fds(void)
{
    uint64_t pid, n;
    if (!number("LISTEN_PID", &pid) || !number("LISTEN_FDS", &n)) return 0;
    if (pid != (uint64_t)getpid() || n == 0) return 0;
    if (n > GLIM_NOTIFY_FDS) {
        GLIM_WARN("server", "notify", "LISTEN_FDS=%llu: more than %d; none is taken",
                  (unsigned long long)n, GLIM_NOTIFY_FDS);
        return 0;
    }
    for (int fd = FIRST_FD; fd < FIRST_FD + (int)n; fd++) {
        int flags = fcntl(fd, F_GETFD);
        if (flags >= 0 && fcntl(fd, F_SETFD, flags | FD_CLOEXEC) == 0) continue;
        GLIM_WARN("server", "notify", "LISTEN_FDS=%llu but descriptor %d: %s; none is taken",
                  (unsigned long long)n, fd, strerror(errno));
        return 0;
    }
    return (size_t)n;
}

size_t glim_notify_fds(const int **fds)
{
    static int all[GLIM_NOTIFY_FDS];
    size_t n = count_fds();
    (void)unsetenv("LISTEN_PID");
    (void)unsetenv("LISTEN_FDS");
    (void)unsetenv("LISTEN_FDNAMES");
    for (size_t i = 0; i < n; i++)
        all[i] = FIRST_FD + (int)i;
    *fds = all;
    return n;
}

uint64_t glim_notify_watchdog_ns(void)
{
    uint64_t usec, pid;
    const char *whose = getenv("WATCHDOG_PID");
    if (!number("WATCHDOG_USEC", &usec) || usec == 0) return 0;
    if (whose && (!number("WATCHDOG_PID", &pid) || pid != (uint64_t)getpid())) return 0;
    return usec > UINT64_MAX / 1000 ? UINT64_MAX : usec * 1000;
}
