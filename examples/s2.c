/* SPDX-License-Identifier: MIT
 * s2.c - what the platform can do, one function each: chat, a stream, a picture, a role play, a search, a film, a conversation
 * that remembers, and every kind of error.
 *
 *     s2 chat|stream|image FILE|role|search|video|history|errors
 *
 * Key and address: ZHIPUAI_API_KEY, ZHIPUAI_BASE_URL.
 *
 *     cc s2.c $(pkg-config --cflags --libs glim-client) -o s2 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <glim/client.h>

#define STR(text) ((glim_str){text, strlen(text)})

/* ---- what goes wrong -------------------------------------------------------------------------------- */

/* One branch a class, as a program would have them. */
static int explain(const glim_client_report *r, const glim_error *e)
{
    const char *what = "something else";
    switch (r->fault) {
    case GLIM_FAULT_REQUEST:
        what = "the request is wrong (400)";
        break;
    case GLIM_FAULT_AUTH:
        what = "the key was refused (401)";
        break;
    case GLIM_FAULT_LIMIT:
        what = "too much was asked (429)";
        break;
    case GLIM_FAULT_INTERNAL:
        what = "the server failed (500)";
        break;
    case GLIM_FAULT_OVERLOADED:
        what = "the server is overloaded (503)";
        break;
    case GLIM_FAULT_STATUS:
        what = "another status";
        break;
    case GLIM_FAULT_TIMEOUT:
        what = "it took too long";
        break;
    case GLIM_FAULT_CONNECTION:
        what = "no connection";
        break;
    case GLIM_FAULT_STREAM:
        what = "the stream reported an error";
        break;
    case GLIM_FAULT_SHAPE:
        what = "the answer cannot be understood";
        break;
    case GLIM_FAULT_NONE:
    case GLIM_FAULT_LOCAL:
        what = "nothing came of it here";
        break;
    }
    /* e->msg has the server's text, its code and the id of the request. */
    fprintf(stderr, "%s, after %d tries: %s\n", what, r->n_try, e->msg);
    return 1;
}

/* ---- answers ------------------------------------------------------------------------------------------ */

static bool print(void *user, const glim_event *ev)
{
    (void)user;
    if (ev->kind == GLIM_EV_CONTENT) fwrite(ev->text.p, 1, ev->text.n, stdout);
    if (ev->kind == GLIM_EV_STOP)
        fprintf(stderr, "[%lld tokens]\n",
                (long long)(ev->usage->n_prompt + ev->usage->n_completion));
    fflush(stdout);
    return true;
}

static int ask(glim_client *c, glim_client_ask *a)
{
    glim_client_report report;
    glim_call call = {.report = &report};
    glim_error e;
    if (glim_client_chat(c, a, print, NULL, &call, &e)) return explain(&report, &e);
    putchar('\n');
    return 0;
}

static void begin(glim_client_ask *a, const char *model, const glim_message *messages, size_t n)
{
    glim_client_ask_init(a);
    a->model = model;
    a->chat.messages = messages;
    a->chat.n_message = n;
}

static int chat(glim_client *c, const char *file)
{
    glim_message m[] = {{.role = GLIM_ROLE_SYSTEM, .content = STR("You are a helpful assistant.")},
                        {.role = GLIM_ROLE_USER, .content = STR("Hello, ZhipuAI!")}};
    glim_client_ask a;
    (void)file;
    begin(&a, "glm-4", m, 2);
    a.whole = true; /* one answer instead of a stream; the events are the same */
    return ask(c, &a);
}

static int stream(glim_client *c, const char *file)
{
    glim_message m = {.role = GLIM_ROLE_USER, .content = STR("Tell me a story about AI.")};
    glim_client_ask a;
    (void)file;
    begin(&a, "glm-4", &m, 1);
    a.gen.temperature = 0.7f;
    a.gen.n_max = 1000;
    return ask(c, &a);
}

