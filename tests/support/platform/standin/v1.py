# SPDX-License-Identifier: MIT
"""The OpenAI-compatible mount: chat, completions, models, embeddings, with OpenAI's own errors and order of a stream."""
import base64
import struct
import urllib.parse

from . import chat, models, words
from .fields import Field, read
from .refusal import Refusal
from .wire import Reply

CREATED = 1_700_000_000
TOOL_CHOICES = ("none", "auto", "required")
CHAT = (
    Field("model", "str", required=True, low=1),
    Field("messages", "list", required=True, low=1),
    Field("stream", "bool"),
    Field("stream_options", "dict"),
    Field("temperature", "num", low=0, high=2),
    Field("top_p", "num", low=0, high=1),
    Field("max_tokens", "int", low=1),
    Field("max_completion_tokens", "int", low=1),
    Field("n", "int", low=1, high=128),
    Field("stop", "str strs", high=4),
    Field("presence_penalty", "num", low=-2, high=2),
    Field("frequency_penalty", "num", low=-2, high=2),
    Field("seed", "int"),
    Field("tools", "list", high=128),
    Field("tool_choice", "str dict"),
    Field("parallel_tool_calls", "bool"),
    Field("response_format", "dict"),
    Field("reasoning_effort", "str"),
    Field("thinking", "dict"),
    Field("user", "str"),
    Field("metadata", "dict"),
    Field("store", "bool"),
)
COMPLETION = (
    Field("model", "str", required=True, low=1),
    Field("prompt", "str strs", required=True),
    Field("stream", "bool"),
    Field("stream_options", "dict"),
    Field("temperature", "num", low=0, high=2),
    Field("top_p", "num", low=0, high=1),
    Field("max_tokens", "int", low=0),
    Field("n", "int", low=1, high=128),
    Field("echo", "bool"),
    Field("stop", "str strs", high=4),
    Field("seed", "int"),
    Field("user", "str"),
)
EMBEDDINGS = (
    Field("model", "str", required=True, low=1),
    Field("input", "str strs", required=True, low=1),
    Field("dimensions", "int", low=1),
    Field("encoding_format", "str", one_of=("float", "base64")),
    Field("user", "str"),
)
KINDS = {400: "invalid_request_error", 401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}


def error(refusal, english=True):
    """A refusal in OpenAI's form: English, the parameter apart, codes of its own."""
    status, code, param = refusal.status, None, None
    if refusal.code in ("1001", "1002", "1003", "1004"):
        code = "invalid_api_key"
    elif refusal.code == "1211":
        status, code = 404, "model_not_found"
    elif refusal.code == "1261":
        code, param = "context_length_exceeded", "messages"
    elif refusal.code in ("1213", "1214"):
        param = refusal.what
    body = {"message": refusal.text(True), "type": KINDS.get(status, "server_error"), "param": param, "code": code}
    return Reply.of_json({"error": body}, status, refusal.headers)


def check_chat(rq):
    c = read(rq.json, CHAT, rq)
    model = models.find(c["model"], "chat", "character", "code")
    messages = [{**m, "role": "system"} if isinstance(m, dict) and m.get("role") == "developer" else m for m in c["messages"]]
    chat.check_messages(messages, model, rq)
    c["messages"] = messages
    c["names"] = chat.check_tools(c.get("tools", []), rq)
    choice = c.get("tool_choice", "auto")
    if isinstance(choice, str) and choice not in TOOL_CHOICES:
        raise Refusal("1214", "tool_choice")
    if choice == "none":
        c["names"] = []
    if "stream_options" in c and not c.get("stream"):
        raise Refusal("1214", "stream_options")
    if "thinking" in c:
        read(c["thinking"], chat.THINKING, rq, "thinking")
    prompt = sum(map(chat.message_tokens, messages))
    if prompt > model.context:
        raise Refusal("1261", f"{prompt} > {model.context}")
    return c


def write(c):
    limits = [c[k] for k in ("max_tokens", "max_completion_tokens") if k in c]
    stop = c.get("stop", [])
    return words.write(c["messages"], c["names"], c.get("thinking", {}).get("type") == "enabled",
                       c.get("response_format", {}).get("type") in ("json_object", "json_schema"), None,
                       [stop] if isinstance(stop, str) else stop, min(limits) if limits else None)


def frame(site, c, kind, prefix):
    return {"id": site.store.new_id(prefix), "object": kind, "created": site.store.now, "model": c["model"]}


def completions_chat(site, rq):
    c = check_chat(rq)
    release = site.take_slot(c["model"])
    answer, n = write(c), c.get("n", 1)
    usage = chat.usage_of(site, c, answer)
    usage["completion_tokens"] *= n
    usage["total_tokens"] = usage["prompt_tokens"] + usage["completion_tokens"]
    finish = rq.step.get("finish_reason", answer.finish)
    reply = stream_chat(site, rq, c, answer, finish, usage) if c.get("stream") else whole_chat(site, c, answer, finish, usage)
    reply.after = release
    return reply


