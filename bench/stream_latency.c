/* SPDX-License-Identifier: MIT
 * stream_latency.c - how long a streamed event takes from the socket to the callback of glim_client_chat().
 *   stream_latency [events] [microseconds between two]
 * A thread of this program is the server: before it writes an event it notes the time, the callback notes it again. What is
 * measured is the way of one event: write, loopback, the client's wake-up, frames, JSON, callback. Prints one JSON line with
 * microseconds. A busy machine shows in the upper percentiles; the median is the client's. */
#include "base/base.h"
#include "glim/client.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

typedef struct run {
    int listener;
    size_t n, n_seen;
    long pause_us;
    _Atomic uint64_t *sent_ns; /* [n] */
    double *us;                /* [n] */
} run;

static bool send_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t k = send(fd, p, n, MSG_NOSIGNAL);
        if (k <= 0) return false;
        p += k;
        n -= (size_t)k;
    }
    return true;
}

/* The request ends with its head and the body that Content-Length tells; one read of it is enough here. */
static void *serve(void *arg)
{
    run *r = arg;
    char text[65536];
    int fd = accept(r->listener, NULL, NULL), on = 1;
    if (fd < 0) return NULL;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (recv(fd, text, sizeof text, 0) > 0)
        (void)send_all(fd, text,
                       (size_t)snprintf(text, sizeof text,
                                        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                                        "Connection: close\r\n\r\n"));
    for (size_t i = 0; i < r->n; i++) {
        nanosleep(&(struct timespec){.tv_sec = r->pause_us / 1000000,
                                     .tv_nsec = r->pause_us % 1000000 * 1000},
                  NULL);
        int n =
            snprintf(text, sizeof text,
                     "data: {\"id\":\"1\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,"
                     "\"delta\":{\"content\":\"%zu \"}}]}\n\n",
                     i);
        atomic_store(&r->sent_ns[i], glim_now_ns());
        if (!send_all(fd, text, (size_t)n)) break;
    }
    static const char end[] =
        "data: {\"id\":\"1\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},"
        "\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    (void)send_all(fd, end, sizeof end - 1);
    close(fd);
    return NULL;
}

static bool on_event(void *user, const glim_event *ev)
{
    run *r = user;
    uint64_t now = glim_now_ns();
    if (ev->kind != GLIM_EV_CONTENT) return true;
    /* Two events that came together are one call each. */
    size_t i = r->n_seen++;
    if (i < r->n) r->us[i] = (double)(now - atomic_load(&r->sent_ns[i])) / 1e3;
    return true;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static bool listen_somewhere(run *r, char url[64])
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    socklen_t n = sizeof a;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    r->listener = socket(AF_INET, SOCK_STREAM, 0);
    if (r->listener < 0 || bind(r->listener, (struct sockaddr *)&a, sizeof a) ||
        listen(r->listener, 4) || getsockname(r->listener, (struct sockaddr *)&a, &n))
        return false;
    snprintf(url, 64, "http://127.0.0.1:%d/api/paas/v4", ntohs(a.sin_port));
    return true;
}

static glim_err ask(run *r, const char *url, glim_error *e)
{
    const glim_message m = {.role = GLIM_ROLE_USER, .content = GLIM_STR("count")};
    glim_client_opts o;
    glim_client_ask q;
    glim_client *c;
    glim_client_opts_init(&o);
    o.base_url = url;
    o.api_key = "id.secret";
    o.proxy = "";
    glim_err rc = glim_client_new(&o, &c, e);
    if (rc) return rc;
    glim_client_ask_init(&q);
    q.chat.messages = &m;
    q.chat.n_message = 1;
    rc = glim_client_chat(c, &q, on_event, r, NULL, e);
    glim_client_free(c);
    return rc;
}

int main(int argc, char **argv)
{
    int64_t n = 2000, pause_us = 1000;
    if ((argc > 1 && (!glim_parse_i64(glim_str_of(argv[1]), &n) || n < 1 || n > 1000000)) ||
        (argc > 2 && (!glim_parse_i64(glim_str_of(argv[2]), &pause_us) || pause_us < 0)) ||
        argc > 3) {
        fprintf(stderr, "usage: stream_latency [events] [microseconds between two]\n");
        return 2;
    }
    run r = {.n = (size_t)n, .pause_us = (long)pause_us};
    r.sent_ns = calloc(r.n, sizeof *r.sent_ns);
    r.us = calloc(r.n, sizeof *r.us);
    char url[64];
    pthread_t server;
    glim_error e = {0};
    if (!r.sent_ns || !r.us || !listen_somewhere(&r, url) ||
        pthread_create(&server, NULL, serve, &r)) {
        perror("stream_latency");
        return 1;
    }
    glim_err rc = ask(&r, url, &e);
    pthread_join(server, NULL);
    close(r.listener);
    if (rc || r.n_seen != r.n) {
        fprintf(stderr, "stream_latency: %zu of %zu events came%s%s\n", r.n_seen, r.n,
                rc ? ": " : "", rc ? e.msg : "");
        return 1;
    }
    qsort(r.us, r.n, sizeof *r.us, ascending);
    printf("{\"events\":%zu,\"pause_us\":%ld,\"median_us\":%.1f,\"p90_us\":%.1f,\"p99_us\":%.1f,"
           "\"max_us\":%.1f}\n",
           r.n, r.pause_us, r.us[r.n / 2], r.us[r.n * 9 / 10], r.us[r.n * 99 / 100], r.us[r.n - 1]);
    free(r.sent_ns);
    free(r.us);
    return 0;
}
