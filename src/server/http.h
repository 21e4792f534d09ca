/* SPDX-License-Identifier: MIT
 * http.h - an HTTP/1.1 server on libevent with a strict reader; knows bytes, heads and bodies, no route and no key.
 * Thread: one I/O thread runs the loop; functions say where they may be called.
 * Life of an exchange: on_head (request line and headers are in, the body is not), on_request (the body is in), a reply,
 * on_done exactly once, after which the memory may go. A client that goes away first gives on_gone before on_done. */
#ifndef GLIM_SERVER_HTTP_H
#define GLIM_SERVER_HTTP_H

#include "base/base.h"

typedef struct glim_http glim_http;
typedef struct glim_http_req glim_http_req;

typedef enum glim_method {
    GLIM_GET, GLIM_HEAD, GLIM_POST, GLIM_PUT, GLIM_DELETE, GLIM_OPTIONS, GLIM_PATCH, GLIM_OTHER_METHOD
} glim_method;

/* Why a message was refused by the reader; the server answers in the dialect of the path (problem of api). */
typedef enum glim_http_fault {
    GLIM_HTTP_OK, GLIM_HTTP_MALFORMED, GLIM_HTTP_HEAD_TOO_LARGE, GLIM_HTTP_BODY_TOO_LARGE, GLIM_HTTP_ENCODED_BODY,
    GLIM_HTTP_TIMEOUT, GLIM_HTTP_VERSION, GLIM_HTTP_EXPECTATION, GLIM_HTTP_NOMEM
} glim_http_fault;
/* 400, 431, 413, 415, 408, 505, 417, 503; 200 for OK. Thread: any. */
int glim_http_fault_status(glim_http_fault f);

typedef struct glim_http_header {
    glim_str name, value; /* value without blanks at its ends */
} glim_http_header;

struct glim_http_req {
    glim_http *http;
    glim_arena *arena;     /* of the exchange */
    glim_method method;
    /* path: percent-decoded, begins with "/" ("/" for the target "*" and when the request line was not read); query: as
     * it came, without "?" */
    glim_str method_text, target, path, query;
    const glim_http_header *headers;
    size_t n_header;
    glim_str body;
    glim_str peer;         /* "127.0.0.1:40404", "[::1]:40404", "unix:0" */
    bool loopback_listener; /* the listener is on a loopback address or a socket in the file system */
    bool tls;              /* came over TLS; false for plain HTTP that is refused on a TLS port */
    bool http10;           /* HTTP/1.0: no chunks, so a stream ends with the connection */
    uint64_t t_head_ns;    /* when the head was in */
    glim_http_fault fault; /* with fault_text: on_fault only */
    const char *fault_text;
    void *user;            /* the handler's own */
    struct glim_http_conn *conn; /* private; NULL once the client is gone or the reply is out */
};
/* First header of that name, case ignored; .p NULL when absent. Count of them. */
glim_str glim_http_header_get(const glim_http_req *rq, const char *name);
size_t glim_http_header_count(const glim_http_req *rq, const char *name);

typedef struct glim_http_opts {
    /* "127.0.0.1:8000", "[::1]:8000"; port 0: any free one. With a certificate each speaks TLS, unless "http://" stands
     * before it; "https://" before it: TLS, and an error without a certificate. */
    const char *const *listen;
    size_t n_listen;
    /* Sockets that listen already (of the service manager), IPv4, IPv6 or AF_UNIX. With any of them, listen is not looked
     * at. Taken by glim_http_new() when it succeeds. With a certificate they speak TLS, AF_UNIX never. */
    const int *fds;
    size_t n_fd;
    const char *tls_cert, *tls_key; /* PEM files, both or none; tls.h */
    size_t head_max, body_max;      /* bytes: 64 KiB, 32 MiB */
    /* Whole head 20 s; body: no byte for 20 s, or more than three times that plus 1 s a 100 KiB in all; keep-alive idle
     * 75 s; a send without progress 60 s. */
    int64_t head_ms, body_ms, idle_ms, write_ms;
    size_t n_conn_max;              /* 4,096; beyond it new connections wait in the backlog */
    /* All on the I/O thread; all but on_request may be NULL (on_fault: then the status alone is the answer). */
    /* The head is in. Returning false means that a reply was made already (the body is read and thrown away when it is
     * short, else the connection closes behind the reply). */
    bool (*on_head)(void *user, glim_http_req *rq);
    void (*on_request)(void *user, glim_http_req *rq);
    /* The reader refused the message: answer it, the connection closes behind the reply. For a fault of the body (too
     * large, slow, malformed) it comes after on_head, for the same rq; on_request then never comes. */
    void (*on_fault)(void *user, glim_http_req *rq);
    /* The client left before the reply was whole, or stopped reading it. on_done follows at once, unless held. */
    void (*on_gone)(void *user, glim_http_req *rq);
    void (*on_room)(void *user, glim_http_req *rq); /* a stream's unsent bytes fell below the low mark */
    void (*on_done)(void *user, glim_http_req *rq); /* the exchange is over; rq is freed when this returns */
    void *user;
} glim_http_opts;
void glim_http_opts_init(glim_http_opts *o);

