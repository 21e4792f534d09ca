/* SPDX-License-Identifier: MIT
 * ollama_request.c - bodies of Ollama's /api/generate and /api/chat to a glim_request.
 * Owns:   their fields and options, which of them have an effect here, and when nothing is to be
 *         generated.
 * Not here: messages (ollama_messages.c), tools (openai_messages.c), what sampling fields mean
 *           together (sampling.c), replies (ollama_reply.c).
 * Thread: any, pure.
 * Fails:  INPUT with the path; UNSUPPORTED for what is known and would change the answer.
 * See:    tests/unit/api/test_ollama.c */
#include "api/ollama_priv.h"

typedef struct ollama_wire {
    glim_wire w; /* first: its rows and those below stand in one table */
    const glim_json *options;
    glim_str prompt, system;
    glim_id_list context;
    glim_tristate think;
    glim_keep_alive keep;
    bool has_model, raw;
} ollama_wire;

/* ---- values with a shape of their own -------------------------------------------------------- */

/* Of fields without effect the type is looked at all the same: a wrong one is a typing error. */
static glim_err any_int(glim_arena *a, const glim_json *v, void *dst, glim_error *e)
{
    int64_t i;
    (void)a, (void)dst;
    return glim_json_i64(v, &i) ? GLIM_OK : glim_api_wrong_type(NULL, "an integer", v, e);
}

static glim_err any_number(glim_arena *a, const glim_json *v, void *dst, glim_error *e)
{
    (void)a, (void)dst;
    return v->type == GLIM_JSON_NUMBER ? GLIM_OK : glim_api_wrong_type(NULL, "a number", v, e);
}

static glim_err any_bool(glim_arena *a, const glim_json *v, void *dst, glim_error *e)
{
    bool b;
    (void)a, (void)dst;
    return glim_json_bool(v, &b) ? GLIM_OK : glim_api_wrong_type(NULL, "true or false", v, e);
}

static glim_err read_think(glim_arena *a, const glim_json *v, void *dst, glim_error *e)
{
    static const char *const levels[] = {"low", "medium", "high", "max"};
    glim_tristate *out = dst;
    bool b;
    (void)a;
    if (glim_json_bool(v, &b)) {
        *out = b ? GLIM_ON : GLIM_OFF;
        return GLIM_OK;
    }
    if (v->type != GLIM_JSON_STRING)
        return glim_api_wrong_type(NULL, "true, false or a string", v, e);
    for (size_t i = 0; i < GLIM_COUNT(levels); i++) {
        if (glim_str_is(v->text, levels[i])) {
            *out = GLIM_ON;
            return GLIM_OK;
        }
    }
    return glim_api_fail(NULL, GLIM_E_INPUT, v, e,
                         "%s is unknown; use true, false, low, medium, high or max",
                         GLIM_QUOTE(v->text));
}

static glim_err only_no_format(glim_arena *a, const glim_json *v, void *dst, glim_error *e)
{
    (void)a, (void)dst;
    bool text = v->type == GLIM_JSON_STRING;
    if (text && v->text.n == 0) return GLIM_OK;
    if (!text && v->type != GLIM_JSON_OBJECT)
        return glim_api_wrong_type(NULL, "\"json\" or a JSON schema", v, e);
    if (text && !glim_str_is(v->text, "json"))
        return glim_api_fail(
            NULL, GLIM_E_INPUT, v, e,
            "%s is unknown; leave the field out, or ask for the form in the prompt",
            GLIM_QUOTE(v->text));
    return glim_api_fail(NULL, GLIM_E_UNSUPPORTED, v, e,
                         "structured output is not supported; ask for the form in the prompt");
}

static glim_err only_no_images(glim_arena *a, const glim_json *v, void *dst, glim_error *e)
{
    (void)a, (void)dst;
    return glim_ollama_no_images(NULL, v, e);
}

static glim_err read_context(glim_arena *a, const glim_json *v, void *dst, glim_error *e)
{
    const glim_api_path *p = GLIM_API_KEY(NULL, "context");
    glim_id_list *out = dst;
    if (v->type != GLIM_JSON_ARRAY) return glim_api_wrong_type(p, "a list of token ids", v, e);
    return glim_api_ids(a, p, v, &out->ids, &out->n, e);
}

/* Length of digits with at most one point among them, 0 for none; *zero is cleared by other digits.
 */
