/* SPDX-License-Identifier: MIT
 * driver.c - the client library behind lines of JSON: each line of standard input is one call, each line of standard output
 * what came of it. Linked with libglim-client alone, as a program without an engine would be.
 * A call is {"do": NAME, ...}; its members are those of client.h. Beside them: "cancel_ms" cancels from another thread after
 * so long, "stop_after" lets the callback say no at its n-th call, "fail_at" refuses the n-th allocation of the call. */
#include "client/client_priv.h"
#include "failnth.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

typedef struct shot { /* one line and its answer */
    const glim_json *in;
    glim_arena *arena;
    glim_jw *w;
    glim_call call;
    glim_client_report report;
    glim_error e;
    int64_t stop_after, n_seen, fail_at;
    fail_nth fail;
    glim_buf text, reasoning;
    bool in_events;
} shot;

static glim_client *client;
static int64_t n_retry_asked, give_up_after;
static glim_buf waits;

static const char *code_name(glim_err rc)
{
    switch (rc) {
#define ERR(code, number, text, http, exit_status)                                                 \
    case GLIM_E_##code:                                                                            \
        return #code;
#include "glim/err.def"
#undef ERR
    }
    return "?";
}

static const char *str(const shot *s, const char *key)
{
    const glim_json *v = glim_json_get(s->in, key);
    if (!glim_json_is(v, GLIM_JSON_STRING)) return NULL;
    return glim_arena_str(s->arena, v->text).p;
}

static glim_str view(const shot *s, const char *key)
{
    const glim_json *v = glim_json_get(s->in, key);
    return v ? v->text : (glim_str){NULL, 0};
}

static double num(const shot *s, const char *key, double otherwise)
{
    double v;
    return glim_json_f64(glim_json_get(s->in, key), &v) ? v : otherwise;
}

static bool flag(const shot *s, const char *key)
{
    bool v = false;
    return glim_json_bool(glim_json_get(s->in, key), &v) && v;
}

static void put(glim_jw *w, const char *key, const char *v)
{
    glim_jw_key(w, key);
    glim_jw_str(w, glim_str_of(v));
}

static void puti(glim_jw *w, const char *key, int64_t v)
{
    glim_jw_key(w, key);
    glim_jw_i64(w, v);
}

/* Around a call whose memory may be refused. */
static void arm(shot *s)
{
    if (s->fail_at >= 0) fail_nth_begin(&s->fail, s->fail_at);
}

static glim_err disarm(shot *s, glim_err rc)
{
    if (s->fail_at < 0) return rc;
    fail_nth_end();
    puti(s->w, "hit", fail_nth_hit(&s->fail));
    return rc;
}

/* Room that no callback has to ask for. */
static void make_room(glim_buf *b)
{
    glim_buf_addf(b, "%*s", 1 << 20, "");
    glim_buf_clear(b);
}

/* ---- cancelling from elsewhere ------------------------------------------------------------------ */

typedef struct canceller {
    pthread_t thread;
    glim_cancel *k;
    double ms;
    atomic_bool over;
} canceller;

static void nap(double ms)
{
    struct timespec t = {(time_t)(ms / 1000),
                         (long)((ms - (double)((time_t)(ms / 1000)) * 1000) * 1e6)};
    nanosleep(&t, NULL);
}

static void *cancel_later(void *user)
{
    canceller *c = user;
    nap(c->ms);
    glim_cancel_now(c->k);
    return NULL;
}

/* ---- a client ------------------------------------------------------------------------------------------ */

static bool on_retry(void *user, const glim_client_report *why, int64_t wait_ms)
{
    (void)user;
    n_retry_asked++;
    glim_buf_addf(&waits, "%s%s:%d:%lld", waits.n ? " " : "", glim_fault_name(why->fault),
                  why->status, (long long)wait_ms);
    return give_up_after < 0 || n_retry_asked <= give_up_after;
}

