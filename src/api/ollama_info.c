/* SPDX-License-Identifier: MIT
 * ollama_info.c - what Ollama's clients ask beside generating: which models there are, what one is,
 * a pull of what is there.
 * Owns:   the spelling of names, times and sizes on these routes.
 * Not here: what a model file says of itself (the caller's glim_model_facts).
 * Thread: any, pure.
 * Fails:  what the buffer gives (NOMEM, LIMIT); decoding: INPUT with the path, as a problem.
 * See:    tests/unit/api/test_ollama_info.c */
#include "api/ollama_priv.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <time.h>

/* What is said of a model without facts. */
static const glim_model_facts no_facts = {
    .temperature = NAN,
    .top_p = NAN,
    .min_p = NAN,
    .top_k = -1,
};

static const glim_model_facts *facts_of(const glim_api_model *m)
{
    return m->facts ? m->facts : &no_facts;
}

/* Never short: clients cut twelve digits off it without looking. */
static const char *digest_of(const glim_api_model *m)
{
    const char *digest = facts_of(m)->digest;
    return digest[0] ? digest : "0000000000000000000000000000000000000000000000000000000000000000";
}

/* ---- spellings ------------------------------------------------------------------------------- */

const char *glim_ollama_time(int64_t s, uint32_t ns, char out[GLIM_OLLAMA_TIME_BYTES])
{
    const int64_t last = 253402300799; /* of the year 9999 */
    time_t t = (time_t)GLIM_MAX((int64_t)0, GLIM_MIN(s, last));
    struct tm tm = {0};
    gmtime_r(&t, &tm);
    /* The remainders tell the compiler that it fits. */
    snprintf(out, GLIM_OLLAMA_TIME_BYTES, "%04d-%02d-%02dT%02d:%02d:%02d.%09uZ",
             (tm.tm_year + 1900) % 10000, (tm.tm_mon + 1) % 100, tm.tm_mday % 100, tm.tm_hour % 100,
             tm.tm_min % 100, tm.tm_sec % 100, (unsigned)(ns % 1000000000u));
    return out;
}

static void put_time(glim_jw *w, const char *key, int64_t s)
{
    char text[GLIM_OLLAMA_TIME_BYTES];
    glim_jw_key(w, key);
    glim_jw_str(w, glim_str_of(glim_ollama_time(s, 0, text)));
}

static void put_str(glim_jw *w, const char *key, glim_str s)
{
    glim_jw_key(w, key);
    glim_jw_str(w, s);
}

/* Names without a tag mean the latest. A colon before the last slash belongs to a host. */
static void put_name(glim_jw *w, const char *key, glim_str id)
{
    bool tagged = false;
    for (size_t i = id.n; i-- > 0 && id.p[i] != '/';)
        tagged = tagged || id.p[i] == ':';
    glim_jw_key(w, key);
    if (tagged) {
        glim_jw_str(w, id);
        return;
    }
    glim_buf b;
    glim_buf_init(&b, id.n + sizeof ":latest");
    glim_buf_addv(&b, id);
    glim_buf_adds(&b, ":latest");
    if (b.err && !w->b->err) w->b->err = b.err;
    glim_jw_str(w, glim_buf_view(&b));
    glim_buf_deinit(&b);
}

/* "30.5B", "23.4M", "512.0K", "7". */
static void put_count(glim_jw *w, const char *key, uint64_t n)
{
    static const struct {
        uint64_t one;
        char name;
    } units[] = {{1000, 'K'}, {1000000, 'M'}, {1000000000, 'B'}, {1000000000000, 'T'}};
    char text[40];
    snprintf(text, sizeof text, "%" PRIu64, n);
    /* The next unit where the figure would round to a thousand of this one. */
    uint64_t tenths = n < 1000 ? 0 : 10000;
    for (size_t i = 0; i < GLIM_COUNT(units) && tenths >= 10000; i++) {
        uint64_t tenth = units[i].one / 10;
        tenths = n / tenth + (n % tenth >= tenth / 2);
        snprintf(text, sizeof text, "%" PRIu64 ".%" PRIu64 "%c", tenths / 10, tenths % 10,
                 units[i].name);
    }
    glim_jw_key(w, key);
    glim_jw_str(w, glim_str_of(text));
}

static void put_details(glim_jw *w, const glim_api_model *m)
{
    const glim_model_facts *f = facts_of(m);
    glim_jw_key(w, "details");
    glim_jw_object(w);
    put_str(w, "parent_model", GLIM_STR(""));
    put_str(w, "format", f->format);
    put_str(w, "family", f->arch);
    glim_jw_key(w, "families");
    glim_jw_array(w);
    if (f->arch.n) glim_jw_str(w, f->arch);
    glim_jw_array_end(w);
    put_count(w, "parameter_size", m->n_param);
    put_str(w, "quantization_level", f->quant);
    glim_jw_object_end(w);
}

