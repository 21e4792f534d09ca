/* SPDX-License-Identifier: MIT
 * conn_priv.h - what the files of the HTTP layer share: the server, its connections, their exchanges.
 * Thread: I/O, but for what stands under "posts". */
#ifndef GLIM_SERVER_CONN_PRIV_H
#define GLIM_SERVER_CONN_PRIV_H

#include "server/http_priv.h"
#include "server/tls.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#define GLIM_HTTP_ADDRESS 72 /* "[v6]:port" and a NUL fit */

typedef struct glim_http_conn glim_http_conn;

/* One request and its reply. It leaves its connection when the reply is out, and lives on while it is held. */
typedef struct glim_http_exchange {
    glim_http_req rq; /* first: the handler's pointer is the exchange */
    glim_http_reader r;
    struct glim_http_exchange *prev, *next; /* of those told and not done; next alone: spares */
    size_t n_hold;
    bool attached; /* its connection still reads into it */
    bool told;     /* a handler has seen it: on_done is owed */
    bool begun;    /* the reply's head is written */
    bool whole;    /* so is its end */
    bool over;     /* the reply is out, or the client is gone */
    bool done;     /* on_done was called */
    bool stream, chunked, bodiless, aborted;
    bool wants_room; /* on_room is owed */
    char peer[GLIM_HTTP_ADDRESS];
} glim_http_exchange;

typedef enum glim_http_phase {
    GLIM_CONN_HELLO, /* TLS: the handshake */
    GLIM_CONN_IDLE, /* no byte of a message yet */
    GLIM_CONN_HEAD,
    GLIM_CONN_BODY,
    GLIM_CONN_SKIP,  /* the reply was made at the head; a short body is thrown away */
    GLIM_CONN_RUN,   /* the message is in, or will not be read further */
    GLIM_CONN_LINGER /* our side is shut; the client gets time to read the reply */
} glim_http_phase;

struct glim_http_conn {
    glim_http *http;
    glim_http_conn *prev, *next;             /* all */
    glim_http_conn *prev_dirty, *next_dirty; /* those to look at before the callback ends */
    int fd;
    glim_http_phase phase;
    bool dirty, doomed;
    bool eof;              /* the client has shut its side */
    bool close_after;      /* behind the reply */
    bool reading, writing; /* which events are added */
    bool loopback;
    bool first_seen;    /* TLS: the first byte was looked at */
    bool bye_waits;     /* TLS: there was no room yet for our last bytes */
    glim_tls_link *tls; /* NULL: plain */
    glim_http_exchange *x;
    glim_buf in, out; /* in: at most GLIM_HTTP_IN bytes that are not taken yet */
    size_t in_at, out_at;
    uint64_t t_since; /* of the phase, ns */
    uint64_t t_byte;  /* last one read */
    uint64_t t_sent;  /* last progress of sending */
    uint64_t t_look;  /* when a connection that is not read is looked at */
    uint64_t t_timer; /* when the timer fires; 0: not added */
    struct event ev_read, ev_write, timer;
    char peer[GLIM_HTTP_ADDRESS];
};

#define GLIM_HTTP_IN ((size_t)64 << 10)

typedef struct glim_http_listener {
    glim_http *http;
    int fd;
    bool loopback, tls;
    bool inherited; /* the caller's until the server stands */
    struct event ev;
} glim_http_listener;

typedef struct glim_http_place {
    char text[112]; /* "host:port", or the path of a socket */
    bool tls;
} glim_http_place;

typedef struct glim_http_posted {
    void (*fn)(void *arg);
    void *arg;
} glim_http_posted;

typedef struct glim_http_posts {
    glim_http_posted *p;
    size_t n, cap;
} glim_http_posts;

struct glim_http_every;

struct glim_http {
    glim_http_opts o; /* nothing of it that points elsewhere is kept, but user */
    struct event_base *base;
    glim_http_listener *listeners;
    size_t n_listener;
    glim_http_place *places; /* of each option or inherited socket, in order */
    size_t n_place;
    glim_tls *tls; /* what new connections get; NULL: none */
    char *tls_cert, *tls_key;
    bool running, listening, draining;
    struct event ev_retry, ev_wake;
    uint64_t t_warned; /* of running out of descriptors */
    glim_http_conn *conns, *dirty;
    size_t n_conn;
    glim_http_exchange *open, *spare;
    size_t n_open, n_spare;
    struct glim_http_every *everys;
    uint64_t now, t_date;
    char date[48];
    /* posts: any thread */
    int wake[2];
    atomic_bool stop;
    pthread_mutex_t lock; /* guards the next two */
    glim_http_posts posts;
    bool closed;
    glim_http_posts taken; /* I/O thread's: being run */
    char scratch[64 << 10];
};

/* ---- listen.c ---- */
/* Opens the sockets of all options into h. Errors: as glim_http_new(); what was opened is h's. */
GLIM_MUST_USE glim_err glim_http_listen(glim_http *h, const char *const *list, size_t n,
                                        glim_error *e);
/* The same for sockets that listen already; without success they stay the caller's. */
GLIM_MUST_USE glim_err glim_http_inherit(glim_http *h, const int *fds, size_t n, glim_error *e);
/* "127.0.0.1:8000", "[::1]:8000", "unix:0". */
void glim_http_address_text(const struct sockaddr *sa, char out[GLIM_HTTP_ADDRESS]);

/* ---- http.c ---- */
/* Accepts again if there is room: a connection was closed. */
void glim_http_accept_again(glim_http *h);

/* ---- conn.c ---- */
/* Takes fd, also on failure. */
void glim_http_conn_open(const glim_http_listener *l, int fd, const struct sockaddr *peer);
/* Has it looked at before the present callback ends; nothing is closed or sent before. */
void glim_http_conn_mark(glim_http_conn *c);
/* Ends every callback of the loop: sends, goes on, closes. */
void glim_http_settle(glim_http *h);
static inline size_t glim_http_conn_unsent(const glim_http_conn *c)
{
    return c->out.n - c->out_at;
}
/* A body that is read and thrown away rather than that the connection is closed. */
bool glim_http_conn_skips(const glim_http_conn *c);
void glim_http_exchange_done(glim_http *h, glim_http_exchange *x);
void glim_http_exchange_free(glim_http_exchange *x);

#endif
