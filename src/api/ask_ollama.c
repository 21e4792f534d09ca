/* SPDX-License-Identifier: MIT
 * ask_ollama.c - a chat as Ollama's /api/chat wants to be asked it; the wire's row.
 * Owns:   what its messages hold where OpenAI's differ: plain texts and images, "thinking",
 *         arguments as an object, results that name their tool; its options.
 * Not here: what it cannot say (ask.c), answers (hear_ollama.c).
 * Thread: any, pure.
 * Fails:  INPUT by the field's name; NOMEM, LIMIT.
 * See:    tests/unit/api/test_ask_ollama.c */
#include "api/ask_priv.h"
#include "api/hear_priv.h"

#include <math.h>

/* ---- parts ----------------------------------------------------------------------------------- */

static glim_err part_type(const glim_api_path *p, const glim_json *part, glim_str *out,
                          glim_error *e)
{
    *out = GLIM_STR("text");
    if (part->type == GLIM_JSON_STRING) return GLIM_OK;
    if (part->type != GLIM_JSON_OBJECT) return glim_api_wrong_type(p, "a text or a part", part, e);
    return glim_api_str(p, part, "type", out, e);
}

/* The text of a text part, appended. */
static glim_err add_text(const glim_api_path *p, const glim_json *part, glim_buf *text,
                         glim_error *e)
{
    glim_str s = GLIM_STR("");
    if (part->type == GLIM_JSON_STRING) {
        s = part->text;
    } else {
        glim_err rc = glim_api_str(p, part, "text", &s, e);
        if (rc) return rc;
    }
    return glim_buf_addv(text, s) ? glim_fail(e, text->err, "no memory for the request") : GLIM_OK;
}

/* The data of an image: Ollama fetches none. */
static glim_err put_image(glim_asking *x, const glim_api_path *p, const glim_json *part,
                          glim_error *e)
{
    const glim_json *v = glim_json_get(part, "image_url"), *inner = glim_json_get(v, "url");
    const glim_json *url = inner ? inner : v;
    size_t n = glim_json_is(url, GLIM_JSON_STRING) ? glim_str_find(url->text, GLIM_STR(";base64,"))
                                                   : SIZE_MAX;
    if (n == SIZE_MAX || !glim_str_starts(url->text, GLIM_STR("data:image/")))
        return glim_api_fail(p, GLIM_E_INPUT, part, e,
                             "Ollama takes images only as data; send "
                             "\"data:image/png;base64,...\" instead of an address");
    glim_jw_str(&x->w, glim_str_sub(url->text, n + 8, url->text.n));
    return GLIM_OK;
}

/* Texts into text, joined; images into the list that is open (put), or only looked at. */
static glim_err walk_parts(glim_asking *x, const glim_api_path *up, const glim_message *m,
                           glim_buf *text, bool put, bool *images, glim_error *e)
{
    const glim_api_path *list = GLIM_API_KEY(up, "parts");
    for (size_t i = 0; i < m->n_part; i++) {
        const glim_api_path *p = GLIM_API_ELEMENT(list, i);
        glim_json *part;
        glim_str type;
        glim_mark mark = glim_arena_mark(x->arena);
        glim_err rc = glim_ask_parse(x, p, m->parts[i], &part, e);
        if (!rc) rc = part_type(p, part, &type, e);
        if (rc) return rc;
        bool image = glim_str_is(type, "image_url");
        if (!image && !glim_str_is(type, "text"))
            return glim_api_fail(p, GLIM_E_INPUT, part, e,
                                 "Ollama has no parts of type %s; send text and images",
                                 GLIM_QUOTE(type));
        if (image && put) rc = put_image(x, p, part, e);
        if (!image && !put) rc = add_text(p, part, text, e);
        if (rc) return rc;
        *images = *images || image;
        glim_arena_rewind(x->arena, mark);
    }
    return GLIM_OK;
}

