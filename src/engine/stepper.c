/* SPDX-License-Identifier: MIT
 * stepper.c - who computes a step of a generation: the model. The test program brings another
 * definition of this one function. */
#include "engine/engine_int.h"

const glim_stepper *glim_stepper_default(void)
{
    return NULL;
}
