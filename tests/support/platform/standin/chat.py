# SPDX-License-Identifier: MIT
"""Chat on the Zhipu mount: the documented members, the answer as one object, as a stream, or fetched later."""
import re

from . import models, words
from .fields import Field, read
from .refusal import Refusal
from .store import Task
from .wire import Reply, dump

ROLES = ("system", "user", "assistant", "tool")
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")

CHAT = (
    Field("model", "str", required=True, low=1),
    Field("messages", "list", required=True, low=1),
    Field("stream", "bool"),
    Field("thinking", "dict"),
    Field("reasoning_effort", "str", one_of=EFFORTS),
    Field("do_sample", "bool"),
    Field("temperature", "num", low=0, high=1),
    Field("top_p", "num", low=0.01, high=1),
    Field("max_tokens", "int", low=1),
    Field("stop", "str strs", high=4),
    Field("seed", "int"),
    Field("tools", "list", high=128),
    Field("tool_choice", "str", one_of=("auto",)),
    Field("tool_stream", "bool"),
    Field("response_format", "dict"),
    Field("request_id", "str num", low=6, high=64),
    Field("user_id", "str", low=6, high=128),
    Field("meta", "dict"),
    Field("extra", "dict"),
    Field("sensitive_word_check", "dict"),
    Field("watermark_enabled", "bool"),
    Field("stream_options", "dict"),
)
THINKING = (Field("type", "str", required=True, one_of=("enabled", "disabled")), Field("clear_thinking", "bool"))
FORMAT = (Field("type", "str", required=True, one_of=("text", "json_object")),)
META = tuple(Field(n, "str", required=True, low=1) for n in ("user_info", "bot_info", "bot_name", "user_name"))
MESSAGE = (
    Field("role", "str", required=True, one_of=ROLES),
    Field("content", "str list"),
    Field("reasoning_content", "str"),
    Field("tool_calls", "list"),
    Field("tool_call_id", "str", low=1),
    Field("name", "str"),
)
TOOL_CALL = (
    Field("id", "str", required=True, low=1),
    Field("index", "int", low=0),
    Field("type", "str", required=True, one_of=("function", "web_search")),
    Field("function", "dict"),
)
CALLED = (Field("name", "str", required=True), Field("arguments", "str", required=True))
TOOL = (
    Field("type", "str", required=True, one_of=("function", "web_search", "retrieval", "mcp")),
    Field("function", "dict"),
    Field("web_search", "dict"),
    Field("retrieval", "dict"),
    Field("mcp", "dict"),
)
FUNCTION = (
    Field("name", "str", required=True),
    Field("description", "str"),
    Field("parameters", "dict"),
    Field("strict", "bool"),
)
RECENCY = ("oneDay", "oneWeek", "oneMonth", "oneYear", "noLimit")
WEB_SEARCH = (
    Field("enable", "bool str"),
    Field("search_engine", "str"),
    Field("search_query", "str"),
    Field("search_intent", "bool str"),
    Field("count", "int str"),
    Field("search_domain_filter", "str"),
    Field("search_recency_filter", "str", one_of=RECENCY),
    Field("content_size", "str", one_of=("medium", "high")),
    Field("result_sequence", "str", one_of=("before", "after")),
    Field("search_result", "bool str"),
    Field("require_search", "bool str"),
    Field("search_prompt", "str"),
)
PART = (
    Field("type", "str", required=True, one_of=("text", "image_url", "video_url", "file_url", "input_audio")),
    Field("text", "str"),
    Field("image_url", "dict"),
    Field("video_url", "dict"),
    Field("file_url", "dict"),
    Field("input_audio", "dict"),
)
URL = (Field("url", "str", required=True, low=1), Field("detail", "str"))


# ---- checking --------------------------------------------------------------------------------------------


def check_parts(content, model, where, rq):
    """Parts of a message: whatever is not text needs a model that sees."""
    if not content:
        raise Refusal("1214", where)
    for i, part in enumerate(content):
        place = f"{where}[{i}]"
        kind = read(part, PART, rq, place)["type"]
        if part.get(kind) is None:
            raise Refusal("1213", f"{place}.{kind}")
        if kind == "text":
            continue
        if not model.sees or kind == "input_audio":
            raise Refusal("1214", f"{place}.type")
        if kind == "image_url":
            words.picture_size(read(part[kind], URL, rq, f"{place}.{kind}")["url"])
        else:
            read(part[kind], URL, rq, f"{place}.{kind}")