/* ---- lists ----------------------------------------------------------------------------------- */

/* The members that both lists have, up to the closing brace. */
static void begin_model(glim_jw *w, const glim_api_model *m)
{
    glim_jw_object(w);
    put_name(w, "name", m->id);
    put_name(w, "model", m->id);
    glim_jw_key(w, "size");
    glim_jw_u64(w, m->size_bytes);
    put_str(w, "digest", glim_str_of(digest_of(m)));
    put_details(w, m);
}

/* Without a template nothing tells thoughts and calls from text. */
static void put_capabilities(glim_jw *w, const glim_api_model *m)
{
    glim_jw_key(w, "capabilities");
    glim_jw_array(w);
    if (m->kind != GLIM_API_CHAT) {
        glim_jw_str(w, glim_str_of(glim_api_kind_name(m->kind))); /* "rerank" is a word of ours */
    } else {
        glim_jw_str(w, GLIM_STR("completion"));
        if (facts_of(m)->template_name.n) {
            glim_jw_str(w, GLIM_STR("tools"));
            glim_jw_str(w, GLIM_STR("thinking"));
        }
    }
    glim_jw_array_end(w);
}

static int64_t modified_s(const glim_api_model *m)
{
    return m->facts ? m->facts->modified_s : m->created_s;
}

static void begin_list(glim_jw *w, glim_buf *out)
{
    glim_jw_init(w, out);
    glim_jw_object(w);
    glim_jw_key(w, "models");
    glim_jw_array(w);
}

static glim_err end_list(glim_jw *w)
{
    glim_jw_array_end(w);
    glim_jw_object_end(w);
    return w->b->err;
}

glim_err glim_ollama_tags_encode(const glim_api_model *m, size_t n, glim_buf *out)
{
    glim_jw w;
    begin_list(&w, out);
    for (size_t i = 0; i < n; i++) {
        begin_model(&w, &m[i]);
        put_time(&w, "modified_at", modified_s(&m[i]));
        put_capabilities(&w, &m[i]);
        glim_jw_object_end(&w);
    }
    return end_list(&w);
}

glim_err glim_ollama_ps_encode(const glim_api_model *m, size_t n, int64_t now_s, glim_buf *out)
{
    const int64_t century_s = (int64_t)36525 * 86400;
    glim_jw w;
    begin_list(&w, out);
    for (size_t i = 0; i < n; i++) {
        if (!m[i].loaded) continue;
        begin_model(&w, &m[i]);
        put_time(&w, "expires_at", now_s + century_s);
        glim_jw_key(&w, "size_vram");
        glim_jw_u64(&w, 0);
        glim_jw_key(&w, "context_length");
        glim_jw_i64(&w, m[i].n_ctx);
        glim_jw_object_end(&w);
    }
    return end_list(&w);
}

/* ---- one model ------------------------------------------------------------------------------- */

/* What the model takes where a request says nothing, a line each; values that do nothing are left
 * out. */
static void add_parameters(const glim_api_model *m, const char *line, glim_buf *b)
{
    const glim_model_facts *f = facts_of(m);
    const bool samples = m->kind == GLIM_API_CHAT;
    const struct {
        const char *name;
        float value;
        bool given;
    } floats[] = {
        {"temperature", f->temperature, samples && f->temperature >= 0},
        {"top_p", f->top_p, samples && f->top_p > 0},
        {"min_p", f->min_p, samples && f->min_p > 0},
    };
    for (size_t i = 0; i < GLIM_COUNT(floats); i++) {
        if (!floats[i].given) continue;
        glim_jw w;
        glim_buf_addf(b, "%s%s ", line, floats[i].name);
        glim_jw_init(&w, b);
        glim_jw_f32(&w, floats[i].value);
        glim_buf_addc(b, '\n');
    }
    if (samples && f->top_k > 0) glim_buf_addf(b, "%stop_k %" PRId32 "\n", line, f->top_k);
    if (m->n_ctx > 0) glim_buf_addf(b, "%snum_ctx %" PRId64 "\n", line, m->n_ctx);
}

static void put_texts(glim_jw *w, const glim_api_model *m)
{
    glim_buf b;
    glim_buf_init(&b, (size_t)1 << 20);
    glim_buf_adds(&b, "# what glim serves, in a Modelfile's words\nFROM ");
    for (size_t i = 0; i < m->id.n; i++) /* one line, whatever the name holds */
        glim_buf_addc(&b, (unsigned char)m->id.p[i] < 0x20 ? ' ' : m->id.p[i]);
    glim_buf_addc(&b, '\n');
    add_parameters(m, "PARAMETER ", &b);
    put_str(w, "modelfile", glim_buf_view(&b));
    glim_buf_cut(&b, 0);
    add_parameters(m, "", &b);
    put_str(w, "parameters", glim_str_trim(glim_buf_view(&b), "\n"));
    if (b.err && !w->b->err) w->b->err = b.err;
    glim_buf_deinit(&b);
}

