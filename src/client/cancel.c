/* SPDX-License-Identifier: MIT
 * cancel.c - something to cancel calls by, from any thread and from a signal handler.
 * Owns:   a flag, and a pipe that becomes readable with it and stays so: every call that waits sees it.
 * Thread: any; free and reset only while no call has it.   See: tests/client */
#include "client/client_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

struct glim_cancel {
    atomic_bool on;
    int fd[2];
};

glim_cancel *glim_cancel_new(void)
{
    glim_cancel *k = glim_new0(glim_cancel);
    if (!k) return NULL;
    if (pipe(k->fd) != 0) {
        glim_free(k);
        return NULL;
    }
    for (int i = 0; i < 2; i++) {
        (void)fcntl(k->fd[i], F_SETFD, FD_CLOEXEC);
        (void)fcntl(k->fd[i], F_SETFL, O_NONBLOCK);
    }
    atomic_init(&k->on, false);
    return k;
}

void glim_cancel_free(glim_cancel *k)
{
    if (!k) return;
    close(k->fd[0]);
    close(k->fd[1]);
    glim_free(k);
}

void glim_cancel_now(glim_cancel *k)
{
    int kept = errno; /* a signal handler must leave it as it was */
    if (!atomic_exchange(&k->on, true)) {
        ssize_t n;
        do
            n = write(k->fd[1], "", 1); /* full: readable already */
        while (n < 0 && errno == EINTR);
    }
    errno = kept;
}

void glim_cancel_reset(glim_cancel *k)
{
    char bytes[16];
    ssize_t n;
    do
        n = read(k->fd[0], bytes, sizeof bytes);
    while (n > 0 || (n < 0 && errno == EINTR));
    atomic_store(&k->on, false);
}

bool glim_cancel_is(const glim_cancel *k)
{
    return k && atomic_load(&k->on);
}

int glim_cancel_fd(const glim_cancel *k)
{
    return k ? k->fd[0] : -1;
}

glim_err glim_cancel_wait(const glim_cancel *k, int64_t ms, glim_error *e)
{
    uint64_t end = glim_now_ns() + (uint64_t)GLIM_MAX(ms, 0) * 1000000u;
    for (;;) {
        if (glim_cancel_is(k)) return glim_fail(e, GLIM_E_CANCELLED, "cancelled while waiting");
        uint64_t now = glim_now_ns();
        if (now >= end) return GLIM_OK;
        /* Rounded up, so that the last turn does not spin. */
        uint64_t left = (end - now + 999999u) / 1000000u;
        struct pollfd p = {.fd = glim_cancel_fd(k), .events = POLLIN};
        (void)poll(&p, 1, left > 60000 ? 60000 : (int)left);
    }
}
