/* SPDX-License-Identifier: MIT
 * bench_table.c - the tables of glim bench: markdown, JSON, CSV, with llama-bench's names first.
 * A row is printed when its test is done: a long run that is stopped leaves what it has. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "cli/bench_priv.h"

/* ---- figures --------------------------------------------------------------------------------- */

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

glim_bench_stat glim_bench_stat_of(const double *v, int64_t n)
{
    glim_bench_stat s = {0};
    double sum = 0, squares = 0;
    double *sorted = glim_alloc_array((size_t)n, sizeof *sorted);
    for (int64_t i = 0; i < n; i++)
        sum += v[i];
    s.mean = sum / (double)n;
    for (int64_t i = 0; i < n; i++)
        squares += (v[i] - s.mean) * (v[i] - s.mean);
    s.deviation = n > 1 ? sqrt(squares / (double)(n - 1)) : 0;
    s.median = s.mean; /* where memory for a few numbers is missing */
    if (sorted) {
        memcpy(sorted, v, (size_t)n * sizeof *sorted);
        qsort(sorted, (size_t)n, sizeof *sorted, ascending);
        s.median = (sorted[(n - 1) / 2] + sorted[n / 2]) / 2;
    }
    glim_free(sorted);
    return s;
}

/* Bytes of weights and cache read a second; NaN where that says nothing. */
static double gen_bytes_s(const glim_bench_result *r)
{
    return r->step_bytes > 0 ? r->step_bytes * glim_bench_stat_of(r->ts, r->n_rep).median : NAN;
}

static double read_share(const glim_bench_result *r)
{
    return r->step_bytes > 0 && r->read_bytes_s > 0 ? gen_bytes_s(r) / r->read_bytes_s : NAN;
}

/* ---- JSON and CSV ---------------------------------------------------------------------------- */

typedef struct cell {
    const char *key;
    enum { TEXT, WHOLE, REAL, TRUTH } kind;
    const char *text;
    int64_t whole;
    double real; /* NaN: null */
} cell;
#define N_CELL 32

static size_t make_cells(const glim_bench_model *m, const glim_bench_result *r, cell *c)
{
    size_t n = 0;
    const glim_model_info *i = m->info;
    glim_bench_stat ns = glim_bench_stat_of(r->ns, r->n_rep),
                    ts = glim_bench_stat_of(r->ts, r->n_rep);
#define PUT(k, kd, field, value) c[n++] = (cell){.key = (k), .kind = (kd), .field = (value)}
    PUT("build_commit", TEXT, text, glim_version());
    PUT("build_number", WHOLE, whole, 0);
    PUT("cpu_info", TEXT, text, glim_cpu_model());
    PUT("gpu_info", TEXT, text, "");
    PUT("backends", TEXT, text, "CPU");
    PUT("model_filename", TEXT, text, m->path);
    PUT("model_type", TEXT, text, m->type);
    PUT("model_size", WHOLE, whole, (int64_t)i->plan.weights);
    PUT("model_n_params", WHOLE, whole, (int64_t)i->n_param);
    PUT("n_batch", WHOLE, whole, i->n_chunk);
    PUT("n_ubatch", WHOLE, whole, i->n_chunk);
    PUT("n_threads", WHOLE, whole, i->n_thread);
    PUT("type_k", TEXT, text, m->kv);
    PUT("type_v", TEXT, text, m->kv);
    PUT("use_mmap", TRUTH, whole, 1);
    PUT("n_prompt", WHOLE, whole, r->test.n_prompt);
    PUT("n_gen", WHOLE, whole, r->test.n_gen);
    PUT("n_depth", WHOLE, whole, r->test.n_depth);
    PUT("test_time", TEXT, text, r->test_time);
    PUT("avg_ns", WHOLE, whole, (int64_t)ns.mean);
    PUT("stddev_ns", WHOLE, whole, (int64_t)ns.deviation);
    PUT("avg_ts", REAL, real, ts.mean);
    PUT("stddev_ts", REAL, real, ts.deviation);
    /* from here on our own */
    PUT("median_ts", REAL, real, ts.median);
    PUT("n_streams", WHOLE, whole, r->test.n_stream);
    PUT("cpu_level", TEXT, text, i->cpu);
    PUT("token_bytes", REAL, real, r->step_bytes > 0 ? r->step_bytes : NAN);
    PUT("gen_bytes_s", REAL, real, gen_bytes_s(r));
    PUT("read_bytes_s", REAL, real, r->read_bytes_s > 0 ? r->read_bytes_s : NAN);
    PUT("read_share", REAL, real, read_share(r));
    PUT("wait_share", REAL, real, r->wait_share);
    PUT("peak_rss", WHOLE, whole, (int64_t)r->peak_rss);
#undef PUT
    return n;
}

