# SPDX-License-Identifier: MIT
"""Checks 16, 17, 23 and 24 with the openai package, and the class that every refusal becomes there."""
import threading
import time

import openai
import pytest
from openai import OpenAI

from server import MODEL, SLOW, Replay, loading_answer, raw_exchange, say, script, sse


def client_of(server, mount="v1", key="EMPTY", **more):
    return OpenAI(api_key=key, base_url=getattr(server, mount), **{"max_retries": 0, **more})


@pytest.fixture
def oai(scripted):
    return client_of(scripted)


def refused(kind, client, **ask):
    with pytest.raises(kind) as caught:
        r = client.chat.completions.create(**{"model": MODEL, "messages": say("x"), **ask})
        if ask.get("stream"):
            list(r)
    return caught.value


# ---- classes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("ask,param", [
    ({"messages": []}, "messages"),
    ({"temperature": 3}, "temperature"),
    ({"top_p": -1}, "top_p"),
    ({"max_tokens": -1}, "max_tokens"),
    ({"n": 0}, "n"),
    ({"messages": [{"role": "wizard", "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": "x"}, {"role": "tool", "tool_call_id": "call_nope", "content": "x"}]}, "messages"),
    ({"stop": ["x"] * 17}, "stop"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"logit_bias": {"1": 1000}}, "logit_bias"),
])
def test_400(oai, ask, param, stream):
    e = refused(openai.BadRequestError, oai, **ask, stream=stream)
    assert e.status_code == 400 and e.type == "invalid_request_error" and e.body["message"]
    assert (e.param or "").startswith(param.split("[")[0]), e.body
    assert e.response.headers["x-should-retry"] == "false"
    assert e.response.headers["x-request-id"]


def test_400_without_a_model_field(scripted):
    """A model is not required: the first chat model answers."""
    r = scripted.post("/v1/chat/completions", {"messages": say("t</think>ok")})
    assert r.status == 200 and r.json()["choices"][0]["message"]["content"] == "ok"


@pytest.mark.parametrize("stream", [False, True])
def test_401(locked, stream):
    for key in ("EMPTY", "plain-ke", "demo", "sekret"):
        e = refused(openai.AuthenticationError, client_of(locked, key=key), stream=stream)
        assert e.type == "authentication_error" and e.code == "invalid_api_key"
        assert key not in e.message.replace("API key", "")
    for key in ("plain-key", "demo.sekret"):
        r = client_of(locked, key=key).chat.completions.create(model=MODEL, messages=say("t</think>in"))
        assert r.choices[0].message.content == "in"


@pytest.mark.parametrize("stream", [False, True])
def test_404_model(oai, stream):
    e = refused(openai.NotFoundError, oai, model="gpt-9", stream=stream)
    assert e.code == "model_not_found" and "gpt-9" in e.message
    with pytest.raises(openai.NotFoundError) as caught:
        oai.models.retrieve("gpt-9")
    assert caught.value.code == "model_not_found"


def test_404_path(oai):
    for call in (lambda: oai.images.generate(model="x", prompt="x"), lambda: oai.audio.speech.create(model="x", voice="x", input="x"),
                 lambda: oai.moderations.create(input="x")):
        with pytest.raises(openai.NotFoundError) as caught:
            call()
        assert caught.value.code == "unsupported_endpoint", caught.value.body


def occupy(server, n, **script_members):
    """n streams that run until they are closed."""
    out = []
    for _ in range(n):
        out.append(client_of(server).chat.completions.create(
            model=MODEL, stream=True, max_tokens=2000,
            messages=say("tick ", stop=False, token_ms=30, **script_members), extra_body={"ignore_eos": True}))
    return out


def test_429(narrow):
    streams = occupy(narrow, 1)
    next(iter(streams[0]))
    narrow.wait_busy()
    waiting = threading.Thread(target=lambda: client_of(narrow).chat.completions.create(
        model=MODEL, messages=say("t</think>later")))
    waiting.start()
    until = time.monotonic() + 10 * SLOW
    while narrow.metric("glim_requests_waiting") < 1:
        assert time.monotonic() < until, "nothing ever waited"
        time.sleep(0.02)
    for stream in (False, True):
        e = refused(openai.RateLimitError, client_of(narrow), stream=stream)
        assert e.type == "rate_limit_error" and e.code == "queue_full"
        assert int(e.response.headers["Retry-After"]) >= 1
        assert e.response.headers.get("x-should-retry") != "false"
    streams[0].close()
    waiting.join(20 * SLOW)
    assert not waiting.is_alive()
    # A client with its own retries gets through once there is room.
    assert narrow.wait_idle(2)
    assert client_of(narrow, max_retries=2).chat.completions.create(model=MODEL, messages=say("t</think>ok")).choices


