/* SPDX-License-Identifier: MIT
 * term.c - the terminal: lines typed by a person, colour, progress.
 * Owns:   the only use of libedit; without it, or without a terminal, lines are read as they come.
 * Thread: main. */
#include <errno.h>
#include <langinfo.h>
#include <limits.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/select.h>
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

/* ---- progress -------------------------------------------------------------------------------- */

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

/* ---- lines ----------------------------------------------------------------------------------- */

struct glim_term {
    bool interactive;
    glim_buf line;
    const char *prompt;
    char ahead[4096]; /* read from standard input and not used yet */
    size_t n_ahead, i_ahead;
#if defined(GLIM_HAVE_LIBEDIT)
    EditLine *el;
    History *history;
    const char *history_path; /* NULL: kept in memory only */
#endif
};

/* Next byte of standard input; -1 with errno at its end (0) or on failure (EINTR: Ctrl-C). A Ctrl-C
 * is let in only while this waits: between looking at the mark and reading it could otherwise come
 * unseen, and the reading would go on. */
static int next_byte(glim_term *t)
{
    sigset_t block, before;
    if (t->i_ahead < t->n_ahead) return (unsigned char)t->ahead[t->i_ahead++];
    sigemptyset(&block);
    sigaddset(&block, SIGINT);
    sigprocmask(SIG_BLOCK, &block, &before);
    ssize_t n = -1;
    errno = EINTR;
    while (!glim_cli_interrupted()) {
        fd_set in;
        FD_ZERO(&in);
        FD_SET(STDIN_FILENO, &in);
        int ready = pselect(STDIN_FILENO + 1, &in, NULL, NULL, NULL, &before);
        if (ready < 0 && errno == EINTR) continue; /* another signal, such as a new window size */
        /* One byte at a time from a terminal: what follows belongs to whoever reads next. */
        n = ready < 0 ? -1 : read(STDIN_FILENO, t->ahead, t->interactive ? 1 : sizeof t->ahead);
        if (n >= 0 || (errno != EINTR && errno != EAGAIN)) break;
        errno = EINTR;
    }
    int err = n >= 0 ? 0 : errno;
    sigprocmask(SIG_SETMASK, &before, NULL);
    t->n_ahead = n > 0 ? (size_t)n : 0;
    t->i_ahead = 0;
    errno = err;
    return n > 0 ? (unsigned char)t->ahead[t->i_ahead++] : -1;
}

static glim_line line_failed(const glim_term *t, glim_error *e)
{
    (void)!(t->line.err == GLIM_E_LIMIT
                ? glim_fail(e, GLIM_E_LIMIT, "a line is longer than %zu bytes", LINE_MAX_BYTES)
                : glim_fail(e, t->line.err, "no memory for a line of %zu bytes", t->line.n));
    return GLIM_LINE_ERROR;
}

#if defined(GLIM_HAVE_LIBEDIT)

static char *prompt_of(EditLine *el)
{
    glim_term *t = NULL;
    el_get(el, EL_CLIENTDATA, &t);
    return (char *)(uintptr_t)(t ? t->prompt : "");
}

/* libedit asks for characters here: 1 with *out, 0 at the end, -1 with errno. */
static int next_char(EditLine *el, wchar_t *out)
{
    glim_term *t = NULL;
    char b[4];
    el_get(el, EL_CLIENTDATA, &t);
    for (size_t n = 0; n < sizeof b;) {
        uint32_t cp;
        int byte = next_byte(t);
        if (byte < 0) return errno ? -1 : 0;
        b[n++] = (char)byte;
        if (glim_utf8_decode((glim_str){b, n}, &cp)) {
            *out = (wchar_t)cp;
            return 1;
        }
        if (glim_utf8_partial((glim_str){b, n}) != n) break;
    }
    *out = 0xFFFD;
    return 1;
}

/* Typed characters are shown by the locale's character set; one that is not UTF-8 would break every
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
    el_set(t->el, EL_GETCFN, next_char);
    el_set(t->el, EL_EDITOR, "emacs");
    el_set(t->el, EL_BIND, "^R", "em-inc-search-prev", NULL);
    t->history = history_init();
    if (!t->history) return;
    history(t->history, &ev, H_SETSIZE, HISTORY_LINES);
    history(t->history, &ev, H_SETUNIQUE, 1);
    el_set(t->el, EL_HIST, history, t->history);
    t->history_path = path;
    if (path && glim_is_file(path)) /* reading a device might never end */
        history(t->history, &ev, H_LOAD, path);
}

static void close_editor(glim_term *t)
{
    if (t->el) el_end(t->el);
    if (t->history) history_end(t->history);
}

/* Beside the old file, then in its place: when the disk is full the old lines stay. What somebody
 * made a link or a device is written to as it is. A failure is not worth disturbing a chat. */
static void save_history(History *h, const char *path)
{
    char temp[PATH_MAX];
    struct stat st;
    HistEvent ev;
    bool plain = lstat(path, &st) != 0 || S_ISREG(st.st_mode);
    int n = snprintf(temp, sizeof temp, "%s.new-%ld", path, (long)getpid());
    if (n < 0 || (size_t)n >= sizeof temp) return;
    FILE *f = fopen(plain ? temp : path, "w");
    if (!f) return;
    bool ok = history(h, &ev, H_SAVE_FP, f) >= 0 && fflush(f) == 0 && !ferror(f);
    if (fclose(f) != 0) ok = false;
    if (plain && (!ok || rename(temp, path) != 0)) (void)unlink(temp);
}

static void remember(glim_term *t, const char *line)
{
    HistEvent ev;
    if (!t->history || line[strspn(line, " \t\r\n")] == 0) return;
    history(t->history, &ev, H_ENTER, line);
    if (!t->history_path) return;
    /* Written after every line: a chat that is killed loses nothing. Only the owner may read it. */
    mode_t old = umask(077);
    save_history(t->history, t->history_path);
    umask(old);
}

static glim_line read_edited(glim_term *t, glim_error *e)
{
    int n = 0;
    /* Before the prompt, and not at the first character as libedit would by itself: a Ctrl-D that comes between the two
     * would be eaten by the terminal. */
    el_set(t->el, EL_PREP_TERM, 1);
    const char *line = el_gets(t->el, &n);
    if (!line) {
        bool stopped = glim_cli_interrupted();
        el_reset(t->el);
        if (stopped) fputc('\n', stdout);
        return stopped ? GLIM_LINE_INTERRUPTED : GLIM_LINE_END;
    }
    remember(t, line);
    if (glim_buf_add(&t->line, line, (size_t)GLIM_MAX(n, 0))) return line_failed(t, e);
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
    for (;;) {
        int byte = next_byte(t);
        if (byte < 0) break;
        if (glim_buf_addc(&t->line, (char)byte)) return line_failed(t, e);
        if (byte == '\n') return GLIM_LINE_OK;
    }
    if (errno == EINTR) return GLIM_LINE_INTERRUPTED;
    if (errno)
        return (void)!glim_fail(e, GLIM_E_IO, "standard input: %s", strerror(errno)),
               GLIM_LINE_ERROR;
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
