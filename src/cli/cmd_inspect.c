/* SPDX-License-Identifier: MIT
 * cmd_inspect.c - glim inspect: what a model file holds and what running it takes.
 * A file that glim cannot run is listed all the same: that is when one wants to look into it. */
#include <inttypes.h>

#include "cli/cli_priv.h"
#include "formats/formats.h"

#define N_FIRST 4 /* elements of a long array that are shown */

static const char *elem_name(glim_meta_type t)
{
    switch (t) {
    case GLIM_META_U64:
    case GLIM_META_I64:
        return "integers";
    case GLIM_META_F64:
        return "numbers";
    case GLIM_META_BOOL:
        return "booleans";
    case GLIM_META_STR:
        return "strings";
    case GLIM_META_ARRAY:
        break;
    }
    return "arrays";
}

/* ---- as text --------------------------------------------------------------------------------- */

static void print_array(const glim_meta *m)
{
    glim_meta_iter it = {.m = m};
    printf("%" PRIu64 " %s", m->n_elem, elem_name(m->elem));
    const char *sep = ": ";
    for (int i = 0; i < N_FIRST; i++, sep = ", ") {
        glim_str s;
        int64_t i64;
        double f64;
        if (m->elem == GLIM_META_STR && glim_meta_next_str(&it, &s))
            printf("%s%s", sep, GLIM_QUOTE(s));
        else if (m->elem == GLIM_META_F64 && glim_meta_next_f64(&it, &f64))
            printf("%s%.7g", sep, f64);
        else if (m->elem != GLIM_META_STR && m->elem != GLIM_META_F64 &&
                 glim_meta_next_i64(&it, &i64))
            printf("%s%" PRId64, sep, i64);
        else
            break;
    }
    puts(m->n_elem > N_FIRST ? ", ..." : "");
}

static void print_meta(const glim_meta *m)
{
    char key[96];
    glim_quote(m->key, key, sizeof key);
    key[strlen(key) - 1] = 0; /* without its quotes: keys are plain words in every honest file */
    printf("  %-42s ", key + 1);
    switch (m->type) {
    case GLIM_META_U64:
        printf("%" PRIu64 "\n", m->u64);
        break;
    case GLIM_META_I64:
        printf("%" PRId64 "\n", m->i64);
        break;
    case GLIM_META_F64:
        printf("%.7g\n", m->f64);
        break;
    case GLIM_META_BOOL:
        puts(m->u64 ? "true" : "false");
        break;
    case GLIM_META_STR:
        printf("%s\n", GLIM_QUOTE(m->str));
        break;
    case GLIM_META_ARRAY:
        print_array(m);
        break;
    }
}

static void print_config(const glim_json *config)
{
    GLIM_JSON_EACH(v, config)
    {
        char key[96];
        glim_quote(v->key, key, sizeof key);
        key[strlen(key) - 1] = 0;
        printf("  %-42s ", key + 1);
        if (v->type == GLIM_JSON_STRING || v->type == GLIM_JSON_ARRAY ||
            v->type == GLIM_JSON_OBJECT)
            printf("%s\n", GLIM_QUOTE(v->text));
        else if (v->type == GLIM_JSON_NUMBER)
            printf("%.*s\n", GLIM_STR_ARG(v->text));
        else
            puts(v->type == GLIM_JSON_TRUE    ? "true"
                 : v->type == GLIM_JSON_FALSE ? "false"
                                              : "null");
    }
}

static void shape_text(const glim_tensor *t, char out[96])
{
    size_t n = 0;
    for (int d = 0; d < t->n_dim && n < 90; d++)
        n += (size_t)GLIM_MAX(0, snprintf(out + n, 96 - n, "%s%" PRId64, d ? " x " : "", t->ne[d]));
    if (t->n_dim == 0) snprintf(out, 96, "1");
}

