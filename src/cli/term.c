/* SPDX-License-Identifier: MIT
 * term.c - the terminal: lines typed by a person, colour, progress.
 * Owns:   the only use of libedit; without it, or without a terminal, lines are read as they come.
 * Thread: main. */
#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli_priv.h"
#if defined(GLIM_HAVE_LIBEDIT)
#include <histedit.h>
#endif

#define LINE_MAX_BYTES ((size_t)16 << 20)
#define HISTORY_LINES 1000
#define PROGRESS_AFTER_NS 400000000ull /* what ends sooner needs no report */
#define PROGRESS_EVERY_NS 100000000ull

bool glim_term_is(FILE *f)
{
    return isatty(fileno(f)) == 1;
}

bool glim_term_colour(FILE *f)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    return glim_term_is(f) && !(no && no[0]) && term && strcmp(term, "dumb") != 0;
}

/* ---- progress ----------------------------------------------------------------------------------
 */

void glim_progress_begin(glim_progress *p)
{
    *p = (glim_progress){.on = glim_term_is(stderr), .since_ns = glim_now_ns()};
}

void glim_progress_show(glim_progress *p, const char *what, uint64_t done, uint64_t total,
                        const char *unit)
{
    if (!p->on) return;
    uint64_t now = glim_now_ns();
    if (now - p->since_ns < PROGRESS_AFTER_NS || (p->shown && now - p->last_ns < PROGRESS_EVERY_NS))
        return;
    if (unit)
        fprintf(stderr, "\r%s: %llu of %llu %s", what, (unsigned long long)done,
                (unsigned long long)total, unit);
    else
        fprintf(stderr, "\r%s: %d %%", what,
                total ? (int)(100.0 * (double)done / (double)total) : 100);
    fputs("\x1b[K", stderr);
    fflush(stderr);
    p->shown = true;
    p->last_ns = now;
}

void glim_progress_end(glim_progress *p)
{
    if (!p->shown) return;
    fputs("\r\x1b[K", stderr);
    fflush(stderr);
    p->shown = false;
}

/* ---- lines
 * --------------------------------------------------------------------------------------- */

struct glim_term {
    bool interactive;
    glim_buf line;
    const char *prompt;
#if defined(GLIM_HAVE_LIBEDIT)
    EditLine *el;
    History *history;
    const char *history_path; /* NULL: kept in memory only */
#endif
};

#if defined(GLIM_HAVE_LIBEDIT)

static char *prompt_of(EditLine *el)
{
    glim_term *t = NULL;
    el_get(el, EL_CLIENTDATA, &t);
    return (char *)(uintptr_t)(t ? t->prompt : "");
}

/* Typed characters are read by the locale's character set; one that is not UTF-8 would break every
 * other language. */
static void set_locale(void)
{
    setlocale(LC_CTYPE, "");
    if (strcmp(nl_langinfo(CODESET), "UTF-8") != 0 && !setlocale(LC_CTYPE, "C.UTF-8"))
        setlocale(LC_CTYPE, "en_US.UTF-8");
}

static void open_editor(glim_term *t, const char *path)
{
    HistEvent ev;
    set_locale();
    t->el = el_init("glim", stdin, stdout, stderr);
    if (!t->el) return; /* plain lines will do */
    el_set(t->el, EL_CLIENTDATA, t);
    el_set(t->el, EL_PROMPT, prompt_of);
    el_set(t->el, EL_EDITOR, "emacs");
    el_set(t->el, EL_BIND, "^R", "em-inc-search-prev", NULL);
    t->history = history_init();
    if (!t->history) return;
    history(t->history, &ev, H_SETSIZE, HISTORY_LINES);
    history(t->history, &ev, H_SETUNIQUE, 1);
    el_set(t->el, EL_HIST, history, t->history);
    t->history_path = path;
    if (path) history(t->history, &ev, H_LOAD, path);
}

static void close_editor(glim_term *t)
{
    if (t->el) el_end(t->el);
    if (t->history) history_end(t->history);
}

static void remember(glim_term *t, const char *line)
{
    HistEvent ev;
    if (!t->history || line[strspn(line, " \t\r\n")] == 0) return;
    history(t->history, &ev, H_ENTER, line);
    if (!t->history_path) return;
    /* Written after every line: a chat that is killed loses nothing. Only the owner may read it. */
    mode_t old = umask(077);
    history(t->history, &ev, H_SAVE, t->history_path);
    umask(old);
}

static glim_line read_edited(glim_term *t, glim_error *e)
{
    int n = 0;
    errno = 0;
    const char *line = el_gets(t->el, &n);
    if (!line) {
        bool stopped = errno == EINTR || glim_cli_interrupted();
        el_reset(t->el);
        if (stopped) fputc('\n', stdout);
        return stopped ? GLIM_LINE_INTERRUPTED : GLIM_LINE_END;
    }
    remember(t, line);
    if (glim_buf_add(&t->line, line, (size_t)GLIM_MAX(n, 0)))
        return (void)!glim_fail(e, GLIM_E_LIMIT, "a line is longer than %zu bytes", LINE_MAX_BYTES),
               GLIM_LINE_ERROR;
    return GLIM_LINE_OK;
}

#endif

glim_term *glim_term_new(const char *history_path)
{
    glim_term *t = glim_new0(glim_term);
    if (!t) return NULL;
    glim_buf_init(&t->line, LINE_MAX_BYTES);
    t->interactive = glim_term_is(stdin) && glim_term_is(stdout);
#if defined(GLIM_HAVE_LIBEDIT)
    if (t->interactive) open_editor(t, history_path);
#else
    (void)history_path;
#endif
    return t;
}

void glim_term_free(glim_term *t)
{
    if (!t) return;
#if defined(GLIM_HAVE_LIBEDIT)
    close_editor(t);
#endif
    glim_buf_deinit(&t->line);
    glim_free(t);
}

bool glim_term_interactive(const glim_term *t)
{
    return t->interactive;
}

static glim_line read_plain(glim_term *t, glim_error *e)
{
    if (t->interactive) {
        fputs(t->prompt, stdout);
        fflush(stdout);
    }
    int ch;
    errno = 0;
    while ((ch = getc(stdin)) != EOF) {
        if (glim_buf_addc(&t->line, (char)ch))
            return (void)!glim_fail(e, GLIM_E_LIMIT, "a line is longer than %zu bytes",
                                    LINE_MAX_BYTES),
                   GLIM_LINE_ERROR;
        if (ch == '\n') return GLIM_LINE_OK;
    }
    if (ferror(stdin)) {
        int err = errno;
        clearerr(stdin);
        if (err == EINTR) return GLIM_LINE_INTERRUPTED;
        return (void)!glim_fail(e, GLIM_E_IO, "standard input: %s", strerror(err)), GLIM_LINE_ERROR;
    }
    return t->line.n ? GLIM_LINE_OK : GLIM_LINE_END;
}

glim_line glim_term_read(glim_term *t, const char *prompt, glim_str *out, glim_error *e)
{
    t->prompt = prompt;
    glim_buf_clear(&t->line);
#if defined(GLIM_HAVE_LIBEDIT)
    glim_line rc = t->el ? read_edited(t, e) : read_plain(t, e);
#else
    glim_line rc = read_plain(t, e);
#endif
    if (rc != GLIM_LINE_OK) return rc;
    *out = glim_buf_view(&t->line);
    if (glim_str_ends(*out, GLIM_STR("\n"))) out->n--;
    if (glim_str_ends(*out, GLIM_STR("\r"))) out->n--;
    return rc;
}
