/* SPDX-License-Identifier: MIT
 * provider_zhipu.c - the Zhipu platform (bigmodel.cn, z.ai), and servers with its v4 mount.
 * See: api.md 4.1 and 4.2 (read in zai-sdk 0.2.2 and zhipuai 2.1.5) */
#include "client/client_priv.h"

static const char *const env_key[] = {"ZHIPUAI_API_KEY", "ZAI_API_KEY", "GLM_FLASH_API_KEY", NULL};
static const char *const env_url[] = {"ZHIPUAI_BASE_URL", "ZAI_BASE_URL", NULL};

/* What the platform's SDKs say of themselves; the name is ours. The international site answers in English then. */
static void headers(const glim_client *c, glim_headers *h)
{
    const glim_str name = GLIM_STR("glim");
    glim_headers_add(h, "Zai-SDK-Ver", glim_str_of(glim_version()));
    glim_headers_add(h, "source_type", name);
    glim_headers_add(h, "x-request-sdk", name);
    glim_headers_add(h, "x-source-channel", GLIM_STR("c-sdk"));
    if (glim_str_ieq(c->base.host, GLIM_STR("api.z.ai")))
        glim_headers_add(h, "Accept-Language", GLIM_STR("en-US,en"));
}

const glim_provider glim_provider_zhipu = {
    .name = "zhipu",
    .base_url = "https://open.bigmodel.cn/api/paas/v4",
    .env_key = env_key,
    .env_url = env_url,
    .key = GLIM_KEY_ALWAYS,
    .jwt = true,
    .id_in_body = true,
    .id_min = 6,
    .id_max = 64,
    .wait_ms = 1000,
    .wire = &glim_wire_zhipu,
    .path = {[GLIM_OP_CHAT] = "/chat/completions",
             [GLIM_OP_CHAT_LATER] = "/async/chat/completions",
             [GLIM_OP_EMBED] = "/embeddings",
             [GLIM_OP_RERANK] = "/rerank",
             [GLIM_OP_COUNT_TOKENS] = "/tokenizer",
             [GLIM_OP_MODELS] = "/models",
             [GLIM_OP_IMAGE] = "/images/generations",
             [GLIM_OP_VIDEO] = "/videos/generations",
             [GLIM_OP_TASK] = "/async-result",
             [GLIM_OP_FILES] = "/files",
             [GLIM_OP_BATCHES] = "/batches",
             [GLIM_OP_SEARCH] = "/web_search",
             [GLIM_OP_READER] = "/reader"},
    .model = {[GLIM_OP_CHAT] = "glm-4.7-flash",
              [GLIM_OP_CHAT_LATER] = "glm-4.7-flash",
              [GLIM_OP_COUNT_TOKENS] = "glm-4.7-flash",
              [GLIM_OP_EMBED] = "embedding-3",
              [GLIM_OP_RERANK] = "rerank",
              [GLIM_OP_IMAGE] = "cogview-4",
              [GLIM_OP_VIDEO] = "cogvideox-2"},
    .list_members = {"data", "id"},
    .vectors = "data",
    .embed_max = 64,
    .headers = headers,
};
