/* SPDX-License-Identifier: MIT
 * test_plain.c - the forward pass against one written down again in plain loops and doubles, straight
 * from the papers: keys and values of every head in full, one token after the other. Covers what the
 * goldens of a clone lack: groups, a softmax router, queries without a low rank, YaRN.
 * Source: DeepSeek-V2 2024, section 2.1; DeepSeek-V3 2024, eq. 12-16. */
#include "golden.h"

#include "corefix.h"
#include "models/rope_priv.h"
#include "tinymodel.h"
#include "tmpfolder.h"

#define N_TOK 10
#define WIDE 1024 /* more than any vector of these models */
#define HEADS 8

static const int32_t tokens[N_TOK] = {256, 17, 300, 5, 5, 99, 270, 1, 203, 64};

typedef struct plain {
    const toy_spec *s;
    glim_modelfile *f;
    double inv_freq[32], magnitude, scale;
    /* of every layer and position */
    double key[3][N_TOK][HEADS][WIDE], value[3][N_TOK][HEADS][WIDE];
} plain;

static const glim_tensor *find(const plain *p, int64_t layer, const char *name)
{
    char full[80];
    if (layer >= 0)
        snprintf(full, sizeof full, "blk.%lld.%s", (long long)layer, name);
    else
        snprintf(full, sizeof full, "%s", name);
    const glim_tensor *t = glim_modelfile_find(p->f, glim_str_of(full));
    if (!t) fail_msg("%s is missing", full);
    assert_int_equal(t->type, GLIM_F32);
    return t;
}

static double at(const glim_tensor *t, int64_t i)
{
    float v;
    memcpy(&v, t->data + (size_t)i * sizeof v, sizeof v);
    return (double)v;
}

/* y = rows [row0, row0 + n) of a matrix (of matrix `e` of many) times x */
static void times(const glim_tensor *t, int64_t e, int64_t row0, int64_t n, const double *x,
                  double *y)
{
    for (int64_t r = 0; r < n; r++) {
        int64_t begin = ((e * t->ne[1]) + row0 + r) * t->ne[0];
        y[r] = 0;
        for (int64_t c = 0; c < t->ne[0]; c++)
            y[r] += at(t, begin + c) * x[c];
    }
}

static void norm(const glim_tensor *w, const double *x, int64_t n, double *y)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += x[i] * x[i];
    double inv = 1 / sqrt(sum / (double)n + 1e-5);
    for (int64_t i = 0; i < n; i++)
        y[i] = x[i] * inv * at(w, i);
}

static void rotate(const plain *p, double *x, int pos)
{
    for (int64_t i = 0; i < p->s->n_rot / 2; i++) {
        double a = pos * p->inv_freq[i], c = cos(a) * p->magnitude, d = sin(a) * p->magnitude;
        double x0 = x[2 * i], x1 = x[2 * i + 1];
        x[2 * i] = x0 * c - x1 * d;
        x[2 * i + 1] = x0 * d + x1 * c;
    }
}

static void keys_and_values(plain *p, int64_t layer, int pos, const double *h)
{
    const toy_spec *s = p->s;
    double kv[WIDE], latent[WIDE];
    times(find(p, layer, "attn_kv_a_mqa.weight"), 0, 0, s->kv_rank + s->n_rot, h, kv);
    norm(find(p, layer, "attn_kv_a_norm.weight"), kv, s->kv_rank, latent);
    rotate(p, kv + s->kv_rank, pos);
    for (int64_t i = 0; i < s->n_head; i++) {
        double *k = p->key[layer][pos][i], *v = p->value[layer][pos][i];
        if (s->legacy) {
            const glim_tensor *b = find(p, layer, "attn_kv_b.weight");
            times(b, 0, i * (s->n_nope + s->n_v), s->n_nope, latent, k);
            times(b, 0, i * (s->n_nope + s->n_v) + s->n_nope, s->n_v, latent, v);
        } else {
            const glim_tensor *b = find(p, layer, "attn_k_b.weight"); /* [head][latent][nope] */
            for (int64_t n = 0; n < s->n_nope; n++) {
                k[n] = 0;
                for (int64_t c = 0; c < s->kv_rank; c++)
                    k[n] += at(b, (i * s->kv_rank + c) * s->n_nope + n) * latent[c];
            }
            times(find(p, layer, "attn_v_b.weight"), i, 0, s->n_v, latent, v);
        }
        memcpy(k + s->n_nope, kv + s->kv_rank, (size_t)s->n_rot * sizeof *k);
    }
}

