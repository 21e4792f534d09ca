/* SPDX-License-Identifier: MIT
 * pretok.c - pre-tokenization: named split rules, and regular expressions that cut text into
 * pieces.
 * Owns: PCRE2 (its only user), the names of GGUF split rules.
 * Not here: the notation (splitre.c), what becomes of a piece (bpe.c).
 * How: a split isolates its matches: matches and what lies between them are pieces, and the next
 *      split sees each piece as a text of its own. All splits run as one walk; nothing is collected.
 *      Each known pattern is linear, also on long runs of blanks, because whatever a failing
 *      alternative scanned is then taken by a later one as one match (save the last blank).
 * Thread: a compiled glim_pretok any; a glim_pretok_work one at a time.
 * Fails: GLIM_E_LIMIT when a pattern from a file backtracks without end.
 * See: tests/unit/text/test_pretok.c */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "tok_priv.h"

#include <stdio.h>

enum { HEAP_LIMIT_KIB = 64 * 1024 };

struct glim_pretok {
    pcre2_general_context *memory;
    size_t n_split;
    pcre2_code *code[GLIM_SPLIT_MAX];
    bool jit[GLIM_SPLIT_MAX];
};

/* ---- names ----------------------------------------------------------------------------------- */

/* The rule that cl100k brought, with the number of digits that stay together. */
#define SPLIT_CL100K(digits)                                                                       \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits                           \
    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define SPLIT_GPT2                                                                                 \
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

typedef struct named {
    const char *name;
    bool ignore_merges;
    const char *split[4];
} named;

/* ignore_merges follows the model's own tokenizer.json where llama.cpp does without it. */
static const named known[] = {
    {"glm4", true, {SPLIT_CL100K("\\p{N}{1,3}")}},
    {"chatglm-bpe", true, {SPLIT_CL100K("\\p{N}{1,3}")}},
    {"llama-bpe", true, {SPLIT_CL100K("\\p{N}{1,3}")}},
    {"llama3", true, {SPLIT_CL100K("\\p{N}{1,3}")}},
    {"qwen2", false, {SPLIT_CL100K("\\p{N}")}},
    {"deepseek-r1-qwen", false, {SPLIT_CL100K("\\p{N}")}},
    {"deepseek-v3",
     false,
     {"\\p{N}{1,3}", "[\\u4e00-\\u9fa5\\u3040-\\u309f\\u30a0-\\u30ff]+",
      "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+"
      "|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*"
      "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"}},
    {"gpt-2", false, {SPLIT_GPT2}},
};

glim_err glim_pretok_named(glim_str pre, glim_tokenizer_spec *spec, glim_error *e)
{
    for (size_t i = 0; i < GLIM_COUNT(known); i++) {
        if (!glim_str_is(pre, known[i].name)) continue;
        spec->ignore_merges = known[i].ignore_merges;
        spec->n_split = 0;
        for (size_t k = 0; k < GLIM_COUNT(known[i].split) && known[i].split[k]; k++)
            spec->split[spec->n_split++] = glim_str_of(known[i].split[k]);
        return GLIM_OK;
    }
    char names[160] = "";
    size_t n = 0;
    for (size_t i = 0; i < GLIM_COUNT(known) && n < sizeof names; i++)
        n += (size_t)snprintf(names + n, sizeof names - n, "%s%s", i ? ", " : "", known[i].name);
    return glim_fail(e, GLIM_E_UNSUPPORTED,
                     "the tokenizer's pre-tokenizer %s is not known; known are: %s",
                     GLIM_QUOTE(pre), names);
}

/* ---- compiling ------------------------------------------------------------------------------- */

static void *take_memory(PCRE2_SIZE n, void *user)
{
    (void)user;
    return glim_alloc(n);
}

static void give_memory(void *p, void *user)
{
    (void)user;
    glim_free(p);
}

