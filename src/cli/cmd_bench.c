/* SPDX-License-Identifier: MIT
 * cmd_bench.c - glim bench: how fast prompts are read and text is generated, and what the machine
 * could give.
 * Tokens are random ids of ordinary tokens from a fixed seed: real words, so that a mixture of
 * experts spreads over its experts. Nothing is sampled. The context before a test (its depth) is
 * noise: the time of a step does not depend on what it reads, and computing 16,384 tokens of it
 * takes many minutes.
 * Not here: the tables (bench_table.c), what measures the machine (engine). */
#include <dirent.h>
#include <inttypes.h>
#include <math.h>
#include <sys/resource.h>
#include <time.h>

#include "cli/bench_priv.h"
#include "formats/formats.h"

#define LIST_MAX 32
#define STREAMS_MAX 256
#define TOKENS_MAX 100000000
#define PAGE 64 /* tokens: the cache is given out in pages of so many */

typedef struct list {
    int64_t v[LIST_MAX];
    size_t n;
} list;

typedef struct bench {
    glim_cli *c;
    glim_bench_form form;
    list prompt, gen, depth, streams;
    int64_t n_rep;

    glim_bench_table table;
    glim_bench_model about;
    glim_model *m;
    glim_session *session[STREAMS_MAX];
    int32_t *ids; /* enough for the deepest test */
    int64_t n_id;
    uint64_t peak_rss; /* before the last reset of the system's own record */
    bool can_reset;
    double read_bytes_s; /* the last figure */
    double disturbed;    /* largest wait_share that is worth a word */
} bench;

/* ---- what to measure ------------------------------------------------------------------------- */

static glim_err read_list(const glim_cli *c, glim_opt o, const char *def, int64_t min, int64_t max,
                          list *out, glim_error *e)
{
    const glim_opt_value *v = glim_cli_opt(c, o);
    glim_str rest = glim_str_of(v->set ? v->text : def);
    out->n = 0;
    for (bool more = true; more;) {
        size_t comma = glim_str_find(rest, GLIM_STR(","));
        more = comma < rest.n;
        glim_str word = glim_str_trim(glim_str_sub(rest, 0, more ? comma : rest.n), " ");
        int64_t value;
        if (!glim_parse_i64(word, &value) || value < min || value > max || out->n == LIST_MAX)
            return glim_fail(e, GLIM_E_USAGE,
                             "%s: %s: up to %d whole numbers from %" PRId64 " to %" PRId64
                             ", commas between; see glim bench --help",
                             v->set ? v->place : "default", GLIM_QUOTE(word), LIST_MAX, min, max);
        out->v[out->n++] = value;
        if (more) rest = glim_str_sub(rest, comma + 1, rest.n);
    }
    return GLIM_OK;
}

static glim_err read_options(bench *b, glim_error *e)
{
    glim_cli *c = b->c;
    b->form = (glim_bench_form)glim_cli_opt(c, GLIM_O_OUTPUT)->i64;
    b->n_rep = glim_cli_opt(c, GLIM_O_REPS)->i64;
    glim_err rc = read_list(c, GLIM_O_PROMPT, "512", 0, TOKENS_MAX, &b->prompt, e);
    if (!rc) rc = read_list(c, GLIM_O_GEN, "128", 0, TOKENS_MAX, &b->gen, e);
    if (!rc) rc = read_list(c, GLIM_O_DEPTH, "0", 0, TOKENS_MAX, &b->depth, e);
    if (!rc) rc = read_list(c, GLIM_O_STREAMS, "1", 1, STREAMS_MAX, &b->streams, e);
    return rc;
}

/* Calls fn for every test, shallow ones first: a deeper session grows out of them. */
typedef glim_err (*test_fn)(bench *b, const glim_bench_test *t, glim_error *e);
static glim_err each_test(bench *b, test_fn fn, glim_error *e)
{
    glim_err rc = GLIM_OK;
    for (size_t d = 0; d < b->depth.n; d++) {
        int64_t depth = b->depth.v[d];
        for (size_t i = 0; !rc && i < b->prompt.n; i++) {
            glim_bench_test t = {b->prompt.v[i], 0, depth, 1};
            if (t.n_prompt) rc = fn(b, &t, e);
        }
        for (size_t i = 0; !rc && i < b->gen.n; i++)
            for (size_t k = 0; !rc && k < b->streams.n; k++) {
                glim_bench_test t = {0, b->gen.v[i], depth, b->streams.v[k]};
                if (t.n_gen) rc = fn(b, &t, e);
            }
    }
    return rc;
}

