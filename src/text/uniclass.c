/* SPDX-License-Identifier: MIT
 * uniclass.c - classes of code points: printable, letter, blank.
 * Owns: the table (uniclass.inc, made by scripts/gen_uniclass).
 * Not here: pcre2's own classes, which the pre-tokenizers use.
 * Thread: any.
 * See: tests/unit/text/test_pyjson.c */
#include "text/uniclass_priv.h"

static const uint32_t starts[] = {
#include "text/uniclass.inc"
};

glim_uniclass glim_uniclass_of(uint32_t cp)
{
    size_t lo = 0, hi = GLIM_COUNT(starts); /* starts[lo] is at or before cp */
    while (hi - lo > 1) {
        size_t mid = lo + (hi - lo) / 2;
        if (starts[mid] >> 2 <= cp)
            lo = mid;
        else
            hi = mid;
    }
    return (glim_uniclass)(starts[lo] & 3);
}

bool glim_uni_space(uint32_t cp)
{
    if (cp < 0x80) return cp == ' ' || (cp >= 0x09 && cp <= 0x0d) || (cp >= 0x1c && cp <= 0x1f);
    if (cp >= 0x2000 && cp <= 0x200a) return true;
    return cp == 0x85 || cp == 0xa0 || cp == 0x1680 || cp == 0x2028 || cp == 0x2029 ||
           cp == 0x202f || cp == 0x205f || cp == 0x3000;
}
