# SPDX-License-Identifier: MIT
"""Checks 1 to 9, 11, 13, 15, 18 and 25 with the openai package. Numbers: the list of checks with real clients in the
project's API notes."""
import json

import pytest
from openai import OpenAI

from server import MODEL, chunks, say, script, sse

THINK = "I should greet.\nBriefly."


@pytest.fixture
def oai(scripted):
    return OpenAI(api_key="EMPTY", base_url=scripted.v1)


def client_of(server, mount="v1"):
    return OpenAI(api_key="EMPTY", base_url=getattr(server, mount), max_retries=0)


def collect(stream):
    """One choice of a stream, put together by hand."""
    out = {"content": "", "reasoning": "", "calls": {}, "finish": None, "usage": [], "deltas": [], "roles": []}
    for chunk in stream:
        if chunk.usage:
            out["usage"].append(chunk)
        for choice in chunk.choices:
            d = choice.delta
            out["deltas"].append(d)
            if d.role:
                out["roles"].append(d.role)
            assert not (d.content and d.reasoning_content), "a thought and an answer in one delta"
            out["content"] += d.content or ""
            out["reasoning"] += d.reasoning_content or ""
            seen = set()
            for t in d.tool_calls or []:
                assert isinstance(t.index, int) and t.index not in seen
                seen.add(t.index)
                call = out["calls"].setdefault(t.index, {"id": "", "type": "", "name": "", "arguments": "", "n": 0})
                call["id"] += t.id or ""
                call["type"] += t.type or ""
                call["name"] += (t.function and t.function.name) or ""
                if t.function and t.function.arguments:
                    call["arguments"] += t.function.arguments
                    call["n"] += 1
            if choice.finish_reason:
                assert out["finish"] is None, "two finish reasons"
                out["finish"] = choice.finish_reason
    return out


def tool(name="f", strict=None, **properties):
    f = {"name": name, "description": "d",
         "parameters": {"type": "object", "properties": properties, "required": list(properties)}}
    if strict:
        f["strict"] = True
        f["parameters"]["additionalProperties"] = False
    return {"type": "function", "function": f}


def call_text(name, **args):
    out = f"<tool_call>{name}"
    for k, v in args.items():
        out += f"<arg_key>{k}</arg_key><arg_value>{v}</arg_value>"
    return out + "</tool_call>"


# ---- 1: thoughts ------------------------------------------------------------------------------


def test_reasoning_is_a_field_of_its_own(oai):
    messages = say(THINK + "</think>\n\nHello!")
    r = oai.chat.completions.create(model=MODEL, messages=messages)
    m = r.choices[0].message
    assert (m.reasoning_content, m.content, r.choices[0].finish_reason) == (THINK, "Hello!", "stop")
    assert m.refusal is None and not m.tool_calls
    s = collect(oai.chat.completions.create(model=MODEL, messages=messages, stream=True))
    assert (s["reasoning"], s["content"], s["finish"]) == (THINK, "Hello!", "stop")
    assert s["roles"] == ["assistant"]
    assert r.usage.completion_tokens_details.reasoning_tokens == r.usage.reasoning_tokens > 0
    assert r.usage.reasoning_tokens < r.usage.completion_tokens


def test_reasoning_is_read_unguarded(oai):
    """The common loop reads the attribute of every delta; it must be there even where it is null."""
    for extra in ({}, {"thinking": {"type": "disabled"}}):
        text = "Hi" if extra else "t</think>Hi"
        for chunk in oai.chat.completions.create(model=MODEL, messages=say(text), stream=True, extra_body=extra):
            for choice in chunk.choices:
                assert choice.delta.reasoning_content is None or isinstance(choice.delta.reasoning_content, str)
        r = oai.chat.completions.create(model=MODEL, messages=say(text), extra_body=extra)
        assert hasattr(r.choices[0].message, "reasoning_content")


def test_reasoning_goes_back(scripted, oai):
    r = oai.chat.completions.create(model=MODEL, messages=say(THINK + "</think>Hello!"))
    m = r.choices[0].message
    prompts = []
    for field in ("reasoning", "reasoning_content"):
        messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": m.content, field: THINK},
                    {"role": "user", "content": "go on"}]
        body = {"model": MODEL, "messages": messages, "thinking": {"type": "enabled", "clear_thinking": False}}
        prompts.append(scripted.prompt(body))
        body["thinking"] = {"type": "enabled", "clear_thinking": True}
        assert THINK not in scripted.prompt(body)
    assert prompts[0] == prompts[1] and THINK in prompts[0]
    whole = [{"role": "user", "content": "hi"}, m.to_dict(), {"role": "user", "content": "go on"}]
    assert scripted.prompt({"model": MODEL, "messages": whole,
                            "thinking": {"type": "enabled", "clear_thinking": False}}) == prompts[0]


