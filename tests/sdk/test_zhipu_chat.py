# SPDX-License-Identifier: MIT
"""Checks 1 to 9, 11, 15 and 18 with Zhipu's SDK of this environment, on its mounts and on /v1."""
import json

import pytest

from server import MODEL, chunks, say, script
from zsdk import Clients

MOUNTS = ["paas", "coding", "v1"]


@pytest.fixture(params=MOUNTS)
def mount(request):
    return request.param


@pytest.fixture(params=sorted(Clients))
def client(request, scripted, mount):
    return Clients[request.param](api_key="id.secret", base_url=getattr(scripted, mount), max_retries=0)


def collect(stream):
    out = {"content": "", "reasoning": "", "calls": {}, "finish": None, "usage": None, "n_arg": 0, "chunks": []}
    for chunk in stream:
        out["chunks"].append(chunk)
        choice = chunk.choices[0]  # unguarded, as the guides have it
        d = choice.delta
        out["content"] += d.content or ""
        out["reasoning"] += d.reasoning_content or ""
        seen = set()
        for t in d.tool_calls or []:
            assert t.index not in seen
            seen.add(t.index)
            call = out["calls"].setdefault(t.index, {"id": "", "type": "", "name": "", "arguments": "", "n": 0})
            call["id"] += t.id or ""
            call["type"] += t.type or ""
            call["name"] += t.function.name or ""
            args = t.function.arguments
            assert args is not None, "arguments: null breaks args += delta.function.arguments"
            call["arguments"] += args
            call["n"] += bool(args)
        if choice.finish_reason:
            assert out["finish"] is None
            out["finish"] = choice.finish_reason
            out["usage"] = chunk.usage
        else:
            assert chunk.usage is None, "usage before the end"
    return out


def tool(name, **properties):
    return {"type": "function", "function": {"name": name, "description": "d", "parameters": {
        "type": "object", "properties": properties, "required": list(properties)}}}


def call_text(name, **args):
    return f"<tool_call>{name}" + "".join(
        f"<arg_key>{k}</arg_key><arg_value>{v}</arg_value>" for k, v in args.items()) + "</tool_call>"


def test_thinking(client):
    messages = say("a thought</think>Hello!")
    r = client.chat.completions.create(model=MODEL, messages=messages, thinking={"type": "enabled"})
    m = r.choices[0].message
    assert (m.reasoning_content, m.content, r.choices[0].finish_reason) == ("a thought", "Hello!", "stop")
    assert r.usage.model_dump()["completion_tokens_details"]["reasoning_tokens"] > 0
    s = collect(client.chat.completions.create(model=MODEL, messages=messages, thinking={"type": "enabled"}, stream=True))
    assert (s["reasoning"], s["content"], s["finish"]) == ("a thought", "Hello!", "stop")
    assert s["usage"].total_tokens == r.usage.total_tokens
    assert s["usage"].prompt_tokens_details.cached_tokens >= 0
    roles = [c.choices[0].delta.role for c in s["chunks"] if c.choices[0].delta.role]
    assert roles == ["assistant"]


@pytest.mark.parametrize("stream", [False, True])
def test_thinking_off(client, stream):
    r = client.chat.completions.create(model=MODEL, messages=say("Just this."), thinking={"type": "disabled"}, stream=stream)
    if stream:
        got = collect(r)
        assert (got["reasoning"], got["content"]) == ("", "Just this.")
    else:
        assert not r.choices[0].message.reasoning_content and r.choices[0].message.content == "Just this."


def test_wire_of_a_stream(scripted):
    """The finish chunk carries usage and is the last one with a choice."""
    body = {"model": MODEL, "messages": say("t</think>Hi"), "stream": True}
    got = chunks(scripted.events("/api/paas/v4/chat/completions", body))
    assert all(len(c["choices"]) == 1 for c in got)
    last = got[-1]
    assert last["choices"][0]["finish_reason"] == "stop" and last["usage"]["total_tokens"] > 0
    assert last["choices"][0]["delta"].get("content") == ""
    assert sum(1 for c in got if c.get("usage")) == 1
    assert len({c["id"] for c in got}) == 1
    assert all(c["choices"][0]["delta"].get("tool_calls", []) is not None for c in got)


@pytest.mark.parametrize("stream", [False, True])
def test_two_calls(client, stream):
    messages = say("both</think>" + call_text("a", x="007", n="3") + call_text("b", y="[1, {\"k\": null}]"))
    tools = [tool("a", x={"type": "string"}, n={"type": "integer"}), tool("b", y={"type": "array"})]
    r = client.chat.completions.create(model=MODEL, messages=messages, tools=tools, tool_choice="auto", stream=stream)
    if stream:
        got = collect(r)
        calls = [(c["id"], c["type"], c["name"], c["arguments"]) for _, c in sorted(got["calls"].items())]
        finish = got["finish"]
    else:
        calls = [(c.id, c.type, c.function.name, c.function.arguments) for c in r.choices[0].message.tool_calls]
        finish = r.choices[0].finish_reason
    assert finish == "tool_calls"
    assert [c[2] for c in calls] == ["a", "b"] and calls[0][0] != calls[1][0]
    assert all(c[0].startswith("call_") and c[1] == "function" for c in calls)
    assert [json.loads(c[3]) for c in calls] == [{"x": "007", "n": 3}, {"y": [1, {"k": None}]}]


