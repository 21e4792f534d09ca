/* SPDX-License-Identifier: MIT
 * parse_glm_tools.c - the inside of a call as GLM-4.5 to 4.7 write it.
 * Owns: <tool_call>name<arg_key>key</arg_key><arg_value>value</arg_value>...</tool_call> and what
 *       is forgiven in it: blanks between tags, a missing <arg_value>, a missing last </tool_call>.
 * Not here: text around calls (parse.c), the types of values (parse_schema.c).
 * Layout: a value ends at an </arg_value> that <arg_key>, </tool_call> or the end of the output
 *         follows; every other tag in a value is part of it. A tag at the wrong place outside of
 *         values ends the attempt there.
 * Thread: that of the parser.
 * Fails: NOMEM, CANCELLED.
 * See: tests/unit/text/test_parser.c */
#include "text/parse_priv.h"

#include "text/uniclass_priv.h"

#define NAME_MAX_CHARS 128

static glim_err no_memory(glim_error *e)
{
    return glim_fail(e, GLIM_E_NOMEM, "no memory to parse a call");
}

glim_err glim_call_begin(glim_parser *p, glim_error *e)
{
    glim_call *c = &p->call;
    glim_arena_reset(c->arena);
    c->step = GLIM_CALL_NAME;
    glim_buf_cut(&c->raw, 0);
    c->match.n = 0;
    c->n_name_char = 0;
    c->name_at = c->name_end = c->char_at = 0;
    c->in_reasoning = p->reasoning;
    c->announced = false;
    c->first = c->last = NULL;
    c->n_arg = 0;
    return glim_buf_adds(&c->raw, "<tool_call>") ? no_memory(e) : GLIM_OK;
}

static glim_str strip(glim_str s)
{
    while (s.n && glim_parse_blank(s.p[0]))
        s = glim_str_sub(s, 1, s.n);
    while (s.n && glim_parse_blank(s.p[s.n - 1]))
        s.n--;
    return s;
}

/* ---- events ---------------------------------------------------------------------------------- */

static glim_err announce(glim_parser *p, glim_error *e)
{
    glim_call *c = &p->call;
    glim_err rc = glim_parse_flush(p, e);
    if (rc) return rc;
    c->announced = true;
    c->i_call = p->n_announced++;
    glim_event ev = {.kind = GLIM_EV_CALL_BEGIN, .i_call = c->i_call, .name = c->name};
    return glim_parse_send(p, &ev, e);
}

static glim_err send_arg(glim_parser *p, const glim_call_arg *arg, glim_error *e)
{
    glim_event ev = {.kind = GLIM_EV_CALL_ARG,
                     .i_call = p->call.i_call,
                     .name = p->call.name,
                     .key = arg->key,
                     .text = arg->json};
    return glim_parse_send(p, &ev, e);
}

/* A value is closed: types it, keeps it, sends it if the call is announced. */
static glim_err take_value(glim_parser *p, glim_error *e)
{
    glim_call *c = &p->call;
    glim_str raw = glim_str_sub(glim_buf_view(&c->raw), c->value_at, c->value_end);
    glim_buf_clear(&c->json);
    glim_arena_reset(p->scratch);
    if (glim_toolset_value(p->tools, c->name, c->key, raw, p->scratch, &c->json))
        return no_memory(e);
    glim_call_arg *arg = GLIM_ARENA_NEW0(c->arena, glim_call_arg);
    if (!arg) return no_memory(e);
    arg->key = c->key;
    arg->json = glim_arena_str(c->arena, glim_buf_view(&c->json));
    if (!arg->json.p) return no_memory(e);
    if (c->last)
        c->last->next = arg;
    else
        c->first = arg;
    c->last = arg;
    c->n_arg++;
    return c->announced ? send_arg(p, arg, e) : GLIM_OK;
}

/* A key given twice keeps its first place and gets its last value, as in a Python dict. */
static glim_err merge_keys(glim_call *c, glim_error *e)
{
    glim_err rc = GLIM_OK;
    uint32_t i = 0, at;
    if (c->n_arg < 2) return GLIM_OK;
    glim_call_arg **all = GLIM_ARENA_ARRAY(c->arena, glim_call_arg *, c->n_arg);
    glim_map *map = all ? glim_map_new(c->n_arg) : NULL;
    if (!map) return no_memory(e);
    for (glim_call_arg *a = c->first; a && !rc; a = a->next) {
        all[i] = a;
        if (glim_map_get(map, a->key, &at)) {
            all[at]->json = a->json;
            a->repeated = true;
        } else {
            rc = glim_map_put(map, a->key, i);
        }
        i++;
    }
    glim_map_free(map);
    return rc ? no_memory(e) : GLIM_OK;
}

