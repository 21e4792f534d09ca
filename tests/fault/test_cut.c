/* SPDX-License-Identifier: MIT
 * test_cut.c - files that change while they are mapped: cut short at any place and any time, while
 * loading, between steps and in the middle of one, with one thread and with several. Each time the
 * program lives, the call fails with IO and names the file and the first byte that is missing, and
 * every later call on that model does too. What is not about our files goes to whoever caught SIGBUS
 * before. */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fault.h"
#include "tmpfolder.h"

static tmp_folder tmp;

/* cmocka catches SIGBUS itself, anew for each test; this puts glim's handler back. */
static struct sigaction guard;

static void guard_again(void)
{
    assert_int_equal(sigaction(SIGBUS, &guard, NULL), 0);
}

/* ---- files ----------------------------------------------------------------------------------- */

static char *read_whole(const char *path, size_t *n)
{
    glim_buf b;
    glim_error e = {0};
    glim_buf_init(&b, (size_t)1 << 28);
    if (glim_read_file(path, &b, &e)) fail_msg("%s", e.msg);
    *n = b.n;
    return b.p;
}

/* A copy of a file under the temporary folder; returns its size. */
static size_t copy_file(const char *from, const char *name, char path[400])
{
    size_t n;
    char *p = read_whole(from, &n);
    (void)unlink(tmp_path(&tmp, name, path)); /* writing over a file would wait for the disk */
    tmp_write(&tmp, name, p, n);
    glim_free(p);
    return n;
}

static void cut(const char *path, size_t n)
{
    if (truncate(path, (off_t)n) != 0) fail_msg("%s: %s", path, strerror(errno));
}

static void check_lost(const char *what, const char *path, glim_err rc, const glim_error *e,
                       size_t n_left)
{
    if (rc != GLIM_E_IO || e->code != rc || !strstr(e->msg, path) || !strstr(e->msg, "was cut") ||
        e->offset == GLIM_NO_OFFSET || e->offset < n_left)
        fail_msg("%s: cut to %zu: gives %d (%s), byte %llu", what, n_left, (int)rc, e->msg,
                 (unsigned long long)e->offset);
}

/* ---- between steps --------------------------------------------------------------------------- */

static const int32_t tokens[] = {244, 191, 361, 6, 32, 147, 84};

static bool ignore_event(void *user, const glim_event *ev)
{
    (void)user;
    (void)ev;
    return true;
}

static bool no_logits(void *user, int64_t pos, const float *logits, size_t n_vocab)
{
    (void)pos;
    (void)logits;
    (void)n_vocab;
    ++*(int *)user;
    return true;
}

typedef enum call { EVAL, EVAL_SILENT, EVAL_ALL, RAW, CHAT, N_CALL } call;
static const char *const call_names[] = {"eval", "eval without logits", "eval of all", "raw",
                                         "chat"};

static glim_err use(glim_session *s, call c, glim_error *e)
{
    const glim_message msg = {.role = GLIM_ROLE_USER, .content = S("Hi")};
    const glim_chat chat = {
        .messages = &msg, .n_message = 1, .think = GLIM_ON, .keep_old = GLIM_UNSET};
    glim_gen_opts o;
    int n_logits = 0;
    glim_err rc;
    *e = (glim_error){0};
    if (c <= EVAL_ALL) {
        rc = glim_session_eval(s, tokens, GLIM_COUNT(tokens), c == EVAL_ALL,
                               c == EVAL_SILENT ? NULL : no_logits, &n_logits, e);
        if (rc) assert_int_equal(n_logits, 0); /* nobody saw numbers made of nothing */
        return rc;
    }
    glim_gen_opts_init(&o);
    o.n_max = 3;
    o.ignore_eos = true;
    return c == RAW ? glim_generate_raw(s, S("Hi"), &o, ignore_event, NULL, e)
                    : glim_generate(s, &chat, &o, ignore_event, NULL, e);
}

/* Logits are made some rows at a time: what is cut between two lots is not used for the second. */
typedef struct row_count {
    const char *path;
    int n;
} row_count;

static bool cut_at_first(void *user, int64_t pos, const float *logits, size_t n_vocab)
{
    row_count *x = user;
    (void)pos;
    (void)logits;
    (void)n_vocab;
    if (!x->n++) cut(x->path, 4096);
    return true;
}

