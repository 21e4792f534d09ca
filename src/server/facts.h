/* SPDX-License-Identifier: MIT
 * facts.h - what a model file says of itself, in the words of room api. */
#ifndef GLIM_SERVER_FACTS_H
#define GLIM_SERVER_FACTS_H

#include "api/api.h"
#include "glim/encode.h"
#include "glim/engine.h"

/* What can be told without opening it: path, architecture, time and digest. Borrows path and arch. */
void glim_facts_of_file(const char *path, uint64_t bytes, glim_str arch, glim_model_facts *out);
/* What a loaded model adds; strings live as long as the model. */
void glim_facts_of_chat(const glim_model_info *i, glim_model_facts *out, glim_api_model *api);
void glim_facts_of_encoder(const glim_encoder_info *i, glim_model_facts *out, glim_api_model *api);

#endif