def test_reasoning_inline_and_held(scripted):
    body = {"model": MODEL, "messages": say(THINK + "</think>Hello!"), "separate_reasoning": False}
    m = scripted.post("/v1/chat/completions", body).json()["choices"][0]["message"]
    assert "</think>" in m["content"] and THINK in m["content"] and m["content"].endswith("Hello!")
    body = {"model": MODEL, "messages": body["messages"], "stream": True, "stream_reasoning": False}
    parts = [c["choices"][0]["delta"].get("reasoning_content")
             for c in chunks(scripted.events("/v1/chat/completions", body)) if c["choices"]]
    assert [p for p in parts if p] == [THINK]


@pytest.mark.parametrize("stream", [False, True])
def test_reasoning_of_the_demo_model(demo, stream):
    client = client_of(demo)
    messages = [{"role": "user", "content": "What is 12 + 7?"}]
    r = client.chat.completions.create(model=MODEL, messages=messages, temperature=0, stream=stream, max_tokens=400,
                                       extra_body={"thinking": {"type": "enabled"}})
    if stream:
        got = collect(r)
        content, reasoning, finish = got["content"], got["reasoning"], got["finish"]
    else:
        m = r.choices[0].message
        content, reasoning, finish = m.content, m.reasoning_content, r.choices[0].finish_reason
    assert reasoning and content and finish == "stop"
    assert "think>" not in content + reasoning


# ---- 2: usage in streams ----------------------------------------------------------------------


def test_usage_chunk(scripted):
    body = {"model": MODEL, "messages": say("t</think>Hello"), "stream": True, "stream_options": {"include_usage": True}}
    got = chunks(scripted.events("/v1/chat/completions", body))
    with_usage = [c for c in got if c.get("usage")]
    assert with_usage == [got[-1]] and got[-1]["choices"] == []
    assert all("usage" in c and c["usage"] is None for c in got[:-1])
    assert all(len(c["choices"]) == 1 for c in got[:-1])
    plain = chunks(scripted.events("/v1/chat/completions", dict(body, stream_options=None)))
    assert all(not c.get("usage") and c["choices"] for c in plain)
    for c in got:
        assert c["object"] == "chat.completion.chunk"
        assert (c["id"], c["created"], c["model"]) == (got[0]["id"], got[0]["created"], MODEL)
    assert got[0]["id"].startswith("chatcmpl-") and len(got[0]["id"]) == 9 + 24
    assert got[0]["choices"][0]["delta"]["role"] == "assistant"
    once = scripted.post("/v1/chat/completions", {"model": MODEL, "messages": body["messages"]}).json()
    for field in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert got[-1]["usage"][field] == once["usage"][field]


def test_usage_with_the_sdk(oai):
    s = collect(oai.chat.completions.create(model=MODEL, messages=say("t</think>Hello"), stream=True,
                                            stream_options={"include_usage": True}))
    assert len(s["usage"]) == 1 and s["usage"][0].choices == []
    u = s["usage"][0].usage
    assert u.total_tokens == u.prompt_tokens + u.completion_tokens and u.prompt_tokens_details.cached_tokens >= 0
    assert not collect(oai.chat.completions.create(model=MODEL, messages=say("t</think>Hello"), stream=True))["usage"]


def test_usage_placement_for_zhipu_clients(scripted):
    """A Zhipu SDK that is pointed at /v1 gets usage where it looks for it."""
    body = {"model": MODEL, "messages": say("t</think>Hello"), "stream": True}
    for header in ("Zai-SDK-Ver", "ZhipuAI-SDK-Ver"):
        got = chunks(scripted.events("/v1/chat/completions", body, {header: "0.2.3"}))
        assert all(c["choices"] for c in got)
        assert got[-1]["choices"][0]["finish_reason"] == "stop" and got[-1]["usage"]["total_tokens"] > 0


# ---- 3, 4, 5: calls ---------------------------------------------------------------------------


def test_stream_helper(oai):
    messages = say("hm</think>" + call_text("get", city="Wien", n="3"))
    tools = [tool("get", strict=True, city={"type": "string"}, n={"type": "integer"})]
    events = []
    with oai.chat.completions.stream(model=MODEL, messages=messages, tools=tools) as stream:
        for event in stream:
            events.append(event.type)
            if event.type == "tool_calls.function.arguments.delta":
                assert isinstance(event.index, int)
        final = stream.get_final_completion()
    call = final.choices[0].message.tool_calls[0]
    assert json.loads(call.function.arguments) == {"city": "Wien", "n": 3}
    assert call.function.parsed_arguments == {"city": "Wien", "n": 3}
    assert final.choices[0].message.role == "assistant"
    assert "tool_calls.function.arguments.done" in events