static void test_between_rows(void **state)
{
    (void)state;
    guard_again();
    char path[400];
    int32_t many[3 * GLIM_HEAD_ROWS];
    glim_error e = {0};
    copy_file(TINY_GGUF, "model.gguf", path);
    glim_model *m = tiny_open(path, 2);
    glim_session *s = tiny_session(m);
    for (size_t i = 0; i < GLIM_COUNT(many); i++)
        many[i] = (int32_t)i;
    row_count x = {.path = path};
    glim_err rc = glim_session_eval(s, many, GLIM_COUNT(many), true, cut_at_first, &x, &e);
    check_lost("between rows", path, rc, &e, 4096);
    assert_int_equal(x.n, GLIM_HEAD_ROWS);
    assert_int_equal(glim_session_n_token(s), 0);
    glim_session_free(s);
    glim_model_close(m);
}

static void between_steps(size_t n_left, bool behind_last_page, int n_thread, call c)
{
    char path[400];
    size_t n = copy_file(TINY_GGUF, "model.gguf", path);
    if (behind_last_page) n_left = n - n_left;
    glim_model *m = tiny_open(path, n_thread);
    glim_session *s = tiny_session(m);
    glim_error e;
    if (use(s, c, &e)) fail_msg("%s: %s", call_names[c], e.msg);
    int64_t n_before = glim_session_n_token(s);
    cut(path, n_left);
    for (int i = 0; i < 2; i++) {
        if (c >= RAW) glim_session_truncate(s, n_before = 0);
        check_lost(call_names[c], path, use(s, c, &e), &e, n_left);
        assert_int_equal(glim_session_n_token(s), n_before);
        /* The vocabulary is in memory: it does not need the file. */
        glim_tokens t;
        assert_int_equal(glim_tokenize(glim_model_vocab(m), S("Hi"), true, &t, &e), GLIM_OK);
        glim_tokens_free(&t);
    }
    cut(path, n); /* as long as before, but of zeros: what was read is not made good by it */
    check_lost("restored", path, use(s, c, &e), &e, n_left);
    glim_session_free(s);
    glim_model_close(m);
    copy_file(TINY_GGUF, "model.gguf", path);
    m = tiny_open(path, n_thread); /* whole again: opened anew it works */
    s = tiny_session(m);
    if (use(s, c, &e)) fail_msg("opened anew: %s", e.msg);
    glim_session_free(s);
    glim_model_close(m);
}

static void test_between_steps(void **state)
{
    (void)state;
    guard_again();
    static const struct {
        size_t n;
        bool from_end;
    } cuts[] = {{0, false}, {4096, false}, {500000, false}, {1, true}, {70000, true}};
    for (size_t i = 0; i < GLIM_COUNT(cuts); i++)
        for (int n_thread = 1; n_thread <= 2; n_thread++)
            for (call c = 0; c < N_CALL; c++)
                between_steps(cuts[i].n, cuts[i].from_end, n_thread, c);
}

/* ---- in the middle of a step ----------------------------------------------------------------- */

typedef struct cutter {
    const char *path;
    size_t n_left;
    uint64_t wait_ns;
} cutter;

static void *cut_later(void *arg)
{
    const cutter *c = arg;
    const struct timespec wait = {.tv_nsec = (long)c->wait_ns};
    nanosleep(&wait, NULL);
    if (truncate(c->path, (off_t)c->n_left) != 0) abort();
    return NULL;
}

static void test_within_steps(void **state)
{
    (void)state;
    guard_again();
    glim_rng r;
    glim_rng_seed(&r, 5);
    for (int i = 0; i < 24; i++) {
        char path[400];
        size_t n = copy_file(TINY_GGUF, "model.gguf", path);
        glim_model *m = tiny_open(path, 1 + i % 3);
        glim_session *s = tiny_session(m);
        cutter c = {path, glim_rng_u64(&r) % n, glim_rng_u64(&r) % 20000000};
        pthread_t t;
        glim_error e = {0};
        glim_err rc = GLIM_OK;
        assert_int_equal(pthread_create(&t, NULL, cut_later, &c), 0);
        while (!rc) {
            glim_session_truncate(s, 0);
            rc = use(s, i % 2 ? EVAL_ALL : RAW, &e);
        }
        check_lost("meanwhile", path, rc, &e, c.n_left);
        pthread_join(t, NULL);
        glim_session_free(s);
        glim_model_close(m);
    }
}

/* ---- while loading --------------------------------------------------------------------------- */