static int role(glim_client *c, const char *file)
{
    glim_message m = {.role = GLIM_ROLE_USER, .content = STR("Hello, how are you doing lately?")};
    glim_client_ask a;
    (void)file;
    begin(&a, "charglm-3", &m, 1);
    a.meta = STR("{\"user_info\":\"I am a film director who specializes in music-themed movies.\","
                 "\"bot_info\":\"You are a popular domestic female singer and actress.\","
                 "\"bot_name\":\"Xiaoya\",\"user_name\":\"Director\"}");
    return ask(c, &a);
}

static int search(glim_client *c, const char *file)
{
    glim_message m = {.role = GLIM_ROLE_USER, .content = STR("Search for the latest AI news")};
    glim_tool tool = {
        .json =
            STR("{\"type\":\"web_search\",\"web_search\":{\"search_query\":\"Search the Zhipu\","
                "\"search_result\":true}}")};
    glim_client_ask a;
    (void)file;
    begin(&a, "glm-4", &m, 1);
    a.chat.tools = &tool;
    a.chat.n_tool = 1;
    return ask(c, &a);
}

/* ---- a picture ------------------------------------------------------------------------------------------ */

/* {"type":"image_url",...} of a file; free() ends it. */
static char *picture_part(const char *path)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    static const char head[] =
        "{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/jpeg;base64,";
    unsigned char in[3];
    size_t n = 0, cap = sizeof head + 16, k;
    char *out = malloc(cap);
    FILE *f = fopen(path, "rb");
    if (!f || !out) goto failed;
    memcpy(out, head, n = sizeof head - 1);
    while ((k = fread(in, 1, 3, f)) > 0) {
        unsigned w =
            (unsigned)in[0] << 16 | (k > 1 ? (unsigned)in[1] << 8 : 0) | (k > 2 ? in[2] : 0u);
        if (n + 16 > cap) {
            char *more = realloc(out, cap *= 2);
            if (!more) goto failed;
            out = more;
        }
        for (size_t i = 0; i < 4; i++)
            out[n++] = i <= k ? letters[w >> (18 - 6 * i) & 63] : '=';
    }
    if (ferror(f)) goto failed;
    memcpy(out + n, "\"}}", 4);
    fclose(f);
    return out;
failed:
    perror(path);
    if (f) fclose(f);
    free(out);
    return NULL;
}

static int image(glim_client *c, const char *file)
{
    glim_client_ask a;
    char *part = picture_part(file);
    if (!part) return 1;
    glim_str parts[] = {STR("{\"type\":\"text\",\"text\":\"What's in this image?\"}"), STR(part)};
    glim_message m = {.role = GLIM_ROLE_USER, .parts = parts, .n_part = 2};
    begin(&a, "glm-4v", &m, 1);
    int status = ask(c, &a);
    free(part);
    return status;
}

/* ---- a film, which takes its time ------------------------------------------------------------------------ */

static bool waiting(void *user, double waited_s)
{
    (void)user;
    fprintf(stderr, "[waiting for %.0f s]\n", waited_s);
    return true;
}

static int video(glim_client *c, const char *file)
{
    glim_client_report report;
    glim_call call = {.report = &report};
    glim_error e;
    glim_task task, done;
    (void)file;
    if (glim_client_generate(
            c, "video",
            STR("{\"model\":\"cogvideox-2\",\"prompt\":\"A beautiful sunset beach scene\","
                "\"quality\":\"quality\",\"with_audio\":true,\"size\":\"1920x1080\",\"fps\":30,"
                "\"user_id\":\"user_12345\"}"),
            &call, &task, &e))
        return explain(&report, &e);
    char id[128];
    snprintf(id, sizeof id, "%.*s", (int)task.id.n, task.id.p);
    glim_task_free(&task);
    if (glim_client_wait(c, id, 0, 600, waiting, NULL, &call, &done, &e))
        return explain(&report, &e);
    for (size_t i = 0; i < done.n_file; i++)
        printf("%.*s\n", (int)done.files[i].url.n, done.files[i].url.p);
    int status = done.state == GLIM_TASK_DONE ? 0 : 1;
    if (status) fprintf(stderr, "the film could not be made\n");
    glim_task_free(&done);
    return status;
}

