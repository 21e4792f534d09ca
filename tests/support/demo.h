/* SPDX-License-Identifier: MIT
 * demo.h - the bundled model and the tiny ones, for tests of the engine. */
#ifndef GLIM_TESTS_DEMO_H
#define GLIM_TESTS_DEMO_H

#include "engine/engine_int.h"

#define DEMO_GGUF GLIM_SOURCE_DIR "/models/glim-demo.gguf"
#define TINY_DIR GLIM_SOURCE_DIR "/tests/golden/models/glm-lite-small"

/* Opens a model or fails the test that includes this after cmocka.h. */
#define OPEN_MODEL(path, opts, m)                                                                                            \
    do {                                                                                                                     \
        glim_error open_e = {0};                                                                                             \
        if (glim_model_open((path), (opts), (m), &open_e)) fail_msg("%s: %s", (path), open_e.msg);                           \
    } while (0)

static inline glim_str S(const char *s)
{
    return glim_str_of(s);
}

#endif
