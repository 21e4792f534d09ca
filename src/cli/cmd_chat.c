/* SPDX-License-Identifier: MIT
 * cmd_chat.c - glim chat: a conversation kept as messages, a line at a time.
 * Owns:   the conversation; every text in it is a copy of its own, so that /reset gives all of it
 * back. Not here: how lines are read (term.c) and answers shown (answer.c). */
#include <stdlib.h>
#include <sys/stat.h>

#include "cli/cli_priv.h"

typedef struct chat {
    glim_cli *c;
    glim_term *term;
    glim_answerer by;
    const glim_model_info *info; /* NULL: the answers come from elsewhere */
    char *system;                /* NULL: none */
    glim_message *messages;      /* without the system message; [0] is kept free for it */
    size_t n, cap;
    glim_tristate think;
    glim_usage last;
    double total_ms;
    int64_t total_tokens;
    glim_err failed; /* of the last answer that failed */
    bool quit;
} chat;

/* ---- the conversation ------------------------------------------------------------------------ */

static glim_str copy(glim_str s)
{
    char *p = glim_alloc(s.n + 1);
    if (!p) return (glim_str){0};
    if (s.n) memcpy(p, s.p, s.n);
    p[s.n] = 0;
    return (glim_str){p, s.n};
}

static void drop_from(chat *t, size_t n)
{
    while (t->n > n) {
        glim_message *m = &t->messages[t->n--];
        glim_free((void *)(uintptr_t)m->content.p);
        glim_free((void *)(uintptr_t)m->reasoning.p);
    }
}

static glim_err add(chat *t, glim_role role, glim_str content, const glim_str *reasoning,
                    glim_error *e)
{
    if (t->n + 2 > t->cap) {
        size_t cap = t->cap ? t->cap * 2 : 16;
        glim_message *p = glim_realloc(t->messages, cap * sizeof *p);
        if (!p) return glim_fail(e, GLIM_E_NOMEM, "no memory for %zu messages", cap);
        t->messages = p;
        t->cap = cap;
    }
    glim_message m = {.role = role, .content = copy(content)};
    if (reasoning) {
        m.has_reasoning = true;
        m.reasoning = copy(*reasoning);
    }
    if (!m.content.p || (reasoning && !m.reasoning.p)) {
        glim_free((void *)(uintptr_t)m.content.p);
        glim_free((void *)(uintptr_t)m.reasoning.p);
        return glim_fail(e, GLIM_E_NOMEM, "no memory for a message");
    }
    t->messages[++t->n] = m;
    return GLIM_OK;
}

static glim_err set_system(chat *t, glim_str text, glim_error *e)
{
    glim_str s = {0};
    if (text.n) {
        s = copy(text);
        if (!s.p) return glim_fail(e, GLIM_E_NOMEM, "no memory for the system message");
    }
    glim_free(t->system);
    t->system = (char *)(uintptr_t)s.p;
    return GLIM_OK;
}

/* ---- one answer ------------------------------------------------------------------------------ */

static glim_err generate(chat *t, glim_printer *p, glim_error *e)
{
    glim_gen_opts gen;
    glim_chat request = {
        .messages = t->messages + 1, .n_message = t->n, .think = t->think, .keep_old = GLIM_UNSET};
    if (t->system) {
        t->messages[0] =
            (glim_message){.role = GLIM_ROLE_SYSTEM, .content = glim_str_of(t->system)};
        request.messages--;
        request.n_message++;
    }
    glim_err rc = glim_cli_gen_opts(t->c, &gen, e);
    if (rc) return rc;
    glim_cli_clear_interrupt();
    return glim_answerer_chat(&t->by, &request, &gen, glim_printer_event, p, e);
}

/* Keeps the answer as the next message; what failed or was stopped before it began leaves no trace.
 */
static glim_err keep(chat *t, const glim_answer *a, glim_err rc, size_t before, glim_error *e)
{
    bool stopped = rc == GLIM_E_CANCELLED || (!rc && a->reason == GLIM_STOP_CANCEL);
    if ((rc && !stopped) || (stopped && a->content.n == 0)) {
        drop_from(t, before);
        return stopped ? GLIM_OK : rc;
    }
    t->last = a->usage;
    t->total_tokens += a->usage.n_completion;
    t->total_ms += a->usage.completion_ms;
    return add(t, GLIM_ROLE_ASSISTANT, a->content, a->reasoning.n ? &a->reasoning : NULL, e);
}

