/* SPDX-License-Identifier: MIT
 * cli_priv.h - what the files of room cli share: the call, terminal, models, other servers, answers.
 * Thread: the main thread; only glim_cli_interrupted() is also looked at by callbacks. */
#ifndef GLIM_CLI_PRIV_H
#define GLIM_CLI_PRIV_H

#include <stdio.h>

#include "base/config.h"
#include "glim/client.h"
#include "glim/encode.h"
#include "glim/engine.h"
#include "json/json.h"

typedef struct glim_cli glim_cli;

typedef struct glim_command {
    const char *name;       /* of a verb with its command: "cloud files list" */
    int (*fn)(glim_cli *c); /* exit status; NULL: not built yet */
    uint64_t where;         /* GLIM_IN_ bits; of a command with verbs those of all of them */
    const char *argument;
    int n_min, n_max;
    const char *summary, *about, *examples;
    const struct glim_command *verbs; /* what must follow its name; ends with a NULL name; NULL: nothing must */
} glim_command;

struct glim_cli {
    const glim_command *cmd; /* once its verb was read, that one's row */
    char verb[64];           /* "cloud files": what of a name with verbs was read so far */
    glim_config *cfg;
    glim_arena *arena; /* until the program ends */
    bool help;         /* --help stood on the line */
    int n_arg;
    const char *arg[2]; /* what stood without a dash; borrowed from argv */
    struct glim_found *found; /* found.c: what the models folders hold, once it was looked for */
    size_t n_found;
};

#define GLIM_CLI_INPUT_MAX ((size_t)64 << 20) /* bytes of a prompt, a request, a list of ids */

/* ---- opts.c, help.c -------------------------------------------------------------------------- */

extern const glim_command glim_commands[]; /* ends with a NULL name */
extern const glim_command glim_cloud_verbs[]; /* the same */
const glim_command *glim_command_find(const char *name);
/* Reads the arguments behind the command's name. Errors: USAGE, UNSUPPORTED, NOMEM. */
GLIM_MUST_USE glim_err glim_cli_parse(glim_cli *c, int n, char **args, glim_error *e);
/* Environment, .env file and settings file, each where the command wants them. */
GLIM_MUST_USE glim_err glim_cli_settings(glim_cli *c, glim_error *e);
/* Path of the settings file that is read without --config; NULL: there is none. *named: it was
 * asked for. */
const char *glim_cli_config_path(glim_cli *c, bool *named);
static inline const glim_opt_value *glim_cli_opt(const glim_cli *c, glim_opt o)
{
    return glim_config_get(c->cfg, o);
}
/* prefix: of a command with verbs only those whose name begins so; "" all. */
void glim_help_command(FILE *f, const glim_command *cmd, const char *prefix);
void glim_help_overview(FILE *f);

/* ---- foreign.c: flags of other servers, for serve --------------------------------------------- */

typedef struct glim_foreign glim_foreign;
const glim_foreign *glim_foreign_find(glim_str name); /* without its dashes; NULL: none of them */
/* Whether it is another name of an option of ours, which one. */
bool glim_foreign_same(const glim_foreign *f, glim_opt *out);
/* One that changes nothing: looks at its value and says so in a line. shown: as messages name it; value: what stood
 * behind "=", .p NULL without; takes *i on when the value is the next word. Errors: USAGE. */
GLIM_MUST_USE glim_err glim_foreign_take(const glim_foreign *f, const glim_cli *c, const char *shown, glim_str value, int n,
                                         char **args, int *i, glim_error *e);
/* All of them in a sentence, for help. */
void glim_foreign_names(glim_buf *out);

/* ---- output.c -------------------------------------------------------------------------------- */

/* Prints "glim COMMAND: message" and returns the exit status of the error. */
int glim_cli_fail(const glim_cli *c, const glim_error *e);
/* A line on standard error: "glim COMMAND: ...". */
void glim_cli_say(const glim_cli *c, const char *fmt, ...) GLIM_PRINTF(2, 3);
/* Writes text that came from outside. On a terminal, control characters other than newline and tab
 * are shown as U+FFFD, so that no text can drive the terminal. */
void glim_cli_text(FILE *f, glim_str s);
/* Writes a finished line or document to standard output and frees the buffer; NOMEM when the buffer
 * ran full. */
