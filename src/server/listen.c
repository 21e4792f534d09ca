/* SPDX-License-Identifier: MIT
 * listen.c - "host:port" to listening sockets, and addresses to text.
 * Not here: accepting (http.c).
 * Fails:  INPUT (no address), IO (errno's text and a cure), NOMEM; sockets opened before stay in h. */
#include "server/conn_priv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <unistd.h>

void glim_http_address_text(const struct sockaddr *sa, char out[GLIM_HTTP_ADDRESS])
{
    char host[INET6_ADDRSTRLEN] = "?";
    unsigned port = 0;
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
    if (sa->sa_family != AF_INET6) return false;
    const struct in6_addr *v6 = &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr;
    return IN6_IS_ADDR_LOOPBACK(v6) || (IN6_IS_ADDR_V4MAPPED(v6) && v6->s6_addr[12] == 127);
}

/* The two halves of an address, both not empty. */
static glim_err split(const char *text, char host[256], char port[8], glim_error *e)
{
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
                         "or [::1]:8000",
                         GLIM_QUOTE(glim_str_of(text)));
    memcpy(host, h.p, h.n);
    host[h.n] = 0;
    snprintf(port, 8, "%u", (unsigned)n_port);
    return GLIM_OK;
}

glim_err glim_http_check_address(const char *text, glim_error *e)
{
    char host[256], port[8];
    return split(text, host, port, e);
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

static glim_err add(glim_http *h, int fd, const struct sockaddr *sa, glim_error *e)
{
    size_t size;
    glim_http_listener *p = NULL;
    if (glim_mul_size(h->n_listener + 1, sizeof *p, &size)) p = glim_realloc(h->listeners, size);
    if (!p) {
        close(fd);
        return glim_fail(e, GLIM_E_NOMEM, "no memory for a listener");
    }
    h->listeners = p;
    p[h->n_listener++] = (glim_http_listener){.http = h, .fd = fd, .loopback = is_loopback(sa)};
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
static glim_err listen_one(glim_http *h, const char *text, char address[GLIM_HTTP_ADDRESS],
                           glim_error *e)
{
    char host[256], port[8];
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
    glim_err rc = split(text, host, port, e);
    if (rc) return rc;
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
        if (n++ == 0 && getsockname(fd, sa, &n_real) == 0) glim_http_address_text(sa, address);
        rc = add(h, fd, a->ai_addr, e);
    }
    if (!rc && n == 0) rc = failed(text, err, e);
    freeaddrinfo(list);
    return rc;
}

glim_err glim_http_listen(glim_http *h, const char *const *list, size_t n, glim_error *e)
{
    if (n == 0) return glim_fail(e, GLIM_E_INPUT, "no address to listen on");
    h->addresses = glim_alloc_array(n, sizeof *h->addresses);
    if (!h->addresses) return glim_fail(e, GLIM_E_NOMEM, "no memory for addresses");
    glim_err rc = GLIM_OK;
    for (size_t i = 0; !rc && i < n; i++) {
        rc = listen_one(h, list[i], h->addresses[i], e);
        if (!rc) h->n_address++;
    }
    return rc;
}