static void write_samples(glim_jw *w, const char *key, const double *v, int64_t n, bool whole)
{
    glim_jw_key(w, key);
    glim_jw_array(w);
    for (int64_t i = 0; i < n; i++) {
        if (whole)
            glim_jw_i64(w, (int64_t)v[i]);
        else
            glim_jw_f64(w, v[i]);
    }
    glim_jw_array_end(w);
}

static glim_err json_row(const glim_bench_table *t, const cell *c, size_t n,
                         const glim_bench_result *r, glim_error *e)
{
    glim_buf b;
    glim_jw w;
    glim_buf_init(&b, SIZE_MAX / 2);
    glim_buf_adds(&b, t->any_row ? ",\n" : "");
    glim_jw_init(&w, &b);
    glim_jw_object(&w);
    for (size_t i = 0; i < n; i++) {
        glim_jw_key(&w, c[i].key);
        if (c[i].kind == TEXT)
            glim_jw_str(&w, glim_str_of(c[i].text));
        else if (c[i].kind == WHOLE)
            glim_jw_i64(&w, c[i].whole);
        else if (c[i].kind == TRUTH)
            glim_jw_bool(&w, c[i].whole != 0);
        else
            glim_jw_f64(&w, c[i].real);
    }
    write_samples(&w, "samples_ns", r->ns, r->n_rep, true);
    write_samples(&w, "samples_ts", r->ts, r->n_rep, false);
    glim_jw_object_end(&w);
    return glim_cli_emit(&b, e);
}

static void csv_text(const char *s)
{
    putchar('"');
    for (; *s; s++) {
        if (*s == '"') putchar('"');
        putchar(*s);
    }
    putchar('"');
}

static void csv_row(const glim_bench_table *t, const cell *c, size_t n)
{
    for (size_t i = 0; i < n && !t->any_row; i++)
        printf("%s%s", c[i].key, i + 1 < n ? "," : "\n");
    for (size_t i = 0; i < n; i++) {
        if (c[i].kind == TEXT)
            csv_text(c[i].text);
        else if (c[i].kind != REAL)
            printf("\"%" PRId64 "\"", c[i].whole);
        else if (!isnan(c[i].real))
            printf("\"%.6f\"", c[i].real);
        putchar(i + 1 < n ? ',' : '\n');
    }
}

/* ---- markdown -------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    int width;
    bool right;
} columns[] = {{"model", 28, false},     {"size", 10, true},    {"params", 10, true},
               {"backend", 7, false},    {"threads", 7, true},  {"type_k", 6, true},
               {"test", 20, true},       {"t/s", 18, true},     {"GB/s", 7, true},
               {"read share", 10, true}, {"peak RSS", 10, true}};

/* s in a field, padded by what is seen: "±" is two bytes and one column. */
static void md_cell(size_t i, const char *s)
{
    int n = 0, width = columns[i].width;
    for (const char *p = s; *p; p++)
        n += ((unsigned char)*p & 0xc0) != 0x80;
    int pad = GLIM_MAX(width - n, 0);
    printf("| %*s%s%*s ", columns[i].right ? pad : 0, "", s, columns[i].right ? 0 : pad, "");
}

static void md_head(void)
{
    for (size_t i = 0; i < GLIM_COUNT(columns); i++)
        md_cell(i, columns[i].name);
    puts("|");
    for (size_t i = 0; i < GLIM_COUNT(columns); i++) {
        static const char dashes[] = "----------------------------------------";
        printf("| %.*s%s ", columns[i].width - columns[i].right, dashes,
               columns[i].right ? ":" : "");
    }
    puts("|");
}

static void count_text(uint64_t n, char out[32])
{
    if (n >= 1000000000)
        snprintf(out, 32, "%.2f B", (double)n / 1e9);
    else
        snprintf(out, 32, "%.2f M", (double)n / 1e6);
}