GLIM_MUST_USE glim_err glim_cli_emit(glim_buf *b, glim_error *e);
/* Whole standard input or file ("-"), at most GLIM_CLI_INPUT_MAX. The caller ends b. */
GLIM_MUST_USE glim_err glim_cli_read(const char *path, glim_buf *b, glim_error *e);
/* Token ids as a JSON array or, unless json_only, with blanks between. Caller owns *ids and ends it
 * with glim_free(). name begins messages. Errors: INPUT (where), NOMEM. */
GLIM_MUST_USE glim_err glim_cli_ids(glim_str text, const char *name, bool json_only, int32_t **ids,
                                    size_t *n, glim_error *e);
/* "16.4 MiB"; returns out. */
const char *glim_cli_bytes(uint64_t n, char out[32]);

/* ---- term.c ---------------------------------------------------------------------------------- */

bool glim_term_is(FILE *f);     /* a terminal */
bool glim_term_colour(FILE *f); /* a terminal that takes colour, and NO_COLOR is not set */

/* A line that says how far something is; on a terminal's standard error only, and not before it has
 * taken a while. */
typedef struct glim_progress {
    bool on, shown;
    uint64_t since_ns, last_ns;
} glim_progress;
void glim_progress_begin(glim_progress *p);
void glim_progress_show(glim_progress *p, const char *what, uint64_t done, uint64_t total,
                        const char *unit);
void glim_progress_end(glim_progress *p); /* removes the line */

typedef enum glim_line {
    GLIM_LINE_OK,
    GLIM_LINE_END,
    GLIM_LINE_INTERRUPTED,
    GLIM_LINE_ERROR
} glim_line;
typedef struct glim_term glim_term;
/* history_path: file that typed lines are kept in, or NULL. NULL when out of memory. */
glim_term *glim_term_new(const char *history_path);
void glim_term_free(glim_term *t);
bool glim_term_interactive(const glim_term *t);
/* One line without its newline, in *out until the next call. */
glim_line glim_term_read(glim_term *t, const char *prompt, glim_str *out, glim_error *e);

/* ---- model.c --------------------------------------------------------------------------------- */

/* Path of name in the i-th of the places that belong to the program; NULL behind the last one. It
 * need not be there. */
const char *glim_cli_beside_program(glim_arena *a, size_t i, const char *name);
/* Path of the model that the settings name, or of the bundled one. Errors: NOTFOUND with the cure,
 * INPUT (a name that several models have: which). */
GLIM_MUST_USE glim_err glim_cli_model_path(glim_cli *c, const char **path, glim_error *e);
/* The same for one given text; place begins messages. Errors: as above. */
GLIM_MUST_USE glim_err glim_cli_resolve_model(glim_cli *c, const char *place, const char *text,
                                              const char **path, glim_error *e);
void glim_cli_model_opts(const glim_cli *c, glim_kv_type kv, glim_model_opts *o);
GLIM_MUST_USE glim_err glim_cli_open_model(glim_cli *c, glim_kv_type kv, glim_model **m,
                                           glim_error *e);
/* The same with options already chosen; its progress fields are set here. */
GLIM_MUST_USE glim_err glim_cli_open_model_as(glim_cli *c, const glim_model_opts *opts,
                                              glim_model **m, glim_error *e);
GLIM_MUST_USE glim_err glim_cli_open_vocab(glim_cli *c, glim_vocab **v, glim_error *e);
/* The JSON array of --tools into chat->tools; nothing when it is not given. Memory is the arena's.
 */
GLIM_MUST_USE glim_err glim_cli_tools(glim_cli *c, glim_chat *chat, glim_error *e);
/* A whole JSON file in the arena; name begins messages. */
GLIM_MUST_USE glim_err glim_cli_json(glim_cli *c, const char *path, glim_json **out, glim_error *e);
/* One line about the memory of the model just opened, the first time it is called: nobody should have to guess
 * where the memory goes. Called when work begins, so that wrong input gets its own line alone. */
void glim_cli_show_plan(void);
GLIM_MUST_USE glim_err glim_cli_gen_opts(glim_cli *c, glim_gen_opts *g, glim_error *e);
glim_tristate glim_cli_think(const glim_cli *c);
/* Valid UTF-8 or INPUT: "--prompt: not valid UTF-8 at byte 3". */
GLIM_MUST_USE glim_err glim_cli_check_text(const char *name, glim_str s, glim_error *e);

/* ---- request.c: what is to be answered -------------------------------------------------------- */