/* Something is done to a file when the Nth allocation is asked for. */
#define JUNK (SIZE_MAX - 1)
typedef struct mishap {
    int64_t left;
    const char *path;
    size_t n_left;   /* cut to that; JUNK and above: all but the beginning is overwritten */
    bool was_mapped; /* then */
    bool done;
} mishap;

static const char *watched; /* file name whose maps are seen */
static bool is_mapped;

void *__real_mmap(void *at, size_t n, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t n, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t n, int prot, int flags, int fd, off_t offset)
{
    struct stat a, b;
    if (fd >= 0 && watched && fstat(fd, &a) == 0 && stat(watched, &b) == 0 && a.st_ino == b.st_ino)
        is_mapped = true;
#if defined(__linux__) && defined(__x86_64__)
    /* The thread sanitizer takes a new map for a write to all of it, and two threads that miss a page
     * at once for a race. To it, zeros over missing pages have to come from nowhere. */
    if (flags & MAP_FIXED) return (void *)syscall(SYS_mmap, at, n, prot, flags, fd, offset);
#endif
    return __real_mmap(at, n, prot, flags, fd, offset);
}

/* With lengths that are beyond everything, or just beyond the file. */
static void overwrite(const char *path, bool huge)
{
    static const char beyond[8] = {0, 0, 0x20, 0, 0, 0, 0, 0};
    char junk[4096];
    int fd = open(path, O_WRONLY);
    struct stat st;
    for (size_t i = 0; i < sizeof junk; i++)
        junk[i] = huge ? (char)0xff : beyond[i % sizeof beyond];
    if (fd < 0 || fstat(fd, &st) != 0) fail_msg("%s", path);
    for (off_t at = 64; at < st.st_size; at += (off_t)sizeof junk)
        if (pwrite(fd, junk, (size_t)GLIM_MIN((off_t)sizeof junk, st.st_size - at), at) < 0)
            fail_msg("%s", path);
    close(fd);
}

static bool mishap_hook(void *user, size_t n)
{
    mishap *x = user;
    (void)n;
    if (x->left-- == 0) {
        x->was_mapped = is_mapped;
        x->done = true;
        if (x->n_left >= JUNK)
            overwrite(x->path, x->n_left == JUNK);
        else
            cut(x->path, x->n_left);
    }
    return true;
}

typedef enum opened { MODEL, VOCAB, ENCODER } opened;

static glim_err open_once(const char *path, opened what, glim_error *e)
{
    glim_model_opts o;
    glim_model *m = NULL;
    glim_vocab *v = NULL;
    glim_encoder *enc = NULL;
    tiny_opts(&o, 1);
    glim_err rc = what == VOCAB     ? glim_vocab_open(path, &v, e)
                  : what == ENCODER ? glim_encoder_open(path, NULL, &enc, e)
                                    : glim_model_open(path, &o, &m, e);
    if (rc) {
        assert_null(m);
        assert_null(v);
        assert_null(enc);
    }
    glim_encoder_close(enc);
    glim_vocab_close(v);
    glim_model_close(m);
    return rc;
}

/* The file at `from`, part of what is opened at `open_path`, suffers at every allocation in turn. */
static void while_loading(const char *from, const char *name, const char *open_path, opened what,
                          size_t n_left)
{
    char path[400];
    bool done = true;
    int64_t i = 0;
    for (; done; i++) {
        glim_error e = {0};
        size_t n = copy_file(from, name, path);
        mishap x = {.left = i, .path = path, .n_left = n_left >= JUNK ? n_left : n * n_left / 100};
        watched = path;
        is_mapped = false;
        glim_alloc_set_hook(mishap_hook, &x);
        glim_err rc = open_once(open_path ? open_path : path, what, &e);
        glim_alloc_set_hook(NULL, NULL);
        watched = NULL;
        done = x.done;
        if (rc && !e.msg[0]) fail_msg("no message");
        if (!done && rc) fail_msg("%s: %s", path, e.msg);
        if (n_left >= JUNK) continue; /* what comes of it is a matter of luck, but not a crash */
        if (done && x.was_mapped) check_lost("while loading", path, rc, &e, x.n_left);
        /* Cut before it was opened: it is a damaged file then, unless nobody needs it. */
        if (done && rc == GLIM_OK) fail_msg("%s: cut to %zu and opened", path, x.n_left);
    }
    assert_true(i > 10);
}