static glim_err make_client(shot *s)
{
    glim_client_opts o;
    glim_client_opts_init(&o);
    o.provider = str(s, "provider");
    o.base_url = str(s, "base_url");
    o.api_key = str(s, "api_key");
    o.key_file = str(s, "key_file");
    o.jwt = flag(s, "jwt");
    o.model = str(s, "model");
    o.timeout_s = num(s, "timeout_s", o.timeout_s);
    o.connect_timeout_s = num(s, "connect_timeout_s", o.connect_timeout_s);
    o.n_retry = (int)num(s, "n_retry", o.n_retry);
    o.retry_wait_max_ms = (int64_t)num(s, "retry_wait_max_ms", (double)o.retry_wait_max_ms);
    o.proxy = str(s, "proxy");
    o.ca_file = str(s, "ca_file");
    o.reply_max = (uint64_t)num(s, "reply_max", (double)o.reply_max);
    o.on_retry = on_retry;
    give_up_after = (int64_t)num(s, "give_up_after", -1);
    glim_client_free(client);
    client = NULL;
    glim_err rc = glim_client_new(&o, &client, &s->e);
    if (!rc) put(s->w, "url", glim_client_base_url(client));
    if (!rc) put(s->w, "provider", glim_client_provider(client));
    return rc;
}

/* ---- chats ----------------------------------------------------------------------------------------------- */

static bool on_event(void *user, const glim_event *ev)
{
    shot *s = user;
    glim_jw *w = s->w;
    if (ev->kind == GLIM_EV_CONTENT) {
        glim_buf_addv(&s->text, ev->text);
    } else if (ev->kind == GLIM_EV_REASONING) {
        glim_buf_addv(&s->reasoning, ev->text);
    } else if (ev->kind == GLIM_EV_CALL_END || ev->kind == GLIM_EV_CALL_BROKEN ||
               ev->kind == GLIM_EV_CALL_BEGIN) {
        glim_jw_object(w);
        puti(w, "kind", ev->kind - GLIM_EV_CALL_BEGIN);
        puti(w, "i", (int64_t)ev->i_call);
        glim_jw_key(w, "name");
        glim_jw_str(w, ev->name);
        glim_jw_key(w, "text");
        glim_jw_str(w, ev->text);
        glim_jw_object_end(w);
    } else if (ev->kind == GLIM_EV_STOP) {
        glim_jw_object(w);
        puti(w, "stop", ev->reason);
        puti(w, "n_prompt", ev->usage ? ev->usage->n_prompt : -1);
        puti(w, "n_completion", ev->usage ? ev->usage->n_completion : -1);
        puti(w, "n_cached", ev->usage ? ev->usage->n_cached : -1);
        glim_jw_object_end(w);
    }
    return ++s->n_seen != s->stop_after;
}

static glim_role role_of(glim_str s)
{
    if (glim_str_is(s, "system")) return GLIM_ROLE_SYSTEM;
    if (glim_str_is(s, "assistant")) return GLIM_ROLE_ASSISTANT;
    return glim_str_is(s, "tool") ? GLIM_ROLE_TOOL : GLIM_ROLE_USER;
}

static void read_calls(const shot *s, const glim_json *list, glim_message *m)
{
    if (!list) return;
    glim_tool_call *calls = GLIM_ARENA_ARRAY(s->arena, glim_tool_call, list->n_child + 1);
    GLIM_JSON_EACH(v, list)
    {
        const glim_json *f = glim_json_get(v, "function");
        calls[m->n_call++] = (glim_tool_call){.id = glim_member_str(v, "id"),
                                              .name = glim_member_str(f, "name"),
                                              .arguments = glim_member_str(f, "arguments")};
    }
    m->calls = calls;
}

static void read_ask(const shot *s, glim_client_ask *a)
{
    const glim_json *list = glim_json_get(s->in, "messages"),
                    *tools = glim_json_get(s->in, "tools");
    glim_client_ask_init(a);
    glim_message *m = GLIM_ARENA_ARRAY(s->arena, glim_message, (list ? list->n_child : 0) + 1);
    a->chat.messages = m;
    GLIM_JSON_EACH(v, list)
    {
        const glim_json *content = glim_json_get(v, "content");
        *m = (glim_message){.role = role_of(glim_member_str(v, "role")),
                            .content = glim_member_str(v, "content"),
                            .tool_call_id = glim_member_str(v, "tool_call_id")};
        if (glim_json_is(content, GLIM_JSON_ARRAY)) {
            glim_str *parts = GLIM_ARENA_ARRAY(s->arena, glim_str, content->n_child + 1);
            m->parts = parts;
            GLIM_JSON_EACH(p, content)
            parts[m->n_part++] = p->text;
        }
        read_calls(s, glim_json_get(v, "tool_calls"), m);
        m++;
        a->chat.n_message++;
    }
    glim_tool *t = GLIM_ARENA_ARRAY(s->arena, glim_tool, (tools ? tools->n_child : 0) + 1);
    a->chat.tools = t;
    GLIM_JSON_EACH(v, tools)
    {
        t[a->chat.n_tool++] = (glim_tool){
            .name = glim_member_str(glim_json_get(v, "function"), "name"), .json = v->text};
    }
    const glim_json *think = glim_json_get(s->in, "think");
    if (think) a->chat.think = think->type == GLIM_JSON_TRUE ? GLIM_ON : GLIM_OFF;
    a->model = str(s, "model");
    a->whole = flag(s, "whole");
    a->json_object = flag(s, "json_object");
    a->meta = view(s, "meta");
    a->extra = view(s, "extra");
    a->user_id = str(s, "user_id");
    if (glim_json_get(s->in, "temperature")) a->gen.temperature = (float)num(s, "temperature", 0);
    a->gen.n_max = (int64_t)num(s, "max_tokens", -1);
}