@pytest.mark.parametrize("stream", [False, True])
def test_two_calls(oai, stream):
    messages = say("both</think>Let me look." + call_text("a", x="one") + call_text("b", y="2"))
    tools = [tool("a", x={"type": "string"}), tool("b", y={"type": "integer"})]
    r = oai.chat.completions.create(model=MODEL, messages=messages, tools=tools, stream=stream)
    if stream:
        got = collect(r)
        assert sorted(got["calls"]) == [0, 1]
        calls = [(c["id"], c["type"], c["name"], c["arguments"]) for _, c in sorted(got["calls"].items())]
        content, finish = got["content"], got["finish"]
    else:
        m = r.choices[0].message
        calls = [(c.id, c.type, c.function.name, c.function.arguments) for c in m.tool_calls]
        content, finish = m.content, r.choices[0].finish_reason
    assert finish == "tool_calls" and content == "Let me look."
    assert [c[2] for c in calls] == ["a", "b"]
    assert [c[1] for c in calls] == ["function"] * 2
    assert all(c[0].startswith("call_") and len(c[0]) == 29 for c in calls) and calls[0][0] != calls[1][0]
    assert [json.loads(c[3]) for c in calls] == [{"x": "one"}, {"y": 2}]


def test_content_is_null_with_calls_alone(scripted):
    body = {"model": MODEL, "messages": say("t</think>" + call_text("a", x="1")), "tools": [tool("a", x={"type": "string"})]}
    m = scripted.post("/v1/chat/completions", body).json()["choices"][0]["message"]
    assert m["content"] is None and m["reasoning_content"] == "t" and len(m["tool_calls"]) == 1


def test_one_call_only(oai):
    messages = say("t</think>" + call_text("a", x="1") + call_text("a", x="2"))
    r = oai.chat.completions.create(model=MODEL, messages=messages, tools=[tool("a", x={"type": "string"})],
                                    parallel_tool_calls=False)
    assert len(r.choices[0].message.tool_calls) == 1 and r.choices[0].finish_reason == "tool_calls"


def test_no_choice_no_tools(oai):
    r = oai.chat.completions.create(model=MODEL, messages=say("t</think>plain"), tools=[tool("a")], tool_choice="none")
    assert r.choices[0].message.content == "plain" and not r.choices[0].message.tool_calls


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "b"}}])
def test_forced_call(oai, choice, stream):
    """Two words stand where a call must begin: its opening and a name take their places. What follows is the model's."""
    r = oai.chat.completions.create(model=MODEL, tools=[tool("a", x={"type": "string"}), tool("b", x={"type": "string"})],
                                    tool_choice=choice, stream=stream,
                                    messages=say("t</think>Q R<arg_key>x</arg_key><arg_value>1</arg_value></tool_call>"))
    if stream:
        got = collect(r)
        finish, name, args = got["finish"], got["calls"][0]["name"], got["calls"][0]["arguments"]
    else:
        finish, call = r.choices[0].finish_reason, r.choices[0].message.tool_calls[0].function
        name, args = call.name, call.arguments
    assert finish == "tool_calls" and json.loads(args) == {"x": "1"}
    assert name in ("a", "b") if choice == "required" else name == "b"


def test_forced_call_of_the_demo_model(demo):
    r = client_of(demo).chat.completions.create(model=MODEL, tools=[DEMO_WEATHER], tool_choice="required", temperature=0,
                                                messages=[{"role": "user", "content": "What's the weather like in Paris?"}],
                                                extra_body={"thinking": {"type": "disabled"}}, max_tokens=300)
    assert r.choices[0].message.tool_calls[0].function.name == "get_weather"


# ---- 6: types of arguments --------------------------------------------------------------------


TYPED = tool("t", i={"type": "integer"}, n={"type": "number"}, b={"type": "boolean"},
             a={"type": "array", "items": {"type": "integer"}}, o={"type": "object"},
             z={"type": ["string", "null"]}, s={"type": "string"}, q={"anyOf": [{"type": "integer"}, {"type": "null"}]})


