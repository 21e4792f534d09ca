/* SPDX-License-Identifier: MIT
 * config.h - the option table and what is set in it: flag over environment over file over default.
 * Every value remembers where it came from, so that messages and `glim config show` can say it.
 * Thread: one at a time. */
#ifndef GLIM_BASE_CONFIG_H
#define GLIM_BASE_CONFIG_H

#include "base/base.h"

/* Where an option applies; a command's row lists the bits it takes. */
enum {
    GLIM_IN_MODEL = 1 << 0,  /* needs a model or its vocabulary */
    GLIM_IN_ENGINE = 1 << 1, /* computes */
    GLIM_IN_PLAN = 1 << 2,   /* plans a context */
    GLIM_IN_SAMPLE = 1 << 3,
    GLIM_IN_TALK = 1 << 4, /* run and chat */
    GLIM_IN_RUN = 1 << 5,
    GLIM_IN_CHAT = 1 << 6,
    GLIM_IN_TOOLS = 1 << 7,
    GLIM_IN_JSON = 1 << 8,
    GLIM_IN_TOKENIZE = 1 << 9,
    GLIM_IN_TEMPLATE = 1 << 10,
    GLIM_IN_PARSE = 1 << 11,
    GLIM_IN_CHUNK = 1 << 12,
    GLIM_IN_LOGITS = 1 << 13,
    GLIM_IN_SETTINGS = 1 << 14, /* reads environment and settings file */
    GLIM_IN_SYNTH = 1 << 15,
    GLIM_IN_BENCH = 1 << 16,
    GLIM_IN_PERPLEXITY = 1 << 17,
    GLIM_IN_SERVE = 1 << 18,
    GLIM_IN_EMBED = 1 << 19,
    GLIM_IN_KEYWORD = 1 << 20,
    GLIM_IN_RERANK = 1 << 21,
    GLIM_IN_ALL = (1 << 22) - 1
};

enum {
    GLIM_OPT_LATER = 1,     /* known by name, refused: not built yet */
    GLIM_OPT_NO_FILE = 2,   /* about one call, not a setting: no key of a settings file */
    GLIM_OPT_ABOVE_MIN = 4, /* min itself is outside */
    GLIM_OPT_BELOW_MAX = 8, /* max itself is outside */
    GLIM_OPT_RUN_LATER = 16 /* `run` will take it too and refuses it until then */
};

typedef enum glim_opt_type {
    GLIM_OPT_STR,
    GLIM_OPT_I64,
    GLIM_OPT_F64,
    GLIM_OPT_BOOL,   /* on or off */
    GLIM_OPT_FLAG,   /* on when given without a value */
    GLIM_OPT_CHOICE, /* index of the word in .i64 */
    GLIM_OPT_LIST,   /* strings, one each time it is given */
    GLIM_OPT_LEVEL   /* kernel level by name */
} glim_opt_type;

typedef enum glim_opt {
#define OPT(id, ...) GLIM_O_##id,
#include "base/config.def"
#undef OPT
    GLIM_OPT_COUNT
} glim_opt;

typedef struct glim_opt_row {
    const char *name;
    char letter;
    glim_opt_type type;
    const char *arg, *def;
    double min, max;
    unsigned where, flags;
    const char *also, *help;
} glim_opt_row;
const glim_opt_row *glim_opt_get(glim_opt o); /* never NULL below GLIM_OPT_COUNT */
bool glim_opt_find(glim_str name, glim_opt *out);
bool glim_opt_find_letter(char letter, glim_opt *out);
/* "GLIM_TOP_P"; out holds at least 64 bytes and is returned. */
const char *glim_opt_env(glim_opt o, char out[64]);

typedef enum glim_origin {
    GLIM_FROM_DEFAULT,
    GLIM_FROM_FILE,
    GLIM_FROM_ENV_FILE,
    GLIM_FROM_ENV,
    GLIM_FROM_FLAG
} glim_origin;

typedef struct glim_opt_value {
    bool set; /* false: nobody said anything and there is no default */
    glim_origin origin;
    const char *place; /* "--ctx", "GLIM_CTX", "/etc/glim.conf:3", "default" */
    const char *text;  /* as it was written; LIST: the last one */
    int64_t i64;       /* I64; CHOICE: index of the word */
    double f64;        /* F64 */
    bool on;           /* BOOL, FLAG */
    size_t n_item;     /* LIST */
    glim_str *items;
} glim_opt_value;

typedef struct glim_config glim_config;

/* All defaults. NULL when out of memory. */
glim_config *glim_config_new(void);
void glim_config_free(glim_config *c);
/* Borrows until free; never NULL. */
const glim_opt_value *glim_config_get(const glim_config *c, glim_opt o);

/* Sets one value. Copies text and place. A higher origin wins whatever the order of calls; at the
 * same origin the later one, or for LIST one more item. place begins the message on error. Errors:
 * USAGE (a flag's value), INPUT (anybody else's), UNSUPPORTED (not built yet), NOMEM. */
GLIM_MUST_USE glim_err glim_config_set(glim_config *c, glim_opt o, glim_str text,
                                       glim_origin origin, const char *place, glim_error *e);

/* Looks up the environment twin of every option that where has a bit of. get returns NULL for what
 * is not there; an empty value counts as not there. */
typedef const char *(*glim_getenv_fn)(void *user, const char *name);
GLIM_MUST_USE glim_err glim_config_read_env(glim_config *c, unsigned where, glim_getenv_fn get,
                                            void *user, glim_error *e);
/* Lines of NAME=value, "export" before it and quotes around the value allowed, # begins a comment
 * line. Names that are no twin of an option in where are left alone. */
GLIM_MUST_USE glim_err glim_config_read_env_file(glim_config *c, unsigned where, const char *path,
                                                 glim_error *e);
/* Lines of key = value; # or ; begins a comment line. Errors name file and line: INPUT (unknown key
 * or section, not a setting, a bad value, twice the same key), UNSUPPORTED, NOTFOUND, IO. n_set
 * (may be NULL): keys read. */
GLIM_MUST_USE glim_err glim_config_read_file(glim_config *c, const char *path, size_t *n_set,
                                             glim_error *e);

/* The word of words ("-" and case count) that s was most likely meant to be, or NULL when none is
 * near. next returns the i-th word, NULL at the end. */
const char *glim_nearest(glim_str s, const char *(*next)(void *user, size_t i), void *user);

#endif
