/* SPDX-License-Identifier: MIT
 * picture.c - parts of messages that are no text, which only other people's servers understand: taken past the decoder of
 * messages as they are, or made from files.
 * Fails: INPUT naming the message and the part. */
#include "cli/cli_priv.h"

/* Contents that were set aside: part lists of message i, or n_part 0. */
struct glim_parts {
    size_t n_message;
    struct {
        const glim_str *parts;
        size_t n_part;
    } * of;
};

/* What the decoder of messages does not read. */
static bool is_other(const glim_json *part)
{
    static const char *const texts[] = {"text", "input_text", "output_text", "refusal"};
    const glim_json *type = glim_json_get(part, "type");
    if (!glim_json_is(type, GLIM_JSON_STRING)) return false;
    for (size_t i = 0; i < GLIM_COUNT(texts); i++)
        if (glim_str_is(type->text, texts[i])) return false;
    return true;
}

static bool has_other(const glim_json *content)
{
    GLIM_JSON_EACH(part, content)
    {
        if (is_other(part)) return true;
    }
    return false;
}

static glim_err set_aside(glim_arena *a, size_t i, glim_json *content, const glim_str **parts,
                          size_t *n, glim_error *e)
{
    glim_str *p = GLIM_ARENA_ARRAY(a, glim_str, content->n_child);
    if (!p) return glim_fail(e, GLIM_E_NOMEM, "no memory for the parts of a message");
    *n = 0;
    GLIM_JSON_EACH(part, content)
    {
        if (part->type != GLIM_JSON_OBJECT ||
            !glim_json_is(glim_json_get(part, "type"), GLIM_JSON_STRING))
            return glim_fail_off(e, GLIM_E_INPUT, part->offset,
                                 "messages[%zu].content[%zu]: is no object with a type, as "
                                 "{\"type\":\"image_url\",\"image_url\":{\"url\":\"...\"}}",
                                 i, *n);
        p[(*n)++] = part->text;
    }
    *parts = p;
    content->type = GLIM_JSON_STRING;
    content->text = GLIM_STR(" ");
    content->child = NULL;
    content->n_child = 0;
    return GLIM_OK;
}

glim_err glim_parts_take(glim_arena *a, glim_json *messages, glim_parts **out, glim_error *e)
{
    *out = NULL;
    if (messages->type != GLIM_JSON_ARRAY) return GLIM_OK; /* the decoder says what is wrong */
    glim_parts *p = GLIM_ARENA_NEW0(a, glim_parts);
    if (p) p->of = glim_arena_alloc0(a, messages->n_child * sizeof *p->of);
    if (!p || !p->of) return glim_fail(e, GLIM_E_NOMEM, "no memory for the messages");
    for (glim_json *m = messages->child; m; m = m->next, p->n_message++) {
        const glim_json *role = glim_json_get(m, "role");
        if (!glim_json_is(role, GLIM_JSON_STRING) || !glim_str_is(role->text, "user")) continue;
        glim_json *content = m->child;
        while (content && !glim_str_is(content->key, "content"))
            content = content->next;
        if (!glim_json_is(content, GLIM_JSON_ARRAY) || !has_other(content)) continue;
        glim_err rc = set_aside(a, p->n_message, content, &p->of[p->n_message].parts,
                                &p->of[p->n_message].n_part, e);
        if (rc) return rc;
    }
    *out = p;
    return GLIM_OK;
}

glim_err glim_parts_give(glim_arena *a, const glim_parts *p, glim_chat *chat, glim_error *e)
{
    if (chat->n_message != p->n_message)
        return glim_fail(e, GLIM_E_INTERNAL, "%zu messages became %zu", p->n_message,
                         chat->n_message);
    glim_message *m = GLIM_ARENA_ARRAY(a, glim_message, chat->n_message);
    if (!m) return glim_fail(e, GLIM_E_NOMEM, "no memory for the messages");
    for (size_t i = 0; i < p->n_message; i++) {
        m[i] = chat->messages[i];
        if (p->of[i].n_part == 0) continue;
        m[i].content = GLIM_STR("");
        m[i].parts = p->of[i].parts;
        m[i].n_part = p->of[i].n_part;
    }
    chat->messages = m;
    return GLIM_OK;
}

/* ---- --image ----------------------------------------------------------------------------------- */