static void print_file(const glim_modelfile *f)
{
    char bytes[32], shape[96], name[96];
    printf("%s\n", GLIM_QUOTE(glim_str_of(glim_modelfile_path(f))));
    printf("  %s, %zu part%s, %s (%" PRIu64 " bytes)\n",
           glim_modelfile_container(f) == GLIM_CONTAINER_GGUF ? "GGUF" : "safetensors",
           glim_modelfile_n_part(f), glim_modelfile_n_part(f) == 1 ? "" : "s",
           glim_cli_bytes(glim_modelfile_bytes(f), bytes), glim_modelfile_bytes(f));
    printf("\nMetadata\n");
    for (size_t i = 0; i < glim_modelfile_n_meta(f); i++)
        print_meta(glim_modelfile_meta_at(f, i));
    if (glim_modelfile_container(f) == GLIM_CONTAINER_SAFETENSORS)
        print_config(glim_modelfile_config(f));
    printf("\nTensors (%zu)\n  %-42s %-8s %-24s %s\n", glim_modelfile_n_tensor(f), "name", "type",
           "shape", "bytes");
    for (size_t i = 0; i < glim_modelfile_n_tensor(f); i++) {
        const glim_tensor *t = glim_modelfile_tensor(f, i);
        shape_text(t, shape);
        glim_quote(t->name, name, sizeof name);
        name[strlen(name) - 1] = 0;
        printf("  %-42s %-8s %-24s %zu\n", name + 1, glim_type_get(t->type)->name, shape,
               t->n_bytes);
    }
}

static void print_plan(const glim_memory_plan *p, const char *kv)
{
    char b[32];
    printf("\nMemory (key/value cache in %s)\n", kv);
    printf("  %-42s %s\n", "weights, mapped from the file", glim_cli_bytes(p->weights, b));
    printf("  %-42s %s\n", "weights in another layout", glim_cli_bytes(p->derived, b));
    printf("  %-42s %s\n", "working memory", glim_cli_bytes(p->scratch, b));
    printf("  %-42s %" PRIu64 " bytes\n", "key/value cache, a token", p->kv_per_token);
    printf("  %-42s %s for %" PRId64 " tokens\n", "key/value cache, the context",
           glim_cli_bytes(p->kv, b), p->n_ctx);
    if (p->available)
        printf("  %-42s %s\n", "memory available now", glim_cli_bytes(p->available, b));
    if (p->n_ctx_fit == INT64_MAX)
        printf("  %-42s unknown\n", "tokens that fit");
    else
        printf("  %-42s %" PRId64 "\n", "tokens that fit", p->n_ctx_fit);
    printf("  %-42s %" PRId64 "\n", "tokens the model was made for", p->n_ctx_model);
}

static const char *const poolings[] = {[GLIM_POOLING_UNSET] = "none",
                                       [GLIM_POOLING_MEAN] = "mean",
                                       [GLIM_POOLING_CLS] = "cls",
                                       [GLIM_POOLING_LAST] = "last"};

static void print_encoder(const glim_encoder_info *i)
{
    char b[32];
    printf("\nEncoder\n");
    printf("  %-42s %s\n", "kind", glim_model_kind_name(i->kind));
    printf("  %-42s %" PRId64 "\n", "elements of a vector", i->n_embd);
    printf("  %-42s %s%s\n", "a text's vector", poolings[i->pooling],
           i->normalize ? ", scaled to length 1" : "");
    if (i->n_label) printf("  %-42s %" PRId64 "\n", "logits of its head", i->n_label);
    printf("  %-42s %" PRId64 "\n", "tokens of a text, by its own library", i->n_max);
    printf("  %-42s %" PRId64 "\n", "tokens the model was made for", i->n_ctx);
    printf("\nMemory\n");
    printf("  %-42s %s\n", "weights, mapped from the file", glim_cli_bytes(i->weights, b));
    printf("  %-42s %s\n", "weights in another layout", glim_cli_bytes(i->derived, b));
    printf("  %-42s %s\n", "working memory, at most", glim_cli_bytes(i->scratch, b));
}

/* ---- as JSON --------------------------------------------------------------------------------- */

static void write_array(glim_jw *w, const glim_meta *m)
{
    glim_meta_iter it = {.m = m};
    glim_jw_object(w);
    glim_jw_key(w, "array_of");
    glim_jw_str(w, glim_str_of(elem_name(m->elem)));
    glim_jw_key(w, "count");
    glim_jw_u64(w, m->n_elem);
    glim_jw_key(w, "first");
    glim_jw_array(w);
    for (int i = 0; i < N_FIRST; i++) {
        glim_str s;
        int64_t i64;
        double f64;
        if (m->elem == GLIM_META_STR && glim_meta_next_str(&it, &s))
            glim_jw_str(w, s);
        else if (m->elem == GLIM_META_F64 && glim_meta_next_f64(&it, &f64))
            glim_jw_f64(w, f64);
        else if (m->elem != GLIM_META_STR && m->elem != GLIM_META_F64 &&
                 glim_meta_next_i64(&it, &i64))
            glim_jw_i64(w, i64);
        else
            break;
    }
    glim_jw_array_end(w);
    glim_jw_object_end(w);
}