static glim_err chat(shot *s)
{
    glim_client_ask a;
    read_ask(s, &a);
    glim_jw_key(s->w, "events");
    glim_jw_array(s->w);
    arm(s);
    glim_err rc = glim_client_chat(client, &a, on_event, s, &s->call, &s->e);
    if (s->fail_at >= 0) fail_nth_end();
    glim_jw_array_end(s->w);
    rc = disarm(s, rc);
    glim_jw_key(s->w, "text");
    glim_jw_str(s->w, s->text.p ? glim_buf_view(&s->text) : GLIM_STR(""));
    glim_jw_key(s->w, "reasoning");
    glim_jw_str(s->w, s->reasoning.p ? glim_buf_view(&s->reasoning) : GLIM_STR(""));
    return rc;
}

static glim_err count(shot *s)
{
    glim_client_ask a;
    int64_t n = -1;
    read_ask(s, &a);
    glim_err rc = glim_client_count(client, &a, &s->call, &n, &s->e);
    puti(s->w, "n", n);
    return rc;
}

/* ---- many at once ------------------------------------------------------------------------------------------ */

typedef struct member {
    pthread_t thread;
    int i, n_round;
    bool cancels;
    glim_err rc;
    int n_wrong;
    char msg[512];
} member;

typedef struct echo {
    glim_buf text;
} echo;

static bool on_echo(void *user, const glim_event *ev)
{
    echo *x = user;
    if (ev->kind == GLIM_EV_CONTENT) glim_buf_addv(&x->text, ev->text);
    return true;
}

static void *crowd_member(void *user)
{
    member *m = user;
    for (int k = 0; k < m->n_round; k++) {
        char text[64], expected[80];
        glim_error e = {0};
        glim_client_ask a;
        echo x;
        canceller killer = {.k = NULL};
        glim_call call = {.cancel = NULL};
        glim_buf_init(&x.text, 4096);
        snprintf(text, sizeof text, "number %d of %d", k, m->i);
        snprintf(expected, sizeof expected, "echo: %s", text);
        glim_message msg = {.role = GLIM_ROLE_USER, .content = glim_str_of(text)};
        glim_client_ask_init(&a);
        a.chat.messages = &msg;
        a.chat.n_message = 1;
        a.whole = (m->i + k) % 3 == 0;
        if (m->cancels && (m->i + k) % 2) {
            killer.k = call.cancel = glim_cancel_new();
            killer.ms = (double)((m->i * 7 + k * 3) % 40);
            pthread_create(&killer.thread, NULL, cancel_later, &killer);
        }
        glim_err rc = glim_client_chat(client, &a, on_echo, &x, &call, &e);
        if (killer.k) {
            pthread_join(killer.thread, NULL);
            glim_cancel_free(killer.k);
        }
        bool ok =
            rc ? killer.k && rc == GLIM_E_CANCELLED : glim_str_is(glim_buf_view(&x.text), expected);
        if (!ok) {
            m->n_wrong++;
            m->rc = rc;
            snprintf(m->msg, sizeof m->msg, "%s", e.msg);
        }
        glim_buf_deinit(&x.text);
    }
    return NULL;
}

static glim_err crowd(shot *s)
{
    int n = (int)num(s, "n", 10), wrong = 0;
    member *all = glim_alloc_array((size_t)n, sizeof *all);
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 512 << 10);
    for (int i = 0; i < n; i++) {
        all[i] =
            (member){.i = i, .n_round = (int)num(s, "rounds", 1), .cancels = flag(s, "cancels")};
        pthread_create(&all[i].thread, &attr, crowd_member, &all[i]);
    }
    for (int i = 0; i < n; i++) {
        pthread_join(all[i].thread, NULL);
        wrong += all[i].n_wrong;
        if (all[i].n_wrong && wrong == all[i].n_wrong) put(s->w, "first", all[i].msg);
    }
    glim_free(all);
    pthread_attr_destroy(&attr);
    puti(s->w, "wrong", wrong);
    return GLIM_OK;
}

