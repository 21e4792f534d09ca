/* SPDX-License-Identifier: MIT
 * provider_openai.c - OpenAI and everything that speaks like it: SGLang, vLLM, llama-server, glim itself.
 * Such servers often want no key: one is needed at OpenAI's own address only.
 * See: api.md 5 (read in openai-python 3.3.1) */
#include "client/client_priv.h"

static const char *const env_key[] = {"OPENAI_API_KEY", NULL};
static const char *const env_url[] = {"OPENAI_BASE_URL", NULL};

const glim_provider glim_provider_openai = {
    .name = "openai",
    .base_url = "https://api.openai.com/v1",
    .env_key = env_key,
    .env_url = env_url,
    .key = GLIM_KEY_AT_HOME,
    .id_min = 1,
    .id_max = 128,
    .wait_ms = 500,
    .wire = &glim_wire_openai,
    .path = {[GLIM_OP_CHAT] = "/chat/completions",
             [GLIM_OP_EMBED] = "/embeddings",
             [GLIM_OP_RERANK] = "/rerank",
             [GLIM_OP_MODELS] = "/models",
             [GLIM_OP_IMAGE] = "/images/generations",
             [GLIM_OP_FILES] = "/files",
             [GLIM_OP_BATCHES] = "/batches"},
    .list_members = {"data", "id"},
    .vectors = "data",
    .embed_max = 2048,
};
