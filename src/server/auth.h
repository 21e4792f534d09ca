/* SPDX-License-Identifier: MIT
 * auth.h - who may ask: API keys, the tokens that Zhipu's SDKs make from them, addresses and Host names.
 * Thread: a set of keys is built by one thread and then only read, by any. */
#ifndef GLIM_SERVER_AUTH_H
#define GLIM_SERVER_AUTH_H

#include "api/api.h"
#include "base/base.h"
#include "server/limits.h"

typedef struct glim_auth glim_auth;

/* An empty set: everything passes. NULL: out of memory. */
glim_auth *glim_auth_new(void);
void glim_auth_free(glim_auth *a); /* wipes what it held; NULL is fine */
/* Copies. A key that is there already is not added twice. Errors: INPUT (empty, a byte that no header can carry), FULL
 * (4,096 keys), NOMEM, INTERNAL. No message holds the key. */
GLIM_MUST_USE glim_err glim_auth_add(glim_auth *a, glim_str key, glim_error *e);
/* One key a line, behind it, with blanks between, limits of its own: "rate=N" requests a minute, "concurrent=N" at once,
 * N = 0 for none. Blank lines and lines that begin with "#" do not count. A key that is there already takes the limits for
 * which nothing was said yet. warning: a line for the log when others may read or write the file, else "". Errors:
 * NOTFOUND, IO, LIMIT (1 MiB), INPUT (no key in it; line number of a wrong one, of one with other words, and of one that
 * stands there twice with different limits), and those of glim_auth_add(); all name the file. */
GLIM_MUST_USE glim_err glim_auth_add_file(glim_auth *a, const char *path, char *warning, size_t n_warning, glim_error *e);
size_t glim_auth_count(const glim_auth *a);

/* What a request brought; borrowed for the call. */
typedef struct glim_auth_given {
    glim_str authorization; /* value of the first such header, .p NULL without one */
    size_t n_authorization; /* how many there are */
    glim_str x_api_key;     /* .p NULL without one */
} glim_auth_given;

typedef struct glim_auth_verdict {
    bool ok;
    char key_id[9];         /* ok: which key, for logs: 8 hexadecimal digits of its SHA-256; "" when none is needed */
    glim_limit limit;       /* ok: what the key's line says; -1: nothing, the server's own limit is meant */
    glim_problem_kind kind; /* not ok: BAD, NO_KEY, BAD_KEY, OLD_KEY, INTERNAL */
    const char *text;       /* not ok: a static line with the cure; two different ones for 401 */
} glim_auth_verdict;

/* Accepts "Authorization: Bearer X", "x-api-key: X" (when both are there, one right one is enough), X being a key or a
 * token that was signed with the secret of a key of the form id.secret. now_s: Unix time. Returns out->ok.
 * Source: docs.bigmodel.cn, user authentication; zai-sdk's _jwt_token.py; both read 2026-11. Thread: any. */
bool glim_auth_check(const glim_auth *a, const glim_auth_given *given, int64_t now_s, glim_auth_verdict *out);

/* Whether these listeners ("HOST:PORT", "[::1]:8000", either behind "http://" or "https://") may be opened: without a key only loopback ones, unless insecure.
 * Errors: INPUT, which names the address and both cures. */
GLIM_MUST_USE glim_err glim_bind_check(const char *const *listen, size_t n_listen, bool have_keys, bool insecure,
                                       glim_error *e);
/* Whether the value of a Host header may be answered: on a loopback listener only names and addresses of loopback
 * (localhost and names below it, 127.0.0.0/8, ::1), with or without a port; elsewhere anything. Against pages that give
 * their own name this machine's address. Thread: any, pure. */
bool glim_host_ok(glim_str host, bool loopback_listener);

#endif
