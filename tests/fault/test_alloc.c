/* SPDX-License-Identifier: MIT
 * test_alloc.c - the Nth allocation of loading and of generating fails, for N = 1, 2, ...: an error
 * with a message each time, nothing handed out, nothing left, and the session goes on working. All N
 * up to 2,000, and a seeded sample of those above; once only the Nth fails, once all from the Nth on.
 * The same for mmap. The one thing done without is the compiler of regular expressions to machine
 * code: its interpreter gives the same matches. Leaks of memory are the sanitizer's to see; of maps and files, this test's. */
#include "engine/engine_int.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "fault.h"
#include "tmpfolder.h"

#include "encfolder.h"

#define N_ALL 2000
#define N_SAMPLE 150 /* of those above, for each way of failing */

/* ---- the Nth fails --------------------------------------------------------------------------- */

typedef struct nth {
    int64_t n, fail_at; /* from 0; fail_at -1: only counts */
    bool all_behind;
    int64_t n_needed; /* failed ones that cannot be done without */
} nth;

static bool in_jit;
int __real_pcre2_jit_compile_8(void *code, uint32_t options);
int __wrap_pcre2_jit_compile_8(void *code, uint32_t options);

int __wrap_pcre2_jit_compile_8(void *code, uint32_t options)
{
    in_jit = true;
    int rc = __real_pcre2_jit_compile_8(code, options);
    in_jit = false;
    return rc;
}

static bool may(nth *x)
{
    int64_t i = x->n++;
    bool ok = x->fail_at < 0 || (x->all_behind ? i < x->fail_at : i != x->fail_at);
    x->n_needed += !ok && !in_jit;
    return ok;
}

static bool alloc_hook(void *user, size_t n)
{
    (void)n;
    return may(user);
}

/* Maps of our objects go through here; the sanitizer's own do not. */
void *__real_mmap(void *at, size_t n, int prot, int flags, int fd, off_t offset);
int __real_munmap(void *p, size_t n);
void *__wrap_mmap(void *at, size_t n, int prot, int flags, int fd, off_t offset);
int __wrap_munmap(void *p, size_t n);

static nth *map_fault; /* NULL: none */
static size_t map_bytes;

void *__wrap_mmap(void *at, size_t n, int prot, int flags, int fd, off_t offset)
{
    if (map_fault && !may(map_fault)) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    void *p = __real_mmap(at, n, prot, flags, fd, offset);
    if (p != MAP_FAILED) map_bytes += n;
    return p;
}

int __wrap_munmap(void *p, size_t n)
{
    map_bytes -= n;
    return __real_munmap(p, n);
}

/* ---- what is done ---------------------------------------------------------------------------- */

/* Does its work, takes it back when it succeeded, and says what became of it. */
typedef struct work {
    const char *name;
    glim_err (*run)(const struct work *w, glim_error *e);
    const char *path;
    int n_thread;
} work;

static glim_model *model; /* what all works but the opening ones use */
static glim_session *session;
static glim_encoder *encoder;
static tmp_folder encoder_folder;

static glim_err open_vocab(const work *w, glim_error *e)
{
    glim_vocab *v = NULL;
    glim_err rc = glim_vocab_open(w->path, &v, e);
    if (rc) assert_null(v);
    glim_vocab_close(v);
    return rc;
}

static glim_err open_model(const work *w, glim_error *e)
{
    glim_model_opts o;
    glim_model *m = NULL;
    tiny_opts(&o, w->n_thread);
    glim_err rc = glim_model_open(w->path, &o, &m, e);
    if (rc) assert_null(m);
    glim_model_close(m);
    return rc;
}

static glim_err open_encoder(const work *w, glim_error *e)
{
    glim_encoder_opts o;
    glim_encoder *m = NULL;
    glim_encoder_opts_init(&o);
    o.n_thread = w->n_thread;
    glim_err rc = glim_encoder_open(w->path, &o, &m, e);
    if (rc) assert_null(m);
    glim_encoder_close(m);
    return rc;
}

static glim_err plan_model(const work *w, glim_error *e)
{
    glim_model_opts o;
    glim_memory_plan p;
    tiny_opts(&o, 1);
    return glim_model_plan(w->path, &o, &p, e);
}

static glim_err new_session(const work *w, glim_error *e)
{
    glim_session *s = NULL;
    (void)w;
    glim_err rc = glim_session_new(model, &s, e);
    if (rc) assert_null(s);
    glim_session_free(s);
    return rc;
}

