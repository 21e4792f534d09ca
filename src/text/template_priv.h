/* SPDX-License-Identifier: MIT
 * template_priv.h - what the renderers of room text share: writing with spans, blanks as Python
 * sees them, a turn taken apart. Private to template*.c. */
#ifndef GLIM_TEMPLATE_PRIV_H
#define GLIM_TEMPLATE_PRIV_H

#include "text/text.h"

#define TEMPLATE(id, name) extern const glim_template id;
#include "text/template.def"
#undef TEMPLATE

/* A rendering under way. The first error stays in rc, later writes do nothing then: renderers write
 * on and look once, at the end. */
typedef struct glim_render {
    const glim_chat *chat;
    glim_prompt *out;
    glim_arena *arena; /* JSON trees, one at a time */
    glim_error *e;
    glim_err rc;
    size_t i_last_user; /* SIZE_MAX: no user message */
} glim_render;

/* Begins a rendering: empties nothing, appends to out. */
glim_err glim_render_begin(glim_render *r, const glim_chat *chat, glim_prompt *out, glim_error *e);
/* Ends it, gives back the first error. */
glim_err glim_render_end(glim_render *r);
/* Appends what the template itself says: special tokens count there. */
void glim_render_own(glim_render *r, const char *text);
/* Appends what came from outside: special-token text is only text there. */
void glim_render_user(glim_render *r, glim_str text);
/* The tools, one JSON a line, as json.dumps prints them. */
void glim_render_tools(glim_render *r);
/* The arguments of a call: before, key, between, value, after for each; strings raw, all else JSON.
 * where names the call in the error when the arguments are no JSON object. */
void glim_render_args(glim_render *r, size_t i_message, size_t i_call, const char *before,
                      const char *between, const char *after);
/* A part of a tool's result list: its "output" member if it is an object with one, else itself, as
 * Python's str() prints it. */
void glim_render_part(glim_render *r, glim_str part);

/* A turn of the assistant: the thought (given apart, or found in the content) and the answer. Both
 * borrow from m; has_thought is about the thought before its blanks are taken off. */
typedef struct glim_turn {
    bool has_thought;
    glim_str thought, answer; /* without blanks at both ends */
} glim_turn;
glim_turn glim_turn_of(const glim_message *m);
/* True when message i comes after the last user message (all do when there is none). */
bool glim_render_is_recent(const glim_render *r, size_t i);

/* str.strip(). Bytes that are no UTF-8 count as not blank. */
glim_str glim_pystrip(glim_str s);
/* True when every one of the NULL-terminated texts is in s. */
bool glim_str_has_all(glim_str s, const char *const *texts);
bool glim_str_has_any(glim_str s, const char *const *texts);

#endif
