/* SPDX-License-Identifier: MIT
 * enctok_json_parts.c - normalizer, pre-tokenizer and post-processor of an encoder's
 * tokenizer.json.
 * Owns: which combinations of these glim reproduces.
 * Not here: the vocabulary and the whole (enctok_json.c).
 * Thread: any.
 * Fails: GLIM_E_FORMAT, GLIM_E_UNSUPPORTED naming the part, GLIM_E_NOMEM.
 * See: tests/unit/text/test_unigram.c, test_wordpiece.c */
#include "enctok_priv.h"

static glim_err bad(glim_encparts *p, const glim_json *v, const char *what)
{
    size_t at = p->at + (v ? v->offset : 0);
    return glim_fail_off(p->e, GLIM_E_FORMAT, at, "at byte %zu: %s", at, what);
}

static glim_err unsupported(glim_encparts *p, const glim_json *v, const char *what, glim_str value)
{
    size_t at = p->at + (v ? v->offset : 0);
    return glim_fail_off(p->e, GLIM_E_UNSUPPORTED, at, "at byte %zu: %s %s is not supported", at,
                         what, GLIM_QUOTE(value));
}

static glim_str text_of(const glim_json *v, const char *key)
{
    const glim_json *t = glim_json_path(v, key);
    return glim_json_is(t, GLIM_JSON_STRING) ? t->text : GLIM_STR("(none)");
}

/* A switch that has to be there; null counts as `null`. */
static glim_err get_bool(glim_encparts *p, const glim_json *v, const char *key, bool null,
                         bool *out)
{
    const glim_json *b = glim_json_get(v, key);
    *out = null;
    if (!b || glim_json_is(b, GLIM_JSON_NULL) || glim_json_bool(b, out)) return GLIM_OK;
    return bad(p, b, "this should be true or false");
}

/* Hands the steps of a Sequence, or the one part, to fn in order. */
static glim_err each(glim_encparts *p, const glim_json *v, const char *list,
                     glim_err (*fn)(glim_encparts *, const glim_json *))
{
    if (!v) return GLIM_OK;
    if (!glim_str_is(text_of(v, "type"), "Sequence")) return fn(p, v);
    const glim_json *steps = glim_json_get(v, list);
    if (!glim_json_is(steps, GLIM_JSON_ARRAY)) return bad(p, v, "a Sequence without its list");
    GLIM_JSON_EACH(it, steps)
    {
        glim_err rc = fn(p, it);
        if (rc) return rc;
    }
    return GLIM_OK;
}

/* ---- normalizer ------------------------------------------------------------------------------ */

