/* SPDX-License-Identifier: MIT
 * listen.c - "host:port" to listening sockets, sockets that listen already, and addresses to text.
 * Not here: accepting (http.c).
 * Fails:  INPUT (no address, no listening socket), IO (errno's text and a cure), NOMEM; sockets opened before stay in h. */
#include "server/conn_priv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/un.h>
#include <unistd.h>

void glim_http_address_text(const struct sockaddr *sa, char out[GLIM_HTTP_ADDRESS])
{
    char host[INET6_ADDRSTRLEN] = "?";
    unsigned port = 0;
    if (sa->sa_family == AF_UNIX) snprintf(host, sizeof host, "unix"); /* clients have no name */
    bool v6 = sa->sa_family == AF_INET6;
    if (v6) {
        const struct sockaddr_in6 *a = (const struct sockaddr_in6 *)(const void *)sa;
        inet_ntop(AF_INET6, &a->sin6_addr, host, sizeof host);
        port = ntohs(a->sin6_port);
    } else if (sa->sa_family == AF_INET) {
        const struct sockaddr_in *a = (const struct sockaddr_in *)(const void *)sa;
        inet_ntop(AF_INET, &a->sin_addr, host, sizeof host);
        port = ntohs(a->sin_port);
    }
    snprintf(out, GLIM_HTTP_ADDRESS, v6 ? "[%s]:%u" : "%s:%u", host, port);
}

static bool is_loopback(const struct sockaddr *sa)
{
    if (sa->sa_family == AF_INET) {
        const struct sockaddr_in *a = (const struct sockaddr_in *)(const void *)sa;
        return ntohl(a->sin_addr.s_addr) >> 24 == 127;
    }
    if (sa->sa_family == AF_UNIX) return true;
    if (sa->sa_family != AF_INET6) return false;
    const struct in6_addr *v6 = &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr;
    return IN6_IS_ADDR_LOOPBACK(v6) || (IN6_IS_ADDR_V4MAPPED(v6) && v6->s6_addr[12] == 127);
}

typedef enum scheme { ANY_SCHEME, HTTP, HTTPS } scheme;

/* Takes "http://" or "https://" off the front. */
static scheme take_scheme(const char **text)
{
    glim_str s = glim_str_of(*text);
    if (s.n >= 7 && glim_str_ieq(glim_str_sub(s, 0, 7), GLIM_STR("http://"))) {
        *text += 7;
        return HTTP;
    }
    if (s.n < 8 || !glim_str_ieq(glim_str_sub(s, 0, 8), GLIM_STR("https://"))) return ANY_SCHEME;
    *text += 8;
    return HTTPS;
}

const char *glim_http_bare_address(const char *text)
{
    (void)take_scheme(&text);
    return text;
}

/* The two halves of an address, both not empty; whether and how its scheme is written. */
static glim_err split(const char *whole, char host[256], char port[8], scheme *how, glim_error *e)
{
    const char *text = whole;
    *how = take_scheme(&text);
    const char *colon = strrchr(text, ':');
    uint64_t n_port = 0;
    size_t n = colon ? (size_t)(colon - text) : 0;
    glim_str h = {text, n};
    bool ok = n > 0 && n < 256 && glim_parse_u64(glim_str_of(colon + 1), &n_port) &&
              n_port <= 65535 && strlen(colon + 1) < 8;
    if (ok && text[0] == '[') {
        ok = n > 2 && text[n - 1] == ']';
        h = glim_str_sub(h, 1, n - 1);
    } else if (ok) {
        ok = memchr(text, ':', n) == NULL;
    }
    if (!ok)
        return glim_fail(e, GLIM_E_INPUT,
                         "%s: not an address to listen on; write host:port, as in 127.0.0.1:8000 "
                         "or [::1]:8000; http:// or https:// may stand before it",
                         GLIM_QUOTE(glim_str_of(whole)));
    memcpy(host, h.p, h.n);
    host[h.n] = 0;
    snprintf(port, 8, "%u", (unsigned)n_port);
    return GLIM_OK;
}

glim_err glim_http_check_address(const char *text, glim_error *e)
{
    char host[256], port[8];
    scheme how;
    return split(text, host, port, &how, e);
}