def check_message(message, model, where, known_calls, rq):
    m = read(message, MESSAGE, rq, where)
    content, calls = m.get("content"), m.get("tool_calls")
    if isinstance(content, list):
        check_parts(content, model, f"{where}.content", rq)
    elif not content and not (m["role"] == "assistant" and calls):
        raise Refusal("1214", f"{where}.content")
    if m["role"] == "tool" and m.get("tool_call_id") not in known_calls:
        raise Refusal("1214", f"{where}.tool_call_id")
    if calls and m["role"] != "assistant":
        raise Refusal("1214", f"{where}.tool_calls")
    for i, call in enumerate(calls or ()):
        place = f"{where}.tool_calls[{i}]"
        call = read(call, TOOL_CALL, rq, place)
        if call["type"] == "function":
            read(call.get("function"), CALLED, rq, f"{place}.function")
        known_calls.add(call["id"])


def check_messages(messages, model, rq):
    """Every message by itself, then the list: something must have been asked."""
    known_calls = set()
    for i, message in enumerate(messages):
        check_message(message, model, f"messages[{i}]", known_calls, rq)
    if all(m["role"] in ("system", "assistant") for m in messages):
        raise Refusal("1214", "messages")


def check_tools(tools, rq):
    names = []
    for i, tool in enumerate(tools):
        place = f"tools[{i}]"
        tool = read(tool, TOOL, rq, place)
        if tool.get(tool["type"]) is None:
            raise Refusal("1213", f"{place}.{tool['type']}")
        if tool["type"] == "function":
            name = read(tool["function"], FUNCTION, rq, f"{place}.function")["name"]
            if not NAME.fullmatch(name) or name in names:
                raise Refusal("1214", f"{place}.function.name")
            names.append(name)
        elif tool["type"] == "web_search":
            search = read(tool["web_search"], WEB_SEARCH, rq, f"{place}.web_search")
            number(search.get("count", 10), 1, 50, f"{place}.web_search.count")
    return names


def truth(value, default=False):
    """A flag that callers also write as a text."""
    return default if value is None else str(value).lower() == "true"


def number(value, low, high, where):
    """A whole number that callers also write as a text."""
    if not re.fullmatch(r"-?\d{1,9}", str(value)) or not low <= int(value) <= high:
        raise Refusal("1214", where)
    return int(value)


def check(rq, body, kinds=("chat", "character", "code")):
    """A chat's members, checked, and its model."""
    chat = read(body, CHAT, rq)
    model = models.find(chat["model"], *kinds)
    check_messages(chat["messages"], model, rq)
    if chat.get("max_tokens", 1) > model.max_out:
        raise Refusal("1214", "max_tokens")
    if "thinking" in chat:
        read(chat["thinking"], THINKING, rq, "thinking")
    if "response_format" in chat:
        read(chat["response_format"], FORMAT, rq, "response_format")
    if "meta" in chat:
        read(chat["meta"], META, rq, "meta")
    chat["names"] = check_tools(chat.get("tools", []), rq)
    prompt = sum(map(message_tokens, chat["messages"]))
    if prompt > model.context:
        raise Refusal("1261", f"{prompt} > {model.context}")
    return chat, model


# ---- answering -------------------------------------------------------------------------------------------


def message_tokens(message):
    return 1 + words.count(words.text_of(message.get("content")))


def thinks(chat, model):
    return model.thinks and chat.get("thinking", {}).get("type", "enabled") == "enabled"


def answer_of(chat, model):
    """What the pretended model writes for a checked chat."""
    stop = chat.get("stop", [])
    return words.write(
        chat["messages"], chat["names"], thinks(chat, model),
        chat.get("response_format", {}).get("type") == "json_object",
        chat.get("meta") if model.kind == "character" else None,
        [stop] if isinstance(stop, str) else stop, chat.get("max_tokens"))


def usage_of(site, chat, answer):
    messages = chat["messages"]
    prompt = sum(map(message_tokens, messages))
    return {
        "prompt_tokens": prompt,
        "completion_tokens": answer.completion_tokens,
        "total_tokens": prompt + answer.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": site.store.cached(chat["model"], messages, message_tokens)},
        "completion_tokens_details": {"reasoning_tokens": answer.reasoning_tokens},
    }


def search_hits(query, count):
    """Results of a search that nobody made."""
    return [{"title": f"{query} ({i})", "content": f"result {i} for {query}", "link": f"https://example.invalid/{i}",
             "media": "Example", "icon": "https://example.invalid/icon.png", "refer": f"ref_{i}",
             "publish_date": "2026-01-01"} for i in range(1, count + 1)]