/* By the bytes a file begins with; NULL: none that is known. */
static const char *picture_type(glim_str s)
{
    static const struct {
        const char *type;
        glim_str begin;
        size_t at;
    } kinds[] = {
        {"image/png", {"\x89PNG\r\n\x1a\n", 8}, 0},
        {"image/jpeg", {"\xff\xd8\xff", 3}, 0},
        {"image/gif", {"GIF8", 4}, 0},
        {"image/bmp", {"BM", 2}, 0},
        {"image/webp", {"WEBP", 4}, 8},
    };
    for (size_t i = 0; i < GLIM_COUNT(kinds); i++)
        if (s.n >= kinds[i].at + kinds[i].begin.n &&
            glim_str_starts(glim_str_sub(s, kinds[i].at, s.n), kinds[i].begin))
            return kinds[i].type;
    return NULL;
}

static void add_base64(glim_buf *b, glim_str s)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < s.n && !b->err; i += 3) {
        size_t n = GLIM_MIN(s.n - i, (size_t)3);
        uint32_t w = 0;
        char four[4];
        for (size_t k = 0; k < 3; k++)
            w = w << 8 | (k < n ? (unsigned char)s.p[i + k] : 0u);
        for (size_t k = 0; k < 4; k++)
            four[k] = k <= n ? letters[w >> (18 - 6 * k) & 63] : '=';
        glim_buf_add(b, four, sizeof four);
    }
}

/* The address that an image_url part gets: as it was given, or the file's bytes. */
static glim_err picture_url(glim_str given, const char *place, glim_buf *url, glim_error *e)
{
    if (glim_str_starts(given, GLIM_STR("http://")) ||
        glim_str_starts(given, GLIM_STR("https://")) || glim_str_starts(given, GLIM_STR("data:"))) {
        glim_buf_addv(url, given);
        return glim_cli_check_text(place, given, e);
    }
    glim_buf file;
    glim_err rc = glim_cli_read(given.p, &file, e);
    if (rc) return glim_error_prefix(e, "%s", place);
    const char *type = picture_type(glim_buf_view(&file));
    if (type) {
        glim_buf_addf(url, "data:%s;base64,", type);
        add_base64(url, glim_buf_view(&file));
    } else {
        rc = glim_fail(e, GLIM_E_INPUT,
                       "%s: %s is no picture that is known here (PNG, JPEG, GIF, WebP, BMP)", place,
                       GLIM_QUOTE(given));
    }
    glim_buf_deinit(&file);
    return rc;
}

static glim_err add_part(glim_cli *c, const char *type, glim_str value, glim_str *out,
                         glim_error *e)
{
    glim_buf b;
    glim_jw w;
    bool text = strcmp(type, "text") == 0;
    glim_buf_init(&b, SIZE_MAX / 2);
    glim_jw_init(&w, &b);
    glim_jw_object(&w);
    glim_jw_key(&w, "type");
    glim_jw_str(&w, glim_str_of(type));
    glim_jw_key(&w, type);
    if (!text) {
        glim_jw_object(&w);
        glim_jw_key(&w, "url");
    }
    glim_jw_str(&w, value);
    if (!text) glim_jw_object_end(&w);
    glim_jw_object_end(&w);
    *out = b.err ? (glim_str){0} : glim_arena_str(c->arena, glim_buf_view(&b));
    glim_buf_deinit(&b);
    return out->p ? GLIM_OK : glim_fail(e, GLIM_E_NOMEM, "no memory for a part of the message");
}

glim_err glim_parts_add(glim_cli *c, glim_str text, glim_message *m, glim_error *e)
{
    const glim_opt_value *v = glim_cli_opt(c, GLIM_O_IMAGE);
    if (v->n_item == 0) return GLIM_OK;
    glim_str *parts = GLIM_ARENA_ARRAY(c->arena, glim_str, v->n_item + 1);
    if (!parts) return glim_fail(e, GLIM_E_NOMEM, "no memory for the parts of the message");
    glim_err rc = add_part(c, "text", text, &parts[0], e);
    for (size_t i = 0; !rc && i < v->n_item; i++) {
        glim_buf url;
        glim_buf_init(&url, SIZE_MAX / 2);
        rc = picture_url(v->items[i], v->place, &url, e);
        if (!rc && url.err) rc = glim_fail(e, url.err, "%s: no memory for a picture", v->place);
        if (!rc) rc = add_part(c, "image_url", glim_buf_view(&url), &parts[i + 1], e);
        glim_buf_deinit(&url);
    }
    m->content = GLIM_STR("");
    m->parts = parts;
    m->n_part = v->n_item + 1;
    return rc;
}
