/* SPDX-License-Identifier: MIT
 * chat.c - the defaults of chat.h's structs, which whoever asks a model fills: engine, dialects, client.
 * Thread: any, pure.   See: include/glim/chat.h */
#include "base/base.h"

#include "glim/chat.h"

#include <math.h>

void glim_gen_opts_init(glim_gen_opts *o)
{
    *o = (glim_gen_opts){.size = sizeof *o,
                         .temperature = NAN,
                         .top_p = NAN,
                         .min_p = NAN,
                         .top_k = -1,
                         .n_max = -1,
                         .repetition_penalty = 1,
                         .n_logprob = -1,
                         .think_budget = -1,
                         .loop_stop = GLIM_UNSET,
                         .dry_base = 1.75f,
                         .dry_allowed_length = 2,
                         .dry_range = -1};
}
