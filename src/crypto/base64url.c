/* SPDX-License-Identifier: MIT
 * base64url.c - bytes to and from base64url as JSON web tokens write it: no padding, one spelling a text.
 * Thread: any, pure.
 * Fails: GLIM_E_INPUT with the offset of the first wrong letter.
 * See: tests/unit/crypto/test_base64url.c */
#include "crypto/crypto.h"

static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    if (c == '-') return 62;
    if (c == '_') return 63;
    return -1;
}

glim_err glim_base64url_decode(glim_str s, glim_buf *out, glim_error *e)
{
    const size_t n_before = out->n;
    uint32_t bits = 0;
    int n_bits = 0;
    if (s.n % 4 == 1)
        return glim_fail_off(e, GLIM_E_INPUT, s.n, "base64url: a length that no bytes have");
    for (size_t i = 0; i < s.n; i++) {
        int v = value_of(s.p[i]);
        if (v < 0) {
            glim_buf_cut(out, n_before);
            return glim_fail_off(e, GLIM_E_INPUT, i, "base64url: a letter outside the alphabet");
        }
        bits = (bits << 6 | (uint32_t)v) & 0xffff;
        n_bits += 6;
        if (n_bits < 8) continue;
        n_bits -= 8;
        glim_err rc = glim_buf_addc(out, (char)(bits >> n_bits & 0xff));
        if (rc) {
            glim_buf_cut(out, n_before);
            return glim_fail(e, rc, "base64url: no room for the bytes");
        }
    }
    if (bits & ((1u << n_bits) - 1)) {
        glim_buf_cut(out, n_before);
        return glim_fail_off(e, GLIM_E_INPUT, s.n - 1, "base64url: bits behind the last byte");
    }
    return GLIM_OK;
}

glim_err glim_base64url_encode(glim_str bytes, glim_buf *out)
{
    static const char letter[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const size_t n_before = out->n;
    glim_err rc = GLIM_OK;
    for (size_t i = 0; !rc && i < bytes.n; i += 3) {
        size_t n = GLIM_MIN(bytes.n - i, (size_t)3); /* n bytes are n + 1 letters */
        uint32_t w = 0;
        for (size_t k = 0; k < 3; k++)
            w = w << 8 | (k < n ? (uint8_t)bytes.p[i + k] : 0u);
        for (size_t k = 0; !rc && k <= n; k++)
            rc = glim_buf_addc(out, letter[w >> (18 - 6 * k) & 63]);
    }
    if (rc) glim_buf_cut(out, n_before);
    return rc;
}
