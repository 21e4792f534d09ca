/* SPDX-License-Identifier: MIT
 * answer.c - an answer shown while it is made: thought grey on standard error, text on standard
 * output; and Ctrl-C. Thread: main; the signal handler only sets a mark and cancels the watched
 * session and call. */
#include <signal.h>

#include "cli/cli_priv.h"

#define GREY "\x1b[90m"
#define PLAIN "\x1b[0m"

/* ---- Ctrl-C ---------------------------------------------------------------------------------- */

static volatile sig_atomic_t interrupts;
static glim_session *volatile watched;
static glim_cancel *volatile watched_call;

static void on_interrupt(int sig)
{
    if (interrupts++) {
        /* Asked a second time: whatever hangs, the program ends as if it had never caught the
         * signal. */
        signal(sig, SIG_DFL);
        raise(sig);
        return;
    }
    glim_session *s = watched;
    if (s) glim_session_cancel(s);
    glim_cancel *k = watched_call;
    if (k) glim_cancel_now(k);
}

void glim_cli_catch_interrupt(void)
{
    struct sigaction sa = {.sa_handler =
                               on_interrupt}; /* no SA_RESTART: waiting for a line must end too */
    sigemptyset(&sa.sa_mask);
    sigaction(SIGINT, &sa, NULL);
}

bool glim_cli_interrupted(void)
{
    return interrupts != 0;
}

void glim_cli_clear_interrupt(void)
{
    interrupts = 0;
}

void glim_cli_watch(glim_session *s)
{
    watched = s;
}

void glim_cli_watch_call(glim_cancel *k)
{
    watched_call = k;
}

/* ---- printer --------------------------------------------------------------------------------- */

glim_err glim_printer_init(glim_printer *p, bool silent, glim_error *e)
{
    *p = (glim_printer){.silent = silent, .grey = glim_term_colour(stderr), .at_line_start = true};
    p->col = glim_collector_new();
    if (!p->col) return glim_fail(e, GLIM_E_NOMEM, "no memory for the answer");
    glim_buf_init(&p->logprobs, SIZE_MAX / 2);
    glim_progress_begin(&p->progress);
    return GLIM_OK;
}

void glim_printer_deinit(glim_printer *p)
{
    glim_collector_free(p->col);
    glim_buf_deinit(&p->logprobs);
    p->col = NULL;
}

/* ---- log-probabilities, in the shape OpenAI's clients know ----------------------------------- */

static void write_logprob(glim_jw *w, const glim_logprob *lp)
{
    glim_jw_key(w, "token");
    glim_jw_str(w, lp->bytes); /* U+FFFD where a token is part of a character; bytes has them all */
    glim_jw_key(w, "id");
    glim_jw_i64(w, lp->id);
    glim_jw_key(w, "bytes");
    glim_jw_array(w);
    for (size_t i = 0; i < lp->bytes.n; i++)
        glim_jw_i64(w, (unsigned char)lp->bytes.p[i]);
    glim_jw_array_end(w);
    glim_jw_key(w, "logprob");
    glim_jw_f32(w, lp->logprob);
}

static void keep_logprobs(glim_printer *p, const glim_event *ev)
{
    glim_jw *w = &p->logprobs_w;
    if (p->logprobs.n == 0) {
        glim_jw_init(w, &p->logprobs);
        glim_jw_array(w);
    }
    glim_jw_object(w);
    write_logprob(w, &ev->logprobs->chosen);
    glim_jw_key(w, "reasoning");
    glim_jw_bool(w, ev->in_reasoning);
    glim_jw_key(w, "top_logprobs");
    glim_jw_array(w);
    for (size_t i = 0; i < ev->logprobs->n_top; i++) {
        glim_jw_object(w);
        write_logprob(w, &ev->logprobs->top[i]);
        glim_jw_object_end(w);
    }
    glim_jw_array_end(w);
    glim_jw_object_end(w);
}

glim_str glim_printer_logprobs(glim_printer *p)
{
    if (p->logprobs.n == 0) return (glim_str){NULL, 0};
    glim_jw_array_end(&p->logprobs_w);
    return p->logprobs.err ? (glim_str){NULL, 0} : glim_buf_view(&p->logprobs);
}

static void end_reasoning(glim_printer *p)
{
    if (p->shown != GLIM_SHOWN_REASONING) return;
    if (p->grey) fputs(PLAIN, stderr);
    fputs(glim_term_is(stderr) ? "\n\n" : "\n", stderr);
    fflush(stderr);
}

static void show_reasoning(glim_printer *p, glim_str text)
{
    if (p->shown != GLIM_SHOWN_REASONING && p->grey) fputs(GREY, stderr);
    p->shown = GLIM_SHOWN_REASONING;
    glim_cli_text(stderr, text);
    fflush(stderr);
}

static void show_content(glim_printer *p, glim_str text)
{
    if (text.n == 0) return;
    end_reasoning(p);
    p->shown = GLIM_SHOWN_CONTENT;
    glim_cli_text(stdout, text);
    fflush(stdout);
    p->at_line_start = text.p[text.n - 1] == '\n';
}