static void answer(chat *t, glim_str text)
{
    glim_error e = {0};
    glim_printer p = {0};
    size_t before = t->n;
    glim_err rc = glim_cli_check_text("this line", text, &e);
    if (!rc) rc = add(t, GLIM_ROLE_USER, text, NULL, &e);
    if (!rc) rc = glim_printer_init(&p, false, &e);
    if (!rc) {
        rc = generate(t, &p, &e);
        const glim_answer *a = glim_collector_answer(p.col);
        glim_printer_finish(&p, a);
        if (!p.at_line_start && !glim_term_is(stdout))
            fputc('\n', stdout); /* answers stay apart in a file too */
        if (!a)
            rc = glim_fail(&e, GLIM_E_NOMEM, "no memory for the whole answer");
        else
            rc = keep(t, a, rc, before, &e);
        if (!rc && glim_cli_interrupted()) glim_cli_say(t->c, "stopped");
        if (!rc && a && a->reason == GLIM_STOP_CONTEXT)
            glim_cli_say(t->c, "the context is full; /reset begins anew");
    }
    if (rc) {
        drop_from(t, before);
        t->failed = rc;
        (void)glim_cli_fail(t->c, &e);
        if (rc == GLIM_E_CONTEXT) glim_cli_say(t->c, "/reset begins anew");
    }
    if (glim_term_interactive(t->term)) fputc('\n', stdout);
    glim_printer_deinit(&p);
}

/* ---- commands -------------------------------------------------------------------------------- */

static void say_help(void);

static void slash_help(chat *t, glim_str rest)
{
    (void)t;
    (void)rest;
    say_help();
}

static void slash_reset(chat *t, glim_str rest)
{
    (void)rest;
    drop_from(t, 0);
    if (t->by.s) glim_session_truncate(t->by.s, 0);
    glim_cli_say(t->c, "the conversation is forgotten");
}

static void slash_think(chat *t, glim_str rest)
{
    if (glim_str_ieq(rest, GLIM_STR("on")))
        t->think = GLIM_ON;
    else if (glim_str_ieq(rest, GLIM_STR("off")))
        t->think = GLIM_OFF;
    else if (rest.n) {
        glim_cli_say(t->c, "/think takes on or off");
        return;
    }
    glim_cli_say(t->c, "thinking: %s",
                 t->think == GLIM_ON    ? "on"
                 : t->think == GLIM_OFF ? "off"
                                        : "as the model likes");
}

static void slash_system(chat *t, glim_str rest)
{
    glim_error e = {0};
    glim_err rc = glim_cli_check_text("/system", rest, &e);
    if (!rc) rc = set_system(t, rest, &e);
    if (rc)
        (void)glim_cli_fail(t->c, &e);
    else
        glim_cli_say(t->c, rest.n ? "system message set, from the next answer on"
                                  : "no system message any more");
}

static double rate(int64_t n, double ms)
{
    return ms > 0 ? (double)n * 1000 / ms : 0;
}

static void slash_stats(chat *t, glim_str rest)
{
    (void)rest;
    const glim_usage *u = &t->last;
    if (t->info)
        glim_cli_say(t->c, "messages: %zu; context: %lld of %lld tokens", t->n,
                     (long long)glim_session_n_token(t->by.s), (long long)t->info->plan.n_ctx);
    else
        glim_cli_say(t->c, "messages: %zu", t->n);
    glim_cli_say(t->c, "last prompt: %lld tokens (%lld from the cache) in %.0f ms, %.1f tokens/s",
                 (long long)u->n_prompt, (long long)u->n_cached, u->prompt_ms,
                 rate(u->n_prompt - u->n_cached, u->prompt_ms));
    glim_cli_say(t->c, "last answer: %lld tokens (%lld of them thought) in %.0f ms, %.1f tokens/s",
                 (long long)u->n_completion, (long long)u->n_reasoning, u->completion_ms,
                 rate(u->n_completion, u->completion_ms));
    glim_cli_say(t->c, "all answers: %lld tokens, %.1f tokens/s", (long long)t->total_tokens,
                 rate(t->total_tokens, t->total_ms));
}