/* ---- everything else ------------------------------------------------------------------------------------------ */

static bool on_progress(void *user, uint64_t done, uint64_t total)
{
    shot *s = user;
    (void)done;
    (void)total;
    return ++s->n_seen != s->stop_after;
}

static bool on_wait(void *user, double waited)
{
    (void)waited;
    return on_progress(user, 0, 0);
}

static bool on_data(void *user, glim_str data)
{
    shot *s = user;
    glim_jw_str(s->w, data);
    return ++s->n_seen != s->stop_after;
}

static void show_task(shot *s, glim_task *t)
{
    puti(s->w, "state", t->state);
    glim_jw_key(s->w, "id");
    glim_jw_str(s->w, t->id);
    glim_jw_key(s->w, "body");
    glim_jw_str(s->w, t->body);
    glim_jw_key(s->w, "files");
    glim_jw_array(s->w);
    for (size_t i = 0; i < t->n_file; i++) {
        glim_jw_str(s->w, t->files[i].url);
        if (t->files[i].cover_url.n) glim_jw_str(s->w, t->files[i].cover_url);
    }
    glim_jw_array_end(s->w);
    glim_task_free(t);
}

static glim_err tasks(shot *s, const char *what)
{
    glim_task t = {0};
    glim_client_ask a;
    glim_err rc;
    if (strcmp(what, "later") == 0) {
        read_ask(s, &a);
        rc = glim_client_chat_later(client, &a, &s->call, &t, &s->e);
    } else if (strcmp(what, "generate") == 0) {
        const char *kind = str(s, "kind");
        arm(s);
        rc = disarm(s, glim_client_generate(client, kind, view(s, "fields"), &s->call, &t, &s->e));
    } else if (strcmp(what, "task") == 0) {
        rc = glim_client_task(client, str(s, "id"), &s->call, &t, &s->e);
    } else {
        rc = glim_client_wait(client, str(s, "id"), num(s, "first_s", 0), num(s, "limit_s", 0),
                              on_wait, s, &s->call, &t, &s->e);
        puti(s->w, "looks", s->n_seen + 1);
    }
    if (!rc) show_task(s, &t);
    return rc;
}

static void show_file(glim_jw *w, const glim_client_file *f)
{
    glim_jw_object(w);
    put(w, "id", f->id);
    put(w, "purpose", f->purpose);
    glim_jw_key(w, "name");
    glim_jw_str(w, f->name);
    puti(w, "bytes", (int64_t)f->bytes);
    glim_jw_object_end(w);
}

static glim_err files(shot *s, const char *what)
{
    glim_client_file f, *list = NULL;
    size_t n = 0;
    glim_err rc;
    if (strcmp(what, "upload") == 0) {
        const char *path = str(s, "path"), *purpose = str(s, "purpose");
        arm(s);
        rc = disarm(s, glim_client_upload(client, path, purpose, &s->call, &f, &s->e));
        if (rc) return rc;
        glim_jw_key(s->w, "file");
        show_file(s->w, &f);
        glim_client_file_free(&f);
        return GLIM_OK;
    }
    if (strcmp(what, "delete") == 0)
        return glim_client_file_delete(client, str(s, "id"), &s->call, &s->e);
    if (strcmp(what, "content") == 0)
        return glim_client_file_content(client, str(s, "id"), str(s, "path"), &s->call, &s->e);
    const char *purpose = str(s, "purpose");
    arm(s);
    rc = disarm(s, glim_client_files(client, purpose, &s->call, &list, &n, &s->e));
    glim_jw_key(s->w, "files");
    glim_jw_array(s->w);
    for (size_t i = 0; i < n; i++)
        show_file(s->w, &list[i]);
    glim_jw_array_end(s->w);
    glim_client_files_free(list, n);
    return rc;
}