def test_503_while_loading(start):
    answer = loading_answer(start, "/v1/chat/completions", {"model": MODEL, "messages": say("x")})
    if answer is None:
        pytest.skip("the model was always there at once")
    with Replay(answer) as server:
        e = refused(openai.InternalServerError, client_of(server))
        assert e.status_code == 503 and e.code == "loading" and e.type == "server_error"
        assert int(e.response.headers["Retry-After"]) >= 1 and server.n == 1
        refused(openai.InternalServerError, client_of(server, max_retries=1))
        assert server.n == 3, "the SDK must try again"


# ---- 16: the engine dies ------------------------------------------------------------------------


@pytest.mark.parametrize("mount", ["v1", "paas"])
def test_death_in_a_stream(scripted, mount):
    got = ""
    with pytest.raises(openai.APIError) as caught:
        for chunk in client_of(scripted, mount).chat.completions.create(
                model=MODEL, stream=True, messages=say("one two three four five six", fail_after=4, token_ms=20),
                extra_body={"thinking": {"type": "disabled"}}):
            got += chunk.choices[0].delta.content or ""
    assert got and "engine failed" in caught.value.message
    assert scripted.wait_idle(2)


def test_death_on_the_wire(scripted):
    body = {"model": MODEL, "messages": say("one two three four", fail_after=2, token_ms=20), "stream": True}
    events = sse(scripted.events("/v1/chat/completions", body))
    assert events[-1][0] == "error" or events[-2][0] == "error"
    assert all(d != "[DONE]" or i == len(events) - 1 for i, (_, d) in enumerate(events))


@pytest.mark.parametrize("n", [0, 2])
def test_death_without_a_stream(oai, n):
    e = refused(openai.InternalServerError, oai, messages=say("one two three", fail_after=n))
    assert e.status_code == 500 and e.type == "server_error"


def test_death_of_one_is_not_death_of_all(scripted, oai):
    other = occupy(scripted, 1)[0]
    it = iter(other)
    next(it)
    refused(openai.APIError, oai, messages=say("one two", fail_after=1), stream=True)
    for _ in range(5):
        next(it)
    other.close()
    assert oai.chat.completions.create(model=MODEL, messages=say("t</think>alive")).choices[0].message.content == "alive"


# ---- 17: a long prefill --------------------------------------------------------------------------


def test_keepalives(scripted):
    """A prompt that takes longer than the client waits for a byte. The comment lines disturb neither SDK nor splitter."""
    ms, wait = 20000, 15
    failures = []

    def with_sdk():
        try:
            r = OpenAI(api_key="EMPTY", base_url=scripted.v1, max_retries=0, timeout=openai.Timeout(wait)).chat.completions.create(
                model=MODEL, stream=True, messages=say("t</think>slow", prefill_ms=ms))
            assert "".join(c.choices[0].delta.content or "" for c in r) == "slow"
        except Exception as e:  # noqa: BLE001 - whatever it was, the test says it
            failures.append(repr(e))

    def with_splitter():
        try:
            raw = scripted.events("/v1/chat/completions",
                                  {"model": MODEL, "stream": True, "messages": say("t</think>slow", prefill_ms=ms)}, timeout=wait)
            assert sum(line.startswith(":") for line in raw.split("\n")) >= 1
            assert sse(raw)[-1] == (None, "[DONE]")
            naive = [line[5:].strip() for line in raw.splitlines() if line.startswith("data:")]
            assert all(line for line in naive) and naive[-1] == "[DONE]"
        except Exception as e:  # noqa: BLE001
            failures.append(repr(e))

    threads = [threading.Thread(target=f) for f in (with_sdk, with_splitter)]
    for t in threads:
        t.start()
    time.sleep(1)
    began = time.monotonic()
    assert scripted.get("/health").status == 200 and time.monotonic() - began < 1 * SLOW
    for t in threads:
        t.join(120 * SLOW)
        assert not t.is_alive()
    assert not failures, failures


# ---- 23: too long ---------------------------------------------------------------------------------


