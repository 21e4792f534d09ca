/* SPDX-License-Identifier: MIT
 * config.h - the option table and what is set in it: flag over environment over file over default.
 * Every value remembers where it came from, so that messages and `glim config show` can say it.
 * Thread: one at a time. */
#ifndef GLIM_BASE_CONFIG_H
#define GLIM_BASE_CONFIG_H

#include "base/base.h"

/* Where an option applies; a command's row lists the bits it takes. More than an enumeration holds. */
#define GLIM_IN_MODEL (UINT64_C(1) << 0) /* needs a model or its vocabulary */
#define GLIM_IN_ENGINE (UINT64_C(1) << 1) /* computes */
#define GLIM_IN_PLAN (UINT64_C(1) << 2) /* plans a context */
#define GLIM_IN_SAMPLE (UINT64_C(1) << 3)
#define GLIM_IN_TALK (UINT64_C(1) << 4) /* run and chat */
#define GLIM_IN_RUN (UINT64_C(1) << 5)
#define GLIM_IN_CHAT (UINT64_C(1) << 6)
#define GLIM_IN_TOOLS (UINT64_C(1) << 7)
#define GLIM_IN_JSON (UINT64_C(1) << 8)
#define GLIM_IN_TOKENIZE (UINT64_C(1) << 9)
#define GLIM_IN_TEMPLATE (UINT64_C(1) << 10)
#define GLIM_IN_PARSE (UINT64_C(1) << 11)
#define GLIM_IN_CHUNK (UINT64_C(1) << 12)
#define GLIM_IN_LOGITS (UINT64_C(1) << 13)
#define GLIM_IN_SETTINGS (UINT64_C(1) << 14) /* reads environment and settings file */
#define GLIM_IN_SYNTH (UINT64_C(1) << 15)
#define GLIM_IN_BENCH (UINT64_C(1) << 16)
#define GLIM_IN_PERPLEXITY (UINT64_C(1) << 17)
#define GLIM_IN_SERVE (UINT64_C(1) << 18)
#define GLIM_IN_EMBED (UINT64_C(1) << 19)
#define GLIM_IN_KEYWORD (UINT64_C(1) << 20)
#define GLIM_IN_RERANK (UINT64_C(1) << 21)
#define GLIM_IN_CLOUD (UINT64_C(1) << 22) /* asks another server: whom, and with which key */
#define GLIM_IN_NAMED (UINT64_C(1) << 23) /* another server's model by its name */
#define GLIM_IN_ASK (UINT64_C(1) << 24) /* cloud: chat, tokens */
#define GLIM_IN_MAKE (UINT64_C(1) << 25) /* cloud: image, video */
#define GLIM_IN_SAVE (UINT64_C(1) << 26) /* cloud: writes a file */
#define GLIM_IN_PURPOSE (UINT64_C(1) << 27) /* cloud: files list, files upload */
#define GLIM_IN_BATCH (UINT64_C(1) << 28) /* cloud: batch create */
#define GLIM_IN_VECTOR (UINT64_C(1) << 29) /* cloud: embed */
#define GLIM_IN_RANK (UINT64_C(1) << 30) /* cloud: rerank */
#define GLIM_IN_RAW (UINT64_C(1) << 31) /* cloud: raw */
#define GLIM_IN_SEARCH (UINT64_C(1) << 32) /* cloud: search */
#define GLIM_IN_FETCH (UINT64_C(1) << 33) /* cloud: image, video, task */
#define GLIM_IN_ALL ((UINT64_C(1) << 34) - 1)

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
    uint64_t where;
    unsigned flags;
    const char *also, *help;
} glim_opt_row;
const glim_opt_row *glim_opt_get(glim_opt o); /* never NULL below GLIM_OPT_COUNT */
bool glim_opt_find(glim_str name, glim_opt *out);
/* The same letter may stand for different options of different commands: where says whose. Without a fitting one, the
 * first that has it. */
bool glim_opt_find_letter(char letter, uint64_t where, glim_opt *out);
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
GLIM_MUST_USE glim_err glim_config_read_env(glim_config *c, uint64_t where, glim_getenv_fn get,
                                            void *user, glim_error *e);
/* Lines of NAME=value, "export" before it and quotes around the value allowed, # begins a comment
 * line. Names that are no twin of an option in where are left alone. */
GLIM_MUST_USE glim_err glim_config_read_env_file(glim_config *c, uint64_t where, const char *path,
                                                 glim_error *e);
/* Calls fn with each NAME and value of such a file, in order; both end with NUL and are borrowed until it returns. */
typedef void (*glim_env_fn)(void *user, const char *name, const char *value);
GLIM_MUST_USE glim_err glim_env_file_each(const char *path, glim_env_fn fn, void *user,
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