static const char weather[] =
    "{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{\"type\":\"object\","
    "\"properties\":{\"a\":{\"type\":\"string\"},\"n\":{\"type\":\"integer\"}}}}}";
static const glim_tool tools[] = {{{"f", 1}, {weather, sizeof weather - 1}}};
static const char arguments[] = "{\"a\": \"\\u00e9\", \"n\": 2}";
static const glim_tool_call old_call = {{"call_1", 6}, {"f", 1}, {arguments, sizeof arguments - 1}};
static const glim_str parts[] = {{"{\"x\":[1]}", 9}};

/* System, question, thought with a call, its result, question: every part of a template. */
static void conversation(glim_message msg[5], glim_chat *chat)
{
    msg[0] = (glim_message){.role = GLIM_ROLE_SYSTEM, .content = S("Hi")};
    msg[1] = (glim_message){.role = GLIM_ROLE_USER, .content = S("a b")};
    msg[2] = (glim_message){.role = GLIM_ROLE_ASSISTANT,
                            .has_reasoning = true,
                            .reasoning = S("so"),
                            .calls = &old_call,
                            .n_call = 1};
    msg[3] = (glim_message){
        .role = GLIM_ROLE_TOOL, .tool_call_id = S("call_1"), .parts = parts, .n_part = 1};
    msg[4] = (glim_message){.role = GLIM_ROLE_USER, .content = S("\xe4\xbd\xa0 1234?")};
    *chat = (glim_chat){.messages = msg,
                        .n_message = 5,
                        .tools = tools,
                        .n_tool = 1,
                        .think = GLIM_ON,
                        .keep_old = GLIM_ON};
}

static glim_err render(const work *w, glim_error *e)
{
    glim_message msg[5];
    glim_chat chat;
    glim_rendered r = {0};
    (void)w;
    conversation(msg, &chat);
    glim_err rc = glim_render(model->vocab, NULL, &chat, &r, e);
    if (rc) {
        assert_null(r.text.p);
        assert_null(r.tokens.ids);
    }
    glim_rendered_free(&r);
    return rc;
}

static glim_err tokenise(const work *w, glim_error *e)
{
    glim_tokens t = {0};
    (void)w;
    glim_err rc =
        glim_tokenize(model->vocab, S("Hello <|user|> it's 12345 \xe4\xbd\xa0"), true, &t, e);
    if (rc) assert_null(t.ids);
    glim_tokens_free(&t);
    return rc;
}

static const int32_t some_tokens[] = {244, 191, 361, 6, 32, 147, 84};

static glim_err evaluate(const work *w, glim_error *e)
{
    float logits[512];
    (void)w;
    glim_session_truncate(session, 0);
    glim_err rc = glim_session_eval(session, some_tokens, GLIM_COUNT(some_tokens), true,
                                    keep_logits, logits, e);
    assert_int_equal(glim_session_n_token(session), rc ? 0 : (int64_t)GLIM_COUNT(some_tokens));
    return rc;
}

static uint64_t sum_of(const void *p, size_t n)
{
    uint64_t sum = 1;
    for (size_t i = 0; i < n; i++)
        sum = sum * 31 + ((const unsigned char *)p)[i];
    return sum;
}

static uint64_t said; /* by the last generation that went well */

static glim_err embed(const work *w, glim_error *e)
{
    float v[80];
    glim_encoded t;
    const glim_str second = S("and another one");
    (void)w;
    glim_err rc = glim_encode(encoder, S("one text"), &second, 8, &t, e);
    if (rc) assert_null(t.ids);
    if (!rc) rc = glim_embed(encoder, &t, 1, NULL, v, e);
    if (!rc) said = sum_of(v, sizeof v);
    glim_encoded_free(&t);
    return rc;
}

static glim_err keywords(const work *w, glim_error *e)
{
    static const glim_str words[] = {{"river", 5}, {"bank", 4}, {"moon", 4}, {"water", 5}};
    glim_keyword_opts o;
    glim_keywords k;
    (void)w;
    glim_keyword_opts_init(&o);
    o.top = 2;
    o.mmr = true;
    glim_err rc = glim_keywords_of(encoder, S("the river and its bank, the water"), words, 4, &o,
                                   NULL, NULL, &k, e);
    if (rc) assert_null(k.p);
    for (size_t i = 0; i < k.n; i++)
        said += sum_of(k.p[i].word.p, k.p[i].word.n);
    glim_keywords_free(&k);
    return rc;
}

