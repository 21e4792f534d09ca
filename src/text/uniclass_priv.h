/* SPDX-License-Identifier: MIT
 * uniclass_priv.h - what kind of character a code point is, inside room text. */
#ifndef GLIM_UNICLASS_PRIV_H
#define GLIM_UNICLASS_PRIV_H

#include "base/base.h"

typedef enum glim_uniclass {
    GLIM_UNI_HIDDEN,    /* controls, separators other than the space, unassigned */
    GLIM_UNI_PRINTABLE, /* all that Python calls printable and that is no letter */
    GLIM_UNI_LETTER     /* letters of every script and the marks they are written with */
} glim_uniclass;

/* Class by Unicode 14. Thread: any. */
glim_uniclass glim_uniclass_of(uint32_t cp);
/* True for what Python's str.strip() takes away. Thread: any. */
bool glim_uni_space(uint32_t cp);

#endif
