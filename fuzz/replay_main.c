/* SPDX-License-Identifier: MIT
 * replay_main.c - feeds every file of the named folders (missing ones are skipped) to a fuzz target. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    struct stat st;
    if (!f || fstat(fileno(f), &st) != 0) {
        perror(path);
        if (f) fclose(f);
        return 1;
    }
    /* A block of exactly the file's size lets the sanitizer see one byte too many. */
    size_t n = (size_t)st.st_size;
    uint8_t *data = malloc(n ? n : 1);
    int bad = !data || fread(data, 1, n, f) != n;
    fclose(f);
    if (!bad) LLVMFuzzerTestOneInput(data, n);
    else fprintf(stderr, "%s: cannot read\n", path);
    free(data);
    return bad;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return alphasort(a, b);
}

int main(int argc, char **argv)
{
    int n_file = 0, bad = 0;
    for (int i = 1; i < argc; i++) {
        struct dirent **list = NULL;
        int n = scandir(argv[i], &list, NULL, by_name);
        for (int j = 0; j < n; j++) {
            char path[4096];
            if (list[j]->d_name[0] != '.') {
                snprintf(path, sizeof path, "%s/%s", argv[i], list[j]->d_name);
                bad |= replay_file(path);
                n_file++;
            }
            free(list[j]);
        }
        free(list);
    }
    printf("%d inputs\n", n_file);
    if (n_file == 0) fprintf(stderr, "no seeds: a replay of nothing proves nothing\n");
    return bad || n_file == 0;
}
