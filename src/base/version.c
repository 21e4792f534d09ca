/* SPDX-License-Identifier: MIT
 * version.c - what this build is. Thread: any. */
#include "base/base.h"

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)

const char *glim_version(void)
{
    return TEXT(GLIM_VERSION_MAJOR) "." TEXT(GLIM_VERSION_MINOR) "." TEXT(GLIM_VERSION_PATCH);
}

const char *glim_build_info(void)
{
    return "compiler "
#if defined(__clang__)
           "clang " __clang_version__
#elif defined(__GNUC__)
           "gcc " __VERSION__
#else
           "unknown"
#endif
#ifdef NDEBUG
           "; release"
#else
           "; with assertions"
#endif
        ;
}
