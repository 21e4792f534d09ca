/* SPDX-License-Identifier: MIT
 * s3.c - a conversation with glm-4.7-flash: once, with its thought, streamed, and of several turns.
 *
 *     s3 basic|thinking|stream|turns
 *
 * Key and address: ZHIPUAI_API_KEY, ZHIPUAI_BASE_URL. `--openai` before the word takes the same server as an OpenAI-compatible
 * one (OPENAI_API_KEY, OPENAI_BASE_URL), as the openai package would.
 *
 *     cc s3.c $(pkg-config --cflags --libs glim-client) -o s3 */
#include <stdio.h>
#include <string.h>

#include <glim/client.h>

#define STR(text) ((glim_str){text, strlen(text)})

/* Thought and answer, each under its own heading. */
static bool print(void *user, const glim_event *ev)
{
    glim_event_kind *last = user;
    bool thought = ev->kind == GLIM_EV_REASONING;
    if (!thought && ev->kind != GLIM_EV_CONTENT) return true;
    if (*last != ev->kind)
        printf("%s%s: ", *last == GLIM_EV_STOP ? "" : "\n", thought ? "thought" : "answer");
    *last = ev->kind;
    fwrite(ev->text.p, 1, ev->text.n, stdout);
    fflush(stdout);
    return true;
}

static int ask(glim_client *c, const glim_message *messages, size_t n, glim_tristate think,
               int64_t n_max, bool whole)
{
    glim_client_ask a;
    glim_error e;
    glim_event_kind last = GLIM_EV_STOP;
    glim_client_ask_init(&a);
    a.model = "glm-4.7-flash";
    a.chat.messages = messages;
    a.chat.n_message = n;
    a.chat.think = think; /* not set: what the model does by itself */
    a.gen.n_max = n_max;
    a.gen.temperature = 0.7f;
    a.whole = whole;
    if (glim_client_chat(c, &a, print, &last, NULL, &e)) {
        fprintf(stderr, "s3: %s\n", e.msg);
        return 1;
    }
    putchar('\n');
    return 0;
}

static int basic(glim_client *c)
{
    glim_message m = {.role = GLIM_ROLE_USER, .content = STR("你好，请介绍一下自己")};
    return ask(c, &m, 1, GLIM_UNSET, 2048, true);
}

static int thinking(glim_client *c)
{
    glim_message m = {.role = GLIM_ROLE_USER,
                      .content = STR("请解决这道数学题：如果 3 个工人 3 小时可以建 3 面墙...")};
    return ask(c, &m, 1, GLIM_ON, 4096, true);
}

static int stream(glim_client *c)
{
    glim_message m = {.role = GLIM_ROLE_USER, .content = STR("请写一首关于春天的诗")};
    return ask(c, &m, 1, GLIM_UNSET, -1, false);
}

static int turns(glim_client *c)
{
    glim_message m[] = {
        {.role = GLIM_ROLE_SYSTEM, .content = STR("你是一个Python编程助手")},
        {.role = GLIM_ROLE_USER, .content = STR("什么是递归？")},
        {.role = GLIM_ROLE_ASSISTANT, .content = STR("递归是一种函数调用自身的编程技术...")},
        {.role = GLIM_ROLE_USER, .content = STR("能给我一个Python递归的例子吗？")}};
    return ask(c, m, 4, GLIM_OFF, 2048, false);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*fn)(glim_client *c);
    } samples[] = {{"basic", basic}, {"thinking", thinking}, {"stream", stream}, {"turns", turns}};
    glim_client_opts o;
    glim_client *c;
    glim_error e;
    glim_client_opts_init(&o);
    if (argc == 3 && strcmp(argv[1], "--openai") == 0) {
        o.provider = "openai";
        argv++;
        argc--;
    }
    for (size_t i = 0; i < sizeof samples / sizeof *samples && argc == 2; i++) {
        if (strcmp(argv[1], samples[i].name) != 0) continue;
        if (glim_client_new(&o, &c, &e)) {
            fprintf(stderr, "s3: %s\n", e.msg);
            return 1;
        }
        int status = samples[i].fn(c);
        glim_client_free(c);
        return status;
    }
    fprintf(stderr, "s3 [--openai] basic|thinking|stream|turns\n");
    return 2;
}