static void test_while_loading(void **state)
{
    (void)state;
    guard_again();
    for (size_t percent = 0; percent < 100; percent += 33) {
        while_loading(TINY_GGUF, "model.gguf", NULL, MODEL, percent);
        while_loading(TINY_GGUF, "model.gguf", NULL, VOCAB, percent);
    }
    for (size_t junk = JUNK; junk >= JUNK; junk++) {
        while_loading(TINY_GGUF, "model.gguf", NULL, MODEL, junk);
        while_loading(TINY_GGUF, "model.gguf", NULL, VOCAB, junk);
    }
}

static void test_while_loading_folder(void **state)
{
    (void)state;
    guard_again();
    static const char *const names[] = {"config.json", "tokenizer.json", "model.safetensors"};
    char path[400];
    for (size_t i = 0; i < GLIM_COUNT(names); i++) {
        char from[500];
        snprintf(from, sizeof from, "%s/%s", TINY_DIR, names[i]);
        copy_file(from, names[i], path);
    }
    tmp_remove(&tmp, "model.gguf");
    for (size_t i = 0; i < GLIM_COUNT(names); i++) {
        char from[500];
        snprintf(from, sizeof from, "%s/%s", TINY_DIR, names[i]);
        for (size_t percent = 0; percent < 100; percent += 49)
            while_loading(from, names[i], tmp.path, MODEL, percent);
        while_loading(from, names[i], tmp.path, MODEL, JUNK);
        copy_file(from, names[i], path);
    }
}

/* ---- encoders -------------------------------------------------------------------------------- */

static const char *const encoder_files[] = {"config.json", "tokenizer.json", "model.safetensors"};

static void encoder_file(size_t i, char out[500])
{
    snprintf(out, 500, GLIM_SOURCE_DIR "/tests/golden/%s/%s",
             i == 1 ? "tokenizer/wordpiece-cased" : "encoders/ernie", encoder_files[i]);
}

static size_t copy_encoder(char weights[400])
{
    size_t n = 0;
    (void)unlink(tmp_path(&tmp, "model.gguf", weights));
    for (size_t i = 0; i < GLIM_COUNT(encoder_files); i++) {
        char from[500];
        encoder_file(i, from);
        n = copy_file(from, encoder_files[i], weights);
    }
    return n;
}

static void test_encoder(void **state)
{
    (void)state;
    guard_again();
    static const struct {
        size_t n;
        bool from_end;
    } cuts[] = {{0, false}, {4096, false}, {900000, false}, {1, true}, {70000, true}};
    for (size_t i = 0; i < GLIM_COUNT(cuts); i++) {
        char path[400];
        glim_encoder *m;
        glim_encoded t;
        glim_error e = {0};
        float v[80];
        size_t n = copy_encoder(path), n_left = cuts[i].from_end ? n - cuts[i].n : cuts[i].n;
        if (glim_encoder_open(tmp.path, NULL, &m, &e)) fail_msg("%s", e.msg);
        if (glim_encode(m, S("Hello"), NULL, 0, &t, &e)) fail_msg("%s", e.msg);
        if (glim_embed(m, &t, 1, NULL, v, &e)) fail_msg("%s", e.msg);
        cut(path, n_left);
        for (int k = 0; k < 2; k++)
            check_lost("embed", path, glim_embed(m, &t, 1, NULL, v, &e), &e, n_left);
        glim_encoded_free(&t);
        if (glim_encode(m, S("Hi"), NULL, 0, &t, &e)) fail_msg("%s", e.msg); /* needs no file */
        glim_encoded_free(&t);
        glim_encoder_close(m);
    }
}

static void test_encoder_while_loading(void **state)
{
    (void)state;
    guard_again();
    char path[400];
    copy_encoder(path);
    for (size_t i = 0; i < GLIM_COUNT(encoder_files); i++) {
        char from[500];
        encoder_file(i, from);
        for (size_t percent = 0; percent < 100; percent += 49)
            while_loading(from, encoder_files[i], tmp.path, ENCODER, percent);
        while_loading(from, encoder_files[i], tmp.path, ENCODER, JUNK);
        copy_file(from, encoder_files[i], path);
    }
}

/* The last look is while the weights are brought in: progress is told there. */
static bool cut_at_progress(void *user, uint64_t done, uint64_t total)
{
    mishap *x = user;
    (void)total;
    if (done >= x->n_left && !x->done) {
        x->done = true;
        cut(x->path, x->n_left);
    }
    return true;
}

