/* SPDX-License-Identifier: MIT
 * notify.h - what a service manager (systemd and those that speak like it) is told and hands over, without its library.
 * Source: sd_notify(3), sd_listen_fds(3), sd_watchdog_enabled(3). */
#ifndef GLIM_SERVER_NOTIFY_H
#define GLIM_SERVER_NOTIFY_H

#include "base/base.h"

/* Sends state ("READY=1", "STOPPING=1\nSTATUS=...", "WATCHDOG=1") as one datagram to the socket that $NOTIFY_SOCKET names;
 * without one it does nothing. What goes wrong is logged, the first time only: a service works without its manager. Waits
 * at most a second for a manager that does not read. Thread: any, while nobody changes the environment. */
void glim_notify(const char *state);

#define GLIM_NOTIFY_FDS 64 /* more are not taken */
/* The listening sockets that were handed over: their count and descriptors (3, 4, ...), which are the caller's from now
 * on and end at exec. 0 without any, and when the variables are not meant for this process or make no sense (logged).
 * Removes LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES from the environment: children must not take them for theirs. Static
 * memory. Once, before there are threads. */
size_t glim_notify_fds(const int **fds);

/* Within which time the manager wants to hear "WATCHDOG=1" again (send it at half of it); 0: it does not. Thread: as
 * glim_notify(). */
uint64_t glim_notify_watchdog_ns(void);

#endif
