/* SPDX-License-Identifier: MIT
 * test_metrics.c - counting from several threads, and the text for Prometheus. */
#include "server/metrics.h"

#include "failnth.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static const char *const routes[] = {"/v1/models", "/a\"b\\c\nd"};

static const char *text_of(const glim_metrics *m, glim_buf *b)
{
    glim_buf_clear(b);
    assert_int_equal(glim_metrics_encode(m, b), GLIM_OK);
    return b->p;
}

static void has(const char *text, const char *line)
{
    const char *at = strstr(text, line);
    size_t n = strlen(line);
    while (at && !((at == text || at[-1] == '\n') && at[n] == '\n'))
        at = strstr(at + 1, line);
    if (!at) fail_msg("no line '%s' in:\n%s", line, text);
}

static void values(void **state)
{
    (void)state;
    glim_buf b;
    glim_buf_init(&b, 1 << 20);
    glim_metrics *m = glim_metrics_new("0.1 \"x\"", routes, 2);
    has(text_of(m, &b), "glim_build_info{version=\"0.1 \\\"x\\\"\"} 1");
    has(b.p, "glim_requests_running 0");
    has(b.p, "# TYPE glim_requests_total counter");
    has(b.p, "# TYPE glim_slots gauge");
    has(b.p, "# TYPE glim_queue_seconds histogram");
    has(b.p, "glim_queue_seconds_sum 0");
    glim_metric_add(m, GLIM_METRIC_PROMPT_TOKENS, 7);
    glim_metric_add(m, GLIM_METRIC_PROMPT_TOKENS, UINT64_C(1) << 40);
    glim_metric_set(m, GLIM_METRIC_SLOTS, 8);
    glim_metric_move(m, GLIM_METRIC_REQUESTS_RUNNING, 3);
    glim_metric_move(m, GLIM_METRIC_REQUESTS_RUNNING, -1);
    glim_metric_move(m, GLIM_METRIC_CONNECTIONS, -2);
    glim_metric_request(m, 0, 200);
    glim_metric_request(m, 0, 200);
    glim_metric_request(m, 1, 404);
    glim_metric_request(m, 2, 299);
    glim_metric_request(m, SIZE_MAX, -1);
    has(text_of(m, &b), "glim_prompt_tokens_total 1099511627783");
    has(b.p, "glim_slots 8");
    has(b.p, "glim_requests_running 2");
    has(b.p, "glim_connections -2");
    has(b.p, "glim_requests_total{route=\"/v1/models\",code=\"200\"} 2");
    has(b.p, "glim_requests_total{route=\"/a\\\"b\\\\c\\nd\",code=\"404\"} 1");
    has(b.p, "glim_requests_total{route=\"other\",code=\"other\"} 2");
    assert_int_equal(glim_metric_value(m, GLIM_METRIC_SLOTS), 8);
    assert_int_equal(glim_metric_value(m, GLIM_METRIC_REQUESTS), 5);
    assert_int_equal(glim_metric_value(m, GLIM_METRIC_BUILD_INFO), 1);
    glim_metrics_free(m);
    glim_metrics_free(NULL);
    glim_buf_deinit(&b);
}

