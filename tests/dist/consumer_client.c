/* SPDX-License-Identifier: MIT
 * consumer_client.c - a program of somebody else: asks a server and prints the answer. Built with pkg-config alone. */
#include <glim/client.h>

#include <stdio.h>

static bool on_event(void *user, const glim_event *ev)
{
    (void)user;
    if (ev->kind == GLIM_EV_CONTENT) fwrite(ev->text.p, 1, ev->text.n, stdout);
    return true;
}

int main(int argc, char **argv)
{
    glim_client_opts opts;
    glim_client_ask ask;
    glim_client *client;
    glim_error e;
    glim_message hello = {.role = GLIM_ROLE_USER, .content = {"Hello", 5}};
    if (argc != 3) return 2;
    glim_client_opts_init(&opts);
    opts.base_url = argv[1];
    opts.api_key = argv[2];
    if (glim_client_new(&opts, &client, &e)) {
        fprintf(stderr, "%s\n", e.msg);
        return glim_err_exit(e.code);
    }
    glim_client_ask_init(&ask);
    ask.chat.messages = &hello;
    ask.chat.n_message = 1;
    glim_err rc = glim_client_chat(client, &ask, on_event, NULL, NULL, &e);
    if (rc) fprintf(stderr, "%s\n", e.msg);
    glim_client_free(client);
    return rc ? glim_err_exit(rc) : 0;
}