static glim_err put_user_parts(glim_asking *x, const glim_api_path *p, const glim_message *m,
                               glim_error *e)
{
    bool images = false;
    glim_buf text;
    glim_buf_init(&text, x->w.b->max);
    glim_err rc = walk_parts(x, p, m, &text, false, &images, e);
    if (!rc) {
        glim_jw_key(&x->w, "content");
        glim_jw_str(&x->w, glim_buf_view(&text));
    }
    if (!rc && images) {
        glim_jw_key(&x->w, "images");
        glim_jw_array(&x->w);
        rc = walk_parts(x, p, m, &text, true, &images, e);
        glim_jw_array_end(&x->w);
    }
    glim_buf_deinit(&text);
    return rc;
}

/* A tool's results as a list: its text, for content is a text here. */
static glim_err put_results(glim_asking *x, const glim_api_path *up, const glim_message *m,
                            glim_error *e)
{
    const glim_api_path *p = GLIM_API_KEY(up, "parts");
    glim_buf text;
    glim_err rc = GLIM_OK;
    glim_buf_init(&text, x->w.b->max);
    for (size_t i = 0; i < m->n_part && !rc; i++) {
        glim_json *v;
        glim_mark mark = glim_arena_mark(x->arena);
        rc = glim_ask_parse(x, GLIM_API_ELEMENT(p, i), m->parts[i], &v, e);
        glim_arena_rewind(x->arena, mark);
        glim_buf_addc(&text, i ? ',' : '[');
        glim_buf_addv(&text, m->parts[i]);
    }
    glim_buf_addc(&text, ']');
    if (!rc && text.err) rc = glim_fail(e, text.err, "no memory for the request");
    if (!rc) {
        glim_jw_key(&x->w, "content");
        glim_jw_str(&x->w, glim_buf_view(&text));
    }
    glim_buf_deinit(&text);
    return rc;
}

static glim_err put_content(glim_asking *x, const glim_api_path *p, const glim_message *m,
                            glim_error *e)
{
    if (m->n_part == 0) {
        glim_jw_key(&x->w, "content");
        return glim_ask_text(x, GLIM_API_KEY(p, "content"), m->content, e);
    }
    if (m->content.n)
        return glim_api_fail(GLIM_API_KEY(p, "parts"), GLIM_E_INPUT, NULL, e,
                             "given beside content; send one of the two");
    if (m->role == GLIM_ROLE_USER) return put_user_parts(x, p, m, e);
    if (m->role == GLIM_ROLE_TOOL) return put_results(x, p, m, e);
    return glim_api_fail(GLIM_API_KEY(p, "parts"), GLIM_E_INPUT, NULL, e,
                         "only messages of the user and of tools have parts");
}

/* ---- calls ----------------------------------------------------------------------------------- */

static glim_err put_calls(glim_asking *x, const glim_api_path *up, const glim_message *m,
                          glim_error *e)
{
    const glim_api_path *list = GLIM_API_KEY(up, "calls");
    if (m->n_call == 0) return GLIM_OK;
    glim_jw_key(&x->w, "tool_calls");
    glim_jw_array(&x->w);
    for (size_t i = 0; i < m->n_call; i++) {
        const glim_tool_call *c = &m->calls[i];
        const glim_api_path *p = GLIM_API_ELEMENT(list, i);
        glim_str args;
        glim_err rc = glim_ask_arguments(x, GLIM_API_KEY(p, "arguments"), c->arguments, &args, e);
        if (rc) return rc;
        glim_jw_object(&x->w);
        if (c->id.n) {
            glim_jw_key(&x->w, "id");
            rc = glim_ask_text(x, GLIM_API_KEY(p, "id"), c->id, e);
            if (rc) return rc;
        }
        glim_jw_key(&x->w, "function");
        glim_jw_object(&x->w);
        glim_jw_key(&x->w, "index");
        glim_jw_u64(&x->w, i);
        glim_jw_key(&x->w, "name");
        rc = glim_ask_text(x, GLIM_API_KEY(p, "name"), c->name, e);
        if (rc) return rc;
        glim_jw_key(&x->w, "arguments");
        glim_jw_raw(&x->w, args);
        glim_jw_object_end(&x->w);
        glim_jw_object_end(&x->w);
    }
    glim_jw_array_end(&x->w);
    return GLIM_OK;
}