/* ---- a conversation that remembers, and stays short enough ------------------------------------------------- */

typedef struct turn {
    glim_history *history;
    char *text; /* of the answer so far */
    size_t n;
} turn;

static bool remember(void *user, const glim_event *ev)
{
    turn *t = user;
    if (ev->kind == GLIM_EV_CONTENT) {
        char *more = realloc(t->text, t->n + ev->text.n + 1);
        if (!more) return false; /* cancels */
        memcpy(more + t->n, ev->text.p, ev->text.n);
        t->text = more;
        t->n += ev->text.n;
    }
    if (ev->kind == GLIM_EV_STOP) glim_history_usage(t->history, ev->usage);
    return print(NULL, ev);
}

static int history(glim_client *c, const char *file)
{
    static const char *const questions[] = {"My name is Ada.", "What is a lambda?",
                                            "What is my name?"};
    glim_client_report report;
    glim_call call = {.report = &report};
    glim_error e = {0};
    turn t = {.history = glim_history_new(2000, NULL, NULL)};
    glim_err rc = t.history ? GLIM_OK : GLIM_E_NOMEM;
    (void)file;
    for (size_t i = 0; !rc && i < 3; i++) {
        glim_client_ask a;
        glim_message m = {.role = GLIM_ROLE_USER, .content = STR(questions[i])};
        rc = glim_history_add(t.history, &m, &e);
        if (rc) break;
        (void)glim_history_trim(t.history);
        begin(&a, "glm-4", NULL, 0);
        a.chat.messages = glim_history_messages(t.history, &a.chat.n_message);
        t.n = 0;
        rc = glim_client_chat(c, &a, remember, &t, &call, &e);
        putchar('\n');
        m = (glim_message){.role = GLIM_ROLE_ASSISTANT, .content = {t.text, t.n}};
        if (!rc) rc = glim_history_add(t.history, &m, &e);
    }
    glim_history_free(t.history);
    free(t.text);
    return rc ? explain(&report, &e) : 0;
}

/* ---- errors --------------------------------------------------------------------------------------------------- */

/* A model that nobody has. What the server says of it goes through explain(), as every other error here does. */
static int errors(glim_client *c, const char *file)
{
    glim_message m = {.role = GLIM_ROLE_USER, .content = STR("Hello!")};
    glim_client_ask a;
    (void)file;
    begin(&a, "no-such-model", &m, 1);
    return ask(c, &a);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*fn)(glim_client *c, const char *file);
    } samples[] = {{"chat", chat},       {"stream", stream}, {"image", image},
                   {"role", role},       {"search", search}, {"video", video},
                   {"history", history}, {"errors", errors}};
    glim_client_opts o;
    glim_client *c;
    glim_error e;
    for (size_t i = 0; i < sizeof samples / sizeof *samples && argc > 1; i++) {
        if (strcmp(argv[1], samples[i].name) != 0 || argc != (samples[i].fn == image ? 3 : 2))
            continue;
        glim_client_opts_init(&o);
        o.timeout_s = 300; /* these three are what it does by itself */
        o.connect_timeout_s = 8;
        o.n_retry = 3;
        if (glim_client_new(&o, &c, &e)) {
            fprintf(stderr, "s2: %s\n", e.msg);
            return 1;
        }
        int status = samples[i].fn(c, argc > 2 ? argv[2] : NULL);
        glim_client_free(c);
        return status;
    }
    fprintf(stderr, "s2 chat|stream|image FILE|role|search|video|history|errors\n");
    return 2;
}