static void test_at_progress(void **state)
{
    (void)state;
    guard_again();
    for (size_t percent = 1; percent < 100; percent += 14) {
        char path[400];
        size_t n = copy_file(TINY_GGUF, "model.gguf", path);
        mishap x = {.path = path, .n_left = n * percent / 100};
        glim_model_opts o;
        glim_model *m = NULL;
        glim_error e = {0};
        tiny_opts(&o, 2);
        o.progress = cut_at_progress;
        o.progress_user = &x;
        glim_err rc = glim_model_open(path, &o, &m, &e);
        assert_true(x.done);
        assert_null(m);
        check_lost("at progress", path, rc, &e, x.n_left);
    }
}

/* ---- a disk that fails while the weights are brought in -------------------------------------- */

static int madvise_error; /* 0: the real one */

int __real_madvise(void *p, size_t n, int advice);
int __wrap_madvise(void *p, size_t n, int advice);
int __wrap_madvise(void *p, size_t n, int advice)
{
    static int n_interrupted;
    if (!madvise_error) return __real_madvise(p, n, advice);
    if (madvise_error == EINTR && n_interrupted++ % 3 == 2) return 0;
    errno = madvise_error;
    return -1;
}

static void test_disk(void **state)
{
    (void)state;
    guard_again();
    static const struct {
        int err;
        glim_err rc;
    } cases[] = {{EFAULT, GLIM_E_IO}, {EIO, GLIM_E_IO},  {EHWPOISON, GLIM_E_IO},
                 {EINVAL, GLIM_OK},   {ENOMEM, GLIM_OK}, {EINTR, GLIM_OK}};
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        char path[400];
        glim_error e = {0};
        copy_file(TINY_GGUF, "model.gguf", path);
        madvise_error = cases[i].err;
        glim_err rc = open_once(path, false, &e);
        madvise_error = 0;
        assert_int_equal(rc, cases[i].rc);
        if (rc && (!strstr(e.msg, path) || !strstr(e.msg, "disk failed"))) fail_msg("%s", e.msg);
    }
}

/* ---- a file that is replaced or removed is none that is cut ---------------------------------- */

static void test_replaced(void **state)
{
    (void)state;
    guard_again();
    char path[400], other[400];
    glim_error e;
    copy_file(TINY_GGUF, "model.gguf", path);
    glim_model *m = tiny_open(path, 1);
    glim_session *s = tiny_session(m);
    tmp_text(&tmp, "other", "short");
    assert_int_equal(rename(tmp_path(&tmp, "other", other), path), 0);
    assert_int_equal(use(s, EVAL, &e), GLIM_OK);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(use(s, EVAL, &e), GLIM_OK);
    tmp_text(&tmp, "model.gguf", "new and short");
    assert_int_equal(use(s, EVAL, &e), GLIM_OK);
    glim_session_free(s);
    glim_model_close(m);
}

/* ---- a page that was missing when it was read is missed for good ------------------------------ */

static void test_touched(void **state)
{
    (void)state;
    guard_again();
    static char data[40000];
    char path[400];
    glim_filemap m;
    glim_error e = {0};
    memset(data, 7, sizeof data);
    tmp_write(&tmp, "touched", data, sizeof data);
    tmp_path(&tmp, "touched", path);
    assert_int_equal(glim_filemap_open(&m, path, &e), GLIM_OK);
    cut(path, 5000);
    volatile const uint8_t *p = m.p;
    assert_int_equal(p[20000], 0);
    assert_int_equal(p[39999], 0); /* everything behind it came at once */
    assert_int_equal(p[4000], 7);
    tmp_write(&tmp, "touched", data, sizeof data); /* whole again, before anybody asked */
    assert_int_equal(glim_filemap_check(&m, path, &e), GLIM_E_IO);
    assert_int_equal(e.offset, 20000);
    if (!strstr(e.msg, path) || !strstr(e.msg, "byte 20000")) fail_msg("%s", e.msg);
    glim_filemap_close(&m);
}

/* ---- more maps than there are slots ---------------------------------------------------------- */