/* "tg128 @ d4096", with more than one stream "tg128 x8 @ d4096". */
static void test_text(const glim_bench_test *t, char out[64])
{
    char streams[24] = "", depth[32] = "";
    if (t->n_stream > 1) snprintf(streams, sizeof streams, " x%" PRId64, t->n_stream);
    if (t->n_depth) snprintf(depth, sizeof depth, " @ d%" PRId64, t->n_depth);
    snprintf(out, 64, "%s%" PRId64 "%s%s", t->n_gen ? "tg" : "pp",
             t->n_gen ? t->n_gen : t->n_prompt, streams, depth);
}

static void md_row(const glim_bench_table *t, const glim_bench_model *m, const glim_bench_result *r)
{
    char size[32], params[32], threads[16], test[64], ts[64], gbs[32] = "", share[32] = "", rss[32];
    glim_bench_stat s = glim_bench_stat_of(r->ts, r->n_rep);
    if (!t->any_row) md_head();
    count_text(m->info->n_param, params);
    snprintf(threads, sizeof threads, "%d", m->info->n_thread);
    test_text(&r->test, test);
    snprintf(ts, sizeof ts, "%.2f \xC2\xB1 %.2f", s.median, s.deviation);
    if (r->step_bytes > 0) snprintf(gbs, sizeof gbs, "%.2f", gen_bytes_s(r) / 1e9);
    if (!isnan(read_share(r))) snprintf(share, sizeof share, "%.1f %%", 100 * read_share(r));
    const char *const cells[] = {m->type,
                                 glim_cli_bytes(m->info->plan.weights, size),
                                 params,
                                 "CPU",
                                 threads,
                                 m->kv,
                                 test,
                                 ts,
                                 gbs,
                                 share,
                                 glim_cli_bytes(r->peak_rss, rss)};
    for (size_t i = 0; i < GLIM_COUNT(cells); i++)
        md_cell(i, cells[i]);
    puts("|");
}

/* ---- the machine ----------------------------------------------------------------------------- */

static const char *disk_mode(const glim_machine *m)
{
    return m->disk_mode == GLIM_DISK_DIRECT ? "past the page cache" : "through the page cache";
}

static void machine_md(const glim_machine *m)
{
    printf("%s, kernels %s\n\n", m->cpu_model, m->cpu);
    puts("| threads | read GB/s | Q4_K GOPS | Q8_0 GOPS | BF16 GFLOPS | F32 GFLOPS | barrier us |\n"
         "| ------: | --------: | --------: | --------: | ----------: | ---------: | ---------: |");
    for (int i = 0; i < m->n_point; i++) {
        const glim_machine_point *p = &m->point[i];
        printf("| %7d | %9.1f | %9.1f | %9.1f | %11.1f | %10.1f | %10.2f |\n", p->n_thread,
               p->read_bytes_s / 1e9, p->q4_k_ops_s / 1e9, p->q8_0_ops_s / 1e9, p->bf16_ops_s / 1e9,
               p->f32_ops_s / 1e9, p->barrier_ns / 1e3);
    }
    if (m->disk_bytes_s > 0) {
        printf("\ndisk, %s: %.2f GB/s", disk_mode(m), m->disk_bytes_s / 1e9);
        if (m->disk_random_bytes_s > 0)
            printf(", at random places %.2f GB/s", m->disk_random_bytes_s / 1e9);
        putchar('\n');
    }
    putchar('\n');
}

static void machine_csv(const glim_machine *m)
{
    puts("cpu_info,cpu_level,n_threads,read_bytes_s,q4_k_ops_s,q8_0_ops_s,bf16_ops_s,f32_ops_s,"
         "barrier_ns,disk_bytes_s,disk_random_bytes_s,disk_mode");
    for (int i = 0; i < m->n_point; i++) {
        const glim_machine_point *p = &m->point[i];
        csv_text(m->cpu_model);
        printf(",\"%s\",\"%d\",\"%.0f\",\"%.0f\",\"%.0f\",\"%.0f\",\"%.0f\",\"%.1f\",\"%.0f\","
               "\"%.0f\",\"%s\"\n",
               m->cpu, p->n_thread, p->read_bytes_s, p->q4_k_ops_s, p->q8_0_ops_s, p->bf16_ops_s,
               p->f32_ops_s, p->barrier_ns, m->disk_bytes_s, m->disk_random_bytes_s, disk_mode(m));
    }
    putchar('\n');
}