/* Counts that are unknown (0) are left out. */
static void put_model_info(glim_jw *w, const glim_api_model *m)
{
    const glim_model_facts *f = facts_of(m);
    const struct {
        const char *key;
        int64_t n;
    } counts[] = {
        {"context_length", m->n_ctx_train}, {"embedding_length", f->n_embd},
        {"block_count", f->n_layer},        {"attention.head_count", f->n_head},
        {"expert_count", f->n_expert},      {"expert_used_count", f->n_expert_used},
        {"vocab_size", f->n_vocab},
    };
    glim_str arch = f->arch.n ? f->arch : GLIM_STR("unknown");
    glim_jw_key(w, "model_info");
    glim_jw_object(w);
    put_str(w, "general.architecture", arch);
    glim_jw_key(w, "general.parameter_count");
    glim_jw_u64(w, m->n_param);
    for (size_t i = 0; i < GLIM_COUNT(counts); i++) {
        char key[160];
        if (counts[i].n <= 0) continue;
        snprintf(key, sizeof key, "%.*s.%s", (int)GLIM_MIN(arch.n, (size_t)100), arch.p,
                 counts[i].key);
        glim_jw_key(w, key);
        glim_jw_i64(w, counts[i].n);
    }
    glim_jw_object_end(w);
}

glim_err glim_ollama_show_encode(const glim_api_model *m, bool verbose, glim_buf *out)
{
    const glim_model_facts *f = facts_of(m);
    glim_jw w;
    (void)verbose; /* would add every tensor and token: megabytes that no client of it needs */
    glim_jw_init(&w, out);
    glim_jw_object(&w);
    put_str(&w, "license", f->license);
    put_texts(&w, m);
    put_str(&w, "template", f->template_text);
    put_details(&w, m);
    put_model_info(&w, m);
    put_capabilities(&w, m);
    put_time(&w, "modified_at", modified_s(m));
    glim_jw_object_end(&w);
    return out->err;
}

/* ---- names and pulls ------------------------------------------------------------------------- */

/* What else these bodies hold (insecure, username, password, system, template, options) has no
 * effect on what is already there. */
static glim_err read_name(const glim_json *root, glim_str *model, bool *verbose, bool *stream,
                          glim_error *e)
{
    glim_tristate all = GLIM_OFF, lines = GLIM_ON, insecure = GLIM_OFF;
    if (root->type != GLIM_JSON_OBJECT)
        return glim_api_wrong_type(NULL, "a request object", root, e);
    const char *key = glim_api_given(root, "model") ? "model" : "name";
    if (!glim_api_given(root, key))
        return glim_api_fail(GLIM_API_KEY(NULL, "model"), GLIM_E_INPUT, root, e,
                             "missing; name a model, or send \"\" for the one that is loaded");
    glim_err rc = glim_api_str(NULL, root, key, model, e);
    if (!rc) rc = glim_api_bool(NULL, root, "verbose", &all, e);
    if (!rc) rc = glim_api_bool(NULL, root, "stream", &lines, e);
    if (!rc) rc = glim_api_bool(NULL, root, "insecure", &insecure, e);
    if (rc) return rc;
    /* Both may stand there, one of them empty. */
    if (model->n == 0 && key[0] == 'm') rc = glim_api_str(NULL, root, "name", model, e);
    if (verbose) *verbose = all == GLIM_ON;
    if (stream) *stream = lines == GLIM_ON;
    return rc;
}

glim_err glim_ollama_name_decode(glim_arena *a, glim_str body, glim_str *model, bool *verbose,
                                 bool *stream, glim_problem *p)
{
    glim_error e = {0};
    glim_json *root;
    *model = GLIM_STR("");
    if (verbose) *verbose = false;
    if (stream) *stream = true;
    glim_err rc = glim_json_parse(a, body, &root, &e);
    if (!rc) rc = read_name(root, model, verbose, stream, &e);
    return glim_api_end_decode(rc, &e, p);
}

glim_err glim_ollama_pull_encode(bool stream, const glim_api_model *m, glim_buf *out)
{
    const char *digest = digest_of(m);
    size_t n_before = out->n;
    if (stream)
        glim_buf_addf(out,
                      "{\"status\":\"pulling manifest\"}\n"
                      "{\"status\":\"pulling %.12s\",\"digest\":\"sha256:%s\",\"total\":%" PRIu64
                      ",\"completed\":%" PRIu64 "}\n",
                      digest, digest, m->size_bytes, m->size_bytes);
    glim_buf_adds(out, stream ? "{\"status\":\"success\"}\n" : "{\"status\":\"success\"}");
    if (out->err) glim_buf_cut(out, n_before);
    return out->err;
}
