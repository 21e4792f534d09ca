/* SPDX-License-Identifier: MIT
 * ask_priv.h - what asking shares over all wires: the body around the members, what an option is
 * called and who has it, JSON that the caller brought. */
#ifndef GLIM_API_ASK_PRIV_H
#define GLIM_API_ASK_PRIV_H

#include "api/api_priv.h"

/* The wires, as bits. */
enum { GLIM_TO_OPENAI = 1, GLIM_TO_ZHIPU = 2, GLIM_TO_OLLAMA = 4 };

typedef struct glim_asking {
    const glim_ask *ask;
    glim_gen_opts gen; /* the ask's, or what asks for nothing */
    unsigned to;       /* the wire's bit */
    glim_arena *arena; /* of JSON that is read to be sure of it */
    glim_json *extra;  /* the caller's members; NULL: none */
    glim_jw w;
    const char *keys[48]; /* members of the body so far */
    size_t n_key;
} glim_asking;

/* A whole body: what the wire cannot say is refused, write() writes the members, the caller's own
 * follow. On error out ends where it ended before. */
typedef glim_err (*glim_ask_fn)(glim_asking *x, glim_error *e);
glim_err glim_ask_body(const glim_ask *a, unsigned to, glim_ask_fn write, glim_buf *out,
                       glim_error *e);
/* A member of the body; its value is to follow. */
void glim_ask_key(glim_asking *x, const char *key);
/* A text of the caller's, which must be UTF-8. */
GLIM_MUST_USE glim_err glim_ask_text(glim_asking *x, const glim_api_path *p, glim_str s,
                                     glim_error *e);
/* JSON text of the caller's, read to be sure of it; *v lives until the body is done. */
GLIM_MUST_USE glim_err glim_ask_parse(glim_asking *x, const glim_api_path *p, glim_str json,
                                      glim_json **v, glim_error *e);
/* The arguments of a call: its object's text; of none "{}". */
GLIM_MUST_USE glim_err glim_ask_arguments(glim_asking *x, const glim_api_path *p, glim_str in,
                                          glim_str *out, glim_error *e);
/* The tools, each as it is; a bare function gets the object around it. functions_only: other types
 * are refused. */
GLIM_MUST_USE glim_err glim_ask_tools(glim_asking *x, bool functions_only, glim_error *e);
/* The list of stop strings; the key is out. */
GLIM_MUST_USE glim_err glim_ask_stops(glim_asking *x, glim_error *e);
/* A member of the caller's own that the body has already, or that no wire may have. */
GLIM_MUST_USE glim_err glim_ask_taken(const glim_api_path *p, const glim_json *member,
                                      glim_error *e);
/* A member as it was read, with its key. */
void glim_ask_member(glim_asking *x, const glim_json *m);
const char *glim_ask_role(glim_role r);

/* hear_openai.c, hear_ollama.c */
glim_err glim_openai_hear(glim_hear *h, glim_str json, bool whole, bool *over, glim_remote *remote,
                          glim_error *e);
glim_err glim_ollama_hear(glim_hear *h, glim_str json, bool whole, bool *over, glim_remote *remote,
                          glim_error *e);

#endif