static void test_many_maps(void **state)
{
    (void)state;
    guard_again();
    enum { N = 5000 };
    char path[400];
    glim_error e;
    glim_filemap *m = glim_alloc_array(N, sizeof *m);
    tmp_write(&tmp, "small", "0123456789", 10);
    tmp_path(&tmp, "small", path);
    for (int i = 0; i < N; i++)
        assert_int_equal(glim_filemap_open(&m[i], path, &e), GLIM_OK);
    for (int i = 0; i < N; i += 100)
        assert_int_equal(glim_filemap_check(&m[i], path, &e), GLIM_OK);
    cut(path, 5); /* inside the page: no signal, the size tells */
    for (int i = 0; i < N; i += 100) {
        assert_int_equal(m[i].p[9], 0);
        check_lost("one of many", path, glim_filemap_check(&m[i], path, &e), &e, 5);
    }
    for (int i = 0; i < N; i++)
        glim_filemap_close(&m[i]);
    for (int i = 0; i < N; i++) { /* all slots are free again, and clean */
        tmp_write(&tmp, "small", "0123456789", 10);
        assert_int_equal(glim_filemap_open(&m[i], path, &e), GLIM_OK);
        assert_int_equal(glim_filemap_check(&m[i], path, &e), GLIM_OK);
        glim_filemap_close(&m[i]);
        if (i == 10) i = N;
    }
    glim_free(m);
}

/* ---- other people's SIGBUS ------------------------------------------------------------------- */

static sigjmp_buf back;
static volatile sig_atomic_t n_theirs;

static void their_handler(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)info;
    (void)context;
    n_theirs++;
    siglongjmp(back, 1);
}

/* In a child: a map of its own, cut, is touched. Exit status 0 when `handled`. */
static int touch_lost_page(bool handled)
{
    char path[400];
    static char page[8192];
    tmp_write(&tmp, "theirs", page, sizeof page);
    int fd = open(tmp_path(&tmp, "theirs", path), O_RDONLY);
    volatile char *p = __real_mmap(NULL, sizeof page, PROT_READ, MAP_SHARED, fd, 0);
    if (fd < 0 || p == MAP_FAILED || truncate(path, 0) != 0) return 9;
    if (handled && sigsetjmp(back, 1)) return n_theirs == 1 ? 0 : 8;
    return p[5000] == 0 ? 7 : 6; /* not reached */
}

typedef enum child_kind { THEIRS, DEFAULT_FAULT, DEFAULT_SENT, IGNORED_SENT } child_kind;

static int child(child_kind kind)
{
    struct sigaction sa = {0};
    if (kind == THEIRS) {
        sa.sa_sigaction = their_handler;
        sa.sa_flags = SA_SIGINFO;
    } else {
        sa.sa_handler = kind == IGNORED_SENT ? SIG_IGN : SIG_DFL;
    }
    sigaction(SIGBUS, &sa, NULL);
    glim_guard_maps();
    glim_guard_maps();
    if (kind == THEIRS) return touch_lost_page(true);
    if (kind == DEFAULT_FAULT) return touch_lost_page(false);
    return raise(SIGBUS);
}

static void test_chain(void **state)
{
    (void)state;
    for (child_kind kind = THEIRS; kind <= IGNORED_SENT; kind++) {
        int status = 0;
        fflush(NULL);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) _exit(child(kind));
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (kind == THEIRS || kind == IGNORED_SENT) {
            if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
                fail_msg("child %d: status %d", (int)kind, status);
        } else if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGBUS) {
            fail_msg("child %d: status %d", (int)kind, status);
        }
    }
}

/* ---- ----------------------------------------------------------------------------------------- */

static int teardown(void **state)
{
    (void)state;
    tmp_folder_end(&tmp);
    return 0;
}

int main(void)
{
    const struct CMUnitTest chain[] = {cmocka_unit_test(test_chain)};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_between_steps),
        cmocka_unit_test(test_between_rows),
        cmocka_unit_test(test_within_steps),
        cmocka_unit_test(test_while_loading),
        cmocka_unit_test(test_while_loading_folder),
        cmocka_unit_test(test_encoder),
        cmocka_unit_test(test_encoder_while_loading),
        cmocka_unit_test(test_at_progress),
        cmocka_unit_test(test_disk),
        cmocka_unit_test(test_touched),
        cmocka_unit_test(test_replaced),
        cmocka_unit_test(test_many_maps),
    };
    tmp_folder_make(&tmp);
    int n_failed = cmocka_run_group_tests(chain, NULL, NULL); /* before the handler is there */
    glim_guard_maps();
    sigaction(SIGBUS, NULL, &guard);
    return n_failed + cmocka_run_group_tests(tests, NULL, teardown);
}
