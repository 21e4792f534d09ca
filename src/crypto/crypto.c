/* SPDX-License-Identifier: MIT
 * crypto.c - SHA-256, HMAC-SHA256, randomness, constant-time comparison over libcrypto's EVP.
 * Thread: any; libcrypto keeps its own locks.
 * Fails: GLIM_E_INTERNAL when libcrypto refuses (out of memory, an algorithm that is switched off).
 * See: tests/unit/crypto/test_crypto.c */
#include "crypto/crypto.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <limits.h>

glim_err glim_sha256(glim_str data, glim_digest *out, glim_error *e)
{
    size_t n = 0;
    *out = (glim_digest){{0}};
    if (EVP_Q_digest(NULL, "SHA256", NULL, data.n ? data.p : "", data.n, out->b, &n) != 1 ||
        n != sizeof out->b) {
        *out = (glim_digest){{0}};
        return glim_fail(e, GLIM_E_INTERNAL, "libcrypto gives no SHA-256");
    }
    return GLIM_OK;
}

glim_err glim_hmac_sha256(glim_str key, glim_str data, glim_digest *out, glim_error *e)
{
    size_t n = 0;
    *out = (glim_digest){{0}};
    /* An empty key must not be a null pointer: libcrypto takes that for "the key of last time". */
    if (!EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, key.n ? key.p : "", key.n,
                   (const unsigned char *)(data.n ? data.p : ""), data.n, out->b, sizeof out->b,
                   &n) ||
        n != sizeof out->b) {
        *out = (glim_digest){{0}};
        return glim_fail(e, GLIM_E_INTERNAL, "libcrypto gives no HMAC-SHA256");
    }
    return GLIM_OK;
}

glim_err glim_random(void *p, size_t n, glim_error *e)
{
    uint8_t *at = p;
    while (n) {
        int part = n > INT_MAX ? INT_MAX : (int)n;
        if (RAND_bytes(at, part) != 1)
            return glim_fail(e, GLIM_E_INTERNAL, "the system gives no randomness");
        at += part;
        n -= (size_t)part;
    }
    return GLIM_OK;
}

bool glim_digest_eq(const glim_digest *a, const glim_digest *b)
{
    return CRYPTO_memcmp(a->b, b->b, sizeof a->b) == 0;
}

void glim_wipe(void *p, size_t n)
{
    if (p && n) OPENSSL_cleanse(p, n);
}

void glim_hex(const uint8_t *p, size_t n_byte, char *out)
{
    static const char digit[] = "0123456789abcdef";
    for (size_t i = 0; i < n_byte; i++) {
        *out++ = digit[p[i] >> 4];
        *out++ = digit[p[i] & 15];
    }
    *out = '\0';
}