static void attention(plain *p, int64_t layer, int pos, double *x)
{
    const toy_spec *s = p->s;
    int64_t n_qk = s->n_nope + s->n_rot;
    double h[WIDE], low[WIDE], q[WIDE], out[WIDE] = {0}, back[WIDE];
    norm(find(p, layer, "attn_norm.weight"), x, s->n_embd, h);
    if (s->q_rank) {
        times(find(p, layer, "attn_q_a.weight"), 0, 0, s->q_rank, h, low);
        norm(find(p, layer, "attn_q_a_norm.weight"), low, s->q_rank, low);
        times(find(p, layer, "attn_q_b.weight"), 0, 0, s->n_head * n_qk, low, q);
    } else {
        times(find(p, layer, "attn_q.weight"), 0, 0, s->n_head * n_qk, h, q);
    }
    keys_and_values(p, layer, pos, h);
    for (int64_t i = 0; i < s->n_head; i++) {
        double score[N_TOK], top = -INFINITY, sum = 0;
        rotate(p, q + i * n_qk + s->n_nope, pos);
        for (int t = 0; t <= pos; t++) {
            score[t] = 0;
            for (int64_t d = 0; d < n_qk; d++)
                score[t] += q[i * n_qk + d] * p->key[layer][t][i][d] * p->scale;
            top = fmax(top, score[t]);
        }
        for (int t = 0; t <= pos; t++)
            sum += score[t] = exp(score[t] - top);
        for (int t = 0; t <= pos; t++)
            for (int64_t d = 0; d < s->n_v; d++)
                out[i * s->n_v + d] += score[t] / sum * p->value[layer][t][i][d];
    }
    times(find(p, layer, "attn_output.weight"), 0, 0, s->n_embd, out, back);
    for (int64_t i = 0; i < s->n_embd; i++)
        x[i] += back[i];
}

/* x += weight * down(silu(gate h) * up h), matrix e of each */
static void gated(const plain *p, int64_t layer, const char *gate, const char *up, const char *down,
                  int64_t e, double weight, const double *h, double *x)
{
    const glim_tensor *w = find(p, layer, gate);
    double a[WIDE], b[WIDE], y[WIDE];
    times(w, e, 0, w->ne[1], h, a);
    times(find(p, layer, up), e, 0, w->ne[1], h, b);
    for (int64_t i = 0; i < w->ne[1]; i++)
        a[i] = a[i] / (1 + exp(-a[i])) * b[i];
    times(find(p, layer, down), e, 0, p->s->n_embd, a, y);
    for (int64_t i = 0; i < p->s->n_embd; i++)
        x[i] += weight * y[i];
}

/* Best of the experts that are left; taken out of play. */
static int64_t take_best(double *choice, int64_t n)
{
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        if (choice[i] > choice[best]) best = i;
    choice[best] = -INFINITY;
    return best;
}

static void keep_groups(const toy_spec *s, double *choice)
{
    int64_t per = s->n_expert / s->n_group;
    double score[WIDE], copy[WIDE];
    bool kept[WIDE] = {false};
    for (int64_t g = 0; g < s->n_group; g++) {
        memcpy(copy, choice + g * per, (size_t)per * sizeof *copy);
        score[g] = choice[g * per + take_best(copy, per)];
        if (s->gating == 2) score[g] += choice[g * per + take_best(copy, per)];
    }
    for (int64_t i = 0; i < s->n_group_used; i++)
        kept[take_best(score, s->n_group)] = true;
    for (int64_t i = 0; i < s->n_expert; i++)
        if (!kept[i / per]) choice[i] = -INFINITY;
}