/* The call is whole: everything about it that is not out yet goes out. */
static glim_err complete(glim_parser *p, glim_error *e)
{
    glim_call *c = &p->call;
    glim_err rc = GLIM_OK;
    glim_buf_cut(&p->blanks, 0);
    if (!c->announced) {
        rc = announce(p, e);
        p->reasoning = false; /* what came before is out, as what it was */
        for (const glim_call_arg *a = c->first; a && !rc; a = a->next)
            rc = send_arg(p, a, e);
    }
    if (!rc) rc = merge_keys(c, e);
    if (rc) return rc;
    glim_buf_clear(&c->json);
    glim_buf_addc(&c->json, '{');
    for (const glim_call_arg *a = c->first; a; a = a->next) {
        if (a->repeated) continue;
        if (a != c->first) glim_buf_addc(&c->json, ',');
        glim_json_quote(&c->json, a->key);
        glim_buf_addc(&c->json, ':');
        glim_buf_addv(&c->json, a->json);
    }
    glim_buf_addc(&c->json, '}');
    p->n_call++;
    p->skip_newlines = p->at_start = false;
    glim_event ev = {.kind = GLIM_EV_CALL_END,
                     .i_call = c->i_call,
                     .name = c->name,
                     .text = glim_buf_view(&c->json)};
    return glim_parse_send(p, &ev, e);
}

/* ---- bytes ----------------------------------------------------------------------------------- */

/* The tag that c completed becomes part of raw. */
static void take_tag(glim_call *c, char last)
{
    glim_buf_add(&c->raw, c->match.text, c->match.n);
    glim_buf_addc(&c->raw, last);
    c->match.n = 0;
}

static bool name_is_whole(const glim_call *c)
{
    return c->n_name_char > 0 && c->char_at == 0;
}

static glim_err take_name(glim_call *c, glim_error *e)
{
    c->name = glim_str_sub(glim_buf_view(&c->raw), c->name_at, c->name_end);
    c->name = glim_arena_str(c->arena, c->name);
    return c->name.p ? GLIM_OK : no_memory(e);
}

/* A byte of the name; false when it cannot be in one. Characters come whole, byte by byte. */
static bool name_byte(glim_call *c, char byte)
{
    if (glim_parse_blank(byte)) {
        glim_buf_addc(&c->raw, byte);
        return true;
    }
    if (c->char_at == 0) {
        bool after_end = c->n_name_char && c->name_end != c->raw.n;
        if (after_end || c->n_name_char == NAME_MAX_CHARS) return false;
        c->char_at = c->raw.n;
    }
    glim_str ch = glim_str_sub(glim_buf_view(&c->raw), c->char_at, c->raw.n);
    char text[4];
    uint32_t cp;
    if (ch.n >= sizeof text) return false;
    if (ch.n) memcpy(text, ch.p, ch.n);
    text[ch.n] = byte;
    int n = glim_utf8_decode((glim_str){text, ch.n + 1}, &cp);
    if (n > 0) {
        bool ascii = (cp >= '0' && cp <= '9') || cp == '_' || cp == '.' || cp == '-';
        if (!ascii && glim_uniclass_of(cp) != GLIM_UNI_LETTER) return false;
        if (c->n_name_char++ == 0) c->name_at = c->char_at;
        c->char_at = 0;
        glim_buf_addc(&c->raw, byte);
        c->name_end = c->raw.n;
        return true;
    }
    glim_buf_addc(&c->raw, byte);
    return (unsigned char)byte >= 0x80;
}

static glim_err name_step(glim_parser *p, char byte, glim_call_result *result, glim_error *e)
{
    glim_call *c = &p->call;
    if (c->match.n == 0 && byte != '<') {
        if (!name_byte(c, byte)) *result = GLIM_CALL_NONE;
        return GLIM_OK;
    }
    int tag = glim_tag_next(&c->match, TAG_KEY | TAG_CALL_END, byte);
    if (tag == 0) return GLIM_OK;
    if (tag < 0 || !name_is_whole(c)) {
        *result = GLIM_CALL_NONE;
        return GLIM_OK;
    }
    take_tag(c, byte);
    glim_err rc = take_name(c, e);
    if (rc) return rc;
    if (tag == TAG_CALL_END) {
        *result = GLIM_CALL_WHOLE;
        return complete(p, e);
    }
    c->step = GLIM_CALL_KEY;
    c->key_at = c->raw.n;
    return c->in_reasoning ? GLIM_OK : announce(p, e);
}

/* Text of a key or a value with a tag at its end: the tag if it is complete now, else 0. */
static int text_byte(glim_call *c, unsigned set, char byte)
{
    if (c->match.n || byte == '<') {
        int tag = glim_tag_next(&c->match, set, byte);
        if (tag >= 0) return tag;
        glim_buf_add(&c->raw, c->match.text, c->match.n);
        c->match.n = 0;
        if (byte == '<' && glim_tag_next(&c->match, set, byte) == 0) return 0;
    }
    glim_buf_addc(&c->raw, byte);
    return 0;
}