typedef struct need {
    int64_t n_test, n_ctx, n_id, n_stream;
} need;

/* What the tests need of context and of sessions. */
static need count_tests(const bench *b)
{
    need n = {0};
    for (size_t d = 0; d < b->depth.n; d++) {
        for (size_t i = 0; i < b->prompt.n + b->gen.n * b->streams.n; i++) {
            bool prompt = i < b->prompt.n;
            size_t k = prompt ? 0 : i - b->prompt.n;
            int64_t n_new = prompt ? b->prompt.v[i] : b->gen.v[k / b->streams.n];
            int64_t n_stream = prompt ? 1 : b->streams.v[k % b->streams.n];
            if (n_new == 0) continue;
            int64_t n_tok = b->depth.v[d] + n_new;
            n.n_test++;
            n.n_id = GLIM_MAX(n.n_id, n_tok);
            n.n_stream = GLIM_MAX(n.n_stream, n_stream);
            /* One stream may end in the middle of a page. */
            int64_t all = n_stream == 1 ? n_tok : (n_tok + PAGE - 1) / PAGE * PAGE * n_stream;
            n.n_ctx = GLIM_MAX(n.n_ctx, all);
        }
    }
    return n;
}

/* ---- memory ---------------------------------------------------------------------------------- */

static uint64_t system_peak(void)
{
    struct rusage u;
    if (getrusage(RUSAGE_SELF, &u) != 0 || u.ru_maxrss < 0) return 0;
#if defined(__APPLE__)
    return (uint64_t)u.ru_maxrss;
#else
    return (uint64_t)u.ru_maxrss * 1024;
#endif
}

/* Makes the system forget the peak (Linux), so that memory taken to measure the bandwidth does not
 * stand in the tables. */
static bool reset_peak(void)
{
    FILE *f = fopen("/proc/self/clear_refs", "w");
    if (!f) return false;
    bool ok = fputs("5\n", f) >= 0;
    return fclose(f) == 0 && ok;
}

static uint64_t peak_rss(const bench *b)
{
    return GLIM_MAX(b->peak_rss, system_peak());
}

/* Time that the threads of this process were ready and had no processor, since they began (Linux;
 * false elsewhere). What a virtual machine's host takes is not in it. */
static bool waited_ns(uint64_t *out)
{
    uint64_t sum = 0;
    bool any = false;
    DIR *d = opendir("/proc/self/task");
    for (const struct dirent *x; d && (x = readdir(d));) {
        char path[300], line[128];
        unsigned long long ran, waited;
        snprintf(path, sizeof path, "/proc/self/task/%s/schedstat", x->d_name);
        FILE *f = x->d_name[0] == '.' ? NULL : fopen(path, "r");
        if (f && fgets(line, sizeof line, f) && sscanf(line, "%llu %llu", &ran, &waited) == 2) {
            sum += waited;
            any = true;
        }
        if (f) fclose(f);
    }
    if (d) closedir(d);
    *out = sum;
    return any;
}

/* ---- the machine ----------------------------------------------------------------------------- */

static bool go_on(void *user)
{
    (void)user;
    return !glim_cli_interrupted();
}

static glim_err measure_machine(bench *b, const char *path, glim_machine *out, glim_error *e)
{
    glim_model_opts m;
    glim_machine_opts o;
    glim_cli_model_opts(b->c, GLIM_KV_F16, &m);
    glim_machine_opts_init(&o);
    o.n_thread = m.n_thread;
    o.cpu = m.cpu;
    o.file = path && glim_is_file(path) ? path : NULL;
    o.go_on = go_on;
    glim_cli_say(b->c, "measuring the machine");
    return glim_machine_measure(&o, out, e);
}

/* Bandwidth with as many threads as the model has, now: on a shared machine it is another one a
 * minute later. */