static glim_err compile(glim_pretok *p, size_t i, glim_str re, pcre2_compile_context *options,
                        glim_error *e)
{
    glim_buf text;
    glim_buf_init(&text, 4096 + 192 * GLIM_MIN(re.n, (size_t)1 << 17));
    glim_err rc = glim_splitre_translate(re, &text, e);
    if (!rc) {
        int code;
        PCRE2_SIZE at;
        uint32_t flags = PCRE2_UTF | PCRE2_UCP | PCRE2_NO_AUTO_CAPTURE | PCRE2_NEVER_BACKSLASH_C;
        p->code[i] = pcre2_compile((PCRE2_SPTR)text.p, text.n, flags, &code, &at, options);
        if (!p->code[i] && code == PCRE2_ERROR_HEAP_FAILED) {
            rc = glim_fail(e, GLIM_E_NOMEM, "no memory for a split pattern");
        } else if (!p->code[i]) {
            PCRE2_UCHAR why[160];
            pcre2_get_error_message(code, why, sizeof why);
            rc = glim_fail(e, GLIM_E_UNSUPPORTED, "the split pattern %s does not compile: %s",
                           GLIM_QUOTE(re), (const char *)why);
        } else {
            /* Without JIT (no executable memory here) the interpreter gives the same matches. */
            p->jit[i] = pcre2_jit_compile(p->code[i], PCRE2_JIT_COMPLETE) == 0;
        }
    }
    glim_buf_deinit(&text);
    return rc;
}

glim_err glim_pretok_new(const glim_str *split, size_t n_split, glim_pretok **out, glim_error *e)
{
    if (n_split > GLIM_SPLIT_MAX)
        return glim_fail(e, GLIM_E_LIMIT, "%zu splits in the pre-tokenizer; the limit is %d",
                         n_split, GLIM_SPLIT_MAX);
    glim_pretok *p = glim_new0(glim_pretok);
    if (!p) return glim_fail(e, GLIM_E_NOMEM, "no memory for the pre-tokenizer");
    pcre2_compile_context *options = NULL;
    p->memory = pcre2_general_context_create(take_memory, give_memory, NULL);
    if (p->memory) options = pcre2_compile_context_create(p->memory);
    glim_err rc = GLIM_OK;
    if (!options) {
        rc = glim_fail(e, GLIM_E_NOMEM, "no memory for the pre-tokenizer");
    } else {
        pcre2_set_newline(options, PCRE2_NEWLINE_LF); /* of . ^ $: the library's default may vary */
        for (; !rc && p->n_split < n_split; p->n_split++)
            rc = compile(p, p->n_split, split[p->n_split], options, e);
    }
    pcre2_compile_context_free(options);
    if (rc) {
        glim_pretok_free(p);
        return rc;
    }
    *out = p;
    return GLIM_OK;
}

void glim_pretok_free(glim_pretok *p)
{
    if (!p) return;
    for (size_t i = 0; i < GLIM_SPLIT_MAX; i++)
        pcre2_code_free(p->code[i]);
    pcre2_general_context_free(p->memory);
    glim_free(p);
}

/* ---- matching -------------------------------------------------------------------------------- */

glim_err glim_pretok_work_init(const glim_pretok *p, glim_pretok_work *w, size_t n_text,
                               glim_error *e)
{
    memset(w, 0, sizeof *w);
    pcre2_match_context *limits = pcre2_match_context_create(p->memory);
    w->limits = limits;
    bool ok = limits != NULL;
    for (size_t i = 0; ok && i < p->n_split; i++) {
        w->match[i] = pcre2_match_data_create(1, p->memory);
        ok = w->match[i] != NULL;
    }
    if (!ok) {
        glim_pretok_work_deinit(w);
        return glim_fail(e, GLIM_E_NOMEM, "no memory for splitting text");
    }
    /* An honest pattern goes over the text a few times from one starting point; what needs more is
     * exponential. */
    uint64_t steps = UINT64_C(1000000) + 16 * (uint64_t)n_text;
    pcre2_set_match_limit(limits, (uint32_t)GLIM_MIN(steps, (uint64_t)UINT32_MAX));
    pcre2_set_heap_limit(limits, HEAP_LIMIT_KIB);
    return GLIM_OK;
}

