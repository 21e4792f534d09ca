/* SPDX-License-Identifier: MIT
 * test_crypto.c - digests and tags against published vectors; comparison; randomness.
 * Source: FIPS 180-4 examples, RFC 4231 (HMAC-SHA256 cases 1, 2, 6). */
#include "crypto/crypto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void is_hex(const glim_digest *d, const char *expected)
{
    char hex[2 * GLIM_SHA256_BYTES + 1];
    glim_hex(d->b, sizeof d->b, hex);
    assert_string_equal(hex, expected);
}

static void sha256(void **state)
{
    (void)state;
    static const struct {
        const char *text, *hex;
    } cases[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };
    glim_digest d;
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        assert_int_equal(glim_sha256(glim_str_of(cases[i].text), &d, NULL), GLIM_OK);
        is_hex(&d, cases[i].hex);
    }
    assert_int_equal(glim_sha256((glim_str){NULL, 0}, &d, NULL), GLIM_OK);
    is_hex(&d, cases[0].hex);
}

static void hmac(void **state)
{
    (void)state;
    char key[131], k1[20];
    glim_digest d;
    memset(key, 0xaa, sizeof key);
    memset(k1, 0x0b, sizeof k1);
    assert_int_equal(glim_hmac_sha256((glim_str){k1, sizeof k1}, GLIM_STR("Hi There"), &d, NULL),
                     GLIM_OK);
    is_hex(&d, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    assert_int_equal(
        glim_hmac_sha256(GLIM_STR("Jefe"), GLIM_STR("what do ya want for nothing?"), &d, NULL),
        GLIM_OK);
    is_hex(&d, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    assert_int_equal(
        glim_hmac_sha256((glim_str){key, sizeof key},
                         GLIM_STR("Test Using Larger Than Block-Size Key - Hash Key First"), &d,
                         NULL),
        GLIM_OK);
    is_hex(&d, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    /* No key and no text are inputs like others; an empty key must not mean the last one. */
    assert_int_equal(glim_hmac_sha256((glim_str){NULL, 0}, (glim_str){NULL, 0}, &d, NULL), GLIM_OK);
    is_hex(&d, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

static void equal(void **state)
{
    (void)state;
    glim_digest a = {{1, 2, 3}};
    for (size_t bit = 0; bit < 8 * sizeof a.b; bit++) {
        glim_digest b = a;
        assert_true(glim_digest_eq(&a, &b));
        b.b[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_false(glim_digest_eq(&a, &b));
    }
}

static void randomness(void **state)
{
    (void)state;
    uint8_t a[32] = {0}, b[32] = {0}, none[32] = {0};
    assert_int_equal(glim_random(a, sizeof a, NULL), GLIM_OK);
    assert_int_equal(glim_random(b, sizeof b, NULL), GLIM_OK);
    assert_memory_not_equal(a, b, sizeof a);
    assert_memory_not_equal(a, none, sizeof a);
    assert_int_equal(glim_random(none, 0, NULL), GLIM_OK);
    glim_wipe(a, sizeof a);
    assert_memory_equal(a, none, sizeof a);
    glim_wipe(NULL, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(sha256), cmocka_unit_test(hmac),
                                       cmocka_unit_test(equal), cmocka_unit_test(randomness)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