static void write_meta(glim_jw *w, const glim_meta *m)
{
    glim_jw_keyv(w, m->key);
    switch (m->type) {
    case GLIM_META_U64:
        glim_jw_u64(w, m->u64);
        break;
    case GLIM_META_I64:
        glim_jw_i64(w, m->i64);
        break;
    case GLIM_META_F64:
        glim_jw_f64(w, m->f64);
        break;
    case GLIM_META_BOOL:
        glim_jw_bool(w, m->u64 != 0);
        break;
    case GLIM_META_STR:
        glim_jw_str(w, m->str);
        break;
    case GLIM_META_ARRAY:
        write_array(w, m);
        break;
    }
}

static void write_tensor(glim_jw *w, const glim_tensor *t)
{
    glim_jw_object(w);
    glim_jw_key(w, "name");
    glim_jw_str(w, t->name);
    glim_jw_key(w, "type");
    glim_jw_str(w, glim_str_of(glim_type_get(t->type)->name));
    glim_jw_key(w, "shape");
    glim_jw_array(w);
    for (int d = 0; d < t->n_dim; d++)
        glim_jw_i64(w, t->ne[d]);
    glim_jw_array_end(w);
    glim_jw_key(w, "bytes");
    glim_jw_u64(w, t->n_bytes);
    glim_jw_object_end(w);
}

static void write_plan(glim_jw *w, const glim_memory_plan *p, const char *kv)
{
    const struct {
        const char *key;
        uint64_t value;
    } rows[] = {
        {"weights_bytes", p->weights},
        {"derived_bytes", p->derived},
        {"scratch_bytes", p->scratch},
        {"kv_bytes_per_token", p->kv_per_token},
        {"kv_bytes", p->kv},
        {"n_ctx", (uint64_t)p->n_ctx},
        {"n_ctx_model", (uint64_t)p->n_ctx_model},
    };
    glim_jw_object(w);
    glim_jw_key(w, "kv");
    glim_jw_str(w, glim_str_of(kv));
    for (size_t i = 0; i < GLIM_COUNT(rows); i++) {
        glim_jw_key(w, rows[i].key);
        glim_jw_u64(w, rows[i].value);
    }
    glim_jw_key(w, "available_bytes");
    if (p->available)
        glim_jw_u64(w, p->available);
    else
        glim_jw_null(w);
    glim_jw_key(w, "tokens_that_fit");
    if (p->n_ctx_fit != INT64_MAX)
        glim_jw_i64(w, p->n_ctx_fit);
    else
        glim_jw_null(w);
    glim_jw_object_end(w);
}

static void write_encoder(glim_jw *w, const glim_encoder_info *i)
{
    const struct {
        const char *key;
        uint64_t value;
    } rows[] = {
        {"weights_bytes", i->weights},       {"derived_bytes", i->derived},
        {"scratch_bytes", i->scratch},       {"n_ctx", (uint64_t)i->n_max},
        {"n_ctx_model", (uint64_t)i->n_ctx}, {"n_embd", (uint64_t)i->n_embd},
        {"n_label", (uint64_t)i->n_label},
    };
    glim_jw_object(w);
    glim_jw_key(w, "kind");
    glim_jw_str(w, glim_str_of(glim_model_kind_name(i->kind)));
    for (size_t k = 0; k < GLIM_COUNT(rows); k++) {
        glim_jw_key(w, rows[k].key);
        glim_jw_u64(w, rows[k].value);
    }
    glim_jw_key(w, "pooling");
    glim_jw_str(w, glim_str_of(poolings[i->pooling]));
    glim_jw_key(w, "normalize");
    glim_jw_bool(w, i->normalize);
    glim_jw_object_end(w);
}

/* What running a file takes; neither: it cannot be run. */
typedef struct outlook {
    const glim_memory_plan *plan;
    const char *kv;
    const glim_encoder_info *encoder;
} outlook;