static size_t digits(glim_str s, bool *zero)
{
    size_t n = 0, n_digit = 0, n_point = 0;
    for (; n < s.n; n++) {
        if (s.p[n] == '.' && n_point == 0) {
            n_point = 1;
            continue;
        }
        if (s.p[n] < '0' || s.p[n] > '9') break;
        *zero = *zero && s.p[n] == '0';
        n_digit++;
    }
    return n_digit ? n : 0;
}

bool glim_ollama_duration(glim_str s, bool *zero)
{
    /* Longer names first; the two signs for micro are different characters. */
    static const char *const units[] = {"ns", "us", "\xC2\xB5s", "\xCE\xBCs", "ms", "s", "m", "h"};
    double seconds;
    if (glim_parse_f64(s, &seconds)) {
        *zero = seconds == 0;
        return true;
    }
    *zero = true;
    if (s.n && (s.p[0] == '-' || s.p[0] == '+')) s = glim_str_sub(s, 1, s.n);
    if (s.n == 0) return false;
    while (s.n) {
        size_t n = digits(s, zero), i = 0;
        if (n == 0) return false;
        s = glim_str_sub(s, n, s.n);
        while (i < GLIM_COUNT(units) && !glim_str_starts(s, glim_str_of(units[i])))
            i++;
        if (i == GLIM_COUNT(units)) return false;
        s = glim_str_sub(s, strlen(units[i]), s.n);
    }
    return true;
}

glim_err glim_ollama_keep_alive(glim_arena *a, const glim_json *v, void *dst, glim_error *e)
{
    double seconds;
    bool zero;
    (void)a;
    if (v->type != GLIM_JSON_NUMBER && v->type != GLIM_JSON_STRING)
        return glim_api_wrong_type(NULL, "a number of seconds or a string", v, e);
    if (v->type == GLIM_JSON_NUMBER) {
        zero = glim_json_f64(v, &seconds) && seconds == 0;
    } else if (!glim_ollama_duration(v->text, &zero)) {
        return glim_api_fail(NULL, GLIM_E_INPUT, v, e,
                             "%s is no duration; send one like \"5m\" or a number of seconds",
                             GLIM_QUOTE(v->text));
    }
    *(glim_keep_alive *)dst = zero ? GLIM_KEEP_ZERO : GLIM_KEEP_SOME;
    return GLIM_OK;
}

/* ---- the tables ------------------------------------------------------------------------------ */

#define NOTE(key, check) GLIM_SUB(key, noted, check)
#define OWN(key, kind, member)                                                                     \
    {                                                                                              \
        .name = (key), .type = GLIM_FIELD_##kind, .offset = offsetof(ollama_wire, member),         \
        GLIM_NO_FLAG                                                                               \
    }
#define OWN_SUB(key, member, fn)                                                                   \
    {                                                                                              \
        .name = (key), .type = GLIM_FIELD_SUB, .offset = offsetof(ollama_wire, member),            \
        GLIM_NO_FLAG, .parse = (fn)                                                                \
    }

static const glim_field option_fields[] = {
    GLIM_RANGE("num_predict", I64, max_tokens, -GLIM_WIRE_COUNT_MAX, GLIM_WIRE_COUNT_MAX),
    GLIM_RANGE("temperature", F32, temperature, 0, 2),
    GLIM_RANGE("top_k", I64, top_k, -1, INT32_MAX),
    GLIM_RANGE("top_p", F32, top_p, 0, 1),
    GLIM_RANGE("min_p", F32, min_p, 0, 1),
    GLIM_SUB("repeat_penalty", repetition_penalty, glim_wire_penalty),
    GLIM_RANGE("presence_penalty", F32, presence_penalty, -2, 2),
    GLIM_RANGE("frequency_penalty", F32, frequency_penalty, -2, 2),
    GLIM_FLAG("seed", I64, seed),
    GLIM_SUB("stop", stop, glim_wire_stop),
    /* The context is what the server was started with, and its penalties have no window. */
    NOTE("num_ctx", any_int),
    NOTE("num_keep", any_int),
    NOTE("repeat_last_n", any_int),
    NOTE("typical_p", any_number),
    NOTE("tfs_z", any_number),
    NOTE("mirostat", any_int),
    NOTE("mirostat_tau", any_number),
    NOTE("mirostat_eta", any_number),
    NOTE("penalize_newline", any_bool),
    /* How a model is loaded: this one is. */
    NOTE("numa", any_bool),
    NOTE("num_batch", any_int),
    NOTE("num_gpu", any_int),
    NOTE("main_gpu", any_int),
    NOTE("num_thread", any_int),
    NOTE("low_vram", any_bool),
    NOTE("f16_kv", any_bool),
    NOTE("logits_all", any_bool),
    NOTE("vocab_only", any_bool),
    NOTE("use_mmap", any_bool),
    NOTE("use_mlock", any_bool),
    NOTE("embedding_only", any_bool),
};

