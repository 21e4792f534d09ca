/* SPDX-License-Identifier: MIT
 * h_info.c - what the server is and how it is: models, health, metrics, properties, slots.
 * Thread: I/O; nothing here waits for the engine. */
#include "server/server_priv.h"

/* All models, for a list; false: the problem is set. */
bool glim_exchange_list(glim_exchange *x, glim_api_model **m, size_t *n)
{
    glim_error e = {0};
    return !glim_hub_list(x->s->hub, x->arena, m, n, &e) || glim_exchange_refuse(x, &e);
}

void glim_h_models(glim_exchange *x)
{
    glim_api_model *m;
    size_t n;
    if (glim_exchange_list(x, &m, &n)) (void)glim_models_encode(m, n, &x->out);
    glim_exchange_send(x);
}

void glim_h_model(glim_exchange *x)
{
    glim_api_model m;
    if (glim_exchange_entry(x, x->rest, &m)) (void)glim_model_encode(&m, &x->out);
    glim_exchange_send(x);
}

void glim_h_health(glim_exchange *x)
{
    glim_server *s = x->s;
    glim_sched_stat st = {0};
    glim_phase phase = (glim_phase)atomic_load(&s->phase);
    if (phase == GLIM_SERVING) glim_hub_get_stat(s->hub, &st);
    if (phase == GLIM_LOADING)
        glim_exchange_fail(x, GLIM_PROBLEM_LOADING, NULL, "Loading model");
    else if (phase == GLIM_DRAINING)
        glim_exchange_fail(x, GLIM_PROBLEM_DRAINING, NULL, "the server is going down");
    else if (!st.healthy)
        glim_exchange_fail(x, GLIM_PROBLEM_UNHEALTHY, NULL,
                           "the engine has finished no layer for 30 seconds");
    else
        (void)glim_buf_addf(&x->out, "{\"status\":\"ok\"}");
    if (x->has_problem) x->problem.retry_after_s = 2;
    glim_exchange_send(x);
}

void glim_h_metrics(glim_exchange *x)
{
    glim_server *s = x->s;
    glim_sched_stat st = {0};
    glim_hub_count count = {0};
    if (atomic_load(&s->phase) != GLIM_LOADING) {
        glim_hub_get_stat(s->hub, &st);
        glim_hub_get_count(s->hub, &count);
    }
    glim_metric_set(s->metrics, GLIM_METRIC_MODELS, (int64_t)count.n_model);
    glim_metric_set(s->metrics, GLIM_METRIC_MODELS_LOADED, (int64_t)count.n_loaded);
    glim_metric_set(s->metrics, GLIM_METRIC_REQUESTS_RUNNING, st.n_running);
    glim_metric_set(s->metrics, GLIM_METRIC_REQUESTS_WAITING, st.n_waiting);
    glim_metric_set(s->metrics, GLIM_METRIC_SLOTS, st.n_slot);
    glim_metric_set(s->metrics, GLIM_METRIC_CONNECTIONS, (int64_t)glim_http_n_conn(s->http));
    if (glim_metrics_encode(s->metrics, &x->out))
        glim_exchange_fail(x, GLIM_PROBLEM_MEMORY, NULL, "out of memory; try again later");
    x->type = GLIM_METRICS_TYPE;
    if (x->has_problem) x->type = NULL;
    glim_exchange_send(x);
}