@pytest.mark.parametrize("mount", ["v1", "paas", "coding"])
@pytest.mark.parametrize("which", ["demo", "scripted"])
@pytest.mark.parametrize("stream", [False, True])
def test_context_overflow(request, which, mount, stream):
    server = request.getfixturevalue(which)
    e = refused(openai.BadRequestError, client_of(server, mount), stream=stream,
                messages=[{"role": "user", "content": "far too long a text " * 4000}])
    if mount == "v1":
        assert e.code == "context_length_exceeded" and e.param == "messages"
    else:
        assert e.code == "1261"
    numbers = [int(w) for w in "".join(c if c.isdigit() else " " for c in e.body["message"]).split()]
    assert max(numbers) > 4096 and any(n <= 4096 for n in numbers), e.body


def test_context_overflow_of_completions(demo):
    with pytest.raises(openai.BadRequestError) as caught:
        client_of(demo).completions.create(model=MODEL, prompt="far too long a text " * 4000)
    assert caught.value.code == "context_length_exceeded"


def test_limit_is_clipped(oai):
    """max_tokens beyond the rest of the context is no error."""
    r = oai.chat.completions.create(model=MODEL, messages=say("t</think>ok"), max_tokens=10_000_000)
    assert r.choices[0].message.content == "ok"


# ---- 24: the client leaves --------------------------------------------------------------------------


def test_close_after_five_deltas(scripted):
    before = scripted.metric("glim_clients_gone_total")
    stream = occupy(scripted, 1)[0]
    it = iter(stream)
    for _ in range(5):
        next(it)
    stream.close()
    assert scripted.wait_idle(2)
    assert scripted.metric("glim_clients_gone_total") == before + 1
    assert scripted.metric("glim_tokens_predicted_total") > 0


def test_close_on_the_demo_model(demo):
    stream = client_of(demo).chat.completions.create(model=MODEL, stream=True, max_tokens=4000, extra_body={"ignore_eos": True},
                                                     messages=[{"role": "user", "content": "Tell me a long story."}])
    it = iter(stream)
    for _ in range(5):
        next(it)
    stream.close()
    assert demo.wait_idle(2)


@pytest.mark.parametrize("stream", [False, True])
def test_close_during_the_prefill(scripted, stream):
    c = scripted.connect()
    import json
    c.request("POST", "/v1/chat/completions", json.dumps({"model": MODEL, "stream": stream,
                                                          "messages": say("x", prefill_ms=30000)}).encode(),
              {"Content-Type": "application/json"})
    scripted.wait_busy()
    c.close()
    if c.sock:
        c.sock.close()
    assert scripted.wait_idle(2)


def test_close_without_a_stream(scripted):
    """The request times out on the client's side while tokens are made."""
    with pytest.raises(openai.APITimeoutError):
        client_of(scripted, timeout=1.0).chat.completions.create(
            model=MODEL, messages=say("tick ", stop=False, token_ms=30), extra_body={"ignore_eos": True})
    assert scripted.wait_idle(2)


# ---- bodies that no SDK sends -----------------------------------------------------------------------


@pytest.mark.parametrize("body,status", [
    (b"", 400), (b"{", 400), (b"[]", 400), (b"null", 400), (b'{"messages":[]}x', 400), (b'{"model":"a","model":"b","messages":[]}', 400),
    (b'{"messages":"\xff"}', 400), (b'{"messages":[{"role":"user","content":"\xed\xa0\x80"}]}', 400),
    (b'{"messages":[{"role":"user","content":NaN}]}', 400), (b"\x00", 400), (b"[" * 100000, 400),
])
def test_broken_bodies(scripted, body, status):
    for path, code in (("/v1/chat/completions", None), ("/api/paas/v4/chat/completions", "12")):
        r = scripted.post(path, body, {"Content-Type": "application/json"})
        assert r.status == status, r
        error = r.json()["error"]
        assert error["message"] and (code is None or error["code"].startswith(code))
        assert "detail" not in r.json()


def test_compressed_body(scripted):
    r = scripted.post("/v1/chat/completions", b"\x1f\x8b", {"Content-Type": "application/json", "Content-Encoding": "gzip"})
    assert r.status == 415, r


def test_large_body(scripted):
    head = (f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{scripted.port}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {33 << 20}\r\n\r\n").encode()
    assert raw_exchange(scripted.port, head, 5).startswith(b"HTTP/1.1 413")