#define SHARED_ROWS                                                                                \
    {.name = "model",                                                                              \
     .type = GLIM_FIELD_STR,                                                                       \
     .offset = offsetof(ollama_wire, w.model),                                                     \
     .offset_has = offsetof(ollama_wire, has_model)},                                              \
        OWN("options", JSON, options), OWN_SUB("think", think, read_think),                        \
        OWN_SUB("keep_alive", keep, glim_ollama_keep_alive),                                       \
        GLIM_SUB("format", ignored, only_no_format), GLIM_ROW("stream", BOOL, stream),             \
        GLIM_ROW("logprobs", BOOL, logprobs),                                                      \
        GLIM_RANGE("top_logprobs", I64, top_logprobs, 0, 20), NOTE("truncate", any_bool),          \
        NOTE("shift", any_bool), GLIM_ONLY("_debug_render_only", false)

static const glim_field generate_fields[] = {
    SHARED_ROWS,
    OWN("prompt", STR, prompt),
    OWN("system", STR, system),
    OWN("raw", BOOL, raw),
    OWN_SUB("context", context, read_context),
    GLIM_SUB("images", ignored, only_no_images),
    GLIM_ONLY("suffix", no_text),
    GLIM_ONLY("template", no_text),
    /* Of models that draw. */
    NOTE("width", any_int),
    NOTE("height", any_int),
    NOTE("steps", any_int),
};

static const glim_field chat_fields[] = {
    SHARED_ROWS,
    GLIM_ROW("messages", JSON, messages),
    GLIM_ROW("tools", JSON, tools),
};

/* ---- what both have -------------------------------------------------------------------------- */

glim_err glim_ollama_options(glim_arena *a, const glim_json *v, glim_wire *w, glim_request *out,
                             glim_error *e)
{
    if (!v) return GLIM_OK;
    if (v->type != GLIM_JSON_OBJECT)
        return glim_api_wrong_type(GLIM_API_KEY(NULL, "options"), "an object", v, e);
    if (v->n_child > GLIM_WIRE_MEMBER_MAX)
        return glim_api_fail(GLIM_API_KEY(NULL, "options"), GLIM_E_INPUT, v, e,
                             "%u members; at most %d are allowed", (unsigned)v->n_child,
                             GLIM_WIRE_MEMBER_MAX);
    glim_err rc = glim_wire_read_object(a, v, option_fields, GLIM_COUNT(option_fields), w, out, e);
    if (rc) return glim_api_within("options", rc, e);
    if (w->seed == -1) w->has_seed = false;            /* Ollama's word for any */
    if (w->max_tokens <= 0) w->max_tokens = INT64_MAX; /* no limit but the context */
    return GLIM_OK;
}

static glim_err note_effectless(glim_arena *a, const ollama_wire *x, glim_request *out,
                                glim_error *e)
{
    glim_err rc = GLIM_OK;
    if (x->keep == GLIM_KEEP_SOME)
        rc = glim_wire_note(a, out, "keep_alive", e); /* the model stays while there is room */
    if (!rc && x->w.top_logprobs > 0 && !x->w.logprobs)
        rc = glim_wire_note(a, out, "top_logprobs", e);
    if (!rc && x->raw && x->think != GLIM_UNSET) rc = glim_wire_note(a, out, "think", e);
    return rc;
}

static glim_err read_shared(glim_arena *a, const glim_json *root, const glim_field *fields,
                            size_t n_field, ollama_wire *x, glim_request *out, glim_error *e)
{
    memset(out, 0, sizeof *out);
    *x = (ollama_wire){.prompt = GLIM_STR(""),
                       .system = GLIM_STR(""),
                       .think = GLIM_UNSET,
                       .keep = GLIM_KEEP_UNSAID};
    glim_wire_init(&x->w);
    x->w.stream = true;
    if (root->type != GLIM_JSON_OBJECT)
        return glim_api_wrong_type(NULL, "a request object", root, e);
    glim_err rc = glim_wire_read_object(a, root, fields, n_field, x, out, e);
    if (!rc && !x->has_model)
        rc = glim_api_fail(GLIM_API_KEY(NULL, "model"), GLIM_E_INPUT, root, e,
                           "missing; name a model, or send \"\" for the one that is loaded");
    if (!rc) rc = glim_ollama_options(a, x->options, &x->w, out, e);
    if (!rc) rc = glim_wire_fill(a, &x->w, out, e);
    if (!rc) rc = note_effectless(a, x, out, e);
    if (rc) return rc;
    out->unload = x->keep == GLIM_KEEP_ZERO;
    out->logprobs = x->w.logprobs;
    if (out->logprobs) out->gen.n_logprob = (int32_t)x->w.top_logprobs;
    out->chat.think = x->raw ? GLIM_UNSET : x->think;
    out->chat.keep_old = GLIM_ON; /* as Ollama's own rendering of GLM has it */
    return GLIM_OK;
}