static int digit64(char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static glim_err decode_base64(glim_encparts *p, const glim_json *v, glim_str s, glim_str *out)
{
    size_t n = 0, end = s.n;
    uint32_t bits = 0;
    while (end > 0 && s.n - end < 2 && s.p[end - 1] == '=')
        end--;
    if (s.n % 4) return bad(p, v, "precompiled_charsmap is not base64: its length");
    char *to = glim_arena_alloc(p->a, s.n / 4 * 3 + 1);
    if (!to) return glim_fail(p->e, GLIM_E_NOMEM, "no memory for the character map");
    for (size_t i = 0; i < end; i++) {
        int d = digit64(s.p[i]);
        if (d < 0) return bad(p, v, "precompiled_charsmap is not base64: a wrong letter");
        bits = bits << 6 | (uint32_t)d;
        if (i % 4) to[n++] = (char)(uint8_t)(bits >> (6 - i % 4 * 2));
    }
    *out = (glim_str){to, n};
    return GLIM_OK;
}

static glim_err read_precompiled(glim_encparts *p, const glim_json *v)
{
    const glim_json *map = glim_json_get(v, "precompiled_charsmap");
    if (p->has_charsmap || p->has_strip_left || p->has_strip_right || p->has_collapse)
        return unsupported(p, v,
                           "a Precompiled normalizer behind another:", GLIM_STR("Precompiled"));
    if (!glim_json_is(map, GLIM_JSON_STRING)) return bad(p, v, "a Precompiled without its map");
    p->has_charsmap = true;
    return decode_base64(p, map, map->text, &p->charsmap);
}

static glim_err read_bert(glim_encparts *p, const glim_json *v)
{
    p->has_bert = true;
    glim_err rc = get_bool(p, v, "clean_text", true, &p->clean);
    if (!rc) rc = get_bool(p, v, "handle_chinese_chars", true, &p->chinese);
    if (!rc) rc = get_bool(p, v, "lowercase", true, &p->lower);
    return rc ? rc : get_bool(p, v, "strip_accents", p->lower, &p->strip_accents);
}

/* Several blanks into one; the sign for one is as good, since blanks become it next. */
static glim_err read_replace(glim_encparts *p, const glim_json *v)
{
    glim_str re = text_of(v, "pattern.Regex"), to = text_of(v, "content");
    if (!glim_str_is(re, " {2,}")) return unsupported(p, v, "a Replace normalizer of", re);
    if (!glim_str_is(to, " ") && !glim_str_is(to, GLIM_ENCTOK_BLANK))
        return unsupported(p, v, "a Replace normalizer to", to);
    p->has_collapse = true;
    return GLIM_OK;
}

static glim_err normalizer_step(glim_encparts *p, const glim_json *v)
{
    glim_str type = text_of(v, "type");
    if (p->has_bert) return unsupported(p, v, "a normalizer behind BertNormalizer:", type);
    if (glim_str_is(type, "Precompiled")) return read_precompiled(p, v);
    if (glim_str_is(type, "Replace")) return read_replace(p, v);
    if (glim_str_is(type, "Strip")) {
        glim_err rc = get_bool(p, v, "strip_left", true, &p->has_strip_left);
        return rc ? rc : get_bool(p, v, "strip_right", true, &p->has_strip_right);
    }
    if (!glim_str_is(type, "BertNormalizer") || p->has_charsmap || p->has_collapse ||
        p->has_strip_left || p->has_strip_right)
        return unsupported(p, v, "the normalizer", type);
    return read_bert(p, v);
}

glim_err glim_encparts_normalizer(glim_encparts *p, const glim_json *v)
{
    return each(p, v, "normalizers", normalizer_step);
}

/* ---- pre-tokenizer --------------------------------------------------------------------------- */

static glim_err read_metaspace(glim_encparts *p, const glim_json *v)
{
    bool prefix, split;
    glim_str sign = text_of(v, "replacement"), scheme = text_of(v, "prepend_scheme");
    glim_err rc = get_bool(p, v, "add_prefix_space", true, &prefix);
    if (!rc) rc = get_bool(p, v, "split", true, &split);
    if (rc) return rc;
    if (!glim_str_is(sign, GLIM_ENCTOK_BLANK)) return unsupported(p, v, "the replacement", sign);
    if (glim_json_get(v, "prepend_scheme") && !glim_str_is(scheme, "always"))
        return unsupported(p, v, "the prepend_scheme", scheme);
    if (!prefix) return unsupported(p, v, "add_prefix_space false in", GLIM_STR("Metaspace"));
    if (!split) return unsupported(p, v, "split false in", GLIM_STR("Metaspace"));
    p->has_metaspace = true;
    return GLIM_OK;
}

static glim_err pre_tokenizer_step(glim_encparts *p, const glim_json *v)
{
    glim_str type = text_of(v, "type");
    bool any = p->has_metaspace || p->has_bert_split;
    if (!any && glim_str_is(type, "WhitespaceSplit")) {
        p->has_split = true;
        return GLIM_OK;
    }
    if (!any && glim_str_is(type, "Metaspace")) return read_metaspace(p, v);
    if (any || p->has_split || !glim_str_is(type, "BertPreTokenizer"))
        return unsupported(p, v, "the pre-tokenizer", type);
    p->has_bert_split = true;
    return GLIM_OK;
}

glim_err glim_encparts_pre_tokenizer(glim_encparts *p, const glim_json *v)
{
    return each(p, v, "pretokenizers", pre_tokenizer_step);
}

/* ---- post-processor -------------------------------------------------------------------------- */

/* The elements of a template as letters: A, B, c (first token), s (last token); with a digit for
 * the type id. Longer or other ones give an empty string. */
static void shape_of(glim_encparts *p, const glim_json *list, char out[16])
{
    size_t n = 0;
    GLIM_JSON_EACH(it, list)
    {
        const glim_json *token = glim_json_get(it, "SpecialToken");
        const glim_json *part = token ? token : glim_json_get(it, "Sequence");
        int64_t type = -1;
        glim_str id = text_of(part, "id");
        bool ok = n < 14 && part && glim_json_i64(glim_json_get(part, "type_id"), &type) &&
                  (type == 0 || type == 1) && id.n > 0;
        char c = '?';
        if (ok && !token) c = id.p[0];
        if (ok && token && n == 0) p->cls = id;
        if (ok && token && n && !p->sep.p) p->sep = id;
        if (ok && token) c = n == 0 ? 'c' : glim_str_eq(id, p->sep) ? 's' : '?';
        if (ok && token && n == 0 && !glim_str_eq(id, p->cls)) c = '?';
        if (!ok || c == '?') {
            n = 0;
            break;
        }
        out[n++] = c;
        out[n++] = (char)('0' + type);
    }
    out[n] = 0;
}

static glim_err read_template(glim_encparts *p, const glim_json *v)
{
    char single[16], pair[16];
    shape_of(p, glim_json_get(v, "single"), single);
    glim_str cls = p->cls;
    shape_of(p, glim_json_get(v, "pair"), pair);
    p->type_ids = !strcmp(pair, "c0A0s0B1s1");
    p->two_sep = !strcmp(pair, "c0A0s0s0B0s0");
    bool known = p->type_ids || p->two_sep || !strcmp(pair, "c0A0s0B0s0");
    if (strcmp(single, "c0A0s0") != 0 || !known || !glim_str_eq(cls, p->cls))
        return unsupported(p, v, "this template of the post-processor",
                           GLIM_STR("TemplateProcessing"));
    return GLIM_OK;
}

/* BertProcessing and RobertaProcessing: a pair of token and id each. */
static glim_err read_two(glim_encparts *p, const glim_json *v, bool roberta)
{
    const glim_json *cls = glim_json_at(glim_json_get(v, "cls"), 0);
    const glim_json *sep = glim_json_at(glim_json_get(v, "sep"), 0);
    if (!glim_json_is(cls, GLIM_JSON_STRING) || !glim_json_is(sep, GLIM_JSON_STRING))
        return bad(p, v, "a post-processor without cls or sep");
    p->cls = cls->text;
    p->sep = sep->text;
    p->two_sep = roberta;
    p->type_ids = !roberta;
    return GLIM_OK;
}

glim_err glim_encparts_post(glim_encparts *p, const glim_json *v)
{
    if (!v) return GLIM_OK;
    glim_str type = text_of(v, "type");
    p->has_post = true;
    if (glim_str_is(type, "TemplateProcessing")) return read_template(p, v);
    if (glim_str_is(type, "BertProcessing")) return read_two(p, v, false);
    if (glim_str_is(type, "RobertaProcessing")) return read_two(p, v, true);
    return unsupported(p, v, "the post-processor", type);
}