/* Events are only looked at: what a callback does with memory is its own affair. */
static bool look(void *user, const glim_event *ev)
{
    uint64_t *sum = user;
    for (size_t i = 0; i < ev->text.n; i++)
        *sum = *sum * 31 + (unsigned char)ev->text.p[i];
    return true;
}

static void gen_opts(glim_gen_opts *o)
{
    static const glim_str stops[] = {{"never said", 10}};
    static const glim_logit_bias bias[] = {{5, 1}};
    glim_gen_opts_init(o);
    o->temperature = 1;
    o->has_seed = true;
    o->seed = 7;
    o->n_max = 10;
    o->ignore_eos = true;
    o->stops = stops;
    o->n_stop = 1;
    o->biases = bias;
    o->n_bias = 1;
    o->n_logprob = 3;
    o->dry_multiplier = 0.5f;
    o->repetition_penalty = 1.1f;
}

static glim_err generate(const work *w, glim_error *e)
{
    glim_message msg[5];
    glim_chat chat;
    glim_gen_opts o;
    uint64_t sum = 1;
    (void)w;
    conversation(msg, &chat);
    gen_opts(&o);
    glim_session_truncate(session, 0);
    session->n_call = 0;
    glim_err rc = glim_generate(session, &chat, &o, look, &sum, e);
    if (!rc) said = sum;
    return rc;
}

static glim_err generate_raw(const work *w, glim_error *e)
{
    glim_gen_opts o;
    uint64_t sum = 1;
    (void)w;
    gen_opts(&o);
    glim_session_truncate(session, 0);
    glim_err rc = glim_generate_raw(session, S("Once <|user|>"), &o, look, &sum, e);
    if (!rc) said = sum;
    return rc;
}

/* A model's answer with thought, text and calls goes through the parser, byte by byte. */
static glim_err parse(const work *w, glim_error *e)
{
    static const char answer[] =
        "I think.</think>Say.<tool_call>f<arg_key>a</arg_key><arg_value>x"
        "</arg_value><arg_key>n</arg_key><arg_value>12</arg_value></tool_call>"
        "<tool_call>f<arg_key>a";
    glim_output *o = NULL;
    uint64_t sum = 1;
    (void)w;
    glim_err rc = glim_output_new(GLIM_START_REASONING, tools, 1, look, &sum, &o, e);
    if (rc) assert_null(o);
    for (size_t i = 0; !rc && i + 1 < sizeof answer; i++)
        rc = glim_output_feed(o, (glim_str){answer + i, 1}, e);
    if (!rc) rc = glim_output_finish(o, e);
    glim_output_free(o);
    if (!rc) said = sum;
    return rc;
}

/* Events gathered: a collector out of memory says so by false and by no answer. */
static glim_err collect(const work *w, glim_error *e)
{
    static const glim_event events[] = {
        {.kind = GLIM_EV_REASONING, .text = {"so", 2}},
        {.kind = GLIM_EV_CONTENT, .text = {"text", 4}},
        {.kind = GLIM_EV_CALL_BEGIN, .id = {"call_1", 6}, .name = {"f", 1}},
        {.kind = GLIM_EV_CALL_ARG, .key = {"a", 1}, .text = {"\"x\"", 3}},
        {.kind = GLIM_EV_CALL_END, .text = {"{\"a\":\"x\"}", 9}},
        {.kind = GLIM_EV_STOP, .reason = GLIM_STOP_END},
    };
    glim_collector *c = glim_collector_new();
    bool ok = c != NULL;
    (void)w;
    for (size_t i = 0; ok && i < GLIM_COUNT(events); i++)
        ok = glim_collector_event(c, &events[i]);
    if (c && !glim_collector_answer(c)) ok = false;
    glim_collector_free(c);
    return ok ? GLIM_OK : glim_fail(e, GLIM_E_NOMEM, "collector");
}

static const work loads[] = {
    {"encoder of a folder", open_encoder, encoder_folder.path, 2},
    {"vocab of a GGUF", open_vocab, TINY_GGUF, 0},
    {"vocab of a folder", open_vocab, TINY_DIR, 0},
    {"plan of a GGUF", plan_model, TINY_GGUF, 0},
    {"model of a GGUF", open_model, TINY_GGUF, 1},
    {"model of a folder", open_model, TINY_DIR, 1},
    {"model with 3 threads", open_model, TINY_GGUF, 3},
};
static const work uses[] = {
    {"session", new_session, NULL, 0}, {"tokenise", tokenise, NULL, 0},
    {"render", render, NULL, 0},       {"evaluate", evaluate, NULL, 0},
    {"generate", generate, NULL, 0},   {"generate raw", generate_raw, NULL, 0},
    {"parse", parse, NULL, 0},         {"collect", collect, NULL, 0},
    {"embed", embed, NULL, 0},         {"keywords", keywords, NULL, 0},
};