@pytest.mark.parametrize("stream", [False, True])
def test_types(oai, stream):
    text = "t</think>" + call_text("t", i="-7", n="2.50", b="true", a="[1, 2, 3]", o='{"k": [null, {"d": 1}]}',
                                   z="null", s="007", q="null")
    r = oai.chat.completions.create(model=MODEL, messages=say(text), tools=[TYPED], stream=stream)
    args = collect(r)["calls"][0]["arguments"] if stream else r.choices[0].message.tool_calls[0].function.arguments
    v = json.loads(args)
    assert v["i"] == -7 and v["n"] == 2.5 and v["b"] is True and v["a"] == [1, 2, 3]
    assert v["o"] == {"k": [None, {"d": 1}]} and v["s"] == "007" and v["q"] is None
    assert v["z"] in (None, "null")


@pytest.mark.parametrize("value", ["007", "1e5", "true", "null", "[1]", '{"a":1}', '"quoted"', " padded ", "", "3.0"])
def test_strings_stay_strings(oai, value):
    text = "t</think>" + call_text("t", s=value)
    for stream in (False, True):
        r = oai.chat.completions.create(model=MODEL, messages=say(text), tools=[tool("t", s={"type": "string"})],
                                        stream=stream)
        args = collect(r)["calls"][0]["arguments"] if stream else r.choices[0].message.tool_calls[0].function.arguments
        assert json.loads(args)["s"] == value


# ---- 7: streamed and whole are the same --------------------------------------------------------


def documents():
    """Fifty calls with arguments of all shapes, made by rule."""
    for i in range(50):
        words = " ".join(f"w{(i * 7 + k) % 97}" for k in range(i % 13))
        yield {"s": f"{i}: {words}\n" + "é中🙂"[i % 3] * (i % 5), "i": i * 37 - 500, "a": list(range(i % 6)),
               "o": {"k" + str(i % 4): [None, True, i / 8], "t": {"u": words[:20]}}}


def as_text(v):
    return v if isinstance(v, str) else json.dumps(v, ensure_ascii=False)


DOC_TOOL = tool("d", s={"type": "string"}, i={"type": "integer"}, a={"type": "array"}, o={"type": "object"})


def test_streamed_arguments_equal_whole_ones(oai):
    for doc in documents():
        messages = say("t</think>" + call_text("d", **{k: as_text(v) for k, v in doc.items()}))
        whole = oai.chat.completions.create(model=MODEL, messages=messages, tools=[DOC_TOOL], temperature=0)
        streamed = collect(oai.chat.completions.create(model=MODEL, messages=messages, tools=[DOC_TOOL], temperature=0,
                                                       stream=True))
        args = whole.choices[0].message.tool_calls[0].function.arguments
        assert streamed["calls"][0]["arguments"] == args
        assert json.loads(args) == doc


def test_streamed_arguments_of_the_demo_model(demo):
    client = client_of(demo)
    n_call = 0
    for city in ("Paris", "Berlin", "Tokyo", "Wien"):
        ask = dict(model=MODEL, temperature=0, tools=[DEMO_WEATHER], max_tokens=400,
                   messages=[{"role": "user", "content": f"What's the weather like in {city}? use celsius."}])
        whole = client.chat.completions.create(**ask).choices[0].message
        streamed = collect(client.chat.completions.create(stream=True, **ask))
        assert streamed["content"] == (whole.content or "") and streamed["reasoning"] == (whole.reasoning_content or "")
        calls = [c.function.arguments for c in whole.tool_calls or []]
        assert [c["arguments"] for _, c in sorted(streamed["calls"].items())] == calls
        n_call += len(calls)
    assert n_call > 0, "the demo model called nothing: the test says nothing"


