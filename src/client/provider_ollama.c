/* SPDX-License-Identifier: MIT
 * provider_ollama.c - Ollama, on this machine unless OLLAMA_HOST says otherwise.
 * See: api.md 7 (read in ollama fb30760) */
#include "client/client_priv.h"

static const char *const env_key[] = {"OLLAMA_API_KEY", NULL};
static const char *const env_url[] = {"OLLAMA_HOST", NULL};

/* OLLAMA_HOST is also what Ollama listens on: "0.0.0.0", "host:port", or a whole address. What is missing is filled in. */
static void address(const char *given, glim_buf *out)
{
    glim_str s = glim_str_of(given);
    bool scheme = glim_str_find(s, GLIM_STR("://")) != SIZE_MAX;
    if (scheme) {
        glim_buf_addv(out, s);
        return;
    }
    const glim_str any = GLIM_STR("0.0.0.0");
    size_t n = 0;
    while (n < s.n && s.p[n] != '/')
        n++;
    glim_str host = glim_str_sub(s, 0, n);
    bool v6 = host.n && host.p[0] == '[';
    const char *mark = v6 ? memchr(host.p, ']', host.n) : host.p;
    bool port = mark && memchr(mark, ':', host.n - (size_t)(mark - host.p));
    glim_buf_adds(out, "http://");
    if (glim_str_starts(host, any) && (host.n == any.n || host.p[any.n] == ':')) {
        glim_buf_adds(out, "127.0.0.1");
        host = glim_str_sub(host, any.n, host.n);
    } else if (host.n && host.p[0] == ':') {
        glim_buf_adds(out, "127.0.0.1");
    }
    glim_buf_addv(out, host);
    if (!port) glim_buf_adds(out, ":11434");
    glim_buf_addv(out, glim_str_sub(s, n, s.n));
}

const glim_provider glim_provider_ollama = {
    .name = "ollama",
    .base_url = "http://127.0.0.1:11434",
    .env_key = env_key,
    .env_url = env_url,
    .key = GLIM_KEY_NEVER,
    .id_min = 1,
    .id_max = 128,
    .wait_ms = 500,
    .wire = &glim_wire_ollama,
    .path = {[GLIM_OP_CHAT] = "/api/chat",
             [GLIM_OP_EMBED] = "/api/embed",
             [GLIM_OP_MODELS] = "/api/tags"},
    .model = {[GLIM_OP_CHAT] = "glm-4.7-flash"},
    .list_members = {"models", "name"},
    .vectors = "embeddings",
    .embed_max = 2048,
    .address = address,
};