/* Memory is the call's arena. */
typedef struct glim_cli_request {
    glim_chat chat;
    glim_str raw; /* --raw; .p NULL: chat */
} glim_cli_request;
/* From --prompt or standard input, --messages, --system, --tools, --image. any: for other servers; messages may hold parts
 * that are no text, and tools be of any type: they stay as they are. Errors: USAGE, INPUT (which option or file, where), IO, NOTFOUND, NOMEM. */
GLIM_MUST_USE glim_err glim_cli_read_request(glim_cli *c, bool any, glim_cli_request *rq,
                                             glim_error *e);
/* Whether a flag on the command line says so: not a setting, not the word off. */
bool glim_cli_from_flag(const glim_cli *c, glim_opt o);
/* The object {"text", "reasoning", ..., "where"} on standard output. */
GLIM_MUST_USE glim_err glim_cli_print_answer(const glim_answer *a, glim_str logprobs,
                                             const char *where, glim_error *e);

/* ---- picture.c: parts of messages that are no text, for other people's servers ------------------ */

/* From a JSON array of messages, before it is decoded: contents of users' messages that hold other parts than text are set
 * aside, and a text stands for them. Errors: INPUT (where), NOMEM. */
typedef struct glim_parts glim_parts;
GLIM_MUST_USE glim_err glim_parts_take(glim_arena *a, glim_json *messages, glim_parts **out,
                                       glim_error *e);
/* After it: back into the messages they came from. */
GLIM_MUST_USE glim_err glim_parts_give(glim_arena *a, const glim_parts *p, glim_chat *chat,
                                       glim_error *e);
/* The pictures of --image, behind text, into m; nothing without --image. Errors: INPUT (no picture), IO, NOTFOUND, NOMEM. */
GLIM_MUST_USE glim_err glim_parts_add(glim_cli *c, glim_str text, glim_message *m, glim_error *e);

/* ---- cloud.c: other people's servers ----------------------------------------------------------- */

/* A client, and the call that is made with it. */
typedef struct glim_cloud {
    glim_cli *c;
    glim_client *client;
    glim_cancel *cancel;
    glim_client_report report;
    glim_call call; /* for every call: cancelled by Ctrl-C, reported in report */
    const char *model; /* as it was asked for; NULL: the provider's own */
} glim_cloud;
/* A client as the options say; Ctrl-C cancels its calls from now on. Errors: USAGE, and those of glim_client_new(), NOTFOUND
 * with the cure. On error there is nothing to close. */
GLIM_MUST_USE glim_err glim_cloud_open(glim_cli *c, glim_cloud *k, glim_error *e);
void glim_cloud_close(glim_cloud *k); /* zeroed ones are fine */
/* Puts what the server said of its reasons into the message of a call that failed: class, status, code, request id, and
 * what to do. Returns e's code. */
glim_err glim_cloud_explain(const glim_cloud *k, glim_error *e);

/* ---- answerer.c: the model here or one elsewhere ------------------------------------------------ */

typedef struct glim_answerer {
    glim_cli *c;
    glim_model *m; /* here */
    glim_session *s;
    bool elsewhere;
    glim_cloud cloud; /* elsewhere */
} glim_answerer;
/* As --where, GLM_FLASH_ENABLED and USE_NPU say. Errors: USAGE (an option that the one who answers does not have), and those
 * of opening. */
GLIM_MUST_USE glim_err glim_answerer_open(glim_cli *c, glim_answerer *a, glim_error *e);
void glim_answerer_close(glim_answerer *a); /* zeroed ones are fine */
/* Whether the options say so; a wrong --where was refused before. */
bool glim_answerer_is_elsewhere(const glim_cli *c);
/* Whether no flag is about the one who does not answer; glim_answerer_open() asks too. Errors: USAGE. */
GLIM_MUST_USE glim_err glim_answerer_check(const glim_cli *c, glim_error *e);
/* "local", or the provider's name. */
const char *glim_answerer_where(const glim_answerer *a);
/* "'glm-4.7' at zhipu (https://...)", of one elsewhere; returns out. */
const char *glim_answerer_name(const glim_answerer *a, char *out, size_t n_out);
/* Like glim_generate(); Ctrl-C cancels. */
GLIM_MUST_USE glim_err glim_answerer_chat(glim_answerer *a, const glim_chat *chat,
                                          const glim_gen_opts *gen, glim_event_fn fn, void *user,
                                          glim_error *e);

