/* SPDX-License-Identifier: MIT
 * test_logprobs.c - the queue between tokens and text: what is held, cut or never said; for every
 * cut of the text. */
#include "script.h"

#include "api/reply_priv.h"

typedef struct tok {
    const char *bytes; /* NUL ends it */
    bool in_reasoning;
} tok;

static void push(glim_lp_queue *q, const tok *t)
{
    const glim_token_logprobs lp = {.chosen = {.logprob = -1, .bytes = glim_str_of(t->bytes)}};
    const glim_event ev = {
        .kind = GLIM_EV_LOGPROBS, .logprobs = &lp, .in_reasoning = t->in_reasoning};
    glim_lp_push(q, &ev, true);
}

static const struct {
    tok tokens[8];
    const char *text, *want; /* the entries that belong to it, joined by | */
} cases[] = {
    {{{"a", 0}, {"b", 0}}, "ab", "a|b|"},
    {{{"ab", 0}, {"c", 0}}, "ab", "ab|"},
    {{{"ab", 0}, {"<st", 0}, {"op", 0}}, "ab", "ab|"},
    {{{"</think>", 1}, {"\n", 0}, {"Hi", 0}}, "Hi", "Hi|"},
    {{{"</think>", 1}, {"\n\nHi", 0}}, "Hi", "\\n\\nHi|"},
    {{{"a", 0}, {" ", 0}, {"b", 0}}, "a b", "a| |b|"},
    {{{"\xE4\xBD", 0}, {"\xA0", 0}, {"!", 0}},
     "\xE4\xBD\xA0!",
     "\xEF\xBF\xBD\xEF\xBF\xBD|\xEF\xBF\xBD|!|"},
    {{{"\xE4", 0}, {"a", 0}},
     "\xEF\xBF\xBD"
     "a",
     "\xEF\xBF\xBD|a|"},
    {{{"a", 0}, {"<|x|>", 0}, {"b", 0}}, "ab", "a|b|"},
};

/* The text may come whole or in two pieces: it is the same entries. */
static void every_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < GLIM_COUNT(cases); i++) {
        size_t n = strlen(cases[i].text);
        for (size_t cut = 0; cut <= n; cut++) {
            char got[256] = "";
            glim_lp_queue q;
            glim_lp_init(&q, 1 << 20);
            for (size_t k = 0; cases[i].tokens[k].bytes; k++)
                push(&q, &cases[i].tokens[k]);
            const glim_str pieces[] = {{cases[i].text, cut}, {cases[i].text + cut, n - cut}};
            for (size_t k = 0; k < 2; k++) {
                glim_str t = pieces[k];
                const char *begin;
                const glim_lp_entry *e;
                /* events hold whole characters */
                if (cut < n && ((unsigned char)cases[i].text[cut] & 0xc0) == 0x80) continue;
                while ((e = glim_lp_take(&q, false, &t, &begin)) != NULL) {
                    glim_str json = glim_lp_json(&q, e);
                    snprintf(got + strlen(got), sizeof got - strlen(got), "%.*s|", (int)json.n - 2,
                             json.p + 1);
                    assert_true(glim_str_is(glim_lp_number(&q, e), "-1"));
                }
            }
            bool skipped = cut < n && ((unsigned char)cases[i].text[cut] & 0xc0) == 0x80;
            if (!skipped) assert_string_equal(got, cases[i].want);
            glim_lp_deinit(&q);
        }
    }
}

static void thought_and_answer(void **state)
{
    (void)state;
    static const tok tokens[] = {{"hm", 1}, {"</think>", 1}, {"Hi", 0}};
    glim_lp_queue q;
    const char *begin;
    glim_lp_init(&q, 1 << 20);
    for (size_t i = 0; i < 3; i++)
        push(&q, &tokens[i]);
    glim_str thought = GLIM_STR("hm"), more = GLIM_STR("hm"), answer = GLIM_STR("Hi");
    assert_non_null(glim_lp_take(&q, true, &thought, &begin));
    assert_null(glim_lp_take(&q, true, &thought, &begin));
    assert_null(glim_lp_take(&q, true, &more, &begin)); /* the answer's entry stays */
    assert_non_null(glim_lp_take(&q, false, &answer, &begin));
    glim_lp_deinit(&q);
}

/* A queue that is emptied again and again keeps its size. */
static void no_growth(void **state)
{
    (void)state;
    const tok t = {"abc", 0};
    glim_lp_queue q;
    const char *begin;
    glim_lp_init(&q, 1 << 20);
    uint64_t before = 0;
    for (int i = 0; i < 1000; i++) {
        if (i == 2) before = glim_alloc_count();
        push(&q, &t);
        glim_str text = GLIM_STR("abc");
        assert_non_null(glim_lp_take(&q, false, &text, &begin));
    }
    assert_int_equal(glim_alloc_count(), before);
    glim_lp_deinit(&q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_cut),
        cmocka_unit_test(thought_and_answer),
        cmocka_unit_test(no_growth),
    };
    return cmocka_run_group_tests_name("api/logprobs", tests, NULL, NULL);
}