static glim_err print_json(const glim_modelfile *f, const outlook *o, glim_error *e)
{
    glim_buf b;
    glim_jw w;
    bool gguf = glim_modelfile_container(f) == GLIM_CONTAINER_GGUF;
    glim_buf_init(&b, SIZE_MAX / 2);
    glim_jw_init(&w, &b);
    glim_jw_object(&w);
    glim_jw_key(&w, "path");
    glim_jw_str(&w, glim_str_of(glim_modelfile_path(f)));
    glim_jw_key(&w, "container");
    glim_jw_str(&w, gguf ? GLIM_STR("gguf") : GLIM_STR("safetensors"));
    glim_jw_key(&w, "parts");
    glim_jw_u64(&w, glim_modelfile_n_part(f));
    glim_jw_key(&w, "bytes");
    glim_jw_u64(&w, glim_modelfile_bytes(f));
    glim_jw_key(&w, "metadata");
    const glim_json *config = gguf ? NULL : glim_modelfile_config(f);
    if (config && config->type == GLIM_JSON_OBJECT) {
        glim_jw_raw(&w, config->text);
    } else {
        glim_jw_object(&w);
        for (size_t i = 0; i < glim_modelfile_n_meta(f); i++)
            write_meta(&w, glim_modelfile_meta_at(f, i));
        glim_jw_object_end(&w);
    }
    glim_jw_key(&w, "tensors");
    glim_jw_array(&w);
    for (size_t i = 0; i < glim_modelfile_n_tensor(f); i++)
        write_tensor(&w, glim_modelfile_tensor(f, i));
    glim_jw_array_end(&w);
    glim_jw_key(&w, "plan");
    if (o->plan)
        write_plan(&w, o->plan, o->kv);
    else if (o->encoder)
        write_encoder(&w, o->encoder);
    else
        glim_jw_null(&w);
    glim_jw_object_end(&w);
    glim_buf_addc(&b, '\n');
    return glim_cli_emit(&b, e);
}

/* ---- command --------------------------------------------------------------------------------- */

/* The plan of either kind; one of the two is filled in. */
static glim_err look_ahead(glim_cli *c, const char *path, glim_memory_plan *plan,
                           glim_encoder_info *encoder, outlook *o, glim_error *e)
{
    static const char *const kv_names[] = {
        [GLIM_KV_F16] = "f16", [GLIM_KV_BF16] = "bf16", [GLIM_KV_F32] = "f32"};
    glim_model_look look;
    glim_model_opts opts;
    glim_err rc = glim_model_look_at(path, &look, e);
    if (!rc && (look.kind == GLIM_KIND_EMBEDDING || look.kind == GLIM_KIND_RERANK)) {
        rc = glim_cli_plan_encoder(c, path, encoder, e);
        if (!rc) o->encoder = encoder;
        return rc;
    }
    glim_cli_model_opts(c, GLIM_KV_F16, &opts);
    o->kv = kv_names[opts.kv];
    if (!rc) rc = glim_model_plan(path, &opts, plan, e);
    if (!rc) o->plan = plan;
    return rc;
}

int glim_cmd_inspect(glim_cli *c)
{
    glim_error e = {0};
    glim_modelfile *f = NULL;
    glim_memory_plan plan;
    glim_encoder_info encoder;
    outlook o = {0};
    const char *path;
    glim_err rc = GLIM_OK;
    if (c->n_arg)
        rc = glim_config_set(c->cfg, GLIM_O_MODEL, glim_str_of(c->arg[0]), GLIM_FROM_FLAG, "MODEL",
                             &e);
    if (!rc) rc = glim_cli_model_path(c, &path, &e);
    if (!rc) rc = glim_modelfile_open(path, 0, &f, &e);
    if (rc) return glim_cli_fail(c, &e);

    glim_err plan_rc = look_ahead(c, path, &plan, &encoder, &o, &e);
    if (glim_cli_opt(c, GLIM_O_JSON)->on) {
        glim_error json_e = {0};
        rc = print_json(f, &o, &json_e);
        if (rc) e = json_e;
    } else {
        print_file(f);
        if (o.plan) print_plan(o.plan, o.kv);
        if (o.encoder) print_encoder(o.encoder);
    }
    const glim_err lost = glim_modelfile_check_all(f, &e); /* what was shown may be wrong */
    if (lost) rc = lost;
    glim_modelfile_close(f);
    return rc || plan_rc ? glim_cli_fail(c, &e) : 0;
}