static glim_err batches(shot *s, const char *what)
{
    glim_client_batch b;
    glim_err rc = strcmp(what, "batch_new") == 0
                      ? glim_client_batch_new(client, str(s, "input"), str(s, "endpoint"), &s->call,
                                              &b, &s->e)
                  : strcmp(what, "batch_get") == 0
                      ? glim_client_batch_get(client, str(s, "id"), &s->call, &b, &s->e)
                      : glim_client_batch_cancel(client, str(s, "id"), &s->call, &b, &s->e);
    put(s->w, "id", b.id);
    put(s->w, "status", b.status);
    put(s->w, "output", b.output_file);
    put(s->w, "error", b.error_file);
    put(s->w, "why", b.message);
    puti(s->w, "total", b.n_total);
    puti(s->w, "completed", b.n_completed);
    puti(s->w, "failed", b.n_failed);
    puti(s->w, "over", b.over);
    return rc;
}

static glim_str *texts_of(const shot *s, const char *key, size_t *n)
{
    const glim_json *list = glim_json_get(s->in, key);
    glim_str *v = GLIM_ARENA_ARRAY(s->arena, glim_str, (list ? list->n_child : 0) + 1);
    *n = 0;
    GLIM_JSON_EACH(m, list)
    v[(*n)++] = m->text;
    return v;
}

static glim_err encoders(shot *s, const char *what)
{
    size_t n, n_out = 0;
    if (strcmp(what, "embed") == 0) {
        glim_vectors v;
        glim_str *texts = texts_of(s, "texts", &n);
        const char *model = str(s, "model");
        int64_t n_dim = (int64_t)num(s, "n_dim", 0);
        arm(s);
        glim_err rc =
            disarm(s, glim_client_embed(client, model, texts, n, n_dim, &s->call, &v, &s->e));
        puti(s->w, "n", (int64_t)v.n);
        puti(s->w, "n_dim", (int64_t)v.n_dim);
        puti(s->w, "n_token", v.n_token);
        glim_jw_key(s->w, "first"); /* of each vector */
        glim_jw_array(s->w);
        for (size_t i = 0; i < v.n; i++)
            glim_jw_f32(s->w, v.v[i * v.n_dim]);
        glim_jw_array_end(s->w);
        glim_vectors_free(&v);
        return rc;
    }
    glim_str *documents = texts_of(s, "documents", &n);
    glim_ranked *r = GLIM_ARENA_ARRAY(s->arena, glim_ranked, n + 1);
    glim_err rc = glim_client_rerank(client, str(s, "model"), view(s, "query"), documents, n,
                                     (size_t)num(s, "top_n", 0), &s->call, r, &n_out, &s->e);
    glim_jw_key(s->w, "ranks");
    glim_jw_array(s->w);
    for (size_t i = 0; i < n_out; i++) {
        glim_jw_u64(s->w, r[i].i_document);
        glim_jw_f64(s->w, r[i].score);
    }
    glim_jw_array_end(s->w);
    return rc;
}

static glim_err replies(shot *s, const char *what)
{
    glim_client_reply r = {0};
    glim_err rc;
    if (strcmp(what, "search") == 0) {
        rc = glim_client_search(client, str(s, "engine"), view(s, "query"),
                                (int64_t)num(s, "count", 0), &s->call, &r, &s->e);
    } else if (strcmp(what, "read") == 0) {
        rc = glim_client_read_page(client, str(s, "url"), &s->call, &r, &s->e);
    } else {
        glim_form_part form = {.name = str(s, "part"), .path = str(s, "file")};
        glim_client_raw raw = {.method = str(s, "method"),
                               .path = str(s, "path"),
                               .body = view(s, "body"),
                               .form = form.name ? &form : NULL,
                               .n_form = form.name ? 1 : 0,
                               .user = s,
                               .event = flag(s, "stream") ? on_data : NULL};
        glim_jw_key(s->w, "data");
        glim_jw_array(s->w);
        rc = glim_client_call(client, &raw, &s->call, &r, &s->e);
        glim_jw_array_end(s->w);
    }
    puti(s->w, "status", r.status);
    glim_jw_key(s->w, "type");
    glim_jw_str(s->w, r.type);
    glim_jw_key(s->w, "body");
    glim_jw_str(s->w, r.body);
    glim_client_reply_free(&r);
    return rc;
}

static glim_err models(shot *s)
{
    glim_names v;
    glim_err rc = glim_client_models(client, &s->call, &v, &s->e);
    glim_jw_key(s->w, "names");
    glim_jw_array(s->w);
    for (size_t i = 0; i < v.n; i++)
        glim_jw_str(s->w, v.p[i]);
    glim_jw_array_end(s->w);
    glim_names_free(&v);
    return rc;
}

