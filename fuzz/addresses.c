/* SPDX-License-Identifier: MIT
 * addresses.c - fuzz target: what room client reads of other people's texts: addresses, paths, ids, Retry-After, keys.
 * What is taken as an address can be put together again and means the same; what is taken as an id stays one segment. */
#include "client/client_priv.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool x)
{
    if (!x) abort();
}

static void address(glim_str s)
{
    glim_url u, again;
    glim_buf b;
    if (glim_url_read("fuzz", s, &u, NULL)) return;
    must(u.host.n > 0 && u.port > 0);
    must(memchr(s.p, '@', (size_t)(u.path.p ? u.path.p - s.p : (ptrdiff_t)s.n)) == NULL);
    must(glim_url_same_origin(&u, &u));
    glim_buf_init(&b, 16384);
    glim_buf_addf(&b, "%s://", u.tls ? "https" : "http");
    glim_buf_addv(&b, u.host);
    glim_buf_addf(&b, ":%u", (unsigned)u.port);
    glim_buf_addv(&b, u.path);
    must(!b.err && glim_url_read("fuzz", glim_buf_view(&b), &again, NULL) == GLIM_OK);
    must(glim_url_same_origin(&u, &again) && glim_str_eq(u.path, again.path));
    glim_buf_deinit(&b);
}

static void texts(glim_str s)
{
    glim_buf b;
    if (glim_url_check_id("fuzz", s, NULL) == GLIM_OK)
        for (size_t i = 0; i < s.n; i++)
            must(!strchr("/?#%\\ ", s.p[i]));
    must(glim_retry_after(s, 0) >= -1);
    must(glim_retry_after(s, 1700000000) >= -1);
    glim_buf_init(&b, 3 * s.n + 16);
    glim_url_escape(&b, s);
    must(!b.err);
    glim_buf_deinit(&b);
    glim_buf_init(&b, GLIM_JWT_MAX);
    glim_err rc = glim_jwt_bearer(s, 1, &b, NULL);
    must((rc != GLIM_E_INPUT) == glim_jwt_key(s));
    glim_buf_deinit(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = glim_alloc(size + 1); /* the exact size: reading beyond it shows */
    must(copy != NULL);
    if (size) memcpy(copy, data, size);
    copy[size] = '\0';
    address((glim_str){copy, size});
    texts((glim_str){copy, size});
    (void)!glim_url_check_path(copy, NULL);
    glim_free(copy);
    return 0;
}