DEMO_WEATHER = {"type": "function", "function": {
    "name": "get_weather", "description": "Get the current weather in a given location",
    "parameters": {"type": "object", "properties": {
        "location": {"type": "string", "description": "City and state"},
        "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]}}, "required": ["location", "unit"]}}}


def test_long_argument_comes_in_pieces(oai):
    value = "".join(f"line {i}\n" for i in range(200))
    s = collect(oai.chat.completions.create(model=MODEL, stream=True, tools=[tool("w", s={"type": "string"})],
                                            messages=say("t</think>" + call_text("w", s=value))))
    assert json.loads(s["calls"][0]["arguments"]) == {"s": value}
    assert s["calls"][0]["n"] > 1


# ---- 8: arguments that look like tags ----------------------------------------------------------


@pytest.mark.parametrize("value", [
    "a < b && c > d", "&amp; &lt;", "</arg_value", "x</arg_val>y", "<arg_key>", "if (a<b) {\n\treturn \"x\";\n}\n",
    "\\ \" ' \u2028 \u0085 \x7f", "</think>", "<|user|>",
])
def test_odd_arguments(oai, value):
    # Special-token text in a script means the token, as the model would write it: those values are left to the parser.
    for stream in (False, True):
        r = oai.chat.completions.create(model=MODEL, stream=stream, tools=[tool("w", s={"type": "string"})],
                                        messages=say("t</think>" + call_text("w", s=value)))
        if stream:
            got = collect(r)
            finish, calls = got["finish"], [c["arguments"] for c in got["calls"].values()]
        else:
            finish = r.choices[0].finish_reason
            calls = [c.function.arguments for c in r.choices[0].message.tool_calls or []]
        assert finish in ("tool_calls", "stop")
        if not any(mark in value for mark in ("<arg_key>", "</think>", "<|user|>")):
            assert finish == "tool_calls" and json.loads(calls[0]) == {"s": value}


@pytest.mark.parametrize("broken", [
    "<tool_call>w<arg_key>s</arg_key><arg_value>never closed", "<tool_call>", "<tool_call>w<arg_key>s</arg_value>x</tool_call>",
    "<tool_call></tool_call>",
])
def test_broken_call_is_content(oai, broken):
    r = oai.chat.completions.create(model=MODEL, tools=[tool("w", s={"type": "string"})],
                                    messages=say("t</think>before " + broken))
    m = r.choices[0].message
    assert r.choices[0].finish_reason == "stop" and not m.tool_calls
    assert m.content.startswith("before") and broken.replace("<tool_call>", "").strip("<>/") [:5] in m.content
    s = collect(oai.chat.completions.create(model=MODEL, tools=[tool("w", s={"type": "string"})], stream=True,
                                            messages=say("t</think>before " + broken)))
    assert s["finish"] == "stop" and s["content"].startswith("before")


# ---- 9: thinking off ---------------------------------------------------------------------------

OFF = [
    {"thinking": {"type": "disabled"}},
    {"chat_template_kwargs": {"enable_thinking": False}},
    {"extra_body": {"thinking": {"type": "disabled"}}},
    {"extra_body": {"chat_template_kwargs": {"enable_thinking": False}}},
    {"reasoning_effort": "none"},
    {"reasoning_effort": "minimal"},
    {"reasoning": {"enabled": False}},
    {"thinking": {"type": "disabled"}, "chat_template_kwargs": {"enable_thinking": True}},
]
ON = [
    {}, {"thinking": {"type": "enabled"}}, {"thinking": None}, {"chat_template_kwargs": {"enable_thinking": True}},
    {"reasoning_effort": "high"}, {"reasoning_effort": "low"},
    {"thinking": {"type": "enabled"}, "reasoning_effort": "none"},
]


@pytest.mark.parametrize("extra", OFF, ids=json.dumps)
@pytest.mark.parametrize("stream", [False, True])
def test_thinking_off(oai, extra, stream):
    r = oai.chat.completions.create(model=MODEL, messages=say("Just this."), extra_body=extra, stream=stream)
    if stream:
        got = collect(r)
        assert (got["reasoning"], got["content"]) == ("", "Just this.")
    else:
        assert not r.choices[0].message.reasoning_content and r.choices[0].message.content == "Just this."


@pytest.mark.parametrize("extra", OFF + ON, ids=json.dumps)
def test_thinking_in_the_prompt(scripted, extra):
    prompt = scripted.prompt({"model": MODEL, "messages": [{"role": "user", "content": "hi"}], **extra})
    assert prompt.endswith("</think>" if extra in OFF else "<think>")


def test_thinking_off_on_the_demo_model(demo):
    client = client_of(demo)
    for extra in ({"thinking": {"type": "disabled"}}, {"chat_template_kwargs": {"enable_thinking": False}}):
        r = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "Who are you?"}],
                                           temperature=0, max_tokens=200, extra_body=extra)
        assert not r.choices[0].message.reasoning_content and r.choices[0].message.content


# ---- 11: limits --------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [{"max_tokens": 20}, {"max_completion_tokens": 20},
                                   {"max_tokens": 20, "max_completion_tokens": 500}])
@pytest.mark.parametrize("stream", [False, True])
def test_limits(oai, limit, stream):
    messages = say("one two three four five. ", stop=False)
    more = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    r = oai.chat.completions.create(model=MODEL, messages=messages, **limit, **more)
    if stream:
        got = collect(r)
        finish, usage = got["finish"], got["usage"][0].usage
    else:
        finish, usage = r.choices[0].finish_reason, r.usage
    assert finish == "length" and usage.completion_tokens == 20