def whole_chat(site, c, answer, finish, usage):
    out = frame(site, c, "chat.completion", "chatcmpl-")
    out["choices"] = []
    for i in range(c.get("n", 1)):
        message = {"role": "assistant", "content": answer.content or None, "refusal": None}
        if answer.reasoning:
            message["reasoning_content"] = answer.reasoning
        if answer.calls:
            message["tool_calls"] = chat.calls_of(site, answer)
        out["choices"].append({"index": i, "message": message, "logprobs": None, "finish_reason": finish})
    out["usage"] = usage
    return Reply.of_json(out)


def stream_chat(site, rq, c, answer, finish, usage):
    """The role once, then a delta a token, the reason to end, and usage in an event of its own where it was asked for."""
    base = frame(site, c, "chat.completion.chunk", "chatcmpl-")
    wants_usage = chat.truth(c.get("stream_options", {}).get("include_usage"))
    empty = {"usage": None} if wants_usage else {}
    events = []

    def event(i, delta, reason=None):
        events.append({**base, "choices": [{"index": i, "delta": delta, "logprobs": None, "finish_reason": reason}], **empty})

    for i in range(c.get("n", 1)):
        event(i, {"role": "assistant", "content": ""})
        for delta in chat.deltas_of(site, {"tool_stream": True}, answer):
            event(i, delta)
        event(i, {}, finish)
    if wants_usage:
        events.append({**base, "choices": [], "usage": usage})
    return Reply.of_events(chat.break_off(events, rq.step))


def completions(site, rq):
    """Raw completion: every prompt is answered with " echo: " and itself, after at most 16 tokens if nothing else is said."""
    c = read(rq.json, COMPLETION, rq)
    models.find(c["model"], "chat", "code")
    prompts = [c["prompt"]] if isinstance(c["prompt"], str) else c["prompt"]
    limit = c.get("max_tokens", 16)
    stop = c.get("stop", [])
    choices, used, made = [], sum(map(words.count, prompts)), 0
    for prompt in prompts:
        pieces = words.tokens(" echo: " + prompt)
        text, reason = "".join(pieces[:limit]), "length" if len(pieces) > limit else "stop"
        ends = [at for s in ([stop] if isinstance(stop, str) else stop) if s and (at := text.find(s)) >= 0]
        if ends:
            text, reason = text[: min(ends)], "stop"
        for _ in range(c.get("n", 1)):
            made += words.count(text)
            choices.append({"text": (prompt if c.get("echo") else "") + text, "index": len(choices), "logprobs": None,
                            "finish_reason": reason})
    base = frame(site, c, "text_completion", "cmpl-")
    usage = {"prompt_tokens": used, "completion_tokens": made, "total_tokens": used + made}
    if not c.get("stream"):
        return Reply.of_json({**base, "choices": choices, "usage": usage})
    events = []
    for choice in choices:
        events += [{**base, "choices": [{**choice, "text": token, "finish_reason": None}]} for token in words.tokens(choice["text"])]
        events.append({**base, "choices": [{**choice, "text": ""}]})
    if chat.truth(c.get("stream_options", {}).get("include_usage")):
        events.append({**base, "choices": [], "usage": usage})
    return Reply.of_events(chat.break_off(events, rq.step))


def model_view(model):
    return {"id": model.name, "object": "model", "created": CREATED, "owned_by": "z-ai"}


def model_list(site, rq):
    return Reply.of_json({"object": "list", "data": [model_view(m) for m in models.ALL.values()]})


def model_get(site, rq, name):
    found = models.ALL.get(urllib.parse.unquote(name).lower())
    if found is None:
        raise Refusal("1211", name)
    return Reply.of_json(model_view(found))


def embeddings(site, rq):
    e = read(rq.json, EMBEDDINGS, rq)
    model = models.find(e["model"], "embedding")
    texts = [e["input"]] if isinstance(e["input"], str) else e["input"]
    size = e.get("dimensions", model.sizes[0])
    if size not in model.sizes:
        raise Refusal("1214", "dimensions")
    if any(not t for t in texts):
        raise Refusal("1214", "input")
    data = []
    for i, text in enumerate(texts):
        vector = words.vector(text, size)
        if e.get("encoding_format") == "base64":
            vector = base64.b64encode(struct.pack(f"<{size}f", *vector)).decode()
        data.append({"object": "embedding", "index": i, "embedding": vector})
    used = sum(map(words.count, texts))
    return Reply.of_json({"object": "list", "data": data, "model": e["model"],
                          "usage": {"prompt_tokens": used, "total_tokens": used}})