bool glim_printer_event(void *printer, const glim_event *ev)
{
    glim_printer *p = printer;
    bool go_on = glim_collector_event(p->col, ev);
    glim_cli_show_plan();
    if (ev->kind == GLIM_EV_LOGPROBS) keep_logprobs(p, ev);
    if (ev->kind == GLIM_EV_PROGRESS) {
        if (ev->n_done < ev->n_total)
            glim_progress_show(&p->progress, "reading the prompt", (uint64_t)ev->n_done,
                               (uint64_t)ev->n_total, "tokens");
    } else {
        glim_progress_end(&p->progress);
    }
    if (!p->silent) {
        bool thought =
            ev->kind == GLIM_EV_REASONING || (ev->kind == GLIM_EV_CALL_BROKEN && ev->in_reasoning);
        if (thought && ev->text.n)
            show_reasoning(p, ev->text);
        else if (ev->kind == GLIM_EV_CONTENT ||
                 (ev->kind == GLIM_EV_CALL_BROKEN && !ev->in_reasoning))
            show_content(p, ev->text);
    }
    return go_on && !glim_cli_interrupted();
}

static void show_calls(glim_printer *p, const glim_answer *a)
{
    for (size_t i = 0; i < a->n_call; i++) {
        glim_buf b;
        glim_jw w;
        glim_error e;
        if (!p->at_line_start) fputc('\n', stdout);
        p->at_line_start = true;
        glim_buf_init(&b, SIZE_MAX / 2);
        glim_jw_init(&w, &b);
        glim_jw_object(&w);
        glim_jw_key(&w, "name");
        glim_jw_str(&w, a->calls[i].name);
        glim_jw_key(&w, "arguments");
        glim_jw_raw(&w, a->calls[i].arguments);
        glim_jw_object_end(&w);
        glim_buf_addc(&b, '\n');
        /* The writer leaves control characters escaped: nothing here can drive a terminal. */
        (void)!glim_cli_emit(&b, &e);
    }
}

void glim_printer_finish(glim_printer *p, const glim_answer *a)
{
    glim_progress_end(&p->progress);
    if (p->silent) return;
    end_reasoning(p);
    if (a) show_calls(p, a);
    if (!p->at_line_start && glim_term_is(stdout)) fputc('\n', stdout);
    fflush(stdout);
}

/* ---- results --------------------------------------------------------------------------------- */

const char *glim_finish_reason(const glim_answer *a)
{
    switch (a->reason) {
    case GLIM_STOP_LENGTH:
    case GLIM_STOP_CONTEXT:
    case GLIM_STOP_LOOP:
        return "length";
    case GLIM_STOP_CANCEL:
        return "cancelled";
    case GLIM_STOP_NONE:
    case GLIM_STOP_END:
    case GLIM_STOP_STRING:
        break;
    }
    return a->n_call ? "tool_calls" : "stop";
}

void glim_write_calls(glim_jw *w, const glim_tool_call *calls, size_t n)
{
    glim_jw_array(w);
    for (size_t i = 0; i < n; i++) {
        glim_jw_object(w);
        glim_jw_key(w, "id");
        glim_jw_str(w, calls[i].id);
        glim_jw_key(w, "type");
        glim_jw_str(w, GLIM_STR("function"));
        glim_jw_key(w, "function");
        glim_jw_object(w);
        glim_jw_key(w, "name");
        glim_jw_str(w, calls[i].name);
        glim_jw_key(w, "arguments");
        glim_jw_str(w, calls[i].arguments);
        glim_jw_object_end(w);
        glim_jw_object_end(w);
    }
    glim_jw_array_end(w);
}

glim_err glim_printer_result(glim_printer *p, const glim_cli *c, const glim_answer *a, glim_err rc,
                             const char *where, glim_error *e)
{
    /* An answer that was stopped by hand is still printed, then reported as what it is. */
    bool cancelled = rc == GLIM_E_CANCELLED || (!rc && a && a->reason == GLIM_STOP_CANCEL);
    if ((!rc || cancelled) && !a)
        return glim_fail(e, GLIM_E_NOMEM, "no memory for the whole answer");
    if ((!rc || cancelled) && p->silent) {
        glim_answer whole = *a;
        if (cancelled)
            whole.reason = GLIM_STOP_CANCEL; /* another server's ends without saying so */
        rc = glim_cli_print_answer(&whole, glim_printer_logprobs(p), where, e);
    }
    if (cancelled && a->usage.n_completion)
        return glim_fail(e, GLIM_E_CANCELLED, "cancelled after %lld tokens",
                         (long long)a->usage.n_completion);
    if (cancelled) return glim_fail(e, GLIM_E_CANCELLED, "cancelled");
    if (!rc && !p->silent && glim_term_is(stderr) && strcmp(glim_finish_reason(a), "length") == 0)
        glim_cli_say(c, a->reason == GLIM_STOP_LOOP ? "stopped: the answer only repeated itself"
                        : a->reason == GLIM_STOP_CONTEXT ? "the context is full (--ctx)"
                                                         : "cut at --max-tokens");
    return rc;
}
