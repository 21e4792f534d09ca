/* SPDX-License-Identifier: MIT
 * facts.c - what the model file says of itself, and a digest to know it by.
 * Owns:   the digest: of the first bytes, size and time, because reading all of a large file takes minutes.
 * Thread: the hub's.
 * Fails:  never; a file that cannot be read again has the digest of its name. */
#include "server/facts.h"

#include "crypto/crypto.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEAD_BYTES ((size_t)64 << 10)

/* The bytes a file begins with; of a folder none. */
static void add_head(int fd, glim_buf *b)
{
    char part[4096];
    ssize_t n;
    while (b->n < HEAD_BYTES && (n = read(fd, part, sizeof part)) > 0)
        (void)glim_buf_add(b, part, (size_t)n);
}

static void make_digest(const char *path, uint64_t size, glim_model_facts *out)
{
    struct stat st = {0};
    glim_buf b;
    glim_digest d = {{0}};
    glim_error e = {0};
    glim_buf_init(&b, HEAD_BYTES + 8192);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && fstat(fd, &st) == 0) {
        out->modified_s = (int64_t)st.st_mtime;
        if (S_ISREG(st.st_mode)) add_head(fd, &b);
    }
    if (fd >= 0) close(fd);
    (void)glim_buf_addf(&b, "%s %llu %lld", b.n ? "" : path, (unsigned long long)size,
                        (long long)out->modified_s);
    (void)!glim_sha256(glim_buf_view(&b), &d, &e);
    glim_hex(d.b, sizeof d.b, out->digest);
    glim_buf_deinit(&b);
}

void glim_facts_of_file(const char *path, uint64_t bytes, glim_str arch, glim_model_facts *out)
{
    *out = (glim_model_facts){.format = GLIM_STR(""),
                              .arch = arch,
                              .quant = GLIM_STR(""),
                              .path = glim_str_of(path),
                              .license = GLIM_STR(""),
                              .template_name = GLIM_STR(""),
                              .template_text = GLIM_STR(""),
                              /* Not known before the model is here, and never of an encoder. */
                              .temperature = NAN,
                              .top_p = NAN,
                              .min_p = NAN};
    make_digest(path, bytes, out);
}

void glim_facts_of_chat(const glim_model_info *i, glim_model_facts *out, glim_api_model *api)
{
    out->format = glim_str_of(i->format);
    out->arch = glim_str_of(i->arch);
    out->quant = glim_str_of(i->quant);
    out->license = i->license;
    out->template_name = glim_str_of(i->template_name ? i->template_name : "");
    out->template_text = i->template_text;
    out->n_layer = i->n_layer;
    out->n_embd = i->n_embd;
    out->n_head = i->n_head;
    out->n_vocab = i->n_vocab;
    out->n_expert = i->n_expert;
    out->n_expert_used = i->n_expert_used;
    out->temperature = i->temperature;
    out->top_p = i->top_p;
    out->min_p = i->min_p;
    out->top_k = i->top_k;
    api->n_ctx = i->plan.n_ctx;
    api->n_ctx_train = i->plan.n_ctx_model;
    api->n_param = i->n_param;
    api->size_bytes = i->plan.weights;
}

void glim_facts_of_encoder(const glim_encoder_info *i, glim_model_facts *out, glim_api_model *api)
{
    out->format = glim_str_of(i->format);
    out->arch = glim_str_of(i->arch);
    out->quant = glim_str_of(i->quant);
    out->license = i->license;
    out->n_layer = i->n_layer;
    out->n_embd = i->n_embd;
    out->n_head = i->n_head;
    out->n_vocab = i->n_vocab;
    api->n_ctx = i->n_max;
    api->n_ctx_train = i->n_ctx;
    api->n_param = i->n_param;
    api->size_bytes = i->weights;
}
