/* SPDX-License-Identifier: MIT
 * encfolder.h - folders of whole encoders, put together for a test: weights of tests/golden/encoders, a tokenizer of
 * tests/golden/tokenizer. Include after cmocka.h and tmpfolder.h. */
#ifndef GLIM_TESTS_ENCFOLDER_H
#define GLIM_TESTS_ENCFOLDER_H

#include "base/base.h"

#include <errno.h>
#include <sys/stat.h>

#define ENC_GOLDEN GLIM_SOURCE_DIR "/tests/golden/"

static inline void enc_link(const tmp_folder *t, const char *from, const char *name)
{
    char to[400];
    struct stat st;
    if (stat(from, &st) != 0) fail_msg("%s: %s", from, strerror(errno));
    (void)unlink(tmp_path(t, name, to));
    if (symlink(from, to) != 0) fail_msg("%s: %s", to, strerror(errno));
}

/* Weights and values of an encoder ("ernie", "xlm-roberta-reranker"), without a tokenizer. */
static inline void enc_weights(const tmp_folder *t, const char *encoder)
{
    static const char *const files[] = {"config.json", "model.safetensors"};
    char from[400];
    for (size_t i = 0; i < GLIM_COUNT(files); i++) {
        snprintf(from, sizeof from, ENC_GOLDEN "encoders/%s/%s", encoder, files[i]);
        enc_link(t, from, files[i]);
    }
}

/* One file of a tokenizer ("wordpiece-cased", "vocab.txt"). */
static inline void enc_tokenizer(const tmp_folder *t, const char *tokenizer, const char *file)
{
    char from[400];
    snprintf(from, sizeof from, ENC_GOLDEN "tokenizer/%s/%s", tokenizer, file);
    enc_link(t, from, file);
}

/* A whole one. */
static inline void enc_ernie(const tmp_folder *t)
{
    enc_weights(t, "ernie");
    enc_tokenizer(t, "wordpiece-cased", "vocab.txt");
    tmp_text(t, "tokenizer_config.json", "{\"do_lower_case\":false}");
}

static inline void enc_reranker(const tmp_folder *t)
{
    enc_weights(t, "xlm-roberta-reranker");
    enc_tokenizer(t, "sp-unigram-xlmr", "sentencepiece.bpe.model");
}

#endif
