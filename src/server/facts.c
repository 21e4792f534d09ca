/* SPDX-License-Identifier: MIT
 * facts.c - what the model file says of itself, and a digest to know it by.
 * Owns:   the digest: of the first bytes, size and time, because reading all of a large file takes minutes.
 * Thread: the loader's.
 * Fails:  never; a file that cannot be read again has the digest of its name. */
#include "crypto/crypto.h"
#include "server/server_priv.h"

#include <fcntl.h>
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

void glim_server_facts(const glim_model *m, const char *path, glim_model_facts *out)
{
    const glim_model_info *i = glim_model_get_info(m);
    *out =
        (glim_model_facts){.format = glim_str_of(i->format),
                           .arch = glim_str_of(i->arch),
                           .quant = glim_str_of(i->quant),
                           .path = glim_str_of(path),
                           .license = i->license,
                           .template_name = glim_str_of(i->template_name ? i->template_name : ""),
                           .template_text = i->template_text,
                           .n_layer = i->n_layer,
                           .n_embd = i->n_embd,
                           .n_head = i->n_head,
                           .n_vocab = i->n_vocab,
                           .n_expert = i->n_expert,
                           .n_expert_used = i->n_expert_used,
                           .temperature = i->temperature,
                           .top_p = i->top_p,
                           .min_p = i->min_p,
                           .top_k = i->top_k};
    make_digest(path, i->plan.weights, out);
}