static glim_err measure_read(bench *b, int n_thread, glim_error *e)
{
    glim_machine m;
    glim_machine_opts o;
    uint64_t before = peak_rss(b);
    glim_machine_opts_init(&o);
    o.what = GLIM_MEASURE_READ;
    o.alone = true;
    o.n_thread = n_thread;
    o.go_on = go_on;
    glim_err rc = glim_machine_measure(&o, &m, e);
    if (!rc) b->read_bytes_s = m.point[0].read_bytes_s;
    b->can_reset = reset_peak();
    b->peak_rss = before;
    return rc;
}

/* ---- tokens ---------------------------------------------------------------------------------- */

/* A token that ordinary text is made of: none of the special ones, whose text alone is the token.
 */
static bool is_ordinary(const glim_vocab *v, int32_t id)
{
    glim_str text = glim_token_text(v, id);
    glim_tokens plain = {0}, special = {0};
    bool same = text.n > 0 && !glim_token_is_stop(v, id) &&
                glim_tokenize(v, text, false, &plain, NULL) == GLIM_OK &&
                glim_tokenize(v, text, true, &special, NULL) == GLIM_OK && plain.n == special.n &&
                memcmp(plain.ids, special.ids, plain.n * sizeof *plain.ids) == 0;
    glim_tokens_free(&plain);
    glim_tokens_free(&special);
    return same;
}

static glim_err make_ids(bench *b, int64_t n, glim_error *e)
{
    enum { TRIES = 100 }; /* then any will do: a vocabulary without words is made for measuring */
    const glim_vocab *v = glim_model_vocab(b->m);
    uint64_t n_vocab = glim_vocab_size(v);
    glim_rng rng;
    glim_rng_seed(&rng, 1);
    b->ids = glim_alloc_array((size_t)n, sizeof *b->ids);
    b->n_id = n;
    if (!b->ids) return glim_fail(e, GLIM_E_NOMEM, "%" PRId64 " token ids", n);
    for (int64_t i = 0; i < n && n_vocab; i++)
        for (int k = 0; k < TRIES; k++) {
            b->ids[i] = (int32_t)(glim_rng_u64(&rng) % n_vocab);
            if (is_ordinary(v, b->ids[i])) break;
        }
    return GLIM_OK;
}

/* ---- one test -------------------------------------------------------------------------------- */

static bool take_logits(void *user, int64_t pos, const float *logits, size_t n)
{
    (void)user, (void)pos, (void)logits, (void)n;
    return true;
}

static glim_err eval(bench *b, int64_t stream, int64_t at, int64_t n, bool logits, glim_error *e)
{
    /* Each stream has its own text; a shifted one is as random. */
    glim_session *s = b->session[stream];
    glim_cli_watch(s);
    glim_err rc = GLIM_OK;
    if (stream == 0) {
        rc = glim_session_eval(s, b->ids + at, (size_t)n, false, logits ? take_logits : NULL, NULL,
                               e);
    } else {
        for (int64_t i = 0; !rc && i < n;) {
            int64_t from = (at + i + stream * 7919) % b->n_id, k = GLIM_MIN(n - i, b->n_id - from);
            rc = glim_session_eval(s, b->ids + from, (size_t)k, false,
                                   logits && i + k == n ? take_logits : NULL, NULL, e);
            i += k;
        }
    }
    glim_cli_watch(NULL);
    if (!rc && glim_cli_interrupted()) rc = glim_fail(e, GLIM_E_CANCELLED, "cancelled");
    return rc;
}

/* Brings the first n_stream sessions to the depth and empties the others. */
static glim_err go_to_depth(bench *b, const glim_bench_test *t, glim_error *e)
{
    glim_err rc = GLIM_OK;
    for (int64_t i = t->n_stream; i < STREAMS_MAX && b->session[i]; i++)
        glim_session_truncate(b->session[i], 0);
    for (int64_t i = 0; !rc && i < t->n_stream; i++) {
        glim_session_truncate(b->session[i], t->n_depth);
        int64_t have = glim_session_n_token(b->session[i]);
        if (have < t->n_depth)
            rc = glim_session_fill_noise(b->session[i], t->n_depth - have, (uint64_t)i, e);
    }
    return rc;
}