def test_small_limit_is_all_thought(oai):
    r = oai.chat.completions.create(model=MODEL, messages=say("hm ", stop=False), max_tokens=40)
    assert r.choices[0].finish_reason == "length"
    assert r.choices[0].message.reasoning_content and not r.choices[0].message.content


def test_answer_keeps_its_share(oai):
    """From 512 tokens on a thought is closed before the limit."""
    r = oai.chat.completions.create(model=MODEL, max_tokens=600, extra_body={"ignore_eos": True},
                                    messages=say("a b c d e f g h ", stop=False))
    m = r.choices[0].message
    assert r.choices[0].finish_reason == "length" and r.usage.completion_tokens == 600
    assert m.reasoning_content and m.content
    assert r.usage.reasoning_tokens <= 451


def test_limit_of_completions(oai):
    prompt = script("a b c d e f g h i j k l m n o p q r s t u v w x y z ", stop=False)
    assert oai.completions.create(model=MODEL, prompt=prompt).usage.completion_tokens == 16
    r = oai.completions.create(model=MODEL, prompt=prompt, max_tokens=7)
    assert r.usage.completion_tokens == 7 and r.choices[0].finish_reason == "length"


# ---- 13, 15: messages as clients send them -----------------------------------------------------


def test_developer_and_two_systems(scripted, oai):
    messages = [{"role": "developer", "content": "ALPHA rules"}, {"role": "system", "content": "BETA rules"},
                *say("t</think>ok"), {"role": "system", "content": "GAMMA rules"}, *say("t</think>fine")]
    for stream in (False, True):
        r = oai.chat.completions.create(model=MODEL, messages=messages, stream=stream)
        content = collect(r)["content"] if stream else r.choices[0].message.content
        assert content == "fine"
    prompt = scripted.prompt({"model": MODEL, "messages": messages})
    assert all(word in prompt for word in ("ALPHA rules", "BETA rules", "GAMMA rules"))


CALLS = [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"x": "1", "y": 2}'}}]


def history(assistant, tool_content="sunny"):
    return [{"role": "user", "content": "look"}, {"role": "assistant", "tool_calls": CALLS, **assistant},
            {"role": "tool", "tool_call_id": "call_1", "content": tool_content}, *say("t</think>done")]


def test_history_spellings(scripted, oai):
    same = [history({"content": None}), history({"content": ""}), history({}), history({"content": []}),
            history({"content": [{"type": "text", "text": ""}]}),
            history({"content": None}, [{"type": "text", "text": "sunny"}]),
            history({"content": None}, [{"type": "text", "text": "sun"}, {"type": "text", "text": "ny"}])]
    tools = [tool("f", x={"type": "string"}, y={"type": "integer"})]
    prompts = []
    for messages in same:
        r = oai.chat.completions.create(model=MODEL, messages=messages, tools=tools)
        assert r.choices[0].message.content == "done"
        prompts.append(scripted.prompt({"model": MODEL, "messages": messages, "tools": tools}))
    assert all(p == prompts[0] for p in prompts)
    s = collect(oai.chat.completions.create(model=MODEL, messages=same[0], tools=tools, stream=True))
    assert s["content"] == "done"


def test_every_optional_field_null(scripted):
    fields = ("temperature top_p max_tokens max_completion_tokens n stop seed tools tool_choice thinking response_format "
              "logit_bias logprobs top_logprobs presence_penalty frequency_penalty user metadata stream stream_options "
              "reasoning_effort parallel_tool_calls service_tier store chat_template_kwargs do_sample request_id user_id "
              "meta min_p top_k repetition_penalty min_tokens ignore_eos").split()
    for path in ("/v1/chat/completions", "/api/paas/v4/chat/completions"):
        r = scripted.post(path, {"model": MODEL, "messages": say("t</think>ok"), **{f: None for f in fields}})
        assert r.status == 200, r
        assert r.json()["choices"][0]["message"]["content"] == "ok"


def test_unknown_fields_are_counted(scripted):
    before = scripted.metric("glim_unknown_fields_total")
    r = scripted.post("/v1/chat/completions", {"model": MODEL, "messages": say("t</think>ok"), "fancy": 1, "newer": {}})
    assert r.status == 200
    assert scripted.metric("glim_unknown_fields_total") == before + 2


# ---- 18: characters of several tokens ----------------------------------------------------------

MIXED = "Grüße, 你好世界 👩‍👩‍👧‍👦 🏳️‍🌈 é e\u0301 ﷽ 𝔘𝔫𝔦"