/* ---- the loop -------------------------------------------------------------------------------- */

enum { OF_ALLOC, OF_MMAP };

static glim_err attempt(const work *w, int of, nth *x, glim_error *e)
{
    *e = (glim_error){0};
    if (of == OF_ALLOC)
        glim_alloc_set_hook(alloc_hook, x);
    else
        map_fault = x;
    glim_err rc = w->run(w, e);
    glim_alloc_set_hook(NULL, NULL);
    map_fault = NULL;
    return rc;
}

static void fail_at(const work *w, int of, int64_t i, bool all_behind)
{
    glim_error e;
    nth x = {.fail_at = i, .all_behind = all_behind};
    size_t fds = count_fds(), maps = map_bytes;
    int64_t pages = session->n_page + model->kv.n_free;
    glim_err rc = attempt(w, of, &x, &e);
    assert_true(x.n > i); /* it was reached */
    glim_err want = x.n_needed ? GLIM_E_NOMEM : GLIM_OK;
    if (rc != want || e.code != rc || (rc && !e.msg[0]))
        fail_msg("%s: failing at %lld%s: gives %d (%d: %s)", w->name, (long long)i,
                 all_behind ? " and behind" : "", (int)rc, (int)e.code, e.msg);
    if (count_fds() != fds || map_bytes != maps)
        fail_msg("%s: failing at %lld leaves a file or a map open", w->name, (long long)i);
    if (session->n_page + model->kv.n_free != pages)
        fail_msg("%s: failing at %lld loses a page", w->name, (long long)i);
}

static void sweep(const work *w, int of)
{
    glim_error e;
    nth count = {.fail_at = -1};
    glim_rng r;
    int64_t n_done = 0;
    said = 0;
    if (attempt(w, of, &count, &e)) fail_msg("%s: %s", w->name, e.msg);
    uint64_t first_said = said;
    for (int all_behind = 0; all_behind < 2; all_behind++) {
        for (int64_t i = 0; i < GLIM_MIN(count.n, N_ALL); i++, n_done++)
            fail_at(w, of, i, all_behind != 0);
        glim_rng_seed(&r, 20260);
        for (int k = 0; count.n > N_ALL && k < N_SAMPLE; k++, n_done++)
            fail_at(w, of, N_ALL + (int64_t)(glim_rng_u64(&r) % (uint64_t)(count.n - N_ALL)),
                    all_behind != 0);
    }
    /* After all that it still works, and the same comes out. */
    said = 0;
    nth again = {.fail_at = -1};
    if (attempt(w, of, &again, &e)) fail_msg("%s: afterwards: %s", w->name, e.msg);
    assert_int_equal(again.n, count.n);
    assert_true(said == first_said);
    print_message("%-22s %6lld %s, %lld of them made to fail\n", w->name, (long long)count.n,
                  of == OF_ALLOC ? "allocations" : "maps", (long long)n_done);
}

static void test_load(void **state)
{
    (void)state;
    for (size_t i = 0; i < GLIM_COUNT(loads); i++)
        sweep(&loads[i], OF_ALLOC);
}

static void test_use(void **state)
{
    (void)state;
    for (size_t i = 0; i < GLIM_COUNT(uses); i++)
        sweep(&uses[i], OF_ALLOC);
}

static void test_maps(void **state)
{
    (void)state;
    for (size_t i = 0; i < GLIM_COUNT(loads); i++)
        sweep(&loads[i], OF_MMAP);
}

static int setup(void **state)
{
    (void)state;
    glim_guard_maps();
    model = tiny_open(TINY_GGUF, 1);
    session = tiny_session(model);
    tmp_folder_make(&encoder_folder);
    enc_ernie(&encoder_folder);
    glim_encoder_opts o;
    glim_error e = {0};
    glim_encoder_opts_init(&o);
    o.n_thread = 1;
    if (glim_encoder_open(encoder_folder.path, &o, &encoder, &e)) fail_msg("%s", e.msg);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    glim_encoder_close(encoder);
    tmp_folder_end(&encoder_folder);
    glim_session_free(session);
    glim_model_close(model);
    assert_int_equal(map_bytes, 0);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_load),
        cmocka_unit_test(test_use),
        cmocka_unit_test(test_maps),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