/* The call that the result in message i is for: the one of its id, else, of the last message with
 * calls, the one in the same place. NULL: none. */
static const glim_tool_call *call_of(const glim_chat *c, size_t i)
{
    glim_str id = c->messages[i].tool_call_id;
    size_t place = 0;
    for (size_t k = i; k-- > 0;) {
        const glim_message *m = &c->messages[k];
        for (size_t n = 0; n < m->n_call && id.n; n++)
            if (glim_str_eq(m->calls[n].id, id)) return &m->calls[n];
        if (m->n_call && id.n == 0) return place < m->n_call ? &m->calls[place] : NULL;
        place += m->role == GLIM_ROLE_TOOL;
    }
    return NULL;
}

/* Results name their tool; newer servers read the call's id too. */
static glim_err put_tool_name(glim_asking *x, const glim_api_path *p, size_t i, glim_error *e)
{
    const glim_message *m = &x->ask->chat->messages[i];
    const glim_tool_call *call = call_of(x->ask->chat, i);
    if (!call)
        return glim_api_fail(GLIM_API_KEY(p, "tool_call_id"), GLIM_E_INPUT, NULL, e,
                             "%s is no call of an earlier message, so that the tool has no name",
                             GLIM_QUOTE(m->tool_call_id));
    glim_jw_key(&x->w, "tool_name");
    glim_err rc = glim_ask_text(x, p, call->name, e);
    if (rc || m->tool_call_id.n == 0) return rc;
    glim_jw_key(&x->w, "tool_call_id");
    return glim_ask_text(x, GLIM_API_KEY(p, "tool_call_id"), m->tool_call_id, e);
}

/* ---- messages -------------------------------------------------------------------------------- */

static glim_err put_message(glim_asking *x, const glim_api_path *p, size_t i, bool thought,
                            glim_error *e)
{
    const glim_message *m = &x->ask->chat->messages[i];
    if (m->n_call && m->role != GLIM_ROLE_ASSISTANT)
        return glim_api_fail(GLIM_API_KEY(p, "calls"), GLIM_E_INPUT, NULL, e,
                             "only a message of the assistant holds calls");
    glim_jw_object(&x->w);
    glim_jw_key(&x->w, "role");
    glim_jw_str(&x->w, glim_str_of(glim_ask_role(m->role)));
    glim_err rc = put_content(x, p, m, e);
    if (!rc && m->role == GLIM_ROLE_ASSISTANT && m->has_reasoning && thought) {
        glim_jw_key(&x->w, "thinking");
        rc = glim_ask_text(x, GLIM_API_KEY(p, "reasoning"), m->reasoning, e);
    }
    if (!rc) rc = put_calls(x, p, m, e);
    if (!rc && m->role == GLIM_ROLE_TOOL) rc = put_tool_name(x, p, i, e);
    glim_jw_object_end(&x->w);
    return rc;
}

/* There is no word for dropping old thoughts, but what is not sent is dropped: those before the
 * last question, as templates do it. */
static glim_err put_messages(glim_asking *x, glim_error *e)
{
    const glim_chat *c = x->ask->chat;
    const glim_api_path *p = GLIM_API_KEY(NULL, "messages");
    size_t i_last = c->n_message;
    while (i_last > 0 && c->messages[i_last - 1].role != GLIM_ROLE_USER)
        i_last--;
    glim_ask_key(x, "messages");
    glim_jw_array(&x->w);
    for (size_t i = 0; i < c->n_message; i++) {
        bool thought = c->keep_old != GLIM_OFF || i >= i_last;
        glim_err rc = put_message(x, GLIM_API_ELEMENT(p, i), i, thought, e);
        if (rc) return rc;
    }
    glim_jw_array_end(&x->w);
    return GLIM_OK;
}

/* ---- options --------------------------------------------------------------------------------- */

static const char *const option_names[] = {
    "temperature",
    "top_p",
    "min_p",
    "presence_penalty",
    "frequency_penalty",
    "top_k",
    "repeat_penalty",
    "num_predict",
    "seed",
    "stop",
};