/* Nothing to answer: the model is loaded, or would be let go. */
static void set_instead(glim_request *out)
{
    static const glim_ollama_own load = {.unload = false}, unload = {.unload = true};
    out->instead = true;
    out->own = out->unload ? &unload : &load;
}

/* ---- generate -------------------------------------------------------------------------------- */

static glim_err check_raw(const ollama_wire *x, glim_error *e)
{
    const char *key = x->system.n ? "system" : x->context.n ? "context" : NULL;
    if (!x->raw || !key) return GLIM_OK;
    return glim_api_fail(GLIM_API_KEY(NULL, key), GLIM_E_INPUT, NULL, e,
                         "given beside raw; write it into the prompt, or leave raw out");
}

static glim_err fill_prompt(glim_arena *a, const ollama_wire *x, glim_request *out, glim_error *e)
{
    glim_raw_prompt *prompt = GLIM_ARENA_NEW0(a, glim_raw_prompt);
    if (!prompt) return glim_fail(e, GLIM_E_NOMEM, "no memory for the prompt");
    prompt->text = x->prompt;
    out->raw = true;
    out->prompts = prompt;
    out->n_prompt = 1;
    return GLIM_OK;
}

static glim_err fill_chat(glim_arena *a, const ollama_wire *x, glim_request *out, glim_error *e)
{
    glim_message *m = GLIM_ARENA_ARRAY(a, glim_message, 2);
    size_t n = 0;
    if (!m) return glim_fail(e, GLIM_E_NOMEM, "no memory for the messages");
    if (x->system.n) m[n++] = (glim_message){.role = GLIM_ROLE_SYSTEM, .content = x->system};
    m[n++] = (glim_message){.role = GLIM_ROLE_USER, .content = x->prompt};
    for (size_t i = 0; i < n; i++)
        m[i].reasoning = m[i].tool_call_id = GLIM_STR("");
    out->chat.messages = m;
    out->chat.n_message = n;
    out->context = x->context;
    out->want_ids = true; /* the reply's last object holds the conversation's tokens */
    return GLIM_OK;
}

static glim_err read_generate(glim_arena *a, const glim_json *root, glim_request *out,
                              glim_error *e)
{
    ollama_wire x;
    glim_err rc = read_shared(a, root, generate_fields, GLIM_COUNT(generate_fields), &x, out, e);
    if (!rc) rc = check_raw(&x, e);
    if (rc) return rc;
    if (x.prompt.n) return x.raw ? fill_prompt(a, &x, out, e) : fill_chat(a, &x, out, e);
    set_instead(out);
    return GLIM_OK;
}

glim_err glim_ollama_decode_generate(glim_arena *a, glim_str body, glim_request *out,
                                     glim_problem *p)
{
    return glim_api_decode(a, body, read_generate, out, p);
}

/* ---- chat ------------------------------------------------------------------------------------ */

static glim_err read_chat(glim_arena *a, const glim_json *root, glim_request *out, glim_error *e)
{
    ollama_wire x;
    glim_err rc = read_shared(a, root, chat_fields, GLIM_COUNT(chat_fields), &x, out, e);
    if (!rc) rc = glim_ollama_messages_decode(a, x.w.messages, &out->chat, e);
    if (!rc) rc = glim_openai_tools_decode(a, x.w.tools, &out->chat, e);
    if (!rc) rc = glim_wire_note_tools(a, x.w.tools, out, e);
    if (!rc && out->chat.n_message == 0) set_instead(out);
    return rc;
}

glim_err glim_ollama_decode_chat(glim_arena *a, glim_str body, glim_request *out, glim_problem *p)
{
    return glim_api_decode(a, body, read_chat, out, p);
}
