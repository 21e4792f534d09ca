/* SPDX-License-Identifier: MIT
 * output.c - messages, text from outside, finished documents; and whole inputs.
 * Owns:   the rule that results go to standard output and everything else to standard error. */
#include "cli/cli_priv.h"

static void say(const glim_cli *c, const char *text)
{
    fflush(stdout); /* what was said before stands before, also when both go to one place */
    fprintf(stderr, "glim%s%s: ", c->cmd ? " " : "", c->cmd ? c->cmd->name : "");
    /* Names of files and fields stand in messages: nothing of them may reach the terminal as a
     * command. */
    for (const char *p = text; *p; p++)
        fputc((unsigned char)*p < 0x20 || *p == 0x7f ? '?' : *p, stderr);
    fputc('\n', stderr);
}

int glim_cli_fail(const glim_cli *c, const glim_error *e)
{
    say(c, e->msg[0] ? e->msg : glim_strerror(e->code));
    return glim_err_exit(e->code ? e->code : GLIM_E_INTERNAL);
}

void glim_cli_say(const glim_cli *c, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    say(c, text);
}

void glim_cli_text(FILE *f, glim_str s)
{
    if (!glim_term_is(f)) {
        fwrite(s.p, 1, s.n, f);
        return;
    }
    while (s.n > 0) {
        uint32_t cp;
        int n = glim_utf8_decode(s, &cp);
        bool plain =
            n > 0 && (cp == '\n' || cp == '\t' || (cp >= 0x20 && (cp < 0x7f || cp > 0x9f)));
        if (plain)
            fwrite(s.p, 1, (size_t)n, f);
        else
            fputs("\xEF\xBF\xBD", f);
        s = glim_str_sub(s, (size_t)GLIM_MAX(n, 1), s.n);
    }
}

glim_err glim_cli_emit(glim_buf *b, glim_error *e)
{
    glim_err rc = b->err;
    if (rc)
        rc = glim_fail(e, rc, "the output is too long: no memory after %zu bytes", b->n);
    else
        fwrite(b->p, 1, b->n, stdout); /* a failure stays in stdout and is reported at the end */
    glim_buf_deinit(b);
    return rc;
}

glim_err glim_cli_read(const char *path, glim_buf *b, glim_error *e)
{
    glim_buf_init(b, GLIM_CLI_INPUT_MAX);
    glim_err rc = glim_read_file(path, b, e);
    if (rc) glim_buf_deinit(b);
    return rc;
}

static glim_err add_id(int32_t **ids, size_t *n, size_t *cap, int64_t id, const char *name,
                       glim_error *e)
{
    if (id < INT32_MIN || id > INT32_MAX)
        return glim_fail(e, GLIM_E_INPUT, "%s: %lld is no token id", name, (long long)id);
    if (*n == *cap) {
        size_t more = *cap ? *cap * 2 : 256;
        int32_t *p = glim_realloc(*ids, more * sizeof **ids);
        if (!p) return glim_fail(e, GLIM_E_NOMEM, "%s: no memory for %zu ids", name, more);
        *ids = p;
        *cap = more;
    }
    (*ids)[(*n)++] = (int32_t)id;
    return GLIM_OK;
}

static glim_err ids_of_json(glim_str text, const char *name, int32_t **ids, size_t *n,
                            glim_error *e)
{
    glim_json_reader r;
    glim_json_tok tok;
    glim_str word;
    size_t cap = 0;
    glim_json_reader_init(&r, text);
    glim_err rc = glim_json_next(&r, &tok, &word, e);
    if (rc) glim_error_prefix(e, "%s", name);
    if (!rc && tok != GLIM_JT_ARRAY)
        rc = glim_fail(e, GLIM_E_INPUT, "%s: no JSON array of ids", name);
    while (!rc) {
        int64_t id;
        rc = glim_json_next(&r, &tok, &word, e);
        if (rc) {
            glim_error_prefix(e, "%s", name);
        } else if (tok == GLIM_JT_END) {
            break;
        } else if (tok == GLIM_JT_ARRAY_END) {
            continue;
        } else if (tok != GLIM_JT_NUMBER || !glim_parse_i64(word, &id)) {
            rc = glim_fail_off(e, GLIM_E_INPUT, r.at,
                               "%s: element %zu (at byte %zu) is no whole number", name, *n, r.at);
        } else {
            rc = add_id(ids, n, &cap, id, name, e);
        }
    }
    glim_json_reader_deinit(&r);
    return rc;
}

static glim_err ids_of_words(glim_str text, const char *name, int32_t **ids, size_t *n,
                             glim_error *e)
{
    size_t cap = 0, i = 0;
    while (i < text.n) {
        if (strchr(" \t\r\n", text.p[i]) && text.p[i]) {
            i++;
            continue;
        }
        size_t end = i;
        while (end < text.n && !(strchr(" \t\r\n", text.p[end]) && text.p[end]))
            end++;
        int64_t id;
        glim_str word = glim_str_sub(text, i, end);
        if (!glim_parse_i64(word, &id))
            return glim_fail_off(e, GLIM_E_INPUT, i, "%s: %s (at byte %zu) is no token id", name,
                                 GLIM_QUOTE(word), i);
        glim_err rc = add_id(ids, n, &cap, id, name, e);
        if (rc) return rc;
        i = end;
    }
    return GLIM_OK;
}

glim_err glim_cli_ids(glim_str text, const char *name, bool json_only, int32_t **ids, size_t *n,
                      glim_error *e)
{
    *ids = NULL;
    *n = 0;
    glim_str begin = glim_str_trim(text, " \t\r\n");
    bool json = json_only || (begin.n && begin.p[0] == '[');
    glim_err rc = json ? ids_of_json(text, name, ids, n, e) : ids_of_words(text, name, ids, n, e);
    if (rc) {
        glim_free(*ids);
        *ids = NULL;
    }
    return rc;
}

const char *glim_cli_bytes(uint64_t n, char out[32])
{
    static const char *const unit[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    double v = (double)n;
    size_t u = 0;
    while (v >= 1024 && u + 1 < GLIM_COUNT(unit)) {
        v /= 1024;
        u++;
    }
    snprintf(out, 32, u ? "%.1f %s" : "%.0f %s", v, unit[u]);
    return out;
}
