/* SPDX-License-Identifier: MIT
 * api.h - the one header of room api: other people's JSON to and from chat.h's structs.
 * Knows keys and shapes; knows no socket, no token. */
#ifndef GLIM_API_ROOM_H
#define GLIM_API_ROOM_H

#include "glim/chat.h"
#include "json/json.h"

/* A decoded chat request. Memory is the arena's; strings may point into the source. */
typedef struct glim_chat_request {
    glim_chat chat;
    glim_gen_opts gen;      /* only what the request named is changed from the defaults */
    size_t n_unknown;       /* members that no table knows */
} glim_chat_request;

/* Decodes an OpenAI chat request object: messages, tools, tool_choice none, thinking in its spellings (thinking,
 * chat_template_kwargs, reasoning_effort, enable_thinking), sampling fields.
 * Clean-ups (models.md 3.1): null content is "", developer is system, function is tool, parts are joined,
 * arguments strings must hold a JSON object ("" is {}), empty tools are none.
 * Errors: INPUT with the field's path ("messages[2].content"), UNSUPPORTED by name (images and the like). */
GLIM_MUST_USE glim_err glim_openai_chat_decode(glim_arena *a, glim_str json, glim_chat_request *out, glim_error *e);
/* Only the array of messages, only the array of tools (files given on the command line). */
GLIM_MUST_USE glim_err glim_openai_messages_decode(glim_arena *a, const glim_json *v, glim_chat *out, glim_error *e);
GLIM_MUST_USE glim_err glim_openai_tools_decode(glim_arena *a, const glim_json *v, glim_chat *out, glim_error *e);

#endif