@pytest.mark.parametrize("mount", ["v1", "paas"])
def test_whole_characters(scripted, mount):
    client = client_of(scripted, mount)
    messages = say(MIXED, bytes=True)
    extra = {"thinking": {"type": "disabled"}}
    whole = client.chat.completions.create(model=MODEL, messages=messages, extra_body=extra).choices[0].message.content
    got = collect(client.chat.completions.create(model=MODEL, messages=messages, extra_body=extra, stream=True))
    assert whole == MIXED
    assert got["content"] == whole
    assert all("\ufffd" not in (d.content or "") for d in got["deltas"])


@pytest.mark.parametrize("stop", ["🙂", "界", "b🙂", "🙂c", "\u200d👧"])
@pytest.mark.parametrize("stream", [False, True])
def test_stop_string_in_bytes(oai, stop, stream):
    text = "a世界b🙂c 👩‍👧 end"
    r = oai.chat.completions.create(model=MODEL, messages=say(text, bytes=True), stop=stop, stream=stream,
                                    extra_body={"thinking": {"type": "disabled"}})
    got = collect(r)["content"] if stream else r.choices[0].message.content
    assert got == text[: text.index(stop)]


def test_line_separators_are_escaped(scripted):
    text = "a\u2028b\u2029c\u0085d"
    body = {"model": MODEL, "messages": say(text), "stream": True, "thinking": {"type": "disabled"}}
    raw = scripted.events("/v1/chat/completions", body)
    assert not any(c in raw for c in "\u2028\u2029\u0085")
    assert "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks(raw)) == text


# ---- stops, several choices, seeds --------------------------------------------------------------


@pytest.mark.parametrize("stop,expected", [("three", "one two "), (["x", "two"], "one "), (["four"], "one two three")])
def test_stops(oai, stop, expected):
    messages = say("three in thought</think>one two three")
    for stream in (False, True):
        r = oai.chat.completions.create(model=MODEL, messages=messages, stop=stop, stream=stream)
        content = collect(r)["content"] if stream else r.choices[0].message.content
        assert content == expected
        if not stream:
            assert r.choices[0].message.reasoning_content == "three in thought"
            assert r.choices[0].finish_reason == "stop"


@pytest.mark.parametrize("stream", [False, True])
def test_n_choices(oai, stream):
    r = oai.chat.completions.create(model=MODEL, messages=say("t</think>same"), n=3, stream=stream)
    if not stream:
        assert [c.index for c in r.choices] == [0, 1, 2] and {c.message.content for c in r.choices} == {"same"}
        return
    text, finish, first = {}, {}, None
    for chunk in r:
        for c in chunk.choices:
            first = c.index if first is None else first
            text[c.index] = text.get(c.index, "") + (c.delta.content or "")
            if c.finish_reason:
                assert c.index not in finish
                finish[c.index] = c.finish_reason
    assert first == 0 and text == {0: "same", 1: "same", 2: "same"} and set(finish.values()) == {"stop"}


def test_seed(demo):
    client = client_of(demo)
    ask = dict(model=MODEL, messages=[{"role": "user", "content": "Tell me a short story."}], seed=7, temperature=1,
               max_tokens=60, extra_body={"thinking": {"type": "disabled"}})
    assert client.chat.completions.create(**ask).choices[0].message.content == \
        client.chat.completions.create(**ask).choices[0].message.content


# ---- completions --------------------------------------------------------------------------------


def test_completions_batch(oai):
    prompts = [script("first"), script("second")]
    r = oai.completions.create(model=MODEL, prompt=prompts, n=2)
    assert [(c.index, c.text) for c in r.choices] == [(0, "first"), (1, "first"), (2, "second"), (3, "second")]
    assert r.id.startswith("cmpl-") and r.object == "text_completion"
    texts = {}
    for chunk in oai.completions.create(model=MODEL, prompt=prompts, stream=True):
        for c in chunk.choices:
            texts[c.index] = texts.get(c.index, "") + c.text
    assert texts == {0: "first", 1: "second"}


def test_completions_of_ids(scripted, oai):
    prompt = script("by ids")
    ids = scripted.post("/tokenize", {"content": prompt}).json()["tokens"]
    assert oai.completions.create(model=MODEL, prompt=ids).choices[0].text == "by ids"
    assert [c.text for c in oai.completions.create(model=MODEL, prompt=[ids, ids]).choices] == ["by ids"] * 2


def test_completions_echo(oai):
    prompt = script("answer")
    r = oai.completions.create(model=MODEL, prompt=prompt, echo=True)
    assert r.choices[0].text == prompt + "answer"