void glim_pretok_work_deinit(glim_pretok_work *w)
{
    for (size_t i = 0; i < GLIM_SPLIT_MAX; i++)
        pcre2_match_data_free(w->match[i]);
    pcre2_match_context_free(w->limits);
    memset(w, 0, sizeof *w);
}

static glim_err match_failed(int rc, size_t i_split, size_t at, glim_error *e)
{
    PCRE2_UCHAR why[160];
    pcre2_get_error_message(rc, why, sizeof why);
    switch (rc) {
    case PCRE2_ERROR_MATCHLIMIT:
    case PCRE2_ERROR_DEPTHLIMIT:
    case PCRE2_ERROR_HEAPLIMIT:
    case PCRE2_ERROR_JIT_STACKLIMIT:
        return glim_fail(e, GLIM_E_LIMIT,
                         "split pattern %zu of the tokenizer needs too many steps at byte %zu of "
                         "a piece of text (%s); give shorter text or another tokenizer file",
                         i_split + 1, at, (const char *)why);
    case PCRE2_ERROR_NOMEMORY:
        return glim_fail(e, GLIM_E_NOMEM, "no memory for splitting text");
    default:
        return glim_fail(e, GLIM_E_INTERNAL, "split pattern %zu failed at byte %zu: %s",
                         i_split + 1, at, (const char *)why);
    }
}

/* The next match of split i in s from offset at; *found false: none. */
static glim_err next_match(const glim_pretok *p, const glim_pretok_work *w, size_t i, glim_str s,
                           size_t at, bool *found, size_t *begin, size_t *end, glim_error *e)
{
    PCRE2_SPTR text = (PCRE2_SPTR)s.p;
    int rc = PCRE2_ERROR_JIT_STACKLIMIT;
    if (p->jit[i]) rc = pcre2_jit_match(p->code[i], text, s.n, at, 0, w->match[i], w->limits);
    /* The interpreter keeps its backtracking points on the heap, within limits of its own. */
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
        rc = pcre2_match(p->code[i], text, s.n, at, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, w->match[i],
                         w->limits);
    *found = rc >= 0;
    if (rc >= 0) {
        const PCRE2_SIZE *place = pcre2_get_ovector_pointer(w->match[i]);
        *begin = place[0];
        *end = place[1];
        return GLIM_OK;
    }
    return rc == PCRE2_ERROR_NOMATCH ? GLIM_OK : match_failed(rc, i, at, e);
}

/* Splits s by the splits from i on. As deep as there are splits. */
static glim_err run_from(const glim_pretok *p, const glim_pretok_work *w, size_t i, glim_str s,
                         glim_piece_fn fn, void *user, glim_error *e)
{
    if (s.n == 0) return GLIM_OK;
    if (i == p->n_split) return fn(user, s, e);
    size_t done = 0, at = 0; /* done: handed on so far; at: where to search */
    while (at < s.n) {
        bool found;
        size_t begin, end;
        glim_err rc = next_match(p, w, i, s, at, &found, &begin, &end, e);
        if (rc) return rc;
        if (!found) break;
        if (GLIM_NEVER(begin < at || end < begin || end > s.n))
            return glim_fail(e, GLIM_E_INTERNAL, "split pattern %zu matched outside the text",
                             i + 1);
        rc = run_from(p, w, i + 1, glim_str_sub(s, done, begin), fn, user, e);
        if (!rc) rc = run_from(p, w, i + 1, glim_str_sub(s, begin, end), fn, user, e);
        if (rc) return rc;
        done = at = end;
        /* An empty match cuts where it is; the search goes on behind the next character. */
        while (begin == end && at < s.n && (++at < s.n) &&
               ((unsigned char)s.p[at] & 0xC0) == 0x80) {
        }
    }
    return run_from(p, w, i + 1, glim_str_sub(s, done, s.n), fn, user, e);
}

glim_err glim_pretok_run(const glim_pretok *p, glim_pretok_work *w, glim_str text, glim_piece_fn fn,
                         void *user, glim_error *e)
{
    return run_from(p, w, 0, text, fn, user, e);
}
