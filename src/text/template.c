/* SPDX-License-Identifier: MIT
 * template.c - the list of chat templates, and what their renderers have in common.
 * Owns:   glim_prompt, the spans of user text, turns taken apart as the models' own templates do.
 * Not here: the words of a template (template_<family>.c), the clean-up of requests (room api).
 * Thread: any; a prompt belongs to one thread.
 * Fails:  LIMIT (the prompt's maximum), INPUT (JSON that is none), NOMEM; the text is then partial.
 * See:    tests/unit/text/test_template.c */
#include "text/template_priv.h"

#include "text/uniclass_priv.h"

static const glim_template *const templates[] = {
#define TEMPLATE(id, name) &id,
#include "text/template.def"
#undef TEMPLATE
};

const glim_template *glim_template_find(glim_str name)
{
    for (size_t i = 0; i < GLIM_COUNT(templates); i++) {
        if (glim_str_ieq(name, glim_str_of(templates[i]->name))) return templates[i];
        for (const char *const *a = templates[i]->aliases; *a; a++) {
            if (glim_str_ieq(name, glim_str_of(*a))) return templates[i];
        }
    }
    return NULL;
}

const glim_template *glim_template_match(glim_str jinja)
{
    for (size_t i = 0; i < GLIM_COUNT(templates); i++) {
        if (templates[i]->matches(jinja)) return templates[i];
    }
    return NULL;
}

const char *glim_template_names(void)
{
    static const char names[] =
#define TEMPLATE(id, name) ", " name
#include "text/template.def"
#undef TEMPLATE
        ;
    return names + 2;
}

void glim_prompt_init(glim_prompt *p, size_t max_bytes)
{
    memset(p, 0, sizeof *p);
    glim_buf_init(&p->text, max_bytes);
}

void glim_prompt_deinit(glim_prompt *p)
{
    glim_buf_deinit(&p->text);
    glim_free(p->plain);
    memset(p, 0, sizeof *p);
}

bool glim_str_has_all(glim_str s, const char *const *texts)
{
    for (; *texts; texts++) {
        if (glim_str_find(s, glim_str_of(*texts)) == SIZE_MAX) return false;
    }
    return true;
}

bool glim_str_has_any(glim_str s, const char *const *texts)
{
    for (; *texts; texts++) {
        if (glim_str_find(s, glim_str_of(*texts)) != SIZE_MAX) return true;
    }
    return false;
}

/* ---- writing --------------------------------------------------------------------------------- */

glim_err glim_render_begin(glim_render *r, const glim_chat *chat, glim_prompt *out, glim_error *e)
{
    *r = (glim_render){.chat = chat, .out = out, .e = e, .i_last_user = SIZE_MAX};
    for (size_t i = 0; i < chat->n_message; i++) {
        if (chat->messages[i].role == GLIM_ROLE_USER) r->i_last_user = i;
    }
    out->starts_reasoning = out->starts_auto = false;
    /* What a tree may take is bounded by the JSON text it is made of, and that is in memory. */
    r->arena = glim_arena_new(SIZE_MAX / 2);
    if (!r->arena) r->rc = glim_fail(e, GLIM_E_NOMEM, "no memory to render the prompt");
    return r->rc;
}

glim_err glim_render_end(glim_render *r)
{
    glim_arena_free(r->arena);
    r->arena = NULL;
    return r->rc;
}

bool glim_render_is_recent(const glim_render *r, size_t i)
{
    return r->i_last_user == SIZE_MAX || i > r->i_last_user;
}

/* Turns an error of the text buffer into the rendering's own. */
static void check_text(glim_render *r)
{
    glim_err err = r->out->text.err;
    if (r->rc || !err) return;
    if (err == GLIM_E_LIMIT)
        r->rc =
            glim_fail(r->e, err, "the prompt is longer than %zu bytes; shorten the conversation",
                      r->out->text.max);
    else
        r->rc = glim_fail(r->e, err, "no memory for the prompt");
}

void glim_render_own(glim_render *r, const char *text)
{
    if (r->rc) return;
    glim_buf_adds(&r->out->text, text);
    check_text(r);
}

/* Records that text from begin to its end came from outside. */
static void add_span(glim_render *r, size_t begin)
{
    glim_prompt *p = r->out;
    size_t end = p->text.n;
    if (r->rc || end == begin) return;
    if (p->n_plain && p->plain[p->n_plain - 1].end == begin) {
        p->plain[p->n_plain - 1].end = end;
        return;
    }
    if (p->n_plain == p->cap_plain) {
        size_t cap = p->cap_plain ? p->cap_plain : 8, bytes;
        glim_span *grown = NULL;
        if (glim_mul_size(cap, 2 * sizeof *grown, &bytes)) grown = glim_realloc(p->plain, bytes);
        if (!grown) {
            r->rc = glim_fail(r->e, GLIM_E_NOMEM, "no memory for the prompt");
            return;
        }
        p->plain = grown;
        p->cap_plain = cap * 2;
    }
    p->plain[p->n_plain++] = (glim_span){begin, end};
}

void glim_render_user(glim_render *r, glim_str text)
{
    size_t begin = r->out->text.n;
    if (r->rc) return;
    glim_buf_addv(&r->out->text, text);
    check_text(r);
    add_span(r, begin);
}