/* One run of n tokens a stream; ends where it began. */
static glim_err run_once(bench *b, const glim_bench_test *t, int64_t n, double *ns, glim_error *e)
{
    glim_err rc = GLIM_OK;
    uint64_t t0 = glim_now_ns();
    if (t->n_prompt) {
        rc = eval(b, 0, t->n_depth, n, true, e);
    } else {
        for (int64_t i = 0; !rc && i < n; i++)
            for (int64_t s = 0; !rc && s < t->n_stream; s++)
                rc = eval(b, s, t->n_depth + i, 1, true, e);
    }
    *ns = (double)GLIM_MAX(glim_now_ns() - t0, 1);
    for (int64_t s = 0; s < t->n_stream; s++)
        glim_session_truncate(b->session[s], t->n_depth);
    return rc;
}

static glim_err time_runs(bench *b, const glim_bench_test *t, glim_bench_result *r, glim_error *e)
{
    int64_t n = t->n_prompt ? t->n_prompt : t->n_gen;
    double ignored;
    /* The run before: threads awake, pages of the cache there. A long prompt need not be whole. */
    glim_err rc = run_once(b, t, GLIM_MIN(n, t->n_prompt ? 512 : 4), &ignored, e);
    for (int64_t i = 0; !rc && i < r->n_rep; i++) {
        rc = run_once(b, t, n, &r->ns[i], e);
        r->ts[i] = (double)(n * t->n_stream) / r->ns[i] * 1e9;
    }
    return rc;
}

static glim_err run_test(bench *b, const glim_bench_test *t, glim_error *e)
{
    const glim_model_info *info = b->about.info;
    glim_bench_result r = {.test = *t, .n_rep = b->n_rep};
    time_t now = time(NULL);
    struct tm utc;
    if (gmtime_r(&now, &utc)) strftime(r.test_time, sizeof r.test_time, "%Y-%m-%dT%H:%M:%SZ", &utc);
    r.ns = glim_alloc_array((size_t)r.n_rep, sizeof *r.ns);
    r.ts = glim_alloc_array((size_t)r.n_rep, sizeof *r.ts);
    glim_err rc =
        r.ns && r.ts ? GLIM_OK : glim_fail(e, GLIM_E_NOMEM, "%" PRId64 " samples", r.n_rep);
    if (!rc) rc = go_to_depth(b, t, e);
    bool beside = t->n_gen && b->can_reset;
    if (!rc && beside) rc = measure_read(b, info->n_thread, e);
    double read_before = b->read_bytes_s;
    uint64_t waited = 0, waited_after = 0, t0 = glim_now_ns();
    bool known = waited_ns(&waited);
    if (!rc) rc = time_runs(b, t, &r, e);
    known = known && waited_ns(&waited_after) && waited_after >= waited;
    r.wait_share = !known ? NAN
                          : (double)(waited_after - waited) /
                                ((double)GLIM_MAX(glim_now_ns() - t0, 1) * info->n_thread);
    if (!rc && beside) rc = measure_read(b, info->n_thread, e);
    if (!rc && t->n_gen) {
        /* Token i of a run looks back on depth + i and itself. */
        double rows = (double)t->n_depth + (double)(t->n_gen + 1) / 2;
        r.step_bytes = (double)info->step_bytes + (double)info->plan.kv_per_token * rows;
        r.read_bytes_s = (read_before + b->read_bytes_s) / 2;
    }
    r.peak_rss = peak_rss(b);
    if (!rc) rc = glim_bench_row(&b->table, &b->about, &r, e);
    if (!rc && r.wait_share > 0.05) b->disturbed = GLIM_MAX(b->disturbed, r.wait_share);
    glim_free(r.ns);
    glim_free(r.ts);
    return rc;
}

/* ---- all ------------------------------------------------------------------------------------- */

/* "deepseek2 29.9B Q4_K": architecture, parameters, and the type that most of the weights have. */
static glim_err describe(bench *b, glim_error *e)
{
    static const char *const kv[] = {"f16", "bf16", "f32"};
    glim_modelfile *f;
    glim_model_opts o;
    uint64_t bytes[GLIM_TYPE_COUNT] = {0};
    glim_type most = (glim_type)0;
    glim_err rc = glim_modelfile_open(b->about.path, 0, &f, e);
    if (rc) return rc;
    for (size_t i = 0; i < glim_modelfile_n_tensor(f); i++) {
        const glim_tensor *t = glim_modelfile_tensor(f, i);
        bytes[t->type] += t->n_bytes;
        if (bytes[t->type] > bytes[most]) most = t->type;
    }
    glim_modelfile_close(f);
    glim_cli_model_opts(b->c, GLIM_KV_F16, &o);
    const glim_model_info *i = b->about.info = glim_model_get_info(b->m);
    b->about.kv = kv[o.kv];
    bool billions = i->n_param >= 1000000000;
    snprintf(b->about.type, sizeof b->about.type, "%s %.1f%c %s", i->arch,
             (double)i->n_param / (billions ? 1e9 : 1e6), billions ? 'B' : 'M',
             glim_type_get(most)->name);
    return GLIM_OK;
}

