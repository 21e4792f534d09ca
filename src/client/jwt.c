/* SPDX-License-Identifier: MIT
 * jwt.c - a token signed with the key, which is sent in its place.
 * Thread: any, pure.   Fails: as client_priv.h says; no message holds a part of a key.
 * See: api.md 4.1 (JWT auth), RFC 7515, tests/unit/client/test_jwt.c */
#include "client/client_priv.h"

#include <inttypes.h>

#define LIFE_MS 210000

static size_t dot_of(glim_str key)
{
    const char *dot = key.n ? memchr(key.p, '.', key.n) : NULL;
    return dot ? (size_t)(dot - key.p) : key.n;
}

bool glim_jwt_key(glim_str key)
{
    size_t at = dot_of(key);
    return at > 0 && at + 1 < key.n && !memchr(key.p + at + 1, '.', key.n - at - 1);
}

static glim_err sign(glim_str secret, size_t n_before, glim_buf *out, glim_error *e)
{
    glim_digest mac;
    glim_err rc =
        glim_hmac_sha256(secret, (glim_str){out->p + n_before, out->n - n_before}, &mac, e);
    if (rc) return rc;
    glim_buf_addc(out, '.');
    glim_base64url_encode((glim_str){(const char *)mac.b, sizeof mac.b}, out);
    return GLIM_OK;
}

glim_err glim_jwt_bearer(glim_str key, int64_t now_ms, glim_buf *out, glim_error *e)
{
    const glim_str head = GLIM_STR("{\"alg\":\"HS256\",\"typ\":\"JWT\",\"sign_type\":\"SIGN\"}");
    const glim_str bearer = GLIM_STR("Bearer ");
    if (!glim_jwt_key(key))
        return glim_fail(e, GLIM_E_INPUT,
                         "signing a token needs a key of the form id.secret; this one has no or "
                         "several dots, or nothing at a side of it");
    glim_buf payload;
    glim_jw w;
    size_t at = dot_of(key), n_before = out->n;
    glim_buf_init(&payload, GLIM_JWT_MAX);
    glim_jw_init(&w, &payload);
    glim_jw_object(&w);
    glim_jw_key(&w, "api_key");
    glim_jw_str(&w, glim_str_sub(key, 0, at));
    glim_jw_key(&w, "exp");
    glim_jw_i64(&w, now_ms + LIFE_MS);
    glim_jw_key(&w, "timestamp");
    glim_jw_i64(&w, now_ms);
    glim_jw_object_end(&w);
    glim_err rc = payload.err;
    glim_buf_addv(out, bearer);
    glim_base64url_encode(head, out);
    glim_buf_addc(out, '.');
    glim_base64url_encode(glim_buf_view(&payload), out);
    if (!rc) rc = out->err;
    if (rc) rc = glim_fail(e, rc, "the token to sign: %s", glim_strerror(rc));
    if (!rc) rc = sign(glim_str_sub(key, at + 1, key.n), n_before + bearer.n, out, e);
    if (!rc && out->err) rc = glim_fail(e, out->err, "the token: %s", glim_strerror(out->err));
    glim_buf_deinit(&payload);
    if (rc) glim_buf_cut(out, n_before);
    return rc;
}
