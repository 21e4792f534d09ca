# SPDX-License-Identifier: MIT
"""The Ollama mount: newline-delimited JSON, streams unless told otherwise, errors as {"error": text}, no key."""
import hashlib
import json

from . import chat, models, words
from .fields import Field, read
from .refusal import Refusal
from .wire import Reply

VERSION = "0.14.3"
WHEN = "2026-01-01T00:00:00.123456789Z"
GENERATE = (
    Field("model", "str", required=True, low=1),
    Field("prompt", "str"),
    Field("suffix", "str"),
    Field("system", "str"),
    Field("template", "str"),
    Field("context", "list"),
    Field("raw", "bool"),
    Field("format", "str dict"),
    Field("images", "strs"),
    Field("options", "dict"),
    Field("keep_alive", "str num"),
    Field("stream", "bool"),
    Field("think", "bool str"),
    Field("logprobs", "bool"),
    Field("top_logprobs", "int", low=0, high=20),
)
CHAT = (
    Field("model", "str", required=True, low=1),
    Field("messages", "list"),
    Field("tools", "list"),
    Field("format", "str dict"),
    Field("options", "dict"),
    Field("keep_alive", "str num"),
    Field("stream", "bool"),
    Field("think", "bool str"),
    Field("logprobs", "bool"),
    Field("top_logprobs", "int", low=0, high=20),
)
MESSAGE = (
    Field("role", "str", required=True, one_of=chat.ROLES),
    Field("content", "str"),
    Field("thinking", "str"),
    Field("images", "strs"),
    Field("tool_calls", "list"),
    Field("tool_name", "str"),
    Field("tool_call_id", "str"),
)
OPTIONS = (
    Field("num_predict", "int", low=-2),
    Field("num_ctx", "int", low=1),
    Field("temperature", "num", low=0),
    Field("top_k", "int"),
    Field("top_p", "num"),
    Field("min_p", "num"),
    Field("seed", "int"),
    Field("stop", "strs"),
    Field("repeat_penalty", "num"),
)
EMBED = (
    Field("model", "str", required=True, low=1),
    Field("input", "str strs", required=True),
    Field("truncate", "bool"),
    Field("dimensions", "int", low=1),
    Field("options", "dict"),
    Field("keep_alive", "str num"),
)


def error(refusal, english=True):
    status, text = refusal.status, refusal.text(True)
    if refusal.code == "1211":
        status, text = 404, f"model '{refusal.what}' not found"
    return Reply.of_json({"error": text}, status, refusal.headers)


def find(name, *kinds):
    """A model by its name with or without a tag."""
    return models.find(name.partition(":")[0], *kinds)


def settings(rq, body, model):
    """Limit, stop texts and whether to think, of options and members."""
    options = read(body.get("options", {}), OPTIONS, rq, "options")
    limit = options.get("num_predict", -1)
    think = body.get("think", model.thinks)
    if think and not model.thinks:
        raise Refusal("1210", f'"{body["model"]}" does not support thinking')
    return (limit if limit >= 0 else None), options.get("stop", []), bool(think)


def ending(prompt, answer):
    return {"done": True, "done_reason": answer.finish if answer.finish == "length" else "stop", "total_duration": 5_000_000,
            "load_duration": 1_000_000, "prompt_eval_count": prompt, "prompt_eval_duration": 1_000_000,
            "eval_count": answer.completion_tokens, "eval_duration": 3_000_000}


def send(body, rq, lines, whole, end):
    """Line by line, or all in one object."""
    if body.get("stream", True):
        return Reply.of_lines(break_off(lines + [{**lines_base(lines), **end}], rq.step))
    return Reply.of_json({**whole, **end})


def lines_base(lines):
    """What the closing line shows beside its figures: the members of a line, empty."""
    model = {"model": lines[0]["model"], "created_at": WHEN}
    if "message" in lines[0]:
        return {**model, "message": {"role": "assistant", "content": ""}}
    return {**model, "response": ""}


def break_off(lines, step):
    """A scripted failure in mid-stream is a line with `error`."""
    broken = step.get("stream_error")
    return lines if not broken else lines[: broken.get("after", 1)] + [{"error": broken.get("message", "the stream broke")}]


def generate(site, rq):
    g = read(rq.json, GENERATE, rq)
    model = find(g["model"], "chat")
    base = {"model": g["model"], "created_at": WHEN}
    if not g.get("prompt"):
        return Reply.of_json({**base, "response": "", "done": True, "done_reason": "load"})
    limit, stop, think = settings(rq, g, model)
    answer = words.write([{"role": "user", "content": g["prompt"]}], (), think, bool(g.get("format")), None, stop, limit)
    lines = [{**base, "response": "", "thinking": t, "done": False} for t in words.tokens(answer.reasoning)]
    lines += [{**base, "response": t, "done": False} for t in words.tokens(answer.content)]
    end = ending(words.count(g["prompt"]), answer)
    end["context"] = list(range(end["prompt_eval_count"] + end["eval_count"]))
    whole = {**base, "response": answer.content, **({"thinking": answer.reasoning} if think else {})}
    return send(g, rq, lines or [{**base, "response": "", "done": False}], whole, end)


