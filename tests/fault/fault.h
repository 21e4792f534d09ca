/* SPDX-License-Identifier: MIT
 * fault.h - what the tests of faults share: the tiny model, a conversation, a copy of a file. Include
 * after cmocka.h. */
#ifndef GLIM_TESTS_FAULT_H
#define GLIM_TESTS_FAULT_H

#include "demo.h"

#define TINY_GGUF TINY_DIR "/model.gguf"

/* Opens the tiny model with little of everything, or fails the test. */
static inline void tiny_opts(glim_model_opts *o, int n_thread)
{
    glim_model_opts_init(o);
    o->n_ctx = 1024;
    o->n_chunk = 64;
    o->n_thread = n_thread;
}

static inline glim_model *tiny_open(const char *path, int n_thread)
{
    glim_model_opts o;
    glim_model *m = NULL;
    tiny_opts(&o, n_thread);
    OPEN_MODEL(path, &o, &m);
    return m;
}

static inline glim_session *tiny_session(glim_model *m)
{
    glim_session *s = NULL;
    glim_error e = {0};
    if (glim_session_new(m, &s, &e)) fail_msg("%s", e.msg);
    return s;
}

/* The last logits of a row of tokens, for comparing two runs. */
static inline bool keep_logits(void *user, int64_t pos, const float *logits, size_t n_vocab)
{
    (void)pos;
    memcpy(user, logits, n_vocab * sizeof *logits);
    return true;
}

static inline size_t count_fds(void)
{
    size_t n = 0;
    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

#endif