static glim_err machine_json(const glim_machine *m, glim_error *e)
{
    glim_buf b;
    glim_jw w;
    glim_buf_init(&b, SIZE_MAX / 2);
    glim_buf_adds(&b, "{\"machine\":");
    glim_jw_init(&w, &b);
    glim_jw_object(&w);
    glim_jw_key(&w, "cpu_info");
    glim_jw_str(&w, glim_str_of(m->cpu_model));
    glim_jw_key(&w, "cpu_level");
    glim_jw_str(&w, glim_str_of(m->cpu));
    glim_jw_key(&w, "points");
    glim_jw_array(&w);
    for (int i = 0; i < m->n_point; i++) {
        const glim_machine_point *p = &m->point[i];
        const struct {
            const char *key;
            double value;
        } rows[] = {{"read_bytes_s", p->read_bytes_s}, {"q4_k_ops_s", p->q4_k_ops_s},
                    {"q8_0_ops_s", p->q8_0_ops_s},     {"bf16_ops_s", p->bf16_ops_s},
                    {"f32_ops_s", p->f32_ops_s},       {"barrier_ns", p->barrier_ns}};
        glim_jw_object(&w);
        glim_jw_key(&w, "n_threads");
        glim_jw_i64(&w, p->n_thread);
        for (size_t k = 0; k < GLIM_COUNT(rows); k++) {
            glim_jw_key(&w, rows[k].key);
            glim_jw_f64(&w, rows[k].value);
        }
        glim_jw_object_end(&w);
    }
    glim_jw_array_end(&w);
    glim_jw_key(&w, "read_size");
    glim_jw_u64(&w, m->read_size_bytes);
    glim_jw_key(&w, "disk_bytes_s");
    glim_jw_f64(&w, m->disk_bytes_s > 0 ? m->disk_bytes_s : NAN);
    glim_jw_key(&w, "disk_random_bytes_s");
    glim_jw_f64(&w, m->disk_random_bytes_s > 0 ? m->disk_random_bytes_s : NAN);
    glim_jw_key(&w, "disk_direct");
    glim_jw_bool(&w, m->disk_mode == GLIM_DISK_DIRECT);
    glim_jw_object_end(&w);
    glim_buf_adds(&b, ",\n\"tests\":");
    return glim_cli_emit(&b, e);
}

/* ---- order ----------------------------------------------------------------------------------- */

glim_err glim_bench_begin(glim_bench_table *t, glim_bench_form form, const glim_machine *machine,
                          glim_error *e)
{
    *t = (glim_bench_table){.form = form, .with_machine = machine != NULL};
    glim_err rc = GLIM_OK;
    if (form == GLIM_BENCH_JSON) {
        if (machine) rc = machine_json(machine, e);
        if (!rc) puts("[");
    } else if (machine && form == GLIM_BENCH_MD) {
        machine_md(machine);
    } else if (machine) {
        machine_csv(machine);
    }
    fflush(stdout);
    return rc;
}

glim_err glim_bench_row(glim_bench_table *t, const glim_bench_model *m, const glim_bench_result *r,
                        glim_error *e)
{
    cell cells[N_CELL];
    glim_err rc = GLIM_OK;
    size_t n = make_cells(m, r, cells);
    if (t->form == GLIM_BENCH_MD)
        md_row(t, m, r);
    else if (t->form == GLIM_BENCH_CSV)
        csv_row(t, cells, n);
    else
        rc = json_row(t, cells, n, r, e);
    if (!rc) t->any_row = true;
    fflush(stdout);
    return rc;
}

void glim_bench_end(glim_bench_table *t, const glim_bench_model *m)
{
    if (t->form == GLIM_BENCH_JSON)
        printf("%s]%s\n", t->any_row ? "\n" : "", t->with_machine ? "}" : "");
    else if (t->form == GLIM_BENCH_MD && m)
        printf("\nglim %s, %s, kernels %s\n", glim_version(), glim_cpu_model(), m->info->cpu);
}
