/* SPDX-License-Identifier: MIT
 * parse_priv.h - the parser's three parts to each other: parse.c (thought, answer, text),
 * parse_glm_tools.c (calls), parse_schema.c (types of values). Private to parse*.c. */
#ifndef GLIM_PARSE_PRIV_H
#define GLIM_PARSE_PRIV_H

#include "text/text.h"

/* ---- parse_schema.c -------------------------------------------------------------------------- */

/* The declared functions by name, with their parameters' schemas. */
typedef struct glim_toolset glim_toolset;
/* Copies the tools. Errors: INPUT (a tool's JSON), NOMEM. */
GLIM_MUST_USE glim_err glim_toolset_new(const glim_tool *tools, size_t n_tool, glim_toolset **out,
                                        glim_error *e);
void glim_toolset_free(glim_toolset *t);
/* Appends to out the value that raw stands for, as compact JSON: by the schema of the function's
 * key, or as JSON if it is JSON and as a string otherwise. Errors: NOMEM or LIMIT, as out has them.
 */
GLIM_MUST_USE glim_err glim_toolset_value(const glim_toolset *t, glim_str function, glim_str key,
                                          glim_str raw, glim_arena *scratch, glim_buf *out);

/* ---- tags ------------------------------------------------------------------------------------ */

/* Every tag begins with '<' and holds no other, so a run of bytes that fails to be a tag never
 * hides the beginning of the next one. */
enum {
    TAG_THINK = 1 << 0,
    TAG_THINK_END = 1 << 1,
    TAG_CALL = 1 << 2,
    TAG_CALL_END = 1 << 3,
    TAG_KEY = 1 << 4,
    TAG_KEY_END = 1 << 5,
    TAG_VALUE = 1 << 6,
    TAG_VALUE_END = 1 << 7,
    N_TAG = 8
};
#define TAG_MAX 12 /* bytes of the longest, "</tool_call>" and "</arg_value>" */

/* A tag that may be under way. */
typedef struct glim_tag_match {
    char text[TAG_MAX];
    uint8_t n;
} glim_tag_match;

/* Reads c behind what m holds. 0: the beginning of one of set, c is in m now. Else m is as it was,
 * and the result is the tag that c completes, or -1 when it is none. */
int glim_tag_next(glim_tag_match *m, unsigned set, char c);
/* True when what m holds is the beginning of that tag (also when it holds nothing). */
bool glim_tag_begins(const glim_tag_match *m, unsigned tag);

/* ---- parse_glm_tools.c ----------------------------------------------------------------------- */

typedef enum glim_call_step {
    GLIM_CALL_NAME,      /* up to <arg_key> or </tool_call> */
    GLIM_CALL_KEY,       /* up to </arg_key> */
    GLIM_CALL_KEY_DONE,  /* blanks, an optional <arg_value> */
    GLIM_CALL_VALUE,     /* up to </arg_value> */
    GLIM_CALL_VALUE_DONE /* blanks; <arg_key> or </tool_call> shows that the value ended there */
} glim_call_step;

typedef enum glim_call_result {
    GLIM_CALL_GOING,
    GLIM_CALL_WHOLE, /* events are out */
    GLIM_CALL_NONE   /* raw is text; what match holds, and the byte after it, is to be read again */
} glim_call_result;

typedef struct glim_call_arg {
    glim_str key, json;
    bool repeated; /* an earlier one has the key, and has taken over this value */
    struct glim_call_arg *next;
} glim_call_arg;

/* One call from its opening tag on. */
typedef struct glim_call {
    glim_call_step step;
    glim_buf raw; /* all bytes from <tool_call> on, without those that match holds */
    glim_tag_match match;
    size_t name_at, name_end, key_at, value_at, value_end; /* in raw */
    size_t char_at; /* in raw: where a character of the name began */
    size_t n_name_char;
    bool in_reasoning; /* began inside the thought: announced only when whole */
    bool announced;
    size_t i_call;      /* of the announcement */
    glim_str name, key; /* in arena */
    glim_arena *arena;  /* name, keys and values of this call */
    glim_call_arg *first, *last;
    uint32_t n_arg;
    glim_buf json; /* a value, or all arguments, on the way out */
} glim_call;

/* ---- parse.c --------------------------------------------------------------------------------- */

typedef enum glim_parse_state {
    GLIM_PARSING_AUTO,
    GLIM_PARSING_TEXT, /* thought or answer, as reasoning says */
    GLIM_PARSING_CALL
} glim_parse_state;

struct glim_parser {
    glim_parse_state state;
    bool reasoning;     /* text is thought, also while a call that began there goes on */
    bool skip_newlines; /* at the beginning of the thought, right after </think> */
    bool at_start;      /* nothing but newlines yet: an opening <think> is dropped */
    bool given_up;      /* a call outgrew max_bytes: what follows is text */
    bool finished;
    glim_err failed;     /* CANCELLED when the callback said no; stays */
    glim_toolset *tools; /* NULL: nothing is a call */
    size_t max_bytes;
    size_t n_call, n_announced; /* whole ones; all that got an index */
    glim_event_fn fn;
    void *user;
    glim_detok utf8;
    glim_buf in;     /* of one feed, whole characters */
    glim_buf out;    /* text to be sent, of the kind that reasoning says */
    glim_buf blanks; /* may have to be dropped */
    glim_tag_match match;
    glim_call call;
    glim_arena *scratch;
};

/* Sends what out holds. */
GLIM_MUST_USE glim_err glim_parse_flush(glim_parser *p, glim_error *e);
GLIM_MUST_USE glim_err glim_parse_send(glim_parser *p, const glim_event *ev, glim_error *e);

GLIM_MUST_USE glim_err glim_call_begin(glim_parser *p, glim_error *e);
/* Reads one byte. */
GLIM_MUST_USE glim_err glim_call_byte(glim_parser *p, char c, glim_call_result *result,
                                      glim_error *e);
/* The output ended: whole or none, never going. */
GLIM_MUST_USE glim_err glim_call_finish(glim_parser *p, glim_call_result *result, glim_error *e);

static inline bool glim_parse_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

#endif
