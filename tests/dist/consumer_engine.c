/* SPDX-License-Identifier: MIT
 * consumer_engine.c - a program of somebody else: opens a model's vocabulary. Built with pkg-config alone. */
#include <glim/engine.h>

#include <stdio.h>

int main(int argc, char **argv)
{
    glim_vocab *v;
    glim_error e;
    if (argc != 2) return 2;
    if (glim_vocab_open(argv[1], &v, &e)) {
        fprintf(stderr, "%s\n", e.msg);
        return glim_err_exit(e.code);
    }
    printf("%s\n", glim_version());
    glim_vocab_close(v);
    return 0;
}