static void slash_quit(chat *t, glim_str rest)
{
    (void)rest;
    t->quit = true;
}

static const struct {
    const char *name, *argument, *help;
    void (*fn)(chat *t, glim_str rest);
} slashes[] = {
    {"help", "", "this list", slash_help},
    {"reset", "", "forget the conversation, keep the system message", slash_reset},
    {"think", "on|off", "whether the model thinks before it answers", slash_think},
    {"system", "TEXT", "the system message from now on; without TEXT none", slash_system},
    {"stats", "", "tokens and speed", slash_stats},
    {"quit", "", "end (Ctrl-D too)", slash_quit},
};

static void say_help(void)
{
    for (size_t i = 0; i < GLIM_COUNT(slashes); i++) {
        int n = fprintf(stderr, "  /%s %s", slashes[i].name, slashes[i].argument);
        fprintf(stderr, "%*s%s\n", GLIM_MAX(2, 18 - n), "", slashes[i].help);
    }
    fprintf(stderr,
            "  A line that begins with // is sent with one / as text. A backslash at the end of a\n"
            "  line continues it on the next. Ctrl-C stops an answer.\n");
}

static const char *next_slash(void *user, size_t i)
{
    (void)user;
    return i < GLIM_COUNT(slashes) ? slashes[i].name : NULL;
}

static void slash(chat *t, glim_str line)
{
    glim_str word = glim_str_sub(line, 1, line.n), rest = {0};
    size_t blank = 0;
    while (blank < word.n && word.p[blank] != ' ' && word.p[blank] != '\t')
        blank++;
    rest = glim_str_trim(glim_str_sub(word, blank, word.n), " \t");
    word.n = blank;
    if (glim_str_is(word, "exit") || glim_str_is(word, "bye")) word = GLIM_STR("quit");
    for (size_t i = 0; i < GLIM_COUNT(slashes); i++) {
        if (!glim_str_is(word, slashes[i].name)) continue;
        slashes[i].fn(t, rest);
        return;
    }
    const char *near = glim_nearest(word, next_slash, NULL);
    glim_cli_say(t->c, "no command /%.*s%s%s%s; /help lists them", GLIM_STR_ARG(word),
                 near ? ", did you mean /" : "", near ? near : "", near ? "?" : "");
}

/* ---- the loop -------------------------------------------------------------------------------- */

/* $XDG_STATE_HOME/glim/history or its usual place; its folder is made. NULL: lines are not kept. */
static const char *history_path(glim_cli *c)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    if (!glim_cli_opt(c, GLIM_O_HISTORY)->on || !glim_term_is(stdin) || !glim_term_is(stdout))
        return NULL;
    if (!state || state[0] != '/') {
        if (!home || home[0] != '/') return NULL;
        state = glim_path_join(c->arena, home, ".local/state");
    }
    char *dir = state ? glim_path_join(c->arena, state, "glim") : NULL;
    if (!dir) return NULL;
    for (char *p = dir + 1; *p; p++) { /* every folder on the way, as mkdir -p does */
        if (*p != '/') continue;
        *p = 0;
        (void)mkdir(dir, 0700);
        *p = '/';
    }
    (void)mkdir(dir, 0700);
    return glim_is_dir(dir) ? glim_path_join(c->arena, dir, "history") : NULL;
}

/* One message: a line, or several joined by backslashes at their ends. */
static glim_line read_message(chat *t, glim_buf *b, glim_error *e)
{
    glim_str line;
    glim_buf_clear(b);
    for (;;) {
        glim_line got = glim_term_read(t->term, b->n ? ". " : "> ", &line, e);
        if (got != GLIM_LINE_OK) return got == GLIM_LINE_END && b->n ? GLIM_LINE_OK : got;
        bool more = glim_str_ends(line, GLIM_STR("\\"));
        if (more) line.n--;
        glim_buf_addv(b, line);
        if (more) glim_buf_addc(b, '\n');
        if (b->err)
            return (void)!glim_fail(e, b->err, "the message is longer than %zu bytes", b->max),
                   GLIM_LINE_ERROR;
        if (!more) return GLIM_LINE_OK;
    }
}

