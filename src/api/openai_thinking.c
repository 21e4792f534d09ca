/* SPDX-License-Identifier: MIT
 * openai_thinking.c - the many spellings of "think" and "think no more", to one state.
 * Owns:   which spelling wins, and that the losers are checked too.
 * Thread: any, pure.
 * Fails:  INPUT with the path.
 * See:    tests/unit/api/test_openai_chat.c */
#include "api/api_priv.h"

static glim_err read_effort(const glim_api_path *p, const glim_json *v, glim_tristate *out,
                            glim_error *e)
{
    static const struct {
        const char *name;
        glim_tristate think;
    } efforts[] = {
        {"none", GLIM_OFF}, {"minimal", GLIM_OFF}, {"low", GLIM_ON}, {"medium", GLIM_ON},
        {"high", GLIM_ON},  {"xhigh", GLIM_ON},    {"max", GLIM_ON},
    };
    double x;
    if (!v || v->type == GLIM_JSON_NULL) return GLIM_OK;
    if (v->type == GLIM_JSON_NUMBER) {
        if (!glim_json_f64(v, &x) || x < 0 || x > 1)
            return glim_api_fail(p, GLIM_E_INPUT, v, e, "a number here lies between 0 and 1");
        *out = x > 0 ? GLIM_ON : GLIM_OFF;
        return GLIM_OK;
    }
    if (v->type != GLIM_JSON_STRING) return glim_api_wrong_type(p, "a string or a number", v, e);
    for (size_t i = 0; i < GLIM_COUNT(efforts); i++) {
        if (glim_str_is(v->text, efforts[i].name)) {
            *out = efforts[i].think;
            return GLIM_OK;
        }
    }
    return glim_api_fail(p, GLIM_E_INPUT, v, e,
                         "%s is unknown; use none, minimal, low, medium, high, xhigh or max",
                         GLIM_QUOTE(v->text));
}

static glim_err want_object(const glim_api_path *p, const glim_json *v, glim_error *e)
{
    if (!v || v->type == GLIM_JSON_OBJECT) return GLIM_OK;
    return glim_api_wrong_type(p, "an object", v, e);
}

static glim_err read_thinking_type(const glim_api_path *p, const glim_json *obj, glim_tristate *out,
                                   glim_error *e)
{
    glim_str type = {NULL, 0};
    glim_err rc = glim_api_str(p, obj, "type", &type, e);
    if (rc || !type.p) return rc;
    if (glim_str_is(type, "enabled") || glim_str_is(type, "adaptive"))
        *out = GLIM_ON;
    else if (glim_str_is(type, "disabled"))
        *out = GLIM_OFF;
    else
        return glim_api_fail(GLIM_API_KEY(p, "type"), GLIM_E_INPUT, obj, e,
                             "%s is unknown; use enabled or disabled", GLIM_QUOTE(type));
    return GLIM_OK;
}

/* Tokens of thought before it is closed: a limit of glim's own, also where thinking comes in
 * another spelling. */
static glim_err read_budget(const glim_api_path *p, const glim_json *obj, int64_t *out,
                            glim_error *e)
{
    const glim_json *v = glim_api_given(obj, "budget_tokens");
    int64_t n;
    if (!v) return GLIM_OK;
    p = GLIM_API_KEY(p, "budget_tokens");
    if (v->type != GLIM_JSON_NUMBER) return glim_api_wrong_type(p, "an integer", v, e);
    if (!glim_json_i64(v, &n) || n < 1 || n > INT32_MAX)
        return glim_api_fail(p, GLIM_E_INPUT, v, e, "%.*s is out of range; send 1 or more tokens",
                             (int)GLIM_MIN(v->text.n, (size_t)40), v->text.p);
    *out = n;
    return GLIM_OK;
}

/* Every spelling is read and checked; where they disagree the most explicit one wins. */
glim_err glim_openai_thinking_decode(const glim_thinking_fields *f, glim_chat *c, glim_gen_opts *g,
                                     glim_error *e)
{
    enum { BY_TYPE, BY_KWARGS, BY_FIELD, BY_ENABLED, BY_EFFORT, N_SPELLING };
    glim_tristate said[N_SPELLING], alias = GLIM_UNSET, clear = GLIM_UNSET;
    const glim_api_path *thinking = GLIM_API_KEY(NULL, "thinking");
    const glim_api_path *kwargs = GLIM_API_KEY(NULL, "chat_template_kwargs");
    const glim_api_path *reasoning = GLIM_API_KEY(NULL, "reasoning");
    for (size_t i = 0; i < N_SPELLING; i++)
        said[i] = GLIM_UNSET;

    glim_err rc = want_object(thinking, f->thinking, e);
    if (!rc) rc = want_object(kwargs, f->kwargs, e);
    if (!rc) rc = want_object(reasoning, f->reasoning, e);
    if (!rc) rc = read_thinking_type(thinking, f->thinking, &said[BY_TYPE], e);
    if (!rc) rc = glim_api_bool(kwargs, f->kwargs, "thinking", &alias, e);
    said[BY_KWARGS] = alias;
    if (!rc) rc = glim_api_bool(kwargs, f->kwargs, "enable_thinking", &said[BY_KWARGS], e);
    said[BY_FIELD] = f->field;
    if (!rc) rc = glim_api_bool(reasoning, f->reasoning, "enabled", &said[BY_ENABLED], e);
    if (!rc)
        rc = read_effort(GLIM_API_KEY(reasoning, "effort"), glim_json_get(f->reasoning, "effort"),
                         &said[BY_EFFORT], e);
    if (!rc)
        rc = read_effort(GLIM_API_KEY(NULL, "reasoning_effort"), f->effort, &said[BY_EFFORT], e);
    if (!rc) rc = glim_api_bool(kwargs, f->kwargs, "clear_thinking", &clear, e);
    if (!rc) rc = glim_api_bool(thinking, f->thinking, "clear_thinking", &clear, e);
    if (!rc) rc = read_budget(thinking, f->thinking, &g->think_budget, e);
    if (rc) return rc;

    for (size_t i = 0; i < N_SPELLING; i++) {
        if (c->think == GLIM_UNSET)
            c->think = said[i];
        else if (said[i] != GLIM_UNSET && said[i] != c->think)
            GLIM_DEBUG("api", "thinking_conflict", "used=%d ignored=%d", c->think, said[i]);
    }
    if (clear != GLIM_UNSET) c->keep_old = clear == GLIM_ON ? GLIM_OFF : GLIM_ON;
    return GLIM_OK;
}
