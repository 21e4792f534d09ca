/* SPDX-License-Identifier: MIT
 * segment.c - a text cut into words; letter case and word characters as Unicode has them.
 * Owns: ICU (its only user).
 * Not here: which words are of use (wordlist.c, wordfind.c). ICU takes its memory from the system and
 *           not from base: its allocator is one for the whole process, and that belongs to the
 *           program that embeds glim.
 * Thread: any.
 * Fails: GLIM_E_INPUT, GLIM_E_LIMIT, GLIM_E_NOMEM, GLIM_E_FAIL.
 * See: tests/unit/text/test_segment.c */
#include "text/segment_priv.h"

#include <unicode/ubrk.h>
#include <unicode/uchar.h>
#include <unicode/uscript.h>
#include <unicode/utext.h>

/* Chinese characters, of which long texts are made, need no look into the tables. */
static bool is_han(uint32_t cp)
{
    return cp >= 0x4e00 && cp <= 0x9fff;
}

uint32_t glim_fold_case(uint32_t cp)
{
    if (is_han(cp)) return cp;
    if (cp < 0x80) return cp >= 'A' && cp <= 'Z' ? cp + 32 : cp;
    return (uint32_t)u_foldCase((UChar32)cp, U_FOLD_CASE_DEFAULT);
}

bool glim_joins_word(uint32_t cp)
{
    if (cp < 0x80)
        return (cp >= 'a' && cp <= 'z') || (cp >= 'A' && cp <= 'Z') || (cp >= '0' && cp <= '9') ||
               cp == '_';
    if (is_han(cp)) return false;
    uint32_t class = U_GET_GC_MASK((UChar32)cp);
    if (class & (U_GC_ND_MASK | U_GC_M_MASK | U_GC_PC_MASK)) return true;
    if (!(class & U_GC_L_MASK)) return false;
    UErrorCode status = U_ZERO_ERROR;
    UScriptCode script = uscript_getScript((UChar32)cp, &status);
    return script == USCRIPT_LATIN || script == USCRIPT_GREEK || script == USCRIPT_CYRILLIC;
}

glim_err glim_words_check(glim_str s, const char *what, glim_error *e)
{
    size_t bad;
    if (glim_utf8_valid(s, &bad)) return GLIM_OK;
    return glim_fail_off(e, GLIM_E_INPUT, bad, "%s is not valid UTF-8 at byte %zu", what, bad);
}

static bool holds_word_char(glim_str s)
{
    uint32_t cp;
    for (size_t i = 0; i < s.n;) {
        int n = glim_utf8_decode(glim_str_sub(s, i, s.n), &cp);
        if (GLIM_NEVER(n <= 0)) return false;
        if (U_GET_GC_MASK((UChar32)cp) & (U_GC_L_MASK | U_GC_N_MASK)) return true;
        i += (size_t)n;
    }
    return false;
}

static glim_err walk(UBreakIterator *words, glim_str text, glim_word_fn fn, void *user)
{
    int32_t begin = ubrk_first(words);
    for (int32_t end; (end = ubrk_next(words)) != UBRK_DONE; begin = end) {
        if (GLIM_NEVER(begin < 0 || end < begin || (size_t)end > text.n)) return GLIM_E_INTERNAL;
        size_t from = (size_t)begin, to = (size_t)end;
        if (holds_word_char(glim_str_sub(text, from, to)) && !fn(user, from, to)) break;
    }
    return GLIM_OK;
}

static glim_err failure(UErrorCode status, glim_error *e)
{
    if (status == U_MEMORY_ALLOCATION_ERROR)
        return glim_fail(e, GLIM_E_NOMEM, "cutting a text into words");
    return glim_fail(e, GLIM_E_FAIL,
                     "ICU cannot cut a text into words: %s; are its data files installed?",
                     u_errorName(status));
}

glim_err glim_segment(glim_str text, glim_word_fn fn, void *user, glim_error *e)
{
    if (text.n > INT32_MAX)
        return glim_fail(e, GLIM_E_LIMIT, "a text of %zu bytes; words are cut up to %d", text.n,
                         INT32_MAX);
    glim_err rc = glim_words_check(text, "the text", e);
    if (rc || text.n == 0) return rc;
    UErrorCode status = U_ZERO_ERROR;
    UText view = UTEXT_INITIALIZER;
    utext_openUTF8(&view, text.p, (int64_t)text.n, &status);
    /* "" is the root locale: NULL would be the environment's. */
    UBreakIterator *words = ubrk_open(UBRK_WORD, "", NULL, 0, &status);
    if (U_SUCCESS(status)) ubrk_setUText(words, &view, &status);
    rc = U_FAILURE(status) ? failure(status, e) : walk(words, text, fn, user);
    if (words) ubrk_close(words);
    utext_close(&view);
    if (rc == GLIM_E_INTERNAL)
        return glim_fail(e, GLIM_E_INTERNAL, "ICU cut a text of %zu bytes beyond its end", text.n);
    return rc;
}