static glim_err failed(const char *text, int err, glim_error *e)
{
    const char *cure = err == EADDRINUSE
                           ? "; another program has that port: stop it or choose another port"
                       : err == EACCES ? "; ports below 1024 need rights: choose a higher one"
                       : err == EADDRNOTAVAIL ? "; this machine does not have that address"
                       : err == EMFILE        ? "; raise the limit on open files (ulimit -n)"
                                              : "";
    return glim_fail(e, GLIM_E_IO, "%s: cannot listen: %s%s", text, strerror(err), cure);
}

/* A listening socket for one address. Negative: errno. */
static int open_socket(const struct addrinfo *a)
{
    int on = 1, fd = socket(a->ai_family, SOCK_STREAM, a->ai_protocol);
    if (fd < 0) return -errno;
    evutil_make_socket_closeonexec(fd);
    evutil_make_socket_nonblocking(fd);
    /* Without it a restart waits for the connections of the last run to be forgotten. */
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (a->ai_family == AF_INET6) (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, 1024) == 0) return fd;
    int err = errno;
    close(fd);
    return -err;
}

/* Without memory the socket stays the caller's. */
static glim_err add(glim_http *h, const glim_http_listener *l, glim_error *e)
{
    size_t size;
    glim_http_listener *p = NULL;
    if (glim_mul_size(h->n_listener + 1, sizeof *p, &size)) p = glim_realloc(h->listeners, size);
    if (!p) return glim_fail(e, GLIM_E_NOMEM, "no memory for a listener");
    h->listeners = p;
    p[h->n_listener] = *l;
    p[h->n_listener++].http = h;
    return GLIM_OK;
}

static bool same_address(const struct addrinfo *a, const struct addrinfo *b)
{
    return a->ai_addrlen == b->ai_addrlen && memcmp(a->ai_addr, b->ai_addr, a->ai_addrlen) == 0;
}

static bool is_repeated(const struct addrinfo *list, const struct addrinfo *a)
{
    for (; list != a; list = list->ai_next)
        if (same_address(list, a)) return true;
    return false;
}

/* Every address of the name. One that this machine does not have (IPv6 switched off) is passed over when there is
 * another. */
static glim_err listen_one(glim_http *h, const char *text, glim_http_place *at, glim_error *e)
{
    char host[256], port[8];
    scheme how;
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
    glim_err rc = split(text, host, port, &how, e);
    if (rc) return rc;
    if (how == HTTPS && !h->tls)
        return glim_fail(
            e, GLIM_E_INPUT,
            "%s: HTTPS needs a certificate and its private key: give both (--tls-cert, "
            "--tls-key), or write "
            "http://",
            text);
    at->tls = h->tls && how != HTTP;
    int gai = getaddrinfo(host, port, &hints, &list);
    if (gai)
        return glim_fail(e, gai == EAI_MEMORY ? GLIM_E_NOMEM : GLIM_E_INPUT,
                         "%s: no address of this name: %s; use an address, as in 127.0.0.1:%s",
                         text, gai_strerror(gai), port);
    size_t n = 0;
    int err = 0;
    for (const struct addrinfo *a = list; !rc && a; a = a->ai_next) {
        if (is_repeated(list, a) || (n && strcmp(port, "0") == 0)) continue;
        int fd = open_socket(a);
        if (fd < 0) {
            err = -fd;
            if (err != EADDRNOTAVAIL && err != EAFNOSUPPORT) rc = failed(text, err, e);
            continue;
        }
        struct sockaddr_storage real = {0};
        socklen_t n_real = sizeof real;
        struct sockaddr *sa = (struct sockaddr *)&real;
        char name[GLIM_HTTP_ADDRESS];
        if (n++ == 0 && getsockname(fd, sa, &n_real) == 0) {
            glim_http_address_text(sa, name);
            snprintf(at->text, sizeof at->text, "%s", name);
        }
        const glim_http_listener l = {
            .fd = fd, .loopback = is_loopback(a->ai_addr), .tls = at->tls};
        if ((rc = add(h, &l, e))) close(fd);
    }
    if (!rc && n == 0) rc = failed(text, err, e);
    freeaddrinfo(list);
    return rc;
}