static glim_err loop(chat *t, glim_error *e)
{
    glim_buf b;
    glim_buf_init(&b, GLIM_CLI_INPUT_MAX);
    glim_err rc = GLIM_OK;
    while (!rc && !t->quit) {
        fflush(stdout);
        glim_line got = read_message(t, &b, e);
        glim_str text = glim_str_trim(glim_buf_view(&b), " \t\r\n");
        if (got == GLIM_LINE_END) {
            if (glim_term_interactive(t->term)) fputc('\n', stdout);
            break;
        }
        if (got == GLIM_LINE_ERROR) {
            rc = e->code;
        } else if (got == GLIM_LINE_INTERRUPTED) {
            glim_cli_clear_interrupt();
            if (glim_term_interactive(t->term))
                glim_cli_say(t->c, "/quit or Ctrl-D ends");
            else
                rc = glim_fail(e, GLIM_E_CANCELLED, "cancelled");
        } else if (text.n == 0) {
            continue;
        } else if (text.p[0] == '/' && !glim_str_starts(text, GLIM_STR("//"))) {
            slash(t, text);
        } else {
            answer(t, text.p[0] == '/' ? glim_str_sub(text, 1, text.n) : text);
            if (glim_cli_interrupted() && !glim_term_interactive(t->term))
                rc = glim_fail(e, GLIM_E_CANCELLED, "cancelled");
            glim_cli_clear_interrupt();
        }
    }
    if (!rc && t->failed && !glim_term_interactive(t->term))
        rc = glim_fail(e, t->failed, "not every line was answered");
    glim_buf_deinit(&b);
    return rc;
}

static void greet(const chat *t)
{
    char text[320];
    if (t->by.elsewhere) {
        /* Also where no person reads it: text leaves this machine. */
        glim_cli_say(t->c, "the answers come from %s%s",
                     glim_answerer_name(&t->by, text, sizeof text),
                     glim_term_interactive(t->term) ? "; /help lists commands" : "");
    } else if (glim_term_interactive(t->term)) {
        fprintf(stderr,
                "%s%s%s, %s, context %lld tokens, %d threads (%s). /help lists commands.\n\n",
                t->info->arch, t->info->name[0] ? ", " : "",
                t->info->name[0] ? GLIM_QUOTE(glim_str_of(t->info->name)) : "",
                glim_cli_bytes(t->info->plan.weights, text), (long long)t->info->plan.n_ctx,
                t->info->n_thread, t->info->cpu);
    }
}

static glim_err open_chat(chat *t, glim_error *e)
{
    glim_cli *c = t->c;
    const glim_opt_value *system = glim_cli_opt(c, GLIM_O_SYSTEM);
    glim_err rc = GLIM_OK;
    if (system->set) {
        rc = glim_cli_check_text(system->place, glim_str_of(system->text), e);
        if (!rc) rc = set_system(t, glim_str_of(system->text), e);
    }
    if (rc) return rc;
    t->term = glim_term_new(history_path(c));
    if (!t->term) return glim_fail(e, GLIM_E_NOMEM, "no memory for the terminal");
    greet(t);
    return GLIM_OK;
}

int glim_cmd_chat(glim_cli *c)
{
    glim_error e = {0};
    chat t = {.c = c, .think = glim_cli_think(c)};
    glim_cli_catch_interrupt();
    glim_err rc = glim_answerer_open(c, &t.by, &e);
    if (!rc) {
        glim_cli_show_plan();
        if (t.by.m) t.info = glim_model_get_info(t.by.m);
        rc = open_chat(&t, &e);
    }
    if (!rc) rc = loop(&t, &e);
    drop_from(&t, 0);
    glim_free(t.messages);
    glim_free(t.system);
    glim_term_free(t.term);
    glim_answerer_close(&t.by);
    return rc ? glim_cli_fail(c, &e) : 0;
}