/* Whether text is written as an address ("HOST:PORT", "[::1]:8000", "http://" or "https://" before it). Errors: INPUT.
 * Thread: any, pure. */
GLIM_MUST_USE glim_err glim_http_check_address(const char *text, glim_error *e);
/* The part of text behind "http://" or "https://"; text without one. Thread: any, pure. */
const char *glim_http_bare_address(const char *text);
/* Copies o. Binds all listeners; nothing is accepted before glim_http_run(). A name that stands for several addresses is
 * bound to each of them, with port 0 to the first only. What is doubtful about the certificate goes to the log. Errors: IO
 * (address and errno's text: in use, not allowed), INPUT (an address that is none, a descriptor that is no listening
 * socket), those of glim_tls_new(), NOMEM. */
GLIM_MUST_USE glim_err glim_http_new(const glim_http_opts *o, glim_http **out, glim_error *e);
/* After glim_http_run() has returned, from the same thread. Open exchanges get on_gone and on_done, held ones too: no
 * thread may use them any more. */
void glim_http_free(glim_http *h);
/* "host:port" of listener i with the port that was really taken, the path of an AF_UNIX socket ("@name" for an abstract
 * one); "" beyond the end. */
const char *glim_http_address(const glim_http *h, size_t i);
bool glim_http_is_tls(const glim_http *h, size_t i); /* false beyond the end */
/* Reads certificate and key again: new connections use them, open ones go on undisturbed. On an error everything stays as
 * it was. Errors and warning: as glim_tls_new(), and STATE when the server has no certificate. I/O thread, which waits
 * for the disk meanwhile. */
GLIM_MUST_USE glim_err glim_http_reload(glim_http *h, char *warning, size_t n_warning, glim_error *e);
/* Runs the loop on the calling thread until glim_http_stop(). */
GLIM_MUST_USE glim_err glim_http_run(glim_http *h, glim_error *e);
/* Thread: any, and async-signal-safe: ends the loop. */
void glim_http_stop(glim_http *h);
/* Runs fn(arg) on the I/O thread, in order. What was accepted is run, at the latest when the loop ends. Thread: any.
 * Errors: NOMEM, STATE after the loop's end. */
GLIM_MUST_USE glim_err glim_http_post(glim_http *h, void (*fn)(void *arg), void *arg);
/* Calls fn(arg) on the I/O thread every ms; for heartbeats and keep-alives. Before run or on the I/O thread. */
GLIM_MUST_USE glim_err glim_http_every(glim_http *h, int64_t ms, void (*fn)(void *arg), void *arg);
/* Stops accepting and closes idle keep-alive connections; running exchanges go on. I/O thread. */
void glim_http_stop_accepting(glim_http *h);
size_t glim_http_n_conn(const glim_http *h); /* open connections. I/O thread */
size_t glim_http_n_open(const glim_http *h); /* exchanges that are not done. I/O thread */
/* While another thread reads rq or its memory: on_done waits for as many releases as there were holds. After on_gone the
 * connection may be long gone by then; replies do nothing. I/O thread. */
void glim_http_hold(glim_http_req *rq);
void glim_http_release(glim_http_req *rq); /* rq may be freed when this returns */

/* Replies; I/O thread only; once the client is gone they do nothing. extra: "Name: value\r\n" lines, may be "".
 * Date and Content-Length or Transfer-Encoding, Connection are added; HEAD gets no body. Bodies are copied. */
void glim_http_reply(glim_http_req *rq, int status, const char *type, glim_str extra, glim_str body);
/* A stream: chunked for HTTP/1.1; for 1.0 until close. */
void glim_http_stream_begin(glim_http_req *rq, int status, const char *type, glim_str extra);
void glim_http_stream_write(glim_http_req *rq, glim_str bytes);
void glim_http_stream_end(glim_http_req *rq);
/* Ends a stream that cannot go on: the connection closes without the last chunk. */
void glim_http_stream_abort(glim_http_req *rq);
/* Bytes of this connection that the system has not taken; under TLS those that are not encrypted yet. */
size_t glim_http_unsent(const glim_http_req *rq);
#define GLIM_HTTP_HIGH ((size_t)256 << 10) /* with more unsent bytes a handler should wait for on_room */
#define GLIM_HTTP_LOW ((size_t)64 << 10)

/* ---- reader.c: the strict reader, pure: no socket, so that tests and fuzzers feed it by the byte ---------------- */

typedef struct glim_http_reader glim_http_reader; /* http_priv.h */

#endif