static bool is_one(const char *what, const char *list)
{
    size_t n = strlen(what);
    for (const char *at = strstr(list, what); at; at = strstr(at + 1, what))
        if ((at == list || at[-1] == ' ') && (at[n] == ' ' || !at[n])) return true;
    return false;
}

static glim_err dispatch(shot *s, const char *what)
{
    if (strcmp(what, "new") == 0) return make_client(s);
    if (!client) return glim_fail(&s->e, GLIM_E_STATE, "driver: no client");
    if (strcmp(what, "chat") == 0) return chat(s);
    if (strcmp(what, "count") == 0) return count(s);
    if (strcmp(what, "crowd") == 0) return crowd(s);
    if (strcmp(what, "models") == 0) return models(s);
    if (is_one(what, "later generate task wait")) return tasks(s, what);
    if (is_one(what, "upload files delete content")) return files(s, what);
    if (is_one(what, "batch_new batch_get batch_cancel")) return batches(s, what);
    if (is_one(what, "embed rerank")) return encoders(s, what);
    if (is_one(what, "search read call")) return replies(s, what);
    if (strcmp(what, "download") == 0) {
        const char *url = str(s, "url"), *path = str(s, "path");
        uint64_t size_max = (uint64_t)num(s, "size_max", 0);
        arm(s);
        return disarm(
            s, glim_client_download(client, url, path, size_max, on_progress, s, &s->call, &s->e));
    }
    return glim_fail(&s->e, GLIM_E_STATE, "driver: no such call");
}

static void answer(const char *line, size_t n)
{
    glim_buf out;
    glim_jw w;
    glim_json *in = NULL;
    shot s = {.arena = glim_arena_new((size_t)1 << 30), .w = &w};
    canceller killer = {.k = NULL};
    glim_buf_init(&out, (size_t)1 << 28);
    glim_buf_init(&s.text, (size_t)1 << 26);
    glim_buf_init(&s.reasoning, (size_t)1 << 26);
    glim_buf_init(&waits, 65536);
    make_room(&out);
    glim_jw_init(&w, &out);
    glim_jw_object(&w);
    n_retry_asked = 0;
    glim_err rc = glim_json_parse(s.arena, (glim_str){line, n}, &in, &s.e);
    if (!rc) {
        s.in = in;
        s.stop_after = (int64_t)num(&s, "stop_after", -1);
        s.fail_at = (int64_t)num(&s, "fail_at", -1);
        if (s.fail_at >= 0) {
            make_room(&s.text);
            make_room(&s.reasoning);
        }
        s.call.report = &s.report;
        s.call.request_id = str(&s, "request_id");
        s.call.timeout_s = num(&s, "call_timeout_s", 0);
        if (glim_json_get(in, "cancel_ms")) {
            killer.k = s.call.cancel = glim_cancel_new();
            killer.ms = num(&s, "cancel_ms", 0);
            pthread_create(&killer.thread, NULL, cancel_later, &killer);
        }
        uint64_t began = glim_now_ns();
        rc = dispatch(&s, str(&s, "do"));
        glim_jw_key(&w, "ms");
        glim_jw_f64(&w, (double)(glim_now_ns() - began) / 1e6);
        if (killer.k) {
            pthread_join(killer.thread, NULL);
            glim_cancel_free(killer.k);
        }
    }
    put(&w, "rc", code_name(rc));
    put(&w, "msg", rc ? s.e.msg : "");
    put(&w, "fault", glim_fault_name(s.report.fault));
    puti(&w, "http", s.report.status);
    put(&w, "code", s.report.code);
    put(&w, "message", s.report.message);
    put(&w, "request_id", s.report.request_id);
    puti(&w, "retry_after_ms", s.report.retry_after_ms);
    puti(&w, "n_try", s.report.n_try);
    put(&w, "waits", waits.p ? waits.p : "");
    puti(&w, "n_seen", s.n_seen);
    glim_jw_object_end(&w);
    printf("%s\n", out.err ? "{\"rc\":\"driver\"}" : out.p);
    fflush(stdout);
    glim_buf_deinit(&out);
    glim_buf_deinit(&s.text);
    glim_buf_deinit(&s.reasoning);
    glim_buf_deinit(&waits);
    glim_arena_free(s.arena);
}

int main(void)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    while ((n = getline(&line, &cap, stdin)) > 0)
        answer(line, (size_t)n);
    free(line);
    glim_client_free(client);
    return 0;
}