def web_search_of(chat):
    """Hits of the web_search tool; only when it is not switched off and its results are asked for."""
    for tool in chat.get("tools", []):
        if tool["type"] == "web_search":
            search = tool["web_search"]
            if truth(search.get("enable"), True) and truth(search.get("search_result")):
                query = search.get("search_query") or words.last_user(chat["messages"])[0]
                return search_hits(query, int(search.get("count") or 10))
    return None


def calls_of(site, answer):
    return [{"id": site.store.new_id("call_"), "index": i, "type": "function",
             "function": {"name": name, "arguments": arguments}} for i, (name, arguments) in enumerate(answer.calls)]


def frame(site, rq, chat):
    """The members that every object of a reply shares."""
    return {"id": rq.made, "request_id": rq.request_id, "created": site.store.now, "model": chat["model"]}


def complete(site, rq, chat, model):
    """The whole answer as one object."""
    answer = answer_of(chat, model)
    message = {"role": "assistant", "content": answer.content}
    if answer.reasoning:
        message["reasoning_content"] = answer.reasoning
    if answer.calls:
        message["tool_calls"] = calls_of(site, answer)
    finish = rq.step.get("finish_reason", answer.finish)
    out = frame(site, rq, chat)
    out["choices"] = [{"index": 0, "finish_reason": finish, "message": message}]
    out["usage"] = usage_of(site, chat, answer)
    add_extras(out, chat, finish)
    return out


def add_extras(out, chat, finish):
    hits = web_search_of(chat)
    if hits is not None:
        out["web_search"] = hits
    if finish == "sensitive":
        out["content_filter"] = [{"role": "assistant", "level": 1}]


def deltas_of(site, chat, answer):
    """A stream's deltas: one a token; a call in one, or with tool_stream its arguments token by token behind its name."""
    for token in words.tokens(answer.reasoning):
        yield {"reasoning_content": token}
    for token in words.tokens(answer.content):
        yield {"content": token}
    for call in calls_of(site, answer):
        if not chat.get("tool_stream"):
            yield {"tool_calls": [call]}
            continue
        arguments = call["function"]["arguments"]
        yield {"tool_calls": [{**call, "function": {"name": call["function"]["name"], "arguments": ""}}]}
        for token in words.tokens(arguments):
            yield {"tool_calls": [{"index": call["index"], "function": {"arguments": token}}]}


def stream(site, rq, chat, model):
    """The answer as events; the platform repeats the role in each, and puts finish_reason and usage into the last."""
    answer = answer_of(chat, model)
    base = frame(site, rq, chat)
    finish = rq.step.get("finish_reason", answer.finish)

    def event(delta, **more):
        return {**base, "choices": [{"index": 0, **more, "delta": {"role": "assistant", **delta}}]}

    events = [event(delta) for delta in deltas_of(site, chat, answer)]
    last = event({"content": ""}, finish_reason=finish)
    last["usage"] = usage_of(site, chat, answer)
    add_extras(last, chat, finish)
    events.append(last)
    return Reply.of_events(break_off(events, rq.step))


def break_off(events, step):
    """A scripted error in mid-stream: `stream_error` {after, code, message, form}."""
    error = step.get("stream_error")
    if not error:
        return events
    body = {"error": {"code": error.get("code", "1234"), "message": error.get("message", "the stream broke")}}
    named = error.get("form", "data") == "event"
    return events[: error.get("after", 1)] + [(b"event: error\n" if named else b"") + b"data: " + dump(body) + b"\n\n"]


def completions(site, rq):
    chat, model = check(rq, rq.json)
    release = site.take_slot(chat["model"])
    if chat.get("stream"):
        reply = stream(site, rq, chat, model)
    else:
        reply = Reply.of_json(complete(site, rq, chat, model))
    reply.after = release
    return reply


def async_completions(site, rq):
    chat, model = check(rq, rq.json)
    if chat.get("stream"):
        raise Refusal("1214", "stream")
    done = complete(site, rq, chat, model)
    task = site.add_task(rq, chat["model"], {k: done[k] for k in ("created", "choices", "usage")})
    return Reply.of_json(task)


def async_result(site, rq, task_id):
    task = site.store.tasks.get((rq.key, task_id))
    if not isinstance(task, Task):
        raise Refusal("1214", "id", status=404)
    return Reply.of_json(task.view())
