/* SPDX-License-Identifier: MIT
 * script.h - scripted events through a dialect's reply, and the joining of a stream's chunks as a
 * client does it. */
#ifndef GLIM_TESTS_API_SCRIPT_H
#define GLIM_TESTS_API_SCRIPT_H

#include "api/api.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define R(s)                                                                                       \
    {                                                                                              \
        .kind = GLIM_EV_REASONING, .text = {(s), sizeof(s) - 1 }                                   \
    }
#define C(s)                                                                                       \
    {                                                                                              \
        .kind = GLIM_EV_CONTENT, .text = {(s), sizeof(s) - 1 }                                     \
    }
#define CALL(i, name_)                                                                             \
    {                                                                                              \
        .kind = GLIM_EV_CALL_BEGIN, .i_call = (i), .name = {(name_), sizeof(name_) - 1}, .id = {   \
            "call_0123456789abcdef0000000" #i,                                                     \
            29                                                                                     \
        }                                                                                          \
    }
#define ARG(i, key_, value)                                                                        \
    {                                                                                              \
        .kind = GLIM_EV_CALL_ARG, .i_call = (i), .key = {(key_), sizeof(key_) - 1}, .text = {      \
            (value),                                                                               \
            sizeof(value) - 1                                                                      \
        }                                                                                          \
    }
#define END(i, json)                                                                               \
    {                                                                                              \
        .kind = GLIM_EV_CALL_END, .i_call = (i), .text = {(json), sizeof(json) - 1 }               \
    }
#define BROKEN(i, raw)                                                                             \
    {                                                                                              \
        .kind = GLIM_EV_CALL_BROKEN, .i_call = (i), .text = {(raw), sizeof(raw) - 1 }              \
    }
#define STOP(why, u)                                                                               \
    {                                                                                              \
        .kind = GLIM_EV_STOP, .reason = (why), .usage = (u)                                        \
    }
#define STOP_AT(why, u, s)                                                                         \
    {                                                                                              \
        .kind = GLIM_EV_STOP, .reason = (why), .usage = (u), .stop_text = {(s), sizeof(s) - 1 }    \
    }

static const glim_reply_info script_info = {
    .id = {"0123456789abcdef01234567", 24},
    .request_id = {"req-7", 5},
    .model = {"glm-4.7-flash", 13},
    .created_s = 1700000000,
    .fingerprint = {"fp_1", 4},
};
#define SCRIPT_HEAD(prefix, object)                                                                \
    "{\"id\":\"" prefix "0123456789abcdef01234567\",\"object\":\"" object                          \
    "\",\"created\":1700000000,\"model\":\"glm-4.7-flash\",\"system_fingerprint\":\"fp_1\","       \
    "\"choices\":["
#define SCRIPT_ZHIPU(object)                                                                       \
    "{\"id\":\"0123456789abcdef01234567\",\"request_id\":\"req-7\",\"object\":\"" object           \
    "\",\"created\":1700000000,\"model\":\"glm-4.7-flash\",\"choices\":["

static inline glim_request script_request(bool stream)
{
    glim_request rq = {.n = 1, .stream = stream, .tool_stream = true};
    glim_gen_opts_init(&rq.gen);
    return rq;
}

/* All events for choice 0, then the end; the caller ends out with glim_buf_deinit(). */
static inline glim_buf script_run(const glim_dialect *d, const glim_request *rq,
                                  const glim_reply_info *info, const glim_event *ev, size_t n)
{
    glim_buf out;
    glim_buf_init(&out, 16 << 20);
    glim_reply *r = d->reply_new(rq, info);
    assert_non_null(r);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(d->event(r, 0, &ev[i], &out), GLIM_OK);
    assert_int_equal(d->end(r, &out), GLIM_OK);
    d->reply_free(r);
    return out;
}

static inline void script_check(const glim_buf *got, const char *want)
{
    const char *p = got->p ? got->p : "";
    if (strcmp(p, want) != 0) print_error("got  %s\nwant %s\n", p, want);
    assert_string_equal(p, want);
}

/* ---- a client -------------------------------------------------------------------------------- */

enum { JOIN_CALLS = 4 };
typedef struct join_call {
    char id[64], name[64], args[8192];
    size_t n_id;
} join_call;
/* One choice as a client that concatenates ends up with it. */
typedef struct joined {
    char role[64], content[65536], reasoning[65536], text[65536], finish[64];
    join_call calls[JOIN_CALLS];
    size_t n_call, n_chunk, n_finish, n_usage, n_null_usage, n_empty, n_delta_of_call;
    int64_t n_prompt, n_completion;
    bool usage_on_finish, done, usage_last;
} joined;

static inline void join_add(char *to, size_t n_to, glim_str s)
{
    size_t n = strlen(to);
    assert_true(n + s.n < n_to);
    if (s.n) memcpy(to + n, s.p, s.n);
    to[n + s.n] = '\0';
}
#define JOIN(to, v)                                                                                \
    do {                                                                                           \
        const glim_json *v_ = (v);                                                                 \
        if (glim_json_is(v_, GLIM_JSON_STRING)) join_add((to), sizeof(to), v_->text);              \
    } while (0)