void glim_h_props(glim_exchange *x)
{
    if (!glim_exchange_hold_first(x, GLIM_KIND_CHAT)) {
        glim_exchange_send(x);
        return;
    }
    const glim_model_info *m = glim_model_get_info(glim_host_model(x->host));
    glim_jw w;
    glim_jw_init(&w, &x->out);
    glim_jw_object(&w);
    glim_jw_key(&w, "default_generation_settings");
    glim_jw_object(&w);
    glim_jw_key(&w, "n_ctx");
    glim_jw_i64(&w, m->plan.n_ctx);
    glim_jw_key(&w, "params");
    glim_jw_object(&w);
    glim_jw_key(&w, "temperature");
    glim_jw_f32(&w, m->temperature);
    glim_jw_key(&w, "top_p");
    glim_jw_f32(&w, m->top_p);
    glim_jw_key(&w, "top_k");
    glim_jw_i64(&w, m->top_k);
    glim_jw_key(&w, "min_p");
    glim_jw_f32(&w, m->min_p);
    glim_jw_object_end(&w);
    glim_jw_object_end(&w);
    glim_jw_key(&w, "total_slots");
    glim_jw_i64(&w, x->s->o.n_slot);
    glim_jw_key(&w, "model_path");
    glim_jw_str(&w, glim_host_name(x->host));
    glim_jw_key(&w, "chat_template");
    glim_jw_str(&w, glim_str_of(m->template_name ? m->template_name : ""));
    glim_jw_key(&w, "modalities");
    glim_jw_object(&w);
    glim_jw_key(&w, "vision");
    glim_jw_bool(&w, false);
    glim_jw_key(&w, "audio");
    glim_jw_bool(&w, false);
    glim_jw_object_end(&w);
    glim_jw_key(&w, "build_info");
    glim_jw_str(&w, glim_str_of(x->s->fingerprint));
    glim_jw_object_end(&w);
    glim_exchange_send(x);
}

static void write_slot(glim_jw *w, int i, int64_t n_ctx, const glim_slot_stat *t)
{
    glim_jw_object(w);
    glim_jw_key(w, "id");
    glim_jw_i64(w, i);
    glim_jw_key(w, "n_ctx");
    glim_jw_i64(w, n_ctx);
    glim_jw_key(w, "is_processing");
    glim_jw_bool(w, t->busy);
    glim_jw_key(w, "state");
    glim_jw_str(w, !t->busy     ? GLIM_STR("idle")
                   : t->prefill ? GLIM_STR("prefill")
                                : GLIM_STR("decode"));
    glim_jw_key(w, "n_past");
    glim_jw_i64(w, t->n_token);
    glim_jw_key(w, "n_prompt_tokens");
    glim_jw_i64(w, t->busy ? t->n_prompt : 0);
    glim_jw_key(w, "n_cached_tokens");
    glim_jw_i64(w, t->busy ? t->n_cached : 0);
    glim_jw_key(w, "n_decoded");
    glim_jw_i64(w, t->busy ? t->n_completion : 0);
    glim_jw_key(w, "busy_ms");
    glim_jw_i64(w, (int64_t)(t->busy_ns / 1000000));
    glim_jw_object_end(w);
}

void glim_h_slots(glim_exchange *x)
{
    glim_sched_stat st;
    glim_jw w;
    if (!glim_exchange_hold_first(x, GLIM_KIND_CHAT)) {
        glim_exchange_send(x);
        return;
    }
    int64_t n_ctx = glim_model_get_info(glim_host_model(x->host))->plan.n_ctx;
    glim_sched_get_stat(glim_host_sched(x->host), &st);
    if (st.n_running >= st.n_slot && glim_str_is(x->query, "fail_on_no_slot=1")) {
        glim_exchange_fail(x, GLIM_PROBLEM_NO_SLOT, NULL, "no slot is free");
        x->problem.retry_after_s = 1;
    }
    glim_jw_init(&w, &x->out);
    glim_jw_array(&w);
    for (int i = 0; i < st.n_slot; i++)
        write_slot(&w, i, n_ctx, &st.slot[i]);
    glim_jw_array_end(&w);
    glim_exchange_send(x);
}

void glim_h_root(glim_exchange *x)
{
    (void)glim_buf_adds(&x->out, x->s->o.ollama_root
                                     ? "Ollama is running" /* to the letter: clients compare */
                                     : "glim is running; POST /v1/chat/completions\n");
    x->type = "text/plain; charset=utf-8";
    glim_exchange_send(x);
}