static glim_err run_tests(bench *b, const need *n, glim_error *e)
{
    glim_model_opts o;
    glim_cli_model_opts(b->c, GLIM_KV_F16, &o);
    o.n_ctx = GLIM_MAX(o.n_ctx, n->n_ctx);
    glim_err rc = glim_cli_open_model_as(b->c, &o, &b->m, e);
    if (!rc) glim_cli_show_plan();
    if (rc == GLIM_E_CONTEXT && o.n_ctx == n->n_ctx)
        return glim_fail(e, rc,
                         "the tests need a context of %" PRId64 " tokens, more than the model or "
                         "the memory has; ask for less with --prompt, --gen, --depth or --streams",
                         n->n_ctx);
    if (!rc) rc = describe(b, e);
    if (!rc) rc = make_ids(b, n->n_id, e);
    for (int64_t i = 0; !rc && i < n->n_stream; i++)
        rc = glim_session_new(b->m, &b->session[i], e);
    return rc ? rc : each_test(b, run_test, e);
}

static void sort_depths(list *l)
{
    for (size_t i = 1; i < l->n; i++)
        for (size_t k = i; k > 0 && l->v[k - 1] > l->v[k]; k--) {
            int64_t t = l->v[k];
            l->v[k] = l->v[k - 1];
            l->v[k - 1] = t;
        }
}

static glim_err bench_all(bench *b, glim_error *e)
{
    bool machine = glim_cli_opt(b->c, GLIM_O_MACHINE)->on;
    glim_machine figures;
    glim_err rc = read_options(b, e);
    if (rc) return rc;
    sort_depths(&b->depth);
    need n = count_tests(b);
    if (n.n_test == 0 && !machine)
        return glim_fail(e, GLIM_E_USAGE,
                         "--prompt 0 and --gen 0 leave nothing to measure; see glim bench --help");
    if (n.n_test || glim_cli_opt(b->c, GLIM_O_MODEL)->set)
        rc = glim_cli_model_path(b->c, &b->about.path, e);
    else if (glim_cli_model_path(b->c, &b->about.path, NULL))
        b->about.path = NULL; /* the disk is left out */
    if (!rc) glim_cli_catch_interrupt();
    if (!rc && machine) rc = measure_machine(b, b->about.path, &figures, e);
    b->can_reset = reset_peak();
    /* Where the peak cannot be reset the bandwidth is measured once, before there is a model. */
    if (!rc && n.n_test && !b->can_reset) {
        glim_model_opts o;
        glim_cli_model_opts(b->c, GLIM_KV_F16, &o);
        rc = measure_read(b, o.n_thread, e);
    }
    if (!rc) rc = glim_bench_begin(&b->table, b->form, machine ? &figures : NULL, e);
    if (rc) return rc;
    if (n.n_test) rc = run_tests(b, &n, e);
    glim_bench_end(&b->table, b->about.info ? &b->about : NULL);
    if (b->disturbed > 0)
        glim_cli_say(b->c,
                     "other programs were running: the threads waited up to %.0f %% of a test for "
                     "a processor, so the figures are too low",
                     100 * b->disturbed);
    return rc;
}

int glim_cmd_bench(glim_cli *c)
{
    glim_error e = {0};
    bench *b = glim_new0(bench);
    if (!b) {
        (void)!glim_fail(&e, GLIM_E_NOMEM, "no memory to begin with");
        return glim_cli_fail(c, &e);
    }
    b->c = c;
    glim_err rc = bench_all(b, &e);
    for (size_t i = 0; i < STREAMS_MAX; i++)
        glim_session_free(b->session[i]);
    glim_model_close(b->m);
    glim_free(b->ids);
    glim_free(b);
    return rc ? glim_cli_fail(c, &e) : 0;
}
