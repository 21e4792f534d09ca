/* SPDX-License-Identifier: MIT
 * json.h - the one header of room json: a strict pull reader, a tree on top of it, a table reader
 * for objects, and a streaming writer.
 * Strict is RFC 8259: one value, no trailing bytes, no duplicate keys, valid UTF-8, no lone surrogates
 * (escaped or raw), no NaN, no comments. Number lexemes and key order survive. */
#ifndef GLIM_JSON_H
#define GLIM_JSON_H

#include "base/base.h"

typedef enum glim_json_type {
    GLIM_JSON_NULL, GLIM_JSON_FALSE, GLIM_JSON_TRUE, GLIM_JSON_NUMBER, GLIM_JSON_STRING,
    GLIM_JSON_ARRAY, GLIM_JSON_OBJECT
} glim_json_type;

#define GLIM_JSON_DEPTH 512 /* nesting allowed by default; deeper input is GLIM_E_LIMIT */

/* ---- read.c: a tree in an arena -------------------------------------------------------------- */

typedef struct glim_json glim_json;
struct glim_json {
    glim_json_type type;
    uint32_t n_child;
    glim_str key;          /* of a member, decoded; .p NULL otherwise */
    glim_str text;         /* STRING: decoded; NUMBER: the lexeme; ARRAY, OBJECT: the source bytes, braces included */
    size_t offset;         /* of the value in the source */
    glim_json *child;      /* first element or member */
    glim_json *next;       /* sibling */
};

/* Parses src whole. Borrows src until the arena ends (strings without escapes point into it).
 * Errors: INPUT with the byte offset and the path ("messages[2].content"), LIMIT (depth), NOMEM. */
GLIM_MUST_USE glim_err glim_json_parse(glim_arena *a, glim_str src, glim_json **out, glim_error *e);

/* Member of an object, NULL when absent, when v is NULL or no object. */
const glim_json *glim_json_get(const glim_json *v, const char *key);
/* Member by a path of keys with dots ("rope_parameters.rope_theta"). */
const glim_json *glim_json_path(const glim_json *v, const char *path);
const glim_json *glim_json_at(const glim_json *v, size_t i); /* element, NULL beyond the end */
#define GLIM_JSON_EACH(it, v) \
    for (const glim_json *it = (v) ? (v)->child : NULL; it; it = it->next)
/* True when v is what the name says and the value fits; 3.0 and 3e0 count as integers. v may be NULL. */
bool glim_json_i64(const glim_json *v, int64_t *out);
bool glim_json_f64(const glim_json *v, double *out);
bool glim_json_bool(const glim_json *v, bool *out);
static inline bool glim_json_is(const glim_json *v, glim_json_type t)
{
    return v && v->type == t;
}
const char *glim_json_type_name(glim_json_type t); /* "a string", "an object", ... for messages */

/* ---- stream.c: pull reader for big files (tokenizer.json has 321,000 merges) ----------------- */

typedef enum glim_json_tok {
    GLIM_JT_END, GLIM_JT_NULL, GLIM_JT_FALSE, GLIM_JT_TRUE, GLIM_JT_NUMBER, GLIM_JT_STRING,
    GLIM_JT_KEY, GLIM_JT_ARRAY, GLIM_JT_ARRAY_END, GLIM_JT_OBJECT, GLIM_JT_OBJECT_END
} glim_json_tok;

typedef struct glim_json_reader {
    glim_str src;
    size_t pos;                          /* behind the last token */
    size_t at;                           /* where the last token begins, or the one that failed */
    uint32_t depth, max_depth;
    uint8_t stack[(GLIM_JSON_DEPTH + 7) / 8]; /* a bit a level: 1 object, 0 array */
    uint8_t expect;                      /* private */
    glim_buf tmp;                        /* decoded form of the last string with escapes */
} glim_json_reader;

/* Borrows src until deinit. Duplicate keys are the tree's affair: the pull reader does not see them. */
void glim_json_reader_init(glim_json_reader *r, glim_str src);
void glim_json_reader_deinit(glim_json_reader *r);
/* Next token. text: decoded key or string, or a number's lexeme; borrowed until the next call. END comes
 * once, after the one value; bytes behind it are an error. */
GLIM_MUST_USE glim_err glim_json_next(glim_json_reader *r, glim_json_tok *tok, glim_str *text, glim_error *e);
/* Skips the value that begins with the token just read (does nothing after a scalar); behind a key, its value. */
GLIM_MUST_USE glim_err glim_json_skip(glim_json_reader *r, glim_json_tok tok, glim_error *e);

/* ---- fields.c: an object read by a table ----------------------------------------------------- */

typedef enum glim_field_type {
    GLIM_FIELD_STR, GLIM_FIELD_BOOL, GLIM_FIELD_I64, GLIM_FIELD_F32, GLIM_FIELD_JSON, /* const glim_json *, any value */
    GLIM_FIELD_SUB                                                                    /* through .parse */
} glim_field_type;

typedef struct glim_field glim_field;
struct glim_field {
    const char *name, *also;  /* also: a second spelling, may be NULL */
    glim_field_type type;
    size_t offset;            /* in the struct that is filled */
    size_t offset_has;        /* of a bool set when the field was given; SIZE_MAX: none */
    bool required;            /* null counts as absent */
    double min, max;          /* numbers; both 0: any */
    const char *unsupported;  /* not NULL: known but refused by name, with this cure */
    glim_err (*parse)(glim_arena *a, const glim_json *v, void *dst, glim_error *e);
};

/* Fills dst from obj: null is absent; absent fields keep what dst holds (fill the defaults first).
 * Unknown members are left alone and counted in *n_unknown (may be NULL).
 * Errors: INPUT or UNSUPPORTED, message begins with the field's name and says type or range. */
GLIM_MUST_USE glim_err glim_fields_read(glim_arena *a, const glim_json *obj, const glim_field *fields, size_t n_field,
                          void *dst, size_t *n_unknown, glim_error *e);

/* ---- write.c: streaming writer --------------------------------------------------------------- */

/* Writes compact JSON to a buffer; commas and nesting are kept by the writer. Errors stay in b->err.
 * Strings must be valid UTF-8; invalid bytes are written as U+FFFD. U+2028, U+2029 and U+0085 are escaped
 * so that no line reader breaks a line there. */
typedef struct glim_jw {
    glim_buf *b;
    uint32_t depth;
    bool need_comma[64];
} glim_jw;

void glim_jw_init(glim_jw *w, glim_buf *b);
void glim_jw_object(glim_jw *w);
void glim_jw_object_end(glim_jw *w);
void glim_jw_array(glim_jw *w);
void glim_jw_array_end(glim_jw *w);
void glim_jw_key(glim_jw *w, const char *key);
void glim_jw_keyv(glim_jw *w, glim_str key);
void glim_jw_str(glim_jw *w, glim_str s);
void glim_jw_i64(glim_jw *w, int64_t v);
void glim_jw_u64(glim_jw *w, uint64_t v);
void glim_jw_f64(glim_jw *w, double v);   /* shortest form that reads back the same; NaN and infinities: null */
void glim_jw_f32(glim_jw *w, float v);    /* the same for a float */
void glim_jw_bool(glim_jw *w, bool v);
void glim_jw_null(glim_jw *w);
void glim_jw_raw(glim_jw *w, glim_str json); /* json must be one valid value */
/* The string s as a JSON string literal, quotes included, appended to b. */
void glim_json_quote(glim_buf *b, glim_str s);

#endif
