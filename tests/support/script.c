/* SPDX-License-Identifier: MIT
 * script.c - the engine of glim-test: it says what the prompt tells it to say, as slowly and as brokenly.
 * How: the prompt's text holds {"script": {...}} somewhere; the last one counts. Members:
 *   text         what the model writes; the text of special tokens means the tokens ("OK" without a script)
 *   bytes        true: every byte of text is a token of its own
 *   prefill_ms   how long the prompt takes      token_ms    how long each token takes
 *   fail_after   the engine dies instead of making token number n (0: the first)
 *   stop         false: the text begins anew at its end; else the turn ends there
 * Logits: the scripted token far ahead, a neighbour behind it that moves with the position.
 * Thread: the engine's. */
#include "engine/engine_int.h"

#include "json/json.h"

#include <time.h>

typedef struct script {
    int64_t n_prompt, n_done; /* tokens of the prompt; tokens made */
    int64_t prefill_ms, token_ms, fail_after;
    bool stop;
    size_t n;
    int32_t ids[];
} script;

static glim_err wait_ms(glim_session *s, int64_t ms, glim_error *e)
{
    for (uint64_t until = glim_now_ns() + (uint64_t)ms * 1000000u;;) {
        atomic_store(&s->m->beat_ns, glim_now_ns());
        if (atomic_load(&s->cancel)) return glim_fail(e, GLIM_E_CANCELLED, "cancelled");
        uint64_t now = glim_now_ns();
        if (now >= until) return GLIM_OK;
        uint64_t left = GLIM_MIN(until - now, 10000000u);
        const struct timespec t = {0, (long)left};
        nanosleep(&t, NULL);
    }
}

static size_t find_last(glim_str hay, glim_str needle)
{
    size_t at = SIZE_MAX, from = 0;
    for (size_t i; (i = glim_str_find(glim_str_sub(hay, from, hay.n), needle)) != SIZE_MAX;
         from = at + 1)
        at = from + i;
    return at;
}

/* The object that begins at s.p[0], braces in strings minded; "" when it does not end. */
static glim_str object_at(glim_str s)
{
    int depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{') {
            depth++;
        } else if (c == '}' && --depth == 0) {
            return glim_str_sub(s, 0, i + 1);
        }
    }
    return (glim_str){"", 0};
}

static int64_t number(const glim_json *v, const char *key, int64_t none)
{
    int64_t n;
    return glim_json_i64(glim_json_get(v, key), &n) ? n : none;
}

static glim_err text_ids(const glim_vocab *v, glim_str text, bool bytes, glim_tokens *out,
                         glim_error *e)
{
    if (!bytes) return glim_tokenize(v, text, true, out, e);
    *out = (glim_tokens){glim_alloc_array(text.n + 1, sizeof(int32_t)), 0};
    if (!out->ids) return glim_fail(e, GLIM_E_NOMEM, "script");
    for (size_t i = 0; i < text.n; i++)
        for (int32_t id = 0; id < (int32_t)glim_vocab_size(v); id++) {
            glim_str t = glim_token_bytes(v->tok, id);
            if (t.n != 1 || t.p[0] != text.p[i]) continue;
            out->ids[out->n++] = id;
            break;
        }
    return GLIM_OK;
}

static glim_err read_script(glim_session *s, glim_error *e)
{
    const glim_vocab *v = s->m->vocab;
    glim_buf text;
    glim_arena *a = glim_arena_new((size_t)64 << 20);
    glim_json *root = NULL;
    glim_tokens ids = {0};
    glim_str said = GLIM_STR("OK");
    bool stop = true, bytes = false;
    glim_buf_init(&text, (size_t)64 << 20);
    for (int64_t i = 0; i < s->n_token; i++)
        (void)glim_buf_addv(&text, glim_token_bytes(v->tok, s->tokens[i]));
    size_t at = find_last(glim_buf_view(&text), GLIM_STR("{\"script\":"));
    glim_str object = at == SIZE_MAX ? (glim_str){"", 0}
                                     : object_at(glim_str_sub(glim_buf_view(&text), at, text.n));
    glim_err rc = !a         ? glim_fail(e, GLIM_E_NOMEM, "script")
                  : object.n ? glim_json_parse(a, object, &root, e)
                             : GLIM_OK;
    const glim_json *o = glim_json_get(root, "script"), *t = glim_json_get(o, "text");
    if (t) said = t->text;
    (void)glim_json_bool(glim_json_get(o, "stop"), &stop);
    (void)glim_json_bool(glim_json_get(o, "bytes"), &bytes);
    if (!rc) rc = text_ids(v, said, bytes, &ids, e);
    script *sc = rc ? NULL : glim_alloc(sizeof *sc + ids.n * sizeof(int32_t));
    if (!rc && !sc) rc = glim_fail(e, GLIM_E_NOMEM, "script");
    if (!rc) {
        *sc = (script){.n_prompt = s->n_token,
                       .prefill_ms = number(o, "prefill_ms", 0),
                       .token_ms = number(o, "token_ms", 0),
                       .fail_after = number(o, "fail_after", -1),
                       .stop = stop,
                       .n = ids.n};
        if (ids.n) memcpy(sc->ids, ids.ids, ids.n * sizeof(int32_t));
        glim_free(s->script);
        s->script = sc;
    }
    glim_tokens_free(&ids);
    glim_arena_free(a);
    glim_buf_deinit(&text);
    return rc;
}

static glim_err step(glim_session *s, const int32_t *tokens, size_t n, glim_logits_fn fn,
                     void *user, glim_error *e)
{
    script *sc = s->script;
    int64_t before = s->n_token;
    glim_err rc = GLIM_OK;
    memcpy(s->tokens + s->n_token, tokens, n * sizeof *tokens);
    s->n_token += (int64_t)n;
    if (!fn) return GLIM_OK;
    bool decode = sc && n == 1 && before == sc->n_prompt + sc->n_done;
    if (!decode) rc = read_script(s, e);
    sc = s->script;
    if (!rc) {
        if (decode) sc->n_done++;
        rc = wait_ms(s, decode ? sc->token_ms : sc->prefill_ms, e);
    }
    if (!rc && sc->fail_after == sc->n_done)
        rc = glim_fail(e, GLIM_E_FAIL, "the engine failed after %lld tokens, as the script says",
                       (long long)sc->n_done);
    if (rc) {
        s->n_token = before;
        return rc;
    }
    size_t i = (size_t)sc->n_done, n_vocab = (size_t)s->m->core->n_vocab;
    int32_t id = i < sc->n                ? sc->ids[i]
                 : sc->stop || sc->n == 0 ? s->m->vocab->stops[0]
                                          : sc->ids[i % sc->n];
    memset(s->m->logits, 0, n_vocab * sizeof(float));
    s->m->logits[((size_t)id + 1 + i) % n_vocab] = 50 + (float)(i % 7);
    s->m->logits[id] = 60;
    return fn(user, s->n_token - 1, s->m->logits, n_vocab)
               ? GLIM_OK
               : glim_fail(e, GLIM_E_CANCELLED, "cancelled by the caller");
}

const glim_stepper *glim_stepper_default(void)
{
    static const glim_stepper scripted = {step};
    return &scripted;
}