def test_tool_stream(scripted):
    """true: a long argument in pieces; false or not given: one delta a call."""
    value = "".join(f"line {i}\n" for i in range(200))
    ask = {"model": MODEL, "messages": say("t</think>" + call_text("w", s=value)), "stream": True,
           "tools": [tool("w", s={"type": "string"})]}
    for on, many in ((True, True), (False, False), (None, False)):
        deltas = [c["choices"][0]["delta"] for c in chunks(scripted.events("/api/paas/v4/chat/completions", dict(ask, tool_stream=on)))]
        args = [t["function"]["arguments"] for d in deltas for t in d.get("tool_calls") or [] if t["function"].get("arguments")]
        assert json.loads("".join(args)) == {"s": value}
        assert (len(args) > 1) == many, len(args)


@pytest.mark.parametrize("value", ["a < b & c", "</arg_value", "if (a<b) {\n  x();\n}", "中文 🙂", "\\n \"q\""])
def test_odd_arguments(client, value):
    messages = say("t</think>" + call_text("w", s=value))
    tools = [tool("w", s={"type": "string"})]
    r = client.chat.completions.create(model=MODEL, messages=messages, tools=tools)
    assert json.loads(r.choices[0].message.tool_calls[0].function.arguments) == {"s": value}
    s = collect(client.chat.completions.create(model=MODEL, messages=messages, tools=tools, stream=True))
    assert json.loads(s["calls"][0]["arguments"]) == {"s": value} and s["finish"] == "tool_calls"


def test_call_cut_off(client):
    messages = say("t</think>so <tool_call>w<arg_key>s</arg_key><arg_value>half")
    tools = [tool("w", s={"type": "string"})]
    r = client.chat.completions.create(model=MODEL, messages=messages, tools=tools)
    assert r.choices[0].finish_reason == "stop" and not r.choices[0].message.tool_calls
    assert r.choices[0].message.content.startswith("so") and "half" in r.choices[0].message.content
    s = collect(client.chat.completions.create(model=MODEL, messages=messages, tools=tools, stream=True))
    assert s["finish"] == "stop"


@pytest.mark.parametrize("stream", [False, True])
def test_limit(client, stream):
    r = client.chat.completions.create(model=MODEL, messages=say("one two three four. ", stop=False), max_tokens=20, stream=stream)
    finish, usage = (lambda g: (g["finish"], g["usage"]))(collect(r)) if stream else (r.choices[0].finish_reason, r.usage)
    assert finish == "length" and usage.completion_tokens == 20


def test_sampling_fields(client, mount):
    """What the SDK makes of temperature 0 and 1, and fields that only this dialect has."""
    for extra in ({"temperature": 0}, {"temperature": 1.5}, {"top_p": 0}, {"top_p": 1}, {"do_sample": False}, {"seed": 3},
                  {"stop": ["never"]}, {"request_id": "req-123456"}, {"user_id": "user-123456"},
                  {"sensitive_word_check": {"type": "ALL", "status": "DISABLE"}}, {"response_format": {"type": "text"}}):
        r = client.chat.completions.create(model=MODEL, messages=say("t</think>ok"), **extra)
        assert r.choices[0].message.content == "ok", extra
        if "request_id" in extra and mount != "v1":
            assert r.request_id == "req-123456"


def test_history(client, scripted):
    calls = [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"x": "1"}'}}]
    tools = [tool("f", x={"type": "string"})]
    prompts = set()
    for content in ("", None):
        messages = [{"role": "user", "content": "look"}, {"role": "assistant", "content": content, "tool_calls": calls},
                    {"role": "tool", "tool_call_id": "call_1", "content": "sunny"}, *say("t</think>done")]
        r = client.chat.completions.create(model=MODEL, messages=messages, tools=tools)
        assert r.choices[0].message.content == "done"
        prompts.add(scripted.prompt({"model": MODEL, "messages": messages, "tools": tools}))
    assert len(prompts) == 1


def test_reasoning_goes_back(client, scripted):
    r = client.chat.completions.create(model=MODEL, messages=say("old thought</think>Hello!"))
    messages = [{"role": "user", "content": "hi"}, r.choices[0].message.model_dump(), {"role": "user", "content": "go on"}]
    keep = {"type": "enabled", "clear_thinking": False}
    assert "old thought" in scripted.prompt({"model": MODEL, "messages": messages, "thinking": keep})
    r = client.chat.completions.create(model=MODEL, messages=messages[:2] + say("t</think>ok"), thinking=keep)
    assert r.choices[0].message.content == "ok"


@pytest.mark.parametrize("text", ["Grüße, 世界 👩‍👩‍👧 🏳️‍🌈", "a\u2028b\u2029c\u0085d\re"])
def test_characters(client, text):
    messages = say(text, bytes=True)
    whole = client.chat.completions.create(model=MODEL, messages=messages, thinking={"type": "disabled"})
    s = collect(client.chat.completions.create(model=MODEL, messages=messages, thinking={"type": "disabled"}, stream=True))
    assert whole.choices[0].message.content == s["content"] == text
    assert "\ufffd" not in s["content"]


def test_demo_model(demo):
    for name, make in sorted(Clients.items()):
        c = make(api_key="x", base_url=demo.paas, max_retries=0)
        ask = dict(model=MODEL, messages=[{"role": "user", "content": "What is 3 + 4?"}], temperature=0, max_tokens=400)
        r = c.chat.completions.create(**ask)
        s = collect(c.chat.completions.create(stream=True, **ask))
        assert s["content"] == r.choices[0].message.content and s["reasoning"] == (r.choices[0].message.reasoning_content or "")


def test_script_helper_is_what_the_engine_reads():
    assert script("x").startswith('{"script":')
