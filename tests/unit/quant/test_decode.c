/* SPDX-License-Identifier: MIT
 * test_decode.c - every decoder against what ggml's own library makes of the same bytes
 * (golden/quant): quantised rows and blocks of random bits, scales of infinity and NaN among them.
 */
#include "golden.h"

#include <ctype.h>

#include "quant/blocks.h"
#include "quant/quant.h"

/* Distance in representable floats; NaN equals NaN. */
static int64_t ulps(float a, float b)
{
    if (a != a || b != b) return a != a && b != b ? 0 : INT64_MAX;
    int32_t i, k;
    memcpy(&i, &a, sizeof i);
    memcpy(&k, &b, sizeof k);
    int64_t x = i < 0 ? -(int64_t)(i & INT32_MAX) : i;
    int64_t y = k < 0 ? -(int64_t)(k & INT32_MAX) : k;
    return x > y ? x - y : y - x;
}

static bool compare(const glim_type_traits *t, const char *infix)
{
    char stem[16], name[64], path[600];
    size_t n = 0;
    for (; t->name[n]; n++)
        stem[n] = (char)tolower((unsigned char)t->name[n]);
    stem[n] = 0;
    snprintf(name, sizeof name, "quant/%s%s.blocks", stem, infix);
    if (!golden_find(name, path, sizeof path)) return false;
    size_t n_blocks, n_want;
    uint8_t *blocks = golden_read(path, &n_blocks);
    snprintf(name, sizeof name, "quant/%s%s.f32", stem, infix);
    assert_true(golden_find(name, path, sizeof path));
    float *want = golden_read(path, &n_want);
    const int64_t n_elem = (int64_t)(n_want / sizeof(float));
    size_t bytes = 0;
    glim_type id;
    assert_true(glim_type_from_name(glim_str_of(t->name), &id));
    assert_true(glim_type_bytes(id, n_elem, &bytes));
    assert_int_equal(bytes, n_blocks);

    float *got = malloc(n_want);
    assert_non_null(got);
    t->decode(blocks, got, n_elem);
    for (int64_t i = 0; i < n_elem; i++) {
        if (ulps(got[i], want[i]) > 2)
            fail_msg("%s%s: element %lld is %a, ggml has %a", stem, infix, (long long)i,
                     (double)got[i], (double)want[i]);
    }

    /* The same at an odd address: rows may begin anywhere. */
    uint8_t *odd = malloc(n_blocks + 1);
    float *again = malloc(n_want);
    assert_non_null(odd);
    assert_non_null(again);
    memcpy(odd + 1, blocks, n_blocks);
    t->decode(odd + 1, again, n_elem);
    assert_memory_equal(got, again, n_want);
    free(odd);
    free(again);
    free(got);
    free(want);
    free(blocks);
    return true;
}

static void goldens(void **state)
{
    (void)state;
    int n = 0;
    for (int t = 0; t < GLIM_TYPE_COUNT; t++) {
        n += compare(glim_type_get((glim_type)t), "");
        n += compare(glim_type_get((glim_type)t), ".random");
    }
    if (n == 0) skip();
    assert_int_equal(n, 2 * 13);
}

static void mxfp4_scales(void **state)
{
    (void)state;
    float want = 0x1p-128f;
    for (int e = 0; e < 256; e++, want *= 2)
        assert_true(glim_mxfp4_scale((uint8_t)e) == want);
}

/* One number per type by hand, so that the room is tested where no golden is at hand. */
static void by_hand(void **state)
{
    (void)state;
    float out[256];

    glim_block_q4_0 q4_0 = {.d = 0x3800, .qs = {0x1f}}; /* d = 0.5 */
    glim_type_get(GLIM_Q4_0)->decode(&q4_0, out, 32);
    assert_true(out[0] == 3.5f && out[16] == -3.5f && out[1] == -4.0f);

    glim_block_q5_1 q5_1 = {.d = 0x3c00, .m = 0x4000, .qh = {1, 0, 1, 0}, .qs = {0x21}};
    glim_type_get(GLIM_Q5_1)->decode(&q5_1, out, 32);
    assert_true(out[0] == 19.0f && out[16] == 20.0f && out[1] == 2.0f);

    glim_block_q4_k q4_k = {.d = 0x3c00, .dmin = 0x3c00, .scales = {2, 0, 0, 0, 3}, .qs = {0x05}};
    glim_type_get(GLIM_Q4_K)->decode(&q4_k, out, 256);
    assert_true(out[0] == 7.0f && out[1] == -3.0f && out[32] == 0.0f);

    glim_block_q6_k q6_k = {.ql = {0x0f}, .qh = {0x03}, .scales = {-2}, .d = 0x3c00};
    glim_type_get(GLIM_Q6_K)->decode(&q6_k, out, 256);
    assert_true(out[0] == -62.0f && out[1] == 64.0f && out[16] == 0.0f);

    glim_block_mxfp4 mxfp4 = {.e = 128, .qs = {0xf7}};
    glim_type_get(GLIM_MXFP4)->decode(&mxfp4, out, 32);
    assert_true(out[0] == 12.0f && out[16] == -12.0f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(goldens),
        cmocka_unit_test(mxfp4_scales),
        cmocka_unit_test(by_hand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