static inline void join_calls(joined *j, const glim_json *list)
{
    int64_t before = -1, i;
    GLIM_JSON_EACH(c, list)
    {
        assert_true(glim_json_i64(glim_json_get(c, "index"), &i));
        assert_true(i >= 0 && i < JOIN_CALLS && i != before);
        before = i;
        join_call *call = &j->calls[i];
        j->n_call = GLIM_MAX(j->n_call, (size_t)i + 1);
        if (glim_json_get(c, "id")) call->n_id++;
        JOIN(call->id, glim_json_get(c, "id"));
        JOIN(call->name, glim_json_path(c, "function.name"));
        assert_true(glim_json_is(glim_json_path(c, "function.arguments"), GLIM_JSON_STRING));
        JOIN(call->args, glim_json_path(c, "function.arguments"));
        j->n_delta_of_call++;
    }
}

static inline void join_choice(joined *j, const glim_json *c, bool usage)
{
    const glim_json *d = glim_json_get(c, "delta");
    if (d) {
        assert_non_null(glim_json_get(d, "reasoning_content"));
        const glim_json *content = glim_json_get(d, "content");
        bool text = glim_json_is(content, GLIM_JSON_STRING) && content->text.n;
        bool thought = glim_json_is(glim_json_get(d, "reasoning_content"), GLIM_JSON_STRING);
        assert_false(text && thought);
        JOIN(j->role, glim_json_get(d, "role"));
        JOIN(j->content, glim_json_get(d, "content"));
        JOIN(j->reasoning, glim_json_get(d, "reasoning_content"));
        join_calls(j, glim_json_get(d, "tool_calls"));
    }
    JOIN(j->text, glim_json_get(c, "text"));
    if (glim_json_is(glim_json_get(c, "finish_reason"), GLIM_JSON_STRING)) {
        j->n_finish++;
        j->usage_on_finish = usage;
        JOIN(j->finish, glim_json_get(c, "finish_reason"));
    }
}

/* Reads a stream as SSE clients do; what belongs to choice `i_choice` is joined. */
static inline void join_stream(glim_str s, int64_t i_choice, joined *j)
{
    memset(j, 0, sizeof *j);
    glim_arena *a = glim_arena_new((size_t)64 << 20);
    assert_non_null(a);
    while (s.n) {
        assert_true(glim_str_starts(s, GLIM_STR("data: ")));
        size_t end = glim_str_find(s, GLIM_STR("\n\n"));
        assert_int_not_equal(end, SIZE_MAX);
        glim_str data = glim_str_sub(s, 6, end);
        s = glim_str_sub(s, end + 2, s.n);
        assert_int_equal(glim_str_find(data, GLIM_STR("\n")), SIZE_MAX);
        assert_int_equal(glim_str_find(data, GLIM_STR("\xE2\x80\xA8")), SIZE_MAX);
        if (glim_str_is(data, "[DONE]")) {
            j->done = true;
            assert_int_equal(s.n, 0);
            break;
        }
        glim_json *v;
        glim_error e = {0};
        assert_int_equal(glim_json_parse(a, data, &v, &e), GLIM_OK);
        const glim_json *usage = glim_json_get(v, "usage");
        bool is_usage = glim_json_is(usage, GLIM_JSON_OBJECT);
        j->n_usage += is_usage;
        j->usage_last = is_usage;
        j->n_null_usage += glim_json_is(usage, GLIM_JSON_NULL);
        if (is_usage) {
            assert_true(glim_json_i64(glim_json_get(usage, "prompt_tokens"), &j->n_prompt));
            assert_true(glim_json_i64(glim_json_get(usage, "completion_tokens"), &j->n_completion));
        }
        const glim_json *choices = glim_json_get(v, "choices");
        j->n_empty += choices->n_child == 0;
        GLIM_JSON_EACH(c, choices)
        {
            int64_t i;
            assert_true(glim_json_i64(glim_json_get(c, "index"), &i));
            if (j->n_chunk++ == 0) assert_int_equal(i, 0);
            if (i == i_choice) join_choice(j, c, is_usage);
        }
    }
    glim_arena_free(a);
}

/* The same from a whole body. */
static inline void join_body(glim_str s, int64_t i_choice, joined *j)
{
    memset(j, 0, sizeof *j);
    glim_arena *a = glim_arena_new((size_t)64 << 20);
    assert_non_null(a);
    glim_json *v;
    glim_error e = {0};
    assert_int_equal(glim_json_parse(a, s, &v, &e), GLIM_OK);
    const glim_json *c = glim_json_at(glim_json_get(v, "choices"), (size_t)i_choice);
    assert_non_null(c);
    const glim_json *m = glim_json_get(c, "message");
    JOIN(j->role, glim_json_get(m, "role"));
    JOIN(j->content, glim_json_get(m, "content"));
    JOIN(j->reasoning, glim_json_get(m, "reasoning_content"));
    JOIN(j->text, glim_json_get(c, "text"));
    JOIN(j->finish, glim_json_get(c, "finish_reason"));
    join_calls(j, glim_json_get(m, "tool_calls"));
    const glim_json *usage = glim_json_get(v, "usage");
    assert_true(glim_json_i64(glim_json_get(usage, "prompt_tokens"), &j->n_prompt));
    assert_true(glim_json_i64(glim_json_get(usage, "completion_tokens"), &j->n_completion));
    glim_arena_free(a);
}

#endif