static void experts(const plain *p, int64_t layer, const double *h, double *x)
{
    const toy_spec *s = p->s;
    double score[WIDE], choice[WIDE], weight[WIDE], sum = 0, all = 0;
    int64_t id[WIDE];
    times(find(p, layer, "ffn_gate_inp.weight"), 0, 0, s->n_expert, h, score);
    for (int64_t i = 0; i < s->n_expert; i++)
        sum += exp(score[i]);
    for (int64_t i = 0; i < s->n_expert; i++) {
        score[i] = s->gating == 2 ? 1 / (1 + exp(-score[i])) : exp(score[i]) / sum;
        choice[i] = score[i] + (s->bias ? at(find(p, layer, "exp_probs_b.bias"), i) : 0);
    }
    keep_groups(s, choice);
    for (int64_t k = 0; k < s->n_used; k++) {
        id[k] = take_best(choice, s->n_expert);
        all += weight[k] = score[id[k]];
    }
    for (int64_t k = 0; k < s->n_used; k++)
        gated(p, layer, "ffn_gate_exps.weight", "ffn_up_exps.weight", "ffn_down_exps.weight", id[k],
              weight[k] / (s->norm_weights ? all : 1) * s->expert_scale, h, x);
    if (s->n_shared)
        gated(p, layer, "ffn_gate_shexp.weight", "ffn_up_shexp.weight", "ffn_down_shexp.weight", 0,
              1, h, x);
}

static void logits_of(plain *p, int pos, float *out)
{
    const toy_spec *s = p->s;
    const glim_tensor *embd = find(p, -1, "token_embd.weight");
    double x[WIDE], h[WIDE], y[WIDE];
    for (int64_t i = 0; i < s->n_embd; i++)
        x[i] = at(embd, tokens[pos] * s->n_embd + i);
    for (int64_t l = 0; l < s->n_layer; l++) {
        attention(p, l, pos, x);
        norm(find(p, l, "ffn_norm.weight"), x, s->n_embd, h);
        if (l < s->n_dense || !s->n_expert)
            gated(p, l, "ffn_gate.weight", "ffn_up.weight", "ffn_down.weight", 0, 1, h, x);
        else
            experts(p, l, h, x);
    }
    norm(find(p, -1, "output_norm.weight"), x, s->n_embd, h);
    times(find(p, -1, s->tied ? "token_embd.weight" : "output.weight"), 0, 0, s->n_vocab, h, y);
    for (int64_t i = 0; i < s->n_vocab; i++)
        out[i] = (float)y[i];
}

static void check(const char *what, const toy_spec *s)
{
    tmp_folder tmp;
    char path[400];
    corefix x;
    plain *p = glim_new0(plain);
    float *want = glim_alloc_array((size_t)(N_TOK * s->n_vocab), sizeof *want);
    tmp_folder_make(&tmp);
    toy_write(s, tmp.path, "m", path);
    corefix_open(&x, path, GLIM_CPU_REF, 1, N_TOK);
    const glim_yarn y = {s->yarn_factor, 64, 32, 1, 0.707, 0.707};
    glim_rope_scale scale = glim_rope_freqs(10000, s->n_rot, &y, p->inv_freq);
    p->s = s;
    p->f = x.f;
    p->magnitude = scale.magnitude;
    p->scale = scale.score / sqrt((double)(s->n_nope + s->n_rot));
    for (int i = 0; i < N_TOK; i++)
        logits_of(p, i, want + i * s->n_vocab);
    for (int form = GLIM_MLA_ABSORBED; form <= GLIM_MLA_EXPANDED; form++) {
        double worst;
        corefix_way way = {GLIM_F32, (glim_mla_form)form, 4};
        float *got = corefix_logits(&x, way, tokens, N_TOK);
        (void)corefix_error(got, want, N_TOK, s->n_vocab, &worst);
        /* f32 between the steps against doubles throughout */
        if (!(worst <= 1e-5)) fail_msg("%s: off by %g", what, worst);
        glim_free(got);
    }
    corefix_close(&x);
    glim_free(want);
    glim_free(p);
    tmp_folder_end(&tmp);
}

static void test_plain(void **state)
{
    (void)state;
    toy_spec s;
    toy_init(&s);
    check("as GLM-4.7-Flash", &s);
    s.n_group = 4;
    s.n_group_used = 2;
    check("groups, sigmoid: two best of a group", &s);
    s.tied = true;
    s.n_shared = 0;
    s.norm_weights = false;
    s.n_dense = 0;
    check("no shared expert, weights as they are, all layers sparse", &s);
    toy_init_deepseek(&s);
    check("as DeepSeek-V2-Lite", &s);
    s.n_group = 4;
    s.n_group_used = 1;
    s.legacy = false;
    s.q_rank = 32;
    check("groups, softmax: best of a group", &s);
    toy_init(&s);
    s.n_expert = 0;
    s.n_head = 5;
    s.n_v = 64;
    s.n_nope = 96;
    check("dense, odd heads", &s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_plain)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