/* ---- encoder.c: what embed, keyword and rerank have in common --------------------------------- */

/* The encoder that -m names; --ctx is its n_max. Errors: USAGE (no -m), those of glim_encoder_open(). */
GLIM_MUST_USE glim_err glim_cli_open_encoder(glim_cli *c, glim_encoder **m, glim_error *e);
/* The figures without its weights; the options are the same. */
GLIM_MUST_USE glim_err glim_cli_plan_encoder(glim_cli *c, const char *path, glim_encoder_info *out,
                                             glim_error *e);
/* Standard input as a JSON array; what: its elements, for messages. In the arena. Errors: INPUT (where). */
GLIM_MUST_USE glim_err glim_cli_array(glim_cli *c, const char *what, const glim_json **out,
                                      glim_error *e);
/* CONTEXT where input i has more ids than n_max and nothing was cut. */
GLIM_MUST_USE glim_err glim_cli_check_length(size_t i, const glim_encoded *t, size_t n_max,
                                             glim_error *e);
bool glim_cli_cancelled(void *unused); /* as glim_cli_interrupted(), for options */

/* ---- found.c --------------------------------------------------------------------------------- */

typedef struct glim_found {
    const char *name, *path;
} glim_found;
/* The models in the models folders, in the arena. Folders of GLIM_MODELS that are not there are
 * said on standard error. Errors: NOMEM. */
GLIM_MUST_USE glim_err glim_cli_find_models(glim_cli *c, glim_found **out, size_t *n,
                                            glim_error *e);
/* The one of them that name means; place begins messages. Errors: NOTFOUND, INPUT (several), NOMEM.
 */
GLIM_MUST_USE glim_err glim_cli_model_by_name(glim_cli *c, const char *place, const char *name,
                                              const char **path, glim_error *e);

/* ---- answer.c -------------------------------------------------------------------------------- */

/* From now on the first Ctrl-C sets a mark and cancels the watched session and call, the second ends
 * the program. */
void glim_cli_catch_interrupt(void);
bool glim_cli_interrupted(void);
void glim_cli_clear_interrupt(void);
void glim_cli_watch(glim_session *s); /* NULL: none */
void glim_cli_watch_call(glim_cancel *k); /* NULL: none */

/* Shows an answer as it is made and collects it. */
typedef struct glim_printer {
    glim_collector *col;
    bool silent; /* collect only */
    bool grey;
    glim_progress progress;
    enum { GLIM_SHOWN_NOTHING, GLIM_SHOWN_REASONING, GLIM_SHOWN_CONTENT } shown;
    bool at_line_start; /* of standard output */
    glim_buf logprobs;  /* JSON array of what LOGPROBS events said; empty when there were none */
    glim_jw logprobs_w;
} glim_printer;
GLIM_MUST_USE glim_err glim_printer_init(glim_printer *p, bool silent, glim_error *e);
void glim_printer_deinit(glim_printer *p);
bool glim_printer_event(void *printer, const glim_event *ev);
/* Ends what is open: colour, line, tool calls. */
void glim_printer_finish(glim_printer *p, const glim_answer *a);
/* What a command that printed one answer ends with: the object where it was silent, the error of one that was stopped, a word
 * about one that was cut. rc: how the generation ended. */
GLIM_MUST_USE glim_err glim_printer_result(glim_printer *p, const glim_cli *c, const glim_answer *a,
                                           glim_err rc, const char *where, glim_error *e);
/* The logprobs as one JSON array, .p NULL when none were asked for. Borrows until deinit. */
glim_str glim_printer_logprobs(glim_printer *p);
/* "stop", "length", "tool_calls" or "cancelled". */
const char *glim_finish_reason(const glim_answer *a);
/* [{"id","type","function":{"name","arguments"}}] */
void glim_write_calls(glim_jw *w, const glim_tool_call *calls, size_t n);

/* ---- cmd_*.c --------------------------------------------------------------------------------- */

#define COMMAND(name, fn, ...) int fn(glim_cli *c);
#define VERBS(name, verbs, ...)
#define LATER(name, summary)
#include "cli/commands.def"
#undef COMMAND
#undef VERBS
#undef LATER
#define VERB(name, fn, ...) int fn(glim_cli *c);
#include "cli/cloud.def"
#undef VERB

#endif
