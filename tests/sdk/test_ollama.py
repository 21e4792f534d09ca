# SPDX-License-Identifier: MIT
"""Every call of the ollama package against the server: what is there works, the rest raises its own error class. Checks
9, 11, 16, 17 and 18 on these routes."""
import asyncio
import datetime
import json
import re
import socket
import threading
import time

import ollama
import pytest

from server import MODEL, SLOW, say, script

THINK = "I should greet.\nBriefly."
RFC3339 = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z$")
TOOL = {"type": "function", "function": {"name": "get_weather", "description": "d", "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}, "required": ["city"]}}}
CALL = ("<tool_call>get_weather<arg_key>city</arg_key><arg_value>Oslo</arg_value>"
        "<arg_key>days</arg_key><arg_value>3</arg_value></tool_call>")


@pytest.fixture
def oll(scripted):
    return ollama.Client(host=scripted.root)


@pytest.fixture
def real(demo):
    return ollama.Client(host=demo.root)


def lines(server, path, body, timeout=60):
    """The objects of a stream; every line is one, and none is blank."""
    r = server.post(path, body, timeout=timeout)
    assert r.status == 200, r
    assert r.headers["Content-Type"] == "application/x-ndjson", r
    assert r.body.endswith(b"\n")
    out = []
    for line in r.body[:-1].split(b"\n"):
        assert line, "a blank line"
        out.append(json.loads(line))
    assert [d["done"] for d in out] == [False] * (len(out) - 1) + [True]
    assert all(RFC3339.match(d["created_at"]) for d in out)
    return out


def check_end(d):
    for name in ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration", "prompt_eval_count", "eval_count"):
        assert isinstance(d[name], int) and d[name] >= 0, (name, d)
    assert d["prompt_eval_count"] > 0 and d["eval_count"] > 0
    assert d["total_duration"] >= d["eval_duration"]


# ---- generate ------------------------------------------------------------------------------------


def test_generate(oll):
    r = oll.generate(model=MODEL, prompt=script(THINK + "</think>Hello!"))
    assert (r.response, r.thinking, r.done, r.done_reason, r.model) == ("Hello!", THINK, True, "stop", MODEL)
    assert r["response"] == "Hello!"
    assert r.eval_count > 0 and r.total_duration >= r.eval_duration
    parts = list(oll.generate(model=MODEL, prompt=script(THINK + "</think>Hello!"), stream=True))
    assert "".join(p.response or "" for p in parts) == "Hello!"
    assert "".join(p.thinking or "" for p in parts) == THINK
    assert [p.done for p in parts] == [False] * (len(parts) - 1) + [True]
    assert parts[-1].done_reason == "stop" and parts[-1].context == r.context
    assert parts[-1].prompt_eval_count == r.prompt_eval_count and parts[-1].eval_count == r.eval_count


def test_stream_is_the_default_on_the_wire(scripted):
    out = lines(scripted, "/api/generate", {"model": MODEL, "prompt": script("t</think>a b c")})
    assert len(out) > 2
    check_end(out[-1])
    out = lines(scripted, "/api/chat", {"model": MODEL, "messages": say("t</think>a b c")})
    assert "".join(d["message"]["content"] for d in out) == "a b c"
    assert all(d["message"]["role"] == "assistant" for d in out)
    check_end(out[-1])
    r = scripted.post("/api/chat", {"model": MODEL, "messages": say("t</think>a b c"), "stream": False})
    assert r.headers["Content-Type"].startswith("application/json") and r.json()["done"] is True
    assert r.json()["message"] == {"role": "assistant", "content": "a b c", "thinking": "t"}


def test_s0_sample(demo):
    """S0's adapter, as written: requests, stream false and lines."""
    import requests

    payload = {"model": "glm-4.7-flash", "prompt": "你好，请介绍一下自己", "stream": False,
               "options": {"num_predict": 2048, "temperature": 0.7}}
    response = requests.post(f"{demo.root}/api/generate", json=payload)
    response.raise_for_status()
    assert isinstance(response.json()["response"], str)
    payload["stream"] = True
    response = requests.post(f"{demo.root}/api/generate", json=payload)
    response.raise_for_status()
    full_response = ""
    for line in response.iter_lines():
        if line:
            chunk = json.loads(line.decode("utf-8"))
            if "response" in chunk:
                full_response += chunk["response"]
    assert full_response


@pytest.mark.parametrize("name", ["glm-4.7-flash:latest", "glm-4.7-flash:8b", "glm-4.7-flash:16b", "GLM-4.7-Flash", "glim-demo",
                                  "glim-demo:latest"])
def test_names(oll, name):
    assert oll.generate(model=name, prompt=script("t</think>ok")).model == name


def test_unset_think_is_on(oll):
    """As the model does it by itself; false and "off" are the way out."""
    assert oll.generate(model=MODEL, prompt=script("t</think>ok")).thinking == "t"
    r = oll.generate(model=MODEL, prompt=script("ok"), think=False)
    assert (r.response, r.thinking) == ("ok", None)
    for level in (True, "low", "medium", "high"):
        assert oll.generate(model=MODEL, prompt=script("t</think>ok"), think=level).thinking == "t"
    with pytest.raises(ollama.ResponseError, match="think"):
        oll.generate(model=MODEL, prompt="x", think="sometimes")


def test_raw(oll, scripted):
    """No template: the prompt's tokens are the text's, and everything is the answer."""
    text = "[gMASK]<sop><|user|>" + script("t</think>ok")
    r = oll.generate(model=MODEL, prompt=text, raw=True)
    assert (r.response, r.thinking) == ("t</think>ok", None) or r.response == "tok"
    assert r.prompt_eval_count == len(scripted.post("/tokenize", {"content": text}).json()["tokens"])


def test_context_goes_on(real, demo):
    """The tokens of the answer before are the beginning of the next prompt."""
    first = real.generate(model=MODEL, prompt="My name is Ada.", think=False, options={"temperature": 0, "num_predict": 20})
    second = real.generate(model=MODEL, prompt="What is my name?", think=False, context=list(first.context),
                           options={"temperature": 0, "num_predict": 8})
    alone = real.generate(model=MODEL, prompt="What is my name?", think=False, options={"temperature": 0, "num_predict": 8})
    assert first.context[: first.prompt_eval_count] and len(first.context) == first.prompt_eval_count + first.eval_count
    assert second.prompt_eval_count > first.prompt_eval_count + alone.prompt_eval_count - 4
    assert list(second.context)[: len(first.context)] == list(first.context)
    # The marks of the template stand there once.
    begin = demo.post("/tokenize", {"content": "[gMASK]<sop>"}).json()["tokens"]
    ids = list(second.context)
    assert ids[:2] == begin and begin[0] not in ids[2:] and begin[1] not in ids[2:]
    user = demo.post("/tokenize", {"content": "<|user|>"}).json()["tokens"][0]
    assert not any(a == b == user for a, b in zip(ids, ids[1:]))


def test_empty_prompt_loads(oll):
    r = oll.generate(model=MODEL)
    assert (r.response, r.done, r.done_reason) == ("", True, "load")
    assert oll.generate(model=MODEL, keep_alive=0).done_reason == "unload"
    assert oll.chat(model=MODEL).done_reason == "load"
    assert oll.chat(model=MODEL, messages=[], keep_alive=0).done_reason == "unload"
    assert oll.generate(model=MODEL, prompt=script("t</think>still there")).response == "still there"


@pytest.mark.parametrize("keep", [300, -1, "5m", "1h30m", "-1", "10s", 0.5])
def test_keep_alive(oll, keep):
    assert oll.generate(model=MODEL, prompt=script("t</think>ok"), keep_alive=keep).response == "ok"


def test_keep_alive_wrong(oll):
    with pytest.raises(ollama.ResponseError, match="keep_alive"):
        oll.generate(model=MODEL, prompt="x", keep_alive="soon")


# ---- options -------------------------------------------------------------------------------------


def test_num_predict(real):
    for n in (1, 20):
        r = real.generate(model=MODEL, prompt="Tell me a story about a fox.", options={"num_predict": n})
        assert r.eval_count <= n and r.done_reason == "length", r
    r = real.chat(model=MODEL, messages=[{"role": "user", "content": "Tell me a story about a fox."}], options={"num_predict": 7})
    assert r.eval_count <= 7 and r.done_reason == "length"


def test_stop(oll):
    r = oll.generate(model=MODEL, prompt=script("t</think>one two three"), options={"stop": [" three"]})
    assert (r.response, r.done_reason) == ("one two", "stop")
    r = oll.generate(model=MODEL, prompt=script("t</think>one two three"), options={"stop": " two"})
    assert r.response == "one"


def test_seed_and_greedy(real):
    def ask(**options):
        return real.generate(model=MODEL, prompt="Tell me something.", think=False, options={"num_predict": 24, **options}).response

    assert ask(temperature=0) == ask(temperature=0)
    assert ask(seed=7, temperature=1.0) == ask(seed=7, temperature=1.0)
    assert len({ask(seed=s, temperature=1.5) for s in range(6)}) > 1
    assert len({ask(seed=-1, temperature=1.5) for s in range(6)}) > 1


def test_other_options_do_no_harm(oll):
    r = oll.generate(model=MODEL, prompt=script("t</think>ok"), options={
        "num_ctx": 8192, "num_gpu": 99, "num_thread": 2, "use_mmap": True, "low_vram": False, "num_keep": 4, "typical_p": 1.0,
        "repeat_last_n": 64, "repeat_penalty": 1.1, "presence_penalty": 0.0, "frequency_penalty": 0.0, "mirostat": 0,
        "top_k": 40, "top_p": 0.9, "min_p": 0.0, "something_else": 1})
    assert r.response == "ok"


@pytest.mark.parametrize("options,name", [({"temperature": -1}, "temperature"), ({"top_p": 2}, "top_p"), ({"stop": [1]}, "stop"),
                                          ({"num_predict": "x"}, "num_predict"), ({"seed": 0.5}, "seed"), ({"top_k": "a"}, "top_k")])
def test_wrong_options(scripted, options, name):
    r = scripted.post("/api/generate", {"model": MODEL, "prompt": "x", "options": options})
    assert r.status == 400 and list(r.json()) == ["error"] and f"options.{name}" in r.json()["error"], r


def test_logprobs(real):
    for stream in (False, True):
        r = real.chat(model=MODEL, messages=[{"role": "user", "content": "Count from 3 to 9."}], think=False, logprobs=True,
                      top_logprobs=3, options={"temperature": 0, "num_predict": 12}, stream=stream)
        parts = list(r) if stream else [r]
        got = [t for p in parts for t in p.logprobs or []]
        text = "".join(p.message.content or "" for p in parts)
        assert "".join(t.token for t in got) == text and all(t.logprob <= 0 for t in got)
        assert all(len(t.top_logprobs) == 3 and t.top_logprobs[0].logprob >= t.top_logprobs[1].logprob for t in got)


# ---- chat ----------------------------------------------------------------------------------------


def test_chat(oll):
    r = oll.chat(model=MODEL, messages=say(THINK + "</think>Hello!"))
    assert (r.message.content, r.message.thinking, r.message.role, r.done_reason) == ("Hello!", THINK, "assistant", "stop")
    parts = list(oll.chat(model=MODEL, messages=say(THINK + "</think>Hello!"), stream=True))
    assert "".join(p.message.content or "" for p in parts) == "Hello!"
    assert "".join(p.message.thinking or "" for p in parts) == THINK
    r = oll.chat(model=MODEL, messages=say("ok"), think=False)
    assert (r.message.content, r.message.thinking) == ("ok", None)


def test_chat_goes_back(scripted, oll):
    """The reply's message, as the client's object, is the next request's history."""
    r = oll.chat(model=MODEL, messages=say(THINK + "</think>Hello!"))
    again = oll.chat(model=MODEL, messages=[{"role": "user", "content": "hi"}, r.message, *say("t</think>again")])
    assert again.message.content == "again"


def test_async(scripted):
    async def go():
        client = ollama.AsyncClient(host=scripted.root)
        r = await client.chat(model=MODEL, messages=say("t</think>one"))
        text = ""
        async for part in await client.generate(model=MODEL, prompt=script("t</think>two"), stream=True):
            text += part.response
        return r.message.content, text, (await client.list()).models[0].model

    assert asyncio.run(go())[:2] == ("one", "two")


def test_tools(oll):
    parts = list(oll.chat(model=MODEL, messages=say("t</think>Let me see." + CALL + CALL.replace("Oslo", "Rome")), tools=[TOOL],
                          stream=True))
    with_calls = [p for p in parts if p.message.tool_calls]
    calls = [c for p in with_calls for c in p.message.tool_calls]
    assert [c.function.name for c in calls] == ["get_weather"] * 2
    assert [dict(c.function.arguments) for c in calls] == [{"city": "Oslo", "days": 3}, {"city": "Rome", "days": 3}]
    assert len(with_calls) == 2 and parts[-1].done_reason == "stop"
    whole = oll.chat(model=MODEL, messages=say("t</think>Let me see." + CALL), tools=[TOOL])
    assert whole.message.content == "Let me see." and dict(whole.message.tool_calls[0].function.arguments) == {"city": "Oslo", "days": 3}


def get_weather(city: str) -> str:
    """Tells the weather.

    Args:
      city: a city
    """
    return "rain in " + city


def test_a_python_function_as_tool(oll):
    r = oll.chat(model=MODEL, messages=say("t</think>" + CALL), tools=[get_weather])
    assert r.message.tool_calls[0].function.name == "get_weather"


def test_tool_results(scripted, oll):
    """The client drops ids: results find their calls by name, else by order."""
    calls = [{"function": {"name": "get_weather", "arguments": {"city": "Oslo"}}}, {"function": {"name": "get_time", "arguments": {}}}]
    head = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "", "tool_calls": calls}]
    for results in ([("get_time", "noon"), ("get_weather", "rain")], [(None, "rain"), (None, "noon")], [(None, "rain")]):
        messages = head + [{"role": "tool", "content": text, **({"tool_name": name} if name else {})} for name, text in results]
        r = oll.chat(model=MODEL, messages=messages + say("t</think>fine"), tools=[TOOL])
        assert r.message.content == "fine"
    r = scripted.post("/api/chat", {"model": MODEL, "stream": False, "messages": [{"role": "user", "content": "q"}, {
        "role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}]})
    assert r.status == 400 and "messages[1].tool_calls[0].function.arguments" in r.json()["error"], r


# ---- models --------------------------------------------------------------------------------------


def test_list_show_ps(real, demo):
    models = real.list().models
    names = [m.model for m in models]
    assert "glim-demo:latest" in names and all(":" in n for n in names)
    m = models[0]
    assert re.fullmatch("[0-9a-f]{64}", m.digest) and m.size > 10**6 and isinstance(m.modified_at, datetime.datetime)
    assert m.details.family == "deepseek2" and m.details.format == "gguf" and m.details.quantization_level == "Q8_0"
    assert re.fullmatch(r"[\d.]+[KMB]", m.details.parameter_size)
    show = real.show(m.model)
    info = show.modelinfo
    assert info["general.architecture"] == "deepseek2" and info["deepseek2.context_length"] == 4096
    assert {"completion", "tools", "thinking"} <= set(show.capabilities) and "<|user|>" in show.template
    assert "temperature" in show.parameters and show.modelfile.startswith("#") or show.modelfile.startswith("FROM")
    ps = real.ps().models
    assert len(ps) == 1 and ps[0].context_length == 4096 and ps[0].digest == m.digest
    assert ps[0].expires_at > datetime.datetime.now(datetime.timezone.utc)
    assert demo.get("/api/tags").json()["models"][0]["name"] == m.model
    assert demo.ask("HEAD", "/api/tags").status == 200


def test_version_and_root(demo, start):
    version = demo.get("/api/version").json()["version"]
    assert tuple(int(x) for x in version.split(".")) >= (0, 14, 3)
    assert "glim" in demo.get("/").text
    s = start("--ollama-root", scripted=True)
    assert s.get("/").text == "Ollama is running" and s.ask("HEAD", "/").status == 200
    s.stop()


def test_pull(oll):
    assert oll.pull(MODEL).status == "success"
    parts = list(oll.pull(MODEL + ":latest", stream=True))
    assert parts[-1].status == "success"
    with pytest.raises(ollama.ResponseError) as e:
        oll.pull("llama3.2")
    assert e.value.status_code == 404 and "llama3.2" in e.value.error
    with pytest.raises(ollama.ResponseError):
        list(oll.pull("llama3.2", stream=True))


def test_what_is_not_here_raises(oll, tmp_path):
    """The client's own class, with a text that says why."""
    blob = tmp_path / "blob"
    blob.write_bytes(b"x" * 1000)
    calls = [lambda: oll.embed(model=MODEL, input="x"), lambda: oll.embeddings(model=MODEL, prompt="x"), lambda: oll.delete(MODEL),
             lambda: oll.copy(MODEL, "other"), lambda: oll.create(model="mine", from_=MODEL), lambda: oll.push(MODEL),
             lambda: oll.create_blob(blob), lambda: list(oll.create(model="mine", from_=MODEL, stream=True)),
             lambda: list(oll.push(MODEL, stream=True)),
             lambda: oll.generate(model=MODEL, prompt="a", suffix="b"), lambda: oll.generate(model=MODEL, prompt="a", template="b"),
             lambda: oll.generate(model=MODEL, prompt="a", images=[b"x"]), lambda: oll.generate(model=MODEL, prompt="a", format="json"),
             lambda: oll.chat(model=MODEL, messages=[{"role": "user", "content": "a", "images": [b"x"]}]),
             lambda: oll.chat(model=MODEL, messages=say("x"), format={"type": "object"})]
    for call in calls:
        with pytest.raises(ollama.ResponseError) as e:
            call()
        assert e.value.status_code == 400 and len(e.value.error) > 10, e.value
        assert not e.value.error.startswith("{"), "the client read no error member"
    if hasattr(oll, "systemone"):
        with pytest.raises(ollama.ResponseError) as e:
            oll.systemone(model=MODEL, state="s", questions={})
        assert e.value.status_code == 404


# ---- errors --------------------------------------------------------------------------------------


def test_unknown_model(oll, scripted):
    for call in (lambda: oll.generate(model="nope", prompt="x"), lambda: oll.chat(model="nope", messages=say("x")),
                 lambda: oll.show("nope"), lambda: list(oll.chat(model="nope", messages=say("x"), stream=True))):
        with pytest.raises(ollama.ResponseError) as e:
            call()
        assert e.value.status_code == 404 and "nope" in e.value.error
    assert "not found" in scripted.post("/api/generate", {"model": "nope", "prompt": "x"}).json()["error"]


@pytest.mark.parametrize("path", ["/api/generate", "/api/chat", "/api/show", "/api/pull"])
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"null", b'{"model":1}', b'{"model":"x","model":"y"}', b'{"model":"\xff"}',
                                  b'{"model":"glm-4.7-flash"} x', b'{"stream":1,"model":"glm-4.7-flash","prompt":"x","messages":[]}'])
def test_broken_bodies(scripted, path, body):
    r = scripted.post(path, body)
    if path == "/api/show" and b"stream" in body:
        return
    assert r.status in (400, 404), r
    assert list(r.json()) == ["error"] and r.json()["error"], r


@pytest.mark.parametrize("messages", ["x", [1], [{"role": "user"}, {"role": "king", "content": "x"}], [{"content": "x"}],
                                      [{"role": "user", "content": 1}], [{"role": "user", "content": [{"type": "text"}]}]])
def test_broken_messages(scripted, messages):
    r = scripted.post("/api/chat", {"model": MODEL, "messages": messages})
    assert r.status == 400 and "messages" in r.json()["error"], r


def test_context_is_too_long(real):
    with pytest.raises(ollama.ResponseError) as e:
        real.generate(model=MODEL, prompt="word " * 6000)
    assert e.value.status_code == 400 and "4096" in e.value.error


def test_404_and_405(demo):
    assert list(demo.get("/api/nothing").json()) == ["error"]
    r = demo.get("/api/generate")
    assert r.status == 405 and list(r.json()) == ["error"] and "POST" in r.headers["Allow"]


def test_key(locked):
    with pytest.raises(ollama.ResponseError) as e:
        ollama.Client(host=locked.root).list()
    assert e.value.status_code == 401
    client = ollama.Client(host=locked.root, headers={"Authorization": "Bearer plain-key"})
    assert client.list().models


def test_death_in_mid_stream(oll, scripted):
    """Check 16: an error line, which the client raises."""
    with pytest.raises(ollama.ResponseError, match="failed after 5"):
        for _ in oll.chat(model=MODEL, messages=say("t</think>a b c d e f g h", fail_after=5), stream=True):
            pass
    r = scripted.post("/api/generate", {"model": MODEL, "prompt": script("t</think>a b c d e f g h", fail_after=5)})
    last = r.body.rstrip(b"\n").split(b"\n")[-1]
    assert r.status == 200 and list(json.loads(last)) == ["error"]


def test_keepalives_are_objects(scripted):
    """Check 17: during a long prefill whole objects come, never a blank line; the client, whose patience is shorter than
    the prefill, reads them."""
    raw = []
    other = threading.Thread(target=lambda: raw.extend(
        lines(scripted, "/api/generate", {"model": MODEL, "prompt": script("t</think>done", prefill_ms=7000)})))
    other.start()
    t0 = time.monotonic()
    client = ollama.Client(host=scripted.root, timeout=8 * SLOW)
    parts = list(client.chat(model=MODEL, messages=say("t</think>done", prefill_ms=int(12000 * SLOW)), stream=True))
    other.join()
    assert time.monotonic() - t0 > 11 * SLOW
    assert "".join(p.message.content or "" for p in parts) == "done"
    assert len([p for p in parts[:-1] if not p.message.content and not p.message.thinking]) >= 2
    assert any(d["response"] == "" and not d.get("thinking") for d in raw[:-1])


@pytest.mark.parametrize("text", ["🙂👩‍👩‍👧 世界 é", "a\u2028b\u2029c\u0085d", "line\nline\r\ntab\t\"q\" \\ </s>"])
def test_text_as_it_is(oll, scripted, text):
    """Check 18, and the line ends that clients' line readers split at."""
    assert "".join(p.response for p in oll.generate(model=MODEL, prompt=script("t</think>" + text), stream=True)) == text
    assert oll.generate(model=MODEL, prompt=script("t</think>" + text)).response == text
    raw = scripted.post("/api/generate", {"model": MODEL, "prompt": script("t</think>" + text)}).body
    assert not any(mark.encode() in raw for mark in "\u2028\u2029\u0085")


@pytest.mark.parametrize("path", ["/api/generate", "/api/chat"])
@pytest.mark.parametrize("after", ["prefill", "tokens"])
def test_a_client_that_leaves(scripted, path, after):
    """Check 24 here: the slot is free again."""
    text = script("t</think>" + "a " * 500, token_ms=50, prefill_ms=30000 if after == "prefill" else 0)
    body = json.dumps({"model": MODEL, "prompt": text} if path == "/api/generate" else
                      {"model": MODEL, "messages": [{"role": "user", "content": text}]}).encode()
    with socket.create_connection(("127.0.0.1", scripted.port), timeout=30 * SLOW) as s:
        s.sendall(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        scripted.wait_busy()
        seen = b""
        while after == "tokens" and seen.count(b"\n{") < 3:
            seen += s.recv(4096)
    assert scripted.wait_idle(2)