def chat_route(site, rq):
    c = read(rq.json, CHAT, rq)
    model = find(c["model"], "chat")
    base = {"model": c["model"], "created_at": WHEN}
    if not c.get("messages"):
        return Reply.of_json({**base, "message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "load"})
    messages = [read(m, MESSAGE, rq, f"messages[{i}]") for i, m in enumerate(c["messages"])]
    for i, message in enumerate(messages):
        check_calls(message, f"messages[{i}]", rq)
    names = chat.check_tools(c.get("tools", []), rq)
    limit, stop, think = settings(rq, c, model)
    answer = words.write(messages, names, think, bool(c.get("format")), None, stop, limit)
    message = {"role": "assistant", "content": answer.content}
    if answer.reasoning:
        message["thinking"] = answer.reasoning
    if answer.calls:
        message["tool_calls"] = calls_of(answer)
    lines = [{**base, "message": {"role": "assistant", "content": "", "thinking": t}, "done": False}
             for t in words.tokens(answer.reasoning)]
    lines += [{**base, "message": {"role": "assistant", "content": t}, "done": False} for t in words.tokens(answer.content)]
    if answer.calls:
        lines.append({**base, "message": {"role": "assistant", "content": "", "tool_calls": calls_of(answer)}, "done": False})
    lines = lines or [{**base, "message": {"role": "assistant", "content": ""}, "done": False}]
    return send(c, rq, lines, {**base, "message": message}, ending(sum(map(chat.message_tokens, messages)), answer))


def check_calls(message, where, rq):
    """Arguments are objects here, never texts."""
    for i, call in enumerate(message.get("tool_calls", ())):
        place = f"{where}.tool_calls[{i}].function"
        table = (Field("name", "str", required=True), Field("arguments", "dict", required=True), Field("index", "int"))
        read(call.get("function") if isinstance(call, dict) else None, table, rq, place)


def calls_of(answer):
    return [{"function": {"index": i, "name": name, "arguments": json.loads(arguments)}}
            for i, (name, arguments) in enumerate(answer.calls)]


def embed(site, rq):
    e = read(rq.json, EMBED, rq)
    model = find(e["model"], "embedding")
    texts = [e["input"]] if isinstance(e["input"], str) else e["input"]
    size = min(e.get("dimensions", model.sizes[0]), model.sizes[0])
    return Reply.of_json({"model": e["model"], "embeddings": [words.vector(t, size) for t in texts], "total_duration": 2_000_000,
                          "load_duration": 1_000_000, "prompt_eval_count": sum(map(words.count, texts))})


def embeddings_old(site, rq):
    e = read(rq.json, (Field("model", "str", required=True), Field("prompt", "str", required=True), Field("options", "dict"),
                       Field("keep_alive", "str num")), rq)
    return Reply.of_json({"embedding": words.vector(e["prompt"], find(e["model"], "embedding").sizes[0])})


def details(model):
    return {"parent_model": "", "format": "gguf", "family": "glm", "families": ["glm"], "parameter_size": "30B",
            "quantization_level": "Q4_K_M"}


def listing(model, **more):
    name = model.name + ":latest"
    return {"name": name, "model": name, "size": 18_000_000_000, "digest": hashlib.sha256(name.encode()).hexdigest(),
            "details": details(model), **more}


def served():
    return [m for m in models.ALL.values() if m.kind in ("chat", "embedding")]


def tags(site, rq):
    return Reply.of_json({"models": [listing(m, modified_at=WHEN) for m in served()]})


def ps(site, rq):
    loaded = models.ALL["glm-4.7-flash"]
    return Reply.of_json({"models": [listing(loaded, expires_at=WHEN, size_vram=0, context_length=loaded.context)]})


def show(site, rq):
    s = read(rq.json, (Field("model", "str", required=True, low=1), Field("verbose", "bool")), rq)
    model = find(s["model"], "chat", "embedding")
    able = ["embedding"] if model.kind == "embedding" else ["completion", "tools"] + (["thinking"] if model.thinks else [])
    return Reply.of_json({"license": "MIT", "modelfile": f"FROM {model.name}", "parameters": "", "template": "",
                          "details": details(model), "capabilities": able, "modified_at": WHEN,
                          "model_info": {"general.architecture": "glm", "glm.context_length": model.context}})


def pull(site, rq):
    p = read(rq.json, (Field("model", "str", required=True, low=1), Field("stream", "bool"), Field("insecure", "bool")), rq)
    model = find(p["model"], "chat", "embedding")
    if not p.get("stream", True):
        return Reply.of_json({"status": "success"})
    digest = "sha256:" + listing(model)["digest"]
    return Reply.of_lines([{"status": "pulling manifest"},
                           *({"status": "pulling", "digest": digest, "total": 100, "completed": n} for n in (0, 50, 100)),
                           {"status": "success"}])


def version(site, rq):
    return Reply.of_json({"version": VERSION})


def not_here(site, rq):
    raise Refusal("1210", f"{rq.method} {rq.path} is not offered here")
