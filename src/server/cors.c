/* SPDX-License-Identifier: MIT
 * cors.c - which pages of other origins a browser lets read our answers (fetch.spec.whatwg.org, read 2026-11).
 * Without an allowed origin nothing is said, and browsers keep such pages out.
 * Thread: I/O. */
#include "server/server_priv.h"

#define HEADERS_MAX 512

/* The value of Access-Control-Allow-Origin: ours, never the client's bytes. NULL: this origin is not allowed. */
static const char *allowed_origin(const glim_server *s, glim_str origin)
{
    if (!origin.p) return NULL;
    for (size_t i = 0; i < s->o.n_cors; i++)
        if (strcmp(s->o.cors[i], "*") == 0 || glim_str_ieq(origin, glim_str_of(s->o.cors[i])))
            return s->o.cors[i];
    return NULL;
}

/* Names of headers and blanks and commas between, nothing that could end a line. */
static bool is_header_list(glim_str v)
{
    static const char extra[] = "-_, ";
    if (v.n == 0 || v.n > HEADERS_MAX) return false;
    for (size_t i = 0; i < v.n; i++) {
        char c = v.p[i];
        bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!word && (c == 0 || !strchr(extra, c))) return false;
    }
    return true;
}

void glim_cors_headers(const glim_server *s, glim_str origin, glim_buf *out)
{
    const char *allowed = allowed_origin(s, origin);
    if (s->o.n_cors) (void)glim_buf_adds(out, "Vary: Origin\r\n");
    if (!allowed) return;
    (void)glim_buf_addf(out,
                        "Access-Control-Allow-Origin: %s\r\n"
                        "Access-Control-Expose-Headers: x-request-id, Retry-After\r\n",
                        allowed);
}

void glim_cors_preflight(const glim_server *s, const glim_http_req *rq, glim_buf *out)
{
    glim_str asked = glim_http_header_get(rq, "access-control-request-headers");
    if (!allowed_origin(s, glim_http_header_get(rq, "origin")) ||
        !glim_http_header_get(rq, "access-control-request-method").p)
        return;
    (void)glim_buf_adds(out, "Access-Control-Allow-Methods: GET, POST, PUT, DELETE, OPTIONS\r\n"
                             "Access-Control-Max-Age: 86400\r\n"
                             "Access-Control-Allow-Headers: ");
    if (is_header_list(asked))
        (void)glim_buf_addv(out, asked);
    else
        (void)glim_buf_adds(out, "authorization, content-type, x-api-key, x-request-id");
    (void)glim_buf_adds(out, "\r\n");
    if (glim_http_header_get(rq, "access-control-request-private-network").p)
        (void)glim_buf_adds(out, "Access-Control-Allow-Private-Network: true\r\n");
}
