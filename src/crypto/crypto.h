/* SPDX-License-Identifier: MIT
 * crypto.h - the one header of room crypto: digests, tags, randomness, comparison in constant time.
 * Thread: any, pure, unless a function says otherwise. */
#ifndef GLIM_CRYPTO_H
#define GLIM_CRYPTO_H

#include "base/base.h"

#define GLIM_SHA256_BYTES 32

typedef struct glim_digest {
    uint8_t b[GLIM_SHA256_BYTES];
} glim_digest;

/* Source: FIPS 180-4. Errors: INTERNAL when libcrypto refuses; *out is all zero then. */
GLIM_MUST_USE glim_err glim_sha256(glim_str data, glim_digest *out, glim_error *e);
/* Source: RFC 2104. A key of any length, none included. Errors: as glim_sha256(). */
GLIM_MUST_USE glim_err glim_hmac_sha256(glim_str key, glim_str data, glim_digest *out,
                                        glim_error *e);
/* Fills p with n bytes that nobody can guess. Errors: INTERNAL (the system gives none). */
GLIM_MUST_USE glim_err glim_random(void *p, size_t n, glim_error *e);

/* Takes the same time whatever the digests hold. Secrets of unequal lengths are compared by their
 * digests: that way the lengths do not show either. */
bool glim_digest_eq(const glim_digest *a, const glim_digest *b);
/* Overwrites what must not stay in memory; the compiler cannot leave it out. */
void glim_wipe(void *p, size_t n);

/* n_byte * 2 lower-case digits and a NUL to out. */
void glim_hex(const uint8_t *p, size_t n_byte, char *out);

/* Appends the bytes that s encodes. Source: RFC 4648 section 5, without padding (RFC 7515).
 * Errors: INPUT with the offset (a byte outside the alphabet, padding included; a length that no
 * bytes have; bits behind the last byte that are not zero), and what glim_buf_add() gives; out
 * holds what it held before. */
GLIM_MUST_USE glim_err glim_base64url_decode(glim_str s, glim_buf *out, glim_error *e);
/* Appends the one spelling that bytes have. Errors: what glim_buf_addc() gives; out holds what it held before. */
glim_err glim_base64url_encode(glim_str bytes, glim_buf *out);

#endif
