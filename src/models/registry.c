/* SPDX-License-Identifier: MIT
 * registry.c - finds the architecture a model file names.
 * See: registry.def */
#include "models/models.h"

#define ARCH(symbol) extern const glim_arch symbol;
#include "models/registry.def"
#undef ARCH

static const glim_arch *const archs[] = {
#define ARCH(symbol) &symbol,
#include "models/registry.def"
#undef ARCH
};

const char *glim_arch_names(void)
{
    return "deepseek2 (GLM-4.7-Flash, DeepSeek-V2 and V3 files); glm4_moe_lite, deepseek_v2, "
           "deepseek_v3 (folders)";
}

static const glim_arch *find(glim_str name, bool gguf)
{
    for (size_t i = 0; i < GLIM_COUNT(archs); i++)
        for (const char *const *n = gguf ? archs[i]->gguf_names : archs[i]->hf_names; *n; n++)
            if (glim_str_ieq(name, glim_str_of(*n))) return archs[i];
    return NULL;
}

bool glim_arch_named(glim_str name)
{
    return find(name, true) || find(name, false);
}

glim_err glim_core_load(const glim_modelfile *f, const glim_load_opts *opts, glim_core **out,
                        glim_error *e)
{
    bool gguf = glim_modelfile_container(f) == GLIM_CONTAINER_GGUF;
    const char *path = glim_modelfile_path(f);
    glim_str name = {0};
    if (gguf) {
        if (!glim_meta_str(glim_modelfile_meta(f, "general.architecture"), &name))
            return glim_fail(e, GLIM_E_FORMAT,
                             "%s: general.architecture is missing or no text: not a model file",
                             path);
    } else {
        const glim_json *type = glim_json_get(glim_modelfile_config(f), "model_type");
        if (!glim_json_is(type, GLIM_JSON_STRING))
            return glim_fail(e, GLIM_E_FORMAT, "%s/config.json: model_type is missing or no text",
                             path);
        name = type->text;
    }
    const glim_arch *arch = find(name, gguf);
    if (!arch)
        return glim_fail(e, GLIM_E_UNSUPPORTED, "%s: architecture %s is not supported; known: %s",
                         path, GLIM_QUOTE(name), glim_arch_names());
    return arch->load(f, opts, out, e);
}

void glim_core_free(glim_core *c)
{
    if (c) glim_arena_free(c->arena); /* the core itself lives there */
}