static void put_json(glim_render *r, const glim_json *v,
                     glim_err (*write)(glim_buf *b, const glim_json *v))
{
    size_t begin = r->out->text.n;
    if (r->rc) return;
    (void)write(&r->out->text, v); /* the error stays in the buffer */
    check_text(r);
    add_span(r, begin);
}

void glim_render_tools(glim_render *r)
{
    for (size_t i = 0; i < r->chat->n_tool && !r->rc; i++) {
        glim_mark mark = glim_arena_mark(r->arena);
        glim_json *tool;
        r->rc = glim_json_parse(r->arena, r->chat->tools[i].json, &tool, r->e);
        if (r->rc) {
            glim_error_prefix(r->e, "tools[%zu]", i);
            return;
        }
        put_json(r, tool, glim_pyjson);
        glim_render_own(r, "\n");
        glim_arena_rewind(r->arena, mark);
    }
}

void glim_render_args(glim_render *r, size_t i_message, size_t i_call, const char *before,
                      const char *between, const char *after)
{
    glim_str text = r->chat->messages[i_message].calls[i_call].arguments;
    glim_json *args;
    if (r->rc || text.n == 0) return;
    glim_mark mark = glim_arena_mark(r->arena);
    r->rc = glim_json_parse(r->arena, text, &args, r->e);
    if (!r->rc && args->type != GLIM_JSON_OBJECT)
        r->rc = glim_fail(r->e, GLIM_E_INPUT, "must be a JSON object, is %s",
                          glim_json_type_name(args->type));
    if (r->rc) {
        glim_error_prefix(r->e, "messages[%zu].tool_calls[%zu].arguments", i_message, i_call);
        return;
    }
    GLIM_JSON_EACH(it, args)
    {
        glim_render_own(r, before);
        glim_render_user(r, it->key);
        glim_render_own(r, between);
        if (it->type == GLIM_JSON_STRING)
            glim_render_user(r, it->text);
        else
            put_json(r, it, glim_pyjson);
        glim_render_own(r, after);
    }
    glim_arena_rewind(r->arena, mark);
}

void glim_render_part(glim_render *r, glim_str part)
{
    glim_json *v;
    if (r->rc) return;
    glim_mark mark = glim_arena_mark(r->arena);
    glim_err rc = glim_json_parse(r->arena, part, &v, NULL);
    if (rc == GLIM_E_NOMEM) {
        r->rc = glim_fail(r->e, rc, "no memory to render the prompt");
    } else if (rc) {
        glim_render_user(r, part); /* no JSON: the text is the result */
    } else {
        const glim_json *output = glim_json_get(v, "output");
        put_json(r, output ? output : v, glim_pyrepr);
    }
    glim_arena_rewind(r->arena, mark);
}

/* ---- turns ----------------------------------------------------------------------------------- */

glim_str glim_pystrip(glim_str s)
{
    uint32_t cp;
    while (s.n) {
        int n = glim_utf8_decode(s, &cp);
        if (n <= 0 || !glim_uni_space(cp)) break;
        s = glim_str_sub(s, (size_t)n, s.n);
    }
    while (s.n) {
        size_t at = s.n - 1; /* first byte of the last character */
        while (at > 0 && s.n - at < 4 && ((unsigned char)s.p[at] & 0xc0) == 0x80)
            at--;
        int n = glim_utf8_decode(glim_str_sub(s, at, s.n), &cp);
        if (n <= 0 || at + (size_t)n != s.n || !glim_uni_space(cp)) break;
        s.n = at;
    }
    return s;
}

/* Where needle begins for the last time in s; SIZE_MAX: nowhere. */
static size_t find_last(glim_str s, glim_str needle)
{
    for (size_t at = s.n; at-- > 0;) {
        if (glim_str_starts(glim_str_sub(s, at, s.n), needle)) return at;
    }
    return SIZE_MAX;
}

static glim_str strip_newlines(glim_str s, bool left, bool right)
{
    while (left && s.n && s.p[0] == '\n')
        s = glim_str_sub(s, 1, s.n);
    while (right && s.n && s.p[s.n - 1] == '\n')
        s.n--;
    return s;
}

glim_turn glim_turn_of(const glim_message *m)
{
    const glim_str open = GLIM_STR("<think>"), close = GLIM_STR("</think>");
    glim_str thought = {NULL, 0}, answer = m->content;
    if (m->has_reasoning) {
        thought = m->reasoning;
    } else {
        size_t first = glim_str_find(m->content, close);
        if (first != SIZE_MAX) {
            /* The thought is what lies before the first closing tag, after the last opening one
             * there; the answer is what lies behind the last closing tag. */
            thought = strip_newlines(glim_str_sub(m->content, 0, first), false, true);
            size_t from = find_last(thought, open);
            if (from != SIZE_MAX) thought = glim_str_sub(thought, from + open.n, thought.n);
            thought = strip_newlines(thought, true, false);
            size_t last = find_last(m->content, close);
            answer = glim_str_sub(m->content, last + close.n, m->content.n);
            /* The newlines in front of the answer fall with its other blanks. */
        }
    }
    return (glim_turn){thought.n > 0, glim_pystrip(thought), glim_pystrip(answer)};
}
