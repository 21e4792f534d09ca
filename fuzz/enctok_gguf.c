/* SPDX-License-Identifier: MIT
 * enctok_gguf.c - fuzz: any bytes as the vocabulary of an encoder in a GGUF. What opens turns texts
 * into ids, and every id is a token of the file. */
#include "engine/engine_int.h"
#include "formats/formats_priv.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(const glim_enctok *t)
{
    static const char *const texts[] = {"", "Hi \xc3\xa9",
                                        "[CLS]<s> a\n\t\xe4\xbd\xa0\xef\xbc\xa1"};
    for (size_t i = 0; i < GLIM_COUNT(texts); i++)
        for (int special = 0; special < 2; special++) {
            glim_ids ids;
            glim_error e;
            glim_ids_init(&ids, 1000);
            if (!glim_enctok_encode(t, glim_str_of(texts[i]), special != 0, &ids, &e))
                for (size_t k = 0; k < ids.n; k++)
                    assert(glim_enctok_text(t, ids.p[k]).p);
            glim_ids_deinit(&ids);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    glim_modelfile *f;
    glim_enctok *t;
    glim_error e;
    if (glim_modelfile_open_mem(GLIM_CONTAINER_GGUF, "fuzz", data, size, &f, &e)) return 0;
    if (!glim_enctok_from_file(f, &t, &e)) {
        use(t);
        glim_enctok_free(t);
    }
    glim_modelfile_close(f);
    return 0;
}