/* Time, averages, the largest value, and llama-server's names of them. */
static void times_and_names(void **state)
{
    (void)state;
    glim_buf b;
    glim_buf_init(&b, 1 << 20);
    glim_metrics *m = glim_metrics_new("1", NULL, 0);
    has(text_of(m, &b), "llamacpp:prompt_tokens_seconds 0");
    has(b.p, "llamacpp:predicted_tokens_seconds 0");
    has(b.p, "llamacpp:prompt_seconds_total 0");
    has(b.p, "glim_tokens_max 0");
    glim_metric_add(m, GLIM_METRIC_PROMPT_TOKENS, 100);
    glim_metric_add(m, GLIM_METRIC_CACHED_TOKENS, 58);
    glim_metric_add(m, GLIM_METRIC_PROMPT_TOKENS_COMPUTED, 42);
    glim_metric_add(m, GLIM_METRIC_PROMPT_SECONDS, 1500000000);
    glim_metric_add(m, GLIM_METRIC_PROMPT_SECONDS, 1);
    glim_metric_add(m, GLIM_METRIC_TOKENS_PREDICTED, 7);
    glim_metric_add(m, GLIM_METRIC_PREDICTED_SECONDS, 21000000000);
    glim_metric_raise(m, GLIM_METRIC_TOKENS_MAX, 100);
    glim_metric_raise(m, GLIM_METRIC_TOKENS_MAX, 99);
    glim_metric_set(m, GLIM_METRIC_REQUESTS_RUNNING, 3);
    glim_metric_set(m, GLIM_METRIC_REQUESTS_WAITING, 2);
    static const char *const lines[] = {
        "# TYPE glim_prompt_seconds_total counter",
        "glim_prompt_seconds_total 1.500000001",
        "glim_prompt_tokens_computed_total 42",
        "glim_tokens_predicted_seconds_total 21",
        "glim_tokens_max 100",
        "# TYPE llamacpp:prompt_tokens_total counter",
        "llamacpp:prompt_tokens_total 42",
        "# TYPE llamacpp:prompt_seconds_total counter",
        "llamacpp:prompt_seconds_total 1.500000001",
        "llamacpp:tokens_predicted_total 7",
        "llamacpp:tokens_predicted_seconds_total 21",
        "llamacpp:n_decode_total 7",
        "# TYPE llamacpp:n_tokens_max gauge",
        "llamacpp:n_tokens_max 100",
        "# TYPE llamacpp:prompt_tokens_seconds gauge",
        "llamacpp:prompt_tokens_seconds 28",
        "llamacpp:predicted_tokens_seconds 0.333",
        "# TYPE llamacpp:requests_processing gauge",
        "llamacpp:requests_processing 3",
        "llamacpp:requests_deferred 2",
        "glim_rate_limited_total 0",
        "glim_reloads_total 0",
        "glim_reloads_failed_total 0",
    };
    text_of(m, &b);
    for (size_t i = 0; i < GLIM_COUNT(lines); i++)
        has(b.p, lines[i]);
    assert_int_equal(glim_metric_value(m, GLIM_METRIC_PREDICTED_SECONDS), 21000000000);
    assert_int_equal(glim_metric_value(m, GLIM_METRIC_LLAMA_DECODES), 7);
    assert_int_equal(glim_metric_value(m, GLIM_METRIC_LLAMA_PREDICTED_SPEED), 333);
    glim_metrics_free(m);
    glim_buf_deinit(&b);
}

static void histogram(void **state)
{
    (void)state;
    glim_buf b;
    glim_buf_init(&b, 1 << 20);
    glim_metrics *m = glim_metrics_new("1", NULL, 0);
    static const uint64_t ns[] = {0,          1000000,    1000001,     2500000000u,
                                  2500000001, 5000000000, 123456789012};
    for (size_t i = 0; i < GLIM_COUNT(ns); i++)
        glim_metric_observe(m, GLIM_METRIC_INTER_TOKEN, ns[i]);
    text_of(m, &b);
    has(b.p, "glim_inter_token_seconds_bucket{le=\"0.001\"} 2");
    has(b.p, "glim_inter_token_seconds_bucket{le=\"0.0025\"} 3");
    has(b.p, "glim_inter_token_seconds_bucket{le=\"1\"} 3");
    has(b.p, "glim_inter_token_seconds_bucket{le=\"2.5\"} 4");
    has(b.p, "glim_inter_token_seconds_bucket{le=\"+Inf\"} 7");
    has(b.p, "glim_inter_token_seconds_sum 133.458789014");
    has(b.p, "glim_inter_token_seconds_count 7");
    assert_int_equal(glim_metric_value(m, GLIM_METRIC_INTER_TOKEN), 7);
    glim_metrics_free(m);
    glim_buf_deinit(&b);
}