def test_completions_are_raw(oai):
    """No template, no split: the tags stay in the text."""
    r = oai.completions.create(model=MODEL, prompt=script("thought</think>answer"), max_tokens=100)
    assert r.choices[0].text.endswith("answer") and "thought" in r.choices[0].text
    assert r.usage.reasoning_tokens == 0


# ---- 25: logprobs --------------------------------------------------------------------------------


def check_logprobs(content, entries, n_top):
    joined = b"".join(bytes(e.bytes) for e in entries)
    assert joined.decode() == content
    assert all(e.logprob <= 0 and len(e.top_logprobs) == n_top for e in entries)
    for e in entries:
        values = [t.logprob for t in e.top_logprobs]
        assert values == sorted(values, reverse=True)
        assert all(t.bytes is not None for t in e.top_logprobs)


@pytest.mark.parametrize("which", ["scripted", "demo"])
@pytest.mark.parametrize("stream", [False, True])
def test_logprobs(request, which, stream):
    client = client_of(request.getfixturevalue(which))
    messages = say("Hello there, 世界 🙂, how are you?") if which == "scripted" else \
        [{"role": "user", "content": "Tell me a short story."}]
    r = client.chat.completions.create(model=MODEL, messages=messages, logprobs=True, top_logprobs=5, stream=stream,
                                       temperature=0, max_tokens=60, extra_body={"thinking": {"type": "disabled"}})
    if stream:
        content, entries = "", []
        for chunk in r:
            for c in chunk.choices:
                content += c.delta.content or ""
                if c.logprobs and c.logprobs.content:
                    entries += c.logprobs.content
    else:
        content, entries = r.choices[0].message.content, r.choices[0].logprobs.content
    assert entries
    check_logprobs(content, entries, 5)
    assert len({json.dumps([t.token for t in e.top_logprobs]) for e in entries}) > 1


def test_logprobs_cover_the_answer_only(oai):
    r = oai.chat.completions.create(model=MODEL, messages=say("a thought</think>answer"), logprobs=True)
    check_logprobs("answer", r.choices[0].logprobs.content, 0)
    r = oai.chat.completions.create(model=MODEL, messages=say("a thought</think>answer"))
    assert r.choices[0].logprobs is None


def test_top_logprobs_alone(scripted):
    r = scripted.post("/v1/chat/completions", {"model": MODEL, "messages": say("x"), "top_logprobs": 5})
    assert r.status == 400 and "logprobs" in r.json()["error"]["message"]
    r = scripted.post("/v1/chat/completions", {"model": MODEL, "messages": say("x"), "logprobs": True, "top_logprobs": 21})
    assert r.status == 400


def test_completions_logprobs(oai):
    r = oai.completions.create(model=MODEL, prompt=script("some words here"), logprobs=0)
    lp = r.choices[0].logprobs
    assert lp is not None and "".join(lp.tokens) == "some words here"
    assert len(lp.tokens) == len(lp.token_logprobs) == len(lp.text_offset)
    r = oai.completions.create(model=MODEL, prompt=script("some words here"), logprobs=3)
    assert all(len(t) in (3, 4) for t in r.choices[0].logprobs.top_logprobs)


# ---- the wire -----------------------------------------------------------------------------------


def test_stream_is_strict_sse(scripted):
    body = {"model": MODEL, "messages": say("t</think>Hello " + call_text("a", x="1")), "stream": True,
            "tools": [tool("a", x={"type": "string"})]}
    raw = scripted.events("/v1/chat/completions", body)
    events = sse(raw)
    assert events[-1] == (None, "[DONE]") and sum(d == "[DONE]" for _, d in events) == 1
    deltas = [c["choices"][0]["delta"] for c in chunks(raw)]
    assert [d["role"] for d in deltas if d.get("role")] == ["assistant"] and deltas[0]["role"] == "assistant"
    assert all("reasoning_content" in d for d in deltas if "content" in d)
    opening = [d["tool_calls"][0] for d in deltas if d.get("tool_calls") and d["tool_calls"][0].get("id")]
    assert len(opening) == 1 and opening[0]["function"] == {"name": "a", "arguments": ""}
    assert all(t.get("function", {}).get("arguments") is not None for d in deltas for t in d.get("tool_calls") or [])


def test_cached_tokens(scripted):
    long = [{"role": "system", "content": "rule " * 200}]
    ask = {"model": MODEL, "messages": long + say("t</think>one")}
    scripted.post("/v1/chat/completions", ask)
    usage = scripted.post("/v1/chat/completions", ask).json()["usage"]
    assert usage["prompt_tokens_details"]["cached_tokens"] > 150