/* The value of an option that is set. */
static glim_err put_option(glim_asking *x, size_t i, bool *set, glim_error *e)
{
    const glim_gen_opts *g = &x->gen;
    const struct {
        bool set, whole; /* whole: a number without a fraction */
        float f;
        int64_t n;
    } rows[] = {
        {.set = !isnan(g->temperature), .f = g->temperature},
        {.set = !isnan(g->top_p), .f = g->top_p},
        {.set = !isnan(g->min_p), .f = g->min_p},
        {.set = g->presence_penalty != 0, .f = g->presence_penalty},
        {.set = g->frequency_penalty != 0, .f = g->frequency_penalty},
        {.set = g->top_k >= 0, .whole = true, .n = g->top_k},
        {.set = g->repetition_penalty != 1, .f = g->repetition_penalty},
        {.set = g->n_max != -1, .whole = true, .n = g->n_max},
        {.set = g->has_seed, .whole = true, .n = (int64_t)g->seed},
        {.set = g->n_stop > 0},
    };
    *set = rows[i].set;
    if (!*set) return GLIM_OK;
    glim_jw_key(&x->w, option_names[i]);
    if (i + 1 == GLIM_COUNT(rows)) return glim_ask_stops(x, e);
    if (rows[i].whole)
        glim_jw_i64(&x->w, rows[i].n);
    else
        glim_jw_f32(&x->w, rows[i].f);
    return GLIM_OK;
}

/* The options that are set, and the caller's own beside them. */
static glim_err put_options(glim_asking *x, glim_error *e)
{
    const glim_json *own = glim_api_given(x->extra, "options");
    const glim_api_path *p = GLIM_API_KEY(GLIM_API_KEY(NULL, "extra"), "options");
    bool set[GLIM_COUNT(option_names)];
    if (own && own->type != GLIM_JSON_OBJECT) return glim_api_wrong_type(p, "an object", own, e);
    glim_jw_key(&x->w, "options");
    glim_jw_object(&x->w);
    for (size_t i = 0; i < GLIM_COUNT(option_names); i++) {
        glim_err rc = put_option(x, i, &set[i], e);
        if (rc) return rc;
    }
    GLIM_JSON_EACH(m, own)
    {
        for (size_t i = 0; i < GLIM_COUNT(option_names); i++)
            if (set[i] && glim_str_is(m->key, option_names[i])) return glim_ask_taken(p, m, e);
        glim_ask_member(x, m);
    }
    glim_jw_object_end(&x->w);
    return GLIM_OK;
}

/* ---- the body -------------------------------------------------------------------------------- */

static glim_err write_body(glim_asking *x, glim_error *e)
{
    const glim_ask *a = x->ask;
    glim_ask_key(x, "model");
    glim_err rc = glim_ask_text(x, GLIM_API_KEY(NULL, "model"), a->model, e);
    if (!rc) rc = put_messages(x, e);
    if (!rc) rc = put_options(x, e);
    if (!rc) rc = glim_ask_tools(x, true, e);
    if (rc) return rc;
    if (a->chat->think != GLIM_UNSET) {
        glim_ask_key(x, "think");
        glim_jw_bool(&x->w, a->chat->think == GLIM_ON);
    }
    if (a->json_object) {
        glim_ask_key(x, "format");
        glim_jw_str(&x->w, GLIM_STR("json"));
    }
    if (x->gen.n_logprob >= 0) {
        glim_ask_key(x, "logprobs");
        glim_jw_bool(&x->w, true);
        glim_ask_key(x, "top_logprobs");
        glim_jw_i64(&x->w, x->gen.n_logprob);
    }
    glim_ask_key(x, "stream"); /* said always: there it is on by itself */
    glim_jw_bool(&x->w, a->stream);
    return GLIM_OK;
}

static glim_err ask(const glim_ask *a, glim_buf *out, glim_error *e)
{
    return glim_ask_body(a, GLIM_TO_OLLAMA, write_body, out, e);
}

const glim_wire_dialect glim_wire_ollama = {.name = "ollama",
                                            .lines = true,
                                            .ask = ask,
                                            .hear_new = glim_hear_new,
                                            .hear = glim_ollama_hear,
                                            .hear_end = glim_hear_end,
                                            .hear_free = glim_hear_free};