static glim_err key_step(glim_parser *p, char byte, glim_call_result *result, glim_error *e)
{
    glim_call *c = &p->call;
    size_t key_end = c->raw.n;
    int tag = text_byte(c, (1u << N_TAG) - 1, byte);
    if (tag == 0) return GLIM_OK;
    if (tag != TAG_KEY_END) {
        *result = GLIM_CALL_NONE;
        return GLIM_OK;
    }
    c->key = glim_str_sub(glim_buf_view(&c->raw), c->key_at, key_end);
    c->key = glim_arena_str(c->arena, strip(c->key));
    if (!c->key.p) return no_memory(e);
    take_tag(c, byte);
    c->step = GLIM_CALL_KEY_DONE;
    c->value_at = c->raw.n;
    return GLIM_OK;
}

static void value_byte(glim_call *c, char byte)
{
    size_t value_end = c->raw.n;
    if (text_byte(c, TAG_VALUE_END, byte) == 0) return;
    c->value_end = value_end;
    take_tag(c, byte);
    c->step = GLIM_CALL_VALUE_DONE;
}

/* Behind a key or a value came no tag: that was still the value. */
static void back_to_value(glim_call *c, char byte)
{
    glim_tag_match held = c->match;
    c->match.n = 0;
    c->step = GLIM_CALL_VALUE;
    for (size_t i = 0; i < held.n; i++)
        value_byte(c, held.text[i]);
    value_byte(c, byte);
}

static void key_done_step(glim_call *c, char byte, glim_call_result *result)
{
    if (c->match.n == 0 && glim_parse_blank(byte)) {
        glim_buf_addc(&c->raw, byte);
        return;
    }
    int tag = glim_tag_next(&c->match, TAG_VALUE | TAG_KEY | TAG_CALL | TAG_CALL_END, byte);
    if (tag == 0) return;
    if (tag < 0) {
        back_to_value(c, byte);
    } else if (tag == TAG_VALUE) {
        take_tag(c, byte);
        c->step = GLIM_CALL_VALUE;
        c->value_at = c->raw.n;
    } else {
        *result = GLIM_CALL_NONE; /* a key without any value */
    }
}

static glim_err value_done_step(glim_parser *p, char byte, glim_call_result *result, glim_error *e)
{
    glim_call *c = &p->call;
    if (c->match.n == 0 && glim_parse_blank(byte)) {
        glim_buf_addc(&c->raw, byte);
        return GLIM_OK;
    }
    int tag = glim_tag_next(&c->match, TAG_KEY | TAG_CALL_END, byte);
    if (tag == 0) return GLIM_OK;
    if (tag < 0) {
        back_to_value(c, byte);
        return GLIM_OK;
    }
    glim_err rc = take_value(p, e);
    if (rc) return rc;
    take_tag(c, byte);
    if (tag == TAG_CALL_END) {
        *result = GLIM_CALL_WHOLE;
        return complete(p, e);
    }
    c->step = GLIM_CALL_KEY;
    c->key_at = c->raw.n;
    return GLIM_OK;
}

glim_err glim_call_byte(glim_parser *p, char byte, glim_call_result *result, glim_error *e)
{
    glim_call *c = &p->call;
    *result = GLIM_CALL_GOING;
    if (c->raw.err) return no_memory(e);
    bool inside_char = ((unsigned char)byte & 0xc0) == 0x80;
    if (c->raw.n + c->match.n >= p->max_bytes && !inside_char) {
        /* Its end may come, but it would not be seen whole: from here on all is text, lest the
         * rest of a value be taken for calls. Events hold whole characters, hence the wait. */
        p->given_up = true;
        *result = GLIM_CALL_NONE;
        return GLIM_OK;
    }
    switch (c->step) {
    case GLIM_CALL_NAME:
        return name_step(p, byte, result, e);
    case GLIM_CALL_KEY:
        return key_step(p, byte, result, e);
    case GLIM_CALL_KEY_DONE:
        key_done_step(c, byte, result);
        break;
    case GLIM_CALL_VALUE:
        value_byte(c, byte);
        break;
    case GLIM_CALL_VALUE_DONE:
        return value_done_step(p, byte, result, e);
    }
    return GLIM_OK;
}

glim_err glim_call_finish(glim_parser *p, glim_call_result *result, glim_error *e)
{
    glim_call *c = &p->call;
    *result = GLIM_CALL_NONE;
    if (!glim_tag_begins(&c->match, TAG_CALL_END)) return GLIM_OK;
    if (c->step == GLIM_CALL_VALUE_DONE) {
        *result = GLIM_CALL_WHOLE;
        glim_err rc = take_value(p, e);
        return rc ? rc : complete(p, e);
    }
    /* Behind the name "<" alone may be the beginning of <arg_key>, and a bare name may go on. */
    if (c->step == GLIM_CALL_NAME && c->match.n >= 2 && name_is_whole(c)) {
        *result = GLIM_CALL_WHOLE;
        glim_err rc = take_name(c, e);
        return rc ? rc : complete(p, e);
    }
    return GLIM_OK;
}