static glim_err room_for_places(glim_http *h, size_t n, glim_error *e)
{
    h->places = glim_alloc_array(n, sizeof *h->places);
    return h->places ? GLIM_OK : glim_fail(e, GLIM_E_NOMEM, "no memory for addresses");
}

glim_err glim_http_listen(glim_http *h, const char *const *list, size_t n, glim_error *e)
{
    if (n == 0) return glim_fail(e, GLIM_E_INPUT, "no address to listen on");
    glim_err rc = room_for_places(h, n, e);
    for (size_t i = 0; !rc && i < n; i++) {
        rc = listen_one(h, list[i], &h->places[i], e);
        if (!rc) h->n_place++;
    }
    return rc;
}

/* ---- sockets that listen already ---------------------------------------------------------------- */

/* The path of the socket; "@name" for one without a file, "unix" for one without a name. */
static void path_text(const struct sockaddr_un *a, socklen_t n, char *out, size_t n_out)
{
    size_t n_path = n > offsetof(struct sockaddr_un, sun_path)
                        ? (size_t)n - offsetof(struct sockaddr_un, sun_path)
                        : 0;
    n_path = GLIM_MIN(n_path, sizeof a->sun_path);
    if (n_path == 0)
        snprintf(out, n_out, "unix");
    else if (a->sun_path[0] == 0)
        snprintf(out, n_out, "@%.*s", (int)n_path - 1, a->sun_path + 1);
    else
        snprintf(out, n_out, "%.*s", (int)n_path, a->sun_path);
}

/* What getsockopt says; negative: errno. */
static int ask(int fd, int what)
{
    int value = 0;
    socklen_t n = sizeof value;
    return getsockopt(fd, SOL_SOCKET, what, &value, &n) == 0 ? value : -errno;
}

static glim_err wrong_kind(int fd, const char *what, glim_error *e)
{
    return glim_fail(e, GLIM_E_INPUT,
                     "descriptor %d that was handed over to listen on: %s; the service manager "
                     "must hand over TCP or UNIX stream sockets that listen (ListenStream=)",
                     fd, what);
}

static glim_err inherit_one(glim_http *h, int fd, glim_http_place *at, glim_error *e)
{
    struct sockaddr_storage name = {0};
    struct sockaddr *sa = (struct sockaddr *)&name;
    socklen_t n_name = sizeof name;
    int type = ask(fd, SO_TYPE);
    if (type < 0) return wrong_kind(fd, type == -ENOTSOCK ? "no socket" : strerror(-type), e);
    if (type != SOCK_STREAM) return wrong_kind(fd, "not a stream socket", e);
    if (ask(fd, SO_ACCEPTCONN) != 1) return wrong_kind(fd, "a socket that does not listen", e);
    if (getsockname(fd, sa, &n_name) != 0) return wrong_kind(fd, strerror(errno), e);
    bool local = sa->sa_family == AF_UNIX;
    if (local) {
        path_text((const struct sockaddr_un *)(const void *)sa, n_name, at->text, sizeof at->text);
    } else if (sa->sa_family == AF_INET || sa->sa_family == AF_INET6) {
        char text[GLIM_HTTP_ADDRESS];
        glim_http_address_text(sa, text);
        snprintf(at->text, sizeof at->text, "%s", text);
    } else {
        return wrong_kind(fd, "neither IPv4 nor IPv6 nor UNIX", e);
    }
    at->tls = h->tls && !local;
    if (evutil_make_socket_nonblocking(fd) != 0 || evutil_make_socket_closeonexec(fd) != 0)
        return wrong_kind(fd, strerror(errno), e);
    const glim_http_listener l = {
        .fd = fd, .loopback = is_loopback(sa), .tls = at->tls, .inherited = true};
    return add(h, &l, e);
}

glim_err glim_http_inherit(glim_http *h, const int *fds, size_t n, glim_error *e)
{
    glim_err rc = room_for_places(h, n, e);
    for (size_t i = 0; !rc && i < n; i++) {
        for (size_t k = 0; !rc && k < i; k++)
            if (fds[k] == fds[i]) rc = wrong_kind(fds[i], "it is named twice", e);
        if (!rc) rc = inherit_one(h, fds[i], &h->places[i], e);
        if (!rc) h->n_place++;
    }
    return rc;
}