/* Every line is a comment or a sample; every sample follows the TYPE of its family; no series twice. */
static void grammar(void **state)
{
    (void)state;
    glim_buf b;
    char family[128] = "", seen[400][160];
    size_t n_seen = 0, n_help = 0, n_type = 0;
    glim_buf_init(&b, 1 << 20);
    glim_metrics *m = glim_metrics_new("1", routes, 2);
    glim_metric_request(m, 0, 200);
    glim_metric_request(m, 0, 500);
    text_of(m, &b);
    assert_int_equal(b.p[b.n - 1], '\n');
    for (char *line = b.p, *end; *line; line = end + 1) {
        end = strchr(line, '\n');
        *end = '\0';
        if (strncmp(line, "# HELP ", 7) == 0) {
            n_help++;
            continue;
        }
        if (strncmp(line, "# TYPE ", 7) == 0) {
            n_type++;
            assert_int_equal(sscanf(line, "# TYPE %127s", family), 1);
            continue;
        }
        assert_int_equal(strncmp(line, family, strlen(family)), 0);
        char *value = strrchr(line, ' ');
        double x;
        assert_non_null(value);
        assert_true(glim_parse_f64(glim_str_of(value + 1), &x));
        *value = '\0';
        assert_true(n_seen < GLIM_COUNT(seen) && strlen(line) < sizeof seen[0]);
        for (size_t i = 0; i < n_seen; i++)
            assert_string_not_equal(seen[i], line);
        memcpy(seen[n_seen++], line, strlen(line) + 1);
    }
    assert_int_equal(n_help, GLIM_METRIC_COUNT);
    assert_int_equal(n_type, GLIM_METRIC_COUNT);
    glim_metrics_free(m);
    glim_buf_deinit(&b);
}

static void *hammer(void *arg)
{
    glim_metrics *m = arg;
    for (int i = 0; i < 20000; i++) {
        glim_metric_add(m, GLIM_METRIC_TOKENS_PREDICTED, 1);
        glim_metric_move(m, GLIM_METRIC_REQUESTS_WAITING, i % 2 ? -1 : 1);
        glim_metric_observe(m, GLIM_METRIC_REQUEST, (uint64_t)i * 1000000);
        glim_metric_request(m, (size_t)i % 3, i % 2 ? 200 : 400);
        glim_metric_raise(m, GLIM_METRIC_TOKENS_MAX, i);
    }
    return NULL;
}

static void threads(void **state)
{
    (void)state;
    pthread_t t[4];
    glim_buf b;
    glim_buf_init(&b, 1 << 20);
    glim_metrics *m = glim_metrics_new("1", routes, 2);
    for (size_t i = 0; i < GLIM_COUNT(t); i++)
        assert_int_equal(pthread_create(&t[i], NULL, hammer, m), 0);
    for (int i = 0; i < 50; i++) { /* the text is whole while numbers move: +Inf is the count */
        const char *inf = strstr(text_of(m, &b), "glim_request_seconds_bucket{le=\"+Inf\"} ");
        const char *count = strstr(b.p, "glim_request_seconds_count ");
        long a, c;
        assert_int_equal(sscanf(inf, "glim_request_seconds_bucket{le=\"+Inf\"} %ld", &a), 1);
        assert_int_equal(sscanf(count, "glim_request_seconds_count %ld", &c), 1);
        assert_int_equal(a, c);
    }
    for (size_t i = 0; i < GLIM_COUNT(t); i++)
        pthread_join(t[i], NULL);
    assert_int_equal(glim_metric_value(m, GLIM_METRIC_TOKENS_PREDICTED), 80000);
    assert_int_equal(glim_metric_value(m, GLIM_METRIC_REQUESTS_WAITING), 0);
    assert_int_equal(glim_metric_value(m, GLIM_METRIC_TOKENS_MAX), 19999);
    assert_int_equal(glim_metric_value(m, GLIM_METRIC_REQUEST), 80000);
    assert_int_equal(glim_metric_value(m, GLIM_METRIC_REQUESTS), 80000);
    glim_metrics_free(m);
    glim_buf_deinit(&b);
}

static void no_memory(void **state)
{
    (void)state;
    fail_nth f;
    for (int64_t n = 0;; n++) {
        fail_nth_begin(&f, n);
        glim_metrics *m = glim_metrics_new("1", routes, 2);
        fail_nth_end();
        assert_int_equal(m == NULL, fail_nth_hit(&f));
        glim_metrics_free(m);
        if (!fail_nth_hit(&f)) break;
    }
    glim_metrics *m = glim_metrics_new("1", routes, 2);
    glim_buf b;
    glim_buf_init(&b, 100);
    assert_int_equal(glim_metrics_encode(m, &b), GLIM_E_LIMIT);
    glim_buf_deinit(&b);
    glim_metrics_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values),  cmocka_unit_test(times_and_names), cmocka_unit_test(histogram),
        cmocka_unit_test(grammar), cmocka_unit_test(threads),         cmocka_unit_test(no_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
